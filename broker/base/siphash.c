/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four words, stirred by additions, rotations and exclusive ors:
 *
 *	key -> a b c d -> each 8 bytes: in at d, one round, in at a
 *	               -> the rest and the length: likewise
 *	               -> 0xff in at c, three rounds -> a ^ b ^ c ^ d
 *
 * https://www.aumasson.jp/siphash/siphash.pdf, with fewer rounds than the
 * paper's 2-4, as tables need no more.
 */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

#include "base/rotate.h"

struct siphash {
	uint64_t a, b, c, d;
};

static inline void
siphash_round(struct siphash *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = rotate_left(s->b, 13) ^ s->a;
	s->d = rotate_left(s->d, 16) ^ s->c;
	s->a = rotate_left(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = rotate_left(s->b, 17) ^ s->c;
	s->d = rotate_left(s->d, 21) ^ s->a;
	s->c = rotate_left(s->c, 32);
}

static inline void
siphash_take(struct siphash *s, uint64_t word)
{
	s->d ^= word;
	siphash_round(s);
	s->a ^= word;
}

static inline uint64_t
siphash_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return (le64toh(word));
}

uint64_t
siphash(const uint64_t key[2], const void *bytes, size_t length)
{
	struct siphash s = {
		.a = key[0] ^ 0x736f6d6570736575, /* "somepseu" */
		.b = key[1] ^ 0x646f72616e646f6d, /* "dorandom" */
		.c = key[0] ^ 0x6c7967656e657261, /* "lygenera" */
		.d = key[1] ^ 0x7465646279746573, /* "tedbytes" */
	};
	const uint8_t *at = bytes;
	uint64_t last = (uint64_t)length << 56;
	size_t rest = length % 8;

	for (size_t words = length / 8; words > 0; words--, at += 8)
		siphash_take(&s, siphash_word(at));
	while (rest-- > 0)
		last |= (uint64_t)at[rest] << (8 * rest);
	siphash_take(&s, last);
	s.c ^= 0xff;
	siphash_round(&s);
	siphash_round(&s);
	siphash_round(&s);
	return (s.a ^ s.b ^ s.c ^ s.d);
}
