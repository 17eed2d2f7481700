/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes round: checkpoints, retention, expiry of producers, flush by time,
 * and the files of deleted segments.  A timer a chore; the chore itself runs on
 * a worker and arms its timer again when it is done.
 *
 *	[armed] --due--> [on a worker] --done--> [armed]
 */
#include <errno.h>

#include "base/check.h"
#include "base/loop.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define DELETE_LOOK_MS 1000
/* Segments whose files are renamed under one hold of the writer's lock. */
#define RETAIN_AT_ONCE ((size_t)4)

struct chore {
	struct work work;
	struct timer timer;
	struct upkeep *upkeep;
	void (*run)(struct storage *storage);
	int64_t period_ms;
};

enum {
	CHORE_RECOVERY_POINTS,
	CHORE_START_OFFSETS,
	CHORE_HIGH_WATERMARKS,
	CHORE_RETENTION,
	CHORE_PRODUCERS,
	CHORE_FLUSH,
	CHORE_DELETION,
	CHORE_COUNT
};

/* Segments whose files wait for the end of file.delete.delay.ms. */
struct deletion {
	struct list link;
	struct segment_list *list;
	struct log *log;
	int64_t due_ms;
};

/* A chore that ends while the storage closes is told of it on its loop only
 * afterwards: who lets go last frees. */
struct upkeep {
	struct storage *storage;
	struct chore chores[CHORE_COUNT];
	atomic_uint references; /* the storage's, and one of each busy chore */
	bool stopped;           /* the loop's */
};

static void
each_dir_checkpoint(struct storage *storage, enum checkpoint_kind kind)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (!log_dir_failed(storage->dirs[i]) &&
		    atomic_load(&storage->dirs[i]->changed[kind]))
			log_dir_write_checkpoint(storage->dirs[i], kind);
}

static void
run_recovery_points(struct storage *storage)
{
	each_dir_checkpoint(storage, CHECKPOINT_RECOVERY_POINT);
}

static void
run_start_offsets(struct storage *storage)
{
	each_dir_checkpoint(storage, CHECKPOINT_START_OFFSET);
	each_dir_checkpoint(storage, CHECKPOINT_CLEANER);
}

static void
run_high_watermarks(struct storage *storage)
{
	each_dir_checkpoint(storage, CHECKPOINT_HIGH_WATERMARK);
}

bool
storage_write_starts(struct storage *storage)
{
	bool good = true;

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	for (size_t i = 0; i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];
		struct lock *lock =
		    &dir->checkpoint_lock[CHECKPOINT_START_OFFSET];

		if (log_dir_failed(dir))
			continue;
		if (atomic_load(&dir->changed[CHECKPOINT_START_OFFSET])) {
			good &= log_dir_write_checkpoint(dir,
			    CHECKPOINT_START_OFFSET);
			continue;
		}
		/* Another may be writing ours just now. */
		lock_take(lock);
		lock_release(lock);
	}
	return (good);
}

static bool
retain_one(void *arg, struct log *log)
{
	(void)arg;
	if (!log_failed(log))
		log_retain(log);
	return (true);
}

static void
run_retention(struct storage *storage)
{
	storage_each_log(storage, retain_one, NULL);
}

static bool
expire_one(void *arg, struct log *log)
{
	struct storage *storage = arg;
	int64_t now_ms = storage_steady_ms(storage);

	/* A truncation that loads producers anew has only the writer's lock. */
	lock_take(&log->writer);
	lock_take(&log->lock);
	producers_expire(&log->producers, now_ms,
	    atomic_load_explicit(&storage->producer_id_expiration_ms,
		memory_order_relaxed));
	log_note_producers(log);
	lock_release(&log->lock);
	lock_release(&log->writer);
	return (true);
}

static void
run_producers(struct storage *storage)
{
	storage_each_log(storage, expire_one, storage);
}

static bool
flush_one(void *arg, struct log *log)
{
	struct storage *storage = arg;
	struct log_settings settings = log_get_settings(log);
	int64_t since_ms = storage_mono_ms(storage) -
	    atomic_load(&log->last_flush_ms);

	if (since_ms >= settings.flush_ms)
		log_flush(log);
	return (true);
}

