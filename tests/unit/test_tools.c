/* SPDX-License-Identifier: Apache-2.0 */
/* The tools without a broker: options, filters, texts, dumps of golden
 * files. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "storage/file.h"
#include "storage/producers.h"
#include "tests/unit/tool_rig.h"
#include "tests/unit/unit.h"
#include "tools/console.h"
#include "tools/consume_format.h"
#include "tools/json_out.h"
#include "tools/produce_line.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"
#include "tools/topics.h"

/* --- options -------------------------------------------------------------- */

static const struct arg_row rows[] = {
	{ "flag", ARG_FLAG, NULL, NULL, "" },
	{ "text", ARG_TEXT, "x", "fallback", "" },
	{ "number", ARG_INT, "n", NULL, "" },
	{ "long", ARG_LONG, "n", "7", "" },
	{ "many", ARG_MANY, "x", NULL, "" },
	{ "maybe", ARG_MAYBE, "x", "gzip", "" },
	{ "real", ARG_REAL, "n", NULL, "" },
	{ "several", ARG_SEVERAL, "x", NULL, "" },
	ARGS_COMMON,
};

static bool
parse(struct args *args, int argc, const char *const *argv)
{
	struct buffer why = BUFFER_EMPTY;
	const bool good = args_parse(args, rows, argc,
	    (char *const *)(uintptr_t)argv, &why);

	CU_ASSERT(good == (why.length == 0));
	buffer_fini(&why);
	return (good);
}

static void
test_options(void)
{
	static const char *const good[] = { "x", "--flag", "--text=a=b",
		"--number", "-3", "--many", "1", "--many=2", "--maybe",
		"--output", "json" };
	struct args args;
	size_t at = 0;

	CU_ASSERT(parse(&args, nelems(good), good));
	CU_ASSERT(args_has(&args, "flag"));
	CU_ASSERT_STRING_EQUAL(args_text(&args, "text"), "a=b");
	CU_ASSERT_EQUAL(args_number(&args, "number"), -3);
	CU_ASSERT_EQUAL(args_number(&args, "long"), 7);
	CU_ASSERT_STRING_EQUAL(args_next(&args, "many", &at), "1");
	CU_ASSERT_STRING_EQUAL(args_next(&args, "many", &at), "2");
	CU_ASSERT_PTR_NULL(args_next(&args, "many", &at));
	CU_ASSERT_STRING_EQUAL(args_text(&args, "maybe"), "gzip");
	CU_ASSERT(args_json(&args));
	args_fini(&args);
	CU_ASSERT(parse(&args, 1, good));
	CU_ASSERT_STRING_EQUAL(args_text(&args, "text"), "fallback");
	CU_ASSERT_PTR_NULL(args_text(&args, "maybe"));
	CU_ASSERT_EQUAL(args_number(&args, "number"), -1);
	args_fini(&args);
}

/* One dash, the beginning of a name, a letter, a word. */
static void
test_options_short(void)
{
	static const struct arg_row short_rows[] = {
		{ "action", ARG_OPERAND, "a|b", NULL, "" },
		{ "server", ARG_TEXT, "x", NULL, "", 's' },
		{ "server-id", ARG_INT, "n", NULL, "" },
		{ "thing", ARG_OPERAND, "x", "none", "" },
		{ "theme", ARG_TEXT, "x", NULL, "" },
		ARGS_COMMON,
	};
	static const char *const good[] = { "x", "do", "-s", "a", "-theme=b",
		"--server-i", "7", "it" };
	static const char *const wrong[][3] = { { "x", "--serv", "a" },
		{ "x", "-them", "a" }, { "x", "--thing", "a" },
		{ "x", "-thing", "a" }, { "x", "-x", "a" } };
	struct buffer why = BUFFER_EMPTY;
	struct args args;

	CU_ASSERT(args_parse(&args, short_rows, nelems(good),
	    (char *const *)(uintptr_t)good, &why));
	CU_ASSERT_STRING_EQUAL(args_text(&args, "action"), "do");
	CU_ASSERT_STRING_EQUAL(args_text(&args, "thing"), "it");
	CU_ASSERT_STRING_EQUAL(args_text(&args, "server"), "a");
	CU_ASSERT_STRING_EQUAL(args_text(&args, "theme"), "b");
	CU_ASSERT_EQUAL(args_number(&args, "server-id"), 7);
	args_fini(&args);
	for (size_t i = 0; i < nelems(wrong); i++) {
		why.length = 0;
		CU_ASSERT_FALSE(args_parse(&args, short_rows, 3,
		    (char *const *)(uintptr_t)wrong[i], &why));
		args_fini(&args);
		if (i == 0)
			CU_ASSERT_STRING_EQUAL(buffer_text(&why),
			    "--serv may be --server or --server-id; give "
			    "more of its name");
	}
	buffer_fini(&why);
}

/* Values up to the next option. */
static void
test_options_several(void)
{
	static const char *const argv[] = { "x", "--several", "a=1", "b=-2",
		"-c", "--real", "-1.5", "--several=d", "--flag", "--several",
		"e" };
	static const char *const wanted[] = { "a=1", "b=-2", "-c", "d", "e" };
	struct args args;
	size_t at = 0;

	CU_ASSERT(parse(&args, nelems(argv), argv));
	for (size_t i = 0; i < nelems(wanted); i++)
		CU_ASSERT_STRING_EQUAL(args_next(&args, "several", &at),
		    wanted[i]);
	CU_ASSERT_PTR_NULL(args_next(&args, "several", &at));
	CU_ASSERT_DOUBLE_EQUAL(args_real(&args, "real"), -1.5, 0);
	CU_ASSERT(args_has(&args, "flag"));
	args_fini(&args);
}

