/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that are written anew: by a leader, in the codec that the topic asks
 * for (compression.type), for consumers that know magic 0 or 1 only, and by
 * compaction where such messages were stored.
 *
 *	magic 1, plain       message message ...    each with its offset
 *	magic 1, compressed  wrapper{ message ...}  offsets from 0: its last
 *	                                            is the wrapper's
 *	magic 0, compressed  the same, but inner offsets are the log's
 *
 * Source: LogValidator, RecordsUtil and MemoryRecordsBuilder of Kafka 3.9.
 */
#include <limits.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "record/record_int.h"

/* --- another codec -------------------------------------------------------- */

/* What Kafka's builder refuses, of a batch that in place would pass. */
static bool
rebuild_is_refused(const struct batch *batch)
{
	if (batch->producer_id == -1)
		return ((batch->attributes & BATCH_ATTR_TRANSACTIONAL) != 0);
	return (batch->producer_epoch == -1 || batch->base_sequence < 0);
}

static enum error
rebuild_records(const struct record_rules *rules, const struct batch *batch,
    struct batch_builder *builder)
{
	struct record_reader *reader;
	struct record record;
	enum error error;
	int found;

	error = record_reader_new(batch, rules->decompressed_limit_bytes,
	    &reader);
	if (error != ERR_NONE)
		return (error == ERR_MESSAGE_TOO_LARGE
			? error
			: ERR_UNKNOWN_SERVER_ERROR);
	while ((found = record_reader_next(reader, &record)) > 0) {
		if (record.timestamp_ms < -1 ||
		    !batch_builder_add_record(builder, &record)) {
			found = -1;
			break;
		}
		if (builder->codec == CODEC_NONE &&
		    builder->records.length >
			(size_t)rules->max_message_bytes) {
			error = ERR_MESSAGE_TOO_LARGE;
			break;
		}
	}
	record_reader_free(&reader);
	return (found < 0 ? ERR_UNKNOWN_SERVER_ERROR : error);
}

void
record_rebuild(const struct record_rules *rules, struct buffer *out,
    struct record_verdict *verdict)
{
	const struct batch batch = verdict->batch;
	struct batch_builder builder;
	struct slice made;
	enum error error;

	CHECK(verdict->error == ERR_NONE && verdict->rebuild);
	out->length = 0;
	batch_builder_init(&builder, 0, rules->codec);
	builder.codec_level = rules->codec_level;
	builder.attributes = batch.attributes & BATCH_ATTR_TRANSACTIONAL;
	builder.producer_id = batch.producer_id;
	builder.producer_epoch = batch.producer_epoch;
	builder.base_sequence = batch.base_sequence;
	error = rebuild_records(rules, &batch, &builder);
	if (error == ERR_NONE && rebuild_is_refused(&batch))
		error = ERR_UNKNOWN_SERVER_ERROR;
	if (error == ERR_NONE) {
		if (rules->log_append_time) {
			builder.attributes |= BATCH_ATTR_LOG_APPEND_TIME;
			builder.max_timestamp_ms = rules->now_ms;
		}
		error = batch_builder_finish(&builder, out);
	}
	batch_builder_fini(&builder);
	verdict->rebuild = false;
	verdict->error = error;
	if (error != ERR_NONE)
		return;
	made = buffer_slice(out);
	CHECK(batch_next(&made, &verdict->batch) == BATCH_OK);
	verdict->max_timestamp_ms = verdict->batch.max_timestamp_ms;
	if (verdict->batch.size > rules->max_message_bytes)
		verdict->error = ERR_MESSAGE_TOO_LARGE;
	else if (verdict->batch.size > rules->segment_bytes)
		verdict->error = ERR_RECORD_LIST_TOO_LARGE;
}

/* --- older magic ---------------------------------------------------------- */

struct down {
	const struct batch *batch;
	int8_t magic;
	bool append_time;
	int64_t first_offset;
	size_t limit_bytes;
	struct buffer inner;   /* compressed: what the wrapper will hold */
	int64_t base_offset;   /* of the first record taken */
	int64_t last_offset;
	int64_t max_timestamp_ms;
	int32_t count;
};

/* What stands before key and value; size and CRC come when all is there. */
static void
message_begin(const struct down *down, struct buffer *out, int64_t offset,
    enum codec codec, int64_t timestamp_ms)
{
	size_t size = down->magic == 0 ? LEGACY_V0_SIZE - 8
				       : LEGACY_V1_SIZE - 8;
	uint8_t *at = buffer_extend(out, size);

	memset(at, 0, size);
	bytes_put_i64(at, offset);
	at[LEGACY_MAGIC] = (uint8_t)down->magic;
	at[LEGACY_ATTRIBUTES] = (uint8_t)codec;
	if (down->magic == 0)
		return;
	if (down->append_time)
		at[LEGACY_ATTRIBUTES] |= BATCH_ATTR_LOG_APPEND_TIME;
	bytes_put_i64(at + LEGACY_TIMESTAMP, timestamp_ms);
}

static void
message_field(struct buffer *out, struct slice bytes)
{
	bytes_put_i32(buffer_extend(out, 4),
	    bytes.data == NULL ? -1 : (int32_t)bytes.length);
	buffer_append_slice(out, bytes);
}

