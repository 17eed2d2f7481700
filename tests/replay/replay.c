/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/replay/replay_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/mem.h"
#include "base/text.h"

void
replay_fault(struct replay *r, const char *format, ...)
{
	va_list args;

	r->faults++;
	if (r->faults > 10)
		return;
	fprintf(stderr, "seed %llu: ", (unsigned long long)r->seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* --- planes --------------------------------------------------------------- */

static void
plane_configure(struct plane *p)
{
	char text[600];

	snprintf(text, sizeof(text), "broker.id=%d\n"
	    "zookeeper.connect=fake:2181\nzookeeper.session.timeout.ms=%d\n"
	    "listeners=PLAINTEXT://%s:9092\nlog.dirs=/nowhere\n%s", p->id,
	    REPLAY_SESSION_MS, p->name, p->replay->more == NULL ? "" :
	    p->replay->more);
	p->config = config_new();
	CHECK(config_read(p->config, slice_of_text(text)));
	if (!config_resolve(p->config))
		for (size_t i = 0; i < config_finding_count(p->config); i++)
			fprintf(stderr, "%s: %s\n",
			    config_finding_at(p->config, i)->subject,
			    config_finding_at(p->config, i)->message);
	p->listener = *config_options(p->config)->net.inter_broker_listener;
	/* Orders come on a listener of their own. */
	p->endpoints[0] = (struct znode_endpoint){ "PLAINTEXT", "PLAINTEXT",
		p->name, REPLAY_FOLLOWER_PORT };
	p->endpoints[1] = (struct znode_endpoint){ "CONTROL", "PLAINTEXT",
		p->name, 9092 };
	p->node = (struct znode_broker){ .endpoints = p->endpoints,
		.endpoint_count = 2, .jmx_port = -1 };
}

static void
plane_config_changed(void *arg, const struct topic_config *config)
{
	struct plane *p = arg;

	if (p->controller != NULL)
		controller_config_changed(p->controller, config->topic);
}

static void
plane_rooms(struct plane *p)
{
	struct replay *r = p->replay;
	const struct broker_options *options = config_options(p->config);
	struct loop *loops[] = { p->network, p->control };
	struct sockets *sockets = fabric_sockets(r->fabric, p->name);

	p->zk = zk_new(&(struct zk_setup){ .loop = p->control,
	    .workers = p->workers, .driver = p->driver,
	    .options = &options->zkglue, .diag = r->diag });
	p->registration = registration_new(&(struct registration_setup){
	    .loop = p->control, .zk = p->zk, .diag = r->diag,
	    .broker_id = p->id, .broker = &p->node, .clock = &r->clock.clock,
	    .patience_ms = 60000 });
	p->cluster = cluster_new(&(struct cluster_setup){ .loops = loops,
	    .loop_count = 2, .cluster_id = "replay", .broker_id = p->id,
	    .diag = r->diag });
	p->configs = configs_new(&(struct configs_setup){ .loop = p->control,
	    .zk = p->zk, .config = p->config, .diag = r->diag,
	    .changed = plane_config_changed, .changed_arg = p });
	configs_start(p->configs);
	p->controller = controller_new(&(struct controller_setup){
	    .loop = p->control, .zk = p->zk, .cluster = p->cluster,
	    .configs = p->configs, .sockets = sockets, .resolver = p->workers,
	    .options = &options->controller, .broker_options = options,
	    .config = p->config, .listener = "CONTROL",
	    .broker_id = p->id, .diag = r->diag, .random = &p->random });
	p->net = net_new(&(struct net_setup){ .options = &options->net,
	    .sockets = sockets, .loops = loops, .loop_count = 1,
	    .handler = { .on_request = plane_request, .serves = plane_serves,
		.arg = p }, .diag = r->diag });
	CHECK(net_listen(p->net, &p->listener));
	net_start(p->net);
	controller_start(p->controller);
}

void
replay_start(struct replay *r, int id)
{
	struct plane *p = mem_zalloc(sizeof(*p));

	CHECK(r->planes[id] == NULL);
	p->replay = r;
	p->id = id;
	list_init(&p->telling);
	snprintf(p->name, sizeof(p->name), "b%d", id);
	random_seed(&p->random, random_u64(&r->random));
	plane_configure(p);
	p->control = loop_new(r->scheduler, "control");
	p->network = loop_new(r->scheduler, "network");
	loop_start(p->control);
	loop_start(p->network);
	p->workers = work_queue_new(r->scheduler, "workers", 1);
	p->driver = zk_fake_driver(r->fake);
	(void)fabric_sockets(r->fabric, p->name);
	fabric_revive(r->fabric, p->name);
	r->planes[id] = p;
	plane_rooms(p);
}

static void
run_ready(struct replay *r)
{
	scheduler_run_until(r->scheduler, r->clock.now_ns + MS);
}

/* Nothing of it gets out any more: for the others it died already. */
static void
plane_bury(struct plane *p)
{
	const struct task_ref nobody = { NULL, 0 };
	struct replay *r = p->replay;

	plane_tell_all(p);
	run_ready(r);
	net_stop(p->net, r->clock.now_ns, nobody);
	controller_stop(p->controller, nobody);
	while (!controller_stopped(p->controller) || !net_stopped(p->net))
		run_ready(r);
	controller_free(&p->controller);
	configs_free(&p->configs);
	registration_free(&p->registration);
	zk_close(p->zk, nobody, &p->zk_closed);
	while (!p->zk_closed)
		run_ready(r);
	run_ready(r);
	loop_stop(p->network);
	loop_stop(p->control);
	net_free(&p->net);
	work_queue_free(p->workers);
	loop_free(p->network);
	loop_free(p->control);
	cluster_free(&p->cluster);
	p->driver->ops->free(p->driver);
	config_free(&p->config);
	mem_free(p);
}

static void
bury_the_doomed(struct replay *r)
{
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++)
		if (r->doomed[id] && r->planes[id] != NULL) {
			struct plane *p = r->planes[id];

			plane_bury(p);
			r->planes[id] = NULL;
			r->doomed[id] = false;
		}
}

void
replay_kill(struct replay *r, int id)
{
	struct plane *p = r->planes[id];

	if (p == NULL || r->doomed[id])
		return;
	fabric_kill(r->fabric, p->name);
	zk_fake_cut(r->fake, p->driver, true);
	r->doomed[id] = true;
}

/* What lies in a table of replicas or epochs. */
static void
table_clear(struct hash *table)
{
	HASH_EACH(node, table) {
		hash_remove(table, node);
		mem_free(container_of(node, struct replay_replica, node));
	}
	hash_clear(table);
}

void
replay_wipe(struct replay *r, int id)
{
	table_clear(&r->replicas[id]);
}

void
replay_kill_bounced(struct replay *r, int id)
{
	struct plane *p = r->planes[id];

	if (p == NULL || r->doomed[id])
		return;
	fabric_kill(r->fabric, p->name);
	zk_fake_cut(r->fake, p->driver, true);
	zk_fake_expire(r->fake, p->driver);
	r->doomed[id] = true;
	bury_the_doomed(r);
}

bool
replay_lives(const struct replay *r, int id)
{
	return (r->planes[id] != NULL && !r->doomed[id]);
}

struct zk_driver *
replay_driver(const struct replay *r, int id)
{
	return (r->planes[id]->driver);
}

struct controller *
replay_controller(const struct replay *r, int id)
{
	return (r->planes[id]->controller);
}

int
replay_active(const struct replay *r)
{
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++)
		if (replay_lives(r, id) &&
		    controller_active(r->planes[id]->controller))
			return (id);
	return (0);
}

