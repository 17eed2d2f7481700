/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaners by themselves: when they look, what they take, and whom they leave
 * out. */
#include "compaction_rig.h"

#include <errno.h>

#include "base/loop.h"

static void
run_to(struct rig *rig, int64_t ms)
{
	scheduler_run_until(rig->bench.scheduler, ms * 1000000);
}

/* With a scheduler; the loop of upkeep. */
static struct loop *
cleaners_wanted(struct rig *rig)
{
	struct storage_options *options = &rig->bench.options;
	struct loop *loop;

	options->cleaner_enable = true;
	options->cleaner_threads = 2;
	options->cleaner_dedupe_buffer_bytes = 4 << 20;
	options->cleaner_io_buffer_bytes = 512 << 10;
	options->cleaner_io_buffer_load_factor = 0.9;
	options->cleaner_io_max_bytes_per_second = 1e18;
	options->cleaner_backoff_ms = 15000;
	options->retention_check_interval_ms = INT64_MAX;
	options->flush_scheduler_interval_ms = INT64_MAX;
	options->flush_offset_checkpoint_interval_ms = 60000;
	options->flush_start_offset_checkpoint_interval_ms = 60000;
	options->producer_id_expiration_check_interval_ms = 600000;
	rig->bench.scheduler = scheduler_new_replay(&rig->bench.clock, 1);
	loop = loop_new(rig->bench.scheduler, "upkeep");
	loop_start(loop);
	return (loop);
}

static void
cleaners_gone(struct rig *rig, struct loop *loop)
{
	storage_stop_upkeep(rig->bench.storage);
	bench_stop(&rig->bench);
	loop_stop(loop);
	loop_free(loop);
	scheduler_free(rig->bench.scheduler);
	rig->bench.scheduler = NULL;
}

/* Timers, the checkpoint, what is counted, and the limit. */
static void
test_cleaners(void)
{
	struct storage_cleaning cleaning;
	struct loop *loop;
	struct rig rig;
	uint8_t *bytes;
	char expected[64];
	size_t size;

	rig_init(&rig);
	loop = cleaners_wanted(&rig);
	rig.bench.options.cleaner_io_max_bytes_per_second = 5000;
	bench_start(&rig.bench);
	fill(&rig, 200); /* about 20 KB */
	storage_start_upkeep(rig.bench.storage, loop);
	run_to(&rig, 2000);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to), -1);
	run_to(&rig, 14000);
	CU_ASSERT_EQUAL(atomic_load(&rig.bench.log->cleaned_to),
	    log_active(rig.bench.log)->base_offset);
	expect_latest(&rig);
	bytes = bench_read(&rig.bench, "cleaner-offset-checkpoint", &size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	snprintf(expected, sizeof(expected), "0\n1\nt 0 %" PRId64 "\n",
	    log_active(rig.bench.log)->base_offset);
	CU_ASSERT(slice_equal_text(slice_of(bytes, size), expected));
	mem_free(bytes);
	storage_cleaning(rig.bench.storage, &cleaning);
	CU_ASSERT(cleaning.max_clean_seconds >= 4);
	CU_ASSERT(cleaning.recopy_percent > 5);
	CU_ASSERT(cleaning.recopy_percent < 20);
	run_to(&rig, 29000);
	storage_cleaning(rig.bench.storage, &cleaning);
	CU_ASSERT_EQUAL(cleaning.max_dirty_percent, 0);
	CU_ASSERT(cleaning.since_last_run_ms <= 15000);
	/* The old files go. */
	run_to(&rig, 120000);
	CU_ASSERT_EQUAL(count_files(&rig, ".deleted"), 0);
	/* A stop in the middle; the next start knows how far it was. */
	fill(&rig, 200);
	run_to(&rig, 136000);
	cleaners_gone(&rig, loop);
	CU_ASSERT_EQUAL(count_files(&rig, ".cleaned"), 0);
	bench_start(&rig.bench);
	CU_ASSERT(atomic_load(&rig.bench.log->cleaned_to) >= 0);
	expect_latest(&rig);
	rig_fini(&rig);
}

/* A disk that is nearly full, beside one that is not. */
struct scant {
	struct files files; /* first */
	struct files_ops ops;
	const char *path; /* NULL: none */
};

