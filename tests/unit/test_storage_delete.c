/* SPDX-License-Identifier: Apache-2.0 */
/* Logs that are deleted: what is left on the disk, what may be made again, and
 * what a start finds when the process died meanwhile. */
#include <dirent.h>
#include <errno.h>

#include "storage/storage_int.h"
#include "storage_bench.h"

#define OLD_RECORDS 40
#define OLD_START 25

/* Directories whose name begins and ends so; the last one's name. */
static int
dirs_like(struct bench *bench, const char *head, const char *tail,
    char name[PATH_MAX])
{
	DIR *directory = opendir(bench->path);
	const struct dirent *entry;
	int count = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(directory);
	while ((entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name);

		if (strncmp(entry->d_name, head, strlen(head)) != 0 ||
		    length < strlen(tail) ||
		    strcmp(entry->d_name + length - strlen(tail), tail) != 0)
			continue;
		count++;
		if (name != NULL)
			snprintf(name, PATH_MAX, "%s", entry->d_name);
	}
	closedir(directory);
	return (count);
}

/* t-0 with records up to OLD_RECORDS from OLD_START on, all of it in the
 * checkpoints; found by a start. */
static void
bench_with_old(struct bench *bench)
{
	bench_init(bench);
	bench->descriptors = 1; /* whoever reads opens files again */
	bench->settings.segment_bytes = 4000;
	bench->settings.file_delete_delay_ms = 60000;
	bench_start(bench);
	bench_fill(bench, OLD_RECORDS, 500);
	log_set_high_watermark(bench->log, OLD_RECORDS);
	CU_ASSERT_EQUAL(log_advance_start(bench->log, OLD_START), ERR_NONE);
	bench_stop(bench);
	bench_start(bench);
	CU_ASSERT_EQUAL(log_start_offset(bench->log), OLD_START);
	CU_ASSERT_EQUAL(bench_count(bench, OLD_START),
	    OLD_RECORDS - OLD_START);
}

static void
test_delete(void)
{
	struct bench bench;
	char name[PATH_MAX];
	struct log_read part;
	struct log *old;

	bench_with_old(&bench);
	old = bench.log;
	CU_ASSERT_FALSE(storage_never_had(bench.storage, "t", 0));
	CU_ASSERT_EQUAL(log_read(old, OLD_START, OLD_RECORDS, 1 << 20, true,
			    &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_PTR_NULL(storage_find(bench.storage, "t", 0));
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0"), -1);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", name), 1);
	CU_ASSERT_EQUAL(strlen(name), strlen("t-0.") + 32 + strlen("-delete"));
	CU_ASSERT(storage_never_had(bench.storage, "t", 0));
	/* Again, and one that never was. */
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 7), ERR_NONE);
	CU_ASSERT_EQUAL(storage_forget_deleted(bench.storage), ERR_NONE);
	CU_ASSERT(bench_says(&bench, "recovery-point-offset-checkpoint",
	    "0\n0\n"));
	CU_ASSERT(bench_says(&bench, "log-start-offset-checkpoint", "0\n0\n"));
	CU_ASSERT(bench_says(&bench, "replication-offset-checkpoint",
	    "0\n0\n"));
	/* Who holds it reads on; who writes is refused. */
	CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, name,
			    100, part.extent.position),
	    100);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(bench_count(&bench, OLD_START),
	    OLD_RECORDS - OLD_START);
	CU_ASSERT_EQUAL(bench_append(&bench, &(struct bench_batch){ 0 }, NULL),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_truncate_to(old, 30), ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_truncate_fully(old, 30), ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(log_assign_epoch_later(old, 9, 40),
	    ERR_KAFKA_STORAGE_ERROR);
	log_retain(old);
	CU_ASSERT_EQUAL(bench_size(&bench, "t-0"), -1);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	bench_fini(&bench);
}

