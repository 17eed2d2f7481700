/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS above sockets in memory, under replay: handshakes, links that take little
 * at a time, sessions that come back, and what there is to refuse.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "net/peer.h"
#include "net/tls_int.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/tls_rig.h"
#include "tests/unit/unit.h"

#define SECOND_NS ((int64_t)1000000000)
#define HOUR_MS ((int64_t)3600 * 1000)

/* Broker "a" serves; "b" is where clients live. */
struct world {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct fabric *fabric;
	struct rig rig;
	struct loop *loop;
	struct work_queue *resolver;
	struct tls_identity authority, server;
	struct security_options served, asked;
	struct tls *tls; /* of clients */
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
	tls_identity_init(&w->authority, "authority", NULL, NULL);
	tls_identity_init(&w->server, "server", "DNS:a", &w->authority);
	tls_rig_options(&w->served, &w->server, &w->authority);
	tls_rig_options(&w->asked, NULL, &w->authority);
	w->rig.listener.security = &w->served;
	w->rig.listener.protocol = PROTOCOL_SSL;
	w->rig.options.connection_setup_timeout_max_ms = 30000;
	w->tls = tls_new(TLS_CLIENT, "test");
}

static void
world_run(struct world *w, int64_t ms)
{
	scheduler_run_until(w->scheduler, w->clock.now_ns + ms * 1000000);
}

static void
world_start(struct world *w)
{
	struct tls_report report;

	CU_ASSERT_TRUE(tls_load(w->tls, &w->asked, false, &report));
	rig_start(&w->rig);
	world_run(w, 10);
}

static void
world_fini(struct world *w)
{
	const struct task_ref nobody = { NULL, 0 };

	if (w->rig.net != NULL) {
		net_stop(w->rig.net, w->clock.now_ns + SECOND_NS, nobody);
		world_run(w, 3000);
		CU_ASSERT_TRUE(net_stopped(w->rig.net));
	}
	loop_stop(w->loop);
	rig_end(&w->rig);
	tls_free(&w->tls);
	work_queue_free(w->resolver);
	loop_free(w->loop);
	scheduler_free(w->scheduler);
	fabric_free(w->fabric);
	tls_identity_fini(&w->server);
	tls_identity_fini(&w->authority);
}

static int64_t
counted(const struct world *w, enum metric metric)
{
	return (metrics_value(w->rig.metrics, metric));
}

/* --- a client that reads and writes bytes --------------------------------- */

struct talk {
	struct world *world;
	struct socket *socket; /* NULL: closed by the other side */
	bool plain;            /* it speaks no TLS */
	bool shaking;
	enum tls_progress progress;
	struct buffer out;
	size_t sent;
	struct buffer in;
	size_t piece; /* most that is read at a time */
};

static void
talk_close(struct talk *talk)
{
	if (talk->socket != NULL)
		talk->socket->sockets->ops->close(talk->socket, false);
	talk->socket = NULL;
}

static void
talk_go_on(struct talk *talk)
{
	const struct sockets_ops *ops = talk->socket->sockets->ops;
	struct iovec parts[2];
	uint8_t bytes[5000];
	unsigned wanted = WATCH_READ;
	size_t rest = talk->out.length - talk->sent;
	ssize_t n;

	/* In two parts, the second of them a small one. */
	parts[0] = (struct iovec){ talk->out.data + talk->sent, rest / 4 * 3 };
	parts[1] = (struct iovec){ talk->out.data + talk->sent + rest / 4 * 3,
		rest - rest / 4 * 3 };
	if (rest != 0) {
		n = ops->write(talk->socket, parts, 2, false);
		talk->sent += n > 0 ? (size_t)n : 0;
		if (talk->sent < talk->out.length)
			wanted |= WATCH_WRITE;
	}
	n = ops->read(talk->socket, bytes, talk->piece);
	if (n > 0)
		buffer_append(&talk->in, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
		talk_close(talk);
		return;
	}
	(void)ops->want(talk->socket, wanted);
}

static void
talk_ready(struct socket *socket, unsigned ready)
{
	struct talk *talk = socket->owner;

	(void)ready;
	if (talk->shaking) {
		talk->progress = tls_shake(socket);
		talk->shaking = talk->progress == TLS_AGAIN;
		if (talk->progress != TLS_DONE)
			return;
	}
	talk_go_on(talk);
}

