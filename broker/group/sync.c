/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SyncGroup.  All wait until the leader has told who does what; that is written
 * to the log first, and answered when it is safe there.
 *
 *	COMPLETING: member_await_sync() .. the leader's: group_store_start()
 *	                                               | written
 *	STABLE <-- all answered, each with its part <--+
 *
 * Source: GroupCoordinator.handleSyncGroup.
 */
#include "group/members_int.h"

#include "base/mem.h"

/* Of one group's record; __consumer_offsets takes far less as it comes. */
#define STORE_BYTES_MAX ((size_t)256 << 20)

static void store_done(struct coord_write *write);

/* --- answers -------------------------------------------------------------- */

void
sync_refuse(struct group_ask *ask, enum error error)
{
	struct sync_group_response *out = ask->response;

	out->error_code = (int16_t)error;
	out->protocol_type = SLICE_NULL;
	out->protocol_name = SLICE_NULL;
	out->assignment = SLICE_EMPTY;
	group_answered(ask);
}

static void
sync_answer(struct group_ask *ask, const struct group_member *member)
{
	const struct group *group = member->group;
	struct sync_group_response *out = ask->response;
	bool ok = true;

	out->error_code = ERR_NONE;
	out->protocol_type = arena_slice_copy(ask->arena,
	    slice_of_text(group->protocol_type), &ok);
	out->protocol_name = arena_slice_copy(ask->arena,
	    slice_of_text(group->protocol), &ok);
	out->assignment = arena_slice_copy(ask->arena, member->assignment,
	    &ok);
	if (!ok)
		ask->refused = true;
	group_answered(ask);
}

void
group_drop_assignments(struct group *group)
{
	mem_free(group->members->assigned);
	group->members->assigned = NULL;
}

void
sync_reset(struct group *group, enum error error)
{
	LIST_MEMBERS(element, group) {
		struct group_member *member = member_at(element);
		const bool waited = member->awaiting_sync;
		struct group_ask *ask = member_end_sync(member);

		member->assignment = SLICE_EMPTY;
		if (ask != NULL)
			sync_refuse(ask, error);
		if (waited)
			member_expect(member, member->session_timeout_ms);
	}
	group_drop_assignments(group);
}

/* --- writing -------------------------------------------------------------- */

struct group_store *
group_store_new(struct group *group,
    void (*stored)(struct group_store *store, enum error error))
{
	struct group_store *store = mem_zalloc(sizeof(*store));

	store->group = group;
	store->generation = group->generation;
	store->stored = stored;
	group_pin(group);
	return (store);
}

void
group_store_drop(struct group_store **store)
{
	group_unpin((*store)->group);
	drop_bytes(&(*store)->new_id);
	drop_bytes(&(*store)->old_id);
	mem_free((*store)->assigned);
	mem_free((*store)->assignments);
	mem_free(*store);
	*store = NULL;
}

static void
store_over(struct group_store *store, enum error error)
{
	struct group *group = store->group;

	if (group->state != GROUP_DEAD && !store->write.closed) {
		if (error != ERR_NONE)
			diag_warn(group_diag(group), group,
			    "group=%s generation=%d could not be written: %s",
			    group->id, (int)store->generation,
			    error_name(store->write.error));
		if (store->stored != NULL)
			store->stored(store, error);
	}
	group_store_drop(&store);
}

static void
store_done(struct coord_write *write)
{
	store_over(write->owner, group_metadata_error(write->error));
}

/* The record, from the arena. */
static bool
store_encode(struct group_store *store, struct arena *arena)
{
	struct group_metadata_value value;

	if (!group_metadata_of(store->group, arena, &value))
		return (false);
	for (int32_t i = 0; store->assignments != NULL &&
	    i < value.members_count; i++)
		value.members[i].assignment = store->assignments[i];
	store->entry.key = group_key_of_group(arena, group_id(store->group));
	store->entry.value = group_value_of_group(arena, &value);
	return (store->entry.key.data != NULL &&
	    store->entry.value.data != NULL);
}

void
group_store_start(struct group_store *store)
{
	const struct group_options *options = group_options(store->group);
	struct arena arena;

	arena_init(&arena, STORE_BYTES_MAX);
	if (!store_encode(store, &arena)) {
		arena_fini(&arena);
		store->write.owner = store;
		store->write.error = ERR_MESSAGE_TOO_LARGE;
		store_done(&store->write);
		return;
	}
	store->write = (struct coord_write){
		.entries = &store->entry,
		.count = 1,
		.producer_id = -1,
		.producer_epoch = -1,
		.codec = (int8_t)options->offsets_topic_compression_codec,
		.acks = (int16_t)options->offsets_commit_required_acks,
		.timeout_ms = options->offsets_commit_timeout_ms,
		.done = store_done,
		.owner = store,
	};
	coord_append(store->group->shard->coord, &store->write);
	arena_fini(&arena);
}

/* --- the leader's assignment ---------------------------------------------- */

/* Each member's part; who was forgotten has none. Bytes of the request. */
static void
assignment_sort(struct group *group, const struct sync_group_request *request)
{
	LIST_MEMBERS(element, group)
		member_at(element)->next_assignment = SLICE_EMPTY;
	for (int32_t i = 0; i < request->assignments_count; i++) {
		struct group_member *member = member_find(group,
		    request->assignments[i].member_id);

		if (member != NULL)
			member->next_assignment =
			    request->assignments[i].assignment;
	}
}

