/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction: what is chosen, what stays, what a death in between leaves, and
 * what readers see meanwhile. */
#include "compaction_rig.h"

#include <errno.h>

/* --- tests ---------------------------------------------------------------- */

static void
test_map(void)
{
	const size_t limit = (size_t)64 * 100 * CLEAN_MAP_ENTRY;
	struct random random;
	struct clean_map *map;
	int count = 0;
	char text[16];

	random_seed(&random, 7);
	map = clean_map_new(limit, 0.5, &random);
	CU_ASSERT(clean_map_bytes(map) < 4096);
	for (;; count++) {
		snprintf(text, sizeof(text), "%d", count);
		CU_ASSERT_EQUAL(clean_map_get(map, slice_of_text(text)), -1);
		if (!clean_map_put(map, slice_of_text(text), count))
			break;
	}
	CU_ASSERT_EQUAL(count, 3200);
	CU_ASSERT_EQUAL(clean_map_count(map), 3200);
	CU_ASSERT_EQUAL(clean_map_percent(map), 50);
	CU_ASSERT(clean_map_bytes(map) <= limit + 4096);
	for (int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%d", i);
		CU_ASSERT_EQUAL(clean_map_get(map, slice_of_text(text)), i);
		/* Full, but for what it has. */
		CU_ASSERT(clean_map_put(map, slice_of_text(text), i + 5));
		CU_ASSERT_EQUAL(clean_map_get(map, slice_of_text(text)),
		    i + 5);
	}
	CU_ASSERT(!clean_map_put(map, slice_of_text("x"), 1));
	CU_ASSERT_EQUAL(clean_map_get(map, slice_of_text("")), -1);
	clean_map_free(&map);
	CU_ASSERT_PTR_NULL(map);
	map = clean_map_new(1, 0, &random);
	CU_ASSERT(clean_map_put(map, slice_of_text(""), 9));
	CU_ASSERT_EQUAL(clean_map_get(map, slice_of_text("")), 9);
	clean_map_free(&map);
}

static void
test_latest_stays(void)
{
	struct clean_candidate candidate;
	struct seen seen;
	struct rig rig;
	int64_t end, active;

	rig_init(&rig);
	bench_start(&rig.bench);
	fill(&rig, 300);
	log_finish_rolls(rig.bench.log);
	end = log_end_offset(rig.bench.log);
	active = log_active(rig.bench.log)->base_offset;
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), active);
	CU_ASSERT_EQUAL(log_end_offset(rig.bench.log), end);
	seen = expect_latest(&rig);
	CU_ASSERT(seen.records < KEYS + (int)(end - active) + 1);
	CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
	CU_ASSERT_EQUAL(count_files(&rig, ".swap"), 0);
	/* Nothing is dirty any more. */
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT(!clean_is_due(&candidate, &rig.bench.settings));
	/* Again, and again over a restart of either kind. */
	fill(&rig, 100);
	log_finish_rolls(rig.bench.log);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	expect_latest(&rig);
	/* What was compacted once is merged the next time. */
	CU_ASSERT(log_segment_count(rig.bench.log) < 12);
	bench_stop(&rig.bench);
	bench_start(&rig.bench);
	CU_ASSERT_EQUAL(count_files(&rig, ".deleted"), 0);
	log_set_high_watermark(rig.bench.log, log_end_offset(rig.bench.log));
	expect_latest(&rig);
	bench_crash(&rig.bench);
	bench_start(&rig.bench);
	log_set_high_watermark(rig.bench.log, log_end_offset(rig.bench.log));
	expect_latest(&rig);
	rig_fini(&rig);
}

/* A pass whose map takes seven keys. */
static struct cleaning *
begin_small(struct rig *rig)
{
	struct cleaning *cleaning = begin(rig, 1);

	clean_map_free(&cleaning->map);
	cleaning->map = clean_map_new((size_t)64 * CLEAN_MAP_ENTRY * 8,
	    7.0 / 512, &rig->bench.storage->random);
	return (cleaning);
}

/* A map that is full ends the pass early: the next goes on there. */
static void
test_small_map(void)
{
	struct cleaning *cleaning;
	struct rig rig;
	int64_t before = 0;
	int passes = 0;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	fill(&rig, 200);
	roll(&rig);
	while (atomic_load(&rig.bench.log->cleaned_to) <
	    log_end_offset(rig.bench.log)) {
		cleaning = begin_small(&rig);
		CU_ASSERT_EQUAL_FATAL(finish(&rig, &cleaning), CLEAN_DONE);
		CU_ASSERT_FATAL(atomic_load(&rig.bench.log->cleaned_to) >
		    before);
		before = atomic_load(&rig.bench.log->cleaned_to);
		passes++;
		expect_latest(&rig);
	}
	CU_ASSERT(passes >= 200 / 8);
	CU_ASSERT_EQUAL(look(&rig).records, KEYS);
	rig_fini(&rig);
}

