/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas reassign-partitions` asks the controller and any broker. */
#include <string.h>

#include "base/check.h"
#include "tools/moves.h"
#include "tools/reassign.h"

int
reassign_ask_moves(struct reassign *r,
    struct list_partition_reassignments_response *moves)
{
	if (moves_ask(r->client, moves) != CLIENT_OK)
		return (tool_fail(r->tool, "%s", client_why(r->client)));
	if (moves->error_code == ERR_NONE)
		return (TOOL_OK);
	return (tool_fail(r->tool,
	    "the controller does not list reassignments: %s%s%.*s",
	    error_name(moves->error_code),
	    moves->error_message.length != 0 ? ": " : "",
	    SLICE_ARGS(moves->error_message)));
}

int
reassign_ask_metadata(struct reassign *r, struct metadata_response *metadata)
{
	if (client_metadata(r->client, metadata) != CLIENT_OK)
		return (tool_fail(r->tool, "%s", client_why(r->client)));
	return (TOOL_OK);
}

bool
reassign_broker_there(const struct metadata_response *metadata, int32_t id)
{
	for (int32_t i = 0; i < metadata->brokers_count; i++)
		if (metadata->brokers[i].node_id == id)
			return (true);
	return (false);
}

/* --- where partitions lie ------------------------------------------------- */

static void
parts_of(const struct metadata_response *metadata, struct arena *arena,
    struct reassign_parts *out)
{
	size_t count = 0;

	for (int32_t t = 0; t < metadata->topics_count; t++)
		count += (size_t)metadata->topics[t].partitions_count;
	*out = (struct reassign_parts) { 0 };
	out->items = arena_array(arena, count + 1, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (int32_t t = 0; t < metadata->topics_count; t++) {
		const struct metadata_response_topic *topic =
		    &metadata->topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++)
			out->items[out->count++] = (struct reassign_part) {
				.topic = topic->name,
				.partition =
				    topic->partitions[p].partition_index,
				.replicas = topic->partitions[p].replica_nodes,
				.replica_count =
				    topic->partitions[p].replica_nodes_count,
			};
	}
	reassign_parts_sort(out);
}

void
reassign_now(struct reassign *r, const struct metadata_response *metadata,
    const struct reassign_parts *wanted, struct reassign_parts *out)
{
	struct reassign_parts all;

	parts_of(metadata, r->arena, &all);
	*out = (struct reassign_parts) { 0 };
	out->items =
	    arena_array(r->arena, wanted->count + 1, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (size_t i = 0; i < wanted->count; i++) {
		const struct reassign_part *found = reassign_part_find(&all,
		    wanted->items[i].topic, wanted->items[i].partition);

		if (found != NULL)
			out->items[out->count++] = *found;
	}
}

static const struct metadata_response_topic *
topic_of(const struct metadata_response *metadata, struct slice name)
{
	for (int32_t i = 0; i < metadata->topics_count; i++)
		if (slice_equal(metadata->topics[i].name, name))
			return (&metadata->topics[i]);
	return (NULL);
}

static int
topic_missing(const struct reassign *r, struct slice name)
{
	return (tool_fail(r->tool,
	    "Topic %.*s not found. barnabas topics --list shows the topics",
	    SLICE_ARGS(name)));
}

int
reassign_now_all(struct reassign *r, const struct metadata_response *metadata,
    const struct reassign_parts *wanted, struct reassign_parts *out)
{
	struct buffer missing = BUFFER_EMPTY;
	int status = TOOL_OK;

	reassign_now(r, metadata, wanted, out);
	for (size_t i = 0; status == TOOL_OK && i < wanted->count; i++) {
		const struct reassign_part *part = &wanted->items[i];

		if (reassign_part_find(out, part->topic, part->partition) !=
		    NULL)
			continue;
		if (topic_of(metadata, part->topic) == NULL)
			status = topic_missing(r, part->topic);
		buffer_printf(&missing, "%s%.*s-%d",
		    missing.length == 0 ? "" : ", ", SLICE_ARGS(part->topic),
		    part->partition);
	}
	if (status == TOOL_OK && missing.length != 0)
		status = tool_fail(r->tool, "Unable to find partition: %s",
		    buffer_text(&missing));
	buffer_fini(&missing);
	return (status);
}

int
reassign_now_topics(struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_topics *topics, struct reassign_parts *out)
{
	struct reassign_parts wanted = { 0 };
	const struct metadata_response_topic *topic;
	size_t count = 0;

	for (size_t i = 0; i < topics->count; i++) {
		topic = topic_of(metadata, topics->items[i]);
		if (topic == NULL)
			return (topic_missing(r, topics->items[i]));
		count += (size_t)topic->partitions_count;
	}
	wanted.items =
	    arena_array(r->arena, count + 1, sizeof(*wanted.items));
	CHECK(wanted.items != NULL);
	for (size_t i = 0; i < topics->count; i++) {
		topic = topic_of(metadata, topics->items[i]);
		for (int32_t p = 0; p < topic->partitions_count; p++)
			wanted.items[wanted.count++] = (struct reassign_part) {
				.topic = topic->name,
				.partition =
				    topic->partitions[p].partition_index,
			};
	}
	reassign_parts_sort(&wanted);
	reassign_now(r, metadata, &wanted, out);
	return (TOOL_OK);
}

/* --- the change ----------------------------------------------------------- */

static void
alter_request(struct reassign *r, const struct reassign_parts *parts,
    bool cancel, struct alter_partition_reassignments_request *request)
{
	struct alter_partition_reassignments_request_topic *topic;
	size_t same;

	wire_init(&message_alter_partition_reassignments_request, request);
	request->timeout_ms = client_timeout_ms(r->client);
	request->topics = wire_array(r->arena,
	    alter_partition_reassignments_request_topic_schema(),
	    parts->count);
	CHECK(request->topics != NULL);
	for (size_t at = 0; at < parts->count; at += same) {
		const struct reassign_part *first = &parts->items[at];

		same = reassign_same_topic(first, parts->count - at);
		topic = &request->topics[request->topics_count++];
		topic->name = first->topic;
		topic->partitions = wire_array(r->arena,
		    alter_partition_reassignments_request_partition_schema(),
		    same);
		CHECK(topic->partitions != NULL);
		topic->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++) {
			topic->partitions[i].partition_index =
			    first[i].partition;
			/* Null takes a move back. */
			topic->partitions[i].replicas =
			    cancel ? NULL : first[i].replicas;
			topic->partitions[i].replicas_count =
			    cancel ? 0 : first[i].replica_count;
		}
	}
}

static enum client_status
alter_ask(struct reassign *r,
    const struct alter_partition_reassignments_request *request,
    struct alter_partition_reassignments_response *response, bool *repeated)
{
	enum client_status status;
	bool again;

	client_begin(r->client);
	do {
		status = client_ask_controller(r->client,
		    API_ALTER_PARTITION_REASSIGNMENTS, request, response);
		again = status == CLIENT_OK &&
		    response->error_code == ERR_NOT_CONTROLLER;
	} while (again && client_pause(r->client));
	*repeated = client_repeated(r->client);
	client_end(r->client);
	return (status);
}

typedef struct alter_partition_reassignments_response_partition alter_facts;

static void
put_refused(struct slice topic, const alter_facts *facts,
    struct buffer *refused)
{
	buffer_printf(refused, "%s%.*s-%d: ", refused->length == 0 ? "" : "\n",
	    SLICE_ARGS(topic), facts->partition_index);
	if (facts->error_message.length != 0)
		buffer_append_slice(refused, facts->error_message);
	else
		buffer_append_text(refused, error_name(facts->error_code));
}

/* How many partitions it is about; `ended` may be NULL. */
static size_t
alter_take(const struct alter_partition_reassignments_response *response,
    const struct reassign_parts *parts, struct reassign_parts *ended,
    struct buffer *refused)
{
	const struct reassign_part *part;
	size_t count = 0;

	for (int32_t t = 0; t < response->responses_count; t++) {
		const struct alter_partition_reassignments_response_topic
		    *topic = &response->responses[t];

		count += (size_t)topic->partitions_count;
		for (int32_t p = 0; p < topic->partitions_count; p++) {
			const alter_facts *facts = &topic->partitions[p];

			if (facts->error_code == ERR_NONE)
				continue;
			part = reassign_part_find(parts, topic->name,
			    facts->partition_index);
			if (ended != NULL && part != NULL &&
			    facts->error_code ==
				ERR_NO_REASSIGNMENT_IN_PROGRESS &&
			    ended->count < parts->count)
				ended->items[ended->count++] = *part;
			else
				put_refused(topic->name, facts, refused);
		}
	}
	return (count);
}

int
reassign_alter(struct reassign *r, const struct reassign_parts *parts,
    struct reassign_parts *ended, struct buffer *refused)
{
	struct alter_partition_reassignments_request request;
	struct alter_partition_reassignments_response response;
	bool repeated;
	size_t count;

	if (ended != NULL) {
		*ended = (struct reassign_parts) { 0 };
		ended->items = arena_array(r->arena, parts->count,
		    sizeof(*ended->items));
		CHECK(ended->items != NULL);
	}
	alter_request(r, parts, ended != NULL, &request);
	if (alter_ask(r, &request, &response, &repeated) != CLIENT_OK)
		return (tool_fail(r->tool,
		    "%s; barnabas reassign-partitions --list shows what moves",
		    client_why(r->client)));
	if (response.error_code != ERR_NONE)
		return (tool_fail(r->tool, "%s%s%.*s",
		    error_name(response.error_code),
		    response.error_message.length != 0 ? ": " : "",
		    SLICE_ARGS(response.error_message)));
	count = alter_take(&response, parts, ended, refused);
	if (count != parts->count)
		return (tool_fail(r->tool,
		    "the controller's answer is about %zu partitions instead "
		    "of %zu; --list shows what moves",
		    count, parts->count));
	if (ended != NULL) {
		reassign_parts_sort(ended);
		/* They may have been taken back the first time. */
		if (repeated)
			ended->count = 0;
	}
	return (TOOL_OK);
}
