/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlterReplicaLogDirs (KIP-113): a partition's log moves to another directory
 * while the partition serves.
 *
 *	asked, or found at the start
 *	   |        .--- a pause: throttled, a want, the partition is busy
 *	   v        v  |
 *	[begin] --> [step on a worker: some MiB are copied] --> [swap]
 *	   |            |       ^ |                    has all    |
 *	   |            |       '-' more to copy                  v
 *	   |            |                                     [finish] --.
 *	   |            |                                         ^ a want|
 *	   |            |                                         '-------'
 *	   |            +-- a directory failed: given up, the copy stays
 *	   +-- another directory is asked for, the partition goes: dropped
 *
 * A step holds the move's lock, which comes before the partition's; whoever
 * ends a move takes it, so he waits for a step at most.  The swap has the
 * partition for itself (its claim and its lock): appends are queued, reads go
 * on.  `replica->move` is the claim's.
 *
 * Source: Kafka 3.9's ReplicaManager.alterReplicaLogDirs,
 * ReplicaAlterLogDirsThread.
 */
#include "replica/move.h"

#include <stdio.h>

#include "base/mem.h"
#include "config/options.h"
#include "replica/move_int.h"

/* Copied by one step, in chunks of FUTURE_CHUNK_BYTES. */
#define STEP_CHUNKS 4
#define BUSY_PAUSE_NS (INT64_C(10) * NANOS_PER_MILLI)
#define WANT_PAUSE_NS (INT64_C(1000) * NANOS_PER_MILLI)
#define THROTTLE_PAUSE_NS (INT64_C(100) * NANOS_PER_MILLI)
#define SAY_NS (INT64_C(60000) * NANOS_PER_MILLI)
#define NAME_LENGTH_MAX 255
#define HEX_DIGITS 32

static void move_run(struct work *work);
static void move_done(struct work *work);
static void move_due(struct timer *timer);
static int64_t move_step(struct move *move);
static int64_t move_swap(struct move *move);
static int64_t move_finish(struct move *move);
static int64_t move_refused(struct move *move, enum error error);
static void move_say(struct move *move, enum error error, const char *what,
    bool over);
static void move_start(struct post *post);

/* What a step answers instead of a pause. */
#define STEP_AGAIN INT64_C(0)
#define STEP_OVER INT64_C(-1)

/* --- life ----------------------------------------------------------------- */

void
moves_init(struct replicas *replicas)
{
	struct moves *moves = &replicas->moves;
	int32_t wanted =
	    replicas->setup.options->num_replica_alter_log_dirs_threads;

	lock_init(&moves->lock, LOCK_RANK_LEAF);
	list_init(&moves->list);
	atomic_init(&moves->running, 0);
	moves->queue = work_queue_new_apart(replicas->setup.scheduler, "moves",
	    wanted < 1 ? 1 : wanted > MOVE_THREADS_MAX ? MOVE_THREADS_MAX :
							 (int)wanted);
}

static void
move_unref(struct move *move)
{
	if (atomic_fetch_sub(&move->references, 1) != 1)
		return;
	lock_fini(&move->lock);
	mem_free(move);
}

/* It does not run any more: out of the list. */
static void
move_forget(struct move *move)
{
	struct moves *moves = &move->replica->replicas->moves;
	struct replica *replica = move->replica;

	lock_take(&moves->lock);
	list_remove(&move->link);
	lock_release(&moves->lock);
	move->replica = NULL;
	move_unref(move);
	replica_unref(replica);
}

void
moves_let_go(struct replica *replica)
{
	if (replica->move != NULL)
		move_unref(replica->move);
	replica->move = NULL;
}

void
moves_stop(struct replicas *replicas)
{
	struct moves *moves = &replicas->moves;

	/* A worker may begin one just now, and find out that we stop. */
	lock_take(&moves->lock);
	LIST_EACH(element, &moves->list) {
		struct move *move = list_entry(element, struct move, link);

		if (!timer_armed(&move->timer))
			continue;
		timer_disarm(&move->timer);
		atomic_fetch_sub(&moves->running, 1);
	}
	lock_release(&moves->lock);
}

