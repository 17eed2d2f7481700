/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the batches of a .log file, by reading, from one position to
 * another.  With whole = false only headers are read, and what lies between is
 * skipped: to find a place, or to replay producers.
 */
#ifndef STORAGE_WALK_H
#define STORAGE_WALK_H

#include "record/record.h"
#include "storage/file.h"

#define WALK_WINDOW_HEADERS 4096
#define WALK_WINDOW_WHOLE ((size_t)256 << 10)

/* No segment begins beyond: the offsets in it need not fit 64 bits. */
#define SEGMENT_BASE_MAX (INT64_MAX - INT32_MAX - 1)

enum walk_found {
	WALK_BATCH,
	WALK_END,     /* exactly at the end */
	WALK_TAIL,    /* what is left is too short for what it says, or zeros */
	WALK_CORRUPT, /* no batch, or (whole) a wrong CRC */
	WALK_ERROR    /* the file would not be read: errno */
};

struct walk {
	struct files *files;
	int descriptor;
	int error; /* not 0: there is no file to be read, and why */
	int64_t position; /* of the next batch */
	int64_t end;
	bool whole;
	uint8_t *window;
	size_t window_size;
	int64_t window_position;
	size_t window_length;
	uint8_t small[WALK_WINDOW_HEADERS];
};

void walk_init(struct walk *walk, struct files *files, int descriptor,
    int64_t position, int64_t end, bool whole);
/* So many bytes are read at once, where there are as many (whole). */
void walk_widen(struct walk *walk, size_t window_size);
void walk_fini(struct walk *walk);
/* *position: where the batch begins. Its bytes live until the next call. */
enum walk_found walk_next(struct walk *walk, struct batch *out,
    int64_t *position);
/* Reads all of the batch that walk_next() just gave. False: WALK_ERROR, or no
 * memory for it. Its bytes live until the next call. */
bool walk_load(struct walk *walk, struct batch *batch, int64_t position);

#endif
