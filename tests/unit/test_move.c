/* SPDX-License-Identifier: Apache-2.0 */
/* A log that moves to another directory: what comes along, what is left, and
 * deaths at every call. */
#include <dirent.h>
#include <errno.h>

#include "storage_bench.h"

#define SEGMENT_BYTES 4000
#define RECORD_BYTES 900

struct pair {
	struct bench bench;
	char second[80];
	struct log_future *future;
};

/* Where a sync costs nothing, if there is such a place: what the disk makes of
 * them is not asked here. */
static void
pair_init(struct pair *p, struct files *files)
{
	char path[] = "/dev/shm/test-move-XXXXXX";

	bench_init(&p->bench);
	if (mkdtemp(path) != NULL) {
		CHECK(rmdir(p->bench.path) == 0);
		snprintf(p->bench.path, sizeof(p->bench.path), "%s", path);
	}
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
		error = log_future_replace(p->future);
	if (error == ERR_NONE)
		error = log_future_finish(&p->future);
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
	CU_ASSERT_EQUAL_FATAL(log_future_new(p.bench.log, other_dir(&p),
	    &p.future), ERR_NONE);
	while (log_future_left_bytes(p.future) > 0)
		CU_ASSERT_EQUAL_FATAL(log_future_copy(p.future, 10000,
		    &copied), ERR_NONE);
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

/* --- whatever fails, whichever directory is there ------------------------- */

#define FIRST 1
#define SECOND 2
#define BOTH (FIRST | SECOND)

/* Starts after what happened, each with these directories; a record more is
 * acknowledged by each that serves the log. */
static const int courses[][4] = {
	{ BOTH },
	{ FIRST, BOTH },
	{ SECOND, BOTH },
	{ FIRST, SECOND, BOTH },
	{ SECOND, FIRST, BOTH },
};

/* Of the calls of a move the last so many are where it takes the place. */
#define LAST_CALLS 75

struct story {
	struct pair pair;
	struct files *files;
	int64_t acked; /* the end behind the last record that was */
	int served;    /* starts with one directory that served it */
	bool started;  /* the last bad start was one */
};

static void
story_begin(struct story *s)
{
	s->files = files_faulty_new(files_system());
	pair_init(&s->pair, s->files);
	fill(&s->pair);
	CU_ASSERT(storage_write_starts(s->pair.bench.storage));
	s->acked = 20;
	s->served = 0;
}

static void
story_append(struct story *s)
{
	struct bench_batch batch = { .value_size = 10, .leader_epoch = 4 };

	if (bench_append(&s->pair.bench, &batch, NULL) == ERR_NONE)
		s->acked = log_end_offset(s->pair.bench.log);
}

/* As a broker moves it, with a record as soon as that may be. */
static enum error
story_move(struct story *s)
{
	struct pair *p = &s->pair;
	enum error error = log_future_new(p->bench.log, other_dir(p),
	    &p->future);
	size_t copied;

	while (error == ERR_NONE && log_future_left_bytes(p->future) > 0)
		error = log_future_copy(p->future, 1000, &copied);
	if (error == ERR_NONE)
		error = log_future_replace(p->future);
	if (error == ERR_NONE) {
		story_append(s);
		error = log_future_finish(&p->future);
	}
	return (error);
}

/* The process ends; the disks are well again. */
static void
story_stop(struct story *s)
{
	struct pair *p = &s->pair;

	if (p->future != NULL)
		log_future_leave(&p->future);
	bench_stop(&p->bench);
	files_faulty_free(s->files);
	p->bench.files = files_system();
}

/* A file instead of the directory: it cannot be used. */
static void
hide(const char *path, bool hidden)
{
	char away[PATH_MAX];

	snprintf(away, sizeof(away), "%s-away", path);
	if (hidden) {
		CHECK(rename(path, away) == 0);
		CHECK(close(open(path, O_CREAT | O_WRONLY, 0644)) == 0);
	} else {
		CHECK(unlink(path) == 0);
		CHECK(rename(away, path) == 0);
	}
}

static void
story_check(struct story *s, int there)
{
	struct bench *b = &s->pair.bench;

	b->log = storage_find(b->storage, "t", 0);
	if (b->log != NULL && log_failed(b->log)) {
		CU_ASSERT(b->failed_dirs > 0);
		return;
	}
	if (b->log == NULL) {
		CU_ASSERT(there != BOTH || storage_has_failed_dir(b->storage));
		/* If it lies there, none is made in its stead. */
		CU_ASSERT(!storage_withholds(b->storage, "t", 0) ||
		    log_create(b->storage, "t", 0, UUID_ZERO, &b->log) !=
		    ERR_NONE);
		return;
	}
	CU_ASSERT(log_end_offset(b->log) >= s->acked);
	CU_ASSERT_EQUAL(log_start_offset(b->log), 3);
	CU_ASSERT_EQUAL(bench_count(b, 3), (int)log_end_offset(b->log));
	s->served += there != BOTH;
	story_append(s);
}

static void
story_start(struct story *s, int there)
{
	struct bench *b = &s->pair.bench;

	b->failed_dirs = 0;
	if ((there & FIRST) == 0)
		hide(b->path, true);
	if ((there & SECOND) == 0)
		hide(s->pair.second, true);
	CU_ASSERT_FATAL(bench_open(b));
	CU_ASSERT_FATAL(storage_set_identity(b->storage, 1, "cluster"));
	CU_ASSERT_FATAL(storage_load(b->storage, NULL, NULL));
	story_check(s, there);
	bench_stop(b);
	if ((there & FIRST) == 0)
		hide(b->path, false);
	if ((there & SECOND) == 0)
		hide(s->pair.second, false);
}

/* One at which something fails, or that dies. */
static void
story_start_badly(struct story *s, void (*order)(struct story *s, int nth),
    int nth)
{
	struct bench *b = &s->pair.bench;

	b->failed_dirs = 0;
	b->files = s->files = files_faulty_new(files_system());
	order(s, nth);
	if (bench_open(b) && storage_load(b->storage, NULL, NULL) &&
	    !files_faulty_killed(s->files)) {
		s->started = true;
		files_faulty_clear(s->files);
		files_faulty_kill_after(s->files, -1);
		story_check(s, BOTH);
	}
	story_stop(s);
}

/* At the end it is there, once, and can move. */
static void
story_end(struct story *s, const int *course)
{
	struct pair *p = &s->pair;

	for (; *course != 0; course++)
		story_start(s, *course);
	CU_ASSERT_EQUAL(count_both(p, "t-0", "t-0"), 1);
	p->bench.failed_dirs = 0;
	bench_start(&p->bench);
	CU_ASSERT_EQUAL(count_marks(p), 0);
	CU_ASSERT_EQUAL(move(p), ERR_NONE);
	check_whole(p, s->acked);
	pair_fini(p);
}

/* The old log's new name, if the copy's mark says that it may not be on the
 * disk, is lost with the power. */
static void
lose_power(struct pair *p)
{
	char name[PATH_MAX], to[PATH_MAX];
	const struct dirent *one;
	DIR *all;

	snprintf(name, sizeof(name), "%s/t-0", p->second);
	if (count_names(name, "barnabas", "") == 0)
		return;
	all = opendir(p->bench.path);
	CHECK(all != NULL);
	while ((one = readdir(all)) != NULL) {
		if (strncmp(one->d_name, "t-0.", 4) != 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", p->bench.path,
		    one->d_name);
		snprintf(to, sizeof(to), "%s/t-0", p->bench.path);
		CHECK(rename(name, to) == 0);
	}
	closedir(all);
}

/* How many calls the whole thing takes; of one directory's paths, or all. */
static int
count_calls(void (*order)(struct story *s, int nth))
{
	int low = 0, high = 1000;

	while (low < high) {
		int middle = (low + high) / 2;
		struct story s;
		bool whole;

		story_begin(&s);
		order(&s, middle);
		whole = story_move(&s) == ERR_NONE &&
		    !files_faulty_killed(s.files);
		story_stop(&s);
		pair_fini(&s.pair);
		if (whole)
			high = middle;
		else
			low = middle + 1;
	}
	return (high);
}

static void
order_death(struct story *s, int nth)
{
	files_faulty_kill_after(s->files, nth);
}

static void
order_first_fails(struct story *s, int nth)
{
	char part[80];

	snprintf(part, sizeof(part), "%s/", s->pair.bench.path);
	files_faulty_set(s->files, part, FILE_CALL_ANY, nth, -1, EIO);
}

static void
order_second_fails(struct story *s, int nth)
{
	files_faulty_set(s->files, "-second", FILE_CALL_ANY, nth, -1, EIO);
}

/* Answers how many starts with one directory served the log. */
static int
every_call(void (*order)(struct story *s, int nth), bool power)
{
	int calls = count_calls(order), served = 0;

	CU_ASSERT(calls > 20 && calls < 1000);
	for (size_t i = 0; i < nelems(courses); i++)
		for (int nth = calls > LAST_CALLS ? calls - LAST_CALLS : 0;
		     nth <= calls; nth++) {
			struct story s;

			story_begin(&s);
			order(&s, nth);
			(void)story_move(&s);
			/* It goes on as long as it can. */
			if (!files_faulty_killed(s.files))
				story_append(&s);
			story_stop(&s);
			if (power)
				lose_power(&s.pair);
			story_end(&s, courses[i]);
			served += s.served;
		}
	return (served);
}

/* Dies when so many calls are left to a move. */
static void
story_die(struct story *s, int calls, int left)
{
	story_begin(s);
	order_death(s, calls - left);
	(void)story_move(s);
	story_stop(s);
}

static void
order_part(struct story *s, bool second, enum file_call call, int error)
{
	char part[80];

	snprintf(part, sizeof(part), "%s/", s->pair.bench.path);
	files_faulty_set(s->files, second ? "-second/" : part, call, 0, -1,
	    error);
}

static void
order_at_start(struct story *s, int nth)
{
	static const struct {
		bool second;
		enum file_call call;
		int error;
	} orders[] = {
		{ false, FILE_CALL_READ, EIO }, { true, FILE_CALL_READ, EIO },
		{ false, FILE_CALL_SYNC, EIO }, { true, FILE_CALL_SYNC, EIO },
		{ false, FILE_CALL_RENAME, EIO },
		{ true, FILE_CALL_RENAME, EIO },
		{ false, FILE_CALL_RENAME, ENOSPC },
		{ true, FILE_CALL_RENAME, ENOSPC },
		{ false, FILE_CALL_UNLINK, EIO },
		{ true, FILE_CALL_UNLINK, EIO },
	};

	CHECK((size_t)nth <= nelems(orders));
	if ((size_t)nth < nelems(orders))
		order_part(s, orders[nth].second, orders[nth].call,
		    orders[nth].error);
	else /* The copy cannot be read. */
		files_faulty_set(s->files, "-second/t-0", FILE_CALL_ANY, 0, -1,
		    EIO);
}
#define ORDERS_AT_START 11

static void
test_every_start_that_fails(void)
{
	int calls = count_calls(order_death);

	for (int order = 0; order < ORDERS_AT_START; order++)
		for (int left = 0; left < LAST_CALLS; left++) {
			struct story s;

			story_die(&s, calls, left);
			story_start_badly(&s, order_at_start, order);
			story_end(&s, courses[left % (int)nelems(courses)]);
		}
}

/* Of the log and its copy that know each other. */
static void
test_every_death_of_a_start(void)
{
	int calls = count_calls(order_death), left = 0, deaths = 0;
	bool both = false, alive = false;

	for (int nth = 0; !alive; nth++) {
		struct story s;

		for (both = false; !both; left += !both) {
			story_die(&s, calls, left);
			both = count_both(&s.pair, "t-0", "t-0") == 2;
			if (!both)
				pair_fini(&s.pair);
		}
		s.started = false;
		story_start_badly(&s, order_death, nth);
		alive = s.started;
		deaths++;
		story_end(&s, courses[nth % (int)nelems(courses)]);
	}
	CU_ASSERT(deaths > 40);
}

/* --- want of room --------------------------------------------------------- */

/* Nothing of this takes a directory; it moves when there is room. */
static void
refuse(bool second, enum file_call call, int error, int nth)
{
	struct story s;
	enum error first;

	story_begin(&s);
	CU_ASSERT_EQUAL_FATAL(log_future_new(s.pair.bench.log,
	    other_dir(&s.pair), &s.pair.future), ERR_NONE);
	while (log_future_left_bytes(s.pair.future) > 0)
		CU_ASSERT_EQUAL_FATAL(log_future_copy(s.pair.future, 1000,
		    &(size_t){ 0 }), ERR_NONE);
	order_part(&s, second, call, error);
	first = log_future_replace(s.pair.future);
	if (first == ERR_NONE)
		CU_ASSERT_EQUAL(log_future_finish(&s.pair.future),
		    nth == 0 ? ERR_REPLICA_NOT_AVAILABLE : ERR_NONE);
	CU_ASSERT_EQUAL(s.pair.bench.failed_dirs, 0);
	CU_ASSERT(!log_failed(s.pair.bench.log));
	files_faulty_clear(s.files);
	CU_ASSERT_EQUAL(bench_count(&s.pair.bench, 3), 20);
	s.pair.bench.clock.now_ns += INT64_C(1000000000);
	story_append(&s);
	CU_ASSERT_EQUAL(s.acked, 21);
	if (first != ERR_NONE)
		CU_ASSERT_EQUAL(log_future_replace(s.pair.future), ERR_NONE);
	if (s.pair.future != NULL)
		CU_ASSERT_EQUAL(log_future_finish(&s.pair.future), ERR_NONE);
	CU_ASSERT_EQUAL(count_marks(&s.pair), 0);
	story_stop(&s);
	story_end(&s, courses[0]);
}

static void
test_no_room(void)
{
	refuse(false, FILE_CALL_WRITE, ENOSPC, 0);
	refuse(false, FILE_CALL_RENAME, ENOSPC, 0);
	refuse(false, FILE_CALL_OPEN, EMFILE, 0);
	refuse(true, FILE_CALL_WRITE, ENOSPC, 0);
	refuse(true, FILE_CALL_RENAME, EDQUOT, 0);
	refuse(true, FILE_CALL_OPEN, EMFILE, 0);
}

/* What cannot be renamed is left to the next start; until then nothing is made
 * in its place. */
static void
test_no_room_and_given_up(void)
{
	struct story s;

	story_begin(&s);
	files_faulty_set(s.files, "-delete", FILE_CALL_RENAME, 0, -1, ENOSPC);
	CU_ASSERT_EQUAL(story_move(&s), ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(s.acked, 21);
	log_future_drop(&s.pair.future);
	CU_ASSERT_PTR_NULL(s.pair.future);
	CU_ASSERT_EQUAL(s.pair.bench.failed_dirs, 0);
	CU_ASSERT(storage_withholds(s.pair.bench.storage, "t", 0));
	CU_ASSERT_EQUAL(log_future_new(s.pair.bench.log, other_dir(&s.pair),
	    &s.pair.future), ERR_KAFKA_STORAGE_ERROR);
	/* It goes with the partition, when there is room. */
	CU_ASSERT_EQUAL(log_delete(s.pair.bench.storage, "t", 0),
	    ERR_KAFKA_STORAGE_ERROR);
	files_faulty_clear(s.files);
	CU_ASSERT_EQUAL(log_delete(s.pair.bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT(!storage_withholds(s.pair.bench.storage, "t", 0));
	CU_ASSERT_EQUAL(count_both(&s.pair, "t-0", "t-0"), 0);
	story_stop(&s);
	pair_fini(&s.pair);
}

/* A copy that is not wanted needs no room to go. */
static void
test_no_room_to_give_up(void)
{
	struct story s;

	story_begin(&s);
	CU_ASSERT_EQUAL_FATAL(log_future_new(s.pair.bench.log,
	    other_dir(&s.pair), &s.pair.future), ERR_NONE);
	files_faulty_set(s.files, "-delete", FILE_CALL_RENAME, 0, -1, ENOSPC);
	log_future_drop(&s.pair.future);
	CU_ASSERT_EQUAL(s.pair.bench.failed_dirs, 0);
	CU_ASSERT_EQUAL(count_both(&s.pair, "t-0.", "-future"), 0);
	story_stop(&s);
	pair_fini(&s.pair);
}

/* --- what marks are believed ---------------------------------------------- */

/* Of what a death left in both directories, the old one is another log. */
static void
stranger(const char *rest, bool same_marks)
{
	char name[PATH_MAX];
	int calls = count_calls(order_death), left = 0;
	bool both = false;
	struct story s;

	for (; !both; left++) {
		story_die(&s, calls, left);
		snprintf(name, sizeof(name), "%s/t-0/barnabas.moved",
		    s.pair.second);
		both = access(name, F_OK) == 0 &&
		    count_both(&s.pair, "t-0", "t-0") == 2;
		if (!both)
			pair_fini(&s.pair);
	}
	snprintf(name, sizeof(name), "%s/t-0/%s", s.pair.bench.path, rest);
	if (same_marks)
		bench_write(&s.pair.bench, "t-0/barnabas.leaves", "x", 1, 60);
	else
		CU_ASSERT_EQUAL(unlink(name), 0);
	/* Which one is it?  Nobody can tell, and nothing goes. */
	CU_ASSERT_FATAL(bench_open(&s.pair.bench));
	CU_ASSERT(!storage_load(s.pair.bench.storage, NULL, NULL));
	bench_stop(&s.pair.bench);
	CU_ASSERT_EQUAL(count_both(&s.pair, "t-0", "t-0"), 2);
	pair_fini(&s.pair);
}

static void
test_strangers(void)
{
	stranger("barnabas.leaves", false);
	stranger("barnabas.leaves", true);
}

static void
test_every_death(void)
{
	CU_ASSERT(every_call(order_death, false) > LAST_CALLS);
}

static void
test_every_loss_of_power(void)
{
	CU_ASSERT(every_call(order_death, true) > LAST_CALLS);
}

static void
test_every_fault_of_the_old_directory(void)
{
	CU_ASSERT(every_call(order_first_fails, false) > 10);
}

static void
test_every_fault_of_the_new_directory(void)
{
	CU_ASSERT(every_call(order_second_fails, false) > LAST_CALLS);
}

static const struct unit_test tests[] = {
	{ "moves", test_move },
	{ "readers go on", test_readers_go_on },
	{ "empty", test_empty },
	{ "given up", test_given_up },
	{ "changes underneath", test_changes_underneath },
	{ "refused", test_refused },
	{ "no room", test_no_room },
	{ "no room, and given up", test_no_room_and_given_up },
	{ "no room to give up", test_no_room_to_give_up },
	{ "strangers", test_strangers },
	{ "killed at every call", test_killed_at_every_call },
	{ "every start that fails", test_every_start_that_fails },
	{ "every death of a start", test_every_death_of_a_start },
	{ "every death", test_every_death },
	{ "every loss of power", test_every_loss_of_power },
	{ "every fault of the old directory",
	    test_every_fault_of_the_old_directory },
	{ "every fault of the new directory",
	    test_every_fault_of_the_new_directory },
};

int
main(void)
{
	return (unit_main("move", tests, nelems(tests)));
}
