/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which replica a consumer should read from (KIP-392): one in its own rack.
 *
 *	leader: in the consumer's rack? --yes--> itself
 *	           | no
 *	in-sync followers in that rack, whose log has the fetch offset
 *	           | none --> itself
 *	           v
 *	the one that has most; of those, that had all last; of those, the one
 *	with the largest id
 *
 * Source: Kafka 3.9's RackAwareReplicaSelector, ReplicaView, and
 * ReplicaManager.findPreferredReadReplica.
 */
#ifndef REPLICA_CLOSEST_H
#define REPLICA_CLOSEST_H

#include "replica/isr.h"

#define CLOSEST_RACK_AWARE                                                    \
	"org.apache.kafka.common.replica.RackAwareReplicaSelector"

/* Who is asked whether a broker lives, and in the consumer's rack. */
struct closest_rack {
	bool (*has)(const void *arg, int32_t broker);
	const void *arg;
};
/* The follower; -1: the leader. */
int32_t closest_replica(const struct isr *isr, int32_t leader,
    int64_t fetch_offset, const struct closest_rack *rack);

/* Whether replica.selector.class, which may be NULL, wants this. */
bool closest_is_selected(const char *selector_class);

#endif
