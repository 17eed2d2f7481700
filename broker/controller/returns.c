/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker comes back and is in sync still.  As soon as it is told to follow it
 * has a log like any other, though its disk be another one (KAFKA-7235,
 * KAFKA-14617).  So of those partitions it is told nothing, and is no
 * candidate, before it has told which logs it has; of all others it is told as
 * ever.
 *
 *	[comes] --> replica held, broker asked --> has it: told, may lead
 *	               |                      +--> lacks it: leaves the ISR
 *	               |                      +--> its log dir failed: offline
 *	               |                      +--> refuses: trusted
 *	               +--> out of the ISR before that, or gone
 *
 * Who says nothing is asked again, however long: it cannot be told to lead
 * either, and may be dead, and come back with less than it is trusted to have.
 *
 * Of what it has no log it leaves the ISR also where nobody leads, unless all
 * of the ISR lack it, and is told when it has left, and not before: the next
 * controller would take the log that it makes for one that has all.
 *
 * Who led, was away and leads on has another epoch then, also when it was alone
 * in the ISR: followers may have what it lost.
 *
 * Who has its logs may lack the last records, if its host died.  So where
 * somebody of the ISR lives who was not away it is on trial: as soon as such a
 * one has answered what it was told since, it leaves the ISR, or leads no more,
 * and is in sync anew when it has caught up; who leads is held on until then,
 * 10 s at most.  Should the others be dead as well, but silent, who is on trial
 * has most, and leads.
 *
 * Who comes back in sync is one of three.
 * - It was dead by the evidence, and gone from ZooKeeper, or back in another
 *   session, sooner than it is known whether the leaders of what it was in
 *   sync with live.  Its process died and not its host, so it has all that was
 *   acknowledged: it stays in those ISRs until their leaders answer, as a
 *   suspect does.  Whose session ended without evidence leaves at once: its
 *   host may have died, and the last records with it.  Under a suspect that
 *   leads on, and when it stopped in an orderly way, it leaves them as well.
 * - All of an ISR had died, and it is the first one back, or one of those.
 * - It died and came back while nobody was controller, or while the one that
 *   was hung, or had not told that one of its logs.  Who is elected then finds
 *   it registered and in sync.  When a broker goes, a controller writes the
 *   state without it, and another one when it is in sync again: so a member
 *   that registered after the state was written went unseen.  Only who
 *   registered shortly before the election may have; of the others the
 *   controller before knew.  ZooKeeper's own clock tells.  States with such
 *   members are read, whatever our broker believes of them (believe.c).
 */
#include "controller/controller_int.h"

#include "net/peer.h"

#define TRIAL_MS 10000
#define MS_NS ((int64_t)1000000)
#define PAUSE_NS (200 * MS_NS)
#define CONNECT_TIMEOUT_MS 1000
#define RESPONSE_BYTES_MAX ((size_t)16 << 20)
#define DESCRIBE_LOG_DIRS_VERSION 4
/* Before an election a broker may have come back unseen so many sessions long:
 * controllers die in a row, and their sessions may be longer than ours.  Beside
 * that: how long the controller before may have held it on, and something for
 * the clock of who was elected in ZooKeeper meanwhile.  Whom that one asked for
 * longer than this in vain is taken for one that has told. */
#define RECENT_SESSIONS 3
#define RECENT_MS (TRIAL_MS + 5000)

static task_step returns_ask, returns_answered, returns_pause, returns_rest;

enum departed_state {
	DEPARTED_AWAY,  /* it is not registered */
	DEPARTED_ASKED, /* it is in the context */
	DEPARTED_WAITS, /* it told, leads, and a better one has not answered */
	DEPARTED_TOLD,
	DEPARTED_OVER   /* nobody waits for it any more */
};

struct departed {
	struct list link; /* controller's departed */
	struct controller *controller;
	int32_t broker;
	uint64_t suspicion; /* AWAY: its last, as long as it was registered */
	enum departed_state state;
	struct task_ref task;
	int64_t until_ns; /* no better one is waited for after this */
	bool slow;        /* it has not told by then: said once */
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

