/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker that is registered and dead by the evidence (witness.c) is a
 * suspect: no candidate for leader or ISR, until it registers anew or is
 * reached again.
 *
 *	[registered] --evidence--> [suspect] --its session ends--> [gone]
 *	      ^                        |
 *	      +----it is reached-------+
 *
 * Others are elected with the ISR as it is; a suspect is taken out of it when
 * the leader answered what it was asked since.  A leader that is dead as well,
 * but silent, would else be all that is left, and who is suspected could not
 * lead when it is back.  Under a suspect that goes on as leader, who is gone
 * leaves the ISR: it may come back without what it had.
 *
 * Should the evidence be wrong, nothing that was acknowledged is lost: leaders
 * are elected from the ISR only, so what it still takes as the old leader is
 * acknowledged by nobody else, and its proposals have an old epoch. Where
 * nobody else can lead, it stays what it is.
 */
#include "base/placement.h"
#include "controller/controller_int.h"

#define DOUBT_NS ((int64_t)2000 * 1000000)

static bool
is_evident(const struct controller *c, const struct live_broker *broker)
{
	return (witness_says_dead(c, broker->id, broker->epoch));
}

/* Asked only when there is something to corroborate. */
static bool
is_corroborated(const struct controller *c)
{
	const struct context *context = &c->context;
	struct reach reach = { 0, 0 };
	size_t count = context->broker_count, own = 0;

	while (own < count && context->brokers[own]->id != c->setup.broker_id)
		own++;
	for (size_t k = 0; k < reach_picks(count, own); k++)
		reach_count(&reach, c,
		    context->brokers[reach_pick(count, own, k)]->id);
	return (reach_enough(&reach));
}

static bool
leads_something(const struct controller *c, int32_t broker)
{
	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);

		for (size_t i = 0; i < topic->partition_count; i++)
			if (topic->partitions[i]->written &&
			    topic->partitions[i]->now.leader == broker)
				return (true);
	}
	return (false);
}

static bool
is_due(const struct controller *c, const struct live_broker *broker,
    int64_t now_ns)
{
	if (broker->suspect || !is_evident(c, broker) ||
	    !c->setup.options->evidence_brokers_enable ||
	    !witness_may_move(c, broker->id, now_ns))
		return (false);
	/* Who stops in an orderly way has left ISRs already, and most often
	 * leads nothing any more. */
	return (!broker->shutting_down || leads_something(c, broker->id));
}

static bool
is_any_due(const struct controller *c, int64_t now_ns)
{
	for (size_t i = 0; i < c->context.broker_count; i++)
		if (is_due(c, c->context.brokers[i], now_ns))
			return (true);
	return (false);
}

/* Said once a registration, when lines had the time to be made anew. */
static void
say_doubts(struct controller *c, int64_t now_ns)
{
	if (now_ns - c->evidence_ns < DOUBT_NS)
		return;
	for (size_t i = 0; i < c->context.broker_count; i++) {
		struct live_broker *broker = c->context.brokers[i];

		if (broker->doubted || !is_due(c, broker, now_ns))
			continue;
		diag_warn(c->setup.diag, controller, "broker=%d is dead by "
		    "evidence that does not count: less than half of the "
		    "others are reached; the end of its session decides",
		    (int)broker->id);
		broker->doubted = true;
	}
}

bool
suspects_mark(struct controller *c)
{
	int64_t now_ns = loop_now_ns(c->setup.loop);
	bool any = false;

	if (!is_any_due(c, now_ns))
		return (false);
	if (!is_corroborated(c)) {
		say_doubts(c, now_ns);
		return (false);
	}
	for (size_t i = 0; i < c->context.broker_count; i++) {
		struct live_broker *broker = c->context.brokers[i];

		if (!is_due(c, broker, now_ns))
			continue;
		diag_warn(c->setup.diag, controller, "broker=%d is no "
		    "candidate until it registers anew or is reached again: "
		    "others lead what they can", (int)broker->id);
		witness_moved(c, broker->id, now_ns);
		broker->suspect = any = true;
		broker->suspicion = c->suspicion + 1;
	}
	c->suspicion += any;
	return (any);
}

