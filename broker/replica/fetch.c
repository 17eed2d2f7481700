/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch: the waiting.
 *
 *	fetch_run --hot, enough---------------------------------> done
 *	    |                                                       ^
 *	    +--cold--> [cold: worker reads] --enough----------------+
 *	    |                |                                      |
 *	    +--too little----+--> [await bytes] --> [read] ---------+
 *	                                               +--> [cold] -+
 *
 * Before `done`, versions up to 3 pass a worker that converts what was read.
 *
 * A fetch that waits holds no bytes: what the first read found is given back,
 * so that segments may go, and read again at the end.
 *
 * A follower has one fetch under way: what it is told to follow meanwhile waits
 * for the answer, and so do those whose records wait for all replicas.  So once
 * this broker has begun to lead something, followers are answered soon, and
 * then less and less so: the next fetch may have it.
 */
#include "replica/fetch_int.h"

#define SOON_NS (2 * NANOS_PER_MILLI)

static task_step fetch_cold, fetch_cold_read, fetch_await_bytes, fetch_last,
    fetch_convert, fetch_converted;

static bool fetch_enough(struct fetch *f);
static void fetch_task_begin(struct fetch *f, task_step *first);
static void fetch_finish(struct fetch *f);

static void
fetch_part_begin(struct fetch_part *part)
{
	part->high_watermark = -1;
	part->stable_offset = -1;
	part->answered_log_start = -1;
	part->has_diverging = false;
	part->diverging = (struct log_epoch_end){ -1, -1 };
	part->current_leader = -1;
	part->current_leader_id_epoch = -1;
	part->preferred_read_replica = -1;
	part->extent = (struct extent){ 0 };
	part->aborted = (struct log_aborted_list){ 0 };
	part->tells_aborted = false;
	part->replica = NULL;
	part->link = (struct waitq_link){ 0 };
}

/* Waits at most half as long as it is since a leadership began. */
static void
fetch_hasten(struct fetch *f)
{
	const int64_t now = loop_now_ns(f->loop);
	int64_t wait = (now - atomic_load(&f->replicas->led_ns)) / 2;

	if (f->replica_id < 0)
		return;
	if (wait < SOON_NS)
		wait = SOON_NS;
	if (now + wait < f->state->deadline_ns)
		f->state->deadline_ns = now + wait;
}

void
fetch_run(struct fetch *f)
{
	struct fetch_int *state = arena_zalloc(f->arena, sizeof(*state));
	struct fetch_part_int *parts = arena_array(f->arena, f->part_count,
	    sizeof(*parts));

	f->state = state;
	for (size_t i = 0; i < f->part_count; i++)
		fetch_part_begin(&f->parts[i]);
	if (state == NULL || parts == NULL) {
		for (size_t i = 0; i < f->part_count; i++)
			f->parts[i].error = ERR_UNKNOWN_SERVER_ERROR;
		f->state = NULL;
		f->done(f);
		return;
	}
	state->fetch = f;
	state->parts = parts;
	state->deadline_ns = loop_now_ns(f->loop) +
	    (int64_t)f->max_wait_ms * NANOS_PER_MILLI;
	fetch_hasten(f);
	fetch_resolve(f);
	fetch_choose(f);
	if (!fetch_is_hot(f)) {
		fetch_task_begin(f, fetch_cold);
		return;
	}
	fetch_read_all(f);
	if (!fetch_enough(f))
		fetch_task_begin(f, fetch_await_bytes);
	else if (fetch_must_convert(f))
		fetch_task_begin(f, fetch_convert);
	else
		fetch_finish(f);
}

void
fetch_abandon(struct fetch *f)
{
	if (f->state == NULL)
		return;
	f->state->abandoned = true;
	task_wake_ref(f->state->task);
}

/* After a read. */
static bool
fetch_enough(struct fetch *f)
{
	const struct fetch_int *state = f->state;
	int32_t wanted = f->min_bytes < f->max_bytes ? f->min_bytes :
						       f->max_bytes;

	return (f->max_wait_ms <= 0 || f->part_count == 0 || state->at_once ||
	    state->abandoned || state->read_bytes >= wanted ||
	    (f->must_answer != NULL && f->must_answer(f)));
}

/* --- steps ---------------------------------------------------------------- */

static const struct task_class fetch_class = {
	.name = "fetch",
	.state_size = sizeof(struct fetch *),
};

static struct fetch *
fetch_of(struct task *t)
{
	return (*(struct fetch **)task_state(t));
}

static void
fetch_setup(struct task *task, void *arg)
{
	*(struct fetch **)task_state(task) = arg;
}

static void
fetch_task_begin(struct fetch *f, task_step *first)
{
	struct task *task = task_start(f->loop, &fetch_class, first,
	    fetch_setup, f);

	task_set_deadline(task, f->state->deadline_ns);
	f->state->task = task_ref(task);
}

static void
fetch_work_run(struct work *work)
{
	struct fetch *f = container_of(work, struct fetch_int, work)->fetch;

	fetch_read_all(f);
	fetch_bring(f);
}

static void
fetch_work_done(struct work *work)
{
	struct fetch_int *state = container_of(work, struct fetch_int, work);

	state->work_done = true;
	task_wake_ref(state->task);
}

/* The last read is done. */
static enum verdict
fetch_complete(struct task *t)
{
	struct fetch *f = fetch_of(t);

	if (!f->state->abandoned && fetch_must_convert(f))
		return (task_next(t, fetch_convert));
	fetch_finish(f);
	return (STEP_DONE);
}

static struct work_queue *
fetch_work(const struct fetch *f)
{
	struct work_queue *work = NULL;

	for (size_t i = 0; i < f->part_count; i++)
		if (f->parts[i].replica != NULL)
			work = append_dir_reads(f->parts[i].replica, work);
	return (work != NULL ? work : f->replicas->setup.workers);
}

