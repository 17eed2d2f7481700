/* SPDX-License-Identifier: Apache-2.0 */
/* Big-endian integers at unaligned addresses; the order of wire and disk. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_ACCESSORS(bits)                                                 \
	static inline uint##bits##_t bytes_get_u##bits(const void *at)        \
	{                                                                     \
		uint##bits##_t v;                                             \
		memcpy(&v, at, sizeof(v));                                    \
		return (be##bits##toh(v));                                    \
	}                                                                     \
	static inline int##bits##_t bytes_get_i##bits(const void *at)         \
	{                                                                     \
		return ((int##bits##_t)bytes_get_u##bits(at));                \
	}                                                                     \
	static inline void bytes_put_u##bits(void *at, uint##bits##_t v)      \
	{                                                                     \
		v = htobe##bits(v);                                           \
		memcpy(at, &v, sizeof(v));                                    \
	}                                                                     \
	static inline void bytes_put_i##bits(void *at, int##bits##_t v)       \
	{                                                                     \
		bytes_put_u##bits(at, (uint##bits##_t)v);                     \
	}

BYTES_ACCESSORS(16)
BYTES_ACCESSORS(32)
BYTES_ACCESSORS(64)

#endif
