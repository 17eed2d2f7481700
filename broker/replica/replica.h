/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partitions that this broker hosts: role (leader or follower), ISR, high
 * watermark; produce that waits for replicas, fetch that waits for bytes.
 *
 *	            LeaderAndIsr(epoch up)              LeaderAndIsr
 *	  [none] ------------------------> LEADER <-------------------> FOLLOWER
 *	                                     |         dir failed         |
 *	                                     +----------> OFFLINE <-------+
 *
 * StopReplica ends the following, or, when it deletes, all: the partition goes
 * out of the table, and one of its name begins at [none] again.
 * A partition has one lock for role and appends.  No loop waits for it: an
 * append that finds it held is queued and whoever holds it takes it along.
 * Readers take end offset, high watermark, stable offset and leader epoch
 * together under a seqlock.  A partition is counted by reference; its wait
 * queues live as long as it does.
 */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include "base/errors.h"
#include "base/task.h"
#include "base/waitq.h"
#include "cluster/cluster.h"
#include "storage/storage.h"
#include "wire/wire.h"

struct replica;
struct replicas;
struct quota_options;
struct replica_options;
struct sockets;
struct tls;

struct replicas_setup {
	const struct replica_options *options;
	const struct broker_options *broker_options;
	struct scheduler *scheduler;
	struct storage *storage;
	struct cluster *cluster;
	struct configs *configs;
	struct work_queue *workers; /* roles change there */
	struct loop *loop; /* its timer tells when an order is tried again */
	int32_t broker_id;
	struct diag *diag;
	struct metrics *metrics;
};

struct replicas *replicas_new(const struct replicas_setup *setup);

/* Followers fetch from other brokers' leaders (doc/replication.md). */
struct follow_setup {
	struct loop **loops; /* the network's */
	size_t loop_count;
	struct sockets *sockets;
	struct work_queue *resolver;
	const char *listener; /* the brokers' own */
	struct tls *tls;      /* for it; NULL: plaintext */
	const char *control_listener; /* where the controller listens */
	struct tls *control_tls;
	int64_t (*broker_epoch)(void *arg); /* any thread; -1: none yet */
	void *broker_epoch_arg;
};
/* Before the first order, on the setup's loop; what this names outlives the
 * replicas. */
void replicas_start_following(struct replicas *replicas,
    const struct follow_setup *setup);
/* Fetchers of each leader, as num.replica.fetchers has it now: partitions go to
 * the others on a worker. On the setup's loop. */
void replicas_set_fetchers(struct replicas *replicas, int32_t count);
/* The rates of throttled replication, and of moves, as they are now (KIP-73).
 * Any thread. */
void replicas_set_throttles(struct replicas *replicas,
    const struct quota_options *quota);

/* This broker is about to stop, once others lead what it leads: it follows from
 * now on only where it is in sync, so that no leader takes it in whom it leaves
 * waiting. Any thread. */
void replicas_leave(struct replicas *replicas);
/* All waiting produce and fetch end; nothing is appended after it, and no order
 * is tried again. On the setup's loop. */
void replicas_stop(struct replicas *replicas);
/* After the stop and the last order, on the same loop: no try is under way. */
bool replicas_at_rest(const struct replicas *replicas);
/* Every produce, fetch, order and lookup is done, it is at rest, no page of
 * metrics is made any more, and nobody holds a replica. */
void replicas_free(struct replicas **replicas);

/*
 * Who wants to know where this broker leads: coordinators, which live where the
 * partitions of their topic are led.  `changed` is told after the change, on
 * any thread, of one partition in the order of its changes; it only notes it.
 * Leads: since `epoch`, in which this leadership began.  Does not any more: in
 * `epoch` another leads, or a log directory failed; -1: it was deleted.
 */
struct role_watch {
	struct list link; /* hidden */
	const char *topic;
	void (*changed)(void *arg, int32_t partition, bool leads,
	    int32_t epoch);
	void *arg;
};
/* Before the first order; it stays there as long as the replicas. */
void replicas_watch_roles(struct replicas *replicas, struct role_watch *watch);

/* --- looking -------------------------------------------------------------- */

/* NULL: not hosted here. The caller unrefs. Any thread. */
struct replica *replicas_find(struct replicas *replicas, struct slice topic,
    int32_t partition);
struct replica *replica_ref(struct replica *replica);
void replica_unref(struct replica *replica);
struct log *replica_log(struct replica *replica); /* NULL: offline */
/*
 * Where the partition ends for consumers, be it led here or elsewhere: then as
 * its leader told within the last minute.  False: not known, or not yet.  The
 * leader is asked every few seconds, from the first question on until there was
 * none for a minute.  Any thread.
 */
