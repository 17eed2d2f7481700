/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a client, against the whole way in: framing, the request header and
 * each API's decoder; every request is answered with its API's defaults.  Runs
 * on the fabric, on virtual time; the first byte is the scheduler's seed and
 * decides how the bytes are cut.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "config/options.h"
#include "net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct feed {
	const uint8_t *data;
	size_t size;
	size_t piece;
};

static void
reply_defaults(struct request *r, int version)
{
	const struct message *message = r->api->response;
	void *response = arena_zalloc(&r->arena, message_size(message));
	struct wire_out out;

	CHECK(response != NULL);
	wire_init(message, response);
	wire_out_init(&out);
	wire_write_response_head(r->api, version, r->head.correlation_id,
	    &out.bytes);
	CHECK(wire_encode(message, version, response, &out) == WIRE_OK);
	request_reply(r, &out);
}

static void
on_request(void *arg, struct request *r)
{
	const struct message *message = r->api->request;
	const int version = r->head.api_version;
	void *object = arena_zalloc(&r->arena, message_size(message));

	(void)arg;
	CHECK(object != NULL);
	/* Only of ApiVersions do others come through. */
	if (version < r->api->lowest || version > r->api->highest)
		reply_defaults(r, 0);
	else if (wire_decode(message, version, r->body, &r->arena, object,
		     NULL) != WIRE_OK)
		request_close(r, "malformed");
	else
		reply_defaults(r, version);
}

static bool
serves(void *arg, int api_key, int version)
{
	(void)arg;
	(void)api_key;
	(void)version;
	return (true);
}

static void
client_ready(struct socket *socket, unsigned ready)
{
	struct feed *feed = socket->owner;
	const struct sockets_ops *ops = socket->sockets->ops;
	uint8_t bytes[4096];

	if ((ready & WATCH_WRITE) != 0 && feed->size > 0) {
		const struct iovec part = { (void *)(uintptr_t)feed->data,
			feed->size < feed->piece ? feed->size : feed->piece };
		const ssize_t n = ops->write(socket, &part, 1, false);

		if (n > 0) {
			feed->data += n;
			feed->size -= (size_t)n;
		} else {
			feed->size = 0;
		}
	}
	if ((ready & WATCH_READ) != 0 &&
	    ops->read(socket, bytes, sizeof(bytes)) <= 0)
		(void)ops->want(socket, 0);
	else if (feed->size == 0)
		(void)ops->want(socket, WATCH_READ);
}

static void
feed_run(struct scheduler *scheduler, struct fabric *fabric,
    struct loop *loop, int32_t port, struct feed *feed)
{
	const struct socket_options options = { -1, -1, 0 };
	const struct socket_address to = { "a", port };
	struct sockets *sockets = fabric_sockets(fabric, "b");
	struct socket *socket = sockets->ops->connect(sockets, &to, &options);

	CHECK(socket != NULL);
	socket->owner = feed;
	socket->on_ready = client_ready;
	sockets->ops->adopt(socket, loop);
	(void)sockets->ops->want(socket, WATCH_READ | WATCH_WRITE);
	scheduler_run_until(scheduler,
	    clock_mono_ns(scheduler_clock(scheduler)) + 20000000);
	sockets->ops->close(socket, false);
}

static void
options_init(struct net_options *options)
{
	*options = (struct net_options){
		.connection_buffer_bytes = 1 << 16,
		.connection_requests_max = 8,
		.buffer_bytes = 1 << 16,
		.request_memory_bytes = 1 << 24,
		.connections_max_idle_ms = 1000,
		.max_connections = INT32_MAX,
		.max_connections_per_ip = INT32_MAX,
		.max_connection_creation_rate = INT32_MAX,
		.max_connections_per_ip_overrides = "",
		.listen_backlog_count = 10,
		.request_max_bytes = 1 << 20,
	};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_listener listener = { .name = "PLAINTEXT", .host = "a",
		.connections_max = INT32_MAX,
		.connection_creation_rate_max = INT32_MAX };
	const struct task_ref nobody = { NULL, 0 };
	struct net_setup setup = { .loop_count = 1,
		.handler = { on_request, serves, NULL } };
	struct net_options options;
	struct feed feed;
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct fabric *fabric;
	struct loop *loop;
	struct net *net;

	if (size < 1)
		return (0);
	feed = (struct feed){ data + 1, size - 1, (size_t)1 + data[0] };
	options_init(&options);
	clock_virtual_init(&clock, 1700000000000);
	scheduler = scheduler_new_replay(&clock, data[0]);
	fabric = fabric_new(scheduler);
	loop = loop_new(scheduler, "net");
	loop_start(loop);
	setup.options = &options;
	setup.sockets = fabric_sockets(fabric, "a");
	setup.loops = &loop;
	net = net_new(&setup);
	CHECK(net_listen(net, &listener));
	net_start(net);
	scheduler_run_until(scheduler, clock.now_ns + 1000000);
	feed_run(scheduler, fabric, loop, listener.port, &feed);
	net_stop(net, clock.now_ns + 1000000000, nobody);
	scheduler_run_until(scheduler, clock.now_ns + 2000000000);
	loop_stop(loop);
	net_free(&net);
	loop_free(loop);
	scheduler_free(scheduler);
	fabric_free(fabric);
	return (0);
}
