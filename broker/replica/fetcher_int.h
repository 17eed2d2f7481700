/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Followers' fetching, shared by its files:
 *
 *	fetchers.c       which fetcher has which partition; begin, end, stop
 *	fetcher.c        the task: one Fetch after the other
 *	fetcher_ask.c    the fetch session's client (KIP-227), requests
 *	fetcher_range.c  ListOffsets for those that are out of range
 *	fetcher_table.c  its followings, and their order
 *	fetcher_apply.c  what an answer does to a log
 *	link.c           the connection
 *	ends.c           other partitions' ends, which nobody follows
 *
 * A following is one partition that follows one leader in one leader epoch:
 *
 *	     begin                                   end (an order)
 *	       |                                       |
 *	       v                                       v
 *	 [FETCHES] <--answer, append on the loop--+  over: what it is at ends
 *	   |  ^  |________________________________|  without effect; [OVER] once
 *	   |  |                                      the loop has seen it, until
 *	   |  +-- [BUSY] a worker appends, cuts or   the leader's session has
 *	   |  |          syncs                       forgotten it
 *	   |  +-- [ASKS] ListOffsets is under way, or to be
 *	   |  +-- [PAUSED] replica.fetch.backoff.ms, or up to it
 *	   +----> [FAILED] until the next leader epoch
 *
 * How many are in which state is counted, and what an order ended is noted: a
 * request of a thousand partitions that rest is one walk, which builds it.
 */
#ifndef REPLICA_FETCHER_INT_H
#define REPLICA_FETCHER_INT_H

#include "net/peer.h"
#include "replica/follow.h"
#include "replica/replica_int.h"

/* --- link.c: a connection to a broker ------------------------------------- */

struct link {
	const struct follow_setup *setup;
	struct replicas *replicas;
	const char *listener;
	struct tls *tls;
	int64_t request_timeout_ms;
	size_t response_bytes_max;
	char client_id[48];
	struct peer *peer; /* NULL: none */
	char *host;
	int32_t port;
};
/* The peer for that broker's address as the loop's image has it; NULL: it is
 * not there. */
struct peer *link_peer(struct link *link, struct loop *loop, int32_t broker);
void link_close(struct link *link);
/* Whether there is one, and that broker is there still. */
bool link_stands(const struct link *link, int32_t broker);

/* What leaders are asked where their logs end with. */
#define LIST_OFFSETS_VERSION 9
#define TIMESTAMP_LATEST (-1)

/* --- one partition -------------------------------------------------------- */

enum following_state {
	FOLLOWING_FETCHES,
	FOLLOWING_ASKS,
	FOLLOWING_BUSY,
	FOLLOWING_PAUSED,
	FOLLOWING_FAILED,
	FOLLOWING_OVER
};
#define FOLLOWING_STATES (FOLLOWING_OVER + 1)

/* What the leader was told of it last. */
struct following_asked {
	int64_t fetch_offset;
	int64_t log_start_offset;
	int32_t last_fetched_epoch;
};

/* As an answer names it; no padding, it is a key. */
struct following_id {
	struct uuid topic_id;
	int32_t partition;
};
_Static_assert(sizeof(struct following_id) ==
    sizeof(struct uuid) + sizeof(int32_t), "a key");

/* What a worker does. */
enum following_job { JOB_CUT, JOB_ANEW, JOB_FLUSH };

struct following {
	atomic_uint references;
	struct replica *replica; /* a reference */
	struct fetcher *fetcher;
	struct uuid topic_id;    /* zero: none is known */
	int32_t leader_epoch;
	atomic_bool over;        /* `end` was called */
	struct list link;        /* in the fetcher's inbox; its lock */
	/* The fetcher's loop's. */
	struct hash_node node;   /* by the replica's key */
	struct hash_node id_node; /* if it has one: by the topic's id */
	struct following_id id;
	bool has_id;
	enum following_state state;
	int64_t resume_ns;
	int64_t refused_ns;      /* the last pause for a refusal; 0: none */
	bool crowded;            /* pauses for want of room for its copy */
	bool in_session;
	/* What the leader told of it last was not taken, and its session tells
	 * only what is new: it is to forget it and to be told of it anew. */
	bool renew;
	bool asked;              /* in the request that is under way */
	struct following_asked told;
	const char *complaint;   /* what was said of the trouble at hand */
	enum error complaint_error;
	bool in_table;
	struct fetcher_range *range; /* NULL: not in such a request */
	/* While BUSY, the worker's. */
	struct work work;
	enum following_job job;
	struct follow_step step;
	enum error error;
	struct append append;
	bool flush_wanted;
	/* Something of its log may be unsynced that is to be synced before more
	 * is asked for (flush.messages): the loop's. */
	bool sync_first;
	/* It is to be cut to its high watermark before: the loop's. */
	bool cut_first;
	uint8_t *copy;           /* of the bytes, with what append points to */
	size_t copy_bytes;
	struct post post;
};
void following_unref(struct following *following);
static inline struct following *
following_ref(struct following *following)
{
	atomic_fetch_add(&following->references, 1);
	return (following);
}

/* --- one fetcher ---------------------------------------------------------- */

