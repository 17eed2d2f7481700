/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting a log.  A rename takes it away at once, whatever dies when: before
 * it the log is whole, after it a start finds only what is to be removed.
 *
 *	[in the table] --rename--> TOPIC-P.HEX32-delete --delay--> gone
 *	                               ^
 *	    found by a start ----------+
 *
 * Whoever holds a reference to the log or to a segment goes on reading; the
 * files stay until nobody does.  What the
 * checkpoints say of the log is taken out before a log of that name is made
 * again (but that one was lost), or the new one would begin at the old one's
 * start.
 */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define DELETE_SUFFIX "-delete"
#define HEX_DIGITS 32
#define NAME_LENGTH_MAX (DOOMED_NAME_SIZE - 1)

/* TOPIC-P.HEX32-future: what a stop left of a move between directories, ours or
 * another broker's.  It is begun anew when the partition is known to be here;
 * another topic of the name does not get it. */
struct future {
	struct list link;
	struct log_dir *dir;
	char *name;
};

/* A directory whose files wait for the end of file.delete.delay.ms. */
struct doomed {
	struct list link;
	struct log_dir *dir;
	struct log *log; /* the table's reference once; NULL: a stop left it */
	char *path;
	int64_t due_ms;
};

int64_t
storage_due_ms(const struct storage *storage, int64_t delay_ms)
{
	int64_t now_ms = clock_mono_ms(storage->setup.clock);

	return (delay_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + delay_ms);
}

static void doom(struct log_dir *dir, const char *name, struct log *log);
static void remove_files(struct files *files, const char *path, int *error);

/* --- out of the table ----------------------------------------------------- */

static void
random_hex(struct storage *storage, char hex[HEX_DIGITS + 1])
{
	struct uuid uuid;

	lock_take(&storage->lock);
	uuid = uuid_random(&storage->random);
	lock_release(&storage->lock);
	for (size_t i = 0; i < sizeof(uuid.bytes); i++)
		snprintf(hex + 2 * i, 3, "%02x", uuid.bytes[i]);
}

/* The topic's part is cut so that the whole is a file name. */
static void
doomed_name(struct storage *storage, const char *topic, int32_t partition,
    char name[NAME_LENGTH_MAX + 1])
{
	char hex[HEX_DIGITS + 1];
	char suffix[HEX_DIGITS + sizeof(DELETE_SUFFIX) + 16];
	int length;

	random_hex(storage, hex);
	length = snprintf(suffix, sizeof(suffix), "-%d.%s" DELETE_SUFFIX,
	    (int)partition, hex);
	snprintf(name, NAME_LENGTH_MAX + 1, "%.*s%s",
	    NAME_LENGTH_MAX - length, topic, suffix);
}

/* `storage->lock` is held.  What a start read of the log, in every directory:
 * another may have had it once. */
static void
table_forget(struct storage *storage, const char *name)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		log_dir_forget(storage->dirs[i], name);
}

/* Likewise; but that a log was lost stays known. */
static void
table_renew(struct storage *storage, const char *name)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		log_dir_renew(storage->dirs[i], name);
}

/* The writer's lock is held; the directory has its new name. */
static void
table_remove(struct log *log)
{
	struct storage *storage = log->storage;
	struct log_dir *dir = log->dir;

	lock_take(&storage->lock);
	hash_remove(&storage->logs, &log->by_name);
	table_forget(storage, log->name);
	dir->placed_count--;
	lock_release(&storage->lock);
	lock_take(&dir->lock);
	list_remove(&log->in_dir);
	dir->log_count--;
	lock_release(&dir->lock);
	for (int i = 0; i < CHECKPOINT_COUNT; i++)
		atomic_store(&dir->checkpoint_stale[i], true);
}

