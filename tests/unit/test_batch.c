/* SPDX-License-Identifier: Apache-2.0 */
/* Many logs at once: what a batch puts on the disk, in which order, and what
 * is left when it dies, or a part of it fails. */
#include "storage_bench.h"

#define NEW_COUNT 3
#define TOPIC_ID ((struct uuid){ { 7, 7, 7 } })
#define METADATA "version: 0\ntopic_id: BwcHAAAAAAAAAAAAAAAAAA"

static void
add_new(struct log_batch *batch, int32_t partition)
{
	log_batch_add(batch, &(struct log_wish){
		.topic = "n", .partition = partition, .topic_id = TOPIC_ID,
		.leader_epoch = 4 });
}

static void
fill_batch(struct log_batch *batch)
{
	for (int32_t i = 0; i < NEW_COUNT; i++)
		add_new(batch, i);
}

static bool
found(struct bench *bench, const char *topic, int32_t partition)
{
	struct log *log = storage_find(bench->storage, topic, partition);

	if (log != NULL)
		log_unref(log);
	return (log != NULL);
}

static void
check_new(struct bench *bench, int32_t partition)
{
	struct log *log = storage_find(bench->storage, "n", partition);
	char name[64];

	CU_ASSERT_PTR_NOT_NULL_FATAL(log);
	CU_ASSERT(uuid_equal(log_topic_id(log), TOPIC_ID));
	CU_ASSERT_EQUAL(log_end_offset(log), 0);
	log_unref(log);
	snprintf(name, sizeof(name), "n-%d/partition.metadata", partition);
	CU_ASSERT(bench_says(bench, name, METADATA));
	snprintf(name, sizeof(name), "n-%d/leader-epoch-checkpoint", partition);
	CU_ASSERT(bench_says(bench, name, "0\n1\n4 0\n"));
	snprintf(name, sizeof(name), "n-%d/00000000000000000000.timeindex",
	    partition);
	CU_ASSERT_EQUAL(bench_size(bench, name), 0);
}

/* Whoever asks for it alone makes what is missing; then it can be led. */
static void
make_and_lead(struct bench *bench, int32_t partition)
{
	const struct bench_batch wanted = { .leader_epoch = 4 };
	struct log *own = bench->log;
	char name[64];

	CU_ASSERT_EQUAL_FATAL(log_create(bench->storage, "n", partition,
	    TOPIC_ID, &bench->log), ERR_NONE);
	CU_ASSERT(log_set_topic_id(bench->log, TOPIC_ID));
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench->log, 4, 0), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench->log), 4);
	CU_ASSERT_EQUAL(bench_append(bench, &wanted, NULL), ERR_NONE);
	CU_ASSERT_EQUAL(bench_count(bench, 0), 1);
	snprintf(name, sizeof(name), "n-%d/partition.metadata", partition);
	CU_ASSERT(bench_says(bench, name, METADATA));
	snprintf(name, sizeof(name), "n-%d/leader-epoch-checkpoint", partition);
	CU_ASSERT(bench_says(bench, name, "0\n1\n4 0\n"));
	log_unref(bench->log);
	bench->log = own;
}

/* --- all goes well -------------------------------------------------------- */

static void
test_made(void)
{
	struct bench bench;
	struct log_batch *batch;
	struct log *log;

	bench_init(&bench);
	bench_start(&bench);
	batch = log_batch_new(bench.storage);
	fill_batch(batch);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		CU_ASSERT_FALSE(found(&bench, "n", i));
	log_batch_commit(batch);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		check_new(&bench, i);
	/* The batch is empty again; without an epoch, and without an id. */
	log_batch_add(batch, &(struct log_wish){ .topic = "m",
		.leader_epoch = -1 });
	log_batch_commit(batch);
	log_batch_free(&batch);
	CU_ASSERT(found(&bench, "m", 0));
	CU_ASSERT_EQUAL(bench_size(&bench, "m-0/leader-epoch-checkpoint"), -1);
	CU_ASSERT_EQUAL(bench_size(&bench, "m-0/partition.metadata"), -1);
	/* Who asks for one of them alone finds it. */
	CU_ASSERT_EQUAL(log_create(bench.storage, "n", 1, TOPIC_ID, &log),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(log), 4);
	log_unref(log);
	bench_stop(&bench);
	bench_start(&bench);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		check_new(&bench, i);
	bench_fini(&bench);
}

