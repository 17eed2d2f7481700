/* SPDX-License-Identifier: Apache-2.0 */
/* Logs that hold transactions: what is stable, and what a reader of committed
 * records makes of what it is given. */
#include "storage_bench.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/random.h"
#include "storage/producers.h"

#define TXNINDEX0 "t-0/00000000000000000000.txnindex"
#define ENTRY_SIZE 34
#define PRODUCERS 4
#define OFFSETS_MAX 400

/* What was written, by hand. */
struct story {
	struct bench bench;
	int64_t end;
	int64_t open[PRODUCERS + 1]; /* first offsets, -1 */
	enum { PLAIN, OPEN, COMMITTED, ABORTED, MARKER } is[OFFSETS_MAX];
	int64_t producer[OFFSETS_MAX];
};

/* Of producer 0: outside of any transaction. */
static void
append(struct story *story, int64_t producer, int marker, size_t size)
{
	struct batch_builder builder;
	struct buffer bytes = BUFFER_EMPTY;
	struct log_appended appended;
	const uint8_t key[] = { 0, 0, 0, (uint8_t)(marker == 1) };
	static const char filler[4096];

	batch_builder_init(&builder, 0, CODEC_NONE);
	builder.leader_epoch = 0;
	if (producer > 0) {
		builder.producer_id = producer;
		builder.producer_epoch = 0;
		builder.base_sequence = marker < 0 ? (int32_t)story->end : -1;
		builder.attributes = BATCH_ATTR_TRANSACTIONAL;
	}
	if (marker >= 0) {
		builder.attributes |= BATCH_ATTR_CONTROL;
		batch_builder_add(&builder, BENCH_NOW_MS, slice_of(key, 4),
		    slice_of("\0\0\0\0\0\1", 6), NULL, 0);
	} else {
		batch_builder_add(&builder, BENCH_NOW_MS, SLICE_NULL,
		    slice_of(filler, size), NULL, 0);
	}
	CHECK(batch_builder_finish(&builder, &bytes) == ERR_NONE);
	batch_builder_fini(&builder);
	bytes_put_i64(bytes.data, story->end);
	CU_ASSERT_EQUAL_FATAL(log_append_as_follower(story->bench.log,
				  buffer_slice(&bytes), &appended),
	    ERR_NONE);
	buffer_fini(&bytes);
}

static void
data(struct story *story, int64_t producer, size_t size)
{
	append(story, producer, -1, size);
	story->producer[story->end] = producer;
	story->is[story->end] = producer == 0 ? PLAIN : OPEN;
	if (producer > 0 && story->open[producer] < 0)
		story->open[producer] = story->end;
	story->end++;
}

static void
end_transaction(struct story *story, int64_t producer, bool commit)
{
	append(story, producer, commit, 0);
	for (int64_t at = story->open[producer]; at >= 0 && at < story->end;
	     at++)
		if (story->is[at] == OPEN && story->producer[at] == producer)
			story->is[at] = commit ? COMMITTED : ABORTED;
	story->open[producer] = -1;
	story->producer[story->end] = producer;
	story->is[story->end++] = MARKER;
}

static void
story_init(struct story *story)
{
	*story = (struct story){ .end = 0 };
	bench_init(&story->bench);
	for (int i = 0; i <= PRODUCERS; i++)
		story->open[i] = -1;
}

/* As the log tells it, with everything replicated. */
static int64_t
stable(struct story *story)
{
	int64_t first = log_first_unstable(story->bench.log, story->end);

	return (first < story->end ? first : story->end);
}

static int64_t
stable_by_hand(const struct story *story)
{
	int64_t first = story->end;

	for (int i = 1; i <= PRODUCERS; i++)
		if (story->open[i] >= 0 && story->open[i] < first)
			first = story->open[i];
	return (first);
}

/* --- a consumer's way (Kafka 3.9's CompletedFetch) ------------------------ */

struct reader {
	struct log_aborted_list aborted;
	size_t next;
	bool skips[PRODUCERS + 1];
	bool seen[OFFSETS_MAX];
};

static int
aborted_order(const void *a, const void *b)
{
	const struct log_aborted *one = a;
	const struct log_aborted *two = b;

	return ((one->first_offset > two->first_offset) -
	    (one->first_offset < two->first_offset));
}

