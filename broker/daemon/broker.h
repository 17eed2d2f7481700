/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole broker, put together: rooms wired to each other and to the six
 * seams.  main.c gives it the real ones; replay gives it fakes and runs several
 * in one process.
 *
 *	STARTING: directories -> ZooKeeper -> tree, cluster id, broker id ->
 *	    configs -> logs -> listeners bound -> registered -> doors open
 *	RUNNING
 *	STOPPING: handed over -> doors closed -> controller -> replicas ->
 *	    its seat -> logs -> session
 *	STOPPED or FAILED
 *
 * Both ways are tasks on the controller's loop (start.c, stop.c).  A stop asked
 * for during the start takes effect between two of its steps.
 */
#ifndef DAEMON_BROKER_H
#define DAEMON_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;
struct clock;
struct config;
struct diag;
struct files;
struct metrics;
struct random;
struct scheduler;
struct sockets;
struct zk_driver;

/* What a broker learns from outside comes through these. */
struct seams {
	const struct clock *clock;
	struct random *random; /* the controller loop's, once started */
	struct sockets *sockets;
	struct files *files;
	struct zk_driver *zk_driver;
	struct scheduler *scheduler;
	struct diag *diag;
};

enum broker_state {
	BROKER_STARTING,
	BROKER_RUNNING,
	BROKER_STOPPING,
	BROKER_STOPPED,
	/* It could not start, lost all disks or its place in the cluster; it
	 * has stopped. */
	BROKER_FAILED
};

/* Something that takes its time, and goes on. */
struct broker_progress {
	const char *what; /* "loading logs" */
	uint64_t done;    /* of total */
	uint64_t total;
	int64_t patience_ms; /* may pass until the next, beyond the usual */
};

struct broker_setup {
	struct seams seams;
	const struct config *config; /* resolved; outlives the broker */
	struct metrics *metrics;
	int loop_count;
	size_t log_files; /* that may stay open; 0: some hundred */
	/* These may be NULL.  At each change of state; on the controller's
	 * loop. */
	void (*changed)(void *arg, enum broker_state state);
	/* While the start and the stop go on. Any thread. */
	void (*progress)(void *arg, const struct broker_progress *progress);
	/* What collectors of metrics look into goes: none is in it any more,
	 * nor called again, when this returns. */
	void (*rooms_go)(void *arg);
	void *arg;
};

/* Starts to start. */
struct broker *broker_new(const struct broker_setup *setup);
/* Any thread; again and again does no harm. */
void broker_stop(struct broker *broker);
/* Any thread. */
enum broker_state broker_state(const struct broker *broker);
/* Keys and certificates are read again; a broken one leaves the old ones in
 * use. Any thread. */
void broker_reload_tls(struct broker *broker);
/* STOPPED or FAILED. */
void broker_free(struct broker **broker);

/* Asks every loop for a sign of life; broker_alive() tells whether all have
 * answered the last call. One thread calls both. */
void broker_ping(struct broker *broker);
bool broker_alive(const struct broker *broker);

/* RUNNING and registered: the controller has told this broker of itself, and
 * its session was not lost since, or it is registered again. Any thread. */
bool broker_ready(const struct broker *broker);
/* For tests: the port that a listener is bound to, -1: no such listener. */
int32_t broker_port(const struct broker *broker, const char *listener);

#endif
