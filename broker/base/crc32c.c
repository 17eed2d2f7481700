/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* crc32_iscsi() counts in int. */
#define PART_SIZE_MAX ((size_t)1 << 30)

/*
 * ISA-L leaves the inversions before and after to the caller for CRC-32C, but
 * makes them itself for CRC-32.
 */
uint32_t
crc32c(uint32_t crc, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	crc = ~crc;
	while (size > 0) {
		size_t part = size < PART_SIZE_MAX ? size : PART_SIZE_MAX;

		/* It only reads, whatever its prototype says. */
		crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)part,
		    crc);
		at += part;
		size -= part;
	}
	return (~crc);
}

uint32_t
crc32_gzip_of(uint32_t crc, const void *bytes, size_t size)
{
	return (size == 0 ? crc : crc32_gzip_refl(crc, bytes, size));
}
