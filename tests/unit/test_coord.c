/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinators' runtime over a real log, in replay: shards that come and go
 * with their partition's leadership, loads, writes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/topic.h"
#include "coord_bench.h"

#define TOPIC SLICE_LITERAL(RIG_TOPIC)

/* --- placement ------------------------------------------------------------ */

static void
place_run(void *arg)
{
	struct bench *b = arg;
	const struct cluster_image *image = cluster_image(b->rig.cluster);

	/* "abc".hashCode() is 96354; the image knows 12 partitions. */
	CU_ASSERT_EQUAL(coord_partition_of(b->coord, image,
	    SLICE_LITERAL("abc")), 96354 % PARTITIONS);
	CU_ASSERT_EQUAL(hash_java_string("zzzzzz", 6), -685785664);
	CU_ASSERT_EQUAL(coord_partition_of(b->coord, image,
	    SLICE_LITERAL("zzzzzz")), 685785664 % PARTITIONS);
	/* The smallest of all has no absolute value. */
	CU_ASSERT_EQUAL(hash_java_string("polygenelubricants", 18),
	    INT32_MIN);
	CU_ASSERT_EQUAL(coord_partition_of(b->coord, image,
	    SLICE_LITERAL("polygenelubricants")), 0);
	CU_ASSERT_EQUAL(coord_partition_of(b->coord, image, SLICE_NULL), 0);
}

static void
test_placement(void)
{
	struct bench b;

	bench_init(&b, 1000, NULL);
	replica_rig_on(&b.rig, 0, place_run, &b);
	CU_ASSERT_PTR_EQUAL(coord_loop(b.coord, 6), b.rig.loops[2]);
	CU_ASSERT_EQUAL(coord_loop_count(b.coord), RIG_LOOPS);
	bench_fini(&b);
}

static void
place_default_run(void *arg)
{
	struct bench *b = arg;

	CU_ASSERT_EQUAL(coord_partition_of(b->coord,
	    cluster_image(b->rig.cluster), SLICE_LITERAL("abc")), 96354 % 50);
}

static void
test_placement_without_topic(void)
{
	struct bench b;

	memset(&b, 0, sizeof(b));
	replica_rig_init(&b.rig, false, NULL);
	b.load_bytes = 1000;
	bench_start(&b);
	replica_rig_on(&b.rig, 1, place_default_run, &b);
	bench_fini(&b);
}

/* --- the clock ------------------------------------------------------------ */

/* It is storage's: what leaps ahead is not believed at once. */
static void
test_steady(void)
{
	const int64_t hour_ms = 3600 * 1000;
	struct bench b;
	int64_t now_ms;

	bench_init(&b, 1000, NULL);
	now_ms = coord_steady_ms(b.coord);
	CU_ASSERT_EQUAL(now_ms, clock_wall_ms(&b.rig.clock.clock));
	b.rig.clock.wall_base_ms += 30 * hour_ms;
	CU_ASSERT_EQUAL(coord_steady_ms(b.coord), now_ms);
	CU_ASSERT_EQUAL(storage_steady_ms(b.rig.storage), now_ms);
	b.rig.clock.wall_base_ms -= 31 * hour_ms;
	CU_ASSERT_EQUAL(coord_steady_ms(b.coord), now_ms - hour_ms);
	bench_fini(&b);
}

/* --- leadership ----------------------------------------------------------- */

static void
test_lead_write_restart(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NOT_COORDINATOR);
	lead(&b, 1, 5);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NONE);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(coord_shard_epoch(b.notes[1]->shard), 5);
	CU_ASSERT_EQUAL(note_one(&b, 1, "a", 2), ERR_NONE);
	CU_ASSERT_EQUAL(note_one(&b, 1, "b", 1), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;a1=a;b0=b;");
	/* A new epoch of the same leader is nothing new. */
	lead(&b, 1, 6);
	CU_ASSERT_EQUAL(b.opened, 1);
	CU_ASSERT_EQUAL(note_one(&b, 1, "c", 1), ERR_NONE);
	bench_restart(&b);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NOT_COORDINATOR);
	lead(&b, 1, 7);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 1), "a0=a;a1=a;b0=b;c0=c;");
	bench_fini(&b);
}

