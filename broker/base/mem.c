/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *
mem_alloc(size_t size)
{
	void *memory = mem_try_alloc(size);

	CHECK(memory != NULL);
	return (memory);
}

void *
mem_zalloc(size_t size)
{
	void *memory = calloc(1, size == 0 ? 1 : size);

	CHECK(memory != NULL);
	return (memory);
}

void *
mem_realloc(void *old, size_t size)
{
	void *memory = realloc(old, size == 0 ? 1 : size);

	CHECK(memory != NULL);
	return (memory);
}

char *
mem_strdup(const char *text)
{
	CHECK(text != NULL);
	return (mem_strndup(text, strlen(text)));
}

char *
mem_strndup(const char *text, size_t length)
{
	size_t size = strnlen(text, length);
	char *copy = mem_alloc(size + 1);

	memcpy(copy, text, size);
	copy[size] = '\0';
	return (copy);
}

void *
mem_try_alloc(size_t size)
{
	return (malloc(size == 0 ? 1 : size));
}

void *
mem_try_realloc(void *old, size_t size)
{
	return (realloc(old, size == 0 ? 1 : size));
}

void
mem_free(void *memory)
{
	free(memory);
}
