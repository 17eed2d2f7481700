/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DescribeConfigs tells of one option: its value, the source that it came
 * from, and every other source that holds one, the strongest first.  With
 * several names for one value, each source is asked for all names in turn.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "config/config_int.h"

static const enum config_source layer_sources[LAYER_COUNT] = {
	[LAYER_DYNAMIC_BROKER] = CONFIG_SOURCE_DYNAMIC_BROKER,
	[LAYER_DYNAMIC_DEFAULT] = CONFIG_SOURCE_DYNAMIC_DEFAULT,
	[LAYER_STATIC] = CONFIG_SOURCE_STATIC,
};

static void
add_synonym(struct config_value *out, const char *name, const char *value,
    enum config_source source)
{
	CHECK(out->synonym_count < CONFIG_SYNONYMS_MAX);
	out->synonyms[out->synonym_count++] = (struct config_synonym){
		.name = name,
		.value = out->sensitive ? NULL : value,
		.source = source,
	};
}

/* All sources of a broker's option, under all its names. */
static void
add_broker_synonyms(const struct config *config, const char *name,
    struct config_value *out)
{
	const char *names[OPTION_NAMES_MAX];
	size_t count = option_names_of(name, names);

	for (int layer = 0; layer < LAYER_COUNT; layer++)
		for (size_t i = 0; i < count; i++) {
			const char *value =
			    config_map_get(&config->layers[layer], names[i]);

			if (value != NULL)
				add_synonym(out, names[i], value,
				    layer_sources[layer]);
		}
	for (size_t i = 0; i < count; i++) {
		const struct option *option = option_find(names[i]);

		CHECK(option != NULL);
		if (option->fallback != NULL)
			add_synonym(out, names[i], option->fallback,
			    CONFIG_SOURCE_DEFAULT);
	}
}

/* Those before the first of its own name are other names', left out as Kafka
 * 3.9 leaves them out (its dropWhile). */
static void
drop_stronger_names(struct config_value *out, size_t from, const char *name)
{
	size_t first = from;

	while (first < out->synonym_count &&
	    strcmp(out->synonyms[first].name, name) != 0)
		first++;
	memmove(&out->synonyms[from], &out->synonyms[first],
	    (out->synonym_count - first) * sizeof(out->synonyms[0]));
	out->synonym_count -= first - from;
}

static void
describe_source(struct config_value *out)
{
	out->source = out->synonym_count > 0 ? out->synonyms[0].source
					     : CONFIG_SOURCE_DEFAULT;
}

void
config_describe(const struct config *config, const struct option *option,
    struct config_value *out)
{
	const char *text;

	CHECK_MAGIC(config, CONFIG_MAGIC);
	*out = (struct config_value){ .option = option,
		.read_only = option->update == UPDATE_READ_ONLY,
		.sensitive = option->type == OPTION_PASSWORD };
	text = config_text(config, option->name);
	if (text == NULL)
		text = option->fallback;
	out->value = out->sensitive ? NULL : text;
	add_broker_synonyms(config, option->name, out);
	drop_stronger_names(out, 0, option->name);
	describe_source(out);
}

bool
config_describe_default(const struct config *config,
    const struct option *option, struct config_value *out)
{
	const char *text = config_map_get(
	    &config->layers[LAYER_DYNAMIC_DEFAULT], option->name);
	size_t kept = 0;

	if (text == NULL)
		return (false);
	config_describe(config, option, out);
	out->value = out->sensitive ? NULL : text;
	for (size_t i = 0; i < out->synonym_count; i++)
		if (out->synonyms[i].source == CONFIG_SOURCE_DYNAMIC_DEFAULT)
			out->synonyms[kept++] = out->synonyms[i];
	out->synonym_count = kept;
	describe_source(out);
	return (true);
}

/* Hours become milliseconds here, so numbers are written from the field. */
static const char *
topic_fallback(const struct config *config, const struct option *option,
    char number[OPTION_NUMBER_SIZE])
{
	const struct option *source;
	const char *text;

	if (option->source == NULL)
		return (option->fallback);
	if (option_number_text(option,
		(const char *)&config->options + option->source_offset, number))
		return (number);
	text = config_text(config, option->source);
	source = option_find(option->source);
	CHECK(source != NULL);
	return (text != NULL ? text : source->fallback);
}

void
config_describe_topic(const struct config *config,
    const struct config_map *overrides, const struct option *option,
    struct config_value *out)
{
	const char *own = config_map_get(overrides, option->name);

	CHECK_MAGIC(config, CONFIG_MAGIC);
	CHECK(config->resolved);
	*out = (struct config_value){ .option = option };
	if (own != NULL)
		add_synonym(out, option->name, own, CONFIG_SOURCE_TOPIC);
	if (option->source != NULL) {
		size_t from = out->synonym_count;

		add_broker_synonyms(config, option->source, out);
		drop_stronger_names(out, from, option->source);
	}
	out->value = own != NULL ? own
				 : topic_fallback(config, option, out->number);
	describe_source(out);
}

bool
config_dynamic_check(const char *name, const char *value, bool cluster_wide,
    char error[OPTION_ERROR_SIZE])
{
	const struct option *option = option_find(name);
	union {
		int64_t number;
		double real;
		const char *text;
	} field;

	if (option == NULL)
		return (true); /* Kafka keeps what it does not know. */
	if (option->update == UPDATE_READ_ONLY) {
		snprintf(error, OPTION_ERROR_SIZE,
		    "Cannot update these configs dynamically: Set(%s)", name);
		return (false);
	}
	if (cluster_wide && option->update == UPDATE_PER_BROKER) {
		snprintf(error, OPTION_ERROR_SIZE,
		    "Cannot update these configs at default cluster level, "
		    "broker id must be specified: Set(%s)", name);
		return (false);
	}
	if (!option_parse(option, value, &field, error))
		return (false);
	if (option->status < STATUS_REFUSED ||
	    option_same(option, value, option->fallback))
		return (true);
	snprintf(error, OPTION_ERROR_SIZE,
	    "Invalid value %.100s for configuration %s: %s",
	    option->type == OPTION_PASSWORD ? "[hidden]" : value, name,
	    option->why);
	return (false);
}
