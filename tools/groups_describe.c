/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas groups --describe: offsets, members or state.  Members stand by how
 * much they have, partitions by topic and number; in the text a line begins
 * with its end of line, as in Kafka's tool, so that tables stand together.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tools/columns.h"
#include "tools/get_offsets.h"
#include "tools/groups.h"
#include "tools/json_out.h"
#include "tools/progress.h"

#define NAME_WIDTH 15
#define INSTANCE_WIDTH 17
#define NUMBER_WIDTH 10
#define COORDINATOR_WIDTH 25
#define STRATEGY_WIDTH 20
#define NOTHING SLICE_LITERAL("-")

struct member {
	const struct describe_groups_response_member *facts;
	struct group_offsets assigned;
};

/* A group with all that is shown of it. */
struct described {
	struct group *group;
	const struct describe_groups_response_group *facts;
	struct member *members;
	size_t member_count;
	/* For offsets. */
	struct group_offsets committed;
	struct group_offsets ends; /* of all partitions; -1: not known */
};

static struct slice
state_of(const struct described *d)
{
	return (d->facts->group_state);
}

/* --- what Kafka's tool says beside ---------------------------------------- */

/* Whether there is something to show. */
static bool
describe_heading(struct groups *g, const struct described *d)
{
	const struct slice state = state_of(d);

	if (slice_equal_text(state, "Dead")) {
		groups_print_error(g, "Consumer group '%.*s' does not exist.",
		    SLICE_ARGS(d->group->id));
		return (false);
	}
	if (g->json || slice_equal_text(state, "Stable"))
		return (true);
	tool_print(g->tool, &g->out);
	if (slice_equal_text(state, "Empty"))
		fprintf(g->tool->err,
		    "\nConsumer group '%.*s' has no active members.\n",
		    SLICE_ARGS(d->group->id));
	else
		fprintf(g->tool->err,
		    "\nWarning: Consumer group '%.*s' is rebalancing.\n",
		    SLICE_ARGS(d->group->id));
	return (true);
}

/* --- offsets -------------------------------------------------------------- */

/* The partitions that members have, then those that only have offsets. */
static void
ends_gather(struct described *d)
{
	for (size_t m = 0; m < d->member_count; m++)
		for (size_t i = 0; i < d->members[m].assigned.count; i++)
			group_offsets_add(&d->ends,
			    d->members[m].assigned.items[i].topic,
			    d->members[m].assigned.items[i].partition, -1);
	for (size_t i = 0; i < d->committed.count; i++)
		group_offsets_add(&d->ends, d->committed.items[i].topic,
		    d->committed.items[i].partition, -1);
	group_offsets_sort(&d->ends);
}

/* A partition whose leader does not answer is shown without its end. */
static void
ends_ask(struct groups *g, struct described *d)
{
	struct leader_item *items =
	    mem_zalloc((d->ends.count + 1) * sizeof(*items));
	struct buffer text = BUFFER_EMPTY;
	struct progress progress;

	for (size_t i = 0; i < d->ends.count; i++) {
		items[i].topic = d->ends.items[i].topic;
		items[i].partition = d->ends.items[i].partition;
		items[i].asked = OFFSETS_LATEST;
	}
	progress_begin(&progress, g->tool, "partitions answered",
	    d->ends.count);
	if (d->ends.count != 0)
		leaders_ask(g->client, items, d->ends.count, offsets_ask,
		    &progress);
	progress_end(&progress, d->ends.count);
	for (size_t i = 0; i < d->ends.count; i++) {
		if (items[i].error == ERR_NONE && items[i].why == NULL) {
			d->ends.items[i].offset = items[i].offset;
			continue;
		}
		text.length = 0;
		leader_item_name(&items[i], &text);
		buffer_append_text(&text, ": its end is not known: ");
		leader_item_error(&items[i], &text);
		tool_warn(g->tool, "%s", buffer_text(&text));
	}
	buffer_fini(&text);
	mem_free(items);
}

/* One line. */
struct line {
	struct slice group;
	const struct group_offset *at;
	int64_t committed; /* -1: none */
	int64_t end;       /* likewise */
	struct slice member;
	struct slice host;
	struct slice client;
};