/* The segment in which the map ends is filtered to its end: what was aborted
 * behind the map is no more readable than before. */
static void
test_small_map_aborted(void)
{
	struct cleaning *cleaning;
	struct rig rig;
	struct seen seen;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	fill(&rig, 10);
	for (int i = 0; i < 2; i++)
		put_from(&rig, 3 + i, 50, (struct origin){ .producer_id = 9,
		    .sequence = i, .attributes = BATCH_ATTR_TRANSACTIONAL });
	end_transaction(&rig, 9, false);
	roll(&rig);
	cleaning = begin_small(&rig);
	CU_ASSERT_EQUAL_FATAL(finish(&rig, &cleaning), CLEAN_DONE);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), 7);
	expect_aborted(&rig);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.records, 10);
	CU_ASSERT_EQUAL(seen.empty, 1); /* its last one */
	CU_ASSERT_EQUAL(seen.markers, 1);
	/* Nobody began to forget the marker. */
	CU_ASSERT_EQUAL(seen.horizons, 0);
	rig_fini(&rig);
}

static void
test_tombstones(void)
{
	struct seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	put(&rig, 1, 10);
	put(&rig, 2, 20);
	put(&rig, 1, -1);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.records, 2);
	CU_ASSERT_EQUAL(seen.tombstones, 1);
	CU_ASSERT_EQUAL(seen.horizons, 1);
	later(&rig, RETENTION_MS - 1);
	put(&rig, 3, 30);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	CU_ASSERT_EQUAL(look(&rig).tombstones, 1);
	later(&rig, 1);
	put(&rig, 3, 31);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.tombstones, 0);
	CU_ASSERT_EQUAL(seen.records, 2);
	rig_fini(&rig);
}

/* Wherever the process dies: what comes back has the last value of each key,
 * and no file of an exchange is left over. */
static void
test_deaths(void)
{
	bool done = false;
	int deaths = 0;

	/* Recovered as a whole, and from behind what is compacted. */
	for (int turn = 0; !done || turn % 2 == 1; turn++) {
		int calls = turn / 2;
		struct cleaning *cleaning;
		struct rig rig;

		rig_init(&rig);
		rig.bench.settings.segment_bytes = 700;
		bench_start(&rig.bench);
		fill(&rig, 40);
		put_from(&rig, 5, 99, (struct origin){ .producer_id = 9,
		    .attributes = BATCH_ATTR_TRANSACTIONAL });
		end_transaction(&rig, 9, false);
		roll(&rig);
		fill(&rig, 1);
		CU_ASSERT_EQUAL(log_flush(rig.bench.log), ERR_NONE);
		if (turn % 2 == 1)
			CU_ASSERT(log_dir_write_checkpoint(
			    log_directory(rig.bench.log),
			    CHECKPOINT_RECOVERY_POINT));
		/* So that there are two groups. */
		rig.bench.settings.segment_bytes = 3000;
		log_set_settings(rig.bench.log, &rig.bench.settings);
		cleaning = begin(&rig, 1 << 20);
		files_faulty_kill_after(rig.bench.files, calls);
		done = finish(&rig, &cleaning) == CLEAN_DONE &&
		    !files_faulty_killed(rig.bench.files);
		files_faulty_kill(rig.bench.files);
		bench_stop(&rig.bench);
		files_faulty_free(rig.bench.files);
		rig.bench.files = files_faulty_new(files_system());
		bench_start(&rig.bench);
		log_set_high_watermark(rig.bench.log,
		    log_end_offset(rig.bench.log));
		/* The aborted one counts for who reads all. */
		if (look(&rig).values[5] == 99)
			rig.expected[5] = 99;
		expect_latest(&rig);
		expect_aborted(&rig);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".swap"), 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".deleted"), 0);
		deaths++;
		rig_fini(&rig);
	}
	CU_ASSERT(deaths > 80);
}

/* Who began before reads to the end what there was; others find their place at
 * every offset.  One descriptor: every file is opened anew. */
