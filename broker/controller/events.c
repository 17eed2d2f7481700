/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of the controller: what can wait for it, in the order in which it
 * is taken, one at a time; how many wait, and for how long each did.
 *
 *	noted: a watch fired, a flag is set, somebody calls
 *	  |
 *	  v          controller_idle()
 *	waits --> taken --> a row of steps --> controller_idle()
 *
 * What several have noted is one event, but for calls.  An event is seen to
 * wait when it is noted, or when the next answer of ZooKeeper wakes the steps
 * of the event at hand.
 */
#include <string.h>

#include "controller/controller_int.h"

static bool
broker_data_changed(const struct controller *c)
{
	for (size_t i = 0; i < c->context.broker_count; i++)
		if (c->context.brokers[i]->watcher.changed)
			return (true);
	return (false);
}

/* Joins all queues that can bring an event, before looking. */
static void
controller_listen(struct task *t)
{
	struct controller *c = controller_of(t);

	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	waitq_join(&c->seat.watcher.woken, &c->seat.link, t);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		waitq_join(&c->watches[i].watcher.woken, &c->watches[i].link,
		    t);
	for (size_t i = 0; i < c->context.broker_count; i++) {
		struct live_broker *broker = c->context.brokers[i];

		waitq_join(&broker->watcher.woken, &broker->watched, t);
	}
	waitq_join(&c->topic_watches.woken, &c->topics_link, t);
}

/* Whoever waits for a leader may be allowed one now. */
static enum verdict
configs_run(struct task *t)
{
	struct controller *c = controller_of(t);
	struct list *link;

	while ((link = list_pop_head(&c->reconfigured)) != NULL) {
		struct topic *topic = list_entry(link, struct topic,
		    reconfigured);

		for (size_t i = 0; i < topic->partition_count; i++)
			if (topic->partitions[i]->state == PARTITION_OFFLINE)
				rewrite_add(c, topic->partitions[i]);
	}
	return (rewrite_run(t, controller_idle));
}

static enum verdict
dirs_run(struct task *t)
{
	struct controller *c = controller_of(t);

	c->dirs_changed = false;
	brokers_collect(c, false);
	return (rewrite_run(t, controller_idle));
}

/* It is the time; else the task is woken then. */
static bool
is_time(struct task *t, int64_t at_ns)
{
	if (at_ns == 0)
		return (false);
	if (loop_now_ns(task_loop(t)) >= at_ns)
		return (true);
	task_set_deadline(t, at_ns);
	return (false);
}

static int64_t
earlier(int64_t a_ns, int64_t b_ns)
{
	return (a_ns == 0 || (b_ns != 0 && b_ns < a_ns) ? b_ns : a_ns);
}

static enum verdict
timed_run(struct task *t)
{
	struct controller *c = controller_of(t);

	return (task_next(t, c->moves_ns == 0 || (balance_time(c) != 0 &&
	    balance_time(c) < c->moves_ns) ? balance_run : reassign_run));
}

/* --- what waits ----------------------------------------------------------- */

static bool
watch_changed(const struct controller *c, enum controller_watch watch)
{
	return (c->watches[watch].watcher.changed);
}

static bool
seat_waits(const struct controller *c)
{
	return (c->seat.watcher.changed);
}

static bool
brokers_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_BROKERS) || broker_data_changed(c));
}

static bool
evidence_waits(const struct controller *c)
{
	return (c->evidence_changed);
}

static bool
proof_waits(const struct controller *c)
{
	return (c->proof_changed);
}

static bool
dirs_wait(const struct controller *c)
{
	return (c->dirs_changed);
}

static bool
configs_wait(const struct controller *c)
{
	return (!list_empty(&c->reconfigured));
}

static bool
log_dirs_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_LOG_DIRS));
}

static bool
topics_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_TOPICS));
}

static bool
deletions_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_DELETIONS));
}

static bool
deletions_go_on(const struct controller *c)
{
	return (c->deletions_moved);
}

static bool
moves_go_on(const struct controller *c)
{
	return (c->moves_changed);
}

static bool
isr_changes_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_ISR_CHANGES));
}

static bool
preferred_wait(const struct controller *c)
{
	return (watch_changed(c, WATCH_PREFERRED) || c->preferred_waits);
}

static bool
reassignments_wait(const struct controller *c)
{
	return ((watch_changed(c, WATCH_REASSIGNMENTS) || c->node_due) &&
	    !c->node_moving);
}

/* In the order in which they are looked at.  Of calls each is an event, and
 * tells itself when it was taken. */
