/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine itself can do: the kernel's part of a broker's work and
 * nothing else, in the units of tests/bench/run.
 *
 *	limit produce FOLDER CHUNK CHUNKS    receive, CRC-32C, append to a file
 *	limit sendfile FOLDER CHUNK CHUNKS   a file's pages to a socket
 *	limit pread FOLDER CHUNK CHUNKS      the same by way of a buffer
 *	limit ping FOLDER CONNECTIONS COUNT  receive 200 bytes, CRC-32C, append,
 *	                                     answer 60; one in flight each
 *	limit sync FOLDER COUNT              append 4 KiB, fsync
 *
 * Each prints one line of key=value.  The peer is a thread of this program over
 * 127.0.0.1; `cpu` is that of the serving thread alone.  The file stays, so
 * that the next run does not get its pages back from the machine's host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "client.h"

#define CHUNK_MAX (16 << 20)
#define FILE_BYTES ((off_t)512 << 20) /* what a fetch reads round and round */
#define PING_BYTES 200
#define PONG_BYTES 60
#define PAGE_BYTES 4096
#define CONNECTIONS_MAX 1000

/* Belongs to main(); the peer's thread reads what is set before it starts. */
struct limit {
	int file;
	long chunk;
	long count;
	int lanes; /* connections */
	int ours[CONNECTIONS_MAX];
	int theirs[CONNECTIONS_MAX];
	uint8_t *bytes;      /* of one chunk, the server's */
	uint8_t *peer_bytes; /* the peer's */
	int64_t *taken_ns;   /* of each ping, or each sync */
};

static void
connect_pair(struct limit *limit, int lane)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	const int on = 1;
	const int listener = socket(AF_INET, SOCK_STREAM, 0);
	const int peer = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 || peer < 0 ||
	    bind(listener, (struct sockaddr *)&at, size) != 0 ||
	    listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &size) != 0 ||
	    connect(peer, (struct sockaddr *)&at, size) != 0)
		fail("127.0.0.1");
	limit->theirs[lane] = peer;
	limit->ours[lane] = accept(listener, NULL, NULL);
	if (limit->ours[lane] < 0)
		fail("accept");
	(void)close(listener);
	(void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(limit->ours[lane], IPPROTO_TCP, TCP_NODELAY, &on,
	    sizeof(on));
}

static void
send_bytes(int s, const uint8_t *bytes, size_t size)
{
	if (!send_all(s, slice_of(bytes, size)))
		fail("send");
}

static void
receive_all(int s, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const ssize_t got = recv(s, bytes, size, 0);

		if (got <= 0)
			fail("recv");
		bytes += got;
		size -= (size_t)got;
	}
}

static void
append(struct limit *limit, long size)
{
	if (write(limit->file, limit->bytes, (size_t)size) != size)
		fail("write");
}

/* --- produce -------------------------------------------------------------- */

static void *
peer_sends(void *arg)
{
	struct limit *limit = arg;

	for (long i = 0; i < limit->count; i++)
		send_bytes(limit->theirs[0], limit->peer_bytes,
		    (size_t)limit->chunk);
	return (NULL);
}

static void
serve_produce(struct limit *limit)
{
	uint32_t crc = 0;

	for (long i = 0; i < limit->count; i++) {
		receive_all(limit->ours[0], limit->bytes,
		    (size_t)limit->chunk);
		crc ^= crc32c(0, limit->bytes, (size_t)limit->chunk);
		append(limit, limit->chunk);
	}
	printf("crc=%u ", crc);
}

/* --- fetch ---------------------------------------------------------------- */

static void *
peer_receives(void *arg)
{
	struct limit *limit = arg;

	for (long i = 0; i < limit->count; i++)
		receive_all(limit->theirs[0], limit->peer_bytes,
		    (size_t)limit->chunk);
	return (NULL);
}

static void
file_fill(struct limit *limit)
{
	for (off_t at = 0; at < FILE_BYTES; at += limit->chunk)
		append(limit, limit->chunk);
}

