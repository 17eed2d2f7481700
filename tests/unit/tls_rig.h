/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates for tests, as texts in PEM: an authority, and who it
 * vouches for.
 */
#ifndef TESTS_UNIT_TLS_RIG_H
#define TESTS_UNIT_TLS_RIG_H

#include <openssl/ssl.h>

#include "base/buffer.h"
#include "config/options.h"

struct tls_identity {
	EVP_PKEY *key;
	X509 *certificate;
	struct buffer key_text, certificate_text;
};

/* `issuer` NULL: it vouches for itself, and may for others. `names` as in
 * openssl's x509v3_config(5), or NULL. */
void tls_identity_init(struct tls_identity *identity, const char *name,
    const char *names, const struct tls_identity *issuer);
void tls_identity_fini(struct tls_identity *identity);
/* What options.def has for a listener or client without any of its own. */
void tls_rig_defaults(struct security_options *security);
/* PEM, in place; either may be NULL. */
void tls_rig_options(struct security_options *security,
    struct tls_identity *own, struct tls_identity *trusted);

#endif
