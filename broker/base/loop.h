/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 6: the scheduler.  A scheduler owns loops and workers.
 *
 *   - A *loop* runs callbacks one after another: descriptors that are ready,
 *     timers that are due, posts from other threads, tasks that were woken
 *     (task.h).  All state that belongs to a loop is touched there only.
 *   - *Workers* run what may wait for a disk; their results come back as posts.
 *
 * In life every loop is a thread around a libevent base and workers are a pool
 * of threads.  In replay one thread runs all loops and all work of several
 * brokers, in an order drawn from a seed, on a virtual clock: time jumps to the
 * next timer when nothing else is left to run.  Both stand behind these calls.
 *
 *	another thread:  loop_post() --+
 *	worker:          work done  ---+--> posts --+
 *	libevent:        ready fds ----------------+--> callbacks, task steps
 *	timer heap:      due timers ---------------+
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

struct diag;
struct loop;
struct scheduler;
struct task;

/* --- schedulers ----------------------------------------------------------- */

/*
 * Threads. worker_count >= 1. `diag` may be NULL.  A thread, an epoll or an
 * event descriptor that the kernel refuses to a scheduler or a loop is like
 * memory refused to mem_alloc(): said in the log, and the process ends.
 */
struct scheduler *scheduler_new_threads(const struct clock *clock,
    int worker_count, struct diag *diag);
/* One thread, seeded order, virtual time. */
struct scheduler *scheduler_new_replay(struct clock_virtual *clock,
    uint64_t seed);
/* All loops must have been freed. Runs out the work still queued; queues that
 * were not freed go with it. */
void scheduler_free(struct scheduler *scheduler);
/* So many workers from now on, >= 1: more at once, or fewer as soon as those
 * that are too many end what they are at. What the kernel refuses is said, and
 * goes without. One caller at a time; nothing happens in replay. */
void scheduler_set_workers(struct scheduler *scheduler, int count);
const struct clock *scheduler_clock(const struct scheduler *scheduler);

/* Replay only.  Runs callbacks, those due at until_ns included, until nothing
 * is left to run by then, and sets the clock there.  With the clock's own time
 * it runs what is ready.  Returns how many callbacks ran. */
uint64_t scheduler_run_until(struct scheduler *scheduler, int64_t until_ns);
/* Replay only.  Runs until *done, or until nothing is left, or limit_ns of
 * virtual time have passed from now on; answers *done. */
bool scheduler_run_while_not(struct scheduler *scheduler, const bool *done,
    int64_t limit_ns);

/* --- loops ---------------------------------------------------------------- */

/* The loop takes callbacks after loop_start(); what is posted before waits.
 * `name` is copied and becomes the thread's name (15 characters count). */
struct loop *loop_new(struct scheduler *scheduler, const char *name);
void loop_start(struct loop *loop);
/* From another thread: ends the loop after the callback that runs now, joins
 * its thread, and drops the posts that have not run; later ones are dropped
 * too. */
void loop_stop(struct loop *loop);
/* The loop is stopped or was never started; it has no tasks and no watches.
 * Waits for work whose home it is; its `done` is dropped as posts are. */
void loop_free(struct loop *loop);
struct scheduler *loop_scheduler(const struct loop *loop);
const char *loop_name(const struct loop *loop);
/* True when the caller runs on this loop, or no thread does (not started yet,
 * or stopped; in replay also between the runs of the scheduler). */
bool loop_is_current(const struct loop *loop);
/* Time as of the start of this turn of the loop: one reading a turn. */
int64_t loop_now_ns(struct loop *loop);
/* Time as of now, to measure what is done within a turn. */
int64_t loop_clock_ns(const struct loop *loop);
int64_t loop_now_ms(struct loop *loop);
int64_t loop_wall_ms(struct loop *loop);
/* Counts turns; a watchdog on another thread reads it. */
uint64_t loop_turns(const struct loop *loop);
/* How late a timer ran, at most, since this was asked last. Any thread. */
int64_t loop_take_lag_ns(struct loop *loop);

/* --- posts ---------------------------------------------------------------- */

/* A post whose memory is the caller's: it may be freed or posted again as soon
 * as it runs. Posts from one thread to one loop run in order. Any thread. */
struct post {
	struct list link;
	void (*run)(struct post *post);
};
void loop_post(struct loop *loop, struct post *post);
/* As above with memory of the loop's own. */
void loop_post_call(struct loop *loop, void (*run)(void *arg), void *arg);

/* --- timers: their loop's thread only ------------------------------------- */

struct timer {
	struct loop *loop;
	void (*run)(struct timer *timer);
	int64_t due_ns;
	int64_t earliest_ns; /* due then, or armed later: for the lag */
	size_t slot; /* in the heap, + 1; 0: not armed */
};
void timer_init(struct timer *timer, struct loop *loop,
    void (*run)(struct timer *timer));
/* Arms or moves. A time in the past is due in the next turn. */
void timer_arm_at(struct timer *timer, int64_t due_ns);
void timer_arm_in(struct timer *timer, int64_t delay_ns);
void timer_disarm(struct timer *timer);
static inline bool
timer_armed(const struct timer *timer)
{
	return (timer->slot != 0);
}

/* --- descriptors: their loop's thread only; not in replay ----------------- */

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

struct watch_event; /* libevent's, hidden */
struct watch {
	struct loop *loop;
	int descriptor;
	unsigned wanted; /* WATCH_READ | WATCH_WRITE */
	/* Level-triggered; `ready` names what is ready and wanted. */
	void (*run)(struct watch *watch, unsigned ready);
	struct watch_event *events;
};
void watch_init(struct watch *watch, struct loop *loop, int descriptor,
    void (*run)(struct watch *watch, unsigned ready));
/* False: the kernel has no room to watch it (errno); what was wanted stays. */
bool watch_want(struct watch *watch, unsigned wanted);
/* Does not close the descriptor. Safe inside its own callback. */
void watch_fini(struct watch *watch);

/* --- workers -------------------------------------------------------------- */

/*
 * A piece of work: `run` on a worker, then `done` on the home loop (or nothing
 * when home is NULL).  The memory is the caller's and is busy until `done`.
 */
struct work {
	struct list link;
	void (*run)(struct work *work);
	void (*done)(struct work *work);
	struct loop *home;
	struct post post;
};

/* Work queues keep order: at most `parallel` pieces of one queue run at once;
 * with 1, each piece begins after the one before it ended. */
struct work_queue;
struct work_queue *work_queue_new(struct scheduler *scheduler,
    const char *name, int parallel);
/* One with so many workers of its own, which never wait for what others do. */
struct work_queue *work_queue_new_apart(struct scheduler *scheduler,
    const char *name, int parallel);
/* So many at once from now on, >= 1; with workers of its own so many of them.
 * One caller at a time. */
void work_queue_set_parallel(struct work_queue *queue, int parallel);
/* Until what is queued has run; the caller runs some of it. May be called from
 * a piece of another queue. */
void work_queue_free(struct work_queue *queue);
/* Waits until what is queued has run, on a thread that runs none of it. */
void work_queue_wait(struct work_queue *queue);
/* Any thread. Set run, done and home first. */
void work_submit(struct work_queue *queue, struct work *work);
/* Pieces waiting, for metrics. */
size_t work_queue_length(struct work_queue *queue);

#endif
