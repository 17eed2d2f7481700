/* SPDX-License-Identifier: Apache-2.0 */
/* The outbound client and the server together on a fabric, under replay; and
 * the client against sockets that answer wrongly. */
#include <string.h>

#include "net/peer.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/unit.h"

#define SECOND_NS ((int64_t)1000000000)

/* Broker "a" serves; "b" is where the client lives. */
struct world {
	int64_t patience_max_ms; /* of a peer that connects */
	bool for_ever;           /* it never gives up */
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct fabric *fabric;
	struct rig rig;
	struct loop *loop;
	struct work_queue *resolver;
	struct peer *peer;
	struct socket *fake;     /* listens instead of the rig */
	struct socket *accepted;
	struct buffer answer;    /* what the fake says */
	bool fake_resets;
};

static void
world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	clock_virtual_init(&w->clock, 1700000000000);
	w->scheduler = scheduler_new_replay(&w->clock, seed);
	w->fabric = fabric_new(w->scheduler);
	rig_init_on(&w->rig, w->scheduler, fabric_sockets(w->fabric, "a"), 2);
	w->loop = loop_new(w->scheduler, "client");
	loop_start(w->loop);
	w->resolver = work_queue_new(w->scheduler, "resolver", 1);
}

static void
world_connect(struct world *w, int32_t port)
{
	struct peer_setup setup = {
		.loop = w->loop,
		.sockets = fabric_sockets(w->fabric, "b"),
		.resolver = w->resolver,
		.host = "a",
		.port = port,
		.client_id = "test",
		.connect_timeout_ms = 1000,
		.connect_timeout_max_ms = w->patience_max_ms,
		.request_timeout_ms = w->patience_max_ms + 2000,
		.backoff_ms = 100,
		.response_bytes_max = 1 << 20,
		.in_flight_max = 3,
	};

	if (w->for_ever)
		setup.connect_timeout_ms = setup.request_timeout_ms = INT64_MAX;
	w->peer = peer_new(&setup);
}

static void
world_run(struct world *w, int64_t ms)
{
	scheduler_run_until(w->scheduler, w->clock.now_ns + ms * 1000000);
}

static void world_end(struct world *w);

static void
world_fini(struct world *w)
{
	const struct task_ref nobody = { NULL, 0 };

	peer_free(&w->peer);
	if (w->rig.net != NULL)
		net_stop(w->rig.net, w->clock.now_ns + SECOND_NS, nobody);
	if (w->accepted != NULL)
		w->accepted->sockets->ops->close(w->accepted, false);
	if (w->fake != NULL)
		w->fake->sockets->ops->close(w->fake, false);
	world_run(w, 3000);
	CU_ASSERT(w->rig.net == NULL || net_stopped(w->rig.net));
	world_end(w);
}

static void
world_end(struct world *w)
{
	loop_stop(w->loop);
	rig_end(&w->rig);
	work_queue_free(w->resolver);
	loop_free(w->loop);
	scheduler_free(w->scheduler);
	fabric_free(w->fabric);
	buffer_fini(&w->answer);
}

struct asked {
	struct peer_call call;
	struct arena arena;
	struct metadata_response response;
};

/* timeout_ms 0: the peer's. */
static void
ask_within(struct world *w, struct asked *a, int64_t timeout_ms)
{
	struct metadata_request request;

	memset(a, 0, sizeof(*a));
	wire_init(api_by_key(API_METADATA)->request, &request);
	arena_init(&a->arena, 0);
	a->call.arena = &a->arena;
	a->call.response = &a->response;
	a->call.timeout_ms = timeout_ms;
	CU_ASSERT_EQUAL(peer_send(w->peer, &a->call, API_METADATA, 1, &request),
	    WIRE_OK);
}

static void
ask(struct world *w, struct asked *a)
{
	ask_within(w, a, 0);
}

static void
ask_fini(struct asked *a)
{
	peer_call_fini(&a->call);
	arena_fini(&a->arena);
}

