/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aborted transactions, NNN.txnindex: an entry for each marker of abort that
 * the segment has, in the markers' order.
 *
 *	0 version   2 producer id   10 first offset   18 last   26 stable   34
 *	int16 (0)   int64           of the data       (marker)  offset then
 *
 * Entries are never in memory.  Who reads what is committed asks for those of a
 * range: in the segment that is read and, since a marker comes after its data,
 * in those behind it, until an entry says that all before the range's end was
 * decided when it was written.
 *
 * Source: Kafka 3.9's TransactionIndex and LocalLog.addAbortedTransactions.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define SUFFIX ".txnindex"
#define ENTRY_SIZE 34
#define ENTRY_VERSION 0
#define ENTRIES_AT_ONCE 120

struct entry {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset;
	int64_t stable_offset;
};

static struct entry
entry_decode(const uint8_t *at)
{
	return ((struct entry){
	    .producer_id = bytes_get_i64(at + 2),
	    .first_offset = bytes_get_i64(at + 10),
	    .last_offset = bytes_get_i64(at + 18),
	    .stable_offset = bytes_get_i64(at + 26),
	});
}

static void
note_last(struct log *log, struct segment *segment, int64_t last_offset)
{
	atomic_store(&segment->aborted, true);
	if (atomic_load(&log->aborted_last) < last_offset)
		atomic_store(&log->aborted_last, last_offset);
}

/* --- writing -------------------------------------------------------------- */

static void
entry_encode(const struct producers_ended *ended, uint8_t *at)
{
	bytes_put_i16(at, ENTRY_VERSION);
	bytes_put_i64(at + 2, ended->producer_id);
	bytes_put_i64(at + 10, ended->first_offset);
	bytes_put_i64(at + 18, ended->last_offset);
	bytes_put_i64(at + 26, ended->stable_offset);
}

void
aborted_add(struct buffer *entries, const struct producers_ended *ended)
{
	uint8_t entry[ENTRY_SIZE];

	entry_encode(ended, entry);
	buffer_append(entries, entry, sizeof(entry));
}

/* Behind what the file has. */
static bool
entry_append(struct segment *segment, const void *bytes, size_t size, bool sync)
{
	struct files *files = segment->files;
	struct iovec part = { (void *)(uintptr_t)bytes, size };
	struct file_info info;
	char name[PATH_MAX];
	int descriptor;
	bool good;
	int error;

	segment_file(segment, SUFFIX, name);
	descriptor = files->ops->open(files, name, O_WRONLY | O_CREAT, 0644);
	if (descriptor < 0)
		return (false);
	good = files->ops->fstat(files, descriptor, &info) == 0 &&
	    file_write_full(files, descriptor, &part, 1, info.size_bytes) ==
		0 &&
	    (!sync || files->ops->sync(files, descriptor) == 0);
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (good);
}

bool
log_note_aborted(struct log *log, struct segment *segment,
    const struct producers_ended *ended)
{
	uint8_t entry[ENTRY_SIZE];
	bool good;

	entry_encode(ended, entry);
	good = entry_append(segment, entry, sizeof(entry), false);
	atomic_store(&segment->aborted_unsynced, true);
	if (good)
		note_last(log, segment, ended->last_offset);
	return (good);
}

bool
aborted_forget(struct log *log, struct segment *segment)
{
	char name[PATH_MAX];

	atomic_store(&segment->aborted, false);
	/* What a load has listed need not be asked of the disk. */
	if (!log->has_aborted)
		return (true);
	segment_file(segment, SUFFIX, name);
	atomic_store(&segment->aborted_unsynced, true);
	return (segment->files->ops->unlink(segment->files, name) == 0 ||
	    errno == ENOENT);
}

/* How many bytes of entries stay. -1: errno. */
static int64_t
cut_size(struct files *files, int descriptor, int64_t offset)
{
	struct file_info info;
	int64_t size;

	if (files->ops->fstat(files, descriptor, &info) != 0)
		return (-1);
	size = info.size_bytes / ENTRY_SIZE * ENTRY_SIZE;
	for (; size > 0; size -= ENTRY_SIZE) {
		uint8_t bytes[ENTRY_SIZE];

		if (file_read_full(files, descriptor, bytes, sizeof(bytes),
			size - ENTRY_SIZE) != 0)
			return (-1);
		if (entry_decode(bytes).last_offset < offset)
			break;
	}
	return (size);
}

