/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share about a config. */
#ifndef CONFIG_CONFIG_INT_H
#define CONFIG_CONFIG_INT_H

#include <stdatomic.h>

#include "config/config.h"

#define CONFIG_MAGIC 0x636f6e66u

/* Strongest first; the defaults are in the rows. */
enum config_layer {
	LAYER_DYNAMIC_BROKER,
	LAYER_DYNAMIC_DEFAULT,
	LAYER_STATIC,
	LAYER_COUNT
};

struct config {
	uint32_t magic;
	atomic_uint references;
	bool resolved;
	struct config_map layers[LAYER_COUNT];
	struct arena arena; /* listeners, lists, messages */
	struct finding *findings;
	size_t finding_count;
	size_t finding_capacity;
	size_t error_count;
	struct broker_options options;
};

void config_say(struct config *config, enum finding_severity severity,
    const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The entry of the strongest layer that has the name. */
const struct config_entry *config_entry(const struct config *config,
    const char *name);
/* Memory of the config; a refusal would be our own mistake in the bounds. */
void *config_array(struct config *config, size_t count, size_t size);

/* config_listeners.c: fills the derived fields of net. */
void config_resolve_listeners(struct config *config);
/* security.c: what is set of a listener alone, its option's name behind
 * "listener.name.l."; NULL: nothing. */
const char *config_scoped_text(const struct config *config,
    const char *listener, const char *option);
/* The same into *field, which stays where nothing is set; a finding says what
 * is not of the option's form. */
void config_scoped_parse(struct config *config, const char *listener,
    const struct option *option, void *field);
/* What ssl.* says of one listener; memory is the config's. */
const struct security_options *config_security_of(struct config *config,
    const char *listener);
/* config_check.c: what must hold between options; and the rows' statuses. */
void config_check_rules(struct config *config);
void config_check_statuses(struct config *config);
void config_check_unknown(struct config *config);
/* The row that listener.name.L.option or listener.name.L.mechanism.option falls
 * under, NULL: none; *listener, unless NULL, becomes L. */
const struct option *config_scoped_option(const char *name,
    struct slice *listener);

/* dynamic.c: each listener has its own, when it is set at run time. */
bool config_is_a_listeners(const char *name);

#endif