static void
expect_error(struct world *w, enum peer_error error, int64_t ms)
{
	struct asked a;

	ask(w, &a);
	world_run(w, ms);
	CU_ASSERT(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, error);
	CU_ASSERT_EQUAL(peer_last_error(w->peer), error);
	ask_fini(&a);
}

/* --- a fake server: one answer whatever is asked -------------------------- */

static void
fake_ready(struct socket *socket, unsigned ready)
{
	struct world *w = socket->owner;
	uint8_t bytes[1024];
	const struct iovec part = { w->answer.data, w->answer.length };
	const ssize_t n = socket->sockets->ops->read(socket, bytes,
	    sizeof(bytes));

	(void)ready;
	if (n > 0 && !w->fake_resets) {
		if (part.iov_len != 0)
			(void)socket->sockets->ops->write(socket, &part, 1,
			    false);
		return;
	}
	if (n >= 0 || w->fake_resets) {
		socket->sockets->ops->close(socket, w->fake_resets);
		w->accepted = NULL;
	}
}

static void
fake_accept(struct socket *socket, unsigned ready)
{
	struct world *w = socket->owner;
	struct socket_address from;

	(void)ready;
	w->accepted = socket->sockets->ops->accept(socket, &from);
	w->accepted->owner = w;
	w->accepted->on_ready = fake_ready;
	w->accepted->sockets->ops->adopt(w->accepted, w->loop);
	(void)w->accepted->sockets->ops->want(w->accepted, WATCH_READ);
}

static void
fake_start(struct world *w)
{
	const struct socket_address at = { "a", 0 };
	const struct socket_options options = { -1, -1, 10 };
	struct sockets *sockets = fabric_sockets(w->fabric, "a");
	int32_t port;

	w->fake = sockets->ops->listen(sockets, &at, &options, &port);
	w->fake->owner = w;
	w->fake->on_ready = fake_accept;
	sockets->ops->adopt(w->fake, w->loop);
	(void)sockets->ops->want(w->fake, WATCH_READ);
	world_connect(w, port);
}

/* The answer to Metadata v1, in its bytes after the correlation id: no
 * brokers, controller -1, no topics. */
static const uint8_t empty_metadata[] = { 'e', 0, 0, 0, 0, 0xff, 0xff, 0xff,
	0xff, 0, 0, 0, 0 };

static void
fake_answer(struct world *w, int32_t size, int32_t id, size_t body)
{
	bytes_put_i32(buffer_extend(&w->answer, 4), size);
	bytes_put_i32(buffer_extend(&w->answer, 4), id);
	buffer_append(&w->answer, empty_metadata + 1, body);
}

/* --- tests ---------------------------------------------------------------- */

static void
test_calls(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct asked asked[10];
		struct world w;

		world_init(&w, seed);
		fake_start(&w);
		for (int32_t i = 0; i < 10; i++)
			ask(&w, &asked[i]);
		/* One answer a turn of the fake: ids ascend as they were
		 * asked, whatever is read together. */
		for (int32_t i = 0; i < 10; i++)
			fake_answer(&w, 16, i, 12);
		world_run(&w, 1000);
		for (int32_t i = 0; i < 3; i++) {
			CU_ASSERT(asked[i].call.done);
			CU_ASSERT_EQUAL(asked[i].call.error, PEER_OK);
			CU_ASSERT_EQUAL(asked[i].response.controller_id, -1);
		}
		for (size_t i = 0; i < nelems(asked); i++)
			ask_fini(&asked[i]);
		world_fini(&w);
	}
}

