/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts over many seeds: test_control [seeds [first seed [script]]].
 * REPLAY_LOG=1 shows the operator's log of all planes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/map.h"
#include "tests/replay/replay.h"

#define SEEDS 200
/* Beyond session time-outs and retries. */
#define SETTLE_MS 20000

struct script {
	const char *name;
	void (*run)(struct replay *replay);
	uint64_t share; /* of the seeds: one in so many; 0: all */
	const char *more; /* properties */
};

static int64_t
some_ms(struct replay *r, int64_t bound_ms)
{
	return ((int64_t)random_below(&r->random, (uint64_t)bound_ms));
}

static int
some_plane(struct replay *r, int except)
{
	int id;

	do
		id = 1 + (int)random_below(&r->random, r->plane_count);
	while (id == except);
	return (id);
}

static void
make_topics(struct replay *r, int count)
{
	for (int i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		while (!replay_create_topic(r, name, 4, (int16_t)(2 + i % 2)))
			replay_run(r, 500);
		replay_run(r, some_ms(r, 300));
	}
}

/* The write that makes a broker controller. */
static bool
is_election(const struct zk_op *op)
{
	return (op->kind == ZK_OP_MULTI && op->part_count == 2 &&
	    strcmp(op->parts[0].path, ZNODE_CONTROLLER) == 0 &&
	    op->parts[0].kind == ZK_OP_CREATE);
}

static bool
is_state_write(const struct zk_op *op)
{
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (strstr(op->parts[i].path, "/state") != NULL)
			return (true);
	return (false);
}

/* --- nodes, and what is seen of them --------------------------------------- */

static void
put(struct replay *r, const char *path, const char *text)
{
	zk_fake_put(r->fake, path, slice_of_text(text));
}

/* A topic of two replicas, as another tool or broker makes it. */
static void
put_topic(struct replay *r, const char *name, int first, int second)
{
	struct znode_assignment one = { .replicas =
	    (int32_t[]){ first, second }, .replica_count = 2 };
	struct znode_topic node = { .partitions = &one, .partition_count = 1,
		.id = uuid_random(&r->random) };
	struct buffer json = BUFFER_EMPTY;
	char path[64];

	snprintf(path, sizeof(path), "/brokers/topics/%s", name);
	znode_topic_encode(&node, &json);
	zk_fake_put(r->fake, path, buffer_slice(&json));
	buffer_fini(&json);
}

/* t0 with one config, or none; in no notification. */
static void
put_config(struct replay *r, const char *name, const char *value)
{
	char text[100];

	if (value == NULL)
		snprintf(text, sizeof(text), "{\"version\":1,\"config\":{}}");
	else
		snprintf(text, sizeof(text),
		    "{\"version\":1,\"config\":{\"%s\":\"%s\"}}", name,
		    value);
	put(r, "/config/topics/t0", text);
}

static bool
topic_id(struct replay *r, const char *path, struct uuid *id,
    struct znode_topic *node, struct arena *arena)
{
	struct slice data;
	struct zk_stat stat;

	if (!zk_fake_get(r->fake, path, &data, &stat) ||
	    !znode_topic_decode(data, arena, node))
		return (false);
	*id = node->id;
	return (true);
}

static void
check_retention(struct replay *r, const char *expected)
{
	for (int id = 1; id <= (int)r->plane_count; id++) {
		const struct topic_config *config;
		const char *found;

		if (!replay_lives(r, id))
			continue;
		config = configs_topic(replay_configs(r, id), "t0");
		found = config_map_get(config->map, "retention.ms");
		if (found == NULL || strcmp(found, expected) != 0)
			replay_fault(r, "b%d has retention.ms %s, it is %s",
			    id, found == NULL ? "(none)" : found, expected);
		topic_config_unref(config);
	}
}

static void
check_partitions(struct replay *r, const char *topic, size_t count)
{
	struct znode_topic node = { .partition_count = 0 };
	struct arena arena;
	struct uuid id;

	arena_init(&arena, 0);
	if (!topic_id(r, znode_topic_path(&arena, topic), &id, &node, &arena) ||
	    node.partition_count != count)
		replay_fault(r, "%s has %zu partitions, not %zu", topic,
		    node.partition_count, count);
	arena_fini(&arena);
}

static bool
is_marked(struct replay *r, const char *topic)
{
	char path[64];
	struct slice data;
	struct zk_stat stat;

	snprintf(path, sizeof(path), ZNODE_DELETE_TOPICS "/%s", topic);
	return (zk_fake_get(r->fake, path, &data, &stat));
}

static void
mark(struct replay *r, const char *topic)
{
	char path[64];

	snprintf(path, sizeof(path), ZNODE_DELETE_TOPICS "/%s", topic);
	zk_fake_put(r->fake, path, SLICE_NULL);
}

/* Nothing of it is left. */
static void
check_gone(struct replay *r, const char *topic)
{
	char path[64];
	struct slice data;
	struct zk_stat stat;

	snprintf(path, sizeof(path), "/config/topics/%s", topic);
	if (replay_topic(r, topic, NULL) || is_marked(r, topic) ||
	    zk_fake_get(r->fake, path, &data, &stat))
		replay_fault(r, "%s is not gone: topic %d mark %d", topic,
		    replay_topic(r, topic, NULL), is_marked(r, topic));
}

/* CreateTopics; the error, or -1: nobody answered. */
static int
create_topic(struct replay *r, const char *topic, int32_t partitions)
{
	struct create_topics_request request;
	struct create_topics_response response;
	struct create_topics_request_topic asked = {
		.name = slice_of_text(topic), .num_partitions = partitions,
		.replication_factor = 2 };
	struct arena arena;
	int error = -1;

	arena_init(&arena, 0);
	wire_init(&message_create_topics_request, &request);
	wire_init(&message_create_topics_response, &response);
	request.topics = &asked;
	request.topics_count = 1;
	request.timeout_ms = 8000;
	if (replay_ask(r, controller_create_topics, &(struct controller_call){
		.arena = &arena, .request = &request, .response = &response,
		.version = 7 }) && response.topics_count == 1)
		error = response.topics[0].error_code;
	arena_fini(&arena);
	return (error);
}