bool
aborted_cut(struct log *log, struct segment *segment, int64_t offset)
{
	struct files *files = segment->files;
	char name[PATH_MAX];
	int64_t size;
	int descriptor;
	int error;

	if (atomic_load(&log->aborted_last) >= offset)
		atomic_store(&log->aborted_last, offset - 1);
	segment_file(segment, SUFFIX, name);
	descriptor = files->ops->open(files, name, O_RDWR, 0);
	if (descriptor < 0)
		return (errno == ENOENT);
	size = cut_size(files, descriptor, offset);
	if (size >= 0 && files->ops->truncate(files, descriptor, size) != 0)
		size = -1;
	error = errno;
	files->ops->close(files, descriptor);
	atomic_store(&segment->aborted, size > 0);
	atomic_store(&segment->aborted_unsynced, true);
	errno = error;
	return (size >= 0);
}

/* --- at a load ------------------------------------------------------------ */

bool
aborted_load(struct log *log, struct segment *segment)
{
	char name[PATH_MAX];
	void *bytes;
	size_t size;
	bool good;

	if (!log->has_aborted)
		return (true);
	segment_file(segment, SUFFIX, name);
	if (file_load(segment->files, name, INT32_MAX, &bytes, &size) != 0)
		return (errno == ENOENT);
	good = size % ENTRY_SIZE == 0;
	for (size_t at = 0; good && at < size; at += ENTRY_SIZE) {
		const uint8_t *from = (const uint8_t *)bytes + at;
		struct entry entry = entry_decode(from);

		good = bytes_get_i16(from) == ENTRY_VERSION &&
		    entry.last_offset >= segment->base_offset;
		if (good)
			note_last(log, segment, entry.last_offset);
	}
	mem_free(bytes);
	return (good);
}

/* A size that no index has: until it is made anew it is known to be lost, even
 * to the next load, which finds the segment's other indexes again. */
bool
aborted_mark_lost(struct log *log, struct segment *segment)
{
	segment->aborted_lost = true;
	return (entry_append(segment, "", 1, true) &&
	    file_sync_directory(segment->files, log->path) == 0);
}

/* All entries at once, or who dies meanwhile leaves some. */
static bool
aborted_put(struct log *log, struct segment *segment, struct slice entries)
{
	struct files *files = segment->files;
	char name[PATH_MAX];

	segment_file(segment, SUFFIX, name);
	atomic_store(&segment->aborted, false);
	for (size_t at = 0; at < entries.length; at += ENTRY_SIZE)
		note_last(log, segment,
		    entry_decode(entries.data + at).last_offset);
	if (entries.length > 0)
		return (file_replace(files, name, entries.data,
			    entries.length) == 0);
	if (files->ops->unlink(files, name) != 0)
		return (errno == ENOENT);
	return (file_sync_directory(files, log->path) == 0);
}

/* Producers as they were at the segment's base, then its own batches. */
bool
aborted_rebuild(struct log *log, struct segment *const *items, size_t slot)
{
	struct segment *segment = items[slot];
	struct producers producers = { 0 };
	struct buffer entries = BUFFER_EMPTY;
	bool good;
	int error;

	diag_warn(log->storage->diag, storage,
	    "partition=%s the index of aborted transactions is made anew "
	    "file=%s" SUFFIX, log->name, segment->path);
	good = snapshot_load(log, &producers, log_start_offset(log),
		segment->base_offset) &&
	    producers_replay(log, &producers, items, slot,
		segment->base_offset) &&
	    producers_replay_segment(log, &producers, segment, INT64_MAX,
		&entries) &&
	    aborted_put(log, segment, buffer_slice(&entries));
	error = errno;
	buffer_fini(&entries);
	producers_fini(&producers);
	errno = error;
	return (good);
}

/* --- for compaction ------------------------------------------------------- */

