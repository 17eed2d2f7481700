/* SPDX-License-Identifier: Apache-2.0 */
#include "replica/isr.h"

#include "base/mem.h"

/* Of one that was refused, and twice as long after each time more. */
#define PAUSE_MS_FIRST 50
#define PAUSE_MS_MAX 2000

bool
isr_lists(const int32_t *ids, int32_t count, int32_t id)
{
	for (int32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return (true);
	return (false);
}

bool
isr_assign(struct isr *isr, const int32_t *replicas, int32_t replica_count,
    const int32_t *in_sync, int32_t in_sync_count, int32_t self)
{
	struct isr made = {
		.replica_count = replica_count,
		.isr_count = in_sync_count,
	};

	/* As many as a peer says there are. */
	made.members = mem_try_alloc(
	    ((size_t)replica_count + 1) * sizeof(*made.members));
	if (made.members == NULL)
		return (false);
	for (int32_t i = 0; i < replica_count; i++) {
		if (replicas[i] == self ||
		    isr_lists(replicas, i, replicas[i]))
			continue;
		made.members[made.member_count++] = (struct isr_member){
			.broker = replicas[i],
			.in_isr = isr_lists(in_sync, in_sync_count,
			    replicas[i]),
			.end_offset = -1,
			.start_offset = -1,
			.broker_epoch = -1,
		};
	}
	*isr = made;
	return (true);
}

void
isr_fini(struct isr *isr)
{
	mem_free(isr->members);
	*isr = (struct isr){ 0 };
}

/*
 * Members of the ISR are given the whole lag time from now; the others must
 * first catch up.  End offsets told to an earlier leadership say nothing: those
 * logs may have been truncated since.
 */
void
isr_reset(struct isr *isr, const struct isr *before, int64_t now_ms)
{
	for (int32_t i = 0; i < isr->member_count; i++) {
		struct isr_member *member = &isr->members[i];
		const struct isr_member *old = before == NULL ? NULL :
		    isr_member(before, member->broker);

		if (old != NULL) {
			member->end_offset = old->end_offset;
			member->start_offset = old->start_offset;
			member->broker_epoch = old->broker_epoch;
			member->fetched_ms = old->fetched_ms;
			member->fetched_leader_end = old->fetched_leader_end;
		}
		member->caught_up_ms = member->in_isr ? now_ms : INT64_MIN / 2;
	}
}

struct isr_member *
isr_member(const struct isr *isr, int32_t broker)
{
	for (int32_t i = 0; i < isr->member_count; i++)
		if (isr->members[i].broker == broker)
			return (&isr->members[i]);
	return (NULL);
}

bool
isr_fetched(struct isr_member *member, const struct isr_fetch *fetch)
{
	/* KIP-903: a broker that was restarted has a higher epoch. */
	if (fetch->broker_epoch != -1 &&
	    fetch->broker_epoch < member->broker_epoch)
		return (false);
	if (fetch->fetch_offset >= fetch->leader_end)
		member->caught_up_ms = fetch->now_ms;
	else if (member->fetched_ms > member->caught_up_ms &&
	    member->end_offset >= 0 &&
	    fetch->fetch_offset >= member->fetched_leader_end)
		member->caught_up_ms = member->fetched_ms;
	member->end_offset = fetch->fetch_offset;
	member->start_offset = fetch->start_offset;
	member->fetched_ms = fetch->now_ms;
	member->fetched_leader_end = fetch->leader_end;
	/* Told with this fetch or not at all: what an older one told may be of
	 * another life of that broker. */
	member->broker_epoch = fetch->broker_epoch;
	return (true);
}

void
isr_forget(struct isr_member *member)
{
	member->caught_up_ms = INT64_MIN / 2;
}

bool
isr_keeps_up(const struct isr_member *member, const struct isr_moment *moment)
{
	return (member->end_offset == moment->leader_end ||
	    moment->now_ms - member->caught_up_ms <= moment->lag_time_max_ms);
}

/*
 * One that has caught up but is not in the ISR yet counts as well: else the
 * high watermark could always run ahead of it, and it never could join.
 */
int64_t
isr_high_watermark(const struct isr *isr, const struct isr_moment *moment)
{
	int64_t least = moment->leader_end;

	for (int32_t i = 0; i < isr->member_count; i++) {
		const struct isr_member *member = &isr->members[i];

		if (member->end_offset < least &&
		    (member->in_isr || member->joining ||
			isr_keeps_up(member, moment)))
			least = member->end_offset;
	}
	return (least);
}

int64_t
isr_stable_offset(int64_t start_offset, int64_t high_watermark,
    int64_t first_unstable)
{
	if (first_unstable < start_offset)
		first_unstable = start_offset;
	return (first_unstable < high_watermark ? first_unstable :
						  high_watermark);
}

bool
isr_may_join(const struct isr_member *member, const struct isr_moment *moment)
{
	/* The high watermark alone is not enough: after an election it may lag
	 * behind what the new leader had. */
	return (!member->in_isr && !member->joining &&
	    moment->now_ms >= member->again_ms &&
	    member->end_offset >= moment->high_watermark &&
	    member->end_offset >= moment->leader_epoch_start);
}

int32_t
isr_lagging(const struct isr *isr, const struct isr_moment *moment,
    int32_t *out)
{
	int32_t count = 0;

	for (int32_t i = 0; i < isr->member_count; i++)
		if (isr->members[i].in_isr &&
		    !isr_keeps_up(&isr->members[i], moment))
			out[count++] = isr->members[i].broker;
	return (count);
}

enum isr_outcome
isr_judge(enum error error)
{
	switch (error) {
	case ERR_NONE:
		return (ISR_COMMIT);
	case ERR_OPERATION_NOT_ATTEMPTED:
	case ERR_INELIGIBLE_REPLICA:
		return (ISR_REVERT);
	case ERR_FENCED_LEADER_EPOCH:
	case ERR_INVALID_UPDATE_VERSION:
	case ERR_INVALID_REQUEST:
	case ERR_NEW_LEADER_ELECTED:
		return (ISR_GIVE_UP);
	/* Also for a topic that is not known: a controller that has just begun
	 * may not know it yet, and of one that is deleted StopReplica comes. */
	default:
		return (ISR_AGAIN);
	}
}

bool
isr_commit(struct isr *isr, const int32_t *in_sync, int32_t count,
    int32_t self)
{
	if (!isr_lists(in_sync, count, self))
		return (false);
	for (int32_t i = 0; i < count; i++)
		if (isr_lists(in_sync, i, in_sync[i]) || (in_sync[i] != self &&
			isr_member(isr, in_sync[i]) == NULL))
			return (false);
	isr_revert(isr);
	for (int32_t i = 0; i < isr->member_count; i++) {
		struct isr_member *member = &isr->members[i];

		member->in_isr = isr_lists(in_sync, count, member->broker);
		if (member->in_isr)
			member->again_ms = member->pause_ms = 0;
	}
	isr->isr_count = count;
	return (true);
}

void
isr_revert(struct isr *isr)
{
	for (int32_t i = 0; i < isr->member_count; i++)
		isr->members[i].joining = false;
	isr->joining_count = 0;
}

void
isr_refuse(struct isr *isr, int64_t now_ms)
{
	for (int32_t i = 0; i < isr->member_count; i++) {
		struct isr_member *member = &isr->members[i];

		if (!member->joining)
			continue;
		member->pause_ms = member->pause_ms == 0 ? PAUSE_MS_FIRST :
		    member->pause_ms < PAUSE_MS_MAX / 2 ?
			2 * member->pause_ms : PAUSE_MS_MAX;
		member->again_ms = now_ms + member->pause_ms;
		isr_forget(member);
	}
	isr_revert(isr);
}
