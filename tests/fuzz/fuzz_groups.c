/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the records of a partition of __consumer_offsets, which is
 * loaded again and again, and as what members send to its groups.  The input is
 * a row of {uint8 what, uint8 which, uint16 size, bytes}: records whose keys or
 * values are raw, or have a good beginning; ends of transactions; requests; and
 * time.
 */
#include "../unit/groups_rig.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "group/members_int.h"
#include "group/offsets_int.h"

/* Writes and asks of one input. */
#define MOST 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A request and its answer, until all is over. */
struct asked {
	struct list link;
	struct group_ask ask;
	struct arena arena;
	bool joins;
	struct group_commit commit;
	struct group_part part;
	struct delete_groups_response_group deleted;
	struct list_groups_request listing;
	union {
		struct join_group_response join;
		struct sync_group_response sync;
		struct heartbeat_response heartbeat;
		struct leave_group_response leave;
		struct list_groups_response list;
	} r;
};

struct house {
	struct rig rig;
	struct asked *joined; /* the last one that was answered an id */
};

/* One piece of the input. */
struct step {
	uint8_t what;
	uint8_t which;
	struct slice bytes;
};

/* Every partition of any topic is led, but for some. */
static bool
high_watermark(void *arg, struct slice topic, int32_t partition, int64_t *out)
{
	(void)arg;
	(void)topic;
	*out = 100;
	return (partition % 3 != 0);
}

static void
house_init(struct house *h)
{
	rig_begin(&h->rig);
	h->joined = NULL;
	h->rig.options.lag_max = 5;
	h->rig.options.max_size = 3;
	rig_groups(&h->rig, high_watermark, NULL);
}

static void
house_fini(struct house *h)
{
	struct list *link;

	groups_stop(h->rig.groups);
	rig_run(&h->rig, 0);
	CHECK(metrics_value(h->rig.metrics, METRIC_GROUPS) == 0);
	CHECK(metrics_value(h->rig.metrics, METRIC_GROUP_OFFSETS) == 0);
	while ((link = list_pop_head(&h->rig.asked)) != NULL) {
		struct asked *a = list_entry(link, struct asked, link);

		CHECK(a->ask.done && a->ask.wait == NULL);
		arena_fini(&a->arena);
		mem_free(a);
	}
	rig_end(&h->rig);
}

/* --- records -------------------------------------------------------------- */

static struct slice
name_of(const char *const *names, unsigned which)
{
	return (slice_of_text(names[which % 4]));
}

static struct slice
group_of(const struct step *s)
{
	static const char *const names[] = { "g", "", "group", "h" };

	return (name_of(names, s->which));
}

static struct slice
topic_of(const struct step *s)
{
	static const char *const names[] = { "t", "u", "topic", "" };

	return (name_of(names, s->which >> 2));
}

/* The first byte tells how long the key is. */
static void
put_raw(struct house *h, const struct step *s)
{
	const size_t most = s->bytes.length == 0 ? 0 : s->bytes.length - 1;
	const size_t key = most == 0 || s->bytes.data[0] > most ? most :
	    s->bytes.data[0];

	if (most == 0)
		return;
	fake_coord_put(h->rig.coord, slice_of(s->bytes.data + 1, key),
	    (s->which & 1) != 0 ? SLICE_NULL :
	    slice_of(s->bytes.data + 1 + key, most - key),
	    (s->which & 2) != 0 ? s->which >> 2 : -1);
}

/* A good key before a value whose version is a known one. */
static void
put_value(struct house *h, const struct step *s, bool of_group)
{
	struct buffer key = BUFFER_EMPTY, value = BUFFER_EMPTY;

	if (of_group)
		CHECK(group_append_group_key(&key, group_of(s)));
	else
		CHECK(group_append_offset_key(&key, group_of(s), topic_of(s),
		    s->which >> 4));
	bytes_put_i16(buffer_extend(&value, 2), s->which % 5);
	buffer_append_slice(&value, s->bytes);
	fake_coord_put(h->rig.coord, buffer_slice(&key), s->bytes.length == 0 ?
	    SLICE_NULL : buffer_slice(&value),
	    !of_group && (s->what & 0x80) != 0 ? s->which >> 6 : -1);
	buffer_fini(&key);
	buffer_fini(&value);
}

