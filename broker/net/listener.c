/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners: each is watched by one loop, which accepts and deals connections
 * to the hub that has the fewest.
 *
 *	[accepting] --full, too fast, no descriptors--> [paused] --timer--+
 *	     ^                                                            |
 *	     +------------------------------------------------------------+
 *
 * While it pauses, the kernel keeps who wants to connect in its queue, as Kafka
 * does at max.connections; one address too often is closed at once.
 */
#include <errno.h>
#include <strings.h>

#include "net/net_int.h"

static void listener_ready(struct socket *socket, unsigned ready);
static void listener_resume(struct timer *timer);

static void
listener_watch(struct listener *l)
{
	if (!l->socket->sockets->ops->want(l->socket, WATCH_READ))
		timer_arm_in(&l->pause, (int64_t)ACCEPT_PAUSE_MS * 1000000);
}

void
listener_start(struct listener *l)
{
	list_push_tail(&l->hub->listeners, &l->link);
	timer_init(&l->pause, l->hub->loop, listener_resume);
	l->socket->owner = l;
	l->socket->on_ready = listener_ready;
	l->socket->sockets->ops->adopt(l->socket, l->hub->loop);
	listener_watch(l);
}

void
listener_stop(struct listener *l)
{
	if (l->socket == NULL)
		return;
	list_remove(&l->link);
	if (l->socket->loop != NULL)
		timer_disarm(&l->pause);
	l->socket->sockets->ops->close(l->socket, false);
	l->socket = NULL;
}

void
listener_open_run(struct post *post)
{
	struct listener *l = container_of(post, struct listener, opening);

	if (!l->hub->stopping)
		listener_start(l);
}

/* Who was dealt before this arrives before it is told to leave. */
void
listener_close_run(struct post *post)
{
	struct listener *l = container_of(post, struct listener, closing);
	struct net *net = l->net;

	listener_stop(l);
	diag_info(net->setup.diag, net, "listener=%s is closed, with its "
	    "connections=%zu", l->config->name,
	    atomic_load(&l->connection_count));
	for (size_t i = 0; i < net->hub_count; i++)
		if (!atomic_exchange(&net->hubs[i].leave_posted, true))
			loop_post(net->hubs[i].loop, &net->hubs[i].leave_post);
}

static void
listener_pause(struct listener *l)
{
	(void)l->socket->sockets->ops->want(l->socket, 0);
	timer_arm_in(&l->pause, (int64_t)ACCEPT_PAUSE_MS * 1000000);
}

static void
listener_resume(struct timer *timer)
{
	listener_watch(container_of(timer, struct listener, pause));
}

bool
listener_protected(const struct listener *l, const struct net_options *options)
{
	const struct config_listener *brokers = options->inter_broker_listener;

	return (atomic_load(&l->net->open_count) > 1 && brokers != NULL &&
	    strcasecmp(l->config->name, brokers->name) == 0);
}

static bool
listener_full(struct listener *l)
{
	const struct net_options *options = l->hub->options;
	const bool full = (!listener_protected(l, options) &&
		atomic_load(&l->net->connection_count) >=
		    (size_t)options->max_connections) ||
	    atomic_load(&l->connection_count) >=
		(size_t)l->connections_max;

	if (full && !l->trouble_said)
		diag_warn(l->net->setup.diag, net,
		    "listener=%s full connections=%zu, others wait",
		    l->config->name, atomic_load(&l->connection_count));
	l->trouble_said = full;
	return (full);
}

static bool
listener_too_fast(struct listener *l)
{
	const struct net_options *options = l->hub->options;
	const int64_t now_ns = loop_now_ns(l->hub->loop);

	if (!listener_protected(l, options) &&
	    !net_rate_take(l->net, &l->net->rate,
		options->max_connection_creation_rate, now_ns))
		return (true);
	return (!net_rate_take(l->net, &l->rate,
	    l->creation_rate_max, now_ns));
}

void
listener_take_options(struct listener *l, const struct net_options *next)
{
	const struct config_listener *config = listener_list_find(
	    &next->listener_list, l->config->name);

	if (config == NULL)
		return;
	l->connections_max = config->connections_max;
	l->creation_rate_max = config->connection_creation_rate_max;
}

static struct hub *
hub_for_next(struct net *net)
{
	const size_t first = atomic_fetch_add(&net->deal, 1);
	struct hub *best = NULL;

	for (size_t i = 0; i < net->hub_count; i++) {
		struct hub *hub = &net->hubs[(first + i) % net->hub_count];

		if (best == NULL || atomic_load(&hub->dealt_count) <
			atomic_load(&best->dealt_count))
			best = hub;
	}
	return (best);
}

static void
listener_admit(struct listener *l, struct socket *socket,
    const struct socket_address *peer)
{
	struct net *net = l->net;
	struct hub *hub;

	metrics_add(net->setup.metrics, METRIC_CONNECTIONS_ACCEPTED, 1);
	if (!net_address_take(net, peer->host)) {
		metrics_add_at(net->setup.metrics, METRIC_CONNECTIONS_CLOSED,
		    METRICS_CLOSE_OVER_LIMIT, 1);
		diag_info(net->setup.diag, net, "connection=%s:%d refused: "
		    "too many from this address", peer->host, (int)peer->port);
		socket->sockets->ops->close(socket, false);
		return;
	}
	hub = hub_for_next(net);
	atomic_fetch_add(&hub->connection_count, 1);
	atomic_fetch_add(&hub->dealt_count, 1);
	atomic_fetch_add(&l->connection_count, 1);
	atomic_fetch_add(&net->connection_count, 1);
	connection_deal(l, hub, socket, peer);
}

/* True: go on. */
static bool
accept_failed(struct listener *l, int error)
{
	if (error == EAGAIN || error == EWOULDBLOCK)
		return (false);
	/* Network errors of the one that was waiting: accept(2). */
	if (error != EMFILE && error != ENFILE && error != ENOBUFS &&
	    error != ENOMEM)
		return (true);
	if (!l->trouble_said)
		diag_error(l->net->setup.diag, net,
		    "listener=%s cannot accept: %s, trying again every %d ms",
		    l->config->name, strerror(error), ACCEPT_PAUSE_MS);
	l->trouble_said = true;
	metrics_add(l->net->setup.metrics, METRIC_CONNECTIONS_PAUSED, 1);
	listener_pause(l);
	return (false);
}

static void
listener_ready(struct socket *socket, unsigned ready)
{
	struct listener *l = socket->owner;
	struct socket_address peer;
	struct socket *accepted;

	(void)ready;
	for (int i = 0; i < ACCEPT_TURN_MAX; i++) {
		if (listener_full(l) || listener_too_fast(l)) {
			listener_pause(l);
			return;
		}
		accepted = socket->sockets->ops->accept(socket, &peer);
		if (accepted != NULL)
			listener_admit(l, accepted, &peer);
		else if (!accept_failed(l, errno))
			return;
	}
}