static int
scant_free_bytes(struct files *files, const char *path, int64_t *out)
{
	const struct scant *scant = (struct scant *)(void *)files;

	*out = scant->path != NULL && strcmp(path, scant->path) == 0 ?
	    100 : INT64_C(1) << 40;
	return (0);
}

static void
scant_init(struct scant *scant)
{
	*scant = (struct scant){ .ops = *files_system()->ops };
	scant->ops.free_bytes = scant_free_bytes;
	scant->files.ops = &scant->ops;
}

/* Of two logs in two directories the dirtier one is refused, each time: the
 * other has its turn, and the first one when it finds what it wanted. */
static void
refused_beside(bool before_map)
{
	struct bench other;
	struct scant scant;
	struct log *poor, *rich;
	struct loop *loop;
	struct rig rig;

	rig_init(&rig);
	bench_init(&other);
	files_faulty_free(rig.bench.files);
	scant_init(&scant);
	rig.bench.files = files_faulty_new(&scant.files);
	rig.bench.paths[1] = other.path;
	rig.bench.options.log_dir_list.count = 2;
	loop = cleaners_wanted(&rig);
	bench_start(&rig.bench);
	poor = rig.bench.log;
	CU_ASSERT_EQUAL_FATAL(log_create(rig.bench.storage, "u", 0,
	    (struct uuid){ { 4, 5, 6 } }, &rich), ERR_NONE);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(poor->dir, rich->dir);
	fill(&rig, 100);
	log_finish_rolls(poor);
	rig.bench.log = rich;
	fill(&rig, 100);
	log_finish_rolls(rich);
	atomic_store(&rich->cleaned_to, 40);
	rig.bench.log = poor;
	if (before_map)
		scant.path = poor->dir->path;
	else
		files_faulty_set(rig.bench.files, "t-0/00000000000000000000."
		    "log.cleaned", FILE_CALL_OPEN, 0, -1, ENOSPC);
	rig.bench.options.cleaner_threads = 1;
	storage_set_options(rig.bench.storage, &rig.bench.options);
	storage_start_upkeep(rig.bench.storage, loop);
	/* At the first look, or at the second one. */
	run_to(&rig, before_map ? 10000 : 20000);
	CU_ASSERT_EQUAL(atomic_load(&poor->cleaned_to), -1);
	CU_ASSERT_EQUAL(atomic_load(&rich->cleaned_to),
	    log_active(rich)->base_offset);
	files_faulty_clear(rig.bench.files);
	scant.path = NULL;
	run_to(&rig, 200000);
	CU_ASSERT_EQUAL(atomic_load(&poor->cleaned_to),
	    log_active(poor)->base_offset);
	CU_ASSERT_EQUAL(rig.bench.failed_dirs, 0);
	log_unref(rich);
	cleaners_gone(&rig, loop);
	rig_fini(&rig);
	bench_fini(&other);
}

static void
test_refused_beside(void)
{
	refused_beside(true);
	refused_beside(false);
}

/* --- what is told --------------------------------------------------------- */

/* Of 20 keys, in a map that is told to take 512 or so. */
#define SMALL_MAP_BYTES (CLEAN_MAP_ENTRY * 512)
#define SMALL_MAP_PERCENT (100 * KEYS / 512)

