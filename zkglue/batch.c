/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches and the way of their calls: queued in the order of submission, handed
 * to the driver a few at a time, put back in order when the connection goes.
 *
 * An answer that comes after the loop heard of a lost connection may belong to
 * a request that overtook those lost before it.  It counts as lost too, and
 * nothing new is sent until all of the old connection's calls are back: so the
 * order of submission is the order of execution, always.
 */
#include "zkglue/zkglue_int.h"

#include "base/diag.h"
#include "base/mem.h"
#include "metrics/metrics.h"

static void call_done(struct zk_driver_request *request, bool connection_lost);

/* --- making --------------------------------------------------------------- */

struct zk_batch *
zk_batch_new(struct zk *zk)
{
	struct zk_batch *batch = mem_zalloc(sizeof(*batch));

	CHECK_MAGIC(zk, ZK_MAGIC);
	batch->magic = ZK_BATCH_MAGIC;
	batch->zk = zk;
	arena_init(&batch->arena, ZK_BATCH_LIMIT_BYTES);
	list_init(&batch->calls);
	list_push_tail(&zk->batches, &batch->link);
	return (batch);
}

static void
batch_destroy(struct zk_batch *batch)
{
	list_remove(&batch->link);
	batch->magic = 0;
	arena_fini(&batch->arena);
	mem_free(batch);
}

void
zk_batch_free(struct zk_batch **taken)
{
	struct zk_batch *batch = *taken;

	*taken = NULL;
	if (batch == NULL)
		return;
	CHECK_MAGIC(batch, ZK_BATCH_MAGIC);
	batch->abandoned = true;
	LIST_EACH(element, &batch->calls) {
		struct zk_call *call =
		    list_entry(element, struct zk_call, batch_link);

		if (!call->out)
			list_remove(&call->link);
	}
	if (batch->out == 0)
		batch_destroy(batch);
}

struct arena *
zk_batch_arena(struct zk_batch *batch)
{
	return (&batch->arena);
}

/* Our own sizes: a refusal of the arena is a bug, or the end of memory. */
static void
op_fill(struct zk_batch *batch, struct zk_op *op, enum zk_op_kind kind,
    const char *path)
{
	op->kind = kind;
	op->version = ZK_ANY_VERSION;
	op->path = arena_strdup(&batch->arena, path);
	CHECK(op->path != NULL);
}

static struct slice
data_copy(struct zk_batch *batch, struct slice data)
{
	bool ok = true;
	struct slice copy = arena_slice_copy(&batch->arena, data, &ok);

	CHECK(ok);
	return (copy);
}

static struct zk_op *
batch_add(struct zk_batch *batch, enum zk_op_kind kind, const char *path)
{
	struct zk_call *call;

	CHECK_MAGIC(batch, ZK_BATCH_MAGIC);
	CHECK(!batch->submitted);
	call = arena_zalloc(&batch->arena, sizeof(*call));
	CHECK(call != NULL);
	call->batch = batch;
	list_init(&call->link);
	list_push_tail(&batch->calls, &call->batch_link);
	op_fill(batch, &call->op, kind, path);
	return (&call->op);
}

struct zk_op *
zk_batch_get(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher)
{
	struct zk_op *op = batch_add(batch, ZK_OP_GET, path);

	op->watcher = watcher;
	return (op);
}

struct zk_op *
zk_batch_exists(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher)
{
	struct zk_op *op = batch_add(batch, ZK_OP_EXISTS, path);

	op->watcher = watcher;
	return (op);
}

struct zk_op *
zk_batch_children(struct zk_batch *batch, const char *path,
    struct zk_watcher *watcher)
{
	struct zk_op *op = batch_add(batch, ZK_OP_CHILDREN, path);

	op->watcher = watcher;
	return (op);
}

struct zk_op *
zk_batch_acl(struct zk_batch *batch, const char *path)
{
	return (batch_add(batch, ZK_OP_ACL, path));
}

struct zk_op *
zk_batch_create(struct zk_batch *batch, const char *path, struct slice data,
    int flags)
{
	struct zk_op *op = batch_add(batch, ZK_OP_CREATE, path);

	op->data = data_copy(batch, data);
	op->flags = flags;
	return (op);
}

/* Every prefix; ZooKeeper keeps the order of a session's requests, so parents
 * are there in time. */
struct zk_op *
zk_batch_create_all(struct zk_batch *batch, const char *path,
    struct slice data)
{
	const char *end = strchr(path + 1, '/');

