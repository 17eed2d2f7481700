/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: the file's syntax, the rows, the checks, what is described. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/properties.h"
#include "config/security.h"
#include "unit.h"

#define BASE "zookeeper.connect=localhost:2181\nbroker.id=1\n" \
	"listeners=PLAINTEXT://127.0.0.1:9092\nlog.dirs=/var/lib/barnabas\n"

/* --- properties ----------------------------------------------------------- */

static void
expect(const char *text, const char *name, const char *value)
{
	struct config_map map;
	struct properties_error error;
	const char *found;

	config_map_init(&map);
	CU_ASSERT_TRUE(properties_read(slice_of_text(text), &map, &error));
	found = config_map_get(&map, name);
	if (found == NULL || strcmp(found, value) != 0)
		printf("\n[%s] %s: [%s], not [%s]\n", text, name,
		    found ? found : "(none)", value);
	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	CU_ASSERT_STRING_EQUAL(found, value);
	config_map_fini(&map);
}

static void
test_properties(void)
{
	expect("a=b", "a", "b");
	expect("a:b", "a", "b");
	expect("a b c", "a", "b c");
	expect(" \t\fa \t=\f b \n", "a", "b");
	expect("a = = b", "a", "= b");
	expect("a", "a", "");
	expect("a=\n", "a", "");
	expect("=v", "", "v");
	expect("#a=b\n!c=d\r\nx=y\r", "x", "y");
	expect("a=1\ra=2\r\na=3", "a", "3");
	expect("a=b#c", "a", "b#c");
	expect("a=b\\\n   c", "a", "bc");
	expect("a=b\\\r\n\t c\nd=e", "d", "e");
	expect("a=b\\\\\nc=d", "a", "b\\");
	expect("a=b\\\\\\\nc", "a", "b\\c");
	expect("a=b\\\n#c", "a", "b#c");
	expect("a=b\\\n\nc=d", "c", "d");
	expect("a=b\\\n\nc=d", "a", "b");
	expect("\\\n#x\nc=d", "c", "d");
	expect("a=b\\", "a", "b");
	expect("a\\ b\\=c\\:d=e", "a b=c:d", "e");
	expect("a=x\\ty\\qz", "a", "x\tyqz");
	expect("a=\\u0041\\u00e9\\u20AC", "a", "A\xc3\xa9\xe2\x82\xac");
	expect("a=\\uD83D\\uDE00", "a", "\xf0\x9f\x98\x80");
	expect("a=\\ud83dx", "a", "?x");
	expect("a=\xe9", "a", "\xc3\xa9");
}

static void
test_properties_bad(void)
{
	static const char nul[] = "x=1\ny=a\0b";
	struct config_map map;
	struct properties_error error;

	config_map_init(&map);
	CU_ASSERT_FALSE(properties_read(SLICE_LITERAL("a=1\n\nb=\\\n\\u12g4"),
	    &map, &error));
	CU_ASSERT_EQUAL(error.line, 3);
	CU_ASSERT_FALSE(properties_read(SLICE_LITERAL("a=\\u12"), &map,
	    &error));
	CU_ASSERT_FALSE(properties_read(slice_of(nul, sizeof(nul) - 1), &map,
	    &error));
	CU_ASSERT_EQUAL(error.line, 2);
	CU_ASSERT_STRING_EQUAL(config_map_get(&map, "x"), "1");
	config_map_fini(&map);
}

static void
test_map_bounds(void)
{
	struct config_map map;
	char name[32];

	config_map_init(&map);
	for (int i = 0; i < CONFIG_ENTRIES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		CU_ASSERT_TRUE(config_map_set_text(&map, name, " v "));
	}
	CU_ASSERT_FALSE(config_map_set_text(&map, "more", "v"));
	CU_ASSERT_TRUE(config_map_set_text(&map, "n7", "w"));
	CU_ASSERT_STRING_EQUAL(config_map_get(&map, "n7"), "w");
	CU_ASSERT_STRING_EQUAL(config_map_get(&map, "n8"), "v");
	CU_ASSERT_EQUAL(config_map_count(&map), CONFIG_ENTRIES_MAX);
	config_map_fini(&map);
}

/* --- helpers -------------------------------------------------------------- */

static struct config *
resolved(const char *text)
{
	struct config *config = config_new();

	(void)config_read(config, slice_of_text(text));
	(void)config_resolve(config);
	return (config);
}

/* The gravest finding about a subject; -1: none. */
static int
severity_of(const struct config *config, const char *subject)
{
	int gravest = -1;

	for (size_t i = 0; i < config_finding_count(config); i++) {
		const struct finding *f = config_finding_at(config, i);

		if (strcmp(f->subject, subject) == 0 &&
		    (int)f->severity > gravest)
			gravest = (int)f->severity;
	}
	return (gravest);
}

static void
expect_finding(const char *lines, const char *subject, int severity)
{
	char text[4096];
	struct config *config;

	snprintf(text, sizeof(text), "%s%s", BASE, lines);
	config = resolved(text);
	if (severity_of(config, subject) != severity)
		printf("\n[%s] %s: severity %d, not %d\n", lines, subject,
		    severity_of(config, subject), severity);
	CU_ASSERT_EQUAL(severity_of(config, subject), severity);
	config_free(&config);
}

