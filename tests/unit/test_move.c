/* SPDX-License-Identifier: Apache-2.0 */
/* A log that moves to another directory: what comes along, what is left, and
 * deaths at every call. */
#include <dirent.h>

#include "storage_bench.h"

#define SEGMENT_BYTES 4000
#define RECORD_BYTES 900

struct pair {
	struct bench bench;
	char second[80];
	struct log_future *future;
};

static void
pair_init(struct pair *p, struct files *files)
{
	bench_init(&p->bench);
	snprintf(p->second, sizeof(p->second), "%s-second", p->bench.path);
	p->bench.paths[1] = p->second;
	p->bench.options.log_dir_list.count = 2;
	p->bench.settings.segment_bytes = SEGMENT_BYTES;
	if (files != NULL)
		p->bench.files = files;
	bench_start(&p->bench);
	p->future = NULL;
}

static void
pair_fini(struct pair *p)
{
	bench_fini(&p->bench);
	nftw(p->second, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Where the log does not lie. */
static struct log_dir *
other_dir(struct pair *p)
{
	struct log_dir *first = storage_dir_at(p->bench.storage, 0);

	return (log_directory(p->bench.log) == first ?
	    storage_dir_at(p->bench.storage, 1) : first);
}

/* How many entries of a directory begin so and end so. */
static int
count_names(const char *directory, const char *prefix, const char *suffix)
{
	DIR *all = opendir(directory);
	const struct dirent *one;
	int count = 0;

	while (all != NULL && (one = readdir(all)) != NULL) {
		size_t length = strlen(one->d_name), end = strlen(suffix);

		count += strncmp(one->d_name, prefix, strlen(prefix)) == 0 &&
		    length >= end &&
		    strcmp(one->d_name + length - end, suffix) == 0;
	}
	if (all != NULL)
		closedir(all);
	return (count);
}

static int
count_both(struct pair *p, const char *prefix, const char *suffix)
{
	return (count_names(p->bench.path, prefix, suffix) +
	    count_names(p->second, prefix, suffix));
}

/* Files that tell of a move, in the log. */
static int
count_marks(struct pair *p)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/t-0",
	    log_dir_path(log_directory(p->bench.log)));
	return (count_names(path, "barnabas", ""));
}

/* 20 records of two epochs and a producer; the first three are deleted, of a
 * batch of five. */
static void
fill(struct pair *p)
{
	struct bench *b = &p->bench;
	struct bench_batch batch = { .value_size = 100, .count = 5,
		.leader_epoch = 1 };

	bench_append(b, &batch, NULL);
	batch.count = 1;
	batch.value_size = RECORD_BYTES;
	for (int i = 5; i < 20; i++) {
		batch.leader_epoch = i < 10 ? 1 : 4;
		batch.producer_id = i % 2 == 0 ? 0 : 77;
		batch.sequence = i / 2;
		bench_append(b, &batch, NULL);
	}
	log_set_high_watermark(b->log, 20);
	CU_ASSERT_EQUAL(log_advance_start(b->log, 3), ERR_NONE);
}

/* The whole move; the error that it stopped at. */
static enum error
move(struct pair *p)
{
	struct log *log = p->bench.log;
	enum error error = log_future_new(log, other_dir(p), &p->future);
	size_t copied;

	while (error == ERR_NONE && log_future_left_bytes(p->future) > 0)
		error = log_future_copy(p->future, 1000, &copied);
	if (error == ERR_NONE)
		error = log_future_replace(&p->future);
	if (error == ERR_NONE)
		log_finish_move(log);
	return (error);
}

