/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes offsets and groups go: OffsetDelete, DeleteGroups, topics that are
 * gone (gone.c), and age (retention.c).  All write tombstones first, a batch
 * after another, and what the log has taken is gone from memory; a group that
 * is EMPTY and has no offsets left goes too, with a tombstone of its own where
 * there is a record of it.  What is committed between two batches is newer than
 * all of them, and stays.
 *
 * Tombstones wait for no replicas, as Kafka's: so they are also taken where
 * commits are refused for want of them.
 */
#include "base/diag.h"
#include "base/mem.h"
#include "group/remove_int.h"

/* A batch ends behind the entry that passes it; entries are small. */
#define REMOVE_BATCH_BYTES ((size_t)256 << 10)
#define REMOVE_BATCH_ENTRIES 4096
#define REMOVE_ACKS 1

static void removal_done(struct group_write *w);

struct group_write *
group_removal_new(struct group *group, size_t count, struct group_ask *ask)
{
	struct group_write *w = group_write_new(group, count, ask);

	if (w == NULL)
		return (NULL);
	w->done = removal_done;
	w->counter = METRIC_COUNT;
	w->newest = -1;
	return (w);
}

/* Nothing else of the group is left, and nobody will miss it. */
static bool
removal_ends_group(const struct group_write *w)
{
	const struct group *group = w->group;
	size_t holds = 0;

	if (w->kept || group->state != GROUP_EMPTY || group->generation <= 0 ||
	    group->offsets->slot_count != w->hold_count)
		return (false);
	for (uint32_t i = 0; i < group->offsets->count; i++) {
		const struct slot_block *block =
		    group->offsets->topics[i].block;

		for (uint32_t j = 0; j < block->count; j++) {
			/* Deleted by an earlier batch, and committed since? */
			if (block->slots[j].present &&
			    block->slots[j].log_offset > w->newest)
				return (false);
			holds += block->slots[j].holds;
		}
	}
	/* Of transactions nothing is left behind the tombstones. */
	return (holds == w->hold_count + group_pending_holds(group, NULL, 0));
}

/* It was committed since it was taken, or soon will be. */
static bool
removal_is_late(const struct group_write *w, const struct group_hold *hold)
{
	const struct offset_slot *slot = group_offset_find(w->group,
	    group_topic_name(hold->topic), hold->partition);

	return (slot->log_offset != hold->log_offset ||
	    (slot->holds > 1 &&
		slot->holds > 1 + group_pending_holds(w->group, hold->topic,
				      hold->partition)));
}

/* An empty batch: there was nothing to be written, or it cannot be. */
static void
removal_batch(struct group_write *w, struct group_batch *batch)
{
	const struct slice id = group_id(w->group);
	const bool first = w->sent == 0;

	while (w->sent < w->hold_count &&
	    batch->bytes.length < REMOVE_BATCH_BYTES &&
	    batch->count < REMOVE_BATCH_ENTRIES) {
		const struct group_hold *hold = &w->holds[w->sent++];

		if (first || !removal_is_late(w, hold)) {
			(void)group_batch_add(batch, id, hold, NULL);
			continue;
		}
		w->kept = true;
		w->present_count -= hold->present;
	}
	if (w->sent < w->hold_count || w->ends_group)
		return;
	w->ends_group = removal_ends_group(w);
	if (w->ends_group)
		w->ends_group = group_batch_add_end(batch, id);
}

static void
removal_end(struct group_write *w, enum error error)
{
	struct group *group = w->group;
	const bool closed = w->write.closed;

	if (error == ERR_NONE && w->counter != METRIC_COUNT)
		metrics_add(w->metrics, w->counter, (int64_t)w->present_count);
	group_write_answer(w, error);
	group_pin(group);
	group_write_free(&w);
	if (!closed && group->state == GROUP_EMPTY &&
	    group->offsets->slot_count == 0 && error == ERR_NONE)
		group_bury(group, ERR_COORDINATOR_NOT_AVAILABLE);
	group_unpin(group);
}

void
group_removal_run(struct group_write *w)
{
	const size_t left = w->hold_count - w->sent;
	struct group_batch batch = {
		.entries = mem_alloc((1 + (left < REMOVE_BATCH_ENTRIES ? left :
			REMOVE_BATCH_ENTRIES)) * sizeof(*batch.entries)),
	};

	removal_batch(w, &batch);
	if (batch.count > 0)
		group_write_append(w, &batch, REMOVE_ACKS);
	else
		removal_end(w, ERR_NONE);
	buffer_fini(&batch.bytes);
	mem_free(batch.entries);
}

