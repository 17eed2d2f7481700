/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One socket that encrypts, above one that gives and takes what a test says:
 * what a peer that means harm can make it do, and bytes that come in pieces.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls_int.h"
#include "tests/unit/tls_rig.h"
#include "tests/unit/unit.h"

/* --- the inner socket ----------------------------------------------------- */

struct link {
	struct socket socket; /* first */
	struct buffer in;     /* the peer's, up to `at` taken */
	size_t at;
	size_t piece;         /* given at one read */
	int reads;
	struct buffer out;    /* taken of what was written */
	size_t room;          /* for more of it */
	int descriptor;       /* for OpenSSL to write to; -1: none */
	int other_end;
	bool closed;
};

static ssize_t
link_read(struct socket *socket, void *to, size_t size)
{
	struct link *link = (struct link *)socket;
	size_t n = link->in.length - link->at;

	link->reads++;
	if (n == 0) {
		errno = EAGAIN;
		return (-1);
	}
	n = n < size ? n : size;
	n = n < link->piece ? n : link->piece;
	memcpy(to, link->in.data + link->at, n);
	link->at += n;
	return ((ssize_t)n);
}

static ssize_t
link_write(struct socket *socket, const struct iovec *parts, int count,
    bool more)
{
	struct link *link = (struct link *)socket;
	size_t n = parts[0].iov_len < link->room ? parts[0].iov_len :
	    link->room;

	(void)more;
	CHECK(count == 1);
	if (n == 0) {
		errno = EAGAIN;
		return (-1);
	}
	buffer_append(&link->out, parts[0].iov_base, n);
	link->room -= n;
	return ((ssize_t)n);
}

static bool
link_want(struct socket *socket, unsigned events)
{
	(void)socket;
	(void)events;
	return (true);
}

static void
link_close(struct socket *socket, bool reset)
{
	(void)reset;
	((struct link *)socket)->closed = true;
}

static bool
link_kernel(struct sockets *sockets)
{
	(void)sockets;
	return (true);
}

static int
link_descriptor(struct socket *socket)
{
	return (((struct link *)socket)->descriptor);
}

static const struct sockets_ops link_ops = {
	.read = link_read,
	.write = link_write,
	.want = link_want,
	.close = link_close,
	.kernel_tls = link_kernel,
	.kernel_descriptor = link_descriptor,
};

/* --- the two ends --------------------------------------------------------- */

/* A server above the link, and a client of OpenSSL's alone. */
struct ends {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct loop *loop;
	struct sockets sockets;
	struct link link;
	struct tls_identity own;
	struct tls *tls;
	struct socket *server;
	SSL_CTX *ctx;
	SSL *client;
	int told; /* on_ready was called */
};

static void
ends_ready(struct socket *socket, unsigned ready)
{
	struct ends *e = socket->owner;

	(void)ready;
	e->told++;
	(void)socket->sockets->ops->want(socket, 0);
}

/* What the client wrote lies before the server. */
static void
client_sends(struct ends *e)
{
	BIO *out = SSL_get_wbio(e->client);
	char *bytes;
	const long length = BIO_get_mem_data(out, &bytes);

	buffer_append(&e->link.in, bytes, (size_t)length);
	(void)BIO_reset(out);
}

static void
client_hears(struct ends *e, const void *bytes, size_t length)
{
	if (length != 0)
		CHECK(BIO_write(SSL_get_rbio(e->client), bytes, (int)length) ==
		    (int)length);
}

static void
ends_shake(struct ends *e)
{
	enum tls_progress progress = TLS_AGAIN;
	char bytes[16384];

	for (int i = 0; i < 10 && progress == TLS_AGAIN; i++) {
		(void)SSL_do_handshake(e->client);
		client_sends(e);
		progress = tls_shake(e->server);
		client_hears(e, e->link.out.data, e->link.out.length);
		e->link.out.length = 0;
		if (e->link.descriptor >= 0) {
			const ssize_t n = recv(e->link.other_end, bytes,
			    sizeof(bytes), MSG_DONTWAIT);

			client_hears(e, bytes, n > 0 ? (size_t)n : 0);
		}
	}
	CU_ASSERT_EQUAL_FATAL(progress, TLS_DONE);
	CU_ASSERT_EQUAL_FATAL(SSL_do_handshake(e->client), 1);
	CU_ASSERT_EQUAL(e->link.at, e->link.in.length);
	e->link.reads = 0;
}

