/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside net: a hub a loop, its connections, and the exchanges of each.
 *
 *	net ---- listener ---- accepts, deals to the hub with the fewest
 *	 \
 *	  hub (one a loop) ---- connections, oldest activity first
 *	   |                      \
 *	   | read buffer,          exchange: a request and its answer
 *	   | copy buffer,          incoming -> requests -> output -> spare
 *	   | spare exchanges
 *
 * A hub and all below it belong to its loop. What several loops share in struct
 * net is atomic, or under its lock.
 */
#ifndef NET_NET_INT_H
#define NET_NET_INT_H

#include <stdatomic.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "config/options.h"
#include "metrics/metrics.h"
#include "net/net.h"
#include "net/tls_int.h"

/* Of socket.receive.buffer.bytes. */
#define RECEIVE_BUFFER_DEFAULT_BYTES 102400

/* One read(2) takes up to this: many small requests at once, and the five
 * batches of 16 KiB that a Java client has under way. */
#define READ_BUFFER_BYTES ((size_t)128 << 10)
/* A frame that lacks more is read straight into its own memory. */
#define READ_STRAIGHT_BYTES ((size_t)32 << 10)
/* Read ahead while nothing may begin; mostly to hear of the peer's end. */
#define READ_AHEAD_BYTES ((size_t)4 << 10)
/* Frames up to this lie in the exchange itself. */
#define FRAME_INLINE_BYTES ((size_t)1 << 10)
/* Reserved at once, touched as bytes come; longer frames double from here. */
#define FRAME_RESERVE_BYTES ((size_t)1 << 20)
/* Frames longer than this, which malloc() would map and unmap each time, use
 * memory of that size again; so many of them a hub keeps at most. */
#define FRAME_POOLED_BYTES ((size_t)96 << 10)
#define FRAMES_SPARE_MAX 4
/* Read straight into a frame at one event. */
#define FRAME_READ_BYTES ((size_t)256 << 10)
/* A size and the smallest request header. */
#define FRAME_SIZE_BYTES ((size_t)4)
#define FRAME_SMALLEST_BYTES 8
/* Enough of a frame to know whether it may begin: the size and the API. */
#define FRAME_PEEK_BYTES ((size_t)6)

/* Extents up to this are read and sent beside the bytes around them. */
#define EXTENT_COPY_BYTES ((size_t)32 << 10)
#define COPY_BUFFER_BYTES ((size_t)128 << 10)
#define OUTPUT_PARTS_MAX 64
/* Sent on one connection before others get their turn. */
#define OUTPUT_TURN_BYTES ((size_t)256 << 10)
/* Unsent answers past which no further request begins. */
#define UNSENT_BYTES_MAX ((size_t)1 << 20)
/* Requests begun on one connection before others get their turn. */
#define TURN_REQUESTS_MAX 64
#define SPARE_EXCHANGES_MAX 256

#define SWEEP_MS 1000
#define ACCEPT_PAUSE_MS 100
#define ACCEPT_TURN_MAX 64
/* A frame that has begun must go on: so many bytes in so long; harder when
 * others wait for memory. A peer that is slower gains nothing: its own request
 * would time out first. */
#define FRAME_WINDOW_MS 120000
#define FRAME_WINDOW_BYTES ((size_t)1 << 10)
#define FRAME_PRESSED_WINDOW_MS 10000
#define FRAME_PRESSED_WINDOW_BYTES ((size_t)64 << 10)

#define SOFTWARE_TEXT_MAX 128

/* How much of an answer has been sent. */
struct out_cursor {
	size_t size;   /* of out_size */
	size_t bytes;  /* of out.bytes */
	size_t insert; /* the insert that comes next, and how much of it */
	size_t extent;
	size_t all;
};

/*
 * A request and its answer.  The list that it is in says where it stands:
 *
 *	incoming        its frame is being read (in no list)
 *	c->requests     with the handler, or answered behind one that is not
 *	c->output       being sent
 *	hub->spare      waiting to be used again
 */
