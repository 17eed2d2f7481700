/* SPDX-License-Identifier: Apache-2.0 */
/* What upkeep deletes, and what it does when nothing happens: on virtual
 * time. */
#include "storage_bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "storage/storage_int.h"

#define HOUR_MS INT64_C(3600000)
#define LOG0 "t-0/00000000000000000000.log"

struct rig {
	struct bench bench;
	struct loop *loop;
};

static void
rig_init(struct rig *rig)
{
	struct bench *bench = &rig->bench;

	bench_init(bench);
	bench->settings.segment_bytes = 3000;
	bench->settings.file_delete_delay_ms = 60000;
	bench->options.initial_task_delay_ms = 30000;
	bench->options.flush_offset_checkpoint_interval_ms = 60000;
	bench->options.flush_start_offset_checkpoint_interval_ms = 60000;
	bench->options.retention_check_interval_ms = 300000;
	bench->options.producer_id_expiration_check_interval_ms = 600000;
	bench->options.flush_scheduler_interval_ms = INT64_MAX;
	bench->files = files_faulty_new(files_system());
	bench->scheduler = scheduler_new_replay(&bench->clock, 1);
	rig->loop = loop_new(bench->scheduler, "upkeep");
	loop_start(rig->loop);
}

static void
rig_start(struct rig *rig)
{
	bench_start(&rig->bench);
	storage_start_upkeep(rig->bench.storage, rig->loop);
}

static void
rig_fini(struct rig *rig)
{
	struct bench *bench = &rig->bench;

	storage_stop_upkeep(bench->storage);
	bench_stop(bench);
	loop_stop(rig->loop);
	loop_free(rig->loop);
	scheduler_free(bench->scheduler);
	bench->scheduler = NULL;
	bench_fini(bench);
	files_faulty_free(bench->files);
}

static void
run_to(struct rig *rig, int64_t ms)
{
	scheduler_run_until(rig->bench.scheduler, ms * 1000000);
}

/* Ten records of about 1,070 bytes, two a segment. */
static void
fill(struct rig *rig, int64_t high_watermark)
{
	bench_fill(&rig->bench, 10, 1000);
	CU_ASSERT_EQUAL(log_segment_count(rig->bench.log), 5);
	log_set_high_watermark(rig->bench.log, high_watermark);
}

static void
test_by_size(void)
{
	/* retention.bytes in segments and what is left of a log of 10. */
	static const struct {
		int64_t tenths; /* of a segment's size */
		int64_t high_watermark;
		int64_t start;
	} rows[] = {
		{ 50, 10, 0 }, { 49, 10, 0 }, { 40, 10, 2 }, { 31, 10, 2 },
		{ 30, 10, 4 }, { 10, 10, 8 }, { 10, 5, 4 }, { 9, 10, 8 },
		{ 0, 10, 10 }, { 0, 9, 8 },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct rig rig;

		rig_init(&rig);
		rig.bench.settings.retention_ms = -1;
		rig_start(&rig);
		fill(&rig, rows[i].high_watermark);
		rig.bench.settings.retention_bytes =
		    log_size_bytes(rig.bench.log) / 5 * rows[i].tenths / 10;
		log_set_settings(rig.bench.log, &rig.bench.settings);
		run_to(&rig, 40000);
		CU_ASSERT_EQUAL(log_start_offset(rig.bench.log),
		    rows[i].start);
		CU_ASSERT_EQUAL(log_end_offset(rig.bench.log), 10);
		rig_fini(&rig);
	}
}

/* Counts looks into files, and those while an append would have to wait. */
struct watcher {
	struct files files; /* first */
	struct files_ops ops;
	struct log *log; /* NULL: not now */
	int reads;
	int held;
};

static ssize_t
watcher_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct watcher *w = (struct watcher *)(void *)files;

	if (w->log != NULL) {
		w->reads++;
		if (pthread_mutex_trylock(&w->log->writer.mutex) == 0)
			pthread_mutex_unlock(&w->log->writer.mutex);
		else
			w->held++;
	}
	return (files_system()->ops->pread(files, descriptor, to, size,
	    position));
}

