/* SPDX-License-Identifier: Apache-2.0 */
/* What is found again when the process dies at any file call, when files are
 * damaged, and when room or descriptors are wanted. */
#include "storage_bench.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/loop.h"

#define LOG0 "t-0/00000000000000000000.log"
#define INDEX0 "t-0/00000000000000000000.index"
#define EPOCHS "t-0/leader-epoch-checkpoint"
#define RECOVERY_POINTS "recovery-point-offset-checkpoint"
#define MARK ".kafka_cleanshutdown"
#define OFFSETS_MAX 64

/* What the log must have: the timestamp of each record that was acknowledged;
 * all have one record a batch. */
struct expected {
	int64_t stamps[OFFSETS_MAX];
	int64_t end; /* acknowledged, and not truncated since */
	int64_t next_stamp;
	int32_t sequence;
};

static bool
append_one(struct bench *bench, struct expected *expected, int32_t epoch)
{
	struct log_appended appended;
	int64_t stamp = BENCH_NOW_MS + expected->next_stamp++;

	if (bench_append(bench,
		&(struct bench_batch){ .value_size = 1000,
		    .timestamp_ms = stamp,
		    .producer_id = 7,
		    .sequence = expected->sequence,
		    .leader_epoch = epoch },
		&appended) != ERR_NONE)
		return (false);
	expected->sequence++;
	CHECK(appended.last_offset < OFFSETS_MAX);
	expected->stamps[appended.last_offset] = stamp;
	expected->end = appended.last_offset + 1;
	return (true);
}

/* Every acknowledged record is at its offset, with its own contents. */
static void
check_expected(struct bench *bench, const struct expected *expected)
{
	CU_ASSERT(log_end_offset(bench->log) >= expected->end);
	CU_ASSERT_EQUAL(bench_count(bench, log_start_offset(bench->log)),
	    log_end_offset(bench->log) - log_start_offset(bench->log));
	for (int64_t at = 0; at < expected->end; at++) {
		struct log_read part;
		uint8_t head[BATCH_HEADER_SIZE];
		struct batch batch;

		CU_ASSERT_EQUAL_FATAL(log_read(bench->log, at, at + 1,
					  sizeof(head), true, &part),
		    ERR_NONE);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
		CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob,
				    head, sizeof(head), part.extent.position),
		    (ssize_t)sizeof(head));
		CU_ASSERT_EQUAL(batch_peek(slice_of(head, sizeof(head)),
				    &batch),
		    BATCH_OK);
		CU_ASSERT_EQUAL(batch.base_offset, at);
		CU_ASSERT_EQUAL(batch.max_timestamp_ms, expected->stamps[at]);
		blob_unref(part.extent.blob);
	}
}

/* Appends with rolls, a flush, a truncation into an older segment, appends of a
 * new epoch, a close. */
static void
busy_life(struct bench *bench, struct expected *expected)
{
	int64_t to;

	for (int i = 0; i < 7; i++)
		append_one(bench, expected, i / 4);
	if (log_flush(bench->log) != ERR_NONE)
		return;
	for (int i = 0; i < 3; i++)
		append_one(bench, expected, 2);
	to = expected->end - 4;
	if (to < 1)
		return;
	/* From now on these may be gone. */
	expected->end = to;
	expected->sequence -= 4;
	if (log_truncate_to(bench->log, to) != ERR_NONE)
		return;
	for (int i = 0; i < 4; i++)
		append_one(bench, expected, 3);
}

static void
bench_start_small(struct bench *bench)
{
	bench_init(bench);
	bench->settings.segment_bytes = 3000;
}

