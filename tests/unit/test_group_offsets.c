/* SPDX-License-Identifier: Apache-2.0 */
/* Committed offsets of groups: in records, in memory, asked for. */
#include <malloc.h>
#include <stdlib.h>

#include "offset_rig.h"

/* --- records -------------------------------------------------------------- */

static struct slice
hex(const char *text)
{
	static uint8_t bytes[512];
	size_t length = 0;

	for (; text[0] != '\0'; text += 2) {
		const char digits[3] = { text[0], text[1], '\0' };

		bytes[length++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return (slice_of(bytes, length));
}

static bool
is_hex(struct slice bytes, const char *text)
{
	return (slice_equal(bytes, hex(text)));
}

#define HEX_KEY "00077265616465727300066f726465727300000003"
#define HEX_OFFSET "0000001cbe991a14"
#define HEX_NOTE "00046e6f7465"
#define HEX_TIME "0000018bcfe56800"
#define HEX_EXPIRY "0000018bcfe65260"

/* As the real broker writes them (tests/vectors/golden), a version before. */
static void
test_records_written(void)
{
	struct group_offset offset = {
		.offset = INT64_C(123456789012),
		.leader_epoch = 9,
		.metadata = SLICE_LITERAL("note"),
		.commit_ms = INT64_C(1700000000000),
		.expire_ms = -1,
	};
	struct buffer bytes = BUFFER_EMPTY;
	struct arena arena;

	CU_ASSERT_TRUE(group_append_offset_key(&bytes, SLICE_LITERAL("readers"),
	    SLICE_LITERAL("orders"), 3));
	CU_ASSERT_TRUE(is_hex(buffer_slice(&bytes), "0001" HEX_KEY));
	bytes.length = 0;
	CU_ASSERT_TRUE(group_append_offset_value(&bytes, &offset));
	CU_ASSERT_TRUE(is_hex(buffer_slice(&bytes),
	    "0003" HEX_OFFSET "00000009" HEX_NOTE HEX_TIME));
	bytes.length = 0;
	offset.expire_ms = INT64_C(1700000060000);
	CU_ASSERT_TRUE(group_append_offset_value(&bytes, &offset));
	CU_ASSERT_TRUE(is_hex(buffer_slice(&bytes),
	    "0001" HEX_OFFSET HEX_NOTE HEX_TIME HEX_EXPIRY));
	buffer_fini(&bytes);
	arena_init(&arena, 0);
	CU_ASSERT_TRUE(is_hex(group_key_of_group(&arena,
	    SLICE_LITERAL("readers")), "0002000772656164657273"));
	arena_fini(&arena);
}

static void
test_records_read(void)
{
	static const char *const values[] = {
		"0000" HEX_OFFSET HEX_NOTE HEX_TIME,
		"0001" HEX_OFFSET HEX_NOTE HEX_TIME HEX_EXPIRY,
		"0002" HEX_OFFSET HEX_NOTE HEX_TIME,
		"0003" HEX_OFFSET "00000009" HEX_NOTE HEX_TIME,
		"0004" HEX_OFFSET "00000009" "056e6f7465" HEX_TIME "00",
	};
	struct group_offset offset;
	struct group_key key;

	for (size_t i = 0; i < nelems(values); i++) {
		CU_ASSERT_TRUE(group_value_read_offset(hex(values[i]),
		    &offset));
		CU_ASSERT_EQUAL(offset.offset, INT64_C(123456789012));
		CU_ASSERT_EQUAL(offset.leader_epoch, i >= 3 ? 9 : -1);
		CU_ASSERT_TRUE(slice_equal_text(offset.metadata, "note"));
		CU_ASSERT_EQUAL(offset.commit_ms, INT64_C(1700000000000));
		CU_ASSERT_EQUAL(offset.expire_ms,
		    i == 1 ? INT64_C(1700000060000) : -1);
	}
	CU_ASSERT_FALSE(group_value_read_offset(hex("0005" HEX_OFFSET),
	    &offset));
	CU_ASSERT_FALSE(group_value_read_offset(hex("0003" HEX_OFFSET),
	    &offset));
	CU_ASSERT_FALSE(group_value_read_offset(hex("00"), &offset));
	for (int version = 0; version < 2; version++) {
		CU_ASSERT_TRUE(group_key_read(hex(version == 0 ?
		    "0000" HEX_KEY : "0001" HEX_KEY), &key));
		CU_ASSERT_EQUAL(key.kind, KEY_OFFSET);
		CU_ASSERT_TRUE(slice_equal_text(key.group, "readers"));
		CU_ASSERT_TRUE(slice_equal_text(key.topic, "orders"));
		CU_ASSERT_EQUAL(key.partition, 3);
	}
	CU_ASSERT_TRUE(group_key_read(hex("0002000772656164657273"), &key));
	CU_ASSERT_EQUAL(key.kind, KEY_GROUP);
	CU_ASSERT_TRUE(group_key_read(hex("0003ffff"), &key));
	CU_ASSERT_EQUAL(key.kind, KEY_UNKNOWN);
	CU_ASSERT_FALSE(group_key_read(hex("0001"), &key));
	CU_ASSERT_FALSE(group_key_read(SLICE_NULL, &key));
}

/* The first version knows one time-out. */
static void
test_group_value_versions(void)
{
	struct group_metadata_value value;
	struct arena arena;

	arena_init(&arena, 0);
	CU_ASSERT_TRUE(group_value_read_group(hex("0000"
	    "0008636f6e73756d657200000004000572616e676500086d656d6265722d31"
	    "0000000100086d656d6265722d310006636c69656e74000a2f3132372e302e"
	    "302e310000afc80000000373756200000003617373"), &arena, &value));
	CU_ASSERT_EQUAL(value.generation, 4);
	CU_ASSERT_EQUAL(value.members_count, 1);
	CU_ASSERT_EQUAL(value.members[0].session_timeout, 45000);
	CU_ASSERT_EQUAL(value.members[0].rebalance_timeout, 45000);
	CU_ASSERT_TRUE(group_value_read_group(hex("0001"
	    "0008636f6e73756d657200000004000572616e676500086d656d6265722d31"
	    "0000000100086d656d6265722d310006636c69656e74000a2f3132372e302e"
	    "302e31000493e00000afc80000000373756200000003617373"), &arena,
	    &value));
	CU_ASSERT_EQUAL(value.members[0].rebalance_timeout, 300000);
	CU_ASSERT_FALSE(group_value_read_group(hex("0005"), &arena, &value));
	arena_fini(&arena);
}

/* --- commits -------------------------------------------------------------- */

static void
test_commit_and_fetch(void)
{
	struct rig rig;
	struct one one;
	struct found found;

	rig_init(&rig);
	one_init(&one, "g", "t", 3, 42);
	one.part.leader_epoch = 7;
	one.part.metadata = SLICE_LITERAL("note");
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	found = fetch_as(&rig, "g", "t", 3, true);
	CU_ASSERT_EQUAL(found.offset, 42);
	CU_ASSERT_EQUAL(found.epoch, 7);
	CU_ASSERT_STRING_EQUAL(found.metadata, "note");
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 2), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "other", "t", 3), -1);
	/* The same from the log. */
	fake_coord_load(rig.coord);
	CU_ASSERT_STRING_EQUAL(fetch_as(&rig, "g", "t", 3, true).metadata,
	    "note");
	/* Shorter, longer, none. */
	one.part.metadata = SLICE_LITERAL("a longer note");
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(fetch_as(&rig, "g", "t", 3, true).metadata,
	    "a longer note");
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 3, 43), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(fetch_as(&rig, "g", "t", 3, true).metadata, "");
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUP_OFFSETS), 1);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSET_COMMITS), 3);
	rig_fini(&rig);
}

