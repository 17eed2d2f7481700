/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ZooKeeper holds in /config/brokers, as a layer of a config.  It may hold
 * more than can be set at run time, written by hand or by an older version;
 * Kafka passes over that, with a word, and over values that are not of their
 * option's form.
 * Source: DynamicBrokerConfig, fromPersistentProps and removeInvalidConfigs.
 */
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "config/config_int.h"

/* SslConfigs.RECONFIGURABLE_CONFIGS */
bool
config_is_a_listeners(const char *name)
{
	static const char *const names[] = { "ssl.keystore.type",
		"ssl.keystore.location", "ssl.keystore.password",
		"ssl.key.password", "ssl.truststore.type",
		"ssl.truststore.location", "ssl.truststore.password",
		"ssl.keystore.certificate.chain", "ssl.keystore.key",
		"ssl.truststore.certificates" };

	for (size_t i = 0; i < nelems(names); i++)
		if (strcmp(names[i], name) == 0)
			return (true);
	return (false);
}

/* What counts for a listener may be said of one for all brokers, if it may of
 * all listeners. */
static bool
is_cluster_wide(const struct option *option)
{
	return (option->update == UPDATE_CLUSTER_WIDE);
}

/* Why a layer does not take the entry; NULL: it does. */
static const char *
dynamic_complaint(const struct option *option, bool scoped, bool cluster_wide)
{
	if (!scoped && option->update == UPDATE_READ_ONLY)
		return ("without effect: it cannot be set at run time, set it "
		    "in the file");
	if (!scoped && config_is_a_listeners(option->name))
		return ("without effect: it can be set at run time for one "
		    "listener only, as listener.name.NAME. and its name");
	if (cluster_wide && !is_cluster_wide(option))
		return ("without effect: it cannot be set for all brokers, set "
		    "it for each");
	return (NULL);
}

/* In ZooKeeper a secret is encoded: its form says nothing of it. */
static bool
is_of_its_form(const struct option *option, const char *value,
    char error[OPTION_ERROR_SIZE])
{
	union {
		int64_t number;
		double real;
		const char *text;
	} field;

	return (option->type == OPTION_PASSWORD ||
	    option_parse(option, value, &field, error));
}

/* True: it may not be passed over, or not be followed. */
static bool
is_refused(const struct option *option, const char *value)
{
	return ((option->status == STATUS_REFUSED ||
		    option->status == STATUS_SECURITY) &&
	    !option_within(option, value, option->fallback));
}

/* Whether the layer takes the entry; if not, a finding says why. */
static bool
dynamic_takes(struct config *config, const struct config_entry *entry,
    bool cluster_wide, enum config_moment moment)
{
	const struct option *option = option_find(entry->name);
	const bool scoped = option == NULL;
	char error[OPTION_ERROR_SIZE];
	const char *complaint;

	if (scoped)
		option = config_scoped_option(entry->name, NULL);
	if (option == NULL)
		return (true); /* kept, as Kafka keeps it */
	complaint = dynamic_complaint(option, scoped, cluster_wide);
	if (is_refused(option, entry->value) &&
	    (moment == CONFIG_RUNNING || option->status == STATUS_SECURITY))
		config_say(config, moment == CONFIG_RUNNING ? FINDING_WARN :
		    FINDING_ERROR, entry->name, "cannot be %s: %s",
		    option->status == STATUS_SECURITY ? "enforced" :
		    "followed, what counted before does", option->why);
	else if (complaint != NULL)
		config_say(config, FINDING_WARN, entry->name, "%s", complaint);
	else if (!is_of_its_form(option, entry->value, error))
		config_say(config, FINDING_WARN, entry->name,
		    "without effect: %s", error);
	else
		return (true);
	return (false);
}

bool
config_add_dynamic(struct config *config, enum config_source source,
    const struct config_map *map, enum config_moment moment)
{
	struct config_map taken;
	bool good = true;

	CHECK_MAGIC(config, CONFIG_MAGIC);
	config_map_init(&taken);
	CONFIG_MAP_EACH(entry, map)
		if (dynamic_takes(config, entry,
			source == CONFIG_SOURCE_DYNAMIC_DEFAULT, moment))
			good = config_map_put(&taken,
			    slice_of_text(entry->name),
			    slice_of_text(entry->value), 0) && good;
	good = config_set_layer(config, source, &taken) && good;
	config_map_fini(&taken);
	return (good);
}

bool
config_is_dynamic(const struct config *config, const char *name)
{
	return (config_map_find(&config->layers[LAYER_DYNAMIC_BROKER], name) !=
		NULL ||
	    config_map_find(&config->layers[LAYER_DYNAMIC_DEFAULT], name) !=
		NULL);
}

const struct config_map *
config_layer(const struct config *config, enum config_source source)
{
	CHECK(source == CONFIG_SOURCE_DYNAMIC_BROKER ||
	    source == CONFIG_SOURCE_DYNAMIC_DEFAULT);
	return (&config->layers[source == CONFIG_SOURCE_DYNAMIC_DEFAULT ?
	    LAYER_DYNAMIC_DEFAULT : LAYER_DYNAMIC_BROKER]);
}

bool
config_layer_is(const struct config *config, enum config_source source,
    const struct config_map *map)
{
	const struct config_map *layer = config_layer(config, source);

	if (config_map_count(layer) != config_map_count(map))
		return (false);
	CONFIG_MAP_EACH(entry, map) {
		const char *now = config_map_get(layer, entry->name);

		if (now == NULL || !slice_equal(text_trim(slice_of_text(now)),
			text_trim(slice_of_text(entry->value))))
			return (false);
	}
	return (true);
}
