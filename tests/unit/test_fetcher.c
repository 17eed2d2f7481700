/* SPDX-License-Identifier: Apache-2.0 */
/* Following broker 2, which is played by the test, in replay. */
#include "follow_stage.h"

#include "base/mem.h"
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

static void
test_fetch_errors(void)
{
	struct fetch_response_partition answer = stage_part(
	    ERR_UNKNOWN_LEADER_EPOCH, -1);
	struct stage s;

	stage_begin(&s);
	(void)stage_fetch(&s);
	stage_answer_fetch(&s, 99, &answer);
	/* A pause, then again. */
	replica_rig_pass(&s.rig, 800);
	CU_ASSERT_FALSE(s.asked);
	replica_rig_pass(&s.rig, 400);
	CU_ASSERT_TRUE(s.asked);
	answer.error_code = ERR_FENCED_LEADER_EPOCH;
	stage_answer_fetch(&s, 99, &answer);
	replica_rig_pass(&s.rig, 5000);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT_EQUAL(stage_lag(&s), FETCH_LAG_FAILED);
	/* The next leader epoch begins anew. */
	stage_follow(&s, 2, 6);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
	CU_ASSERT_EQUAL(stage_lag(&s), 0);
	stage_fini(&s);
}

/* What was asked in an older role comes too late. */
static void
test_answer_too_late(void)
{
	struct stage s;

	stage_begin(&s);
	(void)stage_fetch(&s);
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

static const struct unit_test tests[] = {
	{ "records, marks, a diverging epoch", test_fetches },
	{ "sessions", test_session_lost },
	{ "out of range", test_out_of_range },
	{ "errors", test_fetch_errors },
	{ "answers that come too late", test_answer_too_late },
	{ "an epoch that begins is a worker's", test_epoch_begins },
	{ "the same, behind others", test_epoch_begins_in_queue },
};

int
main(void)
{
	return (unit_main("fetcher", tests, nelems(tests)));
}
