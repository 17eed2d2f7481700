/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas log-dirs: what lies in the log directories of brokers. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/client.h"
#include "tools/java_names.h"
#include "tools/json_out.h"
#include "tools/log_dirs.h"
#include "tools/progress.h"
#include "tools/tool.h"

static const struct arg_row log_dirs_rows[] = {
	ARGS_CLIENT,
	{ "describe", ARG_FLAG, NULL, NULL, "Show the log directories." },
	{ "broker-list", ARG_TEXT, "id,...", "",
	    "The brokers; all when it is not given." },
	{ "topic-list", ARG_TEXT, "topic,...", "",
	    "The topics; all when it is not given." },
	ARGS_COMMON,
};

static int log_dirs_run(struct tool *tool, const struct args *args);

const struct command command_log_dirs = {
	.name = "log-dirs",
	.kafka_name = "kafka-log-dirs.sh",
	.summary = "show the log directories of brokers, as JSON",
	.rows = log_dirs_rows,
	.run = log_dirs_run,
};

/* --- printing ------------------------------------------------------------- */

static bool
list_holds(struct slice list, struct slice one)
{
	while (list.data != NULL)
		if (slice_equal(text_cut(list, ',', &list), one))
			return (true);
	return (false);
}

/* Without anything between its commas. */
static bool
list_empty_text(struct slice list)
{
	for (size_t i = 0; i < list.length; i++)
		if (list.data[i] != ',')
			return (false);
	return (true);
}

/* Kafka's tool prints the class of the exception. */
static void
json_error(struct json_out *json, int error, bool more)
{
	struct buffer class = BUFFER_EMPTY;

	if (error == ERR_NONE) {
		json_none(json, "error");
	} else if (more) {
		json_text(json, "error", slice_of_text(error_name(error)));
	} else {
		error_java_class(error, &class);
		json_text(json, "error", buffer_slice(&class));
	}
	buffer_fini(&class);
}

static void
json_topic(struct json_out *json,
    const struct describe_log_dirs_response_topic *topic)
{
	struct buffer name = BUFFER_EMPTY;

	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const struct describe_log_dirs_response_partition *part =
		    &topic->partitions[i];

		name.length = 0;
		buffer_printf(&name, "%.*s-%d", SLICE_ARGS(topic->name),
		    part->partition_index);
		json_open(json, NULL, '{');
		json_text(json, "partition", buffer_slice(&name));
		json_int(json, "size", part->partition_size);
		json_int(json, "offsetLag", part->offset_lag);
		json_bool(json, "isFuture", part->is_future_key);
		json_close(json, '}');
	}
	buffer_fini(&name);
}

static void
json_dir(struct json_out *json,
    const struct describe_log_dirs_response_result *dir, struct slice topics,
    bool more)
{
	json_open(json, NULL, '{');
	json_open(json, "partitions", '[');
	for (int32_t i = 0; i < dir->topics_count; i++)
		if (list_empty_text(topics) ||
		    list_holds(topics, dir->topics[i].name))
			json_topic(json, &dir->topics[i]);
	json_close(json, ']');
	json_error(json, dir->error_code, more);
	json_text(json, "logDir", dir->log_dir);
	if (more && dir->total_bytes >= 0) {
		json_int(json, "totalBytes", dir->total_bytes);
		json_int(json, "usableBytes", dir->usable_bytes);
	}
	json_close(json, '}');
}

void
log_dirs_json(const struct log_dirs_answer *answers, size_t count,
    struct slice topics, bool more, struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "brokers", '[');
	for (size_t i = 0; i < count; i++) {
		const struct describe_log_dirs_response *response =
		    &answers[i].response;

		json_open(&json, NULL, '{');
		json_int(&json, "broker", answers[i].broker);
		json_open(&json, "logDirs", '[');
		for (int32_t k = 0; k < response->results_count; k++)
			json_dir(&json, &response->results[k], topics, more);
		json_close(&json, ']');
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_int(&json, "version", 1);
	json_close(&json, '}');
	json_end(&json);
}

/* --- which brokers -------------------------------------------------------- */

struct brokers {
	int32_t *ids; /* ascending */
	size_t count;
};

static int
id_compare(const void *a, const void *b)
{
	const int32_t *x = a;
	const int32_t *y = b;

	return ((*x > *y) - (*x < *y));
}

static bool
brokers_hold(const struct brokers *brokers, int32_t id)
{
	for (size_t i = 0; i < brokers->count; i++)
		if (brokers->ids[i] == id)
			return (true);
	return (false);
}

static void
brokers_add(struct brokers *brokers, int32_t id)
{
	if (brokers_hold(brokers, id))
		return;
	brokers->ids = mem_realloc(brokers->ids,
	    (brokers->count + 1) * sizeof(*brokers->ids));
	brokers->ids[brokers->count++] = id;
	qsort(brokers->ids, brokers->count, sizeof(*brokers->ids), id_compare);
}

static void
put_ids(const struct brokers *brokers, const struct brokers *without,
    struct buffer *out)
{
	const char *comma = "";

	for (size_t i = 0; i < brokers->count; i++) {
		if (without != NULL && brokers_hold(without, brokers->ids[i]))
			continue;
		buffer_printf(out, "%s%d", comma, brokers->ids[i]);
		comma = ",";
	}
}

