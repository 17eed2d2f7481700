/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the replicas of a new topic go: round-robin from a random start with a
 * shift, alternating racks where brokers have them.
 * Source: AdminUtils.assignReplicasToBrokers of 3.9.
 */
#ifndef BASE_PLACEMENT_H
#define BASE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random;

struct placement_broker {
	int32_t id;
	const char *rack; /* NULL: none */
};

struct placement_request {
	const struct placement_broker *brokers;
	size_t broker_count;
	int32_t partition_count;
	int32_t replication_factor;
	int32_t first_partition; /* 0, or where added partitions begin */
	int32_t fixed_start;     /* index of the first broker; -1: random */
	struct random *random;
};

/* replicas[partition * replication_factor + r]. False: some brokers have racks
 * and some have none, or more replicas than brokers. */
bool placement_assign(const struct placement_request *request,
    int32_t *replicas);
/* One of them is there twice. */
bool placement_repeats(const int32_t *replicas, int32_t count);
/* Each but the first of its kind goes; how many are left. */
int32_t placement_unique(int32_t *replicas, int32_t count);

#endif
