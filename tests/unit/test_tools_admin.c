/* SPDX-License-Identifier: Apache-2.0 */
/* configs, leader-election, cluster, broker-api-versions, check and completion
 * without a broker: what they make of options, and what they print. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tool_rig.h"
#include "tests/unit/unit.h"
#include "tools/broker_api_versions.h"
#include "tools/configs.h"
#include "tools/java_names.h"
#include "tools/json_out.h"
#include "tools/progress.h"
#include "tools/tool.h"

/* To be freed. */
static char *
join(const char *a, const char *b, const char *c)
{
	char *text;

	CU_ASSERT_FATAL(asprintf(&text, "%s%s%s", a, b, c) >= 0);
	return (text);
}

/* --- configs -------------------------------------------------------------- */

/* "name=value;..." of what the text sets, or "!" and why not. */
static void
added(const char *text, struct buffer *out)
{
	struct config_map map;
	struct buffer why = BUFFER_EMPTY;

	out->length = 0;
	config_map_init(&map);
	if (configs_parse_added(text, &map, &why))
		CONFIG_MAP_EACH(entry, &map)
			buffer_printf(out, "%s=%s;", entry->name,
			    entry->value);
	else
		buffer_printf(out, "!%s", buffer_text(&why));
	config_map_fini(&map);
	buffer_fini(&why);
}

/* As Kafka's tool cuts them. */
static void
test_configs_added(void)
{
	static const char *const cases[][2] = {
		{ "a=1", "a=1;" }, { " a = 1 , b=2", "a=1;b=2;" },
		{ "a=1,", "a=1;" }, { "a=", "a=;" },
		{ "a=[1,2],b=3", "a=1,2;b=3;" },
		{ "a=[x=1,y=2]", "a=x=1,y=2;" },
		{ "a=[[1],b=2]", "a=1,b=2;" }, { "a=1,a=2", "a=2;" },
		{ "a", "!" }, { "", "!" }, { "a=1,,b=2", "!" },
		{ "a=b=c", "!" }, { "a b=1", "!" }, { "a=[1,b=2", "a=1;b=2;" },
		{ "a=[1],b=[2]", "a=1;b=2;" },
		{ "listener.name.x.max.connections=5",
		    "listener.name.x.max.connections=5;" },
	};
	struct buffer got = BUFFER_EMPTY;

	for (size_t i = 0; i < nelems(cases); i++) {
		const char *want = cases[i][1];

		added(cases[i][0], &got);
		if (strncmp(buffer_text(&got), want, strlen(want)) != 0)
			printf("\n%s: %s", cases[i][0], buffer_text(&got));
		CU_ASSERT(strncmp(buffer_text(&got), want, strlen(want)) == 0);
		CU_ASSERT(want[0] == '!' || strlen(want) == got.length);
	}
	buffer_fini(&got);
}

#define CONFIGS "barnabas configs --bootstrap-server a:1 "

static void
test_configs_options(void)
{
	static const char *const wrong[][2] = {
		{ "--topic t", "exactly one of --describe" },
		{ "--describe --alter --topic t", "exactly one" },
		{ "--describe", "say whose" },
		{ "--describe --topic t --broker 1", "one entity" },
		{ "--describe --entity-type topics --topic t", "do not go" },
		{ "--describe --entity-name t --topic t", "do not go" },
		{ "--describe --entity-type brokers --entity-type topics",
		    "one entity" },
		{ "--describe --entity-type topics --entity-name a "
		  "--entity-name b", "one entity" },
		{ "--describe --entity-type things", "\"things\"" },
		{ "--describe --entity-type users", "quotas" },
		{ "--describe --user u", "quotas" },
		{ "--describe --client-defaults", "quotas" },
		{ "--alter --ip-defaults --add-config "
		  "connection_creation_rate=1", "quotas" },
		{ "--describe --entity-type client-metrics", "KRaft" },
		{ "--describe --broker x", "\"x\"" },
		{ "--describe --broker-logger 1.5", "\"1.5\"" },
		{ "--describe --entity-type broker-loggers",
		    "--entity-name" },
		{ "--describe --entity-type topics --entity-default",
		    "no default" },
		{ "--describe --topic t --add-config a=1",
		    "--add-config goes with --alter" },
		{ "--alter --topic t", "--alter wants --add-config" },
		{ "--alter --entity-type topics --add-config a=1",
		    "--entity-name" },
		{ "--alter --topic t --add-config a=1 --add-config-file f",
		    "exclude each other" },
		{ "--alter --topic t --add-config a", "name=value" },
		{ "--alter --topic t --add-config-file /nowhere/x",
		    "/nowhere/x" },
		{ "--describe --topic t --bootstrap-controller b:1", "KRaft" },
		{ "--describe --broker 1 --zookeeper z:1", "--zookeeper" },
	};

	for (size_t i = 0; i < nelems(wrong); i++) {
		char *line = join(CONFIGS, wrong[i][0], "");

		expect(line, TOOL_USAGE, wrong[i][1]);
		free(line);
	}
	expect("barnabas configs --describe --topic t", TOOL_USAGE,
	    "--bootstrap-server");
}