		if (partition_in_isr(p, broker) && !topic_doomed(p->topic))
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

static struct departed *
departed_new(struct controller *c, int32_t broker)
{
	struct departed *d = mem_zalloc(sizeof(*d));

	d->controller = c;
	d->broker = broker;
	arena_init(&d->arena, 0);
	list_push_tail(&c->departed, &d->link);
	return (d);
}

void
returns_gone(struct controller *c, const struct live_broker *broker)
{
	struct departed *d = departed_find(c, broker->id);

	if (d != NULL)
		departed_free(d);
	if (!broker->suspect || broker->shutting_down ||
	    !hangs_on_leader(c, broker->id))
		return;
	diag_info(c->setup.diag, controller, "broker=%d died and stays in sync "
	    "until who leads has answered", (int)broker->id);
	departed_new(c, broker->id)->suspicion = broker->suspicion;
}

bool
returns_knows(const struct controller *c, int32_t broker)
{
	const struct departed *d = departed_find(c, broker);

	return (d != NULL && d->state == DEPARTED_AWAY);
}

uint64_t
returns_suspicion(const struct controller *c, int32_t broker)
{
	const struct departed *d = departed_find(c, broker);

	return (d == NULL || d->state != DEPARTED_AWAY ? 0 : d->suspicion);
}

/* --- one replica ---------------------------------------------------------- */

bool
replica_held(const struct partition *p, int32_t broker)
{
	const struct assigned *replica = partition_replica(p, broker);

	return (replica != NULL && replica->held);
}

bool
replica_lacks(const struct partition *p, int32_t broker)
{
	const struct assigned *replica = partition_replica(p, broker);

	return (replica != NULL && replica->lacks);
}

bool
replica_untold(const struct partition *p, int32_t broker)
{
	return (replica_held(p, broker) || (replica_lacks(p, broker) &&
	    partition_in_isr(p, broker) && p->now.leader != broker));
}

uint64_t
replica_trial(const struct partition *p, int32_t broker)
{
	const struct assigned *replica = partition_replica(p, broker);

	return (replica == NULL ? 0 : replica->trial);
}

/* It lives, was not away as well, and could be elected. */
static bool
is_better(const struct controller *c, const struct partition *p,
    int32_t broker)
{
	return (replica_stays(c, p, broker) && !replica_held(p, broker) &&
	    !replica_lacks(p, broker) && replica_trial(p, broker) == 0);
}

static bool
has_better(const struct controller *c, const struct partition *p,
    int32_t broker)
{
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (p->now.isr[i] != broker &&
		    is_better(c, p, p->now.isr[i]))
			return (true);
	return (false);
}

bool
replica_tried_out(const struct controller *c, const struct partition *p,
    int32_t broker)
{
	uint64_t trial = replica_trial(p, broker);

	for (int32_t i = 0; trial != 0 && i < p->now.isr_count; i++) {
		int32_t other = p->now.isr[i];

		if (other != broker && is_better(c, p, other) &&
		    context_broker(&c->context, other)->proved >= trial)
			return (true);
	}
	return (false);
}

static void
tell(struct controller *c, struct partition *p, struct assigned *replica)
{
	const struct live_broker *broker = context_broker(&c->context,
	    replica->broker);

	replica->held = replica->asked = false;
	if (broker != NULL && !replica->stopped)
		orders_replica(c, p, broker);
}

/* Who leads was away, and nobody of the ISR is better. */
static bool
all_were_away(const struct controller *c, const struct partition *p)
{
	return (replica_trial(p, p->now.leader) != 0 &&
	    !replica_held(p, p->now.leader) &&
	    !has_better(c, p, p->now.leader));
}

/* Its standing waits for what others do, or for itself. */
static bool
stands_out(const struct controller *c, const struct partition *p,
    const struct assigned *replica, bool all_away)
{
	if (!partition_in_isr(p, replica->broker))
		return (false);
	if (replica->held)
		return (true);
	if (replica->broker == p->now.leader)
		return (has_better(c, p, replica->broker));
	return (replica->lacks || !all_away);
}

void
returns_settle(struct controller *c, struct partition *p)
{
	bool all_away = all_were_away(c, p);

	for (int32_t i = 0; i < p->replica_count; i++) {
		struct assigned *replica = &p->replicas[i];

		if ((!replica->held && !replica->lacks &&
		    replica->trial == 0) ||
		    stands_out(c, p, replica, all_away))
			continue;
		replica->trial = 0;
		replica->lacks = false;
		if (replica->held)
			tell(c, p, replica);
		/* It may lead now from outside the ISR. */
		if (p->now.leader < 0)
			rewrite_add(c, p);
	}
}

void
returns_leads(struct partition *p)
{
	for (int32_t i = 0; i < p->replica_count; i++)
		if (p->replicas[i].broker == p->now.leader) {
			p->replicas[i].trial = 0;
			p->replicas[i].lacks = false;
		}
}

/* Its state says that it is in sync, beside others. */
static bool
is_member(const struct partition *p, int32_t broker)
{
	return (p->written && !topic_doomed(p->topic) && p->now.isr_count > 1 &&
	    partition_in_isr(p, broker));
}

/* From now on; the leader is to answer what it is told behind this. */
static void
hold(struct controller *c, struct partition *p, struct assigned *replica)
{
	replica->held = true;
	replica->trial = has_better(c, p, replica->broker) ? c->suspicion : 0;
	if (!list_linked(&p->kept))
		list_push_tail(&c->kept, &p->kept);
}

/* --- its logs ------------------------------------------------------------- */

static bool
describe_log_dirs(struct task *t)
{
	struct departed *d = departed_of(t);
	struct describe_log_dirs_request request;
	size_t count = 0;

	EACH_OF(p, d->controller, d->broker)
		count += replica_held(p, d->broker);
	wire_init(&message_describe_log_dirs_request, &request);
	request.topics = wire_array(&d->arena,
	    describe_log_dirs_request_topic_schema(), count);
	if (request.topics == NULL)
		return (false);
	EACH_OF(p, d->controller, d->broker) {
		struct assigned *replica = partition_replica(p, d->broker);
		struct describe_log_dirs_request_topic *topic;

		if (replica == NULL || !replica->held)
			continue;
		topic = &request.topics[request.topics_count++];
		topic->topic = slice_of_text(p->topic->name);
		topic->partitions = &p->number;
		topic->partitions_count = 1;
		replica->asked = true;
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

/* What is not in a directory that works may be in one that failed. */
static void
take_log_dirs(struct departed *d)
{
	bool failed = false;
	size_t missing = 0;

	for (int32_t i = 0; i < d->response.results_count; i++)
		if (d->response.results[i].error_code == ERR_NONE)
			take_log_dir(d, &d->response.results[i]);
		else
			failed = true;
	EACH_OF(p, d->controller, d->broker) {
		struct assigned *replica = partition_replica(p, d->broker);

		if (replica == NULL || !replica->asked || replica->has_log)
			continue;
		replica->lacks = !failed;
		replica->dir_offline = failed;
		missing++;
	}
	if (missing > 0)
		diag_warn(d->controller->setup.diag, controller, "broker=%d is "
		    "back without logs=%zu of those with which it was in "
		    "sync%s", (int)d->broker, missing,
		    failed ? ": a log dir failed" : "");
}

static void
enter(struct departed *d, enum departed_state state)
{
	end_call(d);
	d->state = state;
	controller_look(d->controller);
}

/* It may have to wait for a better one all the same. */
static void
trust(struct departed *d, const char *why)
{
	diag_warn(d->controller->setup.diag, controller, "broker=%d is back "
	    "and trusted to have its logs: %s", (int)d->broker, why);
	enter(d, DEPARTED_TOLD);
}

static enum verdict
give_up(struct task *t, const char *why)
{
	trust(departed_of(t), why);
	return (task_next(t, returns_rest));
}

static enum verdict
returns_ask(struct task *t)
{
	if (describe_log_dirs(t))
		return (task_next(t, returns_answered));
	return (give_up(t, "it cannot be asked for its logs"));
}

static enum verdict
returns_answered(struct task *t)
{
	struct departed *d = departed_of(t);

	if (!d->call.done)
		return (STEP_WAIT);
	if (d->call.error != PEER_OK) {
		end_call(d);
		task_sleep(t, PAUSE_NS);
		return (task_next(t, returns_pause));
	}
	/* By its authorizer, perhaps.  A broker has a log dir. */
	if (d->response.error_code != ERR_NONE ||
	    d->response.results_count == 0)
		return (give_up(t, "it refuses to tell which logs it has"));
	take_log_dirs(d);
	enter(d, DEPARTED_TOLD);
	return (task_next(t, returns_rest));
}

/* As long as it waits for a better one. */
static enum verdict
returns_rest(struct task *t)
{
	struct departed *d = departed_of(t);

	if (loop_now_ns(task_loop(t)) < d->until_ns)
		return (STEP_WAIT);
	enter(d, DEPARTED_OVER);
	return (STEP_DONE);
}

static enum verdict
returns_pause(struct task *t)
{
	struct departed *d = departed_of(t);

	if (!task_slept(t))
		return (STEP_WAIT);
	if (!d->slow && loop_now_ns(task_loop(t)) >= d->until_ns)
		diag_warn(d->controller->setup.diag, controller, "broker=%d is "
		    "back and does not tell which logs it has: it is asked on, "
		    "and told nothing of those with which it is in sync",
		    (int)d->broker);
	d->slow = loop_now_ns(task_loop(t)) >= d->until_ns;
	return (task_next(t, returns_ask));
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
	    .request_timeout_ms = setup->options->socket_timeout_ms,
	    .backoff_ms = CONNECT_TIMEOUT_MS,
	    .response_bytes_max = RESPONSE_BYTES_MAX,
	    .in_flight_max = 1,
	});
}

static void
ask(struct controller *c, const struct live_broker *broker)
{
	const struct controller_setup *setup = &c->setup;
	const struct znode_endpoint *endpoint = live_broker_endpoint(broker,
	    setup->listener);
	struct departed *d = departed_new(c, broker->id);
	task_step *first = returns_ask;
	struct task *task;

	d->state = DEPARTED_ASKED;
	d->until_ns = loop_now_ns(setup->loop) + TRIAL_MS * MS_NS;
	if (endpoint == NULL || endpoint->host == NULL) {
		trust(d, "its registration has no address for us");
		first = returns_rest;
	} else {
		reach(d, endpoint);
		diag_info(setup->diag, controller, "broker=%d is back and in "
		    "sync still: it is asked for its logs", (int)broker->id);
	}
	task = task_start(setup->loop, &returns_class, first, returns_setup,
	    d);
	task_set_deadline(task, d->until_ns);
	d->task = task_ref(task);
}

/* --- who comes, and who was away unseen ----------------------------------- */

void
returns_came(struct controller *c, struct live_broker *broker)
{
	struct departed *d = departed_find(c, broker->id);

	if (d != NULL)
		departed_free(d);
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++) {
			struct partition *p = topic->partitions[i];
			struct assigned *replica = partition_replica(p,
			    broker->id);

			if (replica == NULL)
				continue;
			replica->held = is_member(p, broker->id);
			replica->lacks = replica->asked = false;
			broker->unseen = broker->unseen || replica->held;
		}
	}
}

