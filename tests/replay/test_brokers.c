/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of whole brokers over many seeds:
 * test_brokers [seeds [first seed [script]]], the script by its name or number;
 * test_brokers list.  REPLAY_LOG=1 shows their log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cluster/configs_int.h"
#include "config/map.h"
#include "config/topic.h"
#include "daemon/broker_int.h"
#include "replica/replica_int.h"
#include "tests/replay/brokers.h"
#include "tests/replay/seeds.h"
#include "zkglue/zkglue_int.h"

#define SEEDS 12
#define SCRIPTS_MAX 60
#define SETTLE_MS 20000

int64_t
some_ms(struct house *b, int64_t bound_ms)
{
	return ((int64_t)random_below(&b->world->random, (uint64_t)bound_ms));
}

void
must(struct house *b, const char *what, int got, int wanted)
{
	if (got != wanted)
		replay_fault(b->world, "%s: %d, it must be %d", what, got,
		    wanted);
}

static void
produce(struct house *b, int id, int from, int to)
{
	for (int i = from; i < to; i++)
		must(b, "produce", house_produce(b, id, "t0", 0, i),
		    ERR_NONE);
}

/* Registered by its own session, and it knows the epoch. */
static void
must_be_registered(struct house *b, int id)
{
	char path[40];
	struct slice data;
	struct zk_stat stat;
	struct broker *broker = b->at[id].broker;

	(void)snprintf(path, sizeof(path), "/brokers/ids/%d", id);
	if (!zk_fake_get(b->world->fake, path, &data, &stat)) {
		replay_fault(b->world, "b%d has no node", id);
		return;
	}
	if (stat.ephemeral_owner != zk_session_id(broker->zk))
		replay_fault(b->world, "b%d's node is another session's", id);
	if (registration_broker_epoch(broker->registration) != stat.czxid)
		replay_fault(b->world, "b%d takes %lld for its epoch, it is "
		    "%lld", id, (long long)registration_broker_epoch(
		    broker->registration), (long long)stat.czxid);
	if (data.length == 0)
		replay_fault(b->world, "b%d's node is empty", id);
}

/* --- 1: a record, and what stops and deaths do to it ---------------------- */

static void
script_records(struct house *b)
{
	int written = 0;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 2, 1), ERR_NONE);
	for (int i = 0; i < 4; i++) {
		int more = 1 + (int)some_ms(b, 12);

		produce(b, 1, written, written + more);
		written += more;
		must(b, "read", house_read(b, 1, "t0", 0), written);
		if (i % 2 == 0) {
			house_stop(b, 1);
		} else {
			house_kill(b, 1);
			house_run(b, some_ms(b, 3000));
		}
		house_start(b, 1);
		(void)house_await(b, 1, BROKER_RUNNING);
		house_run(b, 1000);
		must_be_registered(b, 1);
		must(b, "controller", house_controller(b), 1);
		must(b, "read again", house_read(b, 1, "t0", 0), written);
		must(b, "empty", house_read(b, 1, "t0", 1), 0);
	}
}

/* --- 2: sessions ---------------------------------------------------------- */

static void
script_expiry(struct house *b)
{
	int written = 0;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	for (int i = 0; i < 4; i++) {
		zk_fake_expire(b->world->fake, b->at[1].driver);
		for (int k = 0; k < 5; k++) {
			produce(b, 1, written, written + 1);
			written++;
			house_run(b, some_ms(b, 100));
		}
		house_run(b, some_ms(b, 1500));
	}
	house_run(b, SETTLE_MS);
	must_be_registered(b, 1);
	must(b, "controller", house_controller(b), 1);
	must(b, "create", house_create(b, 1, "t1", 1, 1), ERR_NONE);
	must(b, "read", house_read(b, 1, "t0", 0), written);
	must(b, "t1", house_read(b, 1, "t1", 0), 0);
}

/* The seat is of the present session, and the broker knows it. */
static void
must_be_controller(struct house *b, int id)
{
	struct broker *broker = b->at[id].broker;
	struct slice data;
	struct zk_stat stat;

	if (!zk_fake_get(b->world->fake, ZNODE_CONTROLLER, &data, &stat) ||
	    stat.ephemeral_owner != zk_session_id(broker->zk) ||
	    !controller_active(broker->controller))
		replay_fault(b->world, "b%d is not controller", id);
}

/* KAFKA-7165: our session is over, and ZooKeeper keeps its nodes for a while.
 * Nobody waits for their end, whatever was begun in that session. */
static void
script_older_session(struct house *b)
{
	const int64_t soon_ms = REPLAY_SESSION_MS / 3;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	for (int i = 0; i < 4; i++) {
		char name[8];

		zk_fake_disown(b->world->fake, b->at[1].driver);
		if (i == 3) {
			/* Before that one had told of its registration. */
			house_run(b, some_ms(b, 60));
			zk_fake_disown(b->world->fake, b->at[1].driver);
		}
		produce(b, 1, i, i + 1);
		house_run(b, soon_ms);
		must_be_registered(b, 1);
		must_be_controller(b, 1);
		(void)snprintf(name, sizeof(name), "t%d", i + 1);
		must(b, "create", house_create(b, 1, name, 1, 1), ERR_NONE);
		if (i == 1) /* and when those nodes go at last */
			house_run(b, SETTLE_MS);
	}
	house_run(b, SETTLE_MS);
	must_be_registered(b, 1);
	must_be_controller(b, 1);
	must(b, "read", house_read(b, 1, "t0", 0), 4);
}

