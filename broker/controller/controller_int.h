/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The insides of the controller.  Everything here belongs to the controller
 * loop but for the atomics.
 *
 *	controller.c   life, batches, resigning
 *	events.c       what waits, and the idle step that picks the next event
 *	elect.c        through /controller
 *	load.c         what a new controller reads and does first
 *	believe.c      and what it takes from its own broker
 *	brokers.c      brokers that came, went, bounced
 *	witness.c      the evidence that a broker is dead
 *	suspects.c     brokers that are registered and dead by it
 *	returns.c      those that come back and are in sync still
 *	topics.c       topics and partitions that came and went
 *	deletion.c     topics that are being deleted
 *	sweep.c        their nodes, at the end
 *	rewrite.c      partitions' states: decided, written, read again
 *	notices.c      ISR and log dir notifications of other brokers
 *	orders.c       what one event tells the brokers
 *	channels.c     one FIFO a broker
 *	context.c      the state, and the moves that are legal in it
 *	plan.c         a topic to be made: checked, placed
 *	create.c       CreateTopics, auto-creation: plans carried out
 *	delete.c       DeleteTopics: marks written, the end waited for
 *	expand.c       CreatePartitions
 *	departure.c    ControlledShutdown
 *	alter.c        AlterPartition; alteration.h decides
 *	reassign.c     replicas that move; reassignment.h says where to
 *	dropped.c      brokers that are to forget a replica
 *	moves.c        AlterPartitionReassignments
 *	moves_node.c   /admin/reassign_partitions
 *	list_moves.c   ListPartitionReassignments
 *	balance.c      leaders go back to preferred replicas
 *	polls.c        leaders that somebody wants: ElectLeaders
 *	producer_ids.c blocks of producer ids
 *
 * One task, `main`, does all that changes the context, one event at a time.
 */
#ifndef CONTROLLER_CONTROLLER_INT_H
#define CONTROLLER_CONTROLLER_INT_H

#include <stdatomic.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "config/config.h"
#include "controller/controller.h"
#include "controller/election.h"
#include "controller/reassignment.h"
#include "metrics/metrics.h"
#include "zkglue/zkglue.h"

/* Parts of one fenced multi, in partitions. */
#define MULTI_PARTITIONS 50
/* Operations of one batch, so that its memory is bounded. */
#define BATCH_OPERATIONS 5000
/* Leader epochs that StopReplica has instead of one. */
#define LEADER_EPOCH_DELETING (-2)
#define LEADER_EPOCH_NONE (-1)
#define TROUBLE_PAUSE_NS ((int64_t)1000 * 1000000)

/* --- the context ---------------------------------------------------------- */

enum partition_state {
	PARTITION_NONEXISTENT,
	PARTITION_NEW,
	PARTITION_ONLINE,
	PARTITION_OFFLINE
};

enum replica_state {
	REPLICA_NONEXISTENT,
	REPLICA_NEW,
	REPLICA_ONLINE,
	REPLICA_OFFLINE,
	REPLICA_DELETION_STARTED,
	REPLICA_DELETION_SUCCESSFUL,
	REPLICA_DELETION_INELIGIBLE
};

struct assigned {
	int32_t broker;
	enum replica_state state;
	bool dir_offline; /* LeaderAndIsr was answered KAFKA_STORAGE_ERROR */
	bool stopped;     /* its broker goes: told to follow no more */
	/* Its broker is back, and the replica in sync: returns.c. */
	bool held;        /* told nothing, and no candidate */
	bool asked;
	bool has_log;     /* by what it tells */
	bool lacks;       /* it told, and has not: leaves the ISR */
	uint64_t trial;   /* one only until a better one has answered what it
			   * was told since this suspicion; 0: as any other */
	/* The epoch of the broker that was there when the partition was made
	 * and has not said yet that it has a log: it is told isNew until it
	 * does. A broker that came later is not: its disk may be another
	 * one. */
	int64_t unconfirmed_epoch; /* 0: it has, or came later */
};

/* Of a state that our broker was told: believe.c. */
enum belief {
	BELIEF_NONE,
	BELIEF_HELD,
	BELIEF_PROVED /* ZooKeeper has that version */
};

/* A leader that somebody asks for, while the state is written: polls.c. */
enum leader_wish {
	WISH_NONE,
	WISH_PREFERRED, /* the first of the assignment, if it is in sync */
	WISH_UNCLEAN    /* any that lives, if there is no leader */
};

