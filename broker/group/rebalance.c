/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From preparing to stable.  One timer a group:
 *
 *	PREPARING, the group was empty: it waits for more members to come,
 *		join_delay_first(), then join_delay_more() as long as they do;
 *	PREPARING otherwise: until all members have joined, or until the
 *		longest of their rebalance timeouts is over;
 *	COMPLETING, STABLE: until all members have sent their sync, as long.
 *
 * Source: GroupCoordinator.prepareRebalance, onCompleteJoin,
 * onExpirePendingSync; DelayedJoin, InitialDelayedJoin.
 */
#include "group/members_int.h"

#define NS_PER_MS INT64_C(1000000)
/* Nobody came, all are static: looked at again, so soon at most. */
#define POSTPONED_MS_MIN INT64_C(100)

static void rebalance_next_generation(struct group *group);

bool
group_may_rebalance(const struct group *group)
{
	return (group->state == GROUP_STABLE ||
	    group->state == GROUP_COMPLETING_REBALANCE ||
	    group->state == GROUP_EMPTY);
}

static void
forget_syncs(struct group *group)
{
	timer_disarm(&group->members->timer);
	if (group->members->sync_pending == 0)
		return;
	LIST_MEMBERS(element, group)
		member_sync_came(member_at(element));
}

void
group_rebalance(struct group *group, const char *reason,
    struct slice client_reason)
{
	struct group_members *m = group->members;
	const struct group_options *options = group_options(group);
	int64_t wait_ms = group_rebalance_timeout_ms(group);

	CHECK(group_may_rebalance(group));
	if (group->state == GROUP_COMPLETING_REBALANCE)
		sync_reset(group, ERR_REBALANCE_IN_PROGRESS);
	forget_syncs(group);
	m->initial = group->state == GROUP_EMPTY;
	if (m->initial) {
		m->delay = join_delay_first(options->initial_rebalance_delay_ms,
		    wait_ms);
		wait_ms = m->delay.now_ms;
	}
	diag_info(group_diag(group), group,
	    "group=%s begins to rebalance generation=%d members=%zu: %s, "
	    "client reason=\"%.*s\"", group->id, (int)group->generation,
	    m->count, reason, SLICE_ARGS(client_reason));
	m->rebalance_ns = loop_now_ns(group->shard->loop);
	group_set_state(group, GROUP_PREPARING_REBALANCE);
	timer_arm_in(&m->timer, wait_ms * NS_PER_MS);
	group_join_check(group);
}

void
group_lost_member(struct group *group, const char *reason)
{
	if (group->state == GROUP_STABLE ||
	    group->state == GROUP_COMPLETING_REBALANCE)
		group_rebalance(group, reason, SLICE_NULL);
	else
		group_join_check(group);
}

/* --- the join ends -------------------------------------------------------- */

void
group_join_check(struct group *group)
{
	const struct group_members *m = group->members;

	if (group->state == GROUP_PREPARING_REBALANCE && !m->initial &&
	    join_complete(m->count, m->awaiting_join, m->pending_count))
		rebalance_next_generation(group);
}

/* Static members stay until their session ends. */
static void
drop_late_members(struct group *group)
{
	size_t dropped = 0;

	LIST_MEMBERS(element, group) {
		struct group_member *member = member_at(element);

		if (member->awaiting_join || member->instance_id.data != NULL)
			continue;
		member_remove(member);
		dropped++;
	}
	if (dropped != 0)
		diag_info(group_diag(group), group,
		    "group=%s members=%zu did not join in time and are removed",
		    group->id, dropped);
}

static void
rebalance_postpone(struct group *group)
{
	int64_t wait_ms = group_rebalance_timeout_ms(group);

	diag_warn(group_diag(group), group,
	    "group=%s none of its members=%zu joined again: waiting until "
	    "they do or their sessions end", group->id, group->members->count);
	if (wait_ms < POSTPONED_MS_MIN)
		wait_ms = POSTPONED_MS_MIN;
	timer_arm_in(&group->members->timer, wait_ms * NS_PER_MS);
}

static void
generation_empty(struct group *group)
{
	group_set_text(&group->protocol, SLICE_NULL);
	group_learn_topics(group);
	group_set_state(group, GROUP_EMPTY);
	timer_disarm(&group->members->timer);
	group_drop_assignments(group);
	diag_info(group_diag(group), group, "group=%s is empty generation=%d",
	    group->id, (int)group->generation);
	/* If it is not written, the generation before counts after a change of
	 * coordinators, and its members' sessions end there. */
	group_store_start(group_store_new(group, NULL));
}

static void
generation_begin(struct group *group)
{
	struct group_members *m = group->members;

	group_set_text(&group->protocol, protocol_elect(m));
	group_learn_topics(group);
	group_set_state(group, GROUP_COMPLETING_REBALANCE);
	diag_info(group_diag(group), group,
	    "group=%s generation=%d members=%zu protocol=%s leader=%.*s",
	    group->id, (int)group->generation, m->count,
	    group->protocol == NULL ? "" : group->protocol,
	    SLICE_ARGS(m->leader->id));
	LIST_MEMBERS(element, group) {
		struct group_member *member = member_at(element);
		struct group_ask *ask = member_end_join(member);

		if (ask != NULL)
			join_answer(ask, member, true);
		member->is_new = false;
		member->sync_pending = true;
		member_expect(member, member->session_timeout_ms);
	}
	m->sync_pending = m->count;
	timer_arm_in(&m->timer, group_rebalance_timeout_ms(group) * NS_PER_MS);
}

static void
rebalance_next_generation(struct group *group)
{
	struct group_members *m = group->members;
	struct group_member *leader;

	m->initial = false;
	drop_late_members(group);
	leader = leader_elect(m);
	if (leader == NULL && m->count != 0) {
		rebalance_postpone(group);
		return;
	}
	m->leader = leader;
	group->generation = group->generation == INT32_MAX ? 1 :
	    group->generation + 1;
	if (m->count == 0)
		generation_empty(group);
	else
		generation_begin(group);
}

/* --- syncs ---------------------------------------------------------------- */

void
group_sync_check(struct group *group)
{
	if (group->members->sync_pending == 0)
		timer_disarm(&group->members->timer);
}

static void
drop_late_syncs(struct group *group)
{
	size_t dropped = 0;

	LIST_MEMBERS(element, group) {
		if (!member_at(element)->sync_pending)
			continue;
		member_remove(member_at(element));
		dropped++;
	}
	if (dropped == 0)
		return;
	diag_info(group_diag(group), group,
	    "group=%s members=%zu did not sync in time and are removed",
	    group->id, dropped);
	group_rebalance(group, "members did not sync", SLICE_NULL);
}

void
group_rebalance_timer(struct timer *timer)
{
	struct group_members *m = container_of(timer, struct group_members,
	    timer);
	struct group *group = m->group;
	const struct group_options *options = group_options(group);

	if (group->shard->phase == SHARD_CLOSES)
		return;
	if (group->state != GROUP_PREPARING_REBALANCE) {
		drop_late_syncs(group);
		return;
	}
	if (m->initial && join_delay_more(&m->delay,
		options->initial_rebalance_delay_ms, m->new_member_added)) {
		m->new_member_added = false;
		timer_arm_in(timer, m->delay.now_ms * NS_PER_MS);
		return;
	}
	rebalance_next_generation(group);
}
