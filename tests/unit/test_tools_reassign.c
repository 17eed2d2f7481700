/* SPDX-License-Identifier: Apache-2.0 */
/* reassign-partitions and `cluster health` without a broker: what they make of
 * files and answers, what they plan, what they print. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "tests/unit/tool_rig.h"
#include "tests/unit/unit.h"
#include "tools/cluster.h"
#include "tools/reassign.h"

#define ARENA_BYTES ((size_t)16 << 20)

/* --- files ---------------------------------------------------------------- */

/* "t-0:1,2 t-1:3 | 2:t-0=/a" of a file, or "!" and why not. */
static void
parsed(const char *text, bool check, struct buffer *out)
{
	struct reassign_wanted wanted;
	struct buffer why = BUFFER_EMPTY;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	out->length = 0;
	if (!reassign_parse(slice_of_text(text), &arena, &wanted, &why) ||
	    (check && !reassign_check(&wanted, &why))) {
		buffer_printf(out, "!%s", buffer_text(&why));
	} else {
		for (size_t i = 0; i < wanted.parts.count; i++) {
			const struct reassign_part *part =
			    &wanted.parts.items[i];

			buffer_printf(out, "%.*s-%d:",
			    SLICE_ARGS(part->topic), part->partition);
			reassign_put_ids(part->replicas,
			    (size_t)part->replica_count, out);
			buffer_append_text(out, " ");
		}
		buffer_append_text(out, "|");
		for (size_t i = 0; i < wanted.dirs.count; i++)
			buffer_printf(out, " %d:%.*s-%d=%.*s",
			    wanted.dirs.items[i].broker,
			    SLICE_ARGS(wanted.dirs.items[i].topic),
			    wanted.dirs.items[i].partition,
			    SLICE_ARGS(wanted.dirs.items[i].wanted));
	}
	buffer_fini(&why);
	arena_fini(&arena);
}

#define ENTRY(topic, partition, rest)                                         \
	"{\"topic\":\"" topic "\",\"partition\":" partition "," rest "}"
#define FILE_OF(entries) "{\"version\":1,\"partitions\":[" entries "]}"

static void
test_parse(void)
{
	static const struct {
		const char *text;
		const char *want; /* or how it begins, with "!" */
		bool check;
	} cases[] = {
		{ "{}", "|" },
		{ "{\"partitions\":[]}", "|" },
		{ "{}", "!Partition reassignment list cannot be empty", true },
		{ FILE_OF(ENTRY("b", "1", "\"replicas\":[2,1]") ","
		      ENTRY("b", "0", "\"replicas\":[3]") ","
		      ENTRY("a", "7", "\"replicas\":[1]")),
		    "a-7:1 b-0:3 b-1:2,1 |", true },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[2,1],"
		      "\"log_dirs\":[\"/b\",\"any\"]") ","
		      ENTRY("t", "1", "\"replicas\":[1,2],"
		      "\"log_dirs\":[\"/c\",\"/d\"]")),
		    "t-0:2,1 t-1:1,2 | 1:t-1=/c 2:t-0=/b 2:t-1=/d", true },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[]")), "t-0: |" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[]")),
		    "!Partition replica list cannot be empty", true },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[1,2,1]")),
		    "!Partition replica lists may not contain duplicate "
		    "entries: t-0 contains multiple entries for 1", true },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[1]") ","
		      ENTRY("t", "0", "\"replicas\":[2]")),
		    "!Partition reassignment contains duplicate topic "
		    "partitions: t-0" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[1,2],"
		      "\"log_dirs\":[\"any\"]")),
		    "!Size of replicas list (2) is different from size of "
		    "log dirs list (1) for partition t-0" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[1],"
		      "\"log_dirs\":[3]")), "!" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[1],"
		      "\"log_dirs\":\"x\"")), "!" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":[2147483648]")),
		    "!no \"replicas\"" },
		{ FILE_OF(ENTRY("t", "0", "\"replicas\":7")), "!" },
		{ FILE_OF(ENTRY("t", "\"0\"", "\"replicas\":[1]")),
		    "!no \"partition\"" },
		{ FILE_OF("{\"partition\":0,\"replicas\":[1]}"),
		    "!no \"topic\"" },
		{ FILE_OF("7"), "!no \"topic\"" },
		{ "{\"version\":2,\"partitions\":[]}", "!its \"version\"" },
		{ "{\"partitions\":7}", "!its \"partitions\" is no list" },
		{ "[]", "!it is no object" },
		{ "{\"partitions\":[}", "!it is no JSON: line 1" },
		{ "", "!it is no JSON" },
	};
	struct buffer got = BUFFER_EMPTY;

	for (size_t i = 0; i < nelems(cases); i++) {
		const char *want = cases[i].want;
		const size_t length = strlen(want);

		parsed(cases[i].text, cases[i].check, &got);
		if (strncmp(buffer_text(&got), want, length) != 0)
			printf("\n%s: %s", cases[i].text, buffer_text(&got));
		CU_ASSERT(strncmp(buffer_text(&got), want, length) == 0);
		CU_ASSERT(want[0] == '!' || length == got.length);
	}
	buffer_fini(&got);
}

