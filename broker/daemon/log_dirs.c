/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log directories that fail while the broker runs: their replicas go offline,
 * the controller is told, and with the last directory the broker ends.
 *
 *	failed --> replicas OFFLINE --> [create event] --OK--> [rest]
 *	                                   ^     | session lost   |
 *	                                   +-----+--- another ----+
 *
 * The controller then sends LeaderAndIsr for all replicas of this broker and
 * learns from KAFKA_STORAGE_ERROR which of them are lost.  What fails before
 * the registration needs no event: the new broker is told of all anyway.
 * Source: KafkaZkClient.propagateLogDirEvent.
 */
#include "daemon/broker_int.h"

#include "base/mem.h"

#define EVENT_PATH ZNODE_LOG_DIR_EVENTS "/log_dir_event_"
#define EVENT_PAUSE_NS ((int64_t)500 * 1000000)

struct dir_event {
	struct broker *broker;
	struct zk_batch *batch;
	struct zk_op *op;
	uint64_t told; /* failures that the event under way stands for */
};

static task_step dir_event_create, dir_event_created, dir_event_pause;

static void
dir_event_fini(struct task *task)
{
	zk_batch_free(&((struct dir_event *)task_state(task))->batch);
}

static const struct task_class dir_event_class = {
	.name = "log-dir-event",
	.state_size = sizeof(struct dir_event),
	.fini = dir_event_fini,
};

static void
dir_event_setup(struct task *task, void *arg)
{
	((struct dir_event *)task_state(task))->broker = arg;
}

static enum verdict
dir_event_create(struct task *t)
{
	struct dir_event *e = task_state(t);
	struct buffer json = BUFFER_EMPTY;
	bool ok = true;

	zk_batch_free(&e->batch);
	e->batch = zk_batch_new(e->broker->zk);
	e->told = e->broker->dir_failures;
	znode_log_dir_event_encode(e->broker->broker_id, &json);
	e->op = zk_batch_create(e->batch, EVENT_PATH,
	    arena_slice_copy(zk_batch_arena(e->batch), buffer_slice(&json),
		&ok),
	    ZK_PERSISTENT | ZK_SEQUENTIAL);
	buffer_fini(&json);
	CHECK(ok);
	zk_batch_submit(e->batch, t);
	return (task_next(t, dir_event_created));
}

static enum verdict
dir_event_created(struct task *t)
{
	struct dir_event *e = task_state(t);

	if (!zk_batch_done(e->batch))
		return (STEP_WAIT);
	if (e->op->rc != ZK_OK) {
		task_sleep(t, EVENT_PAUSE_NS);
		return (task_next(t, dir_event_pause));
	}
	if (e->told != e->broker->dir_failures)
		return (task_next(t, dir_event_create));
	return (STEP_DONE);
}

static enum verdict
dir_event_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, dir_event_create) : STEP_WAIT);
}

void
broker_end_dir_event(struct broker *b)
{
	struct task *task = task_of_ref(b->dir_event);

	if (task != NULL)
		task_cancel(task);
	b->dir_event = (struct task_ref){ NULL, 0 };
}

/* --- failures ------------------------------------------------------------- */

struct dir_failure {
	struct broker *broker;
	struct log_dir *dir;
	char path[]; /* the directory may be closed when this is told */
};

static void
dir_count_working(void *arg, const char *path, enum log_dir_state state)
{
	(void)path;
	*(size_t *)arg += state != LOG_DIR_OFFLINE;
}

/* On the controller's loop, with rooms that still stand. */
static void
dir_failure_take(struct broker *b, struct log_dir *dir)
{
	size_t working = 0;

	b->dir_failures++;
	if (b->replicas != NULL)
		replicas_dir_failed(b->replicas, dir);
	storage_each_dir(b->storage, dir_count_working, &working);
	if (working == 0) {
		diag_fatal(b->setup.seams.diag, daemon,
		    "all log directories are offline: the broker ends");
		b->failed = true;
		broker_stop(b);
	} else if (b->registration != NULL && task_of_ref(b->dir_event) == NULL)
		b->dir_event = task_ref(task_start(b->control,
		    &dir_event_class, dir_event_create, dir_event_setup, b));
}

static void
dir_failure_arrived(void *arg)
{
	struct dir_failure *failure = arg;
	struct broker *b = failure->broker;

	diag_error(b->setup.seams.diag, daemon,
	    "dir=%s is offline: its partitions answer KAFKA_STORAGE_ERROR",
	    failure->path);
	if (!b->logs_closing && b->storage != NULL)
		dir_failure_take(b, failure->dir);
	mem_free(failure);
}

void
broker_dir_failed(void *arg, struct log_dir *dir)
{
	const char *path = log_dir_path(dir);
	size_t length = strlen(path) + 1;
	struct dir_failure *failure = mem_alloc(sizeof(*failure) + length);

	memcpy(failure->path, path, length);
	failure->broker = arg;
	failure->dir = dir;
	loop_post_call(failure->broker->control, dir_failure_arrived, failure);
}
