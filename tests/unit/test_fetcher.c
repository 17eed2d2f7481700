/* SPDX-License-Identifier: Apache-2.0 */
/* Following broker 2, which is played by the test, in replay. */
#include "follow_stage.h"

#include <errno.h>
#include <limits.h>

#include "base/mem.h"
#include "config/options.h"
#include "replica/fetcher_int.h"

/* Of the topic, where it has one. */
static const struct uuid topic_id = { { 7, 7 } };

static void
stage_follow_one(struct stage *s, int32_t partition, int32_t leader,
    int32_t epoch)
{
	struct rig_order order = { .leader = leader, .epoch = epoch,
		.partition = partition, .replica_count = 3,
		.partition_epoch = epoch };

	CU_ASSERT_EQUAL_FATAL(replica_rig_order(&s->rig, &order), ERR_NONE);
}

static void
stage_follow(struct stage *s, int32_t leader, int32_t epoch)
{
	stage_follow_one(s, 0, leader, epoch);
}

/* The first partition of the Fetch that is asked; NULL: none is named. */
static const struct fetch_request_partition *
stage_fetch(struct stage *s)
{
	if (!stage_await(s, API_FETCH, 2000) ||
	    s->request.fetch.topics_count == 0)
		return (NULL);
	return (&s->request.fetch.topics[0].partitions[0]);
}

/* Answers it; NULL: of no partition. */
static void
stage_answer_fetch(struct stage *s, int32_t session,
    const struct fetch_response_partition *part)
{
	struct fetch_response response;
	struct fetch_response_partition answer = { .partition_index = 0 };
	struct fetch_response_topic topic = {
		.topic = SLICE_LITERAL(RIG_TOPIC),
		.topic_id = topic_id,
		.partitions = &answer,
		.partitions_count = 1,
	};

	wire_init(&message_fetch_response, &response);
	response.session_id = session;
	if (part != NULL) {
		answer = *part;
		response.responses = &topic;
		response.responses_count = 1;
	}
	stage_answer(s, &response);
}

static struct fetch_response_partition
stage_part(enum error error, int64_t high_watermark)
{
	return ((struct fetch_response_partition){
	    .error_code = (int16_t)error,
	    .high_watermark = high_watermark,
	    .last_stable_offset = -1,
	    .log_start_offset = 0,
	    .diverging_epoch = { -1, -1 },
	    .current_leader = { -1, -1 },
	    .snapshot_id = { .end_offset = -1, .epoch = -1 },
	    .preferred_read_replica = -1,
	});
}

/* Three records from that offset on. */
static void
stage_answer_records(struct stage *s, int32_t session, int64_t offset,
    int32_t epoch, int64_t high_watermark)
{
	struct fetch_response_partition part = stage_part(ERR_NONE,
	    high_watermark);
	struct buffer batch = BUFFER_EMPTY;

	rig_batch(&batch, 3, 10);
	batch_set_base_offset(batch.data, offset);
	batch_set_leader_epoch(batch.data, epoch);
	part.records.bytes = buffer_slice(&batch);
	stage_answer_fetch(s, session, &part);
	buffer_fini(&batch);
}

static void
stage_begin(struct stage *s)
{
	stage_init(s);
	replica_rig_image(&s->rig, RIG_TOPIC, 1, 2);
	stage_follow(s, 2, 5);
}

static void
stage_begin_two(struct stage *s)
{
	stage_init(s);
	replica_rig_image(&s->rig, RIG_TOPIC, 2, 2);
	stage_follow_one(s, 1, 2, 5);
	stage_follow(s, 2, 5);
	/* They came one after the other, maybe in two requests. */
	for (int i = 0; i < 3; i++) {
		(void)stage_fetch(s);
		stage_answer_fetch(s, 99, NULL);
	}
	CU_ASSERT_PTR_NULL(stage_fetch(s));
}

static void
test_fetches(void)
{
	const struct fetch_request_partition *part;
	struct fetch_response_partition answer;
	struct stage s;

	stage_begin(&s);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(s.request.fetch.replica_id, 1);
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 0);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	CU_ASSERT_EQUAL(part->fetch_offset, 0);
	CU_ASSERT_EQUAL(part->current_leader_epoch, 5);
	stage_answer_records(&s, 99, 0, 5, 2);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 2);
	/* The session goes on with what changed. */
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 99);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 1);
	CU_ASSERT_EQUAL(part->fetch_offset, 3);
	CU_ASSERT_EQUAL(part->last_fetched_epoch, 5);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 2);
	/* The high watermark goes down, too. */
	answer = stage_part(ERR_NONE, 1);
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 1);
	(void)stage_fetch(&s);
	/* The leader had less in that epoch. */
	answer = stage_part(ERR_NONE, 1);
	answer.diverging_epoch.epoch = 5;
	answer.diverging_epoch.end_offset = 0;
	stage_answer_fetch(&s, 99, &answer);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->fetch_offset, 0);
	CU_ASSERT_EQUAL(part->last_fetched_epoch, -1);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 0);
	stage_fini(&s);
}

