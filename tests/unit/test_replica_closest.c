/* SPDX-License-Identifier: Apache-2.0 */
/* Which replica a consumer should read from, and what its fetch is answered. */
#include "replica_rig.h"

#include "replica/closest.h"

#define SELECTOR "replica.selector.class=" CLOSEST_RACK_AWARE

/* --- the choice ----------------------------------------------------------- */

/* Brokers 2, 3 and 4 follow 1. */
struct choice {
	struct isr isr;
	bool near[8];
};

static void
choice_init(struct choice *c, int32_t in_sync_count)
{
	static const int32_t replicas[] = { 1, 2, 3, 4 };

	*c = (struct choice){ 0 };
	CU_ASSERT_FATAL(isr_assign(&c->isr, replicas, 4, replicas,
	    in_sync_count, 1));
	for (int32_t i = 0; i < c->isr.member_count; i++) {
		c->isr.members[i].start_offset = 0;
		c->isr.members[i].end_offset = 100;
		c->isr.members[i].caught_up_ms = 5000;
	}
}

static bool
choice_near(const void *arg, int32_t broker)
{
	return (((const struct choice *)arg)->near[broker]);
}

static int32_t
choose(const struct choice *c, int64_t offset)
{
	struct closest_rack rack = { choice_near, c };

	return (closest_replica(&c->isr, 1, offset, &rack));
}

static void
test_choice(void)
{
	struct choice c;

	choice_init(&c, 4);
	CU_ASSERT_EQUAL(choose(&c, 50), -1);
	c.near[3] = true;
	CU_ASSERT_EQUAL(choose(&c, 50), 3);
	/* A leader that is near is the closest. */
	c.near[1] = true;
	CU_ASSERT_EQUAL(choose(&c, 50), -1);
	c.near[1] = false;
	/* Its log must have the offset, or be about to. */
	CU_ASSERT_EQUAL(choose(&c, 100), 3);
	CU_ASSERT_EQUAL(choose(&c, 101), -1);
	c.isr.members[1].start_offset = 51;
	CU_ASSERT_EQUAL(choose(&c, 50), -1);
	CU_ASSERT_EQUAL(choose(&c, 51), 3);
	/* Nothing is known of it yet. */
	c.isr.members[1].start_offset = c.isr.members[1].end_offset = -1;
	CU_ASSERT_EQUAL(choose(&c, 0), -1);
	isr_fini(&c.isr);
	/* In sync as the controller confirmed it. */
	choice_init(&c, 2);
	c.near[3] = true;
	CU_ASSERT_EQUAL(choose(&c, 50), -1);
	c.isr.members[1].joining = true;
	CU_ASSERT_EQUAL(choose(&c, 50), -1);
	isr_fini(&c.isr);
}

static void
test_choice_of_many(void)
{
	struct choice c;

	choice_init(&c, 4);
	c.near[2] = c.near[3] = c.near[4] = true;
	/* Alike: the largest id, as in Kafka. */
	CU_ASSERT_EQUAL(choose(&c, 50), 4);
	c.isr.members[0].caught_up_ms = 5001;
	CU_ASSERT_EQUAL(choose(&c, 50), 2);
	c.isr.members[1].end_offset = 101;
	CU_ASSERT_EQUAL(choose(&c, 50), 3);
	/* The one that has most does not serve. */
	c.isr.members[1].start_offset = 60;
	CU_ASSERT_EQUAL(choose(&c, 50), 2);
	isr_fini(&c.isr);
}

static void
test_selector(void)
{
	CU_ASSERT(closest_is_selected(CLOSEST_RACK_AWARE));
	CU_ASSERT_FALSE(closest_is_selected(NULL));
	CU_ASSERT_FALSE(closest_is_selected(""));
	CU_ASSERT_FALSE(closest_is_selected(
	    "org.apache.kafka.common.replica.LeaderSelector"));
}

/* --- fetches -------------------------------------------------------------- */

/* Leads with three replicas in racks a, b and b; the followers have the two
 * records that there are. */
static void
stage_begin(struct replica_rig *rig, const char *selector)
{
	static const char *const racks[] = { "a", "b", "b" };

	replica_rig_init(rig, false, selector);
	rig->controller = 1;
	memcpy(rig->racks, racks, sizeof(rig->racks));
	replica_rig_lead(rig, 3, 3);
	CU_ASSERT_EQUAL(rig_produce_one(rig, 1, 2, 10), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(rig, 2, 2), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(rig, 3, 2), ERR_NONE);
}

