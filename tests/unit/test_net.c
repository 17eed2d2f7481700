/* SPDX-License-Identifier: Apache-2.0 */
/* The server over real sockets on loopback. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/net_client.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/unit.h"

/* --- order ---------------------------------------------------------------- */

static void
test_echo(void)
{
	struct rig rig;
	int fd;

	rig_init(&rig, 2);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 100; i++) {
		client_request(fd, i % 2 ? API_PRODUCE : API_METADATA, i,
		    "ehello", 6);
		CU_ASSERT(client_expect(fd, i, "hello"));
	}
	close(fd);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_PEER, 1);
	rig_fini(&rig);
}

static void
test_pipelining(void)
{
	struct rig rig;
	int fd;
	const uint8_t late[] = { 'd', 0, 0, 0, 60, 'A' };
	const uint8_t soon[] = { 'd', 0, 0, 0, 20, 'B' };

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 10; i++) {
		client_request(fd, API_PRODUCE, 1, late, sizeof(late));
		client_request(fd, API_PRODUCE, 2, soon, sizeof(soon));
		client_request(fd, API_PRODUCE, 3, "n", 1);
		client_request(fd, API_PRODUCE, 4, "eC", 2);
		client_request(fd, API_METADATA, 5, soon, sizeof(soon));
		client_request(fd, API_METADATA, 6, "eE", 2);
		client_request(fd, API_PRODUCE, 7, "eF", 2);
		CU_ASSERT(client_expect(fd, 1, "A"));
		CU_ASSERT(client_expect(fd, 2, "B"));
		CU_ASSERT(client_expect(fd, 4, "C"));
		CU_ASSERT(client_expect(fd, 5, "B"));
		CU_ASSERT(client_expect(fd, 6, "E"));
		CU_ASSERT(client_expect(fd, 7, "F"));
	}
	CU_ASSERT_FALSE(atomic_load(&rig.overtaken));
	close(fd);
	rig_fini(&rig);
}

/* Pipelined requests are with the handler at the same time. */
static void
test_pipelined_together(void)
{
	struct rig rig;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 3; i++)
		client_request(fd, API_PRODUCE, i, "hx", 2);
	await_count(&rig.held_count, 3);
	client_request(fd, API_METADATA, 3, "ey", 2);
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.begun), 3);
	rig_release(&rig);
	for (int32_t i = 0; i < 3; i++)
		CU_ASSERT(client_expect(fd, i, "x"));
	CU_ASSERT(client_expect(fd, 3, "y"));
	close(fd);
	rig_fini(&rig);
}

/* connection_requests_max bounds them. */
static void
test_requests_bound(void)
{
	struct rig rig;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 100; i++)
		client_request(fd, API_PRODUCE, i, "hx", 2);
	await_count(&rig.held_count, 16);
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.begun), 16);
	for (int32_t i = 0; i < 100; i++) {
		char byte;

		while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
			rig_release(&rig);
			(void)usleep(200);
		}
		CU_ASSERT(client_expect(fd, i, "x"));
	}
	close(fd);
	rig_fini(&rig);
}

/* A kernel with room for any answer: a write takes it whole. */
static ssize_t
eager_write(struct socket *socket, const struct iovec *parts, int count,
    bool more)
{
	const struct sockets_ops *system = sockets_system()->ops;
	ssize_t sum = 0;

	for (int i = 0; i < count; i++) {
		struct iovec rest = parts[i];

		while (rest.iov_len > 0) {
			ssize_t n = system->write(socket, &rest, 1, more);

			if (n < 0 && errno != EAGAIN)
				return (-1);
			if (n < 0) {
				(void)usleep(100);
				continue;
			}
			rest.iov_base = (uint8_t *)rest.iov_base + n;
			rest.iov_len -= (size_t)n;
			sum += n;
		}
	}
	return (sum);
}

/* A request that was held back because too much was unsent begins when all was
 * sent in the same turn: no event will come for it. */
