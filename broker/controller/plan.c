/* SPDX-License-Identifier: Apache-2.0 */
/* Source of rules, order and words: ZkAdminManager.createTopics,
 * AdminZkClient.validateTopicCreate, AdminUtils of 3.9. */
#include "controller/plan_int.h"

#include <stdio.h>

#include "base/placement.h"
#include "base/twins.h"

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

static void
plan_count_well(struct plan *plan, const struct plan_surroundings *around)
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
}

/* The brokers choose: the replicas of all partitions, one row. */
static void
plan_place(struct plan *plan, const struct plan_surroundings *around)
{
	size_t count = (size_t)plan->partition_count;
	size_t factor = (size_t)plan->replication_factor;
	struct placement_request request = {
		.partition_count = plan->partition_count,
		.replication_factor = plan->replication_factor,
		.fixed_start = -1,
		.random = around->random,
	};
	struct znode_assignment *partitions;
	struct placement_broker *brokers;
	int32_t *replicas;

	partitions = arena_array(around->arena, count, sizeof(*partitions));
	replicas = arena_array(around->arena, count * factor,
	    sizeof(*replicas));
	brokers = arena_array(around->arena, around->image->broker_count,
	    sizeof(*brokers));
	if (partitions == NULL || replicas == NULL || brokers == NULL) {
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return;
	}
	request.broker_count = suspects_avoid(around->controller,
	    around->image, factor, brokers);
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

/* Sorted by partition; of what is assigned twice the last counts.  NULL: no
 * memory. */
static struct znode_assignment *
plan_take_manual(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	size_t count = (size_t)asked->assignments_count;
	struct znode_assignment *partitions = arena_array(around->arena, count,
	    sizeof(*partitions));
	struct twin *twins = arena_array(around->arena, count, sizeof(*twins));
	const struct twin_ends *ends;

	if (partitions == NULL || twins == NULL)
		return (NULL);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){
			.number = asked->assignments[i].partition_index };
	ends = twins_find(around->arena, twins, count);
	if (ends == NULL)
		return (NULL);
	plan->partition_count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct create_topics_request_assignment *a =
		    &asked->assignments[twins[i].index];

		if (ends[twins[i].index].last == twins[i].index)
			partitions[plan->partition_count++] =
			    (struct znode_assignment){
				.partition = a->partition_index,
				.replicas = a->broker_ids,
				.replica_count = a->broker_ids_count,
			};
	}
	return (partitions);
}

/* The whole assignment, as Kafka writes its map, up to a bound. */
static void
plan_fail_repeated(struct plan *plan, const struct plan_surroundings *around,
    const struct znode_assignment *partitions)
{
	struct buffer text = BUFFER_EMPTY;

	buffer_append_text(&text, "Duplicate replica assignment found: "
	    "HashMap(");
	for (int32_t i = 0; i < plan->partition_count &&
	    text.length < PLAN_WORDS_MAX; i++) {
		buffer_printf(&text, "%s%d -> ArrayBuffer(", i == 0 ? "" : ", ",
		    (int)partitions[i].partition);
		for (int32_t j = 0; j < partitions[i].replica_count; j++)
			buffer_printf(&text, "%s%d", j == 0 ? "" : ", ",
			    (int)partitions[i].replicas[j]);
		buffer_append_text(&text, ")");
	}
	buffer_append_text(&text, ")");
	plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT, arena_strdup(
	    around->arena, buffer_text(&text)));
	buffer_fini(&text);
}

/* Replicas in number, and none of them twice. */
static void
plan_check_replicas(struct plan *plan, const struct plan_surroundings *around,
    const struct znode_assignment *partitions)
{
	const int32_t factor = partitions[0].replica_count;

	if ((int64_t)plan->partition_count * factor > PLAN_ASSIGNED_MAX)
		plan_fail(plan, ERR_INVALID_PARTITIONS,
		    "The assignment is too large for ZooKeeper");
	for (int32_t i = 0; i < plan->partition_count; i++)
		if (partitions[i].replica_count != factor)
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "All partitions should have the same number of "
			    "replicas");
	if (factor > PLAN_REPLICAS_MAX)
		plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
		    "A partition has too many replicas");
	if (factor == 0)
		plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
		    "A partition should have at least one replica");
	for (int32_t i = 0; i < plan->partition_count &&
	    plan->error == ERR_NONE; i++)
		if (placement_repeats(partitions[i].replicas, factor))
			plan_fail_repeated(plan, around, partitions);
}

static void
plan_place_manual(struct plan *plan, const struct plan_surroundings *around,
    const struct create_topics_request_topic *asked)
{
	struct znode_assignment *partitions = plan_take_manual(plan, around,
	    asked);

	if (partitions == NULL) {
		plan_fail(plan, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return;
	}
	plan_check_replicas(plan, around, partitions);
	for (int32_t i = 0; i < plan->partition_count; i++)
		if (partitions[i].partition != i)
			plan_fail(plan, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "partitions should be a consecutive 0-based "
			    "integer sequence");
	if (plan->error != ERR_NONE)
		return;
	plan->replication_factor = partitions[0].replica_count;
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
plan_check_name(struct plan *plan, const struct plan_surroundings *around,
    struct slice name)
{
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
	if (strcmp(plan->name, "__cluster_metadata") == 0)
		plan_fail(plan, ERR_INVALID_REQUEST, "Creation of internal "
		    "topic __cluster_metadata is prohibited.");
	if (strlen(plan->name) == asked->name.length)
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
	/* Kafka places before it looks at the name, and counts before that. */
	if (!manual)
		plan_count_well(plan, around);
	plan_check_name(plan, around, asked->name);
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
	/* In the order in which Kafka writes them. */
	config_map_set_text(m, "compression.type",
	    offsets ? "producer" : "uncompressed");
	config_map_set_text(m, "cleanup.policy", "compact");
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
	plan_check_name(plan, around, slice_of_text(topic));
	plan_check_new(plan, around);
	plan->partition_count = around->options->api.num_partitions;
	plan->replication_factor =
	    around->options->api.default_replication_factor;
	if (topic_name_internal(slice_of_text(topic)))
		plan_internal(plan, around->options);
	plan_count_well(plan, around);
	if (plan->error == ERR_NONE)
		plan_place(plan, around);
	if (plan->error == ERR_NONE)
		plan_encode_configs(plan, around);
}