/* A file of one partition with `count` replicas, or of as many partitions. */
static void
large_parsed(size_t count, bool one, struct buffer *out)
{
	struct buffer text = BUFFER_EMPTY;

	buffer_append_text(&text, "{\"partitions\":[");
	if (one)
		buffer_append_text(&text,
		    "{\"topic\":\"t\",\"partition\":0,\"replicas\":[");
	for (size_t i = 0; i < count; i++)
		buffer_printf(&text, one ? "%s%zu"
			: "%s{\"topic\":\"t\",\"partition\":%zu,"
			  "\"replicas\":[1]}", i == 0 ? "" : ",", i);
	buffer_append_text(&text, one ? "]}]}" : "]}");
	parsed(buffer_text(&text), true, out);
	buffer_fini(&text);
}

/* What is beyond all measure is refused, and what is large takes no more than
 * its time. */
static void
test_parse_large(void)
{
	struct buffer got = BUFFER_EMPTY;

	large_parsed(1000000, true, &got);
	CU_ASSERT(strncmp(buffer_text(&got), "t-0:0,1,2,", 10) == 0);
	large_parsed(2000001, true, &got);
	CU_ASSERT_STRING_EQUAL(buffer_text(&got),
	    "!it has 2000001 replicas, of which 2000000 at once are possible; "
	    "cut it into several files");
	large_parsed(400001, false, &got);
	CU_ASSERT(strncmp(buffer_text(&got), "!it has 400001 partitions",
	    25) == 0);
	/* Beyond what this arena holds. */
	large_parsed(390000, false, &got);
	CU_ASSERT(strncmp(buffer_text(&got), "!it is too large", 16) == 0);
	buffer_fini(&got);
}

static void
test_parse_generate(void)
{
	struct reassign_topics topics;
	struct reassign_brokers brokers;
	struct buffer why = BUFFER_EMPTY;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	CU_ASSERT_FATAL(reassign_parse_topics(SLICE_LITERAL(
	    "{\"topics\":[{\"topic\":\"b\"},{\"topic\":\"a\"}]}"), &arena,
	    &topics, &why));
	CU_ASSERT_EQUAL(topics.count, 2);
	CU_ASSERT(slice_equal_text(topics.items[0], "a"));
	CU_ASSERT(!reassign_parse_topics(SLICE_LITERAL(
	    "{\"topics\":[{\"topic\":\"b\"},{\"topic\":\"b\"}]}"), &arena,
	    &topics, &why));
	CU_ASSERT(!reassign_parse_topics(SLICE_LITERAL(
	    "{\"topics\":[{}]}"), &arena, &topics, &why));
	CU_ASSERT_FATAL(reassign_parse_brokers("3,0,12", &arena, &brokers,
	    &why));
	CU_ASSERT_EQUAL(brokers.count, 3);
	CU_ASSERT_EQUAL(brokers.ids[0], 0);
	CU_ASSERT_EQUAL(brokers.ids[2], 12);
	CU_ASSERT_FATAL(reassign_parse_brokers("3,12,,", &arena, &brokers,
	    &why));
	CU_ASSERT_EQUAL(brokers.count, 2);
	CU_ASSERT(!reassign_parse_brokers("", &arena, &brokers, &why));
	CU_ASSERT(!reassign_parse_brokers(",", &arena, &brokers, &why));
	CU_ASSERT(!reassign_parse_brokers(",1", &arena, &brokers, &why));
	CU_ASSERT(!reassign_parse_brokers("1,,2", &arena, &brokers, &why));
	CU_ASSERT(!reassign_parse_brokers("1,x", &arena, &brokers, &why));
	why.length = 0;
	CU_ASSERT(!reassign_parse_brokers("1,2,1", &arena, &brokers, &why));
	CU_ASSERT_STRING_EQUAL(buffer_text(&why),
	    "Broker list contains duplicate entries");
	buffer_fini(&why);
	arena_fini(&arena);
}

#define REASSIGN "barnabas reassign-partitions --bootstrap-server a:1 "

static void
test_options(void)
{
	expect("barnabas reassign-partitions --list", TOOL_USAGE,
	    "--bootstrap-server");
	expect(REASSIGN, TOOL_USAGE, "exactly one action");
	expect(REASSIGN "--list --verify", TOOL_USAGE, "exactly one action");
	expect(REASSIGN "--verify", TOOL_USAGE, "--reassignment-json-file");
	expect(REASSIGN "--execute", TOOL_USAGE, "--reassignment-json-file");
	expect(REASSIGN "--cancel", TOOL_USAGE, "--reassignment-json-file");
	expect(REASSIGN "--generate --broker-list 1", TOOL_USAGE,
	    "--topics-to-move-json-file");
	expect(REASSIGN "--generate --topics-to-move-json-file x", TOOL_USAGE,
	    "--broker-list");
	expect(REASSIGN "--list --throttle 7", TOOL_USAGE,
	    "--throttle does not go with --list");
	expect(REASSIGN "--verify --reassignment-json-file x --additional",
	    TOOL_USAGE, "--additional does not go with --verify");
	expect(REASSIGN "--execute --reassignment-json-file x "
	    "--preserve-throttles", TOOL_USAGE, "--preserve-throttles");
	expect(REASSIGN "--verify --reassignment-json-file x --timeout 3",
	    TOOL_USAGE, "--timeout");
	expect(REASSIGN "--execute --reassignment-json-file /nowhere/x",
	    TOOL_FAILED, "/nowhere/x");
	expect(REASSIGN "--generate --topics-to-move-json-file /nowhere/x "
	    "--broker-list 1", TOOL_FAILED, "/nowhere/x");
	expect(REASSIGN "--generate --topics-to-move-json-file x "
	    "--broker-list 1,q", TOOL_USAGE, "\"q\"");
}

