/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creations: plans carried out.  CreateTopics has one for all its topics, an
 * automatic creation one for its only topic.
 *
 *	[plan] --> [look] --> [write] --> [wait for leaders]
 *	             ^  |        |                |
 *	             |  |        |                v
 *	             |  +--------|--------> answered: it is there; ours, if
 *	             +-- raced --+          the id is ours and only the answer
 *	                                    was lost
 *
 * Config and topic are written at once, behind a check of /controller's version
 * (any broker may make topics, so the epoch is no fence; Kafka guards configs
 * so).  Kafka writes the config first: who loses the race there leaves it to
 * the winner's topic.
 * Whoever asked may go away: what was begun is carried through.
 */
#include "controller/plan_int.h"

#include "base/twins.h"

#define LOOKS_MAX 10
#define RETRY_NS ((int64_t)50 * 1000000)
/* Between two lines about automatic creations that fail. */
#define AUTOMATIC_SAID_NS ((int64_t)1000 * 1000000)

static task_step create_plan, create_auto_plan, create_look, create_looked,
    create_written, create_wait, create_pause;

struct creation {
	struct list link; /* controller's creations */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	struct topic_creation *automatic; /* or NULL */
	struct plan *plans;
	size_t count;
	struct hash names;
	bool validate_only;
	int32_t timeout_ms;
	int looks;
	int32_t seat_version;  /* of /controller; -1: there is none */
	struct zk_batch *batch;
	struct zk_op *seat;
	struct zk_op *topics;
	struct waitq_link changed;
};

/* What the asker of an automatic creation holds. */
struct topic_creation {
	unsigned references; /* asker, task; both on the controller's loop */
	struct task_ref asker;
	bool done;
	enum error error;
	char topic[];
};

/* --- life ----------------------------------------------------------------- */

static void
automatic_unref(struct topic_creation *automatic)
{
	if (--automatic->references == 0)
		mem_free(automatic);
}

static void
automatic_end(struct creation *n, enum error error)
{
	struct topic_creation *automatic = n->automatic;

	if (automatic == NULL || automatic->done)
		return;
	automatic->error = error;
	automatic->done = true;
	task_wake_ref(automatic->asker);
}

static void creation_refuse(struct task *t);
static void creation_reply(struct creation *n);

/* As the broker stops: the next controller may be asked. What is made already
 * is made. */
static void
creation_cut_short(struct task *task)
{
	struct creation *n = task_state(task);

	if (n->plans == NULL)
		creation_refuse(task);
	for (size_t i = 0; i < n->count; i++)
		plan_fail(&n->plans[i], n->plans[i].done ?
		    ERR_REQUEST_TIMED_OUT : ERR_NOT_CONTROLLER, NULL);
	creation_reply(n);
}

static void
creation_fini(struct task *task)
{
	struct creation *n = task_state(task);

	if (n->hook.call != NULL)
		creation_cut_short(task);
	list_remove(&n->link);
	waitq_leave(cluster_changed(n->controller->setup.cluster),
	    &n->changed);
	zk_batch_free(&n->batch);
	hash_clear(&n->names);
	for (size_t i = 0; i < n->count; i++)
		plan_fini(&n->plans[i]);
	automatic_end(n, ERR_LEADER_NOT_AVAILABLE);
	if (n->automatic != NULL)
		automatic_unref(n->automatic);
}

static const struct task_class creation_class = {
	.name = "topic creation",
	.state_size = sizeof(struct creation),
	.arena_limit = (size_t)256 << 20,
	.fini = creation_fini,
};

struct creation_start {
	struct controller *controller;
	struct controller_call *call;
	struct topic_creation *automatic;
};

static void
creation_setup(struct task *task, void *arg)
{
	struct creation *n = task_state(task);
	const struct creation_start *start = arg;

	n->self = task_ref(task);
	n->controller = start->controller;
	n->automatic = start->automatic;
	n->hook.call = start->call;
	list_push_tail(&start->controller->creations, &n->link);
	if (start->call != NULL)
		start->call->state = &n->hook;
}

void
controller_create_topics(struct controller *controller,
    struct controller_call *call)
{
	struct creation_start start = { controller, call, NULL };

	call->done = false;
	task_start(controller->setup.loop, &creation_class, create_plan,
	    creation_setup, &start);
}

