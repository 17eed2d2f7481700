/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of real life: a thread a loop, around a libevent base of its
 * own that no other thread touches, and a pool of worker threads.
 *
 * A loop that has nothing to run says so in its inbox (`asleep`) and waits in
 * epoll for one of: a watched descriptor; its eventfd, which a poster writes
 * only when it finds the loop asleep; its timerfd, which is set anew only when
 * the earliest timer lies before what it was set to.  Both are edge-triggered,
 * so neither is ever read.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/loop_int.h"
#include "base/mem.h"

struct loop_thread {
	struct event_base *base;
	int rouse_fd; /* eventfd */
	int timer_fd;
	int64_t timer_fd_due_ns; /* INT64_MAX: not set */
	struct event *rouse_event;
	struct event *timer_event;
	pthread_t thread;
};

/* The two take turns, see watch_want(). */
struct watch_event {
	struct event *events[2];
	unsigned active; /* which one is added, when `wanted` is not 0 */
};

static const struct scheduler_ops threads_ops;

/* --- threads -------------------------------------------------------------- */

/*
 * Signals go to the daemon's main thread; faults stay with the thread that made
 * them.  Answers the kernel's error, 0: it runs.
 */
static int
thread_try(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
		SIGTRAP };
	sigset_t blocked, old;
	int error, refused;

	sigfillset(&blocked);
	for (size_t i = 0; i < nelems(faults); i++)
		sigdelset(&blocked, faults[i]);
	error = pthread_sigmask(SIG_SETMASK, &blocked, &old);
	CHECK(error == 0);
	refused = pthread_create(thread, NULL, run, arg);
	error = pthread_sigmask(SIG_SETMASK, &old, NULL);
	CHECK(error == 0);
	return (refused);
}

static void
thread_start(const struct scheduler *scheduler, pthread_t *thread,
    void *(*run)(void *arg), void *arg)
{
	int error = thread_try(thread, run, arg);

	if (error != 0)
		scheduler_refused(scheduler, "thread", error);
}

/* --- workers -------------------------------------------------------------- */

/* Under work_mutex, which it gives up meanwhile. */
static void
run_first(struct work_queue *queue)
{
	struct work *work = list_entry(queue->pending.next, struct work, link);

	work_begin(queue, work);
	leaf_unlock(&queue->scheduler->work_mutex);
	work_run(work);
	leaf_lock(&queue->scheduler->work_mutex);
	work_end(queue);
}

/* One of a crew; under work_mutex but for `thread`, which is the caller's of
 * crew_start(), crew_resize() and crew_stop(). */
struct worker {
	struct list link;
	struct crew *crew;
	pthread_t thread;
	bool left; /* it runs nothing more */
};

static void
threads_work_ready(struct crew *crew)
{
	if (crew->idle_count > 0)
		pthread_cond_signal(&crew->ready);
}

/* Under work_mutex: true when there is one too many. */
static bool
worker_leaves(struct worker *worker)
{
	struct crew *crew = worker->crew;

	if (crew->stopping ? !list_empty(&crew->runnable) :
	    crew->worker_count <= crew->wanted)
		return (false);
	crew->worker_count--;
	worker->left = true;
	/* It may have been woken for a piece. */
	if (!list_empty(&crew->runnable))
		threads_work_ready(crew);
	return (true);
}

static void *
worker_main(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	pthread_mutex_t *mutex = &crew->scheduler->work_mutex;

	(void)pthread_setname_np(pthread_self(), "worker");
	leaf_lock(mutex);
	while (!worker_leaves(worker)) {
		if (list_empty(&crew->runnable)) {
			crew->idle_count++;
			pthread_cond_wait(&crew->ready, mutex);
			crew->idle_count--;
			continue;
		}
		run_first(list_entry(crew->runnable.next, struct work_queue,
		    runnable));
	}
	leaf_unlock(mutex);
	return (NULL);
}

/* The kernel's error, 0: there is one more. */
static int
crew_hire(struct crew *crew)
{
	struct worker *worker = mem_zalloc(sizeof(*worker));
	int error;

	worker->crew = crew;
	error = thread_try(&worker->thread, worker_main, worker);
	if (error != 0) {
		mem_free(worker);
		return (error);
	}
	leaf_lock(&crew->scheduler->work_mutex);
	list_push_tail(&crew->workers, &worker->link);
	leaf_unlock(&crew->scheduler->work_mutex);
	return (0);
}

