/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "tools/client_int.h"

#define CLIENT_MAGIC 0x636c6e74
#define CLIENT_ARENA_BYTES ((size_t)1 << 30)
#define CLIENT_RESPONSE_BYTES_MAX ((size_t)256 << 20)
#define NS_PER_MS ((int64_t)1000000)
/* A question that waits so long is told of, and each time again. */
#define NOTICE_SECONDS 5

struct frame {
	struct list link;
	struct buffer bytes;
};

struct client {
	uint32_t magic;
	struct client_setup setup;
	struct scheduler *scheduler;
	struct loop *loop;
	struct work_queue *resolver;
	struct sockets *sockets;
	char *client_id;
	struct list nodes;  /* bootstrap ones first; the caller's while nothing
			     * is under way, else the loop's */
	size_t node_count;
	struct node *usual; /* answered last; NULL: none yet */
	int32_t controller_id;
	struct arena arena;
	struct list frames;
	struct buffer why;
	int64_t deadline_ns;
	int64_t answer_ms; /* of each in this span; 0: as the peers have it */
	int spans; /* begun and not ended */
	bool repeated;
	bool noticed;
	pthread_mutex_t mutex;
	pthread_cond_t finished;
};

/* --- nodes ---------------------------------------------------------------- */

static struct node *
node_add(struct client *client, int32_t id, struct slice host, int32_t port)
{
	struct node *node = mem_zalloc(sizeof(*node));

	node->id = id;
	node->host = mem_strndup((const char *)host.data, host.length);
	node->port = port;
	list_push_tail(&client->nodes, &node->link);
	client->node_count++;
	return (node);
}

static void
node_free(struct client *client, struct node *node)
{
	if (client->usual == node)
		client->usual = NULL;
	if (node->peer != NULL)
		peer_free(&node->peer);
	list_remove(&node->link);
	client->node_count--;
	mem_free(node->host);
	mem_free(node);
}

static struct node *
node_find(const struct client *client, int32_t id)
{
	LIST_EACH(at, &client->nodes) {
		struct node *node = list_entry(at, struct node, link);

		if (node->id == id)
			return (node);
	}
	return (NULL);
}

/* "host:port" or "[v6]:port". */
static bool
node_parse(struct client *client, struct slice text)
{
	const uint8_t *colon = text.length == 0 ? NULL
	    : memrchr(text.data, ':', text.length);
	struct slice host;
	int32_t port;

	if (colon == NULL)
		return (false);
	host = slice_of(text.data, (size_t)(colon - text.data));
	if (host.length > 2 && host.data[0] == '[' &&
	    host.data[host.length - 1] == ']')
		host = slice_of(host.data + 1, host.length - 2);
	else if (memchr(host.data, ':', host.length) != NULL)
		return (false);
	if (host.length == 0 ||
	    !text_to_int32(slice_of(colon + 1,
		text.length - host.length - 1 -
		    (size_t)(host.data != text.data) * 2), &port) ||
	    port < 1 || port > 65535)
		return (false);
	node_add(client, -1, host, port);
	return (true);
}

static bool
nodes_parse(struct client *client, const char *bootstrap, struct buffer *why)
{
	struct slice rest = slice_of_text(bootstrap);

	while (rest.data != NULL) {
		const struct slice one = text_trim(text_cut(rest, ',', &rest));

		if (one.length == 0)
			continue;
		if (!node_parse(client, one)) {
			buffer_printf(why,
			    "bootstrap server \"%.*s\" is not host:port",
			    SLICE_ARGS(one));
			return (false);
		}
	}
	if (!list_empty(&client->nodes))
		return (true);
	buffer_append_text(why, "no bootstrap server is named");
	return (false);
}

struct peer *
client_peer(struct client *client, struct node *node)
{
	const struct peer_setup setup = {
		.loop = client->loop,
		.sockets = client->sockets,
		.resolver = client->resolver,
		.tls = client->setup.tls,
		.host = node->host,
		.port = node->port,
		.client_id = client->client_id,
		.connect_timeout_ms = client->setup.request_timeout_ms,
		.request_timeout_ms = client->setup.request_timeout_ms,
		.backoff_ms = client->setup.backoff_ms,
		.response_bytes_max = CLIENT_RESPONSE_BYTES_MAX,
		.in_flight_max = 1,
	};

	if (node->peer == NULL)
		node->peer = peer_new(&setup);
	return (node->peer);
}