bool
returns_recent(const struct controller *c, int32_t broker)
{
	const struct live_broker *live = context_broker(&c->context, broker);

	return (live != NULL && live->registered_ms > c->elected_ms -
	    RECENT_MS - RECENT_SESSIONS *
	    (int64_t)c->setup.broker_options->zkglue.session_timeout_ms);
}

void
returns_state(struct controller *c, struct partition *p, int64_t zxid)
{
	struct live_broker *live;

	for (int32_t i = 0; i < p->replica_count; i++) {
		struct assigned *replica = &p->replicas[i];

		live = context_broker(&c->context, replica->broker);
		if (live != NULL && live->epoch > zxid &&
		    is_member(p, live->id) && returns_recent(c, live->id))
			replica->held = live->unseen = true;
	}
	/* Nobody else is in sync, to whom it could lose that by its log. */
	live = context_broker(&c->context, p->now.leader);
	if (live != NULL && live->epoch > zxid && p->now.isr_count == 1 &&
	    p->replica_count > 1 && !topic_doomed(p->topic) &&
	    returns_recent(c, live->id))
		p->bump = true;
}

static void
hold_topic(struct controller *c, struct topic *topic)
{
	for (size_t i = 0; i < topic->partition_count; i++) {
		struct partition *p = topic->partitions[i];

		for (int32_t j = 0; j < p->replica_count; j++)
			if (p->replicas[j].held)
				hold(c, p, &p->replicas[j]);
	}
}