/* Those that left, or all, which will. */
static void
crew_bury(struct crew *crew, bool all)
{
	struct list gone, *element;

	list_init(&gone);
	leaf_lock(&crew->scheduler->work_mutex);
	LIST_EACH(link, &crew->workers) {
		if (!all && !list_entry(link, struct worker, link)->left)
			continue;
		list_remove(link);
		list_push_tail(&gone, link);
	}
	leaf_unlock(&crew->scheduler->work_mutex);
	while ((element = list_pop_head(&gone)) != NULL) {
		struct worker *worker = list_entry(element, struct worker,
		    link);
		int error = pthread_join(worker->thread, NULL);

		CHECK(error == 0);
		mem_free(worker);
	}
}

/* How many there are to be more than there are. */
static int
crew_want(struct crew *crew, int count)
{
	int missing;

	leaf_lock(&crew->scheduler->work_mutex);
	crew->wanted = count;
	missing = count - crew->worker_count;
	if (missing > 0)
		crew->worker_count += missing;
	if (missing < 0)
		pthread_cond_broadcast(&crew->ready);
	leaf_unlock(&crew->scheduler->work_mutex);
	return (missing);
}

/* So many of those that were wanted cannot be had. */
static void
crew_forgo(struct crew *crew, int count, int error)
{
	const struct scheduler *scheduler = crew->scheduler;
	char reason[128];
	int left;

	leaf_lock(&crew->scheduler->work_mutex);
	crew->worker_count -= count;
	crew->wanted -= count;
	left = crew->wanted;
	leaf_unlock(&crew->scheduler->work_mutex);
	diag_error(scheduler->diag, base, "a worker thread was refused by the "
	    "system: %s; the workers stay at %d",
	    strerror_r(error, reason, sizeof(reason)), left);
}

static void
threads_crew_resize(struct crew *crew, int count)
{
	int missing = crew_want(crew, count);

	for (; missing > 0; missing--) {
		int error = crew_hire(crew);

		if (error == 0)
			continue;
		crew_forgo(crew, missing, error);
		break;
	}
	crew_bury(crew, false);
}

static void
threads_crew_start(struct crew *crew, int count)
{
	CHECK(pthread_cond_init(&crew->ready, NULL) == 0);
	list_init(&crew->workers);
	for (int missing = crew_want(crew, count); missing > 0; missing--) {
		int error = crew_hire(crew);

		if (error != 0)
			scheduler_refused(crew->scheduler, "thread", error);
	}
}

static void
threads_crew_stop(struct crew *crew)
{
	leaf_lock(&crew->scheduler->work_mutex);
	crew->stopping = true;
	pthread_cond_broadcast(&crew->ready);
	leaf_unlock(&crew->scheduler->work_mutex);
	crew_bury(crew, true);
	pthread_cond_destroy(&crew->ready);
}

/* Who waits takes part, or a worker that waits for its own kind, when all the
 * others do the same, would wait for ever. */
static void
threads_work_drain(struct work_queue *queue)
{
	struct scheduler *scheduler = queue->scheduler;

	leaf_lock(&scheduler->work_mutex);
	queue->drains++;
	while (queue->running > 0 || !list_empty(&queue->pending)) {
		if (list_empty(&queue->pending) ||
		    queue->running >= queue->parallel) {
			pthread_cond_wait(&queue->idle,
			    &scheduler->work_mutex);
			continue;
		}
		run_first(queue);
	}
	queue->drains--;
	leaf_unlock(&scheduler->work_mutex);
}

struct scheduler *
scheduler_new_threads(const struct clock *clock, int worker_count,
    struct diag *diag)
{
	struct scheduler *scheduler = mem_zalloc(sizeof(*scheduler));

	CHECK(worker_count >= 1);
	scheduler_init(scheduler, &threads_ops, clock, diag);
	threads_crew_start(&scheduler->crew, worker_count);
	return (scheduler);
}

static void
threads_destroy(struct scheduler *scheduler)
{
	threads_crew_stop(&scheduler->crew);
	scheduler_fini(scheduler);
	mem_free(scheduler);
}

/* --- loops: sleeping and waking ------------------------------------------- */

