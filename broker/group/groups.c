/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "config/options.h"
#include "group/lag_int.h"
#include "group/shard_int.h"

static const struct coord_ops group_ops = {
	.name = "group",
	.open = group_shard_open,
	.replay = group_shard_replay,
	.marker = group_shard_marker,
	.loaded = group_shard_loaded,
	.close = group_shard_close,
};

struct groups *
groups_new(const struct groups_setup *setup)
{
	struct groups *groups = mem_zalloc(sizeof(*groups));

	groups->setup = *setup;
	lock_init(&groups->lock, LOCK_RANK_LEAF);
	list_init(&groups->gone);
	groups->turns = mem_zalloc(setup->loop_count * sizeof(*groups->turns));
	groups->seed = random_u64(setup->random);
	groups->coord = coord_new(&(struct coord_setup){
	    .ops = &group_ops,
	    .ops_arg = groups,
	    .topic = OFFSETS_TOPIC,
	    .replicas = setup->replicas,
	    .workers = setup->workers,
	    .loops = setup->loops,
	    .loop_count = setup->loop_count,
	    .load_bytes = setup->load_bytes,
	    .start_partitions = setup->topic_partitions,
	    .start_topic_id = setup->topic_id,
	    .default_partitions = setup->options->offsets_topic_num_partitions,
	    .diag = setup->diag,
	    .metrics = setup->metrics,
	});
	groups->lag = group_lag_new(groups);
	return (groups);
}

void
groups_stop(struct groups *groups)
{
	coord_stop(groups->coord);
}

void
groups_free(struct groups **groups_pointer)
{
	struct groups *groups = *groups_pointer;

	if (groups == NULL)
		return;
	coord_free(&groups->coord);
	group_lag_free(&groups->lag);
	group_forget_gone_topics(groups);
	lock_fini(&groups->lock);
	mem_free(groups->turns);
	mem_free(groups);
	*groups_pointer = NULL;
}

struct coord *
groups_coord(struct groups *groups)
{
	return (groups->coord);
}

struct group_turn *
groups_turn(struct groups *groups, const struct loop *loop)
{
	for (size_t i = 0; i < groups->setup.loop_count; i++)
		if (groups->setup.loops[i] == loop)
			return (&groups->turns[i]);
	UNREACHABLE();
}

void
group_forget(struct group_ask *ask)
{
	struct group_wait *wait = ask->wait;

	ask->wait = NULL;
	if (wait != NULL)
		wait->forget(wait);
}