static enum verdict
fetch_cold(struct task *t)
{
	struct fetch *f = fetch_of(t);
	struct fetch_int *state = f->state;

	state->work_done = false;
	state->work.run = fetch_work_run;
	state->work.done = fetch_work_done;
	state->work.home = f->loop;
	work_submit(fetch_work(f), &state->work);
	return (task_next(t, fetch_cold_read));
}

static enum verdict
fetch_cold_read(struct task *t)
{
	struct fetch *f = fetch_of(t);

	if (!f->state->work_done)
		return (STEP_WAIT);
	if (!f->state->waits && !fetch_enough(f) && !task_expired(t))
		return (task_next(t, fetch_await_bytes));
	return (fetch_complete(t));
}

static void
fetch_count_waiting(struct fetch *f, bool waits)
{
	if (f->state->waits != waits)
		metrics_add_at(f->replicas->setup.metrics,
		    METRIC_PURGATORY_SIZE, METRICS_DELAYED_FETCH,
		    waits ? 1 : -1);
	f->state->waits = waits;
}

static enum verdict
fetch_await_bytes(struct task *t)
{
	struct fetch *f = fetch_of(t);
	bool late = task_expired(t) || f->state->abandoned;

	fetch_drop(f);
	fetch_count_waiting(f, true);
	for (size_t i = 0; i < f->part_count; i++)
		if (f->parts[i].replica != NULL)
			waitq_join(&f->parts[i].replica->readable,
			    &f->parts[i].link, t);
	if (late || fetch_is_ready(f))
		return (task_next(t, fetch_last));
	if (f->replica_id >= 0) {
		waitq_join(&f->replicas->led, &f->state->led, t);
		fetch_hasten(f);
		task_set_deadline(t, f->state->deadline_ns);
	}
	return (STEP_WAIT);
}

static enum verdict
fetch_last(struct task *t)
{
	struct fetch *f = fetch_of(t);

	if (!f->state->abandoned) {
		fetch_choose(f);
		if (!fetch_is_hot(f))
			return (task_next(t, fetch_cold));
	}
	if (!f->state->abandoned)
		fetch_read_all(f);
	return (fetch_complete(t));
}

/* --- older versions ------------------------------------------------------- */

static void
fetch_convert_run(struct work *work)
{
	fetch_convert_all(
	    container_of(work, struct fetch_int, work)->fetch);
}

static enum verdict
fetch_convert(struct task *t)
{
	struct fetch *f = fetch_of(t);
	struct fetch_int *state = f->state;

	state->work_done = false;
	state->work.run = fetch_convert_run;
	state->work.done = fetch_work_done;
	state->work.home = f->loop;
	work_submit(fetch_work(f), &state->work);
	return (task_next(t, fetch_converted));
}

static enum verdict
fetch_converted(struct task *t)
{
	struct fetch *f = fetch_of(t);

	if (!f->state->work_done)
		return (STEP_WAIT);
	fetch_finish(f);
	return (STEP_DONE);
}

/* --- the answer ----------------------------------------------------------- */

/* To a consumer, or to a follower. */
static void
fetch_count_bytes(const struct fetch *f, const struct fetch_part *part,
    size_t length)
{
	if (f->replica_id < 0) {
		traffic_add(&part->replica->traffic.bytes_out, length);
		return;
	}
	replica_note_sent(part->replica, length);
	if (length > 0 && replica_adds_follower(part->replica, f->replica_id))
		metrics_add(f->replicas->setup.metrics,
		    METRIC_REASSIGNMENT_BYTES_OUT, (int64_t)length);
}

static void
fetch_count(struct fetch *f)
{
	struct metrics *metrics = f->replicas->setup.metrics;
	int64_t failed = 0, bytes = 0;

	for (size_t i = 0; i < f->part_count; i++) {
		const struct fetch_part *part = &f->parts[i];
		size_t length = part->extent.blob == NULL ? 0 :
							    part->extent.length;

		failed += part->error != ERR_NONE;
		bytes += (int64_t)length;
		if (part->replica == NULL)
			continue;
		traffic_add(&part->replica->traffic.fetches, 1);
		traffic_add(&part->replica->traffic.failed_fetches,
		    part->error != ERR_NONE);
		fetch_count_bytes(f, part, length);
	}
	metrics_add(metrics, METRIC_FETCH_REQUESTS, (int64_t)f->part_count);
	metrics_add(metrics, METRIC_FAILED_FETCH_REQUESTS, failed);
	metrics_add(metrics, f->replica_id >= 0 ? METRIC_REPLICATION_BYTES_OUT :
						  METRIC_BYTES_OUT, bytes);
}

static void
fetch_finish(struct fetch *f)
{
	fetch_count_waiting(f, false);
	waitq_leave(&f->replicas->led, &f->state->led);
	fetch_count(f);
	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];

		if (part->error == ERR_NOT_LEADER_OR_FOLLOWER)
			part->error = replicas_refusal(f->replicas,
			    part->replica, part->topic, part->partition);
		if (part->error == ERR_NOT_LEADER_OR_FOLLOWER ||
		    part->error == ERR_FENCED_LEADER_EPOCH) {
			struct leader_hint hint = replicas_leader_hint(
			    f->replicas, part->replica, part->topic,
			    part->partition);

			part->current_leader = hint.leader;
			part->current_leader_id_epoch = hint.leader_epoch;
		}
		if (part->replica == NULL)
			continue;
		waitq_leave(&part->replica->readable, &part->link);
		replica_unref(part->replica);
		part->replica = NULL;
	}
	f->done(f);
}
