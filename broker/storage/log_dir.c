/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One directory of log.dirs:
 *
 *	.lock                              held while we run
 *	meta.properties                    whose directory it is
 *	.kafka_cleanshutdown               there: the last stop was clean
 *	recovery-point-offset-checkpoint   \
 *	log-start-offset-checkpoint         > "topic partition offset" a line
 *	replication-offset-checkpoint      /
 *	cleaner-offset-checkpoint         /
 *	TOPIC-PARTITION/                   a log each
 *
 *	opened --> loaded --> closed, marked clean
 *	     \         \--> failed: offline until the next start
 *	      \--> failed
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/properties.h"
#include "storage/checkpoint.h"
#include "storage/storage_int.h"

#define IDENTITY_MAX ((size_t)64 << 10)
/* How much is written, and how long, before free space is asked for again. */
#define ROOM_CHECK_BYTES ((int64_t)4 << 20)
#define ROOM_CHECK_MS 1000
#define MARK_NAME ".kafka_cleanshutdown"

static const char *const checkpoint_names[] = {
	[CHECKPOINT_RECOVERY_POINT] = "recovery-point-offset-checkpoint",
	[CHECKPOINT_START_OFFSET] = "log-start-offset-checkpoint",
	[CHECKPOINT_HIGH_WATERMARK] = "replication-offset-checkpoint",
	[CHECKPOINT_CLEANER] = "cleaner-offset-checkpoint",
};

static bool dir_make(struct files *files, const char *path);
static bool dir_lock(struct log_dir *dir, bool *fatal);
static bool dir_read_identity(struct log_dir *dir, bool *fatal);
static bool dir_has_points(struct log_dir *dir);
static bool dir_take_identity(struct log_dir *dir,
    const struct config_map *map, bool *fatal);
static void offset_table_free(struct hash *table);

static void
dir_file(const struct log_dir *dir, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", dir->path, name);
}

struct log_dir *
log_dir_open(struct storage *storage, const char *path, bool *fatal)
{
	struct log_dir *dir = mem_zalloc(sizeof(*dir));

	dir->storage = storage;
	dir->path = mem_strdup(path);
	dir->lock_descriptor = -1;
	atomic_init(&dir->failed, false);
	atomic_init(&dir->unclean, false);
	atomic_init(&dir->full, false);
	atomic_init(&dir->place_after_ms, 0);
	atomic_init(&dir->leftovers, false);
	atomic_init(&dir->say_no_clean_room_after_ms, 0);
	atomic_init(&dir->check_after_bytes, 0);
	atomic_init(&dir->check_after_ms, 0);
	atomic_init(&dir->say_wanted_after_ms, 0);
	lock_init(&dir->lock, LOCK_RANK_LOG_DIRS);
	for (int i = 0; i < CHECKPOINT_COUNT; i++) {
		lock_init(&dir->checkpoint_lock[i], LOCK_RANK_CHECKPOINTS);
		atomic_init(&dir->changed[i], true);
		atomic_init(&dir->checkpoint_stale[i], false);
	}
	list_init(&dir->logs);
	if (!dir_make(storage->files, path)) {
		diag_error(storage->diag, storage,
		    "dir=%s could not be made, it stays offline errno=%d",
		    path, errno);
		atomic_store(&dir->failed, true);
	} else if (!dir_lock(dir, fatal) || !dir_read_identity(dir, fatal))
		atomic_store(&dir->failed, true);
	else
		dir->is_new = !dir->identified || !dir_has_points(dir);
	return (dir);
}

void
log_dir_free(struct log_dir *dir)
{
	struct files *files = dir->storage->files;

	CHECK(list_empty(&dir->logs));
	if (dir->lock_descriptor >= 0)
		files->ops->close(files, dir->lock_descriptor);
	offset_table_free(&dir->recovery_points);
	offset_table_free(&dir->start_offsets);
	offset_table_free(&dir->high_watermarks);
	offset_table_free(&dir->cleaned);
	for (int i = 0; i < CHECKPOINT_COUNT; i++)
		lock_fini(&dir->checkpoint_lock[i]);
	lock_fini(&dir->lock);
	mem_free(dir->path);
	mem_free(dir);
}

void
log_dir_fail(struct log_dir *dir, const char *what, const char *path, int error)
{
	struct storage_setup *setup = &dir->storage->setup;

	if (atomic_exchange_explicit(&dir->failed, true, memory_order_acq_rel))
		return;
	diag_error(dir->storage->diag, storage,
	    "dir=%s goes offline: %s path=%s errno=%d (%s)", dir->path, what,
	    path, error, strerror(error));
	if (setup->dir_failed != NULL)
		setup->dir_failed(setup->dir_failed_arg, dir);
}

