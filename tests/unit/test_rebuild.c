/* SPDX-License-Identifier: Apache-2.0 */
/* Batches written anew: in another codec, and of an older magic.  The same
 * beside the real Kafka: tests/interop/test_records_differ.py. */
#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "record/record_int.h"
#include "unit.h"

#define NOW 1700000000000
#define LIMIT ((size_t)1 << 20)
#define COUNT 50

/* Every third key is null, every fourth value; every fifth record has two
 * headers. */
static struct buffer
make(enum codec codec, int64_t base_offset, int16_t attributes)
{
	static const struct record_header headers[2] = {
		{ { (const uint8_t *)"a", 1 }, { (const uint8_t *)"xyz", 3 } },
		{ { (const uint8_t *)"b", 1 }, { NULL, 0 } },
	};
	struct buffer out = BUFFER_EMPTY;
	struct batch_builder builder;

	batch_builder_init(&builder, base_offset, codec);
	builder.attributes = attributes;
	builder.producer_id = 7;
	builder.producer_epoch = 2;
	builder.base_sequence = 11;
	for (int i = 0; i < COUNT; i++) {
		char text[32];
		struct slice both = { (const uint8_t *)text,
			(size_t)snprintf(text, sizeof(text), "text-%d", i) };

		batch_builder_add(&builder, NOW + i * 3 % 17,
		    i % 3 == 0 ? SLICE_NULL : both,
		    i % 4 == 0 ? SLICE_NULL : both, headers,
		    i % 5 == 0 ? 2 : 0);
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
	return (batch);
}

/* --- another codec -------------------------------------------------------- */

static enum error
rebuild(struct record_rules rules, const struct buffer *bytes,
    enum codec codec, struct buffer *out)
{
	struct record_verdict verdict;
	struct arena arena;

	rules.codec_fixed = true;
	rules.codec = codec;
	rules.codec_level = codec == CODEC_NONE ? 0 : 1;
	arena_init(&arena, 0);
	record_validate(&rules, buffer_slice(bytes), &arena, &verdict);
	CU_ASSERT(verdict.error != ERR_NONE ||
	    verdict.rebuild == (batch_codec(&verdict.batch) != codec));
	if (verdict.error == ERR_NONE && verdict.rebuild) {
		record_rebuild(&rules, out, &verdict);
		CU_ASSERT_FALSE(verdict.rebuild);
		if (verdict.error == ERR_NONE)
			record_stamp(&rules, &verdict, out->data, 1000, 3);
	}
	arena_fini(&arena);
	return (verdict.error);
}

static struct record_rules
rules_now(void)
{
	return ((struct record_rules){
	    .max_message_bytes = 1 << 20,
	    .segment_bytes = 1 << 20,
	    .timestamp_before_max_ms = INT64_MAX,
	    .timestamp_after_max_ms = INT64_MAX,
	    .now_ms = NOW,
	    .decompressed_limit_bytes = LIMIT,
	    .api_version = 9,
	});
}

static void
same_records(const struct batch *a, const struct batch *b)
{
	struct record_reader *one, *two;
	struct record left, right;
	int count = 0;

	CU_ASSERT_EQUAL_FATAL(record_reader_new(a, LIMIT, &one), ERR_NONE);
	CU_ASSERT_EQUAL_FATAL(record_reader_new(b, LIMIT, &two), ERR_NONE);
	while (record_reader_next(one, &left) == 1) {
		CU_ASSERT_EQUAL_FATAL(record_reader_next(two, &right), 1);
		CU_ASSERT_EQUAL(left.timestamp_ms, right.timestamp_ms);
		CU_ASSERT_EQUAL(left.offset - a->base_offset,
		    right.offset - b->base_offset);
		CU_ASSERT(slice_equal(left.key, right.key));
		CU_ASSERT((left.key.data == NULL) == (right.key.data == NULL));
		CU_ASSERT(slice_equal(left.value, right.value));
		CU_ASSERT(slice_equal(left.headers, right.headers));
		CU_ASSERT_EQUAL(left.header_count, right.header_count);
		count++;
	}
	CU_ASSERT_EQUAL(count, COUNT);
	CU_ASSERT_EQUAL(record_reader_next(two, &right), 0);
	record_reader_free(&one);
	record_reader_free(&two);
}

static void
test_every_codec(void)
{
	for (int from = 0; from < CODEC_COUNT; from++) {
		struct buffer bytes = make((enum codec)from, 0, 0);

		for (int to = 0; to < CODEC_COUNT; to++) {
			struct buffer out = BUFFER_EMPTY;
			struct batch was = first_of(&bytes), is;

			CU_ASSERT_EQUAL(rebuild(rules_now(), &bytes,
					    (enum codec)to, &out), ERR_NONE);
			CU_ASSERT_EQUAL(out.length == 0, from == to);
			if (from == to)
				continue;
			is = first_of(&out);
			CU_ASSERT(batch_crc_good(&is));
			CU_ASSERT_EQUAL(is.attributes, to);
			CU_ASSERT_EQUAL(is.base_offset, 1000);
			CU_ASSERT_EQUAL(is.leader_epoch, 3);
			CU_ASSERT_EQUAL(is.producer_id, 7);
			CU_ASSERT_EQUAL(is.producer_epoch, 2);
			CU_ASSERT_EQUAL(is.base_sequence, 11);
			CU_ASSERT_EQUAL(is.max_timestamp_ms,
			    was.max_timestamp_ms);
			same_records(&was, &is);
			buffer_fini(&out);
		}
		buffer_fini(&bytes);
	}
}

/* Writes at a place of the batch and makes its CRC good. */
static void
poke(struct buffer *bytes, size_t at, size_t size, uint64_t value)
{
	for (size_t i = 0; i < size; i++)
		bytes->data[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
	bytes_put_u32(bytes->data + 17,
	    crc32c(0, bytes->data + 21, bytes->length - 21));
}

static void
test_rebuild_refuses(void)
{
	struct record_rules rules = rules_now();
	struct buffer out = BUFFER_EMPTY;
	struct buffer bytes = make(CODEC_GZIP, 0, 0);

	poke(&bytes, 51, 2, UINT16_MAX); /* an id without an epoch */
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_GZIP, &out), ERR_NONE);
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_NONE, &out),
	    ERR_UNKNOWN_SERVER_ERROR);
	poke(&bytes, 51, 2, 0);
	poke(&bytes, 27, 8, (uint64_t)-2); /* the first time */
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_GZIP, &out), ERR_NONE);
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_ZSTD, &out),
	    ERR_UNKNOWN_SERVER_ERROR);
	poke(&bytes, 27, 8, NOW);
	rules.max_message_bytes = first_of(&bytes).size;
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_NONE, &out),
	    ERR_MESSAGE_TOO_LARGE);
	rules.max_message_bytes = 1 << 20;
	rules.segment_bytes = first_of(&bytes).size;
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_NONE, &out),
	    ERR_RECORD_LIST_TOO_LARGE);
	rules.segment_bytes = 1 << 20;
	rules.log_append_time = true;
	CU_ASSERT_EQUAL(rebuild(rules, &bytes, CODEC_LZ4, &out), ERR_NONE);
	CU_ASSERT_EQUAL(first_of(&out).attributes,
	    CODEC_LZ4 | BATCH_ATTR_LOG_APPEND_TIME);
	CU_ASSERT_EQUAL(first_of(&out).max_timestamp_ms, NOW);
	buffer_fini(&bytes);
	buffer_fini(&out);
}

