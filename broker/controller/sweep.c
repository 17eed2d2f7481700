/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of topics whose replicas are all deleted.  They go bottom up, in
 * fenced multis of which the last one takes the topic, its config and the mark
 * together: nobody ever sees one of them without the others, and the name is
 * free from then on.
 *
 *	[sweep] --> all gone: forgotten <----------------+
 *	   ^  |                                          | no mark, another id
 *	   |  +--> something was missing, or unexpected: [look]
 *	   |                                               | the mark is there
 *	   +------ [walk] the tree, delete what is there <-+
 *
 * What is missing may be the echo of our own last multi, whose answer was lost.
 * The name was free from then on, and may be another topic's by now: it is not
 * touched unless the mark, which went with the old one, is there.
 */
#include "controller/controller_int.h"

#include <stdio.h>

/* Trees that somebody adds to while they are removed. */
#define WALKS_MAX 20
/* More than the largest topic has. */
#define WALK_PATHS_MAX 500000

static task_step sweep_written, walk_look, walk_looked, walk_list,
    walk_listed, walk_delete, walk_deleted, walk_end, walk_ended;

/* --- the nodes of topics that are gone ------------------------------------ */

static size_t
partition_nodes(const struct partition *p)
{
	return (p->written ? 2 : p->node_made ? 1 : 0);
}

static void
sweep_partition(struct controller *c, struct zk_op *multi,
    const struct partition *p)
{
	struct arena *arena = zk_batch_arena(c->batch);

	if (p->written)
		zk_multi_delete(c->batch, multi, znode_state_path(arena,
		    p->topic->name, p->number), ZK_ANY_VERSION);
	if (partition_nodes(p) > 0)
		zk_multi_delete(c->batch, multi, znode_partition_path(arena,
		    p->topic->name, p->number), ZK_ANY_VERSION);
}

/* What stands above the partitions: all at once. */
static void
sweep_top(struct controller *c, struct zk_op *multi, const struct topic *topic)
{
	struct arena *arena = zk_batch_arena(c->batch);

	zk_multi_delete(c->batch, multi, znode_partitions_path(arena,
	    topic->name), ZK_ANY_VERSION);
	zk_multi_delete(c->batch, multi, znode_topic_path(arena, topic->name),
	    ZK_ANY_VERSION);
	zk_multi_delete(c->batch, multi, znode_config_path(arena, "topics",
	    topic->name), ZK_ANY_VERSION);
	zk_multi_delete(c->batch, multi, znode_delete_topic_path(arena,
	    topic->name), ZK_ANY_VERSION);
}

#define TOP_NODES 4

/* From topic->swept on, as much as the batch takes; its room left. */
static size_t
sweep_topic(struct controller *c, struct topic *topic, size_t room)
{
	while (topic->swept < topic->partition_count && room > 0) {
		size_t left = topic->partition_count - topic->swept;
		size_t count = left < MULTI_PARTITIONS ? left :
		    MULTI_PARTITIONS;
		struct partition **first = &topic->partitions[topic->swept];
		bool last = count == left;
		size_t parts = last ? TOP_NODES : 0;

		for (size_t i = 0; i < count; i++)
			parts += partition_nodes(first[i]);
		c->ops[c->op_count] = controller_fenced(c, parts);
		for (size_t i = 0; i < count; i++)
			sweep_partition(c, c->ops[c->op_count], first[i]);
		if (last)
			sweep_top(c, c->ops[c->op_count], topic);
		c->ops[c->op_count++]->cookie = topic;
		topic->swept += count;
		room -= count < room ? count : room;
	}
	return (room);
}

enum verdict
sweep_run(struct task *t)
{
	struct controller *c = controller_of(t);
	size_t room = BATCH_OPERATIONS;

	controller_batch(c);
	controller_ops(c, BATCH_OPERATIONS);
	LIST_EACH(element, &c->context.doomed) {
		struct topic *topic = list_entry(element, struct topic, doomed);

		if (room == 0 || !deletion_finished(topic))
			continue;
		/* Nothing is known of what lies below it. */
		if (topic->partition_count == 0 || topic->walked) {
			c->tree.topic = topic;
			continue;
		}
		room = sweep_topic(c, topic, room);
	}
	if (c->op_count > 0)
		return (controller_submit(t, sweep_written));
	return (task_next(t, c->tree.topic != NULL ? walk_look :
		controller_idle));
}

