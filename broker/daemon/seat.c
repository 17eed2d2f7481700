/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A controller that stops leaves its seat, and the list of brokers, as soon as
 * nothing is answered any more: closing thousands of logs takes its time, and
 * the session, with whose end the nodes would go by themselves, ends after it.
 *
 *	[read] --ours--> [leave] --> done
 *	    \--another's, ZooKeeper away, two seconds--> done: the session's end
 *	                                                 does it
 *
 * Both nodes go at once, so that the next controller does not count with this
 * broker.  The fence is the version of /controller_epoch, read before the seat:
 * as long as it holds, nobody was elected since.
 */
#include "daemon/broker_int.h"

#define PATIENCE_NS ((int64_t)2 * 1000000000)

struct vacate {
	struct broker *broker;
	struct task_ref stop;
	struct waitq_link session;
	struct zk_batch *batch;
	struct zk_op *epoch;
	struct zk_op *seat;
	struct zk_op *own;
};

static task_step vacate_read, vacate_left;

static void
vacate_fini(struct task *task)
{
	struct vacate *v = task_state(task);

	waitq_leave(zk_state_changed(v->broker->zk), &v->session);
	zk_batch_free(&v->batch);
	v->broker->vacated = true;
	task_wake_ref(v->stop);
}

static const struct task_class vacate_class = {
	.name = "leaving the controller's seat",
	.state_size = sizeof(struct vacate),
	.fini = vacate_fini,
};

struct vacate_start {
	struct broker *broker;
	struct task_ref stop;
};

static void
vacate_setup(struct task *task, void *arg)
{
	struct vacate *v = task_state(task);
	const struct vacate_start *start = arg;

	v->broker = start->broker;
	v->stop = start->stop;
}

static enum verdict
vacate_begin(struct task *t)
{
	struct vacate *v = task_state(t);
	struct broker *b = v->broker;
	struct zk_batch *batch = zk_batch_new(b->zk);

	v->batch = batch;
	v->epoch = zk_batch_exists(batch, ZNODE_CONTROLLER_EPOCH, NULL);
	v->seat = zk_batch_exists(batch, ZNODE_CONTROLLER, NULL);
	v->own = zk_batch_exists(batch,
	    znode_broker_path(zk_batch_arena(batch), b->broker_id), NULL);
	task_set_deadline(t, loop_now_ns(b->control) + PATIENCE_NS);
	zk_batch_submit(batch, t);
	return (task_next(t, vacate_read));
}

void
broker_vacate_task(struct broker *b, struct task *stop)
{
	struct vacate_start start = { b, task_ref(stop) };
	size_t others = 0;

	if (b->registration != NULL && b->zk != NULL &&
	    zk_state(b->zk) == ZK_CONNECTED) {
		const struct cluster_image *image = cluster_image(b->cluster);

		others = image->broker_count -
		    (image_broker(image, b->broker_id) != NULL);
	}
	/* Nobody would take over. */
	b->vacated = others == 0;
	if (b->vacated)
		return;
	broker_end_run_task(b);
	registration_free(&b->registration);
	task_start(b->control, &vacate_class, vacate_begin, vacate_setup,
	    &start);
}

/* Whether the batch is answered; *over: it will not be, or too late. */
static bool
vacate_answered(struct task *t, bool *over)
{
	struct vacate *v = task_state(t);

	waitq_join(zk_state_changed(v->broker->zk), &v->session, t);
	*over = task_expired(t) || zk_state(v->broker->zk) != ZK_CONNECTED;
	return (zk_batch_done(v->batch));
}

static bool
vacate_is_ours(const struct vacate *v, const struct zk_op *op)
{
	return (op->rc == ZK_OK &&
	    op->stat.ephemeral_owner == zk_session_id(v->broker->zk));
}

static enum verdict
vacate_read(struct task *t)
{
	struct vacate *v = task_state(t);
	struct zk_batch *leave, *read = v->batch;
	struct zk_op *multi;
	bool over;

	if (!vacate_answered(t, &over))
		return (over ? STEP_DONE : STEP_WAIT);
	if (v->epoch->rc != ZK_OK || !vacate_is_ours(v, v->seat))
		return (STEP_DONE);
	leave = zk_batch_new(v->broker->zk);
	multi = zk_batch_multi(leave, 3);
	zk_multi_check(leave, multi, ZNODE_CONTROLLER_EPOCH,
	    v->epoch->stat.version);
	zk_multi_delete(leave, multi, ZNODE_CONTROLLER, ZK_ANY_VERSION);
	if (vacate_is_ours(v, v->own))
		zk_multi_delete(leave, multi,
		    znode_broker_path(zk_batch_arena(leave),
			v->broker->broker_id), v->own->stat.version);
	v->batch = leave;
	zk_batch_free(&read);
	zk_batch_submit(leave, t);
	return (task_next(t, vacate_left));
}

static enum verdict
vacate_left(struct task *t)
{
	struct vacate *v = task_state(t);
	bool over;

	if (!vacate_answered(t, &over))
		return (over ? STEP_DONE : STEP_WAIT);
	if (zk_batch_worst(v->batch) == ZK_OK)
		diag_info(v->broker->setup.seams.diag, daemon, "broker=%d left "
		    "the controller's seat", (int)v->broker->broker_id);
	return (STEP_DONE);
}