static void
run_flush(struct storage *storage)
{
	storage_each_log(storage, flush_one, storage);
}

/* --- retention ------------------------------------------------------------ */

/* What time says of a log. */
struct aged {
	int64_t below; /* all is too old, or below the log's start */
	unsigned truncations; /* of the log that was looked at */
};

/* Dates may have to be read, so this is without a lock for which an append
 * waits.  What cannot be dated stays. */
static struct aged
retain_look(struct log *log)
{
	const struct log_settings settings = log_get_settings(log);
	const int64_t now_ms = storage_steady_ms(log->storage);
	struct aged aged = { .truncations = atomic_load(&log->truncations) };
	struct segment_list *list;

	if (settings.retention_ms < 0)
		return (aged);
	list = log_segments(log);
	for (size_t i = 0; i + 1 < list->count; i++) {
		int64_t next = list->items[i + 1]->base_offset, date_ms;

		if (next > log_start_offset(log) &&
		    (log_segment_date(log, list->items[i], &date_ms) !=
			ERR_NONE || now_ms - date_ms <= settings.retention_ms))
			break;
		aged.below = next;
	}
	segment_list_unref(list);
	return (aged);
}

/* How many of the first segments may go: storage sheet, 8. */
static size_t
retain_count(struct log *log, const struct segment_list *list,
    const struct log_settings *settings, const struct aged *aged,
    int64_t *surplus_left)
{
	int64_t start_offset = log_start_offset(log);
	int64_t high_watermark = atomic_load(&log->high_watermark);
	int64_t surplus = log_size_bytes(log) - settings->retention_bytes;
	size_t count = 0;

	for (; count + 1 < list->count; count++) {
		struct segment *segment = list->items[count];
		int64_t next = list->items[count + 1]->base_offset;
		int64_t size;

		if (next > high_watermark)
			break;
		lock_take(&log->lock);
		size = segment->size;
		lock_release(&log->lock);
		if (next <= start_offset) {
			surplus -= size;
			continue;
		}
		if (settings->retention_bytes >= 0 && surplus >= size) {
			surplus -= size;
			continue;
		}
		if (settings->retention_ms < 0 || next > aged->below)
			break;
		surplus -= size;
	}
	*surplus_left = surplus;
	return (count);
}

/* The active one goes too when all before it do, and it is too much or too old
 * itself: it is rolled first.  An empty one stays. */
static void
retain_roll(struct log *log, const struct log_settings *settings,
    struct aged *aged)
{
	struct segment *active = log_active(log);
	int64_t end_offset = log_end_offset(log);
	int64_t date_ms;
	int64_t surplus;

	if (retain_count(log, log->segments, settings, aged, &surplus) + 1 !=
		log->segments->count ||
	    active->size == 0 ||
	    end_offset > atomic_load(&log->high_watermark))
		return;
	if (settings->retention_bytes >= 0 && surplus >= active->size)
		log_roll(log, end_offset);
	else if (settings->retention_ms >= 0 &&
	    log_segment_date(log, active, &date_ms) == ERR_NONE &&
	    storage_steady_ms(log->storage) - date_ms >
		settings->retention_ms &&
	    log_roll(log, end_offset) == ERR_NONE)
		aged->below = end_offset;
}

/* Takes both locks, but waits for files of closed segments without that of the
 * writer: a loop may want it for an append. */
static bool
retain_begin(struct log *log, const struct log_settings *settings,
    struct aged *aged)
{
	bool usable;

	for (;;) {
		lock_take(&log->writer);
		usable = !log_failed(log) && !log->closed &&
		    !log_deleted(log) && log_finish_cut(log) == ERR_NONE;
		/* Other records may be there. */
		if (atomic_load(&log->truncations) != aged->truncations)
			aged->below = 0;
		if (usable)
			retain_roll(log, settings, aged);
		if (lock_try(&log->closing))
			return (usable && !log_failed(log));
		lock_release(&log->writer);
		lock_take(&log->closing);
		lock_release(&log->closing);
	}
}

