/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The face of the scheduler that both kinds have in common: loops with their
 * inbox (posts and wake-ups from anywhere), their time and their turns.
 *
 * One turn of a loop of threads:
 *
 *	take the inbox -> posts -> due timers -> ready tasks -> poll --+
 *	  ^                       (descriptors' callbacks run in it) <-+
 *	  +-----------------------------------------------------------+
 *
 * What a turn makes ready runs in the next, so nothing can starve the rest. Of
 * two such turns the second does without the poll.
 */
#include <string.h>

#include "base/diag.h"
#include "base/loop_int.h"
#include "base/mem.h"

/* Memory of the loop's own for loop_post_call(). */
struct loop_call {
	struct post post;
	struct loop *loop;
	void (*run)(void *arg);
	void *arg;
};

static void call_run(struct post *post);

void
leaf_lock(pthread_mutex_t *mutex)
{
	int error = pthread_mutex_lock(mutex);

	CHECK(error == 0);
}

void
leaf_unlock(pthread_mutex_t *mutex)
{
	int error = pthread_mutex_unlock(mutex);

	CHECK(error == 0);
}

/* --- schedulers ----------------------------------------------------------- */

void
scheduler_init(struct scheduler *scheduler, const struct scheduler_ops *ops,
    const struct clock *clock, struct diag *diag)
{
	scheduler->magic = SCHEDULER_MAGIC;
	scheduler->ops = ops;
	scheduler->clock = clock;
	scheduler->diag = diag;
	atomic_init(&scheduler->loop_count, 0);
	CHECK(pthread_mutex_init(&scheduler->work_mutex, NULL) == 0);
	list_init(&scheduler->work_queues);
	scheduler->crew.scheduler = scheduler;
	list_init(&scheduler->crew.runnable);
}

void
scheduler_fini(struct scheduler *scheduler)
{
	pthread_mutex_destroy(&scheduler->work_mutex);
	scheduler->magic = 0;
}

void
scheduler_set_workers(struct scheduler *scheduler, int count)
{
	CHECK_MAGIC(scheduler, SCHEDULER_MAGIC);
	CHECK(count >= 1);
	if (scheduler->ops->crew_resize != NULL)
		scheduler->ops->crew_resize(&scheduler->crew, count);
}

void
scheduler_free(struct scheduler *scheduler)
{
	if (scheduler == NULL)
		return;
	CHECK_MAGIC(scheduler, SCHEDULER_MAGIC);
	CHECK(atomic_load(&scheduler->loop_count) == 0);
	while (!list_empty(&scheduler->work_queues))
		work_queue_free(list_entry(scheduler->work_queues.next,
		    struct work_queue, link));
	scheduler->ops->destroy(scheduler);
}

const struct clock *
scheduler_clock(const struct scheduler *scheduler)
{
	return (scheduler->clock);
}

void
scheduler_refused(const struct scheduler *scheduler, const char *what,
    int error)
{
	char reason[128];

	diag_fatal(scheduler->diag, base, "scheduler %s refused: %s; ending",
	    what, strerror_r(error, reason, sizeof(reason)));
	check_failed(what, __FILE__, __LINE__, __func__);
}

/* --- loops ---------------------------------------------------------------- */

struct loop *
loop_new(struct scheduler *scheduler, const char *name)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));

	CHECK_MAGIC(scheduler, SCHEDULER_MAGIC);
	loop->magic = LOOP_MAGIC;
	loop->scheduler = scheduler;
	loop->name = mem_strdup(name);
	atomic_init(&loop->state, LOOP_NEW);
	CHECK(pthread_mutex_init(&loop->mutex, NULL) == 0);
	list_init(&loop->posts);
	list_init(&loop->calls_free);
	list_init(&loop->posts_taken);
	list_init(&loop->calls_spent);
	list_init(&loop->link);
	task_table_init(&loop->tasks);
	scheduler->ops->loop_attach(loop);
	atomic_fetch_add(&scheduler->loop_count, 1);
	return (loop);
}

void
loop_start(struct loop *loop)
{
	CHECK_MAGIC(loop, LOOP_MAGIC);
	CHECK(atomic_load(&loop->state) == LOOP_NEW);
	loop->began_ns = clock_mono_ns(loop->scheduler->clock);
	atomic_store(&loop->state, LOOP_RUNNING);
	loop->scheduler->ops->loop_start(loop);
}

static void
drop_posts(struct list *posts)
{
	struct list *link;

	while ((link = list_pop_head(posts)) != NULL) {
		struct post *post = list_entry(link, struct post, link);

		if (post->run == call_run)
			mem_free(container_of(post, struct loop_call, post));
	}
}