/* --- 1: answers to elections are lost ------------------------------------- */

static void
lose_election(struct replay *r, int id, const struct zk_op *op)
{
	int *left = r->script;

	if (is_election(op) && *left > 0) {
		(*left)--;
		zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
	}
}

static void
script_lost_reply(struct replay *r)
{
	int left = 3;

	r->script = &left;
	r->on_write = lose_election;
	replay_run(r, 2000 + some_ms(r, 3000));
	make_topics(r, 2);
	for (int i = 0; i < 2; i++) {
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, some_ms(r, 2000));
	}
	replay_run(r, SETTLE_MS);
	if (left > 0)
		replay_fault(r, "%d answers were not lost", left);
	r->on_write = NULL;
}

/* --- 2: sessions expire --------------------------------------------------- */

static void
script_expiry(struct replay *r)
{
	replay_run(r, 2000 + some_ms(r, 3000));
	make_topics(r, 3);
	for (int i = 0; i < 4; i++) {
		int active = replay_active(r);
		int id = i % 2 == 0 && active != 0 ? active :
		    some_plane(r, active);

		zk_fake_expire(r->fake, replay_driver(r, id));
		replay_run(r, some_ms(r, 1500));
	}
	replay_run(r, SETTLE_MS);
}

/* --- 3: a zombie ---------------------------------------------------------- */

struct zombie {
	int id;       /* 0: not cut yet */
	bool armed;
	bool waits;   /* to be back in the moment of the next election */
};

/* Cut at the moment of a write, which so stays on its way. */
static void
cut_at_write(struct replay *r, int id, const struct zk_op *op)
{
	struct zombie *z = r->script;

	if (z->waits && is_election(op) && id != z->id) {
		z->waits = false;
		zk_fake_cut(r->fake, replay_driver(r, z->id), false);
	}
	if (!z->armed || !is_state_write(op))
		return;
	z->armed = false;
	z->id = id;
	zk_fake_cut(r->fake, replay_driver(r, id), true);
}

static void
script_zombie(struct replay *r)
{
	struct zombie z = { 0 };
	uint64_t kind = random_below(&r->random, 3);

	r->script = &z;
	r->on_write = cut_at_write;
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 1000);
	z.armed = true;
	make_topics(r, 3);
	replay_run(r, some_ms(r, 200));
	z.armed = false;
	if (z.id == 0)
		replay_fault(r, "nothing was written");
	/* Its session ends; or it lives, and an operator takes the role away:
	 * the zombie is back after the new one has begun, or just then. */
	z.waits = kind == 2;
	if (kind != 0)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, kind == 0 ? REPLAY_SESSION_MS * 3 :
	    500 + some_ms(r, 2000));
	zk_fake_cut(r->fake, replay_driver(r, z.id), false);
	replay_run(r, SETTLE_MS);
	if (kind != 0 && r->late_writes == 0)
		replay_fault(r, "the zombie wrote nothing");
	r->on_write = NULL;
}

/* --- 4: deaths half-way --------------------------------------------------- */

struct deaths {
	int victim;     /* 0: whoever writes */
	int countdown;
};

static void
die_at_write(struct replay *r, int id, const struct zk_op *op)
{
	struct deaths *d = r->script;

	if (d->countdown < 0 || !is_state_write(op))
		return;
	if (d->countdown-- == 0)
		replay_kill(r, d->victim == 0 ? id : d->victim);
}

static void
revive_all(struct replay *r)
{
	for (int id = 1; id <= (int)r->plane_count; id++)
		if (!replay_lives(r, id))
			replay_start(r, id);
}

