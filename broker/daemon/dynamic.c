/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was set at run time, of this broker and of all: /config/brokers/N and
 * /config/brokers/<default>.
 *
 *	[session] --> [read both, watched] --> [unseal] --first--> resolved, or
 *	    ^                 ^  ^                |    refused: the start goes
 *	    |                 |  +--- [renew] <---+    on, or ends
 *	    |                 |                   +--later--> differs:
 *	    |                 |                       [prepare] --> [spread]
 *	    +-- session lost -+--- [idle] <---------------------------+
 *
 * They are read before any room but the directories and the session has begun,
 * and count as if they stood in the file.  From the moment the doors are open a
 * change makes another generation of the config (config/live.h), which has the
 * file's layer and what was read: a worker does what may wait, then rooms take
 * it (settings.c).  One generation at a time; what changes meanwhile is seen
 * after.  What does not resolve is told, and the one before stays.
 *
 * A worker decodes the secrets among them.  Those that only
 * password.encoder.old.secret decodes are encoded anew, for the start, and
 * written (renew); then all is read again.
 *
 * The znodes are watched, and not the notifications of their changes: a write
 * without a notification counts too, and the watch's next reading sees what was
 * written while the session was away.  A read that is refused leaves no watch:
 * it is tried again after a while.
 */
#include "daemon/dynamic.h"

#include <stdio.h>

#include "base/mem.h"
#include "config/security.h"
#include "daemon/broker_int.h"
#include "daemon/settings.h"
#include "security/secrets.h"

#define DYNAMIC_RETRY_NS ((int64_t)1000 * 1000000)
/* ZooKeeper refused a read: an ACL stands in the way. */
#define DYNAMIC_REFUSED_NS ((int64_t)10000 * 1000000)
/* Somebody else may write at the same time. */
#define DYNAMIC_RENEWALS_MAX 10

enum { OF_ALL, OF_THIS, LAYERS };
static const enum config_source dynamic_sources[LAYERS] = {
	CONFIG_SOURCE_DYNAMIC_DEFAULT, CONFIG_SOURCE_DYNAMIC_BROKER };

struct dynamic {
	struct broker *broker;
	struct task_ref task;
	struct waitq read;
	enum dynamic_state state;
	bool open;    /* rooms are there, and changes count */
	bool pending; /* what was read last has not been resolved yet */
	const struct config *config; /* what counts, resolved; counted */
	struct config *next;         /* on its way; NULL: none */
	struct broker_work work;     /* prepares it */
	struct config_map maps[LAYERS]; /* as read last */
	struct config_map plain[LAYERS]; /* the same with secrets decoded */
	struct config_map renewed; /* of this broker; empty: nothing to renew */
	bool unsealing; /* a worker is at them */
	int renewals;
	struct config_map taken[LAYERS]; /* as `config` has them */
	char name[LAYERS][16];
	struct zk_watcher watchers[LAYERS];
	struct waitq_link links[LAYERS];
	struct waitq_link session;
	struct zk_batch *batch;
	struct zk_op *ops[LAYERS];
	int64_t seen[LAYERS]; /* mzxids, or why there is none */
};

static task_step dynamic_session, dynamic_answered, dynamic_idle,
    dynamic_pause, dynamic_prepared, dynamic_spread, dynamic_unsealed,
    dynamic_renewed;

static void
dynamic_fini(struct task *task)
{
	struct dynamic *d = *(struct dynamic **)task_state(task);

	for (int i = 0; i < LAYERS; i++) {
		waitq_leave(&d->watchers[i].woken, &d->links[i]);
		zk_watcher_fini(&d->watchers[i]);
	}
	waitq_leave(zk_state_changed(d->broker->zk), &d->session);
	zk_batch_free(&d->batch);
}

static const struct task_class dynamic_class = {
	.name = "dynamic configs",
	.state_size = sizeof(struct dynamic *),
	.fini = dynamic_fini,
};

static struct dynamic *
dynamic_of(struct task *task)
{
	return (*(struct dynamic **)task_state(task));
}

static void
dynamic_setup(struct task *task, void *arg)
{
	*(struct dynamic **)task_state(task) = arg;
}

