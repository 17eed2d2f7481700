/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a config: layers in, options and findings out; see config.h. */
#include "config/config_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/properties.h"

struct config *
config_new(void)
{
	struct config *config = mem_zalloc(sizeof(*config));

	config->magic = CONFIG_MAGIC;
	atomic_init(&config->references, 1);
	for (int i = 0; i < LAYER_COUNT; i++)
		config_map_init(&config->layers[i]);
	arena_init(&config->arena, 0);
	return (config);
}

void
config_free(struct config **config)
{
	config_unref(*config);
	*config = NULL;
}

const struct config *
config_ref(const struct config *config)
{
	struct config *c = (struct config *)(uintptr_t)config;

	CHECK_MAGIC(c, CONFIG_MAGIC);
	CHECK(c->resolved);
	atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	return (config);
}

void
config_unref(const struct config *config)
{
	struct config *c = (struct config *)(uintptr_t)config;

	if (c == NULL)
		return;
	CHECK_MAGIC(c, CONFIG_MAGIC);
	if (atomic_fetch_sub_explicit(&c->references, 1,
		memory_order_acq_rel) != 1)
		return;
	for (int i = 0; i < LAYER_COUNT; i++)
		config_map_fini(&c->layers[i]);
	arena_fini(&c->arena);
	mem_free(c->findings);
	c->magic = 0;
	mem_free(c);
}

struct config *
config_clone(const struct config *config)
{
	struct config *copy = config_new();

	for (int i = 0; i < LAYER_COUNT; i++)
		CHECK(config_map_merge(&copy->layers[i], &config->layers[i]));
	return (copy);
}

void *
config_array(struct config *config, size_t count, size_t size)
{
	void *memory = arena_array(&config->arena, count, size);

	CHECK(memory != NULL);
	return (memory);
}

/* --- findings ------------------------------------------------------------- */

void
config_say(struct config *config, enum finding_severity severity,
    const char *subject, const char *format, ...)
{
	const struct config_entry *entry = config_entry(config, subject);
	struct finding *finding;
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (config->finding_count == config->finding_capacity) {
		config->finding_capacity += config->finding_capacity + 16;
		config->findings = mem_realloc(config->findings,
		    config->finding_capacity * sizeof(*finding));
	}
	finding = &config->findings[config->finding_count++];
	*finding = (struct finding){ .severity = severity,
		.subject = arena_strdup(&config->arena, subject),
		.line = entry != NULL ? entry->line : 0,
		.message = arena_strdup(&config->arena, message) };
	CHECK(finding->subject != NULL && finding->message != NULL);
	if (severity == FINDING_ERROR)
		config->error_count++;
}

size_t
config_finding_count(const struct config *config)
{
	return (config->finding_count);
}

const struct finding *
config_finding_at(const struct config *config, size_t index)
{
	CHECK(index < config->finding_count);
	return (&config->findings[index]);
}

const char *
finding_severity_name(enum finding_severity severity)
{
	switch (severity) {
	case FINDING_INFO: return ("INFO");
	case FINDING_WARN: return ("WARN");
	case FINDING_ERROR: return ("ERROR");
	}
	UNREACHABLE();
}

/* --- layers --------------------------------------------------------------- */

bool
config_read(struct config *config, struct slice text)
{
	struct properties_error error;

	CHECK_MAGIC(config, CONFIG_MAGIC);
	if (properties_read(text, &config->layers[LAYER_STATIC], &error))
		return (true);
	config_say(config, FINDING_ERROR, "", "line %d: %s", error.line,
	    error.message);
	return (false);
}

bool
config_override(struct config *config, const char *assignment)
{
	struct slice value, name;

	CHECK_MAGIC(config, CONFIG_MAGIC);
	name = text_trim(text_cut(slice_of_text(assignment), '=', &value));
	if (value.data != NULL && name.length > 0 &&
	    config_map_set(&config->layers[LAYER_STATIC], name, value, 0))
		return (true);
	config_say(config, FINDING_ERROR, "",
	    "--override %.200s: it must read name=value", assignment);
	return (false);
}

bool
config_set_layer(struct config *config, enum config_source source,
    const struct config_map *map)
{
	struct config_map *layer = &config->layers[LAYER_DYNAMIC_BROKER];

	CHECK(source == CONFIG_SOURCE_DYNAMIC_BROKER ||
	    source == CONFIG_SOURCE_DYNAMIC_DEFAULT);
	if (source == CONFIG_SOURCE_DYNAMIC_DEFAULT)
		layer = &config->layers[LAYER_DYNAMIC_DEFAULT];
	config_map_fini(layer);
	config_map_init(layer);
	return (config_map_merge(layer, map));
}