/* To the first look of retention after a start, when no segment's date is
 * known; all are too old, and what lies below 5 is replicated. */
static void
watch_retention(struct rig *rig, struct watcher *w)
{
	w->files.ops = &w->ops;
	rig_init(rig);
	files_faulty_free(rig->bench.files);
	rig->bench.files = files_faulty_new(&w->files);
	rig->bench.settings.retention_ms = HOUR_MS;
	bench_start(&rig->bench);
	fill(rig, 5);
	bench_stop(&rig->bench);
	clock_virtual_advance_to(&rig->bench.clock,
	    rig->bench.clock.now_ns + 2 * HOUR_MS * 1000000);
	rig_start(rig);
	log_set_high_watermark(rig->bench.log, 5);
	w->log = rig->bench.log;
	scheduler_run_until(rig->bench.scheduler,
	    rig->bench.clock.now_ns + INT64_C(40000) * 1000000);
}

static void
test_dates_are_read_beside(void)
{
	struct watcher w = { .ops = *files_system()->ops };
	struct rig rig;

	w.ops.pread = watcher_pread;
	watch_retention(&rig, &w);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 4);
	CU_ASSERT(w.reads > 0);
	CU_ASSERT_EQUAL(w.held, 0);
	w.log = NULL;
	rig_fini(&rig);
}

/* A log that is cut, and written to again, while its dates are read: what is
 * young is not deleted for what was there before. */
static ssize_t
cutter_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct watcher *w = (struct watcher *)(void *)files;
	struct log *log = w->log;

	/* The first one was found too old. */
	if (log != NULL &&
	    log->segments->items[0]->max_timestamp_ms != TIMESTAMP_UNREAD) {
		struct bench bench = { .log = log };

		w->log = NULL;
		CU_ASSERT_EQUAL(log_truncate_to(log, 1), ERR_NONE);
		for (int i = 0; i < 5; i++)
			CU_ASSERT_EQUAL(bench_append(&bench,
			    &(struct bench_batch){ .value_size = 1000,
				.timestamp_ms = BENCH_NOW_MS + 2 * HOUR_MS },
			    NULL), ERR_NONE);
		log_set_high_watermark(log, 6);
	}
	return (files_system()->ops->pread(files, descriptor, to, size,
	    position));
}

static void
test_cut_while_dates_are_read(void)
{
	struct watcher w = { .ops = *files_system()->ops };
	struct rig rig;

	w.ops.pread = cutter_pread;
	watch_retention(&rig, &w);
	CU_ASSERT_PTR_NULL(w.log);
	CU_ASSERT_EQUAL(log_end_offset(rig.bench.log), 6);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 0);
	rig_fini(&rig);
}

/* The only segment, too: at the first look that finds it too old. */
static void
test_one_by_time(void)
{
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.retention_ms = HOUR_MS;
	rig_start(&rig);
	bench_fill(&rig.bench, 1, 1000);
	log_set_high_watermark(rig.bench.log, 1);
	run_to(&rig, HOUR_MS + 60000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 1);
	rig_fini(&rig);
}

/* The epoch of the first record that is left is written at once: after a kill
 * the first segment's base is the start, of which no checkpoint speaks. */