static void
serve_sendfile(struct limit *limit)
{
	for (long i = 0; i < limit->count; i++) {
		off_t at = (off_t)i * limit->chunk %
		    (FILE_BYTES - FILE_BYTES % limit->chunk);
		size_t left = (size_t)limit->chunk;

		while (left > 0) {
			const ssize_t sent = sendfile(limit->ours[0],
			    limit->file, &at, left);

			if (sent <= 0)
				fail("sendfile");
			left -= (size_t)sent;
		}
	}
}

static void
serve_pread(struct limit *limit)
{
	for (long i = 0; i < limit->count; i++) {
		const off_t at = (off_t)i * limit->chunk %
		    (FILE_BYTES - FILE_BYTES % limit->chunk);

		if (pread(limit->file, limit->bytes, (size_t)limit->chunk,
			at) != limit->chunk)
			fail("pread");
		send_bytes(limit->ours[0], limit->bytes, (size_t)limit->chunk);
	}
}

/* --- one small request after another -------------------------------------- */

static int
poll_make(const int *descriptors, int count)
{
	const int poll = epoll_create1(0);

	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN,
			.data.u32 = (uint32_t)i };

		if (epoll_ctl(poll, EPOLL_CTL_ADD, descriptors[i], &event) != 0)
			fail("epoll_ctl");
	}
	return (poll);
}

/* Each answer is followed by the next request, until all were answered; then
 * the connections end. */
static void *
peer_pings(void *arg)
{
	struct limit *limit = arg;
	const int poll = poll_make(limit->theirs, limit->lanes);
	int64_t began_ns[CONNECTIONS_MAX];
	long answered = 0;

	for (int i = 0; i < limit->lanes; i++) {
		began_ns[i] = now_ns();
		send_bytes(limit->theirs[i], limit->peer_bytes, PING_BYTES);
	}
	while (answered < limit->count) {
		struct epoll_event events[64];
		const int ready = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < ready && answered < limit->count; i++) {
			const uint32_t lane = events[i].data.u32;

			receive_all(limit->theirs[lane], limit->peer_bytes,
			    PONG_BYTES);
			limit->taken_ns[answered++] = now_ns() - began_ns[lane];
			began_ns[lane] = now_ns();
			send_bytes(limit->theirs[lane], limit->peer_bytes,
			    PING_BYTES);
		}
	}
	for (int i = 0; i < limit->lanes; i++)
		(void)shutdown(limit->theirs[i], SHUT_RDWR);
	(void)close(poll);
	return (NULL);
}

static void
serve_pings(struct limit *limit)
{
	const int poll = poll_make(limit->ours, limit->lanes);
	uint32_t crc = 0;
	int open = limit->lanes;

	while (open > 0) {
		struct epoll_event events[64];
		const int ready = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			const int s = limit->ours[events[i].data.u32];
			const ssize_t got = recv(s, limit->bytes,
			    PAGE_BYTES, 0);

			if (got <= 0) {
				(void)epoll_ctl(poll, EPOLL_CTL_DEL, s, NULL);
				open--;
				continue;
			}
			crc ^= crc32c(0, limit->bytes, (size_t)got);
			append(limit, got);
			(void)send(s, limit->bytes, PONG_BYTES, MSG_NOSIGNAL);
		}
	}
	(void)close(poll);
	printf("crc=%u ", crc);
}

static void
serve_syncs(struct limit *limit)
{
	for (long i = 0; i < limit->count; i++) {
		int64_t began_ns;

		append(limit, PAGE_BYTES);
		began_ns = now_ns();
		if (fsync(limit->file) != 0)
			fail("fsync");
		limit->taken_ns[i] = now_ns() - began_ns;
	}
}

/* --- the whole ------------------------------------------------------------ */

