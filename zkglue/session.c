/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a zk.  One connection at a time; opening and closing one blocks,
 * so a worker does it, and the loop hears of its end:
 *
 *	zk_new -> [load file] -> [farewell to the saved session] -> open
 *	open -> (chroot) -> CONNECTED <-> SUSPENDED -> EXPIRED -> close -> open
 *	zk_close -> close -> [forget file] -> gone
 */
#include "zkglue/zkglue_int.h"

#include <errno.h>
#include <inttypes.h>

#include "base/diag.h"
#include "base/mem.h"
#include "metrics/metrics.h"

static void connection_open(struct zk *zk, enum connection_kind kind);
static void connection_opened(struct work *work);
static void connection_close(struct zk_connection *c);
static void connection_closed(struct work *work);
static void connection_event(struct zk_connection *c,
    enum zk_driver_event event);
static void file_load_done(struct work *work);
static void file_submit(struct zk *zk, void (*run)(struct work *work),
    void (*done)(struct work *work));
static void zk_end_if_idle(struct zk *zk);

/* --- states --------------------------------------------------------------- */

static const char *const rc_names[] = {
	[ZK_OK] = "ok",
	[ZK_NO_NODE] = "no node",
	[ZK_NODE_EXISTS] = "node exists",
	[ZK_BAD_VERSION] = "bad version",
	[ZK_NOT_EMPTY] = "not empty",
	[ZK_NO_CHILDREN_FOR_EPHEMERALS] = "no children for ephemerals",
	[ZK_ROLLED_BACK] = "rolled back",
	[ZK_SESSION_EXPIRED] = "session expired",
	[ZK_NO_AUTH] = "no auth",
	[ZK_TOO_LARGE] = "too large",
	[ZK_CLOSED] = "closed",
	[ZK_OTHER] = "other",
};

const char *
zk_rc_name(enum zk_rc rc)
{
	return ((size_t)rc < nelems(rc_names) ? rc_names[rc] : "unknown");
}

static const char *const state_names[] = {
	[ZK_CONNECTING] = "connecting",
	[ZK_CONNECTED] = "connected",
	[ZK_SUSPENDED] = "suspended",
	[ZK_EXPIRED] = "expired",
};

static const bool legal_moves[4][4] = {
	[ZK_CONNECTING] = { [ZK_CONNECTED] = true },
	[ZK_CONNECTED] = { [ZK_SUSPENDED] = true },
	[ZK_SUSPENDED] = { [ZK_CONNECTED] = true, [ZK_EXPIRED] = true },
	[ZK_EXPIRED] = { [ZK_CONNECTING] = true },
};

/* In the words of the Java client, which Kafka's dashboards know: it tries on
 * while it is cut off. */
static void
state_count(struct zk *zk)
{
	static const enum metrics_session_state words[] = {
		[ZK_CONNECTING] = METRICS_SESSION_CONNECTING,
		[ZK_CONNECTED] = METRICS_SESSION_CONNECTED,
		[ZK_SUSPENDED] = METRICS_SESSION_CONNECTING,
		[ZK_EXPIRED] = METRICS_SESSION_CLOSED,
	};
	struct metrics *metrics = zk->setup.metrics;

	metrics_select(metrics, METRIC_ZK_SESSION_STATE, words[zk->state]);
	if (zk->state == ZK_CONNECTED)
		metrics_add(metrics, METRIC_ZK_CONNECTS, 1);
	if (zk->state == ZK_SUSPENDED)
		metrics_add(metrics, METRIC_ZK_DISCONNECTS, 1);
	if (zk->state == ZK_EXPIRED)
		metrics_add(metrics, METRIC_ZK_EXPIRES, 1);
}

static void
zk_enter(struct zk *zk, enum zk_state state)
{
	CHECK(legal_moves[zk->state][state]);
	zk->state = state;
	state_count(zk);
	if (state == ZK_SUSPENDED || state == ZK_EXPIRED)
		diag_warn(zk->setup.diag, zkglue,
		    "zookeeper=%s %s session=0x%" PRIx64 " ordinal=%" PRIu64,
		    zk->connect, state_names[state], (uint64_t)zk->session_id,
		    zk->session_ordinal);
	else
		diag_info(zk->setup.diag, zkglue,
		    "zookeeper=%s %s session=0x%" PRIx64 " ordinal=%" PRIu64,
		    zk->connect, state_names[state], (uint64_t)zk->session_id,
		    zk->session_ordinal);
	waitq_wake(&zk->changed);
}

