/* SPDX-License-Identifier: Apache-2.0 */
/* The tools' client and two brokers that it talks to, under replay: "one" and
 * "two" are hosts of a fabric; the client lives on "here". */
#include <string.h>

#include "tests/unit/net_rig.h"
#include "tests/unit/unit.h"
#include "tools/client.h"
#include "tools/leaders.h"

enum { ONE = 1, TWO = 2 };

#define PARTITIONS 3

struct world;

struct broker {
	struct world *world;
	struct rig rig;
	int32_t id;
	int asked;            /* metadata */
	int moves_asked;
	int offsets_asked;    /* partitions */
	int metadata_version; /* of the last request */
};

struct world {
	struct clock_virtual clock;
	struct scheduler *scheduler;
	struct fabric *fabric;
	struct broker brokers[2];
	int32_t controller;       /* as metadata says */
	int32_t real_controller;  /* who says so itself */
	/* Of each partition, as metadata says and who leads it in truth. */
	int32_t told[PARTITIONS];
	int32_t leaders[PARTITIONS];
	struct client *client;
	int notices;
};

static const char *const hosts[] = { "one", "two" };

/* --- what the brokers answer ---------------------------------------------- */

static void
reply(struct request *r, const void *response)
{
	const int version = r->head.api_version;
	struct wire_out out;

	wire_out_init(&out);
	wire_write_response_head(r->api, version, r->head.correlation_id,
	    &out.bytes);
	CU_ASSERT_EQUAL(wire_encode(r->api->response, version, response, &out),
	    WIRE_OK);
	request_reply(r, &out);
}

/* Metadata up to 5 only; no CreateTopics at all. */
static void
reply_versions(struct request *r)
{
	struct api_versions_response response;
	struct api_versions_response_api_key keys[] = {
		{ API_METADATA, 0, 5 },
		{ API_LIST_OFFSETS, 0, 7 },
		{ API_LIST_PARTITION_REASSIGNMENTS, 0, 7 },
		{ 32000, 0, 1 },
		{ -5, 0, 1 },
	};

	wire_init(&message_api_versions_response, &response);
	response.api_keys = keys;
	response.api_keys_count = nelems(keys);
	reply(r, &response);
}

static void
reply_metadata(struct broker *b, struct request *r)
{
	struct metadata_response response;
	struct metadata_request request;

	b->asked++;
	b->metadata_version = r->head.api_version;
	CU_ASSERT_EQUAL(wire_decode(r->api->request, r->head.api_version,
	    r->body, &r->arena, &request, NULL), WIRE_OK);
	wire_init(&message_metadata_response, &response);
	response.brokers = wire_array(&r->arena,
	    metadata_response_broker_schema(), 2);
	response.brokers_count = 2;
	for (int i = 0; i < 2; i++) {
		response.brokers[i].node_id = i + 1;
		response.brokers[i].host = slice_of_text(hosts[i]);
		response.brokers[i].port =
		    b->world->brokers[i].rig.listener.port;
	}
	response.controller_id = b->world->controller;
	response.topics = wire_array(&r->arena,
	    metadata_response_topic_schema(), 1);
	response.topics[0].name = SLICE_LITERAL("orders");
	response.topics[0].partitions = wire_array(&r->arena,
	    metadata_response_partition_schema(), PARTITIONS);
	response.topics[0].partitions_count = PARTITIONS;
	for (int i = 0; i < PARTITIONS; i++) {
		response.topics[0].partitions[i].partition_index = i;
		response.topics[0].partitions[i].leader_id = b->world->told[i];
		b->world->told[i] = b->world->leaders[i];
	}
	response.topics_count = request.topics == NULL;
	reply(r, &response);
}

static void
reply_moves(struct broker *b, struct request *r)
{
	struct list_partition_reassignments_response response;

	b->moves_asked++;
	wire_init(&message_list_partition_reassignments_response, &response);
	if (b->id != b->world->real_controller)
		response.error_code = ERR_NOT_CONTROLLER;
	reply(r, &response);
}

