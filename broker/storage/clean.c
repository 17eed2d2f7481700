/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass of compaction over one log:
 *
 *	MAP --> GROUP --> FILTER --> SWAP --+--> done: all before the end
 *	          ^                         |
 *	          +------- more groups -----+
 *
 *	MAP	reads what is dirty: of each key the last offset, until the map
 *		is full or the dirty part ends
 *	GROUP	takes segments from the log's start on, as many as fit in one
 *	FILTER	writes what is left of them to a new one
 *	SWAP	puts that one in their place
 *
 * A step does about as many bytes as it is told.  Nothing is locked meanwhile:
 * closed segments do not change, and whoever cuts, moves or deletes the log, or
 * sets that it is not compacted, makes the pass end at its next step
 * (clean_swap.c).
 *
 * Source: Cleaner (LogCleaner.scala) of Kafka 3.9.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/clean_int.h"

/* What a batch may unpack to. */
#define UNPACKED_MAX ((size_t)256 << 20)
#define BUFFER_LEAST ((size_t)4 << 10)
#define BUFFER_MOST ((size_t)16 << 20)

static bool filter_keep(void *arg, const struct record *record);

/* --- life ----------------------------------------------------------------- */

/* Tombstones of magic 0 and 1 know no horizon: what counts is when the last
 * clean segment was written. */
static int64_t
legacy_horizon(const struct cleaning *cleaning)
{
	const struct segment_list *list = cleaning->list;
	struct segment *last = NULL;
	struct file_info info;

	for (size_t i = 0; i < list->count &&
	     list->items[i]->base_offset < cleaning->candidate.first_dirty; i++)
		last = list->items[i];
	if (last == NULL || segment_info(last, &info) != 0)
		return (0);
	return (info.mtime_ms - cleaning->settings.delete_retention_ms);
}

/* The list, and what there is to be done in that list: when the log was chosen
 * it may have been another one, and one to be compacted.  What changes that
 * from now on ends the pass. */
static bool
cleaning_look(struct cleaning *cleaning)
{
	struct log *log = cleaning->log;

	cleaning->compaction_ends = atomic_load(&log->compaction_ends);
	cleaning->settings = log_get_settings(log);
	cleaning->truncations = atomic_load(&log->truncations);
	cleaning->list = log_segments(log);
	return (cleaning->settings.compacted &&
	    clean_look_at(log, cleaning->list,
		storage_now_ms(log->storage), &cleaning->candidate) &&
	    clean_is_due(&cleaning->candidate, &cleaning->settings));
}

struct cleaning *
cleaning_new(struct log *log, const struct clean_share *share)
{
	struct storage *storage = log->storage;
	struct cleaning *cleaning = mem_zalloc(sizeof(*cleaning));
	int64_t buffer = share->buffer_bytes / 2;

	cleaning->log = log;
	cleaning->storage = storage;
	if (!cleaning_look(cleaning)) {
		cleaning_free(&cleaning);
		return (NULL);
	}
	cleaning->now_ms = storage_steady_ms(storage);
	cleaning->legacy_horizon_ms = legacy_horizon(cleaning);
	lock_take(&storage->lock);
	cleaning->map = clean_map_new((size_t)share->map_bytes,
	    share->load_factor, &storage->random);
	lock_release(&storage->lock);
	cleaning->latest_offset = -1;
	cleaning->latest_epoch = -1;
	cleaning->output.buffer_bytes = buffer < (int64_t)BUFFER_LEAST ?
	    BUFFER_LEAST : buffer > (int64_t)BUFFER_MOST ? BUFFER_MOST :
							   (size_t)buffer;
	cleaning->filter = (struct record_filter){
		.keep = filter_keep,
		.arg = cleaning,
		.delete_horizon_ms = cleaning->settings.delete_retention_ms >
			INT64_MAX - cleaning->now_ms ? INT64_MAX :
		    cleaning->now_ms + cleaning->settings.delete_retention_ms,
		.limit_bytes = UNPACKED_MAX,
		.marks = BUFFER_EMPTY,
	};
	cleaning->stats.begun_ms = storage_mono_ms(storage);
	return (cleaning);
}

static void
walk_stop(struct cleaning *cleaning)
{
	if (cleaning->walking)
		segment_walk_end(cleaning->list->items[cleaning->slot],
		    &cleaning->walk);
	cleaning->walking = false;
}

