/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those whose fetch lay outside of the leader's log: where does it end, where
 * does it begin?
 *
 *	gather --> range_ask(latest) --> ranged --> range_ask(earliest)
 *	   ^                                              |
 *	   +---- cut, begun anew, or a pause <-- ranged --+
 *
 * Source: Kafka 3.9's AbstractFetcherThread.fetchOffsetAndTruncate.
 */
#include "replica/fetcher_int.h"

#include "base/mem.h"

#define TIMESTAMP_EARLIEST (-2)
/* In one request; the others come next. */
#define RANGES_MAX 1000

struct fetcher_range {
	struct following *following; /* a reference */
	int64_t start_offset; /* -1: not told */
	int64_t end_offset;
	enum error error;
};

static task_step fetcher_ranged;

void
fetcher_end_ranges(struct fetcher *fetcher)
{
	for (size_t i = 0; i < fetcher->range_count; i++) {
		fetcher->ranges[i].following->range = NULL;
		following_unref(fetcher->ranges[i].following);
	}
	mem_free(fetcher->ranges);
	fetcher->ranges = NULL;
	fetcher->range_count = 0;
}

bool
fetcher_range_lives(const struct fetcher *fetcher)
{
	for (size_t i = 0; i < fetcher->range_count; i++)
		if (!atomic_load(&fetcher->ranges[i].following->over))
			return (true);
	return (false);
}

static void
range_collect(struct fetcher *fetcher)
{
	fetcher->ranges = mem_alloc(RANGES_MAX * sizeof(*fetcher->ranges));
	HASH_EACH(node, &fetcher->table) {
		struct following *f = container_of(node, struct following,
		    node);

		if (f->state != FOLLOWING_ASKS ||
		    fetcher->range_count == RANGES_MAX)
			continue;
		f->range = &fetcher->ranges[fetcher->range_count++];
		*f->range = (struct fetcher_range){
			.following = following_ref(f),
			.start_offset = -1,
			.end_offset = -1,
		};
	}
	fetcher->range_timestamp = TIMESTAMP_LATEST;
}

/* No answer, or none that can be used: all of them later. */
static enum verdict
range_give_up(struct task *t, enum error error)
{
	struct fetcher *fetcher = fetcher_of(t);

	for (size_t i = 0; i < fetcher->range_count; i++) {
		following_complain(fetcher->ranges[i].following,
		    "cannot learn where the leader's log begins and ends,",
		    error);
		following_pause(fetcher->ranges[i].following);
	}
	fetcher_end_ranges(fetcher);
	fetcher_end_call(fetcher);
	return (task_next(t, fetcher_gather));
}

static bool
range_build(struct fetcher *fetcher, struct list_offsets_request *request)
{
	size_t count = fetcher->range_count;
	struct list_offsets_request_topic *topics = arena_array(
	    &fetcher->arena, count, sizeof(*topics));
	struct list_offsets_request_partition *partitions = arena_array(
	    &fetcher->arena, count, sizeof(*partitions));

	wire_init(&message_list_offsets_request, request);
	if (topics == NULL || partitions == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		const struct following *f = fetcher->ranges[i].following;

		partitions[i].partition_index = f->replica->partition;
		partitions[i].current_leader_epoch = f->leader_epoch;
		partitions[i].timestamp = fetcher->range_timestamp;
		partitions[i].max_num_offsets = 1;
		topics[i].name = slice_of_text(f->replica->topic);
		topics[i].partitions = &partitions[i];
		topics[i].partitions_count = 1;
	}
	request->replica_id =
	    fetcher->fetchers->replicas->setup.broker_id;
	request->topics = topics;
	request->topics_count = (int32_t)count;
	return (true);
}

