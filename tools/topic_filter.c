/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "tools/topic_filter.h"

bool
topic_is_internal(struct slice topic)
{
	return (slice_equal_text(topic, "__consumer_offsets") ||
	    slice_equal_text(topic, TRANSACTIONS_TOPIC));
}

static bool
is_quote(uint8_t c)
{
	return (c == '"' || c == '\'');
}

static bool
is_letter(uint8_t c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9'));
}

/* A class, [...].  POSIX knows no backslash in it: what was escaped goes where
 * it stands for itself. */
struct class {
	struct buffer body;
	bool negated;
	bool bracket; /* ']' */
	bool caret;
	bool dash;
};

static void
class_put(const struct class *class, struct buffer *out)
{
	const bool bare = class->body.length == 0 && !class->bracket &&
	    !class->negated;

	if (bare && class->caret && !class->dash) {
		buffer_append_text(out, "\\^");
		return;
	}
	buffer_append_text(out, class->negated ? "[^" : "[");
	if (class->bracket)
		buffer_append_text(out, "]");
	buffer_append_slice(out, buffer_slice(&class->body));
	if (class->caret)
		buffer_append_text(out, bare ? "-^" : "^");
	if (class->dash && !(bare && class->caret))
		buffer_append_text(out, "-");
	buffer_append_text(out, "]");
}

static bool
class_escape(struct class *class, uint8_t c)
{
	switch (c) {
	case 'd':
		buffer_append_text(&class->body, "0-9");
		return (true);
	case 'w':
		buffer_append_text(&class->body, "A-Za-z0-9_");
		return (true);
	case '-':
		class->dash = true;
		return (true);
	case ']':
		class->bracket = true;
		return (true);
	case '^':
		class->caret = true;
		return (true);
	default:
		buffer_append(&class->body, &c, 1);
		return (!is_letter(c) && c != 0);
	}
}

static bool
class_take(struct class *class, struct slice rest, bool first)
{
	const uint8_t c = rest.data[0];
	const uint8_t next = rest.length > 1 ? rest.data[1] : 0;

	if (c == '[' || (c == '&' && next == '&'))
		return (false); /* unions and intersections are Java's */
	if (c == '^')
		class->caret = true;
	else if (c == '-' && (first || next == ']'))
		class->dash = true;
	else if (c != ' ')
		buffer_append(&class->body, c == ',' ? (const uint8_t *)"|"
						     : &c, 1);
	return (true);
}

/* *rest begins behind the '['. */
static bool
class_translate(struct slice *rest, struct buffer *out)
{
	struct class class = { .body = BUFFER_EMPTY };
	bool good = true;
	size_t i = 0;
	size_t first;

	if (rest->length > 0 && rest->data[0] == '^')
		class.negated = ++i;
	for (first = i; good && i < rest->length && rest->data[i] != ']'; i++)
		if (rest->data[i] != '\\')
			good = class_take(&class,
			    slice_of(rest->data + i, rest->length - i),
			    i == first);
		else if (++i < rest->length)
			good = class_escape(&class, rest->data[i]);
	good = good && i > first && i < rest->length;
	if (good) {
		class_put(&class, out);
		*rest = slice_of(rest->data + i + 1, rest->length - i - 1);
	}
	buffer_fini(&class.body);
	return (good);
}

/* A backslash and what follows, outside of a class. */
static bool
escape_translate(uint8_t c, struct buffer *out)
{
	if (c == 'd' || c == 'D')
		buffer_append_text(out, c == 'd' ? "[0-9]" : "[^0-9]");
	else if (c == '-' || c == '"' || c == '\'' || c == ' ')
		buffer_append(out, &c, c != ' ');
	else
		buffer_printf(out, "\\%c", c);
	return (c != 0 && (!is_letter(c) || strchr("dDwWsSbB", c) != NULL));
}

/* How many bytes of `rest` are an opening parenthesis; 0: one that POSIX does
 * not have. */
static size_t
group_size(struct slice rest)
{
	if (rest.length < 2 || rest.data[1] != '?')
		return (1);
	return (rest.length > 2 && rest.data[2] == ':' ? 3 : 0);
}

static bool
is_quantifier(uint8_t c)
{
	return (c == '*' || c == '+' || c == '?' || c == '}');
}

/* One element of the pattern, from the front of *rest. */
static bool
element_translate(struct slice *rest, uint8_t before, struct buffer *out)
{
	const uint8_t c = rest->data[0];
	size_t size = 1;
	bool good = true;

	if (c == '[') {
		*rest = slice_of(rest->data + 1, rest->length - 1);
		return (class_translate(rest, out));
	}
	if (c == '\\') {
		good = escape_translate(rest->length > 1 ? rest->data[1] : 0,
		    out);
		size = 2;
	} else if (c == '(') {
		size = group_size(*rest);
		buffer_append_text(out, "(");
		good = size != 0;
	} else if (is_quantifier(before) && (c == '?' || c == '+')) {
		/* Of a whole name a lazy one matches the same. */
		good = c == '?';
	} else if (c == ',') {
		buffer_append_text(out, "|");
	} else if (c != ' ') {
		buffer_append(out, &c, 1);
	}
	if (good)
		*rest = slice_of(rest->data + size, rest->length - size);
	return (good);
}

/* What stands in it as POSIX writes it. */
static bool
pattern_translate(struct slice pattern, struct buffer *out)
{
	uint8_t before = 0;
	bool good = true;

	while (pattern.length > 0 && is_quote(pattern.data[0]))
		pattern = slice_of(pattern.data + 1, pattern.length - 1);
	while (pattern.length > 0 &&
	    is_quote(pattern.data[pattern.length - 1]))
		pattern.length--;
	buffer_append_text(out, "^(");
	while (good && pattern.length > 0) {
		const uint8_t c = pattern.data[0];

		good = element_translate(&pattern, before, out);
		before = c;
	}
	buffer_append_text(out, ")$");
	return (good);
}

bool
topic_filter_init(struct topic_filter *filter, const char *pattern,
    bool exclude_internal, struct buffer *why)
{
	char text[128];
	int error;

	filter->all = pattern == NULL;
	filter->exclude_internal = exclude_internal;
	filter->posix = BUFFER_EMPTY;
	if (filter->all)
		return (true);
	filter->all = true;
	if (!pattern_translate(text_trim(slice_of_text(pattern)),
		&filter->posix)) {
		buffer_printf(why,
		    "\"%s\" holds what only Java's regular expressions know",
		    pattern);
		buffer_fini(&filter->posix);
		return (false);
	}
	error = regcomp(&filter->regex, buffer_text(&filter->posix),
	    REG_EXTENDED | REG_NOSUB);
	filter->all = error != 0;
	if (error == 0)
		return (true);
	buffer_fini(&filter->posix);
	regerror(error, &filter->regex, text, sizeof(text));
	buffer_printf(why, "\"%s\" is no regular expression: %s", pattern,
	    text);
	return (false);
}

void
topic_filter_fini(struct topic_filter *filter)
{
	buffer_fini(&filter->posix);
	if (!filter->all)
		regfree(&filter->regex);
}

bool
topic_filter_takes(const struct topic_filter *filter, struct slice topic)
{
	char *name;
	bool takes;

	if (filter->exclude_internal && topic_is_internal(topic))
		return (false);
	if (filter->all)
		return (true);
	name = mem_strndup((const char *)topic.data, topic.length);
	takes = regexec(&filter->regex, name, 0, NULL, 0) == 0;
	mem_free(name);
	return (takes);
}