static void
test_follow_and_delete(void)
{
	struct bench b;
	struct replica *replica;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	CU_ASSERT_EQUAL(note_one(&b, 0, "a", 1), ERR_NONE);
	follow(&b, 0, 6);
	CU_ASSERT_EQUAL(b.closed, 1);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NOT_COORDINATOR);
	lead(&b, 0, 7);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "a0=a;");
	/* The next one of its name begins at 0, whoever led it in the end. */
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			follow(&b, 0, 8);
		replica = replicas_find(b.rig.replicas, TOPIC, 0);
		replica_retire(replica);
		replica_tell_role(replica);
		replica_tell_role(replica);
		replica_unref(replica);
		replica_rig_pass(&b.rig, 10);
		CU_ASSERT_EQUAL(b.closed, 2 + i);
		lead(&b, 0, 0);
		CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NONE);
		CU_ASSERT_EQUAL(b.opened, 3 + i);
	}
	coord_resigned(b.coord, 1, -1);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(hash_count(&b.coord->loops[1].shards), 0);
	bench_fini(&b);
}

static void
test_offline(void)
{
	struct bench b;
	struct replica *replica;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NONE);
	replica = replicas_find(b.rig.replicas, TOPIC, 0);
	replica_set_offline(replica);
	replica_unref(replica);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NOT_COORDINATOR);
	CU_ASSERT_EQUAL(b.closed, 1);
	bench_fini(&b);
}

/* Told out of order, as by requests that overtake each other. */
static void
test_epoch_guard(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	coord_resigned(b.coord, 0, 4);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NONE);
	coord_elected(b.coord, 0, 5);
	coord_elected(b.coord, 0, 3);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(b.opened, 1);
	coord_resigned(b.coord, 0, 9);
	coord_elected(b.coord, 0, 8);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NOT_COORDINATOR);
	/* Elected again without a word in between: loaded anew. */
	coord_elected(b.coord, 0, 10);
	coord_elected(b.coord, 0, 11);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NONE);
	CU_ASSERT_EQUAL(b.opened, 3);
	CU_ASSERT_EQUAL(b.loaded, 2);
	bench_fini(&b);
}

static void
elsewhere_run(void *arg)
{
	struct bench *b = arg;
	enum error error;

	CU_ASSERT_PTR_NULL(coord_state(b->coord, 0, &error));
	CU_ASSERT_EQUAL(error, ERR_NOT_COORDINATOR);
}

static void
test_wrong_loop(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	replica_rig_on(&b.rig, 1, elsewhere_run, &b);
	CU_ASSERT_EQUAL(bench_look(&b, 0), ERR_NONE);
	bench_fini(&b);
}

struct listing {
	struct bench *bench;
	int loop;
	int most;
	int seen;
	bool loading;
};

static bool
listing_each(void *state, void *arg)
{
	struct listing *listing = arg;

	CU_ASSERT_EQUAL(coord_shard_partition(((struct notes *)state)->shard) %
	    RIG_LOOPS, listing->loop);
	return (++listing->seen < listing->most);
}

static void
listing_run(void *arg)
{
	struct listing *listing = arg;
	struct loop *loop = listing->bench->rig.loops[listing->loop];

	coord_each(listing->bench->coord, loop, listing_each, listing);
	listing->loading = coord_loading(listing->bench->coord, loop);
}

static void
test_each(void)
{
	struct bench b;
	struct listing listing = { .bench = &b, .loop = 1, .most = 100 };

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 1, 5);
	lead(&b, 5, 5);
	lead(&b, 2, 5);
	replica_rig_on(&b.rig, 1, listing_run, &listing);
	CU_ASSERT_EQUAL(listing.seen, 2);
	CU_ASSERT_FALSE(listing.loading);
	listing.seen = 0;
	listing.most = 1;
	replica_rig_on(&b.rig, 1, listing_run, &listing);
	CU_ASSERT_EQUAL(listing.seen, 1);
	bench_fini(&b);
}

/* --- loading -------------------------------------------------------------- */

static const struct piece old_log[] = {
	{ "a", "1", CODEC_NONE, -1, false },
	{ "b", "2", CODEC_GZIP, -1, false },
	{ "c", "3", CODEC_NONE, 7, false },
	{ "commit", "", CODEC_NONE, 7, true },
	{ "a", NULL, CODEC_NONE, -1, false },
	{ NULL, "lost", CODEC_NONE, -1, false },
	{ "d", "4", CODEC_ZSTD, 8, false },
	{ "abort", "", CODEC_NONE, 8, true },
	{ "e", "5", CODEC_NONE, -1, false },
};
#define OLD_TEXT "a=1;b=2;t7:c=3;C7@3;a-;t8:d=4;A8@7;e=5;"

