/* SPDX-License-Identifier: Apache-2.0 */
/* What a follower decides, and proposing in-sync replicas to a controller that
 * is played by the test, in replay. */
#include "follow_stage.h"

#include "base/diag.h"
#include "base/mem.h"

/* --- pure ----------------------------------------------------------------- */

static void
test_decide_diverging(void)
{
	static const struct {
		struct log_epoch_end leader, local;
		int64_t end;
		enum follow_what what;
		int64_t offset;
	} rows[] = {
		/* The same epoch: where the shorter one ends. */
		{ { 5, 80 }, { 5, 90 }, 100, FOLLOW_CUT, 80 },
		{ { 5, 95 }, { 5, 90 }, 100, FOLLOW_CUT, 90 },
		/* Not known here: to the end of the one before it. */
		{ { 5, 80 }, { 4, 60 }, 100, FOLLOW_CUT, 60 },
		{ { 5, 80 }, { 4, 120 }, 100, FOLLOW_CUT, 100 },
		/* No epochs here. */
		{ { 5, 80 }, { -1, -1 }, 100, FOLLOW_CUT, 80 },
		{ { 5, 180 }, { -1, -1 }, 100, FOLLOW_CUT, 100 },
		{ { 5, -1 }, { 5, 90 }, 100, FOLLOW_PAUSE, 0 },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct follow_answer answer = { .diverging = rows[i].leader,
			.leader_epoch = 7 };
		struct follow_log log = { .end_offset = rows[i].end,
			.local = rows[i].local };
		struct follow_step step = follow_decide(&answer, &log);

		CU_ASSERT_EQUAL(step.what, rows[i].what);
		CU_ASSERT_EQUAL(step.offset, rows[i].offset);
	}
}

static void
test_decide_errors(void)
{
	static const struct {
		enum error error;
		enum follow_what what;
	} rows[] = {
		{ ERR_OFFSET_OUT_OF_RANGE, FOLLOW_ASK },
		{ ERR_FENCED_LEADER_EPOCH, FOLLOW_FAIL },
		{ ERR_UNKNOWN_LEADER_EPOCH, FOLLOW_PAUSE },
		{ ERR_NOT_LEADER_OR_FOLLOWER, FOLLOW_PAUSE },
		{ ERR_UNKNOWN_TOPIC_ID, FOLLOW_PAUSE },
		{ ERR_INCONSISTENT_TOPIC_ID, FOLLOW_PAUSE },
		{ ERR_KAFKA_STORAGE_ERROR, FOLLOW_PAUSE },
	};
	struct follow_log log = { .end_offset = 5 };

	for (size_t i = 0; i < nelems(rows); i++) {
		struct follow_answer answer = { .error = rows[i].error,
			.diverging = { -1, -1 } };

		CU_ASSERT_EQUAL(follow_decide(&answer, &log).what,
		    rows[i].what);
	}
	CU_ASSERT_EQUAL(follow_decide_error(ERR_NONE, false), FOLLOW_TAKE);
	CU_ASSERT_EQUAL(follow_decide_error(ERR_CORRUPT_MESSAGE, false),
	    FOLLOW_PAUSE);
	/* A disk that is full, one that failed. */
	CU_ASSERT_EQUAL(follow_decide_error(ERR_KAFKA_STORAGE_ERROR, false),
	    FOLLOW_PAUSE);
	CU_ASSERT_EQUAL(follow_decide_error(ERR_KAFKA_STORAGE_ERROR, true),
	    FOLLOW_FAIL);
	CU_ASSERT_EQUAL(follow_decide_error(ERR_UNKNOWN_SERVER_ERROR, false),
	    FOLLOW_FAIL);
}

static void
test_decide_range(void)
{
	struct follow_log log = { .start_offset = 10, .end_offset = 50 };
	struct follow_step step = follow_decide_range(&log, 0, 40);

	CU_ASSERT_EQUAL(step.what, FOLLOW_CUT);
	CU_ASSERT_EQUAL(step.offset, 40);
	step = follow_decide_range(&log, 60, 90);
	CU_ASSERT_EQUAL(step.what, FOLLOW_ANEW);
	CU_ASSERT_EQUAL(step.offset, 60);
	CU_ASSERT_EQUAL(follow_decide_range(&log, 20, 90).what, FOLLOW_PAUSE);
	CU_ASSERT_EQUAL(follow_decide_range(&log, -1, 90).what, FOLLOW_PAUSE);
	CU_ASSERT_EQUAL(follow_decide_range(&log, 20, -1).what, FOLLOW_PAUSE);
	CU_ASSERT_EQUAL(follow_high_watermark(5, 10, 50), 10);
	CU_ASSERT_EQUAL(follow_high_watermark(30, 10, 50), 30);
	CU_ASSERT_EQUAL(follow_high_watermark(70, 10, 50), 50);
	for (int32_t i = 0; i < 100; i++) {
		int32_t n = follow_fetcher_of("topic", i, 3);

		CU_ASSERT(n >= 0 && n < 3);
	}
	CU_ASSERT_EQUAL(follow_fetcher_of("topic", 7, 1), 0);
}

