/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StopReplica: the controller takes partitions away from this broker.
 *
 *	loop:    epochs of broker and controller; rows
 *	workers: each a share of the rows, under the partitions' locks
 *	worker:  the checkpoints forget what was deleted, once for all rows
 *	loop:    the answer
 *
 * All rows of one partition are in one share, so they keep their order.
 * Source: Kafka 3.9's ReplicaManager.stopReplicas; KIP-570 for leader epochs.
 */
#include "replica/replica_int.h"

#include "base/mem.h"
#include "base/twins.h"
#include "replica/move_int.h"

/* Shares of one order that run at once. */
#define STOP_SHARES 8

/* A deletion of a topic does not raise the leader epoch. */
#define EPOCH_DURING_DELETE (-2)
/* Versions below 3 tell none. */
#define EPOCH_NONE (-1)

struct stop_row {
	struct slice topic;
	int32_t partition;
	int32_t leader_epoch;
	bool deletes;
	enum error error;
	struct stop_row *next; /* in its share */
};

struct stop_share {
	struct work work;
	struct replicas_stop_order *order;
	struct stop_row *first;
	struct stop_row **last;
};

struct replicas_stop_order {
	struct replicas *replicas;
	struct stop_replica_response *response;
	struct arena *arena;
	struct task_ref task;
	struct stop_row *rows;
	size_t row_count;
	struct stop_share shares[STOP_SHARES];
	struct work forget;
	size_t running;
	bool done;
};

static bool stop_rows(struct replicas_stop_order *order,
    const struct stop_replica_request *request, int version);
static void stop_share_out(struct replicas_stop_order *order);
static void stop_share_run(struct work *work);
static void stop_share_done(struct work *work);
static void stop_forget_run(struct work *work);
static void stop_forget_done(struct work *work);
static enum error stop_apply(struct replicas *replicas,
    const struct stop_row *row);

static enum error
stop_check(struct replicas *replicas,
    const struct stop_replica_request *request, int64_t own_broker_epoch)
{
	if (request->broker_epoch != -1 &&
	    request->broker_epoch < own_broker_epoch)
		return (ERR_STALE_BROKER_EPOCH);
	if (!replicas_accept_controller_epoch(replicas,
		request->controller_epoch))
		return (ERR_STALE_CONTROLLER_EPOCH);
	return (ERR_NONE);
}

struct replicas_stop_order *
replicas_stop_replica(struct replicas *replicas,
    const struct stop_replica_request *request, int version,
    int64_t own_broker_epoch, struct arena *arena,
    struct stop_replica_response *response, struct task_ref task)
{
	struct replicas_stop_order *order = mem_zalloc(sizeof(*order));
	enum error error = stop_check(replicas, request, own_broker_epoch);

	order->replicas = replicas;
	order->response = response;
	order->arena = arena;
	order->task = task;
	if (error == ERR_NONE && !stop_rows(order, request, version))
		error = ERR_UNKNOWN_SERVER_ERROR;
	if (error != ERR_NONE || order->row_count == 0) {
		response->error_code = (int16_t)error;
		diag_info(replicas->setup.diag, replica,
		    "request=StopReplica controller=%d epoch=%d error=%s: "
		    "nothing to stop",
		    (int)request->controller_id,
		    (int)request->controller_epoch, error_name((int)error));
		order->done = true;
		return (order);
	}
	stop_share_out(order);
	return (order);
}

bool
replicas_stop_order_done(const struct replicas_stop_order *order)
{
	return (order->done);
}

void
replicas_stop_order_free(struct replicas_stop_order **order)
{
	if (*order == NULL)
		return;
	CHECK((*order)->done);
	mem_free(*order);
	*order = NULL;
}

/* --- rows ----------------------------------------------------------------- */

static size_t
stop_row_count(const struct stop_replica_request *request)
{
	size_t count = (size_t)request->ungrouped_partitions_count;

	for (int32_t i = 0; i < request->topics_count; i++)
		count += (size_t)request->topics[i].partition_indexes_count;
	for (int32_t i = 0; i < request->topic_states_count; i++)
		count +=
		    (size_t)request->topic_states[i].partition_states_count;
	return (count);
}