struct dynamic *
dynamic_new(struct broker *b)
{
	struct dynamic *d = mem_zalloc(sizeof(*d));

	d->broker = b;
	waitq_init(&d->read);
	snprintf(d->name[OF_ALL], sizeof(d->name[0]), "<default>");
	snprintf(d->name[OF_THIS], sizeof(d->name[0]), "%d",
	    (int)b->broker_id);
	d->config = config_ref(b->setup.config);
	config_map_init(&d->renewed);
	for (int i = 0; i < LAYERS; i++) {
		config_map_init(&d->maps[i]);
		config_map_init(&d->plain[i]);
		config_map_init(&d->taken[i]);
		zk_watcher_init(&d->watchers[i], b->zk);
	}
	d->task = task_ref(task_start(b->control, &dynamic_class,
	    dynamic_session, dynamic_setup, d));
	return (d);
}

void
dynamic_stop(struct dynamic *d)
{
	struct task *task = d == NULL ? NULL : task_of_ref(d->task);

	if (task != NULL)
		task_cancel(task);
}

void
dynamic_free(struct dynamic **place)
{
	struct dynamic *d = *place;

	if (d == NULL)
		return;
	for (int i = 0; i < LAYERS; i++) {
		config_map_fini(&d->maps[i]);
		config_map_fini(&d->plain[i]);
		config_map_fini(&d->taken[i]);
	}
	config_map_fini(&d->renewed);
	config_free(&d->next);
	config_unref(d->config);
	waitq_fini(&d->read);
	mem_free(d);
	*place = NULL;
}

void
dynamic_open(struct dynamic *d)
{
	struct task *task = task_of_ref(d->task);

	d->open = true;
	if (task != NULL)
		task_wake(task);
}

void
dynamic_close(struct dynamic *d)
{
	if (d != NULL)
		d->open = false;
}

bool
dynamic_at_rest(const struct dynamic *d)
{
	return (d == NULL || (d->next == NULL && !d->unsealing &&
	    (d->broker->live == NULL ||
		config_live_settled(d->broker->live))));
}

enum dynamic_state
dynamic_state(const struct dynamic *d)
{
	return (d->state);
}

struct waitq *
dynamic_changed(struct dynamic *d)
{
	return (&d->read);
}

const struct config *
dynamic_config(const struct dynamic *d)
{
	return (d->config);
}

/* --- resolving ------------------------------------------------------------ */

static void
dynamic_copy(struct config_map *to, const struct config_map *from)
{
	config_map_fini(to);
	config_map_init(to);
	CHECK(config_map_merge(to, from));
}

/* Whether it is set to something else than what counts, or to nothing more. */
static bool
dynamic_differs(const struct dynamic *d, int layer, const char *name)
{
	const char *now = config_map_get(&d->maps[layer], name);
	const char *before = config_map_get(&d->taken[layer], name);

	return ((now == NULL) != (before == NULL) ||
	    (now != NULL && strcmp(now, before) != 0));
}

/*
 * The first `own` findings are of what was set at run time, the others too
 * where that has the name; those of the file were told before, and so was what
 * has not changed since.
 */
static void
dynamic_tell(struct dynamic *d, const struct config *config, size_t own)
{
	struct diag *diag = d->broker->setup.seams.diag;

	for (size_t i = 0; i < config_finding_count(config); i++) {
		const struct finding *f = config_finding_at(config, i);
		bool error = f->severity == FINDING_ERROR;

		if (error && !d->open)
			diag_fatal(diag, config, "%s (/config/brokers): %s",
			    f->subject, f->message);
		else if (error)
			diag_error(diag, config, "%s (/config/brokers): %s",
			    f->subject, f->message);
		else if ((i < own || config_is_dynamic(config, f->subject)) &&
		    (!d->open || dynamic_differs(d, OF_ALL, f->subject) ||
			dynamic_differs(d, OF_THIS, f->subject)))
			diag_warn(diag, config, "%s (/config/brokers): %s",
			    f->subject, f->message);
	}
}

/* What the file and ZooKeeper say together; NULL: it has errors, which were
 * told. */
