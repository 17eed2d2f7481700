/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `topics --describe` prints.  The text is that of kafka-topics.sh, tab
 * for tab:
 *
 *	Topic: t  TopicId: x  PartitionCount: n  ReplicationFactor: n ...
 *	  Topic: t  Partition: 0  Leader: 1  Replicas: 1,2  Isr: 1,2 ...
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/json_out.h"
#include "tools/moves.h"
#include "tools/topics.h"

typedef struct metadata_response_topic topic_facts;
typedef struct metadata_response_partition partition_facts;
typedef struct list_partition_reassignments_response_partition move_facts;

/* ConfigSource DEFAULT_CONFIG: nobody has set it. */
enum { CONFIG_SOURCE_DEFAULT = 5 };

struct described {
	const struct topics_facts *facts;
	const struct topics_wanted *wanted;
	const topic_facts *topic;
	const struct describe_configs_response_result *configs;
	const partition_facts **partitions; /* by number */
	int32_t min_isr; /* -1: not known */
};

static bool
wants_part(const struct topics_wanted *wanted)
{
	return (wanted->under_replicated || wanted->unavailable ||
	    wanted->under_min_isr || wanted->at_min_isr);
}

/* --- looking things up ---------------------------------------------------- */

/* Answers come in the order of the question, as a rule: `nth` is the topic. */
static const struct describe_configs_response_result *
configs_of(const struct describe_configs_response *all, struct slice topic,
    size_t nth)
{
	if (all != NULL && nth < (size_t)all->results_count &&
	    slice_equal(all->results[nth].resource_name, topic))
		return (&all->results[nth]);
	for (int32_t i = 0; all != NULL && i < all->results_count; i++)
		if (slice_equal(all->results[i].resource_name, topic))
			return (&all->results[i]);
	return (NULL);
}

static bool
config_is_default(const struct describe_configs_response_config *config)
{
	return (config->config_source == CONFIG_SOURCE_DEFAULT ||
	    config->is_default);
}

static int32_t
min_isr_of(const struct describe_configs_response_result *configs)
{
	int32_t number;

	for (int32_t i = 0; configs != NULL && i < configs->configs_count; i++)
		if (slice_equal_text(configs->configs[i].name,
			"min.insync.replicas") &&
		    text_to_int32(configs->configs[i].value, &number))
			return (number);
	return (-1);
}

static bool
has_overrides(const struct described *d)
{
	for (int32_t i = 0;
	     d->configs != NULL && i < d->configs->configs_count; i++)
		if (!config_is_default(&d->configs->configs[i]))
			return (true);
	return (false);
}

