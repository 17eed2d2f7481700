/* SPDX-License-Identifier: Apache-2.0 */
/* Logs on a disk: what is written, what is found again after any kind of stop,
 * and what happens when files fail. */
#include "storage_bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "metrics/metrics.h"
#include "storage/scan.h"

#define LOG0 "t-0/00000000000000000000.log"
#define INDEX0 "t-0/00000000000000000000.index"
#define TIMEINDEX0 "t-0/00000000000000000000.timeindex"

static void
test_append_read(void)
{
	struct log_appended appended;
	struct log_read part;
	struct bench bench;

	bench_init(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_append(&bench,
			    &(struct bench_batch){ .count = 10,
				.leader_epoch = 3 },
			    &appended),
	    ERR_NONE);
	CU_ASSERT_EQUAL(appended.base_offset, 0);
	CU_ASSERT_EQUAL(appended.last_offset, 9);
	CU_ASSERT_EQUAL(appended.log_append_time_ms, -1);
	bench_fill(&bench, 90, 100);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 100);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 100);
	/* From inside the first batch: it comes whole. */
	CU_ASSERT_EQUAL(log_read(bench.log, 5, 100, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(part.first_offset, 0);
	CU_ASSERT_EQUAL(part.extent.position, 0);
	CU_ASSERT_EQUAL((int64_t)part.extent.length,
	    log_size_bytes(bench.log));
	blob_unref(part.extent.blob);
	/* Up to an end below the log's. */
	CU_ASSERT_EQUAL(log_read(bench.log, 10, 20, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL((int64_t)part.extent.length,
	    log_bytes_between(bench.log, 10, 20));
	CU_ASSERT_EQUAL(part.extent.length % 10, 0);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(log_read(bench.log, 50, 100, 10, true, &part),
	    ERR_NONE);
	CU_ASSERT(part.extent.length > 100 && part.extent.length < 300);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(log_read(bench.log, 50, 100, 10, false, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(part.extent.length, 10);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(log_read(bench.log, 100, 100, 10, true, &part),
	    ERR_NONE);
	CU_ASSERT_PTR_NULL(part.extent.blob);
	CU_ASSERT_EQUAL(log_read(bench.log, 101, 200, 10, true, &part),
	    ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT_EQUAL(log_read(bench.log, -1, 200, 10, true, &part),
	    ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT(log_read_is_hot(bench.log, 0, 1 << 20));
	bench_fini(&bench);
}

/* Entries as the rules of Kafka give them, byte for byte. */
static void
test_index_bytes(void)
{
	struct bench bench;
	int64_t position = 0;
	int64_t since = 0;
	uint32_t entries = 0;
	uint8_t *offsets;
	uint8_t *times;
	size_t offsets_size;
	size_t times_size;
	int64_t one;

	bench_init(&bench);
	bench_start(&bench);
	bench_fill(&bench, 1, 1000);
	one = log_size_bytes(bench.log);
	bench_fill(&bench, 99, 1000);
	bench_stop(&bench);
	offsets = bench_read(&bench, INDEX0, &offsets_size);
	times = bench_read(&bench, TIMEINDEX0, &times_size);
	for (int i = 0; i < 100; i++) {
		if (since > 4096) {
			CU_ASSERT_FATAL((entries + 1) * 8 <= offsets_size);
			CU_ASSERT_EQUAL(bytes_get_i32(offsets + entries * 8),
			    i);
			CU_ASSERT_EQUAL(
			    bytes_get_i32(offsets + entries * 8 + 4),
			    position);
			CU_ASSERT_EQUAL(bytes_get_i64(times + entries * 12),
			    BENCH_NOW_MS + i);
			CU_ASSERT_EQUAL(
			    bytes_get_i32(times + entries * 12 + 8), i);
			entries++;
			since = 0;
		}
		since += one;
		position += one;
	}
	CU_ASSERT(entries > 10);
	CU_ASSERT_EQUAL(offsets_size, entries * 8);
	/* One more, for the largest timestamp, at the end. */
	CU_ASSERT_EQUAL(times_size, (entries + 1) * 12);
	CU_ASSERT_EQUAL(bytes_get_i64(times + entries * 12),
	    BENCH_NOW_MS + 99);
	CU_ASSERT_EQUAL(bench_size(&bench, LOG0), position);
	mem_free(offsets);
	mem_free(times);
	bench_fini(&bench);
}

static void
test_roll(void)
{
	struct bench bench;
	struct log_read part;

	bench_init(&bench);
	bench.settings.segment_bytes = 10000;
	bench_start(&bench);
	bench_fill(&bench, 100, 1000);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 12);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 100);
	CU_ASSERT_EQUAL(log_read(bench.log, 0, 100, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT(part.at_end_of_segment);
	CU_ASSERT(part.extent.length < 10000);
	blob_unref(part.extent.blob);
	for (int64_t offset = 0; offset < 100; offset++)
		CU_ASSERT_EQUAL(bench_count(&bench, offset), 100 - offset);
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, ".kafka_cleanshutdown") > 0);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 12);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 100);
	/* With an index that nobody has looked into yet: who may wait reads. */
	CU_ASSERT_FALSE(log_read_is_hot(bench.log, 37, 1 << 20));
	CU_ASSERT_EQUAL(bench_count(&bench, 37), 63);
	bench_fill(&bench, 1, 10);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 101);
	bench_fini(&bench);
}

/* The bytes are in memory, but not the index that tells which ones. */
static void
test_index_is_cold(void)
{
	struct bench bench;
	struct log_read part;
	size_t opened;

	bench_init(&bench);
	bench.settings.segment_bytes = 30000;
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 40, 1000);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT(log_read_is_hot(bench.log, 39, 1 << 20));
	opened = files_faulty_calls(bench.files, FILE_CALL_OPEN);
	CU_ASSERT_FALSE(log_read_is_hot(bench.log, 20, 1 << 20));
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_OPEN),
	    opened);
	CU_ASSERT_EQUAL(log_read(bench.log, 20, 40, 1 << 20, true, &part),
	    ERR_NONE);
	blob_unref(part.extent.blob);
	CU_ASSERT(log_read_is_hot(bench.log, 20, 1 << 20));
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