static void
test_readers(void)
{
	struct log_read parts[64];
	struct seen seen = { 0 };
	size_t count = 0;
	struct rig rig;
	int64_t end;

	rig_init(&rig);
	rig.bench.descriptors = 1;
	bench_start(&rig.bench);
	fill(&rig, 300);
	log_finish_rolls(rig.bench.log);
	end = log_end_offset(rig.bench.log);
	for (int64_t at = 0; at < end;) {
		CU_ASSERT_EQUAL_FATAL(log_read(rig.bench.log, at, end, 1 << 20,
		    true, &parts[count]), ERR_NONE);
		at = parts[count].at_end_of_segment ||
			parts[count].extent.blob != NULL ?
		    rig.bench.log->segments->items[segment_list_find(
			rig.bench.log->segments, at)]->next_offset : end;
		count++;
	}
	for (int pass = 0; pass < 2; pass++) {
		CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
		fill(&rig, 60);
		log_finish_rolls(rig.bench.log);
	}
	for (size_t i = 0; i < count; i++)
		see_extent(&seen, &parts[i].extent);
	CU_ASSERT_EQUAL(seen.records, 300);
	end = log_end_offset(rig.bench.log);
	for (int64_t at = 0; at < end; at++) {
		struct log_read part;
		struct seen one = { 0 };

		CU_ASSERT_EQUAL_FATAL(log_read(rig.bench.log, at, end, 1,
		    true, &part), ERR_NONE);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
		see_extent(&one, &part.extent);
		CU_ASSERT(one.end > at);
	}
	expect_latest(&rig);
	rig_fini(&rig);
}

/* Data of an aborted transaction goes at once; markers stay while there was
 * data, and one more retention. */
static void
test_transactions(void)
{
	struct log_aborted_list aborted;
	struct log_read part;
	struct arena arena;
	struct seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	for (int i = 0; i < 2; i++) {
		put_from(&rig, 1 + i, 50, (struct origin){
		    .producer_id = 100 + i,
		    .attributes = BATCH_ATTR_TRANSACTIONAL });
		end_transaction(&rig, 100 + i, i == 1);
	}
	rig.expected[2] = 50;
	/* Their last batches are others. */
	for (int i = 0; i < 2; i++) {
		put_from(&rig, 3, 60 + i, (struct origin){
		    .producer_id = 100 + i, .sequence = 1,
		    .attributes = BATCH_ATTR_TRANSACTIONAL });
		end_transaction(&rig, 100 + i, true);
	}
	rig.expected[3] = 61;
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.markers, 4);
	CU_ASSERT_EQUAL(seen.records, 2);
	CU_ASSERT_EQUAL(seen.empty, 1); /* 60: the last one of its producer */
	CU_ASSERT_EQUAL(seen.horizons, 0);
	/* The abort is told yet: who reads an older replica may need it. */
	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(log_read(rig.bench.log, 0, 8, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(rig.bench.log, 0, &part, &arena,
	    &aborted), ERR_NONE);
	CU_ASSERT_EQUAL(aborted.count, 1);
	blob_unref(part.extent.blob);
	arena_fini(&arena);
	/* No data is met: its marker gets a horizon, and goes after that. */
	put(&rig, 4, 70);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.markers, 4);
	CU_ASSERT_EQUAL(seen.horizons, 1);
	later(&rig, RETENTION_MS);
	put(&rig, 4, 71);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	CU_ASSERT_EQUAL(expect_latest(&rig).markers, 3);
	rig_fini(&rig);
}

/* Of an open transaction nothing is known yet. */
static void
test_unstable(void)
{
	struct clean_candidate candidate;
	struct rig rig;
	int64_t open;

	rig_init(&rig);
	bench_start(&rig.bench);
	fill(&rig, 60);
	roll(&rig);
	open = log_end_offset(rig.bench.log);
	put_from(&rig, 1, 50, (struct origin){ .producer_id = 100,
	    .attributes = BATCH_ATTR_TRANSACTIONAL });
	fill(&rig, 60);
	roll(&rig);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT_EQUAL(candidate.first_uncleanable, open);
	end_transaction(&rig, 100, true);
	roll(&rig);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT_EQUAL(candidate.first_uncleanable,
	    log_end_offset(rig.bench.log));
	/* Nor of what is not below the high watermark. */
	log_set_high_watermark(rig.bench.log, open);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT(candidate.first_uncleanable <= open);
	rig_fini(&rig);
}