static bool
ids_hold(const int32_t *ids, int32_t count, int32_t id)
{
	for (int32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return (true);
	return (false);
}

static const move_facts *
move_of(const struct described *d, const partition_facts *partition)
{
	return (moves_find(d->facts->moves, d->topic->name,
	    partition->partition_index));
}

/* A move that has ended since is none: its replicas are not there any more. */
static int32_t
replication_factor(const partition_facts *partition, const move_facts *move)
{
	for (int32_t i = 0; move != NULL && i < partition->replica_nodes_count;
	     i++) {
		const int32_t id = partition->replica_nodes[i];

		if (ids_hold(move->adding_replicas,
			move->adding_replicas_count, id) ||
		    ids_hold(move->removing_replicas,
			move->removing_replicas_count, id))
			return (move->replicas_count -
			    move->adding_replicas_count);
	}
	return (partition->replica_nodes_count);
}

/* A leader whose broker is gone is none. */
static bool
has_leader(const struct described *d, const partition_facts *partition)
{
	const struct metadata_response *metadata = d->facts->metadata;

	for (int32_t i = 0; i < metadata->brokers_count; i++)
		if (metadata->brokers[i].node_id == partition->leader_id)
			return (partition->leader_id >= 0);
	return (false);
}

static bool
is_shown(const struct described *d, const partition_facts *partition)
{
	const struct topics_wanted *wanted = d->wanted;
	const int32_t isr = partition->isr_nodes_count;

	if (wanted->with_overrides)
		return (false);
	if (!wants_part(wanted))
		return (true);
	if (wanted->under_replicated &&
	    replication_factor(partition, move_of(d, partition)) > isr)
		return (true);
	if (wanted->unavailable && !has_leader(d, partition))
		return (true);
	if (wanted->under_min_isr &&
	    (!has_leader(d, partition) || isr < d->min_isr))
		return (true);
	return (wanted->at_min_isr && isr == d->min_isr);
}

static int
partition_compare(const void *a, const void *b)
{
	const partition_facts *const *x = a;
	const partition_facts *const *y = b;

	return (((*x)->partition_index > (*y)->partition_index) -
	    ((*x)->partition_index < (*y)->partition_index));
}

static void
described_init(struct described *d, const struct topics_facts *facts,
    const struct topics_wanted *wanted, const topic_facts *const *topics,
    size_t nth)
{
	const topic_facts *topic = topics[nth];
	const size_t count = (size_t)topic->partitions_count;

	d->facts = facts;
	d->wanted = wanted;
	d->topic = topic;
	d->configs = configs_of(facts->configs, topic->name, nth);
	d->min_isr = min_isr_of(d->configs);
	d->partitions = mem_zalloc((count + 1) * sizeof(*d->partitions));
	for (size_t i = 0; i < count; i++)
		d->partitions[i] = &topic->partitions[i];
	if (count > 1)
		qsort(d->partitions, count, sizeof(*d->partitions),
		    partition_compare);
}

static void
described_fini(struct described *d)
{
	mem_free(d->partitions);
}

/* --- counts --------------------------------------------------------------- */

static const struct topics_wanted wanted_under_replicated = {
	.under_replicated = true
};
static const struct topics_wanted wanted_unavailable = {
	.unavailable = true
};
static const struct topics_wanted wanted_under_min_isr = {
	.under_min_isr = true
};

static bool
is_one_of(struct described *d, const struct topics_wanted *wanted,
    const partition_facts *partition)
{
	d->wanted = wanted;
	return (is_shown(d, partition));
}

static int
ill_compare(const void *a, const void *b)
{
	const struct topics_ill *x = a;
	const struct topics_ill *y = b;
	const int order = slice_compare(x->topic, y->topic);

	return (order != 0 ? order
			   : (x->partition > y->partition) -
		    (x->partition < y->partition));
}

static void
count_partition(struct described *d, const partition_facts *partition,
    const struct topics_counts *before, struct topics_counts *out)
{
	const struct topics_ill key = { .topic = d->topic->name,
		.partition = partition->partition_index };
	const bool gone = is_one_of(d, &wanted_unavailable, partition);
	const bool fewer = is_one_of(d, &wanted_under_replicated, partition);
	const bool under =
	    !gone && is_one_of(d, &wanted_under_min_isr, partition);

	if ((!gone && !fewer && !under) ||
	    (before != NULL &&
		(before->ill_count == 0 ||
		    bsearch(&key, before->ill, before->ill_count, sizeof(key),
			ill_compare) == NULL)))
		return;
	out->unavailable += gone;
	out->under_replicated += fewer;
	out->under_min_isr += under;
	out->ill[out->ill_count++] = key;
}

void
topics_count(const struct topics_facts *facts,
    const struct metadata_response_topic *const *topics, size_t count,
    const struct topics_counts *before, struct topics_counts *out)
{
	struct described d;

	*out = (struct topics_counts) { 0 };
	for (size_t i = 0; i < count; i++)
		out->partitions += (size_t)topics[i]->partitions_count;
	out->ill = mem_zalloc((out->partitions + 1) * sizeof(*out->ill));
	for (size_t i = 0; i < count; i++) {
		described_init(&d, facts, &wanted_unavailable, topics, i);
		for (int32_t p = 0; p < topics[i]->partitions_count; p++)
			count_partition(&d, d.partitions[p], before, out);
		described_fini(&d);
	}
	if (out->ill_count > 1)
		qsort(out->ill, out->ill_count, sizeof(*out->ill),
		    ill_compare);
}

void
topics_counts_fini(struct topics_counts *counts)
{
	mem_free(counts->ill);
	counts->ill = NULL;
	counts->ill_count = 0;
}

/* --- text ----------------------------------------------------------------- */

static void
put_ids(struct buffer *out, const char *name, const int32_t *ids,
    int32_t count)
{
	buffer_printf(out, "\t%s: ", name);
	for (int32_t i = 0; i < count; i++)
		buffer_printf(out, i == 0 ? "%d" : ",%d", ids[i]);
}

static void
put_configs(struct buffer *out,
    const struct describe_configs_response_result *configs)
{
	const char *separator = "";

	buffer_append_text(out, "\tConfigs: ");
	for (int32_t i = 0; configs != NULL && i < configs->configs_count;
	     i++) {
		const struct describe_configs_response_config *config =
		    &configs->configs[i];

		if (config_is_default(config))
			continue;
		buffer_printf(out, "%s%.*s=", separator,
		    SLICE_ARGS(config->name));
		if (config->value.data == NULL)
			buffer_append_text(out, "null");
		buffer_append_slice(out, config->value);
		separator = ",";
	}
}

static void
put_topic(struct buffer *out, const struct described *d)
{
	const topic_facts *topic = d->topic;
	char id[UUID_TEXT_SIZE];
	int32_t factor = 0;

	if (topic->partitions_count > 0)
		factor = replication_factor(d->partitions[0],
		    move_of(d, d->partitions[0]));
	buffer_printf(out, "Topic: %.*s", SLICE_ARGS(topic->name));
	uuid_to_text(topic->topic_id, id);
	if (!uuid_is_zero(topic->topic_id))
		buffer_printf(out, "\tTopicId: %s", id);
	buffer_printf(out, "\tPartitionCount: %d\tReplicationFactor: %d",
	    topic->partitions_count, factor);
	put_configs(out, d->configs);
	buffer_append_text(out, "\n");
}

static void
put_partition(struct buffer *out, const struct described *d,
    const partition_facts *partition)
{
	const move_facts *move = move_of(d, partition);

	buffer_printf(out, "\tTopic: %.*s\tPartition: %d\tLeader: ",
	    SLICE_ARGS(d->topic->name), partition->partition_index);
	if (has_leader(d, partition))
		buffer_printf(out, "%d", partition->leader_id);
	else
		buffer_append_text(out, "none");
	put_ids(out, "Replicas", partition->replica_nodes,
	    partition->replica_nodes_count);
	put_ids(out, "Isr", partition->isr_nodes, partition->isr_nodes_count);
	if (move != NULL) {
		put_ids(out, "Adding Replicas", move->adding_replicas,
		    move->adding_replicas_count);
		put_ids(out, "Removing Replicas", move->removing_replicas,
		    move->removing_replicas_count);
	}
	/* Eligible leader replicas (KIP-966) are KRaft's. */
	buffer_append_text(out, "\tElr: N/A\tLastKnownElr: N/A\n");
}

void
topics_describe_text(const struct topics_facts *facts,
    const struct topics_wanted *wanted,
    const struct metadata_response_topic *const *topics, size_t count,
    struct buffer *out)
{
	struct described d;

	for (size_t i = 0; i < count; i++) {
		described_init(&d, facts, wanted, topics, i);
		if (!wants_part(wanted) &&
		    (!wanted->with_overrides || has_overrides(&d)))
			put_topic(out, &d);
		for (int32_t p = 0; p < topics[i]->partitions_count; p++)
			if (is_shown(&d, d.partitions[p]))
				put_partition(out, &d, d.partitions[p]);
		described_fini(&d);
	}
}

/* --- JSON ----------------------------------------------------------------- */

static void
json_configs(struct json_out *json,
    const struct describe_configs_response_result *configs)
{
	json_open(json, "configs", '{');
	for (int32_t i = 0; configs != NULL && i < configs->configs_count;
	     i++) {
		const struct describe_configs_response_config *config =
		    &configs->configs[i];
		char *name;

		if (config_is_default(config))
			continue;
		name = mem_strndup((const char *)config->name.data,
		    config->name.length);
		json_text(json, name, config->value);
		mem_free(name);
	}
	json_close(json, '}');
}

static void
json_partition(struct json_out *json, const struct described *d,
    const partition_facts *partition)
{
	const move_facts *move = move_of(d, partition);

	json_open(json, NULL, '{');
	json_int(json, "partition", partition->partition_index);
	if (has_leader(d, partition))
		json_int(json, "leader", partition->leader_id);
	else
		json_none(json, "leader");
	json_int(json, "leaderEpoch", partition->leader_epoch);
	json_ints(json, "replicas", partition->replica_nodes,
	    (size_t)partition->replica_nodes_count);
	json_ints(json, "isr", partition->isr_nodes,
	    (size_t)partition->isr_nodes_count);
	if (move != NULL) {
		json_ints(json, "addingReplicas", move->adding_replicas,
		    (size_t)move->adding_replicas_count);
		json_ints(json, "removingReplicas", move->removing_replicas,
		    (size_t)move->removing_replicas_count);
	}
	json_close(json, '}');
}

static void
json_topic(struct json_out *json, const struct described *d)
{
	char id[UUID_TEXT_SIZE];

	json_open(json, NULL, '{');
	json_text(json, "topic", d->topic->name);
	uuid_to_text(d->topic->topic_id, id);
	if (!uuid_is_zero(d->topic->topic_id))
		json_text(json, "topicId", slice_of_text(id));
	json_bool(json, "internal", d->topic->is_internal);
	json_int(json, "partitionCount", d->topic->partitions_count);
	json_int(json, "replicationFactor",
	    d->topic->partitions_count == 0
		? 0
		: replication_factor(d->partitions[0],
		      move_of(d, d->partitions[0])));
	json_configs(json, d->configs);
	json_open(json, "partitions", '[');
	for (int32_t p = 0; p < d->topic->partitions_count; p++)
		if (is_shown(d, d->partitions[p]))
			json_partition(json, d, d->partitions[p]);
	json_close(json, ']');
	json_close(json, '}');
}

/* A topic of which nothing is to be shown is left out, as in the text. */
static bool
json_shows(const struct described *d)
{
	if (d->wanted->with_overrides)
		return (has_overrides(d));
	if (!wants_part(d->wanted))
		return (true);
	for (int32_t p = 0; p < d->topic->partitions_count; p++)
		if (is_shown(d, d->partitions[p]))
			return (true);
	return (false);
}

void
topics_describe_json(const struct topics_facts *facts,
    const struct topics_wanted *wanted,
    const struct metadata_response_topic *const *topics, size_t count,
    struct buffer *out)
{
	struct described d;
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "topics", '[');
	for (size_t i = 0; i < count; i++) {
		described_init(&d, facts, wanted, topics, i);
		if (json_shows(&d))
			json_topic(&json, &d);
		described_fini(&d);
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}
