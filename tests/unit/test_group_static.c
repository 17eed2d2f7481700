/* SPDX-License-Identifier: Apache-2.0 */
/* Static members; coordinators that come and go; what administrators see of
 * groups; groups of many. */
#include "base/mem.h"
#include "member_rig.h"

/* --- static members ------------------------------------------------------- */

static struct who
static_who(const char *member, int version)
{
	return ((struct who){ .member = member, .instance = "i",
	    .version = version, .session_ms = 1000000 });
}

/* A stable group whose only and leading member is the instance "i". */
static const char *
static_member(struct rig *rig)
{
	struct asked *join = rig_join(rig, static_who(NULL, 9)), *sync;
	char assignment[200];
	const char *id;

	CU_ASSERT(!join->ask.done); /* no MEMBER_ID_REQUIRED */
	rig_run(rig, 3000);
	CU_ASSERT_FATAL(join->ask.done);
	id = rig_text(join, join->r.join.member_id);
	CU_ASSERT_EQUAL(strncmp(id, "i-", 2), 0);
	CU_ASSERT(slice_equal_text(
	    join->r.join.members[0].group_instance_id, "i"));
	(void)snprintf(assignment, sizeof(assignment), "%s=S", id);
	sync = rig_sync(rig, static_who(id, 5), 1, assignment);
	rig_run(rig, 0);
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(rig_state(rig), GROUP_STABLE);
	return (id);
}

static void
test_static_replaced(void)
{
	struct group_metadata_value value;
	struct asked *join;
	struct rig rig;
	const char *old, *id;

	rig_init(&rig);
	old = static_member(&rig);
	rig.coord->hold = true;
	join = rig_join(&rig, static_who(NULL, 9));
	CU_ASSERT(!join->ask.done);
	CU_ASSERT_EQUAL(rig.coord->write_count, 1);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_FATAL(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(join->r.join.generation_id, 1);
	CU_ASSERT(join->r.join.skip_assignment);
	id = rig_text(join, join->r.join.member_id);
	CU_ASSERT(strcmp(id, old) != 0);
	CU_ASSERT(slice_equal_text(join->r.join.leader, id));
	CU_ASSERT_EQUAL(join->r.join.members_count, 1);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_last_record(&rig, &value);
	CU_ASSERT_EQUAL_FATAL(value.members_count, 1);
	CU_ASSERT(slice_equal_text(value.members[0].member_id, id));
	CU_ASSERT(slice_equal_text(value.members[0].group_instance_id, "i"));
	CU_ASSERT(slice_equal_text(value.members[0].assignment, "S"));
	CU_ASSERT(slice_equal_text(value.leader, id));
	/* The old id is fenced everywhere. */
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, static_who(old, 4), 1),
	    ERR_FENCED_INSTANCE_ID);
	CU_ASSERT_EQUAL(rig_sync_error(&rig, static_who(old, 5), 1),
	    ERR_FENCED_INSTANCE_ID);
	CU_ASSERT_EQUAL(rig_join_error(&rig, static_who(old, 9)),
	    ERR_FENCED_INSTANCE_ID);
	CU_ASSERT_EQUAL(rig_leave(&rig, static_who(old, 5))->
	    r.leave.members[0].error_code, ERR_FENCED_INSTANCE_ID);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, static_who(id, 4), 1), ERR_NONE);
	rig_fini(&rig);
}

/* Before 9 it is told that its old self leads: it only syncs. */
static void
test_static_replaced_before_9(void)
{
	struct asked *join;
	struct rig rig;
	const char *old;

	rig_init(&rig);
	old = static_member(&rig);
	join = rig_join(&rig, static_who(NULL, 8));
	rig_run(&rig, 0);
	CU_ASSERT(join->ask.done);
	CU_ASSERT(slice_equal_text(join->r.join.leader, old));
	CU_ASSERT(!join->r.join.skip_assignment);
	CU_ASSERT_EQUAL(join->r.join.members_count, 0);
	rig_fini(&rig);
}

/* The log refuses: the old id counts on, and who joined hears why. */
static void
test_static_not_written(void)
{
	struct asked *join;
	struct rig rig;
	const char *old;

	rig_init(&rig);
	old = static_member(&rig);
	rig.coord->hold = true;
	join = rig_join(&rig, static_who(NULL, 9));
	fake_coord_end(rig.coord, ERR_NOT_ENOUGH_REPLICAS);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code,
	    ERR_COORDINATOR_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(join->r.join.member_id.length, 0);
	CU_ASSERT_EQUAL(join->r.join.generation_id, 1);
	CU_ASSERT(slice_equal_text(join->r.join.leader, old));
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, static_who(old, 4), 1), ERR_NONE);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_fini(&rig);
}