static void
talk_connected(struct socket *socket, unsigned ready)
{
	struct talk *talk = socket->owner;

	if (!talk->plain) {
		socket = tls_socket_new(talk->world->tls, socket, "a", NULL);
		CHECK(socket != NULL);
		talk->socket = socket;
		talk->shaking = true;
	}
	socket->owner = talk;
	socket->on_ready = talk_ready;
	talk_ready(socket, ready);
}

static void
talk_init(struct talk *talk, struct world *w, bool plain)
{
	const struct socket_address to = { "a", w->rig.listener.port };
	static const struct socket_options options = { -1, -1, 0 };
	struct sockets *sockets = fabric_sockets(w->fabric, "b");

	memset(talk, 0, sizeof(*talk));
	talk->world = w;
	talk->plain = plain;
	talk->piece = 5000;
	talk->socket = sockets->ops->connect(sockets, &to, &options);
	sockets->ops->adopt(talk->socket, w->loop);
	talk->socket->owner = talk;
	talk->socket->on_ready = talk_connected;
	(void)sockets->ops->want(talk->socket, WATCH_WRITE);
	world_run(w, 10);
}

static void
talk_fini(struct talk *talk)
{
	talk_close(talk);
	buffer_fini(&talk->out);
	buffer_fini(&talk->in);
}

static void
talk_ask(struct talk *talk, int api_key, const void *body, size_t size)
{
	rig_frame(&talk->out, api_key, 1, (int32_t)talk->out.length, body,
	    size);
	if (talk->socket != NULL && !talk->shaking)
		(void)talk->socket->sockets->ops->want(talk->socket,
		    WATCH_READ | WATCH_WRITE);
}

/* --- there and back ------------------------------------------------------- */

static void
ask_sizes(struct talk *talk, int32_t count, int32_t size)
{
	uint8_t body[9] = { 'x' };

	bytes_put_i32(body + 1, count);
	bytes_put_i32(body + 5, size);
	talk_ask(talk, API_METADATA, body, sizeof(body));
}

/* An answer of `count` extents, from `at` on. */
static size_t
check_extents(const struct buffer *in, size_t at, int32_t count, int32_t size)
{
	int64_t position = 0;
	bool same = true;

	at += 8;
	for (int32_t i = 0; i < count; i++) {
		same &= in->data[at++] == '|';
		for (int32_t n = 0; n < size; n++)
			same &= in->data[at++] == rig_blob_byte(position++);
	}
	CU_ASSERT_TRUE(same);
	CU_ASSERT_EQUAL(in->data[at], '.');
	return (at + 1);
}

/* Extents that are copied and extents that are sent, in every order of what
 * happens, over a link that holds 64 KiB. */
static void
test_extents(void)
{
	static const int32_t shapes[][2] = { { 1, 10 }, { 3, 20000 },
		{ 2, 100000 }, { 1, 1000000 }, { 300, 700 }, { 1, 32769 } };

	for (uint64_t seed = 0; seed < 5; seed++) {
		struct world w;
		struct talk talk;
		size_t at = 0;

		world_init(&w, seed);
		world_start(&w);
		talk_init(&talk, &w, false);
		for (size_t i = 0; i < nelems(shapes); i++)
			ask_sizes(&talk, shapes[i][0], shapes[i][1]);
		world_run(&w, 20000);
		CU_ASSERT_TRUE_FATAL(talk.in.length > 1400000);
		for (size_t i = 0; i < nelems(shapes); i++)
			at = check_extents(&talk.in, at, shapes[i][0],
			    shapes[i][1]);
		CU_ASSERT_EQUAL(talk.in.length, at);
		CU_ASSERT_EQUAL(atomic_load(&w.rig.blobs), 0);
		talk_fini(&talk);
		world_fini(&w);
	}
}

