/* SPDX-License-Identifier: Apache-2.0 */
#include "quota/throttle.h"

#include "base/text.h"

void
throttle_init(struct throttle *throttle, int32_t window_count,
    int32_t window_seconds, int64_t limit)
{
	lock_init(&throttle->lock, LOCK_RANK_LEAF);
	rate_init(&throttle->rate, window_count, window_seconds);
	atomic_init(&throttle->limit, limit);
}

void
throttle_fini(struct throttle *throttle)
{
	rate_fini(&throttle->rate);
	lock_fini(&throttle->lock);
}

void
throttle_set_limit(struct throttle *throttle, int64_t limit)
{
	atomic_store_explicit(&throttle->limit, limit, memory_order_relaxed);
}

int64_t
throttle_limit(const struct throttle *throttle)
{
	return (atomic_load_explicit(&throttle->limit, memory_order_relaxed));
}

void
throttle_note(struct throttle *throttle, int64_t bytes, int64_t now_ms)
{
	lock_take(&throttle->lock);
	rate_note(&throttle->rate, bytes, now_ms);
	lock_release(&throttle->lock);
}

static double
throttle_measure(struct throttle *throttle, int64_t now_ms)
{
	double rate;

	lock_take(&throttle->lock);
	rate = rate_per_second(&throttle->rate, now_ms);
	lock_release(&throttle->lock);
	return (rate);
}

bool
throttle_exceeded(struct throttle *throttle, int64_t now_ms)
{
	int64_t limit = throttle_limit(throttle);

	return (limit != THROTTLE_NO_LIMIT &&
	    throttle_measure(throttle, now_ms) > (double)limit);
}

int64_t
throttle_rate(struct throttle *throttle, int64_t now_ms)
{
	return ((int64_t)throttle_measure(throttle, now_ms));
}

bool
throttle_names(const char *replicas, int32_t partition, int32_t broker)
{
	struct slice rest = text_trim(slice_of_text(replicas));

	if (slice_equal_text(rest, "*"))
		return (true);
	while (rest.length > 0) {
		struct slice item = text_cut(rest, ',', &rest), right;
		struct slice left = text_cut(item, ':', &right);
		int32_t p, b;

		if (text_to_int32(text_trim(left), &p) && p == partition &&
		    text_to_int32(text_trim(right), &b) && b == broker)
			return (true);
	}
	return (false);
}
