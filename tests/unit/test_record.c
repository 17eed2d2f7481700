/* SPDX-License-Identifier: Apache-2.0 */
/* Batches, codecs, the validation of a Produce, readers of all magics. */
#include "unit.h"

#include <limits.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "record/plain_int.h"

#define NOW_MS INT64_C(1700000000000)
#define LIMIT ((size_t)8 << 20)

static struct record_rules
rules_default(void)
{
	return ((struct record_rules){
		.max_message_bytes = 1048588,
		.segment_bytes = 1 << 30,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = INT64_MAX,
		.now_ms = NOW_MS,
		.decompressed_limit_bytes = LIMIT,
		.api_version = 9,
		.topic = "orders",
		.partition = 3,
	});
}

/* A batch of `count` records with keys, values and a header each. */
static struct buffer
make_batch(enum codec codec, int count)
{
	struct batch_builder builder;
	struct buffer out = BUFFER_EMPTY;

	batch_builder_init(&builder, 0, codec);
	for (int i = 0; i < count; i++) {
		char value[300];
		struct record_header header = { SLICE_LITERAL("h"),
			i % 2 ? SLICE_NULL : SLICE_LITERAL("v") };

		memset(value, 'a' + i % 26, sizeof(value));
		batch_builder_add(&builder, NOW_MS + i, SLICE_LITERAL("key"),
		    slice_of(value, sizeof(value)), &header, 1);
	}
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, &out), ERR_NONE);
	batch_builder_fini(&builder);
	return (out);
}

static void
mend_crc(struct buffer *batch)
{
	bytes_put_u32(batch->data + 17,
	    crc32c(0, batch->data + 21, batch->length - 21));
}

static enum error
validate(const struct record_rules *rules, const struct buffer *batch)
{
	struct record_verdict verdict;
	struct arena arena;

	arena_init(&arena, 0);
	record_validate(rules, buffer_slice(batch), &arena, &verdict);
	arena_fini(&arena);
	return (verdict.error);
}

static void
test_round_trip(void)
{
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		struct buffer bytes = make_batch((enum codec)codec, 200);
		struct slice rest = buffer_slice(&bytes);
		struct record_reader *reader;
		struct record record;
		struct record_header header;
		struct batch batch;
		int count = 0;

		CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
		CU_ASSERT_EQUAL(batch.record_count, 200);
		CU_ASSERT_EQUAL((int)batch_codec(&batch), codec);
		CU_ASSERT(batch_crc_good(&batch));
		CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_END);
		rest = buffer_slice(&bytes);
		batch_next(&rest, &batch);
		CU_ASSERT_EQUAL(record_reader_new(&batch, LIMIT, &reader),
		    ERR_NONE);
		while (record_reader_next(reader, &record) == 1) {
			CU_ASSERT_EQUAL(record.offset, count);
			CU_ASSERT_EQUAL(record.timestamp_ms, NOW_MS + count);
			CU_ASSERT(slice_equal_text(record.key, "key"));
			CU_ASSERT_EQUAL(record.value.length, 300);
			CU_ASSERT_EQUAL(record.value.data[299],
			    'a' + count % 26);
			CU_ASSERT_EQUAL(record.header_count, 1);
			CU_ASSERT_EQUAL(
			    record_header_next(&record.headers, &header), 1);
			CU_ASSERT((header.value.data == NULL) == (count % 2));
			CU_ASSERT_EQUAL(
			    record_header_next(&record.headers, &header), 0);
			count++;
		}
		CU_ASSERT_EQUAL(count, 200);
		record_reader_free(&reader);
		CU_ASSERT_EQUAL(record_reader_new(&batch, 1000, &reader),
		    codec == 0 ? ERR_NONE : ERR_MESSAGE_TOO_LARGE);
		record_reader_free(&reader);
		buffer_fini(&bytes);
	}
}

static void
test_validates(void)
{
	struct record_rules rules = rules_default();

	rules.scratch = record_scratch_new();
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		struct buffer bytes = make_batch((enum codec)codec, 500);
		struct record_verdict verdict;
		struct arena arena;

		arena_init(&arena, 0);
		record_validate(&rules, buffer_slice(&bytes), &arena,
		    &verdict);
		CU_ASSERT_EQUAL(verdict.error, ERR_NONE);
		CU_ASSERT_EQUAL(verdict.max_timestamp_ms, NOW_MS + 499);
		CU_ASSERT_EQUAL(verdict.offset_of_max_timestamp, 499);
		CU_ASSERT_EQUAL(arena.used, 0);
		arena_fini(&arena);
		rules.decompressed_limit_bytes = 100000;
		CU_ASSERT_EQUAL(validate(&rules, &bytes),
		    codec == 0 ? ERR_NONE : ERR_MESSAGE_TOO_LARGE);
		rules.decompressed_limit_bytes = LIMIT;
		buffer_fini(&bytes);
	}
	record_scratch_free(&rules.scratch);
}

