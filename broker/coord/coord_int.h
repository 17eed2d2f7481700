/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share.
 *
 *	coord.c   shards: told of roles, opened, asked for, closed; the stop
 *	load.c    a shard's task: chunk after chunk, until the log's end
 *	chunk.c   a piece of the log, read and unpacked by a worker
 *	write.c   batches: built, appended, replayed, done
 *	marks.c   ends of transactions, while the shard is led
 *	times.c   how long loads took, for the metrics' page
 */
#ifndef COORD_COORD_INT_H
#define COORD_COORD_INT_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/task.h"
#include "coord/coord.h"
#include "metrics/metrics.h"
#include "record/record.h"
#include "replica/replica.h"

#define COORD_MAGIC 0x636f6f72U

/* Shards that load at once, over all loops: each holds a chunk. */
#define LOADS_AT_ONCE 4
/* Of a log at once, but for a larger batch.  More is read no quicker, and what
 * a worker frees stays with its heap, for nothing until the next load. */
#define CHUNK_BYTES_MAX ((size_t)128 << 10)
/* One batch may unpack to so much, as when it was produced. */
#define BATCH_UNPACKED_MAX ((size_t)256 << 20)
/* Bytes of a shard's writes under way. */
#define WRITES_BYTES_MAX ((size_t)64 << 20)
/* Spent writes that a loop keeps for the next ones. */
#define WRITES_KEPT 64
/* Loads that count for the metrics of the last half minute. */
#define LOAD_TIMES_KEPT 256

/* COORD_ENDING: a load's end, the log is replayed and ops->loaded is at it. In
 * this order. */
enum coord_phase { COORD_AWAY, COORD_LOADING, COORD_ENDING, COORD_ACTIVE };

struct coord_load;

/* Its loop's. Not freed before coord_free(). */
struct coord_shard {
	struct hash_node node;
	struct coord *coord;
	struct coord_loop *home;
	int32_t partition;
	int32_t epoch; /* the last one told; -1: none, or deleted */
	enum coord_phase phase;
	uint64_t term; /* counts openings and closings */
	void *state;   /* NULL: away */
	struct coord_load *load; /* of this term; NULL: loaded, or away */
	/* Writes under way, of earlier terms too; in the log's order. */
	struct list writes;
	size_t write_bytes;
	uint64_t write_count; /* so far */
	struct list marks; /* marks.c: not told yet */
	struct coord_write_int *holder; /* those behind it must wait */
	struct post settle;
	bool settling; /* posted */
};

/* One loop's part. */
struct coord_loop {
	struct coord *coord;
	struct loop *loop;
	struct hash shards; /* by partition */
	size_t loading;
	bool stopped;
	struct post stop;
	struct list spare; /* of struct coord_write_int */
	size_t spare_count;
};

/* How long a load took, and when it ended. */
struct load_time {
	int64_t ended_ms;
	int64_t took_ms;
};

/* The metrics of one kind of coordinator. */
struct coord_metrics {
	const char *name; /* as coord_ops has it */
	enum metric load_time_max;
	enum metric load_time_avg;
	enum metric loads;
	enum metric partitions;
	enum metric loading;
	enum metric writes;
	enum metric write_failures;
	enum metric write_time;
};

struct coord {
	uint32_t magic;
	struct coord_setup setup;
	const struct coord_metrics *metrics;
	const struct clock *clock;
	struct coord_loop *loops;
	struct role_watch watch;
	/* Loops that have not stopped, loads, closings and writes. */
	atomic_size_t running;
	struct lock lock; /* a leaf, over what follows */
	struct list news;  /* of struct coord_news: not arrived yet */
	struct list marks; /* of struct mark_post, likewise */
	struct list load_queue; /* of struct load_turn */
	size_t loads;
	struct load_time times[LOAD_TIMES_KEPT];
	size_t time_count;
};

/* --- coord.c -------------------------------------------------------------- */

/* NULL: never heard of. On its loop. */
struct coord_shard *shard_of(const struct coord *coord, int32_t partition);
/* This term's log is replayed up to there. */
void shard_replayed(struct coord_shard *shard, int64_t end_offset);
/* Goes on with what is left of the load. True: it is over, requests come. */
bool shard_loaded(struct coord_shard *shard);

/* --- load.c --------------------------------------------------------------- */

/* The shard's `load` from now on, until shard_loaded() is true or
 * load_abandon(). */
void load_start(struct coord_shard *shard);
/* It ends by itself, later, and does not touch the shard. */
void load_abandon(struct coord_load *load);

/* --- chunk.c -------------------------------------------------------------- */

/*
 * Whole batches of a log, in memory.
 *
 *	bytes    [batch][batch, compressed][batch] ..   none of them damaged
 *	readers           reader                        of the compressed ones
 */
struct coord_chunk {
	const struct coord *coord;
	int32_t partition;
	int64_t from;  /* what lies below is passed over */
	/* out */
	enum error error; /* of the read: nothing is in it */
	bool end;      /* nothing lies at `from` */
	int64_t log_end; /* as the read found it; -1: it found no log */
	int64_t next;  /* to go on from */
	struct buffer bytes;
	struct record_reader **readers;
	size_t reader_count;
	size_t reader_capacity;
	size_t damaged; /* batches that are left out, which was said */
	/* where it is replayed */
	struct slice rest;
	struct batch batch;
	struct record_reader *reader; /* of `batch`; NULL: the next one */
	size_t reader_next;
};

enum chunk_item { CHUNK_END, CHUNK_RECORD, CHUNK_MARKER };

/* Reads. On a worker. */
void chunk_read(struct coord_chunk *chunk);
/* What comes next, in order; it lives until the next call. */
enum chunk_item chunk_next(struct coord_chunk *chunk,
    struct coord_record *record, bool *commit);
/* Empty, for the next read; buffers stay. */
void chunk_clear(struct coord_chunk *chunk);
void chunk_fini(struct coord_chunk *chunk);

/* --- write.c -------------------------------------------------------------- */

struct coord_write_int {
	struct list link; /* of the shard, or spare */
	struct coord_shard *shard;
	struct coord_write *write;
	uint64_t number; /* of the shard's */
	uint64_t term;
	int32_t epoch; /* of that term */
	int64_t began_ns;
	bool sent;
	bool done;
	struct arena arena;
	struct buffer bytes;
	struct produce produce;
	struct produce_part part;
};
void writes_settle(struct post *post);
void write_free(struct coord_write_int *w);

/* --- marks.c -------------------------------------------------------------- */

/* Those whose turn has come are told. */
void marks_settle(struct coord_shard *shard);
/* The load has read what lies below: it was told there. */
void marks_forget_below(struct coord_shard *shard, int64_t offset);
void marks_forget(struct list *marks);

/* --- times.c -------------------------------------------------------------- */

const struct coord_metrics *coord_metrics_of(const char *name);
void times_register(struct coord *coord);
void times_note(struct coord *coord, int64_t ended_ms, int64_t took_ms);

#endif
