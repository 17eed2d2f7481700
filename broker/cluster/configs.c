/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics' configs: a table of counted, immutable objects, read by any thread,
 * kept up to date by one task on zk's loop.
 *
 *	      new session                      watch of /config/changes
 *	[session] --> [list] --> [read all] --> [idle] --> [changes] --> [read]
 *	    ^                                     ^ |                       |
 *	    +------------- session lost ----------+ +<-- [expire] <---------+
 *
 * The watch is armed before everything is read, so that nothing falls between.
 * A notification says only what to read again (its body is not trusted); the
 * highest suffix seen is remembered.  Notifications older than 15 minutes are
 * deleted by whoever meets them, as every broker does.
 * Source: ZkNodeChangeNotificationListener, ZkConfigManager of 3.9.
 */
#include "cluster/configs_int.h"

#include <stdlib.h>

#include "base/diag.h"
#include "base/mem.h"
#include "base/text.h"

#define CONFIG_TOPICS "/config/topics"
#define CHANGE_PREFIX "config_change_"
#define CHANGE_AGE_MAX_MS ((int64_t)15 * 60 * 1000)
#define READ_AT_ONCE 1000
#define RETRY_NS ((int64_t)1000 * 1000000)
/* No watch tells of an ACL. */
#define REFUSED_AGAIN_NS (60 * RETRY_NS)

static task_step follow_session, follow_list, follow_listed, follow_read,
    follow_read_done, follow_idle, follow_changes, follow_changes_read,
    follow_expire, follow_expired, follow_rest, follow_pause;

struct follow_state {
	struct configs *configs;
	struct zk_watcher watcher;
	struct waitq_link changed;
	struct waitq_link state_changed;
	uint64_t ordinal;    /* the session in which all was read, or is */
	bool whole;          /* this reading is of all topics */
	bool again;          /* what was refused is read again after a pause */
	int64_t highest;     /* suffix of the last notification, -1: none */
	struct zk_batch *list;
	struct zk_batch *batch;
	struct zk_op *names; /* of `list`: notifications */
	struct zk_op *all;   /* of `list`: topics, when `whole` */
	struct zk_op **ops;  /* of `batch` */
	size_t op_count;
	const char **topics; /* to be read; memory is list's */
	size_t topic_count;
	size_t next_topic;
};

/* --- objects -------------------------------------------------------------- */

/* Of what nobody may read: not by the defaults, which may delete what the topic
 * keeps, and lose what it would not. */
static void
config_object_resolve(struct config_object *object)
{
	topic_options_resolve(config_options(object->source), &object->map,
	    &object->options);
	if (!object->config.refused)
		return;
	object->options.unclean_leader_election_enable = false;
	object->options.retention_ms = object->options.retention_bytes = -1;
}

static struct config_object *
config_object_new(struct configs *configs, const char *topic)
{
	struct config_object *object = mem_zalloc(sizeof(*object));

	atomic_init(&object->references, 1);
	config_map_init(&object->map);
	object->config.topic = mem_strdup(topic);
	object->config.map = &object->map;
	object->config.options = &object->options;
	object->source = config_ref(configs->setup.config);
	config_object_resolve(object);
	return (object);
}

void
topic_config_unref(const struct topic_config *config)
{
	struct config_object *object =
	    (struct config_object *)(uintptr_t)config;

	if (object == NULL || atomic_fetch_sub_explicit(&object->references, 1,
				  memory_order_acq_rel) != 1)
		return;
	config_unref(object->source);
	config_map_fini(&object->map);
	mem_free(object->config.topic);
	mem_free(object);
}

static struct config_object *
configs_find(struct configs *configs, const char *topic)
{
	struct hash_node *node = hash_find(&configs->table, topic,
	    strlen(topic));

	return (node == NULL ? NULL :
	    container_of(node, struct config_object, node));
}

const struct topic_config *
configs_topic(struct configs *configs, const char *topic)
{
	struct config_object *object;

	CHECK(pthread_mutex_lock(&configs->mutex) == 0);
	object = configs_find(configs, topic);
	if (object == NULL)
		object = configs->defaults;
	atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
	CHECK(pthread_mutex_unlock(&configs->mutex) == 0);
	return (&object->config);
}