/* --- the whole ------------------------------------------------------------ */

struct late_write {
	struct list link;
	char path[300];
	int32_t controller_epoch;
};

static int32_t
controller_epoch_now(struct replay *r)
{
	struct slice data;
	struct zk_stat stat;
	int32_t epoch;

	return (zk_fake_get(r->fake, ZNODE_CONTROLLER_EPOCH, &data, &stat) &&
	    znode_epoch_decode(data, &epoch) ? epoch : 0);
}

static void
note_late_write(struct replay *r, const struct zk_op *part, int32_t epoch)
{
	struct late_write *late;
	struct znode_state state;
	struct arena arena;

	arena_init(&arena, 0);
	if (strstr(part->path, "/state") != NULL &&
	    znode_state_decode(part->data, &arena, &state) &&
	    state.controller_epoch < epoch) {
		late = mem_zalloc(sizeof(*late));
		snprintf(late->path, sizeof(late->path), "%s", part->path);
		late->controller_epoch = state.controller_epoch;
		list_push_tail(&r->late, &late->link);
		r->late_writes++;
	}
	arena_fini(&arena);
}

/* After them: no such node may bear the old controller's epoch and be younger
 * than the new one's. */
static void
look_at_late_writes(struct replay *r)
{
	struct slice data;
	struct zk_stat elected = { 0 }, stat;
	struct znode_state state;
	struct list *link;

	zk_fake_get(r->fake, ZNODE_CONTROLLER_EPOCH, &data, &elected);
	while ((link = list_pop_head(&r->late)) != NULL) {
		struct late_write *late = list_entry(link, struct late_write,
		    link);
		struct arena arena;

		arena_init(&arena, 0);
		if (zk_fake_get(r->fake, late->path, &data, &stat) &&
		    znode_state_decode(data, &arena, &state) &&
		    state.controller_epoch == late->controller_epoch &&
		    stat.mzxid > elected.mzxid)
			replay_fault(r, "%s was written by the controller of "
			    "epoch %d after its time", late->path,
			    (int)late->controller_epoch);
		arena_fini(&arena);
		mem_free(late);
	}
}

