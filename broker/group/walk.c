/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways over a shard's groups.  Groups stand in their table in the order in
 * which they were made; a walk keeps the one that comes next, and a group that
 * goes moves the walks on that would come to it.
 *
 *	 1   2   5   6   9  (12)        made since it began: not met
 *	         ^       until = 10
 *	         next
 *
 * All that goes over groups or offsets, of all of a loop's shards, shares what
 * a turn of that loop may cost; each does one piece of work in a turn all the
 * same, so that none of them stands still.
 */
#include "group/group_int.h"

bool
group_turn_goes_on(struct group_shard *shard, size_t cost)
{
	struct group_turn *turn = shard->turn;
	const uint64_t now = loop_turns(shard->loop);

	if (turn->turn != now)
		*turn = (struct group_turn){ now, GROUP_TURN_COST };
	turn->left = cost < turn->left ? turn->left - cost : 0;
	return (turn->left > 0);
}

static struct group *
group_after(const struct group *group)
{
	struct hash_node *next = group->node.hh.next;

	return (next == NULL ? NULL : container_of(next, struct group, node));
}

void
group_walk_begin(struct group_walk *walk, struct group_shard *shard)
{
	*walk = (struct group_walk){
		.shard = shard,
		.next = shard->by_id.first == NULL ? NULL :
		    container_of(shard->by_id.first, struct group, node),
		.until = shard->serial,
	};
	list_init(&walk->link);
	list_push_tail(&shard->walks, &walk->link);
}

void
group_walk_end(struct group_walk *walk)
{
	if (walk->shard == NULL)
		return;
	list_remove(&walk->link);
	walk->shard = NULL;
	walk->next = NULL;
}

struct group *
group_walk_at(struct group_walk *walk)
{
	if (walk->next == NULL || walk->next->serial >= walk->until)
		group_walk_end(walk);
	return (walk->next);
}

struct group *
group_walk_next(struct group_walk *walk)
{
	struct group *group = group_walk_at(walk);

	if (group != NULL)
		walk->next = group_after(group);
	return (group);
}

void
group_walks_pass(const struct group *group)
{
	LIST_EACH(element, &group->shard->walks) {
		struct group_walk *walk = list_entry(element,
		    struct group_walk, link);

		if (walk->next == group)
			walk->next = group_after(group);
	}
}

void
group_walks_end(struct group_shard *shard)
{
	LIST_EACH(element, &shard->walks)
		group_walk_end(list_entry(element, struct group_walk, link));
}