bool
moves_at_rest(const struct replicas *replicas)
{
	return (atomic_load(&replicas->moves.running) == 0);
}

/* Unfinished copies stay for the next start. */
void
moves_fini(struct replicas *replicas)
{
	struct moves *moves = &replicas->moves;

	CHECK(moves_at_rest(replicas));
	work_queue_free(moves->queue);
	while (!list_empty(&moves->list)) {
		struct move *move = list_entry(moves->list.next, struct move,
		    link);
		struct replica *replica = move->replica;

		if (move->future != NULL)
			log_future_leave(&move->future);
		if (replica->move == move) {
			replica->move = NULL;
			move_unref(move);
		}
		move_forget(move);
	}
	lock_fini(&moves->lock);
}

void
moves_each(struct replicas *replicas,
    void (*each)(void *arg, const struct move_view *view), void *arg)
{
	struct moves *moves = &replicas->moves;

	lock_take(&moves->lock);
	LIST_EACH(element, &moves->list) {
		const struct move *move = list_entry(element, struct move,
		    link);
		struct move_view view = {
			.replica = move->replica,
			.dir = move->dir,
			.size_bytes = atomic_load(&move->size_bytes),
			.end_offset = atomic_load(&move->end_offset),
		};

		if (!atomic_load(&move->ended) && !atomic_load(&move->swapped))
			each(arg, &view);
	}
	lock_release(&moves->lock);
}

/* --- begin and end: the replica is claimed -------------------------------- */

/* Who deletes records waits for the copy, too. */
static void
move_tell_start(struct replica *replica, int64_t offset)
{
	if (atomic_exchange(&replica->copy_start_offset, offset) != offset)
		waitq_wake(&replica->trimmed);
}

static void
move_measure(struct move *move)
{
	if (move->future == NULL || atomic_load(&move->swapped))
		return;
	atomic_store(&move->size_bytes,
	    log_future_size_bytes(move->future));
	atomic_store(&move->end_offset,
	    log_future_end_offset(move->future));
	move_tell_start(move->replica, log_future_start_offset(move->future));
}

static struct move *
move_new(struct replica *replica, struct log_dir *dir)
{
	struct replicas *replicas = replica->replicas;
	struct move *move = mem_zalloc(sizeof(*move));

	atomic_init(&move->references, 2); /* the list's, the replica's */
	atomic_init(&move->ended, false);
	atomic_init(&move->swapped, false);
	atomic_init(&move->size_bytes, 0);
	atomic_init(&move->end_offset, 0);
	lock_init(&move->lock, LOCK_RANK_REPLICAS);
	list_init(&move->link);
	move->replica = replica_ref(replica);
	move->dir = dir;
	move->work.run = move_run;
	move->work.done = move_done;
	move->work.home = replicas->setup.loop;
	move->start.run = move_start;
	return (move);
}

/* On the loop: it runs from now on. */
static void
move_start(struct post *post)
{
	struct move *move = container_of(post, struct move, start);
	struct replicas *replicas = move->replica->replicas;

	timer_init(&move->timer, replicas->setup.loop, move_due);
	if (replicas_stopped(replicas))
		atomic_fetch_sub(&replicas->moves.running, 1);
	else
		work_submit(replicas->moves.queue, &move->work);
}

enum error
move_begin(struct replica *replica, struct log_dir *dir, bool at_once)
{
	struct moves *moves = &replica->replicas->moves;
	struct log *log = replica_log(replica);
	struct move *move;
	enum error error = ERR_NONE;

	if (log == NULL || replicas_stopped(replica->replicas))
		return (ERR_KAFKA_STORAGE_ERROR);
	move = move_new(replica, dir);
	if (at_once)
		error = log_future_new(log, dir, &move->future);
	if (error != ERR_NONE) {
		replica_unref(move->replica);
		move_unref(move);
		move_unref(move);
		return (error);
	}
	move_measure(move);
	replica->move = move;
	atomic_fetch_add(&moves->running, 1);
	lock_take(&moves->lock);
	list_push_tail(&moves->list, &move->link);
	lock_release(&moves->lock);
	loop_post(replica->replicas->setup.loop, &move->start);
	return (ERR_NONE);
}