static void
test_stamp(void)
{
	struct record_rules rules = rules_default();
	struct buffer bytes = make_batch(CODEC_LZ4, 10);
	struct record_verdict verdict;
	struct slice rest;
	struct batch batch;
	struct arena arena;

	arena_init(&arena, 0);
	rules.log_append_time = true;
	rules.now_ms = NOW_MS + 777;
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CU_ASSERT_EQUAL(verdict.error, ERR_NONE);
	record_stamp(&rules, &verdict, bytes.data, 1000, 5);
	rest = buffer_slice(&bytes);
	CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
	CU_ASSERT(batch_crc_good(&batch));
	CU_ASSERT_EQUAL(batch.base_offset, 1000);
	CU_ASSERT_EQUAL(batch.last_offset, 1009);
	CU_ASSERT_EQUAL(batch.leader_epoch, 5);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW_MS + 777);
	CU_ASSERT(batch.attributes & BATCH_ATTR_LOG_APPEND_TIME);
	CU_ASSERT_EQUAL(batch_codec(&batch), CODEC_LZ4);
	arena_fini(&arena);
	buffer_fini(&bytes);
}

/* One row a fault: where, what to write there, whether the CRC is made good. */
static const struct fault_row {
	const char *name;
	size_t at;
	size_t size;
	uint64_t value;
	bool mend;
	enum error error;
} fault_rows[] = {
	{ "base offset", 7, 1, 1, true, ERR_INVALID_RECORD },
	{ "declared size 13", 8, 4, 13, false, ERR_CORRUPT_MESSAGE },
	{ "declared size beyond", 8, 4, 1 << 20, false, ERR_INVALID_RECORD },
	{ "magic 3", 16, 1, 3, false, ERR_CORRUPT_MESSAGE },
	{ "magic 1", 16, 1, 1, false, ERR_INVALID_RECORD },
	{ "crc", 17, 4, 12345, false, ERR_CORRUPT_MESSAGE },
	{ "control", 22, 1, 0x20, true, ERR_INVALID_RECORD },
	{ "codec 5", 22, 1, 5, true, ERR_UNKNOWN_SERVER_ERROR },
	{ "codec 5, crc", 22, 1, 5, false, ERR_CORRUPT_MESSAGE },
	{ "append time bit on a create time topic", 22, 1, 8, true, ERR_NONE },
	{ "negative last delta", 23, 4, 0xffffffff, true, ERR_INVALID_RECORD },
	{ "last delta", 23, 4, 8, true, ERR_INVALID_RECORD },
	{ "count 0", 57, 4, 0, true, ERR_INVALID_RECORD },
	{ "count", 57, 4, 9, true, ERR_INVALID_RECORD },
	{ "producer without sequence", 43, 8, 7, true, ERR_INVALID_RECORD },
	{ "record length", 61, 1, 0x7e, true, ERR_INVALID_RECORD },
	{ "negative record length", 61, 1, 0x01, true, ERR_INVALID_RECORD },
	{ "not compressed at all", 22, 1, 1, true, ERR_UNKNOWN_SERVER_ERROR },
	{ "no snappy", 22, 1, 2, true, ERR_UNKNOWN_SERVER_ERROR },
	{ "no lz4", 22, 1, 3, true, ERR_UNKNOWN_SERVER_ERROR },
	{ "no zstd", 22, 1, 4, true, ERR_UNKNOWN_SERVER_ERROR },
};

static void
test_faults(void)
{
	struct record_rules rules = rules_default();

	for (size_t i = 0; i < nelems(fault_rows); i++) {
		const struct fault_row *row = &fault_rows[i];
		struct buffer bytes = make_batch(CODEC_NONE, 10);

		for (size_t b = 0; b < row->size; b++)
			bytes.data[row->at + b] = (uint8_t)(row->value >>
			    8 * (row->size - 1 - b));
		if (row->mend)
			mend_crc(&bytes);
		if (validate(&rules, &bytes) != row->error)
			CU_FAIL(row->name);
		buffer_fini(&bytes);
	}
}