	for (; end != NULL; end = strchr(end + 1, '/')) {
		const char *parent = arena_slice_text(&batch->arena,
		    slice_of(path, (size_t)(end - path)));

		CHECK(parent != NULL);
		(void)zk_batch_create(batch, parent, SLICE_NULL,
		    ZK_PERSISTENT);
	}
	return (zk_batch_create(batch, path, data, ZK_PERSISTENT));
}

struct zk_op *
zk_batch_set(struct zk_batch *batch, const char *path, struct slice data,
    int32_t version)
{
	struct zk_op *op = batch_add(batch, ZK_OP_SET, path);

	op->data = data_copy(batch, data);
	op->version = version;
	return (op);
}

struct zk_op *
zk_batch_delete(struct zk_batch *batch, const char *path, int32_t version)
{
	struct zk_op *op = batch_add(batch, ZK_OP_DELETE, path);

	op->version = version;
	return (op);
}

/* --- multis --------------------------------------------------------------- */

/* The room of the parts; part_count of them are filled. */
struct multi_parts {
	size_t room;
	struct zk_op parts[];
};

struct zk_op *
zk_batch_multi(struct zk_batch *batch, size_t parts)
{
	struct zk_op *op = batch_add(batch, ZK_OP_MULTI, "/");
	struct multi_parts *made = arena_zalloc(&batch->arena,
	    sizeof(*made) + parts * sizeof(made->parts[0]));

	CHECK(made != NULL);
	made->room = parts;
	op->parts = made->parts;
	return (op);
}

static struct zk_op *
multi_add(struct zk_batch *batch, struct zk_op *multi, enum zk_op_kind kind,
    const char *path)
{
	struct multi_parts *made =
	    container_of(multi->parts, struct multi_parts, parts);
	struct zk_op *part = multi->parts + multi->part_count;

	CHECK(multi->kind == ZK_OP_MULTI && !batch->submitted);
	CHECK(multi->part_count < made->room);
	multi->part_count++;
	op_fill(batch, part, kind, path);
	return (part);
}

struct zk_op *
zk_multi_create(struct zk_batch *batch, struct zk_op *multi, const char *path,
    struct slice data, int flags)
{
	struct zk_op *part = multi_add(batch, multi, ZK_OP_CREATE, path);

	part->data = data_copy(batch, data);
	part->flags = flags;
	return (part);
}

struct zk_op *
zk_multi_set(struct zk_batch *batch, struct zk_op *multi, const char *path,
    struct slice data, int32_t version)
{
	struct zk_op *part = multi_add(batch, multi, ZK_OP_SET, path);

	part->data = data_copy(batch, data);
	part->version = version;
	return (part);
}

struct zk_op *
zk_multi_delete(struct zk_batch *batch, struct zk_op *multi, const char *path,
    int32_t version)
{
	struct zk_op *part = multi_add(batch, multi, ZK_OP_DELETE, path);

	part->version = version;
	return (part);
}

struct zk_op *
zk_multi_check(struct zk_batch *batch, struct zk_op *multi, const char *path,
    int32_t version)
{
	struct zk_op *part = multi_add(batch, multi, ZK_OP_CHECK, path);

	part->version = version;
	return (part);
}

/* --- submitting ----------------------------------------------------------- */

static size_t
op_size(const struct zk_op *op)
{
	size_t size = 64 + strlen(op->path) + op->data.length;

	for (size_t i = 0; i < op->part_count; i++)
		size += 64 + strlen(op->parts[i].path) +
		    op->parts[i].data.length;
	return (size);
}

static void
batch_answered(struct zk_batch *batch)
{
	if (batch->answered != NULL)
		batch->answered(batch);
	else if (batch->task.loop != NULL && !batch->abandoned)
		task_wake_ref(batch->task);
}

static void
call_end(struct zk_call *call, enum zk_rc rc)
{
	struct zk_batch *batch = call->batch;

	if (call->phase == CALL_ANSWERED)
		return;
	call->phase = CALL_ANSWERED;
	if (!call->out)
		list_remove(&call->link);
	call->op.rc = rc;
	if (--batch->unanswered == 0)
		batch_answered(batch);
}