static void
removal_done(struct group_write *w)
{
	const bool all = w->sent == w->hold_count;

	if (w->write.error != ERR_NONE || w->write.closed)
		removal_end(w, w->write.error == ERR_NONE && !all ?
		    ERR_NOT_COORDINATOR :
		    group_commit_error(w->write.error));
	else if (!all)
		group_removal_run(w);
	else
		removal_end(w, ERR_NONE);
}

void
group_removal_take(struct group_write *w, const struct group_topic *topic,
    const struct offset_slot *slot)
{
	struct group_hold *hold = &w->holds[w->hold_count];

	w->present_count += slot->present;
	group_write_hold(w, group_topic_name(topic), slot->partition);
	hold->log_offset = slot->log_offset;
	hold->present = slot->present;
	if (slot->log_offset > w->newest)
		w->newest = slot->log_offset;
}

/* --- DeleteGroups --------------------------------------------------------- */

static void
delete_tell(void *answer, enum error error)
{
	((struct delete_groups_response_group *)answer)->error_code =
	    (int16_t)error;
}

static void
delete_take(struct group_write *w)
{
	const struct group_offsets *offsets = w->group->offsets;

	for (uint32_t i = 0; i < offsets->count; i++) {
		const struct topic_offsets *at = &offsets->topics[i];

		for (uint32_t j = 0; j < at->block->count; j++)
			group_removal_take(w, at->topic, &at->block->slots[j]);
	}
}

bool
group_delete(struct groups *groups, struct slice id,
    struct delete_groups_response_group *out, struct group_ask *ask)
{
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, id, true, &error);
	struct group *group = shard == NULL ? NULL : group_find(shard, id);
	struct group_write *w = NULL;

	if (shard != NULL && group == NULL)
		error = ERR_GROUP_ID_NOT_FOUND;
	else if (group != NULL && group->state != GROUP_EMPTY)
		error = ERR_NON_EMPTY_GROUP;
	out->group_id = id;
	out->error_code = (int16_t)error;
	if (error != ERR_NONE)
		return (true);
	w = group_removal_new(group, group->offsets->slot_count, ask);
	ask->refused = w == NULL;
	if (w == NULL)
		return (true);
	w->answer = out;
	w->tell = delete_tell;
	delete_take(w);
	diag_info(groups->setup.diag, group, "group=%s deleted offsets=%u",
	    group->id, (unsigned)w->present_count);
	group_removal_run(w);
	return (ask->done);
}

/* --- OffsetDelete --------------------------------------------------------- */

static void
offsets_tell(void *answer, enum error error)
{
	((struct group_offset_deletion *)answer)->error = error;
}

static bool
group_is_of_consumers(const struct group *group)
{
	return (group->protocol_type != NULL &&
	    strcmp(group->protocol_type, "consumer") == 0);
}

/* The partition's slot, if there is one and it may go. */
static void
offsets_take(struct group_write *w, struct group_part *part)
{
	const struct group_topic *topic = group_topic_find(w->group->shard,
	    part->topic);
	const struct offset_slot *slot;
	bool known;

	if (part->error != ERR_NONE)
		return;
	if (w->group->state != GROUP_EMPTY &&
	    (group_subscribes(w->group, part->topic, &known) || !known)) {
		part->error = ERR_GROUP_SUBSCRIBED_TO_TOPIC;
		return;
	}
	slot = group_offset_find(w->group, part->topic, part->partition);
	if (slot != NULL)
		group_removal_take(w, topic, slot);
}

bool
group_delete_offsets(struct groups *groups,
    struct group_offset_deletion *deletion, struct group_ask *ask)
{
	struct group_shard *shard = group_shard_of(groups, deletion->group_id,
	    false, &deletion->error);
	struct group *group = shard == NULL ? NULL :
	    group_find(shard, deletion->group_id);
	struct group_write *w;

	if (shard == NULL)
		return (true);
	if (group == NULL)
		deletion->error = ERR_GROUP_ID_NOT_FOUND;
	else if (group->state != GROUP_EMPTY && !group_is_of_consumers(group))
		deletion->error = ERR_NON_EMPTY_GROUP;
	if (deletion->error != ERR_NONE)
		return (true);
	w = group_removal_new(group, deletion->count, ask);
	ask->refused = w == NULL;
	if (w == NULL)
		return (true);
	w->counter = METRIC_OFFSETS_DELETED;
	w->answer = deletion;
	w->tell = offsets_tell;
	for (size_t i = 0; i < deletion->count; i++)
		offsets_take(w, &deletion->parts[i]);
	group_removal_run(w);
	return (ask->done);
}