static void
test_echo(void)
{
	static const size_t sizes[] = { 1, 5, 16383, 16384, 16385, 131072,
		3000000, 2 };

	for (size_t piece = 7; piece <= 5000; piece *= 26) {
		struct world w;
		struct talk talk;
		size_t at = 0;

		world_init(&w, piece);
		world_start(&w);
		talk_init(&talk, &w, false);
		talk.piece = piece;
		for (size_t i = 0; i < nelems(sizes); i++) {
			uint8_t *body = mem_alloc(sizes[i] + 1);

			memset(body, 'a' + (int)i, sizes[i] + 1);
			body[0] = 'e';
			talk_ask(&talk, API_PRODUCE, body, sizes[i] + 1);
			mem_free(body);
		}
		world_run(&w, 60000);
		for (size_t i = 0; i < nelems(sizes); i++) {
			CU_ASSERT_EQUAL_FATAL(
			    bytes_get_u32(talk.in.data + at), sizes[i] + 4);
			at += 8 + sizes[i];
			CU_ASSERT_EQUAL(talk.in.data[at - 1], 'a' + (int)i);
		}
		CU_ASSERT_EQUAL(talk.in.length, at);
		talk_fini(&talk);
		world_fini(&w);
	}
}

/* A connection goes on with its keys on the loop that serves it. */
static void
test_rehome(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct world w;
		struct talk talk;
		unsigned moves = 0;

		world_init(&w, seed);
		world_start(&w);
		talk_init(&talk, &w, false);
		for (int i = 0; i < 40; i++) {
			talk_ask(&talk, API_METADATA, i / 10 % 2 == 0 ? "s0" :
			    "s1", 2);
			world_run(&w, 20);
		}
		CU_ASSERT_EQUAL_FATAL(talk.in.length, 40 * 9);
		for (size_t at = 9; at < talk.in.length; at += 9)
			moves += talk.in.data[at + 8] != talk.in.data[at - 1];
		CU_ASSERT_TRUE(moves == 3 || moves == 4);
		CU_ASSERT_EQUAL(talk.in.data[39 * 9 + 8], '1');
		talk_fini(&talk);
		world_fini(&w);
	}
}

/* The last answer goes out though the link is full when the close is due. */
static void
test_close_after_answer(void)
{
	struct world w;
	struct talk talk;
	uint8_t body[5] = { 'z' };

	world_init(&w, 3);
	world_start(&w);
	talk_init(&talk, &w, false);
	bytes_put_i32(body + 1, 500000);
	talk_ask(&talk, API_METADATA, body, sizeof(body));
	talk_ask(&talk, API_METADATA, "c", 1);
	world_run(&w, 20000);
	CU_ASSERT_EQUAL(talk.in.length, 500008);
	CU_ASSERT_PTR_NULL(talk.socket);
	talk_fini(&talk);
	world_fini(&w);
}

/* --- peers ---------------------------------------------------------------- */

static struct peer *
peer_of(struct world *w)
{
	return (peer_new(&(struct peer_setup){
	    .loop = w->loop,
	    .sockets = fabric_sockets(w->fabric, "b"),
	    .resolver = w->resolver,
	    .tls = w->tls,
	    .host = "a",
	    .port = w->rig.listener.port,
	    .client_id = "test",
	    .connect_timeout_ms = 1000,
	    .request_timeout_ms = 2000,
	    .backoff_ms = 100,
	    .response_bytes_max = 1 << 20,
	    .in_flight_max = 3,
	}));
}

static void
expect_peer(struct world *w, enum peer_error error, const char *why)
{
	struct peer *peer = peer_of(w);

	peer_connect(peer);
	world_run(w, 1500);
	CU_ASSERT_EQUAL(peer_last_error(peer), error);
	CU_ASSERT_EQUAL(peer_connected(peer), error == PEER_OK);
	if (strstr(peer_why(peer), why) == NULL)
		printf("\n%s, not %s\n", peer_why(peer), why);
	CU_ASSERT_PTR_NOT_NULL(strstr(peer_why(peer), why));
	peer_free(&peer);
	world_run(w, 100);
}

static void
test_peer_trusts(void)
{
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct world w;

		world_init(&w, seed);
		world_start(&w);
		expect_peer(&w, PEER_OK, "");
		CU_ASSERT_EQUAL(counted(&w, METRIC_AUTHENTICATIONS), 1);
		CU_ASSERT_EQUAL(counted(&w, METRIC_AUTHENTICATION_FAILURES),
		    0);
		world_fini(&w);
	}
}

