/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving a log to another directory while it serves (KIP-113): a copy grows in
 * TOPIC-P.HEX32-future, and takes the log's place when it has all.
 *
 *	new --copy--> ... --copy--> has all --replace--> it lies there --finish
 *	 |              |                               |
 *	 |              +-- the log was truncated:      +-- the old files:
 *	 |                  anew                            -delete
 *	 +-- drop: deleted
 *	 +-- leave: the next start begins anew in the same directory
 *
 * Whoever has the log keeps it: `struct log` stays, and its segments, path and
 * directory are exchanged with the copy's, under the locks of writer and of
 * closing.  To its readers that is a truncation: a segment that they hold has
 * left the log; its file stays until they are done.
 *
 * On the disks, in this order; each step is synced before the next:
 *
 *	replace  1. the copy, and checkpoints of its directory that speak of it
 *	         2. barnabas.arrives in the copy  \  one text (marks.c)
 *	         3. barnabas.leaves in the log    /
 *	         4. the copy is renamed to TOPIC-P: that is the moment
 *	finish   5. barnabas.arrives becomes barnabas.moved
 *	         6. the log is renamed to -delete
 *	         7. barnabas.moved goes
 *
 * From 3 on a start that sees only the old directory does not take the log, up
 * to 5 one that sees only the new directory does not take the copy; seeing both
 * it knows which one it is.  What fails before the exchange is undone by
 * removing barnabas.leaves.  doc/replica.md has all states as a table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

struct log_future {
	struct log *of;   /* a reference */
	struct log *copy; /* in its directory's list, in no table */
	unsigned truncations; /* of the log, when the copy began */
	uint8_t *bytes;
	size_t room;
	/* It has taken the place: `copy` are the files that the log had. */
	bool replaced;
	bool confirmed;
	struct log_dir *from;        /* where those lie */
	char doomed[DOOMED_NAME_SIZE]; /* what they are renamed to */
};

static bool future_make(struct log *copy, int64_t base_offset);
static enum error future_begin(struct log *log, int64_t *base_offset);
static void future_list(struct log *copy, bool listed);
static void future_free(struct log_future **place);

/* --- life ----------------------------------------------------------------- */

enum error
log_future_new(struct log *log, struct log_dir *dir, struct log_future **out)
{
	struct storage *storage = log->storage;
	unsigned truncations = atomic_load(&log->truncations);
	char path[PATH_MAX];
	int64_t base_offset;
	struct log *copy;
	enum error error;

	CHECK_MAGIC(log, LOG_MAGIC);
	*out = NULL;
	/* Of an earlier move something may lie there. */
	if (log_dir_failed(dir) || log_failed(log) || log_deleted(log) ||
	    storage_is_withheld(storage, NULL, log->name))
		return (ERR_KAFKA_STORAGE_ERROR);
	/* A copy of half of it could bring back what tombstones deleted. */
	atomic_fetch_add(&log->cleaning_pauses, 1);
	error = future_begin(log, &base_offset);
	if (error == ERR_NONE)
		error = storage_future_place(log, dir, path);
	if (error != ERR_NONE) {
		atomic_fetch_sub(&log->cleaning_pauses, 1);
		return (error);
	}
	copy = log_new(dir, log->topic, log->partition);
	log_set_path(copy, path);
	log_keep_topic_id(copy, log_topic_id(log));
	if (!future_make(copy, base_offset)) {
		error = log_refuse(copy, "could not make a log to move to");
		storage_future_remove(dir, path);
		log_unref(copy);
		atomic_fetch_sub(&log->cleaning_pauses, 1);
		return (error);
	}
	future_list(copy, true);
	*out = mem_zalloc(sizeof(**out));
	(*out)->of = log_ref(log);
	(*out)->copy = copy;
	(*out)->truncations = truncations;
	diag_info(storage->diag, storage, "partition=%s moves from dir=%s to "
	    "dir=%s", log->name, log->dir->path, dir->path);
	return (ERR_NONE);
}

