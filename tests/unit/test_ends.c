/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of partitions that broker 2 leads, which is played by the test. */
#include "follow_stage.h"

#include "base/mem.h"

#define ROUND_MS 5100

/* -1: not known. */
static int64_t
ends_of(struct stage *s, const char *topic, int32_t partition)
{
	int64_t end = -2;

	return (replicas_high_watermark(s->rig.replicas, slice_of_text(topic),
	    partition, &end) ? end : -1);
}

static bool
stage_asked(struct stage *s, int32_t partitions)
{
	const struct list_offsets_request *r = &s->request.offsets;

	return (stage_await(s, API_LIST_OFFSETS, ROUND_MS) &&
	    r->replica_id == -1 && r->isolation_level == 0 &&
	    r->topics_count == partitions &&
	    r->topics[0].partitions[0].timestamp == -1 &&
	    r->topics[0].partitions[0].current_leader_epoch == -1);
}

/* All that was asked for; of partition N the end is `end` + N. */
static void
stage_tell(struct stage *s, enum error error, int64_t end)
{
	const struct list_offsets_request *r = &s->request.offsets;
	const size_t count = (size_t)r->topics_count;
	struct list_offsets_response response;
	struct list_offsets_response_topic *topics = mem_zalloc(
	    count * sizeof(*topics));
	struct list_offsets_response_partition *parts = mem_zalloc(
	    count * sizeof(*parts));

	wire_init(&message_list_offsets_response, &response);
	for (size_t i = 0; i < count; i++) {
		const int32_t index =
		    r->topics[i].partitions[0].partition_index;

		parts[i].partition_index = index;
		parts[i].error_code = (int16_t)error;
		parts[i].timestamp = -1;
		parts[i].offset = error == ERR_NONE ? end + index : -1;
		parts[i].leader_epoch = 5;
		topics[i].name = r->topics[i].name;
		topics[i].partitions = &parts[i];
		topics[i].partitions_count = 1;
	}
	response.topics = topics;
	response.topics_count = (int32_t)count;
	stage_answer(s, &response);
	mem_free(parts);
	mem_free(topics);
}

static void
test_here(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_lead(&s.rig, 1, 1);
	CU_ASSERT_EQUAL(rig_produce_one(&s.rig, 1, 3, 10), ERR_NONE);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), 3);
	replica_rig_pass(&s.rig, 2 * ROUND_MS);
	CU_ASSERT_FALSE(s.asked);
	stage_fini(&s);
}

/* Asked again and again while somebody wants to know, and no longer. */
static void
test_elsewhere(void)
{
	struct stage s;
	int rounds = 0;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 2, 2);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), -1);
	CU_ASSERT(stage_asked(&s, 1));
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), -1);
	stage_tell(&s, ERR_NONE, 42);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), 43);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), -1);
	for (int i = 0; i < 30; i++) {
		CU_ASSERT(stage_asked(&s, 2));
		stage_tell(&s, ERR_NONE, 50 + i);
		CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), 50 + i);
		CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), 51 + i);
	}
	for (; rounds < 100; rounds++) {
		replica_rig_pass(&s.rig, ROUND_MS);
		if (!s.asked)
			break;
		stage_tell(&s, ERR_NONE, 50);
	}
	CU_ASSERT(rounds > 6 && rounds < 20);
	replica_rig_pass(&s.rig, ROUND_MS);
	CU_ASSERT_EQUAL(s.connection_count, 0);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), -1);
	CU_ASSERT(stage_asked(&s, 1));
	stage_tell(&s, ERR_NONE, 60);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 1), 61);
	stage_fini(&s);
}

/* What it was last counts for a minute, whoever does not tell. */
static void
test_not_told(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 2, 2);
	(void)ends_of(&s, RIG_TOPIC, 0);
	CU_ASSERT(stage_asked(&s, 1));
	stage_tell(&s, ERR_NONE, 42);
	for (int i = 0; i < 11; i++) {
		CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), 42);
		CU_ASSERT(stage_asked(&s, 1));
		stage_tell(&s, ERR_NOT_LEADER_OR_FOLLOWER, 0);
	}
	replica_rig_pass(&s.rig, ROUND_MS);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), -1);
	CU_ASSERT(stage_asked(&s, 1));
	stage_tell(&s, ERR_NONE, 43);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), 43);
	stage_fini(&s);
}

