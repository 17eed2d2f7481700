/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time by which old things are deleted.  It is the wall clock's, but for a
 * while after that one went ahead by a leap: until then it goes on from where
 * it was, in case the clock is set back.  A leap back counts at once, for then
 * things are only deleted later.
 *
 *	wall   ------./   /-------- leap ahead, kept for as long as it is wide,
 *	            /    /          a day at most: then it is believed
 *	steady ----/----/
 *
 * Kafka believes at once: an hour's leap deletes what is an hour too young.
 */
#ifndef STORAGE_STEADY_H
#define STORAGE_STEADY_H

#include <stdbool.h>
#include <stdint.h>

/* Between two looks the two clocks may drift apart so far. */
#define STEADY_SLACK_MS ((int64_t)60 * 1000)
#define STEADY_DOUBT_MAX_MS ((int64_t)24 * 3600 * 1000)

/* All zero: never looked. */
struct steady {
	bool begun;
	bool doubts;
	int64_t wall_ms; /* believed, at the monotonic time mono_ms */
	int64_t mono_ms;
	int64_t since_ms; /* monotonic: when the leap was seen */
};

/* What a look found; *leap_ms says how far. */
enum steady_news { STEADY_NOTHING, STEADY_AHEAD, STEADY_BACK, STEADY_BELIEVED };

/* The steady time, of what both clocks say now. */
int64_t steady_look(struct steady *steady, int64_t wall_ms, int64_t mono_ms,
    enum steady_news *news, int64_t *leap_ms);

#endif
