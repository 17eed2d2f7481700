/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas completion: the script that completes our command lines in bash,
 * made of the rows of the commands; as JSON, the rows themselves.
 */
#include <string.h>

#include "base/check.h"
#include "tools/json_out.h"
#include "tools/tool.h"

static const struct arg_row completion_rows[] = {
	{ "shell", ARG_OPERAND, "bash", "bash", "The shell." },
	ARGS_COMMON,
};

static int completion_run(struct tool *tool, const struct args *args);

const struct command command_completion = {
	.name = "completion",
	.summary = "print what completes command lines in bash",
	.rows = completion_rows,
	.run = completion_run,
};

/* --- the script ----------------------------------------------------------- */

/* The words so far, split at blanks: bash's own are split at ":" and "=",
 * too. */
static const char script_words[] =
    "_barnabas_words()\n"
    "{\n"
    "\tlocal line=${COMP_LINE:0:COMP_POINT}\n"
    "\tread -ra words <<< \"$line\"\n"
    "\tcase $line in *[[:blank:]]) words+=(\"\") ;; esac\n"
    "\tcur=${words[-1]} prev=\n"
    "\t[ ${#words[@]} -lt 2 ] || prev=${words[-2]}\n"
    "\tcase $cur in --*=*) prev=${cur%%=*} cur=${cur#*=} ;; esac\n"
    "}\n\n";

/* Nobody is asked who was not named on the line.  What is no name of a topic
 * is not taken from a broker: bash would expand $(...). */
static const char script_topics[] =
    "_barnabas_topics()\n"
    "{\n"
    "\tlocal i word program=${words[0]/#\\~/$HOME} server= config=\n"
    "\tfor ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
    "\t\tword=${words[i + 1]}\n"
    "\t\tcase ${words[i]} in\n"
    "\t\t--bootstrap-server=*) server=${words[i]#*=} ;;\n"
    "\t\t--command-config=* | --admin.config=*) "
    "config=${words[i]#*=} ;;\n"
    "\t\t--bootstrap-server) server=$word ;;\n"
    "\t\t--command-config | --admin.config) config=$word ;;\n"
    "\t\tesac\n"
    "\tdone\n"
    "\t[ -n \"$server\" ] || return 0\n"
    "\tcase ${program##*/} in *.sh) program=barnabas ;; esac\n"
    "\ttimeout 5 \"$program\" topics --list --bootstrap-server \"$server\" "
    "\\\n"
    "\t\t${config:+--command-config \"${config/#\\~/$HOME}\"} "
    "2> /dev/null < /dev/null |\n"
    "\t\tLC_ALL=C grep -x '[A-Za-z0-9._-]*'\n"
    "}\n\n";

static const char script_values[] =
    "# What stands for a value: words, or @file or @topic.\n"
    "_barnabas_complete()\n"
    "{\n"
    "\tcase $1 in\n"
    "\t@file)\n"
    "\t\tcompopt -o filenames 2> /dev/null\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "\t@topic)\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -W "
    "\"$(_barnabas_topics)\" -- \"$cur\") ;;\n"
    "\t*)\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\") ;;\n"
    "\tesac\n"
    "}\n\n";

static const char script_main[] =
    "_barnabas()\n"
    "{\n"
    "\tlocal words cur prev command value\n"
    "\tCOMPREPLY=()\n"
    "\t_barnabas_words\n"
    "\t[ ${#words[@]} -ge 2 ] || return 0\n"
    "\t_barnabas_command\n"
    "\tif [ -z \"$command\" ]; then\n"
    "\t\t_barnabas_complete \"$value\"\n"
    "\t\treturn 0\n"
    "\tfi\n"
    "\tif _barnabas_value; then\n"
    "\t\t_barnabas_complete \"$value\"\n"
    "\telif [ \"${cur:0:1}\" != - ] && _barnabas_operand; then\n"
    "\t\t_barnabas_complete \"$value\"\n"
    "\telse\n"
    "\t\t_barnabas_options\n"
    "\t\t_barnabas_complete \"$value\"\n"
    "\tfi\n"
    "}\n\n";

static bool
name_has_words(const struct command *command)
{
	return (strchr(command->name, ' ') != NULL);
}

/* "perf" of "perf produce"; each once. */
static void
put_first_words(struct buffer *out)
{
	const struct command *before = NULL;
	const struct command *command;
	const char *blank = "";

	for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
		const size_t length = strcspn(command->name, " ");

		if (before == NULL ||
		    strncmp(before->name, command->name, length + 1) != 0)
			buffer_printf(out, "%s%.*s", blank, (int)length,
			    command->name);
		before = name_has_words(command) ? command : NULL;
		blank = " ";
	}
}

/* Sets `command`; or else, where its name is still to be typed, `value`. */
static void
put_command(struct buffer *out)
{
	const struct command *command;

	buffer_append_text(out,
	    "_barnabas_command()\n{\n"
	    "\tlocal name=${words[0]##*/}\n"
	    "\tcommand= value=\n"
	    "\tcase $name in\n");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++)
		if (command->kafka_name != NULL)
			buffer_printf(out,
			    "\t%s) command='%s'; return 0 ;;\n",
			    command->kafka_name, command->name);
	buffer_append_text(out, "\tesac\n\tvalue='");
	put_first_words(out);
	buffer_append_text(out, "'\n"
	    "\t[ ${#words[@]} -ge 3 ] || return 0\n"
	    "\tvalue=\n"
	    "\tcase \"${words[1]}\" in\n");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++)
		if (!name_has_words(command))
			buffer_printf(out, "\t%s) command=%s ;;\n",
			    command->name, command->name);
	buffer_append_text(out,
	    "\tperf)\n"
	    "\t\tvalue='produce consume'\n"
	    "\t\t[ ${#words[@]} -lt 4 ] || command=\"perf ${words[2]}\" ;;\n"
	    "\tesac\n}\n\n");
}

