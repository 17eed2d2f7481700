/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the room: one partition's state, and who may touch what of it.
 *
 *	lock     role changes and appends; may be held over a disk write or even
 *	         a sync, so no loop ever waits for it (append.c)
 *	state    held for moments: the fields below its name; they change
 *	         under `state`, those marked (+) only with `lock` held as well;
 *	         of other locks only the log's own is taken under it, and only
 *	         while transactions are open
 *	sight    a copy for readers, under a seqlock whose writer holds `state`
 *	rules    likewise
 *
 * A follower's fetch needs `state` alone: it moves the high watermark while an
 * append is being written.
 */
#ifndef REPLICA_REPLICA_INT_H
#define REPLICA_REPLICA_INT_H

#include <stdatomic.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/lock.h"
#include "metrics/metrics.h"
#include "quota/throttle.h"
#include "replica/isr.h"
#include "replica/replica.h"

#define REPLICAS_MAGIC 0x7265706cU
#define REPLICA_MAGIC 0x70617274U

#define NANOS_PER_MILLI 1000000

/* What readers see, the public view and what only this room asks. */
struct replica_sight {
	struct replica_view view;
	int64_t first_unstable;    /* as log_first_unstable() */
	int32_t leads_since;       /* epoch in which this leadership began */
	int32_t isr_count;         /* as the controller confirmed it */
	int32_t maximal_isr_count; /* with those being added */
	int32_t replica_count;
	/* Which one it is: replica_changed_since() asks for another. */
	unsigned sequence;
};
#define SIGHT_WORDS ((sizeof(struct replica_sight) + 7) / 8)

/* What the topic's config says to those who append. */
struct replica_rules {
	int64_t timestamp_before_max_ms;
	int64_t timestamp_after_max_ms;
	int32_t max_message_bytes;
	int32_t segment_bytes;
	int32_t min_insync;
	int32_t codec; /* -1: as it comes */
	int32_t codec_level;
	bool compacted;
	bool log_append_time;
	bool throttled_as_leader;   /* {leader,follower}.replication. */
	bool throttled_as_follower; /* throttled.replicas name it */
};
#define RULES_WORDS ((sizeof(struct replica_rules) + 7) / 8)

/* Counts for the metrics' page; any thread. */
struct replica_traffic {
	atomic_uint_least64_t messages_in;
	atomic_uint_least64_t bytes_in;
	atomic_uint_least64_t bytes_out;
	atomic_uint_least64_t bytes_rejected;
	atomic_uint_least64_t produces;
	atomic_uint_least64_t fetches;
	atomic_uint_least64_t failed_produces;
	atomic_uint_least64_t failed_fetches;
	atomic_uint_least64_t produce_conversions;
	atomic_uint_least64_t fetch_conversions;
};

struct replica {
	uint32_t magic;
	atomic_uint references;
	struct replicas *replicas;
	struct hash_node node; /* in the table, which holds a reference */
	char *topic;
	int32_t partition;
	uint8_t *key;
	size_t key_length;
	_Atomic(struct log *) log; /* set once, a reference; NULL: none yet */

	struct append_dir *_Atomic dir; /* of the log */

	struct waitq readable; /* more to read, or the role changed */
	struct waitq acked;    /* high watermark up, or the role changed */
	struct waitq trimmed;  /* a follower's log start, or the role changed */

	struct lock lock;
	struct lock state;
	bool leads;                /* (+) */
	atomic_bool offline;       /* any thread may look */
	/* (+) Deleted and out of the table, for good: who finds it so, with
	 * `lock` held, looks for another. Any thread may look. */
	atomic_bool gone;
	bool claimed;              /* by an order; the shard's lock */
	struct order_kept *kept;   /* the claim's: it waits; NULL: none */
	struct move *move;         /* the claim's: to another log directory */
	/* Of the copy that it makes; INT64_MAX: none. Any thread. */
	atomic_int_least64_t copy_start_offset;
	int32_t leader;            /* (+) */
	int32_t leader_epoch;      /* (+) -1: no LeaderAndIsr yet */
	int32_t leads_since;       /* (+) */
	/* To role_watch; -1: that it does not lead; -2: not yet that it was
	 * deleted. */
	int32_t told_since;
	int32_t partition_epoch;   /* (+) */
	int64_t leader_epoch_start; /* (+) */
	int64_t end_offset;        /* (+) as published */
	int64_t high_watermark;
	bool high_watermark_known; /* (+) taken from the checkpoint */
	/* Membership (+), progress and who joins not. */
	struct isr isr;
	uint64_t proposed;         /* a change of it, by its id, or: */
#define PROPOSED_NOTHING 0
#define PROPOSED_GIVEN_UP UINT64_MAX /* until the next leader epoch */
	/* Of the last refusal that was said; ERR_NONE: the next is; `state`. */
	enum error refusal_said;
	int64_t refusal_said_ms;
	atomic_bool wished;        /* that the proposer looks at it */
	struct list wish_link;     /* the proposer's lock */
	atomic_int min_insync;     /* min.insync.replicas, last seen */

