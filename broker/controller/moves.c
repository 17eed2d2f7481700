/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlterPartitionReassignments (KIP-455).
 *
 *	[asked] --> [taken up, between two events; one request an event]
 *	                 |
 *	                 v
 *	   judged --> [nodes read] --> [written, fenced, at that version] --+
 *	                   ^                                                |
 *	                   +--- another version: ours, its answer lost, or -+
 *	                        another's                                   |
 *	                                             answered; reassign.c <-+
 *
 * Source: KafkaController.processApiPartitionReassignment of 3.9.
 */
#include "base/placement.h"
#include "base/twins.h"
#include "controller/controller_int.h"

#define NODES_AT_ONCE 100
#define REPLICAS_MAX 1000
/* Of what is said of a list. */
#define MESSAGE_MAX ((size_t)1000)

static task_step move_begin, move_wait, moves_read, moves_take, moves_written;

enum asking_state { ASKING, TAKEN, ENDED };

struct move {
	int32_t number; /* of the partition */
	int32_t *target; /* NULL: called off */
	int32_t target_count;
	enum error error;
	const char *message;
	bool open;
	bool sent; /* in the write at hand */
	struct partition *partition; /* while the event lasts */
	struct znode_assignment wanted;
};

struct moved_topic {
	const char *name;
	struct move *moves;
	size_t count;
	struct zk_op *op;
};

struct moving {
	struct list link; /* controller's movings */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	struct arena *arena; /* the task's */
	enum asking_state state;
	struct moved_topic *topics;
	size_t topic_count;
	bool taken; /* from the request */
	struct move *node_moves;
	bool by_node; /* nobody asked but /admin/reassign_partitions */
};

/* --- answering ------------------------------------------------------------ */

static enum error
answer_moves(const struct moving *m, struct arena *arena,
    struct alter_partition_reassignments_response *response)
{
	response->responses = wire_array(arena,
	    alter_partition_reassignments_response_topic_schema(),
	    m->topic_count);
	if (response->responses == NULL)
		return (ERR_UNKNOWN_SERVER_ERROR);
	for (size_t i = 0; i < m->topic_count; i++) {
		const struct moved_topic *from = &m->topics[i];
		struct alter_partition_reassignments_response_topic *to =
		    &response->responses[i];

		to->name = slice_of_text(arena_strdup(arena, from->name));
		to->partitions = wire_array(arena,
		    alter_partition_reassignments_response_partition_schema(),
		    from->count);
		if (to->partitions == NULL)
			return (ERR_UNKNOWN_SERVER_ERROR);
		to->partitions_count = (int32_t)from->count;
		response->responses_count++;
		for (size_t j = 0; j < from->count; j++) {
			const struct move *move = &from->moves[j];

			to->partitions[j].partition_index = move->number;
			to->partitions[j].error_code = (int16_t)move->error;
			to->partitions[j].error_message =
			    move->message == NULL ? SLICE_NULL : slice_of_text(
			    arena_strdup(arena, move->message));
		}
	}
	return (ERR_NONE);
}

static void
moving_answer(struct moving *m, enum error error)
{
	struct controller_call *call = m->hook.call;
	struct alter_partition_reassignments_response *response;

	if (call == NULL)
		return;
	response = call->response;
	if (error == ERR_NONE)
		error = answer_moves(m, call->arena, response);
	if (error != ERR_NONE)
		response->responses_count = 0;
	response->error_code = (int16_t)error;
	if (error == ERR_NONE)
		response->error_message = SLICE_EMPTY;
	else
		response->error_message = error == ERR_REQUEST_TIMED_OUT ?
		    SLICE_LITERAL(ZK_SILENT) : SLICE_NULL;
	controller_call_end(&m->hook);
}

/* --- life ----------------------------------------------------------------- */

static void
moving_fini(struct task *task)
{
	struct moving *m = task_state(task);

	list_remove(&m->link);
	if (m->controller->at_hand == m)
		m->controller->at_hand = NULL;
	if (m->by_node)
		m->controller->node_moving = false;
	controller_call_gone(m->controller, &m->hook);
	moving_answer(m, ERR_NOT_CONTROLLER);
}

