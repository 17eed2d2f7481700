/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker that was dead by the evidence is gone from ZooKeeper, or back in
 * another session, sooner than it is known whether the leaders of what it was
 * in sync with live.  Its process died and not its host, so it has all that was
 * acknowledged: should such a leader be dead as well, but silent, it may be all
 * that is left.  It stays in those ISRs until their leaders answer, as a
 * suspect does, and is not let in before: once told to follow, a broker whose
 * disk is another one would have a log like any other.
 *
 *	[away] -registers-> [asked] for logs ----> [waits] for the leaders
 *	   ^                    |  |                     |  |
 *	   +--its session ends--+--|---------------------+  |  answered: out
 *	                           |                     |  |  gone: may lead
 *	       a log is missing, or no answer in 10 s    |  v
 *	                           |           30 s      | let in
 *	                           v                     |
 *	                       [lacks] <-----------------+
 *	                           | taken out of the ISRs
 *	                           v
 *	                         [out] --> let in
 *
 * Whose session ended without evidence leaves the ISRs at once: its host may
 * have died, and the last records with it.  Under a suspect that leads on, and
 * when it stopped in an orderly way, it leaves them as well.
 */
#include "controller/controller_int.h"

#include "net/peer.h"

#define ASK_MS 10000
#define MS_NS ((int64_t)1000000)
#define PATIENCE_NS (30000 * MS_NS)
#define PAUSE_NS (200 * MS_NS)
#define CONNECT_TIMEOUT_MS 1000
#define RESPONSE_BYTES_MAX ((size_t)16 << 20)
#define DESCRIBE_LOG_DIRS_VERSION 4

static task_step returns_ask, returns_answered, returns_pause, returns_wait;

/* From DEPARTED_LACKS on, it leaves the ISRs. */
enum departed_state {
	DEPARTED_AWAY,
	DEPARTED_ASKED,
	DEPARTED_WAITS,
	DEPARTED_LACKS,
	DEPARTED_OUT
};

struct departed {
	struct list link; /* controller's departed */
	struct controller *controller;
	int32_t broker;
	uint64_t suspicion; /* its last, as long as it was registered */
	enum departed_state state;
	bool lost;          /* a log is missing, or it does not say */
	/* Of the registration that is at the door. */
	int64_t epoch;
	struct task_ref task;
	int64_t until_ns;
	struct peer *peer;
	struct peer_call call;
	bool calling;
	struct arena arena; /* request and answer */
	struct describe_log_dirs_response response;
};

/* --- life ----------------------------------------------------------------- */

static const struct task_class returns_class = {
	.name = "broker that came back",
	.state_size = sizeof(struct departed *),
};

static struct departed *
departed_of(struct task *task)
{
	return (*(struct departed **)task_state(task));
}

static void
returns_setup(struct task *task, void *arg)
{
	*(struct departed **)task_state(task) = arg;
}

static struct departed *
departed_find(const struct controller *c, int32_t broker)
{
	LIST_EACH(element, &c->departed) {
		struct departed *d = list_entry(element, struct departed,
		    link);

		if (d->broker == broker)
			return (d);
	}
	return (NULL);
}

static void
end_call(struct departed *d)
{
	if (d->calling)
		peer_call_fini(&d->call);
	d->calling = false;
	arena_reset(&d->arena);
}

static void
end_asking(struct departed *d)
{
	struct task *task = d->task.loop == NULL ? NULL : task_of_ref(d->task);

	if (task != NULL)
		task_cancel(task);
	d->task = (struct task_ref){ NULL, 0 };
	end_call(d);
	peer_free(&d->peer);
}

static void
departed_free(struct departed *d)
{
	end_asking(d);
	arena_fini(&d->arena);
	list_remove(&d->link);
	mem_free(d);
}

void
returns_clear(struct controller *c)
{
	LIST_EACH(element, &c->departed)
		departed_free(list_entry(element, struct departed, link));
}

/* --- what it is in sync with ---------------------------------------------- */

/* The next one after this of the partitions in whose ISRs it is; NULL: there is
 * none. */
static struct partition *
next_of(const struct controller *c, const struct list *after, int32_t broker)
{
	struct list *element = after->next;

	for (; element != &c->kept; element = element->next) {
		struct partition *p = list_entry(element, struct partition,
		    kept);

		if (partition_in_isr(p, broker))
			return (p);
	}
	return (NULL);
}

#define EACH_OF(p, c, broker)                                                \
	for (struct partition *p = next_of(c, &(c)->kept, broker);           \
	     p != NULL; p = next_of(c, &(p)->kept, broker))

/* A leader may live, and its ISR was not written without it yet. */
static bool
hangs_on_leader(const struct controller *c, int32_t broker)
{
	EACH_OF(p, c, broker)
		if (p->now.leader != broker && broker_lives(c, p->now.leader))
			return (true);
	return (false);
}

