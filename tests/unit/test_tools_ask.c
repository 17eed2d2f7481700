/* SPDX-License-Identifier: Apache-2.0 */
/* get-offsets, delete-records, log-dirs and perf without a broker: what they
 * make of options and files, and what they print. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "tests/unit/tool_rig.h"
#include "tests/unit/unit.h"
#include "tools/date_format.h"
#include "tools/get_offsets.h"
#include "tools/log_dirs.h"
#include "tools/partitions_file.h"
#include "tools/perf.h"
#include "tools/tool.h"

/* --- offsets, records, log directories ------------------------------------ */

static bool
offsets_of(const char *option, const char *value, const char *topic,
    int32_t partition)
{
	const char *const argv[] = { "x", option, value };
	struct buffer why = BUFFER_EMPTY;
	struct offsets_rules rules;
	struct args args;
	bool takes_it = false;

	CU_ASSERT_FATAL(args_parse(&args, command_get_offsets.rows, 3,
	    (char *const *)(uintptr_t)argv, &why));
	if (offsets_rules_init(&rules, &args, &why))
		takes_it = offsets_rules_take(&rules, slice_of_text(topic),
		    partition);
	else
		CU_ASSERT(partition == -1 && why.length != 0);
	offsets_rules_fini(&rules);
	args_fini(&args);
	buffer_fini(&why);
	return (takes_it);
}

static void
test_offsets_rules(void)
{
	static const struct {
		const char *pattern;
		const char *topic;
		int32_t partition;
		bool takes;
	} cases[] = {
		{ "a", "a", 7, true }, { "a", "b", 7, false },
		{ "a:3", "a", 3, true }, { "a:3", "a", 4, false },
		{ "a:0-3", "a", 2, true }, { "a:0-3", "a", 3, false },
		{ "a:2-", "a", 9, true }, { "a:2-", "a", 1, false },
		{ "a:-2", "a", 1, true }, { "a:-2", "a", 2, false },
		{ ":1", "any", 1, true }, { ":1", "any", 0, false },
		{ "a:", "a", 5, true }, { "a,b:1", "b", 1, true },
		{ "a,b:1", "b", 0, false }, { "a.*", "abc", 0, true },
		{ ":-", "a", 4, true },
	};
	static const char *const wrong[] = { "a:x", "a:1:2", "a:1-2-3",
		"a:+1", "a:2147483648", "(", "a:3x" };
	int64_t time;

	for (size_t i = 0; i < nelems(cases); i++)
		CU_ASSERT_EQUAL(offsets_of("--topic-partitions",
		    cases[i].pattern, cases[i].topic, cases[i].partition),
		    cases[i].takes);
	for (size_t i = 0; i < nelems(wrong); i++)
		(void)offsets_of("--topic-partitions", wrong[i], "a", -1);
	CU_ASSERT(offsets_of("--partitions", "1,3", "t", 3));
	CU_ASSERT_FALSE(offsets_of("--partitions", "1,3", "t", 2));
	CU_ASSERT(offsets_of("--topic", "t", "t", 2));
	(void)offsets_of("--partitions", "1,x", "t", -1);
	CU_ASSERT(offsets_time("latest-tiered", &time) && time == -5);
	CU_ASSERT(offsets_time("-3", &time) && time == -3);
	CU_ASSERT(offsets_time("77", &time) && time == 77);
	CU_ASSERT_FALSE(offsets_time("-6", &time));
	CU_ASSERT_FALSE(offsets_time("now", &time));
	expect("barnabas get-offsets --topic-partitions a --partitions 1",
	    TOOL_USAGE, "does not go with");
	expect("barnabas get-offsets --time now", TOOL_USAGE, "max-timestamp");
	expect("barnabas get-offsets", TOOL_USAGE, "--bootstrap-server");
}

