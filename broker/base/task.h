/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task: something that waits.  Its steps are functions, written in the order
 * in which they happen; each runs to completion on the task's loop and answers
 *
 *	STEP_RUN   run the step that task_next() named, soon;
 *	STEP_WAIT  run this step again after a wake-up;
 *	STEP_DONE  the task is over: its class's fini runs, its memory goes.
 *
 * A step that waits subscribes first (waitq_join, timer, a call's completion)
 * and then asks whether it still must: a wake-up that comes while a step runs
 * makes it run again, so none is lost, and a step must bear spurious ones.
 * Completions store their result and call task_wake(); they never run a step.
 *
 *	    +--- task_next(t, other) ---+
 *	    v                           |
 *	[ready] --> step runs --RUN-----+
 *	    ^          |  |
 *	    |        WAIT DONE --> fini, freed
 *	  wake <-- [waiting]
 *
 * Owned by its loop.  Others hold a task_ref, which stays safe after the end.
 */
#ifndef BASE_TASK_H
#define BASE_TASK_H

#include "base/arena.h"
#include "base/loop.h"

enum verdict { STEP_RUN, STEP_WAIT, STEP_DONE };

typedef enum verdict task_step(struct task *task);

struct task_class {
	const char *name;
	size_t state_size; /* of what task_state() answers; starts zeroed */
	size_t arena_limit; /* bytes; 0: ARENA_DEFAULT_LIMIT */
	void (*fini)(struct task *task); /* may be NULL */
};

/* Waiting without end. */
#define TASK_NO_DEADLINE INT64_MAX
/* Steps in a row before other callbacks of the loop get their turn. */
#define TASK_STEPS_PER_TURN 64

/* The new task runs `first` in a coming turn. Its loop's thread only. */
struct task *task_start(struct loop *loop, const struct task_class *class,
    task_step *first, void (*setup)(struct task *task, void *arg), void *arg);
void *task_state(struct task *task);
struct loop *task_loop(struct task *task);
struct arena *task_arena(struct task *task);
const char *task_name(const struct task *task);

/* To be returned by a step: return (task_next(t, produce_reply)); */
enum verdict task_next(struct task *task, task_step *step);

/* The deadline wakes the task once; monotonic ns of the loop's clock. */
void task_set_deadline(struct task *task, int64_t deadline_ns);
bool task_expired(struct task *task);
/* Wakes the task after a pause, beside the deadline; one pause at a time. */
void task_sleep(struct task *task, int64_t delay_ns);
bool task_slept(const struct task *task);

/* Same loop. */
void task_wake(struct task *task);

/* A name that outlives the task. */
struct task_ref {
	struct loop *loop; /* NULL: no task */
	uint64_t id;
};
struct task_ref task_ref(struct task *task);
/* Any thread; nothing happens when the task is over. */
void task_wake_ref(struct task_ref ref);
/* The task's loop only; NULL when it is over. */
struct task *task_of_ref(struct task_ref ref);
/* Ends the task without another step; not from inside its own step. */
void task_cancel(struct task *task);

/* Live tasks of a loop, for metrics and for tests. */
size_t loop_task_count(const struct loop *loop);

#endif
