/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the counting half (metrics.c) and the page (exposition.c). */
#ifndef METRICS_INTERNAL_H
#define METRICS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "metrics/metrics.h"

enum metric_kind {
	METRIC_KIND_COUNTER,
	METRIC_KIND_GAUGE,
	METRIC_KIND_TIME_MS,
	METRIC_KIND_TIME_SECONDS,
	METRIC_KIND_BYTES
};

/* Slots: requests x errors are laid out by request. */
#define METRIC_LABEL_SETS(X)                                                  \
	X(ABSENT, 0)                                                          \
	X(NONE, 1)                                                            \
	X(REQUEST, METRICS_REQUEST_COUNT)                                     \
	X(REQUEST_ERROR, METRICS_REQUEST_COUNT * METRICS_ERROR_COUNT)         \
	X(CLOSE_REASON, METRICS_CLOSE_COUNT)                                  \
	X(DELAYED_OPERATION, METRICS_DELAYED_COUNT)                           \
	X(SESSION_STATE, METRICS_SESSION_COUNT)

enum metric_labels {
#define X(name, slots) METRIC_LABELS_##name,
	METRIC_LABEL_SETS(X)
#undef X
};

/* Cells of one slot of a histogram: a count for each bound, one for what is
 * beyond the last, and the sum. */
enum {
	HISTOGRAM_BOUNDS = 21,
	HISTOGRAM_BEYOND = HISTOGRAM_BOUNDS,
	HISTOGRAM_SUM,
	HISTOGRAM_CELLS
};

struct metric_row {
	enum metric_kind kind;
	enum metric_labels labels;
	size_t cell;           /* the first, in each shard */
	size_t slots;
	const char *samples;   /* may be NULL */
	const char *family;
	const char *prose;
};

struct collector {
	metrics_collect *collect;
	void *arg;
};

struct metrics {
	unsigned magic;
	size_t shard_mask; /* shards - 1; their number is a power of two */
	_Atomic int64_t **shards;
	const char *(*request_name)(int api_key);
	pthread_mutex_t collectors_mutex; /* leaf; over the two below */
	struct collector collectors[METRICS_COLLECTORS_MAX];
	size_t collector_count;
};

#define METRICS_MAGIC 0x3e721c50u

const struct metric_row *metric_row(enum metric metric);
bool metric_is_histogram(const struct metric_row *row);
/* Upper bounds, inclusive, HISTOGRAM_BOUNDS of them, in what is observed. */
const int64_t *metric_bounds(const struct metric_row *row);
/* The sum of one cell over the shards. */
int64_t metrics_cell_sum(const struct metrics *metrics, size_t cell);

#endif
