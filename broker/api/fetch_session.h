/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch sessions (KIP-227): the partitions that a consumer or follower reads,
 * kept here so that its requests need name only what changed, and answers show
 * only what has news.
 *
 * Life of a session: a full fetch with epoch 0 makes one, if there is a slot;
 * each incremental fetch must carry the next epoch; it ends by epoch -1, by a
 * full fetch that names it, by becoming empty, or by eviction when the cache is
 * full.  Eight shards, each under a leaf lock that is held for moments only;
 * a request works on copies (struct fetch_plan) and comes back to note what it
 * sent.  A session that went meanwhile is just not found.
 */
#ifndef API_FETCH_SESSION_H
#define API_FETCH_SESSION_H

#include "base/arena.h"
#include "base/errors.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "wire/wire.h"

struct fetch_sessions;
struct metrics;

struct fetch_sessions *fetch_sessions_new(int32_t slots, uint64_t seed,
    struct metrics *metrics);
void fetch_sessions_free(struct fetch_sessions **sessions);

/* One partition to read. */
struct fetch_plan_part {
	struct slice topic;   /* by id: null until the asker finds it */
	struct uuid topic_id; /* zero before version 13 */
	struct fetch_request_partition asked;
};

enum fetch_plan_kind {
	FETCH_SESSIONLESS,
	FETCH_FULL,       /* fetch_plan_finish() may make a session */
	FETCH_INCREMENTAL
};

/* What one request is to read; memory is the arena's. */
struct fetch_plan {
	enum fetch_plan_kind kind;
	enum error error; /* of the whole request: nothing is read */
	int32_t session_id;
	int32_t session_epoch; /* incremental: the epoch after this request */
	bool by_id;
	bool follower;
	struct fetch_plan_part *parts; /* in reading order */
	size_t part_count;
};
/* False: the arena refused. now_ms: monotonic. */
bool fetch_plan_make(struct fetch_sessions *sessions,
    const struct fetch_request *request, int version, int64_t now_ms,
    struct arena *arena, struct fetch_plan *out);

/* What is to be sent of a part: filled by the caller, in the plan's order. */
struct fetch_sent {
	int64_t high_watermark;
	int64_t log_start_offset;
	size_t record_bytes;
	enum error error;
	bool diverging;
	bool preferred_replica;
	bool include; /* out: belongs into the answer */
};
/* Notes what is sent and decides what belongs into an incremental answer (into
 * a full one everything does); makes the session that was asked for. The
 * session id is that of the response: 0 when there is none.
 * ERR_INVALID_FETCH_SESSION_EPOCH: another request of the session has come
 * meanwhile; nothing was noted, and the answer is that error alone. */
enum error fetch_plan_finish(struct fetch_sessions *sessions,
    const struct fetch_plan *plan, struct fetch_sent *sent, int64_t now_ms,
    int32_t *session_id);

#endif