static void
test_refused_and_back(void)
{
	struct world w;
	struct asked a;

	world_init(&w, 1);
	rig_start(&w.rig);
	world_run(&w, 10);
	world_connect(&w, w.rig.listener.port);
	fabric_kill(w.fabric, "a");
	expect_error(&w, PEER_REFUSED, 50);
	/* Asked during the back-off: waits for the next attempt. */
	ask(&w, &a);
	CU_ASSERT_FALSE(a.call.done);
	fabric_revive(w.fabric, "a");
	world_run(&w, 500);
	/* The rig echoes Metadata's body, which is no answer of it. */
	CU_ASSERT(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, PEER_MALFORMED);
	ask_fini(&a);
	peer_connect(w.peer);
	world_run(&w, 50);
	CU_ASSERT(peer_connected(w.peer));
	fabric_kill(w.fabric, "a");
	world_run(&w, 50);
	CU_ASSERT_FALSE(peer_connected(w.peer));
	CU_ASSERT_EQUAL(peer_last_error(w.peer), PEER_RESET);
	/* Under way again, the word of the attempt before is an old one. */
	CU_ASSERT_FALSE(peer_connecting(w.peer));
	peer_connect(w.peer);
	CU_ASSERT(peer_connecting(w.peer));
	world_run(&w, 50);
	CU_ASSERT_FALSE(peer_connecting(w.peer));
	CU_ASSERT_EQUAL(peer_last_error(w.peer), PEER_REFUSED);
	world_fini(&w);
}

static void
test_unknown_host(void)
{
	struct world w;

	world_init(&w, 1);
	world_connect(&w, 1);
	expect_error(&w, PEER_REFUSED, 50);
	world_fini(&w);
}

static void
test_timeouts(void)
{
	struct world w;
	struct asked asked[5];

	world_init(&w, 1);
	fake_start(&w);
	fabric_cut(w.fabric, "a", "b", true);
	expect_error(&w, PEER_TIMED_OUT, 1500);
	fabric_cut(w.fabric, "a", "b", false);
	/* Never answered: the first ends all under way with it. */
	for (size_t i = 0; i < nelems(asked); i++)
		ask(&w, &asked[i]);
	world_run(&w, 1900);
	CU_ASSERT(peer_connected(w.peer));
	CU_ASSERT_FALSE(asked[0].call.done);
	world_run(&w, 200);
	for (size_t i = 0; i < nelems(asked); i++) {
		CU_ASSERT(asked[i].call.done);
		CU_ASSERT_EQUAL(asked[i].call.error, PEER_TIMED_OUT);
		ask_fini(&asked[i]);
	}
	CU_ASSERT_FALSE(peer_connected(w.peer));
	world_fini(&w);
}

/* A call's own is shorter than the peer's. */
static void
test_own_timeout(void)
{
	struct world w;
	struct asked a;

	world_init(&w, 1);
	fake_start(&w);
	ask_within(&w, &a, 300);
	world_run(&w, 250);
	CU_ASSERT(peer_connected(w.peer));
	CU_ASSERT_FALSE(a.call.done);
	world_run(&w, 100);
	CU_ASSERT(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, PEER_TIMED_OUT);
	ask_fini(&a);
	/* Before it is connected, too. */
	fabric_cut(w.fabric, "a", "b", true);
	ask_within(&w, &a, 300);
	world_run(&w, 350);
	CU_ASSERT(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, PEER_TIMED_OUT);
	ask_fini(&a);
	world_fini(&w);
}

/* An address that answers nothing, for so long each time: the error of the call
 * tells how long the attempt lasted. */
static void
test_patience_grows(void)
{
	static const int64_t lasts_ms[] = { 1000, 2000, 4000, 5000, 5000 };
	struct world w;

	world_init(&w, 5);
	w.patience_max_ms = 5000;
	fake_start(&w);
	fabric_cut(w.fabric, "a", "b", true);
	for (size_t i = 0; i < nelems(lasts_ms); i++) {
		struct asked a;

		ask(&w, &a);
		world_run(&w, lasts_ms[i] - 10);
		CU_ASSERT_FALSE(a.call.done);
		world_run(&w, 20);
		CU_ASSERT(a.call.done);
		CU_ASSERT_EQUAL(a.call.error, PEER_TIMED_OUT);
		ask_fini(&a);
		world_run(&w, 100);
	}
	fabric_cut(w.fabric, "a", "b", false);
	world_fini(&w);
}

