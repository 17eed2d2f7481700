/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To the disk: what lies below the recovery point is there, whatever happens to
 * the machine.  A flush syncs the segments from the recovery point on and then
 * moves it, unless a truncation came between.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/check.h"
#include "base/loop.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "storage/storage_int.h"

struct flush_work {
	struct work work; /* first */
	struct log *log;
	int64_t offset;
};

/* What is synced: the log may move away while it is, and then it is all on the
 * disk, and what is missing here is no failure. */
struct sync {
	struct log *log;
	struct log_dir *dir;
	unsigned moves;
};

static struct sync
sync_begin(struct log *log)
{
	unsigned moves = atomic_load(&log->moves);

	return ((struct sync){ log, log->dir, moves });
}

static bool
sync_moved(const struct sync *sync)
{
	return (atomic_load(&sync->log->moves) != sync->moves);
}

/* What the kernel could not write it takes for written all the same, and the
 * next sync would succeed over the hole: whatever the reason, no later one is
 * to be believed. */
static bool
sync_descriptor(const struct sync *sync, int descriptor)
{
	struct files *files = sync->log->storage->files;

	if (files->ops->sync(files, descriptor) == 0)
		return (true);
	if (!log_deleted(sync->log))
		log_dir_fail(sync->dir, "could not sync", sync->dir->path,
		    errno);
	return (false);
}

static bool
sync_segment(const struct sync *sync, struct segment *segment)
{
	const struct storage_setup *setup = &sync->log->storage->setup;
	int descriptor = segment_pin(segment);
	int64_t began_ns;
	bool good;

	if (descriptor < 0)
		return (false);
	began_ns = clock_mono_ns(setup->clock);
	good = sync_descriptor(sync, descriptor);
	metrics_observe(setup->metrics, METRIC_LOG_FLUSH_TIME,
	    clock_mono_ns(setup->clock) - began_ns);
	segment_unpin(segment);
	return (good);
}

/* Or a directory. */
static bool
sync_file(const struct sync *sync, const char *name)
{
	struct files *files = sync->log->storage->files;
	int descriptor = files->ops->open(files, name, O_RDONLY, 0);
	bool good;

	if (descriptor < 0)
		return (false);
	good = sync_descriptor(sync, descriptor);
	files->ops->close(files, descriptor);
	return (good);
}

/* One that need not be there. */
static bool
sync_if_there(const struct sync *sync, const char *name)
{
	return (sync_file(sync, name) ||
	    (!log_dir_failed(sync->dir) && errno == ENOENT));
}

/* The .txnindex, but not its name. */
static bool
sync_aborted(const struct sync *sync, struct segment *segment)
{
	char name[PATH_MAX];

	if (!atomic_exchange(&segment->aborted_unsynced, false))
		return (true);
	segment_file(segment, ".txnindex", name);
	if (sync_if_there(sync, name))
		return (true);
	atomic_store(&segment->aborted_unsynced, true);
	return (false);
}

/* After one that was not good: a failed sync was told already. */
static enum error
sync_refused(const struct sync *sync, const char *what)
{
	if (sync_moved(sync))
		return (ERR_NONE);
	return (log_dir_failed(sync->dir) ? ERR_KAFKA_STORAGE_ERROR
					  : log_refuse(sync->log, what));
}

/* A closed segment: its index files and its snapshot too. */
static bool
sync_closed(const struct sync *sync, struct segment *segment, int64_t next_base)
{
	static const char *const suffixes[] = { ".index", ".timeindex",
		".txnindex" };
	char name[PATH_MAX];

	for (size_t i = 0; i < nelems(suffixes); i++) {
		segment_file(segment, suffixes[i], name);
		if (!sync_if_there(sync, name))
			return (false);
	}
	log_offset_file(sync->log, next_base, ".snapshot", name);
	return (sync_if_there(sync, name));
}

/* The segment that ends at `offset` when all before is on the disk already: its
 * last index entries and its snapshot were written when it was closed. */
static enum error
flush_closed(struct log *log, int64_t offset)
{
	struct sync sync = sync_begin(log);
	struct segment_list *list = log_segments(log);
	size_t next = segment_list_find(list, offset);
	bool good = next == 0 || list->items[next]->base_offset != offset ||
	    sync_closed(&sync, list->items[next - 1], offset);

	segment_list_unref(list);
	return (good ? ERR_NONE
		     : sync_refused(&sync, "could not sync an index"));
}