/* Puts the object in its topic's place, or drops it when nothing changed; that
 * is told if somebody said that it did: we may know it by another way. */
static void
configs_put(struct configs *configs, struct config_object *object, bool said)
{
	struct config_object *old;
	const struct config_map *before;
	bool keep = config_map_count(&object->map) > 0 ||
	    object->config.refused, same;

	CHECK(pthread_mutex_lock(&configs->mutex) == 0);
	old = configs_find(configs, object->config.topic);
	before = old == NULL ? &configs->defaults->map : &old->map;
	same = config_map_same(before, &object->map) &&
	    (old != NULL && old->config.refused) == object->config.refused;
	if (same && old != NULL)
		old->mzxid = object->mzxid;
	if (!same && old != NULL)
		hash_remove(&configs->table, &old->node);
	if (!same && keep) {
		atomic_fetch_add_explicit(&object->references, 1,
		    memory_order_relaxed);
		hash_insert(&configs->table, &object->node,
		    object->config.topic, strlen(object->config.topic));
	}
	CHECK(pthread_mutex_unlock(&configs->mutex) == 0);
	if (!same && old != NULL)
		topic_config_unref(&old->config);
	if (!same && configs_started(configs) && !object->config.refused)
		diag_info(configs->setup.diag, cluster,
		    "topic=%s has another config overrides=%zu",
		    object->config.topic, config_map_count(&object->map));
	if ((!same || said) && configs_started(configs) &&
	    configs->setup.changed != NULL)
		configs->setup.changed(configs->setup.changed_arg,
		    &object->config);
	topic_config_unref(&object->config);
}

/* Read before, and taken after, what is known: a write of this broker's own is
 * known at once. */
static bool
is_overtaken(struct configs *configs, const struct config_object *object)
{
	const struct config_object *known = configs_find(configs,
	    object->config.topic);

	return (known != NULL && object->mzxid != 0 &&
	    object->mzxid < known->mzxid);
}

static bool
take(struct configs *configs, const char *topic, const struct zk_op *op,
    bool said)
{
	struct config_object *object = config_object_new(configs, topic);

	if (op->rc != ZK_OK ||
	    znode_config_decode_map(op->answer, &object->map)) {
		object->mzxid = op->rc == ZK_OK ? op->stat.mzxid : 0;
		config_object_resolve(object);
		if (is_overtaken(configs, object))
			topic_config_unref(&object->config);
		else
			configs_put(configs, object, said);
		return (true);
	}
	diag_error(configs->setup.diag, cluster, "topic=%s has a config in "
	    "ZooKeeper that cannot be read: what was known before stays",
	    topic);
	topic_config_unref(&object->config);
	return (false);
}

bool
configs_take(struct configs *configs, const char *topic,
    const struct zk_op *op)
{
	return (take(configs, topic, op, false));
}

void
configs_refuse(struct configs *configs, const char *topic, enum zk_rc rc)
{
	struct config_object *object;
	const struct topic_config *before = configs_topic(configs, topic);

	configs_unknow(configs, slice_of_text(topic));
	if (before->refused) {
		topic_config_unref(before);
		return;
	}
	diag_error(configs->setup.diag, cluster, "topic=%s ZooKeeper refuses "
	    "path=" CONFIG_TOPICS "/%s rc=%s: what was known before stays, but "
	    "nobody leads uncleanly and no record goes by age or size", topic,
	    topic, zk_rc_name(rc));
	object = config_object_new(configs, topic);
	(void)config_map_merge(&object->map, before->map);
	object->config.refused = true;
	config_object_resolve(object);
	configs_put(configs, object, false);
	topic_config_unref(before);
}

void
configs_forget(struct configs *configs, struct slice topic)
{
	struct hash_node *node;

	configs_unknow(configs, topic);
	CHECK(pthread_mutex_lock(&configs->mutex) == 0);
	node = hash_find(&configs->table, topic.data, topic.length);
	if (node != NULL)
		hash_remove(&configs->table, node);
	CHECK(pthread_mutex_unlock(&configs->mutex) == 0);
	if (node != NULL)
		topic_config_unref(&container_of(node, struct config_object,
		    node)->config);
}

/* --- other defaults ------------------------------------------------------- */

