/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbound client.
 *
 * Life of a call: peer_send() encodes it into a ticket that waits; when the
 * link is up and fewer than in_flight_max are under way, its bytes go out and
 * the ticket waits for its answer; the answers come in the tickets' order.  A
 * ticket whose caller gave up stays in its place and swallows the answer.
 *
 *	peer_send -> waiting -> [socket] -> under way -> answer -> done
 *	                |                       |
 *	                +---- timeout, loss ----+----------------> done, error
 *
 * Life of a link: see peer.h.  One timer serves the state's own limit (the
 * connection attempt, the back-off) and the oldest call's deadline.
 */
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "base/mem.h"
#include "net/peer.h"
#include "net/tls_int.h"

#define PEER_MAGIC 0x70656572
#define ADDRESSES_MAX 8
#define READ_BYTES ((size_t)64 << 10)
#define SIZE_BYTES ((size_t)4)
/* Tickets whose bytes go out in one call. */
#define WRITE_PARTS_MAX 16

enum peer_state {
	PEER_IDLE,
	PEER_RESOLVING,
	PEER_CONNECTING,
	PEER_SHAKING,
	PEER_READY
};

struct ticket {
	struct list link;       /* waiting or under_way */
	struct peer_call *call; /* NULL: nobody wants the answer */
	const struct api *api;
	int version;
	int32_t correlation_id;
	int64_t deadline_ns;
	struct buffer bytes; /* the size and the frame */
	size_t sent;
};

/* A name being turned into addresses; it outlives a peer that is freed. */
struct resolution {
	struct work work;
	struct peer *peer; /* NULL: freed meanwhile */
	struct sockets *sockets;
	char *host;
	int32_t port;
	int error;
	struct socket_address found[ADDRESSES_MAX];
	size_t count;
};

struct peer {
	uint32_t magic;
	struct peer_setup setup; /* texts are our own */
	char *host;
	char *client_id;
	enum peer_state state;
	enum peer_error last_error;
	struct waitq changed;
	struct timer timer;
	int64_t limit_ns;   /* of the attempt; in IDLE: end of the back-off */
	int64_t connect_timeout_ms; /* of the next attempt */
	bool connect_asked; /* without waiting for a call */
	struct resolution *resolution;
	struct socket_address addresses[ADDRESSES_MAX];
	size_t address_count;
	size_t address_next;
	bool all_refused; /* so far in this attempt */
	struct socket *socket;
	char why[TLS_TEXT_SIZE]; /* the last handshake failed */
	unsigned wanted;
	int32_t next_correlation_id;
	struct list waiting;   /* the first may be sent in part */
	struct list under_way;
	int under_way_count;
	uint8_t size_bytes[SIZE_BYTES];
	size_t size_have;
	struct buffer frame; /* an answer in the middle */
	size_t frame_size;
};

static void peer_advance(struct peer *peer);
static void peer_lose(struct peer *peer, enum peer_error error);
static void peer_timer(struct timer *timer);
static void peer_ready(struct socket *socket, unsigned ready);

const char *
peer_error_name(enum peer_error error)
{
	static const char *const names[] = {
		[PEER_OK] = "none",
		[PEER_REFUSED] = "refused",
		[PEER_RESET] = "reset",
		[PEER_LOST] = "lost",
		[PEER_TIMED_OUT] = "timed out",
		[PEER_UNRESOLVED] = "unresolved",
		[PEER_UNTRUSTED] = "TLS handshake failed",
		[PEER_MALFORMED] = "malformed answer",
		[PEER_CLOSED] = "closed",
	};

	return ((size_t)error < nelems(names) ? names[error] : "unknown");
}

/* --- life ----------------------------------------------------------------- */

struct peer *
peer_new(const struct peer_setup *setup)
{
	struct peer *peer = mem_zalloc(sizeof(*peer));

	CHECK(setup->in_flight_max > 0);
	peer->magic = PEER_MAGIC;
	peer->setup = *setup;
	peer->host = mem_strdup(setup->host);
	peer->client_id = mem_strdup(setup->client_id);
	peer->setup.host = peer->host;
	peer->setup.client_id = peer->client_id;
	peer->connect_timeout_ms = setup->connect_timeout_ms;
	waitq_init(&peer->changed);
	timer_init(&peer->timer, setup->loop, peer_timer);
	list_init(&peer->waiting);
	list_init(&peer->under_way);
	return (peer);
}