void
creations_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->creations)
		task_cancel(task_of_ref(list_entry(element, struct creation,
		    link)->self));
}

/* --- planning ------------------------------------------------------------- */

static void
creation_surroundings(struct task *t, struct plan_surroundings *around)
{
	struct creation *n = task_state(t);
	struct controller *c = n->controller;

	*around = (struct plan_surroundings){
		.controller = c,
		.image = cluster_image(c->setup.cluster),
		.options = c->setup.broker_options,
		.random = c->setup.random,
		.arena = task_arena(t),
	};
}

/* A name twice in one request: both are refused. */
static void
creation_note_name(struct creation *n, struct plan *plan)
{
	struct hash_node *other = hash_find(&n->names, plan->name,
	    strlen(plan->name));

	if (other == NULL) {
		hash_insert(&n->names, &plan->node, plan->name,
		    strlen(plan->name));
		return;
	}
	plan->error = ERR_NONE;
	plan_fail(plan, ERR_INVALID_REQUEST,
	    "Found multiple entries for this topic.");
	plan = container_of(other, struct plan, node);
	plan->error = ERR_NONE;
	plan_fail(plan, ERR_INVALID_REQUEST,
	    "Found multiple entries for this topic.");
}

static bool
creation_goes_on(const struct creation *n)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->plans[i].error == ERR_NONE && !n->plans[i].done)
			return (true);
	return (false);
}

static enum verdict creation_answer(struct task *t);

/* All that are not done yet fail. */
static enum verdict
creation_fail(struct task *t, enum error error)
{
	struct creation *n = task_state(t);

	for (size_t i = 0; i < n->count; i++)
		if (!n->plans[i].done)
			plan_fail(&n->plans[i], error, NULL);
	return (creation_answer(t));
}

static void
creation_refuse(struct task *t)
{
	struct creation *n = task_state(t);
	const struct create_topics_request *request = n->hook.call->request;

	n->plans = arena_array(task_arena(t), (size_t)request->topics_count,
	    sizeof(*n->plans));
	for (int32_t i = 0; n->plans != NULL && i < request->topics_count; i++)
		plan_refuse(&n->plans[n->count++], ERR_NOT_CONTROLLER);
}

static enum verdict
create_plan(struct task *t)
{
	struct creation *n = task_state(t);
	const struct create_topics_request *request;
	struct plan_surroundings around;

	if (n->hook.call == NULL)
		return (STEP_DONE);
	if (!controller_active(n->controller)) {
		creation_refuse(t);
		return (creation_answer(t));
	}
	request = n->hook.call->request;
	n->validate_only = request->validate_only;
	n->timeout_ms = request->timeout_ms;
	n->plans = arena_array(task_arena(t), (size_t)request->topics_count,
	    sizeof(*n->plans));
	if (n->plans == NULL)
		return (creation_answer(t));
	creation_surroundings(t, &around);
	for (int32_t i = 0; i < request->topics_count; i++) {
		struct plan *plan = &n->plans[n->count];

		plan_make(plan, &around, &request->topics[i]);
		n->count++;
		creation_note_name(n, plan);
	}
	return (creation_goes_on(n) ? task_next(t, create_look) :
	    creation_answer(t));
}

static enum verdict
create_auto_plan(struct task *t)
{
	struct creation *n = task_state(t);
	struct plan_surroundings around;

	n->plans = arena_array(task_arena(t), 1, sizeof(*n->plans));
	CHECK(n->plans != NULL);
	creation_surroundings(t, &around);
	n->count = 1;
	plan_make_automatic(n->plans, &around, n->automatic->topic);
	return (creation_goes_on(n) ? task_next(t, create_look) :
	    creation_answer(t));
}

/* --- looking -------------------------------------------------------------- */

static bool
plan_open(const struct plan *plan)
{
	return (plan->error == ERR_NONE && !plan->done);
}