/* How many segments went; as many may follow when it was RETAIN_AT_ONCE. */
static size_t
retain_some(struct log *log)
{
	struct log_settings settings = log_get_settings(log);
	struct aged aged = retain_look(log);
	struct segment_list *before;
	struct segment_list *list;
	int64_t surplus;
	size_t wanted;
	size_t count = 0;

	if (!retain_begin(log, &settings, &aged))
		goto out;
	before = log->segments;
	wanted = retain_count(log, before, &settings, &aged, &surplus);
	if (wanted > RETAIN_AT_ONCE)
		wanted = RETAIN_AT_ONCE;
	while (count < wanted &&
	    segment_mark_deleted(before->items[count]) == 0)
		count++;
	/* One that was renamed in part is, as a whole, the next time. */
	if (count < wanted)
		(void)log_refuse(log, "could not delete a segment");
	if (count == 0)
		goto out;
	list = segment_list_new(before->items + count, before->count - count);
	lock_take(&log->lock);
	log_publish_segments(log, list);
	if (log_start_offset(log) < list->items[0]->base_offset) {
		atomic_store_explicit(&log->start_offset,
		    list->items[0]->base_offset, memory_order_release);
		log_dir_changed(log->dir, CHECKPOINT_START_OFFSET);
		if (epochs_cut_start(&log->epochs, list->items[0]->base_offset))
			log_epochs_begin_later(log);
	}
	lock_release(&log->lock);
	storage_delete_later(log->storage, log,
	    segment_list_new(before->items, count));
	segment_list_unref(before);
out:
	lock_release(&log->closing);
	lock_release(&log->writer);
	return (count);
}

/* With the lock of the writer: what is at `turn` is in the file by its name. */
static bool
retain_rename(struct log *log, unsigned turn, bool *renamed)
{
	char name[PATH_MAX];

	*renamed = false;
	if (log_deleted(log) || log->epochs_turn != turn)
		return (true);
	log_file(log, LOG_EPOCHS_NAME, name);
	*renamed = file_replace_rename(log->storage->files, name) == 0;
	return (*renamed);
}

/* Whoever starts here after a kill is to find the epoch of the first record: no
 * checkpoint speaks of its segment's base.  An append need not wait for the
 * syncs: who changes the epochs meanwhile is right. */
static bool
retain_epochs(struct log *log)
{
	struct files *files = log->storage->files;
	int descriptor = -1;
	bool renamed = false;
	unsigned turn;
	bool wanted;
	bool good;

	lock_take(&log->writer);
	/* A cut that is not through writes them itself, when it is. */
	wanted = !log_deleted(log) && log->cut == CUT_NONE &&
	    (log->epochs_differ || log->epochs_below);
	if (wanted)
		descriptor = log_begin_epochs(log, &log->epochs);
	turn = log->epochs_turn;
	lock_release(&log->writer);
	if (descriptor < 0)
		return (!wanted);
	good = file_replace_sync(files, descriptor) == 0;
	lock_take(&log->writer);
	good = good && retain_rename(log, turn, &renamed);
	lock_release(&log->writer);
	if (!good || !renamed)
		return (good);
	good = file_sync_directory(files, log->path) == 0;
	lock_take(&log->writer);
	if (good && log->epochs_turn == turn)
		log->epochs_differ = log->epochs_below = false;
	lock_release(&log->writer);
	return (good);
}

/* Appends wait for the writer's lock, so it is given up now and then. */
void
log_retain(struct log *log)
{
	struct segment_list *list;
	size_t total = 0;
	unsigned moves;
	size_t count;

	do {
		count = retain_some(log);
		total += count;
	} while (count == RETAIN_AT_ONCE);
	if (total == 0 || log_failed(log))
		return;
	moves = atomic_load(&log->moves);
	/* No failure counts of a directory that the log has left meanwhile. */
	if (!retain_epochs(log) && atomic_load(&log->moves) == moves)
		(void)log_refuse(log, "could not write leader epochs");
	lock_take(&log->closing);
	list = log_segments(log);
	/* A snapshot at the first one's base tells of what went. */
	if (!log_deleted(log) &&
	    !snapshot_prune(log, list->items[0]->base_offset - 1, INT64_MAX))
		(void)log_refuse(log, "could not delete a snapshot");
	segment_list_unref(list);
	lock_release(&log->closing);
	diag_info(log->storage->diag, storage,
	    "partition=%s deleted segments=%zu starts at=%lld", log->name,
	    total, (long long)log_start_offset(log));
}

