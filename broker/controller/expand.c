/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CreatePartitions: topics get more partitions.
 *
 *	[names] --> [read nodes] --> [plan] --> [write] --> [wait for leaders]
 *	                 ^                         |              |
 *	                 +------ another version --+              v
 *	                                                      answered
 *
 * The node's new content makes the controller act, whoever wrote it (topics.c).
 * The write is not fenced, as any tool may do the same, but names the version
 * that was read: Kafka overwrites what another has added meanwhile.  Another
 * version may be the echo of our own write, whose answer was lost: then the
 * node holds what was sent.
 * Source of rules, order and words: KafkaApis.handleCreatePartitionsRequest,
 * ZkAdminManager.createPartitions, AdminZkClient of 3.9.
 */
#include "controller/plan_int.h"

#include "base/placement.h"
#include "base/text.h"

#define READS_MAX 10

static task_step expand_begin, expand_read, expand_plan, expand_written,
    expand_wait;

struct expanding {
	struct hash_node node;
	const char *name;
	const struct create_partitions_request_topic *asked; /* the call's */
	enum error error;
	const char *message; /* NULL: none */
	int32_t old_count;
	int32_t factor;      /* of partition 0 */
	int32_t first_broker;
	int32_t count;       /* wanted; kept, as the asker may go */
	struct zk_op *op;
	const struct zk_op *sent; /* of the last batch; its fate is unknown */
	bool written;
};

struct expansion {
	struct list link; /* controller's expansions */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	struct expanding *topics;
	size_t count;
	struct hash names;
	bool trips; /* over a name: nothing is done */
	bool validate_only;
	int32_t timeout_ms;
	int reads;
	struct zk_batch *batch;   /* the last writes */
	struct zk_batch *reading; /* what a plan borrows */
	struct waitq_link changed;
};

/* --- answering ------------------------------------------------------------ */

static void
refuse(struct expanding *topic, enum error error, const char *message)
{
	if (topic->error != ERR_NONE)
		return;
	topic->error = error;
	topic->message = message;
}

static void
expansion_reply(struct expansion *x)
{
	struct controller_call *call = x->hook.call;
	struct create_partitions_response *response;

	if (call == NULL)
		return;
	response = call->response;
	response->results = wire_array(call->arena,
	    create_partitions_response_topic_schema(), x->count);
	if (response->results != NULL)
		response->results_count = (int32_t)x->count;
	for (int32_t i = 0; i < response->results_count; i++) {
		const struct expanding *from = &x->topics[i];
		struct create_partitions_response_topic *to =
		    &response->results[i];

		to->name = from->asked->name; /* the call's, as the answer */
		to->error_code = (int16_t)from->error;
		to->error_message = from->message == NULL ? SLICE_NULL :
		    slice_of_text(arena_strdup(call->arena, from->message));
	}
	controller_call_end(&x->hook);
}

static enum verdict
expansion_answer(struct task *t)
{
	expansion_reply(task_state(t));
	return (STEP_DONE);
}

/* --- life ----------------------------------------------------------------- */

static void expand_take(struct task *t);

static void
expansion_fini(struct task *task)
{
	struct expansion *x = task_state(task);

	list_remove(&x->link);
	waitq_leave(cluster_changed(x->controller->setup.cluster),
	    &x->changed);
	zk_batch_free(&x->batch);
	zk_batch_free(&x->reading);
	/* Cut short, as the broker stops: the next controller may be asked. */
	if (x->hook.call != NULL && x->topics == NULL)
		expand_take(task);
	for (size_t i = 0; x->hook.call != NULL && i < x->count; i++)
		refuse(&x->topics[i], ERR_NOT_CONTROLLER, NULL);
	hash_clear(&x->names);
	expansion_reply(x);
}

static const struct task_class expansion_class = {
	.name = "partitions",
	.state_size = sizeof(struct expansion),
	.arena_limit = (size_t)256 << 20,
	.fini = expansion_fini,
};