/* While a pass goes on that began by this look, and when it is through. */
static void
test_told(void)
{
	struct clean_candidate candidate;
	struct storage_cleaning cleaning;
	struct loop *loop;
	struct rig rig;

	rig_init(&rig);
	rig.bench.settings.max_compaction_lag_ms = 60000;
	loop = cleaners_wanted(&rig);
	rig.bench.options.cleaner_threads = 1;
	rig.bench.options.cleaner_dedupe_buffer_bytes = SMALL_MAP_BYTES;
	rig.bench.options.cleaner_io_max_bytes_per_second = 5000;
	bench_start(&rig.bench);
	fill(&rig, 200);
	log_finish_rolls(rig.bench.log);
	atomic_store(&rig.bench.log->cleaned_to, 60);
	run_to(&rig, 160000);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS + 160000,
	    &candidate));
	storage_start_upkeep(rig.bench.storage, loop);
	run_to(&rig, 160500);
	CU_ASSERT(atomic_load(&rig.bench.log->cleaning));
	storage_cleaning(rig.bench.storage, &cleaning);
	CU_ASSERT_EQUAL(cleaning.max_dirty_percent,
	    (int)(100 * candidate.ratio));
	CU_ASSERT(cleaning.max_dirty_percent > 50);
	CU_ASSERT(cleaning.max_dirty_percent < 90);
	/* The first dirty record is 60 ms younger than the clock's start. */
	CU_ASSERT_EQUAL(cleaning.max_delay_seconds, 99);
	CU_ASSERT_EQUAL(cleaning.max_buffer_percent, 0);
	CU_ASSERT_EQUAL(cleaning.since_last_run_ms, 500);
	run_to(&rig, 174000);
	CU_ASSERT(!atomic_load(&rig.bench.log->cleaning));
	storage_cleaning(rig.bench.storage, &cleaning);
	CU_ASSERT_EQUAL(cleaning.max_dirty_percent, 0);
	CU_ASSERT_EQUAL(cleaning.max_delay_seconds, 0);
	CU_ASSERT_EQUAL(cleaning.max_buffer_percent, SMALL_MAP_PERCENT);
	cleaners_gone(&rig, loop);
	rig_fini(&rig);
}

/* Of what is given up, what would be compacted. */
static void
test_uncleanable_bytes(void)
{
	struct clean_candidate candidate;
	struct loop *loop;
	struct rig rig;

	rig_init(&rig);
	loop = cleaners_wanted(&rig);
	bench_start(&rig.bench);
	fill(&rig, 100);
	log_finish_rolls(rig.bench.log);
	bench_write(&rig.bench, "t-0/00000000000000000000.log", "x", 1, 300);
	CU_ASSERT(clean_look(rig.bench.log, BENCH_NOW_MS, &candidate));
	CU_ASSERT_EQUAL(log_uncleanable_bytes(rig.bench.log), -1);
	storage_start_upkeep(rig.bench.storage, loop);
	run_to(&rig, 1000);
	CU_ASSERT(candidate.cleanable_bytes > 5000);
	CU_ASSERT_EQUAL(log_uncleanable_bytes(rig.bench.log),
	    candidate.cleanable_bytes);
	cleaners_gone(&rig, loop);
	rig_fini(&rig);
}

/* --- several -------------------------------------------------------------- */

#define LOGS 8

struct several {
	struct rig rig;
	struct loop *loop;
	struct log *logs[LOGS];
	bool early[LOGS]; /* its pass began before the number was changed */
	int late_most;    /* that began since then, at once */
};

/* Logs that are equally dirty, which take some seconds each. */
static void
several_start(struct several *s, int threads)
{
	struct storage_options *options = &s->rig.bench.options;

	*s = (struct several){ .late_most = 0 };
	rig_init(&s->rig);
	s->loop = cleaners_wanted(&s->rig);
	options->cleaner_threads = threads;
	options->cleaner_dedupe_buffer_bytes = SMALL_MAP_BYTES * 2;
	options->cleaner_io_max_bytes_per_second = 5000;
	options->cleaner_backoff_ms = 1000;
	bench_start(&s->rig.bench);
	s->logs[0] = s->rig.bench.log;
	for (int i = 0; i < LOGS; i++) {
		if (i > 0)
			CU_ASSERT_EQUAL_FATAL(log_create(s->rig.bench.storage,
			    "u", i, (struct uuid){ { 4, 5, 6 } }, &s->logs[i]),
			    ERR_NONE);
		s->rig.bench.log = s->logs[i];
		fill(&s->rig, 100);
		log_finish_rolls(s->logs[i]);
	}
	s->rig.bench.log = s->logs[0];
	storage_start_upkeep(s->rig.bench.storage, s->loop);
}

static int
several_clean(const struct several *s)
{
	int count = 0;

	for (int i = 0; i < LOGS; i++)
		count += atomic_load(&s->logs[i]->cleaned_to) ==
		    log_active(s->logs[i])->base_offset;
	return (count);
}

static void
several_end(struct several *s)
{
	CU_ASSERT_EQUAL(several_clean(s), LOGS);
	for (int i = 1; i < LOGS; i++)
		log_unref(s->logs[i]);
	cleaners_gone(&s->rig, s->loop);
	rig_fini(&s->rig);
}

