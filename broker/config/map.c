/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of names to values; see map.h. */
#include "config/map.h"

#include "base/mem.h"
#include "base/text.h"

/* Room for the copies, which are bounded, and for the entries. */
#define MAP_ARENA_BYTES (4 * CONFIG_TEXT_BYTES_MAX)

void
config_map_init(struct config_map *map)
{
	*map = (struct config_map){ 0 };
	arena_init(&map->arena, MAP_ARENA_BYTES);
}

void
config_map_fini(struct config_map *map)
{
	hash_clear(&map->hash);
	arena_fini(&map->arena);
}

static struct config_entry *
map_entry_new(struct config_map *map, struct slice name)
{
	struct config_entry *entry;

	if (hash_count(&map->hash) >= CONFIG_ENTRIES_MAX)
		return (NULL);
	entry = arena_zalloc(&map->arena, sizeof(*entry));
	if (entry == NULL)
		return (NULL);
	entry->name = arena_slice_text(&map->arena, name);
	if (entry->name == NULL)
		return (NULL);
	hash_insert(&map->hash, &entry->node, entry->name, name.length);
	return (entry);
}

bool
config_map_set(struct config_map *map, struct slice name, struct slice value,
    int line)
{
	return (config_map_put(map, name, text_trim(value), line));
}

bool
config_map_put(struct config_map *map, struct slice name, struct slice value,
    int line)
{
	struct hash_node *node;
	struct config_entry *entry;
	const char *copy;

	map->bytes += name.length + value.length;
	if (map->bytes > CONFIG_TEXT_BYTES_MAX ||
	    (name.length > 0 && memchr(name.data, 0, name.length) != NULL) ||
	    (value.length > 0 && memchr(value.data, 0, value.length) != NULL))
		return (false);
	copy = arena_slice_text(&map->arena, value);
	if (copy == NULL)
		return (false);
	node = hash_find(&map->hash, name.data, name.length);
	entry = (struct config_entry *)(void *)node;
	if (entry == NULL)
		entry = map_entry_new(map, name);
	if (entry == NULL)
		return (false);
	entry->value = copy;
	entry->line = line;
	return (true);
}

bool
config_map_set_text(struct config_map *map, const char *name,
    const char *value)
{
	return (config_map_set(map, slice_of_text(name), slice_of_text(value),
	    0));
}

bool
config_map_merge(struct config_map *map, const struct config_map *from)
{
	CONFIG_MAP_EACH(entry, from)
		if (!config_map_put(map, slice_of_text(entry->name),
			slice_of_text(entry->value), entry->line))
			return (false);
	return (true);
}

const struct config_entry *
config_map_find(const struct config_map *map, const char *name)
{
	if (map == NULL)
		return (NULL);
	return ((const struct config_entry *)(void *)hash_find(&map->hash, name,
	    strlen(name)));
}

const char *
config_map_get(const struct config_map *map, const char *name)
{
	const struct config_entry *entry = config_map_find(map, name);

	return (entry != NULL ? entry->value : NULL);
}

size_t
config_map_count(const struct config_map *map)
{
	return (hash_count(&map->hash));
}

bool
config_map_same(const struct config_map *a, const struct config_map *b)
{
	if (config_map_count(a) != config_map_count(b))
		return (false);
	CONFIG_MAP_EACH(entry, a) {
		const char *other = config_map_get(b, entry->name);

		if (other == NULL || strcmp(other, entry->value) != 0)
			return (false);
	}
	return (true);
}
