/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/crc32c.h"
#include "record/record_int.h"

enum {
	AT_SIZE = 8,
	AT_LEADER_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_OFFSET_DELTA = 23,
	AT_BASE_TIMESTAMP = 27,
	AT_MAX_TIMESTAMP = 35,
	AT_PRODUCER_ID = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_BASE_SEQUENCE = 53,
	AT_RECORD_COUNT = 57
};

static enum batch_walk batch_sizes(struct slice bytes, struct batch *out);
static void batch_decode(const uint8_t *at, struct batch *out);
static void batch_decode_legacy(const uint8_t *at, struct batch *out);

enum batch_walk
batch_next(struct slice *bytes, struct batch *out)
{
	enum batch_walk found;

	if (bytes->length == 0)
		return (BATCH_END);
	found = batch_sizes(*bytes, out);
	if (found != BATCH_OK)
		return (found);
	if ((size_t)out->size > bytes->length) {
		out->bytes = *bytes;
		return (BATCH_PARTIAL);
	}
	out->bytes = slice_of(bytes->data, (size_t)out->size);
	batch_decode(bytes->data, out);
	bytes->data += out->size;
	bytes->length -= (size_t)out->size;
	return (BATCH_OK);
}

enum batch_walk
batch_peek(struct slice head, struct batch *out)
{
	enum batch_walk found;
	size_t needed;

	if (head.length == 0)
		return (BATCH_END);
	found = batch_sizes(head, out);
	if (found != BATCH_OK)
		return (found);
	needed = out->magic == 2 ? BATCH_HEADER_SIZE
	    : out->magic == 1	 ? LEGACY_V1_SIZE
				 : LEGACY_V0_SIZE;
	if (head.length < needed)
		return (BATCH_PARTIAL);
	out->bytes = head;
	batch_decode(head.data, out);
	return (BATCH_OK);
}

/* Size and magic, so far as they make sense. */
static enum batch_walk
batch_sizes(struct slice bytes, struct batch *out)
{
	int32_t declared;
	int32_t least;

	*out = (struct batch){ .bytes = bytes };
	if (bytes.length < BATCH_LOG_OVERHEAD)
		return (BATCH_PARTIAL);
	out->base_offset = bytes_get_i64(bytes.data);
	declared = bytes_get_i32(bytes.data + AT_SIZE);
	if (declared < BATCH_SIZE_LEAST ||
	    declared > INT32_MAX - BATCH_LOG_OVERHEAD)
		return (BATCH_CORRUPT);
	if (bytes.length < BATCH_PEEK_SIZE)
		return (BATCH_PARTIAL);
	out->size = declared + BATCH_LOG_OVERHEAD;
	out->magic = (int8_t)bytes.data[AT_MAGIC];
	switch (out->magic) {
	case 0:
		least = LEGACY_V0_SIZE;
		break;
	case 1:
		least = LEGACY_V1_SIZE;
		break;
	case 2:
		least = BATCH_HEADER_SIZE;
		break;
	default:
		return (BATCH_CORRUPT);
	}
	return (out->size < least ? BATCH_CORRUPT : BATCH_OK);
}

static void
batch_decode(const uint8_t *at, struct batch *out)
{
	if (out->magic < 2) {
		batch_decode_legacy(at, out);
		return;
	}
	out->leader_epoch = bytes_get_i32(at + AT_LEADER_EPOCH);
	out->crc = bytes_get_u32(at + AT_CRC);
	out->attributes = bytes_get_i16(at + AT_ATTRIBUTES);
	out->last_offset_delta = bytes_get_i32(at + AT_LAST_OFFSET_DELTA);
	/* Foreign numbers: the sum may wrap, and must not be undefined. */
	out->last_offset = (int64_t)((uint64_t)out->base_offset +
	    (uint64_t)(int64_t)out->last_offset_delta);
	out->base_timestamp_ms = bytes_get_i64(at + AT_BASE_TIMESTAMP);
	out->max_timestamp_ms = bytes_get_i64(at + AT_MAX_TIMESTAMP);
	out->producer_id = bytes_get_i64(at + AT_PRODUCER_ID);
	out->producer_epoch = bytes_get_i16(at + AT_PRODUCER_EPOCH);
	out->base_sequence = bytes_get_i32(at + AT_BASE_SEQUENCE);
	out->record_count = bytes_get_i32(at + AT_RECORD_COUNT);
}

static void
batch_decode_legacy(const uint8_t *at, struct batch *out)
{
	out->crc = bytes_get_u32(at + LEGACY_CRC);
	out->attributes = at[LEGACY_ATTRIBUTES] & (BATCH_ATTR_CODEC |
	    (out->magic == 1 ? BATCH_ATTR_LOG_APPEND_TIME : 0));
	out->last_offset = out->base_offset;
	out->leader_epoch = -1;
	out->last_offset_delta = -1;
	out->base_timestamp_ms = out->magic == 1
	    ? bytes_get_i64(at + LEGACY_TIMESTAMP)
	    : -1;
	out->max_timestamp_ms = out->base_timestamp_ms;
	out->producer_id = -1;
	out->producer_epoch = -1;
	out->base_sequence = -1;
	out->record_count = -1;
}

int32_t
batch_sequence_after(int32_t sequence, int32_t count)
{
	int64_t sum = (int64_t)sequence + count;

	return ((int32_t)(sum > INT32_MAX ? sum - INT32_MAX - 1 : sum));
}

int32_t
batch_last_sequence(const struct batch *batch)
{
	if (batch->base_sequence < 0)
		return (-1);
	return (batch_sequence_after(batch->base_sequence,
	    batch->last_offset_delta));
}

bool
batch_crc_good(const struct batch *batch)
{
	const uint8_t *at = batch->bytes.data;
	size_t size = batch->bytes.length;

	if (size != (size_t)batch->size)
		return (false);
	if (batch->magic < 2)
		return (crc32_gzip_of(0, at + LEGACY_MAGIC,
			    size - LEGACY_MAGIC) == batch->crc);
	return (crc32c(0, at + AT_ATTRIBUTES, size - AT_ATTRIBUTES) ==
	    batch->crc);
}

void
batch_set_base_offset(uint8_t *batch, int64_t base_offset)
{
	bytes_put_i64(batch, base_offset);
}

void
batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch)
{
	CHECK(batch[AT_MAGIC] == 2);
	bytes_put_i32(batch + AT_LEADER_EPOCH, leader_epoch);
}

void
batch_set_max_timestamp(uint8_t *batch, bool log_append_time,
    int64_t max_timestamp_ms)
{
	size_t size = (size_t)bytes_get_i32(batch + AT_SIZE) +
	    BATCH_LOG_OVERHEAD;
	uint16_t attributes = bytes_get_u16(batch + AT_ATTRIBUTES);

	CHECK(batch[AT_MAGIC] == 2 && size >= BATCH_HEADER_SIZE);
	/* Bits without a meaning go, as Kafka's rewriting drops them. */
	attributes &= BATCH_ATTR_CODEC | BATCH_ATTR_TRANSACTIONAL |
	    BATCH_ATTR_CONTROL | BATCH_ATTR_DELETE_HORIZON;
	if (log_append_time)
		attributes |= BATCH_ATTR_LOG_APPEND_TIME;
	bytes_put_u16(batch + AT_ATTRIBUTES, attributes);
	bytes_put_i64(batch + AT_MAX_TIMESTAMP, max_timestamp_ms);
	bytes_put_u32(batch + AT_CRC,
	    crc32c(0, batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
}
