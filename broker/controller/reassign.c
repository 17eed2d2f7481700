/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replicas that move.  What is asked for stands in the topic's node, whoever
 * wrote it: moves.c, or an earlier controller.  This file carries it out.
 *
 *	node has adding, removing --> [restart] a later leader epoch: all
 *	    ^                            |   are told who comes and goes
 *	    | another wrote              v
 *	    | the node             [waits] until all of the target are in sync
 *	    |                            |
 *	    |                            v
 *	    |                      [closing] target alone leads and is the ISR:
 *	    |                            |   LeaderAndIsr to the target,
 *	    |                            |   StopReplica to those that go
 *	    |                            v   those that live have answered, or
 *	    |                            |   30 s went by
 *	    +--------------------- [node written]: target alone --> over
 *
 * Who is controller next begins again where the node says that it stands.
 * Where a move is called off, those that were to come are told to go, and so is
 * all that was called off when another move took its place.
 * Kafka leaves the ISR whole when it moves the leader, and takes those that go
 * out of it by another write; one does here.
 * Source: KafkaController.onPartitionReassignment of 3.9.
 */
#include "controller/controller_int.h"

#define NODES_AT_ONCE 100

static task_step reassign_written, reassign_nodes, reassign_nodes_read,
    reassign_nodes_written;

/* --- what is so ----------------------------------------------------------- */

bool
partition_leaves(const struct partition *p, int32_t broker)
{
	return (numbers_hold(p->removing, p->removing_count, broker));
}

bool
partition_called_off(const struct partition *p, int32_t broker)
{
	return (partition_leaves(p, broker) &&
	    numbers_hold(p->adding, p->adding_count, broker));
}

bool
partition_dismisses(const struct partition *p, int32_t broker)
{
	return ((p->closing ? partition_leaves(p, broker) :
	    partition_called_off(p, broker)) &&
	    broker != p->now.leader && !partition_in_isr(p, broker));
}

bool
partition_on_move(const struct partition *p)
{
	for (int32_t i = 0; i < p->adding_count; i++)
		if (!partition_leaves(p, p->adding[i]))
			return (true);
	for (int32_t i = 0; i < p->removing_count; i++)
		if (!partition_called_off(p, p->removing[i]))
			return (true);
	return (false);
}

bool
partition_moved(const struct partition *p)
{
	bool all = partition_on_move(p), any = false;

	if (!p->written || p->adding_count + p->removing_count == 0)
		return (false);
	for (int32_t i = 0; i < p->replica_count; i++) {
		int32_t broker = p->replicas[i].broker;

		if (partition_leaves(p, broker))
			continue;
		if (partition_in_isr(p, broker))
			any = true;
		else if (all)
			return (false);
	}
	return (any);
}

bool
partition_closed(const struct partition *p)
{
	if (!partition_moved(p) || p->now.leader < 0 ||
	    partition_leaves(p, p->now.leader))
		return (false);
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (partition_leaves(p, p->now.isr[i]))
			return (false);
	return (true);
}

void
partition_assignment(const struct partition *p, struct arena *arena,
    struct znode_assignment *out)
{
	*out = (struct znode_assignment){
		.partition = p->number,
		.replicas = arena_array(arena, (size_t)p->replica_count + 1,
		    sizeof(*out->replicas)),
		.replica_count = p->replica_count,
		.adding = p->adding,
		.adding_count = p->adding_count,
		.removing = p->removing,
		.removing_count = p->removing_count,
	};
	CHECK(out->replicas != NULL);
	for (int32_t i = 0; i < p->replica_count; i++)
		out->replicas[i] = p->replicas[i].broker;
}

/* --- what the node says --------------------------------------------------- */

void
reassign_take(struct controller *c, struct partition *p,
    const struct znode_assignment *a)
{
	/* Those that another took out of the node are told as well. */
	for (int32_t i = 0; i < p->replica_count; i++)
		if (!numbers_hold(a->replicas, a->replica_count,
		    p->replicas[i].broker))
			dropped_note(p, p->replicas[i].broker);
	partition_assign(p, a);
	dropped_assigned(p);
	p->closing = false;
	reassign_begin(c, p);
	diag_info(c->setup.diag, controller, "partition=%s/%d moves "
	    "replicas=%d adding=%d removing=%d", p->topic->name,
	    (int)p->number, (int)p->replica_count, (int)p->adding_count,
	    (int)p->removing_count);
}

