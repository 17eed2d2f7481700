/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch and ListOffsets over a real log, in replay. */
#include "replica_rig.h"

#include "base/bytes.h"
#include "replica/describe.h"

/* --- fetch ---------------------------------------------------------------- */

static void
test_fetch_waits(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	rig_fetch_init(&f, &rig, 0);
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.done);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 100));
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	CU_ASSERT_EQUAL(f.parts[0].high_watermark, 2);
	CU_ASSERT_EQUAL(f.parts[0].stable_offset, 2);
	CU_ASSERT_EQUAL(f.parts[0].answered_log_start, 0);
	/* There is something now: no wait, no task. */
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_EQUAL(loop_task_count(rig.loops[0]), 0);
	/* Too few bytes: until time is up, then what there is. */
	rig_fetch_again(&f);
	f.fetch.min_bytes = 1000;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 499));
	CU_ASSERT(rig_fetch_await(&f, 2));
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	/* Enough of them by and by. */
	rig_fetch_again(&f);
	f.fetch.min_bytes = 200;
	rig_fetch_start(&f);
	for (int i = 0; !f.done && i < 10; i++) {
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
		(void)rig_fetch_await(&f, 1);
	}
	CU_ASSERT(f.done);
	CU_ASSERT(f.parts[0].extent.length >= 200);
	CU_ASSERT(f.parts[0].extent.length < 400);
	rig_fetch_fini(&f);
	/* Asker gone. */
	rig_fetch_init(&f, &rig, rig_view(&rig).end_offset);
	rig_fetch_start(&f);
	fetch_abandon(&f.fetch);
	CU_ASSERT(rig_fetch_await(&f, 1));
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static bool
must_answer(struct fetch *fetch)
{
	(void)fetch;
	return (true);
}

