/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define CAPACITY_MIN ((size_t)64)

void
buffer_fini(struct buffer *buffer)
{
	mem_free(buffer->data);
	*buffer = BUFFER_EMPTY;
}

uint8_t *
buffer_reserve(struct buffer *buffer, size_t size)
{
	size_t capacity = buffer->capacity;

	CHECK(buffer->length <= capacity);
	CHECK(size <= SIZE_MAX / 2 - buffer->length);
	if (capacity == 0 || size > capacity - buffer->length) {
		capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN
						   : capacity * 2;
		if (capacity < buffer->length + size)
			capacity = buffer->length + size;
		buffer->data = mem_realloc(buffer->data, capacity);
		buffer->capacity = capacity;
	}
	return (buffer->data + buffer->length);
}

uint8_t *
buffer_extend(struct buffer *buffer, size_t size)
{
	uint8_t *place = buffer_reserve(buffer, size);

	buffer->length += size;
	return (place);
}

void
buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
	if (size != 0)
		memcpy(buffer_extend(buffer, size), bytes, size);
}

void
buffer_append_slice(struct buffer *buffer, struct slice slice)
{
	buffer_append(buffer, slice.data, slice.length);
}

void
buffer_append_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	uint8_t *place = buffer_reserve(buffer, CAPACITY_MIN);
	size_t room = buffer->capacity - buffer->length;
	int length;

	va_start(arguments, format);
	length = vsnprintf((char *)place, room, format, arguments);
	va_end(arguments);
	CHECK(length >= 0);
	if ((size_t)length >= room) {
		place = buffer_reserve(buffer, (size_t)length + 1);
		va_start(arguments, format);
		vsnprintf((char *)place, (size_t)length + 1, format,
		    arguments);
		va_end(arguments);
	}
	buffer->length += (size_t)length;
}

const char *
buffer_text(struct buffer *buffer)
{
	*buffer_reserve(buffer, 1) = '\0';
	return ((const char *)buffer->data);
}