static void
test_roll_by_time(void)
{
	struct bench bench;
	struct log_appended appended;

	bench_init(&bench);
	bench.settings.segment_ms = 1000;
	bench_start(&bench);
	bench_append(&bench, &(struct bench_batch){ 0 }, &appended);
	bench_append(&bench,
	    &(struct bench_batch){ .timestamp_ms = BENCH_NOW_MS + 1000 },
	    &appended);
	CU_ASSERT_FALSE(appended.rolled);
	bench_append(&bench,
	    &(struct bench_batch){ .timestamp_ms = BENCH_NOW_MS + 1001 },
	    &appended);
	CU_ASSERT_TRUE(appended.rolled);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	bench_fini(&bench);
}

/* The first batch that cannot be read once is asked for again. */
static void
test_roll_by_time_unread(void)
{
	struct log_appended appended;
	struct bench bench;

	bench_init(&bench);
	bench.settings.segment_ms = 1000;
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 1, 10);
	bench_stop(&bench);
	bench_start(&bench);
	files_faulty_set(bench.files, LOG0, FILE_CALL_READ, 0, 1, EMFILE);
	bench_append(&bench,
	    &(struct bench_batch){ .timestamp_ms = BENCH_NOW_MS + 10 },
	    &appended);
	CU_ASSERT_FALSE(appended.rolled);
	bench_append(&bench,
	    &(struct bench_batch){ .timestamp_ms = BENCH_NOW_MS + 1001 },
	    &appended);
	CU_ASSERT_TRUE(appended.rolled);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* The same files, whether closed cleanly or recovered by the same batches. */
static void
test_recovery_rebuilds(void)
{
	struct bench bench;
	uint8_t *before;
	uint8_t *after;
	size_t before_size;
	size_t after_size;

	bench_init(&bench);
	bench_start(&bench);
	bench_fill(&bench, 200, 1000);
	bench_crash(&bench);
	/* A preallocated tail, as Kafka leaves it. */
	before = bench_read(&bench, INDEX0, &before_size);
	bench_write(&bench, INDEX0, "\0\0\0\0\0\0\0\0", 8, 1 << 16);
	bench_write(&bench, TIMEINDEX0, "\0\0\0\0\0\0\0\0", 8, 1 << 16);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 200);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 200);
	bench_stop(&bench);
	after = bench_read(&bench, INDEX0, &after_size);
	/* Recovery counts from batch to batch, appends per append: the same
	 * here, where each append is one batch. */
	CU_ASSERT_EQUAL(before_size, after_size);
	CU_ASSERT_EQUAL(memcmp(before, after, after_size), 0);
	CU_ASSERT_EQUAL(bench_size(&bench, TIMEINDEX0),
	    (int64_t)(after_size / 8 + 1) * 12);
	mem_free(before);
	mem_free(after);
	bench_fini(&bench);
}

/* Each row damages the end of one log of 100 batches; what must be left. */
static void
test_recovery_tails(void)
{
	static const uint8_t zeros[5000];

	for (int kind = 0; kind < 4; kind++) {
		struct bench bench;
		int64_t size;
		char path[PATH_MAX];

		bench_init(&bench);
		bench_start(&bench);
		bench_fill(&bench, 100, 1000);
		size = log_size_bytes(bench.log);
		bench_crash(&bench);
		bench_file(&bench, LOG0, path);
		switch (kind) {
		case 0: /* torn */
			CU_ASSERT_EQUAL(truncate(path, size - 7), 0);
			break;
		case 1: /* zeros */
			bench_write(&bench, LOG0, zeros, sizeof(zeros), size);
			break;
		case 2: /* a flipped bit in the middle of batch 50 */
			bench_write(&bench, LOG0, "!", 1, size / 2 + 500);
			break;
		case 3: /* fewer bytes than any header */
			bench_write(&bench, LOG0, "abcdef", 6, size);
			break;
		}
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_end_offset(bench.log),
		    kind == 0 ? 99 : kind == 2 ? 50 : 100);
		CU_ASSERT_EQUAL(bench_count(&bench, 0),
		    log_end_offset(bench.log));
		bench_fill(&bench, 5, 10);
		CU_ASSERT_EQUAL(bench_count(&bench, 0),
		    log_end_offset(bench.log));
		bench_fini(&bench);
	}
}