static void
test_options_wrong(void)
{
	static const char *const wrong[][3] = { { "--none" }, { "--text" },
		{ "--number", "3x" }, { "--number", "2147483648" },
		{ "--flag=1" }, { "word" }, { "-f" }, { "--m", "a" },
		{ "--" }, { "-" }, { "--text", "1", "-text=2" },
		{ "--text=1", "--text=2" }, { "--several" },
		{ "--real", "x" } };
	struct args args;

	for (size_t i = 0; i < nelems(wrong); i++) {
		const char *argv[4] = { "x" };
		int argc = 1;

		while (argc < 4 && wrong[i][argc - 1] != NULL) {
			argv[argc] = wrong[i][argc - 1];
			argc++;
		}
		CU_ASSERT_FALSE(parse(&args, argc, argv));
		args_fini(&args);
	}
}

static void
test_commands(void)
{
	struct ran ran = run("/usr/bin/barnabas --version");

	CU_ASSERT_EQUAL(ran.status, TOOL_OK);
	CU_ASSERT(strncmp(ran.out, "barnabas ", 9) == 0);
	ran_fini(&ran);
	ran = run("/x/kafka-topics.sh --help");
	CU_ASSERT_EQUAL(ran.status, TOOL_OK);
	CU_ASSERT(strstr(ran.out, "--exclude-internal") != NULL);
	ran_fini(&ran);
	expect("barnabas", TOOL_USAGE, "barnabas COMMAND");
	expect("barnabas nothing", TOOL_USAGE, "\"nothing\"");
	expect("barnabas topics --lst", TOOL_USAGE, "no option --lst");
	expect("barnabas topics --list --create", TOOL_USAGE, "exactly one");
	expect("barnabas topics --list", TOOL_USAGE, "--bootstrap-server");
	expect("barnabas topics --list --partitions 2", TOOL_USAGE,
	    "--partitions goes with --create");
	expect("barnabas topics --delete --topic a", TOOL_USAGE,
	    "--bootstrap-server");
	expect("barnabas topics --delete", TOOL_USAGE, "wants --topic");
	expect("barnabas topics --alter --topic a", TOOL_USAGE,
	    "wants --partitions");
	expect("barnabas topics --alter --topic a --partitions 2 --config a=b",
	    TOOL_USAGE, "kafka-configs.sh");
	expect("barnabas topics --alter --topic a --delete-config b",
	    TOOL_USAGE, "--delete-config");
	expect("barnabas topics --describe --if-exists", TOOL_USAGE,
	    "--topic-id");
	expect("barnabas topics --list --if-exists", TOOL_USAGE,
	    "--if-exists goes with");
	expect("barnabas topics --delete --topic a --exclude-internal",
	    TOOL_USAGE, "--exclude-internal goes with");
	expect("barnabas topics --describe --topics-with-overrides "
	       "--at-min-isr-partitions",
	    TOOL_USAGE, "exclude each other");
	expect("barnabas topics --create", TOOL_USAGE, "wants --topic");
	expect("barnabas topics --list --bootstrap-server x", TOOL_USAGE,
	    "not host:port");
	expect("barnabas topics --list --output xml", TOOL_USAGE, "xml");
	expect("barnabas consume --bootstrap-server a:1", TOOL_USAGE,
	    "exactly one");
	expect("barnabas consume --bootstrap-server a:1 --topic t --offset 1",
	    TOOL_USAGE, "--partition");
	expect("barnabas produce --bootstrap-server a:1", TOOL_USAGE,
	    "--topic");
	expect("barnabas perf", TOOL_USAGE, "perf produce");
	expect("barnabas perf nothing", TOOL_USAGE, "perf produce");
	expect("barnabas produce --bootstrap-server a:1 --topic t "
	       "--producer-property nonsense=1",
	    TOOL_USAGE, "no property nonsense");
}

/* --- filters and JSON ----------------------------------------------------- */

static bool
takes(const char *pattern, bool exclude_internal, const char *topic)
{
	struct topic_filter filter;
	struct buffer why = BUFFER_EMPTY;
	bool answer;

	CU_ASSERT_FATAL(
	    topic_filter_init(&filter, pattern, exclude_internal, &why));
	answer = topic_filter_takes(&filter, slice_of_text(topic));
	topic_filter_fini(&filter);
	buffer_fini(&why);
	return (answer);
}

