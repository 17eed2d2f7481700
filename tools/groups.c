/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas groups: its options, and which of its actions runs. */
#include "base/check.h"
#include "base/text.h"
#include "tools/groups.h"

static const struct arg_row groups_rows[] = {
	ARGS_CLIENT,
	{ "list", ARG_FLAG, NULL, NULL, "List the groups." },
	{ "describe", ARG_FLAG, NULL, NULL,
	    "Show the groups' offsets and lag, members or state." },
	{ "reset-offsets", ARG_FLAG, NULL, NULL,
	    "Set the offsets of groups that have no members." },
	{ "delete", ARG_FLAG, NULL, NULL,
	    "Delete groups that have no members, with their offsets." },
	{ "delete-offsets", ARG_FLAG, NULL, NULL,
	    "Delete a group's offsets of --topic." },
	{ "group", ARG_MANY, "name", NULL, "The group; may be given again." },
	{ "all-groups", ARG_FLAG, NULL, NULL, "All groups." },
	{ "topic", ARG_MANY, "topic[:partition,...]", NULL,
	    "Of --reset-offsets and --delete-offsets; may be given again." },
	{ "all-topics", ARG_FLAG, NULL, NULL,
	    "Of --reset-offsets: all that the group has offsets of." },
	{ "offsets", ARG_FLAG, NULL, NULL,
	    "Describe offsets and lag, as without it." },
	{ "members", ARG_FLAG, NULL, NULL, "Describe the members." },
	{ "verbose", ARG_FLAG, NULL, NULL,
	    "With --members: which partitions are assigned." },
	{ "state", ARG_MAYBE, "state,...", NULL,
	    "Describe the state; with --list: show it, of the groups in such "
	    "states only." },
	{ "type", ARG_MAYBE, "type,...", NULL,
	    "With --list: show the type, of the groups of such types only." },
	{ "to-offset", ARG_LONG, "offset", NULL, "Reset to this offset." },
	{ "to-earliest", ARG_FLAG, NULL, NULL, "Reset to the oldest record." },
	{ "to-latest", ARG_FLAG, NULL, NULL,
	    "Reset to behind the newest record." },
	{ "to-current", ARG_FLAG, NULL, NULL,
	    "Reset to where it is; where it has no offset, to the latest." },
	{ "shift-by", ARG_LONG, "count", NULL,
	    "Reset forward by so much; back, when it is negative." },
	{ "to-datetime", ARG_TEXT, "YYYY-MM-DDTHH:mm:SS.sss", NULL,
	    "Reset to the first record from this time on: UTC, unless +02:00 "
	    "or the like follows." },
	{ "by-duration", ARG_TEXT, "PnDTnHnMnS", NULL,
	    "Reset to the first record of this last span of time." },
	{ "from-file", ARG_TEXT, "file", NULL,
	    "Reset to what --export wrote: topic,partition,offset; with "
	    "several groups group,topic,partition,offset." },
	{ "dry-run", ARG_FLAG, NULL, NULL,
	    "Only show what would be reset, as without --execute." },
	{ "execute", ARG_FLAG, NULL, NULL, "Reset." },
	{ "export", ARG_FLAG, NULL, NULL, "Print as --from-file reads it." },
	{ "timeout", ARG_LONG, "ms", "5000",
	    "How long one question may take." },
	ARGS_COMMON,
};

static int groups_run(struct tool *tool, const struct args *args);

const struct command command_groups = {
	.name = "groups",
	.kafka_name = "kafka-consumer-groups.sh",
	.summary = "show, reset and delete consumer groups",
	.rows = groups_rows,
	.run = groups_run,
};

static const char *const scenarios[] = { "to-offset", "to-earliest",
	"to-latest", "to-current", "shift-by", "to-datetime", "by-duration",
	"from-file", NULL };

static const struct action {
	const char *option;
	int (*run)(struct groups *g);
} actions[] = {
	{ "list", groups_list },
	{ "describe", groups_describe },
	{ "delete", groups_delete },
	{ "reset-offsets", groups_reset },
	{ "delete-offsets", groups_delete_offsets },
};

/* --- what goes with what -------------------------------------------------- */

static size_t
given(const struct args *args, const char *const *names)
{
	size_t count = 0;

	for (; *names != NULL; names++)
		count += args_has(args, *names);
	return (count);
}

