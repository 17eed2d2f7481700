/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of options.def as data, and the reading of single values. */
#include "config/options.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "config/options_int.h"

static const struct option rows[] = {
#define ROOM(...)
#define OPTION(room_, field_, name_, type_, valid_, default_, update_,        \
    status_, prose_)                                                          \
	{ .name = name_, .room = #room_, .type = OPTION_##type_,              \
		.offset = offsetof(struct broker_options, room_.field_),      \
		valid_, default_, update_, status_, .prose = prose_ },
#define DERIVED(...)
#define ROOM_END(...)
#include "config/options.def"
#undef ROOM
#undef OPTION
#undef DERIVED
#undef ROOM_END
};

static const char *const synonyms[][OPTION_NAMES_MAX] = {
	{ "log.roll.ms", "log.roll.hours" },
	{ "log.roll.jitter.ms", "log.roll.jitter.hours" },
	{ "log.flush.interval.ms", "log.flush.scheduler.interval.ms" },
	{ "log.retention.ms", "log.retention.minutes", "log.retention.hours" },
};

size_t
option_count(void)
{
	return (nelems(rows));
}

const struct option *
option_at(size_t index)
{
	CHECK(index < nelems(rows));
	return (&rows[index]);
}

const struct option *
option_find(const char *name)
{
	for (size_t i = 0; i < nelems(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return (&rows[i]);
	return (NULL);
}

size_t
option_names_of(const char *name, const char *names[OPTION_NAMES_MAX])
{
	for (size_t i = 0; i < nelems(synonyms); i++) {
		size_t count = 0;
		bool found = false;

		for (; count < OPTION_NAMES_MAX && synonyms[i][count];
		     count++) {
			names[count] = synonyms[i][count];
			found |= strcmp(names[count], name) == 0;
		}
		/* Kafka lists the scheduler's interval under its own name. */
		if (found && strcmp(name, "log.flush.scheduler.interval.ms"))
			return (count);
	}
	names[0] = name;
	return (1);
}

static bool
ends_in(const char *name, const char *end)
{
	size_t length = strlen(name), tail = strlen(end);

	return (length >= tail && strcmp(name + length - tail, end) == 0);
}

/* Source: DynamicBrokerConfig: ListenerConfigRegex, its mechanisms. */
const char *
option_behind_listener(const char *name, struct slice *listener)
{
	static const char prefix[] = "listener.name.";
	const size_t length = sizeof(prefix) - 1;
	const char *dot = strncmp(name, prefix, length) != 0 ? NULL :
	    strchr(name + length, '.');

	if (listener != NULL)
		*listener = dot == NULL ? SLICE_NULL : slice_of(name + length,
		    (size_t)(dot - name) - length);
	return (dot == NULL ? name : dot + 1);
}

const char *
option_base_name(const char *name)
{
	static const char *const of_mechanism[] = { "sasl.jaas.config",
		"sasl.login.callback.handler.class", "sasl.login.class",
		"sasl.server.callback.handler.class",
		"connections.max.reauth.ms" };
	const char *base = option_behind_listener(name, NULL);

	for (size_t i = 0; base != name && i < nelems(of_mechanism); i++)
		if (ends_in(base, of_mechanism[i]))
			return (name + strlen(name) - strlen(of_mechanism[i]));
	return (base);
}

bool
option_is_password(const char *name)
{
	for (size_t i = 0; i < nelems(rows); i++)
		if (rows[i].type == OPTION_PASSWORD &&
		    rows[i].update != UPDATE_READ_ONLY &&
		    ends_in(name, rows[i].name))
			return (true);
	return (false);
}

bool
text_next(struct slice *rest, struct slice *item)
{
	if (rest->data == NULL || text_trim(*rest).length == 0)
		return (false);
	*item = text_trim(text_cut(*rest, ',', rest));
	return (true);
}

/* --- checks --------------------------------------------------------------- */

static bool
refuse(const struct option *option, const char *text, const char *why,
    char error[OPTION_ERROR_SIZE])
{
	snprintf(error, OPTION_ERROR_SIZE,
	    "Invalid value %.160s for configuration %s: %.240s",
	    text ? text : "null", option->name, why);
	return (false);
}

static bool
words_have(const char *words, struct slice word, bool any_case)
{
	struct slice rest = slice_of_text(words), item;

	while (text_next(&rest, &item)) {
		if (item.length != word.length)
			continue;
		if (any_case ? strncasecmp((const char *)item.data,
				   (const char *)word.data, word.length) == 0
			     : slice_equal(item, word))
			return (true);
	}
	return (false);
}

static bool
check_words(const struct option *option, const char *text,
    char error[OPTION_ERROR_SIZE])
{
	const struct option_valid *valid = &option->valid;
	bool any_case = valid->check == CHECK_ONE_OF_ANY_CASE;
	struct slice rest = slice_of_text(text), item = rest;
	char why[240], bad[160];
	bool ok = true;

	if (valid->check == CHECK_EACH_OF) {
		while (ok && text_next(&rest, &item))
			ok = words_have(valid->words, item, false);
	} else {
		ok = words_have(valid->words, item, any_case);
	}
	if (ok)
		return (true);
	snprintf(why, sizeof(why), "String must be one of%s: %s",
	    any_case ? " (case insensitive)" : "", valid->words);
	snprintf(bad, sizeof(bad), "%.*s",
	    (int)(item.length < sizeof(bad) ? item.length : sizeof(bad) - 1),
	    (const char *)item.data);
	return (refuse(option, bad, why, error));
}

/* Of "3.9", "3.9-IV0" and "3.9.1", the part that names a release. */
static struct slice
version_release(struct slice text)
{
	int dots = text.length > 1 && memcmp(text.data, "0.", 2) == 0 ? 3 : 2;
	size_t i;

	for (i = 0; i < text.length; i++)
		if (text.data[i] == '-' || (text.data[i] == '.' && --dots == 0))
			break;
	return (slice_of(text.data, i));
}

static bool
check_version(const struct option *option, const char *text,
    char error[OPTION_ERROR_SIZE])
{
	static const char releases[] = "0.8.0, 0.8.1, 0.8.2, 0.9.0, 0.10.0, "
	    "0.10.1, 0.10.2, 0.11.0, 1.0, 1.1, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, "
	    "2.6, 2.7, 2.8, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, "
	    "4.0";

	if (words_have(releases, version_release(slice_of_text(text)), false))
		return (true);
	snprintf(error, OPTION_ERROR_SIZE, "Invalid value %.160s for "
	    "configuration %s: Version %.160s is not a valid version", text,
	    option->name, text);
	return (false);
}

static bool
is_digits(struct slice s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!isdigit(s.data[i]))
			return (false);
	return (s.length > 0);
}

static bool
check_throttled_replicas(const struct option *option, const char *text,
    char error[OPTION_ERROR_SIZE])
{
	struct slice rest = slice_of_text(text), item, broker;
	bool ok = true;

	if (strcmp(text, "*") == 0)
		return (true);
	while (ok && text_next(&rest, &item)) {
		struct slice partition = text_cut(item, ':', &broker);

		ok = is_digits(partition) && is_digits(broker);
	}
	if (!ok)
		snprintf(error, OPTION_ERROR_SIZE, "Invalid value [%.100s] for "
		    "configuration %s: %s must be the literal '*' or a list of "
		    "replicas in the following format: "
		    "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
		    text, option->name, option->name);
	return (ok);
}

static bool
check_text(const struct option *option, const char *text,
    char error[OPTION_ERROR_SIZE])
{
	switch (option->valid.check) {
	case CHECK_ONE_OF:
	case CHECK_ONE_OF_ANY_CASE:
	case CHECK_EACH_OF:
		return (check_words(option, text, error));
	case CHECK_NON_EMPTY:
		if (*text == '\0')
			return (refuse(option, text,
			    "String must be non-empty", error));
		return (true);
	case CHECK_VERSION:
		return (check_version(option, text, error));
	case CHECK_THROTTLED_REPLICAS:
		return (check_throttled_replicas(option, text, error));
	default:
		return (true);
	}
}

static bool
check_number(const struct option *option, const char *text, int64_t number,
    char error[OPTION_ERROR_SIZE])
{
	const struct option_valid *valid = &option->valid;
	char why[80];

	if (valid->check == CHECK_GZIP_LEVEL) {
		if (number == -1 || (number >= 1 && number <= 9))
			return (true);
		return (refuse(option, text,
		    "Value must be between 1 and 9 or equal to -1", error));
	}
	if (valid->check != CHECK_RANGE)
		return (true);
	if (number >= valid->low && number <= valid->high)
		return (true);
	if (number < valid->low)
		snprintf(why, sizeof(why), "Value must be at least %" PRId64,
		    valid->low);
	else
		snprintf(why, sizeof(why),
		    "Value must be no more than %" PRId64, valid->high);
	return (refuse(option, text, why, error));
}

static bool
check_real(const struct option *option, double number,
    char error[OPTION_ERROR_SIZE])
{
	const struct option_valid *valid = &option->valid;
	char why[80], text[OPTION_NUMBER_SIZE];

	/* Written so that NaN fails. */
	if (valid->check != CHECK_REAL_RANGE ||
	    (number >= valid->low_real && number <= valid->high_real))
		return (true);
	if (number > valid->high_real)
		snprintf(why, sizeof(why), "Value must be no more than %g",
		    valid->high_real);
	else
		snprintf(why, sizeof(why), "Value must be at least %g",
		    valid->low_real);
	text_of_double(number, text);
	return (refuse(option, text, why, error));
}

/* --- reading -------------------------------------------------------------- */

static const char *
integer_type_name(enum option_type type)
{
	return (type == OPTION_INT ? "INT"
		: type == OPTION_SHORT ? "SHORT"
				       : "LONG");
}

static bool
parse_integer(const struct option *option, const char *text, void *field,
    char error[OPTION_ERROR_SIZE])
{
	int64_t number, bound = option->type == OPTION_INT ? INT32_MAX
	    : option->type == OPTION_SHORT ? INT16_MAX : INT64_MAX;
	char why[48];

	if (!text_to_int64(text_trim(slice_of_text(text)), &number) ||
	    number > bound || number < -bound - 1) {
		snprintf(why, sizeof(why), "Not a number of type %s",
		    integer_type_name(option->type));
		return (refuse(option, text, why, error));
	}
	if (!check_number(option, text, number, error))
		return (false);
	if (option->type == OPTION_INT)
		*(int32_t *)field = (int32_t)number;
	else if (option->type == OPTION_SHORT)
		*(int16_t *)field = (int16_t)number;
	else
		*(int64_t *)field = number;
	return (true);
}

static bool
parse_real(const struct option *option, const char *text, double *field,
    char error[OPTION_ERROR_SIZE])
{
	double number;

	if (!text_to_double(text_trim(slice_of_text(text)), &number))
		return (refuse(option, text, "Not a number of type DOUBLE",
		    error));
	if (!check_real(option, number, error))
		return (false);
	*field = number;
	return (true);
}

static void
parse_null(const struct option *option, void *field)
{
	switch (option->type) {
	case OPTION_BOOLEAN: *(bool *)field = false; break;
	case OPTION_INT: *(int32_t *)field = -1; break;
	case OPTION_SHORT: *(int16_t *)field = -1; break;
	case OPTION_LONG: *(int64_t *)field = -1; break;
	case OPTION_DOUBLE: *(double *)field = -1; break;
	default: *(const char **)field = NULL; break;
	}
}

bool
option_parse(const struct option *option, const char *text, void *field,
    char error[OPTION_ERROR_SIZE])
{
	bool flag;

	if (text == NULL) {
		parse_null(option, field);
		return (true);
	}
	switch (option->type) {
	case OPTION_BOOLEAN:
		if (!text_to_bool(text_trim(slice_of_text(text)), &flag))
			return (refuse(option, text,
			    "Expected value to be either true or false",
			    error));
		*(bool *)field = flag;
		return (true);
	case OPTION_INT:
	case OPTION_SHORT:
	case OPTION_LONG:
		return (parse_integer(option, text, field, error));
	case OPTION_DOUBLE:
		return (parse_real(option, text, field, error));
	default:
		if (!check_text(option, text, error))
			return (false);
		*(const char **)field = text;
		return (true);
	}
}

bool
option_same(const struct option *option, const char *a, const char *b)
{
	union {
		int64_t bits;
		double real;
	} left = { 0 }, right = { 0 };
	char error[OPTION_ERROR_SIZE];

	a = a != NULL ? a : "";
	b = b != NULL ? b : "";
	if (strcmp(a, b) == 0)
		return (true);
	if (option->type == OPTION_BOOLEAN)
		return (strcasecmp(a, b) == 0);
	if (option->type < OPTION_INT || option->type > OPTION_DOUBLE)
		return (false);
	return (option_parse(option, a, &left, error) &&
	    option_parse(option, b, &right, error) && left.bits == right.bits);
}

bool
option_within(const struct option *option, const char *text, const char *whole)
{
	struct slice rest = slice_of_text(text), item;

	if (option->type != OPTION_LIST)
		return (option_same(option, text, whole));
	while (text_next(&rest, &item))
		if (whole == NULL || !words_have(whole, item, false))
			return (false);
	return (true);
}

bool
option_number_text(const struct option *option, const void *field,
    char text[OPTION_NUMBER_SIZE])
{
	int64_t number;

	switch (option->type) {
	case OPTION_INT: number = *(const int32_t *)field; break;
	case OPTION_SHORT: number = *(const int16_t *)field; break;
	case OPTION_LONG: number = *(const int64_t *)field; break;
	case OPTION_DOUBLE:
		text_of_double(*(const double *)field, text);
		return (true);
	default: return (false);
	}
	snprintf(text, OPTION_NUMBER_SIZE, "%" PRId64, number);
	return (true);
}
