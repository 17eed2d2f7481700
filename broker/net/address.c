/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that hold over all loops: connections from one address, and new
 * connections in a second.  Touched when connections come and go only.
 */
#include "base/text.h"
#include "net/net_int.h"

#define OVERRIDE_ADDRESSES_MAX 16

static struct address *
address_find(const struct net *net, const char *host)
{
	struct hash_node *node = hash_find(&net->addresses, host, strlen(host));

	return (node == NULL ? NULL
			     : container_of(node, struct address, node));
}

static struct address *
address_add(struct net *net, const char *host, int32_t max)
{
	const size_t length = strlen(host);
	struct address *a = mem_zalloc(sizeof(*a) + length + 1);

	memcpy(a->host, host, length);
	a->max = max;
	hash_insert(&net->addresses, &a->node, a->host, length);
	return (a);
}

/* "host:count"; a name stands for all of its addresses. */
static void
override_add(struct net *net, const char *host, int32_t max)
{
	struct socket_address found[OVERRIDE_ADDRESSES_MAX];
	struct sockets *sockets = net->setup.sockets;
	size_t count = 0;

	if (sockets->ops->resolve(sockets, host, 0, found, nelems(found),
		&count) != 0 || count == 0) {
		diag_warn(net->setup.diag, net,
		    "max.connections.per.ip.overrides: host=%s not found, "
		    "ignored", host);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct address *a = address_find(net, found[i].host);

		if (a == NULL)
			a = address_add(net, found[i].host, max);
		a->max = max;
		a->override = true;
	}
}

void
net_addresses_init(struct net *net)
{
	const char *overrides =
	    net->setup.options->max_connections_per_ip_overrides;
	struct slice rest = slice_of_text(overrides != NULL ? overrides : "");
	struct slice item;

	while (text_next(&rest, &item)) {
		size_t colon = item.length;
		int32_t max;
		char *host;

		while (colon > 0 && item.data[colon - 1] != ':')
			colon--;
		if (colon == 0 || !text_to_int32(slice_of(item.data + colon,
			item.length - colon), &max)) {
			diag_warn(net->setup.diag, net,
			    "max.connections.per.ip.overrides: \"%.*s\" is no "
			    "host:count, ignored", SLICE_ARGS(item));
			continue;
		}
		host = mem_strndup((const char *)item.data, colon - 1);
		override_add(net, host, max);
		mem_free(host);
	}
}

void
net_addresses_fini(struct net *net)
{
	HASH_EACH(node, &net->addresses) {
		hash_remove(&net->addresses, node);
		mem_free(container_of(node, struct address, node));
	}
}

bool
net_address_take(struct net *net, const char *host)
{
	struct address *a;
	bool room;

	lock_take(&net->lock);
	a = address_find(net, host);
	if (a == NULL)
		a = address_add(net, host,
		    net->setup.options->max_connections_per_ip);
	room = a->count < (size_t)a->max;
	if (room) {
		a->count++;
	} else if (a->count == 0 && !a->override) {
		hash_remove(&net->addresses, &a->node);
		mem_free(a);
	}
	lock_release(&net->lock);
	return (room);
}

void
net_address_drop(struct net *net, const char *host)
{
	struct address *a;

	lock_take(&net->lock);
	a = address_find(net, host);
	CHECK(a != NULL && a->count > 0);
	if (--a->count == 0 && !a->override) {
		hash_remove(&net->addresses, &a->node);
		mem_free(a);
	}
	lock_release(&net->lock);
}

bool
net_rate_take(struct net *net, struct rate *rate, int32_t max, int64_t now_ns)
{
	const int64_t second = now_ns / 1000000000;
	bool room;

	if (max == INT32_MAX)
		return (true);
	lock_take(&net->lock);
	if (rate->second != second) {
		rate->second = second;
		rate->count = 0;
	}
	room = rate->count < max;
	if (room)
		rate->count++;
	lock_release(&net->lock);
	return (room);
}
