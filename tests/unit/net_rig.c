/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a blob --------------------------------------------------------------- */

uint8_t
rig_blob_byte(int64_t position)
{
	return ((uint8_t)(position * 31 + position / 251));
}

static ssize_t
blob_read_at(struct blob *blob, void *to, size_t size, int64_t position)
{
	const struct rig_blob *b = container_of(blob, struct rig_blob, blob);
	uint8_t *out = to;

	if ((size_t)position >= b->length)
		return (0);
	if (size > b->length - (size_t)position)
		size = b->length - (size_t)position;
	for (size_t i = 0; i < size; i++)
		out[i] = rig_blob_byte(position + (int64_t)i);
	return ((ssize_t)size);
}

static int
blob_descriptor(struct blob *blob)
{
	return (container_of(blob, struct rig_blob, blob)->descriptor);
}

static void
blob_descriptor_done(struct blob *blob)
{
	(void)blob;
}

static bool
blob_is_resident(struct blob *blob, int64_t position, size_t size)
{
	const struct rig_blob *b = container_of(blob, struct rig_blob, blob);

	return (position + (int64_t)size <= atomic_load(&b->brought));
}

static void
blob_bring_slowly(struct blob *blob, int64_t position, size_t size)
{
	struct rig_blob *b = container_of(blob, struct rig_blob, blob);

	atomic_fetch_add(&b->rig->brings, 1);
	while (!atomic_load(&b->rig->gate))
		(void)usleep(1000);
	atomic_store(&b->brought, position + (int64_t)size);
}

static void
blob_release(struct blob *blob)
{
	struct rig_blob *b = container_of(blob, struct rig_blob, blob);

	atomic_fetch_sub(&b->rig->blobs, 1);
	mem_free(b);
}

static const struct blob_ops blob_ops = {
	.read_at = blob_read_at,
	.descriptor = blob_descriptor,
	.descriptor_done = blob_descriptor_done,
	.resident = blob_is_resident,
	.bring = blob_bring_slowly,
	.release = blob_release,
};

static struct blob *
blob_new(struct rig *rig)
{
	struct rig_blob *b = mem_zalloc(sizeof(*b));

	blob_init(&b->blob, &blob_ops);
	b->descriptor = rig->blob_descriptor;
	b->length = rig->blob_length;
	b->rig = rig;
	blob_set_readers(&b->blob, rig->readers);
	atomic_fetch_add(&rig->blobs, 1);
	return (&b->blob);
}

/* --- the handler ---------------------------------------------------------- */

struct delay {
	struct timer timer;
	struct rig *rig;
	struct request *request;
};

static void
answer(struct rig *rig, struct request *r, struct slice bytes)
{
	struct wire_out out;

	wire_out_init(&out);
	bytes_put_i32(buffer_extend(&out.bytes, 4), r->head.correlation_id);
	buffer_append_slice(&out.bytes, bytes);
	atomic_fetch_sub(&rig->waiting, 1);
	request_reply(r, &out);
}

static void
answer_extents(struct rig *rig, struct request *r, int32_t count, int32_t size)
{
	struct blob *blob = blob_new(rig);
	struct wire_out out;
	int64_t position = 0;

	wire_out_init(&out);
	bytes_put_i32(buffer_extend(&out.bytes, 4), r->head.correlation_id);
	out.inserts = mem_zalloc((size_t)count * sizeof(*out.inserts));
	out.insert_capacity = out.insert_count = (size_t)count;
	for (int32_t i = 0; i < count; i++) {
		buffer_append_text(&out.bytes, "|");
		out.inserts[i].at = out.bytes.length;
		out.inserts[i].extent = (struct extent){ blob_ref(blob),
			position, (size_t)size };
		position += size;
		out.insert_bytes += (size_t)size;
	}
	buffer_append_text(&out.bytes, ".");
	blob_unref(blob);
	atomic_fetch_sub(&rig->waiting, 1);
	request_reply(r, &out);
}

static void
answer_late(struct timer *timer)
{
	struct delay *d = container_of(timer, struct delay, timer);
	struct slice rest = d->request->body;

	answer(d->rig, d->request,
	    slice_of(rest.data + 5, rest.length - 5));
	mem_free(d);
}