static void
test_decide_bytes(void)
{
	struct buffer one = BUFFER_EMPTY, all = BUFFER_EMPTY;
	struct follow_log log = { .start_offset = 0, .end_offset = 100 };
	struct follow_answer answer = { .diverging = { -1, -1 },
		.leader_epoch = 5 };
	struct follow_step step;
	size_t size;

	rig_batch(&one, 3, 10);
	size = one.length;
	for (int i = 0; i < 3; i++) {
		batch_set_base_offset(one.data, 100 + 3 * i);
		batch_set_leader_epoch(one.data, i == 2 ? 6 : 5);
		buffer_append(&all, one.data, size);
	}
	answer.bytes = buffer_slice(&all);
	/* The third is of an epoch that this leader cannot know. */
	step = follow_decide(&answer, &log);
	CU_ASSERT_EQUAL(step.what, FOLLOW_TAKE);
	CU_ASSERT_EQUAL(step.length, 2 * size);
	/* The second was cut off. */
	answer.bytes.length = size + 20;
	CU_ASSERT_EQUAL(follow_decide(&answer, &log).length, size);
	answer.leader_epoch = 4;
	CU_ASSERT_EQUAL(follow_decide(&answer, &log).what, FOLLOW_PAUSE);
	answer.leader_epoch = 5;
	/* The leader's log begins inside of its first batch. */
	log.start_offset = log.end_offset = 101;
	step = follow_decide(&answer, &log);
	CU_ASSERT_EQUAL(step.what, FOLLOW_ANEW);
	CU_ASSERT_EQUAL(step.offset, 100);
	CU_ASSERT_EQUAL(step.length, size);
	answer.bytes = SLICE_NULL;
	CU_ASSERT_EQUAL(follow_decide(&answer, &log).what, FOLLOW_TAKE);
	/* Nor is there an earlier epoch behind a later one, ours or theirs. */
	log = (struct follow_log){ .end_offset = 100, .latest_epoch = 5 };
	answer.bytes = buffer_slice(&all);
	batch_set_leader_epoch(all.data + size, 4);
	step = follow_decide(&answer, &log);
	CU_ASSERT_EQUAL(step.what, FOLLOW_TAKE);
	CU_ASSERT_EQUAL(step.length, size);
	batch_set_leader_epoch(all.data, 4);
	CU_ASSERT_EQUAL(follow_decide(&answer, &log).what, FOLLOW_PAUSE);
	buffer_fini(&one);
	buffer_fini(&all);
}

static void
test_isr_commit(void)
{
	const int32_t all[] = { 1, 2, 3 };
	const int32_t stranger[] = { 1, 9 }, without[] = { 2, 3 },
		twice[] = { 1, 2, 2 }, good[] = { 3, 1 };
	struct isr isr = { 0 };

	CU_ASSERT(isr_assign(&isr, all, 3, all, 2, 1));
	isr_member(&isr, 3)->joining = true;
	isr.joining_count = 1;
	CU_ASSERT_FALSE(isr_commit(&isr, stranger, 2, 1));
	CU_ASSERT_FALSE(isr_commit(&isr, without, 2, 1));
	CU_ASSERT_FALSE(isr_commit(&isr, twice, 3, 1));
	CU_ASSERT_EQUAL(isr.joining_count, 1);
	CU_ASSERT(isr_commit(&isr, good, 2, 1));
	CU_ASSERT_EQUAL(isr.isr_count, 2);
	CU_ASSERT_EQUAL(isr.joining_count, 0);
	CU_ASSERT_FALSE(isr_member(&isr, 2)->in_isr);
	CU_ASSERT(isr_member(&isr, 3)->in_isr);
	isr_fini(&isr);
}

