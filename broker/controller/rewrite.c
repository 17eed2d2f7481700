/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions' states: what each should be is decided from what is known of it,
 * written in fenced multis, and where a write found something else, read again
 * and decided anew.
 *
 *	pending --> [decide] --> well as it is
 *	   ^   ^       |  |
 *	   |   |       |  +--> a leader only from outside the ISR: when all else
 *	   |   |       |       is written, [read the topics' configs] --+
 *	   |   +-------|------------------------------------------------+
 *	   |           v multis of 50 partitions
 *	   |        [write] --> done: LeaderAndIsr, UpdateMetadata
 *	   |           |
 *	   +- [read] <-+ another version, another state, a node already there
 *
 * An answer that was lost needs no care of its own: the write, sent again,
 * finds its own result, which is read, found well, and announced.
 *
 * New partitions are made here too: /partitions, /partitions/P and its state.
 *
 * Whether acknowledged records may be lost for a leader is asked of ZooKeeper
 * in the same step, as Kafka does: this broker may host nothing of the topic,
 * and so never have heard of its config.
 */
#include "controller/controller_int.h"

#define ATTEMPTS_MAX 20

#define CONFIGS_AT_ONCE 1000
/* Written at once; brokers are told of them while the next are written. */
#define FLIGHT_PARTITIONS 1000

static task_step rewrite_write, rewrite_written, rewrite_read,
    rewrite_configs, rewrite_configs_read;

/* One multi: the check, then the writes of `count` partitions in flight. */
struct rewrite_group {
	struct zk_op *multi;
	struct topic *directory; /* not NULL: makes its /partitions alone */
	size_t first;
	size_t count;
};

void
rewrite_init(struct rewrite *r)
{
	*r = (struct rewrite){ 0 };
	list_init(&r->pending);
	list_init(&r->undecided);
	list_init(&r->deferred);
}

static void
rewrite_land(struct rewrite *r)
{
	mem_free(r->flight);
	mem_free(r->wanted);
	mem_free(r->groups);
	r->flight = NULL;
	r->wanted = NULL;
	r->groups = NULL;
	r->flight_count = r->group_count = 0;
}

void
rewrite_clear(struct controller *c)
{
	rewrite_land(&c->rewrite);
	while (list_pop_head(&c->rewrite.pending) != NULL)
		continue;
	while (list_pop_head(&c->rewrite.undecided) != NULL)
		continue;
	while (list_pop_head(&c->rewrite.deferred) != NULL)
		continue;
}

void
rewrite_add(struct controller *c, struct partition *p)
{
	if (topic_doomed(p->topic))
		return;
	if (!list_linked(&p->pending))
		list_push_tail(&c->rewrite.pending, &p->pending);
	p->attempts = 0;
}

void
rewrite_defer(struct controller *c, bool (*urgent)(const struct controller *c,
    const struct partition *p))
{
	struct list kept, *link;

	list_init(&kept);
	while ((link = list_pop_head(&c->rewrite.pending)) != NULL)
		list_push_tail(urgent(c, list_entry(link, struct partition,
		    pending)) ? &kept : &c->rewrite.deferred, link);
	list_splice_tail(&c->rewrite.pending, &kept);
}

void
rewrite_recall(struct controller *c)
{
	list_splice_tail(&c->rewrite.pending, &c->rewrite.deferred);
}

/* --- deciding ------------------------------------------------------------- */

static bool
isr_holds(const struct partition *p, int32_t broker)
{
	return (!p->written || partition_in_isr(p, broker));
}

/* A move ends without it or was called off, or its assignment was changed. */
static bool
leaves_isr(const struct partition *p, int32_t broker)
{
	for (int32_t i = 0; i < p->replica_count; i++)
		if (p->replicas[i].broker == broker)
			return (partition_leaves(p, broker) &&
			    ((p->closing && partition_moved(p)) || (p->bump &&
			    partition_called_off(p, broker))));
	return (p->bump);
}

/* Registered, so that its process may live yet. */
static bool
is_suspect(const struct partition_view *view, int32_t broker)
{
	const struct live_broker *live =
	    context_broker(&view->controller->context, broker);

	return (live != NULL && live->suspect);
}

/* Dead by the evidence, and the leader was not heard since: should that be dead
 * unseen, who is suspected may be the only one who comes back with all. */
static bool
is_kept(const struct partition_view *view, int32_t broker, int32_t leader)
{
	const struct controller *c = view->controller;
	const struct live_broker *suspect = context_broker(&c->context, broker);
	const struct live_broker *leads = context_broker(&c->context, leader);
	uint64_t suspicion = suspect == NULL ? returns_suspicion(c, broker) :
	    suspect->suspect ? suspect->suspicion : 0;

	return (leads != NULL && leads->proved < suspicion);
}

static bool
stays_in_isr(const struct partition_view *view, int32_t broker, int32_t leader)
{
	const struct partition *p = view->partition;

	/* Nobody leaves it for who may turn out to have no log. */
	if (broker == leader || (p->written && replica_held(p, leader)))
		return (true);
	if (p->written && (replica_lacks(p, broker) ||
	    replica_tried_out(view->controller, p, broker)))
		return (false);
	if (replica_stays(view->controller, p, broker))
		return (true);
	if (!p->written)
		return (false);
	if (context_broker(&view->controller->context, broker) == NULL)
		return (!is_suspect(view, leader) &&
		    is_kept(view, broker, leader));
	/* Who may lead is suspected, and nobody else can. */
	return (replica_registered(view->controller, p, broker) &&
	    (is_suspect(view, leader) || is_kept(view, broker, leader)));
}

/* The live ones of the ISR, in its order; of a partition that is new, of its
 * assignment. Who goes for a controlled shutdown leaves it, unless nobody else
 * can lead. */
static void
isr_live(const struct partition_view *view, struct znode_state *wanted)
{
	const struct partition *p = view->partition;
	int32_t count = p->written ? p->now.isr_count : p->replica_count;

	for (int32_t i = 0; i < count; i++) {
		int32_t broker = p->written ? p->now.isr[i] :
		    p->replicas[i].broker;

		if (broker != wanted->leader && leaves_isr(p, broker) &&
		    !partition_leaves(p, wanted->leader) &&
		    !replica_held(p, wanted->leader))
			continue;
		if (stays_in_isr(view, broker, wanted->leader))
			wanted->isr[wanted->isr_count++] = broker;
	}
}

/* Who was in sync when the last one died stays a candidate, unless it lost what
 * it had: an ISR is never emptied. */
static void
isr_whole(const struct partition_view *view, struct znode_state *wanted)
{
	const struct partition *p = view->partition;

	wanted->isr_count = 0;
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (!replica_lacks(p, p->now.isr[i]))
			wanted->isr[wanted->isr_count++] = p->now.isr[i];
	if (wanted->isr_count > 0)
		return;
	wanted->isr_count = p->now.isr_count;
	memcpy(wanted->isr, p->now.isr,
	    (size_t)p->now.isr_count * sizeof(*wanted->isr));
}

/* Nobody leads from outside the ISR as long as one of it may live, */
static bool
isr_suspect(const struct partition_view *view)
{
	const struct partition *p = view->partition;

	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (is_suspect(view, p->now.isr[i]))
			return (true);
	return (false);
}

/* and, though an operator wishes for it, as long as one of it is back and about
 * to tell of its log. */
static bool
isr_held(const struct partition_view *view)
{
	const struct partition *p = view->partition;

	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (replica_live(view->controller, p, p->now.isr[i]) &&
		    replica_held(p, p->now.isr[i]))
			return (true);
	return (false);
}

static bool
is_no_log_left(const struct partition *p)
{
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (!replica_lacks(p, p->now.isr[i]))
			return (false);
	return (p->now.isr_count > 0);
}

/* Who is on trial leads only if nobody else can, who has no log only if all of
 * the ISR have lost theirs. */
enum candidates { OF_FULL_STANDING, ON_TRIAL_TOO, OF_LAST_RESORT };

static struct election_result
elect_of(const struct partition_view *view, enum election_kind kind,
    struct arena *arena, enum candidates candidates)
{
	const struct partition *p = view->partition;
	struct election_replica *replicas = arena_array(arena,
	    (size_t)p->replica_count, sizeof(*replicas));
	bool lacking = candidates == OF_LAST_RESORT && is_no_log_left(p);

	CHECK(replicas != NULL);
	for (int32_t i = 0; i < p->replica_count; i++) {
		int32_t broker = p->replicas[i].broker;
		const struct live_broker *live =
		    context_broker(&view->controller->context, broker);

		replicas[i] = (struct election_replica){
			.broker = broker,
			.live = replica_live(view->controller, p, broker) &&
			    !p->replicas[i].held &&
			    (lacking || !p->replicas[i].lacks) &&
			    (candidates != OF_FULL_STANDING ||
			    p->replicas[i].trial == 0),
			.shutting_down = live != NULL && live->shutting_down,
			.in_isr = isr_holds(p, broker),
			.target = !partition_leaves(p, broker),
		};
	}
	return (election_run(kind, replicas, (size_t)p->replica_count,
	    candidates == OF_LAST_RESORT && !isr_held(view) &&
	    ((view->unclean_allowed && !isr_suspect(view)) ||
	    p->wish == WISH_UNCLEAN)));
}

static struct election_result
elect(const struct partition_view *view, enum election_kind kind,
    struct arena *arena)
{
	struct election_result result = elect_of(view, kind, arena,
	    OF_FULL_STANDING);

	for (enum candidates c = ON_TRIAL_TOO; c <= OF_LAST_RESORT &&
	    result.leader < 0 && kind == ELECTION_OFFLINE; c++)
		result = elect_of(view, kind, arena, c);
	return (result);
}

/* Where nobody of the ISR lives but who is suspected: who leads, or else the
 * first one who does not stop; but nobody who has not told which logs it has.
 * It has everything, and may live yet: with no leader at all the ISR would keep
 * those whose sessions ended, and the first of them to come back would lead,
 * perhaps without its last records.  Kafka, who has no evidence, elects it.
 * -1: there is none. */
static int32_t
suspect_to_lead(const struct partition_view *view)
{
	const struct partition *p = view->partition;
	int32_t first = -1;

	for (int32_t i = 0; i < p->now.isr_count; i++) {
		int32_t broker = p->now.isr[i];
		const struct live_broker *live =
		    context_broker(&view->controller->context, broker);

		if (!is_suspect(view, broker) || replica_held(p, broker) ||
		    replica_lacks(p, broker) ||
		    !replica_registered(view->controller, p, broker))
			continue;
		if (broker == p->now.leader)
			return (broker);
		if (first < 0 && !live->shutting_down &&
		    !partition_leaves(p, broker))
			first = broker;
	}
	return (first);
}

/* Who is to lead: the one who does, as long as it can and stays, or is only
 * suspected and nobody else can. */
static struct election_result
decide_leader(const struct partition_view *view, struct arena *arena)
{
	const struct partition *p = view->partition;
	struct election_result same = { .leader = p->now.leader };
	struct election_result other;

	if (p->wish == WISH_PREFERRED && p->written) {
		other = elect(view, ELECTION_PREFERRED, arena);
		if (other.leader >= 0)
			return (other);
	}
	if (!p->written || p->now.leader < 0 ||
	    !replica_live(view->controller, p, p->now.leader) ||
	    replica_lacks(p, p->now.leader) ||
	    replica_tried_out(view->controller, p, p->now.leader)) {
		other = elect(view, ELECTION_OFFLINE, arena);
		if (other.leader < 0 && p->written)
			other.leader = suspect_to_lead(view);
		return (other);
	}
	if (leaves_isr(p, p->now.leader)) {
		other = elect(view, ELECTION_REASSIGNMENT, arena);
		return (other.leader < 0 ? same : other);
	}
	if (p->replica_count <= 1 ||
	    replica_stays(view->controller, p, p->now.leader))
		return (same);
	other = elect(view, ELECTION_CONTROLLED_SHUTDOWN, arena);
	return (other.leader < 0 ? same : other);
}

bool
rewrite_decide(const struct partition_view *view, struct arena *arena,
    struct znode_state *wanted)
{
	const struct partition *p = view->partition;
	int32_t room = p->replica_count + p->now.isr_count + 1;
	struct election_result elected = decide_leader(view, arena);

	*wanted = (struct znode_state){
		.controller_epoch = view->controller->epoch,
		.leader_epoch = p->written ? p->now.leader_epoch + 1 : 0,
		.recovering = p->written && p->now.recovering,
	};
	wanted->isr = arena_array(arena, (size_t)room, sizeof(*wanted->isr));
	CHECK(wanted->isr != NULL);
	wanted->leader = elected.leader;
	isr_live(view, wanted);
	/* Nothing is made without anyone to lead it. */
	if (!p->written)
		return (elected.leader >= 0);
	if (elected.unclean) {
		wanted->isr[0] = elected.leader;
		wanted->isr_count = 1;
		wanted->recovering = true;
	} else if (wanted->isr_count == 0 || elected.leader < 0) {
		isr_whole(view, wanted);
	}
	return (p->bump || wanted->leader != p->now.leader ||
	    wanted->isr_count != p->now.isr_count);
}

/* The topic's config makes the difference, and was not read yet. */
static bool
hangs_on_config(struct controller *c, const struct partition *p,
    struct arena *arena)
{
	struct partition_view clean = { c, p, false }, unclean = { c, p, true };
	struct znode_state wanted;

	if (!p->written || p->topic->config_read == c->rewrite.number ||
	    c->setup.configs == NULL)
		return (false);
	rewrite_decide(&clean, arena, &wanted);
	if (wanted.leader >= 0)
		return (false);
	rewrite_decide(&unclean, arena, &wanted);
	return (wanted.leader >= 0);
}

/* --- what follows from a state -------------------------------------------- */

void
rewrite_settle(struct controller *c, struct partition *p)
{
	bool led = p->now.leader >= 0 && replica_live(c, p, p->now.leader);

	p->announce = false;
	p->closing = p->closing && partition_closed(p);
	if (!p->written || topic_doomed(p->topic))
		return;
	partition_enter(p, led ? PARTITION_ONLINE : PARTITION_OFFLINE);
	returns_settle(c, p);
	for (int32_t i = 0; i < p->replica_count; i++)
		if (p->replicas[i].state != REPLICA_DELETION_STARTED &&
		    p->replicas[i].state != REPLICA_DELETION_SUCCESSFUL)
			replica_enter(&p->replicas[i],
			    !p->replicas[i].stopped &&
			    replica_live(c, p, p->replicas[i].broker) ?
			    REPLICA_ONLINE : REPLICA_OFFLINE);
	orders_partition(c, p);
}

static void
rewrite_say(struct controller *c, const struct partition *p,
    const struct znode_state *was, bool unclean)
{
	if (unclean) {
		metrics_add(c->setup.metrics, METRIC_UNCLEAN_LEADER_ELECTIONS,
		    1);
		diag_warn(c->setup.diag, controller, "partition=%s/%d elected "
		    "broker=%d from outside the ISR epoch=%d: acknowledged "
		    "records may be lost", p->topic->name, (int)p->number,
		    (int)p->now.leader, (int)p->now.leader_epoch);
	} else if (p->now.leader < 0) {
		diag_warn(c->setup.diag, controller, "partition=%s/%d has no "
		    "leader epoch=%d: none of its ISR lives", p->topic->name,
		    (int)p->number, (int)p->now.leader_epoch);
	} else if (was->leader != p->now.leader) {
		diag_debug(c->setup.diag, controller, "partition=%s/%d elected "
		    "broker=%d epoch=%d", p->topic->name, (int)p->number,
		    (int)p->now.leader, (int)p->now.leader_epoch);
	}
}

static void
rewrite_done(struct controller *c, struct partition *p,
    const struct znode_state *wanted, int32_t version)
{
	struct znode_state was = { .leader = p->now.leader };
	bool made = !p->written;
	bool unclean = p->written && !p->now.recovering && wanted->recovering;

	leadership_set(p, wanted, version);
	p->belief = BELIEF_PROVED;
	p->node_made = true;
	p->bump = false;
	c->wrote_states = true;
	if (made)
		load_half_made(c, p, INT64_MAX);
	else if (wanted->leader >= 0 && wanted->leader != was.leader)
		metrics_add(c->setup.metrics, METRIC_LEADER_ELECTIONS, 1);
	rewrite_say(c, p, &was, unclean);
	if (was.leader != p->now.leader)
		returns_leads(p);
	rewrite_settle(c, p);
}

/* --- writing -------------------------------------------------------------- */

enum verdict
rewrite_run(struct task *t, task_step *then)
{
	controller_of(t)->rewrite.then = then;
	controller_of(t)->rewrite.number++;
	return (task_next(t, rewrite_write));
}

/* Takes from pending what needs a write, a bounded number. */
static void
rewrite_gather(struct controller *c)
{
	struct rewrite *r = &c->rewrite;
	struct arena *arena = zk_batch_arena(c->batch);
	struct list *link;

	r->flight = mem_zalloc(FLIGHT_PARTITIONS * sizeof(struct partition *));
	r->wanted = mem_zalloc(FLIGHT_PARTITIONS * sizeof(*r->wanted));
	while (r->flight_count < FLIGHT_PARTITIONS &&
	    (link = list_pop_head(&r->pending)) != NULL) {
		struct partition *p = list_entry(link, struct partition,
		    pending);
		struct partition_view view = { c, p,
			p->topic->config_read == r->number &&
			p->topic->unclean_allowed };

		suspects_note(c, p);
		if (hangs_on_config(c, p, arena))
			list_push_tail(&r->undecided, &p->pending);
		else if (rewrite_decide(&view, arena,
		    &r->wanted[r->flight_count]))
			r->flight[r->flight_count++] = p;
		else if (p->announce || p->state == PARTITION_NEW ||
		    (p->state == PARTITION_ONLINE) !=
		    (p->now.leader >= 0 && replica_live(c, p, p->now.leader)))
			rewrite_settle(c, p);
	}
}

static bool
is_creation(const struct partition *p)
{
	return (!p->written);
}

static size_t
partition_parts(const struct partition *p)
{
	return (is_creation(p) && !p->node_made ? 2 : 1);
}

static void
add_partition_parts(struct controller *c, struct zk_op *multi,
    const struct partition *p, const struct znode_state *wanted)
{
	struct arena *arena = zk_batch_arena(c->batch);
	const char *path = znode_state_path(arena, p->topic->name, p->number);
	struct buffer json = BUFFER_EMPTY;

	znode_state_encode(wanted, &json);
	if (!is_creation(p)) {
		zk_multi_set(c->batch, multi, path, buffer_slice(&json),
		    p->now.partition_epoch);
	} else {
		if (!p->node_made)
			zk_multi_create(c->batch, multi,
			    znode_partition_path(arena, p->topic->name,
				p->number), SLICE_NULL, ZK_PERSISTENT);
		zk_multi_create(c->batch, multi, path, buffer_slice(&json),
		    ZK_PERSISTENT);
	}
	buffer_fini(&json);
}

/* A batch runs in its order: what a multi needs is made before it. */
static void
add_directory(struct controller *c, struct partition *p)
{
	struct rewrite_group *group =
	    &c->rewrite.groups[c->rewrite.group_count];

	if (!is_creation(p) || p->topic->directory_made)
		return;
	p->topic->directory_made = true;
	c->rewrite.group_count++;
	*group = (struct rewrite_group){ .multi = controller_fenced(c, 1),
		.directory = p->topic };
	zk_multi_create(c->batch, group->multi,
	    znode_partitions_path(zk_batch_arena(c->batch), p->topic->name),
	    SLICE_NULL, ZK_PERSISTENT);
}

static void
add_group(struct controller *c, size_t first, size_t count)
{
	struct rewrite *r = &c->rewrite;
	struct rewrite_group *group;
	size_t parts = 0;

	for (size_t i = first; i < first + count; i++) {
		add_directory(c, r->flight[i]);
		parts += partition_parts(r->flight[i]);
	}
	group = &r->groups[r->group_count++];
	*group = (struct rewrite_group){ .multi = controller_fenced(c, parts),
		.first = first, .count = count };
	for (size_t i = first; i < first + count; i++)
		add_partition_parts(c, group->multi, r->flight[i],
		    &r->wanted[i]);
}

static enum verdict
rewrite_write(struct task *t)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;

	rewrite_land(r);
	controller_batch(c);
	rewrite_gather(c);
	if (r->flight_count == 0) {
		rewrite_land(r);
		if (!list_empty(&r->pending))
			return (STEP_RUN);
		if (!list_empty(&r->undecided))
			return (task_next(t, rewrite_configs));
		orders_send(c);
		return (task_next(t, r->then));
	}
	/* A group for each multi, and one for each directory. */
	r->groups = mem_zalloc(2 * r->flight_count * sizeof(*r->groups));
	for (size_t i = 0; i < r->flight_count;) {
		size_t left = r->flight_count - i;
		/* What failed before goes alone and stops no others. */
		size_t count = r->flight[i]->attempts > 0 ? 1 :
		    left < MULTI_PARTITIONS ? left : MULTI_PARTITIONS;

		add_group(c, i, count);
		i += count;
	}
	return (controller_submit(t, rewrite_written));
}

