/* SPDX-License-Identifier: Apache-2.0 */
/* ISRs that leaders ask for, over lost answers, other hands and changes of
 * controllers. */
#include "tests/replay/scripts.h"

#include <stdio.h>

#include "base/mem.h"
#include "controller/reassignment.h"

#define ASK_NS ((int64_t)10 * 1000 * 1000000)
/* A move waits no longer for who loses its replica. */
#define DROPPED_MS 35000

void
see(struct replay *r, struct seen *seen, const char *topic)
{
	arena_init(&seen->arena, 0);
	seen->topic = topic;
	if (!replay_state(r, topic, 0, &seen->arena, &seen->state,
	    &seen->version)) {
		replay_fault(r, "%s/0 has no state", topic);
		seen->state = (struct znode_state){ .leader = -1 };
	}
}

void
unsee(struct seen *seen)
{
	arena_fini(&seen->arena);
}

int
alter(struct replay *r, const struct seen *seen, const int32_t *isr,
    int32_t count, int64_t stale_by)
{
	struct alter_partition_request request;
	struct alter_partition_response response;
	struct alter_partition_request_topic topic = { 0 };
	struct alter_partition_request_partition partition = {
		.leader_epoch = seen->state.leader_epoch,
		.partition_epoch = seen->version };
	struct alter_partition_request_broker_state members[8];
	struct arena arena;
	int error = SILENCE;

	arena_init(&arena, 0);
	wire_init(&message_alter_partition_request, &request);
	wire_init(&message_alter_partition_response, &response);
	for (int32_t i = 0; i < count; i++)
		members[i] = (struct alter_partition_request_broker_state){
			.broker_id = isr[i], .broker_epoch =
			    replay_broker_epoch(r, isr[i]) - stale_by };
	replay_topic(r, seen->topic, &topic.topic_id);
	partition.new_isr_with_epochs = members;
	partition.new_isr_with_epochs_count = count;
	topic.partitions = &partition;
	topic.partitions_count = 1;
	request.topics = &topic;
	request.topics_count = 1;
	request.broker_id = seen->state.leader;
	request.broker_epoch = replay_broker_epoch(r, seen->state.leader);
	if (replay_ask(r, controller_alter_partition,
	    &(struct controller_call){ .arena = &arena, .request = &request,
		.response = &response, .version = 3,
		.deadline_ns = r->clock.now_ns + ASK_NS })) {
		error = response.error_code;
		if (error == ERR_NONE && response.topics_count != 1)
			replay_fault(r, "the answer has no row");
		else if (error == ERR_NONE)
			error = response.topics[0].partitions[0].error_code;
	}
	arena_fini(&arena);
	return (error);
}

/* Asks as a leader does, until it has it or is told never to ask again. */
static int
alter_until_told(struct replay *r, const struct seen *seen, const int32_t *isr,
    int32_t count)
{
	int error = SILENCE;

	for (int tries = 0; tries < 240 && (error == SILENCE ||
	    error == ERR_NOT_CONTROLLER); tries++) {
		if (tries > 0)
			replay_run(r, 100);
		error = alter(r, seen, isr, count, 0);
	}
	return (error);
}

/* t1 of three replicas, on all planes. */
static void
make_replicas(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
}

static void
must_have(struct replay *r, int32_t version, int32_t isr_count)
{
	struct seen seen;

	see(r, &seen, "t1");
	if (seen.version != version || seen.state.isr_count != isr_count)
		replay_fault(r, "t1/0 has version %d isr %d, not %d %d",
		    (int)seen.version, (int)seen.state.isr_count,
		    (int)version, (int)isr_count);
	unsee(&seen);
}

/* --- answers that are lost ------------------------------------------------ */

static void
lose_some(struct replay *r, int id, const struct zk_op *op)
{
	int *left = r->script;

	if (!is_state_write(op) || *left == 0)
		return;
	(*left)--;
	zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
}

