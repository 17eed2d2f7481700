/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one event tells the brokers: at most one LeaderAndIsr a broker, one
 * UpdateMetadata to all, and at most one StopReplica a broker, in this order; a
 * partition in the first is in the second too.
 *
 *	orders_partition() ... orders_replica() ... orders_show() ... _stop()
 *	                       |
 *	orders_send()          v    sorted by broker, topic, partition
 *	    LeaderAndIsr    -> channel of each broker concerned
 *	    UpdateMetadata  -> channels of all, one body
 *	    StopReplica     -> channel of each broker concerned
 *
 * Bodies are copies: the context may change while they wait in a channel.
 * Versions are those of inter.broker.protocol.version 3.9.
 */
#include "controller/controller_int.h"

#include <stdlib.h>

/* A body has all partitions of a large cluster at most. */
#define BODY_LIMIT_BYTES ((size_t)2 << 30)

struct order {
	struct live_broker *broker;
	struct partition *partition;
	bool delete_partition; /* StopReplica */
};

/* --- collecting ----------------------------------------------------------- */

static void
orders_add(struct controller *c, struct partition *partition,
    struct live_broker *broker)
{
	struct orders *o = &c->orders;

	if (o->item_count == o->item_capacity) {
		o->item_capacity = o->item_capacity * 2 + 64;
		o->items = mem_realloc(o->items,
		    o->item_capacity * sizeof(*o->items));
	}
	o->items[o->item_count++] = (struct order){ broker, partition,
		false };
}

void
orders_show(struct controller *c, struct partition *partition)
{
	struct orders *o = &c->orders;

	if (partition->shown == o->number + 1)
		return;
	partition->shown = o->number + 1;
	if (o->shown_count == o->shown_capacity) {
		o->shown_capacity = o->shown_capacity * 2 + 64;
		o->shown = mem_realloc(o->shown,
		    o->shown_capacity * sizeof(*o->shown));
	}
	o->shown[o->shown_count++] = partition;
}

void
orders_partition(struct controller *c, struct partition *partition)
{
	if (!partition->written || topic_doomed(partition->topic) ||
	    partition->told == c->orders.number + 1)
		return;
	partition->told = c->orders.number + 1;
	for (int32_t i = 0; i < partition->replica_count; i++) {
		struct live_broker *broker = context_broker(&c->context,
		    partition->replicas[i].broker);

		if (broker != NULL && !partition->replicas[i].stopped &&
		    !replica_untold(partition, broker->id) &&
		    !partition_dismisses(partition, broker->id))
			orders_add(c, partition, broker);
	}
	orders_show(c, partition);
}

void
orders_replica(struct controller *c, struct partition *partition,
    const struct live_broker *broker)
{
	if (!partition->written || topic_doomed(partition->topic) ||
	    partition->told == c->orders.number + 1 ||
	    replica_untold(partition, broker->id) ||
	    partition_dismisses(partition, broker->id))
		return;
	orders_add(c, partition, context_broker(&c->context, broker->id));
	orders_show(c, partition);
}

void
orders_stop(struct controller *c, struct partition *partition,
    const struct live_broker *broker, bool delete_partition)
{
	struct orders *o = &c->orders;

	if (o->stop_count == o->stop_capacity) {
		o->stop_capacity = o->stop_capacity * 2 + 64;
		o->stops = mem_realloc(o->stops,
		    o->stop_capacity * sizeof(*o->stops));
	}
	o->stops[o->stop_count++] = (struct order){
		context_broker(&c->context, broker->id), partition,
		delete_partition };
}

void
orders_brokers_changed(struct controller *c)
{
	c->orders.brokers_changed = true;
}

static void
orders_reset(struct orders *o)
{
	o->number++;
	o->item_count = o->shown_count = o->stop_count = 0;
	o->brokers_changed = false;
}

