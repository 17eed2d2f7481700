/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tools ask of this broker's logs: DescribeProducers (KIP-664) and
 * DescribeLogDirs (KIP-113, KIP-827).  Both look on a worker: a log may have
 * many producers, a file system may be slow to tell its size.
 */
#include "replica/describe.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/twins.h"
#include "replica/move_int.h"

/* --- producers ------------------------------------------------------------ */

static bool
producers_query_rows(struct producers_lookup *lookup, struct producers_query *q,
    size_t count)
{
	q->rows = wire_array(lookup->arena,
	    describe_producers_response_active_producer_schema(), count);
	q->count = q->rows == NULL ? 0 : count;
	lookup->refused |= q->rows == NULL;
	return (q->rows != NULL);
}

/* The log's list is held for one partition at a time. */
static void
producers_query_list(struct producers_lookup *lookup, struct producers_query *q,
    struct log *log)
{
	size_t count;
	struct log_producer *list = log_producers(log, &count);

	if (producers_query_rows(lookup, q, count))
		for (size_t i = 0; i < count; i++) {
			q->rows[i].producer_id = list[i].id;
			q->rows[i].producer_epoch = list[i].epoch;
			q->rows[i].last_sequence = list[i].last_sequence;
			q->rows[i].last_timestamp = list[i].last_timestamp_ms;
			q->rows[i].coordinator_epoch =
			    list[i].coordinator_epoch;
			q->rows[i].current_txn_start_offset =
			    list[i].txn_first_offset;
		}
	mem_free(list);
}

static void
producers_query_run(struct producers_lookup *lookup, struct producers_query *q)
{
	struct replica *replica;
	struct replica_sight sight;
	struct log *log;

	if (q->error != ERR_NONE)
		return;
	replica = replicas_find(lookup->replicas, q->topic, q->partition);
	if (replica == NULL) {
		q->error = ERR_NOT_LEADER_OR_FOLLOWER;
		return;
	}
	/* A follower answers, too. */
	log = replica_log(replica);
	replica_look(replica, &sight);
	if (sight.view.offline)
		q->error = ERR_KAFKA_STORAGE_ERROR;
	else if (log == NULL || sight.view.leader_epoch < 0)
		q->error = ERR_NOT_LEADER_OR_FOLLOWER;
	else
		producers_query_list(lookup, q, log);
	replica_unref(replica);
}

static void
producers_query_copy(struct producers_lookup *lookup, struct producers_query *q,
    const struct producers_query *twin)
{
	q->error = twin->error;
	if (twin->count > 0 && producers_query_rows(lookup, q, twin->count))
		memcpy(q->rows, twin->rows, q->count * sizeof(*q->rows));
}

/* NULL: no memory. */
static const struct twin_ends *
producers_lookup_twins(const struct producers_lookup *lookup)
{
	struct twin *twins = arena_array(lookup->arena, lookup->count,
	    sizeof(*twins));

	if (twins == NULL)
		return (NULL);
	for (size_t i = 0; i < lookup->count; i++)
		twins[i] = (struct twin){ .name = lookup->queries[i].topic,
			.number = lookup->queries[i].partition };
	return (twins_find(lookup->arena, twins, lookup->count));
}

static void
producers_lookup_run(struct work *work)
{
	struct producers_lookup *lookup = container_of(work,
	    struct producers_lookup, work);
	const struct twin_ends *ends = producers_lookup_twins(lookup);

	lookup->refused = ends == NULL;
	for (size_t i = 0; i < lookup->count && !lookup->refused &&
	     !atomic_load(&lookup->abandoned); i++) {
		struct producers_query *q = &lookup->queries[i];
		size_t first = ends[i].first;

		if (first == i)
			producers_query_run(lookup, q);
		else
			producers_query_copy(lookup, q,
			    &lookup->queries[first]);
	}
}

static void
producers_lookup_done(struct work *work)
{
	struct producers_lookup *lookup = container_of(work,
	    struct producers_lookup, work);

	lookup->done = true;
	task_wake_ref(lookup->task);
}

void
producers_lookup_start(struct producers_lookup *lookup, struct loop *home)
{
	for (size_t i = 0; i < lookup->count; i++) {
		struct producers_query *q = &lookup->queries[i];
		struct replica *replica = replicas_find(lookup->replicas,
		    q->topic, q->partition);

		q->rows = NULL;
		q->count = 0;
		if (replica != NULL)
			replica_unref(replica);
		else if (q->error == ERR_NONE &&
		    !replicas_in_image(lookup->replicas, q->topic,
			q->partition))
			q->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	}
	lookup->done = false;
	lookup->work.run = producers_lookup_run;
	lookup->work.done = producers_lookup_done;
	lookup->work.home = home;
	work_submit(lookup->replicas->setup.workers, &lookup->work);
}

void
producers_lookup_abandon(struct producers_lookup *lookup)
{
	atomic_store(&lookup->abandoned, true);
}

/* --- log directories ------------------------------------------------------ */

