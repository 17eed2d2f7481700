/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FindCoordinator: the leader of the partition that a group lives on.  Where
 * there is no __consumer_offsets yet it is made on the way, whatever
 * auto.create.topics.enable says: then the request visits the controller's
 * loop, because that writes ZooKeeper, and is answered
 * COORDINATOR_NOT_AVAILABLE for now, which clients take as "try later".  So are
 * transactional ids: there are no coordinators of transactions yet, and no
 * internal topic is made for them.
 */
#include "api/api_int.h"

#include "controller/controller.h"
#include "group/group.h"

enum { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1,
	COORDINATOR_SHARE = 2 };
enum { FIRST_BATCHED_VERSION = 4 };

static task_step find_coordinator_create, find_coordinator_created;

struct find_coordinator {
	struct apis *apis;
	struct request *request;
	struct find_coordinator_request body;
	struct find_coordinator_response response;
	struct topic_creation *creation;
};

/* Where one key's coordinator is; node_id -1: nowhere. */
struct coordinator {
	enum error error;
	int32_t node_id;
	const struct cluster_endpoint *endpoint;
};

static bool find_coordinator_fill(struct find_coordinator *s);
static bool find_coordinator_wants_topic(const struct find_coordinator *s);
static void find_coordinator_leave(struct find_coordinator *s);

void
api_find_coordinator(struct apis *apis, struct request *request)
{
	struct find_coordinator *s = arena_zalloc(&request->arena, sizeof(*s));

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	if (!api_decode(request, &message_find_coordinator_request, &s->body))
		return;
	wire_init(&message_find_coordinator_response, &s->response);
	if (!find_coordinator_fill(s))
		api_refuse_memory(apis, request);
	else if (find_coordinator_wants_topic(s))
		find_coordinator_leave(s);
	else
		api_reply(apis, request, &s->response);
}

/* --- one key -------------------------------------------------------------- */

static enum error
find_coordinator_check_type(const struct find_coordinator *s)
{
	switch (s->body.key_type) {
	case COORDINATOR_GROUP:
		return (ERR_NONE);
	case COORDINATOR_TRANSACTION:
		return (ERR_COORDINATOR_NOT_AVAILABLE);
	case COORDINATOR_SHARE:
		return (s->request->head.api_version >= 6 ?
		    ERR_COORDINATOR_NOT_AVAILABLE : ERR_INVALID_REQUEST);
	default:
		return (ERR_INVALID_REQUEST);
	}
}

/* A leader that lives and has the client's listener. */
static struct coordinator
coordinator_of(const struct find_coordinator *s, struct slice key)
{
	const struct api_setup *setup = &s->apis->setup;
	const struct cluster_image *image = cluster_image(setup->cluster);
	const struct cluster_topic *topic = image_topic(image,
	    SLICE_LITERAL(OFFSETS_TOPIC));
	const struct cluster_partition *partition = NULL;
	const struct cluster_broker *broker = NULL;
	struct coordinator none = { find_coordinator_check_type(s), -1, NULL };
	struct coordinator found = none;

	if (none.error != ERR_NONE)
		return (none);
	none.error = ERR_COORDINATOR_NOT_AVAILABLE;
	if (topic != NULL)
		partition = topic_partition(topic, coord_partition_of(
		    groups_coord(setup->groups), image, key));
	if (partition != NULL && partition->leader >= 0)
		broker = image_broker(image, partition->leader);
	if (broker == NULL)
		return (none);
	found.node_id = broker->id;
	found.endpoint = api_endpoint_of(s->request, broker);
	return (found.endpoint == NULL ? none : found);
}

/* --- the answer ----------------------------------------------------------- */

static struct slice
find_coordinator_message(enum error error)
{
	switch (error) {
	case ERR_NONE:
		return (SLICE_LITERAL("NONE"));
	case ERR_INVALID_REQUEST:
		return (SLICE_LITERAL("This most likely occurs because of a "
		    "request being malformed by the client library or the "
		    "message was sent to an incompatible broker. See the "
		    "broker logs for more details."));
	default:
		return (SLICE_LITERAL("The coordinator is not available."));
	}
}

