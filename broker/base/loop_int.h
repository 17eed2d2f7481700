/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the scheduler: what loop.c (posts, time), timer.c, task.c, work.c and
 * the two schedulers behind scheduler_ops share.
 *
 * The life of a loop: NEW (callbacks pile up; whoever made it may touch its
 * state) -> RUNNING (only `owner` touches it) -> STOPPED (as NEW, until freed).
 * Other threads reach only the inbox, under `mutex`, and the atomics.
 */
#ifndef BASE_LOOP_INT_H
#define BASE_LOOP_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "base/task.h"

#define SCHEDULER_MAGIC 0x5c4ed01eU
#define LOOP_MAGIC 0x100b100bU

/* Posts in one turn before descriptors get a look. */
#define LOOP_POSTS_PER_TURN 1024
/* Spent memory of loop_post_call() that a loop keeps for the next ones. */
#define LOOP_CALLS_KEPT 256

/* Workers, and the queues that they serve. Under work_mutex. */
struct crew {
	struct scheduler *scheduler;
	/* Queues that have a piece to start, and may: served in turn. */
	struct list runnable;
	/* What a scheduler with threads has besides. */
	pthread_cond_t ready;
	int idle_count;
	bool stopping;
	int wanted;	  /* workers */
	int worker_count; /* that are there, or about to be */
	struct list workers; /* of struct worker, those that left included */
};

struct scheduler_ops {
	void (*destroy)(struct scheduler *scheduler);
	void (*loop_attach)(struct loop *loop);
	void (*loop_start)(struct loop *loop);
	void (*loop_stop)(struct loop *loop);
	/* No work or poster touches the loop after this. */
	void (*loop_detach)(struct loop *loop);
	/* A loop that is asleep got something. NULL: none ever sleeps. */
	void (*loop_rouse)(struct loop *loop);
	/* True when no callback at all runs; NULL: cannot be told. */
	bool (*idle)(const struct scheduler *scheduler);
	/* So many workers serve the crew's queues. NULL: whoever runs work runs
	 * that of all crews. */
	void (*crew_start)(struct crew *crew, int count);
	/* So many from now on. */
	void (*crew_resize)(struct crew *crew, int count);
	void (*crew_stop)(struct crew *crew);
	/* Under work_mutex: a queue of the crew has become runnable. */
	void (*work_ready)(struct crew *crew);
	/* Returns when the queue is empty and none of its pieces runs. */
	void (*work_drain)(struct work_queue *queue);
};

/* First member of both schedulers. */
struct scheduler {
	unsigned magic;
	const struct scheduler_ops *ops;
	const struct clock *clock;
	struct diag *diag;
	atomic_uint loop_count;
	pthread_mutex_t work_mutex; /* a leaf lock, over all queues */
	struct list work_queues;
	struct crew crew; /* of all queues without one of their own */
};

void scheduler_init(struct scheduler *scheduler,
    const struct scheduler_ops *ops, const struct clock *clock,
    struct diag *diag);
void scheduler_fini(struct scheduler *scheduler);

/* Timers by due time; those of one time in the order of arming. */
struct timer_entry {
	int64_t due_ns;
	uint64_t sequence;
	struct timer *timer;
};

struct timer_heap {
	struct timer_entry *entries;
	size_t count;
	size_t capacity;
	uint64_t sequence;
	/* While due timers run, one armed for the past waits a turn. */
	bool running;
};

/* INT64_MAX: none. */
int64_t timer_heap_due_ns(const struct timer_heap *heap);
void timer_heap_fini(struct timer_heap *heap);
/* Runs the earliest timer if it is due; false when none is. */
bool loop_run_timer(struct loop *loop, int64_t now_ns);

/* Names of tasks to be woken. */
struct wake_list {
	uint64_t *ids;
	size_t count;
	size_t capacity;
};

/* A live task's id is in its slot; ids hold the slot's index. */
struct task_slot {
	uint64_t id;
	struct task *task; /* NULL: free */
	uint32_t next_free;
};

