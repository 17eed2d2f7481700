/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Member ids that were given out (MEMBER_ID_REQUIRED, KIP-394) and are waited
 * for: until they join, leave, or their session ends.
 */
#include "group/members_int.h"

#include "base/mem.h"

static void
pending_timer(struct timer *timer)
{
	struct pending_member *p = container_of(timer, struct pending_member,
	    session);
	struct group *group = p->group;

	if (group->shard->phase == SHARD_CLOSES)
		return;
	diag_info(group_diag(group), group,
	    "group=%s member=%.*s did not join in time and is forgotten",
	    group->id, (int)p->length, (const char *)p->id);
	metrics_add(group_metrics(group), METRIC_GROUP_EXPIRED_SESSIONS, 1);
	pending_member_remove(p);
	group_join_check(group);
}

struct pending_member *
pending_member_find(const struct group *group, struct slice id)
{
	struct hash_node *node = hash_find(&group->members->pending, id.data,
	    id.length);

	return (node == NULL ? NULL :
	    container_of(node, struct pending_member, node));
}

bool
pending_member_add(struct group *group, struct slice id, int64_t session_ms)
{
	struct group_members *m = group->members;
	struct pending_member *p = mem_try_alloc(sizeof(*p) + id.length);

	if (p == NULL)
		return (false);
	if (m->pending_count == GROUP_PENDING_MAX)
		pending_member_remove(list_entry(m->pending_order.next,
		    struct pending_member, link));
	*p = (struct pending_member){ .group = group, .length = id.length };
	memcpy(p->id, id.data, id.length);
	list_init(&p->link);
	list_push_tail(&m->pending_order, &p->link);
	hash_insert(&m->pending, &p->node, p->id, p->length);
	m->pending_count++;
	timer_init(&p->session, group->shard->loop, pending_timer);
	timer_arm_in(&p->session, session_ms * INT64_C(1000000));
	return (true);
}

void
pending_member_remove(struct pending_member *pending)
{
	struct group_members *m = pending->group->members;

	timer_disarm(&pending->session);
	list_remove(&pending->link);
	hash_remove(&m->pending, &pending->node);
	m->pending_count--;
	mem_free(pending);
}
