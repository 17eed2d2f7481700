/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers that are to have no replica of a partition any more: a move ended
 * without them, or was called off before they had arrived.
 *
 *	[noted] --> [sent] --> [told]       its answer came
 *	   ^           |
 *	   +-----------+                    it went before it answered
 *
 * A broker that lives keeps the move open until it is told, so that the topic's
 * node names it: who is controller next tells it again.  One that does not live
 * holds nothing up; it is told by this controller when it comes back.
 */
#include "controller/controller_int.h"

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
dropped_forget_told(struct partition *p)
{
	keep_those(p, is_untold);
}

void
dropped_stop(struct controller *c, struct partition *p)
{
	if (!p->written || topic_doomed(p->topic))
		return;
	for (int32_t i = 0; i < p->dropped_count; i++) {
		struct dropped *d = &p->dropped[i];
		const struct live_broker *broker = context_broker(&c->context,
		    d->broker);

		if (d->told || broker == NULL ||
		    d->broker_epoch == broker->epoch ||
		    d->broker == p->now.leader ||
		    partition_in_isr(p, d->broker))
			continue;
		d->broker_epoch = broker->epoch;
		d->leader_epoch = p->now.leader_epoch;
		orders_stop(c, p, broker, true);
	}
}

bool
dropped_waits(const struct controller *c, const struct partition *p,
    int32_t broker)
{
	const struct dropped *d = dropped_find(p, broker);
	const struct live_broker *live = context_broker(&c->context, broker);

	return (d != NULL && live != NULL && !d->told &&
	    d->broker_epoch == live->epoch);
}

bool
dropped_all_told(const struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->removing_count; i++) {
		const struct dropped *d = dropped_find(p, p->removing[i]);

		if ((d == NULL || !d->told) &&
		    broker_lives(c, p->removing[i]))
			return (false);
	}
	return (true);
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
		dropped_forget_told(p);
		return;
	}
	c->moves_changed = true;
	controller_look(c);
}