/* --- older magic ---------------------------------------------------------- */

/* One message of magic 1, by the format's description. */
static const uint8_t one_message[] = {
	0, 0, 0, 0, 0, 0, 0, 9,    /* offset */
	0, 0, 0, 25,               /* size */
	0xf2, 0xd3, 0x69, 0x90,    /* CRC-32 of what follows */
	1, 0,                      /* magic, attributes */
	0, 0, 0, 0, 0, 0, 1, 0,    /* timestamp */
	0, 0, 0, 1, 'k',           /* key */
	0, 0, 0, 2, 'v', 'w',      /* value */
};

/* Foreign times as far apart as can be, in both ways of adding. */
static void
test_far_times(void)
{
	const int64_t times[] = { -1, INT64_MAX, INT64_MIN, 0 };
	struct buffer bytes = BUFFER_EMPTY, again = BUFFER_EMPTY;
	struct batch_builder builder, second;
	struct record_reader *reader;
	struct record record;
	struct batch batch;

	batch_builder_init(&builder, 0, CODEC_NONE);
	batch_builder_init(&second, 0, CODEC_NONE);
	for (size_t i = 0; i < 4; i++)
		batch_builder_add(&builder, times[i], SLICE_NULL, SLICE_NULL,
		    NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes), ERR_NONE);
	for (int pass = 0; pass < 2; pass++) {
		batch = first_of(pass == 0 ? &bytes : &again);
		CU_ASSERT_EQUAL_FATAL(record_reader_new(&batch, LIMIT,
		    &reader), ERR_NONE);
		for (size_t i = 0; i < 4; i++) {
			CU_ASSERT_EQUAL(record_reader_next(reader, &record),
			    1);
			CU_ASSERT_EQUAL(record.timestamp_ms, times[i]);
			if (pass == 0)
				CU_ASSERT_TRUE(batch_builder_add_record(
				    &second, &record));
		}
		record_reader_free(&reader);
		if (pass == 0)
			CU_ASSERT_EQUAL(batch_builder_finish(&second, &again),
			    ERR_NONE);
	}
	batch_builder_fini(&builder);
	batch_builder_fini(&second);
	buffer_fini(&bytes);
	buffer_fini(&again);
}

