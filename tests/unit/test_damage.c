/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not as they were left: what is found, what is cut, and whether
 * it is said; and a disk that lies. */
#include "storage_bench.h"

#include <errno.h>

#include "base/loop.h"

#define LOG0 "t-0/00000000000000000000.log"

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

static const struct unit_test tests[] = {
	{ "the last batch is gone", test_last_batch_gone },
	{ "a sync that failed", test_failed_sync },
};

int
main(void)
{
	return (unit_main("damage", tests, nelems(tests)));
}