static void
test_configs_print(void)
{
	struct describe_configs_response_synonym synonyms[] = {
		{ SLICE_LITERAL("a"), SLICE_LITERAL("1"), 1 },
		{ SLICE_LITERAL("log.a"), SLICE_NULL, 5 },
		{ SLICE_LITERAL("z"), SLICE_LITERAL("9"), 99 },
	};
	struct describe_configs_response_config configs[] = {
		{ .name = SLICE_LITERAL("a"), .value = SLICE_LITERAL("1"),
		    .config_source = 1, .synonyms = synonyms,
		    .synonyms_count = 3 },
		{ .name = SLICE_LITERAL("b"), .value = SLICE_NULL,
		    .is_sensitive = true, .read_only = true,
		    .config_source = 6 },
	};
	const struct describe_configs_response_config *items[] = {
		&configs[0], &configs[1] };
	const struct configs_found found = { items, 2 };
	const struct configs_entity topic = { CONFIGS_TOPIC,
		SLICE_LITERAL("t") };
	const struct configs_entity all = { CONFIGS_BROKER, SLICE_EMPTY };
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	configs_text(&topic, false, &found, &out);
	same_text(&out, "Dynamic configs for topic t are:\n"
	    "  a=1 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:a=1, "
	    "DEFAULT_CONFIG:log.a=null, UNKNOWN:z=9}\n"
	    "  b=null sensitive=true synonyms={}\n");
	out = BUFFER_EMPTY;
	configs_text(&topic, true, &(struct configs_found) { 0 }, &out);
	configs_text(&all, true, &(struct configs_found) { 0 }, &out);
	same_text(&out, "All configs for topic t are:\n"
	    "Default configs for brokers in the cluster are:\n");
	out = BUFFER_EMPTY;
	json_init(&json, &out);
	configs_json(&all, &(struct configs_found) { items + 1, 1 }, &json);
	same_text(&out, "{\"entityType\":\"brokers\",\"entityName\":null,"
	    "\"configs\":[{\"name\":\"b\",\"value\":null,\"sensitive\":true,"
	    "\"readOnly\":true,\"source\":\"DYNAMIC_BROKER_LOGGER_CONFIG\","
	    "\"synonyms\":[]}]}");
}

/* --- broker-api-versions -------------------------------------------------- */