static void
test_counts_and_sizes(void)
{
	struct record_rules rules = rules_default();
	struct buffer bytes = make_batch(CODEC_NONE, 10);
	struct buffer two = BUFFER_EMPTY;

	CU_ASSERT_EQUAL(validate(&rules, &two), ERR_INVALID_RECORD);
	buffer_append(&two, bytes.data, bytes.length);
	buffer_append(&two, bytes.data, bytes.length - 1);
	CU_ASSERT_EQUAL(validate(&rules, &two), ERR_NONE);
	buffer_append(&two, bytes.data, 1);
	CU_ASSERT_EQUAL(validate(&rules, &two), ERR_INVALID_RECORD);
	rules.max_message_bytes = (int32_t)bytes.length - 1;
	CU_ASSERT_EQUAL(validate(&rules, &bytes), ERR_MESSAGE_TOO_LARGE);
	rules = rules_default();
	rules.segment_bytes = (int32_t)bytes.length - 1;
	CU_ASSERT_EQUAL(validate(&rules, &bytes), ERR_RECORD_LIST_TOO_LARGE);
	/* A byte too many, or one too few, behind the records. */
	rules = rules_default();
	buffer_append(&bytes, "", 1);
	bytes_put_i32(bytes.data + 8, (int32_t)bytes.length - 12);
	mend_crc(&bytes);
	CU_ASSERT_EQUAL(validate(&rules, &bytes), ERR_INVALID_RECORD);
	bytes.length -= 2;
	bytes_put_i32(bytes.data + 8, (int32_t)bytes.length - 12);
	mend_crc(&bytes);
	CU_ASSERT_EQUAL(validate(&rules, &bytes), ERR_INVALID_RECORD);
	buffer_fini(&bytes);
	buffer_fini(&two);
	bytes = make_batch(CODEC_ZSTD, 3);
	rules.api_version = 6;
	CU_ASSERT_EQUAL(validate(&rules, &bytes),
	    ERR_UNSUPPORTED_COMPRESSION_TYPE);
	buffer_fini(&bytes);
}

static void
test_record_faults(void)
{
	struct record_rules rules = rules_default();
	struct buffer bytes = BUFFER_EMPTY;
	struct batch_builder builder;
	struct record_verdict verdict;
	struct arena arena;

	arena_init(&arena, 0);
	batch_builder_init(&builder, 0, CODEC_GZIP);
	batch_builder_add(&builder, NOW_MS, SLICE_LITERAL("k"), SLICE_NULL,
	    NULL, 0);
	batch_builder_add(&builder, NOW_MS - 5000, SLICE_NULL, SLICE_NULL,
	    NULL, 0);
	batch_builder_add(&builder, -1, SLICE_NULL, SLICE_NULL, NULL, 0);
	CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes), ERR_NONE);
	batch_builder_fini(&builder);
	rules.compacted = true;
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CU_ASSERT_EQUAL(verdict.error, ERR_INVALID_RECORD);
	CU_ASSERT_EQUAL(verdict.flaw, RECORD_FLAW_NO_KEY);
	CU_ASSERT_EQUAL(verdict.fault_count, 2);
	CU_ASSERT_EQUAL(verdict.faults[1].batch_index, 2);
	CU_ASSERT_STRING_EQUAL(verdict.faults[0].message,
	    "Compacted topic cannot accept message without key in topic "
	    "partition orders-3");
	CU_ASSERT_PTR_NOT_NULL(strstr(verdict.message,
	    "due to 2 record errors in total, and only showing the first "
	    "three errors at most: [RecordError(batchIndex=1, message='Com"));
	rules.compacted = false;
	rules.timestamp_before_max_ms = 1000;
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CU_ASSERT_EQUAL(verdict.error, ERR_INVALID_TIMESTAMP);
	CU_ASSERT_EQUAL(verdict.flaw, RECORD_FLAW_OTHER);
	CU_ASSERT_EQUAL(verdict.fault_count, 1);
	CU_ASSERT_STRING_EQUAL(verdict.faults[0].message,
	    "Timestamp 1699999995000 of message with offset 1 is out of range."
	    " The timestamp should be within [1699999999000, "
	    "-9223370336854775809]");
	rules.timestamp_before_max_ms = INT64_MAX;
	rules.log_append_time = true;
	bytes.data[22] |= BATCH_ATTR_LOG_APPEND_TIME;
	mend_crc(&bytes);
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CU_ASSERT_EQUAL(verdict.error, ERR_INVALID_TIMESTAMP);
	CU_ASSERT_EQUAL(verdict.fault_count, 3);
	/* Faults that find no memory still refuse the batch. */
	arena_fini(&arena);
	arena_init(&arena, 1);
	record_validate(&rules, buffer_slice(&bytes), &arena, &verdict);
	CU_ASSERT_EQUAL(verdict.error, ERR_INVALID_TIMESTAMP);
	arena_fini(&arena);
	buffer_fini(&bytes);
}

