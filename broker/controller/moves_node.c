/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /admin/reassign_partitions, as tools before 2.6 write it.
 *
 *	[there] --> [read] --> not begun: begun, as if asked for (moves.c)
 *	   ^           |  ---> under way: stays in the node
 *	   |           v  ---> over, refused, of no partition: out of it
 *	   |        [written with the rest, or deleted when nothing is left]
 *	   +----- one that is in it ended its move
 *
 * Source: KafkaController.processZkPartitionReassignment of 3.9; partitions
 * that are not there: KAFKA-9478.
 */
#include <stdlib.h>

#include "controller/controller_int.h"

static task_step node_look, node_written;

enum verdict
moves_node(struct task *t)
{
	struct controller *c = controller_of(t);

	c->node_due = false;
	controller_batch(c);
	controller_ops(c, 2);
	c->ops[0] = controller_watch_read(c, WATCH_REASSIGNMENTS);
	c->ops[1] = zk_batch_get(c->batch, ZNODE_REASSIGN_PARTITIONS, NULL);
	return (controller_submit(t, node_look));
}

static int
item_order(const void *a, const void *b)
{
	const struct znode_topic_partition *one = a, *two = b;
	int order = strcmp(one->topic, two->topic);

	return (order != 0 ? order : (one->partition > two->partition) -
	    (one->partition < two->partition));
}

static struct partition *
item_partition(const struct controller *c,
    const struct znode_topic_partition *item)
{
	struct topic *topic = context_topic(&c->context,
	    slice_of_text(item->topic));

	return (topic == NULL || topic_doomed(topic) ? NULL :
	    topic_find_partition(topic, item->partition));
}

void
topic_leaves_node(struct controller *c, const struct topic *topic)
{
	for (size_t i = 0; i < topic->partition_count; i++)
		c->node_due = c->node_due ||
		    topic->partitions[i]->node_move == NODE_MOVE_TAKEN;
}

/* Sorts out which stay in the node, at its front; `*begun` of them come first
 * in `starts`. */
static void
sort_items(const struct controller *c, struct znode_partitions *node,
    struct znode_topic_partition *starts, size_t *begun)
{
	size_t kept = 0;

	for (size_t i = 0; i < node->count; i++) {
		const struct znode_topic_partition item = node->items[i];
		struct partition *p = item_partition(c, &item);

		/* Each once. */
		if (p == NULL || p->node_move == NODE_MOVE_OVER || (kept > 0 &&
		    item_order(&node->items[kept - 1], &item) == 0))
			continue;
		if (p->node_move == NODE_MOVE_TAKEN &&
		    p->adding_count + p->removing_count == 0)
			continue;
		if (p->node_move == NODE_MOVE_NONE)
			starts[(*begun)++] = item;
		node->items[kept++] = item;
	}
	node->count = kept;
}

static void
node_write(struct controller *c, const struct znode_partitions *node,
    int32_t version)
{
	struct buffer json = BUFFER_EMPTY;

	c->op = controller_fenced(c, 1);
	if (node->count == 0) {
		zk_multi_delete(c->batch, c->op, ZNODE_REASSIGN_PARTITIONS,
		    version);
		return;
	}
	znode_partitions_encode(node, true, &json);
	zk_multi_set(c->batch, c->op, ZNODE_REASSIGN_PARTITIONS,
	    buffer_slice(&json), version);
	buffer_fini(&json);
}

static enum verdict
node_look(struct task *t)
{
	struct controller *c = controller_of(t);
	const struct zk_op *read = c->ops[1];
	struct znode_partitions node = { .count = 0 };
	struct znode_topic_partition *starts;
	enum verdict verdict;
	size_t begun = 0, count;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (read->rc == ZK_NO_NODE)
		return (task_next(t, controller_idle));
	if (read->rc != ZK_OK)
		return (controller_trouble(t, read));
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	if (!znode_partitions_decode(read->answer, zk_batch_arena(c->list),
	    &node))
		diag_warn(c->setup.diag, controller, ZNODE_REASSIGN_PARTITIONS
		    " cannot be read: deleted");
	count = node.count;
	if (count > 1)
		qsort(node.items, count, sizeof(*node.items), item_order);
	starts = mem_alloc((count + 1) * sizeof(*starts));
	sort_items(c, &node, starts, &begun);
	if (begun > 0)
		moves_start(c, starts, begun);
	mem_free(starts);
	if (node.count == count && count > 0)
		return (task_next(t, controller_idle));
	controller_batch(c);
	node_write(c, &node, read->stat.version);
	return (controller_submit(t, node_written));
}

/* Another version: its watch has fired. What is out of the node may be asked
 * for by another one. */
static enum verdict
node_written(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (controller_fence_failed(c->op))
		return (controller_resign(t, "another controller was elected"));
	if (c->op->rc != ZK_OK)
		return (task_next(t, controller_idle));
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++) {
			struct partition *p = topic->partitions[i];

			if (p->node_move == NODE_MOVE_OVER ||
			    (p->node_move == NODE_MOVE_TAKEN &&
			    p->adding_count + p->removing_count == 0))
				p->node_move = NODE_MOVE_NONE;
		}
	}
	return (task_next(t, controller_idle));
}