static void
test_versions(void)
{
	struct api_versions_response_api_key keys[] = {
		{ 0, 0, 11 }, { 1, 20, 21 }, { 3, 1, 99 }, { 47, 0, 0 },
		{ 200, 1, 2 }, { -1, 0, 0 }, { 300, 0, 0 },
	};
	struct metadata_response_broker broker = { .node_id = 3,
		.host = SLICE_LITERAL("h"), .port = 9,
		.rack = SLICE_LITERAL("r") };
	struct broker_versions versions = { .broker = &broker,
		.response = { .api_keys = keys, .api_keys_count = 7 } };
	struct buffer out = BUFFER_EMPTY;
	const char *text;

	broker_versions_text(&versions, &out);
	text = buffer_text(&out);
	CU_ASSERT(strncmp(text, "h:9 (id: 3 rack: r) -> (\n\tProduce(0): 0 to "
	    "11 [usable: 11],\n\tFetch(1): 20 to 21 [unusable: node too new],"
	    "\n\tListOffsets(2): UNSUPPORTED,\n\tMetadata(3): 1 to 99 [usable: "
	    "12],\n", 150) == 0);
	CU_ASSERT(strstr(text, "\tOffsetDelete(47): 0 [usable: 0],\n") !=
	    NULL);
	CU_ASSERT(strstr(text, "\tDescribeQuorum(55): UNSUPPORTED,\n") !=
	    NULL);
	CU_ASSERT(strstr(text, "UNSUPPORTED,\n\tUNKNOWN(200): 1 to 2\n)\n") !=
	    NULL);
	buffer_fini(&out);
	broker.rack = SLICE_NULL;
	versions.why = "away";
	out = BUFFER_EMPTY;
	broker_versions_text(&versions, &out);
	same_text(&out, "h:9 (id: 3 rack: null) -> ERROR: away\n");
	out = BUFFER_EMPTY;
	broker_versions_json(&versions, 1, &out);
	same_text(&out, "{\"brokers\":[{\"id\":3,\"host\":\"h\",\"port\":9,"
	    "\"rack\":null,\"error\":\"away\"}]}\n");
	expect("barnabas broker-api-versions", TOOL_USAGE,
	    "--bootstrap-server");
}

static void
test_java_names(void)
{
	static const struct {
		int code;
		const char *name;
	} cases[] = {
		{ ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "UnknownTopicOrPartitionException" },
		{ ERR_PREFERRED_LEADER_NOT_AVAILABLE,
		    "PreferredLeaderNotAvailableException" },
		{ ERR_INVALID_TOPIC_EXCEPTION, "InvalidTopicException" },
		{ ERR_REQUEST_TIMED_OUT, "TimeoutException" },
		{ ERR_KAFKA_STORAGE_ERROR, "KafkaStorageException" },
	};

	for (size_t i = 0; i < nelems(cases); i++) {
		struct buffer out = BUFFER_EMPTY;
		char *want = join("org.apache.kafka.common.errors.",
		    cases[i].name, "");

		error_java_class(cases[i].code, &out);
		same_text(&out, want);
		free(want);
	}
}

/* --- the others ----------------------------------------------------------- */

static void
test_other_options(void)
{
	expect("barnabas leader-election --election-type preferred --topic t "
	       "--partition 0", TOOL_USAGE, "--bootstrap-server");
#define ELECTION "barnabas leader-election --bootstrap-server a:1 "
	expect(ELECTION "--all-topic-partitions", TOOL_USAGE,
	    "--election-type");
	expect(ELECTION "--election-type any --all-topic-partitions",
	    TOOL_USAGE, "\"any\"");
	expect(ELECTION "--election-type unclean", TOOL_USAGE, "exactly one");
	expect(ELECTION "--election-type unclean --topic t "
	    "--all-topic-partitions", TOOL_USAGE, "exactly one");
	expect(ELECTION "--election-type UNCLEAN --topic t", TOOL_USAGE,
	    "go together");
	expect(ELECTION "--election-type unclean --partition 1 "
	    "--all-topic-partitions", TOOL_USAGE, "go together");
	expect(ELECTION "--election-type unclean --path-to-json-file "
	    "/nowhere/x", TOOL_FAILED, "/nowhere/x");
	expect("barnabas cluster", TOOL_USAGE,
	    "cluster-id, health or unregister");
	expect("barnabas cluster list -b a:1", TOOL_USAGE,
	    "cluster-id, health or unregister");
	expect("barnabas cluster cluster-id", TOOL_USAGE,
	    "--bootstrap-server");
	expect("barnabas cluster cluster-id -C a:1", TOOL_USAGE, "KRaft");
	expect("barnabas cluster unregister -b a:1", TOOL_USAGE, "--id");
	expect("barnabas cluster cluster-id -b a:1 -i 3", TOOL_USAGE,
	    "unregister only");
	expect("barnabas cluster cluster-id -b a:1 --timeout 3", TOOL_USAGE,
	    "health only");
	/* For who watches, nothing of this is an illness. */
	expect("barnabas cluster health", 2, "--bootstrap-server");
	expect("barnabas cluster health -b a:1 --free-percent 101", 2,
	    "--free-percent");
	expect("barnabas cluster health -b a:1 --timeout 0", 2, "--timeout");
	expect("barnabas cluster health -b a:1 -i 3", 2, "unregister only");
	/* A command of our own: 2 is for what was not even begun. */
	expect("barnabas check", 2, "server.properties");
	expect("barnabas check --no-such x", 2, "--no-such");
	expect("barnabas check a b", 2, "\"b\"");
	expect("barnabas check /nowhere/x", 2, "/nowhere/x");
	expect("barnabas check /nowhere/x --timeout-ms 0", 2, "--timeout-ms");
	expect("barnabas completion zsh", TOOL_USAGE, "\"zsh\"");
}