/* --- rows ----------------------------------------------------------------- */

static void
check_row(const struct option *o)
{
	union {
		int64_t number;
		double real;
		const char *text;
	} field;
	char error[OPTION_ERROR_SIZE];

	if (!option_parse(o, o->fallback, &field, error)) {
		/* Kafka's null-like empty default of a checked text. */
		CU_ASSERT_STRING_EQUAL(error, "");
	}
	CU_ASSERT_TRUE(strlen(o->prose) > 8);
	CU_ASSERT_EQUAL(o->prose[strlen(o->prose) - 1], '.');
	CU_ASSERT_EQUAL(o->why == NULL, o->status == STATUS_HONOURED);
}

static void
test_rows(void)
{
	CU_ASSERT_PTR_NULL(option_find("no.such"));
	for (size_t i = 0; i < option_count(); i++) {
		check_row(option_at(i));
		CU_ASSERT_PTR_EQUAL(option_find(option_at(i)->name),
		    option_at(i));
	}
	for (size_t i = 0; i < topic_option_count(); i++) {
		const struct option *o = topic_option_at(i);

		check_row(o);
		CU_ASSERT_PTR_EQUAL(topic_option_find(o->name), o);
		if (o->source == NULL)
			continue;
		CU_ASSERT_PTR_NOT_NULL_FATAL(option_find(o->source));
		CU_ASSERT_EQUAL(option_find(o->source)->type, o->type);
		CU_ASSERT_EQUAL(option_find(o->source)->offset,
		    o->source_offset);
	}
}

static enum option_type
type_of(const char *name)
{
	static const char *const names[] = { "", "boolean", "string", "int",
		"short", "long", "double", "list", "class", "password" };

	for (size_t i = 1; i < nelems(names); i++)
		if (strcmp(names[i], name) == 0)
			return ((enum option_type)i);
	return ((enum option_type)0);
}

/* A range as Kafka writes it: [1,...] or [1,...,9]. */
static void
check_vector_range(const struct option *o, const char *valid)
{
	const char *dots = strstr(valid, ",...");
	char *end;

	if (*valid != '[' || dots == NULL || strstr(valid, "or -1") != NULL ||
	    valid[1] == 'p')
		return;
	if (o->type == OPTION_DOUBLE) {
		CU_ASSERT_EQUAL(o->valid.check, CHECK_REAL_RANGE);
		CU_ASSERT_EQUAL(o->valid.low_real, strtod(valid + 1, &end));
		CU_ASSERT_EQUAL(o->valid.high_real, strtod(dots + 5, &end));
		return;
	}
	CU_ASSERT_EQUAL(o->valid.check, CHECK_RANGE);
	CU_ASSERT_EQUAL(o->valid.low, strtoll(valid + 1, &end, 10));
	CU_ASSERT_EQUAL(o->valid.high,
	    dots[4] == ',' ? strtoll(dots + 5, &end, 10) : INT64_MAX);
}

static void
check_vector(char *fields[6])
{
	bool broker = strcmp(fields[0], "broker") == 0;
	const struct option *o = broker ? option_find(fields[1])
					: topic_option_find(fields[1]);
	const char *fallback = fields[3];
	static const char *const updates[] = { "read-only", "per-broker",
		"cluster-wide" };

	if (o == NULL)
		printf("\nno row for %s\n", fields[1]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_EQUAL(o->type, type_of(fields[2]));
	if (strcmp(fallback, "null") == 0) {
		CU_ASSERT_PTR_NULL(o->fallback);
	} else {
		CU_ASSERT_PTR_NOT_NULL_FATAL(o->fallback);
		CU_ASSERT_STRING_EQUAL(o->fallback,
		    strcmp(fallback, "\"\"") == 0 ? "" : fallback);
	}
	check_vector_range(o, fields[4]);
	if (broker)
		CU_ASSERT_STRING_EQUAL(updates[o->update], fields[5]);
	if (!broker && strcmp(fields[5], "-") == 0)
		CU_ASSERT_PTR_NULL(o->source);
	if (!broker && o->source != NULL)
		CU_ASSERT_EQUAL(strncmp(fields[5], o->source,
		    strlen(o->source)), 0);
}

static void
test_vectors(void)
{
	const char *top = getenv("srcdir");
	char path[1024], line[2048];
	size_t broker = 0, topic = 0, own = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/vectors/configs.tsv",
	    top ? top : ".");
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		char *fields[6], *at = line;
		size_t count = 0;

		if (*line == '#')
			continue;
		line[strcspn(line, "\n")] = '\0';
		while (count < 6 && at != NULL)
			fields[count++] = strsep(&at, "\t");
		CU_ASSERT_EQUAL_FATAL(count, 6);
		*(strcmp(fields[0], "broker") == 0 ? &broker : &topic) += 1;
		check_vector(fields);
	}
	fclose(file);
	for (size_t i = 0; i < option_count(); i++)
		own += strncmp(option_at(i)->name, "barnabas.", 9) == 0;
	CU_ASSERT_EQUAL(broker, option_count() - own);
	CU_ASSERT_EQUAL(topic, topic_option_count());
}

