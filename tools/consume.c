/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads partitions without a group: each is assigned by hand, all of them go
 * into one queue of librdkafka, which is drained until enough came, nothing
 * came for long enough, or a signal came.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tools/assign.h"
#include "tools/console.h"
#include "tools/consume_format.h"

#define POLL_MS 100
#define HEADERS_MAX 1000

static const struct arg_row consume_rows[] = {
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "Brokers to begin with." },
	{ "topic", ARG_TEXT, "name", NULL, "The topic to read." },
	{ "include", ARG_TEXT, "regex", NULL,
	    "Read all topics that match." },
	{ "whitelist", ARG_TEXT, "regex", NULL,
	    "The old name of --include." },
	{ "partition", ARG_INT, "number", NULL, "Read this one only." },
	{ "offset", ARG_TEXT, "offset", NULL,
	    "Where to begin in --partition: a number, earliest or latest." },
	{ "from-beginning", ARG_FLAG, NULL, NULL,
	    "Begin with the oldest record, not behind the newest." },
	{ "max-messages", ARG_INT, "count", NULL,
	    "Stop after so many records." },
	{ "timeout-ms", ARG_LONG, "ms", NULL,
	    "Stop when nothing came for so long." },
	{ "property", ARG_MANY, "name=value", NULL,
	    "How records are printed: print.timestamp, print.partition, "
	    "print.offset, print.headers, print.key, print.value, "
	    "key.separator, line.separator, headers.separator, "
	    "null.literal." },
	{ "formatter-config", ARG_TEXT, "file", NULL,
	    "A file with such properties." },
	{ "formatter", ARG_TEXT, "class", NULL,
	    "The default one only: no Java classes are loaded." },
	{ "consumer-property", ARG_MANY, "name=value", NULL,
	    "An option of the consumer." },
	{ "consumer.config", ARG_TEXT, "file", NULL,
	    "A file with options of the consumer." },
	{ "isolation-level", ARG_TEXT, "level", "read_uncommitted",
	    "read_committed leaves out aborted transactions." },
	{ "skip-message-on-error", ARG_FLAG, NULL, NULL,
	    "Go on after a record that cannot be read." },
	{ "group", ARG_TEXT, "name", NULL, "Not in this version." },
	{ "key-deserializer", ARG_TEXT, "class", NULL,
	    "Accepted where it is strings or bytes." },
	{ "value-deserializer", ARG_TEXT, "class", NULL,
	    "Accepted where it is strings or bytes." },
	{ "enable-systest-events", ARG_FLAG, NULL, NULL,
	    "Not in this version." },
	ARGS_COMMON,
};

static int consume_run(struct tool *tool, const struct args *args);

const struct command command_consume = {
	.name = "consume",
	.kafka_name = "kafka-console-consumer.sh",
	.summary = "print the records of a topic",
	.rows = consume_rows,
	.run = consume_run,
};

static const struct console_row consume_properties[] = {
	{ "isolation-level", "isolation.level" },
};

struct consume {
	struct tool *tool;
	const struct args *args;
	struct print_format format;
	struct topic_filter filter; /* of --include */
	bool json;
	bool skip_errors;
	int64_t max;        /* records; -1: no end */
	int64_t timeout_ms; /* -1: none */
	int64_t first_offset;
	struct interrupt interrupt;
	rd_kafka_t *rk;
	struct assignment assignment;
	struct buffer out;
	int64_t count; /* records printed */
	struct console_said said;
};

/* --- what the options say ------------------------------------------------- */

static bool
class_known(const char *class)
{
	static const char *const known[] = {
		"kafka.tools.DefaultMessageFormatter",
		"org.apache.kafka.tools.consumer.DefaultMessageFormatter",
		"org.apache.kafka.common.serialization.StringDeserializer",
		"org.apache.kafka.common.serialization.ByteArrayDeserializer",
	};

	for (size_t i = 0; class != NULL && i < nelems(known); i++)
		if (strcmp(class, known[i]) == 0)
			return (true);
	return (class == NULL);
}

static int
consume_refuse(const struct tool *tool, const struct args *args)
{
	static const char *const classes[] = { "formatter",
		"key-deserializer", "value-deserializer" };

	if (args_has(args, "group"))
		return (tool_fail(tool,
		    "this version has no groups yet: without --group all "
		    "partitions are read, --partition reads one"));
	if (args_has(args, "enable-systest-events"))
		return (tool_fail(tool,
		    "this version has no --enable-systest-events"));
	for (size_t i = 0; i < nelems(classes); i++)
		if (!class_known(args_text(args, classes[i])))
			return (tool_fail(tool,
			    "--%s %s: no Java classes are loaded", classes[i],
			    args_text(args, classes[i])));
	return (TOOL_OK);
}

