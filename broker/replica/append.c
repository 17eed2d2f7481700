/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends to one partition, from many loops, none of which waits.
 *
 *	lock free, nothing queued:  take it, append, give it back
 *	else:                       queue; whoever holds the lock takes it along
 *
 *	holder   [append][queued][queued] release --- look at the queue again
 *	others       \______/ put in line                  (nobody is forgotten)
 *
 * The look after the release closes the gap in which one queues, finds the lock
 * still held, and the holder had looked before.  A holder on a loop takes along
 * a bounded number, then a worker goes on.  What was queued by one thread is
 * appended in its order: nobody overtakes a queue that is not empty.
 *
 * An append that has to sync before (the first batch of a leader epoch; one
 * after a want of room) is never made on a loop: whoever comes to it
 * there leaves it, with what is behind it, to a worker.
 *
 * A directory in which an append took long (the kernel holds writers back when
 * its pages are not written quickly enough) is slow for a while: all appends
 * there are queued, and a worker of its own makes them.  The while is over
 * early when so much was written without another delay as a held back writer
 * never gets through: then it was the processor that made it wait.
 */
#include "replica/replica_int.h"

#include "base/list.h"
#include "base/mem.h"
#include "config/options.h"
#include "replica/fetcher_int.h"

/* What one holder on a loop appends for others; a worker has time. */
#define APPENDS_TAKEN_ALONG 64
#define APPENDS_OF_WORKER SIZE_MAX
/* An append that takes so long makes its directory slow, for so long. */
#define APPEND_SLOW_NS (INT64_C(50) * 1000000)
#define DIR_SLOW_NS (INT64_C(1000) * 1000000)
#define DIR_QUICK_BYTES ((size_t)16 << 20)

static void append_run(struct append *append);
static bool append_syncs(const struct append *append);
static void append_queued(struct replica *replica, struct list *finished,
    size_t *budget);
static bool append_release(struct replica *replica, size_t *budget,
    size_t appended);
static void append_settle(struct replica *replica, size_t budget);
static void append_drain_later(struct replica *replica,
    struct work_queue *queue);
static struct work_queue *append_drain_queue(const struct replica *replica);
static bool append_dir_is_slow(const struct replica *replica);

static bool
append_now(struct append *append, bool slow)
{
	struct replica *replica = append->replica;
	size_t budget = APPENDS_TAKEN_ALONG;
	bool runs;

	if (slow || atomic_load(&replica->queue_length) != 0 ||
	    !lock_try(&replica->lock))
		return (false);
	runs = !append_syncs(append);
	if (runs)
		append_run(append);
	if (!append_release(replica, &budget,
		runs && append->error == ERR_NONE))
		append_settle(replica, budget);
	return (runs);
}

bool
append_try(struct append *append)
{
	return (append_now(append, append_dir_is_slow(append->replica)));
}

bool
append_submit(struct append *append)
{
	struct replica *replica = append->replica;
	bool slow = append_dir_is_slow(replica);

	if (append_now(append, slow))
		return (true);
	lock_take(&replica->queue_lock);
	list_push_tail(&replica->queue, &append->link);
	atomic_fetch_add(&replica->queue_length, 1);
	lock_release(&replica->queue_lock);
	append_settle(replica, slow ? 0 : APPENDS_TAKEN_ALONG);
	return (false);
}

void
replica_lock(struct replica *replica)
{
	lock_take(&replica->lock);
}

void
replica_unlock(struct replica *replica)
{
	size_t budget = APPENDS_OF_WORKER;

	if (!append_release(replica, &budget, 0))
		append_settle(replica, budget);
}

/* The lock is held: what stands in the queue goes along, then it is released.
 * True: nothing is queued any more. */
static bool
append_release(struct replica *replica, size_t *budget, size_t appended)
{
	struct list finished;
	struct list *link;
	bool advanced = false;

	list_init(&finished);
	append_queued(replica, &finished, budget);
	LIST_EACH(at, &finished)
		appended += list_entry(at, struct append, link)->error ==
		    ERR_NONE;
	/* Published before anyone is told of his append. */
	if (appended > 0)
		advanced = replica_end_moved(replica);
	lock_release(&replica->lock);
	if (advanced) {
		replica_tell_high_watermark(replica);
		waitq_wake(&replica->acked);
	}
	if (appended > 0)
		waitq_wake(&replica->readable);
	while ((link = list_pop_head(&finished)) != NULL) {
		struct append *append = list_entry(link, struct append, link);

		append->done(append);
	}
	/* Not a load: whoever queued before it is seen, and whoever queues
	 * after it sees the lock free. */
	return (atomic_fetch_add(&replica->queue_length, 0) == 0);
}