static void
test_fetch_at_once(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	rig_fetch_init(&f, &rig, 0);
	f.fetch.must_answer = must_answer;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	f.fetch.must_answer = NULL;
	f.fetch.part_count = 0;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	f.fetch.part_count = 1;
	f.fetch.max_wait_ms = 0;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	f.fetch.max_wait_ms = 500;
	f.fetch.min_bytes = 0;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	/* A part refused by name does not keep the other from waiting. */
	f.fetch.min_bytes = 1;
	f.fetch.part_count = 2;
	f.parts[1].error = ERR_UNKNOWN_TOPIC_ID;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.at_once);
	CU_ASSERT(rig_fetch_await(&f, 501));
	/* One that is led elsewhere does. */
	f.parts[1].error = ERR_NONE;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_EQUAL(f.parts[1].error, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(f.parts[1].current_leader, 1);
	f.fetch.part_count = 1;
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
expect_fetch(struct rig_fetch *f, enum error error)
{
	f->fetch.max_wait_ms = 0;
	rig_fetch_start(f);
	CU_ASSERT(f->at_once);
	CU_ASSERT_EQUAL(f->parts[0].error, error);
	if (error != ERR_NONE) {
		CU_ASSERT_EQUAL(f->parts[0].high_watermark, -1);
		CU_ASSERT_PTR_NULL(f->parts[0].extent.blob);
	}
	rig_fetch_again(f);
}

static void
test_fetch_errors(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 4, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 5, .replica_count = 3, .topic_id = { { 1 } } }),
	    ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	rig_fetch_init(&f, &rig, 0);
	f.parts[0].topic_id = (struct uuid){ { 2 } };
	expect_fetch(&f, ERR_INCONSISTENT_TOPIC_ID);
	f.parts[0].topic_id = (struct uuid){ { 1 } };
	f.parts[0].current_leader_epoch = 6;
	expect_fetch(&f, ERR_UNKNOWN_LEADER_EPOCH);
	f.parts[0].current_leader_epoch = 4;
	expect_fetch(&f, ERR_FENCED_LEADER_EPOCH);
	f.parts[0].current_leader_epoch = 5;
	expect_fetch(&f, ERR_NONE);
	f.parts[0].fetch_offset = 3;
	expect_fetch(&f, ERR_OFFSET_OUT_OF_RANGE);
	f.parts[0].fetch_offset = -1;
	expect_fetch(&f, ERR_OFFSET_OUT_OF_RANGE);
	/* Between the high watermark and the end: empty, and no error. */
	f.parts[0].fetch_offset = 1;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	CU_ASSERT_PTR_NULL(f.parts[0].extent.blob);
	CU_ASSERT_EQUAL(f.parts[0].high_watermark, 0);
	/* Who is no replica does not fetch as one. */
	f.fetch.replica_id = 7;
	expect_fetch(&f, ERR_UNKNOWN_LEADER_EPOCH);
	f.parts[0].current_leader_epoch = -1;
	expect_fetch(&f, ERR_NOT_LEADER_OR_FOLLOWER);
	f.fetch.replica_id = -1;
	/* From a follower only who may. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 3, .leader = 2,
	    .topic_id = { { 1 } } }), ERR_NONE);
	expect_fetch(&f, ERR_NOT_LEADER_OR_FOLLOWER);
	f.fetch.may_read_follower = true;
	expect_fetch(&f, ERR_NONE);
	f.parts[0].topic = SLICE_LITERAL("nowhere");
	expect_fetch(&f, ERR_UNKNOWN_TOPIC_OR_PARTITION);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_fetch_diverging(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 7, .replica_count = 3 }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	rig_fetch_init(&f, &rig, 3);
	f.fetch.replica_id = 2;
	f.parts[0].last_fetched_epoch = 7;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_FALSE(f.parts[0].has_diverging);
	/* Epoch 5 ended at 2 here; the follower has 3 records of it. */
	rig_fetch_again(&f);
	f.parts[0].last_fetched_epoch = 5;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT(f.parts[0].has_diverging);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	CU_ASSERT_EQUAL(f.parts[0].diverging.leader_epoch, 5);
	CU_ASSERT_EQUAL(f.parts[0].diverging.end_offset, 2);
	CU_ASSERT_PTR_NULL(f.parts[0].extent.blob);
	f.parts[0].last_fetched_epoch = 9;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_OFFSET_OUT_OF_RANGE);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_fetch_sizes(void)
{
	struct replica_rig rig;
	struct rig_fetch f;
	size_t batch;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 5 }), ERR_NONE);
	for (int i = 0; i < 6; i++) {
		struct rig_produce p;

		rig_produce_init(&p, &rig, 1);
		p.part.partition = i & 1;
		rig_produce_start(&p);
		batch = p.part.size;
		rig_produce_fini(&p);
	}
	rig_fetch_init(&f, &rig, 0);
	f.fetch.part_count = 2;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].extent.length, 3 * batch);
	CU_ASSERT_EQUAL(f.parts[1].extent.length, 3 * batch);
	/* The partition's limit, then the request's. */
	rig_fetch_again(&f);
	f.parts[0].max_bytes = (int32_t)batch + 5;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].extent.length, batch + 5);
	CU_ASSERT_EQUAL(f.parts[1].extent.length, 3 * batch);
	rig_fetch_again(&f);
	f.fetch.max_bytes = (int32_t)(2 * batch) + 10;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].extent.length, batch + 5);
	CU_ASSERT_EQUAL(f.parts[1].extent.length, batch + 5);
	/* The second one's first batch does not fit: nothing of it. */
	rig_fetch_again(&f);
	f.fetch.max_bytes = (int32_t)(2 * batch);
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].extent.length, batch + 5);
	CU_ASSERT_PTR_NULL(f.parts[1].extent.blob);
	/* The first with data comes whole, whatever the limits. */
	rig_fetch_again(&f);
	f.fetch.max_bytes = 1;
	f.parts[0].fetch_offset = 3;
	rig_fetch_start(&f);
	CU_ASSERT_PTR_NULL(f.parts[0].extent.blob);
	CU_ASSERT_EQUAL(f.parts[1].extent.length, batch);
	/* In old versions limits are hard. */
	rig_fetch_again(&f);
	f.fetch.hard_limit = true;
	f.fetch.max_bytes = 20;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[1].extent.length, 20);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_fetch_of_followers(void)
{
	struct replica_rig rig;
	struct rig_fetch f, consumer;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	rig_fetch_init(&consumer, &rig, 0);
	rig_fetch_start(&consumer);
	CU_ASSERT_FALSE(consumer.done);
	/* A follower sees the end, and is told of the mark before its fetch. */
	rig_fetch_init(&f, &rig, 0);
	f.fetch.replica_id = 2;
	rig_fetch_start(&f);
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	CU_ASSERT_EQUAL(f.parts[0].high_watermark, 0);
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 2;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.done);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 2);
	CU_ASSERT(rig_fetch_await(&consumer, 1));
	CU_ASSERT_PTR_NOT_NULL(consumer.parts[0].extent.blob);
	CU_ASSERT(rig_fetch_await(&f, 501));
	CU_ASSERT_EQUAL(f.parts[0].high_watermark, 2);
	/* 3 is outside and does not hold the mark back. */
	CU_ASSERT_EQUAL(rig_follow(&rig, 3, 0), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 3), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	/* Once it has caught up it does. */
	CU_ASSERT_EQUAL(rig_follow(&rig, 3, 3), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 4), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	rig_fetch_fini(&f);
	rig_fetch_fini(&consumer);
	replica_rig_fini(&rig);
}

