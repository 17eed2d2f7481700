/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of bytes that somebody else owns.  data NULL is the protocol's null;
 * an empty, present value has data not NULL and length 0.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *data;
	size_t length;
};

#define SLICE_NULL ((struct slice){ NULL, 0 })
#define SLICE_EMPTY ((struct slice){ (const uint8_t *)"", 0 })
#define SLICE_LITERAL(text) \
	((struct slice){ (const uint8_t *)(text), sizeof(text) - 1 })
/* printf("%.*s", SLICE_ARGS(s)) */
#define SLICE_ARGS(s)                                                         \
	(int)(s).length,                                                      \
	    (const char *)((s).data ? (s).data : (const uint8_t *)"")

static inline struct slice
slice_of(const void *data, size_t length)
{
	return ((struct slice){ data, length });
}

/* NULL gives the null slice. */
static inline struct slice
slice_of_text(const char *text)
{
	return ((struct slice){ (const uint8_t *)text,
	    text ? strlen(text) : 0 });
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
	return ((a.data == NULL) == (b.data == NULL) && a.length == b.length &&
	    (a.length == 0 || memcmp(a.data, b.data, a.length) == 0));
}

static inline bool
slice_equal_text(struct slice a, const char *text)
{
	return (slice_equal(a, slice_of_text(text)));
}

/* Bytewise order, shorter first among equals; null sorts as empty. */
static inline int
slice_compare(struct slice a, struct slice b)
{
	size_t common = a.length < b.length ? a.length : b.length;
	int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

	return (order != 0 ? order
			   : (a.length > b.length) - (a.length < b.length));
}

#endif
