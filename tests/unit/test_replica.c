/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions' roles and produce over a real log, in replay. */
#include <errno.h>
#include <stdlib.h>

#include "config/topic.h"
#include "replica_rig.h"

/* --- the in-sync replicas ------------------------------------------------- */

static void
test_isr_progress(void)
{
	struct isr_member member = { .in_isr = true, .end_offset = -1,
		.broker_epoch = -1 };
	struct isr_fetch fetch = { .leader_end = 100, .now_ms = 1000,
		.broker_epoch = -1 };
	struct isr_moment moment = { .leader_end = 120, .now_ms = 2000,
		.lag_time_max_ms = 500 };

	fetch.fetch_offset = 50;
	CU_ASSERT(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.end_offset, 50);
	CU_ASSERT_EQUAL(member.caught_up_ms, 0);
	CU_ASSERT_FALSE(isr_keeps_up(&member, &moment));
	/* Now it has what the leader had at its fetch before: of that
	 * moment. */
	fetch.fetch_offset = 100;
	fetch.leader_end = 110;
	fetch.now_ms = 1600;
	CU_ASSERT(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.caught_up_ms, 1000);
	/* And now all there is. */
	fetch.fetch_offset = 110;
	fetch.now_ms = 1700;
	CU_ASSERT(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.caught_up_ms, 1700);
	CU_ASSERT(isr_keeps_up(&member, &moment));
	/* An older life of that broker does not count. */
	fetch.broker_epoch = 8;
	CU_ASSERT(isr_fetched(&member, &fetch));
	fetch.broker_epoch = 7;
	fetch.fetch_offset = 120;
	CU_ASSERT_FALSE(isr_fetched(&member, &fetch));
	CU_ASSERT_EQUAL(member.end_offset, 110);
}

static void
test_isr_decisions(void)
{
	const int32_t all[] = { 1, 2, 3, 4 };
	const int32_t in_sync[] = { 1, 2 };
	struct isr isr = { 0 }, next = { 0 };
	struct isr_moment moment = {
		.leader_end = 100, .high_watermark = 40,
		.leader_epoch_start = 60, .now_ms = 100000,
		.lag_time_max_ms = 30000,
	};
	int32_t lagging[3];

	CU_ASSERT(isr_assign(&isr, all, 4, in_sync, 2, 1));
	CU_ASSERT_EQUAL(isr.member_count, 3);
	isr_reset(&isr, NULL, 100000);
	isr_member(&isr, 2)->end_offset = 80;
	/* 3 and 4 lag: they do not count. */
	CU_ASSERT_EQUAL(isr_high_watermark(&isr, &moment), 80);
	/* One that keeps up counts though it has not joined yet. */
	isr_member(&isr, 3)->end_offset = 70;
	isr_member(&isr, 3)->caught_up_ms = 99000;
	CU_ASSERT_EQUAL(isr_high_watermark(&isr, &moment), 70);
	CU_ASSERT(isr_may_join(isr_member(&isr, 3), &moment));
	/* Above the high watermark, but below where the leader began. */
	isr_member(&isr, 3)->end_offset = 50;
	CU_ASSERT_FALSE(isr_may_join(isr_member(&isr, 3), &moment));
	CU_ASSERT_FALSE(isr_may_join(isr_member(&isr, 2), &moment));
	CU_ASSERT_EQUAL(isr_lagging(&isr, &moment, lagging), 0);
	moment.now_ms = 130001;
	CU_ASSERT_EQUAL(isr_lagging(&isr, &moment, lagging), 1);
	CU_ASSERT_EQUAL(lagging[0], 2);
	/* A new epoch of the same leader keeps what it knows of ends. */
	CU_ASSERT(isr_assign(&next, all, 4, all, 4, 1));
	isr_reset(&next, &isr, 130001);
	CU_ASSERT_EQUAL(isr_member(&next, 2)->end_offset, 80);
	CU_ASSERT_EQUAL(isr_lagging(&next, &moment, lagging), 0);
	isr_fini(&next);
	isr_fini(&isr);
}

/* --- orders --------------------------------------------------------------- */

