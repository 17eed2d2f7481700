/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch: the session says what to read, replica reads it (now, or when there
 * are enough bytes, or when time is up), and what belongs into the answer goes
 * out as extents of files; up to version 3, of records converted in memory.
 */
#include "api/api_int.h"

#include "api/fetch_session.h"
#include "replica/replica.h"

#define FETCH_HARD_LIMIT_LAST 2 /* KIP-74 */
#define FETCH_MAGIC_0_LAST 1    /* KIP-31, KIP-32 */
#define FETCH_MAGIC_1_LAST 3    /* KIP-98 */
#define FETCH_NO_ZSTD_LAST 9    /* KIP-110 */
#define FETCH_RACK_FIRST 11     /* KIP-392 */
#define FETCH_NAMES_LAST 12     /* KIP-516 */

struct fetch_state {
	struct apis *apis;
	struct request *request;
	struct fetch_request body;
	struct fetch_plan plan;
	struct fetch fetch;
	struct fetch_sent *sent;
};

static void fetch_fail(struct fetch_state *s, enum error error);
static void fetch_fail_all(struct fetch_state *s, enum error error);
static bool fetch_fail_parts(struct fetch_state *s, enum error error,
    struct fetch_response *response);
static bool fetch_parts(struct fetch_state *s);
static void fetch_done(struct fetch *fetch);

static void
fetch_abandoned(struct request *request)
{
	struct fetch_state *s = request->owner;

	fetch_abandon(&s->fetch);
}

static int32_t
fetch_replica_id(const struct fetch_state *s)
{
	return (s->request->head.api_version >= 15 ?
	    s->body.replica_state.replica_id : s->body.replica_id);
}

/* Kafka tells of consumers' and of followers' besides. */
static size_t
fetch_slot(const struct fetch_state *s)
{
	return (fetch_replica_id(s) >= 0 ? METRICS_REQUEST_FETCH_FOLLOWER :
					   METRICS_REQUEST_FETCH_CONSUMER);
}

static int32_t
fetch_limit(const struct fetch_state *s)
{
	int32_t most = s->apis->setup.options->api.fetch_max_bytes;

	return (s->body.max_bytes < most ? s->body.max_bytes : most);
}

