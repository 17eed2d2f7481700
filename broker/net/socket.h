/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 3: sockets.  The kernel's in life (socket_system.c); in replay pairs of
 * buffers in memory between the brokers of one process (socket_memory.c), which
 * can be cut, delayed and reset.  A socket belongs to one loop and is never
 * waited for: calls answer at once, -1 with EAGAIN when they cannot.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/blob.h"
#include "base/loop.h"

struct sockets;

/* A connected, connecting or listening socket. Made by the ops, never by
 * hand. */
struct socket {
	struct sockets *sockets;
	struct loop *loop;
	/* On the loop; WATCH_READ and WATCH_WRITE, those wanted. A connection
	 * attempt that ended, either way, is WATCH_WRITE. */
	void (*on_ready)(struct socket *socket, unsigned ready);
	void *owner; /* the user's */
};

struct socket_address {
	char host[256]; /* a name or an address, no brackets */
	int32_t port;
};

struct socket_options {
	int send_buffer_bytes;    /* -1: the system's */
	int receive_buffer_bytes; /* -1: the system's */
	int backlog;
};

struct sockets_ops {
	/* NULL and errno. Names are resolved here: call it on a worker when
	 * `host` is no address, and adopt() the result on the loop. */
	struct socket *(*listen)(struct sockets *sockets,
	    const struct socket_address *address,
	    const struct socket_options *options, int32_t *bound_port);
	/* The next connection, or NULL with EAGAIN, EMFILE, ... `peer` is
	 * told. */
	struct socket *(*accept)(struct socket *listening,
	    struct socket_address *peer);
	/* Begins to connect to a numeric address. NULL and errno. */
	struct socket *(*connect)(struct sockets *sockets,
	    const struct socket_address *address,
	    const struct socket_options *options);
	/* 0: connected; else the errno of the attempt. */
	int (*connect_result)(struct socket *socket);
	ssize_t (*read)(struct socket *socket, void *to, size_t size);
	/* `more`: what follows at once may go into the same packet. */
	ssize_t (*write)(struct socket *socket, const struct iovec *parts,
	    int count, bool more);
	/* From a blob: sendfile where both ends can, else read and write. -1
	 * with ENODATA when the blob ends before the extent does. */
	ssize_t (*send_extent)(struct socket *socket,
	    const struct extent *extent);
	/* Gives the socket to a loop; on_ready runs there from then on. */
	void (*adopt)(struct socket *socket, struct loop *loop);
	/* Takes it back, for another loop to adopt; nothing is wanted then. Not
	 * inside on_ready. False: not at this moment. */
	bool (*disown)(struct socket *socket);
	/* False: the kernel has no room for another watch; close it. */
	bool (*want)(struct socket *socket, unsigned events);
	/* `reset`: RST instead of FIN. Safe inside on_ready. */
	void (*close)(struct socket *socket, bool reset);
	/* Turns a name into numeric addresses; blocks: workers only. 0 or an
	 * EAI_ code; at most `count` addresses, *found says how many. */
	int (*resolve)(struct sockets *sockets, const char *host, int32_t port,
	    struct socket_address *out, size_t count, size_t *found);
	/* Whether the kernel can encrypt for sockets; NULL: it cannot. */
	bool (*kernel_tls)(struct sockets *sockets);
	/* Then: the descriptor for OpenSSL to shake hands over; the socket's
	 * still. */
	int (*kernel_descriptor)(struct socket *socket);
};

struct sockets {
	const struct sockets_ops *ops;
};

/* The kernel's. SIGPIPE is ignored from then on: a peer that is gone is
 * EPIPE. */
struct sockets *sockets_system(void);
/* For replay: sockets between loops of one scheduler. `name` is the host that
 * this broker has. Give each broker its own, all on one fabric. */
struct fabric;
struct fabric *fabric_new(struct scheduler *scheduler);
void fabric_free(struct fabric *fabric);
struct sockets *fabric_sockets(struct fabric *fabric, const char *name);
/* Cuts the link (nothing passes, nothing is told) or mends it. */
void fabric_cut(struct fabric *fabric, const char *a, const char *b,
    bool cut);
/* As if neither listened for the other: what connects them is reset, and
 * attempts are refused. */
void fabric_refuse(struct fabric *fabric, const char *a, const char *b,
    bool cut);
/* The next request of that API, or its answer, stays on its way, and all that
 * comes behind it on that connection; other connections are free. One at a
 * time waits to be met. */
enum fabric_part { FABRIC_REQUEST, FABRIC_ANSWER };
void fabric_hold(struct fabric *fabric, const char *client,
    const char *server, int api_key, enum fabric_part part);
/* Whether something is being held. */
bool fabric_holds(const struct fabric *fabric);
void fabric_let_go(struct fabric *fabric);
/* The process died: connections are reset, new ones refused; behind a cut the
 * other end hears nothing. */
void fabric_kill(struct fabric *fabric, const char *name);
void fabric_revive(struct fabric *fabric, const char *name);

#endif
