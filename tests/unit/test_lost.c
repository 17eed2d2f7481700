/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as lost: logs that were assigned to the broker when a directory
 * of it had no meta.properties, or no recovery points, and are not there. */
#include <errno.h>

#include "storage/storage_int.h"
#include "move_bench.h"

#define RECOVERY_POINTS "recovery-point-offset-checkpoint"

static const struct storage_assigned assigned[] = { { "t", 0 }, { "u", 3 } };

/* Over a disk that misbehaves on order. */
static void
faulty_init(struct bench *bench)
{
	bench_init(bench);
	bench->files = files_faulty_new(files_system());
}

static void
faulty_fini(struct bench *bench)
{
	bench_stop(bench);
	files_faulty_free(bench->files);
	bench->files = files_system();
	bench_fini(bench);
}

/* A start of a broker to which those two are assigned. */
static void
start_assigned(struct bench *bench)
{
	CU_ASSERT_FATAL(bench_open(bench));
	CU_ASSERT_FATAL(storage_set_identity(bench->storage, 1, "cluster",
	    assigned, nelems(assigned)));
	CU_ASSERT_FATAL(storage_load(bench->storage, NULL, NULL));
	bench->log = storage_find(bench->storage, "t", 0);
}

static bool
is_lost(struct bench *bench, const char *topic, int32_t partition)
{
	return (!storage_never_had(bench->storage, topic, partition));
}

static void
remove_file(const char *directory, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void
test_new_directory(void)
{
	struct bench bench;

	bench_init(&bench);
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT(storage_is_new(bench.storage));
	bench_stop(&bench);
	for (int starts = 0; starts < 3; starts++) {
		start_assigned(&bench);
		CU_ASSERT_FALSE(storage_is_new(bench.storage));
		CU_ASSERT_PTR_NULL(bench.log);
		CU_ASSERT(is_lost(&bench, "t", 0));
		CU_ASSERT(is_lost(&bench, "u", 3));
		CU_ASSERT_FALSE(is_lost(&bench, "u", 0));
		CU_ASSERT_FALSE(is_lost(&bench, "v", 0));
		bench_stop(&bench);
	}
	/* Nothing is left of what was deleted. */
	start_assigned(&bench);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
	bench_stop(&bench);
	start_assigned(&bench);
	CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
	CU_ASSERT(is_lost(&bench, "u", 3));
	bench_fini(&bench);
}

/* Made as that of a follower: it has its own row, whoever dies. */
static void
test_made_anew(void)
{
	struct bench bench;

	bench_init(&bench);
	start_assigned(&bench);
	CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "t", 0, UUID_ZERO,
				  &bench.log),
	    ERR_NONE);
	bench_fill(&bench, 5, 10);
	bench_crash(&bench);
	start_assigned(&bench);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bench.log);
	CU_ASSERT_EQUAL(log_end_offset(bench.log), 5);
	CU_ASSERT_EQUAL(bench_count(&bench, 0), 5);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "u", 3), ERR_NONE);
	bench_stop(&bench);
	CU_ASSERT(bench_says(&bench, RECOVERY_POINTS, "0\n1\nt 0 5\n"));
	bench_fini(&bench);
}

/* What the checkpoints say of a log that is there holds. */
static void
test_meta_properties_lost(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_start(&bench);
	bench_fill(&bench, 20, 10);
	log_set_high_watermark(bench.log, 20);
	CU_ASSERT_EQUAL(log_advance_start(bench.log, 7), ERR_NONE);
	bench_stop(&bench);
	remove_file(bench.path, "meta.properties");
	start_assigned(&bench);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bench.log);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 7);
	CU_ASSERT_EQUAL(atomic_load(&bench.log->recovery_point), 20);
	CU_ASSERT_EQUAL(bench_count(&bench, 7), 13);
	CU_ASSERT(is_lost(&bench, "u", 3));
	CU_ASSERT(bench_says(&bench, RECOVERY_POINTS,
	    "0\n2\nu 3 0\nt 0 20\n") ||
	    bench_says(&bench, RECOVERY_POINTS, "0\n2\nt 0 20\nu 3 0\n"));
	bench_fini(&bench);
}

/* Of two directories one is new: what lies in the other one is not lost, and
 * is not when it was deleted. */