static void
test_behind_a_large_answer(void)
{
	struct sockets_ops ops = *sockets_system()->ops;
	struct sockets eager = { .ops = &ops };
	struct scheduler *scheduler = scheduler_new_threads(clock_system(), 1,
	    NULL);
	struct buffer out = BUFFER_EMPTY;
	struct buffer body = BUFFER_EMPTY;
	uint8_t large[5] = { 'z' };
	struct rig rig;
	int32_t id = 0;
	int fd;

	ops.write = eager_write;
	rig_init_on(&rig, scheduler, &eager, 1);
	rig.clock = clock_system();
	rig_start(&rig);
	fd = client_connect(&rig);
	bytes_put_i32(large + 1, (1 << 20) + 1);
	for (int32_t i = 0; i < 3; i++)
		rig_frame(&out, API_METADATA, 1, i, large, sizeof(large));
	rig_frame(&out, API_METADATA, 1, 3, "ehello", 6);
	client_send(fd, out.data, out.length);
	for (int32_t i = 0; i < 3; i++) {
		CU_ASSERT(client_answer(fd, &id, &body));
		CU_ASSERT_EQUAL(id, i);
	}
	CU_ASSERT(client_expect(fd, 3, "hello"));
	close(fd);
	buffer_fini(&out);
	buffer_fini(&body);
	rig_fini(&rig);
}

static void
test_byte_by_byte(void)
{
	struct rig rig;
	struct buffer out = BUFFER_EMPTY;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 3; i++)
		rig_frame(&out, API_METADATA, 1, i, "eslow", 5);
	for (size_t i = 0; i < out.length; i++) {
		client_send(fd, out.data + i, 1);
		(void)usleep(200);
	}
	for (int32_t i = 0; i < 3; i++)
		CU_ASSERT(client_expect(fd, i, "slow"));
	buffer_fini(&out);
	close(fd);
	rig_fini(&rig);
}

static void
test_sizes(void)
{
	static const size_t sizes[] = { 1, 1000, 1024, 1025, 32 << 10,
		65500, 65536, 65537, 300000, 1 << 20, (1 << 20) + 1, 5 << 20 };
	struct rig rig;
	struct buffer body = BUFFER_EMPTY;
	uint8_t *text = mem_alloc(6 << 20);
	int fd;

	rig_init(&rig, 1);
	rig.options.connection_buffer_bytes = 64 << 20;
	rig_start(&rig);
	fd = client_connect(&rig);
	for (size_t i = 0; i < (6 << 20); i++)
		text[i] = rig_blob_byte((int64_t)i);
	text[0] = 'e';
	for (size_t i = 0; i < nelems(sizes); i++) {
		int32_t id;

		client_request(fd, API_PRODUCE, 7, text, sizes[i]);
		CU_ASSERT_FATAL(client_answer(fd, &id, &body));
		CU_ASSERT_EQUAL(body.length, sizes[i] - 1);
		CU_ASSERT(body.length == 0 ||
		    memcmp(body.data, text + 1, body.length) == 0);
	}
	buffer_fini(&body);
	mem_free(text);
	close(fd);
	rig_fini(&rig);
}

/* --- wrong frames --------------------------------------------------------- */

static void
expect_refused(const void *bytes, size_t size, enum metrics_close_reason reason)
{
	struct rig rig;
	int fd;
	int other;

	rig_init(&rig, 1);
	rig_start(&rig);
	other = client_connect(&rig);
	fd = client_connect(&rig);
	client_request(fd, API_PRODUCE, 1, "efirst", 6);
	client_send(fd, bytes, size);
	CU_ASSERT(client_expect(fd, 1, "first"));
	CU_ASSERT(client_closed(fd));
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, reason, 1);
	client_request(other, API_METADATA, 2, "estill here", 11);
	CU_ASSERT(client_expect(other, 2, "still here"));
	close(fd);
	close(other);
	rig_fini(&rig);
}