static void
test_recovery_removes_later(void)
{
	struct bench bench;

	bench_init(&bench);
	bench.settings.segment_bytes = 10000;
	bench_start(&bench);
	bench_fill(&bench, 100, 1000);
	bench_crash(&bench);
	bench_write(&bench, "t-0/00000000000000000018.log", "!", 1, 3000);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 20);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 3);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000027.log"),
	    -1);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000027.index"),
	    -1);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 20);
	bench_fini(&bench);
}

static void
test_leftovers(void)
{
	struct bench bench;
	char from[PATH_MAX];
	char to[PATH_MAX];

	bench_init(&bench);
	bench.settings.segment_bytes = 10000;
	bench_start(&bench);
	bench_fill(&bench, 30, 1000);
	bench_stop(&bench);
	/* A missing index; an orphan; deleted; cleaned with its swap. */
	bench_file(&bench, "t-0/00000000000000000009.index", from);
	unlink(from);
	bench_write(&bench, "t-0/00000000000000000777.index", "x", 1, 0);
	bench_write(&bench, "t-0/00000000000000000005.log.deleted", "x", 1, 0);
	bench_write(&bench, "t-0/00000000000000000018.log.cleaned", "x", 1, 0);
	bench_write(&bench, "t-0/00000000000000000018.log.swap", "x", 1, 0);
	/* A finished swap of the first segment. */
	bench_file(&bench, LOG0, from);
	bench_file(&bench, LOG0 ".swap", to);
	CU_ASSERT_EQUAL(rename(from, to), 0);
	bench_write(&bench, LOG0, "old", 3, 0);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 30);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 30);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000777.index"),
	    -1);
	CU_ASSERT_EQUAL(
	    bench_size(&bench, "t-0/00000000000000000005.log.deleted"), -1);
	CU_ASSERT_EQUAL(
	    bench_size(&bench, "t-0/00000000000000000018.log.cleaned"), -1);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000018.log.swap"),
	    -1);
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000009.index") > 0);
	CU_ASSERT(bench_size(&bench, LOG0) > 1000);
	bench_fini(&bench);
}

static void
test_sequences(void)
{
	struct bench bench;
	struct log_appended appended;
	struct bench_batch batch = { .count = 3, .producer_id = 7 };

	bench_init(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	batch.sequence = 3;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT_EQUAL(appended.base_offset, 3);
	/* Retries of both. */
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT(appended.duplicate);
	CU_ASSERT_EQUAL(appended.base_offset, 3);
	CU_ASSERT_EQUAL(appended.log_append_time_ms, BENCH_NOW_MS + 2);
	batch.sequence = 0;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT(appended.duplicate);
	CU_ASSERT_EQUAL(appended.base_offset, 0);
	batch.sequence = 7;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.producer_epoch = 1;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.sequence = 0;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT_EQUAL(appended.base_offset, 6);
	batch.producer_epoch = 0;
	batch.sequence = 6;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_INVALID_PRODUCER_EPOCH);
	/* Unknown: any sequence, also around its end; but no such epoch. */
	batch.producer_id = 8;
	batch.producer_epoch = -2;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_INVALID_PRODUCER_EPOCH);
	batch.producer_epoch = 0;
	batch.sequence = INT32_MAX - 1;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	batch.sequence = 1;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	/* All of it again after a clean stop, by the snapshot ... */
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000015.snapshot") ==
	    10 + 2 * 46);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT(appended.duplicate);
	batch.sequence = 9;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	/* ... and by the records, when there is none to trust. */
	bench_crash(&bench);
	bench_write(&bench, "t-0/00000000000000000015.snapshot", "x", 1, 20);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.sequence = 4;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT_FALSE(appended.duplicate);
	bench_fini(&bench);
}

static void
test_epochs(void)
{
	struct bench bench;
	struct log_epoch_end end;
	uint8_t *text;
	size_t size;

	bench_init(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), -1);
	for (int i = 0; i < 30; i++)
		bench_append(&bench,
		    &(struct bench_batch){ .leader_epoch = i / 10 * 2 }, NULL);
	text = bench_read(&bench, "t-0/leader-epoch-checkpoint", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size),
	    "0\n3\n0 0\n2 10\n4 20\n"));
	mem_free(text);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 4);
	end = log_epoch_end(bench.log, 4);
	CU_ASSERT_EQUAL(end.end_offset, 30);
	end = log_epoch_end(bench.log, 3);
	CU_ASSERT_EQUAL(end.leader_epoch, 2);
	CU_ASSERT_EQUAL(end.end_offset, 20);
	end = log_epoch_end(bench.log, 5);
	CU_ASSERT_EQUAL(end.leader_epoch, -1);
	end = log_epoch_end(bench.log, -1);
	CU_ASSERT_EQUAL(end.end_offset, -1);
	/* Only that one stands for none. */
	end = log_epoch_end(bench.log, -2);
	CU_ASSERT_EQUAL(end.leader_epoch, -2);
	CU_ASSERT_EQUAL(end.end_offset, 0);
	CU_ASSERT_EQUAL(log_epoch_of(bench.log, 19), 2);
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 9, 30), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 9);
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 15), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 2);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 15);
	/* An epoch that begins where the log ends now has no record. */
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 7, 15), ERR_NONE);
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 15), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 2);
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 2);
	log_set_high_watermark(bench.log, 15);
	CU_ASSERT_EQUAL(log_advance_start(bench.log, 12), ERR_NONE);
	CU_ASSERT_EQUAL(log_epoch_of(bench.log, 11), -1);
	CU_ASSERT_EQUAL(log_epoch_of(bench.log, 12), 2);
	bench_stop(&bench);
	text = bench_read(&bench, "log-start-offset-checkpoint", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size), "0\n1\nt 0 12\n"));
	mem_free(text);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 12);
	CU_ASSERT_EQUAL(log_epoch_of(bench.log, 12), 2);
	bench_fini(&bench);
}

