/* SPDX-License-Identifier: Apache-2.0 */
/* Truncations beside readers, and those that do not get through at once. */
#include "storage_bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"

/* --- beside readers ------------------------------------------------------- */

struct racing {
	struct bench bench;
	atomic_bool done;
	atomic_int damages; /* that were said */
};

static void
hear_damage(void *arg, const char *line)
{
	if (strstr(line, "no batch") != NULL ||
	    strstr(line, "goes offline") != NULL)
		atomic_fetch_add(&((struct racing *)arg)->damages, 1);
}

static void *
race_reader(void *arg)
{
	struct racing *racing = arg;
	struct log *log = racing->bench.log;

	for (int64_t at = 0; !atomic_load(&racing->done); at = (at + 7) % 60) {
		struct log_found found;
		struct log_read part;

		if (log_read(log, at, INT64_MAX, 5000, true, &part) ==
			ERR_NONE && part.extent.blob != NULL)
			blob_unref(part.extent.blob);
		(void)log_find_timestamp(log, BENCH_NOW_MS + at, &found);
		(void)log_bytes_between(log, at / 2, at);
	}
	return (NULL);
}

/* Whoever reads what is cut just now fails himself alone. */
static void
test_readers_beside(void)
{
	struct racing racing = { 0 };
	struct bench *bench = &racing.bench;
	pthread_t readers[2];

	bench_init(bench);
	bench->settings.segment_bytes = 6000;
	bench->settings.index_interval_bytes = 1000;
	bench->descriptors = 2;
	bench->diag = diag_new(clock_system(), "/dev/null");
	diag_set_sink(bench->diag, hear_damage, &racing);
	bench_start(bench);
	bench_fill(bench, 60, 1000);
	for (size_t i = 0; i < nelems(readers); i++)
		CU_ASSERT_EQUAL(pthread_create(&readers[i], NULL, race_reader,
				    &racing),
		    0);
	for (int i = 0; i < 100; i++) {
		int64_t to = 60 - 1 - i * 13 % 29;

		CU_ASSERT_EQUAL(i % 20 == 19
			? log_truncate_fully(bench->log, 0)
			: log_truncate_to(bench->log, to),
		    ERR_NONE);
		for (int n = (int)log_end_offset(bench->log); n < 60; n++)
			bench_fill(bench, 1, (size_t)(200 + n * 31 % 900));
	}
	atomic_store(&racing.done, true);
	for (size_t i = 0; i < nelems(readers); i++)
		pthread_join(readers[i], NULL);
	CU_ASSERT_EQUAL(bench->failed_dirs, 0);
	CU_ASSERT_EQUAL(atomic_load(&racing.damages), 0);
	CU_ASSERT_EQUAL(bench_count(bench, 0), 60);
	bench_fini(bench);
	diag_free(bench->diag);
}

static const struct unit_test tests[] = {
	{ "readers beside", test_readers_beside },
};

int
main(void)
{
	return (unit_main("truncation", tests, nelems(tests)));
}