/* Its session ends while its new id is written, which keeps it; but it must be
 * heard of again after that. */
static void
test_static_written_late(void)
{
	struct who who = static_who(NULL, 9);
	struct asked *join;
	struct rig rig;

	rig_init(&rig);
	(void)static_member(&rig);
	who.session_ms = 10000;
	(void)rig_join(&rig, who);
	rig_run(&rig, 0);
	rig.coord->hold = true;
	join = rig_join(&rig, who);
	rig_run(&rig, 10000);
	CU_ASSERT(!join->ask.done);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code, ERR_NONE);
	rig.coord->hold = false;
	rig_run(&rig, 9999);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_run(&rig, 1);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	rig_fini(&rig);
}

/* Another protocol would be chosen now: that is a rebalance. */
static void
test_static_changes_protocol(void)
{
	struct asked *join;
	struct who who = static_who(NULL, 9);
	struct rig rig;

	rig_init(&rig);
	(void)static_member(&rig);
	who.protocols = "sticky,range";
	join = rig_join(&rig, who);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.generation_id, 2);
	CU_ASSERT(slice_equal_text(join->r.join.protocol_name, "sticky"));
	CU_ASSERT(!join->r.join.skip_assignment);
	rig_fini(&rig);
}

/* Waiting in a join or a sync when its new self comes. */
static void
test_static_fenced_waiting(void)
{
	struct asked *first, *second, *sync;
	struct rig rig;
	const char *id;

	rig_init(&rig);
	first = rig_join(&rig, static_who(NULL, 9));
	second = rig_join(&rig, static_who(NULL, 9));
	CU_ASSERT(first->ask.done);
	CU_ASSERT_EQUAL(first->r.join.error_code, ERR_FENCED_INSTANCE_ID);
	CU_ASSERT(!second->ask.done);
	rig_run(&rig, 6000);
	CU_ASSERT(second->ask.done);
	CU_ASSERT_EQUAL(second->r.join.members_count, 1);
	id = rig_text(second, second->r.join.member_id);
	rig.coord->hold = true;
	sync = rig_sync(&rig, static_who(id, 5), 1, NULL);
	first = rig_join(&rig, static_who(NULL, 9));
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_FENCED_INSTANCE_ID);
	/* COMPLETING: a new generation. */
	CU_ASSERT(first->ask.done);
	CU_ASSERT_EQUAL(first->r.join.generation_id, 2);
	rig_fini(&rig);
}

/* Static members that do not rejoin stay until their session ends; an
 * administrator removes one by its instance. */
static void
test_static_stays(void)
{
	struct asked *join, *leave;
	struct who other = { .version = 3, .session_ms = 1000000 };
	struct rig rig;
	const char *id;

	rig_init(&rig);
	id = static_member(&rig);
	join = rig_join(&rig, other);
	CU_ASSERT(!join->ask.done);
	rig_run(&rig, 60000);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.members_count, 2);
	CU_ASSERT(!slice_equal_text(join->r.join.leader, id));
	leave = rig_leave(&rig, (struct who){ .instance = "other" });
	CU_ASSERT_EQUAL(leave->r.leave.members[0].error_code,
	    ERR_UNKNOWN_MEMBER_ID);
	leave = rig_leave(&rig, (struct who){ .instance = "i" });
	CU_ASSERT_EQUAL(leave->r.leave.members[0].error_code, ERR_NONE);
	CU_ASSERT_EQUAL(leave->r.leave.members[0].member_id.length, 0);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 1);
	rig_fini(&rig);
}

