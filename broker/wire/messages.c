/* SPDX-License-Identifier: Apache-2.0 */
/* The rows as descriptors, and the questions that can be asked about them. */
#include "wire/schema_int.h"

/* Range words: exactly one comes first in a row. */
#define ALWAYS .until = INT16_MAX
#define SINCE(v) .since = (v), .until = INT16_MAX
#define UNTIL(v) .until = (v)
#define BETWEEN(a, b) .since = (a), .until = (b)
/* Further words. */
#define TAG(n) .tag = (n) + 1
#define NULLABLE .nullable = 1
#define NULLABLE_SINCE(v) .nullable = (v) + 1
#define DFLT(n) .initial = (n)
#define NULL_DEFAULT .null_initial = true
#define IGNORABLE .ignorable = true
#define NOT_COMPACT .not_compact = true
#define NEVER INT16_MAX

#define WIRE_SIZE_bool 1
#define WIRE_SIZE_int8 1
#define WIRE_SIZE_int16 2
#define WIRE_SIZE_uint16 2
#define WIRE_SIZE_int32 4
#define WIRE_SIZE_uint32 4
#define WIRE_SIZE_int64 8
#define WIRE_SIZE_float64 8
#define WIRE_SIZE_uuid 16
#define WIRE_SIZE_string 0
#define WIRE_SIZE_bytes 0
#define WIRE_SIZE_records 0

/* The typedef gives the rows a name for the struct that they stand in. */
#define STRUCT(s)                                                              \
	const struct schema *s##_schema(void)                                  \
	{                                                                      \
		static const char schema_name[] = #s;                          \
		typedef struct s self;                                         \
		static const struct field fields[] = {
#define ROW(f) .name = #f, .offset = offsetof(self, f)
#define ITEMS(f)                                                               \
	.count_offset = offsetof(self, f##_count),                             \
	.size = sizeof(*((self *)NULL)->f)
/* A kind is pasted at once: bool is itself a macro. */
#define FIELD(k, f, ...)                                                       \
	{ ROW(f), .kind = KIND_##k, .wire_size = WIRE_SIZE_##k,                \
	    .size = sizeof(((self *)NULL)->f), __VA_ARGS__ },
#define LIST(k, f, ...)                                                        \
	{ ROW(f), ITEMS(f), .kind = KIND_##k, .wire_size = WIRE_SIZE_##k,      \
	    .shape = SHAPE_LIST, __VA_ARGS__ },
#define ARRAY(s, f, ...)                                                       \
	{ ROW(f), ITEMS(f), .element = s##_schema, .shape = SHAPE_ARRAY,       \
	    __VA_ARGS__ },
#define ONE(s, f, ...)                                                         \
	{ ROW(f), .element = s##_schema, .shape = SHAPE_ONE, __VA_ARGS__ },
#define OPTIONAL(s, f, ...)                                                    \
	{ ROW(f), .element = s##_schema, .shape = SHAPE_OPTIONAL,              \
	    .null_initial = true, .nullable = 1, __VA_ARGS__ },
#define END(s)                                                                 \
		};                                                             \
		static const struct schema schema = { schema_name, fields,     \
			nelems(fields), sizeof(self) };                        \
		return (&schema);                                              \
	}
#define MESSAGE(m, a, k, lo, hi, flex)                                         \
	const struct message message_##m = { .name = #m,                       \
		.schema = m##_schema, .kind = MESSAGE_##k, .api = (a),         \
		.lowest = (lo), .highest = (hi), .flexible = (flex) };
#define DATA(m, lo, hi, flex)                                                  \
	const struct message message_##m = { .name = #m,                       \
		.schema = m##_schema, .kind = MESSAGE_DATA, .api = -1,         \
		.lowest = (lo), .highest = (hi), .flexible = (flex) };

#include "base/check.h"
#include "wire/messages/all.def"

#undef STRUCT
#undef FIELD
#undef LIST
#undef ARRAY
#undef ONE
#undef OPTIONAL
#undef END
#undef MESSAGE
#undef DATA

#define STRUCT(s)
#define FIELD(...)
#define LIST(...)
#define ARRAY(...)
#define ONE(...)
#define OPTIONAL(...)
#define END(s)
#define MESSAGE(m, ...) &message_##m,
#define DATA(m, ...) &message_##m,

static const struct message *const messages[] = {
#include "wire/messages/all.def"
};

const uint64_t schema_no_items = 0;

const char *
message_name(const struct message *message)
{
	return (message->name);
}

enum message_kind
message_kind(const struct message *message)
{
	return (message->kind);
}

int
message_api(const struct message *message)
{
	return (message->api);
}

int
message_lowest(const struct message *message)
{
	return (message->lowest);
}

int
message_highest(const struct message *message)
{
	return (message->highest);
}

int
message_flexible(const struct message *message)
{
	return (message->flexible);
}

size_t
message_size(const struct message *message)
{
	return (message->schema()->size);
}

const struct message *
message_at(size_t index)
{
	return (index < nelems(messages) ? messages[index] : NULL);
}

const struct message *
message_by_name(const char *name)
{
	for (size_t i = 0; i < nelems(messages); i++)
		if (strcmp(messages[i]->name, name) == 0)
			return (messages[i]);
	return (NULL);
}
