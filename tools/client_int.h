/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_CLIENT_INT_H
#define TOOLS_CLIENT_INT_H

#include "net/peer.h"
#include "net/tls.h"
#include "tools/client.h"

#define CLIENT_NODES_MAX 10000
/* Keys beyond are none of ours. */
#define CLIENT_KEYS_MAX 128

struct version_range {
	bool there;
	int16_t lowest;
	int16_t highest;
};

/* A broker that we know of; id -1: from the bootstrap list. */
struct node {
	struct list link;
	int32_t id;
	char *host;
	int32_t port;
	struct peer *peer; /* NULL: not spoken to yet */
	bool versions_known;
	struct version_range versions[CLIENT_KEYS_MAX];
};

/* One question to one node, or (node NULL) a pause. Its place is the asking
 * thread's stack. */
struct exchange {
	struct client *client;
	struct node *node;
	int api_key;
	const void *request;
	void *response;
	struct peer_call call;
	int64_t limit_ns; /* of the whole; INT64_MAX: what the peer has */
	struct api_versions_response versions;
	int64_t pause_ns; /* of a pause */
	bool paused;
	enum client_status status;
	bool sent;
	bool finished; /* under the client's mutex */
};

/* On the loop: runs the exchange as a task and calls exchange_finished(). */
void exchange_start(void *exchange);
void exchange_finished(struct exchange *exchange);

/* What the loop side needs of the client. */
struct loop *client_loop(const struct client *client);
/* Formats what client_why() answers. */
void client_set_why(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The peer of a node, made when it is not there. */
struct peer *client_peer(struct client *client, struct node *node);
/* Keeps the bytes that an answer borrows. */
void client_keep_frame(struct client *client, struct buffer *frame);

#endif
