/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of threads: posts, timers, descriptors, work. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/random.h"
#include "loop_rig.h"

/* --- posts ---------------------------------------------------------------- */

#define SENDERS 4
#define POSTS_EACH 25000

struct numbered_post {
	struct post post;
	struct sender *sender;
	int number;
};

struct sender {
	struct loop *loop;
	struct numbered_post *posts;
	pthread_t thread;
	int seen;
	bool in_order;
	bool on_loop;
};

static void
on_numbered(struct post *post)
{
	struct numbered_post *n = container_of(post, struct numbered_post,
	    post);

	if (n->number != n->sender->seen)
		n->sender->in_order = false;
	if (!loop_is_current(n->sender->loop))
		n->sender->on_loop = false;
	n->sender->seen++;
}

static void *
sender_main(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < POSTS_EACH; i++) {
		s->posts[i] = (struct numbered_post) {
			.post.run = on_numbered, .sender = s, .number = i,
		};
		loop_post(s->loop, &s->posts[i].post);
	}
	return (NULL);
}

static void
test_posts_keep_order(void)
{
	struct sender senders[SENDERS] = { 0 };
	struct rig rig;

	rig_init(&rig);
	loop_start(rig.loop);
	CU_ASSERT_FALSE(loop_is_current(rig.loop));
	for (struct sender *s = senders; s < senders + SENDERS; s++) {
		s->loop = rig.loop;
		s->posts = mem_zalloc(POSTS_EACH * sizeof(*s->posts));
		s->in_order = s->on_loop = true;
		pthread_create(&s->thread, NULL, sender_main, s);
	}
	for (struct sender *s = senders; s < senders + SENDERS; s++)
		pthread_join(s->thread, NULL);
	rig_settle(&rig);
	CU_ASSERT_TRUE(loop_turns(rig.loop) > 0);
	for (struct sender *s = senders; s < senders + SENDERS; s++) {
		CU_ASSERT_EQUAL(s->seen, POSTS_EACH);
		CU_ASSERT_TRUE(s->in_order);
		CU_ASSERT_TRUE(s->on_loop);
		mem_free(s->posts);
	}
	rig_fini(&rig);
}

static void
count_call(void *arg)
{
	(*(int *)arg)++;
}

static void
test_posts_wait_for_start(void)
{
	struct rig rig;
	int count = 0;

	rig_init(&rig);
	for (int i = 0; i < 1000; i++)
		loop_post_call(rig.loop, count_call, &count);
	CU_ASSERT_TRUE(loop_is_current(rig.loop));
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_STRING_EQUAL(loop_name(rig.loop), "loop-under-test");
	loop_start(rig.loop);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(count, 1000);
	loop_stop(rig.loop);
	loop_post_call(rig.loop, count_call, &count);
	CU_ASSERT_TRUE(loop_is_current(rig.loop));
	rig_fini(&rig);
	CU_ASSERT_EQUAL(count, 1000);
}

struct signal_probe {
	struct gate *gate;
	bool term_blocked;
};

static void
probe_signals(void *arg)
{
	struct signal_probe *probe = arg;
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	probe->term_blocked = sigismember(&set, SIGTERM) == 1;
	gate_open(probe->gate);
}

