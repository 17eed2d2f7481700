/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas that move to another log directory. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "replica/move_int.h"
#include "replica_rig.h"
#include "storage/storage_int.h"

#define TOPIC SLICE_LITERAL(RIG_TOPIC)

/* A leader with five records in the first of two directories. */
struct moving {
	struct replica_rig rig;
	struct replica *replica; /* claimed */
	struct log_dir *goal;
};

static void
moving_find(struct moving *m)
{
	m->replica = replicas_find(m->rig.replicas, TOPIC, 0);
	m->goal = storage_dir_at(m->rig.storage, 1);
	CU_ASSERT_FATAL(m->replica != NULL);
	CU_ASSERT_FATAL(replica_claim(m->replica, false));
}

static void
moving_init(struct moving *m, bool threads)
{
	replica_rig_init_two(&m->rig, threads);
	replica_rig_lead(&m->rig, 1, 1);
	if (!threads)
		CU_ASSERT_EQUAL(rig_produce_one(&m->rig, 1, 5, 10), ERR_NONE);
	moving_find(m);
}

static void
moving_fini(struct moving *m)
{
	replica_unclaim(m->replica);
	replica_unref(m->replica);
	replica_rig_fini(&m->rig);
}

/* It is not let go before: what moves gets no further. */
static void
moving_stop(struct moving *m)
{
	replica_unref(m->replica);
	replica_rig_restart(&m->rig);
}

static void
moving_lead(struct moving *m)
{
	CU_ASSERT_EQUAL(replica_rig_order(&m->rig, &(struct rig_order){
	    .epoch = 6, .partition_epoch = 1, .old = true }), ERR_NONE);
	moving_find(m);
}

/* What lies in both directories and ends so. */
static int
count_names(struct moving *m, const char *end)
{
	const char *paths[] = { m->rig.directory, m->rig.second };
	int count = 0;

	for (size_t i = 0; i < nelems(paths); i++) {
		DIR *all = opendir(paths[i]);
		const struct dirent *one;

		while (all != NULL && (one = readdir(all)) != NULL) {
			size_t length = strlen(one->d_name);

			count += length >= strlen(end) && strcmp(
			    one->d_name + length - strlen(end), end) == 0;
		}
		if (all != NULL)
			closedir(all);
	}
	return (count);
}

static void
test_moves(void)
{
	struct moving m;

	moving_init(&m, false);
	CU_ASSERT_EQUAL(move_begin(m.replica, m.goal, true), ERR_NONE);
	CU_ASSERT_EQUAL(move_goal(m.replica), m.goal);
	/* Whoever holds it keeps it from the last step. */
	replica_rig_pass(&m.rig, 100);
	CU_ASSERT_NOT_EQUAL(log_directory(replica_log(m.replica)), m.goal);
	replica_unclaim(m.replica);
	replica_rig_pass(&m.rig, 100);
	CU_ASSERT(replica_claim(m.replica, false));
	CU_ASSERT_EQUAL(log_directory(replica_log(m.replica)), m.goal);
	CU_ASSERT_PTR_NULL(move_goal(m.replica));
	CU_ASSERT_EQUAL(rig_produce_one(&m.rig, 1, 5, 10), ERR_NONE);
	moving_stop(&m);
	moving_lead(&m);
	CU_ASSERT_EQUAL(log_directory(replica_log(m.replica)), m.goal);
	CU_ASSERT_EQUAL(log_end_offset(replica_log(m.replica)), 10);
	moving_fini(&m);
}

/* --- cancelled in the queue ----------------------------------------------- */

struct blocker {
	struct work work; /* first */
	struct gate gate;
};

static void
blocker_run(struct work *work)
{
	(void)gate_await(&((struct blocker *)(void *)work)->gate);
}

/* Taken up by a start, and cancelled before its first step: it does not come
 * back with the next one. */
static void
test_cancelled_before_its_first_step(void)
{
	static struct blocker blockers[MOVE_THREADS_MAX];
	struct moving m;
	int count;

	moving_init(&m, true);
	CU_ASSERT_EQUAL(move_begin(m.replica, m.goal, true), ERR_NONE);
	moving_stop(&m);
	CU_ASSERT_EQUAL(count_names(&m, "-future"), 1);
	count = m.rig.options->replica.num_replica_alter_log_dirs_threads;
	CU_ASSERT_FATAL(count <= MOVE_THREADS_MAX);
	for (int i = 0; i < (count < 1 ? 1 : count); i++) {
		blockers[i].work = (struct work){ .run = blocker_run };
		gate_init(&blockers[i].gate);
		work_submit(m.rig.replicas->moves.queue, &blockers[i].work);
	}
	moving_lead(&m);
	CU_ASSERT_EQUAL(move_goal(m.replica), m.goal);
	move_end(m.replica);
	CU_ASSERT_PTR_NULL(move_goal(m.replica));
	CU_ASSERT_EQUAL(count_names(&m, "-future"), 0);
	for (int i = 0; i < (count < 1 ? 1 : count); i++)
		gate_open(&blockers[i].gate);
	moving_stop(&m);
	moving_lead(&m);
	CU_ASSERT_PTR_NULL(move_goal(m.replica));
	CU_ASSERT_EQUAL(count_names(&m, "-future"), 0);
	moving_fini(&m);
}

/* --- a directory that fails just then ------------------------------------- */

/* Calls of the rig's files; behind one of them the directory fails, by somebody
 * else. */
static struct {
	const struct files_ops *below;
	struct files_ops ops;
	struct log_dir *dir; /* NULL: it has */
	bool renamed;
} between;

static int
between_rename(struct files *files, const char *from, const char *to)
{
	size_t length = strlen(from);

	between.renamed |= length > 7 &&
	    strcmp(from + length - 7, "-future") == 0;
	return (between.below->rename(files, from, to));
}

static int
between_sync(struct files *files, int descriptor)
{
	int answer = between.below->sync(files, descriptor);

	if (between.renamed && between.dir != NULL)
		log_dir_fail(between.dir, "is bad", "", EIO);
	if (between.renamed)
		between.dir = NULL;
	return (answer);
}

/* The log does not go on in a directory that has failed. */
static void
test_fails_just_then(void)
{
	struct moving m;

	moving_init(&m, false);
	between.below = m.rig.files->ops;
	between.ops = *m.rig.files->ops;
	between.ops.rename = between_rename;
	between.ops.sync = between_sync;
	between.dir = m.goal;
	between.renamed = false;
	m.rig.files->ops = &between.ops;
	CU_ASSERT_EQUAL(move_begin(m.replica, m.goal, true), ERR_NONE);
	replica_unclaim(m.replica);
	replica_rig_pass(&m.rig, 3000);
	CU_ASSERT(log_dir_is_offline(m.goal));
	/* NULL: it lies in that one. */
	CU_ASSERT_PTR_NOT_NULL_FATAL(replica_log(m.replica));
	CU_ASSERT_FALSE(atomic_load(&m.replica->offline));
	CU_ASSERT_EQUAL(rig_produce_one(&m.rig, 1, 5, 10), ERR_NONE);
	m.rig.files->ops = between.below;
	CU_ASSERT(replica_claim(m.replica, false));
	moving_stop(&m);
	moving_lead(&m);
	CU_ASSERT_EQUAL(log_end_offset(replica_log(m.replica)), 10);
	moving_fini(&m);
}

static const struct unit_test tests[] = {
	{ "moves", test_moves },
	{ "cancelled before its first step",
	    test_cancelled_before_its_first_step },
	{ "fails just then", test_fails_just_then },
};

int
main(void)
{
	return (unit_main("replica moves", tests, nelems(tests)));
}
