/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows against the field tables of tests/vectors/fields: every message,
 * every field, in order, with every word.  A table's line is
 *	indent name type versions attribute*
 * and two spaces of indent are one level of nesting; `struct NAME versions` at
 * the top of a block defines what several fields share.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tests/unit/wire_values.h"

#define MOST_LINES 64
#define MOST_WORDS 12
#define LINE_BYTES 256

struct line {
	char text[LINE_BYTES];
	char *words[MOST_WORDS];
	int word_count;
	int indent;
};

struct block {
	struct line lines[MOST_LINES];
	int count;
	int lowest;
	int highest;
	int differences;
	const char *name;
};

struct range {
	int from;
	int to;
};

static void __attribute__((format(printf, 3, 4)))
differ(struct block *block, const struct line *line, const char *format, ...)
{
	va_list arguments;

	block->differences++;
	fprintf(stderr, "%s.%s: ", block->name, line->words[0]);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* "none", "3", "1-4" or "2+" */
static struct range
range_of(const char *text)
{
	char *end;
	struct range range = { INT16_MAX, -1 };

	if (strcmp(text, "none") == 0)
		return (range);
	range.from = range.to = (int)strtol(text, &end, 10);
	if (*end == '+')
		range.to = INT16_MAX;
	else if (*end == '-')
		range.to = (int)strtol(end + 1, NULL, 10);
	return (range);
}

/* FetchRequest is fetch_request. */
static bool
same_name(const char *table, const char *row)
{
	for (;; table++, row++) {
		while (*row == '_')
			row++;
		if (tolower((unsigned char)*table) !=
		    tolower((unsigned char)*row))
			return (false);
		if (*table == '\0')
			return (true);
	}
}

/* The value of `key=`, "" for a bare word, NULL when absent. */
static const char *
attribute(const struct line *line, const char *key)
{
	const size_t length = strlen(key);

	for (int i = 2; i < line->word_count; i++) {
		const char *word = line->words[i];

		if (strncmp(word, key, length) != 0)
			continue;
		if (word[length] == '=')
			return (word + length + 1);
		if (word[length] == '\0')
			return ("");
	}
	return (NULL);
}

static const char *
kind_name(const struct field *field)
{
	static const char *const names[] = { [KIND_none] = "struct",
		[KIND_bool] = "bool", [KIND_int8] = "int8",
		[KIND_int16] = "int16", [KIND_uint16] = "uint16",
		[KIND_int32] = "int32", [KIND_uint32] = "uint32",
		[KIND_int64] = "int64", [KIND_float64] = "float64",
		[KIND_uuid] = "uuid", [KIND_string] = "string",
		[KIND_bytes] = "bytes", [KIND_records] = "records" };

	return (names[field->kind]);
}

static void
compare_type(struct block *block, const struct line *line,
    const struct field *field)
{
	const char *type = line->words[1];
	const size_t length = strcspn(type, "[");
	const bool array = type[length] == '[';
	const bool is_struct = isupper((unsigned char)type[0]) != 0;
	const char *kind = kind_name(field);
	enum field_shape shape = array ? SHAPE_LIST : SHAPE_FIELD;

	if (is_struct)
		shape = array ? SHAPE_ARRAY
		    : attribute(line, "nullable") ? SHAPE_OPTIONAL : SHAPE_ONE;
	if (field->shape != shape)
		differ(block, line, "shape %d, not %d", field->shape, shape);
	if (is_struct ? field->kind != KIND_none
		      : strlen(kind) != length ||
			    strncmp(kind, type, length) != 0)
		differ(block, line, "type %s, not %s", kind, type);
}

static int
limit(int version, int lowest, int highest)
{
	return (version < lowest ? lowest
		: version > highest ? highest : version);
}

static void
compare_versions(struct block *block, const struct line *line,
    const struct field *field)
{
	const struct range in = range_of(line->words[2]);
	const char *nullable = attribute(line, "nullable");
	const struct range null = range_of(nullable ? nullable : "none");
	const char *tag = attribute(line, "tag");
	const int lo = block->lowest, hi = block->highest;

	if (limit(in.from, lo, hi) != limit(field->since, lo, hi) ||
	    limit(in.to, lo, hi) != limit(field->until, lo, hi))
		differ(block, line, "versions %d-%d, not %s", field->since,
		    field->until, line->words[2]);
	for (int v = lo; v <= hi; v++) {
		if (v < in.from || v > in.to)
			continue;
		if (field_nullable_in(field, v) !=
		    (v >= null.from && v <= null.to))
			differ(block, line, "nullable in version %d", v);
	}
	if (field->tag != (tag != NULL ? (int)strtol(tag, NULL, 10) + 1 : 0))
		differ(block, line, "tag %d", field->tag - 1);
	if (tag != NULL &&
	    strcmp(attribute(line, "tagged"), line->words[2]) != 0)
		differ(block, line, "the tag begins later than the field");
}

static void
compare_defaults(struct block *block, const struct line *line,
    const struct field *field)
{
	const char *text = attribute(line, "default");
	const bool null = text != NULL && strcmp(text, "null") == 0;
	int64_t initial = 0;

	if (text != NULL && strcmp(text, "true") == 0)
		initial = 1;
	else if (text != NULL && !null)
		initial = strtoll(text, NULL, 0);
	if (field->null_initial != null || field->initial != initial)
		differ(block, line, "default");
	if (field->ignorable != (attribute(line, "ignorable") != NULL))
		differ(block, line, "ignorable");
	if (field->not_compact != (attribute(line, "flex") != NULL))
		differ(block, line, "compact");
}

/* Where a field's members begin: beneath it, or beneath a shared struct. */
static int
members_of(const struct block *block, int at)
{
	const char *type = block->lines[at].words[1];
	const size_t length = strcspn(type, "[");

	if (at + 1 < block->count &&
	    block->lines[at + 1].indent > block->lines[at].indent)
		return (at + 1);
	for (int i = 0; i < block->count; i++) {
		char *const *words = block->lines[i].words;

		if (strcmp(words[0], "struct") == 0 &&
		    strlen(words[1]) == length &&
		    strncmp(words[1], type, length) == 0)
			return (i + 1);
	}
	return (-1);
}

static void
compare_struct(struct block *block, int at, const struct schema *schema)
{
	const int indent = block->lines[at].indent;
	const int first = at;
	uint32_t i = 0;

	for (; at < block->count && block->lines[at].indent >= indent; at++) {
		const struct line *line = &block->lines[at];
		const struct field *field = &schema->fields[i];

		if (line->indent > indent ||
		    strcmp(line->words[0], "struct") == 0)
			continue;
		if (i++ == schema->field_count ||
		    !same_name(line->words[0], field->name)) {
			differ(block, line, "no such row here in %s",
			    schema->name);
			return;
		}
		compare_type(block, line, field);
		compare_versions(block, line, field);
		compare_defaults(block, line, field);
		if (field->element == NULL)
			continue;
		if (members_of(block, at) < 0)
			differ(block, line, "no members in the table");
		else
			compare_struct(block, members_of(block, at),
			    field->element());
	}
	if (i != schema->field_count)
		differ(block, &block->lines[first], "%s has more rows",
		    schema->name);
}

static void
compare_head(struct block *block, const struct line *head,
    const struct message *message)
{
	static const char *const kinds[] = { "request", "response", "data" };
	const struct range valid = range_of(attribute(head, "valid"));
	const char *kind = strcmp(head->words[0], "header") == 0
	    ? "data" : head->words[0];
	const char *key = attribute(head, "key");

	if (message_lowest(message) != valid.from ||
	    message_highest(message) != valid.to ||
	    message_flexible(message) !=
		range_of(attribute(head, "flexible")).from)
		differ(block, head, "the message's versions");
	if (strcmp(kind, kinds[message_kind(message)]) != 0 ||
	    message_api(message) != (key ? (int)strtol(key, NULL, 10) : -1))
		differ(block, head, "the message's kind or API");
	block->lowest = valid.from;
	block->highest = valid.to;
}

static void
compare_block(struct block *block, const struct line *head)
{
	const struct message *message = NULL;

	block->name = head->words[1];
	for (size_t i = 0; message_at(i) != NULL; i++)
		if (same_name(block->name, message_name(message_at(i))))
			message = message_at(i);
	if (message == NULL) {
		differ(block, head, "no such message");
		return;
	}
	compare_head(block, head, message);
	compare_struct(block, 0, message->schema());
}

static void
line_split(struct line *line)
{
	char *save = NULL;

	line->indent = (int)strspn(line->text, " ");
	line->word_count = 0;
	for (char *word = strtok_r(line->text, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save)) {
		CHECK(line->word_count < MOST_WORDS);
		line->words[line->word_count++] = word;
	}
}

/* Differences; *blocks grows by the blocks seen. */
static int
compare_file(const char *path, size_t *blocks)
{
	struct block *block = mem_zalloc(sizeof(*block));
	struct line head = { .word_count = 0 };
	FILE *file = fopen(path, "r");
	int differences;

	CHECK(file != NULL);
	for (;;) {
		struct line *line = head.word_count == 0
		    ? &head : &block->lines[block->count];

		CHECK(block->count < MOST_LINES);
		if (fgets(line->text, sizeof(line->text), file) == NULL)
			break;
		if (line->text[0] == '#' || line->text[0] == '\n')
			continue;
		line_split(line);
		if (strcmp(line->words[0], "end") == 0) {
			compare_block(block, &head);
			++*blocks;
			block->count = head.word_count = 0;
		} else if (line != &head) {
			block->count++;
		}
	}
	fclose(file);
	differences = block->differences;
	mem_free(block);
	return (differences);
}

int
tables_compare(const char *folder)
{
	struct dirent *entry;
	size_t blocks = 0, messages = 0;
	int differences = 0;
	char path[4096];
	DIR *dir = opendir(folder);

	if (dir == NULL) {
		fprintf(stderr, "%s: not found\n", folder);
		return (1);
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".msg") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		differences += compare_file(path, &blocks);
	}
	closedir(dir);
	while (message_at(messages) != NULL)
		messages++;
	if (blocks != messages) {
		fprintf(stderr, "%zu tables, %zu messages\n", blocks, messages);
		differences++;
	}
	return (differences);
}
