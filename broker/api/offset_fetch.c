/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OffsetFetch: what groups have committed.  Before version 8 a request is about
 * one group and is turned into the form that later ones have; version 0 asks
 * ZooKeeper.
 */
#include "api/group_ask.h"
#include "api/group_rows.h"
#include "api/offset_zk.h"
#include "base/twins.h"

struct offset_fetch_state {
	struct apis *apis;
	struct request *request;
	struct offset_fetch_request body;
	struct offset_fetch_response response;
	/* Before version 8: */
	struct offset_fetch_request_group group;
	struct offset_fetch_response_group answer;
	/* Version 0: */
	struct group_rows rows;
	struct group_commit asked;
};

static struct slice
offset_fetch_group(const void *state, size_t part)
{
	const struct offset_fetch_state *s = state;

	return (s->body.groups[part].group_id);
}

static bool
offset_fetch_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct offset_fetch_state *s = state;

	return (group_fetch_offsets(groups, &s->body.groups[part],
	    s->body.require_stable, &s->response.groups[part], ask));
}

/* --- before version 8 ----------------------------------------------------- */

static bool
offset_fetch_widen(struct offset_fetch_state *s)
{
	const struct offset_fetch_request *body = &s->body;

	wire_init(&message_offset_fetch_response, &s->response);
	s->group.group_id = body->group_id;
	s->group.topics_count = body->topics_count;
	if (body->topics != NULL) {
		s->group.topics = wire_array(&s->request->arena,
		    offset_fetch_request_group_topic_schema(),
		    (size_t)body->topics_count);
		if (s->group.topics == NULL)
			return (false);
	}
	for (int32_t t = 0; t < body->topics_count; t++) {
		s->group.topics[t].name = body->topics[t].name;
		s->group.topics[t].partition_indexes =
		    body->topics[t].partition_indexes;
		s->group.topics[t].partition_indexes_count =
		    body->topics[t].partition_indexes_count;
	}
	s->body.groups = &s->group;
	s->body.groups_count = 1;
	s->response.groups = &s->answer;
	return (true);
}

static bool
offset_fetch_narrow_topic(struct arena *arena,
    const struct offset_fetch_response_group_topic *from,
    struct offset_fetch_response_topic *out)
{
	out->name = from->name;
	out->partitions = wire_array(arena,
	    offset_fetch_response_partition_schema(),
	    (size_t)from->partitions_count);
	if (out->partitions == NULL)
		return (false);
	out->partitions_count = from->partitions_count;
	for (int32_t p = 0; p < from->partitions_count; p++) {
		out->partitions[p].partition_index =
		    from->partitions[p].partition_index;
		out->partitions[p].committed_offset =
		    from->partitions[p].committed_offset;
		out->partitions[p].committed_leader_epoch =
		    from->partitions[p].committed_leader_epoch;
		out->partitions[p].metadata = from->partitions[p].metadata;
		out->partitions[p].error_code = from->partitions[p].error_code;
	}
	return (true);
}

/* Version 1 has no place for the group's error but its partitions. */
static bool
offset_fetch_spread(struct offset_fetch_state *s)
{
	struct arena *arena = &s->request->arena;
	struct offset_fetch_response_group *answer = &s->answer;

	answer->topics = wire_array(arena,
	    offset_fetch_response_group_topic_schema(),
	    (size_t)s->group.topics_count);
	if (answer->topics == NULL)
		return (false);
	answer->topics_count = s->group.topics_count;
	for (int32_t t = 0; t < s->group.topics_count; t++) {
		const struct offset_fetch_request_group_topic *asked =
		    &s->group.topics[t];
		struct offset_fetch_response_group_topic *topic =
		    &answer->topics[t];

		topic->name = asked->name;
		topic->partitions = wire_array(arena,
		    offset_fetch_response_group_partition_schema(),
		    (size_t)asked->partition_indexes_count);
		if (topic->partitions == NULL)
			return (false);
		topic->partitions_count = asked->partition_indexes_count;
		for (int32_t p = 0; p < asked->partition_indexes_count; p++) {
			topic->partitions[p].partition_index =
			    asked->partition_indexes[p];
			topic->partitions[p].committed_offset = -1;
			topic->partitions[p].metadata = SLICE_EMPTY;
			topic->partitions[p].error_code = answer->error_code;
		}
	}
	return (true);
}

static bool
offset_fetch_narrow(void *state)
{
	struct offset_fetch_state *s = state;
	struct arena *arena = &s->request->arena;

	s->response.groups = NULL;
	s->response.error_code = s->answer.error_code;
	if (s->request->head.api_version < 2 &&
	    s->answer.error_code != ERR_NONE && !offset_fetch_spread(s))
		return (false);
	s->response.topics = wire_array(arena,
	    offset_fetch_response_topic_schema(),
	    (size_t)s->answer.topics_count);
	if (s->response.topics == NULL)
		return (false);
	s->response.topics_count = s->answer.topics_count;
	for (int32_t t = 0; t < s->answer.topics_count; t++)
		if (!offset_fetch_narrow_topic(arena, &s->answer.topics[t],
			&s->response.topics[t]))
			return (false);
	return (true);
}

