/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of barnabas(1): one row each in main.c, one file each with its
 * row and options first.  A command writes its results to `out` and its
 * troubles to `err`, and answers the exit status.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include <stdio.h>

#include "tools/args.h"

/* Kafka's scripts end with 1 for both; commands of ours may differ. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 1 };

struct tool;

struct command {
	const char *name;       /* "topics" */
	const char *kafka_name; /* "kafka-topics.sh"; NULL: Kafka has none */
	const char *summary;
	const struct arg_row *rows;
	int (*run)(struct tool *tool, const struct args *args);
	int usage_status; /* 0: TOOL_USAGE */
};

extern const struct command command_topics;
extern const struct command command_dump_log;
extern const struct command command_produce;
extern const struct command command_consume;
extern const struct command command_perf_produce;
extern const struct command command_perf_consume;
extern const struct command command_get_offsets;
extern const struct command command_delete_records;
extern const struct command command_log_dirs;
extern const struct command command_groups;
extern const struct command command_configs;
extern const struct command command_leader_election;
extern const struct command command_reassign_partitions;
extern const struct command command_broker_api_versions;
extern const struct command command_cluster;
extern const struct command command_check;
extern const struct command command_completion;

/* Every command in the order of the help; NULL after the last. */
const struct command *command_at(size_t index);

struct tool {
	const struct command *command;
	FILE *in;
	FILE *out;
	FILE *err;
	bool terminal; /* `err` is one */
	bool out_terminal; /* `out` is one, likely the same */
	bool progress; /* --progress */
};

/* Says "barnabas topics: ..." and answers TOOL_FAILED. */
int tool_fail(const struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, with where to look for help; answers TOOL_USAGE, or what the
 * command has in its stead. */
int tool_usage(const struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same as tool_fail, without an end of the command. */
void tool_warn(const struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes a buffer to `out` and empties it. */
void tool_print(const struct tool *tool, struct buffer *text);

/* Chooses the command by argv[0] or argv[1], and runs it. */
int tool_main(struct tool *tool, int argc, char *const argv[]);

#endif