/* A broker that is to have no replica of a partition any more: dropped.c. */
struct dropped {
	int32_t broker;
	int32_t leader_epoch; /* of the order, at least */
	int64_t broker_epoch; /* that it was sent to; 0: not yet */
	int64_t first_ns;     /* when that was */
	int64_t again_ns;     /* refused: when it is sent again; 0: it is not */
	bool told;            /* it answered */
};

/* Of a partition that /admin/reassign_partitions names: moves_node.c. */
enum node_move {
	NODE_MOVE_NONE,
	NODE_MOVE_TAKEN, /* begun; over when it moves no more */
	NODE_MOVE_OVER   /* refused */
};

struct topic;

/* What the state node of a partition says. */
struct leadership {
	int32_t leader;
	int32_t leader_epoch;
	int32_t controller_epoch;
	int32_t partition_epoch; /* the node's data version */
	int32_t *isr;
	int32_t isr_count;
	bool recovering;
};

struct partition {
	struct topic *topic;
	int32_t number;
	enum partition_state state;
	struct assigned *replicas;
	int32_t replica_count;
	int32_t *adding;
	int32_t *removing;
	int32_t adding_count;
	int32_t removing_count;
	/* reassign.c */
	struct list moving;    /* linked: replicas come or go */
	bool restart;          /* its replicas are to be told of that */
	/* Its node is not as it was left: until that changes, no end of the
	 * move is tried. */
	bool adrift;
	bool closing;          /* all of the target are in sync: it ends */
	bool ending;           /* and all that go were told */
	enum node_move node_move;
	struct dropped *dropped; /* dropped.c */
	int32_t dropped_count;
	enum belief belief; /* in `now` */
	bool written;    /* a state node is there; what it says: */
	struct leadership now;
	/* rewrite.c */
	struct list pending;
	int attempts;
	bool node_made;  /* /partitions/P is there, its state is not */
	bool lost;       /* its topic went while it was written */
	bool stale;      /* to be read again before the next write */
	bool announce;   /* what was read may be news to the brokers */
	enum leader_wish wish;
	bool bump;       /* written with a later epoch in any case */
	bool altering;   /* in the request that alter.c works at */
	struct list kept; /* suspects.c: suspects are in its ISR */
	/* orders.c: the last batches in which it was. */
	uint64_t told;
	uint64_t shown;
};

struct topic {
	struct hash_node node;
	struct hash_node id_node;      /* by id, unless that is zero */
	struct controller *controller;
	char *name;
	struct uuid id;
	struct partition **partitions; /* ascending by number */
	size_t partition_count;
	struct zk_watcher watcher;     /* of its node's data */
	int64_t czxid;                 /* of its node */
	bool found;                    /* in the listing at hand */
	bool directory_made;
	bool warned;                   /* of replicas changed by hand */
	bool closing;                  /* reassign.c: its node is at hand */
	/* rewrite.c: in which row of writes its config was read. */
	uint64_t config_read;
	bool unclean_allowed;
	struct list reconfigured;      /* linked: its config changed */
	/* deletion.c */
	struct list doomed;            /* linked: it is being deleted */
	bool begun;                    /* its partitions are gone already */
	bool halted;                   /* until what it waits for happened */
	/* sweep.c */
	size_t swept;                  /* partitions whose nodes are gone */
	bool walked;                   /* its nodes are not as expected */
	int walks;
};

struct channel;

struct live_broker {
	int32_t id;
	int64_t epoch; /* czxid */
	int64_t mzxid; /* of its data: endpoints may change */
	int64_t registered_ms; /* by ZooKeeper's clock */
	bool heard;    /* it answered this controller */
	bool unseen;   /* it was away when nobody looked: returns.c */
	bool newcomer; /* may know of nothing: told of partitions only when it
			* is told of all */
	struct arena arena;
	struct znode_broker node;
	bool shutting_down;
	bool suspect;  /* suspects.c */
	bool doubted;  /* said: the evidence does not count */
	uint64_t suspicion; /* which one of the controller's that was */
	uint64_t proved;    /* the last one after which it answered */
	bool answered;      /* that is news */
	size_t preferred; /* balance.c: partitions that it is to lead */
	size_t displaced; /* and those of them that it does not */
	struct channel *channel;
	struct zk_watcher watcher;
	struct waitq_link watched;
};

