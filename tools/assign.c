/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tools/assign.h"
#include "tools/console.h"

#define METADATA_MS 60000
#define TURN_MS 1000

static bool
topic_wanted(const struct assign_wanted *wanted, const char *name)
{
	return (wanted->topic != NULL
		? strcmp(wanted->topic, name) == 0
		: topic_filter_takes(wanted->filter, slice_of_text(name)));
}

static int
topic_assign(struct assignment *a, const struct tool *tool,
    const struct assign_wanted *wanted,
    const rd_kafka_metadata_topic_t *facts)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(a->rk, facts->topic,
	    NULL);
	bool found = false;

	a->topics[a->topic_count++] = topic;
	for (int i = 0; i < facts->partition_cnt; i++) {
		const int32_t partition = facts->partitions[i].id;

		if (wanted->partition != -1 && partition != wanted->partition)
			continue;
		found = true;
		if (rd_kafka_consume_start_queue(topic, partition,
			wanted->first_offset, a->queue) != 0)
			return (tool_fail(tool, "%s/%d: %s", facts->topic,
			    partition, console_error(rd_kafka_last_error())));
		a->partitions[a->partition_count].topic = topic;
		a->partitions[a->partition_count++].partition = partition;
	}
	if (wanted->partition != -1 && !found)
		return (tool_fail(tool,
		    "topic '%s' has no partition %" PRId64 ", but 0 to %d",
		    facts->topic, wanted->partition,
		    facts->partition_cnt - 1));
	return (TOOL_OK);
}

static int
topics_assign(struct assignment *a, const struct tool *tool,
    const struct assign_wanted *wanted, const rd_kafka_metadata_t *metadata)
{
	size_t partitions = 0;
	int status = TOOL_OK;

	for (int i = 0; i < metadata->topic_cnt; i++)
		partitions += (size_t)metadata->topics[i].partition_cnt;
	a->topics = mem_zalloc(
	    ((size_t)metadata->topic_cnt + 1) * sizeof(*a->topics));
	a->partitions = mem_zalloc((partitions + 1) * sizeof(*a->partitions));
	for (int i = 0; status == TOOL_OK && i < metadata->topic_cnt; i++) {
		const rd_kafka_metadata_topic_t *facts = &metadata->topics[i];

		if (!topic_wanted(wanted, facts->topic))
			continue;
		if (facts->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			status = tool_fail(tool, "topic '%s': %s%s",
			    facts->topic, console_error(facts->err),
			    console_advice(facts->err));
		else
			status = topic_assign(a, tool, wanted, facts);
	}
	if (status == TOOL_OK && a->partition_count == 0)
		status = tool_fail(tool,
		    "no topic is there to read; barnabas topics --list shows "
		    "the topics");
	return (status);
}

static int
assignment_take(struct assignment *a, const struct tool *tool, rd_kafka_t *rk,
    const struct assign_wanted *wanted, struct interrupt *interrupt)
{
	const struct rd_kafka_metadata *metadata = NULL;
	const int64_t limit_ms =
	    clock_mono_ms(clock_system()) + METADATA_MS;
	rd_kafka_topic_t *topic = wanted->topic == NULL
	    ? NULL
	    : rd_kafka_topic_new(rk, wanted->topic, NULL);
	rd_kafka_resp_err_t error;
	int status;

	*a = (struct assignment) { .rk = rk };
	a->queue = rd_kafka_queue_new(rk);
	/* In short turns, for the signals' sake. */
	do {
		error = rd_kafka_metadata(rk, topic == NULL, topic, &metadata,
		    TURN_MS);
		rd_kafka_poll(rk, 0);
	} while ((error == RD_KAFKA_RESP_ERR__TRANSPORT ||
		     error == RD_KAFKA_RESP_ERR__TIMED_OUT) &&
	    clock_mono_ms(clock_system()) < limit_ms &&
	    !interrupt_came(interrupt));
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return (tool_fail(tool, "the brokers do not tell of the "
					"topic: %s%s",
		    console_error(error), console_advice(error)));
	status = topics_assign(a, tool, wanted, metadata);
	rd_kafka_metadata_destroy(metadata);
	return (status);
}

/* --- in a group ----------------------------------------------------------- */

static int
assignment_join(struct assignment *a, const struct tool *tool, rd_kafka_t *rk,
    const struct assign_wanted *wanted)
{
	rd_kafka_topic_partition_list_t *topics =
	    rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t error;

	*a = (struct assignment) { .rk = rk, .joined = true,
		.commits = wanted->commits };
	a->queue = rd_kafka_queue_get_consumer(rk);
	/* What begins with ^ is a pattern. */
	rd_kafka_topic_partition_list_add(topics, wanted->topic != NULL
		? wanted->topic
		: (const char *)wanted->filter->posix.data,
	    RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		return (TOOL_OK);
	return (tool_fail(tool, "the group cannot be joined: %s%s",
	    console_error(error), console_advice(error)));
}

void
assignment_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
    rd_kafka_topic_partition_list_t *partitions)
{
	const bool some =
	    strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;

	if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && some)
		rd_kafka_error_destroy(
		    rd_kafka_incremental_assign(rk, partitions));
	else if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		(void)rd_kafka_assign(rk, partitions);
	else if (some)
		rd_kafka_error_destroy(
		    rd_kafka_incremental_unassign(rk, partitions));
	else
		(void)rd_kafka_assign(rk, NULL);
}

static void
assignment_leave(struct assignment *a, const struct tool *tool)
{
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__NO_OFFSET;

	if (a->commits)
		error = rd_kafka_commit(a->rk, NULL, 0);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR &&
	    error != RD_KAFKA_RESP_ERR__NO_OFFSET)
		tool_warn(tool,
		    "the group's offsets could not be committed: %s; the next "
		    "member will read some records again",
		    console_error(error));
	(void)rd_kafka_consumer_close(a->rk);
}

/* --- both ----------------------------------------------------------------- */

int
assignment_init(struct assignment *a, const struct tool *tool, rd_kafka_t *rk,
    const struct assign_wanted *wanted, struct interrupt *interrupt)
{
	return (wanted->group
		? assignment_join(a, tool, rk, wanted)
		: assignment_take(a, tool, rk, wanted, interrupt));
}

void
assignment_fini(struct assignment *a, const struct tool *tool)
{
	if (a->joined)
		assignment_leave(a, tool);
	for (size_t i = 0; i < a->partition_count; i++)
		rd_kafka_consume_stop(a->partitions[i].topic,
		    a->partitions[i].partition);
	if (a->queue != NULL)
		rd_kafka_queue_destroy(a->queue);
	for (size_t i = 0; i < a->topic_count; i++)
		rd_kafka_topic_destroy(a->topics[i]);
	mem_free(a->topics);
	mem_free(a->partitions);
}