void
orders_clear(struct controller *c)
{
	struct orders *o = &c->orders;

	mem_free(o->items);
	mem_free(o->shown);
	mem_free(o->stops);
	o->items = o->stops = NULL;
	o->shown = NULL;
	o->item_capacity = o->shown_capacity = o->stop_capacity = 0;
	orders_reset(o);
}

/* --- bodies --------------------------------------------------------------- */

static struct order_body *
order_body_new(int api_key)
{
	struct order_body *body = mem_zalloc(sizeof(*body));

	body->references = 1;
	body->api_key = api_key;
	arena_init(&body->arena, BODY_LIMIT_BYTES);
	return (body);
}

void
order_body_unref(struct order_body *body)
{
	if (body == NULL || --body->references > 0)
		return;
	arena_fini(&body->arena);
	mem_free(body);
}

/* The sizes are ours: a refusal is the end of memory. */
static void *
body_array(struct order_body *body, const struct schema *schema, size_t count)
{
	void *items = wire_array(&body->arena, schema, count);

	CHECK(items != NULL);
	return (items);
}

static int32_t *
body_numbers(struct order_body *body, const int32_t *from, int32_t count)
{
	int32_t *to = arena_array(&body->arena, (size_t)count, sizeof(*to));

	CHECK(to != NULL);
	if (count > 0)
		memcpy(to, from, (size_t)count * sizeof(*to));
	return (to);
}

static struct slice
body_text(struct order_body *body, const char *text)
{
	bool ok = true;
	struct slice copy = arena_slice_copy(&body->arena, slice_of_text(text),
	    &ok);

	CHECK(ok);
	return (copy);
}

/* Of a move that ends: the target alone. */
static int32_t *
body_replicas(struct order_body *body, const struct partition *p,
    int32_t *count)
{
	int32_t *to = arena_array(&body->arena, (size_t)p->replica_count,
	    sizeof(*to));

	CHECK(to != NULL);
	*count = 0;
	for (int32_t i = 0; i < p->replica_count; i++)
		if (!partition_dismisses(p, p->replicas[i].broker))
			to[(*count)++] = p->replicas[i].broker;
	return (to);
}

/* Of those that come, or go: none of a move that ends, nor what is called
 * off. */
static int32_t *
body_moves(struct order_body *body, const struct partition *p,
    const int32_t *from, int32_t *count)
{
	int32_t *to = body_numbers(body, from, *count);
	int32_t kept = 0;

	for (int32_t i = 0; i < *count; i++)
		if (!p->closing && !partition_dismisses(p, to[i]))
			to[kept++] = to[i];
	*count = kept;
	return (to);
}

static int
compare_partitions(const struct partition *a, const struct partition *b)
{
	if (a->topic != b->topic)
		return (strcmp(a->topic->name, b->topic->name));
	return ((a->number > b->number) - (a->number < b->number));
}

static int
compare_orders(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->broker != y->broker)
		return (x->broker->id < y->broker->id ? -1 : 1);
	return (compare_partitions(x->partition, y->partition));
}

static int
compare_shown(const void *a, const void *b)
{
	return (compare_partitions(*(const struct partition *const *)a,
	    *(const struct partition *const *)b));
}

/* --- LeaderAndIsr --------------------------------------------------------- */

static void
fill_leader_state(struct order_body *body,
    struct leader_and_isr_request_partition_state *to, const struct order *from)
{
	struct partition *p = from->partition;
	const struct assigned *replica = partition_replica(p,
	    from->broker->id);

	to->partition_index = p->number;
	to->controller_epoch = p->now.controller_epoch;
	to->leader = p->now.leader;
	to->leader_epoch = p->now.leader_epoch;
	to->isr = body_numbers(body, p->now.isr, p->now.isr_count);
	to->isr_count = p->now.isr_count;
	to->partition_epoch = p->now.partition_epoch;
	to->replicas = body_replicas(body, p, &to->replicas_count);
	to->adding_replicas_count = p->adding_count;
	to->adding_replicas = body_moves(body, p, p->adding,
	    &to->adding_replicas_count);
	to->removing_replicas_count = p->removing_count;
	to->removing_replicas = body_moves(body, p, p->removing,
	    &to->removing_replicas_count);
	to->is_new = replica != NULL && replica->unconfirmed_epoch != 0 &&
	    replica->unconfirmed_epoch == from->broker->epoch;
	to->leader_recovery_state = p->now.recovering ? 1 : 0;
}

