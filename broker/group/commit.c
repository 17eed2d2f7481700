/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OffsetCommit: checked, written as one batch, answered when it is committed.
 * Several may be under way for a group, of one connection or of many: what
 * counts is their order in the log.
 */
#include "base/text.h"
#include "config/options.h"
#include "group/write_int.h"

static void
commit_answer(void *answer, enum error error)
{
	struct group_commit *commit = answer;

	for (size_t i = 0; i < commit->count; i++)
		if (commit->parts[i].error == ERR_NONE)
			commit->parts[i].error = error;
}

bool
group_metadata_too_long(const struct groups *groups, struct slice metadata)
{
	const int32_t most = groups->setup.options->offset_metadata_max_bytes;
	int64_t units = 0;

	if (most >= 0 && metadata.length <= (size_t)most)
		return (false);
	while (metadata.length > 0 && units <= most)
		units += text_utf8_next(&metadata) >= 0x10000 ? 2 : 1;
	return (units > most);
}

static enum error
commit_check(struct group *group, const struct group_commit *commit)
{
	enum error error;

	/* Who does not use membership, and administrators. */
	if (commit->generation < 0 && group->state == GROUP_EMPTY)
		return (ERR_NONE);
	if (commit->generation < 0 && commit->member_id.length == 0 &&
	    commit->instance_id.data == NULL)
		return (ERR_UNKNOWN_MEMBER_ID);
	error = group_check_member(group, commit->member_id,
	    commit->instance_id);
	if (error != ERR_NONE)
		return (error);
	if (commit->generation != group->generation)
		return (ERR_ILLEGAL_GENERATION);
	/* It has heard of the new generation, not yet what it is to read. */
	if (group->state == GROUP_COMPLETING_REBALANCE)
		return (ERR_REBALANCE_IN_PROGRESS);
	group_touch_member(group, commit->member_id);
	return (ERR_NONE);
}

/* How many are left to be written. */
static size_t
commit_refuse_long_metadata(const struct groups *groups,
    struct group_commit *commit)
{
	size_t count = 0;

	for (size_t i = 0; i < commit->count; i++) {
		struct group_part *part = &commit->parts[i];

		if (part->error != ERR_NONE)
			continue;
		if (group_metadata_too_long(groups, part->metadata))
			part->error = ERR_OFFSET_METADATA_TOO_LARGE;
		else
			count++;
	}
	return (count);
}

static void
commit_done(struct group_write *w)
{
	const enum error error = group_commit_error(w->write.error);

	/* Once, for Kafka 3.9 takes the size of a map of its one batch
	 * (GroupMetadataManager.createPutCacheCallback). */
	if (error == ERR_NONE)
		metrics_add(w->metrics, METRIC_OFFSET_COMMITS, 1);
	group_write_answer(w, error);
	group_write_free(&w);
}

/* As Java adds: a sum beyond the last moment is one long past. */
static int64_t
commit_expires(const struct group_commit *commit, int64_t now_ms)
{
	return (commit->retention_ms == -1 ?
		-1 :
		(int64_t)((uint64_t)now_ms + (uint64_t)commit->retention_ms));
}

/* All that the asker and the checks left, as records. */
static bool
commit_batch(struct group_write *w, const struct group_commit *commit,
    struct group_batch *batch)
{
	const int64_t now_ms = loop_wall_ms(w->group->shard->loop);

	for (size_t i = 0; i < commit->count; i++) {
		const struct group_part *part = &commit->parts[i];

		if (part->error != ERR_NONE)
			continue;
		group_write_hold(w, part->topic, part->partition);
		if (!group_batch_add(batch, group_id(w->group),
			&w->holds[w->hold_count - 1],
			&(struct group_offset){
			    .offset = part->offset,
			    .leader_epoch = part->leader_epoch,
			    .metadata = part->metadata.data == NULL ?
				SLICE_EMPTY :
				part->metadata,
			    .commit_ms = part->commit_ms == -1 ?
				now_ms :
				part->commit_ms,
			    .expire_ms = commit_expires(commit, now_ms),
			}))
			return (false);
	}
	return (true);
}

/* False: refused for want of memory. */
static bool
commit_write(struct group *group, struct group_commit *commit, size_t count,
    struct group_ask *ask)
{
	struct group_batch batch = {
		.entries = arena_array(ask->arena, count,
		    sizeof(*batch.entries)),
	};
	struct group_write *w = batch.entries == NULL ? NULL :
	    group_write_new(group, count, ask);

	if (w == NULL)
		return (false);
	w->answer = commit;
	w->tell = commit_answer;
	w->done = commit_done;
	if (commit_batch(w, commit, &batch)) {
		group_write_append(w, &batch,
		    group->shard->groups->setup.options
			->offsets_commit_required_acks);
	} else {
		group_write_answer(w,
		    batch.bytes.length > GROUP_BATCH_BYTES_MAX ?
			ERR_INVALID_COMMIT_OFFSET_SIZE :
			ERR_UNKNOWN_SERVER_ERROR);
		group_write_free(&w);
	}
	buffer_fini(&batch.bytes);
	return (true);
}

bool
group_commit(struct groups *groups, struct group_commit *commit,
    struct group_ask *ask)
{
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, commit->group_id,
	    true, &error);
	struct group *group;
	size_t count;

	if (shard == NULL) {
		commit_answer(commit, error);
		return (true);
	}
	group_forget_gone_first(shard, commit->group_id);
	group = group_find(shard, commit->group_id);
	if (group == NULL && commit->generation < 0)
		group = group_make(shard, commit->group_id);
	error = group == NULL ? ERR_ILLEGAL_GENERATION :
				commit_check(group, commit);
	count = error != ERR_NONE ? 0 :
				    commit_refuse_long_metadata(groups, commit);
	if (count == 0) {
		commit_answer(commit, error);
		return (true);
	}
	ask->refused = !commit_write(group, commit, count, ask);
	return (ask->refused || ask->done);
}
