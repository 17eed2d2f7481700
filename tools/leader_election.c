/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas leader-election: other leaders for partitions. */
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/client.h"
#include "tools/java_names.h"
#include "tools/json_out.h"
#include "tools/partitions_file.h"
#include "tools/tool.h"

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

static const struct arg_row leader_election_rows[] = {
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "Brokers to begin with." },
	{ "admin.config", ARG_TEXT, "file", NULL,
	    "A properties file with options of the client." },
	{ "election-type", ARG_TEXT, "preferred|unclean", NULL,
	    "Preferred: the first replica of each partition is to lead. "
	    "Unclean: a partition without a leader gets one that may lack "
	    "records." },
	{ "topic", ARG_TEXT, "name", NULL,
	    "The topic of the one partition, with --partition." },
	{ "partition", ARG_INT, "number", NULL, "The one partition." },
	{ "all-topic-partitions", ARG_FLAG, NULL, NULL,
	    "All partitions that are eligible." },
	{ "path-to-json-file", ARG_TEXT, "file", NULL,
	    "The partitions: {\"partitions\": [{\"topic\": \"t\", "
	    "\"partition\": 0}]}" },
	ARGS_COMMON,
};

static int leader_election_run(struct tool *tool, const struct args *args);

const struct command command_leader_election = {
	.name = "leader-election",
	.kafka_name = "kafka-leader-election.sh",
	.summary = "elect leaders of partitions",
	.rows = leader_election_rows,
	.run = leader_election_run,
};

/* --- options -------------------------------------------------------------- */

static bool
election_type(const char *text, int8_t *out)
{
	*out = strcasecmp(text, "unclean") == 0 ? ELECTION_UNCLEAN
						: ELECTION_PREFERRED;
	return (*out == ELECTION_UNCLEAN ||
	    strcasecmp(text, "preferred") == 0);
}

static int
election_check(const struct tool *tool, const struct args *args)
{
	const char *type = args_text(args, "election-type");
	int8_t code;

	if (!args_has(args, "bootstrap-server"))
		return (tool_usage(tool,
		    "--bootstrap-server host:port is needed"));
	if (type == NULL)
		return (tool_usage(tool,
		    "--election-type preferred or unclean is needed"));
	if (!election_type(type, &code))
		return (tool_usage(tool,
		    "--election-type is preferred or unclean, not \"%s\"",
		    type));
	if (args_has(args, "topic") + args_has(args, "all-topic-partitions") +
		args_has(args, "path-to-json-file") !=
	    1)
		return (tool_usage(tool,
		    "say exactly one of --topic, --all-topic-partitions, "
		    "--path-to-json-file"));
	if (args_has(args, "topic") != args_has(args, "partition"))
		return (tool_usage(tool,
		    "--topic and --partition go together"));
	return (TOOL_OK);
}

/* The partitions; none with --all-topic-partitions. TOOL_OK, or said. */
static int
election_list(const struct tool *tool, const struct args *args,
    struct client *client, struct partitions_list *list)
{
	const char *path = args_text(args, "path-to-json-file");

	*list = (struct partitions_list) { 0 };
	if (path != NULL)
		return (partitions_read(tool, path, PARTITIONS_ALONE,
			    client_arena(client), list)
			? TOOL_OK
			: TOOL_FAILED);
	if (args_has(args, "topic"))
		partitions_list_one(list,
		    slice_of_text(args_text(args, "topic")),
		    (int32_t)args_number(args, "partition"));
	return (TOOL_OK);
}

/* --- asking --------------------------------------------------------------- */

