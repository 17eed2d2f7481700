/* SPDX-License-Identifier: Apache-2.0 */
/* Members of groups: joins, syncs, heartbeats, leaving, sessions that end. */
#include "base/mem.h"
#include "member_rig.h"

/* --- rules ---------------------------------------------------------------- */

static void
test_room(void)
{
	struct join_room room = { .state = GROUP_EMPTY, .count = 9,
		.awaiting_join = 9, .max = 2 };

	CU_ASSERT(join_room_for(&room));
	room.state = GROUP_STABLE;
	CU_ASSERT(!join_room_for(&room));
	room.count = 1;
	CU_ASSERT(join_room_for(&room));
	room.count = 2;
	room.known = true;
	CU_ASSERT(join_room_for(&room));
	/* While it prepares, who waits counts, known or not. */
	room.state = GROUP_PREPARING_REBALANCE;
	room.awaiting_join = 2;
	CU_ASSERT(!join_room_for(&room));
	room.awaiting = true;
	CU_ASSERT(join_room_for(&room));
	room.known = room.awaiting = false;
	room.awaiting_join = 1;
	CU_ASSERT(join_room_for(&room));
}

static void
test_delays(void)
{
	struct join_delay delay = join_delay_first(3000, 10000);

	CU_ASSERT_EQUAL(delay.now_ms, 3000);
	CU_ASSERT_EQUAL(delay.left_ms, 7000);
	CU_ASSERT(!join_delay_more(&delay, 3000, false));
	CU_ASSERT(join_delay_more(&delay, 3000, true));
	CU_ASSERT_EQUAL(delay.now_ms, 3000);
	CU_ASSERT_EQUAL(delay.left_ms, 4000);
	CU_ASSERT(join_delay_more(&delay, 3000, true));
	CU_ASSERT_EQUAL(delay.left_ms, 1000);
	CU_ASSERT(join_delay_more(&delay, 3000, true));
	CU_ASSERT_EQUAL(delay.now_ms, 1000);
	CU_ASSERT_EQUAL(delay.left_ms, 0);
	CU_ASSERT(!join_delay_more(&delay, 3000, true));
	/* Members that take less than the delay: the delay counts. */
	delay = join_delay_first(3000, 100);
	CU_ASSERT_EQUAL(delay.now_ms, 3000);
	CU_ASSERT_EQUAL(delay.left_ms, 0);
	CU_ASSERT(join_complete(0, 0, 0));
	CU_ASSERT(join_complete(2, 2, 0));
	CU_ASSERT(!join_complete(2, 1, 0));
	CU_ASSERT(!join_complete(2, 2, 1));
}

static void
test_again(void)
{
	static const enum join_again want[][4] = {
		/* state: follower changed, leads, follower same, leader same */
		[GROUP_EMPTY] = { JOIN_UNKNOWN, JOIN_UNKNOWN, JOIN_UNKNOWN,
		    JOIN_UNKNOWN },
		[GROUP_PREPARING_REBALANCE] = { JOIN_REBALANCES,
		    JOIN_REBALANCES, JOIN_REBALANCES, JOIN_REBALANCES },
		[GROUP_COMPLETING_REBALANCE] = { JOIN_REBALANCES,
		    JOIN_REBALANCES, JOIN_CURRENT, JOIN_CURRENT },
		[GROUP_STABLE] = { JOIN_REBALANCES, JOIN_REBALANCES,
		    JOIN_CURRENT, JOIN_REBALANCES },
		[GROUP_DEAD] = { JOIN_UNKNOWN, JOIN_UNKNOWN, JOIN_UNKNOWN,
		    JOIN_UNKNOWN },
	};

	for (int state = GROUP_EMPTY; state <= GROUP_DEAD; state++)
		for (int i = 0; i < 4; i++)
			CU_ASSERT_EQUAL(join_again((enum group_state)state,
			    (i & 1) != 0, (i & 2) != 0), want[state][i]);
}

/* --- from nothing to stable ----------------------------------------------- */

/* How long joins waited: the first one from its beginning, one that comes in
 * between for less, and none that still waits. */
static void
test_join_time(void)
{
	struct buffer page = BUFFER_EMPTY;
	struct rig rig;

	rig_init(&rig);
	(void)rig_join(&rig, (struct who){ .version = OLDEST });
	rig_run(&rig, 1000);
	(void)rig_join(&rig, (struct who){ .version = OLDEST });
	rig_run(&rig, 1999);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUP_JOIN_TIME), 0);
	rig_run(&rig, 3001);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUP_JOIN_TIME), 2);
	metrics_expose(rig.metrics, &page);
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "\nbarnabas_group_join_time_ms_sum 11000\n"));
	buffer_fini(&page);
	rig_fini(&rig);
}