struct expansion_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
expansion_setup(struct task *task, void *arg)
{
	struct expansion *x = task_state(task);
	const struct expansion_start *start = arg;

	x->self = task_ref(task);
	x->controller = start->controller;
	x->hook.call = start->call;
	start->call->state = &x->hook;
	list_push_tail(&start->controller->expansions, &x->link);
}

void
controller_create_partitions(struct controller *controller,
    struct controller_call *call)
{
	struct expansion_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &expansion_class, expand_begin,
	    expansion_setup, &start);
}

void
expansions_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->expansions)
		task_cancel(task_of_ref(list_entry(element, struct expansion,
		    link)->self));
}

/* --- which topics --------------------------------------------------------- */

/* Kafka looks for the topic's node whatever its name, and trips over one that
 * makes no path of ZooKeeper's. */
static bool
name_is_path(struct slice name)
{
	if (name.length == 0 || slice_equal_text(name, ".") ||
	    slice_equal_text(name, "..") || name.data[name.length - 1] == '/' ||
	    !text_is_utf8(name))
		return (false);
	for (size_t i = 0; i < name.length; i++)
		if (name.data[i] < ' ' || name.data[i] == 0x7f)
			return (false);
	return (true);
}

/* One row a name; who is named twice is refused. */
static void
expand_note(struct task *t, const char *name,
    const struct create_partitions_request_topic *asked)
{
	struct expansion *x = task_state(t);
	const size_t length = asked->name.length;
	struct hash_node *other = hash_find(&x->names, name, length);
	struct expanding *topic = &x->topics[x->count];
	const struct topic *known = context_topic(
	    &x->controller->context, slice_of(name, length));

	if (other != NULL) {
		topic = container_of(other, struct expanding, node);
		topic->error = ERR_NONE;
		refuse(topic, ERR_INVALID_REQUEST,
		    "Duplicate topic in request.");
		return;
	}
	*topic = (struct expanding){ .name = name, .asked = asked,
		.count = asked->count };
	hash_insert(&x->names, &topic->node, name, length);
	x->count++;
	x->trips |= !name_is_path(asked->name);
	if (known != NULL && topic_doomed(known))
		refuse(topic, ERR_INVALID_TOPIC_EXCEPTION,
		    "The topic is queued for deletion.");
}

static bool
expand_goes_on(const struct expansion *x)
{
	for (size_t i = 0; i < x->count; i++)
		if (x->topics[i].error == ERR_NONE && !x->topics[i].written)
			return (true);
	return (false);
}

static enum verdict
expand_fail(struct task *t, enum error error)
{
	struct expansion *x = task_state(t);

	for (size_t i = 0; i < x->count; i++)
		if (!x->topics[i].written)
			refuse(&x->topics[i], error, NULL);
	return (expansion_answer(t));
}

static enum verdict
expand_await(struct task *t)
{
	struct expansion *x = task_state(t);

	if (controller_call_waits(x->controller, t, &x->hook))
		return (STEP_WAIT);
	for (size_t i = 0; i < x->count; i++)
		if (!x->topics[i].written)
			refuse(&x->topics[i], ERR_REQUEST_TIMED_OUT,
			    ZK_SILENT);
	return (expansion_answer(t));
}

static void
expand_take(struct task *t)
{
	struct expansion *x = task_state(t);
	const struct create_partitions_request *request = x->hook.call->request;

	x->validate_only = request->validate_only;
	x->timeout_ms = request->timeout_ms;
	x->topics = arena_array(task_arena(t), (size_t)request->topics_count,
	    sizeof(*x->topics));
	for (int32_t i = 0; x->topics != NULL && i < request->topics_count;
	     i++) {
		const char *name = arena_slice_text(task_arena(t),
		    request->topics[i].name);

		if (name != NULL)
			expand_note(t, name, &request->topics[i]);
	}
}

static enum verdict
expand_refuse_all(struct task *t, enum error error)
{
	struct expansion *x = task_state(t);

	for (size_t i = 0; i < x->count; i++) {
		x->topics[i].error = ERR_NONE;
		x->topics[i].message = NULL;
		refuse(&x->topics[i], error, NULL);
	}
	return (expansion_answer(t));
}

