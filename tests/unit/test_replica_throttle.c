/* SPDX-License-Identifier: Apache-2.0 */
/* A leader that holds records back (KIP-73). */
#include "replica_rig.h"

#include "config/options.h"

/* Broker 1 leads; of 2 and 3 only the first is in sync. */
static void
stage_begin(struct replica_rig *rig, const char *replicas, int64_t limit)
{
	struct quota_options quota;

	replica_rig_init(rig, false, NULL);
	rig->configs.options.leader_replication_throttled_replicas = replicas;
	quota = rig->options->quota;
	quota.leader_replication_throttled_rate = limit;
	replicas_set_throttles(rig->replicas, &quota);
	replica_rig_lead(rig, 3, 2);
	CU_ASSERT_EQUAL(rig_produce_one(rig, 1, 1, 5000), ERR_NONE);
	CU_ASSERT_EQUAL(rig_produce_one(rig, 1, 1, 5000), ERR_NONE);
}

/* The bytes of one fetch that does not wait. */
static size_t
stage_fetch(struct replica_rig *rig, int32_t follower, int64_t offset)
{
	struct rig_fetch f;
	size_t bytes;

	rig_fetch_init(&f, rig, offset);
	f.fetch.replica_id = follower;
	f.fetch.max_wait_ms = 0;
	f.parts[0].max_bytes = 6000;
	f.parts[0].log_start_offset = 0;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	bytes = f.parts[0].extent.blob == NULL ? 0 : f.parts[0].extent.length;
	rig_fetch_fini(&f);
	return (bytes);
}

static int64_t
told_by(struct replica_rig *rig, int32_t follower)
{
	struct replica *replica = replicas_find(rig->replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	int64_t end;

	lock_take(&replica->state);
	end = isr_member(&replica->isr, follower)->end_offset;
	lock_release(&replica->state);
	replica_unref(replica);
	return (end);
}

static void
test_held_back(void)
{
	struct replica_rig rig;

	stage_begin(&rig, "0:1", 1000);
	CU_ASSERT(stage_fetch(&rig, 3, 0) > 5000);
	/* Now there were five seconds' worth. How far it is counts. */
	CU_ASSERT_EQUAL(stage_fetch(&rig, 3, 1), 0);
	CU_ASSERT_EQUAL(told_by(&rig, 3), 1);
	/* Who is in sync is not held back, nor is a consumer. */
	CU_ASSERT(stage_fetch(&rig, 2, 1) > 5000);
	CU_ASSERT_EQUAL(stage_fetch(&rig, 2, 2), 0);
	CU_ASSERT(stage_fetch(&rig, -2, 0) > 5000);
	/* Both of the followers were counted. */
	replica_rig_pass(&rig, 6000);
	CU_ASSERT_EQUAL(stage_fetch(&rig, 3, 1), 0);
	replica_rig_pass(&rig, 5000);
	CU_ASSERT(stage_fetch(&rig, 3, 1) > 5000);
	replica_rig_fini(&rig);
}

static void
test_not_throttled(void)
{
	struct replica_rig rig;

	/* Another partition's, or another broker's. */
	stage_begin(&rig, "1:1,0:2", 1000);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(stage_fetch(&rig, 3, 0) > 5000);
	replica_rig_fini(&rig);
	stage_begin(&rig, "*", INT64_MAX);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(stage_fetch(&rig, 3, 0) > 5000);
	replica_rig_fini(&rig);
}

/* What is held back ends no wait. */
static void
test_waits(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	stage_begin(&rig, "*", 1000);
	/* Fetches wait as long as they may: nothing was led a while. */
	replica_rig_pass(&rig, 1100);
	CU_ASSERT(stage_fetch(&rig, 3, 0) > 5000);
	rig_fetch_init(&f, &rig, 1);
	f.fetch.replica_id = 3;
	f.parts[0].log_start_offset = 0;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.at_once);
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	CU_ASSERT_FALSE(rig_fetch_await(&f, 499));
	CU_ASSERT(rig_fetch_await(&f, 2));
	CU_ASSERT_PTR_NULL(f.parts[0].extent.blob);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_NONE);
	/* Until enough time has passed. */
	replica_rig_pass(&rig, 6000);
	rig_fetch_again(&f);
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_PTR_NOT_NULL(f.parts[0].extent.blob);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "who is not in sync is held back", test_held_back },
	{ "what is not throttled is not", test_not_throttled },
	{ "a fetch that is held back waits", test_waits },
};

int
main(void)
{
	return (unit_main("replica throttle", tests, nelems(tests)));
}