/* --- plans ---------------------------------------------------------------- */

static int32_t one_two[] = { 1, 2 };
static int32_t two_three[] = { 2, 3 };
static int32_t three_four[] = { 3, 4 };
static int32_t four_one[] = { 4, 1 };
static int32_t one_two_three[] = { 1, 2, 3 };
static int32_t three[] = { 3 };
static int32_t one[] = { 1 };

/* t-1 goes from 1,2 to 2,3; other-0, too. */
static struct list_partition_reassignments_response_partition moving[] = {
	{ .partition_index = 1, .replicas = one_two_three,
	    .replicas_count = 3, .adding_replicas = three,
	    .adding_replicas_count = 1, .removing_replicas = one,
	    .removing_replicas_count = 1 },
	{ .partition_index = 0, .replicas = one_two_three,
	    .replicas_count = 3, .adding_replicas = three,
	    .adding_replicas_count = 1 },
};
static struct list_partition_reassignments_response_topic moving_topics[] = {
	{ .partitions = &moving[0], .partitions_count = 1 },
	{ .partitions = &moving[1], .partitions_count = 1 },
};
static const struct list_partition_reassignments_response moves = {
	.topics = moving_topics, .topics_count = 2,
};

#define PART(name, number, ids)                                               \
	{ .topic = SLICE_LITERAL(name), .partition = (number),                \
		.replicas = (ids), .replica_count = (int32_t)nelems(ids) }

/* "t leaders | followers" of each topic that moves, and all brokers. */
static void
test_moves(void)
{
	struct reassign_part wanted_items[] = { PART("t", 0, two_three),
		PART("t", 1, four_one), PART("t", 10, three_four),
		PART("u", 0, one) };
	struct reassign_part now_items[] = { PART("t", 0, one_two),
		PART("t", 1, one_two_three), PART("t", 10, one_two),
		PART("u", 0, one_two) };
	const struct reassign_parts wanted = { wanted_items, 4 };
	const struct reassign_parts now = { now_items, 4 };
	struct reassign_moves planned;
	struct reassign_brokers brokers;
	struct buffer out = BUFFER_EMPTY;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	reassign_plan_moves(&moves, &wanted, &now, &arena, &planned);
	CU_ASSERT_EQUAL_FATAL(planned.count, 5);
	CU_ASSERT(slice_equal_text(planned.items[0].topic, "other"));
	reassign_plan_throttle(&planned.items[0], 1, REASSIGN_LEADERS, &out);
	buffer_append_text(&out, "|");
	reassign_plan_throttle(&planned.items[0], 1, REASSIGN_FOLLOWERS, &out);
	buffer_append_text(&out, " ");
	/* What moves is fed from where it was before, whatever is wanted now;
	 * "10:" sorts before "1:", as a text. */
	reassign_plan_throttle(&planned.items[1], 3, REASSIGN_LEADERS, &out);
	buffer_append_text(&out, "|");
	reassign_plan_throttle(&planned.items[1], 3, REASSIGN_FOLLOWERS, &out);
	buffer_append_text(&out, " ");
	/* Who only gives up replicas receives nothing. */
	reassign_plan_throttle(&planned.items[4], 1, REASSIGN_LEADERS, &out);
	buffer_append_text(&out, "|");
	reassign_plan_throttle(&planned.items[4], 1, REASSIGN_FOLLOWERS, &out);
	same_text(&out, "0:1,0:2|0:3 "
			"0:1,0:2,10:1,10:2,1:1,1:2|0:3,10:3,10:4,1:4 "
			"0:1,0:2|");
	reassign_plan_brokers(&planned, &arena, &brokers);
	reassign_put_ids(brokers.ids, brokers.count, &out);
	same_text(&out, "1,2,3,4");
	arena_fini(&arena);
}

static bool
proposed(const char *const racks[], bool heed, struct buffer *out)
{
	struct metadata_response_broker there[4] = { 0 };
	const struct metadata_response metadata = { .brokers = there,
		.brokers_count = 4 };
	int32_t ids[] = { 0, 1, 2, 3, 9 };
	struct reassign_brokers brokers = { ids, 5 };
	struct reassign_part items[] = { PART("a", 0, one_two),
		PART("a", 1, one_two), PART("b", 0, one_two_three) };
	const struct reassign_parts now = { items, 3 };
	struct reassign_parts parts;
	struct random random;
	struct arena arena;
	bool good;

	for (int32_t i = 0; i < 4; i++) {
		there[i].node_id = i;
		there[i].rack = slice_of_text(racks[i]);
	}
	arena_init(&arena, ARENA_BYTES);
	random_seed(&random, 7);
	out->length = 0;
	good = reassign_propose(&now, &brokers, &metadata, heed, &random,
	    &arena, &parts, out);
	for (size_t i = 0; good && i < parts.count; i++) {
		const struct reassign_part *part = &parts.items[i];

		CU_ASSERT(slice_equal(part->topic, items[i].topic));
		CU_ASSERT_EQUAL(part->partition, items[i].partition);
		CU_ASSERT_EQUAL(part->replica_count, items[i].replica_count);
		for (int32_t k = 0; k < part->replica_count; k++) {
			CU_ASSERT(part->replicas[k] >= 0 &&
			    part->replicas[k] < 4);
			for (int32_t j = 0; j < k; j++)
				CU_ASSERT_NOT_EQUAL(part->replicas[j],
				    part->replicas[k]);
		}
		/* Racks 0, 0, 1, 1: the first two replicas are apart. */
		if (heed && racks[0] != NULL)
			CU_ASSERT_NOT_EQUAL(part->replicas[0] / 2,
			    part->replicas[1] / 2);
	}
	arena_fini(&arena);
	return (good);
}