static void
written(void *arg, struct zk_driver *driver, const struct zk_op *op)
{
	struct replay *r = arg;
	int32_t epoch = controller_epoch_now(r);

	r->written = true;
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (op->parts[i].data.length > 0)
			note_late_write(r, &op->parts[i], epoch);
	for (int id = 1; r->on_write != NULL && id <= REPLAY_PLANES_MAX; id++)
		if (r->planes[id] != NULL && r->planes[id]->driver == driver)
			r->on_write(r, id, op);
}

static void
line(void *arg, const char *text)
{
	struct replay *r = arg;

	(void)r;
	fprintf(stderr, "%s\n", text);
}

struct replay *
replay_new(uint64_t seed, size_t planes, const char *more)
{
	struct replay *r = mem_zalloc(sizeof(*r));

	r->seed = seed;
	random_seed(&r->random, seed);
	clock_virtual_init(&r->clock, 1717000000000);
	r->scheduler = scheduler_new_replay(&r->clock, seed);
	r->fake = zk_fake_new(r->scheduler);
	r->fabric = fabric_new(r->scheduler);
	r->plane_count = planes;
	r->more = more;
	list_init(&r->late);
	if (getenv("REPLAY_LOG") != NULL) {
		r->diag = diag_new(&r->clock.clock, "/dev/null");
		diag_set_sink(r->diag, line, r);
		diag_set_level(r->diag, DIAG_ROOM_controller, DIAG_TRACE);
	}
	zk_fake_on_write(r->fake, written, r);
	/* Whole brokers make the tree themselves. */
	for (const char *const *path = znode_static_paths();
	     planes > 0 && *path != NULL; path++)
		zk_fake_put(r->fake, *path, SLICE_NULL);
	for (size_t i = 1; i <= planes; i++)
		replay_start(r, (int)i);
	return (r);
}

void
replay_free(struct replay **place)
{
	struct replay *r = *place;

	r->on_write = NULL;
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++) {
		if (r->planes[id] != NULL)
			r->doomed[id] = true;
		bury_the_doomed(r);
		table_clear(&r->replicas[id]);
	}
	table_clear(&r->epochs);
	look_at_late_writes(r);
	zk_fake_free(r->fake);
	scheduler_free(r->scheduler);
	fabric_free(r->fabric);
	diag_free(r->diag);
	mem_free(r);
	*place = NULL;
}

/* --- invariants ----------------------------------------------------------- */

bool
replay_state(struct replay *r, const char *topic, int32_t partition,
    struct arena *arena, struct znode_state *state, int32_t *version)
{
	struct slice data;
	struct zk_stat stat;

	if (!zk_fake_get(r->fake, znode_state_path(arena, topic, partition),
		&data, &stat) || !znode_state_decode(data, arena, state))
		return (false);
	*version = stat.version;
	return (true);
}

static void
epoch_seen(struct replay *r, const char *path, int32_t epoch)
{
	struct hash_node *node = hash_find(&r->epochs, path, strlen(path));
	struct replay_replica *seen;

	if (node == NULL) {
		seen = mem_zalloc(sizeof(*seen));
		snprintf(seen->key, sizeof(seen->key), "%s", path);
		hash_insert(&r->epochs, &seen->node, seen->key,
		    strlen(seen->key));
	} else {
		seen = container_of(node, struct replay_replica, node);
		if (epoch < seen->leader_epoch)
			replay_fault(r, "%s went back from epoch %d to %d",
			    path, (int)seen->leader_epoch, (int)epoch);
	}
	seen->leader_epoch = epoch;
}