/* As Kafka 3.9 counts: a commit once, whatever it is of, when it is written. */
static void
test_commits_counted(void)
{
	struct group_part parts[3];
	struct one one;
	struct rig rig;

	rig_init(&rig);
	one_init(&one, "g", "t", 0, 1);
	for (size_t i = 0; i < nelems(parts); i++) {
		parts[i] = one.part;
		parts[i].partition = (int32_t)i;
	}
	one.commit.parts = parts;
	one.commit.count = nelems(parts);
	rig.coord->hold = true;
	CU_ASSERT_FALSE(one_start(&rig, &one));
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSET_COMMITS), 0);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(one.ask.done);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUP_OFFSETS), 3);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSET_COMMITS), 1);
	CU_ASSERT_FALSE(one_start(&rig, &one));
	fake_coord_end(rig.coord, ERR_NOT_ENOUGH_REPLICAS);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_OFFSET_COMMITS), 1);
	rig_fini(&rig);
}

static void
test_fetch_all_and_twins(void)
{
	int32_t partitions[] = { 1, 9, 1 };
	struct offset_fetch_request_group_topic asked[] = {
		{ SLICE_LITERAL("t"), partitions, 3 },
		{ SLICE_LITERAL("u"), partitions, 1 },
		{ SLICE_LITERAL("t"), partitions, 2 },
	};
	struct offset_fetch_request_group request = {
		.group_id = SLICE_LITERAL("g"), .topics = asked,
		.topics_count = 3 };
	struct offset_fetch_response_group out = { 0 };
	struct rig rig;

	rig_init(&rig);
	for (int32_t p = 9; p >= 0; p--)
		CU_ASSERT_EQUAL(commit(&rig, "g", "t", p, 100 + p), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "g", "u", 1, 5), ERR_NONE);
	CU_ASSERT_TRUE(group_fetch_offsets(rig.groups, &request, false, &out,
	    rig_ask(&rig)));
	CU_ASSERT_EQUAL_FATAL(out.topics_count, 2);
	CU_ASSERT_EQUAL_FATAL(out.topics[0].partitions_count, 2);
	CU_ASSERT_EQUAL(out.topics[0].partitions[1].committed_offset, 109);
	CU_ASSERT_EQUAL(out.topics[1].partitions[0].committed_offset, 5);
	request.topics = NULL;
	request.topics_count = 0;
	memset(&out, 0, sizeof(out));
	CU_ASSERT_TRUE(group_fetch_offsets(rig.groups, &request, false, &out,
	    rig_ask(&rig)));
	CU_ASSERT_EQUAL_FATAL(out.topics_count, 2);
	CU_ASSERT_EQUAL(out.topics[0].partitions_count +
	    out.topics[1].partitions_count, 11);
	rig_fini(&rig);
}

