/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer does to a log.  Batches are appended on the fetcher's loop, as
 * a produce's are: when the partition's lock is free, its directory quick, and
 * no leader epoch begins with them.  Else they are copied and a worker appends
 * them; the fetcher goes on with the others.  All copies together are at most
 * replica.fetch.response.max.bytes; what does not fit is asked for again.
 * Truncations, and syncs for flush.messages, are a worker's.
 */
#include "replica/fetcher_int.h"

#include "base/mem.h"
#include "config/options.h"

static void following_appended(struct following *f);
static void following_submit(struct following *f, enum following_job job);

bool
following_holds(const struct following *f)
{
	const struct replica *replica = f->replica;

	return (replica->following == f && !replica->leads &&
	    !replica->offline && !atomic_load(&replica->gone) &&
	    !replicas_stopped(replica->replicas));
}

/* --- what came back from a worker ----------------------------------------- */

/* Nothing failed: they go on as soon as half of the room is free again, and not
 * with each copy that goes, or most of what is fetched would find none. */
static void
following_wait_for_room(struct following *f)
{
	following_pause(f);
	f->crowded = f->fetcher->crowded = true;
}

static void
fetcher_has_room(struct fetcher *fetcher)
{
	const int64_t now_ns = loop_now_ns(fetcher->loop);
	const struct replica_options *options =
	    fetcher->fetchers->replicas->setup.options;

	if (!fetcher->crowded || fetcher->copied_bytes >
	    (size_t)options->fetch_response_max_bytes / 2)
		return;
	fetcher->crowded = false;
	HASH_EACH(node, &fetcher->table) {
		struct following *f = container_of(node, struct following,
		    node);

		if (f->state == FOLLOWING_PAUSED && f->crowded)
			f->resume_ns = now_ns;
	}
	fetcher->next_resume_ns = now_ns;
}

static void
following_back(struct following *f)
{
	struct fetchers *fetchers = f->fetcher->fetchers;

	f->fetcher->copied_bytes -= f->copy_bytes;
	if (f->copy_bytes > 0)
		fetcher_has_room(f->fetcher);
	mem_free(f->copy);
	f->copy = NULL;
	f->copy_bytes = 0;
	following_appended(f);
	if (!f->fetcher->stopped)
		fetcher_wake(f->fetcher);
	following_unref(f);
	atomic_fetch_sub(&fetchers->busy, 1);
}

static void
following_back_post(struct post *post)
{
	following_back(container_of(post, struct following, post));
}

/* Any thread. */
static void
following_append_done(struct append *append)
{
	struct following *f = append->owner;

	f->error = append->error;
	f->flush_wanted = append->appended.flush_wanted;
	f->post.run = following_back_post;
	loop_post(f->fetcher->loop, &f->post);
}

static void
following_work_done(struct work *work)
{
	following_back(container_of(work, struct following, work));
}

/* `error` is what became of it. */
static void
following_appended(struct following *f)
{
	struct log *log = atomic_load_explicit(&f->replica->log,
	    memory_order_acquire);

	following_enter(f, FOLLOWING_FETCHES);
	if (atomic_load(&f->over) || f->fetcher->stopped)
		return;
	/* Ended, stopped or offline meanwhile, or its log is another. */
	f->sync_first = f->error != ERR_NONE;
	if (f->error == ERR_NOT_LEADER_OR_FOLLOWER) {
		following_pause(f);
		return;
	}
	switch (follow_decide_error(f->error, log_failed(log))) {
	case FOLLOW_TAKE:
		f->complaint = NULL;
		f->refused_ns = 0;
		if (f->flush_wanted)
			following_sync(f);
		return;
	case FOLLOW_PAUSE:
		following_complain(f, "cannot take over what it fetched,",
		    f->error);
		following_pause(f);
		return;
	default:
		following_fail(f, f->error == ERR_KAFKA_STORAGE_ERROR ?
		    "its log directory failed" :
		    "what the leader sent does not fit its log");
		return;
	}
}

/* --- appends -------------------------------------------------------------- */

static void
following_keep(struct following *f, struct slice bytes)
{
	f->copy = mem_alloc(bytes.length + 1);
	memcpy(f->copy, bytes.data, bytes.length);
	f->copy_bytes = bytes.length;
	f->fetcher->copied_bytes += bytes.length;
}

/* So much may wait for workers; one that is alone may be larger. */
static bool
following_may_keep(const struct following *f, size_t length)
{
	const struct replica_options *options =
	    f->fetcher->fetchers->replicas->setup.options;

	return (f->fetcher->copied_bytes == 0 ||
	    f->fetcher->copied_bytes + length <=
		(size_t)options->fetch_response_max_bytes);
}

static void
following_append(struct following *f, struct slice bytes)
{
	struct fetcher *fetcher = f->fetcher;

	f->append.fetched = bytes;
	if (append_try(&f->append)) {
		f->error = f->append.error;
		f->flush_wanted = f->append.appended.flush_wanted;
		following_appended(f);
		return;
	}
	if (!following_may_keep(f, bytes.length)) {
		following_wait_for_room(f);
		return;
	}
	following_keep(f, bytes);
	f->append.fetched = slice_of(f->copy, bytes.length);
	following_enter(f, FOLLOWING_BUSY);
	(void)following_ref(f);
	atomic_fetch_add(&fetcher->fetchers->busy, 1);
	if (append_submit(&f->append))
		following_append_done(&f->append);
}

