/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas configs --describe: asking and printing. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/configs.h"
#include "tools/json_out.h"
#include "tools/progress.h"

/* --- asking --------------------------------------------------------------- */

/* -1: any broker will do. */
static int32_t
entity_broker(const struct configs_entity *entity)
{
	int32_t id = -1;

	if (entity->kind != CONFIGS_TOPIC && entity->name.length != 0)
		CHECK(text_to_int32(entity->name, &id));
	return (id);
}

enum client_status
configs_send(struct client *client, const struct configs_entity *entity,
    int api_key, const void *request, void *response)
{
	const int32_t id = entity_broker(entity);
	enum client_status status;

	if (id < 0)
		return (client_ask(client, api_key, request, response));
	client_begin(client);
	do {
		status =
		    client_ask_node(client, id, api_key, request, response);
	} while (status == CLIENT_UNREACHABLE &&
	    client_try_again(client, client_why(client)));
	client_end(client);
	return (status);
}

int
configs_broker_there(const struct tool *tool, struct client *client,
    const struct configs_entity *entity)
{
	const int32_t id = entity_broker(entity);
	struct metadata_response metadata;

	if (id < 0)
		return (TOOL_OK);
	if (client_brokers(client, &metadata) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	for (int32_t i = 0; i < metadata.brokers_count; i++)
		if (metadata.brokers[i].node_id == id)
			return (TOOL_OK);
	return (tool_fail(tool, "broker %d is not there; start it, or see "
				"--entity-type brokers --describe", id));
}

/* Where options come from that are the entity's own; -1: all are. */
static int
entity_source(const struct configs_entity *entity)
{
	if (entity->kind == CONFIGS_TOPIC)
		return (1); /* DYNAMIC_TOPIC_CONFIG */
	if (entity->kind == CONFIGS_LOGGER)
		return (-1);
	/* DYNAMIC_DEFAULT_BROKER_CONFIG, DYNAMIC_BROKER_CONFIG */
	return (entity->name.length == 0 ? 3 : 2);
}

static int
config_compare(const void *a, const void *b)
{
	const struct describe_configs_response_config *const *x = a;
	const struct describe_configs_response_config *const *y = b;

	return (slice_compare((*x)->name, (*y)->name));
}

static int
found_take(const struct tool *tool, struct client *client,
    const struct configs_entity *entity, int source,
    const struct describe_configs_response *response,
    struct configs_found *out)
{
	const struct describe_configs_response_result *result =
	    response->results;
	struct buffer name = BUFFER_EMPTY;
	int status = TOOL_OK;

	configs_entity_name(entity, &name);
	if (response->results_count != 1)
		status = tool_fail(tool, "%s: the broker's answer is about %d "
					 "entities instead of one",
		    buffer_text(&name), response->results_count);
	else if (result->error_code != ERR_NONE)
		status = tool_fail(tool, "%s: %s%s%.*s", buffer_text(&name),
		    error_name(result->error_code),
		    result->error_message.length != 0 ? ": " : "",
		    SLICE_ARGS(result->error_message));
	buffer_fini(&name);
	if (status != TOOL_OK)
		return (status);
	out->items = arena_array(client_arena(client),
	    (size_t)result->configs_count + 1, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (int32_t i = 0; i < result->configs_count; i++)
		if (source < 0 || result->configs[i].config_source == source)
			out->items[out->count++] = &result->configs[i];
	if (out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items),
		    config_compare);
	return (TOOL_OK);
}

int
configs_ask(const struct tool *tool, struct client *client,
    const struct configs_entity *entity, bool all, struct configs_found *out)
{
	struct describe_configs_request request;
	struct describe_configs_response response;

	*out = (struct configs_found) { 0 };
	wire_init(&message_describe_configs_request, &request);
	request.resources = wire_array(client_arena(client),
	    describe_configs_request_resource_schema(), 1);
	CHECK(request.resources != NULL);
	request.resources_count = 1;
	request.resources->resource_type = (int8_t)entity->kind;
	request.resources->resource_name = entity->name;
	/* Null: all of them. */
	request.resources->configuration_keys = NULL;
	request.resources->configuration_keys_count = 0;
	request.include_synonyms = true;
	if (configs_send(client, entity, API_DESCRIBE_CONFIGS, &request,
		&response) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	return (found_take(tool, client, entity,
	    all ? -1 : entity_source(entity), &response, out));
}

/* --- printing ------------------------------------------------------------- */

static const char *
source_name(int source)
{
	static const char *const names[] = { "UNKNOWN",
		"DYNAMIC_TOPIC_CONFIG", "DYNAMIC_BROKER_CONFIG",
		"DYNAMIC_DEFAULT_BROKER_CONFIG", "STATIC_BROKER_CONFIG",
		"DEFAULT_CONFIG", "DYNAMIC_BROKER_LOGGER_CONFIG",
		"DYNAMIC_CLIENT_METRICS_CONFIG" };

	return (source > 0 && (size_t)source < nelems(names) ? names[source]
							      : names[0]);
}

/* Java prints null so. */
static struct slice
or_null(struct slice text)
{
	return (text.data == NULL ? SLICE_LITERAL("null") : text);
}

static void
text_config(const struct describe_configs_response_config *config,
    struct buffer *out)
{
	buffer_printf(out, "  %.*s=%.*s sensitive=%s synonyms={",
	    SLICE_ARGS(config->name), SLICE_ARGS(or_null(config->value)),
	    config->is_sensitive ? "true" : "false");
	for (int32_t i = 0; i < config->synonyms_count; i++)
		buffer_printf(out, "%s%s:%.*s=%.*s", i == 0 ? "" : ", ",
		    source_name(config->synonyms[i].source),
		    SLICE_ARGS(config->synonyms[i].name),
		    SLICE_ARGS(or_null(config->synonyms[i].value)));
	buffer_append_text(out, "}\n");
}

void
configs_text(const struct configs_entity *entity, bool all,
    const struct configs_found *found, struct buffer *out)
{
	if (entity->name.length == 0)
		buffer_printf(out,
		    "Default configs for %s in the cluster are:\n",
		    configs_kind_many(entity->kind));
	else
		buffer_printf(out, "%s configs for %s %.*s are:\n",
		    all ? "All" : "Dynamic", configs_kind_one(entity->kind),
		    SLICE_ARGS(entity->name));
	for (size_t i = 0; i < found->count; i++)
		text_config(found->items[i], out);
}

static void
json_config(struct json_out *json,
    const struct describe_configs_response_config *config)
{
	json_open(json, NULL, '{');
	json_text(json, "name", config->name);
	json_text(json, "value", config->value);
	json_bool(json, "sensitive", config->is_sensitive);
	json_bool(json, "readOnly", config->read_only);
	json_text(json, "source",
	    slice_of_text(source_name(config->config_source)));
	json_open(json, "synonyms", '[');
	for (int32_t i = 0; i < config->synonyms_count; i++) {
		json_open(json, NULL, '{');
		json_text(json, "source",
		    slice_of_text(source_name(config->synonyms[i].source)));
		json_text(json, "name", config->synonyms[i].name);
		json_text(json, "value", config->synonyms[i].value);
		json_close(json, '}');
	}
	json_close(json, ']');
	json_close(json, '}');
}

void
configs_json(const struct configs_entity *entity,
    const struct configs_found *found, struct json_out *json)
{
	json_open(json, NULL, '{');
	json_text(json, "entityType",
	    slice_of_text(configs_kind_many(entity->kind)));
	if (entity->name.length == 0)
		json_none(json, "entityName");
	else
		json_text(json, "entityName", entity->name);
	json_open(json, "configs", '[');
	for (size_t i = 0; i < found->count; i++)
		json_config(json, found->items[i]);
	json_close(json, ']');
	json_close(json, '}');
}

/* --- all of it ------------------------------------------------------------ */

struct entities {
	struct configs_entity *items;
	size_t count;
};

static int
entity_compare(const void *a, const void *b)
{
	const struct configs_entity *x = a;
	const struct configs_entity *y = b;

	return (slice_compare(x->name, y->name));
}

static void
entities_topics(struct client *client,
    const struct metadata_response *metadata, struct entities *out)
{
	out->items = arena_array(client_arena(client),
	    (size_t)metadata->topics_count + 1, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (int32_t i = 0; i < metadata->topics_count; i++)
		if (metadata->topics[i].name.length != 0)
			out->items[out->count++] = (struct configs_entity) {
				.kind = CONFIGS_TOPIC,
				.name = metadata->topics[i].name,
			};
	if (out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items),
		    entity_compare);
}

/* Every broker, and their default. */
static void
entities_brokers(struct client *client,
    const struct metadata_response *metadata, struct entities *out)
{
	struct arena *arena = client_arena(client);

	out->items = arena_array(arena, (size_t)metadata->brokers_count + 1,
	    sizeof(*out->items));
	CHECK(out->items != NULL);
	for (int32_t i = 0; i < metadata->brokers_count; i++)
		out->items[out->count++] = (struct configs_entity) {
			.kind = CONFIGS_BROKER,
			.name = slice_of_text(arena_printf(arena, "%d",
			    metadata->brokers[i].node_id)),
		};
	out->items[out->count++] = (struct configs_entity) {
		.kind = CONFIGS_BROKER,
		.name = SLICE_EMPTY,
	};
}

/* TOOL_OK, or said. */
static int
entities_find(struct tool *tool, struct client *client,
    const struct configs_entity *wanted, struct entities *out)
{
	struct metadata_response metadata;

	if (wanted->name.data != NULL) {
		out->items =
		    arena_alloc(client_arena(client), sizeof(*out->items));
		CHECK(out->items != NULL);
		out->items[out->count++] = *wanted;
		return (configs_broker_there(tool, client, wanted));
	}
	if ((wanted->kind == CONFIGS_TOPIC
		? client_metadata(client, &metadata)
		: client_brokers(client, &metadata)) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	if (wanted->kind == CONFIGS_TOPIC)
		entities_topics(client, &metadata, out);
	else
		entities_brokers(client, &metadata, out);
	return (TOOL_OK);
}

int
configs_describe(struct tool *tool, const struct args *args,
    struct client *client, const struct configs_entity *wanted)
{
	const bool all = args_has(args, "all");
	struct entities entities = { 0 };
	struct buffer out = BUFFER_EMPTY;
	struct configs_found found;
	struct progress progress;
	struct json_out json;
	int status = entities_find(tool, client, wanted, &entities);

	json_init(&json, &out);
	if (args_json(args)) {
		json_open(&json, NULL, '{');
		json_open(&json, "entities", '[');
	}
	progress_begin(&progress, tool, "entities asked", entities.count);
	for (size_t i = 0; status == TOOL_OK && i < entities.count; i++) {
		progress_step(&progress, i);
		status = configs_ask(tool, client, &entities.items[i], all,
		    &found);
		if (status != TOOL_OK)
			break;
		if (args_json(args))
			configs_json(&entities.items[i], &found, &json);
		else
			configs_text(&entities.items[i], all, &found, &out);
	}
	progress_end(&progress, entities.count);
	if (args_json(args)) {
		json_close(&json, ']');
		json_close(&json, '}');
		json_end(&json);
	}
	if (status == TOOL_OK)
		tool_print(tool, &out);
	buffer_fini(&out);
	return (status);
}
