/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: options and stores, put into an SSL_CTX.  What an option asks for
 * and this library cannot do stops the making, by the option's name.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/tls_int.h"

/* More names than that are not sent to clients that look for a certificate. */
#define TRUSTED_NAMES_MAX 100

/* --- versions ------------------------------------------------------------- */

static int
version_of(struct slice name)
{
	if (slice_equal(name, SLICE_LITERAL("TLSv1.2")))
		return (TLS1_2_VERSION);
	if (slice_equal(name, SLICE_LITERAL("TLSv1.3")))
		return (TLS1_3_VERSION);
	return (0);
}

static bool
versions_set(SSL_CTX *ctx, const struct security_options *security,
    struct tls_report *report)
{
	struct slice rest = slice_of_text(security->ssl_enabled_protocols);
	const char *protocol = security->ssl_protocol;
	int lowest = 0, highest = 0;
	struct slice item;

	if (strcmp(protocol, "TLS") != 0 &&
	    version_of(slice_of_text(protocol)) == 0)
		return (tls_refuse(report, "ssl.protocol=%.40s: TLS, TLSv1.2 "
		    "and TLSv1.3 are spoken", protocol));
	while (text_next(&rest, &item)) {
		const int version = version_of(item);

		if (version == 0)
			return (tls_refuse(report, "ssl.enabled.protocols: "
			    "%.*s is not spoken, only TLSv1.2 and TLSv1.3",
			    (int)(item.length < 40 ? item.length : 40),
			    (const char *)item.data));
		if (lowest == 0 || version < lowest)
			lowest = version;
		if (version > highest)
			highest = version;
	}
	if (lowest == 0)
		return (tls_refuse(report, "ssl.enabled.protocols: name "
		    "TLSv1.2, TLSv1.3 or both"));
	return (SSL_CTX_set_min_proto_version(ctx, lowest) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, highest) == 1);
}

/* --- ciphers -------------------------------------------------------------- */

/* Java calls some suites SSL_..., which the standards call TLS_.... */
static bool
suite_is(const SSL_CIPHER *cipher, struct slice name)
{
	const char *standard = SSL_CIPHER_standard_name(cipher);

	if (standard == NULL || strlen(standard) != name.length)
		return (false);
	if (strncmp((const char *)name.data, "SSL_", 4) == 0)
		return (memcmp(standard + 4, name.data + 4,
			name.length - 4) == 0);
	return (memcmp(standard, name.data, name.length) == 0);
}

static const SSL_CIPHER *
suite_find(const STACK_OF(SSL_CIPHER) *all, struct slice name)
{
	for (int i = 0; name.length > 4 && i < sk_SSL_CIPHER_num(all); i++)
		if (suite_is(sk_SSL_CIPHER_value(all, i), name))
			return (sk_SSL_CIPHER_value(all, i));
	return (NULL);
}

static void
suite_append(struct buffer *out, const SSL_CIPHER *cipher)
{
	if (out->length != 0)
		buffer_append_text(out, ":");
	buffer_append_text(out, SSL_CIPHER_get_name(cipher));
}

bool
tls_ciphers_read(const char *suites, struct buffer *old, struct buffer *new,
    struct tls_report *report)
{
	/* It stands for no cipher, but for a remedy that is always on. */
	const struct slice signal =
	    SLICE_LITERAL("TLS_EMPTY_RENEGOTIATION_INFO_SCSV");
	SSL_CTX *any = SSL_CTX_new(TLS_method());
	struct slice rest = slice_of_text(suites), item;
	bool good = true;

	CHECK(any != NULL && SSL_CTX_set_cipher_list(any, "ALL") == 1);
	while (good && text_next(&rest, &item)) {
		const SSL_CIPHER *cipher = suite_find(SSL_CTX_get_ciphers(any),
		    item);

		if (cipher != NULL)
			suite_append(strcmp(SSL_CIPHER_get_version(cipher),
			    "TLSv1.3") == 0 ? new : old, cipher);
		else if (!slice_equal(item, signal))
			good = tls_refuse(report, "ssl.cipher.suites: "
			    "there is no suite %.*s",
			    (int)(item.length < 80 ? item.length : 80),
			    (const char *)item.data);
	}
	SSL_CTX_free(any);
	return (good);
}