/* --- life ----------------------------------------------------------------- */

struct client *
client_new(const struct client_setup *setup, struct buffer *why)
{
	struct client *client = mem_zalloc(sizeof(*client));

	client->magic = CLIENT_MAGIC;
	client->setup = *setup;
	client->controller_id = -1;
	list_init(&client->nodes);
	list_init(&client->frames);
	arena_init(&client->arena, CLIENT_ARENA_BYTES);
	client->client_id = mem_strdup(setup->client_id);
	CHECK(pthread_mutex_init(&client->mutex, NULL) == 0);
	CHECK(pthread_cond_init(&client->finished, NULL) == 0);
	client->sockets =
	    setup->sockets != NULL ? setup->sockets : sockets_system();
	client->scheduler = setup->scheduler != NULL
	    ? setup->scheduler
	    : scheduler_new_threads(clock_system(), 1, NULL);
	client->resolver = work_queue_new(client->scheduler, "resolver", 1);
	client->loop = loop_new(client->scheduler, "client");
	loop_start(client->loop);
	if (!nodes_parse(client, setup->bootstrap, why))
		client_free(&client);
	return (client);
}

static void
client_free_frames(struct client *client)
{
	struct list *at;

	while ((at = list_pop_head(&client->frames)) != NULL) {
		struct frame *frame = list_entry(at, struct frame, link);

		buffer_fini(&frame->bytes);
		mem_free(frame);
	}
}

void
client_free(struct client **clientp)
{
	struct client *client = *clientp;

	if (client == NULL)
		return;
	CHECK_MAGIC(client, CLIENT_MAGIC);
	*clientp = NULL;
	loop_stop(client->loop);
	LIST_EACH(at, &client->nodes)
		node_free(client, list_entry(at, struct node, link));
	work_queue_free(client->resolver);
	loop_free(client->loop);
	if (client->setup.scheduler == NULL)
		scheduler_free(client->scheduler);
	client_free_frames(client);
	arena_fini(&client->arena);
	buffer_fini(&client->why);
	tls_free(&client->setup.tls);
	mem_free(client->client_id);
	pthread_cond_destroy(&client->finished);
	pthread_mutex_destroy(&client->mutex);
	mem_free(client);
}

struct arena *
client_arena(struct client *client)
{
	return (&client->arena);
}

struct loop *
client_loop(const struct client *client)
{
	return (client->loop);
}

void
client_keep_frame(struct client *client, struct buffer *bytes)
{
	struct frame *frame = mem_zalloc(sizeof(*frame));

	frame->bytes = *bytes;
	*bytes = BUFFER_EMPTY;
	list_push_tail(&client->frames, &frame->link);
}

void
client_set_why(struct client *client, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	client->why.length = 0;
	buffer_append_text(&client->why, text);
	(void)buffer_text(&client->why);
}

const char *
client_why(const struct client *client)
{
	return (client->why.length == 0 ? "" : (const char *)client->why.data);
}

bool
client_repeated(const struct client *client)
{
	return (client->repeated);
}

/* --- one exchange --------------------------------------------------------- */

void
exchange_finished(struct exchange *x)
{
	struct client *client = x->client;

	pthread_mutex_lock(&client->mutex);
	x->finished = true;
	pthread_cond_signal(&client->finished);
	pthread_mutex_unlock(&client->mutex);
}

/* Under the mutex. Whoever waits long is told so. */
static void
exchange_wait(struct exchange *x, int seconds)
{
	struct client *client = x->client;
	const int64_t until_ms =
	    clock_wall_ms(clock_system()) + NOTICE_SECONDS * 1000;
	const struct timespec until = { .tv_sec = until_ms / 1000,
		.tv_nsec = until_ms % 1000 * NS_PER_MS };
	struct buffer text = BUFFER_EMPTY;
	int error = 0;

	while (!x->finished && error == 0)
		error = pthread_cond_timedwait(&client->finished,
		    &client->mutex, &until);
	if (x->finished || x->node == NULL || client->setup.notice == NULL)
		return;
	buffer_printf(&text, "%s:%d: %s: no answer yet, after %d s",
	    x->node->host, x->node->port, api_by_key(x->api_key)->name,
	    seconds);
	client->setup.notice(client->setup.notice_arg, buffer_text(&text));
	buffer_fini(&text);
}

