/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside TLS:
 *
 *	tls_store.c    key and trust stores out of files and options
 *	tls_context.c  an SSL_CTX out of stores and options
 *	tls_ticket.c   the keys that seal session tickets
 *	tls.c          which context counts
 *	tls_socket.c   a struct socket that encrypts above another one
 */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "base/lock.h"
#include "config/options.h"
#include "net/socket.h"
#include "net/tls.h"

/* A record's plain bytes; and how many leave in one call: with half of it the
 * broker spent a fifth more on a fetch. */
#define TLS_RECORD_BYTES ((size_t)16 << 10)
#define TLS_TURN_BYTES ((size_t)256 << 10)

/* --- tls_store.c ---------------------------------------------------------- */

/* Of the key store: all NULL where there is none. */
struct tls_key {
	EVP_PKEY *key;
	X509 *certificate;
	STACK_OF(X509) *chain; /* its issuers, in their order */
};

bool tls_key_read(const struct security_options *security,
    struct tls_key *out, struct tls_report *report);
void tls_key_fini(struct tls_key *key);
/* NULL in *out: there is no trust store. */
bool tls_trust_read(const struct security_options *security,
    STACK_OF(X509) **out, struct tls_report *report);
/* Formats the error. False, for callers to return. */
bool tls_refuse(struct tls_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* OpenSSL's own words for what went wrong last. */
const char *tls_reason(void);

/* --- tls_ticket.c --------------------------------------------------------- */

#define TICKET_NAME_BYTES 16
#define TICKET_KEY_BYTES 32
/* A key seals for so long, and opens for as long again. */
#define TICKET_KEY_SECONDS 3600

struct ticket_key {
	int64_t made_ns;
	uint8_t name[TICKET_NAME_BYTES];
	uint8_t cipher[TICKET_KEY_BYTES];
	uint8_t mac[TICKET_KEY_BYTES];
};

struct ticket_keys {
	struct lock lock;
	struct ticket_key now, before; /* made_ns 0: none yet */
};

/* From then on the context seals with its keys. */
void tls_tickets_init(struct tls_context *context);
void tls_tickets_fini(struct tls_context *context);

/* --- tls_context.c -------------------------------------------------------- */

struct tls_context {
	atomic_uint references;
	enum tls_side side;
	SSL_CTX *ctx;
	BIO_METHOD *over_socket; /* tls_socket.c's */
	X509 *certificate;       /* our own; NULL: a client without one */
	bool identify;           /* ssl.endpoint.identification.algorithm */
	bool kernel;             /* the kernel may be given the keys */
	struct ticket_keys tickets;
};

struct tls_context *tls_context_new(enum tls_side side, const char *name,
    const struct security_options *security, struct tls_report *report);
struct tls_context *tls_context_ref(struct tls_context *context);
/* Whether the new one's certificate may follow the old one's. */
bool tls_context_may_follow(const struct tls_context *old,
    const struct tls_context *new, const struct security_options *security,
    struct tls_report *report);
/* Whether its certificate passes its own trust store. */
bool tls_context_trusts_itself(const struct tls_context *context,
    struct tls_report *report);
/* Appends OpenSSL's names of ssl.cipher.suites, those for TLS 1.2 and for
 * TLS 1.3. */
bool tls_ciphers_read(const char *suites, struct buffer *old,
    struct buffer *new, struct tls_report *report);

/* --- tls.c ---------------------------------------------------------------- */

/* The one that counts, with a reference; NULL: none yet. */
struct tls_context *tls_current(struct tls *tls);

/* --- tls_socket.c --------------------------------------------------------- */

/* Memory that all sockets of one loop encrypt in. */
struct tls_scratch;
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch **scratch);

BIO_METHOD *tls_bio_method_new(void);

/* Takes the socket, which is on its loop; owner and on_ready of the answer are
 * to be set. `host` is whom a client means to reach, NULL for servers. The
 * scratch outlives it; NULL: it has its own. NULL: there is no context or no
 * memory; the socket is closed. */
struct socket *tls_socket_new(struct tls *tls, struct socket *inner,
    const char *host, struct tls_scratch *scratch);
/* Another loop's, from which it has been adopted. */
void tls_lend(struct socket *socket, struct tls_scratch *scratch);

enum tls_progress { TLS_AGAIN, TLS_DONE, TLS_FAILED };
/* Goes on with the handshake: first by the owner, then whenever on_ready is
 * called, until it is over. Only then may be read and written. */
enum tls_progress tls_shake(struct socket *socket);
/* Why it failed; a text of the socket's. */
const char *tls_why(const struct socket *socket);
bool tls_resumed(const struct socket *socket);
/* Bytes that write() took have not left yet; on_ready tells of the last one's
 * leaving by WATCH_WRITE. */
bool tls_unsent(const struct socket *socket);
/* The loop whose time counts for a connection of OpenSSL's. */
struct loop *tls_loop_of(const SSL *ssl);

#endif