/* Topics that scripts made: t0, t1, ...; some may be deleted. */
static void
each_topic(struct replay *r, void (*each)(struct replay *replay,
    const char *topic, const struct znode_topic *node, struct arena *arena))
{
	for (int i = 0; i < REPLAY_TOPICS_MAX; i++) {
		char name[16];
		struct arena arena;
		struct slice data;
		struct zk_stat stat;
		struct znode_topic node;

		snprintf(name, sizeof(name), "t%d", i);
		arena_init(&arena, 0);
		if (zk_fake_get(r->fake, znode_topic_path(&arena, name),
			&data, &stat) &&
		    znode_topic_decode(data, &arena, &node))
			each(r, name, &node, &arena);
		arena_fini(&arena);
	}
}

static void
look_at_epochs(struct replay *r, const char *topic,
    const struct znode_topic *node, struct arena *arena)
{
	for (size_t i = 0; i < node->partition_count; i++) {
		struct znode_state state;
		int32_t version;
		char path[300], id[UUID_TEXT_SIZE];

		if (!replay_state(r, topic, node->partitions[i].partition,
			arena, &state, &version))
			continue;
		/* Made anew, it is another topic. */
		uuid_to_text(node->id, id);
		snprintf(path, sizeof(path), "%s/%zu@%s", topic, i, id);
		epoch_seen(r, path, state.leader_epoch);
	}
}

static void
look_at_controller_epoch(struct replay *r)
{
	struct slice data;
	struct zk_stat stat;
	int32_t epoch;

	if (zk_fake_get(r->fake, ZNODE_CONTROLLER_EPOCH, &data, &stat) &&
	    znode_epoch_decode(data, &epoch))
		epoch_seen(r, ZNODE_CONTROLLER_EPOCH, epoch);
}

void
replay_run(struct replay *r, int64_t ms)
{
	int64_t end_ns = r->clock.now_ns + ms * MS;

	while (r->clock.now_ns < end_ns) {
		int64_t next_ns = r->clock.now_ns + 100 * MS;

		scheduler_run_until(r->scheduler,
		    next_ns < end_ns ? next_ns : end_ns);
		bury_the_doomed(r);
		if (!r->written)
			continue;
		r->written = false;
		look_at_late_writes(r);
		look_at_controller_epoch(r);
		each_topic(r, look_at_epochs);
	}
}

static bool
isr_lives(const struct replay *r, const struct znode_state *state)
{
	for (int32_t i = 0; i < state->isr_count; i++)
		if (replay_lives(r, state->isr[i]))
			return (true);
	return (false);
}

static bool
in_isr(const struct znode_state *state, int32_t broker)
{
	for (int32_t i = 0; i < state->isr_count; i++)
		if (state->isr[i] == broker)
			return (true);
	return (false);
}

static void
check_image(struct replay *r, struct plane *p, const char *topic,
    int32_t partition, const struct znode_state *state, int32_t version)
{
	const struct cluster_topic *seen;
	const struct cluster_partition *s;
	const struct cluster_image *image;

	/* Between runs every loop is the calling one: the first's is taken. */
	image = cluster_image(p->cluster);
	seen = image_topic(image, slice_of_text(topic));
	s = seen == NULL ? NULL : topic_partition(seen, partition);
	if (s == NULL) {
		replay_fault(r, "b%d does not know %s/%d", p->id, topic,
		    (int)partition);
		return;
	}
	if (s->leader != state->leader ||
	    s->leader_epoch != state->leader_epoch ||
	    s->partition_epoch != version || s->isr_count != state->isr_count)
		replay_fault(r, "b%d believes %s/%d leader %d epoch %d version "
		    "%d, it is %d %d %d", p->id, topic, (int)partition,
		    (int)s->leader, (int)s->leader_epoch,
		    (int)s->partition_epoch, (int)state->leader,
		    (int)state->leader_epoch, (int)version);
}

