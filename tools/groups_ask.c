/* SPDX-License-Identifier: Apache-2.0 */
/* Which groups there are, who coordinates them, and what those say. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/groups.h"
#include "tools/java_names.h"

#define CONSUMER_TYPE "consumer"
/* FindCoordinator's type of key. */
#define GROUP_KEY 0

/* --- lists ---------------------------------------------------------------- */

static int
group_compare(const void *a, const void *b)
{
	const struct group *x = a;
	const struct group *y = b;

	return (slice_compare(x->id, y->id));
}

static void
group_list_add(struct group_list *list, const struct group *group)
{
	list->items = mem_realloc(list->items,
	    (list->count + 1) * sizeof(*list->items));
	list->items[list->count++] = *group;
}

static void
group_list_sort(struct group_list *list)
{
	size_t kept = 0;

	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items),
		    group_compare);
	for (size_t i = 0; i < list->count; i++)
		if (kept == 0 ||
		    group_compare(&list->items[kept - 1], &list->items[i]) !=
			0)
			list->items[kept++] = list->items[i];
	list->count = kept;
}

void
group_list_fini(struct group_list *list)
{
	mem_free(list->items);
	*list = (struct group_list) { 0 };
}

static int
offset_compare(const void *a, const void *b)
{
	const struct group_offset *x = a;
	const struct group_offset *y = b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

void
group_offsets_add(struct group_offsets *offsets, struct slice topic,
    int32_t partition, int64_t offset)
{
	/* Room for twice as many whenever the count is a power of two. */
	if ((offsets->count & (offsets->count - 1)) == 0)
		offsets->items = mem_realloc(offsets->items,
		    (offsets->count == 0 ? 1 : offsets->count * 2) *
			sizeof(*offsets->items));
	offsets->items[offsets->count++] = (struct group_offset) {
		.topic = topic,
		.partition = partition,
		.offset = offset,
	};
}

void
group_offsets_sort(struct group_offsets *offsets)
{
	size_t kept = 0;

	if (offsets->count > 1)
		qsort(offsets->items, offsets->count, sizeof(*offsets->items),
		    offset_compare);
	for (size_t i = 0; i < offsets->count; i++)
		if (kept == 0 ||
		    offset_compare(&offsets->items[kept - 1],
			&offsets->items[i]) != 0)
			offsets->items[kept++] = offsets->items[i];
	offsets->count = kept;
}

const struct group_offset *
group_offsets_find(const struct group_offsets *offsets, struct slice topic,
    int32_t partition)
{
	const struct group_offset key = { topic, partition, -1 };

	return (offsets->count == 0 ? NULL
				    : bsearch(&key, offsets->items,
					  offsets->count,
					  sizeof(*offsets->items),
					  offset_compare));
}

size_t
group_offsets_same_topic(const struct group_offsets *offsets, size_t first)
{
	size_t same = 0;

	while (first + same < offsets->count &&
	    slice_equal(offsets->items[first + same].topic,
		offsets->items[first].topic))
		same++;
	return (same);
}

void
group_offsets_fini(struct group_offsets *offsets)
{
	mem_free(offsets->items);
	*offsets = (struct group_offsets) { 0 };
}

/* --- which groups --------------------------------------------------------- */

static bool
lists_again(int error)
{
	return (error == ERR_COORDINATOR_LOAD_IN_PROGRESS ||
	    error == ERR_COORDINATOR_NOT_AVAILABLE);
}

/* TOOL_OK: *response; else said. */
static int
broker_list(struct groups *g, int32_t broker,
    const struct list_groups_request *request,
    struct list_groups_response *response)
{
	enum client_status status;
	const char *why;

	client_begin(g->client);
	do {
		status = client_ask_node(g->client, broker, API_LIST_GROUPS,
		    request, response);
		why = status != CLIENT_OK ? client_why(g->client)
					  : error_name(response->error_code);
	} while ((status == CLIENT_UNREACHABLE ||
		     (status == CLIENT_OK &&
			 lists_again(response->error_code))) &&
	    client_try_again(g->client, why));
	client_end(g->client);
	if (status == CLIENT_OK && response->error_code == ERR_NONE)
		return (TOOL_OK);
	return (tool_fail(g->tool, "the groups of broker %d: %s%s", broker,
	    why,
	    status == CLIENT_OK && response->error_code ==
		    ERR_CLUSTER_AUTHORIZATION_FAILED
		? "; this user may not describe the cluster"
		: ""));
}

/* Of consumers, or without members that would have said. */
static bool
is_consumers(struct slice protocol_type)
{
	return (protocol_type.length == 0 ||
	    slice_equal_text(protocol_type, CONSUMER_TYPE));
}

int
groups_find(struct groups *g, const struct group_filter *filter,
    struct group_list *list)
{
	struct metadata_response metadata;
	struct list_groups_request request;
	struct list_groups_response response;
	int status = TOOL_OK;

	*list = (struct group_list) { 0 };
	wire_init(&message_list_groups_request, &request);
	request.states_filter = filter->states;
	request.states_filter_count = filter->states_count;
	request.types_filter = filter->types;
	request.types_filter_count = filter->types_count;
	if (client_brokers(g->client, &metadata) != CLIENT_OK)
		return (tool_fail(g->tool, "%s", client_why(g->client)));
	for (int32_t b = 0;
	     status == TOOL_OK && b < metadata.brokers_count; b++) {
		status = broker_list(g, metadata.brokers[b].node_id, &request,
		    &response);
		for (int32_t i = 0;
		     status == TOOL_OK && i < response.groups_count; i++) {
			const struct group group = {
				.id = response.groups[i].group_id,
				.type = response.groups[i].protocol_type,
				.state = response.groups[i].group_state,
				.kind = response.groups[i].group_type,
			};

			if (is_consumers(group.type))
				group_list_add(list, &group);
		}
	}
	group_list_sort(list);
	return (status);
}

int
groups_wanted(struct groups *g, struct group_list *list)
{
	static const struct group_filter any;
	const char *name;
	size_t at = 0;

	if (args_has(g->args, "all-groups"))
		return (groups_find(g, &any, list));
	*list = (struct group_list) { 0 };
	while ((name = args_next(g->args, "group", &at)) != NULL)
		group_list_add(list,
		    &(const struct group) { .id = slice_of_text(name) });
	group_list_sort(list);
	return (TOOL_OK);
}

/* --- the coordinator ------------------------------------------------------ */

static bool
coordinator_again(int error)
{
	return (error == ERR_COORDINATOR_LOAD_IN_PROGRESS ||
	    error == ERR_COORDINATOR_NOT_AVAILABLE ||
	    error == ERR_NOT_COORDINATOR);
}

/* CLIENT_OK: *error says whether it was found. */
static enum client_status
coordinator_find(struct groups *g, struct group *group, int *error)
{
	struct find_coordinator_request request;
	struct find_coordinator_response response;
	struct metadata_response metadata;
	enum client_status status;

	wire_init(&message_find_coordinator_request, &request);
	request.key_type = GROUP_KEY;
	request.coordinator_keys = &group->id;
	request.coordinator_keys_count = 1;
	/* Where the brokers are is learned by it. */
	status = client_brokers(g->client, &metadata);
	if (status == CLIENT_OK)
		status = client_ask(g->client, API_FIND_COORDINATOR, &request,
		    &response);
	if (status != CLIENT_OK)
		return (status);
	*error = ERR_UNKNOWN_SERVER_ERROR;
	if (response.coordinators_count == 1) {
		*error = response.coordinators[0].error_code;
		group->coordinator = response.coordinators[0].node_id;
		group->host = response.coordinators[0].host;
		group->port = response.coordinators[0].port;
	}
	return (CLIENT_OK);
}

static enum client_status
coordinator_ask(struct groups *g, struct group *group,
    const struct group_question *question, int *error)
{
	enum client_status status = coordinator_find(g, group, error);

	if (status != CLIENT_OK || *error != ERR_NONE)
		return (status);
	status = client_ask_node(g->client, group->coordinator,
	    question->api_key, question->request, question->response);
	if (status == CLIENT_OK)
		*error = question->error(question->response);
	return (status);
}

int
group_ask(struct groups *g, struct group *group,
    const struct group_question *question, int *error)
{
	enum client_status status;
	const char *why;

	client_begin(g->client);
	do {
		status = coordinator_ask(g, group, question, error);
		why = status != CLIENT_OK ? client_why(g->client)
					  : error_name(*error);
	} while ((status == CLIENT_UNREACHABLE ||
		     (status == CLIENT_OK && coordinator_again(*error))) &&
	    client_try_again(g->client, why));
	client_end(g->client);
	if (status == CLIENT_OK && !coordinator_again(*error))
		return (TOOL_OK);
	return (tool_fail(g->tool, "group \"%.*s\": %s%s",
	    SLICE_ARGS(group->id), why,
	    status == CLIENT_OK
		? "; barnabas topics --describe --topic __consumer_offsets "
		  "shows who should coordinate it; --timeout waits longer"
		: ""));
}

/* --- what it says --------------------------------------------------------- */

static int
describe_error(const void *response)
{
	const struct describe_groups_response *r = response;

	return (r->groups_count == 1 ? r->groups[0].error_code
				     : ERR_UNKNOWN_SERVER_ERROR);
}

static int
group_refused(const struct groups *g, const struct group *group, int error)
{
	struct buffer text = BUFFER_EMPTY;

	group_error_text(error, &text);
	tool_fail(g->tool, "group \"%.*s\": %s: %s", SLICE_ARGS(group->id),
	    error_name(error), buffer_text(&text));
	buffer_fini(&text);
	return (TOOL_FAILED);
}

int
group_describe(struct groups *g, struct group *group,
    const struct describe_groups_response_group **out)
{
	struct describe_groups_request request;
	struct describe_groups_response *response =
	    arena_zalloc(client_arena(g->client), sizeof(*response));
	const struct group_question question = {
		.api_key = API_DESCRIBE_GROUPS,
		.request = &request,
		.response = response,
		.error = describe_error,
	};
	int error;
	int status;

	CHECK(response != NULL);
	wire_init(&message_describe_groups_request, &request);
	request.groups = &group->id;
	request.groups_count = 1;
	status = group_ask(g, group, &question, &error);
	if (status == TOOL_OK && error != ERR_NONE)
		status = group_refused(g, group, error);
	if (status != TOOL_OK)
		return (status);
	*out = &response->groups[0];
	if (!is_consumers((*out)->protocol_type))
		return (tool_fail(g->tool,
		    "group \"%.*s\" is none of consumers; its protocol is "
		    "\"%.*s\"",
		    SLICE_ARGS(group->id), SLICE_ARGS((*out)->protocol_type)));
	return (TOOL_OK);
}

static int
fetch_error(const void *response)
{
	const struct offset_fetch_response *r = response;

	return (r->groups_count == 1 ? r->groups[0].error_code
				     : ERR_UNKNOWN_SERVER_ERROR);
}

static void
committed_take(const struct offset_fetch_response_group *group,
    struct group_offsets *offsets)
{
	for (int32_t t = 0; t < group->topics_count; t++) {
		const struct offset_fetch_response_group_topic *topic =
		    &group->topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++)
			if (topic->partitions[p].committed_offset >= 0 &&
			    topic->partitions[p].error_code == ERR_NONE)
				group_offsets_add(offsets, topic->name,
				    topic->partitions[p].partition_index,
				    topic->partitions[p].committed_offset);
	}
	group_offsets_sort(offsets);
}