static int
consume_offset(struct consume *c)
{
	const char *text = args_text(c->args, "offset");

	c->first_offset = args_has(c->args, "from-beginning")
	    ? RD_KAFKA_OFFSET_BEGINNING
	    : RD_KAFKA_OFFSET_END;
	if (text == NULL || strcmp(text, "latest") == 0)
		return (TOOL_OK);
	if (strcmp(text, "earliest") == 0)
		c->first_offset = RD_KAFKA_OFFSET_BEGINNING;
	else if (!text_to_int64(slice_of_text(text), &c->first_offset) ||
	    c->first_offset < 0)
		return (tool_usage(c->tool,
		    "--offset is a number, earliest or latest, not \"%s\"",
		    text));
	return (TOOL_OK);
}

static int
consume_check(struct consume *c)
{
	static const char *const whats[] = { "topic", "include", "whitelist",
		NULL };
	const struct args *args = c->args;
	int count = 0;

	for (size_t i = 0; whats[i] != NULL; i++)
		count += args_has(args, whats[i]);
	if (count != 1)
		return (tool_usage(c->tool,
		    "exactly one of --topic and --include is needed"));
	if (args_has(args, "partition") && !args_has(args, "topic"))
		return (tool_usage(c->tool, "--partition wants --topic"));
	if (args_has(args, "offset") && !args_has(args, "partition"))
		return (tool_usage(c->tool, "--offset wants --partition"));
	if (args_has(args, "offset") && args_has(args, "from-beginning"))
		return (tool_usage(c->tool,
		    "--offset and --from-beginning exclude each other"));
	return (consume_offset(c));
}

/* --- connecting ----------------------------------------------------------- */

static void
consume_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	struct consume *c = opaque;

	console_trouble(c->tool, rk, error, reason, &c->said);
}

static int
consume_properties_check(const struct consume *c, struct config_map *map)
{
	if (config_map_find(map, "group.id") != NULL)
		return (tool_fail(c->tool,
		    "group.id: this version has no groups yet"));
	if (config_map_find(map, "auto.offset.reset") == NULL)
		(void)config_map_set_text(map, "auto.offset.reset",
		    args_has(c->args, "from-beginning") ? "earliest"
							: "latest");
	if (config_map_find(map, "check.crcs") == NULL)
		(void)config_map_set_text(map, "check.crcs", "true");
	return (TOOL_OK);
}

static int
consume_connect(struct consume *c, const char *bootstrap)
{
	struct config_map map;
	rd_kafka_conf_t *conf = NULL;
	char why[256];
	int status;

	config_map_init(&map);
	status = console_properties(c->tool, c->args, "consumer.config",
	    "consumer-property", &map);
	if (status == TOOL_OK)
		status = consume_properties_check(c, &map);
	if (status == TOOL_OK) {
		console_merge(c->args, consume_properties,
		    nelems(consume_properties), &map);
		(void)config_map_set_text(&map, "bootstrap.servers",
		    bootstrap);
		conf = console_conf(c->tool, &map, &status);
	}
	config_map_fini(&map);
	if (conf == NULL)
		return (status);
	rd_kafka_conf_set_opaque(conf, c);
	rd_kafka_conf_set_error_cb(conf, consume_error);
	c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (c->rk != NULL)
		return (TOOL_OK);
	rd_kafka_conf_destroy(conf);
	return (tool_usage(c->tool, "%s", why));
}

static int
consume_assign(struct consume *c)
{
	const struct assign_wanted wanted = {
		.topic = args_text(c->args, "topic"),
		.filter = &c->filter,
		.partition = args_number(c->args, "partition"),
		.first_offset = c->first_offset,
	};

	return (assignment_init(&c->assignment, c->tool, c->rk, &wanted,
	    &c->interrupt));
}

static void
consume_end(struct consume *c)
{
	assignment_fini(&c->assignment);
	if (c->rk != NULL)
		rd_kafka_destroy(c->rk);
	buffer_fini(&c->out);
}

/* --- reading -------------------------------------------------------------- */

static size_t
headers_of(const rd_kafka_message_t *message, struct record_header *out)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size;
	size_t count = 0;

	if (rd_kafka_message_headers(message, &headers) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		return (0);
	while (count < HEADERS_MAX &&
	    rd_kafka_header_get_all(headers, count, &name, &value, &size) ==
		RD_KAFKA_RESP_ERR_NO_ERROR) {
		out[count].key = slice_of_text(name);
		out[count].value =
		    value == NULL ? SLICE_NULL : slice_of(value, size);
		count++;
	}
	return (count);
}

