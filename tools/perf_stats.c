/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tools/date_format.h"
#include "tools/json_out.h"
#include "tools/perf.h"

#define MIB (1024.0 * 1024.0)

void
perf_put_real(struct buffer *out, double number, int digits)
{
	if (isnan(number))
		buffer_append_text(out, "NaN");
	else if (isinf(number))
		buffer_append_text(out, number < 0 ? "-Infinity" : "Infinity");
	else
		buffer_printf(out, "%.*f", digits, number);
}

/* --- producing ------------------------------------------------------------ */

void
perf_stats_init(struct perf_stats *stats, int64_t records, int64_t now_ns)
{
	*stats = (struct perf_stats) { .total.start_ns = now_ns,
		.window.start_ns = now_ns };
	stats->every =
	    records / (records < PERF_SAMPLES ? records : PERF_SAMPLES);
	stats->samples = mem_zalloc(((size_t)(records / stats->every) + 1) *
	    sizeof(*stats->samples));
}

void
perf_stats_fini(struct perf_stats *stats)
{
	mem_free(stats->samples);
}

static void
span_record(struct perf_span *span, int64_t latency_ms, size_t bytes)
{
	span->count++;
	span->bytes += (int64_t)bytes;
	span->latency_ms += latency_ms;
	if (latency_ms > span->latency_ms_max)
		span->latency_ms_max = latency_ms;
}

void
perf_stats_record(struct perf_stats *stats, int64_t latency_ms, size_t bytes)
{
	if (stats->total.count % stats->every == 0)
		stats->samples[stats->sample_count++] =
		    latency_ms < INT32_MAX ? (int32_t)latency_ms : INT32_MAX;
	span_record(&stats->total, latency_ms, bytes);
	span_record(&stats->window, latency_ms, bytes);
}

static int
sample_compare(const void *a, const void *b)
{
	const int32_t *x = a;
	const int32_t *y = b;

	return ((*x > *y) - (*x < *y));
}

static int32_t
percentile(const struct perf_stats *stats, double part)
{
	const size_t index = (size_t)(part * (double)stats->sample_count);

	return (index < stats->sample_count ? stats->samples[index] : 0);
}

struct rates {
	double records; /* a second */
	double mib;
	double latency_ms; /* the mean */
};

static struct rates
rates_of(const struct perf_span *span, int64_t now_ns)
{
	const double seconds = (double)(now_ns - span->start_ns) / 1e9;

	return ((struct rates) {
		.records = (double)span->count / seconds,
		.mib = (double)span->bytes / seconds / MIB,
		.latency_ms = (double)span->latency_ms / (double)span->count,
	});
}

static void
json_span(struct json_out *json, const struct perf_span *span, int64_t now_ns)
{
	const struct rates rates = rates_of(span, now_ns);

	json_int(json, "records", span->count);
	json_number(json, "recordsPerSec", rates.records, 1);
	json_number(json, "mbPerSec", rates.mib, 2);
	json_number(json, "avgLatencyMs", rates.latency_ms, 2);
	json_int(json, "maxLatencyMs", span->latency_ms_max);
}

static void
put_span(struct buffer *out, const struct perf_span *span, int64_t now_ns,
    bool total)
{
	const struct rates rates = rates_of(span, now_ns);

	buffer_printf(out, "%" PRId64 " records sent, ", span->count);
	perf_put_real(out, rates.records, total ? 6 : 1);
	buffer_append_text(out, " records/sec (");
	perf_put_real(out, rates.mib, 2);
	buffer_append_text(out, " MB/sec), ");
	perf_put_real(out, rates.latency_ms, total ? 2 : 1);
	buffer_append_text(out, " ms avg latency, ");
	perf_put_real(out, (double)span->latency_ms_max, total ? 2 : 1);
	buffer_append_text(out, " ms max latency");
}

void
perf_stats_window(struct perf_stats *stats, int64_t now_ns, bool json,
    struct buffer *out)
{
	struct json_out writer;

	if (json) {
		json_init(&writer, out);
		json_open(&writer, NULL, '{');
		json_span(&writer, &stats->window, now_ns);
		json_close(&writer, '}');
		json_end(&writer);
	} else {
		put_span(out, &stats->window, now_ns, false);
		buffer_append_text(out, ".\n");
	}
	stats->window = (struct perf_span) { .start_ns = now_ns };
}

void
perf_stats_total(struct perf_stats *stats, int64_t now_ns, bool json,
    struct buffer *out)
{
	struct json_out writer;

