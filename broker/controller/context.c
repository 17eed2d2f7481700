/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controller knows.  Legal moves, rows from, columns to:
 *
 *	partition     New Online Offline NonExistent
 *	NonExistent    x
 *	New                  x      x
 *	Online               x      x
 *	Offline              x      x         x
 *
 *	replica     New Online Offline Started Successful Ineligible NonExistent
 *	NonExistent    x
 *	New                  x      x
 *	Online               x      x
 *	Offline              x      x       x               x
 *	Started                                     x       x
 *	Successful                                                        x
 *	Ineligible           x      x
 *
 * Source: PartitionStateMachine, ReplicaStateMachine of 3.9.
 */
#include "controller/controller_int.h"

#define TO(state) (1u << (state))

static const unsigned partition_moves[] = {
	[PARTITION_NONEXISTENT] = TO(PARTITION_NEW),
	[PARTITION_NEW] = TO(PARTITION_ONLINE) | TO(PARTITION_OFFLINE),
	[PARTITION_ONLINE] = TO(PARTITION_ONLINE) | TO(PARTITION_OFFLINE),
	[PARTITION_OFFLINE] = TO(PARTITION_ONLINE) | TO(PARTITION_OFFLINE) |
	    TO(PARTITION_NONEXISTENT),
};

static const unsigned replica_moves[] = {
	[REPLICA_NONEXISTENT] = TO(REPLICA_NEW),
	[REPLICA_NEW] = TO(REPLICA_ONLINE) | TO(REPLICA_OFFLINE),
	[REPLICA_ONLINE] = TO(REPLICA_ONLINE) | TO(REPLICA_OFFLINE),
	[REPLICA_OFFLINE] = TO(REPLICA_ONLINE) | TO(REPLICA_OFFLINE) |
	    TO(REPLICA_DELETION_STARTED) | TO(REPLICA_DELETION_INELIGIBLE),
	[REPLICA_DELETION_STARTED] = TO(REPLICA_DELETION_SUCCESSFUL) |
	    TO(REPLICA_DELETION_INELIGIBLE),
	[REPLICA_DELETION_SUCCESSFUL] = TO(REPLICA_NONEXISTENT),
	[REPLICA_DELETION_INELIGIBLE] = TO(REPLICA_ONLINE) |
	    TO(REPLICA_OFFLINE),
};

bool
partition_move_legal(enum partition_state from, enum partition_state to)
{
	return ((partition_moves[from] & TO(to)) != 0);
}

bool
replica_move_legal(enum replica_state from, enum replica_state to)
{
	return ((replica_moves[from] & TO(to)) != 0);
}

void
partition_enter(struct partition *partition, enum partition_state state)
{
	static const char *const names[] = { "NonExistent", "New", "Online",
		"Offline" };

	CHECK(partition_move_legal(partition->state, state));
	if (partition->state != state)
		diag_trace(partition->topic->controller->setup.diag, controller,
		    "partition=%s/%d %s -> %s", partition->topic->name,
		    (int)partition->number, names[partition->state],
		    names[state]);
	partition->state = state;
	partition->topic->controller->context.unmeasured = true;
}

void
replica_enter(struct assigned *replica, enum replica_state state)
{
	CHECK(replica_move_legal(replica->state, state));
	replica->state = state;
}

/* --- brokers -------------------------------------------------------------- */

void
context_init(struct context *context)
{
	*context = (struct context){ .unmeasured = true };
	list_init(&context->doomed);
}

static void
live_broker_free(struct live_broker *broker)
{
	channel_free(&broker->channel);
	waitq_leave(&broker->watcher.woken, &broker->watched);
	zk_watcher_fini(&broker->watcher);
	arena_fini(&broker->arena);
	mem_free(broker);
}

