/* SPDX-License-Identifier: Apache-2.0 */
#include "security/password_encoder.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"

#define SALT_BYTES 256
#define KEY_BYTES_MAX 32
#define IV_BYTES_MAX 16
#define TAG_BYTES 16
/* What is read is foreign: none takes longer, or more, than this. */
#define ITERATIONS_MAX 10000000
#define FIELD_BYTES_MAX 65536

enum { PARTS_MAX = 16 };

/* Java's names. */
struct keyfactory {
	const char *name;
	const EVP_MD *(*digest)(void);
};
static const struct keyfactory keyfactories[] = {
	{ "PBKDF2WithHmacSHA512", EVP_sha512 },
	{ "PBKDF2WithHmacSHA384", EVP_sha384 },
	{ "PBKDF2WithHmacSHA256", EVP_sha256 },
	{ "PBKDF2WithHmacSHA224", EVP_sha224 },
	{ "PBKDF2WithHmacSHA1", EVP_sha1 },
};

struct cipher {
	const char *name;
	int32_t key_bits;
	const EVP_CIPHER *(*evp)(void);
	bool tagged; /* GCM: the tag stands behind the text */
};
static const struct cipher ciphers[] = {
	{ "AES/CBC/PKCS5Padding", 128, EVP_aes_128_cbc, false },
	{ "AES/CBC/PKCS5Padding", 192, EVP_aes_192_cbc, false },
	{ "AES/CBC/PKCS5Padding", 256, EVP_aes_256_cbc, false },
	{ "AES/GCM/NoPadding", 128, EVP_aes_128_gcm, true },
	{ "AES/GCM/NoPadding", 192, EVP_aes_192_gcm, true },
	{ "AES/GCM/NoPadding", 256, EVP_aes_256_gcm, true },
	{ "DESede/CBC/PKCS5Padding", 192, EVP_des_ede3_cbc, false },
};

static const struct keyfactory *
keyfactory_find(const char *name)
{
	if (name == NULL)
		return (&keyfactories[0]);
	for (size_t i = 0; i < nelems(keyfactories); i++)
		if (strcmp(keyfactories[i].name, name) == 0)
			return (&keyfactories[i]);
	return (NULL);
}

static const struct cipher *
cipher_find(const char *name, int32_t key_bits)
{
	for (size_t i = 0; i < nelems(ciphers); i++)
		if (strcmp(ciphers[i].name, name) == 0 &&
		    ciphers[i].key_bits == key_bits)
			return (&ciphers[i]);
	return (NULL);
}

bool
password_encoder_check(const struct password_encoder *encoder,
    char error[PASSWORD_ERROR_SIZE])
{
	if (keyfactory_find(encoder->keyfactory) == NULL) {
		snprintf(error, PASSWORD_ERROR_SIZE, "%.80s is not known: it "
		    "may be PBKDF2WithHmacSHA512, SHA384, SHA256, SHA224 or "
		    "SHA1", encoder->keyfactory);
		return (false);
	}
	if (cipher_find(encoder->cipher, encoder->key_bits) == NULL) {
		snprintf(error, PASSWORD_ERROR_SIZE, "%.80s with a key of %d "
		    "bits is not known: it may be AES/CBC/PKCS5Padding or "
		    "AES/GCM/NoPadding with 128, 192 or 256, or "
		    "DESede/CBC/PKCS5Padding with 192", encoder->cipher,
		    (int)encoder->key_bits);
		return (false);
	}
	return (true);
}

/* --- what both ways share ------------------------------------------------- */

/* One secret, on its way in or out. */
struct sealing {
	const struct keyfactory *keyfactory;
	const struct cipher *cipher;
	int32_t iterations;
	struct slice salt;
	struct slice iv;
	uint8_t key[KEY_BYTES_MAX];
};

static bool
derive_key(struct sealing *s, const char *secret)
{
	return (PKCS5_PBKDF2_HMAC(secret, (int)strlen(secret), s->salt.data,
	    (int)s->salt.length, s->iterations, s->keyfactory->digest(),
	    s->cipher->key_bits / 8, s->key) == 1);
}

static int
cipher_iv_bytes(const struct cipher *cipher)
{
	return (EVP_CIPHER_iv_length(cipher->evp()));
}

/* Java's String.length() of UTF-8. */
static size_t
java_length(struct slice text)
{
	size_t length = 0;

	while (text.length > 0)
		length += text_utf8_next(&text) > 0xffff ? 2 : 1;
	return (length);
}

