/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/dump.h"

static const struct arg_row dump_rows[] = {
	{ "files", ARG_TEXT, "file,...", NULL,
	    "The files: .log, .index, .timeindex, .txnindex, .snapshot." },
	{ "deep-iteration", ARG_FLAG, NULL, NULL,
	    "Look into batches: a line a record." },
	{ "print-data-log", ARG_FLAG, NULL, NULL,
	    "Print keys and values too." },
	{ "skip-record-metadata", ARG_FLAG, NULL, NULL,
	    "Of records print keys and values only." },
	{ "index-sanity-check", ARG_FLAG, NULL, NULL,
	    "Only check that an index can be used." },
	{ "verify-index-only", ARG_FLAG, NULL, NULL,
	    "Check indexes against the log, print mismatches only." },
	{ "max-message-size", ARG_INT, "bytes", "5242880",
	    "The largest batch that an index may point at." },
	{ "max-bytes", ARG_INT, "bytes", "2147483647",
	    "Read so much of a .log file only." },
	{ "key-decoder-class", ARG_MAYBE, "class",
	    "org.apache.kafka.tools.api.StringDecoder",
	    "Strings only." },
	{ "value-decoder-class", ARG_MAYBE, "class",
	    "org.apache.kafka.tools.api.StringDecoder",
	    "Strings only." },
	{ "offsets-decoder", ARG_FLAG, NULL, NULL,
	    "Not in this version." },
	{ "transaction-log-decoder", ARG_FLAG, NULL, NULL,
	    "Not in this version." },
	{ "cluster-metadata-decoder", ARG_FLAG, NULL, NULL,
	    "Refused: such logs are KRaft's." },
	{ "remote-log-metadata-decoder", ARG_FLAG, NULL, NULL,
	    "Refused: there is no tiered storage." },
	ARGS_COMMON,
};

static int dump_run(struct tool *tool, const struct args *args);

const struct command command_dump_log = {
	.name = "dump-log",
	.kafka_name = "kafka-dump-log.sh",
	.summary = "print what is in the files of a log",
	.rows = dump_rows,
	.run = dump_run,
};

static const struct {
	const char *suffix;
	bool (*dump)(struct dump *dump, const char *path);
} dump_kinds[] = {
	{ ".log", dump_log_file },
	{ ".index", dump_offset_index },
	{ ".timeindex", dump_time_index },
	{ ".txnindex", dump_txn_index },
	{ ".snapshot", dump_snapshot },
};

void
dump_flush(struct dump *dump)
{
	tool_print(dump->tool, &dump->out);
}

bool
dump_refused(struct dump *dump, const char *path, const char *why)
{
	dump_flush(dump);
	tool_fail(dump->tool, "%s: %s", path, why);
	dump->failed = true;
	return (false);
}

bool
dump_base_offset(struct dump *dump, const char *path, int64_t *out)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	struct slice rest;

	if (text_to_int64(text_cut(slice_of_text(name), '.', &rest), out) &&
	    *out >= 0)
		return (true);
	return (dump_refused(dump, path,
	    "the name does not begin with an offset"));
}

void
dump_json_begin(struct dump *dump, struct json_out *json, const char *path,
    const char *type)
{
	json_init(json, &dump->out);
	json_open(json, NULL, '{');
	json_text(json, "file", slice_of_text(path));
	json_text(json, "type", slice_of_text(type));
}

static bool
decoder_good(const char *class)
{
	static const char *const known[] = {
		"org.apache.kafka.tools.api.StringDecoder",
		"kafka.serializer.StringDecoder",
	};

	for (size_t i = 0; class != NULL && i < nelems(known); i++)
		if (strcmp(class, known[i]) == 0)
			return (true);
	return (class == NULL);
}

static int
dump_check(const struct tool *tool, const struct args *args)
{
	static const char *const refused[] = { "offsets-decoder",
		"transaction-log-decoder", "cluster-metadata-decoder",
		"remote-log-metadata-decoder", NULL };
	const char *decoder = args_first_of(args, refused);

	if (decoder != NULL)
		return (tool_fail(tool,
		    "this version has no --%s; --print-data-log prints the "
		    "bytes as they are",
		    decoder));
	if (!decoder_good(args_text(args, "key-decoder-class")) ||
	    !decoder_good(args_text(args, "value-decoder-class")))
		return (tool_fail(tool,
		    "no Java classes are loaded: decoder classes other than "
		    "StringDecoder are not known"));
	if (args_text(args, "files") == NULL)
		return (tool_usage(tool, "--files is needed"));
	if (args_number(args, "max-bytes") < 0 ||
	    args_number(args, "max-message-size") < 0)
		return (tool_usage(tool, "sizes are not negative"));
	return (TOOL_OK);
}

static void
dump_one(struct dump *dump, const char *path)
{
	const char *dot = strrchr(path, '.');

	if (!dump->json)
		buffer_printf(&dump->out, "Dumping %s\n", path);
	for (size_t i = 0; i < nelems(dump_kinds); i++) {
		if (dot != NULL && strcmp(dot, dump_kinds[i].suffix) == 0) {
			dump_kinds[i].dump(dump, path);
			dump_flush(dump);
			return;
		}
	}
	dump_flush(dump);
	fprintf(dump->tool->err, "Ignoring unknown file %s\n", path);
}

static int
dump_run(struct tool *tool, const struct args *args)
{
	struct dump dump = {
		.tool = tool,
		.files = files_system(),
		.json = args_json(args),
		.print_data = args_has(args, "print-data-log") ||
		    args_has(args, "key-decoder-class") ||
		    args_has(args, "value-decoder-class"),
		.skip_metadata = args_has(args, "skip-record-metadata"),
		.sanity_only = args_has(args, "index-sanity-check"),
		.verify_only = args_has(args, "verify-index-only"),
		.bytes_max = args_number(args, "max-bytes"),
		.message_bytes_max =
		    (int32_t)args_number(args, "max-message-size"),
	};
	struct slice rest = slice_of_text(args_text(args, "files"));
	int status = dump_check(tool, args);

	if (status != TOOL_OK)
		return (status);
	dump.deep = dump.print_data || args_has(args, "deep-iteration");
	while (rest.data != NULL) {
		const struct slice one = text_cut(rest, ',', &rest);
		char *path = mem_strndup((const char *)one.data, one.length);

		dump_one(&dump, path);
		mem_free(path);
	}
	if (dump.faults.length > 0)
		fwrite(dump.faults.data, 1, dump.faults.length, tool->err);
	if (dump.gaps.length > 0)
		fwrite(dump.gaps.data, 1, dump.gaps.length, tool->err);
	status = dump.failed || dump.faults.length != 0 ? TOOL_FAILED
							: TOOL_OK;
	buffer_fini(&dump.out);
	buffer_fini(&dump.faults);
	buffer_fini(&dump.gaps);
	return (status);
}
