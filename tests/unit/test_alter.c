/* SPDX-License-Identifier: Apache-2.0 */
/* What configs become by clients' changes, and which changes may be. */
#include "config/alter.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tests/unit/unit.h"

#define BASE "zookeeper.connect=localhost\nbroker.id=3\n"

static struct config *
resolved(const char *text)
{
	struct config *config = config_new();

	CU_ASSERT_TRUE_FATAL(config_read(config, slice_of_text(text)));
	CU_ASSERT_TRUE_FATAL(config_resolve(config));
	return (config);
}

static void
put(struct config_map *map, const char *name, const char *value)
{
	CU_ASSERT(config_map_put(map, slice_of_text(name),
	    slice_of_text(value), 0));
}

/* --- lists ---------------------------------------------------------------- */

struct list_case {
	const char *old; /* NULL: not set */
	int8_t operation;
	const char *value;
	const char *now;
};

/* As Kafka's String.split(",") and diff make it. */
static const struct list_case lists[] = {
	{ NULL, ALTER_APPEND, "0:1", "0:1" },
	{ "", ALTER_APPEND, "0:1,0:2", "0:1,0:2" },
	{ "0:1", ALTER_APPEND, "0:1", "0:1" },
	{ "0:1", ALTER_APPEND, "0:2,0:1,0:3,0:3", "0:1,0:2,0:3,0:3" },
	{ "0:1", ALTER_APPEND, "", "0:1," },
	{ "0:1,,", ALTER_APPEND, "0:2", "0:1,0:2" },
	{ "0:1, 0:2", ALTER_APPEND, "0:2", "0:1, 0:2,0:2" },
	{ NULL, ALTER_SUBTRACT, "0:1", "" },
	{ "0:1", ALTER_SUBTRACT, "0:1", "" },
	{ "0:1,0:2,0:1", ALTER_SUBTRACT, "0:1", "0:2,0:1" },
	{ "0:1,0:2,0:1", ALTER_SUBTRACT, "0:1,0:1,0:9", "0:2" },
	{ "0:1,0:2", ALTER_SUBTRACT, "0:3", "0:1,0:2" },
	{ "0:1,0:2", ALTER_SUBTRACT, "", "0:1,0:2" },
	{ "0:1,", ALTER_SUBTRACT, ",", "0:1" },
};

static void
test_lists(void)
{
	static const char name[] = "leader.replication.throttled.replicas";
	char message[ALTER_ERROR_SIZE];

	for (size_t i = 0; i < nelems(lists); i++) {
		const struct list_case *c = &lists[i];
		struct config_change change = { slice_of_text(name),
			slice_of_text(c->value), c->operation };
		struct config_map before, after;

		config_map_init(&before);
		config_map_init(&after);
		if (c->old != NULL)
			put(&before, name, c->old);
		CU_ASSERT_EQUAL(config_alter(&before, &change, 1,
		    topic_option_find, &after, message), ERR_NONE);
		CU_ASSERT_STRING_EQUAL(config_map_get(&after, name), c->now);
		config_map_fini(&before);
		config_map_fini(&after);
	}
}

