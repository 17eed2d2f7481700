/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas reassign-partitions --verify and --cancel. */
#include "base/check.h"
#include "tools/moves.h"
#include "tools/reassign.h"

/* --- verify --------------------------------------------------------------- */

static int
verify_look(struct reassign *r, struct reassign_wanted *wanted,
    const struct metadata_response *metadata,
    const struct list_partition_reassignments_response *moves)
{
	struct reassign_parts now;
	const struct reassign_state state = {
		.wanted = &wanted->parts,
		.now = &now,
		.moves = moves,
	};
	struct buffer text = BUFFER_EMPTY;
	int status;

	reassign_now(r, metadata, &wanted->parts, &now);
	reassign_state_text(&state, &text);
	reassign_say(r, "%s", buffer_text(&text));
	text.length = 0;
	reassign_state_json(&state, &r->json);
	status = reassign_dirs_find(r, metadata, &wanted->dirs);
	if (status == TOOL_OK) {
		reassign_dirs_text(&wanted->dirs, &text);
		/* Kafka's tool has an empty line where there are none. */
		reassign_say(r, "%s", text.length == 0 ? "\n"
						       : buffer_text(&text));
		reassign_dirs_json(&wanted->dirs, "replicas", &r->json);
	}
	buffer_fini(&text);
	return (status);
}

/* What is in no directory that works may go on when one does. */
static bool
dirs_moving(const struct reassign_dirs *dirs)
{
	for (size_t i = 0; i < dirs->count; i++)
		if (dirs->items[i].current.data == NULL ||
		    reassign_dir_moving(&dirs->items[i]))
			return (true);
	return (false);
}

/* Throttles stay while anything moves, also what the file does not name: nobody
 * knows for whom they were set. */
int
reassign_verify(struct reassign *r)
{
	struct list_partition_reassignments_response moves;
	struct metadata_response metadata;
	struct reassign_wanted wanted;
	int status = reassign_read(r, &wanted);

	/* In this order: what ends in between is not told as having gone
	 * astray. */
	if (status == TOOL_OK)
		status = reassign_ask_moves(r, &moves);
	if (status == TOOL_OK)
		status = reassign_ask_metadata(r, &metadata);
	if (status == TOOL_OK)
		status = verify_look(r, &wanted, &metadata, &moves);
	if (status != TOOL_OK || moves.topics_count != 0 ||
	    dirs_moving(&wanted.dirs) ||
	    args_has(r->args, "preserve-throttles"))
		return (status);
	return (reassign_unthrottle(r, &metadata, &wanted.parts));
}

/* --- cancel --------------------------------------------------------------- */

/* Those that move. */
static struct reassign_parts
cancel_choose(struct reassign *r, const struct reassign_parts *wanted,
    const struct list_partition_reassignments_response *moves)
{
	struct reassign_parts out = { 0 };

	out.items =
	    arena_array(r->arena, wanted->count + 1, sizeof(*out.items));
	CHECK(out.items != NULL);
	for (size_t i = 0; i < wanted->count; i++)
		if (moves_find(moves, wanted->items[i].topic,
			wanted->items[i].partition) != NULL)
			out.items[out.count++] = wanted->items[i];
	return (out);
}

/* Without those; the memory is that of `parts`. */
static void
parts_without(struct reassign_parts *parts, const struct reassign_parts *those)
{
	size_t kept = 0;

	for (size_t i = 0; i < parts->count; i++)
		if (reassign_part_find(those, parts->items[i].topic,
			parts->items[i].partition) == NULL)
			parts->items[kept++] = parts->items[i];
	parts->count = kept;
}

static void
cancel_say(struct reassign *r, const struct reassign_parts *parts,
    const char *one, const char *many)
{
	struct buffer names = BUFFER_EMPTY;

	reassign_put_names(parts, &names);
	if (parts->count != 0)
		reassign_say(r, "%s: %s\n", parts->count == 1 ? one : many,
		    buffer_text(&names));
	buffer_fini(&names);
}

/* Kafka's tool fails when a move has ended since it was listed: nothing of it
 * is left to be taken back, and here that is told. */
static int
cancel_parts(struct reassign *r, struct reassign_parts *parts)
{
	struct buffer refused = BUFFER_EMPTY;
	struct reassign_parts ended;
	int status = reassign_alter(r, parts, &ended, &refused);

	if (status == TOOL_OK && refused.length != 0)
		status = tool_fail(r->tool,
		    "Error cancelling partition reassignment(s) for:\n%s",
		    buffer_text(&refused));
	if (status == TOOL_OK) {
		parts_without(parts, &ended);
		cancel_say(r, parts,
		    "Successfully cancelled partition reassignment for",
		    "Successfully cancelled partition reassignments for");
		cancel_say(r, &ended,
		    "This partition reassignment had ended before",
		    "These partition reassignments had ended before");
		reassign_json_parts(&r->json, "cancelled", parts);
		if (ended.count != 0)
			reassign_json_parts(&r->json, "ended", &ended);
	}
	buffer_fini(&refused);
	return (status);
}

/* Those that move are to stay where they are. */
static int
cancel_dirs(struct reassign *r, const struct metadata_response *metadata,
    struct reassign_dirs *dirs)
{
	size_t kept = 0;
	int status = reassign_dirs_find(r, metadata, dirs);

	if (status != TOOL_OK)
		return (status);
	for (size_t i = 0; i < dirs->count; i++) {
		if (!reassign_dir_moving(&dirs->items[i]))
			continue;
		dirs->items[kept] = dirs->items[i];
		dirs->items[kept].wanted = dirs->items[i].current;
		kept++;
	}
	dirs->count = kept;
	if (kept == 0)
		reassign_say(r, "None of the specified partition moves are "
				"active.\n");
	else
		status = reassign_dirs_move(r, dirs);
	reassign_dirs_json(dirs, "replicas", &r->json);
	return (status);
}

/* Kafka's tool leaves alone what only adds replicas; here that is taken back,
 * too. */
int
reassign_cancel(struct reassign *r)
{
	struct list_partition_reassignments_response moves;
	struct metadata_response metadata;
	struct reassign_wanted wanted;
	struct reassign_parts chosen = { 0 };
	int status = reassign_read(r, &wanted);

	if (status == TOOL_OK)
		status = reassign_ask_moves(r, &moves);
	if (status == TOOL_OK)
		status = reassign_ask_metadata(r, &metadata);
	if (status != TOOL_OK)
		return (status);
	chosen = cancel_choose(r, &wanted.parts, &moves);
	if (chosen.count != 0)
		status = cancel_parts(r, &chosen);
	else
		reassign_say(r, "None of the specified partition "
				"reassignments are active.\n");
	if (status == TOOL_OK)
		status = cancel_dirs(r, &metadata, &wanted.dirs);
	if (status != TOOL_OK || args_has(r->args, "preserve-throttles"))
		return (status);
	return (reassign_unthrottle(r, &metadata, &wanted.parts));
}