/* --- values --------------------------------------------------------------- */

static void
expect_error(const char *name, const char *value, const char *message)
{
	char error[OPTION_ERROR_SIZE] = "";

	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER, name, value, error));
	if (strcmp(error, message) != 0)
		printf("\n[%s]\n[%s]\n", error, message);
	CU_ASSERT_STRING_EQUAL(error, message);
}

static void
test_messages(void)
{
	char error[OPTION_ERROR_SIZE];

	expect_error("min.insync.replicas", "0", "Invalid value 0 for "
	    "configuration min.insync.replicas: Value must be at least 1");
	expect_error("compression.lz4.level", "18", "Invalid value 18 for "
	    "configuration compression.lz4.level: Value must be no more than "
	    "17");
	expect_error("compression.gzip.level", "0", "Invalid value 0 for "
	    "configuration compression.gzip.level: Value must be between 1 and "
	    "9 or equal to -1");
	expect_error("segment.bytes", "x", "Invalid value x for configuration "
	    "segment.bytes: Not a number of type INT");
	expect_error("segment.bytes", "2147483648", "Invalid value 2147483648 "
	    "for configuration segment.bytes: Not a number of type INT");
	expect_error("preallocate", "yes", "Invalid value yes for "
	    "configuration preallocate: Expected value to be either true "
	    "or false");
	expect_error("cleanup.policy", "delete,shred", "Invalid value shred "
	    "for configuration cleanup.policy: String must be one of: compact, "
	    "delete");
	expect_error("no.such", "1", "Unknown topic config name: no.such");
	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER, "segment.ms", NULL,
	    error));
	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER,
	    "min.cleanable.dirty.ratio", "1.5", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER,
	    "min.cleanable.dirty.ratio", "0.25", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER, "retention.ms", "-1",
	    error));
	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER, "retention.ms", "-2",
	    error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER,
	    "leader.replication.throttled.replicas", "0:1,1:2", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER,
	    "leader.replication.throttled.replicas", "*", error));
	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER,
	    "leader.replication.throttled.replicas", "0:1,a", error));
}

static void
test_topic_refused(void)
{
	char error[OPTION_ERROR_SIZE];

	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER, "cleanup.policy",
	    "compact,delete", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_INTERNAL, "cleanup.policy",
	    "compact", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER, "compression.type",
	    "zstd", error));
	CU_ASSERT_FALSE(topic_option_check(TOPIC_OF_USER, "compression.type",
	    "none", error));
	CU_ASSERT_TRUE(topic_option_check(TOPIC_OF_USER,
	    "remote.storage.enable", "FALSE", error));
}

static void
test_topic_resolve(void)
{
	struct config *config = resolved(BASE "log.retention.hours=24\n"
	    "message.max.bytes=5000\n");
	const struct broker_options *broker = config_options(config);
	struct topic_options t;
	struct config_map map;
	char error[OPTION_ERROR_SIZE];

	topic_options_resolve(broker, NULL, &t);
	CU_ASSERT_EQUAL(t.retention_ms, 86400000);
	CU_ASSERT_EQUAL(t.segment_ms, 604800000);
	CU_ASSERT_EQUAL(t.flush_ms, INT64_MAX);
	CU_ASSERT_EQUAL(t.max_message_bytes, 5000);
	CU_ASSERT_EQUAL(t.cleanup, CLEANUP_DELETE);
	CU_ASSERT_FALSE(t.log_append_time);
	config_map_init(&map);
	config_map_set_text(&map, "retention.ms", "10");
	config_map_set_text(&map, "cleanup.policy", "compact, delete");
	config_map_set_text(&map, "message.timestamp.type", "LogAppendTime");
	config_map_set_text(&map, "message.timestamp.difference.max.ms", "77");
	config_map_set_text(&map, "message.timestamp.after.max.ms", "5");
	config_map_set_text(&map, "segment.bytes", "nonsense");
	config_map_set_text(&map, "from.the.future", "1");
	topic_options_resolve(broker, &map, &t);
	CU_ASSERT_EQUAL(t.retention_ms, 10);
	CU_ASSERT_EQUAL(t.cleanup, CLEANUP_DELETE | CLEANUP_COMPACT);
	CU_ASSERT_TRUE(t.log_append_time);
	CU_ASSERT_EQUAL(t.message_timestamp_before_max_ms, 77);
	CU_ASSERT_EQUAL(t.message_timestamp_after_max_ms, 5);
	CU_ASSERT_EQUAL(t.segment_bytes, 1 << 30);
	config_map_fini(&map);
	config_map_init(&map);
	config_map_set_text(&map, "min.compaction.lag.ms", "9");
	config_map_set_text(&map, "max.compaction.lag.ms", "8");
	CU_ASSERT_FALSE(topic_options_check(broker, TOPIC_OF_USER, &map,
	    error));
	config_map_set_text(&map, "max.compaction.lag.ms", "9");
	CU_ASSERT_TRUE(topic_options_check(broker, TOPIC_OF_USER, &map, error));
	config_map_fini(&map);
	config_free(&config);
}

