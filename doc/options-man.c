/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes barnabas.properties(5) out of the rows of the options.  Standard
 * input is the page's text, in which the lines @BROKER@ and @TOPIC@ stand for
 * the lists.
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

/* Backslashes and control lines of roff are made harmless; each sentence
 * begins a line of its own. */
static void
print_text(const char *text)
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
print_valid(const struct option_valid *valid)
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
		printf(", 1 to 9 or \\-1");
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
print_status(const struct option *o)
{
	static const char *const words[] = {
		[STATUS_HONOURED] = NULL,
		[STATUS_NO_EFFECT] = "Without effect",
		[STATUS_LATER] = "Without effect in this version",
		[STATUS_REFUSED] = "Refused unless at its default",
		[STATUS_SECURITY] = "Refused unless at its default",
		[STATUS_TLS] = "Refused with a listener that speaks TLS",
		[STATUS_SASL] = "Refused with a listener that speaks SASL",
	};

	if (words[o->status] == NULL)
		return;
	printf("%s: ", words[o->status]);
	print_text(o->why);
	puts(".");
}

static void
print_option(const struct option *o, bool broker)
{
	static const char *const updates[] = { "read-only", "per broker",
		"cluster-wide" };

	printf(".It Va %s\n", o->name);
	print_text(o->prose);
	printf("\n.br\n.Pq %s", type_names[o->type]);
	print_valid(&o->valid);
	if (o->fallback == NULL)
		printf("; unset by default");
	else if (*o->fallback == '\0')
		printf("; empty by default");
	else
		printf("; default %s", o->fallback);
	if (broker)
		printf("; %s", updates[o->update]);
	if (o->source != NULL)
		printf("; of the broker: %s", o->source);
	putchar('\n');
	print_status(o);
}

static void
print_broker(void)
{
	for (size_t s = 0; s < nelems(sections); s++) {
		printf(".Ss %s\n.Bl -tag -width Ds\n", sections[s].title);
		for (size_t i = 0; i < option_count(); i++)
			if (strcmp(option_at(i)->room, sections[s].room) == 0)
				print_option(option_at(i), true);
		puts(".El");
	}
}

static void
print_topic(void)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < topic_option_count(); i++)
		print_option(topic_option_at(i), false);
	puts(".El");
}

int
main(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "@BROKER@\n") == 0)
			print_broker();
		else if (strcmp(line, "@TOPIC@\n") == 0)
			print_topic();
		else
			fputs(line, stdout);
	}
	return (fflush(stdout) == 0 && !ferror(stdin) ? 0 : 1);
}
