/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controlled shutdown, before the doors close: the controller, which may be
 * this broker itself, is asked to give what is led here to others.
 *
 *	[attempt] --> [answered] --> nothing remains: done
 *	    ^              |
 *	    |              v  it failed, or partitions remain
 *	    +--------- [pause]   at most controlled.shutdown.max.retries times
 *
 * It ends at once where waiting helps nobody: no other broker lives, no other
 * replica of what remains lives, or ZooKeeper cannot be reached, without which
 * no controller moves anything.
 * Source: KafkaServer.controlledShutdown of 3.9.
 */
#include "daemon/broker_int.h"

#include <stdio.h>

#include "net/peer.h"

#define MS ((int64_t)1000000)
#define CONTROLLED_SHUTDOWN_VERSION 3
#define RESPONSE_BYTES_MAX ((size_t)16 << 20)

struct depart {
	struct broker *broker;
	struct task_ref stop;
	struct peer *peer;
	struct peer_call call;
	struct controlled_shutdown_request request;
	struct controlled_shutdown_response response;
	struct waitq_link session;
	int32_t controller_id;
	int attempts;
};

static task_step depart_attempt, depart_answered, depart_pause;

static void
depart_hang_up(struct depart *d)
{
	if (d->peer == NULL)
		return;
	peer_call_fini(&d->call);
	peer_free(&d->peer);
}

static void
depart_fini(struct task *task)
{
	struct depart *d = task_state(task);

	waitq_leave(zk_state_changed(d->broker->zk), &d->session);
	depart_hang_up(d);
	d->broker->departed = true;
	task_wake_ref(d->stop);
}

static const struct task_class depart_class = {
	.name = "controlled shutdown of this broker",
	.state_size = sizeof(struct depart),
	.fini = depart_fini,
};

struct depart_start {
	struct broker *broker;
	struct task_ref stop;
};

static void
depart_setup(struct task *task, void *arg)
{
	struct depart *d = task_state(task);
	const struct depart_start *start = arg;

	d->broker = start->broker;
	d->stop = start->stop;
}

void
broker_depart_task(struct broker *b, struct task *stop)
{
	struct depart_start start = { b, task_ref(stop) };

	b->departed = !b->options->daemon.controlled_shutdown_enable ||
	    !b->doors_open || b->registration == NULL ||
	    registration_state(b->registration) != REGISTRATION_DONE;
	if (b->departed)
		return;
	replicas_leave(b->replicas);
	task_start(b->control, &depart_class, depart_attempt, depart_setup,
	    &start);
}

static enum verdict
depart_give_up(struct task *t, const char *why)
{
	struct depart *d = task_state(t);

	diag_info(d->broker->setup.seams.diag, daemon, "broker=%d stops "
	    "without handing over: %s", (int)d->broker->broker_id, why);
	return (STEP_DONE);
}

/* Whether the task must end now; joins what may bring that about. */
static bool
depart_is_pointless(struct task *t, const char **why)
{
	struct depart *d = task_state(t);
	struct broker *b = d->broker;
	const struct cluster_image *image = cluster_image(b->cluster);
	size_t others = image->broker_count -
	    (image_broker(image, b->broker_id) != NULL);

	waitq_join(zk_state_changed(b->zk), &d->session, t);
	if (zk_state(b->zk) != ZK_CONNECTED)
		*why = "ZooKeeper cannot be reached";
	else if (others == 0)
		*why = "no other broker lives";
	else
		return (false);
	return (true);
}

static enum verdict
depart_again(struct task *t, const char *why)
{
	struct depart *d = task_state(t);
	struct broker *b = d->broker;

	depart_hang_up(d);
	if (d->attempts >= b->options->daemon.controlled_shutdown_max_retries)
		return (depart_give_up(t, why));
	diag_info(b->setup.seams.diag, daemon, "controller=%d did not relieve "
	    "broker=%d: %s; asked again in %lld ms", (int)d->controller_id,
	    (int)b->broker_id, why, (long long)
	    b->options->daemon.controlled_shutdown_retry_backoff_ms);
	task_sleep(t, b->options->daemon.controlled_shutdown_retry_backoff_ms *
	    MS);
	return (task_next(t, depart_pause));
}

static enum verdict
depart_pause(struct task *t)
{
	const char *why;

	if (depart_is_pointless(t, &why))
		return (depart_give_up(t, why));
	return (task_slept(t) ? task_next(t, depart_attempt) : STEP_WAIT);
}

/* --- asking --------------------------------------------------------------- */

