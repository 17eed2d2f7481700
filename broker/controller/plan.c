/* SPDX-License-Identifier: Apache-2.0 */
/* Source of rules, order and words: ZkAdminManager.createTopics,
 * AdminZkClient.validateTopicCreate, AdminUtils of 3.9. */
#include "controller/plan_int.h"

#include <stdio.h>

#include "controller/placement.h"

void
plan_fail(struct plan *plan, enum error error, const char *message)
{
	if (plan->error != ERR_NONE)
		return;
	plan->error = error;
	plan->message = message;
}

void
plan_fini(struct plan *plan)
{
	config_map_fini(&plan->configs);
}

bool
plan_has_collision_characters(const struct plan *plan)
{
	return (strpbrk(plan->name, "._") != NULL);
}

/* --- configs -------------------------------------------------------------- */

static void
plan_null_configs(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	struct buffer text = BUFFER_EMPTY;

	for (int32_t i = 0; i < asked->configs_count; i++)
		if (asked->configs[i].value.data == NULL) {
			buffer_append_text(&text, text.length == 0 ?
			    "Null value not supported for topic configs: " :
			    ",");
			buffer_append_slice(&text, asked->configs[i].name);
		}
	if (text.length > 0)
		plan_fail(plan, ERR_INVALID_CONFIG, arena_slice_text(
		    around->arena, buffer_slice(&text)));
	buffer_fini(&text);
}

static void
plan_take_configs(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	char why[OPTION_ERROR_SIZE];

	for (int32_t i = 0; i < asked->configs_count; i++)
		if (asked->configs[i].value.data != NULL &&
		    !config_map_set(&plan->configs, asked->configs[i].name,
			asked->configs[i].value, 0))
			plan_fail(plan, ERR_INVALID_CONFIG,
			    "The topic's configs are too many, too long, or "
			    "hold a NUL");
	if (plan->error == ERR_NONE && !topic_options_check(around->options,
	    TOPIC_OF_USER, &plan->configs, why))
		plan_fail(plan, ERR_INVALID_CONFIG, arena_strdup(
		    around->arena, why));
}

static void
plan_encode_configs(struct plan *plan, const struct plan_surroundings *around)
{
	struct buffer json = BUFFER_EMPTY;
	struct znode_config config = { .entry_count =
	    config_map_count(&plan->configs) };
	size_t i = 0;
	bool ok = true;

	config.entries = arena_array(around->arena, config.entry_count,
	    sizeof(*config.entries));
	if (config.entries != NULL) {
		CONFIG_MAP_EACH(entry, &plan->configs)
			config.entries[i++] = (struct znode_config_entry){
			    entry->name, entry->value };
		znode_config_encode(&config, &json);
		plan->config_json = arena_slice_copy(around->arena,
		    buffer_slice(&json), &ok);
		buffer_fini(&json);
	}
	if (config.entries == NULL || !ok)
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
}

/* --- assignments ---------------------------------------------------------- */

static void
plan_encode_topic(struct plan *plan, const struct plan_surroundings *around,
    struct znode_assignment *partitions)
{
	struct znode_topic topic = {
		.partitions = partitions,
		.partition_count = (size_t)plan->partition_count,
	};
	struct buffer json = BUFFER_EMPTY;
	bool ok = true;

	plan->id = topic.id = uuid_random(around->random);
	znode_topic_encode(&topic, &json);
	plan->topic_json = arena_slice_copy(around->arena, buffer_slice(&json),
	    &ok);
	buffer_fini(&json);
	if (!ok)
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
}

static bool
plan_numbers_well(struct plan *plan, const struct plan_surroundings *around)
{
	size_t brokers = around->image->broker_count;

	if (plan->partition_count <= 0)
		plan_fail(plan, ERR_INVALID_PARTITIONS,
		    "Number of partitions must be larger than 0.");
	else if (plan->partition_count > PLAN_PARTITIONS_MAX)
		plan_fail(plan, ERR_INVALID_PARTITIONS, arena_printf(
		    around->arena, "Number of partitions must not be larger "
		    "than %d.", PLAN_PARTITIONS_MAX));
	else if (plan->replication_factor > 0 &&
	    (int64_t)plan->partition_count * plan->replication_factor >
		PLAN_ASSIGNED_MAX)
		plan_fail(plan, ERR_INVALID_PARTITIONS,
		    "The assignment is too large for ZooKeeper");
	else if (plan->replication_factor <= 0)
		plan_fail(plan, ERR_INVALID_REPLICATION_FACTOR,
		    "Replication factor must be larger than 0.");
	else if ((size_t)plan->replication_factor > brokers)
		plan_fail(plan, ERR_INVALID_REPLICATION_FACTOR, arena_printf(
		    around->arena, "Replication factor: %d larger than "
		    "available brokers: %zu.", (int)plan->replication_factor,
		    brokers));
	return (plan->error == ERR_NONE);
}

