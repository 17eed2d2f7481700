/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `barnabas configs` share. */
#ifndef TOOLS_CONFIGS_H
#define TOOLS_CONFIGS_H

#include "config/map.h"
#include "tools/client.h"
#include "tools/tool.h"

/* The codes of DescribeConfigs. */
enum configs_kind {
	CONFIGS_TOPIC = 2,
	CONFIGS_BROKER = 4,
	CONFIGS_LOGGER = 8
};

/* Whose options; texts are argv's or an answer's. */
struct configs_entity {
	enum configs_kind kind;
	struct slice name; /* null: all of the kind; empty: brokers' default */
};

/* TOOL_OK, or said: which entity the options name, all rules looked at. */
int configs_entity_of(const struct tool *tool, const struct args *args,
    struct configs_entity *out);
/* "topics", "topic" */
const char *configs_kind_many(enum configs_kind kind);
const char *configs_kind_one(enum configs_kind kind);

/* "k1=v1,k2=[v2,v3]" into the map.  False: *why. */
bool configs_parse_added(const char *text, struct config_map *map,
    struct buffer *why);

/* The entity's options, by name; only those set for it alone unless `all`.
 * TOOL_OK, or said; the memory is the client's. */
struct configs_found {
	const struct describe_configs_response_config **items;
	size_t count;
};
int configs_ask(const struct tool *tool, struct client *client,
    const struct configs_entity *entity, bool all, struct configs_found *out);
/* Whether the broker that the entity names is there. TOOL_OK, or said. */
int configs_broker_there(const struct tool *tool, struct client *client,
    const struct configs_entity *entity);
/* Asks whom it concerns: that broker, else any. */
enum client_status configs_send(struct client *client,
    const struct configs_entity *entity, int api_key, const void *request,
    void *response);
/* "topic 'a'", "the default of brokers" */
void configs_entity_name(const struct configs_entity *entity,
    struct buffer *out);

/* As kafka-configs prints an entity, and in a list of JSON. */
void configs_text(const struct configs_entity *entity, bool all,
    const struct configs_found *found, struct buffer *out);
struct json_out;
void configs_json(const struct configs_entity *entity,
    const struct configs_found *found, struct json_out *json);

int configs_describe(struct tool *tool, const struct args *args,
    struct client *client, const struct configs_entity *entity);
int configs_alter(struct tool *tool, const struct args *args,
    struct client *client, const struct configs_entity *entity);

#endif
