/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets in memory, for replay: a fabric joins the brokers of one process,
 * each a host by its name.  All of it runs on the scheduler's one thread.
 *
 *	a ---- out ----> [wire, may be cut] ----> in ---- b
 *
 * What one end writes lies in its `out` until the link carries it to the other
 * end's `in`; both are bounded, so a full one pushes back as TCP does.  News
 * reach a socket by a post to its loop, so the scheduler's seed decides the
 * order.  A socket that was closed stays until its post has run.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "net/socket.h"

/* On the way, and waiting to be read. */
#define LINK_BYTES_MAX ((size_t)64 << 10)
#define FIRST_FREE_PORT 20000
#define COPY_PIECE_BYTES ((size_t)16 << 10)

enum memory_state {
	MEMORY_LISTENING,
	MEMORY_CONNECTING, /* nobody has answered yet */
	MEMORY_CONNECTED,
	MEMORY_FAILED      /* `error` says how */
};

struct memory_socket {
	struct socket socket; /* first */
	struct list link;     /* the fabric's */
	struct fabric *fabric;
	struct fabric_host *host;
	enum memory_state state;
	int error;
	bool closed;      /* by its owner; the memory waits for the post */
	bool posted;
	bool end_here;    /* the other end's FIN has come */
	bool accepted;    /* the other end connected to it */
	bool held;        /* what it writes stays on the way */
	unsigned wanted;
	int32_t port;     /* its own */
	struct socket_address target;
	struct memory_socket *other; /* NULL: it is gone */
	struct buffer out;
	struct buffer in;
	size_t in_at;
	struct list backlog;      /* listening: those to be accepted */
	struct list backlog_link;
	struct post post;
};

struct fabric_host {
	struct sockets sockets; /* first */
	struct list link;
	struct fabric *fabric;
	bool dead;
	char name[64];
};

struct fabric_cut {
	struct list link;
	const struct fabric_host *a;
	const struct fabric_host *b;
	bool refuses; /* what is tried is refused, instead of silence */
};

/* What is to be held, and has not come yet. */
struct fabric_hold {
	const struct fabric_host *client; /* NULL: nothing */
	const struct fabric_host *server;
	int api_key;
	enum fabric_part part;
};

struct fabric {
	struct list hosts;
	struct list cuts;
	struct list sockets;
	struct fabric_hold hold;
	int32_t next_port;
};

static struct memory_socket *
memory_of(const struct socket *socket)
{
	return ((struct memory_socket *)(uintptr_t)socket);
}

/* --- news ----------------------------------------------------------------- */

static void
memory_post(struct memory_socket *s)
{
	if (s->posted || s->socket.loop == NULL)
		return;
	s->posted = true;
	loop_post(s->socket.loop, &s->post);
}

static unsigned
memory_readiness(const struct memory_socket *s)
{
	unsigned ready = 0;

	switch (s->state) {
	case MEMORY_LISTENING:
		return (list_empty(&s->backlog) ? 0 : WATCH_READ);
	case MEMORY_CONNECTING:
		return (0);
	case MEMORY_FAILED:
		return (WATCH_READ | WATCH_WRITE);
	case MEMORY_CONNECTED:
		break;
	}
	if (s->in.length > s->in_at || s->end_here)
		ready |= WATCH_READ;
	if (s->out.length < LINK_BYTES_MAX)
		ready |= WATCH_WRITE;
	return (ready);
}

static void
memory_free(struct memory_socket *s)
{
	list_remove(&s->link);
	buffer_fini(&s->in);
	buffer_fini(&s->out);
	mem_free(s);
}

static void
memory_news(struct post *post)
{
	struct memory_socket *s = container_of(post, struct memory_socket,
	    post);
	unsigned ready;

	s->posted = false;
	if (s->closed) {
		/* Behind a cut, the rest waits to be carried. */
		if (s->other == NULL)
			memory_free(s);
		return;
	}
	/* They went to the loop that it had before. */
	if (s->socket.loop == NULL || !loop_is_current(s->socket.loop)) {
		memory_post(s);
		return;
	}
	ready = memory_readiness(s) & s->wanted;
	if (ready == 0)
		return;
	/* Level-triggered: asked again after, unless it closes itself, in which
	 * case the post frees it. */
	memory_post(s);
	s->socket.on_ready(&s->socket, ready);
}