static void
test_delete_records(void)
{
	static const char *const wrong[][2] = {
		{ "", "JSON" }, { "{} x", "JSON" }, { "[]", "partitions" },
		{ "{\"partitions\":{}}", "partitions" },
		{ "{\"version\":2,\"partitions\":[]}", "version" },
		{ "{\"partitions\":[1]}", "entry 1" },
		{ "{\"partitions\":[{\"topic\":\"\",\"partition\":0,"
		  "\"offset\":1}]}", "topic" },
		{ "{\"partitions\":[{\"topic\":\"a\",\"partition\":-1,"
		  "\"offset\":1}]}", "partition" },
		{ "{\"partitions\":[{\"topic\":\"a\",\"partition\":0,"
		  "\"offset\":-2}]}", "offset" },
		{ "{\"partitions\":[{\"topic\":\"a\",\"partition\":0,"
		  "\"offset\":1.5}]}", "offset" },
		{ "{\"partitions\":[{\"topic\":\"a\",\"partition\":0,"
		  "\"offset\":1},{\"topic\":\"a\",\"partition\":0,"
		  "\"offset\":1}]}", "a-0 more than once" },
		{ "{\"partitions\":[],\"partitions\":[]}", "JSON" },
	};
	struct buffer why = BUFFER_EMPTY;
	struct partitions_list list;
	struct arena arena;

	arena_init(&arena, 0);
	CU_ASSERT(partitions_parse(SLICE_LITERAL("{\"partitions\":[{"
	    "\"topic\":\"b\",\"partition\":1,\"offset\":-1,\"more\":0},"
	    "{\"topic\":\"a\",\"partition\":0,\"offset\":9}]}"),
	    PARTITIONS_WITH_OFFSET, &arena, &list, &why));
	CU_ASSERT_EQUAL_FATAL(list.count, 2);
	CU_ASSERT(slice_equal_text(list.items[0].topic, "b"));
	CU_ASSERT_EQUAL(list.items[0].asked, -1);
	CU_ASSERT_EQUAL(list.items[1].asked, 9);
	partitions_list_fini(&list);
	/* As leader-election reads it. */
	CU_ASSERT(partitions_parse(SLICE_LITERAL("{\"version\":7,"
	    "\"partitions\":[{\"topic\":\"b\",\"partition\":1}]}"),
	    PARTITIONS_ALONE, &arena, &list, &why));
	CU_ASSERT_EQUAL(list.count, 1);
	partitions_list_fini(&list);
	for (size_t i = 0; i < nelems(wrong); i++) {
		CU_ASSERT_FALSE(partitions_parse(slice_of_text(wrong[i][0]),
		    PARTITIONS_WITH_OFFSET, &arena, &list, &why));
		if (strstr(buffer_text(&why), wrong[i][1]) == NULL)
			printf("\n%s: %s\n", wrong[i][0], buffer_text(&why));
		CU_ASSERT(strstr(buffer_text(&why), wrong[i][1]) != NULL);
		why.length = 0;
	}
	buffer_fini(&why);
	arena_fini(&arena);
	expect("barnabas delete-records --bootstrap-server a:1", TOOL_USAGE,
	    "--offset-json-file");
	expect("barnabas delete-records --bootstrap-server a:1 "
	       "--offset-json-file /nowhere/x",
	    TOOL_FAILED, "/nowhere/x");
}

static void
test_log_dirs(void)
{
	struct describe_log_dirs_response_partition part = {
		.partition_index = 3, .partition_size = 10, .offset_lag = 1 };
	struct describe_log_dirs_response_topic topics[] = {
		{ .name = SLICE_LITERAL("a"), .partitions = &part,
		    .partitions_count = 1 },
		{ .name = SLICE_LITERAL("b"), .partitions = &part,
		    .partitions_count = 1 },
	};
	struct describe_log_dirs_response_result dirs[] = {
		{ .log_dir = SLICE_LITERAL("/d"), .topics = topics,
		    .topics_count = 2, .total_bytes = 5, .usable_bytes = 4 },
		{ .log_dir = SLICE_LITERAL("/e"), .total_bytes = -1,
		    .error_code = ERR_KAFKA_STORAGE_ERROR },
	};
	struct log_dirs_answer answer = { .broker = 7,
		.response = { .results = dirs, .results_count = 2 } };
	struct buffer out = BUFFER_EMPTY;

	log_dirs_json(&answer, 1, SLICE_LITERAL("b,c"), false, &out);
	same_text(&out,
	    "{\"brokers\":[{\"broker\":7,\"logDirs\":[{\"partitions\":["
	    "{\"partition\":\"b-3\",\"size\":10,\"offsetLag\":1,"
	    "\"isFuture\":false}],\"error\":null,\"logDir\":\"/d\"},"
	    "{\"partitions\":[],\"error\":\"org.apache.kafka.common.errors."
	    "KafkaStorageException\",\"logDir\":\"/e\"}]}],\"version\":1}\n");
	out = BUFFER_EMPTY;
	dirs[0].topics_count = 0;
	log_dirs_json(&answer, 1, SLICE_EMPTY, true, &out);
	same_text(&out,
	    "{\"brokers\":[{\"broker\":7,\"logDirs\":[{\"partitions\":[],"
	    "\"error\":null,\"logDir\":\"/d\",\"totalBytes\":5,"
	    "\"usableBytes\":4},{\"partitions\":[],\"error\":"
	    "\"KAFKA_STORAGE_ERROR\",\"logDir\":\"/e\"}]}],"
	    "\"version\":1}\n");
	expect("barnabas log-dirs --bootstrap-server a:1", TOOL_USAGE,
	    "--describe");
	expect("barnabas log-dirs --bootstrap-server a:1 --describe "
	       "--broker-list 1,x",
	    TOOL_USAGE, "no broker id");
}

