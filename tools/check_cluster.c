/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas check: the cluster's znodes, but for its topics. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "net/net.h"
#include "net/tls.h"
#include "tools/check.h"

#define ZNODE_ACLS "/kafka-acl"
/* Of names that begin so. */
#define ZNODE_ACLS_PREFIXED "/kafka-acl-extended/prefixed"

/* What each part reads; answered together. */
enum {
	READ_CLUSTER_ID,
	READ_CONTROLLER,
	READ_MIGRATION,
	READ_FEATURE,
	READ_BROKERS,
	READ_REASSIGNMENTS,
	READ_DELETIONS,
	READ_ELECTION,
	READ_ACLS,
	READ_ACLS_PREFIXED,
	READ_USERS,
	READ_CLIENTS,
	READ_IPS,
	READ_COUNT
};

static const struct zk_read first_reads[READ_COUNT] = {
	[READ_CLUSTER_ID] = { ZK_READ_DATA, ZNODE_CLUSTER_ID },
	[READ_CONTROLLER] = { ZK_READ_DATA, ZNODE_CONTROLLER },
	[READ_MIGRATION] = { ZK_READ_DATA, ZNODE_MIGRATION },
	[READ_FEATURE] = { ZK_READ_DATA, ZNODE_FEATURE },
	[READ_BROKERS] = { ZK_READ_CHILDREN, ZNODE_BROKER_IDS },
	[READ_REASSIGNMENTS] = { ZK_READ_DATA, ZNODE_REASSIGN_PARTITIONS },
	[READ_DELETIONS] = { ZK_READ_CHILDREN, ZNODE_DELETE_TOPICS },
	[READ_ELECTION] = { ZK_READ_DATA, ZNODE_PREFERRED_ELECTION },
	[READ_ACLS] = { ZK_READ_CHILDREN, ZNODE_ACLS },
	[READ_ACLS_PREFIXED] = { ZK_READ_CHILDREN, ZNODE_ACLS_PREFIXED },
	[READ_USERS] = { ZK_READ_CHILDREN, "/config/users" },
	[READ_CLIENTS] = { ZK_READ_CHILDREN, "/config/clients" },
	[READ_IPS] = { ZK_READ_CHILDREN, "/config/ips" },
};

static bool
there(const struct zk_read *read)
{
	return (read->rc == ZK_OK);
}

/* --- the cluster itself --------------------------------------------------- */

static void
check_cluster_id(struct check *check, const struct zk_read *read)
{
	const char *id;

	if (!there(read)) {
		if (read->rc == ZK_NO_NODE && check->cluster_id != NULL)
			check_say(check, FINDING_ERROR, read->path, "",
			    "there is no cluster here, but the log "
			    "directories are of cluster %s: correct the path "
			    "in zookeeper.connect",
			    check->cluster_id);
		else if (read->rc == ZK_NO_NODE)
			check_say(check, FINDING_INFO, read->path, "",
			    "there is no cluster here: a new one begins");
		return;
	}
	if (!znode_cluster_id_decode(read->data, &check->arena, &id))
		check_say(check, FINDING_ERROR, read->path, "",
		    "it holds no cluster id: is this Kafka's path in "
		    "ZooKeeper?");
	else if (check->cluster_id != NULL &&
	    strcmp(check->cluster_id, id) != 0)
		check_say(check, FINDING_ERROR, read->path, "",
		    "this is cluster %s, the log directories are of %s: "
		    "correct zookeeper.connect or log.dirs",
		    id, check->cluster_id);
}

static void
check_controller(struct check *check, const struct zk_read *read)
{
	struct znode_controller controller;

	if (!there(read))
		return;
	if (!znode_controller_decode(read->data, &controller))
		check_say(check, FINDING_ERROR, read->path, "",
		    "it cannot be understood");
	else if (controller.kraft_controller_epoch > 0)
		check_say(check, FINDING_ERROR, read->path,
		    "kraftControllerEpoch",
		    "a KRaft controller rules this cluster: it migrates, or "
		    "has; roll the migration back, or stay with Kafka");
}

static int64_t
json_number_of(struct slice text, const char *name, int64_t fallback)
{
	json_t *root = json_loadb((const char *)text.data, text.length, 0,
	    NULL);
	const json_t *value = json_object_get(root, name);
	const int64_t number =
	    json_is_integer(value) ? json_integer_value(value) : fallback;

	json_decref(root);
	return (number);
}

static void
check_migration(struct check *check, const struct zk_read *read)
{
	int64_t id;

	if (!there(read))
		return;
	id = json_number_of(read->data, "kraft_controller_id", -1);
	if (id >= 0)
		check_say(check, FINDING_ERROR, read->path, "",
		    "controller %lld migrates this cluster to KRaft, in "
		    "which Barnabas takes no part: roll the migration back "
		    "and delete this node",
		    (long long)id);
	else
		check_say(check, FINDING_WARN, read->path, "",
		    "a migration to KRaft was prepared: do not go on with "
		    "it beside Barnabas");
}

