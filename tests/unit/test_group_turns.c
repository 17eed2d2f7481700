/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over all groups of a shard takes turns, and what it costs there is
 * counted; groups come and go meanwhile. */
#include <malloc.h>

#include "base/bytes.h"
#include "group/members_int.h"
#include "offset_rig.h"

/* Of one kind of work in one turn: a piece may go beyond what is left. */
#define GROUPS_A_TURN (GROUP_TURN_COST / GROUP_COST + 1)

static const char *
group_name(int i)
{
	static char id[32];

	snprintf(id, sizeof(id), "g%d", i);
	return (id);
}

static void
nothing(void *arg)
{
	(void)arg;
}

/* The loop's next turn has all of its room. */
static void
next_turn(struct rig *rig)
{
	loop_post_call(rig->loop, nothing, NULL);
	rig_run(rig, 0);
}

static void
put_groups(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++)
		put_offset(rig, group_name(i), 0, i, -1);
}

/* --- walks ---------------------------------------------------------------- */

static bool
is_group(struct rig *rig, const struct group *group, const char *id)
{
	return (group != NULL && group == rig_group(rig, id));
}

static void
test_walk(void)
{
	struct group_walk walk, other;
	struct rig rig;

	rig_init(&rig);
	put_groups(&rig, 8);
	fake_coord_load(rig.coord);
	group_walk_begin(&walk, rig_shard(&rig));
	group_walk_begin(&other, rig_shard(&rig));
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&walk), "g0"));
	group_bury(rig_group(&rig, "g0"), ERR_NONE);
	/* It would be the next one; and so the one behind it. */
	group_bury(rig_group(&rig, "g1"), ERR_NONE);
	group_bury(rig_group(&rig, "g2"), ERR_NONE);
	CU_ASSERT_TRUE(is_group(&rig, group_walk_at(&walk), "g3"));
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&walk), "g3"));
	group_bury(rig_group(&rig, "g5"), ERR_NONE);
	/* One that is made anew was met, or is too late. */
	group_bury(rig_group(&rig, "g3"), ERR_NONE);
	(void)group_make(rig_shard(&rig), SLICE_LITERAL("g3"));
	(void)group_make(rig_shard(&rig), SLICE_LITERAL("g5"));
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&walk), "g4"));
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&walk), "g6"));
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&walk), "g7"));
	CU_ASSERT_PTR_NULL(group_walk_next(&walk));
	CU_ASSERT_PTR_NULL(group_walk_next(&walk));
	CU_ASSERT_PTR_NULL(walk.shard);
	/* The other one ends with the shard. */
	CU_ASSERT_TRUE(is_group(&rig, group_walk_next(&other), "g4"));
	fake_coord_close(rig.coord);
	CU_ASSERT_PTR_NULL(group_walk_next(&other));
	group_walk_end(&other);
	rig_fini(&rig);
}

/* Places within a group: slots and topics come and go. */
static void
test_places(void)
{
	struct group_offset offset = { .metadata = SLICE_EMPTY,
		.expire_ms = -1 };
	const struct offset_slot *slot;
	struct group_topic *topic;
	struct offset_place place;
	struct group *group;
	struct rig rig;
	int met = 0;

	rig_init(&rig);
	group = group_make(rig_shard(&rig), SLICE_LITERAL("g"));
	for (int32_t p = 0; p < 100; p++)
		group_offset_put(group, p % 2 == 0 ? SLICE_LITERAL("t") :
			SLICE_LITERAL("u"), p, &offset, p);
	offset_place_begin(&place, rig_shard(&rig));
	while ((slot = offset_place_next(&place, group, &topic)) != NULL) {
		CU_ASSERT_EQUAL(slot->partition % 2 == 0,
		    slice_equal_text(group_topic_name(topic), "t"));
		met++;
		/* Those at 10 and 11, and what is met already. */
		if (met == 5) {
			const bool in_t = topic->name[0] == 't';

			group_offset_drop(group, SLICE_LITERAL("t"), 10, 1000);
			group_offset_drop(group, SLICE_LITERAL("u"), 11, 1000);
			group_offset_put(group, SLICE_LITERAL("new"), 1,
			    &offset, 1001);
			group_offset_put(group, in_t ? SLICE_LITERAL("u") :
				SLICE_LITERAL("t"), in_t ? 1001 : 1000,
			    &offset, 1002);
		}
	}
	/* 98 that stayed, and one that came where the way had not been. */
	CU_ASSERT_EQUAL(met, 99);
	rig_fini(&rig);
}

