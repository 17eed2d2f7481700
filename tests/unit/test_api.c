/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch sessions: KIP-227's table of (id, epoch), news, fairness, eviction. */
#include "api/fetch_session.h"

#include <stdlib.h>

#include "metrics/metrics.h"
#include "tests/unit/unit.h"
#include "txn/producer_ids.h"

struct rig {
	struct fetch_sessions *sessions;
	struct metrics *metrics;
	struct arena arena;
	struct fetch_request request;
	struct fetch_request_topic topic;
	struct fetch_request_partition partitions[8];
	struct fetch_request_forgotten_topic forgotten;
	struct fetch_plan plan;
	struct fetch_sent sent[8];
	int64_t now_ms;
};

static void
rig_init(struct rig *r, int32_t slots)
{
	*r = (struct rig){ .now_ms = 1000 };
	r->metrics = metrics_new();
	r->sessions = fetch_sessions_new(slots, 7, r->metrics);
	arena_init(&r->arena, 0);
	wire_init(&message_fetch_request, &r->request);
	r->topic.topic = SLICE_LITERAL("orders");
	r->topic.partitions = r->partitions;
	r->request.topics = &r->topic;
	r->request.topics_count = 1;
}

static void
rig_fini(struct rig *r)
{
	arena_fini(&r->arena);
	fetch_sessions_free(&r->sessions);
	metrics_free(r->metrics);
}

static void
rig_ask(struct rig *r, int32_t id, int32_t epoch, int32_t count)
{
	r->request.session_id = id;
	r->request.session_epoch = epoch;
	r->topic.partitions_count = count;
	for (int32_t i = 0; i < count; i++)
		r->partitions[i] = (struct fetch_request_partition){
			.partition = i, .fetch_offset = 10 * i,
			.current_leader_epoch = -1, .last_fetched_epoch = -1,
		};
	CU_ASSERT_TRUE(fetch_plan_make(r->sessions, &r->request, 12, r->now_ms,
	    &r->arena, &r->plan));
	memset(r->sent, 0, sizeof(r->sent));
}

static int32_t
rig_finish_with(struct rig *r, struct fetch_sent *sent)
{
	int32_t id;

	CU_ASSERT_EQUAL(fetch_plan_finish(r->sessions, &r->plan, sent,
	    r->now_ms, &id), ERR_NONE);
	return (id);
}

static int32_t
rig_finish(struct rig *r)
{
	return (rig_finish_with(r, r->sent));
}

/* What the metrics show. */
static bool
rig_shows(const struct rig *r, int64_t sessions, int64_t partitions)
{
	return (metrics_value(r->metrics, METRIC_FETCH_SESSIONS) == sessions &&
	    metrics_value(r->metrics, METRIC_FETCH_SESSION_PARTITIONS) ==
		partitions);
}

static void
test_sessionless(void)
{
	struct rig r;

	rig_init(&r, 8);
	rig_ask(&r, 0, -1, 2);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_SESSIONLESS);
	CU_ASSERT_EQUAL(r.plan.part_count, 2);
	CU_ASSERT_EQUAL(rig_finish(&r), 0);
	CU_ASSERT_TRUE(r.sent[0].include && r.sent[1].include);
	rig_fini(&r);
}

/* Stands where it was named first, with what was said last. */
static void
test_named_twice(void)
{
	struct rig r;

	rig_init(&r, 8);
	rig_ask(&r, 0, -1, 4);
	r.partitions[2].partition = 0;
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 12, r.now_ms,
	    &r.arena, &r.plan));
	CU_ASSERT_EQUAL(r.plan.part_count, 3);
	CU_ASSERT_EQUAL(r.plan.parts[0].asked.partition, 0);
	CU_ASSERT_EQUAL(r.plan.parts[0].asked.fetch_offset, 20);
	CU_ASSERT_EQUAL(r.plan.parts[1].asked.partition, 1);
	CU_ASSERT_EQUAL(r.plan.parts[2].asked.partition, 3);
	/* By id the names are nothing, and here all ids are the same. */
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 13, r.now_ms,
	    &r.arena, &r.plan));
	CU_ASSERT_EQUAL(r.plan.part_count, 3);
	rig_fini(&r);
}

