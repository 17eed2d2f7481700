/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas perf produce.  One thread makes records, at most so many a second,
 * and hands them to librdkafka; delivery reports come back in rd_kafka_poll()
 * on the same thread and are counted there.  A record carries the time at which
 * it was to be sent as its opaque: waiting for room in the queue counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "tools/console.h"
#include "tools/interrupt.h"
#include "tools/perf.h"
#include "tools/read_file.h"

#define POLL_MS 100
/* What is under way when a signal comes gets so long. */
#define LAST_FLUSH_MS 5000
#define ERRORS_SAID_MAX 10
#define REPORT_MS 5000
#define MS_NS ((int64_t)1000000)
#define METRICS_MS 500
/* Delivery reports are fetched after so many records. */
#define RECORDS_A_POLL 16
#define PAYLOAD_BYTES_MAX ((size_t)1 << 30)
#define MONOTONIC_BYTES 24
#define RECORDS_MAX INT64_C(1000000000000)

static const struct arg_row perf_produce_rows[] = {
	{ "topic", ARG_TEXT, "name", NULL, "The topic to write to." },
	{ "num-records", ARG_LONG, "count", NULL, "How many records to send." },
	{ "record-size", ARG_INT, "bytes", NULL,
	    "Records of so many random letters." },
	{ "payload-file", ARG_TEXT, "file", NULL,
	    "Records from this file, chosen at random." },
	{ "payload-monotonic", ARG_FLAG, NULL, NULL,
	    "Records that count from 0 on." },
	{ "payload-delimiter", ARG_TEXT, "text", "\\n",
	    "What stands between records in --payload-file." },
	{ "throughput", ARG_REAL, "rate", NULL,
	    "So many records a second, about; -1 for as many as can be." },
	{ "producer-props", ARG_SEVERAL, "name=value", NULL,
	    "Options of the producer: bootstrap.servers, acks, ..." },
	{ "producer.config", ARG_TEXT, "file", NULL,
	    "A file with options of the producer." },
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "The same as the option bootstrap.servers." },
	{ "print-metrics", ARG_FLAG, NULL, NULL,
	    "Print librdkafka's statistics at the end." },
	{ "transactional-id", ARG_TEXT, "id", NULL, "Not in this version." },
	{ "transaction-duration-ms", ARG_LONG, "ms", "0",
	    "Not in this version." },
	ARGS_COMMON,
};

static int perf_produce_run(struct tool *tool, const struct args *args);

const struct command command_perf_produce = {
	.name = "perf produce",
	.kafka_name = "kafka-producer-perf-test.sh",
	.summary = "measure how fast records are stored",
	.rows = perf_produce_rows,
	.run = perf_produce_run,
};

/* Where records come from: one of three. */
struct payload {
	struct buffer file;
	struct slice *items; /* in `file`; NULL: not from a file */
	size_t count;
	uint8_t *bytes; /* random letters, or a number */
	size_t size;    /* of random ones */
	bool monotonic;
	struct random random;
};

struct perf_produce {
	struct tool *tool;
	const struct args *args;
	bool json;
	int64_t records;
	double rate; /* records a second; below 0: no limit */
	int64_t block_ms;
	struct payload payload;
	struct interrupt interrupt;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	struct perf_stats stats;
	int64_t start_ms; /* monotonic */
	int64_t refused;  /* records */
	struct buffer metrics;
	int64_t metrics_count;
	struct console_said said;
};

static int64_t
now_ms(void)
{
	return (clock_mono_ms(clock_system()));
}

/* --- payload -------------------------------------------------------------- */

/* \n and its like in --payload-delimiter. */
static void
delimiter_of(const char *text, struct buffer *out)
{
	static const char escapes[] = "n\nt\tr\r\\\\";

	for (; *text != '\0'; text++) {
		const char *escape = NULL;

		for (size_t i = 0; text[0] == '\\' && escapes[i] != '\0';
		     i += 2)
			if (text[1] == escapes[i])
				escape = &escapes[i + 1];
		buffer_append(out, escape != NULL ? escape : text, 1);
		text += escape != NULL;
	}
}

