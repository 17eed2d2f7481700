/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that encrypts, above another one.  Whoever uses it calls the same
 * ops as of any socket:
 *
 *	owner                 tls_write          tls_read
 *	                         |                  ^
 *	                      SSL_write          SSL_read    records: 16 KiB
 *	                         |                  ^
 *	over_socket (BIO)     scratch            scratch, kept
 *	                         |                  ^
 *	inner socket          one write          one read    of many records
 *	                         |
 *	                      pending: what the socket did not take
 *
 * OpenSSL meets the seam by a BIO of ours, not by the descriptor.  The records
 * of one call are gathered in memory that all sockets of the loop share: they
 * leave in one system call, and come in one, while OpenSSL alone makes two for
 * each record, and there are clients that make a record of every kilobyte.
 * SSL_write(3) never stops half-way, so that nobody has to bring the same bytes
 * again.  What the kernel does not take is pending, at most TLS_TURN_BYTES of
 * plain bytes; nothing more is encrypted before it has left.  What came and the
 * owner has not asked for yet is kept.
 *
 * Where the kernel has TLS of its own, the handshake is written to the
 * descriptor, because OpenSSL hands the key for sending over to it; plain bytes
 * are then written, and files sent, to the inner socket, and the kernel
 * encrypts.  What comes is read by the BIO all the same, with its bounds.
 *
 * OpenSSL may hold bytes that the descriptor no longer tells of; a timer that
 * is due at once stands for the event that does not come.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/tls_int.h"

#define WHY_SIZE 200
/* Of one call; and two of OpenSSL's reads are a record. */
#define INNER_READS_MAX 16
#define RECORD_READS_MAX 512
#define PENDING_MAX (TLS_TURN_BYTES + TLS_TURN_BYTES / 4)

/* Of one call of one socket. */
struct tls_scratch {
	struct buffer cipher; /* written by OpenSSL */
	size_t come_at;       /* of `come`, taken by OpenSSL up to there */
	size_t come_length;
	uint8_t come[TLS_TURN_BYTES];
	uint8_t plain[TLS_TURN_BYTES];
};

struct tls_socket {
	struct socket socket;     /* first: what the owner has */
	struct socket *inner;     /* NULL: closed */
	struct tls_context *context;
	SSL *ssl;
	struct tls_scratch *scratch;
	struct tls_scratch *own_scratch; /* NULL: it is lent */
	struct buffer pending;
	size_t pending_at;
	struct buffer kept;
	size_t kept_at;
	size_t asked; /* plain bytes that the owner reads for */
	int inner_reads; /* since OpenSSL was entered */
	int record_reads;
	struct timer again;
	unsigned wanted;       /* by the owner */
	unsigned inner_wanted;
	bool shaking;
	bool shake_writes; /* the handshake waits to write */
	bool entered;      /* OpenSSL writes into the scratch */
	bool busy;         /* on_ready is under way */
	bool dead;         /* closed while busy */
	bool readable;     /* OpenSSL may hold more */
	bool held_back;    /* what has come waits for the next call */
	bool broken;       /* no notice of the end is due any more */
	bool eof;          /* the inner socket's */
	bool kernel_sends;
	int error;         /* the inner socket's errno, or EPROTO */
	char why[WHY_SIZE];
};

static const struct sockets tls_sockets;

static struct tls_socket *
tls_of(const struct socket *socket)
{
	CHECK(socket->sockets == &tls_sockets);
	return (container_of((struct socket *)(uintptr_t)socket,
	    struct tls_socket, socket));
}

struct tls_scratch *
tls_scratch_new(void)
{
	struct tls_scratch *scratch = mem_alloc(sizeof(*scratch));

	scratch->cipher = BUFFER_EMPTY;
	scratch->come_at = scratch->come_length = 0;
	return (scratch);
}

void
tls_scratch_free(struct tls_scratch **place)
{
	struct tls_scratch *scratch = *place;

	*place = NULL;
	if (scratch == NULL)
		return;
	buffer_fini(&scratch->cipher);
	mem_free(scratch);
}

/* --- the BIO -------------------------------------------------------------- */

static int
bio_write(BIO *bio, const char *bytes, int length)
{
	struct tls_socket *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	CHECK(t->entered && length >= 0);
	buffer_append(&t->scratch->cipher, bytes, (size_t)length);
	return (length);
}