/* --- the wire ------------------------------------------------------------- */

static struct fabric_cut *
cut_find(const struct fabric *fabric, const struct fabric_host *a,
    const struct fabric_host *b)
{
	LIST_EACH(element, &fabric->cuts) {
		struct fabric_cut *cut = list_entry(element, struct fabric_cut,
		    link);

		if ((cut->a == a && cut->b == b) ||
		    (cut->a == b && cut->b == a))
			return (cut);
	}
	return (NULL);
}

static bool
link_cut(const struct fabric *fabric, const struct fabric_host *a,
    const struct fabric_host *b)
{
	const struct fabric_cut *cut = cut_find(fabric, a, b);

	return (cut != NULL && !cut->refuses);
}

/* Carries what is on the way from one end to the other. */
static void
link_carry(struct memory_socket *from)
{
	struct memory_socket *to = from->other;
	size_t room, size;

	if (to == NULL || link_cut(from->fabric, from->host, to->host))
		return;
	if (from->held && !to->closed)
		return;
	room = LINK_BYTES_MAX - (to->in.length - to->in_at);
	size = from->out.length < room ? from->out.length : room;
	if (to->closed)
		size = from->out.length; /* nobody will read it */
	else
		buffer_append(&to->in, from->out.data, size);
	if (size < from->out.length)
		memmove(from->out.data, from->out.data + size,
		    from->out.length - size);
	from->out.length -= size;
	if (from->closed && from->out.length == 0) {
		to->end_here = true;
		to->other = NULL;
		from->other = NULL;
	}
	memory_post(to);
	memory_post(from);
}

static void
socket_fail(struct memory_socket *s, int error)
{
	s->state = MEMORY_FAILED;
	s->error = error;
	s->out.length = 0;
	s->in.length = s->in_at = 0;
	if (s->other != NULL)
		s->other->other = NULL;
	s->other = NULL;
	list_remove(&s->backlog_link);
	memory_post(s);
}

static void
socket_reset(struct memory_socket *s)
{
	struct memory_socket *other = s->other;

	socket_fail(s, ECONNRESET);
	if (other != NULL)
		socket_fail(other, ECONNRESET);
}

static struct memory_socket *
listener_find(const struct fabric *fabric, const struct socket_address *at)
{
	LIST_EACH(element, &fabric->sockets) {
		struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (s->state == MEMORY_LISTENING && !s->closed &&
		    s->port == at->port && strcmp(s->host->name, at->host) == 0)
			return (s);
	}
	return (NULL);
}

static struct fabric_host *
host_find(const struct fabric *fabric, const char *name)
{
	LIST_EACH(element, &fabric->hosts) {
		struct fabric_host *host = list_entry(element,
		    struct fabric_host, link);

		if (strcmp(host->name, name) == 0)
			return (host);
	}
	return (NULL);
}

static struct memory_socket *
memory_new(struct fabric_host *host)
{
	struct memory_socket *s = mem_zalloc(sizeof(*s));

	s->socket.sockets = &host->sockets;
	s->fabric = host->fabric;
	s->host = host;
	s->post.run = memory_news;
	s->port = host->fabric->next_port++;
	list_init(&s->backlog);
	list_init(&s->backlog_link);
	list_push_tail(&host->fabric->sockets, &s->link);
	return (s);
}

/* The connection attempt meets the other side, or waits behind a cut. */
static void
connect_try(struct memory_socket *s)
{
	const struct fabric_host *host = host_find(s->fabric, s->target.host);
	struct memory_socket *listening;
	struct memory_socket *other;

	if (host != NULL && link_cut(s->fabric, s->host, host))
		return;
	listening = host == NULL || host->dead ||
	    cut_find(s->fabric, s->host, host) != NULL ? NULL
	    : listener_find(s->fabric, &s->target);
	if (listening == NULL) {
		socket_fail(s, host == NULL ? EHOSTUNREACH : ECONNREFUSED);
		return;
	}
	other = memory_new(listening->host);
	other->state = s->state = MEMORY_CONNECTED;
	other->other = s;
	other->accepted = true;
	s->other = other;
	list_push_tail(&listening->backlog, &other->backlog_link);
	memory_post(listening);
	memory_post(s);
}

