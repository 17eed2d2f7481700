/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas broker-api-versions: which requests each broker knows. */
#include "config.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/broker_api_versions.h"
#include "tools/client.h"
#include "tools/json_out.h"
#include "tools/progress.h"
#include "tools/tool.h"

static const struct arg_row broker_api_versions_rows[] = {
	ARGS_CLIENT,
	ARGS_COMMON,
};

static int broker_api_versions_run(struct tool *tool, const struct args *args);

const struct command command_broker_api_versions = {
	.name = "broker-api-versions",
	.kafka_name = "kafka-broker-api-versions.sh",
	.summary = "show which requests brokers know",
	.rows = broker_api_versions_rows,
	.run = broker_api_versions_run,
};

/* --- the APIs that clients of 3.9 know ------------------------------------ */

/* Those that brokers with ZooKeeper do not have.  Source: ApiKeys.java. */
static const struct kraft_api {
	int16_t key;
	int16_t highest;
	const char *name;
} kraft_apis[] = {
	{ 55, 2, "DescribeQuorum" },
	{ 64, 0, "UnregisterBroker" },
	{ 71, 0, "GetTelemetrySubscriptions" },
	{ 72, 0, "PushTelemetry" },
	{ 74, 0, "ListClientMetricsResources" },
	{ 75, 0, "DescribeTopicPartitions" },
	{ 76, 0, "ShareGroupHeartbeat" },
	{ 77, 0, "ShareGroupDescribe" },
	{ 78, 0, "ShareFetch" },
	{ 79, 0, "ShareAcknowledge" },
	{ 80, 0, "AddRaftVoter" },
	{ 81, 0, "RemoveRaftVoter" },
	{ 83, 0, "InitializeShareGroupState" },
	{ 84, 0, "ReadShareGroupState" },
	{ 85, 0, "WriteShareGroupState" },
	{ 86, 0, "DeleteShareGroupState" },
	{ 87, 0, "ReadShareGroupStateSummary" },
};

#define KEYS_MAX 256

/* One line: what we know of the key, and what the broker told. */
struct key_row {
	int key;
	const char *name; /* NULL: not known here */
	int lowest, highest;
	bool told;
	int told_lowest, told_highest;
};

static void
rows_known(struct key_row rows[KEYS_MAX])
{
	const struct api *api;

	for (int key = 0; key < KEYS_MAX; key++)
		rows[key] = (struct key_row) { .key = key };
	for (size_t i = 0; (api = api_at(i)) != NULL; i++) {
		rows[api->key].name = api->name;
		rows[api->key].lowest = api->lowest;
		rows[api->key].highest = api->highest;
	}
	for (size_t i = 0; i < nelems(kraft_apis); i++) {
		rows[kraft_apis[i].key].name = kraft_apis[i].name;
		rows[kraft_apis[i].key].highest = kraft_apis[i].highest;
	}
}

static void
rows_told(struct key_row rows[KEYS_MAX],
    const struct api_versions_response *response)
{
	for (int32_t i = 0; i < response->api_keys_count; i++) {
		const struct api_versions_response_api_key *told =
		    &response->api_keys[i];

		if (told->api_key < 0 || told->api_key >= KEYS_MAX)
			continue;
		rows[told->api_key].told = true;
		rows[told->api_key].told_lowest = told->min_version;
		rows[told->api_key].told_highest = told->max_version;
	}
}

static bool
row_shown(const struct key_row *row)
{
	return (row->told || row->name != NULL);
}

/* The version that a client of 3.9 would use; -1: none. */
static int
row_usable(const struct key_row *row)
{
	if (!row->told || row->name == NULL ||
	    row->highest < row->told_lowest ||
	    row->told_highest < row->lowest)
		return (-1);
	return (row->highest < row->told_highest ? row->highest
						 : row->told_highest);
}

/* --- printing ------------------------------------------------------------- */

static void
put_row(const struct key_row *row, struct buffer *out)
{
	buffer_printf(out, "%s(%d): ", row->name != NULL ? row->name
							  : "UNKNOWN",
	    row->key);
	if (!row->told) {
		buffer_append_text(out, "UNSUPPORTED");
		return;
	}
	buffer_printf(out, "%d", row->told_lowest);
	if (row->told_lowest != row->told_highest)
		buffer_printf(out, " to %d", row->told_highest);
	if (row->name == NULL)
		return;
	if (row->highest < row->told_lowest)
		buffer_append_text(out, " [unusable: node too new]");
	else if (row->told_highest < row->lowest)
		buffer_append_text(out, " [unusable: node too old]");
	else
		buffer_printf(out, " [usable: %d]", row_usable(row));
}

static void
put_broker(const struct metadata_response_broker *broker, struct buffer *out)
{
	buffer_printf(out, "%.*s:%d (id: %d rack: ", SLICE_ARGS(broker->host),
	    broker->port, broker->node_id);
	if (broker->rack.data == NULL)
		buffer_append_text(out, "null) -> ");
	else
		buffer_printf(out, "%.*s) -> ", SLICE_ARGS(broker->rack));
}