/* Of one topic: returns the end of its run in orders. */
static size_t
fill_leader_topic(struct order_body *body,
    struct leader_and_isr_request_topic_state *to, const struct order *orders,
    size_t count)
{
	const struct topic *topic = orders[0].partition->topic;
	size_t end = 0;

	while (end < count && orders[end].partition->topic == topic)
		end++;
	to->topic_name = body_text(body, topic->name);
	to->topic_id = topic->id;
	to->partition_states = body_array(body,
	    leader_and_isr_request_partition_state_schema(), end);
	to->partition_states_count = (int32_t)end;
	for (size_t i = 0; i < end; i++)
		fill_leader_state(body, &to->partition_states[i], &orders[i]);
	return (end);
}

static int
compare_numbers(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return ((x > y) - (x < y));
}

/* Where the leaders among them are to be found by followers: not where the
 * controller finds them. */
static void
fill_live_leaders(struct controller *c, struct order_body *body,
    const struct order *orders, size_t count)
{
	struct leader_and_isr_request *r = &body->request.leader_and_isr;
	const char *listener =
	    c->setup.broker_options->net.inter_broker_listener->name;
	int32_t *leaders = mem_alloc((count + 1) * sizeof(*leaders));

	for (size_t i = 0; i < count; i++)
		leaders[i] = orders[i].partition->now.leader;
	qsort(leaders, count, sizeof(*leaders), compare_numbers);
	r->live_leaders = body_array(body,
	    leader_and_isr_request_live_leader_schema(),
	    c->context.broker_count);
	for (size_t i = 0; i < count; i++) {
		const struct live_broker *broker;
		const struct znode_endpoint *endpoint;

		if (i > 0 && leaders[i] == leaders[i - 1])
			continue;
		broker = context_broker(&c->context, leaders[i]);
		endpoint = broker == NULL ? NULL :
		    live_broker_endpoint(broker, listener);
		if (endpoint == NULL)
			continue;
		r->live_leaders[r->live_leaders_count++] =
		    (struct leader_and_isr_request_live_leader){
			.broker_id = broker->id,
			.host_name = body_text(body, endpoint->host),
			.port = endpoint->port,
		    };
	}
	mem_free(leaders);
}

/* How many topics there are in a sorted row. */
static size_t
orders_topics(const struct order *orders, size_t count)
{
	size_t topics = 0;

	for (size_t i = 0; i < count; i++)
		topics += i == 0 || orders[i].partition->topic !=
		    orders[i - 1].partition->topic;
	return (topics);
}

/* All orders of one broker. */
static struct order_body *
leader_and_isr_body(struct controller *c, const struct order *orders,
    size_t count)
{
	struct order_body *body = order_body_new(API_LEADER_AND_ISR);
	struct leader_and_isr_request *r = &body->request.leader_and_isr;

	wire_init(&message_leader_and_isr_request, r);
	r->controller_id = c->setup.broker_id;
	r->controller_epoch = c->epoch;
	r->topic_states = body_array(body,
	    leader_and_isr_request_topic_state_schema(),
	    orders_topics(orders, count));
	for (size_t i = 0; i < count;)
		i += fill_leader_topic(body,
		    &r->topic_states[r->topic_states_count++], &orders[i],
		    count - i);
	fill_live_leaders(c, body, orders, count);
	return (body);
}

/* --- UpdateMetadata ------------------------------------------------------- */

