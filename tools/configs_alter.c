/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas configs --alter.  Where Kafka's tool reads a broker's options,
 * changes them and writes all of them back, this one tells the broker what to
 * change: nobody else's change is undone, and secrets, which no broker tells,
 * need not be given again.
 */
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "tools/configs.h"
#include "tools/json_out.h"

enum { OPERATION_SET = 0, OPERATION_DELETE = 1 };

#define FORMAT_VERSION "message.format.version"

/* --- what is to be set ---------------------------------------------------- */

/* Not between brackets: the next bracket opens, or there is none. Commas and
 * equal signs there separate. */
static bool
outside_brackets(struct slice rest)
{
	for (size_t i = 0; i < rest.length; i++)
		if (rest.data[i] == '[' || rest.data[i] == ']')
			return (rest.data[i] == '[');
	return (true);
}

/* text_cut(), of separators outside of brackets. */
static struct slice
cut_outside(struct slice text, char separator, struct slice *rest)
{
	for (size_t i = 0; i < text.length; i++) {
		const struct slice behind =
		    slice_of(text.data + i + 1, text.length - i - 1);

		if (text.data[i] != separator || !outside_brackets(behind))
			continue;
		*rest = behind;
		return (slice_of(text.data, i));
	}
	*rest = SLICE_NULL;
	return (text);
}

static bool
name_good(struct slice name, struct buffer *why)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	for (size_t i = 0; i < name.length; i++)
		if (name.data[i] == '\0' ||
		    strchr(good, name.data[i]) == NULL) {
			buffer_printf(why, "\"%.*s\" is no name of an option",
			    SLICE_ARGS(name));
			return (false);
		}
	return (true);
}

static bool
pair_take(struct slice pair, struct config_map *map, struct buffer *why)
{
	struct buffer value = BUFFER_EMPTY;
	struct slice more;
	struct slice text;
	const struct slice name = text_trim(cut_outside(pair, '=', &text));
	bool good = text.data != NULL;

	if (good)
		(void)cut_outside(text, '=', &more);
	if (!good || more.data != NULL) {
		buffer_printf(why,
		    "--add-config wants name=value, with brackets around a "
		    "value that has commas or equal signs, not \"%.*s\"",
		    SLICE_ARGS(pair));
		return (false);
	}
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] != '[' && text.data[i] != ']')
			buffer_append(&value, &text.data[i], 1);
	good = name_good(name, why);
	if (good && !config_map_set(map, name,
		text_trim(buffer_slice(&value)), 0)) {
		buffer_append_text(why, "--add-config: that is too much");
		good = false;
	}
	buffer_fini(&value);
	return (good);
}

bool
configs_parse_added(const char *text, struct config_map *map,
    struct buffer *why)
{
	struct slice rest = slice_of_text(text);

	do {
		const struct slice pair = cut_outside(rest, ',', &rest);

		if (!pair_take(pair, map, why))
			return (false);
	} while (rest.length != 0); /* a comma may end it */
	return (true);
}