static void
put_base64(struct buffer *out, const char *name, struct slice bytes)
{
	uint8_t *at;

	buffer_printf(out, "%s:", name);
	at = buffer_reserve(out, (bytes.length + 2) / 3 * 4 + 1);
	(void)EVP_EncodeBlock(at, bytes.data, (int)bytes.length);
	(void)buffer_extend(out, (bytes.length + 2) / 3 * 4);
}

/* --- encoding ------------------------------------------------------------- */

/* The sealed bytes, with GCM's tag, into `out`. */
static bool
seal(const struct sealing *s, struct slice plain, struct buffer *out)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t *at = buffer_reserve(out, plain.length + EVP_MAX_BLOCK_LENGTH +
	    TAG_BYTES);
	int first = 0, last = 0;
	bool good = context != NULL &&
	    EVP_EncryptInit_ex(context, s->cipher->evp(), NULL, s->key,
		s->iv.data) == 1 &&
	    EVP_EncryptUpdate(context, at, &first, plain.data,
		(int)plain.length) == 1 &&
	    EVP_EncryptFinal_ex(context, at + first, &last) == 1;

	if (good && s->cipher->tagged) {
		good = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG,
		    TAG_BYTES, at + first + last) == 1;
		last += TAG_BYTES;
	}
	if (good)
		(void)buffer_extend(out, (size_t)(first + last));
	EVP_CIPHER_CTX_free(context);
	return (good);
}

static void
put_text(const struct password_encoder *encoder, const struct sealing *s,
    struct slice password, struct slice sealed, struct buffer *out)
{
	put_base64(out, "initializationVector", s->iv);
	buffer_printf(out, ",keyLength:%d,", (int)encoder->key_bits);
	put_base64(out, "salt", s->salt);
	buffer_printf(out, ",keyFactoryAlgorithm:%s,cipherAlgorithm:%s,"
	    "iterations:%d,passwordLength:%zu,", s->keyfactory->name,
	    s->cipher->name, (int)encoder->iterations, java_length(password));
	if (s->cipher->tagged)
		buffer_printf(out, "authenticationTagLength:%d,",
		    TAG_BYTES * 8);
	put_base64(out, "encryptedPassword", sealed);
}

bool
password_encode(const struct password_encoder *encoder, const char *password,
    struct buffer *out, char error[PASSWORD_ERROR_SIZE])
{
	struct slice plain = slice_of_text(password);
	uint8_t salt[SALT_BYTES], iv[IV_BYTES_MAX];
	struct buffer sealed = BUFFER_EMPTY;
	struct sealing s = { .salt = { salt, sizeof(salt) } };
	bool good;

	if (!password_encoder_check(encoder, error))
		return (false);
	s.keyfactory = keyfactory_find(encoder->keyfactory);
	s.cipher = cipher_find(encoder->cipher, encoder->key_bits);
	s.iterations = encoder->iterations;
	s.iv = slice_of(iv, (size_t)cipher_iv_bytes(s.cipher));
	CHECK(s.iv.length <= sizeof(iv));
	good = plain.length <= FIELD_BYTES_MAX / 2 &&
	    RAND_bytes(salt, sizeof(salt)) == 1 &&
	    RAND_bytes(iv, (int)s.iv.length) == 1 &&
	    derive_key(&s, encoder->secret) && seal(&s, plain, &sealed);
	if (good)
		put_text(encoder, &s, plain, buffer_slice(&sealed), out);
	else
		snprintf(error, PASSWORD_ERROR_SIZE,
		    "Password could not be encoded");
	OPENSSL_cleanse(s.key, sizeof(s.key));
	buffer_fini(&sealed);
	return (good);
}

/* --- decoding ------------------------------------------------------------- */

/* The pairs of a text; what stands in front of the last colon is the name. */
struct parts {
	struct slice names[PARTS_MAX];
	struct slice values[PARTS_MAX];
	size_t count;
};

static void
parts_read(struct parts *parts, const char *encoded)
{
	struct slice rest = slice_of_text(encoded), item;

	parts->count = 0;
	while (rest.data != NULL && parts->count < PARTS_MAX) {
		size_t colon;

		item = text_trim(text_cut(rest, ',', &rest));
		for (colon = item.length; colon > 0; colon--)
			if (item.data[colon - 1] == ':')
				break;
		if (colon == 0)
			continue;
		parts->names[parts->count] = text_trim(slice_of(item.data,
		    colon - 1));
		parts->values[parts->count++] = text_trim(slice_of(
		    item.data + colon, item.length - colon));
	}
}

static struct slice
part(const struct parts *parts, const char *name)
{
	for (size_t i = 0; i < parts->count; i++)
		if (slice_equal_text(parts->names[i], name))
			return (parts->values[i]);
	return (SLICE_NULL);
}

