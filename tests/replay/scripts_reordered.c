/* SPDX-License-Identifier: Apache-2.0 */
/* What comes later than what was said after it: the fabric holds one request or
 * answer back while the cluster goes on, and lets it go then. */
#include <stdio.h>

#include "base/mem.h"
#include "daemon/broker_int.h"
#include "replica/replica_int.h"
#include "tests/replay/brokers.h"
#include "tests/replay/ledger.h"

#define VALUES_MAX 200
#define PATIENCE_MS 60000
/* Nobody gives up what is held, nor is a follower taken out, unless asked. */
#define OPTIONS                                                             \
	"auto.leader.rebalance.enable=false\n"                               \
	"controller.socket.timeout.ms=300000\n"                              \
	"replica.socket.timeout.ms=300000\n"                                 \
	"request.timeout.ms=300000\n"

/* Brokers by what they are in the script. */
struct cast {
	struct house *house;
	struct ledger *ledger;
	int controller; /* at first; it hosts nothing */
	int leader;
	int follower;
	int third;
	int32_t next; /* the next value */
};

/* --- looking -------------------------------------------------------------- */

static void
look(struct house *b)
{
	const struct cast *c = b->script;

	ledger_look(c->ledger);
}

/* The partition's state as ZooKeeper has it; false: none. */
static bool
state_of(struct house *b, const char *topic, int *leader, int *isr_count)
{
	struct znode_state state;
	struct arena arena;
	int32_t version;
	bool there;

	arena_init(&arena, 0);
	there = replay_state(b->world, topic, 0, &arena, &state, &version);
	*leader = there ? state.leader : -1;
	*isr_count = there ? state.isr_count : 0;
	arena_fini(&arena);
	return (there);
}

static void
await_state(struct house *b, const char *topic, int leader, int isr_count)
{
	int now, count;

	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 50) {
		if (state_of(b, topic, &now, &count) && now == leader &&
		    count == isr_count)
			return;
		house_run(b, 50);
	}
	replay_fault(b->world, "%s is led by b%d, isr %d; not b%d, %d", topic,
	    now, count, leader, isr_count);
}

/* As the broker itself has it. */
static bool
view_of(struct house *b, int id, const char *topic, struct replica_view *view)
{
	struct replicas *replicas = b->at[id].broker->replicas;
	struct replica *replica = replicas == NULL ? NULL :
	    replicas_find(replicas, slice_of_text(topic), 0);

	if (replica == NULL)
		return (false);
	replica_view(replica, view);
	replica_unref(replica);
	return (true);
}

/* The broker was told of that leader, in a later epoch than this; its epoch. */
static int32_t
await_told(struct house *b, int id, const char *topic, int leader,
    int32_t after)
{
	struct replica_view view;

	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (view_of(b, id, topic, &view) && view.leader == leader &&
		    view.leader_epoch > after)
			return (view.leader_epoch);
		house_run(b, 5);
	}
	replay_fault(b->world, "b%d was not told that b%d leads %s", id,
	    leader, topic);
	return (after);
}

static void
await_held(struct house *b)
{
	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (fabric_holds(b->world->fabric))
			return;
		house_run(b, 5);
	}
	replay_fault(b->world, "nothing was held");
}

/* --- doing ---------------------------------------------------------------- */

static void
hold(struct house *b, int client, int server, int api_key,
    enum fabric_part part)
{
	char from[8], to[8];

	(void)snprintf(from, sizeof(from), "b%d", client);
	(void)snprintf(to, sizeof(to), "b%d", server);
	fabric_hold(b->world->fabric, from, to, api_key, part);
}

static void
cut(struct house *b, int one, int other, bool cut)
{
	char from[8], to[8];

	(void)snprintf(from, sizeof(from), "b%d", one);
	(void)snprintf(to, sizeof(to), "b%d", other);
	fabric_cut(b->world->fabric, from, to, cut);
}

