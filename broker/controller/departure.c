/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ControlledShutdown: a broker asks to be relieved before it stops.
 *
 *	[asked] --> [taken up, between two events] --> [written] --> [told]
 *	          it is no candidate any more        |            |
 *	                                             v            v
 *	                         what it led has other leaders   answered:
 *	                         if it can, what it followed     what it
 *	                         goes on without it              leads still
 *
 * The answer waits, a moment at most, until the other brokers took their
 * orders: should this broker itself be the controller, it stops right after,
 * and nobody else would tell the new leaders for as long as it takes to elect
 * the next controller. Kafka's does not wait.
 * Source: KafkaController.doControlledShutdown of 3.9.
 */
#include "controller/controller_int.h"

#define TELL_NS ((int64_t)1000 * 1000000)

static task_step depart_begin, depart_wait, depart_tell, departure_written;

enum departure_state { DEPARTURE_ASKED, DEPARTURE_TAKEN, DEPARTURE_WRITTEN };

struct departure {
	struct list link; /* controller's departures */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	enum departure_state state;
	int32_t broker_id;
	int64_t broker_epoch; /* -1: the version has none */
	struct waitq_link quiet;
};

/* --- the call ------------------------------------------------------------- */

static void
departure_answer(struct departure *d, enum error error)
{
	struct controlled_shutdown_response *response;

	if (d->hook.call == NULL)
		return;
	response = d->hook.call->response;
	response->error_code = (int16_t)error;
	controller_call_end(&d->hook);
}

static void
departure_fini(struct task *task)
{
	struct departure *d = task_state(task);

	list_remove(&d->link);
	controller_call_gone(d->controller, &d->hook);
	waitq_leave(&d->controller->quiet, &d->quiet);
	departure_answer(d, ERR_STALE_CONTROLLER_EPOCH);
}

static const struct task_class departure_class = {
	.name = "controlled shutdown",
	.state_size = sizeof(struct departure),
	.fini = departure_fini,
};

struct departure_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
departure_setup(struct task *task, void *arg)
{
	struct departure *d = task_state(task);
	const struct departure_start *start = arg;
	const struct controlled_shutdown_request *request =
	    start->call->request;

	d->self = task_ref(task);
	d->controller = start->controller;
	d->broker_id = request->broker_id;
	d->broker_epoch = request->broker_epoch;
	d->hook.call = start->call;
	start->call->state = &d->hook;
	list_push_tail(&start->controller->departures, &d->link);
}

void
controller_controlled_shutdown(struct controller *controller,
    struct controller_call *call)
{
	struct departure_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &departure_class, depart_begin,
	    departure_setup, &start);
}

void
departures_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->departures)
		task_cancel(task_of_ref(list_entry(element, struct departure,
		    link)->self));
}

static enum verdict
departure_over(struct task *t, enum error error)
{
	departure_answer(task_state(t), error);
	return (STEP_DONE);
}

static enum verdict
depart_begin(struct task *t)
{
	struct departure *d = task_state(t);
	const struct live_broker *broker;

	if (!controller_active(d->controller))
		return (departure_over(t, ERR_STALE_CONTROLLER_EPOCH));
	broker = context_broker(&d->controller->context, d->broker_id);
	if (broker == NULL)
		return (departure_over(t, d->broker_epoch == -1 ?
		    ERR_BROKER_NOT_AVAILABLE : ERR_UNKNOWN_SERVER_ERROR));
	if (d->broker_epoch != -1 && d->broker_epoch < broker->epoch)
		return (departure_over(t, ERR_STALE_BROKER_EPOCH));
	if (d->broker_epoch == -1)
		d->broker_epoch = broker->epoch;
	controller_call_asked(d->controller, &d->hook);
	return (task_next(t, depart_wait));
}

static enum verdict
depart_wait(struct task *t)
{
	struct departure *d = task_state(t);

	if (d->state != DEPARTURE_WRITTEN)
		return (STEP_WAIT);
	task_sleep(t, TELL_NS);
	return (task_next(t, depart_tell));
}

/* --- the answer ----------------------------------------------------------- */

static bool
others_are_told(const struct controller *c, int32_t broker_id)
{
	for (size_t i = 0; i < c->context.broker_count; i++)
		if (c->context.brokers[i]->id != broker_id &&
		    !c->context.brokers[i]->suspect &&
		    !channel_quiet(c->context.brokers[i]->channel))
			return (false);
	return (true);
}

