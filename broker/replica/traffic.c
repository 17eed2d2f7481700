/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the page of metrics shows of partitions: sums by topic, gauges, the
 * in-sync replicas of each partition led here, and how far those that follow
 * are behind.
 */
#include "replica/replica_int.h"

#include "base/mem.h"

/* One topic's sums while a page is made. */
enum { SUM_COUNT = 10 };
struct topic_sum {
	struct hash_node node;
	char *topic;
	uint64_t sums[SUM_COUNT];
};

static const enum metric sum_metrics[SUM_COUNT] = {
	METRIC_MESSAGES_IN,
	METRIC_BYTES_IN,
	METRIC_BYTES_OUT,
	METRIC_BYTES_REJECTED,
	METRIC_PRODUCE_REQUESTS,
	METRIC_FETCH_REQUESTS,
	METRIC_FAILED_PRODUCE_REQUESTS,
	METRIC_FAILED_FETCH_REQUESTS,
	METRIC_PRODUCE_CONVERSIONS,
	METRIC_FETCH_CONVERSIONS,
};

struct traffic_page {
	struct metrics_scrape *scrape;
	struct hash topics;
	int64_t at_min_isr;
	int64_t reassigning;
	int64_t max_lag;
	int64_t failed; /* followers that gave up */
};

static struct topic_sum *
topic_sum_of(struct traffic_page *page, const char *topic)
{
	struct hash_node *node = hash_find(&page->topics, topic,
	    strlen(topic));
	struct topic_sum *sum;

	if (node != NULL)
		return (container_of(node, struct topic_sum, node));
	sum = mem_zalloc(sizeof(*sum));
	sum->topic = mem_strdup(topic);
	hash_insert(&page->topics, &sum->node, sum->topic, strlen(topic));
	return (sum);
}

static void
traffic_sum(struct topic_sum *sum, const struct replica_traffic *traffic)
{
	const atomic_uint_least64_t *counts[SUM_COUNT] = {
		&traffic->messages_in,
		&traffic->bytes_in,
		&traffic->bytes_out,
		&traffic->bytes_rejected,
		&traffic->produces,
		&traffic->fetches,
		&traffic->failed_produces,
		&traffic->failed_fetches,
		&traffic->produce_conversions,
		&traffic->fetch_conversions,
	};

	for (size_t i = 0; i < SUM_COUNT; i++)
		sum->sums[i] += atomic_load_explicit(counts[i],
		    memory_order_relaxed);
}

static void
traffic_partition(struct traffic_page *page, const struct replica *replica)
{
	struct replica_sight sight;
	int32_t least;

	replica_look(replica, &sight);
	if (!sight.view.leads || sight.view.offline)
		return;
	least = replica_min_isr(replica, sight.replica_count);
	page->at_min_isr += sight.isr_count == least;
	page->reassigning += atomic_load(&replica->reassigned);
	metrics_sample_partition(page->scrape,
	    METRIC_PARTITION_UNDER_REPLICATED, replica->topic,
	    replica->partition, sight.isr_count < sight.replica_count);
	metrics_sample_partition(page->scrape, METRIC_PARTITION_UNDER_MIN_ISR,
	    replica->topic, replica->partition, sight.isr_count < least);
	metrics_sample_partition(page->scrape, METRIC_PARTITION_AT_MIN_ISR,
	    replica->topic, replica->partition, sight.isr_count == least);
	metrics_sample_partition(page->scrape,
	    METRIC_PARTITION_IN_SYNC_REPLICAS, replica->topic,
	    replica->partition, sight.isr_count);
	metrics_sample_partition(page->scrape, METRIC_PARTITION_REPLICAS,
	    replica->topic, replica->partition, sight.replica_count);
}

static void
traffic_lag(struct traffic_page *page, const struct replica *replica)
{
	int64_t lag = atomic_load(&replica->fetch_lag);

	page->failed += lag == FETCH_LAG_FAILED;
	if (lag == FETCH_LAG_UNKNOWN)
		lag = 0;
	if (lag < 0)
		return;
	if (lag > page->max_lag)
		page->max_lag = lag;
	metrics_sample_partition(page->scrape, METRIC_FETCHER_LAG,
	    replica->topic, replica->partition, lag);
}

static bool
traffic_one(void *arg, struct replica *replica)
{
	struct traffic_page *page = arg;

	traffic_lag(page, replica);
	traffic_sum(topic_sum_of(page, replica->topic), &replica->traffic);
	traffic_partition(page, replica);
	return (true);
}

static void
traffic_topics(struct traffic_page *page)
{
	HASH_EACH(node, &page->topics) {
		struct topic_sum *sum = container_of(node, struct topic_sum,
		    node);

		for (size_t i = 0; i < SUM_COUNT; i++)
			metrics_sample(page->scrape, sum_metrics[i],
			    METRICS_VALUES(sum->topic), (int64_t)sum->sums[i]);
		hash_remove(&page->topics, node);
		mem_free(sum->topic);
		mem_free(sum);
	}
	hash_clear(&page->topics);
}

static void
traffic_throttles(struct replicas *replicas)
{
	struct metrics *metrics = replicas->setup.metrics;
	int64_t now_ms = replicas_now_ms(replicas);

	metrics_set(metrics, METRIC_LEADER_THROTTLED_RATE,
	    throttle_rate(&replicas->to_followers, now_ms));
	metrics_set(metrics, METRIC_FOLLOWER_THROTTLED_RATE,
	    throttle_rate(&replicas->from_leaders, now_ms));
	metrics_set(metrics, METRIC_MOVES_RATE,
	    throttle_rate(&replicas->between_dirs, now_ms));
}

static void
traffic_collect(struct metrics_scrape *scrape, void *arg)
{
	struct replicas *replicas = arg;
	struct metrics *metrics = replicas->setup.metrics;
	struct traffic_page page = { .scrape = scrape };
	struct replicas_counts counts;

	replicas_each(replicas, traffic_one, &page);
	traffic_topics(&page);
	traffic_throttles(replicas);
	replicas_count(replicas, &counts);
	metrics_set(metrics, METRIC_PARTITION_COUNT,
	    (int64_t)counts.partitions);
	metrics_set(metrics, METRIC_LEADER_COUNT, (int64_t)counts.leaders);
	metrics_set(metrics, METRIC_OFFLINE_REPLICA_COUNT,
	    (int64_t)counts.offline);
	metrics_set(metrics, METRIC_UNDER_REPLICATED_PARTITIONS,
	    (int64_t)counts.under_replicated);
	metrics_set(metrics, METRIC_UNDER_MIN_ISR_PARTITIONS,
	    (int64_t)counts.under_min_isr);
	metrics_set(metrics, METRIC_AT_MIN_ISR_PARTITIONS, page.at_min_isr);
	metrics_set(metrics, METRIC_REASSIGNING_PARTITIONS, page.reassigning);
	metrics_set(metrics, METRIC_FETCHER_MAX_LAG, page.max_lag);
	metrics_set(metrics, METRIC_FETCHER_FAILED_PARTITIONS, page.failed);
}

void
traffic_register(struct replicas *replicas)
{
	if (replicas->setup.metrics != NULL)
		metrics_register_collector(replicas->setup.metrics,
		    traffic_collect, replicas);
}
