/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts of test_control: topics made, deleted, grown; what configs allow. */
#include <stdio.h>

#include "base/mem.h"
#include "tests/replay/scripts.h"

/* --- 1: creation ---------------------------------------------------------- */

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

/* So many states are written at once, by multis of 50; then brokers hear. */
#define FLIGHT_WRITES 20
#define MANY_PARTITIONS 1060

/* No later write of a state gets out. */
static void
cut_after_flight(struct replay *r, int id, const struct zk_op *op)
{
	int *writes = r->script;

	if (is_state_write(op) && (*writes)++ == FLIGHT_WRITES)
		zk_fake_cut(r->fake, replay_driver(r, id), true);
}

/* How many of t0's first partitions have a replica that knows its leader. */
static int32_t
count_told(struct replay *r, int32_t partitions)
{
	int32_t told = 0;

	for (int32_t p = 0; p < partitions; p++) {
		char key[32];
		bool known = false;

		snprintf(key, sizeof(key), "t0/%d", (int)p);
		for (size_t id = 1; id <= r->plane_count; id++)
			known = known || hash_find(&r->replicas[id], key,
			    strlen(key)) != NULL;
		told += known;
	}
	return (told);
}

/* What is written is told, though the rest cannot be written just now. */
static void
script_creation_many(struct replay *r)
{
	int writes = 0, active;

	replay_run(r, 3000);
	r->script = &writes;
	r->on_write = cut_after_flight;
	while (!replay_create_topic(r, "t0", MANY_PARTITIONS, 2))
		replay_run(r, 500);
	active = replay_active(r);
	replay_run(r, 2000);
	r->on_write = NULL;
	if (writes <= FLIGHT_WRITES ||
	    count_told(r, MANY_PARTITIONS) != 50 * FLIGHT_WRITES)
		replay_fault(r, "%d partitions are told after %d writes",
		    (int)count_told(r, MANY_PARTITIONS), writes);
	/* It comes back, or another goes on. */
	if (random_below(&r->random, 2) == 0)
		zk_fake_cut(r->fake, replay_driver(r, active), false);
	else
		replay_kill(r, active);
	replay_run(r, SETTLE_MS);
	if (count_told(r, MANY_PARTITIONS) != MANY_PARTITIONS)
		replay_fault(r, "only %d partitions are told in the end",
		    (int)count_told(r, MANY_PARTITIONS));
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

/* --- 2: deletion ---------------------------------------------------------- */

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
		.version = 6 })) {
		if (response.responses_count != 1)
			replay_fault(r, "an answer does not name %s", topic);
		else
			error = response.responses[0].error_code;
	}
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

#define OLD_NOTICE ZNODE_ISR_CHANGES "/isr_change_0000000000"

/* A new controller deletes old notices when it has listed the marks, and has
 * not looked at the list yet. */
static void
mark_unlisted(struct replay *r, int id, const struct zk_op *op)
{
	(void)id;
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (strcmp(op->parts[i].path, OLD_NOTICE) == 0)
			mark(r, "t0");
}

static void
script_deletion_unlisted(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	r->on_write = mark_unlisted;
	zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	zk_fake_put(r->fake, OLD_NOTICE, SLICE_NULL);
	replay_run(r, SETTLE_MS);
	r->on_write = NULL;
	check_gone(r, "t0");
	mark(r, "t1");
	replay_run(r, SETTLE_MS);
	check_gone(r, "t1");
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

static void
cut_itself(struct replay *r, int id, bool cut)
{
	char name[8];

	snprintf(name, sizeof(name), "b%d", id);
	fabric_cut(r->fabric, name, name, cut);
}

/* By who has just become controller, whose own broker was not told yet. */
static void
script_deletion_early(struct replay *r)
{
	replay_run(r, 3000);
	make_topics(r, 2);
	replay_run(r, 2000);
	for (int id = 1; id <= (int)r->plane_count; id++) {
		replay_kill_bounced(r, id);
		cut_itself(r, id, true);
	}
	revive_all(r);
	while (replay_active(r) == 0)
		replay_run(r, 1);
	if (delete_topic(r, "t0") == ERR_UNKNOWN_TOPIC_OR_PARTITION)
		replay_fault(r, "t0 is not known yet");
	for (int id = 1; id <= (int)r->plane_count; id++)
		cut_itself(r, id, false);
	replay_run(r, SETTLE_MS);
	check_gone(r, "t0");
	replay_check(r);
}

/* --- 3: more partitions --------------------------------------------------- */

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
		    .version = 3 })) {
		error = 0;
		if (response.results_count != request.topics_count)
			replay_fault(r, "an answer does not name %s", topic);
	}
	for (int32_t i = 0; error == 0 && i < response.results_count; i++)
		error = response.results[i].error_code;
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

