/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics come and go, and get partitions.
 *
 *	[list /brokers/topics] --> new names --> [read] --> [give ids] --+
 *	                                           ^  a thousand at once |
 *	                                           +---------------------+
 *	                       --> names gone: forgotten
 *	                       --> partitions NEW: rewrite.c makes their states
 *
 * A topic that has no id gets one; a topic whose id an old tool erased gets its
 * own back: from what we knew of it, or from what our broker believes
 * (KAFKA-14190).
 */
#include "base/placement.h"
#include "controller/controller_int.h"

#define TOPICS_AT_ONCE 1000

static task_step topics_listed, topics_add_read, topics_add_take,
    topics_add_written, topics_data_take, topics_data_written;

/* --- ids ------------------------------------------------------------------ */

static struct uuid
topic_id_known(struct controller *c, const struct topic *topic)
{
	const struct cluster_topic *believed;

	if (!uuid_is_zero(topic->id))
		return (topic->id);
	believed = image_topic(cluster_image(c->setup.cluster),
	    slice_of_text(topic->name));
	if (believed != NULL && !uuid_is_zero(believed->id))
		return (believed->id);
	return (uuid_random(c->setup.random));
}

/* A fenced write of the node with its id, into the batch. */
static void
topic_give_id(struct controller *c, struct topic *topic,
    struct znode_topic *node, int32_t version)
{
	char text[UUID_TEXT_SIZE];
	struct buffer json = BUFFER_EMPTY;
	struct zk_op *multi = controller_fenced(c, 1);

	topic_set_id(topic, topic_id_known(c, topic));
	node->id = topic->id;
	uuid_to_text(topic->id, text);
	diag_info(c->setup.diag, controller, "topic=%s has no id in ZooKeeper: "
	    "gets id=%s", topic->name, text);
	znode_topic_encode(node, &json);
	zk_multi_set(c->batch, multi, znode_topic_path(
	    zk_batch_arena(c->batch), topic->name), buffer_slice(&json),
	    version);
	buffer_fini(&json);
	c->ops[c->op_count++] = multi;
}

/* The answers to them. A version that moved: its watch has fired too, so it is
 * looked at once more. */
static bool
ids_written(struct task *t, enum verdict *verdict)
{
	struct controller *c = controller_of(t);

	if (!controller_answered(t, verdict))
		return (false);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *multi = c->ops[i];

		if (controller_fence_failed(multi)) {
			*verdict = controller_resign(t,
			    "another controller was elected");
			return (false);
		}
		if (multi->rc != ZK_OK && multi->rc != ZK_BAD_VERSION &&
		    multi->rc != ZK_NO_NODE) {
			*verdict = controller_trouble(t, multi);
			return (false);
		}
	}
	return (true);
}

/* --- what a node says ----------------------------------------------------- */

/* Another's hand called off what moved, or ended it: who is in sync must
 * remain. */
static bool
ends_well(const struct partition *p, const struct znode_assignment *a)
{
	if (p->adding_count + p->removing_count == 0 || !p->written)
		return (false);
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (!numbers_hold(a->replicas, a->replica_count,
		    p->now.isr[i]))
			return (false);
	return (true);
}

/* Whether a way that starts where the partition is. */
static bool
begins_well(const struct partition *p, const struct znode_assignment *a)
{
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (numbers_hold(a->replicas, a->replica_count, p->now.isr[i]))
			return (true);
	return (false);
}

/* False: replicas were changed by hand, which nobody carries out. */
static bool
take_moves(struct controller *c, struct partition *p,
    const struct znode_assignment *a)
{
	struct znode_assignment known;

	partition_assignment(p, zk_batch_arena(c->list), &known);
	if (assignment_equal(a, &known) || topic_doomed(p->topic)) {
		c->moves_changed = c->moves_changed || p->adrift;
		p->adrift = false;
		return (true);
	}
	if (!(assignment_moves(a) ? begins_well(p, a) : ends_well(p, a)))
		return (false);
	reassign_take(c, p, a);
	return (true);
}