static void
test_peer_mistrusts(void)
{
	struct tls_identity stranger;
	struct world w;

	world_init(&w, 1);
	tls_identity_init(&stranger, "stranger", NULL, NULL);
	tls_rig_options(&w.asked, NULL, &stranger);
	world_start(&w);
	expect_peer(&w, PEER_UNTRUSTED, "certificate verify failed");
	CU_ASSERT(counted(&w, METRIC_AUTHENTICATION_FAILURES) >= 1);
	world_fini(&w);
	tls_identity_fini(&stranger);
}

static void
test_peer_looks_at_the_name(void)
{
	struct world w;

	world_init(&w, 1);
	tls_identity_fini(&w.server);
	tls_identity_init(&w.server, "a", "DNS:b", &w.authority);
	tls_rig_options(&w.served, &w.server, NULL);
	world_start(&w);
	expect_peer(&w, PEER_UNTRUSTED, "hostname mismatch");
	w.asked.ssl_endpoint_identification_algorithm = "";
	CU_ASSERT_TRUE(tls_load(w.tls, &w.asked, false,
	    &(struct tls_report){ "", "" }));
	expect_peer(&w, PEER_OK, "");
	world_fini(&w);
}

static void
test_peer_meets_no_tls(void)
{
	struct world w;

	world_init(&w, 1);
	w.rig.listener.security = NULL;
	world_start(&w);
	expect_peer(&w, PEER_UNTRUSTED, "closed the connection");
	world_fini(&w);
}

/* --- peers that are no good ----------------------------------------------- */

static void
test_no_tls_at_all(void)
{
	struct world w;
	struct talk talk;

	world_init(&w, 1);
	world_start(&w);
	talk_init(&talk, &w, true);
	talk_ask(&talk, API_METADATA, "e", 1);
	world_run(&w, 100);
	CU_ASSERT_PTR_NULL(talk.socket);
	CU_ASSERT_EQUAL(counted(&w, METRIC_AUTHENTICATION_FAILURES), 1);
	CU_ASSERT_EQUAL(atomic_load(&w.rig.begun), 0);
	talk_fini(&talk);
	world_fini(&w);
}

static void
test_silent(void)
{
	struct world w;
	struct talk talk;

	world_init(&w, 1);
	world_start(&w);
	talk_init(&talk, &w, true);
	world_run(&w, 28000);
	CU_ASSERT_PTR_NOT_NULL(talk.socket);
	world_run(&w, 4000);
	CU_ASSERT_PTR_NULL(talk.socket);
	CU_ASSERT_EQUAL(counted(&w, METRIC_AUTHENTICATION_FAILURES), 1);
	talk_fini(&talk);
	world_fini(&w);
}

/* ...max.ms goes up to more milliseconds than nanoseconds can be told. */
static void
test_silent_with_leave(void)
{
	struct world w;
	struct talk talk;

	world_init(&w, 1);
	w.rig.options.connection_setup_timeout_max_ms = INT64_MAX;
	world_start(&w);
	talk_init(&talk, &w, true);
	world_run(&w, 60000);
	CU_ASSERT_PTR_NOT_NULL(talk.socket);
	talk_fini(&talk);
	world_fini(&w);
}

static void
test_gone_in_between(void)
{
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct world w;
		struct peer *peer;

		world_init(&w, seed);
		world_start(&w);
		peer = peer_of(&w);
		peer_connect(peer);
		world_run(&w, (int64_t)seed % 3);
		fabric_kill(w.fabric, "b");
		world_run(&w, 10);
		peer_free(&peer);
		world_run(&w, 2000);
		fabric_revive(w.fabric, "b");
		world_fini(&w);
	}
}

/* --- sessions ------------------------------------------------------------- */

/* OpenSSL alone as the client, over a plain socket. */
struct resumer {
	struct talk talk;
	SSL_CTX *ctx;
	SSL *ssl;
	SSL_SESSION *session;
};

static int
session_come(SSL *ssl, SSL_SESSION *session)
{
	struct resumer *r = SSL_get_app_data(ssl);

	SSL_SESSION_free(r->session);
	r->session = session;
	return (1);
}

