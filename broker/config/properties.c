/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syntax of java.util.Properties, as its load() reads it: ISO-8859-1 with
 * \uXXXX, values here turned into UTF-8.
 *
 *	natural lines --(join at odd backslashes)--> logical line --> key, value
 *
 *	   blanks  key  blanks [=:]? blanks  value to the end
 *	           |-- up to the first =, : or blank that has no backslash
 */
#include "config/properties.h"

#include "base/buffer.h"

struct properties {
	struct slice rest;    /* of the file */
	int line;             /* natural lines taken */
	struct buffer joined; /* the logical line, escapes still in it */
	struct buffer key;
	struct buffer value;
	struct config_map *map;
	struct properties_error *error;
};

static bool
properties_fail(struct properties *p, int line, const char *message)
{
	p->error->line = line;
	p->error->message = message;
	return (false);
}

static bool
is_blank(uint8_t c)
{
	return (c == ' ' || c == '\t' || c == '\f');
}

/* Up to \n, \r or \r\n, without it. */
static struct slice
natural_line(struct properties *p)
{
	const uint8_t *data = p->rest.data;
	size_t end = 0, next;

	while (end < p->rest.length && data[end] != '\n' && data[end] != '\r')
		end++;
	next = end;
	if (next < p->rest.length)
		next += data[next] == '\r' && next + 1 < p->rest.length &&
		    data[next + 1] == '\n' ? 2 : 1;
	p->rest = slice_of(data + next, p->rest.length - next);
	p->line++;
	return (slice_of(data, end));
}

static struct slice
skip_blanks(struct slice s)
{
	while (s.length > 0 && is_blank(*s.data))
		s = slice_of(s.data + 1, s.length - 1);
	return (s);
}

static bool
is_continued(struct slice line)
{
	size_t backslashes = 0;

	while (backslashes < line.length &&
	    line.data[line.length - 1 - backslashes] == '\\')
		backslashes++;
	return (backslashes % 2 == 1);
}

/* The next logical line into p->joined; 0 at the end of the file, else the
 * number of its first natural line.  As long as nothing was joined, blank
 * lines and comments are passed over, even after a lone backslash. */
static int
logical_line(struct properties *p)
{
	int first = 0;

	p->joined.length = 0;
	while (p->rest.length > 0) {
		struct slice line = skip_blanks(natural_line(p));
		bool continued;

		if (p->joined.length == 0) {
			if (line.length == 0 || *line.data == '#' ||
			    *line.data == '!')
				continue;
			first = p->line;
		}
		continued = is_continued(line);
		if (continued)
			line.length--;
		buffer_append_slice(&p->joined, line);
		if (!continued && p->joined.length > 0)
			return (first);
	}
	return (p->joined.length > 0 ? first : 0);
}

static void
put_utf8(struct buffer *out, uint32_t c)
{
	uint8_t bytes[4];
	size_t n = 0;

	if (c < 0x80) {
		bytes[n++] = (uint8_t)c;
	} else if (c < 0x800) {
		bytes[n++] = (uint8_t)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		bytes[n++] = (uint8_t)(0xe0 | c >> 12);
		bytes[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	} else {
		bytes[n++] = (uint8_t)(0xf0 | c >> 18);
		bytes[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		bytes[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		bytes[n++] = (uint8_t)(0x80 | (c & 0x3f));
	buffer_append(out, bytes, n);
}

/* Four hexadecimal digits; UINT32_MAX when they are not. */
static uint32_t
hex4(const uint8_t *at, size_t length)
{
	uint32_t c = 0;

	if (length < 4)
		return (UINT32_MAX);
	for (int i = 0; i < 4; i++) {
		uint8_t d = at[i];

		if (d >= '0' && d <= '9')
			c = c << 4 | (uint32_t)(d - '0');
		else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			c = c << 4 | (uint32_t)((d | 0x20) - 'a' + 10);
		else
			return (UINT32_MAX);
	}
	return (c);
}

/* What follows \u; how many bytes were taken, 0: malformed. */
static size_t
unescape_unicode(struct slice s, struct buffer *out)
{
	uint32_t c = hex4(s.data, s.length), low;

	if (c == UINT32_MAX)
		return (0);
	if (c >= 0xd800 && c < 0xdc00 && s.length >= 10 && s.data[4] == '\\' &&
	    s.data[5] == 'u') {
		low = hex4(s.data + 6, s.length - 6);
		if (low >= 0xdc00 && low < 0xe000) {
			put_utf8(out, 0x10000 + ((c - 0xd800) << 10) +
			    (low - 0xdc00));
			return (10);
		}
	}
	/* Half a pair stands for nothing; Java writes it as a question mark. */
	put_utf8(out, c >= 0xd800 && c < 0xe000 ? '?' : c);
	return (4);
}

static bool
unescape(struct slice s, struct buffer *out)
{
	out->length = 0;
	for (size_t i = 0; i < s.length; i++) {
		uint8_t c = s.data[i];
		size_t taken;

		if (c != '\\') {
			put_utf8(out, c);
			continue;
		}
		if (++i == s.length)
			break;
		switch (c = s.data[i]) {
		case 'u':
			taken = unescape_unicode(slice_of(s.data + i + 1,
			    s.length - i - 1), out);
			if (taken == 0)
				return (false);
			i += taken;
			break;
		case 't': put_utf8(out, '\t'); break;
		case 'n': put_utf8(out, '\n'); break;
		case 'r': put_utf8(out, '\r'); break;
		case 'f': put_utf8(out, '\f'); break;
		default: put_utf8(out, c); break;
		}
	}
	return (true);
}

static size_t
key_length(struct slice s)
{
	size_t i = 0;

	while (i < s.length) {
		uint8_t c = s.data[i];

		if (c == '=' || c == ':' || is_blank(c))
			return (i);
		i += c == '\\' ? 2 : 1;
	}
	return (s.length);
}

static bool
logical_line_take(struct properties *p, int line)
{
	struct slice s = buffer_slice(&p->joined), value;
	size_t length = key_length(s);

	value = skip_blanks(slice_of(s.data + length, s.length - length));
	if (value.length > 0 && (*value.data == '=' || *value.data == ':'))
		value = skip_blanks(slice_of(value.data + 1, value.length - 1));
	if (!unescape(slice_of(s.data, length), &p->key) ||
	    !unescape(value, &p->value))
		return (properties_fail(p, line, "malformed \\uXXXX"));
	if (!config_map_set(p->map, buffer_slice(&p->key),
		buffer_slice(&p->value), line))
		return (properties_fail(p, line,
		    "a NUL character, or more options than can be"));
	return (true);
}

bool
properties_read(struct slice text, struct config_map *map,
    struct properties_error *error)
{
	struct properties p = { .rest = text, .map = map, .error = error };
	bool ok = true;
	int line;

	*error = (struct properties_error){ 0 };
	if (text.length > CONFIG_TEXT_BYTES_MAX)
		return (properties_fail(&p, 1, "larger than 1 MiB"));
	while (ok && (line = logical_line(&p)) != 0)
		ok = logical_line_take(&p, line);
	buffer_fini(&p.joined);
	buffer_fini(&p.key);
	buffer_fini(&p.value);
	return (ok);
}
