/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key stores and trust stores.  What a file is, its bytes tell, as Java goes by
 * them too: under the type JKS, Kafka's default, most of today's stores are
 * PKCS12.
 *
 *	"-----BEGIN"  PEM      certificates and a PKCS8 key, in any order
 *	0x30          PKCS12   bags, below one password
 *	FE ED FE ED   JKS      Java's own, refused: keytool converts it
 *
 * The rules about which options go together are those of Kafka's
 * DefaultSslEngineFactory.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/tls_int.h"

#define STORE_BYTES_MAX ((size_t)8 << 20)
#define PEM_COLUMNS 64

/* What was found, in its order. */
struct found {
	EVP_PKEY *key; /* the first one */
	STACK_OF(X509) *certificates;
};

/* Where it was found: the option to name, and the file. */
struct place {
	const char *option;
	const char *path; /* NULL: the option's own text */
	const char *password;
	const char *password_option;
	const char *key_password;
	struct tls_report *report;
};

bool
tls_refuse(struct tls_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->error, sizeof(report->error), format, arguments);
	va_end(arguments);
	ERR_clear_error();
	return (false);
}

const char *
tls_reason(void)
{
	const char *words = ERR_reason_error_string(ERR_peek_last_error());

	return (words != NULL ? words : "no reason is known");
}

static bool
refuse_at(const struct place *place, const char *words)
{
	return (tls_refuse(place->report, "%s%s%s: %s", place->option,
	    place->path != NULL ? "=" : "",
	    place->path != NULL ? place->path : "", words));
}

static void
found_fini(struct found *found)
{
	EVP_PKEY_free(found->key);
	sk_X509_pop_free(found->certificates, X509_free);
	*found = (struct found){ NULL, NULL };
}

static void
found_add(struct found *found, X509 *certificate)
{
	CHECK(sk_X509_push(found->certificates, certificate) > 0);
}

/* --- bytes ---------------------------------------------------------------- */

static bool
read_bytes(const struct place *place, struct buffer *out)
{
	BIO *bio;
	int n;

	errno = 0;
	bio = BIO_new_file(place->path, "rb");
	if (bio == NULL)
		return (refuse_at(place, strerror(errno != 0 ? errno :
		    EIO)));
	do {
		n = BIO_read(bio, buffer_reserve(out, 16384), 16384);
		out->length += n > 0 ? (size_t)n : 0;
	} while (n > 0 && out->length <= STORE_BYTES_MAX);
	BIO_free(bio);
	if (n < 0)
		return (refuse_at(place, strerror(errno != 0 ? errno : EIO)));
	if (out->length > STORE_BYTES_MAX)
		return (refuse_at(place, "it is too long to be a store"));
	return (out->length > 0 || refuse_at(place, "it is empty"));
}

/* --- PEM ------------------------------------------------------------------ */

struct pem_block {
	struct slice label; /* "CERTIFICATE" */
	struct slice body;
};

/* The next "-----BEGIN label----- body -----END ". */
static bool
pem_next(struct slice *rest, struct pem_block *block)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	const uint8_t *at = memmem(rest->data, rest->length, begin,
	    sizeof(begin) - 1);
	const uint8_t *last = rest->data + rest->length;
	const uint8_t *body, *stop;

	if (at == NULL)
		return (false);
	at += sizeof(begin) - 1;
	body = memmem(at, (size_t)(last - at), "-----", 5);
	if (body == NULL)
		return (false);
	block->label = slice_of(at, (size_t)(body - at));
	body += 5;
	stop = memmem(body, (size_t)(last - body), end, sizeof(end) - 1);
	if (stop == NULL)
		return (false);
	block->body = slice_of(body, (size_t)(stop - body));
	*rest = slice_of(stop, (size_t)(last - stop));
	return (true);
}

/* Properties files fold lines, and Kafka takes blanks for their ends: base64
 * is folded anew. What has headers is left as it is. */