/* --- loads and closings --------------------------------------------------- */

#define MANY 5000

static void
test_load_in_turns(void)
{
	struct rig rig;
	int64_t before = 0, most = 0;
	int steps = 0;
	bool over = false;

	rig_init(&rig);
	for (int i = 0; i < MANY; i++)
		put_group(&rig, group_name(i), "consumer", 1);
	put_offset(&rig, "bare", 0, 1, -1);
	fake_coord_replay(rig.coord);
	for (; !over; steps++) {
		int64_t now;

		next_turn(&rig);
		over = fake_coord_load_some(rig.coord);
		now = metrics_value(rig.metrics, METRIC_GROUPS_STABLE);
		if (now - before > most)
			most = now - before;
		before = now;
		if (!over)
			CU_ASSERT_EQUAL(fetch_as(&rig, "bare", "t", 0,
			    false).error, ERR_COORDINATOR_LOAD_IN_PROGRESS);
	}
	CU_ASSERT_EQUAL(before, MANY);
	CU_ASSERT_TRUE(most <= GROUPS_A_TURN);
	CU_ASSERT_TRUE(steps > 3);
	CU_ASSERT_EQUAL(fetch(&rig, "bare", "t", 0), 1);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->by_id), MANY + 1);
	rig_fini(&rig);
}

/* It ends before it is loaded: in the middle of its replay, or of its end. */
static void
test_load_abandoned(void)
{
	struct rig rig;

	rig_init(&rig);
	for (int i = 0; i < MANY; i++)
		put_group(&rig, group_name(i), "consumer", 1);
	fake_coord_replay(rig.coord);
	fake_coord_close(rig.coord);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUPS), 0);
	fake_coord_replay(rig.coord);
	CU_ASSERT_FALSE(fake_coord_load_some(rig.coord));
	fake_coord_close(rig.coord);
	CU_ASSERT_EQUAL(metrics_value(rig.metrics, METRIC_GROUPS), 0);
	rig_fini(&rig);
}

static void
test_close_in_turns(void)
{
	struct rig rig;
	struct one one;
	int64_t before, most = 0;
	int steps = 0;
	bool over = false;

	rig_init(&rig);
	put_groups(&rig, MANY);
	for (int i = 0; i < 100; i++)
		put_offset(&rig, "last", i, i, i);
	/* Whose session ends at once; no timer of it writes. */
	put_group_of(&rig, "last", "consumer", SLICE_LITERAL(READS_T), 2);
	fake_coord_load(rig.coord);
	rig.coord->hold = true;
	one_init(&one, "last", "t", 1000, 1);
	one.commit.generation = 4;
	one.commit.member_id = SLICE_LITERAL("m0");
	CU_ASSERT_FALSE(one_start(&rig, &one));
	before = metrics_value(rig.metrics, METRIC_GROUPS);
	for (; !over; steps++) {
		int64_t now;

		next_turn(&rig);
		over = fake_coord_close_some(rig.coord);
		now = metrics_value(rig.metrics, METRIC_GROUPS);
		if (before - now > most)
			most = before - now;
		before = now;
		CU_ASSERT_EQUAL(fetch_as(&rig, "last", "t", 0, false).error,
		    ERR_NOT_COORDINATOR);
		/* A commit that ends while its group is still there. */
		if (steps == 0)
			fake_coord_end(rig.coord, ERR_NONE);
	}
	CU_ASSERT_TRUE(one.ask.done);
	CU_ASSERT_EQUAL(before, 0);
	CU_ASSERT_TRUE(most <= GROUPS_A_TURN);
	CU_ASSERT_TRUE(steps > 3);
	rig_fini(&rig);
}

static void
never_stored(struct group_store *store, enum error error)
{
	(void)store;
	(void)error;
	CU_FAIL("it was stored in a shard that closes");
}

/* Sessions that end while a shard closes write nothing: its partition may have
 * a new one by then; and what was under way is of no use. */