/* A producer goes on where it was, over a restart that knows its log alone. */
static void
test_producers(void)
{
	struct log_producer *producers;
	struct seen seen;
	struct rig rig;
	size_t count;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	for (int i = 0; i < 5; i++)
		put_from(&rig, 1, 10 + i, (struct origin){ .producer_id = 77,
		    .sequence = i });
	put(&rig, 1, 20);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.records, 1);
	CU_ASSERT_EQUAL(seen.empty, 1);
	bench_stop(&rig.bench);
	/* No snapshot tells. */
	for (int64_t offset = 0; offset < 10; offset++) {
		char name[64], path[PATH_MAX];

		snprintf(name, sizeof(name), "t-0/%020" PRId64 ".snapshot",
		    offset);
		bench_file(&rig.bench, name, path);
		unlink(path);
	}
	bench_crash(&rig.bench);
	bench_start(&rig.bench);
	producers = log_producers(rig.bench.log, &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(producers[0].last_sequence, 4);
	CU_ASSERT_EQUAL(producers[0].last_data_offset, 4);
	mem_free(producers);
	rig_fini(&rig);
}

/* The segments behind one that a batch without records dates have them. */
static void
test_times(void)
{
	struct log_found found;
	struct seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	put_from(&rig, 1, 1, (struct origin){ .producer_id = 77 });
	roll(&rig);
	/* Too large to become one with the one before. */
	for (int i = 0; i < KEYS; i++)
		put(&rig, i, 2);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.empty, 1);
	CU_ASSERT_EQUAL(log_find_timestamp(rig.bench.log, BENCH_NOW_MS,
	    &found), ERR_NONE);
	CU_ASSERT_EQUAL(found.offset, 1);
	CU_ASSERT_EQUAL(found.timestamp_ms, BENCH_NOW_MS + 1);
	rig_fini(&rig);
}

static void
test_leader_epochs(void)
{
	const int32_t epochs[] = { 0, 0, 2, 2, 5, 5, 5 };
	struct seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	for (size_t i = 0; i < nelems(epochs); i++)
		put_from(&rig, 1, (int)i + 1, (struct origin){
		    .leader_epoch = epochs[i] });
	rig.expected[1] = (int)nelems(epochs);
	/* What each leader wrote first leaves its place, in each pass; where
	 * the log begins nothing is. */
	for (int i = 0; i < 3; i++) {
		roll(&rig);
		CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
		seen = expect_latest(&rig);
		CU_ASSERT_EQUAL(seen.records, 1);
		CU_ASSERT_EQUAL(seen.empty, 2);
		CU_ASSERT_EQUAL(seen.empty_at, 4);
		put_from(&rig, 1, 100 + i, (struct origin){
		    .leader_epoch = 5 });
		rig.expected[1] = 100 + i;
	}
	rig_fini(&rig);
}

/* A copy of it, and what is appended to it, roll by the time of its records. */
static void
expect_rolls(struct rig *rig)
{
	struct bench_batch batch = { .leader_epoch = 2 };
	struct log_appended appended;
	struct log_read part;
	struct slice rest;
	struct batch ignored;
	struct bench copy;
	uint8_t *bytes;
	size_t place;

	CU_ASSERT_EQUAL_FATAL(log_read(rig->bench.log, 0, 3, 1 << 20, true,
	    &part), ERR_NONE);
	bytes = extent_bytes(&part.extent);
	blob_unref(part.extent.blob);
	rest = slice_of(bytes, part.extent.length);
	CU_ASSERT_EQUAL_FATAL(batch_next(&rest, &ignored), BATCH_OK);
	place = part.extent.length - rest.length;

	bench_init(&copy);
	copy.settings.segment_ms = 1000;
	bench_start(&copy);
	CU_ASSERT_EQUAL(log_append_as_follower(copy.log,
	    slice_of(bytes, place), &appended), ERR_NONE);
	CU_ASSERT_EQUAL(log_append_as_follower(copy.log, rest, &appended),
	    ERR_NONE);
	batch.timestamp_ms = BENCH_NOW_MS + 1002;
	CU_ASSERT_EQUAL(bench_append(&copy, &batch, &appended), ERR_NONE);
	CU_ASSERT_FALSE(appended.rolled);
	batch.timestamp_ms++;
	CU_ASSERT_EQUAL(bench_append(&copy, &batch, &appended), ERR_NONE);
	CU_ASSERT_TRUE(appended.rolled);
	/* What was cut away tells nothing. */
	CU_ASSERT_EQUAL(log_truncate_to(copy.log, 2), ERR_NONE);
	batch.timestamp_ms += 4000;
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(bench_append(&copy, &batch, &appended),
		    ERR_NONE);
		CU_ASSERT_EQUAL(appended.rolled, i == 2);
		batch.timestamp_ms += i == 0 ? 1000 : 1;
	}
	bench_fini(&copy);
	mem_free(bytes);
}

/* What is left in the place of records has no time: where it comes first the
 * records behind it tell how old a segment is. */
