/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 0 of OffsetCommit and OffsetFetch: offsets in ZooKeeper, as clients
 * of before Kafka 0.8.2 keep them, in /consumers/GROUP/offsets/TOPIC/PARTITION.
 * No member, no epoch, no metadata.
 */
#ifndef API_OFFSET_ZK_H
#define API_OFFSET_ZK_H

#include "api/api_int.h"
#include "group/group.h"

/* Goes to ZooKeeper's loop; `reply` runs on the request's, with the answers in
 * the parts.  Those that have an error are left alone.  All memory is the
 * request's. */
void offset_zk_commit(struct apis *apis, struct request *request,
    const struct group_commit *commit, void (*reply)(void *state),
    void *state);
/* Likewise: `offset` of each part, or UNKNOWN_TOPIC_OR_PARTITION where none was
 * committed. */
void offset_zk_fetch(struct apis *apis, struct request *request,
    const struct group_commit *asked, void (*reply)(void *state), void *state);

#endif
