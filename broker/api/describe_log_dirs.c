/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeLogDirs: what lies where, and how large it is (KIP-113, KIP-827).  A
 * directory that is offline is told with its error alone. */
#include "api/api_int.h"

#include <stdlib.h>

#include "replica/describe.h"

static task_step describe_log_dirs_look, describe_log_dirs_found;

/* A partition that the request names. */
struct wanted_log {
	struct slice topic;
	int32_t partition;
};

struct describe_log_dirs_state {
	struct apis *apis;
	struct request *request;
	struct describe_log_dirs_request body;
	struct wanted_log *wanted; /* sorted; NULL: all */
	size_t wanted_count;
	struct dirs_lookup lookup;
};

static bool describe_log_dirs_wanted(struct describe_log_dirs_state *s);

static const struct task_class describe_log_dirs_class = {
	.name = "describe-log-dirs",
	.state_size = sizeof(struct describe_log_dirs_state *),
};

static void
describe_log_dirs_setup(struct task *task, void *arg)
{
	*(struct describe_log_dirs_state **)task_state(task) = arg;
}

void
api_describe_log_dirs(struct apis *apis, struct request *request)
{
	struct describe_log_dirs_state *s = arena_zalloc(&request->arena,
	    sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_describe_log_dirs_request,
		&s->body))
		return;
	if (!describe_log_dirs_wanted(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	task_start(request->loop, &describe_log_dirs_class,
	    describe_log_dirs_look, describe_log_dirs_setup, s);
}

static int
wanted_order(const void *a, const void *b)
{
	const struct wanted_log *one = a;
	const struct wanted_log *two = b;
	int order = slice_compare(one->topic, two->topic);

	return (order != 0 ? order : (one->partition > two->partition) -
		(one->partition < two->partition));
}

/* Null topics: all there are; an empty list: none. */
static bool
describe_log_dirs_wanted(struct describe_log_dirs_state *s)
{
	size_t count = 0;

	if (s->body.topics == NULL)
		return (true);
	for (int32_t i = 0; i < s->body.topics_count; i++)
		count += (size_t)s->body.topics[i].partitions_count;
	s->wanted = arena_array(&s->request->arena, count + 1,
	    sizeof(*s->wanted));
	if (s->wanted == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		const struct describe_log_dirs_request_topic *topic =
		    &s->body.topics[i];

		for (int32_t j = 0; j < topic->partitions_count; j++)
			s->wanted[s->wanted_count++] = (struct wanted_log){
				topic->topic, topic->partitions[j] };
	}
	qsort(s->wanted, s->wanted_count, sizeof(*s->wanted), wanted_order);
	return (true);
}

static bool
describe_log_dirs_wants(const struct describe_log_dirs_state *s,
    const struct described_log *row)
{
	struct wanted_log key = { slice_of_text(log_topic(row->log)),
		log_partition(row->log) };

	return (s->wanted == NULL ||
	    bsearch(&key, s->wanted, s->wanted_count, sizeof(key),
		wanted_order) != NULL);
}

static enum verdict
describe_log_dirs_look(struct task *t)
{
	struct describe_log_dirs_state *s =
	    *(struct describe_log_dirs_state **)task_state(t);

	s->lookup.replicas = s->apis->setup.replicas;
	s->lookup.task = task_ref(t);
	dirs_lookup_start(&s->lookup, task_loop(t));
	return (task_next(t, describe_log_dirs_found));
}

/* The rows of one directory, of which `count` are wanted; they come by topic,
 * and what is filled in is cut to what there is. */
static bool
describe_log_dirs_topics(const struct describe_log_dirs_state *s,
    const struct described_log *rows, size_t count,
    struct describe_log_dirs_response_result *out)
{
	struct arena *arena = &s->request->arena;
	struct describe_log_dirs_response_partition *partitions = wire_array(
	    arena, describe_log_dirs_response_partition_schema(), count);
	struct describe_log_dirs_response_topic *topic = NULL;

	out->topics = wire_array(arena,
	    describe_log_dirs_response_topic_schema(), count);
	if (partitions == NULL || out->topics == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		struct slice name = slice_of_text(log_topic(rows[i].log));

		if (topic == NULL || slice_compare(topic->name, name) != 0) {
			topic = &out->topics[out->topics_count++];
			topic->name = name;
			topic->partitions = &partitions[i];
		}
		topic->partitions_count++;
		partitions[i].partition_index = log_partition(rows[i].log);
		partitions[i].partition_size = rows[i].size_bytes;
		partitions[i].offset_lag = rows[i].offset_lag;
		partitions[i].is_future_key = rows[i].is_future;
	}
	return (true);
}

static bool
describe_log_dirs_fill(struct describe_log_dirs_state *s,
    struct describe_log_dirs_response *response)
{
	struct dirs_lookup *lookup = &s->lookup;
	struct arena *arena = &s->request->arena;
	struct described_log *rows = arena_array(arena, lookup->log_count + 1,
	    sizeof(*rows));
	size_t row = 0;

	response->results = wire_array(arena,
	    describe_log_dirs_response_result_schema(), lookup->dir_count);
	if (rows == NULL || response->results == NULL)
		return (false);
	response->results_count = (int32_t)lookup->dir_count;
	for (size_t i = 0; i < lookup->dir_count; i++) {
		struct describe_log_dirs_response_result *out =
		    &response->results[i];
		size_t count = 0;

		for (; row < lookup->log_count && lookup->logs[row].dir == i;
		     row++)
			if (describe_log_dirs_wants(s, &lookup->logs[row]))
				rows[count++] = lookup->logs[row];
		out->error_code = (int16_t)lookup->dirs[i].error;
		out->log_dir = slice_of_text(lookup->dirs[i].path);
		out->total_bytes = lookup->dirs[i].total_bytes;
		out->usable_bytes = lookup->dirs[i].usable_bytes;
		if (!describe_log_dirs_topics(s, rows, count, out))
			return (false);
	}
	return (true);
}

static enum verdict
describe_log_dirs_found(struct task *t)
{
	struct describe_log_dirs_state *s =
	    *(struct describe_log_dirs_state **)task_state(t);
	struct describe_log_dirs_response response;
	struct dirs_lookup lookup;

	if (!s->lookup.done)
		return (STEP_WAIT);
	wire_init(&message_describe_log_dirs_response, &response);
	/* Names are the logs' until it is sent; the request's arena, and so
	 * `s`, ends with the answer. */
	lookup = s->lookup;
	if (describe_log_dirs_fill(s, &response))
		api_reply(s->apis, s->request, &response);
	else
		api_refuse_memory(s->apis, s->request);
	dirs_lookup_fini(&lookup);
	return (STEP_DONE);
}