static void
topic_take_partitions(struct controller *c, struct topic *topic,
    const struct znode_topic *node)
{
	bool changed = false;

	/* What is added to a topic that goes is never made, as in Kafka. */
	for (size_t i = 0; i < node->partition_count; i++) {
		const struct znode_assignment *a = &node->partitions[i];
		struct partition *p = topic_find_partition(topic,
		    a->partition);

		if (p == NULL && topic_doomed(topic))
			continue;
		if (p != NULL) {
			changed = !take_moves(c, p, a) || changed;
			continue;
		}
		p = topic_add_partition(topic, a);
		rewrite_add(c, p);
		if (assignment_moves(a))
			reassign_begin(c, p);
	}
	if (changed && !topic->warned) {
		topic->warned = true;
		diag_warn(c->setup.diag, controller, "topic=%s had its "
		    "replicas changed in ZooKeeper by hand: left as they were; "
		    "use kafka-reassign-partitions", topic->name);
	}
}

/* A broker that a foreign tool names twice in one partition is one replica: two
 * would wait for one another's deletion. */
static void
topic_unique(struct controller *c, const struct topic *topic,
    struct znode_topic *node)
{
	bool repeats = false;

	for (size_t i = 0; i < node->partition_count; i++) {
		struct znode_assignment *a = &node->partitions[i];

		if (!placement_repeats(a->replicas, a->replica_count))
			continue;
		a->replica_count = placement_unique(a->replicas,
		    a->replica_count);
		repeats = true;
	}
	if (repeats)
		diag_warn(c->setup.diag, controller, "topic=%s has a partition "
		    "whose assignment names a broker twice: it counts once",
		    topic->name);
}

static bool
topic_decode(struct controller *c, const struct topic *topic,
    const struct zk_op *read, struct znode_topic *node)
{
	if (znode_topic_decode(read->answer, zk_batch_arena(c->list), node)) {
		topic_unique(c, topic, node);
		return (true);
	}
	diag_error(c->setup.diag, controller, "topic=%s has a node that cannot "
	    "be read: left out", topic->name);
	return (false);
}

/* --- topics that are new -------------------------------------------------- */

enum verdict
topics_add_run(struct task *t, task_step *then)
{
	struct controller *c = controller_of(t);

	c->next_name = 0;
	c->names_then = then;
	return (task_next(t, topics_add_read));
}

static enum verdict
topics_add_read(struct task *t)
{
	struct controller *c = controller_of(t);
	size_t left = c->name_count - c->next_name;
	size_t count = left < TOPICS_AT_ONCE ? left : TOPICS_AT_ONCE;

	if (count == 0)
		return (task_next(t, c->names_then));
	controller_batch(c);
	controller_ops(c, count);
	for (; count > 0; count--) {
		const char *name = c->names[c->next_name++];
		struct topic *topic = context_add_topic(c, name);

		topic->watcher.changed = false;
		c->ops[c->op_count] = zk_batch_get(c->batch,
		    znode_topic_path(zk_batch_arena(c->batch), name),
		    &topic->watcher);
		c->ops[c->op_count++]->cookie = topic;
	}
	return (controller_submit(t, topics_add_take));
}

static enum verdict
topics_add_take(struct task *t)
{
	struct controller *c = controller_of(t);
	size_t count = c->op_count;
	struct zk_op **reads = c->ops;
	struct zk_batch *names = c->list;
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < count; i++)
		if (reads[i]->rc != ZK_OK && reads[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, reads[i]));
	/* The reads stay until they are taken; the names a while longer. */
	c->list = c->batch;
	c->batch = NULL;
	c->ops = NULL;
	controller_batch(c);
	controller_ops(c, count);
	for (size_t i = 0; i < count; i++) {
		struct topic *topic = reads[i]->cookie;
		struct znode_topic node;

		if (reads[i]->rc == ZK_NO_NODE ||
		    !topic_decode(c, topic, reads[i], &node)) {
			context_remove_topic(&c->context, topic);
			continue;
		}
		topic_set_id(topic, node.id);
		topic->czxid = reads[i]->stat.czxid;
		if (uuid_is_zero(node.id))
			topic_give_id(c, topic, &node, reads[i]->stat.version);
		topic_take_partitions(c, topic, &node);
	}
	mem_free(reads);
	zk_batch_free(&c->list);
	c->list = names;
	if (c->op_count == 0)
		return (task_next(t, topics_add_read));
	return (controller_submit(t, topics_add_written));
}

