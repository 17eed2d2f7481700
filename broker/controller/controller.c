/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the controller: one task, `main`, which waits in elect.c while
 * another broker is controller and in controller_idle() while this one is.  An
 * event is a row of steps that ends in controller_idle() again; events never
 * overlap. Resigning forgets everything that was read and goes back to the
 * election.
 */
#include "controller/controller_int.h"

static task_step controller_pause;

static const struct {
	const char *path;
	bool children;
} watch_rows[] = {
#define X(name, path_, children_) [WATCH_##name] = { path_, children_ },
	CONTROLLER_WATCHES(X)
#undef X
};

/* --- life ----------------------------------------------------------------- */

static void
watched_init(struct watched *watched, struct zk *zk)
{
	zk_watcher_init(&watched->watcher, zk);
}

static void
watched_fini(struct watched *watched)
{
	waitq_leave(&watched->watcher.woken, &watched->link);
	zk_watcher_fini(&watched->watcher);
}

struct controller *
controller_new(const struct controller_setup *setup)
{
	struct controller *c = mem_zalloc(sizeof(*c));

	c->magic = CONTROLLER_MAGIC;
	c->setup = *setup;
	atomic_init(&c->active, false);
	atomic_init(&c->shown_epoch, 0);
	atomic_init(&c->current_id, -1);
	atomic_init(&c->stopped, false);
	watched_init(&c->seat, setup->zk);
	watched_init(&c->own, setup->zk);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		watched_init(&c->watches[i], setup->zk);
	zk_watch_group_init(&c->topic_watches);
	waitq_init(&c->deleted);
	waitq_init(&c->quiet);
	lock_init(&c->channels_lock, LOCK_RANK_LEAF);
	list_init(&c->channels);
	context_init(&c->context);
	rewrite_init(&c->rewrite);
	list_init(&c->reconfigured);
	list_init(&c->witnesses);
	list_init(&c->moving);
	list_init(&c->kept);
	list_init(&c->departed);
	list_init(&c->creations);
	list_init(&c->deletings);
	list_init(&c->expansions);
	list_init(&c->departures);
	list_init(&c->alterings);
	list_init(&c->movings);
	list_init(&c->polls);
	list_init(&c->allocations);
	return (c);
}

/* All that belongs to one term of office, or to a step cut short. */
static void
controller_forget(struct controller *c)
{
	rewrite_clear(c);
	orders_clear(c);
	sweep_clear(c);
	zk_batch_free(&c->batch);
	zk_batch_free(&c->list);
	mem_free(c->ops);
	c->ops = NULL;
	c->op_count = 0;
	mem_free(c->arrived);
	c->arrived = NULL;
	c->arrived_count = 0;
	mem_free(c->walk);
	c->walk = NULL;
	c->walk_count = 0;
	c->dirs_changed = c->proof_changed = false;
	c->deletions_moved = false;
	c->preferred_waits = false;
	c->moves_changed = false;
	c->balance_ns = c->moves_ns = 0;
	c->node_due = false;
	c->seat_id = -1;
	witnesses_keep(c, -1);
	returns_clear(c);
	context_fini(&c->context);
	/* Who waits for a deletion, or to be told, is told no more by us. */
	waitq_wake(&c->deleted);
	departures_cancel(c);
	alterings_cancel(c);
	movings_cancel(c);
	polls_cancel(c, false);
	events_forget(c);
	/* What is watched will be read anew, by whoever is elected. */
	for (size_t i = 0; i < WATCH_COUNT; i++) {
		waitq_leave(&c->watches[i].watcher.woken, &c->watches[i].link);
		c->watches[i].watcher.changed = true;
	}
}

static void
controller_task_fini(struct task *task)
{
	struct controller *c = controller_of(task);

	controller_forget(c);
	waitq_leave(zk_state_changed(c->setup.zk), &c->session);
	waitq_leave(&c->topic_watches.woken, &c->topics_link);
	watched_fini(&c->seat);
	watched_fini(&c->own);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		watched_fini(&c->watches[i]);
	atomic_store(&c->active, false);
	c->state = CONTROLLER_RESIGNED;
}

