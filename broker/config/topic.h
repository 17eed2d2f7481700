/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topic's options: what its overrides in ZooKeeper say, and for the rest what
 * the broker's options say.  The rows are topic_options.def.  Texts are
 * borrowed from the map and from the broker's options: both must outlive them.
 */
#ifndef CONFIG_TOPIC_H
#define CONFIG_TOPIC_H

#include "config/map.h"
#include "config/options.h"

enum cleanup_policy { CLEANUP_DELETE = 1, CLEANUP_COMPACT = 2 };

struct topic_options {
#define TOPIC_OPTION(field, name, type, ...) OPTION_CTYPE_##type field;
#include "config/topic_options.def"
#undef TOPIC_OPTION
	/* Worked out of the texts. */
	unsigned cleanup;     /* of enum cleanup_policy, or'ed; may be 0 */
	bool log_append_time; /* message.timestamp.type */
	int codec;       /* compression.type, as batches number codecs; -1: the
			  * producer's */
	int codec_level; /* of that codec; 0 where it has none */
};

/* For a topic of the broker's own any policy is taken, whatever this version
 * refuses of others': none, at present. */
enum topic_owner { TOPIC_OF_USER, TOPIC_INTERNAL };

size_t topic_option_count(void);
const struct option *topic_option_at(size_t index);
const struct option *topic_option_find(const char *name);

/* One override as a client sets it: NULL or not of that form, out of its range,
 * without effect in this version: false, and a message for INVALID_CONFIG. */
bool topic_option_check(enum topic_owner owner, const char *name,
    const char *value, char error[OPTION_ERROR_SIZE]);
/* All overrides of one topic, each alone and together.  Kafka says more of a
 * value than of the rest. */
enum topic_fault {
	TOPIC_FAULT_NONE,
	TOPIC_FAULT_NAME,
	TOPIC_FAULT_VALUE,
	TOPIC_FAULT_RULE
};
enum topic_fault topic_options_judge(const struct broker_options *broker,
    enum topic_owner owner, const struct config_map *overrides,
    char error[OPTION_ERROR_SIZE]);
/* The same: false, where there is a fault. */
bool topic_options_check(const struct broker_options *broker,
    enum topic_owner owner, const struct config_map *overrides,
    char error[OPTION_ERROR_SIZE]);
/* What counts for a topic that exists; overrides NULL: none.  It never fails,
 * as Kafka or a later version may have written what is there: an override that
 * cannot be read gives way to the broker's option. */
void topic_options_resolve(const struct broker_options *broker,
    const struct config_map *overrides, struct topic_options *out);

#endif
