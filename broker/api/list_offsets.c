/* SPDX-License-Identifier: Apache-2.0 */
/* ListOffsets: offsets by name (latest, earliest, ...), which are known, or by
 * time, for which a worker reads indexes and batches. */
#include "api/api_int.h"

#include <stdlib.h>

#include "replica/replica.h"

static task_step list_offsets_look, list_offsets_found;

struct list_offsets_state {
	struct apis *apis;
	struct request *request;
	struct list_offsets_request body;
	struct offset_query *queries;
	size_t query_count;
	struct offset_lookup lookup;
};

static bool list_offsets_queries(struct list_offsets_state *s);
static void list_offsets_reply(struct list_offsets_state *s);

static const struct task_class list_offsets_class = {
	.name = "list-offsets",
	.state_size = sizeof(struct list_offsets_state *),
};

static void
list_offsets_setup(struct task *task, void *arg)
{
	*(struct list_offsets_state **)task_state(task) = arg;
}

void
api_list_offsets(struct apis *apis, struct request *request)
{
	struct list_offsets_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_list_offsets_request, &s->body))
		return;
	if (!list_offsets_queries(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	s->lookup = (struct offset_lookup){
		.replicas = apis->setup.replicas,
		.arena = &request->arena,
		.queries = s->queries,
		.count = s->query_count,
	};
	if (offset_lookup_at_once(&s->lookup)) {
		list_offsets_reply(s);
		return;
	}
	task_start(request->loop, &list_offsets_class, list_offsets_look,
	    list_offsets_setup, s);
}

static int
list_offsets_compare(const void *a, const void *b)
{
	const struct offset_query *one = *(const struct offset_query *const *)a;
	const struct offset_query *two = *(const struct offset_query *const *)b;
	int order = slice_compare(one->topic, two->topic);

	return (order != 0 ? order : (one->partition > two->partition) -
		(one->partition < two->partition));
}

/* A partition that the request names twice is an error for both; version 0 knew
 * no such rule. */
static bool
list_offsets_mark_twins(struct list_offsets_state *s)
{
	struct offset_query **sorted = arena_array(&s->request->arena,
	    s->query_count, sizeof(*sorted));

	if (s->request->head.api_version == 0)
		return (true);
	if (sorted == NULL)
		return (false);
	for (size_t i = 0; i < s->query_count; i++)
		sorted[i] = &s->queries[i];
	qsort(sorted, s->query_count, sizeof(struct offset_query *),
	    list_offsets_compare);
	for (size_t i = 1; i < s->query_count; i++)
		if (list_offsets_compare(&sorted[i - 1], &sorted[i]) == 0)
			sorted[i - 1]->error = sorted[i]->error =
			    ERR_INVALID_REQUEST;
	return (true);
}

static struct offset_query
list_offsets_query(const struct list_offsets_state *s, struct slice topic,
    const struct list_offsets_request_partition *asked)
{
	bool negative = s->request->head.api_version == 0 &&
	    asked->max_num_offsets < 0;

	return ((struct offset_query){
	    .topic = topic,
	    .partition = asked->partition_index,
	    .current_leader_epoch = asked->current_leader_epoch,
	    .replica_id = s->body.replica_id,
	    .timestamp = asked->timestamp,
	    .isolation = s->body.isolation_level,
	    .version = s->request->head.api_version,
	    .max_offsets = negative ? 0 : asked->max_num_offsets,
	    .error = negative ? ERR_UNKNOWN_SERVER_ERROR : ERR_NONE,
	    .found = { -1, -1, -1 },
	});
}

static bool
list_offsets_queries(struct list_offsets_state *s)
{
	size_t count = 0;

	for (int32_t i = 0; i < s->body.topics_count; i++)
		count += (size_t)s->body.topics[i].partitions_count;
	s->queries = arena_array(&s->request->arena, count,
	    sizeof(*s->queries));
	if (s->queries == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.topics_count; i++)
		for (int32_t j = 0; j < s->body.topics[i].partitions_count;
		    j++)
			s->queries[s->query_count++] = list_offsets_query(s,
			    s->body.topics[i].name,
			    &s->body.topics[i].partitions[j]);
	return (list_offsets_mark_twins(s));
}

static enum verdict
list_offsets_look(struct task *t)
{
	struct list_offsets_state *s =
	    *(struct list_offsets_state **)task_state(t);

	s->lookup.task = task_ref(t);
	offset_lookup_start(&s->lookup, task_loop(t));
	return (task_next(t, list_offsets_found));
}

static void
list_offsets_answer(const struct offset_query *q,
    struct list_offsets_response_partition *out)
{
	out->partition_index = q->partition;
	out->error_code = (int16_t)q->error;
	if (q->error != ERR_NONE)
		return;
	if (q->version == 0) {
		out->old_style_offsets = q->offsets;
		out->old_style_offsets_count = q->offset_count;
		return;
	}
	out->timestamp = q->found.timestamp_ms;
	out->offset = q->found.offset;
	if (q->version >= 4)
		out->leader_epoch = q->found.leader_epoch;
}

static bool
list_offsets_fill(struct list_offsets_state *s,
    struct list_offsets_response *response)
{
	const struct offset_query *q = s->queries;

	response->topics = wire_array(&s->request->arena,
	    list_offsets_response_topic_schema(),
	    (size_t)s->body.topics_count);
	if (response->topics == NULL)
		return (false);
	response->topics_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		struct list_offsets_response_topic *out = &response->topics[i];
		int32_t count = s->body.topics[i].partitions_count;

		out->name = s->body.topics[i].name;
		out->partitions = wire_array(&s->request->arena,
		    list_offsets_response_partition_schema(), (size_t)count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++)
			list_offsets_answer(q++, &out->partitions[j]);
	}
	return (true);
}

static void
list_offsets_reply(struct list_offsets_state *s)
{
	struct list_offsets_response response;

	wire_init(&message_list_offsets_response, &response);
	if (list_offsets_fill(s, &response))
		api_reply(s->apis, s->request, &response);
	else
		api_refuse_memory(s->apis, s->request);
}

static enum verdict
list_offsets_found(struct task *t)
{
	struct list_offsets_state *s =
	    *(struct list_offsets_state **)task_state(t);

	if (!s->lookup.done)
		return (STEP_WAIT);
	list_offsets_reply(s);
	return (STEP_DONE);
}
