/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <time.h>

#include "tools/interrupt.h"

void
interrupt_hold(struct interrupt *interrupt)
{
	interrupt->came = false;
	sigemptyset(&interrupt->signals);
	sigaddset(&interrupt->signals, SIGINT);
	sigaddset(&interrupt->signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &interrupt->signals, &interrupt->before);
	signal(SIGPIPE, SIG_IGN);
}

bool
interrupt_came(struct interrupt *interrupt)
{
	const struct timespec now = { 0, 0 };

	if (!interrupt->came)
		interrupt->came =
		    sigtimedwait(&interrupt->signals, NULL, &now) > 0;
	return (interrupt->came);
}

void
interrupt_release(struct interrupt *interrupt)
{
	pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}
