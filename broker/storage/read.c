/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: from an offset to a part of a file.  A reader takes the log's lock
 * for a moment, to get the segments and the end of one moment; then an index
 * says where to begin and headers are walked to the batch.  What was appended
 * last is found without reading.
 */
#include <errno.h>

#include "base/check.h"
#include "storage/storage_int.h"

/* What a batch of an old log may unpack to, for a search by timestamp. */
#define UNPACKED_MAX ((size_t)256 << 20)

/* Batches of one segment, from one offset to another. */
struct range {
	struct segment_list *list; /* a reference; NULL: nothing there */
	struct segment *segment;
	struct log_place first;
	int64_t limit; /* position of the end */
	bool more;     /* in the next segment */
	/* The segment was replaced, perhaps before its index was looked into:
	 * what was found may be wrong. */
	bool replaced;
};

static enum error range_find(struct log *log, int64_t offset,
    int64_t end_offset, struct range *out);
static int64_t locate_start(struct log *log, struct segment *segment,
    int64_t offset, bool may_read, struct log_place *hit);
static enum error search_timestamp(struct log *log, struct segment *segment,
    int64_t timestamp_ms, struct log_found *out);
static enum error search_batch(struct walk *walk, struct batch *batch,
    int64_t position, int64_t timestamp_ms, int64_t start_offset,
    struct log_found *out);

/* log->lock is held. */
static struct log_view
view_locked(const struct log *log, const struct segment *segment)
{
	return ((struct log_view){ segment->size,
	    atomic_load(&log->truncations) });
}

struct log_view
log_view_of(struct log *log, struct segment *segment)
{
	struct log_view view;

	lock_take(&log->lock);
	view = view_locked(log, segment);
	lock_release(&log->lock);
	return (view);
}

bool
log_view_gone(struct log *log, const struct segment *segment,
    const struct log_view *view)
{
	const struct segment_list *list;
	int error = errno;
	bool gone;

	lock_take(&log->lock);
	list = log->segments;
	gone = atomic_load(&log->truncations) != view->truncations ||
	    list->items[segment_list_find(list, segment->base_offset)] !=
		segment;
	lock_release(&log->lock);
	errno = error;
	return (gone);
}

static int64_t
segment_size(struct log *log, struct segment *segment)
{
	return (log_view_of(log, segment).end);
}

/* Whether one of these segments is not in the log any more, for it was
 * compacted: its name, by which indexes are read, may have been another's. */
static bool
any_replaced(const struct segment_list *list, size_t from, size_t to)
{
	bool replaced = false;

	for (size_t i = from; !replaced && i < to && i < list->count; i++)
		replaced = atomic_load(&list->items[i]->replaced);
	return (replaced);
}

/* --- by offset ------------------------------------------------------------ */

enum error
log_read(struct log *log, int64_t offset, int64_t end_offset, size_t max_bytes,
    bool at_least_one, struct log_read *out)
{
	struct range range;
	enum error error;
	int64_t length;

	CHECK_MAGIC(log, LOG_MAGIC);
	*out = (struct log_read){ .first_offset = -1, .segment = -1 };
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	error = range_find(log, offset, end_offset, &range);
	if (error != ERR_NONE || range.list == NULL)
		return (error);
	length = range.limit - range.first.position;
	if (at_least_one && max_bytes < (size_t)range.first.size)
		max_bytes = (size_t)range.first.size;
	out->at_end_of_segment = range.more;
	if ((uint64_t)length > max_bytes) {
		length = (int64_t)max_bytes;
		out->at_end_of_segment = false;
	}
	if (length > 0) {
		out->extent = (struct extent){
			.blob = blob_ref(&range.segment->blob),
			.position = range.first.position,
			.length = (size_t)length,
		};
		out->first_offset = range.first.base_offset;
	}
	out->segment = range.segment->base_offset;
	out->end_position = range.first.position + length;
	segment_list_unref(range.list);
	return (ERR_NONE);
}

