/* SPDX-License-Identifier: Apache-2.0 */
/* What order.c and order_rows.c share: the rows of a LeaderAndIsr. */
#ifndef REPLICA_ORDER_INT_H
#define REPLICA_ORDER_INT_H

#include "replica/replica_int.h"

struct order_row {
	struct slice topic;
	struct uuid topic_id; /* zero: none given */
	const struct leader_and_isr_request_partition_state *state;
	bool leader_lives;
	enum error error;
	struct order_row *next; /* in its share */
	struct replica *replica; /* claimed, a reference; while at work */
};

/* One share: each row's error. [worker] */
void order_rows_run(struct replicas *replicas, struct order_row *first);

#endif