static void
test_sequences(void)
{
	struct batch batch = { .base_sequence = INT32_MAX - 1,
		.last_offset_delta = 3 };

	CU_ASSERT_EQUAL(batch_last_sequence(&batch), 1);
	CU_ASSERT_EQUAL(batch_sequence_after(INT32_MAX, 1), 0);
	batch.base_sequence = -1;
	CU_ASSERT_EQUAL(batch_last_sequence(&batch), -1);
}

static void
test_varints(void)
{
	static const int64_t values[] = { 0, -1, 1, 63, -64, 64, INT32_MAX,
		INT32_MIN, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < nelems(values); i++) {
		struct buffer out = BUFFER_EMPTY;
		struct slice rest;
		int64_t back = 0;
		int32_t small = 0;

		record_write_varlong(&out, values[i]);
		rest = buffer_slice(&out);
		CU_ASSERT(record_read_varlong(&rest, &back));
		CU_ASSERT_EQUAL(back, values[i]);
		CU_ASSERT_EQUAL(rest.length, 0);
		rest = buffer_slice(&out);
		if (out.length <= 5) {
			CU_ASSERT(record_read_varint(&rest, &small));
			CU_ASSERT_EQUAL(small, values[i]);
		} else
			CU_ASSERT_FALSE(record_read_varint(&rest, &small));
		rest = slice_of(out.data, out.length - 1);
		CU_ASSERT_FALSE(record_read_varlong(&rest, &back));
		buffer_fini(&out);
	}
}

static void
write_field(struct buffer *out, int32_t size)
{
	record_write_varlong(out, size);
	for (int32_t i = 0; i < size; i++)
		buffer_append(out, &(uint8_t){ (uint8_t)i }, 1);
}

/* What the short way takes it reads as the long way does; true: it took it. */
static bool
read_both_ways(const uint8_t *bytes, size_t size)
{
	/* Exactly as long: a sanitizer sees who reads on. */
	uint8_t *copy = mem_alloc(size + (size == 0));
	const struct record_base base = { .base_offset = 7,
		.base_timestamp_ms = NOW_MS };
	struct record_source plain = { .at = copy, .end = copy + size };
	struct record_source whole = plain;
	struct record one, two;
	bool taken;

	if (size > 0)
		memcpy(copy, bytes, size);
	taken = record_parse_plain(&plain, &base, &one);
	if (taken) {
		CU_ASSERT(record_parse(&whole, &base, &two));
		CU_ASSERT_PTR_EQUAL(plain.at, whole.at);
		CU_ASSERT_EQUAL(one.size, two.size);
		CU_ASSERT_EQUAL(one.offset, two.offset);
		CU_ASSERT_EQUAL(one.timestamp_ms, two.timestamp_ms);
		CU_ASSERT_PTR_EQUAL(one.key.data, two.key.data);
		CU_ASSERT_EQUAL(one.key.length, two.key.length);
		CU_ASSERT_PTR_EQUAL(one.value.data, two.value.data);
		CU_ASSERT_EQUAL(one.value.length, two.value.length);
		CU_ASSERT_EQUAL(one.header_count, two.header_count);
		CU_ASSERT_PTR_EQUAL(one.headers.data, two.headers.data);
		CU_ASSERT_EQUAL(one.headers.length, two.headers.length);
	} else {
		CU_ASSERT_PTR_EQUAL(plain.at, copy);
	}
	mem_free(copy);
	return (taken);
}

/* Whole, cut anywhere near its ends, and with one byte of its head wrong. */
static bool
read_damaged_both_ways(const struct buffer *record)
{
	static const uint8_t wrong[] = { 0, 1, 2, 0x7e, 0x7f, 0x80, 0xff };

	for (size_t n = 0; n < record->length; n += n < 24 ? 1 : 97)
		(void)read_both_ways(record->data, n);
	for (size_t i = 0; i < 12 && i < record->length; i++)
		for (size_t k = 0; k < nelems(wrong); k++) {
			uint8_t right = record->data[i];

			record->data[i] = wrong[k];
			(void)read_both_ways(record->data, record->length);
			record->data[i] = right;
		}
	return (read_both_ways(record->data, record->length));
}