static void
test_propose(void)
{
	static const char *const none[] = { NULL, NULL, NULL, NULL };
	static const char *const two[] = { "x", "x", "y", "y" };
	static const char *const some[] = { "x", NULL, "y", "y" };
	struct buffer why = BUFFER_EMPTY;
	struct metadata_response nobody = { 0 };
	struct reassign_part items[] = { PART("a", 0, one_two) };
	const struct reassign_parts now = { items, 1 };
	struct reassign_brokers brokers = { one, 1 };
	struct reassign_parts parts;
	struct random random;
	struct arena arena;

	CU_ASSERT(proposed(none, true, &why));
	CU_ASSERT(proposed(two, true, &why));
	CU_ASSERT(proposed(some, false, &why));
	CU_ASSERT(!proposed(some, true, &why));
	CU_ASSERT(strstr(buffer_text(&why), "--disable-rack-aware") != NULL);
	arena_init(&arena, ARENA_BYTES);
	random_seed(&random, 7);
	why.length = 0;
	CU_ASSERT(!reassign_propose(&now, &brokers, &nobody, true, &random,
	    &arena, &parts, &why));
	same_text(&why,
	    "Replication factor: 2 larger than available brokers: 0.");
	arena_fini(&arena);
}

/* --- texts ---------------------------------------------------------------- */

static void
test_list(void)
{
	const struct list_partition_reassignments_response none = { 0 };
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	reassign_list_text(&none, &arena, &out);
	same_text(&out, "No partition reassignments found.\n");
	reassign_list_text(&moves, &arena, &out);
	same_text(&out, "Current partition reassignments:\n"
			"other-0: replicas: 1,2,3. adding: 3.\n"
			"t-1: replicas: 1,2,3. adding: 3. removing: 1.\n");
	json_init(&json, &out);
	reassign_list_json(&moves, &arena, &json);
	same_text(&out, "\"reassignments\":[{\"topic\":\"other\","
			"\"partition\":0,\"replicas\":[1,2,3],"
			"\"addingReplicas\":[3],\"removingReplicas\":[]},"
			"{\"topic\":\"t\",\"partition\":1,"
			"\"replicas\":[1,2,3],\"addingReplicas\":[3],"
			"\"removingReplicas\":[1]}]");
	arena_fini(&arena);
}

static void
test_states(void)
{
	struct reassign_part wanted_items[] = { PART("t", 0, two_three),
		PART("t", 1, one_two), PART("t", 2, one_two),
		PART("t", 3, one) };
	struct reassign_part now_items[] = { PART("t", 0, two_three),
		PART("t", 1, one_two_three), PART("t", 2, four_one) };
	const struct reassign_parts wanted = { wanted_items, 4 };
	const struct reassign_parts now = { now_items, 3 };
	const struct reassign_state state = { &wanted, &now, &moves };
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	reassign_state_text(&state, &out);
	same_text(&out,
	    "Status of partition reassignment:\n"
	    "Reassignment of partition t-0 is completed.\n"
	    "Reassignment of partition t-1 is still in progress.\n"
	    "There is no active reassignment of partition t-2, but replica "
	    "set is 4,1 rather than 1,2.\n"
	    "There is no active reassignment of partition t-3, but replica "
	    "set is  rather than 1.\n");
	json_init(&json, &out);
	reassign_json_parts(&json, "x", &wanted);
	same_text(&out,
	    "\"x\":{\"version\":1,\"partitions\":["
	    "{\"topic\":\"t\",\"partition\":0,\"replicas\":[2,3],"
	    "\"log_dirs\":[\"any\",\"any\"]},"
	    "{\"topic\":\"t\",\"partition\":1,\"replicas\":[1,2],"
	    "\"log_dirs\":[\"any\",\"any\"]},"
	    "{\"topic\":\"t\",\"partition\":2,\"replicas\":[1,2],"
	    "\"log_dirs\":[\"any\",\"any\"]},"
	    "{\"topic\":\"t\",\"partition\":3,\"replicas\":[1],"
	    "\"log_dirs\":[\"any\"]}]}");
	json_init(&json, &out);
	reassign_state_json(&state, &json);
	CU_ASSERT(strstr(buffer_text(&out), "\"partition\":1,\"state\":"
		"\"moving\",\"replicas\":[1,2,3],\"wantedReplicas\":[1,2]") !=
	    NULL);
	CU_ASSERT(strstr(buffer_text(&out), "\"partition\":3,\"state\":"
		"\"different\",\"replicas\":[],") != NULL);
	buffer_fini(&out);
}

#define DIR_OF(name, number, dir)                                             \
	{ .topic = SLICE_LITERAL(name), .partition = (number), .broker = 7,   \
		.wanted = SLICE_LITERAL(dir) }

