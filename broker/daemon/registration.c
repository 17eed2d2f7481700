/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/registration.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/mem.h"
#include "base/text.h"

#define RETRY_NS ((int64_t)500 * 1000000)
/* Attempts that ZooKeeper itself may refuse. */
#define REFUSALS_MAX 10

/* What the node shows. */
struct shown {
	struct arena arena;
	struct znode_broker broker;
};

struct registration {
	struct registration_setup setup; /* its broker is not used */
	struct shown *shown;
	struct shown *wanted;  /* instead; NULL: nothing else */
	struct shown *sending; /* was wanted; under way */
	struct task_ref task;
	struct waitq changed;
	enum registration_state state;
	_Atomic int64_t broker_epoch;
	uint64_t ordinal; /* of the session in which the node was made */
	int64_t patience_until_ns; /* 0: nobody stood in the way yet */
	int refusals; /* by ZooKeeper, since it was registered last */
	/* The attempt that is under way. */
	uint64_t attempt_ordinal;
	struct waitq_link link;
	struct zk_batch *batch;
	struct zk_op *op;
};

static task_step registration_wait_session, registration_list,
    registration_twins, registration_compare, registration_create,
    registration_created, registration_owner, registration_removed,
    registration_pause, registration_set_done;

static void
registration_fini(struct task *task)
{
	struct registration *r = *(struct registration **)task_state(task);

	zk_batch_free(&r->batch);
	waitq_leave(zk_state_changed(r->setup.zk), &r->link);
}

static const struct task_class registration_class = {
	.name = "registration",
	.state_size = sizeof(struct registration *),
	.fini = registration_fini,
};

static struct registration *
registration_of(struct task *task)
{
	return (*(struct registration **)task_state(task));
}

static void
registration_setup_task(struct task *task, void *arg)
{
	*(struct registration **)task_state(task) = arg;
}

static const char *
shown_text(struct shown *shown, const char *text)
{
	const char *copy = text == NULL ? NULL :
	    arena_strdup(&shown->arena, text);

	CHECK(text == NULL || copy != NULL);
	return (copy);
}

static struct shown *
shown_new(const struct znode_broker *broker)
{
	struct shown *shown = mem_zalloc(sizeof(*shown));
	struct znode_endpoint *endpoints;

	arena_init(&shown->arena, 0);
	shown->broker = *broker;
	endpoints = arena_array(&shown->arena, broker->endpoint_count,
	    sizeof(*endpoints));
	CHECK(endpoints != NULL);
	for (size_t i = 0; i < broker->endpoint_count; i++) {
		const struct znode_endpoint *from = &broker->endpoints[i];

		endpoints[i] = *from;
		endpoints[i].listener = shown_text(shown, from->listener);
		endpoints[i].protocol = shown_text(shown, from->protocol);
		endpoints[i].host = shown_text(shown, from->host);
	}
	shown->broker.endpoints = endpoints;
	shown->broker.rack = shown_text(shown, broker->rack);
	return (shown);
}

static void
shown_free(struct shown **shown)
{
	if (*shown == NULL)
		return;
	arena_fini(&(*shown)->arena);
	mem_free(*shown);
	*shown = NULL;
}

struct registration *
registration_new(const struct registration_setup *setup)
{
	struct registration *r = mem_zalloc(sizeof(*r));

	r->setup = *setup;
	r->shown = shown_new(setup->broker);
	r->state = REGISTRATION_PENDING;
	atomic_init(&r->broker_epoch, -1);
	waitq_init(&r->changed);
	r->task = task_ref(task_start(setup->loop, &registration_class,
	    registration_wait_session, registration_setup_task, r));
	return (r);
}

void
registration_free(struct registration **registration)
{
	struct registration *r = *registration;
	struct task *task;

	if (r == NULL)
		return;
	task = task_of_ref(r->task);
	if (task != NULL)
		task_cancel(task);
	shown_free(&r->shown);
	shown_free(&r->wanted);
	shown_free(&r->sending);
	waitq_fini(&r->changed);
	mem_free(r);
	*registration = NULL;
}

void
registration_update(struct registration *r, const struct znode_broker *broker)
{
	struct task *task = task_of_ref(r->task);

	shown_free(&r->wanted);
	r->wanted = shown_new(broker);
	if (task != NULL)
		task_wake(task);
}