static void
config_object_renew(struct configs *configs, struct config_object *old)
{
	struct config_object *object = config_object_new(configs,
	    old->config.topic);

	CHECK(config_map_merge(&object->map, &old->map));
	object->mzxid = old->mzxid;
	object->config.refused = old->config.refused;
	config_object_resolve(object);
	CHECK(pthread_mutex_lock(&configs->mutex) == 0);
	hash_remove(&configs->table, &old->node);
	hash_insert(&configs->table, &object->node, object->config.topic,
	    strlen(object->config.topic));
	CHECK(pthread_mutex_unlock(&configs->mutex) == 0);
	topic_config_unref(&old->config);
}

/* Only this loop changes the table, so it may be walked without the lock. */
void
configs_set_defaults(struct configs *configs, const struct config *config)
{
	struct config_object *before = configs->defaults, *now, **objects;
	size_t count = 0;

	config_unref(configs->setup.config);
	configs->setup.config = config_ref(config);
	now = config_object_new(configs, "");
	CHECK(pthread_mutex_lock(&configs->mutex) == 0);
	configs->defaults = now;
	CHECK(pthread_mutex_unlock(&configs->mutex) == 0);
	topic_config_unref(&before->config);
	objects = mem_alloc((hash_count(&configs->table) + 1) *
	    sizeof(*objects));
	HASH_EACH(node, &configs->table)
		objects[count++] = container_of(node, struct config_object,
		    node);
	for (size_t i = 0; i < count; i++)
		config_object_renew(configs, objects[i]);
	mem_free(objects);
}

/* --- life ----------------------------------------------------------------- */

static void
follow_clear(struct follow_state *w)
{
	mem_free(w->ops);
	w->ops = NULL;
	w->op_count = 0;
	zk_batch_free(&w->batch);
}

static void
follow_fini(struct task *task)
{
	struct follow_state *w = task_state(task);

	waitq_leave(&w->watcher.woken, &w->changed);
	waitq_leave(zk_state_changed(w->configs->setup.zk), &w->state_changed);
	follow_clear(w);
	zk_batch_free(&w->list);
	zk_watcher_fini(&w->watcher);
}

static const struct task_class follow_class = {
	.name = "configs",
	.state_size = sizeof(struct follow_state),
	.fini = follow_fini,
};

static void
follow_setup(struct task *task, void *arg)
{
	struct follow_state *w = task_state(task);

	w->configs = arg;
	w->highest = -1;
	zk_watcher_init(&w->watcher, w->configs->setup.zk);
}

struct configs *
configs_new(const struct configs_setup *setup)
{
	struct configs *configs = mem_zalloc(sizeof(*configs));

	configs->setup = *setup;
	configs->setup.config = config_ref(setup->config);
	CHECK(pthread_mutex_init(&configs->mutex, NULL) == 0);
	waitq_init(&configs->loaded);
	atomic_init(&configs->started, false);
	list_init(&configs->fetches);
	configs->defaults = config_object_new(configs, "");
	return (configs);
}

void
configs_start(struct configs *configs)
{
	configs->task = task_ref(task_start(configs->setup.loop, &follow_class,
	    follow_session, follow_setup, configs));
}

void
configs_free(struct configs **place)
{
	struct configs *configs = *place;
	struct task *task;

	if (configs == NULL)
		return;
	task = configs->task.loop == NULL ? NULL : task_of_ref(configs->task);
	if (task != NULL)
		task_cancel(task);
	configs_stop(configs);
	configs_unknow_all(configs);
	HASH_EACH(node, &configs->table) {
		struct config_object *object = container_of(node,
		    struct config_object, node);

		hash_remove(&configs->table, node);
		topic_config_unref(&object->config);
	}
	topic_config_unref(&configs->defaults->config);
	config_unref(configs->setup.config);
	waitq_fini(&configs->loaded);
	CHECK(pthread_mutex_destroy(&configs->mutex) == 0);
	mem_free(configs);
	*place = NULL;
}

bool
configs_started(const struct configs *configs)
{
	return (atomic_load_explicit(&configs->started, memory_order_acquire));
}

const struct zk_op *
configs_refusal(const struct configs *configs)
{
	return (configs->refusal.path == NULL ? NULL : &configs->refusal);
}

