/* SPDX-License-Identifier: Apache-2.0 */
#include "zkglue/znodes_json_int.h"

#include <inttypes.h>

#include "base/text.h"

/* Jackson's short escapes; 0: none. */
static char
short_escape(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return ((char)c);
	case '\b':
		return ('b');
	case '\t':
		return ('t');
	case '\n':
		return ('n');
	case '\f':
		return ('f');
	case '\r':
		return ('r');
	default:
		return (0);
	}
}

void
znode_put_string(struct buffer *out, const char *text)
{
	if (text == NULL) {
		buffer_append_text(out, "null");
		return;
	}
	buffer_append_text(out, "\"");
	for (const char *at = text; *at != '\0'; at++) {
		unsigned char c = (unsigned char)*at;
		char escape = short_escape(c);

		if (escape != 0)
			buffer_printf(out, "\\%c", escape);
		else if (c < 0x20)
			buffer_printf(out, "\\u%04X", c);
		else
			buffer_append(out, at, 1);
	}
	buffer_append_text(out, "\"");
}

void
znode_put_int32s(struct buffer *out, const int32_t *items, int32_t count)
{
	buffer_append_text(out, "[");
	for (int32_t i = 0; i < count; i++)
		buffer_printf(out, "%s%" PRId32, i == 0 ? "" : ",", items[i]);
	buffer_append_text(out, "]");
}

json_t *
znode_json_open(struct slice json)
{
	json_t *object;

	if (json.data == NULL || json.length == 0)
		return (NULL);
	object = json_loadb((const char *)json.data, json.length, 0, NULL);
	if (object != NULL && !json_is_object(object)) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static bool
int32_of(const json_t *value, int32_t *out)
{
	json_int_t number;

	if (!json_is_integer(value))
		return (false);
	number = json_integer_value(value);
	if (number < INT32_MIN || number > INT32_MAX)
		return (false);
	*out = (int32_t)number;
	return (true);
}

bool
znode_json_int32(const json_t *object, const char *key, int32_t *out)
{
	return (int32_of(json_object_get(object, key), out));
}

bool
znode_json_int64(const json_t *object, const char *key, int64_t *out)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value)) {
		*out = json_integer_value(value);
		return (true);
	}
	return (json_is_string(value) &&
	    text_to_int64(slice_of(json_string_value(value),
		json_string_length(value)), out));
}

bool
znode_json_text(const json_t *object, const char *key, struct arena *arena,
    const char **out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return (false);
	*out = arena_strdup(arena, json_string_value(value));
	return (*out != NULL);
}

bool
znode_int32s(const json_t *array, struct arena *arena, int32_t **out,
    int32_t *count)
{
	size_t size = json_array_size(array);

	if (!json_is_array(array) || size > INT32_MAX)
		return (false);
	*out = arena_array(arena, size, sizeof(**out));
	if (*out == NULL)
		return (false);
	for (size_t i = 0; i < size; i++)
		if (!int32_of(json_array_get(array, i), *out + i))
			return (false);
	*count = (int32_t)size;
	return (true);
}
