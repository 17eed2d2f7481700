/* SPDX-License-Identifier: Apache-2.0 */
/* Loads whose end, and closings, take many steps; ends of transactions that
 * others write; how many partitions count. */
#include "coord_bench.h"

/* --- the end of a load ---------------------------------------------------- */

static void
answers_loading(struct notes *notes)
{
	const struct bench *b = bench_of(notes);
	enum error error;

	CU_ASSERT_PTR_NULL(coord_state(b->coord,
	    coord_shard_partition(notes->shard), &error));
	CU_ASSERT_EQUAL(error, ERR_COORDINATOR_LOAD_IN_PROGRESS);
	CU_ASSERT_TRUE(coord_loading(b->coord,
	    coord_shard_loop(notes->shard)));
}

static void
test_loaded_in_steps(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	b.loaded_after = 500;
	b.ending = answers_loading;
	lead(&b, 1, 5);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NONE);
	CU_ASSERT_EQUAL(b.notes[1]->loaded_calls, 501);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_PARTITIONS_LOADING), 0);
	bench_fini(&b);
}

static void
pause_at_tenth(struct notes *notes)
{
	bench_of(notes)->paused = notes->loaded_calls == 9;
}

/* Until its load is ending, but not over. */
static void
lead_half(struct bench *b, int32_t partition, int32_t epoch)
{
	struct rig_order order = { .partition = partition, .epoch = epoch };

	b->loaded_after = 500;
	b->ending = pause_at_tenth;
	b->paused = false;
	(void)replica_rig_order(&b->rig, &order);
	CU_ASSERT_TRUE(scheduler_run_while_not(b->rig.scheduler, &b->paused,
	    1000 * MS));
	CU_ASSERT_FALSE(b->notes[partition]->loaded);
}

/* The coordinator may write before requests come. */
static void
test_write_at_end(void)
{
	struct note_write w;
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead_half(&b, 1, 5);
	note_init(&w, &b, 1, "w", 1);
	note_start(&w);
	while (!w.done)
		CU_ASSERT_TRUE_FATAL(scheduler_run_while_not(b.rig.scheduler,
		    &w.done, 1000 * MS));
	CU_ASSERT_EQUAL(w.write.error, ERR_NONE);
	CU_ASSERT_FALSE(w.write.closed);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "w0=w;");
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NONE);
	bench_fini(&b);
}

static void
test_resign_at_end(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead_half(&b, 1, 5);
	coord_resigned(b.coord, 1, 6);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_EQUAL(b.loaded, 0);
	CU_ASSERT_EQUAL(b.closed, 1);
	CU_ASSERT_EQUAL(b.coord->loads, 0);
	lead_half(&b, 2, 5);
	bench_fini(&b);
	CU_ASSERT_EQUAL(b.loaded, 0);
}

/* --- closings ------------------------------------------------------------- */

static void
loads_before_closed(struct notes *notes)
{
	bench_of(notes)->paused = bench_of(notes)->closed == 0;
}

static void
test_close_in_steps(void)
{
	struct notes *old;
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 1, 5);
	CU_ASSERT_EQUAL(note_one(&b, 1, "a", 1), ERR_NONE);
	old = b.notes[1];
	b.closed_after = 500;
	b.ending = loads_before_closed;
	/* The new state is there before the old one is gone. */
	coord_resigned(b.coord, 1, 6);
	coord_elected(b.coord, 1, 7);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_TRUE(b.paused);
	CU_ASSERT_EQUAL(b.loaded, 2);
	CU_ASSERT_PTR_NOT_EQUAL(b.notes[1], old);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;");
	CU_ASSERT_EQUAL(b.closed, 1);
	/* A stop waits for it. */
	coord_stop(b.coord);
	CU_ASSERT_FALSE(coord_at_rest(b.coord));
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_TRUE(coord_at_rest(b.coord));
	CU_ASSERT_EQUAL(b.closed, 2);
	coord_free(&b.coord);
	replica_rig_fini(&b.rig);
}

/* --- ends of transactions ------------------------------------------------- */

static void
mark(struct bench *b, int32_t epoch, int64_t offset, bool commit)
{
	coord_marked(b->coord, &(struct coord_mark){
	    .partition = 1,
	    .epoch = epoch,
	    .producer_id = 7,
	    .producer_epoch = 3,
	    .offset = offset,
	    .commit = commit,
	});
}

static void
test_marks(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	mark(&b, 5, 0, true); /* never heard of it */
	replica_rig_pass(&b.rig, 10);
	lead(&b, 1, 5);
	CU_ASSERT_EQUAL(note_one(&b, 1, "a", 1), ERR_NONE);
	mark(&b, 5, 1, true);
	mark(&b, 5, 2, false);
	mark(&b, 4, 3, false);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;C7@1;A7@2;");
	/* Who leads on in a new epoch is not elected anew. */
	lead(&b, 1, 6);
	mark(&b, 6, 3, true);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(b.opened, 1);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;C7@1;A7@2;C7@3;");
	coord_resigned(b.coord, 1, 7);
	mark(&b, 5, 3, true);
	mark(&b, 6, 3, true);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(b.closed, 1);
	bench_fini(&b);
}

