/* SPDX-License-Identifier: Apache-2.0 */
/* Many logs at once: what a batch puts on the disk, in which order, and what
 * is left when it dies, or a part of it fails. */
#include "storage_bench.h"

#define NEW_COUNT 3
#define TOPIC_ID ((struct uuid){ { 7, 7, 7 } })
#define METADATA "version: 0\ntopic_id: BwcHAAAAAAAAAAAAAAAAAA"

static void
add_new(struct bench *bench, struct log_batch *batch, int32_t partition)
{
	(void)bench;
	log_batch_add(batch, &(struct log_wish){
		.topic = "n", .partition = partition, .topic_id = TOPIC_ID,
		.leader_epoch = 4 });
}

/* Three new ones and the one that is there. */
static void
fill_batch(struct bench *bench, struct log_batch *batch)
{
	for (int32_t i = 0; i < NEW_COUNT; i++)
		add_new(bench, batch, i);
	log_batch_add(batch, &(struct log_wish){ .log = bench->log,
		.leader_epoch = 5 });
}

static bool
found(struct bench *bench, const char *topic, int32_t partition)
{
	struct log *log = storage_find(bench->storage, topic, partition);

	if (log != NULL)
		log_unref(log);
	return (log != NULL);
}

static bool
file_is(struct bench *bench, const char *name, const char *expected)
{
	size_t size;
	uint8_t *bytes = bench_read(bench, name, &size);
	bool same = bytes != NULL &&
	    slice_equal_text(slice_of(bytes, size), expected);

	mem_free(bytes);
	return (same);
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
	CU_ASSERT(file_is(bench, name, METADATA));
	snprintf(name, sizeof(name), "n-%d/leader-epoch-checkpoint", partition);
	CU_ASSERT(file_is(bench, name, "0\n1\n4 0\n"));
	snprintf(name, sizeof(name), "n-%d/00000000000000000000.timeindex",
	    partition);
	CU_ASSERT_EQUAL(bench_size(bench, name), 0);
}

static void
bench_start_led(struct bench *bench)
{
	bench_start(bench);
	CU_ASSERT_EQUAL(log_assign_epoch(bench->log, 0, 0), ERR_NONE);
	CU_ASSERT_EQUAL(bench_append(bench, &(struct bench_batch){ .count = 2 },
	    NULL), ERR_NONE);
}

/* --- all goes well -------------------------------------------------------- */

static void
test_made_and_led(void)
{
	struct bench bench;
	struct log_batch *batch;
	struct log *log;

	bench_init(&bench);
	bench_start_led(&bench);
	batch = log_batch_new(bench.storage);
	fill_batch(&bench, batch);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		CU_ASSERT_FALSE(found(&bench, "n", i));
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
	log_batch_commit(batch);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		check_new(&bench, i);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 5);
	CU_ASSERT_EQUAL(log_epoch_end(bench.log, 0).end_offset, 2);
	CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
	    "0\n2\n0 0\n5 2\n"));
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
	const char *last = strrchr(path, '/');

	/* From the directory of the log on. */
	while (last > path && last[-1] != '/')
		last--;
	if (strstr(path, "/n-") == NULL && strstr(path, "/t-0") == NULL)
		last = "dir";
	else if (strstr(path, "/n-") != NULL)
		last = strstr(path, "/n-") + 1;
	else
		last = strstr(path, "/t-0") + 1;
	CHECK(witness.count < (int)nelems(witness.events));
	snprintf(witness.events[witness.count++],
	    sizeof(witness.events[0]), "%s %s", what, last);
	for (int32_t i = 0; i < NEW_COUNT; i++)
		witness.early |= found(witness.bench, "n", i);
	witness.early |= log_latest_epoch(witness.bench->log) != 0;
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
	bench_start_led(&bench);
	witness.bench = &bench;
	ops.open = watch_open;
	ops.sync = watch_sync;
	ops.write_out = watch_write_out;
	ops.rename = watch_rename;
	batch = log_batch_new(bench.storage);
	fill_batch(&bench, batch);
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
	check_order("t-0", "leader-epoch-checkpoint");
	/* Seven files, all begun before the first is waited for; four logs and
	 * what they lie in. */
	CU_ASSERT_EQUAL(strncmp(witness.events[6], "out", 3), 0);
	CU_ASSERT_EQUAL(strncmp(witness.events[7], "sync", 4), 0);
	CU_ASSERT(watch_find("sync dir") >= 0);
	CU_ASSERT_EQUAL(witness.count, 7 + 7 + 7 + 4 + 1);
	ops = *files_system()->ops;
	log_batch_free(&batch);
	bench_fini(&bench);
}