static void
test_order_epochs(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 4, 1);
	/* The request's own epochs. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .broker_epoch = 9 }), ERR_STALE_BROKER_EPOCH);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .broker_epoch = 10, .controller_epoch = 4 }),
	    ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .controller_epoch = 3 }), ERR_STALE_CONTROLLER_EPOCH);
	CU_ASSERT_FALSE(replicas_accept_controller_epoch(rig.replicas, 3));
	CU_ASSERT(replicas_accept_controller_epoch(rig.replicas, 4));
	/* The partition's. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .controller_epoch = 4 }), ERR_STALE_CONTROLLER_EPOCH);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 4, .controller_epoch = 4 }), ERR_STALE_CONTROLLER_EPOCH);
	CU_ASSERT(rig_view(&rig).leads);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 5);
	/* Not one of the replicas. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .controller_epoch = 4, .first_replica = 2,
	    .leader = 2 }), ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 5);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 3, .epoch = 6, .controller_epoch = 4,
	    .first_replica = 2, .leader = 2 }),
	    ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_PTR_NULL(replicas_find(rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 3));
	/* An older partition epoch changes nothing, without an error. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 7, .partition_epoch = 3, .controller_epoch = 4 }),
	    ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 8, .partition_epoch = 2, .controller_epoch = 4 }),
	    ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 7);
	replica_rig_fini(&rig);
}

static void
test_order_forms(void)
{
	struct replica_rig rig;
	struct uuid id = { { 1, 2, 3 } };

	replica_rig_init(&rig, false, NULL);
	for (int version = 0; version <= 7; version++)
		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .epoch = 5 + version, .version = version,
		    .topic_id = version < 5 ? UUID_ZERO : id }), ERR_NONE);
	/* The id came with version 5; another one is another topic. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 20, .topic_id = { { 9 } } }),
	    ERR_INCONSISTENT_TOPIC_ID);
	/* At the same epoch an id may be added to a log without one. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 5, .version = 4 }), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 5, .topic_id = id }), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 5, .topic_id = id }),
	    ERR_STALE_CONTROLLER_EPOCH);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .topic = "no good name", .epoch = 5 }),
	    ERR_INVALID_TOPIC_EXCEPTION);
	replica_rig_fini(&rig);
}

static void
test_order_follower(void)
{
	struct replica_rig rig;
	struct replicas_counts counts;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	/* A leader that is not alive: the role stays, the order may come
	 * again. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .leader = 9, .replica_count = 3 }), ERR_NONE);
	CU_ASSERT(rig_view(&rig).leads);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .leader = 2, .replica_count = 3 }), ERR_NONE);
	CU_ASSERT_FALSE(rig_view(&rig).leads);
	CU_ASSERT_EQUAL(rig_view(&rig).leader, 2);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 6);
	/* As a follower it may be told once more, by a controller without
	 * ids. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 6, .leader = 2, .replica_count = 3,
	    .topic_id = { { 7 } } }), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 6, .leader = 2, .replica_count = 3 }),
	    ERR_NONE);
	replicas_count(rig.replicas, &counts);
	CU_ASSERT_EQUAL(counts.partitions, 2);
	CU_ASSERT_EQUAL(counts.leaders, 0);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10),
	    ERR_NOT_LEADER_OR_FOLLOWER);
	replica_rig_fini(&rig);
}

/* A leader whose log is gone must not begin with nothing. */
static void
test_order_log_lost(void)
{
	struct replica_rig rig;
	struct log *log;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, RIG_LOST + 1, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = RIG_LOST, .epoch = 6, .old = true }),
	    ERR_KAFKA_STORAGE_ERROR);
	/* This one never was here. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .old = true }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	/* A follower copies it. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 6, .leader = 2, .replica_count = 2,
	    .old = true }), ERR_NONE);
	rig.configs.options.unclean_leader_election_enable = true;
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = RIG_LOST, .epoch = 6, .old = true }), ERR_NONE);
	log = storage_find(rig.storage, RIG_TOPIC, RIG_LOST);
	CU_ASSERT_PTR_NOT_NULL_FATAL(log);
	log_unref(log);
	replica_rig_fini(&rig);
}

/* A follower that could not copy it yet has lost it still; another topic of the
 * name lost nothing, whoever tells of it. */
static void
test_order_log_lost_no_room(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	files_faulty_set(rig.files, RIG_TOPIC "-", FILE_CALL_OPEN, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = RIG_LOST, .epoch = 6, .leader = 2,
	    .replica_count = 2, .isr_count = 1, .isr_from = 1, .old = true }),
	    ERR_REPLICA_NOT_AVAILABLE);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .partition = RIG_LOST, .epoch = 7, .old = true }),
		    ERR_KAFKA_STORAGE_ERROR);
		replica_rig_restart(&rig);
	}
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = RIG_LOST, .epoch = 0, .topic_id = { { 1 } } }),
	    ERR_REPLICA_NOT_AVAILABLE);
	files_faulty_clear(rig.files);
	replica_rig_restart(&rig);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = RIG_LOST, .epoch = 1, .old = true,
	    .topic_id = { { 1 } } }), ERR_NONE);
	replica_rig_fini(&rig);
}