static void
answer_own_loop(struct rig *rig, struct request *r)
{
	uint8_t own = '0';

	while (rig->loops[own - '0'] != r->loop)
		own++;
	answer(rig, r, slice_of(&own, 1));
}

static void
answer_loop(struct timer *timer)
{
	struct delay *d = container_of(timer, struct delay, timer);
	struct request *r = d->request;

	request_served_by(r, d->rig->loops[r->body.data[1] - '0']);
	answer_own_loop(d->rig, r);
	mem_free(d);
}

static void
delay_start(struct rig *rig, struct request *r, int32_t ms,
    void (*run)(struct timer *timer))
{
	struct delay *d = mem_zalloc(sizeof(*d));

	d->rig = rig;
	d->request = r;
	timer_init(&d->timer, r->loop, run);
	timer_arm_in(&d->timer, (int64_t)ms * 1000000);
}

static void
hold(struct rig *rig, struct request *r)
{
	struct rig_held *h = arena_alloc(&r->arena, sizeof(*h));

	h->request = r;
	list_push_tail(&rig->held, &h->link);
	atomic_fetch_add(&rig->held_count, 1);
}

static void
count_abandoned(struct request *r)
{
	struct rig *rig = r->owner;

	atomic_fetch_add(&rig->abandoned, 1);
}

static void
answer_size(struct rig *rig, struct request *r, int32_t size)
{
	uint8_t *bytes = mem_alloc((size_t)size);

	memset(bytes, 'z', (size_t)size);
	answer(rig, r, slice_of(bytes, (size_t)size));
	mem_free(bytes);
}

static void
on_request(void *arg, struct request *r)
{
	struct rig *rig = arg;
	const uint8_t *body = r->body.data;
	const uint8_t what = r->body.length > 0 ? body[0] : 'e';
	const size_t skip = r->body.length > 0 ? 1 : 0;

	atomic_fetch_add(&rig->begun, 1);
	if (atomic_fetch_add(&rig->waiting, 1) > 0 &&
	    (r->api->flags & API_PIPELINED) == 0 && rig->loop_count == 1)
		atomic_store(&rig->overtaken, true);
	r->owner = rig;
	r->abandoned = count_abandoned;
	if (rig->mute_ms != 0)
		connection_mute_for(r->connection, rig->mute_ms);
	switch (r->head.api_key == API_API_VERSIONS ? 'e' : what) {
	case 'd':
		delay_start(rig, r, bytes_get_i32(body + 1), answer_late);
		break;
	case 'n':
		atomic_fetch_sub(&rig->waiting, 1);
		request_no_reply(r);
		break;
	case 'c':
		atomic_fetch_sub(&rig->waiting, 1);
		request_close(r, "test");
		break;
	case 'x':
		answer_extents(rig, r, bytes_get_i32(body + 1),
		    bytes_get_i32(body + 5));
		break;
	case 'z':
		answer_size(rig, r, bytes_get_i32(body + 1));
		break;
	case 'h':
		hold(rig, r);
		break;
	case 'o':
		answer_own_loop(rig, r);
		break;
	case 's':
		delay_start(rig, r, 0, answer_loop);
		break;
	default:
		answer(rig, r, slice_of(body + skip, r->body.length - skip));
		break;
	}
}

static bool
serves(void *arg, int api_key, int version)
{
	(void)arg;
	(void)version;
	return (api_key == API_PRODUCE || api_key == API_METADATA ||
	    api_key == API_API_VERSIONS);
}

static void
release_held(struct post *post)
{
	struct rig *rig = container_of(post, struct rig, release_post);

	atomic_store(&rig->release_posted, false);
	while (!list_empty(&rig->held)) {
		struct rig_held *h = list_entry(rig->held.prev,
		    struct rig_held, link);
		struct request *r = h->request;

		list_remove(&h->link);
		atomic_fetch_sub(&rig->held_count, 1);
		answer(rig, r, slice_of(r->body.data + 1,
		    r->body.length - 1));
	}
}

