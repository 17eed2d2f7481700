/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the kernel: TCP over IPv4 and IPv6, never blocking.
 *
 * Life of one: made by listen, accept or connect, owned by nobody yet; adopt()
 * ties it to a loop by a watch, disown() undoes that; close() takes the watch
 * and the descriptor away and the memory with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/socket.h"

/* Read and written in pieces of this where sendfile is not to be had. */
#define COPY_PIECE_BYTES ((size_t)64 << 10)
/* sendfile(2) takes no more at a time. */
#define SENDFILE_BYTES_MAX ((size_t)0x7ffff000)

struct system_socket {
	struct socket socket; /* first */
	struct watch watch;
	int descriptor;
};

static struct system_socket *
system_of(struct socket *socket)
{
	return (container_of(socket, struct system_socket, socket));
}

static struct socket *
system_socket_new(struct sockets *sockets, int descriptor)
{
	struct system_socket *s = mem_zalloc(sizeof(*s));

	s->socket.sockets = sockets;
	s->descriptor = descriptor;
	return (&s->socket);
}

/* close(2) that leaves errno alone. */
static void
close_quietly(int descriptor)
{
	int saved = errno;

	(void)close(descriptor);
	errno = saved;
}

static int
set_flag(int descriptor, int level, int name, int value)
{
	return (setsockopt(descriptor, level, name, &value, sizeof(value)));
}

/* Linux hands these on from a listening socket to those it accepts, which
 * saves three calls for each connection. */
static void
socket_tune(int descriptor, const struct socket_options *options)
{
	(void)set_flag(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)set_flag(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (options->send_buffer_bytes > 0)
		(void)set_flag(descriptor, SOL_SOCKET, SO_SNDBUF,
		    options->send_buffer_bytes);
	if (options->receive_buffer_bytes > 0)
		(void)set_flag(descriptor, SOL_SOCKET, SO_RCVBUF,
		    options->receive_buffer_bytes);
}

/* --- addresses ------------------------------------------------------------ */

/* IPv4 that came over an IPv6 socket is shown as IPv4. */
static void
address_from_kernel(const struct sockaddr_storage *from,
    struct socket_address *to)
{
	const struct sockaddr_in6 *six = (const void *)from;
	struct sockaddr_in four = { .sin_family = AF_INET };
	const struct sockaddr *named = (const void *)from;
	socklen_t length = sizeof(*from);

	if (from->ss_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(&four.sin_addr, &six->sin6_addr.s6_addr[12], 4);
		four.sin_port = six->sin6_port;
		named = (const void *)&four;
		length = sizeof(four);
	}
	if (getnameinfo(named, length, to->host, sizeof(to->host), NULL, 0,
		NI_NUMERICHOST) != 0)
		(void)snprintf(to->host, sizeof(to->host), "?");
	if (named->sa_family == AF_INET6)
		to->port = ntohs(six->sin6_port);
	else
		to->port = ntohs(((const struct sockaddr_in *)(const void *)
			named)->sin_port);
}

static int
address_lookup(const char *host, int32_t port, int flags,
    struct addrinfo **found)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};
	char service[16];

	(void)snprintf(service, sizeof(service), "%d", (int)port);
	return (getaddrinfo(host, service, &hints, found));
}

static int
system_resolve(struct sockets *sockets, const char *host, int32_t port,
    struct socket_address *out, size_t count, size_t *found)
{
	struct addrinfo *list;
	struct sockaddr_storage address;
	int error = address_lookup(host, port, 0, &list);

	(void)sockets;
	*found = 0;
	if (error != 0)
		return (error);
	for (const struct addrinfo *a = list; a != NULL && *found < count;
	     a = a->ai_next) {
		if (a->ai_addrlen > sizeof(address))
			continue;
		memset(&address, 0, sizeof(address));
		memcpy(&address, a->ai_addr, a->ai_addrlen);
		address_from_kernel(&address, &out[(*found)++]);
	}
	freeaddrinfo(list);
	return (0);
}

/* --- making sockets ------------------------------------------------------- */

