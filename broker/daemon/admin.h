/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin port: /metrics, /healthz and /readyz over HTTP, on a thread of its
 * own, so that a slow scraper slows nobody.  It asks nobody who he is: it
 * listens on loopback unless told otherwise.
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include <stdbool.h>

struct admin;
struct diag;
struct metrics;

struct admin_setup {
	const char *address; /* host:port */
	struct metrics *metrics;
	struct diag *diag;
	/* From the admin thread. */
	bool (*healthy)(void *arg);
	bool (*ready)(void *arg);
	void *arg;
};

/* NULL: said in the log. */
struct admin *admin_new(const struct admin_setup *setup);
/* From now on /metrics says 503, and no page is in the making; /healthz and
 * /readyz go on. Any thread but its own. */
void admin_end_metrics(struct admin *admin);
/* After it no page is made any more. Any thread but its own. */
void admin_free(struct admin **admin);

#endif
