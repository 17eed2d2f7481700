/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The election.
 *
 *	[session] --> [registered] --> [read] --> taken by another: wait
 *	                                 |  ^        for /controller to change
 *	                              vacant|
 *	                                 v  | lost the race, or the answer was
 *	                               [take]  lost: read again
 *	                                 | won
 *	                                 v
 *	                               load.c
 *
 * While another is controller, a witness watches its broker. By the evidence
 * that this is dead, by one who reaches others, /controller is removed, once in
 * an epoch, and all stand for election: its session would end only later.
 *
 * Nobody stands for election whose broker is not registered in this session:
 * its own replicas would count as dead.
 *
 * Taking is one multi: create /controller, set /controller_epoch.  Both then
 * bear one transaction's number: so a /controller of our own session tells that
 * we won although the answer was lost (KAFKA-13407), and that number being the
 * epoch node's last change tells that the epoch beside it is ours.
 */
#include "controller/controller_int.h"

#include "base/random.h"

/* Those who saw the same do not all write at once. */
#define OUST_JITTER_NS ((uint64_t)100 * 1000000)
#define SEAT_AGAIN_NS ((int64_t)1000 * 1000000)

static task_step elect_registration, elect_registered, elect_read, elect_look,
    elect_take, elect_taken, elect_vacate, elect_wait, elect_oust, seat_look;

enum verdict
elect_session(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk *zk = c->setup.zk;

	waitq_join(zk_state_changed(zk), &c->session, t);
	if (zk_state(zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	c->ordinal = zk_session_ordinal(zk);
	return (task_next(t, elect_registration));
}

static enum verdict
elect_registration(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_batch *batch = controller_batch(c);

	c->own.watcher.changed = false;
	c->op = zk_batch_exists(batch, znode_broker_path(zk_batch_arena(batch),
	    c->setup.broker_id), &c->own.watcher);
	return (controller_submit(t, elect_registered));
}

static enum verdict
elect_registered(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	waitq_join(&c->own.watcher.woken, &c->own.link, t);
	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc == ZK_OK &&
	    c->op->stat.ephemeral_owner == zk_session_id(c->setup.zk))
		return (task_next(t, elect_read));
	if (c->op->rc != ZK_OK && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	return (c->own.watcher.changed ? task_next(t, elect_registration) :
	    STEP_WAIT);
}

static enum verdict
elect_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_batch *batch = controller_batch(c);

	c->seat.watcher.changed = false;
	controller_ops(c, 2);
	c->ops[0] = zk_batch_get(batch, ZNODE_CONTROLLER, &c->seat.watcher);
	c->ops[1] = zk_batch_get(batch, ZNODE_CONTROLLER_EPOCH, NULL);
	return (controller_submit(t, elect_look));
}

static enum verdict
elect_won(struct task *t, int32_t epoch, int32_t version,
    const struct zk_op *seat)
{
	struct controller *c = controller_of(t);

	c->epoch = epoch;
	c->epoch_version = version;
	c->elected_zxid = seat->stat.czxid;
	c->elected_ms = seat->stat.ctime_ms;
	atomic_store(&c->current_id, c->setup.broker_id);
	atomic_store(&c->shown_epoch, epoch);
	if (c->state == CONTROLLER_RESIGNED)
		controller_enter(c, CONTROLLER_ELECTING);
	controller_enter(c, CONTROLLER_LOADING);
	diag_info(c->setup.diag, controller,
	    "broker=%d elected controller epoch=%d", (int)c->setup.broker_id,
	    (int)epoch);
	return (task_next(t, load_begin));
}

/* /controller is of a session that was ours, which ZooKeeper has not buried
 * yet: nobody is controller, and nobody need wait for its end (KAFKA-7165). */
static enum verdict
elect_ghost(struct task *t)
{
	struct controller *c = controller_of(t);

	diag_info(c->setup.diag, controller, "broker=%d removes /controller of "
	    "its earlier session", (int)c->setup.broker_id);
	atomic_store(&c->current_id, -1);
	return (task_next(t, elect_vacate));
}

/* /controller is of our own session. */
static enum verdict
elect_ours(struct task *t, int32_t epoch)
{
	struct controller *c = controller_of(t);

	if (c->ops[1]->rc == ZK_OK &&
	    c->ops[0]->stat.czxid == c->ops[1]->stat.mzxid)
		return (elect_won(t, epoch, c->ops[1]->stat.version,
		    c->ops[0]));
	diag_warn(c->setup.diag, controller, "broker=%d holds /controller but "
	    "/controller_epoch changed since: gives it up",
	    (int)c->setup.broker_id);
	return (task_next(t, elect_vacate));
}

/* Who may be ousted: a broker whose election is the one that the epoch's
 * version tells of. Where it is another, somebody was elected between the two
 * reads. */
static void
elect_note(struct task *t, const struct znode_controller *seat)
{
	struct controller *c = controller_of(t);

	if (!c->setup.options->evidence_controller_enable)
		return;
	c->seat_doubtful = c->ops[1]->rc != ZK_OK ||
	    c->ops[0]->stat.czxid != c->ops[1]->stat.mzxid;
	if (c->seat_doubtful) {
		task_sleep(t, SEAT_AGAIN_NS);
		return;
	}
	witnesses_keep(c, seat->broker_id);
	witness_call(c, seat->broker_id, (struct registered){
	    .owner = c->ops[0]->stat.ephemeral_owner });
	c->seat_id = seat->broker_id;
	c->seat_owner = c->ops[0]->stat.ephemeral_owner;
}

static enum verdict
elect_look(struct task *t)
{
	struct controller *c = controller_of(t);
	struct znode_controller seat = { .broker_id = -1 };
	enum verdict verdict;
	int32_t epoch = 0;

	c->seat_id = -1;
	c->seat_doubtful = false;
	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < 2; i++)
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	if (c->ops[1]->rc == ZK_OK &&
	    !znode_epoch_decode(c->ops[1]->answer, &epoch)) {
		if (!c->epoch_broken)
			diag_error(c->setup.diag, controller,
			    "/controller_epoch cannot be read: repair it; "
			    "nobody can be elected");
		c->epoch_broken = c->seat_doubtful = true;
		task_sleep(t, SEAT_AGAIN_NS);
		return (task_next(t, elect_wait));
	}
	c->epoch_broken = false;
	atomic_store(&c->shown_epoch, epoch);
	if (c->ops[0]->rc == ZK_NO_NODE) {
		atomic_store(&c->current_id, -1);
		return (task_next(t, elect_take));
	}
	if (c->ops[0]->stat.ephemeral_owner == zk_session_id(c->setup.zk))
		return (elect_ours(t, epoch));
	if (zk_session_was_ours(c->setup.zk, c->ops[0]->stat.ephemeral_owner))
		return (elect_ghost(t));
	if (!znode_controller_decode(c->ops[0]->answer, &seat))
		diag_error(c->setup.diag, controller,
		    "/controller cannot be read: waits until it goes");
	if (seat.kraft_controller_epoch <= 0 && seat.broker_id >= 0 &&
	    c->ops[0]->stat.ephemeral_owner != 0)
		elect_note(t, &seat);
	else if (seat.broker_id >= 0)
		diag_warn(c->setup.diag, controller, "/controller is held by a "
		    "KRaft controller: this broker does not stand against it");
	atomic_store(&c->current_id, seat.broker_id);
	return (task_next(t, elect_wait));
}

