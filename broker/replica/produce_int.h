/* SPDX-License-Identifier: Apache-2.0 */
/* Produce: what its requests (produce.c) and the work on their records
 * (produce_records.c) share. */
#ifndef REPLICA_PRODUCE_INT_H
#define REPLICA_PRODUCE_INT_H

#include "replica/replica_int.h"

#define PRODUCE_BATCH_VERSION 3 /* before it: messages of magic 0 and 1 */

struct produce_part_int {
	struct append append;
	struct waitq_link link;
	struct work prepare;
	struct produce_part *part;
	struct buffer converted; /* appended in the stead of what came */
	int32_t converted_count; /* of records in it */
	struct arena *faults;    /* where a worker found some; NULL: none */
	bool nothing;            /* to append: an empty set, before v3 */
	bool awaits; /* appended with acks=all, not acknowledged yet */
	bool flushes;
};

struct produce_int {
	struct post post;
	struct work flush; /* flush.messages wants it before the answer */
	/* Appends not done yet, and one for the submitting itself. */
	atomic_uint outstanding;
	struct task_ref task;
	int64_t deadline_ns;
	atomic_bool abandoned;
	struct produce *produce;
};

/* --- produce.c ------------------------------------------------------------ */

/* The records are ready, or not good (append->error). */
void produce_submit(struct produce *p, struct produce_part *part);
/* One of the outstanding is done; any thread. */
void produce_append_done(struct append *append);

/* --- produce_records.c ---------------------------------------------------- */

/* Checks the part's records and makes them what is to be stored, here or on a
 * worker, then submits. On the loop. */
void produce_take_records(struct produce *p, struct produce_part *part);
/* Gives memory back; what a worker found wrong goes to the request's arena. */
void produce_records_end(struct produce *p, struct produce_part *part);

#endif
