/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This broker's node in /brokers/ids, kept there through every session.
 *
 *	[wait for a session] --> [look for twins] --> [create] -OK-> registered
 *	         ^                                       |              |
 *	         |                     NODEEXISTS: [whose is it?]       |
 *	         +------------- the session is another one -------------+
 *
 *	registered --other addresses--> [look for twins] --> [set] --+
 *
 * The broker epoch is the czxid of the node.
 * Source: KafkaZkClient.registerBroker, updateBrokerInfo.
 */
#ifndef DAEMON_REGISTRATION_H
#define DAEMON_REGISTRATION_H

#include <stdatomic.h>

#include "base/task.h"
#include "base/waitq.h"
#include "zkglue/zkglue.h"

struct diag;
struct registration;

struct registration_setup {
	struct loop *loop; /* zk's */
	struct zk *zk;
	struct diag *diag;
	int32_t broker_id;
	/* Copied; timestamp: that of each writing. */
	const struct znode_broker *broker;
	const struct clock *clock;
	/* How long a node of this very address, left by a process that died,
	 * may stand in the way before the start fails. */
	int64_t patience_ms;
};

struct registration *registration_new(const struct registration_setup *setup);
/* Other addresses, in this session and in those to come; copied.  When another
 * broker has one of them, or ZooKeeper refuses, that is said and those before
 * stay. On the loop. */
void registration_update(struct registration *registration,
    const struct znode_broker *broker);
/* Ends its task; the node stays until the session closes. */
void registration_free(struct registration **registration);

enum registration_state {
	REGISTRATION_PENDING,
	REGISTRATION_DONE,
	/* Another broker has our id or our address, or ZooKeeper refuses. */
	REGISTRATION_REFUSED
};
/* On the loop. */
enum registration_state registration_state(
    const struct registration *registration);
/* Woken at each change of state. */
struct waitq *registration_changed(struct registration *registration);
/* -1 while not registered. Any thread. */
int64_t registration_broker_epoch(const struct registration *registration);

#endif