static enum verdict
expand_begin(struct task *t)
{
	struct expansion *x = task_state(t);

	if (x->hook.call == NULL)
		return (STEP_DONE);
	expand_take(t);
	if (!controller_active(x->controller))
		return (expand_refuse_all(t, ERR_NOT_CONTROLLER));
	if (x->trips)
		return (expand_refuse_all(t, ERR_UNKNOWN_SERVER_ERROR));
	return (expand_goes_on(x) ? task_next(t, expand_read) :
	    expansion_answer(t));
}

/* --- reading -------------------------------------------------------------- */

static enum verdict
expand_read(struct task *t)
{
	struct expansion *x = task_state(t);

	/* What is asked for is the asker's memory. */
	if (x->hook.call == NULL)
		return (STEP_DONE);
	if (++x->reads > READS_MAX)
		return (expand_fail(t, ERR_REQUEST_TIMED_OUT));
	zk_batch_free(&x->reading);
	x->reading = zk_batch_new(x->controller->setup.zk);
	for (size_t i = 0; i < x->count; i++) {
		struct expanding *topic = &x->topics[i];

		if (topic->error == ERR_NONE && !topic->written)
			topic->op = zk_batch_get(x->reading, znode_topic_path(
			    zk_batch_arena(x->reading), topic->name), NULL);
	}
	zk_batch_submit(x->reading, t);
	return (task_next(t, expand_plan));
}

/* --- planning ------------------------------------------------------------- */

static bool
node_is_moving(const struct znode_topic *node)
{
	for (size_t i = 0; i < node->partition_count; i++)
		if (node->partitions[i].adding_count +
		    node->partitions[i].removing_count > 0)
			return (true);
	return (false);
}

/* The numbers, against what is there. */
static void
check_count(struct arena *arena, struct expanding *topic,
    const struct znode_topic *node)
{
	if (node_is_moving(node)) {
		refuse(topic, ERR_REASSIGNMENT_IN_PROGRESS, arena_printf(arena,
		    "A partition reassignment is in progress for the topic "
		    "'%s'.", topic->name));
		return;
	}
	topic->old_count = (int32_t)node->partition_count;
	if (node->partition_count == 0)
		refuse(topic, ERR_UNKNOWN_TOPIC_OR_PARTITION, arena_printf(
		    arena, "The topic '%s' does not exist.", topic->name));
	else if (topic->count < topic->old_count)
		refuse(topic, ERR_INVALID_PARTITIONS, arena_printf(arena,
		    "Topic currently has %d partitions, which is higher than "
		    "the requested %d.", (int)topic->old_count,
		    (int)topic->count));
	else if (topic->count == topic->old_count)
		refuse(topic, ERR_INVALID_PARTITIONS, arena_printf(arena,
		    "Topic already has %d partitions.",
		    (int)topic->old_count));
	else if (topic->count > PLAN_PARTITIONS_MAX)
		refuse(topic, ERR_INVALID_PARTITIONS, arena_printf(arena,
		    "Number of partitions must not be larger than %d.",
		    PLAN_PARTITIONS_MAX));
	else if (node->partitions[0].partition != 0 ||
	    node->partitions[0].replica_count == 0)
		refuse(topic, ERR_UNKNOWN_SERVER_ERROR, arena_printf(arena,
		    "Unexpected existing replica assignment for topic '%s', "
		    "partition id 0 is missing.", topic->name));
	if (topic->error != ERR_NONE)
		return;
	topic->factor = node->partitions[0].replica_count;
	topic->first_broker = node->partitions[0].replicas[0];
}

static const char *
numbers_text(struct arena *arena, const int32_t *numbers, int32_t count)
{
	struct buffer text = BUFFER_EMPTY;
	const char *copy;

	for (int32_t i = 0; i < count; i++)
		buffer_printf(&text, "%s%d", i == 0 ? "" : ", ",
		    (int)numbers[i]);
	copy = arena_strdup(arena, text.length == 0 ? "" :
	    buffer_text(&text));
	buffer_fini(&text);
	return (copy);
}

