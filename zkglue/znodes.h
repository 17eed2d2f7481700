/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every znode's path and JSON, as Kafka 3.9 writes them: compact, keys in
 * Kafka's order; read with any order and unknown keys.  Decoders answer false
 * for what is not such a node; text and arrays come from the arena.
 * Source: kafka/zk/ZkData.scala; the shapes are told in doc/znodes.md.
 */
#ifndef ZKGLUE_ZNODES_H
#define ZKGLUE_ZNODES_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/uuid.h"

/* --- paths ---------------------------------------------------------------- */

#define ZNODE_BROKER_IDS "/brokers/ids"
#define ZNODE_BROKER_TOPICS "/brokers/topics"
#define ZNODE_BROKER_SEQID "/brokers/seqid"
#define ZNODE_CLUSTER_ID "/cluster/id"
#define ZNODE_CONTROLLER "/controller"
#define ZNODE_CONTROLLER_EPOCH "/controller_epoch"
#define ZNODE_DELETE_TOPICS "/admin/delete_topics"
#define ZNODE_REASSIGN_PARTITIONS "/admin/reassign_partitions"
#define ZNODE_PREFERRED_ELECTION "/admin/preferred_replica_election"
#define ZNODE_ISR_CHANGES "/isr_change_notification"
#define ZNODE_LOG_DIR_EVENTS "/log_dir_event_notification"
#define ZNODE_CONFIG_CHANGES "/config/changes"
#define ZNODE_PRODUCER_ID_BLOCK "/latest_producer_id_block"
#define ZNODE_FEATURE "/feature"
#define ZNODE_MIGRATION "/migration"

/* The tree that every broker makes at start; NULL-terminated. */
const char *const *znode_static_paths(void);

const char *znode_broker_path(struct arena *arena, int32_t broker_id);
const char *znode_topic_path(struct arena *arena, const char *topic);
const char *znode_partitions_path(struct arena *arena, const char *topic);
const char *znode_partition_path(struct arena *arena, const char *topic,
    int32_t partition);
const char *znode_state_path(struct arena *arena, const char *topic,
    int32_t partition);
const char *znode_delete_topic_path(struct arena *arena, const char *topic);
/* type "topics", "brokers", "users", "clients", "ips"; the name as it stands in
 * the path (already sanitized). */
const char *znode_config_path(struct arena *arena, const char *type,
    const char *name);
const char *znode_join(struct arena *arena, const char *parent,
    const char *child);
/* Where offsets were committed before __consumer_offsets; its data is decimal
 * text. */
const char *znode_consumer_offset_path(struct arena *arena, const char *group,
    const char *topic, int32_t partition);

/* --- /brokers/ids/N ------------------------------------------------------- */

struct znode_endpoint {
	const char *listener;
	const char *protocol; /* "PLAINTEXT" */
	const char *host;
	int32_t port;
};
struct znode_broker {
	struct znode_endpoint *endpoints;
	size_t endpoint_count;
	const char *rack; /* NULL: none */
	int64_t timestamp_ms;
	int32_t jmx_port;
};
/* Version 5. */
void znode_broker_encode(const struct znode_broker *broker,
    struct buffer *out);
/* Versions 1 to 5. */
bool znode_broker_decode(struct slice json, struct arena *arena,
    struct znode_broker *out);

/* --- /brokers/topics/T ---------------------------------------------------- */

struct znode_assignment {
	int32_t partition;
	int32_t *replicas;
	int32_t *adding;
	int32_t *removing;
	int32_t replica_count;
	int32_t adding_count;
	int32_t removing_count;
};
struct znode_topic {
	struct uuid id; /* zero: the node has none (versions 1 and 2) */
	struct znode_assignment *partitions; /* ascending by partition */
	size_t partition_count;
};
/* Version 3. */
void znode_topic_encode(const struct znode_topic *topic, struct buffer *out);
bool znode_topic_decode(struct slice json, struct arena *arena,
    struct znode_topic *out);

/* --- .../partitions/P/state ----------------------------------------------- */

struct znode_state {
	int32_t controller_epoch;
	int32_t leader; /* -1: none */
	int32_t leader_epoch;
	int32_t *isr;
	int32_t isr_count;
	bool recovering; /* leader_recovery_state 1 */
};
void znode_state_encode(const struct znode_state *state, struct buffer *out);
bool znode_state_decode(struct slice json, struct arena *arena,
    struct znode_state *out);

/* --- the small ones ------------------------------------------------------- */

struct znode_controller {
	int32_t broker_id;
	int64_t timestamp_ms;
	int32_t kraft_controller_epoch; /* -1: none; above 0: KRaft took over */
};
void znode_controller_encode(const struct znode_controller *controller,
    struct buffer *out);
bool znode_controller_decode(struct slice json,
    struct znode_controller *out);

void znode_cluster_id_encode(const char *id, struct buffer *out);
bool znode_cluster_id_decode(struct slice json, struct arena *arena,
    const char **out);

/* Decimal text. */
void znode_epoch_encode(int32_t epoch, struct buffer *out);
bool znode_epoch_decode(struct slice text, int32_t *out);

struct znode_config_entry {
	const char *name;
	const char *value;
};
struct znode_config {
	struct znode_config_entry *entries;
	size_t entry_count;
};
void znode_config_encode(const struct znode_config *config,
    struct buffer *out);
/* No data, and no "config" in it, are no entries, as for Kafka. */
bool znode_config_decode(struct slice json, struct arena *arena,
    struct znode_config *out);
/* The same of a map; false also for what does not fit. */
struct config_map;
void znode_config_encode_map(const struct config_map *map, struct buffer *out);
bool znode_config_decode_map(struct slice json, struct config_map *map);

/* /config/changes/config_change_S: "topics/t"; both versions are read. */
void znode_config_change_encode(const char *entity_path, struct buffer *out);
bool znode_config_change_decode(struct slice json, struct arena *arena,
    const char **entity_path);

struct znode_producer_ids {
	int32_t broker_id;
	int64_t first;
	int64_t last; /* inclusive */
};
void znode_producer_ids_encode(const struct znode_producer_ids *block,
    struct buffer *out);
bool znode_producer_ids_decode(struct slice json,
    struct znode_producer_ids *out);

struct znode_feature {
	bool enabled;
	int32_t version;
	size_t feature_count; /* finalized ones; ours are none */
};
void znode_feature_encode(const struct znode_feature *feature,
    struct buffer *out);
bool znode_feature_decode(struct slice json, struct znode_feature *out);

/* /log_dir_event_notification/log_dir_event_S */
void znode_log_dir_event_encode(int32_t broker_id, struct buffer *out);
bool znode_log_dir_event_decode(struct slice json, int32_t *broker_id);

struct znode_topic_partition {
	const char *topic;
	int32_t partition;
	int32_t *replicas; /* reassignment only */
	int32_t replica_count;
};
/* /isr_change_notification/isr_change_S and /admin/preferred_replica_election
 * (no replicas), /admin/reassign_partitions (with them). */
struct znode_partitions {
	struct znode_topic_partition *items;
	size_t count;
};
void znode_partitions_encode(const struct znode_partitions *partitions,
    bool with_replicas, struct buffer *out);
bool znode_partitions_decode(struct slice json, struct arena *arena,
    struct znode_partitions *out);

#endif
