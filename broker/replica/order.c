/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LeaderAndIsr: the controller gives partitions their leaders.
 *
 *	loop:    epochs of broker and controller; rows; which leaders live
 *	workers: each a share of the rows, under the partitions' locks
 *	loop:    the last share back: the answer, in its version's form
 *
 * All rows of one partition are in one share, so they keep their order.
 * Source: Kafka 3.9's ReplicaManager.becomeLeaderOrFollower; KIP-516 for topic
 * ids; KAFKA-14617 and the design's rule on logs that are not there.
 */
#include "replica/replica_int.h"

#include "base/mem.h"
#include "config/topic.h"

/* Shares of one order that run at once. */
#define ORDER_SHARES 8
/* Replicas of one partition; Kafka's own bound is far below. */
#define ORDER_REPLICAS_MAX 1024

struct order_row {
	struct slice topic;
	struct uuid topic_id; /* zero: none given */
	const struct leader_and_isr_request_partition_state *state;
	bool leader_lives;
	enum error error;
	struct order_row *next; /* in its share */
};

struct order_share {
	struct work work;
	struct replicas_order *order;
	struct order_row *first;
	struct order_row **last;
};

struct replicas_order {
	struct replicas *replicas;
	const struct leader_and_isr_request *request;
	struct leader_and_isr_response *response;
	struct arena *arena;
	struct task_ref task;
	int version;
	struct order_row *rows;
	size_t row_count;
	struct order_share shares[ORDER_SHARES];
	size_t running;
	bool done;
};

static bool order_rows(struct replicas_order *order);
static void order_share_out(struct replicas_order *order);
static void order_share_run(struct work *work);
static void order_share_done(struct work *work);
static void order_answer(struct replicas_order *order);
static enum error order_apply(struct replicas *replicas,
    const struct order_row *row);

static enum error
order_check(struct replicas *replicas,
    const struct leader_and_isr_request *request, int64_t own_broker_epoch)
{
	if (request->broker_epoch != -1 &&
	    request->broker_epoch < own_broker_epoch)
		return (ERR_STALE_BROKER_EPOCH);
	if (!replicas_accept_controller_epoch(replicas,
		request->controller_epoch))
		return (ERR_STALE_CONTROLLER_EPOCH);
	return (ERR_NONE);
}

struct replicas_order *
replicas_leader_and_isr(struct replicas *replicas,
    const struct leader_and_isr_request *request, int version,
    int64_t own_broker_epoch, struct arena *arena,
    struct leader_and_isr_response *response, struct task_ref task)
{
	struct replicas_order *order = mem_zalloc(sizeof(*order));
	enum error error = order_check(replicas, request, own_broker_epoch);

	order->replicas = replicas;
	order->request = request;
	order->response = response;
	order->arena = arena;
	order->version = version;
	order->task = task;
	if (error == ERR_NONE && !order_rows(order))
		error = ERR_UNKNOWN_SERVER_ERROR;
	if (error != ERR_NONE || order->row_count == 0) {
		response->error_code = (int16_t)error;
		diag_info(replicas->setup.diag, replica,
		    "request=LeaderAndIsr controller=%d epoch=%d rows=%zu "
		    "error=%s: nothing to apply",
		    (int)request->controller_id,
		    (int)request->controller_epoch, order->row_count,
		    error_name((int)error));
		order->done = true;
		return (order);
	}
	order_share_out(order);
	return (order);
}

bool
replicas_order_done(const struct replicas_order *order)
{
	return (order->done);
}

void
replicas_order_free(struct replicas_order **order)
{
	if (*order == NULL)
		return;
	CHECK((*order)->done);
	mem_free(*order);
	*order = NULL;
}

/* --- rows ----------------------------------------------------------------- */

static void
order_row_add(struct replicas_order *order, struct slice topic,
    struct uuid topic_id,
    const struct leader_and_isr_request_partition_state *state)
{
	const struct cluster_image *image =
	    cluster_image(order->replicas->setup.cluster);

	order->rows[order->row_count++] = (struct order_row){
		.topic = topic,
		.topic_id = topic_id,
		.state = state,
		.leader_lives = image_broker(image, state->leader) != NULL,
	};
}