/* Several under way: in the log's order, also when the asker is gone. */
static void
test_commits_under_way(void)
{
	struct rig rig;
	struct one first, second, third;

	rig_init(&rig);
	rig.coord->hold = true;
	one_init(&first, "g", "t", 0, 10);
	one_init(&second, "g", "t", 0, 20);
	one_init(&third, "g", "t", 0, 30);
	CU_ASSERT_FALSE(one_start(&rig, &first));
	CU_ASSERT_FALSE(one_start(&rig, &second));
	CU_ASSERT_FALSE(one_start(&rig, &third));
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).error,
	    ERR_UNSTABLE_OFFSET_COMMIT);
	group_forget(&second.ask);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(first.ask.done);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 10);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).offset, -1);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_FALSE(second.ask.done);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 20);
	fake_coord_end(rig.coord, ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_EQUAL(third.part.error, ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, true).offset, 20);
	rig_fini(&rig);
}

/* Records may be told in another order than they lie in the log. */
static void
test_never_back(void)
{
	struct group_offset old = { .offset = 5, .metadata = SLICE_EMPTY,
		.expire_ms = -1 };
	struct slice topic = SLICE_LITERAL("t");
	struct group_topic *held;
	struct group *group;
	struct rig rig;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 2), ERR_NONE);
	group = rig_group(&rig, "g");
	group_offset_put(group, topic, 0, &old, 0);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 2);
	group_offset_drop(group, topic, 0, 0);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 2);
	/* Held, it knows its tombstone. */
	held = group_offset_hold(group, topic, 0);
	group_offset_drop(group, topic, 0, 9);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	group_offset_put(group, topic, 0, &old, 8);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	group_offset_release(group, held, 0);
	CU_ASSERT_EQUAL(group->offsets->slot_count, 0);
	rig_fini(&rig);
}

