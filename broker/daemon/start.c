/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From nothing to open doors, as one task; the steps stand in the order in
 * which they happen.  Any of them may end in start_fail(), which stops what
 * is there.  Order as KafkaServer.startup of 3.9 has it, but that the
 * directories' locks are taken first: only their holder may close the session
 * of a dead process.
 */
#include "daemon/broker_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "daemon/settings.h"

#define MS ((int64_t)1000000)

struct start {
	struct broker *broker;
	struct broker_work work;
	struct zk_batch *batch;
	struct zk_op *op;
	struct zk_op **ops; /* the batch's */
	size_t op_count;
	struct zk_op *topics;
	struct zk_op *offsets; /* the topic of committed ones */
	struct arena names; /* of all topics, for new directories */
	const char **topic_names;
	size_t topic_count;
	size_t next_topic;
	struct storage_assigned *assigned; /* to us, of those read so far */
	size_t assigned_count;
	size_t assigned_room;
	struct waitq_link link;
	struct waitq *joined;
	struct waitq_link told; /* start_told's other queue */
	struct waitq *told_joined;
	bool cluster_id_made;
};

static task_step start_directories, start_zookeeper, start_connected,
    start_tree, start_tree_read, start_tree_made, start_cluster_id,
    start_cluster_id_read, start_cluster_id_made, start_broker_id,
    start_broker_id_made, start_assigned, start_assigned_listed,
    start_assigned_ask, start_assigned_read, start_identity, start_dynamic,
    start_configs, start_logs, start_rooms, start_listeners,
    start_registration, start_registered, start_told;

static void
start_fini(struct task *task)
{
	struct start *s = task_state(task);

	if (s->joined != NULL)
		waitq_leave(s->joined, &s->link);
	if (s->told_joined != NULL)
		waitq_leave(s->told_joined, &s->told);
	zk_batch_free(&s->batch);
	arena_fini(&s->names);
	mem_free(s->assigned);
}

static const struct task_class start_class = {
	.name = "start",
	.state_size = sizeof(struct start),
	.fini = start_fini,
};

static enum verdict start_open(struct task *t);

static void
start_setup(struct task *task, void *arg)
{
	struct start *s = task_state(task);

	s->broker = arg;
	arena_init(&s->names, 0);
}

void
broker_start_task(struct broker *b)
{
	b->task = task_ref(task_start(b->control, &start_class, start_open,
	    start_setup, b));
}

static void
start_join(struct task *t, struct waitq *queue)
{
	struct start *s = task_state(t);

	if (s->joined != NULL && s->joined != queue)
		waitq_leave(s->joined, &s->link);
	s->joined = queue;
	waitq_join(queue, &s->link, t);
}

static enum verdict
start_fail(struct broker *b, const char *why)
{
	if (why != NULL)
		diag_fatal(b->setup.seams.diag, daemon, "start: %s", why);
	b->failed = true;
	b->task = (struct task_ref){ NULL, 0 };
	broker_stop_task(b);
	return (STEP_DONE);
}

/* Between two steps: go on, unless a stop was asked for. */
static enum verdict
start_go(struct task *t, task_step *step)
{
	struct broker *b = ((struct start *)task_state(t))->broker;

	if (!atomic_load(&b->stop_wanted))
		return (task_next(t, step));
	b->task = (struct task_ref){ NULL, 0 };
	broker_stop_task(b);
	return (STEP_DONE);
}

/* While waiting, a stop takes effect too. */
static enum verdict
start_wait(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;

	return (atomic_load(&b->stop_wanted) ? start_go(t, NULL) : STEP_WAIT);
}

/* --- directories ---------------------------------------------------------- */

static void
start_open_run(struct work *work)
{
	struct broker_work *w = container_of(work, struct broker_work, work);
	struct broker *b = w->broker;
	const struct seams *seams = &b->setup.seams;

	b->storage = storage_open(&(struct storage_setup){
	    .options = &b->options->storage,
	    .clock = seams->clock,
	    .scheduler = seams->scheduler,
	    .files = seams->files,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	    .random = seams->random,
	    .cores = (int)b->loop_count,
	    .descriptors = b->setup.log_files,
	    .broker_id = b->options->cluster.broker_id,
	    .settings = settings_of_topic,
	    .settings_arg = b,
	    .dir_failed = broker_dir_failed,
	    .dir_failed_arg = b,
	    .log_closed = broker_log_closed,
	    .log_closed_arg = b,
	});
	w->good = b->storage != NULL;
}

