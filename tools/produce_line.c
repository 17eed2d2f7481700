/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/console.h"
#include "tools/produce_line.h"

#define READ_BYTES ((size_t)64 << 10)

/* --- the format ----------------------------------------------------------- */

/* Two marks that are the same would make lines ambiguous.  Key separator and
 * headers delimiter may be: the headers come first. */
static bool
marks_differ(const struct line_format *f, struct buffer *why)
{
	const struct {
		const char *name;
		struct slice mark;
	} marks[] = {
		{ "null.marker", f->null_marker },
		{ "headers.separator", f->headers_separator },
		{ "headers.delimiter", f->headers_delimiter },
		{ "headers.key.separator", f->headers_key_separator },
		{ "key.separator", f->key_separator },
	};

	for (size_t i = 0; i < nelems(marks); i++) {
		for (size_t k = i + 1; k < nelems(marks); k++) {
			if ((i > 0 && k == 4) ||
			    !slice_equal(marks[i].mark, marks[k].mark))
				continue;
			buffer_printf(why, "%s and %s are the same",
			    marks[i].name, marks[k].name);
			return (false);
		}
	}
	return (true);
}

bool
line_format_init(struct line_format *format,
    const struct console_texts *texts, struct buffer *why)
{
	format->parse_key = console_flag(texts, "parse.key", false);
	format->parse_headers = console_flag(texts, "parse.headers", false);
	format->ignore_error = console_flag(texts, "ignore.error", false);
	format->key_separator =
	    console_text_or(texts, "key.separator", "\t");
	format->headers_delimiter =
	    console_text_or(texts, "headers.delimiter", "\t");
	format->headers_separator =
	    console_text_or(texts, "headers.separator", ",");
	format->headers_key_separator =
	    console_text_or(texts, "headers.key.separator", ":");
	format->null_marker =
	    slice_of_text(console_text(texts, "null.marker"));
	return (marks_differ(format, why));
}

/* --- a line --------------------------------------------------------------- */

/* Cuts *rest at the mark: *part is what stands before. False: no mark. */
static bool
cut_at(struct slice *rest, struct slice mark, struct slice *part)
{
	const uint8_t *at = rest->length == 0
	    ? NULL
	    : memmem(rest->data, rest->length, mark.data, mark.length);

	if (at == NULL)
		return (false);
	*part = slice_of(rest->data, (size_t)(at - rest->data));
	rest->length -= part->length + mark.length;
	rest->data = at + mark.length;
	return (true);
}

static struct slice
unless_null(const struct line_format *format, struct slice text)
{
	return (format->null_marker.data != NULL &&
		    slice_equal(text, format->null_marker)
		? SLICE_NULL
		: text);
}

static bool
header_parse(const struct line_format *format, struct slice text,
    int64_t number, struct line_record *out, struct buffer *why)
{
	struct record_header *header;
	struct slice rest = text;

	if (out->header_count == LINE_HEADERS_MAX) {
		buffer_printf(why, "line %" PRId64 ": more than %d headers",
		    number, LINE_HEADERS_MAX);
		return (false);
	}
	header = &out->headers[out->header_count++];
	if (cut_at(&rest, format->headers_key_separator, &header->key)) {
		header->value = unless_null(format, rest);
	} else if (format->ignore_error) {
		header->key = text;
		header->value = SLICE_NULL;
	} else {
		buffer_printf(why,
		    "line %" PRId64 ": no header key separator in \"%.*s\"",
		    number, SLICE_ARGS(text));
		return (false);
	}
	if (unless_null(format, header->key).data == NULL) {
		buffer_printf(why,
		    "line %" PRId64 ": a header's key may not be null",
		    number);
		return (false);
	}
	return (true);
}

static bool
headers_parse(const struct line_format *format, struct slice text,
    int64_t number, struct line_record *out, struct buffer *why)
{
	struct slice one;

	if (unless_null(format, text).data == NULL)
		return (true);
	while (cut_at(&text, format->headers_separator, &one))
		if (!header_parse(format, one, number, out, why))
			return (false);
	return (header_parse(format, text, number, out, why));
}