static void
test_wrong_frames(void)
{
	static const struct {
		uint8_t bytes[16];
		size_t size;
		enum metrics_close_reason reason;
	} rows[] = {
		{ { 0xff, 0xff, 0xff, 0xff }, 4, METRICS_CLOSE_MALFORMED },
		{ { 0x80, 0, 0, 0 }, 4, METRICS_CLOSE_MALFORMED },
		{ { 0, 0, 0, 0 }, 4, METRICS_CLOSE_MALFORMED },
		{ { 0, 0, 0, 7 }, 4, METRICS_CLOSE_MALFORMED },
		{ { 0x7f, 0xff, 0xff, 0xff }, 4, METRICS_CLOSE_OVERSIZED },
		{ "GET / HTTP/1.0\r\n", 16, METRICS_CLOSE_OVERSIZED },
		/* the client id is longer than the frame */
		{ { 0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0, 9 }, 14,
			METRICS_CLOSE_MALFORMED },
		/* no client id */
		{ { 0, 0, 0, 8, 0, 3, 0, 1, 0, 0, 0, 1 }, 12,
			METRICS_CLOSE_MALFORMED },
		{ { 0, 0, 0, 10, 0x7f, 0, 0, 1, 0, 0, 0, 1, 0, 0 }, 14,
			METRICS_CLOSE_UNSUPPORTED },
		{ { 0, 0, 0, 10, 0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0 }, 14,
			METRICS_CLOSE_UNSUPPORTED },
		/* Metadata v13 */
		{ { 0, 0, 0, 10, 0, 3, 0, 13, 0, 0, 0, 1, 0, 0 }, 14,
			METRICS_CLOSE_UNSUPPORTED },
		{ { 0, 0, 0, 10, 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0, 0 }, 14,
			METRICS_CLOSE_UNSUPPORTED },
		/* Fetch, which the rig does not serve */
		{ { 0, 0, 0, 10, 0, 1, 0, 4, 0, 0, 0, 1, 0, 0 }, 14,
			METRICS_CLOSE_UNSUPPORTED },
	};

	for (size_t i = 0; i < nelems(rows); i++)
		expect_refused(rows[i].bytes, rows[i].size, rows[i].reason);
}

/* KIP-511: the handler answers it with an error that the client can read. */
static void
test_api_versions_unknown(void)
{
	struct rig rig;
	struct buffer out = BUFFER_EMPTY;
	int fd;
	static const uint8_t frame[] = { 0, 0, 0, 11, 0, 18, 0x03, 0xe7, 0, 0,
		0, 9, 0, 0, 0 };

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	client_send(fd, frame, sizeof(frame));
	CU_ASSERT(client_expect(fd, 9, ""));
	buffer_fini(&out);
	close(fd);
	rig_fini(&rig);
}

/* --- extents -------------------------------------------------------------- */

static bool
extents_right(const struct buffer *body, int32_t count, int32_t size)
{
	const uint8_t *at = body->data;
	int64_t position = 0;

	if (body->length != (size_t)count * (size_t)(size + 1) + 1)
		return (false);
	for (int32_t i = 0; i < count; i++) {
		if (*at++ != '|')
			return (false);
		for (int32_t j = 0; j < size; j++)
			if (*at++ != rig_blob_byte(position++))
				return (false);
	}
	return (*at == '.');
}

static int
blob_file(size_t length)
{
	char name[] = "/tmp/test_net_XXXXXX";
	int fd = mkstemp(name);
	uint8_t *bytes = mem_alloc(length);

	CHECK(fd >= 0);
	(void)unlink(name);
	for (size_t i = 0; i < length; i++)
		bytes[i] = rig_blob_byte((int64_t)i);
	CHECK(write(fd, bytes, length) == (ssize_t)length);
	mem_free(bytes);
	return (fd);
}

/* A small window makes every call partial. */
static void
extents_with(int descriptor)
{
	static const int32_t rows[][2] = { { 1, 0 }, { 1, 10 }, { 3, 100 },
		{ 100, 1000 }, { 5, 32768 }, { 5, 32769 }, { 2, 1000000 },
		{ 200, 20000 } };
	struct rig rig;
	struct buffer body = BUFFER_EMPTY;
	int fd;

	rig_init(&rig, 1);
	rig.blob_descriptor = descriptor;
	rig.options.send_buffer_bytes = 8192;
	rig_start(&rig);
	fd = client_connect_with(&rig, 4096);
	for (size_t i = 0; i < nelems(rows); i++) {
		uint8_t request[9] = { 'x' };
		int32_t id = 0;

		bytes_put_i32(request + 1, rows[i][0]);
		bytes_put_i32(request + 5, rows[i][1]);
		client_request(fd, API_METADATA, 5, request, sizeof(request));
		client_request(fd, API_METADATA, 6, "enext", 5);
		CU_ASSERT(client_answer(fd, &id, &body));
		CU_ASSERT(extents_right(&body, rows[i][0], rows[i][1]));
		CU_ASSERT(client_expect(fd, 6, "next"));
	}
	await_count(&rig.blobs, 0);
	buffer_fini(&body);
	close(fd);
	rig_fini(&rig);
}

