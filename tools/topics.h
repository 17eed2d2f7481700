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

/* How many partitions there are, and how many --describe would show. */
struct topics_counts {
	size_t partitions;
	size_t under_replicated;
	size_t unavailable;
	size_t under_min_isr; /* without those that are unavailable */
	struct topics_ill *ill; /* that are any of these; by topic, number */
	size_t ill_count;
};

/* A partition; its name lives as long as the metadata. */
struct topics_ill {
	struct slice topic;
	int32_t partition;
};

/* `before` may be NULL; else only what was ill then is told to be ill.
 * topics_counts_fini() in any case. */
void topics_count(const struct topics_facts *facts,
    const struct metadata_response_topic *const *topics, size_t count,
    const struct topics_counts *before, struct topics_counts *out);
void topics_counts_fini(struct topics_counts *counts);
/* The options of these topics, which are not none; `only` that one, null: all.
 * NULL, or why there is no answer, in the client's arena. */
const char *topics_ask_configs(struct client *client,
    const struct metadata_response_topic *const *topics, size_t count,
    struct slice only, struct describe_configs_response *response);

/* Topics of one metadata answer, by name. */
struct topics_chosen {
	struct metadata_response metadata;
	const struct metadata_response_topic **items;
	size_t count;
};

/* Those that --topic and --exclude-internal name; with `id` not NULL, the one
 * that has it.  TOOL_OK, or said; topics_chosen_fini() in any case. */
int topics_choose(const struct tool *tool, const struct args *args,
    struct client *client, const struct uuid *id, struct topics_chosen *out);
void topics_chosen_fini(struct topics_chosen *chosen);
/* Says that --topic names none. */
int topics_missing(const struct tool *tool, const struct args *args);

/* --replica-assignment: the brokers of each partition from 0 on. */
struct topics_replicas {
	int32_t *ids;
	int32_t count;
};

struct topics_assignment {
	struct topics_replicas *partitions;
	size_t count;
};

/* TOOL_OK, or said. Lives in the arena. */
int topics_assignment_parse(const struct tool *tool, const char *text,
    struct arena *arena, struct topics_assignment *out);

/* What to do about an error of CreateTopics and its siblings. */
const char *topics_advice(int error);

/* --create: the request from the options. TOOL_OK, or said. */
int topics_create_request(struct tool *tool, const struct args *args,
    struct arena *arena, struct create_topics_request *request);
int topics_create(struct tool *tool, const struct args *args,
    struct client *client);
int topics_list(struct tool *tool, const struct args *args,
    struct client *client);
int topics_describe(struct tool *tool, const struct args *args,
    struct client *client);
/* --alter: the request that brings these topics to --partitions. */
int topics_alter_request(struct tool *tool, const struct args *args,
    const struct topics_chosen *chosen, struct arena *arena,
    struct create_partitions_request *request);
int topics_alter(struct tool *tool, const struct args *args,
    struct client *client);
int topics_delete(struct tool *tool, const struct args *args,
    struct client *client);

#endif