/* --- perf ----------------------------------------------------------------- */

#define MS_NS ((int64_t)1000000)

static void
test_perf_produced(void)
{
	struct perf_stats stats;
	struct buffer out = BUFFER_EMPTY;

	perf_stats_init(&stats, 10, 1000 * MS_NS);
	for (int64_t i = 1; i <= 10; i++)
		perf_stats_record(&stats, i * 10, 1048576);
	perf_stats_window(&stats, 3000 * MS_NS, false, &out);
	same_text(&out,
	    "10 records sent, 5.0 records/sec (5.00 MB/sec), 55.0 ms avg "
	    "latency, 100.0 ms max latency.\n");
	out = BUFFER_EMPTY;
	CU_ASSERT_EQUAL(stats.window.count, 0);
	CU_ASSERT_EQUAL(stats.window.start_ns, 3000 * MS_NS);
	perf_stats_total(&stats, 5000 * MS_NS, false, &out);
	same_text(&out,
	    "10 records sent, 2.500000 records/sec (2.50 MB/sec), 55.00 ms avg "
	    "latency, 100.00 ms max latency, 60 ms 50th, 100 ms 95th, 100 ms "
	    "99th, 100 ms 99.9th.\n");
	out = BUFFER_EMPTY;
	perf_stats_total(&stats, 5000 * MS_NS, true, &out);
	same_text(&out,
	    "{\"total\":true,\"records\":10,\"recordsPerSec\":2.5,"
	    "\"mbPerSec\":2.50,\"avgLatencyMs\":55.00,\"maxLatencyMs\":100,"
	    "\"latencyMs50\":60,\"latencyMs95\":100,\"latencyMs99\":100,"
	    "\"latencyMs999\":100}\n");
	perf_stats_fini(&stats);
	/* Nothing came through; and many records, of which some are kept. */
	out = BUFFER_EMPTY;
	perf_stats_init(&stats, 3, 0);
	perf_stats_total(&stats, 10 * MS_NS, false, &out);
	same_text(&out,
	    "0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg "
	    "latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 "
	    "ms 99.9th.\n");
	perf_stats_fini(&stats);
	/* In less than 1 ms. */
	out = BUFFER_EMPTY;
	perf_stats_init(&stats, 1, 5 * MS_NS);
	perf_stats_record(&stats, 0, 1048576);
	perf_stats_total(&stats, 5 * MS_NS + MS_NS / 4, false, &out);
	same_text(&out,
	    "1 records sent, 4000.000000 records/sec (4000.00 MB/sec), 0.00 ms "
	    "avg latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms "
	    "99th, 0 ms 99.9th.\n");
	perf_stats_fini(&stats);
	perf_stats_init(&stats, 1700000, 0);
	for (int64_t i = 0; i < 1700000; i++)
		perf_stats_record(&stats, i % 3, 1);
	CU_ASSERT_EQUAL(stats.every, 3);
	CU_ASSERT_EQUAL(stats.sample_count, 566667);
	CU_ASSERT_EQUAL(stats.total.latency_ms_max, 2);
	perf_stats_fini(&stats);
}

static void
test_perf_consumed(void)
{
	struct perf_read read = { .start_ms = 1000, .end_ms = 3000,
		.bytes = 2097152, .messages = 100, .join_ms = 1000,
		.bytes_all = 4194304, .messages_all = 300 };
	struct buffer out = BUFFER_EMPTY;

	perf_read_total(&read, "s", false, &out);
	same_text(&out, "1, 3, 2.0000, 1.0000, 100, 50.0000, 1000, 1000, "
			"2.0000, 100.0000\n");
	out = BUFFER_EMPTY;
	perf_read_interval(&read, "s", false, &out);
	same_text(&out, "3, 0, 4.0000, 1.0000, 300, 50.0000, 1000, 1000, "
			"2.0000, 100.0000\n");
	out = BUFFER_EMPTY;
	read.join_ms = 2000;
	perf_read_total(&read, "s", false, &out);
	same_text(&out, "1, 3, 2.0000, 1.0000, 100, 50.0000, 2000, 0, "
			"Infinity, Infinity\n");
	out = BUFFER_EMPTY;
	perf_read_interval(&read, "s", false, &out);
	same_text(&out, "3, 0, 4.0000, 1.0000, 300, 50.0000, 2000, 0, "
			"0.0000, 0.0000\n");
	out = BUFFER_EMPTY;
	perf_read_header(true, &out);
	CU_ASSERT(strncmp(buffer_text(&out), "time, threadId, data.", 21) ==
	    0);
	buffer_fini(&out);
}

