/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a line: read, cut into a record, queued in librdkafka; its delivery
 * report comes back in rd_kafka_poll() and counts.  The command ends when the
 * input has and every record is either stored or refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/client.h"
#include "tools/console.h"
#include "tools/interrupt.h"
#include "tools/json_out.h"
#include "tools/produce_line.h"

#define POLL_MS 100
/* What is under way when a signal comes gets so long. */
#define LAST_FLUSH_MS 5000
#define ERRORS_SAID_MAX 10

static const struct arg_row produce_rows[] = {
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "Brokers to begin with." },
	{ "broker-list", ARG_TEXT, "host:port,...", NULL,
	    "The old name of --bootstrap-server." },
	{ "topic", ARG_TEXT, "name", NULL, "The topic to write to." },
	{ "property", ARG_MANY, "name=value", NULL,
	    "How lines are read: parse.key, key.separator, parse.headers, "
	    "headers.delimiter, headers.separator, headers.key.separator, "
	    "null.marker, ignore.error." },
	{ "reader-config", ARG_TEXT, "file", NULL,
	    "A file with such properties." },
	{ "producer-property", ARG_MANY, "name=value", NULL,
	    "An option of the producer." },
	{ "producer.config", ARG_TEXT, "file", NULL,
	    "A file with options of the producer." },
	{ "sync", ARG_FLAG, NULL, NULL,
	    "Wait for each record before the next is read." },
	{ "compression-codec", ARG_MAYBE, "codec", "gzip",
	    "none, gzip, snappy, lz4 or zstd; gzip where none is named." },
	{ "request-required-acks", ARG_TEXT, "acks", "-1",
	    "0, 1, or -1 for all in-sync replicas." },
	{ "batch-size", ARG_INT, "bytes", "16384", "Of one batch." },
	{ "max-partition-memory-bytes", ARG_INT, "bytes", NULL,
	    "Another name of --batch-size." },
	{ "message-send-max-retries", ARG_INT, "count", "3",
	    "How often a record is sent again." },
	{ "retry-backoff-ms", ARG_LONG, "ms", "100",
	    "The pause before that." },
	{ "timeout", ARG_LONG, "ms", "1000",
	    "How long records wait for others to fill a batch." },
	{ "request-timeout-ms", ARG_INT, "ms", "1500",
	    "How long an answer may take." },
	{ "metadata-expiry-ms", ARG_LONG, "ms", "300000",
	    "How long what is known of the cluster is believed." },
	{ "max-block-ms", ARG_LONG, "ms", "60000",
	    "How long to wait when the queue is full." },
	{ "max-memory-bytes", ARG_LONG, "bytes", "33554432",
	    "Of records that wait." },
	{ "socket-buffer-size", ARG_INT, "bytes", "102400",
	    "The socket's send buffer." },
	{ "line-reader", ARG_TEXT, "class", NULL,
	    "Refused: no Java classes are loaded." },
	ARGS_COMMON,
};

static int produce_run(struct tool *tool, const struct args *args);

const struct command command_produce = {
	.name = "produce",
	.kafka_name = "kafka-console-producer.sh",
	.summary = "send each line of standard input as a record",
	.rows = produce_rows,
	.run = produce_run,
};

static const struct console_row produce_properties[] = {
	{ "compression-codec", "compression.type" },
	{ "request-required-acks", "acks" },
	{ "max-partition-memory-bytes", "batch.size" },
	{ "batch-size", "batch.size" },
	{ "message-send-max-retries", "retries" },
	{ "retry-backoff-ms", "retry.backoff.ms" },
	{ "timeout", "linger.ms" },
	{ "request-timeout-ms", "request.timeout.ms" },
	{ "metadata-expiry-ms", "metadata.max.age.ms" },
	{ "socket-buffer-size", "send.buffer.bytes" },
};

struct produce {
	struct tool *tool;
	const char *topic;
	bool json;
	bool sync;
	bool prompt;
	int64_t block_ms;
	struct line_format format;
	struct line_source source;
	struct line_record *record;
	struct interrupt interrupt;
	rd_kafka_t *rk;
	int64_t line_number;
	int64_t refused; /* records */
	struct console_said said;
};

/* --- what librdkafka tells ------------------------------------------------ */

static void
print_delivered(const struct produce *p, const rd_kafka_message_t *message)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	json_init(&json, &out);
	json_open(&json, NULL, '{');
	json_text(&json, "topic", slice_of_text(p->topic));
	json_int(&json, "partition", message->partition);
	json_int(&json, "offset", message->offset);
	json_int(&json, "timestamp", rd_kafka_message_timestamp(message, NULL));
	json_close(&json, '}');
	json_end(&json);
	tool_print(p->tool, &out);
	buffer_fini(&out);
}

