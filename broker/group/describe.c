/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeGroups: what an administrator sees of a group. */
#include "group/members_int.h"

static bool
describe_member(const struct group_member *member, struct arena *arena,
    struct describe_groups_response_member *out)
{
	const struct group *group = member->group;
	bool ok = true;

	out->member_id = arena_slice_copy(arena, member->id, &ok);
	out->group_instance_id = arena_slice_copy(arena, member->instance_id,
	    &ok);
	out->client_id = arena_slice_copy(arena, member->client_id, &ok);
	out->client_host = arena_slice_copy(arena, member->client_host, &ok);
	/* Before that it is being changed, and not told. */
	if (group->state != GROUP_STABLE)
		return (ok);
	out->member_metadata = arena_slice_copy(arena,
	    member_metadata(member, group->protocol), &ok);
	out->member_assignment = arena_slice_copy(arena, member->assignment,
	    &ok);
	return (ok);
}

static bool
describe_found(const struct group *group, struct arena *arena,
    struct describe_groups_response_group *out)
{
	bool ok = true;

	out->group_state = slice_of_text(group_state_name(group->state));
	if (group->protocol_type != NULL)
		out->protocol_type = arena_slice_copy(arena,
		    slice_of_text(group->protocol_type), &ok);
	if (group->state == GROUP_STABLE && group->protocol != NULL)
		out->protocol_data = arena_slice_copy(arena,
		    slice_of_text(group->protocol), &ok);
	out->members = wire_array(arena,
	    describe_groups_response_member_schema(), group->members->count);
	if (out->members == NULL)
		return (false);
	LIST_MEMBERS(element, group)
		ok = ok && describe_member(member_at(element), arena,
		    &out->members[out->members_count++]);
	return (ok);
}

bool
group_describe(struct groups *groups, struct slice group_id,
    struct describe_groups_response_group *out, struct group_ask *ask)
{
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, group_id, true,
	    &error);
	const struct group *group = shard == NULL ? NULL :
	    group_find(shard, group_id);

	out->group_id = group_id;
	out->error_code = (int16_t)error;
	if (group != NULL)
		ask->refused = !describe_found(group, ask->arena, out);
	else if (shard != NULL)
		out->group_state = slice_of_text(group_state_name(GROUP_DEAD));
	ask->done = true;
	return (true);
}

/* --- all states ----------------------------------------------------------- */

void
group_count_state(const struct group *group, int n)
{
	static const enum metric of[] = {
		[GROUP_EMPTY] = METRIC_GROUPS_EMPTY,
		[GROUP_PREPARING_REBALANCE] = METRIC_GROUPS_PREPARING,
		[GROUP_COMPLETING_REBALANCE] = METRIC_GROUPS_COMPLETING,
		[GROUP_STABLE] = METRIC_GROUPS_STABLE,
		[GROUP_DEAD] = METRIC_GROUPS_DEAD,
	};

	metrics_add(group->members->metrics, of[group->state], n);
}
