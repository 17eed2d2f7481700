/* SPDX-License-Identifier: Apache-2.0 */
#include "member_rig.h"

#include "base/mem.h"

/* --- life ----------------------------------------------------------------- */

void
rig_init(struct rig *rig)
{
	rig_begin(rig);
	rig_groups(rig, NULL, NULL);
}

void
rig_fini(struct rig *rig)
{
	struct list *element;

	groups_stop(rig->groups);
	while (rig->coord->write_count > 0)
		fake_coord_end(rig->coord, ERR_NONE);
	rig_run(rig, 0);
	while ((element = list_pop_head(&rig->asked)) != NULL) {
		struct asked *asked = list_entry(element, struct asked, link);

		CU_ASSERT_PTR_NULL(asked->ask.wait);
		arena_fini(&asked->arena);
		mem_free(asked);
	}
	rig_end(rig);
}

/* --- looking -------------------------------------------------------------- */

static struct asked *
asked_new(struct rig *rig, const struct who *who, int newest)
{
	struct asked *asked = mem_zalloc(sizeof(*asked));

	arena_init(&asked->arena, 0);
	asked->ask = (struct group_ask){
		.version = who->version == OLDEST ? 0 :
		    who->version == 0 ? newest : who->version,
		.client_id = slice_of_text(who->client == NULL ? "client" :
			who->client),
		.client_host = "/127.0.0.1",
		.arena = &asked->arena,
		.task = { .loop = rig->loop },
		.response = &asked->r,
	};
	list_push_tail(&rig->asked, &asked->link);
	return (asked);
}

void
rig_last_record(struct rig *rig, struct group_metadata_value *out)
{
	struct asked *asked = asked_new(rig, &(struct who){ 0 }, 0);
	struct slice value = rig->coord->log[rig->coord->log_count - 1].value;
	bool ok = true;

	asked->ask.done = true;
	value = arena_slice_copy(&asked->arena, value, &ok);
	CHECK(ok && group_value_read_group(value, &asked->arena, out));
}

struct group *
rig_group(struct rig *rig)
{
	return (group_find(rig->coord->state, SLICE_LITERAL("g")));
}

enum group_state
rig_state(struct rig *rig)
{
	const struct group *group = rig_group(rig);

	return (group == NULL ? GROUP_DEAD : group->state);
}

const char *
rig_text(struct asked *asked, struct slice text)
{
	return (arena_slice_text(&asked->arena, text));
}

int64_t
rig_gauge(const struct rig *rig, enum metric metric)
{
	return (metrics_value(rig->metrics, metric));
}

/* --- asking --------------------------------------------------------------- */

static struct slice
text_or(const char *text, const char *otherwise)
{
	return (slice_of_text(text == NULL ? otherwise : text));
}

static int32_t
protocols_cut(struct slice names, struct slice metadata,
    struct join_group_request_protocol *out)
{
	int32_t count = 0;

	while (names.length > 0) {
		const uint8_t *comma = memchr(names.data, ',', names.length);
		size_t length = comma == NULL ? names.length :
		    (size_t)(comma - names.data);

		out[count].name = slice_of(names.data, length);
		out[count++].metadata = metadata;
		length += comma != NULL;
		names = slice_of(names.data + length, names.length - length);
	}
	return (count);
}

struct asked *
rig_join(struct rig *rig, struct who who)
{
	struct asked *asked = asked_new(rig, &who, 9);
	struct join_group_request_protocol protocols[8];
	struct join_group_request request;

	wire_init(&message_join_group_request, &request);
	wire_init(&message_join_group_response, &asked->r.join);
	request.group_id = text_or(who.group, "g");
	request.member_id = text_or(who.member, "");
	request.group_instance_id = slice_of_text(who.instance);
	request.session_timeout_ms = who.session_ms == 0 ? 10000 :
	    who.session_ms;
	request.rebalance_timeout_ms = who.rebalance_ms == 0 ? 60000 :
	    who.rebalance_ms;
	request.protocol_type = text_or(who.type, "consumer");
	request.protocols = protocols;
	request.protocols_count = protocols_cut(
	    text_or(who.protocols, "range"), text_or(who.metadata, "m"),
	    protocols);
	CU_ASSERT_EQUAL(group_join(rig->groups, &request, &asked->ask),
	    asked->ask.done);
	/* Nothing of the request is looked at after this. */
	memset(protocols, 0x5a, sizeof(protocols));
	return (asked);
}