/* In chunks of any size the same. */
static void
test_load_chunks(void)
{
	const size_t sizes[] = { 1, 100, 250, 1 << 20 };

	for (size_t i = 0; i < nelems(sizes); i++) {
		struct bench b;

		bench_init(&b, sizes[i], NULL);
		follow(&b, 3, 4);
		log_pieces(&b, 3, old_log, nelems(old_log));
		lead(&b, 3, 5);
		CU_ASSERT_STRING_EQUAL(bench_text(&b, 3), OLD_TEXT);
		CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_NONE);
		CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
		    METRIC_GROUP_PARTITIONS), 1);
		CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
		    METRIC_GROUP_LOADS), 1);
		CU_ASSERT_EQUAL(note_one(&b, 3, "n", 1), ERR_NONE);
		CU_ASSERT_STRING_EQUAL(bench_text(&b, 3), OLD_TEXT "n0=n;");
		bench_fini(&b);
	}
}

static void
log_many(struct bench *b, int32_t partition, int count)
{
	for (int i = 0; i < count; i++) {
		char key[16];
		struct piece piece = { key, "v", CODEC_NONE, -1, false };

		(void)snprintf(key, sizeof(key), "%d", i);
		log_pieces(b, partition, &piece, 1);
	}
}

/* Leads, and stops the world after so many records. */
static void
load_until(struct bench *b, int32_t partition, int32_t epoch, size_t count)
{
	struct rig_order order = { .partition = partition, .epoch = epoch };

	b->pause_after = count;
	b->paused = false;
	(void)replica_rig_order(&b->rig, &order);
	CU_ASSERT(scheduler_run_while_not(b->rig.scheduler, &b->paused,
	    1000 * MS));
	b->pause_after = 0;
}

static void
test_load_in_progress(void)
{
	struct bench b;
	struct listing listing = { .bench = &b, .loop = 2, .most = 100 };

	bench_init(&b, 300, NULL);
	follow(&b, 2, 4);
	log_many(&b, 2, 400);
	load_until(&b, 2, 5, 40);
	CU_ASSERT_FALSE(b.notes[2]->loaded);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_PARTITIONS_LOADING), 1);
	replica_rig_on(&b.rig, 2, listing_run, &listing);
	CU_ASSERT(listing.loading || b.notes[2]->loaded);
	replica_rig_pass(&b.rig, 1000);
	CU_ASSERT_EQUAL(bench_look(&b, 2), ERR_NONE);
	CU_ASSERT_EQUAL(b.notes[2]->record_count, 400);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_PARTITIONS_LOADING), 0);
	bench_fini(&b);
}

static void
test_resign_in_load(void)
{
	struct bench b;

	bench_init(&b, 300, NULL);
	follow(&b, 2, 4);
	log_many(&b, 2, 200);
	for (size_t at = 1; at < 200; at += 30) {
		const int32_t epoch = 5 + (int32_t)at * 2;
		const int closed = b.closed;

		load_until(&b, 2, epoch, at);
		coord_resigned(b.coord, 2, epoch + 1);
		replica_rig_pass(&b.rig, 1000);
		CU_ASSERT_EQUAL(bench_look(&b, 2), ERR_NOT_COORDINATOR);
		CU_ASSERT_EQUAL(b.closed, closed + 1);
		follow(&b, 2, epoch + 1);
	}
	CU_ASSERT_EQUAL(b.loaded, 0);
	/* At once elected and resigned, and elected again. */
	coord_elected(b.coord, 2, 1000);
	coord_resigned(b.coord, 2, 1001);
	coord_elected(b.coord, 2, 1002);
	replica_rig_pass(&b.rig, 1000);
	CU_ASSERT_EQUAL(b.loaded, 1);
	CU_ASSERT_EQUAL(b.notes[2]->record_count, 200);
	CU_ASSERT_EQUAL(b.coord->loads, 0);
	bench_fini(&b);
}

static void
test_stop_in_load(void)
{
	struct bench b;

	bench_init(&b, 300, NULL);
	for (int32_t i = 0; i < 6; i++) {
		follow(&b, i, 4);
		log_many(&b, i, 30);
	}
	for (int32_t i = 0; i < 6; i++) {
		struct rig_order order = { .partition = i, .epoch = 5 };

		(void)replica_rig_order(&b.rig, &order);
	}
	CU_ASSERT(b.opened > b.loaded);
	bench_fini(&b);
}

