/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "storage/storage_int.h"

#define WORK_PARALLEL 4
/* How long a directory without room for a log is passed over, if another works;
 * and how often it is said. */
#define PLACE_ELSEWHERE_MS 10000
/* Files that stay open where nobody says how many may. */
#define DESCRIPTORS_DEFAULT 512

int64_t
storage_now_ms(const struct storage *storage)
{
	return (clock_wall_ms(storage->setup.clock));
}

int64_t
storage_mono_ms(const struct storage *storage)
{
	return (clock_mono_ms(storage->setup.clock));
}

int64_t
storage_steady_ms(struct storage *storage)
{
	enum steady_news news;
	int64_t leap_ms, now_ms;

	lock_take(&storage->steady_lock);
	now_ms = steady_look(&storage->steady, storage_now_ms(storage),
	    storage_mono_ms(storage), &news, &leap_ms);
	lock_release(&storage->steady_lock);
	if (news == STEADY_AHEAD)
		diag_warn(storage->diag, storage, "the clock went ahead by "
		    "seconds=%lld: nothing is deleted by it for as long, or a "
		    "day, in case it is set back",
		    (long long)(leap_ms / 1000));
	if (news == STEADY_BACK)
		diag_warn(storage->diag, storage, "the clock went back by "
		    "seconds=%lld: what is old is deleted later by as much",
		    (long long)(-leap_ms / 1000));
	if (news == STEADY_BELIEVED)
		diag_info(storage->diag, storage, "the clock stays ahead by "
		    "seconds=%lld and is followed",
		    (long long)(leap_ms / 1000));
	return (now_ms);
}

uint64_t
storage_segment_id(struct storage *storage)
{
	return (atomic_fetch_add_explicit(&storage->next_segment_id, 1,
	    memory_order_relaxed));
}

int64_t
storage_jitter_ms(struct storage *storage, int64_t bound_ms)
{
	int64_t jitter_ms;

	if (bound_ms <= 0)
		return (0);
	lock_take(&storage->lock);
	jitter_ms = (int64_t)random_below(&storage->random,
	    (uint64_t)bound_ms);
	lock_release(&storage->lock);
	return (jitter_ms);
}

/* --- opening -------------------------------------------------------------- */

static void
storage_free(struct storage *storage)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		log_dir_free(storage->dirs[i]);
	mem_free(storage->dirs);
	index_cache_free(storage->cache);
	descriptors_free(storage->descriptors);
	hash_clear(&storage->logs);
	mem_free(storage->cluster_id);
	storage_forget_preferred(storage);
	storage_forget_withheld(storage);
	lock_fini(&storage->lock);
	lock_fini(&storage->deletions_lock);
	lock_fini(&storage->refresh_lock);
	lock_fini(&storage->steady_lock);
	lock_fini(&storage->cleaner_lock);
	storage->magic = 0;
	mem_free(storage);
}

void
storage_set_options(struct storage *storage,
    const struct storage_options *options)
{
	atomic_store_explicit(&storage->producer_id_expiration_ms,
	    options->producer_id_expiration_ms, memory_order_relaxed);
	atomic_store_explicit(&storage->disk_reserve_bytes,
	    options->disk_reserve_bytes, memory_order_relaxed);
	lock_take(&storage->cleaner_lock);
	storage->cleaner_options = (struct cleaner_options){
		.threads = options->cleaner_threads,
		.map_bytes = options->cleaner_dedupe_buffer_bytes,
		.load_factor = options->cleaner_io_buffer_load_factor,
		.buffer_bytes = options->cleaner_io_buffer_bytes,
		.bytes_per_second = options->cleaner_io_max_bytes_per_second,
		.backoff_ms = options->cleaner_backoff_ms,
	};
	lock_release(&storage->cleaner_lock);
}