static void
group_done(struct controller *c, const struct rewrite_group *group)
{
	struct rewrite *r = &c->rewrite;

	for (size_t i = group->first; i < group->first + group->count; i++) {
		struct partition *p = r->flight[i];

		rewrite_done(c, p, &r->wanted[i],
		    p->written ? p->now.partition_epoch + 1 : 0);
	}
}

/* Something was not as we believed: all of the multi is read again. */
static void
group_failed(struct controller *c, const struct rewrite_group *group)
{
	struct rewrite *r = &c->rewrite;

	for (size_t i = group->first; i < group->first + group->count; i++) {
		r->flight[i]->stale = true;
		r->flight[i]->attempts++;
	}
}

enum verdict
rewrite_run_fresh(struct task *t, task_step *then)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;
	struct list *link;

	rewrite_land(r);
	r->then = then;
	r->number++;
	r->flight = mem_zalloc(BATCH_OPERATIONS * sizeof(struct partition *));
	while (r->flight_count < BATCH_OPERATIONS &&
	    (link = list_pop_head(&r->pending)) != NULL) {
		r->flight[r->flight_count] = list_entry(link, struct partition,
		    pending);
		r->flight[r->flight_count++]->stale = true;
	}
	return (task_next(t, rewrite_read));
}

static bool
is_expected(enum zk_rc rc)
{
	return (rc == ZK_NO_NODE || rc == ZK_NODE_EXISTS ||
	    rc == ZK_BAD_VERSION);
}