static void
pem_fold(const struct pem_block *block, struct buffer *out)
{
	size_t column = 0;

	buffer_printf(out, "-----BEGIN %.*s-----\n", SLICE_ARGS(block->label));
	if (memchr(block->body.data, ':', block->body.length) != NULL) {
		buffer_append_slice(out, text_trim(block->body));
	} else {
		for (size_t i = 0; i < block->body.length; i++) {
			const uint8_t c = block->body.data[i];

			if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
				continue;
			/* No empty line, which would end headers. */
			if (column != 0 && column % PEM_COLUMNS == 0)
				buffer_append_text(out, "\n");
			buffer_append(out, &c, 1);
			column++;
		}
	}
	buffer_printf(out, "\n-----END %.*s-----\n", SLICE_ARGS(block->label));
}

/* Never asks a terminal. */
static int
pem_password(char *to, int size, int writing, void *arg)
{
	const char *password = arg;
	const size_t length = password == NULL ? 0 : strlen(password);

	(void)writing;
	if (password == NULL || length > (size_t)size)
		return (-1);
	memcpy(to, password, length);
	return ((int)length);
}

static bool
pem_take_key(const struct place *place, BIO *bio, struct found *found)
{
	if (found->key != NULL)
		return (true);
	found->key = PEM_read_bio_PrivateKey(bio, NULL, pem_password,
	    (void *)(uintptr_t)place->key_password);
	if (found->key != NULL)
		return (true);
	return (refuse_at(place, place->key_password == NULL ?
	    "the private key cannot be read: if it is encrypted, set "
	    "ssl.key.password" : "the private key cannot be read: is "
	    "ssl.key.password right?"));
}

static bool
pem_take(const struct place *place, const struct pem_block *block,
    struct found *found)
{
	static const char key[] = "PRIVATE KEY";
	struct buffer text = BUFFER_EMPTY;
	X509 *certificate;
	bool good = true;
	BIO *bio;

	pem_fold(block, &text);
	bio = BIO_new_mem_buf(text.data, (int)text.length);
	CHECK(bio != NULL);
	if (slice_equal(block->label, SLICE_LITERAL("CERTIFICATE"))) {
		certificate = PEM_read_bio_X509(bio, NULL, pem_password, NULL);
		good = certificate != NULL || refuse_at(place,
		    "a certificate in it cannot be read");
		if (certificate != NULL)
			found_add(found, certificate);
	} else if (memmem(block->label.data, block->label.length, key,
	    sizeof(key) - 1) != NULL) {
		good = pem_take_key(place, bio, found);
	}
	BIO_free(bio);
	OPENSSL_cleanse(text.data, text.length);
	buffer_fini(&text);
	return (good);
}

static bool
pem_read(const struct place *place, struct slice text, struct found *found)
{
	struct pem_block block;

	while (pem_next(&text, &block))
		if (!pem_take(place, &block, found))
			return (false);
	return (true);
}

/* --- PKCS12 --------------------------------------------------------------- */

static bool p12_bags(const struct place *place,
    const STACK_OF(PKCS12_SAFEBAG) *bags, struct found *found, int depth);

static bool
p12_bag(const struct place *place, const PKCS12_SAFEBAG *bag,
    struct found *found, int depth)
{
	const char *password = place->key_password != NULL ?
	    place->key_password : place->password;
	PKCS8_PRIV_KEY_INFO *key;
	X509 *certificate;

	switch (PKCS12_SAFEBAG_get_nid(bag)) {
	case NID_keyBag:
		if (found->key == NULL)
			found->key = EVP_PKCS82PKEY(
			    PKCS12_SAFEBAG_get0_p8inf(bag));
		return (found->key != NULL);
	case NID_pkcs8ShroudedKeyBag:
		if (found->key != NULL)
			return (true);
		key = PKCS12_decrypt_skey(bag, password, -1);
		found->key = key == NULL ? NULL : EVP_PKCS82PKEY(key);
		PKCS8_PRIV_KEY_INFO_free(key);
		return (found->key != NULL);
	case NID_certBag:
		if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
			return (true);
		certificate = PKCS12_SAFEBAG_get1_cert(bag);
		if (certificate != NULL)
			found_add(found, certificate);
		return (certificate != NULL);
	case NID_safeContentsBag:
		return (depth == 0 && p12_bags(place,
		    PKCS12_SAFEBAG_get0_safes(bag), found, depth + 1));
	default:
		return (true);
	}
}