enum zk_state
zk_state(const struct zk *zk)
{
	return (zk->state);
}

uint64_t
zk_session_ordinal(const struct zk *zk)
{
	return (zk->session_ordinal);
}

int64_t
zk_session_id(const struct zk *zk)
{
	return (zk->session_id);
}

bool
zk_session_was_ours(const struct zk *zk, int64_t id)
{
	for (size_t i = 0; i < ZK_PAST_SESSIONS; i++)
		if (id != 0 && zk->past_ids[i] == id)
			return (true);
	return (false);
}

struct waitq *
zk_state_changed(struct zk *zk)
{
	return (&zk->changed);
}

/* --- timers --------------------------------------------------------------- */

static void
reopen_due(struct timer *timer)
{
	connection_open(container_of(timer, struct zk, reopen),
	    CONNECTION_MAIN);
}

static void
throttle_due(struct timer *timer)
{
	zk_pump(container_of(timer, struct zk, throttle));
}

static void
farewell_due(struct timer *timer)
{
	struct zk *zk = container_of(timer, struct zk, farewell);

	diag_warn(zk->setup.diag, zkglue,
	    "session=0x%" PRIx64 " of the last run could not be closed: "
	    "its nodes stay until it expires",
	    (uint64_t)zk->saved.id);
	connection_close(zk->connection);
}

static void
slow_due(struct timer *timer)
{
	struct zk *zk = container_of(timer, struct zk, slow);

	diag_warn(zk->setup.diag, zkglue,
	    "zookeeper=%s does not answer: trying on", zk->connect);
}

static int64_t
slow_ns(const struct zkglue_options *options)
{
	int64_t ms = options->connection_timeout_ms > 0
	    ? options->connection_timeout_ms
	    : options->session_timeout_ms;

	return (ms * 1000000);
}

static void
timers_stop(struct zk *zk)
{
	timer_disarm(&zk->reopen);
	timer_disarm(&zk->throttle);
	timer_disarm(&zk->farewell);
	timer_disarm(&zk->slow);
}

/* --- birth and end -------------------------------------------------------- */

static void
file_load(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);

	zk->saved = zk_session_load(zk->session_file, zk->session_identity);
}

struct zk *
zk_new(const struct zk_setup *setup)
{
	struct zk *zk = mem_zalloc(sizeof(*zk));
	struct slice chroot;

	CHECK(setup->options->connect != NULL);
	zk->magic = ZK_MAGIC;
	zk->setup = *setup;
	zk->connect = mem_strdup(setup->options->connect);
	zk_hosts_cut(zk->connect, &chroot);
	zk->chroot = mem_strndup((const char *)chroot.data, chroot.length);
	zk->state = ZK_CONNECTING;
	state_count(zk);
	waitq_init(&zk->changed);
	list_init(&zk->batches);
	list_init(&zk->queue);
	list_init(&zk->setup_queue);
	timer_init(&zk->reopen, setup->loop, reopen_due);
	timer_init(&zk->throttle, setup->loop, throttle_due);
	timer_init(&zk->farewell, setup->loop, farewell_due);
	timer_init(&zk->slow, setup->loop, slow_due);
	timer_arm_in(&zk->slow, slow_ns(setup->options));
	if (setup->session_file == NULL) {
		connection_open(zk, CONNECTION_MAIN);
		return (zk);
	}
	CHECK(setup->session_identity != NULL);
	zk->session_file = mem_strdup(setup->session_file);
	zk->session_identity = mem_strdup(setup->session_identity);
	file_submit(zk, file_load, file_load_done);
	return (zk);
}

static void
file_load_done(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);

	zk->file_busy = false;
	if (zk->closed) {
		zk_end_if_idle(zk);
		return;
	}
	if (!zk->saved.present) {
		connection_open(zk, CONNECTION_MAIN);
		return;
	}
	timer_arm_in(&zk->farewell, ZK_FAREWELL_NS);
	connection_open(zk, CONNECTION_FAREWELL);
}

