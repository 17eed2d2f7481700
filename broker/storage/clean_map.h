/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cleaner's map: of each key, by a hash of 128 bits, the last offset.
 *
 *	part 0     part 1          part 63
 *	[entry]    [entry]   ...   [entry]     by the hash's first bits
 *	[  -  ]    [  -  ]         [entry]
 *	   ...        ...            ...       24 bytes each, linear probing
 *
 * Each part grows by itself, so that a map takes memory for the keys it has and
 * never more than its bound and a part.  The hash has a secret that is drawn
 * anew for each map: nobody can choose two keys that are one to it.
 */
#ifndef STORAGE_CLEAN_MAP_H
#define STORAGE_CLEAN_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/slice.h"

#define CLEAN_MAP_ENTRY 24

struct clean_map;
/* At most so many bytes, of which the share `load_factor` may be filled; room
 * for one key at the least. */
struct clean_map *clean_map_new(size_t limit_bytes, double load_factor,
    struct random *random);
void clean_map_free(struct clean_map **map);
/* False: it is full, and the key is new; nothing has changed. */
bool clean_map_put(struct clean_map *map, struct slice key, int64_t offset);
/* -1: no such key. */
int64_t clean_map_get(const struct clean_map *map, struct slice key);
size_t clean_map_count(const struct clean_map *map);
/* Of what it may have at most, 0 to 100. */
int clean_map_percent(const struct clean_map *map);
/* That it takes at the moment. */
size_t clean_map_bytes(const struct clean_map *map);

#endif