static void
test_truncation(void)
{
	struct bench bench;

	bench_init(&bench);
	bench.settings.segment_bytes = 10000;
	bench_start(&bench);
	bench_fill(&bench, 100, 1000);
	for (int64_t end = 95; end >= 0; end -= 19) {
		CU_ASSERT_EQUAL(log_truncate_to(bench.log, end), ERR_NONE);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), end);
		CU_ASSERT_EQUAL(bench_count(&bench, 0), end);
		bench_fill(&bench, 2, 1000);
		CU_ASSERT_EQUAL(bench_count(&bench, 0), end + 2);
	}
	bench_crash(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 2);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 2);
	CU_ASSERT_EQUAL(log_truncate_fully(bench.log, 500), ERR_NONE);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 500);
	bench_fill(&bench, 3, 1000);
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 500);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 503);
	CU_ASSERT_EQUAL(bench_count(&bench, 500), 3);
	bench_fini(&bench);
}

static void
test_follower(void)
{
	struct bench leader;
	struct bench follower;
	struct log_appended appended;
	struct log_read part;
	uint8_t *bytes;
	struct slice all;

	bench_init(&leader);
	bench_init(&follower);
	follower.settings.segment_bytes = 5000;
	bench_start(&leader);
	bench_start(&follower);
	for (int i = 0; i < 50; i++)
		bench_append(&leader,
		    &(struct bench_batch){ .value_size = 500,
			.leader_epoch = i / 20 },
		    NULL);
	CU_ASSERT_EQUAL(log_read(leader.log, 0, 50, 1 << 20, true, &part),
	    ERR_NONE);
	bytes = mem_alloc(part.extent.length);
	part.extent.blob->ops->read_at(part.extent.blob, bytes,
	    part.extent.length, 0);
	all = slice_of(bytes, part.extent.length);
	blob_unref(part.extent.blob);
	/* A batch cut short at the end is not taken. */
	CU_ASSERT_EQUAL(log_append_as_follower(follower.log,
			    slice_of(all.data, all.length - 1), &appended),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_end_offset(follower.log), 49);
	CU_ASSERT_EQUAL(appended.base_offset, 0);
	CU_ASSERT_EQUAL(appended.last_offset, 48);
	CU_ASSERT(log_segment_count(follower.log) > 4);
	CU_ASSERT_EQUAL(bench_count(&follower, 0), 49);
	CU_ASSERT_EQUAL(log_latest_epoch(follower.log), 2);
	CU_ASSERT_EQUAL(log_epoch_end(follower.log, 0).end_offset, 20);
	CU_ASSERT_EQUAL(log_append_as_follower(follower.log, all, &appended),
	    ERR_UNKNOWN_SERVER_ERROR);
	bytes[100] ^= 1;
	CU_ASSERT_EQUAL(log_truncate_fully(follower.log, 0), ERR_NONE);
	CU_ASSERT_EQUAL(log_append_as_follower(follower.log, all, &appended),
	    ERR_CORRUPT_MESSAGE);
	CU_ASSERT_EQUAL(log_end_offset(follower.log), 0);
	mem_free(bytes);
	bench_fini(&leader);
	bench_fini(&follower);
}

