/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinators' runtime over a real log, in replay, and a state that tells
 * what it was told. */
#ifndef TESTS_UNIT_COORD_BENCH_H
#define TESTS_UNIT_COORD_BENCH_H

#include "base/mem.h"
#include "coord/coord_int.h"
#include "replica_rig.h"

#define PARTITIONS 12

/* --- a state that is a text ----------------------------------------------- */

/* "key=value;" of what was replayed, "key-;" of a tombstone, "C7@12;" and
 * "A7@12;" of markers; a transaction's records begin with "t". */
struct notes {
	struct coord_shard *shard;
	struct buffer text;
	int64_t last_offset;
	size_t record_count;
	bool ending; /* or loaded */
	bool loaded;
	int loaded_calls;
	int close_calls;
};

struct bench {
	struct replica_rig rig;
	struct coord *coord;
	size_t load_bytes;
	int32_t start_partitions;
	struct uuid start_topic_id;
	struct notes *notes[PARTITIONS]; /* open ones, by partition */
	int opened;
	int closed;
	int loaded;
	size_t most_loads;  /* at once, as seen at replays */
	int loaded_after; /* calls of loaded() and close() that they need */
	int closed_after; /* more than one */
	void (*ending)(struct notes *notes); /* in each of the former */
	size_t pause_after; /* records: stops the scheduler; 0: never */
	bool paused;
};

static inline void *
notes_open(void *arg, struct coord_shard *shard)
{
	struct bench *b = arg;
	struct notes *notes = mem_zalloc(sizeof(*notes));

	CU_ASSERT(loop_is_current(coord_shard_loop(shard)));
	notes->shard = shard;
	notes->last_offset = -1;
	CU_ASSERT_PTR_NULL(b->notes[coord_shard_partition(shard)]);
	b->notes[coord_shard_partition(shard)] = notes;
	b->opened++;
	return (notes);
}

static inline struct bench *
bench_of(const struct notes *notes)
{
	return (notes->shard->coord->setup.ops_arg);
}

static inline void
notes_replay(void *state, const struct coord_record *record)
{
	struct notes *notes = state;
	struct bench *b = bench_of(notes);

	CU_ASSERT(record->loading == !notes->ending);
	CU_ASSERT(record->offset > notes->last_offset);
	CU_ASSERT(record->transactional == (record->producer_id >= 0));
	notes->last_offset = record->offset;
	notes->record_count++;
	if (record->transactional)
		buffer_printf(&notes->text, "t%lld:",
		    (long long)record->producer_id);
	buffer_append_slice(&notes->text, record->key);
	if (record->value.data == NULL)
		buffer_append_text(&notes->text, "-;");
	else if (record->value.length < 100)
		buffer_printf(&notes->text, "=%.*s;",
		    SLICE_ARGS(record->value));
	if (b->coord->loads > b->most_loads)
		b->most_loads = b->coord->loads;
	b->paused = b->pause_after != 0 &&
	    notes->record_count >= b->pause_after;
}

static inline void
notes_marker(void *state, int64_t producer_id, int16_t epoch, int64_t offset,
    bool commit)
{
	struct notes *notes = state;

	CU_ASSERT_EQUAL(epoch, 3);
	CU_ASSERT(offset > notes->last_offset);
	notes->last_offset = offset;
	buffer_printf(&notes->text, "%c%lld@%lld;", commit ? 'C' : 'A',
	    (long long)producer_id, (long long)offset);
}

static inline bool
notes_loaded(void *state)
{
	struct notes *notes = state;
	struct bench *b = bench_of(notes);

	CU_ASSERT_FALSE(notes->loaded);
	/* Nothing more is read out of the log; what is written comes. */
	notes->ending = true;
	if (b->ending != NULL)
		b->ending(notes);
	if (notes->loaded_calls++ < b->loaded_after)
		return (false);
	notes->loaded = true;
	b->loaded++;
	return (true);
}

static inline bool
notes_close(void *state)
{
	struct notes *notes = state;
	struct bench *b = bench_of(notes);

	if (notes->close_calls == 0)
		b->notes[coord_shard_partition(notes->shard)] = NULL;
	if (notes->close_calls++ < b->closed_after)
		return (false);
	b->closed++;
	buffer_fini(&notes->text);
	mem_free(notes);
	return (true);
}