/* As a tool makes it. */
static void
put_topic(struct house *b, const char *topic, int32_t *replicas, int32_t count)
{
	struct znode_assignment one = { .replicas = replicas,
		.replica_count = count };
	struct znode_topic node = { .partitions = &one, .partition_count = 1,
		.id = uuid_random(&b->world->random) };
	struct buffer json = BUFFER_EMPTY;
	char path[64];

	(void)snprintf(path, sizeof(path), "/config/topics/%s", topic);
	zk_fake_put(b->world->fake, path,
	    SLICE_LITERAL("{\"version\":1,\"config\":{}}"));
	(void)snprintf(path, sizeof(path), "/brokers/topics/%s", topic);
	znode_topic_encode(&node, &json);
	zk_fake_put(b->world->fake, path, buffer_slice(&json));
	buffer_fini(&json);
	await_state(b, topic, replicas[0], count);
}

static void
produce(struct cast *c, int id, int count, int16_t acks)
{
	for (int i = 0; i < count; i++)
		must(c->house, "produce", house_produce_acks(c->house, id,
		    "t0", 0, c->next++, acks), ERR_NONE);
}

/* Takes the seat away until this one has it, or, of 0, any but the first and
 * `but`; who. */
static int
move_seat(struct cast *c, int to, int but)
{
	struct house *b = c->house;
	int now = house_controller(b);

	for (int tries = 0; tries < 200; tries++) {
		if (now != 0 && now != c->controller && now != but &&
		    (to == 0 || now == to))
			return (now);
		zk_fake_delete(b->world->fake, ZNODE_CONTROLLER);
		house_run(b, 300 + some_ms(b, 200));
		now = house_controller(b);
	}
	replay_fault(b->world, "b%d did not become controller", to);
	return (now);
}

/* ElectLeaders, of the first replica. */
static void
elect_preferred(struct house *b, int controller, const char *topic)
{
	struct elect_leaders_request request;
	struct elect_leaders_response response;
	int32_t number = 0;
	struct elect_leaders_request_topic_partition asked = {
		.topic = slice_of_text(topic), .partitions = &number,
		.partitions_count = 1 };
	struct asking a = { .id = controller, .api_key = API_ELECT_LEADERS,
		.version = 2, .request = &request, .response = &response };

	wire_init(&message_elect_leaders_request, &request);
	request.topic_partitions = &asked;
	request.topic_partitions_count = 1;
	request.timeout_ms = 10000;
	if (!house_ask(b, &a) || response.replica_election_results_count != 1)
		replay_fault(b->world, "no answer to ElectLeaders");
	else
		must(b, "elect", response.replica_election_results[0].
		    partition_result[0].error_code, ERR_NONE);
	asking_fini(&a);
}

static bool
hosts(struct house *b, int id, const char *topic)
{
	struct replica_view view;

	return (view_of(b, id, topic, &view));
}

/* By right: nothing of it is for good. */
static void
doom_t0(struct house *b)
{
	b->on_step = NULL;
	zk_fake_put(b->world->fake, "/admin/delete_topics/t0", SLICE_NULL);
}

static void
await_gone(struct house *b)
{
	for (int i = 0; i < 600 && replay_topic(b->world, "t0", NULL); i++)
		house_run(b, 100);
	must(b, "there", replay_topic(b->world, "t0", NULL), false);
	b->on_step = look;
}

/* --- begin and end -------------------------------------------------------- */

/* The controller does give up what is held, and sends it again. */
static void
hasten(struct house *b, bool same)
{
	for (int id = 1; same && id <= (int)b->count; id++)
		b->more[id] = "auto.leader.rebalance.enable=false\n"
		    "controller.socket.timeout.ms=2000\n";
}

/* Four brokers, of which the controller hosts nothing. */
static void
begin(struct cast *c, struct house *b)
{
	*c = (struct cast){ .house = b };
	for (int id = 1; id <= (int)b->count; id++)
		b->more[id] = b->more[id] == NULL ? OPTIONS : b->more[id];
	house_start_all(b);
	house_run(b, 1000);
	c->controller = house_controller(b);
	c->leader = c->controller % 4 + 1;
	c->follower = c->leader % 4 + 1;
	c->third = c->follower % 4 + 1;
	c->ledger = ledger_new(b, "t0", VALUES_MAX);
	b->script = c;
	b->on_step = look;
}

