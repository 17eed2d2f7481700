/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata: brokers, topics, leaders, as clients of this listener see them.
 * Topics that are not there are made on the way where the client and the broker
 * allow it: then the request visits the controller's loop, because it writes
 * ZooKeeper, and the topic is answered LEADER_NOT_AVAILABLE for now.
 */
#include "api/api_int.h"

#include "base/twins.h"
#include "controller/controller.h"

static task_step metadata_create, metadata_created;

/* Topics that one request may make. */
#define METADATA_CREATIONS_MAX 1000

struct metadata_missing {
	struct slice name;
	struct topic_creation *creation;
	enum error error;
	int32_t slot; /* in the response's topics */
};

struct metadata_state {
	struct apis *apis;
	struct request *request;
	const struct cluster_image *image;
	struct metadata_request body;
	struct metadata_response response;
	struct metadata_missing *missing;
	int32_t missing_count;
};

static bool metadata_brokers(struct metadata_state *s);
static bool metadata_topics(struct metadata_state *s);
static enum error metadata_invalid(const struct metadata_state *s);
static void metadata_refuse(struct metadata_state *s, enum error error);
static bool metadata_take_topics(struct metadata_state *s);
static void metadata_home(struct api_away *away);

void
api_metadata(struct apis *apis, struct request *request)
{
	const struct cluster_image *image = cluster_image(apis->setup.cluster);
	struct metadata_state *s = arena_zalloc(&request->arena, sizeof(*s));
	enum error error;

	if (s == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	s->apis = apis;
	s->request = request;
	s->image = image;
	if (!api_decode(request, &message_metadata_request, &s->body))
		return;
	wire_init(&message_metadata_response, &s->response);
	s->response.cluster_id = slice_of_text(cluster_id(apis->setup.cluster));
	s->response.controller_id = s->image->controller_id;
	if (s->body.include_cluster_authorized_operations)
		s->response.cluster_authorized_operations =
		    API_CLUSTER_OPERATIONS;
	error = metadata_invalid(s);
	if (error != ERR_NONE) {
		metadata_refuse(s, error);
		return;
	}
	if (!metadata_take_topics(s) || !metadata_brokers(s) ||
	    !metadata_topics(s)) {
		api_refuse_memory(apis, request);
		return;
	}
	if (s->missing_count == 0) {
		api_reply(apis, request, &s->response);
		return;
	}
	/* The answer borrows names from it, and is written after the way. */
	(void)cluster_image_ref(image);
	if (!api_go_away(apis, request, apis->setup.controller_loop,
		&(struct api_away){
		    .first = metadata_create,
		    .home = metadata_home,
		    .state = s,
		}))
		cluster_image_unref(image); /* `s` went with the request */
}

/* Ids and null names are for version 12 (KIP-516); before, the whole request is
 * wrong.  So is a null name where there is no id: Kafka trips over it. */
static enum error
metadata_invalid(const struct metadata_state *s)
{
	bool ids = false, null_names = false;

	for (int32_t i = 0; i < s->body.topics_count; i++) {
		ids |= !uuid_is_zero(s->body.topics[i].topic_id);
		null_names |= s->body.topics[i].name.data == NULL;
	}
	if (s->request->head.api_version < 12)
		return (ids || null_names ? ERR_INVALID_REQUEST : ERR_NONE);
	return (null_names && !ids ? ERR_UNKNOWN_SERVER_ERROR : ERR_NONE);
}

/* Every topic that was asked for is told so, and nothing else. */
static void
metadata_refuse(struct metadata_state *s, enum error error)
{
	wire_init(&message_metadata_response, &s->response);
	s->response.cluster_id = SLICE_NULL;
	s->response.topics = wire_array(&s->request->arena,
	    metadata_response_topic_schema(), (size_t)s->body.topics_count);
	if (s->response.topics == NULL) {
		api_refuse_memory(s->apis, s->request);
		return;
	}
	s->response.topics_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++) {
		struct metadata_response_topic *out = &s->response.topics[i];

		out->error_code = (int16_t)error;
		out->topic_id = s->body.topics[i].topic_id;
		out->name = s->body.topics[i].name.data == NULL ? SLICE_EMPTY :
		    s->body.topics[i].name;
	}
	api_reply(s->apis, s->request, &s->response);
}

static bool
metadata_brokers(struct metadata_state *s)
{
	size_t count;
	const struct api_node *nodes = api_nodes(s->request, s->image, NULL,
	    NULL, &count);

	s->response.brokers = wire_array(&s->request->arena,
	    metadata_response_broker_schema(), count);
	if (nodes == NULL || s->response.brokers == NULL)
		return (false);
	s->response.brokers_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		s->response.brokers[i].node_id = nodes[i].id;
		s->response.brokers[i].host = nodes[i].host;
		s->response.brokers[i].port = nodes[i].port;
		s->response.brokers[i].rack = nodes[i].rack;
	}
	return (true);
}

