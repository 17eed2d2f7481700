/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples that are counted over when a page is made: the sizes of logs, the
 * loops' turns, the queues' lengths, the broker's state.
 */
#include <stdio.h>

#include "daemon/broker_int.h"

#include "daemon/collect.h"
#include "metrics/metrics.h"

#define NS_PER_MS ((int64_t)1000000)

/* KafkaServer's BrokerState. */
enum { STATE_NOT_RUNNING = 0, STATE_STARTING = 1, STATE_RUNNING = 3,
	STATE_SHUTTING_DOWN = 7 };

struct collect_logs {
	struct metrics_scrape *scrape;
	int64_t producers;
};

static bool
collect_log(void *arg, struct log *log)
{
	struct collect_logs *logs = arg;
	struct metrics_scrape *scrape = logs->scrape;
	const char *topic = log_topic(log);
	int32_t partition = log_partition(log);

	metrics_sample_partition(scrape, METRIC_LOG_SIZE, topic, partition,
	    log_size_bytes(log));
	metrics_sample_partition(scrape, METRIC_LOG_SEGMENTS, topic, partition,
	    log_segment_count(log));
	metrics_sample_partition(scrape, METRIC_LOG_START_OFFSET, topic,
	    partition, log_start_offset(log));
	metrics_sample_partition(scrape, METRIC_LOG_END_OFFSET, topic,
	    partition, log_end_offset(log));
	logs->producers += (int64_t)log_producer_count(log);
	return (true);
}

static void
collect_logs(struct broker *b, struct metrics_scrape *scrape)
{
	struct collect_logs logs = { .scrape = scrape };

	storage_each_log(b->storage, collect_log, &logs);
	metrics_set(b->setup.metrics, METRIC_PRODUCER_ID_COUNT,
	    logs.producers);
}

struct collect_dirs {
	struct broker *broker;
	struct metrics_scrape *scrape;
	int64_t offline;
};

/* Of the logs of one directory. */
struct collect_uncleanable {
	const char *path;
	int64_t count;
	int64_t bytes;
};

static bool
collect_uncleanable(void *arg, struct log *log)
{
	struct collect_uncleanable *sum = arg;
	int64_t bytes = log_uncleanable_bytes(log);

	if (bytes < 0 ||
	    strcmp(log_dir_path(log_directory(log)), sum->path) != 0)
		return (true);
	sum->count++;
	sum->bytes += bytes;
	return (true);
}

static void
collect_dir(void *arg, const char *path, enum log_dir_state state)
{
	struct collect_dirs *dirs = arg;
	struct collect_uncleanable uncleanable = { .path = path };

	metrics_sample(dirs->scrape, METRIC_LOG_DIR_OFFLINE,
	    METRICS_VALUES(path), state == LOG_DIR_OFFLINE);
	metrics_sample(dirs->scrape, METRIC_LOG_DIR_FULL, METRICS_VALUES(path),
	    state == LOG_DIR_FULL);
	dirs->offline += state == LOG_DIR_OFFLINE;
	storage_each_log(dirs->broker->storage, collect_uncleanable,
	    &uncleanable);
	metrics_sample(dirs->scrape, METRIC_CLEANER_UNCLEANABLE_PARTITIONS,
	    METRICS_VALUES(path), uncleanable.count);
	metrics_sample(dirs->scrape, METRIC_CLEANER_UNCLEANABLE_BYTES,
	    METRICS_VALUES(path), uncleanable.bytes);
}

static void
collect_dirs(struct broker *b, struct metrics_scrape *scrape)
{
	struct collect_dirs dirs = { .broker = b, .scrape = scrape };

	storage_each_dir(b->storage, collect_dir, &dirs);
	metrics_set(b->setup.metrics, METRIC_OFFLINE_LOG_DIRS, dirs.offline);
}

static int64_t
collect_state(const struct broker *b)
{
	switch (broker_state(b)) {
	case BROKER_STARTING:
		return (STATE_STARTING);
	case BROKER_RUNNING:
		return (STATE_RUNNING);
	case BROKER_STOPPING:
		return (STATE_SHUTTING_DOWN);
	case BROKER_STOPPED:
	case BROKER_FAILED:
		break;
	}
	return (STATE_NOT_RUNNING);
}

