/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes of a closed segment that lead a reader nowhere are made anew from its
 * batches, on a worker; until then readers look from its start on.  Those of
 * any segment that a start finds missing after a clean stop (or below the
 * recovery point) are made anew by the load.  Only headers are read, and
 * nothing is ever cut: whatever is damaged, what lies behind it was
 * acknowledged.
 */
#include <errno.h>

#include "base/loop.h"
#include "base/mem.h"
#include "storage/storage_int.h"

struct repair {
	struct work work; /* first */
	struct log *log;
	struct segment *segment;
};

/* Where an entry of the old index leads behind `position`; it need not be a
 * batch. *slot goes on from call to call. -1: nowhere. */
static int64_t
scan_resume(struct log *log, struct segment *real, int64_t position,
    uint32_t *slot)
{
	struct storage *storage = log->storage;
	struct index_entry entry;

	while (index_get(&real->offsets, storage->cache, storage->files,
	    real->path, *slot, &entry)) {
		(*slot)++;
		if (entry.position > position && entry.position < real->size)
			return (entry.position);
	}
	return (-1);
}

static void
scan_begin(struct log *log, struct segment *real, struct segment *scratch)
{
	index_init(&scratch->offsets, INDEX_OFFSETS,
	    storage_segment_id(log->storage), real->base_offset);
	index_init(&scratch->times, INDEX_TIMES, scratch->offsets.segment_id,
	    real->base_offset);
	scratch->max_timestamp_ms = -1;
	scratch->max_timestamp_offset = real->base_offset;
	scratch->next_offset = real->base_offset;
}

/* Entries of the batches from walk->position to the first place without one;
 * WALK_CORRUPT too where offsets go back or beyond 32 bits. */
static enum walk_found
scan_stretch(struct log *log, struct segment *scratch, struct walk *walk,
    int64_t *indexed)
{
	struct log_settings settings = log_get_settings(log);
	int64_t base_offset = scratch->offsets.base_offset;
	enum walk_found found;
	struct batch batch;
	int64_t position;

	while ((found = walk_next(walk, &batch, &position)) == WALK_BATCH) {
		struct segment_run run = {
			.position = position,
			.size = batch.size,
			.last_offset = batch.last_offset,
			.max_timestamp_ms = batch.max_timestamp_ms,
			.max_timestamp_offset = batch.last_offset,
		};

		if (storage_load_is_abandoned(log->storage))
			return (WALK_ERROR);
		scratch->overflows |= batch.last_offset - base_offset >
		    INT32_MAX;
		if (scratch->overflows ||
		    batch.last_offset < scratch->next_offset)
			return (WALK_CORRUPT);
		scratch->bytes_since_index = position - *indexed;
		if (scratch->bytes_since_index > settings.index_interval_bytes)
			*indexed = position;
		segment_note_append(scratch, &run,
		    settings.index_interval_bytes, settings.index_bytes);
		scratch->next_offset = batch.last_offset + 1;
	}
	return (found);
}

/* Entries of all batches in a segment of our own; the real one is only read.
 * *damage: the first place without a batch (-1: none); what lies behind it is
 * found where the old index leads there. False: errno. */
static bool
repair_scan(struct log *log, struct segment *real, struct segment *scratch,
    int64_t *damage)
{
	enum walk_found found = WALK_CORRUPT;
	int64_t indexed = 0;
	int64_t from = 0;
	uint32_t slot = 0;

	scan_begin(log, real, scratch);
	*damage = -1;
	while (from >= 0 && !scratch->overflows) {
		struct walk walk;

		segment_walk(real, &walk, from, real->size, false);
		found = scan_stretch(log, scratch, &walk, &indexed);
		segment_walk_end(real, &walk);
		if (found == WALK_END || found == WALK_ERROR)
			break;
		if (*damage < 0)
			*damage = walk.position;
		from = scan_resume(log, real, walk.position, &slot);
	}
	segment_note_close(scratch);
	if (scratch->overflows)
		errno = EOVERFLOW;
	return (found != WALK_ERROR && !scratch->overflows);
}

/* `real` has what was written for `scratch`. */
static void
index_adopt(struct index *real, const struct index *scratch)
{
	buffer_fini(&real->entries);
	real->entries = BUFFER_EMPTY;
	real->segment_id = scratch->segment_id;
	real->count = real->written = scratch->count;
	real->in_memory = false;
	real->differs = false;
	real->unsynced = true;
}

static void
repair_publish(struct log *log, struct segment *real, struct segment *scratch)
{
	lock_take(&log->lock);
	index_adopt(&real->offsets, &scratch->offsets);
	index_adopt(&real->times, &scratch->times);
	real->max_timestamp_ms = scratch->max_timestamp_ms;
	real->max_timestamp_offset = scratch->max_timestamp_offset;
	lock_release(&log->lock);
}

/* Under log->closing: nobody else writes files of closed segments. */
static bool
repair_closed(struct log *log, struct segment *real)
{
	struct segment scratch = { .files = real->files, .path = real->path };
	struct segment_list *list = log_segments(log);
	size_t slot = segment_list_find(list, real->base_offset);
	bool closed = slot + 1 < list->count && list->items[slot] == real &&
	    !real->offsets.in_memory;
	int64_t damage;
	bool good;

	segment_list_unref(list);
	if (!closed)
		return (false);
	good = repair_scan(log, real, &scratch, &damage) && damage < 0 &&
	    segment_write_indexes(&scratch, false) == 0;
	if (good)
		repair_publish(log, real, &scratch);
	index_fini(&scratch.offsets);
	index_fini(&scratch.times);
	return (good);
}

bool
segment_reindex(struct log *log, struct segment *segment, bool offsets)
{
	struct segment scratch = { .files = segment->files,
		.path = segment->path };
	int64_t damage;
	bool good;

	storage_load_goes_on(log->storage);
	good = repair_scan(log, segment, &scratch, &damage) &&
	    (!offsets || index_write(&scratch.offsets, scratch.files,
			     scratch.path, false) == 0) &&
	    index_write(&scratch.times, scratch.files, scratch.path, false) ==
		0;
	if (good && offsets)
		index_adopt(&segment->offsets, &scratch.offsets);
	if (good)
		index_adopt(&segment->times, &scratch.times);
	segment->overflows = scratch.overflows;
	if (good && damage >= 0)
		diag_error(log->storage->diag, storage,
		    "partition=%s no batch where one was written, what can be "
		    "found behind it is served position=%lld file=%s.log",
		    log->name, (long long)damage, segment->path);
	index_fini(&scratch.offsets);
	index_fini(&scratch.times);
	return (good);
}

static void
repair_run(struct work *work)
{
	struct repair *repair = (struct repair *)(void *)work;
	struct log *log = repair->log;
	bool good;

	lock_take(&log->closing);
	good = !log_failed(log) && repair_closed(log, repair->segment);
	lock_release(&log->closing);
	diag_warn(log->storage->diag, storage,
	    "partition=%s an index led to no batch, it is %s file=%s",
	    log->name,
	    good ? "made anew" : "not used, reads of the segment are slow",
	    repair->segment->path);
	segment_unref(repair->segment);
	log_unref(log);
	mem_free(repair);
}

void
segment_repair_later(struct log *log, struct segment *segment)
{
	struct repair *repair;

	if (log->storage->work == NULL ||
	    atomic_exchange(&segment->index_said, true))
		return;
	repair = mem_zalloc(sizeof(*repair));
	repair->work.run = repair_run;
	repair->log = log_ref(log);
	repair->segment = segment_ref(segment);
	work_submit(log->storage->work, &repair->work);
}
