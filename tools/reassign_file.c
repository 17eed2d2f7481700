/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of `barnabas reassign-partitions`, as Kafka's tool writes and reads
 * them:
 *
 *	{"version":1,"partitions":[{"topic":"t","partition":0,
 *	    "replicas":[1,2],"log_dirs":["any","/data/a"]}]}
 *	{"version":1,"topics":[{"topic":"t"}]}
 */
#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/text.h"
#include "tools/reassign.h"

#define ANY_DIR "any"

/* --- order ---------------------------------------------------------------- */

static int
part_compare(const void *a, const void *b)
{
	const struct reassign_part *x = a;
	const struct reassign_part *y = b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

static int
dir_compare(const void *a, const void *b)
{
	const struct reassign_dir *x = a;
	const struct reassign_dir *y = b;
	const int order = slice_compare(x->topic, y->topic);

	if (x->broker != y->broker)
		return (x->broker < y->broker ? -1 : 1);
	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

static int
text_compare(const void *a, const void *b)
{
	return (slice_compare(*(const struct slice *)a,
	    *(const struct slice *)b));
}

static int
id_compare(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return ((x > y) - (x < y));
}

void
reassign_parts_sort(struct reassign_parts *parts)
{
	if (parts->count > 1)
		qsort(parts->items, parts->count, sizeof(*parts->items),
		    part_compare);
}

static void
dirs_sort(struct reassign_dirs *dirs)
{
	if (dirs->count > 1)
		qsort(dirs->items, dirs->count, sizeof(*dirs->items),
		    dir_compare);
}

const struct reassign_part *
reassign_part_find(const struct reassign_parts *parts, struct slice topic,
    int32_t partition)
{
	const struct reassign_part key = { .topic = topic,
		.partition = partition };

	return (parts->count == 0 ? NULL
				  : bsearch(&key, parts->items, parts->count,
		    sizeof(*parts->items), part_compare));
}

size_t
reassign_same_topic(const struct reassign_part *parts, size_t count)
{
	size_t same = 0;

	while (same < count && slice_equal(parts[same].topic, parts[0].topic))
		same++;
	return (same);
}

void
reassign_brokers_unite(struct reassign_brokers *brokers)
{
	size_t kept = 0;

	if (brokers->count > 1)
		qsort(brokers->ids, brokers->count, sizeof(*brokers->ids),
		    id_compare);
	for (size_t i = 0; i < brokers->count; i++)
		if (kept == 0 || brokers->ids[kept - 1] != brokers->ids[i])
			brokers->ids[kept++] = brokers->ids[i];
	brokers->count = kept;
}

/* --- JSON ----------------------------------------------------------------- */

static bool
int_of(const json_t *value, int32_t *out)
{
	const json_int_t number = json_integer_value(value);

	*out = (int32_t)number;
	return (json_is_integer(value) && number >= INT32_MIN &&
	    number <= INT32_MAX);
}

static bool
text_of(const json_t *value, struct arena *arena, struct slice *out)
{
	bool good = json_is_string(value);

	if (good)
		*out = arena_slice_copy(arena,
		    slice_of(json_string_value(value),
			json_string_length(value)),
		    &good);
	return (good);
}

/* The list of that name; absent, it is empty.  NULL: *why. */
static const json_t *
list_of(const json_t *root, const char *name, const json_t *empty,
    struct buffer *why)
{
	const json_t *version = json_object_get(root, "version");
	const json_t *list = json_object_get(root, name);
	int32_t number = 1;

	if (!json_is_object(root)) {
		buffer_append_text(why, "it is no object of JSON");
		return (NULL);
	}
	if (version != NULL && (!int_of(version, &number) || number != 1)) {
		buffer_append_text(why,
		    "its \"version\" is not 1: Not supported version field "
		    "value");
		return (NULL);
	}
	if (list == NULL)
		return (empty);
	if (!json_is_array(list)) {
		buffer_printf(why, "its \"%s\" is no list", name);
		return (NULL);
	}
	return (list);
}

/* A root of JSON and what is made of it. */
typedef bool root_reader(const json_t *list, struct arena *arena, void *out,
    struct buffer *why);

static bool
root_read(struct slice text, const char *name, root_reader *reader,
    struct arena *arena, void *out, struct buffer *why)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)text.data, text.length,
	    JSON_REJECT_DUPLICATES, &error);
	json_t *empty = json_array();
	const json_t *list = NULL;
	bool good = false;

	if (root == NULL)
		buffer_printf(why, "it is no JSON: line %d: %s", error.line,
		    error.text);
	else
		list = list_of(root, name, empty, why);
	if (list != NULL)
		good = reader(list, arena, out, why);
	json_decref(root);
	json_decref(empty);
	return (good);
}