static void
script_creation(struct replay *r)
{
	struct deaths d = { .countdown = -1 };

	replay_run(r, 3000);
	r->script = &d;
	r->on_write = die_at_write;
	make_topics(r, 1);
	d.victim = random_below(&r->random, 2) == 0 ? 0 :
	    some_plane(r, replay_active(r));
	d.countdown = (int)random_below(&r->random, 3);
	make_topics(r, 4);
	replay_run(r, some_ms(r, 4000));
	d.countdown = -1;
	replay_run(r, SETTLE_MS);
	replay_check(r);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* The controller dies after the state was written and before anyone heard. */
static void
script_creation_untold(struct replay *r)
{
	struct deaths d = { .countdown = 1 };

	replay_run(r, 3000);
	r->script = &d;
	r->on_write = die_at_write;
	while (!replay_create_topic(r, "t0", 60, 3))
		replay_run(r, 500);
	replay_run(r, SETTLE_MS);
	replay_check(r);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* Whether one of them is the path itself. */
static bool
is_written(const struct zk_op *op, const char *path)
{
	if (op->path != NULL && strcmp(op->path, path) == 0)
		return (true);
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (strcmp(op->parts[i].path, path) == 0)
			return (true);
	return (false);
}

static void
overtake_creation(struct replay *r, int id, const struct zk_op *op)
{
	int *left = r->script;

	(void)id;
	if (*left == 0 || !is_written(op, "/config/topics/t0"))
		return;
	(*left)--;
	put_config(r, "retention.ms", "1");
	put_topic(r, "t0", 1, 2);
}

/* Somebody else makes the topic first: its config is its own. */
static void
script_creation_raced(struct replay *r)
{
	struct slice data = SLICE_EMPTY;
	struct zk_stat stat;
	int left = 1;

	replay_run(r, 3000);
	if (random_below(&r->random, 2) == 0)
		put_config(r, NULL, NULL);
	r->script = &left;
	r->on_write = overtake_creation;
	while (!replay_create_topic(r, "t0", 4, 2))
		replay_run(r, 500);
	replay_run(r, SETTLE_MS);
	r->on_write = NULL;
	check_partitions(r, "t0", 1);
	if (!zk_fake_get(r->fake, "/config/topics/t0", &data, &stat) ||
	    !slice_equal_text(data,
		"{\"version\":1,\"config\":{\"retention.ms\":\"1\"}}"))
		replay_fault(r, "t0's config is now %.*s", SLICE_ARGS(data));
}

static void
lose_creation(struct replay *r, int id, const struct zk_op *op)
{
	int *left = r->script;

	if (*left == 0 || !is_written(op, "/brokers/topics/t0"))
		return;
	(*left)--;
	zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
}

/* The answer is lost: what is there is ours. */
static void
script_creation_echo(struct replay *r)
{
	int left = 1;

	replay_run(r, 3000);
	r->script = &left;
	r->on_write = lose_creation;
	while (replay_active(r) == 0)
		replay_run(r, 500);
	if (create_topic(r, "t0", 4) != ERR_NONE)
		replay_fault(r, "t0 was not created");
	r->on_write = NULL;
	check_partitions(r, "t0", 4);
	replay_run(r, SETTLE_MS);
}

/* --- 5: bounces ----------------------------------------------------------- */

/* Gone and back while the controller cannot look. */
static void
bounce_unseen(struct replay *r, int controller, int id)
{
	zk_fake_cut(r->fake, replay_driver(r, controller), true);
	replay_kill_bounced(r, id);
	replay_start(r, id);
	replay_run(r, 200 + some_ms(r, 1000));
	zk_fake_cut(r->fake, replay_driver(r, controller), false);
}

static void
script_bounce(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 3);
	replay_run(r, 1000);
	for (int i = 0; i < 4; i++) {
		int active = replay_active(r);
		int id = some_plane(r, i == 2 ? 0 : active);

		if (i == 3 && active != 0) {
			bounce_unseen(r, active, id);
		} else if (i == 1) {
			zk_fake_expire(r->fake, replay_driver(r, id));
		} else {
			replay_kill_bounced(r, id);
			replay_start(r, id);
		}
		replay_run(r, some_ms(r, 1500));
	}
	replay_run(r, SETTLE_MS);
}

/* --- 6: many deaths ------------------------------------------------------- */

static void
script_deaths(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 4);
	for (int i = 0; i < 6; i++) {
		int id = some_plane(r, 0);

		if (replay_lives(r, id))
			replay_kill(r, id);
		replay_run(r, some_ms(r, 9000));
		id = some_plane(r, 0);
		if (!replay_lives(r, id))
			replay_start(r, id);
		replay_run(r, some_ms(r, 3000));
	}
	replay_run(r, SETTLE_MS);
	replay_check(r);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* --- 7: what else comes through ZooKeeper --------------------------------- */

/* As versions before 2.8 write it. */
static void
put_without_id(struct replay *r, const char *path,
    const struct znode_topic *node)
{
	struct buffer json = BUFFER_EMPTY;

	buffer_append_text(&json, "{\"version\":1,\"partitions\":{");
	for (size_t i = 0; i < node->partition_count; i++) {
		const struct znode_assignment *a = &node->partitions[i];

		buffer_printf(&json, "%s\"%d\":[", i == 0 ? "" : ",",
		    (int)a->partition);
		for (int32_t k = 0; k < a->replica_count; k++)
			buffer_printf(&json, "%s%d", k == 0 ? "" : ",",
			    (int)a->replicas[k]);
		buffer_append_text(&json, "]");
	}
	buffer_append_text(&json, "}}");
	put(r, path, buffer_text(&json));
	buffer_fini(&json);
}

/* KAFKA-14190: an old tool rewrites the node without its id. */
static void
erase_id(struct replay *r, bool with_controller)
{
	struct arena arena;
	struct znode_topic node;
	struct uuid before, after;

	arena_init(&arena, 0);
	if (!topic_id(r, "/brokers/topics/t0", &before, &node, &arena))
		replay_fault(r, "t0 is not there");
	put_without_id(r, "/brokers/topics/t0", &node);
	if (with_controller)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, 5000);
	if (!topic_id(r, "/brokers/topics/t0", &after, &node, &arena) ||
	    !uuid_equal(before, after))
		replay_fault(r, "t0 did not get its own id back");
	arena_fini(&arena);
}

static void
script_configs(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 1000);
	put(r, "/config/topics/t0",
	    "{\"version\":1,\"config\":{\"retention.ms\":\"1\"}}");
	put(r, "/config/changes/config_change_0000000003",
	    "{\"version\":2,\"entity_path\":\"topics/t0\"}");
	replay_run(r, 1000);
	check_retention(r, "1");
	put(r, "/config/topics/t0",
	    "{\"version\":1,\"config\":{\"retention.ms\":\"2\"}}");
	put(r, "/config/changes/config_change_0000000004", "{\"version\":1,"
	    "\"entity_type\":\"topics\",\"entity_name\":\"t0\"}");
	replay_run(r, 1000);
	check_retention(r, "2");
	/* Unseen, in a session that ended. */
	zk_fake_cut(r->fake, replay_driver(r, 2), true);
	put(r, "/config/topics/t0",
	    "{\"version\":1,\"config\":{\"retention.ms\":\"3\"}}");
	put(r, "/config/changes/config_change_0000000005",
	    "{\"version\":2,\"entity_path\":\"topics/t0\"}");
	replay_run(r, some_ms(r, 2 * REPLAY_SESSION_MS));
	zk_fake_cut(r->fake, replay_driver(r, 2), false);
	replay_run(r, SETTLE_MS);
	check_retention(r, "3");
	/* Too old: gone, by whoever meets it next. */
	replay_run(r, 16 * 60 * 1000);
	put(r, "/config/changes/config_change_0000000006",
	    "{\"version\":2,\"entity_path\":\"topics/t0\"}");
	replay_run(r, 2000);
	if (zk_fake_get(r->fake, "/config/changes/config_change_0000000003",
		&(struct slice){ NULL, 0 }, &(struct zk_stat){ 0 }))
		replay_fault(r, "an old notification is there still");
}

