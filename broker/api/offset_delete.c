/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetDelete: a group forgets what it committed of some partitions. */
#include "api/group_ask.h"
#include "api/group_rows.h"

struct offset_delete_state {
	struct apis *apis;
	struct request *request;
	struct offset_delete_request body;
	struct group_rows rows;
	struct group_offset_deletion deletion;
	struct offset_delete_response response;
};

static bool
offset_delete_rows(struct offset_delete_state *s)
{
	struct arena *arena = &s->request->arena;
	const struct offset_delete_request *body = &s->body;
	struct group_part *parts;
	size_t count = 0;

	for (int32_t t = 0; t < body->topics_count; t++)
		count += (size_t)body->topics[t].partitions_count;
	parts = arena_array(arena, count, sizeof(*parts));
	if (parts == NULL)
		return (false);
	count = 0;
	for (int32_t t = 0; t < body->topics_count; t++)
		for (int32_t p = 0; p < body->topics[t].partitions_count; p++)
			parts[count++] = (struct group_part){
				.topic = body->topics[t].name,
				.partition = body->topics[t]
						 .partitions[p]
						 .partition_index,
			};
	return (group_rows_make(&s->rows, arena,
	    cluster_image(s->apis->setup.cluster), parts, count));
}

static struct slice
offset_delete_group(const void *state, size_t part)
{
	const struct offset_delete_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
offset_delete_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct offset_delete_state *s = state;

	(void)part;
	return (group_delete_offsets(groups, &s->deletion, ask));
}

static bool
offset_delete_fill(void *state)
{
	struct offset_delete_state *s = state;
	struct arena *arena = &s->request->arena;
	const struct group_part *part = s->rows.parts;

	s->response.error_code = (int16_t)s->deletion.error;
	if (s->deletion.error != ERR_NONE)
		return (true);
	s->response.topics = wire_array(arena,
	    offset_delete_response_topic_schema(), s->rows.topic_count);
	if (s->response.topics == NULL)
		return (false);
	s->response.topics_count = (int32_t)s->rows.topic_count;
	for (size_t t = 0; t < s->rows.topic_count; t++) {
		const struct group_rows_topic *from = &s->rows.topics[t];
		struct offset_delete_response_topic *out =
		    &s->response.topics[t];

		out->name = from->name;
		out->partitions = wire_array(arena,
		    offset_delete_response_partition_schema(),
		    (size_t)from->count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = from->count;
		for (int32_t p = 0; p < from->count; p++, part++) {
			out->partitions[p].partition_index = part->partition;
			out->partitions[p].error_code = (int16_t)part->error;
		}
	}
	return (true);
}

void
api_offset_delete(struct apis *apis, struct request *request)
{
	struct offset_delete_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_offset_delete_request, &s->body))
		return;
	wire_init(&message_offset_delete_response, &s->response);
	if (!offset_delete_rows(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	s->deletion = (struct group_offset_deletion){
		.group_id = s->body.group_id,
		.parts = s->rows.parts,
		.count = s->rows.count,
	};
	api_ask_groups(apis, request, &(struct group_plan){
	    .count = 1,
	    .group_of = offset_delete_group,
	    .call = offset_delete_call,
	    .finish = offset_delete_fill,
	    .state = s,
	    .response = &s->response,
	});
}
