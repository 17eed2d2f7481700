/* SPDX-License-Identifier: Apache-2.0 */
/* The room of groups over a log in memory (fake_coord.h), on virtual time:
 * what tests of members and of offsets, and the fuzzer, stand on. */
#ifndef TESTS_UNIT_GROUPS_RIG_H
#define TESTS_UNIT_GROUPS_RIG_H

#include "base/random.h"
#include "config/config.h"
#include "config/options.h"
#include "fake_coord.h"
#include "group/group_int.h"
#include "metrics/metrics.h"

#define WALL_MS INT64_C(1700000000000)
#define MS INT64_C(1000000)

struct rig {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loop;
	struct config *config;
	struct group_options options;
	struct cluster *cluster;
	struct metrics *metrics;
	struct random random;
	struct groups *groups; /* NULL until rig_groups() */
	struct coord *coord;
	struct list asked;    /* member_rig.c: requests and their answers */
	struct group_ask ask; /* offset_rig.c: the one under way... */
	struct arena arena;   /* ... and its memory */
};

/* All but the groups: their options may be changed still. */
void rig_begin(struct rig *rig);
/* Makes them, and loads the log, which is empty. With a function that tells
 * where partitions end there are metrics of lag. */
void rig_groups(struct rig *rig, bool (*high_watermark)(void *arg,
    struct slice topic, int32_t partition, int64_t *out), void *arg);
/* Lets time pass. */
void rig_run(struct rig *rig, int64_t ms);
/* groups_stop() was called, and nobody waits any more. */
void rig_end(struct rig *rig);

#endif