/* The leader answers its own id as the offset. */
static void
reply_offsets(struct broker *b, struct request *r)
{
	struct list_offsets_request request;
	struct list_offsets_response response;
	struct list_offsets_response_topic topic;

	CU_ASSERT_EQUAL(wire_decode(r->api->request, r->head.api_version,
	    r->body, &r->arena, &request, NULL), WIRE_OK);
	CU_ASSERT_EQUAL_FATAL(request.topics_count, 1);
	wire_init(&message_list_offsets_response, &response);
	topic.name = request.topics[0].name;
	topic.partitions_count = request.topics[0].partitions_count;
	topic.partitions = wire_array(&r->arena,
	    list_offsets_response_partition_schema(),
	    (size_t)topic.partitions_count);
	for (int32_t i = 0; i < topic.partitions_count; i++) {
		const int32_t number =
		    request.topics[0].partitions[i].partition_index;

		b->offsets_asked++;
		topic.partitions[i].partition_index = number;
		topic.partitions[i].offset = b->id;
		if (b->world->leaders[number] != b->id)
			topic.partitions[i].error_code =
			    ERR_NOT_LEADER_OR_FOLLOWER;
	}
	response.topics = &topic;
	response.topics_count = 1;
	reply(r, &response);
}

static void
broker_request(void *arg, struct request *r)
{
	struct broker *b = arg;

	switch (r->head.api_key) {
	case API_API_VERSIONS:
		reply_versions(r);
		break;
	case API_METADATA:
		reply_metadata(b, r);
		break;
	case API_LIST_OFFSETS:
		reply_offsets(b, r);
		break;
	default:
		reply_moves(b, r);
		break;
	}
}

static bool
broker_serves(void *arg, int api_key, int version)
{
	(void)arg;
	(void)api_key;
	(void)version;
	return (true);
}

/* --- the world ------------------------------------------------------------ */

static void
broker_start(struct world *w, int i)
{
	struct broker *b = &w->brokers[i];
	struct net_setup setup;

	b->world = w;
	b->id = i + 1;
	rig_init_on(&b->rig, w->scheduler, fabric_sockets(w->fabric, hosts[i]),
	    1);
	setup = (struct net_setup){
		.options = &b->rig.options,
		.sockets = b->rig.sockets,
		.loops = b->rig.loops,
		.loop_count = 1,
		.handler = { broker_request, broker_serves, b },
		.metrics = b->rig.metrics,
	};
	b->rig.net = net_new(&setup);
	CU_ASSERT(net_listen(b->rig.net, &b->rig.listener));
	net_start(b->rig.net);
}

static void
count_notice(void *arg, const char *text)
{
	struct world *w = arg;

	CU_ASSERT(strstr(text, "trying again for") != NULL);
	w->notices++;
}

static struct client *
connect_to(struct world *w, const char *bootstrap)
{
	struct buffer why = BUFFER_EMPTY;
	const struct client_setup setup = {
		.bootstrap = bootstrap,
		.client_id = "test",
		.request_timeout_ms = 1000,
		.deadline_ms = 5000,
		.backoff_ms = 100,
		.scheduler = w->scheduler,
		.sockets = fabric_sockets(w->fabric, "here"),
		.notice = count_notice,
		.notice_arg = w,
	};
	struct client *client = client_new(&setup, &why);

	CU_ASSERT((client == NULL) == (why.length != 0));
	buffer_fini(&why);
	return (client);
}

static void
world_init(struct world *w)
{
	char bootstrap[64];

	memset(w, 0, sizeof(*w));
	clock_virtual_init(&w->clock, 1700000000000);
	w->scheduler = scheduler_new_replay(&w->clock, 1);
	w->fabric = fabric_new(w->scheduler);
	broker_start(w, 0);
	broker_start(w, 1);
	w->controller = w->real_controller = TWO;
	snprintf(bootstrap, sizeof(bootstrap), "nowhere:1,,one:%d",
	    w->brokers[0].rig.listener.port);
	w->client = connect_to(w, bootstrap);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->client);
}

static void
world_fini(struct world *w)
{
	const struct task_ref nobody = { NULL, 0 };

	client_free(&w->client);
	for (int i = 0; i < 2; i++)
		net_stop(w->brokers[i].rig.net, w->clock.now_ns + 1000000000,
		    nobody);
	scheduler_run_until(w->scheduler, w->clock.now_ns + 3000000000);
	for (int i = 0; i < 2; i++)
		rig_end(&w->brokers[i].rig);
	scheduler_free(w->scheduler);
	fabric_free(w->fabric);
}

static enum client_status
ask_moves(struct world *w,
    struct list_partition_reassignments_response *response)
{
	struct list_partition_reassignments_request request;

	wire_init(&message_list_partition_reassignments_request, &request);
	return (client_ask_controller(w->client,
	    API_LIST_PARTITION_REASSIGNMENTS, &request, response));
}

/* --- tests ---------------------------------------------------------------- */

