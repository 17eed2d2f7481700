/* SPDX-License-Identifier: Apache-2.0 */
/* Which topics `barnabas topics` works on, and the brokers named for them. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/topic_filter.h"
#include "tools/topics.h"

#define PARTITIONS_MAX 1000000
#define REPLICAS_MAX 1000

static int
topic_compare(const void *a, const void *b)
{
	const struct metadata_response_topic *const *x = a;
	const struct metadata_response_topic *const *y = b;

	return (slice_compare((*x)->name, (*y)->name));
}

static bool
topic_has_id(const struct metadata_response_topic *topic,
    const struct uuid *id)
{
	return (id == NULL || uuid_equal(topic->topic_id, *id));
}

static void
choose(const struct metadata_response *metadata,
    const struct topic_filter *filter, const struct uuid *id,
    struct topics_chosen *out)
{
	out->items = mem_zalloc(
	    ((size_t)metadata->topics_count + 1) * sizeof(*out->items));
	for (int32_t i = 0; i < metadata->topics_count; i++) {
		const struct metadata_response_topic *topic =
		    &metadata->topics[i];

		if (topic->name.data != NULL && topic_has_id(topic, id) &&
		    topic_filter_takes(filter, topic->name))
			out->items[out->count++] = topic;
	}
	if (out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items),
		    topic_compare);
}

int
topics_choose(const struct tool *tool, const struct args *args,
    struct client *client, const struct uuid *id, struct topics_chosen *out)
{
	struct buffer why = BUFFER_EMPTY;
	struct topic_filter filter;
	int status = TOOL_OK;

	out->items = NULL;
	out->count = 0;
	/* An id wins over a name. */
	if (!topic_filter_init(&filter,
		id != NULL ? NULL : args_text(args, "topic"),
		args_has(args, "exclude-internal"), &why))
		status = tool_usage(tool, "--topic: %s", buffer_text(&why));
	else if (client_metadata(client, &out->metadata) != CLIENT_OK)
		status = tool_fail(tool, "%s", client_why(client));
	else
		choose(&out->metadata, &filter, id, out);
	topic_filter_fini(&filter);
	buffer_fini(&why);
	return (status);
}

void
topics_chosen_fini(struct topics_chosen *chosen)
{
	mem_free(chosen->items);
}

int
topics_missing(const struct tool *tool, const struct args *args)
{
	return (tool_fail(tool,
	    "topic '%s' does not exist (UNKNOWN_TOPIC_OR_PARTITION); --list "
	    "shows those that do, --if-exists makes this no error",
	    args_text(args, "topic")));
}

/* --- --replica-assignment ------------------------------------------------- */

static size_t
count_of(struct slice text, char separator)
{
	size_t count = 1;

	for (size_t i = 0; i < text.length; i++)
		count += text.data[i] == (uint8_t)separator;
	return (count);
}

/* "1:2:3" */
static int
replicas_parse(const struct tool *tool, size_t partition, struct slice text,
    struct arena *arena, struct topics_replicas *out)
{
	const size_t count = count_of(text, ':');
	struct slice rest = text;

	if (count > REPLICAS_MAX)
		return (tool_usage(tool, "partition %zu: too many replicas",
		    partition));
	out->ids = arena_array(arena, count, sizeof(*out->ids));
	CHECK(out->ids != NULL);
	while (rest.data != NULL) {
		const struct slice one = text_trim(text_cut(rest, ':', &rest));
		int32_t id;

		if (!text_to_int32(one, &id) || id < 0)
			return (tool_usage(tool,
			    "--replica-assignment: \"%.*s\" is no broker id",
			    SLICE_ARGS(one)));
		for (int32_t i = 0; i < out->count; i++)
			if (out->ids[i] == id)
				return (tool_usage(tool,
				    "--replica-assignment: partition %zu names "
				    "broker %d twice",
				    partition, id));
		out->ids[out->count++] = id;
	}
	return (TOOL_OK);
}

int
topics_assignment_parse(const struct tool *tool, const char *text,
    struct arena *arena, struct topics_assignment *out)
{
	struct slice rest = slice_of_text(text);
	const size_t count = count_of(rest, ',');

	out->count = 0;
	if (count > PARTITIONS_MAX)
		return (tool_usage(tool,
		    "--replica-assignment: too many partitions"));
	out->partitions = arena_array(arena, count, sizeof(*out->partitions));
	CHECK(out->partitions != NULL);
	while (rest.data != NULL) {
		const size_t number = out->count++;
		struct topics_replicas *one = &out->partitions[number];

		if (replicas_parse(tool, number, text_cut(rest, ',', &rest),
			arena, one) != TOOL_OK)
			return (TOOL_USAGE);
		if (one->count != out->partitions[0].count)
			return (tool_usage(tool,
			    "--replica-assignment: partition %zu has another "
			    "number of replicas than partition 0",
			    number));
	}
	return (TOOL_OK);
}