static void
script_ids(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	erase_id(r, random_below(&r->random, 2) == 0);
	replay_run(r, SETTLE_MS);
}

static void
script_log_dirs(struct replay *r)
{
	struct arena arena;
	struct buffer json = BUFFER_EMPTY;
	struct znode_state state;
	int32_t version;
	int leader;

	arena_init(&arena, 0);
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	if (!replay_state(r, "t1", 0, &arena, &state, &version))
		replay_fault(r, "t1/0 has no state");
	leader = state.leader;
	replay_break_replica(r, leader, "t1", 0, true);
	znode_log_dir_event_encode(leader, &json);
	zk_fake_put(r->fake, ZNODE_LOG_DIR_EVENTS "/log_dir_event_0000000001",
	    buffer_slice(&json));
	buffer_fini(&json);
	replay_run(r, 5000);
	if (!replay_state(r, "t1", 0, &arena, &state, &version) ||
	    state.leader == leader || state.leader < 0 || state.isr_count != 2)
		replay_fault(r, "t1/0 is led by %d with a failed log dir",
		    (int)state.leader);
	if (zk_fake_get(r->fake, ZNODE_LOG_DIR_EVENTS
	    "/log_dir_event_0000000001", &(struct slice){ NULL, 0 },
	    &(struct zk_stat){ 0 }))
		replay_fault(r, "the event is there still");
	/* Mended, and started again. */
	replay_break_replica(r, leader, "t1", 0, false);
	replay_kill_bounced(r, leader);
	replay_start(r, leader);
	replay_run(r, SETTLE_MS);
	arena_fini(&arena);
}

/* What a later version will do must be there for it. */
static void
script_unserved(struct replay *r)
{
	static const char reassign[] = "{\"version\":1,\"partitions\":"
	    "[{\"topic\":\"t0\",\"partition\":0,\"replicas\":[1]}]}";
	struct slice data;
	struct zk_stat stat;

	replay_run(r, 3000);
	make_topics(r, 1);
	put(r, ZNODE_REASSIGN_PARTITIONS, reassign);
	replay_run(r, 1000);
	zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, SETTLE_MS);
	if (!zk_fake_get(r->fake, ZNODE_REASSIGN_PARTITIONS, &data, &stat) ||
	    !slice_equal_text(data, reassign))
		replay_fault(r, "what was pending is gone");
}

/* What older versions left, and what must stay. */
static void
script_feature(struct replay *r)
{
	static const char well[] =
	    "{\"features\":{},\"version\":2,\"status\":1}";
	static const char own[] = "{\"features\":{\"a\":"
	    "{\"min_version_level\":1,\"max_version_level\":2}},"
	    "\"version\":1,\"status\":1}";
	static const char *const rows[][2] = {
		{ "{\"features\":{},\"version\":1,\"status\":0}", well },
		{ "{\"features\":{},\"version\":1,\"status\":1}", well },
		{ "{\"features\":{},\"version\":2,\"status\":0}", well },
		{ well, well },
		{ own, own },
		{ "what is this", "what is this" },
	};

	replay_run(r, 3000);
	for (size_t i = 0; i < nelems(rows); i++) {
		struct slice data = SLICE_EMPTY;
		struct zk_stat stat;

		put(r, "/feature", rows[i][0]);
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, 3000);
		if (!zk_fake_get(r->fake, "/feature", &data, &stat) ||
		    !slice_equal_text(data, rows[i][1]))
			replay_fault(r, "/feature is %.*s, it was %s",
			    SLICE_ARGS(data), rows[i][0]);
	}
	replay_run(r, SETTLE_MS);
}

/* --- 8: calls ------------------------------------------------------------- */

static void
lose_any(struct replay *r, int id, const struct zk_op *op)
{
	(void)op;
	if (random_below(&r->random, 2) == 0)
		zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
}

static void
script_calls(struct replay *r)
{
	int64_t next = 0;

	replay_run(r, 3000);
	r->on_write = lose_any;
	for (int i = 0; i < 5; i++) {
		int64_t got = replay_allocate_ids(r, some_plane(r, 0));

		/* An answer lost with the session costs a block at most. */
		if (got < next)
			replay_fault(r, "ids from %lld after %lld",
			    (long long)got, (long long)next);
		next = got + 1000;
	}
	if (next != 5000)
		replay_fault(r, "blocks were lost: next is %lld",
		    (long long)next);
	r->on_write = NULL;
	if (replay_allocate_ids(r, 7) != -1 - ERR_BROKER_ID_NOT_REGISTERED)
		replay_fault(r, "an unknown broker got ids");
	for (int i = 0; i < 3; i++)
		if (replay_auto_create(r, 1 + i, "t0") !=
		    ERR_LEADER_NOT_AVAILABLE)
			replay_fault(r, "t0 cannot be made automatically");
	if (replay_auto_create(r, 1, "a b") != ERR_INVALID_TOPIC_EXCEPTION)
		replay_fault(r, "a bad name was taken");
	replay_run(r, SETTLE_MS);
}

/* --- 9: a broker that answers nothing for long ---------------------------- */

