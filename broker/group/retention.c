/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What expires.  A round goes over a shard's groups soon after they were loaded
 * (leadership may not stay for an interval), and then each
 * offsets.retention.check.interval.ms, a number of slots in one turn of the
 * loop and the rest in the next ones.
 *
 *	no member ever        each offset by the age of its commit
 *	EMPTY                 each by the time that the group is EMPTY
 *	STABLE, "consumer"    by its commit, of topics that nobody subscribes to
 *	else                  none
 *
 * An offset that was committed with a time of its own has that instead of an
 * age, in the same cases.  What is held does not expire.  A clock that leaps
 * ahead makes nothing old at once.
 */
#include <inttypes.h>

#include "base/diag.h"
#include "config/options.h"
#include "group/remove_int.h"
#include "group/shard_int.h"

/* From the end of a load to the first round. */
#define FIRST_ROUND_NS ((int64_t)10 * 1000 * 1000000)

static void retention_turn(struct timer *timer);

void
group_retention_init(struct group_shard *shard)
{
	timer_init(&shard->retention, shard->loop, retention_turn);
}

static int64_t
retention_interval_ns(const struct group_shard *shard)
{
	const int64_t ms = shard->groups->setup.options
			       ->offsets_retention_check_interval_ms;

	return (ms > INT64_MAX / 4 / 1000000 ? INT64_MAX / 4 : ms * 1000000);
}

void
group_retention_start(struct group_shard *shard)
{
	const int64_t interval_ns = retention_interval_ns(shard);

	timer_arm_in(&shard->retention, interval_ns < FIRST_ROUND_NS ?
		interval_ns : FIRST_ROUND_NS);
}

/* --- one offset, one group ------------------------------------------------ */

/* What of a group can expire now. */
struct expiry {
	bool any;
	bool unsubscribed_only;
	int64_t since_ms; /* -1: the commit's own time */
};

static struct expiry
group_expiry(const struct group *group)
{
	if (group->protocol_type == NULL)
		return ((struct expiry){ .any = true, .since_ms = -1 });
	if (group->state == GROUP_EMPTY)
		return ((struct expiry){ .any = true,
		    .since_ms = group->state_time_ms });
	if (group->state == GROUP_STABLE &&
	    strcmp(group->protocol_type, "consumer") == 0)
		return ((struct expiry){ .any = true,
		    .unsubscribed_only = true, .since_ms = -1 });
	return ((struct expiry){ .any = false });
}

static bool
slot_expired(const struct group_shard *shard, const struct expiry *expiry,
    const struct offset_slot *slot)
{
	const int64_t retention_ms =
	    (int64_t)shard->groups->setup.options->offsets_retention_minutes *
	    60000;
	const int64_t since_ms = expiry->since_ms != -1 ? expiry->since_ms :
							  slot->commit_ms;

	if (!slot->present || slot->holds > 0)
		return (false);
	if (slot->extra != NULL && slot->extra->expire_ms != -1)
		return (shard->now_ms >= slot->extra->expire_ms);
	return (since_ms <= shard->now_ms - retention_ms);
}

static bool
topic_may_expire(const struct group *group, const struct expiry *expiry,
    const struct group_topic *topic)
{
	bool known;

	return (!expiry->unsubscribed_only ||
	    (!group_subscribes(group, group_topic_name(topic), &known) &&
		known));
}

/* How many have; with a write they are taken. */
static size_t
topic_expired(const struct group *group, const struct expiry *expiry,
    const struct topic_offsets *at, struct group_write *w)
{
	size_t count = 0;

	for (uint32_t i = 0; i < at->block->count; i++) {
		if (!slot_expired(group->shard, expiry, &at->block->slots[i]))
			continue;
		if (w != NULL)
			group_removal_take(w, at->topic, &at->block->slots[i]);
		count++;
	}
	return (count);
}

static size_t
group_expired(const struct group *group, struct group_write *w)
{
	const struct expiry expiry = group_expiry(group);
	size_t count = 0;

	for (uint32_t i = 0; expiry.any && i < group->offsets->count; i++)
		if (topic_may_expire(group, &expiry,
			group->offsets->topics[i].topic))
			count += topic_expired(group, &expiry,
			    &group->offsets->topics[i], w);
	return (count);
}

static void
group_expire(struct group *group)
{
	const size_t count = group_expired(group, NULL);
	struct group_write *w;

	/* One that has nothing goes as well. */
	if (count == 0 && (group->state != GROUP_EMPTY ||
		group->offsets->slot_count != 0 || group->pins != 0))
		return;
	w = group_removal_new(group, count, NULL);
	if (w == NULL)
		return;
	(void)group_expired(group, w);
	group->shard->expired_count += w->present_count;
	w->counter = METRIC_OFFSETS_EXPIRED;
	group_removal_run(w);
}

/* --- rounds --------------------------------------------------------------- */

static void
retention_say(struct group_shard *shard)
{
	if (shard->expired_count > 0)
		diag_info(shard->groups->setup.diag, group,
		    "partition=__consumer_offsets/%" PRId32
		    " expired offsets=%zu",
		    coord_shard_partition(shard->coord), shard->expired_count);
	shard->expired_count = 0;
}

static void
retention_turn(struct timer *timer)
{
	struct group_shard *shard = container_of(timer, struct group_shard,
	    retention);
	struct group *group;
	size_t cost;

	if (shard->retention_walk.shard == NULL) {
		shard->now_ms = coord_steady_ms(shard->groups->coord);
		group_walk_begin(&shard->retention_walk, shard);
	}
	do {
		group = group_walk_next(&shard->retention_walk);
		if (group == NULL)
			break;
		cost = GROUP_COST + group->offsets->slot_count;
		group_expire(group);
	} while (group_turn_goes_on(shard, cost));
	if (group == NULL)
		retention_say(shard);
	timer_arm_in(timer, group != NULL ? 0 : retention_interval_ns(shard));
}