static int
listen_on(const struct addrinfo *address, const struct socket_options *options)
{
	int descriptor = socket(address->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return (-1);
	(void)set_flag(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address->ai_family == AF_INET6)
		(void)set_flag(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	socket_tune(descriptor, options);
	if (bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
	    listen(descriptor, options->backlog) != 0) {
		close_quietly(descriptor);
		return (-1);
	}
	return (descriptor);
}

/* The wildcard of IPv6 takes IPv4 too; it comes first where the kernel has it,
 * whatever order the library prefers. */
static int
listen_on_any(const struct addrinfo *list, const struct socket_options *options)
{
	static const int families[] = { AF_INET6, AF_INET };
	int descriptor;

	for (size_t i = 0; i < nelems(families); i++)
		for (const struct addrinfo *a = list; a != NULL;
		     a = a->ai_next) {
			if (a->ai_family != families[i])
				continue;
			descriptor = listen_on(a, options);
			if (descriptor >= 0 || errno != EAFNOSUPPORT)
				return (descriptor);
		}
	return (-1);
}

static struct socket *
system_listen(struct sockets *sockets, const struct socket_address *address,
    const struct socket_options *options, int32_t *bound_port)
{
	const bool any = address->host[0] == '\0';
	struct addrinfo *list;
	struct sockaddr_storage bound;
	struct socket_address told;
	socklen_t length = sizeof(bound);
	int descriptor;

	if (address_lookup(any ? NULL : address->host, address->port,
		any ? AI_PASSIVE : 0, &list) != 0) {
		errno = EADDRNOTAVAIL;
		return (NULL);
	}
	descriptor = any ? listen_on_any(list, options)
			 : listen_on(list, options);
	freeaddrinfo(list);
	if (descriptor < 0)
		return (NULL);
	if (getsockname(descriptor, (void *)&bound, &length) != 0) {
		close_quietly(descriptor);
		return (NULL);
	}
	address_from_kernel(&bound, &told);
	*bound_port = told.port;
	return (system_socket_new(sockets, descriptor));
}

static struct socket *
system_accept(struct socket *listening, struct socket_address *peer)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	int descriptor;

	memset(&from, 0, sizeof(from));
	do
		descriptor = accept4(system_of(listening)->descriptor,
		    (void *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (descriptor < 0 && errno == EINTR);
	if (descriptor < 0)
		return (NULL);
	address_from_kernel(&from, peer);
	return (system_socket_new(listening->sockets, descriptor));
}

static struct socket *
system_connect(struct sockets *sockets, const struct socket_address *address,
    const struct socket_options *options)
{
	struct addrinfo *list;
	int descriptor;

	if (address_lookup(address->host, address->port, AI_NUMERICHOST,
		&list) != 0) {
		errno = EINVAL;
		return (NULL);
	}
	descriptor = socket(list->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor >= 0) {
		socket_tune(descriptor, options);
		if (connect(descriptor, list->ai_addr, list->ai_addrlen) != 0 &&
		    errno != EINPROGRESS) {
			close_quietly(descriptor);
			descriptor = -1;
		}
	}
	freeaddrinfo(list);
	return (descriptor < 0 ? NULL : system_socket_new(sockets, descriptor));
}

static int
system_connect_result(struct socket *socket)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(system_of(socket)->descriptor, SOL_SOCKET, SO_ERROR,
		&error, &length) != 0)
		return (errno);
	return (error);
}

/* --- bytes ---------------------------------------------------------------- */

static ssize_t
system_read(struct socket *socket, void *to, size_t size)
{
	ssize_t n;

	do
		n = recv(system_of(socket)->descriptor, to, size, 0);
	while (n < 0 && errno == EINTR);
	return (n);
}

static ssize_t
system_write(struct socket *socket, const struct iovec *parts, int count,
    bool more)
{
	const struct msghdr message = {
		.msg_iov = (struct iovec *)(uintptr_t)parts,
		.msg_iovlen = (size_t)count,
	};
	ssize_t n;

	do
		n = sendmsg(system_of(socket)->descriptor, &message,
		    MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	while (n < 0 && errno == EINTR);
	return (n);
}

static ssize_t
send_by_copy(struct socket *socket, const struct extent *extent)
{
	const size_t size = extent->length < COPY_PIECE_BYTES
	    ? extent->length : COPY_PIECE_BYTES;
	struct iovec part = { .iov_base = mem_alloc(size) };
	ssize_t n = extent->blob->ops->read_at(extent->blob, part.iov_base,
	    size, extent->position);

	if (n > 0) {
		part.iov_len = (size_t)n;
		n = system_write(socket, &part, 1, false);
	} else if (n == 0) {
		errno = ENODATA;
		n = -1;
	}
	mem_free(part.iov_base);
	return (n);
}

static ssize_t
system_send_extent(struct socket *socket, const struct extent *extent)
{
	const int from = extent->blob->ops->descriptor(extent->blob);
	off_t position = (off_t)extent->position;
	const size_t size = extent->length < SENDFILE_BYTES_MAX
	    ? extent->length : SENDFILE_BYTES_MAX;
	ssize_t n;
	int error;

	if (from < 0)
		return (send_by_copy(socket, extent));
	do
		n = sendfile(system_of(socket)->descriptor, from, &position,
		    size);
	while (n < 0 && errno == EINTR);
	error = errno;
	extent->blob->ops->descriptor_done(extent->blob);
	errno = error;
	if (n < 0 && (errno == EINVAL || errno == ENOSYS))
		return (send_by_copy(socket, extent));
	if (n == 0 && size != 0) {
		errno = ENODATA;
		return (-1);
	}
	return (n);
}

/* --- on a loop ------------------------------------------------------------ */

static void
system_ready(struct watch *watch, unsigned ready)
{
	struct system_socket *s = container_of(watch, struct system_socket,
	    watch);

	/* It may close itself: nothing of it is touched after. */
	s->socket.on_ready(&s->socket, ready);
}

static void
system_adopt(struct socket *socket, struct loop *loop)
{
	struct system_socket *s = system_of(socket);

	CHECK(socket->loop == NULL);
	socket->loop = loop;
	watch_init(&s->watch, loop, s->descriptor, system_ready);
}

static bool
system_disown(struct socket *socket)
{
	watch_fini(&system_of(socket)->watch);
	socket->loop = NULL;
	return (true);
}

static bool
system_want(struct socket *socket, unsigned events)
{
	return (watch_want(&system_of(socket)->watch, events));
}

static void
system_close(struct socket *socket, bool reset)
{
	struct system_socket *s = system_of(socket);
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (socket->loop != NULL)
		watch_fini(&s->watch);
	if (reset)
		(void)setsockopt(s->descriptor, SOL_SOCKET, SO_LINGER, &now,
		    sizeof(now));
	(void)close(s->descriptor);
	mem_free(s);
}

/* --- TLS of the kernel ---------------------------------------------------- */

/* A socket that is not connected is told so, if there is such a thing. */
static bool
system_kernel_tls(struct sockets *sockets)
{
	static const char name[] = "tls";
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there;

	(void)sockets;
	if (descriptor < 0)
		return (false);
	there = setsockopt(descriptor, IPPROTO_TCP, TCP_ULP, name,
	    sizeof(name)) == 0 || errno == ENOTCONN;
	(void)close(descriptor);
	return (there);
}

static int
system_kernel_descriptor(struct socket *socket)
{
	return (system_of(socket)->descriptor);
}

static const struct sockets_ops system_ops = {
	.listen = system_listen,
	.accept = system_accept,
	.connect = system_connect,
	.connect_result = system_connect_result,
	.read = system_read,
	.write = system_write,
	.send_extent = system_send_extent,
	.adopt = system_adopt,
	.disown = system_disown,
	.want = system_want,
	.close = system_close,
	.resolve = system_resolve,
	.kernel_tls = system_kernel_tls,
	.kernel_descriptor = system_kernel_descriptor,
};

struct sockets *
sockets_system(void)
{
	static const struct sockets sockets = { .ops = &system_ops };

	(void)signal(SIGPIPE, SIG_IGN);
	/* Nothing in it is ever written. */
	return ((struct sockets *)(uintptr_t)&sockets);
}
