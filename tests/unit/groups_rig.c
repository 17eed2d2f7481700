/* SPDX-License-Identifier: Apache-2.0 */
#include "groups_rig.h"

#include "cluster/cluster.h"

void
rig_begin(struct rig *rig)
{
	*rig = (struct rig){ .groups = NULL };
	list_init(&rig->asked);
	arena_init(&rig->arena, 0);
	clock_virtual_init(&rig->clock, WALL_MS);
	rig->scheduler = scheduler_new_replay(&rig->clock, 1);
	rig->loop = loop_new(rig->scheduler, "groups");
	loop_start(rig->loop);
	rig->config = config_new();
	CHECK(config_override(rig->config, "broker.id=1"));
	CHECK(config_override(rig->config, "zookeeper.connect=localhost"));
	CHECK(config_override(rig->config, "log.dirs=/nowhere"));
	CHECK(config_resolve(rig->config));
	rig->options = config_options(rig->config)->group;
	rig->metrics = metrics_new();
	random_seed(&rig->random, 1);
	rig->cluster = cluster_new(&(struct cluster_setup){
	    .loops = &rig->loop,
	    .loop_count = 1,
	    .cluster_id = "cluster",
	    .broker_id = 1,
	});
}

void
rig_groups(struct rig *rig, bool (*high_watermark)(void *arg,
    struct slice topic, int32_t partition, int64_t *out), void *arg)
{
	rig->groups = groups_new(&(struct groups_setup){
	    .options = &rig->options,
	    .cluster = rig->cluster,
	    .loops = &rig->loop,
	    .loop_count = 1,
	    .load_bytes = 1 << 20,
	    .high_watermark = high_watermark,
	    .high_watermark_arg = arg,
	    .random = &rig->random,
	    .metrics = rig->metrics,
	});
	rig->coord = groups_coord(rig->groups);
	fake_coord_load(rig->coord);
}

void
rig_run(struct rig *rig, int64_t ms)
{
	scheduler_run_until(rig->scheduler, rig->clock.now_ns + ms * MS);
}

void
rig_end(struct rig *rig)
{
	loop_stop(rig->loop);
	groups_free(&rig->groups);
	cluster_free(&rig->cluster);
	loop_free(rig->loop);
	scheduler_free(rig->scheduler);
	metrics_free(rig->metrics);
	config_unref(rig->config);
	arena_fini(&rig->arena);
}
