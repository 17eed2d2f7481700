/* SPDX-License-Identifier: Apache-2.0 */
/* What compaction leaves of batches of every kind.  The same beside the real
 * Kafka: tests/interop/test_compaction.py. */
#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "record/record_int.h"
#include "unit.h"

#define NOW INT64_C(1700000000000)
#define HORIZON (NOW + 86400000)
#define LIMIT ((size_t)1 << 20)
#define COUNT 6
#define BASE 1000

struct choice {
	unsigned keeps; /* a bit for each record */
	int asked;
	int64_t offsets[COUNT];
	int64_t times[COUNT];
};

static bool
keep(void *arg, const struct record *record)
{
	struct choice *choice = arg;
	int index = choice->asked++;

	if (index < COUNT) {
		choice->offsets[index] = record->offset;
		choice->times[index] = record->timestamp_ms;
	}
	return ((choice->keeps >> index & 1) != 0);
}

/* Records of times NOW + 10 * i; those in `nulls` have no value. */
static struct buffer
make(enum codec codec, int16_t attributes, unsigned nulls)
{
	struct buffer out = BUFFER_EMPTY;
	struct batch_builder builder;

	batch_builder_init(&builder, BASE, codec);
	builder.attributes = attributes;
	builder.producer_id = 7;
	builder.producer_epoch = 2;
	builder.base_sequence = 11;
	builder.leader_epoch = 5;
	for (int i = 0; i < COUNT; i++) {
		char text[32];
		struct slice both = { (const uint8_t *)text,
			(size_t)snprintf(text, sizeof(text), "text-%d", i) };

		batch_builder_add(&builder, NOW + 10 * i, both,
		    (nulls >> i & 1) != 0 ? SLICE_NULL : both, NULL, 0);
	}
	CU_ASSERT_EQUAL_FATAL(batch_builder_finish(&builder, &out), ERR_NONE);
	batch_builder_fini(&builder);
	return (out);
}

static struct batch
first_of(const struct buffer *bytes)
{
	struct slice rest = buffer_slice(bytes);
	struct batch batch = { 0 };

	CU_ASSERT_EQUAL_FATAL(batch_next(&rest, &batch), BATCH_OK);
	CU_ASSERT_EQUAL(rest.length, 0);
	CU_ASSERT(batch_crc_good(&batch));
	return (batch);
}

struct run {
	unsigned keeps;
	bool keep_empty;
	bool keep_place;
	bool marker_is_last;
};

static enum error
run(const struct buffer *bytes, struct run how, struct buffer *out,
    struct record_filtered *result)
{
	struct choice choice = { .keeps = how.keeps };
	struct record_filter filter = {
		.keep = keep,
		.arg = &choice,
		.keep_empty = how.keep_empty,
		.keep_place = how.keep_place,
		.marker_is_last = how.marker_is_last,
		.delete_horizon_ms = HORIZON,
		.limit_bytes = LIMIT,
		.marks = BUFFER_EMPTY,
	};
	struct slice rest = buffer_slice(bytes);
	struct batch batch;
	enum error error;

	CU_ASSERT_EQUAL_FATAL(batch_next(&rest, &batch), BATCH_OK);
	error = record_filter_batch(&filter, &batch, out, result);
	buffer_fini(&filter.marks);
	return (error);
}

/* Those that `keeps` names are there, with their offsets and times. */
static void
expect_records(const struct batch *batch, unsigned keeps, int64_t append_ms)
{
	struct record_reader *reader;
	struct record record;

	CU_ASSERT_EQUAL_FATAL(record_reader_new(batch, LIMIT, &reader),
	    ERR_NONE);
	for (int i = 0; i < COUNT; i++) {
		char text[32];

		if ((keeps >> i & 1) == 0)
			continue;
		snprintf(text, sizeof(text), "text-%d", i);
		CU_ASSERT_EQUAL_FATAL(record_reader_next(reader, &record), 1);
		CU_ASSERT_EQUAL(record.offset, BASE + i);
		CU_ASSERT_EQUAL(record.timestamp_ms,
		    append_ms != 0 ? append_ms : NOW + 10 * i);
		CU_ASSERT(slice_equal_text(record.key, text));
	}
	CU_ASSERT_EQUAL(record_reader_next(reader, &record), 0);
	record_reader_free(&reader);
}