static void
script_overflow(struct replay *r)
{
	int active, deaf;
	char a[8], b[8];

	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 1000);
	active = replay_active(r);
	deaf = some_plane(r, active);
	/* It hosts nothing of t5, and never hears that it went. */
	put_config(r, NULL, NULL);
	put_topic(r, "t5", active, 6 - active - deaf);
	replay_run(r, 1000);
	snprintf(a, sizeof(a), "b%d", active);
	snprintf(b, sizeof(b), "b%d", deaf);
	fabric_cut(r->fabric, a, b, true);
	/* Each makes an UpdateMetadata at least. */
	for (int i = 0; i < 1100; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/brokers/ids/%d", 4);
		put(r, path, "{\"version\":5,\"host\":\"x\",\"port\":1,"
		    "\"endpoints\":[\"PLAINTEXT://x:1\"]}");
		replay_run(r, 1);
		zk_fake_delete(r->fake, path);
		replay_run(r, 1);
		if (i == 10)
			mark(r, "t5");
	}
	check_gone(r, "t5");
	make_topics(r, 4);
	fabric_cut(r->fabric, a, b, false);
	replay_run(r, 3 * SETTLE_MS);
}

/* --- 10: deletion --------------------------------------------------------- */

/* DeleteTopics; the error, or -1: nobody answered. */
static int
delete_topic(struct replay *r, const char *topic)
{
	struct delete_topics_request request;
	struct delete_topics_response response;
	struct delete_topics_request_topic asked = { .name =
	    slice_of_text(topic) };
	struct arena arena;
	int error = -1;

	arena_init(&arena, 0);
	wire_init(&message_delete_topics_request, &request);
	wire_init(&message_delete_topics_response, &response);
	request.topics = &asked;
	request.topics_count = 1;
	request.timeout_ms = 10000;
	if (replay_ask(r, controller_delete_topics, &(struct controller_call){
		.arena = &arena, .request = &request, .response = &response,
		.version = 6 }))
		error = response.responses_count == 1 ?
		    response.responses[0].error_code : -1;
	arena_fini(&arena);
	return (error);
}

/* The controller dies at a write, or when a broker takes a StopReplica. */
struct doom {
	int writes;
	int stops;
};

static void
die_at_deletion(struct replay *r, int id, const struct zk_op *op)
{
	struct doom *d = r->script;

	(void)op;
	if (d->writes >= 0 && d->writes-- == 0)
		replay_kill(r, id);
}

static void
die_at_stop(struct replay *r, int id)
{
	struct doom *d = r->script;
	int active = replay_active(r);

	(void)id;
	if (d->stops >= 0 && d->stops-- == 0 && active != 0)
		replay_kill(r, active);
}

static void
script_deletion(struct replay *r)
{
	struct doom d = { -1, -1 };
	struct uuid before, after;

	replay_run(r, 3000);
	make_topics(r, 3);
	while (!replay_create_topic(r, "t3", 120, 2))
		replay_run(r, 500);
	replay_run(r, 3000);
	if (!replay_topic(r, "t0", &before))
		replay_fault(r, "t0 was not made");
	r->script = &d;
	if (random_below(&r->random, 2) == 0)
		d.writes = (int)random_below(&r->random, 6);
	else
		d.stops = (int)random_below(&r->random, 3);
	r->on_write = die_at_deletion;
	r->on_stop = die_at_stop;
	mark(r, "t0");
	mark(r, "t3");
	mark(r, "t7");
	replay_run(r, some_ms(r, 4000));
	d.writes = d.stops = -1;
	replay_run(r, SETTLE_MS);
	revive_all(r);
	replay_run(r, SETTLE_MS);
	check_gone(r, "t0");
	check_gone(r, "t3");
	check_gone(r, "t7");
	if (!replay_topic(r, "t1", NULL))
		replay_fault(r, "t1 went too");
	while (!replay_create_topic(r, "t0", 4, 3))
		replay_run(r, 500);
	replay_run(r, SETTLE_MS);
	if (!replay_topic(r, "t0", &after) || uuid_equal(before, after))
		replay_fault(r, "t0 was not made anew");
	r->on_write = NULL;
	r->on_stop = NULL;
}

/* What a broker that is dead, or a log dir that failed, holds up. */
static void
script_deletion_halted(struct replay *r)
{
	bool broken = random_below(&r->random, 2) == 0;
	int dead;

	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	dead = some_plane(r, random_below(&r->random, 2) == 0 ? 0 :
	    replay_active(r));
	if (broken) {
		replay_break_replica(r, dead, "t1", 0, true);
		mark(r, "t1");
		replay_run(r, 5000);
	} else {
		replay_kill_bounced(r, dead);
		replay_run(r, some_ms(r, 8000));
		while (replay_active(r) == 0)
			replay_run(r, 500);
		/* The name is not free, but nobody knows it any more. */
		if (delete_topic(r, "t1") != ERR_NONE)
			replay_fault(r, "t1 cannot be deleted");
	}
	if (!replay_topic(r, "t1", NULL) || !is_marked(r, "t1"))
		replay_fault(r, "t1 is gone with a replica left");
	if (random_below(&r->random, 2) == 0) {
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, some_ms(r, 3000));
	}
	if (broken) {
		replay_break_replica(r, dead, "t1", 0, false);
		replay_kill_bounced(r, dead);
	}
	replay_start(r, dead);
	replay_run(r, SETTLE_MS);
	check_gone(r, "t1");
}

struct losing {
	int seen; /* tries of the last multi of a deletion */
	struct uuid id;
};

/* The answer to it is lost, and before it comes again somebody makes a topic of
 * the name that is free now. */
