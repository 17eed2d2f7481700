/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ROTATE_H
#define BASE_ROTATE_H

#include <stdint.h>

/* 0 < bits < 64. */
static inline uint64_t
rotate_left(uint64_t value, unsigned bits)
{
	return (value << bits | value >> (64 - bits));
}

#endif
