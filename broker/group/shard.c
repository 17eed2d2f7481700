/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition's groups.  Its life:
 *
 *	opened   empty
 *	replay   of the log as it is read: offsets go to their slots, of a
 *		 group's metadata the last record is kept as it is
 *	loaded   each group is made of its last record; one that has offsets
 *		 only is EMPTY and simple, one that has nothing is none
 *	replay   of what this broker writes: offsets again; metadata is known
 *	closed   all groups DEAD
 *
 * Loading ends, and closing goes, in as many turns of the loop as the groups
 * need.  A shard that closes writes nothing any more: its groups' timers, where
 * they run still, do nothing.
 */
#include <inttypes.h>

#include "base/diag.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "group/lag_int.h"
#include "group/members_int.h"
#include "group/offsets_int.h"
#include "group/shard_int.h"
#include "metrics/metrics.h"

/* Of a group's record cost as much as an offset. */
#define LOADED_BYTES 32

/* A record of a group's metadata. */
struct group_loaded {
	size_t length;
	uint8_t bytes[];
};

const char *
group_state_name(enum group_state state)
{
	static const char *const names[] = {
		[GROUP_EMPTY] = "Empty",
		[GROUP_PREPARING_REBALANCE] = "PreparingRebalance",
		[GROUP_COMPLETING_REBALANCE] = "CompletingRebalance",
		[GROUP_STABLE] = "Stable",
		[GROUP_DEAD] = "Dead",
	};

	return (names[state]);
}

char *
group_text(struct slice text)
{
	char *copy = mem_alloc(text.length + 1);

	if (text.length != 0)
		memcpy(copy, text.data, text.length);
	copy[text.length] = '\0';
	return (copy);
}

/* --- groups --------------------------------------------------------------- */

struct group *
group_find(struct group_shard *shard, struct slice id)
{
	struct hash_node *node = hash_find(&shard->by_id, id.data, id.length);

	return (node == NULL ? NULL : container_of(node, struct group, node));
}

struct group *
group_make(struct group_shard *shard, struct slice id)
{
	struct group *group = mem_zalloc(sizeof(*group));

	group->shard = shard;
	group->serial = shard->serial++;
	group->gone = shard->gone_news;
	group->id = group_text(id);
	group->id_length = id.length;
	group->state = GROUP_EMPTY;
	group->state_time_ms = loop_wall_ms(shard->loop);
	group_offsets_init(group);
	group_members_init(group);
	hash_insert(&shard->by_id, &group->node, group->id, id.length);
	metrics_add(shard->groups->setup.metrics, METRIC_GROUPS, 1);
	return (group);
}

void
group_set_state(struct group *group, enum group_state state)
{
	static const unsigned allowed[] = {
		[GROUP_EMPTY] = 1u << GROUP_PREPARING_REBALANCE,
		[GROUP_PREPARING_REBALANCE] = 1u << GROUP_EMPTY |
		    1u << GROUP_STABLE | 1u << GROUP_COMPLETING_REBALANCE,
		[GROUP_COMPLETING_REBALANCE] = 1u << GROUP_PREPARING_REBALANCE,
		[GROUP_STABLE] = 1u << GROUP_COMPLETING_REBALANCE,
		[GROUP_DEAD] = ~0u,
	};

	CHECK((allowed[state] & 1u << group->state) != 0);
	diag_debug(group->shard->groups->setup.diag, group,
	    "group=%s from=%s to=%s generation=%" PRId32, group->id,
	    group_state_name(group->state), group_state_name(state),
	    group->generation);
	group_count_state(group, -1);
	group->state = state;
	group_count_state(group, 1);
	group->state_time_ms = loop_wall_ms(group->shard->loop);
}

static void
group_free(struct group *group)
{
	group_members_fini(group);
	mem_free(group->protocol_type);
	mem_free(group->protocol);
	mem_free(group->loaded);
	mem_free(group->id);
	mem_free(group);
}

void
group_bury(struct group *group, enum error error)
{
	struct group_shard *shard = group->shard;

	group_walks_pass(group);
	group_pin(group);
	group_set_state(group, GROUP_DEAD);
	hash_remove(&shard->by_id, &group->node);
	metrics_add(shard->groups->setup.metrics, METRIC_GROUPS, -1);
	group_offsets_fini(group);
	group_forget_topics(group);
	group_members_refuse(group, error);
	group_unpin(group);
}