static void
test_filter(void)
{
	static const char *const wrong[] = { "(", "[", "[]", "[a", "\\",
		"(?i)a", "\\Qa\\E", "[a[b]]", "[a&&b]", "a*+", "\\p{L}",
		"[\\p]", "a\\1" };
	struct topic_filter filter;
	struct buffer why = BUFFER_EMPTY;

	CU_ASSERT(takes(NULL, false, "__consumer_offsets"));
	CU_ASSERT_FALSE(takes(NULL, true, "__consumer_offsets"));
	CU_ASSERT_FALSE(takes(".*", true, "__transaction_state"));
	CU_ASSERT(takes("a", false, "a"));
	CU_ASSERT_FALSE(takes("a", false, "ab"));
	CU_ASSERT_FALSE(takes("b", false, "ab"));
	CU_ASSERT(takes("a, b.*", false, "bcd"));
	CU_ASSERT(takes(" 'x|y' ", false, "y"));
	CU_ASSERT(takes("t\\d+", false, "t42"));
	CU_ASSERT_FALSE(takes("t\\d+", false, "tx"));
	CU_ASSERT(takes("a\\.b", false, "a.b"));
	CU_ASSERT_FALSE(takes("a\\.b", false, "axb"));
	CU_ASSERT(takes("[\\w.]+", false, "a_9.b"));
	CU_ASSERT_FALSE(takes("[\\w.]+", false, "a-b"));
	CU_ASSERT(takes("[\\d\\-]+", false, "4-2"));
	CU_ASSERT_FALSE(takes("[^\\d]", false, "4"));
	CU_ASSERT(takes("[-a]+", false, "a-"));
	CU_ASSERT(takes("[a-c-]+", false, "b-"));
	CU_ASSERT(takes("(?:a|b)+?", false, "ab"));
	CU_ASSERT(takes("\\w{2}", false, "ab"));
	CU_ASSERT(takes("a\\-b", false, "a-b"));
	CU_ASSERT_FALSE(takes("[\\^]", false, "a"));
	for (size_t i = 0; i < nelems(wrong); i++) {
		CU_ASSERT_FALSE(topic_filter_init(&filter, wrong[i], false,
		    &why));
		CU_ASSERT(why.length != 0);
		topic_filter_fini(&filter);
		buffer_fini(&why);
		why = BUFFER_EMPTY;
	}
}

static void
test_json(void)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	json_init(&json, &out);
	json_open(&json, NULL, '{');
	json_text(&json, "a\"b", SLICE_LITERAL("x\\\n\x01\xff\xc3\xa9"));
	json_text(&json, "n", SLICE_NULL);
	json_ints(&json, "i", (const int32_t[]){ 1, -2 }, 2);
	json_open(&json, "o", '{');
	json_close(&json, '}');
	json_bool(&json, "t", true);
	json_number(&json, "d", 1.25, 1);
	json_number(&json, "q", 0.0 / (double)json.out->length, 3);
	json_number(&json, "z", INFINITY, 3);
	json_close(&json, '}');
	json_end(&json);
	same_text(&out,
	    "{\"a\\\"b\":\"x\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"n\":null,"
	    "\"i\":[1,-2],\"o\":{},\"t\":true,\"d\":1.2,"
	    "\"q\":0.000,\"z\":null}\n");
}

/* --- topics --------------------------------------------------------------- */

static int32_t one_two[] = { 1, 2 };
static int32_t three[] = { 3 };

/* Partition 0 is whole, 1 has a replica out of sync, the leader of 2 is gone;
 * they come in disorder. */
static struct metadata_response_partition partitions[] = {
	{ .partition_index = 2, .leader_id = 9, .leader_epoch = 3,
	    .replica_nodes = one_two, .replica_nodes_count = 2 },
	{ .partition_index = 0, .leader_id = 1, .leader_epoch = 5,
	    .replica_nodes = one_two, .replica_nodes_count = 2,
	    .isr_nodes = one_two, .isr_nodes_count = 2 },
	{ .partition_index = 1, .leader_id = 2, .leader_epoch = 6,
	    .replica_nodes = one_two, .replica_nodes_count = 2,
	    .isr_nodes = one_two + 1, .isr_nodes_count = 1 },
};

static void
describe(const struct topics_wanted *wanted, bool json, struct buffer *out)
{
	struct metadata_response_broker brokers[] = { { .node_id = 1 },
		{ .node_id = 2 } };
	struct metadata_response_topic topic = {
		.name = SLICE_LITERAL("orders"),
		.topic_id = { { 1 } },
		.partitions = partitions,
		.partitions_count = 3,
	};
	const struct metadata_response metadata = { .brokers = brokers,
		.brokers_count = 2, .topics = &topic, .topics_count = 1 };
	struct describe_configs_response_config options[] = {
		{ .name = SLICE_LITERAL("min.insync.replicas"),
		    .value = SLICE_LITERAL("2"), .config_source = 1 },
		{ .name = SLICE_LITERAL("segment.bytes"),
		    .value = SLICE_LITERAL("1"), .config_source = 5 },
		{ .name = SLICE_LITERAL("secret"), .config_source = 4 },
	};
	struct describe_configs_response_result result = {
		.resource_name = topic.name, .configs = options,
		.configs_count = 3 };
	const struct describe_configs_response configs = {
		.results = &result, .results_count = 1 };
	struct list_partition_reassignments_response_partition move = {
		.partition_index = 1, .replicas = one_two, .replicas_count = 2,
		.adding_replicas = three, .adding_replicas_count = 1 };
	struct list_partition_reassignments_response_topic moving = {
		.name = topic.name, .partitions = &move,
		.partitions_count = 1 };
	const struct list_partition_reassignments_response moves = {
		.topics = &moving, .topics_count = 1 };
	const struct topics_facts facts = { &metadata, &configs, &moves };
	const struct metadata_response_topic *const topics[] = { &topic };

	*out = BUFFER_EMPTY;
	if (json)
		topics_describe_json(&facts, wanted, topics, 1, out);
	else
		topics_describe_text(&facts, wanted, topics, 1, out);
}

#define HEAD                                                                  \
	"Topic: orders\tTopicId: AQAAAAAAAAAAAAAAAAAAAA\tPartitionCount: 3"   \
	"\tReplicationFactor: 2\tConfigs: min.insync.replicas=2,secret=null\n"