static void
script_cut(struct house *b)
{
	int64_t cut_ms[] = { 200, REPLAY_SESSION_MS / 2,
		REPLAY_SESSION_MS * 4 };
	int written = 0;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	for (size_t i = 0; i < nelems(cut_ms); i++) {
		char name[8];

		zk_fake_cut(b->world->fake, b->at[1].driver, true);
		for (int k = 0; k < 6; k++) {
			produce(b, 1, written, written + 1);
			written++;
			must(b, "read", house_read(b, 1, "t0", 0), written);
			must(b, "leader", house_leader(b, 1, "t0", 0), 1);
			house_run(b, cut_ms[i] / 6);
		}
		zk_fake_cut(b->world->fake, b->at[1].driver, false);
		house_run(b, SETTLE_MS);
		must_be_registered(b, 1);
		must(b, "controller", house_controller(b), 1);
		(void)snprintf(name, sizeof(name), "t%zu", i + 1);
		must(b, "create", house_create(b, 1, name, 1, 1), ERR_NONE);
	}
}

static int
batches_of(const struct house *b, int id)
{
	int count = 0;

	LIST_EACH(element, &b->at[id].broker->zk->batches)
		count++;
	return (count);
}

/* What waits for ZooKeeper, after requests of all kinds. */
static void
ask_in_vain(struct house *b, int id, int refusal)
{
	struct metadata_request_topic one = { .name = SLICE_LITERAL("auto") };
	struct metadata_request request;
	struct metadata_response response;
	struct asking a = { .id = id, .api_key = API_METADATA, .version = 9,
		.request = &request, .response = &response };
	int64_t began_ns = b->world->clock.now_ns;

	must(b, "create", house_create(b, id, "t9", 1, 1), refusal);
	wire_init(&message_metadata_request, &request);
	request.topics = &one;
	request.topics_count = 1;
	request.allow_auto_topic_creation = true;
	if (!house_ask(b, &a) || response.topics_count != 1)
		replay_fault(b->world, "no answer to Metadata");
	else
		must(b, "automatic", response.topics[0].error_code,
		    ERR_LEADER_NOT_AVAILABLE);
	asking_fini(&a);
	must(b, "in time", b->world->clock.now_ns - began_ns <
	    INT64_C(40) * 1000000000, true);
}

/* ZooKeeper is away for an hour: what is led is served, who asks for more hears
 * no in time, nothing piles up, and then all is as before. */
static void
script_away(struct house *b)
{
	int written = 0, batches = 0, seat, first;
	size_t tasks = 0;

	house_start_all(b);
	seat = house_controller(b);
	must(b, "create", house_create(b, seat, "t0", 1, 1), ERR_NONE);
	house_run(b, 1000);
	first = house_leader(b, 1, "t0", 0);
	for (int id = 1; id <= 2; id++)
		zk_fake_cut(b->world->fake, b->at[id].driver, true);
	for (int minute = 0; minute < 60; minute++) {
		produce(b, first, written, written + 1);
		written++;
		must(b, "read", house_read(b, first, "t0", 0), written);
		for (int id = 1; id <= 2 && minute % 5 == 0; id++)
			ask_in_vain(b, id, id == seat ?
			    ERR_REQUEST_TIMED_OUT : ERR_NOT_CONTROLLER);
		house_run(b, 60000 + some_ms(b, 1000));
		if (minute == 1) {
			batches = batches_of(b, 1);
			tasks = loop_task_count(b->at[1].broker->control);
		}
	}
	must(b, "batches", batches_of(b, 1), batches);
	must(b, "tasks", (int)loop_task_count(b->at[1].broker->control),
	    (int)tasks);
	for (int id = 1; id <= 2; id++)
		zk_fake_cut(b->world->fake, b->at[id].driver, false);
	house_run(b, SETTLE_MS);
	for (int id = 1; id <= 2; id++)
		must_be_registered(b, id);
	must_be_controller(b, house_controller(b));
	must(b, "create", house_create(b, house_controller(b), "t1", 1, 1),
	    ERR_NONE);
	must(b, "read", house_read(b, first, "t0", 0), written);
	produce(b, first, written, written + 1);
}

/* --- 3: the answer to the n-th write is lost ------------------------------ */

struct losing {
	int at;
	int seen;
};

static void
lose_nth(struct house *b, int id, const struct zk_op *op)
{
	struct losing *l = b->script;

	(void)op;
	if (++l->seen == l->at)
		zk_fake_lose_next_reply(b->world->fake, b->at[id].driver);
}

static void
script_lost_writes(struct house *b)
{
	struct losing l = { 0 };

	b->script = &l;
	b->on_write = lose_nth;
	for (int at = 1; at <= 40; at++) {
		l = (struct losing){ .at = at };
		house_start(b, 1);
		if (!house_await(b, 1, BROKER_RUNNING)) {
			replay_fault(b->world, "write %d was lost", at);
			return;
		}
		house_run(b, 1000);
		must_be_registered(b, 1);
		must(b, "controller", house_controller(b), 1);
		if (at % 8 == 1) {
			char name[8];

			(void)snprintf(name, sizeof(name), "t%d", at / 8);
			must(b, "create", house_create(b, 1, name, 1, 1),
			    ERR_NONE);
		}
		house_stop(b, 1);
		/* From nothing again, now and then. */
		if (at % 2 == 0 || b->world->faults > 0)
			continue;
		zk_fake_delete(b->world->fake, "/latest_producer_id_block");
		zk_fake_delete(b->world->fake, "/cluster/id");
		zk_fake_delete(b->world->fake, "/feature");
		house_wipe(b, 1);
	}
	b->on_write = NULL;
}