static void
check_feature(struct check *check, const struct zk_read *read)
{
	struct znode_feature feature;

	if (!there(read))
		return;
	if (!znode_feature_decode(read->data, &feature))
		check_say(check, FINDING_WARN, read->path, "",
		    "it cannot be understood, and will be left as it is");
	else if (feature.enabled && feature.feature_count > 0)
		check_say(check, FINDING_ERROR, read->path, "",
		    "%zu finalized features are in force, of which this "
		    "version knows none",
		    feature.feature_count);
	/* 2 from inter.broker.protocol.version 3.3 on. */
	else if (json_number_of(read->data, "version", -1) < 2)
		check_say(check, FINDING_ERROR, read->path, "version",
		    "the controller speaks an inter.broker.protocol.version "
		    "below 3.3: bring all brokers to 3.9 first");
}

/* --- brokers -------------------------------------------------------------- */

/* Registered at what the file advertises: it is the one to be replaced. */
static bool
broker_is_ours(const struct check *check, const struct znode_broker *broker)
{
	const struct listener_list *list =
	    &check->options->net.advertised_list;

	for (size_t e = 0; e < broker->endpoint_count; e++)
		for (size_t i = 0; i < list->count; i++)
			if (list->items[i].port == broker->endpoints[e].port &&
			    (list->items[i].host == NULL ||
				list->items[i].host[0] == '\0' ||
				strcmp(list->items[i].host,
				    broker->endpoints[e].host) == 0))
				return (true);
	return (false);
}

static void
check_same_id(struct check *check, const char *path,
    const struct znode_broker *broker)
{
	const struct znode_endpoint *endpoint =
	    broker->endpoint_count > 0 ? &broker->endpoints[0] : NULL;

	if (broker_is_ours(check, broker))
		check_say(check, FINDING_WARN, path, "",
		    "broker %d runs, at what the file advertises: stop it "
		    "before the replacement starts",
		    check->broker_id);
	else
		check_say(check, FINDING_ERROR, path, "",
		    "broker %d runs elsewhere, at %s:%d: two cannot have one "
		    "id; correct broker.id or listeners",
		    check->broker_id,
		    endpoint != NULL ? endpoint->host : "?",
		    endpoint != NULL ? endpoint->port : -1);
}

static void
check_broker(struct check *check, const struct zk_read *read, int32_t id)
{
	const int64_t version = json_number_of(read->data, "version", -1);
	struct znode_broker broker;

	if (!there(read))
		return; /* it went meanwhile */
	if (!znode_broker_decode(read->data, &check->arena, &broker)) {
		check_say(check, FINDING_ERROR, read->path, "",
		    "broker %d registered itself in a way that this version "
		    "does not understand", id);
		return;
	}
	/* 5 from inter.broker.protocol.version 2.7 on. */
	if (version < 5)
		check_say(check, FINDING_ERROR, read->path, "version",
		    "broker %d speaks an inter.broker.protocol.version below "
		    "2.7: bring all brokers to 3.9 first", id);
	if (id == check->broker_id)
		check_same_id(check, read->path, &broker);
}

static void
check_brokers(struct check *check, const struct zk_read *ids)
{
	struct zk_read *reads;
	size_t others = 0;

	if (!there(ids) || ids->child_count == 0)
		return;
	reads = arena_array(&check->arena, ids->child_count, sizeof(*reads));
	CHECK(reads != NULL);
	for (size_t i = 0; i < ids->child_count; i++)
		reads[i] = (struct zk_read) {
			.kind = ZK_READ_DATA,
			.path = znode_join(&check->arena, ZNODE_BROKER_IDS,
			    ids->children[i]),
		};
	if (!check_read(check, reads, ids->child_count))
		return;
	for (size_t i = 0; i < ids->child_count; i++) {
		int32_t id;

		if (!text_to_int32(slice_of_text(ids->children[i]), &id))
			continue;
		check_broker(check, &reads[i], id);
		others += id != check->broker_id;
	}
	if (others != 0)
		check_say(check, FINDING_WARN, ZNODE_BROKER_IDS, "",
		    "%zu other brokers run: their "
		    "inter.broker.protocol.version must be 3.9, which cannot "
		    "be seen here",
		    others);
}

/* --- what is under way ---------------------------------------------------- */

