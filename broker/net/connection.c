/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of clients.
 *
 *	dealt --> arrives on its hub's loop --> turns ... -> closed -> forgotten
 *	 (post)          ^                       |              |           ^
 *	                 +-- moves (rehome.c) ---+              |           |
 *	                            ghost: its requests are with handlers --+
 *
 * A turn sends what can be sent, begins what may begin, and says what the
 * socket should be watched for.  Answers ask for a turn; all answers of one
 * round of the loop leave in one write.  Reading stays wanted while a request
 * is with its handler: an event then tells of the peer's end, or makes us stop
 * wanting it, so that the common client costs no change of the watch at all.
 */
#include <stdio.h>

#include "net/net_int.h"

static void connection_arrive(struct post *post);
static void connection_unmuted(struct timer *timer);

static char *
peer_text(const struct socket_address *peer)
{
	char text[sizeof(peer->host) + 16];
	const bool six = strchr(peer->host, ':') != NULL;

	(void)snprintf(text, sizeof(text), "%s%s%s:%d", six ? "[" : "",
	    peer->host, six ? "]" : "", (int)peer->port);
	return (mem_strdup(text));
}

void
connection_deal(struct listener *listener, struct hub *hub,
    struct socket *socket, const struct socket_address *peer)
{
	struct connection *c = mem_zalloc(sizeof(*c));

	c->magic = CONNECTION_MAGIC;
	c->id = atomic_fetch_add(&hub->net->connection_ids, 1) + 1;
	c->hub = c->dealt = hub;
	c->listener = listener;
	c->socket = socket;
	c->peer_host = mem_strdup(peer->host);
	c->peer = peer_text(peer);
	list_init(&c->link);
	list_init(&c->receiving);
	list_init(&c->starved);
	list_init(&c->turn);
	list_init(&c->shake);
	list_init(&c->requests);
	list_init(&c->output);
	c->arrival.run = connection_arrive;
	loop_post(hub->loop, &c->arrival);
}

void
connection_enter(struct connection *c)
{
	struct hub *hub = c->hub;

	timer_init(&c->mute, hub->loop, connection_unmuted);
	c->socket->sockets->ops->adopt(c->socket, hub->loop);
	list_push_tail(&hub->connections, &c->link);
	c->active_ns = loop_now_ns(hub->loop);
	if (!timer_armed(&hub->sweep))
		timer_arm_in(&hub->sweep, (int64_t)SWEEP_MS * 1000000);
}

static void
connection_arrive(struct post *post)
{
	struct connection *c = container_of(post, struct connection, arrival);
	struct hub *hub = c->hub;

	c->socket->owner = c;
	c->socket->on_ready = connection_ready;
	connection_enter(c);
	diag_debug(hub->net->setup.diag, net, "connection=%s accepted id=%llu",
	    c->peer, (unsigned long long)c->id);
	if (hub->stopping)
		connection_close(c, "shutdown");
	else if (c->listener->tls != NULL)
		secure_begin(c);
	else
		connection_turn(c);
}

/* --- turns ---------------------------------------------------------------- */

void
connection_touch(struct connection *c)
{
	c->active_ns = loop_now_ns(c->hub->loop);
	list_remove(&c->link);
	list_push_tail(&c->hub->connections, &c->link);
}

static void
connection_want(struct connection *c, unsigned wanted)
{
	c->wanted = wanted;
	if (!c->socket->sockets->ops->want(c->socket, wanted))
		connection_close(c, "network");
}

static void
connection_watch(struct connection *c)
{
	/* Reading that is not wanted stays watched until an event comes. */
	unsigned wanted = c->wanted & WATCH_READ;

	if (input_wanted(c))
		wanted |= WATCH_READ;
	if (!list_empty(&c->output) && c->cold == NULL)
		wanted |= WATCH_WRITE;
	if (wanted == c->wanted)
		return;
	connection_want(c, wanted);
}

/* What follows a turn's work: the end, or what to watch for. */
static void
connection_settle(struct connection *c)
{
	if (c->closed || c->shaking)
		return;
	if (list_empty(&c->output) && !secure_unsent(c)) {
		if (c->end_why != NULL)
			connection_close(c, c->end_why);
		else if (c->input_end_why != NULL && list_empty(&c->requests))
			connection_close(c, c->input_end_why);
	}
	if (c->closed)
		return;
	connection_watch(c);
	/* What held the next request back may have gone with the last write,
	 * and then nothing else would come back to it. */
	if (input_may_resume(c))
		hub_turn_soon(c);
}

void
connection_turn(struct connection *c)
{
	CHECK(!c->busy);
	c->busy = true;
	if (!list_empty(&c->output) && (c->wanted & WATCH_WRITE) == 0)
		output_write(c);
	if (!c->closed)
		input_resume(c);
	if (!c->closed && !list_empty(&c->output) &&
	    (c->wanted & WATCH_WRITE) == 0)
		output_write(c);
	connection_settle(c);
	c->busy = false;
	if (!rehome_begin(c))
		connection_forget(c);
}