struct context {
	struct live_broker **brokers; /* ascending by id */
	size_t broker_count;
	struct hash topics;
	struct hash topic_ids;
	size_t partition_count;
	struct list doomed; /* topics that are being deleted, oldest first */
	bool unmeasured;    /* changed since the gauges were set */
};

void context_init(struct context *context);
void context_fini(struct context *context);
struct live_broker *context_broker(const struct context *context, int32_t id);
struct live_broker *context_add_broker(struct controller *controller,
    int32_t id, const struct zk_op *read);
void context_remove_broker(struct context *context, struct live_broker *broker);
/* Takes a broker's node again; false: it cannot be read. */
bool live_broker_read(struct live_broker *broker, const struct zk_op *read);
const struct znode_endpoint *live_broker_endpoint(
    const struct live_broker *broker, const char *listener);

struct topic *context_topic(const struct context *context, struct slice name);
struct topic *context_topic_by_id(const struct context *context,
    struct uuid id);
struct topic *context_add_topic(struct controller *controller,
    const char *name);
void topic_set_id(struct topic *topic, struct uuid id);
void context_remove_topic(struct context *context, struct topic *topic);
/* Makes the partition NEW, with its replicas. */
struct partition *topic_add_partition(struct topic *topic,
    const struct znode_assignment *assignment);
/* The same partition with other replicas; states of those that stay do. */
void partition_assign(struct partition *partition,
    const struct znode_assignment *assignment);
struct partition *topic_find_partition(const struct topic *topic,
    int32_t number);
struct assigned *partition_replica(const struct partition *partition,
    int32_t broker);
/* Registered, and not dead by the evidence. */
bool broker_lives(const struct controller *controller, int32_t broker);
/* Registered, though dead by the evidence perhaps, and its log dir works. */
bool replica_registered(const struct controller *controller,
    const struct partition *partition, int32_t broker);
/* It lives, and its log dir works. */
bool replica_live(const struct controller *controller,
    const struct partition *partition, int32_t broker);
/* Live, and its broker does not go. */
bool replica_stays(const struct controller *controller,
    const struct partition *partition, int32_t broker);
bool partition_in_isr(const struct partition *partition, int32_t broker);
void leadership_set(struct partition *partition,
    const struct znode_state *state, int32_t version);

/* The only ways in which a state changes. Illegal moves are our bugs. */
void partition_enter(struct partition *partition, enum partition_state state);
void replica_enter(struct assigned *replica, enum replica_state state);
bool partition_move_legal(enum partition_state from, enum partition_state to);
bool replica_move_legal(enum replica_state from, enum replica_state to);

/* --- orders and channels -------------------------------------------------- */

/* What one event has to tell; sent by orders_send(). */
struct orders {
	uint64_t number;       /* of this batch */
	struct order *items;   /* LeaderAndIsr: a partition to a broker */
	size_t item_count;
	size_t item_capacity;
	struct order *stops;   /* StopReplica: a partition to a broker */
	size_t stop_count;
	size_t stop_capacity;
	struct partition **shown; /* UpdateMetadata to all */
	size_t shown_count;
	size_t shown_capacity;
	bool brokers_changed;     /* UpdateMetadata even without partitions */
};

/* LeaderAndIsr to all live replicas, UpdateMetadata to all. */
void orders_partition(struct controller *controller,
    struct partition *partition);
/* LeaderAndIsr to one of them, UpdateMetadata to all. */
void orders_replica(struct controller *controller,
    struct partition *partition, const struct live_broker *broker);
void orders_show(struct controller *controller, struct partition *partition);
/* StopReplica, after all else; the topic being deleted decides of its epoch. */
void orders_stop(struct controller *controller, struct partition *partition,
    const struct live_broker *broker, bool delete_partition);
void orders_brokers_changed(struct controller *controller);
void orders_send(struct controller *controller);
/* At once, all partitions: to newcomers, if there are any. */
void orders_send_everything(struct controller *controller);
/* LeaderAndIsr of all it hosts and UpdateMetadata of all: what it missed. */
void orders_resync(struct controller *controller, struct live_broker *broker);
void orders_clear(struct controller *controller);

/* A message that several channels may share; the last one frees it. */
struct order_body {
	unsigned references;
	struct arena arena;
	int api_key;
	union {
		struct leader_and_isr_request leader_and_isr;
		struct update_metadata_request update_metadata;
		struct stop_replica_request stop_replica;
	} request;
};
void order_body_unref(struct order_body *body);