int64_t
log_bytes_between(struct log *log, int64_t offset, int64_t end_offset)
{
	struct range range;
	int64_t size;

	if (range_find(log, offset, end_offset, &range) != ERR_NONE ||
	    range.list == NULL)
		return (0);
	size = range.limit - range.first.position;
	segment_list_unref(range.list);
	return (size);
}

bool
log_read_is_hot(struct log *log, int64_t offset, size_t max_bytes)
{
	struct segment_list *list;
	struct segment *segment;
	struct log_place hit = { 0 };
	int64_t size, position;
	bool hot = true;

	/* There is nothing to read, or it was written just now. */
	if (offset >= log_end_offset(log))
		return (true);
	list = log_segments(log);
	segment = list->items[segment_list_find(list, offset)];
	size = segment_size(log, segment);
	position = locate_start(log, segment, offset, false, &hit);
	if (hit.size != 0)
		position = hit.position;
	/* Where the read begins is not known without a read, if at all. */
	if (position < 0) {
		segment_list_unref(list);
		return (false);
	}
	size -= position;
	if (size > 0 && (uint64_t)size > max_bytes)
		size = (int64_t)max_bytes;
	if (size > 0)
		hot = blob_resident(&segment->blob, position, (size_t)size);
	segment_list_unref(list);
	return (hot);
}

/* The end of what may be read of a segment. */
static enum error
range_limit(struct log *log, struct range *range, size_t slot,
    int64_t end_offset, const struct log_view *view)
{
	struct log_place end;
	enum error error;

	range->limit = view->end;
	range->more = slot + 1 < range->list->count;
	if (range->more &&
	    range->list->items[slot + 1]->base_offset <= end_offset) {
		range->more = range->list->items[slot + 1]->base_offset <
		    end_offset;
		return (ERR_NONE);
	}
	range->more = false;
	error = log_locate(log, range->segment, end_offset, view, &end);
	range->limit = end.position;
	return (error);
}

static enum error
range_try(struct log *log, int64_t offset, int64_t end_offset,
    struct range *out)
{
	enum error error = ERR_NONE;
	struct log_view view;
	int64_t known_end;
	size_t first, slot;

	*out = (struct range){ 0 };
	/* End and size are of one moment: nothing beyond the end is sent.  A
	 * later segment's size is of another moment. */
	lock_take(&log->lock);
	out->list = segment_list_ref(log->segments);
	known_end = log_end_offset(log);
	first = slot = segment_list_find(out->list, offset);
	view = view_locked(log, out->list->items[slot]);
	lock_release(&log->lock);
	if (offset < log_start_offset(log) || offset > known_end)
		error = ERR_OFFSET_OUT_OF_RANGE;
	for (; error == ERR_NONE && offset < end_offset &&
	     slot < out->list->count; slot++) {
		if (out->segment != NULL) /* the next one */
			view = log_view_of(log, out->list->items[slot]);
		out->segment = out->list->items[slot];
		error = log_locate(log, out->segment, offset, &view,
		    &out->first);
		if (error != ERR_NONE)
			break;
		if (out->first.size == 0)
			continue; /* offsets are missing up to the next one */
		if (slot == first && slot + 1 == out->list->count &&
		    end_offset >= known_end &&
		    out->segment->base_offset <= known_end)
			out->limit = view.end;
		else
			error = range_limit(log, out, slot, end_offset, &view);
		if (error != ERR_NONE || out->limit <= out->first.position)
			break;
		out->replaced = any_replaced(out->list, first, slot + 1);
		return (ERR_NONE);
	}
	out->replaced = any_replaced(out->list, first, slot + 1);
	segment_list_unref(out->list);
	out->list = NULL;
	return (error);
}

/* The list that has what took the place is there by then. */
static enum error
range_find(struct log *log, int64_t offset, int64_t end_offset,
    struct range *out)
{
	enum error error;

	for (;;) {
		error = range_try(log, offset, end_offset, out);
		if (!out->replaced)
			return (error);
		if (out->list != NULL)
			segment_list_unref(out->list);
	}
}

