/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas topics --list and --describe: asking, choosing, ordering. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/json_out.h"
#include "tools/topic_filter.h"
#include "tools/topics.h"

/* Topics of one metadata answer, by name. */
struct chosen {
	const struct metadata_response_topic **items;
	size_t count;
};

static int
topic_compare(const void *a, const void *b)
{
	const struct metadata_response_topic *const *x = a;
	const struct metadata_response_topic *const *y = b;

	return (slice_compare((*x)->name, (*y)->name));
}

static bool
topic_has_id(const struct metadata_response_topic *topic,
    const struct uuid *id)
{
	return (id == NULL || uuid_equal(topic->topic_id, *id));
}

static void
choose(const struct metadata_response *metadata,
    const struct topic_filter *filter, const struct uuid *id,
    struct chosen *out)
{
	out->count = 0;
	out->items = mem_zalloc(
	    ((size_t)metadata->topics_count + 1) * sizeof(*out->items));
	for (int32_t i = 0; i < metadata->topics_count; i++) {
		const struct metadata_response_topic *topic =
		    &metadata->topics[i];

		if (topic->name.data != NULL && topic_has_id(topic, id) &&
		    topic_filter_takes(filter, topic->name))
			out->items[out->count++] = topic;
	}
	if (out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items),
		    topic_compare);
}

static int
filter_of_args(const struct tool *tool, const struct args *args,
    bool by_id, struct topic_filter *filter)
{
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (!topic_filter_init(filter,
		by_id ? NULL : args_text(args, "topic"),
		args_has(args, "exclude-internal"), &why))
		status = tool_usage(tool, "--topic: %s", buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

/* --- list ----------------------------------------------------------------- */

static void
list_print(const struct tool *tool, const struct args *args,
    const struct chosen *chosen)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_open(&json, "topics", '[');
		for (size_t i = 0; i < chosen->count; i++)
			json_text(&json, NULL, chosen->items[i]->name);
		json_close(&json, ']');
		json_close(&json, '}');
		json_end(&json);
	} else {
		for (size_t i = 0; i < chosen->count; i++)
			buffer_printf(&out, "%.*s\n",
			    SLICE_ARGS(chosen->items[i]->name));
		/* Kafka joins names with newlines and prints that line. */
		if (chosen->count == 0)
			buffer_append_text(&out, "\n");
	}
	tool_print(tool, &out);
	buffer_fini(&out);
}

int
topics_list(struct tool *tool, const struct args *args, struct client *client)
{
	struct metadata_response metadata;
	struct topic_filter filter;
	struct chosen chosen;

	if (filter_of_args(tool, args, false, &filter) != TOOL_OK)
		return (TOOL_USAGE);
	if (client_metadata(client, &metadata) != CLIENT_OK) {
		topic_filter_fini(&filter);
		return (tool_fail(tool, "%s", client_why(client)));
	}
	choose(&metadata, &filter, NULL, &chosen);
	list_print(tool, args, &chosen);
	mem_free(chosen.items);
	topic_filter_fini(&filter);
	return (TOOL_OK);
}

/* --- describe ------------------------------------------------------------- */

enum { RESOURCE_TOPIC = 2 };

