/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of scripts over many seeds: program [seeds [first seed [script]]],
 * from the basic ones to the hard ones; `program list` says which there are.
 * Each script has a process of its own, as many at once as there are cores; one
 * that is named, or whose number is, runs in the program's own, for a debugger.
 */
#ifndef TESTS_REPLAY_SEEDS_H
#define TESTS_REPLAY_SEEDS_H

#include <stddef.h>
#include <stdint.h>

struct seeds_row {
	int number; /* from basic to hard; doc/replays.md */
	const char *name;
	uint64_t share; /* of the seeds: one in so many; 0: all */
	const void *script;
};

/* The faults with one seed. */
typedef size_t seeds_run(const void *script, uint64_t seed);

/* `seeds`: unless argv says how many; a quarter of them where BARNABAS_SHORT is
 * set.  The rows are sorted.  The program's exit status. */
int seeds_main(int argc, char **argv, uint64_t seeds, struct seeds_row *rows,
    size_t count, seeds_run *run);

#endif
