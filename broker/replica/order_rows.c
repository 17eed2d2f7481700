/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share of LeaderAndIsr's rows, on a worker, in batches:
 *
 *	claim     each row's partition is this order's alone
 *	prepare   [lock] what the row will want on the disk is begun
 *	commit    the logs that are new are made, with their epochs, and synced
 *	apply     [lock] the row takes effect; the claim ends
 *
 * No lock is held during the commit, and only one at a time in all.  Applying
 * is the whole: what was prepared it finds done, what was not it does alone
 * (the partition leads already, room or descriptors were wanted), and it says
 * what failed; what still wants them is kept (order_again.c).  Between the two
 * a partition whose log is there goes on as it was: as follower, or as leader
 * in its old epoch.
 *
 * Source: Kafka 3.9's ReplicaManager.becomeLeaderOrFollower; KIP-516 for topic
 * ids; KAFKA-14617 and the design's rule on logs that are not there.
 */
#include "replica/order_int.h"

#include "config/topic.h"
#include "replica/move_int.h"

/* Replicas of one partition; Kafka's own bound is far below. */
#define ORDER_REPLICAS_MAX 1024

/* Rows that are carried out together. */
struct order_batch {
	struct replicas *replicas;
	struct log_batch *logs;
	struct order_row *rows[LOG_BATCH_MAX];
	size_t count;
};

static bool order_begin(struct order_batch *batch, struct order_row *row);
static bool order_begin_again(struct order_batch *batch,
    struct order_row *row);
static void order_enter(struct order_batch *batch, struct order_row *row);
static void order_prepare(struct order_batch *batch, struct order_row *row);
static void order_finish(struct order_row *row);
static enum error order_apply(struct replica *replica,
    const struct order_row *row);

void
order_rows_run(struct replicas *replicas, struct order_row *first)
{
	struct order_batch batch = { .replicas = replicas,
		.logs = log_batch_new(replicas->setup.storage) };
	struct order_row *row = first;

	while (row != NULL) {
		batch.count = 0;
		while (row != NULL && batch.count < LOG_BATCH_MAX &&
		    !log_batch_full(batch.logs) && order_begin(&batch, row))
			row = row->next;
		log_batch_commit(batch.logs);
		for (size_t i = 0; i < batch.count; i++)
			order_finish(batch.rows[i]);
	}
	log_batch_free(&batch.logs);
}

/* --- what a row asks for -------------------------------------------------- */

static bool
order_is_ours(const struct replicas *replicas,
    const struct leader_and_isr_request_partition_state *state)
{
	for (int32_t i = 0; i < state->replicas_count; i++)
		if (state->replicas[i] == replicas->setup.broker_id)
			return (true);
	return (false);
}

/* It is to lead, or would be the one to lead when nobody else is there. */
static bool
order_counts_on_us(const struct replicas *replicas,
    const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	const int32_t own = replicas->setup.broker_id;

	if (state->leader == own)
		return (true);
	for (int32_t i = 0; !row->leader_lives && i < state->isr_count; i++)
		if (state->isr[i] == own)
			return (true);
	return (false);
}

/* Who has rules has it from there; they may be newer than what we asked for. */
static void
order_note_config(struct replica *replica)
{
	const struct topic_config *config = configs_topic(
	    replica->replicas->setup.configs, replica->topic);

	lock_take(&replica->state);
	if (atomic_load_explicit(&replica->rules_sequence,
		memory_order_relaxed) == 0)
		atomic_store_explicit(&replica->min_insync,
		    config->options->min_insync_replicas,
		    memory_order_relaxed);
	lock_release(&replica->state);
	topic_config_unref(config);
}

static bool
order_is_new(const struct replica *replica, const struct order_row *row)
{
	return (row->state->is_new || order_kept_new(replica, row->topic_id));
}

/*
 * A log that is not there, though others may count on it, is not made anew: as
 * leader this broker would have followers cut off what they hold.  Nor is it
 * made while the partition has no leader and we are in the ISR: after the next
 * restart it would not be missing any more.  A new partition is made, one that
 * was never here (its maker died before it came to that), and one whose topic
 * rather loses records than waits.  `lost`: that is why not.
 */
static bool
order_may_make_log(const struct replica *replica, const struct order_row *row,
    bool *lost)
{
	struct replicas *replicas = replica->replicas;
	const struct topic_config *config;
	bool unclean;

	*lost = false;
	/* It is here, and another directory must tell whether it is the one. */
	if (storage_withholds(replicas->setup.storage, replica->topic,
		replica->partition))
		return (false);
	if (order_is_new(replica, row))
		return (true);
	if (storage_has_failed_dir(replicas->setup.storage))
		return (false);
	config = configs_topic(replicas->setup.configs, replica->topic);
	unclean = config->options->unclean_leader_election_enable;
	topic_config_unref(config);
	*lost = !unclean && order_counts_on_us(replicas, row) &&
	    !storage_never_had(replicas->setup.storage, replica->topic,
		replica->partition);
	return (!*lost);
}