static void
test_close_is_quiet(void)
{
	struct group_store *store;
	struct rig rig;
	size_t written;

	rig_init(&rig);
	put_groups(&rig, MANY);
	put_group(&rig, "late", "consumer", 2);
	fake_coord_load(rig.coord);
	LIST_MEMBERS(element, rig_group(&rig, "late"))
		member_expect(member_at(element), 10);
	rig.coord->hold = true;
	store = group_store_new(rig_group(&rig, "late"), never_stored);
	group_store_start(store);
	CU_ASSERT_FALSE(fake_coord_close_some(rig.coord));
	fake_coord_end(rig.coord, ERR_NONE);
	written = rig.coord->log_count;
	rig_run(&rig, 1000);
	CU_ASSERT_EQUAL(rig.coord->log_count, written);
	fake_coord_close(rig.coord);
	rig_fini(&rig);
}

/* --- what a turn does, counted -------------------------------------------- */

struct count {
	struct rig *rig;
	uint64_t turn;
	int64_t now;  /* in this turn */
	int64_t most; /* in one */
	int64_t all;
	int64_t stop_at; /* of all: `stop` is set; 0: never */
	bool stop;
};

static void
count_one(void *arg)
{
	struct count *count = arg;
	const uint64_t turn = loop_turns(count->rig->loop);

	count->now = turn == count->turn ? count->now + 1 : 1;
	count->turn = turn;
	if (count->now > count->most)
		count->most = count->now;
	count->all++;
	count->stop = count->stop || count->all == count->stop_at;
}

/* Until the callback in which so many have been counted is over. */
static void
count_until(struct count *count, int64_t all)
{
	count->stop = false;
	count->stop_at = all;
	CU_ASSERT_TRUE(scheduler_run_while_not(count->rig->scheduler,
	    &count->stop, INT64_C(60000) * MS));
}

/* --- topics that are gone ------------------------------------------------- */

/* Fewer than the writes that fake_coord keeps. */
#define GONE 3500

static void
test_gone_in_turns(void)
{
	struct rig rig;
	struct count count = { .rig = &rig };
	struct one newer;

	rig_init(&rig);
	put_groups(&rig, GONE);
	put_offset(&rig, "last", 0, 1, -1);
	put_offset(&rig, "last", 1, 2, -1);
	fake_coord_put(rig.coord, offset_key("last", "u", 0),
	    offset_value(5, WALL_MS), -1);
	fake_coord_load(rig.coord);
	rig.coord->appending = count_one;
	rig.coord->appending_arg = &count;
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	count_until(&count, 100);
	CU_ASSERT_TRUE(count.all < GONE);
	/* Of a new topic of the name, before the walk is there. */
	one_init(&newer, "last", "t", 0, 7);
	CU_ASSERT_FALSE(one_start(&rig, &newer));
	CU_ASSERT_EQUAL(fetch(&rig, "last", "t", 1), 2);
	/* One more topic waits for the next walk. */
	groups_topic_deleted(rig.groups, SLICE_LITERAL("u"));
	rig_run(&rig, 1000);
	CU_ASSERT_TRUE(count.most <= GROUPS_A_TURN);
	CU_ASSERT_EQUAL(count.all, GONE + 3);
	CU_ASSERT_EQUAL(newer.part.error, ERR_NONE);
	CU_ASSERT_EQUAL(fetch(&rig, "last", "t", 0), 7);
	CU_ASSERT_EQUAL(fetch(&rig, "last", "t", 1), -1);
	CU_ASSERT_EQUAL(fetch(&rig, "last", "u", 0), -1);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->by_id), 1);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics), 1);
	CU_ASSERT_TRUE(list_empty(&rig_shard(&rig)->gone_now));
	CU_ASSERT_TRUE(list_empty(&rig_shard(&rig)->gone_next));
	rig_fini(&rig);
}

static void
expect_newer(struct rig *rig)
{
	CU_ASSERT_EQUAL(fetch(rig, "last", "t", 0), 7);
	CU_ASSERT_EQUAL(fetch(rig, "last", "t", 1), -1);
	CU_ASSERT_EQUAL(fetch(rig, "last", "t", 2), -1);
	CU_ASSERT_EQUAL(fetch(rig, "last", "t", 3), 8);
	CU_ASSERT_EQUAL(fetch(rig, "last", "u", 0), -1);
}

