/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assignments while replicas move: pure functions.
 *
 *	replicas  = the target, then what else was there before, then what
 *	            was to come and is called off
 *	adding    = of these, what was not there before
 *	removing  = of these, what is not of the target
 *
 * So a replica that is called off is in both, until its broker was told: should
 * the controller die first, the next one finds it there, also one of Kafka's,
 * who would have forgotten it.
 *
 * Source: ReplicaAssignment of 3.9 (KIP-455).
 */
#ifndef CONTROLLER_REASSIGNMENT_H
#define CONTROLLER_REASSIGNMENT_H

#include "zkglue/znodes.h"

static inline bool
assignment_moves(const struct znode_assignment *a)
{
	return (a->adding_count + a->removing_count > 0);
}
/* The way from `now`, which may be on another way already, to a target; memory:
 * the arena's. A NULL target calls it off. False: out of memory. */
bool reassignment_to(const struct znode_assignment *now, const int32_t *target,
    int32_t count, struct arena *arena, struct znode_assignment *out);
/* The end of the way. */
bool reassignment_target(const struct znode_assignment *now,
    struct arena *arena, struct znode_assignment *out);
bool assignment_equal(const struct znode_assignment *a,
    const struct znode_assignment *b);
bool numbers_hold(const int32_t *numbers, int32_t count, int32_t number);

#endif
