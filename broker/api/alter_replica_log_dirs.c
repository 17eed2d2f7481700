/* SPDX-License-Identifier: Apache-2.0 */
/* AlterReplicaLogDirs: replicas of this broker are to lie in another of its
 * log directories (KIP-113).  Answered when they begin to move. */
#include "api/api_int.h"

#include <stdlib.h>

#include "replica/move.h"

static task_step alter_dirs_ask, alter_dirs_asked;

struct alter_dirs_state {
	struct apis *apis;
	struct request *request;
	struct alter_replica_log_dirs_request body;
	struct alter_replica_log_dirs_response response;
	struct move_lookup lookup;
};

static bool alter_dirs_take(struct alter_dirs_state *s);

static const struct task_class alter_dirs_class = {
	.name = "alter-replica-log-dirs",
	.state_size = sizeof(struct alter_dirs_state *),
};

static void
alter_dirs_setup(struct task *task, void *arg)
{
	*(struct alter_dirs_state **)task_state(task) = arg;
}

void
api_alter_replica_log_dirs(struct apis *apis, struct request *request)
{
	struct alter_dirs_state *s = arena_zalloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_alter_replica_log_dirs_request,
		&s->body))
		return;
	if (!alter_dirs_take(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	task_start(request->loop, &alter_dirs_class, alter_dirs_ask,
	    alter_dirs_setup, s);
}

/* Of two of one partition, the one that was named last comes last. */
static int
query_order(const void *a, const void *b)
{
	const struct move_query *one = a, *two = b;
	int order = slice_compare(one->topic, two->topic);

	if (order == 0)
		order = (one->partition > two->partition) -
		    (one->partition < two->partition);
	return (order != 0 ? order : (one->turn > two->turn) -
	    (one->turn < two->turn));
}

/* Each partition once, with the directory that was named last. */
static void
alter_dirs_unite(struct move_lookup *lookup)
{
	struct move_query *all = lookup->queries;
	size_t kept = 0;

	if (lookup->count > 1)
		qsort(all, lookup->count, sizeof(*all), query_order);
	for (size_t i = 0; i < lookup->count; i++) {
		if (kept > 0 && all[kept - 1].partition == all[i].partition &&
		    slice_compare(all[kept - 1].topic, all[i].topic) == 0)
			kept--;
		all[kept++] = all[i];
	}
	lookup->count = kept;
}

static void
alter_dirs_take_topic(struct move_lookup *lookup, struct slice path,
    const struct alter_replica_log_dirs_request_topic *topic)
{
	for (int32_t i = 0; i < topic->partitions_count; i++) {
		lookup->queries[lookup->count] = (struct move_query){
			.topic = topic->name,
			.partition = topic->partitions[i],
			.path = path,
			.turn = lookup->count,
		};
		lookup->count++;
	}
}

static bool
alter_dirs_take(struct alter_dirs_state *s)
{
	size_t count = 1;

	for (int32_t i = 0; i < s->body.dirs_count; i++)
		for (int32_t j = 0; j < s->body.dirs[i].topics_count; j++)
			count += (size_t)
			    s->body.dirs[i].topics[j].partitions_count;
	s->lookup.queries = arena_array(&s->request->arena, count,
	    sizeof(*s->lookup.queries));
	if (s->lookup.queries == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.dirs_count; i++) {
		const struct alter_replica_log_dirs_request_dir *dir =
		    &s->body.dirs[i];

		for (int32_t j = 0; j < dir->topics_count; j++)
			alter_dirs_take_topic(&s->lookup, dir->path,
			    &dir->topics[j]);
	}
	alter_dirs_unite(&s->lookup);
	return (true);
}

static enum verdict
alter_dirs_ask(struct task *t)
{
	struct alter_dirs_state *s =
	    *(struct alter_dirs_state **)task_state(t);

	s->lookup.replicas = s->apis->setup.replicas;
	s->lookup.task = task_ref(t);
	move_lookup_start(&s->lookup, task_loop(t));
	return (task_next(t, alter_dirs_asked));
}

/* They come by topic. */
static bool
alter_dirs_fill(struct alter_dirs_state *s,
    struct alter_replica_log_dirs_response *response)
{
	struct arena *arena = &s->request->arena;
	const struct move_lookup *lookup = &s->lookup;
	struct alter_replica_log_dirs_response_partition *rows = wire_array(
	    arena, alter_replica_log_dirs_response_partition_schema(),
	    lookup->count);
	struct alter_replica_log_dirs_response_topic *topic = NULL;

	response->results = wire_array(arena,
	    alter_replica_log_dirs_response_topic_schema(), lookup->count);
	if (rows == NULL || response->results == NULL)
		return (false);
	for (size_t i = 0; i < lookup->count; i++) {
		const struct move_query *q = &lookup->queries[i];

		if (topic == NULL ||
		    slice_compare(topic->topic_name, q->topic) != 0) {
			topic = &response->results[response->results_count++];
			topic->topic_name = q->topic;
			topic->partitions = &rows[i];
		}
		topic->partitions_count++;
		rows[i].partition_index = q->partition;
		rows[i].error_code = (int16_t)q->error;
	}
	return (true);
}

static enum verdict
alter_dirs_asked(struct task *t)
{
	struct alter_dirs_state *s =
	    *(struct alter_dirs_state **)task_state(t);

	if (!s->lookup.done)
		return (STEP_WAIT);
	wire_init(&message_alter_replica_log_dirs_response, &s->response);
	if (alter_dirs_fill(s, &s->response))
		api_reply(s->apis, s->request, &s->response);
	else
		api_refuse_memory(s->apis, s->request);
	return (STEP_DONE);
}
