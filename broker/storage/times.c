/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a time index says is held against the batches it speaks of before
 * anything follows from it: retention deletes by it.  One that lies is made
 * anew (repair.c), and meanwhile the batches themselves are asked.
 */
#include <errno.h>

#include "storage/storage_int.h"

static enum error
not_read(struct log *log, const struct segment *segment,
    const struct log_view *view)
{
	return (log_view_gone(log, segment, view) ?
		ERR_KAFKA_STORAGE_ERROR :
		log_refuse(log, "could not read a segment"));
}

enum error
log_time_entry_good(struct log *log, struct segment *segment,
    const struct index_entry *entry, bool *good)
{
	enum walk_found found;
	struct log_view view = log_view_of(log, segment);
	struct log_place place;
	struct walk walk;
	struct batch batch;
	int64_t position;
	enum error error;

	*good = false;
	if (entry->offset < segment->base_offset)
		return (ERR_NONE);
	error = log_locate(log, segment, entry->offset, &view, &place);
	if (error == ERR_CORRUPT_MESSAGE)
		return (ERR_NONE);
	if (error != ERR_NONE || place.size == 0)
		return (error);
	/* Brokers before Kafka 3.6 noted the record's offset, later ones that
	 * of the last record in its batch. */
	segment_walk(segment, &walk, place.position, view.end, false);
	found = walk_next(&walk, &batch, &position);
	*good = found == WALK_BATCH && batch.base_offset <= entry->offset &&
	    batch.max_timestamp_ms == entry->timestamp_ms;
	segment_walk_end(segment, &walk);
	return (found == WALK_ERROR ? not_read(log, segment, &view)
				    : ERR_NONE);
}

/* The largest of all batches up to the first damage. */
static enum error
ask_batches(struct log *log, struct segment *segment, struct index_entry *out,
    bool *damaged)
{
	struct log_view view = log_view_of(log, segment);
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;

	segment_walk(segment, &walk, 0, view.end, false);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH)
		if (batch.max_timestamp_ms > out->timestamp_ms) {
			out->timestamp_ms = batch.max_timestamp_ms;
			out->offset = batch.last_offset;
		}
	segment_walk_end(segment, &walk);
	*damaged = found != WALK_END;
	return (found == WALK_ERROR ? not_read(log, segment, &view)
				    : ERR_NONE);
}

/* The last entry of a closed segment's file. */
static enum error
read_last(struct log *log, struct segment *segment, const struct index *times,
    struct index_entry *out, bool *damaged)
{
	struct storage *storage = log->storage;
	const struct index_entry none = {
		.offset = segment->base_offset,
		.timestamp_ms = -1,
	};
	enum error error;
	bool good = false;

	*out = none;
	if (times->in_memory || times->count == 0)
		return (ERR_NONE);
	if (index_get(times, storage->cache, storage->files, segment->path,
		times->count - 1, out)) {
		error = log_time_entry_good(log, segment, out, &good);
		if (error != ERR_NONE || good)
			return (error);
	} else if (descriptors_wanted(errno))
		return (log_refuse(log, "could not read an index"));
	if (!atomic_load(&segment->replaced))
		segment_repair_later(log, segment);
	*out = none;
	return (ask_batches(log, segment, out, damaged));
}

/* Only what was read to its end is kept. */
static enum error
timestamp_find(struct log *log, struct segment *segment,
    struct index_entry *out, bool *damaged)
{
	struct index times;
	enum error error;

	*damaged = false;
	lock_take(&log->lock);
	out->timestamp_ms = segment->max_timestamp_ms;
	out->offset = segment->max_timestamp_offset;
	times = index_view(&segment->times);
	lock_release(&log->lock);
	if (out->timestamp_ms != TIMESTAMP_UNREAD)
		return (ERR_NONE);
	error = read_last(log, segment, &times, out, damaged);
	if (error != ERR_NONE || *damaged)
		return (error);
	lock_take(&log->lock);
	if (segment->max_timestamp_ms == TIMESTAMP_UNREAD) {
		segment->max_timestamp_ms = out->timestamp_ms;
		segment->max_timestamp_offset = out->offset;
	}
	lock_release(&log->lock);
	return (ERR_NONE);
}

enum error
log_segment_timestamp(struct log *log, struct segment *segment,
    struct index_entry *out)
{
	bool damaged;

	return (timestamp_find(log, segment, out, &damaged));
}

enum error
log_segment_date(struct log *log, struct segment *segment, int64_t *date_ms)
{
	struct index_entry largest;
	struct log_view view;
	struct file_info info;
	bool damaged;
	enum error error = timestamp_find(log, segment, &largest, &damaged);

	*date_ms = largest.timestamp_ms;
	if (error != ERR_NONE || (largest.timestamp_ms >= 0 && !damaged))
		return (error);
	view = log_view_of(log, segment);
	if (segment_info(segment, &info) != 0)
		return (not_read(log, segment, &view));
	if (info.mtime_ms > *date_ms)
		*date_ms = info.mtime_ms;
	return (ERR_NONE);
}