static const struct task_class moving_class = {
	.name = "alter reassignments",
	.state_size = sizeof(struct moving),
	.arena_limit = (size_t)64 << 20,
	.fini = moving_fini,
};

struct moving_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
moving_setup(struct task *task, void *arg)
{
	struct moving *m = task_state(task);
	const struct moving_start *start = arg;

	m->self = task_ref(task);
	m->arena = task_arena(task);
	m->controller = start->controller;
	m->hook.call = start->call;
	if (start->call != NULL)
		start->call->state = &m->hook;
	list_push_tail(&start->controller->movings, &m->link);
}

void
controller_alter_reassignments(struct controller *controller,
    struct controller_call *call)
{
	struct moving_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &moving_class, move_begin,
	    moving_setup, &start);
}

static void
take_item(struct moving *m, const struct znode_topic_partition *item)
{
	struct moved_topic *topic = m->topic_count == 0 ? NULL :
	    &m->topics[m->topic_count - 1];
	size_t size = (size_t)item->replica_count * sizeof(int32_t);
	struct move *move;

	if (topic == NULL || strcmp(topic->name, item->topic) != 0) {
		struct move *moves = topic == NULL ? m->node_moves :
		    topic->moves + topic->count;

		topic = &m->topics[m->topic_count++];
		*topic = (struct moved_topic){ .moves = moves,
			.name = arena_strdup(m->arena, item->topic) };
	}
	move = &topic->moves[topic->count++];
	*move = (struct move){ .number = item->partition,
		.target_count = item->replica_count,
		.target = arena_array(m->arena, (size_t)item->replica_count + 1,
		    sizeof(*move->target)) };
	CHECK(topic->name != NULL && move->target != NULL);
	if (size > 0)
		memcpy(move->target, item->replicas, size);
}

/* Of one node, so that its size is bounded. */
void
moves_start(struct controller *c, const struct znode_topic_partition *items,
    size_t count)
{
	struct moving_start start = { c, NULL };
	struct moving *m = task_state(task_start(c->setup.loop, &moving_class,
	    move_wait, moving_setup, &start));

	m->topics = arena_array(m->arena, count, sizeof(*m->topics));
	m->node_moves = arena_array(m->arena, count, sizeof(*m->node_moves));
	CHECK(m->topics != NULL && m->node_moves != NULL);
	for (size_t i = 0; i < count; i++)
		take_item(m, &items[i]);
	m->by_node = m->taken = c->node_moving = true;
	controller_call_asked(c, &m->hook);
}

void
movings_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->movings)
		task_cancel(task_of_ref(list_entry(element, struct moving,
		    link)->self));
}

/* --- the request ---------------------------------------------------------- */

static bool
take_move(struct moving *m, struct moved_topic *topic,
    const struct alter_partition_reassignments_request_partition *asked)
{
	struct move *move = &topic->moves[topic->count++];
	size_t count = (size_t)asked->replicas_count;

	*move = (struct move){ .number = asked->partition_index,
		.target_count = asked->replicas_count };
	if (asked->replicas == NULL)
		return (true);
	move->target = arena_array(m->arena, count + 1,
	    sizeof(*move->target));
	if (move->target != NULL && count > 0)
		memcpy(move->target, asked->replicas,
		    count * sizeof(*move->target));
	return (move->target != NULL);
}

/* Topics by their names: where the first of its name stands in m->topics. */
static bool
take_names(struct moving *m,
    const struct alter_partition_reassignments_request *request,
    struct moved_topic **of)
{
	size_t count = (size_t)request->topics_count;
	struct twin *twins = arena_array(m->arena, count, sizeof(*twins));
	size_t *rooms = arena_array(m->arena, count, sizeof(*rooms));
	const struct twin_ends *ends;

