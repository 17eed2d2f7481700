/* SPDX-License-Identifier: Apache-2.0 */
/* A log of keys to be compacted, and what is left of it. */
#ifndef TESTS_UNIT_COMPACTION_RIG_H
#define TESTS_UNIT_COMPACTION_RIG_H

#include "storage_bench.h"

#include <dirent.h>

#include "storage/clean_int.h"

#define KEYS 20
#define RETENTION_MS INT64_C(1000000)

/* --- a log of keys -------------------------------------------------------- */

struct rig {
	struct bench bench;
	int expected[KEYS]; /* the last value; -1: deleted; 0: never there */
	int turn;
};

static inline void
rig_init(struct rig *rig)
{
	*rig = (struct rig){ 0 };
	bench_init(&rig->bench);
	rig->bench.settings.segment_bytes = 2000;
	rig->bench.settings.index_interval_bytes = 200;
	rig->bench.settings.file_delete_delay_ms = 60000;
	rig->bench.settings.compacted = true;
	rig->bench.settings.min_cleanable_ratio = 0.1;
	rig->bench.settings.max_compaction_lag_ms = INT64_MAX;
	rig->bench.settings.delete_retention_ms = RETENTION_MS;
	rig->bench.files = files_faulty_new(files_system());
}

static inline void
rig_fini(struct rig *rig)
{
	bench_fini(&rig->bench);
	files_faulty_free(rig->bench.files);
}

struct origin {
	int64_t producer_id; /* 0: none */
	int32_t sequence;
	int16_t attributes;
	int32_t leader_epoch;
};

static inline enum error
append(struct bench *bench, struct batch_builder *builder, int32_t leader_epoch)
{
	struct record_rules rules = { .now_ms = BENCH_NOW_MS };
	struct record_verdict verdict = { .error = ERR_NONE };
	struct buffer bytes = BUFFER_EMPTY;
	struct log_appended appended;
	struct slice rest;
	enum error error;

	CHECK(batch_builder_finish(builder, &bytes) == ERR_NONE);
	batch_builder_fini(builder);
	rest = buffer_slice(&bytes);
	CHECK(batch_next(&rest, &verdict.batch) == BATCH_OK);
	verdict.max_timestamp_ms = verdict.batch.max_timestamp_ms;
	error = log_append_as_leader(bench->log, &rules, &verdict, bytes.data,
	    leader_epoch, &appended);
	buffer_fini(&bytes);
	log_set_high_watermark(bench->log, log_end_offset(bench->log));
	return (error);
}

static inline void
put_from(struct rig *rig, int key, int value, struct origin origin)
{
	struct batch_builder builder;
	char name[16], text[40];
	struct slice body = { (const uint8_t *)text, 0 };

	snprintf(name, sizeof(name), "key-%d", key);
	body.length = (size_t)snprintf(text, sizeof(text), "%032d", value);
	batch_builder_init(&builder, 0, CODEC_NONE);
	builder.attributes = origin.attributes;
	if (origin.producer_id != 0) {
		builder.producer_id = origin.producer_id;
		builder.producer_epoch = 0;
		builder.base_sequence = origin.sequence;
	}
	batch_builder_add(&builder, BENCH_NOW_MS + rig->turn++,
	    slice_of_text(name), value < 0 ? SLICE_NULL : body, NULL, 0);
	CU_ASSERT_EQUAL_FATAL(append(&rig->bench, &builder,
	    origin.leader_epoch), ERR_NONE);
}

static inline void
put(struct rig *rig, int key, int value)
{
	put_from(rig, key, value, (struct origin){ 0 });
	rig->expected[key] = value;
}

/* So many of keys in turn, one batch each. */
static inline void
fill(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++)
		put(rig, rig->turn % KEYS, rig->turn + 1);
}

static inline void
end_transaction(struct rig *rig, int64_t producer_id, bool commits)
{
	uint8_t key[4] = { 0 }, value[6] = { 0 };
	struct batch_builder builder;
	struct buffer bytes = BUFFER_EMPTY;
	struct log_appended appended;

	key[3] = commits;
	batch_builder_init(&builder, log_end_offset(rig->bench.log),
	    CODEC_NONE);
	builder.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	builder.producer_id = producer_id;
	builder.producer_epoch = 0;
	batch_builder_add(&builder, BENCH_NOW_MS + rig->turn++,
	    slice_of(key, 4), slice_of(value, 6), NULL, 0);
	CHECK(batch_builder_finish(&builder, &bytes) == ERR_NONE);
	batch_builder_fini(&builder);
	CU_ASSERT_EQUAL_FATAL(log_append_as_follower(rig->bench.log,
	    buffer_slice(&bytes), &appended), ERR_NONE);
	buffer_fini(&bytes);
	log_set_high_watermark(rig->bench.log, log_end_offset(rig->bench.log));
}

static inline void
roll(struct rig *rig)
{
	struct log *log = rig->bench.log;

	lock_take(&log->writer);
	CU_ASSERT_EQUAL(log_roll(log, log_end_offset(log)), ERR_NONE);
	lock_release(&log->writer);
	CU_ASSERT(log_finish_rolls(log));
}

/* --- what can be read ----------------------------------------------------- */

struct seen {
	int values[KEYS]; /* as rig->expected */
	int records;
	int batches;
	int markers;
	int empty;
	int64_t empty_at; /* the last one of these */
	int tombstones;
	int horizons; /* batches that have one */
	int64_t end;  /* behind the last batch */
};

static inline void
see_record(struct seen *seen, const struct record *record)
{
	char name[16] = "";
	int key;

	seen->records++;
	memcpy(name, record->key.data, record->key.length);
	key = (int)strtol(name + 4, NULL, 10);
	if (record->value.data == NULL) {
		seen->tombstones++;
		seen->values[key] = -1;
	} else {
		char text[40] = "";

		memcpy(text, record->value.data, record->value.length);
		seen->values[key] = (int)strtol(text, NULL, 10);
	}
}

