/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a broker's dynamic entries may be changed so, at run time; checked in
 * Kafka's order: names, types, what a broker has for itself, and at last the
 * whole that would come out.
 * Source: DynamicBrokerConfig.validate of 3.9.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/check.h"
#include "config/alter.h"
#include "config/config_int.h"

#define MAX_CONNECTIONS "max.connections"
#define MAX_CREATION_RATE "max.connection.creation.rate"
#define NETWORK_THREADS "num.network.threads"

/* --- names ---------------------------------------------------------------- */

/* Names that fail a rule, as Scala writes a set: Set(a, b); with more than four
 * it is a HashSet. */
struct complaint {
	struct buffer names;
	size_t count;
};

static void
complain(struct complaint *c, const char *name)
{
	if (c->count++ > 0)
		buffer_append_text(&c->names, ", ");
	buffer_append_text(&c->names, name);
}

/* False: there was none. */
static bool
complaint_say(struct complaint *c, const char *what, const char *set,
    char message[ALTER_ERROR_SIZE])
{
	bool any = c->count > 0;

	if (any)
		snprintf(message, ALTER_ERROR_SIZE, "%s: %s(%s)", what,
		    c->count > 4 ? "HashSet" : set, buffer_text(&c->names));
	buffer_fini(&c->names);
	return (any);
}

static bool
is_static(const char *name)
{
	const struct option *option = option_find(name);

	return (option != NULL && option->update == UPDATE_READ_ONLY);
}

/* Of listeners, and yet of all brokers: ClusterLevelListenerConfigs. */
static bool
is_bound(const char *name)
{
	static const char *const bounds[] = { MAX_CONNECTIONS,
		MAX_CREATION_RATE, NETWORK_THREADS };

	for (size_t i = 0; i < nelems(bounds); i++)
		if (strcmp(name, bounds[i]) == 0)
			return (true);
	return (false);
}

static bool
is_per_broker(const char *name)
{
	const char *base = option_behind_listener(name, NULL);
	const struct option *option = option_find(name);

	if (base == name)
		return (option != NULL && option->update == UPDATE_PER_BROKER);
	return (!is_bound(base));
}

static bool
check_names(const struct config_map *entries, bool (*bad)(const char *name),
    const char *what, const char *set, char message[ALTER_ERROR_SIZE])
{
	struct complaint c = { .names = BUFFER_EMPTY };

	CONFIG_MAP_EACH(entry, entries)
		if (bad(entry->name))
			complain(&c, entry->name);
	return (!complaint_say(&c, what, set, message));
}

static bool
check_type(const struct config_entry *entry, char error[OPTION_ERROR_SIZE])
{
	const struct option *option = option_find(option_behind_listener(
	    entry->name, NULL));
	union {
		int64_t number;
		double real;
		const char *text;
	} field;

	/* Kafka keeps what it does not know. */
	return (option == NULL || option->update == UPDATE_READ_ONLY ||
	    option_parse(option, entry->value, &field, error));
}

static bool
check_types(const struct config_map *entries, char message[ALTER_ERROR_SIZE])
{
	CONFIG_MAP_EACH(entry, entries)
		if (!check_type(entry, message))
			return (false);
	return (true);
}

/* What this version does not do. */
static bool
is_served(const struct config_entry *entry, char message[ALTER_ERROR_SIZE])
{
	const struct option *option = option_find(option_behind_listener(
	    entry->name, NULL));

	if (option == NULL || (option->status != STATUS_REFUSED &&
		option->status != STATUS_SECURITY) ||
	    option_within(option, entry->value, option->fallback))
		return (true);
	snprintf(message, ALTER_ERROR_SIZE,
	    "Invalid value %.100s for configuration %.200s: %s",
	    option->type == OPTION_PASSWORD ? "[hidden]" : entry->value,
	    entry->name, option->why);
	return (false);
}

/* --- the whole ------------------------------------------------------------ */

/* Kafka wraps it so: its exception takes the cause for a value. */
void
config_refuse_dynamic(const char *why, char message[ALTER_ERROR_SIZE])
{
	static const char before[] = "Invalid value "
	    "org.apache.kafka.common.config.ConfigException: ";
	static const char after[] = " for configuration Invalid dynamic "
	    "configuration";

	snprintf(message, ALTER_ERROR_SIZE, "%s%.*s%s", before,
	    (int)(ALTER_ERROR_SIZE - sizeof(before) - sizeof(after)), why,
	    after);
}

