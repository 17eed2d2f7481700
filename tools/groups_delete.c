/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas groups --delete and --delete-offsets */
#include "base/check.h"
#include "base/mem.h"
#include "tools/columns.h"
#include "tools/groups.h"
#include "tools/json_out.h"

#define NAME_WIDTH 30
#define FACT_WIDTH 15

static struct slice
error_or_null(int error)
{
	return (error == ERR_NONE ? SLICE_NULL
				  : slice_of_text(error_name(error)));
}

/* --- groups --------------------------------------------------------------- */

static int
delete_error(const void *response)
{
	const struct delete_groups_response *r = response;

	return (r->results_count == 1 ? r->results[0].error_code
				      : ERR_UNKNOWN_SERVER_ERROR);
}

static int
delete_one(struct groups *g, struct group *group, int *error)
{
	struct delete_groups_request request;
	struct delete_groups_response response;
	const struct group_question question = {
		.api_key = API_DELETE_GROUPS,
		.request = &request,
		.response = &response,
		.error = delete_error,
	};

	wire_init(&message_delete_groups_request, &request);
	request.groups_names = &group->id;
	request.groups_names_count = 1;
	return (group_ask(g, group, &question, error));
}

static void
put_names(struct buffer *out, const struct group_list *list,
    const int *errors, const char *between)
{
	bool more = false;

	for (size_t i = 0; i < list->count; i++) {
		if (errors[i] != ERR_NONE)
			continue;
		buffer_printf(out, "%s%.*s", more ? between : "",
		    SLICE_ARGS(list->items[i].id));
		more = true;
	}
}

static void
deleted_print(struct groups *g, const struct group_list *list,
    const int *errors)
{
	struct buffer *out = &g->out;
	size_t failed = 0;

	for (size_t i = 0; i < list->count; i++)
		failed += errors[i] != ERR_NONE;
	if (failed == 0) {
		buffer_append_text(out,
		    "Deletion of requested consumer groups ('");
		put_names(out, list, errors, ", ");
		buffer_append_text(out, "') was successful.\n");
		return;
	}
	groups_print_error(g, "Deletion of some consumer groups failed:");
	for (size_t i = 0; i < list->count; i++) {
		if (errors[i] == ERR_NONE)
			continue;
		buffer_printf(out,
		    "* Group '%.*s' could not be deleted due to: "
		    "java.util.concurrent.ExecutionException: ",
		    SLICE_ARGS(list->items[i].id));
		group_error_text(errors[i], out);
		buffer_append_text(out, "\n");
	}
	if (failed == list->count)
		return;
	buffer_append_text(out,
	    "\nThese consumer groups were deleted successfully: '");
	put_names(out, list, errors, "', '");
	buffer_append_text(out, "'\n");
}

static void
deleted_json(struct groups *g, const struct group_list *list,
    const int *errors)
{
	struct json_out json;

	json_init(&json, &g->out);
	json_open(&json, NULL, '{');
	json_open(&json, "groups", '[');
	for (size_t i = 0; i < list->count; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "group", list->items[i].id);
		json_text(&json, "error", error_or_null(errors[i]));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

/* As in Kafka's tool, a group that stays is told, and is no failure. */
int
groups_delete(struct groups *g)
{
	struct group_list list;
	int status = groups_wanted(g, &list);
	int *errors = mem_zalloc((list.count + 1) * sizeof(*errors));

	for (size_t i = 0; status == TOOL_OK && i < list.count; i++)
		status = delete_one(g, &list.items[i], &errors[i]);
	if (status == TOOL_OK && g->json)
		deleted_json(g, &list, errors);
	else if (status == TOOL_OK)
		deleted_print(g, &list, errors);
	mem_free(errors);
	group_list_fini(&list);
	return (status);
}

/* --- offsets -------------------------------------------------------------- */

/* Here the offset of a partition is its error. */
static int
offsets_error(const void *response)
{
	const struct offset_delete_response *r = response;

	return (r->error_code);
}

/* Topics that there are not stay out of it. */
static void
offsets_request(struct arena *arena, const struct group_offsets *parts,
    struct offset_delete_request *request)
{
	size_t same;

	request->topics = wire_array(arena,
	    offset_delete_request_topic_schema(), parts->count);
	CHECK(request->topics != NULL);
	for (size_t first = 0; first < parts->count; first += same) {
		struct offset_delete_request_topic *topic =
		    &request->topics[request->topics_count];

		same = group_offsets_same_topic(parts, first);
		if (parts->items[first].partition < 0)
			continue;
		request->topics_count++;
		topic->name = parts->items[first].topic;
		topic->partitions = wire_array(arena,
		    offset_delete_request_partition_schema(), same);
		CHECK(topic->partitions != NULL);
		topic->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++)
			topic->partitions[i].partition_index =
			    parts->items[first + i].partition;
	}
}

static int
answer_find(const struct offset_delete_response *response,
    const struct group_offset *at)
{
	for (int32_t t = 0; t < response->topics_count; t++) {
		const struct offset_delete_response_topic *topic =
		    &response->topics[t];

		if (!slice_equal(topic->name, at->topic))
			continue;
		for (int32_t p = 0; p < topic->partitions_count; p++)
			if (topic->partitions[p].partition_index ==
			    at->partition)
				return (topic->partitions[p].error_code);
	}
	return (ERR_UNKNOWN_SERVER_ERROR);
}