static void
test_order_restart(void)
{
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, -1, 3, 10), ERR_NONE);
	replica_rig_restart(&rig);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .old = true }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, 3);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	/* With a member that has to tell its end, the checkpoint speaks. */
	replica_rig_restart(&rig);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .old = true, .replica_count = 2 }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	replica_rig_fini(&rig);
}

/* --- produce -------------------------------------------------------------- */

static void
test_produce_at_once(void)
{
	static const int16_t acks[] = { 1, -1, 0, 1 };
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	for (int i = 0; i < 4; i++) {
		rig_produce_init(&p, &rig, acks[i]);
		rig_produce_start(&p);
		CU_ASSERT(p.at_once);
		CU_ASSERT_FALSE(p.released);
		CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
		CU_ASSERT_EQUAL(p.part.base_offset, i);
		CU_ASSERT_EQUAL(p.part.log_append_time_ms, -1);
		CU_ASSERT_EQUAL(p.part.log_start_offset, 0);
		CU_ASSERT_EQUAL(loop_task_count(rig.loops[0]), 0);
		rig_produce_fini(&p);
	}
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 4);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_MESSAGES_IN), 4);
	replica_rig_fini(&rig);
}

static void
expect_refused(struct replica_rig *rig, struct rig_produce *p,
    enum error error, int64_t log_start_offset)
{
	rig_produce_start(p);
	CU_ASSERT(p->at_once);
	CU_ASSERT_EQUAL(p->part.error, error);
	CU_ASSERT_EQUAL(p->part.base_offset, -1);
	CU_ASSERT_EQUAL(p->part.log_append_time_ms, -1);
	CU_ASSERT_EQUAL(p->part.log_start_offset, log_start_offset);
	rig_produce_fini(p);
	rig_produce_init(p, rig, 1);
}

static void
test_produce_refused(void)
{
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, "message.max.bytes=200");
	replica_rig_lead(&rig, 1, 1);
	rig_produce_init(&p, &rig, 2);
	expect_refused(&rig, &p, ERR_INVALID_REQUIRED_ACKS, -1);
	p.part.topic = SLICE_LITERAL("nowhere");
	expect_refused(&rig, &p, ERR_UNKNOWN_TOPIC_OR_PARTITION, -1);
	p.part.partition = 1;
	expect_refused(&rig, &p, ERR_NOT_LEADER_OR_FOLLOWER, -1);
	p.part.null_records = true;
	expect_refused(&rig, &p, ERR_UNKNOWN_SERVER_ERROR, -1);
	p.bytes.length = 0;
	expect_refused(&rig, &p, ERR_INVALID_RECORD, -1);
	p.bytes.data[16] = 7; /* magic */
	expect_refused(&rig, &p, ERR_CORRUPT_MESSAGE, -1);
	p.bytes.data[16] = 1;
	expect_refused(&rig, &p, ERR_INVALID_RECORD, -1);
	p.bytes.data[70] ^= 1;
	expect_refused(&rig, &p, ERR_CORRUPT_MESSAGE, -1);
	p.bytes.data[22] |= CODEC_ZSTD;
	p.produce.api_version = 6;
	expect_refused(&rig, &p, ERR_UNSUPPORTED_COMPRESSION_TYPE, -1);
	p.bytes.data[22] |= BATCH_ATTR_TRANSACTIONAL;
	expect_refused(&rig, &p, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
	    -1);
	p.bytes.data[22] |= BATCH_ATTR_TRANSACTIONAL;
	p.produce.names_transaction = true;
	expect_refused(&rig, &p, ERR_INVALID_TXN_STATE, -1);
	p.bytes.data[7] = 5; /* base offset */
	expect_refused(&rig, &p, ERR_INVALID_RECORD, 0);
	rig_batch(&p.bytes, 1, 10); /* a second batch */
	expect_refused(&rig, &p, ERR_INVALID_RECORD, -1);
	p.bytes.length = 0;
	rig_batch(&p.bytes, 1, 200);
	expect_refused(&rig, &p, ERR_MESSAGE_TOO_LARGE, -1);
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(p.part.base_offset, 0);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