static void
test_epochs(void)
{
	static const char epochs[] = "0\n2\n4 6\n5 9\n";
	struct rig rig;
	uint8_t *bytes;
	size_t size;

	rig_init(&rig);
	rig_start(&rig);
	for (int i = 0; i < 10; i++)
		bench_append(&rig.bench,
		    &(struct bench_batch){
			.value_size = 1000,
			.leader_epoch = 3 + (i >= 4) + (i >= 9),
		    },
		    NULL);
	log_set_high_watermark(rig.bench.log, 10);
	rig.bench.settings.retention_bytes =
	    log_size_bytes(rig.bench.log) / 5 * 2;
	log_set_settings(rig.bench.log, &rig.bench.settings);
	run_to(&rig, 40000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 6);
	bytes = bench_read(&rig.bench, "t-0/leader-epoch-checkpoint", &size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	CU_ASSERT(slice_equal_text(slice_of(bytes, size), epochs));
	mem_free(bytes);
	rig_fini(&rig);
}

static void
test_by_time(void)
{
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.retention_ms = HOUR_MS;
	rig_start(&rig);
	fill(&rig, 10);
	/* Exactly as old as allowed, then a little more: stamps are 0..9 ms. */
	run_to(&rig, HOUR_MS - 10000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 0);
	run_to(&rig, HOUR_MS + 310000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 10);
	CU_ASSERT_EQUAL(log_segment_count(rig.bench.log), 1);
	CU_ASSERT_EQUAL(log_size_bytes(rig.bench.log), 0);
	/* An empty one stays, and is not rolled. */
	run_to(&rig, 3 * HOUR_MS);
	CU_ASSERT_EQUAL(log_segment_count(rig.bench.log), 1);
	CU_ASSERT_EQUAL(bench_size(&rig.bench,
			    "t-0/00000000000000000010.log"),
	    0);
	rig_fini(&rig);
}

/* A segment whose date cannot be read is not old: after a start none was read
 * yet, and records without timestamps have none but that of their file. */
static void
test_undatable(void)
{
	for (int stamped = 0; stamped < 2; stamped++) {
		struct rig rig;
		struct bench *bench = &rig.bench;
		struct log_found found;

		rig_init(&rig);
		bench->settings.retention_ms = HOUR_MS;
		bench->descriptors = 1;
		bench_start(bench);
		for (int i = 0; i < 10; i++)
			CU_ASSERT_EQUAL(bench_append(bench,
					    &(struct bench_batch){
						.value_size = 1000,
						.timestamp_ms = stamped ?
						    BENCH_NOW_MS + i : -1 },
					    NULL),
			    ERR_NONE);
		CU_ASSERT_EQUAL(log_segment_count(bench->log), 5);
		bench_stop(bench);
		rig_start(&rig);
		log_set_high_watermark(bench->log, 10);
		files_faulty_set(bench->files, "t-0/", FILE_CALL_OPEN, 0, -1,
		    EMFILE);
		run_to(&rig, 40000);
		CU_ASSERT_EQUAL(log_start_offset(bench->log), 0);
		CU_ASSERT_EQUAL(log_find_timestamp(bench->log,
				    BENCH_NOW_MS + 3, &found),
		    ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT_EQUAL(log_find_max_timestamp(bench->log, &found),
		    stamped ? ERR_KAFKA_STORAGE_ERROR : ERR_NONE);
		files_faulty_clear(bench->files);
		run_to(&rig, 340000);
		CU_ASSERT_EQUAL(log_start_offset(bench->log), 0);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 10);
		CU_ASSERT_EQUAL(log_find_timestamp(bench->log,
				    BENCH_NOW_MS + 3, &found),
		    ERR_NONE);
		CU_ASSERT_EQUAL(found.offset, stamped ? 3 : -1);
		CU_ASSERT_FALSE(log_failed(bench->log));
		rig_fini(&rig);
	}
}

/* Retention is what makes room: a want of descriptors or of room stops it for
 * once, and takes nothing offline. */
static void
test_retention_in_want(void)
{
	static const struct {
		const char *part;
		enum file_call call;
		int times;
		int error;
		int64_t start; /* after the pass that was disturbed */
	} rows[] = {
		{ "t-0", FILE_CALL_OPEN, -1, EMFILE, 8 },
		{ "00002.log", FILE_CALL_RENAME, 1, ENOSPC, 2 },
		{ "00002.index", FILE_CALL_RENAME, 1, EDQUOT, 2 },
		{ "t-0", FILE_CALL_RENAME, -1, ENOSPC, 0 },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct rig rig;
		struct bench *bench = &rig.bench;

		rig_init(&rig);
		rig_start(&rig);
		fill(&rig, 10);
		bench->settings.retention_bytes = log_size_bytes(bench->log) /
		    5;
		log_set_settings(bench->log, &bench->settings);
		files_faulty_set(bench->files, rows[i].part, rows[i].call, 0,
		    rows[i].times, rows[i].error);
		run_to(&rig, 40000);
		files_faulty_clear(bench->files);
		CU_ASSERT_FALSE(log_failed(bench->log));
		CU_ASSERT_EQUAL(log_start_offset(bench->log), rows[i].start);
		CU_ASSERT_EQUAL(bench_count(bench, rows[i].start),
		    10 - rows[i].start);
		run_to(&rig, 340000);
		CU_ASSERT_EQUAL(log_start_offset(bench->log), 8);
		CU_ASSERT_EQUAL(bench_append(bench, &(struct bench_batch){ 0 },
				    NULL),
		    ERR_NONE);
		rig_fini(&rig);
	}
}

/* A flushed segment that could not be closed when its log rolled is closed by
 * the recovery after a kill. */
static void
test_roll_that_stays(void)
{
	static const char times[] = "t-0/00000000000000000000.timeindex";
	struct rig rig;
	struct bench *bench = &rig.bench;

	rig_init(&rig);
	bench->settings.segment_bytes = 4500;
	bench->settings.index_interval_bytes = 1500;
	bench_start(bench);
	bench_fill(bench, 3, 1000);
	bench_stop(bench);
	rig_start(&rig);
	bench_fill(bench, 1, 1000);
	CU_ASSERT_EQUAL(log_flush(bench->log), ERR_NONE);
	run_to(&rig, 70000);
	files_faulty_set(bench->files, "index", FILE_CALL_OPEN, 0, -1, EMFILE);
	CU_ASSERT_EQUAL(bench_append(bench,
			    &(struct bench_batch){ .value_size = 1000 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	run_to(&rig, 140000);
	CU_ASSERT_EQUAL(bench_size(bench, times), 12);
	storage_stop_upkeep(bench->storage);
	files_faulty_kill(bench->files);
	bench_stop(bench);
	files_faulty_free(bench->files);
	bench->files = files_faulty_new(files_system());
	rig_start(&rig);
	/* For the batch behind 1,500 bytes, and for the last one. */
	CU_ASSERT_EQUAL(bench_size(bench, times), 24);
	CU_ASSERT(bench_size(bench, "t-0/00000000000000000004.snapshot") > 0);
	CU_ASSERT_EQUAL(bench_count(bench, 0), 4);
	rig_fini(&rig);
}

struct closer {
	struct log *log;
	atomic_bool closing;
	atomic_bool enough;
};

static void *
hold_closing(void *arg)
{
	struct closer *closer = arg;

	lock_take(&closer->log->closing);
	atomic_store(&closer->closing, true);
	while (!atomic_load(&closer->enough))
		usleep(1000);
	lock_release(&closer->log->closing);
	return (NULL);
}

static void *
retain(void *arg)
{
	log_retain(arg);
	return (NULL);
}

/* Retention that waits for a segment to be closed keeps no append waiting. */
static void
test_appends_beside(void)
{
	struct closer closer = { 0 };
	pthread_t holder;
	pthread_t retainer;
	struct rig rig;
	struct bench *bench = &rig.bench;
	int taken = 0;

	rig_init(&rig);
	rig_start(&rig);
	fill(&rig, 10);
	bench->settings.retention_bytes = log_size_bytes(bench->log) / 5 * 2;
	log_set_settings(bench->log, &bench->settings);
	run_to(&rig, 1000);
	closer.log = bench->log;
	CU_ASSERT_EQUAL(pthread_create(&holder, NULL, hold_closing, &closer),
	    0);
	while (!atomic_load(&closer.closing))
		usleep(1000);
	CU_ASSERT_EQUAL(pthread_create(&retainer, NULL, retain, bench->log),
	    0);
	for (int i = 0; i < 100; i++) {
		usleep(1000);
		if (!lock_try(&bench->log->writer))
			continue;
		lock_release(&bench->log->writer);
		taken++;
	}
	atomic_store(&closer.enough, true);
	pthread_join(holder, NULL);
	pthread_join(retainer, NULL);
	CU_ASSERT(taken > 90);
	CU_ASSERT_EQUAL(log_start_offset(bench->log), 6);
	rig_fini(&rig);
}

/* Who wrote only what retention took is remembered after a kill, by the
 * snapshot of the first segment left. */
static void
test_producers_outlive_records(void)
{
	struct bench_batch batch = { .value_size = 1000, .producer_id = 7,
		.sequence = 40 };
	struct rig rig;
	struct bench *bench = &rig.bench;

	rig_init(&rig);
	rig_start(&rig);
	CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL), ERR_NONE);
	bench_fill(bench, 9, 1000);
	log_set_high_watermark(bench->log, 10);
	bench->settings.retention_bytes = log_size_bytes(bench->log) / 5 * 2;
	log_set_settings(bench->log, &bench->settings);
	run_to(&rig, 40000);
	CU_ASSERT_EQUAL(log_start_offset(bench->log), 6);
	CU_ASSERT_EQUAL(bench_size(bench, "t-0/00000000000000000004.snapshot"),
	    -1);
	CU_ASSERT(bench_size(bench, "t-0/00000000000000000006.snapshot") > 0);
	storage_stop_upkeep(bench->storage);
	bench_crash(bench);
	rig_start(&rig);
	batch.sequence = 99;
	CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.sequence = 41;
	CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL), ERR_NONE);
	rig_fini(&rig);
}