/* A place at or before the batch, from index and memory; *hit when it is known
 * to be the one. -1: the index would have to be read. */
static int64_t
locate_start(struct log *log, struct segment *segment, int64_t offset,
    bool may_read, struct log_place *hit)
{
	struct storage *storage = log->storage;
	struct index_entry entry = { 0 };
	struct index offsets;

	lock_take(&log->lock);
	offsets = index_view(&segment->offsets);
	if (offsets.in_memory)
		index_lookup(&offsets, NULL, NULL, NULL, offset, &entry);
	if (segment == segment_list_last(log->segments) &&
	    log->recent != NULL) {
		for (int i = 0; i < RECENT_COUNT; i++) {
			const struct recent *recent = &log->recent[i];

			if (recent->last_offset == 0 ||
			    recent->base_offset > offset ||
			    recent->position < entry.position)
				continue;
			entry.position = recent->position;
			if (recent->size == 0 || recent->last_offset < offset)
				continue;
			*hit = (struct log_place){
				.position = recent->position,
				.base_offset = recent->base_offset,
				.size = recent->size,
			};
		}
	}
	lock_release(&log->lock);
	if (!offsets.in_memory &&
	    !index_lookup(&offsets, storage->cache,
		may_read ? storage->files : NULL, segment->path, offset,
		&entry) &&
	    !may_read)
		return (-1);
	return (entry.position);
}

/* A walk from `offset` on that found no batch, nor its end. */
static enum error
walk_refused(struct log *log, struct segment *segment, const struct walk *walk,
    enum walk_found found, int64_t offset)
{
	if (found == WALK_ERROR)
		return (log_refuse(log, "could not read a segment"));
	if (!atomic_exchange(&segment->damage_said, true))
		diag_error(log->storage->diag, storage,
		    "partition=%s no batch where one was written: reads of "
		    "offset=%lld and of what follows in its place are answered "
		    "CORRUPT_MESSAGE, the rest is served position=%lld "
		    "file=%s.log",
		    log->name, (long long)offset, (long long)walk->position,
		    segment->path);
	return (ERR_CORRUPT_MESSAGE);
}

enum error
log_locate(struct log *log, struct segment *segment, int64_t offset,
    const struct log_view *view, struct log_place *out)
{
	int64_t end = view->end;
	int64_t start;
	struct walk walk;
	struct batch batch;
	enum walk_found found;
	bool misled = false;

	*out = (struct log_place){ 0 };
	start = locate_start(log, segment, offset, true, out);
	if (out->size != 0 && out->position + out->size <= end)
		return (ERR_NONE);
	*out = (struct log_place){ .position = end };
	if (start < 0 || start > end) {
		start = 0; /* an index that tells nonsense is not followed */
		misled = true;
	}
	for (;;) {
		int64_t position;

		segment_walk(segment, &walk, start, end, false);
		while ((found = walk_next(&walk, &batch, &position)) ==
			WALK_BATCH &&
		    batch.last_offset < offset)
			continue;
		segment_walk_end(segment, &walk);
		if (misled && (found == WALK_BATCH || found == WALK_END) &&
		    !atomic_load(&segment->replaced))
			segment_repair_later(log, segment);
		if (found == WALK_BATCH) {
			*out = (struct log_place){
				.position = position,
				.base_offset = batch.base_offset,
				.size = batch.size,
			};
			return (ERR_NONE);
		}
		if (found == WALK_END)
			return (ERR_NONE);
		if (log_view_gone(log, segment, view))
			return (ERR_KAFKA_STORAGE_ERROR);
		if (found == WALK_ERROR || start == 0)
			return (walk_refused(log, segment, &walk, found,
			    offset));
		start = 0;
		misled = true;
	}
}

/* --- by timestamp --------------------------------------------------------- */

