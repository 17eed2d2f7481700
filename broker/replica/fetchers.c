/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which fetcher follows for which partition.  `begin` and `end` come from
 * orders, on workers, with the partition's lock held; they leave a note in the
 * fetcher's inbox, and its loop does the rest.
 *
 * Lives as long as the replicas.  A fetcher stays when it has nothing to fetch,
 * without a connection: there are at most num.replica.fetchers for each broker
 * that ever led something.
 */
#include "replica/fetcher_int.h"

#include <stdio.h>

#include "base/mem.h"
#include "config/options.h"

/* Room in an answer beside its records: names, numbers. */
#define ANSWER_HEADS_BYTES ((size_t)16 << 20)

static void fetchers_begin(void *arg, struct replica *replica, int32_t leader,
    int32_t leader_epoch);
static void fetchers_end(void *arg, struct replica *replica);
static void fetcher_inbox_run(struct post *post);
static void fetcher_stop_run(struct post *post);

static const struct follow_ops fetchers_ops = {
	.begin = fetchers_begin,
	.end = fetchers_end,
};

void
replicas_start_following(struct replicas *replicas,
    const struct follow_setup *setup)
{
	struct fetchers *fetchers = mem_zalloc(sizeof(*fetchers));

	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	fetchers->replicas = replicas;
	fetchers->setup = *setup;
	lock_init(&fetchers->lock, LOCK_RANK_LEAF);
	list_init(&fetchers->spread.link);
	atomic_init(&fetchers->count,
	    replicas->setup.options->num_replica_fetchers);
	replicas->fetchers = fetchers;
	replicas->follow_arg = fetchers;
	replicas->follow = &fetchers_ops;
	replicas->proposer = isr_proposer_new(replicas, setup);
	replicas->ends = ends_new(replicas, setup);
}

void
fetchers_free(struct fetchers **place)
{
	struct fetchers *gone = *place;

	*place = NULL;
	if (gone == NULL)
		return;
	while (gone->first != NULL) {
		struct fetcher *fetcher = gone->first;

		gone->first = fetcher->next;
		CHECK(list_empty(&fetcher->inbox) &&
		    hash_count(&fetcher->table) == 0);
		arena_fini(&fetcher->arena);
		mem_free(fetcher->order);
		lock_fini(&fetcher->lock);
		mem_free(fetcher);
	}
	lock_fini(&gone->lock);
	mem_free(gone);
}

/* --- followings ----------------------------------------------------------- */

void
following_unref(struct following *f)
{
	if (atomic_fetch_sub(&f->references, 1) != 1)
		return;
	mem_free(f->copy);
	replica_unref(f->replica);
	mem_free(f);
}

static struct fetcher *
fetcher_new(struct fetchers *fetchers, int32_t leader, int32_t number)
{
	const struct replicas *replicas = fetchers->replicas;
	const struct broker_options *options = replicas->setup.broker_options;
	struct fetcher *fetcher = mem_zalloc(sizeof(*fetcher));
	size_t loop = ((size_t)(uint32_t)leader + (size_t)number) %
	    fetchers->setup.loop_count;

	fetcher->fetchers = fetchers;
	fetcher->leader = leader;
	fetcher->number = number;
	fetcher->loop = fetchers->setup.loops[loop];
	lock_init(&fetcher->lock, LOCK_RANK_LEAF);
	list_init(&fetcher->inbox);
	list_init(&fetcher->post.link);
	list_init(&fetcher->stop_post.link);
	fetcher->post.run = fetcher_inbox_run;
	fetcher->stop_post.run = fetcher_stop_run;
	fetcher->next_resume_ns = INT64_MAX;
	arena_init(&fetcher->arena, 0);
	fetcher->connection = (struct link){
		.setup = &fetchers->setup,
		.replicas = fetchers->replicas,
		.listener = fetchers->setup.listener,
		.tls = fetchers->setup.tls,
		.request_timeout_ms =
		    replicas->setup.options->socket_timeout_ms,
		/* One batch may be larger than all that was asked for. */
		.response_bytes_max = ANSWER_HEADS_BYTES +
		    (size_t)replicas->setup.options->fetch_response_max_bytes +
		    (size_t)options->net.request_max_bytes,
	};
	(void)snprintf(fetcher->connection.client_id,
	    sizeof(fetcher->connection.client_id), "broker-%d-fetcher-%d",
	    (int)replicas->setup.broker_id, (int)number);
	atomic_fetch_add(&fetchers->busy, 1);
	return (fetcher);
}