/* A young segment keeps the older ones behind it, whatever their stamps. */
static void
test_prefix_only(void)
{
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.retention_ms = HOUR_MS;
	rig_start(&rig);
	bench_append(&rig.bench,
	    &(struct bench_batch){ .value_size = 2500,
		.timestamp_ms = BENCH_NOW_MS - 2 * HOUR_MS }, NULL);
	bench_append(&rig.bench,
	    &(struct bench_batch){ .value_size = 2500,
		.timestamp_ms = BENCH_NOW_MS + HOUR_MS }, NULL);
	bench_append(&rig.bench,
	    &(struct bench_batch){ .value_size = 2500,
		.timestamp_ms = BENCH_NOW_MS - 2 * HOUR_MS }, NULL);
	log_set_high_watermark(rig.bench.log, 3);
	CU_ASSERT_EQUAL(log_segment_count(rig.bench.log), 3);
	run_to(&rig, 40000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 1);
	CU_ASSERT_EQUAL(log_segment_count(rig.bench.log), 2);
	rig_fini(&rig);
}

/* DeleteRecords: segments wholly below the start go, without any limit. */
static void
test_by_start(void)
{
	struct rig rig;
	uint8_t *text;
	size_t size;

	rig_init(&rig);
	rig.bench.settings.retention_ms = -1;
	rig_start(&rig);
	fill(&rig, 10);
	CU_ASSERT_EQUAL(log_advance_start(rig.bench.log, 5), ERR_NONE);
	run_to(&rig, 70000);
	CU_ASSERT_EQUAL(log_start_offset(rig.bench.log), 5);
	CU_ASSERT_EQUAL(log_segment_count(rig.bench.log), 3);
	CU_ASSERT_EQUAL(bench_count(&rig.bench, 5), 5);
	text = bench_read(&rig.bench, "log-start-offset-checkpoint", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size), "0\n1\nt 0 5\n"));
	mem_free(text);
	rig_fini(&rig);
}