static void
test_killed_at_every_call(void)
{
	bool alive = false;
	int nth = 0;

	for (; !alive; nth++) {
		struct expected expected = { .end = 0 };
		struct bench bench;

		bench_start_small(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		files_faulty_kill_after(bench.files, nth);
		busy_life(&bench, &expected);
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		check_expected(&bench, &expected);
		if (alive)
			CU_ASSERT_EQUAL(log_end_offset(bench.log),
			    expected.end);
		/* It goes on, and the same again after a clean stop. */
		if (expected.end == log_end_offset(bench.log))
			CU_ASSERT(append_one(&bench, &expected, 4));
		bench_stop(&bench);
		bench_start(&bench);
		check_expected(&bench, &expected);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 100);
}

/* The death of one start must not cost the next one anything. */
static void
test_killed_in_recovery(void)
{
	bool alive = false;
	int nth = 0;

	for (; !alive; nth++) {
		struct expected expected = { .end = 0 };
		struct bench bench;

		bench_start_small(&bench);
		bench_start(&bench);
		busy_life(&bench, &expected);
		bench_crash(&bench);
		bench_write(&bench, "t-0/00000000000000000008.log", "torn", 4,
		    5000);
		bench.files = files_faulty_new(files_system());
		files_faulty_kill_after(bench.files, nth);
		if (bench_open(&bench))
			(void)storage_load(bench.storage, NULL, NULL);
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		check_expected(&bench, &expected);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 20);
}

/* Nor leave a hole where segments behind a damaged one go. */
static void
test_killed_while_dropping(void)
{
	bool alive = false;
	int nth = 0;

	for (; !alive; nth++) {
		struct expected expected = { .end = 0 };
		struct bench bench;

		bench_start_small(&bench);
		bench_start(&bench);
		for (int i = 0; i < 9; i++)
			append_one(&bench, &expected, 0);
		bench_crash(&bench);
		bench_write(&bench, "t-0/00000000000000000002.log", "!", 1,
		    1500);
		bench.files = files_faulty_new(files_system());
		files_faulty_kill_after(bench.files, nth);
		if (bench_open(&bench))
			(void)storage_load(bench.storage, NULL, NULL);
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		expected.end = 3;
		CU_ASSERT_EQUAL(log_end_offset(bench.log), 3);
		check_expected(&bench, &expected);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 20);
}

/* --- rolls that are pending ----------------------------------------------- */

static void
test_pending_rolls(void)
{
	for (int kind = 0; kind < 4; kind++) {
		struct expected expected = { .end = 0 };
		struct bench bench;
		struct log_found found;

		bench_start_small(&bench);
		bench.files = files_faulty_new(files_system());
		bench.scheduler = scheduler_new_replay(&bench.clock, 1);
		bench_start(&bench);
		/* No worker runs: what closes a segment stays to be done. */
		for (int i = 0; i < 9; i++)
			CU_ASSERT(append_one(&bench, &expected, 0));
		CU_ASSERT_EQUAL(log_segment_count(bench.log), 5);
		CU_ASSERT_EQUAL(
		    bench_size(&bench, "t-0/00000000000000000002.snapshot"),
		    -1);
		check_expected(&bench, &expected);
		CU_ASSERT_EQUAL(log_find_timestamp(bench.log,
				    expected.stamps[3], &found),
		    ERR_NONE);
		CU_ASSERT_EQUAL(found.offset, 3);
		if (kind == 1) {
			/* Into a segment that is pending. */
			CU_ASSERT_EQUAL(log_truncate_to(bench.log, 3),
			    ERR_NONE);
			expected.end = 3;
			expected.sequence = 3;
			CU_ASSERT(append_one(&bench, &expected, 1));
		}
		if (kind == 2) {
			scheduler_run_until(bench.scheduler,
			    clock_mono_ns(&bench.clock.clock));
			CU_ASSERT(bench_size(&bench,
				      "t-0/00000000000000000002.snapshot") >
			    0);
		}
		if (kind == 3)
			files_faulty_kill(bench.files);
		bench_stop(&bench);
		scheduler_free(bench.scheduler);
		bench.scheduler = NULL;
		CU_ASSERT_EQUAL(bench_size(&bench, MARK) > 0, kind != 3);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), expected.end);
		check_expected(&bench, &expected);
		CU_ASSERT(append_one(&bench, &expected, 2));
		bench_fini(&bench);
	}
}

/* One file is made by the append that rolls. */
static void
test_roll_makes_one_file(void)
{
	struct expected expected = { .end = 0 };
	struct bench bench;
	size_t opened;
	size_t synced;

	bench_start_small(&bench);
	bench.files = files_faulty_new(files_system());
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	bench_start(&bench);
	append_one(&bench, &expected, 0);
	append_one(&bench, &expected, 0);
	opened = files_faulty_calls(bench.files, FILE_CALL_OPEN);
	synced = files_faulty_calls(bench.files, FILE_CALL_SYNC);
	append_one(&bench, &expected, 0);
	CU_ASSERT_EQUAL(log_segment_count(bench.log), 2);
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_OPEN),
	    opened + 1);
	CU_ASSERT_EQUAL(files_faulty_calls(bench.files, FILE_CALL_SYNC),
	    synced);
	bench_stop(&bench);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* --- many logs ------------------------------------------------------------ */

struct progress {
	atomic_size_t calls;
	atomic_size_t done;
	atomic_size_t total;
};

static void
note_progress(void *arg, size_t done, size_t total)
{
	struct progress *progress = arg;

	atomic_fetch_add(&progress->calls, 1);
	atomic_store(&progress->done, done);
	atomic_store(&progress->total, total);
}

static bool
count_log(void *arg, struct log *log)
{
	(*(int *)arg)++;
	CU_ASSERT_EQUAL(log_end_offset(log), 1);
	return (true);
}

#define MANY 60

static void
make_many(struct bench *bench)
{
	CU_ASSERT_FATAL(bench_open(bench));
	CU_ASSERT_FATAL(storage_set_identity(bench->storage, 1, "cluster",
	    NULL, 0));
	CU_ASSERT_FATAL(storage_load(bench->storage, NULL, NULL));
	for (int i = 0; i < MANY; i++) {
		CU_ASSERT_EQUAL_FATAL(log_create(bench->storage, "m", i,
					  UUID_ZERO, &bench->log),
		    ERR_NONE);
		bench_fill(bench, 1, 100);
		log_unref(bench->log);
		bench->log = NULL;
	}
}

