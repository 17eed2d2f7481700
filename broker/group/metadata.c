/* SPDX-License-Identifier: Apache-2.0 */
/* A group's members and the record of them, to it and from it. */
#include "group/members_int.h"

#include "base/mem.h"

bool
group_metadata_of(const struct group *group, struct arena *arena,
    struct group_metadata_value *out)
{
	const struct group_members *m = group->members;

	wire_init(&message_group_metadata_value, out);
	out->protocol_type = group->protocol_type == NULL ? SLICE_EMPTY :
	    slice_of_text(group->protocol_type);
	out->generation = group->generation;
	out->protocol = slice_of_text(group->protocol);
	out->leader = m->leader == NULL ? SLICE_NULL : m->leader->id;
	out->current_state_timestamp = group->state_time_ms;
	out->members = wire_array(arena, group_metadata_value_member_schema(),
	    m->count);
	if (out->members == NULL)
		return (false);
	LIST_MEMBERS(element, group) {
		const struct group_member *member = member_at(element);
		struct group_metadata_value_member *row =
		    &out->members[out->members_count++];

		row->member_id = member->id;
		row->group_instance_id = member->instance_id;
		row->client_id = member->client_id;
		row->client_host = member->client_host;
		row->rebalance_timeout = member->rebalance_timeout_ms;
		row->session_timeout = member->session_timeout_ms;
		row->subscription = member_metadata(member, group->protocol);
		row->assignment = member->assignment;
	}
	return (true);
}

/* A record twice of one member or instance was not written by a broker. */
static bool
row_is_new(const struct group *group,
    const struct group_metadata_value_member *row)
{
	return (member_find(group, row->member_id) == NULL &&
	    member_of_instance(group, row->group_instance_id) == NULL);
}

static struct group_member *
restore_member(struct group *group, struct slice protocol,
    const struct group_metadata_value_member *row)
{
	const struct join_group_request_protocol only = {
		.name = protocol,
		.metadata = row->subscription,
	};

	if (!row_is_new(group, row))
		return (NULL);
	return (member_add(group, &(struct member_plan){
	    .id = row->member_id,
	    .instance_id = row->group_instance_id,
	    .client_id = row->client_id,
	    .client_host = row->client_host,
	    /* Version 0 has none. */
	    .rebalance_timeout_ms = row->rebalance_timeout == -1 ?
		row->session_timeout : row->rebalance_timeout,
	    .session_timeout_ms = row->session_timeout,
	    .protocols = &only,
	    .protocol_count = 1,
	}));
}

static size_t
restore_bytes(const struct group_metadata_value *value)
{
	size_t bytes = 1;

	for (int32_t i = 0; i < value->members_count; i++)
		bytes += value->members[i].assignment.length;
	return (bytes);
}

static void
restore_members(struct group *group, const struct group_metadata_value *value)
{
	struct group_members *m = group->members;
	uint8_t *to = mem_alloc(restore_bytes(value));

	m->assigned = to;
	for (int32_t i = 0; i < value->members_count; i++) {
		const struct group_metadata_value_member *row =
		    &value->members[i];
		struct group_member *member = restore_member(group,
		    value->protocol, row);

		if (member == NULL) {
			diag_error(group_diag(group), group,
			    "group=%s member=%.*s cannot be restored and must "
			    "join again", group->id,
			    SLICE_ARGS(row->member_id));
			continue;
		}
		if (row->assignment.length != 0)
			memcpy(to, row->assignment.data,
			    row->assignment.length);
		member->assignment = slice_of(to, row->assignment.length);
		to += row->assignment.length;
		if (slice_compare(member->id, value->leader) == 0)
			m->leader = member;
	}
}

void
group_restore(struct group *group, const struct group_metadata_value *value)
{
	const size_t most = (size_t)group_options(group)->max_size;

	group->generation = value->generation;
	group_set_text(&group->protocol_type, value->protocol_type.length == 0 ?
	    SLICE_NULL : value->protocol_type);
	group_set_text(&group->protocol, value->protocol);
	restore_members(group, value);
	group_learn_topics(group);
	if (group->members->count != 0) {
		group_count_state(group, -1);
		group->state = GROUP_STABLE;
		group_count_state(group, 1);
	}
	group->state_time_ms = value->current_state_timestamp;
	LIST_MEMBERS(element, group)
		member_expect(member_at(element),
		    member_at(element)->session_timeout_ms);
	if (group->members->count > most)
		group_rebalance(group, "it has more members than it may",
		    SLICE_NULL);
}

void
group_members_refuse(struct group *group, enum error error)
{
	struct group_members *m = group->members;

	timer_disarm(&m->timer);
	while (!list_empty(&m->pending_order))
		pending_member_remove(list_entry(m->pending_order.next,
		    struct pending_member, link));
	LIST_MEMBERS(element, group) {
		struct group_member *member = member_at(element);
		struct group_ask *ask = member_end_join(member);

		if (ask != NULL)
			join_refuse(ask, error, member->id);
		ask = member_end_sync(member);
		if (ask != NULL)
			sync_refuse(ask, error);
		timer_disarm(&member->session);
	}
}