enum error
log_flush_to(struct log *log, int64_t offset)
{
	/* First, or one that comes in between would not be seen. */
	unsigned truncations = atomic_load(&log->truncations);
	int64_t point = atomic_load(&log->recovery_point);
	struct sync sync = sync_begin(log);
	struct segment_list *list;
	bool good = true;

	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (offset <= point)
		return (ERR_NONE);
	/* What cannot be closed now keeps the recovery point where it is. */
	if (!log_finish_rolls(log))
		(void)log_refuse(log, "could not close a segment");
	list = log_segments(log);
	for (size_t i = segment_list_find(list, point);
	     good && i < list->count && list->items[i]->base_offset < offset;
	     i++) {
		struct segment *segment = list->items[i];

		good = sync_segment(&sync, segment) &&
		    (i + 1 == list->count ? sync_aborted(&sync, segment) :
			sync_closed(&sync, segment,
			    list->items[i + 1]->base_offset));
	}
	/* Names of new segments. */
	good = good && sync_file(&sync, log->path);
	segment_list_unref(list);
	if (!good)
		return (sync_refused(&sync, "could not sync a segment"));
	lock_take(&log->lock);
	offset = log_rolls_bound(log, offset);
	if (atomic_load(&log->truncations) == truncations &&
	    offset > atomic_load(&log->recovery_point)) {
		atomic_store(&log->recovery_point, offset);
		log_dir_changed(log->dir, CHECKPOINT_RECOVERY_POINT);
	}
	lock_release(&log->lock);
	atomic_store(&log->last_flush_ms, storage_mono_ms(log->storage));
	return (ERR_NONE);
}

enum error
log_flush(struct log *log)
{
	CHECK_MAGIC(log, LOG_MAGIC);
	return (log_flush_to(log, log_end_offset(log)));
}

bool
log_wants_flush(struct log *log)
{
	struct log_settings settings = log_get_settings(log);

	return (log_end_offset(log) - atomic_load(&log->recovery_point) >=
	    settings.flush_messages);
}

static void
flush_rolled(struct log *log, int64_t offset)
{
	if (log_failed(log))
		return;
	if (offset > atomic_load(&log->recovery_point))
		log_flush_to(log, offset);
	else if (log_finish_rolls(log))
		flush_closed(log, offset);
	else
		(void)log_refuse(log, "could not close a segment");
}

static void
flush_run(struct work *work)
{
	struct flush_work *flush = (struct flush_work *)(void *)work;

	flush_rolled(flush->log, flush->offset);
	log_unref(flush->log);
	mem_free(flush);
}

void
log_flush_later(struct log *log, int64_t offset)
{
	struct flush_work *flush;

	if (log->storage->work == NULL) {
		flush_rolled(log, offset);
		return;
	}
	flush = mem_zalloc(sizeof(*flush));
	flush->work.run = flush_run;
	flush->log = log_ref(log);
	flush->offset = offset;
	work_submit(log->storage->work, &flush->work);
}

/* Whatever was flushed before: where a recovery came to the end that it began
 * at, nothing was. */
static bool
close_aborted(struct log *log, struct segment *active)
{
	struct sync sync = sync_begin(log);

	return (!atomic_load(&active->aborted_unsynced) ||
	    (sync_aborted(&sync, active) && sync_file(&sync, log->path)));
}

bool
log_close_clean(struct log *log)
{
	struct segment *active;
	struct epochs epochs;
	bool good;

	lock_take(&log->writer);
	good = log_finish_cut(log) == ERR_NONE;
	active = log_active(log);
	lock_take(&log->lock);
	segment_note_close(active);
	if (log->producers.end_offset < log_end_offset(log))
		log->producers.end_offset = log_end_offset(log);
	epochs_copy(&epochs, &log->epochs);
	lock_release(&log->lock);
	good = good && log_finish_rolls(log) &&
	    log_flush_to(log, log_end_offset(log)) == ERR_NONE;
	good = good && close_aborted(log, active) &&
	    ((!log_get_settings(log).preallocate &&
		 !segment_has_spare(active)) ||
		segment_truncate(active, active->size) == 0) &&
	    segment_write_indexes(active, true) == 0 &&
	    snapshot_close(log);
	/* A start that moved up has not written its epochs yet. A load cuts off
	 * an epoch that has no records. */
	if (good && ((log->epochs_differ && !log->epochs_later) ||
			log->epochs_below))
		good = log_set_epochs(log, &epochs);
	else
		epochs_fini(&epochs);
	if (!good)
		diag_error(log->storage->diag, storage,
		    "partition=%s could not be closed cleanly, it will be "
		    "recovered errno=%d",
		    log->name, errno);
	log->closed = good;
	lock_release(&log->writer);
	return (good);
}
