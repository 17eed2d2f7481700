/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OffsetFetch: what a group has committed, of the partitions that are named or
 * of all.  A group that is not there has committed nothing.
 *
 * Answered in one turn, also of all: what one group has committed is the least
 * that must be told at once to be what it had at one moment, as Kafka tells it;
 * and it takes as long to encode.
 */
#include "base/twins.h"
#include "group/offsets_int.h"

struct offset_look {
	struct group *group; /* NULL: none */
	bool require_stable;
	struct arena *arena;
	bool refused; /* the arena's bound */
};

static void
look_fill(struct offset_look *look, const struct offset_slot *slot,
    struct offset_fetch_response_group_partition *out)
{
	struct group_offset offset;
	bool ok = true;

	out->committed_offset = -1;
	out->committed_leader_epoch = -1;
	out->metadata = SLICE_EMPTY;
	if (slot == NULL)
		return;
	if (look->require_stable && slot->holds > 0) {
		out->error_code = ERR_UNSTABLE_OFFSET_COMMIT;
		return;
	}
	if (!slot->present)
		return;
	offset_slot_read(slot, &offset);
	out->committed_offset = offset.offset;
	out->committed_leader_epoch = offset.leader_epoch;
	if (offset.metadata.length != 0)
		out->metadata = arena_slice_copy(look->arena, offset.metadata,
		    &ok);
	look->refused |= !ok;
}

/* --- all ------------------------------------------------------------------ */

static void
look_block(struct offset_look *look, const struct slot_block *block,
    struct offset_fetch_response_group_topic *out)
{
	for (uint32_t i = 0; i < block->count; i++) {
		const struct offset_slot *slot = &block->slots[i];

		if (!slot->present)
			continue;
		out->partitions[out->partitions_count].partition_index =
		    slot->partition;
		look_fill(look, slot,
		    &out->partitions[out->partitions_count++]);
	}
}

/* `count` entries of one topic. */
static void
look_topic(struct offset_look *look, const struct topic_offsets *from,
    uint32_t count, struct offset_fetch_response_group_topic *out)
{
	size_t slots = 0;
	bool ok = true;

	for (uint32_t i = 0; i < count; i++)
		slots += from[i].block->count;
	out->name = arena_slice_copy(look->arena,
	    group_topic_name(from->topic), &ok);
	out->partitions = wire_array(look->arena,
	    offset_fetch_response_group_partition_schema(), slots);
	if (!ok || out->partitions == NULL) {
		look->refused = true;
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		look_block(look, from[i].block, out);
}

static void
look_all(struct offset_look *look, struct offset_fetch_response_group *out)
{
	const struct group_offsets *offsets = look->group == NULL ? NULL :
	    look->group->offsets;
	const uint32_t count = offsets == NULL ? 0 : offsets->count;
	uint32_t n;

	out->topics = wire_array(look->arena,
	    offset_fetch_response_group_topic_schema(), count);
	look->refused = out->topics == NULL;
	for (uint32_t i = 0; !look->refused && i < count; i += n) {
		const struct topic_offsets *from = &offsets->topics[i];
		struct offset_fetch_response_group_topic *topic =
		    &out->topics[out->topics_count];

		for (n = 1; i + n < count && from[n].topic == from->topic;)
			n++;
		look_topic(look, from, n, topic);
		if (topic->partitions_count > 0)
			out->topics_count++;
	}
}

/* --- those that are named ------------------------------------------------- */

struct named {
	size_t count;
	struct slice *topics;
	int32_t *partitions;
	const struct twin_ends *same;  /* topic and partition */
	const struct twin_ends *topic; /* topic */
};

static bool
named_list(struct named *named,
    const struct offset_fetch_request_group *request, struct arena *arena)
{
	size_t i = 0;

	for (int32_t t = 0; t < request->topics_count; t++)
		named->count +=
		    (size_t)request->topics[t].partition_indexes_count;
	named->topics = arena_array(arena, named->count,
	    sizeof(*named->topics));
	named->partitions = arena_array(arena, named->count,
	    sizeof(*named->partitions));
	if (named->topics == NULL || named->partitions == NULL)
		return (false);
	for (int32_t t = 0; t < request->topics_count; t++)
		for (int32_t p = 0;
		    p < request->topics[t].partition_indexes_count; p++) {
			named->topics[i] = request->topics[t].name;
			named->partitions[i++] =
			    request->topics[t].partition_indexes[p];
		}
	return (true);
}

static const struct twin_ends *
named_twins(const struct named *named, bool partitions, struct arena *arena)
{
	struct twin *twins = arena_array(arena, named->count, sizeof(*twins));

	if (twins == NULL)
		return (NULL);
	for (size_t i = 0; i < named->count; i++)
		twins[i] = (struct twin){ .name = named->topics[i],
			.number = partitions ? named->partitions[i] : 0 };
	return (twins_find(arena, twins, named->count));
}

/* What is answered of a topic, however often it is named. */
struct named_row {
	int32_t row;
	int32_t count;
};

static struct named_row *
named_rows(const struct named *named, struct arena *arena)
{
	struct named_row *rows = arena_array(arena, named->count,
	    sizeof(*rows));

	for (size_t i = 0; rows != NULL && i < named->count; i++)
		rows[named->topic[i].first].count++;
	return (rows);
}

static bool
look_rows(struct offset_look *look, const struct named *named,
    struct named_row *rows, struct offset_fetch_response_group *out)
{
	for (size_t i = 0; i < named->count; i++) {
		struct named_row *row = &rows[named->topic[i].first];
		struct offset_fetch_response_group_topic *topic;
		struct offset_fetch_response_group_partition *part;

		if (named->topic[i].first == i) {
			row->row = out->topics_count++;
			topic = &out->topics[row->row];
			topic->name = named->topics[i];
			topic->partitions = wire_array(look->arena,
			    offset_fetch_response_group_partition_schema(),
			    (size_t)row->count);
			if (topic->partitions == NULL)
				return (false);
		}
		if (named->same[i].first != i)
			continue;
		topic = &out->topics[row->row];
		part = &topic->partitions[topic->partitions_count++];
		part->partition_index = named->partitions[i];
		look_fill(look, look->group == NULL ? NULL :
		    group_offset_find(look->group, named->topics[i],
			part->partition_index), part);
	}
	return (!look->refused);
}

static bool
look_named(struct offset_look *look,
    const struct offset_fetch_request_group *request,
    struct offset_fetch_response_group *out)
{
	struct named named = { 0 };
	struct named_row *rows;

	if (!named_list(&named, request, look->arena))
		return (false);
	named.same = named_twins(&named, true, look->arena);
	named.topic = named_twins(&named, false, look->arena);
	if (named.same == NULL || named.topic == NULL)
		return (false);
	rows = named_rows(&named, look->arena);
	out->topics = wire_array(look->arena,
	    offset_fetch_response_group_topic_schema(), named.count);
	return (rows != NULL && out->topics != NULL &&
	    look_rows(look, &named, rows, out));
}

bool
group_fetch_offsets(struct groups *groups,
    const struct offset_fetch_request_group *request, bool require_stable,
    struct offset_fetch_response_group *out, struct group_ask *ask)
{
	struct offset_look look = { .require_stable = require_stable,
		.arena = ask->arena };
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, request->group_id,
	    true, &error);

	out->group_id = request->group_id;
	out->error_code = (int16_t)error;
	if (shard == NULL)
		return (true);
	look.group = group_find(shard, request->group_id);
	if (request->topics == NULL)
		look_all(&look, out);
	else
		look.refused |= !look_named(&look, request, out);
	ask->refused = look.refused;
	return (true);
}