static void
fill_offline(struct controller *c, struct order_body *body,
    struct update_metadata_request_partition_state *to,
    const struct partition *p)
{
	to->offline_replicas = body_numbers(body, to->replicas,
	    to->replicas_count);
	to->offline_replicas_count = 0;
	for (int32_t i = 0; i < to->replicas_count; i++)
		if (!replica_stays(c, p, to->replicas[i]))
			to->offline_replicas[to->offline_replicas_count++] =
			    to->replicas[i];
}

static void
fill_metadata_state(struct controller *c, struct order_body *body,
    struct update_metadata_request_partition_state *to,
    const struct partition *p)
{
	to->partition_index = p->number;
	to->controller_epoch = p->now.controller_epoch;
	to->leader = p->now.leader;
	to->leader_epoch = p->now.leader_epoch;
	to->isr = body_numbers(body, p->now.isr, p->now.isr_count);
	to->isr_count = p->now.isr_count;
	to->zk_version = p->now.partition_epoch;
	if (topic_doomed(p->topic)) {
		/* LeaderAndIsr.duringDelete of 3.9. */
		to->leader = LEADER_DELETING;
		to->leader_epoch = 0;
		to->zk_version = 0;
	}
	to->replicas = body_replicas(body, p, &to->replicas_count);
	fill_offline(c, body, to, p);
}

static size_t
fill_metadata_topic(struct controller *c, struct order_body *body,
    struct update_metadata_request_topic_state *to,
    struct partition *const *partitions, size_t count)
{
	const struct topic *topic = partitions[0]->topic;
	size_t end = 0;

	while (end < count && partitions[end]->topic == topic)
		end++;
	to->topic_name = body_text(body, topic->name);
	to->topic_id = topic->id;
	to->partition_states = body_array(body,
	    update_metadata_request_partition_state_schema(), end);
	to->partition_states_count = (int32_t)end;
	for (size_t i = 0; i < end; i++)
		fill_metadata_state(c, body, &to->partition_states[i],
		    partitions[i]);
	return (end);
}

static int16_t
protocol_id(const char *name)
{
	enum security_protocol protocol;

	return (security_protocol_parse(slice_of_text(name), &protocol) ?
	    (int16_t)protocol : PROTOCOL_PLAINTEXT);
}

static void
fill_live_brokers(struct controller *c, struct order_body *body)
{
	struct update_metadata_request *r = &body->request.update_metadata;

	r->live_brokers_count = (int32_t)c->context.broker_count;
	r->live_brokers = body_array(body,
	    update_metadata_request_live_broker_schema(),
	    c->context.broker_count);
	for (size_t b = 0; b < c->context.broker_count; b++) {
		const struct live_broker *from = c->context.brokers[b];
		struct update_metadata_request_live_broker *to =
		    &r->live_brokers[b];

		to->id = from->id;
		to->rack = from->node.rack == NULL ? SLICE_NULL :
		    body_text(body, from->node.rack);
		to->endpoints_count = (int32_t)from->node.endpoint_count;
		to->endpoints = body_array(body,
		    update_metadata_request_endpoint_schema(),
		    from->node.endpoint_count);
		for (size_t e = 0; e < from->node.endpoint_count; e++) {
			const struct znode_endpoint *endpoint =
			    &from->node.endpoints[e];

			to->endpoints[e].port = endpoint->port;
			to->endpoints[e].host = body_text(body,
			    endpoint->host);
			to->endpoints[e].listener = body_text(body,
			    endpoint->listener);
			to->endpoints[e].security_protocol =
			    protocol_id(endpoint->protocol);
		}
	}
}