bool replicas_high_watermark(struct replicas *replicas, struct slice topic,
    int32_t partition, int64_t *out);
/* storage_steady_ms(), for who knows no storage. Any thread. */
int64_t replicas_steady_ms(struct replicas *replicas);

/* The daemon tells of storage's failed directory and of topics' new configs,
 * after configs_topic() answers them: what was resolved is kept till then.
 * Any thread. */
void replicas_dir_failed(struct replicas *replicas, struct log_dir *dir);
void replicas_config_changed(struct replicas *replicas,
    const struct topic_config *config);
/* That of every topic may have. */
void replicas_defaults_changed(struct replicas *replicas);
/* Workers, as background.threads has them now. */
void replicas_set_workers(struct replicas *replicas, int background_threads);

/* What readers see, all of one moment. */
struct replica_view {
	int64_t log_start_offset;
	int64_t end_offset;
	int64_t high_watermark;
	int64_t stable_offset;
	int64_t leader_epoch_start; /* end offset when this leader began */
	int32_t leader_epoch;
	int32_t leader; /* -1: none known */
	bool leads;
	bool offline;
};
void replica_view(const struct replica *replica, struct replica_view *out);

/* Gauges for metrics and tests. */
struct replicas_counts {
	size_t partitions;
	size_t leaders;
	size_t offline;
	size_t under_replicated;
	size_t under_min_isr;
};
void replicas_count(struct replicas *replicas, struct replicas_counts *out);

/* --- what the controller orders ------------------------------------------- */

/*
 * LeaderAndIsr, all versions: a task's step starts it, the work is done on
 * workers, the task is woken at the end. Broker-epoch and controller-epoch
 * checks are in it. The response's memory is the arena's.
 */
struct replicas_order;
struct replicas_order *replicas_leader_and_isr(struct replicas *replicas,
    const struct leader_and_isr_request *request, int version,
    int64_t own_broker_epoch, struct arena *arena,
    struct leader_and_isr_response *response, struct task_ref task);
bool replicas_order_done(const struct replicas_order *order);
void replicas_order_free(struct replicas_order **order);
/*
 * StopReplica, all versions, in the same way: replicas are stopped on workers
 * and, where that is asked for, deleted with their logs. What waits for them
 * ends. The epochs' checks are in it.
 */
struct replicas_stop_order;
struct replicas_stop_order *replicas_stop_replica(struct replicas *replicas,
    const struct stop_replica_request *request, int version,
    int64_t own_broker_epoch, struct arena *arena,
    struct stop_replica_response *response, struct task_ref task);
bool replicas_stop_order_done(const struct replicas_stop_order *order);
void replicas_stop_order_free(struct replicas_stop_order **order);
/* The controller epoch that UpdateMetadata, LeaderAndIsr and StopReplica share:
 * false when `epoch` is below the last one seen. Any thread. */
bool replicas_accept_controller_epoch(struct replicas *replicas,
    int32_t epoch);

/* --- produce -------------------------------------------------------------- */

/* One partition's part. */
struct produce_part {
	struct slice topic;
	int32_t partition;
	uint8_t *bytes;     /* in the request's frame; stamped in place */
	size_t size;
	bool null_records;
	/* the answer */
	enum error error;
	const char *error_message;
	const struct record_fault *faults;
	int32_t fault_count;
	int64_t base_offset;
	int64_t log_append_time_ms;
	int64_t log_start_offset;
	int32_t current_leader; /* with NOT_LEADER_OR_FOLLOWER; -1: unknown */
	int32_t current_leader_epoch;
	/* hidden */
	struct replica *replica;
	struct produce_part_int *state;
};

struct produce {
	struct replicas *replicas;
	struct loop *loop; /* where it is run and answered */
	struct arena *arena;
	struct produce_part *parts;
	size_t part_count;
	int16_t acks;
	int32_t timeout_ms;
	int api_version;
	bool internal_allowed; /* the client is Kafka's admin client */
	bool names_transaction; /* the request has a transactional id */
	/* A coordinator's: whether the loop's image has the topic does not
	 * matter, but this broker must lead without a break since the epoch. */
	bool coordinators;
	int32_t leads_since;
	/* Records are being looked at by a worker: what is to be appended
	 * behind these must wait. On the loop, in produce_run(), maybe more
	 * than once. May be NULL. */
	void (*held)(struct produce *produce);
	/* All parts' bytes were appended or refused, but the answer has to
	 * wait: the frame may go. On the loop, at most once, before `done`; not
	 * called when `done` follows at once. May be NULL. */
	void (*appended)(struct produce *produce);
	/* On `loop`; maybe before produce_run() returns. */
	void (*done)(struct produce *produce);
	void *owner;
	struct produce_int *state; /* hidden */
};
/* Validates, appends, waits for acks. Answers in the parts. */
void produce_run(struct produce *produce);
/* The asker is gone: `done` still comes, soon. */
void produce_abandon(struct produce *produce);