static void
test_ask(void)
{
	struct create_topics_request create;
	struct create_topics_response created;
	struct metadata_response metadata;
	struct world w;

	world_init(&w);
	CU_ASSERT_EQUAL_FATAL(client_metadata(w.client, &metadata), CLIENT_OK);
	CU_ASSERT_EQUAL(w.brokers[0].metadata_version, 5);
	CU_ASSERT_EQUAL(metadata.topics_count, 1);
	CU_ASSERT(slice_equal_text(metadata.topics[0].name, "orders"));
	CU_ASSERT_EQUAL(w.notices, 0);
	wire_init(&message_create_topics_request, &create);
	CU_ASSERT_EQUAL(client_ask(w.client, API_CREATE_TOPICS, &create,
	    &created), CLIENT_UNSUPPORTED);
	CU_ASSERT(strstr(client_why(w.client), "CreateTopics") != NULL);
	CU_ASSERT_FALSE(client_repeated(w.client));
	/* What an answer holds outlives the next one. */
	CU_ASSERT(slice_equal_text(metadata.topics[0].name, "orders"));
	world_fini(&w);
}

static void
test_controller(void)
{
	struct list_partition_reassignments_response response;
	struct world w;

	world_init(&w);
	CU_ASSERT_EQUAL(ask_moves(&w, &response), CLIENT_OK);
	CU_ASSERT_EQUAL(response.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(w.brokers[0].moves_asked, 0);
	CU_ASSERT_EQUAL(w.brokers[1].moves_asked, 1);
	/* It moved, and metadata is late. */
	w.real_controller = ONE;
	client_begin(w.client);
	CU_ASSERT_EQUAL(ask_moves(&w, &response), CLIENT_OK);
	CU_ASSERT_EQUAL(response.error_code, ERR_NOT_CONTROLLER);
	CU_ASSERT(client_pause(w.client));
	w.controller = ONE;
	CU_ASSERT_EQUAL(ask_moves(&w, &response), CLIENT_OK);
	CU_ASSERT_EQUAL(response.error_code, ERR_NONE);
	CU_ASSERT_EQUAL(w.brokers[0].moves_asked, 1);
	client_end(w.client);
	world_fini(&w);
}

/* So long, but not beyond the span. */
static void
test_wait(void)
{
	struct world w;
	int64_t begun_ns;

	world_init(&w);
	begun_ns = w.clock.now_ns;
	client_begin(w.client);
	client_wait(w.client, 4000);
	CU_ASSERT_EQUAL(w.clock.now_ns - begun_ns, 4000000000);
	client_wait(w.client, INT64_MAX);
	CU_ASSERT_EQUAL(w.clock.now_ns - begun_ns, 5000000000);
	client_wait(w.client, 4000);
	CU_ASSERT_EQUAL(w.clock.now_ns - begun_ns, 5000000000);
	client_end(w.client);
	world_fini(&w);
}

static enum client_status
question(struct client *client, int32_t leader,
    struct leader_item *const *items, size_t count)
{
	struct list_offsets_request_partition parts[PARTITIONS];
	struct list_offsets_request_topic topic = { .partitions = parts,
		.partitions_count = (int32_t)count, .name = items[0]->topic };
	struct list_offsets_request request;
	struct list_offsets_response response;
	enum client_status status;

	CU_ASSERT_EQUAL(leaders_same_topic(items, count), count);
	wire_init(&message_list_offsets_request, &request);
	request.topics = &topic;
	request.topics_count = 1;
	for (size_t i = 0; i < count; i++)
		parts[i] = (struct list_offsets_request_partition){
			.partition_index = items[i]->partition,
			.current_leader_epoch = -1,
			.timestamp = items[i]->asked,
			.max_num_offsets = 1 };
	status = client_ask_node(client, leader, API_LIST_OFFSETS, &request,
	    &response);
	for (int32_t i = 0;
	     status == CLIENT_OK && i < response.topics[0].partitions_count;
	     i++) {
		struct leader_item *item = leaders_find(items, count,
		    response.topics[0].name,
		    response.topics[0].partitions[i].partition_index);

		CU_ASSERT_PTR_NOT_NULL_FATAL(item);
		item->error = response.topics[0].partitions[i].error_code;
		item->offset = response.topics[0].partitions[i].offset;
	}
	return (status);
}

static void
leaders(struct world *w, struct leader_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		items[i] = (struct leader_item){
			.topic = SLICE_LITERAL("orders"),
			.partition = (int32_t)(count - 1 - i),
			.asked = -1 };
	leaders_ask(w->client, items, count, question, NULL);
}

/* Each partition's leader is asked, again where it moved; a partition that does
 * not exist is given up long before the deadline. */
static void
test_leaders(void)
{
	struct leader_item items[PARTITIONS + 1];
	struct world w;
	int64_t begin_ns;

	world_init(&w);
	for (int i = 0; i < PARTITIONS; i++)
		w.told[i] = w.leaders[i] = i == 1 ? TWO : ONE;
	leaders(&w, items, PARTITIONS);
	for (int i = 0; i < PARTITIONS; i++) {
		CU_ASSERT_EQUAL(items[i].error, ERR_NONE);
		CU_ASSERT_EQUAL(items[i].offset,
		    w.leaders[items[i].partition]);
	}
	CU_ASSERT_EQUAL(w.brokers[0].offsets_asked, 2);
	CU_ASSERT_EQUAL(w.notices, 0);
	/* Partition 0 moved: asked in vain, then of the new one; the others are
	 * not asked again. */
	w.leaders[0] = TWO;
	leaders(&w, items, PARTITIONS);
	CU_ASSERT_EQUAL(items[2].error, ERR_NONE);
	CU_ASSERT_EQUAL(items[2].offset, TWO);
	CU_ASSERT_EQUAL(w.brokers[0].offsets_asked, 4);
	CU_ASSERT_EQUAL(w.brokers[1].offsets_asked, 3);
	CU_ASSERT_EQUAL(w.notices, 1);
	begin_ns = w.clock.now_ns;
	leaders(&w, items, PARTITIONS + 1);
	CU_ASSERT_EQUAL(items[0].error, ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(items[1].error, ERR_NONE);
	CU_ASSERT(w.clock.now_ns - begin_ns < (int64_t)2 * 1000000000);
	/* None leads partition 1: the deadline ends it. */
	w.told[1] = w.leaders[1] = -1;
	begin_ns = w.clock.now_ns;
	leaders(&w, items, PARTITIONS);
	CU_ASSERT_EQUAL(items[1].error, ERR_LEADER_NOT_AVAILABLE);
	CU_ASSERT_EQUAL(items[0].error, ERR_NONE);
	CU_ASSERT(w.clock.now_ns - begin_ns >= (int64_t)4 * 1000000000);
	/* A leader that is gone: not asked elsewhere, and said. */
	w.told[1] = w.leaders[1] = TWO;
	fabric_kill(w.fabric, "two");
	leaders(&w, items, PARTITIONS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(items[1].why);
	CU_ASSERT(strstr(items[1].why, "two:") != NULL);
	CU_ASSERT_EQUAL(items[0].error, ERR_NONE);
	CU_ASSERT_PTR_NULL(items[0].why);
	world_fini(&w);
}

static void
test_deadline(void)
{
	struct list_partition_reassignments_response response;
	struct metadata_response metadata;
	struct world w;
	int64_t begin_ns;

	world_init(&w);
	w.controller = -1;
	begin_ns = w.clock.now_ns;
	CU_ASSERT_EQUAL(ask_moves(&w, &response), CLIENT_UNREACHABLE);
	CU_ASSERT(strstr(client_why(w.client), "no controller") != NULL);
	CU_ASSERT_EQUAL(w.notices, 1);
	fabric_kill(w.fabric, "one");
	CU_ASSERT_EQUAL(client_metadata(w.client, &metadata), CLIENT_OK);
	CU_ASSERT(w.brokers[1].asked > 0);
	fabric_kill(w.fabric, "two");
	CU_ASSERT_EQUAL(client_metadata(w.client, &metadata),
	    CLIENT_UNREACHABLE);
	CU_ASSERT(w.clock.now_ns - begin_ns < (int64_t)20 * 1000000000);
	world_fini(&w);
}

static void
test_bootstrap(void)
{
	static const char *const wrong[] = { "", ",", "a", "a:", ":1", "a:0",
		"a:65536", "a:1x", "a:b:1", "a:1,b" };
	static const char *const right[] = { "a:1", "[::1]:9092",
		" a:1 , b:2" };
	struct world w;
	struct client *client;

	world_init(&w);
	for (size_t i = 0; i < nelems(wrong); i++)
		CU_ASSERT_PTR_NULL(connect_to(&w, wrong[i]));
	for (size_t i = 0; i < nelems(right); i++) {
		client = connect_to(&w, right[i]);
		CU_ASSERT_PTR_NOT_NULL(client);
		client_free(&client);
	}
	world_fini(&w);
}

static const struct unit_test tests[] = {
	{ "ask", test_ask },
	{ "controller", test_controller },
	{ "waits", test_wait },
	{ "leaders of partitions", test_leaders },
	{ "deadline", test_deadline },
	{ "bootstrap list", test_bootstrap },
};

int
main(void)
{
	return (unit_main("client", tests, nelems(tests)));
}