static void
produce_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message,
    void *opaque)
{
	struct produce *p = opaque;

	(void)rk;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (p->json)
			print_delivered(p, message);
		return;
	}
	if (++p->refused <= ERRORS_SAID_MAX)
		tool_warn(p->tool, "line %" PRIdPTR " was not stored: %s%s",
		    (intptr_t)message->_private, console_error(message->err),
		    console_advice(message->err));
}

static void
produce_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	struct produce *p = opaque;

	console_trouble(p->tool, rk, error, reason, &p->said);
}

/* --- sending -------------------------------------------------------------- */

static rd_kafka_headers_t *
headers_of(const struct line_record *record)
{
	rd_kafka_headers_t *headers;

	if (record->header_count == 0)
		return (NULL);
	headers = rd_kafka_headers_new(record->header_count);
	for (size_t i = 0; i < record->header_count; i++) {
		const struct record_header *h = &record->headers[i];

		(void)rd_kafka_header_add(headers, (const char *)h->key.data,
		    (ssize_t)h->key.length, h->value.data,
		    (ssize_t)h->value.length);
	}
	return (headers);
}

static rd_kafka_resp_err_t
produce_queue(struct produce *p)
{
	const struct line_record *r = p->record;
	rd_kafka_headers_t *headers = headers_of(r);
	const rd_kafka_vu_t parts[] = {
		{ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = p->topic },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS,
		    .u.i = RD_KAFKA_MSG_F_COPY },
		{ .vtype = RD_KAFKA_VTYPE_KEY,
		    .u.mem = { (void *)(uintptr_t)r->key.data,
			r->key.length } },
		{ .vtype = RD_KAFKA_VTYPE_VALUE,
		    .u.mem = { (void *)(uintptr_t)r->value.data,
			r->value.length } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE,
		    .u.ptr = (void *)(intptr_t)p->line_number },
		{ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers },
	};
	rd_kafka_error_t *failed = rd_kafka_produceva(p->rk, parts,
	    headers != NULL ? nelems(parts) : nelems(parts) - 1);
	const rd_kafka_resp_err_t error = rd_kafka_error_code(failed);

	/* Taken over by success only. */
	if (failed != NULL && headers != NULL)
		rd_kafka_headers_destroy(headers);
	if (failed != NULL)
		rd_kafka_error_destroy(failed);
	return (error);
}

static int
produce_send(struct produce *p)
{
	const struct clock *clock = clock_system();
	const int64_t give_up_ms = clock_mono_ms(clock) + p->block_ms;
	rd_kafka_resp_err_t error;

	while ((error = produce_queue(p)) ==
	    RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		if (clock_mono_ms(clock) >= give_up_ms ||
		    interrupt_came(&p->interrupt))
			return (tool_fail(p->tool,
			    "line %" PRId64 ": the queue stayed full for "
			    "%" PRId64 " ms; are the brokers reachable?",
			    p->line_number, p->block_ms));
		rd_kafka_poll(p->rk, POLL_MS);
	}
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return (tool_fail(p->tool, "line %" PRId64 ": %s%s",
		    p->line_number, console_error(error),
		    console_advice(error)));
	while (p->sync && rd_kafka_outq_len(p->rk) > 0 &&
	    !interrupt_came(&p->interrupt))
		rd_kafka_flush(p->rk, POLL_MS);
	rd_kafka_poll(p->rk, 0);
	return (TOOL_OK);
}