/* Until the queue is empty, or somebody else holds the lock and will see to it,
 * or the budget is spent. */
static void
append_settle(struct replica *replica, size_t budget)
{
	while (atomic_load(&replica->queue_length) > 0) {
		if (budget == 0) {
			append_drain_later(replica,
			    append_drain_queue(replica));
			return;
		}
		if (!lock_try(&replica->lock))
			return;
		(void)append_release(replica, &budget, 0);
	}
}

/* The oldest one; only the holder of `lock` takes any away. */
static struct append *
append_first(struct replica *replica)
{
	struct list *link;

	lock_take(&replica->queue_lock);
	link = list_empty(&replica->queue) ? NULL : replica->queue.next;
	lock_release(&replica->queue_lock);
	return (link == NULL ? NULL : list_entry(link, struct append, link));
}

static void
append_queued(struct replica *replica, struct list *finished, size_t *budget)
{
	bool on_loop = *budget <= APPENDS_TAKEN_ALONG;

	while (*budget > 0 && atomic_load(&replica->queue_length) > 0) {
		struct append *append = append_first(replica);

		if (append == NULL)
			break;
		if (on_loop && append_syncs(append)) {
			append_drain_later(replica,
			    append_dir_work(replica, NULL));
			*budget = 0;
			break;
		}
		lock_take(&replica->queue_lock);
		list_remove(&append->link);
		atomic_fetch_sub(&replica->queue_length, 1);
		lock_release(&replica->queue_lock);
		append_run(append);
		list_push_tail(finished, &append->link);
		(*budget)--;
	}
}

static void
drain_run(struct work *work)
{
	struct replica *replica = container_of(work, struct replica, drain);
	struct replicas *replicas = replica->replicas;

	/* From here on another may be asked for. */
	atomic_store(&replica->draining, false);
	replica_lock(replica);
	replica_unlock(replica);
	replica_unref(replica);
	atomic_fetch_sub(&replicas->drains_under_way, 1);
}

static struct work_queue *
append_drain_queue(const struct replica *replica)
{
	return (replica->dir != NULL ? replica->dir->queue :
				       replica->replicas->drains);
}

static void
append_drain_later(struct replica *replica, struct work_queue *queue)
{
	if (atomic_exchange(&replica->draining, true))
		return;
	(void)replica_ref(replica);
	atomic_fetch_add(&replica->replicas->drains_under_way, 1);
	replica->drain.run = drain_run;
	work_submit(queue, &replica->drain);
}

/* --- slow directories ----------------------------------------------------- */

/* Of its own crew; with one directory, of the common one. */
static int
append_dir_readers(const struct append_dir *dir, int count)
{
	return (dir->waits == NULL ? count : (count + 1) / 2);
}

static void
append_dir_hire(struct replicas *replicas, struct append_dir *dir)
{
	const struct broker_options *options = replicas->setup.broker_options;
	struct scheduler *scheduler = replicas->setup.scheduler;
	int count = replicas->dir_workers;

	if (options->storage.log_dir_list.count < 2) {
		dir->queue = work_queue_new(scheduler, "slow-appends", 1);
		dir->reads = work_queue_new(scheduler, "reads", count);
		return;
	}
	dir->queue = work_queue_new_apart(scheduler, "slow-appends", 1);
	dir->waits = work_queue_new_apart(scheduler, "dir", count);
	dir->reads = work_queue_new_apart(scheduler, "reads",
	    append_dir_readers(dir, count));
}

struct append_dir *
append_dir_of(struct replicas *replicas, const struct log_dir *log_dir)
{
	struct append_dir *dir;

	lock_take(&replicas->dirs_lock);
	for (dir = replicas->dirs; dir != NULL; dir = dir->next)
		if (dir->log_dir == log_dir)
			break;
	if (dir == NULL) {
		dir = mem_zalloc(sizeof(*dir));
		dir->log_dir = log_dir;
		append_dir_hire(replicas, dir);
		dir->next = replicas->dirs;
		replicas->dirs = dir;
	}
	lock_release(&replicas->dirs_lock);
	return (dir);
}