struct storage *
storage_open(const struct storage_setup *setup)
{
	const struct text_list *paths = &setup->options->log_dir_list;
	struct storage *storage = mem_zalloc(sizeof(*storage));
	size_t usable = 0;
	bool fatal = false;

	storage->magic = STORAGE_MAGIC;
	storage->setup = *setup;
	storage->options = setup->options;
	lock_init(&storage->cleaner_lock, LOCK_RANK_LEAF);
	storage_set_options(storage, setup->options);
	storage->descriptors = descriptors_new(setup->files,
	    setup->descriptors > 0 ? setup->descriptors :
				     DESCRIPTORS_DEFAULT);
	storage->files = descriptors_files(storage->descriptors);
	storage->diag = setup->diag;
	storage->broker_id = setup->broker_id;
	if (setup->cluster_id != NULL)
		storage->cluster_id = mem_strdup(setup->cluster_id);
	atomic_init(&storage->next_segment_id, 1);
	lock_init(&storage->lock, LOCK_RANK_LOG_DIRS);
	lock_init(&storage->deletions_lock, LOCK_RANK_LEAF);
	lock_init(&storage->refresh_lock, LOCK_RANK_LOG);
	lock_init(&storage->steady_lock, LOCK_RANK_LEAF);
	list_init(&storage->deletions);
	list_init(&storage->doomed);
	list_init(&storage->futures);
	list_init(&storage->withheld);
	storage->cache = index_cache_new();
	random_seed(&storage->random,
	    setup->random == NULL ? 1 : random_u64(setup->random));
	(void)storage_steady_ms(storage);
	storage->dirs = mem_zalloc((paths->count + 1) * sizeof(*storage->dirs));
	for (size_t i = 0; i < paths->count && !fatal; i++) {
		struct log_dir *dir = log_dir_open(storage, paths->items[i],
		    &fatal);

		storage->dirs[storage->dir_count++] = dir;
		usable += !log_dir_failed(dir);
	}
	if (fatal || usable == 0) {
		if (!fatal)
			diag_fatal(storage->diag, storage,
			    "none of the log directories can be used");
		storage_free(storage);
		return (NULL);
	}
	/* Those that wait for a directory that hangs shall not be all there
	 * are for the others. */
	if (setup->scheduler != NULL)
		storage->work = (storage->dir_count > 1 ?
			work_queue_new_apart : work_queue_new)(
		    setup->scheduler, "storage", WORK_PARALLEL);
	return (storage);
}

int32_t
storage_broker_id(const struct storage *storage)
{
	return (storage->broker_id);
}

const char *
storage_cluster_id(const struct storage *storage)
{
	return (storage->cluster_id);
}

bool
storage_is_new(const struct storage *storage)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (!log_dir_failed(storage->dirs[i]) &&
		    storage->dirs[i]->is_new)
			return (true);
	return (false);
}

bool
storage_set_identity(struct storage *storage, int32_t broker_id,
    const char *cluster_id, const struct storage_assigned *assigned,
    size_t assigned_count)
{
	CHECK_MAGIC(storage, STORAGE_MAGIC);
	if ((storage->broker_id >= 0 && storage->broker_id != broker_id) ||
	    (storage->cluster_id != NULL &&
		strcmp(storage->cluster_id, cluster_id) != 0)) {
		diag_fatal(storage->diag, storage,
		    "the log directories belong to broker %" PRId32
		    " of cluster %s, not to broker %" PRId32 " of cluster %s",
		    storage->broker_id,
		    storage->cluster_id == NULL ? "?" : storage->cluster_id,
		    broker_id, cluster_id);
		return (false);
	}
	storage->broker_id = broker_id;
	if (storage->cluster_id == NULL)
		storage->cluster_id = mem_strdup(cluster_id);
	for (size_t i = 0; i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];

		if (log_dir_failed(dir) || !dir->is_new)
			continue;
		/* First: whoever dies in between finds the directory new. */
		if (!log_dir_note_assigned(dir, assigned, assigned_count) &&
		    !dir->identified)
			log_dir_fail(dir, "could not note what is assigned in",
			    dir->path, errno);
		if (!dir->identified && !log_dir_failed(dir))
			log_dir_write_identity(dir, broker_id, cluster_id);
		dir->is_new = false;
	}
	return (true);
}