static void
on_rouse(evutil_socket_t descriptor, short what, void *arg)
{
	/* The turn that follows the poll takes the inbox. */
	(void)descriptor;
	(void)what;
	(void)arg;
}

static void
on_timer(evutil_socket_t descriptor, short what, void *arg)
{
	struct loop *loop = arg;

	(void)descriptor;
	(void)what;
	loop->thread->timer_fd_due_ns = INT64_MAX;
}

static struct event *
edge_event(struct loop *loop, int descriptor, event_callback_fn run)
{
	struct event *event;

	if (descriptor < 0)
		scheduler_refused(loop->scheduler, "descriptor", errno);
	event = event_new(loop->thread->base, descriptor,
	    EV_READ | EV_PERSIST | EV_ET, run, loop);
	if (event == NULL || event_add(event, NULL) != 0)
		scheduler_refused(loop->scheduler, "event", errno);
	return (event);
}

static struct event_base *
base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL)
		return (NULL);
	/* One thread touches a base; the environment has no say in it. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return (base);
}

static void
threads_loop_attach(struct loop *loop)
{
	struct loop_thread *thread = mem_zalloc(sizeof(*thread));

	loop->thread = thread;
	thread->base = base_new();
	if (thread->base == NULL)
		scheduler_refused(loop->scheduler, "event base", errno);
	thread->rouse_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	thread->rouse_event = edge_event(loop, thread->rouse_fd, on_rouse);
	thread->timer_fd = timerfd_create(CLOCK_MONOTONIC,
	    TFD_CLOEXEC | TFD_NONBLOCK);
	thread->timer_event = edge_event(loop, thread->timer_fd, on_timer);
	thread->timer_fd_due_ns = INT64_MAX;
}

static void
threads_loop_rouse(struct loop *loop)
{
	/* Refused only by a counter that is full, which is roused enough. */
	(void)eventfd_write(loop->thread->rouse_fd, 1);
}

/* False: the earliest timer is due already. */
static bool
timer_fd_set(struct loop *loop)
{
	struct loop_thread *thread = loop->thread;
	int64_t due_ns = timer_heap_due_ns(&loop->timers);
	struct itimerspec spec = { { 0, 0 }, { 0, 0 } };
	int64_t delay_ns;

	if (due_ns >= thread->timer_fd_due_ns)
		return (true);
	delay_ns = due_ns - clock_mono_ns(loop->scheduler->clock);
	if (delay_ns <= 0)
		return (false);
	spec.it_value.tv_sec = delay_ns / 1000000000;
	spec.it_value.tv_nsec = delay_ns % 1000000000;
	if (timerfd_settime(thread->timer_fd, 0, &spec, NULL) != 0)
		scheduler_refused(loop->scheduler, "timer", errno);
	thread->timer_fd_due_ns = due_ns;
	return (true);
}

static bool
fall_asleep(struct loop *loop)
{
	bool asleep;

	if (!list_empty(&loop->posts_taken) || !list_empty(&loop->tasks.ready))
		return (false);
	if (!timer_fd_set(loop))
		return (false);
	leaf_lock(&loop->mutex);
	asleep = loop_inbox_empty(loop) && !loop_stopping(loop);
	loop->asleep = asleep;
	leaf_unlock(&loop->mutex);
	return (asleep);
}

static void *
loop_main(void *arg)
{
	struct loop *loop = arg;
	char name[16];

	atomic_store(&loop->owner, pthread_self());
	(void)snprintf(name, sizeof(name), "%s", loop->name);
	(void)pthread_setname_np(pthread_self(), name);
	loop_forget_time(loop);
	while (!loop_stopping(loop)) {
		bool asleep;

		loop_turn(loop);
		asleep = fall_asleep(loop);
		/* What a task answered is sent by a post, and need not wait for
		 * a look at all descriptors; one turn more, then they come. */
		if (!asleep && !loop_stopping(loop)) {
			loop_turn(loop);
			asleep = fall_asleep(loop);
		}
		if (loop_stopping(loop))
			break;
		loop_forget_time(loop);
		if (event_base_loop(loop->thread->base,
			asleep ? EVLOOP_ONCE : EVLOOP_NONBLOCK) < 0)
			scheduler_refused(loop->scheduler, "poll", errno);
	}
	atomic_store(&loop->owner, (pthread_t)0);
	return (NULL);
}