/* The loop does other things between slices. */
static void
test_load_slices(void)
{
	struct bench b;
	uint64_t before, turns;

	bench_init(&b, 1 << 20, NULL);
	follow(&b, 2, 4);
	log_many(&b, 2, 400);
	before = loop_turns(b.rig.loops[2]);
	lead(&b, 2, 5);
	turns = loop_turns(b.rig.loops[2]) - before;
	CU_ASSERT_EQUAL(b.notes[2]->record_count, 400);
	CU_ASSERT(turns > 400 / 32);
	bench_fini(&b);
}

/* Records below it were deleted, though their batch is there. */
static void
test_log_start(void)
{
	struct bench b;
	struct log *log;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	CU_ASSERT_EQUAL(note_one(&b, 0, "a", 3), ERR_NONE);
	CU_ASSERT_EQUAL(note_one(&b, 0, "b", 1), ERR_NONE);
	log = storage_find(b.rig.storage, RIG_TOPIC, 0);
	CU_ASSERT_EQUAL(log_advance_start(log, 2), ERR_NONE);
	log_unref(log);
	follow(&b, 0, 6);
	lead(&b, 0, 7);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "a2=a;b0=b;");
	bench_fini(&b);
}

/* --- bad disks ------------------------------------------------------------ */

static void
log_path(const struct bench *b, int32_t partition, char path[200])
{
	(void)snprintf(path, 200, "%s/" RIG_TOPIC "-%d/%020d.log",
	    b->rig.directory, (int)partition, 0);
}

/* Of the file, at the n-th batch and so far into it. */
static void
damage(const struct bench *b, int32_t partition, int batch, int at)
{
	char path[200];
	uint8_t head[BATCH_HEADER_SIZE];
	off_t position = 0;
	int file;

	log_path(b, partition, path);
	file = open(path, O_RDWR);
	CU_ASSERT_FATAL(file >= 0);
	for (int i = 0; i < batch; i++) {
		struct batch found;

		CU_ASSERT_EQUAL_FATAL(pread(file, head, sizeof(head),
		    position), (ssize_t)sizeof(head));
		CU_ASSERT_EQUAL_FATAL(batch_peek(slice_of(head, sizeof(head)),
		    &found), BATCH_OK);
		position += found.size;
	}
	CU_ASSERT_EQUAL(pwrite(file, "\xff", 1, position + at), 1);
	close(file);
}

static void
test_damaged_batches(void)
{
	const size_t sizes[] = { 1, 1 << 20 };

	for (size_t i = 0; i < nelems(sizes); i++) {
		struct bench b;

		bench_init(&b, sizes[i], NULL);
		follow(&b, 3, 4);
		log_pieces(&b, 3, old_log, nelems(old_log));
		damage(&b, 3, 0, BATCH_HEADER_SIZE + 5); /* the key */
		damage(&b, 3, 1, BATCH_HEADER_SIZE + 3);
		damage(&b, 3, 8, BATCH_HEADER_SIZE + 3);
		lead(&b, 3, 5);
		CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_NONE);
		CU_ASSERT_STRING_EQUAL(bench_text(&b, 3),
		    "t7:c=3;C7@3;a-;t8:d=4;A8@7;");
		bench_fini(&b);
	}
}

/* No batch is found behind it: nothing is served half. */
static void
test_damaged_frame(void)
{
	struct bench b;

	bench_init(&b, 1 << 20, NULL);
	follow(&b, 3, 4);
	log_pieces(&b, 3, old_log, nelems(old_log));
	damage(&b, 3, 4, 16); /* the magic */
	lead(&b, 3, 5);
	CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_COORDINATOR_LOAD_IN_PROGRESS);
	replica_rig_pass(&b.rig, 100000);
	CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_COORDINATOR_LOAD_IN_PROGRESS);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 3), "a=1;b=2;t7:c=3;C7@3;");
	CU_ASSERT_EQUAL(b.loaded, 0);
	bench_fini(&b);
}