static void
test_session_lost(void)
{
	struct fetch_response response;
	struct stage s;

	stage_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NULL(stage_fetch(&s));
	wire_init(&message_fetch_response, &response);
	response.error_code = ERR_FETCH_SESSION_ID_NOT_FOUND;
	stage_answer(&s, &response);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 0);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_answer_fetch(&s, 55, NULL);
	(void)stage_fetch(&s);
	/* Another error: it is closed, and a new one asked for. */
	response.error_code = ERR_INVALID_FETCH_SESSION_EPOCH;
	stage_answer(&s, &response);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 55);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	/* No room for sessions: all of it, each time. */
	stage_answer_fetch(&s, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_fini(&s);
}

static void
stage_answer_offset(struct stage *s, int64_t timestamp, int64_t offset)
{
	struct list_offsets_response response;
	struct list_offsets_response_partition part = { .timestamp = -1,
		.offset = offset, .leader_epoch = 5 };
	struct list_offsets_response_topic topic = {
		.name = SLICE_LITERAL(RIG_TOPIC), .partitions = &part,
		.partitions_count = 1 };

	if (!stage_await(s, API_LIST_OFFSETS, 2000))
		return;
	CU_ASSERT_EQUAL(s->request.offsets.topics[0].partitions[0].timestamp,
	    timestamp);
	CU_ASSERT_EQUAL(s->request.offsets.replica_id, 1);
	wire_init(&message_list_offsets_response, &response);
	response.topics = &topic;
	response.topics_count = 1;
	stage_answer(s, &response);
}

static void
test_out_of_range(void)
{
	const struct fetch_request_partition *part;
	struct fetch_response_partition answer = stage_part(
	    ERR_OFFSET_OUT_OF_RANGE, -1);
	struct stage s;

	stage_begin(&s);
	(void)stage_fetch(&s);
	stage_answer_fetch(&s, 99, &answer);
	stage_answer_offset(&s, -1, 20);
	stage_answer_offset(&s, -2, 7);
	/* The leader's log begins above ours. */
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->fetch_offset, 7);
	CU_ASSERT_EQUAL(rig_view(&s.rig).log_start_offset, 7);
	/* Inside of its first batch. */
	stage_answer_records(&s, 99, 5, 5, 8);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->fetch_offset, 8);
	/* Another leader has less than this broker. */
	stage_answer_fetch(&s, 99, &answer);
	stage_answer_offset(&s, -1, 6);
	stage_answer_offset(&s, -2, 0);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->fetch_offset, 6);
	stage_fini(&s);
}

static int64_t
stage_lag(struct stage *s)
{
	struct replica *replica = replicas_find(s->rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	int64_t lag = atomic_load(&replica->fetch_lag);

	replica_unref(replica);
	return (lag);
}

/* So many partitions are followed, and a fetch of all of them waits. */
static void
stage_follow_many(struct stage *s, int32_t count)
{
	replica_rig_image(&s->rig, RIG_TOPIC, count, 2);
	for (int32_t i = 0; i < count; i++)
		stage_follow_one(s, i, 2, 5);
	/* The first request may have been sent before all were followed. */
	CU_ASSERT_FATAL(stage_await(s, API_FETCH, 2000));
	stage_answer_fetch(s, 99, NULL);
	CU_ASSERT_FATAL(stage_await(s, API_FETCH, 2000));
	CU_ASSERT_EQUAL(s->request.fetch.max_wait_ms, 500);
}

/* The leader refuses: it is asked again when so much time has passed. */
static void
stage_refuse(struct stage *s, const struct fetch_response_partition *answer,
    int64_t pause_ms)
{
	CU_ASSERT_FATAL(stage_await(s, API_FETCH, 2000));
	stage_answer_fetch(s, 99, answer);
	replica_rig_pass(&s->rig, pause_ms - 15);
	CU_ASSERT_FALSE(s->asked);
	replica_rig_pass(&s->rig, 20);
	CU_ASSERT_TRUE(s->asked);
}

static void
test_fetch_errors(void)
{
	static const int64_t pauses_ms[] = { 20, 40, 80, 160, 320, 640, 1000,
		1000 };
	struct fetch_response_partition answer = stage_part(
	    ERR_UNKNOWN_LEADER_EPOCH, -1);
	struct stage s;

	stage_begin(&s);
	for (size_t i = 0; i < nelems(pauses_ms); i++)
		stage_refuse(&s, &answer, pauses_ms[i]);
	stage_answer_records(&s, 99, 0, 5, 3);
	stage_refuse(&s, &answer, pauses_ms[0]);
	answer.error_code = ERR_FENCED_LEADER_EPOCH;
	stage_answer_fetch(&s, 99, &answer);
	replica_rig_pass(&s.rig, 5000);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT_EQUAL(stage_lag(&s), FETCH_LAG_FAILED);
	/* The next leader epoch begins anew. */
	stage_follow(&s, 2, 6);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(stage_lag(&s), FETCH_LAG_UNKNOWN);
	stage_fini(&s);
}

/* Nobody who rests makes one wait whom the leader refused. */
static void
test_refused_beside_resting(void)
{
	struct fetch_response_partition answer = stage_part(
	    ERR_UNKNOWN_LEADER_EPOCH, -1);
	struct stage s;

	stage_init(&s);
	stage_follow_many(&s, 2);
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_FATAL(stage_await(&s, API_FETCH, 2000));
	CU_ASSERT(s.request.fetch.max_wait_ms <= 21);
	CU_ASSERT_EQUAL(s.request.fetch.forgotten_topics_data_count, 1);
	replica_rig_pass(&s.rig, 20);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.max_wait_ms, 500);
	/* An answer without records counts, too. */
	answer.error_code = ERR_NONE;
	answer.high_watermark = 0;
	stage_answer_fetch(&s, 99, &answer);
	answer.error_code = ERR_UNKNOWN_LEADER_EPOCH;
	CU_ASSERT_FATAL(stage_await(&s, API_FETCH, 2000));
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_FATAL(stage_await(&s, API_FETCH, 2000));
	CU_ASSERT(s.request.fetch.max_wait_ms <= 21);
	stage_fini(&s);
}