/* Leads it still, though there are other replicas. */
static bool
remains(const struct partition *p, int32_t broker_id)
{
	return (p->written && p->replica_count > 1 &&
	    p->now.leader == broker_id && !topic_doomed(p->topic));
}

/* Fills `out`, unless it is NULL; their number. */
static int32_t
each_remaining(const struct controller *c, int32_t broker_id,
    struct controlled_shutdown_response_remaining_partition *out,
    struct arena *arena)
{
	int32_t count = 0;

	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);

		for (size_t i = 0; i < topic->partition_count; i++) {
			const struct partition *p = topic->partitions[i];

			if (!remains(p, broker_id))
				continue;
			if (out != NULL) {
				out[count].topic_name = slice_of_text(
				    arena_strdup(arena, topic->name));
				out[count].partition_index = p->number;
			}
			count++;
		}
	}
	return (count);
}

static enum verdict
depart_tell(struct task *t)
{
	struct departure *d = task_state(t);
	struct controller *c = d->controller;
	struct controlled_shutdown_response *response;
	struct arena *arena;
	int32_t count;

	if (d->hook.call == NULL)
		return (STEP_DONE);
	waitq_join(&c->quiet, &d->quiet, t);
	if (!others_are_told(c, d->broker_id) && !task_slept(t))
		return (STEP_WAIT);
	arena = d->hook.call->arena;
	response = d->hook.call->response;
	count = each_remaining(c, d->broker_id, NULL, NULL);
	response->remaining_partitions = wire_array(arena,
	    controlled_shutdown_response_remaining_partition_schema(),
	    (size_t)count);
	if (response->remaining_partitions == NULL)
		return (departure_over(t, ERR_UNKNOWN_SERVER_ERROR));
	response->remaining_partitions_count = each_remaining(c, d->broker_id,
	    response->remaining_partitions, arena);
	return (departure_over(t, ERR_NONE));
}

/* --- the event ------------------------------------------------------------ */

bool
departure_waits(const struct controller *c)
{
	LIST_EACH(element, &c->departures)
		if (list_entry(element, struct departure, link)->state ==
		    DEPARTURE_ASKED)
			return (true);
	return (false);
}

static void
relieve_partition(struct controller *c, struct partition *p,
    const struct live_broker *broker)
{
	struct assigned *replica = partition_replica(p, broker->id);

	if (replica == NULL || !p->written || p->replica_count <= 1 ||
	    topic_doomed(p->topic))
		return;
	if (p->now.leader != broker->id) {
		replica->stopped = true;
		orders_stop(c, p, broker, false);
		replica_enter(replica, REPLICA_OFFLINE);
		orders_show(c, p);
		if (!partition_in_isr(p, broker->id))
			return;
	}
	rewrite_add(c, p);
}

static void
relieve(struct controller *c, struct live_broker *broker)
{
	diag_info(c->setup.diag, controller, "broker=%d stops: it is relieved "
	    "of what it leads and follows", (int)broker->id);
	broker->shutting_down = true;
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			relieve_partition(c, topic->partitions[i], broker);
	}
}

/* All that were asked for by now, in one row of writes. */
enum verdict
departure_run(struct task *t)
{
	struct controller *c = controller_of(t);

	LIST_EACH(element, &c->departures) {
		struct departure *d = list_entry(element, struct departure,
		    link);
		struct live_broker *broker = context_broker(&c->context,
		    d->broker_id);

		if (d->state != DEPARTURE_ASKED)
			continue;
		d->state = DEPARTURE_TAKEN;
		controller_call_taken(c, &d->hook);
		/* Gone meanwhile, it leads nothing; and who is back stays. */
		if (broker != NULL && broker->epoch <= d->broker_epoch)
			relieve(c, broker);
	}
	return (rewrite_run(t, departure_written));
}

static enum verdict
departure_written(struct task *t)
{
	struct controller *c = controller_of(t);

	LIST_EACH(element, &c->departures) {
		struct departure *d = list_entry(element, struct departure,
		    link);

		if (d->state != DEPARTURE_TAKEN)
			continue;
		d->state = DEPARTURE_WRITTEN;
		task_wake_ref(d->self);
	}
	return (task_next(t, controller_idle));
}