enum registration_state
registration_state(const struct registration *r)
{
	return (r->state);
}

struct waitq *
registration_changed(struct registration *r)
{
	return (&r->changed);
}

int64_t
registration_broker_epoch(const struct registration *r)
{
	return (atomic_load_explicit(&r->broker_epoch, memory_order_acquire));
}

static void
registration_enter(struct registration *r, enum registration_state state)
{
	r->state = state;
	waitq_wake(&r->changed);
}

static enum verdict
registration_refuse(struct registration *r, const char *why)
{
	diag_fatal(r->setup.diag, daemon,
	    "broker=%d cannot register: %s", r->setup.broker_id, why);
	registration_enter(r, REGISTRATION_REFUSED);
	return (STEP_DONE);
}

/* Another broker is in the way. */
static enum verdict
registration_occupied(struct registration *r, const char *why)
{
	char text[500];

	snprintf(text, sizeof(text), "%s; give it another broker.id or end "
	    "the other one", why);
	return (registration_refuse(r, text));
}

/* Submits r->batch; its answers are looked at in `step`. */
static enum verdict
registration_submit(struct task *t, task_step *step)
{
	zk_batch_submit(registration_of(t)->batch, t);
	return (task_next(t, step));
}

static struct zk_batch *
registration_batch(struct registration *r)
{
	zk_batch_free(&r->batch);
	r->batch = zk_batch_new(r->setup.zk);
	return (r->batch);
}

/* What was under way is wanted still, unless something else is. */
static void
registration_put_off(struct registration *r)
{
	if (r->wanted != NULL)
		shown_free(&r->sending);
	if (r->sending != NULL)
		r->wanted = r->sending;
	r->sending = NULL;
}

/* A change is refused, and the broker goes on as it was. */
static enum verdict
registration_keep(struct task *t, const char *why)
{
	struct registration *r = registration_of(t);

	diag_error(r->setup.diag, daemon, "broker=%d cannot be registered with "
	    "other addresses: %s; those before stay", r->setup.broker_id, why);
	shown_free(&r->sending);
	return (task_next(t, registration_wait_session));
}

static enum verdict
registration_again(struct task *t)
{
	task_sleep(t, RETRY_NS);
	return (task_next(t, registration_pause));
}

/* An answer that no attempt can go on with: again, in the next session at once,
 * else some times, for what was meant may have been changed meanwhile. */
static enum verdict
registration_failed(struct task *t, const char *path, enum zk_rc rc)
{
	struct registration *r = registration_of(t);
	char why[300];

	if (rc == ZK_SESSION_EXPIRED) {
		registration_put_off(r);
		return (registration_again(t));
	}
	snprintf(why, sizeof(why), "ZooKeeper refuses path=%s rc=%s", path,
	    zk_rc_name(rc));
	if (r->sending != NULL)
		return (registration_keep(t, why));
	if (r->refusals++ == REFUSALS_MAX)
		return (registration_refuse(r, why));
	if (r->refusals == 1)
		diag_warn(r->setup.diag, daemon,
		    "broker=%d is not registered yet: %s; it tries again",
		    r->setup.broker_id, why);
	return (registration_again(t));
}