static void
stop_row_add(struct replicas_stop_order *order, struct stop_row row)
{
	order->rows[order->row_count++] = row;
}

/* Versions below 3: one word for all partitions, and no epochs. */
static void
stop_rows_old(struct replicas_stop_order *order,
    const struct stop_replica_request *request)
{
	struct stop_row row = {
		.leader_epoch = EPOCH_NONE,
		.deletes = request->delete_partitions,
	};

	for (int32_t i = 0; i < request->ungrouped_partitions_count; i++) {
		row.topic = request->ungrouped_partitions[i].topic_name;
		row.partition =
		    request->ungrouped_partitions[i].partition_index;
		stop_row_add(order, row);
	}
	for (int32_t i = 0; i < request->topics_count; i++) {
		const struct stop_replica_request_topic *topic =
		    &request->topics[i];

		row.topic = topic->name;
		for (int32_t j = 0; j < topic->partition_indexes_count; j++) {
			row.partition = topic->partition_indexes[j];
			stop_row_add(order, row);
		}
	}
}

/* Of a partition that is named twice the last row counts. */
static bool
stop_drop_twins(struct replicas_stop_order *order)
{
	const size_t count = order->row_count;
	struct twin *twins = arena_array(order->arena, count, sizeof(*twins));
	const struct twin_ends *ends;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = order->rows[i].topic,
			.number = order->rows[i].partition };
	ends = twins_find(order->arena, twins, count);
	order->row_count = 0;
	for (size_t i = 0; ends != NULL && i < count; i++)
		if (ends[i].last == i)
			order->rows[order->row_count++] = order->rows[i];
	return (ends != NULL);
}

static bool
stop_rows(struct replicas_stop_order *order,
    const struct stop_replica_request *request, int version)
{
	order->rows = arena_array(order->arena, stop_row_count(request),
	    sizeof(*order->rows));
	if (order->rows == NULL)
		return (false);
	if (version < 3)
		stop_rows_old(order, request);
	for (int32_t i = 0; version >= 3 && i < request->topic_states_count;
	     i++) {
		const struct stop_replica_request_topic_state *topic =
		    &request->topic_states[i];

		for (int32_t j = 0; j < topic->partition_states_count; j++) {
			const struct stop_replica_request_partition_state *p =
			    &topic->partition_states[j];

			stop_row_add(order, (struct stop_row){
				.topic = topic->topic_name,
				.partition = p->partition_index,
				.leader_epoch = p->leader_epoch,
				.deletes = p->delete_partition,
			    });
		}
	}
	return (stop_drop_twins(order));
}

static void
stop_share_out(struct replicas_stop_order *order)
{
	for (size_t i = 0; i < STOP_SHARES; i++)
		order->shares[i].last = &order->shares[i].first;
	for (size_t i = 0; i < order->row_count; i++) {
		struct stop_row *row = &order->rows[i];
		struct stop_share *share = &order->shares[replicas_spread(
		    row->topic, row->partition, STOP_SHARES)];

		*share->last = row;
		share->last = &row->next;
	}
	for (size_t i = 0; i < STOP_SHARES; i++)
		order->running += order->shares[i].first != NULL;
	for (size_t i = 0; i < STOP_SHARES; i++) {
		struct stop_share *share = &order->shares[i];

		if (share->first == NULL)
			continue;
		share->order = order;
		share->work.run = stop_share_run;
		share->work.done = stop_share_done;
		share->work.home = order->task.loop;
		work_submit(order->replicas->setup.workers, &share->work);
	}
}

static void
stop_share_run(struct work *work)
{
	struct stop_share *share = container_of(work, struct stop_share, work);

	for (struct stop_row *row = share->first; row != NULL; row = row->next)
		row->error = stop_apply(share->order->replicas, row);
}

static void
stop_share_done(struct work *work)
{
	struct replicas_stop_order *order = container_of(work,
	    struct stop_share, work)->order;

	if (--order->running > 0)
		return;
	order->forget.run = stop_forget_run;
	order->forget.done = stop_forget_done;
	order->forget.home = order->task.loop;
	work_submit(order->replicas->setup.workers, &order->forget);
}

