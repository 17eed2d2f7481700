/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to one broker, on the loop:
 *
 *	[versions known] ----------------------------+
 *	       | no                                  v
 *	ask versions -> await versions -> send -> await -> finished
 */
#include "base/check.h"
#include "tools/client_int.h"

#define CLIENT_SOFTWARE "barnabas"
#define NS_PER_MS ((int64_t)1000000)

static enum verdict exchange_send(struct task *task);

struct exchange_state {
	struct exchange *exchange;
};

static const struct task_class exchange_class = {
	.name = "exchange",
	.state_size = sizeof(struct exchange_state),
};

static struct exchange *
exchange_of(struct task *task)
{
	return (((struct exchange_state *)task_state(task))->exchange);
}

/* What is left for the next request. */
static void
exchange_limit(struct task *task, struct exchange *x)
{
	const int64_t left_ns = x->limit_ns - loop_now_ns(task_loop(task));

	x->call.timeout_ms = 0;
	if (x->limit_ns != INT64_MAX)
		x->call.timeout_ms = left_ns > NS_PER_MS ? left_ns / NS_PER_MS
							 : 1;
}

static enum verdict
exchange_end(struct exchange *x, enum client_status status)
{
	x->status = status;
	exchange_finished(x);
	return (STEP_DONE);
}

static const char *
advice_for(const struct exchange *x)
{
	switch (x->call.error) {
	case PEER_UNTRUSTED:
		return (peer_why(x->node->peer));
	case PEER_REFUSED:
		return ("nobody listens there; is the broker running?");
	case PEER_UNRESOLVED:
		return ("the name is not known");
	case PEER_TIMED_OUT:
		return ("no answer in time");
	case PEER_LOST:
	case PEER_RESET:
		return ("the connection was closed; does the listener speak "
			"what security.protocol says?");
	default:
		return ("is this a broker's listener, and does it speak what "
			"security.protocol says?");
	}
}

/* The link is gone or not to be trusted: what it said about versions, too. */
static enum verdict
exchange_lost(struct exchange *x)
{
	client_set_why(x->client, "%s:%d: %s: %s", x->node->host,
	    x->node->port, peer_error_name(x->call.error),
	    advice_for(x));
	x->node->versions_known = false;
	peer_call_fini(&x->call);
	return (exchange_end(x, CLIENT_UNREACHABLE));
}

/* --- versions ------------------------------------------------------------- */

static void
node_learn(struct node *node, const struct api_versions_response *response)
{
	for (size_t i = 0; i < CLIENT_KEYS_MAX; i++)
		node->versions[i].there = false;
	for (int32_t i = 0; i < response->api_keys_count; i++) {
		const struct api_versions_response_api_key *key =
		    &response->api_keys[i];

		if (key->api_key < 0 || key->api_key >= CLIENT_KEYS_MAX)
			continue;
		node->versions[key->api_key] = (struct version_range) {
			.there = true,
			.lowest = key->min_version,
			.highest = key->max_version,
		};
	}
	node->versions_known = true;
}

static enum verdict
exchange_await_versions(struct task *task)
{
	struct exchange *x = exchange_of(task);

	if (!x->call.done)
		return (STEP_WAIT);
	if (x->call.error != PEER_OK)
		return (exchange_lost(x));
	if (x->versions.error_code != ERR_NONE) {
		client_set_why(x->client, "%s:%d: ApiVersions: %s",
		    x->node->host, x->node->port,
		    error_name(x->versions.error_code));
		peer_call_fini(&x->call);
		return (exchange_end(x, CLIENT_UNREACHABLE));
	}
	node_learn(x->node, &x->versions);
	peer_call_fini(&x->call);
	return (task_next(task, exchange_send));
}

static enum verdict
exchange_ask_versions(struct task *task)
{
	struct exchange *x = exchange_of(task);
	struct peer *peer = client_peer(x->client, x->node);
	struct api_versions_request request;

	wire_init(&message_api_versions_request, &request);
	request.client_software_name = SLICE_LITERAL(CLIENT_SOFTWARE);
	request.client_software_version = SLICE_LITERAL("0.1");
	x->call.task = task_ref(task);
	x->call.arena = client_arena(x->client);
	x->call.response = &x->versions;
	exchange_limit(task, x);
	/* Version 3 is Kafka 2.4's; older brokers are none of ours. */
	CHECK(peer_send(peer, &x->call, API_API_VERSIONS, 3, &request) ==
	    WIRE_OK);
	return (task_next(task, exchange_await_versions));
}

/* --- the question --------------------------------------------------------- */

static enum verdict
exchange_await(struct task *task)
{
	struct exchange *x = exchange_of(task);

	if (!x->call.done)
		return (STEP_WAIT);
	if (x->call.error != PEER_OK)
		return (exchange_lost(x));
	client_keep_frame(x->client, &x->call.frame);
	peer_call_fini(&x->call);
	return (exchange_end(x, CLIENT_OK));
}

/* The highest version that both know; -1: there is none. */
static int
exchange_version(const struct exchange *x, const struct api *api)
{
	const struct version_range *range = &x->node->versions[api->key];
	const int highest =
	    range->highest < api->highest ? range->highest : api->highest;

	if (!range->there || highest < api->lowest ||
	    highest < range->lowest)
		return (-1);
	return (highest);
}

static enum verdict
exchange_send(struct task *task)
{
	struct exchange *x = exchange_of(task);
	const struct api *api = api_by_key(x->api_key);
	const int version = exchange_version(x, api);

	if (version < 0) {
		client_set_why(x->client,
		    "%s:%d does not know the request %s", x->node->host,
		    x->node->port, api->name);
		return (exchange_end(x, CLIENT_UNSUPPORTED));
	}
	x->call.task = task_ref(task);
	x->call.arena = client_arena(x->client);
	x->call.response = x->response;
	exchange_limit(task, x);
	if (peer_send(client_peer(x->client, x->node), &x->call, x->api_key,
		version, x->request) != WIRE_OK) {
		client_set_why(x->client,
		    "%s:%d speaks %s up to version %d, which cannot carry "
		    "what was asked for",
		    x->node->host, x->node->port, api->name, version);
		return (exchange_end(x, CLIENT_UNSUPPORTED));
	}
	x->sent = true;
	return (task_next(task, exchange_await));
}

static enum verdict
exchange_begin(struct task *task)
{
	const struct exchange *x = exchange_of(task);

	return (task_next(task, x->node->versions_known
		? exchange_send
		: exchange_ask_versions));
}

/* --- a pause -------------------------------------------------------------- */

static enum verdict
exchange_pause(struct task *task)
{
	struct exchange *x = exchange_of(task);

	if (!x->paused) {
		x->paused = true;
		task_sleep(task, x->pause_ns);
		return (STEP_WAIT);
	}
	if (!task_slept(task))
		return (STEP_WAIT);
	return (exchange_end(x, CLIENT_OK));
}

static void
exchange_setup(struct task *task, void *arg)
{
	((struct exchange_state *)task_state(task))->exchange = arg;
}

void
exchange_start(void *exchange)
{
	struct exchange *x = exchange;

	task_start(client_loop(x->client), &exchange_class,
	    x->node != NULL ? exchange_begin : exchange_pause, exchange_setup,
	    x);
}