static void
payload_cut(struct payload *payload, struct slice delimiter)
{
	struct slice rest = buffer_slice(&payload->file);
	size_t room = 0;

	while (rest.data != NULL) {
		const uint8_t *at = memmem(rest.data, rest.length,
		    delimiter.data, delimiter.length);
		const size_t length =
		    at == NULL ? rest.length : (size_t)(at - rest.data);

		if (payload->count == room) {
			room = room * 2 + 16;
			payload->items = mem_realloc(payload->items,
			    room * sizeof(*payload->items));
		}
		payload->items[payload->count++] = slice_of(rest.data, length);
		rest = at == NULL ? SLICE_NULL
				  : slice_of(at + delimiter.length,
					rest.length - length -
					    delimiter.length);
	}
	/* As Kafka's tool: nothing at the end is no record. */
	while (payload->count > 0 &&
	    payload->items[payload->count - 1].length == 0)
		payload->count--;
}

static int
payload_read(struct perf_produce *p, const char *path)
{
	struct payload *payload = &p->payload;
	struct buffer delimiter = BUFFER_EMPTY;
	char *whole;

	delimiter_of(args_text(p->args, "payload-delimiter"), &delimiter);
	if (delimiter.length == 0)
		return (tool_usage(p->tool, "--payload-delimiter is empty"));
	if (!read_file(path, PAYLOAD_BYTES_MAX, &payload->file)) {
		buffer_fini(&delimiter);
		return (tool_fail(p->tool, "%s: %s", path, strerror(errno)));
	}
	payload_cut(payload, buffer_slice(&delimiter));
	buffer_fini(&delimiter);
	if (payload->count == 0)
		return (tool_fail(p->tool, "%s: there is no record in it",
		    path));
	if (!p->json) {
		whole = realpath(path, NULL);
		fprintf(p->tool->out,
		    "Reading payloads from: %s\n"
		    "Number of messages read: %zu\n",
		    whole != NULL ? whole : path, payload->count);
		free(whole);
	}
	return (TOOL_OK);
}

static int
payload_init(struct perf_produce *p)
{
	struct payload *payload = &p->payload;
	const int64_t size = args_number(p->args, "record-size");

	/* The same records in each run. */
	random_seed(&payload->random, 0);
	if (args_has(p->args, "payload-file"))
		return (payload_read(p, args_text(p->args, "payload-file")));
	payload->monotonic = args_has(p->args, "payload-monotonic");
	payload->size = payload->monotonic ? 0 : (size_t)size;
	payload->bytes = mem_try_alloc(
	    payload->monotonic ? MONOTONIC_BYTES : payload->size + 1);
	if (payload->bytes == NULL)
		return (tool_fail(p->tool, "there is no memory for records of "
					   "%" PRId64 " bytes",
		    size));
	return (TOOL_OK);
}

static void
payload_fini(struct payload *payload)
{
	buffer_fini(&payload->file);
	mem_free(payload->items);
	mem_free(payload->bytes);
}

/* Good for as long as no next one is asked for. */
static struct slice
payload_next(struct payload *payload, int64_t number)
{
	uint64_t bits = 0;

	if (payload->items != NULL)
		return (payload->items[random_below(&payload->random,
		    payload->count)]);
	if (payload->monotonic)
		return (slice_of(payload->bytes,
		    (size_t)snprintf((char *)payload->bytes, MONOTONIC_BYTES,
			"%" PRId64, number)));
	for (size_t i = 0; i < payload->size; i++) {
		bits = i % 8 == 0 ? random_u64(&payload->random) : bits >> 8;
		payload->bytes[i] = (uint8_t)('A' + ((bits & 0xff) * 26 >> 8));
	}
	return (slice_of(payload->bytes, payload->size));
}

/* --- what librdkafka tells ------------------------------------------------ */

