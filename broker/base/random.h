/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 2: randomness.  A generator belongs to one thread; it is seeded by the
 * kernel in life and by the test's seed in replay.  Not for secrets.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state[4]; /* xoshiro256** */
};

void random_seed(struct random *random, uint64_t seed);
/* Seeds from getrandom(2). */
void random_seed_system(struct random *random);
uint64_t random_u64(struct random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
void random_bytes(struct random *random, void *out, size_t size);

/*
 * 128 bits that the kernel gave this process at its start (AT_RANDOM), always
 * the same ones: a key for hash tables, which the house, as it has no mutable
 * globals, could keep nowhere else.  The C library makes its stack guard of
 * them: they are shown to nobody.  In a replay nothing may depend on them.
 * [any]
 */
void random_of_process(uint64_t out[2]);

#endif
