/* SPDX-License-Identifier: Apache-2.0 */
/* Which context counts; see tls.h. */
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/tls_int.h"

#define TLS_MAGIC 0x746c7363

struct tls {
	uint32_t magic;
	enum tls_side side;
	bool kernel;
	char *name;
	struct lock lock;             /* over current */
	struct tls_context *current; /* NULL: none yet */
};

struct tls *
tls_new(enum tls_side side, const char *name)
{
	struct tls *tls = mem_zalloc(sizeof(*tls));

	tls->magic = TLS_MAGIC;
	tls->side = side;
	tls->name = mem_strdup(name);
	lock_init(&tls->lock, LOCK_RANK_LEAF);
	return (tls);
}

void
tls_free(struct tls **place)
{
	struct tls *tls = *place;

	if (tls == NULL)
		return;
	CHECK_MAGIC(tls, TLS_MAGIC);
	*place = NULL;
	tls_context_unref(&tls->current);
	lock_fini(&tls->lock);
	mem_free(tls->name);
	tls->magic = 0;
	mem_free(tls);
}

void
tls_offer_kernel(struct tls *tls, struct sockets *sockets)
{
	tls->kernel = sockets->ops->kernel_tls != NULL &&
	    sockets->ops->kernel_tls(sockets);
}

/* --- contexts ------------------------------------------------------------- */

struct tls_context *
tls_current(struct tls *tls)
{
	struct tls_context *context;

	CHECK_MAGIC(tls, TLS_MAGIC);
	lock_take(&tls->lock);
	context = tls->current == NULL ? NULL : tls_context_ref(tls->current);
	lock_release(&tls->lock);
	return (context);
}

static bool
may_use(struct tls *tls, const struct tls_context *context,
    const struct security_options *security, bool own_peer,
    struct tls_report *report)
{
	struct tls_context *old = tls_current(tls);
	const bool good = (old == NULL || tls_context_may_follow(old, context,
	    security, report)) && (!own_peer ||
	    tls_context_trusts_itself(context, report));

	tls_context_unref(&old);
	return (good);
}

struct tls_context *
tls_prepare(struct tls *tls, const struct security_options *security,
    bool own_peer, struct tls_report *report)
{
	struct tls_context *context;

	CHECK_MAGIC(tls, TLS_MAGIC);
	memset(report, 0, sizeof(*report));
	context = tls_context_new(tls->side, tls->name, security, report);
	if (context == NULL)
		return (NULL);
	context->kernel = tls->kernel && security->kernel_tls_enable;
	if (!may_use(tls, context, security, own_peer, report))
		tls_context_unref(&context);
	return (context);
}

void
tls_use(struct tls *tls, struct tls_context **context)
{
	struct tls_context *old;

	CHECK_MAGIC(tls, TLS_MAGIC);
	lock_take(&tls->lock);
	old = tls->current;
	tls->current = *context;
	lock_release(&tls->lock);
	*context = NULL;
	tls_context_unref(&old);
}

bool
tls_load(struct tls *tls, const struct security_options *security,
    bool own_peer, struct tls_report *report)
{
	struct tls_context *context = tls_prepare(tls, security, own_peer,
	    report);

	if (context == NULL)
		return (false);
	tls_use(tls, &context);
	return (true);
}

/* --- for other clients ---------------------------------------------------- */

static void
append_bio(struct buffer *out, BIO *bio)
{
	char *bytes;
	const long length = BIO_get_mem_data(bio, &bytes);

	if (length > 0)
		buffer_append(out, bytes, (size_t)length);
	BIO_free(bio);
}

static void
append_certificate(struct buffer *out, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());

	CHECK(bio != NULL && PEM_write_bio_X509(bio, certificate) == 1);
	append_bio(out, bio);
}

static void
append_stack(struct buffer *out, const STACK_OF(X509) *stack)
{
	for (int i = 0; i < sk_X509_num(stack); i++)
		append_certificate(out, sk_X509_value(stack, i));
}

static void
append_key(struct buffer *out, const EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());

	CHECK(bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL,
		NULL, 0, NULL, NULL) == 1);
	append_bio(out, bio);
}

bool
tls_export(const struct security_options *security, struct tls_pem *out,
    struct tls_report *report)
{
	STACK_OF(X509) *trusted = NULL;
	struct tls_key key;
	bool good;

	memset(out, 0, sizeof(*out));
	memset(report, 0, sizeof(*report));
	good = tls_key_read(security, &key, report) &&
	    tls_trust_read(security, &trusted, report);
	if (good && key.key != NULL) {
		append_key(&out->key, key.key);
		append_certificate(&out->certificates, key.certificate);
		append_stack(&out->certificates, key.chain);
	}
	if (good)
		append_stack(&out->trusted, trusted);
	tls_key_fini(&key);
	sk_X509_pop_free(trusted, X509_free);
	return (good);
}

void
tls_pem_fini(struct tls_pem *pem)
{
	buffer_fini(&pem->trusted);
	buffer_fini(&pem->certificates);
	if (pem->key.data != NULL)
		OPENSSL_cleanse(pem->key.data, pem->key.capacity);
	buffer_fini(&pem->key);
}