static void
test_dirs(void)
{
	struct reassign_dir items[] = { DIR_OF("a", 0, "/x"),
		DIR_OF("a", 1, "/y"), DIR_OF("a", 2, "/y"),
		DIR_OF("b", 0, "/z"), DIR_OF("b", 1, "/y") };
	const struct reassign_dirs dirs = { items, 5 };
	struct describe_log_dirs_response_partition x_a[] = {
		{ .partition_index = 0 }, { .partition_index = 1 },
		{ .partition_index = 2 }, { .partition_index = 9 } };
	struct describe_log_dirs_response_partition x_b[] = {
		{ .partition_index = 0 } };
	struct describe_log_dirs_response_partition y_a[] = {
		{ .partition_index = 1, .is_future_key = true } };
	struct describe_log_dirs_response_partition y_b[] = {
		{ .partition_index = 0, .is_future_key = true } };
	struct describe_log_dirs_response_topic x_topics[] = {
		{ .name = SLICE_LITERAL("b"), .partitions = x_b,
		    .partitions_count = 1 },
		{ .name = SLICE_LITERAL("a"), .partitions = x_a,
		    .partitions_count = 4 } };
	struct describe_log_dirs_response_topic y_topics[] = {
		{ .name = SLICE_LITERAL("a"), .partitions = y_a,
		    .partitions_count = 1 },
		{ .name = SLICE_LITERAL("b"), .partitions = y_b,
		    .partitions_count = 1 } };
	struct describe_log_dirs_response_result results[] = {
		{ .log_dir = SLICE_LITERAL("/y"), .topics = y_topics,
		    .topics_count = 2 },
		{ .log_dir = SLICE_LITERAL("/x"), .topics = x_topics,
		    .topics_count = 2 } };
	const struct describe_log_dirs_response response = {
		.results = results, .results_count = 2 };
	struct buffer out = BUFFER_EMPTY;

	reassign_dirs_take(items, 5, &response);
	reassign_dirs_text(&dirs, &out);
	same_text(&out,
	    "Reassignment of replica a-0-7 completed successfully.\n"
	    "Reassignment of replica a-1-7 is still in progress.\n"
	    "Partition a-2 on broker 7 is not being moved from log dir /x to "
	    "/y.\n"
	    "Partition b-0 on broker 7 is being moved to log dir /y instead "
	    "of /z.\n"
	    "Partition b-1 is not found in any live log dir on broker 7. "
	    "There is likely an offline log directory on the broker.\n");
	CU_ASSERT(reassign_dir_moving(&items[1]));
	CU_ASSERT(!reassign_dir_moving(&items[2]));
}

/* --- health --------------------------------------------------------------- */

struct patient {
	struct metadata_response_broker brokers[2];
	struct metadata_response_partition partitions[2];
	struct metadata_response_topic topic;
	struct metadata_response metadata;
	struct describe_log_dirs_response_result dirs[2];
	const struct topics_counts *before; /* of a first look; may be NULL */
	const char *broker_why;
	bool broker_refused;
	struct health_facts facts;
	struct arena arena;
};

/* Two brokers, each with two directories; t-0 and t-1 on both. */
static void
patient_init(struct patient *p)
{
	*p = (struct patient) { 0 };
	arena_init(&p->arena, ARENA_BYTES);
	for (int32_t i = 0; i < 2; i++) {
		p->brokers[i] = (struct metadata_response_broker) {
			.node_id = 2 - i, .host = SLICE_LITERAL("h"),
			.port = 9092, .rack = SLICE_NULL };
		p->partitions[i] = (struct metadata_response_partition) {
			.partition_index = i, .leader_id = 1,
			.replica_nodes = one_two, .replica_nodes_count = 2,
			.isr_nodes = one_two, .isr_nodes_count = 2 };
		p->dirs[i] = (struct describe_log_dirs_response_result) {
			.log_dir = i == 0 ? SLICE_LITERAL("/a")
					  : SLICE_LITERAL("/bb"),
			.total_bytes = 1000000, .usable_bytes = 500000 };
	}
	p->topic = (struct metadata_response_topic) {
		.name = SLICE_LITERAL("t"), .partitions = p->partitions,
		.partitions_count = 2 };
	p->metadata = (struct metadata_response) { .brokers = p->brokers,
		.brokers_count = 2, .topics = &p->topic, .topics_count = 1,
		.cluster_id = SLICE_LITERAL("id"), .controller_id = 2 };
	p->facts = (struct health_facts) { .metadata = &p->metadata,
		.free_percent = 10, .churn.ms = 1000 };
}

static enum health
patient_judge(struct patient *p)
{
	const struct metadata_response_topic *const topics[] = { &p->topic };
	const struct topics_facts from = { .metadata = &p->metadata };

	health_brokers(&p->facts, &p->arena);
	for (size_t i = 0; i < p->facts.broker_count; i++) {
		p->facts.brokers[i].why = p->broker_why;
		p->facts.brokers[i].dirs =
		    (struct log_dirs_answer) { .refused = p->broker_refused,
			.response = { .results = p->dirs,
			    .results_count = 2 } };
	}
	topics_count(&from, topics, 1, p->before, &p->facts.counts);
	return (health_judge(&p->facts, &p->arena));
}

