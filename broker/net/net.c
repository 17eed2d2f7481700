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
#include <stdio.h>
#include <strings.h>

#include "config/config.h"
#include "config/security.h"
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

static bool
is_between_brokers(const struct net_options *options,
    const struct config_listener *l)
{
	const struct config_listener *own = options->inter_broker_listener;

	return (own != NULL && strcmp(own->name, l->name) == 0);
}

/* *tls is NULL for plaintext. False: report->error. */
static bool
listener_secure(struct net *net, const struct config_listener *config,
    struct tls **tls, struct tls_report *report)
{
	struct tls_report own;

	*tls = NULL;
	memset(report, 0, sizeof(*report));
	if (config->security == NULL)
		return (true);
	*tls = tls_new(TLS_SERVER, config->name);
	tls_offer_kernel(*tls, net->setup.sockets);
	if (!tls_load(*tls, config->security,
		is_between_brokers(net->setup.options, config), &own)) {
		tls_free(tls);
		return (tls_refuse(report, "listener=%.60s cannot speak TLS: "
		    "%.400s", config->name, own.error));
	}
	*report = own;
	return (true);
}

/* The socket; NULL: report->error. */
static struct socket *
listener_bind(struct net *net, const struct config_listener *config,
    int32_t *port, struct tls_report *report)
{
	const struct net_options *options = net->setup.options;
	const struct socket_options tuning = {
		.send_buffer_bytes = options->send_buffer_bytes,
		.receive_buffer_bytes = receive_buffer_bytes(options),
		.backlog = options->listen_backlog_count,
	};
	struct socket_address address = { .port = config->port };
	struct sockets *sockets = net->setup.sockets;
	const size_t length = strlen(config->host);
	struct socket *socket;

	if (length >= sizeof(address.host)) {
		(void)tls_refuse(report, "listener=%.60s cannot listen: its "
		    "host is too long", config->name);
		return (NULL);
	}
	memcpy(address.host, config->host, length + 1);
	socket = sockets->ops->listen(sockets, &address, &tuning, port);
	if (socket == NULL)
		(void)tls_refuse(report, "listener=%.60s cannot listen "
		    "host=%.255s port=%d: %s", config->name, config->host,
		    (int)config->port, strerror(errno));
	return (socket);
}

/* False: report->error. */
static bool
listener_has_place(const struct net *net, const struct config_listener *config,
    struct tls_report *report)
{
	return (atomic_load(&net->listener_count) < LISTENERS_MAX ||
	    tls_refuse(report, "listener=%.60s cannot listen: too many came "
		"since the start; restart for more", config->name));
}

bool
net_may_listen(struct net *net, const struct config_listener *config,
    struct tls_report *report)
{
	struct socket *socket;
	struct tls *tls;
	int32_t port;

	if (!listener_secure(net, config, &tls, report))
		return (false);
	tls_free(&tls);
	if (net_port(net, config->name) >= 0)
		return (true);
	if (!listener_has_place(net, config, report))
		return (false);
	socket = listener_bind(net, config, &port, report);
	if (socket != NULL)
		socket->sockets->ops->close(socket, false);
	return (socket != NULL);
}

struct listener *
net_bind(struct net *net, const struct config_listener *config,
    const struct config *source)
{
	const size_t count = atomic_load(&net->listener_count);
	struct listener *l = &net->listeners[count];
	struct tls_report report;

	if (!listener_has_place(net, config, &report)) {
		diag_error(net->setup.diag, net, "%s", report.error);
		return (NULL);
	}
	l->own = *config;
	l->net = net;
	l->config = &l->own;
	if (!listener_secure(net, config, &l->tls, &report) ||
	    (l->socket = listener_bind(net, config, &l->own.port,
		&report)) == NULL) {
		diag_error(net->setup.diag, net, "%s", report.error);
		tls_free(&l->tls);
		return (NULL);
	}
	if (report.warning[0] != '\0')
		diag_warn(net->setup.diag, net, "listener=%s %s",
		    config->name, report.warning);
	l->source = source == NULL ? NULL : config_ref(source);
	l->connections_max = config->connections_max;
	l->creation_rate_max = config->connection_creation_rate_max;
	l->hub = &net->hubs[count % net->hub_count];
	l->late = net->started;
	list_init(&l->link);
	list_init(&l->opening.link);
	list_init(&l->closing.link);
	atomic_fetch_add(&net->open_count, 1);
	atomic_store_explicit(&net->listener_count, count + 1,
	    memory_order_release);
	diag_info(net->setup.diag, net, "listener=%s listening host=%s port=%d",
	    config->name, config->host, (int)l->own.port);
	return (l);
}

bool
net_listen(struct net *net, struct config_listener *config)
{
	struct listener *l;

	CHECK(!net->started);
	l = net_bind(net, config, NULL);
	if (l == NULL)
		return (false);
	config->port = l->own.port;
	return (true);
}

/* NULL: none is open. */
static struct listener *
listener_find(const struct net *net, const char *name)
{
	const size_t count = atomic_load_explicit(&net->listener_count,
	    memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		const struct listener *l = &net->listeners[i];

		if (!atomic_load(&l->gone) &&
		    strcasecmp(l->config->name, name) == 0)
			return ((struct listener *)(uintptr_t)l);
	}
	return (NULL);
}