/* --- 4: what a topic's config allows -------------------------------------- */

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
	put_config(r, UNCLEAN, random_below(&r->random, 2) == 0 ?
	    NULL : "true");
	say_config_changed(r);
	must_lead(r, other);
	replay_run(r, SETTLE_MS);
}

/* What ZooKeeper does not let anybody read allows nothing, and costs nobody
 * else a controller. */
static void
script_unclean_forbidden(struct replay *r)
{
	struct znode_state state = { .leader = -1 };
	struct arena arena;
	int32_t version;
	int other;

	arena_init(&arena, 0);
	zk_fake_forbid(r->fake, "/config/topics/t0");
	other = make_unclean(r, "true");
	must_lead(r, -1);
	put_topic(r, "t1", other, other % 3 + 1);
	for (int i = 0; i < 50; i++) {
		replay_run(r, 100);
		if (replay_active(r) == 0)
			replay_fault(r, "the controller resigned");
	}
	must_lead(r, -1);
	if (!replay_state(r, "t1", 0, &arena, &state, &version) ||
	    state.leader < 1)
		replay_fault(r, "t1/0 has no leader");
	arena_fini(&arena);
	zk_fake_forbid(r->fake, NULL);
	say_config_changed(r);
	must_lead(r, other);
	replay_run(r, SETTLE_MS);
}

/* --- 5: leaders that are asked for ---------------------------------------- */

/* t0's ISR and leader, as an old leader writes them. */
static void
put_state(struct replay *r, int leader, int first, int second)
{
	struct znode_state state;
	struct buffer json = BUFFER_EMPTY;
	struct arena arena;
	int32_t version;

	arena_init(&arena, 0);
	if (!replay_state(r, "t0", 0, &arena, &state, &version))
		replay_fault(r, "t0/0 has no state");
	state.leader = leader;
	state.isr = (int32_t[]){ first, second };
	state.isr_count = 2;
	znode_state_encode(&state, &json);
	zk_fake_put(r->fake, znode_state_path(&arena, "t0", 0),
	    buffer_slice(&json));
	buffer_fini(&json);
	arena_fini(&arena);
}

/* t0, on one broker that came back and one that led meanwhile. */
static void
make_displaced(struct replay *r, int *first, int *second)
{
	replay_run(r, 3000);
	while (replay_active(r) == 0)
		replay_run(r, 500);
	*first = some_plane(r, replay_active(r));
	*second = 6 - replay_active(r) - *first;
	put_topic(r, "t0", *first, *second);
	replay_run(r, 1000);
	replay_kill_bounced(r, *first);
	replay_run(r, 1000);
	must_lead(r, *second);
	replay_start(r, *first);
	replay_run(r, 2000);
	if (elect(r, "t0", 0) != ERR_PREFERRED_LEADER_NOT_AVAILABLE)
		replay_fault(r, "who is not in sync was elected");
	must_lead(r, *second);
	put_state(r, *second, *second, *first);
}

/* Answers to writes are lost, the controller dies, or is cut off, or not. */
static void
disturb(struct replay *r, int id, const struct zk_op *op)
{
	int *how = r->script;

	if (!is_state_write(op) || *how == 0)
		return;
	if (*how == 1)
		zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
	else if (*how == 2)
		replay_kill(r, id);
	else
		zk_fake_cut(r->fake, replay_driver(r, id), true);
	*how = 0;
}