/* Every command: its help, its version, and that there is JSON. */
static void
test_every_command(void)
{
	const struct command *command;

	for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
		char *line = join("barnabas ", command->name, " --help");
		struct ran ran = run(line);

		CU_ASSERT_EQUAL(ran.status, TOOL_OK);
		CU_ASSERT(strstr(ran.out, command->summary) != NULL);
		CU_ASSERT(strstr(ran.out, "--output text|json") != NULL);
		ran_fini(&ran);
		free(line);
		line = join("/x/", command->kafka_name != NULL
			? command->kafka_name : "barnabas", " --version");
		ran = run(line);
		CU_ASSERT_EQUAL(ran.status, TOOL_OK);
		CU_ASSERT(strncmp(ran.out, "barnabas ", 9) == 0);
		ran_fini(&ran);
		free(line);
	}
}

static void
test_completion(void)
{
	struct ran ran = run("barnabas completion");

	CU_ASSERT_EQUAL(ran.status, TOOL_OK);
	CU_ASSERT(strstr(ran.out, "\tkafka-configs.sh) command='configs'") !=
	    NULL);
	CU_ASSERT(strstr(ran.out, "'topics --topic') value='@topic'") !=
	    NULL);
	CU_ASSERT(strstr(ran.out, "'topics --command-config') "
				  "value='@file'") != NULL);
	ran_fini(&ran);
	ran = run("barnabas completion --output json");
	CU_ASSERT_EQUAL(ran.status, TOOL_OK);
	CU_ASSERT(strstr(ran.out, "{\"name\":\"check\",\"kafkaName\":null,") !=
	    NULL);
	ran_fini(&ran);
}

static void
test_progress(void)
{
	char *text = NULL;
	size_t size;
	struct tool tool = { .err = open_memstream(&text, &size) };
	struct progress progress;

	/* Nobody asked. */
	progress_begin(&progress, &tool, "things", 7);
	progress_step(&progress, 3);
	progress_end(&progress, 7);
	fflush(tool.err);
	CU_ASSERT_EQUAL(size, 0);
	/* --progress: the last line at least. */
	tool.progress = true;
	progress_begin(&progress, &tool, "things", 7);
	progress.next_ms = 0;
	progress_step(&progress, 3);
	progress_end(&progress, 7);
	fflush(tool.err);
	CU_ASSERT_STRING_EQUAL(text, "things: 3 of 7\nthings: 7 of 7\n");
	/* A terminal: one line, written over, which goes in the end. */
	tool.progress = false;
	tool.terminal = true;
	rewind(tool.err);
	progress_begin(&progress, &tool, "things", 7);
	progress_step(&progress, 1);
	progress.next_ms = 0;
	progress_step(&progress, 3);
	progress_end(&progress, 7);
	fclose(tool.err);
	CU_ASSERT(strncmp(text, "\rthings: 3 of 7\033[K\r\033[K", 21) == 0);
	free(text);
}

static const struct unit_test tests[] = {
	{ "configs to set", test_configs_added },
	{ "options of configs", test_configs_options },
	{ "printed configs", test_configs_print },
	{ "versions of brokers", test_versions },
	{ "names of Java", test_java_names },
	{ "options of the others", test_other_options },
	{ "every command", test_every_command },
	{ "completion", test_completion },
	{ "progress", test_progress },
};

int
main(void)
{
	return (unit_main("tools_admin", tests, nelems(tests)));
}
