/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coordinator's runtime of one shard, with a log in memory: what is written
 * is in the log at once, and is committed when the test says so.  The shard can
 * be closed and loaded anew from that log, as another broker would.
 */
#ifndef TESTS_UNIT_FAKE_COORD_H
#define TESTS_UNIT_FAKE_COORD_H

#include "base/buffer.h"
#include "coord/coord.h"
#include "storage/steady.h"

struct fake_record {
	struct slice key; /* both are this record's own */
	struct slice value;
	int64_t producer_id;
	bool transactional;
	bool marker;
	bool commits;
};

#define FAKE_WRITES_MAX 4096

struct coord_shard {
	struct loop *loop;
	int32_t epoch;
};

struct coord {
	struct coord_setup setup;
	struct coord_shard shard;
	void *state; /* NULL: not led here */
	void *closing; /* one of before, which goes by and by */
	bool loaded;
	enum error refusal; /* of every ask; ERR_NONE: as the state is */
	bool loading;       /* what coord_loading() says */
	struct fake_record *log;
	size_t log_count;
	size_t log_capacity;
	bool hold; /* writes wait for fake_coord_end() */
	struct coord_write *writes[FAKE_WRITES_MAX];
	size_t write_count; /* that wait */
	size_t batches;     /* written so far */
	enum error outcome; /* of writes that do not wait */
	void (*appending)(void *arg); /* in each append; NULL: nothing */
	void *appending_arg;
	struct steady steady;
};

/* A record that nobody here has written; null value: a tombstone. */
void fake_coord_put(struct coord *coord, struct slice key, struct slice value,
    int64_t transaction);
void fake_coord_mark(struct coord *coord, int64_t producer_id, bool commit);
/* The oldest write under way ends; what is in the log stays there. */
void fake_coord_end(struct coord *coord, enum error error);
void fake_coord_close(struct coord *coord);
/* One call of close(): whether it was the last one. The first one takes the
 * state away. */
bool fake_coord_close_some(struct coord *coord);
/* Reads the log into a new shard. */
void fake_coord_load(struct coord *coord);
/* Likewise, but for the calls of loaded(); then one of these: whether it was
 * the last. */
void fake_coord_replay(struct coord *coord);
bool fake_coord_load_some(struct coord *coord);
/* It led all along, and hears of its last record, a marker. */
void fake_coord_hear(struct coord *coord);

#endif