struct fetcher {
	struct fetchers *fetchers;
	struct fetcher *next;
	int32_t leader;
	int32_t number;
	struct loop *loop;
	struct lock lock; /* a leaf: the inbox */
	struct list inbox;
	atomic_bool posted;
	struct post post;
	struct post stop_post;
	/* The loop's. */
	bool stopped;
	struct task_ref task;
	struct hash table;   /* of struct following */
	struct hash by_id;   /* those of them that have ids */
	size_t nameless;     /* the others */
	size_t counts[FOLLOWING_STATES]; /* of those in the table */
	bool ended;          /* some may be over, or not in the session */
	int64_t next_resume_ns; /* no one that pauses goes on before */
	bool table_changed;
	struct following **order; /* sorted by topic; rebuilt when it changed */
	size_t order_count;
	size_t first;        /* where the next request begins */
	struct link connection;
	struct peer_call call;
	bool calling;
	bool fetching;       /* it is a Fetch */
	/* While it is under way: the session that it goes on with, or makes, is
	 * given up with its answer. */
	bool session_broken;
	struct arena arena;  /* of a request and its answer */
	union {
		struct fetch_response fetch;
		struct list_offsets_response offsets;
	} response;
	int32_t session_id;
	int32_t session_epoch; /* 0: the next request is a full one */
	int request_version;
	int session_version;   /* 12: by names */
	bool complained;
	size_t copied_bytes;   /* held for workers */
	bool crowded;          /* some wait until they are fewer */
	int64_t range_timestamp;
	struct fetcher_range *ranges; /* the arena's */
	size_t range_count;
};

/* All of this broker; in struct replicas. */
struct fetchers {
	struct replicas *replicas;
	struct follow_setup setup;
	struct lock lock; /* a leaf: the list, the count, `stopped` */
	struct fetcher *first;
	bool stopped;
	bool ended; /* fetchers_stop()'s */
	atomic_int count;  /* num.replica.fetchers */
	/* The setup's loop's: partitions go over to another number. */
	struct work spread;
	bool spreads;
	int32_t spread_count;
	atomic_size_t busy; /* fetchers that run, and what is with workers */
};

int64_t fetcher_backoff_ns(const struct fetcher *fetcher);
void fetcher_wake(struct fetcher *fetcher);
/* The task's first step. */
task_step fetcher_gather;
extern const struct task_class fetcher_class;
struct fetcher *fetcher_of(struct task *task);
void fetcher_end_call(struct fetcher *fetcher);
/* A request went out: how long it is waited for before one asks why. */
void fetcher_sent(struct task *task);
/* What it waits for is of no use any more, or will not come: the request was
 * ended, with its connection. */
bool fetcher_gives_up(struct task *task);
void following_pause(struct following *following);
void following_pause_for(struct following *following, int64_t ns);
/* The leader refuses (or what it answers cannot be taken): most likely it was
 * not told yet, and will be soon. The first pauses are short, each twice the
 * last up to replica.fetch.backoff.ms. */
void following_await_leader(struct following *following);
void following_fail(struct following *following, const char *why);
void following_complain(struct following *following, const char *what,
    enum error error);

/* --- fetcher_table.c ------------------------------------------------------ */

/* Takes over the caller's reference. */
void fetcher_add(struct fetcher *fetcher, struct following *following);
void fetcher_drop(struct fetcher *fetcher, struct following *following);
void fetcher_clear(struct fetcher *fetcher);
/* One that is OVER stays so. */
void following_enter(struct following *following,
    enum following_state state);
/* What orders ended, and pauses that are through, are seen; who is over and not
 * in the session goes. */
void fetcher_notice(struct fetcher *fetcher);
/* NULL: it has none. */
struct following *fetcher_find(const struct fetcher *fetcher,
    struct slice topic, int32_t partition);
struct following *fetcher_find_by_id(const struct fetcher *fetcher,
    struct uuid topic_id, int32_t partition);
/* `order` is as the table. */
void fetcher_sort(struct fetcher *fetcher);

/* --- fetcher_ask.c -------------------------------------------------------- */

/* Builds the request in the arena; answers its version. -1: no memory. *kept:
 * how many it fetches; of none it is not to be sent. */
int fetcher_build(struct fetcher *fetcher, struct fetch_request *request,
    size_t *kept);
/* False: the answer names an error of the session, and it begins anew. */
bool fetcher_session_answered(struct fetcher *fetcher,
    const struct fetch_response *response);
/* It is not known what the leader's session holds; of a Fetch that is under
 * way: not gone on with after it. */
void fetcher_session_lost(struct fetcher *fetcher);

/* --- fetcher_range.c ------------------------------------------------------ */

task_step fetcher_range_ask;
void fetcher_end_ranges(struct fetcher *fetcher);
/* One that was asked for still follows. */
bool fetcher_range_lives(const struct fetcher *fetcher);

/* --- fetcher_apply.c ------------------------------------------------------ */

/* False: it is not an answer to what would be asked now. */
bool following_take(struct following *following,
    const struct fetch_response_partition *answer);
/* Syncs its log, on a worker, before it fetches on. */
void following_sync(struct following *following);
/* Carries out a truncation, likewise. */
void following_cut(struct following *following,
    const struct follow_step *step);
/* `lock` is held: it is still followed so. */
bool following_holds(const struct following *following);

#endif