/* What an older fetch told of its broker does not count for this one. */
static void
test_isr_epochs(void)
{
	struct isr_member member = { .broker = 2, .broker_epoch = -1 };
	struct isr_fetch fetch = { .broker_epoch = 7 };

	CU_ASSERT(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.broker_epoch, 7);
	fetch.broker_epoch = 6;
	CU_ASSERT_FALSE(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.broker_epoch, 7);
	fetch.broker_epoch = -1;
	CU_ASSERT(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.broker_epoch, -1);
}

/* --- in-sync replicas ----------------------------------------------------- */

static void
stage_answer_alter(struct stage *s, enum error top, enum error error,
    int32_t partition_epoch)
{
	const struct alter_partition_request_topic *asked =
	    &s->request.alter.topics[0];
	const struct alter_partition_request_partition *part =
	    &asked->partitions[0];
	struct alter_partition_response response;
	struct alter_partition_response_partition answer = {
		.partition_index = part->partition_index,
		.error_code = (int16_t)error,
		.leader_id = 1,
		.leader_epoch = part->leader_epoch,
		.partition_epoch = partition_epoch,
	};
	struct alter_partition_response_topic topic = {
		.topic_name = asked->topic_name,
		.topic_id = asked->topic_id,
		.partitions = &answer,
		.partitions_count = 1,
	};

	int32_t isr[8];

	wire_init(&message_alter_partition_response, &response);
	answer.isr = part->new_isr;
	answer.isr_count = part->new_isr_count;
	if (s->head.api_version >= 3) {
		answer.isr = isr;
		answer.isr_count = part->new_isr_with_epochs_count;
		CU_ASSERT_FATAL(answer.isr_count <= (int32_t)nelems(isr));
		for (int32_t i = 0; i < answer.isr_count; i++)
			isr[i] = part->new_isr_with_epochs[i].broker_id;
	}
	response.error_code = (int16_t)top;
	response.topics = &topic;
	response.topics_count = top == ERR_NONE ? 1 : 0;
	stage_answer(s, &response);
}

/* Leads with 1 and 2 in sync; 3 has reached it, and is proposed. */
static bool
stage_propose(struct stage *s)
{
	replica_rig_lead(&s->rig, 3, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&s->rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&s->rig, 3, 5), ERR_NONE);
	if (!stage_await(s, API_ALTER_PARTITION, 100))
		return (false);
	CU_ASSERT_EQUAL(s->request.alter.broker_id, 1);
	CU_ASSERT_EQUAL(s->request.alter.broker_epoch, 77);
	CU_ASSERT_EQUAL(s->request.alter.topics[0].partitions[0].new_isr_count,
	    3);
	return (true);
}

static void
test_expansion(void)
{
	struct stage s;
	struct rig_produce p;

	stage_init(&s);
	if (stage_propose(&s)) {
		CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 2);
		CU_ASSERT_EQUAL(stage_sight(&s).maximal_isr_count, 3);
		/* Who joins counts from now on. */
		rig_produce_init(&p, &s.rig, -1);
		rig_produce_start(&p);
		(void)rig_follow(&s.rig, 2, stage_sight(&s).view.end_offset);
		CU_ASSERT_FALSE(rig_produce_await(&p, 50));
		(void)rig_follow(&s.rig, 3, stage_sight(&s).view.end_offset);
		CU_ASSERT(rig_produce_await(&p, 50));
		rig_produce_fini(&p);
		/* Refused as a whole: the same again. */
		stage_answer_alter(&s, ERR_NOT_CONTROLLER, ERR_NONE, 0);
		(void)stage_await(&s, API_ALTER_PARTITION, 100);
		stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
		CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 3);
		CU_ASSERT_EQUAL(stage_sight(&s).maximal_isr_count, 3);
		CU_ASSERT_EQUAL(metrics_value(s.rig.metrics,
		    METRIC_ISR_EXPANDS), 1);
	}
	stage_fini(&s);
}

