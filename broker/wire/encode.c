/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding half of the interpreter: a struct in, rows' bytes out.
 *
 * Life of a writer: it appends to one run of bytes; extents of files are noted
 * beside it, with the position that they belong before.  The first value that
 * the version cannot carry stops it, and everything it added is taken back.
 */
#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "wire/schema_int.h"

#define UVARINT_MAX_BYTES 5

struct writer {
	struct buffer *bytes;
	struct wire_out *out; /* NULL: plain bytes only */
	enum wire_status status;
	int version;
	bool flexible;
};

static void write_struct(struct writer *w, const struct schema *schema,
    const void *object);
static void write_field(struct writer *w, const struct field *field,
    const void *object);
static void write_tags(struct writer *w, const struct schema *schema,
    const void *object);

void
wire_out_init(struct wire_out *out)
{
	*out = (struct wire_out){ .bytes = BUFFER_EMPTY };
}

/* Gives back the inserts from the `keep`th on. */
static void
out_cut(struct wire_out *out, size_t keep)
{
	while (out->insert_count > keep) {
		struct wire_insert *last = &out->inserts[--out->insert_count];

		out->insert_bytes -= last->extent.length;
		blob_unref(last->extent.blob);
	}
}

void
wire_out_fini(struct wire_out *out)
{
	out_cut(out, 0);
	mem_free(out->inserts);
	buffer_fini(&out->bytes);
	wire_out_init(out);
}

static enum wire_status
encode(struct writer *w, const struct message *message, int version,
    const void *object)
{
	const size_t before = w->bytes->length;

	if (version < message->lowest || version > message->highest)
		return (WIRE_UNSUPPORTED);
	w->version = version;
	w->flexible = version >= message->flexible;
	write_struct(w, message->schema(), object);
	if (w->status != WIRE_OK)
		w->bytes->length = before;
	return (w->status);
}

enum wire_status
wire_encode(const struct message *message, int version, const void *object,
    struct wire_out *out)
{
	struct writer w = { .bytes = &out->bytes, .out = out };
	const size_t inserts = out->insert_count;
	const enum wire_status status = encode(&w, message, version, object);

	if (status != WIRE_OK)
		out_cut(out, inserts);
	return (status);
}

enum wire_status
wire_encode_bytes(const struct message *message, int version,
    const void *object, struct buffer *out)
{
	struct writer w = { .bytes = out };

	return (encode(&w, message, version, object));
}

static inline uint8_t *
writer_extend(struct writer *w, size_t size)
{
	struct buffer *b = w->bytes;

	if (b->capacity - b->length < size)
		return (buffer_extend(b, size));
	b->length += size;
	return (b->data + b->length - size);
}

static size_t
uvarint_put(uint8_t to[UVARINT_MAX_BYTES], uint32_t value)
{
	size_t size = 0;

	for (; value >= 0x80; value >>= 7)
		to[size++] = (uint8_t)(value | 0x80);
	to[size++] = (uint8_t)value;
	return (size);
}

static void
write_uvarint(struct writer *w, uint32_t value)
{
	uint8_t bytes[UVARINT_MAX_BYTES];
	size_t size;

	/* Nearly all are short: lengths of names, counts, empty sections. */
	if (value < 0x80) {
		*writer_extend(w, 1) = (uint8_t)value;
		return;
	}
	size = uvarint_put(bytes, value);
	memcpy(writer_extend(w, size), bytes, size);
}

/* Null where the version forbids it is empty. */
static void
write_length(struct writer *w, struct length_rule rule, bool null,
    size_t length)
{
	null = null && rule.nullable;
	if (length > (size_t)(rule.short_form ? INT16_MAX : INT32_MAX))
		w->status = WIRE_UNSUPPORTED;
	else if (rule.compact)
		write_uvarint(w, null ? 0 : (uint32_t)length + 1);
	else if (rule.short_form)
		bytes_put_i16(writer_extend(w, 2), null ? -1 : (int16_t)length);
	else
		bytes_put_i32(writer_extend(w, 4), null ? -1 : (int32_t)length);
}

static void
write_run(struct writer *w, struct length_rule rule, struct slice run)
{
	write_length(w, rule, run.data == NULL, run.length);
	if (w->status == WIRE_OK && run.length != 0)
		memcpy(writer_extend(w, run.length), run.data, run.length);
}

static void
write_extent(struct writer *w, struct length_rule rule,
    const struct extent *extent)
{
	struct wire_out *out = w->out;

	if (out == NULL) {
		w->status = WIRE_UNSUPPORTED;
		return;
	}
	write_length(w, rule, false, extent->length);
	if (w->status != WIRE_OK || extent->length == 0)
		return;
	if (out->insert_count == out->insert_capacity) {
		out->insert_capacity = out->insert_capacity * 2 + 4;
		out->inserts = mem_realloc(out->inserts,
		    out->insert_capacity * sizeof(out->inserts[0]));
	}
	blob_ref(extent->blob);
	out->inserts[out->insert_count++] = (struct wire_insert){
		.at = w->bytes->length, .extent = *extent };
	out->insert_bytes += extent->length;
}

