/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of scripts over many seeds: program [seeds [first seed [script]]].
 * Each script has a process of its own, as many at once as there are cores; one
 * that is named runs in the program's own, for a debugger.
 */
#ifndef TESTS_REPLAY_SEEDS_H
#define TESTS_REPLAY_SEEDS_H

#include <stddef.h>
#include <stdint.h>

struct seeds_row {
	const char *name;
	uint64_t share; /* of the seeds: one in so many; 0: all */
	const void *script;
};

/* The faults with one seed. */
typedef size_t seeds_run(const void *script, uint64_t seed);

/* `seeds`: unless argv says how many.  The program's exit status. */
int seeds_main(int argc, char **argv, uint64_t seeds,
    const struct seeds_row *rows, size_t count, seeds_run *run);

#endif