static const struct task_class controller_class = {
	.name = "controller",
	.state_size = sizeof(struct controller *),
	.fini = controller_task_fini,
};

struct controller *
controller_of(struct task *task)
{
	return (*(struct controller **)task_state(task));
}

static void
controller_setup_task(struct task *task, void *arg)
{
	*(struct controller **)task_state(task) = arg;
}

static void
controller_begin(void *arg)
{
	struct controller *c = arg;

	if (!c->halted)
		c->main = task_ref(task_start(c->setup.loop, &controller_class,
		    elect_session, controller_setup_task, c));
}

void
controller_start(struct controller *controller)
{
	CHECK_MAGIC(controller, CONTROLLER_MAGIC);
	loop_post_call(controller->setup.loop, controller_begin, controller);
}

static void
controller_calls_cancel(struct controller *c)
{
	creations_cancel(c);
	deletings_cancel(c);
	expansions_cancel(c);
	departures_cancel(c);
	alterings_cancel(c);
	movings_cancel(c);
	polls_cancel(c, true);
	allocations_cancel(c);
}

static void
controller_halt(struct post *post)
{
	struct controller *c = container_of(post, struct controller, stop_post);
	struct task *task = c->main.loop == NULL ? NULL : task_of_ref(c->main);
	struct task_ref stopper = c->stopper;

	c->halted = true;
	controller_calls_cancel(c);
	if (task != NULL) {
		if (c->state == CONTROLLER_ACTIVE)
			diag_info(c->setup.diag, controller, "broker=%d "
			    "resigned as controller epoch=%d: it stops",
			    (int)c->setup.broker_id, (int)c->epoch);
		task_cancel(task);
	}
	metrics_set(c->setup.metrics, METRIC_ACTIVE_CONTROLLER_COUNT, 0);
	atomic_store(&c->stopped, true);
	task_wake_ref(stopper);
}

void
controller_stop(struct controller *controller, struct task_ref task)
{
	CHECK_MAGIC(controller, CONTROLLER_MAGIC);
	controller->stopper = task;
	controller->stop_post.run = controller_halt;
	loop_post(controller->setup.loop, &controller->stop_post);
}

bool
controller_stopped(const struct controller *controller)
{
	return (atomic_load(&controller->stopped));
}

void
controller_free(struct controller **place)
{
	struct controller *c = *place;
	struct task *task;

	if (c == NULL)
		return;
	CHECK_MAGIC(c, CONTROLLER_MAGIC);
	task = c->main.loop == NULL ? NULL : task_of_ref(c->main);
	controller_calls_cancel(c);
	if (task != NULL)
		task_cancel(task);
	else if (c->main.loop == NULL) {
		/* Never started: nobody else takes the watchers back. */
		watched_fini(&c->seat);
		watched_fini(&c->own);
		for (size_t i = 0; i < WATCH_COUNT; i++)
			watched_fini(&c->watches[i]);
	}
	zk_watch_group_fini(&c->topic_watches);
	waitq_fini(&c->deleted);
	waitq_fini(&c->quiet);
	CHECK(list_empty(&c->channels));
	lock_fini(&c->channels_lock);
	c->magic = 0;
	mem_free(c);
	*place = NULL;
}

bool
controller_active(const struct controller *controller)
{
	return (atomic_load(&controller->active));
}

int32_t
controller_epoch(const struct controller *controller)
{
	return (atomic_load(&controller->shown_epoch));
}

int32_t
controller_current_id(const struct controller *controller)
{
	return (atomic_load(&controller->current_id));
}

void
controller_call_abandon(struct controller_call *call)
{
	if (call->state != NULL)
		call->state->call = NULL;
	call->state = NULL;
}

void
controller_call_end(struct controller_call_int *hook)
{
	struct controller_call *call = hook->call;

	if (call == NULL)
		return;
	hook->call = NULL;
	call->state = NULL;
	call->done = true;
	task_wake_ref(call->task);
}

/* How long who asked waits for ZooKeeper when it is away, and at least. */
#define ZK_PATIENCE_NS ((int64_t)5 * 1000000000)
#define ZK_LOOK_NS ((int64_t)1000000000)