static int
produce_line(struct produce *p, struct slice line)
{
	struct buffer why = BUFFER_EMPTY;
	int status;

	p->line_number++;
	if (line_parse(&p->format, line, p->line_number, p->record, &why))
		status = produce_send(p);
	else
		status = tool_fail(p->tool, "%s", buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

static void
produce_prompt(const struct produce *p)
{
	if (!p->prompt)
		return;
	fputs(">", p->tool->out);
	fflush(p->tool->out);
}

/* Who reads a file or a pipe must learn that its end was not reached; at a
 * terminal a signal is the end. */
static int
produce_interrupted(const struct produce *p)
{
	if (isatty(fileno(p->tool->in)))
		return (TOOL_OK);
	return (tool_fail(p->tool,
	    "interrupted: what comes after line %" PRId64 " was not sent",
	    p->line_number));
}

static int
produce_lines(struct produce *p)
{
	struct slice line;
	int status = TOOL_OK;

	produce_prompt(p);
	while (status == TOOL_OK && !interrupt_came(&p->interrupt)) {
		switch (line_next(&p->source, POLL_MS, &line)) {
		case LINE_NONE:
			rd_kafka_poll(p->rk, 0);
			break;
		case LINE_READ:
			status = produce_line(p, line);
			produce_prompt(p);
			break;
		case LINE_END:
			return (status);
		case LINE_FAILED:
			return (tool_fail(p->tool, "standard input: %s",
			    strerror(errno)));
		}
	}
	return (status != TOOL_OK ? status : produce_interrupted(p));
}

/* Every record ends by itself after delivery.timeout.ms at the latest. */
static int
produce_flush(struct produce *p)
{
	int left;

	while (rd_kafka_outq_len(p->rk) > 0 && !interrupt_came(&p->interrupt))
		rd_kafka_flush(p->rk, POLL_MS);
	if (interrupt_came(&p->interrupt))
		rd_kafka_flush(p->rk, LAST_FLUSH_MS);
	left = rd_kafka_outq_len(p->rk);
	if (left > 0)
		return (tool_fail(p->tool,
		    "interrupted: of %d records it is not known whether they "
		    "were stored",
		    left));
	if (p->refused > 0)
		return (tool_fail(p->tool,
		    "%" PRId64 " of %" PRId64 " records were not stored",
		    p->refused, p->line_number));
	return (TOOL_OK);
}

/* --- setting up ----------------------------------------------------------- */

static int
produce_connect(struct produce *p, const struct args *args,
    const char *bootstrap)
{
	const int64_t memory = args_number(args, "max-memory-bytes");
	struct config_map map;
	rd_kafka_conf_t *conf = NULL;
	char text[256];
	int status;

	config_map_init(&map);
	status = console_properties(p->tool, args, "producer.config",
	    "producer-property", &map);
	if (status == TOOL_OK) {
		console_merge(args, produce_properties,
		    nelems(produce_properties), &map);
		(void)config_map_set_text(&map, "bootstrap.servers",
		    bootstrap);
		console_producer_defaults(&map);
		conf = console_conf(p->tool, &map, &status);
	}
	config_map_fini(&map);
	if (conf == NULL)
		return (status);
	snprintf(text, sizeof(text), "%" PRId64,
	    memory < 1024 ? 1 : memory / 1024);
	(void)rd_kafka_conf_set(conf, "queue.buffering.max.kbytes", text,
	    NULL, 0);
	rd_kafka_conf_set_opaque(conf, p);
	rd_kafka_conf_set_dr_msg_cb(conf, produce_delivered);
	rd_kafka_conf_set_error_cb(conf, produce_error);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (p->rk != NULL)
		return (TOOL_OK);
	rd_kafka_conf_destroy(conf);
	return (tool_usage(p->tool, "%s", text));
}

static int
produce_work(struct produce *p, const struct args *args,
    const char *bootstrap)
{
	int status;
	int flushed;

	interrupt_hold(&p->interrupt);
	status = produce_connect(p, args, bootstrap);
	if (status == TOOL_OK) {
		p->record = mem_zalloc(sizeof(*p->record));
		line_source_init(&p->source, fileno(p->tool->in));
		status = produce_lines(p);
		flushed = produce_flush(p);
		status = status != TOOL_OK ? status : flushed;
		line_source_fini(&p->source);
		mem_free(p->record);
		rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE |
			RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_destroy(p->rk);
	}
	interrupt_release(&p->interrupt);
	return (status);
}

static int
produce_run(struct tool *tool, const struct args *args)
{
	const char *bootstrap = console_bootstrap(tool, args, "broker-list");
	struct produce p = {
		.tool = tool,
		.topic = args_text(args, "topic"),
		.json = args_json(args),
		.sync = args_has(args, "sync"),
		.prompt = isatty(fileno(tool->in)) && !args_json(args),
		.block_ms = args_number(args, "max-block-ms"),
	};
	struct buffer why = BUFFER_EMPTY;
	struct console_texts texts;
	int status;

	if (bootstrap == NULL)
		return (TOOL_USAGE);
	if (p.topic == NULL)
		return (tool_usage(tool, "--topic is needed"));
	if (args_has(args, "line-reader"))
		return (tool_usage(tool, "--line-reader: no Java classes are "
					 "loaded; --property says how lines "
					 "are read"));
	status = console_texts_init(&texts, tool, args, "property",
	    "reader-config");
	if (status == TOOL_OK && !line_format_init(&p.format, &texts, &why))
		status = tool_usage(tool, "--property: %s",
		    buffer_text(&why));
	if (status == TOOL_OK)
		status = produce_work(&p, args, bootstrap);
	console_texts_fini(&texts);
	buffer_fini(&why);
	return (status);
}
