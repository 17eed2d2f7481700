/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: what one broker is told, in order, one request at a time.
 *
 *	queue: [body] [body] [body] --> [under way] --> answered: the next one
 *	                                    |  ^
 *	                            failed  v  | 100 ms
 *	                                  [pause]   the same again, until the
 *	                                            broker is removed
 *
 * The queue is bounded: a broker that answers nothing for so long that it fills
 * loses what waits, and is told the whole present state instead, once it is
 * back (older orders are void then: each names an older epoch).
 */
#include "controller/controller_int.h"

#include <stdio.h>

#include "net/peer.h"

#define CHANNEL_PAUSE_NS ((int64_t)100 * 1000000)
#define CHANNEL_BACKOFF_MS 100
#define CHANNEL_QUEUE_MAX 1000
#define CHANNEL_RESPONSE_BYTES_MAX ((size_t)100 << 20)
#define LEADER_AND_ISR_VERSION 7
#define UPDATE_METADATA_VERSION 8
#define STOP_REPLICA_VERSION 4

static task_step channel_next, channel_ask, channel_answered, channel_pause;

struct queued {
	struct list link;
	struct order_body *body;
};

struct channel {
	struct list link; /* controller's channels */
	int32_t broker_id;
	struct controller *controller;
	struct live_broker *broker;
	struct task_ref task;
	struct list queue;
	atomic_size_t length; /* the loop's, read by any thread */
	bool resync;      /* the queue overflowed */
	bool readdress;
	bool complained;  /* of the failure at hand */
	struct peer *peer;
	struct order_body *current;
	struct peer_call call;
	bool calling;
	uint64_t suspicion; /* the controller's, when it was called */
	struct arena arena; /* the answer's */
	union {
		struct leader_and_isr_response leader_and_isr;
		struct update_metadata_response update_metadata;
		struct stop_replica_response stop_replica;
	} response;
};

/* --- life ----------------------------------------------------------------- */

static const struct task_class channel_class = {
	.name = "controller channel",
	.state_size = sizeof(struct channel *),
};

static struct channel *
channel_of(struct task *task)
{
	return (*(struct channel **)task_state(task));
}

static void
channel_setup(struct task *task, void *arg)
{
	*(struct channel **)task_state(task) = arg;
}

struct channel *
channel_new(struct controller *controller, struct live_broker *broker)
{
	struct channel *channel = mem_zalloc(sizeof(*channel));

	channel->controller = controller;
	channel->broker = broker;
	channel->broker_id = broker->id;
	list_init(&channel->queue);
	arena_init(&channel->arena, 0);
	channel->task = task_ref(task_start(controller->setup.loop,
	    &channel_class, channel_next, channel_setup, channel));
	lock_take(&controller->channels_lock);
	list_push_tail(&controller->channels, &channel->link);
	controller->channel_count++;
	lock_release(&controller->channels_lock);
	return (channel);
}

static void
channel_drop_queue(struct channel *channel)
{
	struct list *link;

	while ((link = list_pop_head(&channel->queue)) != NULL) {
		struct queued *queued = list_entry(link, struct queued, link);

		order_body_unref(queued->body);
		mem_free(queued);
	}
	channel->length = 0;
}

static void
channel_end_call(struct channel *channel)
{
	if (channel->calling)
		peer_call_fini(&channel->call);
	channel->calling = false;
	arena_reset(&channel->arena);
}

void
channel_free(struct channel **place)
{
	struct channel *channel = *place;
	struct task *task;

	if (channel == NULL)
		return;
	lock_take(&channel->controller->channels_lock);
	list_remove(&channel->link);
	channel->controller->channel_count--;
	lock_release(&channel->controller->channels_lock);
	task = task_of_ref(channel->task);
	if (task != NULL)
		task_cancel(task);
	channel_end_call(channel);
	peer_free(&channel->peer);
	order_body_unref(channel->current);
	channel_drop_queue(channel);
	arena_fini(&channel->arena);
	mem_free(channel);
	*place = NULL;
}