/* --- the order ------------------------------------------------------------ */

/* Notes what is durable; the calls go on to the system. */
static struct witness {
	struct bench *bench;
	char paths[4096][96]; /* by descriptor */
	char events[64][128];
	int count;
	bool early; /* something could be seen before all was done */
} witness;

static void
watch_note(const char *what, const char *path)
{
	/* From the directory of the log on. */
	const char *last =
	    strstr(path, "/n-") != NULL ? strstr(path, "/n-") + 1 : "dir";

	CHECK(witness.count < (int)nelems(witness.events));
	snprintf(witness.events[witness.count++],
	    sizeof(witness.events[0]), "%s %s", what, last);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		witness.early |= found(witness.bench, "n", i);
}

static int
watch_open(struct files *files, const char *path, int flags, int mode)
{
	int descriptor = files_system()->ops->open(files, path, flags, mode);

	if (descriptor >= 0)
		snprintf(witness.paths[descriptor],
		    sizeof(witness.paths[0]), "%s", path);
	return (descriptor);
}

static int
watch_sync(struct files *files, int descriptor)
{
	watch_note("sync", witness.paths[descriptor]);
	return (files_system()->ops->sync(files, descriptor));
}

static void
watch_write_out(struct files *files, int descriptor)
{
	watch_note("out", witness.paths[descriptor]);
	files_system()->ops->write_out(files, descriptor);
}

static int
watch_rename(struct files *files, const char *from, const char *to)
{
	watch_note("name", to);
	return (files_system()->ops->rename(files, from, to));
}

/* When it happened; -1: never. */
static int
watch_find(const char *event)
{
	for (int i = 0; i < witness.count; i++)
		if (strcmp(witness.events[i], event) == 0)
			return (i);
	return (-1);
}

static void
check_order(const char *directory, const char *file)
{
	char synced[128], named[128], known[128];

	snprintf(synced, sizeof(synced), "sync %s/%s.tmp", directory, file);
	snprintf(named, sizeof(named), "name %s/%s", directory, file);
	snprintf(known, sizeof(known), "sync %s", directory);
	CU_ASSERT(watch_find(synced) >= 0);
	CU_ASSERT(watch_find(named) > watch_find(synced));
	CU_ASSERT(watch_find(known) > watch_find(named));
}

static void
test_order_of_durability(void)
{
	static struct files_ops ops;
	static struct files files = { &ops };
	struct log_batch *batch;
	struct bench bench;

	ops = *files_system()->ops;
	bench_init(&bench);
	bench.files = &files;
	bench_start(&bench);
	witness.bench = &bench;
	ops.open = watch_open;
	ops.sync = watch_sync;
	ops.write_out = watch_write_out;
	ops.rename = watch_rename;
	batch = log_batch_new(bench.storage);
	fill_batch(batch);
	/* Nothing but checkpoints of a name that was given up is synced. */
	CU_ASSERT_EQUAL(witness.count, 0);
	log_batch_commit(batch);
	CU_ASSERT_FALSE(witness.early);
	for (int32_t i = 0; i < NEW_COUNT; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n-%d", i);
		check_order(name, "partition.metadata");
		check_order(name, "leader-epoch-checkpoint");
		check_new(&bench, i);
	}
	/* Six files, all begun before the first is waited for; three logs and
	 * what they lie in. */
	CU_ASSERT_EQUAL(strncmp(witness.events[5], "out", 3), 0);
	CU_ASSERT_EQUAL(strncmp(witness.events[6], "sync", 4), 0);
	CU_ASSERT(watch_find("sync dir") >= 0);
	CU_ASSERT_EQUAL(witness.count, 6 + 6 + 6 + 3 + 1);
	ops = *files_system()->ops;
	log_batch_free(&batch);
	bench_fini(&bench);
}

/* --- it dies -------------------------------------------------------------- */

static void
check_half(struct bench *bench, const bool *seen)
{
	char name[64];

	for (int32_t i = 0; i < NEW_COUNT; i++) {
		if (seen[i])
			check_new(bench, i);
		/* What is there is whole; what is not can be made. */
		snprintf(name, sizeof(name), "n-%d/partition.metadata", i);
		CU_ASSERT(bench_size(bench, name) == -1 ||
		    bench_says(bench, name, METADATA));
		snprintf(name, sizeof(name), "n-%d/leader-epoch-checkpoint", i);
		CU_ASSERT(bench_size(bench, name) == -1 ||
		    bench_says(bench, name, "0\n1\n4 0\n"));
		make_and_lead(bench, i);
	}
}

