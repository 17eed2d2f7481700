/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks, wait queues and locks. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/task.h"
#include "base/waitq.h"
#include "loop_rig.h"

/* --- tasks ---------------------------------------------------------------- */

struct script {
	struct rig *rig;
	struct task_ref ref;
	int steps;
	int finis;
	int spurious;
	int spins;
	bool flag;
	bool slept_early;
	bool expired;
	int64_t begin_ns;
	int64_t end_ns;
	char *kept;
};

struct script_state {
	struct script *script;
	char zeroed[100];
};

static struct script *
script_of(struct task *task)
{
	return (((struct script_state *)task_state(task))->script);
}

static void
script_setup(struct task *task, void *arg)
{
	struct script_state *state = task_state(task);
	struct script *script = arg;

	for (size_t i = 0; i < sizeof(state->zeroed); i++)
		CU_ASSERT_EQUAL(state->zeroed[i], 0);
	memset(state->zeroed, 1, sizeof(state->zeroed));
	state->script = script;
	script->ref = task_ref(task);
}

static void
script_fini(struct task *task)
{
	struct script *script = script_of(task);

	script->finis++;
	CU_ASSERT_PTR_NULL(task_of_ref(script->ref));
	task_wake(task); /* of no effect */
}

static const struct task_class script_class = {
	.name = "script",
	.state_size = sizeof(struct script_state),
	.fini = script_fini,
};

static enum verdict
step_end(struct task *task)
{
	struct script *script = script_of(task);

	script->steps++;
	if (script->rig != NULL)
		gate_open(&script->rig->gate);
	return (STEP_DONE);
}

static enum verdict
step_wait_flag(struct task *task)
{
	struct script *script = script_of(task);

	script->steps++;
	if (!script->flag) {
		script->spurious++;
		return (STEP_WAIT);
	}
	CU_ASSERT_STRING_EQUAL(script->kept, "kept");
	return (task_next(task, step_end));
}

static enum verdict
step_first(struct task *task)
{
	struct script *script = script_of(task);

	script->steps++;
	CU_ASSERT_STRING_EQUAL(task_name(task), "script");
	CU_ASSERT_PTR_EQUAL(task_of_ref(script->ref), task);
	script->kept = arena_strdup(task_arena(task), "kept");
	return (task_next(task, step_wait_flag));
}

static void
start_first(void *arg)
{
	struct script *script = arg;

	task_start(script->rig->loop, &script_class, step_first, script_setup,
	    script);
	CU_ASSERT_EQUAL(script->steps, 0);
	CU_ASSERT_EQUAL(loop_task_count(script->rig->loop), 1);
}

static void
set_flag(void *arg)
{
	((struct script *)arg)->flag = true;
}

/* Woken by name from another thread; spurious wakes; the name stays safe. */
static void
test_task_life(void)
{
	struct script script = { 0 };
	struct rig rig;

	rig_init(&rig);
	script.rig = &rig;
	loop_start(rig.loop);
	loop_post_call(rig.loop, start_first, &script);
	rig_settle(&rig);
	rig_settle(&rig);
	for (int i = 0; i < 3; i++) {
		task_wake_ref(script.ref);
		rig_settle(&rig);
		rig_settle(&rig);
	}
	loop_post_call(rig.loop, set_flag, &script);
	rig_settle(&rig);
	task_wake_ref(script.ref);
	gate_await(&rig.gate);
	task_wake_ref(script.ref);
	task_wake_ref((struct task_ref) { 0 });
	rig_settle(&rig);
	loop_stop(rig.loop);
	CU_ASSERT_EQUAL(script.spurious, 4);
	CU_ASSERT_EQUAL(script.steps, 7);
	CU_ASSERT_EQUAL(script.finis, 1);
	CU_ASSERT_EQUAL(loop_task_count(rig.loop), 0);
	CU_ASSERT_PTR_NULL(task_of_ref(script.ref));
	rig_fini(&rig);
}