static void
test_produce_leader_hint(void)
{
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 1, 3);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(p.part.error, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(p.part.current_leader, 3);
	CU_ASSERT_EQUAL(p.part.current_leader_epoch, 5);
	rig_produce_fini(&p);
	/* What LeaderAndIsr said is newer than the image. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .leader = 2, .replica_count = 3 }), ERR_NONE);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(p.part.current_leader, 2);
	CU_ASSERT_EQUAL(p.part.current_leader_epoch, 6);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

static void
test_produce_internal(void)
{
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, "__consumer_offsets", 1, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .topic = "__consumer_offsets", .epoch = 1 }), ERR_NONE);
	rig_produce_init(&p, &rig, 1);
	p.part.topic = SLICE_LITERAL("__consumer_offsets");
	expect_refused(&rig, &p, ERR_INVALID_TOPIC_EXCEPTION, -1);
	p.part.topic = SLICE_LITERAL("__consumer_offsets");
	p.produce.internal_allowed = true;
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

static void
test_produce_awaits_replicas(void)
{
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	CU_ASSERT_FALSE(p.done);
	CU_ASSERT(p.released);
	CU_ASSERT_EQUAL(metrics_value_at(rig.metrics, METRIC_PURGATORY_SIZE,
	    METRICS_DELAYED_PRODUCE), 1);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 0);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 1), ERR_NONE);
	CU_ASSERT_FALSE(rig_produce_await(&p, 100));
	CU_ASSERT_EQUAL(rig_follow(&rig, 3, 0), ERR_NONE);
	CU_ASSERT_FALSE(rig_produce_await(&p, 100));
	CU_ASSERT_EQUAL(rig_follow(&rig, 3, 1), ERR_NONE);
	CU_ASSERT(rig_produce_await(&p, 100));
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(p.part.base_offset, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 1);
	CU_ASSERT_EQUAL(metrics_value_at(rig.metrics, METRIC_PURGATORY_SIZE,
	    METRICS_DELAYED_PRODUCE), 0);
	rig_produce_fini(&p);
	/* Time runs out; what was appended is told. */
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	CU_ASSERT_FALSE(rig_produce_await(&p, 999));
	CU_ASSERT(rig_produce_await(&p, 2));
	CU_ASSERT_EQUAL(p.part.error, ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_EQUAL(p.part.base_offset, 1);
	CU_ASSERT_EQUAL(p.part.log_start_offset, 0);
	rig_produce_fini(&p);
	/* Asker gone. */
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	produce_abandon(&p.produce);
	CU_ASSERT(rig_produce_await(&p, 1));
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

static void
test_produce_leadership_lost(void)
{
	struct replica_rig rig;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	/* The same leader in a new epoch goes on waiting. */
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 3, .isr_count = 2 }), ERR_NONE);
	CU_ASSERT_FALSE(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 1), ERR_NONE);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	rig_produce_fini(&p);
	/* Another leader ends it. */
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 7, .replica_count = 3, .leader = 2 }), ERR_NONE);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(p.part.base_offset, 1);
	CU_ASSERT_EQUAL(p.part.current_leader, 2);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

/* Leadership that was lost and won back meanwhile vouches for nothing. */
static void
test_produce_epoch_gap(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	struct replica *replica;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	replica = replicas_find(rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	/* Both changes before the task runs again. */
	lock_take(&replica->state);
	replica->leads_since = 7;
	replica->leader_epoch = 7;
	replica->high_watermark = 1;
	replica_publish(replica);
	lock_release(&replica->state);
	replica_wake(replica);
	replica_unref(replica);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NOT_LEADER_OR_FOLLOWER);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

/* What all loops share is not asked for each batch: not the topic's config,
 * which is resolved once and when it changes, nor the pool for unpacking, when
 * there is nothing to unpack. */
static void
test_produce_rules(void)
{
	struct replica_rig rig;
	unsigned asked;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	asked = atomic_load(&rig.configs.asked);
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 100), ERR_NONE);
	CU_ASSERT_EQUAL(atomic_load(&rig.configs.asked), asked + 1);
	CU_ASSERT_EQUAL(rig.replicas->scratch_count, 0);
	rig.configs.options.max_message_bytes = 300;
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 100), ERR_NONE);
	rig.configs.config.topic = (char *)(uintptr_t) "another";
	replicas_config_changed(rig.replicas, &rig.configs.config);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 100), ERR_NONE);
	rig.configs.config.topic = (char *)(uintptr_t)RIG_TOPIC;
	replicas_config_changed(rig.replicas, &rig.configs.config);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 100),
	    ERR_MESSAGE_TOO_LARGE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 100), ERR_NONE);
	rig.configs.options.max_message_bytes = 1000;
	replicas_config_changed(rig.replicas, &rig.configs.config);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 100), ERR_NONE);
	CU_ASSERT_EQUAL(atomic_load(&rig.configs.asked), asked + 1);
	replica_rig_fini(&rig);
}