static void
test_timestamps(void)
{
	struct bench bench;
	struct log_found found;
	int64_t offsets[8];

	bench_init(&bench);
	bench.settings.segment_bytes = 20000;
	bench_start(&bench);
	for (int i = 0; i < 100; i++)
		bench_append(&bench,
		    &(struct bench_batch){ .count = 4,
			.value_size = 200,
			.timestamp_ms = BENCH_NOW_MS + i * 10,
			.codec = (enum codec)(i % CODEC_COUNT) },
		    NULL);
	for (int round = 0; round < 2; round++) {
		CU_ASSERT_EQUAL(log_find_timestamp(bench.log, 5, &found),
		    ERR_NONE);
		CU_ASSERT_EQUAL(found.offset, 0);
		for (int i = 0; i < 100; i++) {
			CU_ASSERT_EQUAL(log_find_timestamp(bench.log,
					    BENCH_NOW_MS + i * 10 + 2, &found),
			    ERR_NONE);
			CU_ASSERT_EQUAL(found.offset, i * 4 + 2);
			CU_ASSERT_EQUAL(found.timestamp_ms,
			    BENCH_NOW_MS + i * 10 + 2);
			CU_ASSERT_EQUAL(found.leader_epoch, 0);
		}
		CU_ASSERT_EQUAL(log_find_timestamp(bench.log,
				    BENCH_NOW_MS + 5000, &found),
		    ERR_NONE);
		CU_ASSERT_EQUAL(found.offset, -1);
		CU_ASSERT_EQUAL(log_find_max_timestamp(bench.log, &found),
		    ERR_NONE);
		CU_ASSERT_EQUAL(found.offset, 399);
		bench_stop(&bench);
		bench_start(&bench);
	}
	CU_ASSERT_EQUAL(log_find_segments(bench.log, -1, offsets, 2), 2);
	CU_ASSERT_EQUAL(offsets[0], 400);
	CU_ASSERT_EQUAL(log_find_segments(bench.log, -2, offsets, 2), 1);
	CU_ASSERT_EQUAL(offsets[0], 0);
	CU_ASSERT_EQUAL(log_find_segments(bench.log, 5, offsets, 2), 0);
	bench_fini(&bench);
}

/* When a segment's file was written is no record's time. */
static void
test_max_timestamp_of_records(void)
{
	struct bench bench;
	struct log_found found;

	bench_init(&bench);
	bench.settings.segment_bytes = 3000;
	bench_start(&bench);
	bench_fill(&bench, 2, 1000);
	for (int i = 0; i < 2; i++)
		bench_append(&bench,
		    &(struct bench_batch){ .value_size = 1000,
			.timestamp_ms = -1 },
		    NULL);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	CU_ASSERT_EQUAL(log_find_max_timestamp(bench.log, &found), ERR_NONE);
	CU_ASSERT_EQUAL(found.offset, 1);
	CU_ASSERT_EQUAL(found.timestamp_ms, BENCH_NOW_MS + 1);
	bench_fini(&bench);
}

static void
test_full_disk(void)
{
	struct bench bench;
	struct log_appended appended;
	int64_t size;

	bench_init(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 10, 100);
	size = log_size_bytes(bench.log);
	files_faulty_set(bench.files, ".log", FILE_CALL_WRITE, 0, 1, ENOSPC);
	files_faulty_set_torn(bench.files, true);
	CU_ASSERT_EQUAL(bench_append(&bench,
			    &(struct bench_batch){ .value_size = 500 },
			    &appended),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 10);
	CU_ASSERT_EQUAL(bench_size(&bench, LOG0), size);
	CU_ASSERT_FALSE(log_failed(bench.log));
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
	bench_fill(&bench, 1, 100);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 11);
	/* The reserve: nobody has so much room. */
	bench.options.disk_reserve_bytes = INT64_MAX;
	storage_set_options(bench.storage, &bench.options);
	clock_virtual_advance_to(&bench.clock, INT64_C(4000000000));
	CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){ 0 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	bench.options.disk_reserve_bytes = 0;
	storage_set_options(bench.storage, &bench.options);
	clock_virtual_advance_to(&bench.clock, INT64_C(6000000000));
	bench_fill(&bench, 1, 100);
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, ".kafka_cleanshutdown") > 0);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* A roll that fails half-way leaves no segment in the middle of another's
 * offsets: after a start it would hide them. */
/* Less room than a segment may take: preallocation is given up, no more. */
static void
test_preallocate_in_vain(void)
{
	struct bench bench;

	bench_init(&bench);
	bench.settings.segment_bytes = 3000;
	bench.settings.preallocate = true;
	bench.files = files_faulty_new(files_system());
	files_faulty_set(bench.files, ".log", FILE_CALL_ALLOCATE, 0, -1,
	    ENOSPC);
	bench_start(&bench);
	bench_fill(&bench, 9, 1000);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	/* The pending rolls are done, and the recovery point follows. */
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000008.snapshot") > 0);
	CU_ASSERT_FALSE(log_wants_flush(bench.log));
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, ".kafka_cleanshutdown") > 0);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

static void
test_roll_on_a_full_disk(void)
{
	struct bench bench;

	bench_init(&bench);
	bench.settings.segment_bytes = 3000;
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 2, 1000);
	files_faulty_set(bench.files, "00000000000000000002.log",
	    FILE_CALL_OPEN, 0, 1, ENOSPC);
	CU_ASSERT_EQUAL(bench_append(&bench,
			    &(struct bench_batch){ .value_size = 1000 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_FALSE(log_failed(bench.log));
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000002.log"),
	    -1);
	clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
	/* This one still fits into the old segment. */
	bench_fill(&bench, 1, 100);
	bench_fill(&bench, 1, 1000);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 4);
	bench_crash(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 4);
	CU_ASSERT_EQUAL(bench_count(&bench, 2), 2);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* With all records synced already, a roll still syncs the indexes that it
 * finished: no recovery would make them anew. */
static void
test_roll_syncs_indexes(void)
{
	struct bench bench;
	size_t before;

	bench_init(&bench);
	bench.settings.segment_bytes = 3000;
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 2, 1000);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	before = files_faulty_calls(bench.files, FILE_CALL_SYNC);
	bench_fill(&bench, 1, 1000);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	/* .index, .timeindex, .snapshot */
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_SYNC),
	    before + 3);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* Segments of which something was synced, not their indexes. */
