/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain recovery after an unclean stop: every segment from the one that holds
 * the recovery point is read through, batch by batch; its indexes, its index of
 * aborted transactions and the producers are made anew; the log ends at the
 * first batch that is not whole and good.
 */
#include <errno.h>

#include "base/check.h"
#include "storage/storage_int.h"

static void recover_index(struct segment *segment, struct index *index);
static bool recover_snapshot(struct log *log, int64_t limit);
static bool recover_keep_producers(struct log *log, int64_t base_offset);
static bool recover_scan(struct log *log, struct segment *segment, bool replay,
    int64_t *cut);
static bool recover_forget(struct log *log, struct segment *const *items,
    size_t slot);
static bool recover_drop(struct log *log, struct segment **items,
    size_t *count, size_t kept);
static bool recover_settle(struct segment *segment, int64_t cut);
static bool recover_batch(struct log *log, struct segment *segment,
    const struct batch *batch, bool replay);

bool
log_recover(struct log *log, struct segment **items, size_t *count,
    int64_t recovery_point)
{
	size_t first = 0;

	while (first + 1 < *count &&
	    items[first + 1]->base_offset <= recovery_point)
		first++;
	if (!recover_snapshot(log, items[first]->base_offset) ||
	    !producers_replay(log, &log->producers, items, first,
		items[first]->base_offset))
		return (false);
	for (size_t i = first; i < *count; i++) {
		int64_t cut;

		storage_load_goes_on(log->storage);
		if (i + 2 >= *count &&
		    !recover_keep_producers(log, items[i]->base_offset))
			return (false);
		if (!recover_scan(log, items[i], true, &cut))
			return (false);
		log_say_cut(log, items[i], cut);
		if (cut > 0 && items[i]->size == 0 &&
		    !recover_forget(log, items, i))
			return (false);
		/* Before it is cut, or the next start would take it for whole
		 * and keep them. */
		if (cut > 0 && !recover_drop(log, items, count, i + 1))
			return (false);
		if (!recover_settle(items[i], cut))
			return (false);
	}
	return (true);
}

/* All that was in it is dropped, and so is what was learnt from it. */
static bool
recover_forget(struct log *log, struct segment *const *items, size_t slot)
{
	int64_t base_offset = items[slot]->base_offset;

	if (log->producers.end_offset <= base_offset)
		return (true);
	return (aborted_cut(log, items[slot], base_offset) &&
	    snapshot_load(log, &log->producers, log_start_offset(log),
		base_offset) &&
	    producers_replay(log, &log->producers, items, slot, base_offset));
}

/* Segments behind a damaged one go, the last one first: who dies meanwhile
 * leaves no hole. */
static bool
recover_drop(struct log *log, struct segment **items, size_t *count,
    size_t kept)
{
	for (; *count > kept; (*count)--) {
		struct segment *last = items[*count - 1];

		diag_warn(log->storage->diag, storage,
		    "partition=%s segment behind a damaged one is removed "
		    "file=%s.log",
		    log->name, last->path);
		if (segment_unlink(last, false) != 0)
			return (false);
		segment_unref(last);
	}
	return (true);
}

void
log_say_cut(struct log *log, const struct segment *segment, int64_t cut)
{
	if (cut > 0)
		diag_warn(log->storage->diag, storage,
		    "partition=%s cut off what was not whole bytes=%lld "
		    "position=%lld file=%s.log",
		    log->name, (long long)cut, (long long)segment->size,
		    segment->path);
}

static bool
recover_snapshot(struct log *log, int64_t limit)
{
	int64_t start = log_start_offset(log);

	if (log->has_snapshots)
		return (snapshot_load(log, &log->producers, start, limit));
	log->producers.end_offset = log->producers.snapshot_offset = start;
	return (true);
}

/* A snapshot at the base of each of the last two segments: the next recovery
 * begins there (LogLoader, rebuildProducerState). */
static bool
recover_keep_producers(struct log *log, int64_t base_offset)
{
	if (log->producers.end_offset < base_offset)
		log->producers.end_offset = base_offset;
	return (snapshot_write(log, true));
}

/* Indexes that are empty, and a timestamp that is not known. */
static void
recover_begin(struct log *log, struct segment *segment)
{
	index_fini(&segment->offsets);
	index_fini(&segment->times);
	index_init(&segment->offsets, INDEX_OFFSETS,
	    storage_segment_id(log->storage), segment->base_offset);
	index_init(&segment->times, INDEX_TIMES, segment->offsets.segment_id,
	    segment->base_offset);
	segment->max_timestamp_ms = -1;
	segment->max_timestamp_offset = segment->base_offset;
}

