/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/index.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"

/* A multiple of both entry sizes. */
#define PAGE_SIZE 4080
#define CACHE_SLOTS 256

struct cache_slot {
	uint64_t segment_id;
	uint32_t page;
	uint32_t size; /* 0: nothing here */
	enum index_kind kind;
	uint8_t *bytes;
};

struct index_cache {
	struct lock lock;
	struct cache_slot slots[CACHE_SLOTS];
};

const char *
index_suffix(enum index_kind kind)
{
	return (kind == INDEX_OFFSETS ? ".index" : ".timeindex");
}

size_t
index_entry_size(enum index_kind kind)
{
	return (kind == INDEX_OFFSETS ? 8 : 12);
}

static void
index_path(enum index_kind kind, const char *path, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s%s", path, index_suffix(kind));
}

static void
entry_decode(const struct index *index, const uint8_t *at,
    struct index_entry *out)
{
	*out = (struct index_entry){ .timestamp_ms = -1, .position = -1 };
	if (index->kind == INDEX_OFFSETS) {
		out->offset = index->base_offset + bytes_get_i32(at);
		out->position = bytes_get_i32(at + 4);
	} else {
		out->timestamp_ms = bytes_get_i64(at);
		out->offset = index->base_offset + bytes_get_i32(at + 8);
	}
}

void
index_init(struct index *index, enum index_kind kind, uint64_t segment_id,
    int64_t base_offset)
{
	*index = (struct index){
		.kind = kind,
		.segment_id = segment_id,
		.base_offset = base_offset,
		.in_memory = true,
		.differs = true,
	};
}

void
index_fini(struct index *index)
{
	buffer_fini(&index->entries);
}

int
index_open(struct index *index, struct files *files, const char *path)
{
	char name[PATH_MAX];
	struct file_info info;

	index_path(index->kind, path, name);
	if (files->ops->stat(files, name, &info) != 0)
		return (-1);
	if (info.size_bytes > INT32_MAX) {
		errno = EFBIG;
		return (-1);
	}
	index->count = (uint32_t)(info.size_bytes /
	    (int64_t)index_entry_size(index->kind));
	index->written = index->count;
	index->in_memory = false;
	index->differs = false;
	/* Whole entries only. */
	if (info.size_bytes % (int64_t)index_entry_size(index->kind) == 0)
		return (0);
	errno = EILSEQ;
	return (-1);
}

int
index_load(struct index *index, struct files *files, const char *path)
{
	char name[PATH_MAX];
	void *bytes;
	size_t size;

	CHECK(!index->in_memory);
	index->in_memory = index->count == 0;
	if (index->in_memory)
		return (0);
	index_path(index->kind, path, name);
	if (file_load(files, name, INT32_MAX, &bytes, &size) != 0)
		return (-1);
	index->count = (uint32_t)(size / index_entry_size(index->kind));
	index->written = index->count;
	index->entries = BUFFER_EMPTY;
	buffer_append(&index->entries, bytes,
	    index->count * index_entry_size(index->kind));
	index->in_memory = true;
	mem_free(bytes);
	return (0);
}

void
index_unload(struct index *index)
{
	CHECK(index->written == index->count);
	buffer_fini(&index->entries);
	index->entries = BUFFER_EMPTY;
	index->in_memory = false;
}

bool
index_add(struct index *index, const struct index_entry *entry)
{
	size_t size = index_entry_size(index->kind);
	int64_t relative = entry->offset - index->base_offset;
	struct index_entry last;
	uint8_t *at;

	CHECK(index->in_memory);
	if (relative < 0 || relative > INT32_MAX)
		return (false);
	if (index->count > 0) {
		entry_decode(index,
		    index->entries.data + (index->count - 1) * size, &last);
		if (index->kind == INDEX_OFFSETS
			? entry->offset <= last.offset
			: entry->timestamp_ms <= last.timestamp_ms ||
			    entry->offset < last.offset)
			return (false);
	}
	at = buffer_extend(&index->entries, size);
	if (index->kind == INDEX_OFFSETS) {
		bytes_put_i32(at, (int32_t)relative);
		bytes_put_i32(at + 4, (int32_t)entry->position);
	} else {
		bytes_put_i64(at, entry->timestamp_ms);
		bytes_put_i32(at + 8, (int32_t)relative);
	}
	index->count++;
	index->differs = true;
	return (true);
}

