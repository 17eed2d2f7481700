/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two consoles share: librdkafka's configuration made of Kafka's
 * names, properties from options and files, and errors in Kafka's words.
 */
#ifndef TOOLS_CONSOLE_H
#define TOOLS_CONSOLE_H

#include <librdkafka/rdkafka.h>

#include "config/map.h"
#include "tools/tool.h"

/* An option that stands for a property: it wins over the file when it is given,
 * its fallback counts when nothing else does. */
struct console_row {
	const char *option;
	const char *property;
};

/* The file that option `file` names, then each name=value of option `many`.
 * TOOL_OK, or said. */
int console_properties(const struct tool *tool, const struct args *args,
    const char *file, const char *many, struct config_map *map);
void console_merge(const struct args *args, const struct console_row *rows,
    size_t count, struct config_map *map);

/* Properties whose blanks count (separators): those of an option, the last one
 * first, then those of a file. */
struct console_texts {
	const struct args *args;
	const char *option;
	struct config_map file;
};
/* TOOL_OK, or said; console_texts_fini() in any case. */
int console_texts_init(struct console_texts *texts, const struct tool *tool,
    const struct args *args, const char *option, const char *file);
void console_texts_fini(struct console_texts *texts);
/* NULL: not there. */
const char *console_text(const struct console_texts *texts,
    const char *name);
/* The fallback also for an empty one. */
struct slice console_text_or(const struct console_texts *texts,
    const char *name, const char *fallback);
/* True for "true" in any case. */
bool console_flag(const struct console_texts *texts, const char *name,
    bool fallback);

/* As Kafka's producer: idempotent where `acks` is all, unless retries forbid
 * it; what is set already stays. */
void console_producer_defaults(struct config_map *map);
/* Sets what Kafka's ssl.* mean; console_conf() does. TOOL_OK, or said. */
int console_tls(const struct tool *tool, const struct config_map *map,
    rd_kafka_conf_t *conf);
/* NULL: said; *status is the exit status. */
rd_kafka_conf_t *console_conf(const struct tool *tool,
    const struct config_map *map, int *status);
/* --group, where it is given, as group.id. *group: there is one. TOOL_OK, or
 * said. */
int console_group(const struct tool *tool, const struct args *args,
    struct config_map *map, bool *group);
/* "host:port,...", from whichever option names it; NULL: said. */
const char *console_bootstrap(const struct tool *tool,
    const struct args *args, const char *other);

/* For librdkafka's error callback: says what no record's own error tells, each
 * kind of it once. */
struct console_said {
	bool down;
	bool untrusted;
};
void console_trouble(const struct tool *tool, rd_kafka_t *rk, int error,
    const char *reason, struct console_said *said);

/* "NOT_ENOUGH_REPLICAS", or librdkafka's own words for its own errors. */
const char *console_error(rd_kafka_resp_err_t error);
/* What can be done, or "". */
const char *console_advice(rd_kafka_resp_err_t error);

#endif
