/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producer ids: a block of 1,000 at a time from the controller, the next block
 * asked for when nine tenths of this one are used.
 *
 *	[enough] --low--> [find the controller] --> [ask] --> [enough]
 *	                         ^                    | error, no controller
 *	                         +------ pause <------+
 *
 * Source: RPCProducerIdManager of 3.9 (KIP-730).
 */
#ifndef TXN_PRODUCER_IDS_H
#define TXN_PRODUCER_IDS_H

#include "base/task.h"

struct cluster;
struct diag;
struct producer_ids;
struct sockets;
struct work_queue;

struct producer_ids_setup {
	struct loop *loop; /* where blocks are asked for */
	struct cluster *cluster;
	struct sockets *sockets;
	struct work_queue *resolver;
	const char *listener; /* of the controller */
	struct tls *tls;      /* of links to it; NULL: plaintext */
	int64_t connect_timeout_ms;
	int64_t request_timeout_ms; /* one that found no answer is repeated */
	int32_t broker_id;
	/* This broker's epoch, -1 while it has none. Any thread. */
	int64_t (*broker_epoch)(void *arg);
	void *broker_epoch_arg;
	struct diag *diag;
};

struct producer_ids *producer_ids_new(const struct producer_ids_setup *setup);
void producer_ids_free(struct producer_ids **ids);
/* A fresh id, or -1 while no block is at hand: the client is to try again
 * (COORDINATOR_LOAD_IN_PROGRESS). Any thread. */
int64_t producer_ids_next(struct producer_ids *ids);
/* Whether an answer holds ids at all. */
bool producer_ids_valid(int64_t start, int32_t count);

#endif
