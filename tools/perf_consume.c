/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas perf consume: reads all partitions of a topic, or those that a group
 * assigns, and counts.  What Kafka's tool calls the time of rebalance is, when
 * there is no group, the time until the partitions are known and fetched.
 */
#include <inttypes.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tools/assign.h"
#include "tools/console.h"
#include "tools/date_format.h"
#include "tools/perf.h"

#define POLL_MS 100
#define BATCH_RECORDS 1000
#define METRICS_MS 500

static const struct arg_row perf_consume_rows[] = {
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "Brokers to begin with." },
	{ "broker-list", ARG_TEXT, "host:port,...", NULL,
	    "The old name of --bootstrap-server." },
	{ "topic", ARG_TEXT, "name", NULL, "The topic to read." },
	{ "messages", ARG_LONG, "count", NULL, "Stop after so many records." },
	{ "timeout", ARG_MAYBE, "ms", "10000",
	    "Stop when nothing came for so long; 10000 when it is not "
	    "given." },
	{ "from-latest", ARG_FLAG, NULL, NULL,
	    "Begin behind the newest record, not with the oldest." },
	{ "fetch-size", ARG_INT, "bytes", "1048576",
	    "Of one partition in an answer." },
	{ "socket-buffer-size", ARG_INT, "bytes", "2097152",
	    "The socket's receive buffer." },
	{ "consumer.config", ARG_TEXT, "file", NULL,
	    "A file with options of the consumer." },
	{ "consumer-property", ARG_MANY, "name=value", NULL,
	    "An option of the consumer." },
	{ "reporting-interval", ARG_LONG, "ms", "5000",
	    "How often --show-detailed-stats prints." },
	{ "show-detailed-stats", ARG_FLAG, NULL, NULL,
	    "Print what came in each interval, and no sum." },
	{ "date-format", ARG_TEXT, "format", "yyyy-MM-dd HH:mm:ss:SSS",
	    "Of times, as java.text.SimpleDateFormat reads it." },
	{ "hide-header", ARG_FLAG, NULL, NULL,
	    "Leave out the names of the columns." },
	{ "print-metrics", ARG_FLAG, NULL, NULL,
	    "Print librdkafka's statistics at the end." },
	{ "group", ARG_TEXT, "name", NULL,
	    "Read as a member of this group; without it all partitions are "
	    "read." },
	{ "threads", ARG_INT, "count", "10", "Without effect." },
	{ "num-fetch-threads", ARG_INT, "count", "1", "Without effect." },
	ARGS_COMMON,
};

static int perf_consume_run(struct tool *tool, const struct args *args);

const struct command command_perf_consume = {
	.name = "perf consume",
	.kafka_name = "kafka-consumer-perf-test.sh",
	.summary = "measure how fast records are read",
	.rows = perf_consume_rows,
	.run = perf_consume_run,
};

struct perf_consume {
	struct tool *tool;
	const struct args *args;
	bool json;
	bool detailed;
	const char *date_format;
	int64_t most; /* records */
	int64_t timeout_ms;
	int64_t report_ms;
	struct interrupt interrupt;
	rd_kafka_t *rk;
	struct assignment assignment;
	bool group;
	bool commits;
	struct perf_read all;
	struct perf_read interval;
	struct buffer metrics;
	int64_t metrics_count;
	struct console_said said;
};

static int64_t
now_ms(void)
{
	return (clock_wall_ms(clock_system()));
}

/* --- connecting ----------------------------------------------------------- */

static void
perf_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	struct perf_consume *p = opaque;

	console_trouble(p->tool, rk, error, reason, &p->said);
}

static int
perf_statistics(rd_kafka_t *rk, char *json, size_t length, void *opaque)
{
	struct perf_consume *p = opaque;

	(void)rk;
	p->metrics.length = 0;
	buffer_append(&p->metrics, json, length);
	p->metrics_count++;
	return (0);
}

/* The first partitions end the time of joining. */
static void
perf_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
    rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
	struct perf_consume *p = opaque;

	if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
	    p->all.join_ms == 0) {
		p->all.join_ms = now_ms() - p->all.start_ms;
		p->interval.join_ms = p->all.join_ms;
	}
	assignment_rebalance(rk, what, partitions);
}

