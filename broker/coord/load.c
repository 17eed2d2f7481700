/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load: one task on the shard's loop.
 *
 *	[turn] --> [read: a worker] --> [replay, slice by slice] --+
 *	   ^           ^  |  |                                     |
 *	   |           |  |  +-- the log's end --> [end: loaded]   |
 *	   |           +--|----------------------------------------+
 *	[pause] <---------+ an error: said, and tried again
 *
 * Who pauses has no turn: what cannot be read does not keep others waiting.
 * When the shard closes, the task ends by itself: a worker may be at it.
 */
#include "coord/coord_int.h"

#include "base/errors.h"

/* Records replayed in one step; TASK_STEPS_PER_TURN steps make a turn. */
#define REPLAYED_IN_STEP 32
#define PAUSE_NS ((int64_t)1000 * 1000000)
/* A read that fails for long is said again. */
#define SAID_EACH 60
#define NANOS_PER_MILLI 1000000

/* Who waits for its turn; under the coordinator's lock. */
struct load_turn {
	struct list link;
	struct task_ref task;
	bool granted;
};

struct coord_load {
	struct coord *coord;
	struct coord_shard *shard; /* valid unless abandoned */
	struct task_ref task;
	bool abandoned;
	struct load_turn turn;
	struct work work;
	bool reading;
	unsigned failures; /* since the last read that did not fail */
	struct coord_chunk chunk;
	int64_t began_ns;
	uint64_t record_count;
	size_t damaged;
};

static task_step load_await_turn, load_read, load_have, load_replay,
    load_pause, load_end;

/* --- turns ---------------------------------------------------------------- */

static void
turn_join(struct coord_load *load)
{
	struct coord *coord = load->coord;

	lock_take(&coord->lock);
	if (coord->loads < LOADS_AT_ONCE) {
		coord->loads++;
		load->turn.granted = true;
	} else {
		list_push_tail(&coord->load_queue, &load->turn.link);
	}
	lock_release(&coord->lock);
}

static bool
turn_granted(struct coord_load *load)
{
	bool granted;

	lock_take(&load->coord->lock);
	granted = load->turn.granted;
	lock_release(&load->coord->lock);
	return (granted);
}

/* The place goes to whoever has waited longest. */
static void
turn_leave(struct coord_load *load)
{
	struct coord *coord = load->coord;
	struct task_ref next = { NULL, 0 };

	lock_take(&coord->lock);
	list_remove(&load->turn.link);
	if (load->turn.granted) {
		load->turn.granted = false;
		struct list *link = list_pop_head(&coord->load_queue);

		if (link != NULL) {
			struct load_turn *turn = list_entry(link,
			    struct load_turn, link);

			turn->granted = true;
			next = turn->task;
		} else {
			coord->loads--;
		}
	}
	lock_release(&coord->lock);
	task_wake_ref(next);
}

/* --- life ----------------------------------------------------------------- */

static void
load_fini(struct task *task)
{
	struct coord_load *load = task_state(task);

	turn_leave(load);
	chunk_fini(&load->chunk);
	atomic_fetch_sub(&load->coord->running, 1);
}

static const struct task_class load_class = {
	.name = "coordinator load",
	.state_size = sizeof(struct coord_load),
	.fini = load_fini,
};

static void
load_setup(struct task *task, void *arg)
{
	struct coord_load *load = task_state(task);
	struct coord_shard *shard = arg;

	load->coord = shard->coord;
	load->shard = shard;
	load->task = load->turn.task = task_ref(task);
	list_init(&load->turn.link);
	load->began_ns = loop_now_ns(shard->home->loop);
	load->chunk.coord = shard->coord;
	load->chunk.partition = shard->partition;
	shard->load = load;
	turn_join(load);
}

void
load_start(struct coord_shard *shard)
{
	atomic_fetch_add(&shard->coord->running, 1);
	task_start(shard->home->loop, &load_class, load_await_turn, load_setup,
	    shard);
}

void
load_abandon(struct coord_load *load)
{
	load->abandoned = true;
	task_wake_ref(load->task);
}

static enum verdict
load_await_turn(struct task *t)
{
	struct coord_load *load = task_state(t);

	if (load->abandoned)
		return (STEP_DONE);
	return (turn_granted(load) ? task_next(t, load_read) : STEP_WAIT);
}

/* --- reading -------------------------------------------------------------- */

