/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets as Kafka keeps them in ZooKeeper: encrypted under a key that is
 * derived from password.encoder.secret, as one text of pairs,
 *
 *	initializationVector:B64,keyLength:128,salt:B64,
 *	keyFactoryAlgorithm:PBKDF2WithHmacSHA512,
 *	cipherAlgorithm:AES/CBC/PKCS5Padding,iterations:4096,
 *	passwordLength:6,encryptedPassword:B64
 *
 * (without the blanks; the pairs in any order).  What a text was made with
 * stands in it, so only the secret is needed to read it.  passwordLength counts
 * Java's characters and is held against what comes out.  Deriving the key takes
 * milliseconds: a worker's work.
 * Source: EncryptingPasswordEncoder of 3.9.
 */
#ifndef SECURITY_PASSWORD_ENCODER_H
#define SECURITY_PASSWORD_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct password_encoder {
	const char *secret;
	const char *keyfactory; /* NULL: PBKDF2WithHmacSHA512 */
	const char *cipher;
	int32_t key_bits;
	int32_t iterations;
};

#define PASSWORD_ERROR_SIZE 256

/* Whether it can encode: else which of its parts is not known here. */
bool password_encoder_check(const struct password_encoder *encoder,
    char error[PASSWORD_ERROR_SIZE]);
/* The text, behind what `out` holds. */
bool password_encode(const struct password_encoder *encoder,
    const char *password, struct buffer *out, char error[PASSWORD_ERROR_SIZE]);
/* The password, into `out`, which is empty.  False: not such a text, or not of
 * this secret. */
bool password_decode(const char *secret, const char *encoded,
    struct buffer *out, char error[PASSWORD_ERROR_SIZE]);

#endif