static void
check_replica(struct replay *r, struct plane *p, const char *topic,
    int32_t partition, const struct znode_state *state)
{
	const struct replay_replica *replica;
	char key[300];

	snprintf(key, sizeof(key), "%s/%d", topic, (int)partition);
	replica = plane_replica(p, key, false);
	if (replica == NULL || replica->leader_epoch != state->leader_epoch ||
	    replica->leader != state->leader)
		replay_fault(r, "b%d was told of %s leader %d epoch %d, it is "
		    "%d %d", p->id, key, replica == NULL ? -9 :
		    (int)replica->leader, replica == NULL ? -9 :
		    (int)replica->leader_epoch, (int)state->leader,
		    (int)state->leader_epoch);
}

static void
check_partition(struct replay *r, const char *topic,
    const struct znode_assignment *a, struct arena *arena)
{
	struct znode_state state;
	int32_t version;
	bool anyone = false;

	for (int32_t i = 0; i < a->replica_count; i++)
		anyone = anyone || replay_lives(r, a->replicas[i]);
	if (!replay_state(r, topic, a->partition, arena, &state, &version)) {
		if (anyone)
			replay_fault(r, "%s/%d has no state", topic,
			    (int)a->partition);
		return;
	}
	if (state.isr_count == 0)
		replay_fault(r, "%s/%d has an empty ISR", topic,
		    (int)a->partition);
	if (isr_lives(r, &state) && !replay_lives(r, state.leader))
		replay_fault(r, "%s/%d is led by %d, which is dead, and an ISR "
		    "member lives", topic, (int)a->partition,
		    (int)state.leader);
	if (state.leader >= 0 && !in_isr(&state, state.leader))
		replay_fault(r, "%s/%d is led from outside its ISR", topic,
		    (int)a->partition);
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++)
		if (replay_lives(r, id))
			check_image(r, r->planes[id], topic, a->partition,
			    &state, version);
	for (int32_t i = 0; i < a->replica_count; i++)
		if (replay_lives(r, a->replicas[i]))
			check_replica(r, r->planes[a->replicas[i]], topic,
			    a->partition, &state);
}

static void
check_topic(struct replay *r, const char *topic, const struct znode_topic *node,
    struct arena *arena)
{
	if (uuid_is_zero(node->id))
		replay_fault(r, "%s has no id", topic);
	for (size_t i = 0; i < node->partition_count; i++)
		check_partition(r, topic, &node->partitions[i], arena);
}

static void
check_controllers(struct replay *r)
{
	struct znode_controller seat = { .broker_id = -1 };
	struct slice data;
	struct zk_stat stat;
	size_t active = 0, live = 0;

	if (!zk_fake_get(r->fake, ZNODE_CONTROLLER, &data, &stat) ||
	    !znode_controller_decode(data, &seat))
		seat.broker_id = -1;
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++) {
		struct plane *p = r->planes[id];

		if (!replay_lives(r, id))
			continue;
		live++;
		active += controller_active(p->controller);
		if (controller_active(p->controller) && seat.broker_id != id)
			replay_fault(r, "b%d is active, /controller says %d",
			    id, (int)seat.broker_id);
		if (controller_current_id(p->controller) != seat.broker_id)
			replay_fault(r, "b%d takes b%d for the controller, it "
			    "is %d", id,
			    (int)controller_current_id(p->controller),
			    (int)seat.broker_id);
	}
	if (active != (live > 0 ? 1u : 0u))
		replay_fault(r, "%zu controllers are active, %zu planes live",
		    active, live);
}

bool
replay_topic(struct replay *r, const char *topic, struct uuid *id)
{
	struct arena arena;
	struct slice data;
	struct zk_stat stat;
	struct znode_topic node;
	bool there;

	arena_init(&arena, 0);
	there = zk_fake_get(r->fake, znode_topic_path(&arena, topic), &data,
	    &stat) && znode_topic_decode(data, &arena, &node);
	if (there && id != NULL)
		*id = node.id;
	arena_fini(&arena);
	return (there);
}

struct looking {
	struct replay *replay;
	int id;
};

/* What a broker believes to be there is there. */
static bool
check_believed(void *arg, const struct cluster_topic *topic)
{
	const struct looking *l = arg;
	struct uuid id;

	if (!replay_topic(l->replay, topic->name, &id))
		replay_fault(l->replay, "b%d believes in %s, which is gone",
		    l->id, topic->name);
	else if (!uuid_equal(id, topic->id))
		replay_fault(l->replay, "b%d believes in another %s", l->id,
		    topic->name);
	return (true);
}