/* Two directories, loaded by threads: from clean, after a death, with one that
 * fails, on a pool of one worker. */
static void
test_load_in_parallel(void)
{
	for (int kind = 0; kind < 4; kind++) {
		struct progress progress = { 0 };
		struct bench other;
		struct bench bench;
		char path[PATH_MAX];
		int count = 0;

		bench_init(&bench);
		bench_init(&other);
		bench.paths[1] = other.path;
		bench.options.log_dir_list.count = 2;
		bench.options.recovery_threads_per_data_dir = 1;
		bench.cores = 8;
		make_many(&bench);
		bench_stop(&bench);
		if (kind == 1) {
			bench_file(&bench, MARK, path);
			unlink(path);
			bench_file(&other, MARK, path);
			unlink(path);
		}
		bench.files = files_faulty_new(files_system());
		if (kind == 2)
			files_faulty_set(bench.files, bench.path,
			    FILE_CALL_READ, 20, 1, EIO);
		bench.scheduler = scheduler_new_threads(clock_system(),
		    kind == 3 ? 1 : 4, NULL);
		CU_ASSERT_FATAL(bench_open(&bench));
		CU_ASSERT(storage_load(bench.storage, note_progress,
		    &progress));
		CU_ASSERT_EQUAL(storage_has_failed_dir(bench.storage),
		    kind == 2);
		CU_ASSERT(atomic_load(&progress.calls) >= 2);
		CU_ASSERT_EQUAL(atomic_load(&progress.done), MANY);
		CU_ASSERT_EQUAL(atomic_load(&progress.total), MANY);
		storage_each_log(bench.storage, count_log, &count);
		if (kind == 2)
			CU_ASSERT(count >= MANY / 2 && count < MANY);
		if (kind != 2)
			CU_ASSERT_EQUAL(count, MANY);
		bench_stop(&bench);
		scheduler_free(bench.scheduler);
		bench.scheduler = NULL;
		CU_ASSERT_EQUAL(bench_size(&bench, MARK) > 0, kind != 2);
		CU_ASSERT(bench_size(&other, MARK) > 0);
		/* Nothing usable is left: the start ends. */
		files_faulty_set(bench.files, "m-", FILE_CALL_OPEN, 0, -1,
		    EIO);
		CU_ASSERT_FATAL(bench_open(&bench));
		CU_ASSERT_EQUAL(storage_load(bench.storage, NULL, NULL), false);
		bench_fini(&bench);
		bench_fini(&other);
		files_faulty_free(bench.files);
	}
}

/* Files whose n-th read has the load abandoned; 0: none has. */
struct impatient {
	struct files files;
	struct files_ops ops;
	struct bench *bench;
	int reads;
	int patience;
	int signs; /* of life */
};

static ssize_t
impatient_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct impatient *i = container_of(files, struct impatient, files);

	if (++i->reads == i->patience)
		storage_load_abandon(i->bench->storage);
	clock_virtual_advance_to(&i->bench->clock,
	    i->bench->clock.now_ns + 100000000);
	return (files_system()->ops->pread(files_system(), descriptor, to,
	    size, position));
}

static void
impatient_progress(void *arg, size_t done, size_t total)
{
	struct impatient *i = arg;

	i->signs += done < total;
}

/* Loads, and says whether that came to its end. */
static bool
impatient_load(struct impatient *i, struct bench *bench, int patience)
{
	i->ops = *files_system()->ops;
	i->ops.pread = impatient_pread;
	i->files.ops = &i->ops;
	i->bench = bench;
	i->patience = 0;
	bench->files = &i->files;
	CU_ASSERT_FATAL(bench_open(bench));
	i->reads = i->signs = 0;
	i->patience = patience;
	return (storage_load(bench->storage, impatient_progress, i));
}

/* A stop in the middle of a recovery does not wait for its end, and takes
 * nothing: not a record, not a directory, not the mark of a clean stop. */
static void
test_load_abandoned(void)
{
	struct impatient i;
	struct bench bench;
	int reads;

	bench_init(&bench);
	bench_start(&bench);
	bench_fill(&bench, 300, 60000);
	bench_crash(&bench);
	CU_ASSERT(impatient_load(&i, &bench, 0));
	reads = i.reads;
	bench_crash(&bench);
	for (int patience = 1; patience < reads; patience += reads / 13) {
		CU_ASSERT_FALSE(impatient_load(&i, &bench, patience));
		CU_ASSERT(i.reads < patience + reads / 10);
		CU_ASSERT_FALSE(storage_has_failed_dir(bench.storage));
		bench_stop(&bench);
		CU_ASSERT_EQUAL(bench_size(&bench, MARK), -1);
	}
	CU_ASSERT(impatient_load(&i, &bench, 0));
	bench.log = storage_find(bench.storage, "t", 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bench.log);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 300);
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, MARK) > 0);
	CU_ASSERT_FALSE(impatient_load(&i, &bench, 1));
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, MARK) > 0);
	CU_ASSERT(impatient_load(&i, &bench, 0));
	bench_fini(&bench);
}

