/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaders that somebody wants: ElectLeaders, and what a tool wrote to
 * /admin/preferred_replica_election.
 *
 *	[asked] --> [taken up, between two events: who has not the leader]
 *	                 |
 *	                 v
 *	            [states read again, written] --> answered, when all loops
 *	                 |                           know the new leaders
 *	                 v
 *	            the node is deleted, whatever came of it
 *
 * The wish lies on the partition while its state is written, and is taken back
 * then: who could not be elected now is not elected later.
 * Source: KafkaController.processReplicaLeaderElection, DelayedElectLeader of
 * 3.9.
 */
#include <stdlib.h>

#include "controller/controller_int.h"

static task_step poll_begin, poll_wait, poll_shown, polls_written, node_read,
    node_written, node_deleted;

/* That an election may take beyond the deadline, while ZooKeeper is away. */
#define POLL_WRITE_NS ((int64_t)30 * 1000 * 1000000)

enum poll_state { POLL_ASKED, POLL_TAKEN, POLL_WRITTEN };

struct poll_row {
	const char *topic;
	int32_t partition;
	enum error error;
	const char *message; /* NULL: none */
	int32_t leader;      /* elected: to be seen by all loops; -1: nobody */
	bool open;           /* its election is under way */
};

struct poll {
	struct list link; /* controller's polls */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	enum poll_state state;
	enum leader_wish wish;
	bool all;              /* of everything: only what changed is told */
	struct poll_row *rows; /* by topic, partition; each once */
	size_t count;
	struct waitq_link changed;
};

/* --- answering ------------------------------------------------------------ */

static bool
is_told(const struct poll *p, const struct poll_row *row)
{
	return (!p->all || row->error != ERR_ELECTION_NOT_NEEDED);
}

/* Rows of one topic lie together. */
static void
poll_fill(const struct poll *p, struct arena *arena,
    struct elect_leaders_response *response)
{
	struct elect_leaders_response_partition_result *results = wire_array(
	    arena, elect_leaders_response_partition_result_schema(), p->count);
	struct elect_leaders_response_replica_election_result *topic = NULL;
	const char *last = NULL;

	response->replica_election_results = wire_array(arena,
	    elect_leaders_response_replica_election_result_schema(), p->count);
	if (results == NULL || response->replica_election_results == NULL)
		return;
	for (size_t i = 0; i < p->count; i++) {
		const struct poll_row *row = &p->rows[i];

		if (!is_told(p, row))
			continue;
		if (last == NULL || strcmp(last, row->topic) != 0) {
			topic = &response->replica_election_results[
			    response->replica_election_results_count++];
			topic->topic = slice_of_text(arena_strdup(arena,
			    row->topic));
			topic->partition_result = results;
			last = row->topic;
		}
		topic->partition_result_count++;
		results->partition_id = row->partition;
		results->error_code = (int16_t)row->error;
		results->error_message = row->message == NULL ? SLICE_NULL :
		    slice_of_text(arena_strdup(arena, row->message));
		results++;
	}
}

static void
poll_reply(struct poll *p)
{
	struct controller_call *call = p->hook.call;

	if (call == NULL)
		return;
	poll_fill(p, call->arena, call->response);
	controller_call_end(&p->hook);
}

static enum verdict
poll_answer(struct task *t)
{
	poll_reply(task_state(t));
	return (STEP_DONE);
}

/* --- life ----------------------------------------------------------------- */

static bool take_request(struct task *t,
    const struct elect_leaders_request *request);

static void
poll_refuse_rest(struct poll *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->state != POLL_WRITTEN || p->rows[i].leader >= 0) {
			p->rows[i].error = ERR_NOT_CONTROLLER;
			p->rows[i].message = NULL;
		}
}

static void
poll_fini(struct task *task)
{
	struct poll *p = task_state(task);

	list_remove(&p->link);
	controller_call_gone(p->controller, &p->hook);
	waitq_leave(cluster_changed(p->controller->setup.cluster),
	    &p->changed);
	/* Cut short: the next controller may be asked. */
	if (p->hook.call != NULL) {
		if (p->rows == NULL)
			take_request(task, p->hook.call->request);
		poll_refuse_rest(p);
	}
	poll_reply(p);
}

static const struct task_class poll_class = {
	.name = "leader election",
	.state_size = sizeof(struct poll),
	.arena_limit = (size_t)64 << 20,
	.fini = poll_fini,
};

