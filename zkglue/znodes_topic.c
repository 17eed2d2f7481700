/* SPDX-License-Identifier: Apache-2.0 */
/* /brokers/topics/T, .../state, and the lists of partitions. */
#include "zkglue/znodes.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "zkglue/znodes_json_int.h"

/* --- /brokers/topics/T ---------------------------------------------------- */

enum replica_list { LIST_REPLICAS, LIST_ADDING, LIST_REMOVING };

static const char *const list_keys[] = {
	[LIST_REPLICAS] = "partitions",
	[LIST_ADDING] = "adding_replicas",
	[LIST_REMOVING] = "removing_replicas",
};

static void
list_put(struct buffer *out, const struct znode_topic *topic,
    enum replica_list which)
{
	const char *comma = "";

	buffer_printf(out, "\"%s\":{", list_keys[which]);
	for (size_t i = 0; i < topic->partition_count; i++) {
		const struct znode_assignment *p = topic->partitions + i;
		const int32_t *items = which == LIST_REPLICAS ? p->replicas
		    : which == LIST_ADDING ? p->adding : p->removing;
		int32_t count = which == LIST_REPLICAS ? p->replica_count
		    : which == LIST_ADDING ? p->adding_count
					   : p->removing_count;

		if (count == 0 && which != LIST_REPLICAS)
			continue;
		buffer_printf(out, "%s\"%" PRId32 "\":", comma, p->partition);
		znode_put_int32s(out, items, count);
		comma = ",";
	}
	buffer_append_text(out, "},");
}

/* The keys in the order in which Kafka 3.9 happens to write them. */
void
znode_topic_encode(const struct znode_topic *topic, struct buffer *out)
{
	char id[UUID_TEXT_SIZE];

	buffer_append_text(out, "{");
	list_put(out, topic, LIST_REPLICAS);
	if (!uuid_is_zero(topic->id)) {
		uuid_to_text(topic->id, id);
		buffer_printf(out, "\"topic_id\":\"%s\",", id);
	}
	list_put(out, topic, LIST_ADDING);
	list_put(out, topic, LIST_REMOVING);
	buffer_append_text(out, "\"version\":3}");
}

static int
assignment_compare(const void *a, const void *b)
{
	const struct znode_assignment *left = a;
	const struct znode_assignment *right = b;

	return ((left->partition > right->partition) -
	    (left->partition < right->partition));
}

static struct znode_assignment *
assignment_find(const struct znode_topic *topic, int32_t partition)
{
	struct znode_assignment key = { .partition = partition };

	return (bsearch(&key, topic->partitions, topic->partition_count,
	    sizeof(key), assignment_compare));
}

static bool
partitions_read(const json_t *map, struct arena *arena,
    struct znode_topic *out)
{
	struct znode_assignment *p;
	const char *key;
	json_t *value;

	if (!json_is_object(map))
		return (false);
	p = arena_array(arena, json_object_size(map), sizeof(*p));
	if (p == NULL)
		return (false);
	out->partitions = p;
	json_object_foreach((json_t *)(uintptr_t)map, key, value) {
		if (!text_to_int32(slice_of_text(key), &p->partition) ||
		    p->partition < 0 ||
		    !znode_int32s(value, arena, &p->replicas,
			&p->replica_count))
			return (false);
		p++;
		out->partition_count++;
	}
	qsort(out->partitions, out->partition_count,
	    sizeof(*out->partitions), assignment_compare);
	/* "1" and "01" are two keys and one partition. */
	for (size_t i = 1; i < out->partition_count; i++)
		if (out->partitions[i].partition ==
		    out->partitions[i - 1].partition)
			return (false);
	return (true);
}

/* Absent in version 1. A partition that the topic lacks is passed over. */
static bool
changes_read(const json_t *object, struct arena *arena,
    struct znode_topic *out, enum replica_list which)
{
	json_t *map = json_object_get(object, list_keys[which]);
	const char *key;
	json_t *value;

	if (map == NULL || json_is_null(map))
		return (true);
	if (!json_is_object(map))
		return (false);
	json_object_foreach(map, key, value) {
		struct znode_assignment *found;
		int32_t partition;
		int32_t *items;
		int32_t count;

		if (!text_to_int32(slice_of_text(key), &partition) ||
		    !znode_int32s(value, arena, &items, &count))
			return (false);
		found = assignment_find(out, partition);
		if (found == NULL)
			continue;
		if (which == LIST_ADDING) {
			found->adding = items;
			found->adding_count = count;
		} else {
			found->removing = items;
			found->removing_count = count;
		}
	}
	return (true);
}

