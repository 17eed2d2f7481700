/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's parts, shared by the files that start, run and stop it. */
#ifndef DAEMON_BROKER_INT_H
#define DAEMON_BROKER_INT_H

#include <stdatomic.h>

#include "api/api.h"
#include "base/diag.h"
#include "base/loop.h"
#include "base/random.h"
#include "base/task.h"
#include "cluster/cluster.h"
#include "config/config.h"
#include "config/live.h"
#include "controller/controller.h"
#include "daemon/broker.h"
#include "daemon/dynamic.h"
#include "daemon/feature.h"
#include "daemon/registration.h"
#include "daemon/secure.h"
#include "group/group.h"
#include "net/net.h"
#include "replica/replica.h"
#include "storage/storage.h"
#include "txn/producer_ids.h"
#include "zkglue/zkglue.h"

/* A sign of life of one loop. */
struct broker_pulse {
	struct post post;
	_Atomic bool waiting; /* asked and not answered yet */
};

/* Owned by the controller's loop but for the atomics. */
struct broker {
	struct broker_setup setup;
	/* The file's, and from the start's reading of /config/brokers on with
	 * what that said; counted. Later ones are in `live`. */
	const struct config *config;
	struct config_live *live;
	/* Of `config`. Rooms point into it: it does not move. */
	struct broker_options own_options;
	const struct broker_options *options;
	_Atomic int state; /* enum broker_state */
	_Atomic bool stop_wanted;
	struct post stop_post;
	_Atomic bool stop_posted;
	_Atomic bool ready;

	struct loop *control; /* the controller's loop */
	struct loop **loops;  /* the network's, then `control` */
	size_t loop_count;    /* of the network */
	struct broker_pulse *pulses; /* one for each of them and `control` */
	struct work_queue *disk;     /* start, stop, roles */
	struct work_queue *resolver; /* names, ZooKeeper's connecting */

	int32_t broker_id;
	char cluster_id[64];
	bool topics_exist; /* ZooKeeper had some when we started */
	int32_t offsets_partitions; /* of __consumer_offsets then; 0: none */
	struct uuid offsets_id;
	char *session_file;
	char *session_identity;
	/* Bound for a config that is on its way; the controller's loop's, but
	 * for the worker that prepares it. */
	struct listener *opening[64];
	size_t opening_count;

	struct storage *storage;
	struct zk *zk;
	struct dynamic *dynamic;
	struct configs *configs;
	struct feature *feature;
	struct cluster *cluster;
	struct replicas *replicas;
	struct controller *controller;
	struct producer_ids *producer_ids;
	struct groups *groups;
	struct apis *apis;
	struct net *net;
	struct broker_tls tls;
	bool doors_open; /* net_start() was called */
	struct registration *registration;

	struct task_ref task; /* start, then stop */
	struct task_ref running; /* readiness, from the start's end on */
	bool vacated;      /* the controller's seat is left, or was not ours */
	bool departed;     /* the controlled shutdown is over, or was none */
	bool failed; /* no start, no disk left, or no place in the cluster */
	uint64_t dir_failures;   /* log dirs that went offline */
	struct task_ref dir_event; /* tells the controller of them */
	bool logs_closing; /* a worker frees replicas and logs */
	_Atomic bool collected;     /* collectors may look into the rooms */
	_Atomic uint64_t logs_closed;
	uint64_t logs_to_close;
	_Atomic int64_t closing_told_ms;
};

void broker_enter(struct broker *broker, enum broker_state state);
/* A sign of progress, to whoever might lose patience. Any thread. */
void broker_goes_on(struct broker *broker, const char *what, uint64_t done,
    uint64_t total, int64_t patience_ms);
void broker_start_task(struct broker *broker);
void broker_stop_task(struct broker *broker);
/* From RUNNING on, and before the registration is freed. */
void broker_run_task(struct broker *broker);
void broker_end_run_task(struct broker *broker);
/* The controlled shutdown; wakes the task after `departed` became true. */
void broker_depart_task(struct broker *broker, struct task *stop);
/* Leaves the controller's seat, if it is ours, and the registration with it;
 * wakes the task after `vacated` became true. */
void broker_vacate_task(struct broker *broker, struct task *stop);
/* Where brokers reach the controller: the control plane's, else their own. */
const char *broker_control_listener(const struct broker *broker);
/* storage's dir_failed; any thread. */
void broker_dir_failed(void *arg, struct log_dir *dir);
/* storage's log_closed; any thread. */
void broker_log_closed(void *arg);
/* Before the session closes; on the controller's loop. */
void broker_end_dir_event(struct broker *broker);

/* A piece of work on a worker that wakes a task when it is done. */
struct broker_work {
	struct work work;
	struct broker *broker;
	struct task_ref task;
	bool done;
	bool good;
};
void broker_work_start(struct broker_work *work, struct broker *broker,
    struct task *task, void (*run)(struct work *work));

#endif