/* Both while registered, for the next session, and before. */
static enum verdict
registration_wait_session(struct task *t)
{
	struct registration *r = registration_of(t);

	waitq_join(zk_state_changed(r->setup.zk), &r->link, t);
	if (zk_session_ordinal(r->setup.zk) != r->ordinal &&
	    r->state == REGISTRATION_DONE)
		registration_enter(r, REGISTRATION_PENDING);
	if (zk_state(r->setup.zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	if (zk_session_ordinal(r->setup.zk) == r->ordinal) {
		if (r->wanted == NULL)
			return (STEP_WAIT);
		r->sending = r->wanted;
		r->wanted = NULL;
		return (task_next(t, registration_list));
	}
	r->attempt_ordinal = zk_session_ordinal(r->setup.zk);
	return (task_next(t, registration_list));
}

static enum verdict
registration_list(struct task *t)
{
	struct registration *r = registration_of(t);

	r->op = zk_batch_children(registration_batch(r), ZNODE_BROKER_IDS,
	    NULL);
	return (registration_submit(t, registration_compare));
}

/* The address of `mine` that `other` has too, or NULL. */
static const struct znode_endpoint *
registration_same_address(const struct znode_broker *mine,
    const struct znode_broker *other)
{
	for (size_t i = 0; i < mine->endpoint_count; i++)
		for (size_t j = 0; j < other->endpoint_count; j++)
			if (mine->endpoints[i].port ==
				other->endpoints[j].port &&
			    other->endpoints[j].host != NULL &&
			    strcmp(mine->endpoints[i].host,
				other->endpoints[j].host) == 0)
				return (&mine->endpoints[i]);
	return (NULL);
}

/* The names of /brokers/ids have come; their data are read in the same batch
 * order, then compared: no two brokers may advertise one address. */
static enum verdict
registration_twins(struct task *t)
{
	struct registration *r = registration_of(t);
	struct arena *arena = zk_batch_arena(r->batch);
	const struct shown *mine = r->sending != NULL ? r->sending : r->shown;

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	for (struct zk_op *op = r->op; op != NULL;) {
		struct znode_broker other;
		const struct znode_endpoint *same = NULL;

		if (op->rc == ZK_OK &&
		    znode_broker_decode(op->answer, arena, &other))
			same = registration_same_address(&mine->broker,
			    &other);
		if (same != NULL) {
			char why[400];

			snprintf(why, sizeof(why),
			    "%s:%d is registered already by %s", same->host,
			    (int)same->port, op->path);
			if (r->sending != NULL)
				return (registration_keep(t, why));
			return (registration_occupied(r, why));
		}
		op = op->cookie;
	}
	return (task_next(t, registration_create));
}

static enum verdict
registration_compare(struct task *t)
{
	struct registration *r = registration_of(t);
	struct zk_batch *old = r->batch;
	struct zk_batch *reads;
	struct zk_op *last = NULL;
	int32_t id;

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc != ZK_OK)
		return (registration_failed(t, ZNODE_BROKER_IDS, r->op->rc));
	reads = zk_batch_new(r->setup.zk);
	for (size_t i = 0; i < r->op->child_count; i++) {
		struct zk_op *op;

		if (!text_to_int32(slice_of_text(r->op->children[i]), &id) ||
		    id == r->setup.broker_id)
			continue;
		op = zk_batch_get(reads,
		    znode_broker_path(zk_batch_arena(reads), id), NULL);
		op->cookie = last;
		last = op;
	}
	zk_batch_free(&old);
	r->batch = reads;
	r->op = last;
	if (last == NULL)
		return (task_next(t, registration_create));
	return (registration_submit(t, registration_twins));
}

static struct slice
registration_json(struct registration *r, const struct shown *shown,
    struct arena *arena)
{
	struct znode_broker broker = shown->broker;
	struct buffer json = BUFFER_EMPTY;
	struct slice copy;
	bool ok = true;

	broker.timestamp_ms = clock_wall_ms(r->setup.clock);
	znode_broker_encode(&broker, &json);
	copy = arena_slice_copy(arena, buffer_slice(&json), &ok);
	buffer_fini(&json);
	CHECK(ok);
	return (copy);
}

/* Null data first, then the JSON, in one multi: the data version is 1, as
 * after Kafka's. */
static enum verdict
registration_create(struct task *t)
{
	struct registration *r = registration_of(t);
	struct zk_batch *batch = registration_batch(r);
	struct arena *arena = zk_batch_arena(batch);
	const char *path = znode_broker_path(arena, r->setup.broker_id);

	if (r->sending != NULL) {
		r->op = zk_batch_set(batch, path,
		    registration_json(r, r->sending, arena), ZK_ANY_VERSION);
		return (registration_submit(t, registration_set_done));
	}
	r->op = zk_batch_multi(batch, 2);
	zk_multi_create(batch, r->op, path, SLICE_NULL, ZK_EPHEMERAL);
	zk_multi_set(batch, r->op, path, registration_json(r, r->shown, arena),
	    0);
	return (registration_submit(t, registration_created));
}

/* The node is gone only with its session, which is about to be told. */
static enum verdict
registration_set_done(struct task *t)
{
	struct registration *r = registration_of(t);

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc == ZK_NO_NODE) {
		registration_put_off(r);
		return (registration_again(t));
	}
	if (r->op->rc != ZK_OK)
		return (registration_failed(t, r->op->path, r->op->rc));
	shown_free(&r->shown);
	r->shown = r->sending;
	r->sending = NULL;
	zk_batch_free(&r->batch);
	diag_info(r->setup.diag, daemon, "broker=%d registered with other "
	    "addresses", r->setup.broker_id);
	return (task_next(t, registration_wait_session));
}