void
returns_begin(struct controller *c)
{
	bool any = false;

	for (size_t i = 0; i < c->context.broker_count; i++)
		any = any || c->context.brokers[i]->unseen;
	if (!any)
		return;
	c->suspicion++;
	HASH_EACH(node, &c->context.topics)
		hold_topic(c, container_of(node, struct topic, node));
	for (size_t i = 0; i < c->context.broker_count; i++) {
		struct live_broker *broker = c->context.brokers[i];

		if (broker->unseen)
			ask(c, broker);
		broker->unseen = false;
	}
}

/* --- the event ------------------------------------------------------------ */

bool
returns_due(const struct controller *c)
{
	LIST_EACH(element, &c->departed)
		if (list_entry(element, struct departed, link)->state >=
		    DEPARTED_TOLD)
			return (true);
	return (false);
}

/* Who leads, and was away, is held on as long as a better one may answer. */
static bool
must_wait(const struct controller *c, const struct departed *d,
    const struct partition *p)
{
	const struct assigned *replica = partition_replica(p, d->broker);

	return (d->state == DEPARTED_TOLD && p->now.leader == d->broker &&
	    !replica->lacks && !replica->dir_offline && replica->trial != 0 &&
	    has_better(c, p, d->broker));
}

/* It has no log, and cannot leave the ISR before it is known whether the leader
 * has one. */
