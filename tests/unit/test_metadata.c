/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata where its request's memory ends, at every byte of the way.  What
 * stands in for the rooms around it takes the request's memory back with its
 * answer, as net does, and spoils it: nothing may be touched afterwards.
 */
#include "api/api_int.h"
#include "config/config.h"
#include "controller/controller.h"
#include "tests/unit/unit.h"

#define LIMIT_MAX 4096

static const struct broker_options *served_options;

struct apis_rig {
	struct cluster_image image;
	int references; /* of the image, beside the loop's */
	int replied;
	int refused;
	int away;
};
static struct apis_rig *rig;

/* --- stand-ins ------------------------------------------------------------ */

const struct cluster_image *
cluster_image(struct cluster *cluster)
{
	(void)cluster;
	return (&rig->image);
}

const char *
cluster_id(const struct cluster *cluster)
{
	(void)cluster;
	return ("cluster");
}

const struct cluster_image *
cluster_image_ref(const struct cluster_image *image)
{
	CU_ASSERT_PTR_EQUAL(image, &rig->image);
	rig->references++;
	return (image);
}

void
cluster_image_unref(const struct cluster_image *image)
{
	CU_ASSERT_PTR_EQUAL(image, &rig->image);
	rig->references--;
}

const struct cluster_topic *
image_topic(const struct cluster_image *image, struct slice name)
{
	(void)image;
	(void)name;
	return (NULL);
}

const struct cluster_topic *
image_topic_by_id(const struct cluster_image *image, struct uuid id)
{
	(void)image;
	(void)id;
	return (NULL);
}

const struct cluster_broker *
image_broker(const struct cluster_image *image, int32_t id)
{
	(void)image;
	(void)id;
	return (NULL);
}

void
image_each_topic(const struct cluster_image *image,
    bool (*each)(void *arg, const struct cluster_topic *topic), void *arg)
{
	(void)image;
	(void)each;
	(void)arg;
}

struct topic_creation *
controller_auto_create(struct controller *controller, const char *name,
    struct task_ref task)
{
	(void)controller;
	(void)name;
	(void)task;
	return (NULL);
}

bool
topic_creation_done(const struct topic_creation *creation, enum error *error)
{
	(void)creation;
	(void)error;
	return (true);
}

void
topic_creation_free(struct topic_creation **creation)
{
	*creation = NULL;
}

const struct cluster_endpoint *
api_endpoint_of(const struct request *request,
    const struct cluster_broker *broker)
{
	(void)request;
	(void)broker;
	return (NULL);
}

const struct api_node *
api_nodes(struct request *request, const struct cluster_image *image,
    bool (*wanted)(const void *arg, int32_t id), const void *arg,
    size_t *count)
{
	(void)image;
	(void)wanted;
	(void)arg;
	*count = 0;
	return (arena_array(&request->arena, 1, sizeof(struct api_node)));
}

/* The request is over. */
static void
request_end(struct request *request)
{
	char *spoiled;

	arena_reset(&request->arena);
	while ((spoiled = arena_alloc(&request->arena, 16)) != NULL)
		memset(spoiled, 0xa5, 16);
}

bool
api_decode(struct request *request, const struct message *message, void *out)
{
	if (wire_decode(message, request->head.api_version, request->body,
		&request->arena, out, NULL) == WIRE_OK)
		return (true);
	rig->refused++;
	request_end(request);
	return (false);
}

void
api_refuse_memory(struct apis *apis, struct request *request)
{
	(void)apis;
	rig->refused++;
	request_end(request);
}

void
api_reply(struct apis *apis, struct request *request, const void *response)
{
	(void)apis;
	(void)response;
	rig->replied++;
	request_end(request);
}

bool
api_go_away(struct apis *apis, struct request *request, struct loop *loop,
    const struct api_away *plan)
{
	struct api_away *away = arena_alloc(&request->arena, sizeof(*away));

	(void)loop;
	if (away == NULL) {
		api_refuse_memory(apis, request);
		return (false);
	}
	*away = *plan;
	away->apis = apis;
	away->request = request;
	rig->away++;
	away->home(away);
	return (true);
}

struct api_away *
api_away_of(struct task *task)
{
	(void)task;
	return (NULL);
}

enum verdict
api_go_home(struct task *task)
{
	(void)task;
	return (STEP_DONE);
}

/* --- the walk ------------------------------------------------------------- */

/* One name that is unknown here and may be created. */
static void
metadata_ask(struct slice body, size_t limit_bytes)
{
	struct apis apis = { .setup = { .options = served_options } };
	struct request request = { .body = body, .head = { .api_version = 4 } };

	arena_init(&request.arena, limit_bytes);
	api_metadata(&apis, &request);
	arena_fini(&request.arena);
}

static void
test_memory_ends(void)
{
	struct apis_rig own = { .image = { .controller_id = 1 } };
	struct metadata_request_topic topic;
	struct metadata_request asked;
	struct wire_out out;

	rig = &own;
	wire_init(&message_metadata_request, &asked);
	memset(&topic, 0, sizeof(topic));
	topic.name = SLICE_LITERAL("unknown");
	asked.topics = &topic;
	asked.topics_count = 1;
	asked.allow_auto_topic_creation = true;
	wire_out_init(&out);
	CU_ASSERT_EQUAL(wire_encode(&message_metadata_request, 4, &asked, &out),
	    WIRE_OK);
	for (size_t limit = 64; limit <= LIMIT_MAX; limit += 8) {
		int ended = own.refused + own.replied;

		metadata_ask(buffer_slice(&out.bytes), limit);
		CU_ASSERT_EQUAL(own.refused + own.replied, ended + 1);
		CU_ASSERT_EQUAL(own.references, 0);
	}
	/* Both ends of the way were seen. */
	CU_ASSERT(own.refused > 10);
	CU_ASSERT(own.away > 10);
	wire_out_fini(&out);
}

static const struct unit_test tests[] = {
	{ "memory ends anywhere", test_memory_ends },
};

int
main(void)
{
	struct config *config = config_new();
	int rc;

	CHECK(config_override(config, "broker.id=1"));
	CHECK(config_override(config, "zookeeper.connect=localhost"));
	CHECK(config_resolve(config));
	served_options = config_options(config);
	rc = unit_main("metadata", tests, nelems(tests));
	config_free(&config);
	return (rc);
}
