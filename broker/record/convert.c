/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message sets of magic 0 and 1, as Produce up to version 2 may bring them,
 * become one batch of magic 2: that alone is stored, as Kafka 3.9 does.
 *
 *	plain		message message message ...
 *	compressed	wrapper, whose value is: message message ...
 *
 *	survey	every message as it lies: size, CRC, magic, codec
 *	unwrap	a compressed set, which must be one wrapper, is inflated
 *	check	every record: magic, inner CRC, key, time
 *	build	the batch, in the topic's codec, or that of the set
 *
 * The first fault in this order names the error.  Some are Java exceptions that
 * Kafka has no code for; its UNKNOWN_SERVER_ERROR is kept, since clients stop
 * at it where they would try again after CORRUPT_MESSAGE.
 */
#include "base/check.h"
#include "record/record_int.h"

#define INNER_SIZE_LEAST 14 /* declared; key and value of magic 0 */

struct conversion {
	const struct record_rules *rules;
	struct batch first;    /* the wrapper, when there is one */
	enum codec codec;      /* in which they came */
	enum codec target;     /* in which they are stored */
	int32_t count;         /* of outer messages, then of inner ones */
	struct slice messages; /* what is to be converted */
	struct buffer plain;   /* where they lie, when inflated */
	enum record_flaw flaw; /* with an error */
};

static enum error convert_survey(struct conversion *c, struct slice bytes);
static enum error convert_unwrap(struct conversion *c);
static enum error convert_check_plain(struct conversion *c);
static enum error convert_check_inner(struct conversion *c);
static enum error convert_build(struct conversion *c, struct buffer *out,
    struct record_verdict *verdict);

void
record_convert(const struct record_rules *rules, struct slice bytes,
    struct buffer *out, struct record_verdict *verdict)
{
	struct conversion c = { .rules = rules };

	*verdict = (struct record_verdict){ .max_timestamp_ms = -1 };
	verdict->error = convert_survey(&c, bytes);
	c.target = rules->codec_fixed ? rules->codec : c.codec;
	if (verdict->error == ERR_NONE)
		verdict->error = c.codec == CODEC_NONE
		    ? convert_check_plain(&c)
		    : convert_unwrap(&c);
	if (verdict->error == ERR_NONE && c.codec != CODEC_NONE)
		verdict->error = convert_check_inner(&c);
	if (verdict->error == ERR_NONE)
		verdict->error = convert_build(&c, out, verdict);
	verdict->flaw = c.flaw;
	buffer_fini(&c.plain);
}

/* What is cut short behind the last whole message is not there. */
static enum error
convert_survey(struct conversion *c, struct slice bytes)
{
	struct slice rest = bytes;
	struct batch message;
	enum batch_walk found;

	while ((found = batch_next(&rest, &message)) == BATCH_OK) {
		if (message.magic == 2 && message.base_offset != 0)
			return (ERR_INVALID_RECORD);
		if (message.size > c->rules->max_message_bytes)
			return (ERR_MESSAGE_TOO_LARGE);
		if (!batch_crc_good(&message)) {
			c->flaw = RECORD_FLAW_CRC;
			return (ERR_CORRUPT_MESSAGE);
		}
		if (batch_codec(&message) >= CODEC_COUNT)
			return (ERR_UNKNOWN_SERVER_ERROR);
		if (batch_codec(&message) != CODEC_NONE)
			c->codec = batch_codec(&message);
		if (c->count++ == 0)
			c->first = message;
	}
	if (found == BATCH_CORRUPT)
		return (ERR_CORRUPT_MESSAGE);
	c->messages = slice_of(bytes.data, bytes.length - rest.length);
	CHECK(c->count > 0 && c->first.magic < 2);
	return (ERR_NONE);
}

/* --- compressed sets ------------------------------------------------------ */

/*
 * The next message inside of a wrapper: 1; 0: the end, also one that is cut
 * short; -1: no message is so small.  Less is asked than of outer ones: its
 * magic may be any, and of magic 1 the fields need not all be there.
 */