static bool
refuse_dynamic(char message[ALTER_ERROR_SIZE], const char *why)
{
	config_refuse_dynamic(why, message);
	return (false);
}

static bool
check_threads(const char *name, int32_t now, int32_t next,
    char message[ALTER_ERROR_SIZE])
{
	char why[256];

	if (next >= now / 2 && next <= (int64_t)now * 2)
		return (true);
	if (next < now)
		snprintf(why, sizeof(why), "Dynamic thread count update "
		    "validation failed for %s=%" PRId32 ", value should be at "
		    "least half the current value %" PRId32, name, next, now);
	else
		snprintf(why, sizeof(why), "Dynamic thread count update "
		    "validation failed for %s=%" PRId32 ", value should not "
		    "be greater than double the current value %" PRId32, name,
		    next, now);
	return (refuse_dynamic(message, why));
}

static bool
check_cleaner_threads(int32_t now, int32_t next,
    char message[ALTER_ERROR_SIZE])
{
	char why[256];

	if (next < 1)
		return (refuse_dynamic(message,
		    "Log cleaner threads should be at least 1"));
	if (next >= now / 2 && next <= (int64_t)now * 2)
		return (true);
	snprintf(why, sizeof(why), "Log cleaner threads cannot be %s the "
	    "current value %" PRId32, next < now ? "reduced to less than half" :
	    "increased to more than double", now);
	return (refuse_dynamic(message, why));
}

static bool
check_pools(const struct broker_options *now, const struct broker_options *next,
    char message[ALTER_ERROR_SIZE])
{
	return (check_threads("background.threads",
	    now->daemon.background_threads, next->daemon.background_threads,
	    message) &&
	    check_threads("num.io.threads", now->daemon.num_io_threads,
		next->daemon.num_io_threads, message) &&
	    check_threads("num.recovery.threads.per.data.dir",
		now->storage.recovery_threads_per_data_dir,
		next->storage.recovery_threads_per_data_dir, message) &&
	    check_threads("num.replica.fetchers",
		now->replica.num_replica_fetchers,
		next->replica.num_replica_fetchers, message) &&
	    (now->storage.cleaner_threads == next->storage.cleaner_threads ||
		check_cleaner_threads(now->storage.cleaner_threads,
		    next->storage.cleaner_threads, message)));
}

static bool
check_connections(const char *name, int32_t now, int32_t next,
    char message[ALTER_ERROR_SIZE])
{
	char why[80];

	if (next > 0 || next == now)
		return (true);
	snprintf(why, sizeof(why), "Invalid %s %" PRId32, name, next);
	return (refuse_dynamic(message, why));
}

/* One of the two bounds of what stays on local disks. */
static bool
check_local(const char *name, const char *whole_name, int64_t local,
    int64_t whole, char message[ALTER_ERROR_SIZE])
{
	char why[320];

	if (whole < 0 || local == -2 || (local != -1 && local <= whole))
		return (true);
	if (local == -1)
		snprintf(why, sizeof(why), "Invalid value -1 for configuration "
		    "%s: Value must not be -1 as %s value is set as %" PRId64
		    ".", name, whole_name, whole);
	else
		snprintf(why, sizeof(why), "Invalid value %" PRId64 " for "
		    "configuration %s: Value must not be more than %s property "
		    "value: %" PRId64, local, name, whole_name, whole);
	return (refuse_dynamic(message, why));
}

/* --- listeners ------------------------------------------------------------ */

/* A number of the listener, else of all. */
static int32_t
number_of(const struct config *config, const struct config_listener *l,
    const char *name)
{
	const struct option *option = option_find(name);
	const char *text = config_scoped_text(config, l->name, name);
	char error[OPTION_ERROR_SIZE];
	int32_t number;

	memcpy(&number, (const char *)config_options(config) + option->offset,
	    sizeof(number));
	if (text != NULL)
		(void)option_parse(option, text, &number, error);
	return (number);
}