static bool
assignment_take(struct group_store *store,
    const struct sync_group_request *request)
{
	struct group *group = store->group;
	size_t bytes = 0, i = 0;
	uint8_t *to;

	assignment_sort(group, request);
	LIST_MEMBERS(element, group)
		bytes += member_at(element)->next_assignment.length;
	store->assigned = to = mem_try_alloc(bytes + 1);
	store->assignments = mem_try_alloc(group->members->count *
	    sizeof(*store->assignments));
	LIST_MEMBERS(element, group) {
		struct slice part = member_at(element)->next_assignment;

		member_at(element)->next_assignment = SLICE_EMPTY;
		if (to == NULL || store->assignments == NULL)
			continue;
		if (part.length != 0)
			memcpy(to, part.data, part.length);
		store->assignments[i++] = slice_of(to, part.length);
		to += part.length;
	}
	return (to != NULL && store->assignments != NULL);
}

/* In the order in which they were written: nobody came or went, or the group
 * would have left this generation's COMPLETING. */
static void
assignment_propagate(struct group *group, struct group_store *store)
{
	size_t i = 0;

	mem_free(group->members->assigned);
	group->members->assigned = store->assigned;
	store->assigned = NULL;
	LIST_MEMBERS(element, group) {
		struct group_member *member = member_at(element);
		const bool waited = member->awaiting_sync;
		struct group_ask *ask = member_end_sync(member);

		member->assignment = store->assignments[i++];
		if (ask != NULL)
			sync_answer(ask, member);
		if (waited)
			member_expect(member, member->session_timeout_ms);
	}
}

static void
assignment_stored(struct group_store *store, enum error error)
{
	struct group *group = store->group;

	if (group->state != GROUP_COMPLETING_REBALANCE ||
	    group->generation != store->generation)
		return;
	if (error != ERR_NONE) {
		sync_reset(group, error);
		group_rebalance(group, "the assignment was not written",
		    SLICE_NULL);
		return;
	}
	assignment_propagate(group, store);
	group_set_state(group, GROUP_STABLE);
	metrics_observe(group_metrics(group), METRIC_GROUP_REBALANCE_TIME,
	    loop_now_ns(group->shard->loop) - group->members->rebalance_ns);
}

static void
sync_lead(struct group *group, const struct sync_group_request *request)
{
	struct group_store *store = group_store_new(group, assignment_stored);

	metrics_add(group_metrics(group), METRIC_GROUP_REBALANCES, 1);
	if (assignment_take(store, request)) {
		group_store_start(store);
		return;
	}
	store->write.error = ERR_UNKNOWN_SERVER_ERROR;
	store_over(store, ERR_UNKNOWN_SERVER_ERROR);
}

/* --- the request ---------------------------------------------------------- */

static enum error
sync_check(struct group *group, const struct sync_group_request *request)
{
	enum error error = group_check_member(group, request->member_id,
	    request->group_instance_id);

	if (error != ERR_NONE)
		return (error);
	if (request->generation_id != group->generation)
		return (ERR_ILLEGAL_GENERATION);
	if ((request->protocol_type.data != NULL &&
		!slice_equal_text(request->protocol_type,
		    group->protocol_type)) ||
	    (request->protocol_name.data != NULL &&
		!slice_equal_text(request->protocol_name, group->protocol)))
		return (ERR_INCONSISTENT_GROUP_PROTOCOL);
	switch (group->state) {
	case GROUP_PREPARING_REBALANCE:
		return (ERR_REBALANCE_IN_PROGRESS);
	case GROUP_COMPLETING_REBALANCE:
	case GROUP_STABLE:
		return (ERR_NONE);
	case GROUP_EMPTY:
	case GROUP_DEAD:
		return (ERR_UNKNOWN_MEMBER_ID);
	}
	UNREACHABLE();
}

static void
sync_in_group(struct group *group, const struct sync_group_request *request,
    struct group_ask *ask)
{
	struct group_member *member = member_find(group, request->member_id);

	member_sync_came(member);
	group_sync_check(group);
	if (group->state == GROUP_STABLE) {
		sync_answer(ask, member);
		member_expect(member, member->session_timeout_ms);
		return;
	}
	member_await_sync(member, ask);
	if (group->members->leader == member)
		sync_lead(group, request);
}

bool
group_sync(struct groups *groups, const struct sync_group_request *request,
    struct group_ask *ask)
{
	enum error error = ERR_NONE;
	struct group_shard *shard = group_shard_of(groups, request->group_id,
	    false, &error);
	struct group *group = shard == NULL ? NULL :
	    group_find(shard, request->group_id);

	if (shard == NULL && error == ERR_COORDINATOR_LOAD_IN_PROGRESS)
		error = ERR_REBALANCE_IN_PROGRESS;
	if (shard != NULL)
		error = group == NULL ? ERR_UNKNOWN_MEMBER_ID :
		    sync_check(group, request);
	/* KIP-559: from 5 on both are told, before all else. */
	if (ask->version >= 5 && (request->protocol_type.data == NULL ||
		request->protocol_name.data == NULL))
		error = ERR_INCONSISTENT_GROUP_PROTOCOL;
	if (error != ERR_NONE)
		sync_refuse(ask, error);
	else
		sync_in_group(group, request, ask);
	return (ask->done);
}