void
group_pin(struct group *group)
{
	group->pins++;
}

void
group_unpin(struct group *group)
{
	CHECK(group->pins > 0);
	if (--group->pins == 0 && group->state == GROUP_DEAD)
		group_free(group);
}

/* --- from the loops ------------------------------------------------------- */

struct group_shard *
group_shard_of(struct groups *groups, struct slice id, bool empty_allowed,
    enum error *error)
{
	int32_t partition;

	if (id.data == NULL || (id.length == 0 && !empty_allowed)) {
		*error = ERR_INVALID_GROUP_ID;
		return (NULL);
	}
	partition = coord_partition_of(groups->coord,
	    cluster_image(groups->setup.cluster), id);
	/* The topic was made, or told, while the request was on its way. */
	if (!loop_is_current(coord_loop(groups->coord, partition))) {
		*error = ERR_NOT_COORDINATOR;
		return (NULL);
	}
	return (coord_state(groups->coord, partition, error));
}

/* --- the log -------------------------------------------------------------- */

void *
group_shard_open(void *arg, struct coord_shard *coord)
{
	struct group_shard *shard = mem_zalloc(sizeof(*shard));

	shard->groups = arg;
	shard->coord = coord;
	shard->loop = coord_shard_loop(coord);
	/* Ids of an earlier time as coordinator do not come again. */
	random_seed(&shard->random, shard->groups->seed ^
	    ((uint64_t)coord_shard_partition(coord) << 32 |
		(uint32_t)coord_shard_epoch(coord)));
	shard->turn = groups_turn(shard->groups, shard->loop);
	list_init(&shard->walks);
	group_retention_init(shard);
	group_gone_init(shard);
	return (shard);
}

static void
replay_tombstone(struct group *group, const struct coord_record *record,
    const struct group_key *key)
{
	const struct offset_slot *slot;

	group_offset_drop(group, key->topic, key->partition, record->offset);
	if (record->loading)
		return;
	/* Who wrote it holds the slot; who else? */
	slot = group_offset_find(group, key->topic, key->partition);
	if (slot != NULL && slot->holds > 1)
		group_pending_forget(group, key);
}

static void
replay_offset(struct group_shard *shard, const struct coord_record *record,
    const struct group_key *key)
{
	struct group_offset offset;
	const bool tombstone = record->value.data == NULL;
	struct group *group;

	if (!tombstone && !group_value_read_offset(record->value, &offset)) {
		shard->unreadable++;
		return;
	}
	if (record->transactional) {
		group_pending_add(shard, record->producer_id, key,
		    tombstone ? NULL : &offset, record->offset);
		return;
	}
	group = group_find(shard, key->group);
	if (tombstone) {
		if (group != NULL)
			replay_tombstone(group, record, key);
		return;
	}
	if (group == NULL)
		group = group_make(shard, key->group);
	group_offset_put(group, key->topic, key->partition, &offset,
	    record->offset);
}

static void
replay_group(struct group_shard *shard, const struct coord_record *record,
    const struct group_key *key)
{
	struct group *group = group_find(shard, key->group);

	if (group == NULL && record->value.data == NULL)
		return;
	if (group == NULL)
		group = group_make(shard, key->group);
	mem_free(group->loaded);
	group->loaded = NULL;
	if (record->value.data == NULL)
		return;
	group->loaded = mem_alloc(sizeof(*group->loaded) +
	    record->value.length);
	group->loaded->length = record->value.length;
	memcpy(group->loaded->bytes, record->value.data,
	    record->value.length);
}

void
group_shard_replay(void *state, const struct coord_record *record)
{
	struct group_shard *shard = state;
	struct group_key key;

	if (!group_key_read(record->key, &key))
		shard->unreadable++;
	else if (key.kind == KEY_OFFSET)
		replay_offset(shard, record, &key);
	else if (key.kind == KEY_GROUP && record->loading)
		replay_group(shard, record, &key);
}

