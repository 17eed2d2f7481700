/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work queues: order among pieces of work, whatever runs them.  A queue with a
 * piece to start, and fewer than `parallel` running, is in its crew's list of
 * runnable queues, which that crew's workers serve in turn, a piece each.
 */
#include "base/loop_int.h"
#include "base/mem.h"

struct work_queue *
work_queue_new_apart(struct scheduler *scheduler, const char *name,
    int parallel)
{
	struct work_queue *queue = work_queue_new(scheduler, name, parallel);

	queue->apart = true;
	queue->crew = mem_zalloc(sizeof(*queue->crew));
	queue->crew->scheduler = scheduler;
	list_init(&queue->crew->runnable);
	if (scheduler->ops->crew_start != NULL)
		scheduler->ops->crew_start(queue->crew, parallel);
	return (queue);
}

struct work_queue *
work_queue_new(struct scheduler *scheduler, const char *name, int parallel)
{
	struct work_queue *queue = mem_zalloc(sizeof(*queue));

	CHECK_MAGIC(scheduler, SCHEDULER_MAGIC);
	CHECK(parallel >= 1);
	queue->scheduler = scheduler;
	queue->crew = &scheduler->crew;
	queue->name = mem_strdup(name);
	queue->parallel = parallel;
	list_init(&queue->pending);
	list_init(&queue->runnable);
	CHECK(pthread_cond_init(&queue->idle, NULL) == 0);
	leaf_lock(&scheduler->work_mutex);
	list_push_tail(&scheduler->work_queues, &queue->link);
	leaf_unlock(&scheduler->work_mutex);
	return (queue);
}

void
work_queue_free(struct work_queue *queue)
{
	struct scheduler *scheduler;

	if (queue == NULL)
		return;
	scheduler = queue->scheduler;
	scheduler->ops->work_drain(queue);
	leaf_lock(&scheduler->work_mutex);
	CHECK(queue->running == 0 && list_empty(&queue->pending));
	list_remove(&queue->link);
	leaf_unlock(&scheduler->work_mutex);
	if (queue->apart) {
		if (scheduler->ops->crew_stop != NULL)
			scheduler->ops->crew_stop(queue->crew);
		mem_free(queue->crew);
	}
	pthread_cond_destroy(&queue->idle);
	mem_free(queue->name);
	mem_free(queue);
}

/* Under work_mutex: true when the queue has become runnable, or still is. */
static bool
queue_offer(struct work_queue *queue)
{
	if (list_empty(&queue->pending) || queue->running >= queue->parallel)
		return (false);
	if (!list_linked(&queue->runnable))
		list_push_tail(&queue->crew->runnable, &queue->runnable);
	return (true);
}

void
work_queue_set_parallel(struct work_queue *queue, int parallel)
{
	struct scheduler *scheduler = queue->scheduler;
	int before;

	CHECK(parallel >= 1);
	if (queue->apart && scheduler->ops->crew_resize != NULL)
		scheduler->ops->crew_resize(queue->crew, parallel);
	leaf_lock(&scheduler->work_mutex);
	before = queue->parallel;
	queue->parallel = parallel;
	if (queue_offer(queue)) {
		/* One for each piece that may begin now. */
		for (int i = before; i < parallel; i++)
			scheduler->ops->work_ready(queue->crew);
	} else {
		list_remove(&queue->runnable);
	}
	leaf_unlock(&scheduler->work_mutex);
}

void
work_queue_wait(struct work_queue *queue)
{
	queue->scheduler->ops->work_drain(queue);
}

static void
work_done(struct post *post)
{
	struct work *work = container_of(post, struct work, post);

	work->done(work);
}

void
work_submit(struct work_queue *queue, struct work *work)
{
	struct scheduler *scheduler = queue->scheduler;

	if (work->home != NULL)
		atomic_fetch_add_explicit(&work->home->pins, 1,
		    memory_order_relaxed);
	work->post.run = work_done;
	leaf_lock(&scheduler->work_mutex);
	list_push_tail(&queue->pending, &work->link);
	queue->length++;
	if (queue_offer(queue))
		scheduler->ops->work_ready(queue->crew);
	leaf_unlock(&scheduler->work_mutex);
}

size_t
work_queue_length(struct work_queue *queue)
{
	size_t length;

	leaf_lock(&queue->scheduler->work_mutex);
	length = queue->length;
	leaf_unlock(&queue->scheduler->work_mutex);
	return (length);
}

void
work_begin(struct work_queue *queue, struct work *work)
{
	list_remove(&work->link);
	queue->length--;
	queue->running++;
	/* To the end of the line, or out of it. */
	list_remove(&queue->runnable);
	(void)queue_offer(queue);
}

/* Without a home the memory may be gone as soon as `run` has returned. */
void
work_run(struct work *work)
{
	struct loop *home = work->home;

	work->run(work);
	if (home == NULL)
		return;
	loop_post(home, &work->post);
	atomic_fetch_sub_explicit(&home->pins, 1, memory_order_release);
}

void
work_end(struct work_queue *queue)
{
	queue->running--;
	(void)queue_offer(queue);
	if (queue->drains > 0)
		pthread_cond_broadcast(&queue->idle);
}