void
reassign_begin(struct controller *c, struct partition *p)
{
	p->restart = true;
	p->adrift = false;
	if (!list_linked(&p->moving))
		list_push_tail(&c->moving, &p->moving);
	c->moves_changed = true;
}

/* --- the event ------------------------------------------------------------ */

/* Who comes and is not in sync may have no log: none is needed of it. */
static void
begin(struct controller *c, struct partition *p)
{
	p->restart = false;
	p->bump = true;
	for (int32_t i = 0; i < p->adding_count; i++) {
		const struct live_broker *broker = context_broker(&c->context,
		    p->adding[i]);
		struct assigned *replica = partition_replica(p, p->adding[i]);

		if (broker != NULL && replica != NULL &&
		    !partition_leaves(p, p->adding[i]) &&
		    !partition_in_isr(p, p->adding[i]))
			replica->unconfirmed_epoch = broker->epoch;
	}
	rewrite_add(c, p);
}

/* It may turn out to have less than the others, who would go. */
static bool
is_doubtful(const struct assigned *replica)
{
	return (replica->held || replica->lacks || replica->trial != 0);
}

/* And one of the target can lead; not a second time. */
static bool
can_close(const struct controller *c, const struct partition *p)
{
	if (!partition_moved(p) || p->adrift ||
	    (p->closing && partition_closed(p)))
		return (false);
	for (int32_t i = 0; i < p->replica_count; i++)
		if (!partition_leaves(p, p->replicas[i].broker) &&
		    is_doubtful(&p->replicas[i]))
			return (false);
	for (int32_t i = 0; i < p->replica_count; i++)
		if (!partition_leaves(p, p->replicas[i].broker) &&
		    replica_stays(c, p, p->replicas[i].broker))
			return (true);
	return (false);
}

enum verdict
reassign_run(struct task *t)
{
	struct controller *c = controller_of(t);

	c->moves_changed = false;
	c->moves_ns = 0;
	LIST_EACH(element, &c->moving) {
		struct partition *p = list_entry(element, struct partition,
		    moving);

		if (!p->written || topic_doomed(p->topic))
			continue;
		if (p->restart)
			begin(c, p);
		if (can_close(c, p)) {
			p->closing = p->bump = true;
			dropped_renew(p);
			rewrite_add(c, p);
		}
	}
	return (rewrite_run(t, reassign_written));
}

/* Its state is written. */
static void
dismiss(struct controller *c, struct partition *p)
{
	if (p->bump)
		return;
	for (int32_t i = 0; i < p->removing_count; i++)
		if (partition_dismisses(p, p->removing[i]))
			dropped_note(p, p->removing[i]);
	dropped_stop(c, p);
}

static enum verdict
reassign_written(struct task *t)
{
	struct controller *c = controller_of(t);

	LIST_EACH(element, &c->moving) {
		struct partition *p = list_entry(element, struct partition,
		    moving);

		/* What could not be written is tried with the next change. */
		p->closing = p->closing && partition_closed(p);
		dismiss(c, p);
		dropped_note_time(c, p);
		p->ending = p->closing && dropped_all_told(c, p);
		if (p->adding_count + p->removing_count == 0) {
			list_remove(&p->moving);
			c->node_due = c->node_due ||
			    p->node_move == NODE_MOVE_TAKEN;
		}
	}
	orders_send(c);
	return (task_next(t, reassign_nodes));
}

/* --- the node, at the end ------------------------------------------------- */

static enum verdict
reassign_nodes(struct task *t)
{
	struct controller *c = controller_of(t);
	struct topic *last = NULL;

	controller_batch(c);
	controller_ops(c, NODES_AT_ONCE);
	LIST_EACH(element, &c->moving) {
		struct partition *p = list_entry(element, struct partition,
		    moving);

		p->topic->closing = false;
	}
	LIST_EACH(element, &c->moving) {
		struct partition *p = list_entry(element, struct partition,
		    moving);

		last = p->topic;
		if (!p->ending || last->closing ||
		    c->op_count == NODES_AT_ONCE)
			continue;
		last->closing = true;
		c->ops[c->op_count] = zk_batch_get(c->batch, znode_topic_path(
		    zk_batch_arena(c->batch), last->name), NULL);
		c->ops[c->op_count++]->cookie = last;
	}
	if (c->op_count == 0)
		return (rewrite_run(t, controller_idle));
	return (controller_submit(t, reassign_nodes_read));
}

