/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a log knows of its producers (KIP-98): epoch, the last batches (for
 * retries), open transactions.  It is a function of the log's records, so it
 * can be rebuilt from them; snapshot files spare most of that work.  Guarded by
 * the log's lock.
 */
#ifndef STORAGE_PRODUCERS_H
#define STORAGE_PRODUCERS_H

#include "base/hash.h"
#include "storage/storage.h"

#define PRODUCER_BATCHES 5

struct producer_batch {
	int64_t last_offset;
	int64_t timestamp_ms;
	int32_t last_sequence;
	int32_t offset_delta; /* last - first */
};
struct producer {
	struct hash_node node; /* by id */
	int64_t id;
	int64_t last_timestamp_ms;
	int64_t txn_first_offset; /* -1: no transaction is open */
	struct producer *older; /* in the order of transactions that are */
	struct producer *newer;
	int32_t coordinator_epoch;
	int16_t epoch;
	uint8_t batch_count;
	struct producer_batch batches[PRODUCER_BATCHES]; /* oldest first */
};
/* A transaction that a marker ended. */
struct producers_ended {
	int64_t producer_id;
	int64_t first_offset; /* -1: none was open */
	int64_t last_offset;  /* the marker's */
	int64_t stable_offset; /* first of the oldest other one, or behind */
	bool aborted;
};
struct producers {
	struct hash by_id;
	/* Those with an open transaction, by its first offset. */
	struct producer *oldest;
	struct producer *newest;
	/* Transactions whose marker may still be lost, by the marker's offset:
	 * none is final before the high watermark has passed its marker. */
	struct producers_ended *ended;
	size_t ended_count;
	size_t ended_capacity;
	int64_t end_offset;      /* all below it is in here */
	int64_t snapshot_offset; /* of the newest snapshot */
	bool snapshot_unsynced;  /* that one was found, not written by us */
};

void producers_fini(struct producers *producers);
void producers_clear(struct producers *producers);
/* What a client's batch is to them: ERR_NONE with *duplicate (and which), or
 * the error of storage.md 5.8. Changes nothing. */
enum error producers_check(const struct producers *producers,
    const struct batch *batch, struct producer_batch *duplicate, bool *is);
/* A batch was appended (or is replayed): data. Bytes of the header suffice. */
void producers_add_data(struct producers *producers,
    const struct batch *batch);
/* A control batch, whole. False: no transaction marker. */
bool producers_add_marker(struct producers *producers,
    const struct batch *batch, struct producers_ended *ended);
/* Whether of someone whose last batch lies at `offset` or behind only that one
 * is known. */
bool producers_lack(const struct producers *producers, int64_t offset);
/* Takes the batches before a producer's last one over, of which only that one
 * is known, from where it is the last one too. */
void producers_complete(struct producers *producers,
    const struct producers *found);
/* Forgets who was idle for `expiration_ms`, unless in a transaction. */
size_t producers_expire(struct producers *producers, int64_t now_ms,
    int64_t expiration_ms);
/* The high watermark has come so far: what ended below it is final. */
void producers_settle(struct producers *producers, int64_t high_watermark);
/* Whether any transaction is open or not final. */
static inline bool
producers_unsettled(const struct producers *producers)
{
	return (producers->oldest != NULL || producers->ended_count > 0);
}
/* The smallest first offset of those; INT64_MAX: there are none. */
int64_t producers_first_unstable(const struct producers *producers);

/* As log_producers(). */
struct log_producer *producers_list(const struct producers *producers,
    size_t *count);

/* The bytes of a .snapshot file. */
void producers_encode(const struct producers *producers, struct buffer *out);
bool producers_decode(struct producers *producers, struct slice bytes,
    int64_t now_ms, int64_t expiration_ms);

#endif