static void
test_synonyms(void)
{
	struct config *config = resolved(BASE "log.retention.hours=1\n"
	    "log.retention.minutes=2\nlog.retention.ms=3\nlog.roll.hours=2\n"
	    "log.roll.jitter.hours=1\nlog.flush.scheduler.interval.ms=4\n"
	    "zookeeper.session.timeout.ms=7000\n");
	const struct broker_options *o = config_options(config);

	CU_ASSERT_EQUAL(o->storage.retention_ms, 3);
	CU_ASSERT_EQUAL(o->storage.roll_ms, 7200000);
	CU_ASSERT_EQUAL(o->storage.roll_jitter_ms, 3600000);
	CU_ASSERT_EQUAL(o->storage.flush_interval_ms, 4);
	CU_ASSERT_EQUAL(o->zkglue.connection_timeout_ms, 7000);
	CU_ASSERT_EQUAL(o->cluster.node_id, 1);
	config_free(&config);
	config = resolved("log.retention.minutes=2\nlog.dir=/a\nnode.id=5\n");
	o = config_options(config);
	CU_ASSERT_EQUAL(o->storage.retention_ms, 120000);
	CU_ASSERT_EQUAL(o->cluster.broker_id, 5);
	CU_ASSERT_EQUAL(o->storage.log_dir_list.count, 1);
	CU_ASSERT_STRING_EQUAL(o->storage.log_dir_list.items[0], "/a");
	config_free(&config);
	config = resolved("log.retention.hours=-1\nlog.dir=/a\n"
	    "log.dirs=/b, /c\n");
	o = config_options(config);
	CU_ASSERT_EQUAL(o->storage.retention_ms, -1);
	CU_ASSERT_EQUAL(o->storage.log_dir_list.count, 2);
	CU_ASSERT_STRING_EQUAL(o->storage.log_dir_list.items[1], "/c");
	config_free(&config);
}

/* --- checks --------------------------------------------------------------- */