/* What a start found and no step has begun anew would come back with the next
 * one. */
static void
move_forget_found(struct replica *replica)
{
	storage_drop_future(replica->replicas->setup.storage, replica->topic,
	    replica->partition);
}

void
move_end(struct replica *replica)
{
	struct move *move = replica->move;

	if (move == NULL) {
		move_forget_found(replica);
		return;
	}
	lock_take(&move->lock);
	if (!atomic_exchange(&move->ended, true) &&
	    !atomic_load(&move->swapped))
		diag_info(replica->replicas->setup.diag, replica,
		    "partition=%s/%d moves no more to dir=%s", replica->topic,
		    (int)replica->partition, log_dir_path(move->dir));
	if (move->future != NULL)
		log_future_drop(&move->future);
	else
		move_forget_found(replica);
	lock_release(&move->lock);
	move_tell_start(replica, INT64_MAX);
	replica->move = NULL;
	move_unref(move);
}

struct log_dir *
move_goal(const struct replica *replica)
{
	return (replica->move == NULL || atomic_load(&replica->move->ended) ?
	    NULL : replica->move->dir);
}

void
move_resume(struct replica *replica)
{
	struct log_dir *dir = storage_found_future(
	    replica->replicas->setup.storage, replica->topic,
	    replica->partition);
	const struct log *log = replica_log(replica);

	if (dir == NULL || log == NULL || dir == log_directory(log) ||
	    replica->move != NULL)
		return;
	/* A log of that name might lie in the one that is lost. */
	if (storage_has_failed_dir(replica->replicas->setup.storage)) {
		diag_warn(replica->replicas->setup.diag, replica,
		    "partition=%s/%d was moving to dir=%s: that goes on after "
		    "a start with all directories", replica->topic,
		    (int)replica->partition, log_dir_path(dir));
		return;
	}
	diag_info(replica->replicas->setup.diag, replica,
	    "partition=%s/%d was moving: its copy is begun anew dir=%s",
	    replica->topic, (int)replica->partition, log_dir_path(dir));
	(void)move_begin(replica, dir, false);
}

/* --- running -------------------------------------------------------------- */

static void
move_run(struct work *work)
{
	struct move *move = container_of(work, struct move, work);

	lock_take(&move->lock);
	move->pause_ns = atomic_load(&move->ended) ||
	    replicas_stopped(move->replica->replicas) ? STEP_OVER :
							move_step(move);
	move_measure(move);
	lock_release(&move->lock);
}

static void
move_done(struct work *work)
{
	struct move *move = container_of(work, struct move, work);
	struct replicas *replicas = move->replica->replicas;

	if (move->pause_ns != STEP_OVER && !replicas_stopped(replicas)) {
		if (move->pause_ns == STEP_AGAIN)
			work_submit(replicas->moves.queue, &move->work);
		else
			timer_arm_in(&move->timer, move->pause_ns);
		return;
	}
	atomic_fetch_sub(&replicas->moves.running, 1);
	/* What the stop cut short still has its copy. */
	if (atomic_load(&move->ended))
		move_forget(move);
}

static void
move_due(struct timer *timer)
{
	struct move *move = container_of(timer, struct move, timer);

	work_submit(move->replica->replicas->moves.queue, &move->work);
}

/* What one chunk may be, so that no second has many times the limit. */
static size_t
move_chunk(const struct replicas *replicas)
{
	int64_t limit = throttle_limit(&replicas->between_dirs);

	return (limit < (int64_t)FUTURE_CHUNK_BYTES ?
	    (limit < 1 ? 1 : (size_t)limit) : FUTURE_CHUNK_BYTES);
}