/* The brokers choose: the replicas of all partitions, one row. */
static void
plan_place(struct plan *plan, const struct plan_surroundings *around)
{
	size_t count = (size_t)plan->partition_count;
	size_t factor = (size_t)plan->replication_factor;
	struct placement_request request = {
		.broker_count = around->image->broker_count,
		.partition_count = plan->partition_count,
		.replication_factor = plan->replication_factor,
		.fixed_start = -1,
		.random = around->random,
	};
	struct znode_assignment *partitions;
	struct placement_broker *brokers;
	int32_t *replicas;

	if (!plan_numbers_well(plan, around))
		return;
	partitions = arena_array(around->arena, count, sizeof(*partitions));
	replicas = arena_array(around->arena, count * factor,
	    sizeof(*replicas));
	brokers = arena_array(around->arena, request.broker_count,
	    sizeof(*brokers));
	if (partitions == NULL || replicas == NULL || brokers == NULL) {
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return;
	}
	for (size_t i = 0; i < request.broker_count; i++)
		brokers[i] = (struct placement_broker){
			around->image->brokers[i]->id,
			around->image->brokers[i]->rack };
	request.brokers = brokers;
	if (!placement_assign(&request, replicas)) {
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "Not all brokers "
		    "have rack information for replica rack aware assignment.");
		return;
	}
	for (size_t i = 0; i < count; i++)
		partitions[i] = (struct znode_assignment){
			.partition = (int32_t)i,
			.replicas = replicas + i * factor,
			.replica_count = plan->replication_factor,
		};
	plan_encode_topic(plan, around, partitions);
}

/* One place for each partition: ids from 0 without a gap, none twice. */
static bool
plan_sort_manual(struct plan *plan,
    const struct create_topics_request_topic *asked,
    struct znode_assignment *partitions)
{
	for (int32_t i = 0; i < asked->assignments_count; i++) {
		const struct create_topics_request_assignment *a =
		    &asked->assignments[i];
		struct znode_assignment *to;

		if (a->partition_index < 0 ||
		    a->partition_index >= asked->assignments_count)
			return (false);
		to = &partitions[a->partition_index];
		if (to->replicas != NULL)
			return (false);
		to->partition = a->partition_index;
		to->replicas = a->broker_ids;
		to->replica_count = a->broker_ids_count;
	}
	plan->partition_count = asked->assignments_count;
	return (true);
}

static void
plan_place_manual(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	const struct create_topics_request_assignment *first =
	    &asked->assignments[0];
	struct znode_assignment *partitions = arena_array(around->arena,
	    (size_t)asked->assignments_count, sizeof(*partitions));
	int64_t assigned = 0;

	if (partitions == NULL) {
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return;
	}
	for (int32_t i = 0; i < asked->assignments_count &&
	    plan->error == ERR_NONE; i++) {
		const struct create_topics_request_assignment *a =
		    &asked->assignments[i];

		assigned += a->broker_ids_count;
		if (assigned > PLAN_ASSIGNED_MAX)
			plan_fail(plan, ERR_INVALID_PARTITIONS,
			    "The assignment is too large for ZooKeeper");
		else if (a->broker_ids_count != first->broker_ids_count)
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "All partitions should have the same number of "
			    "replicas");
		else if (a->broker_ids_count > PLAN_REPLICAS_MAX)
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "A partition has too many replicas");
		else if (a->broker_ids_count == 0)
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "A partition should have at least one replica");
		else if (placement_repeats(a->broker_ids,
		    a->broker_ids_count))
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    arena_printf(around->arena, "Duplicate replica "
			    "assignment found for partition %d",
			    (int)a->partition_index));
	}
	if (plan->error != ERR_NONE)
		return;
	if (!plan_sort_manual(plan, asked, partitions)) {
		plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT, "partitions "
		    "should be a consecutive 0-based integer sequence");
		return;
	}
	plan->replication_factor = first->broker_ids_count;
	plan_encode_topic(plan, around, partitions);
}

/* --- plans ---------------------------------------------------------------- */

