/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "metrics/internal.h"
#include "metrics/metrics.h"
#include "unit.h"

/* --- a reader of the page ------------------------------------------------- */

/* What it read of the present family. */
struct page {
	const char *wrong; /* the first line that breaks the format */
	char family[128];
	char type[16];
	bool has_type;
	bool has_sample;
	struct hash families; /* of struct seen; each once in the page */
	struct hash series;
	char bucket_of[256]; /* a histogram's labels without le */
	int64_t bucket_count;
	size_t sample_count;
};

struct seen {
	struct hash_node node;
	char text[];
};

static bool
first_time(struct hash *hash, const char *text, size_t length)
{
	struct seen *seen;

	if (hash_find(hash, text, length) != NULL)
		return (false);
	seen = mem_alloc(sizeof(*seen) + length);
	memcpy(seen->text, text, length);
	hash_insert(hash, &seen->node, seen->text, length);
	return (true);
}

static void
forget(struct hash *hash)
{
	HASH_EACH(node, hash) {
		hash_remove(hash, node);
		mem_free(container_of(node, struct seen, node));
	}
}

static size_t
name_length(const char *text)
{
	size_t length = 0;

	while (isalpha((unsigned char)text[length]) || text[length] == '_' ||
	    (length > 0 && isdigit((unsigned char)text[length])))
		length++;
	return (length);
}

/* {name="value",...}: its length, 0 when it is not well formed. */
static size_t
labels_length(const char *text)
{
	const char *at = text + 1;

	while (*at != '}') {
		size_t length = name_length(at);

		if (length == 0 || strncmp(at + length, "=\"", 2) != 0)
			return (0);
		for (at += length + 2; *at != '"'; at++) {
			if (*at == '\0' || *at == '\n')
				return (0);
			if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
				return (0);
		}
		at++;
		if (*at == ',')
			at++;
		else if (*at != '}')
			return (0);
	}
	return ((size_t)(at - text) + 1);
}

static bool
bucket_ok(struct page *page, const char *labels, const char *value)
{
	const char *le = strstr(labels, "le=\"");
	int64_t count = strtoll(value, NULL, 10);
	size_t length;

	if (le == NULL)
		return (false);
	length = (size_t)(le - labels);
	if (strlen(page->bucket_of) != length ||
	    strncmp(page->bucket_of, labels, length) != 0)
		page->bucket_count = 0;
	snprintf(page->bucket_of, sizeof(page->bucket_of), "%.*s",
	    (int)length, labels);
	if (count < page->bucket_count)
		return (false);
	page->bucket_count = count;
	return (true);
}

static bool
sample_ok(struct page *page, const char *line)
{
	size_t length = name_length(line);
	size_t family = strlen(page->family);
	const char *suffix = line + family;
	const char *labels = line + length;
	struct slice value;
	double number;

	if (!page->has_type || strncmp(line, page->family, family) != 0)
		return (false);
	if (strcmp(page->type, "histogram") != 0 && length != family)
		return (false);
	if (strcmp(page->type, "histogram") == 0 &&
	    strncmp(suffix, "_bucket{", 8) != 0 &&
	    strncmp(suffix, "_sum", 4) != 0 &&
	    strncmp(suffix, "_count", 6) != 0)
		return (false);
	if (*labels == '{') {
		if (labels_length(labels) == 0)
			return (false);
		length += labels_length(labels);
	}
	if (line[length] != ' ' ||
	    !first_time(&page->series, line, length))
		return (false);
	if (strncmp(suffix, "_bucket", 7) == 0 &&
	    !bucket_ok(page, labels, line + length))
		return (false);
	value = slice_of_text(line + length + 1);
	page->has_sample = true;
	page->sample_count++;
	return (text_to_double(value, &number));
}

static bool
line_ok(struct page *page, const char *line)
{
	size_t length;

	if (strncmp(line, "# HELP ", 7) == 0) {
		length = name_length(line + 7);
		if (page->family[0] != '\0' && !page->has_sample)
			return (false);
		snprintf(page->family, sizeof(page->family), "%.*s",
		    (int)length, line + 7);
		page->has_type = page->has_sample = false;
		page->bucket_of[0] = '\0';
		return (length > 0 && line[7 + length] == ' ' &&
		    first_time(&page->families, line + 7, length));
	}
	if (strncmp(line, "# TYPE ", 7) == 0) {
		length = strlen(page->family);
		if (page->has_type || page->has_sample ||
		    strncmp(line + 7, page->family, length) != 0)
			return (false);
		page->has_type = true;
		snprintf(page->type, sizeof(page->type), "%s",
		    line + 8 + length);
		return (strcmp(page->type, "counter") == 0 ||
		    strcmp(page->type, "gauge") == 0 ||
		    strcmp(page->type, "histogram") == 0);
	}
	return (sample_ok(page, line));
}

