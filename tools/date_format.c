/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "tools/date_format.h"

#define LETTERS "yMdHhmsSaEZ"

static bool
is_letter(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
}

static size_t
run_of(const char *text)
{
	size_t length = 1;

	while (text[length] == text[0])
		length++;
	return (length);
}

/* What stands behind an opening quote; '' is a quote itself.  NULL: the quote
 * does not close. */
static const char *
put_quoted(const char *text, struct buffer *out)
{
	if (*text == '\'') {
		buffer_append_text(out, "'");
		return (text + 1);
	}
	for (; *text != '\0'; text++) {
		if (*text == '\'' && text[1] != '\'')
			return (text + 1);
		if (*text == '\'')
			text++;
		buffer_append(out, text, 1);
	}
	return (NULL);
}

bool
date_format_check(const char *pattern, struct buffer *why)
{
	struct buffer ignored = BUFFER_EMPTY;

	while (pattern != NULL && *pattern != '\0') {
		if (*pattern == '\'') {
			pattern = put_quoted(pattern + 1, &ignored);
			continue;
		}
		if (is_letter(*pattern) && strchr(LETTERS, *pattern) == NULL) {
			buffer_printf(why,
			    "'%c' is not understood in a date; the letters "
			    "are " LETTERS,
			    *pattern);
			break;
		}
		pattern++;
	}
	if (pattern == NULL)
		buffer_append_text(why, "a quote in the date does not close");
	buffer_fini(&ignored);
	return (pattern != NULL && *pattern == '\0');
}

static void
put_time(struct buffer *out, const char *format, const struct tm *tm)
{
	char text[64];

	/* The formats are ours: never empty, never longer. */
	text[strftime(text, sizeof(text), format, tm)] = '\0';
	buffer_append_text(out, text);
}

static void
put_run(struct buffer *out, char letter, size_t length, const struct tm *tm,
    int ms)
{
	/* More digits than that nobody means. */
	const int width = length < 20 ? (int)length : 20;

	switch (letter) {
	case 'y':
		if (length == 2)
			put_time(out, "%y", tm);
		else
			buffer_printf(out, "%0*d", width, tm->tm_year + 1900);
		break;
	case 'M':
		if (length >= 3)
			put_time(out, length == 3 ? "%b" : "%B", tm);
		else
			buffer_printf(out, "%0*d", width, tm->tm_mon + 1);
		break;
	case 'd':
		buffer_printf(out, "%0*d", width, tm->tm_mday);
		break;
	case 'H':
		buffer_printf(out, "%0*d", width, tm->tm_hour);
		break;
	case 'h':
		buffer_printf(out, "%0*d", width, (tm->tm_hour + 11) % 12 + 1);
		break;
	case 'm':
		buffer_printf(out, "%0*d", width, tm->tm_min);
		break;
	case 's':
		buffer_printf(out, "%0*d", width, tm->tm_sec);
		break;
	case 'S':
		buffer_printf(out, "%0*d", width, ms);
		break;
	case 'a':
		buffer_append_text(out, tm->tm_hour < 12 ? "AM" : "PM");
		break;
	case 'E':
		put_time(out, length >= 4 ? "%A" : "%a", tm);
		break;
	default:
		put_time(out, "%z", tm);
		break;
	}
}

void
date_format_put(const char *pattern, int64_t wall_ms, struct buffer *out)
{
	const time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t length;

	if (localtime_r(&seconds, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	while (pattern != NULL && *pattern != '\0') {
		if (*pattern == '\'') {
			pattern = put_quoted(pattern + 1, out);
			continue;
		}
		length = is_letter(*pattern) ? run_of(pattern) : 1;
		if (is_letter(*pattern))
			put_run(out, *pattern, length, &tm,
			    (int)(wall_ms % 1000));
		else
			buffer_append(out, pattern, 1);
		pattern += length;
	}
}
