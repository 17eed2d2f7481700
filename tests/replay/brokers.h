/* SPDX-License-Identifier: Apache-2.0 */
/* What the scripts of test_brokers.c and scripts_reordered.c share. */
#ifndef TESTS_REPLAY_BROKERS_H
#define TESTS_REPLAY_BROKERS_H

#include "tests/replay/house.h"

struct brokers_script {
	int number; /* doc/replays.md */
	const char *name;
	size_t brokers;
	void (*run)(struct house *house);
	uint64_t share; /* of the seeds: one in so many; 0: all */
};
/* Of what comes later than what was said after it; a row of zeros is last. */
extern const struct brokers_script reordered_scripts[];

int64_t some_ms(struct house *house, int64_t bound_ms);
void must(struct house *house, const char *what, int got, int wanted);

#endif