/* Where the copy begins: with the batch that has the log's start. */
static enum error
future_begin(struct log *log, int64_t *base_offset)
{
	int64_t start = log_start_offset(log);
	struct log_read read;
	enum error error = log_read(log, start, log_end_offset(log), 1, true,
	    &read);

	*base_offset = start;
	if (error != ERR_NONE || read.extent.blob == NULL)
		return (error);
	if (read.first_offset < start)
		*base_offset = read.first_offset;
	blob_unref(read.extent.blob);
	return (ERR_NONE);
}

/* False: errno. */
static bool
future_make(struct log *copy, int64_t base_offset)
{
	struct files *files = copy->storage->files;
	struct segment *first;

	copy->made_dir = files->ops->mkdir(files, copy->path, 0755) == 0;
	if ((!copy->made_dir && errno != EEXIST) ||
	    (first = log_new_segment(copy, base_offset)) == NULL)
		return (false);
	lock_take(&copy->lock);
	log_publish_segments(copy, segment_list_new(&first, 1));
	copy->producers.end_offset = base_offset;
	lock_release(&copy->lock);
	segment_unref(first);
	atomic_store(&copy->start_offset, base_offset);
	atomic_store(&copy->end_offset, base_offset);
	atomic_store(&copy->high_watermark, base_offset);
	atomic_store(&copy->recovery_point, base_offset);
	return (file_sync_directory(files, copy->dir->path) == 0 &&
	    (uuid_is_zero(copy->topic_id) ||
		log_write_metadata(copy, copy->topic_id)));
}

/* Checkpoints of its directory speak of it, and new logs count it. */
static void
future_list(struct log *copy, bool listed)
{
	struct log_dir *dir = copy->dir;

	lock_take(&dir->storage->lock);
	dir->placed_count += listed ? 1 : (size_t)-1;
	lock_release(&dir->storage->lock);
	lock_take(&dir->lock);
	if (listed)
		list_push_tail(&dir->logs, &copy->in_dir);
	else
		list_remove(&copy->in_dir);
	dir->log_count += listed ? 1 : (size_t)-1;
	lock_release(&dir->lock);
}

static void
future_free(struct log_future **place)
{
	struct log_future *future = *place;

	*place = NULL;
	if (future->copy != NULL)
		log_unref(future->copy);
	atomic_fetch_sub(&future->of->cleaning_pauses, 1);
	log_unref(future->of);
	mem_free(future->bytes);
	mem_free(future);
}

/* Nobody reads a copy. For want of room for a rename, its files go at once. */
static void
future_remove(struct log *copy)
{
	char name[DOOMED_NAME_SIZE] = "";
	enum error error = log_failed(copy) ? ERR_KAFKA_STORAGE_ERROR :
	    storage_doom_log(copy, name);

	if (error == ERR_NONE) {
		for (int i = 0; i < CHECKPOINT_COUNT; i++)
			atomic_store(&copy->dir->checkpoint_stale[i], true);
		(void)storage_forget_deleted(copy->storage);
		return; /* the reference is taken */
	}
	if (error == ERR_REPLICA_NOT_AVAILABLE)
		storage_future_remove(copy->dir, copy->path);
	log_unref(copy);
}

void
log_future_drop(struct log_future **place)
{
	struct log_future *future = *place;

	if (future->replaced) {
		struct log_dir *from = future->from;
		struct log *log = log_ref(future->of);

		if (log_future_finish(place) == ERR_REPLICA_NOT_AVAILABLE) {
			storage_withhold(from, log->name);
			future_free(place);
		}
		log_unref(log);
		return;
	}
	future_list(future->copy, false);
	future_remove(future->copy);
	future->copy = NULL;
	future_free(place);
}

void
log_future_leave(struct log_future **place)
{
	struct log *copy = (*place)->copy;

	if (!(*place)->replaced) {
		if (!log_failed(copy))
			(void)log_close_clean(copy);
		future_list(copy, false);
	}
	future_free(place);
}

int64_t
log_future_size_bytes(const struct log_future *future)
{
	return (log_size_bytes(future->copy));
}

int64_t
log_future_start_offset(const struct log_future *future)
{
	return (log_start_offset(future->copy));
}

int64_t
log_future_end_offset(const struct log_future *future)
{
	return (log_end_offset(future->copy));
}

/* --- copying -------------------------------------------------------------- */