/* Reads a page; says the first bad line. Returns how many samples it has. */
static size_t
read_page(const char *text)
{
	struct page page = { .wrong = NULL };
	char line[1024];
	const char *next;

	for (; *text != '\0' && page.wrong == NULL; text = next + 1) {
		next = strchr(text, '\n');
		if (next == NULL) {
			page.wrong = text;
			break;
		}
		snprintf(line, sizeof(line), "%.*s", (int)(next - text), text);
		if (!line_ok(&page, line))
			page.wrong = text;
	}
	if (page.wrong != NULL)
		printf("\nnot the format: %.80s\n", page.wrong);
	forget(&page.families);
	forget(&page.series);
	return (page.wrong == NULL ? page.sample_count : 0);
}

static bool
has_line(const char *page, const char *line)
{
	const char *found = page;
	size_t length = strlen(line);

	while ((found = strstr(found, line)) != NULL) {
		if ((found == page || found[-1] == '\n') &&
		    found[length] == '\n')
			return (true);
		found++;
	}
	return (false);
}

/* The page's text, in a buffer that the caller frees. */
static const char *
expose(struct metrics *metrics, struct buffer *page)
{
	*page = BUFFER_EMPTY;
	metrics_expose(metrics, page);
	return (buffer_text(page));
}

/* --- tests ---------------------------------------------------------------- */

static void
test_reader_can_refuse(void)
{
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a gauge\na 1\n"), 1);
	CU_ASSERT_EQUAL(read_page("# HELP a b\na 1\n"), 0);
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a gauge\na x\n"), 0);
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a gauge\nb 1\n"), 0);
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a gauge\na 1\na 1\n"),
	    0);
	CU_ASSERT_EQUAL(
	    read_page("# HELP a b\n# TYPE a gauge\na{l=\"\"\"} 1\n"), 0);
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a gauge\na 1\n"
				  "# HELP a b\n# TYPE a gauge\na{l=\"\"} 1\n"),
	    0);
	CU_ASSERT_EQUAL(read_page("# HELP a b\n# TYPE a histogram\n"
				  "a_bucket{le=\"1\"} 2\n"
				  "a_bucket{le=\"+Inf\"} 1\n"), 0);
}

static void
test_rows(void)
{
	struct hash families = { NULL };

	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *row = metric_row((enum metric)i);
		size_t length = strlen(row->family);
		bool total = length > 6 &&
		    strcmp(row->family + length - 6, "_total") == 0;

		CU_ASSERT(first_time(&families, row->family, length));
		CU_ASSERT_EQUAL(name_length(row->family), length);
		CU_ASSERT_EQUAL(total, row->kind == METRIC_KIND_COUNTER);
		CU_ASSERT(strlen(row->prose) > 10);
		CU_ASSERT_EQUAL(row->prose[strlen(row->prose) - 1], '.');
		CU_ASSERT_PTR_NULL(strpbrk(row->prose, "\\\n"));
		CU_ASSERT(row->slots > 0 || row->samples != NULL);
	}
	forget(&families);
}

