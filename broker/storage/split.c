/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment whose offsets go further from its base than 32 bits reach (an old
 * broker's compaction could make one) is taken apart at a load:
 *
 *	B.log --> B.log.cleaned, C.log.cleaned ... --> .swap, the last one first
 *
 * From there the load goes on as after any death in between: .cleaned ones are
 * thrown away with the .swap behind them, or all are .swap and take the place
 * of the old one.  One whose first batch is too far from B already goes by a
 * name of its own, and takes no place: B.log is removed then, last.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define COPY_BYTES ((size_t)256 << 10)

/* What one new segment gets. */
struct piece {
	int64_t base_offset;
	int64_t from;
	int64_t to;
};
struct pieces {
	struct piece *items;
	size_t count;
	size_t capacity;
};

static void
piece_name(const struct log *log, const struct piece *piece, const char *state,
    char out[PATH_MAX])
{
	char suffix[32];

	snprintf(suffix, sizeof(suffix), ".log.%s", state);
	log_offset_file(log, piece->base_offset, suffix, out);
}

/* Where it must be cut. What is no batch any more stays with the last piece:
 * recovery looks at it. */
static bool
pieces_find(struct segment *segment, struct pieces *pieces)
{
	enum walk_found found;
	struct walk walk;
	struct batch batch;
	int64_t position;

	segment_walk(segment, &walk, 0, segment->size, false);
	while ((found = walk_next(&walk, &batch, &position)) == WALK_BATCH) {
		const size_t count = pieces->count;

		if (count > 0 && batch.last_offset -
			pieces->items[count - 1].base_offset <= INT32_MAX)
			continue;
		if (pieces->count == pieces->capacity) {
			pieces->capacity = pieces->capacity * 2 + 4;
			pieces->items = mem_realloc(pieces->items,
			    pieces->capacity * sizeof(*pieces->items));
		}
		if (pieces->count > 0)
			pieces->items[pieces->count - 1].to = position;
		/* The first takes the old one's name, so that it replaces it;
		 * any other is named by its first batch. */
		pieces->items[pieces->count] = (struct piece){
			.base_offset = pieces->count == 0 &&
				batch.last_offset - segment->base_offset <=
				    INT32_MAX ?
			    segment->base_offset : batch.base_offset,
			.from = position,
			.to = segment->size,
		};
		pieces->count++;
	}
	segment_walk_end(segment, &walk);
	return (found != WALK_ERROR && pieces->count > 0);
}

static bool
piece_copy(struct files *files, int from, int to, const struct piece *piece)
{
	uint8_t *bytes = mem_alloc(COPY_BYTES);
	bool good = true;

	for (int64_t at = piece->from; good && at < piece->to;) {
		size_t size = piece->to - at < (int64_t)COPY_BYTES ?
		    (size_t)(piece->to - at) : COPY_BYTES;
		struct iovec part = { bytes, size };

		good = file_read_full(files, from, bytes, size, at) == 0 &&
		    file_write_full(files, to, &part, 1, at - piece->from) == 0;
		at += (int64_t)size;
	}
	mem_free(bytes);
	return (good && files->ops->sync(files, to) == 0);
}

static bool
piece_write(struct log *log, int from, const struct piece *piece)
{
	struct files *files = log->storage->files;
	char name[PATH_MAX];
	int to;
	bool good;
	int error;

	piece_name(log, piece, "cleaned", name);
	to = files->ops->open(files, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (to < 0)
		return (false);
	good = piece_copy(files, from, to, piece);
	error = errno;
	files->ops->close(files, to);
	errno = error;
	return (good);
}

static bool
pieces_write(struct log *log, struct segment *segment,
    const struct pieces *pieces)
{
	struct files *files = log->storage->files;
	int from = segment_pin(segment);
	bool good = from >= 0;

	for (size_t i = 0; good && i < pieces->count; i++)
		good = piece_write(log, from, &pieces->items[i]);
	if (from >= 0)
		segment_unpin(segment);
	for (size_t i = pieces->count; good && i-- > 0;) {
		char cleaned[PATH_MAX];
		char swap[PATH_MAX];

		piece_name(log, &pieces->items[i], "cleaned", cleaned);
		piece_name(log, &pieces->items[i], "swap", swap);
		good = files->ops->rename(files, cleaned, swap) == 0;
	}
	return (good && file_sync_directory(files, log->path) == 0);
}

bool
segment_split(struct log *log, struct segment *segment)
{
	struct pieces pieces = { 0 };
	bool good, renamed;

	good = pieces_find(segment, &pieces);
	/* Its first batch is too far from its base: another name takes none of
	 * its place. */
	renamed = good && pieces.items[0].base_offset != segment->base_offset;
	good = good && (pieces.count > 1 || renamed) &&
	    pieces_write(log, segment, &pieces) &&
	    (!renamed || segment_mark_deleted(segment) == 0);
	diag_warn(log->storage->diag, storage,
	    "partition=%s offsets beyond what 32 bits hold, the segment is "
	    "taken apart file=%s.log pieces=%zu%s",
	    log->name, segment->path, pieces.count,
	    good ? "" : ": that failed");
	mem_free(pieces.items);
	return (good);
}
