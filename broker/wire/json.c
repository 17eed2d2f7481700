/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message as one JSON object, for tools and traces: the fields of the version
 * in their order, tagged ones only when set, as Kafka's own converters print
 * them.  Records appear by their size, being what a trace must not be full of.
 */
#include <inttypes.h>

#include "base/check.h"
#include "base/text.h"
#include "wire/schema_int.h"

static void json_struct(const struct schema *schema, int version,
    const void *object, struct buffer *out);

void
wire_to_json(const struct message *message, int version, const void *object,
    struct buffer *out)
{
	json_struct(message->schema(), version, object, out);
}

/* snake_case to Kafka's camelCase; one name of Kafka's has a capital more. */
static void
json_name(const char *name, struct buffer *out)
{
	bool capital = false;

	if (strcmp(name, "is_kraft_controller") == 0) {
		buffer_append_text(out, "isKRaftController");
		return;
	}
	for (; *name != '\0'; name++) {
		char c = *name;

		if (c == '_') {
			capital = true;
			continue;
		}
		if (capital && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		capital = false;
		buffer_append(out, &c, 1);
	}
}

/* Bytes that are no UTF-8 become U+FFFD, one each. */
static void
json_text(struct slice text, struct buffer *out)
{
	const bool utf8 = text_is_utf8(text);

	buffer_append_text(out, "\"");
	for (size_t i = 0; i < text.length; i++) {
		const uint8_t c = text.data[i];

		if (c == '"' || c == '\\')
			buffer_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buffer_printf(out, "\\u%04x", c);
		else if (c >= 0x80 && !utf8)
			buffer_append_text(out, "\\ufffd");
		else
			buffer_append(out, &c, 1);
	}
	buffer_append_text(out, "\"");
}

/* RFC 4648, with padding. */
static void
json_base64(struct slice bytes, struct buffer *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	buffer_append_text(out, "\"");
	for (size_t i = 0; i < bytes.length; i += 3) {
		const size_t left = bytes.length - i;
		const uint32_t group = (uint32_t)bytes.data[i] << 16 |
		    (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
		    (left > 2 ? bytes.data[i + 2] : 0);
		const char text[4] = { digits[group >> 18],
			digits[group >> 12 & 63],
			left > 1 ? digits[group >> 6 & 63] : '=',
			left > 2 ? digits[group & 63] : '=' };

		buffer_append(out, text, sizeof(text));
	}
	buffer_append_text(out, "\"");
}

/* JSON has no infinities. */
static void
json_double(double value, struct buffer *out)
{
	if (value - value != 0)
		buffer_append_text(out, value > 0 ? "\"Infinity\""
			: value < 0 ? "\"-Infinity\"" : "\"NaN\"");
	else
		buffer_printf(out, "%.17g", value);
}

static void
json_run(enum field_kind kind, struct slice run, struct buffer *out)
{
	if (run.data == NULL)
		buffer_append_text(out, "null");
	else if (kind == KIND_string)
		json_text(run, out);
	else
		json_base64(run, out);
}

static void
json_records(const struct records *records, struct buffer *out)
{
	if (records->extent.blob == NULL && records->bytes.data == NULL)
		buffer_append_text(out, "null");
	else
		buffer_printf(out, "%zu", records->extent.blob != NULL
			? records->extent.length : records->bytes.length);
}

static void
json_value(enum field_kind kind, const void *at, struct buffer *out)
{
	char text[UUID_TEXT_SIZE];

	switch (kind) {
	case KIND_bool:
		buffer_append_text(out, *(const bool *)at ? "true" : "false");
		break;
	case KIND_int8:
		buffer_printf(out, "%d", *(const int8_t *)at);
		break;
	case KIND_int16:
		buffer_printf(out, "%d", *(const int16_t *)at);
		break;
	case KIND_uint16:
		buffer_printf(out, "%u", *(const uint16_t *)at);
		break;
	case KIND_int32:
		buffer_printf(out, "%" PRId32, *(const int32_t *)at);
		break;
	case KIND_uint32:
		buffer_printf(out, "%" PRIu32, *(const uint32_t *)at);
		break;
	case KIND_int64:
		buffer_printf(out, "%" PRId64, *(const int64_t *)at);
		break;
	case KIND_float64:
		json_double(*(const double *)at, out);
		break;
	case KIND_uuid:
		uuid_to_text(*(const struct uuid *)at, text);
		buffer_printf(out, "\"%s\"", text);
		break;
	case KIND_string:
	case KIND_bytes:
		json_run(kind, *(const struct slice *)at, out);
		break;
	case KIND_records:
		json_records(at, out);
		break;
	case KIND_none:
		UNREACHABLE();
	}
}

static void
json_array(const struct field *field, int version, const void *object,
    struct buffer *out)
{
	const struct schema *element =
	    field->shape == SHAPE_ARRAY ? field->element() : NULL;
	const size_t size = field->size;
	const char *items = field_pointer_of(field, object);
	const int32_t count = field_count_of(field, object);

	if (items == NULL && field_nullable_in(field, version)) {
		buffer_append_text(out, "null");
		return;
	}
	buffer_append_text(out, "[");
	for (int32_t i = 0; i < count; i++, items += size) {
		if (i > 0)
			buffer_append_text(out, ",");
		if (element != NULL)
			json_struct(element, version, items, out);
		else
			json_value(field->kind, items, out);
	}
	buffer_append_text(out, "]");
}

static void
json_field(const struct field *field, int version, const void *object,
    struct buffer *out)
{
	const void *pointer;

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		json_value(field->kind, field_of(field, object), out);
		break;
	case SHAPE_LIST:
	case SHAPE_ARRAY:
		json_array(field, version, object, out);
		break;
	case SHAPE_ONE:
		json_struct(field->element(), version, field_of(field, object),
		    out);
		break;
	case SHAPE_OPTIONAL:
		pointer = field_pointer_of(field, object);
		if (pointer == NULL)
			buffer_append_text(out, "null");
		else
			json_struct(field->element(), version, pointer, out);
		break;
	}
}

static void
json_struct(const struct schema *schema, int version, const void *object,
    struct buffer *out)
{
	const char *separator = "\"";

	buffer_append_text(out, "{");
	for (uint32_t i = 0; i < schema->field_count; i++) {
		const struct field *field = &schema->fields[i];

		if (!field_in(field, version) ||
		    (field->tag != 0 && field_is_initial(field, object)))
			continue;
		buffer_append_text(out, separator);
		json_name(field->name, out);
		if (field->kind == KIND_records)
			buffer_append_text(out, "SizeInBytes");
		buffer_append_text(out, "\":");
		json_field(field, version, object, out);
		separator = ",\"";
	}
	buffer_append_text(out, "}");
}
