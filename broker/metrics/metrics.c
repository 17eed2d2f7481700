/* SPDX-License-Identifier: Apache-2.0 */
/* The rows and the cells; metrics.h tells how they lie. */
#include "metrics/metrics.h"

#include <sched.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "metrics/internal.h"

#define SHARDS_MAX 16

enum {
	KIND_CELLS_COUNTER = 1,
	KIND_CELLS_GAUGE = 1,
	KIND_CELLS_TIME_MS = HISTOGRAM_CELLS,
	KIND_CELLS_TIME_SECONDS = HISTOGRAM_CELLS,
	KIND_CELLS_BYTES = HISTOGRAM_CELLS
};

enum {
#define X(name, slots) LABEL_SLOTS_##name = (slots),
	METRIC_LABEL_SETS(X)
#undef X
};

/* Each row's cells begin where those of the row before it end. */
enum {
#define METRIC(name, kind, cells, samples, family, prose)                     \
	CELL_##name,                                                          \
	CELL_LAST_##name = CELL_##name +                                      \
	    KIND_CELLS_##kind * LABEL_SLOTS_##cells - 1,
#include "metrics/metrics.def"
#undef METRIC
	CELL_COUNT
};

static const struct metric_row rows[] = {
#define METRIC(name, kind, cells, samples, family, prose)                     \
	[METRIC_##name] = { METRIC_KIND_##kind, METRIC_LABELS_##cells,        \
	    CELL_##name, LABEL_SLOTS_##cells, samples, family, prose },
#include "metrics/metrics.def"
#undef METRIC
};

#define US INT64_C(1000)
#define MS INT64_C(1000000)
#define KIB INT64_C(1024)

/* 1-2-5, from what memory answers to what a client no longer waits for. */
static const int64_t time_bounds[HISTOGRAM_BOUNDS] = {
	10 * US, 20 * US, 50 * US, 100 * US, 200 * US, 500 * US,
	1 * MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS,
	100 * MS, 200 * MS, 500 * MS, 1000 * MS, 2000 * MS, 5000 * MS,
	10000 * MS, 20000 * MS, 50000 * MS
};

/* Powers of two up to 64 MiB. */
static const int64_t byte_bounds[HISTOGRAM_BOUNDS] = {
	64, 128, 256, 512, 1 * KIB, 2 * KIB, 4 * KIB, 8 * KIB, 16 * KIB,
	32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB,
	2048 * KIB, 4096 * KIB, 8192 * KIB, 16384 * KIB, 32768 * KIB,
	65536 * KIB
};

static size_t metrics_cell(const struct metrics *metrics, enum metric metric,
    size_t slot);
static _Atomic int64_t *metrics_shard(struct metrics *metrics);

struct metrics *
metrics_new(void)
{
	struct metrics *metrics = mem_zalloc(sizeof(*metrics));
	long processors = sysconf(_SC_NPROCESSORS_CONF);
	size_t shards = 1;

	while (shards < SHARDS_MAX && (long)shards < processors)
		shards *= 2;
	metrics->magic = METRICS_MAGIC;
	metrics->shard_mask = shards - 1;
	metrics->shards = mem_zalloc(shards * sizeof(metrics->shards[0]));
	/* Most cells are never touched, and so take no memory. */
	for (size_t i = 0; i < shards; i++)
		metrics->shards[i] =
		    mem_zalloc(CELL_COUNT * sizeof(metrics->shards[i][0]));
	CHECK(pthread_mutex_init(&metrics->collectors_mutex, NULL) == 0);
	return (metrics);
}

void
metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	for (size_t i = 0; i <= metrics->shard_mask; i++)
		mem_free(metrics->shards[i]);
	mem_free(metrics->shards);
	pthread_mutex_destroy(&metrics->collectors_mutex);
	metrics->magic = 0;
	mem_free(metrics);
}

void
metrics_set_request_names(struct metrics *metrics,
    const char *(*name)(int api_key))
{
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	metrics->request_name = name;
}

void
metrics_register_collector(struct metrics *metrics, metrics_collect *collect,
    void *arg)
{
	if (metrics == NULL)
		return;
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	pthread_mutex_lock(&metrics->collectors_mutex);
	CHECK(metrics->collector_count < METRICS_COLLECTORS_MAX);
	metrics->collectors[metrics->collector_count++] =
	    (struct collector){ collect, arg };
	pthread_mutex_unlock(&metrics->collectors_mutex);
}

/* --- counting ------------------------------------------------------------- */