/* How far the log's end lies behind what is committed. */
static int64_t
described_lag(struct replicas *replicas, struct log *log)
{
	struct replica *replica = replicas_find(replicas,
	    slice_of_text(log_topic(log)), log_partition(log));
	struct replica_sight sight;
	int64_t lag;

	if (replica == NULL)
		return (-1);
	replica_look(replica, &sight);
	replica_unref(replica);
	if (sight.view.offline)
		return (-1);
	lag = sight.view.high_watermark - log_end_offset(log);
	return (lag > 0 ? lag : 0);
}

/* NULL: the directory is not described. */
static struct described_log *
describe_add(struct dirs_lookup *lookup, const struct log_dir *log_dir)
{
	const struct storage *storage = lookup->replicas->setup.storage;
	size_t dir = 0;

	while (dir < lookup->dir_count &&
	    storage_dir_at(storage, dir) != log_dir)
		dir++;
	if (dir == lookup->dir_count || lookup->dirs[dir].error != ERR_NONE)
		return (NULL);
	if (lookup->log_count == lookup->log_room) {
		lookup->log_room = lookup->log_room * 2 + 64;
		lookup->logs = mem_realloc(lookup->logs,
		    lookup->log_room * sizeof(*lookup->logs));
	}
	lookup->logs[lookup->log_count] = (struct described_log){ .dir = dir };
	return (&lookup->logs[lookup->log_count++]);
}

static bool
describe_log(void *arg, struct log *log)
{
	struct dirs_lookup *lookup = arg;
	struct described_log *row = describe_add(lookup, log_directory(log));

	if (row == NULL)
		return (true);
	row->log = log_ref(log);
	row->size_bytes = log_size_bytes(log);
	row->offset_lag = described_lag(lookup->replicas, log);
	return (true);
}

/* Of a copy that lags behind a log, what the log has more. */
static void
describe_move(void *arg, const struct move_view *view)
{
	struct log *log = atomic_load_explicit(&view->replica->log,
	    memory_order_acquire);
	struct described_log *row = describe_add(arg, view->dir);

	if (row == NULL)
		return;
	row->log = log_ref(log);
	row->size_bytes = view->size_bytes;
	row->offset_lag = log_end_offset(log) - view->end_offset;
	if (row->offset_lag < 0) /* truncated; the copy begins anew */
		row->offset_lag = 0;
	row->is_future = true;
}

static int
described_order(const void *a, const void *b)
{
	const struct described_log *one = a;
	const struct described_log *two = b;
	int order = (one->dir > two->dir) - (one->dir < two->dir);

	if (order == 0)
		order = strcmp(log_topic(one->log), log_topic(two->log));
	if (order == 0)
		order = (log_partition(one->log) > log_partition(two->log)) -
		    (log_partition(one->log) < log_partition(two->log));
	return (order);
}

static void
dirs_lookup_run(struct work *work)
{
	struct dirs_lookup *lookup = container_of(work, struct dirs_lookup,
	    work);
	struct storage *storage = lookup->replicas->setup.storage;

	lookup->dir_count = storage_dir_count(storage);
	lookup->dirs = mem_zalloc((lookup->dir_count + 1) *
	    sizeof(*lookup->dirs));
	for (size_t i = 0; i < lookup->dir_count; i++) {
		const struct log_dir *dir = storage_dir_at(storage, i);
		struct described_dir *out = &lookup->dirs[i];

		*out = (struct described_dir){ log_dir_path(dir), ERR_NONE,
			-1, -1 };
		if (log_dir_is_offline(dir) ||
		    !log_dir_space(dir, &out->total_bytes,
			&out->usable_bytes)) {
			out->error = ERR_KAFKA_STORAGE_ERROR;
			out->total_bytes = out->usable_bytes = -1;
		}
	}
	storage_each_log(storage, describe_log, lookup);
	moves_each(lookup->replicas, describe_move, lookup);
	if (lookup->log_count > 0)
		qsort(lookup->logs, lookup->log_count, sizeof(*lookup->logs),
		    described_order);
}

static void
dirs_lookup_done(struct work *work)
{
	struct dirs_lookup *lookup = container_of(work, struct dirs_lookup,
	    work);

	lookup->done = true;
	task_wake_ref(lookup->task);
}

void
dirs_lookup_start(struct dirs_lookup *lookup, struct loop *home)
{
	lookup->dirs = NULL;
	lookup->logs = NULL;
	lookup->dir_count = lookup->log_count = lookup->log_room = 0;
	lookup->done = false;
	lookup->work.run = dirs_lookup_run;
	lookup->work.done = dirs_lookup_done;
	lookup->work.home = home;
	work_submit(lookup->replicas->setup.workers, &lookup->work);
}

void
dirs_lookup_fini(struct dirs_lookup *lookup)
{
	for (size_t i = 0; i < lookup->log_count; i++)
		log_unref(lookup->logs[i].log);
	mem_free(lookup->logs);
	mem_free(lookup->dirs);
	lookup->logs = NULL;
	lookup->dirs = NULL;
	lookup->log_count = lookup->dir_count = 0;
}