static void
test_one_of_two(void)
{
	struct pair p;
	struct bench *b = &p.bench;
	char other[80];
	char name[PATH_MAX];
	void *bytes;
	size_t size;

	pair_init(&p, NULL);
	bench_fill(b, 5, 10);
	snprintf(other, sizeof(other), "%.79s", log_dir_path(other_dir(&p)));
	bench_stop(b);
	nftw(other, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
	for (int starts = 0; starts < 2; starts++) {
		start_assigned(b);
		CU_ASSERT_PTR_NOT_NULL_FATAL(b->log);
		CU_ASSERT_EQUAL(bench_count(b, 0), 5);
		CU_ASSERT(is_lost(b, "u", 3));
		bench_stop(b);
		snprintf(name, sizeof(name), "%s/" RECOVERY_POINTS, other);
		CU_ASSERT_EQUAL_FATAL(file_load(files_system(), name, 100,
				      &bytes, &size), 0);
		CU_ASSERT(slice_equal_text(slice_of(bytes, size),
		    "0\n1\nu 3 0\n"));
		mem_free(bytes);
	}
	start_assigned(b);
	CU_ASSERT_EQUAL(log_delete(b->storage, "t", 0), ERR_NONE);
	CU_ASSERT_FALSE(is_lost(b, "t", 0));
	bench_stop(b);
	start_assigned(b);
	CU_ASSERT_FALSE(is_lost(b, "t", 0));
	bench_stop(b);
	pair_fini(&p);
}

static void
lose_points(struct bench *bench, const char *garbage)
{
	char path[PATH_MAX];

	bench_file(bench, RECOVERY_POINTS, path);
	unlink(path);
	if (garbage != NULL)
		bench_write(bench, RECOVERY_POINTS, garbage, strlen(garbage),
		    0);
}

/* They were removed, for want of room, or are no checkpoint: what they told is
 * asked for again, and known at once, be it written or not. */
static void
test_points_lost(void)
{
	static const char *const garbage[] = { NULL, "", "0\n2\nt 0 0\n" };

	for (size_t i = 0; i < nelems(garbage); i++) {
		struct bench bench;

		faulty_init(&bench);
		/* Nothing is assigned yet. */
		CU_ASSERT_FATAL(bench_open(&bench));
		CU_ASSERT_FATAL(storage_set_identity(bench.storage, 1,
		    "cluster", NULL, 0));
		CU_ASSERT_FATAL(storage_load(bench.storage, NULL, NULL));
		bench_stop(&bench);
		start_assigned(&bench);
		CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
		bench_stop(&bench);
		lose_points(&bench, garbage[i]);
		CU_ASSERT_FATAL(bench_open(&bench));
		CU_ASSERT(storage_is_new(bench.storage));
		bench_stop(&bench);
		files_faulty_set(bench.files, RECOVERY_POINTS, FILE_CALL_WRITE,
		    0, -1, ENOSPC);
		for (int starts = 0; starts < 3; starts++) {
			lose_points(&bench, garbage[i]);
			if (starts == 1)
				files_faulty_clear(bench.files);
			start_assigned(&bench);
			CU_ASSERT(is_lost(&bench, "t", 0));
			CU_ASSERT(is_lost(&bench, "u", 3));
			CU_ASSERT_FALSE(is_lost(&bench, "v", 0));
			CU_ASSERT_EQUAL(bench.failed_dirs, 0);
			bench_stop(&bench);
		}
		start_assigned(&bench);
		CU_ASSERT(is_lost(&bench, "t", 0));
		faulty_fini(&bench);
	}
}

/* A disk that does not give them back fails, whatever it says. */
static void
test_points_not_read(void)
{
	static const int errors[] = { EIO, EBADMSG };

	for (size_t i = 0; i < nelems(errors); i++) {
		struct bench bench;

		faulty_init(&bench);
		start_assigned(&bench);
		bench_stop(&bench);
		files_faulty_set(bench.files, RECOVERY_POINTS, FILE_CALL_READ,
		    0, -1, errors[i]);
		CU_ASSERT_FATAL(bench_open(&bench));
		CU_ASSERT(storage_set_identity(bench.storage, 1, "cluster",
		    assigned, nelems(assigned)));
		CU_ASSERT_EQUAL(bench.failed_dirs, 1);
		CU_ASSERT(is_lost(&bench, "t", 0));
		faulty_fini(&bench);
	}
}

/* A log with all rows that a log may have, lost with its directory; there is no
 * room to make it again. */
static void
start_without_room(struct bench *bench)
{
	char path[PATH_MAX];
	struct log *log;

	bench_start(bench);
	bench_fill(bench, 20, 10);
	log_set_high_watermark(bench->log, 20);
	CU_ASSERT_EQUAL(log_advance_start(bench->log, 7), ERR_NONE);
	bench_stop(bench);
	bench_file(bench, "t-0", path);
	nftw(path, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
	start_assigned(bench);
	CU_ASSERT_PTR_NULL(bench->log);
	CU_ASSERT(is_lost(bench, "t", 0));
	files_faulty_set(bench->files, "t-0/", FILE_CALL_OPEN, 0, 1, ENOSPC);
	CU_ASSERT_EQUAL(log_create(bench->storage, "t", 0, UUID_ZERO, &log),
	    ERR_REPLICA_NOT_AVAILABLE);
}

/* It is lost until it is here, and begins at 0 then, whoever dies. */
static void
test_not_made(void)
{
	struct bench bench;

	faulty_init(&bench);
	start_without_room(&bench);
	CU_ASSERT(is_lost(&bench, "t", 0));
	CU_ASSERT(bench_says(&bench, RECOVERY_POINTS, "0\n1\nt 0 0\n"));
	CU_ASSERT(bench_says(&bench, "log-start-offset-checkpoint",
	    "0\n0\n"));
	CU_ASSERT(bench_says(&bench, "replication-offset-checkpoint",
	    "0\n0\n"));
	bench_stop(&bench);
	start_assigned(&bench);
	CU_ASSERT(is_lost(&bench, "t", 0));
	CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "t", 0, UUID_ZERO,
				  &bench.log),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_start_offset(bench.log), 0);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "t", 0), ERR_NONE);
	CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
	faulty_fini(&bench);
}

