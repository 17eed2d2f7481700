/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first half of an alteration, on the request's loop: what no look into
 * ZooKeeper is needed for.  In Kafka's order, and in its words.
 * Source: ConfigAdminManager, preprocess of 3.9.
 */
#include "api/config_alter.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void
alter_fail(struct alter *alter, struct alter_resource *resource,
    enum error error, const char *format, ...)
{
	char message[ALTER_ERROR_SIZE + 256];
	va_list arguments;

	resource->done = true;
	resource->error = error;
	resource->message = SLICE_NULL;
	if (format == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	/* Without memory the answer goes without words. */
	resource->message = slice_of_text(arena_strdup(
	    &alter->request->arena, message));
}

/* --- what appears twice --------------------------------------------------- */

struct seen {
	struct hash_node node;
	struct alter_resource *resource;
};

/* A broker's id may be written in many ways. */
static char *
resource_key(struct arena *arena, const struct alter_resource *resource)
{
	int32_t id;

	if (resource->type == RESOURCE_BROKER &&
	    text_to_int32(resource->name, &id))
		return (arena_printf(arena, "%d:%d", resource->type, (int)id));
	return (arena_printf(arena, "%d:%.*s", resource->type,
	    SLICE_ARGS(resource->name)));
}

/* False: the arena refused. */
static bool
check_unique(struct alter *alter)
{
	struct arena *arena = &alter->request->arena;
	struct seen *seen = arena_array(arena, alter->count, sizeof(*seen));
	struct hash by_key = { NULL };
	bool ok = seen != NULL;

	for (size_t i = 0; ok && i < alter->count; i++) {
		struct alter_resource *r = &alter->resources[i];
		char *key = resource_key(arena, r);
		struct hash_node *before;

		ok = key != NULL;
		if (!ok)
			break;
		before = hash_find(&by_key, key, strlen(key));
		if (before == NULL) {
			seen[i].resource = r;
			hash_insert(&by_key, &seen[i].node, key, strlen(key));
			continue;
		}
		alter_fail(alter, container_of(before, struct seen,
		    node)->resource, ERR_INVALID_REQUEST,
		    "Each resource must appear at most once.");
		alter_fail(alter, r, ERR_INVALID_REQUEST,
		    "Each resource must appear at most once.");
	}
	hash_clear(&by_key);
	return (ok);
}

static bool
has_duplicates(struct alter *alter, const struct alter_resource *resource)
{
	struct hash_node *nodes = arena_array(&alter->request->arena,
	    resource->count, sizeof(*nodes));
	struct hash names = { NULL };
	bool twice = nodes == NULL;

	for (size_t i = 0; i < resource->count && !twice; i++) {
		struct slice name = resource->changes[i].name;

		twice = hash_find(&names, name.data, name.length) != NULL;
		if (!twice)
			hash_insert(&names, &nodes[i], name.data, name.length);
	}
	hash_clear(&names);
	return (twice);
}

/* --- a resource alone ----------------------------------------------------- */

/* Names of values that are null, or "" if there is none. */
static const char *
null_names(struct alter *alter, const struct alter_resource *resource)
{
	struct buffer names = BUFFER_EMPTY;
	const char *text;

	for (size_t i = 0; i < resource->count; i++) {
		const struct config_change *change = &resource->changes[i];

		if (change->operation == ALTER_DELETE ||
		    change->value.data != NULL)
			continue;
		buffer_append_text(&names, names.length > 0 ? ", " : "");
		buffer_append_slice(&names, change->name);
	}
	text = arena_strdup(&alter->request->arena, buffer_text(&names));
	buffer_fini(&names);
	return (text == NULL ? "?" : text);
}

/* JSON holds nothing else. */
static bool
are_utf8(const struct alter_resource *resource)
{
	for (size_t i = 0; i < resource->count; i++)
		if (!text_is_utf8(resource->changes[i].name) ||
		    !text_is_utf8(resource->changes[i].value))
			return (false);
	return (true);
}

static void
check_changes(struct alter *alter, struct alter_resource *resource)
{
	const char *nulls;

	if (resource->count > CONFIG_ENTRIES_MAX) {
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "More than %d configs of one resource",
		    CONFIG_ENTRIES_MAX);
		return;
	}
	if (has_duplicates(alter, resource)) {
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Error due to duplicate config keys");
		return;
	}
	nulls = null_names(alter, resource);
	if (*nulls != '\0')
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Null value not supported for : %s", nulls);
	else if (!are_utf8(resource))
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "A config that is not UTF-8 cannot be kept");
}

/* False: said. */
static bool
check_node_id(struct alter *alter, struct alter_resource *resource)
{
	int32_t id, mine = alter->apis->setup.broker_id;

	if (!text_to_int32(resource->name, &id))
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Node id must be an integer, but it is: %.*s",
		    SLICE_ARGS(resource->name));
	else if (id == mine)
		return (true);
	else if (resource->type == RESOURCE_BROKER)
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Unexpected broker id, expected %d, but received %.*s",
		    (int)mine, SLICE_ARGS(resource->name));
	else /* Kafka names its own twice. */
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Unexpected node id. Expected %d, but received %d",
		    (int)mine, (int)mine);
	return (false);
}

static void
check_operations(struct alter *alter, struct alter_resource *resource)
{
	for (size_t i = 0; i < resource->count; i++) {
		int8_t operation = resource->changes[i].operation;

		if (operation >= ALTER_SET && operation <= ALTER_SUBTRACT)
			continue;
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Unknown operations type %d", operation);
		return;
	}
}

static void
check_resource(struct alter *alter, struct alter_resource *resource)
{
	check_changes(alter, resource);
	if (resource->done)
		return;
	switch (resource->type) {
	case RESOURCE_TOPIC:
		if (resource->name.length == 0)
			alter_fail(alter, resource, ERR_INVALID_REQUEST,
			    "Default topic resources are not allowed.");
		break;
	case RESOURCE_BROKER:
		if (resource->name.length == 0 ||
		    check_node_id(alter, resource))
			check_operations(alter, resource);
		break;
	case RESOURCE_CLIENT_METRICS:
		alter_fail(alter, resource, ERR_INVALID_REQUEST, "AlterConfigs "
		    "is only supported for topics and brokers, but resource "
		    "type is CLIENT_METRICS");
		break;
	case RESOURCE_BROKER_LOGGER:
		if (alter->incremental) {
			if (check_node_id(alter, resource))
				loggers_alter(alter, resource);
			break;
		}
		/* FALLTHROUGH */
	default:
		alter_fail(alter, resource, ERR_INVALID_REQUEST,
		    "Unknown resource type %d", resource->type);
		break;
	}
}

/* --- there and back ------------------------------------------------------- */

static void
alter_home(struct api_away *away)
{
	struct alter *alter = away->state;

	alter->answer(alter);
}

void
alter_run(struct alter *alter)
{
	struct apis *apis = alter->apis;
	const struct cluster_image *image = cluster_image(apis->setup.cluster);
	bool any = false;

	if (!check_unique(alter)) {
		api_refuse_memory(apis, alter->request);
		return;
	}
	for (size_t i = 0; i < alter->count; i++) {
		struct alter_resource *resource = &alter->resources[i];

		if (!resource->done)
			check_resource(alter, resource);
		resource->topic_known = resource->type == RESOURCE_TOPIC &&
		    image_topic(image, resource->name) != NULL;
		any |= !resource->done;
	}
	if (any)
		(void)api_go_away(apis, alter->request,
		    apis->setup.controller_loop, &(struct api_away){
			.first = alter_look,
			.home = alter_home,
			.state = alter,
		    });
	else
		alter->answer(alter);
}