static void
ticket_end(struct ticket *t, enum peer_error error)
{
	struct peer_call *call = t->call;

	list_remove(&t->link);
	buffer_fini(&t->bytes);
	mem_free(t);
	if (call == NULL)
		return;
	list_init(&call->link);
	call->ticket = NULL;
	call->error = error;
	call->done = true;
	if (call->task.loop != NULL)
		task_wake_ref(call->task);
}

static void
tickets_end(struct list *tickets, enum peer_error error)
{
	while (!list_empty(tickets))
		ticket_end(list_entry(tickets->next, struct ticket, link),
		    error);
}

void
peer_free(struct peer **peerp)
{
	struct peer *peer = *peerp;

	if (peer == NULL)
		return;
	CHECK_MAGIC(peer, PEER_MAGIC);
	*peerp = NULL;
	if (peer->resolution != NULL)
		peer->resolution->peer = NULL;
	if (peer->socket != NULL)
		peer->socket->sockets->ops->close(peer->socket, false);
	timer_disarm(&peer->timer);
	tickets_end(&peer->under_way, PEER_CLOSED);
	tickets_end(&peer->waiting, PEER_CLOSED);
	waitq_fini(&peer->changed);
	buffer_fini(&peer->frame);
	mem_free(peer->host);
	mem_free(peer->client_id);
	peer->magic = 0;
	mem_free(peer);
}

enum peer_error
peer_last_error(const struct peer *peer)
{
	return (peer->state == PEER_READY ? PEER_OK : peer->last_error);
}

bool
peer_connected(const struct peer *peer)
{
	return (peer->state == PEER_READY);
}

bool
peer_connecting(const struct peer *peer)
{
	return (peer->connect_asked || (peer->state != PEER_IDLE &&
	    peer->state != PEER_READY));
}

const char *
peer_why(const struct peer *peer)
{
	return (peer->why);
}

struct waitq *
peer_changed(struct peer *peer)
{
	return (&peer->changed);
}

/* --- calls ---------------------------------------------------------------- */

static enum wire_status
ticket_encode(struct ticket *t, const struct peer *peer, const void *request)
{
	const struct request_head head = {
		.api_key = t->api->key,
		.api_version = (int16_t)t->version,
		.correlation_id = t->correlation_id,
		.client_id = slice_of_text(peer->client_id),
	};
	enum wire_status status;

	(void)buffer_extend(&t->bytes, SIZE_BYTES);
	wire_write_request_head(&head, &t->bytes);
	status = wire_encode_bytes(t->api->request, t->version, request,
	    &t->bytes);
	if (status != WIRE_OK)
		return (status);
	if (t->bytes.length - SIZE_BYTES > INT32_MAX)
		return (WIRE_TOO_LARGE);
	bytes_put_u32(t->bytes.data,
	    (uint32_t)(t->bytes.length - SIZE_BYTES));
	return (WIRE_OK);
}

enum wire_status
peer_send(struct peer *peer, struct peer_call *call, int api_key, int version,
    const void *request)
{
	const struct api *api = api_by_key(api_key);
	struct ticket *t;
	enum wire_status status;

	CHECK_MAGIC(peer, PEER_MAGIC);
	CHECK(loop_is_current(peer->setup.loop));
	call->ticket = NULL;
	call->done = false;
	call->frame = BUFFER_EMPTY;
	list_init(&call->link);
	if (api == NULL || version < api->lowest || version > api->highest)
		return (WIRE_UNSUPPORTED);
	t = mem_zalloc(sizeof(*t));
	t->api = api;
	t->version = version;
	t->correlation_id = peer->next_correlation_id;
	status = ticket_encode(t, peer, request);
	if (status != WIRE_OK) {
		buffer_fini(&t->bytes);
		mem_free(t);
		return (status);
	}
	/* Never negative: Java's clients keep those for themselves. */
	peer->next_correlation_id = (peer->next_correlation_id + 1) & INT32_MAX;
	t->deadline_ns = clock_after_ms(loop_now_ns(peer->setup.loop),
	    call->timeout_ms > 0 ? call->timeout_ms
				 : peer->setup.request_timeout_ms);
	t->call = call;
	call->api = api;
	call->version = version;
	call->correlation_id = t->correlation_id;
	call->deadline_ns = t->deadline_ns;
	call->error = PEER_OK;
	call->ticket = t;
	list_push_tail(&peer->waiting, &t->link);
	peer_advance(peer);
	return (WIRE_OK);
}

