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
#include "base/mem.h"
#include "base/text.h"
#include "tools/reassign.h"

#define ANY_DIR "any"
#define NO_TOPIC "no \"topic\" that is a text"
/* Twice what a cluster with ZooKeeper carries; all that is made of so much
 * fits into the arena of a client. */
#define PARTITIONS_MAX ((size_t)400000)
#define REPLICAS_MAX ((size_t)2000000)

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

#define TOO_LARGE "it is too large"

/* False: *why; `none` when it is no text. */
static bool
text_of(const json_t *value, const char *none, struct arena *arena,
    struct slice *out, struct buffer *why)
{
	bool good = true;

	if (!json_is_string(value)) {
		buffer_append_text(why, none);
		return (false);
	}
	*out = arena_slice_copy(arena,
	    slice_of(json_string_value(value), json_string_length(value)),
	    &good);
	if (!good)
		buffer_append_text(why, TOO_LARGE);
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

/* False: *why. */
static bool
count_fits(const char *what, size_t count, size_t most, struct buffer *why)
{
	if (count > most)
		buffer_printf(why, "it has %zu %s, of which %zu at once are "
				   "possible; cut it into several files",
		    count, what, most);
	return (count <= most);
}

/* NULL: *why. */
static void *
room_for(struct arena *arena, size_t count, size_t size, struct buffer *why)
{
	void *room = arena_array(arena, count, size);

	if (room == NULL)
		buffer_append_text(why, TOO_LARGE);
	return (room);
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
    struct reassign_part *part, struct buffer *why)
{
	const size_t count = json_array_size(list);
	bool good = json_is_array(list);

	part->replicas =
	    room_for(arena, count, sizeof(*part->replicas), why);
	if (part->replicas == NULL)
		return (false);
	part->replica_count = (int32_t)count;
	for (size_t i = 0; good && i < count; i++)
		good = int_of(json_array_get(list, i), &part->replicas[i]);
	if (!good)
		buffer_append_text(why,
		    "no \"replicas\" that are a list of brokers' ids");
	return (good);
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
		if (!text_of(json_array_get(list, (size_t)i),
			"\"log_dirs\" has what is no text", arena,
			&dir->wanted, why))
			return (false);
		dirs->count += !slice_equal_text(dir->wanted, ANY_DIR);
	}
	return (true);
}

static bool
part_read(const json_t *object, struct arena *arena, struct reassign_part *part,
    struct buffer *why)
{
	if (!text_of(json_object_get(object, "topic"), NO_TOPIC, arena,
		&part->topic, why))
		return (false);
	if (!int_of(json_object_get(object, "partition"), &part->partition)) {
		buffer_append_text(why, "no \"partition\" that is a number");
		return (false);
	}
	return (replicas_read(json_object_get(object, "replicas"), arena, part,
	    why));
}

/* How many places all lists of that name have. */
static size_t
places_counted(const json_t *list, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		count += json_array_size(json_object_get(
		    json_array_get(list, i), name));
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

/* Room for all: as many directories as there are replicas, else dirs_read()
 * refuses them. */
static bool
wanted_fits(const json_t *list, struct arena *arena,
    struct reassign_wanted *out, struct buffer *why)
{
	const size_t count = json_array_size(list);
	const size_t dirs = places_counted(list, "log_dirs");

	if (!count_fits("partitions", count, PARTITIONS_MAX, why) ||
	    !count_fits("replicas", places_counted(list, "replicas"),
		REPLICAS_MAX, why) ||
	    !count_fits("log directories", dirs, REPLICAS_MAX, why))
		return (false);
	out->parts.items =
	    room_for(arena, count, sizeof(*out->parts.items), why);
	if (out->parts.items == NULL)
		return (false);
	out->dirs.items =
	    room_for(arena, dirs + 1, sizeof(*out->dirs.items), why);
	return (out->dirs.items != NULL);
}

static bool
wanted_read(const json_t *list, struct arena *arena, void *result,
    struct buffer *why)
{
	struct reassign_wanted *out = result;
	const size_t count = json_array_size(list);

	if (!wanted_fits(list, arena, out, why))
		return (false);
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
	const size_t count = (size_t)part->replica_count;
	int32_t *sorted = mem_alloc((count + 1) * sizeof(*sorted));
	bool twice = false;

	for (size_t i = 0; i < count; i++)
		sorted[i] = part->replicas[i];
	if (count > 1)
		qsort(sorted, count, sizeof(*sorted), id_compare);
	for (size_t i = 1; !twice && i < count; i++) {
		twice = sorted[i - 1] == sorted[i];
		*id = sorted[i];
	}
	mem_free(sorted);
	return (twice);
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

	if (!count_fits("topics", count, PARTITIONS_MAX, why))
		return (false);
	out->items = room_for(arena, count, sizeof(*out->items), why);
	if (out->items == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		if (!text_of(json_object_get(json_array_get(list, i), "topic"),
			NO_TOPIC, arena, &out->items[i], why)) {
			buffer_printf(why, " (entry %zu)", i + 1);
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

	/* Java's split() drops what is empty at the end. */
	while (rest.length > 1 && rest.data[rest.length - 1] == ',')
		rest.length--;
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