void
zk_close(struct zk *zk, struct task_ref task, bool *closed)
{
	struct zk_connection *c = zk->connection;

	CHECK_MAGIC(zk, ZK_MAGIC);
	CHECK(!zk->closed);
	zk->closed = true;
	zk->closer = task;
	zk->closer_told = closed;
	timers_stop(zk);
	zk_calls_end(zk, ZK_CLOSED);
	zk_batch_free(&zk->setup_batch);
	zk_batches_detach(zk);
	zk_watchers_detach(zk);
	waitq_wake(&zk->changed);
	/* Without a connection no last word is sent: the session lives on. */
	zk->forget = zk->state == ZK_CONNECTED && zk->session_file != NULL;
	if (c != NULL && !c->closing)
		connection_close(c);
	zk_end_if_idle(zk);
}

static void
zk_destroy(struct zk *zk)
{
	diag_info(zk->setup.diag, zkglue, "zookeeper=%s closed", zk->connect);
	if (zk->closer_told != NULL)
		*zk->closer_told = true;
	task_wake_ref(zk->closer);
	waitq_fini(&zk->changed);
	hash_clear(&zk->watchers);
	mem_free(zk->session_identity);
	mem_free(zk->session_file);
	mem_free(zk->chroot);
	mem_free(zk->connect);
	zk->magic = 0;
	mem_free(zk);
}

/* --- the session file ----------------------------------------------------- */

static void
file_submit(struct zk *zk, void (*run)(struct work *work),
    void (*done)(struct work *work))
{
	zk->file_busy = true;
	zk->file_work = (struct work){
		.run = run, .done = done, .home = zk->setup.loop,
	};
	work_submit(zk->setup.workers, &zk->file_work);
}

static void
file_save(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);
	int error = zk_session_save(zk->session_file, zk->session_identity,
	    &zk->saved);

	if (error != 0)
		diag_warn(zk->setup.diag, zkglue,
		    "file=%s not written error=%s: after a crash the next "
		    "start waits for the session's end",
		    zk->session_file, strerror(error));
}

static void
file_saved(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);

	zk->file_busy = false;
	if (zk->closed) {
		zk_end_if_idle(zk);
	} else if (zk->file_again) {
		zk->file_again = false;
		zk->saved = zk->latest;
		file_submit(zk, file_save, file_saved);
	}
}

static void
file_forget(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);

	zk_session_forget(zk->session_file);
}

static void
file_forgotten(struct work *work)
{
	struct zk *zk = container_of(work, struct zk, file_work);

	zk->file_busy = false;
	zk_end_if_idle(zk);
}

static void
session_save(struct zk *zk, const struct saved_session *session)
{
	if (zk->session_file == NULL)
		return;
	zk->latest = *session;
	if (zk->file_busy) {
		zk->file_again = true;
		return;
	}
	zk->saved = zk->latest;
	file_submit(zk, file_save, file_saved);
}

static void
zk_end_if_idle(struct zk *zk)
{
	if (!zk->closed || zk->connection != NULL || zk->file_busy)
		return;
	if (zk->forget) {
		zk->forget = false;
		file_submit(zk, file_forget, file_forgotten);
		return;
	}
	zk_destroy(zk);
}

/* --- opening and closing -------------------------------------------------- */

static bool
sink_event(void *arg, enum zk_driver_event event)
{
	struct zk_connection *c = arg;

	if (!c->closing && c->opened) {
		connection_event(c, event);
	} else if (!c->closing) {
		/* The driver was quicker than the worker's word; the last one
		 * counts. */
		c->early = true;
		c->early_event = event;
	}
	return (!c->closing);
}

static void
sink_watch(void *arg, void *cookie)
{
	struct zk_connection *c = arg;

	if (!c->closing)
		zk_watcher_fired(c->zk, cookie);
}

static void
open_run(struct work *work)
{
	struct zk_connection *c =
	    container_of(work, struct zk_connection, work);
	struct zk_driver *driver = c->zk->setup.driver;

	c->session = driver->ops->open(driver, &c->setup);
	c->error = c->session == NULL ? errno : 0;
}