	if (twins == NULL || rooms == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		twins[i].name = request->topics[i].name;
	ends = twins_find(m->arena, twins, count);
	if (ends == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		rooms[ends[i].first] +=
		    (size_t)request->topics[i].partitions_count;
	for (size_t i = 0; i < count; i++) {
		struct moved_topic *topic = of[ends[i].first];

		if (rooms[ends[i].first] > 0 && topic == NULL) {
			topic = &m->topics[m->topic_count++];
			topic->name = arena_slice_text(m->arena,
			    request->topics[i].name);
			topic->moves = arena_array(m->arena, rooms[i],
			    sizeof(*topic->moves));
			if (topic->name == NULL || topic->moves == NULL)
				return (false);
		}
		of[i] = topic;
	}
	return (true);
}

/* What is named twice counts once, the last time. False: more than its memory
 * holds. */
static bool
take_request(struct moving *m,
    const struct alter_partition_reassignments_request *request)
{
	size_t topics = (size_t)request->topics_count, count = 0, at = 0;
	struct moved_topic **of = arena_array(m->arena, topics,
	    sizeof(struct moved_topic *));
	const struct twin_ends *ends;
	struct twin *twins;

	m->topics = arena_array(m->arena, topics, sizeof(*m->topics));
	if (of == NULL || m->topics == NULL || !take_names(m, request, of))
		return (false);
	for (size_t i = 0; i < topics; i++)
		count += (size_t)request->topics[i].partitions_count;
	twins = arena_array(m->arena, count, sizeof(*twins));
	for (size_t i = 0; twins != NULL && i < topics; i++)
		for (int32_t j = 0; j < request->topics[i].partitions_count;
		    j++)
			twins[at++] = (struct twin){
				.name = request->topics[i].name,
				.number = request->topics[i].partitions[j]
				    .partition_index };
	ends = twins == NULL ? NULL : twins_find(m->arena, twins, count);
	at = 0;
	for (size_t i = 0; ends != NULL && i < topics; i++)
		for (int32_t j = 0; j < request->topics[i].partitions_count;
		    j++, at++)
			if (ends[at].last == at && !take_move(m, of[i],
				&request->topics[i].partitions[j]))
				return (false);
	m->taken = ends != NULL;
	return (m->taken);
}

static enum verdict
moving_over(struct task *t, enum error error)
{
	moving_answer(task_state(t), error);
	return (STEP_DONE);
}

static enum verdict
move_begin(struct task *t)
{
	struct moving *m = task_state(t);

	if (m->hook.call == NULL)
		return (STEP_DONE);
	if (!controller_active(m->controller))
		return (moving_over(t, ERR_NOT_CONTROLLER));
	if (!take_request(m, m->hook.call->request))
		return (moving_over(t, ERR_UNKNOWN_SERVER_ERROR));
	controller_call_asked(m->controller, &m->hook);
	return (task_next(t, move_wait));
}

static enum verdict
move_wait(struct task *t)
{
	struct moving *m = task_state(t);

	if (m->state == ENDED)
		return (STEP_DONE);
	if (m->hook.call == NULL ||
	    controller_call_waits(m->controller, t, &m->hook))
		return (STEP_WAIT);
	/* Who was told so is not served later. */
	moving_answer(m, ERR_REQUEST_TIMED_OUT);
	return (m->state == ASKING ? STEP_DONE : STEP_WAIT);
}

/* --- judging -------------------------------------------------------------- */

static void
refuse(struct move *move, enum error error, const char *message)
{
	move->open = false;
	move->error = error;
	move->message = message;
}

/* "ArrayBuffer(1, 2)", as Kafka says it; cut off in time. */
static void
say_ids(struct buffer *text, const int32_t *ids, int32_t count)
{
	buffer_append_text(text, "ArrayBuffer(");
	for (int32_t i = 0; i < count && text->length < MESSAGE_MAX; i++)
		buffer_printf(text, "%s%d", i == 0 ? "" : ", ", (int)ids[i]);
	buffer_append_text(text, ")");
}

static const char *
say_kept(struct buffer *text, struct arena *arena)
{
	const char *kept = arena_strdup(arena, buffer_text(text));

	buffer_fini(text);
	return (kept == NULL ? "out of memory" : kept);
}

static const char *
say_target(const char *words, const struct move *move, struct arena *arena)
{
	struct buffer text = BUFFER_EMPTY;

	buffer_append_text(&text, words);
	say_ids(&text, move->target, move->target_count);
	return (say_kept(&text, arena));
}

static const char *
target_fault(const struct move *move, struct arena *arena)
{
	if (move->target_count == 0)
		return ("Empty replica list specified in partition "
		    "reassignment.");
	if (move->target_count > REPLICAS_MAX)
		return ("A partition has too many replicas");
	if (placement_repeats(move->target, move->target_count))
		return (say_target("Duplicate replica ids in partition "
		    "reassignment replica list: ", move, arena));
	for (int32_t i = 0; i < move->target_count; i++)
		if (move->target[i] < 0)
			return (say_target("Invalid broker id in replica "
			    "list: ", move, arena));
	return (NULL);
}

/* Those that come; what is called off may be gone. */
static int32_t *
coming(const struct znode_assignment *wanted, struct arena *arena,
    int32_t *count)
{
	int32_t *ids = arena_array(arena, (size_t)wanted->adding_count + 1,
	    sizeof(*ids));

	*count = 0;
	for (int32_t i = 0; ids != NULL && i < wanted->adding_count; i++)
		if (!numbers_hold(wanted->removing, wanted->removing_count,
		    wanted->adding[i]))
			ids[(*count)++] = wanted->adding[i];
	return (ids);
}

/* Who is added must live. */
static const char *
added_fault(const struct controller *c, const int32_t *adding, int32_t count,
    struct arena *arena)
{
	const struct context *context = &c->context;
	struct buffer text = BUFFER_EMPTY;
	bool live = true;

	for (int32_t i = 0; i < count && live; i++) {
		const struct live_broker *broker = context_broker(context,
		    adding[i]);

		live = broker != NULL && !broker->shutting_down &&
		    !broker->suspect;
	}
	if (live)
		return (NULL);
	buffer_append_text(&text, "Replica assignment has brokers that are "
	    "not alive. Replica list: ");
	say_ids(&text, adding, count);
	buffer_append_text(&text, ", live broker list: Set(");
	for (size_t i = 0; i < context->broker_count &&
	    text.length < 2 * MESSAGE_MAX; i++)
		buffer_printf(&text, "%s%d", i == 0 ? "" : ", ",
		    (int)context->brokers[i]->id);
	buffer_append_text(&text, ")");
	return (say_kept(&text, arena));
}

/* Those in sync must not all be lost. */
static const char *
kept_fault(const struct controller *c, const struct move *move)
{
	const struct znode_assignment *a = &move->wanted;
	const struct partition *p = move->partition;

	for (int32_t i = 0; i < a->replica_count; i++)
		if (!p->written || (partition_in_isr(p, a->replicas[i]) &&
		    (p->now.leader < 0 ||
		    replica_stays(c, p, a->replicas[i]))))
			return (NULL);
	return ("None of the replicas that remain is in sync.");
}

static const char *
move_fault(struct controller *c, struct move *move, struct arena *arena,
    struct znode_assignment *known)
{
	const char *fault;
	int32_t *adding, count;

	partition_assignment(move->partition, arena, known);
	if (!reassignment_to(known, move->target, move->target_count, arena,
		&move->wanted))
		return ("out of memory");
	adding = coming(&move->wanted, arena, &count);
	if (adding == NULL)
		return ("out of memory");
	fault = added_fault(c, adding, count, arena);
	return (fault != NULL ? fault : kept_fault(c, move));
}

/* In Kafka's order: where nothing moves nothing is called off, and a target is
 * looked at before it is known whether the partition is there. Who is sent to
 * where it is begins a new leader epoch, as there; not so who is on its way. */
static void
judge(struct controller *c, const struct moved_topic *topic,
    struct move *move, struct arena *arena)
{
	struct topic *found = context_topic(&c->context,
	    slice_of_text(topic->name));
	struct partition *p = found == NULL || topic_doomed(found) ? NULL :
	    topic_find_partition(found, move->number);
	struct znode_assignment known;
	const char *fault = NULL;

	if (move->target == NULL &&
	    (p == NULL || !partition_on_move(p))) {
		refuse(move, ERR_NO_REASSIGNMENT_IN_PROGRESS,
		    "No partition reassignment is in progress.");
		return;
	}
	move->partition = p;
	if (move->target != NULL)
		fault = target_fault(move, arena);
	if (fault == NULL)
		fault = p != NULL ? move_fault(c, move, arena, &known) :
		    added_fault(c, move->target, move->target_count, arena);
	if (fault != NULL)
		refuse(move, ERR_INVALID_REPLICA_ASSIGNMENT, fault);
	else if (p == NULL)
		refuse(move, ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "The partition does not exist.");
	else
		move->open = !assignment_equal(&known, &move->wanted) ||
		    !assignment_moves(&known);
}

/* --- the event ------------------------------------------------------------ */

static struct moving *
next_moving(const struct controller *c)
{
	LIST_EACH(element, &c->movings) {
		struct moving *m = list_entry(element, struct moving, link);

		if (m->state == ASKING && m->taken)
			return (m);
	}
	return (NULL);
}

bool
move_waits(const struct controller *c)
{
	return (next_moving(c) != NULL);
}

enum verdict
moves_run(struct task *t)
{
	struct controller *c = controller_of(t);
	struct moving *m = c->at_hand = next_moving(c);

	m->state = TAKEN;
	controller_call_taken(c, &m->hook);
	for (size_t i = 0; i < m->topic_count; i++)
		for (size_t j = 0; j < m->topics[i].count; j++)
			judge(c, &m->topics[i], &m->topics[i].moves[j],
			    m->arena);
	return (task_next(t, moves_read));
}

static bool
is_open(const struct moved_topic *topic)
{
	for (size_t i = 0; i < topic->count; i++)
		if (topic->moves[i].open)
			return (true);
	return (false);
}

/* What is under way stays in /admin/reassign_partitions, the rest goes. */
static void
moves_noted(struct controller *c, const struct moving *m)
{
	for (size_t i = 0; i < m->topic_count; i++)
		for (size_t j = 0; j < m->topics[i].count; j++) {
			const struct move *move = &m->topics[i].moves[j];
			struct topic *topic = context_topic(&c->context,
			    slice_of_text(m->topics[i].name));
			struct partition *p = topic == NULL ? NULL :
			    topic_find_partition(topic, move->number);

			if (p != NULL)
				p->node_move = move->error == ERR_NONE ?
				    NODE_MOVE_TAKEN : NODE_MOVE_OVER;
			if (move->error != ERR_NONE)
				diag_warn(c->setup.diag, controller,
				    "partition=%s/%d cannot move as "
				    ZNODE_REASSIGN_PARTITIONS " says: %s",
				    m->topics[i].name, (int)move->number,
				    move->message);
		}
	c->node_moving = false;
	c->node_due = true;
}

static enum verdict
moves_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct moving *m = c->at_hand;
	size_t count = 0;

	controller_batch(c);
	for (size_t i = 0; i < m->topic_count; i++) {
		m->topics[i].op = NULL;
		if (count == NODES_AT_ONCE || !is_open(&m->topics[i]))
			continue;
		m->topics[i].op = zk_batch_get(c->batch, znode_topic_path(
		    zk_batch_arena(c->batch), m->topics[i].name), NULL);
		count++;
	}
	if (count > 0)
		return (controller_submit(t, moves_take));
	c->at_hand = NULL;
	if (m->by_node)
		moves_noted(c, m);
	moving_answer(m, ERR_NONE);
	m->state = ENDED;
	task_wake_ref(m->self);
	return (task_next(t, controller_idle));
}

static void
move_done(struct controller *c, struct move *move)
{
	move->open = move->sent = false;
	reassign_take(c, move->partition, &move->wanted);
}

/* Into the node; true: it is to be written. */
static bool
move_apply(struct controller *c, struct move *move, struct znode_topic *node)
{
	struct znode_assignment known;

	partition_assignment(move->partition, zk_batch_arena(c->list), &known);
	for (size_t i = 0; i < node->partition_count; i++) {
		struct znode_assignment *a = &node->partitions[i];

		if (a->partition != move->number)
			continue;
		if (assignment_equal(a, &known)) {
			*a = move->wanted;
			move->sent = true;
			return (true);
		}
		if (assignment_equal(a, &move->wanted)) {
			/* Ours, its answer lost. */
			move_done(c, move);
			return (false);
		}
	}
	refuse(move, ERR_UNKNOWN_SERVER_ERROR,
	    "Another changed the assignment meanwhile: ask again");
	return (false);
}

/* True: it is written. */
static bool
topic_apply(struct controller *c, struct moved_topic *topic)
{
	const struct zk_op *read = topic->op;
	struct buffer json = BUFFER_EMPTY;
	struct znode_topic node;
	size_t changed = 0;
	bool ok = read->rc == ZK_OK && znode_topic_decode(read->answer,
	    zk_batch_arena(c->list), &node);

	for (size_t i = 0; i < topic->count; i++) {
		struct move *move = &topic->moves[i];

		if (!move->open)
			continue;
		if (ok)
			changed += move_apply(c, move, &node);
		else
			refuse(move, ERR_UNKNOWN_TOPIC_OR_PARTITION,
			    "The partition does not exist.");
	}
	topic->op = NULL;
	if (changed == 0)
		return (false);
	znode_topic_encode(&node, &json);
	topic->op = controller_fenced(c, 1);
	zk_multi_set(c->batch, topic->op, znode_topic_path(
	    zk_batch_arena(c->batch), topic->name), buffer_slice(&json),
	    read->stat.version);
	buffer_fini(&json);
	return (true);
}

static enum verdict
moves_take(struct task *t)
{
	struct controller *c = controller_of(t);
	struct moving *m = c->at_hand;
	enum verdict verdict;
	bool writes = false;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < m->topic_count; i++) {
		const struct zk_op *read = m->topics[i].op;

		if (read != NULL && read->rc != ZK_OK && read->rc != ZK_NO_NODE)
			return (controller_trouble(t, read));
	}
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	controller_batch(c);
	for (size_t i = 0; i < m->topic_count; i++)
		if (m->topics[i].op != NULL)
			writes = topic_apply(c, &m->topics[i]) || writes;
	return (writes ? controller_submit(t, moves_written) :
	    task_next(t, moves_read));
}

static enum verdict
moves_written(struct task *t)
{
	struct controller *c = controller_of(t);
	struct moving *m = c->at_hand;
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < m->topic_count; i++) {
		const struct zk_op *multi = m->topics[i].op;

		if (multi == NULL)
			continue;
		if (controller_fence_failed(multi))
			return (controller_resign(t,
			    "another controller was elected"));
		if (multi->rc != ZK_OK && multi->rc != ZK_BAD_VERSION &&
		    multi->rc != ZK_NO_NODE && multi->rc != ZK_TOO_LARGE)
			return (controller_trouble(t, multi));
		for (size_t j = 0; j < m->topics[i].count; j++) {
			struct move *move = &m->topics[i].moves[j];

			if (move->sent && multi->rc == ZK_OK)
				move_done(c, move);
			else if (move->sent && multi->rc == ZK_TOO_LARGE)
				refuse(move, ERR_INVALID_REPLICA_ASSIGNMENT,
				    "The assignment is too large for "
				    "ZooKeeper");
			move->sent = false;
		}
	}
	return (task_next(t, moves_read));
}
