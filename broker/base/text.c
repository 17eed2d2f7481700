/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Longer texts are no number that anybody wrote. */
#define DOUBLE_TEXT_LENGTH_MAX 64

static bool
is_digit(uint8_t byte)
{
	return (byte >= '0' && byte <= '9');
}

bool
text_to_int64(struct slice text, int64_t *out)
{
	bool negative = false;
	uint64_t value = 0;
	uint64_t limit = INT64_MAX;
	size_t at = 0;

	if (text.length > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
		negative = text.data[0] == '-';
		at++;
	}
	if (negative)
		limit++;
	if (at == text.length)
		return (false);
	for (; at < text.length; at++) {
		unsigned digit = text.data[at] - (unsigned)'0';

		if (digit > 9 || value > (limit - digit) / 10)
			return (false);
		value = value * 10 + digit;
	}
	if (negative && value == limit)
		*out = INT64_MIN;
	else
		*out = negative ? -(int64_t)value : (int64_t)value;
	return (true);
}

bool
text_to_int32(struct slice text, int32_t *out)
{
	int64_t value;

	if (!text_to_int64(text, &value) || value < INT32_MIN ||
	    value > INT32_MAX)
		return (false);
	*out = (int32_t)value;
	return (true);
}

static size_t
skip_digits(struct slice text, size_t at)
{
	while (at < text.length && is_digit(text.data[at]))
		at++;
	return (at);
}

static size_t
skip_sign(struct slice text, size_t at)
{
	if (at < text.length && (text.data[at] == '-' || text.data[at] == '+'))
		at++;
	return (at);
}

/* [sign] digits [. digits] [e [sign] digits], with a digit beside the point. */
static bool
is_double(struct slice text)
{
	size_t begin = skip_sign(text, 0);
	size_t at = skip_digits(text, begin);
	size_t digits = at - begin;

	if (at < text.length && text.data[at] == '.') {
		begin = at + 1;
		at = skip_digits(text, begin);
		digits += at - begin;
	}
	if (digits == 0)
		return (false);
	if (at < text.length && (text.data[at] | 0x20) == 'e') {
		begin = skip_sign(text, at + 1);
		at = skip_digits(text, begin);
		if (at == begin)
			return (false);
	}
	return (at == text.length);
}

/* strtod() alone would take hex, inf, nan and leading blanks; the process
 * stays in the C locale, so the point is a point. */
bool
text_to_double(struct slice text, double *out)
{
	char copy[DOUBLE_TEXT_LENGTH_MAX + 1];
	double value;

	if (text.length > DOUBLE_TEXT_LENGTH_MAX || !is_double(text))
		return (false);
	memcpy(copy, text.data, text.length);
	copy[text.length] = '\0';
	value = strtod(copy, NULL);
	if (!isfinite(value))
		return (false);
	*out = value;
	return (true);
}

void
text_of_double(double number, char text[TEXT_DOUBLE_SIZE])
{
	char digits[32], *exponent;
	int count = 1, power;

	do
		snprintf(digits, sizeof(digits), "%.*e", count - 1, number);
	while (strtod(digits, NULL) != number && ++count <= 17);
	exponent = strchr(digits, 'e');
	if (exponent == NULL) { /* no number, or without bounds */
		snprintf(text, TEXT_DOUBLE_SIZE, "%s", isnan(number) ? "NaN" :
		    number > 0 ? "Infinity" : "-Infinity");
		return;
	}
	power = (int)strtol(exponent + 1, NULL, 10);
	*exponent = '\0';
	if (number == 0 || (power >= -3 && power < 7))
		snprintf(text, TEXT_DOUBLE_SIZE, "%.*f",
		    count - power > 2 ? count - 1 - power : 1, number);
	else
		snprintf(text, TEXT_DOUBLE_SIZE, "%s%sE%d", digits,
		    count == 1 ? ".0" : "", power);
}

bool
text_to_bool(struct slice text, bool *out)
{
	if (text.length == 4 &&
	    strncasecmp((const char *)text.data, "true", 4) == 0)
		*out = true;
	else if (text.length == 5 &&
	    strncasecmp((const char *)text.data, "false", 5) == 0)
		*out = false;
	else
		return (false);
	return (true);
}

struct slice
text_trim(struct slice text)
{
	while (text.length > 0 && text.data[0] <= ' ') {
		text.data++;
		text.length--;
	}
	while (text.length > 0 && text.data[text.length - 1] <= ' ')
		text.length--;
	return (text);
}

struct slice
text_cut(struct slice text, char separator, struct slice *rest)
{
	const uint8_t *found = NULL;
	size_t before = text.length;

	if (text.length > 0)
		found = memchr(text.data, separator, text.length);
	*rest = SLICE_NULL;
	if (found != NULL) {
		before = (size_t)(found - text.data);
		*rest = slice_of(found + 1, text.length - before - 1);
	}
	return (slice_of(text.data, before));
}

/* RFC 3629: how many bytes follow, the first byte's bits, the least value. */
int32_t
text_utf8_next(struct slice *rest)
{
	uint8_t first = rest->data[0];
	size_t more = (size_t)(first >= 0xc0) + (first >= 0xe0) +
	    (first >= 0xf0);
	static const int32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	static const uint8_t bits[] = { 0x7f, 0x1f, 0x0f, 0x07 };
	int32_t point = first & bits[more];

	rest->data++;
	rest->length--;
	/* 80 to bf only follow; c0 and c1 would be overlong. */
	if ((first >= 0x80 && first < 0xc2) || first > 0xf4 ||
	    more > rest->length)
		return (-1);
	for (size_t i = 0; i < more; i++) {
		if ((rest->data[i] & 0xc0) != 0x80)
			return (-1);
		point = point << 6 | (rest->data[i] & 0x3f);
	}
	if (point < least[more] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return (-1);
	rest->data += more;
	rest->length -= more;
	return (point);
}

bool
text_is_utf8(struct slice text)
{
	while (text.length > 0)
		if (text_utf8_next(&text) < 0)
			return (false);
	return (true);
}