static enum error
future_load(struct log_future *future, const struct extent *extent)
{
	size_t done = 0;

	if (extent->length > future->room) {
		mem_free(future->bytes);
		future->bytes = mem_alloc(extent->length);
		future->room = extent->length;
	}
	while (done < extent->length) {
		ssize_t n = extent->blob->ops->read_at(extent->blob,
		    future->bytes + done, extent->length - done,
		    extent->position + (int64_t)done);

		if (n < 0)
			return (log_refuse(future->of,
			    "could not read a segment to be moved"));
		if (n == 0)
			return (ERR_OFFSET_OUT_OF_RANGE); /* it was cut */
		done += (size_t)n;
	}
	return (ERR_NONE);
}

/* The log's end lies behind its last batch: a truncation was told so. */
static void
future_skip(struct log *copy, int64_t end_offset)
{
	lock_take(&copy->lock);
	segment_list_last(copy->segments)->next_offset = end_offset;
	atomic_store_explicit(&copy->end_offset, end_offset,
	    memory_order_release);
	lock_release(&copy->lock);
}

static enum error
future_append(struct log_future *future, int64_t end_offset, size_t max_bytes,
    size_t *copied)
{
	struct log *copy = future->copy;
	int64_t start = log_start_offset(future->of);
	int64_t offset = log_end_offset(copy);
	struct log_appended appended;
	struct log_read read;
	enum error error = log_read(future->of,
	    offset < start ? start : offset, end_offset, max_bytes, true,
	    &read);

	if (error != ERR_NONE)
		return (error);
	if (read.extent.blob == NULL) {
		if (read.segment < 0)
			future_skip(copy, end_offset);
		return (ERR_NONE);
	}
	error = offset < start && read.first_offset != offset ?
	    ERR_OFFSET_OUT_OF_RANGE : future_load(future, &read.extent);
	if (error == ERR_NONE)
		error = log_append_as_follower(copy,
		    slice_of(future->bytes, read.extent.length), &appended);
	if (error == ERR_NONE)
		*copied += read.extent.length;
	blob_unref(read.extent.blob);
	return (error);
}

/* What it has copied may be gone from the log.  One that has nothing may begin
 * before the log's start, with the batch that has it. */
static bool
future_is_stale(const struct log_future *future)
{
	const struct log *log = future->of;

	return (atomic_load(&log->truncations) != future->truncations ||
	    (log_end_offset(future->copy) < log_start_offset(log) &&
		log_size_bytes(future->copy) > 0));
}

