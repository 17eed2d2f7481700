/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners out of their options:
 *
 *	listeners, listener.security.protocol.map --> listener_list
 *	advertised.listeners, else listeners      --> advertised_list
 *	inter.broker.listener.name,
 *	else security.inter.broker.protocol       --> inter_broker_listener
 *	control.plane.listener.name               --> control_plane_listener
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "config/config_int.h"

#define LISTENERS_MAX 64

/* False: the map has no such name. */
static bool
protocol_of(const struct config *config, const char *name,
    enum security_protocol *protocol)
{
	struct slice rest, item, value;

	rest = slice_of_text(
	    config->options.net.listener_security_protocol_map);
	while (text_next(&rest, &item)) {
		struct slice key = text_trim(text_cut(item, ':', &value));

		if (key.length == strlen(name) &&
		    strncasecmp((const char *)key.data, name, key.length) == 0)
			return (security_protocol_parse(text_trim(value),
			    protocol));
	}
	return (false);
}

static void
check_protocol_map(struct config *config)
{
	static const char option[] = "listener.security.protocol.map";
	struct slice rest, item, value;
	enum security_protocol protocol;

	rest = slice_of_text(
	    config->options.net.listener_security_protocol_map);
	while (text_next(&rest, &item)) {
		if (text_cut(item, ':', &value).length == 0 ||
		    value.data == NULL ||
		    !security_protocol_parse(text_trim(value), &protocol))
			config_say(config, FINDING_ERROR, option,
			    "%.*s: it must read NAME:PROTOCOL, with PLAINTEXT, "
			    "SSL, SASL_PLAINTEXT or SASL_SSL",
			    (int)(item.length < 200 ? item.length : 200),
			    (const char *)item.data);
	}
}

/* A listener's own bound, by prefix; INT32_MAX: none. */
static int32_t
own_bound(struct config *config, const char *listener, const char *name)
{
	int32_t bound = INT32_MAX;

	config_scoped_parse(config, listener, option_find(name), &bound);
	return (bound);
}

static bool
parse_one(struct config *config, const char *option, struct slice text,
    struct config_listener *out)
{
	int length = (int)(text.length < 200 ? text.length : 200);

	if (!listener_parse(text, &config->arena, out)) {
		config_say(config, FINDING_ERROR, option,
		    "Unable to parse %.*s to a broker endpoint: it must read "
		    "NAME://host:port", length, (const char *)text.data);
		return (false);
	}
	if (!protocol_of(config, out->name, &out->protocol)) {
		config_say(config, FINDING_ERROR, option,
		    "no security protocol for listener %.100s: add it to "
		    "listener.security.protocol.map", out->name);
		return (false);
	}
	out->connections_max = own_bound(config, out->name, "max.connections");
	out->connection_creation_rate_max =
	    own_bound(config, out->name, "max.connection.creation.rate");
	if (out->protocol == PROTOCOL_SSL)
		out->security = config_security_of(config, out->name);
	return (true);
}

static struct listener_list
parse_list(struct config *config, const char *option, const char *text)
{
	struct config_listener *items =
	    config_array(config, LISTENERS_MAX, sizeof(*items));
	struct slice rest = slice_of_text(text), item;
	struct listener_list list = { items, 0 };

	while (text_next(&rest, &item)) {
		if (list.count == LISTENERS_MAX) {
			config_say(config, FINDING_ERROR, option,
			    "more than %d listeners", LISTENERS_MAX);
			break;
		}
		if (!parse_one(config, option, item, &items[list.count]))
			continue;
		if (listener_list_find(&list, items[list.count].name) != NULL)
			config_say(config, FINDING_ERROR, option,
			    "Each listener must have a different name: %.100s "
			    "stands twice", items[list.count].name);
		else
			list.count++;
	}
	return (list);
}

/* An IPv4 and an IPv6 listener may share a port (KIP-797). */
static bool
may_share_port(const struct config_listener *a, const struct config_listener *b)
{
	uint8_t address[16];
	bool a4 = inet_pton(AF_INET, a->host, address) == 1;
	bool b4 = inet_pton(AF_INET, b->host, address) == 1;
	bool a6 = inet_pton(AF_INET6, a->host, address) == 1;
	bool b6 = inet_pton(AF_INET6, b->host, address) == 1;

	return ((a4 && b6) || (a6 && b4));
}