/* --- a topic that is there ------------------------------------------------ */

/* Version 0 shows no dead replicas: they are left out, with an error. */
static int32_t
metadata_live_only(const struct metadata_state *s, const int32_t *ids,
    int32_t count, int32_t *out)
{
	int32_t live = 0;

	for (int32_t i = 0; i < count; i++) {
		const struct cluster_broker *broker = image_broker(s->image,
		    ids[i]);

		if (broker != NULL &&
		    api_endpoint_of(s->request, broker) != NULL)
			out[live++] = ids[i];
	}
	return (live);
}

static bool
metadata_ids(struct metadata_state *s, const int32_t *ids, int32_t count,
    int32_t **out, int32_t *out_count)
{
	int32_t *copy = arena_array(&s->request->arena, (size_t)count + 1,
	    sizeof(*copy));

	if (copy == NULL)
		return (false);
	*out = copy;
	if (s->request->head.api_version == 0) {
		*out_count = metadata_live_only(s, ids, count, copy);
	} else {
		if (count > 0)
			memcpy(copy, ids, (size_t)count * sizeof(*copy));
		*out_count = count;
	}
	return (true);
}

static enum error
metadata_leader_error(const struct metadata_state *s,
    const struct cluster_partition *p)
{
	const struct cluster_broker *leader = p->leader < 0 ? NULL :
	    image_broker(s->image, p->leader);

	if (leader == NULL)
		return (ERR_LEADER_NOT_AVAILABLE);
	if (api_endpoint_of(s->request, leader) == NULL)
		return (s->request->head.api_version >= 6 ?
		    ERR_LISTENER_NOT_FOUND : ERR_LEADER_NOT_AVAILABLE);
	return (ERR_NONE);
}

static bool
metadata_partition(struct metadata_state *s, const struct cluster_partition *p,
    struct metadata_response_partition *out)
{
	enum error error = metadata_leader_error(s, p);

	out->partition_index = p->partition;
	out->leader_epoch = p->leader_epoch;
	out->leader_id = error == ERR_NONE ? p->leader : LEADER_NONE;
	if (!metadata_ids(s, p->replicas, p->replica_count,
		&out->replica_nodes, &out->replica_nodes_count) ||
	    !metadata_ids(s, p->isr, p->isr_count, &out->isr_nodes,
		&out->isr_nodes_count) ||
	    !metadata_ids(s, p->offline, p->offline_count,
		&out->offline_replicas, &out->offline_replicas_count))
		return (false);
	if (error == ERR_NONE && s->request->head.api_version == 0 &&
	    (out->replica_nodes_count < p->replica_count ||
		out->isr_nodes_count < p->isr_count))
		error = ERR_REPLICA_NOT_AVAILABLE;
	out->error_code = (int16_t)error;
	return (true);
}

static bool
metadata_topic(struct metadata_state *s, const struct cluster_topic *topic,
    struct metadata_response_topic *out)
{
	out->name = slice_of(topic->name, topic->name_length);
	out->topic_id = topic->id;
	out->is_internal = topic->internal;
	if (s->body.include_topic_authorized_operations)
		out->topic_authorized_operations = API_TOPIC_OPERATIONS;
	out->partitions = wire_array(&s->request->arena,
	    metadata_response_partition_schema(),
	    (size_t)topic->partition_count);
	if (out->partitions == NULL)
		return (false);
	out->partitions_count = topic->partition_count;
	for (int32_t i = 0; i < topic->partition_count; i++)
		if (!metadata_partition(s, &topic->partitions[i],
			&out->partitions[i]))
			return (false);
	return (true);
}

/* --- which topics --------------------------------------------------------- */

/* Where there is an id, names are not looked at; nothing is told twice. */
static bool
metadata_take_topics(struct metadata_state *s)
{
	struct metadata_request_topic *topics = s->body.topics;
	size_t count = (size_t)s->body.topics_count;
	struct twin *twins = arena_array(&s->request->arena, count,
	    sizeof(*twins));
	const struct twin_ends *ends;
	bool ids = false;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		ids |= !uuid_is_zero(topics[i].topic_id);
	for (size_t i = 0; i < count; i++)
		twins[i] = (struct twin){ .name = ids ?
			slice_of(topics[i].topic_id.bytes,
			    sizeof(topics[i].topic_id.bytes)) :
			topics[i].name };
	ends = twins_find(&s->request->arena, twins, count);
	if (ends == NULL)
		return (false);
	s->body.topics_count = 0;
	for (size_t i = 0; i < count; i++)
		if (ends[i].first == i &&
		    (!ids || !uuid_is_zero(topics[i].topic_id)))
			topics[s->body.topics_count++] = topics[i];
	return (true);
}

struct metadata_all {
	struct metadata_state *state;
	bool refused;
};

