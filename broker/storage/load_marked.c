/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At a start: logs that were moving between directories.  The rules stand in
 * doc/replica.md as a table; in their order:
 *
 *	the log and its copy      the copy is it; the log goes when that is
 *	                          loaded
 *	a log that has left       goes, if what has moved away is loaded; is the
 *	                          one, if there is no other and every directory
 *	                          could be looked at
 *	a copy that has arrived   goes, if the log stayed and is loaded; is the
 *	                          one, likewise
 *
 * What cannot be told is withheld: neither served nor touched.  Nothing goes
 * before the one that stays is loaded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "storage/storage_int.h"

struct settling {
	struct storage *storage;
	struct marked *items;
	size_t count;
};

static void settle_read(struct marked *item);
static void settle_pairs(struct settling *all, struct marked *arrived);
static void settle_left(struct settling *all, struct marked *left);
static void settle_arrived(struct settling *all, struct marked *arrived);
static void settle_moved(struct storage *storage);

void
storage_load_marked(struct storage *storage, struct marked *items,
    size_t count)
{
	struct settling all = { storage, items, count };
	struct marked *end = items + count;

	for (struct marked *item = items; item < end; item++)
		settle_read(item);
	for (struct marked *item = items; item < end; item++)
		settle_pairs(&all, item);
	for (struct marked *item = items; item < end; item++)
		settle_left(&all, item);
	for (struct marked *item = items; item < end; item++)
		settle_arrived(&all, item);
	if (!storage_load_is_abandoned(storage))
		settle_moved(storage);
	for (struct marked *item = items; item < end; item++) {
		mark_free(&item->leaves);
		mark_free(&item->arrives);
		mem_free(item->name);
		mem_free(item->path);
	}
}

static void
settle_read(struct marked *item)
{
	struct files *files = item->dir->storage->files;
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s-%" PRId32, item->topic,
	    item->partition);
	item->name = mem_strdup(text);
	snprintf(text, sizeof(text), "%s/%s", item->dir->path, item->name);
	item->path = mem_strdup(text);
	if (!mark_load(files, item->path, MARK_LEAVES, &item->leaves) ||
	    !mark_load(files, item->path, MARK_ARRIVES, &item->arrives))
		log_dir_fail(item->dir, "could not read a mark", item->path,
		    errno);
}

/* --- what is known -------------------------------------------------------- */

/* The directory that the tables have the log in; NULL: none. */
static struct log_dir *
settled_dir(const struct marked *item)
{
	struct log *log = storage_find(item->dir->storage, item->topic,
	    item->partition);
	struct log_dir *dir = log == NULL ? NULL : log_directory(log);

	if (log != NULL)
		log_unref(log);
	return (dir);
}

/* The other end is one of the directories, and all of them could be listed. */
static bool
settle_sees_all(const struct storage *storage, struct slice other)
{
	return (!storage_has_failed_dir(storage) &&
	    storage_dir_named(storage, other) != NULL);
}

/* Another one of its name is not decided. */
static bool
settle_has_rival(const struct settling *all, const struct marked *item)
{
	if (storage_is_withheld(all->storage, NULL, item->name))
		return (true);
	for (const struct marked *other = all->items;
	     other < all->items + all->count; other++)
		if (other != item && !other->done &&
		    strcmp(other->name, item->name) == 0)
			return (true);
	return (false);
}

/* It may not be known, but it is no other topic's. */
static bool
settle_same_topic(const struct mark *mark, const struct log *log)
{
	struct uuid id = log_topic_id(log);

	return (uuid_is_zero(id) || uuid_is_zero(mark->topic_id) ||
	    uuid_equal(id, mark->topic_id));
}

/* --- what is done --------------------------------------------------------- */

/* `known` is the directory that serves it; NULL: none does, and the operator
 * may decide. */
static void
settle_tell_withheld(const struct marked *item, const struct log_dir *known)
{
	const struct mark *mark = item->leaves.text != NULL ? &item->leaves :
							      &item->arrives;
	struct diag *diag = item->dir->storage->diag;

	if (known != NULL && !log_dir_failed(known)) {
		diag_warn(diag, storage, "partition=%s has moved to dir=%s and "
		    "is served there, what is left of it in dir=%s stays until "
		    "the next start", item->name, known->path,
		    item->dir->path);
		return;
	}
	diag_error(diag, storage,
	    "partition=%s is not served: it was moving from dir=%.*s to "
	    "dir=%.*s, and not all directories are here to tell which one is "
	    "it. When they are, a start decides. To serve what lies here "
	    "without: remove %s/barnabas.%s and start again",
	    item->name, SLICE_ARGS(mark->from), SLICE_ARGS(mark->to),
	    item->path, item->leaves.text != NULL ? "leaves" : "arrives");
}

static void
settle_withhold(struct marked *item)
{
	item->done = true;
	storage_withhold(item->dir, item->name);
	/* A clean stop says nothing of it. */
	if (!item->clean)
		atomic_store(&item->dir->unclean, true);
	if (!log_dir_failed(item->dir) &&
	    !storage_load_is_abandoned(item->dir->storage))
		settle_tell_withheld(item, settled_dir(item));
}

/* It is not the one: its files go later, as those of any deleted log.  False:
 * it is still there, or would be after a loss of power. */
