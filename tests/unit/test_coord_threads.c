/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinators' runtime with threads: four loops write while leadership
 * comes and goes. */
#include "base/mem.h"
#include "coord/coord_int.h"
#include "replica_rig.h"

#define STORM_PARTITIONS 8
#define STORM_WRITES 8 /* under way, of a loop */

/* One loop's; its state is a count, by partition. */
struct storm_loop {
	struct storm *storm;
	int index;
	int under_way;
	int acknowledged;
	int turn;
	struct storm_write {
		struct coord_write write; /* first */
		struct storm_loop *loop;
		struct coord_entry entry;
		bool busy;
	} writes[STORM_WRITES];
};

struct storm_state {
	struct coord_shard *shard;
	int64_t next_offset;
	bool loaded;
	int calls;
	int closes;
};

struct storm {
	struct replica_rig rig;
	struct coord *coord;
	struct storm_loop loops[RIG_LOOPS];
	atomic_bool ending;
	atomic_int faults;
};

static void *
storm_open(void *arg, struct coord_shard *shard)
{
	struct storm_state *state = mem_zalloc(sizeof(*state));

	(void)arg;
	state->shard = shard;
	return (state);
}

/* Nothing comes twice, and of what is loaded nothing is missing.  A write may
 * be: its error says that leadership went before the acknowledgement. */
static void
storm_replay(void *arg, const struct coord_record *record)
{
	struct storm_state *state = arg;
	struct storm *storm = state->shard->coord->setup.ops_arg;

	if (record->offset < state->next_offset ||
	    (record->loading && record->offset > state->next_offset) ||
	    record->loading == state->loaded)
		atomic_fetch_add(&storm->faults, 1);
	state->next_offset = record->offset + 1;
}

/* Both need a few calls. */
static bool
storm_loaded(void *arg)
{
	struct storm_state *state = arg;

	state->loaded = ++state->calls > 100;
	return (state->loaded);
}

static bool
storm_close(void *arg)
{
	struct storm_state *state = arg;

	if (++state->closes < 100)
		return (false);
	mem_free(state);
	return (true);
}

static const struct coord_ops storm_ops = {
	.name = "group",
	.open = storm_open,
	.replay = storm_replay,
	.loaded = storm_loaded,
	.close = storm_close,
};

static void
storm_done(struct coord_write *write)
{
	struct storm_write *w = (struct storm_write *)write;

	w->busy = false;
	w->loop->under_way--;
	w->loop->acknowledged += write->error == ERR_NONE;
}

/* Writes to the partitions that are served, and comes again. */
static void
storm_turn(void *arg)
{
	struct storm_loop *l = arg;
	const int32_t partition = l->index + RIG_LOOPS * (l->turn++ & 1);
	enum error error;
	struct storm_state *state = coord_state(l->storm->coord, partition,
	    &error);

	if (atomic_load(&l->storm->ending))
		return;
	for (int i = 0; state != NULL && i < STORM_WRITES; i++) {
		struct storm_write *w = &l->writes[i];

		if (w->busy)
			continue;
		w->busy = true;
		w->loop = l;
		l->under_way++;
		w->entry = (struct coord_entry){ SLICE_LITERAL("key"),
			SLICE_LITERAL("value") };
		w->write = (struct coord_write){ .entries = &w->entry,
			.count = 1, .producer_id = -1, .producer_epoch = -1,
			.acks = -1, .timeout_ms = 60000, .done = storm_done };
		coord_append(state->shard, &w->write);
	}
	loop_post_call(l->storm->rig.loops[l->index], storm_turn, l);
}

struct storm_look {
	struct storm_loop *loop;
	bool busy;
	bool acknowledged; /* any */
	int64_t ends[STORM_PARTITIONS / RIG_LOOPS]; /* -1: not served */
};