static enum error
commit_as(struct rig *rig, const char *member, const char *instance,
    int32_t generation, int64_t offset)
{
	struct one one;

	one_init(&one, "g", "t", 0, offset);
	one.commit.member_id = slice_of_text(member);
	one.commit.instance_id = slice_of_text(instance);
	one.commit.generation = generation;
	return (one_run(rig, &one));
}

static void
test_commit_checks(void)
{
	struct rig rig;
	struct one one;
	struct group *group;

	rig_init(&rig);
	one_init(&one, "g", "t", 0, 1);
	one.commit.group_id = SLICE_NULL;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_INVALID_GROUP_ID);
	/* Nobody's generation; then a simple group comes to be. */
	one_init(&one, "g", "t", 0, 1);
	one.commit.generation = 3;
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NONE);
	CU_ASSERT_EQUAL(commit(&rig, "", "t", 0, 1), ERR_NONE);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 0, 2),
	    ERR_UNKNOWN_MEMBER_ID);
	/* With members. */
	put_group(&rig, "g", "consumer", 1);
	fake_coord_load(rig.coord);
	group = rig_group(&rig, "g");
	CU_ASSERT_EQUAL(group->state, GROUP_STABLE);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 3), ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 4, 10), ERR_NONE);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", "i", 4, 11), ERR_NONE);
	CU_ASSERT_EQUAL(commit_as(&rig, "m1", "i", 4, 12),
	    ERR_FENCED_INSTANCE_ID);
	CU_ASSERT_EQUAL(commit_as(&rig, "m1", NULL, 4, 12),
	    ERR_UNKNOWN_MEMBER_ID);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 3, 12),
	    ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, -1, 12),
	    ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(commit_as(&rig, "", "i", -1, 12),
	    ERR_FENCED_INSTANCE_ID);
	group_set_state(group, GROUP_PREPARING_REBALANCE);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 4, 13), ERR_NONE);
	group_set_state(group, GROUP_COMPLETING_REBALANCE);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 4, 14),
	    ERR_REBALANCE_IN_PROGRESS);
	CU_ASSERT_EQUAL(commit_as(&rig, "m0", NULL, 5, 14),
	    ERR_ILLEGAL_GENERATION);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 13);
	rig_fini(&rig);
}

static void
test_commit_metadata(void)
{
	/* U+1F600, four bytes: two units each. */
	static const char faces[] = "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
				    "\xf0\x9f\x98\x80";
	struct group_part parts[4];
	struct one one;
	struct rig rig;

	rig_init(&rig);
	rig.options.offset_metadata_max_bytes = 6;
	one_init(&one, "g", "t", 0, 1);
	for (int i = 0; i < 4; i++) {
		parts[i] = one.part;
		parts[i].partition = i;
	}
	parts[0].metadata = SLICE_LITERAL("1234567");
	parts[1].metadata = SLICE_LITERAL(faces);
	parts[2].metadata = SLICE_LITERAL("123456");
	parts[3].error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	one.commit.parts = parts;
	one.commit.count = 4;
	(void)one_run(&rig, &one);
	CU_ASSERT_EQUAL(parts[0].error, ERR_OFFSET_METADATA_TOO_LARGE);
	CU_ASSERT_EQUAL(parts[1].error, ERR_NONE);
	CU_ASSERT_EQUAL(parts[2].error, ERR_NONE);
	CU_ASSERT_EQUAL(parts[3].error, ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(rig.coord->batches, 1);
	CU_ASSERT_EQUAL(rig.coord->log_count, 2);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 3), -1);
	rig.options.offset_metadata_max_bytes = 5;
	one_init(&one, "g", "t", 0, 1);
	one.part.metadata = SLICE_LITERAL(faces);
	CU_ASSERT_EQUAL(one_run(&rig, &one), ERR_OFFSET_METADATA_TOO_LARGE);
	CU_ASSERT_EQUAL(rig.coord->batches, 1);
	rig_fini(&rig);
}