static void
test_flush_time(void)
{
	struct bench bench;

	bench_init(&bench);
	bench.metrics = metrics_new();
	bench.settings.segment_bytes = 3000;
	bench_start(&bench);
	bench_fill(&bench, 3, 1000);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	CU_ASSERT_EQUAL(metrics_value(bench.metrics, METRIC_LOG_FLUSH_TIME),
	    1);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	CU_ASSERT_EQUAL(metrics_value(bench.metrics, METRIC_LOG_FLUSH_TIME),
	    2);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	CU_ASSERT_EQUAL(metrics_value(bench.metrics, METRIC_LOG_FLUSH_TIME),
	    2);
	bench_fini(&bench);
	metrics_free(bench.metrics);
}

static void
test_failing_disk(void)
{
	struct bench bench;
	struct log_read part;

	bench_init(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 10, 100);
	files_faulty_set(bench.files, ".log", FILE_CALL_WRITE, 0, -1, EIO);
	CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){ 0 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT(log_failed(bench.log));
	CU_ASSERT_EQUAL(bench.failed_dirs, 1);
	CU_ASSERT(storage_has_failed_dir(bench.storage));
	files_faulty_clear(bench.files);
	CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){ 0 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_read(bench.log, 0, 10, 100, true, &part),
	    ERR_KAFKA_STORAGE_ERROR);
	bench_stop(&bench);
	CU_ASSERT_EQUAL(bench_size(&bench, ".kafka_cleanshutdown"), -1);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 10);
	/* A failing sync at the stop: no mark, and nothing is lost. */
	files_faulty_set(bench.files, ".log", FILE_CALL_SYNC, 0, 1, EIO);
	bench_stop(&bench);
	files_faulty_clear(bench.files);
	CU_ASSERT_EQUAL(bench_size(&bench, ".kafka_cleanshutdown"), -1);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* Every single file call of a run with a roll fails once: whatever was answered
 * with success must be there afterwards. */
static void
test_every_call_fails(void)
{
	for (int nth = 0; nth < 120; nth++) {
		struct bench bench;
		int64_t acked = 0;

		bench_init(&bench);
		bench.settings.segment_bytes = 3000;
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		files_faulty_set(bench.files, "t-0", FILE_CALL_ANY, nth, 1,
		    nth % 2 ? EIO : ENOSPC);
		files_faulty_set_torn(bench.files, nth % 3 == 0);
		for (int i = 0; i < 12; i++)
			if (bench_append(&bench,
				&(struct bench_batch){ .value_size = 1000,
				    .leader_epoch = i / 5 },
				NULL) == ERR_NONE)
				acked = log_end_offset(bench.log);
		if (nth % 4 == 0)
			bench_stop(&bench);
		files_faulty_clear(bench.files);
		bench_stop(&bench);
		bench_start(&bench);
		CU_ASSERT(log_end_offset(bench.log) >= acked);
		CU_ASSERT_EQUAL(bench_count(&bench, 0),
		    log_end_offset(bench.log));
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
}

static void
test_one_write_an_append(void)
{
	struct bench bench;
	size_t before;

	bench_init(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 1, 100);
	before = files_faulty_calls(bench.files, FILE_CALL_WRITE);
	bench_fill(&bench, 20, 100);
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_WRITE),
	    before + 20);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

static void
test_directories(void)
{
	struct bench bench;
	struct bench other;
	uint8_t *text;
	size_t size;
	char path[PATH_MAX];

	bench_init(&bench);
	bench_start(&bench);
	bench_init(&other);
	other.paths[0] = bench.path;
	/* Taken by us already. */
	CU_ASSERT_FALSE(bench_open(&other));
	bench_stop(&bench);
	text = bench_read(&bench, "meta.properties", &size);
	CU_ASSERT_PTR_NOT_NULL(memmem(text, size, "broker.id=1\n", 12));
	mem_free(text);
	text = bench_read(&bench, "t-0/partition.metadata", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size),
	    "version: 0\ntopic_id: AQIDAAAAAAAAAAAAAAAAAA"));
	mem_free(text);
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT_EQUAL(storage_broker_id(bench.storage), 1);
	CU_ASSERT_STRING_EQUAL(storage_cluster_id(bench.storage), "cluster");
	CU_ASSERT_FALSE(storage_set_identity(bench.storage, 2, "cluster", NULL,
	    0));
	CU_ASSERT_FALSE(storage_set_identity(bench.storage, 1, "other", NULL,
	    0));
	bench_stop(&bench);
	/* A name that Kafka would refuse, too; the mark survives. */
	bench_file(&bench, "nonsense", path);
	mkdir(path, 0755);
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT_FALSE(storage_load(bench.storage, NULL, NULL));
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, ".kafka_cleanshutdown") > 0);
	rmdir(path);
	bench_file(&bench, "t-1.0123456789abcdef0123456789abcdef-delete", path);
	mkdir(path, 0755);
	bench_file(&bench, "t-1.0123456789abcdef0123456789abcdef-stray", path);
	mkdir(path, 0755);
	bench_start(&bench);
	/* Its time begins anew. */
	CU_ASSERT_NOT_EQUAL(bench_size(&bench,
				"t-1.0123456789abcdef0123456789abcdef-delete"),
	    -1);
	CU_ASSERT_PTR_NULL(storage_find(bench.storage, "t", 1));
	bench_stop(&bench);
	bench_file(&bench, "meta.properties", path);
	unlink(path);
	bench_write(&bench, "meta.properties", "version=1\n", 10, 0);
	CU_ASSERT_FALSE(bench_open(&bench));
	rmdir(other.path);
	bench_fini(&bench);
}

