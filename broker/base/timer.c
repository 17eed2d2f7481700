/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: a binary heap a loop, of entries that hold the due time themselves,
 * so that sifting does not touch the timers but to tell them their slot.
 */
#include "base/loop_int.h"
#include "base/mem.h"

static bool
entry_before(const struct timer_entry *a, const struct timer_entry *b)
{
	if (a->due_ns != b->due_ns)
		return (a->due_ns < b->due_ns);
	return (a->sequence < b->sequence);
}

static void
heap_place(struct timer_heap *heap, size_t index, struct timer_entry entry)
{
	heap->entries[index] = entry;
	entry.timer->slot = index + 1;
}

static void
heap_sift_up(struct timer_heap *heap, size_t index, struct timer_entry entry)
{
	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (!entry_before(&entry, &heap->entries[parent]))
			break;
		heap_place(heap, index, heap->entries[parent]);
		index = parent;
	}
	heap_place(heap, index, entry);
}

static void
heap_sift_down(struct timer_heap *heap, size_t index, struct timer_entry entry)
{
	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    entry_before(&heap->entries[child + 1],
			&heap->entries[child]))
			child++;
		if (!entry_before(&heap->entries[child], &entry))
			break;
		heap_place(heap, index, heap->entries[child]);
		index = child;
	}
	heap_place(heap, index, entry);
}

/* Puts `entry` where `index` has room, and in order from there. */
static void
heap_settle(struct timer_heap *heap, size_t index, struct timer_entry entry)
{
	if (index > 0 && entry_before(&entry, &heap->entries[(index - 1) / 2]))
		heap_sift_up(heap, index, entry);
	else
		heap_sift_down(heap, index, entry);
}

static void
heap_remove(struct timer_heap *heap, size_t index)
{
	struct timer_entry last;

	CHECK(index < heap->count);
	heap->entries[index].timer->slot = 0;
	last = heap->entries[--heap->count];
	if (index < heap->count)
		heap_settle(heap, index, last);
}

static size_t
heap_room(struct timer_heap *heap)
{
	if (heap->count == heap->capacity) {
		heap->capacity = heap->capacity == 0 ? 64 : 2 * heap->capacity;
		heap->entries = mem_realloc(heap->entries,
		    heap->capacity * sizeof(*heap->entries));
	}
	return (heap->count++);
}

int64_t
timer_heap_due_ns(const struct timer_heap *heap)
{
	return (heap->count == 0 ? INT64_MAX : heap->entries[0].due_ns);
}

void
timer_heap_fini(struct timer_heap *heap)
{
	mem_free(heap->entries);
	heap->entries = NULL;
	heap->count = heap->capacity = 0;
}

/* Before the timer runs.  The turn's time is too old: others of the turn may
 * have taken long.  Only the loop writes the lag, but for whoever takes it:
 * what is lost between the look and the store was taken. */
static void
note_lag(struct loop *loop, const struct timer *timer)
{
	const int64_t now_ns = clock_mono_ns(loop->scheduler->clock);
	const int64_t from_ns = timer->earliest_ns > loop->began_ns
	    ? timer->earliest_ns
	    : loop->began_ns;

	if (now_ns - from_ns >
	    atomic_load_explicit(&loop->lag_ns, memory_order_relaxed))
		atomic_store_explicit(&loop->lag_ns, now_ns - from_ns,
		    memory_order_relaxed);
}

bool
loop_run_timer(struct loop *loop, int64_t now_ns)
{
	struct timer_heap *heap = &loop->timers;
	struct timer *timer;

	if (heap->count == 0 || heap->entries[0].due_ns > now_ns)
		return (false);
	timer = heap->entries[0].timer;
	heap_remove(heap, 0);
	note_lag(loop, timer);
	timer->run(timer);
	return (true);
}

void
timer_init(struct timer *timer, struct loop *loop,
    void (*run)(struct timer *timer))
{
	CHECK_MAGIC(loop, LOOP_MAGIC);
	timer->loop = loop;
	timer->run = run;
	timer->due_ns = timer->earliest_ns = 0;
	timer->slot = 0;
}

void
timer_arm_at(struct timer *timer, int64_t due_ns)
{
	struct loop *loop = timer->loop;
	struct timer_heap *heap = &loop->timers;
	struct timer_entry entry = { due_ns, heap->sequence++, timer };

	CHECK(loop_is_current(loop));
	timer->due_ns = timer->earliest_ns = due_ns;
	/* The past is due from now on: it is late by what comes after. */
	if (due_ns < loop_now_ns(loop))
		timer->earliest_ns = loop_now_ns(loop);
	if (heap->running && due_ns <= loop->now_ns)
		entry.due_ns = loop->now_ns + 1;
	if (timer->slot != 0)
		heap_settle(heap, timer->slot - 1, entry);
	else
		heap_sift_up(heap, heap_room(heap), entry);
}

void
timer_arm_in(struct timer *timer, int64_t delay_ns)
{
	int64_t now_ns = loop_now_ns(timer->loop);

	if (delay_ns < 0)
		delay_ns = 0;
	timer_arm_at(timer, delay_ns > INT64_MAX - now_ns ? INT64_MAX :
	    now_ns + delay_ns);
}

void
timer_disarm(struct timer *timer)
{
	if (timer->slot == 0)
		return;
	CHECK(loop_is_current(timer->loop));
	heap_remove(&timer->loop->timers, timer->slot - 1);
}
