/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/check.h"
#include "tools/topics.h"

static const struct arg_row topics_rows[] = {
	ARGS_CLIENT,
	{ "list", ARG_FLAG, NULL, NULL, "List the topics." },
	{ "describe", ARG_FLAG, NULL, NULL,
	    "Show partitions, leaders and replicas." },
	{ "create", ARG_FLAG, NULL, NULL, "Make a topic." },
	{ "alter", ARG_FLAG, NULL, NULL,
	    "Bring topics to --partitions; options are not changed here." },
	{ "delete", ARG_FLAG, NULL, NULL,
	    "Delete topics with all their records." },
	{ "topic", ARG_TEXT, "name", NULL,
	    "The topic; a regular expression, except with --create." },
	{ "topic-id", ARG_TEXT, "id", NULL,
	    "The topic to describe, by its id." },
	{ "config", ARG_MANY, "name=value", NULL,
	    "An option of the new topic; may be given again." },
	{ "delete-config", ARG_MANY, "name", NULL,
	    "Refused: options of topics are changed elsewhere." },
	{ "partitions", ARG_INT, "count", NULL,
	    "Partitions that the topic shall have; where none is said, a new "
	    "one has what the cluster says." },
	{ "replication-factor", ARG_INT, "count", NULL,
	    "Replicas of each partition; else what the cluster says." },
	{ "replica-assignment", ARG_TEXT, "b1:b2,b2:b3,...", NULL,
	    "The brokers of each partition, the preferred leader first; with "
	    "--alter the partitions that are there stay as they are." },
	{ "under-replicated-partitions", ARG_FLAG, NULL, NULL,
	    "Only partitions with a replica out of sync." },
	{ "unavailable-partitions", ARG_FLAG, NULL, NULL,
	    "Only partitions without a leader." },
	{ "under-min-isr-partitions", ARG_FLAG, NULL, NULL,
	    "Only partitions with fewer in-sync replicas than the minimum." },
	{ "at-min-isr-partitions", ARG_FLAG, NULL, NULL,
	    "Only partitions with just as many in-sync replicas." },
	{ "topics-with-overrides", ARG_FLAG, NULL, NULL,
	    "Only topics with options of their own, without partitions." },
	{ "if-exists", ARG_FLAG, NULL, NULL,
	    "A topic that is missing is no error." },
	{ "if-not-exists", ARG_FLAG, NULL, NULL,
	    "A topic that is there already is no error." },
	{ "exclude-internal", ARG_FLAG, NULL, NULL,
	    "Without the brokers' own topics." },
	{ "partition-size-limit-per-response", ARG_INT, "count", NULL,
	    "Accepted; answers are not cut." },
	ARGS_COMMON,
};

static int topics_run(struct tool *tool, const struct args *args);

const struct command command_topics = {
	.name = "topics",
	.kafka_name = "kafka-topics.sh",
	.summary = "list, describe, create, alter and delete topics",
	.rows = topics_rows,
	.run = topics_run,
};

/* An option that goes with some actions only. */
struct topics_rule {
	const char *option;
	const char *actions[4];
};

static const struct topics_rule topics_rules[] = {
	{ "config", { "create", "alter" } },
	{ "partitions", { "create", "alter" } },
	{ "replication-factor", { "create" } },
	{ "replica-assignment", { "create", "alter" } },
	{ "topic-id", { "describe" } },
	{ "under-replicated-partitions", { "describe" } },
	{ "unavailable-partitions", { "describe" } },
	{ "under-min-isr-partitions", { "describe" } },
	{ "at-min-isr-partitions", { "describe" } },
	{ "topics-with-overrides", { "describe" } },
	{ "if-exists", { "alter", "delete", "describe" } },
	{ "if-not-exists", { "create" } },
	{ "exclude-internal", { "list", "describe" } },
};

static int
topics_check_action(const struct tool *tool, const struct args *args)
{
	static const char *const actions[] = { "list", "describe", "create",
		"alter", "delete" };
	int count = 0;

	for (size_t i = 0; i < nelems(actions); i++)
		count += args_has(args, actions[i]);
	if (count != 1)
		return (tool_usage(tool, "say exactly one of --list, "
					 "--describe, --create, --alter, "
					 "--delete"));
	for (size_t i = 0; i < nelems(topics_rules); i++) {
		const struct topics_rule *rule = &topics_rules[i];

		if (args_has(args, rule->option) &&
		    args_first_of(args, rule->actions) == NULL)
			return (tool_usage(tool, "--%s goes with --%s only",
			    rule->option, rule->actions[0]));
	}
	return (TOOL_OK);
}

static int
topics_check_alter(const struct tool *tool, const struct args *args)
{
	if (args_has(args, "config"))
		return (tool_usage(tool,
		    "--alter does not change options of topics: "
		    "kafka-configs.sh does"));
	if (!args_has(args, "partitions"))
		return (tool_usage(tool, "--alter wants --partitions"));
	return (TOOL_OK);
}

static int
topics_check_describe(const struct tool *tool, const struct args *args)
{
	static const char *const partial[] = { "under-replicated-partitions",
		"unavailable-partitions", "under-min-isr-partitions",
		"at-min-isr-partitions", NULL };
	const char *part = args_first_of(args, partial);

	if (args_has(args, "if-exists") && !args_has(args, "topic") &&
	    !args_has(args, "topic-id"))
		return (tool_usage(tool,
		    "--if-exists wants --topic or --topic-id"));
	if (args_has(args, "topics-with-overrides") && part != NULL)
		return (tool_usage(tool,
		    "--topics-with-overrides and --%s exclude each other",
		    part));
	return (TOOL_OK);
}

static int
topics_check(const struct tool *tool, const struct args *args)
{
	static const char *const named[] = { "create", "alter", "delete",
		NULL };
	const char *action = args_first_of(args, named);

	if (topics_check_action(tool, args) != TOOL_OK)
		return (TOOL_USAGE);
	if (args_has(args, "delete-config"))
		return (tool_usage(tool,
		    "--delete-config does not go with --bootstrap-server: "
		    "kafka-configs.sh changes options of topics"));
	if (action != NULL && !args_has(args, "topic"))
		return (tool_usage(tool, "--%s wants --topic", action));
	if (args_has(args, "alter"))
		return (topics_check_alter(tool, args));
	return (topics_check_describe(tool, args));
}

static int
topics_run(struct tool *tool, const struct args *args)
{
	struct client *client;
	int status = topics_check(tool, args);

	if (status != TOOL_OK)
		return (status);
	client = client_of_args(tool, args, &status);
	if (client == NULL)
		return (status);
	if (args_has(args, "create"))
		status = topics_create(tool, args, client);
	else if (args_has(args, "alter"))
		status = topics_alter(tool, args, client);
	else if (args_has(args, "delete"))
		status = topics_delete(tool, args, client);
	else if (args_has(args, "list"))
		status = topics_list(tool, args, client);
	else
		status = topics_describe(tool, args, client);
	client_free(&client);
	return (status);
}