enum error
log_future_copy(struct log_future *future, size_t max_bytes, size_t *copied)
{
	struct log *log = future->of, *copy = future->copy;
	int64_t end_offset = log_end_offset(log);
	int64_t start_offset = log_start_offset(log);
	int64_t high_watermark = atomic_load(&log->high_watermark);
	enum error error = ERR_NONE;

	*copied = 0;
	if (log_failed(log) || log_failed(copy) || log_deleted(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (future_is_stale(future))
		return (ERR_OFFSET_OUT_OF_RANGE);
	if (log_end_offset(copy) < end_offset)
		error = future_append(future, end_offset, max_bytes, copied);
	/* Of what was cut while it was read nobody can tell. */
	if (future_is_stale(future))
		return (ERR_OFFSET_OUT_OF_RANGE);
	if (error != ERR_NONE)
		return (error);
	if (high_watermark > log_end_offset(copy))
		high_watermark = log_end_offset(copy);
	log_set_high_watermark(copy, high_watermark);
	return (log_advance_start(copy, start_offset < high_watermark ?
	    start_offset : high_watermark));
}

int64_t
log_future_left_bytes(const struct log_future *future)
{
	int64_t end_offset = log_end_offset(future->of);

	if (log_end_offset(future->copy) >= end_offset)
		return (0);
	return (log_bytes_between(future->of, log_end_offset(future->copy),
	    end_offset) + 1);
}

/* --- taking the place ----------------------------------------------------- */

/* Nobody else holds the copy, and it has all. */
static enum error
future_complete(struct log_future *future)
{
	struct log *copy = future->copy;
	enum error error;
	size_t copied;

	/* Once at least: the start may have moved since the last one. */
	do
		error = log_future_copy(future, FUTURE_CHUNK_BYTES, &copied);
	while (error == ERR_NONE &&
	    log_end_offset(copy) < log_end_offset(future->of));
	if (error == ERR_NONE)
		error = log_flush(copy);
	/* A roll is being closed, or could not be. */
	if (error == ERR_NONE && (atomic_load(&copy->references) > 1 ||
		atomic_load(&copy->recovery_point) < log_end_offset(copy)))
		error = ERR_REPLICA_NOT_AVAILABLE;
	return (error);
}

static bool
future_write_epochs(struct log_future *future)
{
	struct epochs epochs;

	lock_take(&future->of->lock);
	epochs_copy(&epochs, &future->of->epochs);
	lock_release(&future->of->lock);
	return (log_set_epochs(future->copy, &epochs));
}

/* Steps 1 to 3. */
static enum error
future_prepare(struct log_future *future)
{
	struct log *log = future->of, *copy = future->copy;
	struct files *files = log->storage->files;
	struct buffer text = BUFFER_EMPTY;
	enum error error = ERR_NONE;
	bool good = future_write_epochs(future);

	for (int i = 0; good && i < CHECKPOINT_COUNT; i++)
		good = log_dir_write_checkpoint(copy->dir,
		    (enum checkpoint_kind)i);
	mark_make(log, copy->dir, &text);
	if (!good ||
	    !mark_write(files, copy->path, MARK_ARRIVES, buffer_slice(&text)))
		error = log_refuse(copy, "could not finish a move");
	else if (!mark_write(files, log->path, MARK_LEAVES,
	    buffer_slice(&text))) {
		error = log_refuse(log, "could not note that a log leaves");
		(void)mark_remove(files, log->path, MARK_LEAVES);
	}
	buffer_fini(&text);
	return (error);
}

/* Step 4 in two: the name, and that it is on the disk. False: errno. */
static bool
future_rename(struct log *copy, bool *renamed)
{
	struct files *files = copy->storage->files;
	struct file_info info;
	char to[PATH_MAX];
	int error;

	snprintf(to, sizeof(to), "%s/%s", copy->dir->path, copy->name);
	if (files->ops->rename(files, copy->path, to) != 0) {
		error = errno;
		*renamed = files->ops->stat(files, copy->path, &info) != 0;
		errno = error;
		return (false);
	}
	*renamed = true;
	for (size_t i = 0; i < copy->segments->count; i++)
		segment_move(copy->segments->items[i], to);
	log_set_path(copy, to);
	return (true);
}

/* The log goes on where it is.  If the copy may be found renamed, the log must
 * not be found leaving, or a start would take the copy. */
static void
future_stay(struct log *log, int descriptor, bool renamed)
{
	struct files *files = log->storage->files;

	if (mark_remove(files, log->path, MARK_LEAVES) &&
	    files->ops->sync(files, descriptor) == 0)
		return;
	if (renamed || !log_wants_room(errno))
		(void)log_fail(log, "could not note that a log stays");
}

/* Step 4.  All descriptors that it and its undoing want are held before. */
static enum error
future_enter(struct log *log, struct log *copy)
{
	struct files *files = log->storage->files;
	int here = files->ops->open(files, log->path, O_RDONLY | O_DIRECTORY,
	    0);
	int there = here < 0 ? -1 : files->ops->open(files, copy->dir->path,
	    O_RDONLY | O_DIRECTORY, 0);
	enum error error = ERR_NONE;
	bool renamed = false;

	if (here < 0)
		error = log_refuse(log, "could not open a log that leaves");
	else if (there < 0 || !future_rename(copy, &renamed))
		error = log_refuse(copy, "could not finish a move");
	else if (files->ops->sync(files, there) != 0)
		error = log_fail(copy, "could not finish a move");
	else if (log_failed(copy))
		error = ERR_KAFKA_STORAGE_ERROR; /* just now, elsewhere */
	if (error != ERR_NONE && here >= 0)
		future_stay(log, here, renamed);
	else if (error != ERR_NONE)
		(void)mark_remove(files, log->path, MARK_LEAVES);
	if (there >= 0)
		files->ops->close(files, there);
	if (here >= 0)
		files->ops->close(files, here);
	return (error);
}

/* Which directory's checkpoints speak of which. */
static void
exchange_lists(struct log *log, struct log *copy)
{
	struct log_dir *from = log->dir, *to = copy->dir;

	lock_take(&from->storage->lock);
	from->placed_count--;
	log_dir_forget(from, log->name);
	lock_release(&from->storage->lock);
	lock_take(&from->lock);
	list_remove(&log->in_dir);
	from->log_count--;
	lock_release(&from->lock);
	lock_take(&to->lock);
	list_remove(&copy->in_dir);
	list_push_tail(&to->logs, &log->in_dir);
	lock_release(&to->lock);
	for (int i = 0; i < CHECKPOINT_COUNT; i++) {
		atomic_store(&from->checkpoint_stale[i], true);
		log_dir_changed(to, (enum checkpoint_kind)i);
	}
}

/* Both locks of the log are held; the copy is ours alone. */
static void
exchange(struct log *log, struct log *copy)
{
	struct segment_list *old = log->segments;
	struct log_dir *dir = log->dir;
	char path[PATH_MAX];

	exchange_lists(log, copy);
	snprintf(path, sizeof(path), "%s", log->path);
	lock_take(&log->lock);
	atomic_fetch_add(&log->truncations, 1);
	atomic_fetch_add(&log->moves, 1);
	log_publish_segments(log, copy->segments);
	for (size_t i = 0; i < old->count; i++)
		atomic_store(&old->items[i]->replaced, true);
	log->producers.snapshot_offset = copy->producers.snapshot_offset;
	atomic_store(&log->recovery_point, atomic_load(&copy->recovery_point));
	atomic_store(&log->aborted_last, atomic_load(&copy->aborted_last));
	log->has_aborted = copy->has_aborted;
	log->dir = copy->dir;
	log_set_path(log, copy->path);
	lock_release(&log->lock);
	log->epochs_differ = log->epochs_below = false;
	log->epochs_turn++;
	lock_take(&copy->lock);
	copy->segments = old;
	atomic_store(&copy->segment_count, (int)old->count);
	copy->dir = dir;
	log_set_path(copy, path);
	lock_release(&copy->lock);
}

static enum error
future_take_place(struct log_future *future)
{
	struct log *log = future->of, *copy = future->copy;
	enum error error = log_finish_cut(log);

	if (error != ERR_NONE)
		return (error);
	if (log_deleted(log) || log_failed(log) || log_failed(copy))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (future_is_stale(future))
		return (ERR_OFFSET_OUT_OF_RANGE);
	CHECK(log_end_offset(copy) == log_end_offset(log));
	lock_take(&log->closing);
	error = future_prepare(future);
	if (error == ERR_NONE)
		error = future_enter(log, copy);
	if (error == ERR_NONE) {
		future->from = log->dir;
		exchange(log, copy);
		future->replaced = true;
		storage_give_deletions(log->storage, log, copy);
	}
	lock_release(&log->closing);
	return (error);
}

enum error
log_future_replace(struct log_future *future)
{
	struct log *log = future->of;
	enum error error = future_complete(future);

	if (error != ERR_NONE)
		return (error);
	lock_take(&log->writer);
	error = future_take_place(future);
	lock_release(&log->writer);
	if (error == ERR_NONE)
		diag_info(log->storage->diag, storage, "partition=%s moved to "
		    "dir=%s", log->name, log->dir->path);
	return (error);
}

/* A want that passes is ERR_REPLICA_NOT_AVAILABLE, of the step that meets it;
 * a directory that fails here is left to the next start, which finds both. */
static enum error
finish_refused(struct log *log, const char *what)
{
	return (log_wants_room(errno) ? ERR_REPLICA_NOT_AVAILABLE :
	    log_fail(log, what));
}

/* Step 5. */
static enum error
finish_confirm(struct log_future *future)
{
	struct log *log = future->of;

	if (future->confirmed)
		return (ERR_NONE);
	if (log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (!mark_confirm(log->storage->files, log->path))
		return (finish_refused(log, "could not confirm a move"));
	future->confirmed = true;
	return (ERR_NONE);
}

/* Step 6. */
static enum error
finish_doom(struct log_future *future)
{
	struct log *log = future->of, *old = future->copy;
	struct files *files = log->storage->files;
	struct log_dir *from = future->from;
	enum error error = ERR_NONE;

	lock_take(&log->closing);
	if (log_dir_failed(from))
		error = ERR_KAFKA_STORAGE_ERROR;
	else if (old != NULL)
		error = storage_doom_log(old, future->doomed);
	if (error == ERR_NONE)
		future->copy = NULL; /* the reference is taken */
	lock_release(&log->closing);
	if (error == ERR_NONE)
		error = storage_forget_deleted(log->storage);
	if (log_dir_failed(from) || error != ERR_NONE)
		return (error == ERR_NONE ? ERR_KAFKA_STORAGE_ERROR : error);
	/* Whoever forgot it before us may have done so before the rename. */
	if (file_sync_directory(files, from->path) == 0)
		return (ERR_NONE);
	if (log_wants_room(errno))
		return (ERR_REPLICA_NOT_AVAILABLE);
	log_dir_fail(from, "could not sync", from->path, errno);
	return (ERR_KAFKA_STORAGE_ERROR);
}

enum error
log_future_finish(struct log_future **place)
{
	struct log_future *future = *place;
	struct log *log = future->of;
	enum error error = finish_confirm(future);

	CHECK(future->replaced);
	if (error == ERR_NONE)
		error = finish_doom(future);
	if (error == ERR_REPLICA_NOT_AVAILABLE)
		return (error);
	/* Step 7; one that stays is taken away by a start. */
	if (error == ERR_NONE)
		(void)mark_remove(log->storage->files, log->path, MARK_MOVED);
	future_free(place);
	return (error);
}

/* --- where logs are to lie ------------------------------------------------ */

/* Somebody may name partitions that never come. */
#define PREFERRED_MAX ((size_t)10000)

/* In a table that is walked in the order of insertion. */
struct preferred {
	struct hash_node node;
	struct log_dir *dir;
	char name[]; /* "topic-partition" */
};

struct log_dir *
storage_dir_named(const struct storage *storage, struct slice path)
{
	for (size_t i = 0; i < storage->dir_count; i++)
		if (slice_equal_text(path, storage->dirs[i]->path))
			return (storage->dirs[i]);
	return (NULL);
}

/* The lock of deletions is held, here and below. NULL: there is none. */
static struct preferred *
preferred_remove(struct storage *storage, struct hash_node *node)
{
	if (node == NULL)
		return (NULL);
	hash_remove(&storage->preferred, node);
	return (container_of(node, struct preferred, node));
}

static struct preferred *
preferred_take(struct storage *storage, const char *name)
{
	return (preferred_remove(storage, hash_find(&storage->preferred, name,
	    strlen(name))));
}

void
storage_prefer_dir(struct storage *storage, const char *topic,
    int32_t partition, struct log_dir *dir)
{
	char name[PATH_MAX];
	struct preferred *preferred, *before;

	snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	preferred = mem_zalloc(sizeof(*preferred) + strlen(name) + 1);
	preferred->dir = dir;
	memcpy(preferred->name, name, strlen(name) + 1);
	lock_take(&storage->deletions_lock);
	before = preferred_take(storage, name);
	/* The one of long ago makes room. */
	if (before == NULL && hash_count(&storage->preferred) >= PREFERRED_MAX)
		before = preferred_remove(storage, storage->preferred.first);
	hash_insert(&storage->preferred, &preferred->node, preferred->name,
	    strlen(preferred->name));
	lock_release(&storage->deletions_lock);
	mem_free(before);
}

struct log_dir *
storage_take_preferred(struct storage *storage, const char *name)
{
	struct preferred *preferred;
	struct log_dir *dir;

	lock_take(&storage->deletions_lock);
	preferred = preferred_take(storage, name);
	lock_release(&storage->deletions_lock);
	dir = preferred == NULL ? NULL : preferred->dir;
	mem_free(preferred);
	return (dir == NULL || log_dir_failed(dir) ? NULL : dir);
}

void
storage_forget_preferred(struct storage *storage)
{
	HASH_EACH(node, &storage->preferred)
		mem_free(preferred_remove(storage, node));
}
