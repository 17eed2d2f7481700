/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON (RFC 8259) into a buffer.  Commas are its own business: a value
 * or name that follows another one gets its comma.  Bytes that are not UTF-8
 * become U+FFFD.
 */
#ifndef TOOLS_JSON_OUT_H
#define TOOLS_JSON_OUT_H

#include "base/buffer.h"

struct json_out {
	struct buffer *out;
	bool comma; /* something stands before */
};

void json_init(struct json_out *json, struct buffer *out);
/* `name` NULL: in an array, or at the top. */
void json_open(struct json_out *json, const char *name, char bracket);
void json_close(struct json_out *json, char bracket);
void json_text(struct json_out *json, const char *name, struct slice text);
void json_int(struct json_out *json, const char *name, int64_t number);
/* So many digits behind the point; what is no number is null. */
void json_number(struct json_out *json, const char *name, double number,
    int digits);
void json_bool(struct json_out *json, const char *name, bool value);
void json_none(struct json_out *json, const char *name);
void json_ints(struct json_out *json, const char *name, const int32_t *items,
    size_t count);
/* The end of a line: the next value begins anew. */
void json_end(struct json_out *json);

#endif