static void
link_init(struct link *link, struct ends *e, bool kernel)
{
	int pair[2] = { -1, -1 };

	*link = (struct link){
		.socket = { .sockets = &e->sockets, .loop = e->loop },
		.in = BUFFER_EMPTY,
		.out = BUFFER_EMPTY,
		.piece = SIZE_MAX,
		.room = SIZE_MAX,
	};
	if (kernel)
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
			pair) == 0);
	link->descriptor = pair[0];
	link->other_end = pair[1];
}

static void
ends_init(struct ends *e, int version, bool kernel)
{
	struct security_options security;
	struct tls_report report;

	memset(e, 0, sizeof(*e));
	clock_virtual_init(&e->clock, 1700000000000);
	e->scheduler = scheduler_new_replay(&e->clock, 1);
	e->loop = loop_new(e->scheduler, "test");
	loop_start(e->loop);
	e->sockets.ops = &link_ops;
	link_init(&e->link, e, kernel);
	tls_identity_init(&e->own, "own", NULL, NULL);
	tls_rig_options(&security, &e->own, NULL);
	security.kernel_tls_enable = kernel;
	e->tls = tls_new(TLS_SERVER, "test");
	tls_offer_kernel(e->tls, &e->sockets);
	CU_ASSERT_TRUE(tls_load(e->tls, &security, false, &report));
	e->server = tls_socket_new(e->tls, &e->link.socket, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e->server);
	e->server->owner = e;
	e->server->on_ready = ends_ready;
	e->ctx = SSL_CTX_new(TLS_client_method());
	CHECK(SSL_CTX_set_max_proto_version(e->ctx, version) == 1);
	e->client = SSL_new(e->ctx);
	SSL_set_bio(e->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(e->client);
	ends_shake(e);
}

static void
ends_fini(struct ends *e)
{
	e->server->sockets->ops->close(e->server, false);
	CU_ASSERT_TRUE(e->link.closed);
	SSL_free(e->client);
	SSL_CTX_free(e->ctx);
	tls_free(&e->tls);
	tls_identity_fini(&e->own);
	buffer_fini(&e->link.in);
	buffer_fini(&e->link.out);
	if (e->link.descriptor >= 0) {
		(void)close(e->link.descriptor);
		(void)close(e->link.other_end);
	}
	loop_stop(e->loop);
	loop_free(e->loop);
	scheduler_free(e->scheduler);
}

static ssize_t
server_reads(struct ends *e, void *to, size_t size)
{
	return (e->server->sockets->ops->read(e->server, to, size));
}

/* Records that carry nothing for the owner, `count` of them; the length of
 * one. With `answered`, OpenSSL has to answer each. */
static size_t
client_updates(struct ends *e, int count, bool answered)
{
	const size_t before = e->link.in.length;

	for (int i = 0; i < count; i++) {
		CHECK(SSL_key_update(e->client, answered ?
		    SSL_KEY_UPDATE_REQUESTED :
		    SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
		CHECK(SSL_do_handshake(e->client) == 1);
	}
	client_sends(e);
	return ((e->link.in.length - before) / (size_t)count);
}

static void
client_writes(struct ends *e, const void *bytes, size_t length)
{
	CHECK(SSL_write(e->client, bytes, (int)length) == (int)length);
	client_sends(e);
}

/* --- peers that mean harm ------------------------------------------------- */

/* One call reads so often and no more, though nothing came of it; the bytes
 * behind are read at last. */
static void
reads_are_bounded(bool kernel)
{
	struct ends e;
	char word[10];
	int calls = 0;

	ends_init(&e, TLS1_3_VERSION, kernel);
	e.link.piece = client_updates(&e, 1000, false);
	client_writes(&e, "at last", 7);
	errno = 0;
	CU_ASSERT_EQUAL(server_reads(&e, word, sizeof(word)), -1);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT_EQUAL(e.link.reads, 16);
	while (server_reads(&e, word, sizeof(word)) < 0 && calls++ < 1000)
		CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT(calls > 50 && calls < 1000);
	CU_ASSERT_EQUAL(memcmp(word, "at last", 7), 0);
	ends_fini(&e);
}

static void
test_reads_are_bounded(void)
{
	reads_are_bounded(false);
}

/* The kernel may send for us; what comes is read as ever. */
static void
test_reads_are_bounded_beside_the_kernel(void)
{
	reads_are_bounded(true);
}

/* Of what came in one piece as well: the owner is told again until all has had
 * its turn. */
static void
test_records_are_bounded(void)
{
	struct ends e;
	char word[10];
	int calls = 1;

	ends_init(&e, TLS1_3_VERSION, false);
	(void)client_updates(&e, 4000, false);
	client_writes(&e, "at last", 7);
	while (server_reads(&e, word, sizeof(word)) < 0 && calls++ < 1000) {
		CU_ASSERT_EQUAL(errno, EAGAIN);
		e.told = 0;
		(void)e.server->sockets->ops->want(e.server, WATCH_READ);
		(void)scheduler_run_until(e.scheduler, e.clock.now_ns);
		CU_ASSERT_EQUAL(e.told, 1);
	}
	CU_ASSERT(calls >= 4000 / 256 && calls < 4000 / 100);
	CU_ASSERT_EQUAL(memcmp(word, "at last", 7), 0);
	ends_fini(&e);
}

/* Whoever makes OpenSSL answer and takes no answer is given up. */
static void
test_pending_is_bounded(void)
{
	struct ends e;
	char word[10];

	ends_init(&e, TLS1_3_VERSION, false);
	(void)client_updates(&e, 20000, true);
	e.link.room = 1000;
	do {
		errno = 0;
		CU_ASSERT_EQUAL(server_reads(&e, word, sizeof(word)), -1);
	} while (errno == EAGAIN && e.link.at < e.link.in.length);
	(void)server_reads(&e, word, sizeof(word));
	CU_ASSERT_EQUAL(errno, EPROTO);
	/* What was kept for it is gone. */
	CU_ASSERT_FALSE(tls_unsent(e.server));
	CU_ASSERT_EQUAL(e.link.out.length, 1000);
	ends_fini(&e);
}

/* --- pieces --------------------------------------------------------------- */

static int buffers_freed;

/* In the place of OpenSSL's own. */
int
SSL_free_buffers(SSL *ssl)
{
	(void)ssl;
	buffers_freed++;
	return (1);
}

/* Cut anywhere, also behind the head of a record: OpenSSL's buffers stay until
 * it is whole, and then go. */
static void
test_records_in_pieces(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	static const char sent[] = "somewhat more than the head of a record";

	for (size_t i = 0; i < nelems(versions); i++) {
		struct ends e;
		char got[sizeof(sent)];
		size_t size, start;

		ends_init(&e, versions[i], false);
		start = e.link.in.length;
		client_writes(&e, sent, sizeof(sent));
		size = e.link.in.length - start;
		for (size_t cut = 1; cut < size; cut++) {
			start = e.link.at;
			e.link.piece = cut;
			buffers_freed = 0;
			CU_ASSERT_EQUAL(size, e.link.in.length - start);
			/* Up to the cut, and there it waits. */
			e.link.in.length = start + cut;
			CU_ASSERT_EQUAL(server_reads(&e, got, sizeof(got)),
			    -1);
			CU_ASSERT_EQUAL(errno, EAGAIN);
			CU_ASSERT_EQUAL(buffers_freed, 0);
			e.link.in.length = start + size;
			e.link.piece = SIZE_MAX;
			CU_ASSERT_EQUAL(server_reads(&e, got, sizeof(got)),
			    (ssize_t)sizeof(sent));
			CU_ASSERT_STRING_EQUAL(got, sent);
			CU_ASSERT_EQUAL(buffers_freed, 1);
			client_writes(&e, sent, sizeof(sent));
		}
		ends_fini(&e);
	}
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "what one call reads is bounded", test_reads_are_bounded },
		{ "beside the kernel's TLS as well",
		    test_reads_are_bounded_beside_the_kernel },
		{ "records of one call are bounded", test_records_are_bounded },
		{ "what waits for a peer that never reads is bounded",
		    test_pending_is_bounded },
		{ "records in pieces", test_records_in_pieces },
	};

	return (unit_main("tls_socket", tests, nelems(tests)));
}
