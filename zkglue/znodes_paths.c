/* SPDX-License-Identifier: Apache-2.0 */
#include "zkglue/znodes.h"

#include <inttypes.h>

/* In the order in which a broker makes them, as ZkData.PersistentZkPaths. */
static const char *const static_paths[] = {
	"/consumers",
	ZNODE_BROKER_IDS,
	ZNODE_BROKER_TOPICS,
	ZNODE_CONFIG_CHANGES,
	ZNODE_DELETE_TOPICS,
	ZNODE_BROKER_SEQID,
	ZNODE_ISR_CHANGES,
	ZNODE_PRODUCER_ID_BLOCK,
	ZNODE_LOG_DIR_EVENTS,
	"/config/topics",
	"/config/clients",
	"/config/users",
	"/config/brokers",
	"/config/ips",
	NULL,
};

const char *const *
znode_static_paths(void)
{
	return (static_paths);
}

const char *
znode_broker_path(struct arena *arena, int32_t broker_id)
{
	return (arena_printf(arena, ZNODE_BROKER_IDS "/%" PRId32, broker_id));
}

const char *
znode_topic_path(struct arena *arena, const char *topic)
{
	return (znode_join(arena, ZNODE_BROKER_TOPICS, topic));
}

const char *
znode_partitions_path(struct arena *arena, const char *topic)
{
	return (arena_printf(arena, ZNODE_BROKER_TOPICS "/%s/partitions",
	    topic));
}

const char *
znode_partition_path(struct arena *arena, const char *topic,
    int32_t partition)
{
	return (arena_printf(arena,
	    ZNODE_BROKER_TOPICS "/%s/partitions/%" PRId32, topic, partition));
}

const char *
znode_state_path(struct arena *arena, const char *topic, int32_t partition)
{
	return (arena_printf(arena,
	    ZNODE_BROKER_TOPICS "/%s/partitions/%" PRId32 "/state", topic,
	    partition));
}

const char *
znode_delete_topic_path(struct arena *arena, const char *topic)
{
	return (znode_join(arena, ZNODE_DELETE_TOPICS, topic));
}

const char *
znode_config_path(struct arena *arena, const char *type, const char *name)
{
	return (arena_printf(arena, "/config/%s/%s", type, name));
}

const char *
znode_join(struct arena *arena, const char *parent, const char *child)
{
	return (arena_printf(arena, "%s/%s", parent, child));
}

const char *
znode_consumer_offset_path(struct arena *arena, const char *group,
    const char *topic, int32_t partition)
{
	return (arena_printf(arena, "/consumers/%s/offsets/%s/%" PRId32, group,
	    topic, partition));
}
