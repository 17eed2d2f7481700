/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: memory that is given back all at once, at the end of a request or
 * of a task.  It has a bound; beyond it, and when the system refuses, the
 * answer is NULL, which is an error to handle (sizes often come from a peer).
 * Not shared between threads.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *next;                 /* free room in the newest block */
	size_t room;
	size_t used;  /* bytes taken from the system, all blocks */
	size_t limit; /* used never grows beyond it */
};

/* limit_bytes 0 means ARENA_DEFAULT_LIMIT. Takes no memory yet. */
#define ARENA_DEFAULT_LIMIT ((size_t)64 << 20)
void arena_init(struct arena *arena, size_t limit_bytes);
void arena_fini(struct arena *arena);
/* All memory goes back but for one small block, kept for the next use. */
void arena_reset(struct arena *arena);

/* Aligned for any type, not cleared. size 0 gives a valid, unique pointer. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* count * size with a check against overflow; cleared. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* NUL-terminated copies; that of the null slice is empty. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_slice_text(struct arena *arena, struct slice slice);
/* A copy of the bytes; null stays null; on refusal *ok becomes false. */
struct slice arena_slice_copy(struct arena *arena, struct slice slice,
    bool *ok);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
