/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas perf produce` and `perf consume` count and print. */
#ifndef TOOLS_PERF_H
#define TOOLS_PERF_H

#include "base/buffer.h"

struct tool;

/* So many latencies are kept at most; of more records every n-th one's. */
#define PERF_SAMPLES 500000

/* --- producing ------------------------------------------------------------ */

/* Records that were stored. The start is of the monotonic clock: finer than
 * Kafka's tool has it, since a short run may take less than 1 ms. */
struct perf_span {
	int64_t start_ns;
	int64_t count;
	int64_t bytes;
	int64_t latency_ms; /* the sum */
	int64_t latency_ms_max;
};

struct perf_stats {
	struct perf_span total;
	struct perf_span window; /* since the last report */
	int32_t *samples;
	size_t sample_count;
	int64_t every;
};

/* records >= 1: how many are to come. */
void perf_stats_init(struct perf_stats *stats, int64_t records,
    int64_t now_ns);
void perf_stats_fini(struct perf_stats *stats);
void perf_stats_record(struct perf_stats *stats, int64_t latency_ms,
    size_t bytes);
/* The line for the window, which begins anew. */
void perf_stats_window(struct perf_stats *stats, int64_t now_ns, bool json,
    struct buffer *out);
void perf_stats_total(struct perf_stats *stats, int64_t now_ns, bool json,
    struct buffer *out);

/* --- consuming ------------------------------------------------------------ */

/* What came between two times of the wall clock. */
struct perf_read {
	int64_t start_ms;
	int64_t end_ms;
	int64_t bytes;
	int64_t messages;
	int64_t join_ms; /* part of it went by before the first fetch */
	/* From the beginning on, for the reports in between. */
	int64_t bytes_all;
	int64_t messages_all;
};

/* The names of the columns. */
void perf_read_header(bool detailed, struct buffer *out);
/* The line of a report in between, and of the end. */
void perf_read_interval(const struct perf_read *read, const char *date_format,
    bool json, struct buffer *out);
void perf_read_total(const struct perf_read *read, const char *date_format,
    bool json, struct buffer *out);

/* As java.util.Formatter: "NaN" and "Infinity" for what has no value. */
void perf_put_real(struct buffer *out, double number, int digits);

/* --- metrics -------------------------------------------------------------- */

/* librdkafka's statistics, as a table or as one line of JSON. */
void perf_metrics_put(struct slice statistics, bool json, struct buffer *out);

#endif
