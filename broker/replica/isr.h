/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who keeps up with a leader: plain values and pure functions of them.  The
 * caller brings time and locks.
 *
 *	committed ISR   what the controller has confirmed
 *	maximal ISR     with the members whose joining is under way: these count
 *	                for the high watermark from the moment of proposal,
 *	                and those being taken out count until it is confirmed
 *
 * Source: Kafka 3.9's Partition and Replica; KIP-497.
 */
#ifndef REPLICA_ISR_H
#define REPLICA_ISR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errors.h"

/* Another replica of a partition that is led here. */
struct isr_member {
	int32_t broker;
	bool in_isr;
	bool reached; /* by its latest fetch: it may be proposed */
	bool joining; /* proposed to the controller */
	bool added;   /* by a reassignment that is under way */
	int64_t end_offset;   /* -1: not known in this leadership */
	int64_t start_offset; /* its log start, -1: not known */
	int64_t caught_up_ms; /* when last it had all */
	int64_t fetched_ms;   /* its latest fetch, and our end offset then */
	int64_t fetched_leader_end;
	int64_t broker_epoch; /* -1: not told */
	/* It was refused: not proposed before, and how long that is. */
	int64_t again_ms;
	int64_t pause_ms; /* 0: it was not */
};

struct isr {
	struct isr_member *members; /* all assigned replicas but the leader */
	int32_t member_count;
	int32_t replica_count; /* the leader included */
	int32_t isr_count;     /* likewise */
	int32_t joining_count;
};

/* Fresh members; the leader is `self`. False: no memory, *isr is unchanged. */
bool isr_assign(struct isr *isr, const int32_t *replicas,
    int32_t replica_count, const int32_t *in_sync, int32_t in_sync_count,
    int32_t self);
void isr_fini(struct isr *isr);
/* A leader begins, or goes on in a new epoch with what it knew `before`. */
void isr_reset(struct isr *isr, const struct isr *before, int64_t now_ms);
/* Whether a list of brokers, as an order has it, names this one. */
bool isr_lists(const int32_t *ids, int32_t count, int32_t id);
struct isr_member *isr_member(const struct isr *isr, int32_t broker);

/* One fetch of a follower. */
struct isr_fetch {
	int64_t fetch_offset;
	int64_t start_offset;
	int64_t leader_end; /* as the fetch read it */
	int32_t leader_epoch; /* likewise */
	int64_t now_ms;
	int64_t broker_epoch; /* -1: not told */
};
/* False: it comes from an older life of that broker and counts for nothing. */
bool isr_fetched(struct isr_member *member, const struct isr_fetch *fetch);

struct isr_moment {
	int64_t leader_end;
	int64_t high_watermark;
	int64_t leader_epoch_start;
	int64_t now_ms;
	int64_t lag_time_max_ms;
};
bool isr_keeps_up(const struct isr_member *member,
    const struct isr_moment *moment);
/* The smallest end offset of those that count; may lie below the present high
 * watermark. */
int64_t isr_high_watermark(const struct isr *isr,
    const struct isr_moment *moment);
/* The first offset that is not shown to who reads what is committed: that of
 * the oldest transaction of which it is not known for good how it ended, but
 * never above the high watermark, and what was deleted does not count. */
int64_t isr_stable_offset(int64_t start_offset, int64_t high_watermark,
    int64_t first_unstable);
/* Whether to propose the member; that its broker lives is the caller's. */
bool isr_may_join(const struct isr_member *member,
    const struct isr_moment *moment);
/* What an answer to a proposal means. */
enum isr_outcome {
	ISR_COMMIT,  /* it is written */
	ISR_REVERT,  /* it is not; another one may be proposed */
	ISR_GIVE_UP, /* the next leader epoch tells */
	ISR_AGAIN    /* not known; the same again */
};
enum isr_outcome isr_judge(enum error error);
/* The ISR as it was written. False: the leader, `self`, is not in it, or one
 * that is not assigned is; *isr is unchanged. */
bool isr_commit(struct isr *isr, const int32_t *in_sync, int32_t count,
    int32_t self);
/* Nobody joins any more. */
void isr_revert(struct isr *isr);
/* Nor is one of those who were refused proposed for a while, longer with each
 * time. */
void isr_refuse(struct isr *isr, int64_t now_ms);
/* It may be dead, and holds nothing up before it fetches again. */
void isr_forget(struct isr_member *member);
/* Members to take out; answers how many. out: room for member_count. */
int32_t isr_lagging(const struct isr *isr, const struct isr_moment *moment,
    int32_t *out);

#endif