void
metrics_add_at(struct metrics *metrics, enum metric metric, size_t slot,
    int64_t n)
{
	_Atomic int64_t *shard;
	size_t cell;

	if (metrics == NULL)
		return;
	cell = metrics_cell(metrics, metric, slot);
	if (rows[metric].kind == METRIC_KIND_GAUGE) {
		shard = metrics->shards[0]; /* beside what is set */
	} else {
		CHECK(rows[metric].kind == METRIC_KIND_COUNTER && n >= 0);
		shard = metrics_shard(metrics);
	}
	atomic_fetch_add_explicit(&shard[cell], n, memory_order_relaxed);
}

void
metrics_set_at(struct metrics *metrics, enum metric metric, size_t slot,
    int64_t value)
{
	size_t cell;

	if (metrics == NULL)
		return;
	cell = metrics_cell(metrics, metric, slot);
	CHECK(!metric_is_histogram(&rows[metric]));
	atomic_store_explicit(&metrics->shards[0][cell], value,
	    memory_order_relaxed);
}

void
metrics_observe_at(struct metrics *metrics, enum metric metric, size_t slot,
    int64_t value)
{
	_Atomic int64_t *shard;
	const int64_t *bounds;
	size_t cell;
	size_t low = 0, high = HISTOGRAM_BOUNDS;

	if (metrics == NULL)
		return;
	cell = metrics_cell(metrics, metric, slot);
	CHECK(metric_is_histogram(&rows[metric]));
	bounds = metric_bounds(&rows[metric]);
	if (value < 0)
		value = 0;
	/* The first bound that is not below the value; BEYOND if none is. */
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (bounds[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	shard = metrics_shard(metrics);
	atomic_fetch_add_explicit(&shard[cell + low], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&shard[cell + HISTOGRAM_SUM], value,
	    memory_order_relaxed);
}

void
metrics_select(struct metrics *metrics, enum metric metric, size_t slot)
{
	if (metrics == NULL)
		return;
	CHECK(metric < METRIC_COUNT && slot < rows[metric].slots);
	CHECK(rows[metric].kind == METRIC_KIND_GAUGE);
	for (size_t i = 0; i < rows[metric].slots; i++)
		metrics_set_at(metrics, metric, i, i == slot);
}

void
metrics_add_error(struct metrics *metrics, size_t request, int code)
{
	size_t error = (size_t)(ERR_UNKNOWN_SERVER_ERROR + 1);

	if (code >= ERR_UNKNOWN_SERVER_ERROR &&
	    code < METRICS_ERROR_COUNT - 1)
		error = (size_t)(code + 1);
	CHECK(request < METRICS_REQUEST_COUNT);
	metrics_add_at(metrics, METRIC_REQUEST_ERRORS,
	    request * METRICS_ERROR_COUNT + error, 1);
}

int64_t
metrics_value_at(const struct metrics *metrics, enum metric metric,
    size_t slot)
{
	size_t cell;
	int64_t count = 0;

	if (metrics == NULL)
		return (0);
	cell = metrics_cell(metrics, metric, slot);
	if (!metric_is_histogram(&rows[metric]))
		return (metrics_cell_sum(metrics, cell));
	for (size_t i = 0; i <= HISTOGRAM_BEYOND; i++)
		count += metrics_cell_sum(metrics, cell + i);
	return (count);
}

static size_t
metrics_cell(const struct metrics *metrics, enum metric metric, size_t slot)
{
	const struct metric_row *row = metric_row(metric);

	CHECK_MAGIC(metrics, METRICS_MAGIC);
	CHECK(slot < row->slots);
	return (row->cell +
	    slot * (metric_is_histogram(row) ? HISTOGRAM_CELLS : 1));
}

/* glibc reads the processor's number from memory (rseq). A thread that moves
 * meanwhile counts in a neighbour's shard, which only costs time. */
static _Atomic int64_t *
metrics_shard(struct metrics *metrics)
{
	return (metrics->shards[(size_t)sched_getcpu() & metrics->shard_mask]);
}

int64_t
metrics_cell_sum(const struct metrics *metrics, size_t cell)
{
	int64_t sum = 0;

	for (size_t i = 0; i <= metrics->shard_mask; i++)
		sum += atomic_load_explicit(&metrics->shards[i][cell],
		    memory_order_relaxed);
	return (sum);
}

/* --- rows ----------------------------------------------------------------- */

const struct metric_row *
metric_row(enum metric metric)
{
	CHECK(metric < METRIC_COUNT);
	return (&rows[metric]);
}

bool
metric_is_histogram(const struct metric_row *row)
{
	return (row->kind >= METRIC_KIND_TIME_MS);
}

const int64_t *
metric_bounds(const struct metric_row *row)
{
	return (row->kind == METRIC_KIND_BYTES ? byte_bounds : time_bounds);
}