static void
test_counts(void)
{
	struct metrics *metrics = metrics_new();
	struct buffer page;
	const char *text;

	metrics_add(metrics, METRIC_MESSAGES_IN, 3);
	metrics_add(metrics, METRIC_MESSAGES_IN, 4);
	metrics_add(metrics, METRIC_CONNECTIONS, 5);
	metrics_add(metrics, METRIC_CONNECTIONS, -2);
	metrics_set(metrics, METRIC_BROKER_STATE, 3);
	metrics_set(metrics, METRIC_LOG_LINES_LOST, 9);
	metrics_add_at(metrics, METRIC_CONNECTIONS_CLOSED,
	    METRICS_CLOSE_OVERSIZED, 2);
	metrics_set_at(metrics, METRIC_PURGATORY_SIZE, METRICS_DELAYED_FETCH,
	    11);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_MESSAGES_IN), 7);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_CONNECTIONS), 3);
	text = expose(metrics, &page);
	CU_ASSERT(read_page(text) > 50);
	CU_ASSERT(has_line(text,
	    "kafka_server_brokertopicmetrics_messagesin_total 7"));
	CU_ASSERT(has_line(text,
	    "# TYPE kafka_server_brokertopicmetrics_messagesin_total counter"));
	CU_ASSERT(has_line(text, "kafka_server_socket_connection_count 3"));
	CU_ASSERT(has_line(text, "kafka_server_brokerstate 3"));
	CU_ASSERT(has_line(text, "barnabas_log_lines_lost_total 9"));
	CU_ASSERT(has_line(text, "kafka_server_socket_connection_close_total"
				 "{reason=\"oversized\"} 2"));
	CU_ASSERT(has_line(text, "kafka_server_socket_connection_close_total"
				 "{reason=\"idle\"} 0"));
	CU_ASSERT(has_line(text,
	    "kafka_server_delayedoperationpurgatory_purgatorysize"
	    "{delayedOperation=\"Fetch\"} 11"));
	CU_ASSERT_PTR_NULL(strstr(text, "kafka_log_size_bytes"));
	buffer_fini(&page);
	metrics_free(metrics);
}

static const char *
name_request(int api_key)
{
	return (api_key == 0 ? "Produce" : api_key == 1 ? "Fetch" : NULL);
}

static void
test_requests(void)
{
	struct metrics *metrics = metrics_new();
	struct buffer page;
	const char *text;

	metrics_add_at(metrics, METRIC_REQUESTS, 0, 2);
	metrics_add_at(metrics, METRIC_REQUESTS, 77, 1);
	metrics_add_at(metrics, METRIC_REQUESTS,
	    METRICS_REQUEST_FETCH_FOLLOWER, 4);
	metrics_add_error(metrics, 0, ERR_NONE);
	metrics_add_error(metrics, 0, ERR_VOTER_NOT_FOUND);
	metrics_add_error(metrics, 1, ERR_UNKNOWN_SERVER_ERROR);
	metrics_add_error(metrics, 1, 128);
	metrics_add_error(metrics, 1, -2);
	metrics_add_error(metrics, METRICS_REQUEST_FETCH_FOLLOWER,
	    ERR_VOTER_NOT_FOUND);
	text = expose(metrics, &page);
	CU_ASSERT(has_line(text,
	    "kafka_network_requestmetrics_requests_total{request=\"0\"} 2"));
	buffer_fini(&page);
	metrics_set_request_names(metrics, name_request);
	text = expose(metrics, &page);
	CU_ASSERT(read_page(text) > 50);
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_requests_total"
				 "{request=\"Produce\"} 2"));
	CU_ASSERT(has_line(text,
	    "kafka_network_requestmetrics_requests_total{request=\"77\"} 1"));
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_requests_total"
				 "{request=\"FetchFollower\"} 4"));
	CU_ASSERT_PTR_NULL(strstr(text, "FetchConsumer"));
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_errors_total"
				 "{request=\"Produce\",error=\"NONE\"} 1"));
	CU_ASSERT(has_line(text,
	    "kafka_network_requestmetrics_errors_total"
	    "{request=\"Produce\",error=\"VOTER_NOT_FOUND\"} 1"));
	CU_ASSERT(has_line(text,
	    "kafka_network_requestmetrics_errors_total"
	    "{request=\"Fetch\",error=\"UNKNOWN_SERVER_ERROR\"} 3"));
	buffer_fini(&page);
	metrics_free(metrics);
}

static void
test_select(void)
{
	struct metrics *metrics = metrics_new();
	struct buffer page;
	const char *text;

	metrics_select(metrics, METRIC_ZK_SESSION_STATE,
	    METRICS_SESSION_CONNECTING);
	metrics_select(metrics, METRIC_ZK_SESSION_STATE,
	    METRICS_SESSION_CONNECTED);
	text = expose(metrics, &page);
	CU_ASSERT(has_line(text,
	    "kafka_server_zk_sessionstate{state=\"CONNECTED\"} 1"));
	CU_ASSERT(has_line(text,
	    "kafka_server_zk_sessionstate{state=\"CONNECTING\"} 0"));
	buffer_fini(&page);
	metrics_free(metrics);
}

#define ZK "kafka_server_zk_request_latency_ms"

