/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/clean_map.h"

#include <xxhash.h>

#include "base/check.h"
#include "base/mem.h"

#define PARTS 64
#define PART_BITS 6
#define SECRET_SIZE 192
#define SLOTS_FIRST 64
/* A part that may still grow is filled so far, of ten. */
#define GROWS_FROM 7

struct entry {
	uint64_t high;
	uint64_t low;
	int64_t offset; /* + 1; 0: empty */
};
struct part {
	struct entry *entries;
	size_t slots;
	size_t count;
};
struct clean_map {
	struct part parts[PARTS];
	size_t slots_max; /* of a part */
	size_t count;
	size_t count_max;
	uint8_t secret[SECRET_SIZE];
};

struct clean_map *
clean_map_new(size_t limit_bytes, double load_factor, struct random *random)
{
	struct clean_map *map = mem_zalloc(sizeof(*map));
	size_t slots = limit_bytes / CLEAN_MAP_ENTRY / PARTS;
	double most;

	/* One place of a part stays empty, and 32 bits number the others. */
	map->slots_max = slots < 2 ? 2 : slots > UINT32_MAX ? UINT32_MAX :
							      slots;
	most = (double)(map->slots_max * PARTS) * load_factor;
	map->count_max = most < 1 ? 1 :
	    most > (double)((map->slots_max - 1) * PARTS) ?
		(map->slots_max - 1) * PARTS : (size_t)most;
	random_bytes(random, map->secret, sizeof(map->secret));
	return (map);
}

void
clean_map_free(struct clean_map **map)
{
	if (*map == NULL)
		return;
	for (int i = 0; i < PARTS; i++)
		mem_free((*map)->parts[i].entries);
	mem_free(*map);
	*map = NULL;
}

static size_t
slot_of(const struct part *part, uint64_t low)
{
	return ((size_t)((low >> 32) * part->slots >> 32));
}

/* That of the key, or the empty one where it would be. */
static struct entry *
part_find(const struct part *part, uint64_t high, uint64_t low)
{
	size_t slot = slot_of(part, low);

	for (;;) {
		struct entry *entry = &part->entries[slot];

		if (entry->offset == 0 ||
		    (entry->high == high && entry->low == low))
			return (entry);
		if (++slot == part->slots)
			slot = 0;
	}
}

/* By half, as far as it may. */
static void
part_grow(struct part *part, size_t slots_max)
{
	struct part before = *part;

	part->slots = before.slots == 0 ? SLOTS_FIRST :
	    before.slots + before.slots / 2;
	if (part->slots > slots_max)
		part->slots = slots_max;
	part->entries = mem_zalloc(part->slots * sizeof(*part->entries));
	for (size_t i = 0; i < before.slots; i++)
		if (before.entries[i].offset != 0)
			*part_find(part, before.entries[i].high,
			    before.entries[i].low) = before.entries[i];
	mem_free(before.entries);
}

static XXH128_hash_t
hash_of(const struct clean_map *map, struct slice key)
{
	return (XXH3_128bits_withSecret(key.data, key.length, map->secret,
	    sizeof(map->secret)));
}

bool
clean_map_put(struct clean_map *map, struct slice key, int64_t offset)
{
	XXH128_hash_t hash = hash_of(map, key);
	struct part *part = &map->parts[hash.high64 >> (64 - PART_BITS)];
	struct entry *entry;

	CHECK(offset >= 0);
	if (part->count * 10 >= part->slots * GROWS_FROM &&
	    part->slots < map->slots_max)
		part_grow(part, map->slots_max);
	entry = part_find(part, hash.high64, hash.low64);
	if (entry->offset == 0) {
		if (map->count >= map->count_max ||
		    part->count + 1 >= part->slots)
			return (false);
		part->count++;
		map->count++;
		entry->high = hash.high64;
		entry->low = hash.low64;
	}
	entry->offset = offset + 1;
	return (true);
}

int64_t
clean_map_get(const struct clean_map *map, struct slice key)
{
	XXH128_hash_t hash = hash_of(map, key);
	const struct part *part = &map->parts[hash.high64 >> (64 - PART_BITS)];

	if (part->slots == 0)
		return (-1);
	return (part_find(part, hash.high64, hash.low64)->offset - 1);
}

size_t
clean_map_count(const struct clean_map *map)
{
	return (map->count);
}

int
clean_map_percent(const struct clean_map *map)
{
	return ((int)(100 * map->count / (map->slots_max * PARTS)));
}

size_t
clean_map_bytes(const struct clean_map *map)
{
	size_t bytes = sizeof(*map);

	for (int i = 0; i < PARTS; i++)
		bytes += map->parts[i].slots * sizeof(struct entry);
	return (bytes);
}
