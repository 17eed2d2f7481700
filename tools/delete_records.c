/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas delete-records: moves the log start offsets that a file names. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/delete_records.h"
#include "tools/json_out.h"
#include "tools/read_file.h"
#include "tools/tool.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
/* Delete all that is below the high watermark. */
#define OFFSET_HIGH_WATERMARK (-1)

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

/* --- the file ------------------------------------------------------------- */

static bool
number_of(const json_t *object, const char *name, int64_t least, int64_t most,
    int64_t *out)
{
	const json_t *value = json_object_get(object, name);

	*out = json_is_integer(value) ? json_integer_value(value) : 0;
	return (json_is_integer(value) && *out >= least && *out <= most);
}

static bool
item_parse(const json_t *object, size_t number, struct arena *arena,
    struct leader_item *item, struct buffer *why)
{
	const json_t *topic = json_object_get(object, "topic");
	int64_t partition;
	bool good = true;

	if (!json_is_string(topic) || json_string_length(topic) == 0)
		buffer_printf(why, "entry %zu has no \"topic\" that is a text",
		    number);
	else if (!number_of(object, "partition", 0, INT32_MAX, &partition))
		buffer_printf(why, "entry %zu: \"partition\" is no partition's "
				   "number",
		    number);
	else if (!number_of(object, "offset", OFFSET_HIGH_WATERMARK, INT64_MAX,
		     &item->asked))
		buffer_printf(why, "entry %zu: \"offset\" is no offset, nor -1 "
				   "for the high watermark",
		    number);
	else {
		item->partition = (int32_t)partition;
		item->topic = arena_slice_copy(arena,
		    slice_of(json_string_value(topic),
			json_string_length(topic)),
		    &good);
		return (good);
	}
	return (false);
}

static int
item_compare(const void *a, const void *b)
{
	const struct leader_item *x = *(struct leader_item *const *)a;
	const struct leader_item *y = *(struct leader_item *const *)b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

static bool
items_differ(struct leader_item *items, size_t count, struct buffer *why)
{
	struct leader_item **sorted =
	    mem_zalloc((count + 1) * sizeof(struct leader_item *));
	size_t twice = 0;

	for (size_t i = 0; i < count; i++)
		sorted[i] = &items[i];
	if (count > 1)
		qsort(sorted, count, sizeof(struct leader_item *),
		    item_compare);
	for (size_t i = 1; twice == 0 && i < count; i++)
		if (item_compare(&sorted[i - 1], &sorted[i]) == 0)
			twice = i;
	if (twice != 0) {
		buffer_append_text(why, "it names the partition ");
		leader_item_name(sorted[twice], why);
		buffer_append_text(why, " more than once");
	}
	mem_free(sorted);
	return (twice == 0);
}

static bool
root_parse(const json_t *root, struct arena *arena,
    struct leader_item **items, size_t *count, struct buffer *why)
{
	const json_t *partitions = json_object_get(root, "partitions");
	int64_t version = 1;
	size_t size;

	if (json_object_get(root, "version") != NULL &&
	    !number_of(root, "version", 1, 1, &version)) {
		buffer_append_text(why, "its \"version\" is not 1");
		return (false);
	}
	if (!json_is_array(partitions)) {
		buffer_append_text(why, "it has no list \"partitions\"");
		return (false);
	}
	size = json_array_size(partitions);
	*items = mem_zalloc((size + 1) * sizeof(**items));
	for (*count = 0; *count < size; (*count)++)
		if (!item_parse(json_array_get(partitions, *count), *count + 1,
			arena, &(*items)[*count], why))
			return (false);
	return (items_differ(*items, *count, why));
}

bool
delete_records_parse(struct slice text, struct arena *arena,
    struct leader_item **items, size_t *count, struct buffer *why)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)text.data, text.length,
	    JSON_REJECT_DUPLICATES, &error);
	bool good = false;

	*items = NULL;
	*count = 0;
	if (root == NULL)
		buffer_printf(why, "it is no JSON: line %d: %s", error.line,
		    error.text);
	else
		good = root_parse(root, arena, items, count, why);
	json_decref(root);
	if (!good) {
		mem_free(*items);
		*items = NULL;
		*count = 0;
	}
	return (good);
}

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

	if (!args_json(args)) {
		fputs("Executing records delete operation\n", tool->out);
		fflush(tool->out);
	}
	if (count != 0)
		leaders_ask(client, items, count, delete_ask);
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
	const char *path = args_text(args, "offset-json-file");
	struct buffer text = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	struct leader_item *items = NULL;
	size_t count;
	int status = TOOL_OK;

	if (!read_file(path, FILE_BYTES_MAX, &text))
		status = tool_fail(tool, "%s: %s", path, strerror(errno));
	else if (!delete_records_parse(buffer_slice(&text),
		     client_arena(client), &items, &count, &why))
		status = tool_fail(tool, "%s: %s; nothing was deleted", path,
		    buffer_text(&why));
	else
		delete_records(tool, args, client, items, count);
	mem_free(items);
	buffer_fini(&text);
	buffer_fini(&why);
	return (status);
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
