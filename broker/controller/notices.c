/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others tell by nodes: log dirs that failed, and ISRs that leaders of old
 * versions wrote themselves.
 */
#include "controller/controller_int.h"

static task_step log_dirs_listed, log_dirs_read, isr_listed, isr_read,
    isr_checked, notices_deleted;

static struct zk_op *
notice_path(struct controller *c, enum controller_watch watch,
    const char *name)
{
	return (zk_batch_get(c->batch, znode_join(zk_batch_arena(c->batch),
	    controller_watch_path(watch), name), NULL));
}

void
notices_delete(struct controller *c, enum controller_watch watch,
    const struct zk_op *listed)
{
	for (size_t i = 0; i < listed->child_count; i++) {
		struct zk_op *multi = controller_fenced(c, 1);

		zk_multi_delete(c->batch, multi,
		    znode_join(zk_batch_arena(c->batch),
			controller_watch_path(watch), listed->children[i]),
		    ZK_ANY_VERSION);
	}
}

/* Lists a directory, its watch armed. */
static enum verdict
notices_list(struct task *t, enum controller_watch watch, task_step *step)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	c->op = controller_watch_read(c, watch);
	return (controller_submit(t, step));
}

/* Reads all children; c->list keeps the listing. */
static enum verdict
notices_read(struct task *t, enum controller_watch watch, task_step *step)
{
	struct controller *c = controller_of(t);
	struct zk_op *listed = c->op;

	zk_batch_free(&c->list);
	c->list = c->batch;
	c->listed = listed;
	c->batch = NULL;
	controller_batch(c);
	controller_ops(c, listed->child_count);
	for (size_t i = 0; i < listed->child_count; i++)
		c->ops[c->op_count++] = notice_path(c, watch,
		    listed->children[i]);
	return (controller_submit(t, step));
}

static enum verdict
notices_forget(struct task *t, enum controller_watch watch)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	notices_delete(c, watch, c->listed);
	return (controller_submit(t, notices_deleted));
}

/* Whether a delete failed does not matter: the next controller deletes them. */
static enum verdict
notices_deleted(struct task *t)
{
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	return (task_next(t, controller_idle));
}

/* --- log dirs ------------------------------------------------------------- */

enum verdict
notices_log_dirs(struct task *t)
{
	return (notices_list(t, WATCH_LOG_DIRS, log_dirs_listed));
}

static enum verdict
log_dirs_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc != ZK_OK && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	if (c->op->child_count == 0)
		return (task_next(t, controller_idle));
	return (notices_read(t, WATCH_LOG_DIRS, log_dirs_read));
}

/* Asked about all its replicas, the broker says which of them are lost. */
static void
ask_about_replicas(struct controller *c, const struct live_broker *broker)
{
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			if (partition_replica(topic->partitions[i],
			    broker->id) != NULL)
				orders_replica(c, topic->partitions[i],
				    broker);
	}
}

static enum verdict
log_dirs_read(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;
	int32_t id;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct live_broker *broker;

		if (c->ops[i]->rc != ZK_OK ||
		    !znode_log_dir_event_decode(c->ops[i]->answer, &id))
			continue;
		broker = context_broker(&c->context, id);
		diag_warn(c->setup.diag, controller,
		    "broker=%d tells of a failed log dir", (int)id);
		if (broker != NULL)
			ask_about_replicas(c, broker);
	}
	orders_send(c);
	return (notices_forget(t, WATCH_LOG_DIRS));
}

/* --- ISR changes ---------------------------------------------------------- */

enum verdict
notices_isr(struct task *t)
{
	return (notices_list(t, WATCH_ISR_CHANGES, isr_listed));
}

static enum verdict
isr_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc != ZK_OK && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	if (c->op->child_count == 0)
		return (task_next(t, controller_idle));
	return (notices_read(t, WATCH_ISR_CHANGES, isr_read));
}

static void
isr_take(struct controller *c, const struct zk_op *read)
{
	struct znode_partitions changed;

	if (read->rc != ZK_OK || !znode_partitions_decode(read->answer,
	    zk_batch_arena(c->batch), &changed))
		return;
	for (size_t i = 0; i < changed.count; i++) {
		struct topic *topic = context_topic(&c->context,
		    slice_of_text(changed.items[i].topic));
		struct partition *p = topic == NULL ? NULL :
		    topic_find_partition(topic, changed.items[i].partition);

		if (p != NULL)
			rewrite_add(c, p);
	}
}

static enum verdict
isr_read(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++)
		isr_take(c, c->ops[i]);
	return (rewrite_run_fresh(t, isr_checked));
}

static enum verdict
isr_checked(struct task *t)
{
	return (notices_forget(t, WATCH_ISR_CHANGES));
}