static void
test_commit_errors(void)
{
	static const struct {
		enum error appended;
		enum error answered;
		enum error of_group;
	} rows[] = {
		{ ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    ERR_COORDINATOR_NOT_AVAILABLE,
		    ERR_COORDINATOR_NOT_AVAILABLE },
		{ ERR_NOT_ENOUGH_REPLICAS, ERR_COORDINATOR_NOT_AVAILABLE,
		    ERR_COORDINATOR_NOT_AVAILABLE },
		{ ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
		    ERR_COORDINATOR_NOT_AVAILABLE,
		    ERR_COORDINATOR_NOT_AVAILABLE },
		{ ERR_NOT_LEADER_OR_FOLLOWER, ERR_NOT_COORDINATOR,
		    ERR_NOT_COORDINATOR },
		{ ERR_KAFKA_STORAGE_ERROR, ERR_NOT_COORDINATOR,
		    ERR_NOT_COORDINATOR },
		{ ERR_MESSAGE_TOO_LARGE, ERR_INVALID_COMMIT_OFFSET_SIZE,
		    ERR_UNKNOWN_SERVER_ERROR },
		{ ERR_RECORD_LIST_TOO_LARGE, ERR_INVALID_COMMIT_OFFSET_SIZE,
		    ERR_UNKNOWN_SERVER_ERROR },
		{ ERR_NETWORK_EXCEPTION, ERR_COORDINATOR_LOAD_IN_PROGRESS,
		    ERR_NETWORK_EXCEPTION },
		{ ERR_REQUEST_TIMED_OUT, ERR_REQUEST_TIMED_OUT,
		    ERR_REBALANCE_IN_PROGRESS },
		{ ERR_INVALID_REQUIRED_ACKS, ERR_INVALID_REQUIRED_ACKS,
		    ERR_INVALID_REQUIRED_ACKS },
	};
	struct rig rig;

	rig_init(&rig);
	for (size_t i = 0; i < nelems(rows); i++) {
		rig.coord->outcome = rows[i].appended;
		CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1),
		    rows[i].answered);
		CU_ASSERT_EQUAL(group_metadata_error(rows[i].appended),
		    rows[i].of_group);
	}
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	rig_fini(&rig);
}

static void
test_close_with_writes(void)
{
	struct rig rig;
	struct one one, two;

	rig_init(&rig);
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 1, 1), ERR_NONE);
	rig.coord->hold = true;
	one_init(&one, "g", "t", 0, 10);
	one_init(&two, "h", "u", 0, 10);
	CU_ASSERT_FALSE(one_start(&rig, &one));
	CU_ASSERT_FALSE(one_start(&rig, &two));
	fake_coord_close(rig.coord);
	fake_coord_end(rig.coord, ERR_NONE);
	fake_coord_end(rig.coord, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_TRUE(one.ask.done && two.ask.done);
	CU_ASSERT_EQUAL(one.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(two.part.error, ERR_NOT_COORDINATOR);
	rig.coord->hold = false;
	CU_ASSERT_EQUAL(commit(&rig, "g", "t", 0, 1), ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 0, false).error,
	    ERR_NOT_COORDINATOR);
	rig_fini(&rig);
}

/* --- loading -------------------------------------------------------------- */