static enum error
find_timestamp(struct log *log, const struct segment_list *list,
    int64_t timestamp_ms, struct log_found *out)
{
	enum error error = ERR_NONE;

	*out = (struct log_found){ -1, -1, -1 };
	for (size_t i = 0; error == ERR_NONE && i < list->count; i++) {
		struct index_entry largest = { .timestamp_ms = -1 };
		int64_t date_ms;

		error = log_segment_date(log, list->items[i], &date_ms);
		if (error != ERR_NONE || date_ms < timestamp_ms)
			continue;
		error = search_timestamp(log, list->items[i], timestamp_ms,
		    out);
		if (error == ERR_NONE && out->offset < 0)
			error = log_segment_timestamp(log, list->items[i],
			    &largest);
		/* The record that dated it may be compacted away: the next one
		 * may have it.  One without times ends it, as in Kafka. */
		if (out->offset >= 0 || largest.timestamp_ms < 0)
			break;
	}
	return (error);
}

enum error
log_find_timestamp(struct log *log, int64_t timestamp_ms, struct log_found *out)
{
	struct segment_list *list;
	enum error error;
	bool replaced;

	*out = (struct log_found){ -1, -1, -1 };
	do {
		if (log_failed(log))
			return (ERR_KAFKA_STORAGE_ERROR);
		list = log_segments(log);
		error = find_timestamp(log, list, timestamp_ms, out);
		replaced = any_replaced(list, 0, list->count);
		segment_list_unref(list);
	} while (replaced);
	return (error);
}

static enum error
search_timestamp(struct log *log, struct segment *segment,
    int64_t timestamp_ms, struct log_found *out)
{
	struct storage *storage = log->storage;
	int64_t start_offset = log_start_offset(log);
	struct index_entry entry = { .offset = segment->base_offset };
	enum error error = ERR_NONE;
	enum walk_found found = WALK_BATCH;
	struct log_place place;
	struct index times;
	struct walk walk;
	struct batch batch;
	int64_t position;
	struct log_view view;
	bool good = true;

	lock_take(&log->lock);
	times = index_view(&segment->times);
	view = view_locked(log, segment);
	if (times.in_memory)
		index_lookup(&times, NULL, NULL, NULL, timestamp_ms, &entry);
	lock_release(&log->lock);
	if (!times.in_memory)
		index_lookup(&times, storage->cache, storage->files,
		    segment->path, timestamp_ms, &entry);
	if (!times.in_memory && entry.offset != segment->base_offset)
		error = log_time_entry_good(log, segment, &entry, &good);
	if (error != ERR_NONE)
		return (error);
	if (!good) {
		segment_repair_later(log, segment);
		entry.offset = segment->base_offset;
	}
	if (entry.offset < start_offset)
		entry.offset = start_offset;
	error = log_locate(log, segment, entry.offset, &view, &place);
	if (error != ERR_NONE)
		return (error);
	segment_walk(segment, &walk, place.position, view.end, false);
	while (error == ERR_NONE && out->offset < 0 &&
	    (found = walk_next(&walk, &batch, &position)) == WALK_BATCH)
		if (batch.max_timestamp_ms >= timestamp_ms)
			error = search_batch(&walk, &batch, position,
			    timestamp_ms, start_offset, out);
	segment_walk_end(segment, &walk);
	/* Whether the rest has one is not known. */
	if (found != WALK_BATCH && found != WALK_END)
		error = log_view_gone(log, segment, &view) ?
		    ERR_KAFKA_STORAGE_ERROR :
		    walk_refused(log, segment, &walk, found,
			place.base_offset);
	return (error);
}

/* The first record of a batch at or after a timestamp, if it has one. */
static enum error
search_batch(struct walk *walk, struct batch *batch, int64_t position,
    int64_t timestamp_ms, int64_t start_offset, struct log_found *out)
{
	struct record_reader *reader;
	struct record record;
	enum error error;

	if (!walk_load(walk, batch, position))
		return (ERR_KAFKA_STORAGE_ERROR);
	error = record_reader_new(batch, UNPACKED_MAX, &reader);
	if (error != ERR_NONE)
		return (error);
	while (record_reader_next(reader, &record) == 1) {
		if (record.timestamp_ms < timestamp_ms ||
		    record.offset < start_offset)
			continue;
		*out = (struct log_found){
			.offset = record.offset,
			.timestamp_ms = record.timestamp_ms,
			.leader_epoch = batch->leader_epoch,
		};
		break;
	}
	record_reader_free(&reader);
	return (ERR_NONE);
}

