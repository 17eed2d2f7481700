/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes of accepted connections.
 *
 *	arrived --> [shaking] --done--> turns, as any connection
 *	                |
 *	                +-- refused, too slow, pushed out by newer ones --> end
 *
 * Nothing of a peer is read as a request before its handshake is over.  What a
 * handshake takes in time and a hub bears in number is bounded.
 */
#include "net/net_int.h"

/* Of one hub; beyond, the oldest one goes. */
#define SHAKING_MAX 1024
/* Refusals are told at most so often, with the number of those left out. */
#define COMPLAINT_PAUSE_NS ((int64_t)10 * 1000000000)

void
hub_complain(struct hub *hub, const struct connection *c, const char *what,
    const char *why)
{
	const int64_t now_ns = loop_now_ns(hub->loop);
	struct complaints *made = &hub->complaints;

	if (made->told_ns != 0 && now_ns - made->told_ns <
		COMPLAINT_PAUSE_NS) {
		made->left_out++;
		return;
	}
	diag_warn(hub->net->setup.diag, net,
	    "connection=%s listener=%s %s: %s (others not told: %llu)",
	    c->peer, c->listener->config->name, what, why,
	    (unsigned long long)made->left_out);
	made->told_ns = now_ns | 1;
	made->left_out = 0;
}

static void
shaking_end(struct connection *c)
{
	if (!c->shaking)
		return;
	c->shaking = false;
	list_remove(&c->shake);
	c->hub->shaking_count--;
}

static struct tls_scratch *
hub_scratch(struct hub *hub)
{
	if (hub->scratch == NULL)
		hub->scratch = tls_scratch_new();
	return (hub->scratch);
}

void
secure_moved(struct connection *c)
{
	if (c->secure)
		tls_lend(c->socket, hub_scratch(c->hub));
}

void
secure_begin(struct connection *c)
{
	struct hub *hub = c->hub;
	struct connection *oldest;

	c->socket = tls_socket_new(c->listener->tls, c->socket, NULL,
	    hub_scratch(hub));
	if (c->socket == NULL) {
		connection_close(c, "memory");
		return;
	}
	c->socket->owner = c;
	c->socket->on_ready = connection_ready;
	c->secure = c->shaking = true;
	c->shake_deadline_ns = clock_after_ms(loop_now_ns(hub->loop),
	    hub->net->setup.options->connection_setup_timeout_max_ms);
	list_push_tail(&hub->shaking, &c->shake);
	if (++hub->shaking_count <= SHAKING_MAX)
		return;
	oldest = list_entry(hub->shaking.next, struct connection, shake);
	hub_complain(hub, oldest, "handshake given up", "too many at one time");
	secure_fail(oldest, "slow");
}

void
secure_fail(struct connection *c, const char *why)
{
	metrics_add(c->hub->net->setup.metrics, METRIC_AUTHENTICATION_FAILURES,
	    1);
	connection_close(c, why);
}

void
secure_step(struct connection *c)
{
	struct net *net = c->hub->net;

	switch (tls_shake(c->socket)) {
	case TLS_AGAIN:
		return;
	case TLS_DONE:
		shaking_end(c);
		connection_touch(c);
		metrics_add(net->setup.metrics, METRIC_AUTHENTICATIONS, 1);
		if (tls_resumed(c->socket))
			metrics_add(net->setup.metrics, METRIC_TLS_RESUMED, 1);
		return;
	case TLS_FAILED:
		hub_complain(c->hub, c, "TLS handshake failed",
		    tls_why(c->socket));
		secure_fail(c, "authentication");
		return;
	}
}

void
secure_fini(struct connection *c)
{
	shaking_end(c);
}

bool
secure_unsent(const struct connection *c)
{
	return (c->secure && tls_unsent(c->socket));
}

void
secure_sweep(struct hub *hub, int64_t now_ns)
{
	while (!list_empty(&hub->shaking)) {
		struct connection *c = list_entry(hub->shaking.next,
		    struct connection, shake);

		if (now_ns < c->shake_deadline_ns)
			return;
		hub_complain(hub, c, "TLS handshake failed",
		    "not finished within "
		    "socket.connection.setup.timeout.max.ms");
		secure_fail(c, "slow");
	}
}

/* The size of a frame that begins as TLS does: a handshake record, 3.x. */
bool
secure_looks_like_tls(const uint8_t *data)
{
	return (data[0] == 0x16 && data[1] == 3 && data[2] <= 4);
}