/* *error: the group's, or the first of a partition that was asked. */
static int
offsets_delete(struct groups *g, struct group *group,
    struct group_offsets *parts, int *error)
{
	struct offset_delete_request request;
	struct offset_delete_response response;
	const struct group_question question = {
		.api_key = API_OFFSET_DELETE,
		.request = &request,
		.response = &response,
		.error = offsets_error,
	};
	int top;
	int status;

	wire_init(&message_offset_delete_request, &request);
	request.group_id = group->id;
	offsets_request(client_arena(g->client), parts, &request);
	status = group_ask(g, group, &question, error);
	if (status != TOOL_OK)
		return (status);
	top = *error;
	for (size_t i = 0; i < parts->count; i++) {
		struct group_offset *at = &parts->items[i];

		if (at->partition < 0)
			at->offset = ERR_UNKNOWN_TOPIC_OR_PARTITION;
		else
			at->offset = top != ERR_NONE
			    ? top
			    : answer_find(&response, at);
		if (*error == ERR_NONE && at->partition >= 0)
			*error = (int)at->offset;
	}
	return (TOOL_OK);
}

static void
topics_put(const struct args *args, struct buffer *out)
{
	const char *comma = "";
	const char *topic;
	size_t at = 0;

	while ((topic = args_next(args, "topic", &at)) != NULL) {
		buffer_printf(out, "%s%s", comma, topic);
		comma = ", ";
	}
}

/* Kafka's words for it. */
static void
offsets_heading(struct groups *g, const struct group *group, int error)
{
	switch (error) {
	case ERR_NONE:
		buffer_append_text(&g->out,
		    "Request succeed for deleting offsets with topic ");
		topics_put(g->args, &g->out);
		buffer_printf(&g->out, " group %.*s\n", SLICE_ARGS(group->id));
		break;
	case ERR_INVALID_GROUP_ID:
		groups_print_error(g, "'%.*s' is not valid.",
		    SLICE_ARGS(group->id));
		break;
	case ERR_GROUP_ID_NOT_FOUND:
		groups_print_error(g, "'%.*s' does not exist.",
		    SLICE_ARGS(group->id));
		break;
	case ERR_GROUP_AUTHORIZATION_FAILED:
		groups_print_error(g, "Access to '%.*s' is not authorized.",
		    SLICE_ARGS(group->id));
		break;
	case ERR_NON_EMPTY_GROUP:
		groups_print_error(g,
		    "Deleting offsets of a consumer group '%.*s' is forbidden "
		    "if the group is not empty.",
		    SLICE_ARGS(group->id));
		break;
	case ERR_GROUP_SUBSCRIBED_TO_TOPIC:
	case ERR_TOPIC_AUTHORIZATION_FAILED:
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
		groups_print_error(g,
		    "Encounter some partition level error, see the follow-up "
		    "details:");
		break;
	default:
		groups_print_error(g, "Encounter some unknown error: %s",
		    error_name(error));
	}
}

/* A line each; Kafka 3.9's tool puts all into one. */
static void
offsets_print(struct groups *g, const struct group_offsets *parts)
{
	struct buffer *out = &g->out;

	buffer_append_text(out, "\n");
	column_put(out, SLICE_LITERAL("TOPIC"), NAME_WIDTH + 1);
	column_put(out, SLICE_LITERAL("PARTITION"), FACT_WIDTH + 1);
	column_put(out, SLICE_LITERAL("STATUS"), FACT_WIDTH);
	buffer_append_text(out, "\n");
	for (size_t i = 0; i < parts->count; i++) {
		const struct group_offset *at = &parts->items[i];

		column_put(out, at->topic, NAME_WIDTH);
		buffer_append_text(out, " ");
		if (at->partition < 0)
			column_put(out, SLICE_LITERAL("Not Provided"),
			    FACT_WIDTH);
		else
			column_put_int(out, at->partition, FACT_WIDTH);
		buffer_append_text(out, " ");
		if (at->offset == ERR_NONE) {
			column_put(out, SLICE_LITERAL("Successful"),
			    FACT_WIDTH);
		} else {
			buffer_append_text(out, "Error: :");
			group_error_text((int)at->offset, out);
		}
		buffer_append_text(out, "\n");
	}
}

static void
offsets_json(struct groups *g, const struct group *group,
    const struct group_offsets *parts, int error)
{
	struct json_out json;

	json_init(&json, &g->out);
	json_open(&json, NULL, '{');
	json_text(&json, "group", group->id);
	json_text(&json, "error", error_or_null(error));
	json_open(&json, "partitions", '[');
	for (size_t i = 0; i < parts->count; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "topic", parts->items[i].topic);
		json_int(&json, "partition", parts->items[i].partition);
		json_text(&json, "error",
		    error_or_null((int)parts->items[i].offset));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

int
groups_delete_offsets(struct groups *g)
{
	struct group_offsets parts;
	struct group_list list;
	int error;
	int status = groups_topics(g, &parts);

	if (status == TOOL_OK)
		status = groups_wanted(g, &list);
	else
		list = (struct group_list) { 0 };
	if (status == TOOL_OK)
		status = offsets_delete(g, &list.items[0], &parts, &error);
	if (status == TOOL_OK && g->json) {
		offsets_json(g, &list.items[0], &parts, error);
	} else if (status == TOOL_OK) {
		offsets_heading(g, &list.items[0], error);
		offsets_print(g, &parts);
	}
	group_list_fini(&list);
	group_offsets_fini(&parts);
	return (status);
}