static void
lose_sweep(struct replay *r, int id, const struct zk_op *op)
{
	struct losing *l = r->script;

	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++) {
		if (op->parts[i].kind != ZK_OP_DELETE || strcmp(
		    op->parts[i].path, ZNODE_DELETE_TOPICS "/t0") != 0)
			continue;
		if (l->seen++ == 0) {
			zk_fake_lose_next_reply(r->fake,
			    replay_driver(r, id));
		} else if (l->seen == 2) {
			put_config(r, "retention.ms", "1");
			put_topic(r, "t0", 1, 2);
			replay_topic(r, "t0", &l->id);
		}
	}
}

static void
script_deletion_lost(struct replay *r)
{
	struct losing l = { 0, UUID_ZERO };
	struct uuid after;

	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 2000);
	r->script = &l;
	r->on_write = lose_sweep;
	mark(r, "t0");
	replay_run(r, SETTLE_MS);
	if (l.seen != 2)
		replay_fault(r, "the end was written %d times", l.seen);
	if (!replay_topic(r, "t0", &after) || !uuid_equal(l.id, after) ||
	    !zk_fake_get(r->fake, "/config/topics/t0",
		&(struct slice){ NULL, 0 }, &(struct zk_stat){ 0 }))
		replay_fault(r, "t0 of another is gone");
	r->on_write = NULL;
}

struct echo {
	int marks; /* tries */
	int id;    /* of who was asked */
};

/* The answer to the mark is lost; before the mark comes again, its writer is
 * cut off until another controller has deleted the topic. */
static void
lose_mark(struct replay *r, int id, const struct zk_op *op)
{
	struct echo *e = r->script;

	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++) {
		const struct zk_op *part = &op->parts[i];

		if (strcmp(part->path, ZNODE_DELETE_TOPICS "/t0") != 0)
			continue;
		if (part->kind == ZK_OP_DELETE && id != e->id)
			zk_fake_cut(r->fake, replay_driver(r, e->id), false);
		if (part->kind != ZK_OP_CREATE)
			continue;
		e->id = id;
		if (e->marks++ == 0) {
			zk_fake_lose_next_reply(r->fake,
			    replay_driver(r, id));
		} else if (e->marks == 2) {
			zk_fake_cut(r->fake, replay_driver(r, id), true);
			zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		}
	}
}

static void
script_deletion_echo(struct replay *r)
{
	struct echo e = { 0, 0 };

	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 2000);
	r->script = &e;
	r->on_write = lose_mark;
	if (delete_topic(r, "t0") != ERR_NONE)
		replay_fault(r, "t0 was deleted, and answered otherwise");
	check_gone(r, "t0");
	r->on_write = NULL;
	if (e.marks != 3)
		replay_fault(r, "the mark was written %d times", e.marks);
	replay_run(r, SETTLE_MS);
}

/* A foreign tool named a broker twice. */
static void
script_deletion_repeated(struct replay *r)
{
	struct arena arena;
	struct znode_state state = { .isr_count = -1 };
	int32_t version;

	arena_init(&arena, 0);
	replay_run(r, 3000);
	put_config(r, NULL, NULL);
	put_topic(r, "t0", 1, 1);
	replay_run(r, 2000);
	if (!replay_state(r, "t0", 0, &arena, &state, &version) ||
	    state.isr_count != 1)
		replay_fault(r, "t0/0 has an ISR of %d",
		    (int)state.isr_count);
	mark(r, "t0");
	replay_run(r, SETTLE_MS);
	check_gone(r, "t0");
	arena_fini(&arena);
}

/* Answered: the name is free at once. */
static void
script_deletion_anew(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 2000);
	for (int i = 0; i < 4; i++) {
		struct uuid before, after;

		if (!replay_topic(r, "t0", &before) ||
		    delete_topic(r, "t0") != ERR_NONE)
			replay_fault(r, "t0 cannot be deleted");
		check_gone(r, "t0");
		if (!replay_create_topic(r, "t0", 4, 3))
			replay_fault(r, "no controller");
		replay_run(r, 2000);
		if (!replay_topic(r, "t0", &after) || uuid_equal(before, after))
			replay_fault(r, "t0 was not made anew");
	}
	if (delete_topic(r, "t9") != ERR_UNKNOWN_TOPIC_OR_PARTITION)
		replay_fault(r, "t9 is known");
	/* Children that nobody expects. */
	put(r, "/brokers/topics/t0/partitions/0/state/more", "x");
	put(r, "/brokers/topics/t0/else", "x");
	if (delete_topic(r, "t0") != ERR_NONE)
		replay_fault(r, "t0 cannot be deleted with more below it");
	check_gone(r, "t0");
	replay_run(r, SETTLE_MS);
}

/* --- 11: controlled shutdown ---------------------------------------------- */

/* What remains, or -1 - error; -100: nobody answered. */
static int
depart(struct replay *r, int id, int64_t epoch)
{
	struct controlled_shutdown_request request = { .broker_id = id,
		.broker_epoch = epoch };
	struct controlled_shutdown_response response;
	struct arena arena;
	int answer = -100;

	arena_init(&arena, 0);
	wire_init(&message_controlled_shutdown_response, &response);
	if (replay_ask(r, controller_controlled_shutdown,
		&(struct controller_call){ .arena = &arena,
		    .request = &request, .response = &response,
		    .version = 3 }))
		answer = response.error_code != ERR_NONE ?
		    -1 - response.error_code :
		    response.remaining_partitions_count;
	arena_fini(&arena);
	return (answer);
}

/* It leads nothing and is in no ISR that has others; all is led. */
static void
check_relieved(struct replay *r, int gone)
{
	for (int i = 0; i < 3; i++)
		for (int32_t p = 0; p < 4; p++) {
			struct znode_state state;
			struct arena arena;
			int32_t version;
			char name[16];

			arena_init(&arena, 0);
			snprintf(name, sizeof(name), "t%d", i);
			if (!replay_state(r, name, p, &arena, &state, &version))
				replay_fault(r, "%s/%d has no state", name,
				    (int)p);
			else if (state.leader == gone || state.leader < 0)
				replay_fault(r, "%s/%d is led by %d", name,
				    (int)p, (int)state.leader);
			for (int32_t k = 0; k < state.isr_count; k++)
				if (state.isr[k] == gone)
					replay_fault(r, "%s/%d has %d in its "
					    "ISR", name, (int)p, gone);
			arena_fini(&arena);
		}
}