static int32_t
assignments_cut(char *text, struct sync_group_request_assignment *out)
{
	char *rest = NULL;
	int32_t count = 0;

	for (char *one = strtok_r(text, ",", &rest); one != NULL;
	     one = strtok_r(NULL, ",", &rest)) {
		char *equals = strchr(one, '=');

		out[count].member_id = slice_of(one, (size_t)(equals - one));
		out[count++].assignment = slice_of_text(equals + 1);
	}
	return (count);
}

struct asked *
rig_sync(struct rig *rig, struct who who, int32_t generation,
    const char *assignments)
{
	struct asked *asked = asked_new(rig, &who, 5);
	char *text = mem_strdup(assignments == NULL ? "" : assignments);
	struct sync_group_request_assignment rows[8];
	struct sync_group_request request;

	wire_init(&message_sync_group_request, &request);
	wire_init(&message_sync_group_response, &asked->r.sync);
	request.group_id = text_or(who.group, "g");
	request.member_id = text_or(who.member, "");
	request.group_instance_id = slice_of_text(who.instance);
	request.generation_id = generation;
	if (asked->ask.version >= 5) {
		request.protocol_type = text_or(who.type, "consumer");
		request.protocol_name = text_or(who.protocols, "range");
	}
	request.assignments = rows;
	request.assignments_count = assignments_cut(text, rows);
	CU_ASSERT_EQUAL(group_sync(rig->groups, &request, &asked->ask),
	    asked->ask.done);
	mem_free(text);
	return (asked);
}

int
rig_heartbeat(struct rig *rig, struct who who, int32_t generation)
{
	struct asked *asked = asked_new(rig, &who, 4);
	const struct heartbeat_request request = {
		.group_id = text_or(who.group, "g"),
		.generation_id = generation,
		.member_id = text_or(who.member, ""),
		.group_instance_id = slice_of_text(who.instance),
	};

	wire_init(&message_heartbeat_response, &asked->r.heartbeat);
	CU_ASSERT_TRUE(group_heartbeat(rig->groups, &request, &asked->ask));
	return (asked->r.heartbeat.error_code);
}

struct asked *
rig_leave(struct rig *rig, struct who who)
{
	struct asked *asked = asked_new(rig, &who, 5);
	struct leave_group_request_member member = {
		.member_id = text_or(who.member, ""),
		.group_instance_id = slice_of_text(who.instance),
	};
	const struct leave_group_request request = {
		.group_id = text_or(who.group, "g"),
		.member_id = member.member_id,
		.members = &member,
		.members_count = 1,
	};

	wire_init(&message_leave_group_response, &asked->r.leave);
	CU_ASSERT_TRUE(group_leave(rig->groups, &request, &asked->ask));
	return (asked);
}

struct asked *
rig_describe(struct rig *rig, const char *group)
{
	struct asked *asked = asked_new(rig, &(struct who){ 0 }, 5);

	asked->described = *(struct describe_groups_response_group *)
	    wire_array(&asked->arena, describe_groups_response_group_schema(),
		1);
	CU_ASSERT_TRUE(group_describe(rig->groups, slice_of_text(group),
	    &asked->described, &asked->ask));
	return (asked);
}

