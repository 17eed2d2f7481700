/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rolling: a new segment takes the place of the active one.  Only its .log is
 * made while the append waits; what closes the old one (the last entries of its
 * indexes, which stay in memory until then, and the snapshot of producers) goes
 * to the files later, on a worker, before the flush that moves the recovery
 * point there:
 *
 *	active --log_roll--> closed, pending --log_finish_rolls--> closed
 *
 * A death in between costs a recovery of the old segment, as the recovery point
 * lies before it.  Where everything is flushed already, so that it may lie
 * behind it, the roll is finished at once.
 */
#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

/* Rolls that a log may have pending; the next append finishes them itself. */
#define ROLLS_PENDING_MAX 8

struct roll {
	struct list link;       /* log->rolls, oldest first; by log->lock */
	struct segment *old;    /* a reference */
	int64_t next_base;
	struct buffer snapshot; /* empty: none is wanted */
	bool preallocate; /* the next one */
	bool trim;        /* the old one */
};

static void
roll_free(struct roll *roll)
{
	segment_unref(roll->old);
	buffer_fini(&roll->snapshot);
	mem_free(roll);
}

void
log_free_rolls(struct log *log)
{
	for (struct list *element;
	     (element = list_pop_head(&log->rolls)) != NULL;)
		roll_free(list_entry(element, struct roll, link));
}

void
log_drop_rolls(struct log *log, int64_t base_offset)
{
	LIST_EACH(element, &log->rolls) {
		struct roll *roll = list_entry(element, struct roll, link);

		if (roll->old->base_offset < base_offset)
			continue;
		list_remove(element);
		log->roll_count--;
		/* The list that is cut still has the segment. */
		roll_free(roll);
	}
}

/* Under log->lock: the old one ends here, and what it knew goes along. */
static struct roll *
roll_begin(struct log *log, struct segment *old, int64_t base_offset)
{
	struct producers *producers = &log->producers;
	struct roll *roll = mem_zalloc(sizeof(*roll));

	roll->old = segment_ref(old);
	roll->next_base = base_offset;
	roll->preallocate = log->settings.preallocate;
	roll->trim = roll->preallocate || segment_has_spare(old);
	segment_note_close(old);
	if (producers->end_offset < base_offset)
		producers->end_offset = base_offset;
	if (producers->end_offset > producers->snapshot_offset) {
		producers_encode(producers, &roll->snapshot);
		producers->snapshot_offset = producers->end_offset;
	}
	list_push_tail(&log->rolls, &roll->link);
	log->roll_count++;
	return (roll);
}

static struct segment_list *
list_with(const struct segment_list *before, struct segment *made)
{
	struct segment **items = mem_alloc((before->count + 1) *
	    sizeof(*items));
	struct segment_list *list;

	memcpy(items, before->items, before->count * sizeof(*items));
	items[before->count] = made;
	list = segment_list_new(items, before->count + 1);
	mem_free(items);
	return (list);
}

static bool
rolls_are_many(struct log *log)
{
	bool many;

	lock_take(&log->lock);
	many = log->roll_count >= ROLLS_PENDING_MAX;
	lock_release(&log->lock);
	return (many);
}

/* A death is to recover what could not be closed, flushed though it is. */
static void
roll_unfinished(struct log *log, int64_t base_offset)
{
	lock_take(&log->lock);
	if (atomic_load(&log->recovery_point) > base_offset)
		atomic_store(&log->recovery_point, base_offset);
	lock_release(&log->lock);
	log_dir_changed(log->dir, CHECKPOINT_RECOVERY_POINT);
}

enum error
log_roll(struct log *log, int64_t base_offset)
{
	struct segment *old = log_active(log);
	struct segment_list *before = log->segments;
	struct segment_list *list;
	struct segment *made;
	enum error error;

	if (old->size == 0 && old->base_offset == base_offset)
		return (ERR_NONE);
	if (rolls_are_many(log) && !log_finish_rolls(log))
		return (log_refuse(log, "could not close a segment"));
	made = log_begin_segment(log, base_offset);
	if (made == NULL)
		return (log_refuse(log, "could not make a segment"));
	list = list_with(before, made);
	segment_unref(made);
	lock_take(&log->lock);
	(void)roll_begin(log, old, base_offset);
	log_publish_segments(log, list);
	lock_release(&log->lock);
	segment_list_unref(before);
	if (atomic_load(&log->recovery_point) >= base_offset &&
	    !log_finish_rolls(log)) {
		error = log_refuse(log, "could not close a segment");
		roll_unfinished(log, old->base_offset);
		return (error);
	}
	log_flush_later(log, base_offset);
	return (ERR_NONE);
}

/* --- later ---------------------------------------------------------------- */

/* The oldest one pending.  *live: its segment is still where it was. */
static struct roll *
roll_first(struct log *log, bool *live, bool *active)
{
	const struct segment_list *list;
	struct roll *roll = NULL;
	size_t slot;

	lock_take(&log->lock);
	list = log->segments;
	if (!list_empty(&log->rolls)) {
		roll = list_entry(log->rolls.next, struct roll, link);
		slot = segment_list_find(list, roll->old->base_offset);
		*active = slot + 1 == list->count &&
		    list->items[slot] == roll->old;
		/* A deleted log's files are nobody's business. */
		*live = !log_deleted(log) && list->items[slot] == roll->old &&
		    !*active &&
		    list->items[slot + 1]->base_offset == roll->next_base;
	}
	lock_release(&log->lock);
	return (roll);
}

static bool
roll_write(struct log *log, struct roll *roll)
{
	return ((!roll->trim ||
		    segment_truncate(roll->old, roll->old->size) == 0) &&
	    segment_write_indexes(roll->old, false) == 0 &&
	    (roll->snapshot.length == 0 ||
		snapshot_put(log, roll->next_base,
		    buffer_slice(&roll->snapshot), false)) &&
	    (!roll->preallocate || log_preallocate(log)));
}

bool
log_finish_rolls_locked(struct log *log)
{
	bool active = false;
	bool live = false;
	struct roll *roll;

	while ((roll = roll_first(log, &live, &active)) != NULL) {
		if (live && !roll_write(log, roll))
			return (false);
		lock_take(&log->lock);
		list_remove(&roll->link);
		log->roll_count--;
		/* Cut, it may be the active one again. */
		if (live) {
			index_unload(&roll->old->offsets);
			index_unload(&roll->old->times);
		}
		lock_release(&log->lock);
		roll_free(roll);
	}
	return (true);
}

bool
log_finish_rolls(struct log *log)
{
	bool good;
	int error;

	lock_take(&log->closing);
	good = log_finish_rolls_locked(log);
	error = errno;
	lock_release(&log->closing);
	errno = error;
	return (good);
}

int64_t
log_rolls_bound(struct log *log, int64_t offset)
{
	const struct roll *roll;

	if (list_empty(&log->rolls))
		return (offset);
	roll = list_entry(log->rolls.next, struct roll, link);
	return (offset < roll->old->base_offset ? offset
						: roll->old->base_offset);
}