/* After a clean stop: all indexes of times are gone, or no snapshot of
 * producers is any good. */
static void
spoil(struct bench *bench, bool snapshots, int64_t end)
{
	for (int64_t at = 0; at <= end; at++) {
		char name[64];
		char path[PATH_MAX];

		snprintf(name, sizeof(name), "t-0/%020" PRId64 "%s", at,
		    snapshots ? ".snapshot" : ".timeindex");
		bench_file(bench, name, path);
		if (!snapshots)
			unlink(path);
		else if (bench_size(bench, name) > 0)
			bench_write(bench, name, "odd", 3, 2);
	}
}

/* Nor does it wait for what a load after a clean stop does with all segments,
 * which shows that it is alive, and forgets nothing. */
static void
test_long_load_abandoned(void)
{
	for (int snapshots = 0; snapshots < 2; snapshots++) {
		struct bench_batch batch = { .value_size = 60000,
			.producer_id = 7 };
		struct log_appended appended;
		struct impatient i;
		struct bench bench;
		int reads;

		bench_init(&bench);
		bench_start(&bench);
		for (; batch.sequence < 200; batch.sequence++)
			bench_append(&bench, &batch, NULL);
		bench_stop(&bench);
		spoil(&bench, snapshots, 200);
		CU_ASSERT(impatient_load(&i, &bench, 0));
		reads = i.reads;
		CU_ASSERT(reads > 200);
		CU_ASSERT(i.signs > 5);
		bench_stop(&bench);
		for (int patience = 5; patience < reads; patience += 31) {
			spoil(&bench, snapshots, 200);
			CU_ASSERT_FALSE(impatient_load(&i, &bench, patience));
			CU_ASSERT(i.reads < patience + 10);
			CU_ASSERT_FALSE(storage_has_failed_dir(bench.storage));
			bench_stop(&bench);
			CU_ASSERT(bench_size(&bench, MARK) > 0);
		}
		bench.files = files_system();
		bench_start(&bench);
		batch.sequence = 199;
		CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
		    ERR_NONE);
		CU_ASSERT(appended.duplicate);
		bench_fini(&bench);
	}
}

/* What a start asks of the disk for each empty log. */
static void
test_load_asks_little(void)
{
	for (int clean = 0; clean < 2; clean++) {
		struct bench bench;
		char path[PATH_MAX];
		size_t opened;
		size_t synced;
		size_t written;

		bench_init(&bench);
		bench_start(&bench);
		bench_stop(&bench);
		bench_write(&bench, EPOCHS, "0\n1\n5 0\n", 8, 0);
		bench_file(&bench, MARK, path);
		if (!clean)
			unlink(path);
		bench.files = files_faulty_new(files_system());
		CU_ASSERT_FATAL(bench_open(&bench));
		/* With the work of the directory itself. */
		opened = files_faulty_calls(bench.files, FILE_CALL_OPEN);
		synced = files_faulty_calls(bench.files, FILE_CALL_SYNC);
		written = files_faulty_calls(bench.files, FILE_CALL_WRITE);
		CU_ASSERT(storage_load(bench.storage, NULL, NULL));
		/* Four checkpoints, the directory's sync and list; then the
		 * log's list, metadata and epochs. */
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
				    FILE_CALL_OPEN) - opened,
		    (size_t)(clean ? 9 : 8));
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
				    FILE_CALL_SYNC) - synced,
		    (size_t)clean);
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
				    FILE_CALL_WRITE) - written,
		    0);
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
}

/* --- descriptors ---------------------------------------------------------- */

static void
few_fill(struct bench *bench, struct log *log, int count)
{
	struct log *own = bench->log;

	bench->log = log;
	bench_fill(bench, 1, 100);
	CU_ASSERT_EQUAL(bench_count(bench, 0), count);
	bench->log = own;
}