static void
perf_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message,
    void *opaque)
{
	struct perf_produce *p = opaque;
	const int64_t now_ns = clock_mono_ns(clock_system());
	struct buffer out = BUFFER_EMPTY;

	(void)rk;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (++p->refused <= ERRORS_SAID_MAX)
			tool_warn(p->tool, "a record was not stored: %s%s",
			    console_error(message->err),
			    console_advice(message->err));
		return;
	}
	perf_stats_record(&p->stats,
	    now_ns / MS_NS - p->start_ms -
		(int64_t)(intptr_t)message->_private,
	    message->len);
	if (now_ns - p->stats.window.start_ns < REPORT_MS * MS_NS)
		return;
	perf_stats_window(&p->stats, now_ns, p->json, &out);
	tool_print(p->tool, &out);
	fflush(p->tool->out);
	buffer_fini(&out);
}

static void
perf_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	struct perf_produce *p = opaque;

	console_trouble(p->tool, rk, error, reason, &p->said);
}

static int
perf_statistics(rd_kafka_t *rk, char *json, size_t length, void *opaque)
{
	struct perf_produce *p = opaque;

	(void)rk;
	p->metrics.length = 0;
	buffer_append(&p->metrics, json, length);
	p->metrics_count++;
	return (0);
}

/* --- sending -------------------------------------------------------------- */

static int
perf_send(struct perf_produce *p, struct slice payload, int64_t sent_ms)
{
	const int64_t give_up_ms = sent_ms + p->block_ms;

	while (rd_kafka_produce(p->topic, RD_KAFKA_PARTITION_UA,
		   RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)payload.data,
		   payload.length, NULL, 0,
		   (void *)(intptr_t)(sent_ms - p->start_ms)) != 0) {
		const rd_kafka_resp_err_t error = rd_kafka_last_error();

		if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return (tool_fail(p->tool, "%s%s",
			    console_error(error), console_advice(error)));
		if (interrupt_came(&p->interrupt))
			return (TOOL_OK);
		if (now_ms() >= give_up_ms)
			return (tool_fail(p->tool,
			    "the queue stayed full for %" PRId64
			    " ms (max.block.ms); are the brokers reachable?",
			    p->block_ms));
		rd_kafka_poll(p->rk, 1);
	}
	return (TOOL_OK);
}

/* Until record `number` may be sent. */
static void
perf_throttle(struct perf_produce *p, int64_t number)
{
	const double due_ms = p->rate <= 0
	    ? 0
	    : (double)p->start_ms + 1000.0 * (double)number / p->rate;

	for (;;) {
		const double wait_ms = due_ms - (double)now_ms();

		if (wait_ms < 1 || interrupt_came(&p->interrupt))
			return;
		rd_kafka_poll(p->rk, wait_ms < POLL_MS ? (int)wait_ms
						       : POLL_MS);
	}
}

static int
perf_records(struct perf_produce *p)
{
	int status = TOOL_OK;

	for (int64_t i = 0; status == TOOL_OK && i < p->records; i++) {
		if (p->rate > 0)
			perf_throttle(p, i);
		if (i % RECORDS_A_POLL == 0) {
			rd_kafka_poll(p->rk, 0);
			if (interrupt_came(&p->interrupt))
				break;
		}
		status = perf_send(p, payload_next(&p->payload, i), now_ms());
	}
	return (status);
}

/* Every record ends by itself after delivery.timeout.ms at the latest. */
static void
perf_flush(struct perf_produce *p)
{
	while (rd_kafka_outq_len(p->rk) > 0 && !interrupt_came(&p->interrupt))
		rd_kafka_flush(p->rk, POLL_MS);
	if (interrupt_came(&p->interrupt))
		rd_kafka_flush(p->rk, LAST_FLUSH_MS);
}

static void
perf_put_metrics(struct perf_produce *p, struct buffer *out)
{
	const int64_t before = p->metrics_count;

	/* The next ones tell of all records. */
	for (int i = 0; i < 20 && p->metrics_count == before; i++)
		rd_kafka_poll(p->rk, POLL_MS);
	perf_metrics_put(buffer_slice(&p->metrics), p->json, out);
}