bool
aborted_read(struct segment *segment, struct buffer *out)
{
	char name[PATH_MAX];
	void *bytes;
	size_t size;

	if (!atomic_load(&segment->aborted))
		return (true);
	segment_file(segment, SUFFIX, name);
	if (file_load(segment->files, name, INT32_MAX, &bytes, &size) != 0)
		return (false);
	buffer_append(out, bytes, size / ENTRY_SIZE * ENTRY_SIZE);
	mem_free(bytes);
	return (true);
}

size_t
aborted_count(const struct buffer *entries)
{
	return (entries->length / ENTRY_SIZE);
}

struct producers_ended
aborted_entry(const struct buffer *entries, size_t index)
{
	struct entry entry = entry_decode(entries->data + index * ENTRY_SIZE);

	return ((struct producers_ended){
	    .producer_id = entry.producer_id,
	    .first_offset = entry.first_offset,
	    .last_offset = entry.last_offset,
	    .stable_offset = entry.stable_offset,
	    .aborted = true,
	});
}

/* --- reading -------------------------------------------------------------- */

struct query {
	struct log *log;
	struct arena *arena;
	int64_t from;
	int64_t upper;
	size_t capacity;
	struct log_aborted_list *out;
	unsigned truncations; /* before it began */
	bool complete;
	bool gone; /* what it read was cut under it */
};

bool
log_has_aborted(const struct log *log, int64_t offset)
{
	return (atomic_load_explicit(&log->aborted_last,
		    memory_order_acquire) >= offset);
}

/* An offset that is certainly not below what was read, as Kafka finds it: that
 * of the first index entry from there on, else the next segment's. */
static int64_t
upper_offset(struct log *log, const struct segment_list *list, size_t slot,
    int64_t end_position)
{
	struct segment *segment = list->items[slot];
	struct index_entry entry;
	struct index offsets;
	bool found = false;

	lock_take(&log->lock);
	offsets = index_view(&segment->offsets);
	if (offsets.in_memory)
		found = index_lookup_position(&offsets, NULL, NULL, NULL,
		    end_position, &entry);
	lock_release(&log->lock);
	if (!offsets.in_memory)
		found = index_lookup_position(&offsets, log->storage->cache,
		    log->storage->files, segment->path, end_position, &entry);
	if (found)
		return (entry.offset);
	return (slot + 1 < list->count ? list->items[slot + 1]->base_offset :
					 log_end_offset(log));
}

static bool
query_add(struct query *query, const struct entry *entry)
{
	struct log_aborted_list *out = query->out;

	if (out->count == query->capacity) {
		size_t capacity = query->capacity * 2 + 8;
		struct log_aborted *items = arena_array(query->arena, capacity,
		    sizeof(*items));

		if (items == NULL)
			return (false);
		if (out->count > 0)
			memcpy(items, out->items, out->count * sizeof(*items));
		out->items = items;
		query->capacity = capacity;
	}
	out->items[out->count++] = (struct log_aborted){
		.producer_id = entry->producer_id,
		.first_offset = entry->first_offset,
	};
	return (true);
}