static void
script_alter_lost(struct replay *r)
{
	int left = 1 + (int)random_below(&r->random, 2);
	struct seen before;
	int32_t all[] = { 1, 2, 3 };

	make_replicas(r);
	r->script = &left;
	r->on_write = lose_some;
	see(r, &before, "t1");
	if (alter_until_told(r, &before, &before.state.leader, 1) != ERR_NONE)
		replay_fault(r, "the ISR was not shrunk");
	if (left != 0)
		replay_fault(r, "no answer was lost");
	r->on_write = NULL;
	must_have(r, before.version + 1, 1);
	/* The leader's answer was lost: it asks the same again. */
	if (alter_until_told(r, &before, &before.state.leader, 1) != ERR_NONE)
		replay_fault(r, "what is so already was refused");
	must_have(r, before.version + 1, 1);
	if (alter_until_told(r, &before, all, 3) != ERR_INVALID_UPDATE_VERSION)
		replay_fault(r, "an old version was taken");
	before.version++;
	if (alter(r, &before, all, 3, 1) != ERR_INELIGIBLE_REPLICA)
		replay_fault(r, "another registration's epoch was taken");
	if (alter_until_told(r, &before, all, 3) != ERR_NONE)
		replay_fault(r, "the ISR was not expanded");
	must_have(r, before.version + 1, 3);
	unsee(&before);
	replay_run(r, SETTLE_MS);
}

/* --- controllers that are none any more ----------------------------------- */

static void
cut_writer(struct replay *r, int id, const struct zk_op *op)
{
	int *cut = r->script;

	if (*cut != 0 || !is_state_write(op))
		return;
	*cut = id;
	zk_fake_cut(r->fake, replay_driver(r, id), true);
}

/* The write is under way when another is elected: it gets nowhere, and the
 * leader, who asks the new one, gets what is so. */
static void
script_alter_stale(struct replay *r)
{
	struct seen before;
	int cut = 0, error;

	make_replicas(r);
	see(r, &before, "t1");
	r->script = &cut;
	r->on_write = cut_writer;
	error = alter(r, &before, &before.state.leader, 1, 0);
	if (error != ERR_NOT_CONTROLLER && error != ERR_REQUEST_TIMED_OUT)
		replay_fault(r, "a controller that is cut off said %d", error);
	r->on_write = NULL;
	if (cut == 0)
		replay_fault(r, "nothing was written");
	zk_fake_cut(r->fake, replay_driver(r, cut), false);
	replay_run(r, SETTLE_MS);
	unsee(&before);
	see(r, &before, "t1");
	if (alter_until_told(r, &before, &before.state.leader, 1) != ERR_NONE)
		replay_fault(r, "the ISR was not shrunk");
	must_have(r, before.version + (before.state.isr_count > 1), 1);
	unsee(&before);
	replay_run(r, SETTLE_MS);
}

/* --- another's hand ------------------------------------------------------- */

/* As an old leader, or a tool, writes it: the version moves. */
static void
overtake(struct replay *r, int id, const struct zk_op *op)
{
	struct seen *seen = r->script;
	struct buffer json = BUFFER_EMPTY;
	struct arena arena;

	(void)id;
	if (!is_state_write(op))
		return;
	r->on_write = NULL;
	arena_init(&arena, 0);
	znode_state_encode(&seen->state, &json);
	zk_fake_put(r->fake, znode_state_path(&arena, "t1", 0),
	    buffer_slice(&json));
	buffer_fini(&json);
	arena_fini(&arena);
}

static void
script_alter_conflict(struct replay *r)
{
	struct seen before;
	int32_t other;

	make_replicas(r);
	see(r, &before, "t1");
	other = before.state.leader % 3 + 1;
	before.state.isr = (int32_t[]){ before.state.leader, other };
	before.state.isr_count = 2;
	r->script = &before;
	r->on_write = overtake;
	if (alter(r, &before, &before.state.leader, 1, 0) !=
	    ERR_INVALID_UPDATE_VERSION)
		replay_fault(r, "another's state was written over");
	must_have(r, before.version + 1, 2);
	before.version++;
	if (alter_until_told(r, &before, &before.state.leader, 1) != ERR_NONE)
		replay_fault(r, "the ISR was not shrunk");
	must_have(r, before.version + 1, 1);
	unsee(&before);
	replay_run(r, SETTLE_MS);
}