void
api_fetch(struct apis *apis, struct request *request)
{
	struct fetch_state *s = arena_zalloc(&request->arena, sizeof(*s));
	int version = request->head.api_version;

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_fetch_request, &s->body))
		return;
	request->also_slot = fetch_slot(s);
	api_count(apis, request, request->also_slot);
	if (!fetch_plan_make(apis->sessions, &s->body, version,
		loop_now_ms(request->loop), &request->arena, &s->plan)) {
		api_refuse_memory(apis, request);
		return;
	}
	if (s->plan.error != ERR_NONE) {
		fetch_fail(s, s->plan.error);
		return;
	}
	if (s->body.isolation_level < 0 || s->body.isolation_level > 1) {
		fetch_fail_all(s, ERR_UNKNOWN_SERVER_ERROR);
		return;
	}
	s->fetch = (struct fetch){
		.replicas = apis->setup.replicas,
		.loop = request->loop,
		.arena = &request->arena,
		.replica_id = fetch_replica_id(s),
		.replica_epoch = s->body.replica_state.replica_epoch,
		.max_wait_ms = s->body.max_wait_ms,
		.min_bytes = s->body.min_bytes,
		.max_bytes = fetch_limit(s),
		.isolation = s->body.isolation_level,
		.may_read_follower = version >= FETCH_RACK_FIRST,
		.rack = s->body.rack_id,
		.listener = connection_listener(request->connection)->name,
		.hard_limit = version <= FETCH_HARD_LIMIT_LAST,
		.refuses_zstd = version <= FETCH_NO_ZSTD_LAST,
		.converts = version <= FETCH_MAGIC_1_LAST,
		.magic = version <= FETCH_MAGIC_0_LAST ? 0 : 1,
		.done = fetch_done,
		.owner = s,
	};
	if (!fetch_parts(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	request->owner = s;
	request->abandoned = fetch_abandoned;
	fetch_run(&s->fetch);
}

static void
fetch_fail(struct fetch_state *s, enum error error)
{
	struct fetch_response response;

	wire_init(&message_fetch_response, &response);
	response.error_code = (int16_t)error;
	metrics_add_error(s->apis->setup.metrics, API_FETCH, (int)error);
	api_reply(s->apis, s->request, &response);
}

/* As fetch_fail(); up to version 12 each partition is told, too. */
static void
fetch_fail_all(struct fetch_state *s, enum error error)
{
	struct fetch_response response;

	wire_init(&message_fetch_response, &response);
	response.error_code = (int16_t)error;
	response.session_id = s->body.session_id;
	metrics_add_error(s->apis->setup.metrics, API_FETCH, (int)error);
	if (s->request->head.api_version <= FETCH_NAMES_LAST &&
	    !fetch_fail_parts(s, error, &response))
		api_refuse_memory(s->apis, s->request);
	else
		api_reply(s->apis, s->request, &response);
}

static bool
fetch_fail_parts(struct fetch_state *s, enum error error,
    struct fetch_response *response)
{
	response->responses = wire_array(&s->request->arena,
	    fetch_response_topic_schema(), (size_t)s->body.topics_count);
	if (response->responses == NULL)
		return (false);
	response->responses_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		const struct fetch_request_topic *asked = &s->body.topics[i];
		struct fetch_response_topic *out = &response->responses[i];

		out->topic = asked->topic;
		out->partitions = wire_array(&s->request->arena,
		    fetch_response_partition_schema(),
		    (size_t)asked->partitions_count);
		if (out->partitions == NULL)
			return (false);
		out->partitions_count = asked->partitions_count;
		for (int32_t j = 0; j < asked->partitions_count; j++) {
			out->partitions[j].partition_index =
			    asked->partitions[j].partition;
			out->partitions[j].error_code = (int16_t)error;
			out->partitions[j].high_watermark = -1;
			out->partitions[j].records.bytes = SLICE_NULL;
		}
	}
	return (true);
}

/* Unless the session has it. A copy: the image may be swapped while this
 * waits. */
static bool
fetch_part_name(struct fetch_state *s, const struct cluster_image *image,
    struct fetch_plan_part *part)
{
	const struct cluster_topic *topic = part->topic.data != NULL ? NULL :
	    image_topic_by_id(image, part->topic_id);
	bool ok = true;

	if (topic != NULL)
		part->topic = arena_slice_copy(&s->request->arena,
		    slice_of(topic->name, topic->name_length), &ok);
	return (ok);
}

/* The plan's parts, with the names of ids. */
static bool
fetch_parts(struct fetch_state *s)
{
	const struct cluster_image *image =
	    cluster_image(s->apis->setup.cluster);
	size_t count = s->plan.part_count;

	s->fetch.parts = arena_array(&s->request->arena, count,
	    sizeof(*s->fetch.parts));
	s->sent = arena_array(&s->request->arena, count, sizeof(*s->sent));
	if (s->fetch.parts == NULL || s->sent == NULL)
		return (false);
	s->fetch.part_count = count;
	for (size_t i = 0; i < count; i++) {
		struct fetch_plan_part *from = &s->plan.parts[i];
		struct fetch_part *part = &s->fetch.parts[i];
		bool ok = true;

		if (s->plan.by_id) {
			ok = fetch_part_name(s, image, from);
			part->topic_id = from->topic_id;
			part->error = from->topic.data == NULL ?
			    ERR_UNKNOWN_TOPIC_ID : ERR_NONE;
		}
		part->topic = from->topic;
		part->partition = from->asked.partition;
		part->current_leader_epoch = from->asked.current_leader_epoch;
		part->last_fetched_epoch = from->asked.last_fetched_epoch;
		part->fetch_offset = from->asked.fetch_offset;
		part->log_start_offset = from->asked.log_start_offset;
		part->max_bytes = from->asked.partition_max_bytes;
		if (!ok)
			return (false);
	}
	return (true);
}

/* --- the answer ----------------------------------------------------------- */

static bool
fetch_leader_moved(enum error error)
{
	return (error == ERR_NOT_LEADER_OR_FOLLOWER ||
	    error == ERR_FENCED_LEADER_EPOCH);
}

