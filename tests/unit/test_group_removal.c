/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets and groups that go: deleted, with their topic, of age. */
#include "offset_rig.h"

/* --- deletion ------------------------------------------------------------- */

static enum error
delete_group(struct rig *rig, const char *id)
{
	struct delete_groups_response_group out = { 0 };
	struct group_ask *ask = rig_ask(rig);

	if (!group_delete(rig->groups, slice_of_text(id), &out, ask)) {
		CU_ASSERT_FALSE(ask->done);
		rig_run(rig, 0);
		CU_ASSERT_TRUE(ask->done);
	}
	return ((enum error)out.error_code);
}

static void
test_delete_group(void)
{
	struct rig rig;
	size_t before;

	rig_init(&rig);
	CU_ASSERT_EQUAL(delete_group(&rig, "g"), ERR_GROUP_ID_NOT_FOUND);
	for (int32_t p = 0; p < 9000; p++)
		put_offset(&rig, "g", p, p, -1);
	put_group(&rig, "g", "consumer", 0);
	put_group(&rig, "busy", "consumer", 1);
	put_group(&rig, "bare", "consumer", 0);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(delete_group(&rig, "busy"), ERR_NON_EMPTY_GROUP);
	before = rig.coord->log_count;
	CU_ASSERT_EQUAL(delete_group(&rig, "g"), ERR_NONE);
	CU_ASSERT_EQUAL(rig.coord->log_count - before, 9001);
	CU_ASSERT_TRUE(rig.coord->batches > 1);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	CU_ASSERT_EQUAL(delete_group(&rig, "g"), ERR_GROUP_ID_NOT_FOUND);
	CU_ASSERT_EQUAL(delete_group(&rig, "bare"), ERR_NONE);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSETS_DELETED), 0);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->by_id), 1);
	rig_fini(&rig);
}

/* What is committed behind the tombstones stays; what is refused goes not. */
static void
test_delete_under_way(void)
{
	struct delete_groups_response_group out = { 0 };
	struct group_ask ask;
	struct rig rig;
	struct one before, after;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	rig.coord->hold = true;
	one_init(&before, "g", "t", 1, 5);
	one_init(&after, "g", "t", 0, 9);
	CU_ASSERT_FALSE(one_start(&rig, &before));
	ask = *rig_ask(&rig);
	CU_ASSERT_FALSE(group_delete(rig.groups, SLICE_LITERAL("g"), &out,
	    &ask));
	CU_ASSERT_FALSE(one_start(&rig, &after));
	fake_coord_end(rig.coord, ERR_NONE);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(ask.done);
	CU_ASSERT_EQUAL(out.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), -1);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 9);
	ask = *rig_ask(&rig);
	CU_ASSERT_FALSE(group_delete(rig.groups, SLICE_LITERAL("g"), &out,
	    &ask));
	fake_coord_end(rig.coord, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(out.error_code, ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).offset, 9);
	rig_fini(&rig);
}

/* Of what is written in several batches, what is committed between these is
 * newer than the deletion, and its group lives on. */
static void
check_committed_between(const int32_t *partitions, int count)
{
	struct delete_groups_response_group out = { 0 };
	struct group_ask ask;
	struct rig rig;
	struct one ones[2];

	rig_init(&rig);
	for (int32_t p = 0; p < 9000; p++)
		put_offset(&rig, "g", p, p, -1);
	put_group(&rig, "g", "consumer", 0);
	fake_coord_load(rig.coord);
	rig.coord->hold = true;
	ask = *rig_ask(&rig);
	CU_ASSERT_FALSE(group_delete(rig.groups, SLICE_LITERAL("g"), &out,
	    &ask));
	for (int i = 0; i < count; i++) {
		one_init(&ones[i], "g", "t", partitions[i], 77 + i);
		CU_ASSERT_FALSE(one_start(&rig, &ones[i]));
	}
	for (int i = 0; i < 3 + count; i++)
		fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(ask.done);
	CU_ASSERT_EQUAL(out.error_code, ERR_NONE);
	rig.coord->hold = false;
	for (int load = 0; load < 2; load++) {
		for (int i = 0; i < count; i++)
			CU_ASSERT_EQUAL(fetch(&rig, "g", "t", partitions[i]),
			    77 + i);
		CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), -1);
		CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 8998), -1);
		CU_ASSERT_EQUAL(rig_group(&rig, "g")->offsets->slot_count,
		    (uint32_t)count);
		CU_ASSERT_PTR_NOT_NULL(rig_group(&rig, "g")->protocol_type);
		fake_coord_load(rig.coord);
	}
	rig_fini(&rig);
}