/* What is under way at the news goes, also when it ends before the walk is
 * there; what is committed since stays, also when it is under way still: here
 * and in the log. */
static void
test_gone_and_commits(void)
{
	struct rig rig;
	struct count count = { .rig = &rig };
	struct one before, newer, first;

	rig_init(&rig);
	put_groups(&rig, GONE);
	put_group(&rig, "last", "consumer", 0);
	put_offset(&rig, "last", 0, 1, -1);
	put_offset(&rig, "last", 1, 2, -1);
	fake_coord_put(rig.coord, offset_key("last", "u", 0),
	    offset_value(5, WALL_MS), -1);
	fake_coord_load(rig.coord);
	rig.coord->appending = count_one;
	rig.coord->appending_arg = &count;
	rig.coord->hold = true;
	one_init(&before, "last", "t", 2, 9);
	CU_ASSERT_FALSE(one_start(&rig, &before));
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	count_until(&count, 100);
	fake_coord_end(rig.coord, ERR_NONE);
	CU_ASSERT_TRUE(before.ask.done);
	one_init(&newer, "last", "t", 0, 7);
	CU_ASSERT_FALSE(one_start(&rig, &newer));
	/* News of another topic say nothing new of this one. */
	groups_topic_deleted(rig.groups, SLICE_LITERAL("u"));
	count_until(&count, count.all + 1);
	one_init(&first, "last", "t", 3, 8);
	CU_ASSERT_FALSE(one_start(&rig, &first));
	rig_run(&rig, 1000);
	while (rig.coord->write_count > 0)
		fake_coord_end(rig.coord, ERR_NONE);
	rig_run(&rig, 1000);
	CU_ASSERT_TRUE(newer.ask.done && first.ask.done);
	expect_newer(&rig);
	fake_coord_load(rig.coord);
	expect_newer(&rig);
	/* Its record is there still. */
	CU_ASSERT_PTR_NOT_NULL(rig_group(&rig, "last")->protocol_type);
	rig_fini(&rig);
}

static void
test_gone_and_closed(void)
{
	struct rig rig;
	struct count count = { .rig = &rig };

	rig_init(&rig);
	put_groups(&rig, GONE);
	fake_coord_load(rig.coord);
	rig.coord->appending = count_one;
	rig.coord->appending_arg = &count;
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	count_until(&count, 100);
	groups_topic_deleted(rig.groups, SLICE_LITERAL("t"));
	fake_coord_close(rig.coord);
	rig_run(&rig, 1000);
	rig_fini(&rig);
}

/* --- lists ---------------------------------------------------------------- */

struct list_ask {
	struct group_ask ask;
	struct list_groups_request request;
	struct list_groups_response response;
	struct slice filter;
};

static bool
list_start(struct rig *rig, struct list_ask *l, const char *state)
{
	l->ask = *rig_ask(rig);
	l->ask.response = &l->response;
	l->filter = slice_of_text(state);
	wire_init(&message_list_groups_request, &l->request);
	wire_init(&message_list_groups_response, &l->response);
	l->request.states_filter = &l->filter;
	l->request.states_filter_count = state != NULL;
	l->ask.done = group_list(rig->groups, &l->request, &l->ask);
	return (l->ask.done);
}

