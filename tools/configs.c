/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas configs: options of topics, brokers and brokers' loggers. */
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "tools/configs.h"

static const struct arg_row configs_rows[] = {
	ARGS_CLIENT,
	{ "bootstrap-controller", ARG_TEXT, "host:port,...", NULL,
	    "Refused: KRaft has such controllers." },
	{ "zookeeper", ARG_TEXT, "host:port,...", NULL,
	    "Refused: the brokers are asked, with --bootstrap-server." },
	{ "zk-tls-config-file", ARG_TEXT, "file", NULL,
	    "Refused, as --zookeeper is." },
	{ "describe", ARG_FLAG, NULL, NULL,
	    "Show the options that are set for the entity." },
	{ "all", ARG_FLAG, NULL, NULL,
	    "Show all that count for it, wherever they come from." },
	{ "alter", ARG_FLAG, NULL, NULL, "Set and delete options." },
	{ "add-config", ARG_TEXT, "name=value,...", NULL,
	    "Options to set; a value with commas stands in brackets: "
	    "cleanup.policy=[compact,delete]." },
	{ "add-config-file", ARG_TEXT, "file", NULL,
	    "A properties file with options to set." },
	{ "delete-config", ARG_MANY, "name,...", NULL,
	    "Options to delete: what stands below them counts again." },
	{ "entity-type", ARG_MANY, "topics|brokers|broker-loggers", NULL,
	    "Whose options; of users, clients, ips and client-metrics this "
	    "version has none." },
	{ "entity-name", ARG_MANY, "name", NULL,
	    "The topic's name or the broker's id." },
	{ "entity-default", ARG_FLAG, NULL, NULL,
	    "The default of all brokers." },
	{ "topic", ARG_TEXT, "name", NULL, "The topic." },
	{ "broker", ARG_TEXT, "id", NULL, "The broker." },
	{ "broker-defaults", ARG_FLAG, NULL, NULL,
	    "The default of all brokers." },
	{ "broker-logger", ARG_TEXT, "id", NULL,
	    "The broker whose loggers it is about." },
	{ "user", ARG_TEXT, "name", NULL, "Not in this version." },
	{ "user-defaults", ARG_FLAG, NULL, NULL, "Not in this version." },
	{ "client", ARG_TEXT, "id", NULL, "Not in this version." },
	{ "client-defaults", ARG_FLAG, NULL, NULL, "Not in this version." },
	{ "ip", ARG_TEXT, "address", NULL, "Not in this version." },
	{ "ip-defaults", ARG_FLAG, NULL, NULL, "Not in this version." },
	{ "force", ARG_FLAG, NULL, NULL, "Accepted; nothing is asked." },
	ARGS_COMMON,
};

static int configs_run(struct tool *tool, const struct args *args);

const struct command command_configs = {
	.name = "configs",
	.kafka_name = "kafka-configs.sh",
	.summary = "show and change options of topics and brokers",
	.rows = configs_rows,
	.run = configs_run,
};

/* --- whose options -------------------------------------------------------- */

/* The options that name an entity, each with its type. */
static const struct entity_flag {
	const char *option;
	const char *type;
} entity_flags[] = {
	{ "topic", "topics" },
	{ "client", "clients" },
	{ "user", "users" },
	{ "broker", "brokers" },
	{ "broker-logger", "broker-loggers" },
	{ "ip", "ips" },
	{ "client-defaults", "clients" },
	{ "user-defaults", "users" },
	{ "broker-defaults", "brokers" },
	{ "ip-defaults", "ips" },
};

static const struct kind_row {
	enum configs_kind kind;
	const char *many;
	const char *one;
} kinds[] = {
	{ CONFIGS_TOPIC, "topics", "topic" },
	{ CONFIGS_BROKER, "brokers", "broker" },
	{ CONFIGS_LOGGER, "broker-loggers", "broker-logger" },
};

static const struct kind_row *
kind_row(enum configs_kind kind)
{
	for (size_t i = 0; i < nelems(kinds); i++)
		if (kinds[i].kind == kind)
			return (&kinds[i]);
	UNREACHABLE();
}

const char *
configs_kind_many(enum configs_kind kind)
{
	return (kind_row(kind)->many);
}

const char *
configs_kind_one(enum configs_kind kind)
{
	return (kind_row(kind)->one);
}

void
configs_entity_name(const struct configs_entity *entity, struct buffer *out)
{
	if (entity->name.length == 0)
		buffer_printf(out, "the default of %s",
		    configs_kind_many(entity->kind));
	else
		buffer_printf(out, "%s '%.*s'", configs_kind_one(entity->kind),
		    SLICE_ARGS(entity->name));
}

/* What the options name, as they were given. */
struct entity_given {
	const char *type; /* NULL: none was */
	size_t types;
	const char *name; /* NULL: none; "": a default */
	size_t names;
};

static void
entity_take_general(const struct args *args, struct entity_given *given)
{
	const char *text;
	size_t at = 0;

	while ((text = args_next(args, "entity-type", &at)) != NULL) {
		given->type = text;
		given->types++;
	}
	at = 0;
	while ((text = args_next(args, "entity-name", &at)) != NULL) {
		given->name = text;
		given->names++;
	}
	if (args_has(args, "entity-default")) {
		given->name = "";
		given->names++;
	}
}

