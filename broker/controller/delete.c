/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeleteTopics: marks the topics and waits until they are gone; deletion.c does
 * what the marks ask for.
 *
 *	[names, ids] --> [marks] --> [wait] --> answered
 *
 * A topic counts as gone when every loop of this broker has forgotten it, as in
 * Kafka, and here, unless its deletion waits for a broker, when its name can be
 * given again too.
 * Source: KafkaApis.handleDeleteTopicsRequest, DelayedDeleteTopics of 3.9.
 */
#include "controller/controller_int.h"

#define DELETE_TOPICS_ID_VERSION 6
#define DELETE_TOPICS_DISABLED_VERSION 3

static task_step delete_begin, delete_marked, delete_wait;

struct deleting_topic {
	struct hash_node node;  /* by name, unless it is named before */
	struct slice name;      /* null: an id that is not known */
	struct uuid id;         /* asked by */
	enum error error;
	struct zk_op *op;
	bool repeated;          /* the first of this name has the answer */
	bool asked;             /* its mark is there */
};

struct deleting {
	struct list link; /* controller's deletings */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	struct deleting_topic *topics;
	size_t count;
	struct hash names;
	int32_t timeout_ms;
	struct zk_batch *batch;
	struct waitq_link changed; /* the broker's image */
	struct waitq_link deleted;
};

/* --- answering ------------------------------------------------------------ */

static void
answer_topic(const struct controller_call *call,
    const struct deleting_topic *from,
    struct delete_topics_response_topic *to)
{
	bool ok = true;

	to->name = arena_slice_copy(call->arena, from->name, &ok);
	to->topic_id = from->id;
	to->error_code = (int16_t)from->error;
}

static void
deleting_reply(struct deleting *d)
{
	struct controller_call *call = d->hook.call;
	struct delete_topics_response *response;

	if (call == NULL)
		return;
	response = call->response;
	response->responses = wire_array(call->arena,
	    delete_topics_response_topic_schema(), d->count);
	if (response->responses != NULL)
		response->responses_count = (int32_t)d->count;
	for (int32_t i = 0; i < response->responses_count; i++)
		answer_topic(call, &d->topics[i], &response->responses[i]);
	controller_call_end(&d->hook);
}

static enum verdict
deleting_answer(struct task *t)
{
	deleting_reply(task_state(t));
	return (STEP_DONE);
}

/* --- life ----------------------------------------------------------------- */

static bool take_request(struct task *t,
    const struct delete_topics_request *request);

static void
deleting_fini(struct task *task)
{
	struct deleting *d = task_state(task);

	list_remove(&d->link);
	waitq_leave(cluster_changed(d->controller->setup.cluster),
	    &d->changed);
	waitq_leave(&d->controller->deleted, &d->deleted);
	zk_batch_free(&d->batch);
	hash_clear(&d->names);
	/* Cut short, as the broker stops: the next controller may be asked. */
	if (d->hook.call != NULL && d->topics == NULL)
		take_request(task, d->hook.call->request);
	for (size_t i = 0; d->hook.call != NULL && i < d->count; i++)
		if (d->topics[i].error == ERR_NONE)
			d->topics[i].error = ERR_NOT_CONTROLLER;
	deleting_reply(d);
}

static const struct task_class deleting_class = {
	.name = "topic deletion",
	.state_size = sizeof(struct deleting),
	.arena_limit = (size_t)64 << 20,
	.fini = deleting_fini,
};

struct deleting_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
deleting_setup(struct task *task, void *arg)
{
	struct deleting *d = task_state(task);
	const struct deleting_start *start = arg;

	d->self = task_ref(task);
	d->controller = start->controller;
	d->hook.call = start->call;
	start->call->state = &d->hook;
	list_push_tail(&start->controller->deletings, &d->link);
}

void
controller_delete_topics(struct controller *controller,
    struct controller_call *call)
{
	struct deleting_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &deleting_class, delete_begin,
	    deleting_setup, &start);
}