void
cleaning_free(struct cleaning **place)
{
	struct cleaning *cleaning = *place;

	if (cleaning == NULL)
		return;
	*place = NULL;
	walk_stop(cleaning);
	clean_output_drop(&cleaning->output);
	buffer_fini(&cleaning->output.bytes);
	buffer_fini(&cleaning->output.aborted);
	buffer_fini(&cleaning->filter.marks);
	clean_txns_fini(&cleaning->txns);
	clean_map_free(&cleaning->map);
	mem_free(cleaning->producers);
	segment_list_unref(cleaning->list);
	atomic_store(&cleaning->log->cleaning, false);
	log_unref(cleaning->log);
	mem_free(cleaning);
}

/* --- what can go wrong ---------------------------------------------------- */

/* Whether the segment at hand is in the log no more: what is not found of it is
 * no failure.  Retention and truncation rename files under the lock of closing
 * and before the list tells of it, so they are waited for.  Keeps errno. */
static bool
taken_away(struct cleaning *cleaning)
{
	const struct segment *at = cleaning->list->items[cleaning->slot];
	struct log *log = cleaning->log;
	struct segment_list *now;
	int error = errno;
	bool taken;

	lock_take(&log->closing);
	now = log_segments(log);
	taken = now->items[0]->base_offset > at->base_offset ||
	    log->cut != CUT_NONE || cleaning_is_stale(cleaning);
	lock_release(&log->closing);
	segment_list_unref(now);
	errno = error;
	return (taken);
}

/* By errno: a want that passes, a disk that fails, or what nobody can index. */
static enum clean_state
refused(struct cleaning *cleaning, const char *what)
{
	if (cleaning_is_stale(cleaning) || taken_away(cleaning))
		return (CLEAN_ABORTED);
	if (errno == EOVERFLOW) {
		diag_error(cleaning->storage->diag, storage,
		    "partition=%s a segment is larger than an index can say, "
		    "it is not compacted until the next start base=%lld",
		    cleaning->log->name, (long long)cleaning->list
			->items[cleaning->group]->base_offset);
		return (CLEAN_DAMAGED);
	}
	(void)log_refuse(cleaning->log, what);
	return (CLEAN_REFUSED);
}

static enum clean_state
damaged(struct cleaning *cleaning, int64_t position)
{
	const struct segment *segment =
	    cleaning->list->items[cleaning->slot];

	if (cleaning_is_stale(cleaning) || taken_away(cleaning))
		return (CLEAN_ABORTED);
	diag_error(cleaning->storage->diag, storage,
	    "partition=%s a batch cannot be read, the partition is not "
	    "compacted until the next start, it lies at or behind "
	    "position=%lld file=%s.log",
	    cleaning->log->name, (long long)position, segment->path);
	return (CLEAN_DAMAGED);
}

/* The end of a walk that is no end of the segment. */
static enum clean_state
walk_failed(struct cleaning *cleaning, enum walk_found found)
{
	if (found == WALK_ERROR)
		return (refused(cleaning, "could not read a segment"));
	return (damaged(cleaning, cleaning->walk.position));
}

static void
walk_begin(struct cleaning *cleaning, int64_t position)
{
	struct segment *segment = cleaning->list->items[cleaning->slot];

	CHECK(!cleaning->walking);
	segment_walk(segment, &cleaning->walk, position,
	    log_view_of(cleaning->log, segment).end, true);
	walk_widen(&cleaning->walk, cleaning->output.buffer_bytes);
	cleaning->walking = true;
}

/* --- MAP ------------------------------------------------------------------ */

/* Where what is dirty begins, in the first segment that has any. */
static enum clean_state
map_begin(struct cleaning *cleaning)
{
	const struct segment_list *list = cleaning->list;
	int64_t from = cleaning->candidate.first_dirty;
	enum error error = ERR_KAFKA_STORAGE_ERROR;
	struct log_view view;
	struct log_place place;

	cleaning->slot = segment_list_find(list, from);
	view = log_view_of(cleaning->log, list->items[cleaning->slot]);
	if (clean_txns_load(&cleaning->txns, list, from,
		cleaning->candidate.first_uncleanable))
		error = log_locate(cleaning->log, list->items[cleaning->slot],
		    from, &view, &place);
	/* Read, but no batch: errno tells nothing of that. */
	if (error == ERR_CORRUPT_MESSAGE)
		return (damaged(cleaning, 0));
	if (error != ERR_NONE)
		return (refused(cleaning, "could not read a segment"));
	walk_begin(cleaning, place.position);
	return (CLEAN_MORE);
}

