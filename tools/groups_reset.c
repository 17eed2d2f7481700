/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas groups --reset-offsets: which partitions of a group go where, and
 * with --execute one commit that says so.  Each group in turn:
 *
 *	describe -> [has members: refused] -> partitions -> offsets -> commit
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tools/columns.h"
#include "tools/get_offsets.h"
#include "tools/groups.h"
#include "tools/json_out.h"
#include "tools/progress.h"
#include "tools/read_file.h"

#define PLAN_BYTES_MAX ((size_t)64 << 20)
#define NAME_WIDTH 30
#define NUMBER_WIDTH 10
#define OFFSET_WIDTH 15

struct reset {
	struct groups *g;
	bool execute;
	struct plan plan; /* of --from-file */
	int64_t time_ms;  /* of --to-datetime and --by-duration */
};

/* One group, and where its partitions go. */
struct target {
	struct group *group;
	bool refused; /* it has members */
	struct group_offsets offsets;
};

/* --- offsets of the log --------------------------------------------------- */

/* Sets each offset to that of `time`. TOOL_OK, or said. */
static int
log_offsets(struct groups *g, struct group_offsets *offsets, int64_t time)
{
	struct leader_item *items =
	    mem_zalloc((offsets->count + 1) * sizeof(*items));
	struct buffer text = BUFFER_EMPTY;
	struct progress progress;
	int status = TOOL_OK;

	for (size_t i = 0; i < offsets->count; i++) {
		items[i].topic = offsets->items[i].topic;
		items[i].partition = offsets->items[i].partition;
		items[i].asked = time;
	}
	progress_begin(&progress, g->tool, "partitions answered",
	    offsets->count);
	if (offsets->count != 0)
		leaders_ask(g->client, items, offsets->count, offsets_ask,
		    &progress);
	progress_end(&progress, offsets->count);
	for (size_t i = 0; status == TOOL_OK && i < offsets->count; i++) {
		offsets->items[i].offset = items[i].offset;
		if (items[i].error == ERR_NONE && items[i].why == NULL)
			continue;
		leader_item_name(&items[i], &text);
		buffer_append_text(&text, ": ");
		leader_item_error(&items[i], &text);
		status = tool_fail(g->tool, "not reset: %s",
		    buffer_text(&text));
	}
	buffer_fini(&text);
	mem_free(items);
	return (status);
}

static void
offsets_copy(const struct group_offsets *from, struct group_offsets *to)
{
	*to = (struct group_offsets) { 0 };
	for (size_t i = 0; i < from->count; i++)
		group_offsets_add(to, from->items[i].topic,
		    from->items[i].partition, -1);
}

static void
clamp(const struct groups *g, struct group_offset *at, int64_t limit,
    const char *why)
{
	tool_warn(g->tool,
	    "%.*s-%d: %" PRId64 " is %s; it will be %" PRId64,
	    SLICE_ARGS(at->topic), at->partition, at->offset, why, limit);
	at->offset = limit;
}

/* Offsets outside of the log become its nearest ones. */
static int
keep_within(struct groups *g, struct group_offsets *offsets)
{
	struct group_offsets first;
	struct group_offsets end;
	int status;

	offsets_copy(offsets, &first);
	offsets_copy(offsets, &end);
	status = log_offsets(g, &first, OFFSETS_EARLIEST);
	if (status == TOOL_OK)
		status = log_offsets(g, &end, OFFSETS_LATEST);
	for (size_t i = 0; status == TOOL_OK && i < offsets->count; i++) {
		struct group_offset *at = &offsets->items[i];

		if (at->offset > end.items[i].offset)
			clamp(g, at, end.items[i].offset,
			    "higher than the latest offset");
		else if (at->offset < first.items[i].offset)
			clamp(g, at, first.items[i].offset,
			    "lower than the earliest offset");
	}
	group_offsets_fini(&first);
	group_offsets_fini(&end);
	return (status);
}