static void
script_preferred(struct replay *r)
{
	int first, second, error, how = (int)random_below(&r->random, 4);
	bool quiet = how < 2;

	make_displaced(r, &first, &second);
	r->script = &how;
	r->on_write = disturb;
	error = elect(r, "t0", 0);
	r->on_write = NULL;
	if (quiet ? error != ERR_NONE :
	    error != ERR_NOT_CONTROLLER && error != ERR_REQUEST_TIMED_OUT &&
	    error != -1)
		replay_fault(r, "the answer is %d", error);
	for (int id = 1; id <= (int)r->plane_count; id++)
		if (replay_lives(r, id))
			zk_fake_cut(r->fake, replay_driver(r, id), false);
	revive_all(r);
	replay_run(r, SETTLE_MS);
	if (quiet)
		must_lead(r, first);
	/* By whoever is controller now. */
	error = elect(r, "t0", 0);
	if (error != ERR_NONE && error != ERR_ELECTION_NOT_NEEDED)
		replay_fault(r, "the second answer is %d", error);
	must_lead(r, first);
	if (elect(r, "t0", 0) != ERR_ELECTION_NOT_NEEDED)
		replay_fault(r, "elected again");
	replay_run(r, SETTLE_MS);
}

static void
script_preferred_node(struct replay *r)
{
	int first, second;
	struct slice data;
	struct zk_stat stat;

	make_displaced(r, &first, &second);
	put(r, ZNODE_PREFERRED_ELECTION, "{\"version\":1,\"partitions\":["
	    "{\"topic\":\"t0\",\"partition\":0}]}");
	/* Or another controller finds it. */
	if (random_below(&r->random, 2) == 0)
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
	replay_run(r, SETTLE_MS);
	must_lead(r, first);
	if (zk_fake_get(r->fake, ZNODE_PREFERRED_ELECTION, &data, &stat))
		replay_fault(r, "the node was not deleted");
}

static void
script_unclean_asked(struct replay *r)
{
	int other = make_unclean(r, "false");

	must_lead(r, -1);
	if (elect(r, "t0", 0) != ERR_PREFERRED_LEADER_NOT_AVAILABLE)
		replay_fault(r, "a leader was preferred");
	if (elect(r, "t0", 1) != ERR_NONE)
		replay_fault(r, "nobody was elected");
	must_lead(r, other);
	if (elect(r, "t0", 1) != ERR_ELECTION_NOT_NEEDED)
		replay_fault(r, "elected again");
	/* What was asked for once is not wanted for ever. */
	replay_kill_bounced(r, other);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

const struct script topic_scripts[] = {
	{ 206, "creation-raced", script_creation_raced },
	{ 205, "creation-echo", script_creation_echo },
	{ 207, "creation-many", script_creation_many, 100 },
	{ 116, "deletion", script_deletion },
	{ 310, "deletion-halted", script_deletion_halted },
	{ 208, "deletion-lost", script_deletion_lost },
	{ 209, "deletion-echo", script_deletion_echo },
	{ 117, "deletion-repeated", script_deletion_repeated },
	{ 210, "deletion-unlisted", script_deletion_unlisted },
	{ 211, "deletion-anew", script_deletion_anew },
	{ 311, "deletion-early", script_deletion_early },
	{ 118, "partitions", script_partitions },
	{ 212, "partitions-raced", script_partitions_raced },
	{ 111, "partitions-znode", script_partitions_znode },
	{ 218, "unclean-topic", script_unclean_topic },
	{ 219, "unclean-refused", script_unclean_refused, 0,
	    "unclean.leader.election.enable=true\n" },
	{ 220, "unclean-forbidden", script_unclean_forbidden, 0,
	    "unclean.leader.election.enable=true\n" },
	{ 312, "preferred", script_preferred },
	{ 114, "preferred-node", script_preferred_node },
	{ 221, "unclean-asked", script_unclean_asked },
	{ 0 },
};