static enum verdict
start_open(struct task *t)
{
	struct start *s = task_state(t);

	broker_work_start(&s->work, s->broker, t, start_open_run);
	return (task_next(t, start_directories));
}

/* The text that binds a saved session to this machine and this directory. */
static void
start_session_identity(struct broker *b)
{
	struct files *files = b->setup.seams.files;
	const char *dir = b->options->storage.log_dir_list.items[0];
	struct file_info info = { 0 };
	void *machine = NULL;
	size_t size = 0;
	char text[512];

	if (file_load(files, "/etc/machine-id", 128, &machine, &size) != 0)
		size = 0;
	while (size > 0 && ((char *)machine)[size - 1] == '\n')
		size--;
	if (files->ops->stat(files, dir, &info) == 0 && size > 0) {
		snprintf(text, sizeof(text), "%.*s %s %" PRIu64, (int)size,
		    (char *)machine, dir, info.inode);
		b->session_identity = mem_strdup(text);
		snprintf(text, sizeof(text), "%s/barnabas.session", dir);
		b->session_file = mem_strdup(text);
	}
	mem_free(machine);
}

static enum verdict
start_directories(struct task *t)
{
	struct start *s = task_state(t);

	if (!s->work.done)
		return (STEP_WAIT);
	if (!s->work.good)
		return (start_fail(s->broker,
		    "the log directories cannot be used"));
	start_session_identity(s->broker);
	return (start_go(t, start_zookeeper));
}

/* --- ZooKeeper: session, tree, ids ---------------------------------------- */

static enum verdict
start_zookeeper(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;
	const struct zkglue_options *options = &b->options->zkglue;
	int64_t patience_ms = options->connection_timeout_ms > 0 ?
	    options->connection_timeout_ms : options->session_timeout_ms;

	b->zk = zk_new(&(struct zk_setup){
	    .loop = b->control,
	    .workers = b->resolver,
	    .driver = b->setup.seams.zk_driver,
	    .options = options,
	    .diag = b->setup.seams.diag,
	    .metrics = b->setup.metrics,
	    .session_file = b->session_file,
	    .session_identity = b->session_identity,
	});
	task_set_deadline(t, loop_now_ns(b->control) + patience_ms * MS);
	return (task_next(t, start_connected));
}

static enum verdict
start_connected(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;

	start_join(t, zk_state_changed(b->zk));
	if (zk_state(b->zk) != ZK_CONNECTED) {
		if (task_expired(t))
			return (start_fail(b, "ZooKeeper cannot be reached: "
			    "see zookeeper.connect"));
		return (start_wait(t));
	}
	task_set_deadline(t, TASK_NO_DEADLINE);
	return (start_go(t, start_tree));
}

static struct zk_batch *
start_batch(struct start *s)
{
	zk_batch_free(&s->batch);
	s->batch = zk_batch_new(s->broker->zk);
	return (s->batch);
}

/* What ZooKeeper refuses at the start it refuses for good: said by name. */
static enum verdict
start_refused(struct task *t, const struct zk_op *op)
{
	struct broker *b = ((struct start *)task_state(t))->broker;
	char why[400];

	if (op->rc == ZK_SESSION_EXPIRED)
		return (start_go(t, start_connected));
	snprintf(why, sizeof(why), "ZooKeeper refuses path=%s rc=%s%s",
	    op->path, zk_rc_name(op->rc), op->rc != ZK_NO_AUTH ? "" :
	    ": its ACL must let this broker read and write, which does not "
	    "authenticate itself");
	return (start_fail(b, why));
}

/* Only what is not there is made: making what is there needs rights, too. */
static enum verdict
start_tree(struct task *t)
{
	struct start *s = task_state(t);
	struct zk_batch *batch = start_batch(s);
	const char *const *paths = znode_static_paths();

	s->op_count = 0;
	while (paths[s->op_count] != NULL)
		s->op_count++;
	s->ops = arena_array(zk_batch_arena(batch), s->op_count,
	    sizeof(struct zk_op *));
	CHECK(s->ops != NULL);
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i] = zk_batch_exists(batch, paths[i], NULL);
	zk_batch_submit(batch, t);
	return (task_next(t, start_tree_read));
}

