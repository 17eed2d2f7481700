/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts over many seeds: test_control [seeds [first seed [script]]], the
 * script by its name or number; test_control list.
 * REPLAY_LOG=1 shows the operator's log of all planes.
 */
#include <stdio.h>

#include "base/mem.h"
#include "config/map.h"
#include "tests/replay/scripts.h"
#include "tests/replay/seeds.h"

#define SEEDS 200
#define SCRIPTS_MAX 200

/* The write that makes a broker controller. */
static bool
is_election(const struct zk_op *op)
{
	return (op->kind == ZK_OP_MULTI && op->part_count == 2 &&
	    strcmp(op->parts[0].path, ZNODE_CONTROLLER) == 0 &&
	    op->parts[0].kind == ZK_OP_CREATE);
}

/* --- 1: answers to elections are lost ------------------------------------- */

/* KAFKA-13407: who won and never heard of it must serve as controller. */

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

/* KAFKA-6082: what a controller wrote that is none any more gets nowhere. */

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
		replay_run(r, 1 + some_ms(r, 9000));
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
	/* By ZooKeeper's clock, not by that of who looks. */
	r->clock.wall_base_ms += 3600 * 1000;
	zk_fake_expire(r->fake, replay_driver(r, 2));
	replay_run(r, 5000);
	if (!zk_fake_get(r->fake, "/config/changes/config_change_0000000006",
		&(struct slice){ NULL, 0 }, &(struct zk_stat){ 0 }))
		replay_fault(r, "a young notification is gone");
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

/* --- 10: controlled shutdown ---------------------------------------------- */

int
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

static const struct script control_scripts[] = {
	{ 201, "lost-reply", script_lost_reply },
	{ 202, "expiry", script_expiry },
	{ 301, "zombie", script_zombie },
	{ 304, "creation", script_creation },
	{ 305, "creation-untold", script_creation_untold },
	{ 307, "bounce", script_bounce },
	{ 601, "deaths", script_deaths },
	{ 102, "configs", script_configs },
	{ 104, "ids", script_ids },
	{ 121, "log-dirs", script_log_dirs },
	{ 103, "feature", script_feature },
	{ 101, "calls", script_calls },
	{ 217, "overflow", script_overflow, 50 },
	{ 308, "departure", script_departure },
	{ 0 },
};

static size_t
run_seed(const void *one, uint64_t seed)
{
	const struct script *script = one;
	struct replay *r = replay_new(seed,
	    script->planes == 0 ? 3 : script->planes, script->more);
	size_t faults;

	script->run(r);
	replay_check(r);
	faults = r->faults;
	replay_free(&r);
	return (faults);
}

int
main(int argc, char **argv)
{
	const struct script *const tables[] = { control_scripts, topic_scripts,
		alter_scripts, death_scripts, return_scripts };
	struct seeds_row rows[SCRIPTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < nelems(tables); i++)
		for (const struct script *s = tables[i]; s->name != NULL; s++) {
			CHECK(count < SCRIPTS_MAX);
			rows[count++] = (struct seeds_row){ s->number, s->name,
				s->share, s };
		}
	return (seeds_main(argc, argv, SEEDS, rows, count, run_seed));
}