/* --- where to ------------------------------------------------------------- */

static int
to_offset(struct reset *r, struct target *t)
{
	for (size_t i = 0; i < t->offsets.count; i++)
		t->offsets.items[i].offset =
		    args_number(r->g->args, "to-offset");
	return (keep_within(r->g, &t->offsets));
}

static int
to_earliest(struct reset *r, struct target *t)
{
	return (log_offsets(r->g, &t->offsets, OFFSETS_EARLIEST));
}

static int
to_latest(struct reset *r, struct target *t)
{
	return (log_offsets(r->g, &t->offsets, OFFSETS_LATEST));
}

/* Those without an offset of `from` go to the latest. */
static int
fill_latest(struct groups *g, struct group_offsets *offsets)
{
	struct group_offsets missing = { 0 };
	int status;

	for (size_t i = 0; i < offsets->count; i++)
		if (offsets->items[i].offset < 0)
			group_offsets_add(&missing, offsets->items[i].topic,
			    offsets->items[i].partition, -1);
	status = log_offsets(g, &missing, OFFSETS_LATEST);
	for (size_t i = 0; i < offsets->count; i++)
		if (offsets->items[i].offset < 0) {
			const struct group_offset *found =
			    group_offsets_find(&missing,
				offsets->items[i].topic,
				offsets->items[i].partition);

			offsets->items[i].offset = found->offset;
		}
	group_offsets_fini(&missing);
	return (status);
}

static void
take_committed(struct group_offsets *offsets,
    const struct group_offsets *committed)
{
	for (size_t i = 0; i < offsets->count; i++) {
		const struct group_offset *found =
		    group_offsets_find(committed, offsets->items[i].topic,
			offsets->items[i].partition);

		offsets->items[i].offset = found == NULL ? -1 : found->offset;
	}
}

static int
to_current(struct reset *r, struct target *t)
{
	struct group_offsets committed;
	int status = group_committed(r->g, t->group, &committed);

	take_committed(&t->offsets, &committed);
	group_offsets_fini(&committed);
	if (status != TOOL_OK)
		return (status);
	return (fill_latest(r->g, &t->offsets));
}

static int64_t
add_bounded(int64_t offset, int64_t by)
{
	if (by > 0 && offset > INT64_MAX - by)
		return (INT64_MAX);
	return (offset + by);
}

static int
shift_by(struct reset *r, struct target *t)
{
	const int64_t by = args_number(r->g->args, "shift-by");
	struct group_offsets committed;
	int status = group_committed(r->g, t->group, &committed);

	take_committed(&t->offsets, &committed);
	group_offsets_fini(&committed);
	for (size_t i = 0; status == TOOL_OK && i < t->offsets.count; i++) {
		struct group_offset *at = &t->offsets.items[i];

		if (at->offset < 0)
			return (tool_usage(r->g->tool,
			    "--shift-by: group \"%.*s\" has no offset of "
			    "%.*s-%d to shift; --to-earliest and the like set "
			    "one",
			    SLICE_ARGS(t->group->id), SLICE_ARGS(at->topic),
			    at->partition));
		at->offset = add_bounded(at->offset, by);
	}
	return (status == TOOL_OK ? keep_within(r->g, &t->offsets) : status);
}

/* Kafka's tool says so where no record is that young, too. */
static int
to_time(struct reset *r, struct target *t)
{
	const int status = log_offsets(r->g, &t->offsets, r->time_ms);

	if (status != TOOL_OK)
		return (status);
	for (size_t i = 0; !r->g->json && i < t->offsets.count; i++)
		if (t->offsets.items[i].offset < 0)
			buffer_printf(&r->g->out,
			    "\nWarn: Partition %d from topic %.*s is empty. "
			    "Falling back to latest known offset.\n",
			    t->offsets.items[i].partition,
			    SLICE_ARGS(t->offsets.items[i].topic));
	return (fill_latest(r->g, &t->offsets));
}