/* --- a replica that has a log again --------------------------------------- */

/* Told to lead it had none (its disk is a new one), told to follow it made one:
 * it may be in sync again, without registering anew. */
static void
script_log_back(struct replay *r)
{
	struct buffer json = BUFFER_EMPTY;
	struct seen seen;
	int lost, other;

	make_replicas(r);
	see(r, &seen, "t1");
	lost = seen.state.leader;
	unsee(&seen);
	replay_break_replica(r, lost, "t1", 0, true);
	znode_log_dir_event_encode(lost, &json);
	zk_fake_put(r->fake, ZNODE_LOG_DIR_EVENTS "/log_dir_event_0000000001",
	    buffer_slice(&json));
	buffer_fini(&json);
	replay_run(r, 3000);
	see(r, &seen, "t1");
	if (seen.state.leader == lost)
		replay_fault(r, "b%d leads what it has not", lost);
	other = 6 - lost - seen.state.leader;
	if (alter(r, &seen, (int32_t[]){ 1, 2, 3 }, 3, 0) !=
	    ERR_INELIGIBLE_REPLICA)
		replay_fault(r, "who has no log was taken");
	unsee(&seen);
	replay_break_replica(r, lost, "t1", 0, false);
	/* All are told of another epoch. */
	replay_kill_bounced(r, other);
	replay_run(r, 12000);
	replay_start(r, other);
	replay_run(r, 3000);
	see(r, &seen, "t1");
	if (alter_until_told(r, &seen, (int32_t[]){ 1, 2, 3 }, 3) != ERR_NONE)
		replay_fault(r, "who has a log again was not taken");
	unsee(&seen);
	replay_run(r, SETTLE_MS);
}

/* --- replicas that move --------------------------------------------------- */

/* t0/0, of replicas `old`, is to have `new` instead; what they have in common
 * is first in neither. */
struct way {
	int32_t old[2];
	int32_t new[2];
};

static bool
node_of(struct replay *r, struct arena *arena, struct znode_topic *node)
{
	struct uuid id;

	return (topic_id(r, znode_topic_path(arena, "t0"), &id, node, arena));
}

static void
find_way(struct replay *r, struct way *way)
{
	struct znode_topic node;
	struct arena arena;

	arena_init(&arena, 0);
	replay_run(r, 3000);
	make_topics(r, 1);
	replay_run(r, 2000);
	if (node_of(r, &arena, &node))
		memcpy(way->old, node.partitions[0].replicas,
		    sizeof(way->old));
	else
		replay_fault(r, "t0 has no node");
	way->new[0] = 6 - way->old[0] - way->old[1];
	way->new[1] = way->old[1];
	arena_fini(&arena);
}

/* AlterPartitionReassignments of t0/0, or called off; the error. */
static int
move_to(struct replay *r, int32_t *target, int32_t count)
{
	struct alter_partition_reassignments_request request;
	struct alter_partition_reassignments_response response;
	struct alter_partition_reassignments_request_partition partition = {
		.replicas = target, .replicas_count = count };
	struct alter_partition_reassignments_request_topic topic = {
		.name = SLICE_LITERAL("t0"), .partitions = &partition,
		.partitions_count = 1 };
	struct arena arena;
	int error = SILENCE;

	arena_init(&arena, 0);
	wire_init(&message_alter_partition_reassignments_request, &request);
	wire_init(&message_alter_partition_reassignments_response, &response);
	request.topics = &topic;
	request.topics_count = 1;
	if (replay_ask(r, controller_alter_reassignments,
	    &(struct controller_call){ .arena = &arena, .request = &request,
		.response = &response,
		.deadline_ns = r->clock.now_ns + ASK_NS }))
		error = response.error_code != ERR_NONE ? response.error_code :
		    response.responses[0].partitions[0].error_code;
	arena_fini(&arena);
	return (error);
}

