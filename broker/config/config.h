/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a broker.
 *
 *	config_new
 *	config_read       the file's text          -> static layer
 *	config_override   --override key=value     -> static layer
 *	config_set_layer  from /config/brokers     -> dynamic layers
 *	config_resolve    values, what follows from them, and all checks
 *	config_options    to be handed to the rooms, struct by struct
 *
 * What is wrong, or deserves a word, is kept as findings; with an error among
 * them the daemon does not start.  Immutable once resolved, and counted.
 *
 * A change at run time is a clone with another dynamic layer, resolved anew; if
 * that has errors the one before stays.  How rooms come by the next one, and
 * how long they may keep a pointer into the one before, is live.h's business.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"
#include "config/listener.h"
#include "config/map.h"
#include "config/options.h"
#include "config/topic.h"

struct config;

/* Kafka's codes of where a value comes from, as DescribeConfigs has them. */
enum config_source {
	CONFIG_SOURCE_TOPIC = 1,
	CONFIG_SOURCE_DYNAMIC_BROKER = 2,
	CONFIG_SOURCE_DYNAMIC_DEFAULT = 3,
	CONFIG_SOURCE_STATIC = 4,
	CONFIG_SOURCE_DEFAULT = 5
};

struct config *config_new(void);
/* Drops a reference, as config_unref() does. */
void config_free(struct config **config);
/* Counted, to be kept as long as it takes; config_new() and config_clone() make
 * the first reference. Once resolved; any thread. */
const struct config *config_ref(const struct config *config);
/* NULL will do. */
void config_unref(const struct config *config);
/* Another one with the same layers, not resolved. */
struct config *config_clone(const struct config *config);

/* A properties file's text.  False: a finding says where it went wrong. */
bool config_read(struct config *config, struct slice text);
/* "name=value", stronger than what was read. */
bool config_override(struct config *config, const char *assignment);
/* One of the two dynamic sources, whole; the map is copied. */
bool config_set_layer(struct config *config, enum config_source source,
    const struct config_map *map);
/*
 * The same of what ZooKeeper holds: what cannot be set there, and what is not
 * of the option's form, stays out, with a finding.  What this version must not
 * pass over (security) is an error for a start; a broker that runs goes on
 * without it.  False: it does not fit.
 */
enum config_moment { CONFIG_START, CONFIG_RUNNING };
bool config_add_dynamic(struct config *config, enum config_source source,
    const struct config_map *map, enum config_moment moment);
/* Whether that dynamic source holds just this, but for blanks at the ends. */
bool config_layer_is(const struct config *config, enum config_source source,
    const struct config_map *map);
/* What it holds. */
const struct config_map *config_layer(const struct config *config,
    enum config_source source);
/* Whether one of the two dynamic sources has the name. */
bool config_is_dynamic(const struct config *config, const char *name);
/* False: at least one finding is an error. Once. */
bool config_resolve(struct config *config);
const struct broker_options *config_options(const struct config *config);

/* --- findings ------------------------------------------------------------- */

enum finding_severity { FINDING_INFO, FINDING_WARN, FINDING_ERROR };

struct finding {
	enum finding_severity severity;
	const char *subject; /* an option's name; "" for the file itself */
	int line;            /* 0: not from the file */
	const char *message; /* what is wrong and what to do */
};

size_t config_finding_count(const struct config *config);
const struct finding *config_finding_at(const struct config *config,
    size_t index);
/* "INFO", "WARN", "ERROR" */
const char *finding_severity_name(enum finding_severity severity);

/* --- for DescribeConfigs -------------------------------------------------- */

/* A topic's own value, and all names of a broker's value in all its sources. */
#define CONFIG_SYNONYMS_MAX (1 + OPTION_NAMES_MAX * 4)

struct config_synonym {
	const char *name;
	const char *value; /* NULL: sensitive */
	enum config_source source;
};

struct config_value {
	const char *name;
	const struct option *option; /* NULL: nobody knows the name */
	const char *value; /* as it stands; NULL: null, or sensitive */
	enum config_source source;
	bool read_only;
	bool sensitive;
	bool as_set; /* shown as it stands, not as it was read */
	struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
	size_t synonym_count;
	char number[OPTION_NUMBER_SIZE]; /* what `value` may point at */
};

/* The text that stands for a name in the strongest layer; NULL: none does. */
const char *config_text(const struct config *config, const char *name);
/* The names that a broker has values for: all options, and whatever is set; or
 * only what is set for all brokers. From the arena; NULL: it refused. */
const char **config_names(const struct config *config, bool defaults_only,
    struct arena *arena, size_t *count);
/* `option` is one of option_at(). Texts are the config's. */
void config_describe(const struct config *config, const struct option *option,
    struct config_value *out);
/* One of config_names(). */
void config_describe_name(const struct config *config, const char *name,
    struct config_value *out);
/* As the dynamic defaults of all brokers have it, alone. */
void config_describe_default(const struct config *config, const char *name,
    struct config_value *out);
/* `option` is one of topic_option_at(); overrides may be NULL. */
void config_describe_topic(const struct config *config,
    const struct config_map *overrides, const struct option *option,
    struct config_value *out);
/* One of its overrides that no row has. */
void config_describe_stranger(const struct config_entry *override,
    struct config_value *out);
/* The value as it is shown: numbers, flags and lists as they were read; from
 * the arena.  NULL: it refused, or the value is NULL. */
const char *config_value_text(const struct config_value *value,
    struct arena *arena);

#endif