/* The new one has nothing of the old one, now and after a kill. */
static void
test_delete_and_make_again(void)
{
	const struct uuid id = { { 9, 9, 9 } };
	struct bench bench;
	struct log *old;

	bench_with_old(&bench);
	old = bench.log;
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	/* The checkpoints are put right before it. */
	CU_ASSERT_EQUAL_FATAL(
	    log_create(bench.storage, "t", 0, id, &bench.log), ERR_NONE);
	CU_ASSERT_PTR_NOT_EQUAL(bench.log, old);
	CU_ASSERT(bench_says(&bench, "log-start-offset-checkpoint", "0\n0\n"));
	CU_ASSERT_EQUAL(storage_checkpointed_high_watermark(bench.storage, "t",
			    0),
	    0);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 0);
	CU_ASSERT(uuid_equal(log_topic_id(bench.log), id));
	bench_fill(&bench, 10, 700);
	/* The old one is flushed and expired beside it, and does no harm. */
	log_flush(old);
	log_retain(old);
	log_unref(old);
	bench_crash(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 0);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 10);
	CU_ASSERT(uuid_equal(log_topic_id(bench.log), id));
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	bench_fini(&bench);
}

/* What a stop leaves over: each .log has its indexes, or the real Kafka would
 * speak of damage. */
static void
test_left_whole(void)
{
	static const char *const suffixes[] = { "index", "timeindex" };
	struct bench bench;
	char name[PATH_MAX];
	char file[200];
	int64_t last;

	bench_with_old(&bench);
	bench_fill(&bench, 40, 500); /* rolls: a young one is the last */
	last = segment_list_last(bench.log->segments)->base_offset;
	CU_ASSERT(last > OLD_RECORDS);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	bench_stop(&bench);
	CU_ASSERT_EQUAL_FATAL(dirs_like(&bench, "t-0.", "-delete", name), 1);
	for (size_t i = 0; i < nelems(suffixes); i++) {
		snprintf(file, sizeof(file), "%.99s/%020d.%s", name, (int)last,
		    suffixes[i]);
		CU_ASSERT(bench_size(&bench, file) >= 0);
	}
	bench_fini(&bench);
}

/* The files go after the delay; what a stop left over goes likewise. */
static void
test_delay(void)
{
	struct random random;
	struct log_read part;
	struct bench bench;
	struct loop *loop;

	random_seed(&random, 42);
	bench_with_old(&bench);
	bench.random = &random; /* or both starts draw the same name */
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	bench_stop(&bench);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	bench.options.initial_task_delay_ms = 3600000;
	bench.options.flush_offset_checkpoint_interval_ms = 60000;
	bench.options.flush_start_offset_checkpoint_interval_ms = 60000;
	bench.options.retention_check_interval_ms = INT64_MAX;
	bench.options.producer_id_expiration_check_interval_ms = 600000;
	bench.options.flush_scheduler_interval_ms = INT64_MAX;
	bench.scheduler = scheduler_new_replay(&bench.clock, 1);
	loop = loop_new(bench.scheduler, "upkeep");
	loop_start(loop);
	bench_start(&bench);
	storage_start_upkeep(bench.storage, loop);
	bench_fill(&bench, 3, 10);
	scheduler_run_until(bench.scheduler, INT64_C(55000) * 1000000);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 2);
	scheduler_run_until(bench.scheduler, INT64_C(65000) * 1000000);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	/* The other one stays as long as somebody reads it. */
	scheduler_run_until(bench.scheduler, INT64_C(120000) * 1000000);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 3);
	CU_ASSERT_EQUAL(log_read(bench.log, 0, 3, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
	log_unref(bench.log);
	bench.log = NULL;
	scheduler_run_until(bench.scheduler, INT64_C(130000) * 1000000);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 1);
	blob_unref(part.extent.blob);
	scheduler_run_until(bench.scheduler, INT64_C(140000) * 1000000);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0", "", NULL), 0);
	storage_stop_upkeep(bench.storage);
	bench_stop(&bench);
	loop_stop(loop);
	loop_free(loop);
	scheduler_free(bench.scheduler);
	bench.scheduler = NULL;
	bench_fini(&bench);
}