static enum verdict
rewrite_written(struct task *t)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;
	enum verdict verdict;
	bool again = false;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t g = 0; g < r->group_count; g++) {
		const struct rewrite_group *group = &r->groups[g];

		if (controller_fence_failed(group->multi))
			return (controller_resign(t,
			    "another controller was elected"));
		if (group->directory != NULL) {
			if (group->multi->rc == ZK_NO_NODE)
				group->directory->directory_made = false;
			continue;
		}
		if (group->multi->rc == ZK_OK) {
			group_done(c, group);
		} else if (is_expected(group->multi->rc)) {
			group_failed(c, group);
			again = true;
		} else {
			return (controller_trouble(t, group->multi));
		}
	}
	if (again)
		return (task_next(t, rewrite_read));
	if (!list_empty(&r->pending))
		orders_send(c);
	return (task_next(t, rewrite_write));
}

/* --- what a topic allows -------------------------------------------------- */

/* Once a topic and row of writes; those beyond the bound come next time. */
static enum verdict
rewrite_configs(struct task *t)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;

	controller_batch(c);
	controller_ops(c, CONFIGS_AT_ONCE);
	LIST_EACH(element, &r->undecided) {
		struct topic *topic = list_entry(element, struct partition,
		    pending)->topic;

		if (topic->config_read == r->number)
			continue;
		if (c->op_count == CONFIGS_AT_ONCE)
			break;
		topic->config_read = r->number;
		topic->unclean_allowed = false;
		c->ops[c->op_count] = zk_batch_get(c->batch,
		    znode_config_path(zk_batch_arena(c->batch), "topics",
			topic->name), NULL);
		c->ops[c->op_count++]->cookie = topic;
	}
	return (controller_submit(t, rewrite_configs_read));
}