/* Nobody is called under the lock: the loop may wait for it. */
void
controller_each_channel(struct controller *c,
    void (*each)(void *arg, int32_t broker_id, size_t waiting), void *arg)
{
	struct waiting {
		int32_t broker_id;
		size_t count;
	} *all;
	size_t count = 0;

	CHECK_MAGIC(c, CONTROLLER_MAGIC);
	lock_take(&c->channels_lock);
	all = mem_alloc((c->channel_count + 1) * sizeof(*all));
	LIST_EACH(element, &c->channels) {
		struct channel *channel = list_entry(element, struct channel,
		    link);

		all[count++] = (struct waiting){ channel->broker_id,
			atomic_load(&channel->length) };
	}
	lock_release(&c->channels_lock);
	for (size_t i = 0; i < count; i++)
		each(arg, all[i].broker_id, all[i].count);
	mem_free(all);
}

static void
channel_wake(struct channel *channel)
{
	struct task *task = task_of_ref(channel->task);

	if (task != NULL)
		task_wake(task);
}

void
channel_send(struct channel *channel, struct order_body *body)
{
	struct queued *queued;

	if (channel->resync)
		return;
	if (channel->length >= CHANNEL_QUEUE_MAX) {
		diag_warn(channel->controller->setup.diag, controller,
		    "broker=%d takes no orders, %d wait: it will be told "
		    "everything when it is back", (int)channel->broker->id,
		    CHANNEL_QUEUE_MAX);
		channel_drop_queue(channel);
		channel->resync = true;
		return;
	}
	queued = mem_zalloc(sizeof(*queued));
	queued->body = body;
	body->references++;
	list_push_tail(&channel->queue, &queued->link);
	channel->length++;
	channel_wake(channel);
}

bool
channel_quiet(const struct channel *channel)
{
	return (channel->current == NULL && channel->length == 0 &&
	    !channel->resync);
}

void
channel_readdress(struct channel *channel)
{
	channel->readdress = true;
	channel_wake(channel);
}

/* --- sending -------------------------------------------------------------- */

static bool
channel_connect(struct channel *channel)
{
	const struct controller_setup *setup = &channel->controller->setup;
	const struct znode_endpoint *endpoint;
	char client_id[16];

	if (channel->readdress)
		peer_free(&channel->peer);
	channel->readdress = false;
	if (channel->peer != NULL)
		return (true);
	endpoint = live_broker_endpoint(channel->broker, setup->listener);
	if (endpoint == NULL || endpoint->host == NULL)
		return (false);
	snprintf(client_id, sizeof(client_id), "%d", (int)setup->broker_id);
	channel->peer = peer_new(&(struct peer_setup){
	    .loop = setup->loop,
	    .sockets = setup->sockets,
	    .resolver = setup->resolver,
	    .diag = setup->diag,
	    .tls = setup->tls,
	    .host = endpoint->host,
	    .port = endpoint->port,
	    .client_id = client_id,
	    .connect_timeout_ms =
		setup->broker_options->net.connection_setup_timeout_ms,
	    .connect_timeout_max_ms =
		setup->broker_options->net.connection_setup_timeout_max_ms,
	    .request_timeout_ms = setup->options->socket_timeout_ms,
	    .backoff_ms = CHANNEL_BACKOFF_MS,
	    .response_bytes_max = CHANNEL_RESPONSE_BYTES_MAX,
	    .in_flight_max = 1,
	});
	return (true);
}

static enum verdict
channel_next(struct task *t)
{
	struct channel *channel = channel_of(t);
	struct queued *queued;
	struct list *link;

	order_body_unref(channel->current);
	channel->current = NULL;
	if (channel->length == 0 && channel->resync) {
		channel->resync = false;
		orders_resync(channel->controller, channel->broker);
	}
	link = list_pop_head(&channel->queue);
	if (link == NULL) {
		waitq_wake(&channel->controller->quiet);
		return (STEP_WAIT);
	}
	queued = list_entry(link, struct queued, link);
	channel->length--;
	channel->current = queued->body;
	mem_free(queued);
	return (task_next(t, channel_ask));
}

