/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas topics --alter and --delete. */
#include <string.h>

#include "base/check.h"
#include "tools/json_out.h"
#include "tools/topics.h"

/* What the controller answered for one topic. */
struct change_result {
	struct slice topic;
	int error;
	struct slice message;
};

const char *
topics_advice(int error)
{
	switch (error) {
	case ERR_INVALID_TOPIC_EXCEPTION:
		return ("choose a name of letters, digits, '.', '_' and '-'");
	case ERR_INVALID_REPLICATION_FACTOR:
		return ("ask for fewer replicas, or start more brokers");
	case ERR_INVALID_PARTITIONS:
		return ("ask for another number of partitions");
	case ERR_INVALID_REPLICA_ASSIGNMENT:
		return ("name brokers that are running");
	case ERR_INVALID_CONFIG:
		return ("correct the --config options");
	case ERR_TOPIC_ALREADY_EXISTS:
		return ("--if-not-exists makes this no error");
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
		return ("it went away meanwhile; --list shows those that are "
			"there");
	case ERR_TOPIC_DELETION_DISABLED:
		return ("the brokers' delete.topic.enable is false");
	case ERR_REASSIGNMENT_IN_PROGRESS:
		return ("wait until its partitions have moved");
	case ERR_THROTTLING_QUOTA_EXCEEDED:
		return ("try again later: the quota of changes is used up");
	case ERR_POLICY_VIOLATION:
		return ("the cluster's policy does not allow it");
	case ERR_TOPIC_AUTHORIZATION_FAILED:
	case ERR_CLUSTER_AUTHORIZATION_FAILED:
		return ("this user may not do that");
	case ERR_REQUEST_TIMED_OUT:
		return ("it may still be done; look with --describe");
	default:
		return ("the brokers' logs may say more");
	}
}

static int
results_say(const struct tool *tool, const struct change_result *results,
    size_t count)
{
	int status = TOOL_OK;

	for (size_t i = 0; i < count; i++)
		if (results[i].error != ERR_NONE)
			status = tool_fail(tool, "topic '%.*s': %s%s%.*s; %s",
			    SLICE_ARGS(results[i].topic),
			    error_name(results[i].error),
			    results[i].message.length != 0 ? ": " : "",
			    SLICE_ARGS(results[i].message),
			    topics_advice(results[i].error));
	return (status);
}

/* As Kafka's tool, nothing is printed as text when all went well. */
static int
results_print(const struct tool *tool, const struct args *args,
    const char *done, const struct change_result *results, size_t count)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_open(&json, "topics", '[');
		for (size_t i = 0; i < count; i++) {
			json_open(&json, NULL, '{');
			json_text(&json, "topic", results[i].topic);
			json_bool(&json, done, results[i].error == ERR_NONE);
			if (results[i].error != ERR_NONE)
				json_text(&json, "error",
				    slice_of_text(
					error_name(results[i].error)));
			json_close(&json, '}');
		}
		json_close(&json, ']');
		json_close(&json, '}');
		json_end(&json);
		tool_print(tool, &out);
		buffer_fini(&out);
	}
	return (results_say(tool, results, count));
}

/* --- alter ---------------------------------------------------------------- */

/* The brokers of what is new of this topic: the list begins with what is there,
 * which is left as it is. */
static void
put_new_replicas(const struct topics_assignment *assignment,
    const struct metadata_response_topic *topic, struct arena *arena,
    struct create_partitions_request_topic *out)
{
	const size_t first = (size_t)topic->partitions_count;
	const size_t count =
	    assignment->count > first ? assignment->count - first : 0;

	out->assignments = wire_array(arena,
	    create_partitions_request_assignment_schema(), count);
	CHECK(out->assignments != NULL);
	out->assignments_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		out->assignments[i].broker_ids =
		    assignment->partitions[first + i].ids;
		out->assignments[i].broker_ids_count =
		    assignment->partitions[first + i].count;
	}
}

int
topics_alter_request(struct tool *tool, const struct args *args,
    const struct topics_chosen *chosen, struct arena *arena,
    struct create_partitions_request *request)
{
	const char *text = args_text(args, "replica-assignment");
	const int64_t partitions = args_number(args, "partitions");
	struct topics_assignment assignment;

	wire_init(&message_create_partitions_request, request);
	if (partitions < 1)
		return (tool_usage(tool, "--partitions must be 1 or more"));
	if (text != NULL && topics_assignment_parse(tool, text, arena,
				&assignment) != TOOL_OK)
		return (TOOL_USAGE);
	request->topics = wire_array(arena,
	    create_partitions_request_topic_schema(), chosen->count);
	CHECK(request->topics != NULL);
	request->topics_count = (int32_t)chosen->count;
	for (size_t i = 0; i < chosen->count; i++) {
		struct create_partitions_request_topic *topic =
		    &request->topics[i];

		topic->name = chosen->items[i]->name;
		topic->count = (int32_t)partitions;
		/* Null lets the controller choose. */
		topic->assignments = NULL;
		if (text != NULL)
			put_new_replicas(&assignment, chosen->items[i], arena,
			    topic);
	}
	return (TOOL_OK);
}