typedef void line_user(void *arg, const struct line *line);

static int64_t
offset_of(const struct group_offsets *offsets, const struct group_offset *at)
{
	const struct group_offset *found =
	    group_offsets_find(offsets, at->topic, at->partition);

	return (found == NULL ? -1 : found->offset);
}

static bool
is_assigned(const struct described *d, const struct group_offset *at)
{
	for (size_t m = 0; m < d->member_count; m++)
		if (group_offsets_find(&d->members[m].assigned, at->topic,
			at->partition) != NULL)
			return (true);
	return (false);
}

static void
each_line(const struct described *d, line_user *use, void *arg)
{
	struct line line = { .group = d->group->id };

	for (size_t m = 0; m < d->member_count; m++) {
		const struct member *member = &d->members[m];

		line.member = member->facts->member_id;
		line.host = member->facts->client_host;
		line.client = member->facts->client_id;
		for (size_t i = 0; i < member->assigned.count; i++) {
			line.at = &member->assigned.items[i];
			line.committed = offset_of(&d->committed, line.at);
			line.end = offset_of(&d->ends, line.at);
			use(arg, &line);
		}
	}
	line.member = line.host = line.client = SLICE_NULL;
	for (size_t i = 0; i < d->committed.count; i++) {
		line.at = &d->committed.items[i];
		line.committed = line.at->offset;
		line.end = offset_of(&d->ends, line.at);
		if (!is_assigned(d, line.at))
			use(arg, &line);
	}
}

struct offsets_table {
	struct buffer *out;
	size_t group;
	size_t topic;
	size_t member;
	size_t host;
	size_t lines;
};

static struct slice
or_nothing(struct slice text)
{
	return (text.data == NULL ? NOTHING : text);
}

static void
line_measure(void *arg, const struct line *line)
{
	struct offsets_table *t = arg;

	t->group = column_widest(t->group, line->group);
	t->topic = column_widest(t->topic, line->at->topic);
	t->member = column_widest(t->member, or_nothing(line->member));
	t->host = column_widest(t->host, or_nothing(line->host));
	t->lines++;
}

static void
put_number(struct buffer *out, bool known, int64_t number)
{
	if (known)
		column_put_int(out, number, NAME_WIDTH);
	else
		column_put(out, NOTHING, NAME_WIDTH);
	buffer_append_text(out, " ");
}

static void
put_text(struct buffer *out, struct slice text, size_t width)
{
	column_put(out, text, width);
	buffer_append_text(out, " ");
}

static void
line_print(void *arg, const struct line *line)
{
	struct offsets_table *t = arg;
	struct buffer *out = t->out;

	buffer_append_text(out, "\n");
	put_text(out, line->group, t->group);
	put_text(out, line->at->topic, t->topic);
	column_put_int(out, line->at->partition, NUMBER_WIDTH);
	buffer_append_text(out, " ");
	put_number(out, line->committed >= 0, line->committed);
	put_number(out, line->end >= 0, line->end);
	put_number(out, line->committed >= 0 && line->end >= 0,
	    line->end - line->committed);
	put_text(out, or_nothing(line->member), t->member);
	put_text(out, or_nothing(line->host), t->host);
	buffer_append_slice(out, or_nothing(line->client));
}

static void
offsets_print(struct groups *g, const struct described *d)
{
	struct offsets_table t = { .out = &g->out, .group = NAME_WIDTH,
		.topic = NAME_WIDTH, .member = NAME_WIDTH,
		.host = NAME_WIDTH };

	if (!describe_heading(g, d))
		return;
	each_line(d, line_measure, &t);
	if (t.lines == 0)
		return;
	buffer_append_text(&g->out, "\n");
	put_text(&g->out, SLICE_LITERAL("GROUP"), t.group);
	put_text(&g->out, SLICE_LITERAL("TOPIC"), t.topic);
	buffer_append_text(&g->out, "PARTITION  CURRENT-OFFSET  "
				    "LOG-END-OFFSET  LAG             ");
	put_text(&g->out, SLICE_LITERAL("CONSUMER-ID"), t.member);
	put_text(&g->out, SLICE_LITERAL("HOST"), t.host);
	buffer_append_text(&g->out, "CLIENT-ID");
	each_line(d, line_print, &t);
}