static bool
depart_connect(struct depart *d)
{
	struct broker *b = d->broker;
	const struct cluster_broker *broker;
	const struct cluster_endpoint *endpoint;
	char client_id[16];

	d->controller_id = controller_current_id(b->controller);
	broker = image_broker(cluster_image(b->cluster), d->controller_id);
	endpoint = broker == NULL ? NULL : broker_endpoint(broker,
	    broker_control_listener(b));
	if (endpoint == NULL)
		return (false);
	snprintf(client_id, sizeof(client_id), "%d", (int)b->broker_id);
	d->peer = peer_new(&(struct peer_setup){
	    .loop = b->control,
	    .sockets = b->setup.seams.sockets,
	    .resolver = b->resolver,
	    .diag = b->setup.seams.diag,
	    .tls = b->tls.peers,
	    .host = endpoint->host,
	    .port = endpoint->port,
	    .client_id = client_id,
	    .connect_timeout_ms =
		b->options->net.connection_setup_timeout_ms,
	    .connect_timeout_max_ms =
		b->options->net.connection_setup_timeout_max_ms,
	    .request_timeout_ms = b->options->controller.socket_timeout_ms,
	    .backoff_ms = 100,
	    .response_bytes_max = RESPONSE_BYTES_MAX,
	    .in_flight_max = 1,
	});
	return (true);
}

static enum verdict
depart_attempt(struct task *t)
{
	struct depart *d = task_state(t);
	struct broker *b = d->broker;
	const char *why;

	if (depart_is_pointless(t, &why))
		return (depart_give_up(t, why));
	if (d->attempts++ >= b->options->daemon.controlled_shutdown_max_retries)
		return (depart_give_up(t, "controlled.shutdown.max.retries"));
	broker_goes_on(b, "handing over, attempt", (uint64_t)d->attempts,
	    (uint64_t)b->options->daemon.controlled_shutdown_max_retries,
	    b->options->controller.socket_timeout_ms +
	    b->options->daemon.controlled_shutdown_retry_backoff_ms);
	if (!depart_connect(d))
		return (depart_again(t, "it is not known where it is"));
	wire_init(&message_controlled_shutdown_request, &d->request);
	wire_init(&message_controlled_shutdown_response, &d->response);
	d->request.broker_id = b->broker_id;
	d->request.broker_epoch = registration_broker_epoch(b->registration);
	d->call = (struct peer_call){
		.task = task_ref(t),
		.arena = task_arena(t),
		.response = &d->response,
	};
	CHECK(peer_send(d->peer, &d->call, API_CONTROLLED_SHUTDOWN,
		  CONTROLLED_SHUTDOWN_VERSION, &d->request) == WIRE_OK);
	return (task_next(t, depart_answered));
}

/* --- the answer ----------------------------------------------------------- */

static bool
depart_could_move(const struct broker *b, const struct cluster_image *image,
    const struct controlled_shutdown_response_remaining_partition *remaining)
{
	const struct cluster_topic *topic = image_topic(image,
	    remaining->topic_name);
	const struct cluster_partition *p = topic == NULL ? NULL :
	    topic_partition(topic, remaining->partition_index);

	for (int32_t i = 0; p != NULL && i < p->replica_count; i++)
		if (p->replicas[i] != b->broker_id &&
		    image_broker(image, p->replicas[i]) != NULL)
			return (true);
	return (false);
}

static enum verdict
depart_remaining(struct task *t)
{
	struct depart *d = task_state(t);
	const struct controlled_shutdown_response *r = &d->response;
	const struct cluster_image *image = cluster_image(d->broker->cluster);
	int32_t movable = 0;

	if (r->remaining_partitions_count == 0) {
		diag_info(d->broker->setup.seams.diag, daemon, "broker=%d was "
		    "relieved by controller=%d", (int)d->broker->broker_id,
		    (int)d->controller_id);
		return (STEP_DONE);
	}
	for (int32_t i = 0; i < r->remaining_partitions_count; i++)
		movable += depart_could_move(d->broker, image,
		    &r->remaining_partitions[i]);
	return (movable == 0 ?
		depart_give_up(t, "no other replica lives of what it leads") :
		depart_again(t, "it leads partitions still that others have"));
}

static enum verdict
depart_answered(struct task *t)
{
	struct depart *d = task_state(t);
	const char *why;

	if (!d->call.done)
		return (depart_is_pointless(t, &why) ?
		    depart_give_up(t, why) : STEP_WAIT);
	if (d->call.error != PEER_OK)
		return (depart_again(t, peer_error_name(d->call.error)));
	if (d->response.error_code != ERR_NONE)
		return (depart_again(t, error_name(d->response.error_code)));
	return (depart_remaining(t));
}