/* What each listener that is open is bounded by. */
static bool
check_bounds(const struct config *now, const struct config *next,
    char message[ALTER_ERROR_SIZE])
{
	const struct listener_list *open =
	    &config_options(now)->net.listener_list;
	bool good = true;

	for (size_t i = 0; good && i < open->count; i++) {
		const struct config_listener *l = &open->items[i];

		good = check_connections(MAX_CONNECTIONS,
		    number_of(now, l, MAX_CONNECTIONS),
		    number_of(next, l, MAX_CONNECTIONS), message) &&
		    check_connections(MAX_CREATION_RATE,
			number_of(now, l, MAX_CREATION_RATE),
			number_of(next, l, MAX_CREATION_RATE), message) &&
		    check_threads(NETWORK_THREADS,
			number_of(now, l, NETWORK_THREADS),
			number_of(next, l, NETWORK_THREADS), message);
	}
	return (good);
}

static bool
texts_same(const char *a, const char *b)
{
	return (a == NULL || b == NULL ? a == b : strcmp(a, b) == 0);
}

/* DynamicListenerConfig.reconfigurableConfigs: one of them is set anew. */
static bool
listeners_touched(const struct config *now, const struct config *next)
{
	for (size_t i = 0; i < option_count(); i++) {
		const char *name = option_at(i)->name;

		if ((is_per_broker(name) || is_bound(name)) &&
		    !texts_same(config_text(now, name),
			config_text(next, name)))
			return (true);
	}
	return (false);
}

/* NULL: the entry is of no listener that stays, or may count for one that does.
 */
static const struct config_listener *
fixed_of(const struct config *now, const struct config *next,
    const struct config_entry *entry)
{
	struct slice of;
	const char *base = option_behind_listener(entry->name, &of);
	const struct listener_list *open =
	    &config_options(now)->net.listener_list;

	if (base == entry->name || is_bound(base) ||
	    config_is_a_listeners(base))
		return (NULL);
	for (size_t i = 0; i < open->count; i++) {
		const char *name = open->items[i].name;

		if (strlen(name) == of.length && strncasecmp(name,
			(const char *)of.data, of.length) == 0)
			return (listener_list_find(&config_options(next)->
			    net.listener_list, name));
	}
	return (NULL);
}

/* Kafka takes what is not a store, nor a bound, of a listener that is open
 * without doing anything; but with it there it takes no more change of what is
 * said of all listeners. */
static bool
check_fixed(const struct config *now, const struct config *next,
    char message[ALTER_ERROR_SIZE])
{
	const struct config_map *file = &next->layers[LAYER_STATIC];

	for (int i = 0; i < LAYER_STATIC; i++)
		CONFIG_MAP_EACH(entry, &next->layers[i]) {
			const struct config_listener *l = fixed_of(now, next,
			    entry);
			char why[ALTER_ERROR_SIZE / 2];

			if (l == NULL || texts_same(config_text(next,
				entry->name), config_map_get(file,
				entry->name)))
				continue;
			snprintf(why, sizeof(why), "Configs cannot be updated "
			    "dynamically for existing listener "
			    "ListenerName(%.200s), restart broker or create a "
			    "new listener for update", l->name);
			return (refuse_dynamic(message, why));
		}
	return (true);
}

bool
config_listeners_stay(const struct config *now, const struct config *next,
    char why[ALTER_ERROR_SIZE])
{
	const struct listener_list *open =
	    &config_options(now)->net.listener_list;

	for (size_t i = 0; i < open->count; i++) {
		const struct config_listener *l = &open->items[i];
		const struct config_listener *then = listener_list_find(
		    &config_options(next)->net.listener_list, l->name);

		if (then == NULL || listener_same(l, then))
			continue;
		if (then->protocol != l->protocol)
			snprintf(why, ALTER_ERROR_SIZE, "Security protocol "
			    "cannot be updated for existing listener "
			    "ListenerName(%.200s)", l->name);
		else
			snprintf(why, ALTER_ERROR_SIZE, "listener=%.200s is "
			    "there with another address: take it out, or give "
			    "the new one another name", l->name);
		return (false);
	}
	return (true);
}