static void
json_offset(struct json_out *json, const char *name, bool known,
    int64_t number)
{
	if (known)
		json_int(json, name, number);
	else
		json_none(json, name);
}

static void
line_json(void *arg, const struct line *line)
{
	struct json_out *json = arg;

	json_open(json, NULL, '{');
	json_text(json, "topic", line->at->topic);
	json_int(json, "partition", line->at->partition);
	json_offset(json, "currentOffset", line->committed >= 0,
	    line->committed);
	json_offset(json, "logEndOffset", line->end >= 0, line->end);
	json_offset(json, "lag", line->committed >= 0 && line->end >= 0,
	    line->end - line->committed);
	json_text(json, "consumerId", line->member);
	json_text(json, "host", line->host);
	json_text(json, "clientId", line->client);
	json_close(json, '}');
}

static void
offsets_json(struct json_out *json, const struct described *d)
{
	json_open(json, "partitions", '[');
	each_line(d, line_json, json);
	json_close(json, ']');
}

/* --- members -------------------------------------------------------------- */

static int
text_compare(const void *a, const void *b)
{
	return (slice_compare(*(const struct slice *)a,
	    *(const struct slice *)b));
}

/* Joins texts in their order as texts, which is Kafka's: 0,1,10,2. */
static void
put_sorted(struct slice *texts, size_t count, const char *between,
    struct buffer *out)
{
	qsort(texts, count, sizeof(*texts), text_compare);
	for (size_t i = 0; i < count; i++) {
		buffer_append_text(out, i == 0 ? "" : between);
		buffer_append_slice(out, texts[i]);
	}
}

/* "(0,1)", of one topic. */
static struct slice
numbers_text(struct arena *arena, const struct group_offset *items,
    size_t count)
{
	struct slice *numbers = arena_array(arena, count, sizeof(*numbers));
	struct buffer text = BUFFER_EMPTY;
	struct slice copy;
	bool good = numbers != NULL;

	CHECK(good);
	for (size_t i = 0; i < count; i++)
		numbers[i] = slice_of_text(
		    arena_printf(arena, "%d", items[i].partition));
	buffer_append_text(&text, "(");
	put_sorted(numbers, count, ",", &text);
	buffer_append_text(&text, ")");
	copy = arena_slice_copy(arena, buffer_slice(&text), &good);
	CHECK(good);
	buffer_fini(&text);
	return (copy);
}

/* "(0,1), (2)": Kafka's tool does not say of which topics. */
static void
put_assignment(struct groups *g, const struct group_offsets *assigned)
{
	struct arena *arena = client_arena(g->client);
	struct slice *topics = arena_array(arena, assigned->count + 1,
	    sizeof(*topics));
	size_t count = 0;
	size_t same;

	CHECK(topics != NULL);
	if (assigned->count == 0) {
		buffer_append_slice(&g->out, NOTHING);
		return;
	}
	for (size_t i = 0; i < assigned->count; i += same) {
		same = group_offsets_same_topic(assigned, i);
		topics[count++] =
		    numbers_text(arena, &assigned->items[i], same);
	}
	put_sorted(topics, count, ", ", &g->out);
}

struct members_table {
	size_t group;
	size_t member;
	size_t instance;
	size_t host;
	size_t client;
	bool instances; /* some member has one */
};

static void
put_member(struct groups *g, const struct members_table *t,
    const struct line *line, struct slice instance)
{
	put_text(&g->out, line->group, t->group);
	put_text(&g->out, line->member, t->member);
	if (t->instances)
		put_text(&g->out, instance, t->instance);
	put_text(&g->out, line->host, t->host);
	put_text(&g->out, line->client, t->client);
}

static void
members_measure(const struct described *d, struct members_table *t)
{
	*t = (struct members_table) { .group = NAME_WIDTH,
		.member = NAME_WIDTH, .instance = INSTANCE_WIDTH,
		.host = NAME_WIDTH, .client = NAME_WIDTH };
	for (size_t m = 0; m < d->member_count; m++) {
		const struct describe_groups_response_member *facts =
		    d->members[m].facts;

		t->group = column_widest(t->group, d->group->id);
		t->member = column_widest(t->member, facts->member_id);
		t->instance =
		    column_widest(t->instance, facts->group_instance_id);
		t->host = column_widest(t->host, facts->client_host);
		t->client = column_widest(t->client, facts->client_id);
		t->instances =
		    t->instances || facts->group_instance_id.length != 0;
	}
}

