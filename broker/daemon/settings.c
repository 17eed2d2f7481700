/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configs on their way to the rooms.  A topic's comes alone, by its own znode;
 * what holds for all, a generation of the broker's config, comes in this order:
 *
 *	settings_prepare        a worker: what asks for names of hosts
 *	settings_take           the controller's loop: topics' defaults, logs,
 *	                        replicas, the controller, workers
 *	settings_take_on_loop   each loop: its connections
 */
#include "daemon/settings.h"

#include "daemon/broker_int.h"

/* --- topics --------------------------------------------------------------- */

static void
settings_of_options(const struct topic_options *options,
    struct log_settings *out)
{
	/* What is compacted only is not deleted by age or size. */
	const bool deletes = (options->cleanup & CLEANUP_DELETE) != 0;

	*out = (struct log_settings){
		.segment_bytes = options->segment_bytes,
		.segment_ms = options->segment_ms,
		.segment_jitter_ms = options->segment_jitter_ms,
		.index_bytes = options->segment_index_bytes,
		.index_interval_bytes = options->index_interval_bytes,
		.retention_ms = deletes ? options->retention_ms : -1,
		.retention_bytes = deletes ? options->retention_bytes : -1,
		.file_delete_delay_ms = options->file_delete_delay_ms,
		.flush_messages = options->flush_messages,
		.flush_ms = options->flush_ms,
		.preallocate = options->preallocate,
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

void
settings_prepare(struct broker *b, const struct config *next)
{
	net_take_address_bounds(b->net, &config_options(next)->net);
}

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
	storage_set_options(b->storage, &now->storage);
	configs_set_defaults(b->configs, next);
	storage_each_log(b->storage, settings_log_renewed, b);
	replicas_defaults_changed(b->replicas);
	/* Kafka's controller elects when its own broker's default is switched
	 * on: DynamicLogConfig.reconfigure. */
	controller_set_config(b->controller, next,
	    now->storage.unclean_leader_election_enable &&
		!was->storage.unclean_leader_election_enable);
}

void
settings_take_on_loop(void *arg, const struct config *next)
{
	struct broker *b = arg;

	net_take_options(b->net, &config_options(next)->net);
}