/* Brokers that nobody knows, each once. */
static void
check_unknown(struct arena *arena, const struct cluster_image *image,
    struct expanding *topic)
{
	const struct create_partitions_request_topic *asked = topic->asked;
	struct buffer unknown = BUFFER_EMPTY;
	int listed = 0;

	for (int32_t i = 0; i < asked->assignments_count; i++)
		for (int32_t r = 0;
		     r < asked->assignments[i].broker_ids_count; r++) {
			int32_t id = asked->assignments[i].broker_ids[r];

			/* The first few tell enough. */
			if (image_broker(image, id) == NULL && listed++ < 20)
				buffer_printf(&unknown, "%s%d",
				    unknown.length == 0 ? "" : ", ", (int)id);
		}
	if (unknown.length > 0)
		refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT, arena_printf(
		    arena, "Unknown broker(s) in replica assignment: %s.",
		    buffer_text(&unknown)));
	buffer_fini(&unknown);
}

/* All partitions whose replicas are not as many as partition 0 has. */
static void
check_factors(struct arena *arena, struct expanding *topic)
{
	const struct create_partitions_request_topic *asked = topic->asked;
	struct buffer numbers = BUFFER_EMPTY, factors = BUFFER_EMPTY;

	for (int32_t i = 0; i < asked->assignments_count; i++) {
		int32_t factor = asked->assignments[i].broker_ids_count;

		if (factor == topic->factor)
			continue;
		buffer_printf(&numbers, "%s%d", numbers.length == 0 ? "" :
		    ", ", (int)(topic->old_count + i));
		buffer_printf(&factors, "%s%d", factors.length == 0 ? "" :
		    ", ", (int)factor);
	}
	if (numbers.length > 0)
		refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT, arena_printf(
		    arena, "Inconsistent replication factor between "
		    "partitions, partition 0 has %d while partitions [%s] have "
		    "replication factors [%s], respectively.",
		    (int)topic->factor, buffer_text(&numbers),
		    buffer_text(&factors)));
	buffer_fini(&numbers);
	buffer_fini(&factors);
}

static void
check_assignments(struct arena *arena, const struct cluster_image *image,
    struct expanding *topic)
{
	const struct create_partitions_request_topic *asked = topic->asked;
	int32_t more = topic->count - topic->old_count;
	int64_t assigned = 0;

	check_unknown(arena, image, topic);
	if (topic->error == ERR_NONE && asked->assignments_count != more)
		refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT, arena_printf(
		    arena, "Increasing the number of partitions by %d but %d "
		    "assignments provided.", (int)more,
		    (int)asked->assignments_count));
	for (int32_t i = 0; topic->error == ERR_NONE && i < more; i++) {
		const struct create_partitions_request_assignment *a =
		    &asked->assignments[i];
		int partition = (int)(topic->old_count + i);

		assigned += a->broker_ids_count;
		if (a->broker_ids_count == 0)
			refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
			    arena_printf(arena, "Cannot have replication "
			    "factor of 0 for partition id %d.", partition));
		else if (a->broker_ids_count > PLAN_REPLICAS_MAX)
			refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
			    "A partition has too many replicas");
		else if (assigned > PLAN_ASSIGNED_MAX)
			refuse(topic, ERR_INVALID_PARTITIONS, "The assignment "
			    "is too large for ZooKeeper");
		else if (placement_repeats(a->broker_ids,
		    a->broker_ids_count))
			refuse(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
			    arena_printf(arena, "Duplicate brokers not "
			    "allowed in replica assignment: %s for partition "
			    "id %d.", numbers_text(arena, a->broker_ids,
				a->broker_ids_count), partition));
	}
	if (topic->error == ERR_NONE)
		check_factors(arena, topic);
}

