/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From wherever the start came to, back to nothing: leadership handed over
 * (depart.c), doors closed, the controller's part given up, its seat left
 * (seat.c), logs closed cleanly, and last the session, whose end takes this
 * broker's nodes away.
 */
#include "daemon/broker_int.h"

#include "base/mem.h"

/* Answers get so long to leave; produce and fetch that wait, so long for it. */
#define ANSWERS_NS ((int64_t)5 * 1000000000)
#define WAITING_NS ((int64_t)500 * 1000000)
#define LOOK_NS ((int64_t)5 * 1000000)
#define PATIENCE_NS ((int64_t)10 * 1000000000)

struct stop {
	struct broker *broker;
	struct broker_work work;
	struct post last;
	struct task_ref task;
	bool settled; /* `last` has run */
	bool departing;
	bool closing;
	int64_t patience_ns; /* until it is said that answers are waited for */
};

static task_step stop_depart, stop_doors, stop_waiting, stop_answers,
    stop_settled, stop_seat, stop_rooms, stop_logs, stop_session,
    stop_session_closed;

static const struct task_class stop_class = {
	.name = "stop",
	.state_size = sizeof(struct stop),
};

static void
stop_setup(struct task *task, void *arg)
{
	((struct stop *)task_state(task))->broker = arg;
}

void
broker_stop_task(struct broker *b)
{
	atomic_store(&b->ready, false);
	broker_enter(b, BROKER_STOPPING);
	task_start(b->control, &stop_class, stop_depart, stop_setup, b);
}

static enum verdict
stop_depart(struct task *t)
{
	struct stop *s = task_state(t);

	if (!s->departing) {
		s->departing = true;
		broker_depart_task(s->broker, t);
	}
	return (s->broker->departed ? task_next(t, stop_doors) : STEP_WAIT);
}

/* No more connections, no more requests; the controller's part is given up,
 * which also ends requests that wait for it. */
static enum verdict
stop_doors(struct task *t)
{
	struct broker *b = ((struct stop *)task_state(t))->broker;

	dynamic_close(b->dynamic);
	if (b->doors_open)
		net_stop(b->net, loop_now_ns(b->control) + ANSWERS_NS,
		    task_ref(t));
	if (b->controller != NULL)
		controller_stop(b->controller, task_ref(t));
	task_sleep(t, WAITING_NS);
	return (task_next(t, stop_waiting));
}

static bool
stop_net_done(const struct broker *b)
{
	return (!b->doors_open || net_stopped(b->net));
}

/* Produce and fetch that still wait are ended after a moment, and so are
 * members that wait for each other, and what waits for topics' configs, which
 * ZooKeeper may never give. */
static enum verdict
stop_waiting(struct task *t)
{
	struct broker *b = ((struct stop *)task_state(t))->broker;

	if (!stop_net_done(b) && !task_slept(t))
		return (STEP_WAIT);
	if (b->replicas != NULL)
		replicas_stop(b->replicas);
	if (b->groups != NULL)
		groups_stop(b->groups);
	if (b->configs != NULL)
		configs_stop(b->configs);
	return (task_next(t, stop_answers));
}

static void
stop_last_run(struct post *post)
{
	struct stop *s = container_of(post, struct stop, last);

	s->settled = true;
	task_wake_ref(s->task);
}

/* All that waits was ended: what does not end is a fault, and is named. */
static void
stop_complain(struct stop *s, int64_t now_ns)
{
	struct broker *b = s->broker;

	if (s->patience_ns == 0)
		s->patience_ns = now_ns + PATIENCE_NS;
	if (now_ns < s->patience_ns)
		return;
	s->patience_ns = now_ns + PATIENCE_NS;
	diag_warn(b->setup.seams.diag, daemon, "the stop waits for the answers "
	    "to requests=%zu%s%s", b->net == NULL ? (size_t)0 :
	    net_requests_under_way(b->net),
	    stop_net_done(b) ? "" : ", for connections to close",
	    b->controller == NULL || controller_stopped(b->controller) ? "" :
	    ", for the controller");
}