/* --- 4: the controller dies half-way in a creation ------------------------ */

static bool
names(const struct zk_op *op, const char *part)
{
	if (op->path != NULL && strstr(op->path, part) != NULL)
		return (true);
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (strstr(op->parts[i].path, part) != NULL)
			return (true);
	return (false);
}

struct deaths {
	const char *part;
	int countdown; /* negative: over */
};

static void
die_at_write(struct house *b, int id, const struct zk_op *op)
{
	struct deaths *d = b->script;

	if (d->countdown < 0 || !names(op, d->part))
		return;
	if (d->countdown-- == 0)
		house_kill(b, id);
}

static void
all_serve(struct house *b, const char *topic, int32_t partitions)
{
	for (int32_t i = 0; i < partitions; i++) {
		int leader = house_leader(b, 1, topic, i);

		if (leader < 1 || leader > (int)b->count) {
			replay_fault(b->world, "%s/%d has leader %d", topic,
			    (int)i, leader);
			continue;
		}
		must(b, "produce",
		    house_produce(b, leader, topic, i, 0), ERR_NONE);
		must(b, "read", house_read(b, leader, topic, i), 1);
	}
}

static void
script_creation(struct house *b)
{
	static const char *const parts[] = { "/config/topics/t0",
		"/brokers/topics/t0", "/state" };
	struct deaths d = { .part = parts[some_ms(b, 3)] };
	int first;

	house_start_all(b);
	first = house_controller(b);
	d.countdown = (int)some_ms(b, 2);
	b->script = &d;
	b->on_write = die_at_write;
	(void)house_create(b, first, "t0", 6, 1);
	house_run(b, SETTLE_MS);
	for (int id = 1; id <= (int)b->count; id++)
		if (!house_live(b, id)) {
			must(b, "new controller", house_controller(b) == 0 ||
			    house_controller(b) == id, 0);
			house_start(b, id);
			(void)house_await(b, id, BROKER_RUNNING);
		}
	b->on_write = NULL;
	house_run(b, SETTLE_MS);
	/* It was there already, unless the death came before it. */
	(void)house_create(b, house_controller(b), "t0", 6, 1);
	house_run(b, 2000);
	all_serve(b, "t0", 6);
}

/* --- 5: a stop at any step of the start ----------------------------------- */

struct countdown {
	struct house *house;
	int steps;
};

static void
count_down(void *arg)
{
	struct countdown *c = arg;

	if (c->steps-- > 0)
		loop_post_call(c->house->client, count_down, c);
	else
		broker_stop(c->house->at[1].broker);
}

static void
script_stop_in_start(struct house *b)
{
	for (int i = 0; i < 12; i++) {
		struct countdown c = { b, (int)some_ms(b, i < 6 ? 60 : 600) };

		house_start(b, 1);
		loop_post_call(b->client, count_down, &c);
		if (!house_await(b, 1, BROKER_STOPPED))
			return;
		must(b, "steps", c.steps < 0, 1);
		broker_stop(b->at[1].broker);
		if (zk_fake_get(b->world->fake, "/brokers/ids/1",
			&(struct slice){ NULL, 0 }, &(struct zk_stat){ 0 }))
			replay_fault(b->world, "a node stayed");
	}
	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
}

/* --- 6: starts that must fail --------------------------------------------- */

static void
must_fail(struct house *b, int id, const char *more)
{
	b->more[id] = more;
	house_start(b, id);
	(void)house_await(b, id, BROKER_FAILED);
	b->more[id] = NULL;
}

static void
script_refusals(struct house *b)
{
	int64_t before_ns;

	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	must_fail(b, 2, "broker.id=1\n");
	house_wipe(b, 2);
	must_fail(b, 2, "advertised.listeners=PLAINTEXT://b1:9092\n");
	/* Another cluster's directory, another broker's. */
	must_fail(b, 2, "broker.id=7\n");
	must(b, "leader", house_leader(b, 1, "t0", 0), 1);
	must_be_registered(b, 1);
	house_start(b, 2);
	(void)house_await(b, 2, BROKER_RUNNING);
	house_stop(b, 2);
	house_wipe(b, 2);
	/* ZooKeeper away: when the patience is over, not before. */
	before_ns = b->world->clock.now_ns;
	house_start(b, 2);
	zk_fake_cut(b->world->fake, b->at[2].driver, true);
	(void)house_await(b, 2, BROKER_FAILED);
	if (b->world->clock.now_ns - before_ns <
	    REPLAY_SESSION_MS * INT64_C(1000000))
		replay_fault(b->world, "the start gave up too early");
}

/* Registered, but no controller tells it of itself; the session goes, and
 * another takes the address. */