static void
test_health_good(void)
{
	struct patient p;
	struct buffer out = BUFFER_EMPTY;

	patient_init(&p);
	CU_ASSERT_EQUAL(patient_judge(&p), HEALTH_GOOD);
	health_text(&p.facts, &out);
	same_text(&out,
	    "Cluster ID: id\n"
	    "Controller: 2\n"
	    "Brokers: 2\n"
	    "Topics: 1, partitions: 2\n"
	    "Offline partitions: 0\n"
	    "Under-replicated partitions: 0\n"
	    "Partitions under min ISR: 0\n"
	    "Partitions that move: 0\n"
	    "ISR churn: 0 partitions changed (ISR: 0, leader or its epoch: 0) "
	    "in 1.0 s\n"
	    "\n"
	    "BROKER  ADDRESS  LEADS  REPLICAS  LOG DIR  USED  FREE\n"
	    "1       h:9092   2      2         /a       0 B   488.3 KiB "
	    "(50 %)\n"
	    "                                  /bb      0 B   488.3 KiB "
	    "(50 %)\n"
	    "2       h:9092   0      2         /a       0 B   488.3 KiB "
	    "(50 %)\n"
	    "                                  /bb      0 B   488.3 KiB "
	    "(50 %)\n"
	    "\nHealthy.\n");
	topics_counts_fini(&p.facts.counts);
	arena_fini(&p.arena);
}

/* What is wrong with the patient is told, in text and in JSON. */
static void
diagnose(struct patient *p, enum health health, const char *said)
{
	struct buffer out = BUFFER_EMPTY;

	CU_ASSERT_EQUAL(patient_judge(p), health);
	health_text(&p->facts, &out);
	if (strstr(buffer_text(&out), said) == NULL)
		printf("\n%s\n", buffer_text(&out));
	CU_ASSERT(strstr(buffer_text(&out), said) != NULL);
	CU_ASSERT(strstr(buffer_text(&out), "Healthy") == NULL);
	out.length = 0;
	health_json(&p->facts, &out);
	CU_ASSERT(strstr(buffer_text(&out), said) != NULL);
	CU_ASSERT(strstr(buffer_text(&out), health == HEALTH_BAD
		? "{\"healthy\":false,"
		: "{\"healthy\":null,") != NULL);
	buffer_fini(&out);
	topics_counts_fini(&p->facts.counts);
	arena_fini(&p->arena);
	patient_init(p);
}

static void
test_health_bad(void)
{
	struct patient p;

	patient_init(&p);
	p.metadata.controller_id = -1;
	diagnose(&p, HEALTH_BAD, "there is no controller");
	p.metadata.controller_id = 7;
	diagnose(&p, HEALTH_BAD, "there is no controller");
	p.partitions[1].isr_nodes_count = 1;
	diagnose(&p, HEALTH_BAD,
	    "1 partitions have replicas that are not in sync");
	p.partitions[0].leader_id = -1;
	diagnose(&p, HEALTH_BAD, "1 partitions have no leader");
	p.metadata.brokers_count = 1; /* 2 */
	diagnose(&p, HEALTH_BAD,
	    "broker 1 is not there: 2 partitions have a replica on it");
	p.dirs[1].error_code = ERR_KAFKA_STORAGE_ERROR;
	diagnose(&p, HEALTH_BAD, "broker 1: log directory /bb is offline");
	p.dirs[0].usable_bytes = 99999;
	diagnose(&p, HEALTH_BAD,
	    "less than 10 % of the file system of /a are free");
	p.dirs[0].total_bytes = INT64_MAX;
	diagnose(&p, HEALTH_BAD, "less than 10 %");
	p.broker_why = "no answer in time";
	diagnose(&p, HEALTH_BAD,
	    "broker 1 does not tell of its directories: no answer in time");
	/* Nobody could tell. */
	p.broker_why = "not to you";
	p.broker_refused = true;
	diagnose(&p, HEALTH_UNKNOWN,
	    "broker 1 does not tell of its directories: not to you");
	p.facts.moving_why = "why";
	diagnose(&p, HEALTH_UNKNOWN,
	    "nobody tells which partitions move: why");
	p.facts.moving_why = "why";
	p.partitions[1].isr_nodes_count = 1;
	diagnose(&p, HEALTH_UNKNOWN,
	    "1 partitions have replicas that are not in sync, or move");
	p.facts.moving_why = "why";
	p.partitions[1].leader_id = -1;
	diagnose(&p, HEALTH_BAD, "1 partitions have no leader");
	p.facts.min_isr_why = "why not";
	diagnose(&p, HEALTH_UNKNOWN,
	    "nobody tells min.insync.replicas: why not");
	p.dirs[0].error_code = ERR_CLUSTER_AUTHORIZATION_FAILED;
	diagnose(&p, HEALTH_UNKNOWN, "CLUSTER_AUTHORIZATION_FAILED");
	p.topic.error_code = ERR_UNKNOWN_SERVER_ERROR;
	diagnose(&p, HEALTH_UNKNOWN, "topic t: UNKNOWN_SERVER_ERROR");
	arena_fini(&p.arena);
}

/* What the first look did not see is not believed yet. */
static void
test_health_twice(void)
{
	static const struct topics_counts well = { .partitions = 2 };
	struct topics_ill second = { SLICE_LITERAL("t"), 1 };
	const struct topics_counts ill = { .ill = &second,
		.ill_count = 1 };
	struct patient p;

	patient_init(&p);
	p.before = &ill;
	p.partitions[0].isr_nodes_count = 1;
	p.partitions[1].leader_id = -1;
	diagnose(&p, HEALTH_BAD, "1 partitions have no leader");
	p.before = &ill;
	p.partitions[0].isr_nodes_count = 1;
	CU_ASSERT_EQUAL(patient_judge(&p), HEALTH_GOOD);
	topics_counts_fini(&p.facts.counts);
	p.before = &well;
	CU_ASSERT_EQUAL(patient_judge(&p), HEALTH_GOOD);
	topics_counts_fini(&p.facts.counts);
	p.before = NULL;
	CU_ASSERT_EQUAL(patient_judge(&p), HEALTH_BAD);
	CU_ASSERT_EQUAL(p.facts.counts.ill_count, 1);
	CU_ASSERT_EQUAL(p.facts.counts.ill[0].partition, 0);
	topics_counts_fini(&p.facts.counts);
	arena_fini(&p.arena);
}

