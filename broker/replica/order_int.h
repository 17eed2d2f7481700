/* SPDX-License-Identifier: Apache-2.0 */
/* What order.c and order_rows.c share: the rows of a LeaderAndIsr. */
#ifndef REPLICA_ORDER_INT_H
#define REPLICA_ORDER_INT_H

#include "replica/replica_int.h"

struct order_row {
	struct slice topic;
	struct uuid topic_id; /* zero: none given */
	const struct leader_and_isr_request_partition_state *state;
	int32_t slot; /* of the request's topic states; unless they are none */
	bool leader_lives;
	bool reassigned; /* replicas are to come or to go */
	enum error error;
	struct order_row *next; /* in its share */
	struct replica *replica; /* claimed, a reference; while at work */
	bool again; /* of the replica's kept one: comes with the reference */
};

/*
 * What an order answers that waits for room or a descriptor; it is kept and
 * tried again.  A controller, Kafka's too, takes KAFKA_STORAGE_ERROR for a
 * failed log dir, which only a restart of the broker heals; by any other error
 * it holds nothing against the replica, and what is new stays new.
 */
#define ORDER_WAITS ERR_REPLICA_NOT_AVAILABLE

/* One share: each row's error. [worker] */
void order_rows_run(struct replicas *replicas, struct order_row *first);

/* --- order_again.c: the replica is claimed -------------------------------- */

/* One waits that called the same topic's partition new: it still is, whatever a
 * controller says that was elected since.  Nothing was ever made of it here. */
bool order_kept_new(const struct replica *replica, struct uuid topic_id);
/* False: there is none any more. */
bool order_recall(struct order_row *row);
/* The row was carried out, refused, or waits. */
void order_settle(const struct order_row *row);

#endif