static void
script_taken_untold(struct house *b)
{
	zk_fake_put(b->world->fake, ZNODE_CONTROLLER, SLICE_LITERAL(
	    "{\"version\":2,\"brokerid\":9,\"timestamp\":\"1\"}"));
	house_start(b, 1);
	house_run(b, 5000);
	must_be_registered(b, 1);
	must(b, "starting", broker_state(b->at[1].broker), BROKER_STARTING);
	zk_fake_cut(b->world->fake, b->at[1].driver, true);
	zk_fake_expire(b->world->fake, b->at[1].driver);
	b->more[2] = "advertised.listeners=PLAINTEXT://b1:9092\n";
	house_start(b, 2);
	house_run(b, some_ms(b, 5000) + 1000);
	zk_fake_cut(b->world->fake, b->at[1].driver, false);
	(void)house_await(b, 1, BROKER_FAILED);
	b->more[2] = NULL;
}

/* --- 7: a directory that is empty now ------------------------------------- */

static void
kill_and_bury(struct house *b, int id)
{
	house_kill(b, id);
	house_run(b, 500);
	while (b->at[id].broker != NULL)
		house_run(b, 100);
}

/* The rule of the sole replica: nobody leads an empty log where there was one.
 * tests/unit/test_replica has the exception, unclean election. */
static void
script_wiped(struct house *b)
{
	bool clean = some_ms(b, 2) == 0;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	produce(b, 1, 0, 5);
	if (clean)
		house_stop(b, 1);
	else
		kill_and_bury(b, 1);
	house_wipe(b, 1);
	/* It may end before it was told anything; at the next start the
	 * directory is not new any more. */
	if (some_ms(b, 4) > 0) {
		house_start(b, 1);
		house_run(b, some_ms(b, 12000));
		kill_and_bury(b, 1);
	}
	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	house_run(b, 2000);
	if (house_produce(b, 1, "t0", 0, 0) == ERR_NONE)
		replay_fault(b->world, "an empty log is led where five "
		    "records were acknowledged");
}

/* --- 8: two controllers at once ------------------------------------------- */

struct controlling {
	struct peer *peer;
	struct peer_call call;
	struct arena arena;
	struct update_metadata_request request;
	struct update_metadata_response response;
};

static void
control(struct house *b, struct controlling *c, int32_t epoch, int8_t type)
{
	if (c->peer == NULL)
		c->peer = house_peer(b, 1);
	arena_init(&c->arena, 0);
	wire_init(&message_update_metadata_request, &c->request);
	c->request.controller_id = epoch;
	c->request.controller_epoch = epoch;
	c->request.type = type;
	c->call = (struct peer_call){ .arena = &c->arena,
		.response = &c->response };
	CHECK(peer_send(c->peer, &c->call, API_UPDATE_METADATA, 8,
	    &c->request) == WIRE_OK);
}

/* Whichever comes first, the older one's view is not the last. */
static void
script_two_controllers(struct house *b)
{
	struct controlling c[2] = { { .peer = NULL }, { .peer = NULL } };
	int32_t epoch = 100;

	house_start_all(b);
	for (int i = 0; i < 20; i++, epoch += 2) {
		size_t older = (size_t)some_ms(b, 2);

		control(b, &c[older], epoch, 0);
		control(b, &c[1 - older], epoch + 1, 0);
		while (!c[0].call.done || !c[1].call.done)
			house_run(b, 5);
		must(b, "the controller's epoch", cluster_image(
		    b->at[1].broker->cluster)->controller_epoch, epoch + 1);
		for (size_t k = 0; k < 2; k++) {
			peer_call_fini(&c[k].call);
			arena_fini(&c[k].arena);
		}
	}
	for (size_t k = 0; k < 2; k++)
		peer_free(&c[k].peer);
}

/* --- 9: topics' configs --------------------------------------------------- */

static void
put(struct house *b, const char *directory, const char *topic,
    const char *text)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, topic);
	zk_fake_put(b->world->fake, path, slice_of_text(text));
}

/* As a tool makes it: nothing is said in /config/changes. */
static void
put_topic(struct house *b, const char *topic, const char *config, int replica)
{
	struct znode_assignment one = { .replicas = (int32_t[]){ replica },
		.replica_count = 1 };
	struct znode_topic node = { .partitions = &one, .partition_count = 1,
		.id = uuid_random(&b->world->random) };
	struct buffer json = BUFFER_EMPTY;

	put(b, "/config/topics", topic, config);
	znode_topic_encode(&node, &json);
	put(b, "/brokers/topics", topic, buffer_text(&json));
	buffer_fini(&json);
	house_run(b, 2000);
}

/* DescribeConfigs; the topic's error must be this one, and of ERR_NONE the
 * retention. */
static void
must_retain(struct house *b, int id, const char *topic, int error,
    const char *retention_ms)
{
	struct slice key = SLICE_LITERAL("retention.ms");
	struct describe_configs_request_resource resource = {
		.resource_type = 2, .resource_name = slice_of_text(topic),
		.configuration_keys = &key, .configuration_keys_count = 1 };
	struct describe_configs_request request;
	struct describe_configs_response response;
	struct asking a = { .id = id, .api_key = API_DESCRIBE_CONFIGS,
		.version = 4, .request = &request, .response = &response };
	struct slice found = SLICE_EMPTY;

	wire_init(&message_describe_configs_request, &request);
	request.resources = &resource;
	request.resources_count = 1;
	if (!house_ask(b, &a) || response.results_count != 1)
		replay_fault(b->world, "no answer to DescribeConfigs");
	else {
		must(b, "describe", response.results[0].error_code, error);
		if (response.results[0].configs_count == 1)
			found = response.results[0].configs[0].value;
	}
	if (error == ERR_NONE && !slice_equal_text(found, retention_ms))
		replay_fault(b->world, "b%d says retention.ms=%.*s of %s, it "
		    "is %s", id, SLICE_ARGS(found), topic, retention_ms);
	asking_fini(&a);
}

