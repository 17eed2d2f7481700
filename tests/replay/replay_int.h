/* SPDX-License-Identifier: Apache-2.0 */
/* A plane, shared by replay.c and orders.c; the scheduler's thread owns all. */
#ifndef TESTS_REPLAY_REPLAY_INT_H
#define TESTS_REPLAY_REPLAY_INT_H

#include "config/config.h"
#include "daemon/registration.h"
#include "tests/replay/replay.h"

#define MS ((int64_t)1000000)
/* Where a plane's followers would find it. */
#define REPLAY_FOLLOWER_PORT 9093

struct plane {
	struct replay *replay;
	int id;
	char name[16];
	struct config *config;
	struct config_listener listener;
	struct znode_endpoint endpoints[2];
	struct znode_broker node;
	struct loop *control;
	struct loop *network;
	struct work_queue *workers;
	struct zk_driver *driver;
	struct zk *zk;
	struct registration *registration;
	struct cluster *cluster;
	struct configs *configs;
	struct controller *controller;
	struct net *net;
	struct random random;
	int32_t controller_epoch;
	bool informed; /* it was told of all partitions once */
	bool zk_closed;
	struct list telling; /* of DescribeLogDirs that are answered later */
	bool buried;         /* they are answered now */
};

/* What a plane does with the controller's orders; `arg` is the plane. */
void plane_request(void *arg, struct request *request);
bool plane_serves(void *arg, int api_key, int version);
/* It is buried: who waits to answer does so. */
void plane_tell_all(struct plane *plane);
/* NULL: it has none. */
struct replay_replica *plane_replica(struct plane *plane, const char *key,
    bool make);

#endif