/* The driver's own copy; parts too, for it fills them in. */
static void
call_prepare(struct zk_call *call)
{
	struct zk_op *op = &call->op;
	struct arena *arena = &call->batch->arena;

	call->sent = *op;
	call->size = op_size(op);
	if (op->part_count > 0) {
		call->sent.parts = arena_array(arena, op->part_count,
		    sizeof(*op->parts));
		CHECK(call->sent.parts != NULL);
		memcpy(call->sent.parts, op->parts,
		    op->part_count * sizeof(*op->parts));
	}
	call->request = (struct zk_driver_request){
		.op = &call->sent,
		.arena = arena,
		.absolute = call->batch->setup,
		.done = call_done,
	};
	if (op->watcher != NULL)
		call->request.watch_cookie =
		    (void *)(uintptr_t)op->watcher->id;
}

void
zk_batch_submit(struct zk_batch *batch, struct task *task)
{
	struct zk *zk = batch->zk;

	CHECK_MAGIC(batch, ZK_BATCH_MAGIC);
	CHECK(!batch->submitted);
	batch->submitted = true;
	if (task != NULL)
		batch->task = task_ref(task);
	LIST_EACH(element, &batch->calls)
		batch->unanswered++;
	if (batch->unanswered == 0) {
		batch_answered(batch);
		return;
	}
	LIST_EACH(element, &batch->calls) {
		struct zk_call *call =
		    list_entry(element, struct zk_call, batch_link);

		call_prepare(call);
		if (zk == NULL || zk->closed) {
			call_end(call, ZK_CLOSED);
			continue;
		}
		if (call->size > ZK_REQUEST_MAX_BYTES) {
			call_end(call, ZK_TOO_LARGE);
			continue;
		}
		call->phase = CALL_QUEUED;
		call->sequence = ++zk->next_sequence;
		list_push_tail(batch->setup ? &zk->setup_queue : &zk->queue,
		    &call->link);
	}
	if (zk != NULL)
		zk_pump(zk);
}

bool
zk_batch_done(const struct zk_batch *batch)
{
	return (batch->submitted && batch->unanswered == 0);
}

enum zk_rc
zk_batch_worst(const struct zk_batch *batch)
{
	LIST_EACH(element, &batch->calls) {
		const struct zk_call *call =
		    list_entry(element, struct zk_call, batch_link);

		if (call->op.rc != ZK_OK)
			return (call->op.rc);
	}
	return (ZK_OK);
}

/* --- sending and answering ------------------------------------------------ */

static size_t
in_flight_max(const struct zk *zk)
{
	int32_t max = zk->setup.options->max_in_flight_requests;

	/* Far below what would fill the pipe that wakes the client's thread. */
	return (max < 1 ? 1 : max > 10000 ? 10000 : (size_t)max);
}

void
zk_pump(struct zk *zk)
{
	struct zk_connection *c = zk->connection;
	struct list *queue =
	    zk->state == ZK_CONNECTED ? &zk->queue : &zk->setup_queue;

	if (c == NULL || !c->opened || c->closing || !c->linked ||
	    c->stale_count > 0 || timer_armed(&zk->throttle))
		return;
	while (c->call_count < in_flight_max(zk) && !list_empty(queue)) {
		struct zk_call *call = list_entry(list_pop_head(queue),
		    struct zk_call, link);

		list_push_tail(&c->calls, &call->link);
		c->call_count++;
		call->out = true;
		call->batch->out++;
		call->outage = c->outages;
		call->sent_ns = loop_now_ns(zk->setup.loop);
		zk->setup.driver->ops->submit(c->session, &call->request);
	}
}

/* Back to its place; everything queued behind is younger. */
static void
call_requeue(struct zk *zk, struct zk_call *call)
{
	struct list *queue = call->batch->setup ? &zk->setup_queue : &zk->queue;
	struct list *place = queue->next;

	while (place != queue &&
	    list_entry(place, struct zk_call, link)->sequence < call->sequence)
		place = place->next;
	list_insert_before(place, &call->link);
}

/* The call comes back from the driver. */
static void
call_returned(struct zk_connection *c, struct zk_call *call)
{
	CHECK(call->out);
	list_remove(&call->link);
	c->call_count--;
	if (call->outage != c->outages)
		c->stale_count--;
	call->out = false;
	call->batch->out--;
}

