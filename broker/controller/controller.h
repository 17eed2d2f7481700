/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller: one broker at a time, elected through /controller, that owns
 * the state of partitions and replicas and tells every broker, its own
 * included, by LeaderAndIsr, UpdateMetadata and StopReplica.
 *
 *	RESIGNED --(no /controller)--> ELECTING --won--> LOADING -> ACTIVE
 *	   ^                              |                 |         |
 *	   +-- lost the race, /controller moved, epoch check failed, -+
 *	            session expired
 *
 * Single-threaded: everything runs on the controller loop, as tasks over
 * batches of ZooKeeper operations and over peers.  Every write is fenced by a
 * check of /controller_epoch's version.  Decisions (who leads, which ISR, where
 * replicas go) are pure functions in election.h and placement.h.
 */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "base/task.h"
#include "cluster/cluster.h"
#include "wire/wire.h"

struct controller;
struct controller_options;
struct random;
struct sockets;
struct work_queue;
struct zk;

struct controller_setup {
	struct loop *loop; /* the owner */
	struct zk *zk;
	struct cluster *cluster;
	struct configs *configs;
	struct sockets *sockets;
	struct work_queue *resolver;
	struct tls *tls; /* of links to brokers; NULL: plaintext */
	const struct controller_options *options;
	const struct broker_options *broker_options;
	const struct config *config; /* CreateTopics answers a topic's configs
				      * from it; NULL: it answers none */
	const char *listener; /* control plane, else inter-broker: brokers are
			       * reached there */
	int32_t broker_id;
	struct diag *diag;
	struct metrics *metrics;
	struct random *random;
};

struct controller *controller_new(const struct controller_setup *setup);
/* Takes part in elections from now on; call it after the broker registered. */
void controller_start(struct controller *controller);
/* Resigns, ends its tasks and channels; wakes the task. */
void controller_stop(struct controller *controller, struct task_ref task);
bool controller_stopped(const struct controller *controller);
void controller_free(struct controller **controller);

/* Somebody says that a topic's config changed. On its loop. */
void controller_config_changed(struct controller *controller,
    const char *topic);
/* What counts for all from now on, resolved; it stays while it does. `elects`:
 * topics' defaults let more replicas lead than before. On its loop. */
void controller_set_config(struct controller *controller,
    const struct config *config, bool elects);

/* Any thread. */
bool controller_active(const struct controller *controller);
/* Each broker that is told of things by this controller, and how many requests
 * wait to be sent to it. Any thread. */
void controller_each_channel(struct controller *controller,
    void (*each)(void *arg, int32_t broker_id, size_t waiting), void *arg);
/* 0 before the first election is seen. */
int32_t controller_epoch(const struct controller *controller);
/* The broker that holds /controller as last read, -1: none. Any thread. */
int32_t controller_current_id(const struct controller *controller);

/*
 * What API handlers ask of it: a call is started from a task on the controller
 * loop, which is woken at the end. Requests and answers are wire structs; the
 * answer's memory is the arena's.
 */
struct controller_call {
	struct task_ref task;
	struct arena *arena;
	const void *request;
	void *response; /* wire_init()ed by the caller */
	int version;
	int64_t deadline_ns;
	bool done;
	struct controller_call_int *state; /* hidden */
};
/* CreateTopics: validates each topic, writes config and assignment, waits until
 * the brokers' leaders are there or the deadline. NOT_CONTROLLER inside. */
void controller_create_topics(struct controller *controller,
    struct controller_call *call);
/* DeleteTopics: marks the topics, waits until all loops have forgotten them and
 * their names are free, or their deletion waits itself, or the deadline. */
void controller_delete_topics(struct controller *controller,
    struct controller_call *call);
/* CreatePartitions: validates, writes the nodes, waits as CreateTopics does. */
void controller_create_partitions(struct controller *controller,
    struct controller_call *call);
/* ControlledShutdown: a broker is relieved of its partitions.  It is no
 * candidate any more until it registers anew. */
void controller_controlled_shutdown(struct controller *controller,
    struct controller_call *call);
/* AlterPartition: a leader asks for another ISR. NOT_CONTROLLER on top. */
void controller_alter_partition(struct controller *controller,
    struct controller_call *call);
/* AlterPartitionReassignments: writes where replicas are to go, or calls that
 * off; does not wait until they are there. */
void controller_alter_reassignments(struct controller *controller,
    struct controller_call *call);
/* ListPartitionReassignments: answered at once. */
void controller_list_reassignments(struct controller *controller,
    struct controller_call *call);
/* ElectLeaders: preferred leaders, or any that live where there is none; waits
 * until all loops know them, or the deadline. NOT_CONTROLLER inside. */
void controller_elect_leaders(struct controller *controller,
    struct controller_call *call);
/* AllocateProducerIds, for brokers of the cluster. */
void controller_allocate_producer_ids(struct controller *controller,
    struct controller_call *call);
/* The caller goes away before the end. */
void controller_call_abandon(struct controller_call *call);

/*
 * Any broker creates a topic on a client's wish (Metadata with auto-creation):
 * writes ZooKeeper itself, waits for nothing. On the controller's loop.
 * `*error` is what Metadata answers for the topic meanwhile.
 */
struct topic_creation;
struct topic_creation *controller_auto_create(struct controller *controller,
    const char *topic, struct task_ref task);
bool topic_creation_done(const struct topic_creation *creation,
    enum error *error);
void topic_creation_free(struct topic_creation **creation);

#endif