/* The first entry whose marker is not below query->from. -1: errno. */
static int64_t
query_start(const struct query *query, int descriptor, int64_t count)
{
	struct files *files = query->log->storage->files;
	int64_t low = 0;
	int64_t high = count;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		uint8_t bytes[ENTRY_SIZE];

		if (file_read_full(files, descriptor, bytes, sizeof(bytes),
			middle * ENTRY_SIZE) != 0)
			return (-1);
		if (entry_decode(bytes).last_offset < query->from)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

/* A read failed: the file was cut, now or by a truncation that began before. */
static enum error
query_failed(struct query *query, int descriptor, int64_t count)
{
	struct files *files = query->log->storage->files;
	struct file_info info;
	int error = errno;

	query->gone = query->truncations !=
		atomic_load(&query->log->truncations) ||
	    (files->ops->fstat(files, descriptor, &info) == 0 &&
		info.size_bytes / ENTRY_SIZE < count);
	errno = error;
	return (ERR_KAFKA_STORAGE_ERROR);
}

static enum error
query_entries(struct query *query, int descriptor)
{
	struct files *files = query->log->storage->files;
	uint8_t bytes[ENTRY_SIZE * ENTRIES_AT_ONCE];
	struct file_info info;
	int64_t count, at;

	if (files->ops->fstat(files, descriptor, &info) != 0)
		return (ERR_KAFKA_STORAGE_ERROR);
	count = info.size_bytes / ENTRY_SIZE;
	at = query_start(query, descriptor, count);
	if (at < 0)
		return (query_failed(query, descriptor, count));
	while (at < count && !query->complete) {
		int64_t some = count - at < ENTRIES_AT_ONCE ? count - at :
		    ENTRIES_AT_ONCE;

		if (file_read_full(files, descriptor, bytes,
			(size_t)some * ENTRY_SIZE, at * ENTRY_SIZE) != 0)
			return (query_failed(query, descriptor, count));
		for (int64_t i = 0; i < some && !query->complete; i++) {
			struct entry entry = entry_decode(bytes +
			    i * ENTRY_SIZE);

			if (entry.first_offset < query->upper &&
			    !query_add(query, &entry))
				return (ERR_UNKNOWN_SERVER_ERROR);
			query->complete = entry.stable_offset >= query->upper;
		}
		at += some;
	}
	return (ERR_NONE);
}

/* Retention renames a file before the segment leaves the list. */
static int
query_open(struct files *files, const struct segment *segment)
{
	char name[PATH_MAX];
	int descriptor;

	segment_file(segment, SUFFIX, name);
	descriptor = files->ops->open(files, name, O_RDONLY, 0);
	if (descriptor >= 0 || errno != ENOENT)
		return (descriptor);
	(void)segment_deleted_file(segment, SUFFIX, name);
	return (files->ops->open(files, name, O_RDONLY, 0));
}

static enum error
query_segment(struct query *query, const struct segment *segment)
{
	struct files *files = query->log->storage->files;
	enum error error;
	int descriptor;
	int why;

	if (!atomic_load(&segment->aborted))
		return (ERR_NONE);
	descriptor = query_open(files, segment);
	if (descriptor < 0)
		error = ERR_KAFKA_STORAGE_ERROR;
	else {
		error = query_entries(query, descriptor);
		why = errno;
		files->ops->close(files, descriptor);
		errno = why;
	}
	/* Gone meanwhile, and what was read from it as well. */
	if (error == ERR_KAFKA_STORAGE_ERROR &&
	    query->from < log_start_offset(query->log))
		return (ERR_OFFSET_OUT_OF_RANGE);
	if (error == ERR_KAFKA_STORAGE_ERROR && !query->gone &&
	    !atomic_load(&segment->replaced))
		(void)log_refuse(query->log,
		    "could not read an index of aborted transactions");
	return (error);
}

/* What was read is not the log's any more, though right: compaction, or a move
 * to another directory. */
static bool
read_is_replaced(const struct log_read *read)
{
	return (atomic_load(&segment_of_blob(read->extent.blob)->replaced));
}

enum error
log_read_aborted(struct log *log, int64_t offset, const struct log_read *read,
    struct arena *arena, struct log_aborted_list *out)
{
	struct query query = { .log = log, .arena = arena, .from = offset,
		.out = out, .truncations = atomic_load(&log->truncations) };
	struct segment_list *list;
	enum error error = ERR_NONE;
	size_t slot;

	CHECK_MAGIC(log, LOG_MAGIC);
	*out = (struct log_aborted_list){ 0 };
	if (read->segment < 0 || read->extent.blob == NULL ||
	    !log_has_aborted(log, offset))
		return (ERR_NONE);
	list = log_segments(log);
	slot = segment_list_find(list, read->segment);
	if (read_is_replaced(read))
		error = ERR_REPLICA_NOT_AVAILABLE;
	else if (list->items[slot]->base_offset != read->segment)
		error = ERR_OFFSET_OUT_OF_RANGE; /* gone meanwhile */
	else
		query.upper = upper_offset(log, list, slot,
		    read->end_position);
	for (; error == ERR_NONE && slot < list->count && !query.complete;
	     slot++)
		error = query_segment(&query, list->items[slot]);
	segment_list_unref(list);
	/* Its index may have been the one of what took its place. */
	return (read_is_replaced(read) ? ERR_REPLICA_NOT_AVAILABLE : error);
}