/* Another id than the log's means another topic of the same name. */
static bool
order_id_differs(const struct replica *replica, const struct order_row *row)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	struct log *found = NULL;
	struct uuid id;

	if (log == NULL)
		log = found = storage_find(replica->replicas->setup.storage,
		    replica->topic, replica->partition);
	id = log == NULL ? UUID_ZERO : log_topic_id(log);
	if (found != NULL)
		log_unref(found);
	return (!uuid_is_zero(id) && !uuid_is_zero(row->topic_id) &&
	    !uuid_equal(id, row->topic_id));
}

/* Why the row is not even looked at. */
static enum error
order_refusal(const struct replica *replica, const struct order_row *row)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);

	if (log != NULL && log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (order_id_differs(replica, row))
		return (ERR_INCONSISTENT_TOPIC_ID);
	if (row->state->leader_epoch < replica->leader_epoch)
		return (ERR_STALE_CONTROLLER_EPOCH);
	return (ERR_NONE);
}

/* --- claim and prepare ---------------------------------------------------- */

static enum error
order_check_row(const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;

	if (state->replicas_count > ORDER_REPLICAS_MAX ||
	    state->isr_count > ORDER_REPLICAS_MAX ||
	    state->partition_index < 0)
		return (ERR_INVALID_REQUEST);
	/* Not above what a partition has that was never told of. */
	if (state->leader_epoch < 0)
		return (ERR_STALE_CONTROLLER_EPOCH);
	if (!topic_name_valid(row->topic, &(const char *){ NULL }))
		return (ERR_INVALID_TOPIC_EXCEPTION);
	return (ERR_NONE);
}

/* False: another order has the partition; whoever waits for it has to be done
 * with its own ones, or two might wait for each other. */
static bool
order_begin(struct order_batch *batch, struct order_row *row)
{
	struct replicas *replicas = batch->replicas;
	bool ours, gone = true;

	if (row->again)
		return (order_begin_again(batch, row));
	ours = order_is_ours(replicas, row->state);
	row->error = order_check_row(row);
	while (row->error == ERR_NONE && gone) {
		row->replica = ours ?
		    replicas_find_or_add(replicas, row->topic,
			row->state->partition_index) :
		    replicas_find(replicas, row->topic,
			row->state->partition_index);
		if (row->replica == NULL) {
			row->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
			break;
		}
		if (!replica_claim(row->replica, batch->count == 0)) {
			replica_unref(row->replica);
			return (false);
		}
		/* Deleted since it was found: the next look finds none. */
		gone = atomic_load(&row->replica->gone);
		if (gone) {
			replica_unclaim(row->replica);
			replica_unref(row->replica);
		}
	}
	if (row->error == ERR_NONE)
		order_enter(batch, row);
	return (true);
}

/* The same for one that was kept. */
static bool
order_begin_again(struct order_batch *batch, struct order_row *row)
{
	if (!replica_claim(row->replica, batch->count == 0))
		return (false);
	if (order_recall(row)) {
		order_enter(batch, row);
		return (true);
	}
	replica_unclaim(row->replica);
	replica_unref(row->replica);
	return (true);
}

static void
order_enter(struct order_batch *batch, struct order_row *row)
{
	batch->rows[batch->count++] = row;
	order_note_config(row->replica);
	replica_lock(row->replica);
	order_prepare(batch, row);
	replica_unlock(row->replica);
}

/* A partition that leads goes on under its old epoch until the row is applied:
 * nothing of it is prepared. */
static void
order_prepare(struct order_batch *batch, struct order_row *row)
{
	struct replica *replica = row->replica;
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	bool leads = state->leader == batch->replicas->setup.broker_id;
	struct log_wish wish = {
		.topic = replica->topic,
		.partition = replica->partition,
		.topic_id = row->topic_id,
		.leader_epoch = leads ? state->leader_epoch : -1,
	};
	struct log *log;
	bool lost;

	if (replica->leads || state->leader_epoch <= replica->leader_epoch ||
	    state->partition_epoch < replica->partition_epoch ||
	    !order_is_ours(batch->replicas, state) ||
	    order_refusal(replica, row) != ERR_NONE)
		return;
	log = storage_find(batch->replicas->setup.storage, replica->topic,
	    replica->partition);
	if (log == NULL && !order_may_make_log(replica, row, &lost))
		return;
	if (log == NULL)
		log_batch_add(batch->logs, &wish);
	else
		log_unref(log);
}

/* --- apply ---------------------------------------------------------------- */

static void
order_finish(struct order_row *row)
{
	replica_lock(row->replica);
	row->error = order_apply(row->replica, row);
	replica_unlock(row->replica);
	replica_tell_role(row->replica);
	order_settle(row);
	replica_unclaim(row->replica);
	replica_unref(row->replica);
}