/* Who is told that a log is deleted may make it again: neither the old name nor
 * what checkpoints said of it may come back. */
static void
stop_forget_run(struct work *work)
{
	struct replicas_stop_order *order = container_of(work,
	    struct replicas_stop_order, forget);
	enum error error = storage_forget_deleted(
	    order->replicas->setup.storage);

	for (size_t i = 0; i < order->row_count; i++)
		if (order->rows[i].deletes &&
		    order->rows[i].error == ERR_NONE)
			order->rows[i].error = error;
}

static void
stop_forget_done(struct work *work)
{
	struct replicas_stop_order *order = container_of(work,
	    struct replicas_stop_order, forget);
	struct stop_replica_response *response = order->response;

	response->partition_errors = wire_array(order->arena,
	    stop_replica_response_partition_error_schema(), order->row_count);
	if (response->partition_errors == NULL)
		response->error_code = ERR_UNKNOWN_SERVER_ERROR;
	else
		response->partition_errors_count = (int32_t)order->row_count;
	for (int32_t i = 0; i < response->partition_errors_count; i++) {
		response->partition_errors[i].topic_name =
		    order->rows[i].topic;
		response->partition_errors[i].partition_index =
		    order->rows[i].partition;
		response->partition_errors[i].error_code =
		    (int16_t)order->rows[i].error;
	}
	order->done = true;
	task_wake_ref(order->task);
}

/* --- one row, on a worker ------------------------------------------------- */

/* It lies there, or may lie there. */
static bool
stop_dir_failed(const struct replica *replica)
{
	const struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);

	if (log != NULL)
		return (log_failed(log));
	return (replica->offline &&
	    storage_has_failed_dir(replica->replicas->setup.storage));
}

/* The replica is claimed: its epoch stays. */
static enum error
stop_refusal(const struct replica *replica, const struct stop_row *row)
{
	if (stop_dir_failed(replica))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (row->leader_epoch != EPOCH_DURING_DELETE &&
	    row->leader_epoch != EPOCH_NONE &&
	    (row->leader_epoch < replica->leader_epoch ||
		row->leader_epoch < order_kept_epoch(replica)))
		return (ERR_FENCED_LEADER_EPOCH);
	return (ERR_NONE);
}

static enum error
stop_locked(struct replica *replica, const struct stop_row *row)
{
	struct replicas *replicas = replica->replicas;
	enum error error = stop_refusal(replica, row);

	if (error != ERR_NONE)
		return (error);
	order_forget(replica);
	diag_info(replicas->setup.diag, replica,
	    "partition=%s/%d stopped epoch=%d%s", replica->topic,
	    (int)replica->partition, (int)row->leader_epoch,
	    row->deletes ? " to be deleted" : "");
	if (!row->deletes) {
		replica_stop_following(replica);
		return (ERR_NONE);
	}
	/* No role first: nobody appends to what goes. */
	replica_retire(replica);
	error = log_delete(replicas->setup.storage, replica->topic,
	    replica->partition);
	replicas_remove(replica);
	return (error);
}

static enum error
stop_apply(struct replicas *replicas, const struct stop_row *row)
{
	struct replica *replica;
	enum error error = ERR_NONE;
	bool gone;

	/* Nothing of such a name was ever here. */
	if (row->partition < 0 ||
	    !topic_name_valid(row->topic, &(const char *){ NULL }))
		return (ERR_NONE);
	do {
		/* A log without a role is deleted under a lock as well. */
		replica = row->deletes ?
		    replicas_find_or_add(replicas, row->topic,
			row->partition) :
		    replicas_find(replicas, row->topic, row->partition);
		if (replica == NULL)
			return (ERR_NONE);
		(void)replica_claim(replica, true);
		if (row->deletes && !atomic_load(&replica->gone) &&
		    stop_refusal(replica, row) == ERR_NONE)
			move_end(replica);
		replica_lock(replica);
		gone = atomic_load(&replica->gone);
		if (!gone)
			error = stop_locked(replica, row);
		replica_unlock(replica);
		replica_tell_role(replica);
		replica_unclaim(replica);
		replica_wake(replica);
		replica_unref(replica);
	} while (gone);
	return (error);
}