static void
test_first_member(void)
{
	struct group_metadata_value value;
	struct asked *join, *sync;
	struct rig rig;
	const char *id;
	char assignment[200];

	rig_init(&rig);
	id = rig_member_id(&rig, (struct who){ .client = "tester" });
	CU_ASSERT_EQUAL(strncmp(id, "tester-", 7), 0);
	CU_ASSERT_EQUAL(strlen(id), 7 + 36);
	CU_ASSERT_EQUAL(id[7 + 14], '4'); /* a random UUID */
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	join = rig_join(&rig, (struct who){ .member = id });
	CU_ASSERT(!join->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 0),
	    ERR_REBALANCE_IN_PROGRESS);
	rig_run(&rig, 2999);
	CU_ASSERT(!join->ask.done);
	rig_run(&rig, 1);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(join->r.join.generation_id, 1);
	CU_ASSERT(slice_equal_text(join->r.join.protocol_type, "consumer"));
	CU_ASSERT(slice_equal_text(join->r.join.protocol_name, "range"));
	CU_ASSERT(slice_equal_text(join->r.join.leader, id));
	CU_ASSERT(slice_equal_text(join->r.join.member_id, id));
	CU_ASSERT(!join->r.join.skip_assignment);
	CU_ASSERT_EQUAL_FATAL(join->r.join.members_count, 1);
	CU_ASSERT(slice_equal_text(join->r.join.members[0].member_id, id));
	CU_ASSERT(slice_equal_text(join->r.join.members[0].metadata, "m"));
	CU_ASSERT_PTR_NULL(
	    join->r.join.members[0].group_instance_id.data);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_COMPLETING_REBALANCE);
	CU_ASSERT_EQUAL(rig.coord->batches, 0);

	rig.coord->hold = true;
	(void)snprintf(assignment, sizeof(assignment), "%s=A,x=B", id);
	sync = rig_sync(&rig, (struct who){ .member = id }, 1, assignment);
	rig_run(&rig, 10);
	CU_ASSERT(!sync->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_COMPLETING_REBALANCE);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_NONE);
	CU_ASSERT(slice_equal_text(sync->r.sync.assignment, "A"));
	CU_ASSERT(slice_equal_text(sync->r.sync.protocol_type, "consumer"));
	CU_ASSERT(slice_equal_text(sync->r.sync.protocol_name, "range"));
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);

	rig_last_record(&rig, &value);
	CU_ASSERT_EQUAL(value.generation, 1);
	CU_ASSERT(slice_equal_text(value.protocol_type, "consumer"));
	CU_ASSERT(slice_equal_text(value.protocol, "range"));
	CU_ASSERT(slice_equal_text(value.leader, id));
	CU_ASSERT_EQUAL_FATAL(value.members_count, 1);
	CU_ASSERT(slice_equal_text(value.members[0].member_id, id));
	CU_ASSERT(slice_equal_text(value.members[0].client_id, "client"));
	CU_ASSERT(slice_equal_text(value.members[0].client_host,
	    "/127.0.0.1"));
	CU_ASSERT(slice_equal_text(value.members[0].subscription, "m"));
	CU_ASSERT(slice_equal_text(value.members[0].assignment, "A"));
	CU_ASSERT_EQUAL(value.members[0].session_timeout, 10000);
	CU_ASSERT_EQUAL(value.members[0].rebalance_timeout, 60000);
	rig_fini(&rig);
}