static rd_kafka_conf_t *
perf_conf(struct perf_consume *p, const char *bootstrap, int *status)
{
	static const struct console_row rows[] = {
		{ "fetch-size", "max.partition.fetch.bytes" },
		{ "socket-buffer-size", "receive.buffer.bytes" },
	};
	rd_kafka_conf_t *conf = NULL;
	struct config_map map;
	char text[16];

	config_map_init(&map);
	*status = console_properties(p->tool, p->args, "consumer.config",
	    "consumer-property", &map);
	if (*status == TOOL_OK)
		*status = console_group(p->tool, p->args, &map, &p->group);
	if (*status == TOOL_OK) {
		const char *commit =
		    config_map_get(&map, "enable.auto.commit");

		p->commits = commit == NULL || strcasecmp(commit, "true") == 0;
		console_merge(p->args, rows, nelems(rows), &map);
		(void)config_map_set_text(&map, "bootstrap.servers",
		    bootstrap);
		(void)config_map_set_text(&map, "auto.offset.reset",
		    args_has(p->args, "from-latest") ? "latest" : "earliest");
		(void)config_map_set_text(&map, "check.crcs", "false");
		if (config_map_find(&map, "client.id") == NULL)
			(void)config_map_set_text(&map, "client.id",
			    "perf-consumer-client");
		snprintf(text, sizeof(text), "%d", METRICS_MS);
		if (args_has(p->args, "print-metrics"))
			(void)config_map_set_text(&map,
			    "statistics.interval.ms", text);
		conf = console_conf(p->tool, &map, status);
	}
	config_map_fini(&map);
	return (conf);
}

static int
perf_connect(struct perf_consume *p, const char *bootstrap)
{
	struct assign_wanted wanted = {
		.topic = args_text(p->args, "topic"),
		.partition = -1,
		.first_offset = args_has(p->args, "from-latest")
		    ? RD_KAFKA_OFFSET_END
		    : RD_KAFKA_OFFSET_BEGINNING,
	};
	char why[256];
	int status;
	rd_kafka_conf_t *conf = perf_conf(p, bootstrap, &status);

	if (conf == NULL)
		return (status);
	rd_kafka_conf_set_opaque(conf, p);
	rd_kafka_conf_set_error_cb(conf, perf_error);
	rd_kafka_conf_set_stats_cb(conf, perf_statistics);
	if (p->group)
		rd_kafka_conf_set_rebalance_cb(conf, perf_rebalance);
	p->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (p->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		return (tool_usage(p->tool, "%s", why));
	}
	p->all.start_ms = now_ms();
	p->interval.start_ms = p->all.start_ms;
	wanted.group = p->group;
	wanted.commits = p->commits;
	status = assignment_init(&p->assignment, p->tool, p->rk, &wanted,
	    &p->interrupt);
	if (!p->group)
		p->all.join_ms = now_ms() - p->all.start_ms;
	p->interval.join_ms = p->all.join_ms;
	return (status);
}

/* --- reading -------------------------------------------------------------- */

static void
perf_count(struct perf_consume *p, const rd_kafka_message_t *message)
{
	const int64_t bytes = (int64_t)(message->len + message->key_len);

	p->all.messages++;
	p->all.bytes += bytes;
	p->interval.messages++;
	p->interval.bytes += bytes;
}

static void
perf_report(struct perf_consume *p, int64_t now)
{
	struct buffer out = BUFFER_EMPTY;

	if (now - p->interval.start_ms < p->report_ms)
		return;
	p->interval.end_ms = now;
	p->interval.bytes_all = p->all.bytes;
	p->interval.messages_all = p->all.messages;
	if (p->detailed)
		perf_read_interval(&p->interval, p->date_format, p->json,
		    &out);
	tool_print(p->tool, &out);
	fflush(p->tool->out);
	buffer_fini(&out);
	p->interval = (struct perf_read) { .start_ms = now };
}