/* The index of the first broker that is not below `id`. */
static size_t
broker_index(const struct context *context, int32_t id)
{
	size_t low = 0, high = context->broker_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (context->brokers[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

struct live_broker *
context_broker(const struct context *context, int32_t id)
{
	size_t at = broker_index(context, id);

	return (at < context->broker_count && context->brokers[at]->id == id ?
	    context->brokers[at] : NULL);
}

bool
live_broker_read(struct live_broker *broker, const struct zk_op *read)
{
	struct znode_broker node;
	struct arena arena;
	bool ok;

	arena_init(&arena, 0);
	ok = znode_broker_decode(read->answer, &arena, &node);
	if (!ok) {
		arena_fini(&arena);
		return (false);
	}
	arena_fini(&broker->arena);
	broker->arena = arena;
	broker->node = node;
	broker->epoch = read->stat.czxid;
	broker->mzxid = read->stat.mzxid;
	broker->registered_ms = read->stat.ctime_ms;
	return (true);
}

struct live_broker *
context_add_broker(struct controller *controller, int32_t id,
    const struct zk_op *read)
{
	struct context *context = &controller->context;
	size_t at = broker_index(context, id);
	struct live_broker *broker = mem_zalloc(sizeof(*broker));

	broker->id = id;
	broker->newcomer = true;
	arena_init(&broker->arena, 0);
	if (!live_broker_read(broker, read)) {
		diag_error(controller->setup.diag, controller, "broker=%d has "
		    "a registration that cannot be read: left out", (int)id);
		arena_fini(&broker->arena);
		mem_free(broker);
		return (NULL);
	}
	zk_watcher_init(&broker->watcher, controller->setup.zk);
	context->brokers = mem_realloc(context->brokers,
	    (context->broker_count + 1) * sizeof(*context->brokers));
	memmove(&context->brokers[at + 1], &context->brokers[at],
	    (context->broker_count - at) * sizeof(*context->brokers));
	context->brokers[at] = broker;
	context->broker_count++;
	broker->channel = channel_new(controller, broker);
	context->unmeasured = true;
	return (broker);
}

void
context_remove_broker(struct context *context, struct live_broker *broker)
{
	size_t at = broker_index(context, broker->id);

	context->broker_count--;
	context->unmeasured = true;
	memmove(&context->brokers[at], &context->brokers[at + 1],
	    (context->broker_count - at) * sizeof(*context->brokers));
	live_broker_free(broker);
}

const struct znode_endpoint *
live_broker_endpoint(const struct live_broker *broker, const char *listener)
{
	for (size_t i = 0; i < broker->node.endpoint_count; i++)
		if (strcmp(broker->node.endpoints[i].listener, listener) == 0)
			return (&broker->node.endpoints[i]);
	return (NULL);
}

/* --- topics --------------------------------------------------------------- */

struct topic *
context_topic(const struct context *context, struct slice name)
{
	struct hash_node *node = hash_find(&context->topics, name.data,
	    name.length);

	return (node == NULL ? NULL : container_of(node, struct topic, node));
}

struct topic *
context_add_topic(struct controller *controller, const char *name)
{
	struct topic *topic = mem_zalloc(sizeof(*topic));

	topic->controller = controller;
	topic->name = mem_strdup(name);
	topic->found = true;
	list_init(&topic->doomed);
	list_init(&topic->reconfigured);
	zk_watcher_init(&topic->watcher, controller->setup.zk);
	zk_watch_group_add(&controller->topic_watches, &topic->watcher);
	controller->context.unmeasured = true;
	hash_insert(&controller->context.topics, &topic->node, topic->name,
	    strlen(topic->name));
	return (topic);
}

struct topic *
context_topic_by_id(const struct context *context, struct uuid id)
{
	struct hash_node *node = hash_find(&context->topic_ids, id.bytes,
	    sizeof(id.bytes));

	return (node == NULL ? NULL : container_of(node, struct topic,
	    id_node));
}

/* Two topics of one id: somebody copied a node. The first one is found. */
void
topic_set_id(struct topic *topic, struct uuid id)
{
	struct hash *ids = &topic->controller->context.topic_ids;

	if (context_topic_by_id(&topic->controller->context, topic->id) ==
	    topic)
		hash_remove(ids, &topic->id_node);
	topic->id = id;
	if (!uuid_is_zero(id) && context_topic_by_id(
	    &topic->controller->context, id) == NULL)
		hash_insert(ids, &topic->id_node, topic->id.bytes,
		    sizeof(topic->id.bytes));
}

static void
partition_free(struct partition *partition)
{
	list_remove(&partition->pending);
	list_remove(&partition->moving);
	list_remove(&partition->kept);
	mem_free(partition->dropped);
	mem_free(partition->now.isr);
	mem_free(partition->adding);
	mem_free(partition->removing);
	mem_free(partition->replicas);
	mem_free(partition);
}

static void
topic_free(struct topic *topic)
{
	list_remove(&topic->doomed);
	list_remove(&topic->reconfigured);
	zk_watcher_fini(&topic->watcher);
	for (size_t i = 0; i < topic->partition_count; i++)
		partition_free(topic->partitions[i]);
	mem_free(topic->partitions);
	mem_free(topic->name);
	mem_free(topic);
}

void
context_remove_topic(struct context *context, struct topic *topic)
{
	hash_remove(&context->topics, &topic->node);
	topic_set_id(topic, UUID_ZERO);
	context->partition_count -= topic->partition_count;
	context->unmeasured = true;
	topic_free(topic);
}

void
context_fini(struct context *context)
{
	HASH_EACH(node, &context->topics)
		context_remove_topic(context,
		    container_of(node, struct topic, node));
	hash_clear(&context->topics);
	hash_clear(&context->topic_ids);
	while (context->broker_count > 0)
		live_broker_free(context->brokers[--context->broker_count]);
	mem_free(context->brokers);
	context_init(context);
}

/* --- partitions ----------------------------------------------------------- */

static size_t
partition_index(const struct topic *topic, int32_t number)
{
	size_t low = 0, high = topic->partition_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (topic->partitions[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

struct partition *
topic_find_partition(const struct topic *topic, int32_t number)
{
	size_t at = partition_index(topic, number);

	return (at < topic->partition_count &&
	    topic->partitions[at]->number == number ?
	    topic->partitions[at] : NULL);
}

static int32_t *
numbers_copy(const int32_t *from, int32_t count)
{
	int32_t *to = mem_alloc(((size_t)count + 1) * sizeof(*to));

	if (count > 0)
		memcpy(to, from, (size_t)count * sizeof(*to));
	return (to);
}

struct partition *
topic_add_partition(struct topic *topic,
    const struct znode_assignment *assignment)
{
	struct partition *p = mem_zalloc(sizeof(*p));
	size_t at = partition_index(topic, assignment->partition);

	p->topic = topic;
	p->number = assignment->partition;
	list_init(&p->pending);
	list_init(&p->moving);
	list_init(&p->kept);
	p->replica_count = assignment->replica_count;
	p->replicas = mem_zalloc(((size_t)p->replica_count + 1) *
	    sizeof(*p->replicas));
	for (int32_t i = 0; i < p->replica_count; i++) {
		p->replicas[i].broker = assignment->replicas[i];
		replica_enter(&p->replicas[i], REPLICA_NEW);
	}
	p->adding_count = assignment->adding_count;
	p->adding = numbers_copy(assignment->adding, p->adding_count);
	p->removing_count = assignment->removing_count;
	p->removing = numbers_copy(assignment->removing, p->removing_count);
	p->now.leader = LEADER_NONE;
	partition_enter(p, PARTITION_NEW);
	topic->partitions = mem_realloc(topic->partitions,
	    (topic->partition_count + 1) * sizeof(*topic->partitions));
	memmove(&topic->partitions[at + 1], &topic->partitions[at],
	    (topic->partition_count - at) * sizeof(*topic->partitions));
	topic->partitions[at] = p;
	topic->partition_count++;
	topic->controller->context.partition_count++;
	topic->controller->context.unmeasured = true;
	return (p);
}

void
partition_assign(struct partition *p, const struct znode_assignment *a)
{
	struct assigned *replicas = mem_zalloc(((size_t)a->replica_count + 1) *
	    sizeof(*replicas));
	int32_t *adding = numbers_copy(a->adding, a->adding_count);
	int32_t *removing = numbers_copy(a->removing, a->removing_count);

	for (int32_t i = 0; i < a->replica_count; i++) {
		const struct assigned *old = partition_replica(p,
		    a->replicas[i]);

		if (old != NULL) {
			replicas[i] = *old;
			continue;
		}
		replicas[i].broker = a->replicas[i];
		replica_enter(&replicas[i], REPLICA_NEW);
	}
	mem_free(p->replicas);
	mem_free(p->adding);
	mem_free(p->removing);
	p->replicas = replicas;
	p->replica_count = a->replica_count;
	p->adding = adding;
	p->adding_count = a->adding_count;
	p->removing = removing;
	p->removing_count = a->removing_count;
	p->topic->controller->context.unmeasured = true;
}

struct assigned *
partition_replica(const struct partition *partition, int32_t broker)
{
	for (int32_t i = 0; i < partition->replica_count; i++)
		if (partition->replicas[i].broker == broker)
			return (&partition->replicas[i]);
	return (NULL);
}

bool
broker_lives(const struct controller *controller, int32_t broker)
{
	const struct live_broker *live =
	    context_broker(&controller->context, broker);

	return (live != NULL && !live->suspect);
}

bool
replica_live(const struct controller *controller,
    const struct partition *partition, int32_t broker)
{
	return (broker_lives(controller, broker) &&
	    replica_registered(controller, partition, broker));
}

bool
replica_registered(const struct controller *controller,
    const struct partition *partition, int32_t broker)
{
	if (context_broker(&controller->context, broker) == NULL)
		return (false);
	for (int32_t i = 0; i < partition->replica_count; i++)
		if (partition->replicas[i].broker == broker)
			return (!partition->replicas[i].dir_offline);
	/* An ISR member that is assigned no longer. */
	return (true);
}

bool
replica_stays(const struct controller *controller,
    const struct partition *partition, int32_t broker)
{
	const struct live_broker *live =
	    context_broker(&controller->context, broker);

	return (live != NULL && !live->shutting_down &&
	    replica_live(controller, partition, broker));
}

bool
partition_in_isr(const struct partition *partition, int32_t broker)
{
	for (int32_t i = 0; i < partition->now.isr_count; i++)
		if (partition->now.isr[i] == broker)
			return (true);
	return (false);
}

void
leadership_set(struct partition *p, const struct znode_state *state,
    int32_t version)
{
	int32_t *isr = numbers_copy(state->isr, state->isr_count);

	mem_free(p->now.isr);
	p->now = (struct leadership){
		.leader = state->leader,
		.leader_epoch = state->leader_epoch,
		.controller_epoch = state->controller_epoch,
		.partition_epoch = version,
		.isr = isr,
		.isr_count = state->isr_count,
		.recovering = state->recovering,
	};
	p->written = true;
	if (list_linked(&p->moving))
		p->topic->controller->moves_changed = true;
	p->topic->controller->context.unmeasured = true;
}
