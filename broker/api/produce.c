/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Produce.  The batches stay in the frame: they are checked and
 * stamped there and written from there; the frame goes back to net as soon as
 * all are in the log, and what the answer needs of it is copied before.
 *
 * Large records, and those that are made anew (message sets, another codec),
 * are looked at by a worker.  The next request waits for that, not for the
 * replicas, or it might be appended first.
 */
#include "api/api_int.h"

#include "replica/replica.h"

struct produce_state {
	struct apis *apis;
	struct request *request;
	struct produce_request body;
	struct produce produce;
};

static bool produce_parts(struct produce_state *s);
static void produce_held(struct produce *produce);
static void produce_appended(struct produce *produce);
static void produce_done(struct produce *produce);

static void
produce_abandoned(struct request *request)
{
	struct produce_state *s = request->owner;

	produce_abandon(&s->produce);
}

void
api_produce(struct apis *apis, struct request *request)
{
	struct produce_state *s = arena_zalloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_produce_request, &s->body))
		return;
	s->produce = (struct produce){
		.replicas = apis->setup.replicas,
		.loop = request->loop,
		.arena = &request->arena,
		.acks = s->body.acks,
		.timeout_ms = s->body.timeout_ms,
		.api_version = request->head.api_version,
		.internal_allowed = slice_equal_text(request->head.client_id,
		    "__admin_client"),
		.names_transaction = s->body.transactional_id.data != NULL,
		.held = produce_held,
		.appended = produce_appended,
		.done = produce_done,
		.owner = s,
	};
	if (!produce_parts(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	request->owner = s;
	request->abandoned = produce_abandoned;
	produce_run(&s->produce);
}

static bool
produce_parts(struct produce_state *s)
{
	struct produce_part *part;
	size_t count = 0;

	for (int32_t i = 0; i < s->body.topic_data_count; i++)
		count += (size_t)s->body.topic_data[i].partition_data_count;
	part = arena_array(&s->request->arena, count, sizeof(*part));
	if (part == NULL)
		return (false);
	s->produce.parts = part;
	s->produce.part_count = count;
	for (int32_t i = 0; i < s->body.topic_data_count; i++) {
		const struct produce_request_topic *topic =
		    &s->body.topic_data[i];

		for (int32_t j = 0; j < topic->partition_data_count; j++) {
			struct slice bytes =
			    topic->partition_data[j].records.bytes;

			part->topic = topic->name;
			part->partition = topic->partition_data[j].index;
			part->null_records = bytes.data == NULL;
			/* The same bytes, through the frame that is ours. */
			part->bytes = bytes.data == NULL ? NULL :
			    s->request->frame +
			    (bytes.data - s->request->frame);
			part->size = bytes.length;
			part++;
		}
	}
	return (true);
}

static void
produce_held(struct produce *produce)
{
	struct produce_state *s = produce->owner;

	request_hold_next(s->request);
}

/* Called when the answer has to wait: the frame's memory is wanted back, and
 * the next request cannot overtake this one any more. */
static void
produce_appended(struct produce *produce)
{
	struct produce_state *s = produce->owner;
	struct produce_part *part = produce->parts;
	bool ok = true;

	request_release_next(s->request);
	for (int32_t i = 0; i < s->body.topic_data_count; i++) {
		struct produce_request_topic *topic = &s->body.topic_data[i];

		topic->name = arena_slice_copy(&s->request->arena, topic->name,
		    &ok);
		for (int32_t j = 0; j < topic->partition_data_count; j++)
			(part++)->topic = topic->name;
		if (!ok)
			return; /* the frame stays until the answer */
	}
	request_release_frame(s->request);
}

/* --- the answer ----------------------------------------------------------- */

static bool
produce_record_errors(struct arena *arena, const struct produce_part *part,
    struct produce_response_partition *out)
{
	out->record_errors = wire_array(arena,
	    produce_response_record_error_schema(), (size_t)part->fault_count);
	if (out->record_errors == NULL)
		return (false);
	out->record_errors_count = part->fault_count;
	for (int32_t i = 0; i < part->fault_count; i++) {
		out->record_errors[i].batch_index =
		    part->faults[i].batch_index;
		out->record_errors[i].batch_index_error_message =
		    slice_of_text(part->faults[i].message);
	}
	return (true);
}

static bool
produce_answer_part(struct produce_state *s, const struct produce_part *part,
    struct produce_response_partition *out)
{
	out->index = part->partition;
	out->error_code = (int16_t)part->error;
	out->base_offset = part->base_offset;
	out->log_append_time_ms = part->log_append_time_ms;
	out->log_start_offset = part->log_start_offset;
	out->error_message = slice_of_text(part->error_message);
	if (s->request->head.api_version >= 10 &&
	    part->error == ERR_NOT_LEADER_OR_FOLLOWER) {
		out->current_leader.leader_id = part->current_leader;
		out->current_leader.leader_epoch = part->current_leader_epoch;
	}
	return (part->fault_count == 0 ||
	    produce_record_errors(&s->request->arena, part, out));
}

static bool
produce_names_leader(const void *arg, int32_t id)
{
	const struct produce *produce = arg;

	for (size_t i = 0; i < produce->part_count; i++)
		if (produce->parts[i].error == ERR_NOT_LEADER_OR_FOLLOWER &&
		    produce->parts[i].current_leader == id)
			return (true);
	return (false);
}

static bool
produce_node_endpoints(struct produce_state *s,
    struct produce_response *response)
{
	size_t count;
	const struct api_node *nodes = api_nodes(s->request,
	    cluster_image(s->apis->setup.cluster), produce_names_leader,
	    &s->produce, &count);

	response->node_endpoints = wire_array(&s->request->arena,
	    produce_response_node_endpoint_schema(), count);
	if (nodes == NULL || response->node_endpoints == NULL)
		return (false);
	response->node_endpoints_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		response->node_endpoints[i].node_id = nodes[i].id;
		response->node_endpoints[i].host = nodes[i].host;
		response->node_endpoints[i].port = nodes[i].port;
		response->node_endpoints[i].rack = nodes[i].rack;
	}
	return (true);
}