void
returns_gone(struct controller *c, const struct live_broker *broker)
{
	struct departed *d;

	if (!broker->suspect || broker->shutting_down ||
	    !hangs_on_leader(c, broker->id))
		return;
	diag_info(c->setup.diag, controller, "broker=%d died and stays in sync "
	    "until who leads has answered", (int)broker->id);
	d = departed_find(c, broker->id);
	if (d == NULL) {
		d = mem_zalloc(sizeof(*d));
		d->controller = c;
		d->broker = broker->id;
		arena_init(&d->arena, 0);
		list_push_tail(&c->departed, &d->link);
	}
	d->suspicion = broker->suspicion;
}

bool
returns_knows(const struct controller *c, int32_t broker)
{
	return (departed_find(c, broker) != NULL);
}

uint64_t
returns_suspicion(const struct controller *c, int32_t broker)
{
	const struct departed *d = departed_find(c, broker);

	return (d == NULL || d->state >= DEPARTED_LACKS ? 0 : d->suspicion);
}

bool
returns_lacks(const struct controller *c, int32_t broker)
{
	const struct departed *d = departed_find(c, broker);

	return (d != NULL && d->lost);
}

bool
returns_may_lead(const struct controller *c, int32_t broker)
{
	const struct departed *d = departed_find(c, broker);

	return (d != NULL && (d->state == DEPARTED_ASKED ||
	    d->state == DEPARTED_WAITS));
}

/* --- its logs ------------------------------------------------------------- */

static void
lacks(struct departed *d, bool lost, const char *why)
{
	diag_warn(d->controller->setup.diag, controller, "broker=%d is back "
	    "and leaves the in-sync replicas: %s", (int)d->broker, why);
	d->state = DEPARTED_LACKS;
	d->lost = lost;
	controller_look(d->controller);
}

static bool
describe_log_dirs(struct task *t)
{
	struct departed *d = departed_of(t);
	struct describe_log_dirs_request request;
	size_t count = 0;

	EACH_OF(p, d->controller, d->broker)
		count++;
	wire_init(&message_describe_log_dirs_request, &request);
	request.topics = wire_array(&d->arena,
	    describe_log_dirs_request_topic_schema(), count);
	if (request.topics == NULL)
		return (false);
	EACH_OF(p, d->controller, d->broker) {
		struct assigned *replica = partition_replica(p, d->broker);
		struct describe_log_dirs_request_topic *topic =
		    &request.topics[request.topics_count++];

		topic->topic = slice_of_text(p->topic->name);
		topic->partitions = &p->number;
		topic->partitions_count = 1;
		if (replica != NULL)
			replica->has_log = false;
	}
	wire_init(&message_describe_log_dirs_response, &d->response);
	d->call = (struct peer_call){ .task = task_ref(t), .arena = &d->arena,
		.response = &d->response };
	d->calling = peer_send(d->peer, &d->call, API_DESCRIBE_LOG_DIRS,
	    DESCRIBE_LOG_DIRS_VERSION, &request) == WIRE_OK;
	return (d->calling);
}

static void
take_log_dir(struct departed *d,
    const struct describe_log_dirs_response_result *dir)
{
	for (int32_t i = 0; i < dir->topics_count; i++) {
		struct topic *topic = context_topic(&d->controller->context,
		    dir->topics[i].name);

		for (int32_t j = 0; topic != NULL &&
		    j < dir->topics[i].partitions_count; j++) {
			const struct describe_log_dirs_response_partition *log =
			    &dir->topics[i].partitions[j];
			struct partition *p = topic_find_partition(topic,
			    log->partition_index);
			struct assigned *replica = p == NULL ? NULL :
			    partition_replica(p, d->broker);

			if (replica != NULL && !log->is_future_key)
				replica->has_log = true;
		}
	}
}

/* Of each partition, in a log dir that works. */
static bool
has_all_logs(struct departed *d)
{
	for (int32_t i = 0; i < d->response.results_count; i++)
		if (d->response.results[i].error_code == ERR_NONE)
			take_log_dir(d, &d->response.results[i]);
	EACH_OF(p, d->controller, d->broker) {
		const struct assigned *replica = partition_replica(p,
		    d->broker);

		if (replica == NULL || !replica->has_log)
			return (false);
	}
	return (true);
}

static enum verdict
returns_ask(struct task *t)
{
	if (describe_log_dirs(t))
		return (task_next(t, returns_answered));
	lacks(departed_of(t), true, "it cannot be asked for its logs");
	return (STEP_DONE);
}

