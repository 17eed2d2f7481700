/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker counts, and the page on which Prometheus reads it.  The rows
 * are metrics.def; one struct metrics is made by the daemon and handed to every
 * room, which counts by name:
 *
 *	metrics_add(metrics, METRIC_MESSAGES_IN, count);
 *	metrics_add_at(metrics, METRIC_REQUESTS, api_key, 1);
 *	metrics_observe_at(metrics, METRIC_REQUEST_TOTAL_TIME, api_key, ns);
 *
 * Counts are relaxed atomic adds to cells that exist once a processor:
 *
 *	shard 0   | cell | cell | ... |   counters, histograms; gauges
 *	shard n   | cell | cell | ... |   counters, histograms
 *
 * and the page shows their sums.  What has labels without bound (topics,
 * partitions) is not counted here: its owner registers a collector, which is
 * called for each page and brings samples.
 *
 * Any thread may count.  `metrics` NULL is silence.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/errors.h"

struct metrics;
struct metrics_scrape;

enum metric {
#define METRIC(name, kind, cells, samples, family, prose) METRIC_##name,
#include "metrics/metrics.def"
#undef METRIC
	METRIC_COUNT
};

/* --- slots of labels ------------------------------------------------------ */

/* A request's slot is its API key; Kafka also counts Fetch by who asks. */
enum {
	METRICS_REQUEST_FETCH_CONSUMER = 126,
	METRICS_REQUEST_FETCH_FOLLOWER = 127,
	METRICS_REQUEST_COUNT
};

/* An error's slot is its code + 1. */
enum { METRICS_ERROR_COUNT = ERR_VOTER_NOT_FOUND + 2 };

#define METRICS_CLOSE_REASONS(X)                                              \
	X(CLOSE, PEER, "peer")                                                \
	X(CLOSE, IDLE, "idle")                                                \
	X(CLOSE, MALFORMED, "malformed")                                      \
	X(CLOSE, OVERSIZED, "oversized")                                      \
	X(CLOSE, OVER_LIMIT, "over_limit")                                    \
	X(CLOSE, AUTHENTICATION, "authentication")                            \
	X(CLOSE, SLOW, "slow")                                                \
	X(CLOSE, NETWORK, "network")                                          \
	X(CLOSE, SHUTDOWN, "shutdown")                                        \
	X(CLOSE, UNSUPPORTED, "unsupported")                                  \
	X(CLOSE, MEMORY, "memory")                                            \
	X(CLOSE, STORAGE, "storage")                                          \
	X(CLOSE, HANDLER, "handler")

#define METRICS_DELAYED_OPERATIONS(X)                                         \
	X(DELAYED, PRODUCE, "Produce")                                        \
	X(DELAYED, FETCH, "Fetch")                                            \
	X(DELAYED, TOPIC, "topic")                                            \
	X(DELAYED, ELECT_LEADER, "ElectLeader")                               \
	X(DELAYED, DELETE_RECORDS, "DeleteRecords")

/* As org.apache.zookeeper.ZooKeeper.States has them. */
#define METRICS_SESSION_STATES(X)                                             \
	X(SESSION, CONNECTING, "CONNECTING")                                  \
	X(SESSION, ASSOCIATING, "ASSOCIATING")                                \
	X(SESSION, CONNECTED, "CONNECTED")                                    \
	X(SESSION, CONNECTED_READ_ONLY, "CONNECTEDREADONLY")                  \
	X(SESSION, CLOSED, "CLOSED")                                          \
	X(SESSION, AUTH_FAILED, "AUTH_FAILED")                                \
	X(SESSION, NOT_CONNECTED, "NOT_CONNECTED")

#define X(set, name, text) METRICS_##set##_##name,
enum metrics_close_reason {
	METRICS_CLOSE_REASONS(X)
	METRICS_CLOSE_COUNT
};
enum metrics_delayed_operation {
	METRICS_DELAYED_OPERATIONS(X)
	METRICS_DELAYED_COUNT
};
enum metrics_session_state {
	METRICS_SESSION_STATES(X)
	METRICS_SESSION_COUNT
};
#undef X

/* --- life ----------------------------------------------------------------- */

struct metrics *metrics_new(void);
/* Nobody counts any more. */
void metrics_free(struct metrics *metrics);

/* Names of API keys, NULL where there is none (the key is shown then); this
 * room is below those that know them.  Before the first page. */
void metrics_set_request_names(struct metrics *metrics,
    const char *(*name)(int api_key));

/* --- counting ------------------------------------------------------------- */

/* The slot must be one of the family's labels, 0 for NONE: check API keys of
 * peers before.  Counters take no negative n. */
void metrics_add_at(struct metrics *metrics, enum metric metric, size_t slot,
    int64_t n);
/* Gauges, and counters that mirror a count kept elsewhere (those are never
 * added to); collectors may call it too. */
void metrics_set_at(struct metrics *metrics, enum metric metric, size_t slot,
    int64_t value);
/* Histograms: nanoseconds or bytes. */
void metrics_observe_at(struct metrics *metrics, enum metric metric,
    size_t slot, int64_t value);
/* A gauge of states: 1 at the slot, 0 at all others. One writer at a time. */
void metrics_select(struct metrics *metrics, enum metric metric, size_t slot);
/* An error code in a reply; codes without a row are UNKNOWN_SERVER_ERROR. */
void metrics_add_error(struct metrics *metrics, size_t request, int code);
/* The present sum; a histogram's count. */
int64_t metrics_value_at(const struct metrics *metrics, enum metric metric,
    size_t slot);

static inline void
metrics_add(struct metrics *metrics, enum metric metric, int64_t n)
{
	metrics_add_at(metrics, metric, 0, n);
}

static inline void
metrics_set(struct metrics *metrics, enum metric metric, int64_t value)
{
	metrics_set_at(metrics, metric, 0, value);
}

static inline void
metrics_observe(struct metrics *metrics, enum metric metric, int64_t value)
{
	metrics_observe_at(metrics, metric, 0, value);
}

static inline int64_t
metrics_value(const struct metrics *metrics, enum metric metric)
{
	return (metrics_value_at(metrics, metric, 0));
}

/* --- collectors ----------------------------------------------------------- */

#define METRICS_COLLECTORS_MAX 64
#define METRICS_SAMPLE_LABELS_MAX 3

/*
 * Called for every page, on the thread that makes it, without any lock.  It
 * calls metrics_sample(), and metrics_set() for gauges that are cheaper to
 * count over than to keep.
 */
typedef void metrics_collect(struct metrics_scrape *scrape, void *arg);

/* `arg` must live until the last page was made. Any thread; at most
 * METRICS_COLLECTORS_MAX. */
void metrics_register_collector(struct metrics *metrics,
    metrics_collect *collect, void *arg);

/* One sample of a family whose row names sample labels: a value for each, in
 * their order, e.g. METRICS_VALUES(topic, "3"). */
#define METRICS_VALUES(...) ((const char *const[]){ __VA_ARGS__, NULL })
void metrics_sample(struct metrics_scrape *scrape, enum metric metric,
    const char *const *label_values, int64_t value);
/* For the labels "topic,partition". */
void metrics_sample_partition(struct metrics_scrape *scrape,
    enum metric metric, const char *topic, int32_t partition, int64_t value);

/* --- the page ------------------------------------------------------------- */

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the page. One thread at a time. */
void metrics_expose(struct metrics *metrics, struct buffer *out);

#endif