/* A follower that waits is answered when this broker leads something more: it
 * may have been told, too, and ask for that as well. */
static void
test_fetch_hastened(void)
{
	struct rig_order order = { .partition = 1, .epoch = 5,
		.replica_count = 2 };
	struct replica_rig rig;
	struct rig_fetch f, consumer;
	int64_t began_ns;
	int answers = 0;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	replica_rig_pass(&rig, 10000);
	rig_fetch_init(&f, &rig, 0);
	rig_fetch_init(&consumer, &rig, 0);
	f.fetch.replica_id = 2;
	rig_fetch_start(&f);
	rig_fetch_start(&consumer);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 400));
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &order), ERR_NONE);
	CU_ASSERT(rig_fetch_await(&f, 5));
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	CU_ASSERT_FALSE(consumer.done);
	/* And soon again, but less and less. */
	for (began_ns = rig.clock.now_ns;
	     rig.clock.now_ns - began_ns < 400 * NANOS_PER_MILLI; answers++) {
		rig_fetch_again(&f);
		rig_fetch_start(&f);
		CU_ASSERT_FALSE(f.at_once);
		CU_ASSERT(rig_fetch_await(&f, 500));
	}
	CU_ASSERT(answers > 5 && answers < 20);
	replica_rig_pass(&rig, 1000);
	CU_ASSERT(consumer.done);
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 400));
	fetch_abandon(&f.fetch);
	CU_ASSERT(rig_fetch_await(&f, 1));
	rig_fetch_fini(&f);
	rig_fetch_fini(&consumer);
	replica_rig_fini(&rig);
}

static void
test_fetch_leadership_lost(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	rig_fetch_init(&f, &rig, 0);
	f.fetch.max_wait_ms = 100000;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 3, .leader = 3 }), ERR_NONE);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NOT_LEADER_OR_FOLLOWER);
	CU_ASSERT_EQUAL(f.parts[0].current_leader, 3);
	CU_ASSERT_EQUAL(f.parts[0].current_leader_id_epoch, 6);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

