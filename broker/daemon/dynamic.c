/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was set at run time, of this broker and of all: /config/brokers/N and
 * /config/brokers/<default>.
 *
 *	[session] --> [read both, watched] --first--> applied, or refused: the
 *	    ^                 ^                       start goes on, or ends
 *	    |                 |         --later--> told what differs
 *	    +-- session lost -+--- [idle] <---+
 *
 * They are read before any room but the directories and the session has begun,
 * and count as if they stood in the file.  Later changes are told by name, and
 * count from the next start on.
 */
#include "daemon/dynamic.h"

#include <stdio.h>

#include "base/mem.h"
#include "daemon/broker_int.h"

#define DYNAMIC_RETRY_NS ((int64_t)1000 * 1000000)

enum { OF_ALL, OF_THIS, LAYERS };
static const enum config_source dynamic_sources[LAYERS] = {
	CONFIG_SOURCE_DYNAMIC_DEFAULT, CONFIG_SOURCE_DYNAMIC_BROKER };

struct dynamic {
	struct broker *broker;
	struct task_ref task;
	struct waitq read;
	enum dynamic_state state;
	struct config *config; /* NULL: nothing was set at run time */
	struct config_map maps[LAYERS]; /* as read last */
	char name[LAYERS][16];
	struct zk_watcher watchers[LAYERS];
	struct waitq_link links[LAYERS];
	struct waitq_link session;
	struct zk_batch *batch;
	struct zk_op *ops[LAYERS];
};

static task_step dynamic_session, dynamic_answered, dynamic_idle,
    dynamic_pause;

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
	for (int i = 0; i < LAYERS; i++) {
		config_map_init(&d->maps[i]);
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
	for (int i = 0; i < LAYERS; i++)
		config_map_fini(&d->maps[i]);
	config_free(&d->config);
	waitq_fini(&d->read);
	mem_free(d);
	*place = NULL;
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

/* --- applying ------------------------------------------------------------- */

/* The first `own` findings are of what was set at run time, the others too
 * where that has the name; those of the file were told before. */
static void
dynamic_tell(struct dynamic *d, size_t own)
{
	struct diag *diag = d->broker->setup.seams.diag;

	for (size_t i = 0; i < config_finding_count(d->config); i++) {
		const struct finding *f = config_finding_at(d->config, i);

		if (f->severity == FINDING_ERROR)
			diag_fatal(diag, config, "%s (/config/brokers): %s",
			    f->subject, f->message);
		else if (i < own || config_is_dynamic(d->config, f->subject))
			diag_warn(diag, config, "%s (/config/brokers): %s",
			    f->subject, f->message);
	}
}

/* What was made before it was read. */
static void
dynamic_tell_late(struct dynamic *d)
{
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *o = option_at(i);

		if (o->status == STATUS_HONOURED &&
		    strcmp(o->room, "daemon") == 0 &&
		    config_is_dynamic(d->config, o->name))
			diag_warn(d->broker->setup.seams.diag, config,
			    "%s (/config/brokers): without effect in this "
			    "version: set it in the file", o->name);
	}
}

static void
dynamic_apply(struct dynamic *d)
{
	struct broker *b = d->broker;
	bool good = true;
	size_t own;

	d->state = DYNAMIC_READ;
	if (config_map_count(&d->maps[OF_ALL]) == 0 &&
	    config_map_count(&d->maps[OF_THIS]) == 0)
		return;
	d->config = config_clone(b->setup.config);
	for (int i = 0; i < LAYERS; i++)
		good = config_add_dynamic(d->config, dynamic_sources[i],
		    &d->maps[i]) && good;
	own = config_finding_count(d->config);
	good = config_resolve(d->config) && good;
	dynamic_tell(d, own);
	if (!good)
		d->state = DYNAMIC_REFUSED;
	else
		dynamic_tell_late(d);
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

/* A node that is not there holds nothing. */
static bool
dynamic_decode(const struct zk_op *op, struct config_map *map)
{
	struct znode_config config = { .entry_count = 0 };
	struct arena arena;
	bool good;

	arena_init(&arena, 0);
	good = op->rc == ZK_NO_NODE || (op->rc == ZK_OK &&
	    znode_config_decode(op->answer, &arena, &config));
	for (size_t i = 0; good && i < config.entry_count; i++)
		good = config_map_set_text(map, config.entries[i].name,
		    config.entries[i].value);
	arena_fini(&arena);
	return (good);
}

/* Names whose values differ; they may be secrets. */
static void
dynamic_tell_changes(struct dynamic *d, int layer,
    const struct config_map *before, const struct config_map *now)
{
	CONFIG_MAP_EACH(entry, now) {
		const char *old = config_map_get(before, entry->name);

		if (old == NULL || strcmp(old, entry->value) != 0)
			diag_warn(d->broker->setup.seams.diag, config,
			    "%s was set in /config/brokers/%s: it counts from "
			    "the next start of this broker on", entry->name,
			    d->name[layer]);
	}
	CONFIG_MAP_EACH(entry, before)
		if (config_map_get(now, entry->name) == NULL)
			diag_warn(d->broker->setup.seams.diag, config,
			    "%s was taken out of /config/brokers/%s: that "
			    "counts from the next start of this broker on",
			    entry->name, d->name[layer]);
}

/* False: it cannot be read, and the start must not go on without it. */
static bool
dynamic_take(struct dynamic *d, int layer)
{
	struct config_map map;
	bool good;

	config_map_init(&map);
	good = dynamic_decode(d->ops[layer], &map);
	if (!good) {
		diag_error(d->broker->setup.seams.diag, config,
		    "path=%s cannot be read rc=%s", d->ops[layer]->path,
		    zk_rc_name(d->ops[layer]->rc));
		config_map_fini(&map);
		return (false);
	}
	if (d->state == DYNAMIC_READ)
		dynamic_tell_changes(d, layer, &d->maps[layer], &map);
	config_map_fini(&d->maps[layer]);
	config_map_init(&d->maps[layer]);
	good = config_map_merge(&d->maps[layer], &map);
	config_map_fini(&map);
	return (good);
}

static enum verdict
dynamic_answered(struct task *t)
{
	struct dynamic *d = dynamic_of(t);
	bool good = true;

	if (!zk_batch_done(d->batch))
		return (STEP_WAIT);
	for (int i = 0; i < LAYERS; i++)
		if (d->ops[i]->rc == ZK_SESSION_EXPIRED) {
			task_sleep(t, DYNAMIC_RETRY_NS);
			return (task_next(t, dynamic_pause));
		}
	for (int i = 0; i < LAYERS; i++)
		good = dynamic_take(d, i) && good;
	if (d->state == DYNAMIC_UNREAD) {
		if (good)
			dynamic_apply(d);
		else
			d->state = DYNAMIC_REFUSED;
		waitq_wake(&d->read);
	}
	return (task_next(t, dynamic_idle));
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
	return (changed ? task_next(t, dynamic_session) : STEP_WAIT);
}