struct exchange {
	struct request request; /* its link is used throughout */
	struct hub *hub;
	struct wire_out out;
	struct out_cursor sent;
	size_t out_length;      /* all of it, the size included */
	int64_t answered_ns;    /* by the handler */
	int64_t pushed_ns;      /* those before it had gone: to be sent */
	const char *close_why;  /* instead of an answer */
	struct loop *served_by; /* the only other one that worked on it */
	size_t frame_capacity;
	size_t charged;         /* counted in net->frame_bytes */
	bool pipelined;
	bool silent;            /* no answer is due */
	uint8_t out_size[FRAME_SIZE_BYTES];
	uint8_t inline_frame[FRAME_INLINE_BYTES];
};

/*
 * Memory for long frames that is in no use, the coldest first.  What was not
 * needed between two sweeps goes back to the system.
 */
struct frame_pool {
	uint8_t *spare[FRAMES_SPARE_MAX]; /* of FRAME_RESERVE_BYTES each */
	size_t count;
	size_t least; /* that `count` has been since the last sweep */
};

/* What peers did wrong and the log was told, or was spared. */
struct complaints {
	int64_t told_ns; /* 0: never */
	uint64_t left_out;
};

struct hub {
	struct net *net;
	struct loop *loop;
	const struct net_options *options; /* net_take_options() swaps it */
	struct list listeners;   /* that it accepts for */
	struct list connections; /* open ones, oldest activity first */
	struct list ghosts;      /* closed ones whose requests are under way */
	struct list receiving;   /* those in the middle of a frame */
	struct list starved;     /* those that wait for memory, in order */
	struct list turns;       /* those with something to do soon */
	struct list shaking;     /* in a handshake, oldest first */
	size_t shaking_count;
	struct tls_scratch *scratch; /* NULL: no TLS yet */
	struct complaints complaints;
	struct list spare;       /* exchanges */
	size_t spare_count;
	struct frame_pool frames;
	uint8_t *read_buffer;
	uint8_t *copy_buffer;
	struct post turns_post;
	bool turns_posted;
	struct post relief_post;
	atomic_bool relief_posted;
	atomic_size_t starved_count;
	struct post start_post;
	struct post stop_post;
	struct post accepted_post; /* in a stop: nobody accepts any more */
	struct post leave_post; /* of connections of closed listeners */
	atomic_bool leave_posted;
	struct timer sweep;
	struct timer deadline;
	atomic_size_t connection_count; /* on it, or on their way to it */
	atomic_size_t dealt_count;      /* dealt to it and open, anywhere */
	atomic_size_t stalled_count;    /* as net_queues() tells, hub_count() */
	atomic_size_t output_count;
	bool stopping;
	bool stopped;
	size_t index;
};

/* Of what its loop alone changes, and anyone may look at. */
static inline void
hub_count(atomic_size_t *count, size_t added, size_t taken)
{
	atomic_store_explicit(count, atomic_load_explicit(count,
	    memory_order_relaxed) + added - taken, memory_order_relaxed);
}

/* New connections in the present second. */
struct rate {
	int64_t second;
	int32_t count;
};

/*
 * Its place in net is filled once, before listener_count says so, and never
 * again: connections may point at it after it has gone.
 */
struct listener {
	struct net *net;
	const struct config_listener *config; /* `own` */
	struct config_listener own; /* texts are `source`'s; port: as bound */
	const struct config *source;
	struct tls *tls; /* NULL: plaintext */
	struct hub *hub; /* that accepts */
	struct list link;     /* hub's */
	bool late;            /* bound when net had started */
	atomic_bool gone;     /* closed: so are its connections */
	struct post opening;
	struct post closing;
	struct socket *socket;
	struct timer pause;
	bool trouble_said; /* the log knows why it pauses */
	/* Bounds of its own; they change with its hub's options. */
	int32_t connections_max;
	int32_t creation_rate_max;
	struct rate rate;
	atomic_size_t connection_count;
};

/* In the life of one net. */
#define LISTENERS_MAX 64

/* The connections from one address. */
struct address {
	struct hash_node node;
	size_t count;
	int32_t max;
	bool override; /* stays while the count is 0 */
	char host[];   /* the key */
};