/* A wake while the step runs makes it run again. */
static enum verdict
step_wakes_itself(struct task *task)
{
	struct script *script = script_of(task);

	if (++script->steps == 5)
		return (task_next(task, step_end));
	if (script->steps % 2 == 0)
		task_wake(task);
	else
		task_wake_ref(script->ref);
	return (STEP_WAIT);
}

static void
start_wakes_itself(void *arg)
{
	struct script *script = arg;

	task_start(script->rig->loop, &script_class, step_wakes_itself,
	    script_setup, script);
}

static void
test_task_woken_in_step(void)
{
	struct script script = { 0 };
	struct rig rig;

	rig_init(&rig);
	script.rig = &rig;
	loop_start(rig.loop);
	rig_call(&rig, start_wakes_itself, &script);
	CU_ASSERT_EQUAL(script.steps, 6);
	rig_fini(&rig);
	CU_ASSERT_EQUAL(script.finis, 1);
}

static enum verdict
step_waits_for_end(struct task *task)
{
	struct script *script = script_of(task);

	script->steps++;
	script->expired = task_expired(task);
	if (script->slept_early && !task_slept(task))
		return (STEP_WAIT);
	if (!script->slept_early && !script->expired)
		return (STEP_WAIT);
	script->end_ns = loop_now_ns(task_loop(task));
	return (task_next(task, step_end));
}

static enum verdict
step_pauses(struct task *task)
{
	struct script *script = script_of(task);

	script->begin_ns = loop_now_ns(task_loop(task));
	CU_ASSERT_FALSE(task_expired(task));
	CU_ASSERT_FALSE(task_slept(task));
	if (script->slept_early) {
		task_set_deadline(task, script->begin_ns + 5 * MS);
		task_set_deadline(task, TASK_NO_DEADLINE);
		task_sleep(task, 3600000 * MS);
		task_sleep(task, 20 * MS);
	} else {
		task_set_deadline(task, script->begin_ns + 20 * MS);
	}
	return (task_next(task, step_waits_for_end));
}

static void
start_pauses(void *arg)
{
	struct script *script = arg;

	task_start(script->rig->loop, &script_class, step_pauses,
	    script_setup, script);
}

static void
test_task_deadline_and_sleep(void)
{
	struct rig rig;

	rig_init(&rig);
	loop_start(rig.loop);
	for (int i = 0; i < 2; i++) {
		struct script script = { .rig = &rig, .slept_early = i == 1 };

		rig_call(&rig, start_pauses, &script);
		rig_settle(&rig);
		CU_ASSERT_EQUAL(script.steps, 3);
		CU_ASSERT_EQUAL(script.expired, i == 0);
		CU_ASSERT_TRUE(script.end_ns - script.begin_ns >= 20 * MS);
		CU_ASSERT_TRUE(script.end_ns - script.begin_ns < 10000 * MS);
		CU_ASSERT_EQUAL(script.finis, 1);
	}
	rig_fini(&rig);
}

static void
cancel_script(void *arg)
{
	struct script *script = arg;
	struct task *task = task_of_ref(script->ref);

	CU_ASSERT_PTR_NOT_NULL_FATAL(task);
	task_wake(task); /* in the ready list as it ends */
	task_cancel(task);
	CU_ASSERT_PTR_NULL(task_of_ref(script->ref));
	CU_ASSERT_EQUAL(script->finis, 1);
	gate_open(&script->rig->gate);
}

static void
test_task_cancel(void)
{
	struct script script = { 0 }, second = { 0 };
	struct rig rig;

	rig_init(&rig);
	script.rig = second.rig = &rig;
	loop_start(rig.loop);
	loop_post_call(rig.loop, start_first, &script);
	rig_settle(&rig);
	rig_call(&rig, cancel_script, &script);
	/* The same memory and slot, but another name. */
	second.flag = true;
	rig_call(&rig, start_first, &second);
	CU_ASSERT_NOT_EQUAL(second.ref.id, script.ref.id);
	rig_fini(&rig);
	CU_ASSERT_EQUAL(second.finis, 1);
	CU_ASSERT_EQUAL(script.finis, 1);
}