/* A config that cannot be read allows nothing, and holds up nobody else. */
static enum verdict
rewrite_configs_read(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *read = c->ops[i];
		struct topic *topic = read->cookie;
		const struct topic_config *config;

		if (read->rc == ZK_SESSION_EXPIRED || read->rc == ZK_CLOSED)
			return (controller_trouble(t, read));
		if (read->rc != ZK_OK && read->rc != ZK_NO_NODE) {
			diag_error(c->setup.diag, controller, "path=%s was "
			    "refused by ZooKeeper rc=%s: no unclean leader "
			    "for its topic", read->path, zk_rc_name(read->rc));
			continue;
		}
		if (!configs_take(c->setup.configs, topic->name, read))
			continue;
		config = configs_topic(c->setup.configs, topic->name);
		topic->unclean_allowed =
		    config->options->unclean_leader_election_enable;
		topic_config_unref(config);
	}
	list_splice_tail(&c->rewrite.pending, &c->rewrite.undecided);
	return (task_next(t, rewrite_write));
}

/* --- reading again -------------------------------------------------------- */

static task_step rewrite_read_done;

static enum verdict
rewrite_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;
	struct zk_batch *batch = controller_batch(c);
	struct arena *arena = zk_batch_arena(batch);

	controller_ops(c, r->flight_count * 3);
	for (size_t i = 0; i < r->flight_count; i++) {
		const struct partition *p = r->flight[i];

		if (!p->stale)
			continue;
		c->ops[c->op_count++] = zk_batch_get(batch,
		    znode_state_path(arena, p->topic->name, p->number), NULL);
		c->ops[c->op_count++] = zk_batch_exists(batch,
		    znode_partition_path(arena, p->topic->name, p->number),
		    NULL);
		c->ops[c->op_count++] = zk_batch_exists(batch,
		    znode_topic_path(arena, p->topic->name), NULL);
	}
	return (controller_submit(t, rewrite_read_done));
}

