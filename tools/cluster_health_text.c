/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `barnabas cluster health` prints:
 *
 *	Cluster ID: x
 *	Controller: 1
 *	Brokers: 2 there, 1 missing
 *	Topics: 3, partitions: 9
 *	...
 *	ISR churn: 2 partitions changed (ISR: 2, leader or ...
 *
 *	BROKER  ADDRESS         LEADS  REPLICAS  LOG DIR  USED  FREE
 *	1       127.0.0.1:9092  5      9         /data    1 MiB 9.1 GiB (45 %)
 *
 *	Not healthy:
 *	  2 partitions have ...
 */
#include <inttypes.h>

#include "tools/cluster.h"
#include "tools/columns.h"
#include "tools/json_out.h"

/* --- text ----------------------------------------------------------------- */

enum { BROKER, ADDRESS, LEADS, REPLICAS, DIR, USED, FREE, COLUMNS };

static const char *const titles[COLUMNS] = { "BROKER", "ADDRESS", "LEADS",
	"REPLICAS", "LOG DIR", "USED", "FREE" };

/* One line of the table; a row's cells are put together in one buffer. */
struct line {
	struct buffer cells[COLUMNS];
};

static void
put_size(int64_t bytes, struct buffer *out)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB",
		"PiB" };
	double number = (double)bytes / 1024;
	size_t unit = 0;

	while (number >= 1024 && unit < 4) {
		number /= 1024;
		unit++;
	}
	if (bytes < 1024)
		buffer_printf(out, "%" PRId64 " B", bytes);
	else
		buffer_printf(out, "%.1f %s", number, units[unit]);
}

static int64_t
dir_size(const struct describe_log_dirs_response_result *dir)
{
	int64_t bytes = 0;

	for (int32_t t = 0; t < dir->topics_count; t++)
		for (int32_t p = 0; p < dir->topics[t].partitions_count; p++)
			bytes += dir->topics[t].partitions[p].partition_size;
	return (bytes);
}

static void
line_broker(const struct health_broker *broker, struct line *line)
{
	buffer_printf(&line->cells[BROKER], "%d", broker->id);
	if (broker->facts == NULL)
		buffer_append_text(&line->cells[ADDRESS], "not there");
	else
		buffer_printf(&line->cells[ADDRESS], "%.*s:%d",
		    SLICE_ARGS(broker->facts->host), broker->facts->port);
	buffer_printf(&line->cells[LEADS], "%zu", broker->led);
	buffer_printf(&line->cells[REPLICAS], "%zu", broker->replicas);
}

static void
line_dir(const struct describe_log_dirs_response_result *dir,
    struct line *line)
{
	buffer_append_slice(&line->cells[DIR], dir->log_dir);
	if (dir->error_code != ERR_NONE) {
		buffer_append_text(&line->cells[USED],
		    dir->error_code == ERR_KAFKA_STORAGE_ERROR
			? "offline"
			: error_name(dir->error_code));
		return;
	}
	put_size(dir_size(dir), &line->cells[USED]);
	if (dir->total_bytes <= 0 || dir->usable_bytes < 0)
		return;
	put_size(dir->usable_bytes, &line->cells[FREE]);
	buffer_printf(&line->cells[FREE], " (%.0f %%)",
	    (double)dir->usable_bytes * 100 / (double)dir->total_bytes);
}

static void
line_put(struct line *line, const size_t widths[COLUMNS], struct buffer *out)
{
	size_t last = COLUMNS - 1;

	while (last > 0 && line->cells[last].length == 0)
		last--;
	for (size_t i = 0; i <= last; i++) {
		column_put(out, buffer_slice(&line->cells[i]),
		    i == last ? 0 : widths[i] + 2);
		line->cells[i].length = 0;
	}
	buffer_append_text(out, "\n");
}

