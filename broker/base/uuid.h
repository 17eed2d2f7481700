/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka's UUIDs: 16 bytes, written as 22 characters of URL-safe base64 without
 * padding.  Zero is "none".
 */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

struct random;

struct uuid {
	uint8_t bytes[16];
};

#define UUID_ZERO ((struct uuid){ { 0 } })
#define UUID_TEXT_SIZE 23 /* with the NUL */

/* A random UUID of type 4; never one of the ids that Kafka reserves (the first
 * hundred) and never one whose text begins with '-' (Uuid.randomUuid). */
struct uuid uuid_random(struct random *random);
void uuid_to_text(struct uuid uuid, char text[UUID_TEXT_SIZE]);
/* Exactly 22 characters of the alphabet; false otherwise. */
bool uuid_from_text(struct slice text, struct uuid *out);

static inline bool
uuid_equal(struct uuid a, struct uuid b)
{
	return (memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0);
}

static inline bool
uuid_is_zero(struct uuid uuid)
{
	return (uuid_equal(uuid, UUID_ZERO));
}

#endif