static void
demand_one(void *arg)
{
	struct replica_rig *rig = arg;

	rig->configs.options.min_insync_replicas = 1;
	rig->configs.config.topic = (char *)(uintptr_t)RIG_TOPIC;
	replicas_config_changed(rig->replicas, &rig->configs.config);
}

/* An order has the config, another one comes, and then it goes on: the newer
 * one counts. */
static void
test_order_config_overtaken(void)
{
	struct replica_rig rig;
	struct replica *replica;

	replica_rig_init(&rig, false, "min.insync.replicas=2");
	rig.configs.overtake = demand_one;
	rig.configs.overtake_arg = &rig;
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT(rig.configs.overtake == NULL);
	replica = replicas_find(rig.replicas, SLICE_LITERAL(RIG_TOPIC), 0);
	CU_ASSERT_FATAL(replica != NULL);
	CU_ASSERT_EQUAL(atomic_load(&replica->min_insync), 1);
	replica_unref(replica);
	replica_rig_fini(&rig);
}

struct demand {
	struct replica_rig *rig;
	struct rig_fetch fetch;
};

/* The follower's fetch and the higher demand, in one turn of the loop. */
static void
demand_more(void *arg)
{
	struct demand *d = arg;

	d->fetch.fetch.owner = &d->fetch;
	d->fetch.fetch.loop = d->rig->loops[0];
	fetch_run(&d->fetch.fetch);
	d->rig->configs.options.min_insync_replicas = 3;
	d->rig->configs.config.topic = (char *)(uintptr_t)RIG_TOPIC;
	replicas_config_changed(d->rig->replicas, &d->rig->configs.config);
}

static void
test_produce_min_isr(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	struct replicas_counts counts;
	struct demand d = { .rig = &rig };

	replica_rig_init(&rig, false, "min.insync.replicas=2");
	replica_rig_lead(&rig, 3, 2);
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	CU_ASSERT_FALSE(p.done);
	rig_fetch_init(&d.fetch, &rig, 1);
	d.fetch.fetch.replica_id = 2;
	d.fetch.fetch.max_wait_ms = 0;
	replica_rig_on(&rig, 0, demand_more, &d);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
	CU_ASSERT_EQUAL(p.part.base_offset, 0);
	rig_produce_fini(&p);
	rig_fetch_fini(&d.fetch);
	/* Before the append. */
	rig_produce_init(&p, &rig, -1);
	expect_refused(&rig, &p, ERR_NOT_ENOUGH_REPLICAS, 0);
	replicas_count(rig.replicas, &counts);
	CU_ASSERT_EQUAL(counts.under_min_isr, 1);
	CU_ASSERT_EQUAL(counts.under_replicated, 1);
	/* acks=1 goes through, and the high watermark stands still. */
	rig_produce_start(&p);
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	rig_produce_fini(&p);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 2), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 1);
	/* A single replica cannot be asked for two. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6 }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, -1, 1, 10), ERR_NONE);
	replica_rig_fini(&rig);
}

static void
test_produce_flush(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	size_t syncs;

	replica_rig_init(&rig, false, "log.flush.interval.messages=2");
	replica_rig_lead(&rig, 1, 1);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT(p.at_once);
	rig_produce_fini(&p);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT_FALSE(p.at_once);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	CU_ASSERT(files_faulty_calls(rig.files, FILE_CALL_SYNC) > syncs);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

/* The epoch's file was wanted room when it began: the first append writes it,
 * and does so on a worker. */
static void
test_produce_epoch_unwritten(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	size_t syncs;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	files_faulty_set(rig.files, "leader-epoch", FILE_CALL_WRITE, 0, -1,
	    ENOSPC);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6 }), ERR_NONE);
	files_faulty_clear(rig.files);
	replica_rig_pass(&rig, 2000);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT_FALSE(p.at_once);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	CU_ASSERT(rig_produce_await(&p, 10));
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	CU_ASSERT(files_faulty_calls(rig.files, FILE_CALL_SYNC) > syncs);
	rig_produce_fini(&p);
	rig_produce_init(&p, &rig, 1);
	rig_produce_start(&p);
	CU_ASSERT(p.at_once);
	rig_produce_fini(&p);
	replica_rig_fini(&rig);
}