static void
must_know_nothing(struct house *b, int id, const char *topic)
{
	const struct topic_config *config = configs_topic(
	    b->at[id].broker->configs, topic);

	must(b, "overrides", (int)config_map_count(config->map), 0);
	topic_config_unref(config);
}

/* The one partition of `topic` to broker 1, not new, of a later controller. */
#define EPOCH 100
static int
order(struct house *b, const char *topic, int32_t epoch, bool awaited,
    struct asking *a)
{
	static int32_t self[] = { 1 };
	static struct leader_and_isr_request_partition_state state;
	static struct leader_and_isr_request_topic_state one;
	static struct leader_and_isr_request request;
	static struct leader_and_isr_response response;

	state = (struct leader_and_isr_request_partition_state){
		.controller_epoch = epoch, .leader = 1, .isr = self,
		.isr_count = 1, .replicas = self, .replicas_count = 1 };
	one = (struct leader_and_isr_request_topic_state){
		.topic_name = slice_of_text(topic),
		.topic_id = uuid_random(&b->world->random),
		.partition_states = &state, .partition_states_count = 1 };
	wire_init(&message_leader_and_isr_request, &request);
	request.controller_id = request.controller_epoch = epoch;
	request.topic_states = &one;
	request.topic_states_count = 1;
	*a = (struct asking){ .id = 1, .api_key = API_LEADER_AND_ISR,
		.version = 7, .request = &request, .response = &response };
	if (awaited)
		(void)house_ask(b, a);
	else
		house_send(b, a);
	return (a->call.done ? response.error_code : -1);
}