static int
move_until_told(struct replay *r, int32_t *target, int32_t count)
{
	int error = SILENCE;

	for (int tries = 0; tries < 240 && (error == SILENCE ||
	    error == ERR_NOT_CONTROLLER || error == ERR_REQUEST_TIMED_OUT ||
	    error == ERR_UNKNOWN_SERVER_ERROR); tries++) {
		if (tries > 0)
			replay_run(r, 100);
		error = move_to(r, target, count);
	}
	return (error);
}

/* The leader has these in sync. */
static void
catch_up_those(struct replay *r, const int32_t *isr, int32_t count)
{
	int error = SILENCE;

	for (int tries = 0; tries < 240 && error != ERR_NONE; tries++) {
		struct seen seen;

		see(r, &seen, "t0");
		if (seen.state.leader > 0)
			error = alter(r, &seen, isr, count, 0);
		unsee(&seen);
		replay_run(r, 200);
	}
	if (error != ERR_NONE)
		replay_fault(r, "who caught up was not taken: %d", error);
}

/* The leader adds all who follow, as it would when they have caught up. */
static void
catch_up(struct replay *r)
{
	struct znode_topic node;
	struct arena arena;

	arena_init(&arena, 0);
	if (node_of(r, &arena, &node))
		catch_up_those(r, node.partitions[0].replicas,
		    node.partitions[0].replica_count);
	arena_fini(&arena);
}

static void
must_be_moved(struct replay *r, const int32_t *replicas)
{
	struct znode_assignment wanted = {
		.replicas = (int32_t[]){ replicas[0], replicas[1] },
		.replica_count = 2 };
	struct znode_topic node;
	struct arena arena;

	arena_init(&arena, 0);
	if (!node_of(r, &arena, &node) ||
	    !assignment_equal(&node.partitions[0], &wanted))
		replay_fault(r, "t0/0 is not on %d,%d", (int)replicas[0],
		    (int)replicas[1]);
	arena_fini(&arena);
}

static void
must_be_on(struct replay *r, const int32_t *replicas, int32_t gone)
{
	must_be_moved(r, replicas);
	if (hash_find(&r->replicas[gone], "t0/0", 4) != NULL)
		replay_fault(r, "b%d has t0/0 still", (int)gone);
}

static void
script_reassign(struct replay *r)
{
	uint64_t kind = random_below(&r->random, 3);
	struct way way;
	int left = kind == 2;

	find_way(r, &way);
	if (kind == 2) {
		r->script = &left;
		r->on_write = lose_some;
	}
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	/* Another controller goes on with it. */
	if (kind == 1) {
		replay_run(r, some_ms(r, 300));
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	}
	replay_run(r, 1000 + some_ms(r, 2000));
	if (kind == 2)
		left = 1;
	catch_up(r);
	if (kind == 1 && random_below(&r->random, 2) == 0)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, SETTLE_MS);
	r->on_write = NULL;
	must_be_on(r, way.new, way.old[0]);
}

static void
script_reassign_cancelled(struct replay *r)
{
	struct way way;

	find_way(r, &way);
	if (move_to(r, NULL, 0) != ERR_NO_REASSIGNMENT_IN_PROGRESS)
		replay_fault(r, "what does not move was called off");
	if (move_to(r, (int32_t[]){ 9 }, 1) != ERR_INVALID_REPLICA_ASSIGNMENT)
		replay_fault(r, "it moves to nobody");
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, some_ms(r, 1000));
	if (random_below(&r->random, 2) == 0)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	if (move_until_told(r, NULL, 0) != ERR_NONE)
		replay_fault(r, "the move was not called off");
	replay_run(r, SETTLE_MS);
	/* In the order in which the node had them meanwhile, as with Kafka. */
	must_be_on(r, (int32_t[]){ way.old[1], way.old[0] }, way.new[0]);
}

/* The controller, which is to be another one. */
static int
controller_but(struct replay *r, int32_t not)
{
	while (replay_active(r) == 0 || replay_active(r) == not) {
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, 3000);
	}
	return (replay_active(r));
}