/* Nobody comes back, and all are static: the rebalance goes on waiting. */
static void
test_static_postponed(void)
{
	struct who who = static_who(NULL, 9);
	struct asked *join, *other;
	struct rig rig;

	rig_init(&rig);
	who.session_ms = 150000;
	join = rig_join(&rig, who);
	rig_run(&rig, 3000);
	(void)rig_sync(&rig, static_who(rig_text(join,
	    join->r.join.member_id), 5), 1, NULL);
	rig_run(&rig, 0);
	other = rig_join(&rig, (struct who){ .version = 3 });
	(void)rig_leave(&rig, (struct who){ .version = 2, .member = "x" });
	group_forget(&other->ask);
	/* The other one's id is not known to it; its join is over its own. */
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	rig_run(&rig, 60000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_COMPLETING_REBALANCE);
	/* Neither syncs; the dynamic one's session ends first. */
	rig_run(&rig, 10000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 1);
	rig_run(&rig, 60000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	rig_run(&rig, 80000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	rig_fini(&rig);
}

/* --- coordinators come and go --------------------------------------------- */

static void
test_resign(void)
{
	const char *ids[2];
	struct asked *join, *sync;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	join = rig_join(&rig, (struct who){ .member = ids[0] });
	fake_coord_close(rig.coord);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code, ERR_NOT_COORDINATOR);
	CU_ASSERT(slice_equal_text(join->r.join.member_id, ids[0]));
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_STABLE), 0);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_PREPARING), 0);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_DEAD), 0);
	fake_coord_load(rig.coord);
	join = rig_join(&rig, (struct who){ .member = ids[0] });
	(void)rig_join(&rig, (struct who){ .member = ids[1] });
	CU_ASSERT(join->ask.done);
	rig.coord->hold = true;
	sync = rig_sync(&rig, (struct who){ .member = ids[0] }, 2, NULL);
	CU_ASSERT(!sync->ask.done);
	fake_coord_close(rig.coord);
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_NOT_COORDINATOR);
	/* Its write is under way still. */
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_DEAD), 1);
	fake_coord_end(rig.coord, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_DEAD), 0);
	rig_run(&rig, 100000);
	rig_fini(&rig);
}

/* The next coordinator knows the group by its record. */
static void
test_restore(void)
{
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	fake_coord_close(rig.coord);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	CU_ASSERT_EQUAL(rig_gauge(&rig, METRIC_GROUPS_STABLE), 1);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(rig_heartbeat(&rig,
		    (struct who){ .member = ids[i] }, 1), ERR_NONE);
	a = rig_sync(&rig, (struct who){ .member = ids[0] }, 1, NULL);
	CU_ASSERT(slice_equal_text(a->r.sync.assignment, "A0"));
	a = rig_join(&rig, (struct who){ .member = ids[1] });
	CU_ASSERT(a->ask.done);
	CU_ASSERT(slice_equal_text(a->r.join.leader, ids[0]));
	rig_run(&rig, 9000);
	CU_ASSERT_EQUAL(rig_heartbeat(&rig, (struct who){ .member = ids[0] },
	    1), ERR_NONE);
	rig_run(&rig, 1000);
	CU_ASSERT_EQUAL(group_member_count(rig_group(&rig)), 1);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	a = rig_join(&rig, (struct who){ .member = ids[0] });
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.generation_id, 2);
	rig_fini(&rig);
}

/* More members than there may be now: they rebalance, and some stay out. */
static void
test_restore_too_many(void)
{
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	fake_coord_close(rig.coord);
	rig.options.max_size = 1;
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_PREPARING_REBALANCE);
	a = rig_join(&rig, (struct who){ .member = ids[1] });
	CU_ASSERT(!a->ask.done);
	CU_ASSERT_EQUAL(rig_join_error(&rig, (struct who){ .member = ids[0] }),
	    ERR_GROUP_MAX_SIZE_REACHED);
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.members_count, 1);
	rig_fini(&rig);
}

/* The client went: the member stays, and nobody is answered. */
static void
test_forget(void)
{
	struct asked *join, *sync;
	struct rig rig;
	const char *id;

	rig_init(&rig);
	id = rig_member_id(&rig, (struct who){ 0 });
	join = rig_join(&rig, (struct who){ .member = id });
	group_forget(&join->ask);
	rig_run(&rig, 3000);
	CU_ASSERT(!join->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_COMPLETING_REBALANCE);
	rig.coord->hold = true;
	sync = rig_sync(&rig, (struct who){ .member = id }, 1, NULL);
	group_forget(&sync->ask);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT(!sync->ask.done);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	rig_fini(&rig);
}

/* --- what administrators see ---------------------------------------------- */

