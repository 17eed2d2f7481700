/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics of coordinators: which rows are whose, and how long loads took,
 * as Kafka's sensors tell it: of the last half minute.
 */
#include "coord/coord_int.h"

#include <string.h>

#define WINDOW_MS 30000

static const struct coord_metrics coord_metrics_rows[] = {
	{
		.name = "group",
		.load_time_max = METRIC_GROUP_LOAD_TIME_MAX,
		.load_time_avg = METRIC_GROUP_LOAD_TIME_AVG,
		.loads = METRIC_GROUP_LOADS,
		.partitions = METRIC_GROUP_PARTITIONS,
		.loading = METRIC_GROUP_PARTITIONS_LOADING,
		.writes = METRIC_GROUP_WRITES,
		.write_failures = METRIC_GROUP_WRITE_FAILURES,
		.write_time = METRIC_GROUP_WRITE_TIME,
	},
};

const struct coord_metrics *
coord_metrics_of(const char *name)
{
	for (size_t i = 0; i < nelems(coord_metrics_rows); i++)
		if (strcmp(coord_metrics_rows[i].name, name) == 0)
			return (&coord_metrics_rows[i]);
	UNREACHABLE();
}

/* On the page's thread. */
static void
times_collect(struct metrics_scrape *scrape, void *arg)
{
	struct coord *coord = arg;
	const int64_t since_ms = clock_mono_ms(coord->clock) - WINDOW_MS;
	int64_t sum = 0, most = 0, count = 0;
	size_t kept;

	(void)scrape;
	lock_take(&coord->lock);
	kept = coord->time_count < LOAD_TIMES_KEPT ? coord->time_count :
						     LOAD_TIMES_KEPT;
	for (size_t i = 0; i < kept; i++) {
		const struct load_time *time = &coord->times[i];

		if (time->ended_ms < since_ms)
			continue;
		sum += time->took_ms;
		count++;
		if (time->took_ms > most)
			most = time->took_ms;
	}
	lock_release(&coord->lock);
	metrics_set(coord->setup.metrics, coord->metrics->load_time_max, most);
	metrics_set(coord->setup.metrics, coord->metrics->load_time_avg,
	    count == 0 ? 0 : sum / count);
}

void
times_register(struct coord *coord)
{
	coord->clock = scheduler_clock(loop_scheduler(coord->setup.loops[0]));
	if (coord->setup.metrics != NULL)
		metrics_register_collector(coord->setup.metrics, times_collect,
		    coord);
}

void
times_note(struct coord *coord, int64_t ended_ms, int64_t took_ms)
{
	lock_take(&coord->lock);
	coord->times[coord->time_count++ % LOAD_TIMES_KEPT] =
	    (struct load_time){ ended_ms, took_ms };
	lock_release(&coord->lock);
	metrics_add(coord->setup.metrics, coord->metrics->loads, 1);
}