/* The replicas of all that are added, one row; NULL: refused. */
static int32_t *
place(struct task *t, const struct cluster_image *image,
    struct expanding *topic)
{
	struct expansion *x = task_state(t);
	struct arena *arena = task_arena(t);
	struct placement_request request = {
		.partition_count = topic->count - topic->old_count,
		.replication_factor = topic->factor,
		.first_partition = topic->old_count,
		.random = x->controller->setup.random,
	};
	struct placement_broker *brokers = arena_array(arena,
	    image->broker_count, sizeof(*brokers));
	int32_t *replicas = arena_array(arena,
	    (size_t)request.partition_count * (size_t)topic->factor,
	    sizeof(*replicas));

	if ((size_t)topic->factor > image->broker_count) {
		refuse(topic, ERR_INVALID_REPLICATION_FACTOR, arena_printf(
		    arena, "Replication factor: %d larger than available "
		    "brokers: %zu.", (int)topic->factor,
		    image->broker_count));
		return (NULL);
	}
	if (brokers == NULL || replicas == NULL) {
		refuse(topic, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return (NULL);
	}
	request.broker_count = suspects_avoid(x->controller, image,
	    (size_t)topic->factor, brokers);
	for (size_t i = request.broker_count; i-- > 0;)
		if (brokers[i].id >= topic->first_broker)
			request.fixed_start = (int32_t)i;
	request.brokers = brokers;
	if (placement_assign(&request, replicas))
		return (replicas);
	refuse(topic, ERR_UNKNOWN_SERVER_ERROR, "Not all brokers have rack "
	    "information for replica rack aware assignment.");
	return (NULL);
}

/* The node with what is added; NULL: refused. */
static struct znode_assignment *
assignments(struct task *t, struct expanding *topic,
    const struct znode_topic *node)
{
	struct expansion *x = task_state(t);
	const struct cluster_image *image =
	    cluster_image(x->controller->setup.cluster);
	const struct create_partitions_request_topic *asked = topic->asked;
	bool manual = asked->assignments != NULL;
	int32_t *placed = NULL;
	struct znode_assignment *all;

	if (manual)
		check_assignments(task_arena(t), image, topic);
	else
		placed = place(t, image, topic);
	if (topic->error != ERR_NONE)
		return (NULL);
	all = arena_array(task_arena(t), (size_t)topic->count, sizeof(*all));
	if (all == NULL) {
		refuse(topic, ERR_UNKNOWN_SERVER_ERROR, "out of memory");
		return (NULL);
	}
	memcpy(all, node->partitions, node->partition_count * sizeof(*all));
	for (int32_t i = topic->old_count; i < topic->count; i++) {
		int32_t at = i - topic->old_count;

		all[i] = (struct znode_assignment){
			.partition = i,
			.replicas = manual ? asked->assignments[at].broker_ids :
			    placed + (size_t)at * (size_t)topic->factor,
			.replica_count = topic->factor,
		};
	}
	return (all);
}

static void
expand_topic(struct task *t, struct expanding *topic)
{
	struct expansion *x = task_state(t);
	const struct zk_op *read = topic->op;
	struct buffer json = BUFFER_EMPTY;
	struct znode_topic node = { .partition_count = 0 };

	if (read->rc == ZK_OK && !znode_topic_decode(read->answer,
	    zk_batch_arena(x->reading), &node))
		refuse(topic, ERR_UNKNOWN_SERVER_ERROR,
		    "The topic's node cannot be read");
	check_count(task_arena(t), topic, &node);
	if (topic->error != ERR_NONE)
		return;
	node.partitions = assignments(t, topic, &node);
	if (node.partitions == NULL || x->validate_only)
		return;
	node.partition_count = (size_t)topic->count;
	znode_topic_encode(&node, &json);
	topic->op = zk_batch_set(x->batch, znode_topic_path(
	    zk_batch_arena(x->batch), topic->name), buffer_slice(&json),
	    read->stat.version);
	buffer_fini(&json);
}

static void
expand_made(struct expansion *x, struct expanding *topic)
{
	topic->written = true;
	diag_info(x->controller->setup.diag, controller, "topic=%s got "
	    "partitions=%d, it had %d", topic->name, (int)topic->count,
	    (int)topic->old_count);
}

/* Those whose write is found were written by us. */
static void
expand_find_sent(struct expansion *x)
{
	for (size_t i = 0; i < x->count; i++) {
		struct expanding *topic = &x->topics[i];

		if (topic->sent != NULL && topic->op->rc == ZK_OK &&
		    slice_equal(topic->op->answer, topic->sent->data))
			expand_made(x, topic);
		topic->sent = NULL;
	}
}

static enum verdict
expand_plan(struct task *t)
{
	struct expansion *x = task_state(t);

	if (!zk_batch_done(x->reading))
		return (expand_await(t));
	if (x->hook.call == NULL)
		return (STEP_DONE);
	for (size_t i = 0; i < x->count; i++) {
		const struct expanding *topic = &x->topics[i];

		if (topic->error == ERR_NONE && !topic->written &&
		    topic->op->rc != ZK_OK && topic->op->rc != ZK_NO_NODE)
			return (expand_fail(t, ERR_NOT_CONTROLLER));
	}
	expand_find_sent(x);
	zk_batch_free(&x->batch);
	x->batch = zk_batch_new(x->controller->setup.zk);
	for (size_t i = 0; i < x->count; i++)
		if (x->topics[i].error == ERR_NONE && !x->topics[i].written)
			expand_topic(t, &x->topics[i]);
	if (x->validate_only)
		return (expansion_answer(t));
	if (!expand_goes_on(x))
		return (task_next(t, expand_wait));
	zk_batch_submit(x->batch, t);
	return (task_next(t, expand_written));
}

/* --- writing -------------------------------------------------------------- */

static enum verdict
expand_written(struct task *t)
{
	struct expansion *x = task_state(t);
	bool again = false;

	if (!zk_batch_done(x->batch))
		return (expand_await(t));
	for (size_t i = 0; i < x->count; i++) {
		struct expanding *topic = &x->topics[i];

		if (topic->error != ERR_NONE || topic->written)
			continue;
		if (topic->op->rc == ZK_OK) {
			expand_made(x, topic);
		} else if (topic->op->rc == ZK_BAD_VERSION) {
			/* Another's, or our own whose answer was lost. */
			again = true;
			topic->sent = topic->op->retried ? topic->op : NULL;
		} else if (topic->op->rc == ZK_TOO_LARGE) {
			refuse(topic, ERR_INVALID_PARTITIONS, "The assignment "
			    "is too large for ZooKeeper");
		} else {
			refuse(topic, topic->op->rc == ZK_NO_NODE ?
			    ERR_UNKNOWN_TOPIC_OR_PARTITION :
			    ERR_REQUEST_TIMED_OUT, NULL);
		}
	}
	return (task_next(t, again ? expand_read : expand_wait));
}

/* --- waiting -------------------------------------------------------------- */

static bool
is_led(const struct cluster_image *image, const struct expanding *topic)
{
	const struct cluster_topic *seen = image_topic(image,
	    slice_of_text(topic->name));

	if (seen == NULL || seen->partition_count < topic->count)
		return (false);
	for (int32_t i = 0; i < seen->partition_count; i++)
		if (seen->partitions[i].leader < 0)
			return (false);
	return (true);
}

static enum verdict
expand_wait(struct task *t)
{
	struct expansion *x = task_state(t);
	struct cluster *cluster = x->controller->setup.cluster;
	const struct cluster_image *image;
	bool waits = false;

	if (x->hook.call == NULL)
		return (STEP_DONE);
	waitq_join(cluster_changed(cluster), &x->changed, t);
	task_set_deadline(t, x->hook.call->deadline_ns);
	image = cluster_image(cluster);
	for (size_t i = 0; i < x->count; i++)
		waits = waits || (x->topics[i].error == ERR_NONE &&
		    !is_led(image, &x->topics[i]));
	if (waits && x->timeout_ms > 0 && !task_expired(t))
		return (STEP_WAIT);
	for (size_t i = 0; i < x->count; i++)
		if (x->timeout_ms <= 0 || !is_led(image, &x->topics[i]))
			refuse(&x->topics[i], ERR_REQUEST_TIMED_OUT, NULL);
	return (expansion_answer(t));
}
