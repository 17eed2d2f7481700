/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wait queue: what a lower room offers to tasks that wait for it ("appended",
 * "acked", "changed").  The side that changes something calls waitq_wake()
 * after the change; a step joins first and looks after.  Both are ordered by a
 * full fence, so either the step sees the change or the wake finds the step.
 *
 * A link is in at most one queue, lives in the task's state, and is taken out
 * by the wake; joining again is cheap when it still is in.  The queue's owner
 * must outlive its links: whoever joins holds a reference to the owner.
 * Any thread may wake; a task joins and leaves on its own loop.
 */
#ifndef BASE_WAITQ_H
#define BASE_WAITQ_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/task.h"

#if defined(__SANITIZE_THREAD__)
#define WAITQ_NO_FENCE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WAITQ_NO_FENCE 1
#endif
#endif

struct waitq {
	pthread_mutex_t mutex; /* a leaf lock */
	struct list links;
	atomic_uint count;
};

struct waitq_link {
	struct list link;
	struct waitq *_Atomic queue; /* NULL: in none; the waker's last word */
	struct task_ref task;
};

void waitq_init(struct waitq *queue);
/* Wakes whoever is left. */
void waitq_fini(struct waitq *queue);

/* A zeroed link is ready to use. */
void waitq_join(struct waitq *queue, struct waitq_link *link,
    struct task *task);
void waitq_leave(struct waitq *queue, struct waitq_link *link);

/* Between the change and the look at the count, or the join and the look at
 * the change.  ThreadSanitizer knows no fences: there an exchange stands in. */
static inline void
waitq_fence(struct waitq *queue)
{
#ifdef WAITQ_NO_FENCE
	(void)atomic_fetch_add(&queue->count, 0);
#else
	(void)queue;
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

void waitq_wake_all(struct waitq *queue);
/* Nearly free when nobody waits. */
static inline void
waitq_wake(struct waitq *queue)
{
	waitq_fence(queue);
	if (atomic_load_explicit(&queue->count, memory_order_relaxed) != 0)
		waitq_wake_all(queue);
}

#endif