static enum error
move_copy(struct move *move)
{
	struct replicas *replicas = move->replica->replicas;
	size_t chunk = move_chunk(replicas), copied = 0;
	enum error error = ERR_NONE;

	for (int i = 0; i < STEP_CHUNKS && error == ERR_NONE; i++) {
		size_t some;

		/* If only its start follows. */
		error = log_future_copy(move->future, chunk, &some);
		copied += some;
		if (chunk < FUTURE_CHUNK_BYTES ||
		    log_future_left_bytes(move->future) == 0)
			break;
	}
	throttle_note(&replicas->between_dirs, (int64_t)copied,
	    replicas_now_ms(replicas));
	return (error);
}

/* A pause, STEP_AGAIN or STEP_OVER. */
static int64_t
move_step(struct move *move)
{
	struct replica *replica = move->replica;
	struct replicas *replicas = replica->replicas;
	struct log *log = replica_log(replica);
	enum error error = ERR_NONE;

	if (atomic_load(&move->swapped))
		return (move_finish(move));
	if (log == NULL || log_dir_is_offline(move->dir))
		return (move_refused(move, ERR_KAFKA_STORAGE_ERROR));
	if (move->future == NULL)
		error = log_future_new(log, move->dir, &move->future);
	if (error == ERR_NONE && throttle_exceeded(&replicas->between_dirs,
		replicas_now_ms(replicas)))
		return (THROTTLE_PAUSE_NS);
	if (error == ERR_NONE)
		error = move_copy(move);
	if (error == ERR_OFFSET_OUT_OF_RANGE) {
		/* The log was truncated, or lost its first segments. */
		if (move->future != NULL)
			log_future_drop(&move->future);
		return (STEP_AGAIN);
	}
	if (error != ERR_NONE)
		return (move_refused(move, error));
	move->said_ns = 0;
	if (log_future_left_bytes(move->future) > 0)
		return (STEP_AGAIN);
	return (move_swap(move));
}

/* The copy had all a moment ago. */
static int64_t
move_swap(struct move *move)
{
	struct replica *replica = move->replica;
	struct log *log = replica_log(replica);
	enum error error;

	if (!replica_claim(replica, false))
		return (BUSY_PAUSE_NS);
	replica_lock(replica);
	error = log_future_left_bytes(move->future) >
	    (int64_t)FUTURE_CHUNK_BYTES ? ERR_REPLICA_NOT_AVAILABLE :
	    log_future_replace(move->future);
	if (error == ERR_NONE) {
		atomic_store_explicit(&replica->dir,
		    append_dir_of(replica->replicas, move->dir),
		    memory_order_release);
		atomic_store(&move->swapped, true);
		move_tell_start(replica, INT64_MAX);
		/* Who told of the failure did not find it there yet. */
		if (log_failed(log))
			replica_set_offline(replica);
	}
	replica_unlock(replica);
	replica_unclaim(replica);
	if (error == ERR_OFFSET_OUT_OF_RANGE) {
		log_future_drop(&move->future);
		return (STEP_AGAIN);
	}
	if (error == ERR_REPLICA_NOT_AVAILABLE)
		return (BUSY_PAUSE_NS);
	if (error != ERR_NONE)
		return (move_refused(move, error));
	return (move_finish(move));
}

/* The log lies there; what it leaves behind goes. */
static int64_t
move_finish(struct move *move)
{
	enum error error = log_future_finish(&move->future);

	if (error == ERR_REPLICA_NOT_AVAILABLE) {
		move_say(move, error, "has moved, what it leaves behind cannot "
		    "be deleted yet; it is tried again every second", false);
		return (WANT_PAUSE_NS);
	}
	atomic_store(&move->ended, true);
	return (STEP_OVER);
}

/* Once a minute, and when it is `over`. */
static void
move_say(struct move *move, enum error error, const char *what, bool over)
{
	struct replica *replica = move->replica;
	int64_t now_ns = clock_mono_ns(replica->replicas->clock);

	if (!over && move->said_ns != 0 && now_ns - move->said_ns < SAY_NS)
		return;
	diag_error(replica->replicas->setup.diag, replica,
	    "partition=%s/%d move to dir=%s error=%s: %s", replica->topic,
	    (int)replica->partition, log_dir_path(move->dir),
	    error_name((int)error), what);
	move->said_ns = now_ns;
}

