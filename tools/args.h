/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a command, as rows, and what the user gave for them.  Syntax
 * is that of Kafka's scripts: --name value, --name=value, -name; behind two
 * dashes the beginning of a name will do that no other one has.  Texts borrow
 * argv.
 */
#ifndef TOOLS_ARGS_H
#define TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum arg_kind {
	ARG_FLAG,
	ARG_TEXT,
	ARG_INT,
	ARG_LONG,
	ARG_MANY,  /* text that may be given again */
	ARG_REAL,
	ARG_SEVERAL, /* texts up to the next option; as ARG_MANY else */
	ARG_MAYBE,   /* text that may be absent: the row's fallback then */
	ARG_OPERAND  /* a word that is no option, by the order of the rows */
};

struct arg_row {
	const char *name; /* NULL: the end of the rows */
	enum arg_kind kind;
	const char *shape;    /* of the value, for --help */
	const char *fallback; /* when it is not given; NULL: none */
	const char *help;
	char letter; /* -x is the option, too; NUL: none */
};

#define ARGS_COMMON                                                           \
	{ "output", ARG_TEXT, "text|json", "text", "Print text or JSON." },   \
	{ "progress", ARG_FLAG, NULL, NULL,                                   \
	    "Tell how far long work is, also when standard error is no "      \
	    "terminal." },                                                    \
	{ "help", ARG_FLAG, NULL, NULL, "Tell the options of the command." }, \
	{ "version", ARG_FLAG, NULL, NULL, "Print the version." },            \
	{ NULL, ARG_FLAG, NULL, NULL, NULL }

struct arg_given {
	const struct arg_row *row;
	const char *text; /* NULL: a flag */
};

struct args {
	const struct arg_row *rows;
	struct arg_given *given;
	size_t count;
};

/* argv[0] is not looked at.  False: *why says what is wrong and what to do. */
bool args_parse(struct args *args, const struct arg_row *rows, int argc,
    char *const argv[], struct buffer *why);
void args_fini(struct args *args);

bool args_has(const struct args *args, const char *name);
/* What was given, or else the fallback. */
const char *args_text(const struct args *args, const char *name);
int64_t args_number(const struct args *args, const char *name);
double args_real(const struct args *args, const char *name);
/* Walks the values of an ARG_MANY or ARG_SEVERAL; *at begins as 0.  NULL: no
 * more. */
const char *args_next(const struct args *args, const char *name, size_t *at);
bool args_json(const struct args *args);
/* The first of `names` (ended by NULL) that was given; NULL: none was. */
const char *args_first_of(const struct args *args, const char *const *names);
void args_help(const struct arg_row *rows, struct buffer *out);

#endif