	atomic_uint sight_sequence; /* odd while it is being written */
	atomic_uint_least64_t sight[SIGHT_WORDS];
	atomic_uint rules_sequence; /* the same; 0: nobody has asked yet */
	atomic_uint_least64_t rules[RULES_WORDS];

	/* Appends that found `lock` held, oldest first. */
	struct lock queue_lock; /* a leaf */
	struct list queue;
	atomic_uint queue_length;
	struct work drain;
	atomic_bool draining;

	struct replica_traffic traffic;
	struct following *following; /* (+) a reference; NULL: nobody */
	/* Records that the leader's high watermark is ahead of its end. Any
	 * thread. */
	atomic_int_least64_t fetch_lag;
	atomic_bool reassigned; /* replicas come or go, as the role says */
	atomic_bool added;      /* this one comes */
};
#define FETCH_LAG_NONE (-1)   /* it follows nobody */
#define FETCH_LAG_FAILED (-2) /* it gave up */
#define FETCH_LAG_UNKNOWN (-3) /* nothing was fetched yet */

/*
 * Words that one writer at a time changes and any reader takes whole:
 *
 *	writer (holds `state`)            reader (holds nothing)
 *	sequence odd                      sequence, again while odd
 *	words                             words
 *	sequence even                     same sequence? else again
 *
 * Release and acquire on every word, where fences would do, because
 * ThreadSanitizer knows no fences; on x86 they are plain moves all the same.
 */
static inline void
words_write(atomic_uint *sequence, atomic_uint_least64_t *words,
    const uint64_t *from, size_t count)
{
	unsigned before = atomic_load_explicit(sequence, memory_order_relaxed);

	atomic_store_explicit(sequence, before + 1, memory_order_relaxed);
	for (size_t i = 0; i < count; i++)
		atomic_store_explicit(&words[i], from[i],
		    memory_order_release);
	atomic_store_explicit(sequence, before + 2, memory_order_release);
}

/* Answers the sequence that they were written with. */
static inline unsigned
words_read(const atomic_uint *sequence, const atomic_uint_least64_t *words,
    uint64_t *to, size_t count)
{
	unsigned before, after;

	do {
		before = atomic_load_explicit(sequence, memory_order_acquire);
		for (size_t i = 0; i < count; i++)
			to[i] = atomic_load_explicit(&words[i],
			    memory_order_acquire);
		after = atomic_load_explicit(sequence, memory_order_relaxed);
	} while ((before & 1) != 0 || before != after);
	return (before);
}

/* What the table knows a partition by: its number, then its topic. */
#define REPLICA_KEY_MAX (sizeof(int32_t) + TOPIC_NAME_MAX)

#define TABLE_SHARDS 64
struct table_shard {
	struct lock lock; /* a leaf */
	struct hash replicas;
	struct lock_news unclaimed; /* one of them was */
};

/* Windows for decompression that no thread uses just now. */
#define SCRATCH_KEPT 16

/* Where a follower's fetching attaches. Called with `lock` held, on a
 * worker. */
struct follow_ops {
	void (*begin)(void *arg, struct replica *replica, int32_t leader,
	    int32_t leader_epoch);
	void (*end)(void *arg, struct replica *replica);
};

/* Orders that could not be carried out yet. */
struct orders_again {
	struct lock lock; /* a leaf */
	struct list kept; /* who has waited longest since a try comes first */
	size_t count;
	atomic_bool armed; /* one of these three is under way */
	struct post post;
	struct timer timer;
	struct work work;
};

