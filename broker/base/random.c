/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256** of Blackman and Vigna, seeded through splitmix64. */
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/rotate.h"

/* splitmix64 never gives four zeros in a row, the one state that is stuck. */
void
random_seed(struct random *random, uint64_t seed)
{
	for (size_t i = 0; i < nelems(random->state); i++) {
		uint64_t mixed = seed += 0x9e3779b97f4a7c15;

		mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
		mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
		random->state[i] = mixed ^ mixed >> 31;
	}
}

void
random_seed_system(struct random *random)
{
	uint64_t seed;
	ssize_t got;

	do
		got = getrandom(&seed, sizeof(seed), 0);
	while (got < 0 && errno == EINTR);
	/* Eight bytes are never given in part, and Linux has had the call
	 * since 3.17: there is no refusal to handle. */
	CHECK(got == (ssize_t)sizeof(seed));
	random_seed(random, seed);
}

uint64_t
random_u64(struct random *random)
{
	uint64_t *state = random->state;
	uint64_t result = rotate_left(state[1] * 5, 7) * 9;
	uint64_t shifted = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= shifted;
	state[3] = rotate_left(state[3], 45);
	return (result);
}

/* Draws below 2^64 mod bound would come up once too often. */
uint64_t
random_below(struct random *random, uint64_t bound)
{
	uint64_t drawn, surplus;

	CHECK(bound > 0);
	surplus = -bound % bound;
	do
		drawn = random_u64(random);
	while (drawn < surplus);
	return (drawn % bound);
}

void
random_bytes(struct random *random, void *out, size_t size)
{
	uint8_t *place = out;

	while (size > 0) {
		uint64_t drawn = random_u64(random);
		size_t part = size < sizeof(drawn) ? size : sizeof(drawn);

		memcpy(place, &drawn, part);
		place += part;
		size -= part;
	}
}

/* They lie beside the arguments of main(); Linux gives them since 2.6.29. */
void
random_of_process(uint64_t out[2])
{
	const void *bytes = (const void *)getauxval(AT_RANDOM);

	CHECK(bytes != NULL);
	memcpy(out, bytes, 2 * sizeof(*out));
}