/* All is well again: who leads t0 has all in sync, they take what is written,
 * nobody believes another leader, and what was acknowledged is there. */
static void
end(struct cast *c, int leader, int isr_count)
{
	struct house *b = c->house;
	int64_t before;

	fabric_let_go(b->world->fabric);
	house_run(b, 1000);
	await_state(b, "t0", leader, isr_count);
	before = ledger_known(c->ledger);
	produce(c, leader, 3, -1);
	house_run(b, 1000);
	must(b, "kept", (int)(ledger_known(c->ledger) - before), 3);
	for (int id = 1; id <= (int)b->count; id++)
		if (house_live(b, id))
			must(b, "leader", house_leader(b, id, "t0", 0),
			    leader);
	await_state(b, "t0", leader, isr_count);
	b->on_step = NULL;
	b->script = NULL;
	ledger_free(&c->ledger);
}

/* --- an answer to AlterPartition ------------------------------------------ */

/*
 * The leader has who lags taken out; that is written, but the answer stays on
 * its way.  Another controller raises the epoch, as a member dies; only then
 * comes the answer: it tells nothing any more, and who lagged is taken in
 * again.  Or no epoch was raised: then it tells what is so.
 */
static void
script_alter(struct house *b)
{
	bool raised = b->world->seed % 3 > 0;
	struct cast c;
	int32_t epoch;

	for (int id = 1; id <= (int)b->count; id++)
		b->more[id] = OPTIONS "replica.lag.time.max.ms=3000\n";
	begin(&c, b);
	put_topic(b, "t0", (int32_t[]){ c.leader, c.follower, c.third }, 3);
	epoch = await_told(b, c.leader, "t0", c.leader, -1);
	produce(&c, c.leader, 3, -1);
	hold(b, c.leader, c.controller, API_ALTER_PARTITION, FABRIC_ANSWER);
	cut(b, c.leader, c.follower, true);
	/* Only who lacks something lags. */
	produce(&c, c.leader, 1, 1);
	await_held(b);
	await_state(b, "t0", c.leader, 2);
	cut(b, c.leader, c.follower, false);
	(void)move_seat(&c, c.follower, 0);
	if (raised) {
		house_kill(b, c.third);
		(void)await_told(b, c.leader, "t0", c.leader, epoch);
		await_state(b, "t0", c.leader, 1);
		produce(&c, c.leader, 1, -1);
	}
	house_run(b, some_ms(b, 1000));
	must(b, "held", fabric_holds(b->world->fabric), true);
	fabric_let_go(b->world->fabric);
	if (raised) {
		await_state(b, "t0", c.leader, 2);
		produce(&c, c.leader, 1, -1);
		house_start(b, c.third);
		(void)house_await(b, c.third, BROKER_RUNNING);
	}
	end(&c, c.leader, 3);
}

/* --- StopReplica ---------------------------------------------------------- */

/* What one controller sent comes when another, or the same one, which has sent
 * it again, has deleted the topic, and one of that name was made and written
 * to: nothing of that goes. */
static void
stop_late(struct house *b, bool same)
{
	int32_t replicas[2];
	struct cast c;
	int told;

	hasten(b, same);
	begin(&c, b);
	replicas[0] = c.leader;
	replicas[1] = c.follower;
	told = replicas[b->world->seed % 2];
	put_topic(b, "t0", replicas, 2);
	house_run(b, 1000);
	hold(b, c.controller, told, API_STOP_REPLICA, FABRIC_REQUEST);
	doom_t0(b);
	await_held(b);
	if (!same)
		(void)move_seat(&c, 0, 0);
	await_gone(b);
	put_topic(b, "t0", replicas, 2);
	produce(&c, c.leader, 5, -1);
	house_run(b, some_ms(b, 1000));
	must(b, "held", fabric_holds(b->world->fabric), true);
	fabric_let_go(b->world->fabric);
	house_run(b, 1000);
	end(&c, c.leader, 2);
	must(b, "read", house_read(b, c.leader, "t0", 0), c.next);
}

