/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas check: what hinders barnabasd from taking a broker's place.  It
 * reads the broker's file, its log directories and the cluster's znodes, and
 * changes nothing.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/net.h"
#include "net/tls.h"
#include "tools/check.h"
#include "tools/json_out.h"
#include "tools/read_file.h"

#define PROPERTIES_BYTES_MAX ((size_t)1 << 20)

enum { CHECK_GOOD = 0, CHECK_HINDERED = 1, CHECK_USAGE = 2 };

static const struct arg_row check_rows[] = {
	{ "file", ARG_OPERAND, "FILE", NULL,
	    "The server.properties of the broker." },
	{ "zookeeper", ARG_TEXT, "host:port,...", NULL,
	    "The cluster's ZooKeeper, with its path, when it is not the "
	    "file's zookeeper.connect." },
	{ "timeout-ms", ARG_LONG, "time", "15000",
	    "How long ZooKeeper is waited for." },
	ARGS_COMMON,
};

static int check_run(struct tool *tool, const struct args *args);

const struct command command_check = {
	.name = "check",
	.summary = "tell what hinders a broker's replacement by Barnabas",
	.rows = check_rows,
	.run = check_run,
	.usage_status = CHECK_USAGE,
};

/* --- findings ------------------------------------------------------------- */

/* A node that is read in two ways is refused twice. */
static bool
check_said(const struct check *check, const struct check_finding *finding)
{
	for (size_t i = 0; i < check->finding_count; i++) {
		const struct check_finding *f = &check->findings[i];

		if (f->line == finding->line &&
		    strcmp(f->where, finding->where) == 0 &&
		    strcmp(f->subject, finding->subject) == 0 &&
		    strcmp(f->message, finding->message) == 0)
			return (true);
	}
	return (false);
}

void
check_say_line(struct check *check, const struct check_finding *finding)
{
	if (check_said(check, finding))
		return;
	check->findings = mem_realloc(check->findings,
	    (check->finding_count + 1) * sizeof(*check->findings));
	check->findings[check->finding_count++] = *finding;
}

void
check_say(struct check *check, enum finding_severity severity,
    const char *where, const char *subject, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	check_say_line(check, &(struct check_finding) {
	    .severity = severity,
	    .where = arena_strdup(&check->arena, where),
	    .subject = arena_strdup(&check->arena, subject),
	    .message = arena_strdup(&check->arena, text),
	});
}

static size_t
severity_count(const struct check *check, enum finding_severity severity)
{
	size_t count = 0;

	for (size_t i = 0; i < check->finding_count; i++)
		count += check->findings[i].severity == severity;
	return (count);
}

static void
print_text(const struct check *check, struct buffer *out)
{
	const size_t errors = severity_count(check, FINDING_ERROR);
	const size_t warnings = severity_count(check, FINDING_WARN);

	for (size_t i = 0; i < check->finding_count; i++) {
		const struct check_finding *f = &check->findings[i];

		buffer_append_text(out, f->where);
		if (f->line > 0)
			buffer_printf(out, ":%d", f->line);
		buffer_printf(out, ": %s", finding_severity_name(f->severity));
		if (f->subject[0] != '\0')
			buffer_printf(out, " %s", f->subject);
		buffer_printf(out, ": %s\n", f->message);
	}
	if (errors == 0)
		buffer_append_text(out, "Nothing hinders the replacement");
	else
		buffer_printf(out, "%zu finding%s hinder%s the replacement",
		    errors, errors == 1 ? "" : "s", errors == 1 ? "s" : "");
	buffer_printf(out, "; %zu warning%s\n", warnings,
	    warnings == 1 ? "" : "s");
}