static void
test_loads_at_once(void)
{
	struct bench b;

	bench_init(&b, 300, NULL);
	for (int32_t i = 0; i < PARTITIONS; i++) {
		follow(&b, i, 4);
		log_many(&b, i, 30);
		if (i < LOADS_AT_ONCE)
			damage(&b, i, 20, 16); /* as above */
	}
	for (int32_t i = 0; i < PARTITIONS; i++)
		coord_elected(b.coord, i, 5);
	replica_rig_pass(&b.rig, 10000);
	CU_ASSERT_EQUAL(b.loaded, PARTITIONS - LOADS_AT_ONCE);
	CU_ASSERT_EQUAL(b.most_loads, LOADS_AT_ONCE);
	CU_ASSERT_EQUAL(b.coord->loads, 0);
	bench_fini(&b);
}

/* Of a log that cannot be read no end of a transaction is kept: a load that
 * ends has read it. */
static void
test_marks_unreadable(void)
{
	struct bench b;

	bench_init(&b, 300, NULL);
	follow(&b, 1, 4);
	log_many(&b, 1, 30);
	damage(&b, 1, 20, 16);
	coord_elected(b.coord, 1, 5);
	replica_rig_pass(&b.rig, 3000);
	for (int64_t offset = 20; offset < 31; offset++)
		coord_marked(b.coord, &(struct coord_mark){ .partition = 1,
		    .epoch = 5, .producer_id = 7, .offset = offset });
	replica_rig_pass(&b.rig, 3000);
	CU_ASSERT_EQUAL(bench_look(&b, 1), ERR_COORDINATOR_LOAD_IN_PROGRESS);
	/* One lies behind the log's end yet. */
	CU_ASSERT_FALSE(list_empty(&shard_of(b.coord, 1)->marks));
	CU_ASSERT_PTR_EQUAL(shard_of(b.coord, 1)->marks.next,
	    shard_of(b.coord, 1)->marks.prev);
	bench_fini(&b);
}

static void
test_read_errors(void)
{
	struct bench b;

	bench_init(&b, 200, NULL);
	follow(&b, 3, 4);
	log_pieces(&b, 3, old_log, nelems(old_log));
	files_faulty_set(b.rig.files, ".log", FILE_CALL_READ, 2, 20, EIO);
	lead(&b, 3, 5);
	CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_COORDINATOR_LOAD_IN_PROGRESS);
	files_faulty_clear(b.rig.files);
	replica_rig_pass(&b.rig, 30000);
	/* Either it could be read again, or the directory failed. */
	if (b.notes[3] != NULL) {
		CU_ASSERT_EQUAL(bench_look(&b, 3), ERR_NONE);
		CU_ASSERT_STRING_EQUAL(bench_text(&b, 3), OLD_TEXT);
	}
	bench_fini(&b);
}

/* --- writes --------------------------------------------------------------- */

static void
test_writes_in_order(void)
{
	enum { COUNT = 20 };
	struct bench b;
	struct note_write w[COUNT];
	struct buffer text = BUFFER_EMPTY;

	bench_init(&b, 1 << 20, NULL);
	/* Some of them are packed anew by workers, who are several. */
	lead(&b, 0, 5);
	for (int i = 0; i < COUNT; i++) {
		char key[8];

		(void)snprintf(key, sizeof(key), "k%d.", i);
		if (i % 5 == 0) {
			b.rig.configs.options.codec = i % 2 == 0 ? CODEC_ZSTD :
								   -1;
			replicas_defaults_changed(b.rig.replicas);
		}
		note_init(&w[i], &b, 0, key, 1 + (size_t)i % 3);
		w[i].write.codec = (int8_t)(i % 3 == 0 ? CODEC_GZIP :
							 CODEC_NONE);
		for (size_t j = 0; j < w[i].write.count; j++)
			buffer_printf(&text, "k%d.%zu=k%d.;", i, j, i);
		note_start(&w[i]);
	}
	replica_rig_pass(&b.rig, 1000);
	for (int i = 0; i < COUNT; i++) {
		CU_ASSERT(w[i].done);
		CU_ASSERT_EQUAL(w[i].write.error, ERR_NONE);
		CU_ASSERT_EQUAL(w[i].write.base_offset + (int64_t)
		    w[i].write.count, (int64_t)w[i].replayed);
	}
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), buffer_text(&text));
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics, METRIC_GROUP_WRITES),
	    COUNT);
	bench_restart(&b);
	lead(&b, 0, 6);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), buffer_text(&text));
	buffer_fini(&text);
	bench_fini(&b);
}

