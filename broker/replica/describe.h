/* SPDX-License-Identifier: Apache-2.0 */
/* What tools ask of this broker's logs; looked up on workers. */
#ifndef REPLICA_DESCRIBE_H
#define REPLICA_DESCRIBE_H

#include "replica/replica.h"

/* DescribeProducers for one partition. */
struct producers_query {
	struct slice topic;
	int32_t partition;
	enum error error; /* set by the asker before: not looked up */
	/* the answer; its memory is the asker's (mem_free) */
	struct log_producer *producers;
	size_t count;
};
struct producers_lookup {
	struct work work; /* hidden */
	struct replicas *replicas;
	struct producers_query *queries;
	size_t count;
	struct task_ref task;
	bool done;
};
void producers_lookup_start(struct producers_lookup *lookup,
    struct loop *home);

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
