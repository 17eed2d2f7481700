/* SPDX-License-Identifier: Apache-2.0 */
/* A log that moves to another directory, and whatever fails: no record that was
 * acknowledged is lost, never are there two logs, and the old one of two copies
 * is never the one.  The states are those of doc/replica.md. */
#include <errno.h>

#include "move_bench.h"

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
	CU_ASSERT_FATAL(storage_set_identity(b->storage, 1, "cluster",
	    NULL, 0));
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

/* As late as possible with these marks in the log and its copy; NULL: it is not
 * there. */
static void
story_die_with(struct story *s, const char *first, const char *second)
{
	const char *marks[] = { first, second };
	int calls = count_calls(order_death);
	bool found = false;

	for (int left = 0; !found; left++) {
		const char *paths[] = { s->pair.bench.path, s->pair.second };

		CHECK(left < calls);
		story_die(s, calls, left);
		found = true;
		for (int i = 0; i < 2; i++) {
			char log[PATH_MAX], name[2 * PATH_MAX];

			snprintf(log, sizeof(log), "%s/t-0", paths[i]);
			snprintf(name, sizeof(name), "%s/barnabas.%s", log,
			    marks[i] == NULL ? "" : marks[i]);
			found &= access(marks[i] == NULL ? log : name, F_OK) ==
			    (marks[i] == NULL ? -1 : 0);
		}
		if (!found)
			pair_fini(&s->pair);
	}
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
	bool alive = false;
	int deaths = 0;

	for (; !alive; deaths++) {
		struct story s;

		story_die_with(&s, "leaves", "arrives");
		s.started = false;
		story_start_badly(&s, order_death, deaths);
		alive = s.started;
		story_end(&s, courses[deaths % (int)nelems(courses)]);
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

/* What its rolls leave behind could not be written: a start would not find it,
 * so it waits for room. */
static void
test_no_room_to_close_a_roll(void)
{
	int waited = 0;

	for (int after = 0; after < 8; after++) {
		struct story s;
		size_t copied;

		story_begin(&s);
		files_faulty_set(s.files, ".snapshot", FILE_CALL_WRITE, after,
		    -1, ENOSPC);
		waited += story_move(&s) != ERR_NONE;
		CU_ASSERT_EQUAL(s.pair.bench.failed_dirs, 0);
		files_faulty_clear(s.files);
		s.pair.bench.clock.now_ns += INT64_C(1000000000);
		if (s.pair.future != NULL) {
			CU_ASSERT_EQUAL(count_marks(&s.pair), 0);
			while (log_future_left_bytes(s.pair.future) > 0)
				CU_ASSERT_EQUAL_FATAL(log_future_copy(
				    s.pair.future, 1000, &copied), ERR_NONE);
			CU_ASSERT_EQUAL(log_future_replace(s.pair.future),
			    ERR_NONE);
			CU_ASSERT_EQUAL(log_future_finish(&s.pair.future),
			    ERR_NONE);
		}
		story_stop(&s);
		story_end(&s, courses[0]);
	}
	CU_ASSERT(waited > 0);
}

/* What a stop left cannot be emptied for want of a descriptor: the directory
 * stays, and the copy is begun anew when there is one. */
static void
test_no_descriptor_to_begin_anew(void)
{
	struct story s;
	struct bench *b = &s.pair.bench;

	story_begin(&s);
	CU_ASSERT_EQUAL_FATAL(log_future_new(b->log, other_dir(&s.pair),
	    &s.pair.future), ERR_NONE);
	story_stop(&s);
	s.pair.future = NULL;
	b->files = s.files = files_faulty_new(files_system());
	bench_start(b);
	files_faulty_set(s.files, "-future", FILE_CALL_OPEN, 0, -1, EMFILE);
	CU_ASSERT_EQUAL(log_future_new(b->log, other_dir(&s.pair),
	    &s.pair.future), ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(b->failed_dirs, 0);
	CU_ASSERT_PTR_EQUAL(storage_found_future(b->storage, "t", 0),
	    other_dir(&s.pair));
	files_faulty_clear(s.files);
	CU_ASSERT_EQUAL(story_move(&s), ERR_NONE);
	CU_ASSERT_EQUAL(count_both(&s.pair, "t-0.", "-future"), 0);
	story_stop(&s);
	pair_fini(&s.pair);
}

/* The start is told so, and nobody to bring the old one back, while the copy is
 * served. */
static void
test_no_room_to_confirm(void)
{
	char path[PATH_MAX];
	struct story s;
	struct bench *b = &s.pair.bench;
	void *said;
	size_t length;

	story_die_with(&s, "leaves", "arrives");
	snprintf(path, sizeof(path), "%s-said", b->path);
	b->diag = diag_new(clock_system(), path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->diag);
	b->files = s.files = files_faulty_new(files_system());
	order_part(&s, true, FILE_CALL_RENAME, ENOSPC);
	CU_ASSERT_FATAL(bench_open(b));
	CU_ASSERT(storage_load(b->storage, NULL, NULL));
	files_faulty_clear(s.files);
	story_check(&s, BOTH);
	CU_ASSERT_PTR_NOT_NULL(b->log);
	CU_ASSERT(storage_withholds(b->storage, "t", 0));
	story_stop(&s);
	diag_free(b->diag);
	b->diag = NULL;
	CU_ASSERT_EQUAL_FATAL(file_load(files_system(), path, SIZE_MAX, &said,
	    &length), 0);
	CU_ASSERT_PTR_NULL(memmem(said, length, "is not served", 13));
	CU_ASSERT_PTR_NOT_NULL(memmem(said, length, "is served there", 15));
	mem_free(said);
	CU_ASSERT_EQUAL(unlink(path), 0);
	story_end(&s, courses[0]);
}

/* --- what marks are believed ---------------------------------------------- */

/* One that is no mark is not believed, and not passed over. */
static void
test_a_mark_that_tells_nothing(void)
{
	static char much[100000];
	struct story s;
	struct bench *b = &s.pair.bench;

	for (size_t length = 0; length <= sizeof(much);
	     length += sizeof(much)) {
		char name[PATH_MAX];

		story_begin(&s);
		story_stop(&s);
		bench_write(b, "t-0/barnabas.leaves", much, length, 0);
		CU_ASSERT_FATAL(bench_open(b));
		CU_ASSERT(storage_load(b->storage, NULL, NULL));
		CU_ASSERT_PTR_NULL(storage_find(b->storage, "t", 0));
		CU_ASSERT(storage_withholds(b->storage, "t", 0));
		CU_ASSERT_NOT_EQUAL(log_create(b->storage, "t", 0, UUID_ZERO,
		    &b->log), ERR_NONE);
		bench_stop(b);
		snprintf(name, sizeof(name), "%s/t-0/barnabas.leaves",
		    b->path);
		CU_ASSERT_EQUAL(unlink(name), 0);
		story_end(&s, courses[0]);
	}
}

/* Which one is it?  Nobody can tell, and nothing goes. */
static void
story_refused(struct story *s)
{
	struct bench *b = &s->pair.bench;

	CU_ASSERT_FATAL(bench_open(b));
	CU_ASSERT(!storage_load(b->storage, NULL, NULL));
	bench_stop(b);
}

/* Of what a death left in both directories, the old one is another log. */
static void
stranger(bool same_marks)
{
	char name[PATH_MAX];
	struct story s;

	story_die_with(&s, "leaves", "moved");
	snprintf(name, sizeof(name), "%s/t-0/barnabas.leaves",
	    s.pair.bench.path);
	if (same_marks) /* of another move */
		bench_write(&s.pair.bench, "t-0/barnabas.leaves", "-", 1, 25);
	else
		CU_ASSERT_EQUAL(unlink(name), 0);
	story_refused(&s);
	CU_ASSERT_EQUAL(count_both(&s.pair, "t-0", "t-0"), 2);
	pair_fini(&s.pair);
}

static void
test_strangers(void)
{
	stranger(false);
	stranger(true);
}

/* --- a third directory ---------------------------------------------------- */

struct trio {
	struct story story;
	char third[96];
};

static void
trio_begin(struct trio *t, const char *first, const char *second)
{
	struct bench *b = &t->story.pair.bench;

	story_die_with(&t->story, first, second);
	snprintf(t->third, sizeof(t->third), "%s-third", b->path);
	CHECK(mkdir(t->third, 0755) == 0);
	b->paths[2] = t->third;
	b->options.log_dir_list.count = 3;
}

static void
trio_end(struct trio *t)
{
	pair_fini(&t->story.pair);
	nftw(t->third, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* The partition might lie in the one that is away, unless it is known where it
 * does. */
static void
third_is_away(const char *first, const char *second, bool served)
{
	struct bench *b;
	struct trio t;

	trio_begin(&t, first, second);
	b = &t.story.pair.bench;
	hide(t.third, true);
	CU_ASSERT_FATAL(bench_open(b));
	CU_ASSERT_FATAL(storage_load(b->storage, NULL, NULL));
	b->log = storage_find(b->storage, "t", 0);
	CU_ASSERT_EQUAL(b->log != NULL, served);
	CU_ASSERT_EQUAL(storage_withholds(b->storage, "t", 0), !served);
	if (served)
		story_append(&t.story);
	bench_stop(b);
	hide(t.third, false);
	story_start(&t.story, BOTH);
	CU_ASSERT_EQUAL(count_both(&t.story.pair, "t-0", "t-0"), 1);
	bench_start(b);
	CU_ASSERT_EQUAL(count_marks(&t.story.pair), 0);
	trio_end(&t);
}

static void
test_a_third_is_away(void)
{
	third_is_away("leaves", NULL, false);
	third_is_away("leaves", "arrives", true);
	third_is_away("leaves", "moved", true);
	third_is_away(NULL, "moved", true);
}

/* The copy came too late, its directory was not used for a while, and the log
 * has moved on meanwhile. */
static void
test_a_copy_that_comes_back_late(void)
{
	char log[2 * PATH_MAX], to[PATH_MAX];
	struct trio t;

	trio_begin(&t, "leaves", "arrives");
	snprintf(log, sizeof(log), "%s/t-0", t.story.pair.bench.path);
	snprintf(to, sizeof(to), "%s/t-0", t.third);
	CU_ASSERT_EQUAL(rename(log, to), 0);
	snprintf(log, sizeof(log), "%s/barnabas.leaves", to);
	CU_ASSERT_EQUAL(unlink(log), 0);
	story_refused(&t.story);
	CU_ASSERT_EQUAL(access(to, F_OK), 0);
	snprintf(log, sizeof(log), "%s/t-0", t.story.pair.second);
	CU_ASSERT_EQUAL(access(log, F_OK), 0);
	trio_end(&t);
}

/* The mark of an earlier move is still there. */
static void
test_a_mark_that_lingers(void)
{
	int calls = count_calls(order_death);

	for (int left = 0; left < LAST_CALLS; left++) {
		struct story s;

		story_begin(&s);
		bench_write(&s.pair.bench, "t-0/barnabas.moved",
		    "version: 0\n", 11, 0);
		order_death(&s, calls - left);
		(void)story_move(&s);
		story_stop(&s);
		story_end(&s, courses[left % (int)nelems(courses)]);
	}
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
	{ "no room", test_no_room },
	{ "no room, and given up", test_no_room_and_given_up },
	{ "no room to give up", test_no_room_to_give_up },
	{ "no room to close a roll", test_no_room_to_close_a_roll },
	{ "no descriptor to begin anew", test_no_descriptor_to_begin_anew },
	{ "no room to confirm", test_no_room_to_confirm },
	{ "a mark that tells nothing", test_a_mark_that_tells_nothing },
	{ "strangers", test_strangers },
	{ "a third is away", test_a_third_is_away },
	{ "a copy that comes back late", test_a_copy_that_comes_back_late },
	{ "a mark that lingers", test_a_mark_that_lingers },
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
	return (unit_main("move faults", tests, nelems(tests)));
}