void
suspects_proved(struct controller *c, struct live_broker *broker,
    uint64_t suspicion)
{
	if (suspicion <= broker->proved)
		return;
	broker->proved = suspicion;
	broker->answered = true;
	c->proof_changed = true;
	controller_look(c);
}

static bool
holds_suspect(const struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->now.isr_count; i++) {
		const struct live_broker *broker = context_broker(&c->context,
		    p->now.isr[i]);

		if (broker == NULL ? returns_knows(c, p->now.isr[i]) :
		    broker->suspect || replica_held(p, broker->id) ||
		    replica_trial(p, broker->id) != 0)
			return (true);
	}
	return (false);
}

void
suspects_note(struct controller *c, struct partition *p)
{
	if (p->written && !list_linked(&p->kept) && holds_suspect(c, p))
		list_push_tail(&c->kept, &p->kept);
}

size_t
suspects_avoid(const struct controller *c, const struct cluster_image *image,
    size_t replication_factor, struct placement_broker *out)
{
	size_t suspects = 0, count = 0;

	for (size_t i = 0; c != NULL && i < c->context.broker_count; i++)
		suspects += c->context.brokers[i]->suspect;
	for (size_t i = 0; i < image->broker_count; i++) {
		const struct live_broker *live = c == NULL ? NULL :
		    context_broker(&c->context, image->brokers[i]->id);

		if (live != NULL && live->suspect &&
		    image->broker_count >= replication_factor + suspects)
			continue;
		out[count++] = (struct placement_broker){
			image->brokers[i]->id, image->brokers[i]->rack };
	}
	return (count);
}

/* --- it is reached again -------------------------------------------------- */

static void
clear_partition(struct controller *c, struct partition *p, int32_t broker)
{
	struct assigned *replica = partition_replica(p, broker);

	if (replica == NULL)
		return;
	if (topic_doomed(p->topic)) {
		deletion_resume(c, p->topic);
		return;
	}
	if (!p->written || p->state != PARTITION_ONLINE)
		rewrite_add(c, p);
	if (p->written && replica->state == REPLICA_OFFLINE &&
	    replica_stays(c, p, broker)) {
		replica_enter(replica, REPLICA_ONLINE);
		orders_show(c, p);
	}
}

static void
clear(struct controller *c, struct live_broker *broker)
{
	diag_info(c->setup.diag, controller, "broker=%d is reached again",
	    (int)broker->id);
	broker->suspect = false;
	/* A move may have waited for it, to come or to be told. */
	c->moves_changed = c->moves_changed || !list_empty(&c->moving);
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			clear_partition(c, topic->partitions[i], broker->id);
	}
}

/* --- the event ------------------------------------------------------------ */

enum verdict
suspects_run(struct task *t)
{
	struct controller *c = controller_of(t);

	c->evidence_changed = false;
	for (size_t i = 0; i < c->context.broker_count; i++)
		if (c->context.brokers[i]->suspect &&
		    !is_evident(c, c->context.brokers[i]))
			clear(c, c->context.brokers[i]);
	if (!suspects_mark(c))
		return (rewrite_run(t, controller_idle));
	/* A move may have waited for one of them. */
	c->moves_changed = c->moves_changed || !list_empty(&c->moving);
	/* Whatever each is told else: it shall answer. */
	orders_brokers_changed(c);
	return (task_next(t, brokers_gone));
}

static bool
any_answered(const struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->now.isr_count; i++) {
		const struct live_broker *broker = context_broker(&c->context,
		    p->now.isr[i]);

		if (broker != NULL && broker->answered)
			return (true);
	}
	return (false);
}

/* Of those that have suspects in sync, or who is on trial, what concerns who
 * answered. */
enum verdict
suspects_proved_run(struct task *t)
{
	struct controller *c = controller_of(t);

	c->proof_changed = false;
	LIST_EACH(element, &c->kept) {
		struct partition *p = list_entry(element, struct partition,
		    kept);
		if (!holds_suspect(c, p))
			list_remove(&p->kept);
		else if (any_answered(c, p))
			rewrite_add(c, p);
	}
	for (size_t i = 0; i < c->context.broker_count; i++)
		c->context.brokers[i]->answered = false;
	return (rewrite_run(t, controller_idle));
}
