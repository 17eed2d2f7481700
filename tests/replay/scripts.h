/* SPDX-License-Identifier: Apache-2.0 */
/* What the scripts of test_control.c and scripts_topics.c share. */
#ifndef TESTS_REPLAY_SCRIPTS_H
#define TESTS_REPLAY_SCRIPTS_H

#include "tests/replay/replay.h"

/* Beyond session time-outs and retries. */
#define SETTLE_MS 20000

struct script {
	int number; /* from basic to hard; doc/replays.md */
	const char *name;
	void (*run)(struct replay *replay);
	uint64_t share; /* of the seeds: one in so many; 0: all */
	const char *more; /* properties */
	size_t planes;    /* 0: three */
};
/* Of topics' creation, deletion, partitions and configs; a row of zeros is
 * last. */
extern const struct script topic_scripts[];
/* Of ISRs and replicas; likewise. */
extern const struct script alter_scripts[];
/* Of the evidence that a broker is dead; likewise. */
extern const struct script death_scripts[];
/* Of those that come back; likewise. */
extern const struct script return_scripts[];

int64_t some_ms(struct replay *replay, int64_t bound_ms);
/* One of the planes, but not this one. */
int some_plane(struct replay *replay, int except);
/* t0, t1, ...: of four partitions and two or three replicas. */
void make_topics(struct replay *replay, int count);
void revive_all(struct replay *replay);

/* The controller, or another, dies at one of the next writes of states. */
struct deaths {
	int victim;     /* 0: whoever writes */
	int countdown;  /* negative: nobody dies */
};
void die_at_write(struct replay *replay, int id, const struct zk_op *op);
bool is_state_write(const struct zk_op *op);

/* ControlledShutdown of a broker: what it leads still, or -1 - error; -100:
 * nobody answered. */
int depart(struct replay *replay, int id, int64_t epoch);

/* ElectLeaders for a topic's partition 0; the error, -1: nobody answered, -2:
 * no row. */
int elect(struct replay *replay, const char *topic, int8_t kind);

/* --- nodes, as somebody else writes them ---------------------------------- */

void put(struct replay *replay, const char *path, const char *text);
/* A topic of two replicas, as another tool or broker makes it. */
void put_topic(struct replay *replay, const char *name, int first, int second);
/* Of so many. */
void put_topic_of(struct replay *replay, const char *name,
    const int32_t *replicas, int32_t count);
/* t0 with one config, or none; in no notification. */
void put_config(struct replay *replay, const char *name, const char *value);
/* As versions before 2.8 write it. */
void put_without_id(struct replay *replay, const char *path,
    const struct znode_topic *node);
/* False: there is none. The node is the arena's. */
bool topic_id(struct replay *replay, const char *path, struct uuid *id,
    struct znode_topic *node, struct arena *arena);
/* Dooms the topic. */
void mark(struct replay *replay, const char *topic);
bool is_marked(struct replay *replay, const char *topic);
/* Nothing of it is left. */
void check_gone(struct replay *replay, const char *topic);
/* Of t0, t1 and t2: it leads nothing and is in no ISR; all is led. */
void check_relieved(struct replay *replay, int gone);
void check_partitions(struct replay *replay, const char *topic, size_t count);

/* --- ISRs that leaders ask for -------------------------------------------- */

/* Nobody answered. */
#define SILENCE (-1)

/* A partition's state as it was read. */
struct seen {
	const char *topic; /* its partition 0 */
	struct znode_state state;
	int32_t version;
	struct arena arena;
};
void see(struct replay *replay, struct seen *seen, const char *topic);
void unsee(struct seen *seen);
/* AlterPartition by its leader, as it was seen, and with older broker epochs;
 * the error. */
int alter(struct replay *replay, const struct seen *seen, const int32_t *isr,
    int32_t count, int64_t stale_by);

/* --- deaths --------------------------------------------------------------- */

/* Sooner than a session ends. */
#define SOON_MS 2000
/* So long after it registered, a broker was not away unseen: returns.c. */
#define OLD_MS 35000
/* Between two moves on the evidence about one broker. */
#define MOVE_MS 30000
#define QUIET_OPTIONS                                                       \
	"auto.leader.rebalance.enable=false\n"                               \
	"barnabas.evidence.controller.enable=false\n"

/* Of t0, t1 and t2, and old enough for a new controller to believe what it was
 * told. */
void make_cluster(struct replay *replay);
/* One of the planes, but neither of these. */
int some_other(struct replay *replay, int a, int b);
bool is_registered(struct replay *replay, int id);
/* Nothing gets from one to the other. */
void silence(struct replay *replay, int a, int b, bool cut);
/* It cannot be reached by anybody, nor does it reach ZooKeeper, if so. */
void fall_silent(struct replay *replay, int id, bool silent, bool session);
/* How many partitions it leads; what is written about all in `*versions`. */
int count_led(struct replay *replay, int leader, int64_t *versions);
/* Of its partition 0. */
int leader_of(struct replay *replay, const char *topic);
/* Of t5/0. */
void must_lead_t5(struct replay *replay, int id, bool leads);
void must_be_in_sync(struct replay *replay, int32_t count);
/* t1/0 is led by the controller. */
void rule_by_leader(struct replay *replay);
/* As if another had written it. */
void put_state_of_t1(struct replay *replay, const struct znode_state *state);

#endif
