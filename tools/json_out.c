/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "tools/json_out.h"

static void
put_escaped(struct buffer *out, struct slice text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const uint8_t *at;
	int32_t point;

	buffer_append_text(out, "\"");
	while (text.length != 0) {
		at = text.data;
		point = text_utf8_next(&text);
		if (point < 0)
			buffer_append_text(out, replacement);
		else if (point == '"' || point == '\\')
			buffer_printf(out, "\\%c", (char)point);
		else if (point == '\n')
			buffer_append_text(out, "\\n");
		else if (point == '\t')
			buffer_append_text(out, "\\t");
		else if (point < 0x20)
			buffer_printf(out, "\\u%04x", (unsigned)point);
		else
			buffer_append(out, at, (size_t)(text.data - at));
	}
	buffer_append_text(out, "\"");
}

static void
put_name(struct json_out *json, const char *name)
{
	if (json->comma)
		buffer_append_text(json->out, ",");
	json->comma = true;
	if (name == NULL)
		return;
	put_escaped(json->out, slice_of_text(name));
	buffer_append_text(json->out, ":");
}

void
json_init(struct json_out *json, struct buffer *out)
{
	json->out = out;
	json->comma = false;
}

void
json_open(struct json_out *json, const char *name, char bracket)
{
	put_name(json, name);
	buffer_append(json->out, &bracket, 1);
	json->comma = false;
}

void
json_close(struct json_out *json, char bracket)
{
	buffer_append(json->out, &bracket, 1);
	json->comma = true;
}

void
json_text(struct json_out *json, const char *name, struct slice text)
{
	if (text.data == NULL) {
		json_none(json, name);
		return;
	}
	put_name(json, name);
	put_escaped(json->out, text);
}

void
json_int(struct json_out *json, const char *name, int64_t number)
{
	put_name(json, name);
	buffer_printf(json->out, "%" PRId64, number);
}

void
json_number(struct json_out *json, const char *name, double number, int digits)
{
	if (!isfinite(number)) {
		json_none(json, name);
		return;
	}
	put_name(json, name);
	buffer_printf(json->out, "%.*f", digits, number);
}

void
json_bool(struct json_out *json, const char *name, bool value)
{
	put_name(json, name);
	buffer_append_text(json->out, value ? "true" : "false");
}

void
json_none(struct json_out *json, const char *name)
{
	put_name(json, name);
	buffer_append_text(json->out, "null");
}

void
json_ints(struct json_out *json, const char *name, const int32_t *items,
    size_t count)
{
	json_open(json, name, '[');
	for (size_t i = 0; i < count; i++)
		json_int(json, NULL, items[i]);
	json_close(json, ']');
}

void
json_end(struct json_out *json)
{
	buffer_append_text(json->out, "\n");
	json->comma = false;
}