/* A version without a suite of its own is not offered. */
static bool
ciphers_apply(SSL_CTX *ctx, struct buffer *old, struct buffer *new,
    struct tls_report *report)
{
	if (old->length == 0 && new->length == 0)
		return (true);
	if (old->length == 0)
		(void)SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	else if (SSL_CTX_set_cipher_list(ctx, buffer_text(old)) != 1)
		return (tls_refuse(report, "ssl.cipher.suites: %s",
		    tls_reason()));
	if (new->length == 0)
		(void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	else if (SSL_CTX_set_ciphersuites(ctx, buffer_text(new)) != 1)
		return (tls_refuse(report, "ssl.cipher.suites: %s",
		    tls_reason()));
	if (SSL_CTX_get_min_proto_version(ctx) >
	    SSL_CTX_get_max_proto_version(ctx))
		return (tls_refuse(report, "ssl.cipher.suites: none of them "
		    "is of a version that ssl.enabled.protocols allows"));
	return (true);
}

static bool
ciphers_set(SSL_CTX *ctx, const struct security_options *security,
    struct tls_report *report)
{
	struct buffer old = BUFFER_EMPTY, new = BUFFER_EMPTY;
	const bool good = tls_ciphers_read(security->ssl_cipher_suites, &old,
	    &new, report) && ciphers_apply(ctx, &old, &new, report);

	buffer_fini(&old);
	buffer_fini(&new);
	return (good);
}

/* --- rules for the whole process ------------------------------------------ */

static const char *
version_name(long version)
{
	return (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
}

/* As openssl.cnf would have them; see config(5) of OpenSSL. */
static void
rules_write(SSL_CTX *ctx, const struct buffer *old, const struct buffer *new,
    struct buffer *out)
{
	buffer_append_text(out, "openssl_conf = all\n[all]\nssl_conf = ssl\n"
	    "[ssl]\nsystem_default = rules\n[rules]\nMinProtocol = ");
	buffer_append_text(out,
	    version_name(SSL_CTX_get_min_proto_version(ctx)));
	buffer_append_text(out, "\nMaxProtocol = ");
	buffer_append_text(out,
	    version_name(SSL_CTX_get_max_proto_version(ctx)));
	if (old->length != 0) {
		buffer_append_text(out, "\nCipherString = ");
		buffer_append_slice(out, buffer_slice(old));
	}
	if (new->length != 0) {
		buffer_append_text(out, "\nCiphersuites = ");
		buffer_append_slice(out, buffer_slice(new));
	}
	buffer_append_text(out, "\n");
}

static bool
rules_load(const struct buffer *text, struct tls_report *report)
{
	BIO *bio = BIO_new_mem_buf(text->data, (int)text->length);
	CONF *conf = NCONF_new(NULL);
	long line;
	bool good;

	CHECK(bio != NULL && conf != NULL);
	OPENSSL_load_builtin_modules();
	good = NCONF_load_bio(conf, bio, &line) == 1 &&
	    CONF_modules_load(conf, NULL, 0) == 1;
	if (!good)
		(void)tls_refuse(report, "ssl.cipher.suites, "
		    "ssl.enabled.protocols: %s", tls_reason());
	NCONF_free(conf);
	BIO_free(bio);
	return (good);
}

bool
tls_impose(const struct security_options *security, struct tls_report *report)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct buffer old = BUFFER_EMPTY, new = BUFFER_EMPTY;
	struct buffer text = BUFFER_EMPTY;
	bool good;

	CHECK(ctx != NULL);
	memset(report, 0, sizeof(*report));
	good = versions_set(ctx, security, report) &&
	    tls_ciphers_read(security->ssl_cipher_suites, &old, &new,
		report) && ciphers_apply(ctx, &old, &new, report);
	if (good) {
		rules_write(ctx, &old, &new, &text);
		good = rules_load(&text, report);
	}
	ERR_clear_error();
	SSL_CTX_free(ctx);
	buffer_fini(&old);
	buffer_fini(&new);
	buffer_fini(&text);
	return (good);
}

/* --- certificates --------------------------------------------------------- */

static void
warn_of_dates(X509 *certificate, struct tls_report *report)
{
	const char *what = NULL;
	char name[200];

	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		what = "has expired";
	else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		what = "is not valid yet";
	if (what == NULL)
		return;
	X509_NAME_oneline(X509_get_subject_name(certificate), name,
	    sizeof(name));
	snprintf(report->warning, sizeof(report->warning),
	    "the certificate of %s %s: peers will refuse it", name, what);
}

static bool
key_set(struct tls_context *context, const struct security_options *security,
    struct tls_report *report)
{
	struct tls_key key;
	bool good = tls_key_read(security, &key, report);