struct poll_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
poll_setup(struct task *task, void *arg)
{
	struct poll *p = task_state(task);
	const struct poll_start *start = arg;

	p->self = task_ref(task);
	p->controller = start->controller;
	p->hook.call = start->call;
	start->call->state = &p->hook;
	list_push_tail(&start->controller->polls, &p->link);
}

void
controller_elect_leaders(struct controller *controller,
    struct controller_call *call)
{
	struct poll_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &poll_class, poll_begin, poll_setup,
	    &start);
}

void
polls_cancel(struct controller *controller, bool written)
{
	LIST_EACH(element, &controller->polls) {
		struct poll *p = list_entry(element, struct poll, link);

		if (written || p->state != POLL_WRITTEN)
			task_cancel(task_of_ref(p->self));
	}
}

/* --- the request ---------------------------------------------------------- */

static int
row_order(const void *a, const void *b)
{
	const struct poll_row *one = a, *two = b;
	int order = strcmp(one->topic, two->topic);

	return (order != 0 ? order : (one->partition > two->partition) -
	    (one->partition < two->partition));
}

/* Each partition once, however often it is named. */
static void
rows_unite(struct poll *p)
{
	size_t kept = 0;

	if (p->count > 1)
		qsort(p->rows, p->count, sizeof(*p->rows), row_order);
	for (size_t i = 0; i < p->count; i++)
		if (i == 0 || row_order(&p->rows[kept - 1], &p->rows[i]) != 0)
			p->rows[kept++] = p->rows[i];
	p->count = kept;
}

struct all_rows {
	struct poll *poll;
	struct arena *arena;
};

static bool
add_topic(void *arg, const struct cluster_topic *topic)
{
	struct all_rows *all = arg;
	const char *name = arena_strdup(all->arena, topic->name);

	for (int32_t i = 0; name != NULL && i < topic->partition_count; i++)
		all->poll->rows[all->poll->count++] = (struct poll_row){
			.topic = name,
			.partition = topic->partitions[i].partition,
			.leader = -1 };
	return (name != NULL);
}

/* All that clients are told of. */
static bool
take_all(struct task *t)
{
	struct poll *p = task_state(t);
	const struct cluster_image *image =
	    cluster_image(p->controller->setup.cluster);
	struct all_rows all = { p, task_arena(t) };

	p->all = true;
	p->rows = arena_array(all.arena, image->partition_count + 1,
	    sizeof(*p->rows));
	if (p->rows == NULL)
		return (false);
	image_each_topic(image, add_topic, &all);
	rows_unite(p);
	return (true);
}

/* False: more than its memory holds. */
static bool
take_request(struct task *t, const struct elect_leaders_request *request)
{
	struct poll *p = task_state(t);
	struct arena *arena = task_arena(t);
	size_t count = 1;

	if (request->topic_partitions == NULL)
		return (take_all(t));
	for (int32_t i = 0; i < request->topic_partitions_count; i++)
		count += (size_t)request->topic_partitions[i].partitions_count;
	p->rows = arena_array(arena, count, sizeof(*p->rows));
	for (int32_t i = 0; p->rows != NULL &&
	    i < request->topic_partitions_count; i++) {
		const struct elect_leaders_request_topic_partition *topic =
		    &request->topic_partitions[i];
		const char *name = arena_slice_text(arena, topic->topic);

		for (int32_t j = 0; name != NULL && j < topic->partitions_count;
		     j++)
			p->rows[p->count++] = (struct poll_row){
				.topic = name,
				.partition = topic->partitions[j],
				.leader = -1 };
		if (name == NULL)
			return (false);
	}
	rows_unite(p);
	return (p->rows != NULL);
}

static enum verdict
poll_refuse(struct task *t, enum error error)
{
	struct poll *p = task_state(t);

	for (size_t i = 0; i < p->count; i++) {
		p->rows[i].error = error;
		p->rows[i].message = NULL;
	}
	return (poll_answer(t));
}

/* Kafka fails the whole request, and names what it did name. */
static enum verdict
poll_refuse_kind(struct task *t)
{
	struct poll *p = task_state(t);
	struct elect_leaders_response *response = p->hook.call->response;

	if (p->all)
		p->count = 0;
	response->error_code = p->hook.call->version >= 1 ?
	    ERR_UNKNOWN_SERVER_ERROR : ERR_NONE;
	return (poll_refuse(t, ERR_UNKNOWN_SERVER_ERROR));
}