/* Replicas that move to other log directories. */
struct moves {
	struct lock lock; /* a leaf */
	struct list list;
	atomic_int running; /* a step, or the pause before one */
	struct work_queue *queue;
};

struct replicas {
	uint32_t magic;
	struct replicas_setup setup;
	const struct clock *clock;
	struct table_shard shards[TABLE_SHARDS];
	atomic_bool stopped;
	atomic_bool leaving;
	atomic_int controller_epoch;
	struct lock scratch_lock; /* a leaf */
	struct record_scratch *scratch[SCRATCH_KEPT];
	size_t scratch_count;
	struct work_queue *drains; /* where there is no directory yet */
	atomic_size_t drains_under_way;
	struct work_queue *records; /* the processor's work alone */
	struct lock dirs_lock;
	struct append_dir *dirs; /* only grows */
	int dir_workers; /* for those that have their own */
	struct orders_again again;
	struct moves moves;
	/* When a leadership began last, monotonic: fetch.c. */
	atomic_int_least64_t led_ns;
	struct waitq led; /* fetches of followers, for when one begins */
	struct throttle to_followers; /* of leaders here */
	struct throttle from_leaders; /* of followers here */
	struct throttle between_dirs; /* of moves */
	bool reads_closest; /* consumers may be sent to a follower (KIP-392) */
	struct list watches; /* of struct role_watch */
	const struct follow_ops *follow; /* NULL: followers do not fetch */
	void *follow_arg;
	struct fetchers *fetchers; /* NULL: likewise */
	struct isr_proposer *proposer;
	struct ends *ends;
};

/* --- replicas.c ----------------------------------------------------------- */

/* As replicas_find(); makes it, with no role, when it is not there. NULL: the
 * system refused memory. */
struct replica *replicas_find_or_add(struct replicas *replicas,
    struct slice topic, int32_t partition);
/* Each once, with no lock held; the callback answers false to stop. */
void replicas_each(struct replicas *replicas,
    bool (*each)(void *arg, struct replica *replica), void *arg);
bool replicas_stopped(const struct replicas *replicas);
/* Its length; 0: no partition has such a name. */
size_t replica_make_key(struct slice topic, int32_t partition,
    uint8_t key[REPLICA_KEY_MAX]);
/* Which of so many shares of an order a partition's rows belong to: always the
 * same one, and partitions and topics spread. */
size_t replicas_spread(struct slice topic, int32_t partition, size_t ways);
int64_t replicas_now_ms(const struct replicas *replicas);
/*
 * An order (LeaderAndIsr, StopReplica) has the partition for itself from here
 * to the end of the claim, also where it does not hold `lock`: nobody else
 * makes or deletes its log, or changes who leads.  False: another has it, and
 * `wait` was not allowed.  Who waits holds no claim and no lock. [worker]
 */
bool replica_claim(struct replica *replica, bool wait);
void replica_unclaim(struct replica *replica);
/* `lock` is held: out of the table, for good. */
void replicas_remove(struct replica *replica);
/* NOT_LEADER_OR_FOLLOWER, or UNKNOWN_TOPIC_OR_PARTITION of one that was deleted
 * and that the loop's image does not know any more. */
enum error replicas_refusal(struct replicas *replicas,
    const struct replica *replica, struct slice topic, int32_t partition);
struct record_scratch *replicas_scratch_take(struct replicas *replicas);
void replicas_scratch_give(struct replicas *replicas,
    struct record_scratch *scratch);
/* The partition's leader as far as known here: of a replica, else of the image
 * (`loop`'s callbacks only). */
struct leader_hint {
	int32_t leader;
	int32_t leader_epoch;
};
struct leader_hint replicas_leader_hint(struct replicas *replicas,
    struct replica *replica, struct slice topic, int32_t partition);
/* In the loop's image of the cluster. */
bool replicas_in_image(struct replicas *replicas, struct slice topic,
    int32_t partition);

/* --- rules.c -------------------------------------------------------------- */

/* Takes no lock, but for the first of all. */
void replica_rules(struct replica *replica, struct replica_rules *out);
/* `state` is held. */
void replica_set_rules(struct replica *replica,
    const struct topic_options *options);