/* TOOL_OK, or said. */
static int
brokers_parse(const struct tool *tool, const char *text,
    struct brokers *brokers)
{
	struct slice rest = slice_of_text(text);
	int32_t id;

	while (rest.data != NULL) {
		const struct slice one = text_trim(text_cut(rest, ',', &rest));

		if (one.length == 0)
			continue;
		if (!text_to_int32(one, &id))
			return (tool_usage(tool,
			    "--broker-list: \"%.*s\" is no broker id",
			    SLICE_ARGS(one)));
		brokers_add(brokers, id);
	}
	return (TOOL_OK);
}

/* Those that are there, when none are asked for.  TOOL_OK, or said. */
static int
brokers_check(const struct tool *tool,
    const struct metadata_response *metadata, struct brokers *wanted)
{
	struct brokers there = { 0 };
	struct buffer missing = BUFFER_EMPTY;
	struct buffer all = BUFFER_EMPTY;
	int status = TOOL_OK;

	for (int32_t i = 0; i < metadata->brokers_count; i++)
		brokers_add(&there, metadata->brokers[i].node_id);
	put_ids(wanted, &there, &missing);
	put_ids(&there, NULL, &all);
	if (missing.length != 0)
		status = tool_fail(tool,
		    "these brokers of --broker-list are not there: %s; there "
		    "are: %s",
		    buffer_text(&missing), buffer_text(&all));
	if (wanted->count == 0)
		*wanted = there;
	else
		mem_free(there.ids);
	buffer_fini(&missing);
	buffer_fini(&all);
	return (status);
}

/* --- asking --------------------------------------------------------------- */

const char *
log_dirs_ask(struct client *client, struct log_dirs_answer *answer)
{
	struct describe_log_dirs_request request;
	enum client_status status;
	int error;

	wire_init(&message_describe_log_dirs_request, &request);
	/* Null: all topics. */
	request.topics = NULL;
	answer->refused = false;
	client_begin(client);
	do {
		status = client_ask_node(client, answer->broker,
		    API_DESCRIBE_LOG_DIRS, &request, &answer->response);
	} while (status == CLIENT_UNREACHABLE &&
	    client_try_again(client, client_why(client)));
	client_end(client);
	if (status != CLIENT_OK)
		return (arena_strdup(client_arena(client),
		    client_why(client)));
	error = answer->response.error_code;
	if (error == ERR_NONE)
		return (NULL);
	answer->refused = error == ERR_CLUSTER_AUTHORIZATION_FAILED;
	return (arena_printf(client_arena(client), "%s%s", error_name(error),
	    answer->refused ? "; this user may not describe the cluster"
			    : ""));
}

static int
log_dirs_describe(const struct tool *tool, const struct args *args,
    struct client *client, const struct brokers *brokers)
{
	struct log_dirs_answer *answers =
	    mem_zalloc((brokers->count + 1) * sizeof(*answers));
	struct buffer out = BUFFER_EMPTY;
	struct progress progress;
	const char *why;
	int status = TOOL_OK;

	if (!args_json(args))
		fputs("Querying brokers for log directories information\n",
		    tool->out);
	progress_begin(&progress, tool, "brokers asked", brokers->count);
	for (size_t i = 0; status == TOOL_OK && i < brokers->count; i++) {
		progress_step(&progress, i);
		answers[i].broker = brokers->ids[i];
		why = log_dirs_ask(client, &answers[i]);
		if (why != NULL)
			status = tool_fail(tool, "broker %d: %s",
			    brokers->ids[i], why);
	}
	progress_end(&progress, brokers->count);
	if (status == TOOL_OK) {
		if (!args_json(args)) {
			buffer_append_text(&out, "Received log directory "
						 "information from brokers ");
			put_ids(brokers, NULL, &out);
			buffer_append_text(&out, "\n");
		}
		log_dirs_json(answers, brokers->count,
		    slice_of_text(args_text(args, "topic-list")),
		    args_json(args), &out);
	}
	tool_print(tool, &out);
	buffer_fini(&out);
	mem_free(answers);
	return (status);
}

static int
log_dirs_connect(struct tool *tool, const struct args *args,
    struct brokers *brokers)
{
	struct metadata_response metadata;
	int status;
	struct client *client = client_of_args(tool, args, &status);

	if (client == NULL)
		return (status);
	if (client_metadata(client, &metadata) != CLIENT_OK)
		status = tool_fail(tool, "%s", client_why(client));
	else
		status = brokers_check(tool, &metadata, brokers);
	if (status == TOOL_OK)
		status = log_dirs_describe(tool, args, client, brokers);
	client_free(&client);
	return (status);
}

static int
log_dirs_run(struct tool *tool, const struct args *args)
{
	struct brokers brokers = { 0 };
	int status;

	if (!args_has(args, "describe"))
		return (tool_usage(tool, "--describe is needed"));
	status = brokers_parse(tool, args_text(args, "broker-list"), &brokers);
	if (status == TOOL_OK)
		status = log_dirs_connect(tool, args, &brokers);
	mem_free(brokers.ids);
	return (status);
}
