/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks.  The life of one:
 *
 *	task_start --> slot in the loop's table, in `ready`
 *	loop_run_tasks --> in no list while its step runs, or while it waits
 *	task_wake --> `ready` (or `woken`, when its step runs)
 *	STEP_DONE, task_cancel --> out of the table, fini, memory to `spare`
 *
 * A task_ref's id is a slot's index and the count of that slot's uses: a lookup
 * is one comparison, and an id does not come back.
 */
#include "base/task.h"

#include <stdalign.h>
#include <string.h>

#include "base/loop_int.h"
#include "base/mem.h"

#define TASK_MAGIC 0x7a5c7a5cU

/* An id: use count << 24 | index; 16 million tasks a loop. */
#define SLOT_INDEX_BITS 24
#define SLOT_INDEX_MASK (((uint64_t)1 << SLOT_INDEX_BITS) - 1)

/* Task memory is kept for reuse in four sizes; larger ones are freed. */
#define TASK_SIZE_MIN ((size_t)1024)
#define TASK_SPARE_COUNT 32

/* AddressSanitizer should see every use after the end. */
#if defined(__SANITIZE_ADDRESS__)
#define TASK_SPARE_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TASK_SPARE_NONE 1
#endif
#endif

struct task {
	unsigned magic;
	uint8_t size_class; /* TASK_SIZE_CLASSES: of its own size */
	bool running;	    /* a step is on the stack */
	bool woken;	    /* since that step began */
	bool ending;
	bool slept;
	struct list link; /* ready, stepping or spare; else alone */
	struct loop *loop;
	const struct task_class *class;
	task_step *step;
	uint64_t id;
	int64_t deadline_ns;
	struct timer deadline;
	struct timer sleep;
	struct arena arena;
	alignas(max_align_t) unsigned char state[];
};

/* --- the table ------------------------------------------------------------ */

void
task_table_init(struct task_table *table)
{
	memset(table, 0, sizeof(*table));
	list_init(&table->ready);
	list_init(&table->stepping);
	for (size_t i = 0; i < TASK_SIZE_CLASSES; i++)
		list_init(&table->spare[i]);
	table->steps_per_turn = TASK_STEPS_PER_TURN;
}

void
task_table_fini(struct task_table *table)
{
	for (size_t i = 0; i < TASK_SIZE_CLASSES; i++) {
		struct list *link;

		while ((link = list_pop_head(&table->spare[i])) != NULL) {
			struct task *task = list_entry(link, struct task, link);

			arena_fini(&task->arena);
			mem_free(task);
		}
	}
	mem_free(table->slots);
}

static uint64_t
slot_take(struct task_table *table, struct task *task)
{
	struct task_slot *slot;
	uint32_t index;

	if (table->free_slot == 0) {
		uint32_t grown = table->count == 0 ? 64 : 2 * table->count;

		CHECK(grown <= SLOT_INDEX_MASK + 1);
		table->slots = mem_realloc(table->slots,
		    grown * sizeof(*table->slots));
		for (uint32_t i = grown; i-- > table->count;) {
			table->slots[i] = (struct task_slot) {
				.id = i, .next_free = table->free_slot,
			};
			table->free_slot = i + 1;
		}
		table->count = grown;
	}
	index = table->free_slot - 1;
	slot = &table->slots[index];
	table->free_slot = slot->next_free;
	slot->id += SLOT_INDEX_MASK + 1;
	slot->task = task;
	return (slot->id);
}

static void
slot_give(struct task_table *table, uint64_t id)
{
	uint32_t index = (uint32_t)(id & SLOT_INDEX_MASK);
	struct task_slot *slot = &table->slots[index];

	CHECK(index < table->count && slot->id == id && slot->task != NULL);
	slot->task = NULL;
	slot->next_free = table->free_slot;
	table->free_slot = index + 1;
}

static struct task *
slot_find(const struct task_table *table, uint64_t id)
{
	uint64_t index = id & SLOT_INDEX_MASK;

	if (index >= table->count || table->slots[index].id != id)
		return (NULL);
	return (table->slots[index].task);
}

size_t
loop_task_count(const struct loop *loop)
{
	return (atomic_load_explicit(&loop->tasks.live, memory_order_relaxed));
}

/* --- memory --------------------------------------------------------------- */

static struct task *
task_memory(struct task_table *table, const struct task_class *class)
{
	size_t size = sizeof(struct task) + class->state_size;
	size_t limit = class->arena_limit != 0 ? class->arena_limit :
	    ARENA_DEFAULT_LIMIT;
	struct list *link;
	struct task *task;
	uint8_t size_class = 0;

	while (size_class < TASK_SIZE_CLASSES &&
	    TASK_SIZE_MIN << size_class < size)
		size_class++;
	link = size_class < TASK_SIZE_CLASSES ?
	    list_pop_head(&table->spare[size_class]) : NULL;
	if (link != NULL) {
		table->spare_count[size_class]--;
		task = list_entry(link, struct task, link);
		task->arena.limit = limit;
	} else {
		task = mem_alloc(size_class < TASK_SIZE_CLASSES ?
		    TASK_SIZE_MIN << size_class : size);
		arena_init(&task->arena, limit);
	}
	task->size_class = size_class;
	memset(task->state, 0, class->state_size);
	return (task);
}

static void
task_memory_give(struct task_table *table, struct task *task)
{
#ifdef TASK_SPARE_NONE
	const bool keep = false;
#else
	const bool keep = task->size_class < TASK_SIZE_CLASSES &&
	    table->spare_count[task->size_class] < TASK_SPARE_COUNT;
#endif

	task->magic = 0;
	if (keep) {
		arena_reset(&task->arena);
		table->spare_count[task->size_class]++;
		list_push_head(&table->spare[task->size_class], &task->link);
		return;
	}
	arena_fini(&task->arena);
	mem_free(task);
}

