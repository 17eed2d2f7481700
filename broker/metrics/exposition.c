/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page, in Prometheus's text format 0.0.4:
 *
 *	# HELP family prose
 *	# TYPE family counter
 *	family 12
 *	family{topic="orders"} 12
 *
 * All lines of a family stand together, so the samples of collectors, who come
 * one after another, gather in one buffer a family until the page is put
 * together.  A struct metrics_scrape lives while one page is made.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "metrics/internal.h"
#include "metrics/metrics.h"

/* Two pairs of name and value from our own tables. */
#define LABELS_SIZE_MAX 160

struct metrics_scrape {
	struct buffer families[METRIC_COUNT];
};

static void metrics_collect_all(struct metrics *metrics,
    struct metrics_scrape *scrape);
static void expose_family(const struct metrics *metrics,
    const struct metric_row *row, struct buffer *samples, struct buffer *out);
static void expose_cells(const struct metrics *metrics,
    const struct metric_row *row, struct buffer *out);

void
metrics_expose(struct metrics *metrics, struct buffer *out)
{
	struct metrics_scrape scrape;

	CHECK_MAGIC(metrics, METRICS_MAGIC);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		scrape.families[i] = BUFFER_EMPTY;
	metrics_collect_all(metrics, &scrape);
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		expose_family(metrics, metric_row((enum metric)i),
		    &scrape.families[i], out);
		buffer_fini(&scrape.families[i]);
	}
}

/* Collectors take locks of their rooms, and so run without ours. */
static void
metrics_collect_all(struct metrics *metrics, struct metrics_scrape *scrape)
{
	struct collector collectors[METRICS_COLLECTORS_MAX];
	size_t count;

	pthread_mutex_lock(&metrics->collectors_mutex);
	count = metrics->collector_count;
	memcpy(collectors, metrics->collectors, count * sizeof(collectors[0]));
	pthread_mutex_unlock(&metrics->collectors_mutex);
	for (size_t i = 0; i < count; i++)
		collectors[i].collect(scrape, collectors[i].arg);
}

static const char *
type_name(const struct metric_row *row)
{
	if (metric_is_histogram(row))
		return ("histogram");
	return (row->kind == METRIC_KIND_GAUGE ? "gauge" : "counter");
}

static void
expose_family(const struct metrics *metrics, const struct metric_row *row,
    struct buffer *samples, struct buffer *out)
{
	struct buffer lines = BUFFER_EMPTY;

	expose_cells(metrics, row, &lines);
	buffer_append_slice(&lines, buffer_slice(samples));
	if (lines.length > 0) {
		/* Rows' prose is ours: one line, no backslash. */
		buffer_printf(out, "# HELP %s %s\n", row->family, row->prose);
		buffer_printf(out, "# TYPE %s %s\n", row->family,
		    type_name(row));
		buffer_append_slice(out, buffer_slice(&lines));
	}
	buffer_fini(&lines);
}

/* --- samples of collectors ------------------------------------------------ */

/* Quotes a label's value. Bytes that are not UTF-8 would spoil the page. */
static void
append_value(struct buffer *out, const char *value)
{
	struct slice rest = slice_of_text(value);

	buffer_append(out, "\"", 1);
	while (rest.length > 0) {
		const uint8_t *begin = rest.data;
		int32_t point = text_utf8_next(&rest);

		if (point < 0)
			buffer_append(out, "?", 1);
		else if (point == '\\')
			buffer_append_text(out, "\\\\");
		else if (point == '"')
			buffer_append_text(out, "\\\"");
		else if (point == '\n')
			buffer_append_text(out, "\\n");
		else
			buffer_append(out, begin, (size_t)(rest.data - begin));
	}
	buffer_append(out, "\"", 1);
}

void
metrics_sample(struct metrics_scrape *scrape, enum metric metric,
    const char *const *label_values, int64_t value)
{
	const struct metric_row *row = metric_row(metric);
	struct buffer *out = &scrape->families[metric];
	struct slice names = slice_of_text(row->samples);
	const char *before = "{";

	CHECK(row->samples != NULL && !metric_is_histogram(row));
	buffer_append_text(out, row->family);
	for (; names.data != NULL; label_values++) {
		struct slice name = text_cut(names, ',', &names);

		CHECK(*label_values != NULL);
		buffer_append_text(out, before);
		buffer_append_slice(out, name);
		buffer_append(out, "=", 1);
		append_value(out, *label_values);
		before = ",";
	}
	CHECK(*label_values == NULL);
	buffer_printf(out, "} %" PRId64 "\n", value);
}

void
metrics_sample_partition(struct metrics_scrape *scrape, enum metric metric,
    const char *topic, int32_t partition, int64_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%" PRId32, partition);
	metrics_sample(scrape, metric, METRICS_VALUES(topic, text), value);
}

/* --- cells ---------------------------------------------------------------- */

static const char *
request_text(const struct metrics *metrics, size_t request, char number[24])
{
	const char *name = NULL;

	if (request == METRICS_REQUEST_FETCH_CONSUMER)
		return ("FetchConsumer");
	if (request == METRICS_REQUEST_FETCH_FOLLOWER)
		return ("FetchFollower");
	if (metrics->request_name != NULL)
		name = metrics->request_name((int)request);
	if (name == NULL) {
		snprintf(number, 24, "%zu", request);
		name = number;
	}
	return (name);
}