struct channel *channel_new(struct controller *controller,
    struct live_broker *broker);
void channel_free(struct channel **channel);
/* Takes a reference. */
void channel_send(struct channel *channel, struct order_body *body);
/* Nothing waits and nothing is under way. */
bool channel_quiet(const struct channel *channel);
/* The broker's address changed. */
void channel_readdress(struct channel *channel);

/* --- the controller ------------------------------------------------------- */

enum controller_state {
	CONTROLLER_RESIGNED,
	CONTROLLER_ELECTING,
	CONTROLLER_LOADING,
	CONTROLLER_ACTIVE
};

/* What the controller watches by name, in the order in which it looks. */
#define CONTROLLER_WATCHES(X)                                                 \
	X(BROKERS, ZNODE_BROKER_IDS, true)                                    \
	X(TOPICS, ZNODE_BROKER_TOPICS, true)                                  \
	X(LOG_DIRS, ZNODE_LOG_DIR_EVENTS, true)                               \
	X(ISR_CHANGES, ZNODE_ISR_CHANGES, true)                               \
	X(DELETIONS, ZNODE_DELETE_TOPICS, true)                               \
	X(REASSIGNMENTS, ZNODE_REASSIGN_PARTITIONS, false)                    \
	X(PREFERRED, ZNODE_PREFERRED_ELECTION, false)

enum controller_watch {
#define X(name, path, children) WATCH_##name,
	CONTROLLER_WATCHES(X)
#undef X
	WATCH_COUNT
};

struct watched {
	struct zk_watcher watcher;
	struct waitq_link link;
};

/* One write of a state under way. */
struct rewrite {
	struct list pending;         /* partitions to be looked at */
	struct list undecided;       /* those that hang on a topic's config */
	struct list deferred;        /* those of another, later row */
	uint64_t number;             /* of this row of writes */
	struct partition **flight;   /* of this batch */
	struct znode_state *wanted;  /* of each of them */
	size_t flight_count;
	struct rewrite_group *groups; /* multis over them */
	size_t group_count;
	task_step *then;
};

/* A topic's tree that is removed node by node. */
struct tree_walk {
	struct topic *topic; /* NULL: none is */
	char **paths;
	size_t count;
	size_t capacity;
	size_t next; /* to be listed */
};

/* Sessions whose /controller we took, that are remembered. */
#define OUSTED_KEPT 8

/* Kinds of events. */
#define EVENTS_MAX 24

#define CONTROLLER_MAGIC 0x63746c72u

struct controller {
	unsigned magic;
	struct controller_setup setup;
	_Atomic bool active;
	_Atomic int32_t shown_epoch;
	_Atomic int32_t current_id;
	_Atomic bool stopped;
	struct task_ref main;
	struct task_ref stopper;
	struct post stop_post;
	bool halted;            /* controller_stop() was called */
	enum controller_state state;

	/* The session and the election in which it acts. */
	uint64_t ordinal;
	int32_t epoch;
	int32_t epoch_version;  /* of /controller_epoch: the fence */
	int64_t elected_zxid;   /* of /controller */
	int64_t elected_ms;     /* by ZooKeeper's clock */
	struct watched seat;    /* /controller */
	struct watched own;     /* our /brokers/ids/N */
	int32_t seat_id;        /* whose /controller is; -1: nobody's whom
				 * evidence may cost it */
	int64_t seat_owner;     /* the session */
	bool seat_doubtful;     /* to be read again */
	bool epoch_broken;      /* /controller_epoch is no number: said */
	int32_t ousted_epoch;   /* of whom we took it last */
	int64_t ousted[OUSTED_KEPT]; /* sessions of those, in turn */
	size_t ousted_count;
	struct list witnesses;  /* witness.c */
	bool evidence_changed;
	int64_t evidence_ns;    /* when the last one came; 0: none */
	uint64_t suspicion;     /* how often brokers became suspects */
	bool proof_changed;     /* a broker answered after that */
	struct list kept;       /* partitions with suspects in their ISRs */
	struct list departed;   /* returns.c: who died and is in some of them */
	struct waitq_link session;

