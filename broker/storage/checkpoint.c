/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/checkpoint.h"

#include "base/check.h"

/* The next line, without its end (of either kind); false when there is none. */
static bool
line_next(struct slice *text, struct slice *line)
{
	struct slice rest;

	if (text->data == NULL || text->length == 0)
		return (false);
	*line = text_cut(*text, '\n', &rest);
	*text = rest;
	if (line->length > 0 && line->data[line->length - 1] == '\r')
		line->length--;
	return (true);
}

bool
checkpoint_decode(struct slice text, size_t field_count,
    bool (*row)(void *arg, struct slice *fields), void *arg)
{
	struct slice line;
	int32_t version;
	int32_t expected;
	int32_t count = 0;

	CHECK(field_count <= CHECKPOINT_FIELDS_MAX);
	if (text.length == 0)
		return (true);
	if (!line_next(&text, &line) || !text_to_int32(line, &version) ||
	    version != 0 || !line_next(&text, &line) ||
	    !text_to_int32(line, &expected) || expected < 0)
		return (false);
	while (line_next(&text, &line)) {
		struct slice fields[CHECKPOINT_FIELDS_MAX];
		struct slice rest = line;

		for (size_t i = 0; i < field_count; i++) {
			if (rest.data == NULL)
				return (false);
			fields[i] = text_cut(rest, ' ', &rest);
		}
		if (rest.data != NULL || !row(arg, fields))
			return (false);
		count++;
	}
	return (count == expected);
}