static void
test_few_descriptors(void)
{
	struct log *logs[20];
	struct storage_files files;
	struct log_read part;
	struct bench bench;
	uint8_t byte;

	bench_init(&bench);
	bench.descriptors = 4;
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "t", i,
					  UUID_ZERO, &logs[i]),
		    ERR_NONE);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20; i++) {
			few_fill(&bench, logs[i], round + 1);
		}
		files = storage_files(bench.storage);
		CU_ASSERT_EQUAL(files.bound, 4);
		CU_ASSERT(files.open <= 4);
		CU_ASSERT(files.closed >= (uint64_t)(round + 1) * 16 - 4);
	}
	/* The kernel has none left for a moment: others are closed. */
	files_faulty_set(bench.files, ".log", FILE_CALL_OPEN, 0, 2, EMFILE);
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(log_flush(logs[i]), ERR_NONE);
	files_faulty_clear(bench.files);
	/* For long: it refuses, and no directory goes offline. */
	CU_ASSERT_EQUAL(log_read(logs[3], 1, 3, 100, true, &part), ERR_NONE);
	files_faulty_set(bench.files, bench.path, FILE_CALL_OPEN, 0, -1,
	    ENFILE);
	for (int i = 4; i < 20; i++) {
		struct log *own = bench.log;

		bench.log = logs[i];
		CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){ 0 },
				    NULL),
		    ERR_KAFKA_STORAGE_ERROR);
		bench.log = own;
		(void)log_flush(logs[i]);
		CU_ASSERT_EQUAL(log_assign_epoch_later(logs[i], 9, 3),
		    ERR_NONE);
	}
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, &byte,
			    1, part.extent.position),
	    -1);
	CU_ASSERT_FALSE(log_failed(bench.log));
	files_faulty_clear(bench.files);
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, &byte,
			    1, part.extent.position),
	    1);
	blob_unref(part.extent.blob);
	for (int i = 0; i < 20; i++) {
		struct log *own = bench.log;

		bench.log = logs[i];
		CU_ASSERT_EQUAL(bench_append(&bench,
				    &(struct bench_batch){ .leader_epoch = 9 },
				    NULL),
		    ERR_NONE);
		CU_ASSERT_EQUAL(bench_count(&bench, 0), 4);
		bench.log = own;
		log_unref(logs[i]);
	}
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* --- damage --------------------------------------------------------------- */

static void
test_snapshots_after_recovery(void)
{
	struct expected expected = { .end = 0 };
	struct bench bench;
	char path[PATH_MAX];

	bench_start_small(&bench);
	bench_start(&bench);
	for (int i = 0; i < 9; i++)
		append_one(&bench, &expected, 0);
	bench_crash(&bench);
	for (int i = 2; i <= 9; i++) {
		char name[64];

		snprintf(name, sizeof(name), "t-0/%020d.snapshot", i);
		bench_file(&bench, name, path);
		unlink(path);
	}
	/* A stray that no segment begins at. */
	bench_write(&bench, "t-0/00000000000000000005.snapshot", "stray", 5,
	    0);
	bench_start(&bench);
	/* Segments begin at 0, 2, 4, 6, 8. */
	CU_ASSERT_EQUAL(
	    bench_size(&bench, "t-0/00000000000000000004.snapshot"), -1);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000005.snapshot"),
	    -1);
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000006.snapshot") > 0);
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000008.snapshot") > 0);
	CU_ASSERT(bench_size(&bench, "t-0/00000000000000000009.snapshot") > 0);
	bench_stop(&bench);
	/* The newest is damaged: the next older one, and the rest replayed. */
	bench_write(&bench, "t-0/00000000000000000009.snapshot", "!", 1, 20);
	bench_start(&bench);
	CU_ASSERT(append_one(&bench, &expected, 0));
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 10);
	bench_stop(&bench);
	/* None at all after a clean stop: nobody is known; that is noted. */
	for (int i = 2; i <= 10; i++) {
		char name[64];

		snprintf(name, sizeof(name), "t-0/%020d.snapshot", i);
		bench_file(&bench, name, path);
		unlink(path);
	}
	bench_start(&bench);
	expected.sequence = 1000;
	CU_ASSERT(append_one(&bench, &expected, 0));
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000006.snapshot"),
	    10);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000008.snapshot"),
	    10);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0/00000000000000000010.snapshot"),
	    10);
	bench_fini(&bench);
}

/* Small files that are nonsense count as absent. */
static void
test_damaged_checkpoints(void)
{
	struct expected expected = { .end = 0 };
	struct bench bench;

	bench_start_small(&bench);
	bench_start(&bench);
	for (int i = 0; i < 9; i++)
		append_one(&bench, &expected, i / 3);
	bench_stop(&bench);
	bench_write(&bench, RECOVERY_POINTS, "7\nx\n", 4, 0);
	bench_write(&bench, "replication-offset-checkpoint", "0\n9\n", 4, 0);
	bench_write(&bench, EPOCHS, "0\n1\n??", 6, 0);
	bench_start(&bench);
	check_expected(&bench, &expected);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), -1);
	bench_crash(&bench);
	/* A recovery finds the epochs in the batches. */
	bench_start(&bench);
	check_expected(&bench, &expected);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 2);
	CU_ASSERT_EQUAL(log_epoch_of(bench.log, 4), 1);
	bench_fini(&bench);
}

/* Indexes of a clean directory: odd size, no order, and nonsense in a closed
 * segment, which only a reader meets. */
