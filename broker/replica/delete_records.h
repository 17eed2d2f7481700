/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteRecords (KIP-107): the log starts of partitions that are led here move
 * up, and those of their followers after them. */
#ifndef REPLICA_DELETE_RECORDS_H
#define REPLICA_DELETE_RECORDS_H

#include "replica/replica.h"

struct delete_records_part {
	struct slice topic;
	int32_t partition;
	int64_t offset;   /* -1: the high watermark */
	enum error error; /* may be set by the asker before: then not done */
	/* the answer: the smallest log start of all live replicas; or -1 */
	int64_t low_watermark;
	/* hidden */
	struct replica *replica;
	struct waitq_link link;
	int64_t required_offset;
	bool waits;
};
struct delete_records {
	struct replicas *replicas;
	struct loop *loop; /* where it is run and answered */
	struct delete_records_part *parts;
	size_t part_count;
	int32_t timeout_ms;
	/* On `loop`, not before delete_records_run() returns. */
	void (*done)(struct delete_records *delete);
	void *owner;
	/* hidden */
	struct work work;
	struct task_ref task;
	bool trimmed;
	bool abandoned;
};
/* Moves the log starts up, and waits until all live replicas have followed. */
void delete_records_run(struct delete_records *delete);
/* The asker is gone: `done` still comes, soon. */
void delete_records_abandon(struct delete_records *delete);

#endif