static enum verdict
create_look(struct task *t)
{
	struct creation *n = task_state(t);
	struct arena *arena;
	bool names = false;

	zk_batch_free(&n->batch);
	n->batch = zk_batch_new(n->controller->setup.zk);
	arena = zk_batch_arena(n->batch);
	n->topics = NULL;
	n->seat = zk_batch_get(n->batch, ZNODE_CONTROLLER, NULL);
	for (size_t i = 0; i < n->count; i++) {
		struct plan *plan = &n->plans[i];

		if (!plan_open(plan))
			continue;
		plan->ops[0] = zk_batch_get(n->batch,
		    znode_topic_path(arena, plan->name), NULL);
		plan->ops[1] = zk_batch_exists(n->batch,
		    znode_delete_topic_path(arena, plan->name), NULL);
		plan->ops[2] = zk_batch_exists(n->batch,
		    znode_config_path(arena, "topics", plan->name), NULL);
		names = names || plan_has_collision_characters(plan);
	}
	if (names)
		n->topics = zk_batch_children(n->batch, ZNODE_BROKER_TOPICS,
		    NULL);
	zk_batch_submit(n->batch, t);
	return (task_next(t, create_looked));
}

/* Only "no such node" is no failure. */
static bool
look_failed(const struct creation *n)
{
	if (n->seat->rc != ZK_OK && n->seat->rc != ZK_NO_NODE)
		return (true);
	if (n->topics != NULL && n->topics->rc != ZK_OK)
		return (true);
	for (size_t i = 0; i < n->count; i++)
		for (size_t o = 0; plan_open(&n->plans[i]) && o < 3; o++)
			if (n->plans[i].ops[o]->rc != ZK_OK &&
			    n->plans[i].ops[o]->rc != ZK_NO_NODE)
				return (true);
	return (false);
}

static void
plan_check_collisions(struct task *t, struct plan *plan)
{
	const struct creation *n = task_state(t);
	struct buffer text = BUFFER_EMPTY;

	for (size_t i = 0; n->topics != NULL && i < n->topics->child_count;
	    i++) {
		const char *other = n->topics->children[i];

		if (!topic_names_collide(slice_of_text(plan->name),
		    slice_of_text(other)))
			continue;
		if (text.length == 0)
			buffer_printf(&text, "Topic '%s' collides with "
			    "existing topics: ", plan->name);
		else
			buffer_append_text(&text, ", ");
		buffer_append_text(&text, other);
	}
	if (text.length > 0)
		plan_fail(plan, ERR_INVALID_TOPIC_EXCEPTION, arena_strdup(
		    task_arena(t), buffer_text(&text)));
	buffer_fini(&text);
}

/* Names that would collide if all of this request were made: the first one is.
 * False: no memory. */
static bool
creation_check_collisions(struct task *t)
{
	struct creation *n = task_state(t);
	struct twin *twins = arena_array(task_arena(t), n->count,
	    sizeof(*twins));
	const struct twin_ends *ends;

	if (twins == NULL)
		return (false);
	for (size_t i = 0; i < n->count; i++) {
		char *name = arena_strdup(task_arena(t), n->plans[i].name);

		if (name == NULL)
			return (false);
		for (char *dot = strchr(name, '.'); dot != NULL;
		     dot = strchr(dot, '.'))
			*dot = '_';
		/* Who is not made collides with nobody. */
		twins[i] = (struct twin){ .name = slice_of_text(name),
			.number = plan_open(&n->plans[i]) ? -1 : (int32_t)i };
	}
	ends = twins_find(task_arena(t), twins, n->count);
	for (size_t i = 0; ends != NULL && i < n->count; i++)
		if (ends[i].first != i)
			plan_fail(&n->plans[i], ERR_INVALID_TOPIC_EXCEPTION,
			    arena_printf(task_arena(t), "Topic '%s' collides "
			    "with existing topics: %s", n->plans[i].name,
			    n->plans[ends[i].first].name));
	return (ends != NULL);
}

static void
plan_made(struct creation *n, struct plan *plan)
{
	plan->done = true;
	diag_info(n->controller->setup.diag, controller, "topic=%s created "
	    "partitions=%d replication_factor=%d%s", plan->name,
	    (int)plan->partition_count, (int)plan->replication_factor,
	    n->automatic == NULL ? "" : " automatically");
}

/* The topic that is there has the id that we gave it. */
static bool
is_ours(const struct creation *n, const struct plan *plan)
{
	struct znode_topic node;

	return (znode_topic_decode(plan->ops[0]->answer,
	    zk_batch_arena(n->batch), &node) && uuid_equal(node.id, plan->id));
}

