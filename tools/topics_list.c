/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas topics --list and --describe: asking and printing. */
#include "base/check.h"
#include "tools/json_out.h"
#include "tools/moves.h"
#include "tools/topics.h"

/* --- list ----------------------------------------------------------------- */

static void
list_print(const struct tool *tool, const struct args *args,
    const struct topics_chosen *chosen)
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
	struct topics_chosen chosen;
	const int status = topics_choose(tool, args, client, NULL, &chosen);

	if (status == TOOL_OK)
		list_print(tool, args, &chosen);
	topics_chosen_fini(&chosen);
	return (status);
}

/* --- describe ------------------------------------------------------------- */

enum { RESOURCE_TOPIC = 2 };

static void
configs_request(struct client *client,
    const struct metadata_response_topic *const *topics, size_t count,
    struct slice only, struct describe_configs_request *request)
{
	wire_init(&message_describe_configs_request, request);
	request->resources = wire_array(client_arena(client),
	    describe_configs_request_resource_schema(), count);
	CHECK(request->resources != NULL);
	request->resources_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		struct describe_configs_request_resource *resource =
		    &request->resources[i];

		resource->resource_type = RESOURCE_TOPIC;
		resource->resource_name = topics[i]->name;
		/* Null: all of them. */
		resource->configuration_keys = NULL;
		resource->configuration_keys_count = 0;
		if (only.data == NULL)
			continue;
		resource->configuration_keys = arena_array(
		    client_arena(client), 1, sizeof(only));
		CHECK(resource->configuration_keys != NULL);
		resource->configuration_keys[0] = only;
		resource->configuration_keys_count = 1;
	}
}

const char *
topics_ask_configs(struct client *client,
    const struct metadata_response_topic *const *topics, size_t count,
    struct slice only, struct describe_configs_response *response)
{
	struct describe_configs_request request;

	configs_request(client, topics, count, only, &request);
	if (client_ask(client, API_DESCRIBE_CONFIGS, &request, response) !=
	    CLIENT_OK)
		return (arena_strdup(client_arena(client),
		    client_why(client)));
	for (int32_t i = 0; i < response->results_count; i++)
		if (response->results[i].error_code != ERR_NONE)
			return (arena_printf(client_arena(client),
			    "options of topic '%.*s': %s",
			    SLICE_ARGS(response->results[i].resource_name),
			    error_name(response->results[i].error_code)));
	return (NULL);
}

/* False: the cluster does not tell; then nothing moves, as for Kafka's tool. */
static bool
ask_moves(const struct tool *tool, struct client *client,
    struct list_partition_reassignments_response *response)
{
	const enum client_status status = moves_ask(client, response);

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
    struct client *client, const struct topics_chosen *chosen)
{
	struct topics_facts facts = { .metadata = &chosen->metadata };
	struct describe_configs_response configs;
	struct list_partition_reassignments_response moves;
	struct topics_wanted wanted;
	struct buffer out = BUFFER_EMPTY;
	const char *why = NULL;

	for (size_t i = 0; i < chosen->count; i++)
		if (chosen->items[i]->error_code != ERR_NONE)
			return (tool_fail(tool, "topic '%.*s': %s",
			    SLICE_ARGS(chosen->items[i]->name),
			    error_name(chosen->items[i]->error_code)));
	/* An empty list of resources is no question. */
	if (chosen->count != 0)
		why = topics_ask_configs(client, chosen->items, chosen->count,
		    SLICE_NULL, &configs);
	if (why != NULL)
		return (tool_fail(tool, "%s", why));
	facts.configs = chosen->count != 0 ? &configs : NULL;
	if (chosen->count != 0 && ask_moves(tool, client, &moves))
		facts.moves = &moves;
	describe_wanted(args, &wanted);
	if (args_json(args))
		topics_describe_json(&facts, &wanted, chosen->items,
		    chosen->count, &out);
	else
		topics_describe_text(&facts, &wanted, chosen->items,
		    chosen->count, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}

static int
describe_found(struct tool *tool, const struct args *args,
    struct client *client, const struct uuid *id)
{
	const bool named = args_has(args, "topic");
	const bool needed = !args_has(args, "if-exists");
	struct topics_chosen chosen;
	int status = topics_choose(tool, args, client, id, &chosen);

	if (status == TOOL_OK && chosen.count == 0 && needed && id != NULL)
		status = tool_fail(tool,
		    "there is no topic with the id '%s'; --describe shows the "
		    "ids",
		    args_text(args, "topic-id"));
	else if (status == TOOL_OK && chosen.count == 0 && needed && named)
		status = topics_missing(tool, args);
	else if (status == TOOL_OK)
		status = describe_chosen(tool, args, client, &chosen);
	topics_chosen_fini(&chosen);
	return (status);
}

int
topics_describe(struct tool *tool, const struct args *args,
    struct client *client)
{
	const char *text = args_text(args, "topic-id");
	struct uuid id = UUID_ZERO;

	if (text != NULL && !uuid_from_text(slice_of_text(text), &id))
		return (tool_usage(tool,
		    "--topic-id: \"%s\" is no id of 22 characters", text));
	if (text != NULL && args_has(args, "topic") && !args_json(args) &&
	    args_has(args, "if-exists"))
		fputs("Only topic id will be used when both --topic and "
		      "--topic-id are specified and topicId is not "
		      "Uuid.ZERO_UUID\n",
		    tool->out);
	/* The zero id is none: then the name counts. */
	return (describe_found(tool, args, client,
	    uuid_is_zero(id) ? NULL : &id));
}
