/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DescribeConfigs tells of one option: its value, the source that it came
 * from, and every other source that holds one, the strongest first.  With
 * several names for one value, each source is asked for all names in turn.
 */
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

/* The names under which the broker's value of that name may stand: of what is
 * a listener's own, that of all listeners is the second. */
static size_t
broker_names(const char *name, const char *names[OPTION_NAMES_MAX])
{
	const char *base = option_base_name(name);

	if (base == name)
		return (option_names_of(name, names));
	names[0] = name;
	names[1] = base;
	return (2);
}

/* All sources of a broker's option, under all its names. */
static void
add_broker_synonyms(const struct config *config, const char *name,
    struct config_value *out)
{
	const char *names[OPTION_NAMES_MAX];
	size_t count = broker_names(name, names);

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

		if (option != NULL && option->fallback != NULL)
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

/* `option` is the row of that very name; NULL: a listener's, or nobody's. */
static void
describe_named(const struct config *config, const char *name,
    const struct option *option, struct config_value *out)
{
	const char *text = config_text(config, name);

	CHECK_MAGIC(config, CONFIG_MAGIC);
	*out = (struct config_value){ .name = name, .option = option };
	if (option == NULL)
		out->option = option_find(option_base_name(name));
	/* Nobody knows what it holds. */
	out->sensitive = out->option == NULL ||
	    out->option->type == OPTION_PASSWORD;
	out->read_only = option == NULL || option->dynamic_only ||
	    option->update == UPDATE_READ_ONLY;
	out->as_set = option == NULL || option->dynamic_only ||
	    option->internal;
	if (text == NULL && option != NULL)
		text = option->fallback;
	out->value = out->sensitive ? NULL : text;
	add_broker_synonyms(config, name, out);
	drop_stronger_names(out, 0, name);
	describe_source(out);
}

void
config_describe(const struct config *config, const struct option *option,
    struct config_value *out)
{
	describe_named(config, option->name, option, out);
}

void
config_describe_name(const struct config *config, const char *name,
    struct config_value *out)
{
	describe_named(config, name, option_find(name), out);
}

/* Not a row that is shown in any case, and no stronger source has the name. */
static bool
shown_as_set(const struct config *config, const struct config_entry *entry)
{
	const struct option *option = option_find(entry->name);

	if (option != NULL && !option->internal && !option->dynamic_only)
		return (false);
	return (config_entry(config, entry->name) == entry);
}

void
config_describe_default(const struct config *config, const char *name,
    struct config_value *out)
{
	size_t kept = 0;

	config_describe_name(config, name, out);
	out->as_set = true;
	out->value = out->sensitive ? NULL : config_map_get(
	    &config->layers[LAYER_DYNAMIC_DEFAULT], name);
	for (size_t i = 0; i < out->synonym_count; i++)
		if (out->synonyms[i].source == CONFIG_SOURCE_DYNAMIC_DEFAULT)
			out->synonyms[kept++] = out->synonyms[i];
	out->synonym_count = kept;
	describe_source(out);
}

const char **
config_names(const struct config *config, bool defaults_only,
    struct arena *arena, size_t *count)
{
	size_t room = option_count();
	const char **names;

	for (int i = 0; i < LAYER_COUNT; i++)
		room += config_map_count(&config->layers[i]);
	names = arena_array(arena, room, sizeof(*names));
	*count = 0;
	for (size_t i = 0; names != NULL && !defaults_only &&
	     i < option_count(); i++)
		if (!option_at(i)->internal && !option_at(i)->dynamic_only)
			names[(*count)++] = option_at(i)->name;
	for (int i = 0; names != NULL && i < LAYER_COUNT; i++) {
		if (defaults_only && i != LAYER_DYNAMIC_DEFAULT)
			continue;
		CONFIG_MAP_EACH(entry, &config->layers[i])
			if (defaults_only || shown_as_set(config, entry))
				names[(*count)++] = entry->name;
	}
	return (names);
}

/* --- a topic -------------------------------------------------------------- */

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
	*out = (struct config_value){ .name = option->name, .option = option };
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

/* Nobody knows what it holds. */
void
config_describe_stranger(const struct config_entry *override,
    struct config_value *out)
{
	*out = (struct config_value){ .name = override->name,
		.sensitive = true, .as_set = true };
	add_synonym(out, override->name, override->value, CONFIG_SOURCE_TOPIC);
	describe_source(out);
}

/* --- as it was read ------------------------------------------------------- */

/* "a , b" is "a,b". */
static const char *
list_text(const char *text, struct arena *arena)
{
	struct slice rest = slice_of_text(text), item;
	char *out = arena_alloc(arena, strlen(text) + 1), *at = out;

	while (out != NULL && text_next(&rest, &item)) {
		if (at > out)
			*at++ = ',';
		memcpy(at, item.data, item.length);
		at += item.length;
	}
	if (out != NULL)
		*at = '\0';
	return (out);
}

const char *
config_value_text(const struct config_value *value, struct arena *arena)
{
	union {
		bool flag;
		int32_t number;
		int64_t wide;
		double real;
		const char *text;
	} field = { .wide = 0 };
	const char *text = value->value;
	char number[OPTION_NUMBER_SIZE], error[OPTION_ERROR_SIZE];

	if (text == NULL)
		return (NULL);
	if (value->as_set || !option_parse(value->option, text, &field, error))
		return (arena_strdup(arena, text));
	if (value->option->type == OPTION_LIST)
		return (list_text(text, arena));
	if (value->option->type == OPTION_BOOLEAN)
		text = field.flag ? "true" : "false";
	else if (option_number_text(value->option, &field, number))
		text = number;
	return (arena_strdup(arena, text));
}
