/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to another broker, where the loop's image says that it listens.
 * One that moved gets a new connection with the next request.
 */
#include "replica/fetcher_int.h"

#include "base/mem.h"
#include "config/options.h"

#define LINK_BACKOFF_MS 100

void
link_close(struct link *link)
{
	if (link->peer != NULL)
		peer_free(&link->peer);
	mem_free(link->host);
	link->host = NULL;
}

static void
link_open(struct link *link, struct loop *loop,
    const struct cluster_endpoint *endpoint)
{
	const struct replicas_setup *setup = &link->replicas->setup;

	link->host = mem_strdup(endpoint->host);
	link->port = endpoint->port;
	link->peer = peer_new(&(struct peer_setup){
	    .loop = loop,
	    .sockets = link->setup->sockets,
	    .resolver = link->setup->resolver,
	    .diag = setup->diag,
	    .tls = link->tls,
	    .host = link->host,
	    .port = link->port,
	    .client_id = link->client_id,
	    .connect_timeout_ms =
		setup->broker_options->net.connection_setup_timeout_ms,
	    .connect_timeout_max_ms =
		setup->broker_options->net.connection_setup_timeout_max_ms,
	    .request_timeout_ms = link->request_timeout_ms,
	    .backoff_ms = LINK_BACKOFF_MS,
	    .response_bytes_max = link->response_bytes_max,
	    .in_flight_max = 1,
	});
}

static const struct cluster_endpoint *
link_endpoint(const struct link *link, int32_t broker)
{
	const struct cluster_broker *known = image_broker(
	    cluster_image(link->replicas->setup.cluster), broker);

	return (known == NULL ? NULL : broker_endpoint(known, link->listener));
}

bool
link_stands(const struct link *link, int32_t broker)
{
	const struct cluster_endpoint *endpoint = link_endpoint(link, broker);

	return (link->peer != NULL && endpoint != NULL &&
	    link->port == endpoint->port &&
	    strcmp(link->host, endpoint->host) == 0);
}

struct peer *
link_peer(struct link *link, struct loop *loop, int32_t broker)
{
	const struct cluster_endpoint *endpoint = link_endpoint(link, broker);

	if (!link_stands(link, broker))
		link_close(link);
	if (endpoint == NULL)
		return (NULL);
	if (link->peer == NULL)
		link_open(link, loop, endpoint);
	return (link->peer);
}