static const struct {
	const char *lines;
	const char *subject;
	int severity; /* -1: no finding */
} cases[] = {
	{ "", "broker.id", -1 },
	{ "", "listeners", -1 },
	{ "listeners=PLAINTEXT://:9092", "listeners", FINDING_WARN },
	{ "no.such.option=1", "no.such.option", FINDING_WARN },
	{ "broker.rack=${file:/a:b}", "broker.rack", FINDING_ERROR },
	{ "broker.rack=${file}", "broker.rack", -1 },
	{ "log.segment.bytes=13", "log.segment.bytes", FINDING_ERROR },
	{ "num.io.threads=8", "num.io.threads", FINDING_INFO },
	{ "num.replica.fetchers=1", "num.replica.fetchers", -1 },
	{ "num.replica.fetchers=4", "num.replica.fetchers", -1 },
	{ "quota.window.num=12", "quota.window.num", FINDING_WARN },
	{ "controller.quorum.voters=1@a:1", "controller.quorum.voters",
	    FINDING_INFO },
	{ "process.roles=broker", "process.roles", FINDING_ERROR },
	{ "process.roles=", "process.roles", -1 },
	{ "log.cleanup.policy=compact", "log.cleanup.policy", -1 },
	{ "log.cleanup.policy=delete", "log.cleanup.policy", -1 },
	{ "compression.type=gzip", "compression.type", -1 },
	{ "compression.type=none", "compression.type", FINDING_ERROR },
	{ "remote.log.storage.system.enable=true",
	    "remote.log.storage.system.enable", FINDING_ERROR },
	{ "create.topic.policy.class.name=a.B",
	    "create.topic.policy.class.name",
	    FINDING_ERROR },
	{ "authorizer.class.name=kafka.security.authorizer.AclAuthorizer",
	    "authorizer.class.name", FINDING_ERROR },
	{ "zookeeper.set.acl=true", "zookeeper.set.acl", FINDING_ERROR },
	{ "zookeeper.set.acl=False", "zookeeper.set.acl", -1 },
	{ "zookeeper.ssl.client.enable=true", "zookeeper.ssl.client.enable",
	    FINDING_ERROR },
	{ "principal.builder.class=a.B", "principal.builder.class",
	    FINDING_ERROR },
	{ "listener.name.plaintext.principal.builder.class=a.B",
	    "listener.name.plaintext.principal.builder.class", FINDING_ERROR },
	{ "delegation.token.secret.key=k", "delegation.token.secret.key",
	    FINDING_ERROR },
	{ "ssl.keystore.location=/a", "ssl.keystore.location", -1 },
	{ "ssl.keystore.location=/a\n"
	  "listeners=PLAINTEXT://127.0.0.1:1,SSL://a:2",
	    "ssl.keystore.location", -1 },
	{ "ssl.client.auth=perhaps", "ssl.client.auth", FINDING_ERROR },
	{ "ssl.engine.factory.class=a.B", "ssl.engine.factory.class",
	    FINDING_ERROR },
	{ "ssl.provider=BC", "ssl.provider", FINDING_ERROR },
	{ "ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/",
	    "ssl.principal.mapping.rules", FINDING_ERROR },
	{ "ssl.keymanager.algorithm=PKIX", "ssl.keymanager.algorithm",
	    FINDING_INFO },
	{ "listeners=PLAINTEXT://127.0.0.1:1,SSL://a:2\n"
	  "listener.name.ssl.ssl.client.auth=perhaps",
	    "listener.name.ssl.ssl.client.auth", FINDING_ERROR },
	{ "listeners=PLAINTEXT://127.0.0.1:1,SSL://a:2\n"
	  "listener.name.ssl.ssl.provider=BC",
	    "listener.name.ssl.ssl.provider", FINDING_ERROR },
	{ "listeners=PLAINTEXT://127.0.0.1:1,SASL_SSL://a:2", "listeners",
	    FINDING_ERROR },
	{ "sasl.enabled.mechanisms=PLAIN\nlisteners=PLAINTEXT://127.0.0.1:1,"
	  "SASL_PLAINTEXT://a:2", "sasl.enabled.mechanisms", FINDING_ERROR },
	{ "listeners=PLAINTEXT://127.0.0.1:1,SASL_PLAINTEXT://a:2", "listeners",
	    FINDING_ERROR },
	{ "listener.name.plaintext.plain.sasl.jaas.config=x",
	    "listener.name.plaintext.plain.sasl.jaas.config", FINDING_WARN },
	{ "listener.name.plaintext.max.connections=-1",
	    "listener.name.plaintext.max.connections", FINDING_ERROR },
	{ "listener.name.plaintext.max.connections=5",
	    "listener.name.plaintext.max.connections", -1 },
	{ "listener.name.other.max.connections=5",
	    "listener.name.other.max.connections", FINDING_WARN },
	{ "listener.name.plaintext.log.dirs=/a",
	    "listener.name.plaintext.log.dirs", FINDING_WARN },
	{ "listener.name.", "listener.name.", FINDING_WARN },
	{ "leader.replication.throttled.rate=5",
	    "leader.replication.throttled.rate", FINDING_WARN },
	{ "listeners=bogus", "listeners", FINDING_ERROR },
	{ "listeners=", "listeners", FINDING_ERROR },
	{ "listeners=PLAINTEXT://a:70000", "listeners", FINDING_ERROR },
	{ "listeners=OTHER://127.0.0.1:1", "listeners", FINDING_ERROR },
	{ "listeners=PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2",
	    "listeners", FINDING_ERROR },
	{ "listener.security.protocol.map=A:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
	  "listeners=PLAINTEXT://127.0.0.1:1,A://127.0.0.2:1", "listeners",
	    FINDING_ERROR },
	{ "listener.security.protocol.map=A:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
	  "listeners=PLAINTEXT://127.0.0.1:1,A://[::1]:1", "listeners", -1 },
	{ "listener.security.protocol.map=PLAINTEXT:TLS",
	    "listener.security.protocol.map", FINDING_ERROR },
	{ "listeners=PLAINTEXT://0.0.0.0:9092", "listeners", FINDING_ERROR },
	{ "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
	    "advertised.listeners", FINDING_ERROR },
	{ "advertised.listeners=SSL://a:1", "advertised.listeners",
	    FINDING_ERROR },
	{ "inter.broker.listener.name=A", "inter.broker.listener.name",
	    FINDING_ERROR },
	{ "inter.broker.listener.name=PLAINTEXT\n"
	  "security.inter.broker.protocol=PLAINTEXT",
	    "inter.broker.listener.name", FINDING_ERROR },
	{ "security.inter.broker.protocol=SSL",
	    "security.inter.broker.protocol",
	    FINDING_ERROR },
	{ "control.plane.listener.name=PLAINTEXT",
	    "control.plane.listener.name",
	    FINDING_ERROR },
	{ "control.plane.listener.name=X", "control.plane.listener.name",
	    FINDING_ERROR },
	{ "inter.broker.protocol.version=3.8", "inter.broker.protocol.version",
	    FINDING_ERROR },
	{ "inter.broker.protocol.version=3.9", "inter.broker.protocol.version",
	    -1 },
	{ "inter.broker.protocol.version=9.1", "inter.broker.protocol.version",
	    FINDING_ERROR },
	{ "broker.id=1001", "broker.id", FINDING_ERROR },
	{ "broker.id=1001\nbroker.id.generation.enable=false", "broker.id",
	    -1 },
	{ "broker.id=-1\nbroker.id.generation.enable=false", "broker.id",
	    FINDING_ERROR },
	{ "node.id=2", "node.id", FINDING_ERROR },
	{ "zookeeper.connect=", "zookeeper.connect", FINDING_ERROR },
	{ "replica.fetch.wait.max.ms=30001", "replica.fetch.wait.max.ms",
	    FINDING_ERROR },
	{ "replica.lag.time.max.ms=499", "replica.fetch.wait.max.ms",
	    FINDING_ERROR },
	{ "offsets.commit.required.acks=4", "offsets.commit.required.acks",
	    FINDING_ERROR },
	{ "log.cleaner.dedupe.buffer.size=1048576",
	    "log.cleaner.dedupe.buffer.size", FINDING_ERROR },
	{ "log.retention.ms=0", "log.retention.ms", FINDING_ERROR },
	{ "log.dirs=", "log.dirs", FINDING_ERROR },
	{ "log.dirs=/a,/a", "log.dirs", FINDING_ERROR },
	{ "queued.max.request.bytes=5", "queued.max.request.bytes",
	    FINDING_ERROR },
	{ "max.connections.per.ip=0", "max.connections.per.ip", FINDING_ERROR },
	{ "max.connections.per.ip.overrides=a:1,b",
	    "max.connections.per.ip.overrides", FINDING_ERROR },
	{ "barnabas.log.level=INFO,net=DEBUG", "barnabas.log.level", -1 },
	{ "barnabas.log.level=INFO,nowhere=DEBUG", "barnabas.log.level",
	    FINDING_ERROR },
	{ "barnabas.admin.listener=9644", "barnabas.admin.listener",
	    FINDING_ERROR },
	{ "barnabas.admin.listener=", "barnabas.admin.listener", -1 },
};