static void
script_departure(struct replay *r)
{
	int id, again;

	replay_run(r, 3000);
	make_topics(r, 3);
	replay_run(r, 2000);
	id = some_plane(r, 0);
	if (depart(r, 7, -1) != -1 - ERR_BROKER_NOT_AVAILABLE ||
	    depart(r, 7, 1) != -1 - ERR_UNKNOWN_SERVER_ERROR ||
	    depart(r, id, 0) != -1 - ERR_STALE_BROKER_EPOCH)
		replay_fault(r, "a wrong broker was let go");
	if (depart(r, id, -1) != 0)
		replay_fault(r, "b%d was not relieved", id);
	check_relieved(r, id);
	/* Nothing new is given to it. */
	while (!replay_create_topic(r, "t3", 4, 3))
		replay_run(r, 500);
	replay_run(r, 2000);
	if (depart(r, id, -1) != 0)
		replay_fault(r, "b%d leads again", id);
	replay_kill_bounced(r, id);
	replay_run(r, some_ms(r, 3000));
	while (replay_active(r) == 0)
		replay_run(r, 500);
	replay_run(r, 3000);
	/* The next one leaves a single replica behind, and remains there. */
	again = some_plane(r, id);
	if (depart(r, again, -1) < 0)
		replay_fault(r, "b%d was refused", again);
	for (int other = 1; other <= 3; other++)
		if (other != id && other != again &&
		    depart(r, other, -1) <= 0)
			replay_fault(r, "b%d left what nobody else has", other);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
	/* Who departed and did not stop counts no more, as in Kafka. */
	for (int other = 1; other <= 3; other++)
		if (other != id) {
			replay_kill_bounced(r, other);
			replay_start(r, other);
			replay_run(r, SETTLE_MS);
		}
}

/* --- 12: more partitions -------------------------------------------------- */

/* CreatePartitions for a topic, and for another unless it is NULL; the first
 * error, or -1: nobody answered. */
static int
add_partitions(struct replay *r, const char *topic, const char *other,
    int32_t count)
{
	struct create_partitions_request request;
	struct create_partitions_response response;
	struct create_partitions_request_topic asked[] = {
		{ .name = slice_of_text(topic), .count = count },
		{ .name = slice_of_text(other), .count = count } };
	struct arena arena;
	int error = -1;

	arena_init(&arena, 0);
	wire_init(&message_create_partitions_request, &request);
	wire_init(&message_create_partitions_response, &response);
	request.topics = asked;
	request.topics_count = other == NULL ? 1 : 2;
	request.timeout_ms = 8000;
	if (replay_ask(r, controller_create_partitions,
		&(struct controller_call){ .arena = &arena,
		    .request = &request, .response = &response,
		    .version = 3 }))
		error = 0;
	for (int32_t i = 0; error == 0 && i < request.topics_count; i++)
		error = i < response.results_count ?
		    response.results[i].error_code : -1;
	arena_fini(&arena);
	return (error);
}

static void
script_partitions(struct replay *r)
{
	struct deaths d = { .countdown = -1 };

	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	if (add_partitions(r, "t0", NULL, 4) != ERR_INVALID_PARTITIONS ||
	    add_partitions(r, "t9", NULL, 4) !=
		ERR_UNKNOWN_TOPIC_OR_PARTITION ||
	    add_partitions(r, "t0", NULL, 6) != ERR_NONE)
		replay_fault(r, "t0 got no partitions");
	check_partitions(r, "t0", 6);
	replay_check(r);
	/* The controller, or another, dies in the middle of it. */
	r->script = &d;
	r->on_write = die_at_write;
	d.victim = random_below(&r->random, 2) == 0 ? 0 :
	    some_plane(r, replay_active(r));
	d.countdown = (int)random_below(&r->random, 2);
	add_partitions(r, "t1", NULL, 70);
	d.countdown = -1;
	replay_run(r, SETTLE_MS);
	check_partitions(r, "t1", 70);
	replay_check(r);
	revive_all(r);
	replay_run(r, SETTLE_MS);
	r->on_write = NULL;
}

/* Once, another writes the first topic's node before us, and the answer to the
 * second one's is lost; or another overtakes the second one's too. */
struct racing {
	int first;
	int second;
	bool overtaken;
};

static void
touch(struct replay *r, const char *path)
{
	struct slice data;
	struct zk_stat stat;
	struct buffer copy = BUFFER_EMPTY;

	if (!zk_fake_get(r->fake, path, &data, &stat))
		return;
	buffer_append_slice(&copy, data);
	zk_fake_put(r->fake, path, buffer_slice(&copy));
	buffer_fini(&copy);
}

static void
race_partitions(struct replay *r, int id, const struct zk_op *op)
{
	struct racing *race = r->script;

	if (op->kind != ZK_OP_SET)
		return;
	if (strcmp(op->path, "/brokers/topics/t0") == 0 && race->first++ == 0)
		touch(r, "/brokers/topics/t0");
	if (strcmp(op->path, "/brokers/topics/t1") != 0)
		return;
	if (race->second++ == 0) {
		zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
		if (race->overtaken)
			touch(r, "/brokers/topics/t1");
	}
}

