/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets to reset, as lines with commas: what --export writes and --from-file
 * reads.  Texts stand in quotes, doubled inside, where Jackson puts them.
 */
#include <inttypes.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/groups.h"

#define FIELDS_MAX 4
/* Longer ones Jackson does not look through. */
#define UNQUOTED_MAX 24
/* The first byte behind all that needs quotes: the comma and what is below. */
#define UNQUOTED_FIRST '-'

static bool
needs_quotes(struct slice text)
{
	bool needs = text.length > UNQUOTED_MAX;

	for (size_t i = 0; i < text.length; i++)
		needs = needs || text.data[i] < UNQUOTED_FIRST;
	return (needs);
}

static void
put_text(struct slice text, struct buffer *out)
{
	if (!needs_quotes(text)) {
		buffer_append_slice(out, text);
		return;
	}
	buffer_append_text(out, "\"");
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == '"')
			buffer_append_text(out, "\"");
		buffer_append(out, &text.data[i], 1);
	}
	buffer_append_text(out, "\"");
}

void
plan_put(struct slice group, const struct group_offset *at,
    struct buffer *out)
{
	if (group.data != NULL) {
		put_text(group, out);
		buffer_append_text(out, ",");
	}
	put_text(at->topic, out);
	buffer_printf(out, ",%d,%" PRId64 "\n", at->partition, at->offset);
}

/* --- reading -------------------------------------------------------------- */

/* The text between quotes; *rest is behind them. False: no end. */
static bool
take_quoted(struct slice *rest, struct arena *arena, struct slice *out)
{
	uint8_t *text = arena_alloc(arena, rest->length + 1);
	size_t length = 0;
	size_t at = 1;

	CHECK(text != NULL);
	for (; at < rest->length; at++) {
		if (rest->data[at] == '"' &&
		    (at + 1 == rest->length || rest->data[at + 1] != '"'))
			break;
		if (rest->data[at] == '"')
			at++;
		text[length++] = rest->data[at];
	}
	if (at >= rest->length)
		return (false);
	*out = slice_of(text, length);
	*rest = slice_of(rest->data + at + 1, rest->length - at - 1);
	return (true);
}

/* The fields of a line; -1: no end of a quote, or something behind it. */
static int
line_fields(struct slice line, struct arena *arena, struct slice *fields)
{
	bool good = true;
	int count = 0;

	while (line.data != NULL) {
		struct slice field;

		if (count == FIELDS_MAX)
			return (-1);
		if (line.length != 0 && line.data[0] == '"') {
			if (!take_quoted(&line, arena, &field))
				return (-1);
			if (text_cut(line, ',', &line).length != 0)
				return (-1);
		} else {
			field = arena_slice_copy(arena,
			    text_cut(line, ',', &line), &good);
		}
		CHECK(good);
		fields[count++] = field;
	}
	return (count);
}

static bool
row_parse(const struct slice *fields, struct plan_row *row)
{
	row->at.topic = fields[0];
	return (fields[0].length != 0 &&
	    text_to_int32(text_trim(fields[1]), &row->at.partition) &&
	    row->at.partition >= 0 &&
	    text_to_int64(text_trim(fields[2]), &row->at.offset));
}

static void
plan_add(struct plan *plan, const struct plan_row *row)
{
	plan->rows =
	    mem_realloc(plan->rows, (plan->count + 1) * sizeof(*plan->rows));
	plan->rows[plan->count++] = *row;
}

bool
plan_parse(struct slice text, const char *group, struct arena *arena,
    struct plan *plan, struct buffer *why)
{
	struct slice fields[FIELDS_MAX];
	int wanted = 0;

	*plan = (struct plan) { 0 };
	for (int number = 1; text.data != NULL; number++) {
		struct slice line = text_cut(text, '\n', &text);
		struct plan_row row = { .group = slice_of_text(group) };
		int count;

		if (line.length != 0 && line.data[line.length - 1] == '\r')
			line.length--;
		if (line.length == 0)
			continue;
		count = line_fields(line, arena, fields);
		if (wanted == 0)
			wanted = group != NULL && count == FIELDS_MAX - 1
			    ? FIELDS_MAX - 1
			    : FIELDS_MAX;
		if (wanted == FIELDS_MAX && count == wanted)
			row.group = fields[0];
		if (count != wanted ||
		    !row_parse(fields + (wanted == FIELDS_MAX), &row)) {
			buffer_printf(why, "line %d is not \"%s\"", number,
			    wanted == FIELDS_MAX
				? "group,topic,partition,offset"
				: "topic,partition,offset");
			return (false);
		}
		plan_add(plan, &row);
	}
	return (true);
}

void
plan_fini(struct plan *plan)
{
	mem_free(plan->rows);
	*plan = (struct plan) { 0 };
}
