/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a log at either end.  A truncation is known to the disk (recovery
 * point checkpoint) before anything is written where it cut, or a crash could
 * take the new bytes for flushed ones.
 */
#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

static bool cut_segments(struct log *log, int64_t offset);
static bool cut_active(struct log *log, struct segment *active,
    int64_t offset);
static void cut_indexes(struct segment *active, int64_t offset);
static bool cut_state(struct log *log, int64_t offset);
static enum error truncate_fully(struct log *log, int64_t offset);

static void
store_down(atomic_llong *where, int64_t bound)
{
	if (atomic_load(where) > bound)
		atomic_store(where, bound);
}

enum error
log_truncate_to(struct log *log, int64_t offset)
{
	enum error error = ERR_NONE;
	struct epochs epochs;

	CHECK_MAGIC(log, LOG_MAGIC);
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	if (log_deleted(log)) {
		lock_release(&log->writer);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	lock_take(&log->closing);
	/* Those that stay pending (a full disk) bear the cut. */
	(void)log_finish_rolls_locked(log);
	/* Retention may move the first segment: only the writer may look. */
	if (offset < log->segments->items[0]->base_offset) {
		error = truncate_fully(log, offset);
		goto out;
	}
	epochs_copy(&epochs, &log->epochs);
	if (!epochs_cut_end(&epochs, offset))
		epochs_fini(&epochs);
	else if (!log_set_epochs_soon(log, &epochs))
		error = log_fail(log, "could not write leader epochs");
	if (error == ERR_NONE && offset < log_end_offset(log)) {
		diag_info(log->storage->diag, storage,
		    "partition=%s truncated from=%lld to=%lld", log->name,
		    (long long)log_end_offset(log), (long long)offset);
		if (!cut_segments(log, offset) || !cut_state(log, offset))
			error = log_refuse(log, "could not truncate");
	}
out:
	lock_release(&log->closing);
	lock_release(&log->writer);
	return (error);
}

/* Segments that begin behind the offset go, the last one left is cut. */
static bool
cut_segments(struct log *log, int64_t offset)
{
	struct segment_list *before = log->segments;
	size_t kept = segment_list_find(before, offset) + 1;
	struct segment *active = before->items[kept - 1];
	struct segment_list *list;

	for (size_t i = kept; i < before->count; i++)
		if (segment_mark_deleted(before->items[i]) != 0)
			return (false);
	if (!cut_active(log, active, offset))
		return (false);
	list = segment_list_new(before->items, kept);
	lock_take(&log->lock);
	atomic_fetch_add(&log->truncations, 1);
	log_publish_segments(log, list);
	atomic_store_explicit(&log->end_offset, offset, memory_order_release);
	store_down(&log->start_offset, offset);
	store_down(&log->high_watermark, offset);
	store_down(&log->recovery_point, offset);
	lock_release(&log->lock);
	if (kept < before->count)
		storage_delete_later(log->storage, log,
		    segment_list_new(before->items + kept,
			before->count - kept));
	segment_list_unref(before);
	return (true);
}

static bool
cut_active(struct log *log, struct segment *active, int64_t offset)
{
	struct files *files = log->storage->files;
	struct log_view view = log_view_of(log, active);
	struct log_place place;
	bool good;

	if (log_locate(log, active, offset, &view, &place) != ERR_NONE)
		return (false);
	lock_take(&log->lock);
	good = active->offsets.in_memory ||
	    (index_load(&active->offsets, files, active->path) == 0 &&
		index_load(&active->times, files, active->path) == 0);
	if (good) {
		/* Other pages than those that the cache may have. */
		active->offsets.segment_id = active->times.segment_id =
		    storage_segment_id(log->storage);
		atomic_fetch_add(&log->truncations, 1);
		active->size = place.position;
		active->next_offset = offset;
		cut_indexes(active, offset);
	}
	lock_release(&log->lock);
	active->bytes_since_index = 0;
	if (place.position == 0)
		active->first_timestamp_ms = TIMESTAMP_UNREAD;
	return (good &&
	    segment_truncate(active, place.position) == 0 &&
	    aborted_cut(log, active, offset) &&
	    segment_write_indexes(active, false) == 0);
}

static void
cut_indexes(struct segment *active, int64_t offset)
{
	struct index *const indexes[] = { &active->offsets, &active->times };
	struct index_entry entry = {
		.offset = active->base_offset,
		.timestamp_ms = -1,
		.position = 0,
	};
	int64_t position = 0;
	struct walk walk;
	struct batch batch;

	for (size_t i = 0; i < nelems(indexes); i++) {
		struct index *index = indexes[i];
		uint32_t count = index->count;

		while (count > 0 &&
		    index_get(index, NULL, NULL, NULL, count - 1, &entry) &&
		    (entry.offset >= offset ||
			(index->kind == INDEX_OFFSETS &&
			    entry.position >= active->size)))
			count--;
		index_cut(index, count);
		if (index->kind == INDEX_OFFSETS && count > 0)
			position = entry.position;
	}
	active->max_timestamp_ms = active->times.count > 0
	    ? entry.timestamp_ms
	    : -1;
	active->max_timestamp_offset = active->times.count > 0
	    ? entry.offset
	    : active->base_offset;
	/* What came after the last entry counts as well. */
	segment_walk(active, &walk, position, active->size, false);
	while (walk_next(&walk, &batch, &position) == WALK_BATCH) {
		if (batch.max_timestamp_ms <= active->max_timestamp_ms)
			continue;
		active->max_timestamp_ms = batch.max_timestamp_ms;
		active->max_timestamp_offset = batch.last_offset;
	}
	segment_walk_end(active, &walk);
}

/* Producers as of the new end, and the checkpoint. */
static bool
cut_state(struct log *log, int64_t offset)
{
	int64_t start_offset = log_start_offset(log);
	struct segment_list *list = log->segments;
	struct producers producers = { 0 };
	struct producers old;
	bool good;

	good = snapshot_prune(log, start_offset, offset) &&
	    snapshot_load(log, &producers, start_offset, offset) &&
	    producers_replay(log, &producers, list->items, list->count,
		offset);
	producers.end_offset = offset;
	lock_take(&log->lock);
	old = log->producers;
	log->producers = producers;
	log_note_unsettled(log);
	lock_release(&log->lock);
	producers_fini(&old);
	/* Before anything is appended below the old recovery point. */
	return (good &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_RECOVERY_POINT));
}