static void
test_two_members(void)
{
	const char *ids[2];
	struct asked *again;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ 0 }, ids);
	/* All have sent their sync: nobody is waited for. */
	CU_ASSERT(!timer_armed(&rig_group(&rig)->members->timer));
	/* Version 0 has no rebalance timeout of its own. */
	CU_ASSERT_EQUAL(group_rebalance_timeout_ms(rig_group(&rig)), 10000);
	/* A follower's join that changes nothing is answered at once. */
	again = rig_join(&rig, (struct who){ .member = ids[1] });
	CU_ASSERT(again->ask.done);
	CU_ASSERT_EQUAL(again->r.join.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(again->r.join.generation_id, 1);
	CU_ASSERT_EQUAL(again->r.join.members_count, 0);
	/* And its sync has what it had. */
	again = rig_sync(&rig, (struct who){ .member = ids[0] }, 1, NULL);
	CU_ASSERT(again->ask.done);
	CU_ASSERT(slice_equal_text(again->r.sync.assignment, "A0"));
	/* The leader's rebalances. */
	again = rig_join(&rig, (struct who){ .member = ids[0] });
	CU_ASSERT(!again->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	rig_fini(&rig);
}

/* New members put the end of the first delay off, to its bound. */
static void
test_initial_delay(void)
{
	struct asked *first, *more;
	struct rig rig;

	rig_init(&rig);
	first = rig_join(&rig, (struct who){ .version = 3,
		.rebalance_ms = 7000 });
	for (int i = 0; i < 3; i++) {
		rig_run(&rig, 2000);
		more = rig_join(&rig, (struct who){ .version = 3,
			.rebalance_ms = 7000 });
	}
	rig_run(&rig, 999);
	CU_ASSERT(!first->ask.done);
	rig_run(&rig, 1);
	CU_ASSERT(first->ask.done && more->ask.done);
	CU_ASSERT_EQUAL(first->r.join.members_count, 4);
	CU_ASSERT_EQUAL(first->r.join.generation_id, 1);
	rig_fini(&rig);
}

/* --- join: what is refused ------------------------------------------------ */

static void
test_join_refusals(void)
{
	struct rig rig;
	const char *id;

	rig_init(&rig);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .group = "" }),
	    ERR_INVALID_GROUP_ID);
	CU_ASSERT_EQUAL(rig_join_error(&rig,
	    (struct who){ .session_ms = 5999 }), ERR_INVALID_SESSION_TIMEOUT);
	CU_ASSERT_EQUAL(rig_join_error(&rig,
	    (struct who){ .session_ms = 1800001 }),
	    ERR_INVALID_SESSION_TIMEOUT);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = "x" }),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_PTR_NULL(rig_group(&rig));
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .type = "" }),
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .protocols = "" }),
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = "x" }),
	    ERR_UNKNOWN_MEMBER_ID);
	id = rig_one_member(&rig, (struct who){ .protocols = "range,sticky" });
	CU_ASSERT_EQUAL(rig_join_error(&rig,
	    (struct who){ .type = "connect" }),
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_join_error(&rig,
	    (struct who){ .protocols = "mine" }),
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = id,
		.protocols = "mine" }), ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = "x" }),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = id,
		.instance = "i" }), ERR_UNKNOWN_MEMBER_ID);
	rig.coord->refusal = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ 0 }),
	    ERR_COORDINATOR_LOAD_IN_PROGRESS);
	rig.coord->refusal = ERR_NOT_COORDINATOR;
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ 0 }),
	    ERR_NOT_COORDINATOR);
	rig_fini(&rig);
}