/* A list of a million items is no more work than it is long. */
static void
test_long_list(void)
{
	static const char name[] = "leader.replication.throttled.replicas";
	struct buffer text = BUFFER_EMPTY;
	struct config_change change = { slice_of_text(name), SLICE_NULL,
		ALTER_APPEND };
	struct config_map before, after;
	char message[ALTER_ERROR_SIZE];

	for (int i = 0; i < 40000; i++)
		buffer_printf(&text, "%s%d:1", i == 0 ? "" : ",", i);
	config_map_init(&before);
	config_map_init(&after);
	put(&before, name, buffer_text(&text));
	change.value = buffer_slice(&text);
	CU_ASSERT_EQUAL(config_alter(&before, &change, 1, topic_option_find,
	    &after, message), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(config_map_get(&after, name),
	    buffer_text(&text));
	config_map_fini(&before);
	config_map_fini(&after);
	buffer_fini(&text);
}

/* --- changes -------------------------------------------------------------- */

static void
test_changes(void)
{
	const struct config_change changes[] = {
		{ SLICE_LITERAL("a"), SLICE_LITERAL(" 1 "), ALTER_SET },
		{ SLICE_LITERAL("b"), SLICE_NULL, ALTER_DELETE },
		{ SLICE_LITERAL("never"), SLICE_NULL, ALTER_DELETE },
		{ SLICE_LITERAL("d"), SLICE_EMPTY, ALTER_SET },
	};
	struct config_map before, after;
	char message[ALTER_ERROR_SIZE];

	config_map_init(&before);
	config_map_init(&after);
	put(&before, "a", "0");
	put(&before, "b", "2");
	put(&before, "c", "3 ");
	CU_ASSERT_EQUAL(config_alter(&before, changes, nelems(changes),
	    topic_option_find, &after, message), ERR_NONE);
	CU_ASSERT_EQUAL(config_map_count(&after), 3);
	CU_ASSERT_STRING_EQUAL(config_map_get(&after, "a"), " 1 ");
	CU_ASSERT_STRING_EQUAL(config_map_get(&after, "c"), "3 ");
	CU_ASSERT_STRING_EQUAL(config_map_get(&after, "d"), "");
	config_map_fini(&before);
	config_map_fini(&after);
}

struct bad_change {
	const char *name;
	int8_t operation;
	enum error error;
	const char *message;
};
static const struct bad_change bad_changes[] = {
	{ "retention.ms", ALTER_APPEND, ERR_INVALID_CONFIG,
	    "Config value append is not allowed for config key: retention.ms" },
	{ "retention.ms", ALTER_SUBTRACT, ERR_INVALID_CONFIG,
	    "Config value subtract is not allowed for config key: "
	    "retention.ms" },
	{ "no.such", ALTER_APPEND, ERR_UNKNOWN_SERVER_ERROR, "" },
	{ "retention.ms", 4, ERR_UNKNOWN_SERVER_ERROR, "" },
	{ "retention.ms", -1, ERR_UNKNOWN_SERVER_ERROR, "" },
};

static void
test_bad_changes(void)
{
	char message[ALTER_ERROR_SIZE];

	for (size_t i = 0; i < nelems(bad_changes); i++) {
		const struct bad_change *b = &bad_changes[i];
		struct config_change change = { slice_of_text(b->name),
			SLICE_LITERAL("1"), b->operation };
		struct config_map after;

		config_map_init(&after);
		CU_ASSERT_EQUAL(config_alter(NULL, &change, 1,
		    topic_option_find, &after, message), b->error);
		CU_ASSERT_STRING_EQUAL(message, b->message);
		config_map_fini(&after);
	}
}

/* What does not fit, or is no text, is refused, not cut. */
static void
test_too_much(void)
{
	struct config_change change = { SLICE_LITERAL("a"),
		SLICE_LITERAL("x\0y"), ALTER_SET };
	struct config_map after;
	char message[ALTER_ERROR_SIZE];
	char *big = malloc(CONFIG_TEXT_BYTES_MAX + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(big);
	memset(big, 'x', CONFIG_TEXT_BYTES_MAX + 1);
	config_map_init(&after);
	CU_ASSERT_EQUAL(config_alter(NULL, &change, 1, topic_option_find,
	    &after, message), ERR_INVALID_CONFIG);
	CU_ASSERT_STRING_NOT_EQUAL(message, "");
	config_map_fini(&after);
	config_map_init(&after);
	change.value = slice_of(big, CONFIG_TEXT_BYTES_MAX + 1);
	CU_ASSERT_EQUAL(config_alter(NULL, &change, 1, topic_option_find,
	    &after, message), ERR_INVALID_CONFIG);
	CU_ASSERT_STRING_NOT_EQUAL(message, "");
	config_map_fini(&after);
	free(big);
}

/* --- a broker's layer ----------------------------------------------------- */

#define PREFIX "listener.name.plaintext."
#define WRAPPED(why)                                                          \
	"Invalid value org.apache.kafka.common.config.ConfigException: " why  \
	" for configuration Invalid dynamic configuration"

struct layer_case {
	const char *name;
	const char *value;
	enum error error;
	const char *message;  /* NULL: not minded */
	enum error of_all;    /* as the default of all brokers */
};
static const struct layer_case layers[] = {
	{ "log.retention.ms", "5", ERR_NONE, NULL, ERR_NONE },
	{ "no.such", "5", ERR_NONE, NULL, ERR_NONE },
	{ "log.retention.ms", "x", ERR_INVALID_REQUEST, "Invalid value x for "
	    "configuration log.retention.ms: Not a number of type LONG",
	    ERR_INVALID_REQUEST },
	{ "broker.id", "4", ERR_INVALID_REQUEST,
	    "Cannot update these configs dynamically: Set(broker.id)",
	    ERR_INVALID_REQUEST },
	{ "log.retention.hours", "4", ERR_INVALID_REQUEST, "Cannot update these"
	    " configs dynamically: Set(log.retention.hours)",
	    ERR_INVALID_REQUEST },
	{ "barnabas.loops", "4", ERR_INVALID_REQUEST,
	    "Cannot update these configs dynamically: Set(barnabas.loops)",
	    ERR_INVALID_REQUEST },
	{ "ssl.keystore.password", "x", ERR_INVALID_REQUEST, "These security "
	    "configs can be dynamically updated only per-listener using the "
	    "listener prefix: HashSet(ssl.keystore.password)",
	    ERR_INVALID_REQUEST },
	{ "advertised.listeners", "PLAINTEXT://h:1", ERR_NONE, NULL,
	    ERR_INVALID_REQUEST },
	{ PREFIX "max.connections", "7", ERR_NONE, NULL, ERR_NONE },
	{ PREFIX "max.connections", "x", ERR_INVALID_REQUEST, "Invalid value x "
	    "for configuration max.connections: Not a number of type INT",
	    ERR_INVALID_REQUEST },
	{ PREFIX "log.retention.ms", "7", ERR_NONE, NULL,
	    ERR_INVALID_REQUEST },
	{ "background.threads", "5", ERR_NONE, NULL, ERR_NONE },
	{ "background.threads", "20", ERR_NONE, NULL, ERR_NONE },
	{ "background.threads", "4", ERR_INVALID_REQUEST,
	    WRAPPED("Dynamic thread count update validation failed for "
	    "background.threads=4, value should be at least half the current "
	    "value 10"), ERR_INVALID_REQUEST },
	{ "background.threads", "21", ERR_INVALID_REQUEST,
	    WRAPPED("Dynamic thread count update validation failed for "
	    "background.threads=21, value should not be greater than double "
	    "the current value 10"), ERR_INVALID_REQUEST },
	{ "log.cleaner.threads", "3", ERR_INVALID_REQUEST,
	    WRAPPED("Log cleaner threads cannot be increased to more than "
	    "double the current value 1"), ERR_INVALID_REQUEST },
	{ "max.connections", "0", ERR_INVALID_REQUEST,
	    WRAPPED("Invalid max.connections 0"), ERR_INVALID_REQUEST },
	{ "max.connection.creation.rate", "0", ERR_INVALID_REQUEST,
	    WRAPPED("Invalid max.connection.creation.rate 0"),
	    ERR_INVALID_REQUEST },
	{ "log.local.retention.ms", "-1", ERR_INVALID_REQUEST,
	    WRAPPED("Invalid value -1 for configuration "
	    "log.local.retention.ms: Value must not be -1 as log.retention.ms "
	    "value is set as 604800000."), ERR_INVALID_REQUEST },
	{ "log.local.retention.ms", "604800001", ERR_INVALID_REQUEST,
	    WRAPPED("Invalid value 604800001 for configuration "
	    "log.local.retention.ms: Value must not be more than "
	    "log.retention.ms property value: 604800000"),
	    ERR_INVALID_REQUEST },
	{ "log.local.retention.ms", "5", ERR_NONE, NULL, ERR_NONE },
	/* what this version does not do */
	{ "log.cleanup.policy", "compact", ERR_NONE, NULL, ERR_NONE },
	{ "log.cleanup.policy", "delete,delete", ERR_NONE, NULL, ERR_NONE },
	{ "log.cleanup.policy", "", ERR_NONE, NULL, ERR_NONE },
	{ "metric.reporters", "a.B", ERR_INVALID_CONFIG, NULL,
	    ERR_INVALID_CONFIG },
	{ "principal.builder.class", "a.B", ERR_INVALID_CONFIG, NULL,
	    ERR_INVALID_REQUEST },
	/* the whole that would come out */
	{ "listeners", "NONE://h:1", ERR_INVALID_REQUEST, NULL,
	    ERR_INVALID_REQUEST },
};

static void
test_layers(void)
{
	struct config *config = resolved(BASE);
	char message[ALTER_ERROR_SIZE];

	for (size_t i = 0; i < nelems(layers); i++) {
		const struct layer_case *c = &layers[i];
		struct config *next;
		struct config_map map;
		enum error error;

		config_map_init(&map);
		put(&map, c->name, c->value);
		error = config_check_layer(config, CONFIG_SOURCE_DYNAMIC_BROKER,
		    &map, &next, message);
		CU_ASSERT_EQUAL(error, c->error);
		CU_ASSERT_EQUAL(next != NULL, error == ERR_NONE);
		if (next != NULL)
			CU_ASSERT(config_layer_is(next,
			    CONFIG_SOURCE_DYNAMIC_BROKER, &map));
		config_free(&next);
		if (c->error != ERR_NONE && c->message != NULL)
			CU_ASSERT_STRING_EQUAL(message, c->message);
		error = config_check_layer(config,
		    CONFIG_SOURCE_DYNAMIC_DEFAULT, &map, &next, message);
		CU_ASSERT_EQUAL(error, c->of_all);
		config_free(&next);
		config_map_fini(&map);
	}
	config_free(&config);
}

/* A broker with a listener of each kind, and changes of them. */
#define LISTENERS BASE "listeners=PLAINTEXT://127.0.0.1:1,SSL://127.0.0.1:2\n" \
	"listener.name.ssl.ssl.client.auth=requested\n"
#define OF_SSL "listener.name.ssl."
#define FIXED "Configs cannot be updated dynamically for existing listener "  \
	"ListenerName(SSL), restart broker or create a new listener for update"

struct change_case {
	const char *entries[3][2]; /* name, value */
	const char *message; /* NULL: it may be */
};
static const struct change_case changes_of_listeners[] = {
	{ { { OF_SSL "ssl.client.auth", "required" } }, NULL },
	{ { { OF_SSL "ssl.cipher.suites", "x" } }, NULL },
	{ { { "ssl.client.auth", "required" } }, NULL },
	{ { { OF_SSL "ssl.client.auth", "required" },
	    { "ssl.client.auth", "required" } }, WRAPPED(FIXED) },
	{ { { OF_SSL "ssl.client.auth", "required" },
	    { "max.connections", "100" } }, WRAPPED(FIXED) },
	{ { { OF_SSL "ssl.client.auth", "requested" },
	    { "max.connections", "100" } }, NULL },
	{ { { OF_SSL "ssl.keystore.location", "/a" },
	    { OF_SSL "max.connections", "7" }, { "max.connections", "100" } },
	    NULL },
	{ { { "listener.name.none.ssl.client.auth", "required" },
	    { "max.connections", "100" } }, NULL },
	/* it goes */
	{ { { OF_SSL "ssl.client.auth", "required" },
	    { "listeners", "PLAINTEXT://127.0.0.1:1" } }, NULL },
	{ { { "listeners", "PLAINTEXT://127.0.0.1:3,SSL://127.0.0.1:2" } },
	    WRAPPED("listener=PLAINTEXT is there with another address: take it "
	    "out, or give the new one another name") },
	{ { { "listener.security.protocol.map",
	    "PLAINTEXT:PLAINTEXT,SSL:PLAINTEXT" } },
	    WRAPPED("Security protocol cannot be updated for existing listener "
	    "ListenerName(SSL)") },
	{ { { OF_SSL "num.network.threads", "6" } }, NULL },
	{ { { OF_SSL "num.network.threads", "7" } },
	    WRAPPED("Dynamic thread count update validation failed for "
	    "num.network.threads=7, value should not be greater than double "
	    "the current value 3") },
	{ { { "num.network.threads", "7" } },
	    WRAPPED("Dynamic thread count update validation failed for "
	    "num.network.threads=7, value should not be greater than double "
	    "the current value 3") },
	{ { { OF_SSL "max.connections", "0" } },
	    WRAPPED("Invalid max.connections 0") },
	{ { { OF_SSL "max.connection.creation.rate", "0" } },
	    WRAPPED("Invalid max.connection.creation.rate 0") },
	{ { { "listener.name.none.max.connections", "0" } }, NULL },
};

static void
test_listeners(void)
{
	struct config *config = resolved(LISTENERS);
	char message[ALTER_ERROR_SIZE];

	for (size_t i = 0; i < nelems(changes_of_listeners); i++) {
		const struct change_case *c = &changes_of_listeners[i];
		struct config_map map;
		struct config *next;
		enum error error;

		config_map_init(&map);
		for (int j = 0; j < 3 && c->entries[j][0] != NULL; j++)
			put(&map, c->entries[j][0], c->entries[j][1]);
		error = config_check_layer(config, CONFIG_SOURCE_DYNAMIC_BROKER,
		    &map, &next, message);
		CU_ASSERT_EQUAL(error, c->message == NULL ? ERR_NONE :
		    ERR_INVALID_REQUEST);
		if (error != ERR_NONE && c->message != NULL)
			CU_ASSERT_STRING_EQUAL(message, c->message);
		config_free(&next);
		config_map_fini(&map);
	}
	config_free(&config);
}

/* However long the reason is, it stands between what Kafka writes about it. */
static void
test_refusal_is_whole(void)
{
	char why[2 * ALTER_ERROR_SIZE], message[ALTER_ERROR_SIZE];
	static const char end[] = " for configuration Invalid dynamic "
	    "configuration";

	memset(why, 'x', sizeof(why));
	why[sizeof(why) - 1] = '\0';
	config_refuse_dynamic(why, message);
	CU_ASSERT(strlen(message) < sizeof(message));
	CU_ASSERT_STRING_EQUAL(message + strlen(message) - strlen(end), end);
}

/* What stood there before in spite of all goes with the next change, as with
 * Kafka. */
static void
test_keep_valid(void)
{
	struct config_map stored, kept;

	config_map_init(&stored);
	config_map_init(&kept);
	put(&stored, "broker.id", "4");
	put(&stored, "log.retention.ms", " 5 ");
	put(&stored, "log.segment.bytes", "x");
	put(&stored, "no.such", "y");
	put(&stored, "ssl.key.password", "z");
	put(&stored, PREFIX "ssl.key.password", "z");
	CU_ASSERT(config_keep_valid(CONFIG_SOURCE_DYNAMIC_BROKER, &stored,
	    &kept));
	CU_ASSERT_EQUAL(config_map_count(&kept), 3);
	CU_ASSERT_STRING_EQUAL(config_map_get(&kept, "log.retention.ms"),
	    " 5 ");
	CU_ASSERT_PTR_NOT_NULL(config_map_get(&kept, "no.such"));
	config_map_fini(&kept);
	config_map_init(&kept);
	CU_ASSERT(config_keep_valid(CONFIG_SOURCE_DYNAMIC_DEFAULT, &stored,
	    &kept));
	CU_ASSERT_EQUAL(config_map_count(&kept), 2);
	config_map_fini(&kept);
	config_map_fini(&stored);
}

/* --- names ---------------------------------------------------------------- */

static void
test_names(void)
{
	CU_ASSERT_STRING_EQUAL(option_base_name("a.b"), "a.b");
	CU_ASSERT_STRING_EQUAL(option_base_name("listener.name.x.a.b"), "a.b");
	CU_ASSERT_STRING_EQUAL(option_base_name("listener.name.x"),
	    "listener.name.x");
	CU_ASSERT_STRING_EQUAL(option_base_name(
	    "listener.name.x.plain.sasl.jaas.config"), "sasl.jaas.config");
	CU_ASSERT(option_is_password("listener.name.x.ssl.key.password"));
	CU_ASSERT(option_is_password("ssl.keystore.key"));
	CU_ASSERT(option_is_password("my.sasl.jaas.config"));
	CU_ASSERT(!option_is_password("password.encoder.secret"));
	CU_ASSERT(!option_is_password("ssl.keystore.location"));
}

static void
test_behind_listener(void)
{
	static const struct {
		const char *name, *base, *listener;
	} rows[] = {
		{ "listener.name.x.a.b", "a.b", "x" },
		{ "listener.name.x.", "", "x" },
		{ "listener.name..a", "a", "" },
		{ "listener.name.x", "listener.name.x", NULL },
		{ "listener.name.", "listener.name.", NULL },
		{ "listener.names.x.a", "listener.names.x.a", NULL },
		{ "a.b", "a.b", NULL },
		{ "", "", NULL },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct slice listener;

		CU_ASSERT_STRING_EQUAL(option_behind_listener(rows[i].name,
		    &listener), rows[i].base);
		CU_ASSERT_STRING_EQUAL(option_behind_listener(rows[i].name,
		    NULL), rows[i].base);
		CU_ASSERT_EQUAL(listener.data == NULL,
		    rows[i].listener == NULL);
		if (rows[i].listener != NULL)
			CU_ASSERT(slice_equal_text(listener,
			    rows[i].listener));
	}
}

/* What this version refuses is refused but for values that ask for no more
 * than the default. */
static void
test_within(void)
{
	static const struct {
		const char *name, *text, *whole;
		bool within;
	} rows[] = {
		/* of a list: each item */
		{ "log.cleanup.policy", "delete", "delete", true },
		{ "log.cleanup.policy", "delete, delete", "delete", true },
		{ "log.cleanup.policy", "", "delete", true },
		{ "log.cleanup.policy", "delete,compact", "delete", false },
		{ "log.cleanup.policy", "delet", "delete", false },
		{ "log.cleanup.policy", "Delete", "delete", false },
		{ "log.cleanup.policy", "compact", NULL, false },
		{ "log.cleanup.policy", "", NULL, true },
		{ "log.cleanup.policy", "b,a", "a,b,c", true },
		/* of anything else: the value */
		{ "zookeeper.set.acl", "FALSE", "false", true },
		{ "zookeeper.set.acl", "true", "false", false },
		{ "background.threads", " 10 ", "10", true },
		{ "background.threads", "1", "10", false },
		{ "authorizer.class.name", "", NULL, true },
		{ "authorizer.class.name", "a", "a,b", false },
	};

	for (size_t i = 0; i < nelems(rows); i++)
		CU_ASSERT_EQUAL(option_within(option_find(rows[i].name),
		    rows[i].text, rows[i].whole), rows[i].within);
}

/* --- topics --------------------------------------------------------------- */

struct topic_case {
	const char *name;
	const char *value;
	enum topic_fault fault;
	const char *message;
};
static const struct topic_case topics[] = {
	{ "retention.ms", " 10 ", TOPIC_FAULT_NONE, NULL },
	{ "retention.ms", "abc", TOPIC_FAULT_VALUE, "Invalid value abc for "
	    "configuration retention.ms: Not a number of type LONG" },
	{ "no.such", "1", TOPIC_FAULT_NAME,
	    "Unknown topic config name: no.such" },
	{ "min.cleanable.dirty.ratio", "2", TOPIC_FAULT_VALUE,
	    "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: "
	    "Value must be no more than 1" },
	{ "message.format.version", "9", TOPIC_FAULT_VALUE, "Invalid value 9 "
	    "for configuration message.format.version: Version 9 is not a "
	    "valid version" },
	{ "min.compaction.lag.ms", "9223372036854775807", TOPIC_FAULT_NONE,
	    NULL },
	{ "remote.storage.enable", "TRUE", TOPIC_FAULT_VALUE, "Tiered Storage "
	    "functionality is disabled in the broker. Topic cannot be "
	    "configured with remote log storage." },
	{ "remote.log.copy.disable", "true", TOPIC_FAULT_RULE, "It is invalid "
	    "to set `remote.log.delete.on.disable` or "
	    "`remote.log.copy.disable` under Zookeeper's mode." },
	{ "cleanup.policy", "", TOPIC_FAULT_NONE, NULL },
	{ "cleanup.policy", "delete, delete", TOPIC_FAULT_NONE, NULL },
	{ "cleanup.policy", "delete,compact", TOPIC_FAULT_NONE, NULL },
};

static void
test_topics(void)
{
	struct config *config = resolved(BASE);
	char error[OPTION_ERROR_SIZE];

	for (size_t i = 0; i < nelems(topics); i++) {
		const struct topic_case *c = &topics[i];
		struct config_map map;

		config_map_init(&map);
		put(&map, c->name, c->value);
		CU_ASSERT_EQUAL(topic_options_judge(config_options(config),
		    TOPIC_OF_USER, &map, error), c->fault);
		if (c->message != NULL)
			CU_ASSERT_STRING_EQUAL(error, c->message);
		config_map_fini(&map);
	}
	config_free(&config);
}

/* --- what is shown -------------------------------------------------------- */

struct shown_case {
	const char *name;
	const char *value; /* in the file; NULL: not set */
	const char *shown; /* NULL: null */
	enum config_source source;
	bool read_only;
	size_t synonyms;
};
static const struct shown_case shown[] = {
	{ "log.cleaner.min.cleanable.ratio", "0.250", "0.25",
	    CONFIG_SOURCE_STATIC, false, 2 },
	{ "log.cleaner.io.buffer.load.factor", "9E-1", "0.9",
	    CONFIG_SOURCE_STATIC, false, 2 },
	{ "log.retention.bytes", "+007", "7", CONFIG_SOURCE_STATIC, false, 2 },
	{ "log.preallocate", "FALSE", "false", CONFIG_SOURCE_STATIC, false,
	    2 },
	{ "log.cleanup.policy", "delete , delete", "delete,delete",
	    CONFIG_SOURCE_STATIC, false, 2 },
	{ "node.id", NULL, "3", CONFIG_SOURCE_STATIC, true, 2 },
	{ "no.such", "a", NULL, CONFIG_SOURCE_STATIC, true, 1 },
	{ PREFIX "max.connections", " 7", "7", CONFIG_SOURCE_STATIC, true, 2 },
	{ PREFIX "no.such", "7", NULL, CONFIG_SOURCE_STATIC, true, 1 },
	{ PREFIX "ssl.key.password", "7", NULL, CONFIG_SOURCE_STATIC, true,
	    1 },
	{ "ssl.key.password", NULL, NULL, CONFIG_SOURCE_DEFAULT, false, 0 },
};

static void
test_shown(void)
{
	for (size_t i = 0; i < nelems(shown); i++) {
		const struct shown_case *c = &shown[i];
		struct buffer text = BUFFER_EMPTY;
		struct config_value value;
		struct config *config;
		struct arena arena;
		const char *now;

		buffer_append_text(&text, BASE);
		if (c->value != NULL)
			buffer_printf(&text, "%s=%s\n", c->name, c->value);
		config = resolved(buffer_text(&text));
		arena_init(&arena, 0);
		config_describe_name(config, c->name, &value);
		now = config_value_text(&value, &arena);
		CU_ASSERT_EQUAL(now == NULL, c->shown == NULL);
		if (now != NULL && c->shown != NULL)
			CU_ASSERT_STRING_EQUAL(now, c->shown);
		CU_ASSERT_EQUAL(value.source, c->source);
		CU_ASSERT_EQUAL(value.read_only, c->read_only);
		CU_ASSERT_EQUAL(value.synonym_count, c->synonyms);
		arena_fini(&arena);
		config_free(&config);
		buffer_fini(&text);
	}
}

static bool
names_have(const char **names, size_t count, const char *name)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		found += strcmp(names[i], name) == 0;
	CU_ASSERT(found <= 1);
	return (found == 1);
}

static void
test_all_names(void)
{
	static const char rate[] = "leader.replication.throttled.rate";
	struct config *config = resolved(BASE "no.such=1\n");
	struct config_map of_all, own;
	const char **names;
	struct arena arena;
	size_t count;

	config_map_init(&of_all);
	config_map_init(&own);
	arena_init(&arena, 0);
	names = config_names(config, false, &arena, &count);
	CU_ASSERT(names_have(names, count, "no.such"));
	CU_ASSERT(names_have(names, count, "node.id"));
	CU_ASSERT(!names_have(names, count, rate));
	CU_ASSERT(!names_have(names, count, "log.initial.task.delay.ms"));
	(void)config_names(config, true, &arena, &count);
	CU_ASSERT_EQUAL(count, 0);
	put(&of_all, rate, "5");
	put(&of_all, "no.such", "2");
	put(&own, rate, "6");
	CU_ASSERT(config_set_layer(config, CONFIG_SOURCE_DYNAMIC_DEFAULT,
	    &of_all));
	CU_ASSERT(config_set_layer(config, CONFIG_SOURCE_DYNAMIC_BROKER,
	    &own));
	names = config_names(config, false, &arena, &count);
	CU_ASSERT(names_have(names, count, rate));
	CU_ASSERT(names_have(names, count, "no.such"));
	names = config_names(config, true, &arena, &count);
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT(config_layer_is(config, CONFIG_SOURCE_DYNAMIC_BROKER, &own));
	CU_ASSERT(!config_layer_is(config, CONFIG_SOURCE_DYNAMIC_BROKER,
	    &of_all));
	arena_fini(&arena);
	config_map_fini(&of_all);
	config_map_fini(&own);
	config_free(&config);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "lists", test_lists },
		{ "a long list", test_long_list },
		{ "changes", test_changes },
		{ "bad changes", test_bad_changes },
		{ "too much", test_too_much },
		{ "a broker's entries", test_layers },
		{ "listeners that are there", test_listeners },
		{ "a refusal is whole", test_refusal_is_whole },
		{ "what stays", test_keep_valid },
		{ "names", test_names },
		{ "names behind a listener's", test_behind_listener },
		{ "no more than the default", test_within },
		{ "topics", test_topics },
		{ "what is shown", test_shown },
		{ "all names", test_all_names },
	};

	return (unit_main("alter", tests, nelems(tests)));
}