/* More than asked for would only be kept; less than a record is no use. */
static ssize_t
inner_read(struct tls_socket *t)
{
	struct tls_scratch *scratch = t->scratch;
	size_t size = t->asked + t->asked / 8 + TLS_RECORD_BYTES;
	ssize_t n;

	if (size > sizeof(scratch->come))
		size = sizeof(scratch->come);
	n = t->inner->sockets->ops->read(t->inner, scratch->come, size);
	if (n > 0) {
		scratch->come_at = 0;
		scratch->come_length = (size_t)n;
	}
	return (n);
}

static int
take(uint8_t *to, size_t size, const uint8_t *from, size_t *at, size_t length)
{
	const size_t rest = length - *at;
	const size_t n = rest < size ? rest : size;

	memcpy(to, from + *at, n);
	*at += n;
	return ((int)n);
}

static int
bio_read(BIO *bio, char *to, int size)
{
	struct tls_socket *t = BIO_get_data(bio);
	struct tls_scratch *scratch = t->scratch;
	ssize_t n = 1;

	BIO_clear_retry_flags(bio);
	CHECK(t->entered);
	if (size <= 0)
		return (0);
	/* Small records, and those that bring nothing, cost time as well. */
	if (!t->shaking && t->record_reads++ >= RECORD_READS_MAX) {
		t->held_back = true;
		BIO_set_retry_read(bio);
		return (-1);
	}
	if (t->kept_at < t->kept.length)
		return (take((uint8_t *)to, (size_t)size, t->kept.data,
		    &t->kept_at, t->kept.length));
	if (scratch->come_at == scratch->come_length) {
		/* Records of no bytes must not hold the loop; the socket stays
		 * readable, and is told again. */
		if (t->inner_reads++ == INNER_READS_MAX) {
			BIO_set_retry_read(bio);
			return (-1);
		}
		n = inner_read(t);
	}
	if (n > 0)
		return (take((uint8_t *)to, (size_t)size, scratch->come,
		    &scratch->come_at, scratch->come_length));
	if (n == 0)
		t->eof = true;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_read(bio);
	else
		t->error = errno;
	return ((int)n);
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_socket *t = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
	case BIO_CTRL_DUP:
		return (1);
	case BIO_CTRL_EOF:
		return (t->eof);
	default:
		return (0);
	}
}

BIO_METHOD *
tls_bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");

	if (method == NULL)
		return (NULL);
	if (BIO_meth_set_write(method, bio_write) == 1 &&
	    BIO_meth_set_read(method, bio_read) == 1 &&
	    BIO_meth_set_ctrl(method, bio_control) == 1)
		return (method);
	BIO_meth_free(method);
	return (NULL);
}

