/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to requests.
 *
 * All connections of a hub read into its one buffer, and what is whole there
 * is begun at once; only what is left moves to memory of the connection's own:
 *
 *	read buffer  [size frame][size frame][size fra          ]
 *	              begun       begun       incoming: its own frame
 *
 *	stash        [size fra..][...]  bytes whose turn has not come: the next
 *	                                request may not begin yet, or less than
 *	                                a size and an API key are there
 *
 * The rest of a long frame is read straight into it.  A frame's memory is
 * reserved when it begins, and its pages are touched as bytes come, so what a
 * peer announces costs nothing; what has come is counted in net->frame_bytes.
 */
#include <errno.h>

#include "base/bytes.h"
#include "net/net_int.h"

static size_t input_parse(struct connection *c, const uint8_t *data,
    size_t length);

/* --- frames --------------------------------------------------------------- */

/* NULL: no memory for it. */
static struct exchange *
incoming_new(struct connection *c, size_t size)
{
	struct exchange *x = hub_exchange_take(c->hub);

	if (!frame_begin(x, size)) {
		hub_exchange_give(c->hub, x);
		return (NULL);
	}
	x->request.connection = c;
	c->incoming = x;
	c->incoming_have = 0;
	c->window_ns = loop_now_ns(c->hub->loop);
	c->window_bytes = 0;
	return (x);
}

static void
incoming_drop(struct connection *c)
{
	struct exchange *x = c->incoming;

	if (x == NULL)
		return;
	c->incoming = NULL;
	list_remove(&c->receiving);
	net_discharge(x);
	net_privilege_end(c);
	frame_end(x);
	hub_exchange_give(c->hub, x);
}

static void
input_stall(struct connection *c, bool stalled)
{
	hub_count(&c->hub->stalled_count, stalled, c->stalled);
	c->stalled = stalled;
}

void
input_fini(struct connection *c)
{
	input_stall(c, false);
	incoming_drop(c);
	mem_free(c->stash);
	c->stash = NULL;
	c->stash_at = c->stash_length = 0;
	if (list_linked(&c->starved)) {
		list_remove(&c->starved);
		atomic_fetch_sub(&c->hub->starved_count, 1);
	}
}

static void
no_memory(struct connection *c, size_t size)
{
	diag_warn(c->hub->net->setup.diag, net,
	    "connection=%s no memory for a request bytes=%zu, closing",
	    c->peer, size);
	connection_end(c, "memory");
}

/* --- a whole frame -------------------------------------------------------- */

static const char *
head_refusal(const struct net_handler *handler, struct request *r)
{
	struct slice rest = slice_of(r->frame, r->frame_size);

	switch (wire_read_request_head(&rest, &r->head)) {
	case WIRE_OK:
		break;
	case WIRE_UNSUPPORTED:
		return (api_by_key(r->head.api_key) == NULL
		    ? "api_unknown" : "version_unsupported");
	default:
		return ("header_malformed");
	}
	r->api = api_by_key(r->head.api_key);
	if (r->api == NULL)
		return ("api_unknown");
	/* A client may ask with any version of this one: KIP-511. */
	if (r->head.api_key != API_API_VERSIONS && !handler->serves(
	    handler->arg, r->head.api_key, r->head.api_version))
		return ("api_unserved");
	r->body = rest;
	return (NULL);
}

static void
incoming_begin(struct connection *c)
{
	struct exchange *x = c->incoming;
	struct request *r = &x->request;
	const struct net_handler *handler = &c->hub->net->setup.handler;
	const char *why = head_refusal(handler, r);

	if (why != NULL) {
		diag_debug(c->hub->net->setup.diag, net,
		    "connection=%s request refused reason=%s api=%d version=%d",
		    c->peer, why, (int)r->head.api_key,
		    (int)r->head.api_version);
		connection_end(c, why);
		return;
	}
	c->incoming = NULL;
	c->bulk = r->frame_size > READ_BUFFER_BYTES;
	list_remove(&c->receiving);
	net_privilege_end(c);
	r->loop = c->hub->loop;
	r->received_ns = loop_now_ns(c->hub->loop);
	r->begun_ns = loop_clock_ns(c->hub->loop);
	x->pipelined = (r->api->flags & API_PIPELINED) != 0;
	list_push_tail(&c->requests, &r->link);
	c->request_count++;
	c->request_bytes += r->frame_size;
	atomic_fetch_add_explicit(&c->hub->net->under_way, 1,
	    memory_order_relaxed);
	handler->on_request(handler->arg, r);
	/* If it is there still. */
	if (c->requests.prev == &r->link && !r->answered)
		r->waits_ns = loop_clock_ns(c->hub->loop);
}