/* The append behind a moved start waits for no sync: what the file of epochs
 * has below the start is harmless, and is cut by a load or by the close. */
static void
test_start_moved_syncs_nothing(void)
{
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct bench_batch batch = { .value_size = 1000 };
		struct rig rig;
		struct bench *bench = &rig.bench;
		uint8_t *text;
		size_t synced;
		size_t size;

		rig_init(&rig);
		bench->settings.retention_bytes = by_hand ? -1 : 2900;
		rig_start(&rig);
		for (int i = 0; i < 9; i++) {
			batch.leader_epoch = i / 3;
			CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL),
			    ERR_NONE);
		}
		log_set_high_watermark(bench->log, 9);
		if (by_hand)
			CU_ASSERT_EQUAL(log_advance_start(bench->log, 6),
			    ERR_NONE);
		run_to(&rig, 40000);
		CU_ASSERT_EQUAL(log_start_offset(bench->log), 6);
		CU_ASSERT_EQUAL(log_epoch_end(bench->log, 1).end_offset, 6);
		synced = files_faulty_calls(bench->files, FILE_CALL_SYNC);
		CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL), ERR_NONE);
		CU_ASSERT_EQUAL(files_faulty_calls(bench->files,
				    FILE_CALL_SYNC),
		    synced);
		storage_stop_upkeep(bench->storage);
		bench_crash(bench);
		rig_start(&rig);
		CU_ASSERT_EQUAL(log_epoch_end(bench->log, 1).end_offset, 6);
		CU_ASSERT_EQUAL(log_latest_epoch(bench->log), 2);
		storage_stop_upkeep(bench->storage);
		bench_stop(bench);
		text = bench_read(bench, "t-0/leader-epoch-checkpoint", &size);
		CU_ASSERT(slice_equal_text(slice_of(text, size),
		    "0\n1\n2 6\n"));
		mem_free(text);
		rig_start(&rig);
		rig_fini(&rig);
	}
}