static int
perf_end(struct perf_produce *p)
{
	const int left = rd_kafka_outq_len(p->rk);
	struct buffer out = BUFFER_EMPTY;

	perf_stats_total(&p->stats, clock_mono_ns(clock_system()), p->json,
	    &out);
	if (args_has(p->args, "print-metrics"))
		perf_put_metrics(p, &out);
	tool_print(p->tool, &out);
	buffer_fini(&out);
	if (p->refused > 0)
		return (tool_fail(p->tool,
		    "%" PRId64 " records were not stored", p->refused));
	if (left > 0 || interrupt_came(&p->interrupt))
		return (tool_fail(p->tool,
		    "interrupted; of %d records it is not known whether they "
		    "were stored",
		    left));
	return (TOOL_OK);
}

/* --- setting up ----------------------------------------------------------- */

/* What the user did not say is as in Kafka's producer. */
static void
perf_defaults(struct config_map *map)
{
	static const char *const defaults[][2] = {
		{ "acks", "all" }, { "linger.ms", "0" },
		{ "batch.size", "16384" }, { "buffer.memory", "33554432" },
		{ "max.block.ms", "60000" },
		{ "client.id", "perf-producer-client" },
		{ "queue.buffering.max.messages", "10000000" },
		{ "socket.nagle.disable", "true" },
	};

	for (size_t i = 0; i < nelems(defaults); i++)
		if (config_map_find(map, defaults[i][0]) == NULL)
			(void)config_map_set_text(map, defaults[i][0],
			    defaults[i][1]);
	console_producer_defaults(map);
}

/* Kafka counts the queue in bytes, librdkafka in KiB. */
static int
perf_limits(struct perf_produce *p, struct config_map *map)
{
	int64_t memory;
	char text[32];

	if (!text_to_int64(slice_of_text(config_map_get(map, "buffer.memory")),
		&memory) ||
	    memory < 0)
		return (tool_usage(p->tool, "buffer.memory is no number"));
	if (!text_to_int64(slice_of_text(config_map_get(map, "max.block.ms")),
		&p->block_ms) ||
	    p->block_ms < 0)
		return (tool_usage(p->tool, "max.block.ms is no number"));
	snprintf(text, sizeof(text), "%" PRId64,
	    memory < 1024 ? 1 : memory / 1024);
	if (config_map_find(map, "queue.buffering.max.kbytes") == NULL)
		(void)config_map_set_text(map, "queue.buffering.max.kbytes",
		    text);
	if (args_has(p->args, "print-metrics") &&
	    config_map_find(map, "statistics.interval.ms") == NULL) {
		snprintf(text, sizeof(text), "%d", METRICS_MS);
		(void)config_map_set_text(map, "statistics.interval.ms", text);
	}
	return (TOOL_OK);
}

static rd_kafka_conf_t *
perf_conf(struct perf_produce *p, int *status)
{
	const char *bootstrap = args_text(p->args, "bootstrap-server");
	rd_kafka_conf_t *conf = NULL;
	struct config_map map;

	config_map_init(&map);
	*status = console_properties(p->tool, p->args, "producer.config",
	    "producer-props", &map);
	if (*status == TOOL_OK && bootstrap != NULL)
		(void)config_map_set_text(&map, "bootstrap.servers",
		    bootstrap);
	if (*status == TOOL_OK &&
	    config_map_find(&map, "bootstrap.servers") == NULL)
		*status = tool_usage(p->tool,
		    "bootstrap.servers is needed among --producer-props or in "
		    "--producer.config");
	if (*status == TOOL_OK &&
	    config_map_find(&map, "transactional.id") != NULL)
		*status = tool_fail(p->tool, "transactional.id: this version "
					     "has no transactions yet");
	if (*status == TOOL_OK) {
		perf_defaults(&map);
		*status = perf_limits(p, &map);
	}
	if (*status == TOOL_OK)
		conf = console_conf(p->tool, &map, status);
	config_map_fini(&map);
	return (conf);
}