static int
added_read(const struct tool *tool, const struct args *args,
    struct config_map *map)
{
	const char *text = args_text(args, "add-config");
	const char *path = args_text(args, "add-config-file");
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (path != NULL && !client_read_properties(tool, path, map))
		return (TOOL_FAILED);
	if (text != NULL && !configs_parse_added(text, map, &why))
		status = tool_usage(tool, "%s", buffer_text(&why));
	CONFIG_MAP_EACH(entry, map)
		if (status == TOOL_OK &&
		    !name_good(slice_of_text(entry->name), &why))
			status = tool_fail(tool, "%s", buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

/* Kafka's tool warns so. */
static void
warn_of_format(const struct tool *tool, const struct args *args,
    const struct config_map *map)
{
	const char *value = config_map_get(map, FORMAT_VERSION);

	if (value != NULL && !args_json(args))
		fprintf(tool->out, "WARNING: The configuration %s=%s is "
		    "specified. This configuration will be ignored if the "
		    "version is newer than the inter.broker.protocol.version "
		    "specified in the broker or if the "
		    "inter.broker.protocol.version is 3.0 or newer. This "
		    "configuration is deprecated and it will be removed in "
		    "Apache Kafka 4.0.\n", FORMAT_VERSION, value);
}

/* --- what is to be deleted ------------------------------------------------ */

/* Walks the names of all --delete-config; NULL data: no more. */
struct deleted_walk {
	const struct args *args;
	size_t at;
	struct slice rest;
};

static struct slice
deleted_next(struct deleted_walk *walk)
{
	const char *text;

	if (walk->rest.data == NULL) {
		text = args_next(walk->args, "delete-config", &walk->at);
		if (text == NULL)
			return (SLICE_NULL);
		walk->rest = slice_of_text(text);
	}
	return (text_trim(text_cut(walk->rest, ',', &walk->rest)));
}

static bool
found_holds(const struct configs_found *found, struct slice name)
{
	for (size_t i = 0; i < found->count; i++)
		if (slice_equal(found->items[i]->name, name))
			return (true);
	return (false);
}

/* What is not set cannot be deleted; a logger that is not there, not set. */
static int
changes_check(const struct tool *tool, const struct args *args,
    const struct configs_entity *entity, const struct config_map *added,
    const struct configs_found *found)
{
	struct deleted_walk walk = { .args = args, .rest = SLICE_NULL };
	struct buffer names = BUFFER_EMPTY;
	struct slice name;
	int status = TOOL_OK;

	while ((name = deleted_next(&walk)).data != NULL)
		if (!found_holds(found, name))
			buffer_printf(&names, "%s%.*s",
			    names.length == 0 ? "" : ",", SLICE_ARGS(name));
	if (entity->kind == CONFIGS_LOGGER)
		CONFIG_MAP_EACH(entry, added)
			if (!found_holds(found, slice_of_text(entry->name)))
				buffer_printf(&names, "%s%s",
				    names.length == 0 ? "" : ",", entry->name);
	if (names.length != 0)
		status = tool_fail(tool, entity->kind == CONFIGS_LOGGER
			? "Invalid broker logger(s): %s; --describe shows "
			  "those that are there"
			: "Invalid config(s): %s; --describe shows those that "
			  "are set",
		    buffer_text(&names));
	buffer_fini(&names);
	return (status);
}

/* --- the change ----------------------------------------------------------- */

static void
alter_request(struct client *client, const struct args *args,
    const struct configs_entity *entity, const struct config_map *added,
    struct incremental_alter_configs_request *request)
{
	struct deleted_walk walk = { .args = args, .rest = SLICE_NULL };
	struct incremental_alter_configs_request_resource *resource;
	struct incremental_alter_configs_request_config *config;
	size_t count = config_map_count(added);
	struct slice name;

	while (deleted_next(&walk).data != NULL)
		count++;
	wire_init(&message_incremental_alter_configs_request, request);
	resource = wire_array(client_arena(client),
	    incremental_alter_configs_request_resource_schema(), 1);
	CHECK(resource != NULL);
	request->resources = resource;
	request->resources_count = 1;
	resource->resource_type = (int8_t)entity->kind;
	resource->resource_name = entity->name;
	resource->configs = wire_array(client_arena(client),
	    incremental_alter_configs_request_config_schema(), count);
	CHECK(resource->configs != NULL);
	CONFIG_MAP_EACH(entry, added) {
		config = &resource->configs[resource->configs_count++];
		config->name = slice_of_text(entry->name);
		config->config_operation = OPERATION_SET;
		config->value = slice_of_text(entry->value);
	}
	walk = (struct deleted_walk) { .args = args, .rest = SLICE_NULL };
	while ((name = deleted_next(&walk)).data != NULL) {
		config = &resource->configs[resource->configs_count++];
		config->name = name;
		config->config_operation = OPERATION_DELETE;
		config->value = SLICE_EMPTY;
	}
}

static const char *
alter_advice(int error)
{
	switch (error) {
	case ERR_INVALID_CONFIG:
		return ("; correct the option");
	case ERR_INVALID_REQUEST:
		return ("; see barnabas.properties(5) for what can be set "
			"while a broker runs");
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
		return ("; barnabas topics --list shows the topics");
	case ERR_TOPIC_AUTHORIZATION_FAILED:
	case ERR_CLUSTER_AUTHORIZATION_FAILED:
		return ("; this user may not do that");
	default:
		return ("; the brokers' logs may say more");
	}
}

static int
alter_end(const struct tool *tool, const struct configs_entity *entity,
    const struct incremental_alter_configs_response *response)
{
	const struct incremental_alter_configs_response_resource *answer =
	    response->responses;
	struct buffer name = BUFFER_EMPTY;
	int status = TOOL_OK;

	configs_entity_name(entity, &name);
	if (response->responses_count != 1)
		status = tool_fail(tool, "%s: the broker's answer is about %d "
					 "entities instead of one",
		    buffer_text(&name), response->responses_count);
	else if (answer->error_code != ERR_NONE)
		status = tool_fail(tool, "%s: %s%s%.*s%s", buffer_text(&name),
		    error_name(answer->error_code),
		    answer->error_message.length != 0 ? ": " : "",
		    SLICE_ARGS(answer->error_message),
		    alter_advice(answer->error_code));
	buffer_fini(&name);
	return (status);
}

static void
alter_print(const struct tool *tool, const struct args *args,
    const struct configs_entity *entity)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_text(&json, "entityType",
		    slice_of_text(configs_kind_many(entity->kind)));
		if (entity->name.length == 0)
			json_none(&json, "entityName");
		else
			json_text(&json, "entityName", entity->name);
		json_bool(&json, "altered", true);
		json_close(&json, '}');
		json_end(&json);
	} else if (entity->name.length == 0) {
		buffer_printf(&out, "Completed updating default config for %s "
				    "in the cluster.\n",
		    configs_kind_many(entity->kind));
	} else {
		buffer_printf(&out,
		    "Completed updating config for %s %.*s.\n",
		    configs_kind_one(entity->kind), SLICE_ARGS(entity->name));
	}
	tool_print(tool, &out);
	buffer_fini(&out);
}

static int
alter_send(struct tool *tool, const struct args *args, struct client *client,
    const struct configs_entity *entity, const struct config_map *added)
{
	struct incremental_alter_configs_request request;
	struct incremental_alter_configs_response response;
	struct configs_found found;
	int status = configs_broker_there(tool, client, entity);

	if (status == TOOL_OK)
		status = configs_ask(tool, client, entity, false, &found);
	if (status == TOOL_OK)
		status = changes_check(tool, args, entity, added, &found);
	if (status != TOOL_OK)
		return (status);
	alter_request(client, args, entity, added, &request);
	if (configs_send(client, entity, API_INCREMENTAL_ALTER_CONFIGS,
		&request, &response) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	return (alter_end(tool, entity, &response));
}

int
configs_alter(struct tool *tool, const struct args *args,
    struct client *client, const struct configs_entity *entity)
{
	struct config_map added;
	int status;

	config_map_init(&added);
	status = added_read(tool, args, &added);
	if (status == TOOL_OK) {
		warn_of_format(tool, args, &added);
		status = alter_send(tool, args, client, entity, &added);
	}
	if (status == TOOL_OK)
		alter_print(tool, args, entity);
	config_map_fini(&added);
	return (status);
}