const char *
log_dir_path(const struct log_dir *dir)
{
	return (dir->path);
}

bool
log_dir_is_offline(const struct log_dir *dir)
{
	return (log_dir_failed(dir));
}

bool
log_dir_space(const struct log_dir *dir, int64_t *total_bytes,
    int64_t *usable_bytes)
{
	struct files *files = dir->storage->files;

	return (files->ops->total_bytes(files, dir->path, total_bytes) == 0 &&
	    files->ops->free_bytes(files, dir->path, usable_bytes) == 0);
}

bool
log_dir_has_room(struct log_dir *dir, int64_t size)
{
	struct storage *storage = dir->storage;
	int64_t reserve = atomic_load_explicit(&storage->disk_reserve_bytes,
	    memory_order_relaxed);
	bool full = atomic_load_explicit(&dir->full, memory_order_relaxed);
	int64_t now_ms = clock_mono_ms(storage->setup.clock);
	int64_t free_bytes;

	if (atomic_fetch_sub_explicit(&dir->check_after_bytes, size,
		memory_order_relaxed) > size &&
	    now_ms < atomic_load_explicit(&dir->check_after_ms,
			 memory_order_relaxed))
		return (!full);
	if (full && now_ms < atomic_load(&dir->check_after_ms))
		return (false);
	atomic_store(&dir->check_after_bytes, ROOM_CHECK_BYTES);
	atomic_store(&dir->check_after_ms,
	    now_ms + (full ? RETRY_FULL_MS : ROOM_CHECK_MS));
	if (storage->files->ops->free_bytes(storage->files, dir->path,
		&free_bytes) != 0)
		return (true); /* the write will tell */
	if (free_bytes - size >= reserve) {
		if (atomic_exchange(&dir->full, false))
			diag_info(storage->diag, storage,
			    "dir=%s has room again, appends go on free=%lld",
			    dir->path, (long long)free_bytes);
		return (true);
	}
	atomic_store(&dir->check_after_ms, now_ms + RETRY_FULL_MS);
	if (!atomic_exchange(&dir->full, true))
		diag_error(storage->diag, storage,
		    "dir=%s is down to its reserve, appends are refused "
		    "free=%lld reserve=%lld",
		    dir->path, (long long)free_bytes, (long long)reserve);
	return (false);
}

/* With the directories above it. */
static bool
dir_make(struct files *files, const char *path)
{
	char part[PATH_MAX];
	size_t length = strlen(path);
	struct file_info info;

	if (files->ops->stat(files, path, &info) == 0) {
		errno = ENOTDIR;
		return (info.is_directory);
	}
	if (length >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return (false);
	}
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (files->ops->mkdir(files, part, 0755) != 0 &&
		    errno != EEXIST)
			return (false);
	}
	return (true);
}

static bool
dir_lock(struct log_dir *dir, bool *fatal)
{
	struct storage *storage = dir->storage;
	struct files *files = storage->files;
	char name[PATH_MAX];

	dir_file(dir, ".lock", name);
	dir->lock_descriptor = files->ops->open(files, name, O_RDWR | O_CREAT,
	    0644);
	if (dir->lock_descriptor >= 0 &&
	    files->ops->lock(files, dir->lock_descriptor) == 0)
		return (true);
	if (errno == EWOULDBLOCK) {
		diag_fatal(storage->diag, storage,
		    "dir=%s is held by another process (or named twice)",
		    dir->path);
		*fatal = true;
	} else
		diag_error(storage->diag, storage,
		    "dir=%s could not be locked, it stays offline errno=%d",
		    dir->path, errno);
	return (false);
}

/* --- meta.properties ------------------------------------------------------ */

static bool
dir_read_identity(struct log_dir *dir, bool *fatal)
{
	struct storage *storage = dir->storage;
	struct properties_error why;
	struct config_map map;
	char name[PATH_MAX];
	void *bytes;
	size_t size;
	bool good;

	dir_file(dir, "meta.properties", name);
	if (file_load(storage->files, name, IDENTITY_MAX, &bytes, &size) !=
	    0) {
		if (errno == ENOENT)
			return (true);
		diag_error(storage->diag, storage,
		    "dir=%s meta.properties could not be read, it stays "
		    "offline errno=%d",
		    dir->path, errno);
		return (false);
	}
	config_map_init(&map);
	good = properties_read(slice_of(bytes, size), &map, &why);
	if (!good) {
		diag_fatal(storage->diag, storage,
		    "dir=%s meta.properties line %d: %s", dir->path, why.line,
		    why.message);
		*fatal = true;
	} else
		good = dir_take_identity(dir, &map, fatal);
	config_map_fini(&map);
	mem_free(bytes);
	return (good);
}