/* Steps without end do not keep the rest of the loop from its turn. */
static enum verdict
step_spins(struct task *task)
{
	struct script *script = script_of(task);

	script->spins++;
	return (script->flag ? step_end(task) : task_next(task, step_spins));
}

static void
start_spins(void *arg)
{
	struct script *script = arg;

	task_start(script->rig->loop, &script_class, step_spins, script_setup,
	    script);
}

struct fair_post {
	struct post post;
	struct script *script;
	int runs;
	int last_spins;
	bool fair;
};

static void
on_fair(struct post *post)
{
	struct fair_post *f = container_of(post, struct fair_post, post);

	if (f->script->spins - f->last_spins > TASK_STEPS_PER_TURN)
		f->fair = false;
	f->last_spins = f->script->spins;
	if (++f->runs == 50)
		f->script->flag = true;
	else
		loop_post(f->script->rig->loop, post);
}

static void
test_task_fairness(void)
{
	struct script script = { 0 };
	struct fair_post f = { .post.run = on_fair, .script = &script,
		.fair = true };
	struct rig rig;

	rig_init(&rig);
	script.rig = &rig;
	loop_post_call(rig.loop, start_spins, &script);
	loop_post(rig.loop, &f.post);
	loop_start(rig.loop);
	gate_await(&rig.gate);
	rig_fini(&rig);
	CU_ASSERT_TRUE(f.fair);
	CU_ASSERT_TRUE(script.spins > TASK_STEPS_PER_TURN);
	CU_ASSERT_EQUAL(script.finis, 1);
}

/* Many tasks at once, of several sizes: slots and memory are reused. */
static enum verdict
step_counts(struct task *task)
{
	int **count = task_state(task);

	(**count)++;
	return (STEP_DONE);
}

static void
counts_setup(struct task *task, void *arg)
{
	*(int **)task_state(task) = arg;
}

static void
test_task_many(void)
{
	static const size_t sizes[] = { 8, 600, 2000, 5000, 9000, 100000 };
	struct rig rig;
	int count = 0;

	rig_init(&rig);
	for (int i = 0; i < 3000; i++) {
		struct task_class class = { .name = "count",
			.state_size = sizes[i % nelems(sizes)] };
		static struct task_class classes[nelems(sizes)];

		classes[i % nelems(sizes)] = class;
		task_start(rig.loop, &classes[i % nelems(sizes)], step_counts,
		    counts_setup, &count);
	}
	CU_ASSERT_EQUAL(loop_task_count(rig.loop), 3000);
	loop_start(rig.loop);
	rig_settle(&rig);
	rig_settle(&rig);
	loop_stop(rig.loop);
	CU_ASSERT_EQUAL(count, 3000);
	CU_ASSERT_EQUAL(loop_task_count(rig.loop), 0);
	rig_fini(&rig);
}

/* --- wait queues ---------------------------------------------------------- */

#define WAITERS 8
#define CHANGES 20000

struct waitq_case {
	struct scheduler *scheduler;
	struct loop *loops[2];
	struct waitq queue;
	atomic_int value;
	atomic_int target;
	atomic_int over;
};

struct waiter {
	struct waitq_case *owner;
	struct waitq_link link;
	int seen;
};

/* Waits for the value to move on, up to the last; leaves now and then. */
static enum verdict
step_follow(struct task *task)
{
	struct waiter *w = task_state(task);
	struct waitq_case *c = w->owner;
	int value;

	waitq_join(&c->queue, &w->link, task);
	value = atomic_load_explicit(&c->value, memory_order_relaxed);
	if (value == w->seen)
		return (STEP_WAIT);
	w->seen = value;
	if (value % 3 == 0)
		waitq_leave(&c->queue, &w->link);
	return (value == CHANGES ? STEP_DONE : STEP_RUN);
}