/* A roll while it waits: the rest of the old segment is sent at once. */
static void
test_fetch_rolls(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, "log.segment.bytes=300");
	replica_rig_lead(&rig, 1, 1);
	rig_fetch_init(&f, &rig, 0);
	f.fetch.min_bytes = 100000;
	f.fetch.max_wait_ms = 100000;
	rig_fetch_start(&f);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	CU_ASSERT(f.parts[0].extent.length < 300);
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_stop(void)
{
	struct replica_rig rig;
	struct rig_fetch f;
	struct rig_produce p;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 3, 3);
	rig_fetch_init(&f, &rig, 0);
	f.fetch.max_wait_ms = 100000;
	rig_fetch_start(&f);
	rig_produce_init(&p, &rig, -1);
	rig_produce_start(&p);
	replicas_stop(rig.replicas);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT(rig_produce_await(&p, 1));
	CU_ASSERT_EQUAL(p.part.error, ERR_NOT_LEADER_OR_FOLLOWER);
	rig_fetch_fini(&f);
	rig_produce_fini(&p);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10),
	    ERR_NOT_LEADER_OR_FOLLOWER);
	replica_rig_fini(&rig);
}

/* --- a disk that makes wait ---------------------------------------------- */

static int
not_resident(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	(void)files;
	(void)descriptor;
	(void)position;
	(void)size;
	return (0);
}

static int
must_not_be_asked(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	CU_ASSERT_FATAL(false);
	return (not_resident(files, descriptor, position, size));
}

static void
test_disk_cold(void)
{
	struct replica_rig rig;
	struct rig_fetch f;
	struct files_ops cold;
	size_t reads;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	cold = *rig.files->ops;
	cold.resident = not_resident;
	rig.files->ops = &cold;
	rig_fetch_init(&f, &rig, 0);
	reads = files_faulty_calls(rig.files, FILE_CALL_READ);
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.at_once);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	/* The worker waited for the bytes, so that the loop need not. */
	CU_ASSERT(files_faulty_calls(rig.files, FILE_CALL_READ) > reads);
	/* Too little: it waits, and reads on a worker again. */
	rig_fetch_again(&f);
	f.fetch.min_bytes = 100000;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 499));
	CU_ASSERT(rig_fetch_await(&f, 2));
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	fetch_abandon(&f.fetch);
	CU_ASSERT(rig_fetch_await(&f, 2));
	/* At the end there is nothing to be cold: no worker is asked. */
	cold.resident = must_not_be_asked;
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 2;
	f.fetch.min_bytes = 1;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 499));
	CU_ASSERT(rig_fetch_await(&f, 2));
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

/* --- transactions --------------------------------------------------------- */

/* A batch of a producer, or a marker of it (0: abort, 1: commit). */
static void
transact_as(struct replica_rig *rig, int64_t producer, int marker)
{
	struct replica *replica = replicas_find(rig->replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	const uint8_t key[] = { 0, 0, 0, (uint8_t)(marker == 1) };
	struct buffer bytes = BUFFER_EMPTY;
	struct batch_builder builder;
	struct log_appended appended;
	struct log *log = replica_log(replica);

	batch_builder_init(&builder, 0, CODEC_NONE);
	builder.leader_epoch = log_latest_epoch(log);
	builder.producer_id = producer;
	builder.producer_epoch = 0;
	builder.base_sequence = marker < 0 ? 0 : -1;
	builder.attributes = BATCH_ATTR_TRANSACTIONAL;
	if (marker >= 0)
		builder.attributes |= BATCH_ATTR_CONTROL;
	batch_builder_add(&builder, RIG_WALL_MS, slice_of(key, 4),
	    slice_of("\0\0\0\0\0\1", 6), NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes), ERR_NONE);
	batch_builder_fini(&builder);
	bytes_put_i64(bytes.data, log_end_offset(log));
	replica_lock(replica);
	CU_ASSERT_EQUAL(log_append_as_follower(log, buffer_slice(&bytes),
	    &appended), ERR_NONE);
	if (replica_end_moved(replica))
		replica_tell_high_watermark(replica);
	waitq_wake(&replica->readable);
	replica_unlock(replica);
	buffer_fini(&bytes);
	replica_unref(replica);
}

