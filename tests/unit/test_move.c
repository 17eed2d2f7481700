/* SPDX-License-Identifier: Apache-2.0 */
/* A log that moves to another directory: what comes along, what is left, and
 * deaths at every call. */
#include <errno.h>

#include "move_bench.h"
#include "storage/storage_int.h"

static void
test_move(void)
{
	struct bench_batch retry = { .value_size = RECORD_BYTES,
		.leader_epoch = 4, .producer_id = 77, .sequence = 9 };
	struct log_appended appended;
	struct log_dir *goal;
	struct pair p;

	pair_init(&p, NULL);
	fill(&p);
	goal = other_dir(&p);
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_PTR_NULL(p.future);
	CU_ASSERT_PTR_EQUAL(log_directory(p.bench.log), goal);
	check_whole(&p, 20);
	CU_ASSERT_EQUAL(count_both(&p, "t-0", ""), 2);
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-delete"), 1);
	CU_ASSERT_EQUAL(count_marks(&p), 0);
	/* What was sent is known; what comes is taken. */
	CU_ASSERT_EQUAL(bench_append(&p.bench, &retry, &appended), ERR_NONE);
	CU_ASSERT(appended.duplicate);
	retry.producer_id = 0;
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(bench_append(&p.bench, &retry, NULL),
		    ERR_NONE);
	/* And back again. */
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_EQUAL(bench_count(&p.bench, 3), 25);
	bench_stop(&p.bench);
	bench_start(&p.bench);
	check_whole(&p, 25);
	CU_ASSERT_EQUAL(log_segment_count(p.bench.log), 6);
	pair_fini(&p);
}

/* Who reads on while it moves. */
static void
test_readers_go_on(void)
{
	struct log_read before, after;
	uint8_t bytes[2000];
	struct pair p;

	pair_init(&p, NULL);
	fill(&p);
	CU_ASSERT_EQUAL(log_read(p.bench.log, 5, 20, 1, true, &before),
	    ERR_NONE);
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_EQUAL(log_read(p.bench.log, 5, 20, 1, true, &after),
	    ERR_NONE);
	CU_ASSERT_EQUAL(before.extent.length, after.extent.length);
	CU_ASSERT(before.extent.blob != after.extent.blob);
	CU_ASSERT_EQUAL(before.extent.blob->ops->read_at(before.extent.blob,
	    bytes, before.extent.length, before.extent.position),
	    (ssize_t)before.extent.length);
	blob_unref(before.extent.blob);
	blob_unref(after.extent.blob);
	pair_fini(&p);
}

static void
test_empty(void)
{
	struct pair p;

	pair_init(&p, NULL);
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	bench_fill(&p.bench, 3, 10);
	CU_ASSERT_EQUAL(bench_count(&p.bench, 0), 3);
	/* An end behind all batches. */
	CU_ASSERT_EQUAL(log_truncate_fully(p.bench.log, 100), ERR_NONE);
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 100);
	CU_ASSERT_EQUAL(log_end_offset(p.bench.log), 100);
	bench_fill(&p.bench, 1, 10);
	CU_ASSERT_EQUAL(bench_count(&p.bench, 100), 1);
	pair_fini(&p);
}

static void
test_given_up(void)
{
	size_t copied;
	struct pair p;

	pair_init(&p, NULL);
	fill(&p);
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_copy(p.future, 10000, &copied), ERR_NONE);
	CU_ASSERT(copied > 0 && log_future_left_bytes(p.future) > 0);
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-future"), 1);
	log_future_drop(&p.future);
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-future"), 0);
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-delete"), 1);
	check_whole(&p, 20);
	/* What a stop leaves is begun anew, in the same place. */
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_copy(p.future, 10000, &copied), ERR_NONE);
	log_future_leave(&p.future);
	bench_stop(&p.bench);
	bench_start(&p.bench);
	CU_ASSERT_PTR_EQUAL(storage_found_future(p.bench.storage, "t", 0),
	    other_dir(&p));
	CU_ASSERT_PTR_NULL(storage_found_future(p.bench.storage, "t", 1));
	CU_ASSERT_EQUAL(move(&p), ERR_NONE);
	CU_ASSERT_PTR_NULL(storage_found_future(p.bench.storage, "t", 0));
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-future"), 0);
	check_whole(&p, 20);
	pair_fini(&p);
}