static bool
check_listeners(const struct config *now, const struct config *next,
    char message[ALTER_ERROR_SIZE])
{
	char why[ALTER_ERROR_SIZE];

	if (!listeners_touched(now, next))
		return (true);
	if (!check_fixed(now, next, message))
		return (false);
	return (config_listeners_stay(now, next, why) ||
	    refuse_dynamic(message, why));
}

/* --- all together --------------------------------------------------------- */

static bool
check_step(const struct config *config, const struct config *other,
    char message[ALTER_ERROR_SIZE])
{
	const struct broker_options *now = config_options(config);
	const struct broker_options *next = config_options(other);

	return (check_bounds(config, other, message) &&
	    check_pools(now, next, message) &&
	    check_local("log.local.retention.ms", "log.retention.ms",
		next->remote.log_local_retention_ms,
		next->storage.retention_ms, message) &&
	    check_local("log.local.retention.bytes", "log.retention.bytes",
		next->remote.log_local_retention_bytes,
		next->storage.retention_bytes, message) &&
	    check_listeners(config, other, message));
}

/* *out is `config` with that layer, resolved; NULL: it does not resolve. */
static bool
resolve_with(const struct config *config, enum config_source source,
    const struct config_map *entries, struct config **out,
    char message[ALTER_ERROR_SIZE])
{
	struct config *next = config_clone(config);
	bool good = config_set_layer(next, source, entries);

	if (!good) {
		snprintf(message, ALTER_ERROR_SIZE, "Too many configs");
	} else if (!config_resolve(next)) {
		good = false;
		for (size_t i = 0; i < config_finding_count(next); i++) {
			const struct finding *f = config_finding_at(next, i);

			if (f->severity != FINDING_ERROR)
				continue;
			snprintf(message, ALTER_ERROR_SIZE, "%s: %s",
			    f->subject, f->message);
			break;
		}
	}
	if (!good)
		config_free(&next);
	*out = next;
	return (good);
}

static bool
check_whole(const struct config *config, enum config_source source,
    const struct config_map *entries, struct config **out,
    char message[ALTER_ERROR_SIZE])
{
	if (!resolve_with(config, source, entries, out, message))
		return (false);
	if (check_step(config, *out, message))
		return (true);
	config_free(out);
	return (false);
}

bool
config_check_together(const struct config *config, enum config_source source,
    const struct config_map *entries, char message[ALTER_ERROR_SIZE])
{
	struct config *both;
	const bool good = resolve_with(config, source, entries, &both,
	    message);

	config_free(&both);
	return (good);
}

enum error
config_check_layer(const struct config *config, enum config_source source,
    const struct config_map *entries, struct config **next,
    char message[ALTER_ERROR_SIZE])
{
	bool of_all = source == CONFIG_SOURCE_DYNAMIC_DEFAULT;

	*next = NULL;
	if (!check_names(entries, is_static,
		"Cannot update these configs dynamically", "Set", message) ||
	    !check_names(entries, config_is_a_listeners, "These security "
		"configs can be dynamically updated only per-listener using "
		"the listener prefix", "HashSet", message) ||
	    !check_types(entries, message) ||
	    (of_all && !check_names(entries, is_per_broker, "Cannot update "
		"these configs at default cluster level, broker id must be "
		"specified", "Set", message)))
		return (ERR_INVALID_REQUEST);
	CONFIG_MAP_EACH(entry, entries)
		if (!is_served(entry, message))
			return (ERR_INVALID_CONFIG);
	if (!check_whole(config, source, entries, next, message))
		return (ERR_INVALID_REQUEST);
	return (ERR_NONE);
}

bool
config_keep_valid(enum config_source source, const struct config_map *stored,
    struct config_map *out)
{
	bool of_all = source == CONFIG_SOURCE_DYNAMIC_DEFAULT, good = true;
	char message[OPTION_ERROR_SIZE];

	CONFIG_MAP_EACH(entry, stored) {
		if (is_static(entry->name) ||
		    config_is_a_listeners(entry->name) ||
		    (of_all && is_per_broker(entry->name)) ||
		    !check_type(entry, message))
			continue;
		good = good && config_map_put(out, slice_of_text(entry->name),
		    slice_of_text(entry->value), 0);
	}
	return (good);
}