#define PART(n, leader, isr, more)                                            \
	"\tTopic: orders\tPartition: " #n "\tLeader: " leader                 \
	"\tReplicas: 1,2\tIsr: " isr more "\tElr: N/A\tLastKnownElr: N/A\n"
#define MOVE "\tAdding Replicas: 3\tRemoving Replicas: "

static void
test_describe(void)
{
	static const struct {
		struct topics_wanted wanted;
		const char *text;
	} cases[] = {
		{ { 0 },
		    HEAD PART(0, "1", "1,2", "") PART(1, "2", "2", MOVE)
			PART(2, "none", "", "") },
		{ { .under_replicated = true },
		    PART(1, "2", "2", MOVE) PART(2, "none", "", "") },
		{ { .unavailable = true }, PART(2, "none", "", "") },
		{ { .under_min_isr = true },
		    PART(1, "2", "2", MOVE) PART(2, "none", "", "") },
		{ { .at_min_isr = true }, PART(0, "1", "1,2", "") },
		{ { .with_overrides = true }, HEAD },
	};
	struct buffer out;

	for (size_t i = 0; i < nelems(cases); i++) {
		describe(&cases[i].wanted, false, &out);
		same_text(&out, cases[i].text);
	}
	describe(&cases[4].wanted, true, &out);
	same_text(&out,
	    "{\"topics\":[{\"topic\":\"orders\",\"topicId\":"
	    "\"AQAAAAAAAAAAAAAAAAAAAA\",\"internal\":false,"
	    "\"partitionCount\":3,\"replicationFactor\":2,\"configs\":"
	    "{\"min.insync.replicas\":\"2\",\"secret\":null},\"partitions\":"
	    "[{\"partition\":0,\"leader\":1,\"leaderEpoch\":5,"
	    "\"replicas\":[1,2],\"isr\":[1,2]}]}]}\n");
}

static int
create_of(const char *const *argv, int argc, struct arena *arena,
    struct create_topics_request *request)
{
	struct tool tool = { .command = &command_topics,
		.err = fopen("/dev/null", "w") };
	struct buffer why = BUFFER_EMPTY;
	struct args args;
	int status = TOOL_USAGE;

	if (args_parse(&args, command_topics.rows, argc,
		(char *const *)(uintptr_t)argv, &why))
		status = topics_create_request(&tool, &args, arena, request);
	args_fini(&args);
	buffer_fini(&why);
	fclose(tool.err);
	return (status);
}

static void
test_create(void)
{
	static const char *const good[] = { "x", "--topic", "t",
		"--replica-assignment", "1:2, 2:3", "--config",
		"retention.ms = 5", "--config", "a=b=c" };
	static const char *const wrong[][4] = {
		{ "--partitions", "0" },
		{ "--replication-factor", "0" },
		{ "--replication-factor", "32768" },
		{ "--replica-assignment", "1:1" },
		{ "--replica-assignment", "1:2,3" },
		{ "--replica-assignment", "1,,2" },
		{ "--replica-assignment", "x" },
		{ "--config", "a" },
		{ "--replica-assignment", "1", "--partitions", "1" },
	};
	struct create_topics_request request;
	struct arena arena;

	arena_init(&arena, 0);
	CU_ASSERT_EQUAL_FATAL(create_of(good, nelems(good), &arena, &request),
	    TOOL_OK);
	CU_ASSERT_EQUAL(request.topics[0].num_partitions, -1);
	CU_ASSERT_EQUAL(request.topics[0].assignments_count, 2);
	CU_ASSERT_EQUAL(request.topics[0].assignments[1].partition_index, 1);
	CU_ASSERT_EQUAL(request.topics[0].assignments[1].broker_ids[1], 3);
	CU_ASSERT(slice_equal_text(request.topics[0].configs[0].value, "5"));
	CU_ASSERT(slice_equal_text(request.topics[0].configs[0].name,
	    "retention.ms"));
	CU_ASSERT(slice_equal_text(request.topics[0].configs[1].value,
	    "b=c"));
	for (size_t i = 0; i < nelems(wrong); i++) {
		const char *argv[7] = { "x", "--topic", "t" };
		int argc = 3;

		for (size_t k = 0; k < 4 && wrong[i][k] != NULL; k++)
			argv[argc++] = wrong[i][k];
		CU_ASSERT_EQUAL(create_of(argv, argc, &arena, &request),
		    TOOL_USAGE);
	}
	arena_fini(&arena);
}

static int
alter_of(const char *const *argv, int argc, struct arena *arena,
    struct create_partitions_request *request)
{
	struct metadata_response_topic topics[] = {
		{ .name = SLICE_LITERAL("a"), .partitions_count = 2 },
		{ .name = SLICE_LITERAL("b"), .partitions_count = 3 },
	};
	const struct metadata_response_topic *items[] = { &topics[0],
		&topics[1] };
	const struct topics_chosen chosen = { .items = items, .count = 2 };
	struct tool tool = { .command = &command_topics,
		.err = fopen("/dev/null", "w") };
	struct buffer why = BUFFER_EMPTY;
	struct args args;
	int status = TOOL_USAGE;

	if (args_parse(&args, command_topics.rows, argc,
		(char *const *)(uintptr_t)argv, &why))
		status = topics_alter_request(&tool, &args, &chosen, arena,
		    request);
	args_fini(&args);
	buffer_fini(&why);
	fclose(tool.err);
	return (status);
}