static enum verdict
registration_done(struct task *t, int64_t epoch)
{
	struct registration *r = registration_of(t);

	r->ordinal = r->attempt_ordinal;
	r->patience_until_ns = 0;
	r->refusals = 0;
	atomic_store_explicit(&r->broker_epoch, epoch, memory_order_release);
	diag_info(r->setup.diag, daemon,
	    "broker=%d registered epoch=%" PRId64, r->setup.broker_id, epoch);
	zk_batch_free(&r->batch);
	registration_enter(r, REGISTRATION_DONE);
	return (task_next(t, registration_wait_session));
}

static enum verdict
registration_created(struct task *t)
{
	struct registration *r = registration_of(t);

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc == ZK_OK)
		return (registration_done(t, r->op->parts[1].stat.czxid));
	if (r->op->parts[0].rc == ZK_NODE_EXISTS ||
	    r->op->rc == ZK_NODE_EXISTS) {
		struct zk_batch *batch = registration_batch(r);

		r->op = zk_batch_get(batch,
		    znode_broker_path(zk_batch_arena(batch),
			r->setup.broker_id), NULL);
		return (registration_submit(t, registration_owner));
	}
	return (registration_failed(t, r->op->parts[0].path, r->op->rc));
}

/* A node of our id is there. Ours by a lost reply; or left by our own earlier
 * session, which we remove (KAFKA-7165); or by a process that died at this very
 * address, whose session must end first; or another broker's. */
static enum verdict
registration_owner(struct task *t)
{
	struct registration *r = registration_of(t);
	struct znode_broker other;
	int64_t owner;

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc == ZK_NO_NODE)
		return (registration_again(t)); /* it has just gone */
	if (r->op->rc != ZK_OK)
		return (registration_failed(t, r->op->path, r->op->rc));
	owner = r->op->stat.ephemeral_owner;
	if (owner == zk_session_id(r->setup.zk))
		return (registration_done(t, r->op->stat.czxid));
	if (zk_session_was_ours(r->setup.zk, owner)) {
		struct zk_batch *batch = registration_batch(r);

		diag_info(r->setup.diag, daemon,
		    "broker=%d removes the node of its earlier session",
		    r->setup.broker_id);
		r->op = zk_batch_delete(batch,
		    znode_broker_path(zk_batch_arena(batch),
			r->setup.broker_id), ZK_ANY_VERSION);
		return (registration_submit(t, registration_removed));
	}
	if (!znode_broker_decode(r->op->answer, zk_batch_arena(r->batch),
		&other) ||
	    registration_same_address(&r->shown->broker, &other) == NULL)
		return (registration_occupied(r,
		    "another broker is registered with this id"));
	if (r->patience_until_ns == 0) {
		r->patience_until_ns = loop_now_ns(r->setup.loop) +
		    r->setup.patience_ms * 1000000;
		diag_warn(r->setup.diag, daemon,
		    "broker=%d is registered already at this address: waiting "
		    "for the session of the process that died to end",
		    r->setup.broker_id);
	}
	if (loop_now_ns(r->setup.loop) > r->patience_until_ns)
		return (registration_occupied(r,
		    "a broker with this id and address keeps its session"));
	return (registration_again(t));
}

static enum verdict
registration_removed(struct task *t)
{
	struct registration *r = registration_of(t);

	if (!zk_batch_done(r->batch))
		return (STEP_WAIT);
	if (r->op->rc != ZK_OK && r->op->rc != ZK_NO_NODE)
		return (registration_failed(t, r->op->path, r->op->rc));
	return (task_next(t, registration_wait_session));
}

static enum verdict
registration_pause(struct task *t)
{
	if (!task_slept(t))
		return (STEP_WAIT);
	return (task_next(t, registration_wait_session));
}