/* An id keeps the name that it had when it was first known. */
static void
test_name_of_id(void)
{
	struct rig r;
	int32_t id;

	rig_init(&r, 8);
	r.topic.topic_id.bytes[0] = 1;
	r.topic.partitions_count = 1;
	r.request.session_epoch = 0;
	for (int32_t epoch = 0; epoch < 4; epoch++) {
		r.request.session_epoch = epoch;
		r.request.topics_count = epoch == 0 ? 1 : 0;
		CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 13,
		    r.now_ms, &r.arena, &r.plan));
		CU_ASSERT_EQUAL(r.plan.part_count, 1);
		if (epoch < 2)
			CU_ASSERT_PTR_NULL(r.plan.parts[0].topic.data)
		else
			CU_ASSERT(slice_equal_text(r.plan.parts[0].topic,
			    "first"));
		if (epoch > 0)
			r.plan.parts[0].topic = epoch == 1 ?
			    SLICE_LITERAL("first") : SLICE_LITERAL("second");
		id = rig_finish(&r);
		CU_ASSERT(id > 0);
		r.request.session_id = id;
	}
	rig_fini(&r);
}

static void
test_empty_session(void)
{
	struct rig r;
	int32_t id;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 0);
	id = rig_finish(&r);
	CU_ASSERT(id > 0);
	CU_ASSERT(rig_shows(&r, 1, 0));
	rig_ask(&r, id, 1, 1);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_INCREMENTAL);
	CU_ASSERT_EQUAL(r.plan.part_count, 1);
	rig_fini(&r);
}

static void
test_incremental_shows_only_news(void)
{
	struct rig r;
	int32_t id;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 3);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_FULL);
	id = rig_finish(&r);
	CU_ASSERT(id > 0);
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_INCREMENTAL);
	CU_ASSERT_EQUAL(r.plan.part_count, 3);
	CU_ASSERT_EQUAL(r.plan.parts[2].asked.fetch_offset, 20);
	CU_ASSERT_TRUE(slice_equal_text(r.plan.parts[0].topic, "orders"));
	r.sent[1].high_watermark = 5;
	r.sent[2].error = ERR_NOT_LEADER_OR_FOLLOWER;
	CU_ASSERT_EQUAL(rig_finish(&r), id);
	CU_ASSERT_FALSE(r.sent[0].include);
	CU_ASSERT_TRUE(r.sent[1].include);
	CU_ASSERT_TRUE(r.sent[2].include);
	/* The error is over: shown again though nothing else changed. */
	rig_ask(&r, id, 2, 0);
	r.sent[1].high_watermark = 5;
	CU_ASSERT_EQUAL(rig_finish(&r), id);
	CU_ASSERT_FALSE(r.sent[0].include);
	CU_ASSERT_FALSE(r.sent[1].include);
	CU_ASSERT_TRUE(r.sent[2].include);
	rig_fini(&r);
}

static void
test_who_got_bytes_reads_last(void)
{
	struct rig r;
	int32_t id;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 3);
	id = rig_finish(&r);
	rig_ask(&r, id, 1, 0);
	r.sent[0].record_bytes = 100;
	rig_finish(&r);
	rig_ask(&r, id, 2, 0);
	CU_ASSERT_EQUAL(r.plan.parts[0].asked.partition, 1);
	CU_ASSERT_EQUAL(r.plan.parts[1].asked.partition, 2);
	CU_ASSERT_EQUAL(r.plan.parts[2].asked.partition, 0);
	rig_fini(&r);
}