static void
test_alter(void)
{
	static const char *const plain[] = { "x", "--partitions", "4" };
	static const char *const assigned[] = { "x", "--partitions", "4",
		"--replica-assignment", "1:2,2:3,3:1,4:5" };
	static const char *const zero[] = { "x", "--partitions", "0" };
	static const char *const wrong[] = { "x", "--partitions", "4",
		"--replica-assignment", "1:2,2" };
	struct create_partitions_request request;
	struct arena arena;

	arena_init(&arena, 0);
	CU_ASSERT_EQUAL_FATAL(alter_of(plain, 3, &arena, &request), TOOL_OK);
	CU_ASSERT_EQUAL(request.topics_count, 2);
	CU_ASSERT_EQUAL(request.topics[1].count, 4);
	CU_ASSERT_PTR_NULL(request.topics[1].assignments);
	CU_ASSERT_EQUAL_FATAL(alter_of(assigned, 5, &arena, &request),
	    TOOL_OK);
	CU_ASSERT_EQUAL(request.topics[0].assignments_count, 2);
	CU_ASSERT_EQUAL(request.topics[0].assignments[0].broker_ids[0], 3);
	CU_ASSERT_EQUAL(request.topics[1].assignments_count, 1);
	CU_ASSERT_EQUAL(request.topics[1].assignments[0].broker_ids[1], 5);
	CU_ASSERT_EQUAL(alter_of(zero, 3, &arena, &request), TOOL_USAGE);
	CU_ASSERT_EQUAL(alter_of(wrong, 5, &arena, &request), TOOL_USAGE);
	arena_fini(&arena);
}

/* --- lines and records ---------------------------------------------------- */

struct cut {
	struct args args;
	struct console_texts texts;
	struct line_format format;
	struct line_record record;
};

static bool
cut_init(struct cut *cut, int argc, const char *const *argv)
{
	struct buffer why = BUFFER_EMPTY;
	bool good;

	CU_ASSERT_FATAL(args_parse(&cut->args, command_produce.rows, argc,
	    (char *const *)(uintptr_t)argv, &why));
	CU_ASSERT_EQUAL(console_texts_init(&cut->texts, NULL, &cut->args,
	    "property", "reader-config"), TOOL_OK);
	good = line_format_init(&cut->format, &cut->texts, &why);
	buffer_fini(&why);
	return (good);
}

static void
cut_fini(struct cut *cut)
{
	console_texts_fini(&cut->texts);
	args_fini(&cut->args);
}

static bool
cut_line(struct cut *cut, const char *line)
{
	struct buffer why = BUFFER_EMPTY;
	const bool good = line_parse(&cut->format, slice_of_text(line), 1,
	    &cut->record, &why);

	CU_ASSERT(good == (why.length == 0));
	buffer_fini(&why);
	return (good);
}

static void
test_line(void)
{
	static const char *const argv[] = { "x", "--property",
		"parse.key=true", "--property", "parse.headers=TRUE",
		"--property", "key.separator= ", "--property",
		"null.marker=NIL" };
	static struct cut c;

	CU_ASSERT(cut_init(&c, 1, argv));
	CU_ASSERT(cut_line(&c, "k\tv"));
	CU_ASSERT_PTR_NULL(c.record.key.data);
	CU_ASSERT(slice_equal_text(c.record.value, "k\tv"));
	cut_fini(&c);
	CU_ASSERT(cut_init(&c, nelems(argv), argv));
	CU_ASSERT(cut_line(&c, "a:1,b:NIL,c::\tkey the value"));
	CU_ASSERT_EQUAL(c.record.header_count, 3);
	CU_ASSERT(slice_equal_text(c.record.headers[0].key, "a"));
	CU_ASSERT(slice_equal_text(c.record.headers[0].value, "1"));
	CU_ASSERT_PTR_NULL(c.record.headers[1].value.data);
	CU_ASSERT(slice_equal_text(c.record.headers[2].value, ":"));
	CU_ASSERT(slice_equal_text(c.record.key, "key"));
	CU_ASSERT(slice_equal_text(c.record.value, "the value"));
	CU_ASSERT(cut_line(&c, "NIL\tNIL NIL"));
	CU_ASSERT_EQUAL(c.record.header_count, 0);
	CU_ASSERT_PTR_NULL(c.record.key.data);
	CU_ASSERT_PTR_NULL(c.record.value.data);
	CU_ASSERT(cut_line(&c, "a:1\tk "));
	CU_ASSERT(slice_equal_text(c.record.value, ""));
	CU_ASSERT_FALSE(cut_line(&c, "a:1 no delimiter"));
	CU_ASSERT_FALSE(cut_line(&c, "a:1\tnokey"));
	CU_ASSERT_FALSE(cut_line(&c, "a\tk v"));
	CU_ASSERT_FALSE(cut_line(&c, "NIL:1\tk v"));
	cut_fini(&c);
}

static void
test_line_odd(void)
{
	static const char *const lax[] = { "x", "--property",
		"parse.key=true", "--property", "ignore.error=true" };
	static const char *const same[] = { "x", "--property",
		"headers.separator=:" };
	static struct cut c;

	CU_ASSERT(cut_init(&c, nelems(lax), lax));
	CU_ASSERT(cut_line(&c, "nokey"));
	CU_ASSERT_PTR_NULL(c.record.key.data);
	CU_ASSERT(slice_equal_text(c.record.value, "nokey"));
	cut_fini(&c);
	CU_ASSERT_FALSE(cut_init(&c, nelems(same), same));
	cut_fini(&c);
}