static void
test_age_behind_places(void)
{
	static const char times[] = "t-0/00000000000000000000.timeindex";
	struct clean_candidate candidate;
	char path[PATH_MAX];
	struct seen seen;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.min_cleanable_ratio = 0;
	bench_start(&rig.bench);
	for (int i = 0; i < 3; i++)
		put_from(&rig, 1, i + 1, (struct origin){
		    .leader_epoch = i == 0 ? 0 : 2 });
	rig.expected[1] = 3;
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	seen = expect_latest(&rig);
	CU_ASSERT_EQUAL(seen.empty_at, 1);
	CU_ASSERT_EQUAL(seen.records, 1);
	expect_rolls(&rig);

	rig.bench.settings.max_compaction_lag_ms = 1000;
	log_set_settings(rig.bench.log, &rig.bench.settings);
	atomic_store(&rig.bench.log->cleaned_to, 0);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS + 1102, &candidate));
	CU_ASSERT_EQUAL(candidate.delay_ms, 100);

	CU_ASSERT_EQUAL(bench_size(&rig.bench, times), 12);
	bench_stop(&rig.bench);
	bench_file(&rig.bench, times, path);
	CU_ASSERT_EQUAL(unlink(path), 0);
	bench_start(&rig.bench);
	CU_ASSERT_EQUAL(bench_size(&rig.bench, times), 12);
	rig_fini(&rig);
}

static void
test_lags(void)
{
	struct log_settings *settings;
	struct clean_candidate candidate;
	struct rig rig;
	int64_t now_ms;

	rig_init(&rig);
	settings = &rig.bench.settings;
	settings->min_cleanable_ratio = 1;
	bench_start(&rig.bench);
	fill(&rig, 100);
	log_finish_rolls(rig.bench.log);
	/* Records are of BENCH_NOW_MS + 0..99. */
	now_ms = BENCH_NOW_MS + 1100;
	CU_ASSERT(clean_look(rig.bench.log, now_ms, &candidate));
	CU_ASSERT_EQUAL(candidate.delay_ms, 0);
	CU_ASSERT(!clean_is_due(&candidate, settings)); /* not above 1 */
	settings->max_compaction_lag_ms = 1000;
	log_set_settings(rig.bench.log, settings);
	CU_ASSERT(clean_look(rig.bench.log, now_ms, &candidate));
	CU_ASSERT_EQUAL(candidate.delay_ms, 100);
	CU_ASSERT(clean_is_due(&candidate, settings));
	CU_ASSERT(clean_look(rig.bench.log, now_ms - 100, &candidate));
	CU_ASSERT_EQUAL(candidate.delay_ms, 0);
	settings->max_compaction_lag_ms = INT64_MAX;
	settings->min_compaction_lag_ms = 1050;
	log_set_settings(rig.bench.log, settings);
	CU_ASSERT(clean_look(rig.bench.log, now_ms, &candidate));
	CU_ASSERT(candidate.first_uncleanable <= 51);
	CU_ASSERT(candidate.first_uncleanable > 25);
	CU_ASSERT(!clean_look(rig.bench.log, now_ms - 1000, &candidate));
	rig_fini(&rig);
}

/* Whoever changes the log under a pass ends it, and what it made goes. */
static void
test_aborts(void)
{
	for (int how = 0; how < 4; how++) {
		struct cleaning *cleaning;
		enum clean_state state = CLEAN_MORE;
		struct rig rig;
		int64_t cut;

		rig_init(&rig);
		bench_start(&rig.bench);
		fill(&rig, 100);
		log_finish_rolls(rig.bench.log);
		cut = log_active(rig.bench.log)->base_offset - 3;
		cleaning = begin(&rig, 1 << 20);
		while (state == CLEAN_MORE && cleaning->stage != CLEAN_SWAP)
			state = cleaning_step(cleaning, 500);
		CU_ASSERT_EQUAL(state, CLEAN_MORE);
		CU_ASSERT(count_files(&rig, ".cleaned") > 0);
		if (how == 0)
			CU_ASSERT_EQUAL(log_truncate_to(rig.bench.log, cut),
			    ERR_NONE);
		if (how == 1)
			CU_ASSERT_EQUAL(log_delete(rig.bench.storage, "t", 0),
			    ERR_NONE);
		/* The same segment, closed again, with other records. */
		if (how == 3) {
			CU_ASSERT_EQUAL(log_truncate_to(rig.bench.log, 1),
			    ERR_NONE);
			roll(&rig);
			fill(&rig, 1);
		}
		if (how == 2) {
			log_advance_start(rig.bench.log, cut);
			log_retain(rig.bench.log);
			CU_ASSERT(rig.bench.log->segments->items[0]
				->base_offset > 0);
		}
		CU_ASSERT_EQUAL(finish(&rig, &cleaning), CLEAN_ABORTED);
		if (how != 1) {
			CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
			CU_ASSERT(look(&rig).records > 0);
		}
		CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
		rig_fini(&rig);
	}
}

