/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new controller need not read: our own broker was told states and their
 * versions by the controller before us (UpdateMetadata).
 *
 *	led by who is dead --> other leaders written at these versions
 *	                           |   wrong: read (rewrite.c)
 *	                           v
 *	all others --> [prove] multis of 500 checks of versions
 *	                           |   wrong: the multi's are read (load.c)
 *	                           v
 *	                       as if read
 *
 * A topic whose id is not the one that the broker was told of is another one of
 * that name.  What no broker is told: whether a partition recovers from an
 * unclean election, but then its ISR is one; so those are read.  And when its
 * state was made, on which hangs whether isNew is said of one that was never
 * changed: in its place stands the making of the topic, where no broker that
 * has a replica registered since.  Nor whether a member of the ISR was away
 * since it was written (returns.c); it was not where it registered before the
 * topic was made.
 */
#include "controller/controller_int.h"

#define CHECKS_AT_ONCE 500

static task_step believe_prove, believe_proved;

static enum verdict
urgent_written(struct task *t)
{
	rewrite_recall(controller_of(t));
	return (task_next(t, believe_prove));
}

bool
belief_proved(const struct controller *c, const struct partition *p)
{
	return (p->written && (p->belief == BELIEF_PROVED ||
	    p->now.controller_epoch == c->epoch));
}

/* --- what can be believed ------------------------------------------------- */

/* Then every state of its partitions was written since. */
static bool
registered_before(const struct controller *c, int32_t broker,
    const struct topic *topic)
{
	const struct live_broker *live = context_broker(&c->context, broker);

	return (live != NULL && live->epoch < topic->czxid);
}

static bool
can_believe(const struct controller *c, const struct partition *p,
    const struct cluster_partition *told)
{
	if (told->leader < 0 || told->partition_epoch < 0 ||
	    told->isr_count < 2)
		return (false);
	for (int32_t i = 0; i < told->isr_count; i++)
		if (returns_recent(c, told->isr[i]) &&
		    !registered_before(c, told->isr[i], p->topic))
			return (false);
	for (int32_t i = 0; i < p->replica_count &&
	    told->partition_epoch == 0; i++) {
		int32_t broker = p->replicas[i].broker;

		if (context_broker(&c->context, broker) != NULL &&
		    !registered_before(c, broker, p->topic))
			return (false);
	}
	return (true);
}

static void
believe(struct controller *c, struct partition *p,
    const struct cluster_partition *told)
{
	struct znode_state state = {
		.leader = told->leader,
		.leader_epoch = told->leader_epoch,
		.controller_epoch = told->controller_epoch,
		.isr = (int32_t *)(uintptr_t)told->isr, /* copied */
		.isr_count = told->isr_count,
	};

	leadership_set(p, &state, told->partition_epoch);
	p->belief = BELIEF_HELD;
	if (told->partition_epoch == 0)
		load_half_made(c, p, p->topic->czxid);
}

/* What it was told of the partition; NULL: nothing of this topic. */
static const struct cluster_partition *
told_of(const struct partition *p, const struct cluster_image *image)
{
	const struct topic *topic = p->topic;
	const struct cluster_topic *told = image_topic(image,
	    slice_of_text(topic->name));

	return (told == NULL || uuid_is_zero(topic->id) ||
	    !uuid_equal(told->id, topic->id) || topic_doomed(topic) ? NULL :
	    topic_partition(told, p->number));
}

/* --- what is urgent ------------------------------------------------------- */

/* Its leader is dead, and a replica lives that was in sync. */
static bool
is_urgent(const struct controller *c, struct partition *p,
    const struct cluster_partition *told)
{
	if (replica_live(c, p, told->leader))
		return (false);
	for (int32_t i = 0; i < told->isr_count; i++)
		if (told->isr[i] != told->leader &&
		    partition_replica(p, told->isr[i]) != NULL &&
		    replica_stays(c, p, told->isr[i]))
			return (true);
	return (false);
}

static bool
is_believed(const struct controller *c, const struct partition *p)
{
	(void)c;
	return (p->belief == BELIEF_HELD);
}

enum verdict
believe_run(struct task *t, task_step *then)
{
	struct controller *c = controller_of(t);
	const struct cluster_image *image = cluster_image(c->setup.cluster);

	c->believe_then = then;
	for (size_t i = 0; i < c->walk_count; i++) {
		struct partition *p = c->walk[i];
		const struct cluster_partition *told = told_of(p, image);

		if (told != NULL && can_believe(c, p, told) &&
		    is_urgent(c, p, told))
			believe(c, p, told);
	}
	rewrite_defer(c, is_believed);
	/* Everybody knows who lives before anybody hears of leaders. */
	if (!list_empty(&c->rewrite.pending)) {
		orders_brokers_changed(c);
		orders_send(c);
	}
	return (rewrite_run(t, urgent_written));
}

/* --- the rest ------------------------------------------------------------- */

/* Into the multi; those that cannot be believed are passed over. */
static void
add_checks(struct controller *c, struct zk_op *multi,
    const struct cluster_image *image)
{
	size_t count = 0;

	while (c->next_walk < c->walk_count && count < CHECKS_AT_ONCE) {
		struct partition *p = c->walk[c->next_walk++];
		const struct cluster_partition *told = told_of(p, image);

		if (belief_proved(c, p) || told == NULL ||
		    !can_believe(c, p, told))
			continue;
		believe(c, p, told);
		zk_multi_check(c->batch, multi, znode_state_path(
		    zk_batch_arena(c->batch), p->topic->name, p->number),
		    told->partition_epoch);
		count++;
	}
}

static enum verdict
believe_prove(struct task *t)
{
	struct controller *c = controller_of(t);
	const struct cluster_image *image = cluster_image(c->setup.cluster);
	size_t room = BATCH_OPERATIONS / CHECKS_AT_ONCE;

	if (c->next_walk == c->walk_count) {
		c->next_walk = 0;
		return (task_next(t, c->believe_then));
	}
	controller_batch(c);
	controller_ops(c, room);
	while (c->op_count < room && c->next_walk < c->walk_count) {
		struct zk_op *multi = controller_fenced(c, CHECKS_AT_ONCE);

		add_checks(c, multi, image);
		/* Where its partitions end. */
		multi->cookie = &c->walk[c->next_walk];
		c->ops[c->op_count++] = multi;
	}
	return (controller_submit(t, believe_proved));
}

/* Nothing of it is left. */
void
belief_refuted(struct partition *p)
{
	if (p->belief != BELIEF_HELD)
		return;
	p->belief = BELIEF_NONE;
	p->written = p->announce = false;
	for (int32_t i = 0; i < p->replica_count; i++)
		p->replicas[i].unconfirmed_epoch = 0;
}

static void
settle_belief(struct partition *p, bool proved)
{
	if (!proved)
		belief_refuted(p);
	if (p->belief != BELIEF_HELD)
		return;
	p->belief = BELIEF_PROVED;
	p->written = p->announce = true;
}

static enum verdict
believe_proved(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;
	struct partition **next = c->walk;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *multi = c->ops[i];
		struct partition **end = multi->cookie;

		if (controller_fence_failed(multi))
			return (controller_resign(t,
			    "another controller was elected"));
		if (multi->rc != ZK_OK && multi->rc != ZK_BAD_VERSION &&
		    multi->rc != ZK_NO_NODE)
			return (controller_trouble(t, multi));
		for (; next < end; next++)
			settle_belief(*next, multi->rc == ZK_OK);
	}
	return (task_next(t, believe_prove));
}
