/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the records of a Produce of either age, and as what lies on a
 * disk.  The first byte chooses; CRCs are made good so that the fuzzer gets
 * behind them. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "record/record.h"

#define LIMIT ((size_t)1 << 20)
/* In the first byte. */
#define RAW 0x80  /* nothing is mended */
#define OLD 0x40  /* a message set */
#define WRAP 0x20 /* the bytes go inside of a wrapper: gzip */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
mend(uint8_t *bytes, size_t size, int codec)
{
	if (size < BATCH_HEADER_SIZE)
		return;
	bytes_put_i64(bytes, 0);
	bytes_put_i32(bytes + 8, (int32_t)size - BATCH_LOG_OVERHEAD);
	bytes[16] = 2;
	bytes_put_i16(bytes + 21, (int16_t)codec);
	bytes_put_i64(bytes + 43, -1);
	bytes_put_i32(bytes + 23, bytes_get_i32(bytes + 57) - 1);
	bytes_put_u32(bytes + 17, crc32c(0, bytes + 21, size - 21));
}

/* Each message that lies there gets a good CRC, whatever else it has. */
static void
mend_messages(uint8_t *bytes, size_t size)
{
	while (size >= 26) {
		int32_t declared = bytes_get_i32(bytes + 8);
		size_t whole;

		if (declared < 14 || (size_t)declared > size - 12)
			return;
		whole = (size_t)declared + 12;
		bytes[16] &= 1;
		bytes_put_u32(bytes + 12,
		    crc32_gzip_of(0, bytes + 16, whole - 16));
		bytes += whole;
		size -= whole;
	}
}

static void
wrap(struct slice inner, int8_t magic, struct buffer *out)
{
	size_t head = magic == 1 ? 34 : 26;
	uint8_t *at = buffer_extend(out, head);

	memset(at, 0, head);
	CHECK(codec_compress(CODEC_GZIP, 1, inner, out) == ERR_NONE);
	at = out->data;
	bytes_put_i32(at + 8, (int32_t)out->length - 12);
	at[16] = (uint8_t)magic;
	at[17] = CODEC_GZIP;
	bytes_put_i32(at + head - 8, -1);
	bytes_put_i32(at + head - 4, (int32_t)(out->length - head));
	bytes_put_u32(at + 12, crc32_gzip_of(0, at + 16, out->length - 16));
}

/* What the converter lets in must be what a producer may send. */
static void
convert(const struct record_rules *rules, struct slice bytes)
{
	struct record_verdict verdict;
	struct slice rest = bytes;
	struct buffer out = BUFFER_EMPTY;
	struct batch first;
	struct arena arena;

	if (batch_next(&rest, &first) != BATCH_OK || first.magic == 2)
		return;
	record_convert(rules, bytes, &out, &verdict);
	if (verdict.error == ERR_NONE) {
		arena_init(&arena, 0);
		record_validate(rules, buffer_slice(&out), &arena, &verdict);
		CHECK(verdict.error == ERR_NONE);
		record_stamp(rules, &verdict, out.data, 77, 3);
		arena_fini(&arena);
	}
	buffer_fini(&out);
}

static void
read_all(struct slice rest)
{
	struct batch batch;

	while (batch_next(&rest, &batch) == BATCH_OK) {
		struct record_reader *reader;
		struct record record;
		struct record_header header;

		(void)batch_crc_good(&batch);
		(void)batch_last_sequence(&batch);
		if (record_reader_new(&batch, LIMIT, &reader) != ERR_NONE)
			continue;
		while (record_reader_next(reader, &record) == 1)
			while (record_header_next(&record.headers, &header) ==
			    1)
				continue;
		record_reader_free(&reader);
	}
}

/* What old consumers get is whole messages of theirs, which can be read. */
static void
down_convert(struct slice rest, int8_t magic)
{
	struct batch batch;

	while (batch_next(&rest, &batch) == BATCH_OK) {
		struct buffer out = BUFFER_EMPTY;
		struct record_reader *reader;
		struct record record;
		struct batch message;
		struct slice made;
		int32_t count;
		int32_t seen = 0;

		if (record_down_convert(&batch, magic, 3, LIMIT, &out,
			&count) != ERR_NONE) {
			CHECK(out.length == 0);
			buffer_fini(&out);
			continue;
		}
		made = buffer_slice(&out);
		while (batch.magic > magic &&
		    batch_next(&made, &message) == BATCH_OK) {
			CHECK(message.magic == magic);
			CHECK(batch_crc_good(&message));
			CHECK(record_reader_new(&message, 64 * LIMIT,
				  &reader) == ERR_NONE);
			while (record_reader_next(reader, &record) == 1)
				seen++;
			record_reader_free(&reader);
		}
		CHECK(batch.magic <= magic ||
		    (made.length == 0 && seen == count));
		buffer_fini(&out);
	}
}

/* What was let in may be written anew, and is let in then. */
static void
rebuild(struct record_rules rules, struct slice bytes, enum codec codec)
{
	struct record_verdict verdict;
	struct buffer out = BUFFER_EMPTY;
	struct arena arena;
	int32_t count;

	arena_init(&arena, 0);
	rules.codec_fixed = true;
	rules.codec = codec;
	rules.codec_level = codec == CODEC_NONE || codec == CODEC_SNAPPY ? 0
									 : 1;
	record_validate(&rules, bytes, &arena, &verdict);
	if (verdict.error == ERR_NONE && verdict.rebuild) {
		count = verdict.batch.record_count;
		record_rebuild(&rules, &out, &verdict);
		CHECK(verdict.error != ERR_NONE ||
		    (verdict.batch.record_count == count &&
			batch_codec(&verdict.batch) == codec));
		if (verdict.error == ERR_NONE) {
			/* Deltas may take more bytes than they took. */
			rules.decompressed_limit_bytes = 4 * LIMIT;
			record_validate(&rules, buffer_slice(&out), &arena,
			    &verdict);
			CHECK(verdict.error == ERR_NONE && !verdict.rebuild);
		}
	}
	buffer_fini(&out);
	arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_rules rules = {
		.max_message_bytes = INT32_MAX,
		.segment_bytes = INT32_MAX,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 1000,
		.decompressed_limit_bytes = LIMIT,
		.api_version = 9,
	};
	struct record_verdict verdict;
	struct buffer wrapper = BUFFER_EMPTY;
	struct arena arena;
	uint8_t *bytes;

	if (size < 1)
		return (0);
	bytes = mem_alloc(size - 1);
	memcpy(bytes, data + 1, size - 1);
	if ((data[0] & (RAW | OLD)) == OLD)
		mend_messages(bytes, size - 1);
	else if ((data[0] & RAW) == 0)
		mend(bytes, size - 1, data[0] & 7);
	if ((data[0] & WRAP) != 0) {
		wrap(slice_of(bytes, size - 1), data[0] & 1, &wrapper);
		convert(&rules, buffer_slice(&wrapper));
		buffer_fini(&wrapper);
	} else
		convert(&rules, slice_of(bytes, size - 1));
	arena_init(&arena, 0);
	record_validate(&rules, slice_of(bytes, size - 1), &arena, &verdict);
	if (verdict.error == ERR_NONE)
		record_stamp(&rules, &verdict, bytes, 77, 3);
	read_all(slice_of(bytes, size - 1));
	down_convert(slice_of(bytes, size - 1), data[0] & 1);
	rebuild(rules, slice_of(bytes, size - 1),
	    (enum codec)((data[0] >> 3) % CODEC_COUNT));
	arena_fini(&arena);
	mem_free(bytes);
	return (0);
}
