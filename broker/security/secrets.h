/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secrets among a broker's dynamic entries: what /config/brokers/N holds is
 * encoded, what counts is not.
 *
 *	stored --secrets_decode--> what counts --secrets_encode--> stored
 *
 * Each secret takes milliseconds: a worker's work.
 * Source: DynamicBrokerConfig, toPersistentProps, fromPersistentProps.
 */
#ifndef SECURITY_SECRETS_H
#define SECURITY_SECRETS_H

#include "config/config.h"
#include "security/password_encoder.h"

/* Whether a secret, if there is one, is used as this version can. */
bool secrets_check(const struct security_options *options,
    char error[PASSWORD_ERROR_SIZE]);
/* Whether there is a secret among them. */
bool secrets_any(const struct config_map *map);
/* The secrets of `plain` encoded, all others as they are.  Where `stored` has
 * an encoding of the same value, that is kept.  False: why; also when there is
 * a secret and no password.encoder.secret, or an entry does not fit. */
bool secrets_encode(const struct security_options *options,
    const struct config_map *plain, const struct config_map *stored,
    struct config_map *out, char error[PASSWORD_ERROR_SIZE]);
/* The other way.  A secret that cannot be decoded is left out and `told`. */
void secrets_decode(const struct security_options *options,
    const struct config_map *stored, struct config_map *out,
    void (*told)(void *arg, const char *name), void *arg);
/* With password.encoder.old.secret: those that it still decodes are encoded
 * anew.  False: none is, and `out` is empty. */
bool secrets_reencode(const struct security_options *options,
    const struct config_map *stored, struct config_map *out,
    char error[PASSWORD_ERROR_SIZE]);

#endif