static void
plan_check_nodes(struct task *t, struct plan *plan)
{
	struct creation *n = task_state(t);

	if (plan->ops[0]->rc == ZK_OK && is_ours(n, plan)) {
		plan_made(n, plan);
		return;
	}
	if (plan->ops[0]->rc == ZK_OK)
		plan_fail(plan, ERR_TOPIC_ALREADY_EXISTS, arena_printf(
		    task_arena(t), "Topic '%s' already exists.", plan->name));
	if (plan->ops[1]->rc == ZK_OK)
		plan_fail(plan, ERR_TOPIC_ALREADY_EXISTS, arena_printf(
		    task_arena(t), "Topic '%s' is marked for deletion.",
		    plan->name));
	plan_check_collisions(t, plan);
	plan->config_there = plan->ops[2]->rc == ZK_OK;
}

/* No controller, or a KRaft one: nobody may write configs now. */
static bool
take_seat(struct creation *n)
{
	struct znode_controller seat = { .kraft_controller_epoch = -1 };

	if (n->seat->rc != ZK_OK ||
	    !znode_controller_decode(n->seat->answer, &seat) ||
	    seat.kraft_controller_epoch > 0)
		return (false);
	n->seat_version = n->seat->stat.version;
	return (true);
}

/* Config and topic at once: who loses the race has not touched the winner's
 * config. */
static void
create_submit(struct task *t)
{
	struct creation *n = task_state(t);
	struct arena *arena;

	zk_batch_free(&n->batch);
	n->batch = zk_batch_new(n->controller->setup.zk);
	arena = zk_batch_arena(n->batch);
	for (size_t i = 0; i < n->count; i++) {
		struct plan *plan = &n->plans[i];
		const char *config = znode_config_path(arena, "topics",
		    plan->name);

		if (!plan_open(plan))
			continue;
		plan->write = zk_batch_multi(n->batch, 3);
		zk_multi_check(n->batch, plan->write, ZNODE_CONTROLLER,
		    n->seat_version);
		if (plan->config_there)
			zk_multi_set(n->batch, plan->write, config,
			    plan->config_json, ZK_ANY_VERSION);
		else
			zk_multi_create(n->batch, plan->write, config,
			    plan->config_json, ZK_PERSISTENT);
		zk_multi_create(n->batch, plan->write, znode_topic_path(arena,
		    plan->name), plan->topic_json, ZK_PERSISTENT);
	}
	zk_batch_submit(n->batch, t);
}

/* Nothing is on its way, or it has all of its effect or none: who asked may
 * ask again. */
static enum verdict
creation_await(struct task *t)
{
	struct creation *n = task_state(t);

	if (controller_call_waits(n->controller, t, &n->hook))
		return (STEP_WAIT);
	for (size_t i = 0; i < n->count; i++)
		if (!n->plans[i].done)
			plan_fail(&n->plans[i], ERR_REQUEST_TIMED_OUT,
			    ZK_SILENT);
	return (creation_answer(t));
}

static enum verdict
creation_look_again(struct task *t)
{
	struct creation *n = task_state(t);

	if (++n->looks > LOOKS_MAX)
		return (creation_fail(t, ERR_REQUEST_TIMED_OUT));
	task_sleep(t, RETRY_NS);
	return (task_next(t, create_pause));
}

static enum verdict
create_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, create_look) : STEP_WAIT);
}

static enum verdict
create_looked(struct task *t)
{
	struct creation *n = task_state(t);

	if (!zk_batch_done(n->batch))
		return (creation_await(t));
	/* A lost session: the client finds out who is controller now. */
	if (look_failed(n))
		return (creation_fail(t, n->automatic == NULL ?
		    ERR_NOT_CONTROLLER : ERR_LEADER_NOT_AVAILABLE));
	for (size_t i = 0; i < n->count; i++)
		if (plan_open(&n->plans[i]))
			plan_check_nodes(t, &n->plans[i]);
	if (n->validate_only)
		return (creation_answer(t));
	if (!creation_check_collisions(t))
		return (creation_fail(t, ERR_UNKNOWN_SERVER_ERROR));
	if (!creation_goes_on(n))
		return (task_next(t, create_wait));
	if (!take_seat(n))
		return (creation_look_again(t));
	create_submit(t);
	return (task_next(t, create_written));
}

