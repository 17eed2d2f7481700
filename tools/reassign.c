/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas reassign-partitions: moves replicas between brokers and between log
 * directories.
 *
 *	--generate --> a file --execute--> throttles set, replicas move
 *	                                       |           |
 *	                        --verify: done v  --cancel v
 *	                               throttles are gone
 *
 * Options, files, the order of steps and the words are those of Kafka 3.9's
 * kafka-reassign-partitions.sh (ReassignPartitionsCommand).
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "tools/reassign.h"

static const struct arg_row reassign_rows[] = {
	ARGS_CLIENT,
	{ "generate", ARG_FLAG, NULL, NULL,
	    "Propose where the partitions of topics could lie; nothing is "
	    "changed." },
	{ "execute", ARG_FLAG, NULL, NULL,
	    "Begin the moves of --reassignment-json-file." },
	{ "verify", ARG_FLAG, NULL, NULL,
	    "Tell how far the moves of --reassignment-json-file are; when "
	    "nothing moves any more, remove the throttles." },
	{ "cancel", ARG_FLAG, NULL, NULL,
	    "Take back the moves of --reassignment-json-file." },
	{ "list", ARG_FLAG, NULL, NULL, "Show all that moves." },
	{ "reassignment-json-file", ARG_TEXT, "file", NULL,
	    "The partitions and their replicas: {\"version\": 1, "
	    "\"partitions\": [{\"topic\": \"t\", \"partition\": 0, "
	    "\"replicas\": [1, 2], \"log_dirs\": [\"any\", \"/data/a\"]}]}; "
	    "log_dirs may be left out." },
	{ "topics-to-move-json-file", ARG_TEXT, "file", NULL,
	    "With --generate, the topics: {\"version\": 1, \"topics\": "
	    "[{\"topic\": \"t\"}]}" },
	{ "broker-list", ARG_TEXT, "id,...", NULL,
	    "With --generate, the brokers that are to have replicas." },
	{ "disable-rack-aware", ARG_FLAG, NULL, NULL,
	    "With --generate, do not look at racks." },
	{ "throttle", ARG_LONG, "bytes", "-1",
	    "With --execute, how many bytes a second a broker may send and "
	    "receive for moves; again with --additional, to change that." },
	{ "replica-alter-log-dirs-throttle", ARG_LONG, "bytes", "-1",
	    "The same between log directories of a broker." },
	{ "timeout", ARG_LONG, "ms", "10000",
	    "How long to wait for moves between log directories to begin." },
	{ "additional", ARG_FLAG, NULL, NULL,
	    "With --execute, also while other partitions move." },
	{ "preserve-throttles", ARG_FLAG, NULL, NULL,
	    "With --verify and --cancel, leave throttles as they are." },
	ARGS_COMMON,
};

static int reassign_run(struct tool *tool, const struct args *args);

const struct command command_reassign_partitions = {
	.name = "reassign-partitions",
	.kafka_name = "kafka-reassign-partitions.sh",
	.summary = "move replicas to other brokers and log directories",
	.rows = reassign_rows,
	.run = reassign_run,
};

/* --- options -------------------------------------------------------------- */

/* An option that goes with some actions only; `needed` by each of them. */
static const struct reassign_rule {
	const char *option;
	bool needed;
	const char *actions[4];
} reassign_rules[] = {
	{ "reassignment-json-file", true, { "execute", "verify", "cancel" } },
	{ "topics-to-move-json-file", true, { "generate" } },
	{ "broker-list", true, { "generate" } },
	{ "disable-rack-aware", false, { "generate" } },
	{ "throttle", false, { "execute" } },
	{ "replica-alter-log-dirs-throttle", false, { "execute" } },
	{ "timeout", false, { "execute", "cancel" } },
	{ "additional", false, { "execute" } },
	{ "preserve-throttles", false, { "verify", "cancel" } },
};

static int
reassign_check_options(const struct tool *tool, const struct args *args)
{
	static const char *const actions[] = { "generate", "execute",
		"verify", "cancel", "list", NULL };
	const char *action = args_first_of(args, actions);
	int count = 0;

	for (size_t i = 0; actions[i] != NULL; i++)
		count += args_has(args, actions[i]);
	if (count != 1)
		return (tool_usage(tool,
		    "Command must include exactly one action: --generate, "
		    "--execute, --verify, --cancel, --list"));
	for (size_t i = 0; i < nelems(reassign_rules); i++) {
		const struct reassign_rule *rule = &reassign_rules[i];
		const bool fits = args_first_of(args, rule->actions) != NULL;

		if (args_has(args, rule->option) && !fits)
			return (tool_usage(tool, "--%s does not go with --%s",
			    rule->option, action));
		if (fits && rule->needed && !args_has(args, rule->option))
			return (tool_usage(tool, "--%s wants --%s", action,
			    rule->option));
	}
	return (TOOL_OK);
}

/* --- output --------------------------------------------------------------- */

void
reassign_say(struct reassign *r, const char *format, ...)
{
	va_list arguments;

	if (args_json(r->args))
		return;
	va_start(arguments, format);
	vfprintf(r->tool->out, format, arguments);
	va_end(arguments);
	fflush(r->tool->out);
}

int
reassign_told(struct reassign *r)
{
	if (args_json(r->args))
		tool_print(r->tool, &r->text);
	if (fflush(r->tool->out) != 0 || ferror(r->tool->out))
		return (tool_fail(r->tool, "nothing is changed: what stands "
		    "now cannot be written: %s", strerror(errno)));
	return (TOOL_OK);
}

/* What was done is told also where a later step failed. */
static void
reassign_end(struct reassign *r)
{
	const bool told = r->json.comma;

	json_close(&r->json, '}');
	json_end(&r->json);
	if (told && args_json(r->args))
		tool_print(r->tool, &r->text);
	buffer_fini(&r->text);
}

static int
reassign_act(struct reassign *r)
{
	if (args_has(r->args, "generate"))
		return (reassign_generate(r));
	if (args_has(r->args, "execute"))
		return (reassign_execute(r));
	if (args_has(r->args, "verify"))
		return (reassign_verify(r));
	if (args_has(r->args, "cancel"))
		return (reassign_cancel(r));
	return (reassign_list(r));
}

static int
reassign_run(struct tool *tool, const struct args *args)
{
	struct reassign r = {
		.tool = tool,
		.args = args,
		.text = BUFFER_EMPTY,
	};
	int status = reassign_check_options(tool, args);

	if (status != TOOL_OK)
		return (status);
	r.client = client_of_args(tool, args, &status);
	if (r.client == NULL)
		return (status);
	r.arena = client_arena(r.client);
	json_init(&r.json, &r.text);
	json_open(&r.json, NULL, '{');
	status = reassign_act(&r);
	reassign_end(&r);
	client_free(&r.client);
	return (status);
}