int32_t
net_port(const struct net *net, const char *name)
{
	const struct listener *l = listener_find(net, name);

	return (l == NULL ? -1 : l->config->port);
}

void
net_each_listener(const struct net *net, void (*each)(void *arg,
    const char *name, size_t connections), void *arg)
{
	const size_t count = atomic_load(&net->listener_count);

	for (size_t i = 0; i < count; i++)
		if (!atomic_load(&net->listeners[i].gone))
			each(arg, net->listeners[i].config->name,
			    atomic_load(&net->listeners[i].connection_count));
}

size_t
net_frame_bytes(const struct net *net)
{
	return (atomic_load_explicit(&net->frame_bytes, memory_order_relaxed));
}

void
net_open_listener(struct listener *l)
{
	l->opening.run = listener_open_run;
	loop_post(l->hub->loop, &l->opening);
}

/* True: it goes now. */
static bool
listener_leave(struct listener *l)
{
	if (atomic_exchange(&l->gone, true))
		return (false);
	atomic_fetch_sub(&l->net->open_count, 1);
	return (true);
}

void
net_drop_listener(struct listener *l)
{
	CHECK(listener_leave(l));
	l->socket->sockets->ops->close(l->socket, false);
	l->socket = NULL;
}

void
net_close_listener(struct net *net, const char *name)
{
	struct listener *l = listener_find(net, name);

	if (l == NULL || !listener_leave(l))
		return;
	l->closing.run = listener_close_run;
	loop_post(l->hub->loop, &l->closing);
}

void
net_start(struct net *net)
{
	CHECK(!net->started);
	net->started = true;
	atomic_store(&net->hubs_accepting, net->hub_count);
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

struct net_queues
net_queues(const struct net *net)
{
	struct net_queues sum = { 0, 0 };

	for (size_t i = 0; i < net->hub_count; i++) {
		sum.requests += atomic_load_explicit(
		    &net->hubs[i].stalled_count, memory_order_relaxed);
		sum.answers += atomic_load_explicit(
		    &net->hubs[i].output_count, memory_order_relaxed);
	}
	return (sum);
}

void
net_free(struct net **netp)
{
	struct net *net = *netp;

	if (net == NULL)
		return;
	*netp = NULL;
	CHECK(net_stopped(net));
	for (size_t i = 0; i < atomic_load(&net->listener_count); i++) {
		listener_stop(&net->listeners[i]);
		config_unref(net->listeners[i].source);
		tls_free(&net->listeners[i].tls);
	}
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

/* --- TLS anew ------------------------------------------------------------- */

/* One listener's next context, with other stores: what else ssl.* says counts
 * as it did when it was opened. False: there can be none. */
static bool
listener_prepare(struct listener *l, const struct listener_list *list,
    struct tls_context **out, struct tls_report *report)
{
	const struct config_listener *config = listener_list_find(list,
	    l->config->name);
	struct security_options security;
	struct tls_report own;

	*out = NULL;
	if (l->tls == NULL || atomic_load(&l->gone) || config == NULL ||
	    config->security == NULL)
		return (true);
	security = *l->config->security;
	security_take_stores(&security, config->security);
	*out = tls_prepare(l->tls, &security,
	    is_between_brokers(l->net->setup.options, config), &own);
	if (own.warning[0] != '\0')
		*report = own;
	if (*out == NULL)
		(void)tls_refuse(report, "listener %.60s: %.400s",
		    config->name, own.error);
	return (*out != NULL);
}

bool
net_tls_reload(struct net *net, const struct listener_list *list, bool use,
    struct tls_report *report)
{
	struct tls_context *next[LISTENERS_MAX] = { NULL };
	const size_t count = atomic_load_explicit(&net->listener_count,
	    memory_order_acquire);
	bool good = true;

	memset(report, 0, sizeof(*report));
	for (size_t i = 0; good && i < count; i++)
		good = listener_prepare(&net->listeners[i], list, &next[i],
		    report);
	for (size_t i = 0; i < count; i++)
		if (good && use && next[i] != NULL)
			tls_use(net->listeners[i].tls, &next[i]);
		else
			tls_context_unref(&next[i]);
	return (good);
}

bool
net_tls_check(const struct net_options *options, struct tls_report *report)
{
	const struct listener_list *list = &options->listener_list;
	bool good = true;

	memset(report, 0, sizeof(*report));
	for (size_t i = 0; good && i < list->count; i++) {
		const struct config_listener *l = &list->items[i];
		struct tls *tls = tls_new(TLS_SERVER, l->name);
		struct tls_report own = { "", "" };

		good = l->security == NULL || tls_load(tls, l->security,
		    is_between_brokers(options, l), &own);
		if (own.warning[0] != '\0')
			snprintf(report->warning, sizeof(report->warning),
			    "listener %.60s: %.400s", l->name, own.warning);
		if (!good)
			(void)tls_refuse(report, "listener %.60s: %.400s",
			    l->name, own.error);
		tls_free(&tls);
	}
	return (good);
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
		{ "listener", METRICS_CLOSE_SHUTDOWN },
	};

	for (size_t i = 0; i < nelems(rows); i++)
		if (strcmp(rows[i].why, why) == 0)
			return (rows[i].reason);
	return (METRICS_CLOSE_HANDLER);
}