enum verdict
fetcher_range_ask(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);
	struct list_offsets_request request;
	struct peer *peer;

	fetcher_end_call(fetcher);
	if (fetcher->range_count == 0)
		range_collect(fetcher);
	peer = link_peer(&fetcher->connection, fetcher->loop,
	    fetcher->leader);
	if (peer == NULL || !range_build(fetcher, &request))
		return (range_give_up(t, ERR_BROKER_NOT_AVAILABLE));
	wire_init(&message_list_offsets_response,
	    &fetcher->response.offsets);
	fetcher->call = (struct peer_call){
		.task = task_ref(t),
		.arena = &fetcher->arena,
		.response = &fetcher->response.offsets,
	};
	if (peer_send(peer, &fetcher->call, API_LIST_OFFSETS,
		LIST_OFFSETS_VERSION, &request) != WIRE_OK)
		return (range_give_up(t, ERR_UNSUPPORTED_VERSION));
	fetcher->calling = true;
	fetcher_sent(t);
	return (task_next(t, fetcher_ranged));
}

/* NULL: it was not asked for, or it is another's now. */
static struct fetcher_range *
range_find(const struct fetcher *fetcher, struct slice topic,
    int32_t partition)
{
	const struct following *f = fetcher_find(fetcher, topic, partition);

	return (f == NULL ? NULL : f->range);
}

static void
range_take(struct fetcher *fetcher)
{
	const struct list_offsets_response *r = &fetcher->response.offsets;

	for (int32_t i = 0; i < r->topics_count; i++) {
		for (int32_t j = 0; j < r->topics[i].partitions_count; j++) {
			const struct list_offsets_response_partition *answer =
			    &r->topics[i].partitions[j];
			struct fetcher_range *range = range_find(fetcher,
			    r->topics[i].name, answer->partition_index);

			if (range == NULL)
				continue;
			if (answer->error_code != ERR_NONE)
				range->error = answer->error_code;
			else if (fetcher->range_timestamp == TIMESTAMP_LATEST)
				range->end_offset = answer->offset;
			else
				range->start_offset = answer->offset;
		}
	}
}

static void
range_decide(const struct fetcher_range *range)
{
	struct following *f = range->following;
	struct log *log = replica_log(f->replica);
	struct follow_log own;
	struct follow_step step;

	if (atomic_load(&f->over) || f->state != FOLLOWING_ASKS)
		return;
	if (range->error == ERR_FENCED_LEADER_EPOCH) {
		following_fail(f, "the leader has a newer epoch");
		return;
	}
	if (log == NULL || range->error != ERR_NONE) {
		following_complain(f, "cannot learn where the leader's log "
		    "begins and ends,", range->error);
		following_pause(f);
		return;
	}
	own = (struct follow_log){
		.start_offset = log_start_offset(log),
		.end_offset = log_end_offset(log),
	};
	step = follow_decide_range(&own, range->start_offset,
	    range->end_offset);
	if (step.what == FOLLOW_PAUSE) {
		following_complain(f, "is out of the leader's range, and by "
		    "what the leader tells of that in it,",
		    ERR_OFFSET_OUT_OF_RANGE);
		following_pause(f);
	} else {
		following_cut(f, &step);
	}
}

static enum verdict
fetcher_ranged(struct task *t)
{
	struct fetcher *fetcher = fetcher_of(t);

	if (!fetcher->call.done) {
		if (!fetcher_gives_up(t))
			return (STEP_WAIT);
		fetcher_end_ranges(fetcher);
		return (task_next(t, fetcher_gather));
	}
	if (fetcher->call.error != PEER_OK)
		return (range_give_up(t, ERR_NETWORK_EXCEPTION));
	range_take(fetcher);
	if (fetcher->range_timestamp == TIMESTAMP_LATEST) {
		fetcher->range_timestamp = TIMESTAMP_EARLIEST;
		return (task_next(t, fetcher_range_ask));
	}
	for (size_t i = 0; i < fetcher->range_count; i++)
		range_decide(&fetcher->ranges[i]);
	fetcher_end_ranges(fetcher);
	return (task_next(t, fetcher_gather));
}
