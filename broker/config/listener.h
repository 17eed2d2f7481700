/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners: named addresses, NAME://host:port, and the security protocol that
 * each name speaks.  Immutable; they live as long as their config.
 */
#ifndef CONFIG_LISTENER_H
#define CONFIG_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct security_options;
struct slice;

/* Kafka's ids. */
enum security_protocol {
	PROTOCOL_PLAINTEXT = 0,
	PROTOCOL_SSL = 1,
	PROTOCOL_SASL_PLAINTEXT = 2,
	PROTOCOL_SASL_SSL = 3
};

struct config_listener {
	const char *name; /* in upper case */
	enum security_protocol protocol;
	const char *host; /* "": every interface; IPv6 without brackets */
	int32_t port;     /* 0: any free one */
	/* Of this listener alone; INT32_MAX: no bound of its own. */
	int32_t connections_max;
	int32_t connection_creation_rate_max;
	/* Its ssl.*, general ones and its own; NULL: it speaks no TLS. */
	const struct security_options *security;
};

struct listener_list {
	const struct config_listener *items;
	size_t count;
};

struct text_list {
	const char *const *items;
	size_t count;
};

/* Kafka's name of it. */
const char *security_protocol_name(enum security_protocol protocol);
/* Whether a number from elsewhere is one of them. */
bool security_protocol_known(int protocol);
/* In any case, as Kafka takes it. */
bool security_protocol_parse(struct slice name, enum security_protocol *out);
/* One address; name, host and port are set.  Memory is the arena's. */
bool listener_parse(struct slice text, struct arena *arena,
    struct config_listener *out);
/* Name, protocol and address. */
bool listener_same(const struct config_listener *a,
    const struct config_listener *b);
/* The first of that name, in any case; NULL for none. */
const struct config_listener *listener_list_find(
    const struct listener_list *list, const char *name);

#endif