void
index_cut(struct index *index, uint32_t count)
{
	CHECK(index->in_memory && count <= index->count);
	index->differs = index->differs || count < index->count;
	index->count = count;
	index->entries.length = count * index_entry_size(index->kind);
	if (index->written > count)
		index->written = count;
}

bool
index_ascends(const struct index *index)
{
	size_t size = index_entry_size(index->kind);
	struct index_entry before = { .offset = index->base_offset - 1,
		.timestamp_ms = INT64_MIN, .position = -1 };

	CHECK(index->in_memory);
	for (uint32_t i = 0; i < index->count; i++) {
		struct index_entry entry;

		entry_decode(index, index->entries.data + i * size, &entry);
		if (index->kind == INDEX_OFFSETS
			? entry.offset <= before.offset ||
			    entry.position <= before.position
			: entry.offset < before.offset ||
			    entry.timestamp_ms <= before.timestamp_ms)
			return (false);
		before = entry;
	}
	return (true);
}

bool
index_matches(const struct index *index, struct files *files, const char *path)
{
	size_t length = index->count * index_entry_size(index->kind);
	char name[PATH_MAX];
	struct file_info info;
	void *bytes;
	size_t size;
	bool same;

	index_path(index->kind, path, name);
	if (files->ops->stat(files, name, &info) != 0 ||
	    info.size_bytes != (int64_t)length)
		return (false);
	if (length == 0)
		return (true);
	if (file_load(files, name, length, &bytes, &size) != 0)
		return (false);
	same = size == length &&
	    memcmp(bytes, index->entries.data, length) == 0;
	mem_free(bytes);
	return (same);
}

int
index_write(struct index *index, struct files *files, const char *path,
    bool sync)
{
	size_t size = index_entry_size(index->kind);
	char name[PATH_MAX];
	struct iovec part;
	int descriptor;
	int answer = -1;
	int error;

	CHECK(index->in_memory);
	if (!index->differs && !(sync && index->unsynced))
		return (0);
	index_path(index->kind, path, name);
	descriptor = files->ops->open(files, name,
	    O_WRONLY | O_CREAT | (index->written == 0 ? O_TRUNC : 0), 0644);
	if (descriptor < 0)
		return (-1);
	part.iov_base = index->entries.data == NULL
	    ? NULL
	    : index->entries.data + index->written * size;
	part.iov_len = (index->count - index->written) * size;
	if (file_write_full(files, descriptor, &part, 1,
		(int64_t)(index->written * size)) != 0 ||
	    (index->written > 0 &&
		files->ops->truncate(files, descriptor,
		    (int64_t)(index->count * size)) != 0) ||
	    (sync && files->ops->sync(files, descriptor) != 0))
		goto out;
	index->written = index->count;
	index->differs = false;
	index->unsynced = !sync && index->count > 0;
	answer = 0;
out:
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (answer);
}

/* --- looking -------------------------------------------------------------- */

struct index_cache *
index_cache_new(void)
{
	struct index_cache *cache = mem_zalloc(sizeof(*cache));

	lock_init(&cache->lock, LOCK_RANK_CACHE);
	return (cache);
}

void
index_cache_free(struct index_cache *cache)
{
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		mem_free(cache->slots[i].bytes);
	lock_fini(&cache->lock);
	mem_free(cache);
}

static struct cache_slot *
cache_slot(struct index_cache *cache, const struct index *index, uint32_t page)
{
	uint64_t mixed = (index->segment_id * 2 + index->kind) *
		0x9e3779b97f4a7c15U +
	    page * 0xc2b2ae3d27d4eb4fU;

	return (&cache->slots[(mixed >> 40) % CACHE_SLOTS]);
}