/* The writer's lock and that of closing are held. */
static enum error
delete_locked(struct log *log)
{
	struct storage *storage = log->storage;
	struct files *files = storage->files;
	char name[NAME_LENGTH_MAX + 1];
	char path[PATH_MAX];

	doomed_name(storage, log->topic, log->partition, name);
	snprintf(path, sizeof(path), "%s/%s", log->dir->path, name);
	/* Before the rename: from here on a missing file is no failure. */
	atomic_store_explicit(&log->deleted, true, memory_order_release);
	if (files->ops->rename(files, log->path, path) != 0) {
		int error = errno;

		atomic_store(&log->deleted, false);
		errno = error;
		if (error != ENOSPC && error != EDQUOT)
			return (log_fail(log, "could not delete the log"));
		diag_error(storage->diag, storage,
		    "partition=%s could not be deleted: dir=%s is full; it "
		    "stays until it is asked for again",
		    log->name, log->dir->path);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	for (size_t i = 0; i < log->segments->count; i++)
		segment_move(log->segments->items[i], path);
	for (size_t i = 0; log->cut_off != NULL && i < log->cut_off->count; i++)
		segment_move(log->cut_off->items[i], path);
	storage_move_deletions(storage, log, path);
	table_remove(log);
	doom(log->dir, name, log);
	diag_info(storage->diag, storage,
	    "partition=%s deleted, its files go later dir=%s", log->name, path);
	return (ERR_NONE);
}

/* Readers look at the new place, and at the old one until it is renamed. */
enum error
storage_doom_log(struct log *log, char name[DOOMED_NAME_SIZE])
{
	struct storage *storage = log->storage;
	struct files *files = storage->files;
	char path[PATH_MAX];
	bool again = name[0] != '\0';

	if (!again)
		doomed_name(storage, log->topic, log->partition, name);
	snprintf(path, sizeof(path), "%s/%s", log->dir->path, name);
	for (size_t i = 0; !again && i < log->segments->count; i++)
		segment_move(log->segments->items[i], path);
	if (!again)
		storage_move_deletions(storage, log, path);
	if (files->ops->rename(files, log->path, path) != 0)
		return (log_wants_room(errno) ? ERR_REPLICA_NOT_AVAILABLE :
		    log_fail(log, "could not delete a log that moved"));
	atomic_store_explicit(&log->deleted, true, memory_order_release);
	doom(log->dir, name, log);
	return (ERR_NONE);
}

/* The lock of deletions is held. NULL: none. */
static struct future *
future_find(struct storage *storage, const char *name)
{
	size_t length = strlen(name);

	LIST_EACH(element, &storage->futures) {
		struct future *future = list_entry(element, struct future,
		    link);

		if (strncmp(future->name, name, length) == 0 &&
		    strlen(future->name) ==
			length + HEX_DIGITS + sizeof("-future"))
			return (future);
	}
	return (NULL);
}

/* The partition's one, out of the list; the caller frees. NULL: none. */
static struct future *
future_take(struct storage *storage, const char *name)
{
	struct future *found;

	lock_take(&storage->deletions_lock);
	found = future_find(storage, name);
	if (found != NULL)
		list_remove(&found->link);
	lock_release(&storage->deletions_lock);
	return (found);
}

struct log_dir *
storage_found_future(struct storage *storage, const char *topic,
    int32_t partition)
{
	const struct future *found;
	struct log_dir *dir;
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	lock_take(&storage->deletions_lock);
	found = future_find(storage, name);
	dir = found == NULL ? NULL : found->dir;
	lock_release(&storage->deletions_lock);
	return (dir);
}

static void
future_free(struct future *future)
{
	mem_free(future->name);
	mem_free(future);
}

bool
storage_note_future(struct log_dir *dir, const char *name)
{
	struct storage *storage = dir->storage;
	struct future *future = mem_zalloc(sizeof(*future));
	size_t own = strlen(name) - HEX_DIGITS - sizeof("-future");
	bool twice = false;

	future->dir = dir;
	future->name = mem_strdup(name);
	lock_take(&storage->deletions_lock);
	LIST_EACH(element, &storage->futures) {
		const struct future *other = list_entry(element,
		    struct future, link);

		twice |= strlen(other->name) == strlen(name) &&
		    strncmp(other->name, name, own) == 0;
	}
	list_push_tail(&storage->futures, &future->link);
	lock_release(&storage->deletions_lock);
	return (!twice);
}

bool
storage_doom_path(struct log_dir *dir, const char *from, const char *topic,
    int32_t partition)
{
	struct files *files = dir->storage->files;
	char name[NAME_LENGTH_MAX + 1];
	char to[PATH_MAX];

	doomed_name(dir->storage, topic, partition, name);
	snprintf(to, sizeof(to), "%s/%s", dir->path, name);
	if (files->ops->rename(files, from, to) != 0)
		return (false);
	doom(dir, name, NULL);
	return (true);
}

/* For want of room it stays, and that is no fault of the directory.  Durable
 * after a sync of the directory. */
static enum error
doom_found(struct log_dir *dir, const char *from, const char *topic,
    int32_t partition)
{
	if (log_dir_failed(dir))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (storage_doom_path(dir, from, topic, partition))
		return (ERR_NONE);
	if (!log_wants_room(errno))
		log_dir_fail(dir, "could not delete", from, errno);
	else
		diag_error(dir->storage->diag, storage, "directory %s could "
		    "not be deleted: it is full; it stays until it is asked "
		    "for again", from);
	return (ERR_KAFKA_STORAGE_ERROR);
}

/* A move that was under way ends with the partition. */
static enum error
delete_future(const char *topic, int32_t partition, struct future *future)
{
	struct log_dir *dir;
	char from[PATH_MAX];
	enum error error;

	if (future == NULL)
		return (ERR_NONE);
	dir = future->dir;
	snprintf(from, sizeof(from), "%s/%s", dir->path, future->name);
	error = doom_found(dir, from, topic, partition);
	if (error == ERR_NONE && file_sync_directory(dir->storage->files,
	    dir->path) != 0 && !log_wants_room(errno)) {
		log_dir_fail(dir, "could not sync", dir->path, errno);
		error = ERR_KAFKA_STORAGE_ERROR;
	} else if (error != ERR_NONE && !log_dir_failed(dir))
		(void)storage_note_future(dir, future->name);
	future_free(future);
	return (error);
}

void
storage_drop_future(struct storage *storage, const char *topic,
    int32_t partition)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	(void)delete_future(topic, partition, future_take(storage, name));
}

