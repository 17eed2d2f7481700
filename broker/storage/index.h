/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two indexes of a segment, as Kafka writes them:
 *
 *	.index      8 bytes  {int32 offset - base; int32 position}
 *	.timeindex 12 bytes  {int64 timestamp; int32 offset - base}
 *
 * The active segment's entries are in memory, from where they go to the file in
 * runs; those of others stay on disk and are read in pages through a cache of a
 * fixed size.  Files are never mapped and never longer than their entries.
 * Entries in memory are guarded by the log's lock; files by its writer lock.
 */
#ifndef STORAGE_INDEX_H
#define STORAGE_INDEX_H

#include "base/buffer.h"
#include "base/lock.h"
#include "storage/file.h"

enum index_kind { INDEX_OFFSETS, INDEX_TIMES };
#define INDEX_KIND_COUNT 2
#define INDEX_ENTRY_MAX 12

struct index_entry {
	int64_t offset;       /* absolute */
	int64_t position;     /* INDEX_OFFSETS */
	int64_t timestamp_ms; /* INDEX_TIMES */
};

struct index {
	struct buffer entries; /* all of them, when in_memory */
	uint64_t segment_id;   /* names its pages in the cache */
	int64_t base_offset;
	uint32_t count;
	uint32_t written;      /* of which the file has */
	enum index_kind kind;
	bool in_memory;
	bool differs;  /* from the file: it lacks entries, or is not there */
	bool unsynced; /* the file has entries that were not synced */
};

const char *index_suffix(enum index_kind kind);
size_t index_entry_size(enum index_kind kind);

/* Empty, in memory. */
void index_init(struct index *index, enum index_kind kind,
    uint64_t segment_id, int64_t base_offset);
void index_fini(struct index *index);
/* From the file that `path` (without suffix) names: how many entries it has.
 * -1: errno; ENOENT among others; EILSEQ: its size is none of whole entries. */
int index_open(struct index *index, struct files *files, const char *path);
/* Brings all entries into memory. -1: errno. */
int index_load(struct index *index, struct files *files, const char *path);
/* Lets go of the memory; everything must have been written. */
void index_unload(struct index *index);
/* In memory only. False: the offset does not go behind the last one, or is
 * beyond what 32 bits hold. */
bool index_add(struct index *index, const struct index_entry *entry);
/* Drops entries from slot `count` on. */
void index_cut(struct index *index, uint32_t count);
/* Whether entries in memory are in order. */
bool index_ascends(const struct index *index);
/* Whether the file has these very entries already, and no others. */
bool index_matches(const struct index *index, struct files *files,
    const char *path);
/* Writes what the file lacks and cuts off what it has too much; a file that has
 * it all is left alone. */
int index_write(struct index *index, struct files *files, const char *path,
    bool sync);

/* --- looking -------------------------------------------------------------- */

struct index_cache;
struct index_cache *index_cache_new(void);
void index_cache_free(struct index_cache *cache);

/* What a reader may take along, out of the lock, of an index that is not in
 * memory; `written` is the writer's alone. */
static inline struct index
index_view(const struct index *index)
{
	return ((struct index){
	    .entries = index->entries,
	    .segment_id = index->segment_id,
	    .base_offset = index->base_offset,
	    .count = index->count,
	    .kind = index->kind,
	    .in_memory = index->in_memory,
	});
}
/* Entry `slot`. Without memory it reads; `index` may be an index_view(), taken
 * under the lock. False: the file would not tell, or (files NULL) it is not in
 * the cache. */
bool index_get(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, uint32_t slot,
    struct index_entry *out);
/* The last entry whose offset (of INDEX_TIMES: timestamp) is <= target; *out
 * stays where there is none. False: an entry on the way could not be had, and
 * *out may be an earlier one. */
bool index_lookup(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, int64_t target,
    struct index_entry *out);
/* Of INDEX_OFFSETS: the first entry whose position is >= the one given; but the
 * index's very first one only when it is >, as Kafka 3.9 finds them. */
bool index_lookup_position(const struct index *index,
    struct index_cache *cache, struct files *files, const char *path,
    int64_t position, struct index_entry *out);

#endif