/* NULL: they were stopped. */
static struct fetcher *
fetchers_find(struct fetchers *fetchers, int32_t leader, int32_t number)
{
	struct fetcher *fetcher = NULL;

	lock_take(&fetchers->lock);
	if (!fetchers->stopped) {
		for (fetcher = fetchers->first; fetcher != NULL;
		    fetcher = fetcher->next)
			if (fetcher->leader == leader &&
			    fetcher->number == number)
				break;
		if (fetcher == NULL) {
			fetcher = fetcher_new(fetchers, leader, number);
			fetcher->next = fetchers->first;
			fetchers->first = fetcher;
		}
	}
	lock_release(&fetchers->lock);
	return (fetcher);
}

static void
fetcher_note(struct fetcher *fetcher)
{
	if (!atomic_exchange(&fetcher->posted, true))
		loop_post(fetcher->loop, &fetcher->post);
}

static void
fetchers_begin(void *arg, struct replica *replica, int32_t leader,
    int32_t leader_epoch)
{
	struct fetchers *fetchers = arg;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	struct fetcher *fetcher = fetchers_find(fetchers, leader,
	    follow_fetcher_of(replica->topic, replica->partition,
		atomic_load(&fetchers->count)));
	struct following *f;

	if (fetcher == NULL)
		return;
	f = mem_zalloc(sizeof(*f));
	/* The replica's, and the inbox's. */
	atomic_init(&f->references, 2);
	f->replica = replica_ref(replica);
	f->fetcher = fetcher;
	f->topic_id = log_topic_id(log);
	f->leader_epoch = leader_epoch;
	f->sync_first = true;
	list_init(&f->link);
	list_init(&f->work.link);
	list_init(&f->post.link);
	replica->following = f;
	atomic_store(&replica->fetch_lag, FETCH_LAG_UNKNOWN);
	lock_take(&fetcher->lock);
	list_push_tail(&fetcher->inbox, &f->link);
	lock_release(&fetcher->lock);
	fetcher_note(fetcher);
}

static void
fetchers_end(void *arg, struct replica *replica)
{
	struct following *f = replica->following;

	(void)arg;
	if (f == NULL)
		return;
	replica->following = NULL;
	atomic_store(&replica->fetch_lag, FETCH_LAG_NONE);
	atomic_store(&f->over, true);
	fetcher_note(f->fetcher);
	following_unref(f);
}

/* --- another number of them ----------------------------------------------- */

static bool
spread_one(void *arg, struct replica *replica)
{
	struct fetchers *fetchers = arg;
	int32_t leader, epoch, count;

	replica_lock(replica);
	count = atomic_load(&fetchers->count);
	if (replica->following != NULL && follow_fetcher_of(replica->topic,
		replica->partition, count) !=
	    replica->following->fetcher->number) {
		leader = replica->following->fetcher->leader;
		epoch = replica->following->leader_epoch;
		fetchers_end(fetchers, replica);
		fetchers_begin(fetchers, replica, leader, epoch);
	}
	replica_unlock(replica);
	return (!replicas_stopped(fetchers->replicas));
}

static void
spread_run(struct work *work)
{
	struct fetchers *fetchers = container_of(work, struct fetchers,
	    spread);

	replicas_each(fetchers->replicas, spread_one, fetchers);
}

static void
spread_submit(struct fetchers *fetchers)
{
	fetchers->spread_count = atomic_load(&fetchers->count);
	fetchers->spreads = true;
	work_submit(fetchers->replicas->setup.workers, &fetchers->spread);
}

static void
spread_done(struct work *work)
{
	struct fetchers *fetchers = container_of(work, struct fetchers,
	    spread);

	fetchers->spreads = false;
	if (fetchers->spread_count != atomic_load(&fetchers->count) &&
	    !replicas_stopped(fetchers->replicas))
		spread_submit(fetchers);
	else
		atomic_fetch_sub(&fetchers->busy, 1);
}