static enum verdict
start_tree_read(struct task *t)
{
	struct start *s = task_state(t);
	struct zk_batch *batch;
	struct zk_op **made;
	size_t count = 0;

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	for (size_t i = 0; i < s->op_count; i++)
		if (s->ops[i]->rc != ZK_OK && s->ops[i]->rc != ZK_NO_NODE)
			return (start_refused(t, s->ops[i]));
	batch = zk_batch_new(s->broker->zk);
	made = arena_array(zk_batch_arena(batch), s->op_count, sizeof(*made));
	CHECK(made != NULL);
	for (size_t i = 0; i < s->op_count; i++)
		if (s->ops[i]->rc == ZK_NO_NODE)
			made[count++] = zk_batch_create_all(batch,
			    znode_static_paths()[i], SLICE_NULL);
	zk_batch_free(&s->batch);
	s->batch = batch;
	s->ops = made;
	s->op_count = count;
	if (count == 0)
		return (start_go(t, start_cluster_id));
	zk_batch_submit(batch, t);
	return (task_next(t, start_tree_made));
}

static enum verdict
start_tree_made(struct task *t)
{
	struct start *s = task_state(t);

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	for (size_t i = 0; i < s->op_count; i++)
		if (s->ops[i]->rc != ZK_OK && s->ops[i]->rc != ZK_NODE_EXISTS)
			return (start_refused(t, s->ops[i]));
	return (start_go(t, start_cluster_id));
}

static enum verdict
start_cluster_id(struct task *t)
{
	struct start *s = task_state(t);

	s->op = zk_batch_get(start_batch(s), ZNODE_CLUSTER_ID, NULL);
	s->topics = zk_batch_exists(s->batch, ZNODE_BROKER_TOPICS, NULL);
	s->offsets = zk_batch_get(s->batch, znode_topic_path(
	    zk_batch_arena(s->batch), OFFSETS_TOPIC), NULL);
	zk_batch_submit(s->batch, t);
	return (task_next(t, start_cluster_id_read));
}

static enum verdict
start_cluster_id_new(struct task *t)
{
	struct start *s = task_state(t);
	struct zk_batch *batch = start_batch(s);
	struct buffer json = BUFFER_EMPTY;
	char text[UUID_TEXT_SIZE];
	bool ok = true;

	uuid_to_text(uuid_random(s->broker->setup.seams.random), text);
	znode_cluster_id_encode(text, &json);
	zk_batch_create(batch, "/cluster", SLICE_NULL, ZK_PERSISTENT);
	s->op = zk_batch_create(batch, ZNODE_CLUSTER_ID,
	    arena_slice_copy(zk_batch_arena(batch), buffer_slice(&json), &ok),
	    ZK_PERSISTENT);
	buffer_fini(&json);
	CHECK(ok);
	zk_batch_submit(batch, t);
	return (task_next(t, start_cluster_id_made));
}

/*
 * So many partitions count until this broker ends, as in Kafka.  What cannot be
 * read is not taken for a topic yet to be made: by another number, groups would
 * be sought where their offsets are not.
 */
static bool
start_offsets_topic(struct start *s)
{
	struct znode_topic topic;

	if (s->offsets->rc == ZK_NO_NODE)
		return (true);
	if (!znode_topic_decode(s->offsets->answer, zk_batch_arena(s->batch),
		&topic) || topic.partition_count == 0)
		return (false);
	s->broker->offsets_partitions = (int32_t)topic.partition_count;
	s->broker->offsets_id = topic.id;
	return (true);
}

static enum verdict
start_cluster_id_read(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;
	const char *id;

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	if (s->op->rc == ZK_NO_NODE)
		return (start_cluster_id_new(t));
	if (s->op->rc != ZK_OK)
		return (start_refused(t, s->op));
	if (!znode_cluster_id_decode(s->op->answer, zk_batch_arena(s->batch),
		&id) || strlen(id) >= sizeof(b->cluster_id))
		return (start_fail(b, "/cluster/id holds no cluster id"));
	memcpy(b->cluster_id, id, strlen(id) + 1);
	if (s->topics->rc != ZK_OK)
		return (start_refused(t, s->topics));
	if (s->offsets->rc != ZK_OK && s->offsets->rc != ZK_NO_NODE)
		return (start_refused(t, s->offsets));
	b->topics_exist = s->topics->stat.children_count > 0;
	if (!start_offsets_topic(s))
		return (start_fail(b, ZNODE_BROKER_TOPICS "/" OFFSETS_TOPIC
		    " holds no topic's JSON: how many partitions it has tells "
		    "where groups are"));
	return (start_go(t, start_broker_id));
}

