/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of replay: one thread runs all loops and all work, a callback
 * at a time, on a virtual clock.  Each time it draws one among all that is
 * ready: the head of a loop's posts, a wake-up from elsewhere, a loop's
 * earliest due timer, a ready task (one step), a piece of work that its queue
 * allows.  The draw depends on the seed alone, so a seed is a history.  When
 * nothing is ready, time jumps to the earliest timer.
 */
#include "base/loop_int.h"
#include "base/mem.h"
#include "base/random.h"

/* How far into a list of ready tasks a draw reaches. */
#define REPLAY_TASKS_DRAWN 16

struct scheduler_replay {
	struct scheduler scheduler; /* first */
	struct clock_virtual *clock;
	struct random random;
	struct list loops; /* in order of creation */
	bool busy;	   /* a callback runs */
};

/* Something ready, of one loop or one queue. */
struct candidates {
	uint64_t posts;
	uint64_t wakes;
	uint64_t timers;
	uint64_t tasks;
};

static const struct scheduler_ops replay_ops;

static struct scheduler_replay *
replay_of(struct scheduler *scheduler)
{
	CHECK_MAGIC(scheduler, SCHEDULER_MAGIC);
	CHECK(scheduler->ops == &replay_ops);
	return (container_of(scheduler, struct scheduler_replay, scheduler));
}

struct scheduler *
scheduler_new_replay(struct clock_virtual *clock, uint64_t seed)
{
	struct scheduler_replay *replay = mem_zalloc(sizeof(*replay));

	scheduler_init(&replay->scheduler, &replay_ops, &clock->clock, NULL);
	replay->clock = clock;
	random_seed(&replay->random, seed);
	list_init(&replay->loops);
	return (&replay->scheduler);
}

static void
replay_destroy(struct scheduler *scheduler)
{
	struct scheduler_replay *replay = replay_of(scheduler);

	scheduler_fini(scheduler);
	mem_free(replay);
}

/* --- drawing -------------------------------------------------------------- */

static uint64_t
count_up_to(const struct list *head, uint64_t limit)
{
	uint64_t count = 0;

	for (const struct list *link = head->next;
	     link != head && count < limit; link = link->next)
		count++;
	return (count);
}

static bool
loop_takes_part(const struct loop *loop)
{
	return (atomic_load(&loop->state) == LOOP_RUNNING);
}

static struct candidates
loop_candidates(const struct loop *loop, int64_t now_ns)
{
	return ((struct candidates) {
		.posts = list_empty(&loop->posts) ? 0 : 1,
		.wakes = loop->wakes.count,
		.timers = timer_heap_due_ns(&loop->timers) <= now_ns ? 1 : 0,
		.tasks = count_up_to(&loop->tasks.ready, REPLAY_TASKS_DRAWN),
	});
}

static uint64_t
candidates_sum(const struct candidates *some)
{
	return (some->posts + some->wakes + some->timers + some->tasks);
}

/* As in life, pieces of one queue overtake each other within `parallel`. */
static uint64_t
queue_candidates(const struct work_queue *queue)
{
	return (count_up_to(&queue->pending, (uint64_t)queue->parallel));
}

static uint64_t
replay_candidates(struct scheduler_replay *replay, int64_t now_ns)
{
	uint64_t count = 0;

	LIST_EACH (link, &replay->loops) {
		const struct loop *loop = list_entry(link, struct loop, link);

		if (loop_takes_part(loop)) {
			struct candidates some = loop_candidates(loop, now_ns);

			count += candidates_sum(&some);
		}
	}
	LIST_EACH (queue, &replay->scheduler.work_queues)
		count += queue_candidates(list_entry(queue, struct work_queue,
		    link));
	return (count);
}

/* --- running one callback ------------------------------------------------- */

static struct list *
list_nth(struct list *head, uint64_t nth)
{
	struct list *link = head->next;

	while (nth-- > 0)
		link = link->next;
	CHECK(link != head);
	return (link);
}

static void
run_wake(struct loop *loop, uint64_t nth)
{
	struct wake_list *wakes = &loop->wakes;
	uint64_t id = wakes->ids[nth];

	wakes->ids[nth] = wakes->ids[--wakes->count];
	loop_wake_id(loop, id);
}

static void
run_post(struct loop *loop)
{
	struct post *post = list_entry(list_pop_head(&loop->posts),
	    struct post, link);

	post->run(post);
}

/* The nth of the loop's candidates. */
static void
replay_run_in_loop(struct loop *loop, const struct candidates *some,
    uint64_t nth, int64_t now_ns)
{
	loop_forget_time(loop);
	atomic_store(&loop->owner, pthread_self());
	if (nth < some->posts)
		run_post(loop);
	else if ((nth -= some->posts) < some->wakes)
		run_wake(loop, nth);
	else if ((nth -= some->wakes) < some->timers)
		(void)loop_run_timer(loop, now_ns);
	else
		loop_run_task(loop, list_nth(&loop->tasks.ready,
		    nth - some->timers));
	atomic_store(&loop->owner, (pthread_t)0);
}