static void
test_checks(void)
{
	for (size_t i = 0; i < nelems(cases); i++)
		expect_finding(cases[i].lines, cases[i].subject,
		    cases[i].severity);
}

static void
test_base_is_clean(void)
{
	struct config *config = config_new();

	CU_ASSERT_TRUE(config_read(config, slice_of_text(BASE)));
	CU_ASSERT_TRUE(config_override(config, " broker.id = 9"));
	CU_ASSERT_TRUE(config_resolve(config));
	CU_ASSERT_EQUAL(config_finding_count(config), 0);
	CU_ASSERT_EQUAL(config_options(config)->cluster.broker_id, 9);
	CU_ASSERT_EQUAL(config_options(config)->net.inter_broker_listener->port,
	    9092);
	config_free(&config);
	config = config_new();
	CU_ASSERT_FALSE(config_override(config, "broker.id"));
	CU_ASSERT_FALSE(config_override(config, "=1"));
	config_free(&config);
}

/* The file that is installed starts a broker and gives no cause to warn. */
static void
test_example(void)
{
	const char *top = getenv("srcdir");
	char path[1024], text[16384];
	struct config *config = config_new();
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "%s/conf/server.properties",
	    top ? top : ".");
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	length = fread(text, 1, sizeof(text), file);
	fclose(file);
	CU_ASSERT_TRUE(length > 100 && length < sizeof(text));
	CU_ASSERT_TRUE(config_read(config, slice_of(text, length)));
	CU_ASSERT_TRUE(config_resolve(config));
	CU_ASSERT_EQUAL(config_finding_count(config), 0);
	config_free(&config);
}

static void
test_listeners(void)
{
	struct config *config = resolved(BASE
	    "listener.security.protocol.map=in:plaintext,PLAINTEXT:PLAINTEXT\n"
	    "listeners=PLAINTEXT://[::1]:9092,in://b.example:9093\n"
	    "listener.name.in.max.connections=7\n"
	    "inter.broker.listener.name=in\n");
	const struct net_options *net = &config_options(config)->net;

	CU_ASSERT_EQUAL_FATAL(net->listener_list.count, 2);
	CU_ASSERT_STRING_EQUAL(net->listener_list.items[0].host, "::1");
	CU_ASSERT_STRING_EQUAL(net->listener_list.items[1].name, "IN");
	CU_ASSERT_EQUAL(net->listener_list.items[1].connections_max, 7);
	CU_ASSERT_EQUAL(net->listener_list.items[0].connections_max, INT32_MAX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(net->inter_broker_listener);
	CU_ASSERT_STRING_EQUAL(net->inter_broker_listener->host, "b.example");
	config_free(&config);
}

/* --- DescribeConfigs ------------------------------------------------------ */

static void
test_describe(void)
{
	struct config *config = resolved(BASE "log.retention.hours=24\n"
	    "password.encoder.secret=hidden\n");
	struct config_value v;
	struct config_map map;

	config_describe(config, option_find("log.retention.ms"), &v);
	CU_ASSERT_PTR_NULL(v.value);
	/* Names after its own count, those before it do not; so here none. */
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_EQUAL(v.synonym_count, 0);
	CU_ASSERT_FALSE(v.read_only);
	config_describe(config, option_find("log.retention.hours"), &v);
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_STATIC);
	CU_ASSERT_EQUAL_FATAL(v.synonym_count, 2);
	CU_ASSERT_STRING_EQUAL(v.synonyms[0].value, "24");
	CU_ASSERT_STRING_EQUAL(v.synonyms[1].value, "168");
	CU_ASSERT_EQUAL(v.synonyms[1].source, CONFIG_SOURCE_DEFAULT);
	config_describe(config, option_find("password.encoder.secret"), &v);
	CU_ASSERT_TRUE(v.sensitive);
	CU_ASSERT_PTR_NULL(v.value);
	CU_ASSERT_PTR_NULL(v.synonyms[0].value);
	config_describe(config, option_find("broker.rack"), &v);
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_DEFAULT);
	CU_ASSERT_EQUAL(v.synonym_count, 0);
	CU_ASSERT_TRUE(v.read_only);
	config_map_init(&map);
	config_map_set_text(&map, "segment.bytes", "100");
	config_describe_topic(config, &map, topic_option_find("segment.bytes"),
	    &v);
	CU_ASSERT_STRING_EQUAL(v.value, "100");
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_TOPIC);
	CU_ASSERT_EQUAL(v.synonym_count, 2);
	config_describe_topic(config, &map, topic_option_find("retention.ms"),
	    &v);
	CU_ASSERT_STRING_EQUAL(v.value, "86400000");
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_DEFAULT);
	config_describe_topic(config, NULL, topic_option_find("cleanup.policy"),
	    &v);
	CU_ASSERT_STRING_EQUAL(v.value, "delete");
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_DEFAULT);
	config_map_set_text(&map, "no.such", "secret");
	config_describe_stranger(config_map_find(&map, "no.such"), &v);
	CU_ASSERT_STRING_EQUAL(v.name, "no.such");
	CU_ASSERT_TRUE(v.sensitive);
	CU_ASSERT_PTR_NULL(v.value);
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_TOPIC);
	CU_ASSERT_EQUAL_FATAL(v.synonym_count, 1);
	CU_ASSERT_PTR_NULL(v.synonyms[0].value);
	config_map_fini(&map);
	config_free(&config);
}