static void
waiter_fini(struct task *task)
{
	struct waiter *w = task_state(task);

	waitq_leave(&w->owner->queue, &w->link);
	atomic_fetch_add(&w->owner->over, 1);
}

static void
waiter_setup(struct task *task, void *arg)
{
	((struct waiter *)task_state(task))->owner = arg;
}

static const struct task_class waiter_class = {
	.name = "waiter",
	.state_size = sizeof(struct waiter),
	.fini = waiter_fini,
};

static void *
changer_main(void *arg)
{
	struct waitq_case *c = arg;

	while (atomic_fetch_add_explicit(&c->target, 1,
	    memory_order_relaxed) < CHANGES) {
		atomic_fetch_add_explicit(&c->value, 1, memory_order_relaxed);
		waitq_wake(&c->queue);
	}
	return (NULL);
}

static bool
await_count(atomic_int *count, int wanted)
{
	struct timespec pause = { 0, MS };

	for (int i = 0; i < 30000 && atomic_load(count) != wanted; i++)
		nanosleep(&pause, NULL);
	return (atomic_load(count) == wanted);
}

/* If a wake between join and look were lost, a waiter would stay for ever. */
static void
test_waitq_stress(void)
{
	struct waitq_case c = { 0 };
	pthread_t changers[2];

	c.scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	waitq_init(&c.queue);
	for (size_t i = 0; i < 2; i++) {
		c.loops[i] = loop_new(c.scheduler, i == 0 ? "one" : "two");
		for (int n = 0; n < WAITERS; n++)
			task_start(c.loops[i], &waiter_class, step_follow,
			    waiter_setup, &c);
		loop_start(c.loops[i]);
	}
	for (size_t i = 0; i < 2; i++)
		pthread_create(&changers[i], NULL, changer_main, &c);
	for (size_t i = 0; i < 2; i++)
		pthread_join(changers[i], NULL);
	CU_ASSERT_TRUE(await_count(&c.over, 2 * WAITERS));
	for (size_t i = 0; i < 2; i++)
		loop_stop(c.loops[i]);
	waitq_fini(&c.queue);
	for (size_t i = 0; i < 2; i++)
		loop_free(c.loops[i]);
	scheduler_free(c.scheduler);
}

/* Two threads in lock step: the window between join and look, each time. */
struct ping {
	struct loop *loop;
	struct waitq *mine;
	struct waitq *theirs;
	atomic_int *ball;
	int parity;
	atomic_int *over;
	struct waitq_link link;
};

#define BOUNCES 20000

static enum verdict
step_bounce(struct task *task)
{
	struct ping *p = *(struct ping **)task_state(task);
	int ball;

	waitq_join(p->mine, &p->link, task);
	ball = atomic_load_explicit(p->ball, memory_order_relaxed);
	if (ball < BOUNCES && ball % 2 != p->parity)
		return (STEP_WAIT);
	if (ball < BOUNCES)
		atomic_store_explicit(p->ball, ball + 1, memory_order_relaxed);
	waitq_wake(p->theirs);
	if (ball < BOUNCES)
		return (STEP_RUN);
	waitq_leave(p->mine, &p->link);
	atomic_fetch_add(p->over, 1);
	return (STEP_DONE);
}

static void
bounce_setup(struct task *task, void *arg)
{
	*(struct ping **)task_state(task) = arg;
}