/* What comes is counted while a reassignment adds this replica. */
static void
test_added(void)
{
	struct rig_order order = { .leader = 2, .epoch = 5,
		.replica_count = 3, .adding = 1 };
	struct stage s;
	int64_t bytes;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 1, 2);
	CU_ASSERT_EQUAL_FATAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	stage_answer_records(&s, 99, 0, 5, 3);
	bytes = metrics_value(s.rig.metrics, METRIC_REASSIGNMENT_BYTES_IN);
	CU_ASSERT(bytes > 70);
	/* The end of it; what was asked before is answered first. */
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	stage_follow(&s, 2, 6);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	stage_answer_records(&s, 99, 3, 6, 6);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 6);
	CU_ASSERT_EQUAL(metrics_value(s.rig.metrics,
	    METRIC_REASSIGNMENT_BYTES_IN), bytes);
	stage_fini(&s);
}

/* By 50 bytes a second; the first fetch is asked. */
static void
stage_follow_throttled(struct stage *s)
{
	struct quota_options quota = s->rig.options->quota;

	s->rig.configs.options.follower_replication_throttled_replicas = "0:1";
	quota.follower_replication_throttled_rate = 50;
	replicas_set_throttles(s->rig.replicas, &quota);
	replica_rig_image(&s->rig, RIG_TOPIC, 1, 2);
	stage_follow(s, 2, 5);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(s));
}

/* What is throttled is asked for when the limit allows it (KIP-73). */
static void
test_throttled(void)
{
	struct stage s;

	stage_init(&s);
	stage_follow_throttled(&s);
	/* Some hundred bytes, and there is one record more. */
	stage_answer_records(&s, 99, 0, 5, 4);
	replica_rig_pass(&s.rig, 1900);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	/* Who has all that is committed is in sync: it goes on. */
	stage_answer_records(&s, 99, 3, 5, 6);
	CU_ASSERT(s.asked);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	stage_fini(&s);
}

/* Held by the limit alone, and not by a pause that is none. */
static void
test_throttled_without_pause(void)
{
	struct broker_options *options;
	struct stage s;

	stage_init(&s);
	options = (struct broker_options *)(uintptr_t)s.rig.options;
	options->replica.fetch_backoff_ms = 0;
	stage_follow_throttled(&s);
	stage_answer_records(&s, 99, 0, 5, 4);
	replica_rig_pass(&s.rig, 1000);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT(stage_await(&s, API_FETCH, 10000));
	stage_fini(&s);
}