/* --- the order of requests ------------------------------------------------ */

/* Pipelined requests may begin while others of their kind wait, up to the
 * bounds; any other begins alone. */
static bool
may_begin(const struct connection *c, int api_key)
{
	const struct net_options *options = c->hub->options;
	const struct exchange *last;
	const struct api *api;

	if (c->unsent_bytes >= UNSENT_BYTES_MAX || timer_armed(&c->mute) ||
	    c->request_count + c->output_count >=
		(size_t)options->connection_requests_max)
		return (false);
	if (list_empty(&c->requests))
		return (true);
	api = api_by_key(api_key);
	if (api == NULL || (api->flags & API_PIPELINED) == 0)
		return (false);
	last = list_entry(c->requests.prev, const struct exchange,
	    request.link);
	return (last->pipelined && c->request_bytes <
	    (size_t)options->connection_buffer_bytes);
}

/* Takes the size off and begins a frame. False: not now, or never. */
static bool
parse_boundary(struct connection *c, const uint8_t *data, size_t length)
{
	const struct net *net = c->hub->net;
	int32_t size;

	if (length < FRAME_SIZE_BYTES)
		return (false);
	size = bytes_get_i32(data);
	if (size < FRAME_SMALLEST_BYTES) {
		connection_end(c, size < 0 ? "size_negative" : "size_short");
		return (false);
	}
	if (size > net->setup.options->request_max_bytes && !c->secure &&
	    secure_looks_like_tls(data)) {
		hub_complain(c->hub, c, "closing", "a client speaks TLS to a "
		    "listener that does not");
		connection_end(c, "size_oversized");
		return (false);
	}
	if (size > net->setup.options->request_max_bytes) {
		diag_warn(net->setup.diag, net,
		    "connection=%s request too large bytes=%d "
		    "socket.request.max.bytes=%d, closing", c->peer, (int)size,
		    (int)net->setup.options->request_max_bytes);
		connection_end(c, "size_oversized");
		return (false);
	}
	if (length < FRAME_PEEK_BYTES)
		return (false);
	if (!may_begin(c, bytes_get_i16(data + FRAME_SIZE_BYTES))) {
		input_stall(c, true);
		return (false);
	}
	if (incoming_new(c, (size_t)size) == NULL) {
		no_memory(c, (size_t)size);
		return (false);
	}
	return (true);
}

/* Puts bytes into the frame; begins the request if that was the last. */
static size_t
parse_frame(struct connection *c, const uint8_t *data, size_t length)
{
	struct exchange *x = c->incoming;
	const size_t lacks = x->request.frame_size - c->incoming_have;
	const size_t size = lacks < length ? lacks : length;

	if (!frame_reserve(c->incoming, c->incoming_have + size)) {
		no_memory(c, x->request.frame_size);
		return (0);
	}
	memcpy(x->request.frame + c->incoming_have, data, size);
	c->incoming_have += size;
	net_charge(x, size);
	if (c->incoming_have == x->request.frame_size)
		incoming_begin(c);
	else if (!list_linked(&c->receiving))
		list_push_tail(&c->hub->receiving, &c->receiving);
	return (size);
}

/* How many bytes found their place. */
static size_t
input_parse(struct connection *c, const uint8_t *data, size_t length)
{
	size_t at = 0;
	int begun = 0;

	input_stall(c, false);
	while (at < length && c->input_end_why == NULL && c->end_why == NULL) {
		if (c->incoming == NULL) {
			if (begun++ == TURN_REQUESTS_MAX) {
				hub_turn_soon(c);
				break;
			}
			if (!parse_boundary(c, data + at, length - at))
				break;
			at += FRAME_SIZE_BYTES;
		}
		at += parse_frame(c, data + at, length - at);
	}
	return (at);
}

/* --- bytes that wait ------------------------------------------------------ */

static void
stash_keep(struct connection *c, const uint8_t *data, size_t length)
{
	if (length == 0 || c->input_end_why != NULL || c->end_why != NULL)
		return;
	c->stash = mem_alloc(length);
	memcpy(c->stash, data, length);
	c->stash_at = 0;
	c->stash_length = length;
}

