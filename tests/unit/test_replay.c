/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of replay: seeds and virtual time. */
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/task.h"
#include "base/waitq.h"
#include "unit.h"

#define MS INT64_C(1000000)

/* --- replay --------------------------------------------------------------- */

#define TRACE_SIZE 4096

struct replay {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loops[2];
	struct work_queue *queue;
	struct trace {
		char text[TRACE_SIZE];
		size_t length;
	} trace;
	struct replay_post {
		struct post post;
		struct replay *owner;
		char letter;
	} posts[2][8];
	struct replay_work {
		struct work work;
		struct replay *owner;
		char letter;
	} works[6];
	struct timer timers[2];
	struct waitq queue_of_waits;
	int ticks;
};

static void
trace_add(struct replay *r, char letter)
{
	CU_ASSERT_FATAL(r->trace.length < TRACE_SIZE);
	r->trace.text[r->trace.length++] = letter;
}

static void
on_replay_post(struct post *post)
{
	struct replay_post *p = container_of(post, struct replay_post, post);

	trace_add(p->owner, p->letter);
}

static void
replay_work_run(struct work *work)
{
	struct replay_work *w = container_of(work, struct replay_work, work);

	CU_ASSERT_FALSE(loop_is_current(work->home));
	trace_add(w->owner, w->letter);
}

static void
replay_work_done(struct work *work)
{
	struct replay_work *w = container_of(work, struct replay_work, work);

	CU_ASSERT_TRUE(loop_is_current(work->home));
	trace_add(w->owner, (char)(w->letter + 10));
}

static enum verdict
step_trace(struct task *task)
{
	struct replay *r = *(struct replay **)task_state(task);

	trace_add(r, task_loop(task) == r->loops[0] ? '<' : '>');
	CU_ASSERT_TRUE(loop_is_current(task_loop(task)));
	CU_ASSERT_FALSE(loop_is_current(r->loops[0]) &&
	    loop_is_current(r->loops[1]));
	return (r->trace.length % 5 == 0 ? STEP_DONE :
	    task_next(task, step_trace));
}

static void
trace_setup(struct task *task, void *arg)
{
	*(struct replay **)task_state(task) = arg;
}

static void
replay_init(struct replay *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	clock_virtual_init(&r->clock, 1700000000000);
	r->scheduler = scheduler_new_replay(&r->clock, seed);
	CU_ASSERT_PTR_EQUAL(scheduler_clock(r->scheduler), &r->clock.clock);
	r->queue = work_queue_new(r->scheduler, "work", 2);
	for (size_t i = 0; i < 2; i++) {
		r->loops[i] = loop_new(r->scheduler, "replayed");
		loop_start(r->loops[i]);
	}
	waitq_init(&r->queue_of_waits);
}

static void
replay_fini(struct replay *r)
{
	waitq_fini(&r->queue_of_waits);
	for (size_t i = 0; i < 2; i++) {
		loop_stop(r->loops[i]);
		loop_free(r->loops[i]);
	}
	work_queue_free(r->queue);
	scheduler_free(r->scheduler);
}

static uint64_t
replay_history(struct replay *r, uint64_t seed)
{
	static const struct task_class class = { .name = "trace",
		.state_size = sizeof(struct replay *) };
	uint64_t count;

	replay_init(r, seed);
	for (size_t i = 0; i < 16; i++) {
		struct replay_post *p = &r->posts[i % 2][i / 2];

		*p = (struct replay_post) { .post.run = on_replay_post,
			.owner = r,
			.letter = (char)((i % 2 == 0 ? 'a' : 'A') + i / 2) };
		loop_post(r->loops[i % 2], &p->post);
	}
	for (size_t i = 0; i < nelems(r->works); i++) {
		r->works[i] = (struct replay_work) {
			.work = { .run = replay_work_run,
			    .done = replay_work_done, .home = r->loops[i % 2] },
			.owner = r, .letter = (char)('i' + i) };
		work_submit(r->queue, &r->works[i].work);
	}
	for (size_t i = 0; i < 4; i++)
		task_start(r->loops[i % 2], &class, step_trace, trace_setup, r);
	count = scheduler_run_until(r->scheduler, 0);
	replay_fini(r);
	return (count);
}

static bool
trace_has_in_order(const struct trace *trace, char first, char last)
{
	for (size_t i = 0; i < trace->length; i++)
		if (trace->text[i] == first && first++ == last)
			return (true);
	return (false);
}

