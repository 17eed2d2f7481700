/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wire_values.h"

#include "base/check.h"

#define MOST_ELEMENTS 3
#define MOST_BYTES 20
/* Now and then a value is so long that its length takes two bytes. */
#define LONG_BYTES 200

struct filler {
	int version;
	struct random *random;
	struct arena *arena;
};

static void fill_struct(const struct filler *f, const struct schema *schema,
    void *object);

void
values_fill(const struct message *message, int version, struct random *random,
    struct arena *arena, void *object)
{
	const struct filler f = { version, random, arena };

	wire_init(message, object);
	fill_struct(&f, message->schema(), object);
}

static bool
one_in(const struct filler *f, uint64_t n)
{
	return (random_below(f->random, n) == 0);
}

static struct slice
fill_run(const struct filler *f, bool nullable)
{
	const size_t length = one_in(f, 30) ? LONG_BYTES
	    : random_below(f->random, MOST_BYTES);
	uint8_t *bytes = arena_alloc(f->arena, length);

	if (nullable && one_in(f, 3))
		return (SLICE_NULL);
	random_bytes(f->random, bytes, length);
	return (slice_of(bytes, length));
}

static void
fill_value(const struct filler *f, const struct field *field, bool nullable,
    void *at)
{
	switch ((enum field_kind)field->kind) {
	case KIND_bool:
		*(bool *)at = one_in(f, 2);
		break;
	case KIND_float64:
		*(double *)at = (double)random_below(f->random, 1000) / 8;
		break;
	case KIND_string:
	case KIND_bytes:
		*(struct slice *)at = fill_run(f, nullable);
		break;
	case KIND_records:
		*(struct records *)at =
		    (struct records){ fill_run(f, nullable), { 0 } };
		break;
	default:
		random_bytes(f->random, at, field->size);
	}
}

static void
fill_items(const struct filler *f, const struct field *field, void *object)
{
	const struct schema *element =
	    field->shape == SHAPE_ARRAY ? field->element() : NULL;
	const size_t size = field->size;
	const int32_t count = (int32_t)random_below(f->random,
	    MOST_ELEMENTS + 1);
	char *items;

	if (field_nullable_in(field, f->version) && one_in(f, 3)) {
		*(void **)field_at(field, object) = NULL;
		*field_count_at(field, object) = 0;
		return;
	}
	items = element != NULL ? wire_array(f->arena, element, (size_t)count)
				: arena_array(f->arena, (size_t)count, size);
	CHECK(items != NULL);
	*(void **)field_at(field, object) = items;
	*field_count_at(field, object) = count;
	for (int32_t i = 0; i < count; i++, items += size) {
		if (element != NULL)
			fill_struct(f, element, items);
		else
			fill_value(f, field, false, items);
	}
}

static void
fill_field(const struct filler *f, const struct field *field, void *object)
{
	void *made;

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		fill_value(f, field, field_nullable_in(field, f->version),
		    field_at(field, object));
		break;
	case SHAPE_LIST:
	case SHAPE_ARRAY:
		fill_items(f, field, object);
		break;
	case SHAPE_ONE:
		fill_struct(f, field->element(), field_at(field, object));
		break;
	case SHAPE_OPTIONAL:
		if (one_in(f, 3))
			break;
		made = wire_array(f->arena, field->element(), 1);
		fill_struct(f, field->element(), made);
		*(void **)field_at(field, object) = made;
		break;
	}
}

static void
fill_struct(const struct filler *f, const struct schema *schema, void *object)
{
	for (uint32_t i = 0; i < schema->field_count; i++) {
		const struct field *field = &schema->fields[i];

		if (!field_in(field, f->version))
			continue;
		/* A tag at its default must be left out. */
		if (field->tag != 0 && one_in(f, 3))
			continue;
		fill_field(f, field, object);
	}
}

static bool
value_equal(const struct field *field, const void *a, const void *b)
{
	const struct records *ra = a, *rb = b;

	switch ((enum field_kind)field->kind) {
	case KIND_string:
	case KIND_bytes:
		return (slice_equal(*(const struct slice *)a,
		    *(const struct slice *)b));
	case KIND_records:
		return (slice_equal(ra->bytes, rb->bytes));
	default:
		return (memcmp(a, b, field->size) == 0);
	}
}

static bool
items_equal(const struct field *field, const void *a, const void *b)
{
	const struct schema *element =
	    field->shape == SHAPE_ARRAY ? field->element() : NULL;
	const size_t size = field->size;
	const char *ia = field_pointer_of(field, a);
	const char *ib = field_pointer_of(field, b);
	const int32_t count = field_count_of(field, a);

	if (count != field_count_of(field, b) || (ia == NULL) != (ib == NULL))
		return (false);
	for (int32_t i = 0; i < count; i++, ia += size, ib += size)
		if (element != NULL ? !values_equal(element, ia, ib)
				    : !value_equal(field, ia, ib))
			return (false);
	return (true);
}

static bool
field_equal(const struct field *field, const void *a, const void *b)
{
	const void *pa, *pb;

	switch ((enum field_shape)field->shape) {
	case SHAPE_FIELD:
		return (value_equal(field, field_of(field, a),
		    field_of(field, b)));
	case SHAPE_LIST:
	case SHAPE_ARRAY:
		return (items_equal(field, a, b));
	case SHAPE_ONE:
		return (values_equal(field->element(), field_of(field, a),
		    field_of(field, b)));
	case SHAPE_OPTIONAL:
		pa = field_pointer_of(field, a);
		pb = field_pointer_of(field, b);
		if (pa == NULL || pb == NULL)
			return (pa == pb);
		return (values_equal(field->element(), pa, pb));
	}
	return (false);
}

bool
values_equal(const struct schema *schema, const void *a, const void *b)
{
	for (uint32_t i = 0; i < schema->field_count; i++)
		if (!field_equal(&schema->fields[i], a, b))
			return (false);
	return (true);
}