/* False: the node is there but cannot be read. */
static bool
rewrite_take(struct controller *c, struct partition *p,
    struct zk_op *const *ops)
{
	struct znode_state state;
	bool readable;

	p->stale = false;
	p->node_made = ops[1]->rc == ZK_OK;
	p->lost = ops[2]->rc == ZK_NO_NODE;
	if (!p->node_made)
		p->topic->directory_made = false;
	readable = ops[0]->rc == ZK_OK && znode_state_decode(ops[0]->answer,
	    zk_batch_arena(c->batch), &state);
	/* Our own write was made over what we believed: its answer was lost. */
	if (!readable || state.controller_epoch != c->epoch)
		belief_refuted(p);
	p->belief = BELIEF_NONE;
	if (ops[0]->rc == ZK_NO_NODE) {
		p->written = false;
		return (true);
	}
	if (!readable)
		return (false);
	if (!p->written && state.leader_epoch == 0 && ops[0]->stat.version == 0)
		load_half_made(c, p, ops[0]->stat.czxid);
	leadership_set(p, &state, ops[0]->stat.version);
	if (c->state == CONTROLLER_LOADING)
		returns_state(c, p, ops[0]->stat.mzxid);
	p->belief = BELIEF_PROVED;
	p->announce = true;
	return (true);
}

static enum verdict
rewrite_read_done(struct task *t)
{
	struct controller *c = controller_of(t);
	struct rewrite *r = &c->rewrite;
	enum verdict verdict;
	size_t next = 0;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	for (size_t i = 0; i < r->flight_count; i++) {
		struct partition *p = r->flight[i];

		if (!p->stale)
			continue;
		next += 3;
		if (!rewrite_take(c, p, &c->ops[next - 3]))
			p->attempts = ATTEMPTS_MAX;
		if (p->written && p->now.controller_epoch > c->epoch)
			return (controller_resign(t, "a later controller wrote "
			    "a partition's state"));
		if (p->lost || p->attempts >= ATTEMPTS_MAX)
			diag_error(c->setup.diag, controller, "partition=%s/%d "
			    "%s: left as it is", p->topic->name,
			    (int)p->number, p->lost ? "lost its topic" :
			    "cannot be written");
		else
			list_push_tail(&r->pending, &p->pending);
	}
	return (task_next(t, rewrite_write));
}
