/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas reassign-partitions --generate, --execute and --list. */
#include "base/check.h"
#include "base/random.h"
#include "tools/read_file.h"
#include "tools/reassign.h"

#include <errno.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)

static void
say_parts(struct reassign *r, const struct reassign_parts *parts)
{
	struct buffer text = BUFFER_EMPTY;
	struct json_out json;

	json_init(&json, &text);
	reassign_json_parts(&json, NULL, parts);
	reassign_say(r, "%s", buffer_text(&text));
	buffer_fini(&text);
}

/* --- list ----------------------------------------------------------------- */

int
reassign_list(struct reassign *r)
{
	struct list_partition_reassignments_response moves;
	struct buffer text = BUFFER_EMPTY;

	if (reassign_ask_moves(r, &moves) != TOOL_OK)
		return (TOOL_FAILED);
	reassign_list_text(&moves, r->arena, &text);
	reassign_say(r, "%s", buffer_text(&text));
	reassign_list_json(&moves, r->arena, &r->json);
	buffer_fini(&text);
	return (TOOL_OK);
}

/* --- generate ------------------------------------------------------------- */

static int
generate_read(struct reassign *r, struct reassign_topics *topics,
    struct reassign_brokers *brokers)
{
	const char *path = args_text(r->args, "topics-to-move-json-file");
	struct buffer text = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (!reassign_parse_brokers(args_text(r->args, "broker-list"),
		r->arena, brokers, &why))
		status = tool_usage(r->tool, "--broker-list: %s",
		    buffer_text(&why));
	else if (!read_file(path, FILE_BYTES_MAX, &text))
		status = tool_fail(r->tool, "%s: %s", path, strerror(errno));
	else if (!reassign_parse_topics(buffer_slice(&text), r->arena, topics,
		     &why))
		status = tool_fail(r->tool, "%s: %s", path,
		    buffer_text(&why));
	buffer_fini(&text);
	buffer_fini(&why);
	return (status);
}

static void
generate_warn(const struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_brokers *brokers)
{
	for (size_t i = 0; i < brokers->count; i++)
		if (!reassign_broker_there(metadata, brokers->ids[i]))
			tool_warn(r->tool,
			    "broker %d is not there, and gets nothing",
			    brokers->ids[i]);
}

int
reassign_generate(struct reassign *r)
{
	struct metadata_response metadata;
	struct reassign_topics topics;
	struct reassign_brokers brokers;
	struct reassign_parts now, proposed;
	struct buffer why = BUFFER_EMPTY;
	struct random random;
	int status = generate_read(r, &topics, &brokers);

	if (status == TOOL_OK)
		status = reassign_ask_metadata(r, &metadata);
	if (status == TOOL_OK)
		status = reassign_now_topics(r, &metadata, &topics, &now);
	if (status != TOOL_OK)
		return (status);
	generate_warn(r, &metadata, &brokers);
	random_seed_system(&random);
	if (reassign_propose(&now, &brokers, &metadata,
		!args_has(r->args, "disable-rack-aware"), &random, r->arena,
		&proposed, &why)) {
		reassign_say(r, "Current partition replica assignment\n");
		say_parts(r, &now);
		reassign_say(r, "\n\nProposed partition reassignment "
				"configuration\n");
		say_parts(r, &proposed);
		reassign_say(r, "\n");
		reassign_json_parts(&r->json, "current", &now);
		reassign_json_parts(&r->json, "proposed", &proposed);
	} else {
		status = tool_fail(r->tool, "%s", buffer_text(&why));
	}
	buffer_fini(&why);
	return (status);
}

/* --- execute -------------------------------------------------------------- */

int
reassign_read(struct reassign *r, struct reassign_wanted *out)
{
	const char *path = args_text(r->args, "reassignment-json-file");
	struct buffer text = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (!read_file(path, FILE_BYTES_MAX, &text))
		status = tool_fail(r->tool, "%s: %s", path, strerror(errno));
	else if (!reassign_parse(buffer_slice(&text), r->arena, out, &why))
		status = tool_fail(r->tool, "%s: %s", path,
		    buffer_text(&why));
	buffer_fini(&text);
	buffer_fini(&why);
	return (status);
}

/* What is there before anything changes. */
struct before {
	struct list_partition_reassignments_response moves;
	struct metadata_response metadata;
	struct reassign_parts now;
};

static int
execute_read(struct reassign *r, struct reassign_wanted *wanted)
{
	struct buffer why = BUFFER_EMPTY;
	int status = reassign_read(r, wanted);

	if (status == TOOL_OK && !reassign_check(wanted, &why))
		status = tool_fail(r->tool, "%s: %s",
		    args_text(r->args, "reassignment-json-file"),
		    buffer_text(&why));
	buffer_fini(&why);
	return (status);
}

