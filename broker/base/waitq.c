/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wait queues.  The mutex guards the list; a waker copies the names of tasks
 * out under it and wakes them after, since no lock is taken under a leaf lock.
 * Its last touch of a link is to set `queue` to NULL: from then on the link's
 * task may end and take the link's memory along.
 */
#include "base/waitq.h"

#include "base/loop_int.h"

/* Tasks named in one visit to the mutex. */
#define WAKE_BATCH 64

void
waitq_init(struct waitq *queue)
{
	CHECK(pthread_mutex_init(&queue->mutex, NULL) == 0);
	list_init(&queue->links);
	atomic_init(&queue->count, 0);
}

void
waitq_fini(struct waitq *queue)
{
	waitq_wake_all(queue);
	CHECK(atomic_load(&queue->count) == 0);
	CHECK(pthread_mutex_destroy(&queue->mutex) == 0);
}

/* Under the mutex. */
static void
link_take_out(struct waitq *queue, struct waitq_link *link)
{
	list_remove(&link->link);
	atomic_fetch_sub_explicit(&queue->count, 1, memory_order_relaxed);
	atomic_store_explicit(&link->queue, NULL, memory_order_release);
}

/*
 * That the link still is in, read without the lock, may be news of yesterday.
 * But then the wake that took it out has not reached this task yet, and makes
 * it look again.
 */
void
waitq_join(struct waitq *queue, struct waitq_link *link, struct task *task)
{
	struct waitq *in = atomic_load_explicit(&link->queue,
	    memory_order_acquire);

	if (in == queue)
		return;
	if (in != NULL)
		waitq_leave(in, link);
	link->task = task_ref(task);
	leaf_lock(&queue->mutex);
	list_push_tail(&queue->links, &link->link);
	atomic_store_explicit(&link->queue, queue, memory_order_relaxed);
	atomic_fetch_add_explicit(&queue->count, 1, memory_order_relaxed);
	leaf_unlock(&queue->mutex);
	waitq_fence(queue);
}

void
waitq_leave(struct waitq *queue, struct waitq_link *link)
{
	struct waitq *in = atomic_load_explicit(&link->queue,
	    memory_order_acquire);

	if (in == NULL)
		return;
	CHECK(in == queue);
	leaf_lock(&queue->mutex);
	if (atomic_load_explicit(&link->queue, memory_order_relaxed) == queue)
		link_take_out(queue, link);
	leaf_unlock(&queue->mutex);
}

/* Under the mutex. */
static unsigned
take_batch(struct waitq *queue, struct task_ref *tasks, unsigned limit)
{
	unsigned count = 0;

	while (count < limit && !list_empty(&queue->links)) {
		struct waitq_link *link = list_entry(queue->links.next,
		    struct waitq_link, link);

		tasks[count++] = link->task;
		link_take_out(queue, link);
	}
	return (count);
}

/* As many as were in at first: those that join anew have seen the change. */
void
waitq_wake_all(struct waitq *queue)
{
	struct task_ref tasks[WAKE_BATCH];
	unsigned left = UINT32_MAX;

	while (left > 0) {
		unsigned count, waiting;

		leaf_lock(&queue->mutex);
		waiting = atomic_load_explicit(&queue->count,
		    memory_order_relaxed);
		if (left > waiting)
			left = waiting;
		count = take_batch(queue, tasks,
		    left < WAKE_BATCH ? left : WAKE_BATCH);
		leaf_unlock(&queue->mutex);
		left -= count;
		for (unsigned i = 0; i < count; i++)
			task_wake_ref(tasks[i]);
	}
}
