/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compaction leaves of a batch:
 *
 *	all records stay, no horizon is wanted	-> the bytes as they are
 *	some stay, or tombstones are new here	-> a batch made anew
 *	none, but its producer's last		-> its header alone
 *	none, but its leader epoch's first	-> that without its producer
 *	none					-> nothing
 *
 * Offsets, the producer's ids and sequence and the leader epoch stay what they
 * were, and so does the last offset: who counts sequences by it must not see a
 * gap.  Base timestamp is that of the first record that stays, or the delete
 * horizon; times of records are counted from it.
 *
 * Source: MemoryRecords.filterTo of Kafka 3.9, KIP-534.
 */
#include <limits.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "record/record_int.h"

bool
batch_delete_horizon(const struct batch *batch, int64_t *horizon_ms)
{
	*horizon_ms = batch->base_timestamp_ms;
	return (batch->magic == 2 &&
	    (batch->attributes & BATCH_ATTR_DELETE_HORIZON) != 0);
}

enum batch_marker
batch_marker(const struct batch *batch)
{
	enum batch_marker marker = BATCH_MARKER_OTHER;
	struct record_reader *reader;
	struct record record;
	int found;

	if (batch->record_count == 0)
		return (BATCH_MARKER_EMPTY);
	if (record_reader_new(batch, INT32_MAX, &reader) != ERR_NONE)
		return (BATCH_MARKER_OTHER);
	found = record_reader_next(reader, &record);
	if (found == 0)
		marker = BATCH_MARKER_EMPTY;
	else if (found > 0 && record.key.length >= 4 &&
	    bytes_get_i16(record.key.data) >= 0) {
		int16_t type = bytes_get_i16(record.key.data + 2);

		marker = type == 0 ? BATCH_MARKER_ABORT :
		    type == 1 ? BATCH_MARKER_COMMIT : BATCH_MARKER_OTHER;
	}
	record_reader_free(&reader);
	return (marker);
}

static bool
is_marked(const struct buffer *marks, size_t index)
{
	return ((marks->data[index / 8] >> index % 8 & 1) != 0);
}

/* Asks for each record.  *tombstones: one that stays has no value. */
static enum error
filter_mark(struct record_filter *filter, struct record_reader *reader,
    struct record_filtered *result, bool *tombstones)
{
	struct buffer *marks = &filter->marks;
	struct record record;
	int found;

	marks->length = 0;
	*tombstones = false;
	while ((found = record_reader_next(reader, &record)) > 0) {
		size_t index = (size_t)result->read_count++;

		if (index % 8 == 0)
			*buffer_extend(marks, 1) = 0;
		if (!filter->keep(filter->arg, &record))
			continue;
		marks->data[index / 8] |= (uint8_t)(1U << index % 8);
		result->kept_count++;
		*tombstones |= record.value.data == NULL;
	}
	return (found < 0 ? ERR_CORRUPT_MESSAGE : ERR_NONE);
}

static void
filter_put_header(const struct batch *batch, bool of_producer,
    struct buffer *out)
{
	const int16_t kept_bits = of_producer ? BATCH_ATTR_LOG_APPEND_TIME |
	    BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL : 0;
	uint8_t *at = buffer_extend(out, BATCH_HEADER_SIZE);

	memcpy(at, batch->bytes.data, BATCH_HEADER_SIZE);
	bytes_put_i32(at + 8, BATCH_HEADER_SIZE - BATCH_LOG_OVERHEAD);
	bytes_put_i16(at + 21, batch->attributes & kept_bits);
	bytes_put_i64(at + 27, -1);
	if (!of_producer) {
		bytes_put_i64(at + 35, -1); /* no record has its time */
		bytes_put_i64(at + 43, -1);
		bytes_put_i16(at + 51, -1);
		bytes_put_i32(at + 53, -1);
	}
	bytes_put_i32(at + 57, 0);
	bytes_put_u32(at + 17, crc32c(0, at + 21, BATCH_HEADER_SIZE - 21));
}