/* What cannot be kept as text, or is too many, joins no group. */
static void
test_join_hostile(void)
{
	struct join_group_request_protocol rows[GROUP_PROTOCOLS_MAX + 1];
	struct join_group_request request;
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	a = rig_join(&rig, (struct who){ .version = 3, .protocols = "r,r" });
	rig_run(&rig, 3000);
	CU_ASSERT(a->ask.done);
	CU_ASSERT(slice_equal_text(a->r.join.protocol_name, "r"));
	wire_init(&message_join_group_request, &request);
	request.group_id = SLICE_LITERAL("h");
	request.session_timeout_ms = 10000;
	request.protocol_type = SLICE_LITERAL("t\0t");
	request.protocols = rows;
	request.protocols_count = 1;
	rows[0].name = rows[0].metadata = SLICE_LITERAL("r");
	a->ask.done = false;
	CU_ASSERT(group_join(rig.groups, &request, &a->ask));
	CU_ASSERT_EQUAL(a->r.join.error_code,
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	request.protocol_type = SLICE_LITERAL("t");
	rows[0].name = SLICE_LITERAL("r\0r");
	a->ask.done = false;
	CU_ASSERT(group_join(rig.groups, &request, &a->ask));
	CU_ASSERT_EQUAL(a->r.join.error_code,
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	rows[0].name = SLICE_LITERAL("r");
	rows[0].metadata = slice_of(mem_zalloc(GROUP_PROTOCOL_BYTES_MAX),
	    GROUP_PROTOCOL_BYTES_MAX);
	a->ask.done = false;
	CU_ASSERT(group_join(rig.groups, &request, &a->ask));
	CU_ASSERT_EQUAL(a->r.join.error_code, ERR_UNKNOWN_SERVER_ERROR);
	mem_free((void *)(uintptr_t)rows[0].metadata.data);
	rows[0].metadata = SLICE_LITERAL("r");
	for (size_t i = 0; i < nelems(rows); i++)
		rows[i] = rows[0];
	request.protocols_count = (int32_t)nelems(rows);
	a->ask.done = false;
	CU_ASSERT(group_join(rig.groups, &request, &a->ask));
	CU_ASSERT_EQUAL(a->r.join.error_code, ERR_UNKNOWN_SERVER_ERROR);
	rig_fini(&rig);
}

/* Ids that no answer and no record could hold: they would fail each write of
 * the group, for all of its members. */
static void
test_join_long_id(void)
{
	const size_t most = INT16_MAX - strlen("-") - 36;
	char *name = mem_zalloc(most + 2);
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	memset(name, 'n', most + 1);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .client = name }),
	    ERR_UNKNOWN_SERVER_ERROR);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .client = name,
		.version = 3 }), ERR_UNKNOWN_SERVER_ERROR);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .instance = name }),
	    ERR_UNKNOWN_SERVER_ERROR);
	CU_ASSERT_EQUAL(rig_group(&rig)->members->pending_count, 0);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 0);
	name[most] = '\0';
	a = rig_join(&rig, (struct who){ .instance = name });
	rig_run(&rig, 3000);
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(a->r.join.member_id.length, INT16_MAX);
	a = rig_sync(&rig, (struct who){ .instance = name,
		.member = rig_text(a, a->r.join.member_id) }, 1, NULL);
	rig_run(&rig, 0);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	mem_free(name);
	rig_fini(&rig);
}

static void
test_max_size(void)
{
	const char *ids[2];
	struct asked *a, *b;
	struct rig rig;

	rig_init(&rig);
	rig.options.max_size = 2;
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ 0 }),
	    ERR_GROUP_MAX_SIZE_REACHED);
	/* While it prepares, the first two to wait have the places. */
	a = rig_join(&rig, (struct who){ .member = ids[0] });
	b = rig_join(&rig, (struct who){ .version = 3 });
	CU_ASSERT(!a->ask.done && !b->ask.done);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = ids[1] }),
	    ERR_GROUP_MAX_SIZE_REACHED);
	/* It was the one that was waited for. */
	CU_ASSERT(a->ask.done && b->ask.done);
	CU_ASSERT_EQUAL(a->r.join.members_count, 2);
	rig_fini(&rig);
}

/* --- the vote, the leader ------------------------------------------------- */

static void
test_vote(void)
{
	static const struct {
		const char *protocols[3];
		const char *elected;
	} rows[] = {
		{ { "a,b", "b,a", "b,a" }, "b" },
		{ { "a,b", "b", "a,b" }, "b" },
		{ { "c,a,b", "b,a", "a,b,c" }, "a" },
		{ { "a,b", "b,a", "a,b" }, "a" },
		{ { "a,b,c", "b,c,a", "c,a,b" }, "a" },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct asked *join[3];
		struct rig rig;

		rig_init(&rig);
		for (int m = 0; m < 3; m++)
			join[m] = rig_join(&rig, (struct who){ .version = 3,
				.protocols = rows[i].protocols[m] });
		rig_run(&rig, 9000);
		for (int m = 0; m < 3; m++)
			CU_ASSERT(slice_equal_text(
			    join[m]->r.join.protocol_name, rows[i].elected));
		rig_fini(&rig);
	}
}

/* The leader does not come back: another one leads, and it is out. */
static void
test_new_leader(void)
{
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3,
		.session_ms = 1000000 }, ids);
	a = rig_join(&rig, (struct who){ .member = ids[1], .metadata = "n" });
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    1), ERR_REBALANCE_IN_PROGRESS);
	rig_run(&rig, 59999);
	CU_ASSERT(!a->ask.done);
	rig_run(&rig, 1);
	CU_ASSERT(a->ask.done);
	CU_ASSERT(slice_equal_text(a->r.join.leader, ids[1]));
	CU_ASSERT_EQUAL(a->r.join.generation_id, 2);
	CU_ASSERT_EQUAL_FATAL(a->r.join.members_count, 1);
	CU_ASSERT(slice_equal_text(a->r.join.members[0].metadata, "n"));
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    2), ERR_UNKNOWN_MEMBER_ID);
	rig_fini(&rig);
}