static void
test_delete_between_batches(void)
{
	check_committed_between((const int32_t[]){ 8999, 5000 }, 2);
	/* What the first batch deleted. */
	check_committed_between((const int32_t[]){ 0 }, 1);
	check_committed_between((const int32_t[]){ 8999, 0 }, 2);
}

/* Also where a transaction was behind the first batch. */
static void
test_delete_many_pending(void)
{
	struct rig rig;

	rig_init(&rig);
	for (int32_t p = 0; p < 9000; p++)
		put_offset(&rig, "g", p, p, -1);
	put_offset(&rig, "g", 8999, 1, 70);
	put_offset(&rig, "g", 9000, 1, 70);
	put_group(&rig, "g", "consumer", 0);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(delete_group(&rig, "g"), ERR_NONE);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->producers), 0);
	rig_fini(&rig);
}

/* Half of it is written when another broker takes over. */
static void
test_delete_half(void)
{
	struct delete_groups_response_group out = { 0 };
	struct group_ask ask;
	struct rig rig;

	rig_init(&rig);
	for (int32_t p = 0; p < 9000; p++)
		put_offset(&rig, "g", p, p, -1);
	fake_coord_load(rig.coord);
	rig.coord->hold = true;
	ask = *rig_ask(&rig);
	CU_ASSERT_FALSE(group_delete(rig.groups, SLICE_LITERAL("g"), &out,
	    &ask));
	fake_coord_close(rig.coord);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(ask.done);
	CU_ASSERT_EQUAL(out.error_code, ERR_NOT_COORDINATOR);
	rig_fini(&rig);
}

static enum error
delete_offsets(struct rig *rig, const char *group, struct group_part *parts,
    size_t count)
{
	struct group_offset_deletion deletion = {
		.group_id = slice_of_text(group),
		.parts = parts,
		.count = count,
	};
	struct group_ask *ask = rig_ask(rig);

	if (!group_delete_offsets(rig->groups, &deletion, ask)) {
		rig_run(rig, 0);
		CU_ASSERT_TRUE(ask->done);
	}
	return (deletion.error);
}

static void
test_delete_offsets(void)
{
	struct group_part parts[] = {
		{ .topic = SLICE_LITERAL("u"), .partition = 0 },
		{ .topic = SLICE_LITERAL("t"), .partition = 0 },
		{ .topic = SLICE_LITERAL("u"), .partition = 8 },
	};
	struct rig rig;

	rig_init(&rig);
	CU_ASSERT_EQUAL(delete_offsets(&rig, "", parts, 1),
	    ERR_INVALID_GROUP_ID);
	CU_ASSERT_EQUAL(delete_offsets(&rig, "g", parts, 1),
	    ERR_GROUP_ID_NOT_FOUND);
	put_group(&rig, "g", "consumer", 1);
	put_group(&rig, "c", "connect", 1);
	put_group_of(&rig, "dim", "consumer", SLICE_LITERAL("?"), 1);
	put_offset(&rig, "g", 0, 1, -1);
	fake_coord_put(rig.coord, offset_key("g", "u", 0),
	    offset_value(1, WALL_MS), -1);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(commit(&rig, "s", "u", 0, 1), ERR_NONE);
	CU_ASSERT_EQUAL(delete_offsets(&rig, "c", parts, 1),
	    ERR_NON_EMPTY_GROUP);
	CU_ASSERT_EQUAL(delete_offsets(&rig, "g", parts, 3), ERR_NONE);
	CU_ASSERT_EQUAL(parts[0].error, ERR_NONE);
	CU_ASSERT_EQUAL(parts[1].error, ERR_GROUP_SUBSCRIBED_TO_TOPIC);
	CU_ASSERT_EQUAL(parts[2].error, ERR_NONE);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "u", 0), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 1);
	/* Nobody can read what it subscribes to. */
	parts[1].error = ERR_NONE;
	CU_ASSERT_EQUAL(delete_offsets(&rig, "dim", parts, 1), ERR_NONE);
	CU_ASSERT_EQUAL(parts[0].error, ERR_GROUP_SUBSCRIBED_TO_TOPIC);
	parts[0].error = ERR_NONE;
	/* The last one of a group that is empty. */
	parts[1].error = ERR_NONE;
	CU_ASSERT_EQUAL(delete_offsets(&rig, "s", parts, 3), ERR_NONE);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "s"));
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSETS_DELETED), 2);
	rig_fini(&rig);
}