static void
test_threads_block_signals(void)
{
	struct signal_probe probe = { 0 };
	struct rig rig;
	sigset_t set;

	rig_init(&rig);
	probe.gate = &rig.gate;
	loop_start(rig.loop);
	rig_call(&rig, probe_signals, &probe);
	CU_ASSERT_TRUE(probe.term_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	CU_ASSERT_EQUAL(sigismember(&set, SIGTERM), 0);
	rig_fini(&rig);
}

/* --- timers --------------------------------------------------------------- */

#define TIMERS 200

struct timer_case {
	struct rig rig;
	struct owned_timer {
		struct timer timer;
		struct timer_case *owner;
		int fired;
	} timers[TIMERS];
	int count;
	int64_t last_due_ns;
	bool in_order;
	bool never_early;
};

static void
on_owned(struct timer *timer)
{
	struct owned_timer *owned = container_of(timer, struct owned_timer,
	    timer);
	struct timer_case *c = owned->owner;

	if (timer->due_ns < c->last_due_ns)
		c->in_order = false;
	if (loop_now_ns(timer->loop) < timer->due_ns)
		c->never_early = false;
	c->last_due_ns = timer->due_ns;
	owned->fired++;
	c->count++;
	CU_ASSERT_FALSE(timer_armed(timer));
	if (owned == &c->timers[TIMERS - 1])
		gate_open(&c->rig.gate);
}

/* All armed for far away, every third disarmed, the others moved near. */
static void
arm_timers(void *arg)
{
	struct timer_case *c = arg;
	struct random random;
	int64_t now_ns = loop_now_ns(c->rig.loop);

	random_seed(&random, 7);
	for (int i = 0; i < TIMERS; i++) {
		struct owned_timer *owned = &c->timers[i];

		owned->owner = c;
		timer_init(&owned->timer, c->rig.loop, on_owned);
		CU_ASSERT_FALSE(timer_armed(&owned->timer));
		timer_arm_in(&owned->timer, (60000 + i) * MS);
		CU_ASSERT_TRUE(timer_armed(&owned->timer));
	}
	for (int i = 0; i < TIMERS - 1; i++) {
		if (i % 3 == 0)
			timer_disarm(&c->timers[i].timer);
		else
			timer_arm_at(&c->timers[i].timer, now_ns +
			    (int64_t)random_below(&random, 40) * MS);
	}
	timer_arm_at(&c->timers[TIMERS - 1].timer, now_ns + 41 * MS);
}

static void
test_timers_order(void)
{
	struct timer_case c = { .in_order = true, .never_early = true };

	rig_init(&c.rig);
	loop_start(c.rig.loop);
	rig_call(&c.rig, arm_timers, &c);
	loop_stop(c.rig.loop);
	CU_ASSERT_TRUE(c.in_order);
	CU_ASSERT_TRUE(c.never_early);
	for (int i = 0; i < TIMERS - 1; i++)
		CU_ASSERT_EQUAL(c.timers[i].fired, i % 3 == 0 ? 0 : 1);
	rig_fini(&c.rig);
}

struct past_case {
	struct rig rig;
	struct timer timer;
	uint64_t last_turn;
	int runs;
	bool new_turns;
	bool one_reading;
};

/* Arms itself for the past: never twice in a turn. */
static void
on_past(struct timer *timer)
{
	struct past_case *c = container_of(timer, struct past_case, timer);
	int64_t now_ns = loop_now_ns(timer->loop);
	int64_t wall_ms = loop_wall_ms(timer->loop);
	struct timespec pause = { 0, 2 * MS };

	if (loop_turns(timer->loop) == c->last_turn)
		c->new_turns = false;
	c->last_turn = loop_turns(timer->loop);
	if (c->runs < 5)
		nanosleep(&pause, NULL);
	if (loop_now_ns(timer->loop) != now_ns ||
	    loop_wall_ms(timer->loop) != wall_ms ||
	    loop_now_ms(timer->loop) != now_ns / MS)
		c->one_reading = false;
	if (++c->runs == 100)
		gate_open(&c->rig.gate);
	else
		timer_arm_at(timer, now_ns - MS);
}

struct held_up_case {
	struct rig rig;
	struct clock_virtual clock;
	struct timer slow;
	struct timer held_up;
};

/* A callback that takes its time. */
static void
on_slow(struct timer *timer)
{
	struct held_up_case *c = container_of(timer, struct held_up_case, slow);

	clock_virtual_advance_to(&c->clock, c->clock.now_ns + 50 * MS);
}

static void
on_held_up(struct timer *timer)
{
	struct held_up_case *c = container_of(timer, struct held_up_case,
	    held_up);

	gate_open(&c->rig.gate);
}

/* Due in one turn with the one that held it up, for which time stands. */
static void
test_timer_lag(void)
{
	struct held_up_case c;

	clock_virtual_init(&c.clock, 1700000000000);
	c.rig.scheduler = scheduler_new_threads(&c.clock.clock, 1, NULL);
	c.rig.loop = loop_new(c.rig.scheduler, "loop-under-test");
	gate_init(&c.rig.gate);
	timer_init(&c.slow, c.rig.loop, on_slow);
	timer_init(&c.held_up, c.rig.loop, on_held_up);
	timer_arm_in(&c.slow, 0);
	timer_arm_in(&c.held_up, 0);
	loop_start(c.rig.loop);
	gate_await(&c.rig.gate);
	CU_ASSERT_EQUAL(loop_take_lag_ns(c.rig.loop), 50 * MS);
	rig_fini(&c.rig);
}

static void
test_timers_past(void)
{
	struct past_case c = { .new_turns = true, .one_reading = true };

	rig_init(&c.rig);
	timer_init(&c.timer, c.rig.loop, on_past);
	timer_arm_in(&c.timer, 0);
	loop_start(c.rig.loop);
	gate_await(&c.rig.gate);
	rig_fini(&c.rig);
	CU_ASSERT_EQUAL(c.runs, 100);
	CU_ASSERT_TRUE(c.new_turns);
	CU_ASSERT_TRUE(c.one_reading);
}

static void
arm_near(void *arg)
{
	struct timer_case *c = arg;

	timer_arm_in(&c->timers[TIMERS - 1].timer, 20 * MS);
}

/* A sleep until later is cut short for a timer that comes before. */
static void
test_timer_sleeper_is_prompt(void)
{
	struct timer_case c = { .in_order = true, .never_early = true };
	int64_t begin_ns = clock_mono_ns(clock_system());

	rig_init(&c.rig);
	c.timers[0].owner = c.timers[TIMERS - 1].owner = &c;
	timer_init(&c.timers[0].timer, c.rig.loop, on_owned);
	timer_init(&c.timers[TIMERS - 1].timer, c.rig.loop, on_owned);
	timer_arm_in(&c.timers[0].timer, 3600000 * MS);
	loop_start(c.rig.loop);
	rig_settle(&c.rig);
	rig_call(&c.rig, arm_near, &c);
	CU_ASSERT_TRUE(clock_mono_ns(clock_system()) - begin_ns >= 20 * MS);
	CU_ASSERT_TRUE(clock_mono_ns(clock_system()) - begin_ns < 20000 * MS);
	rig_fini(&c.rig);
	CU_ASSERT_EQUAL(c.timers[0].fired, 0);
}

/* --- descriptors ---------------------------------------------------------- */

struct watch_case {
	struct rig rig;
	struct watch reader;
	struct watch writer;
	int pair[2];
	size_t sent;
	size_t received;
	size_t total;
	int both;
	int runs;
};

static void
on_writable(struct watch *watch, unsigned ready)
{
	struct watch_case *c = container_of(watch, struct watch_case, writer);
	static const char bytes[4096];
	size_t size = c->total - c->sent;
	ssize_t n;

	CU_ASSERT_EQUAL(ready, WATCH_WRITE);
	n = write(watch->descriptor, bytes,
	    size < sizeof(bytes) ? size : sizeof(bytes));
	CU_ASSERT_TRUE(n > 0);
	c->sent += n > 0 ? (size_t)n : 0;
	if (c->sent == c->total)
		watch_want(watch, 0);
}

static void
on_readable(struct watch *watch, unsigned ready)
{
	struct watch_case *c = container_of(watch, struct watch_case, reader);
	char bytes[1000];
	ssize_t n;

	if (ready == (WATCH_READ | WATCH_WRITE)) {
		c->both++;
		watch_want(watch, WATCH_READ);
	}
	if ((ready & WATCH_READ) == 0)
		return;
	/* Level-triggered: what is left calls again. */
	n = read(watch->descriptor, bytes, sizeof(bytes));
	CU_ASSERT_TRUE(n > 0);
	c->received += n > 0 ? (size_t)n : 0;
	if (c->received == c->total) {
		watch_fini(watch);
		memset(watch, 0xa5, sizeof(*watch));
		watch_fini(&c->writer);
		gate_open(&c->rig.gate);
	}
}

static void
start_watches(void *arg)
{
	struct watch_case *c = arg;

	watch_init(&c->reader, c->rig.loop, c->pair[0], on_readable);
	watch_init(&c->writer, c->rig.loop, c->pair[1], on_writable);
	CU_ASSERT_TRUE(watch_want(&c->reader, WATCH_READ | WATCH_WRITE));
	CU_ASSERT_TRUE(watch_want(&c->writer, WATCH_WRITE));
}

static void
test_watch_socketpair(void)
{
	struct watch_case c = { .total = 1 << 20 };

	rig_init(&c.rig);
	CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    c.pair), 0);
	/* Something to read from the first: both at once. */
	CU_ASSERT_EQUAL(write(c.pair[1], "x", 1), 1);
	c.sent = 1;
	loop_start(c.rig.loop);
	rig_call(&c.rig, start_watches, &c);
	CU_ASSERT_EQUAL(c.received, c.total);
	CU_ASSERT_EQUAL(c.both, 1);
	rig_fini(&c.rig);
	close(c.pair[0]);
	close(c.pair[1]);
}