static void
test_killed_at_every_call(void)
{
	bool alive = false;
	int nth = 0;

	for (; !alive; nth++) {
		struct log_batch *batch;
		struct bench bench;
		bool seen[NEW_COUNT];

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		files_faulty_kill_after(bench.files, nth);
		batch = log_batch_new(bench.storage);
		fill_batch(batch);
		log_batch_commit(batch);
		log_batch_free(&batch);
		for (int32_t i = 0; i < NEW_COUNT; i++)
			seen[i] = found(&bench, "n", i);
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		check_half(&bench, seen);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 60);
}

/* --- a part of it fails --------------------------------------------------- */

/* Two directories; two new logs lie in each, and one before in the first. */
static void
test_one_directory_fails(void)
{
	static const enum file_call calls[] = { FILE_CALL_OPEN, FILE_CALL_WRITE,
		FILE_CALL_SYNC, FILE_CALL_RENAME };

	for (size_t i = 0; i < nelems(calls); i++) {
		struct log_batch *batch;
		struct bench bench;
		char second[80];

		bench_init(&bench);
		snprintf(second, sizeof(second), "%s-second", bench.path);
		bench.paths[1] = second;
		bench.options.log_dir_list.count = 2;
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		batch = log_batch_new(bench.storage);
		/* The second log of the second directory. */
		files_faulty_set(bench.files, "-second/n-2", calls[i], 0, 1,
		    EIO);
		for (int32_t n = 0; n < 4; n++)
			add_new(batch, n);
		log_batch_commit(batch);
		log_batch_free(&batch);
		CU_ASSERT_EQUAL(bench.failed_dirs, 1);
		CU_ASSERT_FALSE(log_failed(bench.log));
		for (int32_t n = 0; n < 4; n++)
			CU_ASSERT_EQUAL(found(&bench, "n", n), n % 2 != 0);
		files_faulty_clear(bench.files);
		bench_fini(&bench);
		nftw(second, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
		files_faulty_free(bench.files);
	}
}

/* What passes spoils one log alone, and that only until it is asked for. */
static void
test_want_of_room(void)
{
	static const enum file_call calls[] = { FILE_CALL_OPEN, FILE_CALL_WRITE,
		FILE_CALL_SYNC, FILE_CALL_RENAME };

	for (size_t i = 0; i < nelems(calls); i++) {
		struct log_batch *batch;
		struct bench bench;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		batch = log_batch_new(bench.storage);
		files_faulty_set(bench.files, "/n-1", calls[i], 0, -1,
		    calls[i] == FILE_CALL_OPEN ? EMFILE : ENOSPC);
		fill_batch(batch);
		log_batch_commit(batch);
		log_batch_free(&batch);
		files_faulty_clear(bench.files);
		CU_ASSERT_EQUAL(bench.failed_dirs, 0);
		check_new(&bench, 0);
		check_new(&bench, 2);
		CU_ASSERT_FALSE(found(&bench, "n", 1));
		make_and_lead(&bench, 1);
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
}

/* --- nothing is left ------------------------------------------------------ */

struct pair {
	struct bench bench;
	char second[80];
};

/* Two directories; new logs lie in the second first. */
static void
pair_init(struct pair *pair)
{
	struct bench *bench = &pair->bench;

	bench_init(bench);
	snprintf(pair->second, sizeof(pair->second), "%s-second", bench->path);
	bench->paths[1] = pair->second;
	bench->options.log_dir_list.count = 2;
	bench->files = files_faulty_new(files_system());
	bench_start(bench);
}

static void
pair_fini(struct pair *pair)
{
	CU_ASSERT_EQUAL(pair->bench.failed_dirs, 0);
	bench_fini(&pair->bench);
	nftw(pair->second, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
	files_faulty_free(pair->bench.files);
}

static bool
lies_in(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return (access(path, F_OK) == 0);
}

/* One by one, or in a batch. */
static enum error
make_one(struct pair *pair, bool together)
{
	struct log_batch *batch;
	struct log *log = NULL;
	enum error error;

	if (together) {
		batch = log_batch_new(pair->bench.storage);
		add_new(batch, 0);
		log_batch_commit(batch);
		log_batch_free(&batch);
		return (found(&pair->bench, "n", 0) ?
			    ERR_NONE :
			    ERR_REPLICA_NOT_AVAILABLE);
	}
	error = log_create(pair->bench.storage, "n", 0, TOPIC_ID, &log);
	if (error == ERR_NONE)
		log_unref(log);
	return (error);
}

/* A log that could not be made here is made there, and the next start finds it
 * once. */
static void
test_unmade(void)
{
	static const struct {
		enum file_call call;
		int error;
	} rows[] = {
		{ FILE_CALL_OPEN, ENOSPC },
		{ FILE_CALL_OPEN, EMFILE },
		{ FILE_CALL_SYNC, ENOSPC },
		{ FILE_CALL_WRITE, EDQUOT },
		{ FILE_CALL_RENAME, ENOSPC },
	};

	for (size_t i = 0; i < 2 * nelems(rows); i++) {
		const bool together = i % 2 == 0;
		enum error error;
		struct pair pair;

		pair_init(&pair);
		files_faulty_set(pair.bench.files, "-second/n-0/",
		    rows[i / 2].call, 0, -1, rows[i / 2].error);
		error = make_one(&pair, together);
		CU_ASSERT_EQUAL(error, ERR_REPLICA_NOT_AVAILABLE);
		CU_ASSERT_FALSE(lies_in(pair.second, "n-0"));
		CU_ASSERT_FALSE(lies_in(pair.bench.path, "n-0"));
		/* A batch leaves it to whoever asks alone to say it; from then
		 * on the full one is passed over. */
		(void)make_one(&pair, false);
		if (rows[i / 2].error == EMFILE)
			files_faulty_clear(pair.bench.files);
		CU_ASSERT_EQUAL(make_one(&pair, false), ERR_NONE);
		CU_ASSERT_NOT_EQUAL(lies_in(pair.second, "n-0"),
		    lies_in(pair.bench.path, "n-0"));
		files_faulty_clear(pair.bench.files);
		bench_stop(&pair.bench);
		bench_start(&pair.bench);
		CU_ASSERT(found(&pair.bench, "n", 0));
		pair_fini(&pair);
	}
}

/* What could not even be removed goes when the name is asked for again, or
 * deleted; what holds anything else stays. */
static void
test_leftover(void)
{
	bool any = false;

	for (int i = 0; i < 16; i++) {
		struct pair pair;
		char stranger[PATH_MAX];

		pair_init(&pair);
		files_faulty_set(pair.bench.files, "partition.metadata",
		    FILE_CALL_ANY, i / 2, -1, ENOSPC);
		if (make_one(&pair, true) == ERR_NONE) {
			pair_fini(&pair);
			continue;
		}
		files_faulty_clear(pair.bench.files);
		if (lies_in(pair.second, "n-0")) {
			any = true;
			snprintf(stranger, sizeof(stranger),
			    "%s/n-0/precious", pair.second);
			CU_ASSERT_EQUAL(mkdir(stranger, 0755), 0);
			CU_ASSERT_EQUAL(log_delete(pair.bench.storage, "n", 0),
			    ERR_NONE);
			CU_ASSERT(lies_in(pair.second, "n-0/precious"));
			CU_ASSERT_EQUAL(rmdir(stranger), 0);
		}
		if (i % 2 == 0)
			CU_ASSERT_EQUAL(log_delete(pair.bench.storage, "n", 0),
			    ERR_NONE);
		CU_ASSERT(i % 2 != 0 || !lies_in(pair.second, "n-0"));
		CU_ASSERT_EQUAL(make_one(&pair, false), ERR_NONE);
		bench_stop(&pair.bench);
		bench_start(&pair.bench);
		CU_ASSERT(found(&pair.bench, "n", 0));
		pair_fini(&pair);
	}
	CU_ASSERT(any);
}

/* A name that no directory can have is nobody's fault but the wish's. */
static void
test_name_too_long(void)
{
	struct bench bench;
	struct log_batch *batch;
	char topic[TOPIC_NAME_MAX + 1];

	memset(topic, 'x', TOPIC_NAME_MAX);
	topic[TOPIC_NAME_MAX] = '\0';
	bench_init(&bench);
	bench_start(&bench);
	batch = log_batch_new(bench.storage);
	add_new(batch, 0);
	log_batch_add(batch, &(struct log_wish){ .topic = topic,
		.partition = 100000, .leader_epoch = 4 });
	log_batch_commit(batch);
	log_batch_free(&batch);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	CU_ASSERT(found(&bench, "n", 0));
	CU_ASSERT_FALSE(found(&bench, topic, 100000));
	bench_fini(&bench);
}

#define EPOCHS "t-0/leader-epoch-checkpoint"

/* Known at once, in the file with the first record, in no file without. */
static void
test_epochs_later(void)
{
	struct bench bench;
	struct log_epoch_end end;

	bench_init(&bench);
	bench_start(&bench);
	bench_append(&bench, &(struct bench_batch){ .leader_epoch = 0 }, NULL);
	CU_ASSERT_FALSE(log_append_syncs(bench.log, 0));
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 3, 1), ERR_NONE);
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 4, 1), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 4);
	end = log_epoch_end(bench.log, 3);
	CU_ASSERT_EQUAL(end.leader_epoch, 0);
	CU_ASSERT_EQUAL(end.end_offset, 1);
	CU_ASSERT(bench_says(&bench, EPOCHS, "0\n1\n0 0\n"));
	bench_stop(&bench);
	CU_ASSERT(bench_says(&bench, EPOCHS, "0\n1\n0 0\n"));
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 5, 1), ERR_NONE);
	CU_ASSERT(log_append_syncs(bench.log, 5));
	bench_append(&bench, &(struct bench_batch){ .leader_epoch = 5 }, NULL);
	CU_ASSERT(bench_says(&bench, EPOCHS, "0\n2\n0 0\n5 1\n"));
	CU_ASSERT_FALSE(log_append_syncs(bench.log, 5));
	bench_crash(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 5);
	bench_fini(&bench);
}