static void
check_leftovers(struct replay *r, int id)
{
	struct looking l = { r, id };

	image_each_topic(cluster_image(r->planes[id]->cluster),
	    check_believed, &l);
	HASH_EACH(node, &r->replicas[id]) {
		const struct replay_replica *replica = container_of(node,
		    struct replay_replica, node);
		char topic[300];

		snprintf(topic, sizeof(topic), "%s", replica->key);
		*strchr(topic, '/') = '\0';
		if (!replay_topic(r, topic, NULL))
			replay_fault(r, "b%d has a replica of %s, which is "
			    "gone", id, replica->key);
	}
}

void
replay_check(struct replay *r)
{
	check_controllers(r);
	each_topic(r, check_topic);
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++)
		if (replay_lives(r, id))
			check_leftovers(r, id);
	for (int id = 1; id <= REPLAY_PLANES_MAX; id++) {
		const struct cluster_image *image;

		if (!replay_lives(r, id))
			continue;
		image = cluster_image(r->planes[id]->cluster);
		for (int other = 1; other <= REPLAY_PLANES_MAX; other++)
			if ((image_broker(image, other) != NULL) !=
			    replay_lives(r, other))
				replay_fault(r, "b%d takes b%d for %s", id,
				    other, replay_lives(r, other) ? "dead" :
				    "alive");
	}
}

/* --- topics --------------------------------------------------------------- */

struct creating {
	struct controller_call call;
	struct create_topics_request request;
	struct create_topics_request_topic topic;
	struct create_topics_response response;
	struct controller *controller;
	struct replay *replay;
	char name[64];
};

static enum verdict
creating_wait(struct task *t)
{
	struct creating *s = task_state(t);

	if (!s->call.done)
		return (STEP_WAIT);
	/* Also when it was cut short by a stop. */
	if (s->response.topics_count != 1)
		replay_fault(s->replay, "an answer does not name %s", s->name);
	return (STEP_DONE);
}

static enum verdict
creating_ask(struct task *t)
{
	struct creating *s = task_state(t);

	s->topic.name = slice_of_text(s->name);
	s->request.topics = &s->topic;
	s->call.task = task_ref(t);
	s->call.arena = task_arena(t);
	s->call.request = &s->request;
	s->call.response = &s->response;
	s->call.version = 7;
	s->call.deadline_ns = loop_now_ns(task_loop(t)) + 30000 * MS;
	wire_init(&message_create_topics_response, &s->response);
	controller_create_topics(s->controller, &s->call);
	return (task_next(t, creating_wait));
}

static void
creating_fini(struct task *t)
{
	struct creating *s = task_state(t);

	if (!s->call.done)
		controller_call_abandon(&s->call);
}

static const struct task_class creating_class = { .name = "creating",
	.state_size = sizeof(struct creating), .fini = creating_fini };

static void
creating_setup(struct task *t, void *arg)
{
	*(struct creating *)task_state(t) = *(struct creating *)arg;
}

bool
replay_create_topic(struct replay *r, const char *topic, int32_t partitions,
    int16_t replication_factor)
{
	int id = replay_active(r);
	struct creating s = { .replay = r };

	if (id == 0)
		return (false);
	wire_init(&message_create_topics_request, &s.request);
	s.controller = r->planes[id]->controller;
	s.request.topics_count = 1;
	s.topic.num_partitions = partitions;
	s.topic.replication_factor = replication_factor;
	snprintf(s.name, sizeof(s.name), "%s", topic);
	task_start(r->planes[id]->control, &creating_class, creating_ask,
	    creating_setup, &s);
	return (true);
}

/* --- any call ------------------------------------------------------------- */

struct asking {
	struct controller_call call;
	struct controller *controller;
	replay_call *ask;
	bool *done; /* NULL: nobody waits any more */
};

static enum verdict
asking_wait(struct task *t)
{
	struct asking *s = task_state(t);

	if (!s->call.done)
		return (STEP_WAIT);
	if (s->done != NULL)
		*s->done = true;
	return (STEP_DONE);
}

static enum verdict
asking_ask(struct task *t)
{
	struct asking *s = task_state(t);

	s->call.task = task_ref(t);
	s->call.deadline_ns = loop_now_ns(task_loop(t)) + 10000 * MS;
	s->ask(s->controller, &s->call);
	return (task_next(t, asking_wait));
}