static bool
dir_take_identity(struct log_dir *dir, const struct config_map *map,
    bool *fatal)
{
	struct storage *storage = dir->storage;
	const char *version = config_map_get(map, "version");
	const char *broker = config_map_get(map, "broker.id");
	const char *cluster = config_map_get(map, "cluster.id");
	int32_t broker_id = -1;

	*fatal = true;
	if (version == NULL || strcmp(version, "0") != 0) {
		diag_fatal(storage->diag, storage,
		    "dir=%s meta.properties has version %s, only 0 (a broker "
		    "with ZooKeeper) can be taken over",
		    dir->path, version == NULL ? "none" : version);
		return (false);
	}
	if (broker != NULL &&
	    (!text_to_int32(slice_of_text(broker), &broker_id) ||
		broker_id < 0)) {
		diag_fatal(storage->diag, storage,
		    "dir=%s meta.properties has no good broker.id: %s",
		    dir->path, broker);
		return (false);
	}
	if (broker_id >= 0 && storage->broker_id >= 0 &&
	    broker_id != storage->broker_id) {
		diag_fatal(storage->diag, storage,
		    "dir=%s belongs to broker %" PRId32 ", not to %" PRId32,
		    dir->path, broker_id, storage->broker_id);
		return (false);
	}
	if (cluster != NULL && storage->cluster_id != NULL &&
	    strcmp(cluster, storage->cluster_id) != 0) {
		diag_fatal(storage->diag, storage,
		    "dir=%s belongs to cluster %s, not to %s", dir->path,
		    cluster, storage->cluster_id);
		return (false);
	}
	if (broker_id >= 0)
		storage->broker_id = broker_id;
	if (cluster != NULL && storage->cluster_id == NULL)
		storage->cluster_id = mem_strdup(cluster);
	dir->identified = broker_id >= 0 && cluster != NULL;
	*fatal = false;
	return (true);
}

bool
log_dir_write_identity(struct log_dir *dir, int32_t broker_id,
    const char *cluster_id)
{
	time_t now = (time_t)(storage_now_ms(dir->storage) / 1000);
	struct buffer text = BUFFER_EMPTY;
	char name[PATH_MAX];
	char date[64];
	struct tm parts;
	int answer;

	gmtime_r(&now, &parts);
	strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", &parts);
	buffer_printf(&text,
	    "#\n#%s\ncluster.id=%s\nversion=0\nbroker.id=%" PRId32 "\n", date,
	    cluster_id, broker_id);
	dir_file(dir, "meta.properties", name);
	answer = file_replace(dir->storage->files, name, text.data,
	    text.length);
	buffer_fini(&text);
	if (answer != 0) {
		log_dir_fail(dir, "could not write", name, errno);
		return (false);
	}
	dir->identified = true;
	return (true);
}

/* --- the mark of a clean stop --------------------------------------------- */

bool
log_dir_marked_clean(struct log_dir *dir)
{
	struct files *files = dir->storage->files;
	struct file_info info;
	char name[PATH_MAX];

	dir_file(dir, MARK_NAME, name);
	dir->marked = files->ops->stat(files, name, &info) == 0;
	if (!dir->marked)
		return (false);
	if (files->ops->unlink(files, name) != 0 ||
	    file_sync_directory(files, dir->path) != 0)
		log_dir_fail(dir, "could not take the mark away", name, errno);
	return (true);
}

bool
log_dir_mark_clean(struct log_dir *dir)
{
	static const char text[] = "{\"version\":0,\"brokerEpoch\":-1}";
	char name[PATH_MAX];

	dir_file(dir, MARK_NAME, name);
	if (file_replace(dir->storage->files, name, text, sizeof(text) - 1) ==
	    0)
		return (true);
	log_dir_fail(dir, "could not mark a clean stop", name, errno);
	return (false);
}

/* --- checkpoints ---------------------------------------------------------- */