/* What a start left alone is not waited for any more. */
static enum error
delete_withheld(struct storage *storage, const char *topic, int32_t partition,
    const char *name)
{
	enum error error = ERR_NONE;
	struct log_dir *dir;
	char from[2 * PATH_MAX];

	while (error == ERR_NONE &&
	    (dir = storage_take_withheld(storage, name)) != NULL) {
		snprintf(from, sizeof(from), "%s/%s", dir->path, name);
		error = doom_found(dir, from, topic, partition);
		if (error != ERR_NONE)
			storage_withhold(dir, name);
		for (int i = 0; i < CHECKPOINT_COUNT; i++)
			atomic_store(&dir->checkpoint_stale[i], true);
	}
	return (error);
}

/* False: errno, of what came first. */
static bool
storage_remove_directory(struct files *files, const char *path)
{
	int error;

	remove_files(files, path, &error);
	if (files->ops->rmdir(files, path) == 0 || errno == ENOENT)
		return (true);
	if (error != 0)
		errno = error;
	return (false);
}

void
storage_future_remove(struct log_dir *dir, const char *path)
{
	if (!log_dir_failed(dir) &&
	    !storage_remove_directory(dir->storage->files, path))
		(void)storage_note_future(dir, strrchr(path, '/') + 1);
}

enum error
storage_future_place(struct log *log, struct log_dir *dir, char path[PATH_MAX])
{
	struct storage *storage = log->storage;
	struct future *found = future_take(storage, log->name);
	char hex[HEX_DIGITS + 1];
	enum error error = ERR_KAFKA_STORAGE_ERROR;

	if (found != NULL && found->dir == dir) {
		snprintf(path, PATH_MAX, "%s/%s", dir->path, found->name);
		if (storage_remove_directory(storage->files, path))
			error = ERR_NONE;
		else if (log_wants_room(errno))
			(void)storage_note_future(dir, found->name);
		else
			log_dir_fail(dir, "could not empty", path, errno);
		future_free(found);
		return (error);
	}
	error = delete_future(log->topic, log->partition, found);
	random_hex(storage, hex);
	snprintf(path, PATH_MAX, "%s/%s.%s-future", dir->path, log->name, hex);
	return (error);
}

