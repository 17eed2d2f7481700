/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this broker believes about the cluster: live brokers, topics, partitions
 * and their leaders, from UpdateMetadata; and the configs of topics and
 * brokers, from ZooKeeper.
 *
 * The image is immutable: 1,024 buckets of topics by name (and as many by id),
 * counted by reference.  A change builds new buckets for what it touches and a
 * new image around them; every loop holds a reference of its own, swapped by a
 * post or as a request begins, so requests read without lock.
 *
 *	UpdateMetadata -> cluster_update() -> new image -> post to each loop
 *	                        |                              | swap
 *	                        +--- task woken when all have swapped
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "base/task.h"
#include "base/uuid.h"
#include "base/waitq.h"
#include "wire/wire.h"

struct cluster;
struct diag;
struct metrics;

#define LEADER_NONE (-1)
#define LEADER_DELETING (-2)

struct cluster_endpoint {
	const char *listener;
	const char *host;
	int32_t port;
	int16_t protocol; /* SecurityProtocol: 0 PLAINTEXT, 1 SSL, 2 .., 3 .. */
};

struct cluster_broker {
	int32_t id;
	const char *rack; /* NULL: none */
	const struct cluster_endpoint *endpoints;
	size_t endpoint_count;
};

struct cluster_partition {
	int32_t partition;
	int32_t leader;          /* or LEADER_NONE */
	int32_t leader_epoch;
	int32_t partition_epoch; /* data version of the state node */
	int32_t controller_epoch;
	const int32_t *replicas;
	const int32_t *isr;
	const int32_t *offline;
	int32_t replica_count;
	int32_t isr_count;
	int32_t offline_count;
};

struct cluster_topic {
	const char *name;
	size_t name_length;
	struct uuid id; /* zero: none known */
	bool internal;
	/* Ascending by partition; deleted ones are not here. */
	const struct cluster_partition *partitions;
	int32_t partition_count;
};

struct cluster_image {
	int32_t controller_id; /* -1: none known */
	int32_t controller_epoch;
	/* Ascending by id; only live ones. */
	const struct cluster_broker *const *brokers;
	size_t broker_count;
	size_t topic_count;
	size_t partition_count;
	/* There are topics, and none was told yet: a name that is not in here
	 * may well be one. */
	bool untold;
	struct cluster_buckets *buckets; /* hidden */
};

struct cluster_setup {
	/* All that read: network loops and, last, the controller's. The last
	 * one gets an image after all others have it: what it sees, all see. */
	struct loop **loops;
	size_t loop_count;
	const char *cluster_id;
	int32_t broker_id;
	bool topics_exist; /* to be told by the controller */
	struct diag *diag;
	struct metrics *metrics;
};

struct cluster *cluster_new(const struct cluster_setup *setup);
void cluster_free(struct cluster **cluster);
const char *cluster_id(const struct cluster *cluster);

/* The calling loop's image; valid until the callback or step ends. */
const struct cluster_image *cluster_image(struct cluster *cluster);
/* Takes up the newest image at once, not when its post comes, so that what a
 * client was told on one connection holds on all. For who begins a request; not
 * on the last loop, which takes up what all have. */
void cluster_catch_up(struct cluster *cluster);
/* To keep one longer. */
const struct cluster_image *cluster_image_ref(
    const struct cluster_image *image);
void cluster_image_unref(const struct cluster_image *image);

/* NULL: not there. */
const struct cluster_topic *image_topic(const struct cluster_image *image,
    struct slice name);
const struct cluster_topic *image_topic_by_id(
    const struct cluster_image *image, struct uuid id);
const struct cluster_partition *topic_partition(
    const struct cluster_topic *topic, int32_t partition);
const struct cluster_broker *image_broker(const struct cluster_image *image,
    int32_t id);
/* NULL: the broker has no such listener. */
const struct cluster_endpoint *broker_endpoint(
    const struct cluster_broker *broker, const char *listener);
/* All topics, in no order; the callback answers false to stop. */
void image_each_topic(const struct cluster_image *image,
    bool (*each)(void *arg, const struct cluster_topic *topic), void *arg);

/* The type of an UpdateMetadata that names all that there is: what it does not
 * name is gone. Kafka takes it so from KRaft controllers only. */
#define UPDATE_METADATA_FULL 2

/*
 * Applies an UpdateMetadata of any version (its body decoded). Epoch checks are
 * the caller's. The task, if any, is woken when every loop has the new image:
 * cluster_update_done() tells. Any thread; one at a time is applied.
 */
struct cluster_update; /* memory of its own; free after done */
struct cluster_update *cluster_update(struct cluster *cluster,
    const struct update_metadata_request *request, struct task_ref task);
