/* SPDX-License-Identifier: Apache-2.0 */
/* What was set at run time in /config/brokers: read once for the start, then
 * watched; on the controller's loop. */
#ifndef DAEMON_DYNAMIC_H
#define DAEMON_DYNAMIC_H

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
/* Watches no more; before the session closes. NULL will do. */
void dynamic_stop(struct dynamic *dynamic);
/* Its config goes, too: after all rooms. */
void dynamic_free(struct dynamic **dynamic);
enum dynamic_state dynamic_state(const struct dynamic *dynamic);
/* Woken when it is not UNREAD any more. */
struct waitq *dynamic_changed(struct dynamic *dynamic);
/* What counts, resolved; NULL: nothing was set, the file's does. */
const struct config *dynamic_config(const struct dynamic *dynamic);

#endif