/* Who was to come is dead: the move is called off, or goes elsewhere. */
static void
script_reassign_dead(struct replay *r)
{
	bool cancels = random_below(&r->random, 2) == 0;
	struct way way;

	find_way(r, &way);
	(void)controller_but(r, way.new[0]);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, some_ms(r, 1000));
	replay_kill(r, way.new[0]);
	replay_run(r, some_ms(r, 9000));
	if (move_until_told(r, cancels ? NULL : way.old, cancels ? 0 : 2) !=
	    ERR_NONE)
		replay_fault(r, "the move away from the dead was refused");
	replay_run(r, SETTLE_MS);
	if (cancels)
		must_be_moved(r, (int32_t[]){ way.old[1], way.old[0] });
	else
		must_be_moved(r, way.old);
	replay_start(r, way.new[0]);
	replay_run(r, SETTLE_MS);
	if (hash_find(&r->replicas[way.new[0]], "t0/0", 4) != NULL)
		replay_fault(r, "b%d has t0/0 still", (int)way.new[0]);
}

/* Who loses its replica is away when the move ends; told when it is back. */
static void
script_reassign_away(struct replay *r)
{
	struct way way;

	find_way(r, &way);
	(void)controller_but(r, way.old[0]);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, some_ms(r, 1000));
	replay_kill(r, way.old[0]);
	replay_run(r, some_ms(r, 9000));
	catch_up_those(r, way.new, 2);
	replay_run(r, SETTLE_MS);
	must_be_moved(r, way.new);
	replay_start(r, way.old[0]);
	replay_run(r, SETTLE_MS);
	must_be_on(r, way.new, way.old[0]);
}

/* Who is to go hears nothing of the controller, which dies then: the next one
 * tells it. */
static void
script_reassign_untold(struct replay *r)
{
	bool ends = random_below(&r->random, 2) == 0;
	struct way way;
	char from[8], to[8];
	int controller;
	int32_t goes;

	find_way(r, &way);
	goes = ends ? way.old[0] : way.new[0];
	controller = controller_but(r, goes);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, 1000);
	snprintf(from, sizeof(from), "b%d", controller);
	snprintf(to, sizeof(to), "b%d", (int)goes);
	fabric_cut(r->fabric, from, to, true);
	if (ends)
		catch_up(r);
	else if (move_until_told(r, NULL, 0) != ERR_NONE)
		replay_fault(r, "the move was not called off");
	replay_run(r, some_ms(r, 3000));
	replay_kill(r, controller);
	replay_run(r, 1000);
	fabric_cut(r->fabric, from, to, false);
	replay_run(r, SETTLE_MS);
	revive_all(r);
	replay_run(r, SETTLE_MS);
	/* Who was controller may have to catch up. */
	if (ends)
		catch_up_those(r, way.new, 2);
	replay_run(r, SETTLE_MS);
	if (ends)
		must_be_on(r, way.new, goes);
	else
		must_be_on(r, (int32_t[]){ way.old[1], way.old[0] }, goes);
}

/* Who is to go refuses to hear of it, for a while or for good, and is told when
 * it comes back at the latest. */
static void
script_reassign_refused(struct replay *r)
{
	bool yields = random_below(&r->random, 2) == 0;
	struct way way;

	find_way(r, &way);
	(void)controller_but(r, way.old[0]);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, 1000 + some_ms(r, 1000));
	r->refusals = yields ? 3 : 1000;
	catch_up(r);
	replay_run(r, yields ? SETTLE_MS : DROPPED_MS);
	must_be_moved(r, way.new);
	if (r->refusals == 0 && !yields)
		replay_fault(r, "it was asked without end");
	r->refusals = 0;
	if (!yields) {
		replay_kill_bounced(r, way.old[0]);
		replay_start(r, way.old[0]);
		replay_run(r, SETTLE_MS);
	}
	must_be_on(r, way.new, way.old[0]);
}