const struct config_entry *
config_entry(const struct config *config, const char *name)
{
	const struct config_entry *entry = NULL;

	for (int i = 0; i < LAYER_COUNT && entry == NULL; i++)
		entry = config_map_find(&config->layers[i], name);
	return (entry);
}

const char *
config_text(const struct config *config, const char *name)
{
	const struct config_entry *entry = config_entry(config, name);

	return (entry != NULL ? entry->value : NULL);
}

/* --- resolving ------------------------------------------------------------ */

static void
resolve_option(struct config *config, const struct option *option)
{
	const char *text = config_text(config, option->name);
	char *field = (char *)&config->options + option->offset;
	char error[OPTION_ERROR_SIZE];

	if (text == NULL || !option_parse(option, text, field, error)) {
		if (text != NULL)
			config_say(config, FINDING_ERROR, option->name, "%s",
			    error);
		CHECK(option_parse(option, option->fallback, field, error));
	}
}

static bool
is_set(const struct config *config, const char *name)
{
	return (config_text(config, name) != NULL);
}

static void
resolve_log_times(struct config *config)
{
	struct storage_options *s = &config->options.storage;

	if (!is_set(config, "log.retention.ms"))
		s->retention_ms = is_set(config, "log.retention.minutes")
		    ? s->retention_minutes * INT64_C(60000)
		    : s->retention_hours * INT64_C(3600000);
	if (s->retention_ms < 0)
		s->retention_ms = -1;
	if (!is_set(config, "log.roll.ms"))
		s->roll_ms = s->roll_hours * INT64_C(3600000);
	if (!is_set(config, "log.roll.jitter.ms"))
		s->roll_jitter_ms = s->roll_jitter_hours * INT64_C(3600000);
	if (!is_set(config, "log.flush.interval.ms"))
		s->flush_interval_ms = s->flush_scheduler_interval_ms;
}

static void
resolve_log_dirs(struct config *config)
{
	struct storage_options *s = &config->options.storage;
	const char **items;
	struct slice rest, item;
	size_t count = 0;

	if (s->log_dirs == NULL)
		s->log_dirs = s->log_dir;
	for (rest = slice_of_text(s->log_dirs); text_next(&rest, &item);)
		count++;
	items = config_array(config, count + 1, sizeof(*items));
	count = 0;
	for (rest = slice_of_text(s->log_dirs); text_next(&rest, &item);) {
		items[count] = arena_slice_text(&config->arena, item);
		CHECK(items[count] != NULL);
		if (*items[count] != '\0')
			count++;
	}
	s->log_dir_list = (struct text_list){ items, count };
}

static void
resolve_identity(struct config *config)
{
	static const char *const names[] = { "broker.id", "node.id" };
	struct cluster_options *c = &config->options.cluster;
	struct config_map *set = &config->layers[LAYER_STATIC];

	if (!is_set(config, "broker.id"))
		c->broker_id = c->node_id;
	else if (!is_set(config, "node.id"))
		c->node_id = c->broker_id;
	/* Whoever asks for either sees what the other says: KIP-631. */
	for (size_t i = 0; i < nelems(names); i++) {
		const char *other = config_map_get(set, names[1 - i]);

		if (!is_set(config, names[i]) && other != NULL)
			(void)config_map_set_text(set, names[i], other);
	}
}

static void
resolve_derived(struct config *config)
{
	struct broker_options *o = &config->options;

	resolve_identity(config);
	resolve_log_times(config);
	resolve_log_dirs(config);
	if (!is_set(config, "zookeeper.connection.timeout.ms"))
		o->zkglue.connection_timeout_ms = o->zkglue.session_timeout_ms;
	if (!is_set(config, "num.replica.alter.log.dirs.threads"))
		o->replica.num_replica_alter_log_dirs_threads =
		    (int32_t)o->storage.log_dir_list.count;
}

bool
config_resolve(struct config *config)
{
	CHECK_MAGIC(config, CONFIG_MAGIC);
	CHECK(!config->resolved);
	config->resolved = true;
	for (size_t i = 0; i < option_count(); i++)
		resolve_option(config, option_at(i));
	resolve_derived(config);
	config_resolve_listeners(config);
	config_check_statuses(config);
	config_check_unknown(config);
	config_check_rules(config);
	return (config->error_count == 0);
}

const struct broker_options *
config_options(const struct config *config)
{
	CHECK_MAGIC(config, CONFIG_MAGIC);
	CHECK(config->resolved);
	return (&config->options);
}
