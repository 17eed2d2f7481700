/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ZooKeeper holds in /config/brokers, as a layer of a config.  It may hold
 * more than can be set at run time, written by hand or by an older version;
 * Kafka passes over that, with a word.
 * Source: DynamicBrokerConfig, removeInvalidProps.
 */
#include <string.h>

#include "base/check.h"
#include "config/config_int.h"

/* Why a layer does not take the entry; NULL: it does. */
static const char *
dynamic_complaint(const struct option *option, bool cluster_wide)
{
	if (option->update == UPDATE_READ_ONLY)
		return ("without effect: it cannot be set at run time, set it "
		    "in the file");
	if (cluster_wide && option->update == UPDATE_PER_BROKER)
		return ("without effect: it cannot be set for all brokers, set "
		    "it for each");
	return (NULL);
}

bool
config_add_dynamic(struct config *config, enum config_source source,
    const struct config_map *map)
{
	struct config_map taken;
	bool good = true;

	CHECK_MAGIC(config, CONFIG_MAGIC);
	config_map_init(&taken);
	CONFIG_MAP_EACH(entry, map) {
		const struct option *option = option_find(entry->name);
		const char *complaint = option == NULL ? NULL :
		    dynamic_complaint(option,
			source == CONFIG_SOURCE_DYNAMIC_DEFAULT);

		if (complaint == NULL)
			good = config_map_set_text(&taken, entry->name,
			    entry->value) && good;
		else if (option->status == STATUS_SECURITY &&
		    !option_same(option, entry->value, option->fallback))
			config_say(config, FINDING_ERROR, entry->name,
			    "cannot be enforced: %s", option->why);
		else
			config_say(config, FINDING_WARN, entry->name, "%s",
			    complaint);
	}
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
