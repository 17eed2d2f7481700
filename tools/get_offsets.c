/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas get-offsets: which partitions, what their leaders say of them, and
 * "topic:partition:offset" for each that has such an offset.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/get_offsets.h"
#include "tools/json_out.h"
#include "tools/leaders.h"

static const struct arg_row get_offsets_rows[] = {
	ARGS_CLIENT,
	{ "broker-list", ARG_TEXT, "host:port,...", NULL,
	    "The old name of --bootstrap-server." },
	{ "topic-partitions", ARG_TEXT, "pattern,...", NULL,
	    "A regular expression for topics, a number or a range of "
	    "partitions, or both: t, t:3, t:0-3 (without 3), t:5-, t:-3, :0." },
	{ "topic", ARG_TEXT, "regex", NULL,
	    "The topics; all when it is not given." },
	{ "partitions", ARG_TEXT, "number,...", NULL,
	    "The partitions; all when it is not given." },
	{ "time", ARG_TEXT, "time", "latest",
	    "The first offset from this time (ms since 1970) on; or latest "
	    "(-1), earliest (-2), max-timestamp (-3), earliest-local (-4), "
	    "latest-tiered (-5)." },
	{ "exclude-internal-topics", ARG_FLAG, NULL, NULL,
	    "Without the brokers' own topics." },
	ARGS_COMMON,
};

static int get_offsets_run(struct tool *tool, const struct args *args);

const struct command command_get_offsets = {
	.name = "get-offsets",
	.kafka_name = "kafka-get-offsets.sh",
	.summary = "show offsets of partitions",
	.rows = get_offsets_rows,
	.run = get_offsets_run,
};

/* --- options -------------------------------------------------------------- */

bool
offsets_time(const char *text, int64_t *out)
{
	static const char *const names[] = { "latest", "earliest",
		"max-timestamp", "earliest-local", "latest-tiered" };

	for (size_t i = 0; i < nelems(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*out = -1 - (int64_t)i;
			return (true);
		}
	return (text_to_int64(slice_of_text(text), out) &&
	    *out >= -(int64_t)nelems(names));
}

/* Digits alone; nothing at all is the fallback. */
static bool
rule_number(struct slice text, int32_t fallback, int32_t *out)
{
	*out = fallback;
	return (text.length == 0 ||
	    (text.data[0] != '-' && text.data[0] != '+' &&
		text_to_int32(text, out)));
}

/* "", "3", "0-3", "5-", "-3" */
static bool
rule_range(struct slice text, struct offsets_rule *rule)
{
	struct slice end;
	const struct slice first = text_cut(text, '-', &end);

	if (!rule_number(first, 0, &rule->first))
		return (false);
	if (end.data != NULL)
		return (rule_number(end, INT32_MAX, &rule->end));
	rule->end = first.length == 0 ? INT32_MAX : rule->first + 1;
	return (rule->first != INT32_MAX);
}

static bool
rule_init(struct offsets_rule *rule, struct slice topics, struct slice range,
    struct buffer *why)
{
	char *pattern = mem_strndup((const char *)topics.data, topics.length);
	bool good;

	good = topic_filter_init(&rule->topics,
	    topics.length == 0 ? NULL : pattern, false, why);
	if (good && !rule_range(range, rule)) {
		buffer_printf(why,
		    "\"%.*s\" is no partition and no range of them",
		    SLICE_ARGS(range));
		topic_filter_fini(&rule->topics);
		good = false;
	}
	mem_free(pattern);
	return (good);
}

static size_t
commas_of(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == ',';
	return (count);
}

static bool
rules_by_pattern(struct offsets_rules *rules, const char *text,
    struct buffer *why)
{
	struct slice rest = slice_of_text(text);

	while (rest.data != NULL) {
		struct slice range;
		const struct slice one = text_cut(rest, ',', &rest);
		const struct slice topics = text_cut(one, ':', &range);

		if (!rule_init(&rules->items[rules->count], topics, range,
			why))
			return (false);
		rules->count++;
	}
	return (true);
}

static bool
rules_by_number(struct offsets_rules *rules, const char *topic,
    const char *partitions, struct buffer *why)
{
	const struct slice topics =
	    topic == NULL ? SLICE_EMPTY : slice_of_text(topic);
	struct slice rest = slice_of_text(partitions);

	while (rest.data != NULL) {
		const struct slice one = text_cut(rest, ',', &rest);
		int32_t number;

		if (partitions[0] != '\0' && !text_to_int32(one, &number)) {
			buffer_printf(why,
			    "--partitions wants numbers with commas between "
			    "them, not \"%s\"",
			    partitions);
			return (false);
		}
		if (!rule_init(&rules->items[rules->count], topics, one, why))
			return (false);
		rules->count++;
	}
	return (true);
}

bool
offsets_rules_init(struct offsets_rules *rules, const struct args *args,
    struct buffer *why)
{
	const char *patterns = args_text(args, "topic-partitions");
	const char *partitions = args_text(args, "partitions");
	const char *text = patterns != NULL ? patterns
	    : partitions != NULL	    ? partitions
					    : "";

	rules->count = 0;
	rules->items =
	    mem_zalloc((commas_of(text) + 1) * sizeof(*rules->items));
	if (patterns != NULL)
		return (rules_by_pattern(rules, patterns, why));
	return (rules_by_number(rules, args_text(args, "topic"), text, why));
}

void
offsets_rules_fini(struct offsets_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		topic_filter_fini(&rules->items[i].topics);
	mem_free(rules->items);
}

bool
offsets_rules_take(const struct offsets_rules *rules, struct slice topic,
    int32_t partition)
{
	for (size_t i = 0; i < rules->count; i++)
		if (partition >= rules->items[i].first &&
		    partition < rules->items[i].end &&
		    topic_filter_takes(&rules->items[i].topics, topic))
			return (true);
	return (false);
}

/* --- asking --------------------------------------------------------------- */

struct found {
	struct leader_item *items;
	size_t count;
};

static void
find_topic(const struct args *args, const struct offsets_rules *rules,
    const struct metadata_response_topic *topic, struct found *found)
{
	if (topic->name.data == NULL ||
	    (topic->is_internal && args_has(args, "exclude-internal-topics")))
		return;
	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const int32_t number = topic->partitions[i].partition_index;

		if (!offsets_rules_take(rules, topic->name, number))
			continue;
		found->items[found->count].topic = topic->name;
		found->items[found->count++].partition = number;
	}
}