static bool
shape_begins(const struct arg_row *row, const char *word)
{
	return (row->shape != NULL &&
	    strncmp(row->shape, word, strlen(word)) == 0);
}

/* What may stand for the value of an option or operand; "" when nobody
 * knows. */
static void
put_value(const struct arg_row *row, struct buffer *out)
{
	if (shape_begins(row, "file") || shape_begins(row, "FILE"))
		buffer_append_text(out, "@file");
	else if (strcmp(row->name, "topic") == 0 ||
	    shape_begins(row, "topic,"))
		buffer_append_text(out, "@topic");
	else if (row->shape != NULL && strchr(row->shape, '|') != NULL)
		for (const char *at = row->shape; *at != '\0'; at++)
			buffer_append(out, *at == '|' ? " " : at, 1);
}

/* Whether `prev` is an option with a value; sets `value`. */
static void
put_values(struct buffer *out)
{
	const struct command *command;

	buffer_append_text(out,
	    "_barnabas_value()\n{\n"
	    "\tvalue=\n"
	    "\tcase \"$command $prev\" in\n");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++)
		for (const struct arg_row *row = command->rows;
		     row->name != NULL; row++) {
			if (row->kind == ARG_FLAG || row->kind == ARG_OPERAND)
				continue;
			buffer_printf(out, "\t'%s --%s')", command->name,
			    row->name);
			buffer_append_text(out, " value='");
			put_value(row, out);
			buffer_append_text(out, "' ;;\n");
		}
	buffer_append_text(out, "\t*) return 1 ;;\n\tesac\n}\n\n");
}

static void
put_operands(struct buffer *out)
{
	const struct command *command;

	buffer_append_text(out, "_barnabas_operand()\n{\n"
				"\tcase $command in\n");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
		if (command->rows->kind != ARG_OPERAND)
			continue;
		buffer_printf(out, "\t%s) value='", command->name);
		if (strchr(command->rows->shape, '|') == NULL &&
		    !shape_begins(command->rows, "FILE"))
			buffer_append_text(out, command->rows->shape);
		put_value(command->rows, out);
		buffer_append_text(out, "' ;;\n");
	}
	buffer_append_text(out, "\t*) return 1 ;;\n\tesac\n}\n\n");
}

static void
put_options(struct buffer *out)
{
	const struct command *command;

	buffer_append_text(out, "_barnabas_options()\n{\n"
				"\tvalue=\n"
				"\tcase $command in\n");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
		const char *blank = "";

		buffer_printf(out, "\t'%s') value='", command->name);
		for (const struct arg_row *row = command->rows;
		     row->name != NULL; row++) {
			if (row->kind == ARG_OPERAND)
				continue;
			buffer_printf(out, "%s--%s", blank, row->name);
			blank = " ";
		}
		buffer_append_text(out, "' ;;\n");
	}
	buffer_append_text(out, "\tesac\n}\n\n");
}

static void
completion_bash(struct buffer *out)
{
	const struct command *command;

	buffer_append_text(out,
	    "# SPDX-License-Identifier: Apache-2.0\n"
	    "# shellcheck shell=bash\n"
	    "# Completes barnabas(1) in bash. Written by \"barnabas "
	    "completion\".\n\n");
	buffer_append_text(out, script_words);
	buffer_append_text(out, script_topics);
	put_command(out);
	put_values(out);
	put_operands(out);
	put_options(out);
	buffer_append_text(out, script_values);
	buffer_append_text(out, script_main);
	buffer_append_text(out, "complete -F _barnabas barnabas");
	for (size_t i = 0; (command = command_at(i)) != NULL; i++)
		if (command->kafka_name != NULL)
			buffer_printf(out, " %s", command->kafka_name);
	buffer_append_text(out, "\n");
}

/* --- JSON ----------------------------------------------------------------- */

static void
json_row(struct json_out *json, const struct arg_row *row)
{
	json_open(json, NULL, '{');
	json_text(json, "name", slice_of_text(row->name));
	json_bool(json, "operand", row->kind == ARG_OPERAND);
	json_bool(json, "value", row->kind != ARG_FLAG);
	json_text(json, "shape", row->shape == NULL
		? SLICE_NULL
		: slice_of_text(row->shape));
	json_text(json, "default", row->fallback == NULL
		? SLICE_NULL
		: slice_of_text(row->fallback));
	json_text(json, "help", slice_of_text(row->help));
	json_close(json, '}');
}

static void
completion_json(struct buffer *out)
{
	const struct command *command;
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_open(&json, "commands", '[');
	for (size_t i = 0; (command = command_at(i)) != NULL; i++) {
		json_open(&json, NULL, '{');
		json_text(&json, "name", slice_of_text(command->name));
		json_text(&json, "kafkaName", command->kafka_name == NULL
			? SLICE_NULL
			: slice_of_text(command->kafka_name));
		json_text(&json, "summary", slice_of_text(command->summary));
		json_open(&json, "options", '[');
		for (const struct arg_row *row = command->rows;
		     row->name != NULL; row++)
			json_row(&json, row);
		json_close(&json, ']');
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

static int
completion_run(struct tool *tool, const struct args *args)
{
	const char *shell = args_text(args, "shell");
	struct buffer out = BUFFER_EMPTY;

	if (strcmp(shell, "bash") != 0)
		return (tool_usage(tool, "bash is the only shell, not \"%s\"",
		    shell));
	if (args_json(args))
		completion_json(&out);
	else
		completion_bash(&out);
	tool_print(tool, &out);
	buffer_fini(&out);
	return (TOOL_OK);
}
