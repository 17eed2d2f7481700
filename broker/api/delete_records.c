/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteRecords: log starts move up; the answer waits until the replicas have
 * followed. */
#include "api/api_int.h"

#include "replica/delete_records.h"

struct delete_records_state {
	struct apis *apis;
	struct request *request;
	struct delete_records_request body;
	struct delete_records delete;
};

static bool delete_records_parts(struct delete_records_state *s);
static void delete_records_done(struct delete_records *delete);

static void
delete_records_abandoned(struct request *request)
{
	struct delete_records_state *s = request->owner;

	delete_records_abandon(&s->delete);
}

void
api_delete_records(struct apis *apis, struct request *request)
{
	struct delete_records_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_delete_records_request, &s->body))
		return;
	if (!delete_records_parts(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	s->delete.replicas = apis->setup.replicas;
	s->delete.loop = request->loop;
	s->delete.timeout_ms = s->body.timeout_ms;
	s->delete.done = delete_records_done;
	s->delete.owner = s;
	request->owner = s;
	request->abandoned = delete_records_abandoned;
	delete_records_run(&s->delete);
}

static bool
delete_records_parts(struct delete_records_state *s)
{
	size_t count = 0;

	for (int32_t i = 0; i < s->body.topics_count; i++)
		count += (size_t)s->body.topics[i].partitions_count;
	s->delete.parts = arena_array(&s->request->arena, count,
	    sizeof(*s->delete.parts));
	if (s->delete.parts == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		const struct delete_records_request_topic *topic =
		    &s->body.topics[i];

		for (int32_t j = 0; j < topic->partitions_count; j++)
			s->delete.parts[s->delete.part_count++] =
			    (struct delete_records_part){
				.topic = topic->name,
				.partition =
				    topic->partitions[j].partition_index,
				.offset = topic->partitions[j].offset,
			};
	}
	return (true);
}

static bool
delete_records_fill(struct delete_records_state *s,
    struct delete_records_response *response)
{
	const struct delete_records_part *part = s->delete.parts;
	struct arena *arena = &s->request->arena;

	response->topics = wire_array(arena,
	    delete_records_response_topic_schema(),
	    (size_t)s->body.topics_count);
	if (response->topics == NULL)
		return (false);
	response->topics_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		struct delete_records_response_topic *out =
		    &response->topics[i];
		int32_t count = s->body.topics[i].partitions_count;

		out->name = s->body.topics[i].name;
		out->partitions = wire_array(arena,
		    delete_records_response_partition_schema(),
		    (size_t)count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++, part++) {
			out->partitions[j].partition_index = part->partition;
			out->partitions[j].low_watermark =
			    part->low_watermark;
			out->partitions[j].error_code = (int16_t)part->error;
		}
	}
	return (true);
}

static void
delete_records_done(struct delete_records *delete)
{
	struct delete_records_state *s = delete->owner;
	struct delete_records_response response;

	s->request->abandoned = NULL;
	wire_init(&message_delete_records_response, &response);
	if (delete_records_fill(s, &response))
		api_reply(s->apis, s->request, &response);
	else
		api_refuse_memory(s->apis, s->request);
}
