/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which topics a pattern names, as kafka-topics reads it: a regular expression
 * that the whole name matches; commas separate alternatives, blanks and quotes
 * around it do not count.  POSIX extended syntax, with what Java's has beside
 * it of use for names: \d and its like, escapes in classes, (?:...), lazy
 * quantifiers.  Anything else of Java's is refused.
 */
#ifndef TOOLS_TOPIC_FILTER_H
#define TOOLS_TOPIC_FILTER_H

#include <regex.h>
#include <stdbool.h>

#include "base/buffer.h"

struct topic_filter {
	bool all; /* without a pattern */
	bool exclude_internal;
	regex_t regex;
	struct buffer posix; /* its text, for who compiles it, too */
};

/* `pattern` NULL: all topics. False: *why. */
bool topic_filter_init(struct topic_filter *filter, const char *pattern,
    bool exclude_internal, struct buffer *why);
void topic_filter_fini(struct topic_filter *filter);
bool topic_filter_takes(const struct topic_filter *filter,
    struct slice topic);
#define TRANSACTIONS_TOPIC "__transaction_state"
/* That one and __consumer_offsets. */
bool topic_is_internal(struct slice topic);

#endif