static struct config *
dynamic_resolve(struct dynamic *d)
{
	struct config *config = config_clone(d->broker->setup.config);
	bool good = true;
	size_t own;

	for (int i = 0; i < LAYERS; i++)
		good = config_add_dynamic(config, dynamic_sources[i],
		    &d->plain[i], d->open ? CONFIG_RUNNING : CONFIG_START) &&
		    good;
	own = config_finding_count(config);
	good = config_resolve(config) && good;
	dynamic_tell(d, config, own);
	d->pending = false;
	if (!good)
		config_free(&config);
	return (config);
}

static void
dynamic_count(struct dynamic *d, const struct config *config)
{
	config_unref(d->config);
	d->config = config_ref(config);
	for (int i = 0; i < LAYERS; i++)
		dynamic_copy(&d->taken[i], &d->maps[i]);
}

/* For the start. */
static void
dynamic_begin(struct dynamic *d)
{
	struct config *config = dynamic_resolve(d);

	d->state = config == NULL ? DYNAMIC_REFUSED : DYNAMIC_READ;
	if (config != NULL)
		dynamic_count(d, config);
	config_free(&config);
}

/* --- changes -------------------------------------------------------------- */

static void
dynamic_prepare_run(struct work *work)
{
	struct broker_work *w = container_of(work, struct broker_work, work);
	struct dynamic *d = w->broker->dynamic;

	w->good = settings_prepare(w->broker, d->config, d->next);
}

static enum verdict
dynamic_refuse(struct task *t)
{
	struct dynamic *d = dynamic_of(t);

	config_free(&d->next);
	diag_error(d->broker->setup.seams.diag, config, "nothing of what was "
	    "set in /config/brokers counts: what counted before does, until "
	    "it is set right");
	return (task_next(t, dynamic_idle));
}

static enum verdict
dynamic_change(struct task *t)
{
	struct dynamic *d = dynamic_of(t);

	d->next = dynamic_resolve(d);
	if (d->next == NULL ||
	    !settings_may_take(d->broker, d->config, d->next))
		return (dynamic_refuse(t));
	broker_work_start(&d->work, d->broker, t, dynamic_prepare_run);
	return (task_next(t, dynamic_prepared));
}

/* Names only: values may be secrets. What was passed over was told. */
static void
dynamic_tell_changes(struct dynamic *d, int layer)
{
	struct diag *diag = d->broker->setup.seams.diag;

	CONFIG_MAP_EACH(entry, &d->maps[layer])
		if (dynamic_differs(d, layer, entry->name) &&
		    config_is_dynamic(d->next, entry->name))
			diag_info(diag, config, "config=%s was set in "
			    "/config/brokers/%s: it counts from now on",
			    entry->name, d->name[layer]);
	CONFIG_MAP_EACH(entry, &d->taken[layer])
		if (config_map_get(&d->maps[layer], entry->name) == NULL)
			diag_info(diag, config, "config=%s was taken out of "
			    "/config/brokers/%s: that counts from now on",
			    entry->name, d->name[layer]);
}

static enum verdict
dynamic_prepared(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	struct broker *b = d->broker;

	if (!d->work.done)
		return (STEP_WAIT);
	if (!d->work.good || !d->open) {
		settings_abandon(b);
		if (d->open)
			return (dynamic_refuse(t));
		config_free(&d->next); /* the rooms are about to go */
		return (task_next(t, dynamic_idle));
	}
	for (int i = 0; i < LAYERS; i++)
		dynamic_tell_changes(d, i);
	settings_take(b, d->config, d->next);
	config_live_publish(b->live, d->next, task_ref(t));
	dynamic_count(d, d->next);
	config_free(&d->next);
	return (task_next(t, dynamic_spread));
}

static enum verdict
dynamic_spread(struct task *t)
{
	if (!config_live_settled(dynamic_of(t)->broker->live))
		return (STEP_WAIT);
	return (task_next(t, dynamic_idle));
}

/* --- reading -------------------------------------------------------------- */

