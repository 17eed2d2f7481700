/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who leads a partition: pure functions of what is known of it.
 * Source: kafka/controller/Election.scala; the table in doc/controller.md.
 */
#ifndef CONTROLLER_ELECTION_H
#define CONTROLLER_ELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One replica of the assignment, in assignment order. */
struct election_replica {
	int32_t broker;
	bool live;          /* registered, and its log dir works */
	bool shutting_down; /* asked for a controlled shutdown */
	bool in_isr;
	bool target;        /* of a reassignment */
};

enum election_kind {
	ELECTION_OFFLINE,   /* the leader died, or there never was one */
	ELECTION_REASSIGNMENT,
	ELECTION_PREFERRED,
	ELECTION_CONTROLLED_SHUTDOWN
};

struct election_result {
	int32_t leader;   /* -1: nobody can lead */
	bool unclean;     /* not from the ISR: ISR becomes the leader alone */
};

struct election_result election_run(enum election_kind kind,
    const struct election_replica *replicas, size_t count,
    bool unclean_allowed);

#endif
