/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading, out of one queue of librdkafka: without a group all partitions, put
 * there by hand; in a group those that it assigns.
 */
#ifndef TOOLS_ASSIGN_H
#define TOOLS_ASSIGN_H

#include <librdkafka/rdkafka.h>

#include "tools/interrupt.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

struct assigned {
	rd_kafka_topic_t *topic;
	int32_t partition;
};

/* Borrows the consumer. */
struct assignment {
	rd_kafka_t *rk;
	bool joined;  /* a group */
	bool commits; /* it commits by itself */
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t **topics;
	size_t topic_count;
	struct assigned *partitions;
	size_t partition_count;
};

struct assign_wanted {
	const char *topic;                 /* NULL: those that match */
	const struct topic_filter *filter; /* without a topic */
	int64_t partition;                 /* -1: all */
	int64_t first_offset;              /* or one of RD_KAFKA_OFFSET_ */
	/* The consumer's options name a group; only the topics count then. */
	bool group;
	bool commits; /* enable.auto.commit */
};

/* Asks for the topics and starts to fetch, or subscribes.  TOOL_OK, or said;
 * assignment_fini() in any case, before the consumer's end. */
int assignment_init(struct assignment *assignment, const struct tool *tool,
    rd_kafka_t *rk, const struct assign_wanted *wanted,
    struct interrupt *interrupt);
/* A member leaves its group, after a last commit of what is stored. */
void assignment_fini(struct assignment *assignment, const struct tool *tool);
/* What a rebalance callback does last: takes or gives up the partitions. */
void assignment_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
    rd_kafka_topic_partition_list_t *partitions);

#endif
