/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JoinGroup.  Who has no id becomes a member at once (static, or before version
 * 4) or is given an id to come back with; a static one that comes back without
 * its id takes its old place.
 *
 *	"" --> new: [give an id] or member_add  --> rebalance
 *	"", static, known: replace              --> as before, or rebalance
 *	id, pending: member_add                 --> rebalance
 *	id, member:  join_again()               --> as before, or rebalance
 *
 * Source: GroupCoordinator.handleJoinGroup; KIP-345 (static), KIP-394 (ids),
 * KIP-814 (SkipAssignment).
 */
#include "group/members_int.h"

#include "base/mem.h"

struct joining {
	struct group *group;
	const struct join_group_request *request;
	struct group_ask *ask;
	int32_t rebalance_timeout_ms;
};

static void join_as_new(const struct joining *j);
static void join_as_known(const struct joining *j);
static void join_replace(const struct joining *j, struct group_member *member);

/* --- answers -------------------------------------------------------------- */

/* Bytes of the group are copied: it may change before they are sent. */
static struct slice
answer_copy(struct group_ask *ask, struct slice bytes)
{
	bool ok = true;
	struct slice copy = arena_slice_copy(ask->arena, bytes, &ok);

	if (!ok)
		ask->refused = true;
	return (copy);
}

static struct slice
answer_text(struct group_ask *ask, const char *text)
{
	return (answer_copy(ask, slice_of_text(text)));
}

void
join_refuse(struct group_ask *ask, enum error error, struct slice member_id)
{
	struct join_group_response *out = ask->response;

	out->error_code = (int16_t)error;
	out->generation_id = -1;
	out->protocol_type = SLICE_NULL;
	out->protocol_name = SLICE_NULL; /* before 7: "" */
	out->member_id = answer_copy(ask, member_id);
	group_answered(ask);
}

static void
answer_members(struct group_ask *ask, const struct group *group)
{
	struct join_group_response *out = ask->response;

	out->members = wire_array(ask->arena,
	    join_group_response_member_schema(), group->members->count);
	if (out->members == NULL) {
		ask->refused = true;
		return;
	}
	LIST_MEMBERS(element, group) {
		const struct group_member *member = member_at(element);
		struct join_group_response_member *row =
		    &out->members[out->members_count++];

		row->member_id = answer_copy(ask, member->id);
		row->group_instance_id = answer_copy(ask,
		    member->instance_id);
		row->metadata = answer_copy(ask,
		    member_metadata(member, group->protocol));
	}
}

/* `leader` is not always the one who leads. */
static void
answer_as(struct group_ask *ask, const struct group_member *member,
    struct slice leader, bool with_members)
{
	const struct group *group = member->group;
	struct join_group_response *out = ask->response;

	out->error_code = ERR_NONE;
	out->generation_id = group->generation;
	out->protocol_type = answer_text(ask, group->protocol_type);
	out->protocol_name = answer_text(ask, group->protocol);
	out->leader = answer_copy(ask, leader);
	out->member_id = answer_copy(ask, member->id);
	if (with_members)
		answer_members(ask, group);
	group_answered(ask);
}

void
join_answer(struct group_ask *ask, const struct group_member *member,
    bool with_members)
{
	const struct group_member *leader = member->group->members->leader;

	answer_as(ask, member, leader->id, with_members && leader == member);
}

/* --- the request ---------------------------------------------------------- */

static bool
join_has_room(const struct group *group, const struct group_member *member)
{
	const struct group_options *options = group_options(group);
	struct join_room room = {
		.state = group->state,
		.known = member != NULL,
		.awaiting = member != NULL && member->awaiting_join,
		.count = group->members->count,
		.awaiting_join = group->members->awaiting_join,
		.max = (size_t)options->max_size,
	};

	return (join_room_for(&room));
}

/* Refused for good, with its place. */
static void
join_turn_away(const struct joining *j, struct group_member *member)
{
	struct pending_member *pending = pending_member_find(j->group,
	    j->request->member_id);

	diag_info(group_diag(j->group), group,
	    "group=%s is full: members=%zu; a member is refused", j->group->id,
	    j->group->members->count);
	if (member != NULL)
		member_remove(member);
	if (pending != NULL)
		pending_member_remove(pending);
	join_refuse(j->ask, ERR_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
}

static void
join_in_group(const struct joining *j)
{
	const struct join_group_request *r = j->request;
	struct group_member *member = member_find(j->group, r->member_id);

	if (!join_has_room(j->group, member))
		join_turn_away(j, member);
	else if (!group_supports(j->group, r->protocol_type, r->protocols,
		(size_t)r->protocols_count))
		join_refuse(j->ask, ERR_INCONSISTENT_GROUP_PROTOCOL,
		    r->member_id);
	else if (r->member_id.length == 0)
		join_as_new(j);
	else
		join_as_known(j);
	group_join_check(j->group);
}

static enum error
join_check(struct groups *groups, const struct join_group_request *request,
    struct group **group)
{
	const struct group_options *options = groups->setup.options;
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, request->group_id,
	    false, &error);

	if (shard == NULL)
		return (error);
	if (request->session_timeout_ms < options->min_session_timeout_ms ||
	    request->session_timeout_ms > options->max_session_timeout_ms)
		return (ERR_INVALID_SESSION_TIMEOUT);
	*group = group_find(shard, request->group_id);
	if (*group == NULL && request->member_id.length != 0)
		return (ERR_UNKNOWN_MEMBER_ID);
	if (*group == NULL)
		*group = group_make(shard, request->group_id);
	return (ERR_NONE);
}