/* Reads it through: its size is that of what is whole; no byte is cut yet. */
static bool
recover_scan(struct log *log, struct segment *segment, bool replay,
    int64_t *cut)
{
	int32_t interval = log->settings.index_interval_bytes;
	int64_t end = segment->size;
	int64_t valid = 0;
	int64_t indexed = 0;
	int64_t next_offset = segment->base_offset;
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;
	bool good = true;

	recover_begin(log, segment);
	if (replay && !aborted_forget(log, segment))
		return (false);
	segment_walk(segment, &walk, 0, end, true);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH) {
		if (batch.last_offset < next_offset) {
			/* Offsets that go back: nothing here can be trusted. */
			valid = 0;
			break;
		}
		if (batch.last_offset - segment->base_offset > INT32_MAX) {
			segment->overflows = true;
			good = false;
			break;
		}
		/* By the rule of appends, but counted from batch to batch. */
		segment->bytes_since_index = valid - indexed;
		if (segment->bytes_since_index > interval)
			indexed = valid;
		segment_note_append(segment,
		    &(struct segment_run){
			.position = valid,
			.size = batch.size,
			.last_offset = batch.last_offset,
			.max_timestamp_ms = batch.max_timestamp_ms,
			.max_timestamp_offset = batch.last_offset,
		    },
		    interval, log->settings.index_bytes);
		if (!recover_batch(log, segment, &batch, replay)) {
			good = false;
			break;
		}
		valid += batch.size;
		next_offset = batch.last_offset + 1;
	}
	segment_walk_end(segment, &walk);
	if (segment->overflows)
		errno = EOVERFLOW;
	if (!good || found == WALK_ERROR)
		return (false);
	if (valid == 0) {
		index_cut(&segment->offsets, 0);
		index_cut(&segment->times, 0);
		segment->max_timestamp_ms = -1;
		next_offset = segment->base_offset;
	}
	*cut = end - valid;
	segment->bytes_since_index = 0;
	segment->size = valid;
	segment->next_offset = next_offset;
	segment_note_close(segment);
	recover_index(segment, &segment->offsets);
	recover_index(segment, &segment->times);
	return (true);
}

static bool
recover_settle(struct segment *segment, int64_t cut)
{
	return ((cut == 0 || segment_truncate(segment, segment->size) == 0) &&
	    segment_write_indexes(segment, false) == 0);
}

bool
segment_recover(struct log *log, struct segment *segment, bool replay,
    int64_t *cut)
{
	return (recover_scan(log, segment, replay, cut) &&
	    recover_settle(segment, *cut));
}

/* The file is right as it is, or it is written as a whole. */
static void
recover_index(struct segment *segment, struct index *index)
{
	bool same = index_matches(index, segment->files, segment->path);

	index->written = same ? index->count : 0;
	index->differs = !same;
	/* Who wrote it may not have synced it. An empty one may as well be
	 * missing. */
	index->unsynced = index->count > 0;
}

/* A control batch: whether it aborted something.  What the high watermark has
 * passed is final at once, or a long log would have very many to remember. */
static bool
replay_marker(struct log *log, struct producers *producers,
    const struct batch *batch, struct producers_ended *ended)
{
	bool marker = producers_add_marker(producers, batch, ended);

	producers_settle(producers, atomic_load(&log->high_watermark));
	return (marker && ended->aborted && ended->first_offset >= 0);
}

static bool
recover_batch(struct log *log, struct segment *segment,
    const struct batch *batch, bool replay)
{
	struct producers_ended ended;

	if (storage_load_is_abandoned(log->storage))
		return (false);
	if (!replay || batch->magic < 2)
		return (true);
	if (batch->leader_epoch > epochs_latest(&log->epochs)) {
		epochs_assign(&log->epochs, batch->leader_epoch,
		    batch->base_offset);
		log->epochs_found = true;
	}
	if ((batch->attributes & BATCH_ATTR_CONTROL) == 0) {
		producers_add_data(&log->producers, batch);
		return (true);
	}
	return (!replay_marker(log, &log->producers, batch, &ended) ||
	    log_note_aborted(log, segment, &ended));
}

bool
producers_replay_segment(struct log *log, struct producers *producers,
    struct segment *segment, int64_t to, struct buffer *aborted)
{
	int64_t from = producers->end_offset;
	struct producers_ended ended;
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;
	bool good = true;

	storage_load_goes_on(log->storage);
	segment_walk(segment, &walk, 0, segment->size, false);
	while (good &&
	    (found = walk_next(&walk, &batch, &position)) == WALK_BATCH &&
	    batch.base_offset < to) {
		good = !storage_load_is_abandoned(log->storage);
		if (!good || batch.last_offset < from || batch.magic < 2)
			continue;
		if ((batch.attributes & BATCH_ATTR_CONTROL) == 0) {
			producers_add_data(producers, &batch);
			continue;
		}
		good = walk_load(&walk, &batch, position);
		if (good &&
		    replay_marker(log, producers, &batch, &ended) &&
		    aborted != NULL)
			aborted_add(aborted, &ended);
	}
	segment_walk_end(segment, &walk);
	return (good && found != WALK_ERROR);
}

bool
producers_replay(struct log *log, struct producers *producers,
    struct segment *const *items, size_t count, int64_t to)
{
	int64_t from = producers->end_offset;
	bool good = true;

	producers_recall(log, producers, items, count);
	for (size_t i = 0; good && i < count; i++)
		if (i + 1 == count || items[i + 1]->base_offset > from)
			good = producers_replay_segment(log, producers,
			    items[i], to, NULL);
	if (producers->end_offset < to)
		producers->end_offset = to;
	return (good);
}