static void
collect_files(struct broker *b, struct metrics *m)
{
	struct storage_files files = storage_files(b->storage);

	metrics_set(m, METRIC_LOG_FILES_OPEN, (int64_t)files.open);
	metrics_set(m, METRIC_LOG_FILES_BOUND, (int64_t)files.bound);
	metrics_set(m, METRIC_LOG_FILES_CLOSED, (int64_t)files.closed);
}

static void
collect_listener(void *arg, const char *name, size_t connections)
{
	metrics_sample(arg, METRIC_CONNECTIONS, METRICS_VALUES(name),
	    (int64_t)connections);
}

static void
collect_channel(void *arg, int32_t broker_id, size_t waiting)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", (int)broker_id);
	metrics_sample(arg, METRIC_CONTROLLER_CHANNEL_QUEUE_SIZE,
	    METRICS_VALUES(id), (int64_t)waiting);
}

static void
collect_cleaning(struct broker *b, struct metrics *m)
{
	struct storage_cleaning cleaning;

	storage_cleaning(b->storage, &cleaning);
	metrics_set(m, METRIC_CLEANER_MAX_DIRTY_PERCENT,
	    cleaning.max_dirty_percent);
	metrics_set(m, METRIC_CLEANER_SINCE_LAST_RUN,
	    cleaning.since_last_run_ms);
	metrics_set(m, METRIC_CLEANER_BUFFER_PERCENT,
	    cleaning.max_buffer_percent);
	metrics_set(m, METRIC_CLEANER_RECOPY_PERCENT,
	    cleaning.recopy_percent);
	metrics_set(m, METRIC_CLEANER_MAX_TIME, cleaning.max_clean_seconds);
	metrics_set(m, METRIC_CLEANER_MAX_DELAY, cleaning.max_delay_seconds);
}

static void
collect_broker(struct metrics_scrape *scrape, void *arg)
{
	struct broker *b = arg;
	struct metrics *m = b->setup.metrics;
	struct net_queues queues;

	metrics_set(m, METRIC_BROKER_STATE, collect_state(b));
	metrics_set(m, METRIC_LOG_LINES_LOST,
	    (int64_t)diag_lost_count(b->setup.seams.diag));
	for (size_t i = 0; i <= b->loop_count; i++) {
		const char *name = loop_name(b->loops[i]);

		metrics_sample(scrape, METRIC_LOOP_TURNS, METRICS_VALUES(name),
		    (int64_t)loop_turns(b->loops[i]));
		metrics_sample(scrape, METRIC_LOOP_LAG, METRICS_VALUES(name),
		    loop_take_lag_ns(b->loops[i]) / NS_PER_MS);
	}
	metrics_sample(scrape, METRIC_WORK_QUEUE_LENGTH, METRICS_VALUES("disk"),
	    (int64_t)work_queue_length(b->disk));
	metrics_sample(scrape, METRIC_WORK_QUEUE_LENGTH,
	    METRICS_VALUES("resolver"),
	    (int64_t)work_queue_length(b->resolver));
	if (!atomic_load(&b->collected))
		return;
	net_each_listener(b->net, collect_listener, scrape);
	metrics_set(m, METRIC_MEMORY_USED, (int64_t)net_frame_bytes(b->net));
	queues = net_queues(b->net);
	metrics_set(m, METRIC_REQUEST_QUEUE_SIZE, (int64_t)queues.requests);
	metrics_set(m, METRIC_RESPONSE_QUEUE_SIZE, (int64_t)queues.answers);
	controller_each_channel(b->controller, collect_channel, scrape);
	collect_files(b, m);
	collect_cleaning(b, m);
	collect_dirs(b, scrape);
	collect_logs(b, scrape);
}

void
collect_register(struct broker *broker)
{
	metrics_register_collector(broker->setup.metrics, collect_broker,
	    broker);
}
