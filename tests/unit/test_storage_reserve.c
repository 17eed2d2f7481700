/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that a growing segment reserves ahead of its end. */
#include "storage_bench.h"

#define RESERVE_SEGMENT_BYTES (6 << 20)

/* What a file takes of the disk beyond its size. */
static int64_t
bench_spare(struct bench *bench, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	bench_file(bench, name, path);
	CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
	return (status.st_blocks * INT64_C(512) - status.st_size);
}

static void
bench_fill_mib(struct bench *bench, int count)
{
	for (int i = 0; i < count; i++)
		CU_ASSERT_EQUAL_FATAL(bench_append(bench,
				    &(struct bench_batch){ .count = 16,
					.value_size = 65536 },
				    NULL),
		    ERR_NONE);
}

static void
bench_reserve_init(struct bench *bench)
{
	bench_init(bench);
	bench->settings.segment_bytes = RESERVE_SEGMENT_BYTES;
	bench->files = files_faulty_new(files_system());
}

/* Blocks ahead for a large segment; none when it is closed, cut or rolled. */
static void
test_reserve(void)
{
	static const char first[] = "t-0/00000000000000000000.log";
	struct bench bench;
	bool ahead;

	bench_reserve_init(&bench);
	bench_start(&bench);
	bench_fill_mib(&bench, 3);
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_RESERVE), 0);
	bench_fill_mib(&bench, 2);
	CU_ASSERT(files_faulty_calls(bench.files, FILE_CALL_RESERVE) > 0);
	CU_ASSERT_EQUAL(bench_size(&bench, first), log_size_bytes(bench.log));
	/* Not every file system has them. */
	ahead = bench_spare(&bench, first) > 256 << 10;
	if (ahead) {
		CU_ASSERT(bench_spare(&bench, first) < 1 << 20);
		CU_ASSERT_EQUAL(log_truncate_to(bench.log, 64), ERR_NONE);
		CU_ASSERT(bench_spare(&bench, first) < 128 << 10);
		bench_fill_mib(&bench, 1);
		CU_ASSERT(bench_spare(&bench, first) > 256 << 10);
	}
	bench_fill_mib(&bench, 5);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	CU_ASSERT(bench_spare(&bench, first) < 128 << 10);
	CU_ASSERT_EQUAL(bench_spare(&bench, "t-0/00000000000000000080.log") >
		256 << 10, ahead);
	bench_stop(&bench);
	CU_ASSERT(bench_spare(&bench, "t-0/00000000000000000080.log") <
	    128 << 10);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* Asked for once a segment; the records come all the same. */
static void
test_reserve_in_vain(void)
{
	struct bench bench;

	bench_reserve_init(&bench);
	files_faulty_set(bench.files, ".log", FILE_CALL_RESERVE, 0, -1, ENOSPC);
	bench_start(&bench);
	bench_fill_mib(&bench, 11);
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_RESERVE), 2);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 176);
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, ".kafka_cleanshutdown") > 0);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

static const struct unit_test tests[] = {
	{ "blocks ahead", test_reserve },
	{ "blocks ahead, in vain", test_reserve_in_vain },
};

int
main(void)
{
	return (unit_main("storage reserve", tests, nelems(tests)));
}
