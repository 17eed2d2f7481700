/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes barnabas.properties(5) and, told "markdown", doc/configuration.md out
 * of the rows of the options.  Standard input is the page's text, in which the
 * lines @BROKER@ and @TOPIC@ stand for the lists.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "config/options.h"
#include "config/topic.h"

struct section {
	const char *room;
	const char *title;
};

static const struct section sections[] = {
#define ROOM(room_, title_) { #room_, title_ },
#define OPTION(...)
#define DERIVED(...)
#define ROOM_END(...)
#include "config/options.def"
#undef ROOM
#undef OPTION
#undef DERIVED
#undef ROOM_END
};

static const char *const type_names[] = { "", "boolean", "string", "int",
	"short", "long", "double", "list", "class", "password" };

/* How a page is written. */
struct format {
	void (*text)(const char *text);
	const char *minus; /* of a negative number */
	void (*begin)(const char *title); /* NULL: under the page's own */
	void (*name)(const char *name);
	const char *line_end; /* between a text and what follows it */
	const char *item_end;
	const char *end;
};

/* --- roff ----------------------------------------------------------------- */

/* Backslashes and control lines of roff are made harmless; each sentence
 * begins a line of its own. */
static void
roff_text(const char *text)
{
	const char *at;
	bool line_start = true;

	for (at = text; *at != '\0'; at++) {
		if (line_start && (*at == '.' || *at == '\''))
			fputs("\\&", stdout);
		line_start = false;
		if (*at == '\\') {
			fputs("\\e", stdout);
		} else if (at[0] == '.' && at[1] == ' ') {
			fputs(".\n", stdout);
			at++;
			line_start = true;
		} else {
			putchar(*at);
		}
	}
}

static void
roff_begin(const char *title)
{
	if (title != NULL)
		printf(".Ss %s\n", title);
	puts(".Bl -tag -width Ds");
}

static void
roff_name(const char *name)
{
	printf(".It Va %s\n", name);
}

static const struct format roff = { roff_text, "\\-", roff_begin, roff_name,
	"\n.br\n.Pq ", "\n", ".El\n" };

/* --- Markdown ------------------------------------------------------------- */

/* What Markdown or its HTML would take for its own. */
static void
markdown_text(const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("*_<>|\\`[]", *text) != NULL)
			putchar('\\');
		putchar(*text);
	}
}

static void
markdown_begin(const char *title)
{
	if (title != NULL)
		printf("### %s\n\n", title);
}

static void
markdown_name(const char *name)
{
	printf("- `%s`: ", name);
}

static const struct format markdown = { markdown_text, "-", markdown_begin,
	markdown_name, "\n  ", "\n", "\n" };

/* --- what both tell ------------------------------------------------------- */

static void
print_valid(const struct format *f, const struct option_valid *valid)
{
	switch (valid->check) {
	case CHECK_RANGE:
		if (valid->high == INT64_MAX)
			printf(", at least %" PRId64, valid->low);
		else
			printf(", %" PRId64 " to %" PRId64, valid->low,
			    valid->high);
		break;
	case CHECK_REAL_RANGE:
		printf(", %g to %g", valid->low_real, valid->high_real);
		break;
	case CHECK_GZIP_LEVEL:
		printf(", 1 to 9 or %s1", f->minus);
		break;
	case CHECK_ONE_OF:
	case CHECK_ONE_OF_ANY_CASE:
		printf(", one of: %s", valid->words);
		break;
	case CHECK_EACH_OF:
		printf(", each one of: %s", valid->words);
		break;
	default:
		break;
	}
}

static void
print_status(const struct format *f, const struct option *o)
{
	static const char *const words[] = {
		[STATUS_HONOURED] = NULL,
		[STATUS_NO_EFFECT] = "Without effect",
		[STATUS_LATER] = "Without effect in this version",
		[STATUS_REFUSED] = "Refused unless at its default",
		[STATUS_SECURITY] = "Refused unless at its default",
		[STATUS_SASL] = "Refused with a listener that speaks SASL",
	};

	if (words[o->status] == NULL)
		return;
	printf("%s%s: ", f == &markdown ? "  " : "", words[o->status]);
	f->text(o->why);
	puts(".");
}

static void
print_option(const struct format *f, const struct option *o, bool broker)
{
	static const char *const updates[] = { "read-only", "per broker",
		"cluster-wide" };
	const char *quote = f == &markdown ? "`" : "";

	f->name(o->name);
	f->text(o->prose);
	printf("%s%s%s", f->line_end, f == &markdown ? "(" : "",
	    type_names[o->type]);
	print_valid(f, &o->valid);
	if (o->fallback == NULL)
		printf("; unset by default");
	else if (*o->fallback == '\0')
		printf("; empty by default");
	else
		printf("; default %s%s%s", quote, o->fallback, quote);
	if (broker)
		printf("; %s", updates[o->update]);
	if (o->source != NULL)
		printf("; of the broker: %s%s%s", quote, o->source, quote);
	printf("%s%s", f == &markdown ? ")" : "", f->item_end);
	print_status(f, o);
}

static void
print_broker(const struct format *f)
{
	for (size_t s = 0; s < nelems(sections); s++) {
		f->begin(sections[s].title);
		for (size_t i = 0; i < option_count(); i++)
			if (strcmp(option_at(i)->room, sections[s].room) == 0)
				print_option(f, option_at(i), true);
		fputs(f->end, stdout);
	}
}

static void
print_topic(const struct format *f)
{
	f->begin(NULL);
	for (size_t i = 0; i < topic_option_count(); i++)
		print_option(f, topic_option_at(i), false);
	fputs(f->end, stdout);
}

int
main(int argc, char **argv)
{
	const struct format *f = argc > 1 && strcmp(argv[1], "markdown") == 0 ?
	    &markdown : &roff;
	char line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "@BROKER@\n") == 0)
			print_broker(f);
		else if (strcmp(line, "@TOPIC@\n") == 0)
			print_topic(f);
		else
			fputs(line, stdout);
	}
	return (fflush(stdout) == 0 && !ferror(stdin) ? 0 : 1);
}