static void
test_damaged_indexes(void)
{
	static const uint8_t nonsense[8] = { 0, 0, 0, 1, 0x7f, 0, 0, 0 };
	struct expected expected = { .end = 0 };
	struct bench bench;
	uint8_t *right;
	uint8_t *now;
	size_t size;
	size_t now_size;

	bench_init(&bench);
	bench.settings.segment_bytes = 12000;
	bench.settings.index_interval_bytes = 1000;
	bench_start(&bench);
	for (int i = 0; i < 30; i++)
		append_one(&bench, &expected, 0);
	bench_stop(&bench);
	right = bench_read(&bench, INDEX0, &size);
	CU_ASSERT(size >= 40);
	bench_write(&bench, INDEX0, "odd", 3, (int64_t)size);
	bench_write(&bench, "t-0/00000000000000000022.index", nonsense, 8, 0);
	bench_start(&bench);
	now = bench_read(&bench, INDEX0, &now_size);
	CU_ASSERT_EQUAL(now_size, size);
	CU_ASSERT_EQUAL(memcmp(now, right, size), 0);
	mem_free(now);
	check_expected(&bench, &expected);
	bench_stop(&bench);
	/* All entries lead beyond the end. */
	for (size_t at = 0; at < size; at += 8)
		bench_write(&bench, INDEX0, nonsense + 4, 4, (int64_t)at + 4);
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	bench_start(&bench);
	check_expected(&bench, &expected);
	scheduler_run_until(bench.scheduler, clock_mono_ns(&bench.clock.clock));
	now = bench_read(&bench, INDEX0, &now_size);
	CU_ASSERT_EQUAL_FATAL(now_size, size);
	CU_ASSERT_EQUAL(memcmp(now, right, size), 0);
	mem_free(now);
	check_expected(&bench, &expected);
	bench_stop(&bench);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	mem_free(right);
	bench_fini(&bench);
}

/* In the middle, below the recovery point: met by who reads there. */
static void
test_damaged_middle(void)
{
	struct expected expected = { .end = 0 };
	struct bench bench;
	struct log_read part;
	int64_t one;

	bench_init(&bench);
	bench.settings.segment_bytes = 12000;
	bench.settings.index_interval_bytes = 1000;
	bench_start(&bench);
	append_one(&bench, &expected, 0);
	one = log_size_bytes(bench.log);
	for (int i = 1; i < 30; i++)
		append_one(&bench, &expected, 0);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	bench_stop(&bench);
	/* The size and the magic of the batch at offset 4. */
	bench_write(&bench, LOG0, "\x01\x01\x01\x01", 4, one * 4 + 8);
	bench_write(&bench, LOG0, "\x09", 1, one * 4 + 16);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 30);
	for (int64_t at = 0; at < 30; at++) {
		enum error error = log_read(bench.log, at, 30, 100, true,
		    &part);

		if (at == 4) {
			CU_ASSERT_EQUAL(error, ERR_CORRUPT_MESSAGE);
			continue;
		}
		if (error == ERR_CORRUPT_MESSAGE && at > 4 && at < 7)
			continue; /* no index entry leads behind it */
		CU_ASSERT_EQUAL(error, ERR_NONE);
		CU_ASSERT_EQUAL(part.first_offset, at);
		if (part.extent.blob != NULL)
			blob_unref(part.extent.blob);
	}
	CU_ASSERT_FALSE(log_failed(bench.log));
	bench_fini(&bench);
}

/* --- offsets beyond 32 bits ----------------------------------------------- */

#define FAR INT64_C(3000000000)

/* Two segments in one file, as an old compaction could leave them; or of the
 * first one nothing but its name. */
