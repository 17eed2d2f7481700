/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify.h"

#include <inttypes.h>

#include "config.h"
#include "daemon/broker.h"
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

/* Start and stop may take so much longer after each sign of progress. */
#define EXTEND_US INT64_C(60000000)

void
notify_ready(void)
{
	sd_notify(0, "READY=1\nSTATUS=serving");
}

void
notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

void
notify_progress(const struct broker_progress *p)
{
	sd_notifyf(0,
	    "EXTEND_TIMEOUT_USEC=%" PRId64 "\nSTATUS=%s: %" PRIu64
	    " of %" PRIu64, EXTEND_US + p->patience_ms * 1000, p->what,
	    p->done, p->total);
}

void
notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

int64_t
notify_interval_ms(void)
{
	uint64_t us = 0;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return (0);
	return (us < 4000 ? 2 : (int64_t)(us / 2000));
}

#else

void
notify_ready(void)
{
}

void
notify_stopping(void)
{
}

void
notify_progress(const struct broker_progress *progress)
{
	(void)progress;
}

void
notify_alive(void)
{
}

int64_t
notify_interval_ms(void)
{
	return (0);
}

#endif