/* One whose offset is good, of a transaction or not. */
static void
put_offset(struct house *h, const struct step *s)
{
	struct buffer key = BUFFER_EMPTY, value = BUFFER_EMPTY;

	CHECK(group_append_offset_key(&key, group_of(s), topic_of(s),
	    s->which >> 4));
	CHECK(group_append_offset_value(&value, &(struct group_offset){
	    .offset = (int64_t)s->bytes.length,
	    .leader_epoch = -1,
	    .metadata = s->bytes.length > 20 ? SLICE_LITERAL("note") :
						SLICE_EMPTY,
	    .commit_ms = WALL_MS,
	    .expire_ms = s->bytes.length > 30 ? WALL_MS + 1 : -1,
	}));
	fake_coord_put(h->rig.coord, buffer_slice(&key), buffer_slice(&value),
	    (s->what & 0x80) != 0 ? s->which >> 6 : -1);
	buffer_fini(&key);
	buffer_fini(&value);
}

/* --- requests ------------------------------------------------------------- */

static struct asked *
asked_new(struct house *h, int version)
{
	struct asked *a = mem_zalloc(sizeof(*a));

	arena_init(&a->arena, 1 << 20);
	a->ask = (struct group_ask){
		.version = version,
		.client_id = SLICE_LITERAL("client"),
		.client_host = "/127.0.0.1",
		.arena = &a->arena,
		.task = { .loop = h->rig.loop },
		.response = &a->r,
	};
	list_push_tail(&h->rig.asked, &a->link);
	return (a);
}

/* The id that a join was answered, or a wrong one. */
static struct slice
member_of(const struct house *h, const struct step *s)
{
	if ((s->which & 0x80) != 0)
		return (SLICE_LITERAL("m0"));
	return (h->joined == NULL || (s->which & 0x40) != 0 ? SLICE_EMPTY :
	    h->joined->r.join.member_id);
}

static struct slice
instance_of(const struct step *s)
{
	return ((s->which & 0x20) != 0 ? SLICE_LITERAL("i") : SLICE_NULL);
}

static int32_t
generation_of(const struct house *h)
{
	return (h->joined == NULL ? 4 : h->joined->r.join.generation_id);
}

static void
ask_join(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, s->what >> 4);
	struct join_group_request_protocol protocols[2] = {
		{ SLICE_LITERAL("range"), s->bytes },
		{ SLICE_LITERAL("other"), SLICE_EMPTY },
	};
	struct join_group_request request;

	wire_init(&message_join_group_request, &request);
	wire_init(&message_join_group_response, &a->r.join);
	a->joins = true;
	request.group_id = group_of(s);
	request.member_id = member_of(h, s);
	request.group_instance_id = instance_of(s);
	request.session_timeout_ms = 10000;
	request.rebalance_timeout_ms = (s->which & 4) != 0 ? 0 : 60000;
	request.protocol_type = (s->which & 8) != 0 ? SLICE_LITERAL("other") :
	    SLICE_LITERAL("consumer");
	request.protocols = protocols;
	request.protocols_count = 1 + (s->which >> 4 & 1);
	a->ask.done = group_join(h->rig.groups, &request, &a->ask);
}

static void
ask_sync(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, 4);
	struct sync_group_request_assignment rows[] = {
		{ member_of(h, s), s->bytes },
		{ SLICE_LITERAL("m0"), SLICE_LITERAL("A") },
	};
	struct sync_group_request request;

	wire_init(&message_sync_group_request, &request);
	wire_init(&message_sync_group_response, &a->r.sync);
	request.group_id = group_of(s);
	request.member_id = member_of(h, s);
	request.group_instance_id = instance_of(s);
	request.generation_id = generation_of(h);
	request.assignments = rows;
	request.assignments_count = 2;
	a->ask.done = group_sync(h->rig.groups, &request, &a->ask);
}

static void
ask_leave(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, 5);
	struct leave_group_request_member member = {
		.member_id = member_of(h, s),
		.group_instance_id = instance_of(s),
		.reason = s->bytes,
	};
	const struct leave_group_request request = {
		.group_id = group_of(s),
		.members = &member,
		.members_count = 1,
	};

	wire_init(&message_leave_group_response, &a->r.leave);
	a->ask.done = group_leave(h->rig.groups, &request, &a->ask);
}

static void
ask_commit(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, 8);

	a->part = (struct group_part){
		.topic = topic_of(s),
		.partition = s->which >> 4,
		.offset = (int64_t)s->bytes.length,
		.leader_epoch = -1,
		.metadata = SLICE_EMPTY,
		.commit_ms = -1,
	};
	a->commit = (struct group_commit){
		.group_id = group_of(s),
		.member_id = (s->what & 0x80) != 0 ? member_of(h, s) :
						     SLICE_EMPTY,
		.instance_id = SLICE_NULL,
		.generation = (s->what & 0x80) != 0 ? generation_of(h) : -1,
		.retention_ms = (s->what & 0x40) != 0 ? 1 : -1,
		.parts = &a->part,
		.count = 1,
	};
	a->ask.done = group_commit(h->rig.groups, &a->commit, &a->ask);
}