	struct watched watches[WATCH_COUNT];
	struct zk_watch_group topic_watches;
	struct waitq_link topics_link;
	struct context context;
	struct orders orders;
	struct rewrite rewrite;
	struct tree_walk tree;
	bool dirs_changed;      /* a replica's dir_offline was set */
	struct list moving;     /* partitions whose replicas move */
	bool moves_changed;     /* reassign.c has something to look at */
	int64_t moves_ns;       /* when it has in any case; 0: not set */
	bool node_due;          /* /admin/reassign_partitions is to be read */
	bool node_moving;       /* what it names is being begun */
	int64_t balance_ns;     /* when balance.c looks next; 0: not set */
	bool preferred_waits;   /* its node was there at the start */
	bool deletions_moved;   /* deletion.c has something to look at */
	struct list reconfigured; /* topics whose config changed */
	struct waitq deleted;   /* woken when a deletion ended or halted */
	struct waitq quiet;     /* woken when a channel has nothing to do */
	/* events.c: since when each kind waits; 0: it does not. */
	int64_t event_since_ns[EVENTS_MAX];
	int64_t electing_since_ns; /* 0: the event at hand is none of these */
	bool wrote_states;         /* since it was taken */
	size_t calls_waiting;   /* of those in the lists below */
	struct lock channels_lock; /* a leaf; over the list, for any thread: */
	struct list channels;
	size_t channel_count;

	/* The step at hand. */
	struct zk_batch *batch;
	struct zk_op *op;
	struct zk_op **ops;
	size_t op_count;
	const char **names;     /* what is read in pieces; memory: `list` */
	size_t name_count;
	size_t next_name;
	task_step *names_then;
	struct zk_batch *list;
	struct zk_op *listed;   /* of `list`: notifications at hand */
	struct zk_op **arrived; /* reads of brokers that came; memory: `list` */
	size_t arrived_count;
	struct partition **walk; /* all partitions, while states are read */
	size_t walk_count;
	size_t next_walk;
	task_step *believe_then;

	struct list creations;   /* tasks of create.c */
	int64_t automatic_said_ns; /* why one was not made; 0: never */
	struct list deletings;   /* tasks of delete.c */
	struct list expansions;  /* tasks of expand.c */
	struct list departures;  /* tasks of departure.c */
	struct list movings;     /* tasks of moves.c */
	struct moving *at_hand;  /* the one at hand; NULL: none */
	struct list alterings;   /* tasks of alter.c */
	struct altering *altering; /* the one at hand; NULL: none */
	struct list polls;       /* tasks of polls.c */
	struct list allocations; /* tasks of producer_ids.c */
};

/* controller.c */
struct controller *controller_of(struct task *task);
/* A fresh `batch`; the old one goes. */
struct zk_batch *controller_batch(struct controller *controller);
/* Sends it; `step` looks at the answers. */
enum verdict controller_submit(struct task *task, task_step *step);
/* Room for the operations of a batch. */
void controller_ops(struct controller *controller, size_t count);
/* The batch's answers are there. False: *verdict is to be returned: it waits,
 * or the session is gone and the controller resigned. */
bool controller_answered(struct task *task, enum verdict *verdict);
/* A multi of `parts` behind a check of our epoch. Its parts begin at [1]. */
struct zk_op *controller_fenced(struct controller *controller, size_t parts);
/* The check failed: somebody else is controller. */
bool controller_fence_failed(const struct zk_op *multi);
enum verdict controller_resign(struct task *task, const char *why);
/* ZooKeeper refused what it should not: resigns, begins again after a pause. */
enum verdict controller_trouble(struct task *task, const struct zk_op *op);
bool controller_session_lost(const struct controller *controller);
void controller_enter(struct controller *controller,
    enum controller_state state);
/* Something was noted that controller_idle() looks at. */
void controller_look(struct controller *controller);
const char *controller_watch_path(enum controller_watch watch);
struct zk_op *controller_watch_read(struct controller *controller,
    enum controller_watch watch);
/* Sets the gauges of what there is, if it changed. */
void controller_measure(struct controller *controller);

/* events.c */
extern task_step controller_idle;
/* Something may wait, or wait no more. */
void events_note(struct controller *controller);
/* Nothing does: a term of office ends. */
void events_forget(struct controller *controller);

/* elect.c */
extern task_step elect_session;
/* /controller changed while we act. */
extern task_step seat_read;

/* load.c */
extern task_step load_begin;
/* A state node that never changed: its maker may have died before telling
 * anybody.  Whoever was registered before the node was made may have no log. */
void load_half_made(struct controller *controller,
    struct partition *partition, int64_t czxid);