static void
call_lost(struct zk *zk, struct zk_call *call)
{
	call->op.retried = true;
	call->losses++;
	if (call->size > ZK_REQUEST_SUSPECT_BYTES &&
	    call->losses >= ZK_SUSPECT_LOSSES) {
		diag_error(zk->setup.diag, zkglue,
		    "request size_bytes=%zu path=%s lost its connection %u "
		    "times: taken for larger than the server's "
		    "jute.maxbuffer",
		    call->size, call->op.path, call->losses);
		call_end(call, ZK_TOO_LARGE);
		return;
	}
	call_requeue(zk, call);
}

/*
 * A read that does not find its node arms no watch.  So the look for it is
 * armed by EXISTS; should the node be there by then, the read starts over.
 */
static bool
call_arms_again(struct zk_call *call)
{
	bool looked = call->sent.kind != call->op.kind;

	if (call->op.watcher == NULL || call->op.kind == ZK_OP_EXISTS)
		return (false);
	if (!looked && call->sent.rc == ZK_NO_NODE) {
		call->sent.kind = ZK_OP_EXISTS;
		return (true);
	}
	if (looked && call->sent.rc == ZK_OK) {
		call->sent.kind = call->op.kind;
		return (true);
	}
	return (false);
}

static void
call_answer(struct zk_call *call)
{
	struct zk_op *op = &call->op;
	const struct zk_op *sent = &call->sent;

	op->stat = sent->stat;
	op->answer = sent->answer;
	op->children = sent->children;
	op->child_count = sent->child_count;
	for (size_t i = 0; i < op->part_count; i++) {
		op->parts[i].rc = sent->parts[i].rc;
		op->parts[i].stat = sent->parts[i].stat;
		op->parts[i].answer = sent->parts[i].answer;
		op->parts[i].retried = op->retried;
	}
	call_end(call, sent->rc);
}

static void
call_done(struct zk_driver_request *request, bool connection_lost)
{
	struct zk_call *call = container_of(request, struct zk_call, request);
	struct zk_batch *batch = call->batch;
	struct zk *zk = batch->zk;
	struct zk_connection *c;
	bool expired, stale;

	/* A closing connection's calls are dropped together at its end. */
	if (zk == NULL || zk->connection == NULL || zk->connection->closing)
		return;
	c = zk->connection;
	stale = call->outage != c->outages;
	expired = !connection_lost && call->sent.rc == ZK_SESSION_EXPIRED;
	if (!connection_lost)
		metrics_observe_at(zk->setup.metrics,
		    METRIC_ZK_REQUEST_LATENCY, 0,
		    loop_now_ns(zk->setup.loop) - call->sent_ns);
	call_returned(c, call);
	if (batch->abandoned) {
		if (batch->out == 0)
			batch_destroy(batch);
	} else if (call->phase != CALL_ANSWERED) {
		if (connection_lost && !stale)
			timer_arm_in(&zk->throttle, ZK_THROTTLE_PAUSE_NS);
		if (expired)
			call_answer(call);
		else if (connection_lost || stale)
			call_lost(zk, call);
		else if (call_arms_again(call))
			call_requeue(zk, call);
		else
			call_answer(call);
	}
	/* Also of before an outage: a connection has one session. */
	if (expired && zk->connection == c && !c->closing)
		zk_session_gone(c);
	zk_pump(zk);
}

void
zk_calls_lost(struct zk_connection *c)
{
	c->outages++;
	c->stale_count = c->call_count;
}

static void
queue_end(struct list *queue, enum zk_rc rc)
{
	while (!list_empty(queue))
		call_end(list_entry(queue->next, struct zk_call, link), rc);
}

void
zk_calls_end(struct zk *zk, enum zk_rc rc)
{
	struct zk_connection *c = zk->connection;

	if (c != NULL)
		LIST_EACH(element, &c->calls)
			call_end(list_entry(element, struct zk_call, link), rc);
	queue_end(&zk->setup_queue, rc);
	queue_end(&zk->queue, rc);
}

void
zk_calls_drop(struct zk_connection *c)
{
	while (!list_empty(&c->calls)) {
		struct zk_call *call =
		    list_entry(c->calls.next, struct zk_call, link);
		struct zk_batch *batch = call->batch;

		call_returned(c, call);
		if (batch->abandoned && batch->out == 0)
			batch_destroy(batch);
	}
}

void
zk_batches_detach(struct zk *zk)
{
	LIST_EACH(element, &zk->batches) {
		struct zk_batch *batch =
		    list_entry(element, struct zk_batch, link);

		list_remove(&batch->link);
		batch->zk = NULL;
	}
}