static inline void
see_batch(struct seen *seen, const struct batch *batch)
{
	struct record_reader *reader;
	struct record record;
	int64_t horizon_ms;

	CU_ASSERT_FATAL(batch_crc_good(batch));
	CU_ASSERT(batch->base_offset >= seen->end);
	seen->end = batch->last_offset + 1;
	seen->batches++;
	if (batch->record_count == 0) {
		seen->empty++;
		seen->empty_at = batch->base_offset;
	}
	seen->horizons += batch_delete_horizon(batch, &horizon_ms);
	if ((batch->attributes & BATCH_ATTR_CONTROL) != 0) {
		seen->markers += batch->record_count > 0;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(record_reader_new(batch, 1 << 20, &reader),
	    ERR_NONE);
	while (record_reader_next(reader, &record) > 0)
		see_record(seen, &record);
	record_reader_free(&reader);
}

/* The caller frees. */
static inline uint8_t *
extent_bytes(const struct extent *extent)
{
	uint8_t *bytes = mem_alloc(extent->length);

	CU_ASSERT_EQUAL_FATAL(extent->blob->ops->read_at(extent->blob, bytes,
	    extent->length, extent->position), (ssize_t)extent->length);
	return (bytes);
}

static inline void
see_extent(struct seen *seen, struct extent *extent)
{
	uint8_t *bytes = extent_bytes(extent);
	struct slice rest = slice_of(bytes, extent->length);
	struct batch batch;

	while (batch_next(&rest, &batch) == BATCH_OK)
		see_batch(seen, &batch);
	CU_ASSERT_EQUAL(rest.length, 0);
	mem_free(bytes);
	blob_unref(extent->blob);
}

static inline struct seen
look(struct rig *rig)
{
	struct log *log = rig->bench.log;
	struct seen seen = { .end = log_start_offset(log) };
	struct log_read part;

	for (;;) {
		CU_ASSERT_EQUAL_FATAL(log_read(log, seen.end,
		    log_end_offset(log), 1 << 20, true, &part), ERR_NONE);
		if (part.extent.blob == NULL)
			return (seen);
		see_extent(&seen, &part.extent);
	}
}

/* Where data of an aborted transaction is left, it is told to be aborted. */
static inline void
expect_aborted(struct rig *rig)
{
	struct log *log = rig->bench.log;
	int64_t end = log_end_offset(log);

	for (int64_t at = log_start_offset(log); at < end;) {
		struct log_aborted_list aborted;
		struct log_read part;
		struct arena arena;
		struct slice rest;
		struct batch batch;
		uint8_t *bytes;
		bool data = false;

		CU_ASSERT_EQUAL_FATAL(log_read(log, at, end, 1, true, &part),
		    ERR_NONE);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
		bytes = extent_bytes(&part.extent);
		rest = slice_of(bytes, part.extent.length);
		CU_ASSERT_EQUAL_FATAL(batch_next(&rest, &batch), BATCH_OK);
		data = batch.producer_id == 9 && batch.record_count > 0 &&
		    (batch.attributes & BATCH_ATTR_CONTROL) == 0;
		arena_init(&arena, 0);
		CU_ASSERT_EQUAL(log_read_aborted(log, at, &part, &arena,
		    &aborted), ERR_NONE);
		CU_ASSERT(!data || aborted.count == 1);
		arena_fini(&arena);
		blob_unref(part.extent.blob);
		at = batch.last_offset + 1;
		mem_free(bytes);
	}
}

/* The last value of each key is there; a tombstone may be gone. */
static inline struct seen
expect_latest(struct rig *rig)
{
	struct seen seen = look(rig);

	for (int key = 0; key < KEYS; key++)
		CU_ASSERT(seen.values[key] == rig->expected[key] ||
		    (rig->expected[key] == -1 && seen.values[key] == 0));
	return (seen);
}

/* Files whose names have a part. */
static inline int
count_files(struct rig *rig, const char *part)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	bench_file(&rig->bench, "t-0", path);
	dir = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL)
		count += strstr(entry->d_name, part) != NULL;
	closedir(dir);
	return (count);
}

/* --- a pass by hand ------------------------------------------------------- */

static inline struct cleaning *
begin(struct rig *rig, int64_t map_bytes)
{
	const struct clean_share share = {
		.map_bytes = map_bytes, .load_factor = 0.9,
		.buffer_bytes = 1 << 20 };
	struct clean_candidate candidate;
	struct cleaning *cleaning;

	CU_ASSERT_FATAL(clean_look(rig->bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT_FATAL(clean_is_due(&candidate, &rig->bench.settings));
	cleaning = cleaning_new(log_ref(rig->bench.log), &share);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cleaning);
	return (cleaning);
}

static inline enum clean_state
finish(struct rig *rig, struct cleaning **cleaning)
{
	enum clean_state state;

	do
		state = cleaning_step(*cleaning, 500);
	while (state == CLEAN_MORE);
	if (state == CLEAN_DONE)
		atomic_store(&rig->bench.log->cleaned_to,
		    (*cleaning)->end_offset);
	cleaning_free(cleaning);
	return (state);
}

static inline enum clean_state
compact(struct rig *rig)
{
	struct cleaning *cleaning = begin(rig, 1 << 20);

	return (finish(rig, &cleaning));
}

static inline void
later(struct rig *rig, int64_t ms)
{
	clock_virtual_advance_to(&rig->bench.clock,
	    clock_mono_ns(&rig->bench.clock.clock) + ms * 1000000);
}

#endif
