/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 5: the ZooKeeper client below the batches.  driver_library.c puts the C
 * client here (multi-threaded library; its completions only post);
 * driver_memory.c a whole ZooKeeper in memory, with faults, for replay.
 *
 * One driver serves one process (or one replay); each session of it delivers to
 * one loop.
 */
#ifndef ZKGLUE_DRIVER_H
#define ZKGLUE_DRIVER_H

#include "zkglue/zkglue.h"

struct zk_driver;
struct zk_session;

enum zk_driver_event {
	ZK_EVENT_CONNECTED,
	ZK_EVENT_SUSPENDED,
	ZK_EVENT_EXPIRED,
	ZK_EVENT_AUTH_FAILED
};

/*
 * All on the session's loop, in the order in which they happened: a lost
 * connection is told before the requests that it took along, and these before
 * the next CONNECTED.  None begins after close() has returned; those that come
 * while close() runs are for the caller to ignore.
 */
struct zk_session_sink {
	/* False: the owner is done with the session, which a worker may be
	 * closing already. */
	bool (*on_event)(void *arg, enum zk_driver_event event);
	/* A watch fired; `cookie` as given with the request. It may fire
	 * without a change, never fail to fire for one. A GET or CHILDREN of a
	 * node that is not there arms nothing. */
	void (*on_watch)(void *arg, void *cookie);
	void *arg;
};

struct zk_session_setup {
	const char *hosts; /* h1:p1,h2:p2[/chroot] */
	int timeout_ms;
	struct loop *loop;
	struct zk_session_sink sink;
	int64_t resume_id; /* 0: a new session */
	uint8_t resume_password[16];
};

/* A request under way. `op` is filled in, then `done` runs on the loop.
 * connection_lost: fate unknown, op->rc is not set. */
struct zk_driver_request {
	struct zk_op *op;
	struct arena *arena; /* for answers */
	void *watch_cookie;  /* NULL: no watch */
	bool absolute;       /* the path is not below the chroot */
	void (*done)(struct zk_driver_request *request, bool connection_lost);
};

struct zk_driver_ops {
	/* May block (a worker calls it): NULL and errno when it cannot even
	 * begin, e.g. a host list that makes no sense. */
	struct zk_session *(*open)(struct zk_driver *driver,
	    const struct zk_session_setup *setup);
	/* Never blocks. */
	void (*submit)(struct zk_session *session,
	    struct zk_driver_request *request);
	int64_t (*id)(struct zk_session *session, uint8_t password[16]);
	/* May block (a worker calls it). No callback of this session runs after
	 * it returns; requests under way are dropped without `done`. */
	void (*close)(struct zk_session *session);
	void (*free)(struct zk_driver *driver);
};

struct zk_driver {
	const struct zk_driver_ops *ops;
};

struct zk_driver *zk_driver_library(struct diag *diag);

#endif
