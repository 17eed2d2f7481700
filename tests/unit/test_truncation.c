/* SPDX-License-Identifier: Apache-2.0 */
/* Truncations beside readers, and those that do not get through at once;
 * appends that are refused. */
#include "storage_bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "storage/storage_int.h"

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

/* --- not at once ---------------------------------------------------------- */

#define TO 3

enum then { THEN_AGAIN, THEN_APPEND, THEN_KILL, THEN_STOP, THEN_FULLY,
	THEN_COUNT };

static enum error
append_seven(struct bench *bench, int32_t sequence, bool *duplicate)
{
	struct log_appended appended;
	enum error error = bench_append(bench,
	    &(struct bench_batch){ .value_size = 1000,
		.timestamp_ms = BENCH_NOW_MS + log_end_offset(bench->log),
		.producer_id = 7,
		.sequence = sequence },
	    &appended);

	*duplicate = appended.duplicate;
	return (error);
}

static enum error
truncate_as(struct bench *bench, bool fully)
{
	return (fully ? log_truncate_fully(bench->log, TO)
		      : log_truncate_to(bench->log, TO));
}

static void
start_faulty(struct bench *bench, int32_t segment_bytes)
{
	bench_init(bench);
	bench->settings.segment_bytes = segment_bytes;
	bench->settings.index_interval_bytes = 100;
	bench->files = files_faulty_new(files_system());
	bench->descriptors = 1;
	bench_start(bench);
}

static void
end_faulty(struct bench *bench)
{
	bench_fini(bench);
	files_faulty_free(bench->files);
}

static void
restart(struct bench *bench)
{
	bench_stop(bench);
	files_faulty_free(bench->files);
	bench->files = files_faulty_new(files_system());
	bench->failed_dirs = 0;
	bench_start(bench);
}

static void
go_on(struct bench *bench, bool fully, enum then then)
{
	bool duplicate;

	switch (then) {
	case THEN_APPEND:
		/* As if the truncation had been, unless nothing was done. */
		if (bench->log->cut == CUT_NONE)
			break;
		CU_ASSERT_EQUAL(append_seven(bench, TO, &duplicate), ERR_NONE);
		CU_ASSERT_FALSE(duplicate);
		CU_ASSERT_EQUAL(log_end_offset(bench->log), TO + 1);
		break;
	case THEN_KILL:
		files_faulty_kill(bench->files);
		restart(bench);
		break;
	case THEN_STOP:
		restart(bench);
		break;
	case THEN_AGAIN:
	case THEN_FULLY:
	case THEN_COUNT:
		break;
	}
	CU_ASSERT_EQUAL(truncate_as(bench, fully), ERR_NONE);
}

/* What the log is once it is through, now and after a start. */
static void
check_cut(struct bench *bench, bool fully)
{
	struct log_found found;
	int64_t start = fully ? TO : 0;
	bool duplicate;

	CU_ASSERT_EQUAL(log_start_offset(bench->log), start);
	CU_ASSERT_EQUAL(log_end_offset(bench->log), TO);
	CU_ASSERT_EQUAL(bench_count(bench, start), TO - start);
	CU_ASSERT_EQUAL(log_find_timestamp(bench->log, BENCH_NOW_MS + TO - 1,
			    &found),
	    ERR_NONE);
	CU_ASSERT_EQUAL(found.offset, fully ? -1 : TO - 1);
	if (!fully) {
		CU_ASSERT_EQUAL(append_seven(bench, TO + 1, &duplicate),
		    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
		CU_ASSERT_EQUAL(append_seven(bench, TO - 1, &duplicate),
		    ERR_NONE);
		CU_ASSERT_TRUE(duplicate);
	}
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(append_seven(bench, TO + i, &duplicate),
		    ERR_NONE);
	CU_ASSERT_EQUAL(bench_count(bench, start), TO + 4 - start);
}

/* Each file call of a truncation is refused once. */
static void
test_refused_anywhere(void)
{
	int refused = 0;

	for (int row = 0; row < 40 * 2 * THEN_COUNT; row++) {
		bool fully = row % 2 != 0;
		enum then then = (enum then)(row / 2 % THEN_COUNT);
		struct bench bench;
		enum error error;
		bool duplicate;

		start_faulty(&bench, 3000);
		for (int i = 0; i < 9; i++)
			CU_ASSERT_EQUAL(append_seven(&bench, i, &duplicate),
			    ERR_NONE);
		CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
		files_faulty_set(bench.files, bench.path, FILE_CALL_ANY,
		    row / 2 / THEN_COUNT, 1, ENOSPC);
		error = truncate_as(&bench, fully);
		files_faulty_clear(bench.files);
		/* A full disk is looked at again after a while. */
		clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
		if (error != ERR_NONE) {
			refused++;
			fully |= then == THEN_FULLY;
			go_on(&bench, fully, then);
		}
		CU_ASSERT_EQUAL(bench.failed_dirs, 0);
		check_cut(&bench, fully);
		files_faulty_kill(bench.files);
		restart(&bench);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), TO + 4);
		CU_ASSERT_EQUAL(bench_count(&bench, fully ? TO : 0),
		    fully ? 4 : TO + 4);
		end_faulty(&bench);
	}
	CU_ASSERT(refused > 60);
}

