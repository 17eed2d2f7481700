/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold before a start: single options that this version refuses or
 * does not follow, names that nobody knows, and what must hold between options.
 * The rules are those of Kafka 3.9's KafkaConfig, in ZooKeeper mode.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/text.h"
#include "config/config_int.h"

#define MEBIBYTE (1 << 20)

/* --- single options ------------------------------------------------------- */

static bool
some_listener_sasl(const struct config *config)
{
	const struct listener_list *list = &config->options.net.listener_list;

	for (size_t i = 0; i < list->count; i++) {
		enum security_protocol p = list->items[i].protocol;

		if (p == PROTOCOL_SASL_PLAINTEXT || p == PROTOCOL_SASL_SSL)
			return (true);
	}
	return (false);
}

/* `subject` is the name as it stands, `option` the row it falls under. */
static void
check_status(struct config *config, const char *subject,
    const struct option *option, const char *text)
{
	bool other = !option_within(option, text, option->fallback);

	switch (option->status) {
	case STATUS_HONOURED:
		break;
	case STATUS_NO_EFFECT:
		config_say(config, FINDING_INFO, subject, "without effect: %s",
		    option->why);
		break;
	case STATUS_LATER:
		if (other)
			config_say(config, FINDING_WARN, subject,
			    "without effect in this version: %s", option->why);
		break;
	case STATUS_REFUSED:
	case STATUS_SECURITY:
		if (other)
			config_say(config, FINDING_ERROR, subject,
			    "cannot be %.100s: %s",
			    option->type == OPTION_PASSWORD ? "set" : text,
			    option->why);
		break;
	case STATUS_SASL:
		if (some_listener_sasl(config))
			config_say(config, FINDING_ERROR, subject,
			    "cannot be enforced: %s", option->why);
		else if (other)
			config_say(config, FINDING_WARN, subject,
			    "without effect: no listener speaks SASL");
		break;
	}
	if (option->dynamic_only && !config_is_dynamic(config, subject))
		config_say(config, FINDING_WARN, subject,
		    "without effect here: it is set at run time only");
}

void
config_check_statuses(struct config *config)
{
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const char *text = config_text(config, option->name);

		if (text != NULL)
			check_status(config, option->name, option, text);
	}
}

/* --- names ---------------------------------------------------------------- */