static int
brokers_check(const struct reassign *r,
    const struct metadata_response *metadata,
    const struct reassign_parts *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		for (int32_t k = 0; k < wanted->items[i].replica_count; k++) {
			const int32_t id = wanted->items[i].replicas[k];

			if (!reassign_broker_there(metadata, id))
				return (tool_fail(r->tool,
				    "Unknown broker id %d: no such broker is "
				    "there", id));
		}
	return (TOOL_OK);
}

static int
execute_look(struct reassign *r, const struct reassign_wanted *wanted,
    struct before *before)
{
	int status = reassign_ask_moves(r, &before->moves);

	if (status == TOOL_OK && before->moves.topics_count != 0 &&
	    !args_has(r->args, "additional"))
		status = tool_fail(r->tool,
		    "Cannot execute because there is an existing partition "
		    "assignment.  Use --additional to override this and "
		    "create a new partition assignment in addition to the "
		    "existing one. The --additional flag can also be used to "
		    "change the throttle by resubmitting the current "
		    "reassignment.");
	if (status == TOOL_OK)
		status = reassign_ask_metadata(r, &before->metadata);
	if (status == TOOL_OK)
		status = brokers_check(r, &before->metadata, &wanted->parts);
	if (status == TOOL_OK)
		status = reassign_now_all(r, &before->metadata,
		    &wanted->parts, &before->now);
	return (status);
}

static int
execute_throttle(struct reassign *r, const struct reassign_wanted *wanted,
    const struct before *before)
{
	const int64_t rate = args_number(r->args, "throttle");
	const int64_t dirs_rate =
	    args_number(r->args, "replica-alter-log-dirs-throttle");
	struct reassign_moves moves;
	int status = TOOL_OK;

	if (rate < 0 && dirs_rate < 0)
		return (TOOL_OK);
	reassign_say(r, "Warning: You must run --verify periodically, until "
			"the reassignment completes, to ensure the throttle "
			"is removed.\n");
	if (rate >= 0) {
		reassign_plan_moves(&before->moves, &wanted->parts,
		    &before->now, r->arena, &moves);
		status = reassign_throttle(r, &before->metadata, &moves, rate);
		json_int(&r->json, "throttle", rate);
	}
	if (status == TOOL_OK && dirs_rate >= 0) {
		status = reassign_throttle_dirs(r, &before->metadata,
		    &wanted->dirs, dirs_rate);
		json_int(&r->json, "replicaAlterLogDirsThrottle", dirs_rate);
	}
	return (status);
}

static int
execute_begin(struct reassign *r, const struct reassign_parts *parts)
{
	struct buffer refused = BUFFER_EMPTY;
	struct buffer names = BUFFER_EMPTY;
	int status = reassign_alter(r, parts, NULL, &refused);

	if (status == TOOL_OK && refused.length != 0)
		status = tool_fail(r->tool,
		    "Error reassigning partition(s):\n%s",
		    buffer_text(&refused));
	if (status == TOOL_OK) {
		reassign_put_names(parts, &names);
		reassign_say(r, "Successfully started partition "
				"reassignment%s for %s\n",
		    parts->count == 1 ? "" : "s", buffer_text(&names));
	}
	json_bool(&r->json, "started", status == TOOL_OK);
	buffer_fini(&refused);
	buffer_fini(&names);
	return (status);
}

int
reassign_execute(struct reassign *r)
{
	struct reassign_wanted wanted;
	struct before before;
	int status = execute_read(r, &wanted);

	if (status == TOOL_OK)
		status = execute_look(r, &wanted, &before);
	if (status != TOOL_OK)
		return (status);
	/* From here on things change: the way back is told first. */
	reassign_say(r, "Current partition replica assignment\n\n");
	say_parts(r, &before.now);
	reassign_say(r, "\n\nSave this to use as the --reassignment-json-file "
			"option during rollback\n");
	reassign_json_parts(&r->json, "current", &before.now);
	status = reassign_told(r);
	if (status == TOOL_OK)
		status = execute_throttle(r, &wanted, &before);
	if (status == TOOL_OK)
		status = execute_begin(r, &wanted.parts);
	if (status == TOOL_OK && wanted.dirs.count != 0) {
		status = reassign_dirs_move(r, &wanted.dirs);
		reassign_dirs_json(&wanted.dirs, "replicas", &r->json);
	}
	return (status);
}