static void
transact(struct replica_rig *rig, int marker)
{
	transact_as(rig, 7, marker);
}

static void
test_fetch_committed(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	transact(&rig, -1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 1);
	/* One sees it all, the other what is stable. */
	rig_fetch_init(&f, &rig, 0);
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_FALSE(f.parts[0].tells_aborted);
	CU_ASSERT_EQUAL(f.parts[0].stable_offset, 1);
	CU_ASSERT(f.parts[0].extent.length > 200);
	rig_fetch_again(&f);
	f.fetch.isolation = 1;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT(f.parts[0].tells_aborted);
	CU_ASSERT_EQUAL(f.parts[0].aborted.count, 0);
	CU_ASSERT_EQUAL(f.parts[0].high_watermark, 3);
	CU_ASSERT(f.parts[0].extent.length < 100);
	/* At the stable offset it waits, whatever else comes, until that
	 * moves; then a worker looks for what was aborted. */
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 1;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.done);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 100));
	transact(&rig, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 5);
	CU_ASSERT(rig_fetch_await(&f, 1));
	CU_ASSERT_EQUAL(f.parts[0].stable_offset, 5);
	CU_ASSERT_EQUAL_FATAL(f.parts[0].aborted.count, 1);
	CU_ASSERT_EQUAL(f.parts[0].aborted.items[0].producer_id, 7);
	CU_ASSERT_EQUAL(f.parts[0].aborted.items[0].first_offset, 1);
	/* Never on the loop; but behind the last marker there is nothing to
	 * look for. */
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.at_once);
	CU_ASSERT(rig_fetch_await(&f, 1));
	rig_fetch_again(&f);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	f.parts[0].fetch_offset = 5;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT(f.parts[0].tells_aborted);
	CU_ASSERT_EQUAL(f.parts[0].aborted.count, 0);
	/* With an error there is no list. */
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 99;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT_FALSE(f.parts[0].tells_aborted);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

/* A marker counts when the followers have it. */
static void
test_stable_offset(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	CU_ASSERT_EQUAL(isr_stable_offset(0, 10, INT64_MAX), 10);
	CU_ASSERT_EQUAL(isr_stable_offset(0, 10, 10), 10);
	CU_ASSERT_EQUAL(isr_stable_offset(0, 10, 11), 10);
	CU_ASSERT_EQUAL(isr_stable_offset(0, 10, 4), 4);
	CU_ASSERT_EQUAL(isr_stable_offset(7, 10, 4), 7);
	CU_ASSERT_EQUAL(isr_stable_offset(10, 10, 4), 10);

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	transact(&rig, -1);
	transact(&rig, 1);
	transact(&rig, -1);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 0);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 1), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 1);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 0);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 2), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 2);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 3), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 2);
	/* A follower reads all, whatever it says. */
	rig_fetch_init(&f, &rig, 2);
	f.fetch.replica_id = 2;
	f.fetch.isolation = 1;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	CU_ASSERT_FALSE(f.parts[0].tells_aborted);
	rig_fetch_fini(&f);
	/* What was left open stays so over a restart. */
	replica_rig_restart(&rig);
	replica_rig_image(&rig, RIG_TOPIC, 4, 1);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 1, .old = true }), ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark, 3);
	CU_ASSERT_EQUAL(rig_view(&rig).stable_offset, 2);
	replica_rig_fini(&rig);
}

/* --- offsets -------------------------------------------------------------- */

struct lookup {
	struct replica_rig *rig;
	struct offset_lookup lookup;
	struct offset_query query;
	struct arena arena;
	bool at_once;
};

static void
lookup_begin(void *arg)
{
	struct lookup *l = arg;

	l->at_once = offset_lookup_at_once(&l->lookup);
	if (l->at_once)
		l->lookup.done = true;
	else
		offset_lookup_start(&l->lookup, l->rig->loops[0]);
}

