/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map of names to values, in the order in which the names came: what a
 * properties file holds, or a topic's overrides in ZooKeeper.  It owns copies
 * of both.  Values are kept without blanks at their ends, as Kafka reads them.
 */
#ifndef CONFIG_MAP_H
#define CONFIG_MAP_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/slice.h"

/* More names, or a longer text, are refused. */
#define CONFIG_ENTRIES_MAX 4096
#define CONFIG_TEXT_BYTES_MAX ((size_t)1 << 20)

struct config_entry {
	struct hash_node node; /* first */
	const char *name;
	const char *value;
	int line; /* where it stood, 0: not in a file */
};

struct config_map {
	struct hash hash;
	struct arena arena;
	size_t bytes;
};

void config_map_init(struct config_map *map);
void config_map_fini(struct config_map *map);
/* A later value takes the place of an earlier one.  False: the map is full, or
 * name or value holds a NUL. */
bool config_map_set(struct config_map *map, struct slice name,
    struct slice value, int line);
/* The same with the value's blanks at both ends kept. */
bool config_map_put(struct config_map *map, struct slice name,
    struct slice value, int line);
bool config_map_set_text(struct config_map *map, const char *name,
    const char *value);
/* All entries of `from`. */
bool config_map_merge(struct config_map *map, const struct config_map *from);
/* NULL when there is none; `map` NULL is an empty map. */
const struct config_entry *config_map_find(const struct config_map *map,
    const char *name);
const char *config_map_get(const struct config_map *map, const char *name);
size_t config_map_count(const struct config_map *map);
/* The same values under the same names. */
bool config_map_same(const struct config_map *a, const struct config_map *b);

#define CONFIG_MAP_EACH(entry, map)                                           \
	for (const struct config_entry *entry =                               \
		 (const struct config_entry *)(const void *)(map)->hash.first; \
	     entry != NULL;                                                   \
	     entry = (const struct config_entry *)entry->node.hh.next)

#endif