static void
test_extents_copied(void)
{
	extents_with(-1);
}

static void
test_extents_sendfile(void)
{
	int descriptor = blob_file(RIG_BLOB_BYTES);

	extents_with(descriptor);
	close(descriptor);
}

static void
cold_begin_fetch(struct rig *rig, int fd)
{
	uint8_t request[9] = { 'x' };

	bytes_put_i32(request + 1, 2);
	bytes_put_i32(request + 5, 3000000);
	client_request(fd, API_METADATA, 5, request, sizeof(request));
	await_count(&rig->brings, 1);
}

/* What is not in memory keeps no loop, and comes whole. */
static void
test_extents_cold(void)
{
	int descriptor = blob_file(RIG_BLOB_BYTES);
	struct buffer body = BUFFER_EMPTY;
	struct rig rig;
	const struct task_ref nobody = { NULL, 0 };
	int32_t id = 0;
	int fd, other;

	rig_init(&rig, 1);
	rig.blob_descriptor = descriptor;
	rig.readers = work_queue_new(rig.scheduler, "reads", 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	other = client_connect(&rig);
	cold_begin_fetch(&rig, fd);
	/* The worker is at it, and the loop serves others. */
	for (int32_t i = 0; i < 10; i++) {
		client_request(other, API_METADATA, i, "estill here", 11);
		CU_ASSERT(client_expect(other, i, "still here"));
	}
	CU_ASSERT_EQUAL(atomic_load(&rig.brings), 1);
	CU_ASSERT_EQUAL(net_requests_under_way(rig.net), 1);
	atomic_store(&rig.gate, true);
	CU_ASSERT(client_answer(fd, &id, &body));
	CU_ASSERT(extents_right(&body, 2, 3000000));
	/* 1 MiB each, but what had just been read; not more often. */
	CU_ASSERT(atomic_load(&rig.brings) >= 4);
	CU_ASSERT(atomic_load(&rig.brings) <= 8);
	await_metric(&rig, METRIC_COLD_SENDS, 0,
	    (int64_t)atomic_load(&rig.brings));
	await_count(&rig.blobs, 0);
	/* The peer goes meanwhile. */
	atomic_store(&rig.gate, false);
	atomic_store(&rig.brings, 0);
	cold_begin_fetch(&rig, fd);
	close(fd);
	atomic_store(&rig.gate, true);
	await_count(&rig.blobs, 0);
	/* All connections are closed meanwhile: the stop waits for the disk. */
	atomic_store(&rig.gate, false);
	atomic_store(&rig.brings, 0);
	cold_begin_fetch(&rig, other);
	net_stop(rig.net, clock_mono_ns(rig.clock), nobody);
	while (!net_stopped(rig.net))
		(void)usleep(1000);
	CU_ASSERT_EQUAL(net_requests_under_way(rig.net), 1);
	CU_ASSERT_EQUAL(atomic_load(&rig.blobs), 1);
	atomic_store(&rig.gate, true);
	while (net_requests_under_way(rig.net) > 0)
		(void)usleep(1000);
	CU_ASSERT_EQUAL(atomic_load(&rig.blobs), 0);
	buffer_fini(&body);
	close(other);
	rig_end(&rig);
	close(descriptor);
}

/* A file that ends too early: what was promised cannot be sent. */
static void
test_extent_cut_short(void)
{
	static const int32_t sizes[] = { 20000, 100000 };
	int descriptor = blob_file(10000);

	for (size_t i = 0; i < 2 * nelems(sizes); i++) {
		uint8_t request[9] = { 'x', 0, 0, 0, 1 };
		struct rig rig;
		struct buffer body = BUFFER_EMPTY;
		int32_t id;
		int fd;

		rig_init(&rig, 1);
		rig.blob_descriptor = i < nelems(sizes) ? descriptor : -1;
		rig.blob_length = 10000;
		rig_start(&rig);
		fd = client_connect(&rig);
		bytes_put_i32(request + 5, sizes[i % nelems(sizes)]);
		client_request(fd, API_METADATA, 5, request, sizeof(request));
		CU_ASSERT_FALSE(client_answer(fd, &id, &body));
		await_metric(&rig, METRIC_CONNECTIONS_CLOSED,
		    METRICS_CLOSE_STORAGE, 1);
		await_count(&rig.blobs, 0);
		buffer_fini(&body);
		close(fd);
		rig_fini(&rig);
	}
	close(descriptor);
}

/* --- bounds --------------------------------------------------------------- */

/* Who never reads gets no further request begun, and is closed when idle. */
static void
test_never_reads(void)
{
	const uint8_t big[] = { 'z', 0, 0x08, 0, 0 }; /* 512 KiB */
	struct rig rig;
	unsigned begun;
	int fd;

	rig_init(&rig, 1);
	rig.options.connections_max_idle_ms = 300;
	rig.options.send_buffer_bytes = 8192;
	rig_start(&rig);
	fd = client_connect_with(&rig, 4096);
	for (int32_t i = 0; i < 100; i++)
		client_request(fd, API_PRODUCE, i, big, sizeof(big));
	(void)usleep(100000);
	begun = atomic_load(&rig.begun);
	CU_ASSERT(begun >= 2 && begun <= 4);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_IDLE, 1);
	close(fd);
	rig_fini(&rig);
}