/* So does who takes compaction away, wherever the pass is, and for good: what
 * was superseded stays though it comes back. */
static void
test_compaction_ends(void)
{
	for (int how = 0; how < 4; how++) {
		struct cleaning *cleaning;
		enum clean_state state = CLEAN_MORE;
		struct log_settings settings;
		struct rig rig;

		rig_init(&rig);
		bench_start(&rig.bench);
		fill(&rig, 100);
		log_finish_rolls(rig.bench.log);
		settings = rig.bench.settings;
		cleaning = begin(&rig, 1 << 20);
		/* Other settings are none of its business. */
		log_set_settings(rig.bench.log, &settings);
		do
			state = cleaning_step(cleaning, 500);
		while (state == CLEAN_MORE && how / 2 == 1 &&
		    cleaning->stage != CLEAN_SWAP);
		CU_ASSERT_EQUAL(state, CLEAN_MORE);
		settings.compacted = false;
		log_set_settings(rig.bench.log, &settings);
		settings.compacted = how % 2 == 1;
		log_set_settings(rig.bench.log, &settings);
		CU_ASSERT_EQUAL(finish(&rig, &cleaning), CLEAN_ABORTED);
		CU_ASSERT_EQUAL(look(&rig).records, 100);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		if (how % 2 == 1) {
			CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
			CU_ASSERT(expect_latest(&rig).records < 100);
		}
		rig_fini(&rig);
	}
}

/* What is chosen may be another log by the time that the pass begins: cut as a
 * whole, cut to what is clean, taken by retention up to the active segment, or
 * not to be compacted any more. */
static void
test_stale_choice(void)
{
	static const struct clean_share share = { .map_bytes = 1 << 20,
		.load_factor = 0.9, .buffer_bytes = 1 << 20 };

	for (int how = 0; how < 4; how++) {
		struct clean_choice choice;
		struct cleaning *cleaning;
		struct log_settings settings;
		struct rig rig;
		struct log *log;

		rig_init(&rig);
		bench_start(&rig.bench);
		log = rig.bench.log;
		fill(&rig, 100);
		roll(&rig);
		clean_choose(rig.bench.storage, &choice);
		CU_ASSERT_PTR_EQUAL_FATAL(choice.log, log);
		CU_ASSERT(atomic_load(&log->cleaning));
		if (how == 0)
			CU_ASSERT_EQUAL(log_truncate_fully(log, 7), ERR_NONE);
		if (how == 1)
			CU_ASSERT_EQUAL(log_truncate_to(log, 3), ERR_NONE);
		if (how == 2) {
			log_advance_start(log, 100);
			log_retain(log);
			CU_ASSERT_EQUAL(log_segment_count(log), 1);
		}
		if (how == 3) {
			settings = rig.bench.settings;
			settings.compacted = false;
			log_set_settings(log, &settings);
		}
		cleaning = cleaning_new(choice.log, &share);
		CU_ASSERT_PTR_NULL(cleaning);
		if (cleaning != NULL)
			(void)finish(&rig, &cleaning);
		CU_ASSERT(!atomic_load(&log->cleaning));
		CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		rig_fini(&rig);
	}
}

/* Retention takes segments that a pass has not come to, and their files have
 * other names already: in the MAP it leaves them out, later it ends. */
static void
test_retention_under_pass(void)
{
	for (int how = 0; how < 2; how++) {
		struct cleaning *cleaning;
		enum clean_state state = CLEAN_MORE;
		struct rig rig;
		struct log *log;

		rig_init(&rig);
		rig.bench.settings.segment_bytes = 700;
		bench_start(&rig.bench);
		log = rig.bench.log;
		for (int i = 0; i < 8; i++) {
			fill(&rig, 3);
			put_from(&rig, 5, 99, (struct origin){ .producer_id = 9,
			    .sequence = i,
			    .attributes = BATCH_ATTR_TRANSACTIONAL });
			end_transaction(&rig, 9, false);
		}
		roll(&rig);
		CU_ASSERT(atomic_load(&log->segments->items[0]->aborted));
		cleaning = begin(&rig, 1 << 20);
		while (state == CLEAN_MORE && cleaning->stage !=
		    (how == 0 ? CLEAN_MAP : CLEAN_FILTER))
			state = cleaning_step(cleaning, 500);
		state = cleaning_step(cleaning, 500);
		CU_ASSERT_EQUAL_FATAL(state, CLEAN_MORE);
		log_advance_start(log, log->segments->items[2]->base_offset);
		log_retain(log);
		CU_ASSERT_EQUAL(finish(&rig, &cleaning),
		    how == 0 ? CLEAN_DONE : CLEAN_ABORTED);
		CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		if (rig.bench.failed_dirs == 0)
			expect_aborted(&rig);
		rig_fini(&rig);
	}
}

