/* SPDX-License-Identifier: Apache-2.0 */
#include "security/secrets.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

static struct password_encoder
encoder_of(const struct security_options *options)
{
	return ((struct password_encoder){
	    .secret = options->password_encoder_secret,
	    .keyfactory = options->password_encoder_keyfactory_algorithm,
	    .cipher = options->password_encoder_cipher_algorithm,
	    .key_bits = options->password_encoder_key_bits,
	    .iterations = options->password_encoder_iterations,
	});
}

bool
secrets_check(const struct security_options *options,
    char error[PASSWORD_ERROR_SIZE])
{
	struct password_encoder encoder = encoder_of(options);

	return (encoder.secret == NULL ||
	    password_encoder_check(&encoder, error));
}

/* A secret's copies do not outlive their use. */
static void
wipe(struct buffer *buffer)
{
	if (buffer->data != NULL)
		OPENSSL_cleanse(buffer->data, buffer->capacity);
	buffer_fini(buffer);
}

static bool
put(struct config_map *out, const char *name, struct slice value)
{
	return (config_map_put(out, slice_of_text(name), value, 0));
}

bool
secrets_any(const struct config_map *map)
{
	CONFIG_MAP_EACH(entry, map)
		if (option_is_password(entry->name))
			return (true);
	return (false);
}

/* Whether `stored` is an encoding of `value`. */
static bool
same_secret(const char *secret, const char *stored, const char *value)
{
	struct buffer plain = BUFFER_EMPTY;
	char error[PASSWORD_ERROR_SIZE];
	bool same = stored != NULL &&
	    password_decode(secret, stored, &plain, error) &&
	    strcmp(buffer_text(&plain), value) == 0;

	wipe(&plain);
	return (same);
}

static bool
encode_entry(const struct password_encoder *encoder, const char *name,
    const char *value, const char *stored, struct config_map *out,
    char error[PASSWORD_ERROR_SIZE])
{
	struct buffer text = BUFFER_EMPTY;
	bool good;

	if (encoder->secret == NULL) {
		snprintf(error, PASSWORD_ERROR_SIZE,
		    "Password encoder secret not configured");
		return (false);
	}
	if (same_secret(encoder->secret, stored, value))
		return (put(out, name, slice_of_text(stored)));
	good = password_encode(encoder, value, &text, error) &&
	    put(out, name, buffer_slice(&text));
	buffer_fini(&text);
	return (good);
}

bool
secrets_encode(const struct security_options *options,
    const struct config_map *plain, const struct config_map *stored,
    struct config_map *out, char error[PASSWORD_ERROR_SIZE])
{
	struct password_encoder encoder = encoder_of(options);

	snprintf(error, PASSWORD_ERROR_SIZE, "Too many or too long configs");
	CONFIG_MAP_EACH(entry, plain)
		if (!(option_is_password(entry->name) ?
			encode_entry(&encoder, entry->name, entry->value,
			    config_map_get(stored, entry->name), out, error) :
			put(out, entry->name, slice_of_text(entry->value))))
			return (false);
	return (true);
}

void
secrets_decode(const struct security_options *options,
    const struct config_map *stored, struct config_map *out,
    void (*told)(void *arg, const char *name), void *arg)
{
	const char *secret = options->password_encoder_secret;
	char error[PASSWORD_ERROR_SIZE];

	CONFIG_MAP_EACH(entry, stored) {
		struct buffer plain = BUFFER_EMPTY;

		if (!option_is_password(entry->name))
			(void)put(out, entry->name,
			    slice_of_text(entry->value));
		else if (secret == NULL || !password_decode(secret,
			     entry->value, &plain, error) ||
		    !put(out, entry->name, buffer_slice(&plain)))
			told(arg, entry->name);
		wipe(&plain);
	}
}

/* With the new secret, so that there is nothing to do. */
static bool
decodes(const char *secret, const char *stored)
{
	struct buffer plain = BUFFER_EMPTY;
	char error[PASSWORD_ERROR_SIZE];
	bool good = secret != NULL &&
	    password_decode(secret, stored, &plain, error);

	wipe(&plain);
	return (good);
}

static bool
reencode_entry(const struct password_encoder *encoder, const char *old_secret,
    const struct config_entry *entry, struct config_map *out,
    bool *any, char error[PASSWORD_ERROR_SIZE])
{
	struct buffer plain = BUFFER_EMPTY;
	bool good;

	if (!option_is_password(entry->name) ||
	    decodes(encoder->secret, entry->value) ||
	    !password_decode(old_secret, entry->value, &plain, error)) {
		good = put(out, entry->name, slice_of_text(entry->value));
	} else {
		*any = true;
		good = encode_entry(encoder, entry->name, buffer_text(&plain),
		    NULL, out, error);
	}
	wipe(&plain);
	return (good);
}

bool
secrets_reencode(const struct security_options *options,
    const struct config_map *stored, struct config_map *out,
    char error[PASSWORD_ERROR_SIZE])
{
	struct password_encoder encoder = encoder_of(options);
	const char *old_secret = options->password_encoder_old_secret;
	bool good = old_secret != NULL, any = false;

	if (good)
		CONFIG_MAP_EACH(entry, stored)
			good = good && reencode_entry(&encoder, old_secret,
			    entry, out, &any, error);
	if (good && any)
		return (true);
	config_map_fini(out);
	config_map_init(out);
	return (false);
}