/* --- sync ----------------------------------------------------------------- */

static void
test_sync_refusals(void)
{
	struct asked *a;
	struct rig rig;
	const char *id;

	rig_init(&rig);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .group = "" }, 1),
	    ERR_INVALID_GROUP_ID);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = "x" }, 1),
	    ERR_UNKNOWN_MEMBER_ID);
	id = rig_one_member(&rig, (struct who){ 0 });
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = "x" }, 1),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id }, 2),
	    ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id,
		.type = "x" }, 1), ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id,
		.protocols = "x" }, 1), ERR_INCONSISTENT_GROUP_PROTOCOL);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id,
		.instance = "i" }, 1), ERR_UNKNOWN_MEMBER_ID);
	a = rig_join(&rig, (struct who){ .version = 3 });
	CU_ASSERT(!a->ask.done);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id }, 1),
	    ERR_REBALANCE_IN_PROGRESS);
	rig.coord->refusal = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id }, 1),
	    ERR_REBALANCE_IN_PROGRESS);
	rig.coord->refusal = ERR_NOT_COORDINATOR;
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id }, 1),
	    ERR_NOT_COORDINATOR);
	rig_fini(&rig);
}

/* From 5 on the protocol must be told. */
static void
test_sync_names(void)
{
	struct sync_group_request request;
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	(void)rig_one_member(&rig, (struct who){ 0 });
	a = rig_sync(&rig, (struct who){ .version = 4, .member = "x" }, 1,
	    NULL);
	CU_ASSERT_EQUAL(a->r.sync.error_code, ERR_UNKNOWN_MEMBER_ID);
	wire_init(&message_sync_group_request, &request);
	a->ask.version = 5;
	request.group_id = SLICE_LITERAL("g");
	request.member_id = SLICE_LITERAL("x");
	CU_ASSERT(group_sync(rig.groups, &request, &a->ask));
	CU_ASSERT_EQUAL(a->r.sync.error_code,
	    ERR_INCONSISTENT_GROUP_PROTOCOL);
	rig_fini(&rig);
}

/* What the log says is what all who wait hear; then they begin again. */
static void
test_sync_write_fails(void)
{
	static const struct {
		enum error log;
		enum error told;
	} rows[] = {
		{ ERR_NOT_ENOUGH_REPLICAS, ERR_COORDINATOR_NOT_AVAILABLE },
		{ ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    ERR_COORDINATOR_NOT_AVAILABLE },
		{ ERR_NOT_LEADER_OR_FOLLOWER, ERR_NOT_COORDINATOR },
		{ ERR_KAFKA_STORAGE_ERROR, ERR_NOT_COORDINATOR },
		{ ERR_REQUEST_TIMED_OUT, ERR_REBALANCE_IN_PROGRESS },
		{ ERR_MESSAGE_TOO_LARGE, ERR_UNKNOWN_SERVER_ERROR },
		{ ERR_INVALID_FETCH_SIZE, ERR_INVALID_FETCH_SIZE },
	};

	for (size_t i = 0; i + 1 < nelems(rows); i++) {
		struct asked *join, *sync;
		struct rig rig;
		const char *id;

		rig_init(&rig);
		join = rig_join(&rig, (struct who){ .version = 3 });
		rig_run(&rig, 3000);
		id = rig_text(join, join->r.join.member_id);
		rig.coord->hold = true;
		sync = rig_sync(&rig, (struct who){ .member = id }, 1, NULL);
		fake_coord_end(rig.coord, rows[i].log);
		CU_ASSERT(sync->ask.done);
		CU_ASSERT_EQUAL(sync->r.sync.error_code, rows[i].told);
		CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
		rig_fini(&rig);
	}
}