static void
reader_take(struct reader *reader, const struct batch *batch)
{
	while (reader->next < reader->aborted.count &&
	    reader->aborted.items[reader->next].first_offset <=
		batch->last_offset)
		reader->skips[reader->aborted.items[reader->next++]
				  .producer_id] = true;
	if ((batch->attributes & BATCH_ATTR_CONTROL) != 0) {
		/* The type, behind lengths, delta times and key's version. */
		if (batch->bytes.data[BATCH_HEADER_SIZE + 8] == 0)
			reader->skips[batch->producer_id] = false;
		return;
	}
	if ((batch->attributes & BATCH_ATTR_TRANSACTIONAL) == 0 ||
	    !reader->skips[batch->producer_id])
		reader->seen[batch->base_offset] = true;
}

/* One fetch; where the next one goes on. */
static int64_t
read_some(struct story *story, struct reader *reader, int64_t offset,
    int64_t bound, size_t size)
{
	struct log *log = story->bench.log;
	struct log_read part;
	struct arena arena;
	struct slice rest;
	struct batch batch;
	uint8_t *bytes;

	arena_init(&arena, 0);
	CU_ASSERT_EQUAL_FATAL(log_read(log, offset, bound, size, true, &part),
	    ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(part.extent.blob);
	CU_ASSERT_EQUAL_FATAL(log_read_aborted(log, offset, &part, &arena,
				  &reader->aborted),
	    ERR_NONE);
	if (reader->aborted.count > 0)
		qsort(reader->aborted.items, reader->aborted.count,
		    sizeof(*reader->aborted.items), aborted_order);
	reader->next = 0;
	memset(reader->skips, 0, sizeof(reader->skips));
	bytes = mem_alloc(part.extent.length);
	CU_ASSERT_EQUAL_FATAL(part.extent.blob->ops->read_at(part.extent.blob,
				  bytes, part.extent.length,
				  part.extent.position),
	    (ssize_t)part.extent.length);
	rest = slice_of(bytes, part.extent.length);
	while (batch_next(&rest, &batch) == BATCH_OK) {
		reader_take(reader, &batch);
		offset = batch.last_offset + 1;
	}
	mem_free(bytes);
	blob_unref(part.extent.blob);
	arena_fini(&arena);
	return (offset);
}

/* What is committed below the stable offset is seen, and nothing else. */
static void
check_read(struct story *story, int64_t from, size_t size)
{
	struct reader reader = { .next = 0 };
	int64_t bound = stable(story);

	CU_ASSERT_EQUAL(bound, stable_by_hand(story));
	for (int64_t at = from; at < bound;)
		at = read_some(story, &reader, at, bound, size);
	for (int64_t at = from; at < story->end; at++)
		CU_ASSERT_EQUAL(reader.seen[at], at < bound &&
			(story->is[at] == PLAIN || story->is[at] == COMMITTED));
}

static void
check_story(struct story *story)
{
	int64_t start = log_start_offset(story->bench.log);

	CU_ASSERT_EQUAL(log_end_offset(story->bench.log), story->end);
	for (int64_t from = start; from < story->end; from += 7) {
		check_read(story, from, 1 << 20);
		check_read(story, from, 700);
	}
}

/* --- tests ---------------------------------------------------------------- */

/* Which transactions are told of, to the last entry. */
static void
expect_aborted(struct story *story, int64_t offset, int64_t bound, size_t size,
    const char *want)
{
	struct log_aborted_list list;
	struct log_read part;
	struct arena arena;
	char text[200] = "";

	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(log_read(story->bench.log, offset, bound, size, true,
			    &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(story->bench.log, offset, &part,
			    &arena, &list),
	    ERR_NONE);
	for (size_t i = 0; i < list.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    "%lld@%lld ", (long long)list.items[i].producer_id,
		    (long long)list.items[i].first_offset);
	CU_ASSERT_STRING_EQUAL(text, want);
	if (part.extent.blob != NULL)
		blob_unref(part.extent.blob);
	arena_fini(&arena);
}

static void
test_none(void)
{
	struct story story;

	story_init(&story);
	bench_start(&story.bench);
	for (int i = 0; i < 10; i++)
		data(&story, 0, 100);
	CU_ASSERT_EQUAL(log_first_unstable(story.bench.log, 10), INT64_MAX);
	CU_ASSERT_FALSE(log_has_aborted(story.bench.log, 0));
	expect_aborted(&story, 0, 10, 1 << 20, "");
	check_story(&story);
	CU_ASSERT_EQUAL(bench_size(&story.bench, TXNINDEX0), -1);
	bench_fini(&story.bench);
}

/* An entry as it lies in the file. */
static void
expect_entry(struct story *story, int index, const int64_t want[4])
{
	size_t size;
	uint8_t *bytes = bench_read(&story->bench, TXNINDEX0, &size);

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	CU_ASSERT_FATAL(size >= (size_t)(index + 1) * ENTRY_SIZE);
	CU_ASSERT_EQUAL(bytes_get_i16(bytes + index * ENTRY_SIZE), 0);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(bytes_get_i64(bytes + index * ENTRY_SIZE + 2 +
				    i * 8),
		    want[i]);
	mem_free(bytes);
}

static void
test_one_after_the_other(void)
{
	struct story story;

	story_init(&story);
	bench_start(&story.bench);
	data(&story, 0, 10);             /* 0 */
	data(&story, 1, 10);             /* 1 */
	CU_ASSERT_EQUAL(stable(&story), 1);
	data(&story, 2, 10);             /* 2 */
	data(&story, 1, 10);             /* 3 */
	end_transaction(&story, 1, false); /* 4 */
	CU_ASSERT_EQUAL(stable(&story), 2);
	CU_ASSERT(log_has_aborted(story.bench.log, 4));
	CU_ASSERT_FALSE(log_has_aborted(story.bench.log, 5));
	expect_entry(&story, 0, (const int64_t[]){ 1, 1, 4, 2 });
	end_transaction(&story, 2, true);  /* 5 */
	CU_ASSERT_EQUAL(stable(&story), 6);
	CU_ASSERT_EQUAL(bench_size(&story.bench, TXNINDEX0), ENTRY_SIZE);
	/* A marker without data leaves no trace. */
	end_transaction(&story, 3, false); /* 6 */
	CU_ASSERT_EQUAL(bench_size(&story.bench, TXNINDEX0), ENTRY_SIZE);
	data(&story, 3, 10);             /* 7 */
	end_transaction(&story, 3, false); /* 8 */
	expect_entry(&story, 1, (const int64_t[]){ 3, 7, 8, 9 });
	expect_aborted(&story, 0, 9, 1 << 20, "1@1 3@7 ");
	expect_aborted(&story, 5, 9, 1 << 20, "3@7 ");
	expect_aborted(&story, 9, 9, 1 << 20, "");
	check_story(&story);
	bench_fini(&story.bench);
}

/* A marker that is not replicated may be lost: until then it did not end
 * anything. */
static void
test_not_replicated(void)
{
	struct story story;
	struct log *log;

	story_init(&story);
	bench_start(&story.bench);
	log = story.bench.log;
	data(&story, 1, 10);             /* 0 */
	data(&story, 2, 10);             /* 1 */
	end_transaction(&story, 2, true);  /* 2 */
	end_transaction(&story, 1, false); /* 3 */
	CU_ASSERT_EQUAL(log_first_unstable(log, 1), 0);
	CU_ASSERT_EQUAL(log_first_unstable(log, 2), 0);
	CU_ASSERT_EQUAL(log_first_unstable(log, 3), 0);
	CU_ASSERT_EQUAL(log_first_unstable(log, 4), INT64_MAX);
	data(&story, 2, 10);             /* 4 */
	end_transaction(&story, 2, true);  /* 5 */
	data(&story, 1, 10);             /* 6 */
	CU_ASSERT_EQUAL(log_first_unstable(log, 5), 4);
	CU_ASSERT_EQUAL(log_first_unstable(log, 6), 6);
	/* A recovery that replays markers which the checkpoint has not: */
	log_set_high_watermark(log, 3);
	bench_crash(&story.bench);
	bench_start(&story.bench);
	log = story.bench.log;
	CU_ASSERT_EQUAL(log_first_unstable(log, 3), 0);
	CU_ASSERT_EQUAL(log_first_unstable(log, 7), 6);
	bench_fini(&story.bench);
}

/* Random lives over many segments, through all ways to stop and to cut. */
static void
live(struct story *story, struct random *random, int steps)
{
	for (int i = 0; i < steps; i++) {
		int64_t producer = (int64_t)random_below(random,
		    PRODUCERS + 1);

		if (producer > 0 && story->open[producer] >= 0 &&
		    random_below(random, 4) == 0)
			end_transaction(story, producer,
			    random_below(random, 2) == 0);
		else
			data(story, producer, random_below(random, 300));
	}
}

/* Forgets what is cut off; transactions that ended there are open again. */
static void
cut(struct story *story, int64_t offset)
{
	struct story before = *story;

	CU_ASSERT_EQUAL(log_truncate_to(story->bench.log, offset), ERR_NONE);
	for (int i = 0; i <= PRODUCERS; i++)
		story->open[i] = -1;
	for (int64_t at = 0; at < offset; at++) {
		int64_t producer = before.producer[at];

		if (before.is[at] == MARKER)
			story->open[producer] = -1;
		else if (producer > 0 && story->open[producer] < 0)
			story->open[producer] = at;
	}
	for (int64_t at = 0; at < offset; at++) {
		int64_t producer = before.producer[at];

		if (producer > 0 && before.is[at] != MARKER &&
		    story->open[producer] >= 0 && at >= story->open[producer])
			story->is[at] = OPEN;
	}
	story->end = offset;
}

/* A marker that was cut off has not ended anything. */
static void
test_cut(void)
{
	struct story story;

	story_init(&story);
	bench_start(&story.bench);
	data(&story, 1, 10);
	end_transaction(&story, 1, true);
	CU_ASSERT_EQUAL(stable(&story), 2);
	cut(&story, 1);
	CU_ASSERT_EQUAL(log_first_unstable(story.bench.log, 1), 0);
	end_transaction(&story, 1, false);
	CU_ASSERT_EQUAL(stable(&story), 2);
	CU_ASSERT_EQUAL(bench_size(&story.bench, TXNINDEX0), ENTRY_SIZE);
	cut(&story, 1);
	CU_ASSERT_EQUAL(bench_size(&story.bench, TXNINDEX0), 0);
	CU_ASSERT_FALSE(log_has_aborted(story.bench.log, 1));
	bench_fini(&story.bench);
}

static void
damage(struct story *story, struct random *random)
{
	char name[64];

	for (int64_t at = 0; at < story->end; at++) {
		int64_t size;

		snprintf(name, sizeof(name), "t-0/%020lld.txnindex",
		    (long long)at);
		size = bench_size(&story->bench, name);
		if (size < ENTRY_SIZE || random_below(random, 2) == 0)
			continue;
		/* Another version, or half an entry more. */
		if (random_below(random, 2) == 0)
			bench_write(&story->bench, name, "\1", 1, 0);
		else
			bench_write(&story->bench, name, "torn", 4, size);
	}
}

static void
test_lives(void)
{
	struct random random;

	random_seed(&random, 20);
	for (int round = 0; round < 24; round++) {
		struct story story;

		story_init(&story);
		story.bench.settings.segment_bytes = 3000;
		story.bench.settings.index_interval_bytes = 200;
		bench_start(&story.bench);
		for (int stage = 0; stage < 4; stage++) {
			live(&story, &random, 60);
			check_story(&story);
			switch ((round + stage) % 4) {
			case 0:
				bench_stop(&story.bench);
				break;
			case 1:
				bench_crash(&story.bench);
				break;
			case 2:
				cut(&story, (int64_t)random_below(&random,
					(uint64_t)story.end));
				check_story(&story);
				bench_stop(&story.bench);
				break;
			default:
				bench_stop(&story.bench);
				damage(&story, &random);
				break;
			}
			bench_start(&story.bench);
			check_story(&story);
		}
		bench_fini(&story.bench);
	}
}

/* The segment goes while somebody reads in it. */
static void
test_deleted_meanwhile(void)
{
	struct log_aborted_list list;
	struct log_read part;
	struct story story;
	struct arena arena;
	char path[PATH_MAX], to[PATH_MAX];

	story_init(&story);
	story.bench.settings.segment_bytes = 1000;
	bench_start(&story.bench);
	data(&story, 1, 300);
	end_transaction(&story, 1, false);
	for (int i = 0; i < 6; i++)
		data(&story, 0, 600);
	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(log_read(story.bench.log, 0, 6, 100, true, &part),
	    ERR_NONE);
	/* Renamed only. */
	bench_file(&story.bench, TXNINDEX0, path);
	bench_file(&story.bench, TXNINDEX0 ".deleted", to);
	CU_ASSERT_EQUAL(rename(path, to), 0);
	CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 0, &part, &arena,
			    &list),
	    ERR_NONE);
	CU_ASSERT_EQUAL(list.count, 1);
	/* Its offsets are below the start. */
	CU_ASSERT_EQUAL(unlink(to), 0);
	log_set_high_watermark(story.bench.log, 8);
	CU_ASSERT_EQUAL(log_advance_start(story.bench.log, 3), ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 0, &part, &arena,
			    &list),
	    ERR_OFFSET_OUT_OF_RANGE);
	CU_ASSERT_FALSE(log_failed(story.bench.log));
	CU_ASSERT_EQUAL(log_truncate_fully(story.bench.log, 8), ERR_NONE);
	CU_ASSERT_FALSE(log_has_aborted(story.bench.log, 0));
	CU_ASSERT_EQUAL(log_first_unstable(story.bench.log, 8), INT64_MAX);
	CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 0, &part, &arena,
			    &list),
	    ERR_NONE);
	blob_unref(part.extent.blob);
	arena_fini(&arena);
	bench_fini(&story.bench);
}