struct net {
	struct net_setup setup;
	struct loop **loops; /* a copy */
	struct hub *hubs;
	size_t hub_count;
	struct listener listeners[LISTENERS_MAX];
	atomic_size_t listener_count;
	atomic_size_t open_count; /* of them, but for those that have gone */
	struct lock lock;      /* over what follows, up to rate */
	int32_t per_address_max;
	struct hash addresses; /* struct address by host */
	struct rate rate;
	atomic_size_t under_way; /* requests with handlers */
	atomic_size_t frame_bytes; /* received of frames, but inline ones */
	atomic_uint_fast64_t privileged; /* the connection that may exceed it */
	atomic_size_t connection_count;
	atomic_uint_fast64_t connection_ids;
	atomic_size_t deal;
	bool started;
	atomic_size_t hubs_accepting; /* any of them may deal to any other */
	atomic_size_t hubs_running;
	int64_t stop_deadline_ns;
	struct task_ref stop_task;
};

/* Bytes of a blob that were in memory a moment ago. */
struct warm {
	const struct blob *blob; /* to compare, not to follow */
	int64_t position;
	int64_t end;
	int64_t until_ns;
};

#define CONNECTION_MAGIC 0x636f6e6e

struct connection {
	uint32_t magic;
	bool closed;       /* no socket any more */
	bool claimed;      /* out of net's count already */
	bool busy;         /* its own turn runs: nothing is freed meanwhile */
	bool stalled;      /* what is in the stash may not begin yet */
	bool bulk;         /* its last frame was a long one */
	bool secure;       /* the socket is TLS's */
	bool shaking;
	unsigned wanted;
	struct hub *hub;   /* where it is */
	struct hub *dealt; /* where it belongs while no loop draws it */
	struct listener *listener;
	struct socket *socket;
	uint64_t id;
	struct list link;      /* hub's connections or ghosts */
	struct list receiving; /* hub's */
	struct list starved;   /* hub's */
	struct list turn;      /* hub's */
	struct list shake;     /* hub's */
	int64_t shake_deadline_ns;
	struct post arrival;   /* from the accepting loop, or another hub's */
	struct loop *drawn_to; /* by so many requests in a row: rehome.c */
	unsigned drawn;
	int64_t active_ns;

	/* Bytes read that belong to no frame yet: [at, length). */
	uint8_t *stash;
	size_t stash_at;
	size_t stash_length;
	/* The frame in the middle. */
	struct exchange *incoming;
	size_t incoming_have;
	int64_t window_ns;    /* since when, less the time that we paused it */
	size_t window_bytes;
	int64_t starved_ns;

	struct list requests; /* in their order */
	size_t request_count;
	size_t request_bytes; /* of frames under way */
	struct list output;
	size_t output_count;
	size_t unsent_bytes;
	struct warm warm;
	struct cold *cold; /* not NULL: nothing is sent until it is done */
	const char *input_end_why; /* not NULL: nothing more is read */
	const char *end_why; /* closes when the output is empty */

	struct timer mute; /* armed: no request begins */
	char *peer_host;
	char *peer;
	char *software_name;
	char *software_version;
};

/* --- net.c: what is shared ------------------------------------------------ */

enum net_allowance { NET_ALLOWED, NET_WAIT };

/* Whether this connection may receive more of a frame; WAIT: it is put in the
 * queue of those that wait for memory. */
enum net_allowance net_allow_frame(struct connection *connection);
void net_charge(struct exchange *exchange, size_t bytes);
void net_discharge(struct exchange *exchange);
void net_privilege_end(struct connection *connection);
/* Counts a connection that begins now; false: too many in this second. */
bool net_rate_take(struct net *net, struct rate *rate, int32_t max,
    int64_t now_ns);
void net_addresses_fini(struct net *net);
/* Counts a connection from `host`; false: it has too many. */
bool net_address_take(struct net *net, const char *host);
void net_address_drop(struct net *net, const char *host);
enum metrics_close_reason net_close_reason(const char *why);

/* --- hub.c ---------------------------------------------------------------- */

void hub_init(struct hub *hub, struct net *net, size_t index);
/* On its loop. */
void hub_take_options(struct hub *hub, const struct net_options *next);
void hub_fini(struct hub *hub);
struct exchange *hub_exchange_take(struct hub *hub);
void hub_exchange_give(struct hub *hub, struct exchange *exchange);
/* The connection gets a turn soon. */
void hub_turn_soon(struct connection *connection);
/* To be called whenever a connection was closed. */
void hub_check_stopped(struct hub *hub);
/* Tells all hubs that memory came back. */
void hub_relieve_all(struct net *net);

