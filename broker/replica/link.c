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

struct peer *
link_peer(struct link *link, struct loop *loop, int32_t broker)
{
	const struct cluster_image *image = cluster_image(
	    link->replicas->setup.cluster);
	const struct cluster_broker *known = image_broker(image, broker);
	const struct cluster_endpoint *endpoint = known == NULL ? NULL :
	    broker_endpoint(known, link->listener);

	if (endpoint == NULL) {
		link_close(link);
		return (NULL);
	}
	if (link->peer != NULL && (link->port != endpoint->port ||
		strcmp(link->host, endpoint->host) != 0))
		link_close(link);
	if (link->peer == NULL)
		link_open(link, loop, endpoint);
	return (link->peer);
}