static struct order_body *
metadata_body(struct controller *c, struct partition *const *partitions,
    size_t count)
{
	struct order_body *body = order_body_new(API_UPDATE_METADATA);
	struct update_metadata_request *r = &body->request.update_metadata;
	size_t topics = 0;

	wire_init(&message_update_metadata_request, r);
	r->controller_id = c->setup.broker_id;
	r->controller_epoch = c->epoch;
	for (size_t i = 0; i < count; i++)
		topics += i == 0 ||
		    partitions[i]->topic != partitions[i - 1]->topic;
	r->topic_states = body_array(body,
	    update_metadata_request_topic_state_schema(), topics);
	for (size_t i = 0; i < count;)
		i += fill_metadata_topic(c, body,
		    &r->topic_states[r->topic_states_count++], &partitions[i],
		    count - i);
	fill_live_brokers(c, body);
	return (body);
}

/* --- StopReplica ---------------------------------------------------------- */

/* A topic that goes has no epochs any more: whatever a replica's is, it
 * stops. */
static int32_t
stop_epoch(const struct partition *p)
{
	if (topic_doomed(p->topic))
		return (LEADER_EPOCH_DELETING);
	return (p->written ? p->now.leader_epoch : LEADER_EPOCH_NONE);
}

static size_t
fill_stop_topic(struct order_body *body,
    struct stop_replica_request_topic_state *to, const struct order *orders,
    size_t count)
{
	const struct topic *topic = orders[0].partition->topic;
	size_t end = 0;

	while (end < count && orders[end].partition->topic == topic)
		end++;
	to->topic_name = body_text(body, topic->name);
	to->partition_states = body_array(body,
	    stop_replica_request_partition_state_schema(), end);
	to->partition_states_count = (int32_t)end;
	for (size_t i = 0; i < end; i++) {
		struct stop_replica_request_partition_state *state =
		    &to->partition_states[i];

		state->partition_index = orders[i].partition->number;
		state->leader_epoch = stop_epoch(orders[i].partition);
		state->delete_partition = orders[i].delete_partition;
	}
	return (end);
}

static struct order_body *
stop_replica_body(struct controller *c, const struct order *orders,
    size_t count)
{
	struct order_body *body = order_body_new(API_STOP_REPLICA);
	struct stop_replica_request *r = &body->request.stop_replica;

	wire_init(&message_stop_replica_request, r);
	r->controller_id = c->setup.broker_id;
	r->controller_epoch = c->epoch;
	r->topic_states = body_array(body,
	    stop_replica_request_topic_state_schema(),
	    orders_topics(orders, count));
	for (size_t i = 0; i < count;)
		i += fill_stop_topic(body,
		    &r->topic_states[r->topic_states_count++], &orders[i],
		    count - i);
	return (body);
}

/* --- sending -------------------------------------------------------------- */

static void
send_leader_and_isr(struct controller *c, const struct order *orders,
    size_t count)
{
	struct order_body *body = leader_and_isr_body(c, orders, count);

	channel_send(orders[0].broker->channel, body);
	order_body_unref(body);
}

static void
send_stop_replica(struct controller *c, const struct order *orders,
    size_t count)
{
	struct order_body *body = stop_replica_body(c, orders, count);

	channel_send(orders[0].broker->channel, body);
	order_body_unref(body);
}

/* Sorted; each broker's run goes out as one. */
static void
each_broker(struct controller *c, struct order *orders, size_t count,
    void (*tell)(struct controller *c, const struct order *run,
	size_t run_count))
{
	size_t end;

	for (size_t i = 0; i < count; i = end) {
		for (end = i; end < count &&
		    orders[end].broker == orders[i].broker;)
			end++;
		tell(c, &orders[i], end - i);
	}
}

/* To all, or everything to newcomers: who missed that topics went, because it
 * was away or took no orders, believes in them no more. */
static void
send_metadata(struct controller *c, struct partition **partitions,
    size_t count, bool everything)
{
	struct order_body *body;

	qsort(partitions, count, sizeof(struct partition *), compare_shown);
	body = metadata_body(c, partitions, count);
	if (everything)
		body->request.update_metadata.type = UPDATE_METADATA_FULL;
	for (size_t b = 0; b < c->context.broker_count; b++) {
		struct live_broker *broker = c->context.brokers[b];

		if (everything ? broker->newcomer :
		    count == 0 || !broker->newcomer)
			channel_send(broker->channel, body);
	}
	order_body_unref(body);
}