/* A roll that could not be finished bore a truncation; another one of the same
 * segment at the same offset is not its twin. */
static void
test_roll_and_cut(void)
{
	struct bench bench;
	bool duplicate;

	bench_init(&bench);
	bench.settings.segment_bytes = 3000;
	bench.files = files_faulty_new(files_system());
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	bench_start(&bench);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(append_seven(&bench, i, &duplicate), ERR_NONE);
	files_faulty_set(bench.files, ".snapshot", FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 1), ERR_NONE);
	CU_ASSERT_EQUAL(append_seven(&bench, 1, &duplicate), ERR_NONE);
	CU_ASSERT_EQUAL(append_seven(&bench, 2, &duplicate), ERR_NONE);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	files_faulty_clear(bench.files);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	bench_stop(&bench);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 3);
	CU_ASSERT_EQUAL(append_seven(&bench, 3, &duplicate), ERR_NONE);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

static void
append_of_epoch(struct bench *bench, int32_t epoch)
{
	CU_ASSERT_EQUAL(bench_append(bench,
	    &(struct bench_batch){ .value_size = 1000,
		.timestamp_ms = BENCH_NOW_MS + log_end_offset(bench->log),
		.leader_epoch = epoch }, NULL), ERR_NONE);
}

/* Its epochs tell of all that it has, and of nothing else. */
static void
check_epochs(struct bench *bench)
{
	bool cut = log_end_offset(bench->log) == TO;

	CU_ASSERT(cut || log_end_offset(bench->log) > TO);
	CU_ASSERT_EQUAL(log_latest_epoch(bench->log), cut ? 4 : 5);
	CU_ASSERT_EQUAL(log_epoch_end(bench->log, 4).end_offset, TO);
}

/* Whichever file call is refused, and if the process dies then or at a later
 * one: a follower that was not cut, or comes back whole, still knows the epoch
 * in which it differs from its leader. */
static void
test_epochs_go_last(void)
{
	int refused = 0;

	for (int row = 0; row < 2 * 60; row++) {
		bool dies = row % 2 != 0;
		struct bench bench;

		start_faulty(&bench, 3000);
		for (int i = 0; i < 9; i++)
			append_of_epoch(&bench, i < TO ? 4 : 5);
		CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
		if (dies)
			files_faulty_kill_after(bench.files, row / 2);
		else
			files_faulty_set(bench.files, bench.path,
			    FILE_CALL_ANY, row / 2, 1, EMFILE);
		refused += log_truncate_to(bench.log, TO) != ERR_NONE;
		if (!dies) {
			files_faulty_clear(bench.files);
			check_epochs(&bench);
			files_faulty_kill(bench.files);
		}
		restart(&bench);
		check_epochs(&bench);
		CU_ASSERT_EQUAL(bench_count(&bench, 0),
		    log_end_offset(bench.log));
		end_faulty(&bench);
	}
	CU_ASSERT(refused > 20);
}

/* DeleteRecords moved the start; then the log is cut below that, and what comes
 * there is not taken for deleted at the next start. */
static void
test_start_goes_down(void)
{
	for (int more = 0; more < 6; more += 5) {
		struct bench bench;

		start_faulty(&bench, 1 << 20);
		for (int i = 0; i < 8; i++)
			append_of_epoch(&bench, 4);
		log_set_high_watermark(bench.log, 8);
		CU_ASSERT_EQUAL(log_advance_start(bench.log, 5), ERR_NONE);
		CU_ASSERT(storage_write_starts(bench.storage));
		CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
		CU_ASSERT_EQUAL(log_truncate_to(bench.log, TO), ERR_NONE);
		for (int i = 0; i < more; i++)
			append_of_epoch(&bench, 5);
		files_faulty_kill(bench.files);
		restart(&bench);
		CU_ASSERT(log_start_offset(bench.log) <= TO);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), TO + more);
		CU_ASSERT_EQUAL(bench_count(&bench, TO), more);
		end_faulty(&bench);
	}
}