static enum verdict
poll_begin(struct task *t)
{
	struct poll *p = task_state(t);
	const struct elect_leaders_request *request;
	int64_t left_ns;

	if (p->hook.call == NULL)
		return (STEP_DONE);
	request = p->hook.call->request;
	if (!take_request(t, request)) {
		p->count = 0;
		return (poll_refuse_kind(t));
	}
	if (request->election_type != 0 && request->election_type != 1)
		return (poll_refuse_kind(t));
	p->wish = request->election_type == 0 ? WISH_PREFERRED : WISH_UNCLEAN;
	if (!controller_active(p->controller))
		return (poll_refuse(t, ERR_NOT_CONTROLLER));
	left_ns = p->hook.call->deadline_ns - loop_now_ns(task_loop(t));
	task_sleep(t, (left_ns > 0 ? left_ns : 0) + POLL_WRITE_NS);
	controller_call_asked(p->controller, &p->hook);
	return (task_next(t, poll_wait));
}

static enum verdict
poll_wait(struct task *t)
{
	struct poll *p = task_state(t);

	if (p->state == POLL_WRITTEN)
		return (task_next(t, poll_shown));
	return (task_slept(t) ? poll_refuse(t, ERR_REQUEST_TIMED_OUT) :
	    STEP_WAIT);
}

/* Whether clients are told of the leader by now. */
static bool
is_shown(const struct poll *p, const struct poll_row *row)
{
	const struct cluster_topic *topic = image_topic(
	    cluster_image(p->controller->setup.cluster),
	    slice_of_text(row->topic));
	const struct cluster_partition *partition = topic == NULL ? NULL :
	    topic_partition(topic, row->partition);

	return (partition != NULL && partition->leader == row->leader);
}

static enum verdict
poll_shown(struct task *t)
{
	struct poll *p = task_state(t);
	bool waits = false;

	if (p->hook.call == NULL)
		return (STEP_DONE);
	waitq_join(cluster_changed(p->controller->setup.cluster), &p->changed,
	    t);
	if (p->hook.call->deadline_ns < TASK_NO_DEADLINE)
		task_set_deadline(t, p->hook.call->deadline_ns);
	for (size_t i = 0; i < p->count; i++) {
		struct poll_row *row = &p->rows[i];

		if (row->leader < 0)
			continue;
		if (is_shown(p, row))
			row->leader = -1;
		else if (task_expired(t))
			row->error = ERR_REQUEST_TIMED_OUT;
		else
			waits = true;
	}
	return (waits ? STEP_WAIT : poll_answer(t));
}

/* --- which partitions ----------------------------------------------------- */

bool
poll_needed(const struct controller *c, const struct partition *p,
    enum leader_wish wish)
{
	const struct live_broker *leader;

	if (wish == WISH_PREFERRED)
		return (!p->written || p->replica_count == 0 ||
		    p->now.leader != p->replicas[0].broker);
	leader = context_broker(&c->context, p->now.leader);
	return (!p->written || leader == NULL || leader->shutting_down);
}

static struct partition *
find_partition(const struct controller *c, const char *name, int32_t number)
{
	struct topic *topic = context_topic(&c->context, slice_of_text(name));

	return (topic == NULL ? NULL : topic_find_partition(topic, number));
}

static void
row_fail(struct poll_row *row, enum error error, const char *message)
{
	row->error = error;
	row->message = message;
}

static void
row_take(struct controller *c, struct poll_row *row, enum leader_wish wish)
{
	struct partition *p = find_partition(c, row->topic, row->partition);

	if (p == NULL)
		row_fail(row, ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "The partition does not exist.");
	else if (topic_doomed(p->topic))
		row_fail(row, ERR_INVALID_TOPIC_EXCEPTION,
		    "The topic is being deleted");
	else if (!poll_needed(c, p, wish))
		row_fail(row, ERR_ELECTION_NOT_NEEDED,
		    "Leader election not needed for topic partition.");
	else {
		row->open = true;
		p->wish = wish;
		rewrite_add(c, p);
	}
}

/* What became of it. */
static void
row_settle(struct controller *c, struct poll_row *row, enum leader_wish wish)
{
	struct partition *p = find_partition(c, row->topic, row->partition);

	if (!row->open)
		return;
	row->open = false;
	if (p != NULL && p->written && !poll_needed(c, p, wish))
		row->leader = p->now.leader;
	else if (wish == WISH_PREFERRED)
		row_fail(row, ERR_PREFERRED_LEADER_NOT_AVAILABLE,
		    "The preferred replica does not live, or is not in sync.");
	else
		row_fail(row, ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
		    "None of the replicas lives.");
}