/* False: the map is full, or (found < 0) the batch is damaged. */
static bool
map_records(struct cleaning *cleaning, const struct batch *batch, int *found)
{
	int64_t from = cleaning->candidate.first_dirty;
	struct record_reader *reader;
	struct record record;
	bool fits = true;

	*found = -1;
	if (record_reader_new(batch, UNPACKED_MAX, &reader) != ERR_NONE)
		return (false);
	while (fits && (*found = record_reader_next(reader, &record)) > 0) {
		if (record.key.data == NULL || record.offset < from)
			continue;
		fits = clean_map_put(cleaning->map, record.key, record.offset);
		if (fits)
			cleaning->latest_offset = record.offset;
	}
	record_reader_free(&reader);
	return (fits && *found == 0);
}

/* False: as map_records(). */
static bool
map_batch(struct cleaning *cleaning, const struct batch *batch, int *found)
{
	*found = 0;
	if ((batch->attributes & BATCH_ATTR_CONTROL) != 0)
		(void)clean_txns_marker(&cleaning->txns, batch, NULL);
	else if (!clean_txns_data(&cleaning->txns, batch) &&
	    !map_records(cleaning, batch, found))
		return (false);
	if (batch->last_offset >= cleaning->candidate.first_dirty)
		cleaning->latest_offset = batch->last_offset;
	return (true);
}

/* Behind the segments that the pass takes: it filters each of them to its end,
 * also the one in which the map ends. */
static int64_t
taken_end(const struct cleaning *cleaning)
{
	const struct segment_list *list = cleaning->list;
	size_t slot = 0;

	while (slot + 1 < list->count &&
	    list->items[slot]->base_offset < cleaning->end_offset)
		slot++;
	return (list->items[slot]->base_offset);
}

/* The log's start: retention may have taken segments since. */
static size_t
first_left(const struct cleaning *cleaning)
{
	struct segment_list *now = log_segments(cleaning->log);
	const struct segment_list *list = cleaning->list;
	size_t slot = 0;

	while (slot + 1 < list->count &&
	    list->items[slot]->base_offset < now->items[0]->base_offset)
		slot++;
	segment_list_unref(now);
	return (slot);
}

static enum clean_state
map_end(struct cleaning *cleaning)
{
	size_t first = first_left(cleaning);

	walk_stop(cleaning);
	cleaning->end_offset = cleaning->latest_offset + 1;
	cleaning->stats.percent = clean_map_percent(cleaning->map);
	cleaning->slot = cleaning->group = cleaning->group_end = first;
	cleaning->stage = CLEAN_GROUP;
	if (!clean_txns_load(&cleaning->txns, cleaning->list,
		cleaning->list->items[first]->base_offset,
		taken_end(cleaning)))
		return (refused(cleaning,
		    "could not read an index of aborted transactions"));
	return (CLEAN_MORE);
}

/* The next segment, or all is read. */
static enum clean_state
map_next(struct cleaning *cleaning)
{
	const struct segment_list *list = cleaning->list;

	walk_stop(cleaning);
	/* first_uncleanable is the base of one behind it. */
	CHECK(cleaning->slot + 1 < list->count);
	cleaning->slot++;
	/* Offsets that are missing at its end are told, too. */
	cleaning->latest_offset = list->items[cleaning->slot]->base_offset - 1;
	if (cleaning->slot + 1 == list->count ||
	    list->items[cleaning->slot]->base_offset >=
		cleaning->candidate.first_uncleanable)
		return (map_end(cleaning));
	walk_begin(cleaning, 0);
	return (CLEAN_MORE);
}

static enum clean_state
map_some(struct cleaning *cleaning, int64_t max_bytes)
{
	int64_t left = max_bytes;
	enum walk_found found = WALK_BATCH;
	struct batch batch;
	int64_t position;
	int record;

	if (!cleaning->walking) {
		enum clean_state begun = map_begin(cleaning);

		if (begun != CLEAN_MORE)
			return (begun);
	}
	while (left > 0 && (found = walk_next(&cleaning->walk, &batch,
		&position)) == WALK_BATCH) {
		left -= batch.size;
		cleaning->stats.mapped_bytes += batch.size;
		cleaning->io_bytes += batch.size;
		if (map_batch(cleaning, &batch, &record))
			continue;
		return (record < 0 ? damaged(cleaning, position) :
				     map_end(cleaning));
	}
	if (found == WALK_BATCH)
		return (CLEAN_MORE);
	return (found == WALK_END ? map_next(cleaning) :
				    walk_failed(cleaning, found));
}

/* --- GROUP ---------------------------------------------------------------- */