	if (stats->sample_count > 1)
		qsort(stats->samples, stats->sample_count,
		    sizeof(*stats->samples), sample_compare);
	if (json) {
		json_init(&writer, out);
		json_open(&writer, NULL, '{');
		json_bool(&writer, "total", true);
		json_span(&writer, &stats->total, now_ns);
		json_int(&writer, "latencyMs50", percentile(stats, 0.5));
		json_int(&writer, "latencyMs95", percentile(stats, 0.95));
		json_int(&writer, "latencyMs99", percentile(stats, 0.99));
		json_int(&writer, "latencyMs999", percentile(stats, 0.999));
		json_close(&writer, '}');
		json_end(&writer);
		return;
	}
	put_span(out, &stats->total, now_ns, true);
	buffer_printf(out,
	    ", %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
	    percentile(stats, 0.5), percentile(stats, 0.95),
	    percentile(stats, 0.99), percentile(stats, 0.999));
}

/* --- consuming ------------------------------------------------------------ */

void
perf_read_header(bool detailed, struct buffer *out)
{
	buffer_printf(out,
	    "%s, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, "
	    "rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n",
	    detailed ? "time, threadId" : "start.time, end.time");
}

/* ", " and the number. */
static void
put_column(struct buffer *out, double number)
{
	buffer_append_text(out, ", ");
	perf_put_real(out, number, 4);
}

static void
json_read(struct json_out *json, const struct perf_read *read, bool total)
{
	const double seconds = (double)(read->end_ms - read->start_ms) / 1000;
	const int64_t fetch_ms =
	    read->end_ms - read->start_ms - read->join_ms;
	const double mib = (double)read->bytes / MIB;

	json_open(json, NULL, '{');
	json_bool(json, "total", total);
	json_int(json, "startTimeMs", read->start_ms);
	json_int(json, "endTimeMs", read->end_ms);
	json_number(json, "consumedMb", (double)read->bytes_all / MIB, 4);
	json_number(json, "mbPerSec", mib / seconds, 4);
	json_int(json, "consumedMessages", read->messages_all);
	json_number(json, "messagesPerSec",
	    (double)read->messages / seconds, 4);
	json_int(json, "rebalanceTimeMs", read->join_ms);
	json_int(json, "fetchTimeMs", fetch_ms);
	json_number(json, "fetchMbPerSec", mib * 1000 / (double)fetch_ms, 4);
	json_number(json, "fetchMessagesPerSec",
	    (double)read->messages * 1000 / (double)fetch_ms, 4);
	json_close(json, '}');
	json_end(json);
}

void
perf_read_interval(const struct perf_read *read, const char *date_format,
    bool json, struct buffer *out)
{
	const double elapsed_ms = (double)(read->end_ms - read->start_ms);
	const int64_t fetch_ms =
	    read->end_ms - read->start_ms - read->join_ms;
	const double mib = (double)read->bytes / MIB;
	const double messages = (double)read->messages;
	struct json_out writer;

	if (json) {
		json_init(&writer, out);
		json_read(&writer, read, false);
		return;
	}
	date_format_put(date_format, read->end_ms, out);
	buffer_append_text(out, ", 0");
	put_column(out, (double)read->bytes_all / MIB);
	put_column(out, 1000 * mib / elapsed_ms);
	buffer_printf(out, ", %" PRId64, read->messages_all);
	put_column(out, 1000 * messages / elapsed_ms);
	buffer_printf(out, ", %" PRId64 ", %" PRId64, read->join_ms, fetch_ms);
	put_column(out, fetch_ms <= 0 ? 0 : 1000 * mib / (double)fetch_ms);
	put_column(out,
	    fetch_ms <= 0 ? 0 : 1000 * messages / (double)fetch_ms);
	buffer_append_text(out, "\n");
}

void
perf_read_total(const struct perf_read *read, const char *date_format,
    bool json, struct buffer *out)
{
	const double seconds = (double)(read->end_ms - read->start_ms) / 1000;
	const int64_t fetch_ms =
	    read->end_ms - read->start_ms - read->join_ms;
	const double fetch_seconds = (double)fetch_ms / 1000;
	const double mib = (double)read->bytes / MIB;
	struct json_out writer;

	if (json) {
		json_init(&writer, out);
		json_read(&writer, read, true);
		return;
	}
	date_format_put(date_format, read->start_ms, out);
	buffer_append_text(out, ", ");
	date_format_put(date_format, read->end_ms, out);
	put_column(out, mib);
	put_column(out, mib / seconds);
	buffer_printf(out, ", %" PRId64, read->messages);
	put_column(out, (double)read->messages / seconds);
	buffer_printf(out, ", %" PRId64 ", %" PRId64, read->join_ms, fetch_ms);
	put_column(out, mib / fetch_seconds);
	put_column(out, (double)read->messages / fetch_seconds);
	buffer_append_text(out, "\n");
}