/* What the file says, not what --topic does. */
static int
from_file(struct reset *r, struct target *t)
{
	const struct plan *plan = &r->plan;

	group_offsets_fini(&t->offsets);
	for (size_t i = 0; i < plan->count; i++)
		if (slice_equal(plan->rows[i].group, t->group->id))
			group_offsets_add(&t->offsets, plan->rows[i].at.topic,
			    plan->rows[i].at.partition,
			    plan->rows[i].at.offset);
	group_offsets_sort(&t->offsets);
	if (t->offsets.count == 0)
		groups_print_error(r->g, "No reset plan for group %.*s found",
		    SLICE_ARGS(t->group->id));
	return (keep_within(r->g, &t->offsets));
}

static const struct scenario {
	const char *option;
	int (*run)(struct reset *r, struct target *t);
} scenarios[] = {
	{ "to-offset", to_offset },
	{ "to-earliest", to_earliest },
	{ "to-latest", to_latest },
	{ "to-current", to_current },
	{ "shift-by", shift_by },
	{ "to-datetime", to_time },
	{ "by-duration", to_time },
	{ "from-file", from_file },
};

/* --- one group ------------------------------------------------------------ */

static int
partitions_wanted(struct reset *r, struct target *t)
{
	int status;

	if (args_has(r->g->args, "all-topics"))
		return (group_committed(r->g, t->group, &t->offsets));
	status = groups_topics(r->g, &t->offsets);
	for (size_t i = 0; status == TOOL_OK && i < t->offsets.count; i++)
		if (t->offsets.items[i].partition < 0)
			status = tool_fail(r->g->tool,
			    "there is no topic \"%.*s\"; barnabas topics "
			    "--list shows them; nothing is reset",
			    SLICE_ARGS(t->offsets.items[i].topic));
	return (status);
}

static int
commit_error(const void *response)
{
	const struct offset_commit_response *r = response;

	for (int32_t t = 0; t < r->topics_count; t++)
		for (int32_t p = 0; p < r->topics[t].partitions_count; p++)
			if (r->topics[t].partitions[p].error_code != ERR_NONE)
				return (r->topics[t].partitions[p].error_code);
	return (ERR_NONE);
}

static void
commit_request(struct arena *arena, const struct target *t,
    struct offset_commit_request *request)
{
	const struct group_offsets *offsets = &t->offsets;
	size_t same;

	wire_init(&message_offset_commit_request, request);
	request->group_id = t->group->id;
	request->topics = wire_array(arena,
	    offset_commit_request_topic_schema(), offsets->count);
	CHECK(request->topics != NULL);
	for (size_t first = 0; first < offsets->count; first += same) {
		struct offset_commit_request_topic *topic =
		    &request->topics[request->topics_count++];

		same = group_offsets_same_topic(offsets, first);
		topic->name = offsets->items[first].topic;
		topic->partitions = wire_array(arena,
		    offset_commit_request_partition_schema(), same);
		CHECK(topic->partitions != NULL);
		topic->partitions_count = (int32_t)same;
		for (size_t i = 0; i < same; i++) {
			topic->partitions[i].partition_index =
			    offsets->items[first + i].partition;
			topic->partitions[i].committed_offset =
			    offsets->items[first + i].offset;
			topic->partitions[i].committed_metadata = SLICE_EMPTY;
		}
	}
}

static int
target_commit(struct reset *r, struct target *t)
{
	struct offset_commit_request request;
	struct offset_commit_response response;
	const struct group_question question = {
		.api_key = API_OFFSET_COMMIT,
		.request = &request,
		.response = &response,
		.error = commit_error,
	};
	struct buffer text = BUFFER_EMPTY;
	int error;
	int status;

	commit_request(client_arena(r->g->client), t, &request);
	status = group_ask(r->g, t->group, &question, &error);
	if (status == TOOL_OK && error != ERR_NONE) {
		group_error_text(error, &text);
		status = tool_fail(r->g->tool,
		    "group \"%.*s\" is not reset, or not all of it: %s",
		    SLICE_ARGS(t->group->id), buffer_text(&text));
	}
	buffer_fini(&text);
	return (status);
}

