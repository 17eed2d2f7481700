/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/args.h"

static const struct arg_row *
row_find(const struct arg_row *rows, const char *name, size_t length)
{
	for (const struct arg_row *row = rows; row->name != NULL; row++)
		if (strlen(row->name) == length &&
		    memcmp(row->name, name, length) == 0)
			return (row);
	return (NULL);
}

/* The option with that name, or the only one whose name begins so. NULL:
 * *why. */
static const struct arg_row *
row_begun(const struct arg_row *rows, const char *name, size_t length,
    struct buffer *why)
{
	const struct arg_row *found = row_find(rows, name, length);
	size_t count = 0;

	if (found != NULL && found->kind != ARG_OPERAND)
		return (found);
	found = NULL;
	for (const struct arg_row *row = rows; row->name != NULL; row++) {
		if (length == 0 || row->kind == ARG_OPERAND ||
		    strncmp(row->name, name, length) != 0)
			continue;
		if (count == 1)
			buffer_printf(why, "--%.*s may be --%s",
			    (int)length, name, found->name);
		if (count++ > 0)
			buffer_printf(why, " or --%s", row->name);
		found = row;
	}
	if (count == 0)
		buffer_printf(why, "there is no option --%.*s", (int)length,
		    name);
	else if (count > 1)
		buffer_append_text(why, "; give more of its name");
	return (count == 1 ? found : NULL);
}

static bool
value_good(const struct arg_row *row, const char *text, struct buffer *why)
{
	int64_t number;
	int32_t small;
	double real;

	if (row->kind == ARG_REAL &&
	    !text_to_double(slice_of_text(text), &real)) {
		buffer_printf(why, "--%s wants a number, not \"%s\"",
		    row->name, text);
		return (false);
	}
	if ((row->kind == ARG_INT &&
		!text_to_int32(slice_of_text(text), &small)) ||
	    (row->kind == ARG_LONG &&
		!text_to_int64(slice_of_text(text), &number))) {
		buffer_printf(why, "--%s wants a whole number, not \"%s\"",
		    row->name, text);
		return (false);
	}
	return (true);
}

static bool
args_given(const struct args *args, const struct arg_row *row)
{
	for (size_t i = 0; i < args->count; i++)
		if (args->given[i].row == row)
			return (true);
	return (false);
}

/* What follows an option. */
struct args_rest {
	char *const *argv;
	int count;
};

static void
args_add(struct args *args, const struct arg_row *row, const char *text)
{
	args->given[args->count].row = row;
	args->given[args->count].text = text;
	args->count++;
}

/* One option, whose name is known, with `value` behind its "=", or NULL.
 * *taken: how many arguments it used up. */
static bool
args_take(struct args *args, const struct arg_row *row, const char *value,
    const struct args_rest *rest, int *taken)
{
	const char *next = rest->count > 0 ? rest->argv[0] : NULL;

	*taken = 1;
	if (row->kind == ARG_FLAG) {
		args_add(args, row, NULL);
		return (value == NULL);
	}
	if (value != NULL) {
		args_add(args, row, value);
		return (true);
	}
	if (next == NULL || (row->kind == ARG_MAYBE && next[0] == '-')) {
		args_add(args, row, row->fallback);
		return (row->kind == ARG_MAYBE);
	}
	args_add(args, row, next);
	*taken = 2;
	while (row->kind == ARG_SEVERAL && *taken <= rest->count &&
	    strncmp(rest->argv[*taken - 1], "--", 2) != 0)
		args_add(args, row, rest->argv[(*taken)++ - 1]);
	return (true);
}

/* The option that an argument names; "-x" may be a letter, or a whole name. */
static const struct arg_row *
args_option(const struct args *args, const char *argument, size_t length,
    struct buffer *why)
{
	const bool one_dash = argument[1] != '-';
	const char *name = argument + (one_dash ? 1 : 2);
	const struct arg_row *row;

	length -= (size_t)(name - argument);
	if (!one_dash)
		return (row_begun(args->rows, name, length, why));
	for (row = args->rows; row->name != NULL; row++)
		if (length == 1 && row->letter == name[0])
			return (row);
	row = row_find(args->rows, name, length);
	if (row != NULL && row->kind != ARG_OPERAND)
		return (row);
	buffer_printf(why, "there is no option -%.*s", (int)length, name);
	return (NULL);
}