static void
make_overflow(struct bench *bench, bool near)
{
	struct log_appended appended;
	struct buffer bytes;
	uint8_t *far;
	size_t size;
	char path[PATH_MAX];

	bench_start(bench);
	bench_fill(bench, 2, 100);
	bytes = bench_make(&(struct bench_batch){ .value_size = 100,
	    .timestamp_ms = BENCH_NOW_MS + 2 });
	bytes_put_i64(bytes.data, FAR);
	CU_ASSERT_EQUAL(log_append_as_follower(bench->log,
			    buffer_slice(&bytes), &appended),
	    ERR_NONE);
	bytes_put_i64(bytes.data, FAR + 1);
	CU_ASSERT_EQUAL(log_append_as_follower(bench->log,
			    buffer_slice(&bytes), &appended),
	    ERR_NONE);
	buffer_fini(&bytes);
	CU_ASSERT_EQUAL(log_segment_count(bench->log), 2);
	bench_crash(bench);
	far = bench_read(bench, "t-0/00000000003000000000.log", &size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(far);
	if (!near) {
		bench_file(bench, LOG0, path);
		CU_ASSERT_EQUAL(truncate(path, 0), 0);
	}
	bench_write(bench, LOG0, far, size, bench_size(bench, LOG0));
	mem_free(far);
	bench_file(bench, "t-0/00000000003000000000.log", path);
	unlink(path);
}

static int64_t
count_far(struct bench *bench)
{
	int64_t count = 0;

	for (int64_t at = log_start_offset(bench->log);
	     at < log_end_offset(bench->log); count++) {
		struct log_read part;
		uint8_t head[BATCH_HEADER_SIZE];
		struct batch batch;

		if (log_read(bench->log, at, log_end_offset(bench->log), 100,
			true, &part) != ERR_NONE || part.extent.blob == NULL)
			return (-1);
		part.extent.blob->ops->read_at(part.extent.blob, head,
		    sizeof(head), part.extent.position);
		blob_unref(part.extent.blob);
		if (batch_peek(slice_of(head, sizeof(head)), &batch) !=
		    BATCH_OK)
			return (-1);
		at = batch.last_offset + 1;
	}
	return (count);
}

static void
overflow(bool near)
{
	bool alive = false;
	int nth = -1;

	/* First undisturbed, then dying at every call. */
	for (; !alive || nth == 0; nth++) {
		struct bench bench;

		bench_init(&bench);
		make_overflow(&bench, near);
		bench.files = files_faulty_new(files_system());
		files_faulty_kill_after(bench.files, nth);
		if (bench_open(&bench))
			(void)storage_load(bench.storage, NULL, NULL);
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_segment_count(bench.log), near ? 2 : 1);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), FAR + 2);
		CU_ASSERT_EQUAL(count_far(&bench), near ? 4 : 2);
		CU_ASSERT(
		    bench_size(&bench, "t-0/00000000003000000000.index") >= 0);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 10);
}

static void
test_overflow(void)
{
	overflow(true);
	overflow(false);
}

/* --- a full disk ---------------------------------------------------------- */

static void
test_full_disk_refuses(void)
{
	struct expected expected = { .end = 0 };
	struct bench bench;
	uint8_t *text;
	size_t size;

	bench_start_small(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	for (int i = 0; i < 5; i++)
		append_one(&bench, &expected, 0);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	files_faulty_set(bench.files, bench.path, FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	/* To lead and to cut need no room, to append does. */
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 3, 5), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 3);
	CU_ASSERT_FALSE(append_one(&bench, &expected, 3));
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 3), ERR_NONE);
	expected.end = 3;
	expected.sequence = 3;
	CU_ASSERT_FALSE(log_failed(bench.log));
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 3);
	/* The recovery point of 5 would be wrong. */
	CU_ASSERT_EQUAL(bench_size(&bench, RECOVERY_POINTS), -1);
	CU_ASSERT_EQUAL(log_truncate_fully(bench.log, 2), ERR_NONE);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 2);
	CU_ASSERT_FALSE(log_failed(bench.log));
	files_faulty_clear(bench.files);
	clock_virtual_advance_to(&bench.clock, INT64_C(2000000000));
	expected.end = 0;
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 4, 2), ERR_NONE);
	CU_ASSERT_EQUAL(bench_append(&bench,
			    &(struct bench_batch){ .leader_epoch = 4 }, NULL),
	    ERR_NONE);
	text = bench_read(&bench, EPOCHS, &size);
	CU_ASSERT(slice_equal_text(slice_of(text, size), "0\n1\n4 2\n"));
	mem_free(text);
	bench_stop(&bench);
	CU_ASSERT(bench_size(&bench, MARK) > 0);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* What is a retry of the last five of producer 7, whose batches have one
 * record and lie behind others; none is behind five. */
