/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all coordinators share: each partition of an internal topic that this
 * broker leads is a *shard*, state that was read out of the partition's log and
 * is changed by appending to it.  Groups live on __consumer_offsets so;
 * transactions will on __transaction_state.
 *
 *	           coord_elected(epoch)         read to the end, ops->loaded
 *	  [away] ----------------------> [loading] ------------------> [active]
 *	     ^                               |                            |
 *	     +------------- coord_resigned(epoch), stop ------------------+
 *
 *	command:  look at the state, coord_append() --> the log, acks=all
 *	                                                   | committed
 *	          write->done <-- ops->replay of its records
 *
 * What is loaded and what is written goes through the same ops->replay, in the
 * log's order; so the state after a change of leader is the state before it.
 * A shard belongs to one loop: partition modulo their number.  Only that loop
 * touches the state.  A worker reads the log, a chunk at a time, and the loop
 * replays it; the next chunk is read when that is done.  A few shards load at a
 * time, the others wait.  It is read to the log's end, as Kafka does, also
 * beyond the high watermark: what lies there may be committed.
 *
 * A batch that is damaged (its sum, its records) is said and passed over; where
 * the disk does not read, or no further batch is found, it is said and tried
 * again: a shard that is not wholly loaded answers COORDINATOR_LOAD_IN_PROGRESS
 * for as long as that takes.
 */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include "base/errors.h"
#include "base/loop.h"
#include "base/slice.h"
#include "base/uuid.h"

struct cluster_image;
struct coord;
struct coord_shard;
struct diag;
struct metrics;
struct replicas;
struct scheduler;
struct work_queue;

/* One record of a shard's log. Valid during the call. */
struct coord_record {
	int64_t offset;
	int64_t timestamp_ms;
	int64_t producer_id; /* -1: none */
	int16_t producer_epoch;
	bool transactional;
	bool loading; /* false: this broker has just written it */
	struct slice key;
	struct slice value; /* null: a tombstone */
};

/* All on the shard's loop. */
struct coord_ops {
	const char *name; /* for log lines: "group", "transaction" */
	/* An empty state. */
	void *(*open)(void *arg, struct coord_shard *shard);
	void (*replay)(void *state, const struct coord_record *record);
	/* The end of a producer's transaction in this partition: after all of
	 * its records that lie in front, and before those behind. */
	void (*marker)(void *state, int64_t producer_id, int16_t epoch,
	    int64_t offset, bool commit);
	/* All of the log was replayed. False: more is to be done, and it is
	 * called again, in later turns of the loop too; requests come when it
	 * has answered true, and from the first call on it may append. */
	bool (*loaded)(void *state);
	/* No longer the coordinator, loaded or not: who waits is answered
	 * NOT_COORDINATOR, and the state freed; nothing may be appended, and
	 * writes under way end with `closed`, before or after. False: not all
	 * of it is, and it is called again; meanwhile the shard may have a new
	 * state. */
	bool (*close)(void *state);
};

struct coord_setup {
	const struct coord_ops *ops;
	void *ops_arg;
	const char *topic; /* lives as long */
	struct replicas *replicas;
	struct work_queue *workers; /* the log is read there */
	struct loop *const *loops;
	size_t loop_count;
	size_t load_bytes; /* of one read at most: offsets.load.buffer.size */
	int32_t start_partitions; /* of the topic at the start; 0: no topic */
	struct uuid start_topic_id; /* zero: it has none */
	int32_t default_partitions; /* while the topic is not there */
	struct diag *diag;
	struct metrics *metrics;
};

/* It watches the roles of the topic's partitions (replicas_watch_roles()). */
struct coord *coord_new(const struct coord_setup *setup);
/* Shards close on their loops; nothing is elected any more. Before the loops
 * stop and after replicas_stop(). Any thread, once. */
void coord_stop(struct coord *coord);
/* After the stop: all are closed, no log is read and no write is under way.
 * Loops go on until then. Any thread. */