/* A member that comes while others wait for the assignment: they join again. */
static void
test_sync_interrupted(void)
{
	struct asked *join[3], *sync[2];
	struct rig rig;
	const char *ids[2];

	rig_init(&rig);
	join[0] = rig_join(&rig, (struct who){ .version = 3 });
	join[1] = rig_join(&rig, (struct who){ .version = 3 });
	rig_run(&rig, 6000);
	for (int i = 0; i < 2; i++)
		ids[i] = rig_text(join[i], join[i]->r.join.member_id);
	rig.coord->hold = true;
	sync[1] = rig_sync(&rig, (struct who){ .member = ids[1] }, 1, NULL);
	sync[0] = rig_sync(&rig, (struct who){ .member = ids[0] }, 1, NULL);
	CU_ASSERT_EQUAL(rig.coord->write_count, 1);
	join[2] = rig_join(&rig, (struct who){ .version = 3 });
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(sync[i]->ask.done);
		CU_ASSERT_EQUAL(sync[i]->r.sync.error_code,
		    ERR_REBALANCE_IN_PROGRESS);
	}
	/* The write that ends now is of a generation that is over. */
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	for (int i = 0; i < 2; i++)
		join[i] = rig_join(&rig, (struct who){ .member = ids[i] });
	for (int i = 0; i < 3; i++)
		CU_ASSERT(join[i]->ask.done);
	CU_ASSERT_EQUAL(join[0]->r.join.generation_id, 2);
	CU_ASSERT_EQUAL(join[0]->r.join.members_count, 3);
	rig_fini(&rig);
}

/* Who joins and never syncs is removed, and the others begin again. */
static void
test_sync_missing(void)
{
	struct asked *join[2], *sync;
	struct rig rig;
	const char *id;

	rig_init(&rig);
	for (int i = 0; i < 2; i++)
		join[i] = rig_join(&rig, (struct who){ .version = 3,
			.session_ms = 1000000 });
	rig_run(&rig, 6000);
	id = rig_text(join[0], join[0]->r.join.member_id);
	sync = rig_sync(&rig, (struct who){ .member = id }, 1, NULL);
	rig_run(&rig, 59999);
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_run(&rig, 1);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 1);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 1),
	    ERR_REBALANCE_IN_PROGRESS);
	rig_fini(&rig);
}

/* A join whose answer was lost is answered again, from what is there. */
static void
test_join_again_completing(void)
{
	struct asked *join[2], *again;
	struct rig rig;
	const char *ids[2];

	rig_init(&rig);
	for (int i = 0; i < 2; i++)
		join[i] = rig_join(&rig, (struct who){ .version = 3 });
	rig_run(&rig, 6000);
	for (int i = 0; i < 2; i++)
		ids[i] = rig_text(join[i], join[i]->r.join.member_id);
	for (int i = 0; i < 2; i++) {
		again = rig_join(&rig, (struct who){ .member = ids[i] });
		CU_ASSERT(again->ask.done);
		CU_ASSERT_EQUAL(again->r.join.error_code, ERR_NONE);
		CU_ASSERT_EQUAL(again->r.join.generation_id, 1);
		CU_ASSERT_EQUAL(again->r.join.members_count,
		    i == 0 ? 2 : 0);
	}
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_COMPLETING_REBALANCE);
	again = rig_join(&rig, (struct who){ .member = ids[1],
		.metadata = "other" });
	CU_ASSERT(!again->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	/* Over another connection: who waited before is not left hanging. */
	join[1] = rig_join(&rig, (struct who){ .member = ids[1],
		.metadata = "other" });
	CU_ASSERT(again->ask.done);
	CU_ASSERT_EQUAL(again->r.join.error_code, ERR_REBALANCE_IN_PROGRESS);
	CU_ASSERT(!join[1]->ask.done);
	rig_fini(&rig);
}

/* --- heartbeats, sessions ------------------------------------------------- */

static void
test_heartbeats(void)
{
	struct rig rig;
	const char *id;

	rig_init(&rig);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .group = "" }, 1),
	    ERR_INVALID_GROUP_ID);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = "x" }, 1),
	    ERR_UNKNOWN_MEMBER_ID);
	id = rig_one_member(&rig, (struct who){ 0 });
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 1),
	    ERR_NONE);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 2),
	    ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = "x" }, 1),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id,
		.instance = "i" }, 1), ERR_UNKNOWN_MEMBER_ID);
	/* Sixteen seconds, with a session of ten. */
	for (int i = 0; i < 4; i++) {
		rig_run(&rig, 4000);
		CU_ASSERT_EQUAL(rig_heartbeat(&rig,
		    (struct who){ .member = id }, 1), ERR_NONE);
	}
	rig.coord->refusal = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 1),
	    ERR_NONE);
	rig.coord->refusal = ERR_NOT_COORDINATOR;
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 1),
	    ERR_NOT_COORDINATOR);
	rig.coord->refusal = ERR_NONE;
	rig_run(&rig, 9999);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_run(&rig, 1);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUP_EXPIRED_SESSIONS), 1);
	rig_fini(&rig);
}