/* --- the table of logs ---------------------------------------------------- */

bool
storage_add_log(struct storage *storage, struct log *log)
{
	struct log_dir *dir = log->dir;
	bool added;

	lock_take(&storage->lock);
	added = hash_find(&storage->logs, log->name, strlen(log->name)) ==
	    NULL;
	if (added) {
		/* Whoever changed them since they were asked for, and went
		 * through all logs, has not met this one. */
		storage->setup.settings(storage->setup.settings_arg,
		    log_topic(log), &log->settings);
		hash_insert(&storage->logs, &log->by_name, log->name,
		    strlen(log->name));
	}
	lock_release(&storage->lock);
	if (!added)
		return (false);
	lock_take(&dir->lock);
	list_push_tail(&dir->logs, &log->in_dir);
	dir->log_count++;
	lock_release(&dir->lock);
	for (int i = 0; i < CHECKPOINT_COUNT; i++)
		log_dir_changed(dir, (enum checkpoint_kind)i);
	return (true);
}

void
storage_each_log(struct storage *storage,
    bool (*each)(void *arg, struct log *log), void *arg)
{
	struct log **logs;
	size_t count = 0;
	bool go_on = true;

	lock_take(&storage->lock);
	logs = mem_alloc((hash_count(&storage->logs) + 1) * sizeof(*logs));
	HASH_EACH(node, &storage->logs)
		if (!log_deleted((struct log *)(void *)node))
			logs[count++] = log_ref((struct log *)(void *)node);
	lock_release(&storage->lock);
	for (size_t i = 0; i < count; i++) {
		go_on = go_on && each(arg, logs[i]);
		log_unref(logs[i]);
	}
	mem_free(logs);
}

int
storage_log_name(const char *topic, int32_t partition,
    char name[LOG_NAME_SIZE])
{
	int length = snprintf(name, LOG_NAME_SIZE, "%s-%" PRId32, topic,
	    partition);

	return (length < (int)LOG_NAME_SIZE ? length : -1);
}

struct log *
storage_find(struct storage *storage, const char *topic, int32_t partition)
{
	char name[LOG_NAME_SIZE];
	struct hash_node *node;
	struct log *log = NULL;
	int length = storage_log_name(topic, partition, name);

	if (length < 0)
		return (NULL);
	lock_take(&storage->lock);
	node = hash_find(&storage->logs, name, (size_t)length);
	if (node != NULL && !log_deleted((struct log *)(void *)node))
		log = log_ref((struct log *)(void *)node);
	lock_release(&storage->lock);
	return (log);
}

void
storage_each_dir(const struct storage *storage,
    void (*each)(void *arg, const char *path, enum log_dir_state state),
    void *arg)
{
	for (size_t i = 0; i < storage->dir_count; i++) {
		const struct log_dir *dir = storage->dirs[i];

		each(arg, dir->path,
		    log_dir_failed(dir) ? LOG_DIR_OFFLINE :
			atomic_load(&dir->full) ? LOG_DIR_FULL :
						  LOG_DIR_WORKS);
	}
}

bool
storage_has_failed_dir(const struct storage *storage)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (log_dir_failed(storage->dirs[i]))
			return (true);
	return (false);
}

struct storage_files
storage_files(const struct storage *storage)
{
	struct descriptors_count count =
	    descriptors_count(storage->descriptors);

	return ((struct storage_files){ count.open, count.bound,
	    count.closed });
}

size_t
storage_dir_count(const struct storage *storage)
{
	return (storage->dir_count);
}

struct log_dir *
storage_dir_at(const struct storage *storage, size_t index)
{
	CHECK(index < storage->dir_count);
	return (storage->dirs[index]);
}