/* --- it dies -------------------------------------------------------------- */

static void
check_half(struct bench *bench, const bool *seen, bool led)
{
	char name[64];

	for (int32_t i = 0; i < NEW_COUNT; i++) {
		struct log *log;

		if (seen[i])
			check_new(bench, i);
		/* What is there is whole; what is not can be made. */
		snprintf(name, sizeof(name), "n-%d/partition.metadata", i);
		CU_ASSERT(bench_size(bench, name) == -1 ||
		    file_is(bench, name, METADATA));
		snprintf(name, sizeof(name), "n-%d/leader-epoch-checkpoint", i);
		CU_ASSERT(bench_size(bench, name) == -1 ||
		    file_is(bench, name, "0\n1\n4 0\n"));
		CU_ASSERT_EQUAL_FATAL(log_create(bench->storage, "n", i,
		    TOPIC_ID, &log), ERR_NONE);
		CU_ASSERT(log_set_topic_id(log, TOPIC_ID));
		CU_ASSERT_EQUAL(log_assign_epoch(log, 4, 0), ERR_NONE);
		log_unref(log);
		check_new(bench, i);
	}
	CU_ASSERT_EQUAL(bench_count(bench, 0), 2);
	if (led)
		CU_ASSERT(file_is(bench, "t-0/leader-epoch-checkpoint",
		    "0\n2\n0 0\n5 2\n"));
	CU_ASSERT_EQUAL(log_assign_epoch(bench->log, 5, 2), ERR_NONE);
	CU_ASSERT(file_is(bench, "t-0/leader-epoch-checkpoint",
	    "0\n2\n0 0\n5 2\n"));
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
		bool led;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start_led(&bench);
		files_faulty_kill_after(bench.files, nth);
		batch = log_batch_new(bench.storage);
		fill_batch(&bench, batch);
		log_batch_commit(batch);
		log_batch_free(&batch);
		for (int32_t i = 0; i < NEW_COUNT; i++)
			seen[i] = found(&bench, "n", i);
		led = log_latest_epoch(bench.log) == 5;
		bench_stop(&bench);
		alive = !files_faulty_killed(bench.files);
		files_faulty_free(bench.files);
		bench.files = files_system();
		bench_start(&bench);
		check_half(&bench, seen, led);
		bench_fini(&bench);
	}
	CU_ASSERT(nth > 60);
}

/* --- a part of it fails --------------------------------------------------- */

/* Two directories; two new logs lie in each, and an old one in the first. */
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
		bench_start_led(&bench);
		batch = log_batch_new(bench.storage);
		/* The second log of the second directory. */
		files_faulty_set(bench.files, "-second/n-2", calls[i], 0, 1,
		    EIO);
		for (int32_t n = 0; n < 4; n++)
			add_new(&bench, batch, n);
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

	for (size_t i = 0; i < 2 * nelems(calls); i++) {
		enum file_call call = calls[i / 2];
		struct log_batch *batch;
		struct bench bench;
		struct log *log;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start_led(&bench);
		batch = log_batch_new(bench.storage);
		files_faulty_set(bench.files, i % 2 == 0 ? "/n-1" : "/t-0/",
		    call, 0, -1, call == FILE_CALL_OPEN ? EMFILE : ENOSPC);
		fill_batch(&bench, batch);
		log_batch_commit(batch);
		log_batch_free(&batch);
		files_faulty_clear(bench.files);
		CU_ASSERT_EQUAL(bench.failed_dirs, 0);
		check_new(&bench, 0);
		check_new(&bench, 2);
		CU_ASSERT_EQUAL(found(&bench, "n", 1), i % 2 != 0);
		CU_ASSERT_EQUAL(log_latest_epoch(bench.log),
		    i % 2 != 0 ? 0 : 5);
		CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "n", 1,
		    TOPIC_ID, &log), ERR_NONE);
		CU_ASSERT_EQUAL(log_assign_epoch(log, 4, 0), ERR_NONE);
		CU_ASSERT_EQUAL(log_assign_epoch(bench.log, 5, 2), ERR_NONE);
		log_unref(log);
		check_new(&bench, 1);
		CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
		    "0\n2\n0 0\n5 2\n"));
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
	bench_start_led(bench);
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
		add_new(&pair->bench, batch, 0);
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