static void
exchange_run(struct exchange *x)
{
	struct client *client = x->client;

	loop_post_call(client->loop, exchange_start, x);
	if (client->setup.scheduler != NULL) {
		CHECK(scheduler_run_while_not(client->scheduler, &x->finished,
		    INT64_MAX / 2));
		return;
	}
	pthread_mutex_lock(&client->mutex);
	for (int turn = 1; !x->finished; turn++)
		exchange_wait(x, turn * NOTICE_SECONDS);
	pthread_mutex_unlock(&client->mutex);
}

static int64_t
client_now_ns(const struct client *client)
{
	return (clock_mono_ns(scheduler_clock(client->scheduler)));
}

static enum client_status
node_ask(struct client *client, struct node *node, int api_key,
    const void *request, void *response)
{
	struct exchange x = {
		.client = client,
		.node = node,
		.api_key = api_key,
		.request = request,
		.response = response,
		.limit_ns = INT64_MAX,
	};

	if (client->answer_ms > 0)
		x.limit_ns = clock_after_ms(client_now_ns(client),
		    client->answer_ms);
	exchange_run(&x);
	if (x.status == CLIENT_OK)
		client->usual = node;
	else if (x.sent)
		client->repeated = true;
	return (x.status);
}

/* --- spans ---------------------------------------------------------------- */

void
client_limit(struct client *client, int64_t ms)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	client->setup.deadline_ms = ms;
	if (client->setup.request_timeout_ms > ms)
		client->setup.request_timeout_ms = ms;
}

void
client_begin(struct client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->spans++ > 0)
		return;
	client->repeated = false;
	client->deadline_ns =
	    client_now_ns(client) + client->setup.deadline_ms * NS_PER_MS;
}

void
client_begin_within(struct client *client, int64_t ms, int64_t answer_ms)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	CHECK(client->spans == 0 && ms > 0 && answer_ms > 0);
	client_begin(client);
	client->deadline_ns = clock_after_ms(client_now_ns(client), ms);
	client->answer_ms = answer_ms;
}

void
client_end(struct client *client)
{
	CHECK(client->spans > 0);
	if (--client->spans == 0)
		client->answer_ms = 0;
}

static void
client_sleep(struct client *client, int64_t ns)
{
	struct exchange x = { .client = client, .pause_ns = ns };

	exchange_run(&x);
}

bool
client_pause(struct client *client)
{
	const int64_t backoff_ns = client->setup.backoff_ms * NS_PER_MS;

	if (client_now_ns(client) + backoff_ns > client->deadline_ns)
		return (false);
	client_sleep(client, backoff_ns);
	return (true);
}

void
client_wait(struct client *client, int64_t ms)
{
	const int64_t left_ns = client->deadline_ns - client_now_ns(client);

	CHECK(client->spans > 0 && ms > 0);
	if (left_ns > 0)
		client_sleep(client,
		    left_ns / NS_PER_MS < ms ? left_ns : ms * NS_PER_MS);
}

int32_t
client_timeout_ms(const struct client *client)
{
	const int64_t limit_ms = client->setup.request_timeout_ms;
	const int64_t ms = limit_ms - limit_ms / 10;

	return (ms < INT32_MAX ? (int32_t)ms : INT32_MAX);
}

/* A whole round was in vain. */
static bool
client_round_again(struct client *client)
{
	return (client_try_again(client, client_why(client)));
}

bool
client_try_again(struct client *client, const char *why)
{
	struct buffer text = BUFFER_EMPTY;

	if (!client->noticed && client->setup.notice != NULL) {
		buffer_printf(&text, "%s; trying again for %lld s", why,
		    (long long)(client->deadline_ns - client_now_ns(client)) /
			(1000 * NS_PER_MS));
		client->setup.notice(client->setup.notice_arg,
		    buffer_text(&text));
		client->noticed = true;
	}
	buffer_fini(&text);
	return (client_pause(client));
}

