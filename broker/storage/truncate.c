/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a log at either end.  A truncation is known to the disk (recovery
 * point checkpoint) before anything is written where it cut, or a crash could
 * take the new bytes for flushed ones.  Readers see the log and its leader
 * epochs cut at once, and the epochs' file comes last: a log that lost its
 * epochs alone, and not the records, would pass for one that agrees with its
 * leader.
 *
 *	[whole] --cut_memory--> CUT_END --cut_files, cut_state--> [whole]
 *	   \------------------> CUT_ALL --cut_whole-------------> [whole]
 *
 * A want of room or descriptors may stop it in between; whoever comes next (a
 * truncation, an append, retention, the close) does all steps again.
 */
#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

static enum error cut_epochs_alone(struct log *log, int64_t offset);
static enum error truncate_end(struct log *log, int64_t offset);
static enum error truncate_fully(struct log *log, int64_t offset);
static enum error cut_memory(struct log *log, int64_t offset);
static void cut_indexes(struct segment *active, int64_t offset);
static bool cut_finish(struct log *log);
static bool cut_files(struct log *log);
static bool cut_state(struct log *log, int64_t offset);
static bool cut_epochs(struct log *log);
static bool cut_whole(struct log *log, int64_t offset);

static void
store_down(atomic_llong *where, int64_t bound)
{
	if (atomic_load(where) > bound)
		atomic_store(where, bound);
}

/* A want stops it half-way: then it is for the next one to go on. */
static enum error
cut_or_refuse(struct log *log)
{
	return (cut_finish(log) ? ERR_NONE
				: log_refuse(log, "could not truncate"));
}

enum error
log_finish_cut(struct log *log)
{
	enum error error;

	if (log->cut == CUT_NONE)
		return (ERR_NONE);
	lock_take(&log->closing);
	error = cut_or_refuse(log);
	lock_release(&log->closing);
	return (error);
}

enum error
log_truncate_to(struct log *log, int64_t offset)
{
	enum error error;

	CHECK_MAGIC(log, LOG_MAGIC);
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	lock_take(&log->writer);
	lock_take(&log->closing);
	error = log_deleted(log) ? ERR_KAFKA_STORAGE_ERROR :
				   cut_or_refuse(log);
	if (error != ERR_NONE)
		goto out;
	/* Those that stay pending (a full disk) bear the cut. */
	(void)log_finish_rolls_locked(log);
	/* Retention may move the first segment: only the writer may look. */
	error = offset < log->segments->items[0]->base_offset
	    ? truncate_fully(log, offset)
	    : truncate_end(log, offset);
out:
	lock_release(&log->closing);
	lock_release(&log->writer);
	return (error);
}

/* Nothing was appended in those that go. */
static enum error
cut_epochs_alone(struct log *log, int64_t offset)
{
	struct epochs epochs;

	epochs_copy(&epochs, &log->epochs);
	if (!epochs_cut_end(&epochs, offset))
		epochs_fini(&epochs);
	else if (!log_set_epochs_soon(log, &epochs))
		return (log_fail(log, "could not write leader epochs"));
	return (ERR_NONE);
}

static enum error
truncate_end(struct log *log, int64_t offset)
{
	enum error error;

	if (offset >= log_end_offset(log))
		return (cut_epochs_alone(log, offset));
	diag_info(log->storage->diag, storage,
	    "partition=%s truncated from=%lld to=%lld", log->name,
	    (long long)log_end_offset(log), (long long)offset);
	error = cut_memory(log, offset);
	return (error == ERR_NONE ? cut_or_refuse(log) : error);
}

/* Both or none. */
static bool
load_indexes(struct log *log, struct segment *active)
{
	struct files *files = log->storage->files;
	bool closed = !active->offsets.in_memory;
	bool good;
	int error;

	lock_take(&log->lock);
	good = !closed ||
	    index_load(&active->offsets, files, active->path) == 0;
	if (good && !active->times.in_memory &&
	    index_load(&active->times, files, active->path) != 0) {
		error = errno;
		if (closed)
			index_unload(&active->offsets);
		errno = error;
		good = false;
	}
	lock_release(&log->lock);
	return (good);
}

/* Segments that begin behind the offset go, the last one left is cut: for all
 * who look.  What could refuse comes first. */
