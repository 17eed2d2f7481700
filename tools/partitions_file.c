/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/partitions_file.h"
#include "tools/read_file.h"
#include "tools/tool.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
/* Of delete-records: all that is below the high watermark. */
#define OFFSET_HIGH_WATERMARK (-1)

static bool
number_of(const json_t *object, const char *name, int64_t least, int64_t most,
    int64_t *out)
{
	const json_t *value = json_object_get(object, name);

	*out = json_is_integer(value) ? json_integer_value(value) : 0;
	return (json_is_integer(value) && *out >= least && *out <= most);
}

/* An entry of the list and where it goes. */
struct entry {
	const json_t *object;
	size_t number; /* from 1 on */
	enum partitions_kind kind;
	struct leader_item *item;
};

static bool
item_parse(const struct entry *entry, struct arena *arena,
    struct buffer *why)
{
	const json_t *object = entry->object;
	const size_t number = entry->number;
	struct leader_item *item = entry->item;
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
	else if (entry->kind == PARTITIONS_WITH_OFFSET &&
	    !number_of(object, "offset", OFFSET_HIGH_WATERMARK, INT64_MAX,
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

struct leader_item **
partitions_sorted(const struct partitions_list *list)
{
	struct leader_item **sorted =
	    mem_zalloc((list->count + 1) * sizeof(struct leader_item *));

	for (size_t i = 0; i < list->count; i++)
		sorted[i] = &list->items[i];
	if (list->count > 1)
		qsort(sorted, list->count, sizeof(struct leader_item *),
		    item_compare);
	return (sorted);
}

static bool
items_differ(const struct partitions_list *list, struct buffer *why)
{
	struct leader_item **sorted = partitions_sorted(list);
	size_t twice = 0;

	for (size_t i = 1; twice == 0 && i < list->count; i++)
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
root_parse(const json_t *root, enum partitions_kind kind,
    struct arena *arena, struct partitions_list *list, struct buffer *why)
{
	const json_t *partitions = json_object_get(root, "partitions");
	int64_t version = 1;
	size_t size;

	/* Kafka looks at it in a list of offsets only. */
	if (kind == PARTITIONS_WITH_OFFSET &&
	    json_object_get(root, "version") != NULL &&
	    !number_of(root, "version", 1, 1, &version)) {
		buffer_append_text(why, "its \"version\" is not 1");
		return (false);
	}
	if (!json_is_array(partitions)) {
		buffer_append_text(why, "it has no list \"partitions\"");
		return (false);
	}
	size = json_array_size(partitions);
	list->items = mem_zalloc((size + 1) * sizeof(*list->items));
	for (list->count = 0; list->count < size; list->count++) {
		const struct entry entry = {
			.object = json_array_get(partitions, list->count),
			.number = list->count + 1,
			.kind = kind,
			.item = &list->items[list->count],
		};

		if (!item_parse(&entry, arena, why))
			return (false);
	}
	return (items_differ(list, why));
}

bool
partitions_parse(struct slice text, enum partitions_kind kind,
    struct arena *arena, struct partitions_list *list, struct buffer *why)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)text.data, text.length,
	    JSON_REJECT_DUPLICATES, &error);
	bool good = false;

	*list = (struct partitions_list) { 0 };
	if (root == NULL)
		buffer_printf(why, "it is no JSON: line %d: %s", error.line,
		    error.text);
	else
		good = root_parse(root, kind, arena, list, why);
	json_decref(root);
	if (!good)
		partitions_list_fini(list);
	return (good);
}

bool
partitions_read(const struct tool *tool, const char *path,
    enum partitions_kind kind, struct arena *arena,
    struct partitions_list *list)
{
	struct buffer text = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	bool good = false;

	*list = (struct partitions_list) { 0 };
	if (!read_file(path, FILE_BYTES_MAX, &text))
		tool_fail(tool, "%s: %s", path, strerror(errno));
	else if (!partitions_parse(buffer_slice(&text), kind, arena, list,
		     &why))
		tool_fail(tool, "%s: %s; %s", path, buffer_text(&why),
		    kind == PARTITIONS_WITH_OFFSET ? "nothing was deleted"
						   : "nothing was elected");
	else
		good = true;
	buffer_fini(&text);
	buffer_fini(&why);
	return (good);
}

void
partitions_list_fini(struct partitions_list *list)
{
	mem_free(list->items);
	*list = (struct partitions_list) { 0 };
}

void
partitions_list_one(struct partitions_list *list, struct slice topic,
    int32_t partition)
{
	list->items = mem_zalloc(sizeof(*list->items));
	list->items[0].topic = topic;
	list->items[0].partition = partition;
	list->count = 1;
}
