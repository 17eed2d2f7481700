/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGINT and SIGTERM for a command that runs long: held back in all threads,
 * and asked for between pieces of work.  No handler, no global flag.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

struct interrupt {
	sigset_t signals;
	sigset_t before;
	bool came;
};

/* Before other threads begin. SIGPIPE becomes an error of the write. */
void interrupt_hold(struct interrupt *interrupt);
/* True from the first signal on. */
bool interrupt_came(struct interrupt *interrupt);
void interrupt_release(struct interrupt *interrupt);

#endif