static void
check_retries(struct bench *bench, int32_t next_sequence)
{
	struct log_appended appended;
	struct bench_batch batch = { .value_size = 1000, .producer_id = 7 };
	int64_t end = log_end_offset(bench->log);

	for (int back = 1; back <= 5; back++) {
		batch.sequence = next_sequence - back;
		CU_ASSERT_EQUAL(bench_append(bench, &batch, &appended),
		    ERR_NONE);
		CU_ASSERT(appended.duplicate);
		CU_ASSERT_EQUAL(appended.base_offset,
		    3 * (int64_t)batch.sequence);
	}
	batch.sequence = next_sequence - 6;
	CU_ASSERT_EQUAL(bench_append(bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	CU_ASSERT_EQUAL(log_end_offset(bench->log), end);
}

/* Of producer 7 one batch, of another one, of nobody one; 3,000 bytes make a
 * segment. */
static void
append_threes(struct bench *bench, int32_t *sequence, int count)
{
	struct bench_batch batch = { .value_size = 1000 };

	for (; count > 0; count--, (*sequence)++) {
		batch.sequence = *sequence;
		for (int i = 0; i < 3; i++) {
			batch.producer_id = i == 2 ? 0 : 7 + i;
			CU_ASSERT_EQUAL(bench_append(bench, &batch, NULL),
			    ERR_NONE);
		}
	}
}

static void
test_retries_after_stops(void)
{
	struct bench bench;
	char mark[PATH_MAX];
	int32_t next = 0;

	bench_start_small(&bench);
	bench_start(&bench);
	append_threes(&bench, &next, 8);
	check_retries(&bench, next);
	/* A clean stop: the snapshot at the end has the last ones only. */
	bench_stop(&bench);
	bench_start(&bench);
	check_retries(&bench, next);
	/* A crash right behind a roll, all before it being on the disk. */
	append_threes(&bench, &next, 3);
	CU_ASSERT_EQUAL(log_flush(bench.log), ERR_NONE);
	bench_stop(&bench);
	bench_file(&bench, MARK, mark);
	unlink(mark);
	bench_start(&bench);
	check_retries(&bench, next);
	/* Five that are on both sides of where the recovery begins. */
	append_threes(&bench, &next, 2);
	bench_stop(&bench);
	unlink(mark);
	bench_start(&bench);
	check_retries(&bench, next);
	/* A truncation goes back to an older snapshot. */
	CU_ASSERT_EQUAL(log_truncate_to(bench.log, 3 * (next - 1) - 1),
	    ERR_NONE);
	check_retries(&bench, next - 1);
	bench_fini(&bench);
}

/* As far back as 4 MiB: what lies further is not read for it. */
static void
test_retries_far_back(void)
{
	struct bench bench;
	struct log_appended appended;
	struct bench_batch batch = { .value_size = 30000, .producer_id = 7 };

	bench_init(&bench);
	bench_start(&bench);
	bench_append(&bench, &batch, NULL);
	bench_fill(&bench, 100, 50000);
	batch.sequence = 1;
	bench_append(&bench, &batch, NULL);
	bench_fill(&bench, 60, 50000);
	batch.sequence = 2;
	bench_append(&bench, &batch, NULL);
	bench_stop(&bench);
	bench_start(&bench);
	batch.sequence = 1;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended), ERR_NONE);
	CU_ASSERT(appended.duplicate);
	CU_ASSERT_EQUAL(appended.base_offset, 101);
	batch.sequence = 0;
	CU_ASSERT_EQUAL(bench_append(&bench, &batch, &appended),
	    ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	bench_fini(&bench);
}

/* A closed segment's index leads out of the file where the last batches of a
 * producer are looked for, or the file cannot be read there: a start is not
 * refused for it. */
static void
test_retries_behind_bad_index(void)
{
	for (int fault = 0; fault < 2; fault++) {
		struct bench bench;
		struct bench_batch batch = { .value_size = 1000,
			.producer_id = 7 };
		int64_t entries;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench.settings.segment_bytes = 5 << 20;
		bench_start(&bench);
		bench_fill(&bench, 100, 50000);
		for (; batch.sequence < 3; batch.sequence++)
			bench_append(&bench, &batch, NULL);
		bench_fill(&bench, 20, 50000);
		bench_stop(&bench);
		entries = bench_size(&bench, INDEX0) / 8;
		CU_ASSERT_FATAL(entries > 50);
		for (int64_t i = 0; fault == 0 && i < entries; i++)
			bench_write(&bench, INDEX0, "\x80", 1, i * 8 + 4);
		if (fault == 1)
			files_faulty_set(bench.files, LOG0, FILE_CALL_READ, 0,
			    -1, EIO);
		bench_start(&bench);
		CU_ASSERT_EQUAL(bench.failed_dirs, 0);
		CU_ASSERT_EQUAL(log_end_offset(bench.log), 123);
		files_faulty_clear(bench.files);
		CU_ASSERT_EQUAL(bench_append(&bench, &batch, NULL), ERR_NONE);
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
}

static const struct unit_test tests[] = {
	{ "killed at every file call", test_killed_at_every_call },
	{ "killed in recovery", test_killed_in_recovery },
	{ "killed while segments are dropped", test_killed_while_dropping },
	{ "rolls that are pending", test_pending_rolls },
	{ "a roll makes one file", test_roll_makes_one_file },
	{ "loading in parallel", test_load_in_parallel },
	{ "loading is abandoned", test_load_abandoned },
	{ "a long load is abandoned", test_long_load_abandoned },
	{ "loading asks little of the disk", test_load_asks_little },
	{ "few descriptors", test_few_descriptors },
	{ "snapshots after a recovery", test_snapshots_after_recovery },
	{ "retries after stops", test_retries_after_stops },
	{ "retries of what lies far back", test_retries_far_back },
	{ "retries behind a bad index", test_retries_behind_bad_index },
	{ "damaged checkpoints", test_damaged_checkpoints },
	{ "damaged indexes", test_damaged_indexes },
	{ "a damaged middle", test_damaged_middle },
	{ "offsets beyond 32 bits", test_overflow },
	{ "a full disk refuses", test_full_disk_refuses },
};

int
main(void)
{
	return (unit_main("recovery", tests, nelems(tests)));
}