static bool
must_leave_first(const struct partition *p, const struct assigned *replica)
{
	return (replica->lacks && p->now.leader != replica->broker &&
	    replica_held(p, p->now.leader));
}

/* Whether it is held on.  Of what is decided anew it is told when it is. */
static bool
release(struct controller *c, const struct departed *d, struct partition *p)
{
	struct assigned *replica = partition_replica(p, d->broker);
	bool leads = p->now.leader == d->broker;

	if (replica == NULL || !replica->held)
		return (false);
	if (must_wait(c, d, p))
		return (true);
	if (must_leave_first(p, replica))
		return (false);
	if (!replica->lacks && !replica->dir_offline && !leads &&
	    p->state == PARTITION_ONLINE) {
		tell(c, p, replica);
		return (false);
	}
	replica->held = replica->asked = false;
	p->bump = p->bump || leads;
	p->announce = true;
	rewrite_add(c, p);
	return (false);
}

enum verdict
returns_run(struct task *t)
{
	struct controller *c = controller_of(t);

	LIST_EACH(element, &c->departed) {
		struct departed *d = list_entry(element, struct departed,
		    link);
		bool waits = false;

		if (d->state < DEPARTED_TOLD)
			continue;
		EACH_OF(p, c, d->broker)
			waits = release(c, d, p) || waits;
		if (waits)
			d->state = DEPARTED_WAITS;
		else
			departed_free(d);
	}
	/* A move may have waited for one of them. */
	c->moves_changed = c->moves_changed || !list_empty(&c->moving);
	return (rewrite_run(t, controller_idle));
}