static int
perf_connect(struct perf_produce *p)
{
	char why[256];
	int status;
	rd_kafka_conf_t *conf = perf_conf(p, &status);

	if (conf == NULL)
		return (status);
	rd_kafka_conf_set_opaque(conf, p);
	rd_kafka_conf_set_dr_msg_cb(conf, perf_delivered);
	rd_kafka_conf_set_error_cb(conf, perf_error);
	rd_kafka_conf_set_stats_cb(conf, perf_statistics);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (p->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		return (tool_usage(p->tool, "%s", why));
	}
	p->topic = rd_kafka_topic_new(p->rk, args_text(p->args, "topic"),
	    NULL);
	if (p->topic == NULL)
		return (tool_usage(p->tool, "topic '%s': %s",
		    args_text(p->args, "topic"),
		    console_error(rd_kafka_last_error())));
	return (TOOL_OK);
}

static int
perf_work(struct perf_produce *p)
{
	int status;
	int ended;

	interrupt_hold(&p->interrupt);
	status = perf_connect(p);
	if (status == TOOL_OK) {
		p->start_ms = now_ms();
		perf_stats_init(&p->stats, p->records,
		    clock_mono_ns(clock_system()));
		status = perf_records(p);
		perf_flush(p);
		ended = perf_end(p);
		status = status != TOOL_OK ? status : ended;
		rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE |
			RD_KAFKA_PURGE_F_INFLIGHT);
	}
	if (p->topic != NULL)
		rd_kafka_topic_destroy(p->topic);
	if (p->rk != NULL)
		rd_kafka_destroy(p->rk);
	perf_stats_fini(&p->stats);
	buffer_fini(&p->metrics);
	interrupt_release(&p->interrupt);
	return (status);
}

static int
perf_check(const struct tool *tool, const struct args *args)
{
	static const char *const needed[] = { "topic", "num-records",
		"throughput" };
	const int kinds = args_has(args, "record-size") +
	    args_has(args, "payload-file") +
	    args_has(args, "payload-monotonic");

	for (size_t i = 0; i < nelems(needed); i++)
		if (!args_has(args, needed[i]))
			return (tool_usage(tool, "--%s is needed", needed[i]));
	if (kinds != 1)
		return (tool_usage(tool,
		    "exactly one of --record-size, --payload-file and "
		    "--payload-monotonic is needed"));
	if (args_number(args, "num-records") < 1 ||
	    args_number(args, "num-records") > RECORDS_MAX)
		return (tool_usage(tool, "--num-records is between 1 and "
					 "%" PRId64,
		    RECORDS_MAX));
	if (args_has(args, "record-size") &&
	    args_number(args, "record-size") < 0)
		return (tool_usage(tool, "--record-size is 0 or more"));
	if (!(args_real(args, "throughput") > 0) &&
	    args_real(args, "throughput") != -1)
		return (tool_usage(tool,
		    "--throughput is more than 0, or -1 for no limit"));
	if (!args_has(args, "producer-props") &&
	    !args_has(args, "producer.config") &&
	    !args_has(args, "bootstrap-server"))
		return (tool_usage(tool,
		    "--producer-props or --producer.config is needed, for "
		    "bootstrap.servers at least"));
	return (TOOL_OK);
}

static int
perf_produce_run(struct tool *tool, const struct args *args)
{
	struct perf_produce p = {
		.tool = tool,
		.args = args,
		.json = args_json(args),
		.records = args_number(args, "num-records"),
		.rate = args_real(args, "throughput"),
	};
	int status = perf_check(tool, args);

	if (status != TOOL_OK)
		return (status);
	if (args_has(args, "transactional-id") ||
	    args_number(args, "transaction-duration-ms") > 0)
		return (tool_fail(tool, "this version has no transactions yet: "
					"leave out --transactional-id and "
					"--transaction-duration-ms"));
	status = payload_init(&p);
	if (status == TOOL_OK)
		status = perf_work(&p);
	payload_fini(&p.payload);
	return (status);
}