void
storage_forget_lost(struct storage *storage, const char *topic,
    int32_t partition)
{
	char name[LOG_NAME_SIZE];

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	if (storage_log_name(topic, partition, name) < 0)
		return;
	lock_take(&storage->lock);
	if (hash_find(&storage->logs, name, strlen(name)) == NULL)
		table_forget(storage, name);
	lock_release(&storage->lock);
}

enum error
log_delete(struct storage *storage, const char *topic, int32_t partition)
{
	struct log *log = storage_find(storage, topic, partition);
	enum error error = ERR_NONE;
	char name[PATH_MAX];

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	error = delete_future(topic, partition, future_take(storage, name));
	if (error == ERR_NONE)
		error = delete_withheld(storage, topic, partition, name);
	if (error != ERR_NONE) {
		if (log != NULL)
			log_unref(log);
		return (error);
	}
	if (log == NULL) {
		storage_remove_leftovers(storage, name);
		storage_forget_lost(storage, topic, partition);
		return (ERR_NONE);
	}
	lock_take(&log->writer);
	lock_take(&log->closing);
	if (log_failed(log))
		error = ERR_KAFKA_STORAGE_ERROR;
	else if (!log_deleted(log))
		error = delete_locked(log);
	lock_release(&log->closing);
	lock_release(&log->writer);
	log_unref(log);
	return (error);
}

/* The refresh lock is held.  For want of room or descriptors the old files
 * stay: nothing in them is wrong but what they say of the deleted log.  The
 * names are synced all the same. */
static enum error
dir_forget_deleted(struct log_dir *dir)
{
	bool synced = true;

	for (int kind = 0; kind < CHECKPOINT_COUNT; kind++) {
		if (log_dir_failed(dir) ||
		    !atomic_exchange(&dir->checkpoint_stale[kind], false))
			continue;
		/* Syncs the directory too, so the rename is there. */
		if (log_dir_write_checkpoint(dir, (enum checkpoint_kind)kind))
			continue;
		atomic_store(&dir->checkpoint_stale[kind], true);
		synced = false;
	}
	if (log_dir_failed(dir))
		return (synced ? ERR_NONE : ERR_KAFKA_STORAGE_ERROR);
	if (synced ||
	    file_sync_directory(dir->storage->files, dir->path) == 0 ||
	    descriptors_wanted(errno))
		return (ERR_NONE);
	log_dir_fail(dir, "could not sync", dir->path, errno);
	return (ERR_KAFKA_STORAGE_ERROR);
}

enum error
storage_forget_deleted(struct storage *storage)
{
	enum error error = ERR_NONE;

	CHECK_MAGIC(storage, STORAGE_MAGIC);
	/* Who comes while another writes waits for him. */
	lock_take(&storage->refresh_lock);
	for (size_t i = 0; i < storage->dir_count; i++) {
		enum error one = dir_forget_deleted(storage->dirs[i]);

		if (one != ERR_NONE)
			error = one;
	}
	lock_release(&storage->refresh_lock);
	return (error);
}

/* A checkpoint that could not be written still has a row of the name: what is
 * made now would begin with it after a crash. */
static bool
name_remains(struct storage *storage, const char *name)
{
	for (size_t i = 0; i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];

		for (int kind = 0; kind < CHECKPOINT_COUNT; kind++) {
			if (log_dir_failed(dir) ||
			    !atomic_load(&dir->checkpoint_stale[kind]) ||
			    !log_dir_speaks_of(dir, (enum checkpoint_kind)kind,
				name))
				continue;
			diag_error(storage->diag, storage,
			    "partition=%s could not be made: a checkpoint in "
			    "dir=%s speaks of one that was deleted, and cannot "
			    "be written",
			    name, dir->path);
			return (true);
		}
	}
	return (false);
}

