/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of the broker as a whole: of its listeners (which are net's) and towards
 * other brokers.
 */
#ifndef DAEMON_SECURE_H
#define DAEMON_SECURE_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/loop.h"
#include "base/task.h"
#include "net/tls.h"

struct broker;
struct net_options;

/* The controller's loop's, but for `posted`. */
struct config;
struct broker_tls {
	struct tls *peers; /* of the control listener; NULL: plaintext */
	/* Of the brokers' listener, where the controller has one of its own;
	 * else NULL: they share. */
	struct tls *followers;
	struct lock lock;  /* over a change, and listeners that are bound */
	struct post asked;
	struct timer later;          /* a change is under way */
	const struct config *config; /* read again; counted */
	_Atomic bool posted;
	struct work work; /* reads files */
	bool started; /* the broker runs */
	bool running;
	bool again; /* asked for meanwhile */
	bool good;
	struct tls_report report;
	struct task_ref waiter;
};

void broker_tls_init(struct broker *broker);
void broker_tls_fini(struct broker *broker);
/* For what followers fetch by. NULL: plaintext. */
struct tls *broker_tls_of_followers(const struct broker *broker);
/* Before any room that speaks to brokers is made. False: said. */
bool broker_tls_start(struct broker *broker);
/* The broker runs: what was asked for while it started is done now. */
void broker_tls_started(struct broker *broker);
/* Keys and certificates out of these options and the files as they are now, of
 * listeners and towards brokers: all or, false, none and report->error.  With
 * `use` false it is only tried. Reads files: on a worker, while net is there.
 */
bool broker_tls_change(struct broker *broker, const struct net_options *net,
    bool use, struct tls_report *report);
/* False: a reload is under way; the task is woken when it is over, and must
 * ask again. After true none begins any more, once the broker stops. */
bool broker_tls_idle(struct broker *broker, struct task *task);

#endif
