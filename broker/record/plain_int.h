/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of the common kind, parsed in line.  A batch of small records costs
 * more here than for its checksum, so nothing else of record_parse() is in the
 * way.
 */
#ifndef RECORD_PLAIN_INT_H
#define RECORD_PLAIN_INT_H

#include "record/record_int.h"

/* Of a plain record: up to the key, and the least behind it. */
#define PLAIN_HEAD_MAX 9
#define PLAIN_TAIL_LEAST 2

/* Foreign numbers: sums may wrap, and must not be undefined. */
static inline void
record_place(const struct record_base *base, int64_t timestamp_delta,
    int64_t offset_delta, struct record *out)
{
	out->timestamp_ms = base->log_append_time ? base->append_time_ms :
	    (int64_t)((uint64_t)base->base_timestamp_ms +
		(uint64_t)timestamp_delta);
	out->offset = (int64_t)((uint64_t)base->base_offset +
	    (uint64_t)offset_delta);
}

/* At most two bytes of a varint, before zigzag; false: it is longer. */
static inline bool
short_varint(const uint8_t **at, uint32_t *out)
{
	const uint8_t *p = *at;

	*out = p[0];
	if (p[0] < 0x80) {
		*at = p + 1;
		return (true);
	}
	*out = (p[0] & 0x7fU) | (uint32_t)p[1] << 7;
	*at = p + 2;
	return (p[1] < 0x80);
}

static inline int64_t
short_signed(uint32_t zigzag)
{
	return ((int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1));
}

/* A negative size is null. */
static inline struct slice
short_bytes(const uint8_t *at, uint32_t zigzag)
{
	return ((zigzag & 1) != 0 ? SLICE_NULL : slice_of(at, zigzag >> 1));
}

/*
 * The records that most batches are full of: at hand whole, no field but the
 * value longer than two bytes and its own, no headers.
 *
 *	size attributes timestamp offset key-size key value-size value 0
 *	1-2  1          1-2       1-2    1-2          1-2              1
 *
 * False says only that it is not one of these.
 */
static inline bool
record_parse_plain(struct record_source *source, const struct record_base *base,
    struct record *out)
{
	const uint8_t *at = source->at;
	const uint8_t *end;
	uint32_t size, timestamp, offset, key, value;

	if (source->end - at < PLAIN_HEAD_MAX || !short_varint(&at, &size) ||
	    (size & 1) != 0 || source->end - at < (ptrdiff_t)(size >> 1))
		return (false);
	end = at + (size >> 1);
	at++; /* attributes, of which none is used */
	if (!short_varint(&at, &timestamp) || !short_varint(&at, &offset) ||
	    !short_varint(&at, &key))
		return (false);
	out->key = short_bytes(at, key);
	if (end - at < (ptrdiff_t)out->key.length + PLAIN_TAIL_LEAST)
		return (false);
	at += out->key.length;
	if (!short_varint(&at, &value))
		return (false);
	out->value = short_bytes(at, value);
	if (end - at != (ptrdiff_t)out->value.length + 1 || end[-1] != 0)
		return (false);
	out->size = (int32_t)(end - source->at);
	out->header_count = 0;
	out->headers = source->stream != NULL ? SLICE_NULL : slice_of(end, 0);
	record_place(base, short_signed(timestamp), short_signed(offset), out);
	source->at = end;
	return (true);
}

#endif
