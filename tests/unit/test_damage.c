/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not as they were left: what is found, what is cut, and whether
 * it is said; and a disk that lies. */
#include "storage_bench.h"

#include <errno.h>

#include "base/loop.h"

#define LOG0 "t-0/00000000000000000000.log"
#define LOG2 "t-0/00000000000000000002.log"

/* A bench whose log is kept. */
struct rig {
	struct bench bench;
	struct buffer said;
};

static void
rig_hear(void *arg, const char *line)
{
	buffer_printf(&((struct rig *)arg)->said, "%s\n", line);
}

static void
rig_init(struct rig *rig)
{
	bench_init(&rig->bench);
	rig->bench.files = files_faulty_new(files_system());
	rig->bench.diag = diag_new(clock_system(), "/dev/null");
	rig->said = BUFFER_EMPTY;
	diag_set_sink(rig->bench.diag, rig_hear, rig);
}

static void
rig_fini(struct rig *rig)
{
	bench_fini(&rig->bench);
	files_faulty_free(rig->bench.files);
	diag_free(rig->bench.diag);
	buffer_fini(&rig->said);
}

/* Whether it was, since the last question. */
static bool
rig_said(struct rig *rig, const char *words)
{
	bool said;

	buffer_append(&rig->said, "", 1);
	said = strstr((const char *)rig->said.data, words) != NULL;
	buffer_fini(&rig->said);
	rig->said = BUFFER_EMPTY;
	return (said);
}

static void
rig_cut(struct rig *rig, const char *name, int64_t size)
{
	char path[PATH_MAX];

	bench_file(&rig->bench, name, path);
	CU_ASSERT_EQUAL(truncate(path, size), 0);
}

/* The last batch of a clean directory is gone, at the place where the last
 * index entry leads or (few entries) behind it: the log ends before it, goes on
 * from there, and tells. */
static void
test_last_batch_gone(void)
{
	static const int intervals[] = { 100, 1 << 20 };

	for (size_t i = 0; i < nelems(intervals); i++) {
		struct rig rig;
		struct bench *bench = &rig.bench;
		int64_t size;

		rig_init(&rig);
		bench->settings.index_interval_bytes = intervals[i];
		bench_start(bench);
		bench_fill(bench, 9, 1000);
		size = log_size_bytes(bench->log);
		bench_fill(bench, 1, 1000);
		bench_stop(bench);
		rig_cut(&rig, LOG0, size);
		bench_start(bench);
		CU_ASSERT(rig_said(&rig,
		    "records are missing at its end from=9 to=10"));
		CU_ASSERT_EQUAL(log_end_offset(bench->log), 9);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 9);
		bench_fill(bench, 2, 500);
		CU_ASSERT_EQUAL(log_end_offset(bench->log), 11);
		bench_crash(bench);
		bench_start(bench);
		CU_ASSERT_EQUAL(log_end_offset(bench->log), 11);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 11);
		CU_ASSERT_FALSE(rig_said(&rig, "missing"));
		rig_fini(&rig);
	}
}

/* An offset that nothing could follow is no offset, nor is such a file name. */
static void
test_offset_without_next(void)
{
	static const uint8_t offset[8] = { 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff };

	for (int crash = 0; crash < 2; crash++) {
		struct rig rig;
		struct bench *bench = &rig.bench;
		int64_t size;

		rig_init(&rig);
		bench_start(bench);
		bench_fill(bench, 9, 1000);
		size = log_size_bytes(bench->log);
		bench_fill(bench, 1, 1000);
		bench_stop(bench);
		if (crash)
			bench_crash(bench);
		bench_write(bench, LOG0, offset, sizeof(offset), size);
		bench_write(bench, "t-0/9223372036854775807.log", "", 0, 0);
		bench_start(bench);
		CU_ASSERT_EQUAL(log_end_offset(bench->log), 9);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 9);
		bench_fill(bench, 1, 1000);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 10);
		rig_fini(&rig);
	}
}

/* How one index of a closed segment was lost. */
static void
lose_index(struct bench *bench, const char *name, int kind)
{
	char path[PATH_MAX];

	bench_file(bench, name, path);
	switch (kind) {
	case 0:
		CU_ASSERT_EQUAL(unlink(path), 0);
		break;
	case 1:
		CU_ASSERT_EQUAL(truncate(path, 0), 0);
		break;
	case 2:
		bench_write(bench, name, "odd", 3, bench_size(bench, name));
		break;
	}
}

