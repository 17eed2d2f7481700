/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a leader checks of a Produce, v3 and up, in the order in which Kafka 3.9
 * would meet it, since the first fault found names the error that a client
 * sees.  doc/records.md lists the order.
 *
 * Records are parsed where they lie; compressed ones out of a stream, through a
 * window of a fixed size.  Nothing is allocated unless a record is at fault.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "record/plain_int.h"

/* KIP-110: of these versions no Produce may carry zstd. Older ones, which were
 * not made for magic 2 at all, are not asked. */
#define ZSTD_REFUSED_FIRST 3
#define ZSTD_REFUSED_LAST 6
#define FAULTS_SHOWN 3

struct check {
	const struct record_rules *rules;
	struct arena *arena;
	struct record_verdict *verdict;
	int32_t fault_capacity;
	bool faulty;
	bool bad_timestamp;
};

static enum error check_request(const struct record_rules *rules,
    const struct record_verdict *verdict);
static enum error check_batch(const struct record_rules *rules,
    struct record_verdict *verdict);
static enum error check_records(struct check *check);
static enum error check_source(struct check *check,
    struct record_source *source);
static enum error check_compressed(struct check *check);
static void check_record(struct check *check, const struct record *record,
    int32_t index);
static void check_fault(struct check *check, int32_t index,
    const char *message);
static const char *record_text(struct check *check,
    const struct record *record);
static enum error check_faults(struct check *check);

struct record_scratch *
record_scratch_new(void)
{
	struct record_scratch *scratch = mem_alloc(sizeof(*scratch));

	scratch->stream = codec_stream_new();
	scratch->window = mem_alloc(RECORD_WINDOW_SIZE);
	return (scratch);
}

void
record_scratch_free(struct record_scratch **scratch)
{
	if (*scratch == NULL)
		return;
	codec_stream_free((*scratch)->stream);
	mem_free((*scratch)->window);
	mem_free(*scratch);
	*scratch = NULL;
}

void
record_validate(const struct record_rules *rules, struct slice bytes,
    struct arena *arena, struct record_verdict *out)
{
	record_begin(bytes, out);
	record_check(rules, arena, out);
}

void
record_begin(struct slice bytes, struct record_verdict *out)
{
	struct batch second;

	*out = (struct record_verdict){ .second = BATCH_END };
	out->first = batch_next(&bytes, &out->batch);
	if (out->first == BATCH_OK)
		out->second = batch_next(&bytes, &second);
}

void
record_check(const struct record_rules *rules, struct arena *arena,
    struct record_verdict *out)
{
	struct check check = { .rules = rules, .arena = arena, .verdict = out };

	out->flaw = RECORD_FLAW_OTHER;
	out->message = NULL;
	out->faults = NULL;
	out->fault_count = 0;
	out->rebuild = false;
	out->max_timestamp_ms = -1;
	out->offset_of_max_timestamp = 0;
	out->error = check_request(rules, out);
	if (out->error == ERR_NONE)
		out->error = check_batch(rules, out);
	if (out->error == ERR_NONE) {
		out->rebuild = rules->codec_fixed &&
		    rules->codec != batch_codec(&out->batch);
		out->error = check_records(&check);
	}
	if (out->rebuild)
		return; /* its size will be another */
	if (out->error == ERR_NONE && out->batch.size > rules->segment_bytes)
		out->error = ERR_RECORD_LIST_TOO_LARGE;
	if (out->error != ERR_NONE || !rules->log_append_time)
		return;
	out->max_timestamp_ms = rules->now_ms;
	out->offset_of_max_timestamp = batch_codec(&out->batch) == CODEC_NONE
	    ? out->batch.last_offset_delta
	    : 0;
}