/* Posts are dropped now, while the memory of each is there: those that post
 * may free it before the loop is freed. */
void
loop_stop(struct loop *loop)
{
	struct list dropped;

	CHECK_MAGIC(loop, LOOP_MAGIC);
	if (atomic_load(&loop->state) != LOOP_RUNNING)
		return;
	atomic_store(&loop->stopping, true);
	loop->scheduler->ops->loop_stop(loop);
	list_init(&dropped);
	leaf_lock(&loop->mutex);
	atomic_store(&loop->state, LOOP_STOPPED);
	list_splice_tail(&dropped, &loop->posts_taken);
	list_splice_tail(&dropped, &loop->posts);
	leaf_unlock(&loop->mutex);
	drop_posts(&dropped);
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	CHECK_MAGIC(loop, LOOP_MAGIC);
	CHECK(atomic_load(&loop->state) != LOOP_RUNNING);
	CHECK(loop_task_count(loop) == 0);
	CHECK(loop->watch_count == 0);
	loop->scheduler->ops->loop_detach(loop);
	drop_posts(&loop->posts_taken);
	drop_posts(&loop->posts);
	drop_posts(&loop->calls_spent);
	drop_posts(&loop->calls_free);
	mem_free(loop->wakes.ids);
	mem_free(loop->wakes_taken.ids);
	timer_heap_fini(&loop->timers);
	task_table_fini(&loop->tasks);
	pthread_mutex_destroy(&loop->mutex);
	atomic_fetch_sub(&loop->scheduler->loop_count, 1);
	mem_free(loop->name);
	loop->magic = 0;
	mem_free(loop);
}

struct scheduler *
loop_scheduler(const struct loop *loop)
{
	return (loop->scheduler);
}

const char *
loop_name(const struct loop *loop)
{
	return (loop->name);
}

bool
loop_is_current(const struct loop *loop)
{
	const struct scheduler *scheduler = loop->scheduler;

	if (loop_runs_here(loop))
		return (true);
	if (atomic_load_explicit(&loop->state, memory_order_acquire) !=
	    LOOP_RUNNING)
		return (true);
	return (scheduler->ops->idle != NULL &&
	    scheduler->ops->idle(scheduler));
}

uint64_t
loop_turns(const struct loop *loop)
{
	return (atomic_load_explicit(&loop->turns, memory_order_relaxed));
}

int64_t
loop_take_lag_ns(struct loop *loop)
{
	return (atomic_exchange_explicit(&loop->lag_ns, 0,
	    memory_order_relaxed));
}

/* --- time ----------------------------------------------------------------- */

void
loop_forget_time(struct loop *loop)
{
	loop->now_known = false;
	loop->wall_known = false;
	atomic_fetch_add_explicit(&loop->turns, 1, memory_order_relaxed);
}

/* Read when first asked for: a turn begins inside libevent's poll. */
int64_t
loop_now_ns(struct loop *loop)
{
	if (!loop_runs_here(loop))
		return (clock_mono_ns(loop->scheduler->clock));
	if (!loop->now_known) {
		loop->now_ns = clock_mono_ns(loop->scheduler->clock);
		loop->now_known = true;
	}
	return (loop->now_ns);
}

int64_t
loop_clock_ns(const struct loop *loop)
{
	return (clock_mono_ns(loop->scheduler->clock));
}

int64_t
loop_now_ms(struct loop *loop)
{
	return (loop_now_ns(loop) / 1000000);
}

int64_t
loop_wall_ms(struct loop *loop)
{
	if (!loop_runs_here(loop))
		return (clock_wall_ms(loop->scheduler->clock));
	if (!loop->wall_known) {
		loop->wall_ms = clock_wall_ms(loop->scheduler->clock);
		loop->wall_known = true;
	}
	return (loop->wall_ms);
}

/* --- inbox ---------------------------------------------------------------- */

/*
 * Ends a visit to the inbox.  Only a loop that may be asleep is roused; the pin
 * keeps it, and the descriptor written to, until this thread is done with it.
 */
static void
inbox_leave(struct loop *loop)
{
	/* A callback that runs inside the poll is followed by a turn anyway. */
	bool rouse = loop->asleep && !loop_runs_here(loop);

	if (rouse) {
		loop->asleep = false;
		atomic_fetch_add_explicit(&loop->pins, 1, memory_order_relaxed);
	}
	leaf_unlock(&loop->mutex);
	if (!rouse)
		return;
	loop->scheduler->ops->loop_rouse(loop);
	atomic_fetch_sub_explicit(&loop->pins, 1, memory_order_release);
}