/* Never read, the counter stays up: runs again until nothing is wanted. */
static void
on_counter(struct watch *watch, unsigned ready)
{
	struct watch_case *c = container_of(watch, struct watch_case, reader);

	CU_ASSERT_EQUAL(ready, WATCH_READ);
	if (++c->runs == 10) {
		watch_want(watch, 0);
		gate_open(&c->rig.gate);
	}
	CU_ASSERT_TRUE(c->runs <= 10);
}

static void
start_counter(void *arg)
{
	struct watch_case *c = arg;

	watch_init(&c->reader, c->rig.loop, c->pair[0], on_counter);
	for (int i = 0; i < 7; i++) {
		watch_want(&c->reader, WATCH_READ);
		watch_want(&c->reader, WATCH_READ | WATCH_WRITE);
		watch_want(&c->reader, 0);
	}
	watch_want(&c->reader, WATCH_READ);
}

static void
test_watch_level(void)
{
	struct watch_case c = { 0 };

	rig_init(&c.rig);
	c.pair[0] = eventfd(5, EFD_NONBLOCK);
	loop_start(c.rig.loop);
	rig_call(&c.rig, start_counter, &c);
	rig_settle(&c.rig);
	loop_stop(c.rig.loop);
	CU_ASSERT_EQUAL(c.runs, 10);
	watch_fini(&c.reader);
	rig_fini(&c.rig);
	close(c.pair[0]);
}

