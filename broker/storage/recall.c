/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot has the last batch of each producer, a retry may be of any of its
 * last five (those under way when answers were lost): the ones before are found
 * again in the log's end.  Kafka forgets them; its clients give up then, or
 * send again under another epoch what is there already.  So it is a help, and
 * what cannot be read, or leads nowhere, costs no more than that.
 */
#include <errno.h>

#include "storage/storage_int.h"

/* How far back. */
#define RECALL_BYTES ((int64_t)4 << 20)

/* The last entry of the offset index at or before that position.  Nobody has
 * looked whether the entries of a closed segment make sense. */
static void
recall_place(struct log *log, struct segment *segment, int64_t position,
    struct index_entry *out)
{
	uint32_t low = 0;
	uint32_t high = segment->offsets.count;

	*out = (struct index_entry){ .offset = segment->base_offset };
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct index_entry entry;

		if (!index_get(&segment->offsets, log->storage->cache,
			segment->files, segment->path, middle, &entry) ||
		    entry.position < 0 || entry.position > position) {
			high = middle;
			continue;
		}
		*out = entry;
		low = middle + 1;
	}
}

/* Where to begin: the slot, and an entry of that segment. */
static size_t
recall_begin(struct log *log, struct segment *const *items, size_t last,
    int64_t to, struct index_entry *out)
{
	struct segment *segment = items[last];
	struct index_entry end = { 0 };
	int64_t left = RECALL_BYTES;

	index_lookup(&segment->offsets, log->storage->cache, segment->files,
	    segment->path, to - 1, &end);
	left -= end.position < 0 || end.position > segment->size ?
	    segment->size : end.position;
	while (left > 0 && last > 0)
		left -= items[--last]->size;
	recall_place(log, items[last], left < 0 ? -left : 0, out);
	return (last);
}

/* Adds what lies in front of `to`. */
static bool
recall_walk(struct log *log, struct segment *segment,
    const struct index_entry *start, int64_t to, struct producers *out)
{
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position = start->position;

	segment_walk(segment, &walk, position, segment->size, false);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH &&
	    batch.base_offset < to && !storage_load_is_abandoned(log->storage))
		if (batch.magic >= 2 &&
		    (batch.attributes & BATCH_ATTR_CONTROL) == 0)
			producers_add_data(out, &batch);
	segment_walk_end(segment, &walk);
	return (found != WALK_ERROR);
}

void
producers_recall(struct log *log, struct producers *producers,
    struct segment *const *items, size_t count)
{
	int64_t to = producers->end_offset;
	struct producers found = { 0 };
	struct index_entry start;
	bool good = true;
	size_t first;

	while (count > 0 && items[count - 1]->base_offset >= to)
		count--;
	if (count == 0 || hash_count(&producers->by_id) == 0)
		return;
	first = recall_begin(log, items, count - 1, to, &start);
	if (!producers_lack(producers, start.offset))
		return;
	for (size_t i = first; good && i < count; i++) {
		good = recall_walk(log, items[i], &start, to, &found);
		start.position = 0;
	}
	if (!good)
		diag_warn(log->storage->diag, storage,
		    "partition=%s could not read what producers wrote last, a "
		    "retry may be refused errno=%d", log->name, errno);
	producers_complete(producers, &found);
	producers_fini(&found);
}