static bool
scopes_to_listener(const char *name)
{
	static const char *const names[] = { "max.connections",
		"max.connection.creation.rate", "num.network.threads",
		"connections.max.reauth.ms", "principal.builder.class" };

	for (size_t i = 0; i < nelems(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (true);
	return (strncmp(name, "ssl.", 4) == 0 ||
	    strncmp(name, "sasl.", 5) == 0);
}

const struct option *
config_scoped_option(const char *name, struct slice *listener)
{
	const char *base = option_behind_listener(name, listener);
	const char *dot;

	if (base == name)
		return (NULL);
	if (scopes_to_listener(base))
		return (option_find(base));
	dot = strchr(base, '.');
	return (dot != NULL && scopes_to_listener(dot + 1) ?
	    option_find(dot + 1) : NULL);
}

static void
check_scoped(struct config *config, const struct config_entry *entry)
{
	const struct listener_list *list = &config->options.net.listener_list;
	struct slice listener;
	const struct option *option = config_scoped_option(entry->name,
	    &listener);
	const char *name;

	if (option == NULL) {
		config_say(config, FINDING_WARN, entry->name,
		    "unknown option of a listener; it is kept, without effect");
		return;
	}
	name = arena_slice_text(&config->arena, listener);
	CHECK(name != NULL);
	if (listener_list_find(list, name) == NULL)
		config_say(config, FINDING_WARN, entry->name,
		    "there is no listener of that name; without effect");
	check_status(config, entry->name, option, entry->value);
}

/* ${provider:key} or ${provider:path:key}, which Kafka would replace. */
static bool
has_indirection(const char *value)
{
	for (const char *at = strstr(value, "${"); at != NULL;
	     at = strstr(at + 2, "${")) {
		const char *end = strchr(at, '}');
		const char *colon = strchr(at, ':');

		if (end != NULL && colon != NULL && colon < end)
			return (true);
	}
	return (false);
}

static void
check_entry(struct config *config, const struct config_entry *entry)
{
	if (has_indirection(entry->value))
		config_say(config, FINDING_ERROR, entry->name,
		    "${provider:...} is not followed: write the value itself, "
		    "and let only the broker's user read the file");
	if (option_find(entry->name) != NULL)
		return;
	if (option_behind_listener(entry->name, NULL) != entry->name)
		check_scoped(config, entry);
	else
		config_say(config, FINDING_WARN, entry->name,
		    "unknown option; it is kept, without effect");
}

void
config_check_unknown(struct config *config)
{
	for (int i = 0; i < LAYER_COUNT; i++)
		CONFIG_MAP_EACH(entry, &config->layers[i])
			check_entry(config, entry);
}

/* --- rules between options ------------------------------------------------ */

static void
require(struct config *config, bool holds, const char *subject,
    const char *message)
{
	if (!holds)
		config_say(config, FINDING_ERROR, subject, "%s", message);
}

static void
check_identity(struct config *config)
{
	const struct cluster_options *c = &config->options.cluster;
	struct slice version = slice_of_text(c->inter_broker_protocol_version);

	require(config, c->broker_id == c->node_id, "node.id",
	    "it must be the same as broker.id, or be left out");
	if (c->broker_id_generation_enable)
		require(config, c->broker_id >= -1 &&
		    c->broker_id <= c->reserved_broker_max_id, "broker.id",
		    "broker.id must be greater than or equal to -1 and not "
		    "greater than reserved.broker.max.id");
	else
		require(config, c->broker_id >= 0, "broker.id",
		    "broker.id must be greater than or equal to 0");
	if (version.length < 3 || memcmp(version.data, "3.9", 3) != 0)
		config_say(config, FINDING_ERROR,
		    "inter.broker.protocol.version", "%.40s is not served: "
		    "bring the whole cluster to 3.9 with Kafka first, then "
		    "set it to 3.9", c->inter_broker_protocol_version);
	if (config->options.zkglue.connect == NULL ||
	    *config->options.zkglue.connect == '\0')
		config_say(config, FINDING_ERROR, "zookeeper.connect",
		    "it is needed: host:port[,host:port...][/path]");
}

static void
check_storage(struct config *config)
{
	const struct storage_options *s = &config->options.storage;
	const struct text_list *dirs = &s->log_dir_list;

	require(config, s->retention_ms != 0, "log.retention.ms",
	    "log.retention.ms must be unlimited (-1) or, equal or greater than "
	    "1");
	require(config, s->roll_ms >= 1, "log.roll.ms",
	    "log.roll.ms must be greater than or equal to 1");
	require(config, s->roll_jitter_ms >= 0, "log.roll.jitter.ms",
	    "log.roll.jitter.ms must be greater than or equal to 0");
	require(config, s->cleaner_threads == 0 || !s->cleaner_enable ||
	    s->cleaner_dedupe_buffer_bytes / s->cleaner_threads > MEBIBYTE,
	    "log.cleaner.dedupe.buffer.size",
	    "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner "
	    "thread.");
	require(config,
	    s->cleaner_min_compaction_lag_ms <=
		s->cleaner_max_compaction_lag_ms,
	    "log.cleaner.min.compaction.lag.ms",
	    "it must not be greater than log.cleaner.max.compaction.lag.ms");
	require(config, dirs->count > 0, "log.dirs",
	    "At least one log directory must be defined via log.dirs or "
	    "log.dir.");
	for (size_t i = 0; i < dirs->count; i++)
		for (size_t j = 0; j < i; j++)
			require(config, strcmp(dirs->items[i], dirs->items[j]),
			    "log.dirs", "a directory stands twice");
	for (size_t i = 0; i < dirs->count; i++)
		if (strncmp(dirs->items[i], "/tmp/", 5) == 0)
			config_say(config, FINDING_WARN, "log.dirs",
			    "%.200s is below /tmp, which does not outlive a "
			    "restart of the machine", dirs->items[i]);
}

/* Java classes cannot be loaded here; these two are built in. */
static bool
selector_is_known(const char *name)
{
	return (name == NULL || *name == '\0' ||
	    strcmp(name, "org.apache.kafka.common.replica."
		"RackAwareReplicaSelector") == 0 ||
	    strcmp(name, "org.apache.kafka.common.replica."
		"LeaderSelector") == 0);
}

static void
check_replica(struct config *config)
{
	const struct broker_options *o = &config->options;
	const struct replica_options *r = &o->replica;

	require(config, r->fetch_wait_max_ms <= r->socket_timeout_ms,
	    "replica.fetch.wait.max.ms", "replica.socket.timeout.ms should "
	    "always be at least replica.fetch.wait.max.ms to prevent "
	    "unnecessary socket timeouts");
	require(config, r->fetch_wait_max_ms <= r->lag_time_max_ms,
	    "replica.fetch.wait.max.ms", "replica.fetch.wait.max.ms should "
	    "always be less than or equal to replica.lag.time.max.ms to "
	    "prevent frequent changes in ISR");
	require(config, selector_is_known(r->selector_class),
	    "replica.selector.class", "only Kafka's own classes "
	    "org.apache.kafka.common.replica.RackAwareReplicaSelector and "
	    "LeaderSelector are there: name one of them, or remove it");
	require(config, r->num_replica_fetchers >= 1, "num.replica.fetchers",
	    "it must be at least 1");
	require(config, o->group.offsets_commit_required_acks >= -1 &&
	    o->group.offsets_commit_required_acks <=
		o->group.offsets_topic_replication_factor,
	    "offsets.commit.required.acks", "offsets.commit.required.acks must "
	    "be greater or equal -1 and less or equal to "
	    "offsets.topic.replication.factor");
	require(config, o->group.min_session_timeout_ms <=
	    o->group.max_session_timeout_ms, "group.min.session.timeout.ms",
	    "it must not be greater than group.max.session.timeout.ms");
}

/* host:count pairs. */
static bool
overrides_ok(const char *text)
{
	struct slice rest = slice_of_text(text), item;

	while (text_next(&rest, &item)) {
		const uint8_t *colon = memrchr(item.data, ':', item.length);
		int32_t count;

		if (colon == NULL || colon == item.data)
			return (false);
		if (!text_to_int32(text_trim(slice_of(colon + 1,
			item.length - (size_t)(colon + 1 - item.data))),
			&count) || count < 0)
			return (false);
	}
	return (true);
}

static void
check_net(struct config *config)
{
	const struct net_options *n = &config->options.net;

	require(config, n->queued_max_request_bytes <= 0 ||
	    n->queued_max_request_bytes >= n->request_max_bytes,
	    "queued.max.request.bytes", "queued.max.request.bytes must be "
	    "larger or equal to socket.request.max.bytes");
	require(config, n->max_connections_per_ip != 0 ||
	    *n->max_connections_per_ip_overrides != '\0',
	    "max.connections.per.ip", "max.connections.per.ip can be set to "
	    "zero only if max.connections.per.ip.overrides property is set.");
	require(config, overrides_ok(n->max_connections_per_ip_overrides),
	    "max.connections.per.ip.overrides",
	    "it must read host:count, separated by commas");
	/* As Kafka, where a negative number means that none is ever closed. */
	require(config, n->connections_max_idle_ms < 0 ||
	    n->failed_authentication_delay_ms < n->connections_max_idle_ms,
	    "connection.failed.authentication.delay.ms",
	    "it must be less than connections.max.idle.ms");
}

/* What Kafka leaves open by default is said. */
static void
tell_what_is_open(struct config *config)
{
	const struct listener_list *list = &config->options.net.listener_list;

	for (size_t i = 0; i < list->count; i++) {
		const struct config_listener *l = &list->items[i];

		if ((l->security == NULL ||
			strcmp(l->security->ssl_client_auth, "required")) &&
		    strncmp(l->host, "127.", 4) != 0 &&
		    strcmp(l->host, "::1") != 0 &&
		    strcasecmp(l->host, "localhost") != 0)
			config_say(config, FINDING_WARN, "listeners",
			    "whoever reaches listener %.100s (%.100s:%d) may "
			    "read, write and delete everything: nobody is "
			    "authenticated%s", l->name,
			    *l->host != '\0' ? l->host : "every interface",
			    (int)l->port, l->security != NULL ? "" :
			    " and nothing is encrypted");
	}
}

/* INFO,net=DEBUG,... */
static bool
log_level_ok(const char *text)
{
	struct slice rest = slice_of_text(text), item, level;
	enum diag_level parsed;
	enum diag_room room;
	char name[2][16];

	while (text_next(&rest, &item)) {
		struct slice left = text_trim(text_cut(item, '=', &level));

		if (level.data == NULL)
			level = left;
		else
			level = text_trim(level);
		if (left.length >= sizeof(name[0]) ||
		    level.length >= sizeof(name[1]))
			return (false);
		snprintf(name[0], sizeof(name[0]), "%.*s", SLICE_ARGS(left));
		snprintf(name[1], sizeof(name[1]), "%.*s", SLICE_ARGS(level));
		if (!diag_level_parse(name[1], &parsed) ||
		    (left.data != level.data &&
			!diag_room_parse(name[0], &room)))
			return (false);
	}
	return (true);
}

static void
check_daemon(struct config *config)
{
	const struct daemon_options *d = &config->options.daemon;
	struct slice text = slice_of_text(d->admin_listener);
	const uint8_t *colon = memrchr(text.data, ':', text.length);
	int32_t port;

	require(config, text.length == 0 || (colon != NULL &&
	    text_to_int32(slice_of(colon + 1,
		text.length - (size_t)(colon + 1 - text.data)), &port) &&
	    port >= 0 && port <= UINT16_MAX), "barnabas.admin.listener",
	    "it must read host:port, or be empty for none");
	require(config, log_level_ok(d->log_level), "barnabas.log.level",
	    "it must read LEVEL or LEVEL,room=LEVEL,... with TRACE, DEBUG, "
	    "INFO, WARN, ERROR or FATAL");
}

void
config_check_rules(struct config *config)
{
	check_identity(config);
	check_storage(config);
	check_replica(config);
	check_net(config);
	check_daemon(config);
	tell_what_is_open(config);
}
