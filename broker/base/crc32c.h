/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli, RFC 3720 B.4) in hardware, by ISA-L; and the CRC-32 of
 * RFC 1952 that magic 0 and 1 messages carry.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Start with 0; the result of one call continues in the next. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);
uint32_t crc32_gzip_of(uint32_t crc, const void *bytes, size_t size);

#endif