/* Retention, checkpoints and deletion, on virtual time. */
static void
test_upkeep(void)
{
	struct bench bench;
	struct loop *loop;
	uint8_t *text;
	size_t size;

	bench_init(&bench);
	bench.settings.segment_bytes = 10000;
	bench.settings.retention_ms = 3600000;
	bench.settings.file_delete_delay_ms = 60000;
	bench.options.initial_task_delay_ms = 30000;
	bench.options.flush_offset_checkpoint_interval_ms = 60000;
	bench.options.high_watermark_checkpoint_interval_ms = 5000;
	bench.options.flush_start_offset_checkpoint_interval_ms = 60000;
	bench.options.retention_check_interval_ms = 300000;
	bench.options.producer_id_expiration_check_interval_ms = 600000;
	bench.options.flush_scheduler_interval_ms = INT64_MAX;
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	loop = loop_new(bench.scheduler, "upkeep");
	loop_start(loop);
	bench_start(&bench);
	storage_start_upkeep(bench.storage, loop);
	bench_fill(&bench, 95, 1000);
	log_set_high_watermark(bench.log, 50);
	scheduler_run_until(bench.scheduler, INT64_C(70000) * 1000000);
	text = bench_read(&bench, "recovery-point-offset-checkpoint", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size), "0\n1\nt 0 90\n"));
	mem_free(text);
	text = bench_read(&bench, "replication-offset-checkpoint", &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size), "0\n1\nt 0 50\n"));
	mem_free(text);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 11);
	/* Too old, but only below the high watermark. */
	scheduler_run_until(bench.scheduler, INT64_C(3640000) * 1000000);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 45);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 6);
	CU_ASSERT_EQUAL(bench_size(&bench, LOG0), -1);
	CU_ASSERT(bench_size(&bench, LOG0 ".deleted") > 0);
	CU_ASSERT_EQUAL(bench_count(&bench, 45), 50);
	scheduler_run_until(bench.scheduler, INT64_C(4005000) * 1000000);
	CU_ASSERT_EQUAL(bench_size(&bench, LOG0 ".deleted"), -1);
	/* All of it: the active segment is rolled. */
	log_set_high_watermark(bench.log, 95);
	scheduler_run_until(bench.scheduler, INT64_C(4300000) * 1000000);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 95);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 95);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 1);
	bench_fill(&bench, 1, 10);
	storage_stop_upkeep(bench.storage);
	bench_stop(&bench);
	loop_stop(loop);
	loop_free(loop);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 95);
	CU_ASSERT_EQUAL(bench_count(&bench, 95), 1);
	bench_fini(&bench);
}

static int64_t
note_high_watermark(void *arg, struct log *log)
{
	(void)log;
	*(bool *)arg = true;
	return (-1);
}

/* A chore is told of its end on its loop, which may be after the close. */
static void
test_close_in_a_chore(void)
{
	struct bench bench;
	struct loop *loop;
	bool began = false;

	bench_init(&bench);
	bench.options.initial_task_delay_ms = 30000;
	bench.options.flush_offset_checkpoint_interval_ms = 60000;
	bench.options.high_watermark_checkpoint_interval_ms = 5000;
	bench.options.flush_start_offset_checkpoint_interval_ms = 60000;
	bench.options.retention_check_interval_ms = INT64_MAX;
	bench.options.producer_id_expiration_check_interval_ms = 60000;
	bench.options.flush_scheduler_interval_ms = INT64_MAX;
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	loop = loop_new(bench.scheduler, "upkeep");
	loop_start(loop);
	bench_start(&bench);
	storage_set_high_watermarks(bench.storage, note_high_watermark, &began);
	storage_start_upkeep(bench.storage, loop);
	CU_ASSERT(scheduler_run_while_not(bench.scheduler, &began,
	    INT64_C(60000) * 1000000));
	storage_stop_upkeep(bench.storage);
	bench_stop(&bench);
	/* Under ASan: nothing that was freed is touched. */
	scheduler_run_until(bench.scheduler,
	    clock_mono_ns(&bench.clock.clock) + 1000000);
	loop_stop(loop);
	loop_free(loop);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	bench_fini(&bench);
}

