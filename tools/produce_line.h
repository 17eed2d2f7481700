/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From lines to records, by the properties of kafka-console-producer's reader:
 *
 *	[headers headers.delimiter] [key key.separator] value
 *	headers: name headers.key.separator value, headers.separator, ...
 */
#ifndef TOOLS_PRODUCE_LINE_H
#define TOOLS_PRODUCE_LINE_H

#include "record/record.h"

struct console_texts;

/* Texts borrow the properties. */
struct line_format {
	bool parse_key;
	bool parse_headers;
	bool ignore_error;
	struct slice key_separator;
	struct slice headers_delimiter;
	struct slice headers_separator;
	struct slice headers_key_separator;
	struct slice null_marker; /* null: there is none */
};

#define LINE_HEADERS_MAX 1000

/* What a line says; slices borrow it. */
struct line_record {
	struct slice key;
	struct slice value;
	struct record_header headers[LINE_HEADERS_MAX];
	size_t header_count;
};

/* False: *why. */
bool line_format_init(struct line_format *format,
    const struct console_texts *texts, struct buffer *why);
/* `number` of the line counts from 1, for *why. */
bool line_parse(const struct line_format *format, struct slice line,
    int64_t number, struct line_record *out, struct buffer *why);

/* --- where lines come from ------------------------------------------------ */

#define LINE_BYTES_MAX ((size_t)128 << 20)

enum line_found {
	LINE_NONE, /* not yet */
	LINE_READ,
	LINE_END,
	LINE_FAILED /* errno; EMSGSIZE: beyond LINE_BYTES_MAX */
};

struct line_source {
	int descriptor;
	struct buffer bytes;
	size_t begin;   /* of the next line */
	size_t scanned; /* no newline before */
	bool ended;
};

void line_source_init(struct line_source *source, int descriptor);
void line_source_fini(struct line_source *source);
/* Waits so long for a whole line; it lives until the next call. */
enum line_found line_next(struct line_source *source, int wait_ms,
    struct slice *line);

#endif