/* What was fetched for the end before does not come behind the new one. */
static void
test_cut_at_append(void)
{
	struct log_appended appended;
	struct buffer bytes;
	struct bench bench;

	start_faulty(&bench, 1 << 20);
	for (int i = 0; i < 9; i++)
		append_of_epoch(&bench, 4);
	files_faulty_set(bench.files, bench.path, FILE_CALL_ANY, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(log_truncate_fully(bench.log, TO),
	    ERR_KAFKA_STORAGE_ERROR);
	files_faulty_clear(bench.files);
	clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 9);
	bytes = bench_make(&(struct bench_batch){ .value_size = 10 });
	for (int64_t at = 9; at >= TO; at -= 9 - TO) {
		batch_set_base_offset(bytes.data, at);
		batch_set_leader_epoch(bytes.data, 4);
		CU_ASSERT_EQUAL(log_append_as_follower(bench.log,
		    buffer_slice(&bytes), &appended),
		    at == TO ? ERR_NONE : ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT_EQUAL(log_end_offset(bench.log),
		    at == TO ? TO + 1 : TO);
	}
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	buffer_fini(&bytes);
	end_faulty(&bench);
}

/* Wherever a cut is refused: until it is through, what was unstable is. */
static void
test_unstable_while_cut(void)
{
	int refused = 0;

	for (int row = 0; row < 40; row++) {
		struct bench bench;
		enum error error;

		start_faulty(&bench, 3000);
		CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){
		    .value_size = 1000, .producer_id = 7,
		    .attributes = BATCH_ATTR_TRANSACTIONAL }, NULL), ERR_NONE);
		bench_fill(&bench, 8, 1000);
		CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
		CU_ASSERT_EQUAL(log_first_unstable(bench.log, 9), 0);
		files_faulty_set(bench.files, bench.path, FILE_CALL_ANY, row,
		    1, EMFILE);
		error = log_truncate_to(bench.log, TO);
		refused += error != ERR_NONE;
		CU_ASSERT_EQUAL(log_first_unstable(bench.log, TO), 0);
		files_faulty_clear(bench.files);
		CU_ASSERT_EQUAL(log_truncate_to(bench.log, TO), ERR_NONE);
		CU_ASSERT_EQUAL(log_first_unstable(bench.log, TO), 0);
		end_faulty(&bench);
	}
	CU_ASSERT(refused > 10);
}

/* --- appends that are refused --------------------------------------------- */

static enum error
follow_at(struct bench *bench, int64_t offset, int32_t epoch)
{
	struct buffer bytes = bench_make(
	    &(struct bench_batch){ .value_size = 1000 });
	struct log_appended appended;
	enum error error;

	batch_set_base_offset(bytes.data, offset);
	batch_set_leader_epoch(bytes.data, epoch);
	error = log_append_as_follower(bench->log, buffer_slice(&bytes),
	    &appended);
	buffer_fini(&bytes);
	return (error);
}

/* It leads in that epoch, though nothing was written in it. */
static void
test_leader_keeps_its_epoch(void)
{
	struct bench bench;

	start_faulty(&bench, 1 << 20);
	append_of_epoch(&bench, 4);
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 5, 1), ERR_NONE);
	files_faulty_set(bench.files, ".log", FILE_CALL_WRITE, 0, 1, ENOSPC);
	CU_ASSERT_EQUAL(bench_append(&bench,
	    &(struct bench_batch){ .leader_epoch = 5 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 5);
	CU_ASSERT_EQUAL(log_epoch_end(bench.log, 5).end_offset, 1);
	end_faulty(&bench);
}

/* What was fetched begins behind the end (the leader is compacted), and the
 * disk refuses it when its segment is there; then another leader has what lies
 * before it. */
static void
test_refused_behind_a_gap(void)
{
	struct bench bench;
	int64_t size;

	start_faulty(&bench, 3000);
	for (int64_t at = 0; at < 2; at++)
		CU_ASSERT_EQUAL(follow_at(&bench, at, 4), ERR_NONE);
	files_faulty_set(bench.files, ".log", FILE_CALL_WRITE, 0, 1, ENOSPC);
	CU_ASSERT_EQUAL(follow_at(&bench, 7, 4), ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	files_faulty_clear(bench.files);
	clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
	for (int64_t at = 2; at < 5; at++)
		CU_ASSERT_EQUAL(follow_at(&bench, at, 4), ERR_NONE);
	size = log_size_bytes(bench.log);
	files_faulty_kill(bench.files);
	restart(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 5);
	CU_ASSERT_EQUAL(log_size_bytes(bench.log), size);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 5);
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 3), ERR_NONE);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 3);
	end_faulty(&bench);
}

static const struct unit_test tests[] = {
	{ "readers beside", test_readers_beside },
	{ "refused anywhere", test_refused_anywhere },
	{ "a roll and a cut", test_roll_and_cut },
	{ "epochs go last", test_epochs_go_last },
	{ "below the start", test_start_goes_down },
	{ "one that waited, at an append", test_cut_at_append },
	{ "unstable while it is cut", test_unstable_while_cut },
	{ "refused: a leader's epoch", test_leader_keeps_its_epoch },
	{ "refused: behind a gap", test_refused_behind_a_gap },
};

int
main(void)
{
	return (unit_main("truncation", tests, nelems(tests)));
}