/* --- the operations ------------------------------------------------------- */

static struct socket *
memory_listen(struct sockets *sockets, const struct socket_address *address,
    const struct socket_options *options, int32_t *bound_port)
{
	struct fabric_host *host = container_of(sockets, struct fabric_host,
	    sockets);
	struct socket_address at = { .port = address->port };
	struct memory_socket *s;

	(void)options;
	memcpy(at.host, host->name, sizeof(host->name));
	if (address->port != 0 && listener_find(host->fabric, &at) != NULL) {
		errno = EADDRINUSE;
		return (NULL);
	}
	s = memory_new(host);
	s->state = MEMORY_LISTENING;
	if (address->port != 0)
		s->port = address->port;
	*bound_port = s->port;
	return (&s->socket);
}

static struct socket *
memory_accept(struct socket *listening, struct socket_address *peer)
{
	struct memory_socket *s = memory_of(listening);
	struct list *element = list_pop_head(&s->backlog);
	struct memory_socket *accepted;

	if (element == NULL) {
		errno = EAGAIN;
		return (NULL);
	}
	accepted = list_entry(element, struct memory_socket, backlog_link);
	*peer = (struct socket_address){ .host = "?" };
	if (accepted->other != NULL) {
		memcpy(peer->host, accepted->other->host->name,
		    sizeof(accepted->other->host->name));
		peer->port = accepted->other->port;
	}
	return (&accepted->socket);
}

static struct socket *
memory_connect(struct sockets *sockets, const struct socket_address *address,
    const struct socket_options *options)
{
	struct memory_socket *s = memory_new(container_of(sockets,
	    struct fabric_host, sockets));

	(void)options;
	s->state = MEMORY_CONNECTING;
	s->target = *address;
	connect_try(s);
	return (&s->socket);
}

static int
memory_connect_result(struct socket *socket)
{
	const struct memory_socket *s = memory_of(socket);

	return (s->state == MEMORY_FAILED ? s->error : 0);
}

static ssize_t
memory_read(struct socket *socket, void *to, size_t size)
{
	struct memory_socket *s = memory_of(socket);
	const size_t have = s->in.length - s->in_at;

	if (s->state == MEMORY_FAILED) {
		errno = s->error;
		return (-1);
	}
	if (have == 0) {
		errno = EAGAIN;
		return (s->end_here ? 0 : -1);
	}
	if (size > have)
		size = have;
	memcpy(to, s->in.data + s->in_at, size);
	s->in_at += size;
	if (s->in_at == s->in.length)
		s->in_at = s->in.length = 0;
	if (s->other != NULL)
		link_carry(s->other);
	return ((ssize_t)size);
}

/* Of a frame that begins here: its size, then its key. -1: it is shorter. */
static int
frame_api_key(const struct iovec *parts, int count)
{
	uint8_t head[6];
	size_t have = 0;

	for (int i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i].iov_len; k++) {
			if (have == sizeof(head))
				break;
			head[have++] = ((const uint8_t *)parts[i].iov_base)[k];
		}
	return (have < sizeof(head) ? -1 : head[4] << 8 | head[5]);
}

/* A client's request, before it is on its way: is it what is to be held? */
static void
hold_meet(struct memory_socket *s, const struct iovec *parts, int count)
{
	struct fabric_hold *hold = &s->fabric->hold;

	if (hold->client != s->host || s->accepted ||
	    hold->server != s->other->host || s->out.length > 0 ||
	    frame_api_key(parts, count) != hold->api_key)
		return;
	if (hold->part == FABRIC_REQUEST)
		s->held = true;
	else
		s->other->held = true;
	hold->client = NULL;
}