static void
offset_table_free(struct hash *table)
{
	HASH_EACH(node, table) {
		struct offset_entry *entry =
		    (struct offset_entry *)(void *)node;

		hash_remove(table, node);
		mem_free(entry->name);
		mem_free(entry);
	}
	hash_clear(table);
}

/* What a start read of it. */
static struct hash *
offset_table(struct log_dir *dir, enum checkpoint_kind kind)
{
	switch (kind) {
	case CHECKPOINT_RECOVERY_POINT:
		return (&dir->recovery_points);
	case CHECKPOINT_START_OFFSET:
		return (&dir->start_offsets);
	case CHECKPOINT_HIGH_WATERMARK:
		return (&dir->high_watermarks);
	case CHECKPOINT_CLEANER:
		break;
	}
	return (&dir->cleaned);
}

static bool
log_dir_forget_row(struct log_dir *dir, enum checkpoint_kind kind,
    const char *name)
{
	struct hash *table = offset_table(dir, kind);
	struct offset_entry *entry =
	    (struct offset_entry *)(void *)hash_find(table, name,
		strlen(name));

	if (entry == NULL)
		return (false);
	hash_remove(table, &entry->node);
	mem_free(entry->name);
	mem_free(entry);
	atomic_store(&dir->checkpoint_stale[kind], true);
	return (true);
}

void
log_dir_forget(struct log_dir *dir, const char *name)
{
	for (int i = 0; i < CHECKPOINT_COUNT; i++)
		log_dir_forget_row(dir, (enum checkpoint_kind)i, name);
}

int64_t
offset_table_find(const struct hash *table, const char *name)
{
	const struct offset_entry *entry =
	    (const struct offset_entry *)(const void *)hash_find(table, name,
		strlen(name));

	return (entry == NULL ? -1 : entry->offset);
}

static void
offset_table_set(struct hash *table, const char *name, int64_t offset)
{
	struct offset_entry *entry =
	    (struct offset_entry *)(void *)hash_find(table, name,
		strlen(name));

	if (entry == NULL) {
		entry = mem_zalloc(sizeof(*entry));
		entry->name = mem_strdup(name);
		hash_insert(table, &entry->node, entry->name,
		    strlen(entry->name));
	}
	entry->offset = offset;
}

void
log_dir_renew(struct log_dir *dir, const char *name)
{
	const int64_t point = offset_table_find(&dir->recovery_points, name);
	bool known = point >= 0;

	known |= log_dir_forget_row(dir, CHECKPOINT_START_OFFSET, name);
	known |= log_dir_forget_row(dir, CHECKPOINT_HIGH_WATERMARK, name);
	log_dir_forget_row(dir, CHECKPOINT_CLEANER, name);
	if (!known || point == 0)
		return;
	offset_table_set(&dir->recovery_points, name, 0);
	atomic_store(&dir->checkpoint_stale[CHECKPOINT_RECOVERY_POINT], true);
}

static bool
offset_table_row(void *arg, struct slice *fields)
{
	int32_t partition;
	int64_t offset;
	char name[TOPIC_NAME_MAX + 16];

	if (!text_to_int32(fields[1], &partition) ||
	    !text_to_int64(fields[2], &offset) || offset < 0 ||
	    fields[0].length > TOPIC_NAME_MAX)
		return (false);
	snprintf(name, sizeof(name), "%.*s-%" PRId32, SLICE_ARGS(fields[0]),
	    partition);
	offset_table_set(arg, name, offset);
	return (true);
}

enum loaded {
	LOADED,
	LOADED_BLANK, /* a file without a byte, which has no rows */
	LOADED_MALFORMED,
	LOADED_NOT /* errno */
};

/* Into an empty table, which stays so but where LOADED is answered. */
static enum loaded
offset_table_load(struct log_dir *dir, enum checkpoint_kind kind,
    struct hash *table)
{
	char name[PATH_MAX];
	void *bytes;
	size_t size;
	bool good;

	dir_file(dir, checkpoint_names[kind], name);
	if (file_load(dir->storage->files, name, SMALL_FILE_MAX, &bytes,
		&size) != 0)
		return (LOADED_NOT);
	good = checkpoint_decode(slice_of(bytes, size), 3, offset_table_row,
	    table);
	mem_free(bytes);
	if (good)
		return (size == 0 ? LOADED_BLANK : LOADED);
	offset_table_free(table);
	return (LOADED_MALFORMED);
}