/* --- writing -------------------------------------------------------------- */

static enum verdict
create_written(struct task *t)
{
	struct creation *n = task_state(t);
	bool raced = false;

	if (!zk_batch_done(n->batch))
		return (creation_await(t));
	for (size_t i = 0; i < n->count; i++) {
		struct plan *plan = &n->plans[i];

		if (!plan_open(plan))
			continue;
		switch (plan->write->rc) {
		case ZK_OK:
			plan_made(n, plan);
			break;
		case ZK_NO_NODE:
		case ZK_NODE_EXISTS:
		case ZK_BAD_VERSION:
			/* Another's, or our own whose answer was lost. */
			raced = true;
			break;
		case ZK_TOO_LARGE:
			plan_fail(plan, ERR_INVALID_PARTITIONS,
			    "The assignment is too large for ZooKeeper");
			break;
		default:
			plan_fail(plan, n->automatic == NULL ?
			    ERR_NOT_CONTROLLER : ERR_LEADER_NOT_AVAILABLE,
			    NULL);
		}
	}
	return (raced ? creation_look_again(t) : task_next(t, create_wait));
}

/* --- waiting and answering ------------------------------------------------ */

static bool
plan_has_leaders(const struct cluster_image *image, const struct plan *plan)
{
	const struct cluster_topic *topic = image_topic(image,
	    slice_of_text(plan->name));

	if (topic == NULL || topic->partition_count < plan->partition_count)
		return (false);
	for (int32_t i = 0; i < topic->partition_count; i++)
		if (topic->partitions[i].leader < 0)
			return (false);
	return (true);
}

static enum verdict
create_wait(struct task *t)
{
	struct creation *n = task_state(t);
	struct cluster *cluster = n->controller->setup.cluster;
	const struct cluster_image *image;
	bool waits = false;

	if (n->hook.call == NULL)
		return (creation_answer(t));
	waitq_join(cluster_changed(cluster), &n->changed, t);
	task_set_deadline(t, n->hook.call->deadline_ns);
	image = cluster_image(cluster);
	for (size_t i = 0; i < n->count; i++)
		waits = waits || (n->plans[i].error == ERR_NONE &&
		    !plan_has_leaders(image, &n->plans[i]));
	if (waits && n->timeout_ms > 0 && !task_expired(t))
		return (STEP_WAIT);
	for (size_t i = 0; i < n->count; i++)
		if (n->timeout_ms <= 0 ||
		    !plan_has_leaders(image, &n->plans[i]))
			plan_fail(&n->plans[i], ERR_REQUEST_TIMED_OUT, NULL);
	return (creation_answer(t));
}

static void
answer_configs(struct creation *n, struct arena *arena,
    const struct plan *plan, struct create_topics_response_topic *to)
{
	const struct config *config = n->controller->setup.config;
	size_t count = config == NULL ? 0 : topic_option_count();

	to->configs = wire_array(arena, create_topics_response_config_schema(),
	    plan->error == ERR_NONE ? count : 0);
	if (to->configs == NULL || plan->error != ERR_NONE)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct option *option = topic_option_at(i);
		struct create_topics_response_config *c = &to->configs[i];
		struct config_value value;

		config_describe_topic(config, &plan->configs, option, &value);
		c->name = slice_of_text(option->name);
		c->value = slice_of_text(config_value_text(&value, arena));
		c->read_only = value.read_only;
		c->config_source = (int8_t)value.source;
		c->is_sensitive = value.sensitive;
		to->configs_count++;
	}
}

static void
answer_topic(struct creation *n, struct controller_call *call,
    const struct plan *plan, size_t index)
{
	const struct create_topics_request *request = call->request;
	struct create_topics_response *response = call->response;
	struct create_topics_response_topic *to = &response->topics[index];

	to->name = request->topics[index].name;
	to->error_code = (int16_t)plan->error;
	to->error_message = plan->message == NULL ? SLICE_NULL :
	    slice_of_text(arena_strdup(call->arena, plan->message));
	answer_configs(n, call->arena, plan, to);
	/* Also of a topic that was made but has no leaders in time. */
	if (plan->done)
		to->topic_id = plan->id;
	if (plan->error != ERR_NONE)
		return;
	to->num_partitions = plan->partition_count;
	to->replication_factor = (int16_t)plan->replication_factor;
}