/* --- role.c --------------------------------------------------------------- */

void replica_look(const struct replica *replica, struct replica_sight *out);
/* Whether anything of a sight may be another now, but for the log's start and
 * whether its directory failed. */
static inline bool
replica_changed_since(const struct replica *replica, unsigned sequence)
{
	return (atomic_load_explicit(&replica->sight_sequence,
		    memory_order_acquire) != sequence);
}
/* `state` is held: what was changed becomes visible. */
void replica_publish(struct replica *replica);
/* `lock` is held, `state` is not: the log's end moved. True: so did the high
 * watermark. */
bool replica_end_moved(struct replica *replica);
/* `state` is held. */
struct isr_moment replica_moment(const struct replica *replica);
/* `state` is held. True: the high watermark moved. */
bool replica_advance(struct replica *replica);
/* Tells storage; no lock of this room's needs to be held. */
void replica_tell_high_watermark(struct replica *replica);
/* After any change of role. */
void replica_wake(struct replica *replica);
void replica_set_offline(struct replica *replica);
/* Likewise, without `state`: tells struct role_watch, if there is news. */
void replica_tell_role(struct replica *replica);
/* The least in-sync replicas that acks=all wants, of so many. */
int32_t replica_min_isr(const struct replica *replica, int32_t replica_count);

/* A role as LeaderAndIsr gives it. */
struct role {
	int32_t leader;
	int32_t leader_epoch;
	int32_t partition_epoch;
	const int32_t *replicas;
	const int32_t *isr;
	int32_t replica_count;
	int32_t isr_count;
	bool reassigned; /* some of them come or go */
	const int32_t *added; /* who comes; none when it is not known */
	int32_t added_count;
};
/* `lock` is held, on a worker; the log is there. */
enum error replica_lead(struct replica *replica, const struct role *role);
enum error replica_follow(struct replica *replica, const struct role *role);
/* `lock` is held, on a worker: it follows nobody any more; its role stays. */
void replica_stop_following(struct replica *replica);
/* The same, and it has no role any more. */
void replica_retire(struct replica *replica);
/* The smallest log start of all replicas that live, and of a copy that is being
 * made here; -1: one is not known, or it does not lead. Of the loop's image. */
int64_t replica_low_watermark(struct replica *replica);

/* `lock` is held: the log of a follower has another end, and where it is not
 * -1, this is its leader's high watermark. Readers are not woken. */
void replica_followed(struct replica *replica, int64_t leader_high_watermark);

/* A follower has fetched; any thread. */
enum error replica_follower_fetched(struct replica *replica,
    int32_t follower, const struct isr_fetch *fetch);
/* A reassignment, which is under way, adds it. */
bool replica_adds_follower(struct replica *replica, int32_t follower);
/* Only whether it may. */
bool replica_has_follower(struct replica *replica, int32_t follower);

/* --- throttled.c ---------------------------------------------------------- */

void throttles_init(struct replicas *replicas);
void throttles_fini(struct replicas *replicas);
/* The follower gets no records now: it is not in sync, and has to leave some of
 * what may be sent to others. */
bool replica_holds_back(struct replica *replica, int32_t follower);
/* The same as a follower: nothing is fetched now. */
bool replica_fetches_later(struct replica *replica);
/* What was sent to a follower, or fetched as one. */
void replica_note_sent(struct replica *replica, size_t bytes);
void replica_note_fetched(struct replica *replica, size_t bytes);

/* --- order_again.c -------------------------------------------------------- */

void orders_again_init(struct replicas *replicas);
void orders_again_stop(struct replicas *replicas);
void orders_again_fini(struct replicas *replicas);
/* The replica is claimed. The kept order's leader epoch; -1: none. */
int32_t order_kept_epoch(const struct replica *replica);
void order_forget(struct replica *replica);

/* --- move.c --------------------------------------------------------------- */

void moves_init(struct replicas *replicas);
/* On the setup's loop. */
void moves_stop(struct replicas *replicas);
bool moves_at_rest(const struct replicas *replicas);
void moves_fini(struct replicas *replicas);
/* Nobody else has the replica: one that is over is let go. */
void moves_let_go(struct replica *replica);

/* --- isr_propose.c -------------------------------------------------------- */

