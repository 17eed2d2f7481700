/* SPDX-License-Identifier: Apache-2.0 */
/* The options ssl.* of one listener or client; see security.h. */
#include "config/security.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

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

bool
security_scoped_name(const char *listener, const char *option,
    char name[SECURITY_NAME_SIZE])
{
	const int length = snprintf(name, SECURITY_NAME_SIZE,
	    "listener.name.%s.%s", listener, option);

	for (char *c = name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return (length > 0 && length < SECURITY_NAME_SIZE);
}

const struct security_options *
config_security_of(struct config *config, const char *listener)
{
	struct security_options *own = config_array(config, 1, sizeof(*own));
	char name[SECURITY_NAME_SIZE], error[OPTION_ERROR_SIZE];

	*own = config->options.security;
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const char *text;

		if (!is_tls_option(option) ||
		    !security_scoped_name(listener, option->name, name))
			continue;
		text = config_text(config, name);
		if (text != NULL && !option_parse(option, text,
			field_of(own, option), error))
			config_say(config, FINDING_ERROR, name, "%s", error);
	}
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

bool
security_same(const struct security_options *a,
    const struct security_options *b)
{
	for (size_t i = 0; i < option_count(); i++) {
		const struct option *option = option_at(i);
		const size_t at = option->offset -
		    offsetof(struct broker_options, security);

		if (is_tls_option(option) && !field_same(option,
			(const char *)a + at, (const char *)b + at))
			return (false);
	}
	return (true);
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
