/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `barnabas topics` share. */
#ifndef TOOLS_TOPICS_H
#define TOOLS_TOPICS_H

#include "tools/client.h"
#include "tools/tool.h"

/* What a description is made of; NULL where it was not asked for. */
struct topics_facts {
	const struct metadata_response *metadata;
	const struct describe_configs_response *configs; /* of all topics */
	/* NULL too when the brokers do not tell. */
	const struct list_partition_reassignments_response *moves;
};

/* Which partitions are shown. */
struct topics_wanted {
	bool under_replicated;
	bool unavailable;
	bool under_min_isr;
	bool at_min_isr;
	bool with_overrides; /* topics that have configs of their own, alone */
};

/* The topics, in this order, as kafka-topics prints them or as JSON. */
void topics_describe_text(const struct topics_facts *facts,
    const struct topics_wanted *wanted,
    const struct metadata_response_topic *const *topics, size_t count,
    struct buffer *out);
void topics_describe_json(const struct topics_facts *facts,
    const struct topics_wanted *wanted,
    const struct metadata_response_topic *const *topics, size_t count,
    struct buffer *out);

/* --create: the request from the options. TOOL_OK, or said. */
int topics_create_request(struct tool *tool, const struct args *args,
    struct arena *arena, struct create_topics_request *request);
int topics_create(struct tool *tool, const struct args *args,
    struct client *client);
int topics_list(struct tool *tool, const struct args *args,
    struct client *client);
int topics_describe(struct tool *tool, const struct args *args,
    struct client *client);

#endif