struct follow_setup;
struct isr_proposer;
struct isr_proposer *isr_proposer_new(struct replicas *replicas,
    const struct follow_setup *setup);
/* A follower may have reached its leader. Any thread, no lock is held. */
void isr_wish(struct replica *replica);
/* On the setup's loop. NULL is good. */
void isr_proposer_stop(struct isr_proposer *proposer);
bool isr_proposer_at_rest(const struct isr_proposer *proposer);
void isr_proposer_free(struct isr_proposer **proposer);

/* --- ends.c --------------------------------------------------------------- */

struct ends;
/* On the setup's loop, as the stop. */
struct ends *ends_new(struct replicas *replicas,
    const struct follow_setup *setup);
void ends_stop(struct ends *ends);
bool ends_at_rest(const struct ends *ends);
void ends_free(struct ends **ends);

/* --- fetchers.c ----------------------------------------------------------- */

struct fetchers;
/* None begins any more. NULL is good. */
void fetchers_close(struct fetchers *fetchers);
/* When all followings were ended: tasks and connections go. */
void fetchers_stop(struct fetchers *fetchers);
bool fetchers_at_rest(const struct fetchers *fetchers);
void fetchers_free(struct fetchers **fetchers);

/* --- append.c ------------------------------------------------------------- */

struct append {
	struct list link;
	struct replica *replica; /* borrowed */
	struct record_rules rules;
	struct record_verdict verdict; /* good */
	uint8_t *bytes;
	int16_t acks;
	int32_t min_insync;
	bool fenced;         /* by leads_since, as struct produce has it */
	int32_t leads_since;
	/* Of a follower, which has no rules and no verdict; NULL: of a
	 * produce. */
	const struct following *following;
	struct slice fetched; /* whole batches, maybe none */
	int64_t fetch_offset;
	int64_t leader_high_watermark;
	int64_t leader_start_offset; /* -1: not told */
	/* On any thread, when append_submit() had answered false. */
	void (*done)(struct append *append);
	void *owner;
	/* the result */
	enum error error;
	struct log_appended appended;
	int32_t leader_epoch;
	int64_t log_start_offset;
};
/* True: done before it returned. Never waits for the lock. */
bool append_submit(struct append *append);
/* The same, but what cannot be done at once is not queued. */
bool append_try(struct append *append);
/* `lock` is held: what was fetched is appended if it still follows so, and what
 * the leader told of its log is taken over. NOT_LEADER_OR_FOLLOWER: it does
 * not. */
enum error append_fetched(struct append *append);

/* A log directory, for how long its appends take; made at its first log. */
struct append_dir {
	struct append_dir *next;
	const struct log_dir *log_dir;
	atomic_int_least64_t slow_until_ns; /* 0: it is not */
	atomic_int_least64_t said_ns;       /* that it is slow; 0: never */
	atomic_size_t quick_bytes;          /* since the last slow append */
	atomic_int_least64_t began_ns; /* of one under way, 0: none */
	struct work_queue *queue; /* one at a time */
	/* What syncs there or looks offsets up: workers of its own, so that a
	 * directory that hangs has no others; NULL: it is the only one. */
	struct work_queue *waits;
	/* What reads for consumers: workers of its own too; of the only
	 * directory at most half of the common ones. */
	struct work_queue *reads;
};
struct append_dir *append_dir_of(struct replicas *replicas,
    const struct log_dir *log_dir);
void append_dirs_free(struct replicas *replicas);
/* How many workers such directories have from now on. One caller at a time. */
void append_dirs_set_workers(struct replicas *replicas, int count);
/* For work that waits for the replica's directory and, where not NULL, for what
 * `before` is for: the one of both in which more is waiting. */
struct work_queue *append_dir_work(const struct replica *replica,
    struct work_queue *before);
/* The same for what is read to be sent. */
struct work_queue *append_dir_reads(const struct replica *replica,
    struct work_queue *before);

/* For role changes, on workers: waits. */
void replica_lock(struct replica *replica);
/* Takes along what was queued meanwhile. */
void replica_unlock(struct replica *replica);

/* --- traffic.c ------------------------------------------------------------ */

void traffic_register(struct replicas *replicas);
static inline void
traffic_add(atomic_uint_least64_t *count, uint64_t n)
{
	if (n != 0)
		atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

#endif
