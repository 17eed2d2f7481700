/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads partitions, assigned by hand or by a group, out of one queue of
 * librdkafka, which is drained until enough came, nothing came for long enough,
 * or a signal came.  What a group may commit is stored only when it has been
 * written: what no reader got is read again.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "tools/assign.h"
#include "tools/console.h"
#include "tools/consume_format.h"

#define POLL_MS 100
#define HEADERS_MAX 1000
/* So many at most are printed and not written yet. */
#define UNWRITTEN_MAX 1000

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
	{ "group", ARG_TEXT, "name", NULL,
	    "Share the partitions with the others of this group, go on where "
	    "it was, and commit what is printed; without it all partitions "
	    "are read." },
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
	bool group;
	bool commits;
	/* Of a group: where to go on behind what is printed. */
	rd_kafka_topic_partition_list_t *printed;
	int64_t unwritten;
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
	if (args_has(args, "group") && args_has(args, "partition"))
		return (tool_usage(c->tool,
		    "--group and --partition exclude each other: a group "
		    "shares all partitions out"));
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

/* Written to the end: where to go on may be committed now. */
static void
consume_flush(struct consume *c)
{
	if (fflush(c->tool->out) != 0 || ferror(c->tool->out) ||
	    c->printed == NULL)
		return;
	/* Those that were taken away meanwhile are read again elsewhere. */
	if (c->printed->cnt != 0)
		(void)rd_kafka_offsets_store(c->rk, c->printed);
	rd_kafka_topic_partition_list_destroy(c->printed);
	c->printed = rd_kafka_topic_partition_list_new(1);
	c->unwritten = 0;
}

static void
consume_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
    rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
	if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		consume_flush(opaque);
	assignment_rebalance(rk, what, partitions);
}

static int
consume_properties_check(struct consume *c, struct config_map *map)
{
	const char *commit = config_map_get(map, "enable.auto.commit");
	/* A group of one partition would read the others, too. */
	const int status = args_has(c->args, "partition")
	    ? TOOL_OK
	    : console_group(c->tool, c->args, map, &c->group);

	if (status != TOOL_OK)
		return (status);
	c->commits = commit == NULL || strcasecmp(commit, "true") == 0;
	if (c->group)
		(void)config_map_set_text(map, "enable.auto.offset.store",
		    "false");
	/* As --include does without a group. */
	if (c->group && !args_has(c->args, "topic"))
		(void)config_map_set_text(map, "topic.blacklist",
		    "^__consumer_offsets$,^__transaction_state$");
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
	if (c->group)
		rd_kafka_conf_set_rebalance_cb(conf, consume_rebalance);
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
		.group = c->group,
		.commits = c->commits,
	};

	if (c->group)
		c->printed = rd_kafka_topic_partition_list_new(1);
	return (assignment_init(&c->assignment, c->tool, c->rk, &wanted,
	    &c->interrupt));
}

static void
consume_end(struct consume *c)
{
	assignment_fini(&c->assignment, c->tool);
	if (c->printed != NULL)
		rd_kafka_topic_partition_list_destroy(c->printed);
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
consume_done(struct consume *c, const rd_kafka_message_t *message)
{
	const char *topic = rd_kafka_topic_name(message->rkt);
	rd_kafka_topic_partition_t *at;

	if (c->printed == NULL)
		return;
	at = rd_kafka_topic_partition_list_find(c->printed, topic,
	    message->partition);
	if (at == NULL)
		at = rd_kafka_topic_partition_list_add(c->printed, topic,
		    message->partition);
	at->offset = message->offset + 1;
	if (++c->unwritten >= UNWRITTEN_MAX)
		consume_flush(c);
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
	consume_done(c, message);
}

static int
consume_failed(const struct consume *c, const rd_kafka_message_t *message)
{
	char at[300] = "";

	if (message->rkt != NULL)
		snprintf(at, sizeof(at), "%s/%d: ",
		    rd_kafka_topic_name(message->rkt), message->partition);
	/* A reader that stood still is back in the group with the next poll. */
	if (c->skip_errors ||
	    message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
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
	consume_flush(c);
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
	consume_flush(c);
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