static ssize_t
memory_write(struct socket *socket, const struct iovec *parts, int count,
    bool more)
{
	struct memory_socket *s = memory_of(socket);
	size_t taken = 0;

	(void)more;
	if (s->state == MEMORY_FAILED || s->other == NULL) {
		errno = s->state == MEMORY_FAILED ? s->error : EPIPE;
		return (-1);
	}
	hold_meet(s, parts, count);
	for (int i = 0; i < count && s->out.length < LINK_BYTES_MAX; i++) {
		const size_t room = LINK_BYTES_MAX - s->out.length;
		const size_t size = parts[i].iov_len < room
		    ? parts[i].iov_len : room;

		buffer_append(&s->out, parts[i].iov_base, size);
		taken += size;
	}
	if (taken == 0) {
		errno = EAGAIN;
		return (-1);
	}
	link_carry(s);
	return ((ssize_t)taken);
}

static ssize_t
memory_send_extent(struct socket *socket, const struct extent *extent)
{
	uint8_t piece[COPY_PIECE_BYTES];
	const size_t size = extent->length < sizeof(piece)
	    ? extent->length : sizeof(piece);
	const ssize_t n = extent->blob->ops->read_at(extent->blob, piece, size,
	    extent->position);
	const struct iovec part = { .iov_base = piece,
		.iov_len = n > 0 ? (size_t)n : 0 };

	if (n > 0)
		return (memory_write(socket, &part, 1, false));
	if (n == 0)
		errno = ENODATA;
	return (-1);
}

static void
memory_adopt(struct socket *socket, struct loop *loop)
{
	CHECK(socket->loop == NULL);
	socket->loop = loop;
}

static bool
memory_disown(struct socket *socket)
{
	memory_of(socket)->wanted = 0;
	socket->loop = NULL;
	return (true);
}

static bool
memory_want(struct socket *socket, unsigned events)
{
	struct memory_socket *s = memory_of(socket);

	s->wanted = events;
	if ((memory_readiness(s) & events) != 0)
		memory_post(s);
	return (true);
}

static void
memory_close(struct socket *socket, bool reset)
{
	struct memory_socket *s = memory_of(socket);

	CHECK(!s->closed);
	while (!list_empty(&s->backlog)) {
		struct memory_socket *waiting = list_entry(s->backlog.next,
		    struct memory_socket, backlog_link);

		socket_reset(waiting);
		memory_free(waiting);
	}
	/* Unread bytes make a reset of it, as in TCP. */
	if (s->other != NULL && (reset || s->in.length > s->in_at))
		socket_reset(s);
	s->closed = true;
	s->wanted = 0;
	/* A FIN follows what is on the way. */
	if (s->other != NULL)
		link_carry(s);
	if (socket->loop == NULL && s->other != NULL)
		socket_reset(s);
	if (socket->loop == NULL) {
		/* Not between two loops, where one still has its post. */
		CHECK(!s->posted);
		memory_free(s);
	} else {
		memory_post(s);
	}
}

static int
memory_resolve(struct sockets *sockets, const char *host, int32_t port,
    struct socket_address *out, size_t count, size_t *found)
{
	(void)sockets;
	*found = 0;
	if (count == 0 || strlen(host) >= sizeof(out->host))
		return (EAI_NONAME);
	(void)snprintf(out->host, sizeof(out->host), "%s", host);
	out->port = port;
	*found = 1;
	return (0);
}

static const struct sockets_ops memory_ops = {
	.listen = memory_listen,
	.accept = memory_accept,
	.connect = memory_connect,
	.connect_result = memory_connect_result,
	.read = memory_read,
	.write = memory_write,
	.send_extent = memory_send_extent,
	.adopt = memory_adopt,
	.disown = memory_disown,
	.want = memory_want,
	.close = memory_close,
	.resolve = memory_resolve,
};

/* --- the fabric ----------------------------------------------------------- */

struct fabric *
fabric_new(struct scheduler *scheduler)
{
	struct fabric *fabric = mem_zalloc(sizeof(*fabric));

	(void)scheduler;
	list_init(&fabric->hosts);
	list_init(&fabric->cuts);
	list_init(&fabric->sockets);
	fabric->next_port = FIRST_FREE_PORT;
	return (fabric);
}