static void
test_expansion_refused(void)
{
	static const struct {
		enum error error;
		bool again;   /* by itself */
		bool another; /* when the follower fetches */
	} rows[] = {
		{ ERR_INELIGIBLE_REPLICA, false, true },
		{ ERR_OPERATION_NOT_ATTEMPTED, false, true },
		{ ERR_INVALID_UPDATE_VERSION, false, false },
		{ ERR_FENCED_LEADER_EPOCH, false, false },
		{ ERR_NEW_LEADER_ELECTED, false, false },
		{ ERR_UNKNOWN_SERVER_ERROR, true, true },
		{ ERR_UNKNOWN_TOPIC_ID, true, true },
		{ ERR_UNKNOWN_TOPIC_OR_PARTITION, true, true },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct stage s;

		stage_init(&s);
		if (stage_propose(&s)) {
			stage_answer_alter(&s, ERR_NONE, rows[i].error, 9);
			CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 2);
			/* Where it is not known, who joins still counts. */
			CU_ASSERT_EQUAL(stage_sight(&s).maximal_isr_count,
			    rows[i].another && !rows[i].again ? 2 : 3);
			replica_rig_pass(&s.rig, 200);
			CU_ASSERT_EQUAL(s.asked, rows[i].again);
			(void)rig_follow(&s.rig, 3, 5);
			replica_rig_pass(&s.rig, 200);
			CU_ASSERT_EQUAL(s.asked, rows[i].another);
		}
		stage_fini(&s);
	}
}

/* Who was refused may be dead: it holds nothing up as long as it is silent. */
static void
test_refused_and_silent(void)
{
	struct stage s;
	struct rig_produce p;

	stage_init(&s);
	if (stage_propose(&s)) {
		stage_answer_alter(&s, ERR_NONE, ERR_INELIGIBLE_REPLICA, 9);
		rig_produce_init(&p, &s.rig, -1);
		rig_produce_start(&p);
		(void)rig_follow(&s.rig, 2, stage_sight(&s).view.end_offset);
		CU_ASSERT(rig_produce_await(&p, 50));
		rig_produce_fini(&p);
	}
	stage_fini(&s);
}

/* Until broker 3 is proposed, which goes on to fetch. */
static bool
stage_propose_again(struct stage *s)
{
	for (int i = 0; i < 100 && !s->asked; i++) {
		(void)rig_follow(&s->rig, 3, 5);
		replica_rig_pass(&s->rig, 25);
	}
	CU_ASSERT(s->asked);
	return (s->asked);
}

static void
stage_refuse_again(struct stage *s)
{
	if (stage_propose_again(s))
		stage_answer_alter(s, ERR_NONE, ERR_INELIGIBLE_REPLICA, 9);
	replica_rig_pass(&s->rig, 25);
}

static void
count_refusals(void *arg, const char *line)
{
	*(int *)arg += strstr(line, "refused a change of the in-sync") != NULL;
}

/* What is refused again is not said again, but for what came in between: a
 * change that was confirmed (2 lags), or another leader epoch. */
static void
test_refusals_said(void)
{
	for (int how = 0; how < 2; how++) {
		struct rig_order order = { .epoch = 6, .replica_count = 3,
			.isr_count = 2 };
		int said = 0;
		struct stage s;
		struct diag *diag;

		stage_init(&s);
		diag = diag_new(clock_system(), "/dev/null");
		diag_set_sink(diag, count_refusals, &said);
		s.rig.replicas->setup.diag = diag;
		(void)stage_propose(&s);
		stage_refuse_again(&s);
		CU_ASSERT_EQUAL(said, 1);
		stage_refuse_again(&s);
		CU_ASSERT_EQUAL(said, 1);
		if (how == 0 && stage_await(&s, API_ALTER_PARTITION, 50000)) {
			stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
			CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 1);
		}
		if (how == 1)
			CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order),
			    ERR_NONE);
		stage_refuse_again(&s);
		CU_ASSERT_EQUAL(said, 2);
		s.rig.replicas->setup.diag = NULL;
		stage_fini(&s);
		diag_free(diag);
	}
}

/* Who is refused each time is proposed seldom, and taken in when it may be. */
static void
test_expansion_refused_often(void)
{
	struct stage s;
	int asked = 0;

	stage_init(&s);
	if (stage_propose(&s)) {
		for (int i = 0; i < 400; i++) {
			if (s.asked) {
				stage_answer_alter(&s, ERR_NONE,
				    ERR_INELIGIBLE_REPLICA, 9);
				asked++;
			}
			(void)rig_follow(&s.rig, 3, 5);
			replica_rig_pass(&s.rig, 25);
		}
		/* In 10 s: after 50 ms, 100, ... 1.6 s, then each 2 s. */
		CU_ASSERT(asked >= 8 && asked <= 12);
		(void)stage_propose_again(&s);
		stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
		CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 3);
	}
	stage_fini(&s);
}