static enum verdict
start_cluster_id_made(struct task *t)
{
	struct start *s = task_state(t);

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	if (s->op->rc != ZK_OK && s->op->rc != ZK_NODE_EXISTS)
		return (start_refused(t, s->op));
	return (start_go(t, start_cluster_id)); /* whoever made it: read it */
}

/* What is configured, else what the directories say, else a new one. */
static enum verdict
start_broker_id(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;

	b->broker_id = b->options->cluster.broker_id >= 0 ?
	    b->options->cluster.broker_id : storage_broker_id(b->storage);
	if (b->broker_id >= 0)
		return (start_go(t, start_assigned));
	if (!b->options->cluster.broker_id_generation_enable)
		return (start_fail(b, "broker.id is not set, and "
		    "broker.id.generation.enable is false: set one of them"));
	s->op = zk_batch_set(start_batch(s), ZNODE_BROKER_SEQID, SLICE_EMPTY,
	    ZK_ANY_VERSION);
	zk_batch_submit(s->batch, t);
	return (task_next(t, start_broker_id_made));
}

static enum verdict
start_broker_id_made(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	if (s->op->rc != ZK_OK)
		return (start_refused(t, s->op));
	b->broker_id = b->options->cluster.reserved_broker_max_id +
	    s->op->stat.version;
	return (start_go(t, start_assigned));
}

/* --- what new directories may have lost ----------------------------------- */

#define ASSIGNED_FLIGHT 500 /* topics that are asked for at once */

/* What is assigned later has no log yet that could be lost: the run before is
 * over, though its session may stand, and this one is not registered. */
static enum verdict
start_assigned(struct task *t)
{
	struct start *s = task_state(t);

	if (!storage_is_new(s->broker->storage))
		return (start_go(t, start_identity));
	s->op = zk_batch_children(start_batch(s), ZNODE_BROKER_TOPICS, NULL);
	zk_batch_submit(s->batch, t);
	return (task_next(t, start_assigned_listed));
}

static enum verdict
start_assigned_listed(struct task *t)
{
	struct start *s = task_state(t);
	bool good;

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	if (s->op->rc != ZK_OK)
		return (start_refused(t, s->op));
	arena_reset(&s->names);
	s->topic_count = s->op->child_count;
	s->next_topic = s->assigned_count = 0;
	s->topic_names = arena_array(&s->names, s->topic_count,
	    sizeof(*s->topic_names));
	good = s->topic_names != NULL;
	for (size_t i = 0; good && i < s->topic_count; i++) {
		s->topic_names[i] = arena_strdup(&s->names,
		    s->op->children[i]);
		good = s->topic_names[i] != NULL;
	}
	return (good ? start_go(t, start_assigned_ask) :
	    start_fail(s->broker, ZNODE_BROKER_TOPICS " has too many topics"));
}

static enum verdict
start_assigned_ask(struct task *t)
{
	struct start *s = task_state(t);
	struct zk_batch *batch;
	size_t left = s->topic_count - s->next_topic;

	if (left == 0)
		return (start_go(t, start_identity));
	batch = start_batch(s);
	s->op_count = left < ASSIGNED_FLIGHT ? left : ASSIGNED_FLIGHT;
	s->ops = arena_array(zk_batch_arena(batch), s->op_count,
	    sizeof(struct zk_op *));
	CHECK(s->ops != NULL);
	for (size_t i = 0; i < s->op_count; i++)
		s->ops[i] = zk_batch_get(batch, znode_topic_path(
		    zk_batch_arena(batch), s->topic_names[s->next_topic + i]),
		    NULL);
	zk_batch_submit(batch, t);
	return (task_next(t, start_assigned_read));
}

static void
start_assigned_add(struct start *s, const char *topic,
    const struct znode_assignment *partition)
{
	bool ours = false;

	for (int32_t i = 0; i < partition->replica_count; i++)
		ours |= partition->replicas[i] == s->broker->broker_id;
	/* What has a bad name has no log. */
	if (!ours || partition->partition < 0 ||
	    !topic_name_valid(slice_of_text(topic), &(const char *){ NULL }))
		return;
	if (s->assigned_count == s->assigned_room) {
		s->assigned_room += s->assigned_room / 2 + 64;
		s->assigned = mem_realloc(s->assigned,
		    s->assigned_room * sizeof(*s->assigned));
	}
	s->assigned[s->assigned_count++] = (struct storage_assigned){
		.topic = topic, .partition = partition->partition };
}

