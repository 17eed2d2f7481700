/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain of blocks.  Small objects are cut from the newest; one that would
 * waste much of a block gets a block of its own, put behind the newest, so that
 * the free room of the newest stays in use.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define ALIGNMENT _Alignof(max_align_t)
#define BLOCK_SIZE_MIN ((size_t)4 << 10)
#define BLOCK_SIZE_MAX ((size_t)64 << 10)
/* What arena_reset() may keep. */
#define BLOCK_SIZE_KEPT ((size_t)16 << 10)

struct arena_block {
	struct arena_block *older;
	size_t size; /* with this header */
	_Alignas(max_align_t) char bytes[];
};

static char *arena_alloc_slow(struct arena *arena, size_t size);
static struct arena_block *arena_block_new(struct arena *arena, size_t size);
static void arena_block_use(struct arena *arena, struct arena_block *block);

void
arena_init(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){
		.limit = limit_bytes == 0 ? ARENA_DEFAULT_LIMIT : limit_bytes,
	};
}

void
arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block != NULL) {
		struct arena_block *older = block->older;

		mem_free(block);
		block = older;
	}
	arena_init(arena, arena->limit);
}

void
arena_reset(struct arena *arena)
{
	struct arena_block *kept = NULL;
	struct arena_block *block = arena->blocks;

	while (block != NULL) {
		struct arena_block *older = block->older;

		if (kept == NULL && block->size <= BLOCK_SIZE_KEPT)
			kept = block;
		else
			mem_free(block);
		block = older;
	}
	arena_init(arena, arena->limit);
	if (kept != NULL) {
		arena->used = kept->size;
		arena_block_use(arena, kept);
	}
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	char *memory = arena->next;

	if (size == 0)
		size = 1;
	if (size > SIZE_MAX - ALIGNMENT)
		return (NULL);
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size > arena->room)
		return (arena_alloc_slow(arena, size));
	arena->next += size;
	arena->room -= size;
	return (memory);
}

/* size is a multiple of the alignment and does not fit the newest block. */
static char *
arena_alloc_slow(struct arena *arena, size_t size)
{
	size_t left = arena->limit - arena->used;
	size_t wanted = BLOCK_SIZE_MIN;
	struct arena_block *block;

	if (left < sizeof(*block) || size > left - sizeof(*block))
		return (NULL);
	if (arena->blocks != NULL && size > BLOCK_SIZE_MAX / 4) {
		block = arena_block_new(arena, sizeof(*block) + size);
		if (block == NULL)
			return (NULL);
		block->older = arena->blocks->older;
		arena->blocks->older = block;
		return (block->bytes);
	}
	if (arena->used >= BLOCK_SIZE_MIN)
		wanted = arena->used > BLOCK_SIZE_MAX ? BLOCK_SIZE_MAX
						      : arena->used;
	if (wanted < sizeof(*block) + size)
		wanted = sizeof(*block) + size;
	if (wanted > left)
		wanted = left;
	block = arena_block_new(arena, wanted);
	if (block == NULL)
		return (NULL);
	block->older = arena->blocks;
	arena_block_use(arena, block);
	arena->next += size;
	arena->room -= size;
	return (block->bytes);
}

static struct arena_block *
arena_block_new(struct arena *arena, size_t size)
{
	struct arena_block *block = mem_try_alloc(size);

	if (block == NULL)
		return (NULL);
	block->older = NULL;
	block->size = size;
	arena->used += size;
	CHECK(arena->used <= arena->limit);
	return (block);
}

static void
arena_block_use(struct arena *arena, struct arena_block *block)
{
	if (arena->blocks == NULL)
		block->older = NULL;
	arena->blocks = block;
	arena->next = block->bytes;
	arena->room = (block->size - sizeof(*block)) / ALIGNMENT * ALIGNMENT;
}

void *
arena_zalloc(struct arena *arena, size_t size)
{
	void *memory = arena_alloc(arena, size);

	if (memory != NULL)
		memset(memory, 0, size);
	return (memory);
}

void *
arena_array(struct arena *arena, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return (NULL);
	return (arena_zalloc(arena, count * size));
}

char *
arena_strdup(struct arena *arena, const char *text)
{
	CHECK(text != NULL);
	return (arena_slice_text(arena, slice_of_text(text)));
}

char *
arena_slice_text(struct arena *arena, struct slice slice)
{
	char *copy;

	if (slice.length == SIZE_MAX)
		return (NULL);
	copy = arena_alloc(arena, slice.length + 1);
	if (copy == NULL)
		return (NULL);
	if (slice.length != 0)
		memcpy(copy, slice.data, slice.length);
	copy[slice.length] = '\0';
	return (copy);
}

struct slice
arena_slice_copy(struct arena *arena, struct slice slice, bool *ok)
{
	uint8_t *copy;

	if (slice.data == NULL)
		return (SLICE_NULL);
	copy = arena_alloc(arena, slice.length);
	if (copy == NULL) {
		*ok = false;
		return (SLICE_NULL);
	}
	memcpy(copy, slice.data, slice.length);
	return (slice_of(copy, slice.length));
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	CHECK(length >= 0);
	text = arena_alloc(arena, (size_t)length + 1);
	if (text == NULL)
		return (NULL);
	va_start(arguments, format);
	vsnprintf(text, (size_t)length + 1, format, arguments);
	va_end(arguments);
	return (text);
}