int64_t
storage_checkpointed_high_watermark(struct storage *storage, const char *topic,
    int32_t partition)
{
	struct log *log = storage_find(storage, topic, partition);
	int64_t high_watermark;

	if (log == NULL)
		return (0);
	lock_take(&storage->lock);
	high_watermark = offset_table_find(&log->dir->high_watermarks,
	    log->name);
	lock_release(&storage->lock);
	log_unref(log);
	return (high_watermark < 0 ? 0 : high_watermark);
}

bool
storage_never_had(struct storage *storage, const char *topic,
    int32_t partition)
{
	char name[LOG_NAME_SIZE];
	bool never = storage_log_name(topic, partition, name) >= 0;

	lock_take(&storage->lock);
	for (size_t i = 0; never && i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];

		never = !log_dir_failed(dir) &&
		    offset_table_find(&dir->recovery_points, name) < 0 &&
		    offset_table_find(&dir->start_offsets, name) < 0 &&
		    offset_table_find(&dir->high_watermarks, name) < 0;
	}
	lock_release(&storage->lock);
	return (never);
}

void
storage_set_high_watermarks(struct storage *storage,
    int64_t (*high_watermark)(void *arg, struct log *log), void *arg)
{
	if (high_watermark != NULL)
		storage->high_watermark_arg = arg;
	atomic_store(&storage->high_watermark, high_watermark);
}

/* --- new logs ------------------------------------------------------------- */

/* It is not asked for its room, which might take long. */
static bool
place_is_full(const struct log_dir *dir)
{
	int64_t now_ms = clock_mono_ms(dir->storage->setup.clock);

	return (now_ms < atomic_load(&dir->place_after_ms) ||
	    (atomic_load(&dir->full) &&
		now_ms < atomic_load(&dir->check_after_ms)));
}

/* Where a new log is to lie; it counts there from now on, for many are made at
 * the same time. */
static struct log_dir *
place_take(struct storage *storage, const char *name)
{
	struct log_dir *best = storage_take_preferred(storage, name);
	bool wished = best != NULL;
	bool best_full = false;

	lock_take(&storage->lock);
	for (size_t i = 0; !wished && i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];
		bool full = place_is_full(dir);

		if (log_dir_failed(dir) || (best != NULL && full && !best_full))
			continue;
		if (best == NULL || (best_full && !full) ||
		    dir->placed_count < best->placed_count) {
			best = dir;
			best_full = full;
		}
	}
	if (best != NULL)
		best->placed_count++;
	lock_release(&storage->lock);
	return (best);
}

struct log *
storage_place_log(struct storage *storage, const char *topic,
    int32_t partition)
{
	char name[LOG_NAME_SIZE];
	struct log_dir *dir;

	if (storage_log_name(topic, partition, name) < 0 ||
	    storage_is_withheld(storage, NULL, name) ||
	    storage_settle(storage, name) != ERR_NONE ||
	    (dir = place_take(storage, name)) == NULL)
		return (NULL);
	storage_remove_leftovers(storage, name);
	return (log_new(dir, topic, partition));
}

void
storage_displace_log(struct log *log)
{
	struct storage *storage = log->storage;

	storage_remove_unmade(log);
	lock_take(&storage->lock);
	log->dir->placed_count--;
	lock_release(&storage->lock);
	log_unref(log);
}

bool
storage_admit_log(struct log *log)
{
	struct storage *storage = log->storage;

	if (log_failed(log) || !storage_add_log(storage, log))
		return (false);
	diag_info(storage->diag, storage, "partition=%s made in dir=%s",
	    log->name, log->dir->path);
	return (true);
}

bool
log_make_files(struct log *log)
{
	struct files *files = log->storage->files;
	struct segment *first;

	log->made_dir = files->ops->mkdir(files, log->path, 0755) == 0;
	if ((!log->made_dir && errno != EEXIST) ||
	    (first = log_new_segment(log, 0)) == NULL)
		return (false);
	lock_take(&log->lock);
	log_publish_segments(log, segment_list_new(&first, 1));
	lock_release(&log->lock);
	segment_unref(first);
	return (true);
}

