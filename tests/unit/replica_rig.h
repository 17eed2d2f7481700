/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker's replicas under test: storage in a directory of its own, an image
 * of the cluster, loops and workers; in replay (one thread, virtual time) or
 * with threads.  Broker 1 is ours; 2 and 3 live elsewhere.
 */
#ifndef TESTS_UNIT_REPLICA_RIG_H
#define TESTS_UNIT_REPLICA_RIG_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/random.h"
#include "config/config.h"
#include "loop_rig.h"
#include "replica/replica_int.h"

#define RIG_LOOPS 4
#define RIG_TOPIC "orders"
#define RIG_LOST 200 /* its partition that the directory lost */
#define RIG_WALL_MS INT64_C(1700000000000)

/* Stands in for the room's: one set of options for all topics. */
struct configs {
	struct topic_config config;
	struct topic_options options;
	atomic_uint asked;
	/* Once, when the next one has the config as it is, and before it uses
	 * that; NULL: none. */
	void (*overtake)(void *arg);
	void *overtake_arg;
	struct topic_config before;
	struct topic_options options_before;
};

struct replica_rig {
	bool threads;
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loops[RIG_LOOPS];
	struct gate gate;
	struct config *config;
	const struct broker_options *options;
	struct configs configs;
	struct files *files; /* faulty on order */
	struct random random;
	struct storage *storage;
	struct cluster *cluster;
	struct work_queue *workers;
	struct metrics *metrics;
	struct replicas *replicas;
	char directory[64];
	/* Not 0: in images from then on; all brokers listen at bN:9092. */
	int32_t controller;
	const char *racks[3]; /* of the brokers; in images from then on */
	char second[72]; /* another log directory, if it has two; or "" */
};

/* `option` is one "key=value" more, or NULL. */
void replica_rig_init(struct replica_rig *rig, bool threads,
    const char *option);
/* With two log directories; the first log lies in `directory`. */
void replica_rig_init_two(struct replica_rig *rig, bool threads);
void replica_rig_fini(struct replica_rig *rig);
/* Stops and starts replicas and storage over the same directory. */
void replica_rig_restart(struct replica_rig *rig);
/* Runs `call` on the loop and returns after it. */
void replica_rig_on(struct replica_rig *rig, int loop,
    void (*call)(void *arg), void *arg);
/* Replay: lets time pass. */
void replica_rig_pass(struct replica_rig *rig, int64_t ms);

/* --- orders --------------------------------------------------------------- */

struct rig_order {
	const char *topic; /* NULL: RIG_TOPIC */
	int32_t partition;
	int32_t leader; /* 0: broker 1 */
	int32_t epoch;
	int32_t partition_epoch;
	int32_t replica_count; /* 1, ..., count; 0: 1 */
	int32_t isr_count;     /* likewise; 0: all */
	int32_t isr_from;      /* 0: 1, ...; 1: 2, ... */
	int32_t first_replica; /* 0: broker 1 */
	int32_t adding;        /* a replica that comes; 0: none */
	bool old;              /* not is_new */
	struct uuid topic_id;
	int32_t controller_epoch; /* 0: 1 */
	int64_t broker_epoch;     /* 0: -1 */
	int version;              /* 0: 7 */
	/* out */
	enum error top;
};
/* The partition's error. */
enum error replica_rig_order(struct replica_rig *rig,
    struct rig_order *order);
/* Puts the topic into the image, `count` partitions. */
void replica_rig_image(struct replica_rig *rig, const char *topic,
    int32_t count, int32_t leader);
/* With an id. */
void replica_rig_image_of(struct replica_rig *rig, const char *topic,
    struct uuid id, int32_t count, int32_t leader);
/* Image and leadership of partition 0, epoch 5, by one order. */
void replica_rig_lead(struct replica_rig *rig, int32_t replica_count,
    int32_t isr_count);

/* --- produce and fetch ---------------------------------------------------- */

/* One batch of `count` records with values of `size` bytes. */
void rig_batch(struct buffer *out, int32_t count, size_t size);

struct rig_produce {
	struct replica_rig *rig;
	int loop;
	struct arena arena;
	struct buffer bytes;
	struct produce produce;
	struct produce_part part;
	bool done;    /* `gate` is opened too, with threads */
	bool at_once; /* before produce_run() returned */
	bool released;
};
/* acks, timeout 1000 ms, version 9, RIG_TOPIC/0, one batch. */
void rig_produce_init(struct rig_produce *p, struct replica_rig *rig,
    int16_t acks);
/* Runs it on its loop; in replay nothing else runs before it returns. */
void rig_produce_start(struct rig_produce *p);
/* Replay. False: it still waits after that time. */
bool rig_produce_await(struct rig_produce *p, int64_t ms);
void rig_produce_fini(struct rig_produce *p);
/* One whole produce, done; its error. */
enum error rig_produce_one(struct replica_rig *rig, int16_t acks,
    int32_t count, size_t size);

struct rig_fetch {
	struct replica_rig *rig;
	int loop;
	struct arena arena;
	struct fetch fetch;
	struct fetch_part parts[2];
	bool done;
	bool at_once;
};
/* A consumer's: RIG_TOPIC/0 from `offset`, 500 ms, 1 byte. */
void rig_fetch_init(struct rig_fetch *f, struct replica_rig *rig,
    int64_t offset);
void rig_fetch_start(struct rig_fetch *f);
bool rig_fetch_await(struct rig_fetch *f, int64_t ms);
/* Gives extents back; the fetch may be started again. */
void rig_fetch_again(struct rig_fetch *f);
void rig_fetch_fini(struct rig_fetch *f);
/* A follower's fetch that does not wait. */
enum error rig_follow(struct replica_rig *rig, int32_t follower,
    int64_t offset);

struct replica_view rig_view(struct replica_rig *rig);

#endif