static void
on_hangup(struct watch *watch, unsigned ready)
{
	struct watch_case *c = container_of(watch, struct watch_case, reader);
	char byte;

	CU_ASSERT_EQUAL(ready, WATCH_READ);
	CU_ASSERT_EQUAL(read(watch->descriptor, &byte, 1), 0);
	watch_fini(watch);
	gate_open(&c->rig.gate);
}

static void
start_hangup(void *arg)
{
	struct watch_case *c = arg;

	watch_init(&c->reader, c->rig.loop, c->pair[0], on_hangup);
	watch_want(&c->reader, WATCH_READ);
}

static void
test_watch_hangup(void)
{
	struct watch_case c = { 0 };

	rig_init(&c.rig);
	CU_ASSERT_EQUAL(pipe(c.pair), 0);
	loop_start(c.rig.loop);
	loop_post_call(c.rig.loop, start_hangup, &c);
	rig_settle(&c.rig);
	close(c.pair[1]);
	gate_await(&c.rig.gate);
	rig_fini(&c.rig);
	close(c.pair[0]);
}

/* --- work ----------------------------------------------------------------- */

#define WORKS 2000

struct work_case {
	struct rig rig;
	struct work_queue *queue;
	struct piece {
		struct work work;
		struct work_case *owner;
		int number;
	} pieces[WORKS];
	atomic_int running;
	atomic_int most_running;
	atomic_int begun;
	atomic_bool in_order;
	int done;
	bool done_in_order;
};