static BIO *
bio_new(struct tls_socket *t)
{
	BIO *bio = BIO_new(t->context->over_socket);

	if (bio == NULL)
		return (NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return (bio);
}

/* --- what the inner socket is watched for --------------------------------- */

static bool
has_pending(const struct tls_socket *t)
{
	return (t->pending_at < t->pending.length);
}

static void
tls_watch(struct tls_socket *t)
{
	unsigned wanted = t->wanted;

	if (t->busy || t->inner == NULL)
		return;
	if (t->shaking)
		wanted = WATCH_READ | (t->shake_writes ? WATCH_WRITE : 0);
	if (has_pending(t))
		wanted |= WATCH_WRITE;
	if (wanted != t->inner_wanted) {
		t->inner_wanted = wanted;
		if (!t->inner->sockets->ops->want(t->inner, wanted)) {
			/* The owner hears of it by its next read. */
			t->error = errno;
			t->readable = true;
		}
	}
	if (t->readable && !t->shaking && (t->wanted & WATCH_READ) != 0)
		timer_arm_in(&t->again, 0);
	else
		timer_disarm(&t->again);
}

/* --- from OpenSSL to the inner socket ------------------------------------- */

static void
pending_drop(struct tls_socket *t)
{
	buffer_fini(&t->pending);
	t->pending = BUFFER_EMPTY;
	t->pending_at = 0;
}

/* Bytes that the inner socket took; 0 also when it failed. */
static size_t
inner_write(struct tls_socket *t, const uint8_t *bytes, size_t length,
    bool more)
{
	const struct iovec part = { .iov_base = (void *)(uintptr_t)bytes,
		.iov_len = length };
	ssize_t n = t->inner->sockets->ops->write(t->inner, &part, 1, more);

	if (n >= 0)
		return ((size_t)n);
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		t->error = errno;
	return (0);
}

static void
pending_send(struct tls_socket *t)
{
	if (!has_pending(t))
		return;
	t->pending_at += inner_write(t, t->pending.data + t->pending_at,
	    t->pending.length - t->pending_at, false);
	if (!has_pending(t) || t->error != 0)
		pending_drop(t);
}

static void
tls_enter(struct tls_socket *t)
{
	CHECK(!t->entered);
	ERR_clear_error();
	t->entered = true;
	t->scratch->cipher.length = 0;
	t->scratch->come_at = t->scratch->come_length = 0;
	t->inner_reads = t->record_reads = 0;
	t->held_back = false;
}

/* What OpenSSL did not take stays with the socket. */
static void
keep_rest(struct tls_socket *t)
{
	const struct tls_scratch *scratch = t->scratch;

	if (t->kept_at == t->kept.length && t->kept.data != NULL) {
		buffer_fini(&t->kept);
		t->kept = BUFFER_EMPTY;
		t->kept_at = 0;
	}
	if (scratch->come_at < scratch->come_length)
		buffer_append(&t->kept, scratch->come + scratch->come_at,
		    scratch->come_length - scratch->come_at);
}

/* OpenSSL before 3.0.14 would give back what half a record lies in, and go on
 * to use it. */
static bool
between_records(const SSL *ssl)
{
	return (SSL_has_pending(ssl) == 0 &&
	    strcmp(SSL_rstate_string(ssl), "RH") == 0);
}

/* What OpenSSL wrote goes out. */
static void
tls_leave(struct tls_socket *t, bool more)
{
	struct buffer *cipher = &t->scratch->cipher;
	size_t sent = 0;

	CHECK(t->entered);
	t->entered = false;
	keep_rest(t);
	/* Those of an idle connection are missed by nobody. */
	if (between_records(t->ssl))
		(void)SSL_free_buffers(t->ssl);
	if (cipher->length != 0 && t->error == 0) {
		if (!has_pending(t))
			sent = inner_write(t, cipher->data, cipher->length,
			    more);
		if (sent < cipher->length && t->error == 0)
			buffer_append(&t->pending, cipher->data + sent,
			    cipher->length - sent);
	}
	if (t->pending.length - t->pending_at > PENDING_MAX) {
		/* Alerts and the like for one who sends and never reads. */
		pending_drop(t);
		t->error = EPROTO;
		t->broken = t->readable = true;
	}
	if (t->own_scratch != NULL) {
		buffer_fini(cipher);
		*cipher = BUFFER_EMPTY;
	}
	tls_watch(t);
}

/* --- readiness ------------------------------------------------------------ */

static void
tls_tell(struct tls_socket *t, unsigned ready)
{
	t->busy = true;
	t->socket.on_ready(&t->socket, ready);
	t->busy = false;
	if (t->dead)
		mem_free(t);
	else
		tls_watch(t);
}

static void
tls_ready(struct socket *inner, unsigned ready)
{
	struct tls_socket *t = inner->owner;
	const bool unsent = has_pending(t);
	unsigned told = ready & t->wanted;

	if (t->shaking)
		told = ready;
	if ((ready & WATCH_WRITE) != 0 && unsent) {
		pending_send(t);
		/* Its end may be all that the owner waits for. */
		if (has_pending(t))
			told &= ~(unsigned)WATCH_WRITE;
		else
			told |= WATCH_WRITE;
	}
	if (told != 0)
		tls_tell(t, told);
	else
		tls_watch(t);
}

static void
tls_again(struct timer *timer)
{
	struct tls_socket *t = container_of(timer, struct tls_socket, again);

	tls_tell(t, WATCH_READ);
}

/* --- the handshake -------------------------------------------------------- */

static bool
is_address(const char *host)
{
	uint8_t bytes[16];

	return (inet_pton(AF_INET, host, bytes) == 1 ||
	    inet_pton(AF_INET6, host, bytes) == 1);
}

/* Whom a client means, and what it must be shown. RFC 6066: no addresses. */
static bool
ssl_expect(const struct tls_context *context, SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);

	SSL_set_connect_state(ssl);
	if (!is_address(host) &&
	    SSL_set_tlsext_host_name(ssl, host) != 1)
		return (false);
	if (!context->identify)
		return (true);
	if (is_address(host))
		return (X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1);
	X509_VERIFY_PARAM_set_hostflags(parameters,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return (X509_VERIFY_PARAM_set1_host(parameters, host, 0) == 1);
}

static bool
ssl_make(struct tls_socket *t, const char *host)
{
	struct socket *inner = t->inner;
	const int descriptor = t->context->kernel ?
	    inner->sockets->ops->kernel_descriptor(inner) : -1;
	BIO *in, *out;

	t->ssl = SSL_new(t->context->ctx);
	in = t->ssl == NULL ? NULL : bio_new(t);
	if (in == NULL)
		return (false);
	SSL_set0_rbio(t->ssl, in);
	out = descriptor >= 0 ? BIO_new_socket(descriptor, BIO_NOCLOSE) :
	    bio_new(t);
	if (out == NULL)
		return (false);
	SSL_set0_wbio(t->ssl, out);
	SSL_set_app_data(t->ssl, t);
	if (descriptor >= 0)
		(void)SSL_set_options(t->ssl, SSL_OP_ENABLE_KTLS);
	if (t->context->side == TLS_CLIENT)
		return (ssl_expect(t->context, t->ssl, host));
	SSL_set_accept_state(t->ssl);
	return (true);
}

struct socket *
tls_socket_new(struct tls *tls, struct socket *inner, const char *host,
    struct tls_scratch *scratch)
{
	struct tls_socket *t = mem_zalloc(sizeof(*t));

	t->socket.sockets = (struct sockets *)(uintptr_t)&tls_sockets;
	t->socket.loop = inner->loop;
	t->inner = inner;
	t->shaking = true;
	t->context = tls_current(tls);
	t->scratch = scratch;
	if (scratch == NULL)
		t->scratch = t->own_scratch = tls_scratch_new();
	timer_init(&t->again, inner->loop, tls_again);
	inner->owner = t;
	inner->on_ready = tls_ready;
	if (t->context != NULL && ssl_make(t, host)) {
		tls_watch(t);
		return (&t->socket);
	}
	t->broken = true;
	tls_sockets.ops->close(&t->socket, false);
	return (NULL);
}

/* After the handshake: who encrypts from now on. */
static bool
kernel_asked(struct tls_socket *t)
{
	BIO *bio;

	if (!t->context->kernel)
		return (true);
	t->kernel_sends = BIO_get_ktls_send(SSL_get_wbio(t->ssl));
	if (t->kernel_sends)
		return (true);
	bio = bio_new(t);
	if (bio == NULL)
		return (false);
	SSL_set0_wbio(t->ssl, bio);
	return (true);
}

static void
shake_explain(struct tls_socket *t, int result)
{
	const unsigned long code = ERR_peek_error();
	const long verified = SSL_get_verify_result(t->ssl);
	const int reason = ERR_GET_REASON(code);
	const bool plain = ERR_GET_LIB(code) == ERR_LIB_SSL &&
	    (reason == SSL_R_WRONG_VERSION_NUMBER ||
	    reason == SSL_R_HTTP_REQUEST ||
	    reason == SSL_R_HTTPS_PROXY_REQUEST ||
	    reason == SSL_R_PACKET_LENGTH_TOO_LONG);

	if (t->error != 0)
		snprintf(t->why, sizeof(t->why), "%s", strerror(t->error));
	else if (result == SSL_ERROR_ZERO_RETURN || t->eof)
		snprintf(t->why, sizeof(t->why), "the peer closed the "
		    "connection in the TLS handshake");
	else if (code == 0)
		snprintf(t->why, sizeof(t->why), "no reason is known");
	else if (verified != X509_V_OK)
		snprintf(t->why, sizeof(t->why), "%s: %s",
		    ERR_reason_error_string(code),
		    X509_verify_cert_error_string(verified));
	else
		snprintf(t->why, sizeof(t->why), "%s%s",
		    plain ? "the peer speaks no TLS: " : "",
		    ERR_reason_error_string(code));
}

enum tls_progress
tls_shake(struct socket *socket)
{
	struct tls_socket *t = tls_of(socket);
	enum tls_progress progress = TLS_DONE;
	int n, result;

	CHECK(t->shaking);
	pending_send(t);
	tls_enter(t);
	errno = 0;
	n = SSL_do_handshake(t->ssl);
	result = SSL_get_error(t->ssl, n);
	t->shake_writes = result == SSL_ERROR_WANT_WRITE;
	if (n == 1 && kernel_asked(t)) {
		t->shaking = false;
		/* What came behind the handshake is in memory already. */
		t->readable = true;
	} else if (t->error == 0 && (result == SSL_ERROR_WANT_READ ||
	    result == SSL_ERROR_WANT_WRITE)) {
		progress = TLS_AGAIN;
	} else {
		if (t->error == 0 && result == SSL_ERROR_SYSCALL)
			t->error = errno;
		shake_explain(t, result);
		t->broken = true;
		progress = TLS_FAILED;
	}
	tls_leave(t, false);
	ERR_clear_error();
	return (progress);
}

const char *
tls_why(const struct socket *socket)
{
	return (tls_of(socket)->why);
}

bool
tls_resumed(const struct socket *socket)
{
	return (SSL_session_reused(tls_of(socket)->ssl) == 1);
}

bool
tls_unsent(const struct socket *socket)
{
	return (has_pending(tls_of(socket)));
}

struct loop *
tls_loop_of(const SSL *ssl)
{
	return (((struct tls_socket *)SSL_get_app_data(ssl))->socket.loop);
}

/* --- reading -------------------------------------------------------------- */

/* Of an SSL_read or SSL_write that did nothing: 0 at the end, -1 and errno. */
static ssize_t
tls_failed(struct tls_socket *t, int result)
{
	switch (result) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		break;
	case SSL_ERROR_ZERO_RETURN:
		return (0);
	case SSL_ERROR_SYSCALL:
		t->broken = true;
		if (t->error == 0)
			t->error = errno != 0 ? errno : ECONNRESET;
		errno = t->error;
		break;
	default:
		t->broken = true;
		t->error = EPROTO;
		errno = EPROTO;
		break;
	}
	return (-1);
}