/* Larger than any index can be, whichever it is. */
static void
test_index_too_large(void)
{
	static const char *const names[] = {
		"t-0/00000000000000000000.index",
		"t-0/00000000000000000000.timeindex",
		"t-0/00000000000000000002.index",
		"t-0/00000000000000000002.timeindex",
	};

	for (size_t i = 0; i < nelems(names); i++) {
		struct rig rig;
		struct bench *bench = &rig.bench;

		rig_init(&rig);
		bench->settings.segment_bytes = 3000;
		bench_start(bench);
		bench_fill(bench, 3, 1000);
		bench_stop(bench);
		rig_cut(&rig, names[i], INT64_C(3) << 30);
		bench_start(bench);
		CU_ASSERT_EQUAL(bench->failed_dirs, 0);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 3);
		CU_ASSERT(bench_size(bench, names[i]) < 100);
		rig_fini(&rig);
	}
}

/* Which of the records from 0 to 30 a reader gets, whole and right. */
static uint32_t
served(struct bench *bench)
{
	uint32_t set = 0;

	for (int64_t at = 0; at < 30; at++) {
		struct log_read part;
		uint8_t bytes[2000];
		struct slice rest = slice_of(bytes, sizeof(bytes));
		struct batch batch;

		if (log_read(bench->log, at, 30, sizeof(bytes), true,
			&part) != ERR_NONE || part.extent.blob == NULL)
			continue;
		part.extent.blob->ops->read_at(part.extent.blob, bytes,
		    sizeof(bytes), part.extent.position);
		blob_unref(part.extent.blob);
		if (batch_next(&rest, &batch) == BATCH_OK &&
		    batch_crc_good(&batch) && batch.base_offset == at)
			set |= UINT32_C(1) << at;
	}
	return (set);
}

/* A segment whose middle is damaged loses an index as well: nothing is cut, and
 * all that can be found is served, as it is with its indexes. */
static void
test_index_lost_on_damage(void)
{
	/* What is damaged in the batch of offset 4; who is not served then. An
	 * entry leads to offset 5 and on, unless the .index is gone. */
	static const struct {
		int64_t at;
		const char *bytes;
		uint32_t lost;
		uint32_t lost_without;
	} damages[] = {
		{ 100, "!", 0x10, 0x10 },
		{ 8, "\x7f", 0x10, 0x7f0 },
	};

	for (int row = 0; row < 2 * 2 * 2 * 3; row++) {
		int damage = row % 2;
		bool offsets = row / 2 % 2 != 0;
		bool active = row / 4 % 2 != 0;
		int kind = row / 8;
		int count = active ? 30 : 11;
		struct rig rig;
		struct bench *bench = &rig.bench;
		int64_t size;

		if (offsets && kind == 1)
			continue; /* empty is what small segments have */
		if (active && offsets && damage == 1)
			continue; /* it is the end that is looked for there */
		rig_init(&rig);
		bench->settings.segment_bytes = active ? 1 << 20 : 12000;
		bench->settings.index_interval_bytes = 100;
		bench_start(bench);
		bench_fill(bench, 1, 1000);
		size = log_size_bytes(bench->log);
		bench_fill(bench, 29, 1000);
		bench_stop(bench);
		CU_ASSERT_EQUAL(bench_size(bench, LOG0), count * size);
		bench_write(bench, LOG0, damages[damage].bytes, 1,
		    4 * size + damages[damage].at);
		lose_index(bench,
		    offsets ? "t-0/00000000000000000000.index"
			    : "t-0/00000000000000000000.timeindex",
		    kind);
		bench_start(bench);
		CU_ASSERT_EQUAL(bench_size(bench, LOG0), count * size);
		CU_ASSERT_EQUAL(log_end_offset(bench->log), 30);
		CU_ASSERT_EQUAL(served(bench),
		    0x3fffffff & ~(offsets && kind == 0
			? damages[damage].lost_without
			: damages[damage].lost));
		CU_ASSERT_EQUAL(rig_said(&rig,
				    "no batch where one was written"),
		    damage == 1);
		/* And what was made anew stays. */
		bench_stop(bench);
		bench_start(bench);
		CU_ASSERT_FALSE(rig_said(&rig, "made anew"));
		CU_ASSERT_FALSE(log_failed(bench->log));
		rig_fini(&rig);
	}
}

/* A search by time that meets damage, or cannot read, does not say that there
 * is nothing: a consumer would go on from the end. */