static void
test_waitq_ping_pong(void)
{
	static const struct task_class class = { .name = "ping",
		.state_size = sizeof(struct ping *) };
	struct scheduler *scheduler = scheduler_new_threads(clock_system(), 1,
	    NULL);
	struct waitq queues[2];
	struct ping pings[2];
	atomic_int ball = 0, over = 0;

	for (int i = 0; i < 2; i++) {
		waitq_init(&queues[i]);
		pings[i] = (struct ping) {
			.loop = loop_new(scheduler, "ping"),
			.mine = &queues[i], .theirs = &queues[1 - i],
			.ball = &ball, .parity = i, .over = &over,
		};
		task_start(pings[i].loop, &class, step_bounce, bounce_setup,
		    &pings[i]);
	}
	loop_start(pings[0].loop);
	loop_start(pings[1].loop);
	CU_ASSERT_TRUE(await_count(&over, 2));
	CU_ASSERT_EQUAL(ball, BOUNCES);
	for (int i = 0; i < 2; i++)
		loop_stop(pings[i].loop);
	for (int i = 0; i < 2; i++) {
		waitq_fini(&queues[i]);
		loop_free(pings[i].loop);
	}
	scheduler_free(scheduler);
}

/* --- locks ---------------------------------------------------------------- */

static void
test_lock_order(void)
{
	struct lock partition, cache;
	int status = 0;
	pid_t child;

	lock_init(&partition, LOCK_RANK_PARTITION);
	lock_init(&cache, LOCK_RANK_CACHE);
	lock_take(&partition);
	CU_ASSERT_TRUE(lock_try(&cache));
	lock_release(&partition);
	lock_release(&cache);
	child = fork();
	if (child == 0) {
		(void)close(STDERR_FILENO);
		lock_take(&cache);
		lock_take(&partition);
		_exit(0);
	}
	waitpid(child, &status, 0);
#ifdef BARNABAS_DEBUG
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
	CU_ASSERT_TRUE(WIFEXITED(status));
#endif
	lock_fini(&partition);
	lock_fini(&cache);
}

/* Tasks of two loops over a wait queue, and the limits of a run. */
static void
test_replay_tasks(void)
{
	struct scheduler *scheduler;
	struct clock_virtual clock;
	struct waitq queues[2];
	struct ping pings[2];
	static const struct task_class class = { .name = "ping",
		.state_size = sizeof(struct ping *) };
	atomic_int ball = 0, over = 0;

	clock_virtual_init(&clock, 0);
	scheduler = scheduler_new_replay(&clock, 99);
	for (int i = 0; i < 2; i++) {
		waitq_init(&queues[i]);
		pings[i] = (struct ping) {
			.loop = loop_new(scheduler, "ping"),
			.mine = &queues[i], .theirs = &queues[1 - i],
			.ball = &ball, .parity = i, .over = &over,
		};
		task_start(pings[i].loop, &class, step_bounce, bounce_setup,
		    &pings[i]);
	}
	CU_ASSERT_EQUAL(scheduler_run_until(scheduler, 1000), 0);
	loop_start(pings[0].loop);
	loop_start(pings[1].loop);
	CU_ASSERT_TRUE(scheduler_run_until(scheduler, 1000) > BOUNCES);
	CU_ASSERT_EQUAL(over, 2);
	for (int i = 0; i < 2; i++) {
		waitq_fini(&queues[i]);
		loop_stop(pings[i].loop);
		loop_free(pings[i].loop);
	}
	scheduler_free(scheduler);
}

static const struct unit_test tests[] = {
	{ "task: life, names, spurious wakes", test_task_life },
	{ "task: woken in its step", test_task_woken_in_step },
	{ "task: deadline and sleep", test_task_deadline_and_sleep },
	{ "task: cancel", test_task_cancel },
	{ "task: fairness", test_task_fairness },
	{ "task: many, of many sizes", test_task_many },
	{ "waitq: no wake is lost", test_waitq_stress },
	{ "waitq: ping pong", test_waitq_ping_pong },
	{ "lock: order", test_lock_order },
	{ "replay: tasks of two loops", test_replay_tasks },
};

int
main(void)
{
	return (unit_main("task", tests, nelems(tests)));
}
