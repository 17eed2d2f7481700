/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas log-dirs` prints. */
#ifndef TOOLS_LOG_DIRS_H
#define TOOLS_LOG_DIRS_H

#include "wire/wire.h"

struct client;

struct log_dirs_answer {
	int32_t broker;
	bool refused; /* it answers, but not to whom asks */
	struct describe_log_dirs_response response;
};

/* Asks the broker that the answer names for all of its directories, again until
 * the client's deadline.  NULL, or why there is no answer, in the client's
 * arena. */
const char *log_dirs_ask(struct client *client,
    struct log_dirs_answer *answer);
/* The line that kafka-log-dirs prints, names in its order.  `topics`: only
 * these, "a,b"; empty: all.  With `more`, what Kafka's does not tell: sizes of
 * the file systems. */
void log_dirs_json(const struct log_dirs_answer *answers, size_t count,
    struct slice topics, bool more, struct buffer *out);

#endif