static void
members_print(struct groups *g, const struct described *d)
{
	const struct line heads = { .group = SLICE_LITERAL("GROUP"),
		.member = SLICE_LITERAL("CONSUMER-ID"),
		.host = SLICE_LITERAL("HOST"),
		.client = SLICE_LITERAL("CLIENT-ID") };
	const bool verbose = args_has(g->args, "verbose");
	struct members_table t;

	(void)describe_heading(g, d);
	members_measure(d, &t);
	buffer_append_text(&g->out, "\n");
	put_member(g, &t, &heads, SLICE_LITERAL("GROUP-INSTANCE-ID"));
	put_text(&g->out, SLICE_LITERAL("#PARTITIONS"), NAME_WIDTH);
	buffer_append_text(&g->out, verbose ? "ASSIGNMENT\n" : "\n");
	for (size_t m = 0; m < d->member_count; m++) {
		const struct member *member = &d->members[m];
		const struct line line = { .group = d->group->id,
			.member = member->facts->member_id,
			.host = member->facts->client_host,
			.client = member->facts->client_id };

		put_member(g, &t, &line, member->facts->group_instance_id);
		column_put_int(&g->out, (int64_t)member->assigned.count,
		    NAME_WIDTH);
		buffer_append_text(&g->out, " ");
		if (verbose)
			put_assignment(g, &member->assigned);
		buffer_append_text(&g->out, "\n");
	}
}

