/* SPDX-License-Identifier: Apache-2.0 */
#include "txn/producer_ids.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/lock.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "net/peer.h"

#define PAUSE_NS ((int64_t)50 * 1000000)

/* The next block is asked for when at most this part of one is left. */
#define PREFETCH_PART 10

struct id_block {
	int64_t next;
	int64_t end; /* exclusive */
};

struct producer_ids {
	struct producer_ids_setup setup;
	struct lock lock; /* the two blocks and `asking` */
	struct id_block current;
	struct id_block coming; /* empty: not there yet */
	int64_t block_size;
	bool asking;
	struct task_ref task; /* the loop's */
};

/* The task that asks for one block; on the loop. */
struct id_request {
	struct producer_ids *ids;
	struct peer *peer;
	struct peer_call call;
	struct allocate_producer_ids_request request;
	struct allocate_producer_ids_response response;
	bool said; /* that none are given: once */
};

static task_step ids_find_controller, ids_answered, ids_pause;

static void
ids_fini(struct task *task)
{
	struct id_request *r = task_state(task);

	if (r->peer != NULL) {
		peer_call_fini(&r->call);
		peer_free(&r->peer);
	}
}

static const struct task_class ids_class = {
	.name = "producer-ids",
	.state_size = sizeof(struct id_request),
	.fini = ids_fini,
};

static void
ids_setup_task(struct task *task, void *arg)
{
	((struct id_request *)task_state(task))->ids = arg;
}

static void
ids_begin(void *arg)
{
	struct producer_ids *ids = arg;

	ids->task = task_ref(task_start(ids->setup.loop, &ids_class,
	    ids_find_controller, ids_setup_task, ids));
}

/* With the lock held: whether the caller must post ids_begin(). */
static bool
ids_must_ask(struct producer_ids *ids)
{
	if (ids->asking || ids->coming.next < ids->coming.end ||
	    (ids->current.end - ids->current.next) * PREFETCH_PART >
		ids->block_size)
		return (false);
	ids->asking = true;
	return (true);
}

struct producer_ids *
producer_ids_new(const struct producer_ids_setup *setup)
{
	struct producer_ids *ids = mem_zalloc(sizeof(*ids));

	ids->setup = *setup;
	lock_init(&ids->lock, LOCK_RANK_LEAF);
	return (ids);
}

void
producer_ids_free(struct producer_ids **ids_pointer)
{
	struct producer_ids *ids = *ids_pointer;
	struct task *task;

	if (ids == NULL)
		return;
	task = ids->task.loop == NULL ? NULL : task_of_ref(ids->task);
	if (task != NULL)
		task_cancel(task);
	lock_fini(&ids->lock);
	mem_free(ids);
	*ids_pointer = NULL;
}

int64_t
producer_ids_next(struct producer_ids *ids)
{
	int64_t id = -1;
	bool ask;

	lock_take(&ids->lock);
	if (ids->current.next >= ids->current.end) {
		ids->current = ids->coming;
		ids->coming = (struct id_block){ 0, 0 };
	}
	if (ids->current.next < ids->current.end)
		id = ids->current.next++;
	ask = ids_must_ask(ids);
	lock_release(&ids->lock);
	if (ask)
		loop_post_call(ids->setup.loop, ids_begin, ids);
	return (id);
}

static enum verdict
ids_again(struct task *t)
{
	task_sleep(t, PAUSE_NS);
	return (task_next(t, ids_pause));
}

static bool
ids_connect(struct id_request *r, struct loop *loop)
{
	const struct cluster_image *image =
	    cluster_image(r->ids->setup.cluster);
	const struct cluster_broker *broker = image_broker(image,
	    image->controller_id);
	const struct cluster_endpoint *endpoint = broker == NULL ? NULL :
	    broker_endpoint(broker, r->ids->setup.listener);
	char client_id[32];

	if (endpoint == NULL)
		return (false);
	snprintf(client_id, sizeof(client_id), "%d",
	    (int)r->ids->setup.broker_id);
	r->peer = peer_new(&(struct peer_setup){
	    .loop = loop,
	    .sockets = r->ids->setup.sockets,
	    .resolver = r->ids->setup.resolver,
	    .diag = r->ids->setup.diag,
	    .tls = r->ids->setup.tls,
	    .host = endpoint->host,
	    .port = endpoint->port,
	    .client_id = client_id,
	    .connect_timeout_ms = r->ids->setup.connect_timeout_ms,
	    .request_timeout_ms = r->ids->setup.request_timeout_ms,
	    .backoff_ms = 50,
	    .response_bytes_max = 65536,
	    .in_flight_max = 1,
	});
	return (true);
}

static enum verdict
ids_find_controller(struct task *t)
{
	struct id_request *r = task_state(t);
	int64_t epoch = r->ids->setup.broker_epoch(
	    r->ids->setup.broker_epoch_arg);

	if (epoch < 0 || !ids_connect(r, task_loop(t)))
		return (ids_again(t));
	wire_init(&message_allocate_producer_ids_request, &r->request);
	wire_init(&message_allocate_producer_ids_response, &r->response);
	r->request.broker_id = r->ids->setup.broker_id;
	r->request.broker_epoch = epoch;
	r->call = (struct peer_call){
		.task = task_ref(t),
		.arena = task_arena(t),
		.response = &r->response,
	};
	CHECK(peer_send(r->peer, &r->call, API_ALLOCATE_PRODUCER_IDS, 0,
		  &r->request) == WIRE_OK);
	return (task_next(t, ids_answered));
}

bool
producer_ids_valid(int64_t start, int32_t count)
{
	return (start >= 0 && count > 0 && start <= INT64_MAX - count);
}

static enum verdict
ids_answered(struct task *t)
{
	struct id_request *r = task_state(t);
	struct producer_ids *ids = r->ids;
	bool good;

	if (!r->call.done)
		return (STEP_WAIT);
	good = r->call.error == PEER_OK && r->response.error_code == ERR_NONE &&
	    producer_ids_valid(r->response.producer_id_start,
		r->response.producer_id_len);
	if (!good) {
		if (!r->said)
			diag_info(ids->setup.diag, txn, "producer ids: the "
			    "controller gave none (%s, %s); asking until it "
			    "does", peer_error_name(r->call.error),
			    error_name(r->response.error_code));
		r->said = true;
		peer_call_fini(&r->call);
		peer_free(&r->peer);
		return (ids_again(t));
	}
	lock_take(&ids->lock);
	ids->coming.next = r->response.producer_id_start;
	ids->coming.end = r->response.producer_id_start +
	    r->response.producer_id_len;
	ids->block_size = r->response.producer_id_len;
	ids->asking = false;
	lock_release(&ids->lock);
	return (STEP_DONE);
}

static enum verdict
ids_pause(struct task *t)
{
	if (!task_slept(t))
		return (STEP_WAIT);
	return (task_next(t, ids_find_controller));
}