/* An option that only some actions have. */
static int
check_belongs(const struct tool *tool, const struct args *args)
{
	static const struct {
		const char *option;
		const char *actions[4];
	} rows[] = {
		{ "members", { "describe" } },
		{ "verbose", { "describe" } },
		{ "offsets", { "describe" } },
		{ "state", { "describe", "list" } },
		{ "type", { "list" } },
		{ "group", { "describe", "delete", "reset-offsets",
			       "delete-offsets" } },
		{ "topic", { "reset-offsets", "delete-offsets" } },
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		bool good = !args_has(args, rows[i].option);

		for (size_t k = 0; k < nelems(rows[i].actions); k++)
			good = good || (rows[i].actions[k] != NULL &&
			    args_has(args, rows[i].actions[k]));
		if (!good)
			return (tool_usage(tool, "--%s goes with --%s only",
			    rows[i].option, rows[i].actions[0]));
	}
	return (TOOL_OK);
}

static int
check_describe(const struct tool *tool, const struct args *args)
{
	static const char *const whats[] = { "members", "offsets", "state",
		NULL };

	if (given(args, whats) > 1)
		return (tool_usage(tool,
		    "--describe takes one of --offsets, --members and "
		    "--state"));
	if (args_text(args, "state") != NULL)
		return (tool_usage(tool,
		    "with --describe, --state takes no value"));
	return (TOOL_OK);
}

static int
check_reset(const struct tool *tool, const struct args *args)
{
	if (args_has(args, "dry-run") && args_has(args, "execute"))
		return (tool_usage(tool,
		    "--dry-run and --execute exclude each other"));
	if (given(args, scenarios) != 1)
		return (tool_usage(tool,
		    "--reset-offsets wants one of --to-earliest, --to-latest, "
		    "--to-current, --to-offset, --shift-by, --to-datetime, "
		    "--by-duration and --from-file"));
	if (!args_has(args, "from-file") && !args_has(args, "all-topics") &&
	    !args_has(args, "topic"))
		return (tool_usage(tool,
		    "--reset-offsets wants --topic or --all-topics"));
	return (TOOL_OK);
}

static int
check_delete_offsets(const struct tool *tool, const struct args *args)
{
	size_t at = 0;

	if (!args_has(args, "group") || !args_has(args, "topic"))
		return (tool_usage(tool,
		    "--delete-offsets wants --group and --topic"));
	(void)args_next(args, "group", &at);
	if (args_next(args, "group", &at) != NULL)
		return (tool_usage(tool,
		    "--delete-offsets takes one --group at a time"));
	return (TOOL_OK);
}

/* NULL: said. */
static const struct action *
check_action(const struct tool *tool, const struct args *args)
{
	const struct action *found = NULL;
	size_t count = 0;

	for (size_t i = 0; i < nelems(actions); i++)
		if (args_has(args, actions[i].option)) {
			found = &actions[i];
			count++;
		}
	if (count == 1)
		return (found);
	tool_usage(tool,
	    "say one thing to do: --list, --describe, --reset-offsets, "
	    "--delete or --delete-offsets");
	return (NULL);
}

static int
groups_check(const struct tool *tool, const struct args *args)
{
	static const char *const which[] = { "group", "all-groups", NULL };
	int status = check_belongs(tool, args);

	if (status != TOOL_OK)
		return (status);
	if (args_number(args, "timeout") < 1)
		return (tool_usage(tool, "--timeout is more than 0"));
	if (given(args, which) == 2)
		return (tool_usage(tool,
		    "--group and --all-groups exclude each other"));
	if (args_has(args, "delete-offsets"))
		return (check_delete_offsets(tool, args));
	if (!args_has(args, "list") && given(args, which) == 0)
		return (tool_usage(tool,
		    "say of which group: --group, or --all-groups"));
	if (args_has(args, "describe"))
		return (check_describe(tool, args));
	if (args_has(args, "reset-offsets"))
		return (check_reset(tool, args));
	return (TOOL_OK);
}

static int
groups_run(struct tool *tool, const struct args *args)
{
	const struct action *action = check_action(tool, args);
	struct groups g = {
		.tool = tool,
		.args = args,
		.json = args_json(args),
	};
	int status;

	if (action == NULL)
		return (TOOL_USAGE);
	status = groups_check(tool, args);
	if (status != TOOL_OK)
		return (status);
	g.client = client_of_args(tool, args, &status);
	if (g.client == NULL)
		return (status);
	client_limit(g.client, args_number(args, "timeout"));
	status = action->run(&g);
	tool_print(tool, &g.out);
	client_free(&g.client);
	buffer_fini(&g.out);
	return (status);
}