static void
finish(struct controller *c, struct partition *p,
    const struct znode_assignment *target)
{
	diag_info(c->setup.diag, controller, "partition=%s/%d moved: leader=%d "
	    "epoch=%d", p->topic->name, (int)p->number, (int)p->now.leader,
	    (int)p->now.leader_epoch);
	partition_assign(p, target);
	dropped_forget_told(c, p);
	p->closing = p->ending = false;
	list_remove(&p->moving);
	c->node_due = c->node_due || p->node_move == NODE_MOVE_TAKEN;
	orders_show(c, p);
}

/* Of one partition: what the node is to say.  Where another wrote meanwhile,
 * its watch has fired: what is so now is begun anew. */
static bool
close_partition(struct controller *c, struct znode_topic *node,
    struct partition *p)
{
	struct arena *arena = zk_batch_arena(c->list);
	struct znode_assignment known, target;

	partition_assignment(p, arena, &known);
	CHECK(reassignment_target(&known, arena, &target));
	for (size_t i = 0; i < node->partition_count; i++) {
		struct znode_assignment *a = &node->partitions[i];

		if (a->partition != p->number)
			continue;
		if (assignment_equal(a, &known)) {
			*a = target;
			return (true);
		}
		if (assignment_equal(a, &target)) {
			/* Ours, its answer lost. */
			finish(c, p, &target);
			return (false);
		}
	}
	p->closing = p->ending = false;
	p->adrift = true;
	return (false);
}

static void
close_topic(struct controller *c, const struct zk_op *read)
{
	struct topic *topic = read->cookie;
	struct buffer json = BUFFER_EMPTY;
	struct znode_topic node;
	struct zk_op *multi;
	size_t changed = 0;
	bool ok = read->rc == ZK_OK && znode_topic_decode(read->answer,
	    zk_batch_arena(c->list), &node) && uuid_equal(node.id, topic->id);

	for (size_t i = 0; i < topic->partition_count; i++) {
		struct partition *p = topic->partitions[i];

		if (!ok) {
			p->adrift = p->adrift || p->ending;
			p->closing = p->closing && !p->ending;
			p->ending = false;
		} else if (p->ending) {
			changed += close_partition(c, &node, p);
		}
	}
	if (changed == 0)
		return;
	znode_topic_encode(&node, &json);
	multi = controller_fenced(c, 1);
	zk_multi_set(c->batch, multi, znode_topic_path(
	    zk_batch_arena(c->batch), topic->name), buffer_slice(&json),
	    read->stat.version);
	multi->cookie = topic;
	buffer_fini(&json);
	c->ops[c->op_count++] = multi;
}

static enum verdict
reassign_nodes_read(struct task *t)
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
		close_topic(c, reads[i]);
	mem_free(reads);
	if (c->op_count == 0)
		return (task_next(t, reassign_nodes));
	return (controller_submit(t, reassign_nodes_written));
}

static void
finish_topic(struct controller *c, struct topic *topic)
{
	for (size_t i = 0; i < topic->partition_count; i++) {
		struct partition *p = topic->partitions[i];
		struct znode_assignment known, target;

		if (!p->ending)
			continue;
		partition_assignment(p, zk_batch_arena(c->batch), &known);
		CHECK(reassignment_target(&known, zk_batch_arena(c->batch),
		    &target));
		finish(c, p, &target);
	}
}

static enum verdict
reassign_nodes_written(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *multi = c->ops[i];

		if (controller_fence_failed(multi))
			return (controller_resign(t,
			    "another controller was elected"));
		if (multi->rc == ZK_OK)
			finish_topic(c, multi->cookie);
		else if (multi->rc != ZK_BAD_VERSION && multi->rc != ZK_NO_NODE)
			return (controller_trouble(t, multi));
	}
	return (task_next(t, reassign_nodes));
}
