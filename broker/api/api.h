/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The APIs that this broker serves: one file an API, each decodes, asks one
 * thing of the rooms below, and encodes.  served.def says which, in which
 * versions; ApiVersions tells exactly these.
 *
 *	net -> api_dispatch -> api_produce() .. -> replica -> .. -> api_reply()
 *
 * A handler runs on the connection's loop.  What belongs to the controller's
 * loop goes there as a task and comes home to answer (struct api_away).
 */
#ifndef API_API_H
#define API_API_H

#include "config/alter.h"
#include "net/net.h"

struct apis;
struct broker_options;
struct cluster;
struct config_live;
struct configs;
struct controller;
struct diag;
struct groups;
struct metrics;
struct producer_ids;
struct random;
struct replicas;
struct scheduler;
struct work_queue;
struct zk;

struct api_setup {
	const struct broker_options *options;
	const struct config_live *live; /* for DescribeConfigs */
	/* Whether the broker could go over from one config to the other.  May
	 * wait for files and names: on a worker.  False: why.  NULL: it could.
	 */
	bool (*may_become)(void *arg, const struct config *now,
	    const struct config *next, char why[ALTER_ERROR_SIZE]);
	void *may_become_arg;
	struct scheduler *scheduler;
	struct loop *controller_loop;
	struct zk *zk;
	struct work_queue *workers; /* secrets take milliseconds */
	struct cluster *cluster;
	struct configs *configs;
	struct replicas *replicas;
	struct controller *controller;
	struct producer_ids *producer_ids;
	struct groups *groups;
	struct diag *diag;
	struct metrics *metrics;
	struct random *random; /* seeds what this room draws */
	int32_t broker_id;
	/* This broker's epoch, -1 while it has none. Any thread. */
	int64_t (*broker_epoch)(void *arg);
	void *broker_epoch_arg;
	/* Data version of an enabled /feature node, -1: unknown. Any thread. */
	int64_t (*feature_epoch)(void *arg);
	void *feature_epoch_arg;
};

struct apis *api_new(const struct api_setup *setup);
void api_free(struct apis **apis);
/* What net is to call. */
struct net_handler api_handler(struct apis *apis);

#endif
