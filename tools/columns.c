/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/text.h"
#include "tools/columns.h"

#define UTF16_UNIT_MAX 0xffff

size_t
column_width(struct slice text)
{
	size_t width = 0;

	while (text.length != 0)
		width += text_utf8_next(&text) > UTF16_UNIT_MAX ? 2 : 1;
	return (width);
}

size_t
column_widest(size_t width, struct slice text)
{
	const size_t its = column_width(text);

	return (its > width ? its : width);
}

void
column_put(struct buffer *out, struct slice text, size_t width)
{
	buffer_append_slice(out, text);
	for (size_t at = column_width(text); at < width; at++)
		buffer_append_text(out, " ");
}

void
column_put_int(struct buffer *out, int64_t number, size_t width)
{
	buffer_printf(out, "%-*" PRId64, (int)width, number);
}
