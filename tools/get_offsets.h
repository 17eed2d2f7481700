/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas get-offsets` makes of its options, and how it asks. */
#ifndef TOOLS_GET_OFFSETS_H
#define TOOLS_GET_OFFSETS_H

#include "tools/leaders.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

/* Partitions from `first` up to, without, `end` of the topics that match. */
struct offsets_rule {
	struct topic_filter topics;
	int32_t first;
	int32_t end;
};

struct offsets_rules {
	struct offsets_rule *items;
	size_t count;
};

/* --topic-partitions, or --topic with --partitions.  False: *why.  In any case
 * offsets_rules_fini(). */
bool offsets_rules_init(struct offsets_rules *rules, const struct args *args,
    struct buffer *why);
void offsets_rules_fini(struct offsets_rules *rules);
bool offsets_rules_take(const struct offsets_rules *rules, struct slice topic,
    int32_t partition);

/* --time: milliseconds, or one of ListOffsets' negative ones. */
bool offsets_time(const char *text, int64_t *out);
enum { OFFSETS_LATEST = -1, OFFSETS_EARLIEST = -2 };

/* ListOffsets: for leaders_ask(). */
enum client_status offsets_ask(struct client *client, int32_t leader,
    struct leader_item *const *items, size_t count);

#endif