static const struct coord_ops notes_ops = {
	.name = "group",
	.open = notes_open,
	.replay = notes_replay,
	.marker = notes_marker,
	.loaded = notes_loaded,
	.close = notes_close,
};

/* --- the bench ------------------------------------------------------------ */

static inline void
bench_start(struct bench *b)
{
	b->coord = coord_new(&(struct coord_setup){
		.ops = &notes_ops,
		.ops_arg = b,
		.topic = RIG_TOPIC,
		.replicas = b->rig.replicas,
		.workers = b->rig.workers,
		.loops = b->rig.loops,
		.loop_count = RIG_LOOPS,
		.load_bytes = b->load_bytes,
		.start_partitions = b->start_partitions,
		.start_topic_id = b->start_topic_id,
		.default_partitions = 50,
		.metrics = b->rig.metrics,
	});
}

static inline void
bench_stop(struct bench *b)
{
	coord_stop(b->coord);
	replica_rig_pass(&b->rig, 10000);
	CU_ASSERT(coord_at_rest(b->coord));
	coord_free(&b->coord);
	for (int i = 0; i < PARTITIONS; i++)
		CU_ASSERT_PTR_NULL(b->notes[i]);
	CU_ASSERT_EQUAL(b->opened, b->closed);
}

static inline void
bench_init(struct bench *b, size_t load_bytes, const char *option)
{
	memset(b, 0, sizeof(*b));
	replica_rig_init(&b->rig, false, option);
	b->load_bytes = load_bytes;
	replica_rig_image(&b->rig, RIG_TOPIC, PARTITIONS, 1);
	bench_start(b);
}

static inline void
bench_fini(struct bench *b)
{
	bench_stop(b);
	replica_rig_fini(&b->rig);
}

/* As after a kill: the log is all that is left. */
static inline void
bench_restart(struct bench *b)
{
	bench_stop(b);
	replica_rig_restart(&b->rig);
	bench_start(b);
}

static inline enum error
bench_order(struct bench *b, struct rig_order order)
{
	enum error error = replica_rig_order(&b->rig, &order);

	replica_rig_pass(&b->rig, 10);
	return (error);
}

struct look {
	struct bench *bench;
	int32_t partition;
	struct notes *notes;
	enum error error;
};

static inline void
look_run(void *arg)
{
	struct look *look = arg;

	look->notes = coord_state(look->bench->coord, look->partition,
	    &look->error);
}

/* What the partition's loop is told. */
static inline enum error
bench_look(struct bench *b, int32_t partition)
{
	struct look look = { .bench = b, .partition = partition };

	replica_rig_on(&b->rig, partition % RIG_LOOPS, look_run, &look);
	CU_ASSERT_EQUAL(look.notes != NULL, look.error == ERR_NONE);
	if (look.notes != NULL)
		CU_ASSERT_PTR_EQUAL(look.notes, b->notes[partition]);
	return (look.error);
}

static inline const char *
bench_text(struct bench *b, int32_t partition)
{
	struct notes *notes = b->notes[partition];

	return (notes == NULL ? "(none)" : buffer_text(&notes->text));
}

/* --- writes --------------------------------------------------------------- */

struct note_write {
	struct coord_write write; /* first */
	struct coord_entry entries[3];
	struct bench *bench;
	int32_t partition;
	struct coord_shard *shard; /* NULL: of the partition's notes */
	bool within; /* coord_append() */
	bool done;
	size_t replayed; /* records, as it was done */
	char key[3][16];
	char value[3][16];
};

static inline void
note_done(struct coord_write *write)
{
	struct note_write *w = (struct note_write *)write;
	const struct notes *notes = w->bench->notes[w->partition];

	CU_ASSERT_FALSE(w->within || w->done);
	w->done = true;
	w->replayed = notes == NULL ? 0 : notes->record_count;
}

