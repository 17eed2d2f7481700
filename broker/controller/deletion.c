/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics that are being deleted.  A mark /admin/delete_topics/T, whoever made
 * it, dooms the topic T:
 *
 *	mark seen --> [doomed] --> every broker forgets it (UpdateMetadata,
 *	                 ^  |      leader -2), its partitions are gone, each
 *	    a broker     |  |      replica is told to go (StopReplica)
 *	    came         |  v
 *	                 |  [replicas: Started -> Successful | Ineligible]
 *	                 |  |                 |
 *	                 +--+-- [halted] <----+ one cannot be reached or failed
 *	                    v all Successful
 *	                 [nodes removed: sweep.c] --> forgotten
 *
 * Where Kafka first stops a replica and takes it out of its ISR, and only then
 * deletes it, one StopReplica does here: nobody is elected any more, so that
 * ISRs mean nothing.
 *
 * Source: TopicDeletionManager of 3.9.
 */
#include "controller/controller_int.h"

static task_step deletions_listed, deletions_unmarked;

/* --- marks ---------------------------------------------------------------- */

enum verdict
deletions_read(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	c->op = controller_watch_read(c, WATCH_DELETIONS);
	return (controller_submit(t, deletions_listed));
}

static void
doom(struct controller *c, struct topic *topic)
{
	if (topic_doomed(topic))
		return;
	diag_info(c->setup.diag, controller, "topic=%s is to be deleted",
	    topic->name);
	list_push_tail(&c->context.doomed, &topic->doomed);
	/* What moves goes, too, wherever it is. */
	for (size_t i = 0; i < topic->partition_count; i++) {
		list_remove(&topic->partitions[i]->pending);
		list_remove(&topic->partitions[i]->moving);
		topic->partitions[i]->closing = false;
	}
	topic_leaves_node(c, topic);
	c->context.unmeasured = true;
	c->deletions_moved = true;
}

void
deletions_take_over(struct controller *c, const struct zk_op *listed)
{
	/* Marks of topics that are not there are removed later. */
	if (listed->child_count > 0)
		c->watches[WATCH_DELETIONS].watcher.changed = true;
	for (size_t i = 0; c->setup.options->delete_topic_enable &&
	    i < listed->child_count; i++) {
		struct topic *topic = context_topic(&c->context,
		    slice_of_text(listed->children[i]));

		if (topic != NULL)
			doom(c, topic);
	}
}

static void
unmark(struct controller *c, const char *name)
{
	struct zk_op *multi = controller_fenced(c, 1);

	if (c->setup.options->delete_topic_enable)
		diag_info(c->setup.diag, controller, "topic=%s is marked for "
		    "deletion but not there: the mark is removed", name);
	else
		diag_warn(c->setup.diag, controller, "topic=%s is marked for "
		    "deletion but delete.topic.enable is false: the mark is "
		    "removed, the topic stays", name);
	zk_multi_delete(c->batch, multi, znode_delete_topic_path(
	    zk_batch_arena(c->batch), name), ZK_ANY_VERSION);
	c->ops[c->op_count++] = multi;
}

static enum verdict
deletions_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	const struct zk_op *listed = c->op;
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (listed->rc != ZK_OK && listed->rc != ZK_NO_NODE)
		return (controller_trouble(t, listed));
	/* A topic that is newer than our list of them comes first. */
	if (c->watches[WATCH_TOPICS].watcher.changed) {
		c->watches[WATCH_DELETIONS].watcher.changed = true;
		return (task_next(t, controller_idle));
	}
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	controller_batch(c);
	controller_ops(c, listed->child_count);
	for (size_t i = 0; i < listed->child_count; i++) {
		struct topic *topic = context_topic(&c->context,
		    slice_of_text(listed->children[i]));

		if (topic == NULL || !c->setup.options->delete_topic_enable)
			unmark(c, listed->children[i]);
		else
			doom(c, topic);
	}
	if (c->op_count == 0)
		return (task_next(t, deletions_run));
	return (controller_submit(t, deletions_unmarked));
}

static enum verdict
deletions_unmarked(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		if (controller_fence_failed(c->ops[i]))
			return (controller_resign(t,
			    "another controller was elected"));
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	}
	return (task_next(t, deletions_run));
}

/* --- what becomes of a topic ---------------------------------------------- */

