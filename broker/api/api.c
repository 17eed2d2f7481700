/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_int.h"

#include "api/fetch_session.h"
#include "base/mem.h"
#include "base/random.h"
#include "replica/replica.h"

struct api_row {
	enum api_key key;
	int lowest;
	int highest;
	void (*run)(struct apis *apis, struct request *request);
};

static const struct api_row api_rows[] = {
#define SERVED(key, lowest, highest, handler)                                 \
	{ API_##key, lowest, highest, handler },
#include "api/served.def"
#undef SERVED
};

static const struct api_row *
api_row_of(int key)
{
	for (const struct api_row *r = api_rows;
	     r < api_rows + nelems(api_rows); r++)
		if ((int)r->key == key)
			return (r);
	return (NULL);
}

static bool
api_serves(void *arg, int key, int version)
{
	const struct api_row *row = api_row_of(key);

	(void)arg;
	return (row != NULL && version >= row->lowest &&
	    version <= row->highest);
}

void
api_count(struct apis *apis, const struct request *request, size_t slot)
{
	metrics_add_at(apis->setup.metrics, METRIC_REQUESTS, slot, 1);
	metrics_observe_at(apis->setup.metrics, METRIC_REQUEST_BYTES, slot,
	    (int64_t)request->frame_size);
}

static void
api_on_request(void *arg, struct request *request)
{
	struct apis *apis = arg;
	const struct api_row *row = api_row_of(request->head.api_key);

	CHECK(row != NULL);
	api_count(apis, request, (size_t)request->head.api_key);
	cluster_catch_up(apis->setup.cluster);
	row->run(apis, request);
}

struct net_handler
api_handler(struct apis *apis)
{
	return ((struct net_handler){
	    .on_request = api_on_request,
	    .serves = api_serves,
	    .arg = apis,
	});
}

struct apis *
api_new(const struct api_setup *setup)
{
	struct apis *apis = mem_zalloc(sizeof(*apis));

	apis->setup = *setup;
	apis->sessions = fetch_sessions_new(
	    setup->options->api.fetch_session_count_max,
	    random_u64(setup->random), setup->metrics);
	lock_init(&apis->orders_lock, LOCK_RANK_LEAF);
	apis->orders_epoch = -1;
	return (apis);
}

void
api_free(struct apis **apis)
{
	if (*apis == NULL)
		return;
	fetch_sessions_free(&(*apis)->sessions);
	lock_fini(&(*apis)->orders_lock);
	mem_free(*apis);
	*apis = NULL;
}

bool
api_decode(struct request *request, const struct message *message, void *out)
{
	enum wire_status status = wire_decode(message,
	    request->head.api_version, request->body, &request->arena, out,
	    NULL);

	if (status == WIRE_OK)
		return (true);
	request_close(request,
	    status == WIRE_TOO_LARGE ? "oversized" : "malformed");
	return (false);
}

bool
api_encode(struct apis *apis, struct request *request, const void *response,
    struct wire_out *out)
{
	const int version = request->head.api_version;
	enum wire_status status;

	wire_write_response_head(request->api, version,
	    request->head.correlation_id, &out->bytes);
	status = wire_encode(request->api->response, version, response, out);
	if (status == WIRE_OK)
		return (true);
	diag_error(apis->setup.diag, api,
	    "request=%s version=%d peer=%s the answer cannot be encoded (%d): "
	    "closing the connection", request->api->name, version,
	    connection_peer(request->connection), (int)status);
	return (false);
}

void
api_send(struct request *request, struct wire_out *out)
{
	const int64_t now_ns = loop_clock_ns(request->loop);
	const int64_t waits_ns = request->waits_ns == 0 ? now_ns :
	    request->waits_ns;

	request_observe(request, METRIC_REQUEST_QUEUE_TIME,
	    request->begun_ns - request->received_ns);
	request_observe(request, METRIC_REQUEST_LOCAL_TIME,
	    waits_ns - request->begun_ns);
	request_observe(request, METRIC_REQUEST_REMOTE_TIME,
	    now_ns - waits_ns);
	request_observe(request, METRIC_REQUEST_TOTAL_TIME,
	    now_ns - request->received_ns);
	request_reply(request, out);
}

void
api_reply(struct apis *apis, struct request *request, const void *response)
{
	struct wire_out out;

	wire_out_init(&out);
	if (api_encode(apis, request, response, &out)) {
		api_send(request, &out);
		return;
	}
	wire_out_fini(&out);
	request_close(request, "network");
}

void
api_refuse_memory(struct apis *apis, struct request *request)
{
	diag_warn(apis->setup.diag, api,
	    "request=%s peer=%s needs more memory than one request may have: "
	    "closing the connection", request->api->name,
	    connection_peer(request->connection));
	request_close(request, "oversized");
}

/* --- away ----------------------------------------------------------------- */

static const struct task_class api_away_class = {
	.name = "api-away",
	.state_size = sizeof(struct api_away *),
};

static void
api_away_setup(struct task *task, void *arg)
{
	*(struct api_away **)task_state(task) = arg;
}

static void
api_away_begin(struct api_away *away)
{
	task_start(away->loop, &api_away_class, away->first, api_away_setup,
	    away);
}

static void
api_away_arrive(struct post *post)
{
	struct api_away *away = container_of(post, struct api_away, post);

	/* It goes on with no older image than it began with. */
	cluster_catch_up(away->apis->setup.cluster);
	api_away_begin(away);
}

static void
api_away_home(struct post *post)
{
	struct api_away *away = container_of(post, struct api_away, post);

	away->home(away);
}

void
api_go_away_with(struct api_away *away, struct apis *apis,
    struct request *request, struct loop *loop)
{
	away->apis = apis;
	away->request = request;
	away->loop = loop;
	away->post.run = api_away_arrive;
	if (loop == request->loop)
		api_away_begin(away);
	else
		loop_post(loop, &away->post);
}

bool
api_go_away(struct apis *apis, struct request *request, struct loop *loop,
    const struct api_away *plan)
{
	struct api_away *away = arena_alloc(&request->arena, sizeof(*away));

	if (away == NULL) {
		api_refuse_memory(apis, request);
		return (false);
	}
	*away = *plan;
	api_go_away_with(away, apis, request, loop);
	return (true);
}

struct api_away *
api_away_of(struct task *task)
{
	return (*(struct api_away **)task_state(task));
}

enum verdict
api_go_home(struct task *task)
{
	struct api_away *away = api_away_of(task);

	away->post.run = api_away_home;
	if (away->loop == away->request->loop)
		away->home(away);
	else
		loop_post(away->request->loop, &away->post);
	return (STEP_DONE);
}

/* --- orders --------------------------------------------------------------- */

static bool
is_stale(const struct apis *apis, int64_t broker_epoch)
{
	return (broker_epoch != -1 && broker_epoch <
	    apis->setup.broker_epoch(apis->setup.broker_epoch_arg));
}

/* An older controller's order is not called late: its epoch refuses it.
 * `claims`: the order is none of those that are refused. */
static bool
order_is_late(struct apis *apis, uint64_t connection, int32_t epoch,
    bool claims)
{
	bool late;

	lock_take(&apis->orders_lock);
	late = epoch == apis->orders_epoch &&
	    connection < apis->orders_connection;
	if (claims && !late && epoch >= apis->orders_epoch) {
		apis->orders_epoch = epoch;
		apis->orders_connection = connection;
	}
	lock_release(&apis->orders_lock);
	return (late);
}

bool
api_order_counts(struct apis *apis, struct request *request,
    int64_t broker_epoch, int32_t controller_epoch)
{
	if (!order_is_late(apis, connection_id(request->connection),
		controller_epoch, !is_stale(apis, broker_epoch)))
		return (true);
	diag_warn(apis->setup.diag, api,
	    "request=%s peer=%s epoch=%d: the controller has another "
	    "connection since: closing this one", request->api->name,
	    connection_peer(request->connection), (int)controller_epoch);
	request_close(request, "late");
	return (false);
}

enum error
api_check_epochs(struct apis *apis, int64_t broker_epoch,
    int32_t controller_epoch)
{
	if (is_stale(apis, broker_epoch))
		return (ERR_STALE_BROKER_EPOCH);
	if (!replicas_accept_controller_epoch(apis->setup.replicas,
		controller_epoch))
		return (ERR_STALE_CONTROLLER_EPOCH);
	return (ERR_NONE);
}

/* --- small things --------------------------------------------------------- */

const struct cluster_endpoint *
api_endpoint_of(const struct request *request,
    const struct cluster_broker *broker)
{
	return (broker_endpoint(broker,
	    connection_listener(request->connection)->name));
}

const struct api_node *
api_nodes(struct request *request, const struct cluster_image *image,
    bool (*wanted)(const void *arg, int32_t id), const void *arg,
    size_t *count)
{
	struct api_node *nodes = arena_array(&request->arena,
	    image->broker_count, sizeof(*nodes));

	*count = 0;
	for (size_t i = 0; nodes != NULL && i < image->broker_count; i++) {
		const struct cluster_broker *broker = image->brokers[i];
		const struct cluster_endpoint *endpoint =
		    api_endpoint_of(request, broker);

		if (endpoint != NULL &&
		    (wanted == NULL || wanted(arg, broker->id)))
			nodes[(*count)++] = (struct api_node){
				.id = broker->id,
				.port = endpoint->port,
				.host = slice_of_text(endpoint->host),
				.rack = slice_of_text(broker->rack),
			};
	}
	return (nodes);
}
