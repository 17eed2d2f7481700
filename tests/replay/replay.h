/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters of control planes on virtual time: one seeded scheduler, a ZooKeeper
 * in memory, a fabric of sockets in memory, and planes b1, b2, ... each with
 * the loops, session, registration, cluster, configs, controller and server of
 * a broker.  Replicas are a table that takes LeaderAndIsr as a broker would.
 *
 *	struct replay *r = replay_new(seed, 3, NULL);
 *	replay_run(r, 10000);            virtual milliseconds
 *	replay_kill(r, 2);               the process dies: nothing more gets out
 *	replay_start(r, 2);              and comes back, its disk as it was
 *	replay_check(r);                 invariants; says what is broken
 *	replay_free(&r);
 *
 * replay_run() looks after each step whether epochs only grow.
 */
#ifndef TESTS_REPLAY_REPLAY_H
#define TESTS_REPLAY_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/random.h"
#include "cluster/cluster.h"
#include "controller/controller.h"
#include "net/net.h"
#include "zkglue/fake.h"

#define REPLAY_PLANES_MAX 8
#define REPLAY_TOPICS_MAX 12
#define REPLAY_SESSION_MS 6000

/* A replica as a plane has it; it stays while the plane is dead. */
struct replay_replica {
	struct hash_node node;
	char key[300]; /* topic/partition */
	int32_t leader;
	int32_t leader_epoch;
	int32_t partition_epoch;
	bool broken;   /* answers KAFKA_STORAGE_ERROR */
	bool stopped;  /* told to follow no more */
};

struct plane;

struct replay {
	uint64_t seed;
	struct random random;
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct zk_fake *fake;
	struct fabric *fabric;
	struct diag *diag;
	struct plane *planes[REPLAY_PLANES_MAX + 1]; /* by id; NULL: dead */
	struct hash replicas[REPLAY_PLANES_MAX + 1];
	struct hash epochs; /* the highest seen, by path */
	size_t plane_count;
	const char *more;
	size_t faults;      /* broken invariants */
	bool written;       /* since epochs were looked at */
	/* Writes of states by who is controller no longer: they must not get
	 * through. */
	size_t late_writes;
	struct list late;
	/* A plane that a hook killed, to be cleared away. */
	bool doomed[REPLAY_PLANES_MAX + 1];
	/* Before each write that ZooKeeper applies; `id` is who writes. */
	void (*on_write)(struct replay *replay, int id, const struct zk_op *op);
	/* Before a plane answers a StopReplica. */
	void (*on_stop)(struct replay *replay, int id);
	size_t stops;       /* StopReplicas so far */
	size_t refusals;    /* of those that come, so many are refused whole */
	bool lacking;       /* a plane may be told to lead what it lost */
	int unfit;          /* but not this one t1/0 or t5/0; 0: any */
	int64_t dirs_ms;    /* DescribeLogDirs takes so long */
	bool dirs_refused;
	void *script;       /* the test's own */
};

/* `more`: lines added to all planes' properties; NULL: none. */
struct replay *replay_new(uint64_t seed, size_t planes, const char *more);
void replay_free(struct replay **replay);
void replay_run(struct replay *replay, int64_t ms);
/* Starts a plane that is not there. */
void replay_start(struct replay *replay, int id);
/* Its disk is another one; while it is dead. */
void replay_wipe(struct replay *replay, int id);
/* At once also from a hook; its session ends by time-out. */
void replay_kill(struct replay *replay, int id);
/* As above, and its nodes go at once. */
void replay_kill_bounced(struct replay *replay, int id);
bool replay_lives(const struct replay *replay, int id);
struct zk_driver *replay_driver(const struct replay *replay, int id);
struct controller *replay_controller(const struct replay *replay, int id);
/* 0: there is none; else the id of the plane that says it is. */
int replay_active(const struct replay *replay);

/* CreateTopics to the active controller; false: there is none. Its answer comes
 * in replay_run() and is dropped. */
bool replay_create_topic(struct replay *replay, const char *topic,
    int32_t partitions, int16_t replication_factor);

/* Any call to the active controller, run until it is answered; false: there is
 * none, or it died. Request, response and arena outlive the replay's end. */
typedef void replay_call(struct controller *controller,
    struct controller_call *call);
bool replay_ask(struct replay *replay, replay_call *ask,
    const struct controller_call *call);
/* The same, but runs nothing: its answer comes in replay_run(). */
bool replay_begin_ask(struct replay *replay, replay_call *ask,
    const struct controller_call *call);
/* Whether ZooKeeper has the topic; its id, unless NULL. */
bool replay_topic(struct replay *replay, const char *topic, struct uuid *id);

/* As it registered; 1: it does not live. */
int64_t replay_broker_epoch(const struct replay *replay, int id);
/* Run until the answer is there. The first id of a block, or -1 - error. */
int64_t replay_allocate_ids(struct replay *replay, int broker);
int replay_auto_create(struct replay *replay, int id, const char *topic);
struct configs *replay_configs(const struct replay *replay, int id);
/* A replica's log dir fails, or is mended. */
void replay_break_replica(struct replay *replay, int id, const char *topic,
    int32_t partition, bool broken);

/* Looks at everything; call it when the cluster had the time to settle. */
void replay_check(struct replay *replay);
void replay_fault(struct replay *replay, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A state node as it is; false: there is none. */
bool replay_state(struct replay *replay, const char *topic, int32_t partition,
    struct arena *arena, struct znode_state *state, int32_t *version);

#endif
