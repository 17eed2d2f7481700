/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a time index says is held against the batches it speaks of before
 * anything follows from it: retention deletes by it.  One that lies is made
 * anew (repair.c), and meanwhile the batches themselves are asked.
 */
#include "storage/storage_int.h"

bool
log_time_entry_good(struct log *log, struct segment *segment,
    const struct index_entry *entry)
{
	struct log_place place;
	struct walk walk;
	struct batch batch;
	int64_t position;
	bool good;

	if (entry->offset < segment->base_offset ||
	    log_locate(log, segment, entry->offset, segment->size, &place) !=
		ERR_NONE || place.size == 0)
		return (false);
	/* Brokers before Kafka 3.6 noted the record's offset, later ones that
	 * of the last record in its batch. */
	segment_walk(segment, &walk, place.position, segment->size, false);
	good = walk_next(&walk, &batch, &position) == WALK_BATCH &&
	    batch.base_offset <= entry->offset &&
	    batch.max_timestamp_ms == entry->timestamp_ms;
	segment_walk_end(segment, &walk);
	return (good);
}

static void
ask_batches(struct segment *segment, struct index_entry *out)
{
	struct walk walk;
	struct batch batch;
	int64_t position;

	segment_walk(segment, &walk, 0, segment->size, false);
	while (walk_next(&walk, &batch, &position) == WALK_BATCH)
		if (batch.max_timestamp_ms > out->timestamp_ms) {
			out->timestamp_ms = batch.max_timestamp_ms;
			out->offset = batch.last_offset;
		}
	segment_walk_end(segment, &walk);
}

/* The last entry of a closed segment's file. */
static void
read_last(struct log *log, struct segment *segment, const struct index *times,
    struct index_entry *out)
{
	struct storage *storage = log->storage;
	const struct index_entry none = {
		.offset = segment->base_offset,
		.timestamp_ms = -1,
	};

	if (times->in_memory || times->count == 0 ||
	    !index_get(times, storage->cache, storage->files, segment->path,
		times->count - 1, out)) {
		*out = none;
		return;
	}
	if (log_time_entry_good(log, segment, out))
		return;
	segment_repair_later(log, segment);
	*out = none;
	ask_batches(segment, out);
}

void
log_segment_timestamp(struct log *log, struct segment *segment,
    struct index_entry *out)
{
	struct index times;
	struct file_info info;

	lock_take(&log->lock);
	out->timestamp_ms = segment->max_timestamp_ms;
	out->offset = segment->max_timestamp_offset;
	times = index_view(&segment->times);
	lock_release(&log->lock);
	if (out->timestamp_ms == TIMESTAMP_UNREAD) {
		read_last(log, segment, &times, out);
		lock_take(&log->lock);
		if (segment->max_timestamp_ms == TIMESTAMP_UNREAD) {
			segment->max_timestamp_ms = out->timestamp_ms;
			segment->max_timestamp_offset = out->offset;
		}
		lock_release(&log->lock);
	}
	if (out->timestamp_ms < 0 &&
	    segment_info(segment, &info) == 0)
		out->timestamp_ms = info.mtime_ms;
}