/* A row for each topic. */
static void
election_partitions(struct arena *arena, struct leader_item *const *items,
    size_t count, struct elect_leaders_request *request)
{
	size_t first = 0;

	request->topic_partitions = wire_array(arena,
	    elect_leaders_request_topic_partition_schema(), count);
	CHECK(request->topic_partitions != NULL);
	while (first < count) {
		const size_t same =
		    leaders_same_topic(items + first, count - first);
		struct elect_leaders_request_topic_partition *row =
		    &request->topic_partitions
			 [request->topic_partitions_count++];

		row->topic = items[first]->topic;
		row->partitions =
		    arena_array(arena, same, sizeof(*row->partitions));
		CHECK(row->partitions != NULL);
		row->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++)
			row->partitions[i] = items[first + i]->partition;
		first += same;
	}
}

static int
election_ask(const struct tool *tool, struct client *client,
    const struct elect_leaders_request *request,
    struct elect_leaders_response *response)
{
	enum client_status status;
	bool again;

	client_begin(client);
	do {
		status = client_ask_controller(client, API_ELECT_LEADERS,
		    request, response);
		again = status == CLIENT_OK &&
		    response->error_code == ERR_NOT_CONTROLLER;
	} while (again && client_pause(client));
	client_end(client);
	if (status != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	if (response->error_code == ERR_CLUSTER_AUTHORIZATION_FAILED)
		return (tool_fail(tool, "Not authorized to perform leader "
					"election"));
	if (response->error_code == ERR_REQUEST_TIMED_OUT)
		return (tool_fail(tool, "Timeout waiting for election results; "
					"they may still come, look with "
					"barnabas topics --describe"));
	if (response->error_code != ERR_NONE)
		return (tool_fail(tool, "%s",
		    error_name(response->error_code)));
	return (TOOL_OK);
}

/* --- printing ------------------------------------------------------------- */

struct elected {
	const struct elect_leaders_response *response;
	const char *type; /* "PREFERRED" */
};

/* "a-0, b-3" of those with this error. False: there are none. */
static bool
put_partitions(const struct elected *elected, int error, struct buffer *out)
{
	const struct elect_leaders_response *r = elected->response;
	const char *comma = "";

	for (int32_t t = 0; t < r->replica_election_results_count; t++) {
		const struct elect_leaders_response_replica_election_result
		    *topic = &r->replica_election_results[t];

		for (int32_t p = 0; p < topic->partition_result_count; p++) {
			if (topic->partition_result[p].error_code != error)
				continue;
			buffer_printf(out, "%s%.*s-%d", comma,
			    SLICE_ARGS(topic->topic),
			    topic->partition_result[p].partition_id);
			comma = ", ";
		}
	}
	return (comma[0] != '\0');
}

static void
put_failure(const struct elected *elected, struct slice topic,
    const struct elect_leaders_response_partition_result *result,
    struct buffer *out)
{
	buffer_printf(out,
	    "Error completing leader election (%s) for partition: %.*s-%d: ",
	    elected->type, SLICE_ARGS(topic), result->partition_id);
	error_java_class(result->error_code, out);
	if (result->error_message.data != NULL)
		buffer_printf(out, ": %.*s",
		    SLICE_ARGS(result->error_message));
	buffer_append_text(out, "\n");
}

static bool
result_failed(const struct elect_leaders_response_partition_result *result)
{
	return (result->error_code != ERR_NONE &&
	    result->error_code != ERR_ELECTION_NOT_NEEDED);
}

static void
elected_text(const struct elected *elected, struct buffer *out)
{
	const struct elect_leaders_response *r = elected->response;
	struct buffer names = BUFFER_EMPTY;

	if (put_partitions(elected, ERR_NONE, &names))
		buffer_printf(out,
		    "Successfully completed leader election (%s) for "
		    "partitions %s\n",
		    elected->type, buffer_text(&names));
	names.length = 0;
	if (put_partitions(elected, ERR_ELECTION_NOT_NEEDED, &names))
		buffer_printf(out,
		    "Valid replica already elected for partitions %s\n",
		    buffer_text(&names));
	buffer_fini(&names);
	for (int32_t t = 0; t < r->replica_election_results_count; t++) {
		const struct elect_leaders_response_replica_election_result
		    *topic = &r->replica_election_results[t];

		for (int32_t p = 0; p < topic->partition_result_count; p++)
			if (result_failed(&topic->partition_result[p]))
				put_failure(elected, topic->topic,
				    &topic->partition_result[p], out);
	}
}

static void
json_result(struct json_out *json, struct slice topic,
    const struct elect_leaders_response_partition_result *result)
{
	json_open(json, NULL, '{');
	json_text(json, "topic", topic);
	json_int(json, "partition", result->partition_id);
	json_bool(json, "elected", result->error_code == ERR_NONE);
	if (result->error_code != ERR_NONE)
		json_text(json, "error",
		    slice_of_text(error_name(result->error_code)));
	if (result->error_message.data != NULL)
		json_text(json, "message", result->error_message);
	json_close(json, '}');
}

static void
elected_json(const struct elected *elected, struct buffer *out)
{
	const struct elect_leaders_response *r = elected->response;
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_text(&json, "electionType", slice_of_text(elected->type));
	json_open(&json, "partitions", '[');
	for (int32_t t = 0; t < r->replica_election_results_count; t++) {
		const struct elect_leaders_response_replica_election_result
		    *topic = &r->replica_election_results[t];

		for (int32_t p = 0; p < topic->partition_result_count; p++)
			json_result(&json, topic->topic,
			    &topic->partition_result[p]);
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

static int
elected_print(const struct tool *tool, const struct args *args,
    const struct elected *elected)
{
	const struct elect_leaders_response *r = elected->response;
	struct buffer out = BUFFER_EMPTY;
	int failed = 0;

	for (int32_t t = 0; t < r->replica_election_results_count; t++) {
		const struct elect_leaders_response_replica_election_result
		    *topic = &r->replica_election_results[t];

		for (int32_t p = 0; p < topic->partition_result_count; p++)
			failed += result_failed(&topic->partition_result[p]);
	}
	if (args_json(args))
		elected_json(elected, &out);
	else
		elected_text(elected, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
	if (failed == 0)
		return (TOOL_OK);
	return (tool_fail(tool, "%d replica(s) could not be elected; barnabas "
				"topics --describe shows replicas and leaders",
	    failed));
}

/* --- all of it ------------------------------------------------------------ */

static int
leader_election(struct tool *tool, const struct args *args,
    struct client *client, const struct partitions_list *list)
{
	struct elect_leaders_request request;
	struct elect_leaders_response response;
	int status;

	wire_init(&message_elect_leaders_request, &request);
	CHECK(election_type(args_text(args, "election-type"),
	    &request.election_type));
	request.timeout_ms = client_timeout_ms(client);
	/* Null: all partitions. */
	request.topic_partitions = NULL;
	request.topic_partitions_count = 0;
	if (!args_has(args, "all-topic-partitions")) {
		struct leader_item **sorted = partitions_sorted(list);

		election_partitions(client_arena(client), sorted, list->count,
		    &request);
		mem_free(sorted);
	}
	status = election_ask(tool, client, &request, &response);
	if (status != TOOL_OK)
		return (status);
	return (elected_print(tool, args, &(struct elected) {
	    .response = &response,
	    .type = request.election_type == ELECTION_UNCLEAN ? "UNCLEAN"
							      : "PREFERRED",
	}));
}

static int
leader_election_run(struct tool *tool, const struct args *args)
{
	struct partitions_list list;
	struct client *client;
	int status = election_check(tool, args);

	if (status != TOOL_OK)
		return (status);
	client = client_of_file(tool, args_text(args, "bootstrap-server"),
	    args_text(args, "admin.config"), &status);
	if (client == NULL)
		return (status);
	status = election_list(tool, args, client, &list);
	if (status == TOOL_OK)
		status = leader_election(tool, args, client, &list);
	partitions_list_fini(&list);
	client_free(&client);
	return (status);
}