#define TASK_SIZE_CLASSES 4

struct task_table {
	struct task_slot *slots;
	uint32_t count;
	uint32_t free_slot; /* + 1; 0: none */
	atomic_size_t live;
	struct list ready;
	struct list stepping; /* this turn's share of the ready ones */
	struct list spare[TASK_SIZE_CLASSES];
	unsigned spare_count[TASK_SIZE_CLASSES];
	unsigned steps_per_turn;
};

void task_table_init(struct task_table *table);
void task_table_fini(struct task_table *table);
void loop_run_tasks(struct loop *loop);
/* One ready task, once. */
void loop_run_task(struct loop *loop, struct list *link);
void loop_wake_id(struct loop *loop, uint64_t id);

enum loop_state { LOOP_NEW, LOOP_RUNNING, LOOP_STOPPED };

struct loop_thread; /* what a loop of threads has besides */

struct loop {
	unsigned magic;
	struct scheduler *scheduler;
	char *name;
	atomic_int state;
	_Atomic pthread_t owner; /* whose callback runs; 0: nobody's */
	atomic_bool stopping;
	_Atomic uint64_t turns;
	_Atomic int64_t lag_ns; /* of timers; the greatest since it was taken */
	/* Work whose home this is, and threads about to rouse it. */
	atomic_uint pins;

	pthread_mutex_t mutex; /* a leaf lock, over the inbox: */
	struct list posts;
	struct wake_list wakes;
	struct list calls_free;
	unsigned calls_free_count;
	bool asleep;

	/* From here on the loop's own. */
	struct list posts_taken;
	struct wake_list wakes_taken;
	struct list calls_spent;
	unsigned calls_spent_count;
	int64_t began_ns; /* what is due before was not late yet */
	bool now_known;
	bool wall_known;
	int64_t now_ns;
	int64_t wall_ms;
	struct timer_heap timers;
	struct task_table tasks;
	unsigned watch_count;
	struct loop_thread *thread;
	struct list link; /* replay: in its scheduler */
};

/* Stricter than loop_is_current(): a callback of this loop is running here. */
static inline bool
loop_runs_here(const struct loop *loop)
{
	return (pthread_equal(atomic_load_explicit(&loop->owner,
			memory_order_relaxed), pthread_self()) != 0);
}

static inline bool
loop_stopping(const struct loop *loop)
{
	return (atomic_load_explicit(&loop->stopping, memory_order_relaxed));
}

/* Taking a leaf lock, of a kind that cannot fail. */
void leaf_lock(pthread_mutex_t *mutex);
void leaf_unlock(pthread_mutex_t *mutex);

/* The kernel refused what the scheduler cannot live without: says so, ends. */
_Noreturn void scheduler_refused(const struct scheduler *scheduler,
    const char *what, int error);

void loop_post_wake(struct loop *loop, uint64_t id);
/* All but descriptors: inbox, due timers, ready tasks. */
void loop_turn(struct loop *loop);
/* A new turn: time must be read again. */
void loop_forget_time(struct loop *loop);
/* Under the mutex. */
bool loop_inbox_empty(const struct loop *loop);

/* --- work (work.c) -------------------------------------------------------- */

struct work_queue {
	struct list link;	/* in scheduler.work_queues */
	struct list runnable;	/* in its crew's, or alone */
	struct scheduler *scheduler;
	struct crew *crew;
	bool apart;		/* the crew is its own */
	char *name;
	struct list pending;
	size_t length;
	int running;
	int parallel;
	int drains;	     /* threads in work_queue_free() */
	pthread_cond_t idle; /* a piece ended; told to those */
};

/* Under work_mutex: begins the piece `work`, which is pending in `queue`. */
void work_begin(struct work_queue *queue, struct work *work);
/* Without locks: runs it and sends `done` home. */
void work_run(struct work *work);
/* Under work_mutex. */
void work_end(struct work_queue *queue);

#endif