/* --- fetch ---------------------------------------------------------------- */

struct fetch_part {
	struct slice topic;      /* resolved name; null: unknown id */
	struct uuid topic_id;    /* zero: asked by name */
	int32_t partition;
	int32_t current_leader_epoch;   /* -1: unchecked */
	int32_t last_fetched_epoch;     /* -1: none */
	int64_t fetch_offset;
	int64_t log_start_offset;       /* the follower's */
	int32_t max_bytes;
	enum error error; /* may be set by the asker before: then not read */
	/* the answer */
	int64_t high_watermark;
	int64_t stable_offset;
	int64_t answered_log_start;
	struct log_epoch_end diverging; /* epoch -1: none */
	bool has_diverging;
	int32_t current_leader;
	int32_t current_leader_id_epoch;
	int32_t preferred_read_replica; /* -1: none; nothing was read then */
	struct extent extent; /* a reference; the taker unrefs */
	struct log_aborted_list aborted; /* the arena's */
	bool tells_aborted; /* there is a list, be it empty */
	/* hidden */
	struct replica *replica;
	struct waitq_link link;
};

struct fetch {
	struct replicas *replicas;
	struct loop *loop; /* where it is run and answered */
	struct arena *arena;
	struct fetch_part *parts; /* in reading order */
	size_t part_count;
	int32_t replica_id;       /* -1: a consumer; -2: debug */
	int64_t replica_epoch;
	int32_t max_wait_ms;
	int32_t min_bytes;
	int32_t max_bytes;
	int8_t isolation;         /* 1: read committed */
	bool hard_limit;          /* v0-2: no whole batch beyond the limit */
	bool may_read_follower;   /* v11+ with client metadata: */
	struct slice rack;        /* the consumer's; empty: not told */
	const char *listener;     /* that it came to */
	bool refuses_zstd;        /* v0-9: topics of that codec: error 76 */
	bool converts;            /* v0-3: what is read becomes... */
	int8_t magic;             /* ... of this one, 0 or 1 */
	/* True: answer at once whatever is there (a session says so). */
	bool (*must_answer)(struct fetch *fetch);
	void (*done)(struct fetch *fetch);
	void *owner;
	struct fetch_int *state; /* hidden */
};
/* As produce_run: `done` on the same loop, maybe before it returns. */
void fetch_run(struct fetch *fetch);
void fetch_abandon(struct fetch *fetch);

/* --- offsets -------------------------------------------------------------- */

/* ListOffsets for one partition. */
struct offset_query {
	struct slice topic;
	int32_t partition;
	int32_t current_leader_epoch;
	int32_t replica_id;
	int64_t timestamp; /* or -1 .. -5 */
	int8_t isolation;
	int version;
	int32_t max_offsets; /* v0 */
	enum error error; /* set by the asker before: not looked up */
	/* the answer */
	struct log_found found;
	int64_t *offsets; /* v0, at most max_offsets; from the arena */
	int32_t offset_count;
	bool reads; /* hidden: not answered yet */
};
struct offset_lookup {
	struct work work; /* hidden */
	struct replicas *replicas;
	struct arena *arena;
	struct offset_query *queries;
	size_t count;
	struct task_ref task;
	bool done;
};
/* On a loop that has an image. Answers what needs no disk; true: that was
 * all. */
bool offset_lookup_at_once(struct offset_lookup *lookup);
/* The rest, on a worker: `done`, and the task is woken. */
void offset_lookup_start(struct offset_lookup *lookup, struct loop *home);

/* OffsetForLeaderEpoch for one partition (KIP-101). */
struct epoch_query {
	struct slice topic;
	int32_t partition;
	int32_t current_leader_epoch; /* -1: unchecked */
	int32_t leader_epoch;
	/* the answer */
	enum error error;
	struct log_epoch_end end; /* epoch and offset -1: unknown */
};
/* On a loop that has an image; answers at once. */
void replicas_epoch_end(struct replicas *replicas, struct epoch_query *query);

#endif