/* A leader that does not answer, or hangs up, holds nothing up for good. */
static void
test_no_answer(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 2, 2);
	(void)ends_of(&s, RIG_TOPIC, 0);
	CU_ASSERT(stage_asked(&s, 1));
	s.asked = false;
	replica_rig_pass(&s.rig, ROUND_MS);
	CU_ASSERT(stage_asked(&s, 1));
	s.from->sockets->ops->close(s.from, true);
	s.connections[0] = s.connections[--s.connection_count];
	s.asked = false;
	replica_rig_pass(&s.rig, 100);
	CU_ASSERT(stage_asked(&s, 1));
	stage_tell(&s, ERR_NONE, 42);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 0), 42);
	stage_fini(&s);
}

/* What one leader keeps back, or nobody answers, holds no other one up; a call
 * may be under way at the stop. */
static void
test_some(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_image(&s.rig, "other", 1, 3); /* nobody listens there */
	replica_rig_image(&s.rig, RIG_TOPIC, 2, 2);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(ends_of(&s, "other", 0), -1);
		(void)ends_of(&s, RIG_TOPIC, 0);
		(void)ends_of(&s, RIG_TOPIC, 1);
		CU_ASSERT(stage_asked(&s, 2));
		s.request.offsets.topics_count = 1;
		stage_tell(&s, ERR_NONE, 42 + i);
	}
	CU_ASSERT((ends_of(&s, RIG_TOPIC, 0) == 44) !=
	    (ends_of(&s, RIG_TOPIC, 1) == 45));
	CU_ASSERT(stage_asked(&s, 2));
	stage_fini(&s);
}

/* Of nobody is asked what no image has, or is led by nobody. */
static void
test_unknown(void)
{
	struct stage s;

	stage_init(&s);
	replica_rig_image(&s.rig, RIG_TOPIC, 2, 2);
	replica_rig_image(&s.rig, "idle", 1, LEADER_NONE);
	CU_ASSERT_EQUAL(ends_of(&s, RIG_TOPIC, 2), -1);
	CU_ASSERT_EQUAL(ends_of(&s, "nothing", 0), -1);
	CU_ASSERT_EQUAL(ends_of(&s, "", 0), -1);
	CU_ASSERT_EQUAL(ends_of(&s, "idle", 0), -1);
	replica_rig_pass(&s.rig, 2 * ROUND_MS);
	CU_ASSERT_FALSE(s.asked);
	stage_fini(&s);
}

/* A request has 1,000 at most, the next one has the others; of more than
 * barnabas.group.lag.max nobody is asked. */
static void
test_many(void)
{
	enum { MANY = 10000 };
	struct stage s;
	int32_t known = 0;

	stage_init(&s);
	CU_ASSERT_EQUAL(s.rig.options->group.lag_max, MANY);
	replica_rig_image(&s.rig, RIG_TOPIC, MANY + 100, 2);
	for (int32_t i = 0; i < MANY + 100; i++)
		(void)ends_of(&s, RIG_TOPIC, i);
	for (int32_t left = MANY; left > 0; left -= 1000) {
		CU_ASSERT(stage_asked(&s, left < 1000 ? left : 1000));
		stage_tell(&s, ERR_NONE, 7);
	}
	for (int32_t i = 0; i < MANY + 100; i++)
		known += ends_of(&s, RIG_TOPIC, i) == 7 + i;
	CU_ASSERT_EQUAL(known, MANY);
	stage_fini(&s);
}

static const struct unit_test tests[] = {
	{ "led here", test_here },
	{ "led elsewhere", test_elsewhere },
	{ "not told any more", test_not_told },
	{ "no answer", test_no_answer },
	{ "some of it, and some of them", test_some },
	{ "not known, led by nobody", test_unknown },
	{ "many", test_many },
};

int
main(void)
{
	return (unit_main("ends", tests, nelems(tests)));
}