static void
message_end(struct buffer *out, size_t start)
{
	uint8_t *at = out->data + start;
	size_t size = out->length - start;

	bytes_put_i32(at + 8, (int32_t)(size - BATCH_LOG_OVERHEAD));
	bytes_put_u32(at + LEGACY_CRC,
	    crc32_gzip_of(0, at + LEGACY_MAGIC, size - LEGACY_MAGIC));
}

static void
down_add(struct down *down, const struct record *record, struct buffer *out)
{
	bool wrapped = batch_codec(down->batch) != CODEC_NONE;
	size_t start = out->length;
	int64_t offset = record->offset;

	if (down->count++ == 0)
		down->base_offset = offset;
	down->last_offset = record->offset;
	if (record->timestamp_ms > down->max_timestamp_ms)
		down->max_timestamp_ms = record->timestamp_ms;
	if (wrapped && down->magic == 1)
		offset -= down->base_offset;
	message_begin(down, out, offset, CODEC_NONE, record->timestamp_ms);
	message_field(out, record->key);
	message_field(out, record->value);
	message_end(out, start);
}

/* Into `out`, or into what is to be wrapped. */
static enum error
down_records(struct down *down, struct buffer *out)
{
	bool wrapped = batch_codec(down->batch) != CODEC_NONE;
	struct buffer *to = wrapped ? &down->inner : out;
	size_t start = to->length;
	int64_t last = -1;
	struct record_reader *reader;
	struct record record;
	enum error error;
	int found;

	error = record_reader_new(down->batch, down->limit_bytes, &reader);
	if (error != ERR_NONE)
		return (error);
	while ((found = record_reader_next(reader, &record)) > 0) {
		if (!wrapped && record.offset < down->first_offset)
			continue;
		/* As Kafka's builder has it, which names no better error:
		 * offsets go up, times are none or good. */
		if (record.offset <= last ||
		    record.timestamp_ms < -1) {
			error = ERR_UNKNOWN_SERVER_ERROR;
			break;
		}
		last = record.offset;
		down_add(down, &record, to);
		if (to->length - start > down->limit_bytes) {
			error = ERR_MESSAGE_TOO_LARGE;
			break;
		}
	}
	record_reader_free(&reader);
	return (found < 0 ? ERR_CORRUPT_MESSAGE : error);
}

static enum error
down_wrap(struct down *down, struct buffer *out)
{
	enum codec codec = batch_codec(down->batch);
	struct slice plain = buffer_slice(&down->inner);
	size_t start = out->length;
	enum error error;
	size_t value;

	message_begin(down, out, down->last_offset, codec,
	    down->append_time ? down->batch->max_timestamp_ms
			      : down->max_timestamp_ms);
	message_field(out, SLICE_NULL);
	value = out->length;
	memset(buffer_extend(out, 4), 0, 4);
	error = down->magic == 0
	    ? codec_compress_magic_0(codec, plain, out)
	    : codec_compress(codec, INT_MIN, plain, out);
	if (error != ERR_NONE)
		return (error);
	if (out->length - start > INT32_MAX)
		return (ERR_MESSAGE_TOO_LARGE);
	bytes_put_i32(out->data + value, (int32_t)(out->length - value - 4));
	message_end(out, start);
	return (ERR_NONE);
}

enum error
record_down_convert(const struct batch *batch, int8_t magic,
    int64_t first_offset, size_t limit_bytes, struct buffer *out,
    int32_t *count)
{
	size_t start = out->length;
	struct down down = {
		.batch = batch,
		.magic = magic,
		.append_time =
		    (batch->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0,
		.first_offset = first_offset,
		.limit_bytes = limit_bytes,
		.max_timestamp_ms = -1,
	};
	enum error error;

	CHECK(magic == 0 || magic == 1);
	*count = 0;
	if (batch->magic == 2 && (batch->attributes & BATCH_ATTR_CONTROL) != 0)
		return (ERR_NONE);
	if (batch_codec(batch) >= CODEC_ZSTD)
		return (batch_codec(batch) == CODEC_ZSTD
			? ERR_UNSUPPORTED_COMPRESSION_TYPE
			: ERR_CORRUPT_MESSAGE);
	if (batch->magic <= magic) {
		buffer_append_slice(out, batch->bytes);
		return (ERR_NONE);
	}
	error = down_records(&down, out);
	if (error == ERR_NONE && down.count > 0 &&
	    batch_codec(batch) != CODEC_NONE)
		error = down_wrap(&down, out);
	buffer_fini(&down.inner);
	if (error != ERR_NONE)
		out->length = start;
	else
		*count = down.count;
	return (error);
}

enum error
record_rewrap(const struct batch *wrapper, struct record_reader *reader,
    const uint8_t *marks, size_t limit_bytes, struct buffer *out)
{
	size_t start = out->length;
	struct down down = {
		.batch = wrapper,
		.magic = wrapper->magic,
		.append_time =
		    (wrapper->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0,
		.limit_bytes = limit_bytes,
		.max_timestamp_ms = -1,
	};
	struct record record;
	enum error error;

	record_reader_rewind(reader);
	for (size_t i = 0; record_reader_next(reader, &record) > 0; i++)
		if ((marks[i / 8] >> i % 8 & 1) != 0)
			down_add(&down, &record, &down.inner);
	error = down_wrap(&down, out);
	buffer_fini(&down.inner);
	if (error != ERR_NONE)
		out->length = start;
	return (error);
}
