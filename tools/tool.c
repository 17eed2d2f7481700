/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the arguments to a command and back: barnabas COMMAND, or a link with
 * the name of Kafka's script.
 */
#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/tool.h"

static const struct command *const commands[] = {
	&command_topics,
	&command_configs,
	&command_produce,
	&command_consume,
	&command_get_offsets,
	&command_delete_records,
	&command_log_dirs,
	&command_groups,
	&command_leader_election,
	&command_reassign_partitions,
	&command_cluster,
	&command_broker_api_versions,
	&command_dump_log,
	&command_perf_produce,
	&command_perf_consume,
	&command_check,
	&command_completion,
};

const struct command *
command_at(size_t index)
{
	return (index < nelems(commands) ? commands[index] : NULL);
}

/* What a broker or a file has said may be in it: no terminal obeys that. */
static void
put_harmless(FILE *out, const char *format, va_list arguments)
{
	va_list again;
	size_t size;
	char *text;

	va_copy(again, arguments);
	size = (size_t)vsnprintf(NULL, 0, format, again) + 1;
	va_end(again);
	text = mem_alloc(size);
	vsnprintf(text, size, format, arguments);
	for (char *at = text; *at != '\0'; at++)
		if (iscntrl((unsigned char)*at) && *at != '\n' && *at != '\t')
			*at = '?';
	fputs(text, out);
	mem_free(text);
}

static void
tool_say(const struct tool *tool, const char *format, va_list arguments)
{
	/* A line of progress gives way. */
	if (tool->terminal)
		fputs("\r\033[K", tool->err);
	fputs("barnabas", tool->err);
	if (tool->command != NULL)
		fprintf(tool->err, " %s", tool->command->name);
	fputs(": ", tool->err);
	put_harmless(tool->err, format, arguments);
	fputc('\n', tool->err);
}

int
tool_fail(const struct tool *tool, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tool_say(tool, format, arguments);
	va_end(arguments);
	return (TOOL_FAILED);
}

int
tool_usage(const struct tool *tool, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tool_say(tool, format, arguments);
	va_end(arguments);
	fprintf(tool->err, "See: barnabas%s%s --help\n",
	    tool->command != NULL ? " " : "",
	    tool->command != NULL ? tool->command->name : "");
	return (tool->command != NULL && tool->command->usage_status != 0
		? tool->command->usage_status
		: TOOL_USAGE);
}

void
tool_warn(const struct tool *tool, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tool_say(tool, format, arguments);
	va_end(arguments);
}

void
tool_print(const struct tool *tool, struct buffer *text)
{
	if (text->length != 0)
		fwrite(text->data, 1, text->length, tool->out);
	text->length = 0;
}

/* `more` NULL: the name is all of it; else it is the second word, as in
 * "perf produce". */
static const struct command *
command_find_words(const char *name, const char *more)
{
	const size_t length = strlen(name);

	for (size_t i = 0; more != NULL && i < nelems(commands); i++)
		if (strncmp(commands[i]->name, name, length) == 0 &&
		    commands[i]->name[length] == ' ' &&
		    strcmp(commands[i]->name + length + 1, more) == 0)
			return (commands[i]);
	return (NULL);
}

static const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < nelems(commands); i++)
		if (strcmp(commands[i]->name, name) == 0 ||
		    (commands[i]->kafka_name != NULL &&
			strcmp(commands[i]->kafka_name, name) == 0))
			return (commands[i]);
	return (NULL);
}

static int
tool_help(const struct tool *tool)
{
	fputs("barnabas COMMAND [options]: look at and change a cluster of "
	      "brokers\n\n",
	    tool->out);
	for (size_t i = 0; i < nelems(commands); i++)
		fprintf(tool->out, "  %-19s  %s%s%s%s\n", commands[i]->name,
		    commands[i]->summary,
		    commands[i]->kafka_name != NULL ? " (" : "",
		    commands[i]->kafka_name != NULL ? commands[i]->kafka_name
						    : "",
		    commands[i]->kafka_name != NULL ? ")" : "");
	fputs("\nbarnabas COMMAND --help tells its options.\n", tool->out);
	return (TOOL_OK);
}

static int
command_help(const struct tool *tool)
{
	struct buffer text = BUFFER_EMPTY;

	buffer_printf(&text, "barnabas %s [options]: %s\n\n",
	    tool->command->name, tool->command->summary);
	args_help(tool->command->rows, &text);
	tool_print(tool, &text);
	buffer_fini(&text);
	return (TOOL_OK);
}

static int
tool_version(const struct tool *tool)
{
	fprintf(tool->out, "barnabas %s\n", PACKAGE_VERSION);
	return (TOOL_OK);
}

static int
command_run(struct tool *tool, const struct args *args)
{
	const char *output;

	if (args_has(args, "help"))
		return (command_help(tool));
	if (args_has(args, "version"))
		return (tool_version(tool));
	tool->progress = args_has(args, "progress");
	output = args_text(args, "output");
	if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0)
		return (tool_usage(tool,
		    "--output is \"text\" or \"json\", not \"%s\"", output));
	return (tool->command->run(tool, args));
}

static int
command_main(struct tool *tool, int argc, char *const argv[])
{
	struct buffer why = BUFFER_EMPTY;
	struct args args;
	int status;

	if (args_parse(&args, tool->command->rows, argc, argv, &why))
		status = command_run(tool, &args);
	else
		status = tool_usage(tool, "%s", buffer_text(&why));
	args_fini(&args);
	buffer_fini(&why);
	return (status);
}

/* What did not reach the reader was not done. */
static int
tool_end(const struct tool *tool, int status)
{
	if ((fflush(tool->out) != 0 || ferror(tool->out)) &&
	    status == TOOL_OK)
		return (tool_fail(tool, "the output could not be written"));
	return (status);
}

int
tool_main(struct tool *tool, int argc, char *const argv[])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1
	    : argc > 0			 ? argv[0]
					 : "";

	tool->terminal = isatty(fileno(tool->err)) == 1;
	tool->out_terminal = isatty(fileno(tool->out)) == 1;
	tool->command = command_find(name);
	if (tool->command != NULL)
		return (tool_end(tool, command_main(tool, argc, argv)));
	if (argc < 2)
		return (tool_usage(tool, "say what to do: barnabas COMMAND"));
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return (tool_end(tool, tool_help(tool)));
	if (strcmp(argv[1], "--version") == 0)
		return (tool_end(tool, tool_version(tool)));
	tool->command = command_find(argv[1]);
	if (tool->command != NULL)
		return (tool_end(tool, command_main(tool, argc - 1, argv + 1)));
	tool->command = command_find_words(argv[1], argc > 2 ? argv[2] : NULL);
	if (tool->command != NULL)
		return (tool_end(tool, command_main(tool, argc - 2, argv + 2)));
	if (strcmp(argv[1], "perf") == 0)
		return (tool_usage(tool,
		    "say what to measure: barnabas perf produce or barnabas "
		    "perf consume"));
	return (tool_usage(tool, "there is no command \"%s\"", argv[1]));
}