/* The file has its new name when the batch is given up; the epoch does not
 * come, but records of the old one do. */
static void
test_given_up_when_named(void)
{
	struct log_batch *batch;
	struct bench bench;

	bench_init(&bench);
	bench.files = files_faulty_new(files_system());
	bench_start_led(&bench);
	batch = log_batch_new(bench.storage);
	log_batch_add(batch, &(struct log_wish){ .log = bench.log,
		.leader_epoch = 5 });
	files_faulty_set(bench.files, "/t-0", FILE_CALL_SYNC, 1, 1, ENOSPC);
	log_batch_commit(batch);
	log_batch_free(&batch);
	files_faulty_clear(bench.files);
	CU_ASSERT_FALSE(log_failed(bench.log));
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
	CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
	    "0\n2\n0 0\n5 2\n"));
	CU_ASSERT_EQUAL(bench_append(&bench,
		&(struct bench_batch){ .count = 2 }, NULL), ERR_NONE);
	CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
	    "0\n1\n0 0\n"));
	bench_stop(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
	bench_fini(&bench);
	files_faulty_free(bench.files);
}

/* --- somebody comes between ----------------------------------------------- */

static void
come_between(struct bench *bench, int kind)
{
	enum error error;

	if (kind == 0)
		error = log_advance_start(bench->log, 1);
	else if (kind == 1)
		error = log_assign_epoch(bench->log, 6, 2);
	else if (kind == 2)
		error = bench_append(bench, &(struct bench_batch){ .count = 1 },
		    NULL);
	else
		error = log_delete(bench->storage, "t", 0);
	CU_ASSERT_EQUAL(error, ERR_NONE);
}

static struct between {
	struct bench *bench; /* NULL: it was there */
	int kind;
} between;

/* Of the log's directory, when the file has its new name already. */
static int
between_sync(struct files *files, int descriptor)
{
	struct bench *bench = between.bench;
	struct stat status;

	if (bench != NULL && fstat(descriptor, &status) == 0 &&
	    S_ISDIR(status.st_mode)) {
		between.bench = NULL;
		come_between(bench, between.kind);
	}
	return (files_system()->ops->sync(files, descriptor));
}

static void
epochs_change_meanwhile(int kind, bool late)
{
	struct files_ops ops = *files_system()->ops;
	struct files files = { &ops };
	struct log_batch *batch;
	struct bench bench;

	bench_init(&bench);
	bench.files = &files;
	bench_start_led(&bench);
	log_set_high_watermark(bench.log, 2);
	batch = log_batch_new(bench.storage);
	log_batch_add(batch, &(struct log_wish){ .log = bench.log,
		.leader_epoch = 5 });
	if (late) {
		between = (struct between){ &bench, kind };
		ops.sync = between_sync;
	} else {
		come_between(&bench, kind);
	}
	log_batch_commit(batch);
	log_batch_free(&batch);
	CU_ASSERT_PTR_NULL(between.bench);
	CU_ASSERT_EQUAL(bench.failed_dirs, 0);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), kind == 1 ? 6 : 0);
	CU_ASSERT_EQUAL(
	    log_assign_epoch(bench.log, 7, log_end_offset(bench.log)),
	    kind == 3 ? ERR_KAFKA_STORAGE_ERROR : ERR_NONE);
	CU_ASSERT_EQUAL(file_is(&bench, "t-0/leader-epoch-checkpoint",
	    kind == 0     ? "0\n2\n0 1\n7 2\n" :
		kind == 1 ? "0\n2\n0 0\n7 2\n" :
			    "0\n2\n0 0\n7 3\n"),
	    kind != 3);
	bench_fini(&bench);
}

