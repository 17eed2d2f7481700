/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON for znodes: writing as Jackson writes (compact, raw UTF-8, upper-case
 * \u escapes), reading through jansson, which stays inside this room.
 */
#ifndef ZKGLUE_ZNODES_JSON_INT_H
#define ZKGLUE_ZNODES_JSON_INT_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buffer.h"

/* A quoted and escaped string; NULL gives null. */
void znode_put_string(struct buffer *out, const char *text);
/* [1,2,3] */
void znode_put_int32s(struct buffer *out, const int32_t *items,
    int32_t count);

/* An object, or NULL for anything else. The caller gives it back. */
json_t *znode_json_open(struct slice json);

/* Members of an object; false when absent or of another kind. */
bool znode_json_int32(const json_t *object, const char *key, int32_t *out);
/* A number, or the decimal text that Kafka writes for some. */
bool znode_json_int64(const json_t *object, const char *key, int64_t *out);
/* A copy in the arena. Null counts as absent. */
bool znode_json_text(const json_t *object, const char *key,
    struct arena *arena, const char **out);
/* An array of int32. */
bool znode_int32s(const json_t *array, struct arena *arena, int32_t **out,
    int32_t *count);

#endif
