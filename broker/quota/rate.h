/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate, measured over the last windows: plain values, the caller brings time
 * and locks.
 *
 *	            oldest                      current
 *	               |--------|--------|  |-----|
 *	               sum      sum      sum  sum     now
 *	                                               |
 *	               |<------------- span ---------->|   rate = sums / span
 *
 * A window begins with the first amount after the one before it was full, so
 * between two there may be time in which nothing was noted.  One that saw
 * nothing for as long as all windows last is empty again and begins now.
 *
 * Source: Kafka 3.9's SampledStat and SimpleRate.
 */
#ifndef QUOTA_RATE_H
#define QUOTA_RATE_H

#include <stddef.h>
#include <stdint.h>

struct rate_window {
	int64_t began_ms;
	int64_t last_ms; /* when the latest amount came */
	int64_t sum;
};

struct rate {
	int64_t window_ms;
	int64_t window_count;
	struct rate_window *windows; /* made when first wanted */
	size_t made_count;           /* at most window_count + 1 */
	size_t current;
};

/* Both at least 1. */
void rate_init(struct rate *rate, int32_t window_count, int32_t window_seconds);
void rate_fini(struct rate *rate);
/* now_ms: monotonic. */
void rate_note(struct rate *rate, int64_t amount, int64_t now_ms);
/* A second; the span is one window at least. */
double rate_per_second(struct rate *rate, int64_t now_ms);

#endif
