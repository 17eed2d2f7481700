/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas delete-records: moves the log start offsets that a file names. */
#include <inttypes.h>

#include "base/check.h"
#include "tools/json_out.h"
#include "tools/leaders.h"
#include "tools/partitions_file.h"
#include "tools/tool.h"

static const struct arg_row delete_records_rows[] = {
	ARGS_CLIENT,
	{ "offset-json-file", ARG_TEXT, "file", NULL,
	    "The partitions and, for each, the offset below which records are "
	    "deleted (-1: all of them): {\"partitions\": [{\"topic\": \"t\", "
	    "\"partition\": 0, \"offset\": 7}], \"version\": 1}" },
	ARGS_COMMON,
};

static int delete_records_run(struct tool *tool, const struct args *args);

const struct command command_delete_records = {
	.name = "delete-records",
	.kafka_name = "kafka-delete-records.sh",
	.summary = "delete the oldest records of partitions",
	.rows = delete_records_rows,
	.run = delete_records_run,
};

/* --- asking --------------------------------------------------------------- */

static void
delete_request(struct client *client, struct leader_item *const *items,
    size_t count, struct delete_records_request *request)
{
	struct arena *arena = client_arena(client);
	struct delete_records_request_topic *topic;
	size_t first = 0;

	wire_init(&message_delete_records_request, request);
	request->timeout_ms = client_timeout_ms(client);
	request->topics = wire_array(arena,
	    delete_records_request_topic_schema(), count);
	CHECK(request->topics != NULL);
	while (first < count) {
		const size_t same =
		    leaders_same_topic(items + first, count - first);

		topic = &request->topics[request->topics_count++];
		topic->name = items[first]->topic;
		topic->partitions = wire_array(arena,
		    delete_records_request_partition_schema(), same);
		CHECK(topic->partitions != NULL);
		topic->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++) {
			topic->partitions[i].partition_index =
			    items[first + i]->partition;
			topic->partitions[i].offset = items[first + i]->asked;
		}
		first += same;
	}
}

static enum client_status
delete_ask(struct client *client, int32_t leader,
    struct leader_item *const *items, size_t count)
{
	struct delete_records_request request;
	struct delete_records_response response;
	enum client_status status;

	delete_request(client, items, count, &request);
	status = client_ask_node(client, leader, API_DELETE_RECORDS, &request,
	    &response);
	for (int32_t t = 0;
	     status == CLIENT_OK && t < response.topics_count; t++) {
		const struct delete_records_response_topic *topic =
		    &response.topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++) {
			struct leader_item *item =
			    leaders_find(items, count, topic->name,
				topic->partitions[p].partition_index);

			if (item == NULL)
				continue;
			item->error = topic->partitions[p].error_code;
			item->offset = topic->partitions[p].low_watermark;
		}
	}
	return (status);
}

/* --- printing ------------------------------------------------------------- */

static bool
item_good(const struct leader_item *item)
{
	return (item->error == ERR_NONE && item->why == NULL);
}

static void
print_text(const struct leader_item *items, size_t count, struct buffer *out)
{
	buffer_append_text(out, "Records delete operation completed:\n");
	for (size_t i = 0; i < count; i++) {
		buffer_append_text(out, "partition: ");
		leader_item_name(&items[i], out);
		if (item_good(&items[i])) {
			buffer_printf(out, "\tlow_watermark: %" PRId64,
			    items[i].offset);
		} else {
			buffer_append_text(out, "\terror: ");
			leader_item_error(&items[i], out);
		}
		buffer_append_text(out, "\n");
	}
}

static void
print_json(const struct leader_item *items, size_t count, struct buffer *out)
{
	struct buffer text = BUFFER_EMPTY;
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "partitions", '[');
	for (size_t i = 0; i < count; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "topic", items[i].topic);
		json_int(&json, "partition", items[i].partition);
		if (item_good(&items[i])) {
			json_int(&json, "lowWatermark", items[i].offset);
		} else {
			text.length = 0;
			leader_item_error(&items[i], &text);
			json_text(&json, "error", buffer_slice(&text));
		}
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
	buffer_fini(&text);
}

/* --- all of it ------------------------------------------------------------ */

/* As in Kafka's tool, a partition that fails is told in its line, and is no
 * failure of the command. */
static void
delete_records(struct tool *tool, const struct args *args,
    struct client *client, struct leader_item *items, size_t count)
{
	struct buffer out = BUFFER_EMPTY;
	struct progress progress;

	if (!args_json(args)) {
		fputs("Executing records delete operation\n", tool->out);
		fflush(tool->out);
	}
	progress_begin(&progress, tool, "partitions answered", count);
	if (count != 0)
		leaders_ask(client, items, count, delete_ask, &progress);
	progress_end(&progress, count);
	if (args_json(args))
		print_json(items, count, &out);
	else
		print_text(items, count, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
}

static int
delete_records_read(struct tool *tool, const struct args *args,
    struct client *client)
{
	struct partitions_list list;

	if (!partitions_read(tool, args_text(args, "offset-json-file"),
		PARTITIONS_WITH_OFFSET, client_arena(client), &list))
		return (TOOL_FAILED);
	delete_records(tool, args, client, list.items, list.count);
	partitions_list_fini(&list);
	return (TOOL_OK);
}

static int
delete_records_run(struct tool *tool, const struct args *args)
{
	struct client *client;
	int status;

	if (!args_has(args, "offset-json-file"))
		return (tool_usage(tool, "--offset-json-file is needed"));
	client = client_of_args(tool, args, &status);
	if (client == NULL)
		return (status);
	status = delete_records_read(tool, args, client);
	client_free(&client);
	return (status);
}
