/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZooKeeper as the rooms above see it: a session that is kept up for ever,
 * batches of pipelined operations, and watchers that never miss a change.
 *
 *	CONNECTING --> CONNECTED <--> SUSPENDED --> EXPIRED --+
 *	     ^                                                |
 *	     +------------ new session, number + 1 -----------+
 *
 * A `struct zk` belongs to one loop (the controller's); its answers arrive
 * there as posts.  The client library below it is seam 5 (driver.h): in replay
 * a ZooKeeper in memory stands behind the same calls, with lost replies, expiry
 * and partitions at will.
 *
 * Lost connections: an operation whose fate is unknown is sent again when the
 * session is back, for ever; its `retried` flag then tells that NODEEXISTS,
 * NONODE or BADVERSION may be the echo of its own first try.  A session that
 * expires ends all its operations with ZK_SESSION_EXPIRED.
 */
#ifndef ZKGLUE_ZKGLUE_H
#define ZKGLUE_ZKGLUE_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/task.h"
#include "base/waitq.h"

struct diag;
struct metrics;
struct zk;
struct zk_driver;
struct zkglue_options;

enum zk_rc {
	ZK_OK = 0,
	ZK_NO_NODE,
	ZK_NODE_EXISTS,
	ZK_BAD_VERSION,
	ZK_NOT_EMPTY,
	ZK_NO_CHILDREN_FOR_EPHEMERALS,
	ZK_ROLLED_BACK,     /* a part of a multi of which another part failed */
	ZK_SESSION_EXPIRED, /* the session in which it was sent is gone */
	ZK_NO_AUTH,
	ZK_TOO_LARGE,       /* beyond jute.maxbuffer */
	ZK_CLOSED,          /* zk_free() came first */
	ZK_OTHER            /* said in the log with the library's own words */
};
const char *zk_rc_name(enum zk_rc rc);

enum zk_state { ZK_CONNECTING, ZK_CONNECTED, ZK_SUSPENDED, ZK_EXPIRED };

struct zk_stat {
	int64_t czxid;
	int64_t mzxid;
	int64_t ctime_ms;
	int64_t mtime_ms;
	int64_t ephemeral_owner; /* session id, 0: persistent */
	int32_t version;
	int32_t children_version;
	int32_t children_count;
};

/* --- session -------------------------------------------------------------- */

struct zk_setup {
	struct loop *loop;               /* its owner */
	struct work_queue *workers;      /* connecting and closing block */
	struct zk_driver *driver;
	const struct zkglue_options *options;
	struct diag *diag;
	struct metrics *metrics;
	/* Where the session is saved to be closed by the next start (DESIGN 5);
	 * NULL: not saved.  `identity` binds it to machine and directory. */
	const char *session_file;
	const char *session_identity;
};

/* Starts to connect; also creates the chroot. Before that, closes the session
 * that session_file names, if it is ours: so the caller holds the lock of the
 * directory, and the process that saved it is dead. Options, driver, workers
 * and diag outlive the zk; the strings are copied. */
struct zk *zk_new(const struct zk_setup *setup);
/* Closes the session (its ephemeral nodes go at once) on a worker, then wakes
 * `task`, if any, after *closed (if given) became true, and the memory goes.
 * Pending operations end with ZK_CLOSED. */
void zk_close(struct zk *zk, struct task_ref task, bool *closed);

enum zk_state zk_state(const struct zk *zk);
/* The ordinal of the session, from 1; 0 before the first. A change means that
 * all ephemeral nodes are gone and that all watchers count as changed. */
uint64_t zk_session_ordinal(const struct zk *zk);
int64_t zk_session_id(const struct zk *zk);
/* Whether it was the id of one of the last sessions before the present one: an
 * ephemeral node that is owned by it is left of this very process. */
bool zk_session_was_ours(const struct zk *zk, int64_t id);
/* Woken at each change of state or session. */
struct waitq *zk_state_changed(struct zk *zk);

/* --- watchers ------------------------------------------------------------- */

/*
 * A watcher marks what it watches as changed and wakes who waits.  It is armed
 * by the read that names it, so there is no gap: clear `changed`, submit the
 * read, and whatever happens after the read's answer marks it again; also the
 * making of a node that the read did not find.  A new session marks all
 * watchers, and now and then one is marked for nothing.
 */
struct zk_watch_group;
struct zk_watcher {
	struct zk *zk; /* NULL after zk_close() */
	struct hash_node node;
	uint64_t id; /* what the driver holds: it may outlive the watcher */
	bool changed; /* starts true: never read yet */
	struct waitq woken;
	struct zk_watch_group *group; /* or NULL; outlives the watcher */
	struct list in_group;
};
void zk_watcher_init(struct zk_watcher *watcher, struct zk *zk);
void zk_watcher_fini(struct zk_watcher *watcher);

/*
 * Many watchers and one who waits: those marked since they were last taken are
 * in `changed`, so nobody walks over all of them.
 */
struct zk_watch_group {
	struct list changed; /* of zk_watcher.in_group */
	struct waitq woken;
};
void zk_watch_group_init(struct zk_watch_group *group);
void zk_watch_group_fini(struct zk_watch_group *group);
void zk_watch_group_add(struct zk_watch_group *group,
    struct zk_watcher *watcher);
/* Takes one out; NULL: none is left. Its `changed` stays. */
struct zk_watcher *zk_watch_group_take(struct zk_watch_group *group);

/* --- batches -------------------------------------------------------------- */

enum zk_op_kind {
	ZK_OP_GET,
	ZK_OP_EXISTS,
	ZK_OP_CHILDREN,
	ZK_OP_ACL,
	ZK_OP_CREATE,
	ZK_OP_SET,
	ZK_OP_DELETE,
	ZK_OP_CHECK,        /* only in a multi */
	ZK_OP_MULTI         /* all or nothing; its parts are ops of their own */
};

/* What every node of a cluster without ZooKeeper's security has. */
#define ZK_ACL_OPEN "world:anyone:cdrwa"

enum { ZK_PERSISTENT = 0, ZK_EPHEMERAL = 1, ZK_SEQUENTIAL = 2 };
#define ZK_ANY_VERSION (-1)

/* One operation and its answer. Memory is the batch's arena's. */
struct zk_op {
	enum zk_op_kind kind;
	const char *path; /* below the chroot */
	struct slice data; /* null is allowed and differs from empty */
	int32_t version;
	int flags;
	struct zk_watcher *watcher;
	struct zk_op *parts; /* MULTI */
	size_t part_count;
	void *cookie; /* the caller's */

	enum zk_rc rc;
	bool retried;
	/* GET, EXISTS, SET, CREATE (where known), parts too. */
	struct zk_stat stat;
	/* GET: data; CREATE: the path made, for sequentials; ACL: who may what,
	 * "world:anyone:cdrwa,sasl:kafka:r". */
	struct slice answer;
	const char **children; /* CHILDREN: names, sorted */
	size_t child_count;
};

/*
 * Operations that are sent together and answered together.
 *
 *	struct zk_batch *b = zk_batch_new(zk);
 *	struct zk_op *op = zk_batch_get(b, "/controller", &watcher);
 *	zk_batch_submit(b, task);          step: zk_batch_done(b) or STEP_WAIT
 *	... op->rc, op->answer ...
 *	zk_batch_free(&b);
 *
 * Freeing a batch that is under way abandons it: its answers are dropped.
 */
struct zk_batch;
struct zk_batch *zk_batch_new(struct zk *zk);
void zk_batch_free(struct zk_batch **batch);
struct arena *zk_batch_arena(struct zk_batch *batch);

struct zk_op *zk_batch_get(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher);
struct zk_op *zk_batch_exists(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher);
struct zk_op *zk_batch_children(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher);
struct zk_op *zk_batch_acl(struct zk_batch *batch, const char *path);
struct zk_op *zk_batch_create(struct zk_batch *batch, const char *path,
    struct slice data, int flags);
/* With all nodes above it, which have no data; the answer is its own. */
struct zk_op *zk_batch_create_all(struct zk_batch *batch, const char *path,
    struct slice data);
struct zk_op *zk_batch_set(struct zk_batch *batch, const char *path,
    struct slice data, int32_t version);
struct zk_op *zk_batch_delete(struct zk_batch *batch, const char *path,
    int32_t version);
/* A multi with room for `parts` operations, filled by zk_multi_*(). */
struct zk_op *zk_batch_multi(struct zk_batch *batch, size_t parts);
struct zk_op *zk_multi_create(struct zk_batch *batch, struct zk_op *multi,
    const char *path, struct slice data, int flags);
struct zk_op *zk_multi_set(struct zk_batch *batch, struct zk_op *multi,
    const char *path, struct slice data, int32_t version);
struct zk_op *zk_multi_delete(struct zk_batch *batch, struct zk_op *multi,
    const char *path, int32_t version);
struct zk_op *zk_multi_check(struct zk_batch *batch, struct zk_op *multi,
    const char *path, int32_t version);

/* Sends; at most zookeeper.max.in.flight.requests are under way at once. The
 * task is woken when all are answered. */
void zk_batch_submit(struct zk_batch *batch, struct task *task);
bool zk_batch_done(const struct zk_batch *batch);
/* The first answer that is not ZK_OK, or ZK_OK. */
enum zk_rc zk_batch_worst(const struct zk_batch *batch);

#include "zkglue/znodes.h"

#endif