/* What was cut off is not taken for compacted when others come in its place. */
static void
test_truncation_lowers(void)
{
	struct rig rig;
	uint8_t *bytes;
	char expected[64];
	size_t size;
	int64_t base;

	rig_init(&rig);
	bench_start(&rig.bench);
	fill(&rig, 100);
	roll(&rig);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), 100);
	CU_ASSERT_EQUAL(log_truncate_to(rig.bench.log, 90), ERR_NONE);
	base = log_active(rig.bench.log)->base_offset;
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), base);
	bytes = bench_read(&rig.bench, "cleaner-offset-checkpoint", &size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	snprintf(expected, sizeof(expected), "0\n1\nt 0 %" PRId64 "\n", base);
	CU_ASSERT(slice_equal_text(slice_of(bytes, size), expected));
	mem_free(bytes);
	/* Lost while nobody ran: nothing is known of what comes there. */
	bench_stop(&rig.bench);
	bench_write(&rig.bench, "cleaner-offset-checkpoint", "0\n1\nt 0 91\n",
	    11, 0);
	bench_start(&rig.bench);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), -1);
	bench_stop(&rig.bench);
	bench_write(&rig.bench, "cleaner-offset-checkpoint", "0\n1\nt 0 90\n",
	    11, 0);
	bench_start(&rig.bench);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), 90);
	rig_fini(&rig);
}

static void
test_damage(void)
{
	/* In the midst; the head of the first one. */
	static const int64_t places[] = { 300, 16 };

	for (size_t i = 0; i < nelems(places); i++) {
		struct cleaning *cleaning;
		struct rig rig;

		rig_init(&rig);
		bench_start(&rig.bench);
		fill(&rig, 100);
		log_finish_rolls(rig.bench.log);
		bench_write(&rig.bench, "t-0/00000000000000000000.log", "x", 1,
		    places[i]);
		cleaning = begin(&rig, 1 << 20);
		CU_ASSERT_EQUAL(finish(&rig, &cleaning), CLEAN_DAMAGED);
		CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), -1);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
		rig_fini(&rig);
	}
}

/* Writes at the next look into a file. */
struct meddler {
	struct files files; /* first */
	struct files_ops ops;
	struct rig *rig; /* NULL: not now */
};

static ssize_t
meddler_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct meddler *meddler = (struct meddler *)(void *)files;
	struct rig *rig = meddler->rig;

	meddler->rig = NULL;
	if (rig != NULL)
		put(rig, 1, 1);
	return (files_system()->ops->pread(files, descriptor, to, size,
	    position));
}

/* A segment of its own, with a batch ten offsets behind the last one; as
 * compaction leaves it, they are missing at the end of the one before. */
static void
put_far(struct rig *rig)
{
	static const char *const suffixes[] = { "log", "index", "timeindex" };
	const int64_t end = log_end_offset(rig->bench.log);
	struct buffer bytes = bench_make(&(struct bench_batch){
	    .value_size = 10 });
	struct log_appended appended;

	bytes_put_i64(bytes.data, end + 10);
	CU_ASSERT_EQUAL_FATAL(log_append_as_follower(rig->bench.log,
	    buffer_slice(&bytes), &appended), ERR_NONE);
	buffer_fini(&bytes);
	bench_stop(&rig->bench);
	for (size_t i = 0; i < nelems(suffixes); i++) {
		char name[64], from[PATH_MAX], to[PATH_MAX];

		snprintf(name, sizeof(name), "t-0/%020" PRId64 ".%s", end,
		    suffixes[i]);
		bench_file(&rig->bench, name, from);
		snprintf(name, sizeof(name), "t-0/%020" PRId64 ".%s", end + 10,
		    suffixes[i]);
		bench_file(&rig->bench, name, to);
		CU_ASSERT_EQUAL(rename(from, to), 0);
	}
	bench_start(&rig->bench);
}

/* Who reads from there is given nothing that came meanwhile, beyond the bound
 * that he was given. */