/* Where logs are to be made that may never come: the last 10,000. */
static void
test_preferred(void)
{
	struct pair p;
	struct storage *storage;
	struct log_dir *dirs[2];
	char name[16];
	int kept = 0;

	pair_init(&p, NULL);
	storage = p.bench.storage;
	dirs[0] = storage_dir_at(storage, 0);
	dirs[1] = storage_dir_at(storage, 1);
	for (int32_t i = 0; i < 10000; i++)
		storage_prefer_dir(storage, "p", i, dirs[i % 2]);
	/* Said anew it takes no other's place, and is the youngest. */
	storage_prefer_dir(storage, "p", 1, dirs[0]);
	/* These two do: of 0 and 2. */
	storage_prefer_dir(storage, "p", 10000, dirs[1]);
	storage_prefer_dir(storage, "q", 0, dirs[1]);
	CU_ASSERT_PTR_NULL(storage_take_preferred(storage, "p-0"));
	CU_ASSERT_PTR_NULL(storage_take_preferred(storage, "p-2"));
	CU_ASSERT_PTR_EQUAL(storage_take_preferred(storage, "p-1"), dirs[0]);
	CU_ASSERT_PTR_NULL(storage_take_preferred(storage, "p-1"));
	CU_ASSERT_PTR_EQUAL(storage_take_preferred(storage, "q-0"), dirs[1]);
	for (int32_t i = 0; i <= 5000; i++) {
		snprintf(name, sizeof(name), "p-%d", (int)i);
		kept += storage_take_preferred(storage, name) == dirs[i % 2];
	}
	CU_ASSERT_EQUAL(kept, 4998);
	/* The rest goes with the storage. */
	pair_fini(&p);
}

/* A move that has everything, and has not taken the place. */
static void
copy_all(struct pair *p)
{
	size_t copied;

	CU_ASSERT_EQUAL_FATAL(log_future_new(p->bench.log, other_dir(p),
	    &p->future), ERR_NONE);
	while (log_future_left_bytes(p->future) > 0)
		CU_ASSERT_EQUAL_FATAL(log_future_copy(p->future, 10000,
		    &copied), ERR_NONE);
}

/* What was copied is not the log's any more. */
static void
test_changes_underneath(void)
{
	size_t copied;
	struct pair p;

	pair_init(&p, NULL);
	fill(&p);
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_copy(p.future, 10000, &copied), ERR_NONE);
	CU_ASSERT_EQUAL(log_truncate_to(p.bench.log, 19), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_copy(p.future, 10000, &copied),
	    ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT_EQUAL(log_future_replace(p.future),
	    ERR_OFFSET_OUT_OF_RANGE);
	log_future_drop(&p.future);
	/* Its start passes what was copied. */
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_advance_start(p.bench.log, 15), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_copy(p.future, 10000, &copied),
	    ERR_OFFSET_OUT_OF_RANGE);
	log_future_drop(&p.future);
	/* Or stays behind it. */
	copy_all(&p);
	CU_ASSERT_EQUAL(log_advance_start(p.bench.log, 18), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_replace(p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_finish(&p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 18);
	bench_stop(&p.bench);
	bench_start(&p.bench);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 18);
	CU_ASSERT_EQUAL(log_end_offset(p.bench.log), 19);
	pair_fini(&p);
}

/* DeleteRecords comes before the log's place is taken, has written what it
 * knows, and is told that all is well: also after a death. */