static void
resumer_pump(struct resumer *r)
{
	for (int i = 0; i < 20; i++) {
		BIO *in = SSL_get_rbio(r->ssl), *out = SSL_get_wbio(r->ssl);
		char *bytes;
		uint8_t nothing;
		long length;

		if (!SSL_is_init_finished(r->ssl))
			(void)SSL_do_handshake(r->ssl);
		else
			(void)SSL_read(r->ssl, &nothing, 1);
		length = BIO_get_mem_data(out, &bytes);
		buffer_append(&r->talk.out, bytes, (size_t)length);
		(void)BIO_reset(out);
		if (r->talk.socket != NULL)
			(void)r->talk.socket->sockets->ops->want(
			    r->talk.socket, WATCH_READ | WATCH_WRITE);
		world_run(r->talk.world, 10);
		CHECK(r->talk.in.length == 0 || BIO_write(in, r->talk.in.data,
			(int)r->talk.in.length) > 0);
		r->talk.in.length = 0;
	}
}

/* Shakes hands, with the session before if there is one; whether it was taken
 * up. */
static bool
resumer_run(struct resumer *r, struct world *w, int version)
{
	bool reused;

	r->ctx = SSL_CTX_new(TLS_client_method());
	CHECK(SSL_CTX_set_max_proto_version(r->ctx, version) == 1);
	SSL_CTX_set_session_cache_mode(r->ctx, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(r->ctx, session_come);
	r->ssl = SSL_new(r->ctx);
	SSL_set_app_data(r->ssl, r);
	SSL_set_bio(r->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(r->ssl);
	if (r->session != NULL)
		CHECK(SSL_set_session(r->ssl, r->session) == 1);
	talk_init(&r->talk, w, true);
	resumer_pump(r);
	CU_ASSERT_TRUE(SSL_is_init_finished(r->ssl));
	reused = SSL_session_reused(r->ssl) == 1;
	(void)SSL_shutdown(r->ssl);
	talk_fini(&r->talk);
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	return (reused);
}

/* A ticket's key opens for two hours at most, and after a reload not at all. */
static void
test_resumption(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < nelems(versions); i++) {
		const struct listener_list list = {
			&(struct config_listener){ 0 }, 1 };
		struct resumer r = { .session = NULL };
		struct tls_report report;
		struct world w;

		world_init(&w, 1);
		world_start(&w);
		CU_ASSERT_FALSE(resumer_run(&r, &w, versions[i]));
		CU_ASSERT_PTR_NOT_NULL(r.session);
		CU_ASSERT_TRUE(resumer_run(&r, &w, versions[i]));
		world_run(&w, HOUR_MS + 1000);
		CU_ASSERT_TRUE(resumer_run(&r, &w, versions[i]));
		CU_ASSERT_EQUAL(counted(&w, METRIC_TLS_RESUMED), 2);
		world_run(&w, 3 * HOUR_MS);
		CU_ASSERT_FALSE(resumer_run(&r, &w, versions[i]));
		CU_ASSERT_TRUE(resumer_run(&r, &w, versions[i]));
		*(struct config_listener *)(uintptr_t)list.items =
		    w.rig.listener;
		CU_ASSERT_TRUE(net_tls_reload(w.rig.net, &list, false,
		    &report));
		CU_ASSERT_TRUE(resumer_run(&r, &w, versions[i]));
		CU_ASSERT_TRUE(net_tls_reload(w.rig.net, &list, true,
		    &report));
		CU_ASSERT_FALSE(resumer_run(&r, &w, versions[i]));
		SSL_SESSION_free(r.session);
		world_fini(&w);
	}
}

/* --- the kernel's sockets, and its TLS where it has it -------------------- */

static int
file_of_blob(void)
{
	char name[] = "/tmp/test_tls_XXXXXX";
	int file = mkstemp(name);
	uint8_t *bytes = mem_alloc(RIG_BLOB_BYTES);

	CHECK(file >= 0);
	(void)unlink(name);
	for (size_t i = 0; i < RIG_BLOB_BYTES; i++)
		bytes[i] = rig_blob_byte((int64_t)i);
	CHECK(write(file, bytes, RIG_BLOB_BYTES) == (ssize_t)RIG_BLOB_BYTES);
	mem_free(bytes);
	return (file);
}

static SSL *
ssl_connect(const struct rig *rig, SSL_CTX *ctx)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)rig->listener.port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(ctx);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	CHECK(SSL_set_fd(ssl, fd) == 1);
	CU_ASSERT_EQUAL_FATAL(SSL_connect(ssl), 1);
	return (ssl);
}