bool cluster_update_done(const struct cluster_update *update);
/* Memory for it was refused: done at once, and the older view stays. */
bool cluster_update_failed(const struct cluster_update *update);
void cluster_update_free(struct cluster_update **update);

/* Woken after each swap, for tasks that wait for topics to appear. One queue a
 * loop: joins are the calling loop's. */
struct waitq *cluster_changed(struct cluster *cluster);

/* --- names ---------------------------------------------------------------- */

/* [a-zA-Z0-9._-]{1,249}, not "." or ".."; else why, as Kafka words it but for
 * the name. */
bool topic_name_valid(struct slice name, const char **why);
/* The whole message, in Kafka's words. NULL: the arena refused. */
const char *topic_name_complaint(struct arena *arena, struct slice name,
    const char *why);
bool topic_name_internal(struct slice name);
/* True when the two differ only in '.' and '_' (metrics names collide). */
bool topic_names_collide(struct slice a, struct slice b);

/* --- configs -------------------------------------------------------------- */

/*
 * Configs as ZooKeeper has them, kept by the controller's loop and read by all:
 * counted, immutable maps of strings with what follows from them.
 */
struct topic_options; /* config/topic.h */
struct config;
struct config_map;
struct zk;
struct zk_op;

struct topic_config {
	char *topic;
	struct config_map *map; /* what /config/topics/T holds */
	struct topic_options *options; /* resolved with the broker's */
	/* ZooKeeper does not let us read it: what was known before, or the
	 * broker's; but nobody leads uncleanly, and no record goes by age or
	 * size. */
	bool refused;
	/* hidden: reference count */
};

struct configs;
struct configs_setup {
	struct loop *loop; /* the controller's: zk's owner */
	struct zk *zk;
	const struct config *config; /* has the defaults; counted */
	struct diag *diag;
	/* A topic's config changed after all were loaded, or somebody says that
	 * it did; on `loop`; the config is borrowed. May be NULL. */
	void (*changed)(void *arg, const struct topic_config *config);
	void *changed_arg;
};
struct configs *configs_new(const struct configs_setup *setup);
/* Before zk's end and while its loop runs nothing. */
void configs_free(struct configs **configs);
/* Watches /config/changes from now on; reads every topic's config once. */
void configs_start(struct configs *configs);
/* Fetches under way, and all that come, end as failed. On the loop. */
void configs_stop(struct configs *configs);
bool configs_started(const struct configs *configs); /* loaded all once */
/* Other defaults: every topic's options are resolved anew. It is told to nobody
 * by `changed`: the caller goes through all that took options. On the loop. */
void configs_set_defaults(struct configs *configs, const struct config *config);
/* What ZooKeeper refused at the first reading, without which no config can be
 * followed: path and rc; NULL: nothing yet. On the loop. */
const struct zk_op *configs_refusal(const struct configs *configs);
struct waitq *configs_loaded(struct configs *configs);
/* What is known; the defaults where nothing is. Never NULL; the caller unrefs.
 * Any thread. */
const struct topic_config *configs_topic(struct configs *configs,
    const char *topic);
void topic_config_unref(const struct topic_config *config);

/*
 * A topic that is made is in no notification.  So whoever is to decide by the
 * configs of topics wishes for them first, with their ids: what is not known of
 * just these topics is read.  The task is woken; any thread.  Names are copied;
 * those that no topic can have are passed over.  What ZooKeeper refuses to let
 * us read holds nothing up: that topic's config says `refused`.
 */
struct configs_wish {
	struct slice topic;
	struct uuid id; /* zero: read in any case, and not known by it */
	bool anew;      /* read though it is known */
};
struct configs_fetch;
struct configs_fetch *configs_fetch(struct configs *configs,
    const struct configs_wish *wishes, size_t count, struct task_ref task);
bool configs_fetch_done(const struct configs_fetch *fetch);
/* Done since the broker stops: what is known may be another topic's. */
bool configs_fetch_failed(const struct configs_fetch *fetch);
void configs_fetch_free(struct configs_fetch **fetch);
/* On the loop: whether it would be read. */
bool configs_known(const struct configs *configs, struct slice topic,
    struct uuid id);
/* On the loop: the topic is gone. */
void configs_forget(struct configs *configs, struct slice topic);
/* On the loop: likewise all that the image does not have, but their configs,
 * which are read again when they are wished for. */
void configs_unknow_gone(struct configs *configs,
    const struct cluster_image *image);
/* On the loop: takes over what a GET of /config/topics/T answered. False: it
 * cannot be read, which was said; what was known before stays. */
bool configs_take(struct configs *configs, const char *topic,
    const struct zk_op *op);

#endif