bool
group_join(struct groups *groups, const struct join_group_request *request,
    struct group_ask *ask)
{
	struct joining j = {
		.request = request,
		.ask = ask,
		.rebalance_timeout_ms = ask->version == 0 ?
		    request->session_timeout_ms : request->rebalance_timeout_ms,
	};
	enum error error = join_check(groups, request, &j.group);

	if (error != ERR_NONE)
		join_refuse(ask, error, request->member_id);
	else
		join_in_group(&j);
	return (ask->done);
}

/* --- new ------------------------------------------------------------------ */

static void
join_add(const struct joining *j, struct slice id)
{
	const struct join_group_request *r = j->request;
	struct group *group = j->group;
	struct pending_member *pending = pending_member_find(group, id);
	const bool alone = group->members->count == 0;
	struct group_member *member = member_add(group, &(struct member_plan){
	    .id = id,
	    .instance_id = r->group_instance_id,
	    .client_id = j->ask->client_id,
	    .client_host = slice_of_text(j->ask->client_host),
	    .rebalance_timeout_ms = j->rebalance_timeout_ms,
	    .session_timeout_ms = r->session_timeout_ms,
	    .protocols = r->protocols,
	    .protocol_count = (size_t)r->protocols_count,
	});

	if (member == NULL) {
		join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR, id);
		return;
	}
	if (pending != NULL)
		pending_member_remove(pending);
	if (alone)
		group_set_text(&group->protocol_type, r->protocol_type);
	member->is_new = true;
	if (group->state == GROUP_PREPARING_REBALANCE &&
	    group->generation == 0)
		group->members->new_member_added = true;
	member_await_join(member, j->ask);
	member_expect(member, GROUP_NEW_MEMBER_MS);
	if (group_may_rebalance(group))
		group_rebalance(group, "a new member joins", r->reason);
}

static void
join_as_new(const struct joining *j)
{
	const struct join_group_request *r = j->request;
	const bool is_static = r->group_instance_id.data != NULL;
	struct group_member *old = member_of_instance(j->group,
	    r->group_instance_id);
	struct slice id;

	if (old != NULL) {
		join_replace(j, old);
		return;
	}
	id = group_new_member_id(j->group,
	    is_static ? r->group_instance_id : j->ask->client_id,
	    j->ask->arena);
	if (id.data == NULL) {
		join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR, SLICE_EMPTY);
	} else if (is_static || j->ask->version < 4) {
		join_add(j, id);
	} else if (!pending_member_add(j->group, id, r->session_timeout_ms)) {
		join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR, SLICE_EMPTY);
	} else {
		join_refuse(j->ask, ERR_MEMBER_ID_REQUIRED, id);
	}
}

/* --- a member again ------------------------------------------------------- */

static bool
join_update(const struct joining *j, struct group_member *member)
{
	const struct join_group_request *r = j->request;

	if (!member_set_protocols(member, r->protocols,
		(size_t)r->protocols_count)) {
		join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR, member->id);
		return (false);
	}
	member->rebalance_timeout_ms = j->rebalance_timeout_ms;
	member->session_timeout_ms = r->session_timeout_ms;
	member_await_join(member, j->ask);
	return (true);
}

static void
join_member_again(const struct joining *j, struct group_member *member)
{
	const struct join_group_request *r = j->request;
	struct group *group = j->group;
	const bool leads = group->members->leader == member;
	const bool matches = member_matches(member, r->protocols,
	    (size_t)r->protocols_count);

	switch (join_again(group->state, leads, matches)) {
	case JOIN_CURRENT:
		join_answer(j->ask, member, true);
		return;
	case JOIN_UNKNOWN:
		join_refuse(j->ask, ERR_UNKNOWN_MEMBER_ID, r->member_id);
		return;
	case JOIN_REBALANCES:
		if (join_update(j, member) && group_may_rebalance(group))
			group_rebalance(group, matches ?
			    "the leader joins again" :
			    "a member's protocols changed", r->reason);
		return;
	}
}