struct waitq *
configs_loaded(struct configs *configs)
{
	return (&configs->loaded);
}

/* --- the watch ------------------------------------------------------------ */

static enum verdict
follow_session(struct task *t)
{
	struct follow_state *w = task_state(t);
	struct zk *zk = w->configs->setup.zk;

	waitq_join(zk_state_changed(zk), &w->state_changed, t);
	if (zk_state(zk) != ZK_CONNECTED)
		return (STEP_WAIT);
	w->whole = zk_session_ordinal(zk) != w->ordinal;
	w->ordinal = zk_session_ordinal(zk);
	return (task_next(t, follow_list));
}

/* The session went, or ZooKeeper refuses: again, everything, after a pause. */
static enum verdict
follow_failed(struct task *t, enum zk_rc rc)
{
	struct follow_state *w = task_state(t);

	if (!configs_rc_passes(rc))
		diag_warn(w->configs->setup.diag, cluster, "reading configs "
		    "from ZooKeeper failed rc=%s: again in a second",
		    zk_rc_name(rc));
	w->ordinal = 0;
	task_sleep(t, RETRY_NS);
	return (task_next(t, follow_pause));
}

static enum verdict
follow_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, follow_session) : STEP_WAIT);
}

static enum verdict
follow_list(struct task *t)
{
	struct follow_state *w = task_state(t);

	follow_clear(w);
	zk_batch_free(&w->list);
	w->list = zk_batch_new(w->configs->setup.zk);
	w->watcher.changed = false;
	w->names = zk_batch_children(w->list, ZNODE_CONFIG_CHANGES,
	    &w->watcher);
	w->all = w->whole ? zk_batch_children(w->list, CONFIG_TOPICS, NULL) :
	    NULL;
	zk_batch_submit(w->list, t);
	return (task_next(t, follow_listed));
}

/* The number at the end of "config_change_0000000012", -1: another name. */
static int64_t
change_suffix(const char *name)
{
	int64_t number;

	if (strncmp(name, CHANGE_PREFIX, sizeof(CHANGE_PREFIX) - 1) != 0 ||
	    !text_to_int64(slice_of_text(name + sizeof(CHANGE_PREFIX) - 1),
		&number))
		return (-1);
	return (number);
}

static int64_t
follow_highest(const struct follow_state *w)
{
	int64_t highest = w->highest;

	for (size_t i = 0; i < w->names->child_count; i++) {
		int64_t suffix = change_suffix(w->names->children[i]);

		if (suffix > highest)
			highest = suffix;
	}
	return (highest);
}

/* Without the lists nothing can be followed: the start is told. */
static enum verdict
follow_refused(struct task *t, const struct zk_op *op)
{
	struct follow_state *w = task_state(t);
	struct configs *configs = w->configs;

	if (!configs_started(configs) && !configs_rc_passes(op->rc)) {
		configs->refusal.path = op == w->names ?
		    ZNODE_CONFIG_CHANGES : CONFIG_TOPICS;
		configs->refusal.rc = op->rc;
		waitq_wake(&configs->loaded);
	}
	return (follow_failed(t, op->rc));
}

static enum verdict
follow_listed(struct task *t)
{
	struct follow_state *w = task_state(t);

	if (!zk_batch_done(w->list))
		return (STEP_WAIT);
	if (w->names->rc != ZK_OK)
		return (follow_refused(t, w->names));
	if (w->all != NULL && w->all->rc != ZK_OK)
		return (follow_refused(t, w->all));
	w->topic_count = w->next_topic = 0;
	if (!w->whole)
		return (task_next(t, follow_changes));
	w->highest = follow_highest(w);
	w->topics = w->all->children;
	w->topic_count = w->all->child_count;
	return (task_next(t, follow_read));
}

/* Reads the configs of `topics`, a bounded number at once. */
static enum verdict
follow_read(struct task *t)
{
	struct follow_state *w = task_state(t);
	size_t left = w->topic_count - w->next_topic;

	follow_clear(w);
	if (left == 0)
		return (task_next(t, follow_expire));
	w->op_count = left < READ_AT_ONCE ? left : READ_AT_ONCE;
	w->ops = mem_zalloc(w->op_count * sizeof(*w->ops));
	w->batch = zk_batch_new(w->configs->setup.zk);
	for (size_t i = 0; i < w->op_count; i++)
		w->ops[i] = zk_batch_get(w->batch,
		    znode_config_path(zk_batch_arena(w->batch), "topics",
			w->topics[w->next_topic + i]), NULL);
	zk_batch_submit(w->batch, t);
	return (task_next(t, follow_read_done));
}

