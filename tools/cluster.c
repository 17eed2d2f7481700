/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas cluster: the cluster's id, and how it is. */
#include <string.h>

#include "base/text.h"
#include "tools/broker_api_versions.h"
#include "tools/client.h"
#include "tools/cluster.h"
#include "tools/json_out.h"

/* Of KRaft. */
#define UNREGISTER_BROKER 64

static const struct arg_row cluster_rows[] = {
	{ "action", ARG_OPERAND, "cluster-id|health|unregister", NULL,
	    "Tell the cluster's id; or how it is: the exit status is 0 when "
	    "all is well, 1 when it is not, 2 when nobody could tell; or "
	    "strike a broker off, which clusters with ZooKeeper do by "
	    "themselves." },
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,
	    "Brokers to begin with.", 'b' },
	{ "bootstrap-controller", ARG_TEXT, "host:port,...", NULL,
	    "Refused: KRaft has such controllers.", 'C' },
	{ "config", ARG_TEXT, "file", NULL,
	    "A properties file with options of the client.", 'c' },
	{ "id", ARG_INT, "id", NULL, "The broker to strike off.", 'i' },
	{ "free-percent", ARG_INT, "percent", "10",
	    "With health, how much of a log directory's file system is to be "
	    "free." },
	{ "timeout", ARG_INT, "ms", "10000",
	    "With health, how long to wait for each answer." },
	ARGS_COMMON,
};

static int cluster_run(struct tool *tool, const struct args *args);

const struct command command_cluster = {
	.name = "cluster",
	.kafka_name = "kafka-cluster.sh",
	.summary = "tell the cluster's id, or whether all is well",
	.rows = cluster_rows,
	.run = cluster_run,
};

static int
cluster_id(struct tool *tool, const struct args *args, struct client *client)
{
	struct metadata_response metadata;
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	if (client_brokers(client, &metadata) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_text(&json, "clusterId", metadata.cluster_id);
		json_close(&json, '}');
		json_end(&json);
	} else if (metadata.cluster_id.data != NULL) {
		buffer_printf(&out, "Cluster ID: %.*s\n",
		    SLICE_ARGS(metadata.cluster_id));
	} else {
		buffer_append_text(&out, "No cluster ID found. The Kafka "
					 "version is probably too old.\n");
	}
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}

static bool
knows_unregister(const struct api_versions_response *response)
{
	for (int32_t i = 0; i < response->api_keys_count; i++)
		if (response->api_keys[i].api_key == UNREGISTER_BROKER)
			return (true);
	return (false);
}

/* A broker with ZooKeeper is registered while it lives, and has no request for
 * this: Kafka's tool says so, and that is no failure. */
static int
cluster_unregister(struct tool *tool, const struct args *args,
    struct client *client)
{
	struct api_versions_response versions;
	struct api_versions_request request;
	struct buffer out = BUFFER_EMPTY;
	struct json_out json;

	api_versions_ask(&request);
	if (client_ask(client, API_API_VERSIONS, &request, &versions) !=
	    CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	if (knows_unregister(&versions))
		return (tool_fail(tool,
		    "this is a cluster with KRaft, where Kafka's own "
		    "kafka-cluster.sh strikes brokers off"));
	if (args_json(args)) {
		json_init(&json, &out);
		json_open(&json, NULL, '{');
		json_int(&json, "broker", args_number(args, "id"));
		json_bool(&json, "unregistered", false);
		json_bool(&json, "supported", false);
		json_close(&json, '}');
		json_end(&json);
	} else {
		buffer_append_text(&out,
		    "The target cluster does not support the broker "
		    "unregistration API.\n");
	}
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}

static bool
action_is(const struct args *args, const char *name)
{
	return (strcmp(args_text(args, "action"), name) == 0);
}

static int
cluster_check_action(const struct tool *tool, const struct args *args)
{
	static const char *const of_health[] = { "free-percent", "timeout",
		NULL };
	const char *option = args_first_of(args, of_health);

	if (option != NULL && !action_is(args, "health"))
		return (tool_usage(tool, "--%s goes with health only",
		    option));
	if (args_number(args, "free-percent") < 0 ||
	    args_number(args, "free-percent") > 100)
		return (tool_usage(tool, "--free-percent is 0 to 100"));
	if (args_number(args, "timeout") < 1)
		return (tool_usage(tool, "--timeout wants a positive number"));
	if (action_is(args, "unregister") && !args_has(args, "id"))
		return (tool_usage(tool, "unregister wants --id"));
	if (!action_is(args, "unregister") && args_has(args, "id"))
		return (tool_usage(tool, "--id goes with unregister only"));
	return (TOOL_OK);
}

static int
cluster_check(const struct tool *tool, const struct args *args)
{
	if (args_text(args, "action") == NULL ||
	    (!action_is(args, "cluster-id") && !action_is(args, "health") &&
		!action_is(args, "unregister")))
		return (tool_usage(tool,
		    "say what to do: cluster-id, health or unregister"));
	if (args_has(args, "bootstrap-controller"))
		return (tool_usage(tool,
		    "--bootstrap-controller is for KRaft; name brokers with "
		    "--bootstrap-server"));
	return (cluster_check_action(tool, args));
}

/* Whoever watches by `health` does not take a mistake for an illness. */
static int
cluster_refused(const struct args *args, int status)
{
	if (args_text(args, "action") != NULL && action_is(args, "health"))
		return (HEALTH_UNKNOWN);
	return (status);
}

static int
cluster_run(struct tool *tool, const struct args *args)
{
	struct client *client;
	int status = cluster_check(tool, args);

	if (status != TOOL_OK)
		return (cluster_refused(args, status));
	client = client_of_file(tool, args_text(args, "bootstrap-server"),
	    args_text(args, "config"), &status);
	if (client == NULL)
		return (cluster_refused(args, status));
	if (action_is(args, "unregister"))
		status = cluster_unregister(tool, args, client);
	else if (action_is(args, "health"))
		status = cluster_health(tool, args, client);
	else
		status = cluster_id(tool, args, client);
	client_free(&client);
	return (status);
}