/* Both partitions' first batches of the epoch, 900 bytes each. */
static void
stage_answer_both(struct stage *s)
{
	struct fetch_response_partition parts[2];
	struct fetch_response_topic topic = {
		.topic = SLICE_LITERAL(RIG_TOPIC),
		.partitions = parts,
		.partitions_count = 2,
	};
	struct fetch_response response;
	struct buffer batch = BUFFER_EMPTY;

	rig_batch(&batch, 3, 300);
	batch_set_leader_epoch(batch.data, 5);
	for (int32_t i = 0; i < 2; i++) {
		parts[i] = stage_part(ERR_NONE, 0);
		parts[i].partition_index = i;
		parts[i].records.bytes = buffer_slice(&batch);
	}
	wire_init(&message_fetch_response, &response);
	response.session_id = 99;
	response.responses = &topic;
	response.responses_count = 1;
	stage_answer(s, &response);
	buffer_fini(&batch);
}

/* While a worker appends, the others' fetch does not wait long; what had no
 * room beside is asked for again as soon as it is done. */
static void
test_beside_worker(void)
{
	struct broker_options *options;
	unsigned named = 0; /* bits: partitions */
	struct stage s;

	stage_init(&s);
	options = (struct broker_options *)(uintptr_t)s.rig.options;
	options->replica.fetch_response_max_bytes = 1000;
	stage_follow_many(&s, 3);
	stage_answer_both(&s);
	CU_ASSERT_FATAL(stage_await(&s, API_FETCH, 2000));
	CU_ASSERT_EQUAL(s.request.fetch.max_wait_ms, 10);
	stage_answer_fetch(&s, 99, NULL);
	/* Far sooner than after replica.fetch.backoff.ms. */
	for (int tries = 0; tries < 4 && named != 3; tries++) {
		CU_ASSERT_FATAL(stage_await(&s, API_FETCH, 100));
		for (int32_t i = 0; s.request.fetch.topics_count > 0 &&
		    i < s.request.fetch.topics[0].partitions_count; i++)
			named |= 1U << s.request.fetch.topics[0]
			    .partitions[i].partition;
		if (named != 3)
			stage_answer_fetch(&s, 99, NULL);
	}
	CU_ASSERT_EQUAL(named, 3);
	CU_ASSERT_EQUAL(s.request.fetch.max_wait_ms, 500);
	stage_fini(&s);
}

/* What was asked in an older role comes too late. */
static void
test_answer_too_late(void)
{
	struct stage s;

	/* (Another partition waits for the answer still.) */
	stage_begin_two(&s);
	stage_follow(&s, 1, 6);
	stage_answer_records(&s, 99, 0, 5, 3);
	CU_ASSERT(rig_view(&s.rig).leads);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 0);
	CU_ASSERT_EQUAL(stage_lag(&s), FETCH_LAG_NONE);
	stage_fini(&s);
	/* Nor for the next epoch of the same leader. */
	stage_begin(&s);
	(void)stage_fetch(&s);
	stage_follow(&s, 2, 6);
	replica_rig_pass(&s.rig, 10);
	stage_answer_records(&s, 99, 0, 5, 3);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.topics[0].partitions[0]
	    .current_leader_epoch, 6);
	stage_fini(&s);
}

/* --- appends that would sync ---------------------------------------------- */

struct trying {
	struct append append;
	bool (*call)(struct append *append);
	struct trying *next; /* in the same turn; NULL: none */
	bool now; /* what it answered */
	bool done;
};

static void
trying_run(void *arg)
{
	for (struct trying *t = arg; t != NULL; t = t->next)
		t->now = t->call(&t->append);
}

static void
trying_done(struct append *append)
{
	((struct trying *)append->owner)->done = true;
}

static void
trying_init(struct trying *t, struct stage *s, struct slice bytes,
    bool (*call)(struct append *append))
{
	struct replica *replica = replicas_find(s->rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);

	*t = (struct trying){
		.append = {
			.replica = replica,
			.following = replica->following,
			.fetched = bytes,
			.fetch_offset = log_end_offset(replica_log(replica)),
			.leader_start_offset = -1,
			.done = trying_done,
			.owner = t,
		},
		.call = call,
	};
	list_init(&t->append.link);
	replica_unref(replica);
}

/* On a loop, and back when the call has returned. */
static void
stage_try(struct stage *s, struct trying *t, struct slice bytes,
    bool (*call)(struct append *append))
{
	trying_init(t, s, bytes, call);
	replica_rig_on(&s->rig, 1, trying_run, t);
}