static int
target_reset(struct reset *r, struct target *t)
{
	const struct scenario *scenario = scenarios;
	int status = TOOL_OK;

	while (!args_has(r->g->args, scenario->option))
		scenario++;
	if (scenario->run != from_file)
		status = partitions_wanted(r, t);
	if (status == TOOL_OK)
		status = scenario->run(r, t);
	if (status == TOOL_OK && r->execute && t->offsets.count != 0)
		status = target_commit(r, t);
	return (status);
}

/* A group with members would go on from its own offsets, and write them. */
static int
target_try(struct reset *r, struct target *t)
{
	const struct describe_groups_response_group *facts;
	const int status = group_describe(r->g, t->group, &facts);

	if (status != TOOL_OK)
		return (status);
	t->group->state = facts->group_state;
	if (slice_equal_text(facts->group_state, "Empty") ||
	    slice_equal_text(facts->group_state, "Dead"))
		return (target_reset(r, t));
	t->refused = true;
	groups_print_error(r->g,
	    "Assignments can only be reset if the group '%.*s' is inactive, "
	    "but the current state is %.*s.",
	    SLICE_ARGS(t->group->id), SLICE_ARGS(facts->group_state));
	return (TOOL_OK);
}

/* --- printing ------------------------------------------------------------- */

static void
print_heads(struct buffer *out)
{
	buffer_append_text(out, "\n");
	column_put(out, SLICE_LITERAL("GROUP"), NAME_WIDTH + 1);
	column_put(out, SLICE_LITERAL("TOPIC"), NAME_WIDTH + 1);
	column_put(out, SLICE_LITERAL("PARTITION"), NUMBER_WIDTH + 1);
	column_put(out, SLICE_LITERAL("NEW-OFFSET"), OFFSET_WIDTH);
	buffer_append_text(out, "\n");
}

/* A line each; Kafka 3.9's tool puts all into one. */
static void
print_text(struct buffer *out, const struct target *t)
{
	for (size_t i = 0; i < t->offsets.count; i++) {
		column_put(out, t->group->id, NAME_WIDTH);
		buffer_append_text(out, " ");
		column_put(out, t->offsets.items[i].topic, NAME_WIDTH);
		buffer_append_text(out, " ");
		column_put_int(out, t->offsets.items[i].partition,
		    NUMBER_WIDTH);
		buffer_append_text(out, " ");
		column_put_int(out, t->offsets.items[i].offset, OFFSET_WIDTH);
		buffer_append_text(out, "\n");
	}
}

static void
print_json(struct json_out *json, const struct target *t)
{
	json_open(json, NULL, '{');
	json_text(json, "group", t->group->id);
	json_text(json, "state", t->group->state);
	json_bool(json, "refused", t->refused);
	json_open(json, "partitions", '[');
	for (size_t i = 0; i < t->offsets.count; i++) {
		json_open(json, NULL, '{');
		json_text(json, "topic", t->offsets.items[i].topic);
		json_int(json, "partition", t->offsets.items[i].partition);
		json_int(json, "newOffset", t->offsets.items[i].offset);
		json_close(json, '}');
	}
	json_close(json, ']');
	json_close(json, '}');
}