static bool
part_number(const struct parts *parts, const char *name, int32_t *out)
{
	struct slice text = part(parts, name);

	return (text.data != NULL && text_to_int32(text, out));
}

/* Padded base64, whole. */
static bool
part_bytes(const struct parts *parts, const char *name, struct buffer *out)
{
	struct slice text = part(parts, name);
	size_t padding = 0;
	int length;

	if (text.length == 0 || text.length % 4 != 0 ||
	    text.length > FIELD_BYTES_MAX)
		return (false);
	while (padding < 2 && text.data[text.length - 1 - padding] == '=')
		padding++;
	length = EVP_DecodeBlock(buffer_reserve(out, text.length), text.data,
	    (int)text.length);
	if (length < (int)padding)
		return (false);
	(void)buffer_extend(out, (size_t)length - padding);
	return (true);
}

/* What the text was made with. */
static bool
sealing_read(struct sealing *s, const struct parts *parts)
{
	char keyfactory[64], cipher[64];
	int32_t key_bits, tag_bits = TAG_BYTES * 8;

	snprintf(keyfactory, sizeof(keyfactory), "%.*s",
	    SLICE_ARGS(part(parts, "keyFactoryAlgorithm")));
	snprintf(cipher, sizeof(cipher), "%.*s",
	    SLICE_ARGS(part(parts, "cipherAlgorithm")));
	if (!part_number(parts, "keyLength", &key_bits) ||
	    !part_number(parts, "iterations", &s->iterations))
		return (false);
	s->keyfactory = keyfactory_find(keyfactory);
	s->cipher = cipher_find(cipher, key_bits);
	if (s->keyfactory == NULL || s->cipher == NULL || s->iterations < 1 ||
	    s->iterations > ITERATIONS_MAX)
		return (false);
	if (s->cipher->tagged &&
	    !part_number(parts, "authenticationTagLength", &tag_bits))
		return (false);
	return (tag_bits == TAG_BYTES * 8);
}

static bool
unseal(const struct sealing *s, struct buffer *sealed, struct buffer *out)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	size_t tag = s->cipher->tagged ? TAG_BYTES : 0;
	uint8_t *at = buffer_reserve(out, sealed->length +
	    EVP_MAX_BLOCK_LENGTH);
	int first = 0, last = 0;
	bool good = context != NULL && sealed->length >= tag &&
	    EVP_DecryptInit_ex(context, s->cipher->evp(), NULL, s->key,
		s->iv.data) == 1 &&
	    EVP_DecryptUpdate(context, at, &first, sealed->data,
		(int)(sealed->length - tag)) == 1 &&
	    (tag == 0 || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG,
		TAG_BYTES, sealed->data + sealed->length - tag) == 1) &&
	    EVP_DecryptFinal_ex(context, at + first, &last) == 1;

	if (good)
		(void)buffer_extend(out, (size_t)(first + last));
	EVP_CIPHER_CTX_free(context);
	return (good);
}

bool
password_decode(const char *secret, const char *encoded, struct buffer *out,
    char error[PASSWORD_ERROR_SIZE])
{
	struct buffer salt = BUFFER_EMPTY, iv = BUFFER_EMPTY,
	    sealed = BUFFER_EMPTY;
	struct parts parts;
	struct sealing s = { .iterations = 0 };
	int32_t length = 0;
	bool good;

	parts_read(&parts, encoded);
	good = sealing_read(&s, &parts) &&
	    part_number(&parts, "passwordLength", &length) &&
	    part_bytes(&parts, "salt", &salt) &&
	    part_bytes(&parts, "initializationVector", &iv) &&
	    part_bytes(&parts, "encryptedPassword", &sealed) &&
	    iv.length == (size_t)cipher_iv_bytes(s.cipher);
	if (good) {
		s.salt = buffer_slice(&salt);
		s.iv = buffer_slice(&iv);
		good = derive_key(&s, secret) && unseal(&s, &sealed, out) &&
		    java_length(buffer_slice(out)) == (size_t)length &&
		    memchr(buffer_text(out), '\0', out->length) == NULL;
	}
	if (!good) {
		OPENSSL_cleanse(out->data, out->length);
		out->length = 0;
		snprintf(error, PASSWORD_ERROR_SIZE,
		    "Password could not be decoded");
	}
	OPENSSL_cleanse(s.key, sizeof(s.key));
	buffer_fini(&salt);
	buffer_fini(&iv);
	buffer_fini(&sealed);
	return (good);
}