static void
test_all_stay(void)
{
	struct buffer bytes = make(CODEC_LZ4, 0, 0), out = BUFFER_EMPTY;
	struct record_filtered result;

	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x3f }, &out,
	    &result), ERR_NONE);
	CU_ASSERT_EQUAL(out.length, bytes.length);
	CU_ASSERT_EQUAL(memcmp(out.data, bytes.data, out.length), 0);
	CU_ASSERT_EQUAL(result.read_count, COUNT);
	CU_ASSERT_EQUAL(result.kept_count, COUNT);
	CU_ASSERT_EQUAL(result.max_timestamp_ms, NOW + 50);
	buffer_fini(&bytes);
	buffer_fini(&out);
}

static void
test_some_stay(void)
{
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		struct buffer bytes = make((enum codec)codec,
		    BATCH_ATTR_TRANSACTIONAL, 0), out = BUFFER_EMPTY;
		struct record_filtered result;
		struct batch batch;

		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x16 },
		    &out, &result), ERR_NONE);
		CU_ASSERT_EQUAL(result.kept_count, 3);
		CU_ASSERT_EQUAL(result.size, out.length);
		batch = first_of(&out);
		CU_ASSERT_EQUAL(batch.base_offset, BASE);
		CU_ASSERT_EQUAL(batch.last_offset, BASE + 5);
		CU_ASSERT_EQUAL(batch.record_count, 3);
		CU_ASSERT_EQUAL(batch.attributes,
		    codec | BATCH_ATTR_TRANSACTIONAL);
		CU_ASSERT_EQUAL(batch.base_timestamp_ms, NOW + 10);
		CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW + 40);
		CU_ASSERT_EQUAL(batch.producer_id, 7);
		CU_ASSERT_EQUAL(batch.producer_epoch, 2);
		CU_ASSERT_EQUAL(batch.base_sequence, 11);
		CU_ASSERT_EQUAL(batch_last_sequence(&batch), 16);
		CU_ASSERT_EQUAL(batch.leader_epoch, 5);
		expect_records(&batch, 0x16, 0);
		buffer_fini(&bytes);
		buffer_fini(&out);
	}
}

/* A tombstone starts the clock once; the second time it is read by. */
static void
test_horizon(void)
{
	struct buffer bytes = make(CODEC_NONE, 0, 0x02), out = BUFFER_EMPTY,
	    again = BUFFER_EMPTY;
	struct record_filtered result;
	struct batch batch;
	int64_t horizon_ms;

	batch = first_of(&bytes);
	CU_ASSERT_FALSE(batch_delete_horizon(&batch, &horizon_ms));
	/* The one that has no value goes: none is set. */
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x3d }, &out,
	    &result), ERR_NONE);
	batch = first_of(&out);
	CU_ASSERT_FALSE(batch_delete_horizon(&batch, &horizon_ms));
	out.length = 0;
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x3f }, &out,
	    &result), ERR_NONE);
	batch = first_of(&out);
	CU_ASSERT(batch_delete_horizon(&batch, &horizon_ms));
	CU_ASSERT_EQUAL(horizon_ms, HORIZON);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW + 50);
	expect_records(&batch, 0x3f, 0);
	/* As it is; and made anew it keeps the horizon that it has. */
	CU_ASSERT_EQUAL(run(&out, (struct run){ .keeps = 0x3f }, &again,
	    &result), ERR_NONE);
	CU_ASSERT_EQUAL(again.length, out.length);
	CU_ASSERT_EQUAL(memcmp(again.data, out.data, out.length), 0);
	batch_set_max_timestamp(out.data, false, NOW + 50);
	again.length = 0;
	CU_ASSERT_EQUAL(run(&out, (struct run){ .keeps = 0x22 }, &again,
	    &result), ERR_NONE);
	batch = first_of(&again);
	CU_ASSERT(batch_delete_horizon(&batch, &horizon_ms));
	CU_ASSERT_EQUAL(horizon_ms, HORIZON);
	expect_records(&batch, 0x22, 0);
	buffer_fini(&bytes);
	buffer_fini(&out);
	buffer_fini(&again);
}

static void
test_append_time(void)
{
	struct buffer bytes = make(CODEC_ZSTD, 0, 0x04), out = BUFFER_EMPTY;
	struct record_filtered result;
	struct batch batch;

	batch_set_max_timestamp(bytes.data, true, NOW + 999);
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x0c }, &out,
	    &result), ERR_NONE);
	batch = first_of(&out);
	CU_ASSERT_EQUAL(batch.attributes, CODEC_ZSTD |
	    BATCH_ATTR_LOG_APPEND_TIME | BATCH_ATTR_DELETE_HORIZON);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW + 999);
	CU_ASSERT_EQUAL(batch.base_timestamp_ms, HORIZON);
	expect_records(&batch, 0x0c, NOW + 999);
	buffer_fini(&bytes);
	buffer_fini(&out);
}