/* Who is to go is registered and silent: it is told when it hears again. */
static void
script_reassign_silent(struct replay *r)
{
	struct way way;
	char from[8], to[8];

	find_way(r, &way);
	snprintf(from, sizeof(from), "b%d", controller_but(r, way.old[0]));
	snprintf(to, sizeof(to), "b%d", (int)way.old[0]);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, 1000 + some_ms(r, 1000));
	fabric_cut(r->fabric, from, to, true);
	catch_up(r);
	replay_run(r, DROPPED_MS);
	must_be_moved(r, way.new);
	fabric_cut(r->fabric, from, to, false);
	replay_run(r, DROPPED_MS + SETTLE_MS);
	must_be_on(r, way.new, way.old[0]);
}

static void
count_writes(struct replay *r, int id, const struct zk_op *op)
{
	int *writes = r->script;

	(void)id;
	(void)op;
	(*writes)++;
}

static void
put_assignment(struct replay *r, const struct znode_assignment *a)
{
	struct buffer json = BUFFER_EMPTY;
	struct znode_topic node;
	struct arena arena;

	arena_init(&arena, 0);
	if (node_of(r, &arena, &node)) {
		node.partitions[0] = *a;
		znode_topic_encode(&node, &json);
		zk_fake_put(r->fake, znode_topic_path(&arena, "t0"),
		    buffer_slice(&json));
		buffer_fini(&json);
	}
	arena_fini(&arena);
}

/* Written over by hand, to where nobody is in sync: left alone, without end of
 * writes; put right, it goes on. */
static void
script_reassign_overwritten(struct replay *r)
{
	struct way way;
	int writes = 0;

	find_way(r, &way);
	if (move_until_told(r, way.new, 2) != ERR_NONE)
		replay_fault(r, "the move was refused");
	replay_run(r, 1000);
	put_assignment(r, &(struct znode_assignment){
	    .replicas = &way.new[0], .replica_count = 1 });
	replay_run(r, some_ms(r, 50));
	{
		struct seen seen;
		int32_t all[] = { way.old[0], way.old[1], way.new[0] };

		see(r, &seen, "t0");
		if (alter(r, &seen, all, 3, 0) != ERR_NONE)
			replay_fault(r, "who caught up was not taken");
		unsee(&seen);
	}
	replay_run(r, 1000);
	r->script = &writes;
	r->on_write = count_writes;
	replay_run(r, 10000);
	r->on_write = NULL;
	if (writes > 20)
		replay_fault(r, "%d writes of what cannot be done", writes);
	put_assignment(r, &(struct znode_assignment){
	    .replicas = (int32_t[]){ way.new[0], way.old[1], way.old[0] },
	    .replica_count = 3, .adding = &way.new[0], .adding_count = 1,
	    .removing = &way.old[0], .removing_count = 1 });
	replay_run(r, SETTLE_MS);
	must_be_on(r, way.new, way.old[0]);
}

/* As an old tool asks: also of what is not there, or cannot move. */
static void
script_reassign_node(struct replay *r)
{
	struct way way;
	char text[300];
	struct slice data;
	struct zk_stat stat;
	bool changes = random_below(&r->random, 2) == 0;

	find_way(r, &way);
	snprintf(text, sizeof(text), "{\"version\":1,\"partitions\":["
	    "{\"topic\":\"no\",\"partition\":0,\"replicas\":[1]},"
	    "{\"topic\":\"t0\",\"partition\":0,\"replicas\":[%d,%d]},"
	    "{\"topic\":\"t0\",\"partition\":1,\"replicas\":[9]}]}",
	    (int)way.new[0], (int)way.new[1]);
	put(r, ZNODE_REASSIGN_PARTITIONS, text);
	replay_run(r, some_ms(r, 1000));
	if (changes)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, 4000);
	snprintf(text, sizeof(text), "{\"version\":1,\"partitions\":["
	    "{\"topic\":\"t0\",\"partition\":0,\"replicas\":[%d,%d]}]}",
	    (int)way.new[0], (int)way.new[1]);
	if (!zk_fake_get(r->fake, ZNODE_REASSIGN_PARTITIONS, &data, &stat) ||
	    !slice_equal_text(data, text))
		replay_fault(r, "the node does not say what moves");
	catch_up(r);
	replay_run(r, SETTLE_MS);
	must_be_on(r, way.new, way.old[0]);
	if (zk_fake_get(r->fake, ZNODE_REASSIGN_PARTITIONS, &data, &stat))
		replay_fault(r, "the node is there still");
}