/* Each once, whatever comes and goes; what cannot be met is not. */
static void
test_list_in_turns(void)
{
	struct list_ask all, some, lost;
	struct rig rig;
	int at = 0;

	rig_init(&rig);
	put_groups(&rig, MANY);
	put_group(&rig, "busy", "consumer", 1);
	fake_coord_load(rig.coord);
	next_turn(&rig);
	CU_ASSERT_FALSE(list_start(&rig, &all, NULL));
	CU_ASSERT_TRUE(all.response.groups_count <= GROUPS_A_TURN);
	CU_ASSERT_FALSE(list_start(&rig, &some, "sTABLE"));
	CU_ASSERT_FALSE(list_start(&rig, &lost, NULL));
	group_forget(&lost.ask);
	group_bury(rig_group(&rig, "g4990"), ERR_NONE);
	group_bury(rig_group(&rig, "g1"), ERR_NONE);
	(void)group_make(rig_shard(&rig), SLICE_LITERAL("g1"));
	rig_run(&rig, 0);
	CU_ASSERT_TRUE(all.ask.done && some.ask.done && !lost.ask.done);
	CU_ASSERT_EQUAL_FATAL(all.response.groups_count, MANY);
	for (int i = 0; i < MANY; i++)
		if (i != 4990)
			CU_ASSERT_TRUE(slice_equal_text(
			    all.response.groups[at++].group_id,
			    group_name(i)));
	CU_ASSERT_TRUE(slice_equal_text(all.response.groups[at].group_id,
	    "busy"));
	CU_ASSERT_EQUAL_FATAL(some.response.groups_count, 1);
	CU_ASSERT_TRUE(slice_equal_text(some.response.groups[0].group_id,
	    "busy"));
	CU_ASSERT_EQUAL(all.response.error_code, ERR_NONE);
	/* What is wanted outgrows the room for a start. */
	CU_ASSERT_FALSE(list_start(&rig, &some, "Empty"));
	rig_run(&rig, 0);
	CU_ASSERT_EQUAL(some.response.groups_count, MANY - 1);
	/* The shard closes. */
	CU_ASSERT_FALSE(list_start(&rig, &all, NULL));
	fake_coord_close(rig.coord);
	rig_run(&rig, 0);
	CU_ASSERT_TRUE(all.ask.done && all.response.groups_count < MANY);
	CU_ASSERT_TRUE(list_start(&rig, &all, NULL));
	CU_ASSERT_EQUAL(all.response.groups_count, 0);
	rig_fini(&rig);
}

static void
test_list_refused(void)
{
	struct list_ask l;
	struct rig rig;

	rig_init(&rig);
	put_groups(&rig, MANY);
	fake_coord_load(rig.coord);
	rig.arena.limit = 300000;
	CU_ASSERT_TRUE(list_start(&rig, &l, NULL));
	CU_ASSERT_TRUE(l.ask.refused);
	CU_ASSERT_FALSE(list_start(&rig, &l, "empty"));
	rig_run(&rig, 0);
	CU_ASSERT_TRUE(l.ask.done && l.ask.refused);
	CU_ASSERT_TRUE(list_empty(&rig_shard(&rig)->walks));
	rig_fini(&rig);
}

/* --- lag ------------------------------------------------------------------ */

static bool
count_high_watermark(void *arg, struct slice topic, int32_t partition,
    int64_t *out)
{
	count_one(arg);
	*out = slice_equal_text(topic, "t") ? 1000000 + partition : 10;
	return (partition != 13);
}

static int
times_in(const char *text, const char *what)
{
	int times = 0;

	while ((text = strstr(text, what)) != NULL) {
		times++;
		text += strlen(what);
	}
	return (times);
}

/* Lines of the page, which is the buffer's. */
static const char *
lag_page(struct rig *rig, struct buffer *page)
{
	page->length = 0;
	metrics_expose(rig->metrics, page);
	return (buffer_text(page));
}

#define LAG_LINE "\nkafka_consumergroup_lag{"
#define LAG_OF(group, topic, partition)                                       \
	LAG_LINE "group=\"" group "\",topic=\"" topic "\",partition=\""       \
	    partition "\"} "

static void
put_lag_groups(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++) {
		for (int32_t p = 0; p < 500; p++)
			put_offset(rig, group_name(i), p, p, -1);
		for (int32_t p = 0; p < 200; p++)
			fake_coord_put(rig->coord, offset_key(group_name(i),
			    "u", p), offset_value(p, WALL_MS), -1);
	}
}

