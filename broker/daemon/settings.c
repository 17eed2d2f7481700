/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configs on their way to the rooms.  A topic's comes alone, by its own znode;
 * what holds for all, a generation of the broker's config, comes in this order:
 *
 *	settings_prepare        a worker: what asks for names of hosts, new
 *	                        listeners, bound, and TLS's files
 *	settings_take           the controller's loop: topics' defaults, logs,
 *	                        replicas, the controller, workers, listeners
 *	settings_take_on_loop   each loop: its connections
 */
#include "daemon/settings.h"

#include <stdio.h>
#include <unistd.h>

#include "config/security.h"
#include "daemon/broker_int.h"
#include "metrics/metrics.h"

/* --- topics --------------------------------------------------------------- */

static void
settings_of_options(const struct topic_options *options,
    struct log_settings *out)
{
	/* What is compacted only is not deleted by age or size. */
	const bool deletes = (options->cleanup & CLEANUP_DELETE) != 0;
	const bool compacts = (options->cleanup & CLEANUP_COMPACT) != 0;
	/* Nothing is compacted before it is in a segment that is closed. */
	const int64_t segment_ms = compacts &&
		options->max_compaction_lag_ms < options->segment_ms ?
	    options->max_compaction_lag_ms : options->segment_ms;

	*out = (struct log_settings){
		.segment_bytes = options->segment_bytes,
		.segment_ms = segment_ms,
		.segment_jitter_ms = options->segment_jitter_ms,
		.index_bytes = options->segment_index_bytes,
		.index_interval_bytes = options->index_interval_bytes,
		.retention_ms = deletes ? options->retention_ms : -1,
		.retention_bytes = deletes ? options->retention_bytes : -1,
		.file_delete_delay_ms = options->file_delete_delay_ms,
		.flush_messages = options->flush_messages,
		.flush_ms = options->flush_ms,
		.preallocate = options->preallocate,
		.compacted = compacts,
		.min_cleanable_ratio = options->min_cleanable_dirty_ratio,
		.min_compaction_lag_ms = options->min_compaction_lag_ms,
		.max_compaction_lag_ms = options->max_compaction_lag_ms,
		.delete_retention_ms = options->delete_retention_ms,
	};
}

void
settings_of_topic(void *arg, const char *topic, struct log_settings *out)
{
	struct broker *b = arg;
	const struct topic_config *config = configs_topic(b->configs, topic);

	settings_of_options(config->options, out);
	topic_config_unref(config);
}

struct settings_change {
	const struct topic_config *config;
	struct log_settings settings;
};

static bool
settings_log_changed(void *arg, struct log *log)
{
	const struct settings_change *change = arg;

	if (strcmp(log_topic(log), change->config->topic) == 0)
		log_set_settings(log, &change->settings);
	return (true);
}

void
settings_config_changed(void *arg, const struct topic_config *config)
{
	struct broker *b = arg;
	struct settings_change change = { .config = config };

	if (b->logs_closing)
		return; /* a worker is at them, and they end anyway */
	settings_of_options(config->options, &change.settings);
	storage_each_log(b->storage, settings_log_changed, &change);
	if (b->replicas != NULL)
		replicas_config_changed(b->replicas, config);
	if (b->controller != NULL)
		controller_config_changed(b->controller, config->topic);
}

/* --- what holds for all --------------------------------------------------- */

static void
settings_set_workers(struct broker *b, int32_t background_threads)
{
	scheduler_set_workers(b->setup.seams.scheduler, background_threads);
	work_queue_set_parallel(b->disk, background_threads);
	if (b->replicas != NULL)
		replicas_set_workers(b->replicas, background_threads);
}

void
settings_take_early(struct broker *b)
{
	storage_set_options(b->storage, &b->options->storage);
	settings_set_workers(b, b->options->daemon.background_threads);
}

/* --- listeners ------------------------------------------------------------ */

static const char *
own_host(struct arena *arena)
{
	char name[256];

	if (gethostname(name, sizeof(name)) != 0)
		return ("localhost");
	name[sizeof(name) - 1] = '\0';
	return (arena_strdup(arena, name));
}

