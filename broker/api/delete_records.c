/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteRecords: log starts move up; the answer waits until the replicas have
 * followed. */
#include "api/api_int.h"

#include "base/twins.h"
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

/* Of a partition that is named twice the last offset counts. */
static bool
delete_records_drop_twins(struct delete_records_state *s)
{
	struct delete_records_part *parts = s->delete.parts;
	const size_t count = s->delete.part_count;
	struct twin *twins = arena_array(&s->request->arena, count,
	    sizeof(*twins));
	const struct twin_ends *ends;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = parts[i].topic,
			.number = parts[i].partition };
	ends = twins_find(&s->request->arena, twins, count);
	s->delete.part_count = 0;
	for (size_t i = 0; ends != NULL && i < count; i++)
		if (ends[i].last == i)
			parts[s->delete.part_count++] = parts[i];
	return (ends != NULL);
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
	return (delete_records_drop_twins(s));
}

static void
delete_records_answer(const struct delete_records_part *part,
    struct delete_records_response_topic *topic)
{
	struct delete_records_response_partition *out =
	    &topic->partitions[topic->partitions_count++];

	out->partition_index = part->partition;
	out->low_watermark = part->low_watermark;
	out->error_code = (int16_t)part->error;
}

/* One row a topic, however often it was named. */
static bool
delete_records_fill(struct delete_records_state *s,
    struct delete_records_response *response)
{
	const struct delete_records_part *parts = s->delete.parts;
	const size_t count = s->delete.part_count;
	struct arena *arena = &s->request->arena;
	struct twin *twins = arena_array(arena, count, sizeof(*twins));
	int32_t *slots = arena_array(arena, count, sizeof(*slots));
	const struct twin_ends *ends;

	response->topics = wire_array(arena,
	    delete_records_response_topic_schema(), count);
	if (twins == NULL || slots == NULL || response->topics == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = parts[i].topic };
	ends = twins_find(arena, twins, count);
	for (size_t i = 0; ends != NULL && i < count; i++) {
		slots[i] = ends[i].first == i ? response->topics_count++ :
						slots[ends[i].first];
		response->topics[slots[i]].name = parts[i].topic;
		response->topics[slots[i]].partitions_count++;
	}
	for (int32_t i = 0; ends != NULL && i < response->topics_count; i++) {
		response->topics[i].partitions = wire_array(arena,
		    delete_records_response_partition_schema(),
		    (size_t)response->topics[i].partitions_count);
		if (response->topics[i].partitions == NULL)
			return (false);
		response->topics[i].partitions_count = 0;
	}
	for (size_t i = 0; ends != NULL && i < count; i++)
		delete_records_answer(&parts[i], &response->topics[slots[i]]);
	return (ends != NULL);
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