struct group_sizes {
	int64_t log;
	int64_t offsets;
	int64_t times;
};

static struct group_sizes
sizes_of(struct log *log, const struct segment *segment)
{
	struct group_sizes sizes;

	lock_take(&log->lock);
	sizes = (struct group_sizes){ segment->size,
		(int64_t)segment->offsets.count * 8,
		(int64_t)segment->times.count * 12 };
	lock_release(&log->lock);
	return (sizes);
}

/* The last offset that may be in a segment. */
static int64_t
last_offset_of(const struct cleaning *cleaning, size_t slot)
{
	const struct segment_list *list = cleaning->list;

	if (slot + 1 < list->count &&
	    list->items[slot + 1]->base_offset < cleaning->end_offset)
		return (list->items[slot + 1]->base_offset - 1);
	return (cleaning->candidate.first_uncleanable - 1);
}

static bool
group_takes(struct cleaning *cleaning, struct group_sizes *sum)
{
	const struct log_settings *settings = &cleaning->settings;
	const struct segment_list *list = cleaning->list;
	size_t slot = cleaning->group_end;
	struct group_sizes more;

	if (slot + 1 >= list->count ||
	    list->items[slot]->base_offset >= cleaning->end_offset)
		return (false);
	more = sizes_of(cleaning->log, list->items[slot]);
	sum->log += more.log;
	sum->offsets += more.offsets;
	sum->times += more.times;
	return (slot == cleaning->group ||
	    (sum->log <= settings->segment_bytes &&
		sum->offsets <= settings->index_bytes &&
		sum->times <= settings->index_bytes &&
		(more.log == 0 || last_offset_of(cleaning, slot) -
			list->items[cleaning->group]->base_offset <=
		    INT32_MAX)));
}

static enum clean_state
filter_begin(struct cleaning *cleaning)
{
	struct segment *segment = cleaning->list->items[cleaning->slot];
	struct file_info info;

	if (segment_info(segment, &info) != 0)
		return (refused(cleaning, "could not look at a segment"));
	cleaning->retains_legacy = info.mtime_ms >
	    cleaning->legacy_horizon_ms;
	walk_begin(cleaning, 0);
	return (CLEAN_MORE);
}

static enum clean_state
group_begin(struct cleaning *cleaning)
{
	struct group_sizes sum = { 0 };
	int64_t bytes = 0;

	cleaning->slot = cleaning->group = cleaning->group_end;
	for (; group_takes(cleaning, &sum); cleaning->group_end++)
		bytes = sum.log;
	if (cleaning->group_end == cleaning->group)
		return (CLEAN_DONE);
	if (!clean_has_room(cleaning->log, bytes))
		return (CLEAN_REFUSED);
	mem_free(cleaning->producers);
	cleaning->producers = log_producers(cleaning->log,
	    &cleaning->producer_count);
	if (!clean_output_begin(&cleaning->output, cleaning->log,
		cleaning->list->items[cleaning->group]->base_offset))
		return (refused(cleaning, "could not make a segment"));
	cleaning->stage = CLEAN_FILTER;
	return (filter_begin(cleaning));
}

/* --- FILTER --------------------------------------------------------------- */

static bool
filter_keep(void *arg, const struct record *record)
{
	struct cleaning *cleaning = arg;
	const struct batch *batch = cleaning->batch;
	int64_t horizon_ms;

	if (cleaning->discards)
		return (false);
	if ((batch->attributes & BATCH_ATTR_CONTROL) != 0 ||
	    record->offset > cleaning->latest_offset)
		return (true);
	if (record->key.data == NULL) {
		cleaning->stats.keyless_records++;
		return (false);
	}
	if (record->offset < clean_map_get(cleaning->map, record->key))
		return (false);
	if (record->value.data != NULL)
		return (true);
	if (batch->magic < 2)
		return (cleaning->retains_legacy);
	return (!batch_delete_horizon(batch, &horizon_ms) ||
	    cleaning->now_ms < horizon_ms);
}

static int
producer_order(const void *key, const void *item)
{
	const int64_t *id = key;
	const struct log_producer *producer = item;

	return ((*id > producer->id) - (*id < producer->id));
}

/* What its producer did last: its sequence, or its epoch, is known by it. */
static bool
is_last_of_producer(const struct cleaning *cleaning, const struct batch *batch)
{
	const struct log_producer *producer;

	if (batch->producer_id < 0 || cleaning->producer_count == 0)
		return (false);
	producer = bsearch(&batch->producer_id, cleaning->producers,
	    cleaning->producer_count, sizeof(*producer), producer_order);
	if (producer == NULL)
		return (false);
	if (producer->last_data_offset >= 0)
		return (batch->last_offset == producer->last_data_offset);
	return ((batch->attributes & BATCH_ATTR_CONTROL) != 0 &&
	    batch->producer_epoch == producer->epoch);
}