static void
test_idle(void)
{
	const uint8_t late[] = { 'd', 0, 0, 8, 0, 'A' }; /* 2,048 ms */
	struct rig rig;
	int fd;
	int busy;

	rig_init(&rig, 1);
	rig.options.connections_max_idle_ms = 200;
	rig_start(&rig);
	fd = client_connect(&rig);
	busy = client_connect(&rig);
	client_request(busy, API_METADATA, 1, late, sizeof(late));
	CU_ASSERT(client_closed(fd));
	/* One that waits for us is not idle. */
	CU_ASSERT(client_expect(busy, 1, "A"));
	CU_ASSERT(client_closed(busy));
	close(fd);
	close(busy);
	rig_fini(&rig);
}

/* Frames wait for memory, and all are served in the end. */
static void
test_memory_bound(void)
{
	enum { CLIENTS = 12, SIZE = 1 << 20 };
	struct rig rig;
	struct buffer frame = BUFFER_EMPTY;
	uint8_t *text = mem_zalloc(SIZE);
	int fds[CLIENTS];
	int other;

	rig_init(&rig, 1);
	rig.options.buffer_bytes = 2 << 20;
	rig_start(&rig);
	other = client_connect(&rig);
	text[0] = 'h';
	rig_frame(&frame, API_PRODUCE, 3, 1, text, SIZE);
	/* All but the last byte of each: nobody can be finished. */
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = client_connect(&rig);
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		(void)!send(fds[i], frame.data, frame.length - 1, 0);
	}
	(void)usleep(100000);
	client_request(other, API_METADATA, 9, "esmall ones pass", 16);
	CU_ASSERT(client_expect(other, 9, "small ones pass"));
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_PEER,
	    CLIENTS);
	buffer_fini(&frame);
	mem_free(text);
	close(other);
	rig_fini(&rig);
}

struct sender {
	pthread_t thread;
	const struct rig *rig;
	const struct buffer *frame;
	bool ok;
};

static void *
sender_run(void *arg)
{
	struct sender *s = arg;
	struct buffer body = BUFFER_EMPTY;
	int fd = client_connect(s->rig);
	int32_t id;

	s->ok = true;
	for (int i = 0; i < 4; i++) {
		client_send(fd, s->frame->data, s->frame->length);
		s->ok &= client_answer(fd, &id, &body);
	}
	buffer_fini(&body);
	close(fd);
	return (NULL);
}

