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

/* --- bounds --------------------------------------------------------------- */

/* What the overrides come to, before they count. */
struct address_bound {
	struct list link;
	int32_t max;
	char host[sizeof(((struct socket_address *)0)->host)];
};

/* "host:count"; a name stands for all of its addresses. */
static void
override_find(struct net *net, const char *host, int32_t max,
    struct list *bounds)
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
		struct address_bound *bound = mem_zalloc(sizeof(*bound));

		bound->max = max;
		memcpy(bound->host, found[i].host, sizeof(bound->host));
		list_push_tail(bounds, &bound->link);
	}
}

static void
overrides_find(struct net *net, const char *overrides, struct list *bounds)
{
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
		override_find(net, host, max, bounds);
		mem_free(host);
	}
}

/* Under the lock: nobody is an exception any more. */
static void
bounds_reset(struct net *net, int32_t max)
{
	net->per_address_max = max;
	HASH_EACH(node, &net->addresses) {
		struct address *a = container_of(node, struct address, node);

		a->max = max;
		a->override = false;
		if (a->count > 0)
			continue;
		hash_remove(&net->addresses, node);
		mem_free(a);
	}
}

void
net_take_address_bounds(struct net *net, const struct net_options *options)
{
	struct list bounds, *element;

	list_init(&bounds);
	overrides_find(net, options->max_connections_per_ip_overrides, &bounds);
	lock_take(&net->lock);
	bounds_reset(net, options->max_connections_per_ip);
	while ((element = list_pop_head(&bounds)) != NULL) {
		struct address_bound *bound = list_entry(element,
		    struct address_bound, link);
		struct address *a = address_find(net, bound->host);

		if (a == NULL)
			a = address_add(net, bound->host, bound->max);
		a->max = bound->max;
		a->override = true;
		mem_free(bound);
	}
	lock_release(&net->lock);
}

/* --- counting ------------------------------------------------------------- */

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
		a = address_add(net, host, net->per_address_max);
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
