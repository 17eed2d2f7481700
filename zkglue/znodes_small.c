/* SPDX-License-Identifier: Apache-2.0 */
/* The small nodes: ids, epochs, configs, notifications. */
#include "zkglue/znodes.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/text.h"
#include "config/map.h"
#include "zkglue/znodes_json_int.h"

/* --- /cluster/id ---------------------------------------------------------- */

/* The version is a text, alone among all nodes. */
void
znode_cluster_id_encode(const char *id, struct buffer *out)
{
	buffer_append_text(out, "{\"version\":\"1\",\"id\":");
	znode_put_string(out, id);
	buffer_append_text(out, "}");
}

bool
znode_cluster_id_decode(struct slice json, struct arena *arena,
    const char **out)
{
	json_t *object = znode_json_open(json);
	bool ok = object != NULL && znode_json_text(object, "id", arena, out);

	json_decref(object);
	return (ok);
}

/* --- /controller_epoch ---------------------------------------------------- */

void
znode_epoch_encode(int32_t epoch, struct buffer *out)
{
	buffer_printf(out, "%" PRId32, epoch);
}

bool
znode_epoch_decode(struct slice text, int32_t *out)
{
	return (text.data != NULL && text_to_int32(text, out));
}

/* --- /config/TYPE/NAME ---------------------------------------------------- */

void
znode_config_encode(const struct znode_config *config, struct buffer *out)
{
	buffer_append_text(out, "{\"version\":1,\"config\":{");
	for (size_t i = 0; i < config->entry_count; i++) {
		if (i > 0)
			buffer_append_text(out, ",");
		znode_put_string(out, config->entries[i].name);
		buffer_append_text(out, ":");
		znode_put_string(out, config->entries[i].value);
	}
	buffer_append_text(out, "}}");
}

void
znode_config_encode_map(const struct config_map *map, struct buffer *out)
{
	struct znode_config config = { .entry_count = 0 };

	config.entries = mem_zalloc((config_map_count(map) + 1) *
	    sizeof(*config.entries));
	CONFIG_MAP_EACH(entry, map)
		config.entries[config.entry_count++] =
		    (struct znode_config_entry){ entry->name, entry->value };
	znode_config_encode(&config, out);
	mem_free(config.entries);
}

static bool
entries_read(json_t *map, struct arena *arena, struct znode_config *out)
{
	struct znode_config_entry *entry;
	const char *name;
	json_t *value;

	if (!json_is_object(map))
		return (false);
	entry = arena_array(arena, json_object_size(map), sizeof(*entry));
	if (entry == NULL)
		return (false);
	out->entries = entry;
	json_object_foreach(map, name, value) {
		if (!json_is_string(value))
			return (false);
		entry->name = arena_strdup(arena, name);
		entry->value = arena_strdup(arena, json_string_value(value));
		if (entry->name == NULL || entry->value == NULL)
			return (false);
		entry++;
		out->entry_count++;
	}
	return (true);
}

bool
znode_config_decode(struct slice json, struct arena *arena,
    struct znode_config *out)
{
	json_t *object = znode_json_open(json), *map;
	bool ok;

	*out = (struct znode_config){ .entry_count = 0 };
	map = json_object_get(object, "config");
	ok = json.length == 0 ||
	    (object != NULL && (json_is_null(map) || map == NULL ||
		entries_read(map, arena, out)));
	json_decref(object);
	return (ok);
}

bool
znode_config_decode_map(struct slice json, struct config_map *map)
{
	struct znode_config config;
	struct arena arena;
	bool ok;

	arena_init(&arena, 0);
	ok = znode_config_decode(json, &arena, &config);
	for (size_t i = 0; ok && i < config.entry_count; i++)
		ok = config_map_put(map, slice_of_text(config.entries[i].name),
		    slice_of_text(config.entries[i].value), 0);
	arena_fini(&arena);
	return (ok);
}

/* --- /config/changes ------------------------------------------------------ */

void
znode_config_change_encode(const char *entity_path, struct buffer *out)
{
	buffer_append_text(out, "{\"version\":2,\"entity_path\":");
	znode_put_string(out, entity_path);
	buffer_append_text(out, "}");
}

/* Version 1 came with two kinds of entity only. */
static bool
change_read_v1(const json_t *object, struct arena *arena, const char **out)
{
	const char *type;
	const char *name;

	if (!znode_json_text(object, "entity_type", arena, &type) ||
	    !znode_json_text(object, "entity_name", arena, &name) ||
	    (strcmp(type, "topics") != 0 && strcmp(type, "clients") != 0))
		return (false);
	*out = znode_join(arena, type, name);
	return (*out != NULL);
}

bool
znode_config_change_decode(struct slice json, struct arena *arena,
    const char **entity_path)
{
	json_t *object = znode_json_open(json);
	int32_t version;
	bool ok = false;

	if (object != NULL && znode_json_int32(object, "version", &version)) {
		if (version == 1)
			ok = change_read_v1(object, arena, entity_path);
		else if (version == 2)
			ok = znode_json_text(object, "entity_path", arena,
			    entity_path);
	}
	json_decref(object);
	return (ok);
}

/* --- /latest_producer_id_block -------------------------------------------- */

void
znode_producer_ids_encode(const struct znode_producer_ids *block,
    struct buffer *out)
{
	buffer_printf(out,
	    "{\"version\":1,\"broker\":%" PRId32 ",\"block_start\":\"%" PRId64
	    "\",\"block_end\":\"%" PRId64 "\"}",
	    block->broker_id, block->first, block->last);
}

bool
znode_producer_ids_decode(struct slice json, struct znode_producer_ids *out)
{
	json_t *object = znode_json_open(json);
	bool ok = object != NULL &&
	    znode_json_int32(object, "broker", &out->broker_id) &&
	    znode_json_int64(object, "block_start", &out->first) &&
	    znode_json_int64(object, "block_end", &out->last);

	json_decref(object);
	return (ok);
}

/* --- /feature ------------------------------------------------------------- */

void
znode_feature_encode(const struct znode_feature *feature, struct buffer *out)
{
	buffer_printf(out,
	    "{\"features\":{},\"version\":%" PRId32 ",\"status\":%d}",
	    feature->version, feature->enabled ? 1 : 0);
}

bool
znode_feature_decode(struct slice json, struct znode_feature *out)
{
	json_t *object = znode_json_open(json);
	const json_t *features = json_object_get(object, "features");
	int32_t status = -1;
	bool ok;

	*out = (struct znode_feature){ .enabled = false };
	ok = object != NULL &&
	    znode_json_int32(object, "version", &out->version) &&
	    znode_json_int32(object, "status", &status) &&
	    (status == 0 || status == 1) &&
	    (features == NULL || json_is_object(features));
	out->enabled = status == 1;
	out->feature_count = json_object_size(features);
	json_decref(object);
	return (ok);
}

/* --- /log_dir_event_notification ------------------------------------------ */

/* Event 1, the only one: a log dir failed. */
void
znode_log_dir_event_encode(int32_t broker_id, struct buffer *out)
{
	buffer_printf(out,
	    "{\"version\":1,\"broker\":%" PRId32 ",\"event\":1}", broker_id);
}

bool
znode_log_dir_event_decode(struct slice json, int32_t *broker_id)
{
	json_t *object = znode_json_open(json);
	bool ok = object != NULL &&
	    znode_json_int32(object, "broker", broker_id);

	json_decref(object);
	return (ok);
}