static enum error
look_up(struct lookup *l, int64_t timestamp, int version)
{
	l->query.timestamp = timestamp;
	l->query.version = version;
	l->query.error = ERR_NONE;
	l->query.max_offsets = INT32_MAX; /* far more than there is room for */
	l->lookup = (struct offset_lookup){ .replicas = l->rig->replicas,
		.arena = &l->arena, .queries = &l->query, .count = 1 };
	replica_rig_on(l->rig, 0, lookup_begin, l);
	CU_ASSERT(scheduler_run_while_not(l->rig->scheduler, &l->lookup.done,
	    MS));
	return (l->query.error);
}

/* Starts of segments, and no more memory than these need. */
static void
test_offsets_of_segments(void)
{
	struct replica_rig rig;
	struct lookup l = { .rig = &rig, .query = {
	    .topic = SLICE_LITERAL(RIG_TOPIC), .replica_id = -1,
	    .current_leader_epoch = -1 } };

	arena_init(&l.arena, 8192);
	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 2), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, -1, 0), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.offset_count, 2);
	CU_ASSERT_EQUAL(l.query.offsets[0], 2);
	CU_ASSERT_EQUAL(l.query.offsets[1], 0);
	CU_ASSERT_EQUAL(look_up(&l, -2, 0), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.offset_count, 1);
	CU_ASSERT_EQUAL(look_up(&l, -3, 0), ERR_UNSUPPORTED_VERSION);
	arena_fini(&l.arena);
	replica_rig_fini(&rig);
}

/* One that there is not counts for consumers only. */
static void
test_offsets_isolation(void)
{
	struct replica_rig rig;
	struct lookup l = { .rig = &rig, .query = {
	    .topic = SLICE_LITERAL(RIG_TOPIC), .replica_id = -1,
	    .current_leader_epoch = -1, .isolation = 2 } };

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_UNKNOWN_SERVER_ERROR);
	CU_ASSERT_EQUAL(look_up(&l, -9, 7), ERR_UNSUPPORTED_VERSION);
	l.query.replica_id = -2;
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_NONE);
	replica_rig_fini(&rig);
}

static void
test_offsets(void)
{
	struct replica_rig rig;
	struct lookup l = { .rig = &rig, .query = {
	    .topic = SLICE_LITERAL(RIG_TOPIC), .replica_id = -1,
	    .current_leader_epoch = -1 } };

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 2, 2);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 2), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, -1, 9), ERR_NONE);
	CU_ASSERT_TRUE(l.at_once);
	CU_ASSERT_EQUAL(l.query.found.offset, 2);
	CU_ASSERT_EQUAL(l.query.found.timestamp_ms, -1);
	CU_ASSERT_EQUAL(l.query.found.leader_epoch, 5);
	CU_ASSERT_EQUAL(look_up(&l, -2, 9), ERR_NONE);
	CU_ASSERT_TRUE(l.at_once);
	CU_ASSERT_EQUAL(l.query.found.offset, 0);
	CU_ASSERT_EQUAL(l.query.found.leader_epoch, 5);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 1, 9), ERR_NONE);
	CU_ASSERT_FALSE(l.at_once);
	CU_ASSERT_EQUAL(l.query.found.offset, 1);
	CU_ASSERT_EQUAL(l.query.found.timestamp_ms, RIG_WALL_MS + 1);
	/* Above the mark: as if it were not there. */
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 2, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, -1);
	CU_ASSERT_EQUAL(look_up(&l, -5, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, -1);
	CU_ASSERT_EQUAL(look_up(&l, -5, 8), ERR_UNSUPPORTED_VERSION);
	CU_ASSERT_EQUAL(look_up(&l, -3, 6), ERR_UNSUPPORTED_VERSION);
	CU_ASSERT_EQUAL(look_up(&l, -4, 8), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, -6, 9), ERR_UNSUPPORTED_VERSION);
	CU_ASSERT_EQUAL(look_up(&l, INT64_MIN, 9), ERR_UNSUPPORTED_VERSION);
	l.query.replica_id = -2;
	CU_ASSERT_EQUAL(look_up(&l, -3, 7), ERR_NONE);
	CU_ASSERT_FALSE(l.at_once);
	CU_ASSERT_EQUAL(l.query.found.offset, 2);
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, 3);
	l.query.replica_id = -1;
	l.query.current_leader_epoch = 4;
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_FENCED_LEADER_EPOCH);
	l.query.current_leader_epoch = -2;
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_FENCED_LEADER_EPOCH);
	l.query.current_leader_epoch = 6;
	CU_ASSERT_EQUAL(look_up(&l, -1, 7), ERR_UNKNOWN_LEADER_EPOCH);
	l.query.current_leader_epoch = -1;
	/* A new epoch begins above the mark: no answer yet. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 2 }), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, -1, 5), ERR_OFFSET_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(look_up(&l, -1, 4), ERR_LEADER_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS, 5), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 2, 5),
	    ERR_OFFSET_NOT_AVAILABLE);
	/* Nor is it said that there is none so late. */
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 1000, 5),
	    ERR_OFFSET_NOT_AVAILABLE);
	l.query.partition = 1;
	CU_ASSERT_EQUAL(look_up(&l, -1, 5), ERR_NOT_LEADER_OR_FOLLOWER);
	l.query.partition = 9;
	CU_ASSERT_EQUAL(look_up(&l, -1, 5), ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(look_up(&l, -6, 5), ERR_UNSUPPORTED_VERSION);
	replica_rig_fini(&rig);
}

