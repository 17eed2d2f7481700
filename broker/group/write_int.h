/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write of offsets under way: a commit, or tombstones.  Its own from
 * group_write_new() to group_write_free(); meanwhile its group is pinned and
 * the slots that it is about are held.  Its asker may leave.
 */
#ifndef GROUP_WRITE_INT_H
#define GROUP_WRITE_INT_H

#include "group/offsets_int.h"
#include "metrics/metrics.h"

struct group_hold {
	struct group_topic *topic;
	int64_t log_offset; /* a deletion's: of the slot, when it was taken */
	int32_t partition;
	bool present; /* likewise */
};

struct group_write {
	struct group_wait wait; /* first */
	struct coord_write write;
	struct group *group;
	struct metrics *metrics;
	struct group_ask *ask; /* NULL: nobody asks, or does any more */
	/* With an ask, before it is woken. */
	void (*tell)(void *answer, enum error error);
	void *answer;
	/* As coord_write.done: frees it. */
	void (*done)(struct group_write *w);
	/* Tombstones: */
	enum metric counter;   /* METRIC_COUNT: none */
	size_t present_count;  /* of the holds' slots */
	size_t sent;           /* holds below are written, or about to be */
	bool ends_group;       /* the group's own is the last */
	bool kept;             /* not all holds got one */
	int64_t newest;        /* of the holds' slots, by log_offset */
	size_t hold_count;
	struct group_hold holds[];
};

/* Room for `count` holds. NULL: no memory. */
struct group_write *group_write_new(struct group *group, size_t count,
    struct group_ask *ask);
void group_write_hold(struct group_write *w, struct slice topic,
    int32_t partition);
/* The ask, if there is one still, is told and over: the task is woken. */
void group_write_answer(struct group_write *w, enum error error);
void group_write_free(struct group_write **w);

/*
 * Records of one batch while they are made: lengths first, addresses when all
 * bytes are there.
 */
struct group_batch {
	struct coord_entry *entries;
	size_t count;
	struct buffer bytes;
};
/* What a batch may grow to before it is refused: more than a broker takes. */
#define GROUP_BATCH_BYTES_MAX ((size_t)64 << 20)

/* NULL offset: a tombstone. False: too long, or all together too large. */
bool group_batch_add(struct group_batch *batch, struct slice group,
    const struct group_hold *hold, const struct group_offset *offset);
/* The group's tombstone. */
bool group_batch_add_end(struct group_batch *batch, struct slice group);
/* Gives it to the log. The batch's memory may go. */
void group_write_append(struct group_write *w, struct group_batch *batch,
    int16_t acks);

#endif
