/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: streams of codecs, and the cursor that
 * parses records out of bytes or out of a stream. */
#ifndef RECORD_RECORD_INT_H
#define RECORD_RECORD_INT_H

#include <sys/types.h>

#include "base/bytes.h"
#include "record/record.h"

/* Where the fields of magic 0 and 1 lie; they share 8 (size) and 16 (magic). */
enum {
	LEGACY_CRC = 12,
	LEGACY_MAGIC = 16,
	LEGACY_ATTRIBUTES = 17,
	LEGACY_TIMESTAMP = 18, /* magic 1 only */
	LEGACY_V0_SIZE = 26,   /* least, whole; key length at 18 */
	LEGACY_V1_SIZE = 34    /* least, whole; key length at 26 */
};

/* --- decompression in pieces ---------------------------------------------- */

struct codec_stream;
/* One that can be begun again and again; it keeps its contexts. */
struct codec_stream *codec_stream_new(void);
void codec_stream_free(struct codec_stream *stream);
/* False: no such codec, or no memory. `compressed` is borrowed. */
bool codec_stream_begin(struct codec_stream *stream, enum codec codec,
    int8_t magic, struct slice compressed);
/* Bytes written to `to`; 0 at the end; -1: the stream is broken. */
ssize_t codec_stream_read(struct codec_stream *stream, uint8_t *to,
    size_t size);
/* Gives back what a peer made large: a zstd window may be 128 MiB. */
void codec_stream_trim(struct codec_stream *stream);

/* --- parsing records ------------------------------------------------------ */

#define RECORD_WINDOW_SIZE ((size_t)32 << 10)

/*
 * Bytes at hand, and perhaps a stream to bring more:
 *
 *	window      at          end        window + RECORD_WINDOW_SIZE
 *	|-- parsed --|-- at hand --|-- free room --|
 *
 * Without a stream `at` and `end` simply lie in somebody's bytes.
 */
struct record_source {
	const uint8_t *at;
	const uint8_t *end;
	struct codec_stream *stream; /* NULL: what is at hand is all */
	uint8_t *window;
	size_t limit_bytes; /* more may come out of the stream */
	bool broken;        /* the stream failed */
	bool too_large;     /* the limit was met */
};
/* What all records of a batch share. */
struct record_base {
	int64_t base_offset;
	int64_t base_timestamp_ms;
	int64_t append_time_ms; /* when log_append_time */
	bool log_append_time;
};
/* False: these bytes are no record, or they end inside of it. With a stream the
 * slices in *out only tell null from present. */
bool record_parse(struct record_source *source, const struct record_base *base,
    struct record *out);
/* True when nothing is left, in hand or in the stream. */
bool record_source_at_end(struct record_source *source);
void record_base_of(const struct batch *batch, struct record_base *out);

/* Key and value of a plain message of magic 0 or 1, or of a wrapper. False:
 * they do not lie in it. What lies behind them means nothing, as to Kafka. */
bool record_of_message(const struct batch *message, struct record *out);

/* --- writing -------------------------------------------------------------- */

/* As batch_builder_add(), of what was read. False: headers that are none. */
bool batch_builder_add_record(struct batch_builder *builder,
    const struct record *record);
/* The same, and it keeps its offset. */
bool batch_builder_keep_record(struct batch_builder *builder,
    const struct record *record);
/* From its first record on again. */
void record_reader_rewind(struct record_reader *reader);
/* A wrapper of magic 0 or 1 made anew, of those of its messages that `marks`
 * has a bit for. */
enum error record_rewrap(const struct batch *wrapper,
    struct record_reader *reader, const uint8_t *marks, size_t limit_bytes,
    struct buffer *out);
/* Whole streams as producers of magic 0 made them, whose lz4 header has a wrong
 * checksum. */
enum error codec_compress_magic_0(enum codec codec, struct slice plain,
    struct buffer *out);
/* Of a frame's header; at most 15 bytes. */
uint8_t codec_lz4_header_check(const uint8_t *at, size_t size);

/* --- rules ---------------------------------------------------------------- */

/* Of a create time: message.timestamp.{before,after}.max.ms. */
bool record_timestamp_in_range(const struct record_rules *rules,
    int64_t timestamp_ms);

struct record_scratch {
	struct codec_stream *stream;
	uint8_t *window;
};

#endif