/* One that goes back takes away what has records: that is in the file, too. */
static void
test_epoch_goes_back(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_start(&bench);
	bench_append(&bench, &(struct bench_batch){ .leader_epoch = 5 }, NULL);
	CU_ASSERT(bench_says(&bench, EPOCHS, "0\n1\n5 0\n"));
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 3, 1), ERR_NONE);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 3);
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), -1);
	bench_fini(&bench);
}

/* Its batch wrote it, and nothing was appended: a load cuts it off, and what
 * begins there instead waits for a record. */
static void
test_epoch_of_new_cut(void)
{
	for (int kind = 0; kind < 4; kind++) {
		const bool same = kind % 2 != 0, crash = kind >= 2;
		const struct bench_batch wanted = {
			.leader_epoch = same ? 4 : 6 };
		struct log_batch *batch;
		struct bench bench;
		size_t syncs;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start(&bench);
		batch = log_batch_new(bench.storage);
		add_new(batch, 0);
		log_batch_commit(batch);
		log_batch_free(&batch);
		check_new(&bench, 0);
		if (crash)
			bench_crash(&bench);
		else
			bench_stop(&bench);
		/* The file is as it was, also by a stop after that. */
		bench_start(&bench);
		bench_stop(&bench);
		bench_start(&bench);
		check_new(&bench, 0);
		log_unref(bench.log);
		bench.log = storage_find(bench.storage, "n", 0);
		CU_ASSERT_EQUAL(log_latest_epoch(bench.log), -1);
		syncs = files_faulty_calls(bench.files, FILE_CALL_SYNC);
		CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log,
		    wanted.leader_epoch, 0), ERR_NONE);
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
		    FILE_CALL_SYNC), syncs);
		check_new(&bench, 0);
		CU_ASSERT(log_append_syncs(bench.log, wanted.leader_epoch));
		CU_ASSERT_EQUAL(bench_append(&bench, &wanted, NULL), ERR_NONE);
		CU_ASSERT(bench_says(&bench, "n-0/leader-epoch-checkpoint",
		    same ? "0\n1\n4 0\n" : "0\n1\n6 0\n"));
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
}

static const struct unit_test tests[] = {
	{ "made", test_made },
	{ "the order of durability", test_order_of_durability },
	{ "killed at every file call", test_killed_at_every_call },
	{ "one directory fails", test_one_directory_fails },
	{ "want of room", test_want_of_room },
	{ "not made, nothing is left", test_unmade },
	{ "a leftover", test_leftover },
	{ "a name too long", test_name_too_long },
	{ "epochs that are written later", test_epochs_later },
	{ "an epoch that goes back", test_epoch_goes_back },
	{ "the epoch of a new log, cut off", test_epoch_of_new_cut },
};

int
main(void)
{
	return (unit_main("batch", tests, nelems(tests)));
}