static void
test_perf_metrics(void)
{
	struct buffer out = BUFFER_EMPTY;

	perf_metrics_put(SLICE_LITERAL("{\"b\":1,\"name\":\"x\",\"a\":{"
	    "\"long\":-2.5,\"l\":[1]}}"), false, &out);
	same_text(&out, "\nMetric Name   Value\na:long : -2.500\n"
			"b      : 1\n");
	out = BUFFER_EMPTY;
	perf_metrics_put(SLICE_LITERAL("{\"b\":1}"), true, &out);
	same_text(&out, "{\"metrics\":{\"b\":1}}\n");
	out = BUFFER_EMPTY;
	perf_metrics_put(SLICE_LITERAL("none"), false, &out);
	same_text(&out, "");
}

static void
test_perf_options(void)
{
	static const char produce[] = "barnabas perf produce --topic t "
				      "--throughput -1 ";
	static const char consume[] = "barnabas perf consume --topic t "
				      "--bootstrap-server a:1 ";
	static const struct {
		const char *start;
		const char *more;
		const char *err;
	} cases[] = {
		{ produce, "--num-records 1", "exactly one of" },
		{ produce, "--record-size 1", "--num-records" },
		{ produce, "--num-records 0 --record-size 1", "between 1" },
		{ produce, "--num-records 1 --record-size 1 "
			   "--payload-monotonic",
		    "exactly one of" },
		{ produce, "--num-records 1 --record-size 1",
		    "--producer-props" },
		{ produce, "--num-records 1 --record-size 1 "
			   "--producer-props acks=1",
		    "bootstrap.servers" },
		{ produce, "--num-records 1 --record-size 1 "
			   "--producer-props bootstrap.servers=a:1 x=1",
		    "no property x" },
		{ produce, "--num-records 1 --record-size 1 --producer-props "
			   "bootstrap.servers=a:1 --transactional-id t",
		    "no transactions" },
		{ produce, "--num-records 1 --payload-file /dev/null "
			   "--producer-props bootstrap.servers=a:1",
		    "no record" },
		{ produce, "--throughput 5", "twice" },
		{ consume, "", "--messages" },
		{ consume, "--messages 1 --timeout x", "--timeout" },
		{ consume, "--messages 1 --reporting-interval 0", "interval" },
		{ consume, "--messages 1 --date-format G", "'G'" },
	};

	for (size_t i = 0; i < nelems(cases); i++) {
		char line[256];

		snprintf(line, sizeof(line), "%s%s", cases[i].start,
		    cases[i].more);
		expect(line, 1, cases[i].err);
	}
	expect("kafka-producer-perf-test.sh --topic t --num-records 1 "
	       "--record-size 1 --throughput 0",
	    1, "--throughput");
}

static void
date(const char *pattern, const char *want)
{
	struct buffer out = BUFFER_EMPTY;

	CU_ASSERT(date_format_check(pattern, &out));
	date_format_put(pattern, INT64_C(1724168874053), &out);
	same_text(&out, want);
}

static void
test_dates(void)
{
	static const char *const wrong[] = { "G", "yyyy Q", "'open", "w" };
	struct buffer why = BUFFER_EMPTY;
	char *zone = getenv("TZ");

	zone = zone == NULL ? NULL : mem_strdup(zone);
	setenv("TZ", "UTC0", 1);
	tzset();
	date("yyyy-MM-dd HH:mm:ss:SSS", "2024-08-20 15:47:54:053");
	date("yy/M/d h:m:s.S a", "24/8/20 3:47:54.53 PM");
	date("EEE, d MMM yyyy HH:mm Z", "Tue, 20 Aug 2024 15:47 +0000");
	date("'at' HH'''o''clock'", "at 15'o'clock");
	date("", "");
	for (size_t i = 0; i < nelems(wrong); i++) {
		CU_ASSERT_FALSE(date_format_check(wrong[i], &why));
		CU_ASSERT(why.length != 0);
		why.length = 0;
	}
	buffer_fini(&why);
	if (zone != NULL)
		setenv("TZ", zone, 1);
	else
		unsetenv("TZ");
	tzset();
	mem_free(zone);
}

static const struct unit_test tests[] = {
	{ "which offsets", test_offsets_rules },
	{ "records to delete", test_delete_records },
	{ "log directories", test_log_dirs },
	{ "perf: records produced", test_perf_produced },
	{ "perf: records consumed", test_perf_consumed },
	{ "perf: metrics", test_perf_metrics },
	{ "perf: options", test_perf_options },
	{ "dates", test_dates },
};

int
main(void)
{
	return (unit_main("tools that ask", tests, nelems(tests)));
}
