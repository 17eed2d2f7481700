/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeleteRecords: a leader's log start moves up, and its followers' after it.
 *
 *	loop:    image, replicas
 *	worker:  [trim] under each partition's lock; the checkpoint of starts
 *	loop:    [await followers] until the low watermark is there, or too late
 *
 *	|------x===================x-------------|----------|
 *	  low watermark      required        high wm.      end
 *
 * The low watermark is the smallest log start of the replicas that live: what
 * lies below it, no one of them will give out any more.
 * Source: Kafka 3.9's Partition.deleteRecordsOnLeader and DelayedDeleteRecords;
 * KIP-107.
 */
#include "replica/delete_records.h"

#include "config/topic.h"
#include "replica/replica_int.h"

static task_step delete_trim, delete_await_followers;

static void delete_run(struct work *work);
static enum error delete_part(struct delete_records_part *part);

static const struct task_class delete_class = {
	.name = "delete-records",
	.state_size = sizeof(struct delete_records *),
};

static struct delete_records *
delete_of(struct task *t)
{
	return (*(struct delete_records **)task_state(t));
}

static void
delete_setup(struct task *task, void *arg)
{
	*(struct delete_records **)task_state(task) = arg;
}

static void
delete_resolve(struct delete_records *d, struct delete_records_part *part)
{
	part->low_watermark = -1;
	part->replica = NULL;
	part->link = (struct waitq_link){ 0 };
	part->waits = false;
	if (part->error != ERR_NONE)
		return;
	if (!replicas_in_image(d->replicas, part->topic, part->partition)) {
		part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	/* The coordinators' state is not to be cut by clients. */
	if (topic_name_internal(part->topic)) {
		part->error = ERR_INVALID_TOPIC_EXCEPTION;
		return;
	}
	part->replica = replicas_find(d->replicas, part->topic,
	    part->partition);
	if (part->replica == NULL)
		part->error = ERR_NOT_LEADER_OR_FOLLOWER;
}

void
delete_records_run(struct delete_records *d)
{
	struct task *task;

	for (size_t i = 0; i < d->part_count; i++)
		delete_resolve(d, &d->parts[i]);
	d->trimmed = d->abandoned = false;
	task = task_start(d->loop, &delete_class, delete_trim, delete_setup,
	    d);
	task_set_deadline(task, loop_now_ns(d->loop) +
	    (int64_t)(d->timeout_ms < 0 ? 0 : d->timeout_ms) *
		NANOS_PER_MILLI);
	d->task = task_ref(task);
	d->work.run = delete_run;
	d->work.done = NULL;
}

void
delete_records_abandon(struct delete_records *d)
{
	d->abandoned = true;
	task_wake_ref(d->task);
}

/* --- on a worker ---------------------------------------------------------- */

static void
delete_run(struct work *work)
{
	struct delete_records *d = container_of(work, struct delete_records,
	    work);

	for (size_t i = 0; i < d->part_count; i++)
		if (d->parts[i].error == ERR_NONE)
			d->parts[i].error = delete_part(&d->parts[i]);
	/* When the disk is full the starts are written later: what was deleted
	 * could come back after a crash, no more. */
	(void)storage_write_starts(d->replicas->setup.storage);
}

static void
delete_run_done(struct work *work)
{
	struct delete_records *d = container_of(work, struct delete_records,
	    work);

	d->trimmed = true;
	task_wake_ref(d->task);
}

/* Records that a compaction keeps for good may not be deleted by offset. */
static bool
delete_allowed(const struct replica *replica)
{
	const struct topic_config *config = configs_topic(
	    replica->replicas->setup.configs, replica->topic);
	bool allowed = config->options->cleanup != CLEANUP_COMPACT;

	topic_config_unref(config);
	return (allowed);
}

/* `lock` is held. */
static enum error
delete_locked(struct delete_records_part *part)
{
	struct replica *replica = part->replica;
	struct log *log = replica_log(replica);
	struct replica_sight sight;

	replica_look(replica, &sight);
	if (sight.view.offline)
		return (ERR_KAFKA_STORAGE_ERROR);
	if (log == NULL || !sight.view.leads ||
	    replicas_stopped(replica->replicas))
		return (ERR_NOT_LEADER_OR_FOLLOWER);
	if (!delete_allowed(replica))
		return (ERR_POLICY_VIOLATION);
	part->required_offset = part->offset == -1 ?
	    sight.view.high_watermark : part->offset;
	if (part->required_offset < 0 ||
	    part->required_offset > sight.view.high_watermark)
		return (ERR_OFFSET_OUT_OF_RANGE);
	/* It may not have heard of the latest one. */
	replica_tell_high_watermark(replica);
	return (log_advance_start(log, part->required_offset));
}

static enum error
delete_part(struct delete_records_part *part)
{
	struct replica *replica = part->replica;
	enum error error;

	replica_lock(replica);
	error = delete_locked(part);
	replica_unlock(replica);
	/* Who reads below it is told so. */
	if (error == ERR_NONE)
		waitq_wake(&replica->readable);
	return (error);
}

/* --- steps ---------------------------------------------------------------- */

static enum verdict
delete_trim(struct task *t)
{
	struct delete_records *d = delete_of(t);

	if (d->work.done == NULL) {
		d->work.done = delete_run_done;
		d->work.home = d->loop;
		work_submit(d->replicas->setup.workers, &d->work);
	}
	if (!d->trimmed)
		return (STEP_WAIT);
	for (size_t i = 0; i < d->part_count; i++) {
		struct delete_records_part *part = &d->parts[i];

		if (part->error != ERR_NONE)
			continue;
		part->low_watermark = replica_low_watermark(part->replica);
		part->waits = true;
		metrics_add_at(d->replicas->setup.metrics,
		    METRIC_PURGATORY_SIZE, METRICS_DELAYED_DELETE_RECORDS, 1);
	}
	return (task_next(t, delete_await_followers));
}

/* True: nothing more to wait for. */
static bool
delete_followed(struct delete_records *d, struct delete_records_part *part)
{
	struct replica_sight sight;
	int64_t low = replica_low_watermark(part->replica);

	replica_look(part->replica, &sight);
	if (sight.view.offline)
		part->error = ERR_KAFKA_STORAGE_ERROR;
	else if (atomic_load(&part->replica->gone))
		part->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else if (!sight.view.leads || replicas_stopped(d->replicas))
		part->error = ERR_NOT_LEADER_OR_FOLLOWER;
	else if (low < part->required_offset)
		return (false);
	part->low_watermark = part->error == ERR_NONE ? low : -1;
	return (true);
}

static enum verdict
delete_await_followers(struct task *t)
{
	struct delete_records *d = delete_of(t);
	/* Asked before the look, so that what came in time counts. */
	bool late = task_expired(t) || d->abandoned;
	bool waits = false;

	for (size_t i = 0; i < d->part_count; i++) {
		struct delete_records_part *part = &d->parts[i];

		if (!part->waits)
			continue;
		waitq_join(&part->replica->trimmed, &part->link, t);
		if (!delete_followed(d, part)) {
			if (!late) {
				waits = true;
				continue;
			}
			part->error = ERR_REQUEST_TIMED_OUT;
		}
		part->waits = false;
		waitq_leave(&part->replica->trimmed, &part->link);
		metrics_add_at(d->replicas->setup.metrics,
		    METRIC_PURGATORY_SIZE, METRICS_DELAYED_DELETE_RECORDS, -1);
	}
	if (waits)
		return (STEP_WAIT);
	for (size_t i = 0; i < d->part_count; i++)
		if (d->parts[i].replica != NULL)
			replica_unref(d->parts[i].replica);
	d->done(d);
	return (STEP_DONE);
}