/* Handlers look into all rooms: these stay until the last one has answered. */
static enum verdict
stop_answers(struct task *t)
{
	struct stop *s = task_state(t);
	struct broker *b = s->broker;

	task_sleep(t, LOOK_NS);
	stop_complain(s, loop_now_ns(b->control));
	if (!stop_net_done(b) ||
	    (b->net != NULL && net_requests_under_way(b->net) > 0) ||
	    (b->replicas != NULL && !replicas_at_rest(b->replicas)) ||
	    (b->groups != NULL && !coord_at_rest(groups_coord(b->groups))) ||
	    !dynamic_at_rest(b->dynamic) ||
	    (b->controller != NULL && !controller_stopped(b->controller)))
		return (STEP_WAIT);
	for (size_t i = 0; i < b->loop_count; i++)
		loop_stop(b->loops[i]);
	s->task = task_ref(t);
	s->last.run = stop_last_run;
	loop_post(b->control, &s->last);
	return (task_next(t, stop_settled));
}

/* What the last handlers posted to this loop for a room (such as the wish for
 * more producer ids) finds that room. */
static enum verdict
stop_settled(struct task *t)
{
	const struct stop *s = task_state(t);

	if (!s->settled)
		return (STEP_WAIT);
	broker_vacate_task(s->broker, t);
	return (task_next(t, stop_seat));
}

static enum verdict
stop_seat(struct task *t)
{
	const struct stop *s = task_state(t);

	return (s->broker->vacated ? task_next(t, stop_rooms) : STEP_WAIT);
}

/* Nothing calls in any more; from the top floor down. */
static enum verdict
stop_rooms(struct task *t)
{
	struct broker *b = ((struct stop *)task_state(t))->broker;

	if (!broker_tls_idle(b, t))
		return (STEP_WAIT);
	atomic_store(&b->collected, false);
	if (b->setup.rooms_go != NULL)
		b->setup.rooms_go(b->setup.arg);
	broker_end_run_task(b);
	registration_free(&b->registration);
	broker_end_dir_event(b);
	feature_free(&b->feature);
	if (b->storage != NULL)
		storage_stop_upkeep(b->storage);
	net_free(&b->net);
	api_free(&b->apis);
	producer_ids_free(&b->producer_ids);
	controller_free(&b->controller);
	return (task_next(t, stop_logs));
}

static bool
stop_count_log(void *arg, struct log *log)
{
	(void)log;
	++*(uint64_t *)arg;
	return (true);
}

/* Told once a second, and of the last one. */
void
broker_log_closed(void *arg)
{
	struct broker *b = arg;
	uint64_t done = atomic_fetch_add(&b->logs_closed, 1) + 1;
	int64_t now_ms = clock_mono_ms(b->setup.seams.clock);
	int64_t told_ms = atomic_load(&b->closing_told_ms);

	if (done == b->logs_to_close || (now_ms >= told_ms + 1000 &&
	    atomic_compare_exchange_strong(&b->closing_told_ms, &told_ms,
		now_ms)))
		broker_goes_on(b, "closing logs", done, b->logs_to_close, 0);
}

static void
stop_logs_run(struct work *work)
{
	struct broker *b = container_of(work, struct broker_work, work)->broker;

	if (b->storage != NULL)
		storage_await_upkeep(b->storage);
	replicas_free(&b->replicas);
	groups_free(&b->groups); /* they told it of roles */
	if (b->storage != NULL)
		storage_close(&b->storage);
}

static enum verdict
stop_logs(struct task *t)
{
	struct stop *s = task_state(t);

	if (!s->closing) {
		s->closing = true;
		s->broker->logs_closing = true;
		if (s->broker->storage != NULL)
			storage_each_log(s->broker->storage, stop_count_log,
			    &s->broker->logs_to_close);
		broker_work_start(&s->work, s->broker, t, stop_logs_run);
	}
	if (!s->work.done)
		return (STEP_WAIT);
	return (task_next(t, stop_session));
}

static enum verdict
stop_session(struct task *t)
{
	struct broker *b = ((struct stop *)task_state(t))->broker;

	dynamic_stop(b->dynamic);
	configs_free(&b->configs);
	cluster_free(&b->cluster);
	if (b->zk == NULL)
		return (task_next(t, stop_session_closed));
	((struct stop *)task_state(t))->closing = false;
	zk_close(b->zk, task_ref(t), &((struct stop *)task_state(t))->closing);
	return (task_next(t, stop_session_closed));
}

static enum verdict
stop_session_closed(struct task *t)
{
	struct stop *s = task_state(t);
	struct broker *b = s->broker;

	if (b->zk != NULL && !s->closing)
		return (STEP_WAIT);
	b->zk = NULL;
	broker_enter(b, b->failed ? BROKER_FAILED : BROKER_STOPPED);
	return (STEP_DONE);
}