void
record_stamp(const struct record_rules *rules,
    const struct record_verdict *verdict, uint8_t *bytes, int64_t base_offset,
    int32_t leader_epoch)
{
	const struct batch *batch = &verdict->batch;
	bool has_append_time =
	    (batch->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0;

	CHECK(verdict->error == ERR_NONE);
	batch_set_base_offset(bytes, base_offset);
	batch_set_leader_epoch(bytes, leader_epoch);
	if (has_append_time != rules->log_append_time ||
	    batch->max_timestamp_ms != verdict->max_timestamp_ms)
		batch_set_max_timestamp(bytes, rules->log_append_time,
		    verdict->max_timestamp_ms);
}

/* Exactly one batch, and of magic 2. */
static enum error
check_request(const struct record_rules *rules,
    const struct record_verdict *verdict)
{
	const struct batch *batch = &verdict->batch;

	switch (verdict->first) {
	case BATCH_CORRUPT:
		return (ERR_CORRUPT_MESSAGE);
	case BATCH_END:
	case BATCH_PARTIAL:
		return (ERR_INVALID_RECORD);
	case BATCH_OK:
		break;
	}
	if (batch->magic != 2)
		return (ERR_INVALID_RECORD);
	if (batch_codec(batch) == CODEC_ZSTD &&
	    rules->api_version >= ZSTD_REFUSED_FIRST &&
	    rules->api_version <= ZSTD_REFUSED_LAST)
		return (ERR_UNSUPPORTED_COMPRESSION_TYPE);
	switch (verdict->second) {
	case BATCH_CORRUPT:
		return (ERR_CORRUPT_MESSAGE);
	case BATCH_OK:
		return (ERR_INVALID_RECORD);
	case BATCH_END:
	case BATCH_PARTIAL: /* is not appended */
		break;
	}
	return (ERR_NONE);
}

static enum error
check_flawed(struct record_verdict *verdict, enum record_flaw flaw,
    enum error error)
{
	verdict->flaw = flaw;
	return (error);
}

static enum error
check_batch(const struct record_rules *rules, struct record_verdict *verdict)
{
	const struct batch *batch = &verdict->batch;
	int64_t count = (int64_t)batch->last_offset_delta + 1;

	if (batch->base_offset != 0)
		return (ERR_INVALID_RECORD);
	if (batch->size > rules->max_message_bytes)
		return (ERR_MESSAGE_TOO_LARGE);
	if (!batch_crc_good(batch))
		return (check_flawed(verdict, RECORD_FLAW_CRC,
		    ERR_CORRUPT_MESSAGE));
	/* Kafka names no better error for what its libraries throw. */
	if (batch_codec(batch) >= CODEC_COUNT)
		return (ERR_UNKNOWN_SERVER_ERROR);
	/* Kafka counts what clients may not control among these. */
	if (count <= 0 || batch->record_count <= 0 ||
	    count != batch->record_count ||
	    (batch->attributes & BATCH_ATTR_CONTROL) != 0 ||
	    (batch->producer_id > -1 && batch->base_sequence < 0))
		return (check_flawed(verdict, RECORD_FLAW_OFFSET,
		    ERR_INVALID_RECORD));
	return (ERR_NONE);
}

static enum error
check_records(struct check *check)
{
	const struct batch *batch = &check->verdict->batch;
	struct record_source source = {
		.at = batch->bytes.data + BATCH_HEADER_SIZE,
		.end = batch->bytes.data + batch->bytes.length,
	};

	if (batch_codec(batch) != CODEC_NONE)
		return (check_compressed(check));
	return (check_source(check, &source));
}

static enum error
check_compressed(struct check *check)
{
	const struct batch *batch = &check->verdict->batch;
	struct record_scratch *own = NULL;
	struct record_scratch *scratch = check->rules->scratch;
	struct record_source source;
	enum error error = ERR_UNKNOWN_SERVER_ERROR;

	if (scratch == NULL)
		scratch = own = record_scratch_new();
	source = (struct record_source){
		.at = scratch->window,
		.end = scratch->window,
		.window = scratch->window,
		.stream = scratch->stream,
		.limit_bytes = check->rules->decompressed_limit_bytes,
	};
	if (codec_stream_begin(scratch->stream, batch_codec(batch),
		batch->magic,
		slice_of(batch->bytes.data + BATCH_HEADER_SIZE,
		    batch->bytes.length - BATCH_HEADER_SIZE)))
		error = check_source(check, &source);
	codec_stream_trim(scratch->stream);
	record_scratch_free(&own);
	return (error);
}

/* Why the records could not be read to their end. */
static enum error
source_error(const struct record_source *source)
{
	if (source->too_large)
		return (ERR_MESSAGE_TOO_LARGE);
	return (source->broken ? ERR_UNKNOWN_SERVER_ERROR
			       : ERR_INVALID_RECORD);
}

/* All records, also behind the first fault: the answer names each. */
static enum error
check_source(struct check *check, struct record_source *source)
{
	struct record_verdict *verdict = check->verdict;
	const struct batch *batch = &verdict->batch;
	bool gap = false;
	struct record_base base;
	struct record record;

	record_base_of(batch, &base);
	for (int32_t i = 0; i < batch->record_count; i++) {
		if (!record_parse_plain(source, &base, &record) &&
		    !record_parse(source, &base, &record))
			return (source_error(source));
		check_record(check, &record, i);
		if (record.timestamp_ms > verdict->max_timestamp_ms) {
			verdict->max_timestamp_ms = record.timestamp_ms;
			verdict->offset_of_max_timestamp = i;
		}
		if (record.offset != i)
			gap = true;
	}
	if (!record_source_at_end(source))
		return (source_error(source));
	if (check->faulty)
		return (check_faults(check));
	/* Kafka means to compress such a batch anew, and fails (3.9.2, seen)
	 * unless it meant to all along; uncompressed it stays. */
	if (gap && source->stream != NULL && !verdict->rebuild)
		return (ERR_UNKNOWN_SERVER_ERROR);
	return (ERR_NONE);
}

/* Differences of foreign times may wrap, as they do in Java. */
static int64_t
difference(int64_t a, int64_t b)
{
	return ((int64_t)((uint64_t)a - (uint64_t)b));
}

bool
record_timestamp_in_range(const struct record_rules *rules,
    int64_t timestamp_ms)
{
	return (difference(rules->now_ms, timestamp_ms) <=
		rules->timestamp_before_max_ms &&
	    difference(timestamp_ms, rules->now_ms) <=
		rules->timestamp_after_max_ms);
}

static void
check_record(struct check *check, const struct record *record, int32_t index)
{
	const struct record_rules *rules = check->rules;

	if (rules->compacted && record->key.data == NULL) {
		check->verdict->flaw = RECORD_FLAW_NO_KEY;
		check_fault(check, index,
		    arena_printf(check->arena,
			"Compacted topic cannot accept message without key in "
			"topic partition %s-%" PRId32,
			rules->topic != NULL ? rules->topic : "?",
			rules->partition));
	} else if (!rules->log_append_time && record->timestamp_ms != -1) {
		if (record_timestamp_in_range(rules, record->timestamp_ms))
			return;
		check->bad_timestamp = true;
		check_fault(check, index,
		    arena_printf(check->arena,
			"Timestamp %" PRId64 " of message with offset %" PRId64
			" is out of range. The timestamp should be within "
			"[%" PRId64 ", %" PRId64 "]",
			record->timestamp_ms, record->offset,
			difference(rules->now_ms,
			    rules->timestamp_before_max_ms),
			(int64_t)((uint64_t)rules->now_ms +
			    (uint64_t)rules->timestamp_after_max_ms)));
	} else if ((check->verdict->batch.attributes &
		       BATCH_ATTR_LOG_APPEND_TIME) != 0) {
		check->bad_timestamp = true;
		check_fault(check, index, record_text(check, record));
	}
}

static const char *
record_text(struct check *check, const struct record *record)
{
	/* Java's names of its two classes of records are in the message. */
	bool partial = batch_codec(&check->verdict->batch) != CODEC_NONE &&
	    !check->verdict->rebuild;
	int null_size = partial ? -1 : 0;

	return (arena_printf(check->arena,
	    "Invalid timestamp type in message %s(offset=%" PRId64
	    ", timestamp=%" PRId64 ", key=%d bytes, value=%d bytes). Producer "
	    "should not set timestamp type to LogAppendTime.",
	    partial ? "PartialDefaultRecord" : "DefaultRecord", record->offset,
	    record->timestamp_ms,
	    record->key.data == NULL ? null_size : (int)record->key.length,
	    record->value.data == NULL ? null_size
				       : (int)record->value.length));
}

/* When the arena is used up, faults beyond are not named one by one. */
static void
check_fault(struct check *check, int32_t index, const char *message)
{
	struct record_verdict *verdict = check->verdict;

	check->faulty = true;
	if (verdict->fault_count == check->fault_capacity) {
		int32_t capacity = verdict->fault_count == 0
		    ? 8
		    : verdict->fault_count * 2;
		struct record_fault *grown = arena_array(check->arena,
		    (size_t)capacity, sizeof(*grown));

		if (grown == NULL)
			return;
		if (verdict->fault_count > 0)
			memcpy(grown, verdict->faults,
			    (size_t)verdict->fault_count * sizeof(*grown));
		verdict->faults = grown;
		check->fault_capacity = capacity;
	}
	verdict->faults[verdict->fault_count++] = (struct record_fault){
		.batch_index = index,
		.message = message,
	};
}

static enum error
check_faults(struct check *check)
{
	struct record_verdict *verdict = check->verdict;
	struct buffer text = BUFFER_EMPTY;

	if (check->bad_timestamp) {
		verdict->message = "One or more records have been rejected due "
				   "to invalid timestamp";
		return (ERR_INVALID_TIMESTAMP);
	}
	buffer_printf(&text,
	    "One or more records have been rejected due to %" PRId32
	    " record errors in total, and only showing the first three errors "
	    "at most: [",
	    verdict->fault_count);
	for (int32_t i = 0; i < verdict->fault_count && i < FAULTS_SHOWN; i++) {
		const struct record_fault *fault = &verdict->faults[i];
		const char *message = fault->message;

		buffer_printf(&text,
		    "%sRecordError(batchIndex=%" PRId32 ", message=%s%s%s)",
		    i == 0 ? "" : ", ", fault->batch_index,
		    message == NULL ? "" : "'",
		    message == NULL ? "null" : message,
		    message == NULL ? "" : "'");
	}
	buffer_append_text(&text, "]");
	verdict->message = arena_slice_text(check->arena, buffer_slice(&text));
	buffer_fini(&text);
	return (ERR_INVALID_RECORD);
}