static const struct limit_kind {
	const char *name;
	void *(*peer)(void *arg);
	void (*serve)(struct limit *limit);
	void (*prepare)(struct limit *limit);
	bool timed; /* taken_ns is filled */
	bool lanes; /* the second number is that of connections */
} kinds[] = {
	{ "produce", peer_sends, serve_produce, NULL, false, false },
	{ "sendfile", peer_receives, serve_sendfile, file_fill, false, false },
	{ "pread", peer_receives, serve_pread, file_fill, false, false },
	{ "ping", peer_pings, serve_pings, NULL, true, true },
	{ "sync", NULL, serve_syncs, NULL, true, false },
};

static int
by_time(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a;
	const int64_t y = *(const int64_t *)b;

	return ((x > y) - (x < y));
}

static void
report(struct limit *limit, const struct limit_kind *kind, double seconds,
    double cpu)
{
	printf("seconds=%.4f cpu=%.4f count=%ld bytes=%ld", seconds, cpu,
	    limit->count, limit->lanes > 0 ? 0 : limit->count * limit->chunk);
	if (kind->timed) {
		qsort(limit->taken_ns, (size_t)limit->count,
		    sizeof(*limit->taken_ns), by_time);
		printf(" p50=%.4f p99=%.4f",
		    (double)limit->taken_ns[limit->count / 2] / 1e6,
		    (double)limit->taken_ns[limit->count * 99 / 100] / 1e6);
	}
	printf("\n");
}

static void
limit_run(struct limit *limit, const struct limit_kind *kind)
{
	pthread_t peer;
	int64_t began_ns;
	double cpu;

	if (kind->prepare != NULL)
		kind->prepare(limit);
	began_ns = now_ns();
	cpu = cpu_seconds();
	if (kind->peer != NULL &&
	    pthread_create(&peer, NULL, kind->peer, limit) != 0)
		fail("pthread_create");
	kind->serve(limit);
	cpu = cpu_seconds() - cpu;
	if (kind->peer != NULL)
		(void)pthread_join(peer, NULL);
	report(limit, kind, (double)(now_ns() - began_ns) / 1e9, cpu);
}

/* It goes with its last user. */
static int
file_make(const char *folder)
{
	char path[PAGE_BYTES];
	int file;

	(void)snprintf(path, sizeof(path), "%s/limit.XXXXXX", folder);
	file = mkstemp(path);
	if (file < 0 || unlink(path) != 0)
		fail(path);
	return (file);
}

int
main(int argc, char **argv)
{
	struct limit limit = { .chunk = PAGE_BYTES };
	const struct limit_kind *kind = NULL;

	for (size_t i = 0; argc > 3 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			kind = &kinds[i];
	if (kind == NULL || argc != (kind->peer == NULL ? 4 : 5)) {
		fprintf(stderr, "usage: limit produce|sendfile|pread FOLDER "
		    "CHUNK CHUNKS | ping FOLDER CONNECTIONS COUNT | "
		    "sync FOLDER COUNT\n");
		return (2);
	}
	limit.count = number_of(argv[argc - 1]);
	if (kind->lanes)
		limit.lanes = (int)number_of(argv[3]);
	else if (argc == 5)
		limit.chunk = number_of(argv[3]);
	if (limit.chunk < 1 || limit.chunk > CHUNK_MAX || limit.count < 1 ||
	    limit.lanes > CONNECTIONS_MAX || (kind->lanes && limit.lanes < 1)) {
		errno = ERANGE;
		fail(argv[3]);
	}
	for (int i = 0; kind->peer != NULL && (i == 0 || i < limit.lanes); i++)
		connect_pair(&limit, i);
	limit.file = file_make(argv[2]);
	limit.bytes = mem_zalloc((size_t)limit.chunk);
	limit.peer_bytes = mem_zalloc((size_t)limit.chunk);
	limit.taken_ns = mem_zalloc((size_t)limit.count *
	    sizeof(*limit.taken_ns));
	limit_run(&limit, kind);
	return (0);
}
