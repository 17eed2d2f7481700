/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListOffsets: by name (latest, earliest, ...), which the loop answers at once,
 * or by time, for which a worker reads logs.  And where a leader epoch ended.
 * Source: Kafka 3.9's Partition.fetchOffsetForTimestamp; KIP-320, KIP-734,
 * KIP-405 for the special timestamps.
 */
#include "replica/replica_int.h"

enum {
	OFFSETS_LATEST = -1,
	OFFSETS_EARLIEST = -2,
	OFFSETS_MAX_TIMESTAMP = -3,
	OFFSETS_EARLIEST_LOCAL = -4,
	OFFSETS_LATEST_TIERED = -5
};

/* The version from which a special timestamp is known. */
static const int special_since[] = {
	[-OFFSETS_LATEST] = 0,
	[-OFFSETS_EARLIEST] = 0,
	[-OFFSETS_MAX_TIMESTAMP] = 7,
	[-OFFSETS_EARLIEST_LOCAL] = 8,
	[-OFFSETS_LATEST_TIERED] = 9,
};

#define OFFSETS_NOT_AVAILABLE_VERSION 5 /* KIP-207 */

/* Segments that may come between the counting and the look at them. */
#define SEGMENTS_ROLLED 8

static void offset_lookup_run(struct work *work);
static void offset_lookup_done(struct work *work);

static bool query_is_known(const struct offset_query *q);
static bool query_isolation_is_known(const struct offset_query *q);
static bool query_reads(const struct offset_query *q);
static void query_look(struct offset_query *q, struct replica *replica);
static void query_room(struct offset_lookup *lookup, struct offset_query *q,
    struct replica *replica);