/* believe.c */
/* Elects leaders in place of dead ones, and proves what else it can, of those
 * in `walk`. */
enum verdict believe_run(struct task *task, task_step *then);
/* What was believed is not so: it is forgotten. */
void belief_refuted(struct partition *partition);
/* It need not be read. */
bool belief_proved(const struct controller *controller,
    const struct partition *partition);

/* brokers.c */
extern task_step brokers_read;
/* What is not led any more, then ISRs. */
extern task_step brokers_gone;
/* Partitions whose leader or in-sync replicas are not what they can be. */
void brokers_collect(struct controller *controller, bool leaders_only);

/* witness.c */
/* A registration: its epoch, its session, its last change; 0: not known. */
struct registered {
	int64_t epoch;
	int64_t owner;
	int64_t mzxid;
};
/* There is one for this broker from now on, and it looks at once, also where
 * its line is to another registration than `as`; none for ourselves. */
void witness_call(struct controller *controller, int32_t broker_id,
    struct registered as);
/* There is one from now on, which goes on as it does. */
void witness_begin(struct controller *controller, int32_t broker_id);
/* All others go; -1: all. */
void witnesses_keep(struct controller *controller, int32_t broker_id);
/* Its word about that registration; about that session's. */
bool witness_says_dead(const struct controller *controller, int32_t broker_id,
    int64_t broker_epoch);
bool witness_says_session_dead(const struct controller *controller,
    int32_t broker_id, int64_t owner);
/* Who reaches nobody cannot tell others' death from its own trouble: whether of
 * the brokers beside ourselves half, and one at least, are reached since the
 * last evidence came; lines that are older are made anew. Not to be asked when
 * there is none. */
struct reach {
	size_t others;
	size_t reached;
};
void reach_count(struct reach *reach, const struct controller *controller,
    int32_t broker_id);
bool reach_enough(const struct reach *reach);
/* Where there are many, some tell: of `count` brokers, ascending by id, of
 * which we are `own` (count: none of them), so many; and the index of the
 * k-th. */
#define REACH_MAX 8
size_t reach_picks(size_t count, size_t own);
size_t reach_pick(size_t count, size_t own, size_t k);
/* At most one move in 30 s on the word about one broker. */
bool witness_may_move(const struct controller *controller, int32_t broker_id,
    int64_t now_ns);
void witness_moved(struct controller *controller, int32_t broker_id,
    int64_t now_ns);

/* suspects.c */
extern task_step suspects_run, suspects_proved_run;
/* Takes the evidence; whether there was any. */
bool suspects_mark(struct controller *controller);
/* It answered what was asked when there had been so many suspicions. */
void suspects_proved(struct controller *controller,
    struct live_broker *broker, uint64_t suspicion);
/* Before its state is decided: whether it is to be looked at when its leader
 * answers. */
void suspects_note(struct controller *controller, struct partition *partition);
/* Where replicas may be placed: suspects only if there are too few without
 * them. Fills `out`; how many. */
struct placement_broker;
size_t suspects_avoid(const struct controller *controller,
    const struct cluster_image *image, size_t replication_factor,
    struct placement_broker *out);

/* returns.c */
extern task_step returns_run;
void returns_clear(struct controller *controller);
/* Its registration goes. */
void returns_gone(struct controller *controller,
    const struct live_broker *broker);
/* Of whom is gone: under a leader that has not answered since this suspicion it
 * stays in an ISR; 0: it does not. */
uint64_t returns_suspicion(const struct controller *controller,
    int32_t broker);
/* It went while it was in sync. */
bool returns_knows(const struct controller *controller, int32_t broker);
/* A registration is new: of what it is in sync with it is held back. */
void returns_came(struct controller *controller, struct live_broker *broker);
/* It registered so shortly before the election that nobody may have seen that
 * it was away, or have asked it. */
bool returns_recent(const struct controller *controller, int32_t broker);
/* Of a state that a new controller read, last written by the transaction
 * `zxid`: who of the ISR registered since is held back. */
void returns_state(struct controller *controller, struct partition *partition,
    int64_t zxid);
/* Those who are held back anew are asked for their logs; before anything is
 * sent to those with whom they are in sync. */
void returns_begin(struct controller *controller);
/* Its state is written: who is not in sync is told as any other. */
void returns_settle(struct controller *controller,
    struct partition *partition);
/* Its leader was elected, or others followed it and are in sync: it is as good
 * as any. */