static void
test_none_stay(void)
{
	struct buffer bytes = make(CODEC_GZIP, BATCH_ATTR_TRANSACTIONAL, 0),
	    out = BUFFER_EMPTY, again = BUFFER_EMPTY;
	struct record_filtered result;
	struct batch batch;

	CU_ASSERT_EQUAL(run(&bytes, (struct run){ 0 }, &out, &result),
	    ERR_NONE);
	CU_ASSERT_EQUAL(out.length, 0);
	CU_ASSERT_EQUAL(result.size, 0);
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keep_empty = true }, &out,
	    &result), ERR_NONE);
	batch = first_of(&out);
	CU_ASSERT_EQUAL(batch.size, BATCH_HEADER_SIZE);
	CU_ASSERT_EQUAL(batch.record_count, 0);
	CU_ASSERT_EQUAL(batch.attributes, BATCH_ATTR_TRANSACTIONAL);
	CU_ASSERT_EQUAL(batch.last_offset, BASE + 5);
	CU_ASSERT_EQUAL(batch.base_timestamp_ms, -1);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW + 50);
	CU_ASSERT_EQUAL(batch.producer_id, 7);
	CU_ASSERT_EQUAL(batch_last_sequence(&batch), 16);
	/* Empty already. */
	CU_ASSERT_EQUAL(run(&out, (struct run){ .keep_empty = true }, &again,
	    &result), ERR_NONE);
	CU_ASSERT_EQUAL(again.length, out.length);
	CU_ASSERT_EQUAL(memcmp(again.data, out.data, out.length), 0);
	buffer_fini(&bytes);
	buffer_fini(&out);
	buffer_fini(&again);
}

static void
test_place_stays(void)
{
	struct buffer bytes = make(CODEC_GZIP, BATCH_ATTR_TRANSACTIONAL, 0),
	    out = BUFFER_EMPTY, again = BUFFER_EMPTY;
	struct record_filtered result;
	struct batch batch;

	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keep_place = true }, &out,
	    &result), ERR_NONE);
	batch = first_of(&out);
	CU_ASSERT_EQUAL(batch.size, BATCH_HEADER_SIZE);
	CU_ASSERT_EQUAL(batch.record_count, 0);
	CU_ASSERT_EQUAL(batch.attributes, 0);
	CU_ASSERT_EQUAL(batch.base_offset, BASE);
	CU_ASSERT_EQUAL(batch.last_offset, BASE + 5);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, -1);
	CU_ASSERT_EQUAL(batch.producer_id, -1);
	CU_ASSERT_EQUAL(batch.producer_epoch, -1);
	CU_ASSERT_EQUAL(batch.base_sequence, -1);
	CU_ASSERT_EQUAL(run(&out, (struct run){ .keep_place = true }, &again,
	    &result), ERR_NONE);
	CU_ASSERT_EQUAL(again.length, out.length);
	CU_ASSERT_EQUAL(memcmp(again.data, out.data, out.length), 0);
	buffer_fini(&again);
	/* Its producer wants more than that. */
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keep_empty = true,
	    .keep_place = true }, &again, &result), ERR_NONE);
	CU_ASSERT_EQUAL(first_of(&again).producer_id, 7);
	buffer_fini(&bytes);
	buffer_fini(&out);
	buffer_fini(&again);
}

static struct buffer
make_marker(int16_t type)
{
	uint8_t key[4] = { 0 }, value[6] = { 0 };
	struct buffer out = BUFFER_EMPTY;
	struct batch_builder builder;

	bytes_put_i16(key + 2, type);
	batch_builder_init(&builder, BASE, CODEC_NONE);
	builder.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
	builder.producer_id = 7;
	builder.producer_epoch = 2;
	batch_builder_add(&builder, NOW, slice_of(key, 4), slice_of(value, 6),
	    NULL, 0);
	CU_ASSERT_EQUAL_FATAL(batch_builder_finish(&builder, &out), ERR_NONE);
	batch_builder_fini(&builder);
	return (out);
}