static ssize_t
tls_read(struct socket *socket, void *to, size_t size)
{
	struct tls_socket *t = tls_of(socket);
	size_t have = 0;
	int n = 1, result = SSL_ERROR_NONE;
	ssize_t answer;

	if (t->error != 0) {
		errno = t->error;
		return (-1);
	}
	t->asked = size;
	tls_enter(t);
	while (n > 0 && have < size) {
		errno = 0;
		n = SSL_read(t->ssl, (uint8_t *)to + have,
		    (int)(size - have < INT32_MAX ? size - have : INT32_MAX));
		if (n > 0)
			have += (size_t)n;
		else
			result = SSL_get_error(t->ssl, n);
		t->asked = size - have;
	}
	answer = (ssize_t)have;
	/* An error after bytes is found again by the next call. */
	t->readable = n > 0 || t->held_back ||
	    (have != 0 && result != SSL_ERROR_WANT_READ);
	if (have == 0)
		answer = tls_failed(t, result);
	else if (n <= 0 && result != SSL_ERROR_WANT_READ &&
	    result != SSL_ERROR_ZERO_RETURN)
		(void)tls_failed(t, result);
	n = errno;
	tls_leave(t, false);
	ERR_clear_error();
	errno = n;
	return (answer);
}

/* --- writing -------------------------------------------------------------- */