/* What passes is answered, and nothing else. */
static void
test_flush_wants(void)
{
	static const int errors[] = { EMFILE, ENFILE, ENOSPC, EDQUOT };

	for (size_t i = 0; i < nelems(errors); i++) {
		struct replica_rig rig;

		replica_rig_init(&rig, false, "log.flush.interval.messages=1");
		replica_rig_lead(&rig, 1, 1);
		files_faulty_set(rig.files, RIG_TOPIC "-0", FILE_CALL_OPEN, 0,
		    -1, errors[i]);
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10),
		    ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT_FALSE(rig_view(&rig).offline);
		files_faulty_clear(rig.files);
		/* Of no room it is told at the next look for some. */
		replica_rig_pass(&rig, 2000);
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
		CU_ASSERT_EQUAL(rig_view(&rig).end_offset, 2);
		replica_rig_fini(&rig);
	}
}

static void
test_disk_fails(void)
{
	struct replica_rig rig;
	struct replicas_counts counts;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	rig_fetch_init(&f, &rig, 1);
	f.fetch.max_wait_ms = 100000;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.done);
	files_faulty_set(rig.files, ".log", FILE_CALL_WRITE, 0, -1, EIO);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10),
	    ERR_KAFKA_STORAGE_ERROR);
	files_faulty_clear(rig.files);
	CU_ASSERT(rig_fetch_await(&f, 10));
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_KAFKA_STORAGE_ERROR);
	rig_fetch_fini(&f);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10),
	    ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6 }), ERR_KAFKA_STORAGE_ERROR);
	replicas_count(rig.replicas, &counts);
	CU_ASSERT_EQUAL(counts.offline, 1);
	CU_ASSERT_EQUAL(counts.leaders, 0);
	replica_rig_fini(&rig);
}

struct told {
	int count;
	bool leads;
	int32_t epoch;
};

static void
told_role(void *arg, int32_t partition, bool leads, int32_t epoch)
{
	struct told *told = arg;

	CU_ASSERT_EQUAL(partition, 0);
	told->count++;
	told->leads = leads;
	told->epoch = epoch;
}

/* Who was offline and leads in the next epoch begins anew: who is told of roles
 * takes no older epoch than that in which the leadership was called off. */
static void
test_lead_after_offline(void)
{
	struct told told = { 0 };
	struct role_watch watch = { .topic = RIG_TOPIC, .changed = told_role,
		.arg = &told };
	struct replica_rig rig;
	struct replica *replica;

	replica_rig_init(&rig, false, NULL);
	replicas_watch_roles(rig.replicas, &watch);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .partition_epoch = 6, .old = true }), ERR_NONE);
	CU_ASSERT(told.leads);
	CU_ASSERT_EQUAL(told.epoch, 5);
	replica = replicas_find(rig.replicas, slice_of_text(RIG_TOPIC), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(replica);
	replica_set_offline(replica);
	replica_unref(replica);
	CU_ASSERT_FALSE(told.leads);
	CU_ASSERT_EQUAL(told.epoch, 6);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 7, .partition_epoch = 7, .old = true }), ERR_NONE);
	CU_ASSERT(told.leads);
	CU_ASSERT_EQUAL(told.epoch, 7);
	CU_ASSERT_EQUAL(told.count, 3);
	replica_rig_fini(&rig);
}

/* --- disks that make wait ------------------------------------------------- */

static struct replica_rig *slow_rig;

static ssize_t
slow_write(struct files *files, int descriptor, const struct iovec *parts,
    int count, int64_t position)
{
	struct clock_virtual *clock = &slow_rig->clock;

	clock_virtual_advance_to(clock, clock->now_ns + 60 * MS);
	return (files_system()->ops->pwritev(files, descriptor, parts, count,
	    position));
}

static void
test_disk_slow(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	const struct files_ops *quick;
	struct files_ops slow;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	slow_rig = &rig;
	quick = rig.files->ops;
	slow = *quick;
	slow.pwritev = slow_write;
	for (int i = 0; i < 4; i++) {
		/* The second takes long; the third is not made by the loop;
		 * after a while the loop tries again. */
		rig.files->ops = i == 1 ? &slow : quick;
		if (i == 3)
			replica_rig_pass(&rig, 1001);
		rig_produce_init(&p, &rig, 1);
		rig_produce_start(&p);
		CU_ASSERT_EQUAL(p.at_once, i != 2);
		CU_ASSERT(rig_produce_await(&p, 1));
		CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
		CU_ASSERT_EQUAL(p.part.base_offset, i);
		rig_produce_fini(&p);
	}
	replica_rig_fini(&rig);
}

