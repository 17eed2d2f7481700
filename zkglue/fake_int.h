/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The insides of the ZooKeeper in memory.
 *
 *	client (driver_memory.c)             server (fake.c)       fake_tree.c
 *	submit  ----- message ------------>  apply  -------------> nodes
 *	done    <---- message -------------  answer
 *	on_watch <--- message -------------  watch tables <------- changes
 *
 * The server has a loop of its own; messages are posts, so they keep their
 * order and take their turn as the scheduler's seed wills.  Everything runs on
 * the one thread of replay.
 */
#ifndef ZKGLUE_FAKE_INT_H
#define ZKGLUE_FAKE_INT_H

#include "zkglue/driver_int.h"
#include "zkglue/fake.h"
#include "zkglue/watch_table_int.h"

struct fake_client;

/* --- the tree ------------------------------------------------------------- */

struct fake_node {
	struct hash_node hash;
	char *path;
	struct fake_node *parent;
	struct list sibling;
	struct list children;
	struct slice data; /* ours */
	struct zk_stat stat;
	int64_t creates; /* of children, ever: numbers the sequentials */
};

/* What an operation did, to be undone or to be told to watches. */
enum fake_change_kind { FAKE_CREATED, FAKE_SET, FAKE_DELETED };

struct fake_change {
	struct list link;
	enum fake_change_kind kind;
	struct fake_node *node;
	struct slice old_data;
	struct zk_stat old_stat;
	struct zk_stat parent_stat;
	int64_t parent_creates;
};

struct fake_tree {
	struct hash nodes;
	struct fake_node *root;
	int64_t zxid;
};

void fake_tree_init(struct fake_tree *tree);
void fake_tree_fini(struct fake_tree *tree);
struct fake_node *fake_tree_find(const struct fake_tree *tree,
    const char *path);

/* One write within a transaction; appends to `changes` when it succeeds. */
struct fake_write {
	enum zk_op_kind kind;
	const char *path; /* whole */
	struct slice data;
	int32_t version;
	int flags;
	int64_t owner; /* of an ephemeral */
	int64_t now_ms;
	/* Answers. */
	struct fake_node *node; /* made or set */
};
enum zk_rc fake_tree_write(struct fake_tree *tree, struct fake_write *write,
    struct list *changes);
void fake_tree_undo(struct fake_tree *tree, struct list *changes);
void fake_tree_commit(struct list *changes);

/* --- the server ----------------------------------------------------------- */

struct fake_session {
	struct list link;
	int64_t id;
	uint8_t password[16];
	int64_t timeout_ns;
	struct fake_client *client; /* the last one; NULL: it is gone */
	struct watch_table watches;
	struct list pending;        /* watches that fired while cut off */
	int64_t deadline_ns;        /* 0: a client is linked */
	struct zk_fake *fake;
};

struct zk_fake {
	struct scheduler *scheduler;
	struct loop *loop;
	struct fake_tree tree;
	struct list sessions;
	struct list drivers;
	int64_t next_session_id;
	struct timer expiry; /* the next session to run out of time */
	const char *forbidden; /* nobody reads this; NULL: none */
	void (*on_write)(void *arg, struct zk_driver *driver,
	    const struct zk_op *op);
	void *on_write_arg;
};

struct fake_driver {
	struct zk_driver driver;
	struct zk_fake *fake;
	struct list link;
	struct list clients;
	bool cut;
	bool lose_next_reply;
};

enum fake_message_kind {
	FAKE_CONNECT, /* to the server */
	FAKE_REQUEST,
	FAKE_EVENT, /* to the client */
	FAKE_WATCH,
	FAKE_REPLY,
	FAKE_LOST
};

struct fake_message {
	struct post post;
	struct list link; /* client->outstanding, or session->pending */
	enum fake_message_kind kind;
	struct fake_client *client; /* a reference */
	uint64_t generation;
	bool held; /* goes out with the next connection */
	struct zk_driver_request *request;
	enum zk_driver_event event;
	void *cookie;
};

/* The client's half of a session. */
struct fake_client {
	struct zk_session base;
	struct zk_fake *fake;
	struct fake_driver *driver; /* NULL: freed */
	struct list link;
	struct zk_session_setup setup;
	char *chroot;
	struct fake_session *session; /* NULL: none yet, or over */
	int64_t id;
	uint8_t password[16];
	bool asked;   /* had a session */
	bool over;    /* was told that it expired */
	bool forgotten; /* its session is over, and only answers tell */
	bool closed;
	bool linked;
	bool connecting; /* a CONNECT is on its way */
	uint64_t generation; /* of the link; what belongs to an older is lost */
	struct list outstanding;
	unsigned references;
};

/* fake.c */
void fake_server_request(struct fake_message *message);
void fake_server_connect(struct fake_client *client);
void fake_session_end(struct fake_session *session);
/* Nobody is linked to it any more: its time runs. */
void fake_session_left(struct fake_session *session);
bool fake_op_writes(const struct zk_op *op);

/* driver_memory.c */
void fake_client_unref(struct fake_client *client);
void fake_client_tell(struct fake_client *client, enum zk_driver_event event);
void fake_client_watch(struct fake_client *client, void *cookie);
/* The link breaks: what is under way is lost, and it connects again. */
void fake_client_break(struct fake_client *client);
void fake_client_reconnect(struct fake_client *client);
/* Linked again: what was held goes out. */
void fake_client_flush(struct fake_client *client);
extern const struct zk_driver_ops fake_driver_ops;

#endif
