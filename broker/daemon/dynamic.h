/* SPDX-License-Identifier: Apache-2.0 */
/* What was set at run time in /config/brokers: read once for the start, then
 * followed; on the controller's loop. */
#ifndef DAEMON_DYNAMIC_H
#define DAEMON_DYNAMIC_H

#include <stdbool.h>

struct broker;
struct config;
struct dynamic;
struct waitq;

enum dynamic_state {
	DYNAMIC_UNREAD,
	DYNAMIC_READ,
	DYNAMIC_REFUSED /* it cannot be followed; said in the log */
};

/* The broker has its session and its id. */
struct dynamic *dynamic_new(struct broker *broker);
/* All rooms are there: what changes from now on counts, and what has changed
 * since it was read. */
void dynamic_open(struct dynamic *dynamic);
/* Rooms are about to go: nothing more counts.  Those that are being told of a
 * change must stay until it is at rest. NULL will do for both. */
void dynamic_close(struct dynamic *dynamic);
bool dynamic_at_rest(const struct dynamic *dynamic);
/* Watches no more; before the session closes. NULL will do. */
void dynamic_stop(struct dynamic *dynamic);
/* After all rooms. */
void dynamic_free(struct dynamic **dynamic);
enum dynamic_state dynamic_state(const struct dynamic *dynamic);
/* Woken when it is not UNREAD any more. */
struct waitq *dynamic_changed(struct dynamic *dynamic);
/* What counts, resolved; from READ on. On the controller's loop, until the step
 * ends. */
const struct config *dynamic_config(const struct dynamic *dynamic);

#endif