static void
test_tombstones_and_acks(void)
{
	struct bench b;
	struct note_write w;

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	note_init(&w, &b, 0, "a", 2);
	w.entries[1].value = SLICE_NULL;
	w.write.acks = 0;
	note_start(&w);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT(w.done);
	CU_ASSERT_EQUAL(w.write.error, ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "a0=a;a1-;");
	bench_fini(&b);
}

/* Broker 2 does not fetch: nothing is acknowledged, nothing replayed. */
static void
test_writes_that_wait(void)
{
	struct bench b;
	struct note_write first, second;

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .epoch = 5,
	    .replica_count = 2 }), ERR_NONE);
	note_init(&first, &b, 0, "a", 1);
	note_init(&second, &b, 0, "b", 1);
	first.write.timeout_ms = 1000;
	note_start(&first);
	note_start(&second);
	replica_rig_pass(&b.rig, 900);
	CU_ASSERT_FALSE(first.done || second.done);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "");
	replica_rig_pass(&b.rig, 200);
	CU_ASSERT(first.done);
	CU_ASSERT_EQUAL(first.write.error, ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_FALSE(second.done);
	CU_ASSERT_EQUAL(rig_follow(&b.rig, 2, 0), ERR_NONE);
	CU_ASSERT_EQUAL(rig_follow(&b.rig, 2, 2), ERR_NONE);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT(second.done);
	CU_ASSERT_EQUAL(second.write.error, ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "b0=b;");
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_WRITE_FAILURES), 1);
	bench_fini(&b);
}

static void
test_resign_with_writes(void)
{
	struct bench b;
	struct note_write w[3];

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .epoch = 5,
	    .replica_count = 2 }), ERR_NONE);
	for (size_t i = 0; i < nelems(w); i++) {
		note_init(&w[i], &b, 0, "a", 1);
		w[i].write.timeout_ms = 60000;
		note_start(&w[i]);
	}
	follow(&b, 0, 6);
	for (size_t i = 0; i < nelems(w); i++) {
		CU_ASSERT(w[i].done);
		CU_ASSERT(w[i].write.closed);
		CU_ASSERT_EQUAL(w[i].write.error, ERR_NOT_LEADER_OR_FOLLOWER);
		CU_ASSERT_EQUAL(w[i].replayed, 0);
	}
	/* And one that comes too late. */
	note_init(&w[0], &b, 0, "late", 1);
	w[0].shard = w[1].shard;
	note_start(&w[0]);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT(w[0].done && w[0].write.closed);
	CU_ASSERT_EQUAL(w[0].write.error, ERR_NOT_LEADER_OR_FOLLOWER);
	bench_fini(&b);
}

/* Written for one leadership and acknowledged in the next: it may count, but
 * not twice. */
static void
test_writes_over_terms(void)
{
	struct bench b;
	struct note_write w;

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .epoch = 5,
	    .replica_count = 2 }), ERR_NONE);
	note_init(&w, &b, 0, "a", 1);
	w.write.timeout_ms = 60000;
	note_start(&w);
	/* The coordinator alone is told so: the partition goes on leading. */
	coord_resigned(b.coord, 0, 6);
	coord_elected(b.coord, 0, 7);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT_FALSE(w.done);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "a0=a;");
	CU_ASSERT_EQUAL(rig_follow(&b.rig, 2, 1), ERR_NONE);
	replica_rig_pass(&b.rig, 10);
	CU_ASSERT(w.done && w.write.closed);
	CU_ASSERT_EQUAL(w.write.error, ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "a0=a;");
	/* This one's epoch is not the leader's. */
	CU_ASSERT_EQUAL(note_one(&b, 0, "b", 1), ERR_NOT_LEADER_OR_FOLLOWER);
	bench_fini(&b);
}

static void
test_too_large(void)
{
	struct bench b;
	struct note_write w, small;
	uint8_t *value = mem_zalloc(2 << 20);

	bench_init(&b, 1 << 20, NULL);
	lead(&b, 0, 5);
	note_init(&w, &b, 0, "a", 1);
	w.entries[0].value = slice_of(value, 2 << 20);
	note_start(&w);
	note_init(&small, &b, 0, "b", 1);
	note_start(&small);
	replica_rig_pass(&b.rig, 100);
	CU_ASSERT(w.done && small.done);
	CU_ASSERT_EQUAL(w.write.error, ERR_MESSAGE_TOO_LARGE);
	CU_ASSERT_EQUAL(small.write.error, ERR_NONE);
	CU_ASSERT_STRING_EQUAL(bench_text(&b, 0), "b0=b;");
	mem_free(value);
	bench_fini(&b);
}