static int
inner_next(struct slice *rest, struct batch *out)
{
	int32_t declared;
	size_t size;

	if (rest->length < BATCH_LOG_OVERHEAD)
		return (0);
	declared = bytes_get_i32(rest->data + 8);
	if (declared < INNER_SIZE_LEAST)
		return (-1);
	if ((size_t)declared > rest->length - BATCH_LOG_OVERHEAD)
		return (0);
	size = (size_t)declared + BATCH_LOG_OVERHEAD;
	*out = (struct batch){
		.bytes = slice_of(rest->data, size),
		.size = (int32_t)size,
		.base_offset = bytes_get_i64(rest->data),
		.crc = bytes_get_u32(rest->data + LEGACY_CRC),
		.magic = (int8_t)rest->data[LEGACY_MAGIC],
		.attributes = rest->data[LEGACY_ATTRIBUTES],
	};
	/* With magic 0 these are the key's size and the key. */
	out->base_timestamp_ms = out->magic == 0
	    ? -1
	    : bytes_get_i64(rest->data + LEGACY_TIMESTAMP);
	rest->data += size;
	rest->length -= size;
	return (1);
}

static enum error
convert_unwrap(struct conversion *c)
{
	const struct batch *wrapper = &c->first;
	int64_t last = -1;
	struct record record;
	struct batch message;
	struct slice rest;
	enum error error;
	int found;

	if (c->count > 1 || c->codec == CODEC_ZSTD)
		return (ERR_INVALID_RECORD);
	if (!record_of_message(wrapper, &record))
		return (ERR_UNKNOWN_SERVER_ERROR);
	if (record.value.data == NULL)
		return (ERR_INVALID_RECORD);
	error = codec_decompress(c->codec, wrapper->magic, record.value,
	    c->rules->decompressed_limit_bytes, &c->plain);
	if (error != ERR_NONE)
		return (error == ERR_MESSAGE_TOO_LARGE
			? error
			: ERR_UNKNOWN_SERVER_ERROR);
	rest = c->messages = buffer_slice(&c->plain);
	c->count = 0;
	while ((found = inner_next(&rest, &message)) > 0) {
		last = message.base_offset;
		c->count++;
	}
	if (found < 0)
		return (ERR_CORRUPT_MESSAGE);
	if (c->count == 0)
		return (ERR_INVALID_RECORD);
	/* Some releases of librdkafka left the wrapper's at 0. */
	if (wrapper->magic == 1 && wrapper->base_offset != 0 &&
	    wrapper->base_offset < last)
		return (ERR_INVALID_RECORD);
	return (ERR_NONE);
}

/* --- records -------------------------------------------------------------- */