/* Who reached it once is not proposed by another one's fetch. */
static void
test_expansion_of_one(void)
{
	const struct alter_partition_request_partition *part;
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 3, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&s.rig, 3, 5), ERR_NONE);
	if (stage_await(&s, API_ALTER_PARTITION, 100)) {
		stage_answer_alter(&s, ERR_NONE, ERR_INELIGIBLE_REPLICA, 9);
		replica_rig_pass(&s.rig, 200);
		CU_ASSERT_FALSE(s.asked);
		CU_ASSERT_EQUAL(rig_follow(&s.rig, 2, 5), ERR_NONE);
	}
	if (stage_await(&s, API_ALTER_PARTITION, 100)) {
		part = &s.request.alter.topics[0].partitions[0];
		CU_ASSERT_EQUAL_FATAL(part->new_isr_count, 2);
		CU_ASSERT_EQUAL(part->new_isr[0], 1);
		CU_ASSERT_EQUAL(part->new_isr[1], 2);
	}
	stage_fini(&s);
}

/* Two that fetch nothing are taken out; the leader alone stays, for good. */
static void
test_shrink(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 3, 3);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 5, 10), ERR_NONE);
	replica_rig_pass(&s.rig, 29000);
	CU_ASSERT_FALSE(s.asked);
	if (stage_await(&s, API_ALTER_PARTITION, 20000)) {
		const struct alter_partition_request_partition *part =
		    &s.request.alter.topics[0].partitions[0];

		CU_ASSERT_EQUAL(part->new_isr_count, 1);
		CU_ASSERT_EQUAL(part->new_isr[0], 1);
		/* They count until it is confirmed. */
		CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 3);
		CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 0);
		stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
		CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 1);
		CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 5);
		replica_rig_pass(&s.rig, 60000);
		CU_ASSERT_FALSE(s.asked);
	}
	stage_fini(&s);
}

/* Two topics that lag at once, of which one has an id: that one's request tells
 * the epochs of the brokers. */
static void
test_shrink_ids(void)
{
	struct rig_order order = { .topic = "ids", .epoch = 5,
		.replica_count = 3, .topic_id = { { 7 } } };
	bool by_id = false, by_name = false;
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 3, 3);
	CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	for (int i = 0; i < 2; i++) {
		const struct alter_partition_request *r = &s.request.alter;
		const struct alter_partition_request_partition *part;

		if (!stage_await(&s, API_ALTER_PARTITION, 50000))
			break;
		part = &r->topics[0].partitions[0];
		CU_ASSERT_EQUAL(r->topics_count, 1);
		CU_ASSERT_EQUAL(r->topics[0].partitions_count, 1);
		if (s.head.api_version == 1) {
			by_name = true;
			CU_ASSERT_EQUAL(part->new_isr_count, 1);
		} else {
			by_id = true;
			CU_ASSERT_EQUAL(s.head.api_version, 3);
			CU_ASSERT(uuid_equal(r->topics[0].topic_id,
			    order.topic_id));
			CU_ASSERT_EQUAL_FATAL(part->new_isr_with_epochs_count,
			    1);
			CU_ASSERT_EQUAL(part->new_isr_with_epochs[0]
			    .broker_epoch, 77);
		}
		stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
	}
	CU_ASSERT(by_id && by_name);
	stage_fini(&s);
}

/* It is sent again after pauses that grow, by itself. */
static void
test_refused_waits(void)
{
	struct rig_order order = { .topic = "gone", .epoch = 5,
		.replica_count = 3 };
	int refused = 0;
	struct stage s;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 4, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&s.rig, &order), ERR_NONE);
	for (; refused < 8; refused++) {
		if (!stage_await(&s, API_ALTER_PARTITION, 50000))
			break;
		stage_answer_alter(&s, ERR_NONE,
		    ERR_UNKNOWN_TOPIC_OR_PARTITION, 0);
	}
	CU_ASSERT_EQUAL(refused, 8);
	/* It would come in two seconds: others do not wait for it. */
	replica_rig_lead(&s.rig, 3, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&s.rig, 3, 5), ERR_NONE);
	if (stage_await(&s, API_ALTER_PARTITION, 100)) {
		CU_ASSERT_EQUAL(s.request.alter.topics_count, 1);
		CU_ASSERT(slice_equal_text(s.request.alter.topics[0]
		    .topic_name, RIG_TOPIC));
		stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
	}
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT(stage_await(&s, API_ALTER_PARTITION, 2000));
	stage_fini(&s);
}

/* A fetch of a follower's from `offset`, when the log ended at `leader_end`. */
static void
stage_fetched(struct replica *replica, int32_t follower, int64_t offset,
    int64_t leader_end)
{
	const struct isr_fetch fetch = { .fetch_offset = offset,
		.leader_end = leader_end, .leader_epoch = 5,
		.broker_epoch = -1 };

	CU_ASSERT_EQUAL(replica_follower_fetched(replica, follower, &fetch),
	    ERR_NONE);
}