static bool
p12_bags(const struct place *place, const STACK_OF(PKCS12_SAFEBAG) *bags,
    struct found *found, int depth)
{
	for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++)
		if (!p12_bag(place, sk_PKCS12_SAFEBAG_value(bags, i), found,
			depth))
			return (false);
	return (true);
}

static bool
p12_contents(const struct place *place, PKCS12 *p12, struct found *found)
{
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	bool good = safes != NULL;

	for (int i = 0; good && i < sk_PKCS7_num(safes); i++) {
		PKCS7 *safe = sk_PKCS7_value(safes, i);
		STACK_OF(PKCS12_SAFEBAG) *bags =
		    OBJ_obj2nid(safe->type) == NID_pkcs7_data ?
		    PKCS12_unpack_p7data(safe) :
		    PKCS12_unpack_p7encdata(safe, place->password, -1);

		good = bags != NULL && p12_bags(place, bags, found, 0);
		sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	}
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return (good);
}

static bool
p12_open(const struct place *place, struct slice bytes, struct found *found)
{
	const unsigned char *at = bytes.data;
	PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)bytes.length);
	char words[160];
	bool good;

	if (p12 == NULL)
		return (refuse_at(place, "it is damaged, or no PKCS12 file"));
	if (PKCS12_mac_present(p12) == 1 &&
	    PKCS12_verify_mac(p12, place->password, -1) != 1) {
		snprintf(words, sizeof(words), "it does not open: %s is "
		    "wrong, or the file is damaged", place->password_option);
		good = refuse_at(place, words);
	} else if (!p12_contents(place, p12, found)) {
		snprintf(words, sizeof(words), "what it holds does not open "
		    "(%s): are the passwords right?", tls_reason());
		good = refuse_at(place, words);
	} else {
		good = true;
	}
	PKCS12_free(p12);
	return (good);
}

/* Old ones are encrypted as OpenSSL does only on request. */
static bool
p12_read(const struct place *place, struct slice bytes, struct found *found)
{
	OSSL_PROVIDER *old = OSSL_PROVIDER_try_load(NULL, "legacy", 1);
	const bool good = p12_open(place, bytes, found);

	if (old != NULL)
		OSSL_PROVIDER_unload(old);
	ERR_clear_error();
	return (good);
}

/* --- files ---------------------------------------------------------------- */

static bool
refuse_jks(const struct place *place)
{
	return (tls_refuse(place->report, "%s=%.120s is a JKS file, which only "
	    "Java reads: convert it with keytool -importkeystore -srckeystore "
	    "%.120s -destkeystore NEW.p12 -deststoretype PKCS12, and name "
	    "NEW.p12", place->option, place->path, place->path));
}

static bool
store_parse(const struct place *place, bool pem, struct slice bytes,
    struct found *found)
{
	static const uint8_t jks[][4] = { { 0xfe, 0xed, 0xfe, 0xed },
		{ 0xce, 0xce, 0xce, 0xce } };

	for (size_t i = 0; i < nelems(jks); i++)
		if (bytes.length >= sizeof(jks[i]) &&
		    memcmp(bytes.data, jks[i], sizeof(jks[i])) == 0)
			return (refuse_jks(place));
	if (pem)
		return (pem_read(place, bytes, found));
	if (memmem(bytes.data, bytes.length, "-----BEGIN", 10) != NULL)
		return (refuse_at(place, "it is a PEM file: say so with the "
		    "store's type, PEM"));
	return (p12_read(place, bytes, found));
}

