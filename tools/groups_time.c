/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as Kafka's tool reads them: java.text.SimpleDateFormat with
 * yyyy-MM-dd'T'HH:mm:ss.SSSXXX, and java.time.Duration.
 */
#include <ctype.h>

#include "base/check.h"
#include "tools/groups.h"

#define MS_PER_SECOND ((int64_t)1000)
#define SECONDS_PER_MINUTE 60
#define SECONDS_PER_HOUR 3600
#define SECONDS_PER_DAY 86400
#define YEAR_MAX 9999
/* Days from 0000-03-01 to 1970-01-01. */
#define DAYS_TO_1970 719468
/* Half of what an int64_t of milliseconds holds. */
#define DURATION_MS_MAX (INT64_MAX / 2)

/* --- reading -------------------------------------------------------------- */

static bool
take_char(struct slice *rest, char wanted)
{
	if (rest->length == 0 ||
	    toupper(rest->data[0]) != toupper((unsigned char)wanted))
		return (false);
	*rest = slice_of(rest->data + 1, rest->length - 1);
	return (true);
}

/* Up to `digits` of them, one at least. */
static bool
take_digits(struct slice *rest, int digits, int64_t *out)
{
	int count = 0;

	*out = 0;
	while (count < digits && rest->length != 0 &&
	    isdigit(rest->data[0])) {
		*out = *out * 10 + (rest->data[0] - '0');
		*rest = slice_of(rest->data + 1, rest->length - 1);
		count++;
	}
	return (count > 0);
}

static bool
take_range(struct slice *rest, int64_t least, int64_t most, int64_t *out)
{
	const int digits = most > 99 ? most > 999 ? 4 : 3 : 2;

	return (take_digits(rest, digits, out) && *out >= least &&
	    *out <= most);
}

/* --- a date and a time ---------------------------------------------------- */

static bool
is_leap(int64_t year)
{
	return ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
}

static int64_t
days_of_month(int64_t year, int64_t month)
{
	static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };

	return (days[month - 1] + (month == 2 && is_leap(year)));
}

/* Since 1970; years begin in March here, so that the leap day is the last. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	const int64_t y = month <= 2 ? year - 1 : year;
	const int64_t m = month <= 2 ? month + 9 : month - 3;

	return (y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day -
	    1 - DAYS_TO_1970);
}

/* "", "Z", "+02", "-02:30": seconds ahead of UTC. */
static bool
take_zone(struct slice *rest, int64_t *seconds)
{
	int64_t hours;
	int64_t minutes = 0;
	bool west;

	*seconds = 0;
	if (rest->length == 0 || take_char(rest, 'Z'))
		return (true);
	west = rest->data[0] == '-';
	if (!take_char(rest, west ? '-' : '+') ||
	    !take_range(rest, 0, 23, &hours) ||
	    (take_char(rest, ':') && !take_range(rest, 0, 59, &minutes)))
		return (false);
	*seconds = hours * SECONDS_PER_HOUR + minutes * SECONDS_PER_MINUTE;
	if (west)
		*seconds = -*seconds;
	return (true);
}

bool
datetime_parse(struct slice text, int64_t *ms)
{
	int64_t year, month, day, hour, minute, second, fraction, zone;

	/* The last is milliseconds, not a fraction: ".5" is 5 of them. */
	if (!take_range(&text, 1, YEAR_MAX, &year) || !take_char(&text, '-') ||
	    !take_range(&text, 1, 12, &month) || !take_char(&text, '-') ||
	    !take_range(&text, 1, days_of_month(year, month), &day) ||
	    !take_char(&text, 'T') || !take_range(&text, 0, 23, &hour) ||
	    !take_char(&text, ':') || !take_range(&text, 0, 59, &minute) ||
	    !take_char(&text, ':') || !take_range(&text, 0, 59, &second) ||
	    !take_char(&text, '.') || !take_range(&text, 0, 999, &fraction) ||
	    !take_zone(&text, &zone) || text.length != 0)
		return (false);
	*ms = (days_of(year, month, day) * SECONDS_PER_DAY +
		  hour * SECONDS_PER_HOUR + minute * SECONDS_PER_MINUTE +
		  second - zone) *
		MS_PER_SECOND +
	    fraction;
	return (true);
}

/* --- a span --------------------------------------------------------------- */

/* The digits behind a point, as milliseconds; what is finer is cut off. */
static int64_t
take_fraction(struct slice *rest)
{
	int64_t ms = 0;
	int64_t weight = MS_PER_SECOND;

	if (!take_char(rest, '.') && !take_char(rest, ','))
		return (0);
	while (rest->length != 0 && isdigit(rest->data[0])) {
		weight /= 10;
		ms += weight * (rest->data[0] - '0');
		*rest = slice_of(rest->data + 1, rest->length - 1);
	}
	return (ms);
}

/* "3H" when `unit` is H; nothing is taken when another unit follows. False: too
 * much. */
static bool
take_part(struct slice *rest, char unit, int64_t unit_ms, int64_t *sum_ms)
{
	struct slice at = *rest;
	const bool minus = take_char(&at, '-');
	int64_t number;
	int64_t fraction_ms = 0;

	if (!minus)
		(void)take_char(&at, '+');
	if (!take_digits(&at, 18, &number))
		return (true);
	if (unit == 'S')
		fraction_ms = take_fraction(&at);
	if (!take_char(&at, unit))
		return (true);
	if (number > DURATION_MS_MAX / 8 / unit_ms)
		return (false);
	number = number * unit_ms + fraction_ms;
	*sum_ms += minus ? -number : number;
	*rest = at;
	return (true);
}

bool
duration_parse(struct slice text, int64_t *ms)
{
	const bool minus = take_char(&text, '-');
	size_t before;

	*ms = 0;
	if (!minus)
		(void)take_char(&text, '+');
	if (!take_char(&text, 'P') || text.length == 0 ||
	    !take_part(&text, 'D', SECONDS_PER_DAY * MS_PER_SECOND, ms))
		return (false);
	if (take_char(&text, 'T')) {
		before = text.length;
		if (!take_part(&text, 'H', SECONDS_PER_HOUR * MS_PER_SECOND,
			ms) ||
		    !take_part(&text, 'M', SECONDS_PER_MINUTE * MS_PER_SECOND,
			ms) ||
		    !take_part(&text, 'S', MS_PER_SECOND, ms) ||
		    text.length == before)
			return (false);
	}
	if (minus)
		*ms = -*ms;
	return (text.length == 0);
}