/* A directory that failed ends it; what passes is waited for. */
static int64_t
move_refused(struct move *move, enum error error)
{
	bool over = replica_log(move->replica) == NULL ||
	    log_dir_is_offline(move->dir);

	move_say(move, error, over ?
	    "cannot move, a directory is offline, it stays where it is" :
	    "cannot move, it serves where it is, and tries again every second",
	    over);
	if (!over)
		return (WANT_PAUSE_NS);
	atomic_store(&move->ended, true);
	if (move->future != NULL)
		log_future_leave(&move->future);
	move_tell_start(move->replica, INT64_MAX);
	return (STEP_OVER);
}

/* --- AlterReplicaLogDirs -------------------------------------------------- */

/* The replica is claimed. */
static enum error
move_ask(struct replica *replica, struct log_dir *dir)
{
	struct storage *storage = replica->replicas->setup.storage;
	struct log *log = replica_log(replica);

	if (replica->offline)
		return (ERR_KAFKA_STORAGE_ERROR);
	if (move_goal(replica) != dir)
		move_end(replica);
	if (log == NULL || replica->leader_epoch < 0)
		return (ERR_REPLICA_NOT_AVAILABLE);
	if (log_directory(log) == dir || move_goal(replica) == dir)
		return (ERR_NONE);
	/* A log of that name might lie in the one that is lost. */
	if (storage_has_failed_dir(storage))
		return (ERR_KAFKA_STORAGE_ERROR);
	return (move_begin(replica, dir, true));
}

static enum error
move_query_run(struct replicas *replicas, const struct move_query *q)
{
	struct storage *storage = replicas->setup.storage;
	struct log_dir *dir = storage_dir_named(storage, q->path);
	enum error error = ERR_REPLICA_NOT_AVAILABLE;
	char name[NAME_LENGTH_MAX + 1];
	struct replica *replica;

	if (snprintf(name, sizeof(name), "%.*s-%d", SLICE_ARGS(q->topic),
		(int)q->partition) > NAME_LENGTH_MAX - HEX_DIGITS -
		(int)sizeof("-future"))
		return (ERR_INVALID_TOPIC_EXCEPTION);
	if (dir == NULL)
		return (ERR_LOG_DIR_NOT_FOUND);
	if (log_dir_is_offline(dir))
		return (ERR_KAFKA_STORAGE_ERROR);
	replica = replicas_find(replicas, q->topic, q->partition);
	if (replica != NULL) {
		(void)replica_claim(replica, true);
		if (!atomic_load(&replica->gone))
			error = move_ask(replica, dir);
		replica_unclaim(replica);
		replica_unref(replica);
	}
	if (error != ERR_REPLICA_NOT_AVAILABLE)
		return (error);
	if (q->partition >= 0 &&
	    topic_name_valid(q->topic, &(const char *){ NULL })) {
		name[q->topic.length] = '\0';
		storage_prefer_dir(storage, name, q->partition, dir);
	}
	return (q->known ? error : ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static void
move_lookup_run(struct work *work)
{
	struct move_lookup *lookup = container_of(work, struct move_lookup,
	    work);

	for (size_t i = 0; i < lookup->count; i++)
		lookup->queries[i].error = move_query_run(lookup->replicas,
		    &lookup->queries[i]);
}

static void
move_lookup_done(struct work *work)
{
	struct move_lookup *lookup = container_of(work, struct move_lookup,
	    work);

	lookup->done = true;
	task_wake_ref(lookup->task);
}

void
move_lookup_start(struct move_lookup *lookup, struct loop *home)
{
	for (size_t i = 0; i < lookup->count; i++)
		lookup->queries[i].known = replicas_in_image(lookup->replicas,
		    lookup->queries[i].topic, lookup->queries[i].partition);
	lookup->done = false;
	lookup->work.run = move_lookup_run;
	lookup->work.done = move_lookup_done;
	lookup->work.home = home;
	work_submit(lookup->replicas->setup.workers, &lookup->work);
}