/* Calls for each line; the first pass finds the widths, the second prints. */
static void
lines_pass(const struct health_facts *facts, size_t widths[COLUMNS],
    struct buffer *out)
{
	struct line line = { 0 };

	for (size_t b = 0; b < facts->broker_count; b++) {
		const struct health_broker *broker = &facts->brokers[b];
		int32_t dirs = broker->why != NULL || broker->facts == NULL
		    ? 0
		    : broker->dirs.response.results_count;

		line_broker(broker, &line);
		for (int32_t i = 0; i == 0 || i < dirs; i++) {
			if (i < dirs)
				line_dir(&broker->dirs.response.results[i],
				    &line);
			for (size_t c = 0; out == NULL && c < COLUMNS; c++) {
				widths[c] = column_widest(widths[c],
				    buffer_slice(&line.cells[c]));
				line.cells[c].length = 0;
			}
			if (out != NULL)
				line_put(&line, widths, out);
		}
	}
	for (size_t c = 0; c < COLUMNS; c++)
		buffer_fini(&line.cells[c]);
}

static void
text_table(const struct health_facts *facts, struct buffer *out)
{
	size_t widths[COLUMNS];

	for (size_t i = 0; i < COLUMNS; i++)
		widths[i] = column_width(slice_of_text(titles[i]));
	lines_pass(facts, widths, NULL);
	for (size_t i = 0; i < COLUMNS; i++)
		column_put(out, slice_of_text(titles[i]),
		    i == COLUMNS - 1 ? 0 : widths[i] + 2);
	buffer_append_text(out, "\n");
	lines_pass(facts, widths, out);
}

static size_t
there_count(const struct health_facts *facts)
{
	size_t count = 0;

	for (size_t i = 0; i < facts->broker_count; i++)
		count += facts->brokers[i].facts != NULL;
	return (count);
}

static void
text_head(const struct health_facts *facts, struct buffer *out)
{
	const struct metadata_response *metadata = facts->metadata;
	const struct topics_counts *counts = &facts->counts;
	const struct health_churn *churn = &facts->churn;
	const size_t there = there_count(facts);

	buffer_printf(out, "Cluster ID: %.*s\n",
	    SLICE_ARGS(metadata->cluster_id));
	if (metadata->controller_id < 0)
		buffer_append_text(out, "Controller: none\n");
	else
		buffer_printf(out, "Controller: %d\n",
		    metadata->controller_id);
	buffer_printf(out, "Brokers: %zu", there);
	if (facts->broker_count != there)
		buffer_printf(out, ", missing: %zu",
		    facts->broker_count - there);
	buffer_printf(out, "\nTopics: %d, partitions: %zu\n",
	    metadata->topics_count, counts->partitions);
	buffer_printf(out, "Offline partitions: %zu\n"
			   "Under-replicated partitions: %zu\n",
	    counts->unavailable, counts->under_replicated);
	if (facts->min_isr_why == NULL)
		buffer_printf(out, "Partitions under min ISR: %zu\n",
		    counts->under_min_isr);
	if (facts->moving_why == NULL)
		buffer_printf(out, "Partitions that move: %zu\n",
		    facts->moving);
	buffer_printf(out,
	    "ISR churn: %zu partitions changed (ISR: %zu, leader or its "
	    "epoch: %zu) in %.1f s\n",
	    churn->partitions, churn->isrs, churn->leaders,
	    (double)churn->ms / 1000);
}

static void
text_list(const char *title, const struct health_list *list,
    struct buffer *out)
{
	if (list->count == 0)
		return;
	buffer_printf(out, "\n%s:\n", title);
	for (size_t i = 0; i < list->count; i++)
		buffer_printf(out, "  %s\n", list->items[i]);
}

void
health_text(const struct health_facts *facts, struct buffer *out)
{
	text_head(facts, out);
	buffer_append_text(out, "\n");
	text_table(facts, out);
	text_list("Not healthy", &facts->troubles, out);
	text_list("Not known", &facts->unknown, out);
	if (facts->troubles.count == 0 && facts->unknown.count == 0)
		buffer_append_text(out, "\nHealthy.\n");
}