/* Its topic goes, and so it does not stand in the way of other moves. */
static void
script_reassign_node_doomed(struct replay *r)
{
	struct way way;
	char text[200];
	struct slice data;
	struct zk_stat stat;

	find_way(r, &way);
	snprintf(text, sizeof(text), "{\"version\":1,\"partitions\":["
	    "{\"topic\":\"t0\",\"partition\":0,\"replicas\":[%d,%d]}]}",
	    (int)way.new[0], (int)way.new[1]);
	put(r, ZNODE_REASSIGN_PARTITIONS, text);
	replay_run(r, 1000);
	if (!zk_fake_get(r->fake, ZNODE_REASSIGN_PARTITIONS, &data, &stat))
		replay_fault(r, "the node is gone before the move ends");
	mark(r, "t0");
	replay_run(r, SETTLE_MS);
	if (zk_fake_get(r->fake, ZNODE_REASSIGN_PARTITIONS, &data, &stat))
		replay_fault(r, "the node is there still");
}

/* It is in the middle of an event, and hears of ZooKeeper no more; its id. */
static int
stall_controller(struct replay *r)
{
	int cut = 0;

	r->script = &cut;
	r->on_write = cut_writer;
	(void)replay_create_topic(r, "other", 1, 2);
	for (int i = 0; i < 40 && cut == 0; i++)
		replay_run(r, 50);
	r->on_write = NULL;
	if (cut == 0)
		replay_fault(r, "nothing was written");
	return (cut);
}

static void
cut_all(struct replay *r, bool cut)
{
	for (int id = 1; id <= 3; id++)
		zk_fake_cut(r->fake, replay_driver(r, id), cut);
}

/* Asked meanwhile, it does nothing later, when ZooKeeper is back. */
static void
must_be_too_late(struct replay *r, int error)
{
	if (error != ERR_REQUEST_TIMED_OUT && error != ERR_NOT_CONTROLLER)
		replay_fault(r, "a controller without ZooKeeper said %d",
		    error);
	replay_run(r, SETTLE_MS);
}

static void
script_alter_timed_out(struct replay *r)
{
	struct seen before;
	int error;

	make_replicas(r);
	see(r, &before, "t1");
	(void)stall_controller(r);
	cut_all(r, true);
	error = alter(r, &before, &before.state.leader, 1, 0);
	cut_all(r, false);
	must_be_too_late(r, error);
	must_have(r, before.version, before.state.isr_count);
	unsee(&before);
}

static void
script_reassign_timed_out(struct replay *r)
{
	struct way way;
	struct znode_topic node;
	struct arena arena;
	int error;

	find_way(r, &way);
	(void)stall_controller(r);
	cut_all(r, true);
	error = move_to(r, way.new, 2);
	cut_all(r, false);
	must_be_too_late(r, error);
	arena_init(&arena, 0);
	if (!node_of(r, &arena, &node) ||
	    node.partitions[0].replicas[0] != way.old[0] ||
	    node.partitions[0].adding_count > 0)
		replay_fault(r, "t0/0 moves");
	arena_fini(&arena);
}

/* It asks to be let go, dies before the controller comes to that, and is back:
 * nobody asks its next life to go. */