static void
test_start_moves_last(void)
{
	struct files *files = files_faulty_new(files_system());
	struct pair p;

	pair_init(&p, files);
	fill(&p);
	copy_all(&p);
	CU_ASSERT_EQUAL(log_advance_start(p.bench.log, 18), ERR_NONE);
	CU_ASSERT(storage_write_starts(p.bench.storage));
	CU_ASSERT_EQUAL(log_future_replace(p.future), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_finish(&p.future), ERR_NONE);
	files_faulty_kill(files);
	bench_stop(&p.bench);
	p.bench.files = files_system();
	bench_start(&p.bench);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 18);
	CU_ASSERT_EQUAL(log_end_offset(p.bench.log), 20);
	pair_fini(&p);
	files_faulty_free(files);
}

/* One call is refused for want of room: what the other directory's checkpoints
 * say of others stays, and no log is left that says it is about to go. */
static void
test_refused_once(void)
{
	static const struct {
		const char *part;
		enum file_call call;
	} rows[] = {
		{ "replication-offset-checkpoint", FILE_CALL_WRITE },
		{ "log-start-offset-checkpoint", FILE_CALL_WRITE },
		{ "recovery-point-offset-checkpoint", FILE_CALL_WRITE },
		{ "t-0", FILE_CALL_OPEN },
	};

	for (int row = 0; row < (int)nelems(rows) + 80; row++) {
		const int last = (int)nelems(rows) - 1;
		const int which = row < last ? row : last;
		struct files *files = files_faulty_new(files_system());
		struct log_dir *here;
		struct pair p;
		int before;

		pair_init(&p, files);
		fill(&p);
		CU_ASSERT(storage_write_starts(p.bench.storage));
		bench_stop(&p.bench);
		bench_start(&p.bench);
		here = log_directory(p.bench.log);
		before = count_both(&p, "", "-checkpoint");
		copy_all(&p);
		files_faulty_set(files, rows[which].part, rows[which].call,
		    row - which, which == last ? -1 : 1, EMFILE);
		if (log_future_replace(p.future) != ERR_NONE) {
			files_faulty_clear(files);
			log_future_drop(&p.future);
			CU_ASSERT_PTR_EQUAL(log_directory(p.bench.log), here);
			CU_ASSERT_EQUAL(count_both(&p, "", "-checkpoint"),
			    before);
			CU_ASSERT_EQUAL(count_marks(&p), 0);
		} else {
			CU_ASSERT(which == last);
			files_faulty_clear(files);
			CU_ASSERT_EQUAL(log_future_finish(&p.future),
			    ERR_NONE);
		}
		check_whole(&p, 20);
		pair_fini(&p);
		files_faulty_free(files);
	}
}

/* A full disk, or one that is bad: the log stays where it is. */
static void
test_refused(void)
{
	struct files *files = files_faulty_new(files_system());
	struct log_dir *here;
	struct pair p;

	pair_init(&p, files);
	fill(&p);
	here = log_directory(p.bench.log);
	for (int i = 0; i < 4; i++) {
		files_faulty_set(files, "-future", FILE_CALL_WRITE, i, -1,
		    ENOSPC);
		CU_ASSERT_EQUAL(move(&p), ERR_KAFKA_STORAGE_ERROR);
		files_faulty_clear(files);
		if (p.future != NULL)
			log_future_drop(&p.future);
		p.bench.clock.now_ns += INT64_C(1000000000);
		check_whole(&p, 20);
	}
	CU_ASSERT_EQUAL(count_both(&p, "t-0.", "-future"), 0);
	CU_ASSERT_PTR_EQUAL(log_directory(p.bench.log), here);
	files_faulty_set(files, "-future", FILE_CALL_SYNC, 2, -1, EIO);
	CU_ASSERT_EQUAL(move(&p), ERR_KAFKA_STORAGE_ERROR);
	files_faulty_clear(files);
	CU_ASSERT_EQUAL(p.bench.failed_dirs, 1);
	CU_ASSERT(!log_failed(p.bench.log));
	CU_ASSERT_EQUAL(bench_count(&p.bench, 3), 20);
	if (p.future != NULL)
		log_future_leave(&p.future);
	pair_fini(&p);
	files_faulty_free(files);
}