void
broker_versions_text(const struct broker_versions *versions,
    struct buffer *out)
{
	struct key_row rows[KEYS_MAX];
	const char *before = "(\n\t";

	put_broker(versions->broker, out);
	if (versions->why != NULL) {
		buffer_printf(out, "ERROR: %s\n", versions->why);
		return;
	}
	rows_known(rows);
	rows_told(rows, &versions->response);
	for (int key = 0; key < KEYS_MAX; key++) {
		if (!row_shown(&rows[key]))
			continue;
		buffer_append_text(out, before);
		put_row(&rows[key], out);
		before = ",\n\t";
	}
	buffer_append_text(out, "\n)\n");
}

static void
json_row(struct json_out *json, const struct key_row *row)
{
	json_open(json, NULL, '{');
	json_int(json, "key", row->key);
	if (row->name != NULL)
		json_text(json, "name", slice_of_text(row->name));
	else
		json_none(json, "name");
	json_bool(json, "supported", row->told);
	if (row->told) {
		json_int(json, "minVersion", row->told_lowest);
		json_int(json, "maxVersion", row->told_highest);
		if (row_usable(row) >= 0)
			json_int(json, "usableVersion", row_usable(row));
		else
			json_none(json, "usableVersion");
	}
	json_close(json, '}');
}

static void
json_broker(struct json_out *json, const struct broker_versions *versions)
{
	struct key_row rows[KEYS_MAX];

	json_open(json, NULL, '{');
	json_int(json, "id", versions->broker->node_id);
	json_text(json, "host", versions->broker->host);
	json_int(json, "port", versions->broker->port);
	json_text(json, "rack", versions->broker->rack);
	if (versions->why != NULL) {
		json_text(json, "error", slice_of_text(versions->why));
		json_close(json, '}');
		return;
	}
	rows_known(rows);
	rows_told(rows, &versions->response);
	json_open(json, "apis", '[');
	for (int key = 0; key < KEYS_MAX; key++)
		if (row_shown(&rows[key]))
			json_row(json, &rows[key]);
	json_close(json, ']');
	json_close(json, '}');
}

void
broker_versions_json(const struct broker_versions *brokers, size_t count,
    struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "brokers", '[');
	for (size_t i = 0; i < count; i++)
		json_broker(&json, &brokers[i]);
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

/* --- asking --------------------------------------------------------------- */

void
api_versions_ask(struct api_versions_request *request)
{
	wire_init(&message_api_versions_request, request);
	request->client_software_name = SLICE_LITERAL(PACKAGE_NAME);
	request->client_software_version = SLICE_LITERAL(PACKAGE_VERSION);
}

static int
broker_compare(const void *a, const void *b)
{
	const struct broker_versions *x = a;
	const struct broker_versions *y = b;

	return ((x->broker->node_id > y->broker->node_id) -
	    (x->broker->node_id < y->broker->node_id));
}

/* A broker that does not answer is told of, and is no failure, as in Kafka's
 * tool. */
static void
versions_ask(struct client *client, struct broker_versions *versions)
{
	struct api_versions_request request;

	api_versions_ask(&request);
	if (client_ask_node(client, versions->broker->node_id,
		API_API_VERSIONS, &request, &versions->response) != CLIENT_OK)
		versions->why =
		    arena_strdup(client_arena(client), client_why(client));
	else if (versions->response.error_code != ERR_NONE)
		versions->why = error_name(versions->response.error_code);
}

static void
versions_print(const struct tool *tool, const struct args *args,
    const struct broker_versions *brokers, size_t count)
{
	struct buffer out = BUFFER_EMPTY;

	if (args_json(args))
		broker_versions_json(brokers, count, &out);
	for (size_t i = 0; !args_json(args) && i < count; i++)
		broker_versions_text(&brokers[i], &out);
	tool_print(tool, &out);
	buffer_fini(&out);
}

static int
broker_api_versions(struct tool *tool, const struct args *args,
    struct client *client)
{
	struct metadata_response metadata;
	struct broker_versions *brokers;
	struct progress progress;
	size_t count;

	if (client_brokers(client, &metadata) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	count = (size_t)metadata.brokers_count;
	brokers = mem_zalloc((count + 1) * sizeof(*brokers));
	for (size_t i = 0; i < count; i++)
		brokers[i].broker = &metadata.brokers[i];
	if (count > 1)
		qsort(brokers, count, sizeof(*brokers), broker_compare);
	progress_begin(&progress, tool, "brokers asked", count);
	for (size_t i = 0; i < count; i++) {
		progress_step(&progress, i);
		versions_ask(client, &brokers[i]);
	}
	progress_end(&progress, count);
	versions_print(tool, args, brokers, count);
	mem_free(brokers);
	return (TOOL_OK);
}

static int
broker_api_versions_run(struct tool *tool, const struct args *args)
{
	int status;
	struct client *client = client_of_args(tool, args, &status);

	if (client == NULL)
		return (status);
	status = broker_api_versions(tool, args, client);
	client_free(&client);
	return (status);
}
