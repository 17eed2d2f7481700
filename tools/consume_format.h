/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a record is printed, by the properties of kafka-console-consumer's
 * default formatter: what is asked for, in this order, between key separators.
 *
 *	CreateTime:1 Partition:0 Offset:7 header:value,... key value
 */
#ifndef TOOLS_CONSUME_FORMAT_H
#define TOOLS_CONSUME_FORMAT_H

#include "record/record.h"

struct console_texts;

/* Texts borrow the properties. */
struct print_format {
	bool timestamp;
	bool partition;
	bool offset;
	bool headers;
	bool key;
	bool value;
	struct slice key_separator;
	struct slice line_separator;
	struct slice headers_separator;
	struct slice null_literal;
};

enum print_timestamp { PRINT_NO_TIMESTAMP, PRINT_CREATE_TIME,
	PRINT_LOG_APPEND_TIME };

struct print_record {
	const char *topic;
	int64_t offset;
	int64_t timestamp_ms;
	enum print_timestamp timestamp_type;
	int32_t partition;
	struct slice key;
	struct slice value;
	const struct record_header *headers;
	size_t header_count;
};

void print_format_init(struct print_format *format,
    const struct console_texts *texts);
void print_text(const struct print_format *format,
    const struct print_record *record, struct buffer *out);
void print_json(const struct print_record *record, struct buffer *out);

#endif
