/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as any message: the first two choose message and version, the rest
 * is decoded.  What decodes must encode, and then stay as it is.
 */
#include <stdlib.h>

#include "base/check.h"
#include "wire/wire.h"

#define ARENA_BYTES ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_settled(const struct message *message, int version, struct slice bytes,
    struct arena *arena)
{
	void *object = arena_zalloc(arena, message_size(message));
	struct buffer once = BUFFER_EMPTY, twice = BUFFER_EMPTY;

	if (wire_decode(message, version, bytes, arena, object,
		NULL) != WIRE_OK)
		return;
	CHECK(wire_encode_bytes(message, version, object, &once) == WIRE_OK);
	wire_to_json(message, version, object, &twice);
	twice.length = 0;
	CHECK(wire_decode(message, version, buffer_slice(&once), arena, object,
	    NULL) == WIRE_OK);
	CHECK(wire_encode_bytes(message, version, object, &twice) == WIRE_OK);
	CHECK(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
	buffer_fini(&once);
	buffer_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct message *message;
	struct arena arena;
	int version;

	if (size < 2 || (message = message_at(data[0])) == NULL)
		return (0);
	version = message_lowest(message) + data[1] %
	    (message_highest(message) - message_lowest(message) + 1);
	arena_init(&arena, ARENA_BYTES);
	check_settled(message, version, slice_of(data + 2, size - 2), &arena);
	arena_fini(&arena);
	return (0);
}
