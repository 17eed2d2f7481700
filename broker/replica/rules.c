/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a topic's config says to those who append to one partition: resolved
 * when first asked for, written anew when the config changes, and read by each
 * produce without a lock.
 *
 *	[unknown] --first produce--> [known] --config changed--> [known] ...
 *	    \____________config changed____^
 *
 * The room of configs shows a change to those who ask it before it tells of it
 * here.  Who has asked before that, and comes late, finds the newer rules and
 * leaves them.
 */
#include "config/topic.h"
#include "replica/replica_int.h"

void
replica_set_rules(struct replica *replica, const struct topic_options *options)
{
	struct replica_rules rules = {
		.timestamp_before_max_ms =
		    options->message_timestamp_before_max_ms,
		.timestamp_after_max_ms =
		    options->message_timestamp_after_max_ms,
		.max_message_bytes = options->max_message_bytes,
		.segment_bytes = options->segment_bytes,
		.min_insync = options->min_insync_replicas,
		.codec = options->codec,
		.codec_level = options->codec_level,
		.compacted = (options->cleanup & CLEANUP_COMPACT) != 0,
		.log_append_time = options->log_append_time,
		.throttled_as_leader = throttle_names(
		    options->leader_replication_throttled_replicas,
		    replica->partition, replica->replicas->setup.broker_id),
		.throttled_as_follower = throttle_names(
		    options->follower_replication_throttled_replicas,
		    replica->partition, replica->replicas->setup.broker_id),
	};
	uint64_t words[RULES_WORDS] = { 0 };

	memcpy(words, &rules, sizeof(rules));
	words_write(&replica->rules_sequence, replica->rules, words,
	    RULES_WORDS);
	atomic_store_explicit(&replica->min_insync, rules.min_insync,
	    memory_order_relaxed);
}

static void
rules_ask(struct replica *replica)
{
	const struct topic_config *config = configs_topic(
	    replica->replicas->setup.configs, replica->topic);

	lock_take(&replica->state);
	if (atomic_load_explicit(&replica->rules_sequence,
		memory_order_relaxed) == 0)
		replica_set_rules(replica, config->options);
	lock_release(&replica->state);
	topic_config_unref(config);
}

void
replica_rules(struct replica *replica, struct replica_rules *out)
{
	uint64_t words[RULES_WORDS];

	if (atomic_load_explicit(&replica->rules_sequence,
		memory_order_relaxed) == 0)
		rules_ask(replica);
	(void)words_read(&replica->rules_sequence, replica->rules, words,
	    RULES_WORDS);
	memcpy(out, words, sizeof(*out));
}