static void
script_departure_bounced(struct replay *r)
{
	struct controlled_shutdown_request request;
	struct controlled_shutdown_response response;
	struct arena arena;
	struct seen seen;
	int leads, goes, cut;

	make_cluster(r);
	leads = replay_active(r);
	goes = some_plane(r, leads);
	put_topic(r, "t5", leads, goes);
	replay_run(r, 1000);
	cut = stall_controller(r);
	arena_init(&arena, 0);
	wire_init(&message_controlled_shutdown_request, &request);
	wire_init(&message_controlled_shutdown_response, &response);
	request.broker_id = goes;
	request.broker_epoch = random_below(&r->random, 2) == 0 ? -1 :
	    replay_broker_epoch(r, goes);
	(void)replay_begin_ask(r, controller_controlled_shutdown,
	    &(struct controller_call){ .arena = &arena, .version = 3,
		.request = &request, .response = &response });
	replay_run(r, 100);
	replay_kill_bounced(r, goes);
	replay_start(r, goes);
	replay_run(r, 1000);
	zk_fake_cut(r->fake, replay_driver(r, cut), false);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t5");
	if (alter_until_told(r, &seen, (int32_t[]){ leads, goes }, 2) !=
	    ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", goes);
	unsee(&seen);
	replay_run(r, 1000);
	arena_fini(&arena);
}

/* --- leaders that go back ------------------------------------------------- */

/* t1/0's preferred leader went, came back and caught up: who leads then. */
static int32_t
leader_after_return(struct replay *r, int32_t *preferred)
{
	struct seen seen;
	struct znode_topic node;
	struct uuid id;
	int32_t leader;

	make_replicas(r);
	see(r, &seen, "t1");
	*preferred = topic_id(r, znode_topic_path(&seen.arena, "t1"), &id,
	    &node, &seen.arena) ? node.partitions[0].replicas[0] : 1;
	unsee(&seen);
	replay_kill_bounced(r, *preferred);
	replay_run(r, 12000);
	replay_start(r, *preferred);
	replay_run(r, 12000);
	see(r, &seen, "t1");
	if (seen.state.leader == *preferred)
		replay_fault(r, "who is not in sync leads");
	if (alter_until_told(r, &seen, (int32_t[]){ 1, 2, 3 }, 3) != ERR_NONE)
		replay_fault(r, "who caught up was not taken");
	unsee(&seen);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t1");
	leader = seen.state.leader;
	unsee(&seen);
	return (leader);
}

static void
script_balance(struct replay *r)
{
	int32_t preferred;

	if (leader_after_return(r, &preferred) != preferred)
		replay_fault(r, "the preferred leader did not come back");
}

static void
script_balance_off(struct replay *r)
{
	int32_t preferred;

	if (leader_after_return(r, &preferred) == preferred)
		replay_fault(r, "a leader came back that nobody asked for");
}

const struct script alter_scripts[] = {
	{ 203, "alter-lost", script_alter_lost },
	{ 302, "alter-stale", script_alter_stale },
	{ 204, "alter-conflict", script_alter_conflict },
	{ 222, "log-back", script_log_back },
	{ 119, "reassign", script_reassign },
	{ 120, "reassign-cancelled", script_reassign_cancelled },
	{ 313, "reassign-dead", script_reassign_dead },
	{ 314, "reassign-away", script_reassign_away },
	{ 315, "reassign-untold", script_reassign_untold },
	{ 316, "reassign-refused", script_reassign_refused },
	{ 317, "reassign-silent", script_reassign_silent },
	{ 215, "reassign-overwritten", script_reassign_overwritten },
	{ 115, "reassign-node", script_reassign_node },
	{ 216, "reassign-node-doomed", script_reassign_node_doomed, 4 },
	{ 213, "alter-timed-out", script_alter_timed_out, 4,
	    "zookeeper.session.timeout.ms=18000\n" },
	{ 214, "reassign-timed-out", script_reassign_timed_out, 4,
	    "zookeeper.session.timeout.ms=18000\n" },
	{ 309, "departure-bounced", script_departure_bounced, 4 },
	{ 112, "balance", script_balance, 0,
	    "leader.imbalance.check.interval.seconds=10\n" },
	{ 113, "balance-off", script_balance_off, 0,
	    "leader.imbalance.check.interval.seconds=10\n"
	    "auto.leader.rebalance.enable=false\n" },
	{ 0 },
};
