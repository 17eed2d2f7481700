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
	const struct config *source; /* of what the map does not say; counted */
	int64_t mzxid; /* of the node as it was read; 0: not known */
	struct config_map map;
	struct topic_options options;
};

struct configs {
	struct configs_setup setup; /* its config: the loop's */
	pthread_mutex_t mutex; /* a leaf lock: table and defaults */
	struct hash table;     /* of config_object, by topic */
	struct config_object *defaults;
	struct waitq loaded;
	atomic_bool started;
	struct task_ref task;
	/* The loop's: */
	struct zk_op refusal; /* path NULL: none */
	struct list fetches; /* tasks under way, the first has its turn */
	struct hash known;   /* by name: of which topic the config was read */
	bool stopped;
};

/* Not a refusal: the session, or the process, came to its end. */
static inline bool
configs_rc_passes(enum zk_rc rc)
{
	return (rc == ZK_SESSION_EXPIRED || rc == ZK_CLOSED);
}

/* ZooKeeper does not let us read the topic's config: said once. */
void configs_refuse(struct configs *configs, const char *topic, enum zk_rc rc);
/* What is known of the topic counts no more. */
void configs_unknow(struct configs *configs, struct slice topic);
void configs_unknow_all(struct configs *configs);

#endif