/* The first batch of a leader epoch is a worker's; the next one is not. */
static void
test_epoch_begins(void)
{
	struct buffer batch = BUFFER_EMPTY;
	struct trying t;
	struct stage s;
	size_t syncs;

	stage_begin(&s);
	rig_batch(&batch, 3, 10);
	batch_set_leader_epoch(batch.data, 5);
	syncs = files_faulty_calls(s.rig.files, FILE_CALL_SYNC);
	stage_try(&s, &t, buffer_slice(&batch), append_try);
	CU_ASSERT_FALSE(t.now);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 0);
	stage_try(&s, &t, buffer_slice(&batch), append_submit);
	CU_ASSERT_FALSE(t.now);
	CU_ASSERT_EQUAL(files_faulty_calls(s.rig.files, FILE_CALL_SYNC),
	    syncs);
	replica_rig_pass(&s.rig, 10);
	CU_ASSERT(t.done);
	CU_ASSERT_EQUAL(t.append.error, ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	syncs = files_faulty_calls(s.rig.files, FILE_CALL_SYNC);
	batch_set_base_offset(batch.data, 3);
	stage_try(&s, &t, buffer_slice(&batch), append_submit);
	CU_ASSERT(t.now);
	CU_ASSERT_EQUAL(t.append.error, ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(s.rig.files, FILE_CALL_SYNC),
	    syncs);
	buffer_fini(&batch);
	stage_fini(&s);
}

/* Who comes next finds it in the queue, and the lock free: he leaves both. */
static void
test_epoch_begins_in_queue(void)
{
	struct buffer batch = BUFFER_EMPTY;
	struct trying first, second;
	struct stage s;
	size_t syncs;

	stage_begin(&s);
	rig_batch(&batch, 3, 10);
	batch_set_leader_epoch(batch.data, 5);
	syncs = files_faulty_calls(s.rig.files, FILE_CALL_SYNC);
	trying_init(&first, &s, buffer_slice(&batch), append_submit);
	trying_init(&second, &s, SLICE_NULL, append_submit);
	first.next = &second;
	replica_rig_on(&s.rig, 1, trying_run, &first);
	CU_ASSERT_FALSE(first.now || second.now);
	CU_ASSERT_EQUAL(files_faulty_calls(s.rig.files, FILE_CALL_SYNC),
	    syncs);
	replica_rig_pass(&s.rig, 10);
	CU_ASSERT(first.done && second.done);
	CU_ASSERT_EQUAL(first.append.error, ERR_NONE);
	buffer_fini(&batch);
	stage_fini(&s);
}

/* --- what a session is told ----------------------------------------------- */

/* By the fetcher's own table: the loop's image has another topic there. */
static void
test_ids_of_its_own(void)
{
	struct rig_order order = { .leader = 2, .epoch = 5,
		.replica_count = 3, .partition_epoch = 5,
		.topic_id = topic_id };
	const struct uuid other = { { 8 } };
	struct stage s;

	stage_init(&s);
	replica_rig_image_of(&s.rig, RIG_TOPIC, other, 1, 2);
	CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.head.api_version, 17);
	CU_ASSERT(uuid_equal(s.request.fetch.topics[0].topic_id, topic_id));
	stage_answer_records(&s, 99, 0, 5, 2);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 2);
	stage_fini(&s);
}

/* An answer that was not taken may have told what is told once: the session is
 * to forget that partition, and gets it anew. */
static void
test_told_anew(void)
{
	const struct fetch_request *r;
	struct fetch_response_partition answer = stage_part(ERR_NONE, 0);
	int32_t epoch;
	struct stage s;

	stage_begin_two(&s);
	r = &s.request.fetch;
	epoch = r->session_epoch;
	stage_follow(&s, 2, 6);
	replica_rig_pass(&s.rig, 10);
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_PTR_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(r->session_epoch, epoch + 1);
	CU_ASSERT_EQUAL(r->max_wait_ms, 0);
	CU_ASSERT_EQUAL_FATAL(r->forgotten_topics_data_count, 1);
	CU_ASSERT_EQUAL(r->forgotten_topics_data[0].partitions_count, 1);
	CU_ASSERT_EQUAL(r->forgotten_topics_data[0].partitions[0], 0);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	CU_ASSERT_EQUAL(r->session_epoch, epoch + 2);
	CU_ASSERT_EQUAL(r->max_wait_ms, 500);
	CU_ASSERT_EQUAL(r->forgotten_topics_data_count, 0);
	CU_ASSERT_EQUAL(r->topics[0].partitions_count, 1);
	CU_ASSERT_EQUAL(r->topics[0].partitions[0].partition, 0);
	CU_ASSERT_EQUAL(r->topics[0].partitions[0].current_leader_epoch, 6);
	stage_fini(&s);
}

/* The same where the log's end is another than what was asked for. */
static void
test_end_moved(void)
{
	struct fetch_response_partition answer = stage_part(ERR_NONE, 2);
	struct buffer batch = BUFFER_EMPTY;
	struct trying t;
	struct stage s;

	stage_begin_two(&s);
	rig_batch(&batch, 3, 10);
	batch_set_leader_epoch(batch.data, 5);
	stage_try(&s, &t, buffer_slice(&batch), append_submit);
	replica_rig_pass(&s.rig, 10);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 0);
	CU_ASSERT_PTR_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.forgotten_topics_data_count, 1);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.topics[0].partitions[0].fetch_offset,
	    3);
	stage_answer_fetch(&s, 99, &answer);
	CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 2);
	buffer_fini(&batch);
	stage_fini(&s);
}