static void
test_one_message(void)
{
	struct batch_builder builder;
	struct buffer bytes = BUFFER_EMPTY, out = BUFFER_EMPTY;
	struct batch batch;
	int32_t count;

	batch_builder_init(&builder, 9, CODEC_NONE);
	batch_builder_add(&builder, 256, slice_of_text("k"),
	    slice_of_text("vw"), NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes), ERR_NONE);
	batch_builder_fini(&builder);
	batch = first_of(&bytes);
	CU_ASSERT_EQUAL(record_down_convert(&batch, 1, 0, LIMIT, &out, &count),
	    ERR_NONE);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(out.length, sizeof(one_message));
	CU_ASSERT(memcmp(out.data, one_message, sizeof(one_message)) == 0);
	/* What is of that magic already stays; from 1 to 0 goes the time. */
	batch = first_of(&out);
	buffer_fini(&bytes);
	bytes = BUFFER_EMPTY;
	CU_ASSERT_EQUAL(record_down_convert(&batch, 1, 99, LIMIT, &bytes,
			    &count), ERR_NONE);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT(slice_equal(buffer_slice(&bytes), buffer_slice(&out)));
	bytes.length = 0;
	CU_ASSERT_EQUAL(record_down_convert(&batch, 0, 0, LIMIT, &bytes,
			    &count), ERR_NONE);
	CU_ASSERT_EQUAL(bytes.length, sizeof(one_message) - 8);
	CU_ASSERT_EQUAL(first_of(&bytes).magic, 0);
	CU_ASSERT_EQUAL(first_of(&bytes).base_offset, 9);
	buffer_fini(&bytes);
	buffer_fini(&out);
}

/* What it was of the same records, read from any magic. */
static void
check_down(const struct batch *was, struct slice made, int64_t first,
    int8_t magic)
{
	struct record_reader *expected, *reader = NULL;
	struct record want, got;
	struct batch message;

	CU_ASSERT_EQUAL_FATAL(record_reader_new(was, LIMIT, &expected),
	    ERR_NONE);
	while (record_reader_next(expected, &want) == 1) {
		if (want.offset < first)
			continue;
		while (reader == NULL ||
		    record_reader_next(reader, &got) != 1) {
			record_reader_free(&reader);
			CU_ASSERT_EQUAL_FATAL(batch_next(&made, &message),
			    BATCH_OK);
			CU_ASSERT(batch_crc_good(&message));
			CU_ASSERT_EQUAL(message.magic, magic);
			CU_ASSERT_EQUAL(batch_codec(&message),
			    batch_codec(was));
			CU_ASSERT_EQUAL_FATAL(record_reader_new(&message,
						  LIMIT, &reader), ERR_NONE);
		}
		CU_ASSERT_EQUAL(got.offset, want.offset);
		CU_ASSERT_EQUAL(got.timestamp_ms,
		    magic == 0 ? -1 : want.timestamp_ms);
		CU_ASSERT(slice_equal(got.key, want.key));
		CU_ASSERT((got.key.data == NULL) == (want.key.data == NULL));
		CU_ASSERT(slice_equal(got.value, want.value));
		CU_ASSERT_EQUAL(got.header_count, 0);
	}
	CU_ASSERT_EQUAL(made.length, 0);
	record_reader_free(&reader);
	record_reader_free(&expected);
}