/* The last one goes: that is written, without protocol and leader. */
static void
test_empty_again(void)
{
	struct group_metadata_value value;
	struct asked *join;
	struct rig rig;
	const char *id;

	rig_init(&rig);
	id = rig_one_member(&rig, (struct who){ 0 });
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_STABLE), 1);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_EMPTY), 0);
	CU_ASSERT_EQUAL(rig_leave(&rig,
	    (struct who){ .member = id })->r.leave.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_STABLE), 0);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_EMPTY), 1);
	rig_last_record(&rig, &value);
	CU_ASSERT_EQUAL(value.generation, 2);
	CU_ASSERT(slice_equal_text(value.protocol_type, "consumer"));
	CU_ASSERT_PTR_NULL(value.protocol.data);
	CU_ASSERT_PTR_NULL(value.leader.data);
	CU_ASSERT_EQUAL(value.members_count, 0);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = id }, 2),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, (struct who){ .member = id }, 2),
	    ERR_UNKNOWN_MEMBER_ID);
	/* Another kind of members may come now, and the delay is one again. */
	join = rig_join(&rig, (struct who){ .version = 3, .type = "connect",
		.protocols = "eager" });
	CU_ASSERT(!join->ask.done);
	rig_run(&rig, 3000);
	CU_ASSERT(join->ask.done);
	CU_ASSERT(slice_equal_text(join->r.join.protocol_type, "connect"));
	CU_ASSERT_EQUAL(join->r.join.generation_id, 3);
	rig_fini(&rig);
}

/* One of two dies: the other hears of it, joins, and goes on alone. */
static void
test_session_ends(void)
{
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	rig_run(&rig, 9000);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    1), ERR_NONE);
	rig_run(&rig, 1000);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    1), ERR_REBALANCE_IN_PROGRESS);
	a = rig_join(&rig, (struct who){ .member = ids[0] });
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.generation_id, 2);
	CU_ASSERT_EQUAL(a->r.join.members_count, 1);
	rig_fini(&rig);
}

/* Who waits in a join is alive, however long; a new one for five minutes. */
static void
test_waiting_is_alive(void)
{
	const char *ids[2];
	struct asked *old, *fresh;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3, .session_ms = 1000000,
		.rebalance_ms = 900000 }, ids);
	old = rig_join(&rig, (struct who){ .member = ids[0],
		.rebalance_ms = 900000 });
	/* Its session of ten seconds does not count meanwhile. */
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    1), ERR_REBALANCE_IN_PROGRESS);
	fresh = rig_join(&rig, (struct who){ .version = 3 });
	rig_run(&rig, 299999);
	CU_ASSERT(!old->ask.done && !fresh->ask.done);
	rig_run(&rig, 1);
	CU_ASSERT(fresh->ask.done);
	CU_ASSERT_EQUAL(fresh->r.join.error_code, ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(fresh->r.join.member_id.length, 0);
	CU_ASSERT(!old->ask.done);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 2);
	rig_fini(&rig);
}

/* A rebalance waits for ids that were given out, until their session ends. */
static void
test_pending(void)
{
	struct asked *a, *leave;
	struct rig rig;
	const char *first, *id;

	rig_init(&rig);
	first = rig_one_member(&rig, (struct who){ .session_ms = 1000000 });
	id = rig_member_id(&rig, (struct who){ 0 });
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	a = rig_join(&rig, (struct who){ .member = first });
	rig_run(&rig, 9999);
	CU_ASSERT(!a->ask.done);
	rig_run(&rig, 1);
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = id }),
	    ERR_UNKNOWN_MEMBER_ID);
	/* It may leave, too; nobody else waits then. */
	id = rig_member_id(&rig, (struct who){ 0 });
	a = rig_join(&rig, (struct who){ .member = first, .metadata = "n" });
	CU_ASSERT(!a->ask.done);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = id,
		.instance = "i" }), ERR_UNKNOWN_SERVER_ERROR);
	leave = rig_leave(&rig, (struct who){ .member = id });
	CU_ASSERT_EQUAL(leave->r.leave.members[0].error_code, ERR_NONE);
	CU_ASSERT(a->ask.done);
	rig_fini(&rig);
}

/* --- leaving -------------------------------------------------------------- */