enum error
storage_settle(struct storage *storage, const char *name)
{
	struct hash_node *node;
	struct log *log = NULL;
	enum error error;

	lock_take(&storage->lock);
	node = hash_find(&storage->logs, name, strlen(name));
	if (node != NULL)
		log = log_ref((struct log *)(void *)node);
	lock_release(&storage->lock);
	if (log != NULL) {
		/* Held as long as the name is being given up. */
		lock_take(&log->writer);
		lock_release(&log->writer);
		log_unref(log);
	}
	lock_take(&storage->lock);
	if (hash_find(&storage->logs, name, strlen(name)) == NULL)
		table_renew(storage, name); /* of one that was lost */
	lock_release(&storage->lock);
	error = storage_forget_deleted(storage);
	if (error == ERR_NONE && name_remains(storage, name))
		error = ERR_KAFKA_STORAGE_ERROR;
	return (error);
}

/* --- what was not made ---------------------------------------------------- */

/* All that a log has before it is admitted. */
static const char *const unmade_names[] = {
	"00000000000000000000.log",
	"00000000000000000000.index",
	"00000000000000000000.timeindex",
	LOG_METADATA_NAME,
	LOG_METADATA_NAME ".tmp",
	LOG_EPOCHS_NAME,
	LOG_EPOCHS_NAME ".tmp",
};

/* By name: no descriptor may be left to list it. */
static void
unmade_remove(struct log_dir *dir, const char *path)
{
	struct files *files = dir->storage->files;
	char name[PATH_MAX];

	for (size_t i = 0; i < nelems(unmade_names); i++) {
		snprintf(name, sizeof(name), "%s/%s", path, unmade_names[i]);
		files->ops->unlink(files, name);
	}
	if (files->ops->rmdir(files, path) != 0 && errno != ENOENT)
		atomic_store(&dir->leftovers, true);
}

void
storage_remove_unmade(struct log *log)
{
	if (log->made_dir)
		unmade_remove(log->dir, log->path);
}

/* 1: not one of ours. */
static int
unmade_one(void *arg, const char *name, bool is_directory)
{
	(void)arg;
	for (size_t i = 0; !is_directory && i < nelems(unmade_names); i++)
		if (strcmp(name, unmade_names[i]) == 0)
			return (0);
	return (1);
}

void
storage_remove_leftovers(struct storage *storage, const char *name)
{
	struct files *files = storage->files;
	struct file_info info;
	char path[PATH_MAX];
	char first[PATH_MAX];

	for (size_t i = 0; i < storage->dir_count; i++) {
		struct log_dir *dir = storage->dirs[i];

		if (!atomic_load(&dir->leftovers) || log_dir_failed(dir))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir->path, name);
		if (snprintf(first, sizeof(first), "%s/%s", path,
			unmade_names[0]) >= (int)sizeof(first) ||
		    files->ops->list(files, path, unmade_one, NULL) != 0 ||
		    (files->ops->stat(files, first, &info) == 0 &&
			info.size_bytes > 0))
			continue;
		unmade_remove(dir, path);
	}
}

/* --- the files ------------------------------------------------------------ */

void
storage_doom(struct log_dir *dir, const char *name)
{
	doom(dir, name, NULL);
}

/* Takes the reference. */
static void
doom(struct log_dir *dir, const char *name, struct log *log)
{
	struct storage *storage = dir->storage;
	struct doomed *doomed = mem_zalloc(sizeof(*doomed));
	const char *dot = strrchr(name, '.');
	const char *end = dot == NULL ? name + strlen(name) : dot;
	struct log_settings settings;
	char path[PATH_MAX];
	char *topic;

	/* Of the name's topic, which may have been cut. */
	while (end > name && *end != '-')
		end--;
	topic = mem_strndup(name, (size_t)(end - name));
	storage->setup.settings(storage->setup.settings_arg, topic, &settings);
	mem_free(topic);
	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	doomed->dir = dir;
	doomed->log = log;
	doomed->path = mem_strdup(path);
	doomed->due_ms = storage_due_ms(storage, settings.file_delete_delay_ms);
	lock_take(&storage->deletions_lock);
	list_push_tail(&storage->doomed, &doomed->link);
	lock_release(&storage->deletions_lock);
}