static void
entity_take_flags(const struct args *args, struct entity_given *given)
{
	for (size_t i = 0; i < nelems(entity_flags); i++) {
		const struct entity_flag *flag = &entity_flags[i];
		const char *text;

		if (!args_has(args, flag->option))
			continue;
		text = args_text(args, flag->option);
		given->type = flag->type;
		given->name = text != NULL ? text : "";
		given->types++;
		given->names++;
	}
}

/* Of what Kafka has and this version has not. */
static int
entity_refuse(const struct tool *tool, const char *type)
{
	static const char *const quotas[] = { "users", "clients", "ips" };

	for (size_t i = 0; i < nelems(quotas); i++)
		if (strcmp(type, quotas[i]) == 0)
			return (tool_usage(tool,
			    "quotas and credentials (of %s) are not in this "
			    "version; Kafka's own kafka-configs.sh changes "
			    "those of a Kafka broker",
			    type));
	if (strcmp(type, "client-metrics") == 0)
		return (tool_usage(tool,
		    "client-metrics are for clusters with KRaft"));
	return (tool_usage(tool,
	    "there is no entity type \"%s\": topics, brokers or "
	    "broker-loggers", type));
}

static int
entity_check_name(const struct tool *tool, const struct args *args,
    const struct entity_given *given, enum configs_kind kind)
{
	const bool is_default = given->name != NULL && given->name[0] == '\0';
	int32_t id;

	if (is_default && kind != CONFIGS_BROKER)
		return (tool_usage(tool, "%s have no default that could be %s",
		    configs_kind_many(kind),
		    args_has(args, "alter") ? "changed" : "shown"));
	if (given->name == NULL && args_has(args, "alter"))
		return (tool_usage(tool,
		    "--alter wants an entity: --entity-name%s",
		    kind == CONFIGS_BROKER ? " or --entity-default" : ""));
	if (given->name == NULL && kind == CONFIGS_LOGGER)
		return (tool_usage(tool,
		    "broker-loggers want --entity-name, the broker's id"));
	if (given->name != NULL && !is_default && kind != CONFIGS_TOPIC &&
	    !text_to_int32(slice_of_text(given->name), &id))
		return (tool_usage(tool, "\"%s\" is no broker's id",
		    given->name));
	return (TOOL_OK);
}

int
configs_entity_of(const struct tool *tool, const struct args *args,
    struct configs_entity *out)
{
	struct entity_given given = { 0 };

	entity_take_general(args, &given);
	if (given.types + given.names != 0) {
		const size_t types = given.types;

		entity_take_flags(args, &given);
		if (given.types != types)
			return (tool_usage(tool,
			    "--entity-type, --entity-name and "
			    "--entity-default do not go with options like "
			    "--topic and --broker"));
	} else {
		entity_take_flags(args, &given);
	}
	if (given.type == NULL)
		return (tool_usage(tool,
		    "say whose options: --topic, --broker, --broker-defaults, "
		    "--broker-logger, or --entity-type"));
	for (size_t i = 0; i < nelems(kinds); i++) {
		if (strcmp(kinds[i].many, given.type) != 0)
			continue;
		if (given.types > 1 || given.names > 1)
			return (tool_usage(tool,
			    "one entity at a time: more were named"));
		out->kind = kinds[i].kind;
		out->name = given.name == NULL ? SLICE_NULL
					       : slice_of_text(given.name);
		return (entity_check_name(tool, args, &given, out->kind));
	}
	return (entity_refuse(tool, given.type));
}

/* --- the other options ---------------------------------------------------- */

static int
check_connection(const struct tool *tool, const struct args *args)
{
	static const char *const zookeeper[] = { "zookeeper",
		"zk-tls-config-file", NULL };
	const char *refused = args_first_of(args, zookeeper);

	if (args_has(args, "bootstrap-controller"))
		return (tool_usage(tool,
		    "--bootstrap-controller is for KRaft; name brokers with "
		    "--bootstrap-server"));
	if (refused != NULL)
		return (tool_usage(tool,
		    "--%s: options are changed through a broker that runs; "
		    "name one with --bootstrap-server", refused));
	return (TOOL_OK);
}

static int
configs_check(const struct tool *tool, const struct args *args)
{
	static const char *const changes[] = { "add-config",
		"add-config-file", "delete-config", NULL };
	const char *change = args_first_of(args, changes);

	if (args_has(args, "alter") + args_has(args, "describe") != 1)
		return (tool_usage(tool,
		    "say exactly one of --describe, --alter"));
	if (check_connection(tool, args) != TOOL_OK)
		return (TOOL_USAGE);
	if (args_has(args, "describe") && change != NULL)
		return (tool_usage(tool, "--%s goes with --alter only",
		    change));
	if (args_has(args, "alter") && change == NULL)
		return (tool_usage(tool,
		    "--alter wants --add-config, --add-config-file or "
		    "--delete-config"));
	if (args_has(args, "add-config") && args_has(args, "add-config-file"))
		return (tool_usage(tool,
		    "--add-config and --add-config-file exclude each other"));
	return (TOOL_OK);
}

static int
configs_run(struct tool *tool, const struct args *args)
{
	struct configs_entity entity;
	struct client *client;
	int status = configs_check(tool, args);

	if (status == TOOL_OK)
		status = configs_entity_of(tool, args, &entity);
	if (status != TOOL_OK)
		return (status);
	client = client_of_args(tool, args, &status);
	if (client == NULL)
		return (status);
	if (args_has(args, "alter"))
		status = configs_alter(tool, args, client, &entity);
	else
		status = configs_describe(tool, args, client, &entity);
	client_free(&client);
	return (status);
}
