/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of frames.  Short ones lie in their exchange, long ones in memory
 * that a hub keeps and hands out again, the warmest first: pages that were
 * unmapped would have to be cleared and mapped anew for every request, which
 * costs as much as copying them.  What is between comes from malloc().
 *
 *	<= FRAME_INLINE_BYTES   the exchange itself
 *	<= FRAME_POOLED_BYTES   malloc, as long as the frame
 *	beyond                  FRAME_RESERVE_BYTES, spare or new; grows by
 *	                        doubling, and is then no spare any more
 */
#include "net/net_int.h"

/* A sanitizer shall see who uses a frame that was given back. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FRAMES_SPARE_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FRAMES_SPARE_NONE 1
#endif
#endif

static uint8_t *
spare_take(struct frame_pool *pool)
{
	if (pool->count == 0)
		return (mem_try_alloc(FRAME_RESERVE_BYTES));
	pool->count--;
	if (pool->least > pool->count)
		pool->least = pool->count;
	return (pool->spare[pool->count]);
}

static void
spare_give(struct frame_pool *pool, uint8_t *memory)
{
#ifdef FRAMES_SPARE_NONE
	const size_t most = 0;
#else
	const size_t most = FRAMES_SPARE_MAX;
#endif

	if (pool->count < most)
		pool->spare[pool->count++] = memory;
	else
		mem_free(memory);
}

bool
frame_begin(struct exchange *x, size_t size)
{
	struct request *r = &x->request;

	if (size <= FRAME_INLINE_BYTES) {
		r->frame = x->inline_frame;
		x->frame_capacity = FRAME_INLINE_BYTES;
	} else if (size <= FRAME_POOLED_BYTES) {
		r->frame = mem_try_alloc(size);
		x->frame_capacity = size;
	} else {
		r->frame = spare_take(&x->hub->frames);
		x->frame_capacity = FRAME_RESERVE_BYTES;
	}
	r->frame_size = size;
	return (r->frame != NULL);
}

bool
frame_reserve(struct exchange *x, size_t size)
{
	struct request *r = &x->request;
	size_t capacity = x->frame_capacity;
	uint8_t *frame;

	if (size <= capacity)
		return (true);
	while (capacity < size)
		capacity *= 2;
	if (capacity > r->frame_size)
		capacity = r->frame_size;
	frame = mem_try_realloc(r->frame, capacity);
	if (frame == NULL)
		return (false);
	r->frame = frame;
	x->frame_capacity = capacity;
	return (true);
}

void
frame_end(struct exchange *x)
{
	struct request *r = &x->request;

	if (r->frame != x->inline_frame) {
		if (x->frame_capacity == FRAME_RESERVE_BYTES)
			spare_give(&x->hub->frames, r->frame);
		else
			mem_free(r->frame);
	}
	r->frame = NULL;
	x->frame_capacity = 0;
}

void
frames_trim(struct frame_pool *pool)
{
	for (size_t i = 0; i < pool->least; i++)
		mem_free(pool->spare[i]);
	pool->count -= pool->least;
	memmove(pool->spare, pool->spare + pool->least,
	    pool->count * sizeof(*pool->spare));
	pool->least = pool->count;
}

void
frames_drop(struct frame_pool *pool)
{
	pool->least = pool->count;
	frames_trim(pool);
}