void
fabric_free(struct fabric *fabric)
{
	struct list *element;

	if (fabric == NULL)
		return;
	/* Loops are gone: nobody holds a socket. */
	while (!list_empty(&fabric->sockets))
		memory_free(list_entry(fabric->sockets.next,
		    struct memory_socket, link));
	while ((element = list_pop_head(&fabric->cuts)) != NULL)
		mem_free(list_entry(element, struct fabric_cut, link));
	while ((element = list_pop_head(&fabric->hosts)) != NULL)
		mem_free(list_entry(element, struct fabric_host, link));
	mem_free(fabric);
}

struct sockets *
fabric_sockets(struct fabric *fabric, const char *name)
{
	struct fabric_host *host = host_find(fabric, name);

	if (host != NULL)
		return (&host->sockets);
	host = mem_zalloc(sizeof(*host));
	CHECK(strlen(name) < sizeof(host->name));
	host->sockets.ops = &memory_ops;
	host->fabric = fabric;
	(void)snprintf(host->name, sizeof(host->name), "%s", name);
	list_push_tail(&fabric->hosts, &host->link);
	return (&host->sockets);
}

static void
fabric_mended(struct fabric *fabric)
{
	LIST_EACH(element, &fabric->sockets) {
		struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (s->state == MEMORY_CONNECTING && !s->closed)
			connect_try(s);
		else if (s->state == MEMORY_CONNECTED)
			link_carry(s);
	}
}

/* A new cut between the two, or NULL: the old one is mended. */
static struct fabric_cut *
cut_set(struct fabric *fabric, const char *a, const char *b, bool cut)
{
	const struct fabric_host *from = host_find(fabric, a);
	const struct fabric_host *to = host_find(fabric, b);
	struct fabric_cut *made;

	CHECK(from != NULL && to != NULL);
	made = cut_find(fabric, from, to);
	if (made != NULL) {
		list_remove(&made->link);
		mem_free(made);
	}
	if (!cut) {
		fabric_mended(fabric);
		return (NULL);
	}
	made = mem_zalloc(sizeof(*made));
	made->a = from;
	made->b = to;
	list_push_tail(&fabric->cuts, &made->link);
	return (made);
}

void
fabric_cut(struct fabric *fabric, const char *a, const char *b, bool cut)
{
	(void)cut_set(fabric, a, b, cut);
}

void
fabric_refuse(struct fabric *fabric, const char *a, const char *b, bool cut)
{
	struct fabric_cut *made = cut_set(fabric, a, b, cut);

	if (made == NULL)
		return;
	made->refuses = true;
	LIST_EACH(element, &fabric->sockets) {
		struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (s->state == MEMORY_CONNECTED && s->other != NULL &&
		    cut_find(fabric, s->host, s->other->host) == made)
			socket_reset(s);
	}
}

void
fabric_hold(struct fabric *fabric, const char *client, const char *server,
    int api_key, enum fabric_part part)
{
	fabric->hold = (struct fabric_hold){ host_find(fabric, client),
		host_find(fabric, server), api_key, part };
	CHECK(fabric->hold.client != NULL && fabric->hold.server != NULL);
}

bool
fabric_holds(const struct fabric *fabric)
{
	LIST_EACH(element, &fabric->sockets) {
		const struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (s->held && s->other != NULL && s->out.length > 0)
			return (true);
	}
	return (false);
}

void
fabric_let_go(struct fabric *fabric)
{
	fabric->hold.client = NULL;
	LIST_EACH(element, &fabric->sockets) {
		struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (!s->held)
			continue;
		s->held = false;
		if (s->state == MEMORY_CONNECTED)
			link_carry(s);
	}
}

void
fabric_kill(struct fabric *fabric, const char *name)
{
	struct fabric_host *host = host_find(fabric, name);

	CHECK(host != NULL);
	host->dead = true;
	LIST_EACH(element, &fabric->sockets) {
		struct memory_socket *s = list_entry(element,
		    struct memory_socket, link);

		if (s->host != host || s->state != MEMORY_CONNECTED)
			continue;
		/* Behind a cut the other end is not told. */
		if (s->other != NULL &&
		    link_cut(fabric, host, s->other->host))
			socket_fail(s, ECONNRESET);
		else
			socket_reset(s);
	}
}

void
fabric_revive(struct fabric *fabric, const char *name)
{
	struct fabric_host *host = host_find(fabric, name);

	CHECK(host != NULL);
	host->dead = false;
}
