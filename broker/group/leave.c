/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heartbeat and LeaveGroup.  From version 3 on several members leave at once,
 * static ones by their instance alone (how an administrator removes them).
 * Source: GroupCoordinator.handleHeartbeat, handleLeaveGroup; KIP-345.
 */
#include "group/members_int.h"

/* --- heartbeats ----------------------------------------------------------- */

static enum error
heartbeat_check(struct group *group, const struct heartbeat_request *request)
{
	enum error error = group_check_member(group, request->member_id,
	    request->group_instance_id);

	if (error == ERR_NONE && request->generation_id != group->generation)
		error = ERR_ILLEGAL_GENERATION;
	if (error != ERR_NONE)
		return (error);
	if (group->state == GROUP_EMPTY)
		return (ERR_UNKNOWN_MEMBER_ID);
	group_touch_member(group, request->member_id);
	return (group->state == GROUP_PREPARING_REBALANCE ?
	    ERR_REBALANCE_IN_PROGRESS : ERR_NONE);
}

bool
group_heartbeat(struct groups *groups,
    const struct heartbeat_request *request, struct group_ask *ask)
{
	struct heartbeat_response *out = ask->response;
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, request->group_id,
	    false, &error);
	struct group *group = shard == NULL ? NULL :
	    group_find(shard, request->group_id);

	metrics_add(groups->setup.metrics, METRIC_GROUP_HEARTBEATS, 1);
	/* While a group loads nothing is known against its members. */
	if (shard == NULL && error == ERR_COORDINATOR_LOAD_IN_PROGRESS)
		error = ERR_NONE;
	if (shard != NULL)
		error = group == NULL ? ERR_UNKNOWN_MEMBER_ID :
		    heartbeat_check(group, request);
	out->error_code = (int16_t)error;
	ask->done = true;
	return (true);
}

/* --- leaving -------------------------------------------------------------- */

static void
leave_member(struct group *group, struct group_member *member,
    struct slice reason)
{
	diag_info(group_diag(group), group,
	    "group=%s member=%.*s leaves reason=\"%.*s\"", group->id,
	    SLICE_ARGS(member->id), SLICE_ARGS(reason));
	member_remove(member);
	group_lost_member(group, "a member left");
}

static enum error
leave_one(struct group *group, const struct leave_group_request_member *who)
{
	struct group_member *member;
	struct pending_member *pending;
	enum error error;

	if (who->member_id.length == 0) {
		member = member_of_instance(group, who->group_instance_id);
		if (member == NULL)
			return (ERR_UNKNOWN_MEMBER_ID);
		leave_member(group, member, who->reason);
		return (ERR_NONE);
	}
	pending = pending_member_find(group, who->member_id);
	if (pending != NULL) {
		pending_member_remove(pending);
		group_join_check(group);
		return (ERR_NONE);
	}
	error = group_check_member(group, who->member_id,
	    who->group_instance_id);
	if (error == ERR_NONE)
		leave_member(group, member_find(group, who->member_id),
		    who->reason);
	return (error);
}

/* The answer's rows name what the request named, in its own bytes. */
static void
leave_all(struct group *group, const struct leave_group_request *request,
    struct group_ask *ask)
{
	struct leave_group_response *out = ask->response;

	out->members = wire_array(ask->arena,
	    leave_group_response_member_schema(),
	    (size_t)request->members_count);
	if (out->members == NULL) {
		ask->refused = true;
		return;
	}
	for (int32_t i = 0; i < request->members_count; i++) {
		const struct leave_group_request_member *who =
		    &request->members[i];
		struct leave_group_response_member *row =
		    &out->members[out->members_count++];

		row->member_id = who->member_id;
		row->group_instance_id = who->group_instance_id;
		row->error_code = (int16_t)(group == NULL ?
		    ERR_UNKNOWN_MEMBER_ID : leave_one(group, who));
	}
}

bool
group_leave(struct groups *groups, const struct leave_group_request *request,
    struct group_ask *ask)
{
	struct leave_group_response *out = ask->response;
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, request->group_id,
	    false, &error);
	struct group *group = shard == NULL ? NULL :
	    group_find(shard, request->group_id);
	const struct leave_group_request_member alone = {
		.member_id = request->member_id,
		.group_instance_id = SLICE_NULL,
		.reason = SLICE_NULL,
	};

	if (shard != NULL && ask->version >= 3)
		leave_all(group, request, ask);
	else if (shard != NULL)
		error = group == NULL ? ERR_UNKNOWN_MEMBER_ID :
		    leave_one(group, &alone);
	out->error_code = (int16_t)error;
	ask->done = true;
	return (true);
}