static enum verdict
returns_answered(struct task *t)
{
	struct departed *d = departed_of(t);

	if (!d->call.done)
		return (STEP_WAIT);
	if (d->call.error != PEER_OK) {
		end_call(d);
		if (loop_now_ns(task_loop(t)) >= d->until_ns) {
			lacks(d, true, "it does not tell which logs it has");
			return (STEP_DONE);
		}
		task_sleep(t, PAUSE_NS);
		return (task_next(t, returns_pause));
	}
	if (!has_all_logs(d)) {
		lacks(d, true, "it does not have its logs any more");
		return (STEP_DONE);
	}
	end_call(d);
	d->state = DEPARTED_WAITS;
	controller_look(d->controller);
	task_sleep(t, PATIENCE_NS);
	return (task_next(t, returns_wait));
}

static enum verdict
returns_pause(struct task *t)
{
	return (task_slept(t) ? task_next(t, returns_ask) : STEP_WAIT);
}

static enum verdict
returns_wait(struct task *t)
{
	if (!task_slept(t))
		return (STEP_WAIT);
	lacks(departed_of(t), false, "who leads neither answers nor goes");
	return (STEP_DONE);
}

static void
reach(struct departed *d, const struct znode_endpoint *endpoint)
{
	const struct controller_setup *setup = &d->controller->setup;

	d->peer = peer_new(&(struct peer_setup){
	    .loop = setup->loop,
	    .sockets = setup->sockets,
	    .resolver = setup->resolver,
	    .diag = setup->diag,
	    .tls = setup->tls,
	    .host = endpoint->host,
	    .port = endpoint->port,
	    .client_id = "controller",
	    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
	    .request_timeout_ms = ASK_MS,
	    .backoff_ms = CONNECT_TIMEOUT_MS,
	    .response_bytes_max = RESPONSE_BYTES_MAX,
	    .in_flight_max = 1,
	});
}

static void
begin_asking(struct departed *d, const struct zk_op *read)
{
	const struct controller_setup *setup = &d->controller->setup;
	struct znode_broker node;

	d->epoch = read->stat.czxid;
	d->state = DEPARTED_ASKED;
	if (!znode_broker_decode(read->answer, &d->arena, &node))
		node.endpoint_count = 0;
	for (size_t i = 0; i < node.endpoint_count && d->peer == NULL; i++)
		if (node.endpoints[i].host != NULL &&
		    strcmp(node.endpoints[i].listener, setup->listener) == 0)
			reach(d, &node.endpoints[i]);
	arena_reset(&d->arena);
	if (d->peer == NULL) {
		lacks(d, true, "its registration has no address for us");
		return;
	}
	diag_info(setup->diag, controller, "broker=%d is back before it is "
	    "known whether others live: it is asked for its logs",
	    (int)d->broker);
	d->until_ns = loop_now_ns(setup->loop) + ASK_MS * MS_NS;
	d->task = task_ref(task_start(setup->loop, &returns_class, returns_ask,
	    returns_setup, d));
}

/* --- at the door ---------------------------------------------------------- */

static bool
is_let_in(const struct controller *c, const struct departed *d)
{
	return (d->state == DEPARTED_OUT ||
	    (d->state == DEPARTED_WAITS && !hangs_on_leader(c, d->broker)));
}

bool
returns_holds(struct controller *c, int32_t broker, const struct zk_op *read)
{
	struct departed *d = departed_find(c, broker);

	if (d == NULL)
		return (false);
	if (d->state == DEPARTED_AWAY && next_of(c, &c->kept, broker) != NULL)
		begin_asking(d, read);
	if (d->state != DEPARTED_AWAY && !is_let_in(c, d))
		return (true);
	departed_free(d);
	return (false);
}

void
returns_listed(struct controller *c, const struct zk_op *(*find)(
    const struct controller *c, int32_t broker))
{
	LIST_EACH(element, &c->departed) {
		struct departed *d = list_entry(element, struct departed,
		    link);
		const struct zk_op *read = find(c, d->broker);

		if (d->state == DEPARTED_AWAY || (read != NULL &&
		    read->stat.czxid == d->epoch))
			continue;
		end_asking(d);
		/* The ISRs are written without it all the same. */
		if (d->state == DEPARTED_OUT)
			departed_free(d);
		else if (d->state != DEPARTED_LACKS)
			d->state = DEPARTED_AWAY;
	}
}

bool
returns_due(const struct controller *c)
{
	LIST_EACH(element, &c->departed) {
		const struct departed *d = list_entry(element, struct departed,
		    link);

		if (d->state == DEPARTED_LACKS || is_let_in(c, d))
			return (true);
	}
	return (false);
}

/* Who lacks what it had leaves the ISRs before it is let in. */
enum verdict
returns_run(struct task *t)
{
	struct controller *c = controller_of(t);

	LIST_EACH(element, &c->departed) {
		struct departed *d = list_entry(element, struct departed,
		    link);

		if (d->state != DEPARTED_LACKS)
			continue;
		d->state = DEPARTED_OUT;
		EACH_OF(p, c, d->broker)
			rewrite_add(c, p);
	}
	return (rewrite_run(t, brokers_read));
}
