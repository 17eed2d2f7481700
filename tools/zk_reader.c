/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "config/options.h"
#include "tools/zk_reader.h"
#include "zkglue/driver.h"

#define NS_PER_MS ((int64_t)1000000)
#define IN_FLIGHT 100

/* Its place is the asking thread's stack, but for the last one. */
struct errand {
	struct zk_reader *reader;
	struct zk_read *reads; /* NULL: only a connection is wanted, or the
				* end */
	size_t count;
	bool good;
	bool finished; /* under the reader's mutex */
};

struct zk_reader {
	struct scheduler *scheduler;
	struct work_queue *workers;
	struct loop *loop;
	struct zk_driver *driver;
	struct zkglue_options options;
	char *hosts;
	char *chroot;
	int64_t timeout_ns;
	struct zk *zk;                 /* loop */
	struct zk_batch **batches;     /* loop: hold the answers */
	size_t batch_count;
	bool closed;                   /* loop */
	pthread_mutex_t mutex;
	pthread_cond_t finished;
};

static void
errand_finish(struct errand *errand, bool good)
{
	struct zk_reader *reader = errand->reader;

	pthread_mutex_lock(&reader->mutex);
	errand->good = good;
	errand->finished = true;
	pthread_cond_signal(&reader->finished);
	pthread_mutex_unlock(&reader->mutex);
}

static bool
errand_run(struct errand *errand, void (*start)(void *arg))
{
	struct zk_reader *reader = errand->reader;

	loop_post_call(reader->loop, start, errand);
	pthread_mutex_lock(&reader->mutex);
	while (!errand->finished)
		pthread_cond_wait(&reader->finished, &reader->mutex);
	pthread_mutex_unlock(&reader->mutex);
	return (errand->good);
}

/* --- reading: the loop ---------------------------------------------------- */

struct reading {
	struct errand *errand;
	struct waitq_link link;
	struct zk_batch *batch;
	struct zk_op **ops; /* the batch's */
};

static enum verdict reading_submit(struct task *task);

static const struct task_class reading_class = {
	.name = "zk-reading",
	.state_size = sizeof(struct reading),
};

static enum verdict
reading_end(struct reading *r, bool good)
{
	struct zk_reader *reader = r->errand->reader;

	waitq_leave(zk_state_changed(reader->zk), &r->link);
	errand_finish(r->errand, good);
	return (STEP_DONE);
}

static enum verdict
reading_connect(struct task *task)
{
	struct reading *r = task_state(task);
	struct zk_reader *reader = r->errand->reader;

	waitq_join(zk_state_changed(reader->zk), &r->link, task);
	if (zk_state(reader->zk) == ZK_CONNECTED)
		return (r->errand->reads == NULL
			? reading_end(r, true)
			: task_next(task, reading_submit));
	return (task_expired(task) ? reading_end(r, false) : STEP_WAIT);
}

static void
op_answer(const struct zk_op *op, struct zk_read *read)
{
	read->rc = op->rc;
	read->data = op->answer;
	read->children = op->children;
	read->child_count = op->child_count;
}

static enum verdict
reading_await(struct task *task)
{
	struct reading *r = task_state(task);
	struct zk_reader *reader = r->errand->reader;

	if (!zk_batch_done(r->batch)) {
		if (!task_expired(task))
			return (STEP_WAIT);
		zk_batch_free(&r->batch);
		return (reading_end(r, false));
	}
	for (size_t i = 0; i < r->errand->count; i++)
		op_answer(r->ops[i], &r->errand->reads[i]);
	reader->batches = mem_realloc(reader->batches,
	    (reader->batch_count + 1) * sizeof(struct zk_batch *));
	reader->batches[reader->batch_count++] = r->batch;
	return (reading_end(r, true));
}

static struct zk_op *
batch_read(struct zk_batch *batch, const char *chroot,
    const struct zk_read *read)
{
	const char *path =
	    arena_printf(zk_batch_arena(batch), "%s%s", chroot, read->path);

	CHECK(path != NULL);
	switch (read->kind) {
	case ZK_READ_DATA:
		return (zk_batch_get(batch, path, NULL));
	case ZK_READ_CHILDREN:
		return (zk_batch_children(batch, path, NULL));
	case ZK_READ_ACL:
		return (zk_batch_acl(batch, path));
	}
	UNREACHABLE();
}

static enum verdict
reading_submit(struct task *task)
{
	struct reading *r = task_state(task);
	struct errand *errand = r->errand;
	struct zk_reader *reader = errand->reader;

	r->batch = zk_batch_new(reader->zk);
	r->ops = arena_array(zk_batch_arena(r->batch), errand->count,
	    sizeof(struct zk_op *));
	CHECK(r->ops != NULL);
	for (size_t i = 0; i < errand->count; i++)
		r->ops[i] = batch_read(r->batch, reader->chroot,
		    &errand->reads[i]);
	zk_batch_submit(r->batch, task);
	return (task_next(task, reading_await));
}