/* --- churn ---------------------------------------------------------------- */

enum { SIGHT_TOPICS = 4, SIGHT_PARTITIONS = 4, SIGHT_ISR = 4 };

/* What one look sees. */
struct sight {
	char names[SIGHT_TOPICS];
	int32_t isr[SIGHT_TOPICS][SIGHT_PARTITIONS][SIGHT_ISR];
	struct metadata_response_partition
	    partitions[SIGHT_TOPICS][SIGHT_PARTITIONS];
	struct metadata_response_topic topics[SIGHT_TOPICS];
	struct metadata_response metadata;
};

/* The topic that was named last, or one more. */
static int32_t
sight_topic(struct sight *sight, char name, int id)
{
	const int32_t at = sight->metadata.topics_count;

	if (at > 0 && sight->names[at - 1] == name)
		return (at - 1);
	CU_ASSERT_FATAL(at < SIGHT_TOPICS);
	sight->names[at] = name;
	sight->topics[at] = (struct metadata_response_topic) {
		.name = { (const uint8_t *)&sight->names[at], 1 },
		.topic_id.bytes[0] = (uint8_t)id,
		.partitions = sight->partitions[at] };
	return (sight->metadata.topics_count++);
}

/* "t#9-0=1@4:23 ...": partition 0 of t, whose id is 9, led by 1 in epoch 4; 2
 * and 3 are in sync, "." is nobody. */
static void
sight_init(struct sight *sight, const char *text)
{
	int id, partition, leader, epoch, length;
	char name, isr[SIGHT_ISR + 1];

	*sight = (struct sight) { .metadata.topics = sight->topics };
	for (; sscanf(text, " %c#%d-%d=%d@%d:%4[0-9.]%n", &name, &id,
		 &partition, &leader, &epoch, isr, &length) == 6;
	     text += length) {
		const int32_t t = sight_topic(sight, name, id);
		const int32_t p = sight->topics[t].partitions_count++;

		CU_ASSERT_FATAL(p < SIGHT_PARTITIONS);
		sight->partitions[t][p] = (struct metadata_response_partition) {
			.partition_index = partition, .leader_id = leader,
			.leader_epoch = epoch,
			.isr_nodes = sight->isr[t][p] };
		for (int i = 0; isr[i] != '\0' && isr[i] != '.'; i++)
			sight->isr[t][p][sight->partitions[t][p]
					     .isr_nodes_count++] = isr[i] - '0';
	}
	CU_ASSERT_STRING_EQUAL(text, "");
}

static void
test_churn(void)
{
	static const struct {
		const char *before, *after;
		size_t partitions, isrs, leaders;
	} cases[] = {
		{ "t#1-0=1@4:123", "t#1-0=1@4:123", 0, 0, 0 },
		{ "t#1-0=1@4:123", "t#1-0=1@4:312", 0, 0, 0 },
		{ "t#1-0=1@4:123 t#1-1=2@5:23 u#2-0=3@6:3",
		    "u#2-0=3@6:3 t#1-1=2@5:32 t#1-0=1@4:321", 0, 0, 0 },
		/* the ISR */
		{ "t#1-0=1@4:123", "t#1-0=1@4:12", 1, 1, 0 },
		{ "t#1-0=1@4:12", "t#1-0=1@4:123", 1, 1, 0 },
		{ "t#1-0=1@4:123", "t#1-0=1@4:124", 1, 1, 0 },
		{ "t#1-0=1@4:112", "t#1-0=1@4:122", 1, 1, 0 },
		{ "t#1-0=1@4:1", "t#1-0=1@4:.", 1, 1, 0 },
		{ "t#1-0=1@4:.", "t#1-0=1@4:.", 0, 0, 0 },
		{ "t#1-0=1@4:12 t#1-1=1@4:12 u#2-0=1@4:12 u#2-1=1@4:12",
		    "u#2-1=1@4:1 u#2-0=1@4:21 t#1-1=1@4:2 t#1-0=1@4:12", 2, 2,
		    0 },
		/* brokers name them as they like */
		{ "u#2-1=1@4:12 u#2-0=1@4:12 t#1-1=1@4:12 t#1-0=1@4:12",
		    "t#1-0=1@4:1 t#1-1=1@4:2 u#2-0=1@4:1 u#2-1=1@4:2", 4, 4,
		    0 },
		/* the leader */
		{ "t#1-0=1@4:12", "t#1-0=2@5:12", 1, 0, 1 },
		{ "t#1-0=1@4:12", "t#1-0=2@4:12", 1, 0, 1 },
		{ "t#1-0=1@4:12", "t#1-0=-1@5:12", 1, 0, 1 },
		/* elected again in between */
		{ "t#1-0=1@4:12", "t#1-0=1@6:12", 1, 0, 1 },
		/* brokers that tell no epoch, or do so by now */
		{ "t#1-0=1@-1:12", "t#1-0=1@6:12", 0, 0, 0 },
		{ "t#1-0=1@6:12", "t#1-0=1@-1:12", 0, 0, 0 },
		{ "t#1-0=1@-1:12", "t#1-0=2@-1:12", 1, 0, 1 },
		/* both */
		{ "t#1-0=1@4:12 t#1-1=1@4:12 t#1-2=1@4:12",
		    "t#1-0=2@5:2 t#1-1=1@4:1 t#1-2=2@5:12", 3, 2, 2 },
		/* new and vanished */
		{ "", "t#1-0=1@4:12", 0, 0, 0 },
		{ "t#1-0=1@4:12", "", 0, 0, 0 },
		{ "t#1-0=1@4:12", "t#1-1=2@5:2 u#2-0=2@5:2", 0, 0, 0 },
		{ "s#1-0=1@4:12 t#2-0=1@4:12", "t#2-0=1@4:1 u#3-0=1@4:1", 1,
		    1, 0 },
		/* made anew; and where the id is not known */
		{ "t#1-0=1@4:12", "t#2-0=2@0:2", 0, 0, 0 },
		{ "t#1-0=1@4:12", "t#0-0=2@5:2", 1, 1, 1 },
		{ "t#0-0=1@4:12", "t#2-0=2@5:2", 1, 1, 1 },
	};
	struct health_churn churn = { 9, 9, 9, 9 };
	struct sight before, after;

	for (size_t i = 0; i < nelems(cases); i++) {
		sight_init(&before, cases[i].before);
		sight_init(&after, cases[i].after);
		health_churn_count(&before.metadata, &after.metadata, &churn);
		if (churn.partitions != cases[i].partitions ||
		    churn.isrs != cases[i].isrs ||
		    churn.leaders != cases[i].leaders)
			printf("\n%s -> %s\n", cases[i].before,
			    cases[i].after);
		CU_ASSERT_EQUAL(churn.partitions, cases[i].partitions);
		CU_ASSERT_EQUAL(churn.isrs, cases[i].isrs);
		CU_ASSERT_EQUAL(churn.leaders, cases[i].leaders);
		CU_ASSERT_EQUAL(churn.ms, 9);
	}
}