static void
test_histogram(void)
{
	struct metrics *metrics = metrics_new();
	struct buffer page;
	const char *text;

	metrics_observe(metrics, METRIC_ZK_REQUEST_LATENCY, -5);
	metrics_observe(metrics, METRIC_ZK_REQUEST_LATENCY, 10000);
	metrics_observe(metrics, METRIC_ZK_REQUEST_LATENCY, 10001);
	metrics_observe(metrics, METRIC_ZK_REQUEST_LATENCY,
	    INT64_C(50000000000));
	metrics_observe(metrics, METRIC_ZK_REQUEST_LATENCY,
	    INT64_C(50000000001));
	metrics_observe_at(metrics, METRIC_REQUEST_BYTES, 0, 100);
	metrics_observe(metrics, METRIC_LOG_FLUSH_TIME, 250000000);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_ZK_REQUEST_LATENCY), 5);
	text = expose(metrics, &page);
	CU_ASSERT(read_page(text) > 50);
	CU_ASSERT(has_line(text, ZK "_bucket{le=\"0.01\"} 2"));
	CU_ASSERT(has_line(text, ZK "_bucket{le=\"0.02\"} 3"));
	CU_ASSERT(has_line(text, ZK "_bucket{le=\"20000\"} 3"));
	CU_ASSERT(has_line(text, ZK "_bucket{le=\"50000\"} 4"));
	CU_ASSERT(has_line(text, ZK "_bucket{le=\"+Inf\"} 5"));
	CU_ASSERT(has_line(text, ZK "_sum 100000.020002"));
	CU_ASSERT(has_line(text, ZK "_count 5"));
	CU_ASSERT(has_line(text, "# TYPE " ZK " histogram"));
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_requestbytes"
				 "_bucket{request=\"0\",le=\"128\"} 1"));
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_requestbytes"
				 "_bucket{request=\"0\",le=\"67108864\"} 1"));
	CU_ASSERT(has_line(text, "kafka_network_requestmetrics_requestbytes"
				 "_sum{request=\"0\"} 100"));
	CU_ASSERT(has_line(text,
	    "kafka_log_flush_seconds_bucket{le=\"0.2\"} 0"));
	CU_ASSERT(has_line(text,
	    "kafka_log_flush_seconds_bucket{le=\"0.5\"} 1"));
	CU_ASSERT(has_line(text, "kafka_log_flush_seconds_sum 0.25"));
	/* Requests that never came are not shown. */
	CU_ASSERT_PTR_NULL(
	    strstr(text, "kafka_network_requestmetrics_totaltime_ms"));
	buffer_fini(&page);
	metrics_free(metrics);
}

static void
collect_orders(struct metrics_scrape *scrape, void *arg)
{
	metrics_sample_partition(scrape, METRIC_LOG_SIZE, "orders", 0, 10);
	metrics_sample_partition(scrape, METRIC_LOG_END_OFFSET, "orders", 0,
	    INT64_MAX);
	metrics_sample_partition(scrape, METRIC_LOG_SIZE, "orders", 1, 20);
	metrics_sample(scrape, METRIC_MESSAGES_IN, METRICS_VALUES("orders"),
	    6);
	metrics_set(arg, METRIC_LEADER_COUNT, 2);
}

static void
collect_oddities(struct metrics_scrape *scrape, void *arg)
{
	(void)arg;
	metrics_sample(scrape, METRIC_LOG_DIR_OFFLINE,
	    METRICS_VALUES("a\"b\\c\nd\xff\xc3\xa9}"), 1);
	metrics_sample(scrape, METRIC_LOG_DIR_OFFLINE, METRICS_VALUES(""), 0);
	metrics_sample_partition(scrape, METRIC_LOG_SIZE, "other", 3, 30);
}

