/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a field holds before anybody fills it, which is also what a reader
 * assumes of a field that its version lacks, and what a writer leaves out of
 * the tagged section.
 */
#include "base/check.h"
#include "wire/schema_int.h"

void
wire_init(const struct message *message, void *object)
{
	schema_init(message->schema(), object);
}

void *
wire_array(struct arena *arena, const struct schema *element, size_t count)
{
	char *items;

	/* Counts are int32_t in every struct, and on the wire. */
	if (count > INT32_MAX)
		return (NULL);
	items = arena_array(arena, count, element->size);
	for (size_t i = 0; items != NULL && i < count; i++)
		schema_init(element, items + i * element->size);
	return (items);
}

void
schema_init(const struct schema *schema, void *object)
{
	for (uint32_t i = 0; i < schema->field_count; i++)
		field_init(&schema->fields[i], object);
}

static void
value_init(const struct field *field, void *at)
{
	const int64_t v = field->initial;

	switch ((enum field_kind)field->kind) {
	case KIND_bool:
		*(bool *)at = v != 0;
		break;
	case KIND_int8:
		*(int8_t *)at = (int8_t)v;
		break;
	case KIND_int16:
	case KIND_uint16:
		*(uint16_t *)at = (uint16_t)v;
		break;
	case KIND_int32:
	case KIND_uint32:
		*(uint32_t *)at = (uint32_t)v;
		break;
	case KIND_int64:
		*(int64_t *)at = v;
		break;
	case KIND_float64:
		*(double *)at = (double)v;
		break;
	case KIND_uuid:
		*(struct uuid *)at = UUID_ZERO;
		break;
	case KIND_string:
	case KIND_bytes:
		*(struct slice *)at =
		    field->null_initial ? SLICE_NULL : SLICE_EMPTY;
		break;
	case KIND_records:
		*(struct records *)at = (struct records){ SLICE_NULL, { 0 } };
		break;
	case KIND_none:
		UNREACHABLE();
	}
}

void
field_init(const struct field *field, void *object)
{
	void *at = field_at(field, object);

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		value_init(field, at);
		break;
	case SHAPE_LIST:
	case SHAPE_ARRAY:
		*(const void **)at =
		    field->null_initial ? NULL : &schema_no_items;
		*field_count_at(field, object) = 0;
		break;
	case SHAPE_ONE:
		schema_init(field->element(), at);
		break;
	case SHAPE_OPTIONAL:
		*(const void **)at = NULL;
		break;
	}
}

bool
schema_is_initial(const struct schema *schema, const void *object)
{
	for (uint32_t i = 0; i < schema->field_count; i++)
		if (!field_is_initial(&schema->fields[i], object))
			return (false);
	return (true);
}

/* Null counts as empty where no version of the field knows null. */
static bool
run_is_initial(const struct field *field, const void *data, size_t length)
{
	if (field->null_initial)
		return (data == NULL);
	return (length == 0 && (data != NULL || field->nullable == 0));
}

static bool
value_is_initial(const struct field *field, const void *at)
{
	const int64_t v = field->initial;
	const struct slice *slice = at;
	const struct records *records = at;

	switch ((enum field_kind)field->kind) {
	case KIND_bool:
		return (*(const bool *)at == (v != 0));
	case KIND_int8:
		return (*(const int8_t *)at == v);
	case KIND_int16:
		return (*(const int16_t *)at == v);
	case KIND_uint16:
		return (*(const uint16_t *)at == v);
	case KIND_int32:
		return (*(const int32_t *)at == v);
	case KIND_uint32:
		return (*(const uint32_t *)at == v);
	case KIND_int64:
		return (*(const int64_t *)at == v);
	case KIND_float64:
		return (*(const double *)at == (double)v);
	case KIND_uuid:
		return (uuid_is_zero(*(const struct uuid *)at));
	case KIND_string:
	case KIND_bytes:
		return (run_is_initial(field, slice->data, slice->length));
	case KIND_records:
		return (records->bytes.data == NULL &&
		    records->extent.blob == NULL);
	case KIND_none:
		break;
	}
	UNREACHABLE();
}

bool
field_is_initial(const struct field *field, const void *object)
{
	const void *at = field_of(field, object);

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		return (value_is_initial(field, at));
	case SHAPE_LIST:
	case SHAPE_ARRAY:
		return (run_is_initial(field, field_pointer_of(field, object),
		    (size_t)field_count_of(field, object)));
	case SHAPE_ONE:
		return (schema_is_initial(field->element(), at));
	case SHAPE_OPTIONAL:
		return (field_pointer_of(field, object) == NULL);
	}
	UNREACHABLE();
}
