/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which topics the members of a "consumer" group subscribe to, as they told
 * when this generation began: their offsets are neither deleted nor expire.
 * What cannot be understood counts as all topics, and so does what is too much.
 *
 * Names are their shard's, with those of committed offsets.  Members mostly
 * tell of the same topics in the same order, so that whoever repeats the last
 * one's bytes is not looked at again.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "group/members_int.h"
#include "group/offsets_int.h"

/* Of one member's subscription, unpacked. */
#define LESSON_BYTES_MAX (2 * GROUP_TOPICS_TOLD_MAX * sizeof(struct slice))

/* Topics while they are learned. */
struct lesson {
	struct group *group;
	struct arena arena;
	uint64_t serial; /* marks what it has met */
	struct group_topic **topics;
	size_t count;
	size_t capacity;
	size_t bytes;
	size_t told; /* names, repetitions too */
	struct slice last; /* the last list's bytes, with its count */
};

static bool
is_consumer_group(const struct group *group)
{
	return (group->protocol_type != NULL &&
	    strcmp(group->protocol_type, "consumer") == 0);
}

void
group_forget_topics(struct group *group)
{
	struct group_members *m = group->members;

	for (size_t i = 0; i < m->topic_count; i++)
		group_topic_let_go(group->shard, m->topics[i]);
	mem_free(m->topics);
	m->topics = NULL;
	m->topic_count = 0;
	m->topics_known = false;
}

static bool
topic_learn(struct lesson *l, struct slice name)
{
	struct group_topic *topic;

	if (++l->told > GROUP_TOPICS_TOLD_MAX)
		return (false);
	topic = group_topic_take(l->group->shard, name);
	if (topic->learned == l->serial) {
		group_topic_let_go(l->group->shard, topic);
		return (true);
	}
	topic->learned = l->serial;
	l->bytes += name.length;
	if (l->count == l->capacity) {
		l->capacity = 2 * l->capacity + 4;
		l->topics = mem_realloc(l->topics,
		    l->capacity * sizeof(*l->topics));
	}
	l->topics[l->count++] = topic;
	return (l->count <= GROUP_TOPICS_MAX &&
	    l->bytes <= GROUP_TOPICS_BYTES_MAX);
}

/* Behind the topics are the user's bytes, null or so many. */
static bool
repeats_last(const struct lesson *l, struct slice body)
{
	const size_t most = body.length - l->last.length;
	int32_t length;

	if (l->last.length == 0 || body.length < l->last.length ||
	    most < sizeof(length) ||
	    memcmp(body.data, l->last.data, l->last.length) != 0)
		return (false);
	length = bytes_get_i32(body.data + l->last.length);
	return (length >= -1 && (length <= 0 ||
	    (size_t)length <= most - sizeof(length)));
}

/* A subscription of any version begins as one of version 0 does. */
static bool
topics_learn(struct lesson *l, struct slice subscription)
{
	struct consumer_protocol_subscription s;
	size_t listed = sizeof(int32_t);
	struct slice body;

	if (subscription.length < sizeof(int16_t))
		return (false);
	body = slice_of(subscription.data + sizeof(int16_t),
	    subscription.length - sizeof(int16_t));
	if (repeats_last(l, body))
		return (true);
	arena_reset(&l->arena);
	if (wire_decode(&message_consumer_protocol_subscription, 0, body,
		&l->arena, &s, NULL) != WIRE_OK)
		return (false);
	for (int32_t i = 0; i < s.topics_count; i++) {
		listed += sizeof(int16_t) + s.topics[i].length;
		if (!topic_learn(l, s.topics[i]))
			return (false);
	}
	l->last = slice_of(body.data, listed);
	return (true);
}

static int
topic_by_address(const void *x, const void *y)
{
	const uintptr_t a = (uintptr_t)*(struct group_topic *const *)x;
	const uintptr_t b = (uintptr_t)*(struct group_topic *const *)y;

	return ((a > b) - (a < b));
}

static void
lesson_end(struct lesson *l, bool known)
{
	struct group_members *m = l->group->members;

	arena_fini(&l->arena);
	group_forget_topics(l->group);
	if (l->count > 0) {
		qsort(l->topics, l->count, sizeof(*l->topics),
		    topic_by_address);
		l->topics = mem_realloc(l->topics,
		    l->count * sizeof(*l->topics));
	}
	m->topics = l->topics;
	m->topic_count = l->count;
	m->topics_known = known;
	if (!known)
		group_forget_topics(l->group);
}

void
group_learn_topics(struct group *group)
{
	struct lesson lesson = {
		.group = group,
		.serial = ++group->shard->lessons,
		.last = SLICE_EMPTY,
	};
	bool known = is_consumer_group(group);

	arena_init(&lesson.arena, LESSON_BYTES_MAX);
	LIST_MEMBERS(element, group)
		known = known && group->protocol != NULL &&
		    topics_learn(&lesson, member_metadata(member_at(element),
			group->protocol));
	lesson_end(&lesson, known);
}

bool
group_subscribes(const struct group *group, struct slice topic, bool *known)
{
	const struct group_members *m = group->members;
	const struct group_topic *name;

	*known = is_consumer_group(group);
	if (!*known || !m->topics_known)
		return (*known);
	name = group_topic_find(group->shard, topic);
	return (name != NULL && m->topic_count > 0 &&
	    bsearch(&name, m->topics, m->topic_count, sizeof(*m->topics),
		topic_by_address) != NULL);
}
