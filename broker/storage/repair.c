/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes of a closed segment that lead a reader nowhere are made anew from its
 * batches, on a worker; until then readers look from its start on.
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

/* Entries of all batches in a segment of our own; the real one is only read. */
static bool
repair_scan(struct log *log, struct segment *real, struct segment *scratch)
{
	struct log_settings settings = log_get_settings(log);
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;
	int64_t indexed = 0;

	index_init(&scratch->offsets, INDEX_OFFSETS,
	    storage_segment_id(log->storage), real->base_offset);
	index_init(&scratch->times, INDEX_TIMES, scratch->offsets.segment_id,
	    real->base_offset);
	scratch->max_timestamp_ms = -1;
	scratch->max_timestamp_offset = real->base_offset;
	segment_walk(real, &walk, 0, real->size, false);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH) {
		struct segment_run run = {
			.position = position,
			.size = batch.size,
			.last_offset = batch.last_offset,
			.max_timestamp_ms = batch.max_timestamp_ms,
			.max_timestamp_offset = batch.last_offset,
		};

		scratch->bytes_since_index = position - indexed;
		if (scratch->bytes_since_index > settings.index_interval_bytes)
			indexed = position;
		segment_note_append(scratch, &run,
		    settings.index_interval_bytes, settings.index_bytes);
	}
	segment_walk_end(real, &walk);
	segment_note_close(scratch);
	return (found == WALK_END);
}

static void
repair_publish(struct log *log, struct segment *real, struct segment *scratch)
{
	struct index *const to[] = { &real->offsets, &real->times };
	struct index *const from[] = { &scratch->offsets, &scratch->times };

	lock_take(&log->lock);
	for (size_t i = 0; i < nelems(to); i++) {
		to[i]->segment_id = from[i]->segment_id;
		to[i]->count = to[i]->written = from[i]->count;
		to[i]->differs = false;
		to[i]->unsynced = true;
	}
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
	bool good = false;

	segment_list_unref(list);
	if (!closed)
		return (false);
	good = repair_scan(log, real, &scratch) &&
	    segment_write_indexes(&scratch, false) == 0;
	if (good)
		repair_publish(log, real, &scratch);
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
