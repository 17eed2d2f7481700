/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers share: their surroundings, answering, going to another loop
 * and coming home. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "api/api.h"
#include "base/diag.h"
#include "base/lock.h"
#include "base/task.h"
#include "cluster/cluster.h"
#include "config/live.h"
#include "metrics/metrics.h"

struct fetch_sessions;

/* Immutable after api_new() but for the sessions, which lock for themselves. */
struct apis {
	struct api_setup setup;
	struct fetch_sessions *sessions;
	/* The latest connection that brought a controller's orders. */
	struct lock orders_lock;
	int32_t orders_epoch; /* the controller's */
	uint64_t orders_connection;
};

/* The broker's config as it counts now; valid until the callback or step ends.
 * On a loop. */
static inline const struct config *
apis_config(const struct apis *apis)
{
	return (config_live_now(apis->setup.live));
}

#define SERVED(key, lowest, highest, handler)                                 \
	void handler(struct apis *apis, struct request *request);
#include "api/served.def"
#undef SERVED

/* Decodes the body into `out`; a malformed one closes the connection, answers
 * the request so, and false. */
bool api_decode(struct request *request, const struct message *message,
    void *out);
/* Encodes and sends; the request is over. `response` of the request's API. */
void api_reply(struct apis *apis, struct request *request,
    const void *response);
/* The same in two steps. False: said in the log; the request is unanswered. */
bool api_encode(struct apis *apis, struct request *request,
    const void *response, struct wire_out *out);
void api_send(struct request *request, struct wire_out *out);
/* It is taken up; before its frame is given back. */
void api_count(struct apis *apis, const struct request *request, size_t slot);
/* The arena's bound refused: closes the connection. */
void api_refuse_memory(struct apis *apis, struct request *request);

/*
 * A visit to another loop: a task there runs `first` and the steps after it;
 * the last one returns api_go_home(), and `home` runs on the request's loop,
 * with the request still unanswered.  The request's body and arena are the
 * task's meanwhile.
 */
struct api_away {
	struct post post;
	struct apis *apis;
	struct request *request;
	struct loop *loop;
	task_step *first;
	void (*home)(struct api_away *away);
	void *state; /* the handler's */
};
/* False: no memory; the request was closed. */
bool api_go_away(struct apis *apis, struct request *request, struct loop *loop,
    const struct api_away *plan);
/* The same in memory of the request's that is there: first, home and state are
 * set. Several may be away for one request. */
void api_go_away_with(struct api_away *away, struct apis *apis,
    struct request *request, struct loop *loop);
struct api_away *api_away_of(struct task *task);
enum verdict api_go_home(struct task *task);

/*
 * A controller gives its orders on one connection at a time.  What still comes
 * on an older one it took for lost, and has said again since; nothing in a
 * StopReplica or an UpdateMetadata tells that: the connection is closed, and
 * false.  In a handler, before anything else is made of the order.
 */
bool api_order_counts(struct apis *apis, struct request *request,
    int64_t broker_epoch, int32_t controller_epoch);
/* Of what a controller orders: that of this broker's registration as it has it
 * (-1: none), and its own. */
enum error api_check_epochs(struct apis *apis, int64_t broker_epoch,
    int32_t controller_epoch);

struct controller;
struct controller_call;
/* Decodes, lets the controller answer, encodes. */
void api_ask_controller(struct apis *apis, struct request *request,
    void (*ask)(struct controller *controller, struct controller_call *call),
    int64_t (*timeout_ms)(const void *body));

/*
 * Brokers as clients of this connection see them: those that have its listener,
 * and, unless `wanted` is NULL, that it says yes to.  From the arena; NULL: it
 * refused.
 */
struct api_node {
	int32_t id;
	int32_t port;
	struct slice host;
	struct slice rack; /* may be null */
};
const struct api_node *api_nodes(struct request *request,
    const struct cluster_image *image,
    bool (*wanted)(const void *arg, int32_t id), const void *arg,
    size_t *count);
/* The endpoint of a broker that clients of this connection should see. */
const struct cluster_endpoint *api_endpoint_of(const struct request *request,
    const struct cluster_broker *broker);
/* AclOperation bits (api-versions sheet) that exist for a resource. */
#define API_TOPIC_OPERATIONS 0x0df8
#define API_CLUSTER_OPERATIONS 0x1fa0
#define API_GROUP_OPERATIONS 0x0148

#endif
