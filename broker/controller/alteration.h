/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a leader may set the ISR that it asks for: a pure function of what it
 * asks and of what is known.
 * Source: KafkaController.tryProcessAlterPartition of 3.9; what members must
 * be: KIP-841, KIP-903, ReplicationControlManager.validateAlterPartitionData.
 */
#ifndef CONTROLLER_ALTERATION_H
#define CONTROLLER_ALTERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errors.h"

/* One member of the ISR that is asked for. */
struct alteration_member {
	int32_t broker;
	bool assigned;
	bool in_isr; /* of the state as it is */
	bool stays;  /* registered, its log dir works, it does not shut down */
	/* Named with the epoch of another registration than today's: it may
	 * have lost its data since the leader saw it (KAFKA-14617). */
	bool other_epoch;
};

struct alteration {
	/* What is asked; the epochs are what the leader believes. */
	int32_t broker;
	int32_t leader_epoch;
	int32_t partition_epoch;
	int8_t recovery_state;
	const struct alteration_member *members;
	size_t member_count;
	bool repeats; /* a member is named twice */
	/* What is so. */
	int32_t leader;
	int32_t known_leader_epoch;
	int32_t known_partition_epoch;
	size_t isr_count;
	bool recovering;
};

/* ERR_NONE: it may; `*well` says that it is so already, and nothing is to be
 * written. */
enum error alteration_check(const struct alteration *asked, bool *well);

#endif
