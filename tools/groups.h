/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas groups: the command's parts, and what they share.
 *
 *	groups.c          options, and which part runs
 *	groups_ask.c      questions to brokers and to coordinators
 *	groups_list.c     --list
 *	groups_describe.c --describe
 *	groups_reset.c    --reset-offsets; groups_plan.c: from and into a file,
 *	                  groups_time.c: --to-datetime, --by-duration
 *	groups_delete.c   --delete, --delete-offsets
 *
 * What they print on standard output, and that a group which cannot be changed
 * is no failure of the command, is kafka-consumer-groups.sh's.
 */
#ifndef TOOLS_GROUPS_H
#define TOOLS_GROUPS_H

#include "tools/client.h"
#include "tools/tool.h"

struct groups {
	struct tool *tool;
	const struct args *args;
	struct client *client;
	bool json;
	struct buffer out;
};

/* A group that was asked for, or found. Texts live in the client's arena. */
struct group {
	struct slice id;
	struct slice type;  /* of its protocol; of --list */
	struct slice state; /* likewise */
	struct slice kind;  /* "classic"; likewise */
	/* Its coordinator, when it was asked. */
	int32_t coordinator;
	struct slice host;
	int32_t port;
};

struct group_list {
	struct group *items; /* ascending, each once */
	size_t count;
};

/* A partition and an offset of it; -1: none. */
struct group_offset {
	struct slice topic;
	int32_t partition;
	int64_t offset;
};

struct group_offsets {
	struct group_offset *items; /* by topic and partition, each once */
	size_t count;
};

/* --- groups_ask.c --------------------------------------------------------- */

/* What a state or a type may be in a filter; none: any. */
struct group_filter {
	struct slice *states;
	int32_t states_count;
	struct slice *types;
	int32_t types_count;
};

/* The consumer groups of all brokers. TOOL_OK, or said; to be freed by
 * group_list_fini() in any case. */
int groups_find(struct groups *g, const struct group_filter *filter,
    struct group_list *list);
/* Those of --group, or with --all-groups all of them. */
int groups_wanted(struct groups *g, struct group_list *list);
void group_list_fini(struct group_list *list);

/* A request to a group's coordinator, wherever it is by now. `error` takes the
 * group's error out of an answer. */
struct group_question {
	int api_key;
	const void *request;
	void *response;
	int (*error)(const void *response);
};

/* TOOL_OK: answered, *error is the group's; else said. */
int group_ask(struct groups *g, struct group *group,
    const struct group_question *question, int *error);
/* What the coordinator says of a group; one that there is not is "Dead".
 * TOOL_OK, or said. */
int group_describe(struct groups *g, struct group *group,
    const struct describe_groups_response_group **out);
/* All that it has committed. TOOL_OK, or said; group_offsets_fini() in any
 * case. */
int group_committed(struct groups *g, struct group *group,
    struct group_offsets *offsets);
/* The partitions of a member, none where nothing is assigned or its bytes are
 * not a consumer's; group_offsets_fini(). */
void group_assignment(struct groups *g, struct slice bytes,
    struct group_offsets *offsets);

void group_offsets_add(struct group_offsets *offsets, struct slice topic,
    int32_t partition, int64_t offset);
/* Sorts them; of those that are there more than once the first stays. */
void group_offsets_sort(struct group_offsets *offsets);
const struct group_offset *group_offsets_find(
    const struct group_offsets *offsets, struct slice topic,
    int32_t partition);
void group_offsets_fini(struct group_offsets *offsets);
/* How many from `first` on are of its topic. */
size_t group_offsets_same_topic(const struct group_offsets *offsets,
    size_t first);

/* The partitions of --topic, which may name "topic:0,1"; a topic that there is
 * not is told with partition -1. TOOL_OK, or said; group_offsets_fini() in any
 * case. */
int groups_topics(struct groups *g, struct group_offsets *offsets);

/* "org.apache.kafka.common.errors.GroupNotEmptyException: ...", and what can be
 * done. */
void group_error_text(int error, struct buffer *out);
/* The line of Kafka's tool for what could not be done to one group. */
void groups_print_error(struct groups *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- the actions: the exit status ----------------------------------------- */

int groups_list(struct groups *g);
int groups_describe(struct groups *g);
int groups_reset(struct groups *g);
int groups_delete(struct groups *g);
int groups_delete_offsets(struct groups *g);

/* --- groups_plan.c -------------------------------------------------------- */

struct plan_row {
	struct slice group;
	struct group_offset at;
};

struct plan {
	struct plan_row *rows;
	size_t count;
};

/* Lines of "topic,partition,offset" when `group` is not NULL and the first line
 * has no more, of "group,topic,partition,offset" else; texts may stand in
 * quotes. False: *why. plan_fini() in any case. */
bool plan_parse(struct slice text, const char *group, struct arena *arena,
    struct plan *plan, struct buffer *why);
void plan_fini(struct plan *plan);
/* One line; the group is left out when it is the null slice. */
void plan_put(struct slice group, const struct group_offset *at,
    struct buffer *out);

/* --- groups_time.c -------------------------------------------------------- */

/* "2024-08-20T15:47:54.073", UTC unless "Z", "+02" or "+02:00" follows; as
 * milliseconds since 1970. */
bool datetime_parse(struct slice text, int64_t *ms);
/* "P1DT2H3M4.5S" as java.time.Duration reads it. */
bool duration_parse(struct slice text, int64_t *ms);

#endif