void
deletings_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->deletings)
		task_cancel(task_of_ref(list_entry(element, struct deleting,
		    link)->self));
}

/* --- names and ids -------------------------------------------------------- */

/* The same topics, in either form of the request. */
static bool
take_request(struct task *t, const struct delete_topics_request *request)
{
	struct deleting *d = task_state(t);
	struct arena *arena = task_arena(t);
	bool by_id = d->hook.call->version >= DELETE_TOPICS_ID_VERSION;
	size_t count = (size_t)(by_id ? request->topics_count :
	    request->topic_names_count);

	bool ok = true;

	d->timeout_ms = request->timeout_ms;
	d->topics = arena_array(arena, count, sizeof(*d->topics));
	if (d->topics == NULL)
		return (false);
	for (size_t i = 0; i < count; i++) {
		struct slice name = by_id ? request->topics[i].name :
		    request->topic_names[i];

		d->topics[i] = (struct deleting_topic){
			.name = arena_slice_copy(arena, name, &ok),
			.id = by_id ? request->topics[i].topic_id : UUID_ZERO,
		};
	}
	d->count = count;
	return (ok);
}

/* Why none of them is looked at; ERR_NONE: they are. */
static enum error
refusal(const struct deleting *d)
{
	const struct controller *c = d->controller;

	if (!controller_active(c))
		return (ERR_NOT_CONTROLLER);
	if (!c->setup.options->delete_topic_enable)
		return (d->hook.call->version < DELETE_TOPICS_DISABLED_VERSION ?
		    ERR_INVALID_REQUEST : ERR_TOPIC_DELETION_DISABLED);
	for (size_t i = 0; i < d->count; i++)
		if (d->topics[i].name.data != NULL &&
		    !uuid_is_zero(d->topics[i].id))
			return (ERR_INVALID_REQUEST);
	return (ERR_NONE);
}

/* Who has just become controller knows topics before its broker was told. */
static bool
is_known(const struct controller *c, struct slice name)
{
	const struct topic *topic = context_topic(&c->context, name);

	return ((topic != NULL && !topic_doomed(topic)) ||
	    image_topic(cluster_image(c->setup.cluster), name) != NULL);
}

static void
resolve(struct task *t, struct deleting_topic *topic)
{
	struct deleting *d = task_state(t);
	struct controller *c = d->controller;
	const struct topic *known = uuid_is_zero(topic->id) ? NULL :
	    context_topic_by_id(&c->context, topic->id);

	if (known != NULL)
		topic->name = slice_of_text(arena_strdup(task_arena(t),
		    known->name));
	if (topic->name.data == NULL) {
		/* Neither: Kafka finds nobody allowed to delete nothing. */
		topic->error = uuid_is_zero(topic->id) ?
		    ERR_TOPIC_AUTHORIZATION_FAILED : ERR_UNKNOWN_TOPIC_ID;
		return;
	}
	if (!is_known(c, topic->name))
		topic->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else if (hash_find(&d->names, topic->name.data, topic->name.length) !=
	    NULL)
		topic->repeated = true;
	else
		hash_insert(&d->names, &topic->node, topic->name.data,
		    topic->name.length);
}

/* To be marked, or marked already. */
static bool
is_open(const struct deleting_topic *topic)
{
	return (topic->error == ERR_NONE && !topic->repeated);
}

/* Only a topic that is there gets a mark. */
static void
mark(struct deleting *d, struct deleting_topic *topic)
{
	struct arena *arena = zk_batch_arena(d->batch);
	const char *name = arena_slice_text(arena, topic->name);

	topic->op = zk_batch_multi(d->batch, 2);
	zk_multi_check(d->batch, topic->op, znode_topic_path(arena, name),
	    ZK_ANY_VERSION);
	zk_multi_create(d->batch, topic->op, znode_delete_topic_path(arena,
	    name), SLICE_NULL, ZK_PERSISTENT);
}