static struct buffer
make_record(const int64_t *fields)
{
	struct buffer body = BUFFER_EMPTY;
	struct buffer out = BUFFER_EMPTY;

	buffer_append(&body, "", 1);
	record_write_varlong(&body, fields[0]);
	record_write_varlong(&body, fields[1]);
	write_field(&body, (int32_t)fields[2]);
	write_field(&body, (int32_t)fields[3]);
	record_write_varlong(&body, fields[4]);
	for (int64_t i = 0; i < fields[4]; i++) {
		write_field(&body, 1);
		write_field(&body, -1);
	}
	record_write_varlong(&out, (int64_t)body.length);
	buffer_append_slice(&out, buffer_slice(&body));
	buffer_fini(&body);
	return (out);
}

static void
test_plain(void)
{
	/* Difference of time, of offset, sizes of key and value, headers. */
	static const struct { int64_t fields[5]; bool plain; } rows[] = {
		{ { 0, 0, -1, 100, 0 }, true },
		{ { 0, 0, 0, 2, 0 }, true },
		{ { 63, 63, 3, 0, 0 }, true },
		{ { -64, 64, 63, 63, 0 }, true },
		{ { -1, 8191, 64, 64, 0 }, true },
		{ { 8191, 0, 1, -1, 0 }, true },
		{ { -8192, 1, 5000, 3000, 0 }, true },
		{ { 0, 0, -1, 8180, 0 }, true },
		{ { 0, 0, -1, 8192, 0 }, false },
		{ { 8192, 0, 1, 1, 0 }, false },
		{ { 0, 8192, 1, 1, 0 }, false },
		{ { INT64_MAX, INT32_MAX, 1, 1, 0 }, false },
		{ { INT64_MIN, INT32_MIN, 1, 1, 0 }, false },
		{ { 1, 1, 9, 9, 1 }, false },
		{ { 1, 1, 9, 9, 64 }, false },
		{ { 0, 0, -1, -1, 0 }, false }, /* shorter than a head */
		{ { 0, 0, -2, -2, 0 }, false },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct buffer record = make_record(rows[i].fields);

		CU_ASSERT_EQUAL(read_damaged_both_ways(&record),
		    rows[i].plain);
		buffer_fini(&record);
	}
}

/* gzip in two members; snappy bare; streams cut short. */
static void
test_framings(void)
{
	static const uint8_t plain[] = "the castle, the castle, the castle";
	struct slice all = slice_of(plain, sizeof(plain));
	struct buffer packed = BUFFER_EMPTY;
	struct buffer out = BUFFER_EMPTY;

	codec_compress(CODEC_GZIP, INT_MIN, slice_of(plain, 10), &packed);
	codec_compress(CODEC_GZIP, 1,
	    slice_of(plain + 10, sizeof(plain) - 10), &packed);
	CU_ASSERT_EQUAL(codec_decompress(CODEC_GZIP, 2,
			    buffer_slice(&packed), LIMIT, &out),
	    ERR_NONE);
	CU_ASSERT(slice_equal(buffer_slice(&out), all));
	packed.length = out.length = 0;
	codec_compress(CODEC_SNAPPY, INT_MIN, all, &packed);
	CU_ASSERT_EQUAL(memcmp(packed.data, "\x82SNAPPY\0\0\0\0\1\0\0\0\1",
			    16),
	    0);
	/* 16 of header, 4 of size: behind them a bare block. */
	CU_ASSERT_EQUAL(codec_decompress(CODEC_SNAPPY, 2,
			    slice_of(packed.data + 20, packed.length - 20),
			    LIMIT, &out),
	    ERR_NONE);
	CU_ASSERT(slice_equal(buffer_slice(&out), all));
	for (int codec = 1; codec < CODEC_COUNT; codec++) {
		packed.length = 0;
		codec_compress((enum codec)codec, INT_MIN, all, &packed);
		for (size_t cut = 0; cut < packed.length; cut++) {
			out.length = 0;
			codec_decompress((enum codec)codec, 2,
			    slice_of(packed.data, cut), LIMIT, &out);
			CU_ASSERT(out.length <= sizeof(plain));
		}
	}
	buffer_fini(&packed);
	buffer_fini(&out);
}

