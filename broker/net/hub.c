/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hub: what the connections of one loop share.  Its posts:
 *
 *	turns    connections that got an answer outside their own turn
 *	relief   memory for frames came back: those that wait go on, in order
 *	start    adopts the listeners that this loop accepts for
 *	stop     ends the input of every connection, and waits for the rest
 *	leave    closes the connections of listeners that are closed
 *
 * One timer sweeps over those that were silent for too long or are too slow.
 */
#include "net/net_int.h"

static void hub_run_turns(struct post *post);
static void hub_run_relief(struct post *post);
static void hub_run_start(struct post *post);
static void hub_run_stop(struct post *post);
static void hub_run_accepted(struct post *post);
static void hub_run_leave(struct post *post);
static void hub_sweep(struct timer *timer);
static void hub_deadline(struct timer *timer);

void
hub_init(struct hub *hub, struct net *net, size_t index)
{
	hub->net = net;
	hub->index = index;
	hub->loop = net->loops[index];
	hub->options = net->setup.options;
	list_init(&hub->listeners);
	list_init(&hub->connections);
	list_init(&hub->ghosts);
	list_init(&hub->receiving);
	list_init(&hub->starved);
	list_init(&hub->turns);
	list_init(&hub->spare);
	list_init(&hub->shaking);
	hub->read_buffer = mem_alloc(READ_BUFFER_BYTES);
	hub->copy_buffer = mem_alloc(COPY_BUFFER_BYTES);
	hub->turns_post.run = hub_run_turns;
	hub->relief_post.run = hub_run_relief;
	hub->start_post.run = hub_run_start;
	hub->stop_post.run = hub_run_stop;
	hub->accepted_post.run = hub_run_accepted;
	hub->leave_post.run = hub_run_leave;
	timer_init(&hub->sweep, hub->loop, hub_sweep);
	timer_init(&hub->deadline, hub->loop, hub_deadline);
}

static void
exchange_free(struct exchange *x)
{
	arena_fini(&x->request.arena);
	mem_free(x);
}

/* The loops have ended: what handlers never answered goes too. */
static void
ghost_free(struct connection *c)
{
	struct list *element;

	while ((element = list_pop_head(&c->requests)) != NULL) {
		struct exchange *x = list_entry(element, struct exchange,
		    request.link);

		exchange_release_frame(x);
		wire_out_fini(&x->out);
		exchange_free(x);
	}
	/* A worker may still be at what it reads, which is not freed then. */
	c->cold = NULL;
	connection_forget(c);
}

void
hub_fini(struct hub *hub)
{
	struct list *element;

	CHECK(list_empty(&hub->connections));
	while (!list_empty(&hub->ghosts))
		ghost_free(list_entry(hub->ghosts.next, struct connection,
		    link));
	while ((element = list_pop_head(&hub->spare)) != NULL)
		exchange_free(list_entry(element, struct exchange,
		    request.link));
	frames_drop(&hub->frames);
	tls_scratch_free(&hub->scratch);
	mem_free(hub->read_buffer);
	mem_free(hub->copy_buffer);
}

/* --- exchanges ------------------------------------------------------------ */

struct exchange *
hub_exchange_take(struct hub *hub)
{
	struct list *element = list_pop_head(&hub->spare);
	struct exchange *x;

	if (element != NULL) {
		hub->spare_count--;
		return (list_entry(element, struct exchange, request.link));
	}
	x = mem_alloc(sizeof(*x));
	memset(x, 0, offsetof(struct exchange, inline_frame));
	list_init(&x->request.link);
	x->hub = hub;
	wire_out_init(&x->out);
	arena_init(&x->request.arena,
	    (size_t)hub->options->request_memory_bytes);
	return (x);
}

/* The frame is gone already, and it is in no list. */
void
hub_exchange_give(struct hub *hub, struct exchange *x)
{
	const struct arena arena = x->request.arena;

	CHECK(x->request.frame == NULL && x->charged == 0);
	wire_out_fini(&x->out);
	if (hub->spare_count >= SPARE_EXCHANGES_MAX) {
		exchange_free(x);
		return;
	}
	memset(x, 0, offsetof(struct exchange, inline_frame));
	list_init(&x->request.link);
	x->hub = hub;
	wire_out_init(&x->out);
	x->request.arena = arena;
	arena_reset(&x->request.arena);
	list_push_head(&hub->spare, &x->request.link);
	hub->spare_count++;
}

/* --- turns ---------------------------------------------------------------- */