static void
write_scalar(enum field_kind kind, const void *at, uint8_t *to)
{
	uint64_t bits;

	switch (kind) {
	case KIND_bool:
		*to = *(const bool *)at;
		break;
	case KIND_int8:
		*to = (uint8_t)*(const int8_t *)at;
		break;
	case KIND_int16:
	case KIND_uint16:
		bytes_put_u16(to, *(const uint16_t *)at);
		break;
	case KIND_int32:
	case KIND_uint32:
		bytes_put_u32(to, *(const uint32_t *)at);
		break;
	case KIND_int64:
		bytes_put_i64(to, *(const int64_t *)at);
		break;
	case KIND_float64:
		memcpy(&bits, at, sizeof(bits));
		bytes_put_u64(to, bits);
		break;
	case KIND_uuid:
		memcpy(to, at, sizeof(struct uuid));
		break;
	default:
		UNREACHABLE();
	}
}

static void
write_value(struct writer *w, const struct field *field, bool nullable,
    const void *at)
{
	const size_t size = field->wire_size;
	const struct length_rule rule = { .nullable = nullable,
		.compact = w->flexible && !field->not_compact,
		.short_form = field->kind == KIND_string };
	const struct records *records = at;

	if (size != 0)
		write_scalar(field->kind, at, writer_extend(w, size));
	else if (field->kind != KIND_records)
		write_run(w, rule, *(const struct slice *)at);
	else if (records->extent.blob != NULL)
		write_extent(w, rule, &records->extent);
	else
		write_run(w, rule, records->bytes);
}

/* The count; the items, which are NULL when there are none to write. */
static const char *
write_array_head(struct writer *w, const struct field *field,
    const void *object)
{
	const struct length_rule rule = { .compact = w->flexible,
		.nullable = field_nullable_in(field, w->version) };
	const char *items = field_pointer_of(field, object);
	const int32_t count = field_count_of(field, object);

	CHECK(count >= 0 && (items != NULL || count == 0));
	write_length(w, rule, items == NULL, (size_t)count);
	return (count == 0 ? NULL : items);
}

static void
write_list(struct writer *w, const struct field *field, const void *object)
{
	const size_t size = field->size;
	const char *item = write_array_head(w, field, object);

	if (item == NULL)
		return;
	for (int32_t left = field_count_of(field, object);
	     left > 0 && w->status == WIRE_OK; left--, item += size)
		write_value(w, field, false, item);
}

static void
write_array(struct writer *w, const struct field *field, const void *object)
{
	const struct schema *element = field->element();
	const char *item = write_array_head(w, field, object);

	if (item == NULL)
		return;
	for (int32_t left = field_count_of(field, object);
	     left > 0 && w->status == WIRE_OK; left--, item += element->size)
		write_struct(w, element, item);
}

static void
write_field(struct writer *w, const struct field *field, const void *object)
{
	const void *pointer;

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		write_value(w, field, field_nullable_in(field, w->version),
		    field_of(field, object));
		break;
	case SHAPE_LIST:
		write_list(w, field, object);
		break;
	case SHAPE_ARRAY:
		write_array(w, field, object);
		break;
	case SHAPE_ONE:
		write_struct(w, field->element(), field_of(field, object));
		break;
	case SHAPE_OPTIONAL:
		pointer = field_pointer_of(field, object);
		*writer_extend(w, 1) = pointer == NULL ? 0xff : 1;
		if (pointer != NULL)
			write_struct(w, field->element(), pointer);
		break;
	}
}

static void
write_struct(struct writer *w, const struct schema *schema, const void *object)
{
	const struct field *const end = schema->fields + schema->field_count;

	for (const struct field *f = schema->fields; f < end; f++) {
		if (!field_in(f, w->version)) {
			if (!f->ignorable && !field_is_initial(f, object))
				w->status = WIRE_UNSUPPORTED;
		} else if (f->tag == 0) {
			write_field(w, f, object);
		}
		if (w->status != WIRE_OK)
			return;
	}
	if (w->flexible)
		write_tags(w, schema, object);
}

/* The size goes ahead of the value and is known after it, so the value moves up
 * when its size takes more than one byte. No tag holds records, whose extents
 * could not move along. */
static void
write_tagged(struct writer *w, const struct field *field, const void *object)
{
	uint8_t size_bytes[UVARINT_MAX_BYTES];
	size_t start, size, size_of_size;
	uint8_t *at;

	write_uvarint(w, (uint32_t)field->tag - 1);
	writer_extend(w, 1);
	start = w->bytes->length;
	write_field(w, field, object);
	size = w->bytes->length - start;
	if (w->status == WIRE_OK && size > INT32_MAX)
		w->status = WIRE_UNSUPPORTED;
	if (w->status != WIRE_OK)
		return;
	size_of_size = uvarint_put(size_bytes, (uint32_t)size);
	writer_extend(w, size_of_size - 1);
	at = w->bytes->data + start - 1;
	if (size_of_size > 1)
		memmove(at + size_of_size, at + 1, size);
	memcpy(at, size_bytes, size_of_size);
}

static bool
field_wants_tag(const struct field *field, int version, const void *object)
{
	return (field->tag != 0 && field_in(field, version) &&
	    !field_is_initial(field, object));
}

/* KIP-482; the rows hold tags in ascending order. */
static void
write_tags(struct writer *w, const struct schema *schema, const void *object)
{
	const struct field *const end = schema->fields + schema->field_count;
	uint32_t left = 0;

	for (const struct field *f = schema->fields; f < end; f++)
		left += field_wants_tag(f, w->version, object);
	write_uvarint(w, left);
	for (const struct field *f = schema->fields;
	     left > 0 && w->status == WIRE_OK; f++) {
		if (!field_wants_tag(f, w->version, object))
			continue;
		write_tagged(w, f, object);
		left--;
	}
}