static void
check_whole(struct pair *p, int64_t end)
{
	struct log *log = p->bench.log;
	struct log_epoch_end epoch = log_epoch_end(log, 1);
	struct log_producer *producers;
	size_t count;

	CU_ASSERT_EQUAL(log_end_offset(log), end);
	CU_ASSERT_EQUAL(log_start_offset(log), 3);
	/* All of the first batch is read. */
	CU_ASSERT_EQUAL(bench_count(&p->bench, 3), (int)end);
	CU_ASSERT_EQUAL(log_latest_epoch(log), 4);
	CU_ASSERT_EQUAL(epoch.end_offset, 10);
	CU_ASSERT_EQUAL(log_topic_id(log).bytes[0], 1);
	producers = log_producers(log, &count);
	CU_ASSERT_EQUAL(count, 1);
	if (count == 1)
		CU_ASSERT_EQUAL(producers[0].last_sequence, 9);
	mem_free(producers);
	CU_ASSERT_EQUAL(p->bench.failed_dirs, 0);
}

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
	CU_ASSERT_EQUAL(log_future_replace(&p.future),
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
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	while (log_future_left_bytes(p.future) > 0)
		CU_ASSERT_EQUAL_FATAL(log_future_copy(p.future, 10000,
		    &copied), ERR_NONE);
	CU_ASSERT_EQUAL(log_advance_start(p.bench.log, 18), ERR_NONE);
	CU_ASSERT_EQUAL(log_future_replace(&p.future), ERR_NONE);
	log_finish_move(p.bench.log);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 18);
	bench_stop(&p.bench);
	bench_start(&p.bench);
	CU_ASSERT_EQUAL(log_start_offset(p.bench.log), 18);
	CU_ASSERT_EQUAL(log_end_offset(p.bench.log), 19);
	pair_fini(&p);
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

/* A start at which the copy cannot be taken away; one more record is kept. */
static void
start_stuck(struct pair *p, struct files *files)
{
	p->bench.failed_dirs = 0;
	files_faulty_set(files, "-delete", FILE_CALL_RENAME, 0, -1, EIO);
	bench_start(&p->bench);
	CU_ASSERT_EQUAL(p->bench.failed_dirs, 1);
	CU_ASSERT_EQUAL(log_end_offset(p->bench.log), 21);
	bench_fill(&p->bench, 1, 10);
	bench_stop(&p->bench);
	files_faulty_clear(files);
}

/* The copy has its name, and its directory fails: what is appended from then on
 * is not lost to it. */
static void
fails_after_the_rename(bool stuck)
{
	bool seen = false;

	/* The last sync that can fail; those before fail it earlier. */
	for (int nth = 20; !seen; nth++) {
		struct files *files = files_faulty_new(files_system());
		struct pair p;

		CU_ASSERT_FATAL(nth < 200);
		pair_init(&p, files);
		fill(&p);
		files_faulty_set(files, "-second", FILE_CALL_SYNC, nth, -1,
		    EIO);
		CU_ASSERT_EQUAL(move(&p), ERR_KAFKA_STORAGE_ERROR);
		files_faulty_clear(files);
		seen = count_names(p.second, "t-0", "t-0") == 1;
		if (p.future != NULL)
			log_future_leave(&p.future);
		CU_ASSERT(!log_failed(p.bench.log));
		bench_fill(&p.bench, 1, 10);
		CU_ASSERT_EQUAL(log_end_offset(p.bench.log), 21);
		bench_stop(&p.bench);
		if (stuck && seen)
			start_stuck(&p, files);
		p.bench.files = files_system();
		p.bench.failed_dirs = 0;
		files_faulty_free(files);
		bench_start(&p.bench);
		CU_ASSERT_EQUAL(log_end_offset(p.bench.log),
		    stuck && seen ? 22 : 21);
		CU_ASSERT_EQUAL(count_both(&p, "t-0", "t-0"), 1);
		pair_fini(&p);
	}
}

static void
test_fails_after_the_rename(void)
{
	fails_after_the_rename(false);
}

static void
test_fails_again_at_the_start(void)
{
	fails_after_the_rename(true);
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

static const struct unit_test tests[] = {
	{ "moves", test_move },
	{ "readers go on", test_readers_go_on },
	{ "empty", test_empty },
	{ "given up", test_given_up },
	{ "changes underneath", test_changes_underneath },
	{ "refused", test_refused },
	{ "fails after the rename", test_fails_after_the_rename },
	{ "fails again at the start", test_fails_again_at_the_start },
	{ "killed at every call", test_killed_at_every_call },
};

int
main(void)
{
	return (unit_main("move", tests, nelems(tests)));
}