void
input_resume(struct connection *c)
{
	uint8_t *stash = c->stash;
	size_t length = c->stash_length;
	size_t at = c->stash_at;

	input_stall(c, false);
	if (stash == NULL || c->input_end_why != NULL || c->end_why != NULL)
		return;
	/* A wrong frame ends the input and frees what is the connection's. */
	c->stash = NULL;
	at += input_parse(c, stash + at, length - at);
	if (at == length || c->input_end_why != NULL || c->end_why != NULL) {
		c->stash_at = c->stash_length = 0;
		mem_free(stash);
		return;
	}
	c->stash = stash;
	c->stash_at = at;
}

bool
input_may_resume(const struct connection *c)
{
	return (c->stalled &&
	    c->stash_length - c->stash_at >= FRAME_PEEK_BYTES &&
	    may_begin(c, bytes_get_i16(c->stash + c->stash_at +
		FRAME_SIZE_BYTES)));
}

/* --- reading -------------------------------------------------------------- */

bool
input_wanted(const struct connection *c)
{
	return (c->input_end_why == NULL && c->end_why == NULL && !c->stalled &&
	    !list_linked(&c->starved) && !timer_armed(&c->mute));
}

/* True: `n` bytes are there. Anything else has been dealt with. */
static bool
read_succeeded(struct connection *c, ssize_t n)
{
	if (n > 0) {
		connection_touch(c);
		metrics_add(c->hub->net->setup.metrics,
		    METRIC_NETWORK_BYTES_IN, n);
		return (true);
	}
	if (n == 0)
		connection_end(c, "peer");
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		connection_close(c, "network");
	return (false);
}

static void
read_into_frame(struct connection *c, size_t lacks)
{
	struct exchange *x = c->incoming;
	const size_t size = lacks < FRAME_READ_BYTES ? lacks : FRAME_READ_BYTES;
	ssize_t n;

	if (!frame_reserve(c->incoming, c->incoming_have + size)) {
		no_memory(c, x->request.frame_size);
		return;
	}
	n = c->socket->sockets->ops->read(c->socket,
	    x->request.frame + c->incoming_have, size);
	if (!read_succeeded(c, n))
		return;
	c->incoming_have += (size_t)n;
	net_charge(x, (size_t)n);
	if (c->incoming_have == x->request.frame_size)
		incoming_begin(c);
}

/* How much to read when no long frame is under way. */
static size_t
read_size(const struct connection *c)
{
	const struct net *net = c->hub->net;
	const struct exchange *last = list_empty(&c->requests) ? NULL
	    : list_entry(c->requests.prev, const struct exchange, request.link);

	if (c->incoming != NULL)
		return (READ_BUFFER_BYTES);
	if ((last != NULL && !last->pipelined) ||
	    atomic_load_explicit(&net->frame_bytes, memory_order_relaxed) >=
		(size_t)c->hub->options->buffer_bytes)
		return (READ_AHEAD_BYTES);
	/* Its next frame will be as long: the head now, the rest straight. */
	if (c->bulk)
		return (READ_AHEAD_BYTES);
	return (READ_BUFFER_BYTES - FRAME_PEEK_BYTES);
}

static void
read_into_buffer(struct connection *c)
{
	uint8_t *buffer = c->hub->read_buffer;
	const size_t kept = c->stash_length - c->stash_at;
	size_t length;
	size_t taken;
	ssize_t n;

	n = c->socket->sockets->ops->read(c->socket, buffer + kept,
	    read_size(c));
	if (!read_succeeded(c, n))
		return;
	if (kept != 0) {
		memcpy(buffer, c->stash + c->stash_at, kept);
		mem_free(c->stash);
		c->stash = NULL;
		c->stash_at = c->stash_length = 0;
	}
	length = kept + (size_t)n;
	taken = input_parse(c, buffer, length);
	stash_keep(c, buffer + taken, length - taken);
}

void
input_read(struct connection *c)
{
	size_t lacks = 0;

	if (c->stash_length - c->stash_at >= FRAME_PEEK_BYTES) {
		input_resume(c);
		return;
	}
	if (c->incoming != NULL) {
		lacks = c->incoming->request.frame_size - c->incoming_have;
		if (c->incoming->request.frame_size > FRAME_INLINE_BYTES &&
		    net_allow_frame(c) == NET_WAIT)
			return;
	}
	if (lacks > READ_STRAIGHT_BYTES)
		read_into_frame(c, lacks);
	else
		read_into_buffer(c);
}