void returns_leads(struct partition *partition);
/* For returns_run. */
bool returns_due(const struct controller *controller);
/* Of a replica, if it is one: see struct assigned. */
bool replica_held(const struct partition *partition, int32_t broker);
bool replica_lacks(const struct partition *partition, int32_t broker);
/* It is told nothing of the partition yet: it is held, or has no log, and would
 * make one before it has left the ISR. */
bool replica_untold(const struct partition *partition, int32_t broker);
uint64_t replica_trial(const struct partition *partition, int32_t broker);
/* It is on trial, and one of the ISR that was not away has answered since. */
bool replica_tried_out(const struct controller *controller,
    const struct partition *partition, int32_t broker);

/* topics.c */
extern task_step topics_read, topics_data_read;
bool topics_data_changed(const struct controller *controller);
/* Reads the topics in `names` into the context, a bounded number at once; their
 * partitions are NEW and pending. */
enum verdict topics_add_run(struct task *task, task_step *then);

/* deletion.c */
extern task_step deletions_read, deletions_run;
/* All that is marked and known is doomed from now on: who is elected begins
 * so, before it elects or orders anything. */
void deletions_take_over(struct controller *controller,
    const struct zk_op *listed);
static inline bool
topic_doomed(const struct topic *topic)
{
	return (list_linked(&topic->doomed));
}
/* A broker answered StopReplica with deletion. */
void deletion_answered(struct controller *controller,
    struct partition *partition, int32_t broker, enum error error);
/* A replica of a doomed topic can no longer be reached. */
void deletion_fail_replica(struct controller *controller,
    struct partition *partition, struct assigned *replica);
/* What the topic waited for has happened, perhaps. */
void deletion_resume(struct controller *controller, struct topic *topic);
/* All its replicas are deleted. */
bool deletion_finished(const struct topic *topic);

/* sweep.c */
extern task_step sweep_run;
void sweep_clear(struct controller *controller);

/* rewrite.c */
void rewrite_init(struct rewrite *rewrite);
void rewrite_clear(struct controller *controller);
void rewrite_add(struct controller *controller, struct partition *partition);
/* Only what is urgent stays pending; the rest waits until it is recalled. */
void rewrite_defer(struct controller *controller,
    bool (*urgent)(const struct controller *controller,
	const struct partition *partition));
void rewrite_recall(struct controller *controller);
/* Everything pending is decided and written; then orders are sent and `then`
 * runs. Before a leader from outside the ISR is elected, or not, the topic's
 * config is read. */
enum verdict rewrite_run(struct task *task, task_step *then);
/* The same after what is pending was read again. */
enum verdict rewrite_run_fresh(struct task *task, task_step *then);
/* States follow from what is known; the brokers concerned will be told. */
void rewrite_settle(struct controller *controller,
    struct partition *partition);
struct partition_view {
	const struct controller *controller;
	const struct partition *partition;
	bool unclean_allowed;
};
/* What the state should become; false: it is well. isr is the arena's. */
bool rewrite_decide(const struct partition_view *view, struct arena *arena,
    struct znode_state *wanted);

/* notices.c */
extern task_step notices_log_dirs, notices_isr;
/* Fenced deletes of all children of one directory, into the batch. */
void notices_delete(struct controller *controller, enum controller_watch watch,
    const struct zk_op *listed);
/* departure.c */
extern task_step departure_run;
/* A broker that goes has not been looked at yet. */
bool departure_waits(const struct controller *controller);

/* moves.c */
extern task_step moves_run;
/* As if it was asked for; sorted. */
void moves_start(struct controller *controller,
    const struct znode_topic_partition *items, size_t count);

/* moves_node.c */
extern task_step moves_node;
/* It goes, or another one has its name: what the node asks for is looked at
 * anew. */
void topic_leaves_node(struct controller *controller,
    const struct topic *topic);
/* A reassignment was asked for that was not looked at yet. */
bool move_waits(const struct controller *controller);

/* alter.c */
extern task_step alterings_run;
/* A leader asked for another ISR and was not looked at yet. */
bool alter_waits(const struct controller *controller);

/* balance.c */
extern task_step balance_run;
/* Of what a broker is to lead, more than `percentage` is led by others. */
bool balance_due(size_t preferred, size_t displaced, int32_t percentage);
/* When it looks next; 0: never. */
int64_t balance_time(struct controller *controller);