/* The options go up to more milliseconds than nanoseconds can be told. */
static void
test_patience_without_end(void)
{
	struct asked a;
	struct world w;

	world_init(&w, 1);
	w.for_ever = true;
	fake_start(&w);
	fabric_cut(w.fabric, "a", "b", true);
	ask(&w, &a);
	world_run(&w, (int64_t)24 * 3600 * 1000);
	CU_ASSERT_FALSE(a.call.done);
	fabric_cut(w.fabric, "a", "b", false);
	fake_answer(&w, 16, 0, 12);
	world_run(&w, 1000);
	CU_ASSERT_TRUE(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, PEER_OK);
	ask_fini(&a);
	world_fini(&w);
}

static void
test_reset(void)
{
	struct world w;

	world_init(&w, 1);
	w.fake_resets = true;
	fake_start(&w);
	expect_error(&w, PEER_RESET, 500);
	world_fini(&w);
}

static void
test_wrong_answers(void)
{
	static const struct {
		int32_t size;
		int32_t id;
		size_t body;
	} rows[] = {
		{ -1, 0, 0 },            /* negative */
		{ 3, 0, 0 },             /* shorter than a header */
		{ (1 << 20) + 1, 0, 0 }, /* longer than allowed */
		{ 16, 7, 12 },           /* another's */
		{ 8, 0, 4 },             /* cut short */
	};

	for (size_t i = 0; i < nelems(rows); i++) {
		struct world w;

		world_init(&w, i);
		fake_start(&w);
		fake_answer(&w, rows[i].size, rows[i].id, rows[i].body);
		expect_error(&w, PEER_MALFORMED, 500);
		world_fini(&w);
	}
}

static void
test_abandoned(void)
{
	struct world w;
	struct asked a;
	struct asked b;

	world_init(&w, 3);
	fake_start(&w);
	ask(&w, &a);
	ask(&w, &b);
	world_run(&w, 100);
	ask_fini(&a);
	fake_answer(&w, 16, 0, 12);
	fake_answer(&w, 16, 1, 12);
	/* A third call makes the fake say it. */
	ask(&w, &a);
	world_run(&w, 100);
	CU_ASSERT(b.call.done);
	CU_ASSERT_EQUAL(b.call.error, PEER_OK);
	CU_ASSERT_FALSE(a.call.done);
	peer_free(&w.peer);
	CU_ASSERT(a.call.done);
	CU_ASSERT_EQUAL(a.call.error, PEER_CLOSED);
	ask_fini(&a);
	ask_fini(&b);
	world_fini(&w);
}

/* --- the server on the fabric --------------------------------------------- */

struct client {
	struct world *world;
	struct socket *socket;
	struct buffer out;
	size_t out_at;
	struct buffer in;
};

static void
client_ready(struct socket *socket, unsigned ready)
{
	struct client *c = socket->owner;
	uint8_t bytes[4096];

	if ((ready & WATCH_WRITE) != 0) {
		const struct iovec part = { c->out.data + c->out_at,
			c->out.length - c->out_at };
		const ssize_t n = socket->sockets->ops->write(socket, &part, 1,
		    false);

		if (n > 0)
			c->out_at += (size_t)n;
		if (c->out_at == c->out.length)
			(void)socket->sockets->ops->want(socket, WATCH_READ);
	}
	if ((ready & WATCH_READ) != 0) {
		const ssize_t n = socket->sockets->ops->read(socket, bytes,
		    sizeof(bytes));

		if (n > 0)
			buffer_append(&c->in, bytes, (size_t)n);
		else if (n == 0)
			(void)socket->sockets->ops->want(socket, 0);
	}
}