int
group_committed(struct groups *g, struct group *group,
    struct group_offsets *offsets)
{
	struct offset_fetch_request_group which;
	struct offset_fetch_request request;
	struct offset_fetch_response response;
	const struct group_question question = {
		.api_key = API_OFFSET_FETCH,
		.request = &request,
		.response = &response,
		.error = fetch_error,
	};
	int error;
	int status;

	*offsets = (struct group_offsets) { 0 };
	wire_init(&message_offset_fetch_request, &request);
	request.groups = &which;
	request.groups_count = 1;
	/* Null: of all topics. */
	which = (struct offset_fetch_request_group) {
		.group_id = group->id,
		.member_id = SLICE_NULL,
		.member_epoch = -1,
	};
	status = group_ask(g, group, &question, &error);
	if (status == TOOL_OK && error != ERR_NONE)
		status = group_refused(g, group, error);
	if (status == TOOL_OK)
		committed_take(&response.groups[0], offsets);
	return (status);
}

void
group_assignment(struct groups *g, struct slice bytes,
    struct group_offsets *offsets)
{
	const struct message *message = &message_consumer_protocol_assignment;
	struct consumer_protocol_assignment assignment;
	int version;

	*offsets = (struct group_offsets) { 0 };
	if (bytes.length < sizeof(int16_t))
		return;
	version = (int16_t)(bytes.data[0] << 8 | bytes.data[1]);
	/* What later versions add stands behind what is known. */
	if (version > message_highest(message))
		version = message_highest(message);
	if (wire_decode(message, version,
		slice_of(bytes.data + sizeof(int16_t),
		    bytes.length - sizeof(int16_t)),
		client_arena(g->client), &assignment, NULL) != WIRE_OK)
		return;
	for (int32_t t = 0; t < assignment.assigned_partitions_count; t++) {
		const struct consumer_protocol_assignment_assigned_partition
		    *topic = &assignment.assigned_partitions[t];

		for (int32_t p = 0; p < topic->partitions_count; p++)
			group_offsets_add(offsets, topic->topic,
			    topic->partitions[p], -1);
	}
	group_offsets_sort(offsets);
}