/* What was written in front comes first, though it is acknowledged later. */
static void
test_mark_behind_writes(void)
{
	struct note_write first, second;
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .partition = 1,
	    .epoch = 5, .replica_count = 2 }), ERR_NONE);
	note_init(&first, &b, 1, "a", 1);
	first.write.timeout_ms = 60000;
	note_start(&first);
	mark(&b, 5, 1, true);
	replica_rig_pass(&b.rig, 10);
	note_init(&second, &b, 1, "b", 1);
	second.write.timeout_ms = 10;
	note_start(&second);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_FALSE(first.done);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "");
	/* A shard that closes tells of no mark any more. */
	coord_resigned(b.coord, 1, 6);
	replica_rig_pass(&b.rig, 70000);
	CU_ASSERT_TRUE(first.done && second.done);
	bench_fini(&b);
	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .partition = 1,
	    .epoch = 5, .replica_count = 2 }), ERR_NONE);
	note_init(&first, &b, 1, "a", 1);
	first.write.timeout_ms = 1000;
	note_start(&first);
	mark(&b, 5, 1, true);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "");
	/* Whatever becomes of it. */
	replica_rig_pass(&b.rig, 5000);
	CU_ASSERT_TRUE(first.done);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "C7@1;");
	bench_fini(&b);
}

/* Appended by another room. */
static void
append_beside(struct bench *b)
{
	struct rig_produce p;

	rig_produce_init(&p, &b->rig, 1);
	p.part.partition = 1;
	rig_produce_start(&p);
	CU_ASSERT_TRUE(p.done || rig_produce_await(&p, 1000));
	CU_ASSERT_EQUAL(p.part.error, ERR_NONE);
	rig_produce_fini(&p);
}

static void
mark_then_write(void *arg)
{
	struct note_write *w = arg;

	mark(w->bench, 5, 1, true);
	note_run(w);
}

/* It is on its way to the loop when the next record of its producer is written:
 * that one is of another transaction. */
static void
test_mark_before_write(void)
{
	struct note_write w;
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 1, 5);
	CU_ASSERT_EQUAL(note_one(&b, 1, "a", 1), ERR_NONE);
	append_beside(&b);
	note_init(&w, &b, 1, "b", 1);
	replica_rig_on(&b.rig, 1, mark_then_write, &w);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_TRUE(w.done);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;C7@1;b0=b;");
	bench_fini(&b);
}

static void
mark_at_tenth(struct notes *notes)
{
	if (notes->loaded_calls == 9)
		mark(bench_of(notes), 5, 4, false);
}

/* In a load: what it has read is not told again. */
static void
test_marks_in_load(void)
{
	static const struct piece log[] = {
		{ "a", "1", CODEC_NONE, 7, false },
		{ "commit", "", CODEC_NONE, 7, true },
	};
	struct rig_order order = { .partition = 1, .epoch = 5 };
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	follow(&b, 1, 4);
	log_pieces(&b, 1, log, nelems(log));
	b.pause_after = 1;
	(void)replica_rig_order(&b.rig, &order);
	CU_ASSERT_TRUE(scheduler_run_while_not(b.rig.scheduler, &b.paused,
	    1000 * MS));
	b.pause_after = 0;
	b.loaded_after = 20;
	b.ending = mark_at_tenth;
	mark(&b, 5, 1, true);
	mark(&b, 5, 3, true);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "t7:a=1;C7@1;C7@3;A7@4;");
	bench_fini(&b);
}

/* --- partitions ----------------------------------------------------------- */

struct place {
	struct bench *bench;
	int32_t partition;
};

static void
place_run(void *arg)
{
	struct place *place = arg;

	place->partition = coord_partition_of(place->bench->coord,
	    cluster_image(place->bench->rig.cluster), SLICE_LITERAL("abc"));
}

/* "abc".hashCode() is 96354. */
static int32_t
place(struct bench *b)
{
	struct place place = { .bench = b };

	replica_rig_on(&b->rig, 0, place_run, &place);
	return (place.partition);
}

static void
test_partitions_added(void)
{
	const struct uuid first = { { 1 } }, second = { { 2 } };
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	b.start_partitions = 13;
	b.start_topic_id = first;
	bench_restart(&b);
	/* Its id is not told, as in a topic of old. */
	CU_ASSERT_EQUAL(place(&b), 96354 % 13);
	replica_rig_image_of(&b.rig, RIG_TOPIC, first, 13, 1);
	CU_ASSERT_EQUAL(place(&b), 96354 % 13);
	replica_rig_image_of(&b.rig, RIG_TOPIC, first, 17, 1);
	CU_ASSERT_EQUAL(place(&b), 96354 % 13);
	/* It was deleted and made again. */
	replica_rig_image_of(&b.rig, RIG_TOPIC, second, 19, 1);
	CU_ASSERT_EQUAL(place(&b), 96354 % 19);
	/* Another start, when it was not there: as many as are made then, if
	 * they are all there. */
	b.start_partitions = 0;
	bench_restart(&b);
	replica_rig_image_of(&b.rig, RIG_TOPIC, second, 50, 1);
	CU_ASSERT_EQUAL(place(&b), 96354 % 50);
	replica_rig_image_of(&b.rig, RIG_TOPIC, second, 60, 1);
	CU_ASSERT_EQUAL(place(&b), 96354 % 50);
	/* And another. */
	b.start_partitions = 13;
	b.start_topic_id = UUID_ZERO;
	bench_restart(&b);
	CU_ASSERT_EQUAL(place(&b), 96354 % 13);
	bench_fini(&b);
}

static const struct unit_test tests[] = {
	{ "a load ends in steps", test_loaded_in_steps },
	{ "a write at the end of a load", test_write_at_end },
	{ "resigned at the end of a load", test_resign_at_end },
	{ "a shard closes in steps", test_close_in_steps },
	{ "ends of transactions", test_marks },
	{ "an end behind writes", test_mark_behind_writes },
	{ "an end before a write", test_mark_before_write },
	{ "an end in a load", test_marks_in_load },
	{ "partitions are added", test_partitions_added },
};

int
main(void)
{
	return (unit_main("coordinators' turns", tests, nelems(tests)));
}