/* Segments that retention took before: who sends from one goes on. */
static void
test_retained_before(void)
{
	struct log_read part;
	struct bench bench;
	uint8_t byte;

	bench_with_old(&bench);
	bench_fill(&bench, 1, 500);
	CU_ASSERT_EQUAL(log_read(bench.log, OLD_START, OLD_RECORDS, 100, true,
			    &part),
	    ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
	log_set_high_watermark(bench.log, OLD_RECORDS + 1);
	CU_ASSERT_EQUAL(log_advance_start(bench.log, OLD_RECORDS), ERR_NONE);
	log_retain(bench.log);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_EQUAL(bench_count(&bench, OLD_RECORDS), 1);
	CU_ASSERT_EQUAL(part.extent.blob->ops->read_at(part.extent.blob, &byte,
			    1, part.extent.position),
	    1);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	bench_fini(&bench);
}

/* A move between directories that Kafka had begun: it stays, unless its
 * partition is deleted; two of them are one too many. */
static void
test_futures(void)
{
	static const char *const names[] = {
		"t-0.0123456789abcdef0123456789abcdef-future",
		"t-01.0123456789abcdef0123456789abcdef-future",
		"t-0.1123456789abcdef0123456789abcdef-future",
	};
	struct bench bench;
	char path[PATH_MAX];

	bench_with_old(&bench);
	bench_stop(&bench);
	for (int i = 0; i < 2; i++) {
		bench_file(&bench, names[i], path);
		CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
	}
	bench_start(&bench);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0", "-future", NULL), 2);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-future", NULL), 0);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-0.", "-delete", NULL), 2);
	CU_ASSERT_EQUAL(dirs_like(&bench, "t-01.", "-future", NULL), 1);
	bench_stop(&bench);
	for (int i = 0; i < 3; i += 2) {
		bench_file(&bench, names[i], path);
		CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
	}
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT_FALSE(storage_load(bench.storage, NULL, NULL));
	bench_fini(&bench);
}

static void
test_long_name(void)
{
	struct bench bench;
	char topic[TOPIC_NAME_MAX + 1];
	char name[PATH_MAX];
	struct log *log;

	memset(topic, 'x', TOPIC_NAME_MAX);
	topic[TOPIC_NAME_MAX] = '\0';
	bench_init(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, topic, 123, UUID_ZERO,
				  &log),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_delete(bench.storage, topic, 123), ERR_NONE);
	log_unref(log);
	CU_ASSERT_EQUAL(dirs_like(&bench, "xxx", "-delete", name), 1);
	CU_ASSERT_EQUAL(strlen(name), 255);
	CU_ASSERT_PTR_NOT_NULL(strstr(name, "x-123."));
	/* With 256 characters it is no file name: that is the wish's fault. */
	CU_ASSERT_EQUAL(log_create(bench.storage, topic, 100000, UUID_ZERO,
			    &log),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	/* The next start knows it for what it is. */
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	bench_fini(&bench);
}

static bool
write_checkpoints(struct bench *bench)
{
	struct log_dir *dir = bench->storage->dirs[0];

	return (log_dir_write_checkpoint(dir, CHECKPOINT_RECOVERY_POINT) &&
	    log_dir_write_checkpoint(dir, CHECKPOINT_START_OFFSET) &&
	    log_dir_write_checkpoint(dir, CHECKPOINT_HIGH_WATERMARK));
}

static void
bench_kill(struct bench *bench)
{
	files_faulty_kill(bench->files);
	bench_stop(bench);
	files_faulty_free(bench->files);
	bench->files = files_system();
}

/* A topic deleted while no checkpoint can be written takes nothing from the
 * others: what was deleted of them does not come back. */
static void
test_others_keep_their_start(void)
{
	static const int errors[] = { ENOSPC, EMFILE };

	for (size_t i = 0; i < nelems(errors); i++) {
		struct bench bench;
		struct log *log;

		bench_with_old(&bench);
		CU_ASSERT_EQUAL(log_create(bench.storage, "x", 0, UUID_ZERO,
				    &log),
		    ERR_NONE);
		log_unref(log);
		bench_stop(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_delete(bench.storage, "x", 0), ERR_NONE);
		files_faulty_set(bench.files, "-checkpoint.tmp",
		    errors[i] == EMFILE ? FILE_CALL_OPEN : FILE_CALL_WRITE, 0,
		    -1, errors[i]);
		CU_ASSERT_EQUAL(storage_forget_deleted(bench.storage),
		    ERR_NONE);
		files_faulty_clear(bench.files);
		bench_kill(&bench);
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_start_offset(bench.log), OLD_START);
		CU_ASSERT_EQUAL(storage_checkpointed_high_watermark(
				    bench.storage, "t", 0),
		    OLD_RECORDS);
		bench_fini(&bench);
	}
}