static enum verdict
delete_begin(struct task *t)
{
	struct deleting *d = task_state(t);
	enum error error;
	bool any = false;

	if (d->hook.call == NULL)
		return (STEP_DONE);
	if (!take_request(t, d->hook.call->request))
		return (deleting_answer(t));
	error = refusal(d);
	for (size_t i = 0; i < d->count; i++) {
		if (error != ERR_NONE)
			d->topics[i].error = error;
		else
			resolve(t, &d->topics[i]);
		any = any || is_open(&d->topics[i]);
	}
	if (!any)
		return (deleting_answer(t));
	d->batch = zk_batch_new(d->controller->setup.zk);
	for (size_t i = 0; i < d->count; i++)
		if (is_open(&d->topics[i]))
			mark(d, &d->topics[i]);
	zk_batch_submit(d->batch, t);
	return (task_next(t, delete_marked));
}

static enum error
mark_error(const struct zk_op *op)
{
	switch (op->rc) {
	case ZK_OK:
	case ZK_NODE_EXISTS: /* asked for before: waits for the same */
		return (ERR_NONE);
	case ZK_NO_NODE:
		/* The answer to the mark was lost, and the topic went since. */
		return (op->retried ? ERR_NONE :
		    ERR_UNKNOWN_TOPIC_OR_PARTITION);
	case ZK_SESSION_EXPIRED:
	case ZK_CLOSED:
		return (ERR_NOT_CONTROLLER);
	default:
		return (ERR_UNKNOWN_SERVER_ERROR);
	}
}

/* What is marked in the end will be deleted. */
static enum verdict
delete_await(struct task *t)
{
	struct deleting *d = task_state(t);

	if (controller_call_waits(d->controller, t, &d->hook))
		return (STEP_WAIT);
	for (size_t i = 0; i < d->count; i++)
		if (is_open(&d->topics[i]))
			d->topics[i].error = ERR_REQUEST_TIMED_OUT;
	return (deleting_answer(t));
}

static enum verdict
delete_marked(struct task *t)
{
	struct deleting *d = task_state(t);

	if (!zk_batch_done(d->batch))
		return (delete_await(t));
	for (size_t i = 0; i < d->count; i++) {
		struct deleting_topic *topic = &d->topics[i];

		if (!is_open(topic))
			continue;
		topic->error = mark_error(topic->op);
		topic->asked = topic->error == ERR_NONE;
	}
	return (task_next(t, delete_wait));
}

/* --- waiting -------------------------------------------------------------- */

static bool
is_forgotten(const struct deleting *d, const struct deleting_topic *topic)
{
	return (image_topic(cluster_image(d->controller->setup.cluster),
	    topic->name) == NULL);
}

/* Its name can be given again, or that would take who knows how long. */
static bool
is_settled(const struct deleting *d, const struct deleting_topic *topic)
{
	const struct topic *known = context_topic(&d->controller->context,
	    topic->name);

	return (known == NULL || !topic_doomed(known) || known->halted);
}

static enum verdict
delete_wait(struct task *t)
{
	struct deleting *d = task_state(t);
	struct controller *c = d->controller;
	bool waits = false;

	if (d->hook.call == NULL)
		return (STEP_DONE);
	waitq_join(cluster_changed(c->setup.cluster), &d->changed, t);
	waitq_join(&c->deleted, &d->deleted, t);
	task_set_deadline(t, d->hook.call->deadline_ns);
	for (size_t i = 0; i < d->count; i++)
		waits = waits || (d->topics[i].asked &&
		    !(is_forgotten(d, &d->topics[i]) &&
			is_settled(d, &d->topics[i])));
	if (waits && d->timeout_ms > 0 && !task_expired(t))
		return (STEP_WAIT);
	for (size_t i = 0; i < d->count; i++)
		if (d->topics[i].asked && (d->timeout_ms <= 0 ||
		    !is_forgotten(d, &d->topics[i])))
			d->topics[i].error = ERR_REQUEST_TIMED_OUT;
	return (deleting_answer(t));
}
