/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections.  Server side: listeners, framing, pipelining, bounds, orderly
 * replies.  Client side: peer.h, one outbound client for everybody.
 *
 * Life of a request: a connection belongs to one loop, until it moves to one
 * that serves it better (rehome.c).  net reads the size, then the frame into
 * one buffer; parses the request header; makes a struct request and hands it to
 * the handler on that loop.  The handler answers, now or later, with
 * request_reply() or request_close().  Replies leave in the order of the
 * requests.
 *
 *	socket -> [size][frame] -> request -> handler ... request_reply()
 *	   ^  stops reading when: requests or bytes per connection, bytes in all
 *	   |  frames, or unsent replies reach their bound; or the next request
 *	   |  may not begin yet (only API_PIPELINED ones overtake waiting)
 *	   +- replies in order <- [done] [waiting] [done]
 *
 * Wrong bytes close the connection, with a counter by reason; others are not
 * disturbed.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/arena.h"
#include "base/task.h"
#include "metrics/metrics.h"
#include "net/socket.h"
#include "wire/wire.h"

struct config;
struct config_listener;
struct listener_list;
struct connection;
struct diag;
struct metrics;
struct net;
struct tls_report;
struct net_options;

/* --- requests ------------------------------------------------------------- */

/*
 * One request. Owned by its connection's loop; the handler has it until it
 * answers. `body` borrows the frame.
 */
struct request {
	struct list link; /* net's */
	struct connection *connection;
	struct loop *loop;
	const struct api *api;
	struct request_head head;
	struct slice body;   /* after the request header */
	uint8_t *frame; /* mutable bytes under body: batches are stamped here */
	size_t frame_size;
	struct arena arena;  /* the request's memory */
	int64_t received_ns; /* the last byte came */
	int64_t begun_ns;    /* the handler was asked */
	int64_t waits_ns;    /* it returned without an answer; 0: not yet */
	/* The handler's: a slot of metrics by which it is timed beside its
	 * API's own; 0: none. */
	size_t also_slot;
	/* The handler's: called once, on the loop, when the connection dies
	 * while the request is under way; the request must still be answered
	 * (the answer is dropped), soon. NULL: the answer comes soon anyway. */
	void (*abandoned)(struct request *request);
	void *owner; /* the handler's */
	bool answered; /* net's */
	bool dead;     /* net's: the connection is gone */
};

/* By its API, and by also_slot. */
void request_observe(const struct request *request, enum metric metric,
    int64_t ns);
/* Another loop, and no third one, worked on it, and will on others like it: a
 * connection that sends nothing else moves there. Before the answer. */
void request_served_by(struct request *request, struct loop *loop);
/* Answers; net encodes nothing: `out` is the response header and body without
 * the size in front, and is taken over. The request's memory goes. */
void request_reply(struct request *request, struct wire_out *out);
/* No answer is due (Produce with acks=0). */
void request_no_reply(struct request *request);
/* Ends the connection; `why` is a metric's label and a log word. */
void request_close(struct request *request, const char *why);
/* The frame's memory goes early (after the append); body is gone. */
void request_release_frame(struct request *request);
/* The connection's next one begins after this one's answer, though its API is
 * pipelined. Called in on_request. */
void request_hold_next(struct request *request);
/* That is over: it may begin. */
void request_release_next(struct request *request);

/* --- connections ---------------------------------------------------------- */

const struct config_listener *connection_listener(
    const struct connection *connection);
/* "127.0.0.1:45678" and the address alone; valid while the connection lives. */
const char *connection_peer(const struct connection *connection);
const char *connection_peer_host(const struct connection *connection);
/* From 1, in the order in which they were accepted. */
uint64_t connection_id(const struct connection *connection);
/* From ApiVersions v3+; copied. */
void connection_set_software(struct connection *connection,
    struct slice name, struct slice version);
/* Stops reading for a while after the current reply (throttling). */
void connection_mute_for(struct connection *connection, int64_t ms);

/* --- the server ----------------------------------------------------------- */

