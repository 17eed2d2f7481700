/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of the library driver: sessions, calls, watches, its log. */
#ifndef ZKGLUE_LIBRARY_INT_H
#define ZKGLUE_LIBRARY_INT_H

#include <stdatomic.h>
#include <stdio.h>

/* The multi-threaded flavour of the client's header, which has a struct buffer
 * of its own that we never need. */
#define THREADED 1
#define buffer zookeeper_buffer
#include <zookeeper/zookeeper.h>
#undef buffer

#include "base/list.h"
#include "base/lock.h"
#include "zkglue/driver_int.h"
#include "zkglue/watch_table_int.h"

/* Paths watched over a lost connection: a quarter of what a server takes by
 * default in one packet, for each may be watched in two ways. */
#define WATCHED_BYTES_MAX ((size_t)256 << 10)

enum note_kind { NOTE_EVENT, NOTE_WATCH, NOTE_ANSWER };

/* What a thread of the client has to say to the loop. */
struct library_note {
	struct list link;
	enum note_kind kind;
};

struct library_event {
	struct library_note note;
	enum zk_driver_event event;
	int64_t id; /* CONNECTED: the session's */
	uint8_t password[16];
};

struct library_watch {
	struct library_note note;
	int type;
	char *path;
};

/*
 * A request with the client: all that its completion writes is here, in memory
 * of our own, for the completion runs on a thread of the client.  It is the
 * session's while the client has it, then the note's way to the loop.
 */
struct library_call {
	struct library_note note;
	struct list under_way; /* session's, under its lock */
	struct library_session *session;
	struct zk_driver_request *request;
	int rc;
	struct Stat stat;
	uint8_t *data; /* NULL: null */
	size_t length;
	char **names; /* CHILDREN, sorted; the texts lie behind the pointers */
	size_t name_count;
	size_t part_count; /* MULTI */
	zoo_op_t *operations;
	zoo_op_result_t *results;
	struct Stat *stats;
	char **paths; /* made, for sequentials */
};

/*
 * A session.  The client's threads append notes to the inbox; one post at a
 * time carries them to the loop.  After close() the inbox takes nothing more.
 */
struct library_session {
	struct zk_session base;
	zhandle_t *handle;
	struct zk_session_setup setup; /* hosts is not kept */
	char *chroot;
	int64_t id;        /* loop */
	uint8_t password[16];
	struct watch_table watches; /* loop */
	struct lock lock;
	struct list inbox; /* lock */
	struct list calls; /* lock: those without an answer yet */
	bool posted;       /* lock */
	bool closed;       /* lock */
	struct post post;
	atomic_uint references;
};

struct library_driver {
	struct zk_driver driver;
	struct diag *diag;
	struct library_log *log;
};

/* library_calls.c */
void library_submit(struct zk_session *base, struct zk_driver_request *request);
void library_call_answer(struct library_call *call);
void library_call_free(struct library_call *call);
/* driver_library.c */
void library_deliver(struct library_session *session,
    struct library_note *note);
/* library_log.c */
struct library_log *library_log_new(struct diag *diag);
void library_log_free(struct library_log *log);

#endif