static void
storm_look_run(void *arg)
{
	struct storm_look *look = arg;

	look->busy = look->loop->under_way > 0;
	look->acknowledged = look->loop->acknowledged > 0;
	for (int i = 0; i < STORM_PARTITIONS / RIG_LOOPS; i++) {
		enum error error;
		struct storm_state *state = coord_state(
		    look->loop->storm->coord, look->loop->index + RIG_LOOPS * i,
		    &error);

		look->ends[i] = state == NULL ? -1 : state->next_offset;
	}
}

static void
rig_nothing_run(void *arg)
{
	(void)arg;
}

static void
storm_order(struct storm *storm, int32_t partition, bool leads, int32_t epoch)
{
	struct rig_order order = { .partition = partition, .epoch = epoch,
		.leader = leads ? 1 : 2, .replica_count = leads ? 1 : 2 };

	CU_ASSERT_EQUAL(replica_rig_order(&storm->rig, &order), ERR_NONE);
}

/* Leadership may go faster than what is written while it lasts. */
static void
storm_await(struct storm *storm, int loop)
{
	struct storm_look look = { .loop = &storm->loops[loop] };

	do {
		replica_rig_on(&storm->rig, loop, storm_look_run, &look);
	} while (!look.acknowledged);
}

/* Each state is what the log holds. */
static void
storm_check(struct storm *storm, int loop)
{
	struct storm_look look = { .loop = &storm->loops[loop] };

	do {
		replica_rig_on(&storm->rig, loop, storm_look_run, &look);
	} while (look.busy || look.ends[0] < 0 || look.ends[1] < 0);
	for (int i = 0; i < STORM_PARTITIONS / RIG_LOOPS; i++) {
		struct log *log = storage_find(storm->rig.storage, RIG_TOPIC,
		    loop + RIG_LOOPS * i);

		CU_ASSERT_EQUAL(look.ends[i], log_end_offset(log));
		log_unref(log);
	}
}

/* Four loops write while leadership comes and goes. */
static void
test_storm(void)
{
	struct storm *storm = mem_zalloc(sizeof(*storm));
	int32_t epoch = 5;

	replica_rig_init(&storm->rig, true, NULL);
	replica_rig_image(&storm->rig, RIG_TOPIC, STORM_PARTITIONS, 1);
	storm->coord = coord_new(&(struct coord_setup){ .ops = &storm_ops,
		.ops_arg = storm, .topic = RIG_TOPIC,
		.replicas = storm->rig.replicas, .workers = storm->rig.workers,
		.loops = storm->rig.loops, .loop_count = RIG_LOOPS,
		.load_bytes = 2000, .default_partitions = 50,
		.metrics = storm->rig.metrics });
	for (int i = 0; i < RIG_LOOPS; i++) {
		storm->loops[i].storm = storm;
		storm->loops[i].index = i;
		loop_post_call(storm->rig.loops[i], storm_turn,
		    &storm->loops[i]);
	}
	for (int round = 0; round < 12; round++, epoch++)
		for (int32_t p = 0; p < STORM_PARTITIONS; p++)
			storm_order(storm, p, ((round + p) & 1) == 0, epoch);
	for (int32_t p = 0; p < STORM_PARTITIONS; p++)
		storm_order(storm, p, true, epoch);
	for (int i = 0; i < RIG_LOOPS; i++)
		storm_await(storm, i);
	atomic_store(&storm->ending, true);
	for (int i = 0; i < RIG_LOOPS; i++)
		storm_check(storm, i);
	CU_ASSERT_EQUAL(atomic_load(&storm->faults), 0);
	coord_stop(storm->coord);
	for (int i = 0; !coord_at_rest(storm->coord); i++)
		replica_rig_on(&storm->rig, i % RIG_LOOPS, rig_nothing_run,
		    NULL);
	coord_free(&storm->coord);
	replica_rig_fini(&storm->rig);
	mem_free(storm);
}

static const struct unit_test tests[] = {
	{ "leadership comes and goes under four loops' writes", test_storm },
};

int
main(void)
{
	return (unit_main("coord, threads", tests, nelems(tests)));
}