static bool
order_rows(struct replicas_order *order)
{
	const struct leader_and_isr_request *request = order->request;
	size_t count = (size_t)request->ungrouped_partition_states_count;

	for (int32_t i = 0; i < request->topic_states_count; i++)
		count +=
		    (size_t)request->topic_states[i].partition_states_count;
	order->rows = arena_array(order->arena, count, sizeof(*order->rows));
	if (order->rows == NULL)
		return (false);
	for (int32_t i = 0; i < request->ungrouped_partition_states_count; i++)
		order_row_add(order,
		    request->ungrouped_partition_states[i].topic_name,
		    UUID_ZERO, &request->ungrouped_partition_states[i]);
	for (int32_t i = 0; i < request->topic_states_count; i++) {
		const struct leader_and_isr_request_topic_state *topic =
		    &request->topic_states[i];

		for (int32_t j = 0; j < topic->partition_states_count; j++)
			order_row_add(order, topic->topic_name,
			    topic->topic_id, &topic->partition_states[j]);
	}
	return (true);
}

static void
order_share_out(struct replicas_order *order)
{
	for (size_t i = 0; i < ORDER_SHARES; i++)
		order->shares[i].last = &order->shares[i].first;
	for (size_t i = 0; i < order->row_count; i++) {
		struct order_row *row = &order->rows[i];
		/* Partitions of one topic spread; one partition stays. */
		size_t at = (row->topic.length +
				(size_t)(uint32_t)row->state->partition_index) %
		    ORDER_SHARES;
		struct order_share *share = &order->shares[at];

		*share->last = row;
		share->last = &row->next;
	}
	for (size_t i = 0; i < ORDER_SHARES; i++)
		order->running += order->shares[i].first != NULL;
	for (size_t i = 0; i < ORDER_SHARES; i++) {
		struct order_share *share = &order->shares[i];

		if (share->first == NULL)
			continue;
		share->order = order;
		share->work.run = order_share_run;
		share->work.done = order_share_done;
		share->work.home = order->task.loop;
		work_submit(order->replicas->setup.workers, &share->work);
	}
}

static void
order_share_run(struct work *work)
{
	struct order_share *share = container_of(work, struct order_share,
	    work);

	for (struct order_row *row = share->first; row != NULL;
	     row = row->next)
		row->error = order_apply(share->order->replicas, row);
}

static void
order_share_done(struct work *work)
{
	struct replicas_order *order = container_of(work, struct order_share,
	    work)->order;

	if (--order->running > 0)
		return;
	order_answer(order);
	order->done = true;
	task_wake_ref(order->task);
}

/* --- the answer ----------------------------------------------------------- */

static struct leader_and_isr_response_partition_error *
order_answer_rows(struct replicas_order *order,
    const struct order_row *rows, size_t count)
{
	struct leader_and_isr_response_partition_error *out = wire_array(
	    order->arena, leader_and_isr_response_partition_error_schema(),
	    count);

	for (size_t i = 0; out != NULL && i < count; i++) {
		out[i].topic_name = rows[i].topic;
		out[i].partition_index = rows[i].state->partition_index;
		out[i].error_code = (int16_t)rows[i].error;
	}
	return (out);
}

/* From version 5 on: by topic id. */
static bool
order_answer_topics(struct replicas_order *order)
{
	const struct leader_and_isr_request *request = order->request;
	struct leader_and_isr_response *response = order->response;
	const struct order_row *row = order->rows;

	response->topics = wire_array(order->arena,
	    leader_and_isr_response_topic_schema(),
	    (size_t)request->topic_states_count);
	if (response->topics == NULL)
		return (false);
	response->topics_count = request->topic_states_count;
	for (int32_t i = 0; i < request->topic_states_count; i++) {
		struct leader_and_isr_response_topic *out =
		    &response->topics[i];
		int32_t count = request->topic_states[i].partition_states_count;

		out->topic_id = request->topic_states[i].topic_id;
		out->partition_errors = order_answer_rows(order, row,
		    (size_t)count);
		if (out->partition_errors == NULL)
			return (false);
		out->partition_errors_count = count;
		row += count;
	}
	return (true);
}

static void
order_answer(struct replicas_order *order)
{
	struct leader_and_isr_response *response = order->response;
	bool good;

	if (order->version >= 5) {
		good = order_answer_topics(order);
	} else {
		response->partition_errors = order_answer_rows(order,
		    order->rows, order->row_count);
		good = response->partition_errors != NULL;
		if (good)
			response->partition_errors_count =
			    (int32_t)order->row_count;
	}
	if (good)
		return;
	response->topics_count = 0;
	response->error_code = ERR_UNKNOWN_SERVER_ERROR;
}

