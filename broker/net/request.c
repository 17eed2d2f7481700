/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that are with the handler, and how they end.  Answers may come in
 * any order; they leave in the order of the requests.
 */
#include "base/bytes.h"
#include "net/net_int.h"

struct exchange *
exchange_of(struct request *request)
{
	struct exchange *x = container_of(request, struct exchange, request);

	CHECK(loop_is_current(x->hub->loop));
	CHECK(!request->answered);
	return (x);
}

void
request_observe(const struct request *request, enum metric metric, int64_t ns)
{
	struct metrics *metrics =
	    request->connection->hub->net->setup.metrics;

	metrics_observe_at(metrics, metric, (size_t)request->head.api_key, ns);
	if (request->also_slot != 0)
		metrics_observe_at(metrics, metric, request->also_slot, ns);
}

void
exchange_release_frame(struct exchange *x)
{
	struct connection *c = x->request.connection;

	if (x->request.frame == NULL)
		return;
	c->request_bytes -= x->request.frame_size;
	net_discharge(x);
	frame_end(x);
	x->request.frame_size = 0;
	x->request.body = SLICE_NULL;
}

static void
output_push(struct connection *c, struct exchange *x)
{
	size_t length = x->out.bytes.length + x->out.insert_bytes;

	if (length > INT32_MAX) {
		diag_error(c->hub->net->setup.diag, net,
		    "connection=%s answer too large bytes=%zu, closing",
		    c->peer, length);
		c->end_why = "answer_too_large";
		hub_exchange_give(c->hub, x);
		return;
	}
	bytes_put_u32(x->out_size, (uint32_t)length);
	x->out_length = FRAME_SIZE_BYTES + length;
	x->pushed_ns = loop_now_ns(c->hub->loop);
	request_observe(&x->request, METRIC_RESPONSE_QUEUE_TIME,
	    x->pushed_ns - x->answered_ns);
	list_push_tail(&c->output, &x->request.link);
	c->output_count++;
	hub_count(&c->hub->output_count, 1, 0);
	c->unsent_bytes += x->out_length;
}

void
connection_advance(struct connection *c)
{
	while (!list_empty(&c->requests) && c->end_why == NULL) {
		struct exchange *x = list_entry(c->requests.next,
		    struct exchange, request.link);

		if (!x->request.answered)
			return;
		list_remove(&x->request.link);
		c->request_count--;
		if (x->close_why != NULL)
			c->end_why = x->close_why;
		if (x->close_why != NULL || x->silent)
			hub_exchange_give(c->hub, x);
		else
			output_push(c, x);
	}
}

/* The answer of a connection that is gone. */
static void
exchange_bury(struct exchange *x)
{
	struct connection *c = x->request.connection;

	exchange_release_frame(x);
	list_remove(&x->request.link);
	c->request_count--;
	hub_exchange_give(x->hub, x);
	connection_forget(c);
}

static void
exchange_answered(struct exchange *x)
{
	struct connection *c = x->request.connection;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	atomic_fetch_sub_explicit(&c->hub->net->under_way, 1,
	    memory_order_release);
	if (x->request.dead) {
		exchange_bury(x);
		return;
	}
	x->request.answered = true;
	x->answered_ns = loop_now_ns(c->hub->loop);
	rehome_note(c, x);
	exchange_release_frame(x);
	arena_reset(&x->request.arena);
	connection_advance(c);
	if (!c->busy)
		hub_turn_soon(c);
}

void
request_reply(struct request *request, struct wire_out *out)
{
	struct exchange *x = exchange_of(request);

	x->out = *out;
	wire_out_init(out);
	exchange_answered(x);
}

void
request_no_reply(struct request *request)
{
	struct exchange *x = exchange_of(request);

	x->silent = true;
	exchange_answered(x);
}

void
request_close(struct request *request, const char *why)
{
	struct exchange *x = exchange_of(request);

	CHECK(why != NULL);
	x->close_why = why;
	exchange_answered(x);
}

void
request_served_by(struct request *request, struct loop *loop)
{
	exchange_of(request)->served_by = loop;
}

void
request_release_frame(struct request *request)
{
	exchange_release_frame(exchange_of(request));
}

void
request_hold_next(struct request *request)
{
	exchange_of(request)->pipelined = false;
}

void
request_release_next(struct request *request)
{
	struct exchange *x = exchange_of(request);

	x->pipelined = (request->api->flags & API_PIPELINED) != 0;
	if (!request->connection->busy)
		hub_turn_soon(request->connection);
}