/* reassign.c */
extern task_step reassign_run;
/* The assignment is another by now: its replicas will be told. */
void reassign_take(struct controller *controller, struct partition *partition,
    const struct znode_assignment *assignment);
/* It has replicas that come or go, as who was controller left it. */
void reassign_begin(struct controller *controller,
    struct partition *partition);
/* A replica that goes, or was to come and is called off. */
bool partition_leaves(const struct partition *partition, int32_t broker);
/* The latter. */
bool partition_called_off(const struct partition *partition, int32_t broker);
/* It is told nothing but to delete what it has. */
bool partition_dismisses(const struct partition *partition, int32_t broker);
/* Replicas come or go; what is called off is no move. */
bool partition_on_move(const struct partition *partition);
/* All of the target are in sync; one is enough if nothing moves and those that
 * were called off are to be told. */
bool partition_moved(const struct partition *partition);
/* And the target alone is the ISR, and leads. */
bool partition_closed(const struct partition *partition);
/* As the node should have it; replicas are the arena's, the rest borrowed. */
void partition_assignment(const struct partition *partition,
    struct arena *arena, struct znode_assignment *out);

/* dropped.c */
/* The broker is to have no replica any more; nothing is sent yet. */
void dropped_note(struct partition *partition, int32_t broker);
/* Its assignment is another: who is assigned again is dropped no longer. */
void dropped_assigned(struct partition *partition);
/* A move is about to end: whoever goes is to be told once more. */
void dropped_renew(struct partition *partition);
/* Orders StopReplica of those that live and were not told; the state does not
 * name them any more. */
void dropped_stop(struct controller *controller, struct partition *partition);
/* When one that was ordered is to be looked at again: for moves_ns. */
void dropped_note_time(struct controller *controller,
    const struct partition *partition);
/* The move is over: who was told is forgotten. */
void dropped_forget_told(struct controller *controller,
    struct partition *partition);
/* Under way to this broker. */
bool dropped_waits(const struct controller *controller,
    const struct partition *partition, int32_t broker);
/* None that goes and lives is waited for. */
bool dropped_all_told(const struct controller *controller,
    const struct partition *partition);
/* A broker answered a StopReplica with deletion that had this epoch. */
void dropped_answered(struct controller *controller,
    struct partition *partition, const struct live_broker *broker,
    int32_t leader_epoch);
/* It refused it altogether. */
void dropped_refused(struct controller *controller,
    struct partition *partition, const struct live_broker *broker);

/* polls.c */
extern task_step polls_run, polls_node;
/* An election was asked for that has not been looked at yet. */
bool poll_waits(const struct controller *controller);
/* When all is written: who could not be elected now is not elected later. */
void wishes_forget(struct controller *controller);
/* Whether it has not the leader that is wished for. */
bool poll_needed(const struct controller *controller,
    const struct partition *partition, enum leader_wish wish);

/* Of the files that answer calls: in the task's state; the asker's call points
 * here. */
struct controller_call_int {
	struct controller_call *call; /* NULL: the asker is gone */
	int64_t began_ns; /* to wait for ZooKeeper; 0: not yet */
	int64_t asked_ns; /* events.c: to be an event */
	bool waits;
};
/* Of those that are an event of `main`: it may be taken from now on; it is; or
 * its task ends, whether it was or not. */
void controller_call_asked(struct controller *controller,
    struct controller_call_int *hook);
void controller_call_taken(struct controller *controller,
    struct controller_call_int *hook);
void controller_call_gone(struct controller *controller,
    struct controller_call_int *hook);
/* Of a step that waits for a batch: whether it shall wait on.  False when the
 * call's time is up, but not before five seconds; then, too, when ZooKeeper is
 * away.  The task's deadline is used for it. */
bool controller_call_waits(struct controller *c, struct task *t,
    struct controller_call_int *hook);
/* What is answered then, with REQUEST_TIMED_OUT. */
#define ZK_SILENT "ZooKeeper does not answer"
/* The answer is there: the asker is woken. */
void controller_call_end(struct controller_call_int *hook);
void creations_cancel(struct controller *controller);
void deletings_cancel(struct controller *controller);
void expansions_cancel(struct controller *controller);
void departures_cancel(struct controller *controller);
void movings_cancel(struct controller *controller);
void alterings_cancel(struct controller *controller);
/* Those, too, whose states are written and only to be shown? */
void polls_cancel(struct controller *controller, bool written);
void allocations_cancel(struct controller *controller);

#endif