/* --- partitions ----------------------------------------------------------- */

static bool
replicas_read(const json_t *list, struct arena *arena,
    struct reassign_part *part)
{
	const size_t count = json_array_size(list);

	part->replicas = arena_array(arena, count, sizeof(*part->replicas));
	CHECK(part->replicas != NULL);
	part->replica_count = (int32_t)count;
	for (size_t i = 0; i < count; i++)
		if (!int_of(json_array_get(list, i), &part->replicas[i]))
			return (false);
	return (json_is_array(list));
}

/* One for each replica; "any" is none. False: *why. */
static bool
dirs_read(const json_t *list, const struct reassign_part *part,
    struct arena *arena, struct reassign_dirs *dirs, struct buffer *why)
{
	if (!json_is_array(list)) {
		buffer_append_text(why, "\"log_dirs\" is no list");
		return (false);
	}
	if (json_array_size(list) != (size_t)part->replica_count) {
		buffer_printf(why,
		    "Size of replicas list (%d) is different from size of log "
		    "dirs list (%zu) for partition %.*s-%d",
		    part->replica_count, json_array_size(list),
		    SLICE_ARGS(part->topic), part->partition);
		return (false);
	}
	for (int32_t i = 0; i < part->replica_count; i++) {
		struct reassign_dir *dir = &dirs->items[dirs->count];

		*dir = (struct reassign_dir) {
			.topic = part->topic,
			.partition = part->partition,
			.broker = part->replicas[i],
		};
		if (!text_of(json_array_get(list, (size_t)i), arena,
			&dir->wanted)) {
			buffer_append_text(why,
			    "\"log_dirs\" has what is no text");
			return (false);
		}
		dirs->count += !slice_equal_text(dir->wanted, ANY_DIR);
	}
	return (true);
}

static bool
part_read(const json_t *object, struct arena *arena, struct reassign_part *part,
    struct buffer *why)
{
	if (!text_of(json_object_get(object, "topic"), arena, &part->topic)) {
		buffer_append_text(why, "no \"topic\" that is a text");
		return (false);
	}
	if (!int_of(json_object_get(object, "partition"), &part->partition)) {
		buffer_append_text(why, "no \"partition\" that is a number");
		return (false);
	}
	if (!replicas_read(json_object_get(object, "replicas"), arena, part)) {
		buffer_append_text(why,
		    "no \"replicas\" that are a list of brokers' ids");
		return (false);
	}
	return (true);
}

/* How many places all lists of replicas have. */
static size_t
replicas_counted(const json_t *list)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		count += json_array_size(json_object_get(
		    json_array_get(list, i), "replicas"));
	return (count);
}

static bool
parts_twice(const struct reassign_parts *parts, struct buffer *why)
{
	for (size_t i = 1; i < parts->count; i++)
		if (part_compare(&parts->items[i - 1], &parts->items[i]) ==
		    0) {
			buffer_printf(why,
			    "Partition reassignment contains duplicate topic "
			    "partitions: %.*s-%d",
			    SLICE_ARGS(parts->items[i].topic),
			    parts->items[i].partition);
			return (true);
		}
	return (false);
}

static bool
wanted_read(const json_t *list, struct arena *arena, void *result,
    struct buffer *why)
{
	struct reassign_wanted *out = result;
	const size_t count = json_array_size(list);