/* Who still sends from a deleted segment finds its bytes, though the file was
 * closed and renamed; it goes when nobody does any more. */
static void
test_deleted_while_sent(void)
{
	struct log_read part;
	struct log *other;
	struct rig rig;
	uint8_t byte;

	rig_init(&rig);
	rig.bench.settings.retention_ms = HOUR_MS;
	rig.bench.descriptors = 1;
	rig_start(&rig);
	fill(&rig, 10);
	CU_ASSERT_EQUAL(log_read(rig.bench.log, 0, 10, 100, true, &part),
	    ERR_NONE);
	run_to(&rig, HOUR_MS + 310000);
	CU_ASSERT_EQUAL(bench_size(&rig.bench, LOG0), -1);
	CU_ASSERT_EQUAL(log_create(rig.bench.storage, "other", 0, UUID_ZERO,
			    &other),
	    ERR_NONE);
	log_unref(other);
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, &byte,
			    1, part.extent.position),
	    1);
	run_to(&rig, HOUR_MS + 500000);
	CU_ASSERT(bench_size(&rig.bench, LOG0 ".deleted") > 0);
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, &byte,
			    1, part.extent.position),
	    1);
	blob_unref(part.extent.blob);
	run_to(&rig, HOUR_MS + 510000);
	CU_ASSERT_EQUAL(bench_size(&rig.bench, LOG0 ".deleted"), -1);
	rig_fini(&rig);
}

static void
test_producers_expire(void)
{
	struct bench_batch batch = { .producer_id = 7, .sequence = 50,
		.timestamp_ms = BENCH_NOW_MS };
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.retention_ms = -1;
	rig.bench.options.producer_id_expiration_ms = 2 * HOUR_MS;
	rig_start(&rig);
	CU_ASSERT_EQUAL(log_producer_count(rig.bench.log), 0);
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL), ERR_NONE);
	run_to(&rig, 2 * HOUR_MS - 600000);
	batch.sequence = 99;
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	CU_ASSERT_EQUAL(log_producer_count(rig.bench.log), 1);
	run_to(&rig, 2 * HOUR_MS + 660000);
	CU_ASSERT_EQUAL(log_producer_count(rig.bench.log), 0);
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL), ERR_NONE);
	rig_fini(&rig);
}

/* A shorter time that is set meanwhile counts for those that are known. */
static void
test_producers_expire_sooner(void)
{
	struct bench_batch batch = { .producer_id = 7, .sequence = 50,
		.timestamp_ms = BENCH_NOW_MS };
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.retention_ms = -1;
	rig.bench.options.producer_id_expiration_ms = 100 * HOUR_MS;
	rig_start(&rig);
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL), ERR_NONE);
	run_to(&rig, 3 * HOUR_MS);
	batch.sequence = 99;
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	rig.bench.options.producer_id_expiration_ms = 2 * HOUR_MS;
	storage_set_options(rig.bench.storage, &rig.bench.options);
	run_to(&rig, 4 * HOUR_MS);
	CU_ASSERT_EQUAL(bench_append(&rig.bench, &batch, NULL), ERR_NONE);
	rig_fini(&rig);
}