bool
controller_call_waits(struct controller *c, struct task *t,
    struct controller_call_int *hook)
{
	int64_t now_ns = loop_now_ns(task_loop(t)), first_ns, last_ns;

	if (hook->began_ns == 0)
		hook->began_ns = now_ns;
	first_ns = hook->began_ns + ZK_PATIENCE_NS;
	last_ns = hook->call == NULL ? INT64_MAX : hook->call->deadline_ns;
	if (last_ns < first_ns || zk_state(c->setup.zk) != ZK_CONNECTED)
		last_ns = first_ns;
	if (now_ns >= last_ns) {
		task_set_deadline(t, TASK_NO_DEADLINE);
		return (false);
	}
	if (now_ns >= first_ns)
		first_ns = now_ns + ZK_LOOK_NS;
	task_set_deadline(t, first_ns < last_ns ? first_ns : last_ns);
	return (true);
}

/* --- batches -------------------------------------------------------------- */

struct zk_batch *
controller_batch(struct controller *c)
{
	zk_batch_free(&c->batch);
	c->batch = zk_batch_new(c->setup.zk);
	c->op = NULL;
	return (c->batch);
}

void
controller_ops(struct controller *c, size_t count)
{
	mem_free(c->ops);
	c->ops = mem_zalloc((count + 1) * sizeof(*c->ops));
	c->op_count = 0;
}

enum verdict
controller_submit(struct task *t, task_step *step)
{
	zk_batch_submit(controller_of(t)->batch, t);
	return (task_next(t, step));
}

bool
controller_session_lost(const struct controller *c)
{
	enum zk_state state = zk_state(c->setup.zk);

	return (zk_session_ordinal(c->setup.zk) != c->ordinal ||
	    state == ZK_EXPIRED || state == ZK_CONNECTING);
}

bool
controller_answered(struct task *t, enum verdict *verdict)
{
	struct controller *c = controller_of(t);

	if (controller_session_lost(c)) {
		*verdict = controller_resign(t, "the session is lost");
		return (false);
	}
	/* Whatever woke it. */
	events_note(c);
	*verdict = STEP_WAIT;
	return (zk_batch_done(c->batch));
}

struct zk_op *
controller_fenced(struct controller *c, size_t parts)
{
	struct zk_op *multi = zk_batch_multi(c->batch, parts + 1);

	zk_multi_check(c->batch, multi, ZNODE_CONTROLLER_EPOCH,
	    c->epoch_version);
	return (multi);
}

bool
controller_fence_failed(const struct zk_op *multi)
{
	return (multi->rc != ZK_OK && (multi->parts[0].rc == ZK_BAD_VERSION ||
	    multi->parts[0].rc == ZK_NO_NODE));
}

const char *
controller_watch_path(enum controller_watch watch)
{
	return (watch_rows[watch].path);
}

struct zk_op *
controller_watch_read(struct controller *c, enum controller_watch watch)
{
	struct zk_watcher *watcher = &c->watches[watch].watcher;

	watcher->changed = false;
	if (watch_rows[watch].children)
		return (zk_batch_children(c->batch, watch_rows[watch].path,
		    watcher));
	return (zk_batch_exists(c->batch, watch_rows[watch].path, watcher));
}

/* --- states --------------------------------------------------------------- */

static bool
state_move_legal(enum controller_state from, enum controller_state to)
{
	switch (to) {
	case CONTROLLER_RESIGNED:
		return (true);
	case CONTROLLER_ELECTING:
		return (from == CONTROLLER_RESIGNED);
	case CONTROLLER_LOADING:
		return (from == CONTROLLER_ELECTING);
	case CONTROLLER_ACTIVE:
		return (from == CONTROLLER_LOADING);
	}
	UNREACHABLE();
}

void
controller_enter(struct controller *c, enum controller_state state)
{
	CHECK(state_move_legal(c->state, state));
	c->state = state;
	atomic_store(&c->active, state == CONTROLLER_ACTIVE);
	metrics_set(c->setup.metrics, METRIC_ACTIVE_CONTROLLER_COUNT,
	    state == CONTROLLER_ACTIVE);
}

