/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tls_rig.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "config/map.h"
#include "config/security.h"

static void
text_of(BIO *bio, struct buffer *out)
{
	char *bytes;
	const long length = BIO_get_mem_data(bio, &bytes);

	buffer_append(out, bytes, (size_t)length);
	(void)buffer_text(out);
	BIO_free(bio);
}

static void
extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid,
	    (char *)(uintptr_t)value);

	CHECK(extension != NULL);
	CHECK(X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static void
name_set(X509_NAME *to, const char *name)
{
	CHECK(X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0) == 1);
}

void
tls_identity_init(struct tls_identity *i, const char *name, const char *names,
    const struct tls_identity *issuer)
{
	X509 *c = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	static const long days = 24 * 3600;

	i->key_text = i->certificate_text = BUFFER_EMPTY;
	i->key = EVP_EC_gen("P-256");
	i->certificate = c;
	CHECK(i->key != NULL && c != NULL && X509_set_version(c, 2) == 1);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -days);
	X509_gmtime_adj(X509_getm_notAfter(c), 10 * days);
	CHECK(X509_set_pubkey(c, i->key) == 1);
	name_set(X509_get_subject_name(c), name);
	CHECK(X509_set_issuer_name(c, X509_get_subject_name(
	    issuer == NULL ? c : issuer->certificate)) == 1);
	if (issuer == NULL)
		extend(c, NID_basic_constraints, "critical,CA:TRUE");
	if (names != NULL)
		extend(c, NID_subject_alt_name, names);
	CHECK(X509_sign(c, issuer == NULL ? i->key : issuer->key,
		EVP_sha256()) > 0);
	CHECK(PEM_write_bio_X509(bio, c) == 1);
	text_of(bio, &i->certificate_text);
	bio = BIO_new(BIO_s_mem());
	CHECK(PEM_write_bio_PKCS8PrivateKey(bio, i->key, NULL, NULL, 0, NULL,
		NULL) == 1);
	text_of(bio, &i->key_text);
}

void
tls_identity_fini(struct tls_identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->certificate);
	buffer_fini(&i->key_text);
	buffer_fini(&i->certificate_text);
}

void
tls_rig_defaults(struct security_options *security)
{
	char error[OPTION_ERROR_SIZE];
	struct config_map none;

	config_map_init(&none);
	CHECK(security_of_client(&none, security, error));
	config_map_fini(&none);
	security->ssl_keystore_type = security->ssl_truststore_type = "PEM";
}

void
tls_rig_options(struct security_options *security, struct tls_identity *own,
    struct tls_identity *trusted)
{
	tls_rig_defaults(security);
	if (own != NULL) {
		security->ssl_keystore_key = buffer_text(&own->key_text);
		security->ssl_keystore_certificate_chain =
		    buffer_text(&own->certificate_text);
	}
	if (trusted != NULL)
		security->ssl_truststore_certificates =
		    buffer_text(&trusted->certificate_text);
}