static void
log_say_unmade(struct log *log)
{
	struct log_dir *dir = log->dir;
	int64_t now_ms = clock_mono_ms(log->storage->setup.clock);
	long long after_ms = atomic_load(&dir->place_after_ms);

	if (errno != ENOSPC && errno != EDQUOT)
		(void)log_refuse(log, "could not make the log");
	else if (now_ms >= after_ms &&
	    atomic_compare_exchange_strong(&dir->place_after_ms, &after_ms,
		now_ms + PLACE_ELSEWHERE_MS))
		diag_error(log->storage->diag, storage,
		    "partition=%s could not be made: dir=%s is full",
		    log->name, dir->path);
}

/* There may be room, or a descriptor, when it is asked for again. */
static enum error
log_unmade(struct storage *storage)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (!log_dir_failed(storage->dirs[i]))
			return (ERR_REPLICA_NOT_AVAILABLE);
	return (ERR_KAFKA_STORAGE_ERROR);
}

enum error
log_create(struct storage *storage, const char *topic, int32_t partition,
    struct uuid topic_id, struct log **out)
{
	enum error error = ERR_KAFKA_STORAGE_ERROR;
	struct log *log;

	*out = storage_find(storage, topic, partition);
	if (*out != NULL)
		return (ERR_NONE);
	log = storage_place_log(storage, topic, partition);
	if (log == NULL)
		return (log_unmade(storage));
	if (!log_make_files(log) ||
	    file_sync_directory(storage->files, log->dir->path) != 0 ||
	    (!uuid_is_zero(topic_id) && !log_write_metadata(log, topic_id))) {
		if (log_wants_room(errno) && !log_failed(log))
			error = ERR_REPLICA_NOT_AVAILABLE;
		log_say_unmade(log);
	} else {
		log_keep_topic_id(log, topic_id);
		*out = log_ref(log); /* the first one is the table's */
		if (storage_admit_log(log))
			return (ERR_NONE);
		log_unref(*out);
		*out = NULL;
	}
	storage_displace_log(log);
	return (error);
}

/* --- the end -------------------------------------------------------------- */

static void
close_dir(struct log_dir *dir)
{
	bool clean = log_dir_close_logs(dir) && dir->loaded;

	if (!log_dir_failed(dir) && dir->loaded)
		clean = log_dir_write_checkpoint(dir,
			    CHECKPOINT_RECOVERY_POINT) &&
		    log_dir_write_checkpoint(dir, CHECKPOINT_START_OFFSET) &&
		    log_dir_write_checkpoint(dir,
			CHECKPOINT_HIGH_WATERMARK) &&
		    log_dir_write_checkpoint(dir, CHECKPOINT_CLEANER) &&
		    clean;
	if (clean && !log_dir_failed(dir) && !atomic_load(&dir->unclean))
		log_dir_mark_clean(dir);
}

static void
empty_dir(struct log_dir *dir)
{
	LIST_EACH(element, &dir->logs) {
		struct log *log = list_entry(element, struct log, in_dir);

		list_remove(&log->in_dir);
		hash_remove(&dir->storage->logs, &log->by_name);
		log_unref(log);
	}
}

void
storage_close(struct storage **storage)
{
	struct storage *closed = *storage;

	CHECK_MAGIC(closed, STORAGE_MAGIC);
	*storage = NULL;
	cleaners_free(closed);
	work_queue_free(closed->work);
	closed->work = NULL;
	for (size_t i = 0; i < closed->dir_count; i++)
		close_dir(closed->dirs[i]);
	/* Behind all: what lies in another directory is not lost. */
	for (size_t i = 0; i < closed->dir_count; i++)
		empty_dir(closed->dirs[i]);
	/* To close a log may leave segments to be deleted. */
	upkeep_free(closed);
	storage_free(closed);
}
