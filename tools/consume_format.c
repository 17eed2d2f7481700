/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "tools/console.h"
#include "tools/consume_format.h"
#include "tools/json_out.h"

void
print_format_init(struct print_format *format,
    const struct console_texts *texts)
{
	format->timestamp = console_flag(texts, "print.timestamp", false);
	format->partition = console_flag(texts, "print.partition", false);
	format->offset = console_flag(texts, "print.offset", false);
	format->headers = console_flag(texts, "print.headers", false);
	format->key = console_flag(texts, "print.key", false);
	format->value = console_flag(texts, "print.value", true);
	format->key_separator =
	    console_text_or(texts, "key.separator", "\t");
	format->line_separator =
	    console_text_or(texts, "line.separator", "\n");
	format->headers_separator =
	    console_text_or(texts, "headers.separator", ",");
	format->null_literal =
	    console_text_or(texts, "null.literal", "null");
}

static void
put_or_null(const struct print_format *format, struct slice text,
    struct buffer *out)
{
	buffer_append_slice(out,
	    text.data == NULL ? format->null_literal : text);
}

static void
put_headers(const struct print_format *format,
    const struct print_record *record, struct buffer *out)
{
	if (record->header_count == 0)
		buffer_append_text(out, "NO_HEADERS");
	for (size_t i = 0; i < record->header_count; i++) {
		if (i > 0)
			buffer_append_slice(out, format->headers_separator);
		buffer_append_slice(out, record->headers[i].key);
		buffer_append_text(out, ":");
		put_or_null(format, record->headers[i].value, out);
	}
}

static const char *
timestamp_name(enum print_timestamp type)
{
	return (type == PRINT_LOG_APPEND_TIME ? "LogAppendTime"
					      : "CreateTime");
}

static void
put_timestamp(const struct print_record *record, struct buffer *out)
{
	if (record->timestamp_type == PRINT_NO_TIMESTAMP)
		buffer_append_text(out, "NO_TIMESTAMP");
	else
		buffer_printf(out, "%s:%" PRId64,
		    timestamp_name(record->timestamp_type),
		    record->timestamp_ms);
}

/* Each part ends with a separator; the last one's is the line's. */
void
print_text(const struct print_format *format,
    const struct print_record *record, struct buffer *out)
{
	const bool parts[] = { format->timestamp, format->partition,
		format->offset, format->headers, format->key, format->value };
	int left = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		left += parts[i];
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!parts[i])
			continue;
		if (i == 0)
			put_timestamp(record, out);
		else if (i == 1)
			buffer_printf(out, "Partition:%d", record->partition);
		else if (i == 2)
			buffer_printf(out, "Offset:%" PRId64, record->offset);
		else if (i == 3)
			put_headers(format, record, out);
		else
			put_or_null(format,
			    i == 4 ? record->key : record->value, out);
		left--;
		buffer_append_slice(out, left > 0 ? format->key_separator
						  : format->line_separator);
	}
}

void
print_json(const struct print_record *record, struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_text(&json, "topic", slice_of_text(record->topic));
	json_int(&json, "partition", record->partition);
	json_int(&json, "offset", record->offset);
	if (record->timestamp_type != PRINT_NO_TIMESTAMP) {
		json_text(&json, "timestampType",
		    slice_of_text(timestamp_name(record->timestamp_type)));
		json_int(&json, "timestamp", record->timestamp_ms);
	}
	json_open(&json, "headers", '[');
	for (size_t i = 0; i < record->header_count; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "key", record->headers[i].key);
		json_text(&json, "value", record->headers[i].value);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_text(&json, "key", record->key);
	json_text(&json, "value", record->value);
	json_close(&json, '}');
	json_end(&json);
}