/* One whole log is found, wherever it died. */
static void
test_killed_at_every_call(void)
{
	bool alive = false;
	int nth = 0, moved = 0;

	for (; !alive; nth++) {
		struct files *files = files_faulty_new(files_system());
		char before[80];
		struct pair p;

		pair_init(&p, files);
		fill(&p);
		CU_ASSERT(storage_write_starts(p.bench.storage));
		snprintf(before, sizeof(before), "%s",
		    log_dir_path(log_directory(p.bench.log)));
		files_faulty_kill_after(files, nth);
		(void)move(&p);
		if (p.future != NULL)
			log_future_leave(&p.future);
		bench_stop(&p.bench);
		alive = !files_faulty_killed(files);
		files_faulty_free(files);
		p.bench.files = files_system();
		p.bench.failed_dirs = 0;
		bench_start(&p.bench);
		check_whole(&p, 20);
		CU_ASSERT_EQUAL(count_both(&p, "t-0", "t-0"), 1);
		CU_ASSERT_EQUAL(count_marks(&p), 0);
		moved += strcmp(before, log_dir_path(log_directory(
		    p.bench.log))) != 0;
		/* It goes on, and moves. */
		if (nth % 10 == 0) {
			CU_ASSERT_EQUAL(move(&p), ERR_NONE);
			bench_stop(&p.bench);
			bench_start(&p.bench);
			check_whole(&p, 20);
		}
		pair_fini(&p);
	}
	CU_ASSERT(nth > 100);
	CU_ASSERT(moved > 5 && moved < nth - 50);
}

static struct pair *retained; /* NULL: it has moved */

/* Retention comes to its directory's sync: now the log moves out. */
static int
open_moving(struct files *files, const char *path, int flags, int mode)
{
	struct pair *p = retained;

	if ((flags & O_DIRECTORY) != 0 && p != NULL) {
		retained = NULL;
		CU_ASSERT_EQUAL(log_future_replace(p->future), ERR_NONE);
		CU_ASSERT_EQUAL(log_future_finish(&p->future), ERR_NONE);
	}
	return (files_system()->ops->open(files, path, flags, mode));
}

/* What retention cannot write where the log was fails no directory. */
static void
test_moves_under_retention(void)
{
	struct files_ops ops = *files_system()->ops;
	struct files files = { &ops };
	struct log_dir *there;
	struct pair p;

	pair_init(&p, &files);
	fill(&p);
	copy_all(&p);
	there = other_dir(&p);
	p.bench.settings.retention_bytes = SEGMENT_BYTES;
	log_set_settings(p.bench.log, &p.bench.settings);
	ops.open = open_moving;
	retained = &p;
	log_retain(p.bench.log);
	CU_ASSERT_PTR_NULL(retained);
	CU_ASSERT_PTR_EQUAL(log_directory(p.bench.log), there);
	CU_ASSERT_EQUAL(p.bench.failed_dirs, 0);
	CU_ASSERT(log_start_offset(p.bench.log) > 10);
	CU_ASSERT_EQUAL(bench_append(&p.bench,
			    &(struct bench_batch){ .leader_epoch = 4 }, NULL),
	    ERR_NONE);
	pair_fini(&p);
}

static const struct unit_test tests[] = {
	{ "moves", test_move },
	{ "readers go on", test_readers_go_on },
	{ "empty", test_empty },
	{ "given up", test_given_up },
	{ "where logs are to be made", test_preferred },
	{ "changes underneath", test_changes_underneath },
	{ "the start moves last", test_start_moves_last },
	{ "under retention", test_moves_under_retention },
	{ "refused", test_refused },
	{ "refused once", test_refused_once },
	{ "killed at every call", test_killed_at_every_call },
};

int
main(void)
{
	return (unit_main("move", tests, nelems(tests)));
}
