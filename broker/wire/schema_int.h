/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors: what a row says, as constant data.  messages.c makes them from
 * the rows, the codec and its sisters read them.  Immutable.
 */
#ifndef WIRE_SCHEMA_INT_H
#define WIRE_SCHEMA_INT_H

#include "wire/wire.h"

enum field_kind {
	KIND_none, /* a struct: ARRAY, ONE, OPTIONAL */
	KIND_bool,
	KIND_int8,
	KIND_int16,
	KIND_uint16,
	KIND_int32,
	KIND_uint32,
	KIND_int64,
	KIND_float64,
	KIND_uuid,
	KIND_string,
	KIND_bytes,
	KIND_records
};

enum field_shape {
	SHAPE_FIELD,
	SHAPE_LIST,
	SHAPE_ARRAY,
	SHAPE_ONE,
	SHAPE_OPTIONAL
};

/* The words of a row are designated initialisers, so an absent word is zero. */
struct field {
	const char *name;
	const struct schema *(*element)(void); /* a struct's descriptor */
	int64_t initial;       /* DFLT */
	uint32_t offset;       /* in the C struct */
	uint32_t count_offset; /* of an array's count */
	int16_t since;
	int16_t until;
	int16_t nullable; /* first version that allows null, + 1; 0: none */
	int16_t tag;      /* + 1; 0: not tagged */
	uint16_t size;    /* sizeof the C type; of an array: its element's */
	uint8_t wire_size; /* bytes of a value, of a list's item; 0: varies */
	uint8_t kind;      /* of a list: its items' */
	uint8_t shape;
	bool null_initial;
	bool ignorable;
	bool not_compact;
};

struct schema {
	const char *name;
	const struct field *fields;
	uint32_t field_count;
	uint32_t size; /* of the C struct */
};

struct message {
	const char *name;
	const struct schema *(*schema)(void);
	enum message_kind kind;
	int api;
	int lowest;
	int highest;
	int flexible;
};

/* How the length or count ahead of a run is written. */
struct length_rule {
	bool nullable;
	bool compact;
	bool short_form; /* strings: int16 when not compact, 32,767 at most */
};

/* An empty array's items, which are not NULL: see wire.h on null. */
extern const uint64_t schema_no_items;

static inline bool
field_in(const struct field *field, int version)
{
	return (version >= field->since && version <= field->until);
}

static inline bool
field_nullable_in(const struct field *field, int version)
{
	return (field->nullable != 0 && version >= field->nullable - 1);
}

static inline void *
field_at(const struct field *field, void *object)
{
	return ((char *)object + field->offset);
}

static inline const void *
field_of(const struct field *field, const void *object)
{
	return ((const char *)object + field->offset);
}

static inline int32_t *
field_count_at(const struct field *field, void *object)
{
	return ((int32_t *)(void *)((char *)object + field->count_offset));
}

static inline int32_t
field_count_of(const struct field *field, const void *object)
{
	int32_t count;

	memcpy(&count, (const char *)object + field->count_offset,
	    sizeof(count));
	return (count);
}

/* An array's items or an optional struct: the pointer at the field. */
static inline void *
field_pointer_of(const struct field *field, const void *object)
{
	void *pointer;

	memcpy(&pointer, (const char *)object + field->offset, sizeof(pointer));
	return (pointer);
}

void schema_init(const struct schema *schema, void *object);
void field_init(const struct field *field, void *object);
bool schema_is_initial(const struct schema *schema, const void *object);
/* Whether the field has the value that a reader assumes when it is absent. */
bool field_is_initial(const struct field *field, const void *object);

#endif
