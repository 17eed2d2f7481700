/* SPDX-License-Identifier: Apache-2.0 */
/* The table of topics' configs; see configs.c. */
#ifndef CLUSTER_CONFIGS_INT_H
#define CLUSTER_CONFIGS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "cluster/cluster.h"
#include "config/config.h"
#include "zkglue/zkglue.h"

/* One topic's config as of one reading; immutable. */
struct config_object {
	struct topic_config config; /* first */
	struct hash_node node;
	atomic_uint references;
	struct config_map map;
	struct topic_options options;
};

struct configs {
	struct configs_setup setup;
	pthread_mutex_t mutex; /* a leaf lock: table and defaults */
	struct hash table;     /* of config_object, by topic */
	struct config_object *defaults;
	struct waitq loaded;
	atomic_bool started;
	struct task_ref task;
	struct list fetches; /* tasks under way; the loop's */
};

/* Takes over what a GET of /config/topics/T answered. */
void configs_take(struct configs *configs, const char *topic,
    const struct zk_op *op);
/* Ends all of them. */
void configs_fetches_cancel(struct configs *configs);

#endif