void
loop_post(struct loop *loop, struct post *post)
{
	CHECK_MAGIC(loop, LOOP_MAGIC);
	leaf_lock(&loop->mutex);
	if (atomic_load(&loop->state) == LOOP_STOPPED) {
		list_init(&post->link);
		leaf_unlock(&loop->mutex);
		return;
	}
	list_push_tail(&loop->posts, &post->link);
	inbox_leave(loop);
}

void
loop_post_call(struct loop *loop, void (*run)(void *arg), void *arg)
{
	struct list *link;
	struct loop_call *call;

	CHECK_MAGIC(loop, LOOP_MAGIC);
	leaf_lock(&loop->mutex);
	if (atomic_load(&loop->state) == LOOP_STOPPED) {
		leaf_unlock(&loop->mutex);
		return;
	}
	link = list_pop_head(&loop->calls_free);
	if (link != NULL) {
		loop->calls_free_count--;
		call = list_entry(link, struct loop_call, post.link);
	} else {
		call = mem_alloc(sizeof(*call));
	}
	call->post.run = call_run;
	call->loop = loop;
	call->run = run;
	call->arg = arg;
	list_push_tail(&loop->posts, &call->post.link);
	inbox_leave(loop);
}

static void
call_run(struct post *post)
{
	struct loop_call *call = container_of(post, struct loop_call, post);
	struct loop *loop = call->loop;
	void (*run)(void *arg) = call->run;
	void *arg = call->arg;

	if (loop->calls_spent_count < LOOP_CALLS_KEPT) {
		list_push_tail(&loop->calls_spent, &call->post.link);
		loop->calls_spent_count++;
	} else {
		mem_free(call);
	}
	run(arg);
}

/* A second wake-up of the same task in a row says nothing new. */
void
loop_post_wake(struct loop *loop, uint64_t id)
{
	struct wake_list *wakes = &loop->wakes;

	CHECK_MAGIC(loop, LOOP_MAGIC);
	leaf_lock(&loop->mutex);
	if (wakes->count == 0 || wakes->ids[wakes->count - 1] != id) {
		if (wakes->count == wakes->capacity) {
			wakes->capacity = wakes->capacity == 0 ? 64 :
			    2 * wakes->capacity;
			wakes->ids = mem_realloc(wakes->ids,
			    wakes->capacity * sizeof(*wakes->ids));
		}
		wakes->ids[wakes->count++] = id;
	}
	inbox_leave(loop);
}

bool
loop_inbox_empty(const struct loop *loop)
{
	return (list_empty(&loop->posts) && loop->wakes.count == 0);
}

static void
inbox_take(struct loop *loop)
{
	struct wake_list wakes = loop->wakes_taken;

	leaf_lock(&loop->mutex);
	loop->asleep = false;
	list_splice_tail(&loop->posts_taken, &loop->posts);
	loop->wakes_taken = loop->wakes;
	loop->wakes = wakes;
	if (loop->calls_free_count < LOOP_CALLS_KEPT) {
		list_splice_tail(&loop->calls_free, &loop->calls_spent);
		loop->calls_free_count += loop->calls_spent_count;
		loop->calls_spent_count = 0;
	}
	leaf_unlock(&loop->mutex);
}

/* --- turns ---------------------------------------------------------------- */

static void
run_posts(struct loop *loop)
{
	struct list *link;

	for (int i = 0; i < LOOP_POSTS_PER_TURN && !loop_stopping(loop); i++) {
		struct post *post;

		link = list_pop_head(&loop->posts_taken);
		if (link == NULL)
			return;
		post = list_entry(link, struct post, link);
		post->run(post);
	}
}

static void
run_due_timers(struct loop *loop)
{
	int64_t now_ns;

	if (loop->timers.count == 0)
		return;
	now_ns = loop_now_ns(loop);
	loop->timers.running = true;
	while (!loop_stopping(loop) && loop_run_timer(loop, now_ns))
		continue;
	loop->timers.running = false;
}

void
loop_turn(struct loop *loop)
{
	inbox_take(loop);
	for (size_t i = 0; i < loop->wakes_taken.count; i++)
		loop_wake_id(loop, loop->wakes_taken.ids[i]);
	loop->wakes_taken.count = 0;
	run_posts(loop);
	run_due_timers(loop);
	loop_run_tasks(loop);
}