/* More offsets than a turn takes, in few groups: the sheet rests in them. */
static void
test_lag_in_turns(void)
{
	struct group_offset offset = { .offset = 7, .metadata = SLICE_EMPTY,
		.expire_ms = -1 };
	struct rig rig;
	struct count count = { .rig = &rig };
	struct buffer page = BUFFER_EMPTY;
	struct group *last;
	const char *text;

	rig_init_lag(&rig, count_high_watermark, &count);
	put_lag_groups(&rig, 14);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(times_in(lag_page(&rig, &page), LAG_LINE), 0);
	count_until(&count, 1000);
	/* It rests in g3. */
	CU_ASSERT_TRUE(count.all > 3 * 700 && count.all < 4 * 700);
	for (int i = 0; i < 5; i++)
		group_bury(rig_group(&rig, group_name(i)), ERR_NONE);
	(void)group_make(rig_shard(&rig), SLICE_LITERAL("g1"));
	group_offset_put(rig_group(&rig, "g1"), SLICE_LITERAL("t"), 0,
	    &offset, 99999);
	last = rig_group(&rig, "g13");
	group_offset_drop(last, SLICE_LITERAL("t"), 499, 99999);
	group_offset_put(last, SLICE_LITERAL("t"), 10000, &offset, 99999);
	rig_run(&rig, 1000);
	CU_ASSERT_TRUE(count.most <= GROUP_TURN_COST / 8);
	text = lag_page(&rig, &page);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g0", "u", "0") "10\n"), 1);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g1", "t", "0")), 1);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g4", "t", "0")), 0);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g6", "t", "13")), 0);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g13", "t", "498") "1000000\n"),
	    1);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g13", "t", "499")), 0);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g13", "t", "10000") "1009993\n"),
	    1);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g13", "u", "199")), 1);
	/* The next one has what is there now. */
	rig_run(&rig, 6000);
	text = lag_page(&rig, &page);
	CU_ASSERT_EQUAL(times_in(text, LAG_LINE), 9 * 698 + 1);
	CU_ASSERT_EQUAL(times_in(text, LAG_OF("g1", "t", "0") "999993\n"), 1);
	buffer_fini(&page);
	rig_fini(&rig);
}

/* As many as may be shown, the others counted; a shard that closes meanwhile;
 * nobody who asks. */
static void
test_lag_most(void)
{
	struct rig rig;
	struct count count = { .rig = &rig };
	struct buffer page = BUFFER_EMPTY;

	rig_init_lag(&rig, count_high_watermark, &count);
	put_lag_groups(&rig, 20);
	fake_coord_load(rig.coord);
	(void)lag_page(&rig, &page);
	rig_run(&rig, 6000);
	/* Of 14 groups and a part of one; partitions 13 are not known. */
	CU_ASSERT_EQUAL(times_in(lag_page(&rig, &page), LAG_LINE),
	    10000 - (14 * 2 + 1));
	CU_ASSERT_EQUAL(metrics_value(rig.metrics,
	    METRIC_CONSUMER_GROUP_LAG_LEFT), 20 * 700 - 10000 + 14 * 2 + 1);
	count_until(&count, count.all + 1000);
	fake_coord_close(rig.coord);
	CU_ASSERT_EQUAL(times_in(lag_page(&rig, &page), LAG_LINE), 0);
	fake_coord_load(rig.coord);
	(void)lag_page(&rig, &page);
	rig_run(&rig, 600000);
	CU_ASSERT_TRUE(count.all > 100000);
	count.all = 0;
	rig_run(&rig, 600000);
	CU_ASSERT_EQUAL(count.all, 0);
	CU_ASSERT_EQUAL(times_in(lag_page(&rig, &page), LAG_LINE), 0);
	buffer_fini(&page);
	rig_fini(&rig);
}

/* --- topics of subscriptions ---------------------------------------------- */

/* Topics "topic-<from>" and so on, and `tail` as the user's bytes. */
static struct slice
subscription(struct rig *rig, int from, int count, struct slice tail)
{
	struct buffer bytes = BUFFER_EMPTY;
	bool ok = true;
	struct slice copy;

	bytes_put_i16(buffer_extend(&bytes, 2), 0);
	bytes_put_i32(buffer_extend(&bytes, 4), count);
	for (int i = from; i < from + count; i++) {
		char name[32];
		const int length = snprintf(name, sizeof(name), "topic-%06d",
		    i);

		bytes_put_i16(buffer_extend(&bytes, 2), (int16_t)length);
		buffer_append(&bytes, name, (size_t)length);
	}
	buffer_append_slice(&bytes, tail);
	copy = arena_slice_copy(&rig->arena, buffer_slice(&bytes), &ok);
	buffer_fini(&bytes);
	CU_ASSERT_TRUE_FATAL(ok);
	return (copy);
}

#define NO_USER SLICE_LITERAL("\377\377\377\377")