static void
plan_init(struct plan *plan)
{
	*plan = (struct plan){ .partition_count = -1,
		.replication_factor = -1 };
	config_map_init(&plan->configs);
}

void
plan_refuse(struct plan *plan, enum error error)
{
	plan_init(plan);
	plan->name = "";
	plan->error = error;
}

static void
plan_check_name(struct plan *plan, const struct plan_surroundings *around)
{
	struct slice name = slice_of_text(plan->name);
	const char *why;

	if (!topic_name_valid(name, &why))
		plan_fail(plan, ERR_INVALID_TOPIC_EXCEPTION,
		    topic_name_complaint(around->arena, name, why));
}

static void
plan_check_new(struct plan *plan, const struct plan_surroundings *around)
{
	if (image_topic(around->image, slice_of_text(plan->name)) != NULL)
		plan_fail(plan, ERR_TOPIC_ALREADY_EXISTS, arena_printf(
		    around->arena, "Topic '%s' already exists.", plan->name));
}

void
plan_make(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	bool counts = asked->num_partitions != -1 ||
	    asked->replication_factor != -1;
	bool manual = asked->assignments_count > 0;

	plan_init(plan);
	plan->name = arena_slice_text(around->arena, asked->name);
	if (plan->name == NULL) {
		plan->name = "";
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return;
	}
	if (strlen(plan->name) != asked->name.length)
		plan_fail(plan, ERR_INVALID_TOPIC_EXCEPTION,
		    "Topic name is invalid: it contains a NUL");
	if (strcmp(plan->name, "__cluster_metadata") == 0)
		plan_fail(plan, ERR_INVALID_REQUEST, "Creation of internal "
		    "topic __cluster_metadata is prohibited.");
	plan_check_new(plan, around);
	plan_null_configs(plan, around, asked);
	if (counts && manual)
		plan_fail(plan, ERR_INVALID_REQUEST, "Both numPartitions or "
		    "replicationFactor and replicasAssignments were set. Both "
		    "cannot be used at the same time.");
	if (plan->error != ERR_NONE)
		return;
	plan->partition_count = asked->num_partitions == -1 ?
	    around->options->api.num_partitions : asked->num_partitions;
	plan->replication_factor = asked->replication_factor == -1 ?
	    around->options->api.default_replication_factor :
	    asked->replication_factor;
	/* Kafka places before it looks at the name; here the name comes first,
	 * which is cheaper to refuse. */
	plan_check_name(plan, around);
	if (plan->error == ERR_NONE && manual)
		plan_place_manual(plan, around, asked);
	else if (plan->error == ERR_NONE)
		plan_place(plan, around);
	plan_take_configs(plan, around, asked);
	if (plan->error == ERR_NONE)
		plan_encode_configs(plan, around);
}

/* --- automatic ------------------------------------------------------------ */

static void
plan_internal(struct plan *plan, const struct broker_options *o)
{
	char text[24];
	bool offsets = strcmp(plan->name, "__consumer_offsets") == 0;
	struct config_map *m = &plan->configs;

	plan->partition_count = offsets ?
	    o->group.offsets_topic_num_partitions :
	    o->txn.state_log_num_partitions;
	plan->replication_factor = offsets ?
	    o->group.offsets_topic_replication_factor :
	    o->txn.state_log_replication_factor;
	config_map_set_text(m, "cleanup.policy", "compact");
	config_map_set_text(m, "compression.type",
	    offsets ? "producer" : "uncompressed");
	snprintf(text, sizeof(text), "%d", (int)(offsets ?
	    o->group.offsets_topic_segment_bytes :
	    o->txn.state_log_segment_bytes));
	config_map_set_text(m, "segment.bytes", text);
	if (offsets)
		return;
	config_map_set_text(m, "unclean.leader.election.enable", "false");
	snprintf(text, sizeof(text), "%d", (int)o->txn.state_log_min_isr);
	config_map_set_text(m, "min.insync.replicas", text);
}

void
plan_make_automatic(struct plan *plan, const struct plan_surroundings *around,
    const char *topic)
{
	plan_init(plan);
	plan->name = topic;
	plan_check_name(plan, around);
	plan_check_new(plan, around);
	plan->partition_count = around->options->api.num_partitions;
	plan->replication_factor =
	    around->options->api.default_replication_factor;
	if (topic_name_internal(slice_of_text(topic)))
		plan_internal(plan, around->options);
	if (plan->error == ERR_NONE)
		plan_place(plan, around);
	if (plan->error == ERR_NONE)
		plan_encode_configs(plan, around);
}