static void
script_stop(struct house *b)
{
	stop_late(b, false);
}

static void
script_stop_again(struct house *b)
{
	stop_late(b, true);
}

/* --- LeaderAndIsr and UpdateMetadata -------------------------------------- */

/* "You lead", or who leads, of an older controller, or the first try of the
 * same one that has sent it again since: it comes when another leads. */
static void
order_late(struct house *b, int api_key, bool same)
{
	struct cast c;
	int32_t epoch;
	int seat;

	hasten(b, same);
	begin(&c, b);
	put_topic(b, "t0", (int32_t[]){ c.leader, c.follower, c.third }, 3);
	epoch = await_told(b, c.follower, "t0", c.leader, -1);
	produce(&c, c.leader, 3, -1);
	house_run(b, 1000);
	hold(b, c.controller, c.follower, api_key, FABRIC_REQUEST);
	house_stop(b, c.leader);
	await_held(b);
	seat = same ? c.controller : move_seat(&c, 0, 0);
	epoch = await_told(b, c.follower, "t0", c.follower, epoch);
	produce(&c, c.follower, 1 + (int)some_ms(b, 3), -1);
	house_start(b, c.leader);
	(void)house_await(b, c.leader, BROKER_RUNNING);
	await_state(b, "t0", c.follower, 3);
	elect_preferred(b, seat, "t0");
	epoch = await_told(b, c.follower, "t0", c.leader, epoch);
	produce(&c, c.leader, 1 + (int)some_ms(b, 3), -1);
	must(b, "held", fabric_holds(b->world->fabric), true);
	fabric_let_go(b->world->fabric);
	produce(&c, c.leader, 1 + (int)some_ms(b, 3), -1);
	must(b, "epoch", await_told(b, c.follower, "t0", c.leader, epoch - 1),
	    epoch);
	end(&c, c.leader, 3);
}

/* Or it comes when the topic is gone: nobody gets a log of it. */
static void
order_of_gone(struct house *b)
{
	struct cast c;

	begin(&c, b);
	hold(b, c.controller, c.follower, API_LEADER_AND_ISR, FABRIC_REQUEST);
	put_topic(b, "t0", (int32_t[]){ c.leader, c.follower, c.third }, 3);
	await_held(b);
	(void)move_seat(&c, 0, 0);
	(void)await_told(b, c.follower, "t0", c.leader, -1);
	doom_t0(b);
	await_gone(b);
	must(b, "hosts", hosts(b, c.follower, "t0"), false);
	must(b, "held", fabric_holds(b->world->fabric), true);
	fabric_let_go(b->world->fabric);
	house_run(b, 1000);
	must(b, "hosts", hosts(b, c.follower, "t0"), false);
	put_topic(b, "t0", (int32_t[]){ c.leader, c.third }, 2);
	end(&c, c.leader, 2);
	must(b, "hosts", hosts(b, c.follower, "t0"), false);
}

static void
script_order(struct house *b)
{
	if (b->world->seed % 2 == 0)
		order_of_gone(b);
	else
		order_late(b, API_LEADER_AND_ISR, false);
}

static void
script_order_again(struct house *b)
{
	order_late(b, API_LEADER_AND_ISR, true);
}

static void
script_metadata(struct house *b)
{
	order_late(b, API_UPDATE_METADATA, false);
}

static void
script_metadata_again(struct house *b)
{
	order_late(b, API_UPDATE_METADATA, true);
}

const struct brokers_script reordered_scripts[] = {
	{ 401, "reordered-alter", 4, script_alter, 0 },
	{ 402, "reordered-stop", 4, script_stop, 0 },
	{ 403, "reordered-order", 4, script_order, 0 },
	{ 404, "reordered-again", 4, script_order_again, 0 },
	{ 405, "reordered-metadata", 4, script_metadata, 0 },
	{ 406, "reordered-stop-again", 4, script_stop_again, 0 },
	{ 423, "reordered-metadata-again", 4, script_metadata_again, 0 },
	{ 0 },
};