static void
forget(struct controller *c, struct topic *topic)
{
	diag_info(c->setup.diag, controller, "topic=%s deleted partitions=%zu",
	    topic->name, topic->partition_count);
	context_remove_topic(&c->context, topic);
	waitq_wake(&c->deleted);
}

/* Is the last operation of its topic in this batch. */
static bool
is_last_of_topic(const struct controller *c, size_t i)
{
	return (i + 1 == c->op_count ||
	    c->ops[i + 1]->cookie != c->ops[i]->cookie);
}

static enum verdict
sweep_written(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *multi = c->ops[i];
		struct topic *topic = multi->cookie;

		if (controller_fence_failed(multi))
			return (controller_resign(t,
			    "another controller was elected"));
		if (multi->rc == ZK_NO_NODE || multi->rc == ZK_NOT_EMPTY)
			topic->walked = true;
		else if (multi->rc != ZK_OK)
			return (controller_trouble(t, multi));
		if (is_last_of_topic(c, i) && !topic->walked &&
		    topic->swept == topic->partition_count)
			forget(c, topic);
	}
	return (task_next(t, sweep_run));
}

/* --- a tree that is not as it should be ----------------------------------- */

static void
walk_add(struct tree_walk *walk, const char *parent, const char *child)
{
	size_t size = strlen(parent) + strlen(child) + 2;

	/* The rest is found by the next walk. */
	if (walk->count >= WALK_PATHS_MAX)
		return;
	if (walk->count == walk->capacity) {
		walk->capacity = walk->capacity * 2 + 64;
		walk->paths = mem_realloc(walk->paths,
		    walk->capacity * sizeof(char *));
	}
	walk->paths[walk->count] = mem_alloc(size);
	snprintf(walk->paths[walk->count++], size, "%s/%s", parent, child);
}

static void
walk_clear(struct tree_walk *walk)
{
	while (walk->count > 0)
		mem_free(walk->paths[--walk->count]);
	mem_free(walk->paths);
	walk->paths = NULL;
	walk->capacity = walk->next = 0;
}

void
sweep_clear(struct controller *c)
{
	walk_clear(&c->tree);
	c->tree.topic = NULL;
}

static enum verdict
walk_look(struct task *t)
{
	struct controller *c = controller_of(t);
	struct arena *arena;

	controller_batch(c);
	controller_ops(c, 2);
	arena = zk_batch_arena(c->batch);
	c->ops[c->op_count++] = zk_batch_exists(c->batch,
	    znode_delete_topic_path(arena, c->tree.topic->name), NULL);
	c->ops[c->op_count++] = zk_batch_get(c->batch,
	    znode_topic_path(arena, c->tree.topic->name), NULL);
	return (controller_submit(t, walk_looked));
}

/* Of the same name and another topic; one without an id may be ours still. */
static bool
is_another(struct controller *c, const struct topic *topic,
    const struct zk_op *read)
{
	struct znode_topic node;

	return (read->rc == ZK_OK && !uuid_is_zero(topic->id) &&
	    znode_topic_decode(read->answer, zk_batch_arena(c->batch),
		&node) &&
	    !uuid_is_zero(node.id) && !uuid_equal(node.id, topic->id));
}

static enum verdict
walk_looked(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	if (c->ops[0]->rc == ZK_OK &&
	    !is_another(c, c->tree.topic, c->ops[1]))
		return (task_next(t, walk_list));
	/* Whatever bears the name now is new to us. */
	c->watches[WATCH_TOPICS].watcher.changed = true;
	c->watches[WATCH_DELETIONS].watcher.changed = true;
	forget(c, c->tree.topic);
	sweep_clear(c);
	return (task_next(t, sweep_run));
}

/*
 * c->tree: the topic's node, then the children of each that was listed,
 * level by level: backwards, every node comes after what lies below it.
 */