static void
threads_loop_start(struct loop *loop)
{
	thread_start(loop->scheduler, &loop->thread->thread, loop_main, loop);
}

static void
threads_loop_stop(struct loop *loop)
{
	int error;

	CHECK(!loop_runs_here(loop));
	/* Under the lock: it falls asleep before this, or not at all. */
	leaf_lock(&loop->mutex);
	loop->asleep = false;
	leaf_unlock(&loop->mutex);
	threads_loop_rouse(loop);
	error = pthread_join(loop->thread->thread, NULL);
	CHECK(error == 0);
}

static void
threads_loop_detach(struct loop *loop)
{
	static const struct timespec pause = { 0, 200000 };
	struct loop_thread *thread = loop->thread;

	while (atomic_load_explicit(&loop->pins, memory_order_acquire) != 0)
		(void)nanosleep(&pause, NULL);
	event_free(thread->rouse_event);
	event_free(thread->timer_event);
	(void)close(thread->rouse_fd);
	(void)close(thread->timer_fd);
	event_base_free(thread->base);
	mem_free(thread);
	loop->thread = NULL;
}

static const struct scheduler_ops threads_ops = {
	.destroy = threads_destroy,
	.loop_attach = threads_loop_attach,
	.loop_start = threads_loop_start,
	.loop_stop = threads_loop_stop,
	.loop_detach = threads_loop_detach,
	.loop_rouse = threads_loop_rouse,
	.crew_start = threads_crew_start,
	.crew_resize = threads_crew_resize,
	.crew_stop = threads_crew_stop,
	.work_ready = threads_work_ready,
	.work_drain = threads_work_drain,
};

/* --- descriptors ---------------------------------------------------------- */

static void
on_watch(evutil_socket_t descriptor, short what, void *arg)
{
	struct watch *watch = arg;
	struct loop *loop = watch->loop;
	unsigned ready = 0;

	(void)descriptor;
	if ((what & EV_READ) != 0)
		ready |= WATCH_READ;
	if ((what & EV_WRITE) != 0)
		ready |= WATCH_WRITE;
	ready &= watch->wanted;
	if (ready != 0)
		watch->run(watch, ready);
	/* The watch may be gone. */
	if (loop_stopping(loop))
		(void)event_base_loopbreak(loop->thread->base);
}

void
watch_init(struct watch *watch, struct loop *loop, int descriptor,
    void (*run)(struct watch *watch, unsigned ready))
{
	CHECK_MAGIC(loop, LOOP_MAGIC);
	CHECK(loop->thread != NULL); /* not in replay */
	CHECK(loop_is_current(loop));
	watch->loop = loop;
	watch->descriptor = descriptor;
	watch->wanted = 0;
	watch->run = run;
	watch->events = mem_zalloc(sizeof(*watch->events));
	for (size_t i = 0; i < 2; i++) {
		watch->events->events[i] = event_new(loop->thread->base,
		    descriptor, 0, on_watch, watch);
		if (watch->events->events[i] == NULL)
			scheduler_refused(loop->scheduler, "event", errno);
	}
	loop->watch_count++;
}

/*
 * The event of the new wish is added before the old one is deleted: libevent
 * then tells the kernel once, by a modification, or not at all.
 */
bool
watch_want(struct watch *watch, unsigned wanted)
{
	struct watch_event *pair = watch->events;
	struct event *new = pair->events[pair->active ^ 1];
	short what = EV_PERSIST;

	if (wanted == watch->wanted)
		return (true);
	CHECK(loop_is_current(watch->loop));
	if ((wanted & WATCH_READ) != 0)
		what |= EV_READ;
	if ((wanted & WATCH_WRITE) != 0)
		what |= EV_WRITE;
	if (wanted != 0 &&
	    (event_assign(new, watch->loop->thread->base, watch->descriptor,
		 what, on_watch, watch) != 0 || event_add(new, NULL) != 0))
		return (false);
	if (watch->wanted != 0)
		(void)event_del(pair->events[pair->active]);
	pair->active ^= 1;
	watch->wanted = wanted;
	return (true);
}

void
watch_fini(struct watch *watch)
{
	if (watch->events == NULL)
		return;
	(void)watch_want(watch, 0);
	for (size_t i = 0; i < 2; i++)
		event_free(watch->events->events[i]);
	mem_free(watch->events);
	watch->events = NULL;
	watch->loop->watch_count--;
}
