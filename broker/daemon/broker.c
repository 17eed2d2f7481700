/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/broker_int.h"

#include <stdio.h>

#include "base/mem.h"
#include "daemon/collect.h"

static void
broker_stop_arrived(struct post *post)
{
	struct broker *b = container_of(post, struct broker, stop_post);
	struct task *task = task_of_ref(b->task);

	if (task != NULL)
		task_wake(task); /* the start looks at stop_wanted */
	else if (broker_state(b) == BROKER_RUNNING)
		broker_stop_task(b);
}

static void
broker_start_arrived(void *arg)
{
	broker_start_task(arg);
}

struct broker *
broker_new(const struct broker_setup *setup)
{
	struct broker *b = mem_zalloc(sizeof(*b));
	struct scheduler *scheduler = setup->seams.scheduler;

	b->setup = *setup;
	b->config = config_ref(setup->config);
	b->own_options = *config_options(setup->config);
	b->options = &b->own_options;
	b->broker_id = -1;
	atomic_init(&b->state, BROKER_STARTING);
	b->stop_post.run = broker_stop_arrived;
	list_init(&b->stop_post.link);
	b->loop_count = (size_t)setup->loop_count;
	b->loops = mem_zalloc((b->loop_count + 1) * sizeof(struct loop *));
	b->pulses = mem_zalloc((b->loop_count + 1) * sizeof(*b->pulses));
	for (size_t i = 0; i < b->loop_count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "net-%zu", i);
		b->loops[i] = loop_new(scheduler, name);
	}
	b->control = b->loops[b->loop_count] = loop_new(scheduler,
	    "controller");
	broker_tls_init(b);
	b->disk = work_queue_new(scheduler, "disk",
	    b->options->daemon.background_threads);
	b->resolver = work_queue_new(scheduler, "resolver", 4);
	for (size_t i = 0; i <= b->loop_count; i++)
		loop_start(b->loops[i]);
	collect_register(b);
	loop_post_call(b->control, broker_start_arrived, b);
	return (b);
}

void
broker_stop(struct broker *b)
{
	atomic_store(&b->stop_wanted, true);
	if (!atomic_exchange(&b->stop_posted, true))
		loop_post(b->control, &b->stop_post);
}

enum broker_state
broker_state(const struct broker *b)
{
	return ((enum broker_state)atomic_load(&b->state));
}

bool
broker_ready(const struct broker *b)
{
	return (atomic_load(&b->ready));
}

void
broker_enter(struct broker *b, enum broker_state state)
{
	static const char *const names[] = { "starting", "running", "stopping",
		"stopped", "failed" };

	atomic_store(&b->state, (int)state);
	diag_info(b->setup.seams.diag, daemon, "broker=%d %s", b->broker_id,
	    names[state]);
	if (b->setup.changed != NULL)
		b->setup.changed(b->setup.arg, state);
}

void
broker_goes_on(struct broker *b, const char *what, uint64_t done,
    uint64_t total, int64_t patience_ms)
{
	struct broker_progress progress = { what, done, total, patience_ms };

	if (b->setup.progress != NULL)
		b->setup.progress(b->setup.arg, &progress);
}

void
broker_free(struct broker **broker)
{
	struct broker *b = *broker;

	if (b == NULL)
		return;
	CHECK(broker_state(b) == BROKER_STOPPED ||
	    broker_state(b) == BROKER_FAILED);
	for (size_t i = 0; i <= b->loop_count; i++)
		loop_stop(b->loops[i]);
	work_queue_free(b->disk);
	work_queue_free(b->resolver);
	for (size_t i = 0; i <= b->loop_count; i++)
		loop_free(b->loops[i]);
	broker_tls_fini(b);
	dynamic_free(&b->dynamic);
	config_live_free(&b->live);
	config_unref(b->config);
	mem_free(b->session_file);
	mem_free(b->session_identity);
	mem_free(b->pulses);
	mem_free(b->loops);
	mem_free(b);
	*broker = NULL;
}

/* --- signs of life -------------------------------------------------------- */

static void
broker_pulse_run(struct post *post)
{
	atomic_store(&container_of(post, struct broker_pulse, post)->waiting,
	    false);
}

void
broker_ping(struct broker *b)
{
	for (size_t i = 0; i <= b->loop_count; i++) {
		if (atomic_exchange(&b->pulses[i].waiting, true))
			continue; /* the last one is still on its way */
		b->pulses[i].post.run = broker_pulse_run;
		loop_post(b->loops[i], &b->pulses[i].post);
	}
}

bool
broker_alive(const struct broker *b)
{
	for (size_t i = 0; i <= b->loop_count; i++)
		if (atomic_load(&b->pulses[i].waiting))
			return (false);
	return (true);
}

int32_t
broker_port(const struct broker *b, const char *listener)
{
	return (b->net == NULL ? -1 : net_port(b->net, listener));
}

const char *
broker_control_listener(const struct broker *b)
{
	const struct net_options *net = &b->options->net;

	return (net->control_plane_listener != NULL ?
		net->control_plane_listener->name :
		net->inter_broker_listener->name);
}

/* --- work ----------------------------------------------------------------- */

static void
broker_work_done(struct work *work)
{
	struct broker_work *w = container_of(work, struct broker_work, work);

	w->done = true;
	task_wake_ref(w->task);
}

void
broker_work_start(struct broker_work *w, struct broker *broker,
    struct task *task, void (*run)(struct work *work))
{
	*w = (struct broker_work){
		.broker = broker,
		.task = task_ref(task),
	};
	w->work.run = run;
	w->work.done = broker_work_done;
	w->work.home = broker->control;
	work_submit(broker->disk, &w->work);
}