static void
ssl_read_all(SSL *ssl, struct buffer *in, size_t length)
{
	in->length = 0;
	while (in->length < length) {
		const int n = SSL_read(ssl, buffer_reserve(in, 16384),
		    (int)(length - in->length < 16384 ?
		    length - in->length : 16384));

		CU_ASSERT_TRUE_FATAL(n > 0);
		in->length += (size_t)n;
	}
}

static void
ssl_ask_all(SSL *ssl)
{
	static const int32_t shapes[][2] = { { 1, 10 }, { 3, 20000 },
		{ 2, 2000000 }, { 300, 700 }, { 1, 32769 } };
	struct buffer in = BUFFER_EMPTY;

	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < nelems(shapes); i++) {
			const int32_t count = shapes[i][0], size = shapes[i][1];
			struct buffer out = BUFFER_EMPTY;
			uint8_t body[9] = { 'x' };

			bytes_put_i32(body + 1, count);
			bytes_put_i32(body + 5, size);
			rig_frame(&out, API_METADATA, 1, 7, body,
			    sizeof(body));
			CU_ASSERT_EQUAL(SSL_write(ssl, out.data,
			    (int)out.length), (int)out.length);
			buffer_fini(&out);
			ssl_read_all(ssl, &in, (size_t)count *
			    ((size_t)size + 1) + 9);
			(void)check_extents(&in, 0, count, size);
		}
	buffer_fini(&in);
}

/* Files go out by the kernel where it has TLS, else as they do elsewhere. */
static void
test_kernel(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct security_options security;
	struct tls_identity own;
	struct rig rig;
	int file = file_of_blob();

	rig_init(&rig, 1);
	tls_identity_init(&own, "own", NULL, NULL);
	tls_rig_options(&security, &own, NULL);
	security.kernel_tls_enable = true;
	rig.listener.security = &security;
	rig.options.connection_setup_timeout_max_ms = 30000;
	rig.blob_descriptor = file;
	rig_start(&rig);
	for (size_t i = 0; i < nelems(versions); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		SSL *ssl;

		CHECK(SSL_CTX_set_max_proto_version(ctx, versions[i]) == 1);
		ssl = ssl_connect(&rig, ctx);
		ssl_ask_all(ssl);
		(void)SSL_shutdown(ssl);
		(void)close(SSL_get_fd(ssl));
		SSL_free(ssl);
		SSL_CTX_free(ctx);
	}
	rig_fini(&rig);
	tls_identity_fini(&own);
	(void)close(file);
}

/* --- options -------------------------------------------------------------- */

static void
expect_ciphers(const char *suites, const char *old, const char *new)
{
	struct buffer older = BUFFER_EMPTY, newer = BUFFER_EMPTY;
	struct tls_report report;

	CU_ASSERT_EQUAL(tls_ciphers_read(suites, &older, &newer, &report),
	    old != NULL);
	if (old != NULL) {
		CU_ASSERT_STRING_EQUAL(buffer_text(&older), old);
		CU_ASSERT_STRING_EQUAL(buffer_text(&newer), new);
	} else {
		CU_ASSERT_PTR_NOT_NULL(strstr(report.error, new));
	}
	buffer_fini(&older);
	buffer_fini(&newer);
}

