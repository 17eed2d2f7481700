/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples that are counted over when a page is made: the sizes of logs, the
 * loops' turns, the queues' lengths, the broker's state.
 */
#include "daemon/broker_int.h"

#include "daemon/collect.h"
#include "metrics/metrics.h"

/* KafkaServer's BrokerState. */
enum { STATE_NOT_RUNNING = 0, STATE_STARTING = 1, STATE_RUNNING = 3,
	STATE_SHUTTING_DOWN = 7 };

static bool
collect_log(void *arg, struct log *log)
{
	struct metrics_scrape *scrape = arg;
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
	return (true);
}

struct collect_dirs {
	struct metrics_scrape *scrape;
	int64_t offline;
};

static void
collect_dir(void *arg, const char *path, enum log_dir_state state)
{
	struct collect_dirs *dirs = arg;

	metrics_sample(dirs->scrape, METRIC_LOG_DIR_OFFLINE,
	    METRICS_VALUES(path), state == LOG_DIR_OFFLINE);
	metrics_sample(dirs->scrape, METRIC_LOG_DIR_FULL, METRICS_VALUES(path),
	    state == LOG_DIR_FULL);
	dirs->offline += state == LOG_DIR_OFFLINE;
}

static void
collect_dirs(struct broker *b, struct metrics_scrape *scrape)
{
	struct collect_dirs dirs = { .scrape = scrape };

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
collect_broker(struct metrics_scrape *scrape, void *arg)
{
	struct broker *b = arg;
	struct metrics *m = b->setup.metrics;

	metrics_set(m, METRIC_BROKER_STATE, collect_state(b));
	metrics_set(m, METRIC_LOG_LINES_LOST,
	    (int64_t)diag_lost_count(b->setup.seams.diag));
	for (size_t i = 0; i <= b->loop_count; i++)
		metrics_sample(scrape, METRIC_LOOP_TURNS,
		    METRICS_VALUES(loop_name(b->loops[i])),
		    (int64_t)loop_turns(b->loops[i]));
	metrics_sample(scrape, METRIC_WORK_QUEUE_LENGTH, METRICS_VALUES("disk"),
	    (int64_t)work_queue_length(b->disk));
	metrics_sample(scrape, METRIC_WORK_QUEUE_LENGTH,
	    METRICS_VALUES("resolver"),
	    (int64_t)work_queue_length(b->resolver));
	if (!atomic_load(&b->collected))
		return;
	net_each_listener(b->net, collect_listener, scrape);
	metrics_set(m, METRIC_MEMORY_USED, (int64_t)net_frame_bytes(b->net));
	collect_files(b, m);
	collect_dirs(b, scrape);
	storage_each_log(b->storage, collect_log, scrape);
}

void
collect_register(struct broker *broker)
{
	metrics_register_collector(broker->setup.metrics, collect_broker,
	    broker);
}