static enum verdict
channel_retry(struct task *t, const char *why)
{
	struct channel *channel = channel_of(t);

	if (!channel->complained)
		diag_warn(channel->controller->setup.diag, controller,
		    "broker=%d was not told api=%s: %s; again until it answers "
		    "or is gone", (int)channel->broker->id,
		    api_by_key(channel->current->api_key)->name, why);
	channel->complained = true;
	channel_end_call(channel);
	task_sleep(t, CHANNEL_PAUSE_NS);
	return (task_next(t, channel_pause));
}

/* The receiver's broker epoch is that of now: the same request, should the
 * broker have registered anew, is refused by nobody who knows a later one. */
static enum wire_status
channel_encode(struct channel *channel, struct task *t)
{
	struct order_body *body = channel->current;
	const void *request = &body->request;
	int version = LEADER_AND_ISR_VERSION;

	if (body->api_key == API_STOP_REPLICA) {
		version = STOP_REPLICA_VERSION;
		body->request.stop_replica.broker_epoch =
		    channel->broker->epoch;
		wire_init(&message_stop_replica_response, &channel->response);
	} else if (body->api_key == API_LEADER_AND_ISR) {
		body->request.leader_and_isr.broker_epoch =
		    channel->broker->epoch;
		wire_init(&message_leader_and_isr_response, &channel->response);
	} else {
		version = UPDATE_METADATA_VERSION;
		body->request.update_metadata.broker_epoch =
		    channel->broker->epoch;
		wire_init(&message_update_metadata_response,
		    &channel->response);
	}
	channel->call = (struct peer_call){
		.task = task_ref(t),
		.arena = &channel->arena,
		.response = &channel->response,
	};
	return (peer_send(channel->peer, &channel->call, body->api_key, version,
	    request));
}

static enum verdict
channel_ask(struct task *t)
{
	struct channel *channel = channel_of(t);

	if (!channel_connect(channel))
		return (channel_retry(t, "it has no such listener"));
	if (channel_encode(channel, t) != WIRE_OK)
		return (channel_retry(t, "it cannot be encoded"));
	channel->calling = true;
	channel->suspicion = channel->controller->suspicion;
	return (task_next(t, channel_answered));
}

static enum verdict
channel_pause(struct task *t)
{
	return (task_slept(t) || channel_of(t)->readdress ?
	    task_next(t, channel_ask) : STEP_WAIT);
}

/* --- answers -------------------------------------------------------------- */

/* Of the answer's `at`: most often what was asked there. */
static struct topic *
topic_of_id(struct channel *channel, struct uuid id, int32_t at)
{
	const struct leader_and_isr_request *r =
	    &channel->current->request.leader_and_isr;

	if (at < r->topic_states_count &&
	    uuid_equal(r->topic_states[at].topic_id, id))
		return (context_topic(&channel->controller->context,
		    r->topic_states[at].topic_name));
	for (int32_t i = 0; i < r->topic_states_count; i++)
		if (uuid_equal(r->topic_states[i].topic_id, id))
			return (context_topic(&channel->controller->context,
			    r->topic_states[i].topic_name));
	return (NULL);
}

static void
channel_take_partition(struct channel *channel, struct topic *topic,
    const struct leader_and_isr_response_partition_error *answer)
{
	struct partition *p = topic_find_partition(topic,
	    answer->partition_index);
	struct assigned *replica = p == NULL ? NULL :
	    partition_replica(p, channel->broker->id);

	if (replica == NULL)
		return;
	if (answer->error_code == ERR_NONE)
		replica->unconfirmed_epoch = 0;
	/* It had no log to lead from, and follows now, or will: what waits for
	 * room is carried out without another word. */
	if (replica->dir_offline && (answer->error_code == ERR_NONE ||
		answer->error_code == ERR_REPLICA_NOT_AVAILABLE)) {
		replica->dir_offline = false;
		channel->controller->dirs_changed = true;
		controller_look(channel->controller);
	}
	if (answer->error_code != ERR_KAFKA_STORAGE_ERROR ||
	    replica->dir_offline)
		return;
	diag_warn(channel->controller->setup.diag, controller,
	    "partition=%s/%d has its replica on broker=%d in a failed log dir: "
	    "counts as offline", topic->name, (int)p->number,
	    (int)channel->broker->id);
	replica->dir_offline = true;
	channel->controller->dirs_changed = true;
	controller_look(channel->controller);
}