void
peer_call_fini(struct peer_call *call)
{
	struct ticket *t = call->ticket;

	buffer_fini(&call->frame);
	call->ticket = NULL;
	if (t == NULL)
		return;
	t->call = NULL;
	/* Not yet begun: it need not go out at all. */
	if (t->sent == 0)
		ticket_end(t, PEER_CLOSED);
}

void
peer_connect(struct peer *peer)
{
	CHECK_MAGIC(peer, PEER_MAGIC);
	if (peer->state != PEER_IDLE)
		return;
	peer->connect_asked = true;
	peer->limit_ns = 0;
	peer_advance(peer);
}

/* --- connecting ----------------------------------------------------------- */

static void
resolution_free(struct resolution *r)
{
	mem_free(r->host);
	mem_free(r);
}

static void
resolve_run(struct work *work)
{
	struct resolution *r = container_of(work, struct resolution, work);

	r->error = r->sockets->ops->resolve(r->sockets, r->host, r->port,
	    r->found, ADDRESSES_MAX, &r->count);
}

static void
resolve_done(struct work *work)
{
	struct resolution *r = container_of(work, struct resolution, work);
	struct peer *peer = r->peer;

	if (peer == NULL) {
		resolution_free(r);
		return;
	}
	peer->resolution = NULL;
	if (peer->state == PEER_RESOLVING) {
		peer->address_count = r->error == 0 ? r->count : 0;
		peer->address_next = 0;
		memcpy(peer->addresses, r->found, sizeof(r->found));
		if (peer->address_count == 0)
			peer_lose(peer, PEER_UNRESOLVED);
		else
			peer->state = PEER_CONNECTING;
	}
	resolution_free(r);
	peer_advance(peer);
}

static void
resolve_begin(struct peer *peer)
{
	struct resolution *r;

	peer->state = PEER_RESOLVING;
	peer->connect_asked = false;
	peer->all_refused = true;
	peer->limit_ns = clock_after_ms(loop_now_ns(peer->setup.loop),
	    peer->connect_timeout_ms);
	/* One that an earlier attempt gave up on will do as well. */
	if (peer->resolution != NULL)
		return;
	r = mem_zalloc(sizeof(*r));
	r->peer = peer;
	r->sockets = peer->setup.sockets;
	r->host = mem_strdup(peer->host);
	r->port = peer->setup.port;
	r->work.run = resolve_run;
	r->work.done = resolve_done;
	r->work.home = peer->setup.loop;
	peer->resolution = r;
	work_submit(peer->setup.resolver, &r->work);
}

static void
peer_want(struct peer *peer, unsigned wanted)
{
	if (wanted == peer->wanted)
		return;
	peer->wanted = wanted;
	if (!peer->socket->sockets->ops->want(peer->socket, wanted))
		peer_lose(peer, PEER_LOST);
}

static enum peer_error
error_of_errno(int error, bool connecting)
{
	if (connecting && error == ECONNREFUSED)
		return (PEER_REFUSED);
	if (!connecting && (error == ECONNRESET || error == EPIPE))
		return (PEER_RESET);
	return (error == ETIMEDOUT ? PEER_TIMED_OUT : PEER_LOST);
}

/* An address failed: the next one has its turn. */
static void
address_failed(struct peer *peer, int error)
{
	enum peer_error meaning = error_of_errno(error, true);

	peer->all_refused &= meaning == PEER_REFUSED;
	if (peer->socket != NULL)
		peer->socket->sockets->ops->close(peer->socket, false);
	peer->socket = NULL;
	if (peer->address_next < peer->address_count)
		return;
	/* One refusal is no evidence while another address is only silent. */
	if (meaning == PEER_REFUSED && !peer->all_refused)
		meaning = PEER_LOST;
	peer_lose(peer, meaning);
}

