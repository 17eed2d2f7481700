/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker does with orders, as far as a controller can tell. */
#include "tests/replay/replay_int.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

struct replay_replica *
plane_replica(struct plane *p, const char *key, bool make)
{
	struct hash *table = &p->replay->replicas[p->id];
	struct hash_node *node = hash_find(table, key, strlen(key));
	struct replay_replica *replica;

	if (node != NULL)
		return (container_of(node, struct replay_replica, node));
	if (!make)
		return (NULL);
	replica = mem_zalloc(sizeof(*replica));
	replica->leader_epoch = replica->leader = -1;
	snprintf(replica->key, sizeof(replica->key), "%s", key);
	hash_insert(table, &replica->node, replica->key, strlen(replica->key));
	return (replica);
}

static bool
names(const int32_t *brokers, int32_t count, int32_t broker)
{
	for (int32_t i = 0; i < count; i++)
		if (brokers[i] == broker)
			return (true);
	return (false);
}

static int16_t
take_partition(struct plane *p, const char *topic,
    const struct leader_and_isr_request_partition_state *s)
{
	struct replay_replica *replica;
	char key[300];
	bool leads = s->leader == p->id;

	snprintf(key, sizeof(key), "%s/%d", topic, (int)s->partition_index);
	replica = plane_replica(p, key, false);
	if (leads && p->id == p->replay->unfit &&
	    (strcmp(key, "t1/0") == 0 || strcmp(key, "t5/0") == 0))
		replay_fault(p->replay, "b%d was told to lead %s", p->id, key);
	/* Told to lead what is not new and not there. */
	if (replica == NULL && leads && !s->is_new) {
		if (!p->replay->lacking)
			replay_fault(p->replay, "b%d was told to lead %s, "
			    "which it never had, as if it were not new", p->id,
			    key);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	if (replica != NULL && replica->broken)
		return (ERR_KAFKA_STORAGE_ERROR);
	/* Nor is a log made for which there is nobody to follow. */
	if (replica == NULL && p->replay->lacking && s->leader < 0 &&
	    names(s->isr, s->isr_count, p->id))
		return (ERR_KAFKA_STORAGE_ERROR);
	if (replica != NULL && s->leader_epoch <= replica->leader_epoch)
		return (ERR_STALE_CONTROLLER_EPOCH);
	/* A follower of a leader that it does not know keeps its state. */
	if (!leads && s->leader >= 0 &&
	    image_broker(cluster_image(p->cluster), s->leader) == NULL) {
		plane_replica(p, key, true);
		return (ERR_NONE);
	}
	replica = plane_replica(p, key, true);
	replica->leader = s->leader;
	replica->leader_epoch = s->leader_epoch;
	replica->stopped = false;
	replica->partition_epoch = s->partition_epoch;
	return (ERR_NONE);
}

static void
reply(struct request *request, const void *response)
{
	struct wire_out out;

	wire_out_init(&out);
	wire_write_response_head(request->api, request->head.api_version,
	    request->head.correlation_id, &out.bytes);
	CHECK(wire_encode(request->api->response, request->head.api_version,
	    response, &out) == WIRE_OK);
	request_reply(request, &out);
}

/* ERR_NONE, or why the whole request is refused. */
static int16_t
epochs_well(struct plane *p, int64_t broker_epoch, int32_t controller_epoch)
{
	int64_t own = registration_broker_epoch(p->registration);

	if (broker_epoch != -1 && broker_epoch < own)
		return (ERR_STALE_BROKER_EPOCH);
	if (controller_epoch < p->controller_epoch)
		return (ERR_STALE_CONTROLLER_EPOCH);
	p->controller_epoch = controller_epoch;
	return (ERR_NONE);
}

/* Who was elected after the mark knows of it: nobody leads or follows then. */
static void
check_not_doomed(struct plane *p, const char *topic, int32_t epoch)
{
	struct zk_fake *fake = p->replay->fake;
	struct slice data;
	struct zk_stat mark, elected;
	struct arena arena;
	int32_t now;

	arena_init(&arena, 0);
	if (zk_fake_get(fake, znode_delete_topic_path(&arena, topic), &data,
		&mark) &&
	    zk_fake_get(fake, ZNODE_CONTROLLER_EPOCH, &data, &elected) &&
	    znode_epoch_decode(data, &now) && now == epoch &&
	    mark.czxid < elected.mzxid)
		replay_fault(p->replay, "b%d was told to lead or follow %s, "
		    "which is being deleted", p->id, topic);
	arena_fini(&arena);
}

static void
take_topic(struct plane *p, struct request *request,
    const struct leader_and_isr_request_topic_state *from,
    struct leader_and_isr_response_topic *to)
{
	const char *name = arena_slice_text(&request->arena, from->topic_name);

	to->topic_id = from->topic_id;
	to->partition_errors = wire_array(&request->arena,
	    leader_and_isr_response_partition_error_schema(),
	    (size_t)from->partition_states_count);
	to->partition_errors_count = from->partition_states_count;
	for (int32_t i = 0; i < from->partition_states_count; i++) {
		to->partition_errors[i].partition_index =
		    from->partition_states[i].partition_index;
		to->partition_errors[i].error_code = take_partition(p, name,
		    &from->partition_states[i]);
	}
}

static void
check_live_leaders(struct plane *p, const struct leader_and_isr_request *body)
{
	for (int32_t i = 0; i < body->live_leaders_count; i++)
		if (body->live_leaders[i].port != REPLAY_FOLLOWER_PORT)
			replay_fault(p->replay, "b%d was told to follow b%d at "
			    "port %d", p->id,
			    (int)body->live_leaders[i].broker_id,
			    (int)body->live_leaders[i].port);
}

static void
on_leader_and_isr(struct plane *p, struct request *request)
{
	struct leader_and_isr_request body;
	struct leader_and_isr_response response;

	CHECK(wire_decode(request->api->request, request->head.api_version,
	    request->body, &request->arena, &body, NULL) == WIRE_OK);
	check_live_leaders(p, &body);
	wire_init(&message_leader_and_isr_response, &response);
	response.error_code = epochs_well(p, body.broker_epoch,
	    body.controller_epoch);
	if (response.error_code == ERR_NONE) {
		response.topics = wire_array(&request->arena,
		    leader_and_isr_response_topic_schema(),
		    (size_t)body.topic_states_count);
		response.topics_count = body.topic_states_count;
		for (int32_t i = 0; i < body.topic_states_count; i++) {
			check_not_doomed(p, arena_slice_text(&request->arena,
			    body.topic_states[i].topic_name),
			    body.controller_epoch);
			take_topic(p, request, &body.topic_states[i],
			    &response.topics[i]);
		}
	}
	reply(request, &response);
}

/* By what ZooKeeper has: who shall keep a replica loses it with its topic
 * only. */
static bool
is_assigned(struct plane *p, const char *topic, int32_t partition)
{
	struct znode_topic node;
	struct zk_stat stat;
	struct slice data;
	struct arena arena;
	bool assigned = false;

	arena_init(&arena, 0);
	if (zk_fake_get(p->replay->fake, znode_topic_path(&arena, topic),
		&data, &stat) && znode_topic_decode(data, &arena, &node))
		for (size_t i = 0; i < node.partition_count; i++) {
			const struct znode_assignment *a = &node.partitions[i];

			if (a->partition == partition)
				assigned = names(a->replicas,
				    a->replica_count, p->id) &&
				    !names(a->removing, a->removing_count,
				    p->id);
		}
	arena_fini(&arena);
	return (assigned);
}

/* As storage would: what is not there is deleted already. */
static int16_t
stop_partition(struct plane *p, const char *topic,
    const struct stop_replica_request_partition_state *s)
{
	struct replay_replica *replica;
	char key[300];

	snprintf(key, sizeof(key), "%s/%d", topic, (int)s->partition_index);
	replica = plane_replica(p, key, false);
	if (s->delete_partition && s->leader_epoch != -2 &&
	    is_assigned(p, topic, s->partition_index))
		replay_fault(p->replay, "b%d was told to delete %s with "
		    "epoch %d", p->id, key, (int)s->leader_epoch);
	if (replica == NULL)
		return (ERR_NONE);
	if (replica->broken)
		return (ERR_KAFKA_STORAGE_ERROR);
	if (s->leader_epoch >= 0 && s->leader_epoch < replica->leader_epoch)
		return (ERR_FENCED_LEADER_EPOCH);
	if (s->delete_partition) {
		hash_remove(&p->replay->replicas[p->id], &replica->node);
		mem_free(replica);
	} else {
		replica->stopped = true;
	}
	return (ERR_NONE);
}

static void
on_stop_replica(struct plane *p, struct request *request)
{
	struct stop_replica_request body;
	struct stop_replica_response response;
	size_t count = 0;

	CHECK(wire_decode(request->api->request, request->head.api_version,
	    request->body, &request->arena, &body, NULL) == WIRE_OK);
	wire_init(&message_stop_replica_response, &response);
	response.error_code = epochs_well(p, body.broker_epoch,
	    body.controller_epoch);
	if (p->replay->refusals > 0) {
		p->replay->refusals--;
		response.error_code = ERR_UNKNOWN_SERVER_ERROR;
	}
	for (int32_t i = 0; i < body.topic_states_count; i++)
		count += (size_t)body.topic_states[i].partition_states_count;
	response.partition_errors = wire_array(&request->arena,
	    stop_replica_response_partition_error_schema(), count);
	for (int32_t i = 0; response.error_code == ERR_NONE &&
	    i < body.topic_states_count; i++) {
		const struct stop_replica_request_topic_state *topic =
		    &body.topic_states[i];
		const char *name = arena_slice_text(&request->arena,
		    topic->topic_name);

		for (int32_t k = 0; k < topic->partition_states_count; k++) {
			struct stop_replica_response_partition_error *to =
			    &response.partition_errors[
				response.partition_errors_count++];

			to->topic_name = topic->topic_name;
			to->partition_index =
			    topic->partition_states[k].partition_index;
			to->error_code = stop_partition(p, name,
			    &topic->partition_states[k]);
		}
	}
	p->replay->stops++;
	if (p->replay->on_stop != NULL)
		p->replay->on_stop(p->replay, p->id);
	reply(request, &response);
}

static bool
is_asked(const struct describe_log_dirs_request *body, const char *name,
    size_t length)
{
	for (int32_t i = 0; i < body->topics_count; i++)
		if (body->topics[i].topic.length == length &&
		    memcmp(body->topics[i].topic.data, name, length) == 0)
			return (true);
	return (false);
}

/* What it has of what it is asked for, in one directory. */
static void
on_describe_log_dirs(struct plane *p, struct request *request)
{
	struct hash *table = &p->replay->replicas[p->id];
	struct describe_log_dirs_request body;
	struct describe_log_dirs_response response;
	struct describe_log_dirs_response_result *dir;
	size_t count = hash_count(table);

	CHECK(wire_decode(request->api->request, request->head.api_version,
	    request->body, &request->arena, &body, NULL) == WIRE_OK);
	wire_init(&message_describe_log_dirs_response, &response);
	if (p->replay->dirs_refused) {
		response.error_code = ERR_CLUSTER_AUTHORIZATION_FAILED;
		reply(request, &response);
		return;
	}
	response.results = dir = wire_array(&request->arena,
	    describe_log_dirs_response_result_schema(), 2);
	response.results_count = 1;
	dir->log_dir = SLICE_LITERAL("/nowhere");
	dir->topics = wire_array(&request->arena,
	    describe_log_dirs_response_topic_schema(), count);
	HASH_EACH(node, table) {
		const struct replay_replica *replica = container_of(node,
		    struct replay_replica, node);
		const char *slash = strchr(replica->key, '/');
		struct describe_log_dirs_response_topic *topic;

		if (replica->broken) {
			dir[1].error_code = ERR_KAFKA_STORAGE_ERROR;
			dir[1].log_dir = SLICE_LITERAL("/broken");
			response.results_count = 2;
		}
		if (replica->broken || !is_asked(&body, replica->key,
		    (size_t)(slash - replica->key)))
			continue;
		topic = &dir->topics[dir->topics_count++];
		topic->name = (struct slice){ (const uint8_t *)replica->key,
			(size_t)(slash - replica->key) };
		topic->partitions = wire_array(&request->arena,
		    describe_log_dirs_response_partition_schema(), 1);
		topic->partitions_count = 1;
		CHECK(text_to_int32(slice_of_text(slash + 1),
		    &topic->partitions[0].partition_index));
	}
	reply(request, &response);
}

struct telling {
	struct list link;
	struct task_ref task;
	struct plane *plane;
	struct request *request;
};

static enum verdict
dirs_told(struct task *t)
{
	struct telling *telling = task_state(t);

	if (!task_slept(t) && !telling->plane->buried)
		return (STEP_WAIT);
	list_remove(&telling->link);
	on_describe_log_dirs(telling->plane, telling->request);
	return (STEP_DONE);
}

static void
telling_setup(struct task *t, void *arg)
{
	struct telling *telling = task_state(t);

	*telling = *(struct telling *)arg;
	telling->task = task_ref(t);
	list_init(&telling->link);
	list_push_tail(&telling->plane->telling, &telling->link);
}

void
plane_tell_all(struct plane *p)
{
	p->buried = true;
	LIST_EACH(element, &p->telling)
		task_wake_ref(list_entry(element, struct telling,
		    link)->task);
}

static const struct task_class telling_class = {
	.name = "describe", .state_size = sizeof(struct telling) };

static void
later_describe_log_dirs(struct plane *p, struct request *request)
{
	struct telling telling = { .plane = p, .request = request };

	task_sleep(task_start(p->network, &telling_class, dirs_told,
	    telling_setup, &telling), p->replay->dirs_ms * 1000000);
}

struct updating {
	struct request *request;
	struct cluster_update *update;
};

static enum verdict
update_applied(struct task *t)
{
	struct updating *u = task_state(t);
	struct update_metadata_response response;

	if (!cluster_update_done(u->update))
		return (STEP_WAIT);
	cluster_update_free(&u->update);
	wire_init(&message_update_metadata_response, &response);
	reply(u->request, &response);
	u->request = NULL;
	return (STEP_DONE);
}

static void
updating_fini(struct task *t)
{
	struct updating *u = task_state(t);

	cluster_update_free(&u->update);
}

static const struct task_class updating_class = {
	.name = "update", .state_size = sizeof(struct updating),
	.fini = updating_fini };

static void
updating_setup(struct task *t, void *arg)
{
	((struct updating *)task_state(t))->request = arg;
}

static void
on_update_metadata(struct plane *p, struct request *request)
{
	struct update_metadata_request body;
	struct update_metadata_response response;
	struct task *task;

	CHECK(wire_decode(request->api->request, request->head.api_version,
	    request->body, &request->arena, &body, NULL) == WIRE_OK);
	wire_init(&message_update_metadata_response, &response);
	response.error_code = epochs_well(p, body.broker_epoch,
	    body.controller_epoch);
	if (response.error_code != ERR_NONE) {
		reply(request, &response);
		return;
	}
	/* What it is told of first it takes for all; but planes listen before
	 * they are registered. */
	p->informed = p->informed || body.type == UPDATE_METADATA_FULL;
	if (!p->informed && body.topic_states_count > 0 &&
	    registration_broker_epoch(p->registration) > 0)
		replay_fault(p->replay, "b%d was told of some partitions "
		    "before it was told of all", p->id);
	task = task_start(p->network, &updating_class, update_applied,
	    updating_setup, request);
	((struct updating *)task_state(task))->update = cluster_update(
	    p->cluster, &body, task_ref(task));
}

void
plane_request(void *arg, struct request *request)
{
	struct plane *p = arg;

	if (request->api->key == API_LEADER_AND_ISR)
		on_leader_and_isr(p, request);
	else if (request->api->key == API_UPDATE_METADATA)
		on_update_metadata(p, request);
	else if (request->api->key == API_STOP_REPLICA)
		on_stop_replica(p, request);
	else if (request->api->key == API_DESCRIBE_LOG_DIRS)
		later_describe_log_dirs(p, request);
	else
		request_close(request, "malformed");
}

bool
plane_serves(void *arg, int api_key, int version)
{
	(void)arg;
	(void)version;
	return (api_key == API_LEADER_AND_ISR ||
	    api_key == API_STOP_REPLICA ||
	    api_key == API_DESCRIBE_LOG_DIRS ||
	    api_key == API_UPDATE_METADATA);
}