void
append_dirs_set_workers(struct replicas *replicas, int count)
{
	struct append_dir *dir;

	lock_take(&replicas->dirs_lock);
	replicas->dir_workers = count;
	dir = replicas->dirs;
	lock_release(&replicas->dirs_lock);
	for (; dir != NULL; dir = dir->next) {
		if (dir->waits != NULL)
			work_queue_set_parallel(dir->waits, count);
		work_queue_set_parallel(dir->reads,
		    append_dir_readers(dir, count));
	}
}

void
append_dirs_free(struct replicas *replicas)
{
	while (replicas->dirs != NULL) {
		struct append_dir *gone = replicas->dirs;

		replicas->dirs = gone->next;
		work_queue_free(gone->queue);
		work_queue_free(gone->reads);
		if (gone->waits != NULL)
			work_queue_free(gone->waits);
		mem_free(gone);
	}
}

static struct work_queue *
longer_queue(struct work_queue *work, struct work_queue *before)
{
	if (before == NULL || before == work ||
	    work_queue_length(work) > work_queue_length(before))
		return (work);
	return (before);
}

struct work_queue *
append_dir_work(const struct replica *replica, struct work_queue *before)
{
	const struct append_dir *dir = atomic_load_explicit(&replica->dir,
	    memory_order_acquire);

	return (longer_queue(dir == NULL || dir->waits == NULL ?
		    replica->replicas->setup.workers :
		    dir->waits, before));
}

struct work_queue *
append_dir_reads(const struct replica *replica, struct work_queue *before)
{
	const struct append_dir *dir = atomic_load_explicit(&replica->dir,
	    memory_order_acquire);

	return (longer_queue(dir == NULL ? replica->replicas->setup.workers :
		    dir->reads, before));
}

static bool
append_dir_is_slow(const struct replica *replica)
{
	const struct append_dir *dir = atomic_load_explicit(&replica->dir,
	    memory_order_acquire);
	int64_t until_ns, began_ns, now_ns;

	if (dir == NULL)
		return (false);
	until_ns = atomic_load_explicit(&dir->slow_until_ns,
	    memory_order_relaxed);
	began_ns = atomic_load_explicit(&dir->began_ns, memory_order_relaxed);
	if (until_ns == 0 && began_ns == 0)
		return (false);
	now_ns = clock_mono_ns(replica->replicas->clock);
	return (now_ns < until_ns ||
	    (began_ns != 0 && now_ns - began_ns >= APPEND_SLOW_NS));
}

/* One of the appends under way shows when it began: if it does not come back at
 * all, its directory is slow already.  Two that race may leave none shown, or
 * the later one; the next append shows itself again.  One that syncs before is
 * no measure of how the kernel takes writes: -1.  When a broker took over many
 * partitions their first appends would else all stand in one line. */