/* --- questions ------------------------------------------------------------ */

/* The usual one, then every other, once. */
static enum client_status
client_ask_round(struct client *client, int api_key, const void *request,
    void *response)
{
	struct node *usual = client->usual;
	enum client_status status = CLIENT_UNREACHABLE;

	if (usual != NULL) {
		status = node_ask(client, usual, api_key, request, response);
		if (status != CLIENT_UNREACHABLE)
			return (status);
	}
	LIST_EACH(at, &client->nodes) {
		struct node *node = list_entry(at, struct node, link);

		if (node == usual)
			continue;
		status = node_ask(client, node, api_key, request, response);
		if (status != CLIENT_UNREACHABLE)
			break;
	}
	return (status);
}

enum client_status
client_ask(struct client *client, int api_key, const void *request,
    void *response)
{
	enum client_status status;

	client_begin(client);
	do {
		status = client_ask_round(client, api_key, request, response);
	} while (status == CLIENT_UNREACHABLE && client_round_again(client));
	client_end(client);
	return (status);
}

enum client_status
client_ask_node(struct client *client, int32_t id, int api_key,
    const void *request, void *response)
{
	struct node *node = id < 0 ? NULL : node_find(client, id);
	enum client_status status = CLIENT_UNREACHABLE;

	client_begin(client);
	if (node == NULL)
		client_set_why(client, "broker %d is not there", id);
	else
		status = node_ask(client, node, api_key, request, response);
	client_end(client);
	return (status);
}

/* Takes the brokers of a metadata answer.  Those who moved are known anew;
 * bootstrap ones stay, for when all others are gone. */
static void
client_learn(struct client *client, const struct metadata_response *response)
{
	client->controller_id = response->controller_id;
	for (int32_t i = 0; i < response->brokers_count; i++) {
		const struct metadata_response_broker *broker =
		    &response->brokers[i];
		struct node *node = node_find(client, broker->node_id);

		if (broker->node_id < 0 || broker->host.length == 0)
			continue;
		if (node != NULL && node->port == broker->port &&
		    slice_equal_text(broker->host, node->host))
			continue;
		/* A peer is its loop's; the old one waits for client_free(). */
		if (node != NULL)
			node->id = -1;
		if (client->node_count < CLIENT_NODES_MAX)
			node_add(client, broker->node_id, broker->host,
			    broker->port);
	}
}

static enum client_status
client_ask_metadata(struct client *client, bool topics,
    struct metadata_response *response)
{
	struct metadata_request request;
	enum client_status status;

	wire_init(&message_metadata_request, &request);
	request.allow_auto_topic_creation = false;
	/* Null asks for all topics, empty for none. */
	request.topics = topics ? NULL
				: wire_array(&client->arena,
				      metadata_request_topic_schema(), 0);
	status = client_ask(client, API_METADATA, &request, response);
	if (status == CLIENT_OK)
		client_learn(client, response);
	return (status);
}

enum client_status
client_metadata(struct client *client, struct metadata_response *response)
{
	return (client_ask_metadata(client, true, response));
}

enum client_status
client_brokers(struct client *client, struct metadata_response *response)
{
	return (client_ask_metadata(client, false, response));
}

enum client_status
client_ask_controller(struct client *client, int api_key,
    const void *request, void *response)
{
	struct metadata_response metadata;
	enum client_status status;
	struct node *node;

	client_begin(client);
	do {
		status = client_ask_metadata(client, false, &metadata);
		if (status != CLIENT_OK)
			break;
		status = CLIENT_UNREACHABLE;
		node = client->controller_id < 0
		    ? NULL
		    : node_find(client, client->controller_id);
		if (node == NULL)
			client_set_why(client,
			    "the cluster has no controller at the moment");
		else
			status = node_ask(client, node, api_key, request,
			    response);
	} while (status == CLIENT_UNREACHABLE && client_round_again(client));
	client_end(client);
	return (status);
}