static void
script_configs(struct house *b)
{
	static const char seven[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"7\"}}";
	static const char none[] = "{\"version\":1,\"config\":{}}";
	struct replica *replica;
	struct asking a;

	house_start_all(b);
	put_topic(b, "t0", seven, 1);
	for (int id = 1; id <= 2; id++)
		must_retain(b, id, "t0", ERR_NONE, "7");
	must_retain(b, 2, "t1", ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
	/* Another topic of that name. */
	put(b, "/admin/delete_topics", "t0", "");
	house_run(b, SETTLE_MS);
	for (int id = 1; id <= 2; id++)
		must_know_nothing(b, id, "t0");
	put_topic(b, "t0", none, 2);
	for (int id = 1; id <= 2; id++)
		must_retain(b, id, "t0", ERR_NONE, "604800000");
	/* The controller does not call it new, but it was never here. */
	put(b, "/config/topics", "t9", "{\"version\":1,\"config\":"
	    "{\"unclean.leader.election.enable\":\"true\","
	    "\"min.insync.replicas\":\"2\"}}");
	must(b, "order", order(b, "t9", EPOCH, true, &a), ERR_NONE);
	asking_fini(&a);
	replica = replicas_find(b->at[1].broker->replicas,
	    SLICE_LITERAL("t9"), 0);
	must(b, "min.insync.replicas", replica == NULL ? -1 :
	    atomic_load(&replica->min_insync), 2);
	must(b, "leads", replica != NULL && replica->leads, true);
	replica_unref(replica);
}

/* ZooKeeper is away: nobody decides by configs that cannot be read, and a stop
 * is not held up by who waits for them. */
static void
script_configs_away(struct house *b)
{
	static const char seven[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"7\"}}";
	const struct leader_and_isr_response *response;
	struct asking a;

	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	put_topic(b, "t0", seven, 1);
	put_topic(b, "t1", seven, 1);
	must_retain(b, 1, "t0", ERR_NONE, "7");
	zk_fake_cut(b->world->fake, b->at[1].driver, true);
	must_retain(b, 1, "t0", ERR_NONE, "7");
	/* Nor does it wait whose order does not count. */
	must(b, "stale", order(b, "t8", 0, true, &a),
	    ERR_STALE_CONTROLLER_EPOCH);
	asking_fini(&a);
	must(b, "order", order(b, "t9", EPOCH, false, &a), -1);
	house_run(b, some_ms(b, 8000));
	must(b, "answered", a.call.done, false);
	broker_stop(b->at[1].broker);
	(void)house_await(b, 1, BROKER_STOPPED);
	response = a.response;
	must(b, "order", a.call.done && a.call.error == PEER_OK ?
	    response->error_code : -1, ERR_BROKER_NOT_AVAILABLE);
	asking_fini(&a);
}

/* Names are not remembered that are nowhere, nor those that are gone. */
static void
script_configs_forgotten(struct house *b)
{
	static const char none[] = "{\"version\":1,\"config\":{}}";
	struct controlling full = { .peer = NULL };
	struct configs *configs;
	struct asking a;
	size_t known;

	house_start_all(b);
	put_topic(b, "t0", none, 1);
	configs = b->at[1].broker->configs;
	known = hash_count(&configs->known);
	must(b, "known", known > 0, true);
	/* What cannot be read is not known. */
	put_topic(b, "t1", "{", 1);
	must(b, "names", (int)hash_count(&configs->known), (int)known);
	must(b, "order", order(b, "t9", EPOCH, true, &a), ERR_NONE);
	asking_fini(&a);
	must(b, "names", (int)hash_count(&configs->known), (int)known);
	control(b, &full, EPOCH, UPDATE_METADATA_FULL);
	while (!full.call.done)
		house_run(b, 5);
	must(b, "names", (int)hash_count(&configs->known), 0);
	peer_call_fini(&full.call);
	arena_fini(&full.arena);
	peer_free(&full.peer);
}

static void
must_be_careful(struct house *b, int id, const char *topic)
{
	const struct topic_config *config = configs_topic(
	    b->at[id].broker->configs, topic);

	must(b, "refused", config->refused, true);
	must(b, "unclean", config->options->unclean_leader_election_enable,
	    false);
	must(b, "retention", config->options->retention_ms == -1 &&
	    config->options->retention_bytes == -1, true);
	topic_config_unref(config);
}

/* The ACL of one topic's config does not let brokers read it. */
static void
script_configs_refused(struct house *b)
{
	static const char seven[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"7\"}}";
	b->more[1] = "unclean.leader.election.enable=true\n";
	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	zk_fake_forbid(b->world->fake, "/config/topics/t0");
	put_topic(b, "t0", seven, 1);
	put_topic(b, "t1", seven, 1);
	must(b, "t0", house_produce(b, 1, "t0", 0, 0), ERR_NONE);
	must(b, "t1", house_produce(b, 1, "t1", 0, 0), ERR_NONE);
	must_retain(b, 1, "t0", ERR_UNKNOWN_SERVER_ERROR, NULL);
	must_retain(b, 1, "t1", ERR_NONE, "7");
	must_be_careful(b, 1, "t0");
	house_stop(b, 1);
	house_start(b, 1);
	(void)house_await(b, 1, BROKER_RUNNING);
	house_run(b, 2000);
	must(b, "t0 again", house_produce(b, 1, "t0", 0, 1), ERR_NONE);
	must_be_careful(b, 1, "t0");
	/* It is found out when it may be read. */
	zk_fake_forbid(b->world->fake, NULL);
	house_run(b, 61000);
	must_retain(b, 1, "t0", ERR_NONE, "7");
	must(b, "controller", house_controller(b), 1);
	house_stop(b, 1);
	/* Without these no config can be followed. */
	zk_fake_forbid(b->world->fake, some_ms(b, 2) == 0 ?
	    "/config/topics" : "/config/changes");
	house_start(b, 1);
	(void)house_await(b, 1, BROKER_FAILED);
	zk_fake_forbid(b->world->fake, NULL);
	b->more[1] = NULL;
}

/* IncrementalAlterConfigs, of the topic t0. */
static void
send_retention(struct house *b, const char *value, struct asking *a)
{
	static struct incremental_alter_configs_request_config config;
	static struct incremental_alter_configs_request_resource resource;
	static struct incremental_alter_configs_request request;
	static struct incremental_alter_configs_response response;

	config = (struct incremental_alter_configs_request_config){
		.name = SLICE_LITERAL("retention.ms"),
		.value = slice_of_text(value) };
	resource = (struct incremental_alter_configs_request_resource){
		.resource_type = 2, .resource_name = SLICE_LITERAL("t0"),
		.configs = &config, .configs_count = 1 };
	wire_init(&message_incremental_alter_configs_request, &request);
	request.resources = &resource;
	request.resources_count = 1;
	*a = (struct asking){ .id = 1, .api_key = API_INCREMENTAL_ALTER_CONFIGS,
		.version = 1, .request = &request, .response = &response };
	house_send(b, a);
}

static void
delete_notice(void *arg)
{
	const struct house *b = arg;

	must(arg, "deleted", (int)zk_fake_delete(b->world->fake,
	    "/config/changes/config_change_0000000000"), ZK_OK);
}

static void
lose_and_untell(struct house *b, int id, const struct zk_op *op)
{
	(void)op;
	b->on_write = NULL;
	zk_fake_lose_next_reply(b->world->fake, b->at[id].driver);
	loop_post_call(b->client, delete_notice, b);
}

/* A change of which the answer is lost, and of which nobody else tells, is
 * known by whoever is answered. */
static void
script_configs_lost(struct house *b)
{
	struct asking a;

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	house_run(b, SETTLE_MS);
	must_retain(b, 1, "t0", ERR_NONE, "604800000");
	b->on_write = lose_and_untell;
	send_retention(b, "7", &a);
	house_run(b, 1000);
	must(b, "answered", a.call.done, true);
	asking_fini(&a);
	must_retain(b, 1, "t0", ERR_NONE, "7");
}

/* Who wishes for what is known waits for nobody, and who has gone holds up
 * nobody, while ZooKeeper is away. */
static void
script_configs_known(struct house *b)
{
	static const char seven[] =
	    "{\"version\":1,\"config\":{\"retention.ms\":\"7\"}}";
	struct configs_wish wish = { SLICE_LITERAL("t0"), UUID_ZERO };
	struct configs *configs;
	struct configs_fetch *known, *gone[3];
	struct uuid id = UUID_ZERO;
	int waiting = 0;

	house_start_all(b);
	put_topic(b, "t0", seven, 1);
	must_retain(b, 1, "t0", ERR_NONE, "7");
	configs = b->at[1].broker->configs;
	(void)replay_topic(b->world, "t0", &id);
	zk_fake_cut(b->world->fake, b->at[1].driver, true);
	for (size_t i = 0; i < nelems(gone); i++) {
		gone[i] = configs_fetch(configs, &wish, 1,
		    (struct task_ref){ NULL, 0 });
		house_run(b, 100);
		configs_fetch_free(&gone[i]);
	}
	wish.id = id;
	known = configs_fetch(configs, &wish, 1, (struct task_ref){ NULL, 0 });
	house_run(b, 100);
	must(b, "known", configs_fetch_done(known) &&
	    !configs_fetch_failed(known), true);
	configs_fetch_free(&known);
	wish.id = UUID_ZERO;
	known = configs_fetch(configs, &wish, 1, (struct task_ref){ NULL, 0 });
	house_run(b, 100);
	LIST_EACH(element, &configs->fetches)
		waiting++;
	must(b, "fetches", waiting, 1);
	zk_fake_cut(b->world->fake, b->at[1].driver, false);
	house_run(b, SETTLE_MS);
	must(b, "read", configs_fetch_done(known), true);
	configs_fetch_free(&known);
}

/* Topics that clients wish for while the broker stops and ZooKeeper is away. */
static void
script_stop_creating(struct house *b)
{
	struct metadata_request request[4];
	struct metadata_request_topic one[4];
	struct metadata_response response[4];
	struct asking a[4];
	char name[4][8];

	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	zk_fake_cut(b->world->fake, b->at[1].driver, true);
	house_run(b, some_ms(b, 2000));
	for (size_t i = 0; i < nelems(a); i++) {
		(void)snprintf(name[i], sizeof(name[i]), "a%zu", i);
		wire_init(&message_metadata_request, &request[i]);
		one[i] = (struct metadata_request_topic){
			.name = slice_of_text(name[i]) };
		request[i].topics = &one[i];
		request[i].topics_count = 1;
		request[i].allow_auto_topic_creation = true;
		a[i] = (struct asking){ .id = 1, .api_key = API_METADATA,
			.version = 9, .request = &request[i],
			.response = &response[i] };
		house_send(b, &a[i]);
	}
	broker_stop(b->at[1].broker);
	(void)house_await(b, 1, BROKER_STOPPED);
	for (size_t i = 0; i < nelems(a); i++)
		asking_fini(&a[i]);
}

/* --- 17: what is set while brokers run ------------------------------------ */

/* Another value, of one broker or of all; with another listener or not. */
static int32_t
set_dynamic(struct house *b, bool all, int32_t value, bool more)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "{\"version\":1,\"config\":{"
	    "\"log.retention.bytes\":\"%d\"%s}}", (int)value,
	    !more ? "" : ",\"listeners\":\"PLAINTEXT://b1:9092,"
	    "MORE://b1:9093\",\"listener.security.protocol.map\":"
	    "\"PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT\"");
	put(b, "/config/brokers", all ? "<default>" : "1", text);
	return (value);
}

/* The defaults of topics, and what a loop has, are of that value. */
static void
must_have_set(struct house *b, int32_t value, bool more)
{
	struct broker *broker = b->at[1].broker;
	const struct topic_config *config = configs_topic(broker->configs,
	    "t0");
	const struct broker_options *options = config_options(
	    config_live_now(broker->live));
	struct slice data;
	struct zk_stat stat;

	must(b, "of topics", (int)config->options->retention_bytes, value);
	must(b, "of loops", (int)options->storage.retention_bytes, value);
	topic_config_unref(config);
	must(b, "listener", broker_port(broker, "MORE"), more ? 9093 : -1);
	if (zk_fake_get(b->world->fake, "/brokers/ids/1", &data, &stat))
		must(b, "registered", memmem(data.data, data.length, "9093",
		    4) != NULL, more);
}

static void
await_started(struct house *b)
{
	if (broker_state(b->at[1].broker) == BROKER_STARTING)
		(void)house_await(b, 1, BROKER_RUNNING);
}

/* The session is lost, ZooKeeper out of reach, the broker stopped and started,
 * all in the middle of changes: in the end the last of them counts. */
static void
script_dynamic(struct house *b)
{
	struct random *random = &b->world->random;
	int32_t value = 0;
	bool more = false;

	put(b, "/config", "brokers", "");
	if (random_below(random, 2) == 0)
		value = set_dynamic(b, false, 500, false);
	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 2, 1), ERR_NONE);
	for (int i = 0; i < 12; i++) {
		more = random_below(random, 2) == 0;
		/* That of all counts where nothing is said of the one. */
		if (value == 0)
			(void)set_dynamic(b, true, 900 + i, false);
		house_run(b, some_ms(b, 30));
		value = set_dynamic(b, false, 1000 + i, more);
		house_run(b, some_ms(b, 30));
		switch (random_below(random, 6)) {
		case 0:
			zk_fake_expire(b->world->fake, b->at[1].driver);
			break;
		case 1:
			/* A start that finds no ZooKeeper ends. */
			await_started(b);
			zk_fake_cut(b->world->fake, b->at[1].driver, true);
			house_run(b, some_ms(b, 2 * REPLAY_SESSION_MS));
			value = set_dynamic(b, false, 2000 + i, more);
			zk_fake_cut(b->world->fake, b->at[1].driver, false);
			break;
		case 2:
			house_stop(b, 1);
			house_start(b, 1);
			break;
		}
	}
	await_started(b);
	house_run(b, SETTLE_MS);
	must_be_registered(b, 1);
	must_have_set(b, value, more);
	/* Taken out: nothing is set any more. */
	put(b, "/config/brokers", "1", "{\"version\":1,\"config\":{}}");
	put(b, "/config/brokers", "<default>",
	    "{\"version\":1,\"config\":{}}");
	house_run(b, SETTLE_MS);
	must_have_set(b, -1, false);
	must(b, "create", house_create(b, 1, "t1", 1, 1), ERR_NONE);
}