static bool
alter_asks_again(const struct create_partitions_response *response)
{
	for (int32_t i = 0; i < response->results_count; i++)
		if (response->results[i].error_code == ERR_NOT_CONTROLLER)
			return (true);
	return (false);
}

static int
alter_end(const struct tool *tool, const struct args *args,
    struct client *client, const struct create_partitions_response *response)
{
	const size_t count = (size_t)response->results_count;
	struct change_result *results = arena_array(client_arena(client),
	    count, sizeof(*results));
	int status;

	CHECK(results != NULL);
	for (size_t i = 0; i < count; i++)
		results[i] = (struct change_result) {
			.topic = response->results[i].name,
			.error = response->results[i].error_code,
			.message = response->results[i].error_message,
		};
	status = results_print(tool, args, "altered", results, count);
	if (status != TOOL_OK && client_repeated(client))
		tool_warn(tool, "the request was sent more than once: an "
				"earlier one may have been carried out; look "
				"with --describe");
	return (status);
}

static int
alter_chosen(struct tool *tool, const struct args *args,
    struct client *client, const struct topics_chosen *chosen)
{
	struct create_partitions_request request;
	struct create_partitions_response response;
	enum client_status status;

	if (topics_alter_request(tool, args, chosen, client_arena(client),
		&request) != TOOL_OK)
		return (TOOL_USAGE);
	request.timeout_ms = client_timeout_ms(client);
	client_begin(client);
	do {
		status = client_ask_controller(client, API_CREATE_PARTITIONS,
		    &request, &response);
	} while (status == CLIENT_OK && alter_asks_again(&response) &&
	    client_pause(client));
	client_end(client);
	if (status != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	return (alter_end(tool, args, client, &response));
}

/* --- delete --------------------------------------------------------------- */

static void
delete_request(const struct topics_chosen *chosen, struct client *client,
    struct delete_topics_request *request)
{
	struct arena *arena = client_arena(client);

	wire_init(&message_delete_topics_request, request);
	request->timeout_ms = client_timeout_ms(client);
	request->topics = wire_array(arena,
	    delete_topics_request_topic_schema(), chosen->count);
	CHECK(request->topics != NULL);
	request->topics_count = (int32_t)chosen->count;
	for (size_t i = 0; i < chosen->count; i++)
		request->topics[i].name = chosen->items[i]->name;
}

static bool
delete_asks_again(const struct delete_topics_response *response)
{
	for (int32_t i = 0; i < response->responses_count; i++)
		if (response->responses[i].error_code == ERR_NOT_CONTROLLER)
			return (true);
	return (false);
}

/* Of a request that went out twice the second one may find nothing left. */
static bool
delete_succeeded(const struct args *args, const struct client *client,
    int error)
{
	return (error == ERR_NONE ||
	    (error == ERR_UNKNOWN_TOPIC_OR_PARTITION &&
		(client_repeated(client) || args_has(args, "if-exists"))));
}

static int
delete_chosen(struct tool *tool, const struct args *args,
    struct client *client, const struct topics_chosen *chosen)
{
	struct delete_topics_request request;
	struct delete_topics_response response;
	struct change_result *results;
	enum client_status status;
	size_t count;

	delete_request(chosen, client, &request);
	client_begin(client);
	do {
		status = client_ask_controller(client, API_DELETE_TOPICS,
		    &request, &response);
	} while (status == CLIENT_OK && delete_asks_again(&response) &&
	    client_pause(client));
	client_end(client);
	if (status != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	count = (size_t)response.responses_count;
	results = arena_array(client_arena(client), count, sizeof(*results));
	CHECK(results != NULL);
	for (size_t i = 0; i < count; i++) {
		const struct delete_topics_response_topic *topic =
		    &response.responses[i];

		results[i].topic = topic->name;
		results[i].error =
		    delete_succeeded(args, client, topic->error_code)
		    ? ERR_NONE
		    : topic->error_code;
		results[i].message = topic->error_message;
	}
	return (results_print(tool, args, "deleted", results, count));
}

/* --- both ----------------------------------------------------------------- */

typedef int change_chosen(struct tool *tool, const struct args *args,
    struct client *client, const struct topics_chosen *chosen);

static int
change(struct tool *tool, const struct args *args, struct client *client,
    change_chosen *carry_out)
{
	struct topics_chosen chosen;
	int status = topics_choose(tool, args, client, NULL, &chosen);

	if (status == TOOL_OK && chosen.count != 0)
		status = carry_out(tool, args, client, &chosen);
	else if (status == TOOL_OK && !args_has(args, "if-exists"))
		status = topics_missing(tool, args);
	else if (status == TOOL_OK && args_json(args))
		fputs("{\"topics\":[]}\n", tool->out);
	topics_chosen_fini(&chosen);
	return (status);
}

int
topics_alter(struct tool *tool, const struct args *args,
    struct client *client)
{
	return (change(tool, args, client, alter_chosen));
}

int
topics_delete(struct tool *tool, const struct args *args,
    struct client *client)
{
	return (change(tool, args, client, delete_chosen));
}
