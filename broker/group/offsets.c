/* SPDX-License-Identifier: Apache-2.0 */
#include "group/offsets_int.h"

#include "base/mem.h"
#include "metrics/metrics.h"

/* --- topics' names -------------------------------------------------------- */

struct group_topic *
group_topic_find(const struct group_shard *shard, struct slice name)
{
	struct hash_node *node = hash_find(&shard->topics, name.data,
	    name.length);

	return (node == NULL ? NULL :
	    container_of(node, struct group_topic, node));
}

static struct group_topic *
topic_make(struct group_shard *shard, struct slice name)
{
	struct group_topic *topic = mem_zalloc(sizeof(*topic) + name.length);

	topic->serial = shard->serial++;
	topic->length = (uint32_t)name.length;
	if (name.length != 0)
		memcpy(topic->name, name.data, name.length);
	hash_insert(&shard->topics, &topic->node, topic->name, name.length);
	return (topic);
}

struct group_topic *
group_topic_take(struct group_shard *shard, struct slice name)
{
	struct group_topic *topic = group_topic_find(shard, name);

	if (topic == NULL)
		topic = topic_make(shard, name);
	topic->references++;
	return (topic);
}

void
group_topic_let_go(struct group_shard *shard, struct group_topic *topic)
{
	if (--topic->references != 0)
		return;
	hash_remove(&shard->topics, &topic->node);
	mem_free(topic);
}

/* --- a group's topics ----------------------------------------------------- */

/* By half at least, and by one from the start: most topics stay small. */
static uint32_t
grown(uint32_t capacity)
{
	return (capacity + capacity / 2 + 1);
}

