/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas that are to lie in another log directory of this broker. */
#ifndef REPLICA_MOVE_H
#define REPLICA_MOVE_H

#include "replica/replica.h"

/* AlterReplicaLogDirs for one partition; each comes once. */
struct move_query {
	struct slice topic;
	int32_t partition;
	struct slice path;  /* as log_dir_path() tells it */
	size_t turn;        /* among the rows of one partition: the asker's */
	bool known;         /* hidden: in the image */
	/* NONE: it moves, or lies there.  LOG_DIR_NOT_FOUND,
	 * KAFKA_STORAGE_ERROR (a directory has failed, or could not take it),
	 * INVALID_TOPIC_EXCEPTION (a name too long for a copy), and, when there
	 * is no replica yet, which will be made there, REPLICA_NOT_AVAILABLE or
	 * UNKNOWN_TOPIC_OR_PARTITION. */
	enum error error;
};
struct move_lookup {
	struct work work; /* hidden */
	struct replicas *replicas;
	struct move_query *queries;
	size_t count;
	struct task_ref task;
	bool done;
};
/* On a loop that has an image; the work is done on a worker, `done`, and the
 * task is woken. */
void move_lookup_start(struct move_lookup *lookup, struct loop *home);

#endif
