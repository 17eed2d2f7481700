/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What load programs with many connections at once share: the frames in what
 * came, a clock that ticks, quantiles.
 */
#ifndef TESTS_BENCH_LANES_H
#define TESTS_BENCH_LANES_H

#include "client.h"

/* Each whole frame, without its size, of what one recv(2) brings goes to
 * `take`, the rest waits in `in`; true: there may be more to receive. */
bool frames_take(int descriptor, struct buffer *in,
    void (*take)(void *arg, struct slice frame), void *arg);
/* In `poll`, with a null pointer beside it. */
int ticker_open(int poll, long per_second);
/* Ticks since the last call. */
uint64_t ticker_take(int ticker);
/* " PREFIXp50=..", p99 and p999; sorts. */
void print_quantiles(const char *prefix, float *ms, long count);

#endif
