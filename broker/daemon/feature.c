/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/feature.h"

#include <stdatomic.h>

#include "base/mem.h"

#define RETRY_NS ((int64_t)1000 * 1000000)

struct feature {
	struct zk *zk;
	struct zk_watcher watcher;
	struct waitq_link link;
	struct task_ref task;
	struct zk_batch *batch;
	struct zk_op *op;
	_Atomic int64_t epoch;
};

static task_step feature_wait, feature_read, feature_pause;

static void
feature_fini(struct task *task)
{
	struct feature *f = *(struct feature **)task_state(task);

	waitq_leave(&f->watcher.woken, &f->link);
	zk_batch_free(&f->batch);
}

static const struct task_class feature_class = {
	.name = "feature",
	.state_size = sizeof(struct feature *),
	.fini = feature_fini,
};

static void
feature_setup(struct task *task, void *arg)
{
	*(struct feature **)task_state(task) = arg;
}

struct feature *
feature_new(struct loop *loop, struct zk *zk)
{
	struct feature *f = mem_zalloc(sizeof(*f));

	f->zk = zk;
	atomic_init(&f->epoch, -1);
	zk_watcher_init(&f->watcher, zk);
	f->task = task_ref(task_start(loop, &feature_class, feature_wait,
	    feature_setup, f));
	return (f);
}

void
feature_free(struct feature **feature)
{
	struct feature *f = *feature;
	struct task *task;

	if (f == NULL)
		return;
	task = task_of_ref(f->task);
	if (task != NULL)
		task_cancel(task);
	zk_watcher_fini(&f->watcher);
	mem_free(f);
	*feature = NULL;
}

int64_t
feature_epoch(void *feature)
{
	struct feature *f = feature;

	return (atomic_load_explicit(&f->epoch, memory_order_relaxed));
}

static enum verdict
feature_wait(struct task *t)
{
	struct feature *f = *(struct feature **)task_state(t);

	waitq_join(&f->watcher.woken, &f->link, t);
	if (!f->watcher.changed)
		return (STEP_WAIT);
	f->watcher.changed = false;
	f->batch = zk_batch_new(f->zk);
	f->op = zk_batch_get(f->batch, ZNODE_FEATURE, &f->watcher);
	zk_batch_submit(f->batch, t);
	return (task_next(t, feature_read));
}

static enum verdict
feature_read(struct task *t)
{
	struct feature *f = *(struct feature **)task_state(t);
	struct znode_feature node;
	enum zk_rc rc;

	if (!zk_batch_done(f->batch))
		return (STEP_WAIT);
	rc = f->op->rc;
	atomic_store(&f->epoch, rc == ZK_OK &&
		    znode_feature_decode(f->op->answer, &node) && node.enabled ?
		f->op->stat.version : -1);
	zk_batch_free(&f->batch);
	/* A node that is not there yet is watched all the same. */
	if (rc == ZK_OK || rc == ZK_NO_NODE)
		return (task_next(t, feature_wait));
	f->watcher.changed = true;
	task_sleep(t, RETRY_NS);
	return (task_next(t, feature_pause));
}

static enum verdict
feature_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, feature_wait) : STEP_WAIT);
}
