/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tickets.  A client brings its session back sealed, so that nothing of
 * it is kept here.  The keys are the context's own: another listener, another
 * broker or a later context cannot open them, and the client shakes hands in
 * full.  They change as time goes:
 *
 *	[now] --an hour--> [before] --another--> forgotten
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/loop.h"
#include "net/tls_int.h"

static bool
key_make(struct ticket_key *key, int64_t now_ns)
{
	key->made_ns = now_ns | 1;
	return (RAND_bytes(key->name, sizeof(key->name)) == 1 &&
	    RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
	    RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1);
}

/* Under the lock. False: there is no randomness. */
static bool
keys_turn(struct ticket_keys *keys, int64_t now_ns)
{
	const int64_t age_s = (now_ns - keys->now.made_ns) / 1000000000;

	if (keys->now.made_ns != 0 && age_s < TICKET_KEY_SECONDS)
		return (true);
	/* After a long silence the one before is too old, too. */
	if (keys->now.made_ns != 0 && age_s < 2 * TICKET_KEY_SECONDS)
		keys->before = keys->now;
	else
		keys->before = (struct ticket_key){ 0 };
	return (key_make(&keys->now, now_ns));
}

/* The key to seal with, or the one of that name. 0: none; 2: an old one. */
static int
key_choose(struct ticket_keys *keys, int64_t now_ns,
    const unsigned char *name, struct ticket_key *out)
{
	int answer = 1;

	lock_take(&keys->lock);
	if (!keys_turn(keys, now_ns))
		answer = -1;
	else if (name == NULL ||
	    memcmp(name, keys->now.name, TICKET_NAME_BYTES) == 0)
		*out = keys->now;
	else if (keys->before.made_ns != 0 &&
	    memcmp(name, keys->before.name, TICKET_NAME_BYTES) == 0)
		*out = keys->before, answer = 2;
	else
		answer = 0;
	lock_release(&keys->lock);
	return (answer);
}

static bool
mac_start(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
		    sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
		    0),
		OSSL_PARAM_construct_end(),
	};

	return (EVP_MAC_CTX_set_params(mac, parameters) == 1);
}

/* OpenSSL's SSL_CTX_set_tlsext_ticket_key_evp_cb(3) tells what the answers
 * mean. */
static int
ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	struct tls_context *context =
	    SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	int answer = key_choose(&context->tickets,
	    loop_now_ns(tls_loop_of(ssl)), sealing ? NULL : name, &key);

	if (answer <= 0)
		return (answer);
	if (sealing) {
		memcpy(name, key.name, TICKET_NAME_BYTES);
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			answer = -1;
	}
	if (answer > 0 && (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL,
		key.cipher, iv, sealing) != 1 || !mac_start(mac, &key)))
		answer = -1;
	OPENSSL_cleanse(&key, sizeof(key));
	/* Tickets of 1.3 are used once: there is a new one each time. */
	if (answer == 1 && !sealing && SSL_version(ssl) == TLS1_3_VERSION)
		answer = 2;
	return (answer);
}

void
tls_tickets_init(struct tls_context *context)
{
	lock_init(&context->tickets.lock, LOCK_RANK_LEAF);
	SSL_CTX_set_app_data(context->ctx, context);
	if (context->side == TLS_SERVER)
		(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ctx,
		    ticket_key);
}

void
tls_tickets_fini(struct tls_context *context)
{
	lock_fini(&context->tickets.lock);
	OPENSSL_cleanse(&context->tickets.now, sizeof(context->tickets.now));
	OPENSSL_cleanse(&context->tickets.before,
	    sizeof(context->tickets.before));
}