/* An array only to who reads what is committed; but where no log was asked,
 * Kafka leaves the empty array that its messages begin with. */
static bool
fetch_aborted_is_null(const struct fetch_part *part)
{
	switch (part->error) {
	case ERR_NONE:
		return (!part->tells_aborted);
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
	case ERR_UNKNOWN_TOPIC_ID:
	case ERR_TOPIC_AUTHORIZATION_FAILED:
	case ERR_UNSUPPORTED_COMPRESSION_TYPE:
		return (false);
	default:
		return (true);
	}
}

static bool
fetch_answer_aborted(const struct fetch_state *s,
    const struct fetch_part *part, struct fetch_response_partition *out)
{
	size_t count = part->tells_aborted ? part->aborted.count : 0;
	struct fetch_response_aborted_transaction *rows;

	if (fetch_aborted_is_null(part))
		out->aborted_transactions = NULL;
	if (count == 0)
		return (true);
	rows = wire_array(&s->request->arena,
	    fetch_response_aborted_transaction_schema(), count);
	if (rows == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		rows[i].producer_id = part->aborted.items[i].producer_id;
		rows[i].first_offset = part->aborted.items[i].first_offset;
	}
	out->aborted_transactions = rows;
	out->aborted_transactions_count = (int32_t)count;
	return (true);
}

static bool
fetch_answer_part(const struct fetch_state *s, const struct fetch_part *part,
    struct fetch_response_partition *out)
{
	int version = s->request->head.api_version;
	enum error error = part->error;

	if (error == ERR_KAFKA_STORAGE_ERROR && version <= 5)
		error = ERR_NOT_LEADER_OR_FOLLOWER;
	out->partition_index = part->partition;
	out->error_code = (int16_t)error;
	out->high_watermark = part->high_watermark;
	out->last_stable_offset = part->stable_offset;
	out->log_start_offset = part->answered_log_start;
	/* What is refused for its codec has no records at all. */
	out->records.bytes = error == ERR_UNSUPPORTED_COMPRESSION_TYPE ?
	    SLICE_NULL : SLICE_EMPTY;
	out->records.extent = part->extent;
	if (version >= FETCH_RACK_FIRST)
		out->preferred_read_replica = part->preferred_read_replica;
	if (part->has_diverging) {
		out->diverging_epoch.epoch = part->diverging.leader_epoch;
		out->diverging_epoch.end_offset = part->diverging.end_offset;
	}
	if (version >= 16 && fetch_leader_moved(error)) {
		out->current_leader.leader_id = part->current_leader;
		out->current_leader.leader_epoch =
		    part->current_leader_id_epoch;
	}
	return (fetch_answer_aborted(s, part, out));
}

static bool
fetch_same_topic(const struct fetch_state *s, size_t a, size_t b)
{
	const struct fetch_plan_part *one = &s->plan.parts[a];
	const struct fetch_plan_part *two = &s->plan.parts[b];

	return (s->plan.by_id ? uuid_equal(one->topic_id, two->topic_id) :
				slice_equal(one->topic, two->topic));
}

/* Those whose log was not asked come last. */
static bool
fetch_comes_last(const struct fetch_part *part)
{
	return (part->error == ERR_UNKNOWN_TOPIC_OR_PARTITION ||
	    part->error == ERR_UNKNOWN_TOPIC_ID ||
	    part->error == ERR_TOPIC_AUTHORIZATION_FAILED);
}

/* Indexes of the parts that belong into the answer, in its order. */
static size_t *
fetch_response_order(const struct fetch_state *s, size_t *count)
{
	size_t *order = arena_array(&s->request->arena, s->fetch.part_count,
	    sizeof(*order));

	*count = 0;
	for (int last = 0; order != NULL && last <= 1; last++)
		for (size_t i = 0; i < s->fetch.part_count; i++)
			if (s->sent[i].include &&
			    fetch_comes_last(&s->fetch.parts[i]) == last)
				order[(*count)++] = i;
	return (order);
}