static void
test_load(void)
{
	struct rig rig;
	struct group *group;

	rig_init(&rig);
	put_offset(&rig, "simple", 0, 1, -1);
	put_offset(&rig, "simple", 0, 2, -1);
	put_group(&rig, "full", "consumer", 1);
	put_group(&rig, "full", "consumer", 2);
	put_offset(&rig, "full", 1, 7, -1);
	put_group(&rig, "left", "consumer", 0);
	put_group(&rig, "gone", "consumer", 0);
	fake_coord_put(rig.coord, group_key_of_group(&rig.arena,
	    SLICE_LITERAL("gone")), SLICE_NULL, -1);
	put_group(&rig, "halfgone", "consumer", 1);
	put_offset(&rig, "halfgone", 0, 3, -1);
	fake_coord_put(rig.coord, group_key_of_group(&rig.arena,
	    SLICE_LITERAL("halfgone")), SLICE_NULL, -1);
	put_offset(&rig, "forgotten", 0, 3, -1);
	fake_coord_put(rig.coord, offset_key("forgotten", "t", 0), SLICE_NULL,
	    -1);
	/* Nobody's, and nobody can read these. */
	fake_coord_put(rig.coord, hex("0009"), SLICE_EMPTY, -1);
	fake_coord_put(rig.coord, hex("00"), SLICE_EMPTY, -1);
	fake_coord_put(rig.coord, SLICE_NULL, SLICE_EMPTY, -1);
	fake_coord_put(rig.coord, offset_key("bad", "t", 0), SLICE_EMPTY, -1);
	fake_coord_put(rig.coord, group_key_of_group(&rig.arena,
	    SLICE_LITERAL("badgroup")), hex("0003ff"), -1);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(rig_shard(&rig)->unreadable, 4);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->by_id), 4);
	CU_ASSERT_EQUAL(fetch(&rig, "simple", "t", 0), 2);
	group = rig_group(&rig, "simple");
	CU_ASSERT_PTR_NULL(group->protocol_type);
	CU_ASSERT_EQUAL(group->state, GROUP_EMPTY);
	group = rig_group(&rig, "full");
	CU_ASSERT_EQUAL(group->state, GROUP_STABLE);
	CU_ASSERT_EQUAL(group->generation, 4);
	CU_ASSERT_EQUAL(group_member_count(group), 2);
	CU_ASSERT_EQUAL(fetch(&rig, "full", "t", 1), 7);
	group = rig_group(&rig, "left");
	CU_ASSERT_EQUAL(group->state, GROUP_EMPTY);
	CU_ASSERT_EQUAL(group->generation, 4);
	group = rig_group(&rig, "halfgone");
	CU_ASSERT_PTR_NULL(group->protocol_type);
	CU_ASSERT_EQUAL(fetch(&rig, "halfgone", "t", 0), 3);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUPS), 4);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUP_OFFSETS), 3);
	rig_fini(&rig);
}

static void
test_transactions(void)
{
	struct rig rig;

	rig_init(&rig);
	put_offset(&rig, "g", 0, 1, 70);
	put_offset(&rig, "g", 0, 2, 70);
	fake_coord_mark(rig.coord, 70, true);
	put_offset(&rig, "g", 1, 3, 71);
	fake_coord_mark(rig.coord, 71, false);
	/* A later commit that no transaction may take back. */
	put_offset(&rig, "g", 2, 4, 72);
	put_offset(&rig, "g", 2, 5, -1);
	fake_coord_mark(rig.coord, 72, true);
	/* A tombstone, of a commit's age, is not about what ends behind it. */
	put_offset(&rig, "g", 3, 3, -1);
	put_offset(&rig, "g", 3, 8, 73);
	put_offset(&rig, "g", 3, 4, 73);
	fake_coord_put(rig.coord, offset_key("g", "t", 3), SLICE_NULL, -1);
	fake_coord_mark(rig.coord, 73, true);
	/* Within one. */
	put_offset(&rig, "g", 4, 4, 74);
	fake_coord_put(rig.coord, offset_key("g", "t", 4), SLICE_NULL, 74);
	fake_coord_mark(rig.coord, 74, true);
	/* No end yet. */
	put_offset(&rig, "g", 5, 6, 75);
	put_offset(&rig, "h", 5, 7, 75);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), 2);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 1), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 2), 5);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 3), 4);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 4), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 5), -1);
	CU_ASSERT_EQUAL(fetch_as(&rig, "h", "t", 5, true).error,
	    ERR_UNSTABLE_OFFSET_COMMIT);
	fake_coord_mark(rig.coord, 75, true);
	fake_coord_hear(rig.coord);
	CU_ASSERT_EQUAL(fetch_as(&rig, "g", "t", 5, true).offset, 6);
	CU_ASSERT_EQUAL(fetch_as(&rig, "h", "t", 5, true).offset, 7);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->producers), 0);
	rig_fini(&rig);
}

