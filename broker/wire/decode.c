/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoding half of the interpreter: rows in, a struct out.
 *
 * Life of a reader: it stands on the message's first byte, every read moves it,
 * and the first read that cannot be served stops it at the end for good, so
 * that a parser is a straight line whose `status` is looked at once.  What it
 * says of lengths has been held against the bytes left before any memory is
 * taken.  Recursion follows the rows, whose nesting is fixed; input cannot
 * deepen it.
 */
#include "base/bytes.h"
#include "base/check.h"
#include "wire/schema_int.h"

/* Up to here an array's room is taken without adding up its least size. */
#define FEW_ELEMENTS 16

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	struct arena *arena;
	enum wire_status status;
	int version;
	bool flexible;
};

static void read_struct(struct reader *r, const struct schema *schema,
    void *object);
static void read_field(struct reader *r, const struct field *field,
    void *object);
static void read_tags(struct reader *r, const struct schema *schema,
    void *object);

enum wire_status
wire_decode(const struct message *message, int version, struct slice bytes,
    struct arena *arena, void *object, struct slice *left_over)
{
	struct reader r = { .arena = arena, .status = WIRE_OK,
		.version = version, .flexible = version >= message->flexible };

	if (version < message->lowest || version > message->highest)
		return (WIRE_UNSUPPORTED);
	r.at = bytes.data != NULL ? bytes.data : SLICE_EMPTY.data;
	r.end = r.at + bytes.length;
	read_struct(&r, message->schema(), object);
	if (r.status == WIRE_OK && left_over != NULL)
		*left_over = slice_of(r.at, (size_t)(r.end - r.at));
	return (r.status);
}

static void
reader_fail(struct reader *r, enum wire_status why)
{
	if (r->status == WIRE_OK)
		r->status = why;
	r->at = r->end;
}

static inline size_t
reader_left(const struct reader *r)
{
	return ((size_t)(r->end - r->at));
}

/* NULL when there are not so many bytes, which fails the reader. */
static inline const uint8_t *
reader_take(struct reader *r, size_t size)
{
	const uint8_t *at = r->at;

	if (reader_left(r) < size) {
		reader_fail(r, WIRE_MALFORMED);
		return (NULL);
	}
	r->at += size;
	return (at);
}

/* Base 128, least group first, 32 bits at most. */
static uint32_t
read_uvarint(struct reader *r)
{
	uint32_t value = 0;

	for (int shift = 0; shift < 35; shift += 7) {
		const uint8_t *at = reader_take(r, 1);

		if (at == NULL)
			return (0);
		if (shift == 28 && *at > 0x0f)
			break;
		value |= (uint32_t)(*at & 0x7f) << shift;
		if (*at < 0x80)
			return (value);
	}
	reader_fail(r, WIRE_MALFORMED);
	return (0);
}

/* Bytes or elements that follow, never more than bytes are left (an element has
 * one at least); -1 for an allowed null. */
static int32_t
read_length(struct reader *r, struct length_rule rule)
{
	int64_t length;
	const uint8_t *at;

	if (rule.compact) {
		length = (int64_t)read_uvarint(r) - 1;
	} else {
		at = reader_take(r, rule.short_form ? 2 : 4);
		if (at == NULL)
			return (0);
		length = rule.short_form ? bytes_get_i16(at)
					 : bytes_get_i32(at);
	}
	if (length == -1 && rule.nullable)
		return (-1);
	if (length < 0 || (uint64_t)length > reader_left(r) ||
	    length > (rule.short_form ? INT16_MAX : INT32_MAX)) {
		reader_fail(r, WIRE_MALFORMED);
		return (0);
	}
	return ((int32_t)length);
}

static struct slice
read_run(struct reader *r, struct length_rule rule)
{
	int32_t length = read_length(r, rule);

	if (length < 0 || r->status != WIRE_OK)
		return (SLICE_NULL);
	return (slice_of(reader_take(r, (size_t)length), (size_t)length));
}

static void
read_scalar(enum field_kind kind, const uint8_t *from, void *at)
{
	uint64_t bits;

	switch (kind) {
	case KIND_bool:
		*(bool *)at = *from != 0;
		break;
	case KIND_int8:
		*(int8_t *)at = (int8_t)*from;
		break;
	case KIND_int16:
	case KIND_uint16:
		*(uint16_t *)at = bytes_get_u16(from);
		break;
	case KIND_int32:
	case KIND_uint32:
		*(uint32_t *)at = bytes_get_u32(from);
		break;
	case KIND_int64:
		*(int64_t *)at = bytes_get_i64(from);
		break;
	case KIND_float64:
		bits = bytes_get_u64(from);
		memcpy(at, &bits, sizeof(bits));
		break;
	case KIND_uuid:
		memcpy(at, from, sizeof(struct uuid));
		break;
	default:
		UNREACHABLE();
	}
}

static void
read_value(struct reader *r, const struct field *field, bool nullable, void *at)
{
	const size_t size = field->wire_size;
	const struct length_rule rule = { .nullable = nullable,
		.compact = r->flexible && !field->not_compact,
		.short_form = field->kind == KIND_string };

	if (size != 0) {
		const uint8_t *from = reader_take(r, size);

		if (from != NULL)
			read_scalar(field->kind, from, at);
	} else if (field->kind == KIND_records) {
		*(struct records *)at =
		    (struct records){ read_run(r, rule), { 0 } };
	} else {
		*(struct slice *)at = read_run(r, rule);
	}
}