/* --- deletion ------------------------------------------------------------- */

/* Who still sends from a segment may have to open its file again. */
static bool
deletion_waits(const struct deletion *deletion)
{
	for (size_t i = 0; i < deletion->list->count; i++)
		if (atomic_load(&deletion->list->items[i]->blob.references) >
		    1)
			return (true);
	return (false);
}

static void
deletion_run(struct deletion *deletion)
{
	/* A deleted log's files go with its directory; at the old path another
	 * log may lie. */
	for (size_t i = 0; i < deletion->list->count; i++)
		if (!log_failed(deletion->log) && !log_deleted(deletion->log))
			segment_unlink(deletion->list->items[i], true);
	segment_list_unref(deletion->list);
	log_unref(deletion->log);
	mem_free(deletion);
}

void
storage_delete_later(struct storage *storage, struct log *log,
    struct segment_list *list)
{
	struct log_settings settings = log_get_settings(log);
	struct deletion *deletion = mem_zalloc(sizeof(*deletion));

	deletion->list = list;
	deletion->log = log_ref(log);
	deletion->due_ms = storage_due_ms(storage,
	    settings.file_delete_delay_ms);
	lock_take(&storage->deletions_lock);
	list_push_tail(&storage->deletions, &deletion->link);
	lock_release(&storage->deletions_lock);
}

void
storage_move_deletions(struct storage *storage, const struct log *log,
    const char *directory)
{
	lock_take(&storage->deletions_lock);
	LIST_EACH(element, &storage->deletions) {
		const struct deletion *deletion = list_entry(element,
		    struct deletion, link);

		for (size_t i = 0;
		     deletion->log == log && i < deletion->list->count; i++)
			segment_move(deletion->list->items[i], directory);
	}
	lock_release(&storage->deletions_lock);
}

void
storage_give_deletions(struct storage *storage, struct log *log,
    struct log *other)
{
	size_t count = 0;

	lock_take(&storage->deletions_lock);
	LIST_EACH(element, &storage->deletions) {
		struct deletion *deletion = list_entry(element,
		    struct deletion, link);

		if (deletion->log != log)
			continue;
		deletion->log = log_ref(other);
		count++;
	}
	lock_release(&storage->deletions_lock);
	while (count-- > 0)
		log_unref(log);
}

/* Those that are due; all of them at the end. */
static void
deletions_run(struct storage *storage, bool all)
{
	int64_t now_ms = clock_mono_ms(storage->setup.clock);
	struct list due;

	list_init(&due);
	lock_take(&storage->deletions_lock);
	LIST_EACH(element, &storage->deletions) {
		struct deletion *deletion = list_entry(element,
		    struct deletion, link);

		if (!all &&
		    (deletion->due_ms > now_ms || deletion_waits(deletion)))
			continue;
		list_remove(element);
		list_push_tail(&due, element);
	}
	lock_release(&storage->deletions_lock);
	for (struct list *element; (element = list_pop_head(&due)) != NULL;)
		deletion_run(list_entry(element, struct deletion, link));
}

static void
run_deletion(struct storage *storage)
{
	deletions_run(storage, false);
	storage_remove_doomed(storage);
}

/* --- timers --------------------------------------------------------------- */

static void
upkeep_unref(struct upkeep *upkeep)
{
	if (atomic_fetch_sub(&upkeep->references, 1) == 1)
		mem_free(upkeep);
}

static void
chore_work(struct work *work)
{
	struct chore *chore = (struct chore *)(void *)work;

	chore->run(chore->upkeep->storage);
}

static void
chore_done(struct work *work)
{
	struct chore *chore = (struct chore *)(void *)work;

	if (!chore->upkeep->stopped)
		timer_arm_in(&chore->timer, chore->period_ms * 1000000);
	upkeep_unref(chore->upkeep);
}

static bool
any_changed(const struct storage *storage, enum checkpoint_kind kind)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (atomic_load(&storage->dirs[i]->changed[kind]))
			return (true);
	return (false);
}

