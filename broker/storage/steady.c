/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/steady.h"

static void
steady_believe(struct steady *s, int64_t wall_ms, int64_t mono_ms)
{
	*s = (struct steady){ .begun = true, .wall_ms = wall_ms,
		.mono_ms = mono_ms };
}

static bool
steady_still_doubts(const struct steady *s, int64_t leap_ms, int64_t mono_ms)
{
	int64_t enough_ms = leap_ms < STEADY_DOUBT_MAX_MS
	    ? leap_ms : STEADY_DOUBT_MAX_MS;

	return (mono_ms - s->since_ms < enough_ms);
}

int64_t
steady_look(struct steady *s, int64_t wall_ms, int64_t mono_ms,
    enum steady_news *news, int64_t *leap_ms)
{
	int64_t expected_ms = s->begun
	    ? s->wall_ms + (mono_ms - s->mono_ms) : wall_ms;

	*news = STEADY_NOTHING;
	*leap_ms = wall_ms - expected_ms;
	if (*leap_ms > STEADY_SLACK_MS) {
		if (!s->doubts) {
			s->doubts = true;
			s->since_ms = mono_ms;
			*news = STEADY_AHEAD;
		}
		if (steady_still_doubts(s, *leap_ms, mono_ms))
			return (expected_ms);
		*news = STEADY_BELIEVED;
	} else if (*leap_ms < -STEADY_SLACK_MS) {
		*news = STEADY_BACK;
	}
	steady_believe(s, wall_ms, mono_ms);
	return (wall_ms);
}