static void
find(const struct args *args, const struct offsets_rules *rules,
    const struct metadata_response *metadata, struct found *found)
{
	size_t most = 1;
	int64_t time;

	CHECK(offsets_time(args_text(args, "time"), &time));
	for (int32_t i = 0; i < metadata->topics_count; i++)
		most += (size_t)metadata->topics[i].partitions_count;
	found->count = 0;
	found->items = mem_zalloc(most * sizeof(*found->items));
	for (int32_t i = 0; i < metadata->topics_count; i++)
		find_topic(args, rules, &metadata->topics[i], found);
	for (size_t i = 0; i < found->count; i++)
		found->items[i].asked = time;
}

static void
offsets_request(struct arena *arena, struct leader_item *const *items,
    size_t count, struct list_offsets_request *request)
{
	struct list_offsets_request_topic *topic;
	size_t first = 0;

	wire_init(&message_list_offsets_request, request);
	request->replica_id = -1;
	request->topics = wire_array(arena,
	    list_offsets_request_topic_schema(), count);
	CHECK(request->topics != NULL);
	while (first < count) {
		const size_t same =
		    leaders_same_topic(items + first, count - first);

		topic = &request->topics[request->topics_count++];
		topic->name = items[first]->topic;
		topic->partitions = wire_array(arena,
		    list_offsets_request_partition_schema(), same);
		CHECK(topic->partitions != NULL);
		topic->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++) {
			topic->partitions[i].partition_index =
			    items[first + i]->partition;
			topic->partitions[i].timestamp =
			    items[first + i]->asked;
		}
		first += same;
	}
}

enum client_status
offsets_ask(struct client *client, int32_t leader,
    struct leader_item *const *items, size_t count)
{
	struct list_offsets_request request;
	struct list_offsets_response response;
	enum client_status status;

	offsets_request(client_arena(client), items, count, &request);
	status = client_ask_node(client, leader, API_LIST_OFFSETS, &request,
	    &response);
	for (int32_t t = 0;
	     status == CLIENT_OK && t < response.topics_count; t++) {
		const struct list_offsets_response_topic *topic =
		    &response.topics[t];

		for (int32_t p = 0; p < topic->partitions_count; p++) {
			const struct list_offsets_response_partition *answer =
			    &topic->partitions[p];
			struct leader_item *item = leaders_find(items, count,
			    topic->name, answer->partition_index);

			if (item == NULL)
				continue;
			item->error = answer->error_code;
			item->offset = answer->offset;
			item->timestamp = answer->timestamp;
			item->leader_epoch = answer->leader_epoch;
		}
	}
	return (status);
}

/* --- printing ------------------------------------------------------------- */