static void
test_line_source(void)
{
	static const char *const want[] = { "one", "", "two\rthree", "last" };
	static const char bytes[] = "one\r\n\ntwo\rthree\nlast";
	struct line_source source;
	struct slice line;
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	line_source_init(&source, ends[0]);
	CU_ASSERT_EQUAL(line_next(&source, 0, &line), LINE_NONE);
	CU_ASSERT_EQUAL(write(ends[1], bytes, 4), 4);
	CU_ASSERT_EQUAL(line_next(&source, 0, &line), LINE_NONE);
	CU_ASSERT_EQUAL(write(ends[1], bytes + 4, sizeof(bytes) - 5),
	    sizeof(bytes) - 5);
	close(ends[1]);
	for (size_t i = 0; i < nelems(want); i++) {
		CU_ASSERT_EQUAL_FATAL(line_next(&source, 1000, &line),
		    LINE_READ);
		CU_ASSERT(slice_equal_text(line, want[i]));
	}
	CU_ASSERT_EQUAL(line_next(&source, 0, &line), LINE_END);
	CU_ASSERT_EQUAL(line_next(&source, 0, &line), LINE_END);
	line_source_fini(&source);
	close(ends[0]);
}

static void
print_with(const struct print_record *record, int argc,
    const char *const *argv, const char *want)
{
	struct buffer out = BUFFER_EMPTY;
	struct console_texts texts;
	struct print_format format;
	struct args args;

	CU_ASSERT_FATAL(args_parse(&args, command_consume.rows, argc,
	    (char *const *)(uintptr_t)argv, &out));
	CU_ASSERT_EQUAL(console_texts_init(&texts, NULL, &args, "property",
	    "formatter-config"), TOOL_OK);
	print_format_init(&format, &texts);
	print_text(&format, record, &out);
	same_text(&out, want);
	console_texts_fini(&texts);
	args_fini(&args);
}

static void
test_print(void)
{
	static const char *const all[] = { "x", "--property",
		"print.timestamp=true", "--property", "print.partition=true",
		"--property", "print.offset=true", "--property",
		"print.headers=true", "--property", "print.key=true",
		"--property", "key.separator=|", "--property",
		"line.separator=;" };
	const struct record_header headers[] = {
		{ SLICE_LITERAL("a"), SLICE_LITERAL("1") },
		{ SLICE_LITERAL("b"), SLICE_NULL },
	};
	struct print_record record = { .topic = "t", .offset = 7,
		.timestamp_ms = 5, .timestamp_type = PRINT_CREATE_TIME,
		.partition = 3, .value = SLICE_LITERAL("v"),
		.headers = headers, .header_count = 2 };
	struct buffer out = BUFFER_EMPTY;

	print_with(&record, 1, all, "v\n");
	print_with(&record, nelems(all), all,
	    "CreateTime:5|Partition:3|Offset:7|a:1,b:null|null|v;");
	print_json(&record, &out);
	same_text(&out,
	    "{\"topic\":\"t\",\"partition\":3,\"offset\":7,"
	    "\"timestampType\":\"CreateTime\",\"timestamp\":5,\"headers\":"
	    "[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":null}],"
	    "\"key\":null,\"value\":\"v\"}\n");
	record.header_count = 0;
	record.timestamp_type = PRINT_NO_TIMESTAMP;
	print_with(&record, nelems(all) - 4, all,
	    "NO_TIMESTAMP\tPartition:3\tOffset:7\tNO_HEADERS\tnull\tv\n");
}

/* --- dumps ---------------------------------------------------------------- */

#define BASE_NAME "/00000000000000000100"

static char directory[64];

static void
write_file(const char *suffix, const void *bytes, size_t size)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s" BASE_NAME "%s", directory, suffix);
	file = fopen(path, "wb");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

static void
remove_file(const char *suffix)
{
	char path[160];

	snprintf(path, sizeof(path), "%s" BASE_NAME "%s", directory, suffix);
	(void)unlink(path);
}

/* Two batches: 100-101 of a producer, and a commit marker at 102. */
static void
make_log(struct buffer *log)
{
	const struct record_header header = { SLICE_LITERAL("h"),
		SLICE_LITERAL("x") };
	struct batch_builder builder;

	batch_builder_init(&builder, 100, CODEC_NONE);
	builder.producer_id = 7;
	builder.producer_epoch = 1;
	builder.base_sequence = 5;
	builder.leader_epoch = 3;
	builder.attributes = BATCH_ATTR_TRANSACTIONAL;
	batch_builder_add(&builder, 1000, SLICE_LITERAL("k"),
	    SLICE_LITERAL("v"), &header, 1);
	batch_builder_add(&builder, 2000, SLICE_NULL, SLICE_LITERAL("w"),
	    NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, log), ERR_NONE);
	batch_builder_fini(&builder);
	batch_builder_init(&builder, 102, CODEC_NONE);
	builder.producer_id = 7;
	builder.producer_epoch = 1;
	builder.leader_epoch = 3;
	builder.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	batch_builder_add(&builder, 3000,
	    slice_of("\0\0\0\1", 4), slice_of("\0\0\0\0\0\11", 6), NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, log), ERR_NONE);
	batch_builder_fini(&builder);
}

