/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment that compaction made takes the place of those that it was made of.
 * On the disk, in this order, as Kafka does it:
 *
 *	1. BASE.*.cleaned is synced                a load removes them
 *	2. they are renamed to .swap               a load removes them, as long
 *	                                           as one is .cleaned yet
 *	3. the directory is synced
 *	4. the old files are renamed to .deleted   a load goes on from here: all
 *	5. .swap gets its own name                 in the range of .swap goes
 *	6. the directory is synced
 *	7. snapshots at bases that are no more go; .deleted, when readers are
 *	   done with it
 *
 * In memory, readers see the new list between 2 and 3: its segment is open,
 * and its indexes are in memory until 6, so its names do not matter.  Who has
 * an old one reads it to the end; what he looks up by name (an index) he takes
 * again from the new list when he finds that the segment was replaced
 * meanwhile.
 *
 * The lock of closing is held from before 2 to behind 6: truncation, deletion,
 * retention and moves wait for that, or were before it and end the pass.  The
 * writer's, for which a loop may wait, is held up to the new list only.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/clean_int.h"

static void swap_publish(struct cleaning *cleaning, size_t slot);
static bool swap_files(struct cleaning *cleaning, int directory);
static void swap_settle(struct cleaning *cleaning);

bool
cleaning_is_stale(const struct cleaning *cleaning)
{
	const struct log *log = cleaning->log;

	return (log_failed(log) || log_deleted(log) ||
	    atomic_load(&log->cleaning_pauses) > 0 ||
	    atomic_load(&log->truncations) != cleaning->truncations ||
	    atomic_load(&log->compaction_ends) != cleaning->compaction_ends);
}

/* Where the group is in the log now; false: it is not, or not as it was. */
static bool
swap_find(const struct cleaning *cleaning, size_t *slot)
{
	const struct segment_list *now = cleaning->log->segments;
	const struct segment_list *old = cleaning->list;
	size_t count = cleaning->group_end - cleaning->group;

	*slot = segment_list_find(now,
	    old->items[cleaning->group]->base_offset);
	if (*slot + count >= now->count)
		return (false);
	for (size_t i = 0; i < count; i++)
		if (now->items[*slot + i] != old->items[cleaning->group + i] ||
		    now->items[*slot + i]->offsets.in_memory)
			return (false);
	return (true);
}

/* Both locks of the log, without holding the writer's while a file call holds
 * the other one: a loop may want it. */
static void
swap_lock(struct log *log)
{
	for (;;) {
		lock_take(&log->writer);
		if (lock_try(&log->closing))
			return;
		lock_release(&log->writer);
		lock_take(&log->closing);
		lock_release(&log->closing);
	}
}

/* Step 2. False: errno, and all is as it was: those that are .swap are taken
 * back first, so that a load in between removes them all. */
static bool
swap_rename(struct clean_output *output)
{
	struct files *files = output->made->files;
	const size_t count = output->aborted.length > 0 ? CLEANED_FILES :
							  CLEANED_FILES - 1;
	char from[PATH_MAX];
	char to[PATH_MAX];
	size_t done = 0;
	int error;

	for (; done < count; done++) {
		clean_file(output->made, done, ".cleaned", from);
		clean_file(output->made, done, ".swap", to);
		if (files->ops->rename(files, from, to) != 0)
			break;
	}
	if (done == count)
		return (true);
	error = errno;
	while (done-- > 0) {
		clean_file(output->made, done, ".swap", to);
		if (files->ops->unlink(files, to) != 0 && errno != ENOENT)
			(void)log_fail(output->log,
			    "could not take a compacted segment back");
	}
	errno = error;
	return (false);
}

