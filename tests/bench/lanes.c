/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/bytes.h"

bool
frames_take(int descriptor, struct buffer *in,
    void (*take)(void *arg, struct slice frame), void *arg)
{
	size_t at = 0;
	size_t room;
	ssize_t n;

	(void)buffer_reserve(in, 64 << 10);
	room = in->capacity - in->length;
	n = recv(descriptor, in->data + in->length, room, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return (false);
	if (n <= 0)
		fail("recv");
	in->length += (size_t)n;
	while (in->length - at >= 4) {
		const size_t size = bytes_get_u32(in->data + at);

		if (in->length - at < 4 + size) {
			(void)buffer_reserve(in, at + 4 + size - in->length);
			break;
		}
		take(arg, slice_of(in->data + at + 4, size));
		at += 4 + size;
	}
	memmove(in->data, in->data + at, in->length - at);
	in->length -= at;
	return ((size_t)n == room);
}

/* --- ticks ---------------------------------------------------------------- */

int
ticker_open(int poll, long per_second)
{
	const int ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec every = { .it_value.tv_nsec = 1 };
	struct epoll_event event = { .events = EPOLLIN };

	every.it_interval.tv_sec = per_second == 1;
	every.it_interval.tv_nsec = per_second == 1 ? 0
						    : 1000000000 / per_second;
	if (ticker < 0 || timerfd_settime(ticker, 0, &every, NULL) != 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, ticker, &event) != 0)
		fail("timer");
	return (ticker);
}

uint64_t
ticker_take(int ticker)
{
	uint64_t ticks = 0;

	return (read(ticker, &ticks, sizeof(ticks)) == sizeof(ticks) ? ticks
								     : 0);
}

/* --- quantiles ------------------------------------------------------------ */

static int
by_value(const void *a, const void *b)
{
	const float x = *(const float *)a;
	const float y = *(const float *)b;

	return ((x > y) - (x < y));
}

void
print_quantiles(const char *prefix, float *ms, long count)
{
	static const struct { const char *name; double at; } wanted[] = {
		{ "p50", 0.5 }, { "p99", 0.99 }, { "p999", 0.999 },
	};

	if (count == 0)
		return;
	qsort(ms, (size_t)count, sizeof(*ms), by_value);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		printf(" %s%s=%.4f", prefix, wanted[i].name,
		    (double)ms[(long)((double)(count - 1) * wanted[i].at)]);
}