static int
several_under_way(const struct several *s)
{
	int count = 0;

	for (int i = 0; i < LOGS; i++)
		count += atomic_load(&s->logs[i]->cleaning);
	return (count);
}

/* Two at once, with half of the memory each. */
static void
test_two(void)
{
	struct storage_cleaning cleaning;
	struct several s;

	several_start(&s, 2);
	run_to(&s.rig, 500);
	CU_ASSERT_EQUAL(several_under_way(&s), 2);
	run_to(&s.rig, 200000);
	storage_cleaning(s.rig.bench.storage, &cleaning);
	CU_ASSERT_EQUAL(cleaning.max_buffer_percent, SMALL_MAP_PERCENT);
	several_end(&s);
}

/* Of all memory, in parts of which it has `from` times `to`. */
static int
several_memory(struct several *s, int from, int to)
{
	int late = 0;
	int parts = 0;

	for (int i = 0; i < LOGS; i++) {
		const bool now = atomic_load(&s->logs[i]->cleaning);

		s->early[i] = s->early[i] && now;
		late += now && !s->early[i];
		parts += !now ? 0 : s->early[i] ? to : from;
	}
	if (late > s->late_most)
		s->late_most = late;
	return (parts);
}

/* Passes have shares by the old number, and by the new one: never more than
 * there is; and in the end as many go on as shall. */
static void
number_changes(int from, int to)
{
	struct several s;
	int64_t ms = 0;

	several_start(&s, from);
	while (several_under_way(&s) < from && ms < 60000)
		run_to(&s.rig, ms += 10);
	CU_ASSERT_EQUAL(several_under_way(&s), from);
	for (int i = 0; i < LOGS; i++)
		s.early[i] = atomic_load(&s.logs[i]->cleaning);
	s.rig.bench.options.cleaner_threads = to;
	storage_set_options(s.rig.bench.storage, &s.rig.bench.options);
	while (ms < 200000) {
		run_to(&s.rig, ms += 10);
		CU_ASSERT(several_memory(&s, from, to) <= from * to);
	}
	CU_ASSERT_EQUAL(s.late_most, to);
	several_end(&s);
}

/* Who is at a log finishes it, and takes no other. */
static void
test_none_left(void)
{
	struct several s;

	several_start(&s, 2);
	run_to(&s.rig, 500);
	s.rig.bench.options.cleaner_threads = 0;
	storage_set_options(s.rig.bench.storage, &s.rig.bench.options);
	CU_ASSERT_EQUAL(several_under_way(&s), 2);
	run_to(&s.rig, 100000);
	CU_ASSERT_EQUAL(several_under_way(&s), 0);
	CU_ASSERT_EQUAL(several_clean(&s), 2);
	s.rig.bench.options.cleaner_threads = 2;
	storage_set_options(s.rig.bench.storage, &s.rig.bench.options);
	run_to(&s.rig, 200000);
	several_end(&s);
}

static void
test_number_changes(void)
{
	number_changes(4, 2);
	number_changes(2, 4);
	number_changes(3, 1);
}

static void
count_lines(void *arg, const char *line)
{
	*(int *)arg += strstr(line, "log.cleaner.threads=100 is more") != NULL;
}

static void
test_too_many(void)
{
	struct loop *loop;
	struct rig rig;
	int said = 0;

	rig_init(&rig);
	loop = cleaners_wanted(&rig);
	rig.bench.options.cleaner_threads = 100;
	rig.bench.diag = diag_new(clock_system(), "/dev/null");
	diag_set_sink(rig.bench.diag, count_lines, &said);
	bench_start(&rig.bench);
	storage_start_upkeep(rig.bench.storage, loop);
	run_to(&rig, 100000);
	CU_ASSERT_EQUAL(said, 1);
	cleaners_gone(&rig, loop);
	rig_fini(&rig);
	diag_free(rig.bench.diag);
}

static const struct unit_test tests[] = {
	{ "cleaners by themselves", test_cleaners },
	{ "who is refused keeps nobody waiting", test_refused_beside },
	{ "what is told", test_told },
	{ "bytes that are given up", test_uncleanable_bytes },
	{ "two cleaners", test_two },
	{ "their number changes", test_number_changes },
	{ "none is left of them", test_none_left },
	{ "more than there can be", test_too_many },
};

int
main(void)
{
	return (unit_main("cleaners", tests, nelems(tests)));
}