static bool
produce_response_fill(struct produce_state *s,
    struct produce_response *response)
{
	const struct produce_part *part = s->produce.parts;
	bool moved = false;

	response->responses = wire_array(&s->request->arena,
	    produce_response_topic_schema(), (size_t)s->body.topic_data_count);
	if (response->responses == NULL)
		return (false);
	for (int32_t i = 0; i < s->body.topic_data_count; i++) {
		struct produce_response_topic *out;
		int32_t count = s->body.topic_data[i].partition_data_count;

		/* Who names no partition of it is told nothing of it. */
		if (count == 0)
			continue;
		out = &response->responses[response->responses_count++];
		out->name = s->body.topic_data[i].name;
		out->partition_responses = wire_array(&s->request->arena,
		    produce_response_partition_schema(), (size_t)count);
		if (out->partition_responses == NULL)
			return (false);
		out->partition_responses_count = count;
		for (int32_t j = 0; j < count; j++, part++) {
			moved |= part->error == ERR_NOT_LEADER_OR_FOLLOWER;
			if (!produce_answer_part(s, part,
				&out->partition_responses[j]))
				return (false);
		}
	}
	return (!moved || s->request->head.api_version < 10 ||
	    produce_node_endpoints(s, response));
}

/* acks=0: nobody waits for an answer; an error ends the connection, which is
 * how the client learns of it. */
static void
produce_unanswered(struct produce_state *s)
{
	for (size_t i = 0; i < s->produce.part_count; i++)
		if (s->produce.parts[i].error != ERR_NONE) {
			diag_info(s->apis->setup.diag, api,
			    "request=Produce acks=0 peer=%s partition=%.*s/%d "
			    "error=%s: closing the connection",
			    connection_peer(s->request->connection),
			    SLICE_ARGS(s->produce.parts[i].topic),
			    (int)s->produce.parts[i].partition,
			    error_name((int)s->produce.parts[i].error));
			request_close(s->request, "network");
			return;
		}
	request_no_reply(s->request);
}

static void
produce_done(struct produce *produce)
{
	struct produce_state *s = produce->owner;
	struct produce_response response;

	s->request->abandoned = NULL;
	for (size_t i = 0; i < produce->part_count; i++)
		if (produce->parts[i].error != ERR_NONE)
			metrics_add_error(s->apis->setup.metrics, API_PRODUCE,
			    (int)produce->parts[i].error);
	if (produce->acks == 0) {
		produce_unanswered(s);
		return;
	}
	wire_init(&message_produce_response, &response);
	if (!produce_response_fill(s, &response)) {
		api_refuse_memory(s->apis, s->request);
		return;
	}
	api_reply(s->apis, s->request, &response);
}