static void
test_ciphers(void)
{
	expect_ciphers("", "", "");
	expect_ciphers("TLS_AES_128_GCM_SHA256,"
	    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
	    "TLS_EMPTY_RENEGOTIATION_INFO_SCSV, TLS_CHACHA20_POLY1305_SHA256,"
	    "TLS_RSA_WITH_AES_128_CBC_SHA",
	    "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA",
	    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256");
	expect_ciphers("SSL_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", "");
	expect_ciphers("TLS_NONE", NULL, "TLS_NONE");
	expect_ciphers("TLS_", NULL, "TLS_");
	expect_ciphers("TLS_RSA_WITH_NULL_SHA256", NULL, "NULL_SHA256");
	expect_ciphers("ECDHE-RSA-AES256-GCM-SHA384", NULL, "ECDHE-RSA");
}

/* As properties files have it: on one line, with blanks or nothing between. */
static void
test_folded_pem(void)
{
	static const char *const joins[] = { "", " ", "\r\n", " \n\t" };
	struct security_options security;
	struct tls_identity authority, own;
	struct tls_report report;
	struct tls_pem pem;

	tls_identity_init(&authority, "authority", NULL, NULL);
	tls_identity_init(&own, "own", NULL, &authority);
	for (size_t i = 0; i < nelems(joins); i++) {
		struct buffer text = BUFFER_EMPTY, key = BUFFER_EMPTY;
		struct slice rest = buffer_slice(&own.certificate_text);

		while (rest.data != NULL && rest.length != 0) {
			buffer_append_slice(&text, text_cut(rest, '\n',
			    &rest));
			buffer_append_text(&text, joins[i]);
		}
		rest = buffer_slice(&own.key_text);
		while (rest.data != NULL && rest.length != 0) {
			buffer_append_slice(&key, text_cut(rest, '\n', &rest));
			buffer_append_text(&key, joins[i]);
		}
		tls_rig_options(&security, &own, &authority);
		security.ssl_keystore_certificate_chain = buffer_text(&text);
		security.ssl_keystore_key = buffer_text(&key);
		CU_ASSERT_TRUE(tls_export(&security, &pem, &report));
		CU_ASSERT_STRING_EQUAL(buffer_text(&pem.certificates),
		    buffer_text(&own.certificate_text));
		CU_ASSERT_STRING_EQUAL(buffer_text(&pem.key),
		    buffer_text(&own.key_text));
		CU_ASSERT_STRING_EQUAL(buffer_text(&pem.trusted),
		    buffer_text(&authority.certificate_text));
		tls_pem_fini(&pem);
		buffer_fini(&text);
		buffer_fini(&key);
	}
	tls_identity_fini(&own);
	tls_identity_fini(&authority);
}

/* The chain comes in order, whatever the order it is given in, and without
 * those that are none of it. */
static void
test_chain(void)
{
	struct tls_identity root, middle, own, other;
	struct buffer text = BUFFER_EMPTY, expected = BUFFER_EMPTY;
	struct security_options security;
	struct tls_report report;
	struct tls_pem pem;

	tls_identity_init(&root, "root", NULL, NULL);
	tls_identity_init(&middle, "middle", NULL, &root);
	tls_identity_init(&own, "own", NULL, &middle);
	tls_identity_init(&other, "other", NULL, NULL);
	buffer_append_slice(&text, buffer_slice(&other.certificate_text));
	buffer_append_slice(&text, buffer_slice(&root.certificate_text));
	buffer_append_slice(&text, buffer_slice(&middle.certificate_text));
	buffer_append_slice(&text, buffer_slice(&own.certificate_text));
	buffer_append_slice(&expected, buffer_slice(&own.certificate_text));
	buffer_append_slice(&expected, buffer_slice(&middle.certificate_text));
	buffer_append_slice(&expected, buffer_slice(&root.certificate_text));
	tls_rig_options(&security, &own, NULL);
	security.ssl_keystore_certificate_chain = buffer_text(&text);
	CU_ASSERT_TRUE(tls_export(&security, &pem, &report));
	CU_ASSERT_STRING_EQUAL(buffer_text(&pem.certificates),
	    buffer_text(&expected));
	CU_ASSERT_EQUAL(pem.trusted.length, 0);
	tls_pem_fini(&pem);
	buffer_fini(&text);
	buffer_fini(&expected);
	tls_identity_fini(&root);
	tls_identity_fini(&middle);
	tls_identity_fini(&own);
	tls_identity_fini(&other);
}

static void
expect_refusal(const struct security_options *security, const char *words)
{
	struct tls *tls = tls_new(TLS_SERVER, "test");
	struct tls_report report;

	CU_ASSERT_FALSE(tls_load(tls, security, false, &report));
	if (strstr(report.error, words) == NULL)
		printf("\n%s, not %s\n", report.error, words);
	CU_ASSERT_PTR_NOT_NULL(strstr(report.error, words));
	tls_free(&tls);
}

static void
test_refusals(void)
{
	struct security_options good, s;
	struct tls_identity own, other;

	tls_identity_init(&own, "own", NULL, NULL);
	tls_identity_init(&other, "other", NULL, NULL);
	tls_rig_options(&good, &own, &own);
	tls_rig_defaults(&s);
	expect_refusal(&s, "ssl.keystore.location");
	s = good;
	s.ssl_keystore_type = "PKCS12";
	expect_refusal(&s, "ssl.keystore.type must be PEM");
	s = good;
	s.ssl_keystore_certificate_chain = NULL;
	expect_refusal(&s, "ssl.keystore.certificate.chain");
	s = good;
	s.ssl_keystore_location = "/no/such";
	expect_refusal(&s, "only one of them");
	s = good;
	s.ssl_keystore_key = buffer_text(&other.key_text);
	expect_refusal(&s, "fits none");
	s = good;
	s.ssl_keystore_key = "-----BEGIN PRIVATE KEY-----\nabc\n"
	    "-----END PRIVATE KEY-----\n";
	expect_refusal(&s, "ssl.keystore.key: the private key cannot be read");
	s = good;
	s.ssl_keystore_key = "nonsense";
	expect_refusal(&s, "no private key");
	s = good;
	s.ssl_truststore_certificates = "nonsense";
	expect_refusal(&s, "ssl.truststore.certificates: it holds no");
	s = good;
	s.ssl_truststore_password = "x";
	expect_refusal(&s, "ssl.truststore.password");
	s = good;
	s.ssl_enabled_protocols = "";
	expect_refusal(&s, "ssl.enabled.protocols");
	tls_identity_fini(&own);
	tls_identity_fini(&other);
}

/* --- rules for the whole process ------------------------------------------ */

static void
expect_imposed(const char *versions, const char *suites, int lowest,
    int highest, const char *first)
{
	struct security_options s;
	struct tls_report report;
	SSL_CTX *ctx;

	tls_rig_defaults(&s);
	s.ssl_enabled_protocols = versions;
	s.ssl_cipher_suites = suites;
	CU_ASSERT_TRUE(tls_impose(&s, &report));
	/* As a client makes one that knows nothing of it. */
	ctx = SSL_CTX_new(TLS_client_method());
	CU_ASSERT_EQUAL(SSL_CTX_get_min_proto_version(ctx), lowest);
	CU_ASSERT_EQUAL(SSL_CTX_get_max_proto_version(ctx), highest);
	if (first != NULL)
		CU_ASSERT_STRING_EQUAL(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(
			SSL_CTX_get_ciphers(ctx), 0)), first);
	SSL_CTX_free(ctx);
}

