/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows as C: for STRUCT(fetch_request_topic) there are
 *	struct fetch_request_topic
 *	fetch_request_topic_schema()	its descriptor, for wire_array()
 * and for MESSAGE(fetch_request, ...) or DATA(...) also
 *	message_fetch_request		for wire_decode(), wire_encode()
 *
 *	FIELD(kind, f)		its C type; string and bytes: struct slice
 *	LIST(kind, f)		array *f, f_count
 *	ARRAY(s, f)		struct s *f, f_count
 *	ONE(s, f)		struct s f
 *	OPTIONAL(s, f)		struct s *f, NULL when absent
 */
#ifndef WIRE_MESSAGES_H
#define WIRE_MESSAGES_H

#define WIRE_C_bool bool
#define WIRE_C_int8 int8_t
#define WIRE_C_int16 int16_t
#define WIRE_C_uint16 uint16_t
#define WIRE_C_int32 int32_t
#define WIRE_C_uint32 uint32_t
#define WIRE_C_int64 int64_t
#define WIRE_C_float64 double
#define WIRE_C_uuid struct uuid
#define WIRE_C_string struct slice
#define WIRE_C_bytes struct slice
#define WIRE_C_records struct records

#define STRUCT(s)                                                              \
	const struct schema *s##_schema(void);                                 \
	struct s {
#define FIELD(kind, f, ...) WIRE_C_##kind f;
#define LIST(kind, f, ...)                                                     \
	WIRE_C_##kind *f;                                                      \
	int32_t f##_count;
#define ARRAY(s, f, ...)                                                       \
	struct s *f;                                                           \
	int32_t f##_count;
#define ONE(s, f, ...) struct s f;
#define OPTIONAL(s, f, ...) struct s *f;
#define END(s)                                                                 \
	}                                                                      \
	;
#define MESSAGE(m, api, kind, lowest, highest, flexible)                       \
	extern const struct message message_##m;
#define DATA(m, lowest, highest, flexible)                                     \
	extern const struct message message_##m;

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
#undef WIRE_C_bool
#undef WIRE_C_int8
#undef WIRE_C_int16
#undef WIRE_C_uint16
#undef WIRE_C_int32
#undef WIRE_C_uint32
#undef WIRE_C_int64
#undef WIRE_C_float64
#undef WIRE_C_uuid
#undef WIRE_C_string
#undef WIRE_C_bytes
#undef WIRE_C_records

#endif
