/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/walk.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/mem.h"

static bool walk_bring(struct walk *walk, size_t size);

void
walk_init(struct walk *walk, struct files *files, int descriptor,
    int64_t position, int64_t end, bool whole)
{
	walk->files = files;
	walk->descriptor = descriptor;
	walk->error = 0;
	walk->position = position;
	walk->end = end;
	walk->whole = whole;
	walk->window = walk->small;
	walk->window_size = sizeof(walk->small);
	walk->window_position = position;
	walk->window_length = 0;
	if (!whole || end - position <= (int64_t)sizeof(walk->small))
		return;
	walk->window_size = end - position < (int64_t)WALK_WINDOW_WHOLE ?
	    (size_t)(end - position) : WALK_WINDOW_WHOLE;
	walk->window = mem_alloc(walk->window_size);
}

void
walk_widen(struct walk *walk, size_t window_size)
{
	if (walk->window == walk->small || walk->window_length > 0)
		return;
	if ((int64_t)window_size > walk->end - walk->position)
		window_size = (size_t)(walk->end - walk->position);
	mem_free(walk->window);
	walk->window = mem_alloc(window_size);
	walk->window_size = window_size;
}

void
walk_fini(struct walk *walk)
{
	if (walk->window != walk->small)
		mem_free(walk->window);
	walk->window = walk->small;
}

enum walk_found
walk_next(struct walk *walk, struct batch *out, int64_t *position)
{
	int64_t left = walk->end - walk->position;
	size_t head = left < BATCH_HEADER_SIZE ? (size_t)left
					       : BATCH_HEADER_SIZE;
	struct slice bytes;

	*position = walk->position;
	if (walk->error != 0) {
		errno = walk->error;
		return (WALK_ERROR);
	}
	if (left <= 0)
		return (WALK_END);
	if (left < BATCH_PEEK_SIZE)
		return (WALK_TAIL);
	if (!walk_bring(walk, head))
		return (WALK_ERROR);
	bytes = slice_of(walk->window +
		(walk->position - walk->window_position), head);
	switch (batch_peek(bytes, out)) {
	case BATCH_OK:
		break;
	case BATCH_CORRUPT:
		/* Zeros: what a file system leaves of pages never written. */
		return (bytes_get_i32(bytes.data + 8) == 0 ? WALK_TAIL
							   : WALK_CORRUPT);
	case BATCH_PARTIAL:
	case BATCH_END:
		return (WALK_TAIL);
	}
	if (out->size > left)
		return (WALK_TAIL);
	/* The CRC does not cover the offset; the next one must be there. */
	if (out->base_offset < 0 || out->last_offset < out->base_offset ||
	    out->last_offset == INT64_MAX)
		return (WALK_CORRUPT);
	if (walk->whole) {
		if (!walk_load(walk, out, *position))
			return (WALK_ERROR);
		if (!batch_crc_good(out))
			return (WALK_CORRUPT);
	}
	walk->position += out->size;
	return (WALK_BATCH);
}

bool
walk_load(struct walk *walk, struct batch *batch, int64_t position)
{
	int64_t next = walk->position;
	struct slice bytes;
	bool good;

	walk->position = position;
	good = walk_bring(walk, (size_t)batch->size);
	if (good) {
		bytes = slice_of(walk->window +
			(position - walk->window_position),
		    (size_t)batch->size);
		good = batch_next(&bytes, batch) == BATCH_OK;
		if (!good)
			errno = EIO; /* not what it was a moment ago */
	}
	walk->position = next;
	return (good);
}

/* Has `size` bytes from the position on in the window. */
static bool
walk_bring(struct walk *walk, size_t size)
{
	int64_t in_window = walk->window_position +
	    (int64_t)walk->window_length - walk->position;
	int64_t left = walk->end - walk->position;

	if (walk->position >= walk->window_position &&
	    in_window >= (int64_t)size)
		return (true);
	if (size > walk->window_size) {
		/* The size is a file's word, but no more than the file has. */
		uint8_t *larger = mem_try_alloc(size);

		if (larger == NULL) {
			errno = ENOMEM;
			return (false);
		}
		walk_fini(walk);
		walk->window = larger;
		walk->window_size = size;
	}
	walk->window_length = left < (int64_t)walk->window_size
	    ? (size_t)left
	    : walk->window_size;
	walk->window_position = walk->position;
	if (file_read_full(walk->files, walk->descriptor, walk->window,
		walk->window_length, walk->position) == 0)
		return (true);
	walk->window_length = 0;
	return (false);
}