/* A wrapper's append time is that of all in it. */
static int64_t
message_timestamp(const struct conversion *c, const struct batch *message)
{
	bool append_time = c->codec != CODEC_NONE && message->magic == 1 &&
	    (c->first.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0;

	return (append_time ? c->first.base_timestamp_ms
			    : message->base_timestamp_ms);
}

/* `claims`: the producer calls it an append time. */
static bool
timestamp_good(const struct record_rules *rules, int64_t timestamp_ms,
    bool claims)
{
	if (rules->log_append_time || timestamp_ms == -1)
		return (!claims);
	return (record_timestamp_in_range(rules, timestamp_ms));
}

static bool
message_has_key(const struct batch *message)
{
	size_t at = message->magic == 0 ? LEGACY_V0_SIZE - 8
					: LEGACY_V1_SIZE - 8;

	return (message->bytes.length >= at + 4 &&
	    bytes_get_i32(message->bytes.data + at) >= 0);
}

/* Plain messages that stay plain are measured first and written as they are
 * checked; those to be compressed are read last. */
static enum error
convert_check_plain(struct conversion *c)
{
	bool stay = c->target == CODEC_NONE;
	struct slice rest = c->messages;
	struct batch message;
	struct record record;

	while (stay && batch_next(&rest, &message) == BATCH_OK)
		if (message.magic < 2 && !record_of_message(&message, &record))
			return (ERR_UNKNOWN_SERVER_ERROR);
	rest = c->messages;
	while (batch_next(&rest, &message) == BATCH_OK) {
		if (message.magic != c->first.magic) {
			c->flaw = RECORD_FLAW_MAGIC;
			return (ERR_INVALID_RECORD);
		}
		if (c->rules->compacted && !message_has_key(&message)) {
			c->flaw = RECORD_FLAW_NO_KEY;
			return (ERR_INVALID_RECORD);
		}
		if (!timestamp_good(c->rules, message.base_timestamp_ms,
			(message.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0))
			return (ERR_INVALID_TIMESTAMP);
		if (stay && message.base_timestamp_ms < -1)
			return (ERR_UNKNOWN_SERVER_ERROR);
	}
	return (ERR_NONE);
}

/* All of them: a bad time anywhere goes before what else is wrong. */
static enum error
convert_check_inner(struct conversion *c)
{
	bool claims = (c->first.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0;
	struct slice rest = c->messages;
	bool bad_timestamp = false;
	bool bad_record = false;
	struct batch message;

	while (inner_next(&rest, &message) > 0) {
		enum codec codec = batch_codec(&message);

		if (codec != CODEC_NONE)
			return (codec < CODEC_COUNT ? ERR_INVALID_RECORD
						    : ERR_UNKNOWN_SERVER_ERROR);
		if (message.magic != c->first.magic) {
			c->flaw = RECORD_FLAW_MAGIC;
			bad_record = true;
			continue;
		}
		if (!batch_crc_good(&message)) {
			c->flaw = RECORD_FLAW_CRC;
			return (ERR_CORRUPT_MESSAGE);
		}
		if (c->rules->compacted && !message_has_key(&message)) {
			c->flaw = RECORD_FLAW_NO_KEY;
			bad_record = true;
		} else if (!timestamp_good(c->rules,
			       message_timestamp(c, &message), claims)) {
			bad_timestamp = true;
		}
	}
	if (bad_timestamp)
		return (ERR_INVALID_TIMESTAMP);
	return (bad_record ? ERR_INVALID_RECORD : ERR_NONE);
}

/* --- the batch ------------------------------------------------------------ */

/* The fields of all messages are added. A plain batch that has become too large
 * is not made any larger. */
static enum error
convert_add_all(struct conversion *c, struct batch_builder *builder)
{
	size_t most = (size_t)c->rules->max_message_bytes;
	struct slice rest = c->messages;
	struct batch message;
	struct record record;

	while (inner_next(&rest, &message) > 0) {
		int64_t timestamp_ms = message_timestamp(c, &message);

		if (!record_of_message(&message, &record) || timestamp_ms < -1)
			return (ERR_UNKNOWN_SERVER_ERROR);
		batch_builder_add(builder, timestamp_ms, record.key,
		    record.value, NULL, 0);
		if (c->target == CODEC_NONE && builder->records.length > most)
			return (ERR_MESSAGE_TOO_LARGE);
	}
	return (ERR_NONE);
}

static enum error
convert_build(struct conversion *c, struct buffer *out,
    struct record_verdict *verdict)
{
	const struct record_rules *rules = c->rules;
	struct batch_builder builder;
	struct slice made;
	enum error error;

	batch_builder_init(&builder, 0, c->target);
	if (rules->codec_fixed)
		builder.codec_level = rules->codec_level;
	out->length = 0;
	error = convert_add_all(c, &builder);
	buffer_fini(&c->plain);
	c->plain = BUFFER_EMPTY;
	if (error == ERR_NONE) {
		if (rules->log_append_time) {
			builder.attributes = BATCH_ATTR_LOG_APPEND_TIME;
			builder.max_timestamp_ms = rules->now_ms;
		}
		error = batch_builder_finish(&builder, out);
	}
	batch_builder_fini(&builder);
	if (error != ERR_NONE)
		return (error);
	made = buffer_slice(out);
	CHECK(batch_next(&made, &verdict->batch) == BATCH_OK);
	verdict->max_timestamp_ms = verdict->batch.max_timestamp_ms;
	if (verdict->batch.size > rules->max_message_bytes)
		return (ERR_MESSAGE_TOO_LARGE);
	if (verdict->batch.size > rules->segment_bytes)
		return (ERR_RECORD_LIST_TOO_LARGE);
	return (ERR_NONE);
}