struct net_handler {
	/* A request whose API and version are known to wire. On its loop. */
	void (*on_request)(void *arg, struct request *request);
	/* True: this key and version are served. Others close the connection,
	 * except ApiVersions, which always comes through. */
	bool (*serves)(void *arg, int api_key, int version);
	void *arg;
};

struct net_setup {
	const struct net_options *options;
	struct sockets *sockets;
	struct loop **loops;
	size_t loop_count;
	struct net_handler handler;
	struct diag *diag;
	struct metrics *metrics;
};

struct net *net_new(const struct net_setup *setup);
/* Other options count from now on, for this loop; on each of net's loops, once.
 * The ones before may go then, but for those of net_new(), which say what only
 * a restart changes.  Addresses' bounds come by net_take_address_bounds(). */
void net_take_options(struct net *net, const struct net_options *options);
/* max.connections.per.ip and its overrides, for all loops. Asks for addresses
 * of hosts, which may take a while: on a worker. */
void net_take_address_bounds(struct net *net,
    const struct net_options *options);
/* Binds and listens, not yet accepting; reads the files of a listener that
 * speaks TLS. False: said in the log. The listener's port becomes the bound one
 * where it was 0. Its texts must outlive net. */
bool net_listen(struct net *net, struct config_listener *listener);
/*
 * The same while net runs, for the doors to open with net_open_listener(), on
 * any loop, or for net_drop_listener().  `source` has the texts, and is kept
 * (counted) as long as net.  Names of hosts are asked for: on a worker, one at
 * a time.  NULL: said; as it is when too many came and went.
 */
struct listener;
struct listener *net_bind(struct net *net,
    const struct config_listener *listener, const struct config *source);
/* Whether net_bind() would: it is tried, and let go of, unless a listener of
 * that name is bound already.  False: report->error.  On a worker, but not
 * beside net_bind(). */
bool net_may_listen(struct net *net, const struct config_listener *listener,
    struct tls_report *report);
void net_open_listener(struct listener *listener);
void net_drop_listener(struct listener *listener);
/* Accepts no more, and closes its connections, soon. Any thread, once. */
void net_close_listener(struct net *net, const char *name);
/* What an open listener is bound to, -1: there is none. Where listeners are
 * opened and closed. */
int32_t net_port(const struct net *net, const char *name);
/* Those that are open, with the connections of each; any thread, as the next
 * one: bytes of requests that have come and are not answered, those of the
 * shortest left out. */
void net_each_listener(const struct net *net, void (*each)(void *arg,
    const char *name, size_t connections), void *arg);
size_t net_frame_bytes(const struct net *net);
/* Whether all listeners could speak the TLS that their options ask for. */
bool net_tls_check(const struct net_options *options,
    struct tls_report *report);
/* TLS of all listeners anew, out of the stores that `listeners` names for them,
 * and out of the files as they are now; new connections speak it, others go on.
 * What else ssl.* says of a listener counts as long as it is open.  All or,
 * false, none: report->error.  With `use` false it is only tried.  Reads files.
 * Any thread, one at a time, while net is there. */
bool net_tls_reload(struct net *net, const struct listener_list *listeners,
    bool use, struct tls_report *report);
/* Opens the doors. */
void net_start(struct net *net);
/* Stops accepting and reading; answers under way go out until deadline_ns; then
 * everything is closed and `task` is woken.  Requests that are with handlers
 * then may still be answered while their loops run; net_free(), when the loops
 * have ended, takes those that never were. */
void net_stop(struct net *net, int64_t deadline_ns, struct task_ref task);
bool net_stopped(const struct net *net);
/* Requests that handlers have not answered yet; their connections may be gone.
 * Any thread. */
size_t net_requests_under_way(const struct net *net);
/* Connections whose next request has come and may not begin yet; answers that
 * are not with the system in full. Any thread. */
struct net_queues {
	size_t requests;
	size_t answers;
};
struct net_queues net_queues(const struct net *net);
void net_free(struct net **net);

#endif