static void
steady_must(struct steady *steady, int64_t wall_h, int64_t mono_h,
    int64_t steady_h, enum steady_news expected)
{
	static const int64_t hour = 3600 * 1000;
	enum steady_news news;
	int64_t leap_ms;

	CU_ASSERT_EQUAL(steady_look(steady, wall_h * hour, mono_h * hour, &news,
	    &leap_ms), steady_h * hour);
	CU_ASSERT_EQUAL(news, expected);
}

static void
test_clock_leaps(void)
{
	struct steady steady = { .begun = false };
	enum steady_news news;
	int64_t leap_ms;

	steady_must(&steady, 100, 1, 100, STEADY_NOTHING);
	steady_must(&steady, 101, 2, 101, STEADY_NOTHING);
	/* Drift is followed. */
	CU_ASSERT_EQUAL(steady_look(&steady, INT64_C(363640000), 7200000, &news,
	    &leap_ms), INT64_C(363640000));
	CU_ASSERT_EQUAL(leap_ms, 40000);
	CU_ASSERT_EQUAL(news, STEADY_NOTHING);
	steady_must(&steady, 102, 3, 102, STEADY_NOTHING);
	/* Ahead, and set back in time. */
	steady_must(&steady, 112, 3, 102, STEADY_AHEAD);
	steady_must(&steady, 121, 12, 111, STEADY_NOTHING);
	steady_must(&steady, 111, 12, 111, STEADY_NOTHING);
	/* Ahead, and it stays so. */
	steady_must(&steady, 113, 12, 111, STEADY_AHEAD);
	steady_must(&steady, 114, 13, 112, STEADY_NOTHING);
	steady_must(&steady, 115, 14, 115, STEADY_BELIEVED);
	steady_must(&steady, 116, 15, 116, STEADY_NOTHING);
	/* Years: a day. */
	steady_must(&steady, 90116, 15, 116, STEADY_AHEAD);
	steady_must(&steady, 90139, 38, 139, STEADY_NOTHING);
	steady_must(&steady, 90140, 39, 90140, STEADY_BELIEVED);
	/* Back at once. */
	steady_must(&steady, 50, 40, 50, STEADY_BACK);
	steady_must(&steady, 51, 41, 51, STEADY_NOTHING);
}

/* Hours in which nothing happens ask nothing of the disk. */
static void
test_idle(void)
{
	struct rig rig;
	size_t opened;

	rig_init(&rig);
	rig.bench.settings.retention_ms = 100 * HOUR_MS;
	rig_start(&rig);
	fill(&rig, 10);
	run_to(&rig, HOUR_MS);
	opened = files_faulty_calls(rig.bench.files, FILE_CALL_OPEN);
	run_to(&rig, 3 * HOUR_MS);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.bench.files, FILE_CALL_OPEN),
	    opened);
	/* And what changes is written. */
	bench_fill(&rig.bench, 1, 10);
	log_set_high_watermark(rig.bench.log, 11);
	run_to(&rig, 3 * HOUR_MS + 6000);
	CU_ASSERT(files_faulty_calls(rig.bench.files, FILE_CALL_OPEN) >
	    opened);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "by size", test_by_size },
	{ "dates are read beside appends", test_dates_are_read_beside },
	{ "cut while dates are read", test_cut_while_dates_are_read },
	{ "one segment by time", test_one_by_time },
	{ "leader epochs", test_epochs },
	{ "by time", test_by_time },
	{ "what cannot be dated stays", test_undatable },
	{ "in want of descriptors or room", test_retention_in_want },
	{ "appends beside", test_appends_beside },
	{ "a roll that stays", test_roll_that_stays },
	{ "producers outlive their records", test_producers_outlive_records },
	{ "a prefix only", test_prefix_only },
	{ "by the log's start", test_by_start },
	{ "a moved start syncs nothing", test_start_moved_syncs_nothing },
	{ "deleted while it is sent", test_deleted_while_sent },
	{ "producers expire", test_producers_expire },
	{ "producers expire sooner", test_producers_expire_sooner },
	{ "a clock that leaps", test_clock_leaps },
	{ "nothing to do", test_idle },
};

int
main(void)
{
	return (unit_main("retention", tests, nelems(tests)));
}