static void
test_refusals(void)
{
	struct bench bench;
	struct log *log;

	bench_init(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start(&bench);
	bench_fill(&bench, 3, 10);
	/* A full disk cannot take the longer name. */
	files_faulty_set(bench.files, "-delete", FILE_CALL_RENAME, 0, 1,
	    ENOSPC);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	bench_fill(&bench, 2, 10);
	/* Nor the checkpoints: they stay, and what they speak of is not made
	 * again before they can be written. */
	CU_ASSERT_EQUAL(log_create(bench.storage, "x", 0, UUID_ZERO, &log),
	    ERR_NONE);
	log_unref(log);
	log_set_high_watermark(bench.log, 5);
	CU_ASSERT(write_checkpoints(&bench));
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	files_faulty_set(bench.files, "-checkpoint", FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(storage_forget_deleted(bench.storage), ERR_NONE);
	CU_ASSERT(bench_size(&bench, "replication-offset-checkpoint") > 4);
	CU_ASSERT_EQUAL(log_create(bench.storage, "t", 0, UUID_ZERO, &log),
	    ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(log_create(bench.storage, "y", 0, UUID_ZERO, &log),
	    ERR_NONE);
	log_unref(log);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	files_faulty_clear(bench.files);
	CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "t", 0, UUID_ZERO,
				  &log),
	    ERR_NONE);
	log_unref(bench.log);
	bench.log = log;
	/* A disk that fails takes its directory with it. */
	files_faulty_set(bench.files, "-delete", FILE_CALL_RENAME, 0, 1, EIO);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(bench.failed_dirs, 1);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0),
	    ERR_KAFKA_STORAGE_ERROR);
	bench_stop(&bench);
	files_faulty_free(bench.files);
	bench.files = files_system();
	bench_fini(&bench);
}

/* Deletes, makes anew and removes files, until the process dies. */
static void
die_in_deletion(struct bench *bench, int calls)
{
	struct log *log = NULL;

	files_faulty_kill_after(bench->files, calls);
	log_delete(bench->storage, "t", 0);
	storage_forget_deleted(bench->storage);
	if (log_create(bench->storage, "t", 0, (struct uuid){ { 9 } }, &log) ==
	    ERR_NONE) {
		log_unref(bench->log);
		bench->log = log;
		bench_append(bench, &(struct bench_batch){ .count = 2 }, NULL);
	}
	clock_virtual_advance_to(&bench->clock, INT64_C(70000) * 1000000);
	storage_remove_doomed(bench->storage);
}

/* Whatever a start finds is the old log, whole, or nothing of it. */
static void
check_after_death(struct bench *bench)
{
	struct log *log;
	int64_t count;

	CU_ASSERT_FATAL(bench_open(bench));
	CU_ASSERT_FATAL(storage_load(bench->storage, NULL, NULL));
	CU_ASSERT(dirs_like(bench, "t-0.", "-delete", NULL) <= 1);
	log = bench->log = storage_find(bench->storage, "t", 0);
	if (log == NULL)
		return;
	count = log_end_offset(log);
	if (uuid_equal(log_topic_id(log), (struct uuid){ { 1, 2, 3 } })) {
		CU_ASSERT_EQUAL(count, OLD_RECORDS);
		/* Its start may be forgotten, for it is going anyway. */
		CU_ASSERT(log_start_offset(log) <= OLD_START);
		CU_ASSERT_EQUAL(bench_count(bench, OLD_START),
		    OLD_RECORDS - OLD_START);
	} else {
		CU_ASSERT_EQUAL(log_start_offset(log), 0);
		CU_ASSERT(count == 0 || count == 2);
		CU_ASSERT_EQUAL(bench_count(bench, 0), count);
	}
}

static void
test_dies_anywhere(void)
{
	bool died = true;

	for (int calls = 0; died; calls++) {
		struct bench bench;

		CU_ASSERT_FATAL(calls < 1000);
		bench_with_old(&bench);
		bench_stop(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		die_in_deletion(&bench, calls);
		died = files_faulty_killed(bench.files);
		files_faulty_kill(bench.files);
		bench_stop(&bench);
		files_faulty_free(bench.files);
		bench.files = files_system();
		check_after_death(&bench);
		bench_fini(&bench);
	}
}

static const struct unit_test tests[] = {
	{ "others keep their start", test_others_keep_their_start },
	{ "delete", test_delete },
	{ "delete and make again", test_delete_and_make_again },
	{ "left over by a stop", test_left_whole },
	{ "the delay", test_delay },
	{ "retention before", test_retained_before },
	{ "moves under way", test_futures },
	{ "a long name", test_long_name },
	{ "what refuses", test_refusals },
	{ "a death at every call", test_dies_anywhere },
};

int
main(void)
{
	return (unit_main("storage-delete", tests, nelems(tests)));
}