static void
stage_fetch_init(struct rig_fetch *f, struct replica_rig *rig, int64_t offset,
    const char *rack)
{
	rig_fetch_init(f, rig, offset);
	f->fetch.may_read_follower = true;
	f->fetch.listener = "PLAINTEXT";
	f->fetch.rack = slice_of_text(rack);
}

/* At once, and nothing is read; -1: the leader reads. */
static int32_t
stage_preferred(struct rig_fetch *f)
{
	int32_t preferred;

	rig_fetch_again(f);
	rig_fetch_start(f);
	CU_ASSERT(f->at_once);
	CU_ASSERT_EQUAL(f->parts[0].error, ERR_NONE);
	CU_ASSERT_EQUAL(f->parts[0].high_watermark, 2);
	CU_ASSERT_EQUAL(f->parts[0].stable_offset, 2);
	CU_ASSERT_EQUAL(f->parts[0].answered_log_start, 0);
	preferred = f->parts[0].preferred_read_replica;
	CU_ASSERT((f->parts[0].extent.blob == NULL) == (preferred >= 0));
	CU_ASSERT_FALSE(f->parts[0].tells_aborted && preferred >= 0);
	return (preferred);
}

static void
test_fetch_preferred(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	stage_begin(&rig, SELECTOR);
	stage_fetch_init(&f, &rig, 0, "b");
	f.fetch.isolation = 1;
	CU_ASSERT_EQUAL(stage_preferred(&f), 3);
	f.fetch.rack = SLICE_LITERAL("a");
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.rack = SLICE_LITERAL("elsewhere");
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.rack = SLICE_EMPTY;
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.rack = SLICE_LITERAL("b");
	/* By another listener it cannot be reached. */
	f.fetch.listener = "OUTSIDE";
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.listener = "PLAINTEXT";
	f.fetch.may_read_follower = false;
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.may_read_follower = true;
	/* It fetches as a follower, and not as a consumer. */
	f.fetch.replica_id = 2;
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	f.fetch.replica_id = -1;
	CU_ASSERT_EQUAL(stage_preferred(&f), 3);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

/* Who is behind the end waits at the leader no more than a moment. */
static void
test_fetch_at_the_end(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	stage_begin(&rig, SELECTOR);
	stage_fetch_init(&f, &rig, 2, "b");
	CU_ASSERT_EQUAL(stage_preferred(&f), 3);
	/* None has it yet, and when one does it is named. */
	CU_ASSERT_EQUAL(rig_produce_one(&rig, 1, 1, 10), ERR_NONE);
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 3;
	rig_fetch_start(&f);
	CU_ASSERT_FALSE(f.done);
	CU_ASSERT_EQUAL(rig_follow(&rig, 2, 3), ERR_NONE);
	CU_ASSERT(rig_fetch_await(&f, 501));
	CU_ASSERT_EQUAL(f.parts[0].preferred_read_replica, 2);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_fetch_refused(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	stage_begin(&rig, SELECTOR);
	stage_fetch_init(&f, &rig, 0, "b");
	f.parts[0].current_leader_epoch = 4;
	rig_fetch_start(&f);
	CU_ASSERT(f.at_once);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_FENCED_LEADER_EPOCH);
	CU_ASSERT_EQUAL(f.parts[0].preferred_read_replica, -1);
	f.parts[0].current_leader_epoch = -1;
	/* A follower chooses nobody: it reads. */
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .replica_count = 3, .leader = 2 }), ERR_NONE);
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	/* Beyond its end it knows nothing, and says so. */
	rig_fetch_again(&f);
	f.parts[0].fetch_offset = 3;
	rig_fetch_start(&f);
	CU_ASSERT_EQUAL(f.parts[0].error, ERR_OFFSET_OUT_OF_RANGE);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static void
test_fetch_not_selected(void)
{
	struct replica_rig rig;
	struct rig_fetch f;

	stage_begin(&rig, NULL);
	stage_fetch_init(&f, &rig, 0, "b");
	CU_ASSERT_EQUAL(stage_preferred(&f), -1);
	rig_fetch_fini(&f);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "choice: who serves", test_choice },
	{ "choice: of many", test_choice_of_many },
	{ "choice: by option", test_selector },
	{ "fetch: a closer replica is named", test_fetch_preferred },
	{ "fetch: at the end of the log", test_fetch_at_the_end },
	{ "fetch: refusals, and a follower", test_fetch_refused },
	{ "fetch: no selector", test_fetch_not_selected },
};

int
main(void)
{
	return (unit_main("replica closest", tests, nelems(tests)));
}