void
controller_measure(struct controller *c)
{
	struct metrics *m = c->setup.metrics;
	bool active = c->state == CONTROLLER_ACTIVE;
	int64_t offline = 0, imbalanced = 0, doomed = 0;

	if (m == NULL || !c->context.unmeasured)
		return;
	c->context.unmeasured = false;
	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);

		doomed += topic_doomed(topic);
		if (topic_doomed(topic))
			continue;
		for (size_t i = 0; i < topic->partition_count; i++) {
			const struct partition *p = topic->partitions[i];

			offline += p->state != PARTITION_ONLINE;
			imbalanced += p->replica_count > 0 &&
			    p->now.leader != p->replicas[0].broker;
		}
	}
	metrics_set(m, METRIC_OFFLINE_PARTITIONS_COUNT, offline);
	metrics_set(m, METRIC_PREFERRED_REPLICA_IMBALANCE_COUNT, imbalanced);
	metrics_set(m, METRIC_TOPICS_TO_DELETE_COUNT, doomed);
	metrics_set(m, METRIC_GLOBAL_TOPIC_COUNT,
	    active ? (int64_t)hash_count(&c->context.topics) : 0);
	metrics_set(m, METRIC_GLOBAL_PARTITION_COUNT,
	    active ? (int64_t)c->context.partition_count : 0);
	metrics_set(m, METRIC_ACTIVE_BROKER_COUNT,
	    active ? (int64_t)c->context.broker_count : 0);
}

/* --- resigning ------------------------------------------------------------ */

static void
controller_step_down(struct controller *c, const char *why)
{
	if (c->state == CONTROLLER_LOADING || c->state == CONTROLLER_ACTIVE)
		diag_info(c->setup.diag, controller, "broker=%d resigned as "
		    "controller epoch=%d: %s", (int)c->setup.broker_id,
		    (int)c->epoch, why);
	if (atomic_load(&c->current_id) == c->setup.broker_id)
		atomic_store(&c->current_id, -1);
	controller_enter(c, CONTROLLER_RESIGNED);
	controller_forget(c);
	controller_measure(c);
}

enum verdict
controller_resign(struct task *t, const char *why)
{
	controller_step_down(controller_of(t), why);
	return (task_next(t, elect_session));
}

enum verdict
controller_trouble(struct task *t, const struct zk_op *op)
{
	struct controller *c = controller_of(t);

	/* With the session all its answers are void: nothing to say of it. */
	if (!controller_session_lost(c))
		diag_error(c->setup.diag, controller, "path=%s was refused by "
		    "ZooKeeper rc=%s: begins again in a second",
		    op->path == NULL ? "(multi)" : op->path,
		    zk_rc_name(op->rc));
	controller_step_down(c, "ZooKeeper refused");
	task_sleep(t, TROUBLE_PAUSE_NS);
	return (task_next(t, controller_pause));
}

static enum verdict
controller_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, elect_session) : STEP_WAIT);
}

/* --- what changed --------------------------------------------------------- */

void
controller_look(struct controller *c)
{
	struct task *task = c->main.loop == NULL ? NULL :
	    task_of_ref(c->main);

	events_note(c);
	if (task != NULL)
		task_wake(task);
}

void
controller_config_changed(struct controller *c, const char *name)
{
	struct topic *topic;

	CHECK_MAGIC(c, CONTROLLER_MAGIC);
	topic = c->state != CONTROLLER_ACTIVE ? NULL :
	    context_topic(&c->context, slice_of_text(name));
	if (topic == NULL || list_linked(&topic->reconfigured))
		return;
	list_push_tail(&c->reconfigured, &topic->reconfigured);
	controller_look(c);
}

void
controller_set_config(struct controller *c, const struct config *config,
    bool elects)
{
	const struct broker_options *options = config_options(config);

	CHECK_MAGIC(c, CONTROLLER_MAGIC);
	c->setup.config = config;
	c->setup.broker_options = options;
	c->setup.options = &options->controller;
	if (!elects || c->state != CONTROLLER_ACTIVE)
		return;
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		if (!list_linked(&topic->reconfigured))
			list_push_tail(&c->reconfigured, &topic->reconfigured);
	}
	controller_look(c);
}