static bool
store_read(const struct place *place, bool pem, struct found *found)
{
	struct buffer bytes = BUFFER_EMPTY;
	const bool good = read_bytes(place, &bytes) &&
	    store_parse(place, pem, buffer_slice(&bytes), found);

	if (bytes.data != NULL)
		OPENSSL_cleanse(bytes.data, bytes.length);
	buffer_fini(&bytes);
	return (good);
}

static bool
type_good(const char *option, const char *type, bool *pem,
    struct tls_report *report)
{
	*pem = strcasecmp(type, "PEM") == 0;
	if (*pem || strcasecmp(type, "JKS") == 0 ||
	    strcasecmp(type, "PKCS12") == 0)
		return (true);
	return (tls_refuse(report, "%s=%.40s: PKCS12 and PEM are understood",
	    option, type));
}

/* --- the key store -------------------------------------------------------- */

static bool
key_rules(const struct security_options *security, bool pem,
    struct tls_report *report)
{
	const bool key = security->ssl_keystore_key != NULL;
	const bool chain = security->ssl_keystore_certificate_chain != NULL;
	const bool path = security->ssl_keystore_location != NULL;

	if (key != chain)
		return (tls_refuse(report, "%s: ssl.keystore.key and "
		    "ssl.keystore.certificate.chain go together",
		    key ? "ssl.keystore.key" :
		    "ssl.keystore.certificate.chain"));
	if (key && !pem)
		return (tls_refuse(report, "ssl.keystore.key: it is PEM, so "
		    "ssl.keystore.type must be PEM"));
	if (key && path)
		return (tls_refuse(report, "ssl.keystore.key and "
		    "ssl.keystore.location: only one of them can be set"));
	if (pem && security->ssl_keystore_password != NULL)
		return (tls_refuse(report, "ssl.keystore.password: a PEM store "
		    "has none; its key may have one, ssl.key.password"));
	if (path && !pem && security->ssl_keystore_password == NULL)
		return (tls_refuse(report, "ssl.keystore.password: it is "
		    "needed for ssl.keystore.location"));
	if (!path && !key && security->ssl_keystore_password != NULL)
		return (tls_refuse(report, "ssl.keystore.location: it is "
		    "needed, because ssl.keystore.password is set"));
	return (true);
}

static bool
key_find(const struct security_options *security, bool pem,
    const struct place *place, struct found *found)
{
	struct place inner = *place;

	if (security->ssl_keystore_key == NULL)
		return (store_read(place, pem, found));
	inner.path = NULL;
	inner.option = "ssl.keystore.key";
	if (!pem_read(&inner, slice_of_text(security->ssl_keystore_key),
		found))
		return (false);
	inner.option = "ssl.keystore.certificate.chain";
	return (pem_read(&inner,
	    slice_of_text(security->ssl_keystore_certificate_chain), found));
}

/* The one among them that signed it; not itself. */
static X509 *
issuer_among(const STACK_OF(X509) *certificates, X509 *certificate)
{
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		X509 *other = sk_X509_value(certificates, i);

		if (X509_cmp(other, certificate) != 0 &&
		    X509_check_issued(other, certificate) == X509_V_OK)
			return (other);
	}
	return (NULL);
}

/* The key's own certificate first, then each one's issuer. */
static bool
key_arrange(const struct place *place, struct found *found,
    struct tls_key *out)
{
	X509 *at = NULL;

