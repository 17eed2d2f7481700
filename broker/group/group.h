/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumer groups of the classic protocol: membership, committed offsets, and
 * what administrators ask about both.
 *
 *	                 join                all joined, or time is up
 *	  EMPTY ------------> PREPARING_REBALANCE ------> COMPLETING_REBALANCE
 *	    ^                  ^    |    ^                     |        |
 *	    | nobody is left   |    |    +-- join, leave,------+        | the
 *	    +------------------(----+        time is up                 | leader
 *	    |                  +-- join, leave, time is up -- STABLE <--+ syncs
 *	    +--> DEAD (nothing left, deleted, or no longer the coordinator)
 *
 * A group belongs to the loop of its partition of __consumer_offsets (coord.h).
 * Every call below is made there, by a task that came by (api_go_away), and
 * answers by filling the response from the request's arena.
 * Source: GroupCoordinator and GroupMetadataManager of Kafka 3.9.
 */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include "base/arena.h"
#include "base/task.h"
#include "coord/coord.h"
#include "wire/wire.h"

struct cluster;
struct config_live;
struct group_options;
struct groups;
struct metrics;
struct random;

#define OFFSETS_TOPIC "__consumer_offsets"

struct groups_setup {
	const struct group_options *options;
	const struct config_live *live;
	struct cluster *cluster;
	struct replicas *replicas;
	/* False: not known, or not yet: what is led elsewhere is asked about
	 * from the first question on. Any thread. NULL: no metric tells of
	 * lag. */
	bool (*high_watermark)(void *arg, struct slice topic,
	    int32_t partition, int64_t *out);
	void *high_watermark_arg;
	struct work_queue *workers;
	struct loop *const *loops;
	size_t loop_count;
	int32_t topic_partitions; /* as the broker starts; 0: no topic yet */
	struct uuid topic_id;     /* zero: it has none */
	size_t load_bytes;
	struct random *random; /* seeds member ids */
	struct diag *diag;
	struct metrics *metrics;
};

struct groups *groups_new(const struct groups_setup *setup);
void groups_stop(struct groups *groups);
void groups_free(struct groups **groups);
struct coord *groups_coord(struct groups *groups);

/*
 * Who asks.  `response` was wire_init()ed and is filled from `arena`, which
 * lasts until `task` is over; the group may change or end meanwhile, so nothing
 * in it points into the group.  A call that answers false has not answered yet:
 * it sets `done` and wakes `task` when it has.  One whose task ends before that
 * must call group_forget().
 */
struct group_ask {
	int version;
	struct slice client_id;
	const char *client_host; /* a join's: "/127.0.0.1", as Kafka's */
	struct arena *arena;
	struct task_ref task;
	void *response;
	bool done;
	bool refused; /* its arena was full: the connection is closed */
	struct group_wait *wait; /* hidden */
};
void group_forget(struct group_ask *ask);

/* --- members -------------------------------------------------------------- */

bool group_join(struct groups *groups, const struct join_group_request *request,
    struct group_ask *ask);
bool group_sync(struct groups *groups, const struct sync_group_request *request,
    struct group_ask *ask);
bool group_heartbeat(struct groups *groups,
    const struct heartbeat_request *request, struct group_ask *ask);
bool group_leave(struct groups *groups,
    const struct leave_group_request *request, struct group_ask *ask);

/* --- offsets -------------------------------------------------------------- */

/* One partition's part of a commit or of a deletion. */
struct group_part {
	struct slice topic; /* not null */
	int32_t partition;
	/* What is committed; a deletion has none of it. */
	int64_t offset;
	int32_t leader_epoch;  /* -1: none */
	struct slice metadata; /* null counts as empty */
	int64_t commit_ms;     /* wall clock; -1: now */
	/* The answer. What the asker has set is left alone, and not done. */
	enum error error;
};

struct group_commit {
	struct slice group_id;
	struct slice member_id;   /* empty: none */
	struct slice instance_id; /* null: none */
	int32_t generation;       /* below 0: none */
	int64_t retention_ms;     /* -1: as this broker has it */
	struct group_part *parts; /* no partition twice */
	size_t count;
};
/* Answers in the parts. */
bool group_commit(struct groups *groups, struct group_commit *commit,
    struct group_ask *ask);
/* Beyond offset.metadata.max.bytes, which are units of UTF-16 as in Kafka. */
bool group_metadata_too_long(const struct groups *groups,
    struct slice metadata);
/* One group of the request; the asker has turned older versions into it. */
bool group_fetch_offsets(struct groups *groups,
    const struct offset_fetch_request_group *request, bool require_stable,
    struct offset_fetch_response_group *out, struct group_ask *ask);

struct group_offset_deletion {
	struct slice group_id;
	struct group_part *parts; /* no partition twice */
	size_t count;
	enum error error; /* the group's: the parts are not answered then */
};
/* Answers in the parts, or for all of them. */
bool group_delete_offsets(struct groups *groups,
    struct group_offset_deletion *deletion, struct group_ask *ask);

/* --- administration: one group, or all of this loop ----------------------- */

bool group_describe(struct groups *groups, struct slice group_id,
    struct describe_groups_response_group *out, struct group_ask *ask);
bool group_delete(struct groups *groups, struct slice group_id,
    struct delete_groups_response_group *out, struct group_ask *ask);
/* Of every active shard of the current loop; the error of those that load. The
 * request lives until it is answered. */
bool group_list(struct groups *groups,
    const struct list_groups_request *request, struct group_ask *ask);
/* A topic is gone: its offsets too, with tombstones. Any thread. */
void groups_topic_deleted(struct groups *groups, struct slice topic);

#endif