static void
test_leaving(void)
{
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	a = rig_leave(&rig, (struct who){ .group = "" });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_INVALID_GROUP_ID);
	CU_ASSERT_EQUAL(a->r.leave.members_count, 0);
	a = rig_leave(&rig, (struct who){ .member = "x" });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_NONE);
	CU_ASSERT_EQUAL_FATAL(a->r.leave.members_count, 1);
	CU_ASSERT_EQUAL(a->r.leave.members[0].error_code,
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT(slice_equal_text(a->r.leave.members[0].member_id, "x"));
	a = rig_leave(&rig, (struct who){ .member = "x", .version = 2 });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_UNKNOWN_MEMBER_ID);
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	a = rig_leave(&rig, (struct who){ .member = "x", .version = OLDEST });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_UNKNOWN_MEMBER_ID);
	a = rig_leave(&rig, (struct who){ .member = ids[1],
		.version = OLDEST });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(a->r.leave.members_count, 0);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 1);
	a = rig_leave(&rig, (struct who){ .member = ids[0],
		.instance = "i" });
	CU_ASSERT_EQUAL(a->r.leave.members[0].error_code,
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT(slice_equal_text(
	    a->r.leave.members[0].group_instance_id, "i"));
	rig.coord->refusal = ERR_NOT_COORDINATOR;
	a = rig_leave(&rig, (struct who){ .member = ids[0] });
	CU_ASSERT_EQUAL(a->r.leave.error_code, ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(a->r.leave.members_count, 0);
	rig_fini(&rig);
}

/* One that waits leaves by another way: its answer is not owed for ever. */
static void
test_leaving_while_waiting(void)
{
	struct asked *join[2], *sync;
	struct rig rig;
	const char *ids[2];

	rig_init(&rig);
	for (int i = 0; i < 2; i++)
		join[i] = rig_join(&rig, (struct who){ .version = 3 });
	rig_run(&rig, 6000);
	for (int i = 0; i < 2; i++)
		ids[i] = rig_text(join[i], join[i]->r.join.member_id);
	sync = rig_sync(&rig, (struct who){ .member = ids[1] }, 1, NULL);
	CU_ASSERT(!sync->ask.done);
	(void)rig_leave(&rig, (struct who){ .member = ids[1] });
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_UNKNOWN_MEMBER_ID);
	join[0] = rig_join(&rig, (struct who){ .version = 3 });
	CU_ASSERT(!join[0]->ask.done);
	(void)rig_leave(&rig, (struct who){ .member = ids[0] });
	CU_ASSERT(join[0]->ask.done);
	CU_ASSERT_EQUAL(join[0]->r.join.members_count, 1);
	rig_fini(&rig);
}

/* Who has left has no assignment, and nobody keeps its bytes. */
static void
test_empty_keeps_nothing(void)
{
	struct rig rig;
	const char *id;

	rig_init(&rig);
	id = rig_one_member(&rig, (struct who){ 0 });
	CU_ASSERT_PTR_NOT_NULL(rig_group(&rig)->members->assigned);
	(void)rig_leave(&rig, (struct who){ .member = id });
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	CU_ASSERT_PTR_NULL(rig_group(&rig)->members->assigned);
	rig_run(&rig, 0);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "room", test_room },
	{ "delays", test_delays },
	{ "again", test_again },
	{ "first member", test_first_member },
	{ "how long joins waited", test_join_time },
	{ "two members", test_two_members },
	{ "initial delay", test_initial_delay },
	{ "join refusals", test_join_refusals },
	{ "join hostile", test_join_hostile },
	{ "join long id", test_join_long_id },
	{ "max size", test_max_size },
	{ "vote", test_vote },
	{ "new leader", test_new_leader },
	{ "sync refusals", test_sync_refusals },
	{ "sync names", test_sync_names },
	{ "sync write fails", test_sync_write_fails },
	{ "sync interrupted", test_sync_interrupted },
	{ "sync missing", test_sync_missing },
	{ "join again completing", test_join_again_completing },
	{ "heartbeats", test_heartbeats },
	{ "empty again", test_empty_again },
	{ "session ends", test_session_ends },
	{ "waiting is alive", test_waiting_is_alive },
	{ "pending", test_pending },
	{ "leaving", test_leaving },
	{ "leaving while waiting", test_leaving_while_waiting },
	{ "an empty group keeps no assignment", test_empty_keeps_nothing },
};

int
main(void)
{
	return (unit_main("group members", tests, nelems(tests)));
}
