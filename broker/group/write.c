/* SPDX-License-Identifier: Apache-2.0 */
#include "group/write_int.h"

#include "base/mem.h"
#include "config/options.h"

static void
write_forget(struct group_wait *wait)
{
	((struct group_write *)wait)->ask = NULL;
}

static void
write_done(struct coord_write *write)
{
	struct group_write *w = container_of(write, struct group_write, write);

	w->done(w);
}

struct group_write *
group_write_new(struct group *group, size_t count, struct group_ask *ask)
{
	struct group_write *w = count > SIZE_MAX / 2 / sizeof(w->holds[0]) ?
	    NULL :
	    mem_try_alloc(sizeof(*w) + count * sizeof(w->holds[0]));

	if (w == NULL)
		return (NULL);
	*w = (struct group_write){
		.wait = { .forget = write_forget },
		.group = group,
		.metrics = group->shard->groups->setup.metrics,
		.ask = ask,
	};
	if (ask != NULL)
		ask->wait = &w->wait;
	group_pin(group);
	return (w);
}

void
group_write_hold(struct group_write *w, struct slice topic, int32_t partition)
{
	w->holds[w->hold_count++] = (struct group_hold){
		.topic = group_offset_hold(w->group, topic, partition),
		.partition = partition,
	};
}

void
group_write_answer(struct group_write *w, enum error error)
{
	if (w->ask == NULL)
		return;
	w->tell(w->answer, error);
	w->ask->wait = NULL;
	w->ask->done = true;
	task_wake_ref(w->ask->task);
	w->ask = NULL;
}

void
group_write_free(struct group_write **w_pointer)
{
	struct group_write *w = *w_pointer;

	if (w->ask != NULL)
		w->ask->wait = NULL;
	/* Else the slots went with the shard.  From the last on: where all of
	 * them go, none is moved. */
	for (size_t i = w->hold_count; !w->write.closed && i > 0; i--)
		group_offset_release(w->group, w->holds[i - 1].topic,
		    w->holds[i - 1].partition);
	group_unpin(w->group);
	mem_free(w);
	*w_pointer = NULL;
}

/* --- batches -------------------------------------------------------------- */

static bool
batch_took(struct group_batch *batch, size_t before, size_t key_end,
    bool tombstone)
{
	const size_t end = batch->bytes.length;
	struct coord_entry *entry = &batch->entries[batch->count];

	if (end > GROUP_BATCH_BYTES_MAX)
		return (false);
	entry->key.length = key_end - before;
	entry->value = tombstone ? SLICE_NULL :
				   slice_of("", end - key_end);
	batch->count++;
	return (true);
}

bool
group_batch_add(struct group_batch *batch, struct slice group,
    const struct group_hold *hold, const struct group_offset *offset)
{
	const size_t before = batch->bytes.length;
	size_t key_end;

	if (!group_append_offset_key(&batch->bytes, group,
		group_topic_name(hold->topic), hold->partition))
		return (false);
	key_end = batch->bytes.length;
	return ((offset == NULL ||
		    group_append_offset_value(&batch->bytes, offset)) &&
	    batch_took(batch, before, key_end, offset == NULL));
}

bool
group_batch_add_end(struct group_batch *batch, struct slice group)
{
	const size_t before = batch->bytes.length;

	return (group_append_group_key(&batch->bytes, group) &&
	    batch_took(batch, before, batch->bytes.length, true));
}

void
group_write_append(struct group_write *w, struct group_batch *batch,
    int16_t acks)
{
	const struct groups *groups = w->group->shard->groups;
	const uint8_t *at = buffer_slice(&batch->bytes).data;

	for (size_t i = 0; i < batch->count; i++) {
		struct coord_entry *entry = &batch->entries[i];

		entry->key.data = at;
		at += entry->key.length;
		if (entry->value.data != NULL)
			entry->value.data = at;
		at += entry->value.length;
	}
	w->write = (struct coord_write){
		.entries = batch->entries,
		.count = batch->count,
		.producer_id = -1,
		.producer_epoch = -1,
		.sequenced = batch->entries[0].value.data != NULL,
		.codec = (int8_t)groups->setup.options
			     ->offsets_topic_compression_codec,
		.acks = acks,
		.timeout_ms = groups->setup.options->offsets_commit_timeout_ms,
		.done = write_done,
		.owner = w,
	};
	coord_append(w->group->shard->coord, &w->write);
}