/* A message of magic 0 or 1; timestamps only in the latter. */
static void
put_legacy(struct buffer *out, int8_t magic, int64_t offset, int attributes,
    int64_t timestamp_ms, struct slice value)
{
	size_t size = (magic == 1 ? 34 : 26) + value.length;
	uint8_t *at = buffer_extend(out, size);
	uint8_t *body = at + (magic == 1 ? 26 : 18);

	bytes_put_i64(at, offset);
	bytes_put_i32(at + 8, (int32_t)size - 12);
	at[16] = (uint8_t)magic;
	at[17] = (uint8_t)attributes;
	if (magic == 1)
		bytes_put_i64(at + 18, timestamp_ms);
	bytes_put_i32(body, -1);
	bytes_put_i32(body + 4, (int32_t)value.length);
	memcpy(body + 8, value.data, value.length);
	bytes_put_u32(at + 12, crc32_gzip_of(0, at + 16, size - 16));
}

static void
test_legacy(void)
{
	for (int codec = 0; codec < CODEC_ZSTD; codec++) {
		for (int8_t magic = 0; magic < 2; magic++) {
			struct buffer inner = BUFFER_EMPTY;
			struct buffer packed = BUFFER_EMPTY;
			struct buffer bytes = BUFFER_EMPTY;
			struct record_reader *reader;
			struct record record;
			struct slice rest;
			struct batch batch;
			int64_t offset = magic == 0 ? 40 : 0;

			if (codec == 0) {
				put_legacy(&bytes, magic, 41, 0, 7,
				    SLICE_LITERAL("two"));
			} else {
				put_legacy(&inner, magic, offset, 0, 6,
				    SLICE_LITERAL("one"));
				put_legacy(&inner, magic, offset + 1, 0, 7,
				    SLICE_LITERAL("two"));
				codec_compress((enum codec)codec, INT_MIN,
				    buffer_slice(&inner), &packed);
				/* The hash that old clients got wrong. */
				if (codec == CODEC_LZ4 && magic == 0)
					packed.data[6] ^= 0x55;
				put_legacy(&bytes, magic, 41, codec, 7,
				    buffer_slice(&packed));
			}
			rest = buffer_slice(&bytes);
			CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
			CU_ASSERT(batch_crc_good(&batch));
			CU_ASSERT_EQUAL(batch.last_offset, 41);
			CU_ASSERT_EQUAL(batch.producer_id, -1);
			CU_ASSERT_EQUAL_FATAL(
			    record_reader_new(&batch, LIMIT, &reader),
			    ERR_NONE);
			if (codec != 0) {
				CU_ASSERT_EQUAL(
				    record_reader_next(reader, &record), 1);
				CU_ASSERT_EQUAL(record.offset, 40);
			}
			CU_ASSERT_EQUAL(record_reader_next(reader, &record),
			    1);
			CU_ASSERT_EQUAL(record.offset, 41);
			CU_ASSERT_EQUAL(record.timestamp_ms,
			    magic == 1 ? 7 : -1);
			CU_ASSERT(slice_equal_text(record.value, "two"));
			CU_ASSERT_EQUAL(record_reader_next(reader, &record),
			    0);
			record_reader_free(&reader);
			buffer_fini(&inner);
			buffer_fini(&packed);
			buffer_fini(&bytes);
		}
	}
}

static void
test_walk(void)
{
	struct buffer bytes = make_batch(CODEC_NONE, 1);
	struct batch batch;

	for (size_t cut = 1; cut < bytes.length; cut++) {
		struct slice rest = slice_of(bytes.data, cut);

		CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_PARTIAL);
		CU_ASSERT_EQUAL(batch_peek(slice_of(bytes.data, cut), &batch),
		    cut < 61 ? BATCH_PARTIAL : BATCH_OK);
	}
	CU_ASSERT_EQUAL((size_t)batch.size, bytes.length);
	buffer_fini(&bytes);
}

static const struct unit_test tests[] = {
	{ "what was built is read", test_round_trip },
	{ "good batches pass without memory", test_validates },
	{ "a stamp keeps the batch valid", test_stamp },
	{ "each fault has its error", test_faults },
	{ "counts and sizes", test_counts_and_sizes },
	{ "records at fault are named", test_record_faults },
	{ "sequences wrap", test_sequences },
	{ "varints", test_varints },
	{ "plain records are read both ways", test_plain },
	{ "framings of codecs", test_framings },
	{ "magic 0 and 1 are read", test_legacy },
	{ "batches cut anywhere", test_walk },
};

int
main(void)
{
	return (unit_main("record", tests, nelems(tests)));
}
