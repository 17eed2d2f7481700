/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_stage.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/mem.h"

static void
stage_read(struct socket *socket, unsigned ready)
{
	struct stage *s = socket->owner;
	uint8_t bytes[65536];
	ssize_t n = socket->sockets->ops->read(socket, bytes, sizeof(bytes));
	struct slice body;

	(void)ready;
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		for (size_t i = 0; i < s->connection_count; i++)
			if (s->connections[i] == socket)
				s->connections[i] =
				    s->connections[--s->connection_count];
		if (s->from == socket)
			s->asked = false;
		socket->sockets->ops->close(socket, false);
		return;
	}
	if (n < 0)
		return;
	/* Requests are small and come one by one: whole. */
	CU_ASSERT_EQUAL_FATAL(bytes_get_i32(bytes), n - 4);
	buffer_fini(&s->frame);
	buffer_append(&s->frame, bytes, (size_t)n);
	body = slice_of(s->frame.data + 4, (size_t)n - 4);
	arena_reset(&s->arena);
	CU_ASSERT_EQUAL_FATAL(wire_read_request_head(&body, &s->head),
	    WIRE_OK);
	CU_ASSERT_EQUAL_FATAL(wire_decode(
	    api_by_key(s->head.api_key)->request, s->head.api_version, body,
	    &s->arena, &s->request, NULL), WIRE_OK);
	s->from = socket;
	s->asked = true;
	s->requests++;
}

static void
stage_accept(struct socket *socket, unsigned ready)
{
	struct stage *s = socket->owner;
	struct socket_address peer;
	struct socket *made;

	(void)ready;
	made = socket->sockets->ops->accept(socket, &peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(made);
	made->owner = s;
	made->on_ready = stage_read;
	s->connections[s->connection_count++] = made;
	made->sockets->ops->adopt(made, s->rig.loops[3]);
	(void)made->sockets->ops->want(made, WATCH_READ);
}

static int64_t
stage_epoch(void *arg)
{
	(void)arg;
	return (77);
}

void
stage_init(struct stage *s)
{
	const struct socket_address at = { .host = "b2", .port = 9092 };
	const struct socket_options options = { .backlog = 5,
		.send_buffer_bytes = -1, .receive_buffer_bytes = -1 };
	struct sockets *sockets;
	int32_t port;

	memset(s, 0, sizeof(*s));
	replica_rig_init(&s->rig, false, NULL);
	s->rig.controller = 2;
	s->fabric = fabric_new(s->rig.scheduler);
	s->resolver = work_queue_new(s->rig.scheduler, "resolver", 1);
	arena_init(&s->arena, 0);
	sockets = fabric_sockets(s->fabric, "b2");
	s->listening = sockets->ops->listen(sockets, &at, &options, &port);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->listening);
	s->listening->owner = s;
	s->listening->on_ready = stage_accept;
	sockets->ops->adopt(s->listening, s->rig.loops[3]);
	(void)sockets->ops->want(s->listening, WATCH_READ);
	replicas_start_following(s->rig.replicas, &(struct follow_setup){
	    .loops = s->rig.loops,
	    .loop_count = RIG_LOOPS,
	    .sockets = fabric_sockets(s->fabric, "b1"),
	    .resolver = s->resolver,
	    .listener = "PLAINTEXT",
	    .control_listener = "PLAINTEXT",
	    .broker_epoch = stage_epoch,
	});
}

void
stage_fini(struct stage *s)
{
	for (size_t i = 0; i < s->connection_count; i++)
		s->connections[i]->sockets->ops->close(s->connections[i],
		    true);
	s->listening->sockets->ops->close(s->listening, false);
	replica_rig_pass(&s->rig, 10);
	replicas_stop(s->rig.replicas);
	replica_rig_pass(&s->rig, 10);
	work_queue_free(s->resolver);
	replica_rig_fini(&s->rig);
	fabric_free(s->fabric);
	arena_fini(&s->arena);
	buffer_fini(&s->frame);
}

bool
stage_await(struct stage *s, int api_key, int64_t ms)
{
	for (int64_t i = 0; i < ms && !s->asked; i++)
		replica_rig_pass(&s->rig, 1);
	CU_ASSERT(s->asked);
	if (s->asked)
		CU_ASSERT_EQUAL(s->head.api_key, api_key);
	return (s->asked && s->head.api_key == api_key);
}

void
stage_answer(struct stage *s, const void *response)
{
	const struct api *api = api_by_key(s->head.api_key);
	struct buffer out = BUFFER_EMPTY;
	struct iovec part;

	(void)buffer_extend(&out, 4);
	wire_write_response_head(api, s->head.api_version,
	    s->head.correlation_id, &out);
	CU_ASSERT_EQUAL(wire_encode_bytes(api->response, s->head.api_version,
	    response, &out), WIRE_OK);
	bytes_put_u32(out.data, (uint32_t)(out.length - 4));
	part = (struct iovec){ out.data, out.length };
	CU_ASSERT_EQUAL(s->from->sockets->ops->write(s->from, &part, 1,
	    false), (ssize_t)out.length);
	buffer_fini(&out);
	s->asked = false;
	replica_rig_pass(&s->rig, 10);
}

struct replica_sight
stage_sight(struct stage *s)
{
	struct replica *replica = replicas_find(s->rig.replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	struct replica_sight sight;

	replica_look(replica, &sight);
	replica_unref(replica);
	return (sight);
}