static void
connect_begin(struct peer *peer)
{
	static const struct socket_options options = { -1, -1, 0 };
	struct sockets *sockets = peer->setup.sockets;
	const struct socket_address *to =
	    &peer->addresses[peer->address_next++];

	peer->socket = sockets->ops->connect(sockets, to, &options);
	if (peer->socket == NULL) {
		address_failed(peer, errno);
		return;
	}
	peer->socket->owner = peer;
	peer->socket->on_ready = peer_ready;
	sockets->ops->adopt(peer->socket, peer->setup.loop);
	peer->wanted = 0;
	peer_want(peer, WATCH_WRITE);
}

static void
peer_be_ready(struct peer *peer)
{
	peer->state = PEER_READY;
	peer->last_error = PEER_OK;
	peer->connect_timeout_ms = peer->setup.connect_timeout_ms;
	peer->limit_ns = INT64_MAX;
	diag_debug(peer->setup.diag, net, "peer=%s:%d connected", peer->host,
	    (int)peer->setup.port);
	waitq_wake(&peer->changed);
}

static void
shake_go_on(struct peer *peer)
{
	switch (tls_shake(peer->socket)) {
	case TLS_AGAIN:
		return;
	case TLS_DONE:
		peer_be_ready(peer);
		return;
	case TLS_FAILED:
		snprintf(peer->why, sizeof(peer->why), "%s",
		    tls_why(peer->socket));
		peer_lose(peer, PEER_UNTRUSTED);
		return;
	}
}

static void
shake_begin(struct peer *peer)
{
	peer->socket = tls_socket_new(peer->setup.tls, peer->socket,
	    peer->host, NULL);
	if (peer->socket == NULL) {
		peer_lose(peer, PEER_LOST);
		return;
	}
	peer->socket->owner = peer;
	peer->socket->on_ready = peer_ready;
	peer->wanted = 0;
	peer->state = PEER_SHAKING;
	shake_go_on(peer);
}

static void
connect_end(struct peer *peer)
{
	int error = peer->socket->sockets->ops->connect_result(peer->socket);

	if (error != 0)
		address_failed(peer, error);
	else if (peer->setup.tls != NULL)
		shake_begin(peer);
	else
		peer_be_ready(peer);
}

/* --- losing --------------------------------------------------------------- */

/* socket.connection.setup.timeout.ms, ...max.ms */
static void
peer_allow_more(struct peer *peer)
{
	int64_t most_ms = peer->setup.connect_timeout_max_ms;

	if (peer->connect_timeout_ms > most_ms / 2)
		peer->connect_timeout_ms = most_ms > peer->connect_timeout_ms ?
		    most_ms : peer->connect_timeout_ms;
	else
		peer->connect_timeout_ms *= 2;
}

/* What has been sent ends with the error; what has not waits for the next link
 * if there was one, else ends likewise: nobody could be reached. */
static void
peer_lose(struct peer *peer, enum peer_error error)
{
	const bool was_ready = peer->state == PEER_READY;

	if (was_ready || peer->last_error != error)
		diag_info(peer->setup.diag, net, "peer=%s:%d %s: %s%s%s",
		    peer->host, (int)peer->setup.port,
		    was_ready ? "link lost" : "cannot connect",
		    peer_error_name(error),
		    error == PEER_UNTRUSTED ? ": " : "",
		    error == PEER_UNTRUSTED ? peer->why : "");
	if (peer->socket != NULL)
		peer->socket->sockets->ops->close(peer->socket, false);
	peer->socket = NULL;
	if (!was_ready)
		peer_allow_more(peer);
	peer->state = PEER_IDLE;
	peer->last_error = error;
	peer->limit_ns = clock_after_ms(loop_now_ns(peer->setup.loop),
	    peer->setup.backoff_ms);
	peer->size_have = 0;
	peer->frame_size = 0;
	buffer_fini(&peer->frame);
	peer->under_way_count = 0;
	tickets_end(&peer->under_way, error);
	if (!was_ready)
		tickets_end(&peer->waiting, error);
	/* Of one cut in the middle, nobody knows how it ended. */
	else if (!list_empty(&peer->waiting)) {
		struct ticket *first = list_entry(peer->waiting.next,
		    struct ticket, link);

		if (first->sent != 0)
			ticket_end(first, error);
	}
	waitq_wake(&peer->changed);
}