static void
test_errors(void)
{
	struct rig r;
	int32_t id;

	rig_init(&r, 8);
	rig_ask(&r, 12345, 1, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	rig_ask(&r, 0, 0, 1);
	id = rig_finish(&r);
	rig_ask(&r, id, 2, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_INVALID_FETCH_SESSION_EPOCH);
	r.request.session_epoch = 1;
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 13, r.now_ms,
	    &r.arena, &r.plan));
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_TOPIC_ID_ERROR);
	/* None of these moved the epoch. */
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_NONE);
	rig_fini(&r);
}

/* Two requests of a session at once: the first one is answered too late. */
static void
test_overtaken(void)
{
	struct fetch_plan first;
	struct rig r;
	int32_t id, told;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 2);
	id = rig_finish(&r);
	rig_ask(&r, id, 1, 0);
	first = r.plan;
	rig_ask(&r, id, 2, 0);
	r.sent[1].high_watermark = 7;
	CU_ASSERT_EQUAL(fetch_plan_finish(r.sessions, &first, r.sent, r.now_ms,
	    &told), ERR_INVALID_FETCH_SESSION_EPOCH);
	CU_ASSERT_EQUAL(told, id);
	/* Nothing of it was noted. */
	CU_ASSERT_EQUAL(rig_finish(&r), id);
	CU_ASSERT_FALSE(r.sent[0].include);
	CU_ASSERT_TRUE(r.sent[1].include);
	rig_fini(&r);
}

static void
test_forgetting_all_ends_it(void)
{
	struct rig r;
	int32_t forgotten[] = { 0, 1 };
	int32_t id;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 2);
	id = rig_finish(&r);
	CU_ASSERT_TRUE(rig_shows(&r, 1, 2));
	r.forgotten.topic = SLICE_LITERAL("orders");
	r.forgotten.partitions = forgotten;
	r.forgotten.partitions_count = 2;
	r.request.forgotten_topics_data = &r.forgotten;
	r.request.forgotten_topics_data_count = 1;
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_SESSIONLESS);
	CU_ASSERT_EQUAL(r.plan.part_count, 0);
	CU_ASSERT_EQUAL(rig_finish(&r), 0);
	CU_ASSERT_TRUE(rig_shows(&r, 0, 0));
	r.request.forgotten_topics_data_count = 0;
	rig_ask(&r, id, 2, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	rig_fini(&r);
}

static void
test_closing(void)
{
	struct rig r;
	int32_t id, second;

	rig_init(&r, 8);
	rig_ask(&r, 0, 0, 1);
	id = rig_finish(&r);
	rig_ask(&r, id, -1, 1);
	CU_ASSERT_EQUAL(r.plan.kind, FETCH_SESSIONLESS);
	CU_ASSERT_TRUE(rig_shows(&r, 0, 0));
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	rig_ask(&r, 0, 0, 1);
	id = rig_finish(&r);
	rig_ask(&r, id, 0, 1); /* closes it and makes another */
	second = rig_finish(&r);
	CU_ASSERT(second > 0 && second != id);
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	rig_fini(&r);
}

static void
test_bounded(void)
{
	struct rig r;
	int32_t id = 0, refused;

	rig_init(&r, 8 + 7); /* one a shard, which have their turns */
	for (int i = 0; i < 8; i++) {
		rig_ask(&r, 0, 0, 1);
		id = rig_finish(&r);
		CU_ASSERT(id > 0);
	}
	rig_ask(&r, 0, 0, 2);
	refused = rig_finish(&r);
	CU_ASSERT_EQUAL(refused, 0); /* the other one is too young to go */
	r.now_ms += 8 * 20000;
	for (int i = 1; i < 8; i++) {
		rig_ask(&r, 0, 0, 1);
		CU_ASSERT(rig_finish(&r) > 0); /* idle for long: pushed out */
	}
	rig_ask(&r, id, 1, 0);
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	/* A follower pushes a young consumer out. */
	r.request.replica_id = 3;
	for (int i = 0; i < 8; i++) {
		rig_ask(&r, 0, 0, 1);
		CU_ASSERT(rig_finish(&r) > 0);
	}
	rig_fini(&r);
}