static int
ask_configs(const struct tool *tool, struct client *client,
    const struct chosen *chosen, struct describe_configs_response *response)
{
	struct describe_configs_request request;

	wire_init(&message_describe_configs_request, &request);
	request.resources = wire_array(client_arena(client),
	    describe_configs_request_resource_schema(), chosen->count);
	CHECK(request.resources != NULL);
	request.resources_count = (int32_t)chosen->count;
	for (size_t i = 0; i < chosen->count; i++) {
		request.resources[i].resource_type = RESOURCE_TOPIC;
		request.resources[i].resource_name = chosen->items[i]->name;
		/* Null: all of them. */
		request.resources[i].configuration_keys = NULL;
		request.resources[i].configuration_keys_count = 0;
	}
	if (client_ask(client, API_DESCRIBE_CONFIGS, &request, response) !=
	    CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	for (int32_t i = 0; i < response->results_count; i++)
		if (response->results[i].error_code != ERR_NONE)
			return (tool_fail(tool, "options of topic '%.*s': %s",
			    SLICE_ARGS(response->results[i].resource_name),
			    error_name(response->results[i].error_code)));
	return (TOOL_OK);
}

/* False: the cluster does not tell; then nothing moves, as for Kafka's tool. */
static bool
ask_moves(const struct tool *tool, struct client *client,
    struct list_partition_reassignments_response *response)
{
	struct list_partition_reassignments_request request;
	enum client_status status;
	bool again;

	wire_init(&message_list_partition_reassignments_request, &request);
	client_begin(client);
	do {
		status = client_ask_controller(client,
		    API_LIST_PARTITION_REASSIGNMENTS, &request, response);
		again = status == CLIENT_OK &&
		    response->error_code == ERR_NOT_CONTROLLER;
	} while (again && client_pause(client));
	client_end(client);
	if (status == CLIENT_UNREACHABLE)
		tool_warn(tool, "reassignments are not shown: %s",
		    client_why(client));
	return (status == CLIENT_OK && response->error_code == ERR_NONE);
}

static void
describe_wanted(const struct args *args, struct topics_wanted *out)
{
	out->under_replicated = args_has(args, "under-replicated-partitions");
	out->unavailable = args_has(args, "unavailable-partitions");
	out->under_min_isr = args_has(args, "under-min-isr-partitions");
	out->at_min_isr = args_has(args, "at-min-isr-partitions");
	out->with_overrides = args_has(args, "topics-with-overrides");
}

static int
describe_chosen(struct tool *tool, const struct args *args,
    struct client *client, struct topics_facts *facts,
    const struct chosen *chosen)
{
	struct describe_configs_response configs;
	struct list_partition_reassignments_response moves;
	struct topics_wanted wanted;
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < chosen->count; i++)
		if (chosen->items[i]->error_code != ERR_NONE)
			return (tool_fail(tool, "topic '%.*s': %s",
			    SLICE_ARGS(chosen->items[i]->name),
			    error_name(chosen->items[i]->error_code)));
	if (ask_configs(tool, client, chosen, &configs) != TOOL_OK)
		return (TOOL_FAILED);
	facts->configs = &configs;
	if (ask_moves(tool, client, &moves))
		facts->moves = &moves;
	describe_wanted(args, &wanted);
	if (args_json(args))
		topics_describe_json(facts, &wanted, chosen->items,
		    chosen->count, &out);
	else
		topics_describe_text(facts, &wanted, chosen->items,
		    chosen->count, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}

static int
describe_found(struct tool *tool, const struct args *args,
    struct client *client, const struct uuid *id,
    const struct topic_filter *filter)
{
	struct metadata_response metadata;
	struct topics_facts facts = { .metadata = &metadata };
	struct chosen chosen;
	int status = TOOL_OK;

	if (client_metadata(client, &metadata) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	choose(&metadata, filter, id, &chosen);
	if (chosen.count != 0 ||
	    (args_json(args) && args_has(args, "if-exists")))
		status = describe_chosen(tool, args, client, &facts, &chosen);
	else if (!args_has(args, "if-exists") && id != NULL)
		status = tool_fail(tool, "there is no topic with the id '%s'",
		    args_text(args, "topic-id"));
	else if (!args_has(args, "if-exists") && args_has(args, "topic"))
		status = tool_fail(tool,
		    "topic '%s' does not exist "
		    "(UNKNOWN_TOPIC_OR_PARTITION); --list shows those that do",
		    args_text(args, "topic"));
	mem_free(chosen.items);
	return (status);
}

int
topics_describe(struct tool *tool, const struct args *args,
    struct client *client)
{
	const char *text = args_text(args, "topic-id");
	struct topic_filter filter;
	struct uuid id = UUID_ZERO;
	int status;

	if (text != NULL && !uuid_from_text(slice_of_text(text), &id))
		return (tool_usage(tool,
		    "--topic-id: \"%s\" is no id of 22 characters", text));
	/* The zero id is none: then the name counts. */
	text = uuid_is_zero(id) ? NULL : text;
	if (filter_of_args(tool, args, text != NULL, &filter) != TOOL_OK)
		return (TOOL_USAGE);
	status = describe_found(tool, args, client, text != NULL ? &id : NULL,
	    &filter);
	topic_filter_fini(&filter);
	return (status);
}