static const struct event_row {
	bool (*waits)(const struct controller *controller);
	task_step *run;
	bool calls;
	bool elects; /* Kafka's BrokerChange: timed as leader elections */
} rows[] = {
	{ seat_waits, seat_read, false },
	{ brokers_wait, brokers_read, false, true },
	{ evidence_waits, suspects_run, false, true },
	{ proof_waits, suspects_proved_run, false, true },
	{ returns_due, returns_run, false },
	{ dirs_wait, dirs_run, false },
	{ configs_wait, configs_run, false },
	{ log_dirs_wait, notices_log_dirs, false },
	{ topics_wait, topics_read, false },
	{ topics_data_changed, topics_data_read, false },
	{ deletions_wait, deletions_read, false },
	{ deletions_go_on, deletions_run, false },
	{ departure_waits, departure_run, true },
	{ moves_go_on, reassign_run, false },
	{ isr_changes_wait, notices_isr, false },
	{ poll_waits, polls_run, true },
	{ preferred_wait, polls_node, false },
	{ reassignments_wait, moves_node, false },
	{ move_waits, moves_run, true },
	{ alter_waits, alterings_run, true },
};

_Static_assert(nelems(rows) <= EVENTS_MAX, "event_since_ns[] has no room");

/* --- how many, and how long ----------------------------------------------- */

/* A row that is there already goes on waiting. */
static size_t
events_waiting(struct controller *c)
{
	const int64_t now_ns = loop_now_ns(c->setup.loop);
	size_t count = c->calls_waiting;

	for (size_t i = 0; i < nelems(rows); i++) {
		if (rows[i].calls)
			continue;
		if (!rows[i].waits(c)) {
			c->event_since_ns[i] = 0;
			continue;
		}
		if (c->event_since_ns[i] == 0)
			c->event_since_ns[i] = now_ns;
		count++;
	}
	return (count);
}

void
events_note(struct controller *c)
{
	if (c->setup.metrics != NULL && c->state == CONTROLLER_ACTIVE)
		metrics_set(c->setup.metrics, METRIC_CONTROLLER_QUEUE_SIZE,
		    (int64_t)events_waiting(c));
}

void
events_forget(struct controller *c)
{
	memset(c->event_since_ns, 0, sizeof(c->event_since_ns));
	c->electing_since_ns = 0;
	metrics_set(c->setup.metrics, METRIC_CONTROLLER_QUEUE_SIZE, 0);
}

static void
event_waited(struct controller *c, int64_t since_ns)
{
	metrics_observe(c->setup.metrics, METRIC_CONTROLLER_QUEUE_TIME,
	    loop_now_ns(c->setup.loop) - since_ns);
}

/* It is at hand, and waits no more. */
static void
event_taken(struct controller *c, size_t row)
{
	size_t count;

	if (c->setup.metrics == NULL)
		return;
	c->electing_since_ns = rows[row].elects ?
	    loop_now_ns(c->setup.loop) : 0;
	c->wrote_states = false;
	count = events_waiting(c);
	if (!rows[row].calls) {
		event_waited(c, c->event_since_ns[row]);
		c->event_since_ns[row] = 0;
		count--;
	}
	metrics_set(c->setup.metrics, METRIC_CONTROLLER_QUEUE_SIZE,
	    (int64_t)count);
}

void
controller_call_asked(struct controller *c, struct controller_call_int *hook)
{
	CHECK(!hook->waits);
	hook->waits = true;
	hook->asked_ns = loop_now_ns(c->setup.loop);
	c->calls_waiting++;
	controller_look(c);
}

void
controller_call_taken(struct controller *c, struct controller_call_int *hook)
{
	if (!hook->waits)
		return;
	event_waited(c, hook->asked_ns);
	controller_call_gone(c, hook);
}

void
controller_call_gone(struct controller *c, struct controller_call_int *hook)
{
	if (!hook->waits)
		return;
	hook->waits = false;
	CHECK(c->calls_waiting > 0);
	c->calls_waiting--;
	events_note(c);
}

/* The event at hand is over. */
static void
event_ended(struct controller *c)
{
	if (c->electing_since_ns != 0 && c->wrote_states)
		metrics_observe(c->setup.metrics, METRIC_LEADER_ELECTION_TIME,
		    loop_now_ns(c->setup.loop) - c->electing_since_ns);
	c->electing_since_ns = 0;
}

/* --- the next event ------------------------------------------------------- */

enum verdict
controller_idle(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_listen(t);
	event_ended(c);
	if (controller_session_lost(c))
		return (controller_resign(t, "the session is lost"));
	for (size_t i = 0; i < nelems(rows); i++)
		if (rows[i].waits(c)) {
			event_taken(c, i);
			return (task_next(t, rows[i].run));
		}
	if (is_time(t, earlier(c->moves_ns, balance_time(c))))
		return (timed_run(t));
	events_note(c);
	controller_measure(c);
	return (STEP_WAIT);
}
