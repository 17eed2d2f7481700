/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes that we make: replies, files, log lines.
 *
 *	data        length            capacity
 *	|-- bytes --|---- free room ----|
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/slice.h"

struct buffer {
	uint8_t *data;
	size_t length;
	size_t capacity;
};

#define BUFFER_EMPTY ((struct buffer){ NULL, 0, 0 })

void buffer_fini(struct buffer *buffer);
/* Room for size more bytes; the place where they go. Length is unchanged. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
/* Reserve and take: length grows by size. */
uint8_t *buffer_extend(struct buffer *buffer, size_t size);
void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_append_slice(struct buffer *buffer, struct slice slice);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* NUL-terminated without counting the NUL. */
const char *buffer_text(struct buffer *buffer);

static inline struct slice
buffer_slice(const struct buffer *buffer)
{
	return (slice_of(buffer->data ? buffer->data : (const uint8_t *)"",
	    buffer->length));
}

#endif