static bool
metadata_one_of_all(void *arg, const struct cluster_topic *topic)
{
	struct metadata_all *all = arg;
	struct metadata_response *response = &all->state->response;

	if ((size_t)response->topics_count == all->state->image->topic_count)
		return (false);
	all->refused = !metadata_topic(all->state, topic,
	    &response->topics[response->topics_count]);
	if (!all->refused)
		response->topics_count++;
	return (!all->refused);
}

static bool
metadata_may_create(const struct metadata_state *s)
{
	return (s->apis->setup.options->api.auto_create_topics_enable &&
	    (s->request->head.api_version < 4 ||
		s->body.allow_auto_topic_creation));
}

/* A name that is not in the image. */
static void
metadata_unknown(struct metadata_state *s, struct slice name, int32_t slot)
{
	struct metadata_response_topic *out = &s->response.topics[slot];
	const char *why;

	out->name = name;
	out->is_internal = topic_name_internal(name);
	if (s->body.include_topic_authorized_operations)
		out->topic_authorized_operations = API_TOPIC_OPERATIONS;
	if (!topic_name_valid(name, &why)) {
		out->error_code = ERR_INVALID_TOPIC_EXCEPTION;
		return;
	}
	/* Right after a start: some clients give up what they have for a topic
	 * that nobody knows. */
	out->error_code = s->image->untold ? ERR_LEADER_NOT_AVAILABLE :
	    ERR_UNKNOWN_TOPIC_OR_PARTITION;
	if (metadata_may_create(s) &&
	    s->missing_count < METADATA_CREATIONS_MAX)
		s->missing[s->missing_count++] =
		    (struct metadata_missing){ .name = name, .slot = slot };
}

static bool
metadata_named(struct metadata_state *s, int32_t slot)
{
	const struct metadata_request_topic *asked = &s->body.topics[slot];
	struct metadata_response_topic *out = &s->response.topics[slot];
	const struct cluster_topic *topic;

	if (!uuid_is_zero(asked->topic_id)) {
		topic = image_topic_by_id(s->image, asked->topic_id);
		if (topic == NULL) {
			out->name = SLICE_NULL;
			out->topic_id = asked->topic_id;
			out->error_code = ERR_UNKNOWN_TOPIC_ID;
			return (true);
		}
	} else {
		topic = image_topic(s->image, asked->name);
		if (topic == NULL) {
			metadata_unknown(s, asked->name, slot);
			return (true);
		}
	}
	return (metadata_topic(s, topic, out));
}

static bool
metadata_topics(struct metadata_state *s)
{
	bool all = s->body.topics == NULL ||
	    (s->request->head.api_version == 0 && s->body.topics_count == 0);
	size_t count = all ? s->image->topic_count :
			     (size_t)s->body.topics_count;
	struct metadata_all context = { s, false };

	s->response.topics = wire_array(&s->request->arena,
	    metadata_response_topic_schema(), count);
	if (s->response.topics == NULL)
		return (false);
	if (all) {
		image_each_topic(s->image, metadata_one_of_all, &context);
		return (!context.refused);
	}
	s->missing = arena_array(&s->request->arena,
	    count < METADATA_CREATIONS_MAX ? count : METADATA_CREATIONS_MAX,
	    sizeof(*s->missing));
	if (s->missing == NULL)
		return (false);
	s->response.topics_count = s->body.topics_count;
	for (int32_t i = 0; i < s->body.topics_count; i++)
		if (!metadata_named(s, i))
			return (false);
	return (true);
}

/* --- auto-creation, on the controller's loop ------------------------------ */

static enum verdict
metadata_create(struct task *t)
{
	struct metadata_state *s = api_away_of(t)->state;

	for (int32_t i = 0; i < s->missing_count; i++) {
		const char *name = arena_slice_text(&s->request->arena,
		    s->missing[i].name);

		if (name == NULL)
			s->missing[i].error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
		else
			s->missing[i].creation = controller_auto_create(
			    s->apis->setup.controller, name, task_ref(t));
	}
	return (task_next(t, metadata_created));
}

static enum verdict
metadata_created(struct task *t)
{
	struct metadata_state *s = api_away_of(t)->state;

	for (int32_t i = 0; i < s->missing_count; i++)
		if (s->missing[i].creation != NULL &&
		    !topic_creation_done(s->missing[i].creation,
			&s->missing[i].error))
			return (STEP_WAIT);
	for (int32_t i = 0; i < s->missing_count; i++)
		topic_creation_free(&s->missing[i].creation);
	return (api_go_home(t));
}

static void
metadata_home(struct api_away *away)
{
	struct metadata_state *s = away->state;
	const struct cluster_image *image = s->image;

	for (int32_t i = 0; i < s->missing_count; i++)
		s->response.topics[s->missing[i].slot].error_code =
		    (int16_t)s->missing[i].error;
	/* `s` is the request's, which ends here. */
	api_reply(s->apis, s->request, &s->response);
	cluster_image_unref(image);
}