/* A leader that answers for what nobody asked: a pause, and all anew. */
static void
test_stranger(void)
{
	struct fetch_response_partition answer = stage_part(ERR_NONE, 0);
	struct stage s;

	stage_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	answer.partition_index = 9;
	stage_answer_fetch(&s, 99, &answer);
	replica_rig_pass(&s.rig, 800);
	CU_ASSERT_FALSE(s.asked);
	replica_rig_pass(&s.rig, 400);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 99);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_fini(&s);
}

static void
lose_session(void *arg)
{
	struct stage *s = arg;
	struct replica *replica = replicas_find(s->rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);

	fetcher_session_lost(replica->following->fetcher);
	replica_unref(replica);
}

/* Given up while a request is under way: not gone on with after it. */
static void
test_session_lost_meanwhile(void)
{
	struct stage s;

	stage_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	replica_rig_on(&s.rig, 0, lose_session, &s);
	stage_answer_records(&s, 99, 0, 5, 2);
	/* What it brings is good. */
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 99);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_answer_fetch(&s, 55, NULL);
	CU_ASSERT_PTR_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 1);
	replica_rig_on(&s.rig, 0, lose_session, &s);
	stage_answer_fetch(&s, 55, NULL);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(s.request.fetch.session_id, 55);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_fini(&s);
}

/* --- calls that nobody waits for ------------------------------------------ */

/* It followed another one meanwhile; this one never answered. */
static void
test_leader_moved(void)
{
	const struct fetch_request_partition *part;
	struct stage s;

	stage_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	stage_follow(&s, 3, 6);
	replica_rig_pass(&s.rig, 100);
	CU_ASSERT_EQUAL(s.connection_count, 0);
	CU_ASSERT_FALSE(s.asked);
	stage_follow(&s, 2, 7);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->current_leader_epoch, 7);
	CU_ASSERT_EQUAL(s.request.fetch.session_epoch, 0);
	stage_answer_records(&s, 99, 0, 7, 3);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	stage_fini(&s);
}

/* The same leader came back, and what was asked was lost on the way. */
static void
test_leader_silent(void)
{
	const struct fetch_request_partition *part;
	struct stage s;

	stage_begin(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	s.asked = false;
	/* Who still wants it waits. */
	replica_rig_pass(&s.rig, 5000);
	CU_ASSERT_FALSE(s.asked);
	stage_follow(&s, 2, 6);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->current_leader_epoch, 6);
	stage_answer_records(&s, 99, 0, 6, 3);
	CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
	stage_fini(&s);
}

/* --- who is over ---------------------------------------------------------- */

/* Of two one fails and one is led here: no request will tell the session so,
 * and nobody is kept for that. */
static void
test_nobody_is_kept(void)
{
	struct fetch_response_partition answer = stage_part(
	    ERR_FENCED_LEADER_EPOCH, -1);
	const struct fetcher *fetcher;
	struct replica *replica;
	struct stage s;

	stage_begin_two(&s);
	replica = replicas_find(s.rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	fetcher = replica->following->fetcher;
	replica_unref(replica);
	stage_follow_one(&s, 1, 1, 6);
	stage_answer_fetch(&s, 99, &answer);
	replica_rig_pass(&s.rig, 100);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT_EQUAL(hash_count(&fetcher->table), 1);
	stage_fini(&s);
}

/* --- cuts that do not get through ----------------------------------------- */

/* Six records, all below the high watermark; the next Fetch is there. */
static void
stage_fill(struct stage *s)
{
	stage_begin(s);
	(void)stage_fetch(s);
	stage_answer_records(s, 99, 0, 5, 6);
	(void)stage_fetch(s);
	stage_answer_records(s, 99, 3, 5, 6);
	CU_ASSERT_EQUAL(rig_view(&s->rig).high_watermark, 6);
	(void)stage_fetch(s);
}

/* One file call of what the answer brings is refused: the disk is full. */
static void
stage_answer_refused(struct stage *s,
    const struct fetch_response_partition *answer, int after)
{
	files_faulty_set(s->rig.files, s->rig.directory, FILE_CALL_ANY, after,
	    1, ENOSPC);
	stage_answer_fetch(s, 99, answer);
	replica_rig_pass(&s->rig, 100);
	files_faulty_clear(s->rig.files);
	CU_ASSERT_FALSE(rig_view(&s->rig).offline);
}

/* The disk fills somewhere in it: where the log is cut for all who look, so is
 * what is said to be committed, and it goes on from there. */
static void
test_cut_half_way(void)
{
	struct fetch_response_partition answer = stage_part(ERR_NONE, 6);
	int half = 0;

	answer.diverging_epoch.epoch = 5;
	answer.diverging_epoch.end_offset = 3;
	for (int after = 0; after < 30; after++) {
		const struct fetch_request_partition *part;
		struct stage s;

		stage_fill(&s);
		stage_answer_refused(&s, &answer, after);
		CU_ASSERT(rig_view(&s.rig).high_watermark <=
		    rig_view(&s.rig).end_offset);
		half += !s.asked && rig_view(&s.rig).end_offset == 3;
		part = stage_fetch(&s);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part);
		if (part->fetch_offset == 6) {
			stage_answer_fetch(&s, 99, &answer);
			part = stage_fetch(&s);
			CU_ASSERT_PTR_NOT_NULL_FATAL(part);
		}
		CU_ASSERT_EQUAL(part->fetch_offset, 3);
		CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 3);
		stage_answer_records(&s, 99, 3, 5, 5);
		replica_rig_pass(&s.rig, 3000);
		if (s.asked && rig_view(&s.rig).end_offset == 3)
			stage_answer_records(&s, 99, 3, 5, 5);
		CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 6);
		CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 5);
		stage_fini(&s);
	}
	CU_ASSERT(half > 3);
}