/* For who reads what is committed the log ends where an open transaction
 * begins. */
static void
test_offsets_committed(void)
{
	struct replica_rig rig;
	struct lookup l = { .rig = &rig, .query = {
	    .topic = SLICE_LITERAL(RIG_TOPIC), .replica_id = -1,
	    .current_leader_epoch = -1 } };

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 2, 10), ERR_NONE);
	transact(&rig, -1);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 3, 10), ERR_NONE);
	CU_ASSERT_EQUAL(look_up(&l, -1, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, 6);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 2, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, 5);
	l.query.isolation = 1;
	CU_ASSERT_EQUAL(look_up(&l, -1, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, 2);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 1, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, 1);
	CU_ASSERT_EQUAL(look_up(&l, RIG_WALL_MS + 2, 9), ERR_NONE);
	CU_ASSERT_EQUAL(l.query.found.offset, -1);
	replica_rig_fini(&rig);
}

/* --- producers ------------------------------------------------------------ */

#define ASKED 1000 /* partitions that are named */
#define KNOWN 20   /* producers of each */

struct asking {
	struct replica_rig *rig;
	struct arena arena;
	struct producers_query queries[ASKED];
	struct producers_lookup lookup;
	bool abandons;
	bool answered;
};

static task_step asking_start, asking_done;

static const struct task_class asking_class = {
	.name = "asking",
	.state_size = sizeof(struct asking *),
};

static void
asking_setup(struct task *task, void *arg)
{
	*(struct asking **)task_state(task) = arg;
}

static enum verdict
asking_start(struct task *t)
{
	struct asking *a = *(struct asking **)task_state(t);

	a->lookup.task = task_ref(t);
	producers_lookup_start(&a->lookup, task_loop(t));
	if (a->abandons)
		producers_lookup_abandon(&a->lookup);
	return (task_next(t, asking_done));
}

static enum verdict
asking_done(struct task *t)
{
	struct asking *a = *(struct asking **)task_state(t);

	a->answered = a->lookup.done;
	return (a->answered ? STEP_DONE : STEP_WAIT);
}

static void
asking_begin(void *arg)
{
	task_start(((struct asking *)arg)->rig->loops[0], &asking_class,
	    asking_start, asking_setup, arg);
}