static void
connection_open(struct zk *zk, enum connection_kind kind)
{
	struct zk_connection *c = mem_zalloc(sizeof(*c));

	CHECK(zk->connection == NULL);
	zk->connection = c;
	c->zk = zk;
	c->kind = kind;
	list_init(&c->calls);
	c->setup = (struct zk_session_setup){
		.hosts = zk->connect,
		.timeout_ms = zk->setup.options->session_timeout_ms,
		.loop = zk->setup.loop,
		.sink = { sink_event, sink_watch, c },
	};
	if (kind == CONNECTION_FAREWELL) {
		c->setup.resume_id = zk->saved.id;
		memcpy(c->setup.resume_password, zk->saved.password,
		    sizeof(c->setup.resume_password));
	}
	c->work = (struct work){
		.run = open_run,
		.done = connection_opened,
		.home = zk->setup.loop,
	};
	work_submit(zk->setup.workers, &c->work);
}

/* Forgets the connection and goes on with what comes after it. */
static void
connection_end(struct zk_connection *c)
{
	struct zk *zk = c->zk;
	bool pause = c->pause;

	zk_calls_drop(c);
	zk->connection = NULL;
	mem_free(c);
	if (zk->closed) {
		zk_end_if_idle(zk);
		return;
	}
	if (zk->state == ZK_EXPIRED)
		zk_enter(zk, ZK_CONNECTING);
	if (pause)
		timer_arm_in(&zk->reopen, ZK_REOPEN_PAUSE_NS);
	else
		connection_open(zk, CONNECTION_MAIN);
}

static void
connection_opened(struct work *work)
{
	struct zk_connection *c =
	    container_of(work, struct zk_connection, work);
	struct zk *zk = c->zk;

	c->opened = c->session != NULL;
	if (!c->opened) {
		if (!zk->closed)
			diag_error(zk->setup.diag, zkglue,
			    "zookeeper=%s cannot be tried error=%s: next "
			    "try in 1 s",
			    zk->connect, strerror(c->error));
		timer_disarm(&zk->farewell);
		c->pause = c->kind == CONNECTION_MAIN;
		connection_end(c);
		return;
	}
	if (c->closing)
		connection_close(c);
	else if (c->early)
		connection_event(c, c->early_event);
}

static void
close_run(struct work *work)
{
	struct zk_connection *c =
	    container_of(work, struct zk_connection, work);

	c->zk->setup.driver->ops->close(c->session);
}

/* Before `opened`, only marks: connection_opened() comes back here. */
static void
connection_close(struct zk_connection *c)
{
	c->closing = true;
	c->linked = false;
	timer_disarm(&c->zk->farewell);
	if (!c->opened)
		return;
	c->work = (struct work){
		.run = close_run,
		.done = connection_closed,
		.home = c->zk->setup.loop,
	};
	work_submit(c->zk->setup.workers, &c->work);
}

static void
connection_closed(struct work *work)
{
	connection_end(container_of(work, struct zk_connection, work));
}

/* --- what happens to the session ------------------------------------------ */

static void
session_established(struct zk *zk)
{
	struct saved_session saved = { .present = true };

	timer_disarm(&zk->slow);
	saved.id = zk->setup.driver->ops->id(zk->connection->session,
	    saved.password);
	if (zk->session_id != saved.id)
		zk->past_ids[zk->session_ordinal % ZK_PAST_SESSIONS] =
		    zk->session_id;
	zk->session_id = saved.id;
	zk->session_ordinal++;
	session_save(zk, &saved);
	zk_enter(zk, ZK_CONNECTED);
	zk_watchers_mark_all(zk);
	zk_pump(zk);
}

/* The chroot's nodes were tried. The batch is freed here, by its own last
 * call: nothing touches it after. */
static void
chroot_answered(struct zk_batch *batch)
{
	struct zk *zk = batch->zk;
	enum zk_rc worst = ZK_OK;

	LIST_EACH(element, &batch->calls) {
		enum zk_rc rc =
		    list_entry(element, struct zk_call, batch_link)->op.rc;

		if (rc != ZK_OK && rc != ZK_NODE_EXISTS)
			worst = rc;
	}
	zk->setup_batch = NULL;
	zk_batch_free(&batch);
	if (worst == ZK_SESSION_EXPIRED || worst == ZK_CLOSED)
		return;
	/* Without the right to make its parents, the chroot may still be
	 * there. */
	if (worst != ZK_OK)
		diag_warn(zk->setup.diag, zkglue,
		    "chroot=%s cannot be made: %s", zk->chroot,
		    zk_rc_name(worst));
	zk->chroot_made = worst == ZK_OK;
	session_established(zk);
}

