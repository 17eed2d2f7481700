/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 1: time.  Two scales: monotonic nanoseconds for waiting, and wall-clock
 * milliseconds for what is written down (record timestamps, znodes).  Replay
 * puts a virtual clock behind the same calls; nobody else asks the kernel.
 * Immutable after creation (the virtual one belongs to the scheduler's thread).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*mono_ns)(const struct clock *clock);
	int64_t (*wall_ms)(const struct clock *clock);
};

/* The kernel's clocks. */
const struct clock *clock_system(void);

/* A clock that moves only when told to; both scales together. */
struct clock_virtual {
	struct clock clock; /* first */
	int64_t now_ns;
	int64_t wall_base_ms;
};
void clock_virtual_init(struct clock_virtual *clock, int64_t wall_ms);
void clock_virtual_advance_to(struct clock_virtual *clock, int64_t now_ns);

static inline int64_t
clock_mono_ns(const struct clock *clock)
{
	return (clock->mono_ns(clock));
}

static inline int64_t
clock_mono_ms(const struct clock *clock)
{
	return (clock->mono_ns(clock) / 1000000);
}

/* `ms` later, at most INT64_MAX: there are options that go up to that. */
static inline int64_t
clock_after_ms(int64_t now_ns, int64_t ms)
{
	return (ms < (INT64_MAX - now_ns) / 1000000 ? now_ns + ms * 1000000 :
						       INT64_MAX);
}

static inline int64_t
clock_wall_ms(const struct clock *clock)
{
	return (clock->wall_ms(clock));
}

#endif