static enum print_timestamp
timestamp_type(rd_kafka_timestamp_type_t type)
{
	switch (type) {
	case RD_KAFKA_TIMESTAMP_CREATE_TIME:
		return (PRINT_CREATE_TIME);
	case RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
		return (PRINT_LOG_APPEND_TIME);
	default:
		return (PRINT_NO_TIMESTAMP);
	}
}

static void
consume_print(struct consume *c, const rd_kafka_message_t *message)
{
	struct record_header headers[HEADERS_MAX];
	rd_kafka_timestamp_type_t type;
	const int64_t timestamp_ms =
	    rd_kafka_message_timestamp(message, &type);
	const struct print_record record = {
		.topic = rd_kafka_topic_name(message->rkt),
		.partition = message->partition,
		.offset = message->offset,
		.timestamp_ms = timestamp_ms,
		.timestamp_type = timestamp_type(type),
		.key = slice_of(message->key, message->key_len),
		.value = slice_of(message->payload, message->len),
		.headers = headers,
		.header_count = headers_of(message, headers),
	};

	if (c->json)
		print_json(&record, &c->out);
	else
		print_text(&c->format, &record, &c->out);
	tool_print(c->tool, &c->out);
	c->count++;
}

static int
consume_failed(const struct consume *c, const rd_kafka_message_t *message)
{
	char at[300] = "";

	if (message->rkt != NULL)
		snprintf(at, sizeof(at), "%s/%d: ",
		    rd_kafka_topic_name(message->rkt), message->partition);
	if (c->skip_errors) {
		tool_warn(c->tool, "%s%s", at, console_error(message->err));
		return (TOOL_OK);
	}
	return (tool_fail(c->tool, "%s%s%s", at, console_error(message->err),
	    console_advice(message->err)));
}

/* What is printed goes out before the command waits. */
static rd_kafka_message_t *
consume_next(struct consume *c)
{
	rd_kafka_queue_t *queue = c->assignment.queue;
	rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 0);

	if (message != NULL)
		return (message);
	fflush(c->tool->out);
	rd_kafka_poll(c->rk, 0);
	return (rd_kafka_consume_queue(queue, POLL_MS));
}

static int
consume_records(struct consume *c)
{
	const struct clock *clock = clock_system();
	int64_t last_ms = clock_mono_ms(clock);
	rd_kafka_message_t *message;
	int status = TOOL_OK;

	while (status == TOOL_OK && (c->max < 0 || c->count < c->max) &&
	    !ferror(c->tool->out) && !interrupt_came(&c->interrupt)) {
		message = consume_next(c);
		if (message == NULL) {
			if (c->timeout_ms >= 0 &&
			    clock_mono_ms(clock) - last_ms >= c->timeout_ms)
				break;
			continue;
		}
		last_ms = clock_mono_ms(clock);
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			consume_print(c, message);
		else
			status = consume_failed(c, message);
		rd_kafka_message_destroy(message);
	}
	fflush(c->tool->out);
	fprintf(c->tool->err, "Processed a total of %" PRId64 " messages\n",
	    c->count);
	return (status);
}

static int
consume_work(struct consume *c, const char *bootstrap)
{
	int status;

	interrupt_hold(&c->interrupt);
	status = consume_connect(c, bootstrap);
	if (status == TOOL_OK)
		status = consume_assign(c);
	if (status == TOOL_OK)
		status = consume_records(c);
	consume_end(c);
	interrupt_release(&c->interrupt);
	return (status);
}

static int
consume_filter(struct consume *c)
{
	const char *pattern = args_text(c->args, "include");
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (pattern == NULL)
		pattern = args_text(c->args, "whitelist");
	if (!topic_filter_init(&c->filter, pattern, true, &why))
		status = tool_usage(c->tool, "--include: %s",
		    buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

static int
consume_run(struct tool *tool, const struct args *args)
{
	const char *bootstrap = console_bootstrap(tool, args, NULL);
	struct consume c = {
		.tool = tool,
		.args = args,
		.json = args_json(args),
		.skip_errors = args_has(args, "skip-message-on-error"),
		.max = args_number(args, "max-messages"),
		.timeout_ms = args_number(args, "timeout-ms"),
	};
	struct console_texts texts;
	int status;

	if (bootstrap == NULL || consume_check(&c) != TOOL_OK)
		return (TOOL_USAGE);
	if (consume_refuse(tool, args) != TOOL_OK)
		return (TOOL_FAILED);
	if (consume_filter(&c) != TOOL_OK)
		return (TOOL_USAGE);
	status = console_texts_init(&texts, tool, args, "property",
	    "formatter-config");
	if (status == TOOL_OK) {
		print_format_init(&c.format, &texts);
		status = consume_work(&c, bootstrap);
	}
	console_texts_fini(&texts);
	topic_filter_fini(&c.filter);
	return (status);
}