/* --- topics of --topic ---------------------------------------------------- */

static int
topic_numbers(const struct groups *g, struct slice name, struct slice numbers,
    struct group_offsets *offsets)
{
	int32_t number;

	while (numbers.data != NULL) {
		const struct slice one = text_cut(numbers, ',', &numbers);

		if (!text_to_int32(one, &number) || number < 0)
			return (tool_usage(g->tool,
			    "--topic %.*s: \"%.*s\" is no partition's number",
			    SLICE_ARGS(name), SLICE_ARGS(one)));
		group_offsets_add(offsets, name, number, -1);
	}
	return (TOOL_OK);
}

static void
topic_whole(const struct metadata_response *metadata, struct slice name,
    struct group_offsets *offsets)
{
	for (int32_t t = 0; t < metadata->topics_count; t++) {
		const struct metadata_response_topic *topic =
		    &metadata->topics[t];

		if (!slice_equal(topic->name, name))
			continue;
		for (int32_t p = 0; p < topic->partitions_count; p++)
			group_offsets_add(offsets, name,
			    topic->partitions[p].partition_index, -1);
		return;
	}
	group_offsets_add(offsets, name, -1, -1);
}

int
groups_topics(struct groups *g, struct group_offsets *offsets)
{
	struct metadata_response metadata;
	int status = TOOL_OK;
	const char *text;
	size_t at = 0;

	*offsets = (struct group_offsets) { 0 };
	if (client_metadata(g->client, &metadata) != CLIENT_OK)
		return (tool_fail(g->tool, "%s", client_why(g->client)));
	while (status == TOOL_OK &&
	    (text = args_next(g->args, "topic", &at)) != NULL) {
		struct slice numbers;
		const struct slice name =
		    text_cut(slice_of_text(text), ':', &numbers);

		if (numbers.data != NULL)
			status = topic_numbers(g, name, numbers, offsets);
		else
			topic_whole(&metadata, name, offsets);
	}
	group_offsets_sort(offsets);
	return (status);
}