static void
test_markers(void)
{
	static const enum batch_marker expected[] = { BATCH_MARKER_ABORT,
		BATCH_MARKER_COMMIT, BATCH_MARKER_OTHER };

	for (int16_t type = 0; type < 3; type++) {
		struct buffer bytes = make_marker(type), out = BUFFER_EMPTY;
		struct record_filtered result;
		struct batch batch = first_of(&bytes);
		int64_t horizon_ms;

		CU_ASSERT_EQUAL(batch_marker(&batch), expected[type]);
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 1 }, &out,
		    &result), ERR_NONE);
		CU_ASSERT_EQUAL(memcmp(out.data, bytes.data, out.length), 0);
		out.length = 0;
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 1,
		    .marker_is_last = true }, &out, &result), ERR_NONE);
		batch = first_of(&out);
		CU_ASSERT(batch_delete_horizon(&batch, &horizon_ms));
		CU_ASSERT_EQUAL(horizon_ms, HORIZON);
		CU_ASSERT_EQUAL(batch_marker(&batch), expected[type]);
		CU_ASSERT_NOT_EQUAL(batch.attributes & BATCH_ATTR_CONTROL, 0);
		out.length = 0;
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keep_empty = true },
		    &out, &result), ERR_NONE);
		batch = first_of(&out);
		CU_ASSERT_EQUAL(batch_marker(&batch), BATCH_MARKER_EMPTY);
		buffer_fini(&bytes);
		buffer_fini(&out);
	}
}

/* Wrappers of magic 0 and 1, and plain messages. */
static void
test_old(void)
{
	for (int8_t magic = 0; magic < 2; magic++) {
		struct buffer batch2 = make(CODEC_GZIP, 0, 0),
		    bytes = BUFFER_EMPTY, out = BUFFER_EMPTY;
		struct batch batch = first_of(&batch2);
		struct record_filtered result;
		struct record_reader *reader;
		struct record record;
		int32_t count;

		CU_ASSERT_EQUAL_FATAL(record_down_convert(&batch, magic, 0,
		    LIMIT, &bytes, &count), ERR_NONE);
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x3f },
		    &out, &result), ERR_NONE);
		CU_ASSERT_EQUAL(out.length, bytes.length);
		CU_ASSERT_EQUAL(memcmp(out.data, bytes.data, out.length), 0);
		out.length = 0;
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 0x0a },
		    &out, &result), ERR_NONE);
		batch = first_of(&out);
		CU_ASSERT_EQUAL(batch.magic, magic);
		CU_ASSERT_EQUAL(batch.base_offset, BASE + 3);
		CU_ASSERT_EQUAL(batch.max_timestamp_ms,
		    magic == 0 ? -1 : NOW + 30);
		CU_ASSERT_EQUAL_FATAL(record_reader_new(&batch, LIMIT,
		    &reader), ERR_NONE);
		for (int i = 1; i < 4; i += 2) {
			CU_ASSERT_EQUAL(record_reader_next(reader, &record),
			    1);
			CU_ASSERT_EQUAL(record.offset, BASE + i);
		}
		CU_ASSERT_EQUAL(record_reader_next(reader, &record), 0);
		record_reader_free(&reader);
		out.length = 0;
		CU_ASSERT_EQUAL(run(&bytes, (struct run){ 0 }, &out, &result),
		    ERR_NONE);
		CU_ASSERT_EQUAL(out.length, 0);
		buffer_fini(&batch2);
		buffer_fini(&bytes);
		buffer_fini(&out);
	}
}

static void
test_damaged(void)
{
	struct buffer bytes = make(CODEC_NONE, 0, 0), out = BUFFER_EMPTY;
	struct record_filtered result;

	buffer_append_text(&out, "before");
	bytes_put_i32(bytes.data + 57, COUNT + 1);
	CU_ASSERT_EQUAL(run(&bytes, (struct run){ .keeps = 3 }, &out, &result),
	    ERR_CORRUPT_MESSAGE);
	CU_ASSERT_EQUAL(out.length, 6);
	buffer_fini(&bytes);
	buffer_fini(&out);
}

static const struct unit_test tests[] = {
	{ "all records stay", test_all_stay },
	{ "some stay", test_some_stay },
	{ "delete horizon", test_horizon },
	{ "append time", test_append_time },
	{ "none stay", test_none_stay },
	{ "a place stays", test_place_stays },
	{ "transaction markers", test_markers },
	{ "magic 0 and 1", test_old },
	{ "a damaged batch", test_damaged },
};

int
main(void)
{
	return (unit_main("filter", tests, nelems(tests)));
}
