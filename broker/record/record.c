/* SPDX-License-Identifier: Apache-2.0 */
/* Records of magic 2: varints, the parser, and the reader over any magic. */
#include "base/check.h"
#include "base/mem.h"
#include "record/plain_int.h"

#define VARINT_SIZE_MAX 5
#define VARLONG_SIZE_MAX 10

/* Records of one batch. Of magic 0 and 1 `rest` holds messages not yet read. */
struct record_reader {
	struct record_base base;
	struct record_source source;
	struct buffer plain;
	int32_t left;         /* records not yet read, of magic 2 */
	struct slice rest;
	struct slice all;     /* the records */
	int32_t count;
	int64_t offset_shift; /* from inner offsets to the log's, magic 1 */
	int8_t magic;
	bool wrapped;
};

static bool source_fill(struct record_source *source);
static bool take_varint(struct record_source *source, int64_t *budget,
    size_t size_max, int64_t *out);
static bool take_bytes(struct record_source *source, int64_t *budget,
    int64_t size, struct slice *out);
static bool take_headers(struct record_source *source, int64_t *budget,
    struct record *out);
static enum error reader_open_legacy(struct record_reader *reader,
    const struct batch *batch);
static int reader_next_legacy(struct record_reader *reader,
    struct record *out);

/* --- varints -------------------------------------------------------------- */

/* Zigzag, base 128; as Java, bits beyond the type are dropped. */
static bool
varint_read(const uint8_t **at, const uint8_t *end, size_t size_max,
    int64_t *out)
{
	uint64_t value = 0;
	const uint8_t *p = *at;

	for (size_t i = 0; i < size_max && p < end; i++) {
		uint8_t byte = *p++;

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) != 0)
			continue;
		if (size_max == VARINT_SIZE_MAX)
			value &= UINT32_MAX;
		*out = (int64_t)(value >> 1 ^ (0 - (value & 1)));
		*at = p;
		return (true);
	}
	return (false);
}

bool
record_read_varint(struct slice *bytes, int32_t *out)
{
	const uint8_t *at = bytes->data;
	const uint8_t *end = bytes->data + bytes->length;
	int64_t value;

	if (!varint_read(&at, end, VARINT_SIZE_MAX, &value))
		return (false);
	*out = (int32_t)value;
	*bytes = slice_of(at, (size_t)(end - at));
	return (true);
}

bool
record_read_varlong(struct slice *bytes, int64_t *out)
{
	const uint8_t *at = bytes->data;
	const uint8_t *end = bytes->data + bytes->length;

	if (!varint_read(&at, end, VARLONG_SIZE_MAX, out))
		return (false);
	*bytes = slice_of(at, (size_t)(end - at));
	return (true);
}

void
record_write_varlong(struct buffer *out, int64_t value)
{
	uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	uint8_t *to = buffer_reserve(out, VARLONG_SIZE_MAX);
	size_t size = 0;

	for (; zigzag >= 0x80; zigzag >>= 7)
		to[size++] = (uint8_t)(zigzag | 0x80);
	to[size++] = (uint8_t)zigzag;
	out->length += size;
}

/* --- the parser ----------------------------------------------------------- */

