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

#endif