	out->parts.items = arena_array(arena, count,
	    sizeof(*out->parts.items));
	out->dirs.items = arena_array(arena, replicas_counted(list) + 1,
	    sizeof(*out->dirs.items));
	CHECK(out->parts.items != NULL && out->dirs.items != NULL);
	for (size_t i = 0; i < count; i++) {
		const json_t *object = json_array_get(list, i);
		const json_t *dirs = json_object_get(object, "log_dirs");
		struct reassign_part *part = &out->parts.items[i];

		if (!part_read(object, arena, part, why) ||
		    (dirs != NULL &&
			!dirs_read(dirs, part, arena, &out->dirs, why))) {
			buffer_printf(why, " (entry %zu)", i + 1);
			return (false);
		}
		out->parts.count++;
	}
	reassign_parts_sort(&out->parts);
	dirs_sort(&out->dirs);
	return (!parts_twice(&out->parts, why));
}

bool
reassign_parse(struct slice text, struct arena *arena,
    struct reassign_wanted *out, struct buffer *why)
{
	*out = (struct reassign_wanted) { 0 };
	return (root_read(text, "partitions", wanted_read, arena, out, why));
}

static bool
replica_twice(const struct reassign_part *part, int32_t *id)
{
	for (int32_t k = 1; k < part->replica_count; k++)
		for (int32_t j = 0; j < k; j++)
			if (part->replicas[j] == part->replicas[k]) {
				*id = part->replicas[k];
				return (true);
			}
	return (false);
}

bool
reassign_check(const struct reassign_wanted *wanted, struct buffer *why)
{
	int32_t id;

	if (wanted->parts.count == 0)
		buffer_append_text(why,
		    "Partition reassignment list cannot be empty");
	for (size_t i = 0; why->length == 0 && i < wanted->parts.count; i++) {
		const struct reassign_part *part = &wanted->parts.items[i];

		if (part->replica_count == 0)
			buffer_append_text(why,
			    "Partition replica list cannot be empty");
		else if (replica_twice(part, &id))
			buffer_printf(why,
			    "Partition replica lists may not contain "
			    "duplicate entries: %.*s-%d contains multiple "
			    "entries for %d",
			    SLICE_ARGS(part->topic), part->partition, id);
	}
	return (why->length == 0);
}

/* --- topics and brokers --------------------------------------------------- */

static bool
topics_read(const json_t *list, struct arena *arena, void *result,
    struct buffer *why)
{
	struct reassign_topics *out = result;
	const size_t count = json_array_size(list);

	out->items = arena_array(arena, count, sizeof(*out->items));
	CHECK(out->items != NULL);
	for (size_t i = 0; i < count; i++) {
		if (!text_of(json_object_get(json_array_get(list, i), "topic"),
			arena, &out->items[i])) {
			buffer_printf(why,
			    "no \"topic\" that is a text (entry %zu)", i + 1);
			return (false);
		}
		out->count++;
	}
	if (count > 1)
		qsort(out->items, count, sizeof(*out->items), text_compare);
	for (size_t i = 1; i < count; i++)
		if (slice_equal(out->items[i - 1], out->items[i])) {
			buffer_printf(why, "List of topics to reassign "
					   "contains duplicate entries: %.*s",
			    SLICE_ARGS(out->items[i]));
			return (false);
		}
	return (true);
}

bool
reassign_parse_topics(struct slice text, struct arena *arena,
    struct reassign_topics *out, struct buffer *why)
{
	*out = (struct reassign_topics) { 0 };
	return (root_read(text, "topics", topics_read, arena, out, why));
}

bool
reassign_parse_brokers(const char *text, struct arena *arena,
    struct reassign_brokers *out, struct buffer *why)
{
	struct slice rest = slice_of_text(text);
	size_t count;

	*out = (struct reassign_brokers) { 0 };
	out->ids = arena_array(arena, rest.length + 1, sizeof(*out->ids));
	CHECK(out->ids != NULL);
	while (rest.data != NULL) {
		const struct slice one = text_cut(rest, ',', &rest);

		if (!text_to_int32(one, &out->ids[out->count++])) {
			buffer_printf(why, "\"%.*s\" is no broker's id",
			    SLICE_ARGS(one));
			return (false);
		}
	}
	count = out->count;
	reassign_brokers_unite(out);
	if (out->count != count)
		buffer_append_text(why, "Broker list contains duplicate "
					"entries");
	return (out->count == count);
}
