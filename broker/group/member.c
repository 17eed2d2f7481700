/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a group: in, out, checked, counted. */
#include "group/members_int.h"

#include "base/mem.h"
#include "base/random.h"
#include "base/uuid.h"

#define NS_PER_MS INT64_C(1000000)

static void member_session_timer(struct timer *timer);

/* --- the group's set ------------------------------------------------------ */

void
group_members_init(struct group *group)
{
	struct group_members *m = mem_zalloc(sizeof(*m));

	list_init(&m->all);
	list_init(&m->pending_order);
	timer_init(&m->timer, group->shard->loop, group_rebalance_timer);
	m->group = group;
	m->metrics = group->shard->groups->setup.metrics;
	group->members = m;
	group_count_state(group, 1);
}

void
group_members_fini(struct group *group)
{
	struct group_members *m = group->members;

	group_count_state(group, -1);
	timer_disarm(&m->timer);
	while (!list_empty(&m->pending_order))
		pending_member_remove(list_entry(m->pending_order.next,
		    struct pending_member, link));
	while (!list_empty(&m->all))
		member_remove(member_at(m->all.next));
	group_forget_topics(group);
	mem_free(m->assigned);
	mem_free(m);
	group->members = NULL;
}

size_t
group_member_count(const struct group *group)
{
	return (group->members->count);
}

struct group_member *
member_find(const struct group *group, struct slice id)
{
	struct hash_node *node = hash_find(&group->members->by_id, id.data,
	    id.length);

	return (node == NULL ? NULL :
	    container_of(node, struct group_member, node));
}

struct group_member *
member_of_instance(const struct group *group, struct slice instance_id)
{
	struct hash_node *node = instance_id.data == NULL ? NULL :
	    hash_find(&group->members->by_instance, instance_id.data,
		instance_id.length);

	return (node == NULL ? NULL :
	    container_of(node, struct group_member, static_node));
}

enum error
group_check_member(struct group *group, struct slice member_id,
    struct slice instance_id)
{
	if (instance_id.data != NULL) {
		const struct group_member *current = member_of_instance(group,
		    instance_id);

		if (current == NULL)
			return (ERR_UNKNOWN_MEMBER_ID);
		if (!slice_equal(current->id, member_id))
			return (ERR_FENCED_INSTANCE_ID);
	}
	return (member_find(group, member_id) == NULL ?
	    ERR_UNKNOWN_MEMBER_ID : ERR_NONE);
}

int64_t
group_rebalance_timeout_ms(const struct group *group)
{
	int64_t longest = 0;

	LIST_MEMBERS(element, group)
		if (member_at(element)->rebalance_timeout_ms > longest)
			longest = member_at(element)->rebalance_timeout_ms;
	return (longest);
}

void
group_set_text(char **text, struct slice value)
{
	mem_free(*text);
	*text = value.data == NULL ? NULL :
	    mem_strndup((const char *)value.data, value.length);
}

#define UUID_JAVA_LENGTH 36

/* As java.util.UUID writes one, with a NUL behind it. */
static void
uuid_to_java(struct uuid uuid, char text[UUID_JAVA_LENGTH + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *to = text;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[uuid.bytes[i] >> 4];
		*to++ = digits[uuid.bytes[i] & 15];
	}
	*to = '\0';
}

struct slice
group_new_member_id(struct group *group, struct slice prefix,
    struct arena *arena)
{
	struct uuid uuid = uuid_random(&group->shard->random);
	const size_t length = prefix.length + 1 + UUID_JAVA_LENGTH;
	char *id = length > INT16_MAX ? NULL : arena_alloc(arena, length + 1);

	if (id == NULL)
		return (SLICE_NULL);
	if (prefix.length != 0)
		memcpy(id, prefix.data, prefix.length);
	id[prefix.length] = '-';
	uuid_to_java(uuid, id + prefix.length + 1);
	return (slice_of(id, length));
}

/* --- protocols ------------------------------------------------------------ */

static struct protocol_support *
support_find(const struct group_members *members, struct slice name)
{
	struct hash_node *node = hash_find(&members->supports, name.data,
	    name.length);

	return (node == NULL ? NULL :
	    container_of(node, struct protocol_support, node));
}