/* Nobody may ever end the transaction: deletion does, until the next load. */
static void
test_delete_pending(void)
{
	struct group_part part = {
		.topic = SLICE_LITERAL("t"), .partition = 0,
	};
	struct rig rig;

	rig_init(&rig);
	put_offset(&rig, "g", 0, 1, -1);
	put_offset(&rig, "g", 0, 2, 70);
	put_offset(&rig, "g", 1, 3, 70);
	put_offset(&rig, "h", 0, 4, 70);
	put_group(&rig, "h", "consumer", 0);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).error,
	    ERR_UNSTABLE_OFFSET_COMMIT);
	CU_ASSERT_EQUAL(delete_offsets(&rig, "g", &part, 1), ERR_NONE);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).error, ERR_NONE);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).offset, -1);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 1, true).error,
	    ERR_UNSTABLE_OFFSET_COMMIT);
	CU_ASSERT_EQUAL(delete_group(&rig, "h"), ERR_NONE);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "h"));
	CU_ASSERT_EQUAL(delete_group(&rig, "g"), ERR_NONE);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->producers), 0);
	/* As Kafka reads its log: it may be ended yet. */
	fake_coord_load(rig.coord);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rig_group(&rig, "h"));
	CU_ASSERT_PTR_NULL(rig_group(&rig, "h")->protocol_type);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).error,
	    ERR_UNSTABLE_OFFSET_COMMIT);
	fake_coord_mark(rig.coord, 70, true);
	fake_coord_hear(rig.coord);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).offset, 2);
	rig_fini(&rig);
}

static void
test_topic_deleted(void)
{
	struct rig rig;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "g", "u", 0, 2), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "h", "t", 1, 3), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "h", "t", 2, 3), ERR_NONE);
	groups_topic_deleted(rig.groups, SLICE_LITERAL("unknown"));
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	rig_run(&rig, 0);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "u", 0), 2);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "h"));
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "u", 0), 2);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "h"));
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSETS_DELETED), 0);
	rig_fini(&rig);
}

/* --- age ------------------------------------------------------------------ */

/* The first round comes soon after a load. */
#define FIRST_MS INT64_C(10000)
#define CHECK_MS INT64_C(600000)
#define WEEK_MS (INT64_C(10080) * 60000)

static void
test_retention_simple(void)
{
	struct rig rig;
	struct one one;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	one_init(&one, "g", "t", 1, 1);
	one.commit.retention_ms = 60000;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	one_init(&one, "g", "t", 2, 1);
	one.commit.retention_ms = 2 * WEEK_MS;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	one_init(&one, "g", "t", 3, 1);
	one.part.commit_ms = WALL_MS - WEEK_MS + 1000;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 3), 1);
	rig_run(&rig, FIRST_MS + 1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 3), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), 1);
	rig_run(&rig, CHECK_MS);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), -1);
	rig_run(&rig, WEEK_MS);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 2), 1);
	rig_run(&rig, WEEK_MS);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSETS_EXPIRED), 4);
	fake_coord_load(rig.coord);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	rig_fini(&rig);
}

/* A commit is under way, which makes the offset young. */
static void
test_retention_held(void)
{
	struct rig rig;
	struct one one;

	rig_init(&rig);
	one_init(&one, "g", "t", 0, 1);
	one.part.commit_ms = WALL_MS - WEEK_MS;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	rig.coord->hold = true;
	one_init(&one, "g", "t", 0, 2);
	CU_ASSERT_FALSE(one_start(&rig, &one));
	rig_run(&rig, CHECK_MS + 1);
	CU_ASSERT_EQUAL(rig.coord->batches, 2);
	fake_coord_end(rig.coord, ERR_NONE);
	rig_run(&rig, CHECK_MS + 1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 2);
	CU_ASSERT_EQUAL(rig.coord->batches, 2);
	rig_fini(&rig);
}

