/* SPDX-License-Identifier: Apache-2.0 */
/* ListPartitionReassignments (KIP-455): answered at once from what is known. */
#include "controller/controller_int.h"

static bool
moves(const struct partition *p)
{
	return (partition_on_move(p) && !topic_doomed(p->topic));
}

/* But for what is called off. */
static int32_t *
copy_numbers(struct arena *arena, const struct partition *p,
    const int32_t *from, int32_t *count)
{
	int32_t *to = arena_array(arena, (size_t)*count + 1, sizeof(*to));
	int32_t kept = 0;

	for (int32_t i = 0; to != NULL && i < *count; i++)
		if (!partition_called_off(p, from[i]))
			to[kept++] = from[i];
	*count = kept;
	return (to);
}

static bool
tell_partition(struct arena *arena, const struct partition *p,
    struct list_partition_reassignments_response_partition *to)
{
	struct znode_assignment a;

	partition_assignment(p, arena, &a);
	to->partition_index = p->number;
	to->replicas = copy_numbers(arena, p, a.replicas, &a.replica_count);
	to->replicas_count = a.replica_count;
	to->adding_replicas = copy_numbers(arena, p, a.adding,
	    &a.adding_count);
	to->adding_replicas_count = a.adding_count;
	to->removing_replicas = copy_numbers(arena, p, a.removing,
	    &a.removing_count);
	to->removing_replicas_count = a.removing_count;
	return (to->replicas != NULL && to->adding_replicas != NULL &&
	    to->removing_replicas != NULL);
}

/* Those that move; of `numbers`, if it is not NULL. False: out of memory. */
static bool
tell_topic(struct arena *arena, const struct topic *topic,
    const struct list_partition_reassignments_request_topic *asked,
    struct list_partition_reassignments_response *response)
{
	struct list_partition_reassignments_response_topic *to =
	    &response->topics[response->topics_count];

	to->partitions = wire_array(arena,
	    list_partition_reassignments_response_partition_schema(),
	    topic->partition_count);
	if (to->partitions == NULL)
		return (false);
	for (size_t i = 0; i < topic->partition_count; i++) {
		const struct partition *p = topic->partitions[i];

		if (!moves(p) || (asked != NULL && !numbers_hold(
		    asked->partition_indexes, asked->partition_indexes_count,
		    p->number)))
			continue;
		if (!tell_partition(arena, p,
		    &to->partitions[to->partitions_count++]))
			return (false);
	}
	if (to->partitions_count > 0) {
		to->name = slice_of_text(arena_strdup(arena, topic->name));
		response->topics_count++;
	}
	return (true);
}

/* Each topic that has one that moves, once. */
static bool
tell_all(const struct controller *c, struct arena *arena,
    struct list_partition_reassignments_response *response)
{
	bool ok = true;

	response->topics = wire_array(arena,
	    list_partition_reassignments_response_topic_schema(),
	    hash_count(&c->context.topics));
	if (response->topics == NULL)
		return (false);
	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);
		bool any = false;

		for (size_t i = 0; i < topic->partition_count; i++)
			any = any || moves(topic->partitions[i]);
		ok = ok && (!any || tell_topic(arena, topic, NULL, response));
	}
	return (ok);
}

static bool
tell_asked(const struct controller *c, struct arena *arena,
    const struct list_partition_reassignments_request *request,
    struct list_partition_reassignments_response *response)
{
	response->topics = wire_array(arena,
	    list_partition_reassignments_response_topic_schema(),
	    (size_t)request->topics_count);
	if (response->topics == NULL)
		return (false);
	for (int32_t i = 0; i < request->topics_count; i++) {
		const struct topic *topic = context_topic(&c->context,
		    request->topics[i].name);

		if (topic != NULL && !tell_topic(arena, topic,
		    &request->topics[i], response))
			return (false);
	}
	return (true);
}

void
controller_list_reassignments(struct controller *c,
    struct controller_call *call)
{
	const struct list_partition_reassignments_request *request =
	    call->request;
	struct list_partition_reassignments_response *response =
	    call->response;
	bool ok = true;

	call->done = true;
	if (c->state != CONTROLLER_ACTIVE) {
		response->error_code = ERR_NOT_CONTROLLER;
		return;
	}
	ok = request->topics == NULL ? tell_all(c, call->arena, response) :
	    tell_asked(c, call->arena, request, response);
	if (ok)
		return;
	response->topics_count = 0;
	response->error_code = ERR_UNKNOWN_SERVER_ERROR;
}