static void
join_as_known(const struct joining *j)
{
	const struct join_group_request *r = j->request;
	enum error error;

	if (pending_member_find(j->group, r->member_id) != NULL) {
		/* A pending id belongs to no instance: KafkaApis fails so. */
		if (r->group_instance_id.data != NULL)
			join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR,
			    SLICE_EMPTY);
		else
			join_add(j, r->member_id);
		return;
	}
	error = group_check_member(j->group, r->member_id,
	    r->group_instance_id);
	if (error != ERR_NONE)
		join_refuse(j->ask, error, r->member_id);
	else
		join_member_again(j, member_find(j->group, r->member_id));
}

/* --- a static member comes back ------------------------------------------- */

/* The old id could not be replaced in the log: it still counts, unless a
 * rebalance has come in between and taken the new one along. */
static void
replace_failed(struct group_store *store, struct group_member *member,
    enum error error)
{
	struct group *group = store->group;
	struct group_ask *ask = member_end_join(member);
	struct join_group_response *out;
	const bool leads = group->members->leader == member;

	member->rebalance_timeout_ms = store->old_rebalance_timeout_ms;
	member->session_timeout_ms = store->old_session_timeout_ms;
	(void)member_set_id(member, store->old_id);
	member_expect(member, member->session_timeout_ms);
	if (ask == NULL)
		return;
	out = ask->response;
	out->error_code = (int16_t)error;
	out->generation_id = group->generation;
	out->protocol_type = answer_text(ask, group->protocol_type);
	out->protocol_name = answer_text(ask, group->protocol);
	out->leader = answer_copy(ask, leads ? member->id :
	    group->members->leader->id);
	group_answered(ask);
}

static void
replace_done(struct group_ask *ask, const struct group_member *member,
    struct slice old_id)
{
	struct join_group_response *out = ask->response;
	const struct group_member *leader = member->group->members->leader;

	if (ask->version >= 9) {
		out->skip_assignment = leader == member;
		join_answer(ask, member, true);
		return;
	}
	/* It must not believe that it leads: nobody would take the assignment
	 * that it would make. */
	answer_as(ask, member, leader == member ? old_id : leader->id, false);
}

static void
replace_stored(struct group_store *store, enum error error)
{
	struct group *group = store->group;
	struct group_member *member = member_find(group, store->new_id);
	struct group_ask *ask;

	if (group->state != GROUP_STABLE || member == NULL ||
	    group->generation != store->generation || !member->awaiting_join)
		return;
	if (error != ERR_NONE) {
		replace_failed(store, member, error);
		return;
	}
	/* Its session may have ended while it waited. */
	member_expect(member, member->session_timeout_ms);
	ask = member_end_join(member);
	if (ask != NULL)
		replace_done(ask, member, store->old_id);
}

/* Whoever uses the old id is fenced at once. */
static bool
replace_id(const struct joining *j, struct group_member *member,
    struct group_store *store)
{
	struct group_ask *join = member_end_join(member);
	struct group_ask *sync = member_end_sync(member);
	struct slice id = group_new_member_id(j->group, member->instance_id,
	    j->ask->arena);

	if (join != NULL)
		join_refuse(join, ERR_FENCED_INSTANCE_ID, member->id);
	if (sync != NULL)
		sync_refuse(sync, ERR_FENCED_INSTANCE_ID);
	return (id.data != NULL && own_bytes(&store->old_id, member->id) &&
	    own_bytes(&store->new_id, id) && member_set_id(member, id));
}

static bool
protocol_stays(const struct group *group)
{
	struct slice next = protocol_elect(group->members);

	return (group->protocol != NULL &&
	    slice_equal_text(next, group->protocol));
}

static void
join_replace(const struct joining *j, struct group_member *member)
{
	struct group *group = j->group;
	struct group_store *store = group_store_new(group, replace_stored);

	diag_info(group_diag(group), group,
	    "group=%s instance=%.*s comes back: its member id is replaced",
	    group->id, SLICE_ARGS(member->instance_id));
	store->old_rebalance_timeout_ms = member->rebalance_timeout_ms;
	store->old_session_timeout_ms = member->session_timeout_ms;
	if (!replace_id(j, member, store)) {
		join_refuse(j->ask, ERR_UNKNOWN_SERVER_ERROR, SLICE_EMPTY);
		group_store_drop(&store);
		return;
	}
	member_expect(member, member->session_timeout_ms);
	if (join_update(j, member) && group->state == GROUP_STABLE &&
	    protocol_stays(group)) {
		group_store_start(store);
		return;
	}
	group_store_drop(&store);
	/* COMPLETING: the leader may have assigned to the old id already. */
	if (group_may_rebalance(group))
		group_rebalance(group, "a static member came back",
		    j->request->reason);
}