struct asked *
rig_list(struct rig *rig, const char *state, const char *type)
{
	struct asked *asked = asked_new(rig, &(struct who){ 0 }, 5);
	struct slice names[2] = { slice_of_text(state), slice_of_text(type) };
	const struct list_groups_request request = {
		.states_filter = &names[0],
		.states_filter_count = state != NULL,
		.types_filter = &names[1],
		.types_filter_count = type != NULL,
	};

	wire_init(&message_list_groups_response, &asked->r.list);
	CU_ASSERT_TRUE(group_list(rig->groups, &request, &asked->ask));
	return (asked);
}

/* --- the usual ways ------------------------------------------------------- */

const char *
rig_member_id(struct rig *rig, struct who who)
{
	struct asked *a = rig_join(rig, who);

	CU_ASSERT_EQUAL(a->r.join.error_code, ERR_MEMBER_ID_REQUIRED);
	CU_ASSERT(a->ask.done);
	return (rig_text(a, a->r.join.member_id));
}

const char *
rig_one_member(struct rig *rig, struct who who)
{
	const char *id = rig_member_id(rig, who);
	struct asked *join, *sync;
	char assignment[200];

	who.member = id;
	join = rig_join(rig, who);
	CU_ASSERT(!join->ask.done);
	rig_run(rig, 3000);
	CU_ASSERT(join->ask.done);
	CU_ASSERT_EQUAL(join->r.join.error_code, ERR_NONE);
	(void)snprintf(assignment, sizeof(assignment), "%s=A1", id);
	who.protocols = NULL;
	sync = rig_sync(rig, who, join->r.join.generation_id, assignment);
	rig_run(rig, 0);
	CU_ASSERT(sync->ask.done);
	CU_ASSERT_EQUAL(sync->r.sync.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(rig_state(rig), GROUP_STABLE);
	return (id);
}

void
rig_two_members(struct rig *rig, struct who who, const char *ids[2])
{
	struct asked *join[2], *sync[2];
	char assignments[400];

	who.version = who.version == 0 ? OLDEST : who.version;
	for (int i = 0; i < 2; i++)
		join[i] = rig_join(rig, who);
	rig_run(rig, 6000);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(join[i]->ask.done);
		ids[i] = rig_text(join[i], join[i]->r.join.member_id);
	}
	CU_ASSERT(slice_equal_text(join[1]->r.join.leader, ids[0]));
	CU_ASSERT_EQUAL(join[0]->r.join.members_count, 2);
	CU_ASSERT_EQUAL(join[1]->r.join.members_count, 0);
	who.member = ids[1];
	sync[1] = rig_sync(rig, who, join[1]->r.join.generation_id, NULL);
	CU_ASSERT(!sync[1]->ask.done);
	(void)snprintf(assignments, sizeof(assignments), "%s=A0", ids[0]);
	who.member = ids[0];
	sync[0] = rig_sync(rig, who, join[1]->r.join.generation_id,
	    assignments);
	rig_run(rig, 0);
	CU_ASSERT(sync[0]->ask.done && sync[1]->ask.done);
	CU_ASSERT(slice_equal_text(sync[0]->r.sync.assignment, "A0"));
	/* Who is not named has nothing. */
	CU_ASSERT_EQUAL(sync[1]->r.sync.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(sync[1]->r.sync.assignment.length, 0);
	CU_ASSERT_EQUAL(rig_state(rig), GROUP_STABLE);
}

int
rig_join_error(struct rig *rig, struct who who)
{
	struct asked *a = rig_join(rig, who);

	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.join.generation_id, -1);
	CU_ASSERT_PTR_NULL(a->r.join.protocol_name.data);
	CU_ASSERT_EQUAL(a->r.join.leader.length, 0);
	return (a->r.join.error_code);
}

int
rig_sync_error(struct rig *rig, struct who who, int32_t generation)
{
	struct asked *a = rig_sync(rig, who, generation, NULL);

	CU_ASSERT(a->ask.done);
	CU_ASSERT_EQUAL(a->r.sync.assignment.length, 0);
	CU_ASSERT_PTR_NULL(a->r.sync.protocol_name.data);
	return (a->r.sync.error_code);
}