static enum error
filter_rebuild(const struct record_filter *filter, const struct batch *batch,
    struct record_reader *reader, bool sets_horizon, struct buffer *out)
{
	const int16_t kept_bits = BATCH_ATTR_LOG_APPEND_TIME |
	    BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL |
	    BATCH_ATTR_DELETE_HORIZON;
	struct batch_builder builder;
	struct record record;
	enum error error = ERR_NONE;

	batch_builder_init(&builder, batch->base_offset, batch_codec(batch));
	builder.attributes = batch->attributes & kept_bits;
	builder.producer_id = batch->producer_id;
	builder.producer_epoch = batch->producer_epoch;
	builder.base_sequence = batch->base_sequence;
	builder.leader_epoch = batch->leader_epoch;
	builder.last_offset_delta = batch->last_offset_delta;
	if (sets_horizon)
		builder.attributes |= BATCH_ATTR_DELETE_HORIZON;
	builder.base_fixed =
	    (builder.attributes & BATCH_ATTR_DELETE_HORIZON) != 0;
	if (builder.base_fixed)
		builder.base_timestamp_ms = sets_horizon ?
		    filter->delete_horizon_ms : batch->base_timestamp_ms;
	record_reader_rewind(reader);
	for (size_t i = 0; error == ERR_NONE &&
	     record_reader_next(reader, &record) > 0; i++)
		if (is_marked(&filter->marks, i) &&
		    !batch_builder_keep_record(&builder, &record))
			error = ERR_CORRUPT_MESSAGE;
	if ((batch->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0)
		builder.max_timestamp_ms = batch->max_timestamp_ms;
	if (error == ERR_NONE)
		error = batch_builder_finish(&builder, out);
	batch_builder_fini(&builder);
	return (error);
}

static enum error
filter_write(const struct record_filter *filter, const struct batch *batch,
    struct record_reader *reader, const struct record_filtered *result,
    bool tombstones, struct buffer *out)
{
	int64_t horizon_ms;
	bool sets_horizon = batch->magic == 2 &&
	    (tombstones || filter->marker_is_last) &&
	    !batch_delete_horizon(batch, &horizon_ms);

	if (result->kept_count == 0) {
		bool keeps = filter->keep_empty || filter->keep_place;

		CHECK(!keeps || batch->magic == 2);
		if (keeps)
			filter_put_header(batch, filter->keep_empty, out);
		return (ERR_NONE);
	}
	if (result->kept_count == result->read_count && !sets_horizon) {
		buffer_append_slice(out, batch->bytes);
		return (ERR_NONE);
	}
	if (batch->magic < 2)
		return (record_rewrap(batch, reader, filter->marks.data,
		    filter->limit_bytes, out));
	return (filter_rebuild(filter, batch, reader, sets_horizon, out));
}

enum error
record_filter_batch(struct record_filter *filter, const struct batch *batch,
    struct buffer *out, struct record_filtered *result)
{
	size_t start = out->length;
	struct record_reader *reader;
	struct slice made;
	struct batch left;
	bool tombstones;
	enum error error;

	*result = (struct record_filtered){ .max_timestamp_ms = -1 };
	error = record_reader_new(batch, filter->limit_bytes, &reader);
	if (error != ERR_NONE)
		return (error);
	error = filter_mark(filter, reader, result, &tombstones);
	if (error == ERR_NONE)
		error = filter_write(filter, batch, reader, result, tombstones,
		    out);
	record_reader_free(&reader);
	if (error != ERR_NONE) {
		out->length = start;
		return (error);
	}
	result->size = out->length - start;
	if (result->size == 0)
		return (ERR_NONE);
	made = slice_of(out->data + start, result->size);
	CHECK(batch_next(&made, &left) == BATCH_OK);
	result->max_timestamp_ms = left.max_timestamp_ms;
	return (ERR_NONE);
}