static void
check_under_way(struct check *check, const struct zk_read *reads)
{
	const struct zk_read *moves = &reads[READ_REASSIGNMENTS];
	const struct zk_read *deletions = &reads[READ_DELETIONS];
	struct znode_partitions partitions;

	if (there(moves) &&
	    !znode_partitions_decode(moves->data, &check->arena, &partitions))
		check_say(check, FINDING_WARN, moves->path, "",
		    "it cannot be understood: the controller deletes it");
	else if (there(moves))
		check_say(check, FINDING_WARN, moves->path, "",
		    "%zu partitions are being reassigned: wait until that is "
		    "done, or whoever is the controller then goes on with it",
		    partitions.count);
	for (size_t i = 0; there(deletions) && i < deletions->child_count; i++)
		check_say(check, FINDING_WARN,
		    znode_join(&check->arena, ZNODE_DELETE_TOPICS,
			deletions->children[i]), "",
		    "topic %s is being deleted: wait until it is gone",
		    deletions->children[i]);
	if (there(&reads[READ_ELECTION]))
		check_say(check, FINDING_WARN, ZNODE_PREFERRED_ELECTION, "",
		    "an election of preferred leaders is under way: wait "
		    "until it is done");
}

/* --- security ------------------------------------------------------------- */

static void
check_acl_nodes(struct check *check, const struct zk_read *kinds)
{
	const char *root = kinds->path;
	struct zk_read *reads;
	size_t count = 0;

	if (!there(kinds))
		return;
	reads = arena_array(&check->arena, kinds->child_count + 1,
	    sizeof(*reads));
	CHECK(reads != NULL);
	for (size_t i = 0; i < kinds->child_count; i++)
		reads[i] = (struct zk_read) {
			.kind = ZK_READ_CHILDREN,
			.path = znode_join(&check->arena, root,
			    kinds->children[i]),
		};
	if (!check_read(check, reads, kinds->child_count))
		return;
	for (size_t i = 0; i < kinds->child_count; i++)
		count += there(&reads[i]) ? reads[i].child_count : 0;
	if (count != 0)
		check_say(check, FINDING_ERROR, root, "",
		    "%zu resources have ACLs of Kafka's authorizer, which "
		    "this version would not enforce",
		    count);
	else
		check_say(check, FINDING_WARN, root, "",
		    "an authorizer was in use here; no ACL is left");
}

bool
check_acl_open(const struct zk_read *read)
{
	return (!there(read) || slice_equal_text(read->data, ZK_ACL_OPEN));
}

/* Of Kafka's nodes some that all clusters have. */
static void
check_znode_acls(struct check *check)
{
	static const char *const paths[] = { "/brokers", ZNODE_BROKER_IDS,
		ZNODE_BROKER_TOPICS, ZNODE_CLUSTER_ID, ZNODE_CONTROLLER_EPOCH,
		"/config/topics", "/config/users", ZNODE_CONFIG_CHANGES,
		ZNODE_DELETE_TOPICS, ZNODE_FEATURE, "/config/brokers",
		"/isr_change_notification", "/latest_producer_id_block",
		"/log_dir_event_notification" };
	struct zk_read reads[nelems(paths)];

	for (size_t i = 0; i < nelems(paths); i++)
		reads[i] = (struct zk_read) { .kind = ZK_READ_ACL,
			.path = paths[i] };
	if (!check_read(check, reads, nelems(paths)))
		return;
	for (size_t i = 0; i < nelems(paths); i++)
		if (!check_acl_open(&reads[i]))
			check_say(check, FINDING_ERROR, paths[i], "ACL",
			    "only %.*s may use it: this version does not "
			    "authenticate itself at ZooKeeper; open the "
			    "nodes with zookeeper-security-migration.sh "
			    "--zookeeper.acl=unsecure",
			    SLICE_ARGS(reads[i].data));
}

static void
check_quotas(struct check *check, const struct zk_read *reads)
{
	static const int quotas[] = { READ_USERS, READ_CLIENTS, READ_IPS };

	for (size_t i = 0; i < nelems(quotas); i++)
		if (there(&reads[quotas[i]]) &&
		    reads[quotas[i]].child_count != 0)
			check_say(check, FINDING_WARN, reads[quotas[i]].path,
			    "",
			    "%zu entries: quotas and credentials are not "
			    "enforced by this version",
			    reads[quotas[i]].child_count);
}

/* --- options set at run time ---------------------------------------------- */

static bool
layer_add(struct check *check, const struct zk_read *read,
    struct config_map *map)
{
	struct znode_config node;
	bool good = true;

	if (!there(read))
		return (true);
	if (!znode_config_decode(read->data, &check->arena, &node)) {
		check_say(check, FINDING_ERROR, read->path, "",
		    "it cannot be understood");
		return (false);
	}
	for (size_t i = 0; i < node.entry_count; i++)
		good = config_map_set_text(map, node.entries[i].name,
		    node.entries[i].value) && good;
	return (good);
}