static void
test_memory_shared(void)
{
	enum { CLIENTS = 8, SIZE = 3 << 20 };
	struct sender senders[CLIENTS];
	struct rig rig;
	struct buffer frame = BUFFER_EMPTY;
	uint8_t *text = mem_zalloc(SIZE);

	rig_init(&rig, 2);
	rig.options.buffer_bytes = 1 << 20;
	rig_start(&rig);
	text[0] = 'd';
	text[4] = 5;
	rig_frame(&frame, API_PRODUCE, 3, 1, text, SIZE);
	for (int i = 0; i < CLIENTS; i++) {
		senders[i] = (struct sender){ .rig = &rig, .frame = &frame };
		CHECK(pthread_create(&senders[i].thread, NULL, sender_run,
			&senders[i]) == 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		(void)pthread_join(senders[i].thread, NULL);
		CU_ASSERT(senders[i].ok);
	}
	CU_ASSERT(metrics_value(rig.metrics, METRIC_MEMORY_WAITS) > 0);
	buffer_fini(&frame);
	mem_free(text);
	rig_fini(&rig);
}

static void
test_connection_limits(void)
{
	struct rig rig;
	int fds[4];

	rig_init(&rig, 2);
	rig.options.max_connections = 2;
	rig_start(&rig);
	for (size_t i = 0; i < 3; i++)
		fds[i] = client_connect(&rig);
	for (size_t i = 0; i < 3; i++)
		client_request(fds[i], API_METADATA, 1, "ehi", 3);
	CU_ASSERT(client_expect(fds[0], 1, "hi"));
	CU_ASSERT(client_expect(fds[1], 1, "hi"));
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.begun), 2);
	close(fds[0]);
	CU_ASSERT(client_expect(fds[2], 1, "hi"));
	close(fds[1]);
	close(fds[2]);
	rig_fini(&rig);

	rig_init(&rig, 1);
	rig.options.max_connections_per_ip = 100;
	rig.options.max_connections_per_ip_overrides =
	    "nonsense, 127.0.0.1:2, ::1:7";
	rig_start(&rig);
	for (size_t i = 0; i < 3; i++)
		fds[i] = client_connect(&rig);
	CU_ASSERT(client_closed(fds[2]));
	close(fds[0]);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_PEER, 1);
	fds[3] = client_connect(&rig);
	client_request(fds[3], API_METADATA, 1, "ehi", 3);
	CU_ASSERT(client_expect(fds[3], 1, "hi"));
	for (size_t i = 1; i < 4; i++)
		close(fds[i]);
	rig_fini(&rig);
}

/* Without descriptors the server waits, and goes on when there are some. */
static void
test_no_descriptors(void)
{
	struct rig rig;
	struct rlimit old;
	struct rlimit low;
	int first;
	int next;

	rig_init(&rig, 1);
	rig_start(&rig);
	first = client_connect(&rig);
	client_request(first, API_METADATA, 1, "ehi", 3);
	CU_ASSERT(client_expect(first, 1, "hi"));
	next = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = old;
	low.rlim_cur = (rlim_t)next + 1;
	close(next);
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	/* The client takes the last one; the server finds none. */
	next = client_connect(&rig);
	CU_ASSERT(next >= 0);
	client_request(next, API_METADATA, 2, "ehi", 3);
	for (int i = 0; i < PATIENCE_S * 1000 &&
	     metrics_value(rig.metrics, METRIC_CONNECTIONS_PAUSED) == 0; i++)
		(void)usleep(1000);
	(void)usleep(300000);
	CU_ASSERT(metrics_value(rig.metrics, METRIC_CONNECTIONS_PAUSED) >= 1);
	CU_ASSERT(metrics_value(rig.metrics, METRIC_CONNECTIONS_PAUSED) < 10);
	client_request(first, API_METADATA, 3, "estill", 6);
	CU_ASSERT(client_expect(first, 3, "still"));
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	CU_ASSERT(client_expect(next, 2, "hi"));
	close(first);
	close(next);
	rig_fini(&rig);
}

/* --- ends ----------------------------------------------------------------- */

/* What was asked before the FIN is done and answered. */
static void
test_half_closed(void)
{
	const uint8_t late[] = { 'd', 0, 0, 0, 50, 'A' };
	struct rig rig;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	client_request(fd, API_METADATA, 1, late, sizeof(late));
	client_request(fd, API_METADATA, 2, "eB", 2);
	shutdown(fd, SHUT_WR);
	CU_ASSERT(client_expect(fd, 1, "A"));
	CU_ASSERT(client_expect(fd, 2, "B"));
	CU_ASSERT(client_closed(fd));
	close(fd);
	rig_fini(&rig);
}

static void
test_reset_while_waiting(void)
{
	const struct linger now = { 1, 0 };
	struct rig rig;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	client_request(fd, API_PRODUCE, 1, "hx", 2);
	client_request(fd, API_PRODUCE, 2, "hy", 2);
	client_request(fd, API_PRODUCE, 3, "ez", 2);
	await_count(&rig.held_count, 2);
	await_count(&rig.begun, 3);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	await_count(&rig.abandoned, 2);
	rig_release(&rig);
	await_count(&rig.waiting, 0);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_NETWORK, 1);
	rig_fini(&rig);
}