static void
load_run(struct work *work)
{
	struct coord_load *load = container_of(work, struct coord_load, work);

	chunk_read(&load->chunk);
}

static void
load_ran(struct work *work)
{
	struct coord_load *load = container_of(work, struct coord_load, work);

	load->reading = false;
	task_wake_ref(load->task);
}

static enum verdict
load_read(struct task *t)
{
	struct coord_load *load = task_state(t);

	if (load->abandoned)
		return (STEP_DONE);
	load->reading = true;
	load->work.run = load_run;
	load->work.done = load_ran;
	load->work.home = task_loop(t);
	work_submit(load->coord->setup.workers, &load->work);
	return (task_next(t, load_have));
}

static void
load_say_failure(struct coord_load *load)
{
	const struct coord *coord = load->coord;

	if (load->failures++ % SAID_EACH != 0)
		return;
	diag_error(coord->setup.diag, coord, "partition=%s/%d offset=%lld "
	    "error=%s: its log cannot be read, so the %s coordinator answers "
	    "COORDINATOR_LOAD_IN_PROGRESS; tried again every second",
	    coord->setup.topic, (int)load->shard->partition,
	    (long long)load->chunk.from, error_name((int)load->chunk.error),
	    coord->setup.ops->name);
}

static void
load_say_end(struct coord_load *load, struct loop *loop)
{
	struct coord *coord = load->coord;
	const struct coord_shard *shard = load->shard;
	const int64_t took_ms = (loop_now_ns(loop) - load->began_ns) /
	    NANOS_PER_MILLI;

	diag_info(coord->setup.diag, coord, "partition=%s/%d epoch=%d %s "
	    "coordinator loaded records=%llu end=%lld damaged_batches=%zu "
	    "ms=%lld", coord->setup.topic, (int)shard->partition,
	    (int)shard->epoch, coord->setup.ops->name,
	    (unsigned long long)load->record_count,
	    (long long)load->chunk.from, load->damaged, (long long)took_ms);
	times_note(coord, loop_now_ms(loop), took_ms);
}

/* What the coordinator makes of it, step by step. */
static enum verdict
load_end(struct task *t)
{
	struct coord_load *load = task_state(t);

	if (load->abandoned)
		return (STEP_DONE);
	if (!shard_loaded(load->shard))
		return (STEP_RUN);
	load_say_end(load, task_loop(t));
	return (STEP_DONE);
}

static enum verdict
load_have(struct task *t)
{
	struct coord_load *load = task_state(t);

	if (load->reading)
		return (STEP_WAIT);
	if (load->abandoned)
		return (STEP_DONE);
	/* The load does not end before it has read them: they are not kept
	 * for as long as it cannot. */
	marks_forget_below(load->shard, load->chunk.log_end);
	if (load->chunk.error != ERR_NONE) {
		load_say_failure(load);
		turn_leave(load);
		task_sleep(t, PAUSE_NS);
		return (task_next(t, load_pause));
	}
	load->failures = 0;
	if (load->chunk.end) {
		shard_replayed(load->shard, load->chunk.from);
		return (task_next(t, load_end));
	}
	return (task_next(t, load_replay));
}

static enum verdict
load_pause(struct task *t)
{
	struct coord_load *load = task_state(t);

	if (load->abandoned)
		return (STEP_DONE);
	if (!task_slept(t))
		return (STEP_WAIT);
	turn_join(load);
	return (task_next(t, load_await_turn));
}

/* --- replaying ------------------------------------------------------------ */

static enum verdict
load_replay(struct task *t)
{
	struct coord_load *load = task_state(t);
	const struct coord_ops *ops = load->coord->setup.ops;
	struct coord_record record;
	bool commit;

	if (load->abandoned)
		return (STEP_DONE);
	for (int i = 0; i < REPLAYED_IN_STEP; i++) {
		switch (chunk_next(&load->chunk, &record, &commit)) {
		case CHUNK_RECORD:
			load->record_count++;
			ops->replay(load->shard->state, &record);
			break;
		case CHUNK_MARKER:
			if (ops->marker != NULL)
				ops->marker(load->shard->state,
				    record.producer_id, record.producer_epoch,
				    record.offset, commit);
			break;
		case CHUNK_END:
			load->damaged += load->chunk.damaged;
			load->chunk.from = load->chunk.next;
			chunk_clear(&load->chunk);
			return (task_next(t, load_read));
		}
	}
	return (STEP_RUN);
}