void
connection_ready(struct socket *socket, unsigned ready)
{
	struct connection *c = socket->owner;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	CHECK(!c->busy);
	c->busy = true;
	if (c->shaking) {
		secure_step(c);
		ready = 0;
	}
	if ((ready & WATCH_WRITE) != 0 && !list_empty(&c->output)) {
		output_write(c);
		if (!c->closed)
			input_resume(c);
	}
	if (!c->closed && (ready & WATCH_READ) != 0) {
		if (input_wanted(c)) {
			input_read(c);
		} else {
			connection_want(c, c->wanted &
			    ~(unsigned)WATCH_READ);
		}
	}
	/* What this event brought is answered in this event. */
	if (!c->closed && !list_empty(&c->output) &&
	    (c->wanted & WATCH_WRITE) == 0)
		output_write(c);
	connection_settle(c);
	c->busy = false;
	if (rehome_wanted(c))
		hub_turn_soon(c);
	connection_forget(c);
}

/* --- the end -------------------------------------------------------------- */

static void
requests_orphan(struct connection *c)
{
	LIST_EACH(element, &c->requests) {
		struct exchange *x = list_entry(element, struct exchange,
		    request.link);

		if (x->request.answered) {
			list_remove(&x->request.link);
			c->request_count--;
			hub_exchange_give(c->hub, x);
			continue;
		}
		x->request.dead = true;
		if (x->request.abandoned != NULL)
			x->request.abandoned(&x->request);
	}
}

static void
connection_count_out(struct connection *c, const char *why)
{
	struct net *net = c->hub->net;

	metrics_add_at(net->setup.metrics, METRIC_CONNECTIONS_CLOSED,
	    net_close_reason(why), 1);
	diag_debug(net->setup.diag, net,
	    "connection=%s closed reason=%s software=%s version=%s", c->peer,
	    why, c->software_name != NULL ? c->software_name : "?",
	    c->software_version != NULL ? c->software_version : "?");
	net_address_drop(net, c->peer_host);
	atomic_fetch_sub(&c->dealt->dealt_count, 1);
	atomic_fetch_sub(&c->hub->connection_count, 1);
	atomic_fetch_sub(&c->listener->connection_count, 1);
	if (!c->claimed)
		atomic_fetch_sub(&net->connection_count, 1);
}

void
connection_close(struct connection *c, const char *why)
{
	struct hub *hub = c->hub;
	const bool was_busy = c->busy;

	if (c->closed)
		return;
	c->closed = true;
	c->busy = true;
	timer_disarm(&c->mute);
	secure_fini(c);
	if (c->socket != NULL)
		c->socket->sockets->ops->close(c->socket, false);
	c->socket = NULL;
	input_fini(c);
	output_fini(c);
	list_remove(&c->turn);
	list_remove(&c->link);
	list_push_tail(&hub->ghosts, &c->link);
	requests_orphan(c);
	connection_count_out(c, why);
	c->busy = was_busy;
	connection_forget(c);
	hub_check_stopped(hub);
}

void
connection_end(struct connection *c, const char *why)
{
	if (c->closed)
		return;
	input_fini(c);
	c->input_end_why = why;
	/* Its earlier requests were right, and are answered first. */
	if (list_empty(&c->requests) && list_empty(&c->output) &&
	    (c->shaking || !secure_unsent(c)))
		connection_close(c, why);
}

void
connection_forget(struct connection *c)
{
	if (!c->closed || c->busy || !list_empty(&c->requests) ||
	    c->cold != NULL)
		return;
	list_remove(&c->link);
	mem_free(c->peer);
	mem_free(c->peer_host);
	mem_free(c->software_name);
	mem_free(c->software_version);
	c->magic = 0;
	mem_free(c);
}

/* --- what handlers may ask ------------------------------------------------ */

const struct config_listener *
connection_listener(const struct connection *c)
{
	CHECK_MAGIC(c, CONNECTION_MAGIC);
	return (c->listener->config);
}

uint64_t
connection_id(const struct connection *c)
{
	CHECK_MAGIC(c, CONNECTION_MAGIC);
	return (c->id);
}

const char *
connection_peer(const struct connection *c)
{
	CHECK_MAGIC(c, CONNECTION_MAGIC);
	return (c->peer);
}

const char *
connection_peer_host(const struct connection *c)
{
	CHECK_MAGIC(c, CONNECTION_MAGIC);
	return (c->peer_host);
}

/* What a peer says of itself, made fit for a log line. */
static void
software_set(char **text, struct slice value)
{
	const size_t length = value.length < SOFTWARE_TEXT_MAX
	    ? value.length : SOFTWARE_TEXT_MAX;

	mem_free(*text);
	*text = NULL;
	if (value.data == NULL)
		return;
	*text = mem_strndup((const char *)value.data, length);
	for (char *at = *text; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			*at = '?';
}

void
connection_set_software(struct connection *c, struct slice name,
    struct slice version)
{
	CHECK_MAGIC(c, CONNECTION_MAGIC);
	software_set(&c->software_name, name);
	software_set(&c->software_version, version);
}

void
connection_mute_for(struct connection *c, int64_t ms)
{
	int64_t due_ns;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	if (c->closed || ms <= 0)
		return;
	due_ns = clock_after_ms(loop_now_ns(c->hub->loop), ms);
	if (!timer_armed(&c->mute) || c->mute.due_ns < due_ns)
		timer_arm_at(&c->mute, due_ns);
}

static void
connection_unmuted(struct timer *timer)
{
	connection_turn(container_of(timer, struct connection, mute));
}
