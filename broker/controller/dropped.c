/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers that are to have no replica of a partition any more: a move ended
 * without them, or was called off before they had arrived.
 *
 *	[noted] --> [sent] --> [told]       its answer came
 *	   ^         |   ^
 *	   |         |   +-- 1 s --+
 *	   |         +-------------+        it refused the whole request
 *	   +---------+                      it went before it answered
 *
 * A broker that lives keeps the move open until it is told, half a minute at
 * most, so that the topic's node names it: who is controller next tells it
 * again.  One that does not live, or takes nothing for so long, holds nothing
 * up; it is told by this controller when it answers again or comes back.
 */
#include "controller/controller_int.h"

#define PAUSE_NS ((int64_t)1000 * 1000000)
#define PATIENCE_NS ((int64_t)30 * 1000000000)

static struct dropped *
dropped_find(const struct partition *p, int32_t broker)
{
	for (int32_t i = 0; i < p->dropped_count; i++)
		if (p->dropped[i].broker == broker)
			return (&p->dropped[i]);
	return (NULL);
}

void
dropped_note(struct partition *p, int32_t broker)
{
	if (dropped_find(p, broker) != NULL)
		return;
	p->dropped = mem_realloc(p->dropped,
	    ((size_t)p->dropped_count + 1) * sizeof(*p->dropped));
	p->dropped[p->dropped_count++] = (struct dropped){ .broker = broker };
}

static void
keep_those(struct partition *p, bool (*keeps)(const struct partition *p,
    const struct dropped *dropped))
{
	int32_t kept = 0;

	for (int32_t i = 0; i < p->dropped_count; i++)
		if (keeps(p, &p->dropped[i]))
			p->dropped[kept++] = p->dropped[i];
	p->dropped_count = kept;
}

static bool
is_not_wanted(const struct partition *p, const struct dropped *dropped)
{
	for (int32_t i = 0; i < p->replica_count; i++)
		if (p->replicas[i].broker == dropped->broker)
			return (partition_called_off(p, dropped->broker));
	return (true);
}

void
dropped_assigned(struct partition *p)
{
	keep_those(p, is_not_wanted);
}

static bool
is_called_off(const struct partition *p, const struct dropped *dropped)
{
	return (partition_called_off(p, dropped->broker) ||
	    !partition_leaves(p, dropped->broker));
}

void
dropped_renew(struct partition *p)
{
	keep_those(p, is_called_off);
}

static bool
is_untold(const struct partition *p, const struct dropped *dropped)
{
	(void)p;
	return (!dropped->told);
}

void
dropped_forget_told(struct controller *c, struct partition *p)
{
	keep_those(p, is_untold);
	for (int32_t i = 0; i < p->dropped_count; i++)
		diag_warn(c->setup.diag, controller, "partition=%s/%d is to "
		    "leave broker=%d, which was not told yet: it is when it "
		    "answers or comes back", p->topic->name, (int)p->number,
		    (int)p->dropped[i].broker);
}

/* Nor was it told already, or does it answer yet. */
static bool
is_under_way(const struct dropped *d, const struct live_broker *broker,
    int64_t now_ns)
{
	return (d->broker_epoch == broker->epoch &&
	    (d->again_ns == 0 || now_ns < d->again_ns));
}

void
dropped_stop(struct controller *c, struct partition *p)
{
	int64_t now_ns = loop_now_ns(c->setup.loop);

	if (!p->written || topic_doomed(p->topic))
		return;
	for (int32_t i = 0; i < p->dropped_count; i++) {
		struct dropped *d = &p->dropped[i];
		const struct live_broker *broker = context_broker(&c->context,
		    d->broker);

		if (d->told || broker == NULL ||
		    is_under_way(d, broker, now_ns) ||
		    d->broker == p->now.leader ||
		    partition_in_isr(p, d->broker))
			continue;
		if (d->broker_epoch != broker->epoch)
			d->first_ns = now_ns;
		d->broker_epoch = broker->epoch;
		d->again_ns = 0;
		d->leader_epoch = p->now.leader_epoch;
		orders_stop(c, p, broker, true);
	}
}

/* To the broker as it is registered now. */
static bool
dropped_is_sent(const struct controller *c, const struct dropped *d)
{
	const struct live_broker *live = context_broker(&c->context, d->broker);

	return (live != NULL && d->broker_epoch == live->epoch);
}

bool
dropped_waits(const struct controller *c, const struct partition *p,
    int32_t broker)
{
	const struct dropped *d = dropped_find(p, broker);

	return (d != NULL && !d->told && dropped_is_sent(c, d));
}

static int64_t
end_of_patience(const struct dropped *d)
{
	return (d->first_ns + PATIENCE_NS);
}

static bool
is_waited_for(const struct controller *c, const struct dropped *d)
{
	return (!d->told && (!dropped_is_sent(c, d) ||
	    loop_now_ns(c->setup.loop) < end_of_patience(d)));
}

bool
dropped_all_told(const struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->removing_count; i++) {
		const struct dropped *d = dropped_find(p, p->removing[i]);

		if (broker_lives(c, p->removing[i]) &&
		    (d == NULL || is_waited_for(c, d)))
			return (false);
	}
	return (true);
}

void
dropped_note_time(struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->dropped_count; i++) {
		const struct dropped *d = &p->dropped[i];
		int64_t at_ns = d->again_ns != 0 ? d->again_ns :
		    end_of_patience(d);

		if (d->told || !dropped_is_sent(c, d) ||
		    at_ns <= loop_now_ns(c->setup.loop))
			continue;
		if (c->moves_ns == 0 || at_ns < c->moves_ns)
			c->moves_ns = at_ns;
	}
}

void
dropped_answered(struct controller *c, struct partition *p,
    const struct live_broker *broker, int32_t leader_epoch)
{
	struct dropped *d = dropped_find(p, broker->id);

	/* An answer to an earlier order does not count. */
	if (d == NULL || d->broker_epoch != broker->epoch ||
	    leader_epoch < d->leader_epoch)
		return;
	d->told = true;
	if (!list_linked(&p->moving)) {
		keep_those(p, is_untold);
		return;
	}
	c->moves_changed = true;
	controller_look(c);
}

void
dropped_refused(struct controller *c, struct partition *p,
    const struct live_broker *broker)
{
	struct dropped *d = dropped_find(p, broker->id);

	if (d == NULL || d->told || d->broker_epoch != broker->epoch)
		return;
	d->again_ns = loop_now_ns(c->setup.loop) + PAUSE_NS;
	if (!list_linked(&p->moving))
		return;
	c->moves_changed = true;
	controller_look(c);
}