void
hub_turn_soon(struct connection *c)
{
	struct hub *hub = c->hub;

	if (c->closed || list_linked(&c->turn))
		return;
	list_push_tail(&hub->turns, &c->turn);
	if (hub->turns_posted)
		return;
	hub->turns_posted = true;
	loop_post(hub->loop, &hub->turns_post);
}

static void
hub_run_turns(struct post *post)
{
	struct hub *hub = container_of(post, struct hub, turns_post);
	struct list now;
	struct list *element;

	hub->turns_posted = false;
	/* Those that ask again meanwhile are the next post's. */
	list_init(&now);
	list_splice_tail(&now, &hub->turns);
	while ((element = list_pop_head(&now)) != NULL)
		connection_turn(list_entry(element, struct connection, turn));
}

/* --- memory --------------------------------------------------------------- */

void
hub_relieve_all(struct net *net)
{
	for (struct hub *h = net->hubs; h < net->hubs + net->hub_count; h++)
		if (atomic_load(&h->starved_count) != 0 &&
		    !atomic_exchange(&h->relief_posted, true))
			loop_post(h->loop, &h->relief_post);
}

/* Each of those that wait reads once; who must wait again goes to the end. */
static void
hub_relieve(struct hub *hub)
{
	size_t count = atomic_load(&hub->starved_count);

	while (count-- != 0 && !list_empty(&hub->starved)) {
		struct connection *c = list_entry(hub->starved.next,
		    struct connection, starved);
		const struct net *net = hub->net;

		if (atomic_load(&net->frame_bytes) >=
			(size_t)hub->options->buffer_bytes &&
		    atomic_load(&net->privileged) != 0)
			return;
		list_remove(&c->starved);
		atomic_fetch_sub(&hub->starved_count, 1);
		c->window_ns += loop_now_ns(hub->loop) - c->starved_ns;
		c->busy = true;
		input_read(c);
		c->busy = false;
		if (c->closed)
			connection_forget(c);
		else
			connection_turn(c);
	}
}

static void
hub_run_relief(struct post *post)
{
	struct hub *hub = container_of(post, struct hub, relief_post);

	atomic_store(&hub->relief_posted, false);
	hub_relieve(hub);
}

/* --- the sweep ------------------------------------------------------------ */

/* Takes one out of net's count if that is above `most`: of all hubs' sweeps,
 * that look at one time, just as many find a connection to close. */
static bool
claim_excess(struct net *net, size_t most)
{
	size_t count = atomic_load(&net->connection_count);

	while (count > most)
		if (atomic_compare_exchange_weak(&net->connection_count,
			&count, count - 1))
			return (true);
	return (false);
}

/* More than max.connections, which was lowered or gave way to other brokers:
 * those that were silent longest go, as with Kafka. */
static void
sweep_excess(struct hub *hub)
{
	LIST_EACH(element, &hub->connections) {
		struct connection *c = list_entry(element, struct connection,
		    link);

		if (c->closed || listener_protected(c->listener, hub->options))
			continue;
		if (!claim_excess(hub->net,
			(size_t)hub->options->max_connections))
			return;
		c->claimed = true;
		connection_close(c, "excess");
	}
}

static void
sweep_idle(struct hub *hub, int64_t now_ns)
{
	const int64_t idle_ms = hub->options->connections_max_idle_ms;
	struct connection *c;

	if (idle_ms < 0)
		return;
	while (!list_empty(&hub->connections)) {
		c = list_entry(hub->connections.next, struct connection, link);
		/* INT64_MAX ms would overflow as ns. */
		if ((now_ns - c->active_ns) / 1000000 < (idle_ms | 1))
			return;
		/* Waiting for our own answer, or for our own memory, is no
		 * idleness; but a peer that ended may be gone altogether, and
		 * a Fetch waits as long as it pleased to say. */
		if ((!list_empty(&c->requests) && c->input_end_why == NULL) ||
		    list_linked(&c->starved) || c->cold != NULL) {
			connection_touch(c);
			continue;
		}
		connection_close(c, "idle");
	}
}