void
settings_advertise(const struct broker *b,
    const struct broker_options *options, struct arena *arena,
    struct znode_broker *out)
{
	const struct listener_list *list = &options->net.advertised_list;
	struct znode_endpoint *e = arena_array(arena, list->count, sizeof(*e));

	CHECK(e != NULL);
	*out = (struct znode_broker){
		.endpoints = e,
		.endpoint_count = list->count,
		.rack = options->cluster.broker_rack,
		.jmx_port = -1,
	};
	for (size_t i = 0; i < list->count; i++) {
		const struct config_listener *l = &list->items[i];

		e[i].listener = l->name;
		e[i].protocol = security_protocol_name(l->protocol);
		e[i].host = l->host[0] != '\0' ? l->host : own_host(arena);
		e[i].port = l->port != 0 ? l->port : broker_port(b, l->name);
	}
}

static bool
same_listeners(const struct listener_list *a, const struct listener_list *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = listener_same(&a->items[i], &b->items[i]);
	return (same);
}

/* Kafka refuses another protocol for a listener that is there, and forgets to
 * bind it where its address is another: DynamicListenerConfig. */
bool
settings_may_take(const struct broker *b, const struct config *before,
    const struct config *next)
{
	char why[ALTER_ERROR_SIZE];

	if (config_listeners_stay(before, next, why))
		return (true);
	diag_error(b->setup.seams.diag, config,
	    "listeners (/config/brokers): %s", why);
	return (false);
}

/* Those that are new; false: one cannot be bound. */
static bool
settings_bind_new(struct broker *b, const struct config *before,
    const struct config *next)
{
	const struct listener_list *was =
	    &config_options(before)->net.listener_list;
	const struct listener_list *now =
	    &config_options(next)->net.listener_list;

	for (size_t i = 0; i < now->count; i++) {
		struct listener *l;

		if (listener_list_find(was, now->items[i].name) != NULL)
			continue;
		l = b->opening_count == nelems(b->opening) ? NULL :
		    net_bind(b->net, &now->items[i], next);
		if (l == NULL)
			return (false);
		b->opening[b->opening_count++] = l;
	}
	return (true);
}

static bool
settings_bind(struct broker *b, const struct config *before,
    const struct config *next)
{
	bool good;

	lock_take(&b->tls.lock);
	good = settings_bind_new(b, before, next);
	lock_release(&b->tls.lock);
	return (good);
}

/* What else ssl.* says of a listener counts when it is opened. */
static void
settings_tell_later(const struct broker *b, const struct config_listener *l)
{
	diag_warn(b->setup.seams.diag, config, "listener=%s ssl.* "
	    "(/config/brokers) has changed, and not in stores alone: that "
	    "counts when the broker is started anew", l->name);
}

/* Whether listeners that stay have other stores. */
static bool
settings_stores_differ(const struct broker *b, const struct config *before,
    const struct config *next, bool tell)
{
	const struct listener_list *now =
	    &config_options(next)->net.listener_list;
	bool differ = false;

	for (size_t i = 0; i < now->count; i++) {
		const struct config_listener *l = &now->items[i];
		const struct config_listener *was = listener_list_find(
		    &config_options(before)->net.listener_list, l->name);

		if (was == NULL || was->security == NULL || l->security == NULL)
			continue;
		differ |= !security_same_stores(was->security, l->security);
		if (tell && !security_same_but_stores(was->security,
			l->security))
			settings_tell_later(b, l);
	}
	return (differ);
}

/* The TLS of listeners that stay; false: keys or certificates are no good. */
static bool
settings_secure(struct broker *b, const struct config *before,
    const struct config *next)
{
	struct tls_report report;

	if (!settings_stores_differ(b, before, next, true) ||
	    broker_tls_change(b, &config_options(next)->net, true, &report))
		return (true);
	metrics_add(b->setup.metrics, METRIC_TLS_RELOAD_FAILURES, 1);
	diag_error(b->setup.seams.diag, config, "ssl.* (/config/brokers): %s",
	    report.error);
	return (false);
}