static void
test_dynamic(void)
{
	struct config *config = resolved(BASE "message.max.bytes=1\n"), *next;
	struct config_map broker, cluster;
	struct config_value v;

	config_map_init(&broker);
	config_map_init(&cluster);
	config_map_set_text(&cluster, "message.max.bytes", "2");
	config_map_set_text(&broker, "message.max.bytes", "3");
	next = config_clone(config);
	config_free(&config);
	CU_ASSERT_TRUE(config_set_layer(next, CONFIG_SOURCE_DYNAMIC_DEFAULT,
	    &cluster));
	CU_ASSERT_TRUE(config_set_layer(next, CONFIG_SOURCE_DYNAMIC_BROKER,
	    &broker));
	CU_ASSERT_TRUE(config_resolve(next));
	CU_ASSERT_EQUAL(config_options(next)->storage.message_max_bytes, 3);
	config_describe(next, option_find("message.max.bytes"), &v);
	CU_ASSERT_EQUAL(v.source, CONFIG_SOURCE_DYNAMIC_BROKER);
	CU_ASSERT_EQUAL_FATAL(v.synonym_count, 4);
	CU_ASSERT_STRING_EQUAL(v.synonyms[1].value, "2");
	config_free(&next);
	config_map_fini(&broker);
	config_map_fini(&cluster);
}

/* 250 characters. */
#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG_NAME FIFTY FIFTY FIFTY FIFTY FIFTY

/* Of a listener's TLS: the general options, its own, whether they differ. */
static void
test_security(void)
{
	static const char lines[] = BASE "ssl.client.auth=requested\n"
	    "listeners=PLAINTEXT://127.0.0.1:1,A://127.0.0.1:2,"
	    "B://127.0.0.1:3,C://127.0.0.1:4," LONG_NAME "://127.0.0.1:5\n"
	    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:SSL,B:SSL,"
	    "C:SSL," LONG_NAME ":SSL\n"
	    "listener.name.b.ssl.client.auth=required\n"
	    "listener.name.c.ssl.allow.dn.changes=true\n"
	    "listener.name." LONG_NAME ".ssl.keystore.location=/a\n"
	    "listener.name." LONG_NAME ".max.connections=9\n";
	struct config *config = resolved(lines);
	const struct config_listener *l =
	    config_options(config)->net.listener_list.items;
	struct security_options mixed;

	CU_ASSERT_EQUAL(config_options(config)->net.listener_list.count, 5);
	CU_ASSERT_STRING_EQUAL(l[4].security->ssl_keystore_location, "/a");
	CU_ASSERT_EQUAL(l[4].connections_max, 9);
	for (size_t i = 0; i < config_finding_count(config); i++)
		CU_ASSERT_PTR_NULL(strstr(config_finding_at(config,
		    i)->message, "no listener of that name"));
	mixed = *l[2].security;
	security_take_stores(&mixed, l[4].security);
	CU_ASSERT_TRUE(security_same_but_stores(&mixed, l[2].security));
	CU_ASSERT_TRUE(security_same_stores(&mixed, l[4].security));
	CU_ASSERT_PTR_NULL(l[0].security);
	CU_ASSERT_STRING_EQUAL(l[1].security->ssl_client_auth, "requested");
	CU_ASSERT_STRING_EQUAL(l[2].security->ssl_client_auth, "required");
	CU_ASSERT_TRUE(security_same_but_stores(l[1].security, l[1].security));
	CU_ASSERT_FALSE(security_same_but_stores(l[1].security,
	    l[2].security));
	CU_ASSERT_FALSE(security_same_but_stores(l[1].security,
	    l[3].security));
	CU_ASSERT_TRUE(security_same_stores(l[1].security, l[3].security));
	CU_ASSERT_TRUE(l[3].security->ssl_allow_dn_changes);
	CU_ASSERT_TRUE(security_same_but_stores(l[1].security,
	    l[4].security));
	CU_ASSERT_FALSE(security_same_stores(l[1].security, l[4].security));
	config_free(&config);
}