static void
doomed_free(struct doomed *doomed)
{
	if (doomed->log != NULL)
		log_unref(doomed->log);
	mem_free(doomed->path);
	mem_free(doomed);
}

/* Who still reads may have to open a file again. */
static bool
doomed_waits(const struct doomed *doomed)
{
	const struct segment_list *list;

	if (doomed->log == NULL)
		return (false);
	if (atomic_load(&doomed->log->references) > 1)
		return (true);
	list = doomed->log->segments; /* nobody else has it any more */
	for (size_t i = 0; i < list->count; i++)
		if (atomic_load(&list->items[i]->blob.references) > 1)
			return (true);
	return (false);
}

struct removal {
	struct files *files;
	const char *path;
	int error; /* the first one */
};

static int
remove_one(void *arg, const char *name, bool is_directory)
{
	struct removal *removal = arg;
	char path[PATH_MAX];

	if (is_directory ||
	    snprintf(path, sizeof(path), "%s/%s", removal->path, name) >=
		(int)sizeof(path))
		return (0); /* rmdir will tell */
	if (removal->files->ops->unlink(removal->files, path) != 0 &&
	    removal->error == 0)
		removal->error = errno;
	return (0);
}

static void
remove_files(struct files *files, const char *path, int *error)
{
	struct removal removal = { .files = files, .path = path };

	if (files->ops->list(files, path, remove_one, &removal) < 0)
		removal.error = errno;
	*error = removal.error;
}

static void
doomed_remove(struct doomed *doomed)
{
	struct storage *storage = doomed->dir->storage;
	struct files *files = storage->files;
	int error;

	if (log_dir_failed(doomed->dir))
		return;
	remove_files(files, doomed->path, &error);
	if (files->ops->rmdir(files, doomed->path) != 0 && errno != ENOENT)
		diag_warn(storage->diag, storage,
		    "directory %s could not be removed, the next start tries "
		    "again errno=%d",
		    doomed->path, error != 0 ? error : errno);
}

void
storage_remove_doomed(struct storage *storage)
{
	int64_t now_ms = clock_mono_ms(storage->setup.clock);
	struct list due;

	list_init(&due);
	lock_take(&storage->deletions_lock);
	LIST_EACH(element, &storage->doomed) {
		const struct doomed *doomed = list_entry(element,
		    struct doomed, link);

		if (doomed->due_ms > now_ms || doomed_waits(doomed))
			continue;
		list_remove(element);
		list_push_tail(&due, element);
	}
	lock_release(&storage->deletions_lock);
	for (struct list *element; (element = list_pop_head(&due)) != NULL;) {
		struct doomed *doomed = list_entry(element, struct doomed,
		    link);

		doomed_remove(doomed);
		doomed_free(doomed);
	}
}

/* The stop comes first.  A real Kafka that starts here loads it to delete it,
 * and tells the operator of damage where a log has no index file; ours are made
 * late.  Nothing is lost when one cannot be written. */
static void
doomed_leave(const struct doomed *doomed)
{
	const struct segment_list *list;

	if (doomed->log == NULL || log_dir_failed(doomed->dir))
		return;
	list = doomed->log->segments;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i]->offsets.in_memory)
			segment_write_indexes(list->items[i], false);
}

void
storage_forget_doomed(struct storage *storage)
{
	for (struct list *element;
	     (element = list_pop_head(&storage->futures)) != NULL;)
		future_free(list_entry(element, struct future, link));
	for (struct list *element;
	     (element = list_pop_head(&storage->doomed)) != NULL;) {
		struct doomed *doomed = list_entry(element, struct doomed,
		    link);

		doomed_leave(doomed);
		doomed_free(doomed);
	}
}