/* --- 10: the wall clock leaps --------------------------------------------- */

#define HOUR_MS ((int64_t)3600 * 1000)

static void
leap(struct house *b, int64_t ms)
{
	b->world->clock.wall_base_ms += ms;
}

static int
log_start(struct house *b, int id)
{
	struct replica *replica = replicas_find(b->at[id].broker->replicas,
	    SLICE_LITERAL("t0"), 0);
	int start = (int)log_start_offset(replica_log(replica));

	replica_unref(replica);
	return (start);
}

/* Ahead and back while it runs: nothing young is deleted, nothing waits for the
 * clock to come to where it was; what is old goes, as it would have. */
static void
script_clock(struct house *b)
{
	static const int64_t leaps_ms[] = { 5 * HOUR_MS, -5 * HOUR_MS,
		400 * HOUR_MS, -400 * HOUR_MS, -48 * HOUR_MS, 48 * HOUR_MS };
	int written = 0;

	b->more[1] = "log.retention.ms=14400000\nlog.segment.bytes=100\n"
	    "log.retention.check.interval.ms=60000\n"
	    "log.flush.interval.ms=60000\n";
	house_start_all(b);
	must(b, "create", house_create(b, 1, "t0", 1, 1), ERR_NONE);
	for (size_t i = 0; i < nelems(leaps_ms); i++) {
		produce(b, 1, written, written + 3);
		written += 3;
		house_run(b, 60000 + some_ms(b, 120000));
		leap(b, leaps_ms[i]);
		produce(b, 1, written, written + 1);
		written++;
		house_run(b, 180000 + some_ms(b, 300000));
		must(b, "read", house_read(b, 1, "t0", 0), written);
		must(b, "start", log_start(b, 1), 0);
		must_be_registered(b, 1);
		must_be_controller(b, 1);
	}
	/* The first ones, when the way back has been believed, and they are
	 * old: those behind bear times that lie ahead. */
	house_run(b, 25 * HOUR_MS);
	must(b, "start", log_start(b, 1) > 0, true);
	b->more[1] = NULL;
}