static enum verdict
start_assigned_read(struct task *t)
{
	struct start *s = task_state(t);

	if (!zk_batch_done(s->batch))
		return (start_wait(t));
	for (size_t i = 0; i < s->op_count; i++) {
		const char *name = s->topic_names[s->next_topic + i];
		struct znode_topic topic;

		if (s->ops[i]->rc == ZK_NO_NODE)
			continue; /* deleted since */
		if (s->ops[i]->rc != ZK_OK)
			return (start_refused(t, s->ops[i]));
		if (!znode_topic_decode(s->ops[i]->answer,
			zk_batch_arena(s->batch), &topic)) {
			diag_fatal(s->broker->setup.seams.diag, daemon,
			    "start: path=%s holds no topic's JSON, so what is "
			    "lost of it is not known to a log directory "
			    "without meta.properties or recovery points: mend "
			    "the node, or delete it",
			    s->ops[i]->path);
			return (start_fail(s->broker, NULL));
		}
		for (size_t j = 0; j < topic.partition_count; j++)
			start_assigned_add(s, name, &topic.partitions[j]);
	}
	s->next_topic += s->op_count;
	return (start_go(t, start_assigned_ask));
}

/* --- meta.properties ------------------------------------------------------ */

static void
start_identity_run(struct work *work)
{
	struct start *s = container_of(work, struct start, work.work);
	struct broker *b = s->broker;

	s->work.good = storage_set_identity(b->storage, b->broker_id,
	    b->cluster_id, s->assigned, s->assigned_count);
}

static enum verdict
start_identity(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;

	if (s->work.work.run != start_identity_run) {
		broker_work_start(&s->work, b, t, start_identity_run);
		return (STEP_WAIT);
	}
	if (!s->work.done)
		return (STEP_WAIT);
	if (!s->work.good)
		return (start_fail(b, "meta.properties does not agree with "
		    "broker.id and the cluster's id"));
	b->dynamic = dynamic_new(b);
	return (start_go(t, start_dynamic));
}

/* --- configs -------------------------------------------------------------- */

/* The session's threads look at their options, of which nothing can be set at
 * run time. */