/* Whom nobody knows holds the high watermark no more, and who comes behind it
 * in the same look is judged by where it is then. */
static void
test_unknown_member(void)
{
	struct replica *replica;
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 4, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 10, 10), ERR_NONE);
	replica = replicas_find(s.rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	isr_member(&replica->isr, 3)->broker = 9;
	isr_member(&replica->isr, 4)->broker = 3;
	stage_fetched(replica, 9, 5, 5);
	stage_fetched(replica, 3, 5, 10);
	stage_fetched(replica, 2, 10, 10);
	CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 5);
	replica_rig_pass(&s.rig, 100);
	CU_ASSERT_FALSE(s.asked);
	CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 10);
	replica_unref(replica);
	stage_fini(&s);
}

/* One that caught up, was not proposed and then is silent holds it for the lag
 * time: nobody need come for it to rise. */
static void
test_silent_before_proposed(void)
{
	struct replica *replica;
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 4, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&s.rig, 3, 5), ERR_NONE);
	CU_ASSERT(stage_await(&s, API_ALTER_PARTITION, 100));
	replica = replicas_find(s.rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	stage_fetched(replica, 4, 5, 5);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 5, 10), ERR_NONE);
	stage_fetched(replica, 2, 10, 10);
	stage_fetched(replica, 3, 10, 10);
	stage_answer_alter(&s, ERR_NONE, ERR_NONE, 9);
	CU_ASSERT_EQUAL(stage_sight(&s).isr_count, 3);
	replica_rig_pass(&s.rig, 20000);
	CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 5);
	replica_rig_pass(&s.rig, 30000);
	CU_ASSERT_EQUAL(stage_sight(&s).view.high_watermark, 10);
	CU_ASSERT_FALSE(s.asked);
	replica_unref(replica);
	stage_fini(&s);
}

static int64_t
end_of(struct replica_rig *rig, int32_t broker)
{
	struct replica *replica = replicas_find(rig->replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	int64_t end = isr_member(&replica->isr, broker)->end_offset;

	replica_unref(replica);
	return (end);
}

/* Another may have led in the epoch that was not told here. */
static void
test_epoch_missed(void)
{
	struct replica_rig rig;
	struct rig_order order = { .epoch = 6, .replica_count = 2,
		.partition_epoch = 1 };
	/* It was read in the leadership before. */
	const struct isr_fetch late = { .fetch_offset = 5, .leader_end = 5,
		.leader_epoch = 6, .broker_epoch = -1 };
	struct replica *replica;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 5, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 5), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	CU_ASSERT_EQUAL(end_of(&rig, 2), 5);
	order.epoch = 8;
	order.partition_epoch = 2;
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	CU_ASSERT_EQUAL(end_of(&rig, 2), -1);
	replica = replicas_find(rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	CU_ASSERT_EQUAL(replica_follower_fetched(replica, 2, &late),
	    ERR_NOT_LEADER_OR_FOLLOWER);
	replica_unref(replica);
	CU_ASSERT_EQUAL(end_of(&rig, 2), -1);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 5), ERR_NONE);
	CU_ASSERT_EQUAL(end_of(&rig, 2), 5);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "decide: diverging epochs", test_decide_diverging },
	{ "decide: errors", test_decide_errors },
	{ "decide: out of range", test_decide_range },
	{ "decide: batches", test_decide_bytes },
	{ "ISR: what was written", test_isr_commit },
	{ "ISR: a broker's epochs", test_isr_epochs },
	{ "ISR: who caught up is proposed", test_expansion },
	{ "ISR: refusals", test_expansion_refused },
	{ "ISR: refused and silent", test_refused_and_silent },
	{ "ISR: refused often", test_expansion_refused_often },
	{ "ISR: what is said of refusals", test_refusals_said },
	{ "only who fetches is proposed", test_expansion_of_one },
	{ "ISR: who lags is taken out", test_shrink },
	{ "ISR: topics with ids and without", test_shrink_ids },
	{ "ISR: one that is refused holds up no others", test_refused_waits },
	{ "ISR: a member that nobody knows", test_unknown_member },
	{ "ISR: silent before it is proposed", test_silent_before_proposed },
	{ "ISR: an epoch that was missed", test_epoch_missed },
};

int
main(void)
{
	return (unit_main("follow", tests, nelems(tests)));
}