/* The last one, since what it does stays. */
static void
test_imposed(void)
{
	struct security_options s;
	struct tls_report report;

	expect_imposed("TLSv1.3", "", TLS1_3_VERSION, TLS1_3_VERSION, NULL);
	expect_imposed("TLSv1.2", "", TLS1_2_VERSION, TLS1_2_VERSION, NULL);
	expect_imposed("TLSv1.2,TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256",
	    TLS1_3_VERSION, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
	expect_imposed("TLSv1.2,TLSv1.3",
	    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", TLS1_2_VERSION,
	    TLS1_2_VERSION, NULL);
	expect_imposed("TLSv1.2,TLSv1.3", "TLS_AES_128_GCM_SHA256,"
	    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", TLS1_2_VERSION,
	    TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	tls_rig_defaults(&s);
	s.ssl_cipher_suites = "TLS_NONE";
	CU_ASSERT_FALSE(tls_impose(&s, &report));
	CU_ASSERT_PTR_NOT_NULL(strstr(report.error, "TLS_NONE"));
	expect_imposed("TLSv1.2,TLSv1.3", "", TLS1_2_VERSION, TLS1_3_VERSION,
	    NULL);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "extents, over a link that holds little", test_extents },
		{ "records of every size, there and back", test_echo },
	{ "a connection moves", test_rehome },
		{ "a close waits for the last answer",
		    test_close_after_answer },
		{ "a peer that is trusted", test_peer_trusts },
		{ "a peer that is not", test_peer_mistrusts },
		{ "a peer of another name", test_peer_looks_at_the_name },
		{ "a peer that speaks no TLS", test_peer_meets_no_tls },
		{ "a client that speaks no TLS", test_no_tls_at_all },
		{ "a client that says nothing", test_silent },
		{ "a client that may say nothing", test_silent_with_leave },
		{ "gone in the handshake", test_gone_in_between },
		{ "sessions come back", test_resumption },
		{ "the kernel's sockets", test_kernel },
		{ "cipher suites", test_ciphers },
		{ "folded PEM", test_folded_pem },
		{ "chains", test_chain },
		{ "refusals", test_refusals },
		{ "rules for the whole process", test_imposed },
	};

	return (unit_main("tls", tests, nelems(tests)));
}
