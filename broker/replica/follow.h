/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a follower does with its leader's answers: plain values and pure
 * functions of them.  fetcher.c carries it out.
 *
 * Source: Kafka 3.9's AbstractFetcherThread (processFetchRequest,
 * getOffsetTruncationState, fetchOffsetAndApplyFun); KIP-101, KIP-279 and
 * KIP-595 for the epochs.
 */
#ifndef REPLICA_FOLLOW_H
#define REPLICA_FOLLOW_H

#include "base/errors.h"
#include "base/slice.h"
#include "storage/storage.h"

/* The follower's own log. */
struct follow_log {
	int64_t start_offset;
	int64_t end_offset;
	int32_t latest_epoch; /* -1: it has none */
	/* The end of the largest epoch that is not above the diverging one. */
	struct log_epoch_end local;
};

/* One partition of a Fetch's answer. */
struct follow_answer {
	enum error error;
	struct log_epoch_end diverging; /* epoch -1: it does not diverge */
	struct slice bytes;
	int32_t leader_epoch; /* in which it is followed */
};

enum follow_what {
	FOLLOW_TAKE,  /* append the first `length` bytes, maybe none */
	FOLLOW_CUT,   /* the end becomes `offset` */
	FOLLOW_ANEW,  /* empty, beginning at `offset`; then append `length` */
	FOLLOW_ASK,   /* where the leader's log begins and ends */
	FOLLOW_PAUSE, /* and ask again */
	FOLLOW_FAIL   /* until the next leader epoch */
};

struct follow_step {
	enum follow_what what;
	int64_t offset;
	size_t length;
};

struct follow_step follow_decide(const struct follow_answer *answer,
    const struct follow_log *log);
/* The leader's log begins and ends there; what was fetched lay outside. */
struct follow_step follow_decide_range(const struct follow_log *log,
    int64_t leader_start, int64_t leader_end);
/* After log_append_as_follower() or a truncation: FOLLOW_TAKE, it went well. */
enum follow_what follow_decide_error(enum error error, bool log_failed);
/* The leader's high watermark, within the log. */
int64_t follow_high_watermark(int64_t leader_high_watermark,
    int64_t start_offset, int64_t end_offset);
/* Which of a leader's fetchers has the partition: always the same. */
int32_t follow_fetcher_of(const char *topic, int32_t partition,
    int32_t fetcher_count);

#endif
