/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* Straight to stderr: the log itself may be what is broken. */
_Noreturn void
check_failed(const char *what, const char *file, int line,
    const char *function)
{
	fprintf(stderr, "%s:%d: %s: broken invariant: %s\n", file, line,
	    function, what);
	fflush(stderr);
	abort();
}