static void
sweep_slow(struct hub *hub, int64_t now_ns)
{
	bool pressed = false;
	int64_t window_ms;
	size_t least;

	for (size_t i = 0; i < hub->net->hub_count; i++)
		pressed |= atomic_load(&hub->net->hubs[i].starved_count) != 0;
	window_ms = pressed ? FRAME_PRESSED_WINDOW_MS : FRAME_WINDOW_MS;
	least = pressed ? FRAME_PRESSED_WINDOW_BYTES : FRAME_WINDOW_BYTES;
	LIST_EACH(element, &hub->receiving) {
		struct connection *c = list_entry(element, struct connection,
		    receiving);

		if (list_linked(&c->starved) || timer_armed(&c->mute) ||
		    now_ns - c->window_ns < window_ms * 1000000)
			continue;
		if (c->incoming_have - c->window_bytes < least)
			connection_close(c, "slow");
		else {
			c->window_ns = now_ns;
			c->window_bytes = c->incoming_have;
		}
	}
}

static void
hub_sweep(struct timer *timer)
{
	struct hub *hub = container_of(timer, struct hub, sweep);
	const int64_t now_ns = loop_now_ns(hub->loop);

	secure_sweep(hub, now_ns);
	sweep_excess(hub);
	sweep_idle(hub, now_ns);
	sweep_slow(hub, now_ns);
	/* Relief is posted when memory comes back; this is for the rest, such
	 * as a privilege that ended without any. */
	hub_relieve(hub);
	if (list_empty(&hub->connections)) {
		frames_drop(&hub->frames);
		return;
	}
	frames_trim(&hub->frames);
	timer_arm_in(timer, (int64_t)SWEEP_MS * 1000000);
}

/* --- other options -------------------------------------------------------- */

void
hub_take_options(struct hub *hub, const struct net_options *next)
{
	hub->options = next;
	LIST_EACH(element, &hub->listeners)
		listener_take_options(list_entry(element, struct listener,
		    link), next);
	sweep_excess(hub);
	/* What was held back may begin now. */
	hub_relieve(hub);
	LIST_EACH(element, &hub->connections)
		hub_turn_soon(list_entry(element, struct connection, link));
}

/* --- start and stop ------------------------------------------------------- */

static void
hub_run_start(struct post *post)
{
	struct hub *hub = container_of(post, struct hub, start_post);
	struct net *net = hub->net;

	if (hub->stopping)
		return;
	for (size_t i = 0; i < atomic_load(&net->listener_count); i++)
		if (net->listeners[i].hub == hub && !net->listeners[i].late)
			listener_start(&net->listeners[i]);
}

static void
hub_run_stop(struct post *post)
{
	struct hub *hub = container_of(post, struct hub, stop_post);
	struct net *net = hub->net;
	struct list ending;
	struct list *element;

	hub->stopping = true;
	while (!list_empty(&hub->listeners))
		listener_stop(list_entry(hub->listeners.next, struct listener,
		    link));
	list_init(&ending);
	list_splice_tail(&ending, &hub->connections);
	while ((element = list_pop_head(&ending)) != NULL) {
		list_push_tail(&hub->connections, element);
		connection_end(list_entry(element, struct connection, link),
		    "shutdown");
	}
	timer_arm_at(&hub->deadline, net->stop_deadline_ns);
	/* Until all have ended that, connections may be dealt to any. */
	if (atomic_fetch_sub(&net->hubs_accepting, 1) == 1)
		for (size_t i = 0; i < net->hub_count; i++)
			loop_post(net->hubs[i].loop,
			    &net->hubs[i].accepted_post);
}

static void
hub_run_accepted(struct post *post)
{
	hub_check_stopped(container_of(post, struct hub, accepted_post));
}

static void
hub_run_leave(struct post *post)
{
	struct hub *hub = container_of(post, struct hub, leave_post);

	atomic_store(&hub->leave_posted, false);
	LIST_EACH(element, &hub->connections) {
		struct connection *c = list_entry(element, struct connection,
		    link);

		if (atomic_load(&c->listener->gone))
			connection_close(c, "listener");
	}
}

static void
hub_deadline(struct timer *timer)
{
	struct hub *hub = container_of(timer, struct hub, deadline);

	while (!list_empty(&hub->connections))
		connection_close(list_entry(hub->connections.next,
		    struct connection, link), "shutdown");
}

void
hub_check_stopped(struct hub *hub)
{
	struct net *net = hub->net;

	if (!hub->stopping || hub->stopped ||
	    atomic_load(&net->hubs_accepting) != 0 ||
	    atomic_load(&hub->connection_count) != 0)
		return;
	hub->stopped = true;
	timer_disarm(&hub->sweep);
	timer_disarm(&hub->deadline);
	if (atomic_fetch_sub(&net->hubs_running, 1) == 1 &&
	    net->stop_task.loop != NULL)
		task_wake_ref(net->stop_task);
}