static void
start_take_options(struct broker_options *to,
    const struct broker_options *from)
{
#define ROOM(room_, title_)                                                   \
	if (strcmp(#room_, "zkglue") != 0)                                    \
		to->room_ = from->room_;
#define OPTION(...)
#define DERIVED(...)
#define ROOM_END(...)
#include "config/options.def"
#undef ROOM
#undef OPTION
#undef DERIVED
#undef ROOM_END
}

/* What was made before anything was read follows. */
static void
start_take_config(struct broker *b, const struct config *config)
{
	config_unref(b->config);
	b->config = config_ref(config);
	start_take_options(&b->own_options, config_options(config));
	settings_take_early(b);
	b->live = config_live_new(&(struct config_live_setup){
	    .loops = b->loops,
	    .loop_count = b->loop_count + 1,
	    .config = config,
	    .take = settings_take_on_loop,
	    .arg = b,
	});
}

static enum verdict
start_dynamic(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;

	start_join(t, dynamic_changed(b->dynamic));
	if (dynamic_state(b->dynamic) == DYNAMIC_UNREAD)
		return (start_wait(t));
	if (dynamic_state(b->dynamic) == DYNAMIC_REFUSED)
		return (start_fail(b, "what is set in /config/brokers cannot "
		    "be followed"));
	start_take_config(b, dynamic_config(b->dynamic));
	b->configs = configs_new(&(struct configs_setup){
	    .loop = b->control,
	    .zk = b->zk,
	    .config = b->config,
	    .diag = b->setup.seams.diag,
	    .changed = settings_config_changed,
	    .changed_arg = b,
	});
	configs_start(b->configs);
	return (start_go(t, start_configs));
}

static void
start_progress(void *arg, size_t done, size_t total)
{
	broker_goes_on(arg, "loading logs", done, total, 0);
}

static void
start_load_run(struct work *work)
{
	struct broker_work *w = container_of(work, struct broker_work, work);

	w->good = storage_load(w->broker->storage, start_progress, w->broker);
}

static enum verdict
start_configs(struct task *t)
{
	struct start *s = task_state(t);

	const struct zk_op *refusal = configs_refusal(s->broker->configs);

	start_join(t, configs_loaded(s->broker->configs));
	if (refusal != NULL)
		return (start_refused(t, refusal));
	if (!configs_started(s->broker->configs))
		return (start_wait(t));
	broker_work_start(&s->work, s->broker, t, start_load_run);
	return (task_next(t, start_logs)); /* the work is in our memory */
}

static enum verdict
start_logs(struct task *t)
{
	struct start *s = task_state(t);

	if (!s->work.done) {
		if (atomic_load(&s->broker->stop_wanted))
			storage_load_abandon(s->broker->storage);
		return (STEP_WAIT);
	}
	if (atomic_load(&s->broker->stop_wanted))
		return (start_go(t, NULL));
	if (!s->work.good)
		return (start_fail(s->broker, "no log directory is usable"));
	storage_start_upkeep(s->broker->storage, s->broker->control);
	return (start_go(t, start_rooms));
}

/* --- rooms ---------------------------------------------------------------- */

static int64_t
start_broker_epoch(void *arg)
{
	struct broker *b = arg;

	return (b->registration == NULL ? -1 :
		registration_broker_epoch(b->registration));
}

/* For metrics of groups. */
static bool
start_high_watermark(void *arg, struct slice topic, int32_t partition,
    int64_t *out)
{
	const struct broker *b = arg;

	return (replicas_high_watermark(b->replicas, topic, partition, out));
}

static void
start_following(struct broker *b)
{
	replicas_start_following(b->replicas, &(struct follow_setup){
	    .loops = b->loops,
	    .loop_count = b->loop_count,
	    .sockets = b->setup.seams.sockets,
	    .resolver = b->resolver,
	    .listener = b->options->net.inter_broker_listener->name,
	    .tls = broker_tls_of_followers(b),
	    .control_listener = broker_control_listener(b),
	    .control_tls = b->tls.peers,
	    .broker_epoch = start_broker_epoch,
	    .broker_epoch_arg = b,
	});
}

static void
start_cluster_rooms(struct broker *b)
{
	const struct seams *seams = &b->setup.seams;

	b->feature = feature_new(b->control, b->zk);
	b->cluster = cluster_new(&(struct cluster_setup){
	    .loops = b->loops,
	    .loop_count = b->loop_count + 1,
	    .cluster_id = b->cluster_id,
	    .broker_id = b->broker_id,
	    .topics_exist = b->topics_exist,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	});
	b->replicas = replicas_new(&(struct replicas_setup){
	    .options = &b->options->replica,
	    .broker_options = b->options,
	    .scheduler = seams->scheduler,
	    .storage = b->storage,
	    .cluster = b->cluster,
	    .configs = b->configs,
	    .workers = b->disk,
	    .loop = b->control,
	    .broker_id = b->broker_id,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	});
	start_following(b);
	/* Before the first order: it is told where this broker leads. */
	b->groups = groups_new(&(struct groups_setup){
	    .options = &b->options->group,
	    .live = b->live,
	    .cluster = b->cluster,
	    .replicas = b->replicas,
	    .high_watermark = start_high_watermark,
	    .high_watermark_arg = b,
	    .workers = b->disk,
	    .loops = b->loops,
	    .loop_count = b->loop_count,
	    .topic_partitions = b->offsets_partitions,
	    .topic_id = b->offsets_id,
	    .load_bytes = (size_t)b->options->coord.offsets_load_buffer_bytes,
	    .random = seams->random,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	});
	b->controller = controller_new(&(struct controller_setup){
	    .loop = b->control,
	    .zk = b->zk,
	    .cluster = b->cluster,
	    .configs = b->configs,
	    .sockets = seams->sockets,
	    .resolver = b->resolver,
	    .options = &b->options->controller,
	    .broker_options = b->options,
	    .config = b->config,
	    .listener = broker_control_listener(b),
	    .tls = b->tls.peers,
	    .broker_id = b->broker_id,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	    .random = seams->random,
	});
}

static enum verdict
start_rooms(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;
	const struct seams *seams = &b->setup.seams;

	if (!broker_tls_start(b))
		return (start_fail(b, "TLS cannot be spoken"));
	start_cluster_rooms(b);
	b->producer_ids = producer_ids_new(&(struct producer_ids_setup){
	    .loop = b->control,
	    .cluster = b->cluster,
	    .sockets = seams->sockets,
	    .resolver = b->resolver,
	    .listener = broker_control_listener(b),
	    .tls = b->tls.peers,
	    .connect_timeout_ms = b->options->net.connection_setup_timeout_ms,
	    .request_timeout_ms = b->options->controller.request_timeout_ms,
	    .broker_id = b->broker_id,
	    .broker_epoch = start_broker_epoch,
	    .broker_epoch_arg = b,
	    .diag = seams->diag,
	});
	b->apis = api_new(&(struct api_setup){
	    .options = b->options,
	    .live = b->live,
	    .may_become = settings_may_become,
	    .may_become_arg = b,
	    .scheduler = seams->scheduler,
	    .controller_loop = b->control,
	    .zk = b->zk,
	    .workers = b->disk,
	    .cluster = b->cluster,
	    .configs = b->configs,
	    .replicas = b->replicas,
	    .controller = b->controller,
	    .producer_ids = b->producer_ids,
	    .groups = b->groups,
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	    .random = seams->random,
	    .broker_id = b->broker_id,
	    .broker_epoch = start_broker_epoch,
	    .broker_epoch_arg = b,
	    .feature_epoch = feature_epoch,
	    .feature_epoch_arg = b->feature,
	});
	b->net = net_new(&(struct net_setup){
	    .options = &b->options->net,
	    .sockets = seams->sockets,
	    .loops = b->loops,
	    .loop_count = b->loop_count,
	    .handler = api_handler(b->apis),
	    .diag = seams->diag,
	    .metrics = b->setup.metrics,
	});
	return (start_go(t, start_listeners));
}

/* --- listeners and registration ------------------------------------------- */

static enum verdict
start_listeners(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;
	const struct listener_list *list = &b->options->net.listener_list;

	for (size_t i = 0; i < list->count; i++) {
		struct config_listener listener = list->items[i];

		if (!net_listen(b->net, &listener))
			return (start_fail(b, "a listener cannot be opened"));
	}
	return (start_go(t, start_registration));
}

static enum verdict
start_registration(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;
	struct znode_broker registered;
	struct arena arena;

	arena_init(&arena, 0);
	settings_advertise(b, b->options, &arena, &registered);

	b->registration = registration_new(&(struct registration_setup){
	    .loop = b->control,
	    .zk = b->zk,
	    .diag = b->setup.seams.diag,
	    .broker_id = b->broker_id,
	    .broker = &registered,
	    .clock = b->setup.seams.clock,
	    .patience_ms = b->options->zkglue.session_timeout_ms * 2,
	});
	arena_fini(&arena);
	return (task_next(t, start_registered));
}

static enum verdict
start_registered(struct task *t)
{
	struct broker *b = ((struct start *)task_state(t))->broker;

	start_join(t, registration_changed(b->registration));
	switch (registration_state(b->registration)) {
	case REGISTRATION_PENDING:
		return (start_wait(t));
	case REGISTRATION_REFUSED:
		return (start_fail(b, NULL));
	case REGISTRATION_DONE:
		break;
	}
	net_start(b->net);
	b->doors_open = true;
	controller_start(b->controller);
	dynamic_open(b->dynamic);
	return (start_go(t, start_told));
}

/* Ready once the controller, whoever it is, has told us of ourselves; it never
 * does when the session went meanwhile and another has our id or address. */
static enum verdict
start_told(struct task *t)
{
	struct start *s = task_state(t);
	struct broker *b = s->broker;

	start_join(t, cluster_changed(b->cluster));
	s->told_joined = registration_changed(b->registration);
	waitq_join(s->told_joined, &s->told, t);
	if (registration_state(b->registration) == REGISTRATION_REFUSED)
		return (start_fail(b, NULL));
	if (image_broker(cluster_image(b->cluster), b->broker_id) == NULL)
		return (start_wait(t));
	b->task = (struct task_ref){ NULL, 0 };
	atomic_store(&b->ready, true);
	atomic_store(&b->collected, true);
	broker_enter(b, BROKER_RUNNING);
	broker_tls_started(b);
	broker_run_task(b);
	if (atomic_load(&b->stop_wanted))
		broker_stop_task(b);
	return (STEP_DONE);
}