static void
piece_run(struct work *work)
{
	struct piece *piece = container_of(work, struct piece, work);
	struct work_case *c = piece->owner;
	int running = atomic_fetch_add(&c->running, 1) + 1;
	int most = atomic_load(&c->most_running);
	struct timespec pause = { 0, MS };

	if (atomic_fetch_add(&c->begun, 1) != piece->number)
		atomic_store(&c->in_order, false);
	while (running > most && !atomic_compare_exchange_weak(
	    &c->most_running, &most, running))
		continue;
	if (piece->number < 20)
		nanosleep(&pause, NULL);
	atomic_fetch_sub(&c->running, 1);
}

static void
piece_done(struct work *work)
{
	struct piece *piece = container_of(work, struct piece, work);
	struct work_case *c = piece->owner;

	CU_ASSERT_TRUE(loop_is_current(work->home));
	if (c->done++ != piece->number)
		c->done_in_order = false;
	if (c->done == WORKS)
		gate_open(&c->rig.gate);
}

static void
work_case_run(struct work_case *c, int parallel)
{
	memset(c, 0, sizeof(*c));
	rig_init(&c->rig);
	c->in_order = true;
	c->done_in_order = true;
	c->queue = work_queue_new(c->rig.scheduler, "test", parallel);
	loop_start(c->rig.loop);
	for (int i = 0; i < WORKS; i++) {
		c->pieces[i] = (struct piece) {
			.work = { .run = piece_run, .done = piece_done,
			    .home = c->rig.loop },
			.owner = c, .number = i,
		};
		work_submit(c->queue, &c->pieces[i].work);
	}
	gate_await(&c->rig.gate);
	CU_ASSERT_EQUAL(work_queue_length(c->queue), 0);
	work_queue_free(c->queue);
	rig_fini(&c->rig);
	CU_ASSERT_EQUAL(c->done, WORKS);
	CU_ASSERT_EQUAL(c->begun, WORKS);
}

static void
test_work_in_order(void)
{
	struct work_case *c = mem_alloc(sizeof(*c));

	work_case_run(c, 1);
	CU_ASSERT_EQUAL(c->most_running, 1);
	CU_ASSERT_TRUE(c->in_order);
	CU_ASSERT_TRUE(c->done_in_order);
	mem_free(c);
}

static void
test_work_parallel(void)
{
	struct work_case *c = mem_alloc(sizeof(*c));

	work_case_run(c, 2);
	CU_ASSERT_EQUAL(c->most_running, 2);
	mem_free(c);
}

/* Queues take turns: a long one does not keep a short one waiting. */
static void
test_work_queues_take_turns(void)
{
	struct work_case *c = mem_zalloc(sizeof(*c));
	struct work_queue *other;

	c->rig.scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	c->queue = work_queue_new(c->rig.scheduler, "long", 1);
	other = work_queue_new(c->rig.scheduler, "short", 1);
	for (int i = 0; i < 20; i++) {
		c->pieces[i] = (struct piece) {
			.work = { .run = piece_run }, .owner = c, .number = i,
		};
		work_submit(i == 19 ? other : c->queue, &c->pieces[i].work);
	}
	work_queue_free(other);
	CU_ASSERT_TRUE(work_queue_length(c->queue) > 5);
	/* The other goes with the scheduler, after its pieces have run. */
	scheduler_free(c->rig.scheduler);
	CU_ASSERT_EQUAL(c->begun, 20);
	mem_free(c);
}

static void
await_run(struct work *work)
{
	gate_await(&container_of(work, struct piece, work)->owner->rig.gate);
}

static void
open_run(struct work *work)
{
	gate_open(&container_of(work, struct piece, work)->owner->rig.gate);
}

