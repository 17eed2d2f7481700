/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about partitions, each put to the partition's leader, again where a
 * leader moved or is missing, until the client's deadline.
 */
#ifndef TOOLS_LEADERS_H
#define TOOLS_LEADERS_H

#include "tools/client.h"
#include "tools/progress.h"

struct leader_item {
	struct slice topic;
	int32_t partition;
	int64_t asked; /* a timestamp or an offset */
	/* Set by the question. */
	int error; /* ERR_NONE: answered */
	int64_t offset;
	int64_t timestamp;
	int32_t leader_epoch;
	/* Why nobody answered, in the client's arena; NULL: see `error`. */
	const char *why;
	/* leaders_ask's own. */
	int32_t leader;
	int unknown; /* how often nobody knew the partition */
	bool open;
};

/* One request to one leader about these of its partitions, by topic: sets error
 * and answer of each. What it leaves alone is ERR_UNKNOWN_SERVER_ERROR. */
typedef enum client_status leaders_question(struct client *client,
    int32_t leader, struct leader_item *const *items, size_t count);

/* `progress`, which has begun, is told how many are answered; may be NULL. */
void leaders_ask(struct client *client, struct leader_item *items,
    size_t count, leaders_question *question, struct progress *progress);
/* "a-0", as Kafka names a partition. */
void leader_item_name(const struct leader_item *item, struct buffer *out);
/* Why there is no answer, and what to do. */
void leader_item_error(const struct leader_item *item, struct buffer *out);
/* How many items from the first on are of its topic. */
size_t leaders_same_topic(struct leader_item *const *items, size_t count);
/* Where the answer for that partition goes; NULL: it was not asked for. */
struct leader_item *leaders_find(struct leader_item *const *items,
    size_t count, struct slice topic, int32_t partition);

#endif
