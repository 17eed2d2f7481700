/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation of small objects whose size is ours to choose: these end the
 * process when the system refuses.  Sizes that a peer or a file names go
 * through mem_try_alloc(), or an arena, whose refusal is an error to handle.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t length);
/* May answer NULL; then `old` is still there. */
void *mem_try_alloc(size_t size);
void *mem_try_realloc(void *old, size_t size);
/* free() that also takes NULL; for symmetry. */
void mem_free(void *memory);

#endif