static void
test_collectors(void)
{
	struct metrics *metrics = metrics_new();
	struct buffer page;
	const char *text;

	metrics_register_collector(metrics, collect_orders, metrics);
	metrics_register_collector(metrics, collect_oddities, NULL);
	metrics_add(metrics, METRIC_MESSAGES_IN, 7);
	for (int i = 0; i < 2; i++) { /* samples do not pile up */
		text = expose(metrics, &page);
		CU_ASSERT(read_page(text) > 50);
		CU_ASSERT(has_line(text,
		    "kafka_log_size_bytes{topic=\"orders\",partition=\"1\"} "
		    "20"));
		CU_ASSERT(has_line(text,
		    "kafka_log_size_bytes{topic=\"other\",partition=\"3\"} "
		    "30"));
		CU_ASSERT(has_line(text,
		    "kafka_log_end_offset{topic=\"orders\",partition=\"0\"} "
		    "9223372036854775807"));
		CU_ASSERT_PTR_NOT_NULL(strstr(text,
		    "_messagesin_total 7\nkafka_server_brokertopicmetrics_"
		    "messagesin_total{topic=\"orders\"} 6\n"));
		CU_ASSERT(has_line(text, "kafka_log_dir_offline{log_dir="
					 "\"a\\\"b\\\\c\\nd?\xc3\xa9}\"} 1"));
		CU_ASSERT(has_line(text,
		    "kafka_log_dir_offline{log_dir=\"\"} 0"));
		CU_ASSERT(has_line(text,
		    "kafka_server_replicamanager_leadercount 2"));
		buffer_fini(&page);
	}
	metrics_free(metrics);
}

static void
test_silence(void)
{
	metrics_add(NULL, METRIC_MESSAGES_IN, 1);
	metrics_set(NULL, METRIC_BROKER_STATE, 1);
	metrics_observe(NULL, METRIC_ZK_REQUEST_LATENCY, 1);
	metrics_select(NULL, METRIC_ZK_SESSION_STATE, 0);
	metrics_add_error(NULL, 0, 0);
	metrics_register_collector(NULL, collect_oddities, NULL);
	CU_ASSERT_EQUAL(metrics_value(NULL, METRIC_MESSAGES_IN), 0);
	metrics_free(NULL);
}

enum { COUNTERS = 4, COUNTS_EACH = 50000 };

/* All begin together, or each would be done before the next is made. */
struct race {
	struct metrics *metrics;
	pthread_barrier_t start;
};

static void *
count(void *arg)
{
	struct race *race = arg;
	struct metrics *metrics = race->metrics;

	pthread_barrier_wait(&race->start);
	for (int i = 0; i < COUNTS_EACH; i++) {
		metrics_add(metrics, METRIC_MESSAGES_IN, 1);
		metrics_add(metrics, METRIC_CONNECTIONS, i % 2 == 0 ? 1 : -1);
		metrics_observe_at(metrics, METRIC_REQUEST_TOTAL_TIME, 1,
		    i * 1000);
	}
	return (NULL);
}

static void
count_on_threads(struct metrics *metrics)
{
	struct race race = { .metrics = metrics };
	pthread_t threads[COUNTERS];
	struct buffer page;

	pthread_barrier_init(&race.start, NULL, COUNTERS);
	for (size_t i = 0; i < COUNTERS; i++)
		CU_ASSERT_EQUAL_FATAL(
		    pthread_create(&threads[i], NULL, count, &race), 0);
	for (int i = 0; i < 5; i++) {
		metrics_register_collector(metrics, i == 0 ? collect_orders
			: collect_oddities, metrics);
		CU_ASSERT(strlen(expose(metrics, &page)) > 0);
		if (i < 2)
			CU_ASSERT(read_page(buffer_text(&page)) > 50);
		buffer_fini(&page);
	}
	for (size_t i = 0; i < COUNTERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&race.start);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_MESSAGES_IN),
	    COUNTERS * COUNTS_EACH);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_CONNECTIONS), 0);
	CU_ASSERT_EQUAL(
	    metrics_value_at(metrics, METRIC_REQUEST_TOTAL_TIME, 1),
	    COUNTERS * COUNTS_EACH);
}

static void
test_threads(void)
{
	struct metrics *metrics = metrics_new();
	size_t mask = metrics->shard_mask;

	count_on_threads(metrics);
	metrics_free(metrics);
	/* As when threads move: all of them in one shard. */
	metrics = metrics_new();
	metrics->shard_mask = 0;
	count_on_threads(metrics);
	metrics->shard_mask = mask;
	metrics_free(metrics);
}

static const struct unit_test tests[] = {
	{ "the reader can refuse", test_reader_can_refuse },
	{ "rows", test_rows },
	{ "counters and gauges", test_counts },
	{ "requests and errors", test_requests },
	{ "states", test_select },
	{ "histograms", test_histogram },
	{ "collectors", test_collectors },
	{ "NULL is silence", test_silence },
	{ "threads", test_threads },
};

int
main(void)
{
	return (unit_main("metrics", tests, nelems(tests)));
}