/* The same answers in the same order, whatever the scheduler's order. */
static void
test_server_in_replay(void)
{
	for (uint64_t seed = 0; seed < 30; seed++) {
		uint8_t late[] = { 'd', 0, 0, 0, 9, 'x' };
		const uint8_t big[] = { 'z', 0, 4, 0, 0 };
		struct sockets *sockets;
		struct socket_address to = { "a", 0 };
		const struct socket_options options = { -1, -1, 0 };
		struct world w;
		struct client c;
		size_t at = 0;

		world_init(&w, seed);
		rig_start(&w.rig);
		memset(&c, 0, sizeof(c));
		for (int32_t i = 0; i < 60; i++) {
			late[4] = (uint8_t)(20 - i % 20);
			if (i % 3 == 2)
				rig_frame(&c.out, API_METADATA, 1, i, big,
				    sizeof(big));
			else
				rig_frame(&c.out, API_PRODUCE, 3, i, late,
				    sizeof(late));
		}
		sockets = fabric_sockets(w.fabric, "b");
		world_run(&w, 10);
		to.port = w.rig.listener.port;
		c.socket = sockets->ops->connect(sockets, &to, &options);
		c.socket->owner = &c;
		c.socket->on_ready = client_ready;
		sockets->ops->adopt(c.socket, w.loop);
		(void)sockets->ops->want(c.socket, WATCH_READ | WATCH_WRITE);
		world_run(&w, 5000);
		for (int32_t i = 0; i < 60; i++) {
			const int32_t size = i % 3 == 2 ? 4 + 0x40000 : 5;

			CU_ASSERT_FATAL(c.in.length >= at + 8);
			CU_ASSERT_EQUAL(bytes_get_i32(c.in.data + at), size);
			CU_ASSERT_EQUAL(bytes_get_i32(c.in.data + at + 4), i);
			at += 4 + (size_t)size;
		}
		CU_ASSERT_EQUAL(c.in.length, at);
		sockets->ops->close(c.socket, seed % 2 == 0);
		buffer_fini(&c.in);
		buffer_fini(&c.out);
		world_fini(&w);
	}
}

/* --- a stop while connections come ---------------------------------------- */

#define COMING 8

struct stopping {
	struct rig *rig;
	bool told;
	size_t connections; /* when it was told */
};

static void
stopping_count(void *arg, const char *name, size_t connections)
{
	(void)name;
	((struct stopping *)arg)->connections += connections;
}

static enum verdict
stopping_await(struct task *t)
{
	struct stopping *s = *(struct stopping **)task_state(t);

	if (!net_stopped(s->rig->net))
		return (STEP_WAIT);
	net_each_listener(s->rig->net, stopping_count, s);
	s->told = true;
	return (STEP_DONE);
}

static void
stopping_setup(struct task *t, void *arg)
{
	*(struct stopping **)task_state(t) = arg;
}

/* One loop accepts for both: what it deals to the other one before it stops is
 * closed there before anybody hears that net has stopped. */
static void
test_stop_while_they_come(void)
{
	static const struct task_class class = {
		.name = "stopping", .state_size = sizeof(struct stopping *)
	};
	const struct socket_options options = { -1, -1, 0 };

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct socket *coming[COMING];
		struct socket_address to = { "a", 0 };
		struct stopping stopping = { 0 };
		struct sockets *sockets;
		struct task *task;
		struct world w;

		world_init(&w, seed);
		rig_start(&w.rig);
		world_run(&w, 10);
		sockets = fabric_sockets(w.fabric, "b");
		to.port = w.rig.listener.port;
		for (int i = 0; i < COMING; i++)
			coming[i] = sockets->ops->connect(sockets, &to,
			    &options);
		stopping.rig = &w.rig;
		task = task_start(w.loop, &class, stopping_await,
		    stopping_setup, &stopping);
		net_stop(w.rig.net, w.clock.now_ns + SECOND_NS,
		    task_ref(task));
		world_run(&w, 3000);
		CU_ASSERT_TRUE(stopping.told);
		CU_ASSERT_EQUAL(stopping.connections, 0);
		for (int i = 0; i < COMING; i++)
			sockets->ops->close(coming[i], false);
		world_end(&w);
	}
}

static const struct unit_test tests[] = {
	{ "calls", test_calls },
	{ "refused, and back", test_refused_and_back },
	{ "nobody listens", test_unknown_host },
	{ "timeouts", test_timeouts },
	{ "a call's own time-out", test_own_timeout },
	{ "patience grows", test_patience_grows },
	{ "patience without end", test_patience_without_end },
	{ "reset", test_reset },
	{ "wrong answers", test_wrong_answers },
	{ "abandoned calls", test_abandoned },
	{ "the server in replay", test_server_in_replay },
	{ "a stop while they come", test_stop_while_they_come },
};

int
main(void)
{
	return (unit_main("peer", tests, nelems(tests)));
}