static enum verdict
topics_add_written(struct task *t)
{
	enum verdict verdict;

	if (!ids_written(t, &verdict))
		return (verdict);
	return (task_next(t, topics_add_read));
}

/* --- the listing ---------------------------------------------------------- */

enum verdict
topics_read(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	c->op = controller_watch_read(c, WATCH_TOPICS);
	return (controller_submit(t, topics_listed));
}

static void
topics_forget_gone(struct controller *c)
{
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		if (!topic->found) {
			diag_warn(c->setup.diag, controller, "topic=%s is gone "
			    "from ZooKeeper: forgotten", topic->name);
			topic_leaves_node(c, topic);
			context_remove_topic(&c->context, topic);
			waitq_wake(&c->deleted);
		}
	}
}

static task_step topics_added;

static enum verdict
topics_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc != ZK_OK)
		return (controller_trouble(t, c->op));
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	HASH_EACH(node, &c->context.topics)
		container_of(node, struct topic, node)->found = false;
	c->names = c->op->children;
	c->name_count = 0;
	for (size_t i = 0; i < c->op->child_count; i++) {
		const char *name = c->op->children[i];
		struct topic *topic = context_topic(&c->context,
		    slice_of_text(name));

		if (topic != NULL)
			topic->found = true;
		else
			c->names[c->name_count++] = name;
	}
	topics_forget_gone(c);
	return (topics_add_run(t, topics_added));
}

static enum verdict
topics_added(struct task *t)
{
	return (rewrite_run(t, controller_idle));
}

/* --- data of known topics ------------------------------------------------- */

bool
topics_data_changed(const struct controller *c)
{
	return (!list_empty(&c->topic_watches.changed));
}

enum verdict
topics_data_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_watcher *watcher;

	controller_batch(c);
	controller_ops(c, TOPICS_AT_ONCE);
	while (c->op_count < TOPICS_AT_ONCE &&
	    (watcher = zk_watch_group_take(&c->topic_watches)) != NULL) {
		struct topic *topic = container_of(watcher, struct topic,
		    watcher);

		if (!watcher->changed)
			continue;
		watcher->changed = false;
		c->ops[c->op_count] = zk_batch_get(c->batch,
		    znode_topic_path(zk_batch_arena(c->batch), topic->name),
		    &topic->watcher);
		c->ops[c->op_count++]->cookie = topic;
	}
	return (controller_submit(t, topics_data_take));
}

static void
topic_take_change(struct controller *c, struct topic *topic,
    const struct zk_op *read)
{
	struct znode_topic node;

	/* Gone: the listing tells. */
	if (read->rc == ZK_NO_NODE) {
		c->watches[WATCH_TOPICS].watcher.changed = true;
		return;
	}
	if (!topic_decode(c, topic, read, &node))
		return;
	if (!uuid_is_zero(node.id) && !uuid_equal(node.id, topic->id)) {
		/* Deleted and made anew meanwhile; a mark may be left. */
		if (topic_doomed(topic))
			c->watches[WATCH_DELETIONS].watcher.changed = true;
		topic_leaves_node(c, topic);
		context_remove_topic(&c->context, topic);
		c->watches[WATCH_TOPICS].watcher.changed = true;
		return;
	}
	if (uuid_is_zero(node.id))
		topic_give_id(c, topic, &node, read->stat.version);
	topic_take_partitions(c, topic, &node);
}

static enum verdict
topics_data_take(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_op **reads = c->ops;
	size_t count = c->op_count;
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < count; i++)
		if (reads[i]->rc != ZK_OK && reads[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, reads[i]));
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	c->ops = NULL;
	controller_batch(c);
	controller_ops(c, count);
	for (size_t i = 0; i < count; i++)
		topic_take_change(c, reads[i]->cookie, reads[i]);
	mem_free(reads);
	if (c->op_count == 0)
		return (rewrite_run(t, controller_idle));
	return (controller_submit(t, topics_data_written));
}

static enum verdict
topics_data_written(struct task *t)
{
	enum verdict verdict;

	if (!ids_written(t, &verdict))
		return (verdict);
	return (rewrite_run(t, controller_idle));
}