static bool
topic_id_read(const json_t *object, struct uuid *out)
{
	const json_t *id = json_object_get(object, "topic_id");

	if (id == NULL || json_is_null(id))
		return (true);
	return (json_is_string(id) &&
	    uuid_from_text(slice_of(json_string_value(id),
		json_string_length(id)), out));
}

bool
znode_topic_decode(struct slice json, struct arena *arena,
    struct znode_topic *out)
{
	json_t *object = znode_json_open(json);
	bool ok;

	*out = (struct znode_topic){ .id = UUID_ZERO };
	if (object == NULL)
		return (false);
	ok = topic_id_read(object, &out->id) &&
	    partitions_read(json_object_get(object, "partitions"), arena,
		out) &&
	    changes_read(object, arena, out, LIST_ADDING) &&
	    changes_read(object, arena, out, LIST_REMOVING);
	json_decref(object);
	return (ok);
}

/* --- .../state ------------------------------------------------------------ */

void
znode_state_encode(const struct znode_state *state, struct buffer *out)
{
	buffer_printf(out,
	    "{\"controller_epoch\":%" PRId32 ",\"leader\":%" PRId32
	    ",\"version\":1,\"leader_epoch\":%" PRId32 ",\"isr\":",
	    state->controller_epoch, state->leader, state->leader_epoch);
	znode_put_int32s(out, state->isr, state->isr_count);
	if (state->recovering)
		buffer_append_text(out, ",\"leader_recovery_state\":1");
	buffer_append_text(out, "}");
}

bool
znode_state_decode(struct slice json, struct arena *arena,
    struct znode_state *out)
{
	json_t *object = znode_json_open(json);
	int32_t recovery = 0;
	bool ok;

	*out = (struct znode_state){ .leader = -1 };
	if (object == NULL)
		return (false);
	ok = znode_json_int32(object, "leader", &out->leader) &&
	    znode_json_int32(object, "leader_epoch", &out->leader_epoch) &&
	    znode_json_int32(object, "controller_epoch",
		&out->controller_epoch) &&
	    znode_int32s(json_object_get(object, "isr"), arena, &out->isr,
		&out->isr_count);
	if (json_object_get(object, "leader_recovery_state") != NULL)
		ok = ok && znode_json_int32(object, "leader_recovery_state",
			       &recovery) &&
		    (recovery == 0 || recovery == 1);
	out->recovering = recovery == 1;
	json_decref(object);
	return (ok);
}

/* --- lists of partitions -------------------------------------------------- */

void
znode_partitions_encode(const struct znode_partitions *partitions,
    bool with_replicas, struct buffer *out)
{
	buffer_append_text(out, "{\"version\":1,\"partitions\":[");
	for (size_t i = 0; i < partitions->count; i++) {
		const struct znode_topic_partition *p = partitions->items + i;

		buffer_append_text(out, i == 0 ? "{\"topic\":"
					       : ",{\"topic\":");
		znode_put_string(out, p->topic);
		buffer_printf(out, ",\"partition\":%" PRId32, p->partition);
		if (with_replicas) {
			buffer_append_text(out, ",\"replicas\":");
			znode_put_int32s(out, p->replicas, p->replica_count);
		}
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, "]}");
}

static bool
partition_read(const json_t *object, struct arena *arena,
    struct znode_topic_partition *out)
{
	const json_t *replicas = json_object_get(object, "replicas");

	return (znode_json_text(object, "topic", arena, &out->topic) &&
	    znode_json_int32(object, "partition", &out->partition) &&
	    (replicas == NULL ||
		znode_int32s(replicas, arena, &out->replicas,
		    &out->replica_count)));
}

bool
znode_partitions_decode(struct slice json, struct arena *arena,
    struct znode_partitions *out)
{
	json_t *object = znode_json_open(json);
	const json_t *list = json_object_get(object, "partitions");
	size_t count = json_array_size(list);
	bool ok = json_is_array(list);

	*out = (struct znode_partitions){ .count = 0 };
	if (ok) {
		out->items = arena_array(arena, count, sizeof(*out->items));
		ok = out->items != NULL;
	}
	for (size_t i = 0; ok && i < count; i++)
		ok = partition_read(json_array_get(list, i), arena,
		    out->items + i);
	out->count = ok ? count : 0;
	json_decref(object);
	return (ok);
}