static void
test_describe(void)
{
	const struct describe_groups_response_group *d;
	const char *ids[2];
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	a = rig_describe(&rig, "g");
	CU_ASSERT_EQUAL(a->described.error_code, ERR_NONE);
	CU_ASSERT(slice_equal_text(a->described.group_state, "Dead"));
	CU_ASSERT(slice_equal_text(a->described.group_id, "g"));
	rig_two_members(&rig, (struct who){ .version = 3 }, ids);
	d = &rig_describe(&rig, "g")->described;
	CU_ASSERT(slice_equal_text(d->group_state, "Stable"));
	CU_ASSERT(slice_equal_text(d->protocol_type, "consumer"));
	CU_ASSERT(slice_equal_text(d->protocol_data, "range"));
	CU_ASSERT_EQUAL_FATAL(d->members_count, 2);
	CU_ASSERT(slice_equal_text(d->members[0].member_id, ids[0]));
	CU_ASSERT(slice_equal_text(d->members[0].client_id, "client"));
	CU_ASSERT(slice_equal_text(d->members[0].client_host, "/127.0.0.1"));
	CU_ASSERT(slice_equal_text(d->members[0].member_metadata, "m"));
	CU_ASSERT(slice_equal_text(d->members[0].member_assignment, "A0"));
	CU_ASSERT_PTR_NULL(d->members[0].group_instance_id.data);
	/* While it changes, members alone are told. */
	a = rig_join(&rig, (struct who){ .version = 3 });
	CU_ASSERT(!a->ask.done);
	d = &rig_describe(&rig, "g")->described;
	CU_ASSERT(slice_equal_text(d->group_state, "PreparingRebalance"));
	CU_ASSERT_EQUAL(d->protocol_data.length, 0);
	CU_ASSERT_EQUAL_FATAL(d->members_count, 3);
	CU_ASSERT_EQUAL(d->members[0].member_metadata.length, 0);
	CU_ASSERT_EQUAL(d->members[0].member_assignment.length, 0);
	rig.coord->refusal = ERR_NOT_COORDINATOR;
	d = &rig_describe(&rig, "g")->described;
	CU_ASSERT_EQUAL(d->error_code, ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(d->group_state.length, 0);
	rig_fini(&rig);
}

static void
test_list(void)
{
	static const struct {
		const char *state;
		const char *type;
		int count;
	} rows[] = {
		{ NULL, NULL, 2 },
		{ "Stable", NULL, 1 },
		{ "eMPTY", NULL, 1 },
		{ "Dead", NULL, 0 },
		{ NULL, "classic", 2 },
		{ NULL, "Classic", 2 },
		{ NULL, "consumer", 0 },
		{ "Stable", "consumer", 0 },
	};
	struct asked *a;
	struct rig rig;

	rig_init(&rig);
	(void)rig_one_member(&rig, (struct who){ 0 });
	(void)rig_member_id(&rig, (struct who){ .group = "h" });
	for (size_t i = 0; i < nelems(rows); i++) {
		a = rig_list(&rig, rows[i].state, rows[i].type);
		CU_ASSERT_EQUAL(a->r.list.error_code, ERR_NONE);
		CU_ASSERT_EQUAL(a->r.list.groups_count, rows[i].count);
	}
	a = rig_list(&rig, "stable", NULL);
	CU_ASSERT(slice_equal_text(a->r.list.groups[0].group_id, "g"));
	CU_ASSERT(slice_equal_text(a->r.list.groups[0].protocol_type,
	    "consumer"));
	CU_ASSERT(slice_equal_text(a->r.list.groups[0].group_state,
	    "Stable"));
	CU_ASSERT(slice_equal_text(a->r.list.groups[0].group_type,
	    "classic"));
	rig.coord->loading = true;
	a = rig_list(&rig, NULL, NULL);
	CU_ASSERT_EQUAL(a->r.list.error_code,
	    ERR_COORDINATOR_LOAD_IN_PROGRESS);
	CU_ASSERT_EQUAL(a->r.list.groups_count, 2);
	rig_fini(&rig);
}

/* --- topics --------------------------------------------------------------- */

static bool
subscribes(struct rig *rig, const char *topic, bool *known)
{
	return (group_subscribes(rig_group(rig), slice_of_text(topic), known));
}

/* A member with these bytes as its subscription. */
static void
join_subscribed(struct rig *rig, struct slice subscription, const char *type)
{
	const struct join_group_request_protocol protocol = {
		.name = SLICE_LITERAL("range"),
		.metadata = subscription,
	};
	struct asked *a = rig_leave(rig, (struct who){ .version = 1,
		.member = "x" });
	struct join_group_request request;

	wire_init(&message_join_group_request, &request);
	wire_init(&message_join_group_response, &a->r.join);
	request.group_id = SLICE_LITERAL("g");
	request.session_timeout_ms = 10000;
	request.rebalance_timeout_ms = 60000;
	request.protocol_type = slice_of_text(type);
	request.protocols = (struct join_group_request_protocol *)(uintptr_t)
	    &protocol;
	request.protocols_count = 1;
	a->ask.done = false;
	a->ask.version = 3;
	(void)group_join(rig->groups, &request, &a->ask);
	rig_run(rig, 3000);
	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.error_code, ERR_NONE);
}