/* A transaction that commits the same again and again keeps no more. */
static void
test_long_transaction(void)
{
	struct rig rig;

	rig_init(&rig);
	for (int i = 0; i < 10000; i++)
		put_offset(&rig, "g", i % 4, i, 70);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(rig_group(&rig, "g")->offsets->slot_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_TRUE(rig_group(&rig, "g")
		    ->offsets->topics[0].block->slots[i].holds <= 8);
	fake_coord_mark(rig.coord, 70, true);
	fake_coord_hear(rig.coord);
	for (int32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(fetch(&rig, "g", "t", i), 9996 + i);
	rig_fini(&rig);
}

/* --- many of one topic ---------------------------------------------------- */

#define OF_ONE_TOPIC 3001 /* a prime */

/* Blocks, in order and none too large; partitions of the step and its multiples
 * only.  How many blocks. */
static uint32_t
expect_slots(struct rig *rig, int32_t step)
{
	struct group *group = rig_group(rig, "g");
	const struct group_offsets *offsets = group->offsets;
	const struct offset_slot *slot;
	struct group_topic *topic;
	struct offset_place place;
	int32_t next = 0, met = 0;

	for (uint32_t i = 0; i < offsets->count; i++) {
		const struct slot_block *block = offsets->topics[i].block;

		CU_ASSERT(block->count > 0);
		CU_ASSERT(block->count <= OFFSET_SLOTS_MAX);
		for (uint32_t j = 0; j < block->count; j++, next += step)
			CU_ASSERT_EQUAL(block->slots[j].partition, next);
	}
	CU_ASSERT(next >= OF_ONE_TOPIC);
	offset_place_begin(&place, rig_shard(rig));
	for (; (slot = offset_place_next(&place, group, &topic)) != NULL;
	     met += step)
		CU_ASSERT_EQUAL(slot->partition, met);
	CU_ASSERT_EQUAL(met, next);
	return (offsets->count);
}

static int32_t
fetch_all_of_one(struct rig *rig)
{
	const struct offset_fetch_request_group request = {
		.group_id = SLICE_LITERAL("g") };
	struct offset_fetch_response_group out = { 0 };

	CU_ASSERT_TRUE(group_fetch_offsets(rig->groups, &request, false, &out,
	    rig_ask(rig)));
	CU_ASSERT_EQUAL_FATAL(out.topics_count, 1);
	return (out.topics[0].partitions_count);
}

/* Upwards, downwards, and here and there. */
static int32_t
order_at(int order, int32_t i)
{
	return (order == 0 ? i : order == 1 ? OF_ONE_TOPIC - 1 - i :
		(int32_t)((int64_t)i * 1237 % OF_ONE_TOPIC));
}

/* In whatever order the partitions come and go, no more than a block is moved
 * for one of them: a commit of very many does not hold the loop. */
static void
test_orders(void)
{
	struct group_offset offset = { .metadata = SLICE_EMPTY,
		.leader_epoch = -1, .expire_ms = -1 };
	const struct slice t = SLICE_LITERAL("t");

	for (int order = 0; order < 3; order++) {
		struct group *group;
		struct rig rig;
		uint32_t blocks;

		rig_init(&rig);
		group = group_make(rig_shard(&rig), SLICE_LITERAL("g"));
		for (int32_t i = 0; i < OF_ONE_TOPIC; i++) {
			const int32_t p = order_at(order, i);

			offset.offset = p;
			group_offset_put(group, t, p, &offset, i);
		}
		blocks = expect_slots(&rig, 1);
		CU_ASSERT(blocks <= (order < 2 ? 1 : 2) *
		    (OF_ONE_TOPIC / OFFSET_SLOTS_MAX + 1) + 1);
		CU_ASSERT_EQUAL(fetch_all_of_one(&rig), OF_ONE_TOPIC);
		for (int32_t p = 0; p < OF_ONE_TOPIC; p += 37)
			CU_ASSERT_EQUAL(fetch(&rig, "g", "t", p), p);
		for (int32_t i = 0; i < OF_ONE_TOPIC; i++) {
			const int32_t p = order_at(order, i);

			if (p % 500 != 0)
				group_offset_drop(group, t, p,
				    OF_ONE_TOPIC + i);
		}
		CU_ASSERT(expect_slots(&rig, 500) <= 7);
		CU_ASSERT_EQUAL(fetch_all_of_one(&rig), 7);
		CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 499), -1);
		rig_fini(&rig);
	}
}