static void
test_replay_seeds(void)
{
	struct replay *r = mem_alloc(sizeof(*r));
	struct trace *first = mem_alloc(sizeof(*first));
	int differing = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t count = replay_history(r, seed);

		*first = r->trace;
		CU_ASSERT_TRUE(count >= first->length);
		CU_ASSERT_TRUE(trace_has_in_order(first, 'a', 'h'));
		CU_ASSERT_TRUE(trace_has_in_order(first, 'A', 'H'));
		CU_ASSERT_EQUAL(replay_history(r, seed), count);
		CU_ASSERT_EQUAL(r->trace.length, first->length);
		CU_ASSERT_EQUAL(memcmp(r->trace.text, first->text,
		    first->length), 0);
		replay_history(r, seed + 1);
		if (r->trace.length != first->length ||
		    memcmp(r->trace.text, first->text, first->length) != 0)
			differing++;
	}
	CU_ASSERT_TRUE(differing >= 19);
	mem_free(first);
	mem_free(r);
}

static void
on_tick(struct timer *timer)
{
	struct replay *r = container_of(timer, struct replay, timers[0]);

	CU_ASSERT_EQUAL(loop_now_ns(timer->loop), timer->due_ns);
	CU_ASSERT_EQUAL(loop_wall_ms(timer->loop),
	    1700000000000 + timer->due_ns / MS);
	r->ticks++;
	timer_arm_in(timer, 3600000 * MS);
}

static void
test_replay_time(void)
{
	struct replay *r = mem_alloc(sizeof(*r));
	bool done = false;

	replay_init(r, 1);
	timer_init(&r->timers[0], r->loops[0], on_tick);
	timer_arm_in(&r->timers[0], 3600000 * MS);
	CU_ASSERT_EQUAL(scheduler_run_until(r->scheduler, 1), 0);
	CU_ASSERT_EQUAL(loop_now_ns(r->loops[1]), 1);
	CU_ASSERT_EQUAL(scheduler_run_until(r->scheduler,
	    24 * 3600000 * MS), 24);
	CU_ASSERT_EQUAL(r->ticks, 24);
	CU_ASSERT_EQUAL(loop_now_ms(r->loops[0]), 24 * 3600000);
	CU_ASSERT_FALSE(scheduler_run_while_not(r->scheduler, &done,
	    3 * 3600000 * MS));
	CU_ASSERT_EQUAL(r->ticks, 27);
	timer_disarm(&r->timers[0]);
	CU_ASSERT_FALSE(scheduler_run_while_not(r->scheduler, &done,
	    INT64_MAX));
	replay_fini(r);
	mem_free(r);
}

/* A callback that takes its time. */
static void
on_slow(struct timer *timer)
{
	struct replay *r = container_of(timer, struct replay, timers[0]);

	clock_virtual_advance_to(&r->clock, r->clock.now_ns + 50 * MS);
}

static void
on_late(struct timer *timer)
{
	container_of(timer, struct replay, timers[1])->ticks++;
}

static void
test_replay_lag(void)
{
	struct replay *r = mem_alloc(sizeof(*r));

	replay_init(r, 1);
	timer_init(&r->timers[0], r->loops[0], on_slow);
	timer_init(&r->timers[1], r->loops[0], on_late);
	timer_arm_in(&r->timers[0], 1000 * MS);
	timer_arm_in(&r->timers[1], 1010 * MS);
	scheduler_run_until(r->scheduler, 2000 * MS);
	CU_ASSERT_EQUAL(r->ticks, 1);
	CU_ASSERT_EQUAL(loop_take_lag_ns(r->loops[0]), 40 * MS);
	CU_ASSERT_EQUAL(loop_take_lag_ns(r->loops[0]), 0);
	CU_ASSERT_EQUAL(loop_take_lag_ns(r->loops[1]), 0);
	/* What is in time, or was late when it was armed. */
	timer_arm_in(&r->timers[1], 10 * MS);
	scheduler_run_until(r->scheduler, 3000 * MS);
	timer_arm_at(&r->timers[1], 0);
	scheduler_run_until(r->scheduler, 4000 * MS);
	CU_ASSERT_EQUAL(r->ticks, 3);
	CU_ASSERT_EQUAL(loop_take_lag_ns(r->loops[0]), 0);
	replay_fini(r);
	mem_free(r);
}

static const struct unit_test tests[] = {
	{ "replay: a seed is a history", test_replay_seeds },
	{ "replay: time jumps", test_replay_time },
	{ "replay: timers that run late", test_replay_lag },
};

int
main(void)
{
	return (unit_main("replay", tests, nelems(tests)));
}