/* What Metadata says of a topic that was just asked for. */
static enum error
automatic_error(const struct plan *plan)
{
	switch (plan->error) {
	case ERR_NONE:
	case ERR_TOPIC_ALREADY_EXISTS:
	case ERR_REQUEST_TIMED_OUT:
		return (ERR_LEADER_NOT_AVAILABLE);
	default:
		return (plan->error);
	}
}

static void
creation_reply(struct creation *n)
{
	struct controller_call *call = n->hook.call;
	struct create_topics_response *response;

	if (call == NULL)
		return;
	response = call->response;
	response->topics = wire_array(call->arena,
	    create_topics_response_topic_schema(), n->count);
	if (response->topics != NULL)
		response->topics_count = (int32_t)n->count;
	for (int32_t i = 0; i < response->topics_count; i++)
		answer_topic(n, call, &n->plans[i], (size_t)i);
	controller_call_end(&n->hook);
}

/* Clients ask again and again: once in a while. */
static void
automatic_say(struct creation *n)
{
	struct controller *c = n->controller;
	const struct plan *plan = &n->plans[0];
	const int64_t now_ns = loop_now_ns(c->setup.loop);

	if (plan->error == ERR_NONE || plan->error == ERR_REQUEST_TIMED_OUT ||
	    plan->error == ERR_TOPIC_ALREADY_EXISTS ||
	    (c->automatic_said_ns != 0 &&
		now_ns - c->automatic_said_ns < AUTOMATIC_SAID_NS))
		return;
	c->automatic_said_ns = now_ns;
	diag_warn(c->setup.diag, controller, "topic=%s cannot be created "
	    "automatically error=%s: %s", plan->name, error_name(plan->error),
	    plan->message == NULL ? "" : plan->message);
}

static enum verdict
creation_answer(struct task *t)
{
	struct creation *n = task_state(t);

	if (n->automatic != NULL) {
		automatic_say(n);
		automatic_end(n, automatic_error(&n->plans[0]));
	}
	creation_reply(n);
	return (STEP_DONE);
}

/* --- automatic ------------------------------------------------------------ */

/* A creation of that name that this broker has under way. */
static struct topic_creation *
automatic_find(struct controller *c, const char *topic)
{
	LIST_EACH(element, &c->creations) {
		struct creation *n = list_entry(element, struct creation, link);

		if (n->automatic != NULL && !n->automatic->done &&
		    strcmp(n->automatic->topic, topic) == 0)
			return (n->automatic);
	}
	return (NULL);
}

static struct topic_creation *
automatic_new(const char *topic, struct task_ref asker)
{
	size_t length = strlen(topic) + 1;
	struct topic_creation *automatic = mem_zalloc(sizeof(*automatic) +
	    length);

	automatic->references = 1;
	automatic->asker = asker;
	memcpy(automatic->topic, topic, length);
	return (automatic);
}

struct topic_creation *
controller_auto_create(struct controller *controller, const char *topic,
    struct task_ref task)
{
	struct topic_creation *automatic = automatic_new(topic, task);
	struct creation_start start = { controller, NULL, automatic };

	bool away = controller->halted ||
	    zk_state(controller->setup.zk) != ZK_CONNECTED;

	/* Nothing is begun that waits for a ZooKeeper that is away: clients ask
	 * again. Nor by a broker that stops. */
	if (away || automatic_find(controller, topic) != NULL) {
		automatic->done = true;
		automatic->error = away ? ERR_LEADER_NOT_AVAILABLE :
		    ERR_UNKNOWN_TOPIC_OR_PARTITION;
		task_wake_ref(task);
		return (automatic);
	}
	automatic->references++;
	task_start(controller->setup.loop, &creation_class, create_auto_plan,
	    creation_setup, &start);
	return (automatic);
}

bool
topic_creation_done(const struct topic_creation *creation, enum error *error)
{
	if (creation->done)
		*error = creation->error;
	return (creation->done);
}

void
topic_creation_free(struct topic_creation **creation)
{
	if (*creation == NULL)
		return;
	(*creation)->asker = (struct task_ref){ NULL, 0 };
	automatic_unref(*creation);
	*creation = NULL;
}
