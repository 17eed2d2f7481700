/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of a zk: its connection, its calls, its watchers. */
#ifndef ZKGLUE_ZKGLUE_INT_H
#define ZKGLUE_ZKGLUE_INT_H

#include "config/options.h"
#include "zkglue/driver_int.h"


/* A batch's arena; answers with all topics of a large cluster fit. */
#define ZK_BATCH_LIMIT_BYTES ((size_t)1 << 30)
/* Beyond it a request is refused here: jute.maxbuffer, as Kafka sets it. */
#define ZK_REQUEST_MAX_BYTES ((size_t)4 << 20)
/* What a server takes with its default jute.maxbuffer (0xfffff), less headers.
 * It closes the connection on more, and would do so for ever. */
#define ZK_REQUEST_SUSPECT_BYTES ((size_t)1000000)
#define ZK_SUSPECT_LOSSES 2
/* Pause before a session is opened anew after a refusal (as Kafka's). */
#define ZK_REOPEN_PAUSE_NS ((int64_t)1000 * 1000000)
/* Pause before operations that the server throttled go out again. */
#define ZK_THROTTLE_PAUSE_NS ((int64_t)100 * 1000000)
/* How long a start waits for the farewell of the saved session. */
#define ZK_FAREWELL_NS ((int64_t)5000 * 1000000)
/* Sessions that are remembered after their end. */
#define ZK_PAST_SESSIONS 8

struct saved_session {
	bool present;
	int64_t id;
	uint8_t password[16];
};

/* --- calls ---------------------------------------------------------------- */

enum call_phase { CALL_NEW, CALL_QUEUED, CALL_ANSWERED };

/*
 * One operation on its way.  `op` is what the caller reads; the driver gets
 * `sent`, so that an answer which comes too late writes nowhere.
 *
 *	NEW --submit--> QUEUED --send--> with the driver --answer--> ANSWERED
 *	                  ^                    |
 *	                  +-- connection lost -+
 *
 * Owned by its batch, in whose arena it lies.
 */
struct zk_call {
	struct list link;       /* zk's queue, or the connection's list */
	struct list batch_link;
	struct zk_batch *batch;
	enum call_phase phase;
	bool out;               /* the driver holds the request */
	uint64_t sequence;      /* order of submission */
	uint64_t outage;        /* the connection's count when it was sent */
	int64_t sent_ns;
	unsigned losses;
	size_t size;            /* bytes on the wire, about */
	struct zk_op op;
	struct zk_op sent;
	struct zk_driver_request request;
};

struct zk_batch {
	unsigned magic;
	struct zk *zk;          /* NULL after zk_close() */
	struct list link;
	struct arena arena;
	struct list calls;
	size_t unanswered;
	size_t out;             /* calls that the driver holds */
	bool submitted;
	bool abandoned;         /* freed by its owner, kept for the driver */
	bool setup;             /* the chroot's: runs before CONNECTED */
	struct task_ref task;
	void (*answered)(struct zk_batch *batch); /* NULL, or ours */
};

/* --- connections ---------------------------------------------------------- */

enum connection_kind {
	CONNECTION_MAIN,
	CONNECTION_FAREWELL /* the saved session, taken up to be closed */
};

/*
 * One session of the driver, from the worker that opens it to the worker that
 * closes it.
 */
struct zk_connection {
	struct zk *zk;
	enum connection_kind kind;
	struct work work;
	struct zk_session_setup setup;
	struct zk_session *session; /* NULL: not open yet */
	int error;                  /* errno of a refused open */
	bool opened;
	bool closing;
	bool pause;                 /* after it, before the next one */
	bool early;                 /* an event came before `opened` */
	enum zk_driver_event early_event;
	bool linked;
	uint64_t outages;
	struct list calls;          /* with the driver, in order */
	size_t call_count;
	size_t stale_count;         /* of them, sent before the last outage */
};

struct zk {
	unsigned magic;
	struct zk_setup setup;
	char *connect;
	char *chroot;
	bool chroot_made;
	char *session_file;
	char *session_identity;
	enum zk_state state;
	uint64_t session_ordinal;
	int64_t session_id;
	int64_t past_ids[ZK_PAST_SESSIONS]; /* by ordinal; 0: none */
	struct waitq changed;
	struct zk_connection *connection;
	struct list batches;
	struct list queue;       /* calls that wait for their turn */
	struct list setup_queue; /* the chroot's, before all others */
	uint64_t next_sequence;
	struct hash watchers;
	uint64_t next_watcher_id;
	struct timer reopen;
	struct timer throttle;
	struct timer farewell;
	struct timer slow;       /* connecting takes long: say so once */
	struct work file_work;   /* reads and writes the session file */
	bool file_busy;
	bool file_again;
	bool forget;             /* the session was closed: so the file goes */
	struct saved_session saved;  /* the file work's, while it is busy */
	struct saved_session latest; /* what the file should hold */
	struct zk_batch *setup_batch;
	struct zk_batch *probe;  /* is the session known still? */
	bool closed;
	struct task_ref closer;
	bool *closer_told;
};

#define ZK_MAGIC 0x7a6b676cu
#define ZK_BATCH_MAGIC 0x7a6b6261u

/* session.c */
/* An answer said that there is no such session: the connection, which a server
 * may keep for ever, is given up, and another session begun. */
void zk_session_gone(struct zk_connection *connection);

/* batch.c */
void zk_pump(struct zk *zk);
void zk_calls_lost(struct zk_connection *connection);
/* All that is queued or under way ends with rc. */
void zk_calls_end(struct zk *zk, enum zk_rc rc);
/* The driver dropped what it held: the connection is gone. */
void zk_calls_drop(struct zk_connection *connection);
void zk_batches_detach(struct zk *zk);

/* watcher.c */
void zk_watchers_mark_all(struct zk *zk);
void zk_watcher_fired(struct zk *zk, void *cookie);
void zk_watchers_detach(struct zk *zk);

/* session_file.c: blocking, for workers */
struct saved_session zk_session_load(const char *path, const char *identity);
/* 0 or an errno. */
int zk_session_save(const char *path, const char *identity,
    const struct saved_session *session);
void zk_session_forget(const char *path);

#endif