static struct protocol_support *
support_make(struct group_members *members, struct slice name)
{
	struct protocol_support *s = support_find(members, name);

	if (s != NULL)
		return (s);
	s = mem_zalloc(sizeof(*s) + name.length);
	s->length = name.length;
	if (name.length != 0)
		memcpy(s->name, name.data, name.length);
	hash_insert(&members->supports, &s->node, s->name, s->length);
	return (s);
}

static void
member_count_protocols(struct group_member *member)
{
	for (size_t i = 0; i < member->protocol_count; i++) {
		struct group_protocol *p = &member->protocols[i];
		struct protocol_support *s = support_make(
		    member->group->members, p->name);

		if (s->last == member)
			continue;
		s->last = member;
		s->members++;
		p->support = s;
	}
	/* So that another member in its place is another one. */
	for (size_t i = 0; i < member->protocol_count; i++)
		if (member->protocols[i].support != NULL)
			member->protocols[i].support->last = NULL;
}

static void
member_drop_protocols(struct group_member *member)
{
	for (size_t i = 0; i < member->protocol_count; i++) {
		struct protocol_support *s = member->protocols[i].support;

		if (s == NULL || --s->members > 0)
			continue;
		hash_remove(&member->group->members->supports, &s->node);
		mem_free(s);
	}
	mem_free(member->protocols);
	member->protocols = NULL;
	member->protocol_count = 0;
}

/* One block: the rows, then the bytes that they name. NULL: too much. */
static struct group_protocol *
protocols_copy(const struct join_group_request_protocol *protocols,
    size_t count)
{
	size_t bytes = 0;
	struct group_protocol *rows;
	uint8_t *to;

	for (size_t i = 0; i < count && bytes <= GROUP_PROTOCOL_BYTES_MAX; i++)
		bytes += protocols[i].name.length +
		    protocols[i].metadata.length;
	if (count > GROUP_PROTOCOLS_MAX || bytes > GROUP_PROTOCOL_BYTES_MAX)
		return (NULL);
	rows = mem_try_alloc(count * sizeof(*rows) + bytes + 1);
	if (rows == NULL)
		return (NULL);
	to = (uint8_t *)(rows + count);
	for (size_t i = 0; i < count; i++) {
		const struct join_group_request_protocol *p = &protocols[i];

		rows[i] = (struct group_protocol){
			.name = slice_of(to, p->name.length),
			.metadata = slice_of(to + p->name.length,
			    p->metadata.length),
		};
		if (p->name.length != 0)
			memcpy(to, p->name.data, p->name.length);
		to += p->name.length;
		if (p->metadata.length != 0)
			memcpy(to, p->metadata.data, p->metadata.length);
		to += p->metadata.length;
	}
	return (rows);
}

bool
member_set_protocols(struct group_member *member,
    const struct join_group_request_protocol *protocols, size_t count)
{
	struct group_protocol *rows = protocols_copy(protocols, count);

	if (rows == NULL)
		return (false);
	member_drop_protocols(member);
	member->protocols = rows;
	member->protocol_count = count;
	member_count_protocols(member);
	return (true);
}

bool
member_matches(const struct group_member *member,
    const struct join_group_request_protocol *protocols, size_t count)
{
	if (count != member->protocol_count)
		return (false);
	for (size_t i = 0; i < count; i++)
		if (slice_compare(protocols[i].name,
			member->protocols[i].name) != 0 ||
		    slice_compare(protocols[i].metadata,
			member->protocols[i].metadata) != 0)
			return (false);
	return (true);
}

struct slice
member_metadata(const struct group_member *member, const char *protocol)
{
	for (size_t i = 0; protocol != NULL && i < member->protocol_count; i++)
		if (slice_compare(member->protocols[i].name,
			slice_of_text(protocol)) == 0)
			return (member->protocols[i].metadata);
	return (SLICE_EMPTY);
}