/* --- life ----------------------------------------------------------------- */

static void
on_deadline(struct timer *timer)
{
	task_wake(container_of(timer, struct task, deadline));
}

static void
on_slept(struct timer *timer)
{
	struct task *task = container_of(timer, struct task, sleep);

	task->slept = true;
	task_wake(task);
}

struct task *
task_start(struct loop *loop, const struct task_class *class,
    task_step *first, void (*setup)(struct task *task, void *arg), void *arg)
{
	struct task_table *table;
	struct task *task;

	CHECK_MAGIC(loop, LOOP_MAGIC);
	CHECK(loop_is_current(loop));
	table = &loop->tasks;
	task = task_memory(table, class);
	task->magic = TASK_MAGIC;
	task->running = task->woken = task->ending = task->slept = false;
	task->loop = loop;
	task->class = class;
	task->step = first;
	task->deadline_ns = TASK_NO_DEADLINE;
	timer_init(&task->deadline, loop, on_deadline);
	timer_init(&task->sleep, loop, on_slept);
	task->id = slot_take(table, task);
	atomic_fetch_add_explicit(&table->live, 1, memory_order_relaxed);
	list_push_tail(&table->ready, &task->link);
	if (setup != NULL)
		setup(task, arg);
	return (task);
}

static void
task_end(struct task *task)
{
	struct task_table *table = &task->loop->tasks;

	task->ending = true;
	slot_give(table, task->id);
	list_remove(&task->link);
	if (task->class->fini != NULL)
		task->class->fini(task);
	timer_disarm(&task->deadline);
	timer_disarm(&task->sleep);
	atomic_fetch_sub_explicit(&table->live, 1, memory_order_relaxed);
	task_memory_give(table, task);
}

void
task_cancel(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	CHECK(loop_is_current(task->loop));
	CHECK(!task->running && !task->ending);
	task_end(task);
}

/* --- steps ---------------------------------------------------------------- */

static void
task_run(struct task *task, unsigned steps)
{
	struct loop *loop = task->loop;

	while (steps-- > 0 && !loop_stopping(loop)) {
		enum verdict verdict;

		task->woken = false;
		task->running = true;
		verdict = task->step(task);
		task->running = false;
		switch (verdict) {
		case STEP_RUN:
			break;
		case STEP_WAIT:
			if (!task->woken)
				return;
			break;
		case STEP_DONE:
			task_end(task);
			return;
		default:
			UNREACHABLE();
		}
	}
	list_push_tail(&loop->tasks.ready, &task->link);
}

void
loop_run_task(struct loop *loop, struct list *link)
{
	struct task *task = list_entry(link, struct task, link);

	CHECK_MAGIC(task, TASK_MAGIC);
	list_remove(link);
	task_run(task, loop->tasks.steps_per_turn);
}

/* Those that are woken meanwhile wait for the next turn. */
void
loop_run_tasks(struct loop *loop)
{
	struct task_table *table = &loop->tasks;

	list_splice_tail(&table->stepping, &table->ready);
	while (!loop_stopping(loop) && !list_empty(&table->stepping))
		loop_run_task(loop, table->stepping.next);
	list_splice_tail(&table->ready, &table->stepping);
}

enum verdict
task_next(struct task *task, task_step *step)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	CHECK(task->running);
	task->step = step;
	return (STEP_RUN);
}

/* --- what a step asks ----------------------------------------------------- */

void *
task_state(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (task->state);
}

struct loop *
task_loop(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (task->loop);
}

struct arena *
task_arena(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (&task->arena);
}

const char *
task_name(const struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (task->class->name);
}

void
task_set_deadline(struct task *task, int64_t deadline_ns)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	task->deadline_ns = deadline_ns;
	if (deadline_ns == TASK_NO_DEADLINE)
		timer_disarm(&task->deadline);
	else
		timer_arm_at(&task->deadline, deadline_ns);
}

bool
task_expired(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (task->deadline_ns != TASK_NO_DEADLINE &&
	    task->deadline_ns <= loop_now_ns(task->loop));
}

void
task_sleep(struct task *task, int64_t delay_ns)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	task->slept = false;
	timer_arm_in(&task->sleep, delay_ns);
}

bool
task_slept(const struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return (task->slept);
}

/* --- waking --------------------------------------------------------------- */

void
task_wake(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	CHECK(loop_is_current(task->loop));
	if (task->running)
		task->woken = true;
	else if (!task->ending && !list_linked(&task->link))
		list_push_tail(&task->loop->tasks.ready, &task->link);
}

struct task_ref
task_ref(struct task *task)
{
	CHECK_MAGIC(task, TASK_MAGIC);
	return ((struct task_ref) { .loop = task->loop, .id = task->id });
}

void
loop_wake_id(struct loop *loop, uint64_t id)
{
	struct task *task = slot_find(&loop->tasks, id);

	if (task != NULL)
		task_wake(task);
}

void
task_wake_ref(struct task_ref ref)
{
	if (ref.loop == NULL)
		return;
	if (loop_runs_here(ref.loop))
		loop_wake_id(ref.loop, ref.id);
	else
		loop_post_wake(ref.loop, ref.id);
}

struct task *
task_of_ref(struct task_ref ref)
{
	if (ref.loop == NULL)
		return (NULL);
	CHECK(loop_is_current(ref.loop));
	return (slot_find(&ref.loop->tasks, ref.id));
}