static void
replay_run_work(struct work_queue *queue, uint64_t nth)
{
	struct work *work = list_entry(list_nth(&queue->pending, nth),
	    struct work, link);

	work_begin(queue, work);
	work_run(work);
	work_end(queue);
}

/* The nth of all candidates. */
static void
replay_run_nth(struct scheduler_replay *replay, uint64_t nth, int64_t now_ns)
{
	LIST_EACH (link, &replay->loops) {
		struct loop *loop = list_entry(link, struct loop, link);
		struct candidates some;

		if (!loop_takes_part(loop))
			continue;
		some = loop_candidates(loop, now_ns);
		if (nth < candidates_sum(&some)) {
			replay_run_in_loop(loop, &some, nth, now_ns);
			return;
		}
		nth -= candidates_sum(&some);
	}
	LIST_EACH (entry, &replay->scheduler.work_queues) {
		struct work_queue *queue = list_entry(entry, struct work_queue,
		    link);
		uint64_t count = queue_candidates(queue);

		if (nth < count) {
			replay_run_work(queue, nth);
			return;
		}
		nth -= count;
	}
	UNREACHABLE();
}

static int64_t
replay_next_due_ns(struct scheduler_replay *replay)
{
	int64_t earliest_ns = INT64_MAX;

	LIST_EACH (link, &replay->loops) {
		const struct loop *loop = list_entry(link, struct loop, link);
		int64_t due_ns = timer_heap_due_ns(&loop->timers);

		if (loop_takes_part(loop) && due_ns < earliest_ns)
			earliest_ns = due_ns;
	}
	return (earliest_ns);
}

/* One callback, at until_ns at the latest; false: none is left until then. */
static bool
replay_run_one(struct scheduler_replay *replay, int64_t until_ns)
{
	int64_t now_ns = clock_mono_ns(&replay->clock->clock);
	uint64_t count;

	CHECK(!replay->busy);
	if (now_ns > until_ns)
		return (false);
	count = replay_candidates(replay, now_ns);
	if (count == 0) {
		int64_t due_ns = replay_next_due_ns(replay);

		if (due_ns > until_ns || due_ns == INT64_MAX)
			return (false);
		clock_virtual_advance_to(replay->clock, due_ns);
		now_ns = due_ns;
		count = replay_candidates(replay, now_ns);
	}
	replay->busy = true;
	replay_run_nth(replay, random_below(&replay->random, count), now_ns);
	replay->busy = false;
	return (true);
}

uint64_t
scheduler_run_until(struct scheduler *scheduler, int64_t until_ns)
{
	struct scheduler_replay *replay = replay_of(scheduler);
	uint64_t count = 0;

	while (replay_run_one(replay, until_ns))
		count++;
	if (clock_mono_ns(scheduler->clock) < until_ns)
		clock_virtual_advance_to(replay->clock, until_ns);
	return (count);
}

bool
scheduler_run_while_not(struct scheduler *scheduler, const bool *done,
    int64_t limit_ns)
{
	struct scheduler_replay *replay = replay_of(scheduler);
	int64_t now_ns = clock_mono_ns(scheduler->clock);
	int64_t until_ns = limit_ns > INT64_MAX - now_ns ? INT64_MAX :
	    now_ns + limit_ns;

	while (!*done && replay_run_one(replay, until_ns))
		continue;
	return (*done);
}

/* --- what loops and queues ask of it -------------------------------------- */

static void
replay_loop_attach(struct loop *loop)
{
	struct scheduler_replay *replay = replay_of(loop->scheduler);

	/* Other loops' callbacks may come between any two steps. */
	loop->tasks.steps_per_turn = 1;
	list_push_tail(&replay->loops, &loop->link);
}

static void
replay_loop_start(struct loop *loop)
{
	(void)loop;
}

static void
replay_loop_stop(struct loop *loop)
{
	CHECK(!loop_runs_here(loop));
}

/* Work still to come has no home to go to. */
static void
replay_loop_detach(struct loop *loop)
{
	LIST_EACH (entry, &loop->scheduler->work_queues) {
		struct work_queue *queue = list_entry(entry, struct work_queue,
		    link);

		LIST_EACH (link, &queue->pending) {
			struct work *work = list_entry(link, struct work,
			    link);

			if (work->home == loop)
				work->home = NULL;
		}
	}
	list_remove(&loop->link);
}

static bool
replay_idle(const struct scheduler *scheduler)
{
	return (!container_of(scheduler, const struct scheduler_replay,
	    scheduler)->busy);
}

static void
replay_work_ready(struct crew *crew)
{
	(void)crew;
}

static void
replay_work_drain(struct work_queue *queue)
{
	while (!list_empty(&queue->pending))
		replay_run_work(queue, 0);
}

static const struct scheduler_ops replay_ops = {
	.destroy = replay_destroy,
	.loop_attach = replay_loop_attach,
	.loop_start = replay_loop_start,
	.loop_stop = replay_loop_stop,
	.loop_detach = replay_loop_detach,
	.idle = replay_idle,
	.work_ready = replay_work_ready,
	.work_drain = replay_work_drain,
};