static void
asking_fini(struct task *t)
{
	struct asking *s = task_state(t);

	if (!s->call.done)
		controller_call_abandon(&s->call);
}

static const struct task_class asking_class = { .name = "asking",
	.state_size = sizeof(struct asking), .fini = asking_fini };

static void
asking_setup(struct task *t, void *arg)
{
	*(struct asking *)task_state(t) = *(struct asking *)arg;
}

static struct task_ref
asking_start(struct plane *p, replay_call *ask,
    const struct controller_call *call, bool *done)
{
	struct asking s = { .call = *call, .ask = ask, .done = done,
		.controller = p->controller };

	return (task_ref(task_start(p->control, &asking_class, asking_ask,
	    asking_setup, &s)));
}

bool
replay_begin_ask(struct replay *r, replay_call *ask,
    const struct controller_call *call)
{
	int id = replay_active(r);

	if (id != 0)
		(void)asking_start(r->planes[id], ask, call, NULL);
	return (id != 0);
}

bool
replay_ask(struct replay *r, replay_call *ask,
    const struct controller_call *call)
{
	int id = replay_active(r);
	bool done = false;
	struct task_ref ref;

	if (id == 0)
		return (false);
	ref = asking_start(r->planes[id], ask, call, &done);
	while (!done && replay_lives(r, id))
		replay_run(r, 50);
	/* A call to who died is dropped with its loop. */
	if (!done && r->planes[id] != NULL && task_of_ref(ref) != NULL)
		task_cancel(task_of_ref(ref));
	return (done);
}

/* --- other calls ---------------------------------------------------------- */

struct allocating {
	struct controller_call call;
	struct allocate_producer_ids_request request;
	struct allocate_producer_ids_response response;
	struct controller *controller;
	int64_t *answer;
};

static enum verdict
allocating_wait(struct task *t)
{
	struct allocating *s = task_state(t);

	if (!s->call.done)
		return (STEP_WAIT);
	*s->answer = s->response.error_code != ERR_NONE ?
	    -1 - s->response.error_code : s->response.producer_id_start;
	return (STEP_DONE);
}

static enum verdict
allocating_ask(struct task *t)
{
	struct allocating *s = task_state(t);

	s->call.task = task_ref(t);
	s->call.arena = task_arena(t);
	s->call.request = &s->request;
	s->call.response = &s->response;
	wire_init(&message_allocate_producer_ids_response, &s->response);
	controller_allocate_producer_ids(s->controller, &s->call);
	return (task_next(t, allocating_wait));
}

static const struct task_class allocating_class = { .name = "allocating",
	.state_size = sizeof(struct allocating) };

static void
allocating_setup(struct task *t, void *arg)
{
	*(struct allocating *)task_state(t) = *(struct allocating *)arg;
}

int64_t
replay_broker_epoch(const struct replay *r, int id)
{
	return (replay_lives(r, id) ? registration_broker_epoch(
	    r->planes[id]->registration) : 1);
}

int64_t
replay_allocate_ids(struct replay *r, int broker)
{
	int id = replay_active(r);
	int64_t answer = INT64_MIN;
	struct allocating s = { .answer = &answer };

	if (id == 0)
		return (-1 - ERR_NOT_CONTROLLER);
	s.controller = r->planes[id]->controller;
	s.request.broker_id = broker;
	s.request.broker_epoch = replay_broker_epoch(r, broker);
	task_start(r->planes[id]->control, &allocating_class, allocating_ask,
	    allocating_setup, &s);
	while (answer == INT64_MIN)
		replay_run(r, 100);
	return (answer);
}

int
replay_auto_create(struct replay *r, int id, const char *topic)
{
	struct topic_creation *creation = controller_auto_create(
	    r->planes[id]->controller, topic, (struct task_ref){ NULL, 0 });
	enum error error;

	while (!topic_creation_done(creation, &error))
		replay_run(r, 100);
	topic_creation_free(&creation);
	return (error);
}

struct configs *
replay_configs(const struct replay *r, int id)
{
	return (r->planes[id]->configs);
}

void
replay_break_replica(struct replay *r, int id, const char *topic,
    int32_t partition, bool broken)
{
	char key[300];

	snprintf(key, sizeof(key), "%s/%d", topic, (int)partition);
	plane_replica(r->planes[id], key, true)->broken = broken;
}