/* --- bytes ---------------------------------------------------------------- */

/* Moves those whose last byte has gone. */
static void
tickets_sent(struct peer *peer, size_t sent)
{
	while (sent > 0) {
		struct ticket *t = list_entry(peer->waiting.next,
		    struct ticket, link);
		const size_t rest = t->bytes.length - t->sent;
		const size_t n = rest < sent ? rest : sent;

		t->sent += n;
		sent -= n;
		if (t->sent < t->bytes.length)
			return;
		buffer_fini(&t->bytes);
		t->bytes = BUFFER_EMPTY;
		list_remove(&t->link);
		list_push_tail(&peer->under_way, &t->link);
		peer->under_way_count++;
	}
}

static void
peer_write(struct peer *peer)
{
	while (peer->state == PEER_READY) {
		struct iovec parts[WRITE_PARTS_MAX];
		size_t length = 0;
		int count = 0;
		ssize_t n;

		LIST_EACH(element, &peer->waiting) {
			const struct ticket *t = list_entry(element,
			    struct ticket, link);

			if (count == WRITE_PARTS_MAX || peer->under_way_count +
				count >= peer->setup.in_flight_max)
				break;
			parts[count++] = (struct iovec){
				.iov_base = t->bytes.data + t->sent,
				.iov_len = t->bytes.length - t->sent };
			length += t->bytes.length - t->sent;
		}
		if (count == 0) {
			peer_want(peer, WATCH_READ);
			return;
		}
		n = peer->socket->sockets->ops->write(peer->socket, parts,
		    count, false);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			peer_lose(peer, error_of_errno(errno, false));
			return;
		}
		if (n > 0)
			tickets_sent(peer, (size_t)n);
		if (n < 0 || (size_t)n < length) {
			peer_want(peer, WATCH_READ | WATCH_WRITE);
			return;
		}
	}
}

/* A whole answer. False: it is none; the link must go. */
static bool
answer_take(struct peer *peer)
{
	struct slice rest = buffer_slice(&peer->frame);
	enum peer_error error = PEER_OK;
	struct peer_call *call;
	struct ticket *t;
	int32_t correlation_id;

	if (list_empty(&peer->under_way))
		return (false);
	t = list_entry(peer->under_way.next, struct ticket, link);
	call = t->call;
	if (wire_read_response_head(t->api, t->version, &rest,
		&correlation_id) != WIRE_OK ||
	    correlation_id != t->correlation_id)
		return (false);
	if (call != NULL) {
		/* The decoded struct borrows these very bytes. */
		call->frame = peer->frame;
		peer->frame = BUFFER_EMPTY;
		if (wire_decode(t->api->response, t->version, rest,
			call->arena, call->response, NULL) != WIRE_OK) {
			buffer_fini(&call->frame);
			call->frame = BUFFER_EMPTY;
			error = PEER_MALFORMED;
		}
	}
	peer->under_way_count--;
	ticket_end(t, error);
	return (error == PEER_OK);
}

/* The size is there. False: no such answer can be right. */
static bool
answer_begin(struct peer *peer)
{
	const int32_t size = bytes_get_i32(peer->size_bytes);

	if (size < 4 || (size_t)size > peer->setup.response_bytes_max ||
	    list_empty(&peer->under_way))
		return (false);
	peer->frame_size = (size_t)size;
	return (true);
}

/* False: the link must go. */
static bool
peer_parse(struct peer *peer, const uint8_t *data, size_t length)
{
	while (length > 0) {
		size_t n;

		if (peer->size_have < SIZE_BYTES) {
			peer->size_bytes[peer->size_have++] = *data++;
			length--;
			if (peer->size_have == SIZE_BYTES &&
			    !answer_begin(peer))
				return (false);
			continue;
		}
		n = peer->frame_size - peer->frame.length;
		if (n > length)
			n = length;
		buffer_append(&peer->frame, data, n);
		data += n;
		length -= n;
		if (peer->frame.length < peer->frame_size)
			continue;
		if (!answer_take(peer))
			return (false);
		peer->size_have = 0;
		peer->frame.length = 0;
	}
	return (true);
}