	if (good && key.key != NULL) {
		if (SSL_CTX_use_cert_and_key(context->ctx, key.certificate,
			key.key, key.chain, 1) != 1)
			good = tls_refuse(report, "ssl.keystore.location: the "
			    "certificate cannot be used: %s", tls_reason());
		context->certificate = key.certificate;
		key.certificate = NULL;
		warn_of_dates(context->certificate, report);
	} else if (good && context->side == TLS_SERVER) {
		good = tls_refuse(report, "ssl.keystore.location: a listener "
		    "that speaks TLS needs a key and a certificate");
	}
	tls_key_fini(&key);
	return (good);
}

/* So that clients with several certificates know which one is asked for. */
static void
trusted_names_set(SSL_CTX *ctx, const STACK_OF(X509) *trusted)
{
	if (sk_X509_num(trusted) > TRUSTED_NAMES_MAX)
		return;
	for (int i = 0; i < sk_X509_num(trusted); i++)
		(void)SSL_CTX_add_client_CA(ctx, sk_X509_value(trusted, i));
}

static bool
trust_set(struct tls_context *context, const struct security_options *security,
    struct tls_report *report)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context->ctx);
	STACK_OF(X509) *trusted;

	if (!tls_trust_read(security, &trusted, report))
		return (false);
	if (trusted == NULL) {
		(void)SSL_CTX_set_default_verify_paths(context->ctx);
		return (true);
	}
	for (int i = 0; i < sk_X509_num(trusted); i++)
		CHECK(X509_STORE_add_cert(store,
			sk_X509_value(trusted, i)) == 1);
	/* As with Java, whatever is in it is trusted, no roots only. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	if (context->side == TLS_SERVER)
		trusted_names_set(context->ctx, trusted);
	sk_X509_pop_free(trusted, X509_free);
	return (true);
}

static bool
verify_set(struct tls_context *context,
    const struct security_options *security, struct tls_report *report)
{
	const char *auth = security->ssl_client_auth;
	const char *algorithm = security->ssl_endpoint_identification_algorithm;
	int mode = SSL_VERIFY_PEER;

	if (context->side == TLS_SERVER && strcmp(auth, "none") == 0)
		mode = SSL_VERIFY_NONE;
	else if (context->side == TLS_SERVER && strcmp(auth, "required") == 0)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(context->ctx, mode, NULL);
	context->identify = algorithm != NULL && *algorithm != '\0';
	if (context->identify && strcasecmp(algorithm, "https") != 0)
		return (tls_refuse(report, "ssl.endpoint.identification."
		    "algorithm=%.40s: it must be https, or empty", algorithm));
	return (true);
}

/* --- the context ---------------------------------------------------------- */

static void
habits_set(SSL_CTX *ctx, const char *name)
{
	char id[SSL_MAX_SSL_SESSION_ID_LENGTH];

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA |
	    /* Frames have their length: an end without notice hides none. */
	    SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* What is resumed comes in tickets. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(ctx, TICKET_KEY_SECONDS);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	snprintf(id, sizeof(id), "%s", name);
	CHECK(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)id,
		(unsigned)strlen(id)) == 1);
}