/* Of so many that no pass over all for each would end soon. */
static void
test_churn_large(void)
{
	enum { COUNT = 200000 };
	struct metadata_response_partition *parts =
	    mem_zalloc(2 * COUNT * sizeof(*parts));
	struct metadata_response_topic topics[] = {
		{ .name = SLICE_LITERAL("t"), .partitions = parts,
		    .partitions_count = COUNT },
		{ .name = SLICE_LITERAL("t"), .partitions = parts + COUNT,
		    .partitions_count = COUNT },
	};
	const struct metadata_response before = { .topics = &topics[0],
		.topics_count = 1 };
	const struct metadata_response after = { .topics = &topics[1],
		.topics_count = 1 };
	struct health_churn churn;

	for (int32_t i = 0; i < 2 * COUNT; i++)
		parts[i] = (struct metadata_response_partition) {
			.partition_index =
			    i < COUNT ? i : 2 * COUNT - 1 - i,
			.isr_nodes = one_two, .isr_nodes_count = 2 };
	parts[COUNT + 7].isr_nodes_count = 1;
	parts[COUNT + 8].leader_id = 1;
	health_churn_count(&before, &after, &churn);
	CU_ASSERT_EQUAL(churn.partitions, 2);
	CU_ASSERT_EQUAL(churn.isrs, 1);
	CU_ASSERT_EQUAL(churn.leaders, 1);
	mem_free(parts);
}

/* It is told, and nobody is ill of it. */
static void
test_churn_told(void)
{
	struct patient p;
	struct buffer out = BUFFER_EMPTY;

	patient_init(&p);
	p.facts.churn = (struct health_churn) { 3, 2, 1, 1049 };
	CU_ASSERT_EQUAL(patient_judge(&p), HEALTH_GOOD);
	health_text(&p.facts, &out);
	CU_ASSERT(strstr(buffer_text(&out), "\nISR churn: 3 partitions "
	    "changed (ISR: 2, leader or its epoch: 1) in 1.0 s\n") != NULL);
	CU_ASSERT(strstr(buffer_text(&out), "\nHealthy.\n") != NULL);
	out.length = 0;
	health_json(&p.facts, &out);
	CU_ASSERT(strstr(buffer_text(&out), "\"changedPartitions\":3,"
	    "\"changedIsrs\":2,\"changedLeaders\":1,"
	    "\"changedInMs\":1049,") != NULL);
	buffer_fini(&out);
	topics_counts_fini(&p.facts.counts);
	arena_fini(&p.arena);
}

static const struct unit_test tests[] = {
	{ "files", test_parse },
	{ "large files", test_parse_large },
	{ "files of --generate", test_parse_generate },
	{ "options", test_options },
	{ "moves and throttles", test_moves },
	{ "proposals", test_propose },
	{ "--list", test_list },
	{ "states", test_states },
	{ "log directories", test_dirs },
	{ "good health", test_health_good },
	{ "bad health", test_health_bad },
	{ "ill twice", test_health_twice },
	{ "churn", test_churn },
	{ "much churn", test_churn_large },
	{ "churn is told", test_churn_told },
};

int
main(void)
{
	moving_topics[0].name = slice_of_text("t");
	moving_topics[1].name = slice_of_text("other");
	return (unit_main("tools_reassign", tests, nelems(tests)));
}