/* The fewest bytes that a struct takes in the reader's version; at least 1. */
static size_t
least_size(const struct reader *r, const struct schema *schema)
{
	const size_t run = r->flexible ? 1 : 4;
	size_t least = r->flexible ? 1 : 0;

	for (uint32_t i = 0; i < schema->field_count; i++) {
		const struct field *field = &schema->fields[i];

		if (!field_in(field, r->version) || field->tag != 0)
			continue;
		if (field->shape == SHAPE_ONE)
			least += least_size(r, field->element());
		else if (field->shape == SHAPE_OPTIONAL)
			least += 1;
		else if (field->shape != SHAPE_FIELD)
			least += run;
		else if (field->wire_size != 0)
			least += field->wire_size;
		else
			least += field->kind == KIND_string && !r->flexible
			    ? 2 : run;
	}
	return (least == 0 ? 1 : least);
}

/* Takes the count, and room for so many elements: the items, or NULL when there
 * are none to read.  `element` is NULL for a list of values. */
static char *
read_array_head(struct reader *r, const struct field *field, void *object,
    const struct schema *element)
{
	const struct length_rule rule = { .compact = r->flexible,
		.nullable = field_nullable_in(field, r->version) };
	const int32_t count = read_length(r, rule);
	size_t least = 1;
	void *items;

	*(const void **)field_at(field, object) =
	    count < 0 ? NULL : &schema_no_items;
	*field_count_at(field, object) = 0;
	if (count <= 0 || r->status != WIRE_OK)
		return (NULL);
	if (element == NULL && field->wire_size != 0)
		least = field->wire_size;
	else if (element != NULL && count > FEW_ELEMENTS)
		least = least_size(r, element);
	if ((size_t)count > reader_left(r) / least) {
		reader_fail(r, WIRE_MALFORMED);
		return (NULL);
	}
	items = arena_array(r->arena, (size_t)count, field->size);
	if (items == NULL) {
		reader_fail(r, WIRE_TOO_LARGE);
		return (NULL);
	}
	*(void **)field_at(field, object) = items;
	*field_count_at(field, object) = count;
	return (items);
}

static void
read_list(struct reader *r, const struct field *field, void *object)
{
	const size_t size = field->size;
	char *item = read_array_head(r, field, object, NULL);

	if (item == NULL)
		return;
	for (int32_t left = *field_count_at(field, object);
	     left > 0 && r->status == WIRE_OK; left--, item += size)
		read_value(r, field, false, item);
}

static void
read_array(struct reader *r, const struct field *field, void *object)
{
	const struct schema *element = field->element();
	char *item = read_array_head(r, field, object, element);

	if (item == NULL)
		return;
	for (int32_t left = *field_count_at(field, object);
	     left > 0 && r->status == WIRE_OK; left--, item += element->size)
		read_struct(r, element, item);
}

/* A byte says whether the struct follows: 1, or -1 for null. */
static void
read_optional(struct reader *r, const struct field *field, void *object)
{
	const struct schema *element = field->element();
	const uint8_t *presence = reader_take(r, 1);
	void *made;

	*(void **)field_at(field, object) = NULL;
	if (presence == NULL || *presence == 0xff)
		return;
	if (*presence != 1) {
		reader_fail(r, WIRE_MALFORMED);
		return;
	}
	made = arena_array(r->arena, 1, element->size);
	if (made == NULL) {
		reader_fail(r, WIRE_TOO_LARGE);
		return;
	}
	*(void **)field_at(field, object) = made;
	read_struct(r, element, made);
}

static void
read_field(struct reader *r, const struct field *field, void *object)
{
	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		read_value(r, field, field_nullable_in(field, r->version),
		    field_at(field, object));
		break;
	case SHAPE_LIST:
		read_list(r, field, object);
		break;
	case SHAPE_ARRAY:
		read_array(r, field, object);
		break;
	case SHAPE_ONE:
		read_struct(r, field->element(), field_at(field, object));
		break;
	case SHAPE_OPTIONAL:
		read_optional(r, field, object);
		break;
	}
}

static void
read_struct(struct reader *r, const struct schema *schema, void *object)
{
	const struct field *const end = schema->fields + schema->field_count;

	for (const struct field *f = schema->fields; f < end; f++) {
		if (f->tag == 0 && field_in(f, r->version))
			read_field(r, f, object);
		else
			field_init(f, object);
	}
	if (r->flexible)
		read_tags(r, schema, object);
}

static const struct field *
schema_tagged(const struct schema *schema, int version, uint32_t tag)
{
	for (uint32_t i = 0; i < schema->field_count; i++) {
		const struct field *field = &schema->fields[i];

		if (field->tag != 0 && (uint32_t)field->tag - 1 == tag &&
		    field_in(field, version))
			return (field);
	}
	return (NULL);
}

/* A tag's value must fill exactly the size that was said. */
static void
read_tagged(struct reader *r, const struct field *field, void *object,
    size_t size)
{
	const uint8_t *const outer_end = r->end;

	r->end = r->at + size;
	read_field(r, field, object);
	if (r->at != r->end)
		reader_fail(r, WIRE_MALFORMED);
	r->end = outer_end;
	if (r->status != WIRE_OK)
		r->at = r->end;
}

/* KIP-482: count, then tag, size, value each; unknown ones are for later
 * versions to understand.  Tags ought to ascend, but Kafka takes them in any
 * order, and of one that comes twice the last. */
static void
read_tags(struct reader *r, const struct schema *schema, void *object)
{
	for (uint32_t left = read_uvarint(r); left > 0 && r->status == WIRE_OK;
	     left--) {
		const uint32_t tag = read_uvarint(r);
		const uint32_t size = read_uvarint(r);
		const struct field *field;

		if (r->status != WIRE_OK)
			return;
		if (size > reader_left(r)) {
			reader_fail(r, WIRE_MALFORMED);
			return;
		}
		field = schema_tagged(schema, r->version, tag);
		if (field != NULL)
			read_tagged(r, field, object, size);
		else
			reader_take(r, size);
	}
}
