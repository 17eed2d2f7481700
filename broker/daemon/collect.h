/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COLLECT_H
#define DAEMON_COLLECT_H

struct broker;

/* The broker must outlive the last page. */
void collect_register(struct broker *broker);

#endif