/* Another topic of the name: nobody lost anything of it. */
static void
test_not_made_and_new(void)
{
	struct bench bench;

	faulty_init(&bench);
	start_without_room(&bench);
	storage_forget_lost(bench.storage, "t", 0);
	CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
	bench_stop(&bench);
	start_assigned(&bench);
	CU_ASSERT_FALSE(is_lost(&bench, "t", 0));
	faulty_fini(&bench);
}

/* Its row does not stand in the way where it cannot be taken out. */
static void
test_made_on_full_disk(void)
{
	struct bench bench;
	struct log *log;

	faulty_init(&bench);
	start_assigned(&bench);
	CU_ASSERT_EQUAL_FATAL(log_create(bench.storage, "x", 0, UUID_ZERO,
				  &log),
	    ERR_NONE);
	log_unref(log);
	files_faulty_set(bench.files, "-checkpoint", FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(log_delete(bench.storage, "x", 0), ERR_NONE);
	CU_ASSERT_EQUAL(log_create(bench.storage, "t", 0, UUID_ZERO,
			    &bench.log),
	    ERR_NONE);
	faulty_fini(&bench);
}

/* Without its rows a directory does not get its meta.properties. */
static void
test_not_noted(void)
{
	struct bench bench;

	faulty_init(&bench);
	files_faulty_set(bench.files, RECOVERY_POINTS, FILE_CALL_WRITE, 0, 1,
	    EIO);
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT(storage_set_identity(bench.storage, 1, "cluster", assigned,
	    nelems(assigned)));
	CU_ASSERT_EQUAL(bench.failed_dirs, 1);
	CU_ASSERT(is_lost(&bench, "t", 0));
	bench_stop(&bench);
	CU_ASSERT_EQUAL(bench_size(&bench, "meta.properties"), -1);
	CU_ASSERT_FATAL(bench_open(&bench));
	CU_ASSERT(storage_is_new(bench.storage));
	bench_stop(&bench);
	start_assigned(&bench);
	CU_ASSERT(is_lost(&bench, "t", 0));
	faulty_fini(&bench);
}

static const struct unit_test tests[] = {
	{ "a new directory", test_new_directory },
	{ "made anew", test_made_anew },
	{ "meta.properties alone", test_meta_properties_lost },
	{ "one of two", test_one_of_two },
	{ "recovery points alone", test_points_lost },
	{ "recovery points that are not read", test_points_not_read },
	{ "not made", test_not_made },
	{ "not made, of another topic", test_not_made_and_new },
	{ "made on a full disk", test_made_on_full_disk },
	{ "not noted", test_not_noted },
};

int
main(void)
{
	return (unit_main("lost logs", tests, nelems(tests)));
}
