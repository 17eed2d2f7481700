/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "record/record_int.h"

static int64_t builder_delta(const struct batch_builder *builder,
    int64_t timestamp_ms);
static size_t varint_size(int64_t value);
static size_t bytes_size(struct slice bytes);
static void bytes_write(struct buffer *out, struct slice bytes);

void
batch_builder_init(struct batch_builder *builder, int64_t base_offset,
    enum codec codec)
{
	*builder = (struct batch_builder){
		.codec = codec,
		.codec_level = INT_MIN,
		.base_offset = base_offset,
		.base_timestamp_ms = -1,
		.max_timestamp_ms = -1,
		.producer_id = -1,
		.producer_epoch = -1,
		.leader_epoch = -1,
		.base_sequence = -1,
		.last_offset_delta = -1,
	};
}

void
batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms,
    struct slice key, struct slice value, const struct record_header *headers,
    size_t header_count)
{
	struct buffer *out = &builder->records;
	int64_t delta;
	size_t size;

	if (builder->count == 0 && !builder->base_fixed)
		builder->base_timestamp_ms = timestamp_ms;
	if (timestamp_ms > builder->max_timestamp_ms)
		builder->max_timestamp_ms = timestamp_ms;
	delta = builder_delta(builder, timestamp_ms);
	size = 1 + varint_size(delta) + varint_size(builder->count) +
	    bytes_size(key) + bytes_size(value) +
	    varint_size((int64_t)header_count);
	for (size_t i = 0; i < header_count; i++)
		size += bytes_size(headers[i].key) +
		    bytes_size(headers[i].value);
	record_write_varlong(out, (int64_t)size);
	*buffer_extend(out, 1) = 0;
	record_write_varlong(out, delta);
	record_write_varlong(out, builder->count);
	bytes_write(out, key);
	bytes_write(out, value);
	record_write_varlong(out, (int64_t)header_count);
	for (size_t i = 0; i < header_count; i++) {
		bytes_write(out, headers[i].key);
		bytes_write(out, headers[i].value);
	}
	builder->count++;
}

/* Size of the headers as they will be written; -1: they are none. */
static int64_t
headers_size(const struct record *record)
{
	struct slice rest = record->headers;
	struct record_header header;
	int64_t size = 0;
	int found;

	while ((found = record_header_next(&rest, &header)) > 0)
		size += (int64_t)(bytes_size(header.key) +
		    bytes_size(header.value));
	return (found < 0 ? -1 : size);
}

static bool
add_record(struct batch_builder *builder, const struct record *record,
    int64_t offset_delta)
{
	struct buffer *out = &builder->records;
	struct slice rest = record->headers;
	int64_t headers = headers_size(record);
	struct record_header header;
	int64_t delta;

	if (headers < 0)
		return (false);
	if (builder->count == 0 && !builder->base_fixed)
		builder->base_timestamp_ms = record->timestamp_ms;
	if (record->timestamp_ms > builder->max_timestamp_ms)
		builder->max_timestamp_ms = record->timestamp_ms;
	delta = builder_delta(builder, record->timestamp_ms);
	record_write_varlong(out,
	    (int64_t)(1 + varint_size(delta) + varint_size(offset_delta) +
		bytes_size(record->key) + bytes_size(record->value) +
		varint_size(record->header_count)) + headers);
	*buffer_extend(out, 1) = 0;
	record_write_varlong(out, delta);
	record_write_varlong(out, offset_delta);
	bytes_write(out, record->key);
	bytes_write(out, record->value);
	record_write_varlong(out, record->header_count);
	while (record_header_next(&rest, &header) > 0) {
		bytes_write(out, header.key);
		bytes_write(out, header.value);
	}
	builder->count++;
	return (true);
}

bool
batch_builder_add_record(struct batch_builder *builder,
    const struct record *record)
{
	return (add_record(builder, record, builder->count));
}

bool
batch_builder_keep_record(struct batch_builder *builder,
    const struct record *record)
{
	return (add_record(builder, record,
	    record->offset - builder->base_offset));
}

enum error
batch_builder_finish(struct batch_builder *builder, struct buffer *out)
{
	size_t start = out->length;
	enum error error;
	uint8_t *at;
	size_t size;

	memset(buffer_extend(out, BATCH_HEADER_SIZE), 0, BATCH_HEADER_SIZE);
	error = codec_compress(builder->codec, builder->codec_level,
	    buffer_slice(&builder->records), out);
	if (error == ERR_NONE && out->length - start > INT32_MAX)
		error = ERR_MESSAGE_TOO_LARGE;
	if (error != ERR_NONE) {
		out->length = start;
		return (error);
	}
	at = out->data + start;
	size = out->length - start;
	bytes_put_i64(at, builder->base_offset);
	bytes_put_i32(at + 8, (int32_t)(size - BATCH_LOG_OVERHEAD));
	bytes_put_i32(at + 12, builder->leader_epoch);
	at[16] = 2;
	bytes_put_i16(at + 21,
	    (int16_t)(builder->attributes | (int16_t)builder->codec));
	bytes_put_i32(at + 23, builder->last_offset_delta >= 0 ?
	    builder->last_offset_delta : builder->count - 1);
	bytes_put_i64(at + 27, builder->base_timestamp_ms);
	bytes_put_i64(at + 35, builder->max_timestamp_ms);
	bytes_put_i64(at + 43, builder->producer_id);
	bytes_put_i16(at + 51, builder->producer_epoch);
	bytes_put_i32(at + 53, builder->base_sequence);
	bytes_put_i32(at + 57, builder->count);
	bytes_put_u32(at + 17, crc32c(0, at + 21, size - 21));
	builder->base_offset += builder->count;
	builder->count = 0;
	builder->records.length = 0;
	builder->base_timestamp_ms = builder->max_timestamp_ms = -1;
	return (ERR_NONE);
}

void
batch_builder_fini(struct batch_builder *builder)
{
	buffer_fini(&builder->records);
}

/* Foreign times, which nobody has checked where the log's own count: the
 * difference wraps, and a reader's sum wraps back. */
static int64_t
builder_delta(const struct batch_builder *builder, int64_t timestamp_ms)
{
	return ((int64_t)((uint64_t)timestamp_ms -
	    (uint64_t)builder->base_timestamp_ms));
}

static size_t
varint_size(int64_t value)
{
	uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	size_t size = 1;

	for (; zigzag >= 0x80; zigzag >>= 7)
		size++;
	return (size);
}

static size_t
bytes_size(struct slice bytes)
{
	if (bytes.data == NULL)
		return (varint_size(-1));
	return (varint_size((int64_t)bytes.length) + bytes.length);
}

static void
bytes_write(struct buffer *out, struct slice bytes)
{
	record_write_varlong(out,
	    bytes.data == NULL ? -1 : (int64_t)bytes.length);
	buffer_append_slice(out, bytes);
}