/* --- version 0 ------------------------------------------------------------ */

/* What is named twice is answered once. */
static bool
parts_once(struct arena *arena, struct group_part *parts, size_t *count)
{
	struct twin *twins = arena_array(arena, *count, sizeof(*twins));
	const struct twin_ends *ends;
	size_t kept = 0;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < *count; i++)
		twins[i] = (struct twin){ .name = parts[i].topic,
			.number = parts[i].partition };
	ends = twins_find(arena, twins, *count);
	if (ends == NULL)
		return (false);
	for (size_t i = 0; i < *count; i++)
		if (ends[i].first == i)
			parts[kept++] = parts[i];
	*count = kept;
	return (true);
}

static bool
offset_fetch_zk_rows(struct offset_fetch_state *s)
{
	const struct offset_fetch_request *body = &s->body;
	struct group_part *parts;
	size_t count = 0;

	for (int32_t t = 0; t < body->topics_count; t++)
		count += (size_t)body->topics[t].partition_indexes_count;
	parts = arena_array(&s->request->arena, count, sizeof(*parts));
	if (parts == NULL)
		return (false);
	count = 0;
	for (int32_t t = 0; t < body->topics_count; t++)
		for (int32_t p = 0; p < body->topics[t].partition_indexes_count;
		    p++)
			parts[count++] = (struct group_part){
				.topic = body->topics[t].name,
				.partition =
				    body->topics[t].partition_indexes[p],
			};
	s->asked.group_id = body->group_id;
	if (!parts_once(&s->request->arena, parts, &count) ||
	    !group_rows_make(&s->rows, &s->request->arena,
		cluster_image(s->apis->setup.cluster), parts, count))
		return (false);
	s->asked.parts = s->rows.parts;
	s->asked.count = s->rows.count;
	return (true);
}

static bool
offset_fetch_zk_fill(struct offset_fetch_state *s)
{
	struct arena *arena = &s->request->arena;
	const struct group_part *part = s->rows.parts;

	s->response.topics = wire_array(arena,
	    offset_fetch_response_topic_schema(), s->rows.topic_count);
	if (s->response.topics == NULL)
		return (false);
	s->response.topics_count = (int32_t)s->rows.topic_count;
	for (size_t t = 0; t < s->rows.topic_count; t++) {
		struct offset_fetch_response_topic *out =
		    &s->response.topics[t];

		out->name = s->rows.topics[t].name;
		out->partitions = wire_array(arena,
		    offset_fetch_response_partition_schema(),
		    (size_t)s->rows.topics[t].count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = s->rows.topics[t].count;
		for (int32_t p = 0; p < out->partitions_count; p++, part++) {
			out->partitions[p].partition_index = part->partition;
			out->partitions[p].committed_offset =
			    part->error == ERR_NONE ? part->offset : -1;
			out->partitions[p].metadata = SLICE_EMPTY;
			out->partitions[p].error_code = (int16_t)part->error;
		}
	}
	return (true);
}

static void
offset_fetch_zk_reply(void *state)
{
	struct offset_fetch_state *s = state;

	if (offset_fetch_zk_fill(s))
		api_reply(s->apis, s->request, &s->response);
	else
		api_refuse_memory(s->apis, s->request);
}

/* -------------------------------------------------------------------------- */

static void
offset_fetch_zk(struct offset_fetch_state *s)
{
	if (!offset_fetch_zk_rows(s))
		api_refuse_memory(s->apis, s->request);
	else
		offset_zk_fetch(s->apis, s->request, &s->asked,
		    offset_fetch_zk_reply, s);
}

static bool
offset_fetch_room(struct offset_fetch_state *s)
{
	if (s->request->head.api_version < 8)
		return (offset_fetch_widen(s));
	s->response.groups = wire_array(&s->request->arena,
	    offset_fetch_response_group_schema(), (size_t)s->body.groups_count);
	s->response.groups_count = s->body.groups_count;
	return (s->response.groups != NULL);
}

void
api_offset_fetch(struct apis *apis, struct request *request)
{
	const bool old = request->head.api_version < 8;
	struct offset_fetch_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_offset_fetch_request, &s->body))
		return;
	wire_init(&message_offset_fetch_response, &s->response);
	if (request->head.api_version == 0)
		offset_fetch_zk(s);
	else if (!offset_fetch_room(s))
		api_refuse_memory(apis, request);
	else
		api_ask_groups(apis, request, &(struct group_plan){
		    .count = (size_t)s->body.groups_count,
		    .group_of = offset_fetch_group,
		    .call = offset_fetch_call,
		    .finish = old ? offset_fetch_narrow : NULL,
		    .state = s,
		    .response = &s->response,
		});
}