void
log_dir_read_checkpoints(struct log_dir *dir)
{
	char name[PATH_MAX];

	for (int i = 0; i < CHECKPOINT_COUNT && !dir->read_checkpoints; i++) {
		enum checkpoint_kind kind = (enum checkpoint_kind)i;
		enum loaded loaded = offset_table_load(dir, kind,
		    offset_table(dir, kind));
		int error = errno;

		if (loaded == LOADED_MALFORMED)
			diag_warn(dir->storage->diag, storage,
			    "dir=%s %s is malformed and counts as empty",
			    dir->path, checkpoint_names[i]);
		if (loaded != LOADED_NOT || error == ENOENT)
			continue;
		dir_file(dir, checkpoint_names[i], name);
		log_dir_fail(dir, "could not read", name, error);
	}
	dir->read_checkpoints = true;
}

/* The real broker makes a blank file, and writes it some time later. */
static bool
dir_has_points(struct log_dir *dir)
{
	struct hash table = { 0 };
	bool has = offset_table_load(dir, CHECKPOINT_RECOVERY_POINT, &table) ==
	    LOADED;

	offset_table_free(&table);
	return (has);
}

bool
log_dir_note_assigned(struct log_dir *dir,
    const struct storage_assigned *assigned, size_t count)
{
	char log_name[LOG_NAME_SIZE];

	log_dir_read_checkpoints(dir);
	for (size_t i = 0; i < count; i++)
		if (storage_log_name(assigned[i].topic, assigned[i].partition,
			log_name) >= 0 &&
		    offset_table_find(&dir->recovery_points, log_name) < 0)
			offset_table_set(&dir->recovery_points, log_name, 0);
	return (log_dir_write_checkpoint(dir, CHECKPOINT_RECOVERY_POINT));
}

/* What goes to a checkpoint for a log; -1: nothing. */
static int64_t
checkpoint_value(struct log_dir *dir, struct log *log,
    enum checkpoint_kind kind)
{
	struct storage *storage = dir->storage;
	int64_t (*ask)(void *arg, struct log *log);
	int64_t value = -1;
	int64_t base;

	if (log_deleted(log))
		return (-1);
	switch (kind) {
	case CHECKPOINT_RECOVERY_POINT:
		return (atomic_load(&log->recovery_point));
	case CHECKPOINT_START_OFFSET:
		lock_take(&log->lock);
		base = log->segments->items[0]->base_offset;
		value = log_start_offset(log);
		lock_release(&log->lock);
		return (value > base ? value : -1);
	case CHECKPOINT_HIGH_WATERMARK:
		ask = atomic_load(&storage->high_watermark);
		if (ask != NULL)
			value = ask(storage->high_watermark_arg, log);
		return (value >= 0 ? value : atomic_load(&log->high_watermark));
	case CHECKPOINT_CLEANER:
		return (atomic_load(&log->cleaned_to));
	}
	return (-1);
}

static struct log **
dir_logs(struct log_dir *dir, size_t *count)
{
	struct log **logs;

	*count = 0;
	lock_take(&dir->lock);
	logs = mem_alloc((dir->log_count + 1) * sizeof(*logs));
	LIST_EACH(element, &dir->logs)
		logs[(*count)++] = log_ref(list_entry(element, struct log,
		    in_dir));
	lock_release(&dir->lock);
	return (logs);
}

/* Logs that are missing, and were here once or may have been, stay listed: what
 * tells that they were lost must outlive a restart (storage_never_had).  Of
 * those that are here and not served, all is kept.  Answers how many. */
static size_t
checkpoint_lost(struct log_dir *dir, enum checkpoint_kind kind,
    struct buffer *rows)
{
	struct storage *storage = dir->storage;
	size_t count = 0;

	if (kind != CHECKPOINT_RECOVERY_POINT &&
	    !storage_is_withheld(storage, dir, NULL))
		return (0);
	lock_take(&storage->lock);
	HASH_EACH(node, offset_table(dir, kind)) {
		const struct offset_entry *entry =
		    (const struct offset_entry *)(const void *)node;
		const char *dash = strrchr(entry->name, '-');

		if (dash == NULL || hash_find(&storage->logs, entry->name,
			strlen(entry->name)) != NULL ||
		    (kind != CHECKPOINT_RECOVERY_POINT &&
			!storage_is_withheld(storage, dir, entry->name)))
			continue;
		buffer_printf(rows, "%.*s %s %" PRId64 "\n",
		    (int)(dash - entry->name), entry->name, dash + 1,
		    entry->offset);
		count++;
	}
	lock_release(&storage->lock);
	return (count);
}