/* The log moved to another directory after the read: what was read is asked
 * about no more, but read again there. */
static void
test_moved_between(void)
{
	struct log_read part, nothing;
	struct log_aborted_list list;
	struct log_future *future;
	struct story story;
	struct arena arena;
	struct log *log;
	char second[80];
	size_t copied;

	story_init(&story);
	snprintf(second, sizeof(second), "%s-second", story.bench.path);
	story.bench.paths[1] = second;
	story.bench.options.log_dir_list.count = 2;
	story.bench.settings.segment_bytes = 1000;
	bench_start(&story.bench);
	log = story.bench.log;
	for (int i = 0; i < 6; i++)
		data(&story, 0, 600);
	data(&story, 1, 300);
	end_transaction(&story, 1, false);
	log_set_high_watermark(log, story.end);
	/* A copy begins at its own offset. */
	CU_ASSERT_EQUAL(log_advance_start(log, 3), ERR_NONE);
	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(log_read(log, 6, story.end, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_read(log, 6, story.end, 0, false, &nothing),
	    ERR_NONE);
	CU_ASSERT_PTR_NULL(nothing.extent.blob);
	story.bench.settings.segment_bytes = 1 << 20;
	log_set_settings(log, &story.bench.settings);
	CU_ASSERT_EQUAL_FATAL(log_future_new(log,
	    storage_dir_at(story.bench.storage, log_directory(log) ==
		storage_dir_at(story.bench.storage, 0)), &future), ERR_NONE);
	while (log_future_left_bytes(future) > 0)
		CU_ASSERT_EQUAL_FATAL(log_future_copy(future, 1000, &copied),
		    ERR_NONE);
	CU_ASSERT_EQUAL(log_future_replace(future), ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(log, 6, &part, &arena, &list),
	    ERR_REPLICA_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(log_read_aborted(log, 6, &nothing, &arena, &list),
	    ERR_NONE);
	CU_ASSERT_EQUAL(list.count, 0);
	blob_unref(part.extent.blob);
	CU_ASSERT_EQUAL(log_future_finish(&future), ERR_NONE);
	CU_ASSERT_EQUAL(log_read(log, 6, story.end, 1 << 20, true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(log, 6, &part, &arena, &list),
	    ERR_NONE);
	CU_ASSERT_EQUAL(list.count, 1);
	blob_unref(part.extent.blob);
	arena_fini(&arena);
	bench_fini(&story.bench);
	nftw(second, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* An entry that cannot be written: better no directory than aborted records
 * that are shown as committed.  A start finds what is missing. */
static void
test_entry_refused(void)
{
	struct log_appended appended;
	struct story story;
	struct buffer bytes = BUFFER_EMPTY;
	struct batch_builder builder;

	story_init(&story);
	story.bench.files = files_faulty_new(files_system());
	bench_start(&story.bench);
	data(&story, 1, 10);
	files_faulty_set(story.bench.files, ".txnindex", FILE_CALL_WRITE, 0, 1,
	    EIO);
	batch_builder_init(&builder, 0, CODEC_NONE);
	builder.leader_epoch = 0;
	builder.producer_id = 1;
	builder.producer_epoch = 0;
	builder.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	batch_builder_add(&builder, BENCH_NOW_MS, slice_of("\0\0\0\0", 4),
	    slice_of("\0\0\0\0\0\1", 6), NULL, 0);
	CHECK(batch_builder_finish(&builder, &bytes) == ERR_NONE);
	batch_builder_fini(&builder);
	bytes_put_i64(bytes.data, 1);
	CU_ASSERT_EQUAL(log_append_as_follower(story.bench.log,
			    buffer_slice(&bytes), &appended),
	    ERR_KAFKA_STORAGE_ERROR);
	buffer_fini(&bytes);
	CU_ASSERT(log_failed(story.bench.log));
	bench_stop(&story.bench);
	story.is[0] = ABORTED;
	story.is[1] = MARKER;
	story.open[1] = -1;
	story.end = 2;
	bench_start(&story.bench);
	check_story(&story);
	expect_entry(&story, 0, (const int64_t[]){ 1, 0, 1, 2 });
	bench_fini(&story.bench);
	files_faulty_free(story.bench.files);
}

/* Which files were synced since the last question, by the ends of names. */
static struct {
	char paths[4096][96]; /* by descriptor */
	bool aborted;
	bool directory; /* after it */
} synced;

static int
watch_open(struct files *files, const char *path, int flags, int mode)
{
	int descriptor = files_system()->ops->open(files, path, flags, mode);

	if (descriptor >= 0)
		snprintf(synced.paths[descriptor], sizeof(synced.paths[0]),
		    "%s", path);
	return (descriptor);
}

static int
watch_sync(struct files *files, int descriptor)
{
	const char *path = synced.paths[descriptor];
	size_t length = strlen(path);

	if (strstr(path, ".txnindex") != NULL)
		synced.aborted = true;
	if (length > 4 && strcmp(path + length - 4, "/t-0") == 0)
		synced.directory = synced.aborted;
	return (files_system()->ops->sync(files, descriptor));
}

static void
expect_synced(bool want)
{
	CU_ASSERT_EQUAL(synced.aborted, want);
	CU_ASSERT_EQUAL(synced.directory, want);
	synced.aborted = synced.directory = false;
}

/* An index of the active segment that is not on the disk would, after a clean
 * stop, say that nothing was aborted. */
static void
test_synced(void)
{
	struct files_ops ops = *files_system()->ops;
	struct files files = { &ops };
	struct story story;
	char name[PATH_MAX];

	ops.open = watch_open;
	ops.sync = watch_sync;
	story_init(&story);
	story.bench.files = &files;
	bench_start(&story.bench);
	data(&story, 1, 10);
	end_transaction(&story, 1, false);
	synced.aborted = synced.directory = false;
	CU_ASSERT_EQUAL(log_flush(story.bench.log), ERR_NONE);
	expect_synced(true);
	/* Nothing happened since. */
	bench_stop(&story.bench);
	expect_synced(false);
	/* A recovery makes it anew, though its end is the recovery point. */
	bench_file(&story.bench, ".kafka_cleanshutdown", name);
	CU_ASSERT_EQUAL(unlink(name), 0);
	bench_start(&story.bench);
	synced.aborted = synced.directory = false;
	bench_stop(&story.bench);
	expect_synced(true);
	/* And a load after a clean stop that finds it damaged. */
	bench_write(&story.bench, TXNINDEX0, "torn", 4, ENTRY_SIZE);
	bench_start(&story.bench);
	expect_synced(true);
	check_story(&story);
	bench_fini(&story.bench);
}

static struct {
	struct story *story; /* NULL: it was cut */
	bool whole;          /* or the file alone: the rest was before */
} cutting;

static ssize_t
cut_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct story *story = cutting.story;
	const char *path = synced.paths[descriptor];

	if (story != NULL && strstr(path, ".txnindex") != NULL) {
		cutting.story = NULL;
		if (cutting.whole)
			cut(story, 1);
		else
			CU_ASSERT_EQUAL(truncate(path, 0), 0);
	}
	return (files_system()->ops->pread(files, descriptor, to, size,
	    position));
}

/* A truncation under a reader is no fault of the disk's. */
static void
test_cut_meanwhile(void)
{
	for (int whole = 0; whole < 2; whole++) {
		struct files_ops ops = *files_system()->ops;
		struct files files = { &ops };
		struct log_aborted_list list;
		struct log_read part;
		struct arena arena;
		struct story story;

		ops.open = watch_open;
		ops.pread = cut_pread;
		story_init(&story);
		story.bench.files = &files;
		bench_start(&story.bench);
		data(&story, 1, 10);
		end_transaction(&story, 1, false);
		arena_init(&arena, 0);
		CU_ASSERT_EQUAL(log_read(story.bench.log, 0, 2, 1000, true,
				    &part),
		    ERR_NONE);
		cutting.story = &story;
		cutting.whole = whole;
		CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 0, &part,
				    &arena, &list),
		    ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT_PTR_NULL(cutting.story);
		CU_ASSERT_FALSE(log_failed(story.bench.log));
		blob_unref(part.extent.blob);
		arena_fini(&arena);
		bench_fini(&story.bench);
	}
}

/* A recovery that meets an offset which goes back empties the segment: what
 * its batches told of transactions goes, too. */
static void
test_offsets_go_back(void)
{
	for (int empty = 0; empty < 2; empty++) {
		struct story story, kept;
		char name[64], path[PATH_MAX];
		uint8_t *bytes;
		size_t size;

		story_init(&story);
		story.bench.settings.segment_bytes = 2000;
		bench_start(&story.bench);
		for (int i = 0; empty == 0 && i < 3; i++)
			data(&story, 3, 600);
		kept = story;
		snprintf(name, sizeof(name), "t-0/%020d.log", (int)story.end);
		data(&story, 1, 1500);
		end_transaction(&story, 1, false);
		data(&story, 2, 10);
		bytes = bench_read(&story.bench, name, &size);
		CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
		bench_write(&story.bench, name, bytes,
		    12 + (size_t)bytes_get_i32(bytes + 8), (int64_t)size);
		mem_free(bytes);
		bench_crash(&story.bench);
		/* The only one, if the segment is. */
		bench_file(&story.bench, "t-0/00000000000000000003.snapshot",
		    path);
		CU_ASSERT_EQUAL(unlink(path), 0);
		kept.bench = story.bench;
		story = kept;
		bench_start(&story.bench);
		CU_ASSERT_FALSE(log_has_aborted(story.bench.log, story.end));
		check_story(&story);
		data(&story, 1, 10);
		end_transaction(&story, 1, true);
		data(&story, 2, 10);
		check_story(&story);
		bench_stop(&story.bench);
		bench_start(&story.bench);
		check_story(&story);
		bench_fini(&story.bench);
	}
}

static void
lose(struct story *story, const char *name)
{
	char path[PATH_MAX];

	bench_file(&story->bench, name, path);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

/* It dies while it makes a lost index anew: who comes next, and recovers the
 * end alone, does not take what is there for whole. */
static void
test_killed_making_anew(void)
{
	struct story story;
	bool alive = false;
	int nth = 0;

	story_init(&story);
	story.bench.settings.segment_bytes = 2000;
	bench_start(&story.bench);
	for (int i = 1; i <= 3; i++) {
		data(&story, i, 10);
		end_transaction(&story, i, false);
	}
	for (int i = 0; i < 10; i++)
		data(&story, 0, 600);
	bench_stop(&story.bench);
	for (; !alive || nth % 2 != 0; nth++) {
		struct bench *bench = &story.bench;

		if (nth % 2 == 0)
			lose(&story, "t-0/00000000000000000000.index");
		lose(&story, TXNINDEX0);
		if (nth % 2 != 0)
			bench_write(bench, TXNINDEX0, "torn", 4, 0);
		bench->files = files_faulty_new(files_system());
		files_faulty_kill_after(bench->files, nth / 2);
		if (bench_open(bench) &&
		    storage_set_identity(bench->storage, 1, "cluster", NULL, 0))
			(void)storage_load(bench->storage, NULL, NULL);
		alive = !files_faulty_killed(bench->files);
		bench_stop(bench);
		files_faulty_free(bench->files);
		bench->files = files_system();
		bench_start(bench);
		check_read(&story, 0, 1 << 20);
		CU_ASSERT_EQUAL(bench_size(bench, TXNINDEX0), 3 * ENTRY_SIZE);
		bench_stop(bench);
	}
	CU_ASSERT(nth > 60);
	bench_fini(&story.bench);
}

/* More than one read of the file takes, and where in it the answer begins and
 * ends. */
static void
test_many(void)
{
	struct log_aborted_list list;
	struct log_read part;
	struct story story;
	struct arena arena;

	story_init(&story);
	bench_start(&story.bench);
	while (story.end < OFFSETS_MAX) {
		data(&story, 1, 10);
		end_transaction(&story, 1, false);
	}
	arena_init(&arena, 0);
	CU_ASSERT_EQUAL(log_read(story.bench.log, 20, OFFSETS_MAX, 1 << 20,
			    true, &part),
	    ERR_NONE);
	CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 20, &part, &arena,
			    &list),
	    ERR_NONE);
	CU_ASSERT_EQUAL(list.count, OFFSETS_MAX / 2 - 10);
	for (size_t i = 0; i < list.count; i++)
		CU_ASSERT_EQUAL(list.items[i].first_offset, 20 + 2 * (int)i);
	arena_fini(&arena);
	/* A request has no room for all of it. */
	arena_init(&arena, 8000);
	while (arena_alloc(&arena, 16) != NULL)
		continue;
	CU_ASSERT_EQUAL(log_read_aborted(story.bench.log, 20, &part, &arena,
			    &list),
	    ERR_UNKNOWN_SERVER_ERROR);
	arena_fini(&arena);
	blob_unref(part.extent.blob);
	bench_fini(&story.bench);
}

struct racing {
	struct story story;
	atomic_bool done;
	atomic_int bad;
};

static void *
race_reader(void *arg)
{
	struct racing *racing = arg;
	struct log *log = racing->story.bench.log;

	while (!atomic_load(&racing->done)) {
		int64_t bound = log_end_offset(log);
		struct log_aborted_list list;
		struct log_read part;
		struct arena arena;
		int64_t first = log_first_unstable(log, bound);

		arena_init(&arena, 0);
		if (first < bound)
			bound = first;
		if (log_read(log, 0, bound, 1 << 20, true, &part) != ERR_NONE ||
		    log_read_aborted(log, 0, &part, &arena, &list) != ERR_NONE)
			atomic_fetch_add(&racing->bad, 1);
		if (part.extent.blob != NULL)
			blob_unref(part.extent.blob);
		arena_fini(&arena);
	}
	return (NULL);
}

static void
test_readers_beside(void)
{
	struct racing *racing = mem_zalloc(sizeof(*racing));
	struct random random;
	pthread_t threads[2];

	random_seed(&random, 7);
	story_init(&racing->story);
	racing->story.bench.settings.segment_bytes = 5000;
	bench_start(&racing->story.bench);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, race_reader, racing) ==
		    0);
	live(&racing->story, &random, 200);
	cut(&racing->story, 120);
	live(&racing->story, &random, 200);
	atomic_store(&racing->done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(atomic_load(&racing->bad), 0);
	check_story(&racing->story);
	bench_fini(&racing->story.bench);
	mem_free(racing);
}

/* A snapshot knows open transactions in no order. */
static void
test_snapshot(void)
{
	struct producers from = { 0 };
	struct producers to = { 0 };
	struct buffer bytes = BUFFER_EMPTY;

	for (int64_t i = 0; i < 50; i++)
		producers_add_data(&from, &(struct batch){
		    .producer_id = (i * 37) % 50,
		    .base_offset = 1000 + i,
		    .last_offset = 1000 + i,
		    .attributes = BATCH_ATTR_TRANSACTIONAL,
		    .max_timestamp_ms = BENCH_NOW_MS });
	producers_encode(&from, &bytes);
	CU_ASSERT(producers_decode(&to, buffer_slice(&bytes), BENCH_NOW_MS,
	    1));
	CU_ASSERT_EQUAL(producers_first_unstable(&to), 1000);
	for (struct producer *at = to.oldest; at->newer != NULL; at = at->newer)
		CU_ASSERT_EQUAL(at->newer->txn_first_offset,
		    at->txn_first_offset + 1);
	CU_ASSERT_EQUAL(to.newest->txn_first_offset, 1049);
	buffer_fini(&bytes);
	producers_fini(&from);
	producers_fini(&to);
}

static const struct unit_test tests[] = {
	{ "none", test_none },
	{ "one after the other", test_one_after_the_other },
	{ "markers that are not replicated", test_not_replicated },
	{ "cut", test_cut },
	{ "lives", test_lives },
	{ "deleted meanwhile", test_deleted_meanwhile },
	{ "moved meanwhile", test_moved_between },
	{ "an entry is refused", test_entry_refused },
	{ "synced", test_synced },
	{ "cut meanwhile", test_cut_meanwhile },
	{ "offsets go back", test_offsets_go_back },
	{ "killed while it is made anew", test_killed_making_anew },
	{ "many", test_many },
	{ "readers beside", test_readers_beside },
	{ "snapshot", test_snapshot },
};

int
main(void)
{
	return (unit_main("transactions", tests, nelems(tests)));
}