static bool
cache_get(struct index_cache *cache, const struct index *index, uint32_t page,
    size_t at, uint8_t *out)
{
	struct cache_slot *slot = cache_slot(cache, index, page);
	size_t size = index_entry_size(index->kind);
	bool found;

	lock_take(&cache->lock);
	found = slot->size >= at + size && slot->page == page &&
	    slot->segment_id == index->segment_id && slot->kind == index->kind;
	if (found)
		memcpy(out, slot->bytes + at, size);
	lock_release(&cache->lock);
	return (found);
}

static void
cache_put(struct index_cache *cache, const struct index *index, uint32_t page,
    const uint8_t *bytes, size_t size)
{
	struct cache_slot *slot = cache_slot(cache, index, page);

	lock_take(&cache->lock);
	if (slot->bytes == NULL)
		slot->bytes = mem_alloc(PAGE_SIZE);
	memcpy(slot->bytes, bytes, size);
	slot->size = (uint32_t)size;
	slot->page = page;
	slot->segment_id = index->segment_id;
	slot->kind = index->kind;
	lock_release(&cache->lock);
}

static bool
index_read(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, uint32_t slot, uint8_t *out)
{
	size_t size = index_entry_size(index->kind);
	size_t position = slot * size;
	uint32_t page = (uint32_t)(position / PAGE_SIZE);
	size_t at = position % PAGE_SIZE;
	size_t page_size = index->count * size - (size_t)page * PAGE_SIZE;
	uint8_t bytes[PAGE_SIZE];
	char name[PATH_MAX];
	int descriptor;
	int answer;

	if (cache_get(cache, index, page, at, out))
		return (true);
	if (files == NULL)
		return (false); /* the caller will not wait for a disk */
	if (page_size > PAGE_SIZE)
		page_size = PAGE_SIZE;
	index_path(index->kind, path, name);
	descriptor = files->ops->open(files, name, O_RDONLY, 0);
	if (descriptor < 0)
		return (false);
	answer = file_read_full(files, descriptor, bytes, page_size,
	    (int64_t)page * PAGE_SIZE);
	files->ops->close(files, descriptor);
	if (answer != 0)
		return (false);
	cache_put(cache, index, page, bytes, page_size);
	memcpy(out, bytes + at, size);
	return (true);
}

bool
index_get(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, uint32_t slot,
    struct index_entry *out)
{
	uint8_t bytes[INDEX_ENTRY_MAX];

	if (slot >= index->count)
		return (false);
	if (index->in_memory) {
		entry_decode(index,
		    index->entries.data + slot * index_entry_size(index->kind),
		    out);
		return (true);
	}
	if (!index_read(index, cache, files, path, slot, bytes))
		return (false);
	entry_decode(index, bytes, out);
	return (true);
}

bool
index_lookup(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, int64_t target,
    struct index_entry *out)
{
	uint32_t low = 0;
	uint32_t high = index->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct index_entry entry;
		int64_t key;

		if (!index_get(index, cache, files, path, middle, &entry))
			return (false);
		key = index->kind == INDEX_OFFSETS ? entry.offset
						   : entry.timestamp_ms;
		if (key > target) {
			high = middle;
			continue;
		}
		*out = entry;
		low = middle + 1;
	}
	return (true);
}

bool
index_lookup_position(const struct index *index, struct index_cache *cache,
    struct files *files, const char *path, int64_t position,
    struct index_entry *out)
{
	uint32_t low = 0;
	uint32_t high = index->count;
	struct index_entry entry;
	bool found = false;

	if (high > 0 &&
	    index_get(index, cache, files, path, 0, &entry) &&
	    entry.position == position)
		low = 1;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (!index_get(index, cache, files, path, middle, &entry))
			return (false);
		if (entry.position < position) {
			low = middle + 1;
			continue;
		}
		*out = entry;
		found = true;
		high = middle;
	}
	return (found);
}
