/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 of Aumasson and Bernstein: a hash with a key.  Who does not know
 * the key cannot find bytes that hash alike, as long as he is not shown hashes:
 * they are for tables, not for proofs.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* bytes may be NULL when there are none. [any] */
uint64_t siphash(const uint64_t key[2], const void *bytes, size_t length);

#endif