void
rig_release(struct rig *rig)
{
	if (!atomic_exchange(&rig->release_posted, true))
		loop_post(rig->loops[0], &rig->release_post);
}

/* --- the rig -------------------------------------------------------------- */

static void
rig_options(struct net_options *options)
{
	options->connection_buffer_bytes = 1 << 20;
	options->connection_requests_max = 16;
	options->buffer_bytes = 4 << 20;
	options->request_memory_bytes = 1 << 20;
	options->connections_max_idle_ms = 600000;
	options->max_connections = INT32_MAX;
	options->max_connections_per_ip = INT32_MAX;
	options->max_connection_creation_rate = INT32_MAX;
	options->max_connections_per_ip_overrides = "";
	options->listen_backlog_count = 50;
	options->receive_buffer_bytes = -1;
	options->send_buffer_bytes = -1;
	options->request_max_bytes = 8 << 20;
}

void
rig_init_on(struct rig *rig, struct scheduler *scheduler,
    struct sockets *sockets, size_t loop_count)
{
	static const char *const names[RIG_LOOPS_MAX] = { "net-0", "net-1",
		"net-2", "net-3" };

	CHECK(loop_count <= RIG_LOOPS_MAX);
	memset(rig, 0, sizeof(*rig));
	rig->scheduler = scheduler;
	rig->sockets = sockets;
	rig->loop_count = loop_count;
	rig->blob_descriptor = -1;
	rig->blob_length = RIG_BLOB_BYTES;
	rig->release_post.run = release_held;
	list_init(&rig->held);
	rig_options(&rig->options);
	rig->listener = (struct config_listener){ .name = "PLAINTEXT",
		.host = "127.0.0.1", .connections_max = INT32_MAX,
		.connection_creation_rate_max = INT32_MAX };
	rig->metrics = metrics_new();
	for (size_t i = 0; i < loop_count; i++) {
		rig->loops[i] = loop_new(scheduler, names[i]);
		loop_start(rig->loops[i]);
	}
}

void
rig_init(struct rig *rig, size_t loop_count)
{
	rig_init_on(rig, scheduler_new_threads(clock_system(), 1, NULL),
	    sockets_system(), loop_count);
	rig->clock = clock_system();
}

void
rig_open(struct rig *rig)
{
	const struct net_setup setup = {
		.options = &rig->options,
		.sockets = rig->sockets,
		.loops = rig->loops,
		.loop_count = rig->loop_count,
		.handler = { .on_request = on_request, .serves = serves,
			.arg = rig },
		.metrics = rig->metrics,
	};

	rig->net = net_new(&setup);
	CHECK(net_listen(rig->net, &rig->listener));
}

void
rig_start(struct rig *rig)
{
	rig_open(rig);
	net_start(rig->net);
}

void
rig_end(struct rig *rig)
{
	for (size_t i = 0; i < rig->loop_count; i++)
		loop_stop(rig->loops[i]);
	net_free(&rig->net);
	work_queue_free(rig->readers);
	for (size_t i = 0; i < rig->loop_count; i++)
		loop_free(rig->loops[i]);
	if (rig->clock != NULL)
		scheduler_free(rig->scheduler);
	metrics_free(rig->metrics);
}

void
rig_fini(struct rig *rig)
{
	const struct task_ref nobody = { NULL, 0 };

	net_stop(rig->net, clock_mono_ns(rig->clock) + 1000000000, nobody);
	while (!net_stopped(rig->net))
		(void)usleep(1000);
	rig_end(rig);
}

void
rig_frame(struct buffer *out, int api_key, int version, int32_t correlation_id,
    const void *body, size_t size)
{
	struct buffer frame = BUFFER_EMPTY;
	const struct request_head head = {
		.api_key = (int16_t)api_key,
		.api_version = (int16_t)version,
		.correlation_id = correlation_id,
		.client_id = SLICE_LITERAL("test"),
	};

	wire_write_request_head(&head, &frame);
	buffer_append(&frame, body, size);
	bytes_put_u32(buffer_extend(out, 4), (uint32_t)frame.length);
	buffer_append_slice(out, buffer_slice(&frame));
	buffer_fini(&frame);
}