/* --- words ---------------------------------------------------------------- */

static const char *
advice_for(int error)
{
	switch (error) {
	case ERR_GROUP_ID_NOT_FOUND:
		return ("there is no such group; barnabas groups --list shows "
			"them");
	case ERR_NON_EMPTY_GROUP:
		return ("the group has members; stop its consumers first");
	case ERR_UNKNOWN_MEMBER_ID:
	case ERR_REBALANCE_IN_PROGRESS:
		return ("the group has members by now; stop its consumers "
			"first");
	case ERR_GROUP_SUBSCRIBED_TO_TOPIC:
		return ("the group's consumers read that topic; stop them "
			"first");
	case ERR_GROUP_AUTHORIZATION_FAILED:
		return ("this user may not do that with the group");
	case ERR_TOPIC_AUTHORIZATION_FAILED:
		return ("this user may not read the topic");
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
		return ("there is no such partition; barnabas topics "
			"--describe shows them");
	case ERR_INVALID_GROUP_ID:
		return ("that is no group's name");
	default:
		return ("the broker's log may say more");
	}
}

void
group_error_text(int error, struct buffer *out)
{
	error_java_class(error, out);
	buffer_printf(out, ": %s", advice_for(error));
}

void
groups_print_error(struct groups *g, const char *format, ...)
{
	va_list arguments;
	char text[512];

	if (g->json)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_printf(&g->out, "\nError: %s\n", text);
}