static const struct brokers_script scripts[] = {
	{ 105, "records", 1, script_records, 0 },
	{ 223, "expiry", 1, script_expiry, 0 },
	{ 224, "older-session", 1, script_older_session, 0 },
	{ 225, "cut", 1, script_cut, 0 },
	{ 226, "away", 2, script_away, 4 },
	{ 227, "lost-writes", 1, script_lost_writes, 4 },
	{ 306, "creation", 3, script_creation, 0 },
	{ 228, "stop-in-start", 1, script_stop_in_start, 0 },
	{ 106, "refusals", 2, script_refusals, 0 },
	{ 229, "taken-untold", 2, script_taken_untold, 0 },
	{ 325, "wiped", 1, script_wiped, 0 },
	{ 303, "two-controllers", 1, script_two_controllers, 0 },
	{ 107, "configs", 2, script_configs, 0 },
	{ 231, "configs-away", 1, script_configs_away, 0 },
	{ 232, "configs-refused", 1, script_configs_refused, 0 },
	{ 233, "configs-lost", 1, script_configs_lost, 0 },
	{ 108, "configs-known", 1, script_configs_known, 0 },
	{ 109, "configs-forgotten", 1, script_configs_forgotten, 0 },
	{ 110, "clock", 1, script_clock, 3 },
	{ 230, "stop-creating", 1, script_stop_creating, 0 },
	{ 234, "dynamic", 1, script_dynamic, 0 },
	{ 0 },
};

static size_t
run_seed(const void *one, uint64_t seed)
{
	const struct brokers_script *script = one;
	struct house *b = house_new(seed, script->brokers);
	size_t faults;

	script->run(b);
	faults = b->world->faults;
	house_free(&b);
	return (faults);
}

int
main(int argc, char **argv)
{
	const struct brokers_script *const tables[] = { scripts,
		reordered_scripts };
	struct seeds_row rows[SCRIPTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < nelems(tables); i++)
		for (const struct brokers_script *s = tables[i];
		     s->name != NULL; s++) {
			CHECK(count < SCRIPTS_MAX);
			rows[count++] = (struct seeds_row){ s->number, s->name,
				s->share, s };
		}
	return (seeds_main(argc, argv, SEEDS, rows, count, run_seed));
}