/* Names need not exist, so sessions are also bounded by their partitions. */
static void
test_bounded_by_partitions(void)
{
	enum { MANY = 70000 };
	struct rig r;
	struct fetch_request_partition *many = calloc(MANY, sizeof(*many));
	struct fetch_sent *sent = calloc(MANY, sizeof(*sent));
	int32_t id = 0;

	CU_ASSERT_FATAL(many != NULL && sent != NULL);
	rig_init(&r, 80);
	for (int32_t i = 0; i < MANY; i++)
		many[i].partition = i;
	r.topic.partitions = many;
	r.topic.partitions_count = MANY;
	r.request.session_epoch = 0;
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 12, r.now_ms,
	    &r.arena, &r.plan));
	for (int i = 0; i < 8; i++) {
		id = rig_finish_with(&r, sent);
		CU_ASSERT(id > 0);
	}
	/* No shard has room for a second one. */
	CU_ASSERT_EQUAL(rig_finish_with(&r, sent), 0);
	/* New values for what it has are no growth. */
	r.request.session_id = id;
	r.request.session_epoch = 1;
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 12, r.now_ms,
	    &r.arena, &r.plan));
	CU_ASSERT_EQUAL(r.plan.error, ERR_NONE);
	CU_ASSERT_EQUAL(r.plan.part_count, MANY);
	/* It may not grow, though: its client begins again. */
	for (int32_t i = 0; i < MANY; i++)
		many[i].partition = MANY + i;
	r.request.session_epoch = 2;
	CU_ASSERT_TRUE(fetch_plan_make(r.sessions, &r.request, 12, r.now_ms,
	    &r.arena, &r.plan));
	CU_ASSERT_EQUAL(r.plan.error, ERR_FETCH_SESSION_ID_NOT_FOUND);
	rig_fini(&r);
	free(many);
	free(sent);
}

static void
test_no_slots(void)
{
	struct rig r;

	for (int32_t slots = 0; slots < 8; slots++) {
		rig_init(&r, slots);
		for (int i = 0; i < 8; i++) {
			rig_ask(&r, 0, 0, 1);
			CU_ASSERT_EQUAL(rig_finish(&r), 0);
		}
		rig_fini(&r);
	}
}

static void
test_producer_ids(void)
{
	CU_ASSERT(producer_ids_valid(0, 1000));
	CU_ASSERT(producer_ids_valid(INT64_MAX - 1000, 1000));
	CU_ASSERT(!producer_ids_valid(INT64_MAX - 999, 1000));
	CU_ASSERT(!producer_ids_valid(INT64_MAX, INT32_MAX));
	CU_ASSERT(!producer_ids_valid(-1, 1000));
	CU_ASSERT(!producer_ids_valid(0, 0));
	CU_ASSERT(!producer_ids_valid(0, -1));
}

static const struct unit_test tests[] = {
	{ "a fetch without a session", test_sessionless },
	{ "a partition named twice", test_named_twice },
	{ "the name of an id", test_name_of_id },
	{ "a session of nothing", test_empty_session },
	{ "an incremental answer shows only news",
	    test_incremental_shows_only_news },
	{ "who got bytes reads last", test_who_got_bytes_reads_last },
	{ "unknown id, wrong epoch, ids instead of names", test_errors },
	{ "one that was overtaken", test_overtaken },
	{ "forgetting everything ends the session",
	    test_forgetting_all_ends_it },
	{ "closing, and closing by making another", test_closing },
	{ "the cache is bounded and evicts by rank", test_bounded },
	{ "the cache is bounded by partitions too",
	    test_bounded_by_partitions },
	{ "fewer slots than shards, no sessions", test_no_slots },
	{ "blocks of producer ids", test_producer_ids },
};

int
main(void)
{
	return (unit_main("api", tests, nelems(tests)));
}
