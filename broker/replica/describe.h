/* SPDX-License-Identifier: Apache-2.0 */
/* What tools ask of this broker's logs; looked up on workers. */
#ifndef REPLICA_DESCRIBE_H
#define REPLICA_DESCRIBE_H

#include <stdatomic.h>

#include "replica/replica.h"

/* DescribeProducers for one partition. */
struct producers_query {
	struct slice topic;
	int32_t partition;
	enum error error; /* set by the asker before: not looked up */
	/* the answer, ascending by id; the arena's */
	struct describe_producers_response_active_producer *rows;
	size_t count;
};
/*
 * Who is named twice is looked up once, but has rows of his own: what the arena
 * may have bounds the answer, too, and `refused` says that it was not enough.
 */
struct producers_lookup {
	struct work work; /* hidden */
	struct replicas *replicas;
	struct arena *arena; /* a worker's until it is done */
	struct producers_query *queries;
	size_t count;
	struct task_ref task;
	atomic_bool abandoned; /* hidden; false before the start */
	bool refused;
	bool done;
};
void producers_lookup_start(struct producers_lookup *lookup,
    struct loop *home);
/* Nobody waits for the answer: it is done soon, and answers nothing. */
void producers_lookup_abandon(struct producers_lookup *lookup);

/* DescribeLogDirs: all directories, and all logs that lie there. */
struct described_dir {
	const char *path; /* the storage's */
	enum error error;
	int64_t total_bytes; /* -1 with an error */
	int64_t usable_bytes;
};
struct described_log {
	struct log *log; /* a reference */
	size_t dir;      /* its slot */
	int64_t size_bytes;
	int64_t offset_lag; /* -1: it has no role */
	bool is_future;     /* a copy, which is to take the log's place */
};
struct dirs_lookup {
	struct work work; /* hidden */
	struct replicas *replicas;
	struct task_ref task;
	bool done;
	/* the answer: dirs_lookup_fini() frees it */
	struct described_dir *dirs;
	size_t dir_count;
	struct described_log *logs; /* by directory, topic, partition */
	size_t log_count;
	size_t log_room; /* hidden */
};
void dirs_lookup_start(struct dirs_lookup *lookup, struct loop *home);
void dirs_lookup_fini(struct dirs_lookup *lookup);

#endif