static bool
settle_doom(struct marked *item)
{
	struct log_dir *dir = item->dir;
	struct storage *storage = dir->storage;

	item->done = true;
	if (!log_dir_failed(dir) &&
	    storage_doom_path(dir, item->path, item->topic, item->partition)) {
		diag_info(storage->diag, storage, "partition=%s moved from or "
		    "to another directory, what is left of it is deleted "
		    "dir=%s", item->name, dir->path);
		lock_take(&storage->lock);
		log_dir_forget(dir, item->name);
		lock_release(&storage->lock);
		if (file_sync_directory(storage->files, dir->path) == 0)
			return (true);
		if (!log_wants_room(errno))
			log_dir_fail(dir, "could not sync", dir->path, errno);
		return (false);
	}
	if (!log_dir_failed(dir) && !log_wants_room(errno))
		log_dir_fail(dir, "could not delete a log that moved",
		    item->path, errno);
	storage_withhold(dir, item->name);
	return (false);
}

static bool
settle_load(struct marked *item)
{
	item->done = true;
	return (!log_dir_failed(item->dir) &&
	    storage_load_log(item->dir, item->topic, item->partition,
		item->clean));
}

/* It is the one, and tells so by itself from now on. */
static bool
settle_confirm(struct marked *item)
{
	struct storage *storage = item->dir->storage;
	struct log *log = storage_find(storage, item->topic, item->partition);
	bool known;

	if (log == NULL)
		return (false);
	known = settle_same_topic(&item->arrives, log);
	log->has_moved = known && mark_confirm(storage->files, item->path);
	if (known && !log->has_moved && !log_wants_room(errno))
		(void)log_fail(log, "could not confirm a move");
	known = log->has_moved;
	log_unref(log);
	return (known);
}

/* --- the rules ------------------------------------------------------------ */

static void
settle_pairs(struct settling *all, struct marked *arrived)
{
	struct marked *left = all->items;
	struct marked *end = all->items + all->count;

	while (left < end && (left == arrived || left->done ||
	    strcmp(left->name, arrived->name) != 0 ||
	    !mark_equal(&left->leaves, &arrived->arrives)))
		left++;
	if (left == end || arrived->done || arrived->leaves.text != NULL)
		return;
	if (settle_load(arrived) && settle_confirm(arrived))
		(void)settle_doom(left);
	else
		settle_withhold(left);
}

/* What has moved from here is loaded. */
static bool
settle_knows_moved(const struct marked *left)
{
	struct storage *storage = left->dir->storage;
	struct log *log = storage_find(storage, left->topic, left->partition);
	struct mark moved = { 0 };
	bool known;

	if (log == NULL)
		return (false);
	if (log->has_moved &&
	    !mark_load(storage->files, log->path, MARK_MOVED, &moved))
		(void)log_fail(log, "could not read a mark");
	known = mark_equal(&left->leaves, &moved) &&
	    settle_same_topic(&moved, log);
	mark_free(&moved);
	log_unref(log);
	return (known);
}

static void
settle_left(struct settling *all, struct marked *left)
{
	struct files *files = all->storage->files;

	if (left->done || left->leaves.text == NULL ||
	    log_dir_failed(left->dir))
		return;
	if (settle_knows_moved(left)) {
		(void)settle_doom(left);
	} else if (settled_dir(left) != NULL) {
		storage_found_twice(left->dir, left->name);
	} else if (left->arrives.text != NULL || !left->leaves.good ||
	    storage_is_withheld(all->storage, NULL, left->name) ||
	    !settle_sees_all(all->storage, left->leaves.to)) {
		settle_withhold(left);
	} else if (settle_load(left) &&
	    (!mark_remove(files, left->path, MARK_LEAVES) ||
		file_sync_directory(files, left->path) != 0) &&
	    !log_wants_room(errno))
		log_dir_fail(left->dir, "could not remove a mark", left->path,
		    errno);
}

static void
settle_arrived(struct settling *all, struct marked *arrived)
{
	const struct log_dir *known;

	if (arrived->done || arrived->arrives.text == NULL ||
	    log_dir_failed(arrived->dir))
		return;
	known = settled_dir(arrived);
	if (known != NULL && arrived->arrives.good &&
	    slice_equal_text(arrived->arrives.from, known->path)) {
		/* The log went on without it. */
		(void)settle_doom(arrived);
	} else if (known != NULL) {
		storage_found_twice(arrived->dir, arrived->name);
	} else if (!arrived->arrives.good || settle_has_rival(all, arrived) ||
	    !settle_sees_all(all->storage, arrived->arrives.from)) {
		settle_withhold(arrived);
	} else if (settle_load(arrived))
		(void)settle_confirm(arrived);
}

/* --- marks that are not needed any more ----------------------------------- */

/* The directory that it came from could be listed, and does not have it, or the
 * start would have met that: durably, after a sync. */
static bool
settle_origin_is_clear(struct log *log)
{
	struct storage *storage = log->storage;
	struct log_dir *from;
	struct mark moved;
	bool clear;

	if (!mark_load(storage->files, log->path, MARK_MOVED, &moved))
		return (false);
	from = moved.good ? storage_dir_named(storage, moved.from) : log->dir;
	mark_free(&moved);
	clear = from != NULL && !storage_has_failed_dir(storage) &&
	    !storage_is_withheld(storage, NULL, log->name);
	if (clear && file_sync_directory(storage->files, from->path) != 0) {
		if (!log_wants_room(errno))
			log_dir_fail(from, "could not sync", from->path,
			    errno);
		clear = false;
	}
	return (clear);
}

static bool
settle_moved_one(void *arg, struct log *log)
{
	(void)arg;
	if (log->has_moved && !log_failed(log) && settle_origin_is_clear(log))
		(void)mark_remove(log->storage->files, log->path, MARK_MOVED);
	return (true);
}

static void
settle_moved(struct storage *storage)
{
	storage_each_log(storage, settle_moved_one, NULL);
}