/* What was written meanwhile without delay says that it is slow no more. */
static void
test_disk_slow_once(void)
{
	struct replica_rig rig;
	struct rig_produce p;
	const struct files_ops *quick;
	struct files_ops slow;
	bool at_once = false;
	int appends = 0;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	slow_rig = &rig;
	quick = rig.files->ops;
	slow = *quick;
	slow.pwritev = slow_write;
	rig.files->ops = &slow;
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	rig.files->ops = quick;
	for (; !at_once && appends < 100; appends++) {
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 1000000),
		    ERR_NONE);
		rig_produce_init(&p, &rig, 1);
		rig_produce_start(&p);
		at_once = p.at_once;
		CU_ASSERT(rig_produce_await(&p, 1));
		rig_produce_fini(&p);
	}
	CU_ASSERT(at_once);
	CU_ASSERT_EQUAL(appends, 17);
	replica_rig_fini(&rig);
}

static int
slow_sync(struct files *files, int descriptor)
{
	struct clock_virtual *clock = &slow_rig->clock;

	clock_virtual_advance_to(clock, clock->now_ns + 60 * MS);
	return (files_system()->ops->sync(files, descriptor));
}

/* What the first append of an epoch waits for says nothing about others. */
static void
test_sync_slow(void)
{
	struct rig_order order = { .epoch = 6, .partition_epoch = 1 };
	struct replica_rig rig;
	struct rig_produce p;
	struct files_ops slow;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	slow_rig = &rig;
	slow = *rig.files->ops;
	slow.sync = slow_sync;
	rig.files->ops = &slow;
	for (int i = 0; i < 2; i++) {
		rig_produce_init(&p, &rig, 1);
		rig_produce_start(&p);
		CU_ASSERT_EQUAL(p.at_once, i == 1);
		CU_ASSERT(rig_produce_await(&p, 1000));
		CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
		rig_produce_fini(&p);
	}
	CU_ASSERT(rig.clock.now_ns >= 60 * MS);
	replica_rig_fini(&rig);
}

/* Who leads already waits for no disk to lead in another epoch, which is known
 * at once; the first append of that epoch does. */
static void
test_goes_on_leading(void)
{
	struct rig_order order = { .epoch = 6, .partition_epoch = 1 };
	struct replica_rig rig;
	struct replica *replica;
	struct log_epoch_end end;
	size_t syncs;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	replica = replicas_find(rig.replicas, slice_of_text(RIG_TOPIC), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(replica);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).leader_epoch, 6);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	end = log_epoch_end(replica_log(replica), 6);
	CU_ASSERT_EQUAL(end.leader_epoch, 6);
	CU_ASSERT_EQUAL(end.end_offset, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT(files_faulty_calls(rig.files, FILE_CALL_SYNC) > syncs);
	syncs = files_faulty_calls(rig.files, FILE_CALL_SYNC);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_EQUAL(files_faulty_calls(rig.files, FILE_CALL_SYNC), syncs);
	replica_unref(replica);
	/* On the disk, as it has records. */
	replica_rig_restart(&rig);
	order = (struct rig_order){ .epoch = 7, .old = true,
		.partition_epoch = 2 };
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	replica = replicas_find(rig.replicas, slice_of_text(RIG_TOPIC), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(replica);
	end = log_epoch_end(replica_log(replica), 6);
	CU_ASSERT_EQUAL(end.end_offset, 4);
	end = log_epoch_end(replica_log(replica), 5);
	CU_ASSERT_EQUAL(end.end_offset, 2);
	replica_unref(replica);
	replica_rig_fini(&rig);
}

static void
test_metrics_page(void)
{
	struct replica_rig rig;
	struct buffer page = BUFFER_EMPTY;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 7, 10), ERR_NONE);
	metrics_expose(rig.metrics, &page);
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "messagesin_total{topic=\"orders\"} 7"));
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "kafka_server_replicamanager_leadercount 1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "kafka_server_replicamanager_underreplicatedpartitions 1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "kafka_server_replicamanager_reassigningpartitions 0"));
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 3, .isr_count = 2, .adding = 3 }),
	    ERR_NONE);
	page.length = 0;
	metrics_expose(rig.metrics, &page);
	CU_ASSERT_PTR_NOT_NULL(strstr(buffer_text(&page),
	    "kafka_server_replicamanager_reassigningpartitions 1"));
	/* What goes to who comes, and to nobody else. */
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 0), ERR_NONE);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics,
	    METRIC_REASSIGNMENT_BYTES_OUT), 0);
	CU_ASSERT_EQUAL(rig_follow(&rig, 3, 0), ERR_NONE);
	CU_ASSERT(metrics_value(rig.metrics,
	    METRIC_REASSIGNMENT_BYTES_OUT) > 70);
	buffer_fini(&page);
	replica_rig_fini(&rig);
}