static void
peer_read(struct peer *peer)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = peer->socket->sockets->ops->read(peer->socket, bytes,
	    sizeof(bytes));

	if (n > 0) {
		if (!peer_parse(peer, bytes, (size_t)n)) {
			diag_warn(peer->setup.diag, net,
			    "peer=%s:%d sent no proper answer, closing",
			    peer->host, (int)peer->setup.port);
			peer_lose(peer, PEER_MALFORMED);
		}
	} else if (n == 0) {
		peer_lose(peer, PEER_LOST);
	} else if (errno != EAGAIN && errno != EWOULDBLOCK) {
		peer_lose(peer, error_of_errno(errno, false));
	}
}

static void
peer_ready(struct socket *socket, unsigned ready)
{
	struct peer *peer = socket->owner;

	CHECK_MAGIC(peer, PEER_MAGIC);
	if (peer->state == PEER_CONNECTING)
		connect_end(peer);
	else if (peer->state == PEER_SHAKING)
		shake_go_on(peer);
	else if ((ready & WATCH_READ) != 0)
		peer_read(peer);
	peer_advance(peer);
}

/* --- what comes next ------------------------------------------------------ */

static int64_t
oldest_deadline(const struct list *tickets)
{
	return (list_empty(tickets) ? INT64_MAX
	    : list_entry(tickets->next, const struct ticket, link)
		  ->deadline_ns);
}

static void
timer_set(struct peer *peer)
{
	int64_t due_ns = oldest_deadline(&peer->under_way);
	int64_t waiting_ns = oldest_deadline(&peer->waiting);

	if (waiting_ns < due_ns)
		due_ns = waiting_ns;
	if (peer->limit_ns < due_ns && (peer->state != PEER_IDLE ||
		!list_empty(&peer->waiting) || peer->connect_asked))
		due_ns = peer->limit_ns;
	if (due_ns == INT64_MAX)
		timer_disarm(&peer->timer);
	/* A call's end need not move it each time: too early is harmless. */
	else if (!timer_armed(&peer->timer) || peer->timer.due_ns > due_ns)
		timer_arm_at(&peer->timer, due_ns);
}

static void
peer_advance(struct peer *peer)
{
	const int64_t now_ns = loop_now_ns(peer->setup.loop);

	if (peer->state == PEER_IDLE && now_ns >= peer->limit_ns &&
	    (!list_empty(&peer->waiting) || peer->connect_asked))
		resolve_begin(peer);
	while (peer->state == PEER_CONNECTING && peer->socket == NULL)
		connect_begin(peer);
	if (peer->state == PEER_READY)
		peer_write(peer);
	timer_set(peer);
}

static void
waiting_expire(struct peer *peer, int64_t now_ns)
{
	while (oldest_deadline(&peer->waiting) <= now_ns) {
		struct ticket *t = list_entry(peer->waiting.next,
		    struct ticket, link);

		if (t->sent != 0) {
			/* Half a request: the link is of no more use. */
			ticket_end(t, PEER_TIMED_OUT);
			peer_lose(peer, PEER_TIMED_OUT);
			return;
		}
		ticket_end(t, PEER_TIMED_OUT);
	}
}

static void
peer_timer(struct timer *timer)
{
	struct peer *peer = container_of(timer, struct peer, timer);
	const int64_t now_ns = loop_now_ns(peer->setup.loop);

	if (peer->state != PEER_IDLE && now_ns >= peer->limit_ns)
		peer_lose(peer, PEER_TIMED_OUT);
	/* An answer that is late is as good as a link that is gone: those
	 * behind it would wait for it. */
	if (oldest_deadline(&peer->under_way) <= now_ns)
		peer_lose(peer, PEER_TIMED_OUT);
	waiting_expire(peer, now_ns);
	peer_advance(peer);
}