/* The only worker waits for what a queue with its own is to do. */
static void
test_work_apart(void)
{
	struct work_case *c = mem_zalloc(sizeof(*c));
	struct work_queue *apart;

	gate_init(&c->rig.gate);
	c->rig.scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	c->queue = work_queue_new(c->rig.scheduler, "common", 1);
	apart = work_queue_new_apart(c->rig.scheduler, "apart", 2);
	for (int i = 0; i < 2; i++) {
		c->pieces[i] = (struct piece) {
			.work = { .run = i == 0 ? await_run : open_run },
			.owner = c,
		};
		work_submit(i == 0 ? c->queue : apart, &c->pieces[i].work);
	}
	work_queue_free(c->queue);
	/* This one goes with the scheduler. */
	c->pieces[2] = (struct piece) { .work = { .run = piece_run },
		.owner = c };
	work_submit(apart, &c->pieces[2].work);
	scheduler_free(c->rig.scheduler);
	CU_ASSERT_EQUAL(c->begun, 1);
	mem_free(c);
}

/* Pieces that each wait until so many run at once. */
struct crowd {
	struct scheduler *scheduler;
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	int inside;
	int wanted; /* inside, before any goes on */
	bool open;  /* they were */
	bool late;  /* somebody waited in vain */
	int passed;
	int most;
	struct crowd_piece {
		struct work work;
		struct crowd *crowd;
	} pieces[8];
};

static void
crowd_enter(struct crowd *c)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 60;
	c->inside++;
	if (c->inside > c->most)
		c->most = c->inside;
	c->open = c->open || c->inside >= c->wanted;
	pthread_cond_broadcast(&c->moved);
	while (!c->open && !c->late)
		c->late = pthread_cond_timedwait(&c->moved, &c->mutex, &end) ==
		    ETIMEDOUT;
}

static void
crowd_run(struct work *work)
{
	struct crowd *c = container_of(work, struct crowd_piece, work)->crowd;

	pthread_mutex_lock(&c->mutex);
	crowd_enter(c);
	pthread_mutex_unlock(&c->mutex);
	/* Whoever may run beside it comes while it is here. */
	(void)sched_yield();
	pthread_mutex_lock(&c->mutex);
	c->inside--;
	c->passed++;
	pthread_mutex_unlock(&c->mutex);
}

static void
crowd_submit(struct crowd *c, struct work_queue *queue, int count, int wanted)
{
	c->wanted = wanted;
	c->open = false;
	c->most = 0;
	for (int i = 0; i < count; i++) {
		c->pieces[i] = (struct crowd_piece) {
			.work = { .run = crowd_run }, .crowd = c,
		};
		work_submit(queue, &c->pieces[i].work);
	}
}

/* Until one is inside, and the others, woken for nothing, are idle again. */
static void
crowd_await_first(struct crowd *c)
{
	pthread_mutex_lock(&c->mutex);
	while (c->inside == 0)
		pthread_cond_wait(&c->moved, &c->mutex);
	pthread_mutex_unlock(&c->mutex);
	(void)usleep(20000);
}

static void
crowd_init(struct crowd *c)
{
	memset(c, 0, sizeof(*c));
	CU_ASSERT_EQUAL(pthread_mutex_init(&c->mutex, NULL), 0);
	CU_ASSERT_EQUAL(pthread_cond_init(&c->moved, NULL), 0);
}

static void
crowd_fini(struct crowd *c)
{
	pthread_mutex_destroy(&c->mutex);
	pthread_cond_destroy(&c->moved);
}

/* Threads of this process that are workers. */
static int
count_workers(void)
{
	char name[64], path[320];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	int count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
		    entry->d_name);
		file = fopen(path, "r");
		if (file == NULL)
			continue;
		if (fgets(name, sizeof(name), file) != NULL)
			count += strcmp(name, "worker\n") == 0;
		fclose(file);
	}
	if (dir != NULL)
		closedir(dir);
	return (count);
}