/* Batches of old leaders tell no epoch: nothing can be compared, and so what
 * was not committed goes, though that may be refused at first. */
static void
test_cut_without_epochs(void)
{
	for (int after = 0; after < 12; after++) {
		const struct fetch_request_partition *part;
		struct stage s;

		stage_begin(&s);
		(void)stage_fetch(&s);
		stage_answer_records(&s, 99, 0, -1, 0);
		(void)stage_fetch(&s);
		CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
		stage_follow(&s, 2, 6);
		files_faulty_set(s.rig.files, s.rig.directory, FILE_CALL_ANY,
		    after, 2, EMFILE);
		stage_answer_fetch(&s, 99, NULL);
		replica_rig_pass(&s.rig, 100);
		files_faulty_clear(s.rig.files);
		part = stage_fetch(&s);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part);
		CU_ASSERT_EQUAL(part->fetch_offset, 0);
		CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 0);
		stage_fini(&s);
	}
}

static void
check_epochs_file(struct stage *s, const char *expected)
{
	char path[PATH_MAX];
	void *bytes;
	size_t size;

	snprintf(path, sizeof(path), "%s/" RIG_TOPIC
	    "-0/leader-epoch-checkpoint", s->rig.directory);
	CU_ASSERT_EQUAL_FATAL(file_load(s->rig.files, path, 1000, &bytes,
	    &size), 0);
	CU_ASSERT(slice_equal_text(slice_of(bytes, size), expected));
	mem_free(bytes);
}

/* When the disk refuses a write, the epochs that it would have begun are not
 * known either: what comes of an earlier one is taken then. */
static void
test_full_between_epochs(void)
{
	int refused = 0;

	for (int after = 0; after < 20; after++) {
		struct fetch_response_partition answer = stage_part(ERR_NONE,
		    3);
		const struct fetch_request_partition *part;
		struct buffer both = BUFFER_EMPTY;
		struct stage s;
		size_t size;

		stage_begin(&s);
		(void)stage_fetch(&s);
		stage_answer_records(&s, 99, 0, 5, 3);
		(void)stage_fetch(&s);
		stage_follow(&s, 2, 6);
		stage_answer_fetch(&s, 99, NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
		rig_batch(&both, 3, 10);
		size = both.length;
		rig_batch(&both, 3, 10);
		batch_set_base_offset(both.data, 3);
		batch_set_leader_epoch(both.data, 5);
		batch_set_base_offset(both.data + size, 6);
		batch_set_leader_epoch(both.data + size, 6);
		answer.records.bytes = buffer_slice(&both);
		stage_answer_refused(&s, &answer, after);
		part = stage_fetch(&s);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part);
		if (part->fetch_offset == 3) {
			refused++;
			CU_ASSERT_EQUAL(part->last_fetched_epoch, 5);
			stage_answer_records(&s, 99, 3, 5, 3);
			CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
			CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 6);
			check_epochs_file(&s, "0\n1\n5 0\n");
			stage_answer_records(&s, 99, 6, 6, 3);
			CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
		}
		CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 9);
		buffer_fini(&both);
		stage_fini(&s);
	}
	CU_ASSERT(refused > 3);
}