/* Of a partition that is not here: what the loop's image says. */
static enum error
query_refusal(struct replicas *replicas, const struct offset_query *q)
{
	return (replicas_in_image(replicas, q->topic, q->partition) ?
		    ERR_NOT_LEADER_OR_FOLLOWER :
		    ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

bool
offset_lookup_at_once(struct offset_lookup *lookup)
{
	bool all = true;

	for (size_t i = 0; i < lookup->count; i++) {
		struct offset_query *q = &lookup->queries[i];
		struct replica *replica;

		q->found = (struct log_found){ -1, -1, -1 };
		q->offset_count = 0;
		q->reads = false;
		if (q->error == ERR_NONE && !query_is_known(q))
			q->error = ERR_UNSUPPORTED_VERSION;
		if (q->error == ERR_NONE && !query_isolation_is_known(q))
			q->error = ERR_UNKNOWN_SERVER_ERROR;
		if (q->error != ERR_NONE)
			continue;
		replica = replicas_find(lookup->replicas, q->topic,
		    q->partition);
		if (replica == NULL) {
			q->error = query_refusal(lookup->replicas, q);
			continue;
		}
		q->reads = query_reads(q);
		if (q->version == 0)
			query_room(lookup, q, replica);
		if (!q->reads)
			query_look(q, replica);
		all &= !q->reads;
		replica_unref(replica);
	}
	return (all);
}

static struct work_queue *
offset_lookup_work(const struct offset_lookup *lookup)
{
	struct work_queue *work = NULL;

	for (size_t i = 0; i < lookup->count; i++) {
		const struct offset_query *q = &lookup->queries[i];
		struct replica *replica = !q->reads ? NULL :
		    replicas_find(lookup->replicas, q->topic, q->partition);

		if (replica == NULL)
			continue;
		work = append_dir_work(replica, work);
		replica_unref(replica);
	}
	return (work != NULL ? work : lookup->replicas->setup.workers);
}

void
offset_lookup_start(struct offset_lookup *lookup, struct loop *home)
{
	lookup->done = false;
	lookup->work.run = offset_lookup_run;
	lookup->work.done = offset_lookup_done;
	lookup->work.home = home;
	work_submit(offset_lookup_work(lookup), &lookup->work);
}

/* Version 0 has an offset a segment, and a client may ask for any number: no
 * more memory than there are segments, and those that roll meanwhile. */
static void
query_room(struct offset_lookup *lookup, struct offset_query *q,
    struct replica *replica)
{
	struct log *log = replica_log(replica);
	int32_t most = log == NULL ? 0 :
				     log_segment_count(log) + SEGMENTS_ROLLED;

	if (q->max_offsets > most)
		q->max_offsets = most;
	q->offsets = arena_array(lookup->arena, (size_t)q->max_offsets,
	    sizeof(*q->offsets));
	if (q->offsets == NULL) {
		q->reads = false;
		q->max_offsets = 0;
		q->error = ERR_UNKNOWN_SERVER_ERROR;
	}
}

/* Whether an index, a batch or a file's time must be read. */
static bool
query_reads(const struct offset_query *q)
{
	if (q->version == 0)
		return (q->timestamp >= OFFSETS_LATEST);
	return (q->timestamp >= 0 || q->timestamp == OFFSETS_MAX_TIMESTAMP);
}

/* Version 0 knew two special ones. */
static bool
query_is_known(const struct offset_query *q)
{
	return (q->timestamp >= 0 || (q->timestamp >= OFFSETS_LATEST_TIERED &&
		q->version >= special_since[-q->timestamp]));
}

/* A consumer's counts, and Kafka trips over one that it does not know. */
static bool
query_isolation_is_known(const struct offset_query *q)
{
	return (q->replica_id != -1 || q->isolation == 0 || q->isolation == 1);
}

static enum error
offsets_check(const struct replica_view *view, const struct log *log,
    int32_t current_leader_epoch, bool leader_only)
{
	if (view->offline)
		return (ERR_KAFKA_STORAGE_ERROR);
	if (log == NULL || view->leader_epoch < 0)
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (current_leader_epoch > view->leader_epoch)
		return (ERR_UNKNOWN_LEADER_EPOCH);
	if (current_leader_epoch != -1 &&
	    current_leader_epoch < view->leader_epoch)
		return (ERR_FENCED_LEADER_EPOCH);
	return (view->leads || !leader_only ? ERR_NONE :
					      ERR_NOT_LEADER_OR_FOLLOWER);
}

/* The first offset that the asker may not be told of. */
static int64_t
query_bound(const struct offset_query *q, const struct replica_view *view)
{
	if (q->replica_id != -1)
		return (view->end_offset);
	return (q->isolation == 1 ? view->stable_offset :
				    view->high_watermark);
}

/* After an election the high watermark may lie behind what was acknowledged
 * before: rather no answer than one that goes backwards. */
static enum error
query_lags(const struct offset_query *q, const struct replica_view *view)
{
	if (q->replica_id != -1 ||
	    view->leader_epoch_start <= view->high_watermark)
		return (ERR_NONE);
	return (q->version >= OFFSETS_NOT_AVAILABLE_VERSION ?
		    ERR_OFFSET_NOT_AVAILABLE :
		    ERR_LEADER_NOT_AVAILABLE);
}

static void
query_by_time(struct offset_query *q, const struct replica_view *view,
    struct log *log)
{
	if (q->timestamp == OFFSETS_MAX_TIMESTAMP)
		q->error = log_find_max_timestamp(log, &q->found);
	else
		q->error = log_find_timestamp(log, q->timestamp, &q->found);
	if (q->error != ERR_NONE || (q->found.offset >= 0 &&
	    q->found.offset < query_bound(q, view)))
		return;
	/* None may only mean: none yet that is known to be committed. */
	q->error = query_lags(q, view);
	q->found = (struct log_found){ -1, -1, -1 };
}

static void
query_answer(struct offset_query *q, const struct replica_view *view,
    struct log *log)
{
	switch (q->timestamp) {
	case OFFSETS_LATEST:
		q->error = query_lags(q, view);
		q->found.offset = query_bound(q, view);
		q->found.leader_epoch = view->leader_epoch;
		break;
	case OFFSETS_EARLIEST:
	case OFFSETS_EARLIEST_LOCAL:
		q->found.offset = view->log_start_offset;
		q->found.leader_epoch = log_epoch_of(log,
		    view->log_start_offset);
		break;
	case OFFSETS_LATEST_TIERED: /* nothing is tiered */
		break;
	default:
		query_by_time(q, view, log);
	}
}

/* Version 0 wants segments' starts; what lies above the high watermark is shown
 * to consumers as the high watermark. */
static void
query_segments(struct offset_query *q, const struct replica_view *view,
    struct log *log)
{
	int64_t bound = query_bound(q, view);

	if (q->timestamp == OFFSETS_EARLIEST) {
		if (q->max_offsets > 0)
			q->offsets[q->offset_count++] =
			    view->log_start_offset;
		return;
	}
	q->offset_count = log_find_segments(log,
	    q->timestamp == OFFSETS_LATEST ? INT64_MAX : q->timestamp,
	    q->offsets, q->max_offsets);
	for (int32_t i = 0; i < q->offset_count; i++)
		if (q->offsets[i] > bound)
			q->offsets[i] = bound;
}

static void
query_look(struct offset_query *q, struct replica *replica)
{
	struct log *log = replica_log(replica);
	struct replica_sight sight;

	if (q->error != ERR_NONE)
		return;
	replica_look(replica, &sight);
	/* -2 is for debugging, and may ask a follower. */
	q->error = offsets_check(&sight.view, log, q->current_leader_epoch,
	    q->replica_id != -2);
	if (q->error == ERR_NONE && q->version == 0)
		query_segments(q, &sight.view, log);
	else if (q->error == ERR_NONE)
		query_answer(q, &sight.view, log);
	if (q->error != ERR_NONE)
		q->found = (struct log_found){ -1, -1, -1 };
}

static void
offset_lookup_run(struct work *work)
{
	struct offset_lookup *lookup = container_of(work, struct offset_lookup,
	    work);

	for (size_t i = 0; i < lookup->count; i++) {
		struct offset_query *q = &lookup->queries[i];
		struct replica *replica;

		if (!q->reads)
			continue;
		replica = replicas_find(lookup->replicas, q->topic,
		    q->partition);
		if (replica == NULL) {
			q->error = ERR_NOT_LEADER_OR_FOLLOWER;
			continue;
		}
		query_look(q, replica);
		replica_unref(replica);
	}
}

static void
offset_lookup_done(struct work *work)
{
	struct offset_lookup *lookup = container_of(work, struct offset_lookup,
	    work);

	lookup->done = true;
	task_wake_ref(lookup->task);
}

void
replicas_epoch_end(struct replicas *replicas, struct epoch_query *query)
{
	struct replica *replica = replicas_find(replicas, query->topic,
	    query->partition);
	struct replica_sight sight;
	struct log *log;

	query->end = (struct log_epoch_end){ -1, -1 };
	if (replica == NULL) {
		query->error = replicas_in_image(replicas, query->topic,
				   query->partition) ?
		    ERR_NOT_LEADER_OR_FOLLOWER :
		    ERR_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	log = replica_log(replica);
	replica_look(replica, &sight);
	query->error = offsets_check(&sight.view, log,
	    query->current_leader_epoch, true);
	if (query->error == ERR_NONE)
		query->end = log_epoch_end(log, query->leader_epoch);
	/* Half an answer is none. */
	if (query->end.end_offset < 0)
		query->end = (struct log_epoch_end){ -1, -1 };
	replica_unref(replica);
}
