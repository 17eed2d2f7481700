/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about groups, of numbers and lists alone. */
#include "group/members_int.h"

/*
 * group.max.size (KIP-389): while a group prepares, so many may wait in a join,
 * whoever comes first; later, so many members may there be.
 */
bool
join_room_for(const struct join_room *room)
{
	switch (room->state) {
	case GROUP_EMPTY:
	case GROUP_DEAD:
		return (true);
	case GROUP_PREPARING_REBALANCE:
		return ((room->known && room->awaiting) ||
		    room->awaiting_join < room->max);
	case GROUP_COMPLETING_REBALANCE:
	case GROUP_STABLE:
		return (room->known || room->count < room->max);
	}
	UNREACHABLE();
}

bool
join_complete(size_t count, size_t awaiting_join, size_t pending)
{
	return (count == awaiting_join && pending == 0);
}

struct join_delay
join_delay_first(int64_t delay_ms, int64_t rebalance_ms)
{
	int64_t left_ms = rebalance_ms - delay_ms;

	return ((struct join_delay){
	    .now_ms = delay_ms,
	    .left_ms = left_ms > 0 ? left_ms : 0,
	});
}

/* KIP-134: as long as new members keep coming, and not for longer than they
 * may take to rejoin. */
bool
join_delay_more(struct join_delay *delay, int64_t delay_ms,
    bool new_member_added)
{
	int64_t before_ms = delay->now_ms;

	if (!new_member_added || delay->left_ms == 0)
		return (false);
	delay->now_ms = delay_ms < delay->left_ms ? delay_ms : delay->left_ms;
	delay->left_ms = delay->left_ms > before_ms ?
	    delay->left_ms - before_ms : 0;
	return (true);
}

enum join_again
join_again(enum group_state state, bool leads, bool matches)
{
	switch (state) {
	case GROUP_PREPARING_REBALANCE:
		return (JOIN_REBALANCES);
	case GROUP_COMPLETING_REBALANCE:
		/* It may have missed the answer to its join. */
		return (matches ? JOIN_CURRENT : JOIN_REBALANCES);
	case GROUP_STABLE:
		return (matches && !leads ? JOIN_CURRENT : JOIN_REBALANCES);
	case GROUP_EMPTY:
	case GROUP_DEAD:
		return (JOIN_UNKNOWN);
	}
	UNREACHABLE();
}

static struct group_protocol *
protocol_vote(const struct group_member *member, size_t count)
{
	struct group_protocol *p = member->protocols;

	for (size_t i = 0; i < member->protocol_count; i++, p++)
		if (p->support != NULL && p->support->members == count)
			return (p);
	return (NULL);
}

struct slice
protocol_elect(struct group_members *members)
{
	struct slice best = SLICE_NULL;
	size_t most = 0;

	HASH_EACH(node, &members->supports)
		container_of(node, struct protocol_support, node)->votes = 0;
	LIST_EACH(element, &members->all) {
		struct group_protocol *p = protocol_vote(member_at(element),
		    members->count);

		if (p != NULL)
			p->support->votes++;
	}
	LIST_EACH(element, &members->all) {
		struct group_protocol *p = protocol_vote(member_at(element),
		    members->count);

		if (p != NULL && p->support->votes > most) {
			most = p->support->votes;
			best = p->name;
		}
	}
	return (best);
}

struct group_member *
leader_elect(const struct group_members *members)
{
	if (members->leader == NULL || members->leader->awaiting_join)
		return (members->leader);
	LIST_EACH(element, &members->all)
		if (member_at(element)->awaiting_join)
			return (member_at(element));
	return (NULL);
}