/* What is refused as a whole is refused row for row, too: twins as they are. */
static void
test_refused_rows(void)
{
	struct replica_rig rig;
	struct leader_and_isr_request_partition_state states[2] = {
		{ .topic_name = SLICE_LITERAL("a"), .partition_index = 3 },
		{ .topic_name = SLICE_LITERAL("a"), .partition_index = 3 },
	};
	struct leader_and_isr_request_topic_state topic = {
		.topic_name = SLICE_LITERAL("a"), .partition_states = states,
		.partition_states_count = 2 };
	struct leader_and_isr_request request;
	struct leader_and_isr_response response;
	struct replicas_order *order;
	struct arena arena;

	replica_rig_init(&rig, false, NULL);
	CU_ASSERT(replicas_accept_controller_epoch(rig.replicas, 4));
	arena_init(&arena, 0);
	wire_init(&message_leader_and_isr_request, &request);
	request.controller_epoch = 3;
	request.topic_states = &topic;
	request.topic_states_count = 1;
	for (int version = 4; version <= 5; version++) {
		const struct leader_and_isr_response_partition_error *rows;

		wire_init(&message_leader_and_isr_response, &response);
		order = replicas_leader_and_isr(rig.replicas, &request, version,
		    10, &arena, &response, (struct task_ref){ 0 });
		CU_ASSERT(replicas_order_done(order));
		replicas_order_free(&order);
		CU_ASSERT_EQUAL(response.error_code,
		    ERR_STALE_CONTROLLER_EPOCH);
		CU_ASSERT_EQUAL(response.partition_errors_count,
		    version == 4 ? 2 : 0);
		CU_ASSERT_EQUAL(response.topics_count, version == 4 ? 0 : 1);
		rows = version == 4 ? response.partition_errors :
				      response.topics[0].partition_errors;
		CU_ASSERT_EQUAL(rows[1].partition_index, 3);
		CU_ASSERT_EQUAL(rows[1].error_code,
		    ERR_STALE_CONTROLLER_EPOCH);
	}
	arena_fini(&arena);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "what is refused is refused row for row", test_refused_rows },
	{ "ISR: progress of followers", test_isr_progress },
	{ "ISR: decisions", test_isr_decisions },
	{ "order: epochs", test_order_epochs },
	{ "order: versions and topic ids", test_order_forms },
	{ "order: following", test_order_follower },
	{ "order: a log that is lost is not led", test_order_log_lost },
	{ "order: nor when it could not be made", test_order_log_lost_no_room },
	{ "order: after a restart", test_order_restart },
	{ "order: a config that comes meanwhile", test_order_config_overtaken },
	{ "produce: done before it returns", test_produce_at_once },
	{ "produce: refusals", test_produce_refused },
	{ "produce: who leads instead", test_produce_leader_hint },
	{ "produce: internal topics", test_produce_internal },
	{ "produce: waits for replicas", test_produce_awaits_replicas },
	{ "produce: leadership lost", test_produce_leadership_lost },
	{ "produce: leadership with a gap", test_produce_epoch_gap },
	{ "produce: rules", test_produce_rules },
	{ "produce: min.insync.replicas", test_produce_min_isr },
	{ "produce: flush.messages", test_produce_flush },
	{ "produce: an epoch that is not written yet",
	    test_produce_epoch_unwritten },
	{ "flush.messages wants a descriptor or room", test_flush_wants },
	{ "a disk fails", test_disk_fails },
	{ "leads again after it was offline", test_lead_after_offline },
	{ "a disk is slow", test_disk_slow },
	{ "a disk was slow once", test_disk_slow_once },
	{ "a sync is slow", test_sync_slow },
	{ "goes on leading", test_goes_on_leading },
	{ "metrics", test_metrics_page },
};

int
main(void)
{
	return (unit_main("replica", tests, nelems(tests)));
}
