/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners; see listener.h. */
#include "config/listener.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/text.h"

static const char *const protocol_names[] = {
	[PROTOCOL_PLAINTEXT] = "PLAINTEXT",
	[PROTOCOL_SSL] = "SSL",
	[PROTOCOL_SASL_PLAINTEXT] = "SASL_PLAINTEXT",
	[PROTOCOL_SASL_SSL] = "SASL_SSL",
};

const char *
security_protocol_name(enum security_protocol protocol)
{
	CHECK((size_t)protocol < nelems(protocol_names));
	return (protocol_names[protocol]);
}

bool
security_protocol_known(int protocol)
{
	return (protocol >= 0 && (size_t)protocol < nelems(protocol_names));
}

bool
security_protocol_parse(struct slice name, enum security_protocol *out)
{
	for (size_t i = 0; i < nelems(protocol_names); i++)
		if (strlen(protocol_names[i]) == name.length &&
		    strncasecmp(protocol_names[i], (const char *)name.data,
			name.length) == 0) {
			*out = (enum security_protocol)i;
			return (true);
		}
	return (false);
}

static bool
is_host_character(uint8_t c)
{
	return (isalnum(c) || (c != 0 && strchr("-%._:", c) != NULL));
}

/* Without brackets; the colons of an IPv6 address may also stand bare, as the
 * last one is the port's. */
static bool
host_parse(struct slice text, struct arena *arena, const char **host)
{
	if (text.length > 0 && *text.data == '[')
		text = slice_of(text.data + 1, text.length - 1);
	if (text.length > 0 && text.data[text.length - 1] == ']')
		text.length--;
	for (size_t i = 0; i < text.length; i++)
		if (!is_host_character(text.data[i]))
			return (false);
	*host = arena_slice_text(arena, text);
	return (*host != NULL);
}

bool
listener_parse(struct slice text, struct arena *arena,
    struct config_listener *out)
{
	const uint8_t *mark = memmem(text.data, text.length, "://", 3);
	struct slice host;
	size_t colon;
	char *name;

	if (mark == NULL || mark == text.data)
		return (false);
	host = slice_of(mark + 3,
	    text.length - (size_t)(mark + 3 - text.data));
	for (colon = host.length; colon > 0 && host.data[colon - 1] != ':';)
		colon--;
	if (colon == 0)
		return (false);
	*out = (struct config_listener){ .connections_max = INT32_MAX,
		.connection_creation_rate_max = INT32_MAX };
	if (!text_to_int32(slice_of(host.data + colon, host.length - colon),
		&out->port) || out->port < 0 || out->port > UINT16_MAX)
		return (false);
	if (!host_parse(slice_of(host.data, colon - 1), arena, &out->host))
		return (false);
	name = arena_slice_text(arena,
	    slice_of(text.data, (size_t)(mark - text.data)));
	if (name == NULL)
		return (false);
	for (char *c = name; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
	out->name = name;
	return (true);
}

bool
listener_same(const struct config_listener *a, const struct config_listener *b)
{
	return (strcasecmp(a->name, b->name) == 0 &&
	    a->protocol == b->protocol && strcmp(a->host, b->host) == 0 &&
	    a->port == b->port);
}

const struct config_listener *
listener_list_find(const struct listener_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcasecmp(list->items[i].name, name) == 0)
			return (&list->items[i]);
	return (NULL);
}
