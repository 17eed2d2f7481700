/* SPDX-License-Identifier: Apache-2.0 */
/* The options ssl.* of one listener or client; see security.h. */
#include "config/security.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "config/config_int.h"

static bool
is_tls_option(const struct option *option)
{
	return (strcmp(option->room, "security") == 0 &&
	    strncmp(option->name, "ssl.", 4) == 0);
}

static void *
field_of(struct security_options *security, const struct option *option)
{
	return ((char *)security + option->offset -
	    offsetof(struct broker_options, security));
}

static const char *
scoped_name(const char *listener, const char *option, struct buffer *out)
{
	buffer_printf(out, "listener.name.%s.%s", listener, option);
	for (size_t i = 0; i < out->length; i++)
		out->data[i] = (uint8_t)tolower(out->data[i]);
	return (buffer_text(out));
}

const char *
config_scoped_text(const struct config *config, const char *listener,
    const char *option)
{
	struct buffer name = BUFFER_EMPTY;
	const char *text = config_text(config, scoped_name(listener, option,
	    &name));

	buffer_fini(&name);
	return (text);
}

void
config_scoped_parse(struct config *config, const char *listener,
    const struct option *option, void *field)
{
	const char *text = config_scoped_text(config, listener, option->name);
	struct buffer name = BUFFER_EMPTY;
	char error[OPTION_ERROR_SIZE];

	if (text != NULL && !option_parse(option, text, field, error))
		config_say(config, FINDING_ERROR, scoped_name(listener,
		    option->name, &name), "%s", error);
	buffer_fini(&name);
}

const struct security_options *
config_security_of(struct config *config, const char *listener)
{
	struct security_options *own = config_array(config, 1, sizeof(*own));

	*own = config->options.security;
	for (size_t i = 0; i < option_count(); i++)
		if (is_tls_option(option_at(i)))
			config_scoped_parse(config, listener, option_at(i),
			    field_of(own, option_at(i)));
	return (own);
}

static bool
field_same(const struct option *option, const void *a, const void *b)
{
	const char *texts[2];

	if (option->type == OPTION_BOOLEAN)
		return (*(const bool *)a == *(const bool *)b);
	texts[0] = *(const char *const *)a;
	texts[1] = *(const char *const *)b;
	if (texts[0] == NULL || texts[1] == NULL)
		return (texts[0] == texts[1]);
	return (strcmp(texts[0], texts[1]) == 0);
}

static bool
fields_same(const struct security_options *a, const struct security_options *b,
    bool of_stores)
{
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const size_t at = option->offset -
		    offsetof(struct broker_options, security);

		if (is_tls_option(option) &&
		    config_is_a_listeners(option->name) == of_stores &&
		    !field_same(option, (const char *)a + at,
			(const char *)b + at))
			return (false);
	}
	return (true);
}

bool
security_same_stores(const struct security_options *a,
    const struct security_options *b)
{
	return (fields_same(a, b, true));
}

bool
security_same_but_stores(const struct security_options *a,
    const struct security_options *b)
{
	return (fields_same(a, b, false));
}

bool
security_names_files(const struct config_map *entries)
{
	CONFIG_MAP_EACH(entry, entries) {
		const char *base = option_behind_listener(entry->name, NULL);

		if (base != entry->name &&
		    (strcmp(base, "ssl.keystore.location") == 0 ||
			strcmp(base, "ssl.truststore.location") == 0))
			return (true);
	}
	return (false);
}

/* All of them are texts. */
void
security_take_stores(struct security_options *options,
    const struct security_options *next)
{
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const size_t at = option->offset -
		    offsetof(struct broker_options, security);
		const char *text;

		if (!is_tls_option(option) ||
		    !config_is_a_listeners(option->name))
			continue;
		memcpy(&text, (const char *)next + at, sizeof(text));
		memcpy((char *)options + at, &text, sizeof(text));
	}
}

bool
security_of_client(const struct config_map *map, struct security_options *out,
    char error[OPTION_ERROR_SIZE])
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const char *text = config_map_get(map, option->name);
		void *field = field_of(out, option);

		if (!is_tls_option(option))
			continue;
		if (!option_parse(option, text != NULL ? text :
			option->fallback, field, error))
			return (false);
		if (option->status == STATUS_SECURITY && text != NULL &&
		    !option_same(option, text, option->fallback)) {
			snprintf(error, OPTION_ERROR_SIZE, "%s: %.300s",
			    option->name, option->why);
			return (false);
		}
	}
	return (true);
}