/* --- one row, on a worker ------------------------------------------------- */

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

/*
 * A log that is not there, though others may count on it, is not made anew: as
 * leader this broker would have followers cut off what they hold.  Nor is it
 * made while the partition has no leader and we are in the ISR: after the next
 * restart it would not be missing any more.  A new partition is made, one that
 * was never here (its maker died before it came to that), and one whose topic
 * rather loses records than waits.
 */
static enum error
order_make_log(struct replica *replica, const struct order_row *row,
    struct log **out)
{
	struct replicas *replicas = replica->replicas;
	const struct topic_config *config;
	bool unclean;

	if (!row->state->is_new &&
	    storage_has_failed_dir(replicas->setup.storage))
		return (ERR_KAFKA_STORAGE_ERROR);
	config = configs_topic(replicas->setup.configs, replica->topic);
	unclean = config->options->unclean_leader_election_enable;
	topic_config_unref(config);
	if (!row->state->is_new && !unclean &&
	    order_counts_on_us(replicas, row) &&
	    !storage_never_had(replicas->setup.storage, replica->topic,
		replica->partition)) {
		diag_error(replicas->setup.diag, replica,
		    "partition=%s/%d epoch=%d: in the ISR of a partition that "
		    "is not new and has no other leader, but its log is not "
		    "here; answering KAFKA_STORAGE_ERROR. To accept the loss "
		    "of its records, set unclean.leader.election.enable=true "
		    "for the topic",
		    replica->topic, (int)replica->partition,
		    (int)row->state->leader_epoch);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	return (log_create(replicas->setup.storage, replica->topic,
	    replica->partition, row->topic_id, out));
}

/* `lock` is held. The log, found or made, with the topic id that it shall have;
 * ERR_KAFKA_STORAGE_ERROR also marks the replica. */
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
	} else if (news && log != NULL)
		log_unref(log);
	if (error == ERR_KAFKA_STORAGE_ERROR)
		replica_set_offline(replica);
	return (error);
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
order_apply_locked(struct replica *replica, const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);

	if (log != NULL && log_failed(log))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (order_id_differs(replica, row))
		return (ERR_INCONSISTENT_TOPIC_ID);
	if (state->leader_epoch < replica->leader_epoch)
		return (ERR_STALE_CONTROLLER_EPOCH);
	if (state->leader_epoch == replica->leader_epoch)
		return (order_same_epoch(replica, row));
	if (!order_is_ours(replica->replicas, state))
		return (ERR_UNKNOWN_TOPIC_OR_PARTITION);
	return (order_take_role(replica, row));
}

static void
order_note_config(struct replica *replica)
{
	const struct topic_config *config = configs_topic(
	    replica->replicas->setup.configs, replica->topic);

	atomic_store_explicit(&replica->min_insync,
	    config->options->min_insync_replicas, memory_order_relaxed);
	topic_config_unref(config);
}

static enum error
order_apply(struct replicas *replicas, const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	struct replica *replica;
	enum error error = ERR_NONE;
	bool gone;

	if (state->replicas_count > ORDER_REPLICAS_MAX ||
	    state->isr_count > ORDER_REPLICAS_MAX ||
	    state->partition_index < 0 || state->leader_epoch < 0)
		return (ERR_INVALID_REQUEST);
	if (!topic_name_valid(row->topic, &(const char *){ NULL }))
		return (ERR_INVALID_TOPIC_EXCEPTION);
	do {
		replica = order_is_ours(replicas, state) ?
		    replicas_find_or_add(replicas, row->topic,
			state->partition_index) :
		    replicas_find(replicas, row->topic,
			state->partition_index);
		if (replica == NULL)
			return (ERR_UNKNOWN_TOPIC_OR_PARTITION);
		order_note_config(replica);
		replica_lock(replica);
		/* Deleted since it was found: the next look finds none. */
		gone = atomic_load(&replica->gone);
		if (!gone)
			error = order_apply_locked(replica, row);
		replica_unlock(replica);
		replica_unref(replica);
	} while (gone);
	return (error);
}
