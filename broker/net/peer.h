/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbound client: one connection to one broker, requests in a row, answers
 * in their order.  Replica fetchers, the controller's channels, transaction
 * markers and the tools use it.
 *
 *	IDLE -> RESOLVING -> CONNECTING -> READY <-> (requests under way)
 *	  ^                     |   ^        |
 *	  |                     v   |        |
 *	  |                    SHAKING (TLS) |
 *	  +-- back-off <-- lost / refused ---+
 *
 * A peer belongs to one loop.  A call that cannot be answered ends with its
 * error and is never sent twice: whether to repeat is the caller's knowledge.
 */
#ifndef NET_PEER_H
#define NET_PEER_H

#include "base/task.h"
#include "base/waitq.h"
#include "net/socket.h"
#include "wire/wire.h"

struct diag;
struct peer;
struct ticket;
struct tls;
struct work_queue;

struct peer_setup {
	struct loop *loop;
	struct sockets *sockets;
	struct work_queue *resolver; /* names are resolved on a worker */
	struct diag *diag;
	struct tls *tls; /* a client's; outlives the peer. NULL: plaintext */
	const char *host; /* with TLS its certificate names it, too */
	int32_t port;
	const char *client_id;
	int64_t connect_timeout_ms; /* of the first attempt */
	/* Twice as long after each that failed, up to this; 0: never longer. */
	int64_t connect_timeout_max_ms;
	int64_t request_timeout_ms;
	int64_t backoff_ms;     /* between attempts to connect */
	size_t response_bytes_max;
	int in_flight_max;
};

enum peer_error {
	PEER_OK,
	PEER_REFUSED,   /* nobody listens there: evidence of death (DESIGN 5) */
	PEER_RESET,     /* reset while connected: likewise */
	PEER_LOST,      /* closed or failed otherwise */
	PEER_TIMED_OUT,
	PEER_UNRESOLVED,
	PEER_UNTRUSTED, /* the TLS handshake failed: peer_why() */
	PEER_MALFORMED, /* the answer was no such message; the link is closed */
	PEER_CLOSED     /* peer_free() */
};
const char *peer_error_name(enum peer_error error);

/* A call under way; memory is the caller's and busy until `done`. */
struct peer_call {
	struct list link;
	struct ticket *ticket; /* the peer's, while under way */
	struct task_ref task; /* woken at the end */
	/* The caller's; 0: the peer's request_timeout_ms.  A shorter one than
	 * that of calls before it counts once these have ended. */
	int64_t timeout_ms;
	const struct api *api;
	int version;
	int32_t correlation_id;
	int64_t deadline_ns;
	bool done;
	enum peer_error error;
	struct arena *arena; /* the caller's: the decoded answer's arrays */
	void *response;      /* the caller's struct of api->response */
	struct buffer frame; /* strings of the answer borrow it */
};

struct peer *peer_new(const struct peer_setup *setup);
void peer_free(struct peer **peer);

/* Encodes `request` and sends it when its turn comes. `response` must be a
 * struct of the API's response; it is decoded into when the call ends well.
 * Answers WIRE_UNSUPPORTED etc. when it cannot be encoded: then nothing
 * runs. */
enum wire_status peer_send(struct peer *peer, struct peer_call *call,
    int api_key, int version, const void *request);
/* Abandons the call: its answer is dropped. Frees the frame. */
void peer_call_fini(struct peer_call *call);

/* How the last attempt to connect ended; PEER_OK while connected. */
enum peer_error peer_last_error(const struct peer *peer);
bool peer_connected(const struct peer *peer);
/* An attempt is under way: the last error is an earlier one's. */
bool peer_connecting(const struct peer *peer);
/* Why the last TLS handshake failed; "": none did. */
const char *peer_why(const struct peer *peer);
/* Woken when the link comes or goes. */
struct waitq *peer_changed(struct peer *peer);
/* Connects now, without waiting for a request or a back-off. */
void peer_connect(struct peer *peer);

#endif