/* A replica may have been named twice: alone, and with its partition. */
static void
orders_unique(struct orders *o)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->item_count; i++)
		if (kept == 0 || compare_orders(&o->items[kept - 1],
		    &o->items[i]) != 0)
			o->items[kept++] = o->items[i];
	o->item_count = kept;
}

void
orders_send(struct controller *c)
{
	struct orders *o = &c->orders;

	if (o->item_count > 1)
		qsort(o->items, o->item_count, sizeof(*o->items),
		    compare_orders);
	orders_unique(o);
	each_broker(c, o->items, o->item_count, send_leader_and_isr);
	if (o->shown_count > 0 || o->brokers_changed) {
		struct partition *none = NULL;

		/* Of partitions newcomers hear later. */
		if (o->brokers_changed && o->shown_count > 0)
			send_metadata(c, &none, 0, false);
		send_metadata(c, o->shown == NULL ? &none : o->shown,
		    o->shown_count, false);
	}
	if (o->stop_count > 1)
		qsort(o->stops, o->stop_count, sizeof(*o->stops),
		    compare_orders);
	each_broker(c, o->stops, o->stop_count, send_stop_replica);
	orders_reset(o);
}

/* All partitions that have a state; those hosted by `only`, if not NULL. */
static struct partition **
partitions_all(struct controller *c, const struct live_broker *only,
    size_t *count)
{
	struct partition **all = mem_alloc((c->context.partition_count + 1) *
	    sizeof(struct partition *));

	*count = 0;
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++) {
			struct partition *p = topic->partitions[i];

			if (p->written && (only == NULL ||
			    partition_replica(p, only->id) != NULL ||
			    dropped_waits(c, p, only->id)))
				all[(*count)++] = p;
		}
	}
	return (all);
}

void
orders_send_everything(struct controller *c)
{
	struct partition **all;
	size_t count;
	bool any = false;

	for (size_t b = 0; b < c->context.broker_count; b++)
		any = any || c->context.brokers[b]->newcomer;
	if (!any)
		return;
	all = partitions_all(c, NULL, &count);
	send_metadata(c, all, count, true);
	for (size_t b = 0; b < c->context.broker_count; b++)
		c->context.brokers[b]->newcomer = false;
	mem_free(all);
}

void
orders_resync(struct controller *c, struct live_broker *broker)
{
	size_t count;
	struct partition **hosted = partitions_all(c, broker, &count);
	struct order *orders = mem_alloc((count + 1) * sizeof(*orders));
	size_t leads = 0, stops = 0;

	/* Those that stop lie at the end of the row. */
	for (size_t i = 0; i < count; i++) {
		struct partition *p = hosted[i];
		const struct assigned *replica = partition_replica(p,
		    broker->id);
		bool deletes = dropped_waits(c, p, broker->id) ||
		    (replica != NULL &&
		    replica->state == REPLICA_DELETION_STARTED);
		struct order order = { broker, p, deletes };

		if (deletes || (replica != NULL && replica->stopped))
			orders[count - ++stops] = order;
		else if (!topic_doomed(p->topic) &&
		    !replica_untold(p, broker->id) &&
		    !partition_dismisses(p, broker->id))
			orders[leads++] = order;
	}
	if (leads > 1)
		qsort(orders, leads, sizeof(*orders), compare_orders);
	each_broker(c, orders, leads, send_leader_and_isr);
	broker->newcomer = true;
	orders_send_everything(c);
	if (stops > 1)
		qsort(orders + count - stops, stops, sizeof(*orders),
		    compare_orders);
	each_broker(c, orders + count - stops, stops, send_stop_replica);
	mem_free(orders);
	mem_free(hosted);
}