/* Neighbours of one topic go under one head, as Kafka groups them. */
static bool
fetch_response_topics(struct fetch_state *s, struct fetch_response *response)
{
	size_t count;
	const size_t *order = fetch_response_order(s, &count);
	struct fetch_response_partition *rows = wire_array(&s->request->arena,
	    fetch_response_partition_schema(), count);
	struct fetch_response_topic *topics = wire_array(&s->request->arena,
	    fetch_response_topic_schema(), count);
	struct fetch_response_topic *topic = NULL;

	if (rows == NULL || topics == NULL || order == NULL)
		return (false);
	response->responses = topics;
	for (size_t n = 0; n < count; n++) {
		size_t i = order[n];

		if (n == 0 || !fetch_same_topic(s, order[n - 1], i)) {
			topic = &topics[response->responses_count++];
			topic->topic = s->plan.parts[i].topic;
			topic->topic_id = s->plan.parts[i].topic_id;
			topic->partitions = rows;
		}
		topic->partitions_count++;
		if (!fetch_answer_part(s, &s->fetch.parts[i], rows++))
			return (false);
	}
	return (true);
}

static bool
fetch_names_leader(const void *arg, int32_t id)
{
	const struct fetch *fetch = arg;

	for (size_t i = 0; i < fetch->part_count; i++)
		if (fetch_leader_moved(fetch->parts[i].error) &&
		    fetch->parts[i].current_leader == id)
			return (true);
	return (false);
}

static bool
fetch_node_endpoints(struct fetch_state *s, struct fetch_response *response)
{
	size_t count;
	const struct api_node *nodes = api_nodes(s->request,
	    cluster_image(s->apis->setup.cluster), fetch_names_leader,
	    &s->fetch, &count);

	response->node_endpoints = wire_array(&s->request->arena,
	    fetch_response_node_endpoint_schema(), count);
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

/* True: some leader moved, so its endpoint is worth telling. */
static bool
fetch_note_sent(struct fetch_state *s)
{
	bool moved = false;

	for (size_t i = 0; i < s->fetch.part_count; i++) {
		const struct fetch_part *part = &s->fetch.parts[i];

		s->sent[i] = (struct fetch_sent){
			.high_watermark = part->high_watermark,
			.log_start_offset = part->answered_log_start,
			.record_bytes = part->extent.blob == NULL ? 0 :
			    part->extent.length,
			.error = part->error,
			.diverging = part->has_diverging,
			.preferred_replica = part->preferred_read_replica >= 0,
		};
		moved |= fetch_leader_moved(part->error);
		if (part->error != ERR_NONE)
			metrics_add_error(s->apis->setup.metrics, API_FETCH,
			    (int)part->error);
	}
	return (moved);
}

static bool
fetch_encode(struct fetch_state *s, bool moved, struct wire_out *out)
{
	struct fetch_response response;

	wire_init(&message_fetch_response, &response);
	response.error_code = (int16_t)fetch_plan_finish(s->apis->sessions,
	    &s->plan, s->sent, loop_now_ms(s->request->loop),
	    &response.session_id);
	if (response.error_code != ERR_NONE) {
		metrics_add_error(s->apis->setup.metrics, API_FETCH,
		    response.error_code);
		return (api_encode(s->apis, s->request, &response, out));
	}
	return (fetch_response_topics(s, &response) &&
	    (!moved || s->request->head.api_version < 16 ||
		fetch_node_endpoints(s, &response)) &&
	    api_encode(s->apis, s->request, &response, out));
}

static void
fetch_done(struct fetch *fetch)
{
	struct fetch_state *s = fetch->owner;
	bool moved = fetch_note_sent(s);
	struct wire_out out;
	bool good;

	s->request->abandoned = NULL;
	wire_out_init(&out);
	good = fetch_encode(s, moved, &out);
	/* The encoded answer holds references of its own. */
	for (size_t i = 0; i < fetch->part_count; i++)
		if (fetch->parts[i].extent.blob != NULL)
			blob_unref(fetch->parts[i].extent.blob);
	if (good) {
		api_send(s->request, &out);
	} else {
		wire_out_fini(&out);
		api_refuse_memory(s->apis, s->request);
	}
}