/* --- JSON ----------------------------------------------------------------- */

static void
json_dir(const struct describe_log_dirs_response_result *dir,
    struct json_out *json)
{
	json_open(json, NULL, '{');
	json_text(json, "logDir", dir->log_dir);
	if (dir->error_code == ERR_NONE) {
		json_none(json, "error");
		json_int(json, "size", dir_size(dir));
	} else {
		json_text(json, "error",
		    slice_of_text(error_name(dir->error_code)));
	}
	if (dir->total_bytes >= 0) {
		json_int(json, "totalBytes", dir->total_bytes);
		json_int(json, "usableBytes", dir->usable_bytes);
	}
	json_close(json, '}');
}

static void
json_broker(const struct health_broker *broker, struct json_out *json)
{
	json_open(json, NULL, '{');
	json_int(json, "id", broker->id);
	json_bool(json, "there", broker->facts != NULL);
	if (broker->facts != NULL) {
		json_text(json, "host", broker->facts->host);
		json_int(json, "port", broker->facts->port);
		json_text(json, "rack", broker->facts->rack);
	}
	json_int(json, "partitionsLed", (int64_t)broker->led);
	json_int(json, "replicas", (int64_t)broker->replicas);
	json_text(json, "error", slice_of_text(broker->why));
	json_open(json, "logDirs", '[');
	for (int32_t i = 0; broker->facts != NULL && broker->why == NULL &&
	     i < broker->dirs.response.results_count; i++)
		json_dir(&broker->dirs.response.results[i], json);
	json_close(json, ']');
	json_close(json, '}');
}

static void
json_list(struct json_out *json, const char *name,
    const struct health_list *list)
{
	json_open(json, name, '[');
	for (size_t i = 0; i < list->count; i++)
		json_text(json, NULL, slice_of_text(list->items[i]));
	json_close(json, ']');
}

static void
json_count(struct json_out *json, const char *name, size_t count, bool known)
{
	if (known)
		json_int(json, name, (int64_t)count);
	else
		json_none(json, name);
}

static void
json_head(const struct health_facts *facts, struct json_out *json)
{
	const struct metadata_response *metadata = facts->metadata;
	const struct topics_counts *counts = &facts->counts;

	if (facts->troubles.count == 0 && facts->unknown.count != 0)
		json_none(json, "healthy");
	else
		json_bool(json, "healthy", facts->troubles.count == 0);
	json_text(json, "clusterId", metadata->cluster_id);
	json_count(json, "controller", (size_t)metadata->controller_id,
	    metadata->controller_id >= 0);
	json_int(json, "topics", metadata->topics_count);
	json_count(json, "partitions", counts->partitions, true);
	json_count(json, "offlinePartitions", counts->unavailable, true);
	json_count(json, "underReplicatedPartitions",
	    counts->under_replicated, true);
	json_count(json, "underMinIsrPartitions", counts->under_min_isr,
	    facts->min_isr_why == NULL);
	json_count(json, "movingPartitions", facts->moving,
	    facts->moving_why == NULL);
	json_count(json, "changedPartitions", facts->churn.partitions, true);
	json_count(json, "changedIsrs", facts->churn.isrs, true);
	json_count(json, "changedLeaders", facts->churn.leaders, true);
	json_int(json, "changedInMs", facts->churn.ms);
}

void
health_json(const struct health_facts *facts, struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_head(facts, &json);
	json_open(&json, "brokers", '[');
	for (size_t i = 0; i < facts->broker_count; i++)
		json_broker(&facts->brokers[i], &json);
	json_close(&json, ']');
	json_list(&json, "troubles", &facts->troubles);
	json_list(&json, "notKnown", &facts->unknown);
	json_close(&json, '}');
	json_end(&json);
}