static void
test_too_much_under_way(void)
{
	enum { COUNT = 80 };
	struct bench b;
	struct note_write *w = mem_zalloc(COUNT * sizeof(*w));
	uint8_t *value = mem_zalloc(1 << 20);
	int refused = 0;

	bench_init(&b, 1 << 20, NULL);
	CU_ASSERT_EQUAL(bench_order(&b, (struct rig_order){ .epoch = 5,
	    .replica_count = 2 }), ERR_NONE);
	for (int i = 0; i < COUNT; i++) {
		note_init(&w[i], &b, 0, "a", 1);
		w[i].entries[0].value = slice_of(value, 1000000);
		w[i].write.timeout_ms = 1000;
		note_start(&w[i]);
	}
	CU_ASSERT(b.notes[0]->shard->write_bytes <= WRITES_BYTES_MAX);
	replica_rig_pass(&b.rig, 2000);
	for (int i = 0; i < COUNT; i++) {
		CU_ASSERT(w[i].done);
		if (w[i].write.error == ERR_COORDINATOR_NOT_AVAILABLE)
			refused++;
		else
			CU_ASSERT_EQUAL(w[i].write.error,
			    ERR_REQUEST_TIMED_OUT);
	}
	CU_ASSERT_EQUAL(refused, COUNT - (int)(WRITES_BYTES_MAX / 1000080));
	CU_ASSERT_EQUAL(b.notes[0]->shard->write_bytes, 0);
	mem_free(value);
	mem_free(w);
	bench_fini(&b);
}

/* --- the page ------------------------------------------------------------- */

static void
test_load_times(void)
{
	struct bench b;
	struct buffer page = BUFFER_EMPTY;

	bench_init(&b, 1 << 20, NULL);
	times_note(b.coord, clock_mono_ms(b.coord->clock), 40);
	times_note(b.coord, clock_mono_ms(b.coord->clock), 10);
	metrics_expose(b.rig.metrics, &page);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_LOAD_TIME_MAX), 40);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_LOAD_TIME_AVG), 25);
	replica_rig_pass(&b.rig, 31000);
	metrics_expose(b.rig.metrics, &page);
	CU_ASSERT_EQUAL(metrics_value(b.rig.metrics,
	    METRIC_GROUP_LOAD_TIME_MAX), 0);
	buffer_fini(&page);
	bench_fini(&b);
}

static const struct unit_test tests[] = {
	{ "groups are placed as Java hashes them", test_placement },
	{ "before there is a topic, too", test_placement_without_topic },
	{ "the clock that deletes is storage's", test_steady },
	{ "lead, write, be killed, load", test_lead_write_restart },
	{ "follow, lead again, be deleted", test_follow_and_delete },
	{ "a directory fails", test_offline },
	{ "older epochs mean nothing", test_epoch_guard },
	{ "another loop is told that it is elsewhere", test_wrong_loop },
	{ "each shard of a loop", test_each },
	{ "any chunk size gives the same state", test_load_chunks },
	{ "while it loads it says so", test_load_in_progress },
	{ "a resignation in the middle of a load", test_resign_in_load },
	{ "a stop in the middle of loads", test_stop_in_load },
	{ "few load at once", test_loads_at_once },
	{ "a load gives way to others", test_load_slices },
	{ "a log that begins within a batch", test_log_start },
	{ "damaged batches are passed over", test_damaged_batches },
	{ "a log without an end to be found", test_damaged_frame },
	{ "reads that fail are tried again", test_read_errors },
	{ "ends of transactions meanwhile", test_marks_unreadable },
	{ "writes are replayed in the log's order", test_writes_in_order },
	{ "tombstones; acks 0", test_tombstones_and_acks },
	{ "writes wait for replicas, or not", test_writes_that_wait },
	{ "a resignation with writes under way", test_resign_with_writes },
	{ "writes that outlive their term", test_writes_over_terms },
	{ "a batch that is too large", test_too_large },
	{ "too much under way", test_too_much_under_way },
	{ "load times of the last half minute", test_load_times },
};

int
main(void)
{
	return (unit_main("coord", tests, nelems(tests)));
}