void
replicas_set_fetchers(struct replicas *replicas, int32_t count)
{
	struct fetchers *fetchers = replicas->fetchers;

	if (fetchers == NULL || replicas_stopped(replicas) ||
	    atomic_exchange(&fetchers->count, count) == count ||
	    fetchers->spreads)
		return;
	atomic_fetch_add(&fetchers->busy, 1);
	fetchers->spread.run = spread_run;
	fetchers->spread.done = spread_done;
	fetchers->spread.home = replicas->setup.loop;
	spread_submit(fetchers);
}

/* --- the loop's side ------------------------------------------------------ */

/*
 * The same partition, followed anew: the leader's session has the older one,
 * and of what it told of that one some may not have been taken.  Another topic
 * of its name is nothing that the session could be told of by name.
 */
static void
fetcher_replace(struct fetcher *fetcher, struct following *f)
{
	struct following *old = fetcher_find(fetcher,
	    slice_of_text(f->replica->topic), f->replica->partition);

	if (old == NULL)
		return;
	if (uuid_equal(old->topic_id, f->topic_id))
		f->in_session = f->renew = old->in_session;
	else if (old->in_session)
		fetcher_session_lost(fetcher);
	fetcher_drop(fetcher, old);
}

static void
fetcher_take_in(struct fetcher *fetcher, struct following *f)
{
	struct log *log = replica_log(f->replica);

	if (fetcher->stopped || atomic_load(&f->over)) {
		following_unref(f);
		return;
	}
	fetcher_replace(fetcher, f);
	fetcher_add(fetcher, f);
	/* A log from before leader epochs: what is above the high watermark
	 * cannot be compared. */
	f->cut_first = log != NULL && log_latest_epoch(log) < 0;
}

static void
fetcher_setup(struct task *task, void *arg)
{
	*(struct fetcher **)task_state(task) = arg;
}

static void
fetcher_inbox_run(struct post *post)
{
	struct fetcher *fetcher = container_of(post, struct fetcher, post);
	struct list *link;

	atomic_store(&fetcher->posted, false);
	for (;;) {
		lock_take(&fetcher->lock);
		link = list_pop_head(&fetcher->inbox);
		lock_release(&fetcher->lock);
		if (link == NULL)
			break;
		fetcher_take_in(fetcher,
		    list_entry(link, struct following, link));
	}
	fetcher->ended = true;
	if (fetcher->stopped)
		return;
	if (fetcher->task.loop == NULL)
		fetcher->task = task_ref(task_start(fetcher->loop,
		    &fetcher_class, fetcher_gather, fetcher_setup, fetcher));
	else
		fetcher_wake(fetcher);
}

void
fetcher_wake(struct fetcher *fetcher)
{
	struct task *task = fetcher->task.loop == NULL ? NULL :
	    task_of_ref(fetcher->task);

	if (task != NULL)
		task_wake(task);
}

/* --- the end -------------------------------------------------------------- */

static void
fetcher_rest_run(struct post *post)
{
	struct fetcher *fetcher = container_of(post, struct fetcher,
	    stop_post);

	atomic_fetch_sub(&fetcher->fetchers->busy, 1);
}

static void
fetcher_stop_run(struct post *post)
{
	struct fetcher *fetcher = container_of(post, struct fetcher,
	    stop_post);
	struct task *task = fetcher->task.loop == NULL ? NULL :
	    task_of_ref(fetcher->task);

	fetcher->stopped = true;
	if (task != NULL)
		task_cancel(task);
	fetcher_end_ranges(fetcher);
	fetcher_end_call(fetcher);
	link_close(&fetcher->connection);
	fetcher_clear(fetcher);
	/* What came meanwhile is dropped. */
	fetcher_inbox_run(&fetcher->post);
	/* What the connection left to this loop comes first. */
	fetcher->stop_post.run = fetcher_rest_run;
	loop_post(fetcher->loop, &fetcher->stop_post);
}

void
fetchers_close(struct fetchers *fetchers)
{
	if (fetchers == NULL)
		return;
	lock_take(&fetchers->lock);
	fetchers->stopped = true;
	lock_release(&fetchers->lock);
}

void
fetchers_stop(struct fetchers *fetchers)
{
	if (fetchers == NULL || fetchers->ended)
		return;
	fetchers->ended = true;
	for (struct fetcher *each = fetchers->first; each != NULL;
	    each = each->next)
		loop_post(each->loop, &each->stop_post);
}

bool
fetchers_at_rest(const struct fetchers *fetchers)
{
	return (fetchers == NULL || atomic_load(&fetchers->busy) == 0);
}