/* Runs dump-log on the file; %s in `want` is its path. */
static void
dump(const char *suffix, const char *options, int status, const char *want)
{
	struct buffer text = BUFFER_EMPTY;
	struct buffer full = BUFFER_EMPTY;
	char path[160];
	char line[400];
	struct ran ran;

	snprintf(path, sizeof(path), "%s" BASE_NAME "%s", directory, suffix);
	snprintf(line, sizeof(line), "barnabas dump-log --files %s %s", path,
	    options);
	for (const char *at = want; *at != '\0'; at++) {
		if (at[0] == '%' && at[1] == 's') {
			buffer_append_text(&full, path);
			at++;
		} else {
			buffer_append(&full, at, 1);
		}
	}
	ran = run(line);
	CU_ASSERT_EQUAL(ran.status, status);
	buffer_append_text(&text, ran.out);
	same_text(&text, buffer_text(&full));
	buffer_fini(&full);
	ran_fini(&ran);
}

static void
dump_begin(void)
{
	snprintf(directory, sizeof(directory), "test_tools.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
}

static void
dump_end(void)
{
	static const char *const suffixes[] = { ".log", ".index",
		".timeindex", ".txnindex", ".snapshot" };

	for (size_t i = 0; i < nelems(suffixes); i++)
		remove_file(suffixes[i]);
	CU_ASSERT_EQUAL(rmdir(directory), 0);
}

/* The lines of kafka-dump-log.sh of Kafka 3.9.2 for these very bytes. */
#define LOG_BEGIN "Dumping %s\nLog starting offset: 100\n"
#define LOG_DATA(valid)                                                        \
	"baseOffset: 100 lastOffset: 101 count: 2 baseSequence: 5 "           \
	"lastSequence: 6 producerId: 7 producerEpoch: 1 "                     \
	"partitionLeaderEpoch: 3 isTransactional: true isControl: false "     \
	"deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 2000 "   \
	"size: 83 magic: 2 compresscodec: none crc: 1003798085 isvalid: "     \
	valid "\n"
#define LOG_MARKER                                                            \
	"baseOffset: 102 lastOffset: 102 count: 1 baseSequence: -1 "          \
	"lastSequence: -1 producerId: 7 producerEpoch: 1 "                    \
	"partitionLeaderEpoch: 3 isTransactional: true isControl: true "      \
	"deleteHorizonMs: OptionalLong.empty position: 83 CreateTime: 3000 "  \
	"size: 78 magic: 2 compresscodec: none crc: 1097219507 "              \
	"isvalid: true\n"

static void
test_dump_log(void)
{
	struct buffer log = BUFFER_EMPTY;

	dump_begin();
	make_log(&log);
	write_file(".log", log.data, log.length);
	dump(".log", "--print-data-log", TOOL_OK,
	    LOG_BEGIN LOG_DATA("true")
	    "| offset: 100 CreateTime: 1000 keySize: 1 valueSize: 1 "
	    "sequence: 5 headerKeys: [h] key: k payload: v\n"
	    "| offset: 101 CreateTime: 2000 keySize: -1 valueSize: 1 "
	    "sequence: 6 headerKeys: [] payload: w\n" LOG_MARKER
	    "| offset: 102 CreateTime: 3000 keySize: 4 valueSize: 6 "
	    "sequence: -1 headerKeys: [] endTxnMarker: COMMIT "
	    "coordinatorEpoch: 9\n");
	dump(".log", "--print-data-log --skip-record-metadata", TOOL_OK,
	    LOG_BEGIN LOG_DATA("true")
	    "| key: k payload: v\n payload: w\n" LOG_MARKER "\n");
	dump(".log", "--max-bytes 100", TOOL_OK, LOG_BEGIN LOG_DATA("true"));
	buffer_append_text(&log, "left over");
	write_file(".log", log.data, log.length);
	dump(".log", "", TOOL_OK, LOG_BEGIN LOG_DATA("true") LOG_MARKER
	    "Found 9 invalid bytes at the end of 00000000000000000100.log\n");
	/* One bit of the first record. */
	log.data[BATCH_HEADER_SIZE + 5] ^= 1;
	write_file(".log", log.data, log.length - 9);
	dump(".log", "--max-bytes 100", TOOL_FAILED,
	    LOG_BEGIN LOG_DATA("false"));
	buffer_fini(&log);
	dump_end();
}

/* What a cleaner leaves: Kafka's tool tells of it and ends with 0. */
static void
test_dump_gaps(void)
{
	const int count = 10003;
	struct buffer log = BUFFER_EMPTY;
	struct batch_builder builder;
	char line[400], want[300];
	struct ran ran;
	size_t lines = 0;

	dump_begin();
	for (int i = 0; i < count; i++) {
		batch_builder_init(&builder, 100 + 3 * i, CODEC_NONE);
		batch_builder_add(&builder, 1000, SLICE_NULL,
		    SLICE_LITERAL("v"), NULL, 0);
		CU_ASSERT_EQUAL(batch_builder_finish(&builder, &log),
		    ERR_NONE);
		batch_builder_fini(&builder);
	}
	write_file(".log", log.data, log.length);
	snprintf(line, sizeof(line),
	    "barnabas dump-log --deep-iteration --files %s" BASE_NAME ".log",
	    directory);
	snprintf(want, sizeof(want), "Non-consecutive offsets in %s" BASE_NAME
	    ".log\n  100 is followed by 103\n  103 is followed by 106\n",
	    directory);
	ran = run(line);
	CU_ASSERT_EQUAL(ran.status, TOOL_OK);
	CU_ASSERT_EQUAL(strncmp(ran.err, want, strlen(want)), 0);
	for (const char *at = ran.err; *at != '\0'; at++)
		lines += *at == '\n';
	CU_ASSERT_EQUAL(lines, 10002);
	CU_ASSERT_PTR_NOT_NULL(strstr(ran.err, "\n  and 2 more\n"));
	ran_fini(&ran);
	buffer_fini(&log);
	dump_end();
}

static void
put_indexes(const struct buffer *log)
{
	static const uint8_t offsets[] = { 0, 0, 0, 1, 0, 0, 0, 0,
		0, 0, 0, 2, 0, 0, 0, 83,
		0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t times[] = { 0, 0, 0, 0, 0, 0, 7, 208, 0, 0, 0, 1,
		0, 0, 0, 0, 0, 0, 11, 184, 0, 0, 0, 2 };
	static const uint8_t txns[] = { 0, 0,
		0, 0, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 0, 0, 0, 0, 100,
		0, 0, 0, 0, 0, 0, 0, 102,
		0, 0, 0, 0, 0, 0, 0, 103 };
	struct slice rest = buffer_slice(log);
	struct buffer snapshot = BUFFER_EMPTY;
	struct producers producers;
	struct batch batch;

	memset(&producers, 0, sizeof(producers));
	CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
	producers_add_data(&producers, &batch);
	producers_encode(&producers, &snapshot);
	producers_fini(&producers);
	write_file(".log", log->data, log->length);
	write_file(".index", offsets, sizeof(offsets));
	write_file(".timeindex", times, sizeof(times));
	write_file(".txnindex", txns, sizeof(txns));
	write_file(".snapshot", snapshot.data, snapshot.length);
	buffer_fini(&snapshot);
}

static void
test_dump_indexes(void)
{
	struct buffer log = BUFFER_EMPTY;

	dump_begin();
	make_log(&log);
	put_indexes(&log);
	dump(".index", "", TOOL_OK,
	    "Dumping %s\noffset: 101 position: 0\n"
	    "offset: 102 position: 83\n");
	dump(".index", "--verify-index-only", TOOL_OK, "Dumping %s\n");
	dump(".timeindex", "", TOOL_OK,
	    "Dumping %s\ntimestamp: 2000 offset: 101\n"
	    "timestamp: 3000 offset: 102\n");
	dump(".timeindex", "--index-sanity-check", TOOL_OK,
	    "Dumping %s\n%s passed sanity check.\n");
	dump(".txnindex", "", TOOL_OK,
	    "Dumping %s\nversion: 0 producerId: 7 firstOffset: 100 "
	    "lastOffset: 102 lastStableOffset: 103\n");
	dump(".snapshot", "", TOOL_OK,
	    "Dumping %s\nproducerId: 7 producerEpoch: 1 coordinatorEpoch: -1 "
	    "currentTxnFirstOffset: OptionalLong[100] lastTimestamp: 2000 "
	    "firstSequence: 5 lastSequence: 6 lastOffset: 101 offsetDelta: 1 "
	    "timestamp: 2000\n");
	dump(".txnindex", "--output json", TOOL_OK,
	    "{\"file\":\"%s\",\"type\":\"abortedTransaction\","
	    "\"version\":0,\"producerId\":7,\"firstOffset\":100,"
	    "\"lastOffset\":102,\"lastStableOffset\":103}\n");
	buffer_fini(&log);
	dump_end();
}

/* What does not agree with the log, and what is cut short. */
static void
test_dump_wrong(void)
{
	struct buffer log = BUFFER_EMPTY;

	dump_begin();
	make_log(&log);
	put_indexes(&log);
	write_file(".index", "\0\0\0\2\0\0\0\0", 8);
	dump(".index", "", TOOL_FAILED,
	    "Dumping %s\noffset: 102 position: 0\n");
	write_file(".index", "\0\0\0\2\0\0\0", 7);
	dump(".index", "", TOOL_OK, "Dumping %s\n%s is empty.\n");
	write_file(".timeindex", "\0\0\0\0\0\0\0\1\0\0\0\1", 12);
	dump(".timeindex", "--verify-index-only", TOOL_FAILED,
	    "Dumping %s\n");
	write_file(".txnindex", "\0\0\0", 3);
	dump(".txnindex", "", TOOL_FAILED, "Dumping %s\n");
	write_file(".snapshot", "\0\1\0\0\0\0\0\0\0\1", 10);
	dump(".snapshot", "", TOOL_FAILED, "Dumping %s\n");
	remove_file(".log");
	dump(".log", "", TOOL_FAILED, "Dumping %s\n");
	dump(".index", "--offsets-decoder", TOOL_FAILED, "");
	dump(".other", "", TOOL_OK, "Dumping %s\n");
	buffer_fini(&log);
	dump_end();
}

static const struct unit_test tests[] = {
	{ "options", test_options },
	{ "options with several values", test_options_several },
	{ "options with short names", test_options_short },
	{ "wrong options", test_options_wrong },
	{ "commands", test_commands },
	{ "topic filter", test_filter },
	{ "JSON", test_json },
	{ "topics describe", test_describe },
	{ "topics create", test_create },
	{ "topics alter", test_alter },
	{ "lines", test_line },
	{ "odd lines", test_line_odd },
	{ "source of lines", test_line_source },
	{ "printed records", test_print },
	{ "dump of a log", test_dump_log },
	{ "dump of a log with gaps", test_dump_gaps },
	{ "dump of indexes", test_dump_indexes },
	{ "dump of what is wrong", test_dump_wrong },
};

int
main(void)
{
	return (unit_main("tools", tests, nelems(tests)));
}