/* Names are kept as text: one with a NUL is nobody's. */
static bool
names_are_text(struct slice type,
    const struct join_group_request_protocol *protocols, size_t count)
{
	if (type.length != 0 && memchr(type.data, '\0', type.length) != NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		if (protocols[i].name.length != 0 &&
		    memchr(protocols[i].name.data, '\0',
			protocols[i].name.length) != NULL)
			return (false);
	return (true);
}

bool
group_supports(const struct group *group, struct slice type,
    const struct join_group_request_protocol *protocols, size_t count)
{
	if (!names_are_text(type, protocols, count))
		return (false);
	if (group->state == GROUP_EMPTY)
		return (type.length != 0 && count != 0);
	if (group->protocol_type == NULL ||
	    !slice_equal_text(type, group->protocol_type))
		return (false);
	for (size_t i = 0; i < count; i++) {
		const struct protocol_support *s = support_find(group->members,
		    protocols[i].name);

		if ((s == NULL ? 0 : s->members) == group->members->count)
			return (true);
	}
	return (false);
}

/* --- in and out ----------------------------------------------------------- */

/* `value` behind *to; null stays null. */
static struct slice
text_take(uint8_t **to, struct slice value)
{
	struct slice copy = slice_of(*to, value.length);

	if (value.data == NULL)
		return (SLICE_NULL);
	if (value.length != 0)
		memcpy(*to, value.data, value.length);
	*to += value.length;
	return (copy);
}

static struct group_member *
member_new(struct group *group, const struct member_plan *plan)
{
	struct group_member *member = mem_try_alloc(sizeof(*member) +
	    plan->instance_id.length + plan->client_id.length +
	    plan->client_host.length);
	uint8_t *to;

	if (member == NULL)
		return (NULL);
	*member = (struct group_member){
		.group = group,
		.rebalance_timeout_ms = plan->rebalance_timeout_ms,
		.session_timeout_ms = plan->session_timeout_ms,
		.assignment = SLICE_EMPTY,
		.next_assignment = SLICE_EMPTY,
	};
	to = member->text;
	member->instance_id = text_take(&to, plan->instance_id);
	member->client_id = text_take(&to, plan->client_id);
	member->client_host = text_take(&to, plan->client_host);
	timer_init(&member->session, group->shard->loop,
	    member_session_timer);
	list_init(&member->link);
	return (member);
}

bool
own_bytes(struct slice *own, struct slice value)
{
	uint8_t *copy = mem_try_alloc(value.length + 1);

	*own = SLICE_NULL;
	if (copy == NULL)
		return (false);
	if (value.length != 0)
		memcpy(copy, value.data, value.length);
	*own = slice_of(copy, value.length);
	return (true);
}

void
drop_bytes(struct slice *own)
{
	mem_free((void *)(uintptr_t)own->data);
	*own = SLICE_NULL;
}

bool
member_set_id(struct group_member *member, struct slice id)
{
	struct group_members *m = member->group->members;
	struct slice old = member->id;

	if (!own_bytes(&member->id, id)) {
		member->id = old;
		return (false);
	}
	hash_remove(&m->by_id, &member->node);
	hash_insert(&m->by_id, &member->node, member->id.data,
	    member->id.length);
	drop_bytes(&old);
	return (true);
}

struct group_member *
member_add(struct group *group, const struct member_plan *plan)
{
	struct group_members *m = group->members;
	struct group_member *member = member_new(group, plan);

	if (member == NULL)
		return (NULL);
	if (!own_bytes(&member->id, plan->id) || !member_set_protocols(member,
		plan->protocols, plan->protocol_count)) {
		drop_bytes(&member->id);
		mem_free(member);
		return (NULL);
	}
	hash_insert(&m->by_id, &member->node, member->id.data,
	    member->id.length);
	if (member->instance_id.data != NULL)
		hash_insert(&m->by_instance, &member->static_node,
		    member->instance_id.data, member->instance_id.length);
	list_push_tail(&m->all, &member->link);
	m->count++;
	if (m->leader == NULL)
		m->leader = member;
	return (member);
}

void
member_remove(struct group_member *member)
{
	struct group_members *m = member->group->members;
	struct group_ask *ask = member_end_join(member);

	if (ask != NULL)
		join_refuse(ask, ERR_UNKNOWN_MEMBER_ID, SLICE_EMPTY);
	ask = member_end_sync(member);
	if (ask != NULL)
		sync_refuse(ask, ERR_UNKNOWN_MEMBER_ID);
	member_sync_came(member);
	member_drop_protocols(member);
	timer_disarm(&member->session);
	hash_remove(&m->by_id, &member->node);
	if (member->instance_id.data != NULL)
		hash_remove(&m->by_instance, &member->static_node);
	list_remove(&member->link);
	m->count--;
	if (m->leader == member)
		m->leader = list_empty(&m->all) ? NULL :
		    member_at(m->all.next);
	drop_bytes(&member->id);
	mem_free(member);
}

/* --- waiting -------------------------------------------------------------- */

void
group_answered(struct group_ask *ask)
{
	ask->done = true;
	if (ask->wait == NULL)
		return;
	ask->wait = NULL;
	task_wake_ref(ask->task);
}

static void
member_forget(struct group_wait *wait)
{
	container_of(wait, struct member_wait, wait)->ask = NULL;
}

static void
member_wait_begin(struct member_wait *wait, struct group_ask *ask)
{
	wait->wait.forget = member_forget;
	wait->ask = ask;
	ask->wait = &wait->wait;
	ask->done = false;
}

static struct group_ask *
member_wait_end(struct member_wait *wait)
{
	struct group_ask *ask = wait->ask;

	wait->ask = NULL;
	return (ask);
}

/* Who waits already, over another connection, is told to begin again: Kafka
 * forgets it, and its client waits in vain. */
void
member_await_join(struct group_member *member, struct group_ask *ask)
{
	struct group_ask *before = member_end_join(member);

	if (before != NULL)
		join_refuse(before, ERR_REBALANCE_IN_PROGRESS, member->id);
	member_wait_begin(&member->join, ask);
	member->awaiting_join = true;
	member->group->members->awaiting_join++;
	member->joined_ns = loop_now_ns(member->group->shard->loop);
}

void
member_await_sync(struct group_member *member, struct group_ask *ask)
{
	struct group_ask *before = member_end_sync(member);

	if (before != NULL)
		sync_refuse(before, ERR_REBALANCE_IN_PROGRESS);
	member_wait_begin(&member->sync, ask);
	member->awaiting_sync = true;
}

struct group_ask *
member_end_join(struct group_member *member)
{
	if (!member->awaiting_join)
		return (NULL);
	member->awaiting_join = false;
	member->group->members->awaiting_join--;
	metrics_observe(group_metrics(member->group), METRIC_GROUP_JOIN_TIME,
	    loop_now_ns(member->group->shard->loop) - member->joined_ns);
	return (member_wait_end(&member->join));
}

struct group_ask *
member_end_sync(struct group_member *member)
{
	member->awaiting_sync = false;
	return (member_wait_end(&member->sync));
}

void
member_sync_came(struct group_member *member)
{
	if (!member->sync_pending)
		return;
	member->sync_pending = false;
	member->group->members->sync_pending--;
}

/* --- sessions ------------------------------------------------------------- */

/* A heartbeat only moves the deadline: the timer finds that when it runs. */
void
member_expect(struct group_member *member, int64_t in_ms)
{
	struct loop *loop = member->group->shard->loop;

	member->deadline_ns = loop_now_ns(loop) + in_ms * NS_PER_MS;
	if (!timer_armed(&member->session) ||
	    member->session.due_ns > member->deadline_ns)
		timer_arm_at(&member->session, member->deadline_ns);
}

void
group_touch_member(struct group *group, struct slice member_id)
{
	struct group_member *member = member_find(group, member_id);

	if (member != NULL)
		member_expect(member, member->session_timeout_ms);
}

static void
member_session_timer(struct timer *timer)
{
	struct group_member *member = container_of(timer, struct group_member,
	    session);
	struct group *group = member->group;

	if (group->shard->phase == SHARD_CLOSES)
		return;
	if (member->deadline_ns > loop_now_ns(group->shard->loop)) {
		timer_arm_at(timer, member->deadline_ns);
		return;
	}
	/* Who waits is alive, and has a new session when the wait ends; but a
	 * new one may have given up long ago (KAFKA-4799). */
	if (!member->is_new &&
	    (member->awaiting_join || member->awaiting_sync))
		return;
	diag_info(group_diag(group), group,
	    "group=%s member=%.*s sent no heartbeat in %d ms and is removed",
	    group->id, SLICE_ARGS(member->id),
	    (int)member->session_timeout_ms);
	metrics_add(group_metrics(group), METRIC_GROUP_EXPIRED_SESSIONS, 1);
	member_remove(member);
	group_lost_member(group, "a member's session ended");
}
