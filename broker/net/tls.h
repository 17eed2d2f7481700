/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS: what a listener or a client speaks above the socket seam.
 *
 *	struct tls --------- the context that counts now ---> SSL_CTX:
 *	 (a listener, or       ^                               keys, whom
 *	  peers of one kind)   | tls_use()                     to trust
 *	                      a new one, out of options and files
 *
 * A context is immutable and counted by reference: connections keep the one
 * that they began with.  Files are read when a context is made, never later.
 * Session tickets are sealed with keys of the context alone, so that no session
 * outlives what it was allowed by.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct security_options;
struct sockets;
struct tls;
struct tls_context;

enum tls_side { TLS_SERVER, TLS_CLIENT };

#define TLS_TEXT_SIZE 512

/* What was met while a context was made; "": nothing. */
struct tls_report {
	char error[TLS_TEXT_SIZE];   /* the option, what is wrong, what to do */
	char warning[TLS_TEXT_SIZE]; /* for the log */
};

/* `name` is the listener's, or what the peers are; it is copied. Nothing is
 * spoken before tls_use(). */
struct tls *tls_new(enum tls_side side, const char *name);
/* Its connections keep their context. */
void tls_free(struct tls **tls);
/* Lets the kernel encrypt, where it can. Before the first connection. */
void tls_offer_kernel(struct tls *tls, struct sockets *sockets);

/* Reads stores and options; may wait for a disk.  `own_peer`: brokers use the
 * listener among each other, so its certificate must be good in its own eyes.
 * When one is in use already, the new certificate must name what the old one
 * names (ssl.allow.dn.changes, ssl.allow.san.changes).  NULL: report->error.
 * Any thread. */
struct tls_context *tls_prepare(struct tls *tls,
    const struct security_options *security, bool own_peer,
    struct tls_report *report);
/* From the next connection on; takes *context. Any thread. */
void tls_use(struct tls *tls, struct tls_context **context);
void tls_context_unref(struct tls_context **context);
/* Both in one. */
bool tls_load(struct tls *tls, const struct security_options *security,
    bool own_peer, struct tls_report *report);

/* The same in PEM, for a client that is none of ours. Empty: there is none. */
struct tls_pem {
	struct buffer trusted;
	struct buffer certificates;
	struct buffer key; /* not encrypted */
};
bool tls_export(const struct security_options *security, struct tls_pem *out,
    struct tls_report *report);
void tls_pem_fini(struct tls_pem *pem);
/* And the versions and suites, for one that lets OpenSSL decide: from then on
 * they are what every context of this process begins with.  Before any other
 * thread uses OpenSSL. False: report->error. */
bool tls_impose(const struct security_options *security,
    struct tls_report *report);

#endif