static void
check_ports(struct config *config)
{
	const struct listener_list *list = &config->options.net.listener_list;

	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct config_listener *a = &list->items[i];
			const struct config_listener *b = &list->items[j];

			if (a->port != 0 && a->port == b->port &&
			    !may_share_port(a, b))
				config_say(config, FINDING_ERROR, "listeners",
				    "Each listener must have a different port: "
				    "%.100s and %.100s both have %d", b->name,
				    a->name, (int)a->port);
		}
}

static void
check_protocols(struct config *config)
{
	const struct listener_list *list = &config->options.net.listener_list;

	if (list->count == 0 && config->error_count == 0)
		config_say(config, FINDING_ERROR, "listeners",
		    "at least one listener is needed: NAME://host:port");
	for (size_t i = 0; i < list->count; i++) {
		const struct config_listener *l = &list->items[i];

		if (l->protocol == PROTOCOL_SASL_PLAINTEXT ||
		    l->protocol == PROTOCOL_SASL_SSL)
			config_say(config, FINDING_ERROR, "listeners",
			    "listener %.100s speaks %s, which this version "
			    "does not: take it out, or map it to SSL or "
			    "PLAINTEXT in listener.security.protocol.map",
			    l->name,
			    security_protocol_name(l->protocol));
	}
}

static void
check_advertised(struct config *config, const char *option)
{
	const struct net_options *net = &config->options.net;

	for (size_t i = 0; i < net->advertised_list.count; i++) {
		const struct config_listener *l =
		    &net->advertised_list.items[i];

		if (strcmp(l->host, "0.0.0.0") == 0)
			config_say(config, FINDING_ERROR, option,
			    "advertised.listeners cannot use the nonroutable "
			    "meta-address 0.0.0.0. Use a routable IP address.");
		else if (strcmp(l->host, "::") == 0)
			config_say(config, FINDING_WARN, option,
			    "clients cannot reach the address ::, which is "
			    "advertised: name one in advertised.listeners");
		if (listener_list_find(&net->listener_list, l->name) == NULL)
			config_say(config, FINDING_ERROR, option,
			    "%.100s is not among listeners: advertised names "
			    "must be some of them", l->name);
	}
}

static void
resolve_inter_broker(struct config *config)
{
	struct net_options *net = &config->options.net;
	const char *name = net->inter_broker_listener_name;
	const char *option = "inter.broker.listener.name";

	if (name != NULL &&
	    config_text(config, "security.inter.broker.protocol") != NULL) {
		config_say(config, FINDING_ERROR, option,
		    "Only one of inter.broker.listener.name and "
		    "security.inter.broker.protocol should be set.");
	} else if (name == NULL) {
		name = net->security_inter_broker_protocol;
		option = "security.inter.broker.protocol";
	}
	net->inter_broker_listener =
	    listener_list_find(&net->advertised_list, name);
	if (net->inter_broker_listener == NULL)
		config_say(config, FINDING_ERROR, option,
		    "there is no advertised listener %.100s for brokers to "
		    "reach each other: add it, or name another in "
		    "inter.broker.listener.name", name);
}

static void
resolve_control_plane(struct config *config)
{
	struct net_options *net = &config->options.net;
	const char *name = net->control_plane_listener_name;
	static const char option[] = "control.plane.listener.name";

	if (name == NULL)
		return;
	net->control_plane_listener =
	    listener_list_find(&net->listener_list, name);
	if (net->control_plane_listener == NULL)
		config_say(config, FINDING_ERROR, option,
		    "%.100s is not among listeners", name);
	else if (listener_list_find(&net->advertised_list, name) == NULL)
		config_say(config, FINDING_ERROR, option,
		    "%.100s is not among the advertised listeners", name);
	if (net->inter_broker_listener != NULL &&
	    strcasecmp(net->inter_broker_listener->name, name) == 0)
		config_say(config, FINDING_ERROR, option,
		    "it must differ from the listener between brokers");
}

void
config_resolve_listeners(struct config *config)
{
	struct net_options *net = &config->options.net;
	const char *option = "advertised.listeners";

	check_protocol_map(config);
	net->listener_list = parse_list(config, "listeners", net->listeners);
	net->advertised_list = net->listener_list;
	if (net->advertised_listeners == NULL)
		option = "listeners";
	else
		net->advertised_list = parse_list(config, option,
		    net->advertised_listeners);
	check_ports(config);
	check_protocols(config);
	check_advertised(config, option);
	resolve_inter_broker(config);
	resolve_control_plane(config);
}