/* The record of the largest timestamp in the batch that has `offset`. */
static enum error
search_largest(struct log *log, struct segment *segment, int64_t offset,
    struct log_found *out)
{
	struct log_view view = log_view_of(log, segment);
	enum walk_found found;
	struct log_place place;
	struct walk walk;
	struct batch batch;
	int64_t position;
	enum error error = log_locate(log, segment, offset, &view, &place);

	if (error != ERR_NONE || place.size == 0)
		return (error);
	segment_walk(segment, &walk, place.position, view.end, false);
	found = walk_next(&walk, &batch, &position);
	if (found == WALK_BATCH)
		error = search_batch(&walk, &batch, position,
		    batch.max_timestamp_ms, 0, out);
	segment_walk_end(segment, &walk);
	if (found == WALK_BATCH)
		return (error);
	return (log_view_gone(log, segment, &view) ?
		ERR_KAFKA_STORAGE_ERROR :
		walk_refused(log, segment, &walk, found, offset));
}

static enum error
find_max_timestamp(struct log *log, const struct segment_list *list,
    struct log_found *out)
{
	struct index_entry best = { .timestamp_ms = -1 };
	struct segment *segment = NULL;
	enum error error = ERR_NONE;

	*out = (struct log_found){ -1, -1, -1 };
	for (size_t i = 0; error == ERR_NONE && i < list->count; i++) {
		struct index_entry largest;

		if (segment_size(log, list->items[i]) == 0)
			continue;
		error = log_segment_timestamp(log, list->items[i], &largest);
		if (error != ERR_NONE ||
		    largest.timestamp_ms <= best.timestamp_ms)
			continue;
		best = largest;
		segment = list->items[i];
	}
	if (error == ERR_NONE && segment != NULL)
		error = search_largest(log, segment, best.offset, out);
	return (error);
}

enum error
log_find_max_timestamp(struct log *log, struct log_found *out)
{
	struct segment_list *list;
	enum error error;
	bool replaced;

	*out = (struct log_found){ -1, -1, -1 };
	do {
		if (log_failed(log))
			return (ERR_KAFKA_STORAGE_ERROR);
		list = log_segments(log);
		error = find_max_timestamp(log, list, out);
		replaced = any_replaced(list, 0, list->count);
		segment_list_unref(list);
	} while (replaced);
	return (error);
}

int32_t
log_find_segments(struct log *log, int64_t timestamp_ms, int64_t *offsets,
    int32_t count)
{
	struct segment_list *list = log_segments(log);
	int64_t start_offset = log_start_offset(log);
	size_t last = list->count; /* one past the newest candidate */
	int32_t found = 0;
	bool newest = segment_size(log, segment_list_last(list)) > 0 &&
	    (timestamp_ms == -1 ||
		(timestamp_ms != -2 &&
		    storage_now_ms(log->storage) <= timestamp_ms));

	if (newest && found < count)
		offsets[found++] = log_end_offset(log);
	if (timestamp_ms == -2)
		last = 1;
	while (timestamp_ms >= 0 && !newest && last > 0) {
		struct segment *segment = list->items[last - 1];
		struct file_info info;

		if (segment_info(segment, &info) == 0 &&
		    info.mtime_ms <= timestamp_ms)
			break;
		last--;
	}
	for (; last > 0 && found < count; last--) {
		int64_t base_offset = list->items[last - 1]->base_offset;

		offsets[found++] = base_offset > start_offset ? base_offset
							      : start_offset;
	}
	segment_list_unref(list);
	return (found);
}