void
group_shard_marker(void *state, int64_t producer_id, int16_t epoch,
    int64_t offset, bool commit)
{
	(void)epoch;
	(void)offset;
	group_pending_end(state, producer_id, commit);
}

/* --- loaded --------------------------------------------------------------- */

/* False: there is nothing of it. */
static bool
group_assemble(struct group *group, struct arena *arena)
{
	struct group_loaded *loaded = group->loaded;
	struct group_metadata_value value;
	bool known = false;

	group->loaded = NULL;
	if (loaded != NULL) {
		known = group_value_read_group(
		    slice_of(loaded->bytes, loaded->length), arena, &value);
		if (known)
			group_restore(group, &value);
		else
			group->shard->unreadable++;
		mem_free(loaded);
		arena_reset(arena);
	}
	group_offsets_trim(group);
	return (known || group->offsets->slot_count > 0);
}

/* What it costs, in offsets. */
static size_t
group_end_load(struct group *group, struct arena *arena)
{
	const size_t bytes = group->loaded == NULL ? 0 : group->loaded->length;
	const size_t cost = group->offsets->slot_count / 4 +
	    bytes / LOADED_BYTES;

	if (!group_assemble(group, arena))
		group_bury(group, ERR_COORDINATOR_NOT_AVAILABLE);
	return (GROUP_COST + cost);
}

static void
shard_say_loaded(const struct group_shard *shard)
{
	struct diag *diag = shard->groups->setup.diag;

	if (shard->unreadable > 0)
		diag_error(diag, group,
		    "partition=__consumer_offsets/%" PRId32 " %" PRIu64
		    " records are not to be understood: passed over",
		    coord_shard_partition(shard->coord), shard->unreadable);
	if (hash_count(&shard->by_id) > 0)
		diag_info(diag, group,
		    "partition=__consumer_offsets/%" PRId32
		    " loaded groups=%zu offsets=%zu epoch=%" PRId32,
		    coord_shard_partition(shard->coord),
		    hash_count(&shard->by_id), shard->offset_count,
		    coord_shard_epoch(shard->coord));
}

bool
group_shard_loaded(void *state)
{
	struct group_shard *shard = state;
	struct group *group;
	struct arena arena;

	if (shard->phase == SHARD_REPLAYS)
		group_walk_begin(&shard->loaded_walk, shard);
	shard->phase = SHARD_ENDS_LOAD;
	arena_init(&arena, 0);
	do
		group = group_walk_next(&shard->loaded_walk);
	while (group != NULL &&
	    group_turn_goes_on(shard, group_end_load(group, &arena)));
	arena_fini(&arena);
	if (group != NULL)
		return (false);
	shard->phase = SHARD_ACTIVE;
	group_retention_start(shard);
	group_lag_open(shard);
	shard_say_loaded(shard);
	return (true);
}

/* --- closed --------------------------------------------------------------- */

static void
shard_begin_close(struct group_shard *shard)
{
	shard->phase = SHARD_CLOSES;
	timer_disarm(&shard->retention);
	group_lag_close(shard);
	group_gone_close(shard);
	group_walks_end(shard);
}

/* Transactions' offsets before the slots that they hold. 0: all has gone. */
static size_t
shard_close_some(struct group_shard *shard)
{
	const size_t pending = group_pending_drop(shard);
	struct hash_node *node = shard->by_id.first;
	struct group *group;
	size_t cost;

	if (pending != 0 || node == NULL)
		return (pending);
	group = container_of(node, struct group, node);
	cost = GROUP_COST + group->members->count + group->offsets->slot_count;
	group_bury(group, ERR_NOT_COORDINATOR);
	return (cost);
}

bool
group_shard_close(void *state)
{
	struct group_shard *shard = state;
	size_t cost;

	if (shard->phase != SHARD_CLOSES)
		shard_begin_close(shard);
	do
		cost = shard_close_some(shard);
	while (cost != 0 && group_turn_goes_on(shard, cost));
	if (cost != 0)
		return (false);
	CHECK(hash_count(&shard->topics) == 0);
	hash_clear(&shard->by_id);
	hash_clear(&shard->topics);
	hash_clear(&shard->producers);
	mem_free(shard);
	return (true);
}