static void
json_assignment(struct json_out *json, const struct group_offsets *assigned)
{
	size_t same;

	json_open(json, "assignment", '[');
	for (size_t i = 0; i < assigned->count; i += same) {
		same = group_offsets_same_topic(assigned, i);
		json_open(json, NULL, '{');
		json_text(json, "topic", assigned->items[i].topic);
		json_open(json, "partitions", '[');
		for (size_t k = 0; k < same; k++)
			json_int(json, NULL, assigned->items[i + k].partition);
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void
members_json(struct json_out *json, const struct described *d)
{
	json_open(json, "members", '[');
	for (size_t m = 0; m < d->member_count; m++) {
		const struct member *member = &d->members[m];

		json_open(json, NULL, '{');
		json_text(json, "consumerId", member->facts->member_id);
		json_text(json, "groupInstanceId",
		    member->facts->group_instance_id);
		json_text(json, "host", member->facts->client_host);
		json_text(json, "clientId", member->facts->client_id);
		json_int(json, "partitions", (int64_t)member->assigned.count);
		json_assignment(json, &member->assigned);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* --- state ---------------------------------------------------------------- */

static void
state_print(struct groups *g, const struct described *d)
{
	const struct group *group = d->group;
	struct buffer text = BUFFER_EMPTY;
	size_t width;

	if (!describe_heading(g, d))
		return;
	buffer_printf(&text, "%.*s:%d  (%d)", SLICE_ARGS(group->host),
	    group->port, group->coordinator);
	width = column_widest(COORDINATOR_WIDTH, buffer_slice(&text));
	buffer_append_text(&g->out, "\n");
	put_text(&g->out, SLICE_LITERAL("GROUP"), width);
	put_text(&g->out, SLICE_LITERAL("COORDINATOR (ID)"),
	    COORDINATOR_WIDTH);
	put_text(&g->out, SLICE_LITERAL("ASSIGNMENT-STRATEGY"),
	    STRATEGY_WIDTH);
	put_text(&g->out, SLICE_LITERAL("STATE"), NAME_WIDTH);
	buffer_append_text(&g->out, "#MEMBERS\n");
	put_text(&g->out, group->id, width);
	put_text(&g->out, buffer_slice(&text), COORDINATOR_WIDTH);
	put_text(&g->out, d->facts->protocol_data, STRATEGY_WIDTH);
	put_text(&g->out, state_of(d), NAME_WIDTH);
	buffer_printf(&g->out, "%zu\n", d->member_count);
	buffer_fini(&text);
}

static void
state_json(struct json_out *json, const struct described *d)
{
	json_open(json, "coordinator", '{');
	json_int(json, "id", d->group->coordinator);
	json_text(json, "host", d->group->host);
	json_int(json, "port", d->group->port);
	json_close(json, '}');
	json_text(json, "assignmentStrategy", d->facts->protocol_data);
	json_int(json, "members", (int64_t)d->member_count);
}

/* --- all of it ------------------------------------------------------------ */

static int
member_compare(const void *a, const void *b)
{
	const struct member *x = a;
	const struct member *y = b;

	if (x->assigned.count != y->assigned.count)
		return (x->assigned.count > y->assigned.count ? -1 : 1);
	return (slice_compare(x->facts->member_id, y->facts->member_id));
}

/* TOOL_OK, or said; described_fini() in any case. */
static int
described_init(struct groups *g, struct group *group, struct described *d)
{
	int status;

	*d = (struct described) { .group = group };
	status = group_describe(g, group, &d->facts);
	if (status != TOOL_OK)
		return (status);
	d->member_count = (size_t)d->facts->members_count;
	d->members = mem_zalloc((d->member_count + 1) * sizeof(*d->members));
	for (size_t m = 0; m < d->member_count; m++) {
		d->members[m].facts = &d->facts->members[m];
		group_assignment(g, d->facts->members[m].member_assignment,
		    &d->members[m].assigned);
	}
	if (d->member_count > 1)
		qsort(d->members, d->member_count, sizeof(*d->members),
		    member_compare);
	return (TOOL_OK);
}

static void
described_fini(struct described *d)
{
	for (size_t m = 0; m < d->member_count; m++)
		group_offsets_fini(&d->members[m].assigned);
	mem_free(d->members);
	group_offsets_fini(&d->committed);
	group_offsets_fini(&d->ends);
}

static int
offsets_ready(struct groups *g, struct described *d)
{
	const int status = group_committed(g, d->group, &d->committed);

	if (status != TOOL_OK)
		return (status);
	ends_gather(d);
	ends_ask(g, d);
	return (TOOL_OK);
}

struct view {
	const char *option;
	int (*ready)(struct groups *g, struct described *d);
	void (*print)(struct groups *g, const struct described *d);
	void (*json)(struct json_out *json, const struct described *d);
};

static const struct view views[] = {
	{ "members", NULL, members_print, members_json },
	{ "state", NULL, state_print, state_json },
	{ NULL, offsets_ready, offsets_print, offsets_json },
};

static const struct view *
view_wanted(const struct groups *g)
{
	const struct view *view = views;

	while (view->option != NULL && !args_has(g->args, view->option))
		view++;
	return (view);
}

static int
describe_one(struct groups *g, const struct view *view, struct group *group,
    struct json_out *json)
{
	struct described d;
	int status = described_init(g, group, &d);

	if (status == TOOL_OK && view->ready != NULL)
		status = view->ready(g, &d);
	if (status == TOOL_OK && !g->json) {
		view->print(g, &d);
	} else if (status == TOOL_OK) {
		json_open(json, NULL, '{');
		json_text(json, "group", group->id);
		json_text(json, "state", state_of(&d));
		view->json(json, &d);
		json_close(json, '}');
	}
	described_fini(&d);
	return (status);
}

int
groups_describe(struct groups *g)
{
	const struct view *view = view_wanted(g);
	struct group_list list;
	struct json_out json;
	int status = groups_wanted(g, &list);

	json_init(&json, &g->out);
	if (g->json && status == TOOL_OK) {
		json_open(&json, NULL, '{');
		json_open(&json, "groups", '[');
	}
	for (size_t i = 0; status == TOOL_OK && i < list.count; i++)
		status = describe_one(g, view, &list.items[i], &json);
	if (g->json && status == TOOL_OK) {
		json_close(&json, ']');
		json_close(&json, '}');
		json_end(&json);
	} else if (g->json) {
		g->out.length = 0;
	} else if (g->out.length != 0 &&
	    g->out.data[g->out.length - 1] != '\n') {
		buffer_append_text(&g->out, "\n");
	}
	group_list_fini(&list);
	return (status);
}