void
wishes_forget(struct controller *c)
{
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			topic->partitions[i]->wish = WISH_NONE;
	}
}

/* --- the event ------------------------------------------------------------ */

bool
poll_waits(const struct controller *c)
{
	LIST_EACH(element, &c->polls)
		if (list_entry(element, struct poll, link)->state ==
		    POLL_ASKED && list_entry(element, struct poll,
		    link)->wish != WISH_NONE)
			return (true);
	return (false);
}

/* All that were asked for by now, of one kind. */
enum verdict
polls_run(struct task *t)
{
	struct controller *c = controller_of(t);
	enum leader_wish wish = WISH_NONE;

	LIST_EACH(element, &c->polls) {
		struct poll *p = list_entry(element, struct poll, link);

		if (p->state != POLL_ASKED || p->wish == WISH_NONE ||
		    (wish != WISH_NONE && p->wish != wish))
			continue;
		wish = p->wish;
		p->state = POLL_TAKEN;
		controller_call_taken(c, &p->hook);
		for (size_t i = 0; i < p->count; i++)
			row_take(c, &p->rows[i], wish);
	}
	return (rewrite_run_fresh(t, polls_written));
}

static enum verdict
polls_written(struct task *t)
{
	struct controller *c = controller_of(t);

	wishes_forget(c);
	LIST_EACH(element, &c->polls) {
		struct poll *p = list_entry(element, struct poll, link);

		if (p->state != POLL_TAKEN)
			continue;
		for (size_t i = 0; i < p->count; i++)
			row_settle(c, &p->rows[i], p->wish);
		p->state = POLL_WRITTEN;
		task_wake_ref(p->self);
	}
	return (task_next(t, controller_idle));
}

/* --- /admin/preferred_replica_election ------------------------------------ */

enum verdict
polls_node(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_batch *batch = controller_batch(c);

	c->preferred_waits = false;
	controller_ops(c, 2);
	c->ops[0] = controller_watch_read(c, WATCH_PREFERRED);
	c->ops[1] = zk_batch_get(batch, ZNODE_PREFERRED_ELECTION, NULL);
	return (controller_submit(t, node_read));
}

static void
node_take(struct controller *c, const struct zk_op *read)
{
	struct znode_partitions wanted;

	if (!znode_partitions_decode(read->answer, zk_batch_arena(c->batch),
	    &wanted)) {
		diag_warn(c->setup.diag, controller, ZNODE_PREFERRED_ELECTION
		    " cannot be read: deleted");
		return;
	}
	for (size_t i = 0; i < wanted.count; i++) {
		struct partition *p = find_partition(c, wanted.items[i].topic,
		    wanted.items[i].partition);

		if (p == NULL || topic_doomed(p->topic) ||
		    !poll_needed(c, p, WISH_PREFERRED))
			continue;
		p->wish = WISH_PREFERRED;
		rewrite_add(c, p);
	}
	diag_info(c->setup.diag, controller, "preferred leaders are elected "
	    "for " ZNODE_PREFERRED_ELECTION " partitions=%zu", wanted.count);
}

static enum verdict
node_read(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->ops[1]->rc == ZK_NO_NODE)
		return (task_next(t, controller_idle));
	if (c->ops[1]->rc != ZK_OK)
		return (controller_trouble(t, c->ops[1]));
	node_take(c, c->ops[1]);
	return (rewrite_run_fresh(t, node_written));
}

static void
node_say(const struct controller *c)
{
	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);

		for (size_t i = 0; i < topic->partition_count; i++) {
			const struct partition *p = topic->partitions[i];

			if (p->wish != WISH_NONE && poll_needed(c, p, p->wish))
				diag_warn(c->setup.diag, controller,
				    "partition=%s/%d keeps leader=%d: the "
				    "preferred one does not live, or is not in "
				    "sync", topic->name, (int)p->number,
				    (int)p->now.leader);
		}
	}
}

static enum verdict
node_written(struct task *t)
{
	struct controller *c = controller_of(t);

	node_say(c);
	wishes_forget(c);
	controller_batch(c);
	c->op = controller_fenced(c, 1);
	zk_multi_delete(c->batch, c->op, ZNODE_PREFERRED_ELECTION,
	    ZK_ANY_VERSION);
	return (controller_submit(t, node_deleted));
}

/* If it could not be deleted, who is controller next elects again. */
static enum verdict
node_deleted(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (controller_fence_failed(c->op))
		return (controller_resign(t, "another controller was elected"));
	return (task_next(t, controller_idle));
}
