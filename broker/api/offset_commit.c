/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetCommit: to the group's coordinator; version 0 to ZooKeeper. */
#include "api/group_ask.h"
#include "api/group_rows.h"
#include "api/offset_zk.h"

struct offset_commit_state {
	struct apis *apis;
	struct request *request;
	struct offset_commit_request body;
	struct group_rows rows;
	struct group_commit commit;
	struct offset_commit_response response;
};

static bool
offset_commit_rows(struct offset_commit_state *s)
{
	struct arena *arena = &s->request->arena;
	const struct offset_commit_request *body = &s->body;
	struct group_part *parts;
	size_t count = 0;

	for (int32_t t = 0; t < body->topics_count; t++)
		count += (size_t)body->topics[t].partitions_count;
	parts = arena_array(arena, count, sizeof(*parts));
	if (parts == NULL)
		return (false);
	count = 0;
	for (int32_t t = 0; t < body->topics_count; t++)
		for (int32_t p = 0; p < body->topics[t].partitions_count;
		    p++) {
			const struct offset_commit_request_partition *asked =
			    &body->topics[t].partitions[p];

			parts[count++] = (struct group_part){
				.topic = body->topics[t].name,
				.partition = asked->partition_index,
				.offset = asked->committed_offset,
				.leader_epoch = asked->committed_leader_epoch,
				.metadata = asked->committed_metadata,
				.commit_ms = asked->commit_timestamp,
			};
		}
	return (group_rows_make(&s->rows, arena,
	    cluster_image(s->apis->setup.cluster), parts, count));
}

static struct slice
offset_commit_group(const void *state, size_t part)
{
	const struct offset_commit_state *s = state;

	(void)part;
	return (s->body.group_id);
}

static bool
offset_commit_call(struct groups *groups, void *state, size_t part,
    struct group_ask *ask)
{
	struct offset_commit_state *s = state;

	(void)part;
	return (group_commit(groups, &s->commit, ask));
}

/* What the parts were answered, as the response has it. */
static bool
offset_commit_fill(void *state)
{
	struct offset_commit_state *s = state;
	struct arena *arena = &s->request->arena;
	const struct group_part *part = s->rows.parts;

	s->response.topics = wire_array(arena,
	    offset_commit_response_topic_schema(), s->rows.topic_count);
	if (s->response.topics == NULL)
		return (false);
	s->response.topics_count = (int32_t)s->rows.topic_count;
	for (size_t t = 0; t < s->rows.topic_count; t++) {
		const struct group_rows_topic *from = &s->rows.topics[t];
		struct offset_commit_response_topic *out =
		    &s->response.topics[t];

		out->name = from->name;
		out->partitions = wire_array(arena,
		    offset_commit_response_partition_schema(),
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

static void
offset_commit_reply(void *state)
{
	struct offset_commit_state *s = state;

	if (offset_commit_fill(s))
		api_reply(s->apis, s->request, &s->response);
	else
		api_refuse_memory(s->apis, s->request);
}

void
api_offset_commit(struct apis *apis, struct request *request)
{
	struct offset_commit_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_offset_commit_request, &s->body))
		return;
	wire_init(&message_offset_commit_response, &s->response);
	if (!offset_commit_rows(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	s->commit = (struct group_commit){
		.group_id = s->body.group_id,
		.member_id = s->body.member_id,
		.instance_id = s->body.group_instance_id,
		.generation = s->body.generation_id_or_member_epoch,
		.retention_ms = s->body.retention_time_ms,
		.parts = s->rows.parts,
		.count = s->rows.count,
	};
	if (s->rows.valid_count == 0)
		offset_commit_reply(s);
	else if (request->head.api_version == 0)
		offset_zk_commit(apis, request, &s->commit,
		    offset_commit_reply, s);
	else
		api_ask_groups(apis, request, &(struct group_plan){
		    .count = 1,
		    .group_of = offset_commit_group,
		    .call = offset_commit_call,
		    .finish = offset_commit_fill,
		    .state = s,
		    .response = &s->response,
		});
}