static void
test_topics(void)
{
	/* version 3, topics [t1, t2], and what later versions add */
	static const char good[] = "\0\3\0\0\0\2\0\2t1\0\2t2"
	    "\377\377\377\377\0\0\0\0";
	struct rig rig;
	bool known;

	rig_init(&rig);
	join_subscribed(&rig, slice_of(good, sizeof(good) - 1), "consumer");
	CU_ASSERT(subscribes(&rig, "t1", &known) && known);
	CU_ASSERT(subscribes(&rig, "t2", &known) && known);
	CU_ASSERT(!subscribes(&rig, "t3", &known) && known);
	/* Nobody came again: no member, no topic. */
	rig_run(&rig, 100000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	CU_ASSERT(!subscribes(&rig, "t1", &known) && known);
	/* What cannot be read may be anything. */
	join_subscribed(&rig, slice_of(good, 10), "consumer");
	CU_ASSERT(subscribes(&rig, "t3", &known) && known);
	rig_run(&rig, 100000);
	join_subscribed(&rig, slice_of(good, 1), "consumer");
	CU_ASSERT(subscribes(&rig, "t3", &known) && known);
	rig_run(&rig, 100000);
	join_subscribed(&rig, slice_of(good, sizeof(good) - 1), "connect");
	CU_ASSERT(!subscribes(&rig, "t1", &known) && !known);
	rig_fini(&rig);
}

/* --- many ----------------------------------------------------------------- */

#define MANY 500

static void
test_many(void)
{
	struct asked *join[MANY], *sync[MANY];
	struct group *group;
	struct rig rig;

	rig_init(&rig);
	for (int round = 1; round <= 3; round++) {
		const char *leader;

		for (int i = 0; i < MANY; i++)
			join[i] = rig_join(&rig, (struct who){ .version = 3,
				.member = round == 1 ? NULL :
				rig_text(join[i], join[i]->r.join.member_id),
				.metadata = round == 2 ? "other" : "m" });
		if (round == 1)
			rig_run(&rig, 6000);
		for (int i = 0; i < MANY; i++) {
			CU_ASSERT_FATAL(join[i]->ask.done);
			CU_ASSERT_EQUAL(join[i]->r.join.generation_id, round);
			CU_ASSERT_EQUAL(join[i]->r.join.members_count,
			    i == 0 ? MANY : 0);
		}
		leader = rig_text(join[0], join[0]->r.join.leader);
		for (int i = MANY - 1; i >= 0; i--)
			sync[i] = rig_sync(&rig, (struct who){ .member =
				rig_text(join[i], join[i]->r.join.member_id) },
			    round, NULL);
		CU_ASSERT(slice_equal_text(join[0]->r.join.member_id, leader));
		rig_run(&rig, 0);
		for (int i = 0; i < MANY; i++) {
			CU_ASSERT(sync[i]->ask.done);
			CU_ASSERT_EQUAL(sync[i]->r.sync.error_code, ERR_NONE);
		}
		CU_ASSERT_EQUAL(rig_state(&rig), GROUP_STABLE);
	}
	/* All vanish at once. */
	rig_run(&rig, 100000);
	CU_ASSERT_EQUAL(rig_state(&rig), GROUP_EMPTY);
	/* Ids that are asked for and never used: so many at most. */
	for (int i = 0; i < GROUP_PENDING_MAX + 10; i++)
		(void)rig_member_id(&rig, (struct who){ 0 });
	group = rig_group(&rig);
	CU_ASSERT_EQUAL(group->members->pending_count, GROUP_PENDING_MAX);
	rig_run(&rig, 10000);
	CU_ASSERT_EQUAL(group->members->pending_count, 0);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "static replaced", test_static_replaced },
	{ "static replaced before 9", test_static_replaced_before_9 },
	{ "static not written", test_static_not_written },
	{ "static written late", test_static_written_late },
	{ "static changes protocol", test_static_changes_protocol },
	{ "static fenced waiting", test_static_fenced_waiting },
	{ "static stays", test_static_stays },
	{ "static postponed", test_static_postponed },
	{ "resign", test_resign },
	{ "restore", test_restore },
	{ "restore too many", test_restore_too_many },
	{ "forget", test_forget },
	{ "describe", test_describe },
	{ "list", test_list },
	{ "topics", test_topics },
	{ "many", test_many },
};

int
main(void)
{
	return (unit_main("group static", tests, nelems(tests)));
}
