/* SPDX-License-Identifier: Apache-2.0 */
#include "quota/rate.h"

#include "base/mem.h"

#define SECOND_MS 1000

void
rate_init(struct rate *rate, int32_t window_count, int32_t window_seconds)
{
	*rate = (struct rate){
		.window_ms = (int64_t)window_seconds * SECOND_MS,
		.window_count = window_count,
	};
}

void
rate_fini(struct rate *rate)
{
	mem_free(rate->windows);
	*rate = (struct rate){ 0 };
}

static void
window_begin(struct rate_window *window, int64_t now_ms)
{
	*window = (struct rate_window){ now_ms, now_ms, 0 };
}

/* One behind all that were made. */
static struct rate_window *
rate_make(struct rate *rate, int64_t now_ms)
{
	rate->windows = mem_realloc(rate->windows,
	    (rate->made_count + 1) * sizeof(*rate->windows));
	rate->current = rate->made_count++;
	window_begin(&rate->windows[rate->current], now_ms);
	return (&rate->windows[rate->current]);
}

/* There is one more than are counted: the oldest may have begun before the time
 * that they last, and still reach into it. */
static struct rate_window *
rate_next(struct rate *rate, int64_t now_ms)
{
	size_t next = rate->current + 1;

	if (next > (size_t)rate->window_count)
		next = 0;
	if (next == rate->made_count)
		return (rate_make(rate, now_ms));
	rate->current = next;
	window_begin(&rate->windows[next], now_ms);
	return (&rate->windows[next]);
}

void
rate_note(struct rate *rate, int64_t amount, int64_t now_ms)
{
	struct rate_window *window = rate->made_count == 0 ?
	    rate_make(rate, now_ms) :
	    &rate->windows[rate->current];

	if (now_ms - window->began_ms >= rate->window_ms)
		window = rate_next(rate, now_ms);
	window->sum += amount;
	window->last_ms = now_ms;
}

double
rate_per_second(struct rate *rate, int64_t now_ms)
{
	const int64_t all_ms = rate->window_ms * rate->window_count;
	int64_t span_ms = rate->window_ms;
	double sum = 0;

	for (size_t i = 0; i < rate->made_count; i++) {
		struct rate_window *window = &rate->windows[i];

		if (now_ms - window->last_ms >= all_ms)
			window_begin(window, now_ms);
		if (now_ms - window->began_ms > span_ms)
			span_ms = now_ms - window->began_ms;
		sum += (double)window->sum;
	}
	return (sum * SECOND_MS / (double)span_ms);
}