/* --- frame.c -------------------------------------------------------------- */

/* Memory for a frame of that size, of which none is touched yet. False: there
 * is none. */
bool frame_begin(struct exchange *exchange, size_t size);
/* Room for so many bytes of it in all; the frame may move. */
bool frame_reserve(struct exchange *exchange, size_t size);
void frame_end(struct exchange *exchange);
/* What was needless since the last call; or all of it. */
void frames_trim(struct frame_pool *pool);
void frames_drop(struct frame_pool *pool);

/* --- listener.c ----------------------------------------------------------- */

/* On its hub's loop, as the two posts are. */
void listener_start(struct listener *listener);
void listener_open_run(struct post *post);
void listener_close_run(struct post *post);
void listener_take_options(struct listener *listener,
    const struct net_options *next);
/* Brokers must reach each other though clients take all places. */
bool listener_protected(const struct listener *listener,
    const struct net_options *options);
void listener_stop(struct listener *listener);

/* --- secure.c ------------------------------------------------------------- */

/* The socket, on its loop, becomes TLS's. The connection may be closed after,
 * as after all of these. */
void secure_begin(struct connection *connection);
void secure_step(struct connection *connection);
void secure_fail(struct connection *connection, const char *why);
void secure_fini(struct connection *connection);
/* It has come to another hub. */
void secure_moved(struct connection *connection);
/* What TLS took of the output has not left yet. */
bool secure_unsent(const struct connection *connection);
void secure_sweep(struct hub *hub, int64_t now_ns);
bool secure_looks_like_tls(const uint8_t *data);
/* One line now and then for what any peer may do again and again. */
void hub_complain(struct hub *hub, const struct connection *connection,
    const char *what, const char *why);

/* --- connection.c --------------------------------------------------------- */

void connection_ready(struct socket *socket, unsigned ready);

/* Made by the accepting loop; it arrives at its hub by a post. */
void connection_deal(struct listener *listener, struct hub *hub,
    struct socket *socket, const struct socket_address *peer);
/* Its hub's from now on, on the hub's loop. */
void connection_enter(struct connection *connection);
/* Now, and whatever is unsent with it. */
void connection_close(struct connection *connection, const char *why);
/* Nothing more is read; closes when what was begun has been answered. */
void connection_end(struct connection *connection, const char *why);
/* Sends and begins what can be; every change ends here. */
void connection_turn(struct connection *connection);
/* Frees a closed connection once nothing refers to it. */
void connection_forget(struct connection *connection);
void connection_touch(struct connection *connection);

/* --- rehome.c ------------------------------------------------------------- */

/* Who served what was just answered. */
void rehome_note(struct connection *connection,
    const struct exchange *exchange);
/* It is time for rehome_begin(). */
bool rehome_wanted(const struct connection *connection);
/* When it is time: the connection goes to another loop, whose it is from now
 * on. Not inside the socket's on_ready. */
bool rehome_begin(struct connection *connection);

/* --- input.c -------------------------------------------------------------- */

void input_read(struct connection *connection);
/* Begins what lies in the stash. */
void input_resume(struct connection *connection);
/* Whether something lies there that was held back and now may begin. */
bool input_may_resume(const struct connection *connection);
void input_fini(struct connection *connection);
/* Whether reading the socket makes sense now. */
bool input_wanted(const struct connection *connection);

/* --- request.c ------------------------------------------------------------ */

struct exchange *exchange_of(struct request *request);
void exchange_release_frame(struct exchange *exchange);
/* Moves what has been answered from the head of requests to the output. */
void connection_advance(struct connection *connection);

/* --- cold.c --------------------------------------------------------------- */

/* Whether sending the first BLOB_LOOK_BYTES of the extent would wait for a
 * disk. `at`: where it lies in the answer. */
bool cold_is(struct connection *connection, const struct exchange *exchange,
    const struct out_cursor *at, const struct extent *extent);
/* Has a worker read them; then the connection gets a turn. */
void cold_begin(struct connection *connection, const struct extent *extent);

/* --- output.c ------------------------------------------------------------- */

/* Sends what the socket takes. The connection may be closed after. */
void output_write(struct connection *connection);
void output_fini(struct connection *connection);

#endif
