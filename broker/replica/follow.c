/* SPDX-License-Identifier: Apache-2.0 */
#include "replica/follow.h"

#include <string.h>

#include "base/hash.h"
#include "record/record.h"

static int64_t
least(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/*
 * Truncate by leader epoch, not to the high watermark, which lags one fetch
 * behind (KIP-101).  Where the leader's epoch is not known here, only to where
 * the one before it ended: the next fetch tells more.
 */
static struct follow_step
decide_diverging(const struct log_epoch_end *leader,
    const struct follow_log *log)
{
	int64_t offset = log->end_offset;

	/* A leader that knows the epoch knows its end. */
	if (leader->end_offset < 0)
		return ((struct follow_step){ .what = FOLLOW_PAUSE });
	if (log->local.leader_epoch < 0 || log->local.end_offset < 0)
		offset = least(leader->end_offset, offset);
	else if (log->local.leader_epoch != leader->leader_epoch)
		offset = least(log->local.end_offset, offset);
	else
		offset = least(least(log->local.end_offset,
		    leader->end_offset), offset);
	return ((struct follow_step){ .what = FOLLOW_CUT, .offset = offset });
}

static enum follow_what
decide_refused(enum error error)
{
	switch (error) {
	case ERR_OFFSET_OUT_OF_RANGE:
		return (FOLLOW_ASK);
	/* The epoch is the one that this broker was told: the next comes. */
	case ERR_FENCED_LEADER_EPOCH:
		return (FOLLOW_FAIL);
	default:
		return (FOLLOW_PAUSE);
	}
}

/* No leader of the epoch in which it is followed can have written one of a
 * later epoch; and who agrees with our latest epoch has none of an earlier one
 * behind it: bytes may come that were sent from a file while it was cut and
 * written anew.  Older formats tell no epoch. */
static bool
fits(const struct batch *batch, int32_t least, int32_t most)
{
	return (batch->leader_epoch < 0 || (batch->leader_epoch >= least &&
	    batch->leader_epoch <= most));
}

/* Whole batches, up to the first that does not fit. */
static struct follow_step
decide_bytes(const struct follow_answer *answer, const struct follow_log *log)
{
	struct follow_step step = { .what = FOLLOW_TAKE };
	struct slice rest = answer->bytes;
	int32_t least = log->latest_epoch;
	enum batch_walk found;
	struct batch batch;

	while ((found = batch_next(&rest, &batch)) == BATCH_OK &&
	    fits(&batch, least, answer->leader_epoch)) {
		if (batch.leader_epoch >= 0)
			least = batch.leader_epoch;
		/* Batches from before the leader's start: its log may begin
		 * inside of one, and ours, empty, begins there as well. */
		if (step.length == 0 && batch.base_offset < log->end_offset &&
		    log->start_offset == log->end_offset &&
		    batch.last_offset >= log->end_offset) {
			step.what = FOLLOW_ANEW;
			step.offset = batch.base_offset;
		}
		step.length = answer->bytes.length - rest.length;
	}
	if (step.length == 0 && (found == BATCH_OK || found == BATCH_CORRUPT))
		step.what = FOLLOW_PAUSE;
	return (step);
}

struct follow_step
follow_decide(const struct follow_answer *answer, const struct follow_log *log)
{
	if (answer->error != ERR_NONE)
		return ((struct follow_step){
		    .what = decide_refused(answer->error) });
	if (answer->diverging.leader_epoch >= 0)
		return (decide_diverging(&answer->diverging, log));
	return (decide_bytes(answer, log));
}

struct follow_step
follow_decide_range(const struct follow_log *log, int64_t leader_start,
    int64_t leader_end)
{
	struct follow_step step = { .what = FOLLOW_PAUSE };

	if (leader_start < 0 || leader_end < leader_start)
		return (step);
	/* It may be that this leader was not in sync: what it lacks is given
	 * up, and the epochs tell whether what is left agrees. */
	if (leader_end < log->end_offset) {
		step.what = FOLLOW_CUT;
		step.offset = leader_end;
	} else if (leader_start > log->end_offset) {
		step.what = FOLLOW_ANEW;
		step.offset = leader_start;
	}
	return (step);
}

enum follow_what
follow_decide_error(enum error error, bool log_failed)
{
	if (error == ERR_NONE)
		return (FOLLOW_TAKE);
	/* Bytes that were spoilt on the way, and a disk that is full, may be
	 * better the next time. */
	if (error == ERR_CORRUPT_MESSAGE ||
	    (error == ERR_KAFKA_STORAGE_ERROR && !log_failed))
		return (FOLLOW_PAUSE);
	return (FOLLOW_FAIL);
}

int64_t
follow_high_watermark(int64_t leader_high_watermark, int64_t start_offset,
    int64_t end_offset)
{
	return (leader_high_watermark < start_offset ? start_offset :
		leader_high_watermark > end_offset   ? end_offset :
						       leader_high_watermark);
}

int32_t
follow_fetcher_of(const char *topic, int32_t partition, int32_t fetcher_count)
{
	int32_t sum = (int32_t)(31 * (uint32_t)hash_java_string(topic,
	    strlen(topic)) + (uint32_t)partition);

	if (fetcher_count <= 1)
		return (0);
	/* Java's Utils.abs: INT32_MIN counts as 0. */
	return ((sum == INT32_MIN ? 0 : sum < 0 ? -sum : sum) % fetcher_count);
}