static void
put_subscribers(struct rig *rig, const char *id, const struct slice *told,
    size_t members)
{
	struct group_metadata_value_member rows[4];
	struct group_metadata_value value;

	wire_init(&message_group_metadata_value, &value);
	memset(rows, 0, sizeof(rows));
	value.protocol_type = SLICE_LITERAL("consumer");
	value.generation = 4;
	value.protocol = SLICE_LITERAL("range");
	value.leader = SLICE_LITERAL("m0");
	value.current_state_timestamp = WALL_MS;
	value.members = rows;
	value.members_count = (int32_t)members;
	for (size_t i = 0; i < members; i++) {
		rows[i].member_id = slice_of_text(arena_printf(&rig->arena,
		    "m%zu", i));
		rows[i].group_instance_id = SLICE_NULL;
		rows[i].client_id = rows[i].client_host = SLICE_EMPTY;
		rows[i].session_timeout = INT32_MAX;
		rows[i].rebalance_timeout = INT32_MAX;
		rows[i].subscription = told[i];
		rows[i].assignment = SLICE_EMPTY;
	}
	fake_coord_put(rig->coord, group_key_of_group(&rig->arena,
	    slice_of_text(id)), group_value_of_group(&rig->arena, &value), -1);
}

static bool
subscribes(struct rig *rig, const char *id, const char *topic)
{
	bool known;

	return (group_subscribes(rig_group(rig, id), slice_of_text(topic),
	    &known));
}

/* Of groups that read the same, the names are there once. */
static void
test_topics_shared(void)
{
	struct rig rig;
	struct slice told[4];

	rig_init(&rig);
	told[0] = told[1] = subscription(&rig, 0, 100, NO_USER);
	told[2] = subscription(&rig, 50, 100, SLICE_LITERAL("\0\0\0\1x"));
	told[3] = subscription(&rig, 0, 0, NO_USER);
	put_subscribers(&rig, "a", told, 4);
	put_subscribers(&rig, "b", told, 2);
	fake_coord_put(rig.coord, offset_key("b", "topic-000007", 0),
	    offset_value(5, WALL_MS), -1);
	fake_coord_load(rig.coord);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics), 150);
	CU_ASSERT_EQUAL(rig_group(&rig, "a")->members->topic_count, 150);
	CU_ASSERT_EQUAL(rig_group(&rig, "b")->members->topic_count, 100);
	CU_ASSERT_TRUE(subscribes(&rig, "a", "topic-000149"));
	CU_ASSERT_FALSE(subscribes(&rig, "b", "topic-000149"));
	CU_ASSERT_TRUE(subscribes(&rig, "b", "topic-000007"));
	CU_ASSERT_FALSE(subscribes(&rig, "b", "nowhere"));
	group_bury(rig_group(&rig, "a"), ERR_NONE);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics), 100);
	group_bury(rig_group(&rig, "b"), ERR_NONE);
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics), 0);
	rig_fini(&rig);
}

/* What is too much counts as all topics, and takes no memory. */
static void
test_topics_bounded(void)
{
	struct rig rig;
	struct slice told[4];

	rig_init(&rig);
	for (int i = 0; i < 4; i++)
		told[i] = subscription(&rig, 0, 60000, NO_USER);
	put_subscribers(&rig, "same", told, 4);
	for (int i = 0; i < 4; i++)
		told[i] = subscription(&rig, i, 60000, NO_USER);
	put_subscribers(&rig, "told", told, 4);
	told[0] = subscription(&rig, 0, GROUP_TOPICS_MAX, NO_USER);
	put_subscribers(&rig, "most", told, 1);
	told[0] = subscription(&rig, 0, GROUP_TOPICS_MAX + 1, NO_USER);
	put_subscribers(&rig, "many", told, 1);
	/* What follows the same topics cannot be read. */
	told[0] = subscription(&rig, 0, 10, NO_USER);
	told[1] = subscription(&rig, 0, 10, SLICE_LITERAL("\0\0\0\2x"));
	put_subscribers(&rig, "dim", told, 2);
	told[1] = subscription(&rig, 0, 10, SLICE_LITERAL("\0\0"));
	put_subscribers(&rig, "cut", told, 2);
	fake_coord_load(rig.coord);
	CU_ASSERT_FALSE(subscribes(&rig, "same", "nowhere"));
	CU_ASSERT_FALSE(subscribes(&rig, "most", "nowhere"));
	CU_ASSERT_TRUE(subscribes(&rig, "told", "nowhere"));
	CU_ASSERT_TRUE(subscribes(&rig, "many", "nowhere"));
	CU_ASSERT_TRUE(subscribes(&rig, "dim", "nowhere"));
	CU_ASSERT_TRUE(subscribes(&rig, "cut", "nowhere"));
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics),
	    GROUP_TOPICS_MAX);
	CU_ASSERT_EQUAL(rig_group(&rig, "told")->members->topic_count, 0);
	rig_fini(&rig);
}