void
record_base_of(const struct batch *batch, struct record_base *out)
{
	*out = (struct record_base){
		.base_offset = batch->base_offset,
		.base_timestamp_ms = batch->base_timestamp_ms,
		.append_time_ms = batch->max_timestamp_ms,
		.log_append_time =
		    (batch->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0,
	};
}

/*
 * A cursor over a record that is at hand whole, which nearly all are: NULL once
 * something was wrong, so that its users ask only at the end.
 */
static inline const uint8_t *
whole_varint(const uint8_t *at, const uint8_t *end, size_t size_max,
    int64_t *out)
{
	*out = 0;
	if (at == NULL || at == end)
		return (NULL);
	if (*at < 0x80) {
		*out = (int64_t)(*at >> 1) ^ -(int64_t)(*at & 1);
		return (at + 1);
	}
	if (end - at > 1 && at[1] < 0x80) {
		const unsigned value = (at[0] & 0x7fU) | (unsigned)at[1] << 7;

		*out = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
		return (at + 2);
	}
	return (varint_read(&at, end, size_max, out) ? at : NULL);
}

static inline const uint8_t *
whole_bytes(const uint8_t *at, const uint8_t *end, struct slice *out)
{
	int64_t size;

	at = whole_varint(at, end, VARINT_SIZE_MAX, &size);
	*out = SLICE_NULL;
	if (at == NULL || size < 0)
		return (at);
	if (size > end - at)
		return (NULL);
	*out = slice_of(at, (size_t)size);
	return (at + size);
}

static const uint8_t *
whole_headers(const uint8_t *at, const uint8_t *end, struct record *out)
{
	struct slice key, value;
	const uint8_t *start;
	int64_t count;

	at = whole_varint(at, end, VARINT_SIZE_MAX, &count);
	if (at == NULL || count < 0 || count > end - at)
		return (NULL);
	start = at;
	for (int64_t i = 0; i < count && at != NULL; i++) {
		at = whole_bytes(at, end, &key);
		if (key.data == NULL)
			return (NULL);
		at = whole_bytes(at, end, &value);
	}
	out->header_count = (int32_t)count;
	out->headers = slice_of(start, at == NULL ? 0 : (size_t)(at - start));
	return (at);
}

static bool
record_parse_whole(const uint8_t *at, const uint8_t *end,
    const struct record_base *base, struct record *out)
{
	int64_t timestamp_delta, offset_delta;

	if (at == end)
		return (false);
	at++; /* attributes, of which none is used */
	at = whole_varint(at, end, VARLONG_SIZE_MAX, &timestamp_delta);
	at = whole_varint(at, end, VARINT_SIZE_MAX, &offset_delta);
	at = whole_bytes(at, end, &out->key);
	at = whole_bytes(at, end, &out->value);
	at = whole_headers(at, end, out);
	record_place(base, timestamp_delta, offset_delta, out);
	return (at == end);
}

/* The record's length, which is what its fields may spend. */
static inline bool
take_size(struct record_source *source, int64_t *budget, struct record *out)
{
	const uint8_t *start = source->at;
	int64_t left = VARINT_SIZE_MAX;

	if (source->end - start >= VARINT_SIZE_MAX) {
		source->at = whole_varint(start, source->end, VARINT_SIZE_MAX,
		    budget);
		if (source->at == NULL) {
			source->at = start;
			return (false);
		}
		left -= source->at - start;
	} else if (!take_varint(source, &left, VARINT_SIZE_MAX, budget)) {
		return (false);
	}
	out->size = (int32_t)(*budget + VARINT_SIZE_MAX - left);
	return (*budget >= 0 && *budget <= INT32_MAX - VARINT_SIZE_MAX);
}

bool
record_parse(struct record_source *source, const struct record_base *base,
    struct record *out)
{
	int64_t budget;
	int64_t timestamp_delta, offset_delta, value;
	struct slice attributes;

	if (!take_size(source, &budget, out))
		return (false);
	if (budget <= source->end - source->at) {
		const uint8_t *start = source->at;

		source->at += budget;
		if (!record_parse_whole(start, source->at, base, out))
			return (false);
		if (source->stream != NULL)
			out->headers = SLICE_NULL;
		return (true);
	}
	if (source->stream == NULL)
		return (false);
	if (!take_bytes(source, &budget, 1, &attributes) ||
	    !take_varint(source, &budget, VARLONG_SIZE_MAX, &timestamp_delta) ||
	    !take_varint(source, &budget, VARINT_SIZE_MAX, &offset_delta))
		return (false);
	record_place(base, timestamp_delta, offset_delta, out);
	if (!take_varint(source, &budget, VARINT_SIZE_MAX, &value) ||
	    !take_bytes(source, &budget, value, &out->key) ||
	    !take_varint(source, &budget, VARINT_SIZE_MAX, &value) ||
	    !take_bytes(source, &budget, value, &out->value) ||
	    !take_headers(source, &budget, out))
		return (false);
	return (budget == 0);
}

bool
record_source_at_end(struct record_source *source)
{
	return (source->at == source->end && !source_fill(source) &&
	    !source->broken && !source->too_large);
}

/* Moves what is at hand to the front and brings more. False: nothing came. */
static bool
source_fill(struct record_source *source)
{
	size_t kept = (size_t)(source->end - source->at);
	ssize_t part;

	if (source->stream == NULL || source->broken || source->too_large)
		return (false);
	memmove(source->window, source->at, kept);
	source->at = source->window;
	part = codec_stream_read(source->stream, source->window + kept,
	    RECORD_WINDOW_SIZE - kept);
	source->end = source->window + kept + (part > 0 ? part : 0);
	if (part < 0)
		source->broken = true;
	else if ((size_t)part > source->limit_bytes)
		source->too_large = true;
	else
		source->limit_bytes -= (size_t)part;
	return (part > 0 && !source->too_large);
}

/* `budget` is what is left of the record. */
static bool
take_varint(struct record_source *source, int64_t *budget, size_t size_max,
    int64_t *out)
{
	const uint8_t *before;

	while ((size_t)(source->end - source->at) < size_max &&
	    source_fill(source))
		continue;
	before = source->at;
	if (!varint_read(&source->at, source->end, size_max, out))
		return (false);
	*budget -= source->at - before;
	return (*budget >= 0);
}

/* A negative size is null, as Java reads it. */
static bool
take_bytes(struct record_source *source, int64_t *budget, int64_t size,
    struct slice *out)
{
	*out = size < 0 ? SLICE_NULL : slice_of(source->at, (size_t)size);
	if (size <= 0)
		return (true);
	if (size > *budget)
		return (false);
	*budget -= size;
	while (size > source->end - source->at) {
		size -= source->end - source->at;
		source->at = source->end;
		if (!source_fill(source))
			return (false);
	}
	source->at += size;
	return (true);
}

static bool
take_headers(struct record_source *source, int64_t *budget, struct record *out)
{
	const uint8_t *start;
	struct slice ignored;
	int64_t value;

	if (!take_varint(source, budget, VARINT_SIZE_MAX, &value) ||
	    value < 0 || value > *budget)
		return (false);
	out->header_count = (int32_t)value;
	start = source->at;
	for (int32_t i = 0; i < out->header_count; i++) {
		if (!take_varint(source, budget, VARINT_SIZE_MAX, &value) ||
		    value < 0 ||
		    !take_bytes(source, budget, value, &ignored) ||
		    !take_varint(source, budget, VARINT_SIZE_MAX, &value) ||
		    !take_bytes(source, budget, value, &ignored))
			return (false);
	}
	out->headers = source->stream == NULL
	    ? slice_of(start, (size_t)(source->at - start))
	    : SLICE_NULL;
	return (true);
}

int
record_header_next(struct slice *headers, struct record_header *out)
{
	struct record_source source = {
		.at = headers->data,
		.end = headers->data + headers->length,
	};
	int64_t budget = (int64_t)headers->length;
	int64_t value;

	if (budget == 0)
		return (0);
	if (!take_varint(&source, &budget, VARINT_SIZE_MAX, &value) ||
	    value < 0 || !take_bytes(&source, &budget, value, &out->key) ||
	    !take_varint(&source, &budget, VARINT_SIZE_MAX, &value) ||
	    !take_bytes(&source, &budget, value, &out->value))
		return (-1);
	*headers = slice_of(source.at, (size_t)(source.end - source.at));
	return (1);
}

/* --- the reader ----------------------------------------------------------- */

enum error
record_reader_new(const struct batch *batch, size_t limit_bytes,
    struct record_reader **out)
{
	struct record_reader *reader = mem_zalloc(sizeof(*reader));
	enum codec codec = batch_codec(batch);
	enum error error = ERR_NONE;
	struct slice records;

	*out = NULL;
	reader->magic = batch->magic;
	reader->left = batch->record_count;
	record_base_of(batch, &reader->base);
	if (batch->bytes.length != (size_t)batch->size ||
	    (batch->magic == 2 && batch->bytes.length < BATCH_HEADER_SIZE)) {
		error = ERR_CORRUPT_MESSAGE;
		goto out;
	}
	if (batch->magic < 2) {
		struct record wrapper;

		reader->wrapped = codec != CODEC_NONE;
		if (!record_of_message(batch, &wrapper)) {
			error = ERR_CORRUPT_MESSAGE;
			goto out;
		}
		records = reader->wrapped ? wrapper.value : batch->bytes;
	} else
		records = slice_of(batch->bytes.data + BATCH_HEADER_SIZE,
		    batch->bytes.length - BATCH_HEADER_SIZE);
	/* A batch that compaction emptied holds no stream at all. */
	if (codec != CODEC_NONE && records.length != 0) {
		error = codec_decompress(codec, batch->magic, records,
		    limit_bytes, &reader->plain);
		if (error != ERR_NONE)
			goto out;
		records = buffer_slice(&reader->plain);
	}
	reader->all = records;
	reader->count = reader->left;
	record_reader_rewind(reader);
	if (batch->magic < 2)
		error = reader_open_legacy(reader, batch);
out:
	if (error != ERR_NONE)
		record_reader_free(&reader);
	*out = reader;
	return (error);
}

void
record_reader_rewind(struct record_reader *reader)
{
	reader->rest = reader->all;
	reader->left = reader->count;
	reader->source.at = reader->all.data;
	reader->source.end = reader->all.data + reader->all.length;
}

int
record_reader_next(struct record_reader *reader, struct record *out)
{
	if (reader->magic < 2)
		return (reader_next_legacy(reader, out));
	if (reader->left == 0)
		return (record_source_at_end(&reader->source) ? 0 : -1);
	if (reader->left < 0 ||
	    !record_parse(&reader->source, &reader->base, out))
		return (-1);
	reader->left--;
	return (1);
}

void
record_reader_free(struct record_reader **reader)
{
	if (*reader == NULL)
		return;
	buffer_fini(&(*reader)->plain);
	mem_free(*reader);
	*reader = NULL;
}

size_t
record_reader_unpacked(const struct record_reader *reader)
{
	return (reader->plain.capacity);
}

/* Inner offsets of magic 1 are relative; the wrapper has the last one's. */
static enum error
reader_open_legacy(struct record_reader *reader, const struct batch *batch)
{
	struct slice rest = reader->rest;
	struct batch message;
	int64_t last = 0;

	if (!reader->wrapped || batch->magic == 0)
		return (ERR_NONE);
	for (;;) {
		enum batch_walk found = batch_next(&rest, &message);

		/* What is cut short is not there, as when it was let in. */
		if (found == BATCH_END || found == BATCH_PARTIAL)
			break;
		if (found != BATCH_OK || message.magic != batch->magic)
			return (ERR_CORRUPT_MESSAGE);
		last = message.base_offset;
	}
	/* Some releases of librdkafka left the wrapper's offset at 0. */
	if (batch->base_offset == 0)
		return (ERR_NONE);
	if (batch->base_offset < last)
		return (ERR_CORRUPT_MESSAGE);
	reader->offset_shift = (int64_t)((uint64_t)batch->base_offset -
	    (uint64_t)last);
	return (ERR_NONE);
}

static int
reader_next_legacy(struct record_reader *reader, struct record *out)
{
	struct batch message;
	enum batch_walk found = batch_next(&reader->rest, &message);

	if (found == BATCH_END || (found == BATCH_PARTIAL && reader->wrapped))
		return (0);
	if (found != BATCH_OK || message.magic != reader->magic ||
	    batch_codec(&message) != CODEC_NONE ||
	    (reader->wrapped && !batch_crc_good(&message)) ||
	    !record_of_message(&message, out))
		return (-1);
	out->offset = (int64_t)((uint64_t)message.base_offset +
	    (uint64_t)reader->offset_shift);
	if (reader->base.log_append_time)
		out->timestamp_ms = reader->base.append_time_ms;
	return (1);
}

bool
record_of_message(const struct batch *message, struct record *out)
{
	struct slice rest = message->bytes;
	struct slice *const fields[2] = { &out->key, &out->value };
	size_t head = message->magic == 1 ? LEGACY_V1_SIZE - 8
					  : LEGACY_V0_SIZE - 8;

	*out = (struct record){
		.offset = message->base_offset,
		.timestamp_ms = message->base_timestamp_ms,
		.size = message->size,
		.headers = SLICE_NULL,
	};
	if (rest.length < head)
		return (false);
	rest.data += head;
	rest.length -= head;
	for (int i = 0; i < 2; i++) {
		int32_t size;

		if (rest.length < 4)
			return (false);
		size = bytes_get_i32(rest.data);
		rest.data += 4;
		rest.length -= 4;
		*fields[i] = SLICE_NULL;
		if (size < 0)
			continue;
		if ((size_t)size > rest.length)
			return (false);
		*fields[i] = slice_of(rest.data, (size_t)size);
		rest.data += size;
		rest.length -= (size_t)size;
	}
	return (true);
}
