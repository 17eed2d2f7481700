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

#include "base/buffer.h"
#include "base/check.h"
#include "config/alter.h"
#include "config/config_int.h"

#define LISTENER_PREFIX "listener.name."

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

/* What stands behind "listener.name.L."; else the name itself. */
static const char *
behind_listener(const char *name)
{
	const char *dot;

	if (strncmp(name, LISTENER_PREFIX, sizeof(LISTENER_PREFIX) - 1) != 0)
		return (name);
	dot = strchr(name + sizeof(LISTENER_PREFIX) - 1, '.');
	return (dot == NULL ? name : dot + 1);
}

static bool
is_static(const char *name)
{
	const struct option *option = option_find(name);

	return (option != NULL && option->update == UPDATE_READ_ONLY);
}

static bool
is_per_broker(const char *name)
{
	static const char *const of_cluster[] = { "max.connections",
		"max.connection.creation.rate", "num.network.threads" };
	const char *base = behind_listener(name);
	const struct option *option = option_find(name);

	if (base == name)
		return (option != NULL && option->update == UPDATE_PER_BROKER);
	for (size_t i = 0; i < nelems(of_cluster); i++)
		if (strcmp(base, of_cluster[i]) == 0)
			return (false);
	return (true);
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
	const struct option *option = option_find(behind_listener(entry->name));
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
	const struct option *option = option_find(behind_listener(entry->name));

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
static bool
refuse_dynamic(char message[ALTER_ERROR_SIZE], const char *why)
{
	snprintf(message, ALTER_ERROR_SIZE, "Invalid value "
	    "org.apache.kafka.common.config.ConfigException: %s for "
	    "configuration Invalid dynamic configuration", why);
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
	    check_threads("num.network.threads",
		now->daemon.num_network_threads,
		next->daemon.num_network_threads, message) &&
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

static bool
check_step(const struct broker_options *now, const struct broker_options *next,
    char message[ALTER_ERROR_SIZE])
{
	return (check_pools(now, next, message) &&
	    check_connections("max.connections", now->net.max_connections,
		next->net.max_connections, message) &&
	    check_connections("max.connection.creation.rate",
		now->net.max_connection_creation_rate,
		next->net.max_connection_creation_rate, message) &&
	    check_local("log.local.retention.ms", "log.retention.ms",
		next->remote.log_local_retention_ms,
		next->storage.retention_ms, message) &&
	    check_local("log.local.retention.bytes", "log.retention.bytes",
		next->remote.log_local_retention_bytes,
		next->storage.retention_bytes, message));
}

static bool
check_whole(const struct config *config, enum config_source source,
    const struct config_map *entries, char message[ALTER_ERROR_SIZE])
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
	} else {
		good = check_step(config_options(config), config_options(next),
		    message);
	}
	config_free(&next);
	return (good);
}

enum error
config_check_layer(const struct config *config, enum config_source source,
    const struct config_map *entries, char message[ALTER_ERROR_SIZE])
{
	bool of_all = source == CONFIG_SOURCE_DYNAMIC_DEFAULT;

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
	if (!check_whole(config, source, entries, message))
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