static enum verdict
elect_take(struct task *t)
{
	struct controller *c = controller_of(t);
	const struct zk_op *epoch_read = c->ops[1];
	struct znode_controller seat = {
		.broker_id = c->setup.broker_id,
		.timestamp_ms = loop_wall_ms(task_loop(t)),
		.kraft_controller_epoch = -1,
	};
	struct buffer json = BUFFER_EMPTY, text = BUFFER_EMPTY;
	int32_t version = epoch_read->stat.version, epoch = 0;
	bool absent = epoch_read->rc == ZK_NO_NODE;
	struct zk_batch *batch;

	if (!absent)
		CHECK(znode_epoch_decode(epoch_read->answer, &epoch));
	if (c->state == CONTROLLER_RESIGNED)
		controller_enter(c, CONTROLLER_ELECTING);
	batch = controller_batch(c);
	if (absent) {
		/* The first controller ever. */
		c->op = zk_batch_create(batch, ZNODE_CONTROLLER_EPOCH,
		    SLICE_LITERAL("0"), ZK_PERSISTENT);
		return (controller_submit(t, elect_taken));
	}
	c->epoch = epoch + 1;
	c->epoch_version = version + 1;
	znode_controller_encode(&seat, &json);
	znode_epoch_encode(epoch + 1, &text);
	c->op = zk_batch_multi(batch, 2);
	zk_multi_create(batch, c->op, ZNODE_CONTROLLER, buffer_slice(&json),
	    ZK_EPHEMERAL);
	zk_multi_set(batch, c->op, ZNODE_CONTROLLER_EPOCH, buffer_slice(&text),
	    version);
	buffer_fini(&json);
	buffer_fini(&text);
	return (controller_submit(t, elect_taken));
}

/* Won or not, the nodes themselves tell: they are read again. */
static enum verdict
elect_taken(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc != ZK_OK && c->op->rc != ZK_NODE_EXISTS &&
	    c->op->rc != ZK_BAD_VERSION && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	return (task_next(t, elect_read));
}

/* As long as /controller_epoch is as it was read, nobody was elected since, so
 * it is that same node still. */