static void
print_json(const struct check *check, struct buffer *out)
{
	struct json_out json;

	json_init(&json, out);
	json_open(&json, NULL, '{');
	json_bool(&json, "hindered",
	    severity_count(check, FINDING_ERROR) != 0);
	json_open(&json, "findings", '[');
	for (size_t i = 0; i < check->finding_count; i++) {
		const struct check_finding *f = &check->findings[i];

		json_open(&json, NULL, '{');
		json_text(&json, "where", slice_of_text(f->where));
		if (f->line > 0)
			json_int(&json, "line", f->line);
		else
			json_none(&json, "line");
		json_text(&json, "severity",
		    slice_of_text(finding_severity_name(f->severity)));
		json_text(&json, "subject", slice_of_text(f->subject));
		json_text(&json, "message", slice_of_text(f->message));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

/* --- the file ------------------------------------------------------------- */

static void
check_file(struct check *check, const char *path)
{
	for (size_t i = 0; i < config_finding_count(check->config); i++) {
		const struct finding *f = config_finding_at(check->config, i);

		check_say_line(check, &(struct check_finding) {
		    .severity = f->severity,
		    .where = path,
		    .line = f->line,
		    .subject = f->subject,
		    .message = f->message,
		});
	}
}

/* Keys and certificates that the file names. */
static void
check_tls(struct check *check, const char *path)
{
	struct tls_report report;

	if (severity_count(check, FINDING_ERROR) != 0)
		return;
	if (!net_tls_check(&check->options->net, &report))
		check_say(check, FINDING_ERROR, path, "listeners", "%s",
		    report.error);
	else if (report.warning[0] != '\0')
		check_say(check, FINDING_WARN, path, "listeners", "%s",
		    report.warning);
}

/* --- ZooKeeper ------------------------------------------------------------ */

bool
check_read(struct check *check, struct zk_read *reads, size_t count)
{
	if (!zk_reader_run(check->zk, reads, count)) {
		check_say(check, FINDING_ERROR, "ZooKeeper", "",
		    "it does not answer any more; try again, or give it more "
		    "time with --timeout-ms");
		return (false);
	}
	for (size_t i = 0; i < count; i++)
		if (reads[i].rc != ZK_OK && reads[i].rc != ZK_NO_NODE)
			check_say(check, FINDING_ERROR, reads[i].path, "",
			    "cannot be read (%s): this version does not "
			    "authenticate itself at ZooKeeper, so the node's "
			    "ACL must be open",
			    zk_rc_name(reads[i].rc));
	return (true);
}

static void
check_zookeeper(struct check *check, const char *connect, int64_t timeout_ms)
{
	struct buffer why = BUFFER_EMPTY;

	if (connect == NULL || connect[0] == '\0')
		return; /* the file's finding */
	check->zk = zk_reader_new(connect, timeout_ms, &why);
	if (check->zk == NULL)
		check_say(check, FINDING_ERROR, "ZooKeeper", "",
		    "%s within %lld s; correct zookeeper.connect, or name the "
		    "servers with --zookeeper",
		    buffer_text(&why), (long long)timeout_ms / 1000);
	else if (check_cluster(check))
		check_topics(check);
	buffer_fini(&why);
}

/* --- all of it ------------------------------------------------------------ */

static int
check_end(const struct check *check, const struct args *args)
{
	struct buffer out = BUFFER_EMPTY;

	if (args_json(args))
		print_json(check, &out);
	else
		print_text(check, &out);
	tool_print(check->tool, &out);
	buffer_fini(&out);
	return (severity_count(check, FINDING_ERROR) != 0 ? CHECK_HINDERED
							  : CHECK_GOOD);
}

static int
check_all(const struct tool *tool, const struct args *args,
    struct config *config)
{
	struct check check = { .tool = tool, .config = config };
	const char *connect = args_text(args, "zookeeper");
	int status;

	arena_init(&check.arena, 0);
	check.options = config_options(config);
	check.broker_id = check.options->cluster.broker_id;
	if (connect == NULL)
		connect = check.options->zkglue.connect;
	check_file(&check, args_text(args, "file"));
	check_tls(&check, args_text(args, "file"));
	check_dirs(&check);
	check_zookeeper(&check, connect, args_number(args, "timeout-ms"));
	status = check_end(&check, args);
	zk_reader_free(&check.zk);
	mem_free(check.findings);
	arena_fini(&check.arena);
	return (status);
}

static int
check_run(struct tool *tool, const struct args *args)
{
	const char *path = args_text(args, "file");
	struct buffer text = BUFFER_EMPTY;
	struct config *config;
	int status;

	if (path == NULL)
		return (tool_usage(tool, "name the broker's "
					 "server.properties"));
	if (args_number(args, "timeout-ms") < 1 ||
	    args_number(args, "timeout-ms") > INT32_MAX)
		return (tool_usage(tool, "--timeout-ms is a time above 0"));
	if (args_has(args, "zookeeper") &&
	    args_text(args, "zookeeper")[0] == '\0')
		return (tool_usage(tool, "--zookeeper names no server"));
	if (!read_file(path, PROPERTIES_BYTES_MAX, &text)) {
		tool_fail(tool, "%s: %s", path, strerror(errno));
		buffer_fini(&text);
		return (CHECK_USAGE);
	}
	config = config_new();
	(void)config_read(config, buffer_slice(&text));
	(void)config_resolve(config);
	status = check_all(tool, args, config);
	config_free(&config);
	buffer_fini(&text);
	return (status);
}