/* Few names, of many bytes. */
static void
test_topics_long(void)
{
	enum { LENGTH = 30000 };
	const int names = (int)(GROUP_TOPICS_BYTES_MAX / LENGTH) + 1;
	struct buffer bytes = BUFFER_EMPTY;
	struct slice told;
	struct rig rig;

	rig_init(&rig);
	bytes_put_i16(buffer_extend(&bytes, 2), 0);
	bytes_put_i32(buffer_extend(&bytes, 4), names);
	for (int i = 0; i < names; i++) {
		uint8_t *to;

		bytes_put_i16(buffer_extend(&bytes, 2), LENGTH);
		to = buffer_extend(&bytes, LENGTH);
		memset(to, 'x', LENGTH);
		bytes_put_i32(to, i);
	}
	buffer_append_slice(&bytes, NO_USER);
	told = buffer_slice(&bytes);
	put_subscribers(&rig, "g", &told, 1);
	fake_coord_load(rig.coord);
	CU_ASSERT_TRUE(subscribes(&rig, "g", "nowhere"));
	CU_ASSERT_EQUAL(hash_count(&rig_shard(&rig)->topics), 0);
	buffer_fini(&bytes);
	rig_fini(&rig);
}

/* --- memory of a removal -------------------------------------------------- */

static size_t
heap_bytes(void)
{
	return (mallinfo2().uordblks + mallinfo2().hblkhd);
}

static void
note_heap(void *arg)
{
	*(size_t *)arg = heap_bytes();
}

/* As it is written: one offset of a group that has many. */
static void
test_removal_memory(void)
{
	struct group_part part = { .topic = SLICE_LITERAL("t") };
	struct group_offset_deletion deletion = {
		.group_id = SLICE_LITERAL("g"), .parts = &part, .count = 1 };
	struct rig rig;
	size_t before, within = SIZE_MAX;

	rig_init(&rig);
	for (int32_t p = 0; p < 9000; p++)
		put_offset(&rig, "g", p, p, -1);
	fake_coord_load(rig.coord);
	rig.coord->appending = note_heap;
	rig.coord->appending_arg = &within;
	before = heap_bytes();
	CU_ASSERT_FALSE(group_delete_offsets(rig.groups, &deletion,
	    rig_ask(&rig)));
	/* A sanitizer's heap is not told of: both are 0. */
	CU_ASSERT_TRUE(within < before + 4096);
	rig_run(&rig, 0);
	CU_ASSERT_TRUE(rig.ask.done);
	CU_ASSERT_EQUAL(fetch(&rig, "g", "t", 0), -1);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "a walk over groups that come and go", test_walk },
	{ "a way over offsets that come and go", test_places },
	{ "a load ends in turns", test_load_in_turns },
	{ "a load that is abandoned", test_load_abandoned },
	{ "a shard closes in turns", test_close_in_turns },
	{ "a shard that closes writes nothing", test_close_is_quiet },
	{ "a topic goes in turns", test_gone_in_turns },
	{ "topics are gone and commits come", test_gone_and_commits },
	{ "a topic goes from a shard that closes", test_gone_and_closed },
	{ "groups are listed in turns", test_list_in_turns },
	{ "a list without memory", test_list_refused },
	{ "lag is copied in turns", test_lag_in_turns },
	{ "lag of too many", test_lag_most },
	{ "names of topics are shared", test_topics_shared },
	{ "topics of subscriptions are bounded", test_topics_bounded },
	{ "and so are their names", test_topics_long },
	{ "memory of a removal", test_removal_memory },
};

int
main(void)
{
	return (unit_main("group turns", tests, nelems(tests)));
}