static bool
args_one(struct args *args, const char *argument,
    const struct args_rest *rest, int *taken, struct buffer *why)
{
	const char *equals = strchr(argument, '=');
	const struct arg_row *row = args_option(args, argument,
	    equals != NULL ? (size_t)(equals - argument) : strlen(argument),
	    why);

	if (row == NULL)
		return (false);
	if (row->kind != ARG_MANY && row->kind != ARG_SEVERAL &&
	    row->kind != ARG_FLAG && args_given(args, row)) {
		buffer_printf(why, "--%s was given twice", row->name);
		return (false);
	}
	if (!args_take(args, row, equals != NULL ? equals + 1 : NULL, rest,
		taken)) {
		buffer_printf(why, row->kind == ARG_FLAG
			? "--%s takes no value"
			: "--%s wants a value",
		    row->name);
		return (false);
	}
	return (row->kind == ARG_FLAG ||
	    value_good(row, args->given[args->count - 1].text, why));
}

/* A word that is no option. */
static bool
args_operand(struct args *args, const char *word, struct buffer *why)
{
	for (const struct arg_row *row = args->rows; row->name != NULL; row++)
		if (row->kind == ARG_OPERAND && !args_given(args, row)) {
			args_add(args, row, word);
			return (true);
		}
	buffer_printf(why, "\"%s\" is no option: options begin with --", word);
	return (false);
}

bool
args_parse(struct args *args, const struct arg_row *rows, int argc,
    char *const argv[], struct buffer *why)
{
	int taken;

	args->rows = rows;
	args->count = 0;
	args->given = mem_zalloc(((size_t)argc + 1) * sizeof(*args->given));
	for (int i = 1; i < argc; i += taken) {
		const struct args_rest rest = { argv + i + 1, argc - i - 1 };
		const bool option = argv[i][0] == '-' && argv[i][1] != '\0' &&
		    strcmp(argv[i], "--") != 0;

		taken = 1;
		if (option ? !args_one(args, argv[i], &rest, &taken, why)
			   : !args_operand(args, argv[i], why))
			return (false);
	}
	return (true);
}

void
args_fini(struct args *args)
{
	mem_free(args->given);
	args->given = NULL;
	args->count = 0;
}

static const struct arg_row *
row_named(const struct args *args, const char *name)
{
	const struct arg_row *row = row_find(args->rows, name, strlen(name));

	CHECK(row != NULL);
	return (row);
}

bool
args_has(const struct args *args, const char *name)
{
	return (args_given(args, row_named(args, name)));
}

const char *
args_text(const struct args *args, const char *name)
{
	const struct arg_row *row = row_named(args, name);

	for (size_t i = 0; i < args->count; i++)
		if (args->given[i].row == row)
			return (args->given[i].text);
	return (row->kind == ARG_MAYBE ? NULL : row->fallback);
}

int64_t
args_number(const struct args *args, const char *name)
{
	const char *text = args_text(args, name);
	int64_t number = -1;

	CHECK(text == NULL || text_to_int64(slice_of_text(text), &number));
	return (number);
}

double
args_real(const struct args *args, const char *name)
{
	const char *text = args_text(args, name);
	double number = -1;

	CHECK(text == NULL || text_to_double(slice_of_text(text), &number));
	return (number);
}

const char *
args_next(const struct args *args, const char *name, size_t *at)
{
	const struct arg_row *row = row_named(args, name);

	while (*at < args->count)
		if (args->given[(*at)++].row == row)
			return (args->given[*at - 1].text);
	return (NULL);
}

bool
args_json(const struct args *args)
{
	return (strcmp(args_text(args, "output"), "json") == 0);
}

const char *
args_first_of(const struct args *args, const char *const *names)
{
	for (; *names != NULL; names++)
		if (args_has(args, *names))
			return (*names);
	return (NULL);
}

void
args_help(const struct arg_row *rows, struct buffer *out)
{
	for (const struct arg_row *row = rows; row->name != NULL; row++) {
		if (row->kind == ARG_OPERAND)
			buffer_printf(out, "  %s", row->shape);
		else if (row->letter != '\0')
			buffer_printf(out, "  -%c, --%s", row->letter,
			    row->name);
		else
			buffer_printf(out, "  --%s", row->name);
		if (row->kind == ARG_MAYBE)
			buffer_printf(out, " [%s]", row->shape);
		else if (row->shape != NULL && row->kind != ARG_OPERAND)
			buffer_printf(out, " %s%s", row->shape,
			    row->kind == ARG_SEVERAL ? " ..." : "");
		buffer_printf(out, "\n        %s", row->help);
		if (row->fallback != NULL)
			buffer_printf(out, " (default: %s)", row->fallback);
		buffer_append_text(out, "\n");
	}
}
