/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

#include "base/check.h"

static int64_t
system_mono_ns(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

static int64_t
system_wall_ms(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
	return ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

const struct clock *
clock_system(void)
{
	static const struct clock clock = {
		.mono_ns = system_mono_ns,
		.wall_ms = system_wall_ms,
	};

	return (&clock);
}

static const struct clock_virtual *
virtual_of(const struct clock *clock)
{
	return ((const struct clock_virtual *)clock);
}

static int64_t
virtual_mono_ns(const struct clock *clock)
{
	return (virtual_of(clock)->now_ns);
}

static int64_t
virtual_wall_ms(const struct clock *clock)
{
	return (virtual_of(clock)->wall_base_ms +
	    virtual_of(clock)->now_ns / 1000000);
}

void
clock_virtual_init(struct clock_virtual *clock, int64_t wall_ms)
{
	*clock = (struct clock_virtual){
		.clock = { virtual_mono_ns, virtual_wall_ms },
		.wall_base_ms = wall_ms,
	};
}

void
clock_virtual_advance_to(struct clock_virtual *clock, int64_t now_ns)
{
	CHECK(now_ns >= clock->now_ns);
	clock->now_ns = now_ns;
}