	for (int i = 0; at == NULL && i < sk_X509_num(found->certificates);
	     i++)
		if (X509_check_private_key(sk_X509_value(found->certificates,
			i), found->key) == 1)
			at = sk_X509_value(found->certificates, i);
	ERR_clear_error();
	if (at == NULL)
		return (refuse_at(place, sk_X509_num(found->certificates) == 0
		    ? "it holds no certificate"
		    : "its private key fits none of its certificates"));
	X509_up_ref(at);
	out->certificate = at;
	out->chain = sk_X509_new_null();
	CHECK(out->chain != NULL);
	/* Rings there may be, but no longer than all of them. */
	for (int i = 0; i < sk_X509_num(found->certificates); i++) {
		at = issuer_among(found->certificates, at);
		if (at == NULL || X509_cmp(at, out->certificate) == 0)
			break;
		X509_up_ref(at);
		CHECK(sk_X509_push(out->chain, at) > 0);
	}
	out->key = found->key;
	found->key = NULL;
	return (true);
}

bool
tls_key_read(const struct security_options *security, struct tls_key *out,
    struct tls_report *report)
{
	const struct place place = {
		.option = "ssl.keystore.location",
		.path = security->ssl_keystore_location,
		.password = security->ssl_keystore_password,
		.password_option = "ssl.keystore.password",
		.key_password = security->ssl_key_password,
		.report = report,
	};
	struct found found = { NULL, sk_X509_new_null() };
	bool pem, good;

	CHECK(found.certificates != NULL);
	memset(out, 0, sizeof(*out));
	good = type_good("ssl.keystore.type", security->ssl_keystore_type,
	    &pem, report) && key_rules(security, pem, report);
	if (good && (place.path != NULL ||
	    security->ssl_keystore_key != NULL)) {
		good = key_find(security, pem, &place, &found);
		if (good && found.key == NULL)
			good = refuse_at(&place, "it holds no private key");
		if (good)
			good = key_arrange(&place, &found, out);
	}
	found_fini(&found);
	return (good);
}

void
tls_key_fini(struct tls_key *key)
{
	EVP_PKEY_free(key->key);
	X509_free(key->certificate);
	sk_X509_pop_free(key->chain, X509_free);
	memset(key, 0, sizeof(*key));
}

/* --- the trust store ------------------------------------------------------ */

static bool
trust_rules(const struct security_options *security, bool pem,
    struct tls_report *report)
{
	const bool texts = security->ssl_truststore_certificates != NULL;
	const bool path = security->ssl_truststore_location != NULL;

	if (texts && !pem)
		return (tls_refuse(report, "ssl.truststore.certificates: they "
		    "are PEM, so ssl.truststore.type must be PEM"));
	if (texts && path)
		return (tls_refuse(report, "ssl.truststore.certificates and "
		    "ssl.truststore.location: only one of them can be set"));
	if (pem && security->ssl_truststore_password != NULL)
		return (tls_refuse(report, "ssl.truststore.password: a PEM "
		    "store has none"));
	if (!path && !texts && security->ssl_truststore_password != NULL)
		return (tls_refuse(report, "ssl.truststore.location: it is "
		    "needed, because ssl.truststore.password is set"));
	return (true);
}

bool
tls_trust_read(const struct security_options *security, STACK_OF(X509) **out,
    struct tls_report *report)
{
	const char *texts = security->ssl_truststore_certificates;
	const struct place place = {
		.option = texts != NULL ? "ssl.truststore.certificates" :
		    "ssl.truststore.location",
		.path = texts != NULL ? NULL :
		    security->ssl_truststore_location,
		.password = security->ssl_truststore_password,
		.password_option = "ssl.truststore.password",
		.report = report,
	};
	struct found found = { NULL, sk_X509_new_null() };
	bool pem, good;

	CHECK(found.certificates != NULL);
	*out = NULL;
	good = type_good("ssl.truststore.type", security->ssl_truststore_type,
	    &pem, report) && trust_rules(security, pem, report);
	if (good && (texts != NULL || place.path != NULL)) {
		good = texts != NULL ?
		    pem_read(&place, slice_of_text(texts), &found) :
		    store_read(&place, pem, &found);
		if (good && sk_X509_num(found.certificates) == 0)
			good = refuse_at(&place, "it holds no certificate");
		if (good) {
			*out = found.certificates;
			found.certificates = NULL;
		}
	}
	found_fini(&found);
	return (good);
}