static void
test_down(void)
{
	for (int n = 0; n < CODEC_ZSTD * 4; n++) {
		enum codec codec = (enum codec)(n / 4);
		int8_t magic = (int8_t)(n % 2);
		bool append_time = n % 4 >= 2;
		struct buffer bytes = make(codec, 500,
		    append_time ? BATCH_ATTR_LOG_APPEND_TIME : 0);
		struct batch batch = first_of(&bytes);
		struct buffer out = BUFFER_EMPTY;
		int32_t count;

		/* Of a compressed batch nothing can be left out. */
		CU_ASSERT_EQUAL(record_down_convert(&batch, magic, 510, LIMIT,
				    &out, &count), ERR_NONE);
		CU_ASSERT_EQUAL(count, codec == CODEC_NONE ? 40 : COUNT);
		check_down(&batch, buffer_slice(&out),
		    codec == CODEC_NONE ? 510 : 0, magic);
		CU_ASSERT_EQUAL(first_of(&out).attributes & 8,
		    append_time && magic == 1 ? 8 : 0);
		if (codec != CODEC_NONE) {
			CU_ASSERT_EQUAL(first_of(&out).base_offset, 549);
			CU_ASSERT_EQUAL(first_of(&out).max_timestamp_ms,
			    magic == 0 ? -1 : NOW + 16);
		}
		buffer_fini(&out);
		buffer_fini(&bytes);
	}
}

static enum error
down(struct buffer *bytes, size_t limit, int32_t *count)
{
	struct buffer out = BUFFER_EMPTY;
	struct batch batch = first_of(bytes);
	enum error error;

	buffer_append_text(&out, "before");
	error = record_down_convert(&batch, 1, 0, limit, &out, count);
	CU_ASSERT(memcmp(out.data, "before", 6) == 0);
	CU_ASSERT((error == ERR_NONE && *count > 0) || out.length == 6);
	buffer_fini(&out);
	return (error);
}

static void
test_down_refuses(void)
{
	struct buffer bytes = make(CODEC_ZSTD, 0, 0);
	int32_t count;

	CU_ASSERT_EQUAL(down(&bytes, LIMIT, &count),
	    ERR_UNSUPPORTED_COMPRESSION_TYPE);
	buffer_fini(&bytes);
	for (int codec = CODEC_NONE; codec < CODEC_ZSTD; codec++) {
		bytes = make((enum codec)codec, 0, 0);
		CU_ASSERT_EQUAL(down(&bytes, 100, &count),
		    ERR_MESSAGE_TOO_LARGE);
		CU_ASSERT_EQUAL(down(&bytes, LIMIT, &count), ERR_NONE);
		poke(&bytes, 27, 8, (uint64_t)-20);
		CU_ASSERT_EQUAL(down(&bytes, LIMIT, &count),
		    ERR_UNKNOWN_SERVER_ERROR);
		poke(&bytes, 27, 8, NOW);
		poke(&bytes, 57, 4, COUNT + 1);
		CU_ASSERT_EQUAL(down(&bytes, LIMIT, &count),
		    ERR_CORRUPT_MESSAGE);
		poke(&bytes, 22, 1, (uint64_t)codec | BATCH_ATTR_CONTROL);
		CU_ASSERT_EQUAL(down(&bytes, LIMIT, &count), ERR_NONE);
		CU_ASSERT_EQUAL(count, 0);
		buffer_fini(&bytes);
	}
}

/* Consumers of magic 0 verify the wrong checksum of lz4, others the right. */
static void
test_lz4_header(void)
{
	struct buffer bytes = make(CODEC_LZ4, 0, 0);
	struct batch batch = first_of(&bytes);

	for (int8_t magic = 0; magic <= 1; magic++) {
		struct buffer out = BUFFER_EMPTY;
		int32_t count;

		CU_ASSERT_EQUAL(record_down_convert(&batch, magic, 0, LIMIT,
				    &out, &count), ERR_NONE);
		CU_ASSERT_EQUAL(out.data[(magic == 0 ? 26 : 34) + 6],
		    magic == 0 ? 0x1a : 0x82);
		buffer_fini(&out);
	}
	buffer_fini(&bytes);
}

static const struct unit_test tests[] = {
	{ "every codec becomes every other", test_every_codec },
	{ "what is refused when written anew", test_rebuild_refuses },
	{ "times far apart", test_far_times },
	{ "one message, byte by byte", test_one_message },
	{ "every codec goes to magic 0 and 1", test_down },
	{ "what old consumers cannot be told", test_down_refuses },
	{ "the checksum in an lz4 header", test_lz4_header },
};

int
main(void)
{
	return (unit_main("rebuild", tests, nelems(tests)));
}