static enum error
order_make_log(struct replica *replica, const struct order_row *row,
    struct log **out)
{
	struct storage *storage = replica->replicas->setup.storage;
	bool lost;

	if (order_may_make_log(replica, row, &lost)) {
		if (order_is_new(replica, row))
			storage_forget_lost(storage, replica->topic,
			    replica->partition);
		return (log_create(storage, replica->topic, replica->partition,
		    row->topic_id, out));
	}
	if (lost)
		diag_error(replica->replicas->setup.diag, replica,
		    "partition=%s/%d epoch=%d: in the ISR of a partition that "
		    "is not new and has no other leader, but its log is not "
		    "here; answering KAFKA_STORAGE_ERROR. To accept the loss "
		    "of its records, set unclean.leader.election.enable=true "
		    "for the topic",
		    replica->topic, (int)replica->partition,
		    (int)row->state->leader_epoch);
	return (ERR_KAFKA_STORAGE_ERROR);
}

/* `lock` is held. The log, found or made, with the topic id that it shall have;
 * ERR_KAFKA_STORAGE_ERROR also marks the replica. ORDER_WAITS: not now. */
static enum error
order_find_log(struct replica *replica, const struct order_row *row)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	enum error error = ERR_NONE;
	bool news = log == NULL;

	if (log == NULL)
		log = storage_find(replica->replicas->setup.storage,
		    replica->topic, replica->partition);
	if (log == NULL)
		error = order_make_log(replica, row, &log);
	if (error == ERR_NONE && log_failed(log))
		error = ERR_KAFKA_STORAGE_ERROR;
	if (error == ERR_NONE && !uuid_is_zero(row->topic_id) &&
	    !log_set_topic_id(log, row->topic_id))
		error = log_failed(log) ? ERR_KAFKA_STORAGE_ERROR :
					  ERR_INCONSISTENT_TOPIC_ID;
	if (news && error == ERR_NONE) {
		atomic_store_explicit(&replica->dir,
		    append_dir_of(replica->replicas, log_directory(log)),
		    memory_order_release);
		atomic_store_explicit(&replica->log, log,
		    memory_order_release);
		move_resume(replica);
	} else if (news && log != NULL)
		log_unref(log);
	if (error == ERR_KAFKA_STORAGE_ERROR)
		replica_set_offline(replica);
	return (error);
}

/* The epoch is the one that is held here: nothing is to change, but a log may
 * be given the id that it lacks. */
static enum error
order_same_epoch(struct replica *replica, const struct order_row *row)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	bool has_id = log != NULL && !uuid_is_zero(log_topic_id(log));
	bool given = !uuid_is_zero(row->topic_id);

	if (log != NULL && given && !has_id)
		return (log_set_topic_id(log, row->topic_id) ?
			    ERR_NONE :
			    ERR_KAFKA_STORAGE_ERROR);
	if (!given && has_id && !replica->leads)
		return (ERR_NONE);
	return (ERR_STALE_CONTROLLER_EPOCH);
}

static enum error
order_take_role(struct replica *replica, const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	bool leads = state->leader ==
	    replica->replicas->setup.broker_id;
	struct role role = {
		.leader = state->leader,
		.leader_epoch = state->leader_epoch,
		.partition_epoch = state->partition_epoch,
		.replicas = state->replicas,
		.isr = state->isr,
		.replica_count = state->replicas_count,
		.isr_count = state->isr_count,
		.reassigned = row->reassigned,
		.added = state->adding_replicas,
		.added_count = state->adding_replicas_count,
	};
	enum error error = order_find_log(replica, row);

	if (error != ERR_NONE)
		return (error);
	/* News that were overtaken by an answer to AlterPartition. */
	if (state->partition_epoch < replica->partition_epoch)
		return (ERR_NONE);
	if (leads)
		return (replica_lead(replica, &role));
	if (row->leader_lives)
		return (replica_follow(replica, &role));
	/* The state stays as it was, so that the same order, sent again when
	 * the leader is known, still is news. */
	diag_warn(replica->replicas->setup.diag, replica,
	    "partition=%s/%d epoch=%d leader=%d: the leader is not among the "
	    "live brokers; not following it until the controller says so again",
	    replica->topic, (int)replica->partition,
	    (int)state->leader_epoch, (int)state->leader);
	return (ERR_NONE);
}

static enum error
order_apply(struct replica *replica, const struct order_row *row)
{
	enum error error = order_refusal(replica, row);

	if (error != ERR_NONE)
		return (error);
	if (row->state->leader_epoch == replica->leader_epoch)
		return (order_same_epoch(replica, row));
	if (!order_is_ours(replica->replicas, row->state))
		return (ERR_UNKNOWN_TOPIC_OR_PARTITION);
	return (order_take_role(replica, row));
}
