/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `barnabas dump-log` share. */
#ifndef TOOLS_DUMP_H
#define TOOLS_DUMP_H

#include "storage/file.h"
#include "tools/json_out.h"
#include "tools/tool.h"

struct dump {
	struct tool *tool;
	struct files *files;
	bool json;       /* one object a line */
	bool deep;       /* records too */
	bool print_data; /* and what is in them */
	bool skip_metadata;
	bool sanity_only;
	bool verify_only;
	int64_t bytes_max;         /* of a .log file */
	int32_t message_bytes_max;
	struct buffer out;   /* goes out after each batch or entry */
	struct buffer faults; /* said at the end, on `err` */
	struct buffer gaps;   /* the same; a compacted log has them */
	bool failed;
};

/* One file; the path names it in all that is said. False: it could not be
 * read, and that has been said. */
bool dump_log_file(struct dump *dump, const char *path);
bool dump_offset_index(struct dump *dump, const char *path);
bool dump_time_index(struct dump *dump, const char *path);
bool dump_txn_index(struct dump *dump, const char *path);
bool dump_snapshot(struct dump *dump, const char *path);

void dump_flush(struct dump *dump);
bool dump_refused(struct dump *dump, const char *path, const char *why);
/* The offset in the file's name: 00000000000000000042.log. */
bool dump_base_offset(struct dump *dump, const char *path, int64_t *out);
/* Begins a line of JSON: {"file":...,"type":... */
void dump_json_begin(struct dump *dump, struct json_out *json,
    const char *path, const char *type);

#endif