static enum verdict
walk_list(struct task *t)
{
	struct controller *c = controller_of(t);
	struct topic *topic = c->tree.topic;

	if (c->tree.count == 0)
		walk_add(&c->tree, ZNODE_BROKER_TOPICS, topic->name);
	if (c->tree.next == c->tree.count)
		return (task_next(t, walk_delete));
	controller_batch(c);
	controller_ops(c, BATCH_OPERATIONS);
	while (c->tree.next < c->tree.count &&
	    c->op_count < BATCH_OPERATIONS)
		c->ops[c->op_count++] = zk_batch_children(c->batch,
		    c->tree.paths[c->tree.next++], NULL);
	return (controller_submit(t, walk_listed));
}

static enum verdict
walk_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *listed = c->ops[i];

		if (listed->rc != ZK_OK && listed->rc != ZK_NO_NODE)
			return (controller_trouble(t, listed));
		for (size_t k = 0; k < listed->child_count; k++)
			walk_add(&c->tree, listed->path,
			    listed->children[k]);
	}
	return (task_next(t, walk_list));
}

static void
walk_add_delete(struct controller *c, const char *path)
{
	struct zk_op *multi = controller_fenced(c, 2);

	zk_multi_check(c->batch, multi, znode_delete_topic_path(
	    zk_batch_arena(c->batch), c->tree.topic->name), ZK_ANY_VERSION);
	zk_multi_delete(c->batch, multi, path, ZK_ANY_VERSION);
	c->ops[c->op_count++] = multi;
}

static enum verdict
walk_delete(struct task *t)
{
	struct controller *c = controller_of(t);

	if (c->tree.count == 0)
		return (task_next(t, walk_end));
	controller_batch(c);
	controller_ops(c, BATCH_OPERATIONS);
	while (c->tree.count > 0 && c->op_count < BATCH_OPERATIONS) {
		char *path = c->tree.paths[--c->tree.count];

		walk_add_delete(c, arena_strdup(zk_batch_arena(c->batch),
		    path));
		mem_free(path);
	}
	return (controller_submit(t, walk_deleted));
}

/* False: *verdict is to be returned. *again: somebody added to the tree. No
 * node: it went before, or the mark did, and with it all that was ours. */
static bool
walk_well(struct task *t, enum verdict *verdict, bool *again)
{
	struct controller *c = controller_of(t);

	*again = false;
	if (!controller_answered(t, verdict))
		return (false);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *multi = c->ops[i];

		if (controller_fence_failed(multi)) {
			*verdict = controller_resign(t,
			    "another controller was elected");
			return (false);
		}
		if (multi->rc == ZK_NOT_EMPTY)
			*again = true;
		else if (multi->rc != ZK_OK && multi->rc != ZK_NO_NODE) {
			*verdict = controller_trouble(t, multi);
			return (false);
		}
	}
	return (true);
}

static enum verdict
walk_deleted(struct task *t)
{
	struct controller *c = controller_of(t);
	struct topic *topic = c->tree.topic;
	enum verdict verdict;
	bool again;

	if (!walk_well(t, &verdict, &again))
		return (verdict);
	if (!again)
		return (task_next(t, walk_delete));
	walk_clear(&c->tree);
	if (++topic->walks < WALKS_MAX)
		return (task_next(t, walk_list));
	diag_error(c->setup.diag, controller, "topic=%s cannot be removed from "
	    "ZooKeeper: its node gets new children again and again; forgotten "
	    "until the next controller", topic->name);
	return (task_next(t, walk_ended));
}

/* What lies elsewhere: the mark last. */
static enum verdict
walk_end(struct task *t)
{
	struct controller *c = controller_of(t);
	struct arena *arena;

	controller_batch(c);
	controller_ops(c, 2);
	arena = zk_batch_arena(c->batch);
	walk_add_delete(c, znode_config_path(arena, "topics",
	    c->tree.topic->name));
	walk_add_delete(c, znode_delete_topic_path(arena,
	    c->tree.topic->name));
	return (controller_submit(t, walk_ended));
}

static enum verdict
walk_ended(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;
	bool again;

	if (!walk_well(t, &verdict, &again))
		return (verdict);
	forget(c, c->tree.topic);
	sweep_clear(c);
	return (task_next(t, sweep_run));
}