static void
test_gap_and_write(void)
{
	struct meddler meddler = { .ops = *files_system()->ops };
	struct log_read part;
	struct log *log;
	struct rig rig;
	int64_t end, size;

	meddler.ops.pread = meddler_pread;
	meddler.files.ops = &meddler.ops;
	rig_init(&rig);
	files_faulty_free(rig.bench.files);
	rig.bench.files = files_faulty_new(&meddler.files);
	bench_start(&rig.bench);
	log = rig.bench.log;
	put(&rig, 0, 1);
	size = log_size_bytes(log);
	while (log_size_bytes(log) + size <= rig.bench.settings.segment_bytes)
		put(&rig, 0, 1);
	end = log_end_offset(log);
	put_far(&rig);
	log = rig.bench.log;
	CU_ASSERT_EQUAL_FATAL(log_end_offset(log), end + 11);
	CU_ASSERT_EQUAL_FATAL(log_segment_count(log), 2);
	for (int i = 0; i < 2; i++) {
		meddler.rig = i == 0 ? NULL : &rig;
		CU_ASSERT_EQUAL(log_read(log, end + 2, end + 11, 1 << 20, true,
		    &part), ERR_NONE);
		CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
		if (i == 0)
			size = (int64_t)part.extent.length;
		CU_ASSERT_EQUAL((int64_t)part.extent.length, size);
		blob_unref(part.extent.blob);
	}
	CU_ASSERT_PTR_NULL(meddler.rig);
	CU_ASSERT_EQUAL(log_end_offset(log), end + 12);
	rig_fini(&rig);
}

/* A want of room leaves the log as it is, and takes no directory. */
static void
test_wants(void)
{
	static const enum file_call calls[] = { FILE_CALL_WRITE,
		FILE_CALL_RENAME, FILE_CALL_OPEN };
	static const char *const parts[] = { ".cleaned", ".swap", ".cleaned" };
	static const int errors[] = { ENOSPC, ENOSPC, EMFILE };

	for (size_t i = 0; i < nelems(calls); i++) {
		struct cleaning *cleaning;
		struct rig rig;

		rig_init(&rig);
		bench_start(&rig.bench);
		fill(&rig, 100);
		log_finish_rolls(rig.bench.log);
		cleaning = begin(&rig, 1 << 20);
		files_faulty_set(rig.bench.files, parts[i], calls[i], i == 1,
		    -1, errors[i]);
		CU_ASSERT_EQUAL(finish(&rig, &cleaning), CLEAN_REFUSED);
		files_faulty_clear(rig.bench.files);
		CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
		CU_ASSERT_EQUAL(count_files(&rig, ".swap"), 0);
		CU_ASSERT(expect_latest(&rig).records > KEYS + 10);
		later(&rig, 2000);
		CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
		expect_latest(&rig);
		rig_fini(&rig);
	}
}

/* A disk that it would fill is not touched. */
static void
test_no_room(void)
{
	struct cleaning *cleaning;
	struct rig rig;

	rig_init(&rig);
	bench_start(&rig.bench);
	fill(&rig, 100);
	log_finish_rolls(rig.bench.log);
	rig.bench.options.disk_reserve_bytes = INT64_MAX / 2;
	storage_set_options(rig.bench.storage, &rig.bench.options);
	cleaning = begin(&rig, 1 << 20);
	CU_ASSERT_EQUAL(finish(&rig, &cleaning), CLEAN_REFUSED);
	CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
	CU_ASSERT(!atomic_load(&log_directory(rig.bench.log)->full));
	rig.bench.options.disk_reserve_bytes = 0;
	storage_set_options(rig.bench.storage, &rig.bench.options);
	CU_ASSERT_EQUAL(compact(&rig), CLEAN_DONE);
	expect_latest(&rig);
	rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "the map of keys", test_map },
	{ "the latest stays", test_latest_stays },
	{ "a map that is full", test_small_map },
	{ "behind a map that is full", test_small_map_aborted },
	{ "tombstones", test_tombstones },
	{ "deaths at every call", test_deaths },
	{ "readers", test_readers },
	{ "transactions", test_transactions },
	{ "what is not decided", test_unstable },
	{ "a producer's last batch", test_producers },
	{ "times that no record has", test_times },
	{ "where leader epochs began", test_leader_epochs },
	{ "the age of a segment that begins with these",
	    test_age_behind_places },
	{ "lags", test_lags },
	{ "changes under it", test_aborts },
	{ "it is taken away", test_compaction_ends },
	{ "changes before it", test_stale_choice },
	{ "retention under it", test_retention_under_pass },
	{ "a truncation", test_truncation_lowers },
	{ "damage", test_damage },
	{ "a write while a gap is read", test_gap_and_write },
	{ "room and descriptors", test_wants },
	{ "a disk without room", test_no_room },
};

int
main(void)
{
	return (unit_main("compaction", tests, nelems(tests)));
}