/* Room for what is written next: nothing is pending. -1 and errno. */
static int
tls_may_write(struct tls_socket *t)
{
	if (t->error == 0)
		pending_send(t);
	if (t->error != 0)
		errno = t->error;
	else if (has_pending(t))
		errno = EAGAIN;
	else
		return (0);
	tls_watch(t);
	return (-1);
}

/* Between tls_enter() and tls_leave(). False: the connection is broken. */
static bool
encrypt(struct tls_socket *t, const void *bytes, size_t length)
{
	const int n = SSL_write(t->ssl, bytes, (int)length);

	if (n > 0 && (size_t)n == length)
		return (true);
	(void)tls_failed(t, SSL_get_error(t->ssl, n));
	if (t->error == 0)
		t->error = EPROTO;
	return (false);
}

/* Parts as one run of bytes. */
struct run {
	const struct iovec *part, *end;
	size_t at; /* in *part */
};

static void
run_skip(struct run *run, size_t length)
{
	run->at += length;
	if (run->at == run->part->iov_len) {
		run->part++;
		run->at = 0;
	}
}

/* The next bytes to encrypt, at most so many: where they lie if a record's
 * worth of them lies together, else copied to `plain`. */
static const uint8_t *
run_next(struct run *run, size_t most, uint8_t *plain, size_t *length)
{
	const uint8_t *bytes;
	size_t rest;

	*length = 0;
	while (run->part < run->end && *length < TLS_RECORD_BYTES) {
		bytes = (const uint8_t *)run->part->iov_base + run->at;
		rest = run->part->iov_len - run->at;
		if (*length == 0 && rest >= TLS_RECORD_BYTES) {
			rest -= rest % TLS_RECORD_BYTES;
			*length = rest < most ? rest : most;
			run_skip(run, *length);
			return (bytes);
		}
		if (rest > TLS_RECORD_BYTES - *length)
			rest = TLS_RECORD_BYTES - *length;
		memcpy(plain + *length, bytes, rest);
		*length += rest;
		run_skip(run, rest);
	}
	return (plain);
}