static void
test_search_meets_damage(void)
{
	struct rig rig;
	struct bench *bench = &rig.bench;
	struct log_found found;
	int64_t size;

	rig_init(&rig);
	bench->descriptors = 1;
	bench_start(bench);
	bench_fill(bench, 1, 1000);
	size = log_size_bytes(bench->log);
	bench_fill(bench, 9, 1000);
	bench_write(bench, LOG0, "\x7f", 1, 4 * size + 8);
	/* Offsets are milliseconds here. */
	CU_ASSERT_EQUAL(log_find_timestamp(bench->log, BENCH_NOW_MS + 3,
			    &found),
	    ERR_NONE);
	CU_ASSERT_EQUAL(found.offset, 3);
	CU_ASSERT_EQUAL(log_find_timestamp(bench->log, BENCH_NOW_MS + 6,
			    &found),
	    ERR_CORRUPT_MESSAGE);
	CU_ASSERT(rig_said(&rig, "no batch where one was written"));
	files_faulty_set(bench->files, LOG0, FILE_CALL_READ, 0, -1, EMFILE);
	CU_ASSERT_EQUAL(log_find_timestamp(bench->log, BENCH_NOW_MS + 6,
			    &found),
	    ERR_KAFKA_STORAGE_ERROR);
	files_faulty_clear(bench->files);
	bench_write(bench, LOG0, "\x7f", 1, 9 * size + 8);
	CU_ASSERT_EQUAL(log_find_max_timestamp(bench->log, &found),
	    ERR_CORRUPT_MESSAGE);
	CU_ASSERT_FALSE(log_failed(bench->log));
	rig_fini(&rig);
}

/* A sync that failed once is not believed again, whatever its errno: the bytes
 * may be lost though the next one succeeds. */
static void
test_failed_sync(void)
{
	static const struct {
		const char *part;
		int error;
	} rows[] = {
		{ ".log", ENOSPC }, { ".log", EDQUOT }, { ".log", EIO },
		{ ".timeindex", ENOSPC }, { "t-0", ENOSPC },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct rig rig;
		struct bench *bench = &rig.bench;

		rig_init(&rig);
		bench->settings.segment_bytes = 3000;
		bench->scheduler = scheduler_new_replay(&bench->clock, 1);
		bench_start(bench);
		bench_fill(bench, 3, 1000);
		files_faulty_set(bench->files, rows[i].part, FILE_CALL_SYNC, 0,
		    1, rows[i].error);
		CU_ASSERT_EQUAL(log_flush(bench->log),
		    ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT(log_failed(bench->log));
		CU_ASSERT_EQUAL(log_flush(bench->log),
		    ERR_KAFKA_STORAGE_ERROR);
		bench_stop(bench);
		scheduler_free(bench->scheduler);
		bench->scheduler = NULL;
		CU_ASSERT_EQUAL(bench_size(bench, ".kafka_cleanshutdown"), -1);
		bench_start(bench);
		CU_ASSERT_EQUAL(bench_count(bench, 0), 3);
		rig_fini(&rig);
	}
}

/* A cleaner's new segment that cannot be read is not taken for a short one:
 * what it is to replace would stay beside it. */
static void
test_swap_unreadable(void)
{
	static const char *const parts[] = { LOG0, LOG2 };
	struct rig rig;
	struct bench *bench = &rig.bench;
	int64_t end = 0;

	rig_init(&rig);
	bench->settings.segment_bytes = 3000;
	bench_start(bench);
	bench_fill(bench, 9, 1000);
	bench_stop(bench);
	for (size_t i = 0; i < nelems(parts); i++) {
		size_t size;
		uint8_t *bytes = bench_read(bench, parts[i], &size);

		CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
		bench_write(bench, LOG0 ".swap", bytes, size, end);
		end += (int64_t)size;
		mem_free(bytes);
	}
	files_faulty_set(bench->files, ".log.swap", FILE_CALL_READ, 0, 1, EIO);
	CU_ASSERT_FATAL(bench_open(bench));
	CU_ASSERT_FALSE(storage_load(bench->storage, NULL, NULL));
	CU_ASSERT(storage_has_failed_dir(bench->storage));
	CU_ASSERT_EQUAL(bench_size(bench, LOG0 ".swap"), end);
	bench_stop(bench);
	files_faulty_clear(bench->files);
	bench_start(bench);
	CU_ASSERT_EQUAL(bench_size(bench, LOG0), end);
	CU_ASSERT_EQUAL(bench_size(bench, LOG2), -1);
	CU_ASSERT_EQUAL(bench_count(bench, 0), 9);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "the last batch is gone", test_last_batch_gone },
	{ "an offset without a next one", test_offset_without_next },
	{ "an index too large", test_index_too_large },
	{ "an index is lost on damage", test_index_lost_on_damage },
	{ "a search meets damage", test_search_meets_damage },
	{ "a sync that failed", test_failed_sync },
	{ "a swap that cannot be read", test_swap_unreadable },
};

int
main(void)
{
	return (unit_main("damage", tests, nelems(tests)));
}
