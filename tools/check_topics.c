/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas check: topics and their configs. */
#include <string.h>

#include "base/check.h"
#include "tools/check.h"
#include "tools/progress.h"
#include "tools/topic_filter.h"

/* Topics read at once. */
#define TOPICS_AT_ONCE ((size_t)500)

/* How a topic concerns the broker. */
struct share {
	size_t partitions; /* of which it has a replica */
	size_t moving;     /* of those */
};

static bool
holds(const int32_t *ids, int32_t count, int32_t id)
{
	for (int32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return (true);
	return (false);
}

static void
share_of(const struct znode_topic *topic, int32_t broker_id,
    struct share *out)
{
	*out = (struct share) { 0 };
	for (size_t i = 0; i < topic->partition_count; i++) {
		const struct znode_assignment *p = &topic->partitions[i];

		if (!holds(p->replicas, p->replica_count, broker_id))
			continue;
		out->partitions++;
		out->moving += p->adding_count + p->removing_count > 0;
	}
}

/* What waits for the replacement, and what this version cannot serve. */
static void
check_share(struct check *check, const char *path, const char *topic,
    const struct share *share)
{
	if (share->moving != 0)
		check_say(check, FINDING_WARN, path, "",
		    "%zu partitions of broker %d's are being reassigned: that "
		    "waits while it is away",
		    share->moving, check->broker_id);
	if (share->partitions != 0 && strcmp(topic, TRANSACTIONS_TOPIC) == 0)
		check_say(check, FINDING_ERROR, path, "",
		    "%zu partitions are on broker %d: this version has "
		    "no transactions",
		    share->partitions, check->broker_id);
}

static void
check_config(struct check *check, const struct zk_read *read,
    const char *topic)
{
	char error[OPTION_ERROR_SIZE];
	struct znode_config node;
	struct config_map map;
	bool good = true;

	if (read->rc != ZK_OK)
		return;
	if (!znode_config_decode(read->data, &check->arena, &node)) {
		check_say(check, FINDING_ERROR, read->path, "",
		    "it cannot be understood; correct it, or the topic goes "
		    "by the broker's options");
		return;
	}
	config_map_init(&map);
	for (size_t i = 0; i < node.entry_count; i++)
		good = config_map_set_text(&map, node.entries[i].name,
		    node.entries[i].value) && good;
	if (!good)
		check_say(check, FINDING_ERROR, read->path, "",
		    "it holds too much");
	else if (!topic_options_check(check->options,
		     topic_is_internal(slice_of_text(topic)) ? TOPIC_INTERNAL
							     : TOPIC_OF_USER,
		     &map, error))
		check_say(check, FINDING_ERROR, read->path, "",
		    "%s; change it with kafka-configs.sh", error);
	config_map_fini(&map);
}

/* What is read of a topic. */
enum { OF_NODE, OF_CONFIG, OF_ACL, OF_COUNT };

/* Nodes keep what they were made with, whatever their folder says. */
struct protected {
	size_t count;
	const struct zk_read *first;
};

static void
check_protected(struct check *check, const struct protected *protected)
{
	if (protected->count != 0)
		check_say(check, FINDING_ERROR, protected->first->path, "ACL",
		    "only %.*s may use it, and %zu topics are such: this "
		    "version does not authenticate itself at ZooKeeper; open "
		    "the nodes with zookeeper-security-migration.sh "
		    "--zookeeper.acl=unsecure",
		    SLICE_ARGS(protected->first->data), protected->count);
}

static void
check_topic(struct check *check, const struct zk_read *reads,
    const char *name, struct protected *protected)
{
	const struct zk_read *node = &reads[OF_NODE];
	struct znode_topic topic;
	struct share share;

	if (node->rc != ZK_OK)
		return; /* it went meanwhile, or was told of */
	if (!znode_topic_decode(node->data, &check->arena, &topic)) {
		check_say(check, FINDING_ERROR, node->path, "",
		    "it cannot be understood");
		return;
	}
	if (!check_acl_open(&reads[OF_ACL]) && protected->count++ == 0)
		protected->first = &reads[OF_ACL];
	share_of(&topic, check->broker_id, &share);
	if (uuid_is_zero(topic.id))
		check_say(check, FINDING_WARN, node->path, "",
		    "the topic has no id, as brokers below 2.8 made them; "
		    "the controller will give it one");
	check_share(check, node->path, name, &share);
	if (share.partitions != 0)
		check_config(check, &reads[OF_CONFIG], name);
}

static bool
check_some(struct check *check, const char *const *names, size_t count,
    struct protected *protected)
{
	struct zk_read *reads =
	    arena_array(&check->arena, OF_COUNT * count, sizeof(*reads));

	CHECK(reads != NULL);
	for (size_t i = 0; i < count; i++) {
		struct zk_read *one = &reads[OF_COUNT * i];

		one[OF_NODE] = (struct zk_read) {
			.kind = ZK_READ_DATA,
			.path = znode_topic_path(&check->arena, names[i]),
		};
		one[OF_ACL] = one[OF_NODE];
		one[OF_ACL].kind = ZK_READ_ACL;
		one[OF_CONFIG] = (struct zk_read) {
			.kind = ZK_READ_DATA,
			.path = znode_config_path(&check->arena, "topics",
			    names[i]),
		};
	}
	if (!check_read(check, reads, OF_COUNT * count))
		return (false);
	for (size_t i = 0; i < count; i++)
		check_topic(check, &reads[OF_COUNT * i], names[i], protected);
	return (true);
}

void
check_topics(struct check *check)
{
	struct zk_read list = { .kind = ZK_READ_CHILDREN,
		.path = ZNODE_BROKER_TOPICS };
	struct protected protected = { 0 };
	struct progress progress;
	size_t some;

	if (!check_read(check, &list, 1) || list.rc != ZK_OK)
		return;
	progress_begin(&progress, check->tool, "topics checked",
	    list.child_count);
	for (size_t i = 0; i < list.child_count; i += some) {
		some = list.child_count - i;
		if (some > TOPICS_AT_ONCE)
			some = TOPICS_AT_ONCE;
		progress_step(&progress, i);
		if (!check_some(check, list.children + i, some, &protected))
			break;
	}
	progress_end(&progress, list.child_count);
	check_protected(check, &protected);
}