/* Partition 0 again and again, and once, in the middle, one that is not. */
static void
ask_producers(struct replica_rig *rig, struct asking *a, size_t limit_bytes,
    bool abandons)
{
	memset(a, 0, sizeof(*a));
	a->rig = rig;
	a->abandons = abandons;
	arena_init(&a->arena, limit_bytes);
	for (size_t i = 0; i < ASKED; i++)
		a->queries[i] = (struct producers_query){
			.topic = SLICE_LITERAL(RIG_TOPIC),
			.partition = i == ASKED / 2 ? 9 : 0,
		};
	a->lookup.replicas = rig->replicas;
	a->lookup.arena = &a->arena;
	a->lookup.queries = a->queries;
	a->lookup.count = ASKED;
	loop_post_call(rig->loops[0], asking_begin, a);
	CU_ASSERT_FATAL(scheduler_run_while_not(rig->scheduler, &a->answered,
	    INT64_MAX / 4));
}

static void
check_producers(const struct asking *a)
{
	for (size_t i = 0; i < ASKED; i++) {
		const struct producers_query *q = &a->queries[i];

		if (i == ASKED / 2) {
			CU_ASSERT_EQUAL(q->error,
			    ERR_UNKNOWN_TOPIC_OR_PARTITION);
			CU_ASSERT_EQUAL(q->count, 0);
			continue;
		}
		CU_ASSERT_EQUAL(q->error, ERR_NONE);
		CU_ASSERT_EQUAL_FATAL(q->count, KNOWN);
		for (int64_t j = 0; j < KNOWN; j++) {
			CU_ASSERT_EQUAL(q->rows[j].producer_id, 100 + j);
			CU_ASSERT_EQUAL(q->rows[j].current_txn_start_offset,
			    KNOWN - 1 - j);
		}
	}
}

/* Whose memory is bounded, how often a partition is named. */
static void
test_producers(void)
{
	struct replica_rig rig;
	static struct asking a;

	replica_rig_init(&rig, false, NULL);
	replica_rig_lead(&rig, 1, 1);
	for (int64_t i = KNOWN - 1; i >= 0; i--)
		transact_as(&rig, 100 + i, -1);
	ask_producers(&rig, &a, 0, false);
	CU_ASSERT_FALSE(a.lookup.refused);
	check_producers(&a);
	arena_fini(&a.arena);
	/* There is not enough for all, for one, for the twins' table. */
	for (size_t limit = 1 << 19; limit > 1024; limit /= 4) {
		ask_producers(&rig, &a, limit, false);
		CU_ASSERT(a.lookup.refused);
		CU_ASSERT(a.arena.used <= limit);
		arena_fini(&a.arena);
	}
	ask_producers(&rig, &a, 0, true);
	CU_ASSERT_FALSE(a.lookup.refused);
	CU_ASSERT_EQUAL(a.queries[0].count, 0);
	arena_fini(&a.arena);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "fetch: waits for bytes", test_fetch_waits },
	{ "fetch: does not wait", test_fetch_at_once },
	{ "fetch: errors", test_fetch_errors },
	{ "fetch: diverging epochs", test_fetch_diverging },
	{ "fetch: sizes", test_fetch_sizes },
	{ "fetch: followers", test_fetch_of_followers },
	{ "fetch: followers, hastened", test_fetch_hastened },
	{ "fetch: leadership lost", test_fetch_leadership_lost },
	{ "fetch: a roll", test_fetch_rolls },
	{ "fetch: what is committed", test_fetch_committed },
	{ "the stable offset", test_stable_offset },
	{ "fetch: a cold disk", test_disk_cold },
	{ "stop", test_stop },
	{ "offsets of segments", test_offsets_of_segments },
	{ "offsets", test_offsets },
	{ "offsets: isolation", test_offsets_isolation },
	{ "offsets: what is committed", test_offsets_committed },
	{ "producers, of who is named twice", test_producers },
};

int
main(void)
{
	return (unit_main("replica, fetch", tests, nelems(tests)));
}
