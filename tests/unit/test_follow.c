/* SPDX-License-Identifier: Apache-2.0 */
/* Following and proposing in-sync replicas, towards a broker 2 that is played
 * by the test, in replay. */
#include <errno.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "config/options.h"
#include "net/socket.h"
#include "replica/follow.h"
#include "replica_rig.h"

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

/* --- broker 2 ------------------------------------------------------------- */

struct stage {
	struct replica_rig rig;
	struct fabric *fabric;
	struct work_queue *resolver;
	struct socket *listening, *connections[8];
	size_t connection_count;
	/* The last request, answered by stage_answer(). */
	struct arena arena;
	struct buffer frame;
	struct request_head head;
	union {
		struct fetch_request fetch;
		struct alter_partition_request alter;
		struct list_offsets_request offsets;
	} request;
	struct socket *from;
	bool asked;
	int requests;
};

static void
stage_read(struct socket *socket, unsigned ready)
{
	struct stage *s = socket->owner;
	uint8_t bytes[65536];
	ssize_t n = socket->sockets->ops->read(socket, bytes, sizeof(bytes));
	struct slice body;

	(void)ready;
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		for (size_t i = 0; i < s->connection_count; i++)
			if (s->connections[i] == socket)
				s->connections[i] =
				    s->connections[--s->connection_count];
		if (s->from == socket)
			s->asked = false;
		socket->sockets->ops->close(socket, false);
		return;
	}
	if (n < 0)
		return;
	/* Requests are small and come one by one: whole. */
	CU_ASSERT_EQUAL_FATAL(bytes_get_i32(bytes), n - 4);
	buffer_fini(&s->frame);
	buffer_append(&s->frame, bytes, (size_t)n);
	body = slice_of(s->frame.data + 4, (size_t)n - 4);
	arena_reset(&s->arena);
	CU_ASSERT_EQUAL_FATAL(wire_read_request_head(&body, &s->head),
	    WIRE_OK);
	CU_ASSERT_EQUAL_FATAL(wire_decode(
	    api_by_key(s->head.api_key)->request, s->head.api_version, body,
	    &s->arena, &s->request, NULL), WIRE_OK);
	s->from = socket;
	s->asked = true;
	s->requests++;
}

static void
stage_accept(struct socket *socket, unsigned ready)
{
	struct stage *s = socket->owner;
	struct socket_address peer;
	struct socket *made;

	(void)ready;
	made = socket->sockets->ops->accept(socket, &peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(made);
	made->owner = s;
	made->on_ready = stage_read;
	s->connections[s->connection_count++] = made;
	made->sockets->ops->adopt(made, s->rig.loops[3]);
	(void)made->sockets->ops->want(made, WATCH_READ);
}

static int64_t
stage_epoch(void *arg)
{
	(void)arg;
	return (77);
}

static void
stage_init(struct stage *s)
{
	const struct socket_address at = { .host = "b2", .port = 9092 };
	const struct socket_options options = { .backlog = 5,
		.send_buffer_bytes = -1, .receive_buffer_bytes = -1 };
	struct sockets *sockets;
	int32_t port;

	memset(s, 0, sizeof(*s));
	replica_rig_init(&s->rig, false, NULL);
	s->rig.controller = 2;
	s->fabric = fabric_new(s->rig.scheduler);
	s->resolver = work_queue_new(s->rig.scheduler, "resolver", 1);
	arena_init(&s->arena, 0);
	sockets = fabric_sockets(s->fabric, "b2");
	s->listening = sockets->ops->listen(sockets, &at, &options, &port);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->listening);
	s->listening->owner = s;
	s->listening->on_ready = stage_accept;
	sockets->ops->adopt(s->listening, s->rig.loops[3]);
	(void)sockets->ops->want(s->listening, WATCH_READ);
	replicas_start_following(s->rig.replicas, &(struct follow_setup){
	    .loops = s->rig.loops,
	    .loop_count = RIG_LOOPS,
	    .sockets = fabric_sockets(s->fabric, "b1"),
	    .resolver = s->resolver,
	    .listener = "PLAINTEXT",
	    .control_listener = "PLAINTEXT",
	    .broker_epoch = stage_epoch,
	});
}

static void
stage_fini(struct stage *s)
{
	for (size_t i = 0; i < s->connection_count; i++)
		s->connections[i]->sockets->ops->close(s->connections[i],
		    true);
	s->listening->sockets->ops->close(s->listening, false);
	replica_rig_pass(&s->rig, 10);
	replicas_stop(s->rig.replicas);
	replica_rig_pass(&s->rig, 10);
	work_queue_free(s->resolver);
	replica_rig_fini(&s->rig);
	fabric_free(s->fabric);
	arena_fini(&s->arena);
	buffer_fini(&s->frame);
}