/* How many entries begin at or below a topic's partition. */
static uint32_t
entries_upto(const struct group_offsets *offsets, uintptr_t topic,
    int64_t partition)
{
	uint32_t low = 0, high = offsets->count;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		const struct topic_offsets *at = &offsets->topics[middle];

		if ((uintptr_t)at->topic < topic ||
		    ((uintptr_t)at->topic == topic &&
			at->block->slots[0].partition <= partition))
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

/* The one that a partition is in, or would be. NULL: the group has nothing of
 * the topic. Valid until slots come or go. */
static struct topic_offsets *
entry_of(const struct group *group, const struct group_topic *topic,
    int64_t partition)
{
	const struct group_offsets *offsets = group->offsets;
	const uint32_t upto = entries_upto(offsets, (uintptr_t)topic,
	    partition);

	if (upto > 0 && offsets->topics[upto - 1].topic == topic)
		return (&offsets->topics[upto - 1]);
	return (upto < offsets->count && offsets->topics[upto].topic == topic ?
	    &offsets->topics[upto] : NULL);
}

/* Its block is empty yet: nobody may look for one before it has a slot. */
static struct topic_offsets *
entries_insert(struct group *group, uint32_t place, struct group_topic *topic)
{
	struct group_offsets *offsets = group->offsets;
	struct topic_offsets *at;

	if (offsets->count == offsets->capacity) {
		offsets->capacity = grown(offsets->capacity);
		offsets->topics = mem_realloc(offsets->topics,
		    offsets->capacity * sizeof(*offsets->topics));
	}
	at = &offsets->topics[place];
	memmove(at + 1, at, (offsets->count - place) * sizeof(*at));
	offsets->count++;
	at->topic = topic;
	at->block = mem_zalloc(sizeof(*at->block));
	topic->references++;
	return (at);
}

static void
entries_remove(struct group *group, struct topic_offsets *at)
{
	struct group_offsets *offsets = group->offsets;
	const size_t place = (size_t)(at - offsets->topics);

	group_topic_let_go(group->shard, at->topic);
	mem_free(at->block);
	offsets->count--;
	memmove(at, at + 1, (offsets->count - place) * sizeof(*at));
}

/* --- a topic's slots ------------------------------------------------------ */

static uint32_t
slots_place(const struct slot_block *block, int64_t partition)
{
	uint32_t low = 0, high = block->count;

	/* They are mostly met in their order. */
	if (high > 0 && block->slots[high - 1].partition < partition)
		return (high);
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (block->slots[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

static struct offset_slot *
slots_find(struct slot_block *block, int32_t partition)
{
	const uint32_t place = slots_place(block, partition);

	return (place < block->count &&
	    block->slots[place].partition == partition ? &block->slots[place] :
							 NULL);
}

static void
block_resize(struct topic_offsets *at, uint32_t capacity)
{
	at->block = mem_realloc(at->block, sizeof(*at->block) +
	    capacity * sizeof(at->block->slots[0]));
	at->block->capacity = capacity;
}

/* A full block makes room: for a slot at one of its ends by a block beside it,
 * so that those that come in order leave full ones behind, else by half.  The
 * entry that the slot goes to. */
static struct topic_offsets *
block_split(struct group *group, struct topic_offsets *at, uint32_t place)
{
	const uint32_t index = (uint32_t)(at - group->offsets->topics);
	const uint32_t half = at->block->count / 2;
	struct topic_offsets *behind;

	if (place == 0)
		return (entries_insert(group, index, at->topic));
	behind = entries_insert(group, index + 1, at->topic);
	if (place == OFFSET_SLOTS_MAX)
		return (behind);
	at = behind - 1;
	behind->block->count = at->block->count - half;
	block_resize(behind, behind->block->count);
	memcpy(behind->block->slots, at->block->slots + half,
	    behind->block->count * sizeof(at->block->slots[0]));
	at->block->count = half;
	block_resize(at, half);
	return (place <= half ? at : behind);
}

static struct offset_slot *
slots_insert(struct group *group, struct topic_offsets **entry,
    int32_t partition)
{
	struct topic_offsets *at = *entry;
	uint32_t place = slots_place(at->block, partition);
	uint32_t capacity = grown(at->block->capacity);
	struct offset_slot *slot;

	if (at->block->count == OFFSET_SLOTS_MAX) {
		*entry = at = block_split(group, at, place);
		place = slots_place(at->block, partition);
		capacity = grown(at->block->capacity);
	}
	if (at->block->count == at->block->capacity)
		block_resize(at, capacity < OFFSET_SLOTS_MAX ? capacity :
			OFFSET_SLOTS_MAX);
	slot = &at->block->slots[place];
	memmove(slot + 1, slot, (at->block->count - place) * sizeof(*slot));
	at->block->count++;
	group->offsets->slot_count++;
	*slot = (struct offset_slot){ .log_offset = -1,
		.partition = partition };
	return (slot);
}

static void
slots_remove(struct group *group, struct topic_offsets *at,
    struct offset_slot *slot)
{
	const size_t place = (size_t)(slot - at->block->slots);

	at->block->count--;
	group->offsets->slot_count--;
	memmove(slot, slot + 1, (at->block->count - place) * sizeof(*slot));
	if (at->block->count == 0)
		entries_remove(group, at);
}

struct offset_slot *
group_offset_find(const struct group *group, struct slice topic,
    int32_t partition)
{
	const struct group_topic *name = group_topic_find(group->shard, topic);
	struct topic_offsets *at = name == NULL ? NULL :
	    entry_of(group, name, partition);

	return (at == NULL ? NULL : slots_find(at->block, partition));
}

static struct offset_slot *
slot_make(struct group *group, struct slice topic, int32_t partition,
    struct topic_offsets **at)
{
	struct group_topic *name = group_topic_find(group->shard, topic);
	struct offset_slot *slot;

	if (name == NULL)
		name = topic_make(group->shard, topic);
	*at = entry_of(group, name, partition);
	if (*at == NULL)
		*at = entries_insert(group, entries_upto(group->offsets,
		    (uintptr_t)name, partition), name);
	slot = slots_find((*at)->block, partition);
	return (slot != NULL ? slot : slots_insert(group, at, partition));
}

void
offset_place_begin(struct offset_place *place, const struct group_shard *shard)
{
	*place = (struct offset_place){
		.partition = INT64_MIN,
		.until = shard->serial,
	};
}

const struct offset_slot *
offset_place_next(struct offset_place *place, const struct group *group,
    struct group_topic **topic)
{
	const struct group_offsets *offsets = group->offsets;
	uint32_t i = entries_upto(offsets, place->topic, place->partition);

	/* The last of them may have more behind the place. */
	for (i -= i > 0; i < offsets->count; i++) {
		const struct topic_offsets *at = &offsets->topics[i];
		uint32_t slot;

		if ((uintptr_t)at->topic < place->topic)
			continue;
		if ((uintptr_t)at->topic != place->topic) {
			place->topic = (uintptr_t)at->topic;
			place->partition = INT64_MIN;
		}
		if (at->topic->serial >= place->until)
			continue;
		slot = slots_place(at->block, place->partition + 1);
		if (slot == at->block->count)
			continue;
		place->partition = at->block->slots[slot].partition;
		*topic = at->topic;
		return (&at->block->slots[slot]);
	}
	return (NULL);
}

/* --- what is in a slot ---------------------------------------------------- */

void
offset_slot_read(const struct offset_slot *slot, struct group_offset *out)
{
	*out = (struct group_offset){
		.offset = slot->offset,
		.leader_epoch = slot->leader_epoch,
		.metadata = SLICE_EMPTY,
		.commit_ms = slot->commit_ms,
		.expire_ms = -1,
	};
	if (slot->extra != NULL) {
		out->metadata = slice_of(slot->extra->metadata,
		    slot->extra->length);
		out->expire_ms = slot->extra->expire_ms;
	}
}

/* The memory is kept where the size is the same, as it mostly is. */
static void
slot_set_extra(struct offset_slot *slot, const struct group_offset *offset)
{
	const size_t length = offset->metadata.length;

	if (length == 0 && offset->expire_ms == -1) {
		mem_free(slot->extra);
		slot->extra = NULL;
		return;
	}
	if (slot->extra == NULL || slot->extra->length != length)
		slot->extra = mem_realloc(slot->extra,
		    sizeof(*slot->extra) + length);
	slot->extra->expire_ms = offset->expire_ms;
	slot->extra->length = (uint32_t)length;
	if (length != 0)
		memcpy(slot->extra->metadata, offset->metadata.data, length);
}

static void
group_count_present(struct group *group, int change)
{
	group->offsets->present_count += (uint32_t)change;
	group->shard->offset_count += (size_t)change;
	metrics_add(group->shard->groups->setup.metrics, METRIC_GROUP_OFFSETS,
	    change);
}

static void
slot_put(struct group *group, struct offset_slot *slot,
    const struct group_offset *offset, int64_t log_offset)
{
	slot->offset = offset->offset;
	slot->commit_ms = offset->commit_ms;
	slot->leader_epoch = offset->leader_epoch;
	slot->log_offset = log_offset;
	slot_set_extra(slot, offset);
	if (!slot->present)
		group_count_present(group, 1);
	slot->present = true;
}

void
group_offset_put(struct group *group, struct slice topic, int32_t partition,
    const struct group_offset *offset, int64_t log_offset)
{
	struct topic_offsets *at;
	struct offset_slot *slot = slot_make(group, topic, partition, &at);

	if (log_offset > slot->log_offset)
		slot_put(group, slot, offset, log_offset);
}

void
group_offset_put_ended(struct group *group, struct slice topic,
    int32_t partition, const struct group_offset *offset, int64_t log_offset)
{
	struct topic_offsets *at;
	struct offset_slot *slot = slot_make(group, topic, partition, &at);

	if (!slot->present || log_offset > slot->log_offset)
		slot_put(group, slot, offset, log_offset);
}

void
group_offset_drop(struct group *group, struct slice topic, int32_t partition,
    int64_t log_offset)
{
	struct group_topic *name = group_topic_find(group->shard, topic);
	struct topic_offsets *at = name == NULL ? NULL :
	    entry_of(group, name, partition);
	struct offset_slot *slot = at == NULL ? NULL :
	    slots_find(at->block, partition);

	if (slot == NULL || log_offset <= slot->log_offset)
		return;
	slot->log_offset = log_offset;
	mem_free(slot->extra);
	slot->extra = NULL;
	if (slot->present)
		group_count_present(group, -1);
	slot->present = false;
	if (slot->holds == 0)
		slots_remove(group, at, slot);
}

struct group_topic *
group_offset_hold(struct group *group, struct slice topic, int32_t partition)
{
	struct topic_offsets *at;

	slot_make(group, topic, partition, &at)->holds++;
	return (at->topic);
}

void
group_offset_release(struct group *group, struct group_topic *topic,
    int32_t partition)
{
	struct topic_offsets *at = entry_of(group, topic, partition);
	struct offset_slot *slot;

	CHECK(at != NULL);
	slot = slots_find(at->block, partition);
	CHECK(slot != NULL && slot->holds > 0);
	if (--slot->holds == 0 && !slot->present)
		slots_remove(group, at, slot);
}

/* --- all of a group's ----------------------------------------------------- */

void
group_offsets_init(struct group *group)
{
	group->offsets = mem_zalloc(sizeof(*group->offsets));
}

void
group_offsets_fini(struct group *group)
{
	struct group_offsets *offsets = group->offsets;

	if (offsets == NULL)
		return;
	group_count_present(group, -(int)offsets->present_count);
	for (uint32_t i = 0; i < offsets->count; i++) {
		struct slot_block *block = offsets->topics[i].block;

		for (uint32_t j = 0; j < block->count; j++)
			mem_free(block->slots[j].extra);
		mem_free(block);
		group_topic_let_go(group->shard, offsets->topics[i].topic);
	}
	mem_free(offsets->topics);
	mem_free(offsets);
	group->offsets = NULL;
}

void
group_offsets_trim(struct group *group)
{
	struct group_offsets *offsets = group->offsets;

	for (uint32_t i = 0; i < offsets->count; i++)
		if (offsets->topics[i].block->count <
		    offsets->topics[i].block->capacity)
			block_resize(&offsets->topics[i],
			    offsets->topics[i].block->count);
	if (offsets->count < offsets->capacity && offsets->count > 0) {
		offsets->capacity = offsets->count;
		offsets->topics = mem_realloc(offsets->topics,
		    offsets->capacity * sizeof(*offsets->topics));
	}
}