static void
test_retention_members(void)
{
	struct rig rig;

	rig_init(&rig);
	/* Of a week and a day ago; the group was left a moment ago. */
	put_group(&rig, "left", "consumer", 0);
	fake_coord_put(rig.coord, offset_key("left", "t", 0),
	    offset_value(1, WALL_MS - WEEK_MS - 86400000), -1);
	put_group(&rig, "here", "consumer", 1);
	fake_coord_put(rig.coord, offset_key("here", "t", 0),
	    offset_value(1, WALL_MS - WEEK_MS - 86400000), -1);
	fake_coord_put(rig.coord, offset_key("here", "u", 0),
	    offset_value(1, WALL_MS - WEEK_MS - 86400000), -1);
	put_group_of(&rig, "dim", "consumer", SLICE_LITERAL("?"), 1);
	fake_coord_put(rig.coord, offset_key("dim", "u", 0),
	    offset_value(1, WALL_MS - WEEK_MS - 86400000), -1);
	put_group(&rig, "connect", "connect", 1);
	fake_coord_put(rig.coord, offset_key("connect", "t", 0),
	    offset_value(1, WALL_MS - WEEK_MS - 86400000), -1);
	fake_coord_load(rig.coord);
	rig_run(&rig, CHECK_MS + 1);
	/* Nobody knows what it reads: all stays. */
	CU_ASSERT_EQUAL(fetch(&rig, "dim", "u", 0), 1);
	CU_ASSERT_EQUAL(fetch(&rig, "here", "t", 0), 1);
	CU_ASSERT_EQUAL(fetch(&rig, "here", "u", 0), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "connect", "t", 0), 1);
	CU_ASSERT_EQUAL(fetch(&rig, "left", "t", 0), 1);
	rig_run(&rig, WEEK_MS);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "left"));
	CU_ASSERT_EQUAL(fetch(&rig, "here", "t", 0), 1);
	/* Its own tombstone is in the log, too. */
	fake_coord_load(rig.coord);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "left"));
	rig_fini(&rig);
}

/* What a clock that leaps ahead makes old stays as long as the leap is wide, a
 * day at most. */
static void
test_retention_leaps(void)
{
	const int64_t day_ms = 86400000;
	struct rig rig;
	struct one one;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	one_init(&one, "g", "t", 1, 1);
	one.commit.retention_ms = 2 * day_ms;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	rig_run(&rig, FIRST_MS + 1);
	rig.clock.wall_base_ms += 2 * WEEK_MS;
	rig_run(&rig, day_ms / 2);
	rig.clock.wall_base_ms -= 2 * WEEK_MS;
	rig_run(&rig, day_ms);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), 1);
	rig.clock.wall_base_ms += WEEK_MS - day_ms;
	rig_run(&rig, day_ms - CHECK_MS);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 1);
	rig_run(&rig, 3 * CHECK_MS);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g"));
	rig_fini(&rig);
}

/* A round goes over many groups in turns, and past those that go meanwhile. */
static void
test_retention_turns(void)
{
	struct rig rig;
	char id[32];

	rig_init(&rig);
	for (int i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "g%d", i);
		fake_coord_put(rig.coord, offset_key(id, "t", 0),
		    offset_value(1, WALL_MS - (i % 2 == 0 ? WEEK_MS : 0)), -1);
	}
	rig.options.offsets_retention_check_interval_ms = 1000;
	fake_coord_load(rig.coord);
	rig.coord->hold = true;
	group_bury(rig_group(&rig, "g7"), ERR_NONE);
	group_bury(rig_group(&rig, "g9"), ERR_NONE);
	rig.coord->hold = false;
	rig_run(&rig, 1500);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->by_id), 2498);
	CU_ASSERT_PTR_NULL(rig_group(&rig, "g0"));
	CU_ASSERT_PTR_NOT_NULL(rig_group(&rig, "g4999"));
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "groups are deleted", test_delete_group },
	{ "commits around a deletion", test_delete_under_way },
	{ "commits between a deletion's batches", test_delete_between_batches },
	{ "what transactions hold of many", test_delete_many_pending },
	{ "half of a deletion", test_delete_half },
	{ "offsets are deleted", test_delete_offsets },
	{ "what transactions hold", test_delete_pending },
	{ "a topic is deleted", test_topic_deleted },
	{ "age, without members", test_retention_simple },
	{ "age, with a commit under way", test_retention_held },
	{ "age, with members", test_retention_members },
	{ "age, by a clock that leaps", test_retention_leaps },
	{ "age, of many groups", test_retention_turns },
};

int
main(void)
{
	return (unit_main("group removal", tests, nelems(tests)));
}