enum error
log_truncate_fully(struct log *log, int64_t offset)
{
	enum error error;

	CHECK_MAGIC(log, LOG_MAGIC);
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	lock_take(&log->closing);
	error = log_deleted(log) ? ERR_KAFKA_STORAGE_ERROR :
				   truncate_fully(log, offset);
	lock_release(&log->closing);
	lock_release(&log->writer);
	return (error);
}

static enum error
truncate_fully(struct log *log, int64_t offset)
{
	struct segment_list *before;
	struct segment_list *list = NULL;
	struct segment *made = NULL;
	struct epochs none = { 0 };
	enum error error = ERR_NONE;
	bool good = true;

	diag_info(log->storage->diag, storage,
	    "partition=%s truncated fully, starts at=%lld", log->name,
	    (long long)offset);
	before = log->segments;
	for (size_t i = 0; good && i < before->count; i++)
		good = segment_mark_deleted(before->items[i]) == 0;
	good = good && (made = log_new_segment(log, offset)) != NULL &&
	    snapshot_prune(log, INT64_MAX, -1);
	if (good) {
		list = segment_list_new(&made, 1);
		lock_take(&log->lock);
		atomic_fetch_add(&log->truncations, 1);
		log_publish_segments(log, list);
		producers_clear(&log->producers);
		log->producers.end_offset = offset;
		log->producers.snapshot_offset = 0;
		log_note_unsettled(log);
		atomic_store(&log->aborted_last, -1);
		atomic_store(&log->start_offset, offset);
		atomic_store(&log->high_watermark, offset);
		atomic_store(&log->recovery_point, offset);
		atomic_store_explicit(&log->end_offset, offset,
		    memory_order_release);
		lock_release(&log->lock);
		storage_delete_later(log->storage, log, before);
	}
	good = good && log_set_epochs_soon(log, &none) &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_RECOVERY_POINT) &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_START_OFFSET);
	if (!good)
		error = log_refuse(log, "could not truncate");
	if (made != NULL)
		segment_unref(made);
	return (error);
}

enum error
log_advance_start(struct log *log, int64_t offset)
{
	CHECK_MAGIC(log, LOG_MAGIC);
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (offset > atomic_load(&log->high_watermark))
		return (ERR_OFFSET_OUT_OF_RANGE);
	lock_take(&log->writer);
	lock_take(&log->lock);
	if (offset > log_start_offset(log)) {
		atomic_store_explicit(&log->start_offset, offset,
		    memory_order_release);
		log_dir_changed(log->dir, CHECKPOINT_START_OFFSET);
		if (epochs_cut_start(&log->epochs, offset))
			log_epochs_begin_later(log);
	}
	lock_release(&log->lock);
	lock_release(&log->writer);
	return (ERR_NONE);
}