static void
script_partitions_raced(struct replay *r)
{
	struct racing race = { .overtaken = random_below(&r->random, 2) == 0 };

	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	r->script = &race;
	r->on_write = race_partitions;
	if (add_partitions(r, "t0", "t1", 6) != ERR_NONE)
		replay_fault(r, "no partitions were added");
	check_partitions(r, "t0", 6);
	check_partitions(r, "t1", 6);
	r->on_write = NULL;
	replay_run(r, SETTLE_MS);
}

/* As an old tool or another broker writes them. */
static void
script_partitions_znode(struct replay *r)
{
	int32_t replicas[] = { 3, 1, 2 };
	struct znode_topic node;
	struct znode_assignment all[6];
	struct arena arena;
	struct uuid id;

	arena_init(&arena, 0);
	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 1000);
	if (!topic_id(r, "/brokers/topics/t0", &id, &node, &arena))
		replay_fault(r, "t0 is not there");
	for (size_t i = 0; i < nelems(all); i++)
		all[i] = i < 4 ? node.partitions[i] :
		    (struct znode_assignment){ .partition = (int32_t)i,
			.replicas = replicas, .replica_count = 3 };
	node.partitions = all;
	node.partition_count = nelems(all);
	put_without_id(r, "/brokers/topics/t0", &node);
	arena_fini(&arena);
	if (random_below(&r->random, 2) == 0)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, SETTLE_MS);
	check_partitions(r, "t0", 6);
}

#define UNCLEAN "unclean.leader.election.enable"

/* --- 13: what a topic's config allows ------------------------------------- */

static void
must_lead(struct replay *r, int leader)
{
	struct arena arena;
	struct znode_state state = { .leader = -9 };
	int32_t version;

	arena_init(&arena, 0);
	if (!replay_state(r, "t0", 0, &arena, &state, &version) ||
	    state.leader != leader)
		replay_fault(r, "t0/0 is led by %d, it must be %d",
		    (int)state.leader, leader);
	arena_fini(&arena);
}

/* t0, which the controller's own broker does not host, with the ISR of a broker
 * that is dead, and one out of it that lives: the number of the latter. */
static int
make_unclean(struct replay *r, const char *allowed)
{
	int active, first, second;

	/* All configs were read long ago. */
	replay_run(r, 3000);
	put_config(r, UNCLEAN, allowed);
	while ((active = replay_active(r)) == 0)
		replay_run(r, 500);
	first = some_plane(r, active);
	second = 6 - active - first;
	put_topic(r, "t0", first, second);
	replay_run(r, 1000);
	replay_kill_bounced(r, second);
	replay_run(r, 1000);
	must_lead(r, first);
	replay_kill_bounced(r, first);
	replay_run(r, 1000);
	must_lead(r, -1);
	replay_start(r, second);
	replay_run(r, 2000);
	return (second);
}

static void
say_config_changed(struct replay *r)
{
	put(r, "/config/changes/config_change_0000000003",
	    "{\"version\":2,\"entity_path\":\"topics/t0\"}");
	replay_run(r, 1000);
}

static void
script_unclean_topic(struct replay *r)
{
	must_lead(r, make_unclean(r, "true"));
	replay_run(r, SETTLE_MS);
}

/* The brokers allow what the topic does not, until it does. */
static void
script_unclean_refused(struct replay *r)
{
	int other = make_unclean(r, "false");

	must_lead(r, -1);
	if (random_below(&r->random, 2) == 0) {
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, 3000);
		must_lead(r, -1);
	}
	put_config(r, UNCLEAN, random_below(&r->random, 2) == 0 ? NULL : "true");
	say_config_changed(r);
	must_lead(r, other);
	replay_run(r, SETTLE_MS);
}

static const struct script scripts[] = {
	{ "lost-reply", script_lost_reply },
	{ "expiry", script_expiry },
	{ "zombie", script_zombie },
	{ "creation", script_creation },
	{ "creation-untold", script_creation_untold },
	{ "creation-raced", script_creation_raced },
	{ "creation-echo", script_creation_echo },
	{ "bounce", script_bounce },
	{ "deaths", script_deaths },
	{ "configs", script_configs },
	{ "ids", script_ids },
	{ "log-dirs", script_log_dirs },
	{ "unserved", script_unserved },
	{ "feature", script_feature },
	{ "calls", script_calls },
	{ "overflow", script_overflow, 50 },
	{ "deletion", script_deletion },
	{ "deletion-halted", script_deletion_halted },
	{ "deletion-lost", script_deletion_lost },
	{ "deletion-echo", script_deletion_echo },
	{ "deletion-repeated", script_deletion_repeated },
	{ "deletion-anew", script_deletion_anew },
	{ "departure", script_departure },
	{ "partitions", script_partitions },
	{ "partitions-raced", script_partitions_raced },
	{ "partitions-znode", script_partitions_znode },
	{ "unclean-topic", script_unclean_topic },
	{ "unclean-refused", script_unclean_refused, 0,
	    "unclean.leader.election.enable=true\n" },
};

static size_t
run_script(const struct script *script, uint64_t first, uint64_t seeds)
{
	size_t failed = 0;

	if (script->share != 0)
		seeds = (seeds + script->share - 1) / script->share;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct replay *r = replay_new(seed, 3, script->more);

		script->run(r);
		replay_check(r);
		if (r->faults > 0) {
			failed++;
			fprintf(stderr, "%s: seed %llu: %zu faults\n",
			    script->name, (unsigned long long)seed, r->faults);
		}
		replay_free(&r);
		if (failed > 4)
			break;
	}
	printf("%-16s %llu seeds, %zu failed\n", script->name,
	    (unsigned long long)seeds, failed);
	return (failed);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	size_t failed = 0;

	for (size_t i = 0; i < nelems(scripts); i++)
		if (argc <= 3 || strcmp(argv[3], scripts[i].name) == 0)
			failed += run_script(&scripts[i], first, seeds);
	return (failed == 0 ? 0 : 1);
}