static void
reset_json(const struct reset *r, const struct target *targets, size_t count)
{
	struct json_out json;

	json_init(&json, &r->g->out);
	json_open(&json, NULL, '{');
	json_bool(&json, "executed", r->execute);
	json_open(&json, "groups", '[');
	for (size_t i = 0; i < count; i++)
		print_json(&json, &targets[i]);
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

/* With one --group the lines do not name it. */
static const char *
only_group(const struct args *args)
{
	size_t at = 0;
	const char *first = args_next(args, "group", &at);

	return (args_next(args, "group", &at) == NULL ? first : NULL);
}

static void
reset_print(const struct reset *r, const struct target *targets, size_t count)
{
	struct buffer *out = &r->g->out;

	if (r->g->json) {
		reset_json(r, targets, count);
	} else if (args_has(r->g->args, "export")) {
		for (size_t t = 0; t < count; t++)
			for (size_t i = 0; i < targets[t].offsets.count; i++)
				plan_put(only_group(r->g->args) != NULL
					? SLICE_NULL
					: targets[t].group->id,
				    &targets[t].offsets.items[i], out);
		buffer_append_text(out, "\n");
	} else if (count != 0) {
		print_heads(out);
		for (size_t t = 0; t < count; t++)
			print_text(out, &targets[t]);
	}
}

/* --- all of it ------------------------------------------------------------ */

static int
read_plan(struct reset *r)
{
	const char *path = args_text(r->g->args, "from-file");
	struct buffer text = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	int status = TOOL_OK;

	if (path == NULL)
		return (TOOL_OK);
	if (!read_file(path, PLAN_BYTES_MAX, &text))
		status = tool_fail(r->g->tool, "%s: %s", path,
		    strerror(errno));
	else if (!plan_parse(buffer_slice(&text), only_group(r->g->args),
		     client_arena(r->g->client), &r->plan, &why))
		status = tool_fail(r->g->tool, "%s: %s; nothing is reset",
		    path, buffer_text(&why));
	buffer_fini(&text);
	buffer_fini(&why);
	return (status);
}

static int
read_time(struct reset *r)
{
	const char *date = args_text(r->g->args, "to-datetime");
	const char *span = args_text(r->g->args, "by-duration");
	int64_t ms;

	if (date != NULL && !datetime_parse(slice_of_text(date), &r->time_ms))
		return (tool_usage(r->g->tool,
		    "--to-datetime is like 2024-08-20T15:47:54.073, with "
		    "Z or +02:00 behind it when it is not UTC, not \"%s\"",
		    date));
	if (span != NULL) {
		if (!duration_parse(slice_of_text(span), &ms))
			return (tool_usage(r->g->tool,
			    "--by-duration is like P1DT2H30M or PT15M, not "
			    "\"%s\"",
			    span));
		r->time_ms = clock_wall_ms(clock_system()) - ms;
	}
	/* Negative ones mean something else to ListOffsets. */
	if (r->time_ms < 0)
		r->time_ms = 0;
	return (TOOL_OK);
}

static int
reset_run(struct reset *r, struct group_list *list)
{
	struct target *targets =
	    mem_zalloc((list->count + 1) * sizeof(*targets));
	int status = TOOL_OK;
	size_t done = 0;

	while (status == TOOL_OK && done < list->count) {
		targets[done].group = &list->items[done];
		status = target_try(r, &targets[done]);
		done += status == TOOL_OK;
	}
	/* Groups before the one that failed are reset, and told. */
	if (status == TOOL_OK || (r->execute && done != 0))
		reset_print(r, targets, done);
	for (size_t i = 0; i < list->count; i++)
		group_offsets_fini(&targets[i].offsets);
	mem_free(targets);
	return (status);
}

int
groups_reset(struct groups *g)
{
	struct reset r = {
		.g = g,
		.execute = args_has(g->args, "execute"),
	};
	struct group_list list = { 0 };
	int status = read_time(&r);

	if (status == TOOL_OK && !r.execute && !args_has(g->args, "dry-run"))
		tool_warn(g->tool,
		    "nothing is reset without --execute; say --dry-run if "
		    "that is meant");
	if (status == TOOL_OK)
		status = read_plan(&r);
	if (status == TOOL_OK)
		status = groups_wanted(g, &list);
	if (status == TOOL_OK)
		status = reset_run(&r, &list);
	group_list_fini(&list);
	plan_fini(&r.plan);
	return (status);
}