static void
halt(struct controller *c, struct topic *topic, const char *why)
{
	if (!topic->halted)
		diag_info(c->setup.diag, controller, "topic=%s cannot be "
		    "deleted yet: %s; goes on when that has changed",
		    topic->name, why);
	topic->halted = true;
	waitq_wake(&c->deleted);
}

void
deletion_resume(struct controller *c, struct topic *topic)
{
	if (!topic_doomed(topic))
		return;
	topic->halted = false;
	c->deletions_moved = true;
	controller_look(c);
}

void
deletion_fail_replica(struct controller *c, struct partition *p,
    struct assigned *replica)
{
	if (replica->state != REPLICA_DELETION_STARTED)
		return;
	replica_enter(replica, REPLICA_DELETION_INELIGIBLE);
	halt(c, p->topic, "a replica cannot be reached");
	c->deletions_moved = true;
	controller_look(c);
}

void
deletion_answered(struct controller *c, struct partition *p, int32_t broker,
    enum error error)
{
	struct assigned *replica = partition_replica(p, broker);

	if (!topic_doomed(p->topic) || replica == NULL ||
	    replica->state != REPLICA_DELETION_STARTED)
		return;
	if (error == ERR_NONE) {
		replica_enter(replica, REPLICA_DELETION_SUCCESSFUL);
	} else {
		diag_warn(c->setup.diag, controller, "partition=%s/%d was not "
		    "deleted on broker=%d error=%s: tried again when the "
		    "broker comes anew", p->topic->name, (int)p->number,
		    (int)broker, error_name(error));
		replica_enter(replica, REPLICA_DELETION_INELIGIBLE);
		halt(c, p->topic, "a replica could not be deleted");
	}
	c->deletions_moved = true;
	controller_look(c);
}

struct census {
	size_t replicas;
	size_t successful;
	size_t started;
};

static void
count_replicas(const struct topic *topic, struct census *census)
{
	*census = (struct census){ 0 };
	for (size_t i = 0; i < topic->partition_count; i++) {
		const struct partition *p = topic->partitions[i];

		census->replicas += (size_t)p->replica_count;
		for (int32_t r = 0; r < p->replica_count; r++) {
			census->started += p->replicas[r].state ==
			    REPLICA_DELETION_STARTED;
			census->successful += p->replicas[r].state ==
			    REPLICA_DELETION_SUCCESSFUL;
		}
	}
}

bool
deletion_finished(const struct topic *topic)
{
	struct census census;

	count_replicas(topic, &census);
	return (topic->begun && census.successful == census.replicas);
}

static void
begin_replica(struct controller *c, struct partition *p,
    struct assigned *replica)
{
	struct live_broker *broker = context_broker(&c->context,
	    replica->broker);

	if (replica->state == REPLICA_DELETION_SUCCESSFUL)
		return;
	replica_enter(replica, REPLICA_OFFLINE);
	if (!replica_stays(c, p, replica->broker)) {
		replica_enter(replica, REPLICA_DELETION_INELIGIBLE);
		halt(c, p->topic, "the broker or log dir of a replica is "
		    "offline");
		return;
	}
	replica_enter(replica, REPLICA_DELETION_STARTED);
	orders_stop(c, p, broker, true);
}

/* Begins, or tries again with those that are not gone yet. */
static void
begin(struct controller *c, struct topic *topic)
{
	for (size_t i = 0; i < topic->partition_count; i++) {
		struct partition *p = topic->partitions[i];

		if (!topic->begun) {
			partition_enter(p, PARTITION_OFFLINE);
			partition_enter(p, PARTITION_NONEXISTENT);
		}
		orders_show(c, p);
		for (int32_t r = 0; r < p->replica_count; r++)
			begin_replica(c, p, &p->replicas[r]);
	}
	topic->begun = true;
}

enum verdict
deletions_run(struct task *t)
{
	struct controller *c = controller_of(t);
	bool finished = false;

	c->deletions_moved = false;
	LIST_EACH(element, &c->context.doomed) {
		struct topic *topic = list_entry(element, struct topic, doomed);
		struct census census;

		count_replicas(topic, &census);
		if (census.started == 0 && !topic->halted &&
		    !(topic->begun && census.successful == census.replicas))
			begin(c, topic);
		finished = finished || deletion_finished(topic);
	}
	orders_send(c);
	return (task_next(t, finished ? sweep_run : controller_idle));
}