static void
test_epochs_change_meanwhile(void)
{
	for (int kind = 0; kind < 4; kind++) {
		epochs_change_meanwhile(kind, false);
		epochs_change_meanwhile(kind, true);
	}
}

/* --- the epoch that the file has ------------------------------------------ */

/* Nothing was appended in the last epoch; a load cuts it off. */
static void
test_same_epoch_again(void)
{
	for (int kind = 0; kind < 4; kind++) {
		bool alone = kind % 2 != 0, crash = kind >= 2;
		struct log_batch *batch;
		struct bench bench;
		size_t renames, syncs;

		bench_init(&bench);
		bench.files = files_faulty_new(files_system());
		bench_start_led(&bench);
		CU_ASSERT_EQUAL(log_assign_epoch(bench.log, 5, 2), ERR_NONE);
		if (crash)
			bench_crash(&bench);
		else
			bench_stop(&bench);
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
		renames = files_faulty_calls(bench.files, FILE_CALL_RENAME);
		syncs = files_faulty_calls(bench.files, FILE_CALL_SYNC);
		batch = log_batch_new(bench.storage);
		if (!alone)
			log_batch_add(batch, &(struct log_wish){
				.log = bench.log, .leader_epoch = 5 });
		log_batch_commit(batch);
		log_batch_free(&batch);
		CU_ASSERT_EQUAL(log_latest_epoch(bench.log), alone ? 0 : 5);
		CU_ASSERT_EQUAL(log_assign_epoch(bench.log, 5, 2), ERR_NONE);
		CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 5);
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
		    FILE_CALL_RENAME), renames);
		CU_ASSERT_EQUAL(files_faulty_calls(bench.files,
		    FILE_CALL_SYNC), syncs + 1);
		CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
		    "0\n2\n0 0\n5 2\n"));
		/* Another one at that place is written. */
		bench_stop(&bench);
		bench_start(&bench);
		CU_ASSERT_EQUAL(log_assign_epoch(bench.log, 6, 2), ERR_NONE);
		CU_ASSERT(file_is(&bench, "t-0/leader-epoch-checkpoint",
		    "0\n2\n0 0\n6 2\n"));
		bench_fini(&bench);
		files_faulty_free(bench.files);
	}
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
	add_new(&bench, batch, 0);
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
	CU_ASSERT(file_is(&bench, EPOCHS, "0\n1\n0 0\n"));
	bench_stop(&bench);
	CU_ASSERT(file_is(&bench, EPOCHS, "0\n1\n0 0\n"));
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 0);
	CU_ASSERT_EQUAL(log_assign_epoch_later(bench.log, 5, 1), ERR_NONE);
	CU_ASSERT(log_append_syncs(bench.log, 5));
	bench_append(&bench, &(struct bench_batch){ .leader_epoch = 5 }, NULL);
	CU_ASSERT(file_is(&bench, EPOCHS, "0\n2\n0 0\n5 1\n"));
	CU_ASSERT_FALSE(log_append_syncs(bench.log, 5));
	bench_crash(&bench);
	bench_start(&bench);
	CU_ASSERT_EQUAL(log_latest_epoch(bench.log), 5);
	bench_fini(&bench);
}

static const struct unit_test tests[] = {
	{ "made and led", test_made_and_led },
	{ "the order of durability", test_order_of_durability },
	{ "killed at every file call", test_killed_at_every_call },
	{ "one directory fails", test_one_directory_fails },
	{ "want of room", test_want_of_room },
	{ "not made, nothing is left", test_unmade },
	{ "a leftover", test_leftover },
	{ "given up when it is named", test_given_up_when_named },
	{ "epochs change meanwhile", test_epochs_change_meanwhile },
	{ "the same epoch again", test_same_epoch_again },
	{ "a name too long", test_name_too_long },
	{ "epochs that are written later", test_epochs_later },
};

int
main(void)
{
	return (unit_main("batch", tests, nelems(tests)));
}