/* The labels of a slot, "request=\"Fetch\"", or "". */
static void
label_text(const struct metrics *metrics, const struct metric_row *row,
    size_t slot, char text[LABELS_SIZE_MAX])
{
#define X(set, name, value) value,
	static const char *const reasons[] = { METRICS_CLOSE_REASONS(X) };
	static const char *const operations[] = {
		METRICS_DELAYED_OPERATIONS(X)
	};
	static const char *const states[] = { METRICS_SESSION_STATES(X) };
#undef X
	char number[24];
	int length = 0;

	text[0] = '\0';
	switch (row->labels) {
	case METRIC_LABELS_ABSENT:
	case METRIC_LABELS_NONE:
		break;
	case METRIC_LABELS_REQUEST:
		length = snprintf(text, LABELS_SIZE_MAX, "request=\"%s\"",
		    request_text(metrics, slot, number));
		break;
	case METRIC_LABELS_REQUEST_ERROR:
		length = snprintf(text, LABELS_SIZE_MAX,
		    "request=\"%s\",error=\"%s\"", request_text(metrics,
		    slot / METRICS_ERROR_COUNT, number),
		    error_name((int)(slot % METRICS_ERROR_COUNT) - 1));
		break;
	case METRIC_LABELS_CLOSE_REASON:
		length = snprintf(text, LABELS_SIZE_MAX, "reason=\"%s\"",
		    reasons[slot]);
		break;
	case METRIC_LABELS_DELAYED_OPERATION:
		length = snprintf(text, LABELS_SIZE_MAX,
		    "delayedOperation=\"%s\"", operations[slot]);
		break;
	case METRIC_LABELS_SESSION_STATE:
		length = snprintf(text, LABELS_SIZE_MAX, "state=\"%s\"",
		    states[slot]);
		break;
	}
	CHECK(length >= 0 && length < LABELS_SIZE_MAX);
}

/* Thousands of pairs of API and error never happen: only those that did. */
static bool
is_sparse(const struct metric_row *row)
{
	return (row->labels == METRIC_LABELS_REQUEST ||
	    row->labels == METRIC_LABELS_REQUEST_ERROR);
}

static double
shown_unit(const struct metric_row *row)
{
	switch (row->kind) {
	case METRIC_KIND_TIME_MS:
		return (1e6);
	case METRIC_KIND_TIME_SECONDS:
		return (1e9);
	default:
		return (1);
	}
}

static void
expose_histogram(const struct metrics *metrics, const struct metric_row *row,
    size_t slot, struct buffer *out)
{
	const int64_t *bounds = metric_bounds(row);
	size_t cell = row->cell + slot * HISTOGRAM_CELLS;
	int64_t counts[HISTOGRAM_BEYOND + 1];
	int64_t count = 0;
	char labels[LABELS_SIZE_MAX];
	const char *comma, *open, *close;

	for (size_t i = 0; i < nelems(counts); i++)
		count += counts[i] = metrics_cell_sum(metrics, cell + i);
	if (count == 0 && is_sparse(row))
		return;
	label_text(metrics, row, slot, labels);
	comma = labels[0] == '\0' ? "" : ",";
	open = labels[0] == '\0' ? "" : "{";
	close = labels[0] == '\0' ? "" : "}";
	count = 0;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		count += counts[i];
		buffer_printf(out, "%s_bucket{%s%sle=\"%.15g\"} %" PRId64 "\n",
		    row->family, labels, comma,
		    (double)bounds[i] / shown_unit(row), count);
	}
	count += counts[HISTOGRAM_BEYOND];
	buffer_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n",
	    row->family, labels, comma, count);
	buffer_printf(out, "%s_sum%s%s%s %.15g\n", row->family, open, labels,
	    close, (double)metrics_cell_sum(metrics, cell + HISTOGRAM_SUM) /
	    shown_unit(row));
	buffer_printf(out, "%s_count%s%s%s %" PRId64 "\n", row->family, open,
	    labels, close, count);
}

static void
expose_number(const struct metrics *metrics, const struct metric_row *row,
    size_t slot, struct buffer *out)
{
	int64_t value = metrics_cell_sum(metrics, row->cell + slot);
	char labels[LABELS_SIZE_MAX];

	if (value == 0 && is_sparse(row))
		return;
	label_text(metrics, row, slot, labels);
	if (labels[0] == '\0')
		buffer_printf(out, "%s %" PRId64 "\n", row->family, value);
	else
		buffer_printf(out, "%s{%s} %" PRId64 "\n", row->family, labels,
		    value);
}

static void
expose_cells(const struct metrics *metrics, const struct metric_row *row,
    struct buffer *out)
{
	for (size_t slot = 0; slot < row->slots; slot++) {
		if (metric_is_histogram(row))
			expose_histogram(metrics, row, slot, out);
		else
			expose_number(metrics, row, slot, out);
	}
}