static void
following_note_append(struct following *f,
    const struct fetch_response_partition *answer)
{
	f->append = (struct append){
		.replica = f->replica,
		.following = f,
		.fetch_offset = f->told.fetch_offset,
		.leader_high_watermark = answer->high_watermark,
		.leader_start_offset = answer->log_start_offset,
		.done = following_append_done,
		.owner = f,
	};
	list_init(&f->append.link);
}

/* The answer to a fetch from told.fetch_offset. */
bool
following_take(struct following *f,
    const struct fetch_response_partition *answer)
{
	struct log *log = replica_log(f->replica);
	struct follow_log own;
	struct follow_step step;
	struct follow_answer seen = {
		.error = answer->error_code,
		.diverging = { answer->diverging_epoch.epoch,
		    answer->diverging_epoch.end_offset },
		.bytes = answer->records.bytes,
		.leader_epoch = f->leader_epoch,
	};

	if (log == NULL || log_end_offset(log) != f->told.fetch_offset)
		return (false);
	own = (struct follow_log){
		.start_offset = log_start_offset(log),
		.end_offset = log_end_offset(log),
		.latest_epoch = log_latest_epoch(log),
		.local = log_epoch_end(log, seen.diverging.leader_epoch),
	};
	step = follow_decide(&seen, &own);
	following_note_append(f, answer);
	switch (step.what) {
	case FOLLOW_TAKE:
		following_append(f, slice_of(seen.bytes.data, step.length));
		break;
	case FOLLOW_ANEW:
		if (!following_may_keep(f, step.length)) {
			following_wait_for_room(f);
			break;
		}
		following_keep(f, slice_of(seen.bytes.data, step.length));
		following_cut(f, &step);
		break;
	case FOLLOW_CUT:
		following_cut(f, &step);
		break;
	case FOLLOW_ASK:
		following_enter(f, FOLLOWING_ASKS);
		break;
	case FOLLOW_PAUSE:
		following_complain(f, seen.error != ERR_NONE ?
		    "the leader answers" :
		    "the leader answers what does not fit the log,",
		    seen.error);
		following_await_leader(f);
		break;
	case FOLLOW_FAIL:
		following_fail(f, "the leader has a newer epoch");
		break;
	}
	return (true);
}

/* --- on workers ----------------------------------------------------------- */

/* Offsets that were committed and are cut all the same: the leader was elected
 * without being in sync, or has lost what it had. */
static void
following_count_lost(struct following *f, int64_t from,
    int64_t high_watermark)
{
	struct replicas *replicas = f->replica->replicas;

	metrics_add(replicas->setup.metrics, METRIC_LOST_RECORDS,
	    high_watermark - from);
	diag_error(replicas->setup.diag, replica,
	    "partition=%s/%d leader=%d epoch=%d lost from=%lld to=%lld: they "
	    "were committed, and the leader does not have them, as after an "
	    "unclean election", f->replica->topic, (int)f->replica->partition,
	    (int)f->fetcher->leader, (int)f->leader_epoch,
	    (long long)from, (long long)high_watermark - 1);
}

/* `lock` is held. What was fetched belongs behind the cut. */
static enum error
following_cut_locked(struct following *f, struct log *log)
{
	struct replica_view before;
	enum error error;
	int64_t from;

	replica_view(f->replica, &before);
	error = f->job == JOB_CUT ? log_truncate_to(log, f->step.offset) :
				    log_truncate_fully(log, f->step.offset);
	/* Retention took what lies before the start; what failed half-way has
	 * cut some. */
	from = log_end_offset(log) > before.log_start_offset ?
	    log_end_offset(log) : before.log_start_offset;
	if (f->job == JOB_CUT && from < before.high_watermark)
		following_count_lost(f, from, before.high_watermark);
	/* One that failed may have cut all the same. */
	replica_followed(f->replica, -1);
	if (error == ERR_NONE && f->copy != NULL) {
		f->append.fetched = slice_of(f->copy, f->step.length);
		f->append.fetch_offset = f->step.offset;
		error = append_fetched(&f->append);
		f->flush_wanted = f->append.appended.flush_wanted;
	}
	return (error);
}

static void
following_work_run(struct work *work)
{
	struct following *f = container_of(work, struct following, work);
	struct replica *replica = f->replica;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);

	f->flush_wanted = false;
	if (f->job == JOB_FLUSH) {
		f->error = log_flush(log);
		return;
	}
	replica_lock(replica);
	f->error = ERR_NOT_LEADER_OR_FOLLOWER;
	if (following_holds(f))
		f->error = following_cut_locked(f, log);
	replica_unlock(replica);
	waitq_wake(&replica->readable);
}

static void
following_submit(struct following *f, enum following_job job)
{
	following_enter(f, FOLLOWING_BUSY);
	f->job = job;
	f->work.run = following_work_run;
	f->work.done = following_work_done;
	f->work.home = f->fetcher->loop;
	(void)following_ref(f);
	atomic_fetch_add(&f->fetcher->fetchers->busy, 1);
	work_submit(append_dir_work(f->replica, NULL), &f->work);
}

void
following_sync(struct following *f)
{
	following_submit(f, JOB_FLUSH);
}

void
following_cut(struct following *f, const struct follow_step *step)
{
	diag_info(f->fetcher->fetchers->replicas->setup.diag, replica,
	    "partition=%s/%d leader=%d epoch=%d %s at=%lld",
	    f->replica->topic, (int)f->replica->partition,
	    (int)f->fetcher->leader, (int)f->leader_epoch,
	    step->what == FOLLOW_CUT ? "agrees with its leader up to" :
				       "begins anew", (long long)step->offset);
	f->step = *step;
	f->renew = true;
	following_submit(f, step->what == FOLLOW_CUT ? JOB_CUT : JOB_ANEW);
}
