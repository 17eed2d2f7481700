/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A throttle of replication (KIP-73): how many bytes a second went through it,
 * and whether that is more than its limit.
 *
 *	throttle_note: what was sent or fetched of throttled partitions
 *	throttle_exceeded: whether those who need not have more now have to wait
 *
 * What keeps replicas in sync is never held back, but it is counted: together
 * they shall stay below the limit.  Any thread; its lock is a leaf.
 */
#ifndef QUOTA_THROTTLE_H
#define QUOTA_THROTTLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock.h"
#include "quota/rate.h"

#define THROTTLE_NO_LIMIT INT64_MAX

struct throttle {
	struct lock lock;
	struct rate rate;
	atomic_int_least64_t limit; /* bytes a second */
};

void throttle_init(struct throttle *throttle, int32_t window_count,
    int32_t window_seconds, int64_t limit);
void throttle_fini(struct throttle *throttle);
void throttle_set_limit(struct throttle *throttle, int64_t limit);
int64_t throttle_limit(const struct throttle *throttle);
/* now_ms: monotonic. */
void throttle_note(struct throttle *throttle, int64_t bytes, int64_t now_ms);
bool throttle_exceeded(struct throttle *throttle, int64_t now_ms);
/* Bytes a second. */
int64_t throttle_rate(struct throttle *throttle, int64_t now_ms);

/* Whether leader.replication.throttled.replicas, or that of followers, names
 * the broker's replica: "*", or "PARTITION:BROKER,...". */
bool throttle_names(const char *replicas, int32_t partition, int32_t broker);

#endif
