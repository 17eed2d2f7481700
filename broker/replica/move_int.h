/* SPDX-License-Identifier: Apache-2.0 */
/* A replica's move to another log directory: move.c, and who ends it. */
#ifndef REPLICA_MOVE_INT_H
#define REPLICA_MOVE_INT_H

#include "replica/replica_int.h"

#define MOVE_THREADS_MAX 64

/* References: the list's as long as it runs, and the replica's. */
struct move {
	struct list link;
	atomic_uint references;
	struct replica *replica; /* a reference, as long as it is listed */
	struct log_dir *dir;     /* where to */
	struct lock lock;        /* a step's, or his who ends it: */
	struct log_future *future; /* NULL: not begun, or over */
	int64_t said_ns;
	atomic_bool ended; /* set under `lock`, for good */
	atomic_bool swapped; /* the log lies there: what is left is cleared */
	int64_t pause_ns;  /* of the last step */
	atomic_int_least64_t size_bytes; /* of the copy, for who describes */
	atomic_int_least64_t end_offset;
	struct post start;
	struct work work;
	struct timer timer; /* the loop's */
};

/* The replica is claimed, its `lock` and `state` are not held. [worker] */

/* It has no move, or one that is over.  With `at_once` the copy is begun before
 * it returns; else by the first step. Errors as log_future_new(). */
enum error move_begin(struct replica *replica, struct log_dir *dir,
    bool at_once);
/* What was copied is deleted; nothing when it does not move. */
void move_end(struct replica *replica);
/* NULL: it does not move. */
struct log_dir *move_goal(const struct replica *replica);
/* Its log was found: goes on with what a start found, if it found any. `lock`
 * may be held. */
void move_resume(struct replica *replica);

struct move_view {
	const struct replica *replica;
	const struct log_dir *dir;
	int64_t size_bytes;
	int64_t end_offset;
};
/* All that move; a leaf lock is held during `each`. */
void moves_each(struct replicas *replicas,
    void (*each)(void *arg, const struct move_view *view), void *arg);

#endif