/* Until broker 2 is asked. */
static bool
stage_await(struct stage *s, int api_key, int64_t ms)
{
	for (int64_t i = 0; i < ms && !s->asked; i++)
		replica_rig_pass(&s->rig, 1);
	CU_ASSERT(s->asked);
	if (s->asked)
		CU_ASSERT_EQUAL(s->head.api_key, api_key);
	return (s->asked && s->head.api_key == api_key);
}

static void
stage_answer(struct stage *s, const void *response)
{
	const struct api *api = api_by_key(s->head.api_key);
	struct buffer out = BUFFER_EMPTY;
	struct iovec part;

	(void)buffer_extend(&out, 4);
	wire_write_response_head(api, s->head.api_version,
	    s->head.correlation_id, &out);
	CU_ASSERT_EQUAL(wire_encode_bytes(api->response, s->head.api_version,
	    response, &out), WIRE_OK);
	bytes_put_u32(out.data, (uint32_t)(out.length - 4));
	part = (struct iovec){ out.data, out.length };
	CU_ASSERT_EQUAL(s->from->sockets->ops->write(s->from, &part, 1,
	    false), (ssize_t)out.length);
	buffer_fini(&out);
	s->asked = false;
	replica_rig_pass(&s->rig, 10);
}

/* --- in-sync replicas ----------------------------------------------------- */

static struct replica_sight
stage_sight(struct stage *s)
{
	struct replica *replica = replicas_find(s->rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	struct replica_sight sight;

	replica_look(replica, &sight);
	replica_unref(replica);
	return (sight);
}

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

	wire_init(&message_alter_partition_response, &response);
	answer.isr = part->new_isr;
	answer.isr_count = part->new_isr_count;
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

/* --- following ------------------------------------------------------------ */

static void
stage_follow(struct stage *s, int32_t leader, int32_t epoch)
{
	struct rig_order order = { .leader = leader, .epoch = epoch,
		.replica_count = 3, .partition_epoch = epoch };

	CU_ASSERT_EQUAL_FATAL(replica_rig_order(&s->rig, &order), ERR_NONE);
}

/* The one partition of the Fetch that is asked; NULL: none is named. */
static const struct fetch_request_partition *
stage_fetch(struct stage *s)
{
	if (!stage_await(s, API_FETCH, 2000) ||
	    s->request.fetch.topics_count == 0)
		return (NULL);
	return (&s->request.fetch.topics[0].partitions[0]);
}

/* Answers it, by names; the part as given, but for its number. */
static void
stage_answer_fetch(struct stage *s, int32_t session,
    const struct fetch_response_partition *part)
{
	struct fetch_response response;
	struct fetch_response_partition answer = { .partition_index = 0 };
	struct fetch_response_topic topic = {
		.topic = SLICE_LITERAL(RIG_TOPIC),
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
	CU_ASSERT_EQUAL(stage_lag(&s), FETCH_LAG_UNKNOWN);
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

/* What is throttled is asked for when the limit allows it (KIP-73). */
static void
test_throttled(void)
{
	struct quota_options quota;
	struct stage s;

	stage_init(&s);
	s.rig.configs.options.follower_replication_throttled_replicas = "0:1";
	quota = s.rig.options->quota;
	quota.follower_replication_throttled_rate = 50;
	replicas_set_throttles(s.rig.replicas, &quota);
	replica_rig_image(&s.rig, RIG_TOPIC, 1, 2);
	stage_follow(&s, 2, 5);
	CU_ASSERT_PTR_NOT_NULL(stage_fetch(&s));
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

static const struct unit_test tests[] = {
	{ "decide: diverging epochs", test_decide_diverging },
	{ "decide: errors", test_decide_errors },
	{ "decide: out of range", test_decide_range },
	{ "decide: batches", test_decide_bytes },
	{ "ISR: what was written", test_isr_commit },
	{ "ISR: who caught up is proposed", test_expansion },
	{ "ISR: refusals", test_expansion_refused },
	{ "only who fetches is proposed", test_expansion_of_one },
	{ "ISR: who lags is taken out", test_shrink },
	{ "ISR: an epoch that was missed", test_epoch_missed },
	{ "fetch: records, marks, a diverging epoch", test_fetches },
	{ "fetch: sessions", test_session_lost },
	{ "fetch: out of range", test_out_of_range },
	{ "fetch: errors", test_fetch_errors },
	{ "fetch: what a reassignment adds", test_added },
	{ "fetch: what is throttled waits", test_throttled },
	{ "fetch: answers that come too late", test_answer_too_late },
};

int
main(void)
{
	return (unit_main("follow", tests, nelems(tests)));
}