static enum verdict
elect_vacate(struct task *t)
{
	struct controller *c = controller_of(t);
	bool fenced = c->ops[1]->rc == ZK_OK;
	int32_t version = c->ops[fenced ? 1 : 0]->stat.version;
	struct zk_batch *batch = controller_batch(c);

	if (!fenced) {
		c->op = zk_batch_delete(batch, ZNODE_CONTROLLER, version);
		return (controller_submit(t, elect_taken));
	}
	c->op = zk_batch_multi(batch, 2);
	zk_multi_check(batch, c->op, ZNODE_CONTROLLER_EPOCH, version);
	zk_multi_delete(batch, c->op, ZNODE_CONTROLLER, ZK_ANY_VERSION);
	return (controller_submit(t, elect_taken));
}

/* Nor one session a second time, which may live and be elected anew: evidence
 * that was wrong once may last. */
static bool
was_ousted(const struct controller *c)
{
	for (size_t i = 0; i < OUSTED_KEPT && i < c->ousted_count; i++)
		if (c->ousted[i] == c->seat_owner)
			return (true);
	return (false);
}

static bool
seat_is_dead(const struct controller *c)
{
	return (c->seat_id >= 0 &&
	    witness_says_session_dead(c, c->seat_id, c->seat_owner));
}

/* Beside the controller's broker others are watched while that is dead: whether
 * they are reached tells what the evidence is worth. All of a large cluster
 * would else connect to all. */
static bool
seat_reach(struct controller *c)
{
	const struct cluster_image *image = cluster_image(c->setup.cluster);
	struct reach reach = { 0, 0 };
	size_t count = image->broker_count, own = 0;

	while (own < count && image->brokers[own]->id != c->setup.broker_id)
		own++;
	if (image_broker(image, c->seat_id) == NULL)
		reach_count(&reach, c, c->seat_id);
	for (size_t k = 0; k < reach_picks(count, own); k++) {
		int32_t id = image->brokers[reach_pick(count, own, k)]->id;

		witness_begin(c, id);
		reach_count(&reach, c, id);
	}
	return (reach_enough(&reach));
}

static bool
may_oust(struct controller *c)
{
	return (seat_is_dead(c) && seat_reach(c) &&
	    c->ousted_epoch != atomic_load(&c->shown_epoch) &&
	    !was_ousted(c));
}

static enum verdict
elect_wait(struct task *t)
{
	struct controller *c = controller_of(t);

	if (c->state == CONTROLLER_ELECTING)
		controller_enter(c, CONTROLLER_RESIGNED);
	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	waitq_join(&c->seat.watcher.woken, &c->seat.link, t);
	if (controller_session_lost(c))
		return (controller_resign(t, "the session is lost"));
	if (c->seat.watcher.changed || (c->seat_doubtful && task_slept(t)))
		return (task_next(t, elect_read));
	if (c->seat_id >= 0 && !seat_is_dead(c))
		witnesses_keep(c, c->seat_id);
	if (may_oust(c)) {
		task_sleep(t, (int64_t)random_below(c->setup.random,
		    OUST_JITTER_NS));
		return (task_next(t, elect_oust));
	}
	return (STEP_WAIT);
}

/* Several saw the same: one of them does. */
static enum verdict
elect_oust(struct task *t)
{
	struct controller *c = controller_of(t);

	waitq_join(zk_state_changed(c->setup.zk), &c->session, t);
	waitq_join(&c->seat.watcher.woken, &c->seat.link, t);
	if (controller_session_lost(c))
		return (controller_resign(t, "the session is lost"));
	if (c->seat.watcher.changed)
		return (task_next(t, elect_read));
	if (!task_slept(t))
		return (STEP_WAIT);
	if (!may_oust(c))
		return (task_next(t, elect_wait));
	diag_warn(c->setup.diag, controller, "broker=%d removes /controller of "
	    "broker=%d epoch=%d, which is dead by the evidence",
	    (int)c->setup.broker_id, (int)c->seat_id,
	    (int)atomic_load(&c->shown_epoch));
	c->ousted_epoch = atomic_load(&c->shown_epoch);
	c->ousted[c->ousted_count++ % OUSTED_KEPT] = c->seat_owner;
	return (task_next(t, elect_vacate));
}

/* --- in office ------------------------------------------------------------ */

enum verdict
seat_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_batch *batch = controller_batch(c);

	c->seat.watcher.changed = false;
	c->op = zk_batch_get(batch, ZNODE_CONTROLLER, &c->seat.watcher);
	return (controller_submit(t, seat_look));
}

static enum verdict
seat_look(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->rc == ZK_OK && c->op->stat.czxid == c->elected_zxid)
		return (task_next(t, controller_idle));
	if (c->op->rc != ZK_OK && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	return (controller_resign(t, "/controller moved"));
}