static enum verdict
follow_read_done(struct task *t)
{
	struct follow_state *w = task_state(t);

	if (!zk_batch_done(w->batch))
		return (STEP_WAIT);
	for (size_t i = 0; i < w->op_count; i++) {
		const char *topic = w->topics[w->next_topic + i];
		enum zk_rc rc = w->ops[i]->rc;

		if (configs_rc_passes(rc))
			return (follow_failed(t, rc));
		if (rc == ZK_OK || rc == ZK_NO_NODE)
			(void)take(w->configs, topic, w->ops[i], !w->whole);
		else
			configs_refuse(w->configs, topic, rc);
	}
	w->next_topic += w->op_count;
	return (task_next(t, follow_read));
}

/* --- notifications -------------------------------------------------------- */

/* Reads those that are new. */
static enum verdict
follow_changes(struct task *t)
{
	struct follow_state *w = task_state(t);

	follow_clear(w);
	w->ops = mem_zalloc((w->names->child_count + 1) * sizeof(*w->ops));
	w->batch = zk_batch_new(w->configs->setup.zk);
	for (size_t i = 0; i < w->names->child_count; i++)
		if (change_suffix(w->names->children[i]) > w->highest)
			w->ops[w->op_count++] = zk_batch_get(w->batch,
			    znode_join(zk_batch_arena(w->batch),
				ZNODE_CONFIG_CHANGES, w->names->children[i]),
			    NULL);
	if (w->op_count == 0)
		return (task_next(t, follow_expire));
	zk_batch_submit(w->batch, t);
	return (task_next(t, follow_changes_read));
}

/* The topic that a notification names; other entities are not ours. */
static void
follow_name_topic(struct follow_state *w, const char *entity_path)
{
	static const char prefix[] = "topics/";

	if (strncmp(entity_path, prefix, sizeof(prefix) - 1) == 0)
		w->topics[w->topic_count++] = entity_path + sizeof(prefix) - 1;
}

static int
compare_names(const void *a, const void *b)
{
	return (strcmp(*(const char *const *)a, *(const char *const *)b));
}

/* Each is read once. */
static void
follow_unique(struct follow_state *w)
{
	size_t kept = 0;

	if (w->topic_count > 1)
		qsort(w->topics, w->topic_count, sizeof(*w->topics),
		    compare_names);
	for (size_t i = 0; i < w->topic_count; i++)
		if (kept == 0 || strcmp(w->topics[kept - 1],
		    w->topics[i]) != 0)
			w->topics[kept++] = w->topics[i];
	w->topic_count = kept;
}

static enum verdict
follow_changes_read(struct task *t)
{
	struct follow_state *w = task_state(t);
	struct arena *arena = zk_batch_arena(w->list);
	const char *entity_path;

	if (!zk_batch_done(w->batch))
		return (STEP_WAIT);
	w->topics = arena_array(arena, w->op_count, sizeof(*w->topics));
	if (w->topics == NULL)
		return (follow_failed(t, ZK_TOO_LARGE));
	for (size_t i = 0; i < w->op_count; i++) {
		const struct zk_op *op = w->ops[i];

		/* Gone: another broker found it too old. */
		if (op->rc == ZK_NO_NODE)
			continue;
		/* It may name any: all are read. */
		if (op->rc != ZK_OK)
			return (follow_failed(t, op->rc));
		if (znode_config_change_decode(op->answer, arena,
			&entity_path))
			follow_name_topic(w, entity_path);
		else
			diag_warn(w->configs->setup.diag, cluster,
			    "notification=%s cannot be read: ignored",
			    op->path);
	}
	follow_unique(w);
	w->highest = follow_highest(w);
	return (task_next(t, follow_read));
}

/* --- what was refused ----------------------------------------------------- */

