/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets that producers committed in transactions, by producer id, until the
 * marker comes.  Each item holds its slot, which so is unstable to those who
 * ask for stable offsets.  A long transaction may commit the same partition
 * again and again: before a list grows, what was overtaken goes out of it.
 */
#include "group/offsets_int.h"

#include <stdlib.h>

#include "base/mem.h"

#define ITEMS_MIN 8

struct pending_item {
	struct group *group;
	struct group_topic *topic;
	char *metadata;
	struct group_offset offset;
	int64_t log_offset;
	int32_t partition;
};

struct pending_producer {
	struct hash_node node;
	int64_t id;
	struct pending_item *items; /* ascending by log_offset */
	size_t count;
	size_t capacity;
};

static struct pending_producer *
pending_of(const struct group_shard *shard, int64_t producer_id)
{
	struct hash_node *node = hash_find(&shard->producers, &producer_id,
	    sizeof(producer_id));

	return (node == NULL ? NULL :
	    container_of(node, struct pending_producer, node));
}

static void
pending_item_let_go(struct pending_item *item)
{
	group_offset_release(item->group, item->topic, item->partition);
	mem_free(item->metadata);
}

static bool
pending_same(const struct pending_item *a, const struct pending_item *b)
{
	return (a->group == b->group && a->topic == b->topic &&
	    a->partition == b->partition);
}

/* By slot, the newest first. */
static int
pending_by_slot(const void *x, const void *y)
{
	const struct pending_item *a = x, *b = y;

	if (a->group != b->group)
		return ((uintptr_t)a->group < (uintptr_t)b->group ? -1 : 1);
	if (a->topic != b->topic)
		return ((uintptr_t)a->topic < (uintptr_t)b->topic ? -1 : 1);
	if (a->partition != b->partition)
		return (a->partition < b->partition ? -1 : 1);
	return ((a->log_offset < b->log_offset) -
	    (a->log_offset > b->log_offset));
}

static int
pending_by_log(const void *x, const void *y)
{
	const struct pending_item *a = x, *b = y;

	return ((a->log_offset > b->log_offset) -
	    (a->log_offset < b->log_offset));
}

static void
pending_drop_overtaken(struct pending_producer *producer)
{
	size_t kept = 0;

	qsort(producer->items, producer->count, sizeof(*producer->items),
	    pending_by_slot);
	for (size_t i = 0; i < producer->count; i++)
		if (kept > 0 && pending_same(&producer->items[kept - 1],
				    &producer->items[i]))
			pending_item_let_go(&producer->items[i]);
		else
			producer->items[kept++] = producer->items[i];
	producer->count = kept;
	qsort(producer->items, producer->count, sizeof(*producer->items),
	    pending_by_log);
}

static void
pending_make_room(struct pending_producer *producer)
{
	if (producer->count < producer->capacity)
		return;
	if (producer->count > 0)
		pending_drop_overtaken(producer);
	if (producer->count <= producer->capacity / 2 && producer->count > 0)
		return;
	producer->capacity = producer->capacity == 0 ? ITEMS_MIN :
						       producer->capacity * 2;
	producer->items = mem_realloc(producer->items,
	    producer->capacity * sizeof(*producer->items));
}

/* What the tombstone names does not count. */
static void
pending_forget(struct pending_producer *producer, const struct group *group,
    const struct group_key *key)
{
	size_t kept = 0;

	for (size_t i = 0; i < producer->count; i++) {
		struct pending_item *item = &producer->items[i];

		if (item->group == group && item->partition == key->partition &&
		    slice_equal(group_topic_name(item->topic), key->topic))
			pending_item_let_go(item);
		else
			producer->items[kept++] = *item;
	}
	producer->count = kept;
}

static void
pending_free(struct group_shard *shard, struct pending_producer *producer)
{
	hash_remove(&shard->producers, &producer->node);
	mem_free(producer->items);
	mem_free(producer);
}

void
group_pending_forget(const struct group *group, const struct group_key *key)
{
	struct group_shard *shard = group->shard;

	HASH_EACH(node, &shard->producers) {
		struct pending_producer *producer = container_of(node,
		    struct pending_producer, node);

		pending_forget(producer, group, key);
		if (producer->count == 0)
			pending_free(shard, producer);
	}
}

size_t
group_pending_holds(const struct group *group, const struct group_topic *topic,
    int32_t partition)
{
	size_t count = 0;

	HASH_EACH(node, &group->shard->producers) {
		const struct pending_producer *producer = container_of(node,
		    struct pending_producer, node);

		for (size_t i = 0; i < producer->count; i++)
			count += producer->items[i].group == group &&
			    (topic == NULL ||
				(producer->items[i].topic == topic &&
				    producer->items[i].partition ==
					partition));
	}
	return (count);
}

static struct pending_producer *
pending_make(struct group_shard *shard, int64_t producer_id)
{
	struct pending_producer *producer = mem_zalloc(sizeof(*producer));

	producer->id = producer_id;
	hash_insert(&shard->producers, &producer->node, &producer->id,
	    sizeof(producer->id));
	return (producer);
}

void
group_pending_add(struct group_shard *shard, int64_t producer_id,
    const struct group_key *key, const struct group_offset *offset,
    int64_t log_offset)
{
	struct pending_producer *producer = pending_of(shard, producer_id);
	struct group *group = group_find(shard, key->group);
	struct pending_item *item;

	if (offset == NULL) {
		if (producer != NULL && group != NULL)
			pending_forget(producer, group, key);
		return;
	}
	if (group == NULL)
		group = group_make(shard, key->group);
	if (producer == NULL)
		producer = pending_make(shard, producer_id);
	pending_make_room(producer);
	item = &producer->items[producer->count++];
	*item = (struct pending_item){
		.group = group,
		.topic = group_offset_hold(group, key->topic, key->partition),
		.metadata = group_text(offset->metadata),
		.offset = *offset,
		.log_offset = log_offset,
		.partition = key->partition,
	};
	item->offset.metadata.data = (const uint8_t *)item->metadata;
}

void
group_pending_end(struct group_shard *shard, int64_t producer_id, bool commit)
{
	struct pending_producer *producer = pending_of(shard, producer_id);

	if (producer == NULL)
		return;
	for (size_t i = 0; i < producer->count; i++) {
		struct pending_item *item = &producer->items[i];

		if (commit)
			group_offset_put_ended(item->group,
			    group_topic_name(item->topic), item->partition,
			    &item->offset, item->log_offset);
		pending_item_let_go(item);
	}
	pending_free(shard, producer);
}

size_t
group_pending_drop(struct group_shard *shard)
{
	struct hash_node *node = shard->producers.first;
	struct pending_producer *producer;
	size_t cost;

	if (node == NULL)
		return (0);
	producer = container_of(node, struct pending_producer, node);
	cost = 1 + producer->count;
	group_pending_end(shard, producer->id, false);
	return (cost);
}