/* What /config/brokers may hold and cannot set. */
static void
test_dynamic_layers(void)
{
	static const struct {
		const char *name, *value;
		bool all, taken, good;
	} rows[] = {
		{ "message.max.bytes", "5", true, true, true },
		{ "message.max.bytes", "-5", true, false, true },
		{ "log.segment.bytes", "x", false, false, true },
		{ "broker.rack", "a", false, false, true },
		{ "log.dirs", "/elsewhere", true, false, true },
		{ "advertised.listeners", "PLAINTEXT://a:1", true, false,
		    true },
		{ "advertised.listeners", "PLAINTEXT://a:1", false, true,
		    true },
		{ "listeners", "SSL://127.0.0.1:1", false, true, false },
		{ "no.such.option", "a", true, true, true },
		{ "authorizer.class.name", "a.B", true, false, false },
		{ "authorizer.class.name", "", true, false, true },
		{ "follower.replication.throttled.rate", "5", false, true,
		    true },
		{ "ssl.keystore.location", "/a", false, false, true },
		{ "listener.name.plaintext.ssl.keystore.location", "/a", false,
		    true, true },
		{ "listener.name.plaintext.ssl.keystore.location", "/a", true,
		    false, true },
		{ "listener.name.plaintext.max.connections", "5", true, true,
		    true },
		{ "listener.name.plaintext.max.connections", "-5", false,
		    false, true },
		{ "listener.name.plaintext.no.such", "-5", true, true, true },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct config *file = resolved(BASE), *config;
		struct config_map map;
		size_t before;

		config_map_init(&map);
		config_map_set_text(&map, rows[i].name, rows[i].value);
		config = config_clone(file);
		CU_ASSERT_TRUE(config_add_dynamic(config, rows[i].all ?
		    CONFIG_SOURCE_DYNAMIC_DEFAULT :
		    CONFIG_SOURCE_DYNAMIC_BROKER, &map, CONFIG_START));
		before = config_finding_count(config);
		CU_ASSERT_EQUAL(config_is_dynamic(config, rows[i].name),
		    rows[i].taken);
		CU_ASSERT_EQUAL(before == 0, rows[i].taken);
		CU_ASSERT_EQUAL(config_resolve(config), rows[i].good);
		config_map_fini(&map);
		config_free(&config);
		config_free(&file);
	}
}

/* A start ends; a broker that runs goes on as it was, and says so. */
static void
test_dynamic_refused(void)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{ "authorizer.class.name", "a.B" },
		{ "principal.builder.class", "a.B" },
		{ "metric.reporters", "a.B" },
	};

	for (size_t i = 0; i < nelems(rows); i++)
		for (int moment = CONFIG_START; moment <= CONFIG_RUNNING;
		     moment++) {
			struct config *config = config_new();
			struct config_map map;

			(void)config_read(config, slice_of_text(BASE));
			config_map_init(&map);
			config_map_set_text(&map, rows[i].name, rows[i].value);
			CU_ASSERT_TRUE(config_add_dynamic(config,
			    CONFIG_SOURCE_DYNAMIC_BROKER, &map,
			    (enum config_moment)moment));
			CU_ASSERT_EQUAL(config_resolve(config),
			    moment == CONFIG_RUNNING);
			CU_ASSERT_TRUE(config_finding_count(config) > 0);
			CU_ASSERT_STRING_EQUAL(
			    config_finding_at(config, 0)->subject,
			    rows[i].name);
			if (moment == CONFIG_RUNNING)
				CU_ASSERT_FALSE(config_is_dynamic(config,
				    rows[i].name));
			config_map_fini(&map);
			config_free(&config);
		}
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "properties: the syntax", test_properties },
		{ "properties: refusals", test_properties_bad },
		{ "map: bounds, last value wins", test_map_bounds },
		{ "rows: defaults, names, prose", test_rows },
		{ "rows against Kafka's table", test_vectors },
		{ "values: Kafka's messages", test_messages },
		{ "topics: refused here", test_topic_refused },
		{ "topics: resolved", test_topic_resolve },
		{ "several names for one value", test_synonyms },
		{ "checks at start", test_checks },
		{ "a sane file has no findings", test_base_is_clean },
		{ "the example file", test_example },
		{ "listeners", test_listeners },
		{ "described", test_describe },
		{ "dynamic layers", test_dynamic },
		{ "TLS of listeners", test_security },
		{ "what no dynamic layer takes", test_dynamic_layers },
		{ "what a broker that runs goes on without",
		    test_dynamic_refused },
	};

	return (unit_main("config", tests, nelems(tests)));
}