/*
 * Who copies the log learns from its batches where leader epochs began.  From
 * a later one it would take the epoch before for longer than that was, and let
 * a former leader keep what that alone has (KIP-101).  A pass meets all batches
 * in their order.
 */
static bool
begins_leader_epoch(struct cleaning *cleaning, const struct batch *batch)
{
	if (batch->magic < 2 || batch->leader_epoch <= cleaning->latest_epoch)
		return (false);
	cleaning->latest_epoch = batch->leader_epoch;
	return (batch->base_offset > 0);
}

/* False: errno, or (0) the batch is damaged. */
static bool
filter_batch(struct cleaning *cleaning, const struct batch *batch)
{
	bool control = (batch->attributes & BATCH_ATTR_CONTROL) != 0;
	struct clean_output *output = &cleaning->output;
	struct record_filter *filter = &cleaning->filter;
	struct record_filtered result;
	int64_t horizon_ms;
	bool may_go;

	cleaning->batch = batch;
	may_go = control ? clean_txns_marker(&cleaning->txns, batch,
	    &output->aborted) : clean_txns_data(&cleaning->txns, batch);
	cleaning->discards = may_go && (!control ||
	    (batch_delete_horizon(batch, &horizon_ms) &&
		horizon_ms <= cleaning->now_ms));
	filter->keep_empty = is_last_of_producer(cleaning, batch);
	filter->keep_place = begins_leader_epoch(cleaning, batch);
	filter->marker_is_last = may_go && control;
	errno = 0;
	if (cleaning->discards && !filter->keep_empty && !filter->keep_place)
		return (true);
	if (record_filter_batch(filter, batch, &output->bytes, &result) !=
	    ERR_NONE)
		return (false);
	cleaning->stats.read_records += result.read_count;
	cleaning->stats.written_records += result.kept_count;
	cleaning->stats.written_bytes += (int64_t)result.size;
	cleaning->io_bytes += (int64_t)result.size;
	return (result.size == 0 || clean_output_note(output, batch, &result));
}

static enum clean_state
group_end(struct cleaning *cleaning)
{
	const struct segment_list *list = cleaning->list;
	struct file_info info;

	if (segment_info(list->items[cleaning->group_end - 1], &info) != 0 ||
	    !clean_output_end(&cleaning->output, info.mtime_ms))
		return (refused(cleaning, "could not write a segment"));
	cleaning->stage = CLEAN_SWAP;
	return (CLEAN_MORE);
}

static enum clean_state
filter_next(struct cleaning *cleaning)
{
	walk_stop(cleaning);
	cleaning->slot++;
	return (cleaning->slot < cleaning->group_end ? filter_begin(cleaning) :
						       group_end(cleaning));
}

static enum clean_state
filter_some(struct cleaning *cleaning, int64_t max_bytes)
{
	int64_t left = max_bytes;
	enum walk_found found = WALK_BATCH;
	struct batch batch;
	int64_t position;

	while (left > 0 && (found = walk_next(&cleaning->walk, &batch,
		&position)) == WALK_BATCH) {
		left -= batch.size;
		cleaning->stats.read_bytes += batch.size;
		cleaning->io_bytes += batch.size;
		if (filter_batch(cleaning, &batch))
			continue;
		return (errno == 0 ? damaged(cleaning, position) :
		    refused(cleaning, "could not write a segment"));
	}
	if (found == WALK_BATCH)
		return (CLEAN_MORE);
	return (found == WALK_END ? filter_next(cleaning) :
				    walk_failed(cleaning, found));
}

enum clean_state
cleaning_step(struct cleaning *cleaning, int64_t max_bytes)
{
	enum clean_state state = CLEAN_MORE;

	if (cleaning_is_stale(cleaning))
		return (CLEAN_ABORTED);
	switch (cleaning->stage) {
	case CLEAN_MAP:
		return (map_some(cleaning, max_bytes));
	case CLEAN_GROUP:
		return (group_begin(cleaning));
	case CLEAN_FILTER:
		return (filter_some(cleaning, max_bytes));
	case CLEAN_SWAP:
		state = cleaning_swap(cleaning);
		if (state == CLEAN_MORE)
			cleaning->stage = CLEAN_GROUP;
		break;
	}
	return (state);
}