static inline void
note_run(void *arg)
{
	struct note_write *w = arg;

	if (w->shard == NULL)
		w->shard = w->bench->notes[w->partition]->shard;
	w->within = true;
	coord_append(w->shard, &w->write);
	w->within = false;
	/* The entries were the caller's till here. */
	memset(w->key, 'X', sizeof(w->key));
	memset(w->value, 'X', sizeof(w->value));
}

static inline void
note_init(struct note_write *w, struct bench *b, int32_t partition,
    const char *key, size_t count)
{
	*w = (struct note_write){
		.write = {
			.entries = w->entries,
			.count = count,
			.producer_id = -1,
			.producer_epoch = -1,
			.acks = -1,
			.timeout_ms = 5000,
			.done = note_done,
		},
		.bench = b,
		.partition = partition,
	};
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(w->key[i], sizeof(w->key[i]), "%s%u", key,
		    (unsigned)i % 10);
		(void)snprintf(w->value[i], sizeof(w->value[i]), "%s", key);
		w->entries[i] = (struct coord_entry){ slice_of_text(w->key[i]),
			slice_of_text(w->value[i]) };
	}
}

static inline void
note_start(struct note_write *w)
{
	replica_rig_on(&w->bench->rig, w->partition % RIG_LOOPS, note_run, w);
}

/* One whole write; its error. */
static inline enum error
note_one(struct bench *b, int32_t partition, const char *key, size_t count)
{
	struct note_write w;

	note_init(&w, b, partition, key, count);
	note_start(&w);
	replica_rig_pass(&b->rig, 100);
	CU_ASSERT(w.done);
	CU_ASSERT_EQUAL(w.write.closed, false);
	return (w.write.error);
}

/* --- logs of others ------------------------------------------------------- */

struct piece {
	const char *key; /* NULL: a null key */
	const char *value;
	enum codec codec;
	int64_t producer_id; /* -1: none */
	bool control;        /* key "commit" or "abort" */
};

static inline void
piece_add(struct batch_builder *builder, const struct piece *piece)
{
	const uint8_t abort[] = { 0, 0, 0, 0 }, commit[] = { 0, 0, 0, 1 };
	struct slice key = slice_of_text(piece->key);

	if (piece->control)
		key = slice_of(strcmp(piece->key, "commit") == 0 ? commit :
								   abort, 4);
	batch_builder_add(builder, RIG_WALL_MS, key,
	    slice_of_text(piece->value), NULL, 0);
}

/* Each a batch of its own. */
static inline void
log_pieces(struct bench *b, int32_t partition, const struct piece *pieces,
    size_t count)
{
	struct log *log = storage_find(b->rig.storage, RIG_TOPIC, partition);
	struct log_appended appended;

	CU_ASSERT_PTR_NOT_NULL_FATAL(log);
	for (size_t i = 0; i < count; i++) {
		struct batch_builder builder;
		struct buffer bytes = BUFFER_EMPTY;

		batch_builder_init(&builder, log_end_offset(log),
		    pieces[i].codec);
		builder.leader_epoch = 4;
		builder.producer_id = pieces[i].producer_id;
		if (pieces[i].producer_id >= 0) {
			builder.producer_epoch = 3;
			builder.attributes = BATCH_ATTR_TRANSACTIONAL;
		}
		if (pieces[i].control)
			builder.attributes |= BATCH_ATTR_CONTROL;
		piece_add(&builder, &pieces[i]);
		CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes),
		    ERR_NONE);
		batch_builder_fini(&builder);
		CU_ASSERT_EQUAL_FATAL(log_append_as_follower(log,
		    buffer_slice(&bytes), &appended), ERR_NONE);
		buffer_fini(&bytes);
	}
	log_unref(log);
}

/* Broker 2 leads, and this one has its log. */
static inline void
follow(struct bench *b, int32_t partition, int32_t epoch)
{
	CU_ASSERT_EQUAL_FATAL(bench_order(b, (struct rig_order){
	    .partition = partition, .leader = 2, .replica_count = 2,
	    .epoch = epoch }), ERR_NONE);
}

static inline void
lead(struct bench *b, int32_t partition, int32_t epoch)
{
	CU_ASSERT_EQUAL_FATAL(bench_order(b, (struct rig_order){
	    .partition = partition, .epoch = epoch }), ERR_NONE);
}

#endif
