/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LeaderAndIsr: the controller gives partitions their leaders.
 *
 *	loop:    epochs of broker and controller; rows; which leaders live
 *	workers: each a share of the rows (order_rows.c)
 *	loop:    the last share back: the answer, in its version's form
 *
 * All rows of one partition are in one share, so they keep their order.
 */
#include "replica/order_int.h"

#include "base/mem.h"
#include "base/twins.h"

/* Shares of one order that run at once. */
#define ORDER_SHARES 8
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
static bool order_drop_twins(struct replicas_order *order);
static void order_refuse(struct replicas_order *order, enum error error);
static void order_share_out(struct replicas_order *order);
static void order_share_run(struct work *work);
static void order_share_done(struct work *work);
static void order_answer(struct replicas_order *order);

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
	bool good;

	order->replicas = replicas;
	order->request = request;
	order->response = response;
	order->arena = arena;
	order->version = version;
	order->task = task;
	good = order_rows(order);
	if (error == ERR_NONE && !(good && order_drop_twins(order)))
		error = ERR_UNKNOWN_SERVER_ERROR;
	if (error != ERR_NONE || order->row_count == 0) {
		order_refuse(order, error);
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
    const struct leader_and_isr_request_partition_state *state)
{
	const struct cluster_image *image =
	    cluster_image(order->replicas->setup.cluster);

	order->rows[order->row_count++] = (struct order_row){
		.topic = topic,
		.state = state,
		.leader_lives = image_broker(image, state->leader) != NULL,
		.reassigned = state->adding_replicas_count > 0 ||
		    state->removing_replicas_count > 0,
	};
}

/* Of a partition that is named twice the last row counts. */
static bool
order_drop_twins(struct replicas_order *order)
{
	const size_t count = order->row_count;
	struct twin *twins = arena_array(order->arena, count, sizeof(*twins));
	const struct twin_ends *ends;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = order->rows[i].topic,
			.number = order->rows[i].state->partition_index };
	ends = twins_find(order->arena, twins, count);
	order->row_count = 0;
	for (size_t i = 0; ends != NULL && i < count; i++)
		if (ends[i].last == i)
			order->rows[order->row_count++] = order->rows[i];
	return (ends != NULL);
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
		    &request->ungrouped_partition_states[i]);
	for (int32_t i = 0; i < request->topic_states_count; i++) {
		const struct leader_and_isr_request_topic_state *topic =
		    &request->topic_states[i];

		for (int32_t j = 0; j < topic->partition_states_count; j++) {
			order_row_add(order, topic->topic_name,
			    &topic->partition_states[j]);
			order->rows[order->row_count - 1].topic_id =
			    topic->topic_id;
			order->rows[order->row_count - 1].slot = i;
		}
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
		struct order_share *share = &order->shares[replicas_spread(
		    row->topic, row->state->partition_index, ORDER_SHARES)];

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

	order_rows_run(share->order->replicas, share->first);
}

static void
order_share_done(struct work *work)
{
	struct replicas_order *order = container_of(work, struct order_share,
	    work)->order;

	if (--order->running > 0)
		return;
	order_answer(order);
	waitq_wake(&order->replicas->led);
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
	const struct order_row *end = row + order->row_count;

	response->topics = wire_array(order->arena,
	    leader_and_isr_response_topic_schema(),
	    (size_t)request->topic_states_count);
	if (response->topics == NULL)
		return (false);
	response->topics_count = request->topic_states_count;
	for (int32_t i = 0; i < request->topic_states_count; i++) {
		struct leader_and_isr_response_topic *out =
		    &response->topics[i];
		int32_t count = 0;

		while (row + count < end && row[count].slot == i)
			count++;
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

/* Every row has the error of the whole, too, as in Kafka's answers. */
static void
order_refuse(struct replicas_order *order, enum error error)
{
	for (size_t i = 0; i < order->row_count; i++)
		order->rows[i].error = error;
	if (order->rows != NULL)
		order_answer(order);
	order->response->error_code = (int16_t)error;
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