static bool
part_missing(const struct line_format *format, const char *what,
    int64_t number, struct slice line, struct buffer *why)
{
	if (format->ignore_error)
		return (false);
	buffer_printf(why, "line %" PRId64 ": no %s found in \"%.*s\"",
	    number, what, SLICE_ARGS(line));
	return (true);
}

bool
line_parse(const struct line_format *format, struct slice line,
    int64_t number, struct line_record *out, struct buffer *why)
{
	struct slice rest = line;
	struct slice part;

	out->key = SLICE_NULL;
	out->header_count = 0;
	if (format->parse_headers) {
		if (cut_at(&rest, format->headers_delimiter, &part)) {
			if (!headers_parse(format, part, number, out, why))
				return (false);
		} else if (part_missing(format, "headers delimiter", number,
		    line, why)) {
			return (false);
		}
	}
	if (format->parse_key) {
		if (cut_at(&rest, format->key_separator, &part))
			out->key = unless_null(format, part);
		else if (part_missing(format, "key separator", number, line,
		    why))
			return (false);
	}
	out->value = unless_null(format, rest);
	return (true);
}

/* --- where lines come from ------------------------------------------------ */

void
line_source_init(struct line_source *source, int descriptor)
{
	memset(source, 0, sizeof(*source));
	source->descriptor = descriptor;
}

void
line_source_fini(struct line_source *source)
{
	buffer_fini(&source->bytes);
}

/* The line that is there already; `size` with its newline. */
static void
line_take(struct line_source *source, size_t length, size_t size,
    struct slice *line)
{
	const uint8_t *data = source->bytes.data + source->begin;

	if (length > 0 && data[length - 1] == '\r')
		length--;
	*line = slice_of(data, length);
	source->begin += size;
	source->scanned = source->begin;
}

static bool
line_scan(struct line_source *source, struct slice *line)
{
	const uint8_t *data = source->bytes.data;
	const uint8_t *newline = source->scanned == source->bytes.length
	    ? NULL
	    : memchr(data + source->scanned, '\n',
		  source->bytes.length - source->scanned);

	source->scanned = source->bytes.length;
	if (newline == NULL)
		return (false);
	line_take(source, (size_t)(newline - data) - source->begin,
	    (size_t)(newline - data) - source->begin + 1, line);
	return (true);
}

/* Standard input is a pipe, a terminal or a file, and no broker's data: it is
 * read here rather than through storage's file calls, which know positions. */
static enum line_found
line_fill(struct line_source *source, int wait_ms)
{
	struct pollfd ready = { .fd = source->descriptor, .events = POLLIN };
	struct buffer *bytes = &source->bytes;
	ssize_t n;

	if (source->begin > 0) {
		memmove(bytes->data, bytes->data + source->begin,
		    bytes->length - source->begin);
		bytes->length -= source->begin;
		source->scanned -= source->begin;
		source->begin = 0;
	}
	if (bytes->length >= LINE_BYTES_MAX) {
		errno = EMSGSIZE;
		return (LINE_FAILED);
	}
	if (poll(&ready, 1, wait_ms) <= 0)
		return (LINE_NONE);
	n = read(source->descriptor, buffer_reserve(bytes, READ_BYTES),
	    READ_BYTES);
	if (n < 0)
		return (errno == EINTR || errno == EAGAIN ? LINE_NONE
							  : LINE_FAILED);
	source->ended = n == 0;
	bytes->length += (size_t)n;
	return (n == 0 ? LINE_END : LINE_READ);
}

enum line_found
line_next(struct line_source *source, int wait_ms, struct slice *line)
{
	enum line_found found;
	size_t left;

	while (!line_scan(source, line)) {
		found = source->ended ? LINE_END : line_fill(source, wait_ms);
		if (found == LINE_NONE || found == LINE_FAILED)
			return (found);
		left = source->bytes.length - source->begin;
		if (found == LINE_END && left == 0)
			return (LINE_END);
		if (found == LINE_END) {
			/* The last line may lack its newline. */
			line_take(source, left, left, line);
			return (LINE_READ);
		}
	}
	return (LINE_READ);
}
