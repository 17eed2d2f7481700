/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of 1,000 producer ids, from /latest_producer_id_block (KIP-730).
 *
 *	[read] --> [write the next block, if the version is still that] --> done
 *	   ^                 |
 *	   +-----------------+ another version: unless what is there is what was
 *	                       sent, and an answer to that was lost
 */
#include <inttypes.h>

#include "controller/controller_int.h"

#define BLOCK_IDS 1000

static task_step allocate_begin, allocate_read, allocate_write,
    allocate_written;

struct allocation {
	struct list link; /* controller's allocations */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	struct zk_batch *batch;
	struct zk_op *op;
	struct znode_producer_ids block; /* that was sent last */
	bool unsure; /* it may stand: sent twice, as an answer was lost */
	int32_t broker_id;
};

static void
allocation_end(struct allocation *a, enum error error)
{
	struct controller_call *call = a->hook.call;
	struct allocate_producer_ids_response *response;

	if (call == NULL)
		return;
	response = call->response;
	response->error_code = (int16_t)error;
	if (error == ERR_NONE) {
		response->producer_id_start = a->block.first;
		response->producer_id_len = BLOCK_IDS;
	}
	a->hook.call = NULL;
	call->state = NULL;
	call->done = true;
	task_wake_ref(call->task);
}

static void
allocation_fini(struct task *task)
{
	struct allocation *a = task_state(task);

	list_remove(&a->link);
	zk_batch_free(&a->batch);
	allocation_end(a, ERR_NOT_CONTROLLER);
}

static const struct task_class allocation_class = {
	.name = "producer ids",
	.state_size = sizeof(struct allocation),
	.fini = allocation_fini,
};

struct allocation_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
allocation_setup(struct task *task, void *arg)
{
	struct allocation *a = task_state(task);
	const struct allocation_start *start = arg;

	a->self = task_ref(task);
	a->controller = start->controller;
	a->hook.call = start->call;
	start->call->state = &a->hook;
	list_push_tail(&start->controller->allocations, &a->link);
}

void
controller_allocate_producer_ids(struct controller *controller,
    struct controller_call *call)
{
	struct allocation_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &allocation_class, allocate_begin,
	    allocation_setup, &start);
}

void
allocations_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->allocations)
		task_cancel(task_of_ref(list_entry(element, struct allocation,
		    link)->self));
}

static enum verdict
allocation_over(struct task *t, enum error error)
{
	allocation_end(task_state(t), error);
	return (STEP_DONE);
}

static enum verdict
allocation_await(struct task *t)
{
	struct allocation *a = task_state(t);

	return (controller_call_waits(a->controller, t, &a->hook) ? STEP_WAIT :
	    allocation_over(t, ERR_REQUEST_TIMED_OUT));
}

static enum verdict
allocate_begin(struct task *t)
{
	struct allocation *a = task_state(t);
	struct controller *c = a->controller;
	const struct allocate_producer_ids_request *request;
	const struct live_broker *broker;

	if (a->hook.call == NULL)
		return (STEP_DONE);
	if (!controller_active(c))
		return (allocation_over(t, ERR_NOT_CONTROLLER));
	request = a->hook.call->request;
	broker = context_broker(&c->context, request->broker_id);
	if (broker == NULL)
		return (allocation_over(t, ERR_BROKER_ID_NOT_REGISTERED));
	if (broker->epoch != request->broker_epoch)
		return (allocation_over(t, ERR_STALE_BROKER_EPOCH));
	a->broker_id = request->broker_id;
	return (task_next(t, allocate_read));
}

static enum verdict
allocate_read(struct task *t)
{
	struct allocation *a = task_state(t);

	zk_batch_free(&a->batch);
	a->batch = zk_batch_new(a->controller->setup.zk);
	a->op = zk_batch_get(a->batch, ZNODE_PRODUCER_ID_BLOCK, NULL);
	zk_batch_submit(a->batch, t);
	return (task_next(t, allocate_write));
}

/* False: there is something that is no such block. */
static bool
take_last_block(struct allocation *a, struct znode_producer_ids *last)
{
	*last = (struct znode_producer_ids){ .broker_id = -1, .last = -1 };
	if (a->op->answer.length == 0)
		return (true);
	return (znode_producer_ids_decode(a->op->answer, last));
}

static enum verdict
allocate_write(struct task *t)
{
	struct allocation *a = task_state(t);
	struct controller *c = a->controller;
	struct znode_producer_ids last;
	struct buffer json = BUFFER_EMPTY;
	int32_t version;

	if (!zk_batch_done(a->batch))
		return (allocation_await(t));
	if (!controller_active(c) || a->op->rc != ZK_OK)
		return (allocation_over(t, ERR_NOT_CONTROLLER));
	if (!take_last_block(a, &last) || last.last > INT64_MAX - BLOCK_IDS) {
		diag_error(c->setup.diag, controller, ZNODE_PRODUCER_ID_BLOCK
		    " cannot be read or is used up: no producer ids are given");
		return (allocation_over(t, ERR_UNKNOWN_SERVER_ERROR));
	}
	if (a->unsure && last.broker_id == a->block.broker_id &&
	    last.first == a->block.first && last.last == a->block.last)
		return (allocation_over(t, ERR_NONE));
	version = a->op->stat.version;
	a->block = (struct znode_producer_ids){ .broker_id = a->broker_id,
		.first = last.last + 1, .last = last.last + BLOCK_IDS };
	znode_producer_ids_encode(&a->block, &json);
	zk_batch_free(&a->batch);
	a->batch = zk_batch_new(c->setup.zk);
	a->op = zk_batch_multi(a->batch, 2);
	zk_multi_check(a->batch, a->op, ZNODE_CONTROLLER_EPOCH,
	    c->epoch_version);
	zk_multi_set(a->batch, a->op, ZNODE_PRODUCER_ID_BLOCK,
	    buffer_slice(&json), version);
	buffer_fini(&json);
	zk_batch_submit(a->batch, t);
	return (task_next(t, allocate_written));
}

static enum verdict
allocate_written(struct task *t)
{
	struct allocation *a = task_state(t);

	if (!zk_batch_done(a->batch))
		return (allocation_await(t));
	if (a->op->rc == ZK_OK) {
		diag_info(a->controller->setup.diag, controller, "broker=%d "
		    "got producer ids %" PRId64 "-%" PRId64, (int)a->broker_id,
		    a->block.first, a->block.last);
		return (allocation_over(t, ERR_NONE));
	}
	if (controller_fence_failed(a->op) ||
	    (a->op->rc != ZK_BAD_VERSION && a->op->rc != ZK_NO_NODE))
		return (allocation_over(t, ERR_NOT_CONTROLLER));
	/* Else that is another's, even of the same broker. */
	a->unsure = a->op->retried;
	return (task_next(t, allocate_read));
}