enum clean_state
cleaning_swap(struct cleaning *cleaning)
{
	struct log *log = cleaning->log;
	struct files *files = cleaning->storage->files;
	int directory = files->ops->open(files, log->path, O_RDONLY, 0);
	enum clean_state state = CLEAN_MORE;
	size_t slot;
	int error;

	if (directory < 0)
		return (cleaning_is_stale(cleaning) ? CLEAN_ABORTED :
			(log_refuse(log, "could not open a directory"),
			    CLEAN_REFUSED));
	swap_lock(log);
	if (cleaning_is_stale(cleaning) || log->closed ||
	    log->cut != CUT_NONE || !swap_find(cleaning, &slot))
		state = CLEAN_ABORTED;
	else if (!swap_rename(&cleaning->output))
		state = CLEAN_REFUSED;
	else
		swap_publish(cleaning, slot);
	error = errno;
	lock_release(&log->writer);
	errno = error;
	if (state == CLEAN_REFUSED)
		(void)log_refuse(log, "could not rename a segment");
	if (state == CLEAN_MORE && !swap_files(cleaning, directory)) {
		(void)log_fail(log, "could not exchange segments");
		state = CLEAN_REFUSED;
	}
	if (state == CLEAN_MORE)
		swap_settle(cleaning);
	lock_release(&log->closing);
	files->ops->close(files, directory);
	return (state);
}

/* --- in memory ------------------------------------------------------------ */

static void
swap_publish(struct cleaning *cleaning, size_t slot)
{
	struct log *log = cleaning->log;
	struct segment *made = cleaning->output.made;
	struct segment_list *before = log->segments;
	size_t count = cleaning->group_end - cleaning->group;
	size_t behind = before->count - slot - count;
	struct segment **items = mem_alloc(before->count * sizeof(*items));
	struct segment_list *list;

	memcpy(items, before->items, slot * sizeof(*items));
	items[slot] = made;
	memcpy(items + slot + 1, before->items + slot + count,
	    behind * sizeof(*items));
	list = segment_list_new(items, slot + 1 + behind);
	mem_free(items);
	made->next_offset = before->items[slot + count]->base_offset;
	atomic_store(&made->aborted, cleaning->output.aborted.length > 0);
	lock_take(&log->lock);
	log_publish_segments(log, list);
	for (size_t i = 0; i < count; i++) {
		struct segment *old = before->items[slot + i];

		atomic_store(&old->deleted_turn,
		    storage_segment_id(log->storage));
		atomic_store(&old->replaced, true);
	}
	lock_release(&log->lock);
	segment_list_unref(before);
}

/* --- on the disk ---------------------------------------------------------- */

/* Step 4.  A name is one that the directory may have no room for: then the file
 * goes at once, which only those miss who still read it and must open it. */
static bool
swap_remove_old(struct segment *old)
{
	return (segment_mark_deleted(old) == 0 ||
	    ((errno == ENOSPC || errno == EDQUOT) &&
		segment_unlink(old, false) == 0));
}

static bool
swap_files(struct cleaning *cleaning, int directory)
{
	struct files *files = cleaning->storage->files;
	struct segment *made = cleaning->output.made;
	bool good = files->ops->sync(files, directory) == 0;

	for (size_t i = cleaning->group; good && i < cleaning->group_end; i++)
		good = swap_remove_old(cleaning->list->items[i]);
	for (size_t i = 0; good && i < CLEANED_FILES; i++) {
		char from[PATH_MAX];
		char to[PATH_MAX];

		clean_file(made, i, ".swap", from);
		clean_file(made, i, "", to);
		good = files->ops->rename(files, from, to) == 0 ||
		    (errno == ENOENT && i + 1 == CLEANED_FILES);
	}
	return (good && files->ops->sync(files, directory) == 0);
}

static void
index_settle(struct index *index)
{
	index->written = index->count;
	index->differs = index->unsynced = false;
	index_unload(index);
}

/* It is a closed segment like any other. */
static void
swap_settle(struct cleaning *cleaning)
{
	struct clean_output *output = &cleaning->output;
	struct log *log = cleaning->log;
	struct segment_list *old;

	lock_take(&log->lock);
	index_settle(&output->made->offsets);
	index_settle(&output->made->times);
	lock_release(&log->lock);
	for (size_t i = cleaning->group + 1; i < cleaning->group_end; i++)
		if (!snapshot_forget(log,
			cleaning->list->items[i]->base_offset))
			(void)log_refuse(log, "could not delete a snapshot");
	old = segment_list_new(cleaning->list->items + cleaning->group,
	    cleaning->group_end - cleaning->group);
	storage_delete_later(log->storage, log, old);
	segment_unpin(output->made);
	segment_unref(output->made);
	output->made = NULL;
	output->log = NULL;
}