static void
ask_describe(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, 5);
	struct describe_groups_response_group *out = wire_array(&a->arena,
	    describe_groups_response_group_schema(), 1);
	struct offset_fetch_response_group fetched = { 0 };
	const struct offset_fetch_request_group all = {
		.group_id = group_of(s),
	};

	CHECK(out != NULL);
	(void)group_describe(h->rig.groups, group_of(s), out, &a->ask);
	(void)group_fetch_offsets(h->rig.groups, &all, true, &fetched, &a->ask);
}

static void
ask_list(struct house *h)
{
	struct asked *a = asked_new(h, 5);

	wire_init(&message_list_groups_request, &a->listing);
	wire_init(&message_list_groups_response, &a->r.list);
	a->ask.done = group_list(h->rig.groups, &a->listing, &a->ask);
}

static void
ask_delete(struct house *h, const struct step *s)
{
	struct asked *a = asked_new(h, 2);

	a->ask.done = group_delete(h->rig.groups, group_of(s), &a->deleted,
	    &a->ask);
}

/* The oldest one that waits goes away. */
static void
forget_one(struct house *h)
{
	LIST_EACH(link, &h->rig.asked) {
		struct asked *a = list_entry(link, struct asked, link);

		if (a->ask.done)
			continue;
		group_forget(&a->ask);
		a->ask.done = true;
		return;
	}
}

/* Who joined last, and knows it. */
static void
learn_member(struct house *h)
{
	LIST_EACH(link, &h->rig.asked) {
		struct asked *a = list_entry(link, struct asked, link);

		if (a->joins && a->ask.done && !a->ask.refused &&
		    a->r.join.member_id.length > 0)
			h->joined = a;
	}
}

/* --- the input ------------------------------------------------------------ */

static bool
step_take(struct slice *rest, struct step *s)
{
	size_t length;

	if (rest->length < 4)
		return (false);
	s->what = rest->data[0];
	s->which = rest->data[1];
	length = bytes_get_u16(rest->data + 2);
	*rest = slice_of(rest->data + 4, rest->length - 4);
	if (length > rest->length)
		length = rest->length;
	s->bytes = slice_of(rest->data, length);
	*rest = slice_of(rest->data + length, rest->length - length);
	return (true);
}

static void
step_record(struct house *h, const struct step *s)
{
	switch (s->what % 16) {
	case 0:
		put_raw(h, s);
		break;
	case 1:
		put_value(h, s, true);
		break;
	case 2:
		put_value(h, s, false);
		break;
	case 3:
		put_offset(h, s);
		break;
	default:
		fake_coord_mark(h->rig.coord, s->which & 3,
		    (s->which & 4) != 0);
		if ((s->which & 8) != 0)
			fake_coord_hear(h->rig.coord);
	}
}

static void
step_ask(struct house *h, const struct step *s)
{
	switch (s->what % 16) {
	case 5:
		ask_join(h, s);
		break;
	case 6:
		ask_sync(h, s);
		break;
	case 7:
		ask_leave(h, s);
		break;
	case 8:
		ask_commit(h, s);
		break;
	case 9:
		ask_describe(h, s);
		break;
	case 10:
		ask_list(h);
		break;
	default:
		ask_delete(h, s);
	}
}

static void
step_else(struct house *h, const struct step *s)
{
	struct buffer page = BUFFER_EMPTY;

	switch (s->what % 16) {
	case 12:
		fake_coord_load(h->rig.coord);
		break;
	case 13:
		rig_run(&h->rig, (int64_t)s->which << (s->what >> 4));
		break;
	case 14:
		groups_topic_deleted(h->rig.groups, topic_of(s));
		break;
	default:
		forget_one(h);
		metrics_expose(h->rig.metrics, &page);
		buffer_fini(&page);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct house house;
	struct step step;

	house_init(&house);
	for (int i = 0; i < MOST && step_take(&rest, &step); i++) {
		if (step.what % 16 < 5)
			step_record(&house, &step);
		else if (step.what % 16 < 12)
			step_ask(&house, &step);
		else
			step_else(&house, &step);
		rig_run(&house.rig, 0);
		learn_member(&house);
	}
	fake_coord_load(house.rig.coord);
	rig_run(&house.rig, 700000);
	house_fini(&house);
	return (0);
}