struct tls_context *
tls_context_new(enum tls_side side, const char *name,
    const struct security_options *security, struct tls_report *report)
{
	struct tls_context *context = mem_zalloc(sizeof(*context));

	atomic_init(&context->references, 1);
	context->side = side;
	context->ctx = SSL_CTX_new(side == TLS_SERVER ? TLS_server_method() :
	    TLS_client_method());
	context->over_socket = tls_bio_method_new();
	CHECK(context->ctx != NULL && context->over_socket != NULL);
	habits_set(context->ctx, name);
	tls_tickets_init(context);
	if (!versions_set(context->ctx, security, report) ||
	    !ciphers_set(context->ctx, security, report) ||
	    !key_set(context, security, report) ||
	    !trust_set(context, security, report) ||
	    !verify_set(context, security, report))
		tls_context_unref(&context);
	ERR_clear_error();
	return (context);
}

struct tls_context *
tls_context_ref(struct tls_context *context)
{
	atomic_fetch_add_explicit(&context->references, 1,
	    memory_order_relaxed);
	return (context);
}

void
tls_context_unref(struct tls_context **place)
{
	struct tls_context *context = *place;

	*place = NULL;
	if (context == NULL || atomic_fetch_sub_explicit(&context->references,
		1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(context->ctx);
	BIO_meth_free(context->over_socket);
	X509_free(context->certificate);
	tls_tickets_fini(context);
	mem_free(context);
}

/* --- one after another ---------------------------------------------------- */

static bool
has_name(const GENERAL_NAMES *names, GENERAL_NAME *name)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i),
			name) == 0)
			return (true);
	return (false);
}

/* Whether the new one names all hosts that the old one does. */
static bool
has_names_of(X509 *new, X509 *old)
{
	GENERAL_NAMES *before = X509_get_ext_d2i(old, NID_subject_alt_name,
	    NULL, NULL);
	GENERAL_NAMES *after = X509_get_ext_d2i(new, NID_subject_alt_name,
	    NULL, NULL);
	bool good = true;

	for (int i = 0; good && i < sk_GENERAL_NAME_num(before); i++)
		good = has_name(after, sk_GENERAL_NAME_value(before, i));
	GENERAL_NAMES_free(before);
	GENERAL_NAMES_free(after);
	return (good);
}

/* KIP-226, and KIP-978 for the two options. */
bool
tls_context_may_follow(const struct tls_context *old,
    const struct tls_context *new, const struct security_options *security,
    struct tls_report *report)
{
	if (old->certificate == NULL || new->certificate == NULL)
		return (true);
	if (!security->ssl_allow_dn_changes &&
	    X509_NAME_cmp(X509_get_subject_name(new->certificate),
		X509_get_subject_name(old->certificate)) != 0)
		return (tls_refuse(report, "ssl.keystore.location: the new "
		    "certificate names another subject than the one in use, "
		    "which only ssl.allow.dn.changes=true allows"));
	if (!security->ssl_allow_san_changes &&
	    !has_names_of(new->certificate, old->certificate))
		return (tls_refuse(report, "ssl.keystore.location: the new "
		    "certificate lacks an alternative name that the one in "
		    "use has, which only ssl.allow.san.changes=true allows"));
	return (true);
}

bool
tls_context_trusts_itself(const struct tls_context *context,
    struct tls_report *report)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	bool good;

	CHECK(check != NULL);
	(void)SSL_CTX_get0_chain_certs(context->ctx, &chain);
	CHECK(X509_STORE_CTX_init(check,
		SSL_CTX_get_cert_store(context->ctx), context->certificate,
		chain) == 1);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(check),
	    X509_V_FLAG_NO_CHECK_TIME);
	(void)X509_STORE_CTX_set_default(check, "ssl_server");
	good = X509_verify_cert(check) == 1 || tls_refuse(report,
	    "ssl.truststore.location: brokers use this listener among each "
	    "other, and its own certificate is not trusted by it: %s",
	    X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
	X509_STORE_CTX_free(check);
	return (good);
}