/* --- size ----------------------------------------------------------------- */

#define MANY_GROUPS 2000
#define MANY_PARTITIONS 100
/* By their fields, Kafka's objects of one that is loaded take some 250. */
static const size_t bytes_an_offset[] = { 60, 90 };

/* 0 under AddressSanitizer, whose heap is larger. */
static size_t
heap_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
	return (0);
#else
	return (mallinfo2().uordblks);
#endif
}

/* Memory of an offset, of groups that read a hundred partitions, and of as many
 * topics of one partition. */
static void
test_many(void)
{
	const size_t count = (size_t)MANY_GROUPS * MANY_PARTITIONS;
	struct group_offset offset = { .metadata = SLICE_EMPTY,
		.leader_epoch = -1, .expire_ms = -1 };
	struct rig rig;
	size_t before;

	for (int shape = 0; shape < 2; shape++) {
		rig_init(&rig);
		before = heap_bytes();
		for (int i = 0; i < MANY_GROUPS; i++) {
			char id[32];
			struct group *group;

			snprintf(id, sizeof(id), "group-%d", i);
			group = group_make(rig_shard(&rig), slice_of_text(id));
			for (int32_t p = 0; p < MANY_PARTITIONS; p++) {
				snprintf(id, sizeof(id), "topic-%d",
				    shape == 0 ? 0 : p);
				group_offset_put(group, slice_of_text(id),
				    shape == 0 ? p : 0, &offset, p);
			}
			group_offsets_trim(group);
		}
		CU_ASSERT_EQUAL(rig_shard(&rig)->offset_count, count);
		printf("[%zu bytes an offset] ",
		    (heap_bytes() - before) / count);
		CU_ASSERT_TRUE((heap_bytes() - before) / count <=
		    bytes_an_offset[shape]);
		rig_fini(&rig);
	}
}

static const struct unit_test tests[] = {
	{ "records are written as Kafka's", test_records_written },
	{ "records of all versions are read", test_records_read },
	{ "groups' records of old versions", test_group_value_versions },
	{ "a commit is fetched, and loaded", test_commit_and_fetch },
	{ "commits are counted", test_commits_counted },
	{ "fetch of all, and of what is named twice",
	    test_fetch_all_and_twins },
	{ "several commits under way", test_commits_under_way },
	{ "no record takes a later one back", test_never_back },
	{ "who may commit", test_commit_checks },
	{ "metadata beside an offset", test_commit_metadata },
	{ "what an append's errors mean", test_commit_errors },
	{ "closed with writes under way", test_close_with_writes },
	{ "a log is loaded", test_load },
	{ "offsets of transactions", test_transactions },
	{ "a long transaction", test_long_transaction },
	{ "partitions in any order", test_orders },
	{ "memory of many", test_many },
};

int
main(void)
{
	return (unit_main("group offsets", tests, nelems(tests)));
}