/* Its text as of now. */
static void
checkpoint_encode(struct log_dir *dir, enum checkpoint_kind kind,
    struct buffer *text)
{
	struct buffer rows = BUFFER_EMPTY;
	size_t log_count;
	struct log **logs = dir_logs(dir, &log_count);
	size_t count = checkpoint_lost(dir, kind, &rows);

	for (size_t i = 0; i < log_count; i++) {
		int64_t value = checkpoint_value(dir, logs[i], kind);

		if (value >= 0) {
			buffer_printf(&rows, "%s %" PRId32 " %" PRId64 "\n",
			    logs[i]->topic, logs[i]->partition, value);
			count++;
		}
		log_unref(logs[i]);
	}
	mem_free(logs);
	buffer_printf(text, "0\n%zu\n", count);
	buffer_append_slice(text, buffer_slice(&rows));
	buffer_fini(&rows);
}

/* The lock is held, so that nobody's good file goes. */
static bool
checkpoint_remove(struct log_dir *dir, enum checkpoint_kind kind)
{
	struct files *files = dir->storage->files;
	char name[PATH_MAX];

	dir_file(dir, checkpoint_names[kind], name);
	if (files->ops->unlink(files, name) != 0 && errno != ENOENT)
		return (false);
	diag_warn(dir->storage->diag, storage,
	    "dir=%s %s is removed, it would be wrong: until it can be written "
	    "a start takes %s",
	    dir->path, checkpoint_names[kind],
	    kind == CHECKPOINT_RECOVERY_POINT ? "longer, for all is recovered, "
		"and what is missing counts as lost" :
	    kind == CHECKPOINT_CLEANER ? "nothing for compacted" :
		"logs to begin with their first segment");
	return (file_sync_directory(files, dir->path) == 0 ||
	    descriptors_wanted(errno));
}

/* Why one was not written, which may pass. */
static void
checkpoint_refuse(struct log_dir *dir, enum checkpoint_kind kind, int error)
{
	if (error != ENOSPC && error != EDQUOT && !descriptors_wanted(error)) {
		char name[PATH_MAX];

		dir_file(dir, checkpoint_names[kind], name);
		log_dir_fail(dir, "could not write", name, error);
	} else if (!atomic_exchange(&dir->checkpoint_refused[kind], true))
		/* The old one stays, which only means a longer recovery. */
		diag_warn(dir->storage->diag, storage,
		    "dir=%s %s, %s stays as it was until it can be written",
		    dir->path,
		    descriptors_wanted(error) ? "no descriptor is left"
					      : "is full",
		    checkpoint_names[kind]);
	errno = error;
}

/* `must`: the old one goes if it stays only for a want. */
static bool
checkpoint_write(struct log_dir *dir, enum checkpoint_kind kind, bool must)
{
	struct buffer text = BUFFER_EMPTY;
	char name[PATH_MAX];
	int error = 0;

	if (log_dir_failed(dir))
		return (false);
	dir_file(dir, checkpoint_names[kind], name);
	/* One writer of a file at a time, and none with older values: what
	 * comes from here on is not in it. */
	lock_take(&dir->checkpoint_lock[kind]);
	atomic_store(&dir->changed[kind], false);
	checkpoint_encode(dir, kind, &text);
	if (file_replace(dir->storage->files, name, text.data, text.length) !=
	    0) {
		error = errno;
		log_dir_changed(dir, kind);
		checkpoint_refuse(dir, kind, error);
		if (must && !log_dir_failed(dir))
			error = checkpoint_remove(dir, kind) ? 0 : errno;
	} else
		atomic_store(&dir->checkpoint_refused[kind], false);
	lock_release(&dir->checkpoint_lock[kind]);
	buffer_fini(&text);
	errno = error;
	return (error == 0);
}

bool
log_dir_write_checkpoint(struct log_dir *dir, enum checkpoint_kind kind)
{
	return (checkpoint_write(dir, kind, false));
}

bool
log_dir_must_checkpoint(struct log_dir *dir, enum checkpoint_kind kind)
{
	return (checkpoint_write(dir, kind, true));
}

bool
log_dir_speaks_of(struct log_dir *dir, enum checkpoint_kind kind,
    const char *log_name)
{
	struct hash table = { 0 };
	bool speaks;

	if (offset_table_load(dir, kind, &table) == LOADED_NOT)
		return (errno != ENOENT);
	speaks = offset_table_find(&table, log_name) > 0;
	offset_table_free(&table);
	return (speaks);
}
