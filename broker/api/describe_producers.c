/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeProducers: who writes to a partition with a producer id, and which of
 * their transactions are open (KIP-664). */
#include "api/api_int.h"

#include "replica/describe.h"

static task_step describe_producers_look, describe_producers_found;

struct describe_producers_state {
	struct apis *apis;
	struct request *request;
	struct describe_producers_request body;
	const char **complaints; /* of topics' names; NULL: none */
	struct producers_lookup lookup;
	bool abandoned;
};

static bool describe_producers_queries(struct describe_producers_state *s);

static const struct task_class describe_producers_class = {
	.name = "describe-producers",
	.state_size = sizeof(struct describe_producers_state *),
};

static void
describe_producers_setup(struct task *task, void *arg)
{
	*(struct describe_producers_state **)task_state(task) = arg;
}

static void
describe_producers_abandoned(struct request *request)
{
	struct describe_producers_state *s = request->owner;

	s->abandoned = true;
	producers_lookup_abandon(&s->lookup);
}

void
api_describe_producers(struct apis *apis, struct request *request)
{
	struct describe_producers_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_describe_producers_request,
		&s->body))
		return;
	if (!describe_producers_queries(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	request->owner = s;
	request->abandoned = describe_producers_abandoned;
	task_start(request->loop, &describe_producers_class,
	    describe_producers_look, describe_producers_setup, s);
}

/* Of a whole topic: with what is said of it, NULL: no memory. */
static enum error
describe_producers_refusal(const struct describe_producers_state *s,
    struct slice topic, const char **complaint)
{
	const char *why;

	*complaint = NULL;
	if (!topic_name_valid(topic, &why)) {
		*complaint = topic_name_complaint(&s->request->arena, topic,
		    why);
		return (ERR_INVALID_TOPIC_EXCEPTION);
	}
	if (image_topic(cluster_image(s->apis->setup.cluster), topic) == NULL) {
		*complaint = "This server does not host this topic-partition.";
		return (ERR_UNKNOWN_TOPIC_OR_PARTITION);
	}
	return (ERR_NONE);
}

static bool
describe_producers_queries(struct describe_producers_state *s)
{
	struct arena *arena = &s->request->arena;
	size_t count = 0;

	for (int32_t i = 0; i < s->body.topics_count; i++)
		count += (size_t)s->body.topics[i].partition_indexes_count;
	s->lookup.queries = arena_array(arena, count,
	    sizeof(*s->lookup.queries));
	s->complaints = arena_array(arena, (size_t)s->body.topics_count,
	    sizeof(*s->complaints));
	if (s->lookup.queries == NULL || s->complaints == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		const struct describe_producers_request_topic *topic =
		    &s->body.topics[i];
		enum error error = describe_producers_refusal(s, topic->name,
		    &s->complaints[i]);

		if (error != ERR_NONE && s->complaints[i] == NULL)
			return (false);
		for (int32_t j = 0; j < topic->partition_indexes_count; j++)
			s->lookup.queries[s->lookup.count++] =
			    (struct producers_query){
				.topic = topic->name,
				.partition = topic->partition_indexes[j],
				.error = error,
			};
	}
	return (true);
}

static enum verdict
describe_producers_look(struct task *t)
{
	struct describe_producers_state *s =
	    *(struct describe_producers_state **)task_state(t);

	s->lookup.replicas = s->apis->setup.replicas;
	s->lookup.arena = &s->request->arena;
	s->lookup.task = task_ref(t);
	producers_lookup_start(&s->lookup, task_loop(t));
	return (task_next(t, describe_producers_found));
}

static void
describe_producers_partition(const struct producers_query *q,
    const char *complaint, struct describe_producers_response_partition *out)
{
	out->partition_index = q->partition;
	out->error_code = (int16_t)q->error;
	out->active_producers = q->rows;
	out->active_producers_count = (int32_t)q->count;
	if (complaint != NULL)
		out->error_message = slice_of_text(complaint);
}

static bool
describe_producers_fill(struct describe_producers_state *s,
    struct describe_producers_response *response)
{
	const struct producers_query *q = s->lookup.queries;
	struct arena *arena = &s->request->arena;

	response->topics = wire_array(arena,
	    describe_producers_response_topic_schema(),
	    (size_t)s->body.topics_count);
	if (response->topics == NULL)
		return (false);
	response->topics_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		struct describe_producers_response_topic *out =
		    &response->topics[i];
		int32_t count = s->body.topics[i].partition_indexes_count;

		out->name = s->body.topics[i].name;
		out->partitions = wire_array(arena,
		    describe_producers_response_partition_schema(),
		    (size_t)count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++)
			describe_producers_partition(q++, s->complaints[i],
			    &out->partitions[j]);
	}
	return (true);
}

static enum verdict
describe_producers_found(struct task *t)
{
	struct describe_producers_state *s =
	    *(struct describe_producers_state **)task_state(t);
	struct describe_producers_response response;

	if (!s->lookup.done)
		return (STEP_WAIT);
	s->request->abandoned = NULL;
	wire_init(&message_describe_producers_response, &response);
	if (s->abandoned)
		request_no_reply(s->request);
	else if (!s->lookup.refused && describe_producers_fill(s, &response))
		api_reply(s->apis, s->request, &response);
	else
		api_refuse_memory(s->apis, s->request);
	return (STEP_DONE);
}