/* More workers take up what waits already; fewer run it all, too. */
static void
test_workers_come_and_go(void)
{
	struct crowd c;
	struct work_queue *queue;

	crowd_init(&c);
	c.scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	queue = work_queue_new(c.scheduler, "crowd", 8);
	crowd_submit(&c, queue, 4, 4);
	scheduler_set_workers(c.scheduler, 4);
	work_queue_wait(queue);
	CU_ASSERT_EQUAL(c.passed, 4);
	for (int i = 0; i < 50; i++) {
		crowd_submit(&c, queue, 8, 1);
		scheduler_set_workers(c.scheduler, 1 + i % 3);
		work_queue_wait(queue);
	}
	CU_ASSERT_EQUAL(c.passed, 404);
	CU_ASSERT_FALSE(c.late);
	scheduler_set_workers(c.scheduler, 1);
	while (count_workers() > 1)
		(void)sched_yield();
	work_queue_free(queue);
	scheduler_free(c.scheduler);
	CU_ASSERT_EQUAL(count_workers(), 0);
	crowd_fini(&c);
}

/* A queue of its own takes more at once, with more workers, and fewer. */
static void
test_work_queue_widens(void)
{
	for (int apart = 0; apart < 2; apart++) {
		struct crowd c;
		struct work_queue *queue;

		crowd_init(&c);
		c.scheduler = scheduler_new_threads(clock_system(), 4, NULL);
		queue = (apart ? work_queue_new_apart : work_queue_new)(
		    c.scheduler, "crowd", 1);
		crowd_submit(&c, queue, 3, 3);
		crowd_await_first(&c);
		work_queue_set_parallel(queue, 3);
		work_queue_wait(queue);
		CU_ASSERT_EQUAL(c.passed, 3);
		work_queue_set_parallel(queue, 1);
		crowd_submit(&c, queue, 8, 1);
		work_queue_free(queue);
		CU_ASSERT_FALSE(c.late);
		CU_ASSERT_EQUAL(c.most, 1);
		CU_ASSERT_EQUAL(c.passed, 11);
		scheduler_free(c.scheduler);
		crowd_fini(&c);
	}
}

/* The home is freed while its work is queued: done is dropped. */
static void
test_work_outlives_no_home(void)
{
	struct work_case *c = mem_zalloc(sizeof(*c));

	rig_init(&c->rig);
	c->queue = work_queue_new(c->rig.scheduler, "test", 1);
	for (int i = 0; i < 20; i++) {
		c->pieces[i] = (struct piece) {
			.work = { .run = piece_run, .done = piece_done,
			    .home = c->rig.loop },
			.owner = c, .number = i,
		};
		work_submit(c->queue, &c->pieces[i].work);
	}
	rig_fini(&c->rig);
	CU_ASSERT_EQUAL(c->begun, 20);
	CU_ASSERT_EQUAL(c->done, 0);
	mem_free(c);
}

static const struct unit_test tests[] = {
	{ "posts of four threads keep their order", test_posts_keep_order },
	{ "posts wait for the start", test_posts_wait_for_start },
	{ "threads block signals", test_threads_block_signals },
	{ "timers: order, disarm, move", test_timers_order },
	{ "timers: one holds another up", test_timer_lag },
	{ "timers: the past is the next turn", test_timers_past },
	{ "timers: a sleeping loop is prompt", test_timer_sleeper_is_prompt },
	{ "watch: a socket pair, both ways", test_watch_socketpair },
	{ "watch: level-triggered", test_watch_level },
	{ "watch: hangup of a pipe", test_watch_hangup },
	{ "work: one by one", test_work_in_order },
	{ "work: two at once", test_work_parallel },
	{ "work: queues take turns", test_work_queues_take_turns },
	{ "work: a queue with workers of its own", test_work_apart },
	{ "work: workers come and go", test_workers_come_and_go },
	{ "work: a queue widens", test_work_queue_widens },
	{ "work: home freed first", test_work_outlives_no_home },
};

int
main(void)
{
	return (unit_main("loop", tests, nelems(tests)));
}
