/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --print-metrics: the numbers of librdkafka's statistics, each by its path:
 * brokers:HOST:PORT/ID:rtt:avg.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tools/perf.h"

/* Its statistics are no deeper. */
#define DEPTH_MAX 8

struct metric {
	char *name;
	const json_t *value;
};

struct metrics {
	struct metric *items;
	size_t count;
	size_t width; /* of the longest name */
};

static void
metrics_add(struct metrics *metrics, const struct buffer *path,
    const json_t *value)
{
	/* In powers of two. */
	if ((metrics->count & (metrics->count - 1)) == 0)
		metrics->items = mem_realloc(metrics->items,
		    (metrics->count == 0 ? 1 : metrics->count * 2) *
			sizeof(*metrics->items));
	metrics->items[metrics->count].name =
	    mem_strndup((const char *)path->data, path->length);
	metrics->items[metrics->count++].value = value;
	if (path->length > metrics->width)
		metrics->width = path->length;
}

static void
metrics_walk(struct metrics *metrics, struct buffer *path, json_t *object,
    int depth)
{
	const size_t length = path->length;
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		if (length != 0)
			buffer_append_text(path, ":");
		buffer_append_text(path, name);
		if (json_is_number(value))
			metrics_add(metrics, path, value);
		else if (json_is_object(value) && depth < DEPTH_MAX)
			metrics_walk(metrics, path, value, depth + 1);
		path->length = length;
	}
}

static int
metric_compare(const void *a, const void *b)
{
	const struct metric *x = a;
	const struct metric *y = b;

	return (strcmp(x->name, y->name));
}

static void
metrics_print(const struct metrics *metrics, struct buffer *out)
{
	const int width = (int)metrics->width;

	buffer_printf(out, "\n%-*s   %s\n", width, "Metric Name", "Value");
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metric *metric = &metrics->items[i];

		if (json_is_integer(metric->value))
			buffer_printf(out, "%-*s : %" PRId64 "\n", width,
			    metric->name,
			    (int64_t)json_integer_value(metric->value));
		else
			buffer_printf(out, "%-*s : %.3f\n", width,
			    metric->name, json_real_value(metric->value));
	}
}

static void
metrics_put_text(json_t *root, struct buffer *out)
{
	struct metrics metrics = { 0 };
	struct buffer path = BUFFER_EMPTY;

	metrics_walk(&metrics, &path, root, 0);
	if (metrics.count > 1)
		qsort(metrics.items, metrics.count, sizeof(*metrics.items),
		    metric_compare);
	metrics_print(&metrics, out);
	for (size_t i = 0; i < metrics.count; i++)
		mem_free(metrics.items[i].name);
	mem_free(metrics.items);
	buffer_fini(&path);
}

void
perf_metrics_put(struct slice statistics, bool json, struct buffer *out)
{
	json_t *root = json_loadb((const char *)statistics.data,
	    statistics.length, 0, NULL);

	if (json_is_object(root) && json) {
		buffer_append_text(out, "{\"metrics\":");
		buffer_append_slice(out, statistics);
		buffer_append_text(out, "}\n");
	} else if (json_is_object(root)) {
		metrics_put_text(root, out);
	}
	json_decref(root);
}