/* A role that begins on a log which was cut below what was committed. */
static void
test_role_after_cut(void)
{
	for (int32_t leader = 1; leader <= 2; leader++) {
		struct replica *replica;
		struct stage s;

		stage_fill(&s);
		replica = replicas_find(s.rig.replicas,
		    SLICE_LITERAL(RIG_TOPIC), 0);
		CU_ASSERT_EQUAL(log_truncate_to(replica_log(replica), 3),
		    ERR_NONE);
		replica_unref(replica);
		stage_follow(&s, leader, 6);
		CU_ASSERT_EQUAL(rig_view(&s.rig).end_offset, 3);
		CU_ASSERT_EQUAL(rig_view(&s.rig).high_watermark, 3);
		stage_fini(&s);
	}
}

/* Only where it is waited for: see replicas_leave(). */
static void
test_leaving(void)
{
	struct rig_order order = { .leader = 2, .epoch = 6, .replica_count = 3,
		.partition_epoch = 6 };
	struct stage s;

	stage_begin(&s);
	replicas_leave(s.rig.replicas);
	CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	(void)stage_fetch(&s);
	stage_answer_fetch(&s, 99, NULL);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	order.isr_count = 2;
	order.isr_from = 1;
	order.epoch = order.partition_epoch = 7;
	CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	stage_answer_fetch(&s, 99, NULL);
	replica_rig_pass(&s.rig, 2000);
	CU_ASSERT_FALSE(s.asked);
	stage_fini(&s);
}

static struct {
	const struct files_ops *ops;
	atomic_bool refuses;
} opens;

static int
refused_open(struct files *files, const char *path, int flags, int mode)
{
	if (!atomic_load(&opens.refuses))
		return (opens.ops->open(files, path, flags, mode));
	errno = EMFILE;
	return (-1);
}

/* With flush.messages a leader is told of nothing that is not synced, also when
 * the sync lacked a descriptor; nor is the next one. */
static void
check_synced_before_told(int32_t epochs)
{
	const struct fetch_request_partition *part;
	struct files_ops ops;
	struct stage s;

	stage_init(&s);
	s.rig.configs.options.flush_messages = 1;
	replica_rig_image(&s.rig, RIG_TOPIC, 1, 2);
	stage_follow(&s, 2, 5);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	stage_answer_records(&s, 99, 0, 5, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stage_fetch(&s));
	opens.ops = s.rig.files->ops;
	ops = *s.rig.files->ops;
	ops.open = refused_open;
	s.rig.files->ops = &ops;
	atomic_store(&opens.refuses, true);
	stage_answer_records(&s, 99, 3, 5, 6);
	replica_rig_pass(&s.rig, 3000);
	CU_ASSERT_FALSE(s.asked);
	for (int32_t epoch = 6; epoch < 5 + epochs; epoch++) {
		stage_follow(&s, 2, epoch);
		replica_rig_pass(&s.rig, 3000);
		CU_ASSERT_FALSE(s.asked);
	}
	atomic_store(&opens.refuses, false);
	part = stage_fetch(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part);
	CU_ASSERT_EQUAL(part->fetch_offset, 6);
	s.rig.files->ops = opens.ops;
	stage_fini(&s);
}

static void
test_synced_before_told(void)
{
	check_synced_before_told(1);
	check_synced_before_told(3);
}

static const struct unit_test tests[] = {
	{ "records, marks, a diverging epoch", test_fetches },
	{ "sessions", test_session_lost },
	{ "out of range", test_out_of_range },
	{ "errors", test_fetch_errors },
	{ "refused, beside one that rests", test_refused_beside_resting },
	{ "what a reassignment adds", test_added },
	{ "what is throttled waits", test_throttled },
	{ "the same, without a pause", test_throttled_without_pause },
	{ "beside a worker", test_beside_worker },
	{ "answers that come too late", test_answer_too_late },
	{ "an epoch that begins is a worker's", test_epoch_begins },
	{ "the same, behind others", test_epoch_begins_in_queue },
	{ "topic ids are its own", test_ids_of_its_own },
	{ "what was not taken is told anew", test_told_anew },
	{ "the log's end moved on", test_end_moved },
	{ "answers for a stranger", test_stranger },
	{ "a session is lost meanwhile", test_session_lost_meanwhile },
	{ "calls: the leader moved", test_leader_moved },
	{ "calls: the leader is silent", test_leader_silent },
	{ "nobody is kept for a session", test_nobody_is_kept },
	{ "a cut that fails half-way", test_cut_half_way },
	{ "a cut without epochs", test_cut_without_epochs },
	{ "full between two epochs", test_full_between_epochs },
	{ "a role after a cut", test_role_after_cut },
	{ "who leaves follows where it is in sync", test_leaving },
	{ "synced before it is told", test_synced_before_told },
};

int
main(void)
{
	return (unit_main("fetcher", tests, nelems(tests)));
}