static void
chroot_make(struct zk *zk)
{
	struct zk_batch *batch = zk_batch_new(zk);

	batch->setup = true;
	batch->answered = chroot_answered;
	zk->setup_batch = batch;
	for (char *end = strchr(zk->chroot + 1, '/');;
	    end = strchr(end + 1, '/')) {
		size_t length = end == NULL ? strlen(zk->chroot)
					    : (size_t)(end - zk->chroot);
		char *path = mem_strndup(zk->chroot, length);

		zk_batch_create(batch, path, SLICE_NULL, ZK_PERSISTENT);
		mem_free(path);
		if (end == NULL)
			break;
	}
	zk_batch_submit(batch, NULL);
}

static void
probe_answered(struct zk_batch *batch)
{
	batch->zk->probe = NULL;
	zk_batch_free(&batch);
}

/*
 * A server that does not know yet that the session is over takes its client
 * back, and tells it in answers only.  Who waits for a watch, or keeps a node,
 * asks nothing: so a write is asked for that changes nothing.  Writes are for
 * ZooKeeper's leader to judge, which knows.
 */
static void
session_probe(struct zk *zk)
{
	if (zk->probe != NULL)
		return;
	zk->probe = zk_batch_new(zk);
	zk->probe->answered = probe_answered;
	zk_multi_check(zk->probe, zk_batch_multi(zk->probe, 1), "/",
	    ZK_ANY_VERSION);
	zk_batch_submit(zk->probe, NULL);
}

static void
session_connected(struct zk_connection *c)
{
	struct zk *zk = c->zk;

	c->linked = true;
	if (zk->state == ZK_SUSPENDED) {
		zk_enter(zk, ZK_CONNECTED);
		session_probe(zk);
	}
	if (zk->state == ZK_CONNECTED || zk->setup_batch != NULL)
		zk_pump(zk);
	else if (zk->chroot[0] == '\0' || zk->chroot_made)
		session_established(zk);
	else
		chroot_make(zk);
}

static void
session_suspended(struct zk_connection *c)
{
	c->linked = false;
	zk_calls_lost(c);
	if (c->zk->state == ZK_CONNECTED)
		zk_enter(c->zk, ZK_SUSPENDED);
}

static void
session_expired(struct zk_connection *c, bool auth_failed)
{
	struct zk *zk = c->zk;

	if (auth_failed) {
		metrics_add(zk->setup.metrics, METRIC_ZK_AUTH_FAILURES, 1);
		diag_error(zk->setup.diag, zkglue,
		    "zookeeper=%s refused our credentials: a new session "
		    "in 1 s",
		    zk->connect);
	}
	c->pause = auth_failed;
	session_suspended(c);
	connection_close(c);
	if (zk->state == ZK_SUSPENDED) {
		zk_enter(zk, ZK_EXPIRED);
		zk_calls_end(zk, ZK_SESSION_EXPIRED);
	}
	zk_batch_free(&zk->setup_batch);
}

void
zk_session_gone(struct zk_connection *c)
{
	diag_warn(c->zk->setup.diag, zkglue,
	    "zookeeper=%s does not know session=0x%" PRIx64 " any more, and "
	    "said so in an answer only", c->zk->connect,
	    (uint64_t)zk_session_id(c->zk));
	session_expired(c, false);
}

static void
connection_event(struct zk_connection *c, enum zk_driver_event event)
{
	if (c->kind == CONNECTION_FAREWELL) {
		if (event == ZK_EVENT_SUSPENDED)
			return;
		diag_info(c->zk->setup.diag, zkglue,
		    "session=0x%" PRIx64 " of the last run is %s",
		    (uint64_t)c->setup.resume_id,
		    event == ZK_EVENT_CONNECTED ? "closed now" : "over");
		connection_close(c);
		return;
	}
	switch (event) {
	case ZK_EVENT_CONNECTED:
		session_connected(c);
		break;
	case ZK_EVENT_SUSPENDED:
		session_suspended(c);
		break;
	case ZK_EVENT_EXPIRED:
	case ZK_EVENT_AUTH_FAILED:
		session_expired(c, event == ZK_EVENT_AUTH_FAILED);
		break;
	}
}
