/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server as a whole: its hubs and listeners, and the memory that frames of
 * all loops take together.
 *
 * The bound on frames: past it, nobody reads more of a frame, but for one
 * connection that has the privilege to complete its own; so at least one frame
 * can always be finished, handled and given back.  Frames of up to
 * FRAME_INLINE_BYTES are not counted: heartbeats pass while produces wait.
 */
#include <errno.h>

#include "net/net_int.h"

struct net *
net_new(const struct net_setup *setup)
{
	struct net *net = mem_zalloc(sizeof(*net));

	CHECK(setup->loop_count > 0);
	CHECK(setup->handler.on_request != NULL);
	CHECK(setup->handler.serves != NULL);
	net->setup = *setup;
	net->hub_count = setup->loop_count;
	net->loops = mem_alloc(net->hub_count * sizeof(*net->loops));
	memcpy(net->loops, setup->loops,
	    net->hub_count * sizeof(*net->loops));
	net->setup.loops = net->loops;
	lock_init(&net->lock, LOCK_RANK_LEAF);
	net_take_address_bounds(net, net->setup.options);
	net->hubs = mem_zalloc(net->hub_count * sizeof(*net->hubs));
	for (size_t i = 0; i < net->hub_count; i++)
		hub_init(&net->hubs[i], net, i);
	return (net);
}

/*
 * A buffer of fixed size makes the peer wait for each piece of it: with 100 KiB
 * a produced GiB cost 0.2 CPU seconds more than with one that the kernel sizes
 * as it sees the need.  So Kafka's default, which its sample server.properties
 * repeats, is no wish; any other value is.
 */
static int
receive_buffer_bytes(const struct net_options *options)
{
	return (options->receive_buffer_bytes == RECEIVE_BUFFER_DEFAULT_BYTES
	    ? -1 : options->receive_buffer_bytes);
}

bool
net_listen(struct net *net, struct config_listener *config)
{
	const struct net_options *options = net->setup.options;
	const struct socket_options tuning = {
		.send_buffer_bytes = options->send_buffer_bytes,
		.receive_buffer_bytes = receive_buffer_bytes(options),
		.backlog = options->listen_backlog_count,
	};
	struct socket_address address = { .port = config->port };
	struct listener *l = &net->listeners[net->listener_count];
	const size_t length = strlen(config->host);

	CHECK(!net->started);
	if (net->listener_count == LISTENERS_MAX ||
	    length >= sizeof(address.host)) {
		diag_error(net->setup.diag, net,
		    "listener=%s cannot listen: %s", config->name,
		    net->listener_count == LISTENERS_MAX
			? "too many listeners" : "its host is too long");
		return (false);
	}
	memcpy(address.host, config->host, length + 1);
	l->socket = net->setup.sockets->ops->listen(net->setup.sockets,
	    &address, &tuning, &config->port);
	if (l->socket == NULL) {
		diag_error(net->setup.diag, net,
		    "listener=%s cannot listen host=%s port=%d: %s",
		    config->name, config->host, (int)config->port,
		    strerror(errno));
		return (false);
	}
	l->net = net;
	l->config = config;
	l->connections_max = config->connections_max;
	l->creation_rate_max = config->connection_creation_rate_max;
	l->hub = &net->hubs[net->listener_count % net->hub_count];
	net->listener_count++;
	diag_info(net->setup.diag, net, "listener=%s listening host=%s port=%d",
	    config->name, config->host, (int)config->port);
	return (true);
}

void
net_start(struct net *net)
{
	CHECK(!net->started);
	net->started = true;
	atomic_store(&net->hubs_running, net->hub_count);
	for (size_t i = 0; i < net->hub_count; i++)
		loop_post(net->hubs[i].loop, &net->hubs[i].start_post);
}

void
net_stop(struct net *net, int64_t deadline_ns, struct task_ref task)
{
	CHECK(net->started);
	net->stop_deadline_ns = deadline_ns;
	net->stop_task = task;
	for (size_t i = 0; i < net->hub_count; i++)
		loop_post(net->hubs[i].loop, &net->hubs[i].stop_post);
}

bool
net_stopped(const struct net *net)
{
	return (atomic_load(&net->hubs_running) == 0);
}

size_t
net_requests_under_way(const struct net *net)
{
	return (atomic_load_explicit(&net->under_way, memory_order_acquire));
}

