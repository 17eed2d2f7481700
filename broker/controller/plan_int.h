/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan: one topic that somebody wants, checked and placed, with the JSON of
 * its nodes.  All memory is the creation's arena; nothing borrows the request.
 */
#ifndef CONTROLLER_PLAN_INT_H
#define CONTROLLER_PLAN_INT_H

#include "controller/controller_int.h"

/* Beyond it the topic's node would not pass ZooKeeper's size limit. */
#define PLAN_PARTITIONS_MAX 200000
#define PLAN_REPLICAS_MAX 1000
/* What is said of an assignment. */
#define PLAN_WORDS_MAX 2000
/* Likewise, the replicas of all partitions. */
#define PLAN_ASSIGNED_MAX 1000000

struct plan {
	struct hash_node node; /* in its creation, by name */
	const char *name;
	enum error error;
	const char *message; /* NULL: none */
	struct uuid id;
	int32_t partition_count;
	int32_t replication_factor;
	struct config_map configs;
	struct slice config_json;
	struct slice topic_json;
	/* create.c */
	struct zk_op *ops[3];
	struct zk_op *write;
	bool config_there;
	bool done;       /* its node was made by us */
};

struct plan_surroundings {
	const struct controller *controller; /* who is to be avoided; or NULL */
	const struct cluster_image *image;
	const struct broker_options *options;
	struct random *random;
	struct arena *arena;
};

/* Checks everything that needs no ZooKeeper, in Kafka's order. */
void plan_make(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked);
/* The topic that any broker makes on a client's wish. Internal ones have
 * their own numbers and configs. */
void plan_make_automatic(struct plan *plan,
    const struct plan_surroundings *around, const char *topic);
/* Nothing is looked at. */
void plan_refuse(struct plan *plan, enum error error);
void plan_fail(struct plan *plan, enum error error, const char *message);
void plan_fini(struct plan *plan);
/* Whether names like it may collide. */
bool plan_has_collision_characters(const struct plan *plan);

#endif
