/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ZooKeeper in memory that replay runs against: a tree with versions,
 * ephemerals, sequentials, one-shot watches, multi, sessions with time-outs on
 * the scheduler's virtual clock; and the bad days of the real one at will.
 */
#ifndef ZKGLUE_FAKE_H
#define ZKGLUE_FAKE_H

#include "zkglue/driver.h"

struct zk_fake;

struct zk_fake *zk_fake_new(struct scheduler *scheduler);
/* All its drivers were freed. */
void zk_fake_free(struct zk_fake *fake);
/* One for each broker (client process). */
struct zk_driver *zk_fake_driver(struct zk_fake *fake);

/* --- bad days; `driver` is the client that they happen to --- */

/* The next write is applied, but its answer is lost with the connection. */
void zk_fake_lose_next_reply(struct zk_fake *fake, struct zk_driver *driver);
/* Cuts or restores the link; the session lives on until its time-out. */
void zk_fake_cut(struct zk_fake *fake, struct zk_driver *driver, bool cut);
/* Expires the session now, even while connected. */
void zk_fake_expire(struct zk_fake *fake, struct zk_driver *driver);
/* The client is told that its session is over, while the server keeps it, and
 * its nodes, until its time-out. */
void zk_fake_disown(struct zk_fake *fake, struct zk_driver *driver);
/* The session is over, but its connection stays, or comes back: only answers
 * tell. */
void zk_fake_forget(struct zk_fake *fake, struct zk_driver *driver);
/* ACLs of the one node let no client read it, nor its children; NULL: any may
 * again.  The text is borrowed. */
void zk_fake_forbid(struct zk_fake *fake, const char *path);
/* Called before each write is applied; may expire, cut, or stop the run. */
void zk_fake_on_write(struct zk_fake *fake,
    void (*hook)(void *arg, struct zk_driver *driver, const struct zk_op *op),
    void *arg);

/* --- looking at the tree --- */

/* False: no such node. The slice is valid until the next write. */
bool zk_fake_get(struct zk_fake *fake, const char *path, struct slice *data,
    struct zk_stat *stat);
/* A client outside the brokers. */
enum zk_rc zk_fake_put(struct zk_fake *fake, const char *path,
    struct slice data);
enum zk_rc zk_fake_delete(struct zk_fake *fake, const char *path);

#endif