/* The broker's own ones, and those of all brokers. */
struct layers {
	struct config_map own;
	struct config_map common;
};

/* Where the option is set; where it is not, but broken by what is: the
 * narrower. */
static const char *
layer_path(struct check *check, const struct layers *layers,
    const char *subject)
{
	if (config_map_find(&layers->own, subject) == NULL &&
	    (config_map_find(&layers->common, subject) != NULL ||
		config_map_count(&layers->own) == 0))
		return ("/config/brokers/<default>");
	return (arena_printf(&check->arena, "/config/brokers/%d",
	    check->broker_id));
}

static bool
file_has(const struct check *check, const struct finding *finding)
{
	for (size_t i = 0; i < config_finding_count(check->config); i++) {
		const struct finding *f = config_finding_at(check->config, i);

		if (strcmp(f->subject, finding->subject) == 0 &&
		    strcmp(f->message, finding->message) == 0)
			return (true);
	}
	return (false);
}

/* Those of the options set at run time, and the errors that the file alone does
 * not have: one option may break another. */
static void
layer_findings(struct check *check, const struct config *config,
    const struct layers *layers)
{
	for (size_t i = 0; i < config_finding_count(config); i++) {
		const struct finding *f = config_finding_at(config, i);

		if (config_map_find(&layers->own, f->subject) == NULL &&
		    config_map_find(&layers->common, f->subject) == NULL &&
		    (f->severity != FINDING_ERROR || file_has(check, f)))
			continue;
		check_say(check, f->severity,
		    layer_path(check, layers, f->subject), f->subject, "%s",
		    f->message);
	}
}

static bool
holds_secret(const struct config_map *map)
{
	CONFIG_MAP_EACH(entry, map) {
		const struct option *option =
		    option_find(option_behind_listener(entry->name, NULL));

		if (option != NULL && option->type == OPTION_PASSWORD)
			return (true);
	}
	return (false);
}

/* Listeners that the file alone could open. */
static void
layer_tls(struct check *check, const struct config *config,
    const struct layers *layers)
{
	const char *path = layer_path(check, layers, "listeners");
	struct tls_report report;

	if (!net_tls_check(&check->options->net, &report) ||
	    net_tls_check(&config_options(config)->net, &report))
		return;
	if (holds_secret(&layers->own) || holds_secret(&layers->common))
		check_say(check, FINDING_WARN, path, "listeners",
		    "secrets are encoded there, without which it cannot be "
		    "seen whether TLS can be spoken: barnabasd tells at its "
		    "start");
	else
		check_say(check, FINDING_ERROR, path, "listeners", "%s",
		    report.error);
}

static void
check_dynamic(struct check *check)
{
	struct zk_read reads[2] = {
		{ .kind = ZK_READ_DATA, .path = "/config/brokers/<default>" },
		{ .kind = ZK_READ_DATA, .path = arena_printf(&check->arena,
		    "/config/brokers/%d", check->broker_id) },
	};
	struct layers layers;
	struct config *config;

	if (!check_read(check, reads, check->broker_id >= 0 ? 2 : 1))
		return;
	config_map_init(&layers.common);
	config_map_init(&layers.own);
	config = config_clone(check->config);
	if (layer_add(check, &reads[0], &layers.common) &&
	    (check->broker_id < 0 ||
		layer_add(check, &reads[1], &layers.own)) &&
	    config_add_dynamic(config, CONFIG_SOURCE_DYNAMIC_DEFAULT,
		&layers.common, CONFIG_START) &&
	    config_add_dynamic(config, CONFIG_SOURCE_DYNAMIC_BROKER,
		&layers.own, CONFIG_START)) {
		const bool good = config_resolve(config);

		layer_findings(check, config, &layers);
		if (good)
			layer_tls(check, config, &layers);
	}
	config_free(&config);
	config_map_fini(&layers.common);
	config_map_fini(&layers.own);
}

/* --- all of it ------------------------------------------------------------ */

bool
check_cluster(struct check *check)
{
	struct zk_read reads[READ_COUNT];

	memcpy(reads, first_reads, sizeof(reads));
	if (!check_read(check, reads, READ_COUNT))
		return (false);
	check_cluster_id(check, &reads[READ_CLUSTER_ID]);
	check_controller(check, &reads[READ_CONTROLLER]);
	check_migration(check, &reads[READ_MIGRATION]);
	check_feature(check, &reads[READ_FEATURE]);
	check_brokers(check, &reads[READ_BROKERS]);
	check_under_way(check, reads);
	check_acl_nodes(check, &reads[READ_ACLS]);
	check_acl_nodes(check, &reads[READ_ACLS_PREFIXED]);
	check_znode_acls(check);
	check_quotas(check, reads);
	check_dynamic(check);
	return (true);
}