/* How many topics' configs, and their names, unless `names` is NULL. */
static size_t
follow_count_refused(const struct configs *configs, struct arena *arena,
    const char **names)
{
	size_t count = 0;

	HASH_EACH(node, &configs->table) {
		const struct topic_config *config = &container_of(node,
		    struct config_object, node)->config;

		if (!config->refused)
			continue;
		if (names != NULL)
			names[count] = arena_strdup(arena, config->topic);
		count += names == NULL || names[count] != NULL;
	}
	return (count);
}

static enum verdict
follow_rest(struct task *t)
{
	struct follow_state *w = task_state(t);

	w->again = follow_count_refused(w->configs, NULL, NULL) > 0;
	if (w->again)
		task_sleep(t, REFUSED_AGAIN_NS);
	return (task_next(t, follow_idle));
}

static enum verdict
follow_again(struct task *t)
{
	struct follow_state *w = task_state(t);
	struct arena *arena = zk_batch_arena(w->list);
	size_t count = follow_count_refused(w->configs, NULL, NULL);

	w->topics = arena_array(arena, count, sizeof(*w->topics));
	w->topic_count = w->topics == NULL ? 0 :
	    follow_count_refused(w->configs, arena, w->topics);
	w->next_topic = 0;
	return (task_next(t, follow_read));
}

/* --- old notifications ---------------------------------------------------- */

static enum verdict
follow_expire(struct task *t)
{
	struct follow_state *w = task_state(t);

	if (!configs_started(w->configs)) {
		atomic_store_explicit(&w->configs->started, true,
		    memory_order_release);
		waitq_wake(&w->configs->loaded);
	}
	follow_clear(w);
	w->op_count = w->names->child_count;
	if (w->op_count == 0)
		return (follow_rest(t));
	w->ops = mem_zalloc(w->op_count * sizeof(*w->ops));
	w->batch = zk_batch_new(w->configs->setup.zk);
	for (size_t i = 0; i < w->op_count; i++)
		w->ops[i] = zk_batch_exists(w->batch,
		    znode_join(zk_batch_arena(w->batch), ZNODE_CONFIG_CHANGES,
			w->names->children[i]), NULL);
	zk_batch_submit(w->batch, t);
	return (task_next(t, follow_expired));
}

/* By ZooKeeper's own clock, which made the newest of them: with another, who
 * has not read one yet might never hear of it. */
static int64_t
follow_newest_ms(const struct follow_state *w)
{
	int64_t newest_ms = 0;

	for (size_t i = 0; i < w->op_count; i++)
		if (w->ops[i]->rc == ZK_OK &&
		    w->ops[i]->stat.ctime_ms > newest_ms)
			newest_ms = w->ops[i]->stat.ctime_ms;
	return (newest_ms);
}

/* Deletes what is old; the answers do not matter: the next one tries again. */
static enum verdict
follow_expired(struct task *t)
{
	struct follow_state *w = task_state(t);
	struct zk_batch *batch;
	int64_t now_ms;
	size_t count = 0;

	if (!zk_batch_done(w->batch))
		return (STEP_WAIT);
	now_ms = follow_newest_ms(w);
	batch = zk_batch_new(w->configs->setup.zk);
	for (size_t i = 0; i < w->op_count; i++)
		if (w->ops[i]->rc == ZK_OK &&
		    now_ms - w->ops[i]->stat.ctime_ms > CHANGE_AGE_MAX_MS) {
			zk_batch_delete(batch, w->ops[i]->path, ZK_ANY_VERSION);
			count++;
		}
	follow_clear(w);
	w->batch = batch;
	if (count == 0)
		zk_batch_free(&w->batch);
	else
		zk_batch_submit(w->batch, t);
	return (follow_rest(t));
}

static enum verdict
follow_idle(struct task *t)
{
	struct follow_state *w = task_state(t);
	struct zk *zk = w->configs->setup.zk;

	waitq_join(&w->watcher.woken, &w->changed, t);
	waitq_join(zk_state_changed(zk), &w->state_changed, t);
	if (w->batch != NULL && !zk_batch_done(w->batch))
		return (STEP_WAIT);
	if (w->watcher.changed || zk_session_ordinal(zk) != w->ordinal)
		return (task_next(t, follow_session));
	return (w->again && task_slept(t) ? follow_again(t) : STEP_WAIT);
}