void
net_free(struct net **netp)
{
	struct net *net = *netp;

	if (net == NULL)
		return;
	*netp = NULL;
	CHECK(net_stopped(net));
	for (size_t i = 0; i < net->listener_count; i++)
		listener_stop(&net->listeners[i]);
	for (size_t i = 0; i < net->hub_count; i++)
		hub_fini(&net->hubs[i]);
	CHECK(atomic_load(&net->frame_bytes) == 0);
	net_addresses_fini(net);
	lock_fini(&net->lock);
	mem_free(net->hubs);
	mem_free(net->loops);
	mem_free(net);
}

/* --- other options -------------------------------------------------------- */

void
net_take_options(struct net *net, const struct net_options *options)
{
	for (size_t i = 0; i < net->hub_count; i++)
		if (loop_is_current(net->hubs[i].loop))
			hub_take_options(&net->hubs[i], options);
}

/* --- memory of frames ----------------------------------------------------- */

static bool
frame_room(struct hub *hub, uint64_t id)
{
	struct net *net = hub->net;
	uint_fast64_t nobody = 0;

	if (atomic_load_explicit(&net->frame_bytes, memory_order_relaxed) <
	    (size_t)hub->options->buffer_bytes)
		return (true);
	return (atomic_load(&net->privileged) == id ||
	    atomic_compare_exchange_strong(&net->privileged, &nobody, id));
}

enum net_allowance
net_allow_frame(struct connection *c)
{
	struct hub *hub = c->hub;
	struct net *net = hub->net;

	if (frame_room(hub, c->id))
		return (NET_ALLOWED);
	CHECK(!list_linked(&c->starved));
	list_push_tail(&hub->starved, &c->starved);
	c->starved_ns = loop_now_ns(hub->loop);
	atomic_fetch_add(&hub->starved_count, 1);
	metrics_add(net->setup.metrics, METRIC_MEMORY_WAITS, 1);
	/* What came back before we were counted told nobody. */
	if (atomic_load(&net->frame_bytes) <
	    (size_t)hub->options->buffer_bytes)
		hub_relieve_all(net);
	return (NET_WAIT);
}

void
net_charge(struct exchange *x, size_t bytes)
{
	if (x->request.frame == x->inline_frame)
		return;
	x->charged += bytes;
	atomic_fetch_add_explicit(&x->hub->net->frame_bytes, bytes,
	    memory_order_relaxed);
}

void
net_discharge(struct exchange *x)
{
	struct net *net = x->hub->net;
	size_t before;

	if (x->charged == 0)
		return;
	before = atomic_fetch_sub(&net->frame_bytes, x->charged);
	CHECK(before >= x->charged);
	if (before - x->charged < (size_t)x->hub->options->buffer_bytes)
		hub_relieve_all(net);
	x->charged = 0;
}

void
net_privilege_end(struct connection *c)
{
	struct net *net = c->hub->net;
	uint_fast64_t id = c->id;

	if (atomic_load_explicit(&net->privileged, memory_order_relaxed) ==
		id &&
	    atomic_compare_exchange_strong(&net->privileged, &id, 0))
		hub_relieve_all(net);
}

/* --- words ---------------------------------------------------------------- */

enum metrics_close_reason
net_close_reason(const char *why)
{
	static const struct {
		const char *why;
		enum metrics_close_reason reason;
	} rows[] = {
		{ "peer", METRICS_CLOSE_PEER },
		{ "idle", METRICS_CLOSE_IDLE },
		{ "slow", METRICS_CLOSE_SLOW },
		{ "network", METRICS_CLOSE_NETWORK },
		{ "shutdown", METRICS_CLOSE_SHUTDOWN },
		{ "size_oversized", METRICS_CLOSE_OVERSIZED },
		{ "size_negative", METRICS_CLOSE_MALFORMED },
		{ "size_short", METRICS_CLOSE_MALFORMED },
		{ "header_malformed", METRICS_CLOSE_MALFORMED },
		{ "api_unknown", METRICS_CLOSE_UNSUPPORTED },
		{ "version_unsupported", METRICS_CLOSE_UNSUPPORTED },
		{ "api_unserved", METRICS_CLOSE_UNSUPPORTED },
		{ "malformed", METRICS_CLOSE_MALFORMED },
		{ "authentication", METRICS_CLOSE_AUTHENTICATION },
		{ "memory", METRICS_CLOSE_MEMORY },
		{ "extent", METRICS_CLOSE_STORAGE },
		{ "excess", METRICS_CLOSE_OVER_LIMIT },
	};

	for (size_t i = 0; i < nelems(rows); i++)
		if (strcmp(rows[i].why, why) == 0)
			return (rows[i].reason);
	return (METRICS_CLOSE_HANDLER);
}