static bool
settings_may_bind(struct broker *b, const struct config *now,
    const struct config *next, struct tls_report *report)
{
	const struct listener_list *list =
	    &config_options(next)->net.listener_list;
	bool good = true;

	lock_take(&b->tls.lock);
	for (size_t i = 0; good && i < list->count; i++)
		if (listener_list_find(&config_options(now)->net.listener_list,
			list->items[i].name) == NULL)
			good = net_may_listen(b->net, &list->items[i], report);
	lock_release(&b->tls.lock);
	return (good);
}

bool
settings_may_become(void *arg, const struct config *now,
    const struct config *next, char why[ALTER_ERROR_SIZE])
{
	struct broker *b = arg;
	struct tls_report report;
	const char *before = "";

	/* Files that are named at run time are read with every change. */
	if ((settings_stores_differ(b, now, next, false) ||
		security_names_files(config_layer(next,
		    CONFIG_SOURCE_DYNAMIC_BROKER))) &&
	    !broker_tls_change(b, &config_options(next)->net, false, &report))
		before = "Validation of dynamic config update of SSLFactory "
		    "failed: ";
	else if (settings_may_bind(b, now, next, &report))
		return (true);
	snprintf(why, ALTER_ERROR_SIZE, "%s%s", before, report.error);
	return (false);
}

bool
settings_prepare(struct broker *b, const struct config *before,
    const struct config *next)
{
	if (!settings_bind(b, before, next) ||
	    !settings_secure(b, before, next))
		return (false);
	net_take_address_bounds(b->net, &config_options(next)->net);
	return (true);
}

void
settings_abandon(struct broker *b)
{
	while (b->opening_count > 0)
		net_drop_listener(b->opening[--b->opening_count]);
}

/* New doors open before others hear of them, and old ones close last. */
static void
settings_take_listeners(struct broker *b, const struct broker_options *was,
    const struct broker_options *now)
{
	const struct listener_list *old = &was->net.listener_list;
	struct znode_broker registered;
	struct arena arena;

	while (b->opening_count > 0)
		net_open_listener(b->opening[--b->opening_count]);
	if (!same_listeners(&was->net.advertised_list,
		&now->net.advertised_list)) {
		arena_init(&arena, 0);
		settings_advertise(b, now, &arena, &registered);
		registration_update(b->registration, &registered);
		arena_fini(&arena);
	}
	for (size_t i = 0; i < old->count; i++)
		if (listener_list_find(&now->net.listener_list,
			old->items[i].name) == NULL)
			net_close_listener(b->net, old->items[i].name);
}

/* --- all together --------------------------------------------------------- */

static bool
settings_log_renewed(void *arg, struct log *log)
{
	struct log_settings settings;

	settings_of_topic(arg, log_topic(log), &settings);
	log_set_settings(log, &settings);
	return (true);
}

void
settings_take(struct broker *b, const struct config *before,
    const struct config *next)
{
	const struct broker_options *was = config_options(before);
	const struct broker_options *now = config_options(next);

	if (now->daemon.background_threads != was->daemon.background_threads)
		settings_set_workers(b, now->daemon.background_threads);
	replicas_set_fetchers(b->replicas, now->replica.num_replica_fetchers);
	replicas_set_throttles(b->replicas, &now->quota);
	storage_set_options(b->storage, &now->storage);
	configs_set_defaults(b->configs, next);
	storage_each_log(b->storage, settings_log_renewed, b);
	replicas_defaults_changed(b->replicas);
	/* Kafka's controller elects when its own broker's default is switched
	 * on: DynamicLogConfig.reconfigure. */
	controller_set_config(b->controller, next,
	    now->storage.unclean_leader_election_enable &&
		!was->storage.unclean_leader_election_enable);
	settings_take_listeners(b, was, now);
}

void
settings_take_on_loop(void *arg, const struct config *next)
{
	struct broker *b = arg;

	net_take_options(b->net, &config_options(next)->net);
}