static int64_t
append_dir_begins(const struct append *append)
{
	struct replica *replica = append->replica;
	struct append_dir *dir = replica->dir;
	int64_t now_ns;

	if (dir == NULL || append_syncs(append))
		return (-1);
	now_ns = clock_mono_ns(replica->replicas->clock);
	if (atomic_load_explicit(&dir->began_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&dir->began_ns, now_ns,
		    memory_order_relaxed);
	return (now_ns);
}

/* Once in that time, however often it turns slow. */
static void
append_dir_say(const struct replica *replica, struct append_dir *dir,
    int64_t took_ns, int64_t now_ns)
{
	int64_t said_ns = atomic_load(&dir->said_ns);

	if ((said_ns == 0 || now_ns - said_ns >= DIR_SLOW_NS) &&
	    atomic_compare_exchange_strong(&dir->said_ns, &said_ns, now_ns))
		diag_warn(replica->replicas->setup.diag, replica,
		    "dir=%s slow: an append took %lld ms; a worker makes its "
		    "appends until they are quick again",
		    log_dir_path(dir->log_dir),
		    (long long)(took_ns / NANOS_PER_MILLI));
}

/* Under the partition's lock. */
static void
append_dir_took(struct replica *replica, int64_t began_ns, size_t size)
{
	struct append_dir *dir = replica->dir;
	int64_t now_ns;

	if (began_ns < 0)
		return;
	now_ns = clock_mono_ns(replica->replicas->clock);
	if (atomic_load_explicit(&dir->began_ns, memory_order_relaxed) ==
	    began_ns)
		atomic_store_explicit(&dir->began_ns, 0, memory_order_relaxed);
	if (now_ns - began_ns >= APPEND_SLOW_NS) {
		atomic_store(&dir->quick_bytes, 0);
		atomic_store(&dir->slow_until_ns, now_ns + DIR_SLOW_NS);
		append_dir_say(replica, dir, now_ns - began_ns, now_ns);
	} else if (atomic_load_explicit(&dir->slow_until_ns,
		       memory_order_relaxed) != 0 &&
	    atomic_fetch_add(&dir->quick_bytes, size) + size >=
		DIR_QUICK_BYTES) {
		atomic_store(&dir->slow_until_ns, 0);
	}
}

/* --- under the lock ------------------------------------------------------- */

static enum error
append_allowed(const struct append *append, struct replica *replica,
    struct log *log)
{
	int32_t least = append->min_insync;

	if (replicas_stopped(replica->replicas))
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (replica->offline || (log != NULL && log_failed(log)))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (!replica->leads || (append->fenced &&
	    append->leads_since != replica->leads_since))
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (least > replica->isr.replica_count)
		least = replica->isr.replica_count;
	if (append->acks == -1 && replica->isr.isr_count < least)
		return (ERR_NOT_ENOUGH_REPLICAS);
	return (ERR_NONE);
}

/* Whether a loop leaves it to a worker. */
static bool
append_syncs(const struct append *append)
{
	const struct replica *replica = append->replica;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	struct slice rest = append->fetched;
	struct batch batch;

	if (log == NULL || log_failed(log))
		return (false);
	if (append->following == NULL)
		return (replica->leads &&
		    log_append_syncs(log, replica->leader_epoch));
	while (batch_next(&rest, &batch) == BATCH_OK)
		if (log_append_syncs(log, batch.leader_epoch))
			return (true);
	return (false);
}

static void
append_run(struct append *append)
{
	struct replica *replica = append->replica;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	int64_t began_ns;

	if (append->following != NULL) {
		append->error = append_fetched(append);
		return;
	}
	append->error = append_allowed(append, replica, log);
	append->leader_epoch = replica->leader_epoch;
	append->log_start_offset = log == NULL ? -1 : log_start_offset(log);
	if (append->error != ERR_NONE)
		return;
	began_ns = append_dir_begins(append);
	append->error = log_append_as_leader(log, &append->rules,
	    &append->verdict, append->bytes, replica->leader_epoch,
	    &append->appended);
	append_dir_took(replica, began_ns,
	    (size_t)append->verdict.batch.size);
	append->log_start_offset = log_start_offset(log);
}

enum error
append_fetched(struct append *append)
{
	struct replica *replica = append->replica;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	struct metrics *metrics = replica->replicas->setup.metrics;
	enum error error = ERR_NONE;
	int64_t began_ns, lag;

	append->appended = (struct log_appended){ .base_offset = -1 };
	if (!following_holds(append->following) ||
	    log_end_offset(log) != append->fetch_offset)
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (append->fetched.length > 0) {
		began_ns = append_dir_begins(append);
		error = log_append_as_follower(log, append->fetched,
		    &append->appended);
		append_dir_took(replica, began_ns, append->fetched.length);
	}
	if (error != ERR_NONE)
		return (error);
	metrics_add(metrics, METRIC_REPLICATION_BYTES_IN,
	    (int64_t)append->fetched.length);
	if (atomic_load(&replica->added))
		metrics_add(metrics, METRIC_REASSIGNMENT_BYTES_IN,
		    (int64_t)append->fetched.length);
	replica_note_fetched(replica, append->fetched.length);
	replica_followed(replica, append->leader_high_watermark);
	lag = append->leader_high_watermark - log_end_offset(log);
	atomic_store(&replica->fetch_lag, lag > 0 ? lag : 0);
	/* What lies above our high watermark comes with one of the next. */
	if (append->leader_start_offset > log_start_offset(log))
		error = log_advance_start(log, append->leader_start_offset);
	return (error == ERR_OFFSET_OUT_OF_RANGE ? ERR_NONE : error);
}
