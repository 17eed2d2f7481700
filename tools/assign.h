/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading without a group: partitions assigned by hand, all of them into one
 * queue of librdkafka.
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
};

/* Asks for the topics and starts to fetch.  TOOL_OK, or said;
 * assignment_fini() in any case, before the consumer's end. */
int assignment_init(struct assignment *assignment, const struct tool *tool,
    rd_kafka_t *rk, const struct assign_wanted *wanted,
    struct interrupt *interrupt);
void assignment_fini(struct assignment *assignment);

#endif