static void
reading_setup(struct task *task, void *arg)
{
	struct reading *r = task_state(task);
	struct zk_reader *reader;

	r->errand = arg;
	reader = r->errand->reader;
	task_set_deadline(task,
	    clock_mono_ns(scheduler_clock(reader->scheduler)) +
		reader->timeout_ns);
}

static void
reading_start(void *arg)
{
	struct errand *errand = arg;

	task_start(errand->reader->loop, &reading_class, reading_connect,
	    reading_setup, errand);
}

bool
zk_reader_run(struct zk_reader *reader, struct zk_read *reads, size_t count)
{
	struct errand errand = {
		.reader = reader,
		.reads = reads,
		.count = count,
	};

	return (count == 0 || errand_run(&errand, reading_start));
}

/* --- life ----------------------------------------------------------------- */

static void
reader_open(void *arg)
{
	struct errand *errand = arg;
	struct zk_reader *reader = errand->reader;

	reader->zk = zk_new(&(struct zk_setup) {
	    .loop = reader->loop,
	    .workers = reader->workers,
	    .driver = reader->driver,
	    .options = &reader->options,
	});
	reading_start(errand);
}

/* "h:p,h:p/chroot": the chroot is ours to prefix, zkglue would make it. */
static void
reader_cut(struct zk_reader *reader, const char *connect)
{
	const size_t length = strcspn(connect, "/");
	size_t end = strlen(connect);

	while (end > length && connect[end - 1] == '/')
		end--;
	reader->hosts = mem_strndup(connect, length);
	reader->chroot = mem_strndup(connect + length, end - length);
}

struct zk_reader *
zk_reader_new(const char *connect, int64_t timeout_ms, struct buffer *why)
{
	struct zk_reader *reader = mem_zalloc(sizeof(*reader));
	struct errand errand = { .reader = reader };

	CHECK(pthread_mutex_init(&reader->mutex, NULL) == 0);
	CHECK(pthread_cond_init(&reader->finished, NULL) == 0);
	reader_cut(reader, connect);
	reader->timeout_ns = timeout_ms * NS_PER_MS;
	reader->options.connect = reader->hosts;
	reader->options.session_timeout_ms = (int32_t)timeout_ms;
	reader->options.max_in_flight_requests = IN_FLIGHT;
	reader->scheduler = scheduler_new_threads(clock_system(), 1, NULL);
	reader->workers = work_queue_new(reader->scheduler, "zookeeper", 1);
	reader->loop = loop_new(reader->scheduler, "zk-reader");
	reader->driver = zk_driver_library(NULL);
	loop_start(reader->loop);
	if (!errand_run(&errand, reader_open)) {
		buffer_printf(why, "ZooKeeper at %s does not answer",
		    reader->hosts);
		zk_reader_free(&reader);
	}
	return (reader);
}

static void
closing_setup(struct task *task, void *arg)
{
	*(struct errand **)task_state(task) = arg;
}

static enum verdict
closing_step(struct task *task)
{
	struct errand *errand = *(struct errand **)task_state(task);
	struct zk_reader *reader = errand->reader;

	if (reader->zk != NULL) {
		struct zk *zk = reader->zk;

		for (size_t i = 0; i < reader->batch_count; i++)
			zk_batch_free(&reader->batches[i]);
		reader->zk = NULL;
		zk_close(zk, task_ref(task), &reader->closed);
	}
	if (!reader->closed)
		return (STEP_WAIT);
	errand_finish(errand, true);
	return (STEP_DONE);
}

static void
reader_close(void *arg)
{
	static const struct task_class closing_class = {
		.name = "zk-reader-closing",
		.state_size = sizeof(struct errand *),
	};
	struct errand *errand = arg;

	task_start(errand->reader->loop, &closing_class, closing_step,
	    closing_setup, errand);
}

void
zk_reader_free(struct zk_reader **readerp)
{
	struct zk_reader *reader = *readerp;
	struct errand errand = { .reader = reader };

	if (reader == NULL)
		return;
	*readerp = NULL;
	(void)errand_run(&errand, reader_close);
	loop_stop(reader->loop);
	work_queue_free(reader->workers);
	loop_free(reader->loop);
	reader->driver->ops->free(reader->driver);
	scheduler_free(reader->scheduler);
	mem_free(reader->batches);
	mem_free(reader->hosts);
	mem_free(reader->chroot);
	pthread_cond_destroy(&reader->finished);
	pthread_mutex_destroy(&reader->mutex);
	mem_free(reader);
}
