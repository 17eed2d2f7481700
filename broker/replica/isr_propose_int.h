/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the in-sync replicas, shared by isr_propose.c (what is proposed,
 * and what an answer does to a partition) and isr_send.c (AlterPartition).
 */
#ifndef REPLICA_ISR_PROPOSE_INT_H
#define REPLICA_ISR_PROPOSE_INT_H

#include "replica/fetcher_int.h"

struct proposal_member {
	int32_t broker;
	int64_t broker_epoch; /* -1: not told */
};

/* One partition's. In the queue, in the request, or with a worker. */
struct proposal {
	struct list link;
	struct isr_proposer *proposer;
	struct replica *replica; /* a reference */
	uint64_t id;             /* the replica's `proposed`, while it counts */
	int32_t leader_epoch;
	int32_t partition_epoch;
	bool shrinks;
	struct proposal_member *members; /* the leader first */
	int32_t member_count;
	/* The answer, for a worker. */
	struct work work;
	struct alter_partition_response_partition answer; /* isr: below */
	int32_t *answer_isr;
	bool unfit; /* it is not of what is known here */
	bool again; /* it is to be sent once more, not before: */
	int64_t again_ns;
	int64_t pause_ns; /* the last one; 0: none yet */
};

/* The setup's loop's, but for what its lock guards. */
struct isr_proposer {
	struct replicas *replicas;
	struct follow_setup setup;
	struct lock lock; /* a leaf: replicas to look at */
	struct list wished;
	atomic_bool posted;
	struct post post;
	struct timer timer; /* looks for those that lag */
	bool stopped;
	atomic_size_t busy; /* with workers */
	uint64_t last_id;
	struct list queue;  /* of proposals to be sent */
	struct list sent;
	struct task_ref task;
	struct link connection;
	struct peer_call call;
	bool calling;
	bool complained;
	struct arena arena;
	struct alter_partition_response response;
	int version;
};

/* Whether it still counts; its lock is not held. */
bool proposal_stands(const struct proposal *proposal);
void proposal_free(struct proposal *proposal);
/* Takes over the answer, and the proposal. */
void proposal_answered(struct proposal *proposal,
    const struct alter_partition_response_partition *answer);

void isr_send_start(struct isr_proposer *proposer);
void isr_send_wake(struct isr_proposer *proposer);
void isr_send_stop(struct isr_proposer *proposer);

#endif