static int
scan_all(struct bench *bench, const char *name, struct scan_entry *last)
{
	char path[PATH_MAX];
	struct scan *scan;
	int count = 0;
	int answer;

	bench_file(bench, name, path);
	scan = scan_open(files_system(), path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(scan);
	while ((answer = scan_next(scan, last)) == 1)
		count++;
	scan_close(&scan);
	return (answer == 0 ? count : -1);
}

static void
test_scan(void)
{
	struct scan_entry last;
	struct bench bench;

	bench_init(&bench);
	bench_start(&bench);
	bench_append(&bench,
	    &(struct bench_batch){ .producer_id = 9, .sequence = 4 }, NULL);
	bench_fill(&bench, 40, 1000);
	bench_stop(&bench);
	CU_ASSERT_EQUAL(scan_all(&bench, LOG0, &last), 41);
	CU_ASSERT(last.log.crc_good);
	CU_ASSERT_EQUAL(last.log.batch.base_offset, 40);
	CU_ASSERT_EQUAL(scan_all(&bench, INDEX0, &last), 9);
	CU_ASSERT_EQUAL(last.offsets.offset, 37);
	CU_ASSERT_EQUAL(scan_all(&bench, TIMEINDEX0, &last), 10);
	CU_ASSERT_EQUAL(last.times.timestamp_ms, BENCH_NOW_MS + 40);
	CU_ASSERT_EQUAL(scan_all(&bench,
			    "t-0/00000000000000000041.snapshot", &last),
	    1);
	CU_ASSERT_EQUAL(last.producer.producer_id, 9);
	CU_ASSERT_EQUAL(last.producer.last_sequence, 4);
	bench_write(&bench, "t-0/00000000000000000041.snapshot", "!", 1, 30);
	CU_ASSERT_EQUAL(scan_all(&bench,
			    "t-0/00000000000000000041.snapshot", &last),
	    -1);
	bench_fini(&bench);
}

struct racing {
	struct bench bench;
	atomic_bool done;
	atomic_int bad;
};

static void *
race_reader(void *arg)
{
	struct racing *racing = arg;

	while (!atomic_load(&racing->done)) {
		struct log_found found;
		struct log *log = racing->bench.log;

		if (bench_count(&racing->bench, 0) < 0 ||
		    log_find_timestamp(log, BENCH_NOW_MS + 50, &found) !=
			ERR_NONE)
			atomic_fetch_add(&racing->bad, 1);
		(void)log_epoch_end(log, 1);
		(void)log_latest_epoch(log);
		(void)log_read_is_hot(log, 5, 1 << 20);
		(void)log_size_bytes(log);
	}
	return (NULL);
}

static void
test_readers_beside(void)
{
	static struct racing *racing;
	pthread_t threads[2];

	racing = mem_zalloc(sizeof(*racing));
	bench_init(&racing->bench);
	racing->bench.settings.segment_bytes = 30000;
	bench_start(&racing->bench);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, race_reader, racing) ==
		    0);
	for (int i = 0; i < 2000; i++)
		bench_append(&racing->bench,
		    &(struct bench_batch){ .value_size = 300,
			.timestamp_ms = BENCH_NOW_MS + i,
			.producer_id = 5,
			.sequence = i,
			.leader_epoch = i / 500 },
		    NULL);
	atomic_store(&racing->done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(atomic_load(&racing->bad), 0);
	CU_ASSERT_EQUAL(bench_count(&racing->bench, 0), 2000);
	bench_fini(&racing->bench);
	mem_free(racing);
}

static const struct unit_test tests[] = {
	{ "append and read", test_append_read },
	{ "indexes, byte for byte", test_index_bytes },
	{ "roll by size", test_roll },
	{ "roll by time", test_roll_by_time },
	{ "preallocation in vain", test_preallocate_in_vain },
	{ "the largest timestamp", test_max_timestamp_of_records },
	{ "an index is cold", test_index_is_cold },
	{ "roll by a time not read", test_roll_by_time_unread },
	{ "recovery makes the indexes anew", test_recovery_rebuilds },
	{ "recovery cuts damaged tails", test_recovery_tails },
	{ "recovery removes later segments", test_recovery_removes_later },
	{ "leftovers of a crash", test_leftovers },
	{ "sequences", test_sequences },
	{ "leader epochs", test_epochs },
	{ "truncation", test_truncation },
	{ "appends of a follower", test_follower },
	{ "timestamps", test_timestamps },
	{ "a full disk", test_full_disk },
	{ "a roll on a full disk", test_roll_on_a_full_disk },
	{ "a roll syncs its indexes", test_roll_syncs_indexes },
	{ "syncs are timed", test_flush_time },
	{ "a failing disk", test_failing_disk },
	{ "every file call fails once", test_every_call_fails },
	{ "one write an append", test_one_write_an_append },
	{ "directories", test_directories },
	{ "upkeep", test_upkeep },
	{ "a close in a chore", test_close_in_a_chore },
	{ "a scan for tools", test_scan },
	{ "readers beside an appender", test_readers_beside },
};

int
main(void)
{
	return (unit_main("storage", tests, nelems(tests)));
}