static void
channel_take_leader_and_isr(struct channel *channel)
{
	const struct leader_and_isr_response *r =
	    &channel->response.leader_and_isr;

	for (int32_t t = 0; t < r->topics_count; t++) {
		struct topic *topic = topic_of_id(channel,
		    r->topics[t].topic_id, t);

		for (int32_t i = 0; topic != NULL &&
		    i < r->topics[t].partition_errors_count; i++)
			channel_take_partition(channel, topic,
			    &r->topics[t].partition_errors[i]);
	}
}

/* What was to be deleted and is not named in the answer, or in none, failed;
 * but who was to forget a replica has heard of it, unless it refused the
 * whole. */
static void
channel_take_silence(struct channel *channel, int16_t error)
{
	const struct stop_replica_request *r =
	    &channel->current->request.stop_replica;
	struct controller *c = channel->controller;

	for (int32_t t = 0; t < r->topic_states_count; t++) {
		const struct stop_replica_request_topic_state *asked =
		    &r->topic_states[t];
		struct topic *topic = context_topic(&c->context,
		    asked->topic_name);

		for (int32_t i = 0; topic != NULL &&
		    i < asked->partition_states_count; i++) {
			struct partition *p = topic_find_partition(topic,
			    asked->partition_states[i].partition_index);

			if (p == NULL ||
			    !asked->partition_states[i].delete_partition)
				continue;
			deletion_answered(c, p, channel->broker->id,
			    error == ERR_NONE ? ERR_UNKNOWN_SERVER_ERROR :
			    error);
			if (error == ERR_NONE)
				dropped_answered(c, p, channel->broker,
				    asked->partition_states[i].leader_epoch);
			else
				dropped_refused(c, p, channel->broker);
		}
	}
}

static int16_t
channel_take_stop_replica(struct channel *channel)
{
	const struct stop_replica_response *r =
	    &channel->response.stop_replica;
	struct controller *c = channel->controller;

	for (int32_t i = 0; r->error_code == ERR_NONE &&
	    i < r->partition_errors_count; i++) {
		struct topic *topic = context_topic(&c->context,
		    r->partition_errors[i].topic_name);
		struct partition *p = topic == NULL ? NULL :
		    topic_find_partition(topic,
			r->partition_errors[i].partition_index);

		if (p != NULL)
			deletion_answered(c, p, channel->broker->id,
			    r->partition_errors[i].error_code);
	}
	channel_take_silence(channel, r->error_code);
	return (r->error_code);
}

static enum verdict
channel_answered(struct task *t)
{
	struct channel *channel = channel_of(t);
	int16_t error;

	if (!channel->call.done)
		return (STEP_WAIT);
	if (channel->call.error != PEER_OK)
		return (channel_retry(t, peer_error_name(channel->call.error)));
	channel->complained = false;
	channel->broker->heard = true;
	if (channel->current->api_key == API_LEADER_AND_ISR) {
		error = channel->response.leader_and_isr.error_code;
		if (error == ERR_NONE)
			channel_take_leader_and_isr(channel);
	} else if (channel->current->api_key == API_STOP_REPLICA) {
		error = channel_take_stop_replica(channel);
	} else {
		error = channel->response.update_metadata.error_code;
	}
	if (error == ERR_NONE)
		suspects_proved(channel->controller, channel->broker,
		    channel->suspicion);
	else
		diag_warn(channel->controller->setup.diag, controller,
		    "broker=%d refused api=%s error=%s: goes on with the next",
		    (int)channel->broker->id,
		    api_by_key(channel->current->api_key)->name,
		    error_name(error));
	channel_end_call(channel);
	return (task_next(t, channel_next));
}