static enum verdict
dynamic_session(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	struct zk *zk = d->broker->zk;

	waitq_join(zk_state_changed(zk), &d->session, t);
	if (zk_state(zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	zk_batch_free(&d->batch);
	d->batch = zk_batch_new(zk);
	for (int i = 0; i < LAYERS; i++) {
		d->watchers[i].changed = false;
		d->ops[i] = zk_batch_get(d->batch,
		    znode_config_path(zk_batch_arena(d->batch), "brokers",
			d->name[i]), &d->watchers[i]);
	}
	zk_batch_submit(d->batch, t);
	return (task_next(t, dynamic_answered));
}

/* What a node was when it was read: its mzxid, or one of these. */
enum { SEEN_NO_NODE = -1, SEEN_REFUSED = -2 };

static int64_t
op_seen(const struct zk_op *op)
{
	return (op->rc == ZK_OK ? op->stat.mzxid :
		op->rc == ZK_NO_NODE ? SEEN_NO_NODE : SEEN_REFUSED);
}

static bool
dynamic_refused(const struct dynamic *d)
{
	for (int i = 0; i < LAYERS; i++)
		if (d->seen[i] == SEEN_REFUSED)
			return (true);
	return (false);
}

/* A node that is not there holds nothing. */
static bool
dynamic_decode(const struct zk_op *op, struct config_map *map)
{
	return (op->rc == ZK_NO_NODE || (op->rc == ZK_OK &&
	    znode_config_decode_map(op->answer, map)));
}

/* Kafka reads a key store again when it is set to the file that it is, and the
 * file has changed: SslFactory. */
static void
dynamic_look_at_files(struct dynamic *d, const struct config_map *map)
{
	if (d->open && security_names_files(map))
		broker_reload_tls(d->broker);
}

/* False: it cannot be read, and a start must not go on without it. */
static bool
dynamic_take(struct dynamic *d, int layer)
{
	struct config_map map;
	bool good;

	config_map_init(&map);
	good = dynamic_decode(d->ops[layer], &map);
	if (good) {
		dynamic_look_at_files(d, &map);
		d->pending |= !config_map_same(&d->maps[layer], &map);
		dynamic_copy(&d->maps[layer], &map);
	} else if (d->seen[layer] != SEEN_REFUSED ||
	    op_seen(d->ops[layer]) != SEEN_REFUSED) {
		diag_error(d->broker->setup.seams.diag, config,
		    "path=%s cannot be read rc=%s%s", d->ops[layer]->path,
		    zk_rc_name(d->ops[layer]->rc), !d->open ? "" :
		    ": what it said before counts");
	}
	config_map_fini(&map);
	return (good);
}

static enum verdict dynamic_unseal(struct task *t);
static enum verdict dynamic_renew(struct task *t);

static enum verdict
dynamic_answered(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	bool good = true, same = dynamic_refused(d);

	if (!zk_batch_done(d->batch))
		return (STEP_WAIT);
	for (int i = 0; i < LAYERS; i++)
		if (d->ops[i]->rc == ZK_SESSION_EXPIRED) {
			task_sleep(t, DYNAMIC_RETRY_NS);
			return (task_next(t, dynamic_pause));
		}
	for (int i = 0; i < LAYERS; i++) {
		same = same && op_seen(d->ops[i]) == d->seen[i];
		good = (same || dynamic_take(d, i)) && good;
		d->seen[i] = op_seen(d->ops[i]);
	}
	/* What is refused leaves no watch. */
	if (dynamic_refused(d))
		task_sleep(t, DYNAMIC_REFUSED_NS);
	if (same)
		return (task_next(t, dynamic_idle));
	if (d->state == DYNAMIC_UNREAD && !good) {
		d->state = DYNAMIC_REFUSED;
		waitq_wake(&d->read);
	}
	return (d->state == DYNAMIC_REFUSED ? task_next(t, dynamic_idle) :
	    dynamic_unseal(t));
}

/* --- secrets -------------------------------------------------------------- */

static void
dynamic_told(void *arg, const char *name)
{
	const struct dynamic *d = arg;

	diag_warn(d->broker->setup.seams.diag, config, "%s (/config/brokers): "
	    "it cannot be decoded by password.encoder.*, and counts as not "
	    "set", name);
}

static void
dynamic_unseal_run(struct work *work)
{
	struct broker *b = container_of(work, struct broker_work, work)->broker;
	struct dynamic *d = b->dynamic;
	const struct security_options *options =
	    &config_options(b->setup.config)->security;
	char error[PASSWORD_ERROR_SIZE];

	if (d->state == DYNAMIC_UNREAD && secrets_reencode(options,
		&d->maps[OF_THIS], &d->renewed, error))
		return;
	for (int i = 0; i < LAYERS; i++)
		secrets_decode(options, &d->maps[i], &d->plain[i],
		    dynamic_told, d);
}

static enum verdict
dynamic_unseal(struct task *t)
{
	struct dynamic *d = dynamic_of(t);

	for (int i = 0; i < LAYERS; i++) {
		config_map_fini(&d->plain[i]);
		config_map_init(&d->plain[i]);
	}
	config_map_fini(&d->renewed);
	config_map_init(&d->renewed);
	d->unsealing = true;
	broker_work_start(&d->work, d->broker, t, dynamic_unseal_run);
	return (task_next(t, dynamic_unsealed));
}

static enum verdict
dynamic_unsealed(struct task *t)
{
	struct dynamic *d = dynamic_of(t);

	if (!d->work.done)
		return (STEP_WAIT);
	d->unsealing = false;
	if (config_map_count(&d->renewed) > 0 &&
	    d->renewals++ < DYNAMIC_RENEWALS_MAX)
		return (dynamic_renew(t));
	if (d->state == DYNAMIC_UNREAD) {
		dynamic_begin(d);
		waitq_wake(&d->read);
	}
	return (task_next(t, dynamic_idle));
}

/* As read, or not at all; with the notification. */
static enum verdict
dynamic_renew(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	const struct zk_op *read = d->ops[OF_THIS];
	struct zk_batch *batch = zk_batch_new(d->broker->zk);
	struct arena *arena = zk_batch_arena(batch);
	struct buffer json = BUFFER_EMPTY, notice = BUFFER_EMPTY;
	struct zk_op *multi = zk_batch_multi(batch, 2);
	bool ok = true;

	znode_config_encode_map(&d->renewed, &json);
	znode_config_change_encode(znode_join(arena, "brokers",
	    d->name[OF_THIS]), &notice);
	zk_multi_set(batch, multi, arena_strdup(arena, read->path),
	    arena_slice_copy(arena, buffer_slice(&json), &ok),
	    read->stat.version);
	zk_multi_create(batch, multi, ZNODE_CONFIG_CHANGES "/config_change_",
	    arena_slice_copy(arena, buffer_slice(&notice), &ok),
	    ZK_SEQUENTIAL);
	buffer_fini(&json);
	buffer_fini(&notice);
	zk_batch_free(&d->batch);
	d->batch = batch;
	d->ops[OF_THIS] = multi;
	zk_batch_submit(batch, t);
	return (task_next(t, dynamic_renewed));
}

/* Whatever came of it, what stands there now is read. */
static enum verdict
dynamic_renewed(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	struct diag *diag = d->broker->setup.seams.diag;

	if (!zk_batch_done(d->batch))
		return (STEP_WAIT);
	if (d->ops[OF_THIS]->rc == ZK_OK)
		diag_info(diag, config, "/config/brokers/%s: the secrets of "
		    "password.encoder.old.secret are encoded anew",
		    d->name[OF_THIS]);
	else
		diag_warn(diag, config, "/config/brokers/%s: the secrets of "
		    "password.encoder.old.secret could not be written anew "
		    "rc=%s", d->name[OF_THIS], zk_rc_name(d->ops[OF_THIS]->rc));
	return (task_next(t, dynamic_session));
}

static enum verdict
dynamic_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, dynamic_session) : STEP_WAIT);
}

static enum verdict
dynamic_idle(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	bool changed = false;

	for (int i = 0; i < LAYERS; i++) {
		waitq_join(&d->watchers[i].woken, &d->links[i], t);
		changed |= d->watchers[i].changed;
	}
	if (d->open && d->pending)
		return (dynamic_change(t));
	changed |= dynamic_refused(d) && task_slept(t);
	return (changed ? task_next(t, dynamic_session) : STEP_WAIT);
}