static enum error
cut_memory(struct log *log, int64_t offset)
{
	struct segment_list *before = log->segments;
	size_t kept = segment_list_find(before, offset) + 1;
	struct segment *active = before->items[kept - 1];
	struct log_view view = log_view_of(log, active);
	struct segment_list *list;
	struct log_place place;
	enum error error = log_locate(log, active, offset, &view, &place);

	if (error != ERR_NONE)
		return (error);
	if (!load_indexes(log, active))
		return (log_refuse(log, "could not read an index"));
	list = segment_list_new(before->items, kept);
	log->cut = CUT_END;
	log->cut_start = log_start_offset(log) > offset;
	if (kept < before->count)
		log->cut_off = segment_list_new(before->items + kept,
		    before->count - kept);
	lock_take(&log->lock);
	atomic_fetch_add(&log->truncations, 1);
	/* Other pages than those that the cache may have. */
	active->offsets.segment_id = active->times.segment_id =
	    storage_segment_id(log->storage);
	active->size = place.position;
	active->next_offset = offset;
	cut_indexes(active, offset);
	log_drop_rolls(log, active->base_offset);
	log_publish_segments(log, list);
	atomic_store_explicit(&log->end_offset, offset, memory_order_release);
	store_down(&log->start_offset, offset);
	store_down(&log->high_watermark, offset);
	store_down(&log->recovery_point, offset);
	log_cut_epochs(log, offset);
	lock_release(&log->lock);
	active->bytes_since_index = 0;
	active->first_timestamp_ms = TIMESTAMP_UNREAD;
	segment_list_unref(before);
	return (ERR_NONE);
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

/* All steps of one that is not through; each may have been done before. False:
 * errno. */
static bool
cut_finish(struct log *log)
{
	bool good = true;

	switch (atomic_load(&log->cut)) {
	case CUT_NONE:
		break;
	case CUT_END:
		good = cut_files(log) &&
		    cut_state(log, log_end_offset(log)) && cut_epochs(log);
		break;
	case CUT_ALL:
		good = cut_whole(log, log->cut_offset);
		break;
	}
	if (good)
		log->cut = CUT_NONE;
	return (good);
}

static bool
cut_files(struct log *log)
{
	struct segment *active = log_active(log);
	struct segment_list *off = log->cut_off;

	/* The last one first: who dies meanwhile leaves no hole. */
	for (size_t i = off == NULL ? 0 : off->count; i-- > 0;)
		if (segment_mark_deleted(off->items[i]) != 0)
			return (false);
	log->cut_off = NULL;
	active->reserved = 0; /* the cut frees what lay behind, too */
	if (off != NULL)
		storage_delete_later(log->storage, log, off);
	return (segment_truncate(active, active->size) == 0 &&
	    aborted_cut(log, active, log_end_offset(log)) &&
	    segment_write_indexes(active, false) == 0);
}

/* Producers as of the new end, and the checkpoints. */
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
	/* Until it is known who is in the middle of a transaction, those before
	 * are: nobody reads what is not settled. */
	if (!good) {
		int error = errno;

		producers_fini(&producers);
		errno = error;
		return (false);
	}
	producers.end_offset = offset;
	lock_take(&log->lock);
	old = log->producers;
	log->producers = producers;
	log_note_producers(log);
	lock_release(&log->lock);
	producers_fini(&old);
	/* Before anything is appended below the old recovery point. */
	return (log_lower_cleaned(log, log_active(log)->base_offset) &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_RECOVERY_POINT) &&
	    (!log->cut_start ||
		log_dir_must_checkpoint(log->dir, CHECKPOINT_START_OFFSET)));
}

static bool
cut_epochs(struct log *log)
{
	struct epochs epochs;

	if (!log->epochs_differ)
		return (true);
	epochs_copy(&epochs, &log->epochs);
	return (log_set_epochs_soon(log, &epochs));
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
	/* What the other kind has cut off has its names yet. */
	enum error error = log->cut == CUT_END ? cut_or_refuse(log) : ERR_NONE;

	if (error != ERR_NONE)
		return (error);
	diag_info(log->storage->diag, storage,
	    "partition=%s truncated fully, starts at=%lld", log->name,
	    (long long)offset);
	log->cut = CUT_ALL;
	log->cut_offset = offset;
	return (cut_or_refuse(log));
}

static bool
cut_whole(struct log *log, int64_t offset)
{
	struct segment_list *before = log->segments;
	struct segment *made;
	struct segment_list *list;
	struct epochs none = { 0 };

	for (size_t i = 0; i < before->count; i++)
		if (segment_mark_deleted(before->items[i]) != 0)
			return (false);
	made = log_new_segment(log, offset);
	if (made == NULL)
		return (false);
	list = segment_list_new(&made, 1);
	segment_unref(made);
	if (!snapshot_prune(log, INT64_MAX, -1)) {
		int error = errno;

		segment_list_unref(list);
		errno = error;
		return (false);
	}
	lock_take(&log->lock);
	atomic_fetch_add(&log->truncations, 1);
	log_drop_rolls(log, 0);
	log_publish_segments(log, list);
	producers_clear(&log->producers);
	log->producers.end_offset = offset;
	log->producers.snapshot_offset = 0;
	log_note_producers(log);
	atomic_store(&log->aborted_last, -1);
	atomic_store(&log->start_offset, offset);
	atomic_store(&log->high_watermark, offset);
	atomic_store(&log->recovery_point, offset);
	atomic_store_explicit(&log->end_offset, offset, memory_order_release);
	lock_release(&log->lock);
	storage_delete_later(log->storage, log, before);
	return (log_set_epochs_soon(log, &none) &&
	    log_lower_cleaned(log, offset) &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_RECOVERY_POINT) &&
	    log_dir_must_checkpoint(log->dir, CHECKPOINT_START_OFFSET));
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