/* By "topic-partition" as text, as Kafka's tool: t-10 before t-2. */
static int
item_compare(const void *a, const void *b)
{
	struct buffer x = BUFFER_EMPTY;
	struct buffer y = BUFFER_EMPTY;
	int order;

	leader_item_name(a, &x);
	leader_item_name(b, &y);
	order = slice_compare(buffer_slice(&x), buffer_slice(&y));
	buffer_fini(&x);
	buffer_fini(&y);
	return (order);
}

static void
print_json(const struct found *found, struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "offsets", '[');
	for (size_t i = 0; i < found->count; i++) {
		const struct leader_item *item = &found->items[i];
		const bool good = item->error == ERR_NONE &&
		    item->why == NULL;

		json_open(&json, NULL, '{');
		json_text(&json, "topic", item->topic);
		json_int(&json, "partition", item->partition);
		if (good && item->offset >= 0)
			json_int(&json, "offset", item->offset);
		else
			json_none(&json, "offset");
		if (good && item->timestamp >= 0)
			json_int(&json, "timestamp", item->timestamp);
		if (good && item->leader_epoch >= 0)
			json_int(&json, "leaderEpoch", item->leader_epoch);
		if (!good)
			json_text(&json, "error",
			    slice_of_text(error_name(item->error)));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

static void
say_skipped(const struct tool *tool, const struct leader_item *item)
{
	struct buffer text = BUFFER_EMPTY;

	leader_item_name(item, &text);
	buffer_append_text(&text, " is left out: ");
	leader_item_error(item, &text);
	tool_warn(tool, "%s", buffer_text(&text));
	buffer_fini(&text);
}

/* Partitions without an answer are said and left out: as in Kafka's tool that
 * is no failure. */
static void
print(const struct tool *tool, const struct args *args,
    const struct found *found)
{
	struct buffer out = BUFFER_EMPTY;

	if (found->count > 1)
		qsort(found->items, found->count, sizeof(*found->items),
		    item_compare);
	for (size_t i = 0; i < found->count; i++) {
		const struct leader_item *item = &found->items[i];

		if (item->error != ERR_NONE || item->why != NULL)
			say_skipped(tool, item);
		else if (item->offset >= 0 && !args_json(args))
			buffer_printf(&out, "%.*s:%d:%" PRId64 "\n",
			    SLICE_ARGS(item->topic), item->partition,
			    item->offset);
	}
	if (args_json(args))
		print_json(found, &out);
	tool_print(tool, &out);
	buffer_fini(&out);
}

/* --- all of it ------------------------------------------------------------ */

static int
get_offsets(struct tool *tool, const struct args *args,
    struct client *client, const struct offsets_rules *rules)
{
	struct metadata_response metadata;
	struct progress progress;
	struct found found;
	int status = TOOL_OK;

	if (client_metadata(client, &metadata) != CLIENT_OK)
		return (tool_fail(tool, "%s", client_why(client)));
	find(args, rules, &metadata, &found);
	if (found.count == 0) {
		status = tool_fail(tool,
		    "no partition matches the filters; barnabas topics --list "
		    "shows the topics");
	} else {
		progress_begin(&progress, tool, "partitions answered",
		    found.count);
		leaders_ask(client, found.items, found.count, offsets_ask,
		    &progress);
		progress_end(&progress, found.count);
		print(tool, args, &found);
	}
	mem_free(found.items);
	return (status);
}

static int
get_offsets_connect(struct tool *tool, const struct args *args,
    const struct offsets_rules *rules)
{
	const char *bootstrap = args_text(args, "bootstrap-server");
	struct client *client;
	int status;

	if (bootstrap == NULL)
		bootstrap = args_text(args, "broker-list");
	client = client_of_bootstrap(tool, args, bootstrap, &status);
	if (client == NULL)
		return (status);
	status = get_offsets(tool, args, client, rules);
	client_free(&client);
	return (status);
}

static int
get_offsets_run(struct tool *tool, const struct args *args)
{
	struct buffer why = BUFFER_EMPTY;
	struct offsets_rules rules;
	int64_t time;
	int status;

	if (args_has(args, "topic-partitions") &&
	    (args_has(args, "topic") || args_has(args, "partitions")))
		return (tool_usage(tool, "--topic-partitions does not go with "
					 "--topic or --partitions"));
	if (!offsets_time(args_text(args, "time"), &time))
		return (tool_usage(tool,
		    "--time is milliseconds since 1970, -1 or latest, -2 or "
		    "earliest, -3 or max-timestamp, -4 or earliest-local, -5 "
		    "or latest-tiered, not \"%s\"",
		    args_text(args, "time")));
	if (offsets_rules_init(&rules, args, &why))
		status = get_offsets_connect(tool, args, &rules);
	else
		status = tool_usage(tool, "%s", buffer_text(&why));
	offsets_rules_fini(&rules);
	buffer_fini(&why);
	return (status);
}
