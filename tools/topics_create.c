/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas topics --create. */
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "tools/json_out.h"
#include "tools/topics.h"

static int
assignment_parse(const struct tool *tool, const char *text,
    struct arena *arena, struct create_topics_request_topic *topic)
{
	struct topics_assignment assignment;

	if (topics_assignment_parse(tool, text, arena, &assignment) != TOOL_OK)
		return (TOOL_USAGE);
	topic->assignments = wire_array(arena,
	    create_topics_request_assignment_schema(), assignment.count);
	CHECK(topic->assignments != NULL);
	topic->assignments_count = (int32_t)assignment.count;
	for (size_t i = 0; i < assignment.count; i++) {
		topic->assignments[i].partition_index = (int32_t)i;
		topic->assignments[i].broker_ids = assignment.partitions[i].ids;
		topic->assignments[i].broker_ids_count =
		    assignment.partitions[i].count;
	}
	return (TOOL_OK);
}

static int
configs_parse(const struct tool *tool, const struct args *args,
    struct arena *arena, struct create_topics_request_topic *topic)
{
	struct create_topics_request_config *config;
	size_t at = 0;
	const char *text;

	topic->configs = wire_array(arena,
	    create_topics_request_config_schema(), args->count);
	CHECK(topic->configs != NULL);
	while ((text = args_next(args, "config", &at)) != NULL) {
		config = &topic->configs[topic->configs_count++];
		config->name = text_trim(
		    text_cut(slice_of_text(text), '=', &config->value));
		if (config->name.length == 0 || config->value.data == NULL)
			return (tool_usage(tool,
			    "--config wants name=value, not \"%s\"", text));
		config->value = text_trim(config->value);
	}
	return (TOOL_OK);
}

static int
counts_parse(const struct tool *tool, const struct args *args,
    struct create_topics_request_topic *topic)
{
	const bool assigned = args_has(args, "replica-assignment");
	const int64_t partitions = args_number(args, "partitions");
	const int64_t replicas = args_number(args, "replication-factor");

	topic->num_partitions = -1;
	topic->replication_factor = -1;
	if (assigned && (args_has(args, "partitions") ||
			    args_has(args, "replication-factor")))
		return (tool_usage(tool,
		    "--replica-assignment says how many partitions and "
		    "replicas there are; leave out --partitions and "
		    "--replication-factor"));
	if (args_has(args, "partitions")) {
		if (partitions < 1)
			return (tool_usage(tool,
			    "--partitions must be 1 or more"));
		topic->num_partitions = (int32_t)partitions;
	}
	if (args_has(args, "replication-factor")) {
		if (replicas < 1 || replicas > INT16_MAX)
			return (tool_usage(tool,
			    "--replication-factor must be between 1 and %d",
			    INT16_MAX));
		topic->replication_factor = (int16_t)replicas;
	}
	return (TOOL_OK);
}

int
topics_create_request(struct tool *tool, const struct args *args,
    struct arena *arena, struct create_topics_request *request)
{
	const char *assignment = args_text(args, "replica-assignment");
	struct create_topics_request_topic *topic;

	wire_init(&message_create_topics_request, request);
	topic = wire_array(arena, create_topics_request_topic_schema(), 1);
	CHECK(topic != NULL);
	request->topics = topic;
	request->topics_count = 1;
	topic->name = slice_of_text(args_text(args, "topic"));
	if (counts_parse(tool, args, topic) != TOOL_OK ||
	    configs_parse(tool, args, arena, topic) != TOOL_OK ||
	    (assignment != NULL &&
		assignment_parse(tool, assignment, arena, topic) != TOOL_OK))
		return (TOOL_USAGE);
	return (TOOL_OK);
}

/* --- carrying it out ------------------------------------------------------ */

static int
created(struct tool *tool, const struct args *args,
    const struct create_topics_response_topic *topic)
{
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;
	char id[UUID_TEXT_SIZE];
	const bool made = topic->error_code == ERR_NONE;

	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_text(&json, "topic", topic->name);
		json_bool(&json, "created", made);
		uuid_to_text(topic->topic_id, id);
		if (!uuid_is_zero(topic->topic_id))
			json_text(&json, "topicId", slice_of_text(id));
		json_close(&json, '}');
		json_end(&json);
	} else if (made) {
		buffer_printf(&out, "Created topic %.*s.\n",
		    SLICE_ARGS(topic->name));
	}
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}

static int
create_end(struct tool *tool, const struct args *args,
    const struct client *client, const struct create_topics_response *response)
{
	const struct create_topics_response_topic *topic = response->topics;

	if (response->topics_count != 1)
		return (tool_fail(tool, "the controller's answer names %d "
					"topics instead of one",
		    response->topics_count));
	if (topic->error_code == ERR_NONE ||
	    (topic->error_code == ERR_TOPIC_ALREADY_EXISTS &&
		args_has(args, "if-not-exists")))
		return (created(tool, args, topic));
	if (topic->error_code == ERR_TOPIC_ALREADY_EXISTS &&
	    client_repeated(client))
		return (tool_fail(tool,
		    "topic '%s': %s; the request was sent more than once, an "
		    "earlier one may have made it",
		    args_text(args, "topic"), error_name(topic->error_code)));
	return (tool_fail(tool, "topic '%s': %s%s%.*s; %s",
	    args_text(args, "topic"), error_name(topic->error_code),
	    topic->error_message.length != 0 ? ": " : "",
	    SLICE_ARGS(topic->error_message),
	    topics_advice(topic->error_code)));
}

static void
warn_of_collision(const struct tool *tool, const struct args *args)
{
	const char *name = args_text(args, "topic");

	if (strpbrk(name, "._") != NULL && !args_json(args))
		fputs("WARNING: Due to limitations in metric names, topics "
		      "with a period ('.') or underscore ('_') could "
		      "collide. To avoid issues it is best to use either, "
		      "but not both.\n",
		    tool->out);
}

int
topics_create(struct tool *tool, const struct args *args,
    struct client *client)
{
	struct create_topics_request request;
	struct create_topics_response response;
	enum client_status status;
	bool again;

	if (topics_create_request(tool, args, client_arena(client),
		&request) != TOOL_OK)
		return (TOOL_USAGE);
	request.timeout_ms = client_timeout_ms(client);
	warn_of_collision(tool, args);
	client_begin(client);
	do {
		status = client_ask_controller(client, API_CREATE_TOPICS,
		    &request, &response);
		again = status == CLIENT_OK && response.topics_count == 1 &&
		    response.topics[0].error_code == ERR_NOT_CONTROLLER;
	} while (again && client_pause(client));
	client_end(client);
	if (status != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	return (create_end(tool, args, client, &response));
}