/* request_close() waits for the answers before it, and takes those after. */
static void
test_handler_closes(void)
{
	const uint8_t late[] = { 'd', 0, 0, 0, 30, 'A' };
	struct rig rig;
	int fd;

	rig_init(&rig, 1);
	rig_start(&rig);
	fd = client_connect(&rig);
	client_request(fd, API_PRODUCE, 1, late, sizeof(late));
	client_request(fd, API_PRODUCE, 2, "c", 1);
	client_request(fd, API_PRODUCE, 3, "eB", 2);
	CU_ASSERT(client_expect(fd, 1, "A"));
	CU_ASSERT(client_closed(fd));
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_HANDLER, 1);
	close(fd);
	rig_fini(&rig);
}

static void
test_mute(void)
{
	struct rig rig;
	struct timeval from;
	struct timeval to;
	int fd;

	rig_init(&rig, 1);
	rig.mute_ms = 50;
	rig_start(&rig);
	fd = client_connect(&rig);
	gettimeofday(&from, NULL);
	for (int32_t i = 0; i < 4; i++)
		client_request(fd, API_PRODUCE, i, "eA", 2);
	for (int32_t i = 0; i < 4; i++)
		CU_ASSERT(client_expect(fd, i, "A"));
	gettimeofday(&to, NULL);
	CU_ASSERT((to.tv_sec - from.tv_sec) * 1000 +
		(to.tv_usec - from.tv_usec) / 1000 >= 145);
	close(fd);
	rig_fini(&rig);
}

/* Answers under way go out; what hangs is cut off at the deadline. */
static void
test_stop_while_busy(void)
{
	const uint8_t late[] = { 'd', 0, 0, 0, 100, 'A' };
	const struct task_ref nobody = { NULL, 0 };
	struct rig rig;
	int fds[3];

	rig_init(&rig, 2);
	rig_start(&rig);
	for (size_t i = 0; i < nelems(fds); i++)
		fds[i] = client_connect(&rig);
	client_request(fds[0], API_METADATA, 1, late, sizeof(late));
	client_request(fds[1], API_METADATA, 1, "hx", 2);
	await_count(&rig.begun, 2);
	net_stop(rig.net, clock_mono_ns(rig.clock) + 300000000, nobody);
	CU_ASSERT(client_closed(fds[2]));
	CU_ASSERT(client_expect(fds[0], 1, "A"));
	CU_ASSERT(client_closed(fds[0]));
	CU_ASSERT_FALSE(net_stopped(rig.net));
	CU_ASSERT(client_closed(fds[1]));
	CU_ASSERT_EQUAL(client_connect(&rig), -1);
	while (!net_stopped(rig.net))
		(void)usleep(1000);
	for (size_t i = 0; i < nelems(fds); i++)
		close(fds[i]);
	/* The held request is never answered: net_free() takes it. */
	rig_end(&rig);
}

static const struct unit_test tests[] = {
	{ "echo", test_echo },
	{ "pipelining keeps order", test_pipelining },
	{ "pipelined requests wait together", test_pipelined_together },
	{ "requests of one connection are bounded", test_requests_bound },
	{ "behind a large answer", test_behind_a_large_answer },
	{ "byte by byte", test_byte_by_byte },
	{ "frames of many sizes", test_sizes },
	{ "wrong frames", test_wrong_frames },
	{ "ApiVersions of an unknown version", test_api_versions_unknown },
	{ "extents by reading", test_extents_copied },
	{ "extents by sendfile", test_extents_sendfile },
	{ "extents of a disk that makes wait", test_extents_cold },
	{ "an extent cut short", test_extent_cut_short },
	{ "a peer that never reads", test_never_reads },
	{ "idle connections", test_idle },
	{ "frames past the memory bound", test_memory_bound },
	{ "all share a small memory", test_memory_shared },
	{ "limits of connections", test_connection_limits },
	{ "no descriptors", test_no_descriptors },
	{ "half closed", test_half_closed },
	{ "reset while requests wait", test_reset_while_waiting },
	{ "the handler closes", test_handler_closes },
	{ "muted", test_mute },
	{ "stop while busy", test_stop_while_busy },
};

int
main(void)
{
	return (unit_main("net", tests, nelems(tests)));
}