static bool
find_coordinator_fill_batch(struct find_coordinator *s)
{
	struct find_coordinator_response *response = &s->response;
	const int32_t count = s->body.coordinator_keys_count;

	response->coordinators = wire_array(&s->request->arena,
	    find_coordinator_response_coordinator_schema(), (size_t)count);
	if (response->coordinators == NULL)
		return (false);
	response->coordinators_count = count;
	for (int32_t i = 0; i < count; i++) {
		struct find_coordinator_response_coordinator *out =
		    &response->coordinators[i];
		const struct coordinator found = coordinator_of(s,
		    s->body.coordinator_keys[i]);

		out->key = s->body.coordinator_keys[i];
		out->error_code = (int16_t)found.error;
		out->node_id = found.node_id;
		out->host = SLICE_EMPTY;
		out->port = -1;
		/* Kafka says nothing more of what is not there; only of a type
		 * that it does not know. */
		out->error_message = found.error == ERR_INVALID_REQUEST &&
		    s->body.key_type != COORDINATOR_SHARE ?
		    find_coordinator_message(found.error) : SLICE_EMPTY;
		if (found.endpoint == NULL)
			continue;
		out->host = slice_of_text(found.endpoint->host);
		out->port = found.endpoint->port;
	}
	return (true);
}

static bool
find_coordinator_fill(struct find_coordinator *s)
{
	struct find_coordinator_response *response = &s->response;
	struct coordinator found;

	if (s->request->head.api_version >= FIRST_BATCHED_VERSION)
		return (find_coordinator_fill_batch(s));
	found = coordinator_of(s, s->body.key);
	response->error_code = (int16_t)found.error;
	response->error_message = find_coordinator_message(found.error);
	response->node_id = found.node_id;
	response->port = -1;
	if (found.endpoint != NULL) {
		response->host = slice_of_text(found.endpoint->host);
		response->port = found.endpoint->port;
	}
	return (true);
}

/* --- the topic is made, on the controller's loop -------------------------- */

/* Right after a start nothing was told yet: it may well be there. */
static bool
find_coordinator_wants_topic(const struct find_coordinator *s)
{
	const struct cluster_image *image = cluster_image(
	    s->apis->setup.cluster);

	return (s->body.key_type == COORDINATOR_GROUP && !image->untold &&
	    image_topic(image, SLICE_LITERAL(OFFSETS_TOPIC)) == NULL &&
	    (s->request->head.api_version < FIRST_BATCHED_VERSION ||
		s->body.coordinator_keys_count > 0));
}

/* All keys were answered: they have no coordinator now. */
static void
find_coordinator_home(struct api_away *away)
{
	struct find_coordinator *s = away->state;

	api_reply(s->apis, s->request, &s->response);
}

static void
find_coordinator_leave(struct find_coordinator *s)
{
	(void)api_go_away(s->apis, s->request, s->apis->setup.controller_loop,
	    &(struct api_away){
		.first = find_coordinator_create,
		.home = find_coordinator_home,
		.state = s,
	    });
}

static enum verdict
find_coordinator_create(struct task *t)
{
	struct find_coordinator *s = api_away_of(t)->state;

	s->creation = controller_auto_create(s->apis->setup.controller,
	    OFFSETS_TOPIC, task_ref(t));
	return (task_next(t, find_coordinator_created));
}

static enum verdict
find_coordinator_created(struct task *t)
{
	struct find_coordinator *s = api_away_of(t)->state;
	enum error error;

	/* Why not, if it was not, stands in the log. */
	if (!topic_creation_done(s->creation, &error))
		return (STEP_WAIT);
	topic_creation_free(&s->creation);
	return (api_go_home(t));
}
