/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far long work is, on standard error: a line that is written over while
 * that is a terminal; with --progress, where it is none, a line every 5 s and
 * one at the end.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct tool;

struct progress {
	const struct tool *tool;
	const char *what; /* "partitions asked" */
	uint64_t total;
	int64_t next_ms; /* when it is time for the next line */
	bool shown;      /* a line stands on the terminal */
	bool quiet;      /* the caller prints to the terminal meanwhile */
};

void progress_begin(struct progress *progress, const struct tool *tool,
    const char *what, uint64_t total);
void progress_step(struct progress *progress, uint64_t done);
/* The terminal's line goes; the last line of --progress comes. */
void progress_end(struct progress *progress, uint64_t done);

#endif