bool coord_at_rest(const struct coord *coord);
/* Loops are stopped, and so are those that tell of roles. */
void coord_free(struct coord **coord);

/* --- told by replica, after the change; any thread ------------------------ */

/* This broker leads the partition now and did not before. An epoch that is not
 * above the last one told for it means nothing. */
void coord_elected(struct coord *coord, int32_t partition, int32_t epoch);
/* It follows, was stopped or went offline: an epoch below the last one means
 * nothing. -1: the partition was deleted; one of its name begins anew. */
void coord_resigned(struct coord *coord, int32_t partition, int32_t epoch);

/* --- told by who writes the ends of transactions; any thread -------------- */

struct coord_mark {
	int32_t partition;
	int32_t epoch; /* the leader's, under which it was appended: that of
			* the election, or one since */
	int64_t producer_id;
	int16_t producer_epoch;
	int64_t offset;
	bool commit;
};
/* A control batch lies there and is committed: before its writer is answered,
 * and before any later record of that producer is written. What a load has
 * read, or will read, is not told twice. */
void coord_marked(struct coord *coord, const struct coord_mark *mark);

/* --- asking --------------------------------------------------------------- */

/* Where a group or transactional id lives: |Java's String.hashCode| modulo the
 * topic's partitions, as they were when the broker started, or the default for
 * a topic that was not there: ids do not move when some are added, as Kafka's
 * do not.  Those of the image for a topic that was not there and has fewer, or
 * that has another id now. */
int32_t coord_partition_of(const struct coord *coord,
    const struct cluster_image *image, struct slice id);
struct loop *coord_loop(const struct coord *coord, int32_t partition);
size_t coord_loop_count(const struct coord *coord);
/* On the partition's loop: elsewhere (who came by an older image) it is as if
 * it were not led here. NULL: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS or,
 * when the broker stops, COORDINATOR_NOT_AVAILABLE in *error. */
void *coord_state(struct coord *coord, int32_t partition, enum error *error);
/* All active shards of a loop, one after another: false ends it. */
void coord_each(struct coord *coord, struct loop *loop,
    bool (*each)(void *state, void *arg), void *arg);
/* By which what a shard holds is old enough to go: a clock that leaps ahead is
 * not believed at once (storage_steady_ms()). Any thread. */
int64_t coord_steady_ms(struct coord *coord);
/* On the loop: some shard of it is not loaded yet. */
bool coord_loading(const struct coord *coord, const struct loop *loop);

struct loop *coord_shard_loop(const struct coord_shard *shard);
int32_t coord_shard_partition(const struct coord_shard *shard);
int32_t coord_shard_epoch(const struct coord_shard *shard); /* the leader's */

/* --- writing -------------------------------------------------------------- */

struct coord_entry {
	struct slice key;
	struct slice value; /* null: a tombstone */
};

/* One batch. The caller's memory until `done`, its entries until
 * coord_append() returns. */
struct coord_write {
	const struct coord_entry *entries;
	size_t count; /* >= 1 */
	int64_t producer_id; /* -1: none */
	int16_t producer_epoch;
	bool transactional;
	/* Base sequence 0 without a producer too: so Kafka writes commits. */
	bool sequenced;
	int8_t codec;
	int16_t acks;
	int32_t timeout_ms;
	/* On the shard's loop, never before coord_append() returned. ERR_NONE:
	 * its records were replayed just before. Else as Produce answered: they
	 * may stand in the log all the same, and be found by the next load.
	 * COORDINATOR_NOT_AVAILABLE: too much is under way. */
	void (*done)(struct coord_write *write);
	void *owner;
	enum error error;
	int64_t base_offset;
	/* The shard that it was written for is gone, its state must not be
	 * touched; nothing was replayed. The error is the append's still. */
	bool closed;
	struct coord_write_int *state; /* hidden */
};
/* On the shard's loop. Writes of a shard stand in its log in this order, and
 * are replayed and done in it. */
void coord_append(struct coord_shard *shard, struct coord_write *write);

#endif