static int
perf_take(struct perf_consume *p, rd_kafka_message_t *const *messages,
    size_t count)
{
	int status = TOOL_OK;

	for (size_t i = 0; i < count; i++)
		if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			perf_count(p, messages[i]);
		else if (messages[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF &&
		    status == TOOL_OK)
			status = tool_fail(p->tool, "%s%s",
			    console_error(messages[i]->err),
			    console_advice(messages[i]->err));
	return (status);
}

static int
perf_records(struct perf_consume *p)
{
	rd_kafka_message_t *messages[BATCH_RECORDS];
	int64_t last_ms = now_ms();
	int64_t now = last_ms;
	int status = TOOL_OK;

	while (status == TOOL_OK && p->all.messages < p->most &&
	    now - last_ms <= p->timeout_ms && !interrupt_came(&p->interrupt)) {
		const int64_t left = p->most - p->all.messages;
		const ssize_t count = rd_kafka_consume_batch_queue(
		    p->assignment.queue, POLL_MS, messages,
		    left < BATCH_RECORDS ? (size_t)left : BATCH_RECORDS);

		rd_kafka_poll(p->rk, 0);
		now = now_ms();
		if (count <= 0)
			continue;
		status = perf_take(p, messages, (size_t)count);
		last_ms = now;
		for (ssize_t i = 0; i < count; i++)
			rd_kafka_message_destroy(messages[i]);
		perf_report(p, now);
	}
	if (status == TOOL_OK && p->all.messages < p->most &&
	    !interrupt_came(&p->interrupt))
		fprintf(p->json ? p->tool->err : p->tool->out,
		    "WARNING: Exiting before consuming the expected number of "
		    "messages: timeout (%" PRId64 " ms) exceeded. You can use "
		    "the --timeout option to increase the timeout.\n",
		    p->timeout_ms);
	p->all.end_ms = now_ms();
	return (status);
}

static void
perf_print(struct perf_consume *p)
{
	const int64_t before = p->metrics_count;
	struct buffer out = BUFFER_EMPTY;

	p->all.bytes_all = p->all.bytes;
	p->all.messages_all = p->all.messages;
	if (!p->detailed || p->json)
		perf_read_total(&p->all, p->date_format, p->json, &out);
	if (args_has(p->args, "print-metrics")) {
		for (int i = 0; i < 20 && p->metrics_count == before; i++)
			rd_kafka_poll(p->rk, POLL_MS);
		perf_metrics_put(buffer_slice(&p->metrics), p->json, &out);
	}
	tool_print(p->tool, &out);
	buffer_fini(&out);
}

static int
perf_work(struct perf_consume *p, const char *bootstrap)
{
	struct buffer out = BUFFER_EMPTY;
	int status;

	interrupt_hold(&p->interrupt);
	status = perf_connect(p, bootstrap);
	if (status == TOOL_OK) {
		if (!p->json && !args_has(p->args, "hide-header"))
			perf_read_header(p->detailed, &out);
		tool_print(p->tool, &out);
		status = perf_records(p);
		perf_print(p);
	}
	assignment_fini(&p->assignment, p->tool);
	if (p->rk != NULL)
		rd_kafka_destroy(p->rk);
	buffer_fini(&p->metrics);
	buffer_fini(&out);
	interrupt_release(&p->interrupt);
	return (status);
}

/* --- options -------------------------------------------------------------- */

static int
perf_check(struct perf_consume *p)
{
	const char *timeout = args_text(p->args, "timeout");
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (!args_has(p->args, "topic"))
		return (tool_usage(p->tool, "--topic is needed"));
	if (p->most < 0)
		return (tool_usage(p->tool, "--messages is needed: how many to "
					    "read"));
	if (p->report_ms < 1)
		return (tool_usage(p->tool,
		    "--reporting-interval is more than 0"));
	if (timeout != NULL &&
	    (!text_to_int64(slice_of_text(timeout), &p->timeout_ms) ||
		p->timeout_ms < 0))
		return (tool_usage(p->tool,
		    "--timeout is milliseconds, not \"%s\"", timeout));
	if (!date_format_check(p->date_format, &why))
		status = tool_usage(p->tool, "--date-format: %s",
		    buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

static int
perf_consume_run(struct tool *tool, const struct args *args)
{
	const char *bootstrap = console_bootstrap(tool, args, "broker-list");
	struct perf_consume p = {
		.tool = tool,
		.args = args,
		.json = args_json(args),
		.detailed = args_has(args, "show-detailed-stats"),
		.date_format = args_text(args, "date-format"),
		.most = args_number(args, "messages"),
		.timeout_ms = 10000,
		.report_ms = args_number(args, "reporting-interval"),
	};
	int status;

	if (bootstrap == NULL)
		return (TOOL_USAGE);
	status = perf_check(&p);
	if (status != TOOL_OK)
		return (status);
	if (args_has(args, "threads") || args_has(args, "num-fetch-threads"))
		fprintf(p.json ? tool->err : tool->out,
		    "WARNING: option [threads] and [num-fetch-threads] have "
		    "been deprecated and will be ignored by the test\n");
	return (perf_work(&p, bootstrap));
}