/* On the loop: whether a worker would find nothing to do. */
static bool
chore_idle(const struct chore *chore)
{
	struct storage *storage = chore->upkeep->storage;
	bool idle;

	switch (chore - chore->upkeep->chores) {
	case CHORE_RECOVERY_POINTS:
		return (!any_changed(storage, CHECKPOINT_RECOVERY_POINT));
	case CHORE_START_OFFSETS:
		return (!any_changed(storage, CHECKPOINT_START_OFFSET) &&
		    !any_changed(storage, CHECKPOINT_CLEANER));
	case CHORE_HIGH_WATERMARKS:
		return (!any_changed(storage, CHECKPOINT_HIGH_WATERMARK));
	case CHORE_DELETION:
		lock_take(&storage->deletions_lock);
		idle = list_empty(&storage->deletions) &&
		    list_empty(&storage->doomed);
		lock_release(&storage->deletions_lock);
		return (idle);
	default:
		return (false);
	}
}

static void
chore_due(struct timer *timer)
{
	struct chore *chore = container_of(timer, struct chore, timer);

	if (chore_idle(chore)) {
		timer_arm_in(&chore->timer, chore->period_ms * 1000000);
		return;
	}
	atomic_fetch_add(&chore->upkeep->references, 1);
	work_submit(chore->upkeep->storage->work, &chore->work);
}

void
storage_start_upkeep(struct storage *storage, struct loop *loop)
{
	const struct storage_options *options = storage->options;
	const struct {
		void (*run)(struct storage *storage);
		int64_t period_ms;
	} rows[CHORE_COUNT] = {
		[CHORE_RECOVERY_POINTS] = { run_recovery_points,
		    options->flush_offset_checkpoint_interval_ms },
		[CHORE_START_OFFSETS] = { run_start_offsets,
		    options->flush_start_offset_checkpoint_interval_ms },
		[CHORE_HIGH_WATERMARKS] = { run_high_watermarks,
		    options->high_watermark_checkpoint_interval_ms },
		[CHORE_RETENTION] = { run_retention,
		    options->retention_check_interval_ms },
		[CHORE_PRODUCERS] = { run_producers,
		    options->producer_id_expiration_check_interval_ms },
		[CHORE_FLUSH] = { run_flush,
		    options->flush_scheduler_interval_ms },
		[CHORE_DELETION] = { run_deletion, DELETE_LOOK_MS },
	};
	struct upkeep *upkeep = mem_zalloc(sizeof(*upkeep));

	CHECK(storage->upkeep == NULL && storage->work != NULL);
	upkeep->storage = storage;
	atomic_init(&upkeep->references, 1);
	storage->upkeep = upkeep;
	for (int i = 0; i < CHORE_COUNT; i++) {
		struct chore *chore = &upkeep->chores[i];
		int64_t first_ms = i == CHORE_HIGH_WATERMARKS ||
			i == CHORE_DELETION
		    ? rows[i].period_ms
		    : options->initial_task_delay_ms;

		chore->upkeep = upkeep;
		chore->run = rows[i].run;
		chore->period_ms = rows[i].period_ms;
		chore->work.run = chore_work;
		chore->work.done = chore_done;
		chore->work.home = loop;
		timer_init(&chore->timer, loop, chore_due);
		/* "Never" does not fit a timer; below zero means it too. */
		if (chore->period_ms > INT64_MAX / 1000000 / 2 ||
		    chore->period_ms < 0)
			continue;
		if (chore->period_ms == 0)
			chore->period_ms = 1;
		timer_arm_in(&chore->timer, first_ms * 1000000);
	}
	cleaners_start(storage, loop);
}

void
storage_stop_upkeep(struct storage *storage)
{
	if (storage->upkeep == NULL)
		return;
	storage->upkeep->stopped = true;
	for (int i = 0; i < CHORE_COUNT; i++)
		timer_disarm(&storage->upkeep->chores[i].timer);
	cleaners_stop(storage);
}

void
storage_await_upkeep(struct storage *storage)
{
	cleaners_await(storage);
	if (storage->work != NULL)
		work_queue_wait(storage->work);
}

void
upkeep_free(struct storage *storage)
{
	deletions_run(storage, true);
	storage_forget_doomed(storage);
	if (storage->upkeep != NULL)
		upkeep_unref(storage->upkeep);
	storage->upkeep = NULL;
}