static ssize_t
tls_write(struct socket *socket, const struct iovec *parts, int count,
    bool more)
{
	struct tls_socket *t = tls_of(socket);
	struct run run = { parts, parts + count, 0 };
	ssize_t total = 0;

	if (t->kernel_sends)
		return (t->inner->sockets->ops->write(t->inner, parts, count,
		    more));
	if (tls_may_write(t) != 0)
		return (-1);
	while (run.part < run.end && t->error == 0 && !has_pending(t)) {
		size_t taken = 0, length;

		tls_enter(t);
		while (run.part < run.end && taken < TLS_TURN_BYTES) {
			const uint8_t *bytes = run_next(&run,
			    TLS_TURN_BYTES - taken, t->scratch->plain,
			    &length);

			if (length != 0 && !encrypt(t, bytes, length))
				break;
			taken += length;
		}
		tls_leave(t, more || run.part < run.end);
		total += (ssize_t)taken;
	}
	ERR_clear_error();
	if (t->error == 0)
		return (total);
	errno = t->error;
	return (-1);
}

static ssize_t
tls_send_extent(struct socket *socket, const struct extent *extent)
{
	struct tls_socket *t = tls_of(socket);
	const size_t size = extent->length < TLS_TURN_BYTES ?
	    extent->length : TLS_TURN_BYTES;
	ssize_t n;

	if (t->kernel_sends)
		return (t->inner->sockets->ops->send_extent(t->inner, extent));
	if (tls_may_write(t) != 0)
		return (-1);
	n = extent->blob->ops->read_at(extent->blob, t->scratch->plain, size,
	    extent->position);
	if (n <= 0) {
		if (n == 0)
			errno = ENODATA;
		return (-1);
	}
	tls_enter(t);
	(void)encrypt(t, t->scratch->plain, (size_t)n);
	tls_leave(t, (size_t)n < extent->length);
	ERR_clear_error();
	if (t->error == 0)
		return (n);
	errno = t->error;
	return (-1);
}

/* --- the rest of a socket ------------------------------------------------- */

static bool
tls_want(struct socket *socket, unsigned events)
{
	struct tls_socket *t = tls_of(socket);

	t->wanted = events;
	tls_watch(t);
	return (true);
}

/* The notice of the end goes out if there is room for it. */
static void
tls_close(struct socket *socket, bool reset)
{
	struct tls_socket *t = tls_of(socket);

	if (!reset && !t->broken && !t->shaking && t->error == 0 &&
	    !has_pending(t)) {
		tls_enter(t);
		(void)SSL_shutdown(t->ssl);
		tls_leave(t, false);
	}
	timer_disarm(&t->again);
	SSL_free(t->ssl);
	tls_context_unref(&t->context);
	t->inner->sockets->ops->close(t->inner, reset);
	t->inner = NULL;
	pending_drop(t);
	buffer_fini(&t->kept);
	tls_scratch_free(&t->own_scratch);
	ERR_clear_error();
	t->dead = true;
	if (!t->busy)
		mem_free(t);
}

/* --- another loop --------------------------------------------------------- */

static bool
tls_disown(struct socket *socket)
{
	struct tls_socket *t = tls_of(socket);

	CHECK(!t->busy);
	if (t->shaking || t->readable || t->error != 0 || has_pending(t) ||
	    !t->inner->sockets->ops->disown(t->inner))
		return (false);
	timer_disarm(&t->again);
	t->wanted = t->inner_wanted = 0;
	socket->loop = NULL;
	return (true);
}

static void
tls_adopt(struct socket *socket, struct loop *loop)
{
	struct tls_socket *t = tls_of(socket);

	CHECK(socket->loop == NULL);
	socket->loop = loop;
	timer_init(&t->again, loop, tls_again);
	t->inner->sockets->ops->adopt(t->inner, loop);
}

void
tls_lend(struct socket *socket, struct tls_scratch *scratch)
{
	struct tls_socket *t = tls_of(socket);

	CHECK(t->own_scratch == NULL && !t->entered);
	t->scratch = scratch;
}

static const struct sockets_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.send_extent = tls_send_extent,
	.adopt = tls_adopt,
	.disown = tls_disown,
	.want = tls_want,
	.close = tls_close,
};

static const struct sockets tls_sockets = { .ops = &tls_ops };
