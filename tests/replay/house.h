/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole brokers on virtual time, in the world of replay.h (made with no
 * planes): b1, b2, ... each with its own directory, files that can die and
 * ZooKeeper client; and a client that speaks to them by sockets in memory.
 *
 *	struct house *b = house_new(seed, 3);
 *	house_start(b, 1);
 *	house_await(b, 1, BROKER_RUNNING);
 *	house_kill(b, 1);      nothing it does from now on has an effect
 *	house_start(b, 1);     a new process over what the old one left
 *	house_free(&b);
 *
 * A killed broker is stopped behind the scenes, for its memory: its sockets are
 * reset, its session is cut off, its files refuse every call.
 */
#ifndef TESTS_REPLAY_HOUSE_H
#define TESTS_REPLAY_HOUSE_H

#include "daemon/broker.h"
#include "net/peer.h"
#include "tests/replay/replay.h"

#define HOUSE_MAX 4

/* One process. */
struct running {
	struct broker *broker;
	struct config *config;
	struct metrics *metrics;
	struct zk_driver *driver;
	struct files *files;
	struct random random;
	bool killed;
};

struct house {
	struct replay *world;
	size_t count;
	char directory[64];
	struct running at[HOUSE_MAX + 1]; /* by number */
	/* Lines added to the properties of the next start of each; NULL:
	 * none. */
	const char *more[HOUSE_MAX + 1];
	/* As the world's, with whole brokers' numbers. */
	void (*on_write)(struct house *house, int id,
	    const struct zk_op *op);
	/* After each step of house_run(), as short as the caller's. */
	void (*on_step)(struct house *house);
	void *script;
	struct loop *client; /* the client's loop */
	struct work_queue *resolver;
	struct peer *peers[HOUSE_MAX + 1];
};

struct house *house_new(uint64_t seed, size_t count);
/* Stops what runs; says what does not stop. */
void house_free(struct house **house);
void house_run(struct house *house, int64_t ms);
/* Waits first until what is left of the last process is gone. */
void house_start(struct house *house, int id);
/* Starts all and waits until they run. */
void house_start_all(struct house *house);
/* A fault is noted when the state is not reached in a minute. */
bool house_await(struct house *house, int id, enum broker_state state);
/* Cleanly, to the end. */
void house_stop(struct house *house, int id);
/* At once, also from a hook. */
void house_kill(struct house *house, int id);
bool house_live(const struct house *house, int id);
/* Its log directory's files go, while it does not run. */
void house_wipe(struct house *house, int id);
/* The number in /controller, 0: none. */
int house_controller(struct house *house);

/* --- the client ----------------------------------------------------------- */

/* A connection beside the client's own; the caller frees it. */
struct peer *house_peer(struct house *house, int id);

/* One request. */
struct asking {
	int id; /* of the broker */
	int api_key;
	int version;
	const void *request;
	void *response;
	struct arena arena;    /* of the answer */
	struct peer_call call; /* holds the answer's strings */
};
/* The answer is waited for by house_run(). */
void house_send(struct house *house, struct asking *asking);
/* False: no answer in a minute, or the connection broke. */
bool house_ask(struct house *house, struct asking *asking);
void asking_fini(struct asking *asking);

/* The topic's error code; -1: no answer. */
int house_create(struct house *house, int id, const char *topic,
    int32_t partitions, int16_t replication_factor);
/* One batch of one record whose value is `value`; the error code, -1: no
 * answer. acks=1. */
int house_produce(struct house *house, int id, const char *topic,
    int32_t partition, int32_t value);
/* With these acks: -1 waits for all that are in sync. */
int house_produce_acks(struct house *house, int id, const char *topic,
    int32_t partition, int32_t value, int16_t acks);
/* How many records there are, of which the values must ascend by one from 0 and
 * the offsets too; -1: an error, which is noted. */
int house_read(struct house *house, int id, const char *topic,
    int32_t partition);
/* The leader as this broker's Metadata has it; -1: none or an error. */
int house_leader(struct house *house, int id, const char *topic,
    int32_t partition);

#endif
