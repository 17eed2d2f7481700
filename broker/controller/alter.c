/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlterPartition: leaders ask for other ISRs.
 *
 *	[asked] --> [taken up, between two events; one request an event]
 *	                 |
 *	                 v                    multis of 50 partitions
 *	   judged --> [write] --> all written: answered, UpdateMetadata to all
 *	                ^   |
 *	                |   v another version in one of the multi's partitions
 *	                +-[read]--> what we wrote: its answer was lost
 *	                        --> as we believed: written once more
 *	                        --> another's: INVALID_UPDATE_VERSION, and
 *	                            rewrite.c takes it from there
 *
 * The leader epoch stays, so nobody needs LeaderAndIsr: the leader has the
 * answer, followers do not heed ISRs.
 * Source: KafkaController.processAlterPartition of 3.9.
 */
#include "base/placement.h"
#include "controller/alteration.h"
#include "controller/controller_int.h"

#define ATTEMPTS_MAX 20

static task_step alter_begin, alter_wait, alter_write, alter_written,
    alter_read, alter_read_done, alter_end;

enum altering_state { ALTERING_ASKED, ALTERING_TAKEN, ALTERING_ENDED };

enum altered_state {
	ALTERED_OPEN,   /* to be written */
	ALTERED_FLYING, /* in the batch at hand */
	ALTERED_STALE,  /* its multi failed: to be read */
	ALTERED_DONE
};

struct altered {
	int32_t number; /* of the partition */
	int32_t leader_epoch;
	int32_t partition_epoch;
	int8_t recovery_state;
	int32_t *isr;
	int64_t *epochs; /* -1: not told; NULL: the version has none */
	int32_t isr_count;
	enum altered_state state;
	enum error error;
	struct partition *partition; /* while the event lasts */
	struct znode_state wanted;
	int attempts;
	struct zk_op *op; /* its multi; then, what was read */
};

struct altered_topic {
	const char *name; /* NULL: by id */
	struct uuid id;
	size_t count; /* of its rows, which lie together */
};

struct altering {
	struct list link; /* controller's alterings */
	struct controller_call_int hook;
	struct task_ref self;
	struct controller *controller;
	enum altering_state state;
	bool tells_ineligible;
	int32_t broker;
	int64_t broker_epoch;
	struct altered_topic *topics;
	size_t topic_count;
	struct altered *rows;
	size_t count;
};

/* --- answering ------------------------------------------------------------ */

static void
answer_row(const struct altered *row, struct arena *arena,
    struct alter_partition_response_partition *to)
{
	const struct partition *p = row->partition;

	to->partition_index = row->number;
	to->error_code = (int16_t)row->error;
	if (row->error != ERR_NONE)
		return;
	to->isr = arena_array(arena, (size_t)p->now.isr_count,
	    sizeof(*to->isr));
	if (to->isr == NULL) {
		/* Written, but not told: the leader asks again. */
		to->error_code = ERR_UNKNOWN_SERVER_ERROR;
		return;
	}
	memcpy(to->isr, p->now.isr, (size_t)p->now.isr_count *
	    sizeof(*to->isr));
	to->isr_count = p->now.isr_count;
	to->leader_id = p->now.leader;
	to->leader_epoch = p->now.leader_epoch;
	to->leader_recovery_state = p->now.recovering ? 1 : 0;
	to->partition_epoch = p->now.partition_epoch;
}

static enum error
answer_rows(const struct altering *a, struct arena *arena,
    struct alter_partition_response *response)
{
	const struct altered *row = a->rows;

	response->topics = wire_array(arena,
	    alter_partition_response_topic_schema(), a->topic_count);
	if (response->topics == NULL)
		return (ERR_UNKNOWN_SERVER_ERROR);
	for (size_t i = 0; i < a->topic_count; i++) {
		const struct altered_topic *from = &a->topics[i];
		struct alter_partition_response_topic *to =
		    &response->topics[i];

		if (from->name != NULL)
			to->topic_name = slice_of_text(arena_strdup(arena,
			    from->name));
		to->topic_id = from->id;
		to->partitions = wire_array(arena,
		    alter_partition_response_partition_schema(), from->count);
		if (to->partitions == NULL)
			return (ERR_UNKNOWN_SERVER_ERROR);
		to->partitions_count = (int32_t)from->count;
		response->topics_count++;
		for (size_t j = 0; j < from->count; j++)
			answer_row(row++, arena, &to->partitions[j]);
	}
	return (ERR_NONE);
}

/* The rows, or an error of the whole request. */
static void
altering_answer(struct altering *a, enum error error)
{
	struct controller_call *call = a->hook.call;
	struct alter_partition_response *response;

	if (call == NULL)
		return;
	response = call->response;
	if (error == ERR_NONE)
		error = answer_rows(a, call->arena, response);
	if (error != ERR_NONE)
		response->topics_count = 0;
	response->error_code = (int16_t)error;
	controller_call_end(&a->hook);
}

/* --- life ----------------------------------------------------------------- */

static void
altering_fini(struct task *task)
{
	struct altering *a = task_state(task);

	list_remove(&a->link);
	if (a->controller->altering == a)
		a->controller->altering = NULL;
	controller_call_gone(a->controller, &a->hook);
	altering_answer(a, ERR_NOT_CONTROLLER);
}

static const struct task_class altering_class = {
	.name = "alter partition",
	.state_size = sizeof(struct altering),
	.arena_limit = (size_t)64 << 20,
	.fini = altering_fini,
};

struct altering_start {
	struct controller *controller;
	struct controller_call *call;
};

static void
altering_setup(struct task *task, void *arg)
{
	struct altering *a = task_state(task);
	const struct altering_start *start = arg;

	a->self = task_ref(task);
	a->controller = start->controller;
	a->hook.call = start->call;
	start->call->state = &a->hook;
	list_push_tail(&start->controller->alterings, &a->link);
}

void
controller_alter_partition(struct controller *controller,
    struct controller_call *call)
{
	struct altering_start start = { controller, call };

	call->done = false;
	task_start(controller->setup.loop, &altering_class, alter_begin,
	    altering_setup, &start);
}

void
alterings_cancel(struct controller *controller)
{
	LIST_EACH(element, &controller->alterings)
		task_cancel(task_of_ref(list_entry(element, struct altering,
		    link)->self));
}

/* --- the request ---------------------------------------------------------- */

static bool
take_isr(struct arena *arena, struct altered *row,
    const struct alter_partition_request_partition *asked, int version)
{
	size_t count = (size_t)(version >= 3 ?
	    asked->new_isr_with_epochs_count : asked->new_isr_count);

	row->isr = arena_array(arena, count, sizeof(*row->isr));
	row->isr_count = (int32_t)count;
	if (row->isr == NULL)
		return (false);
	if (version < 3) {
		if (count > 0)
			memcpy(row->isr, asked->new_isr,
			    count * sizeof(*row->isr));
		return (true);
	}
	row->epochs = arena_array(arena, count, sizeof(*row->epochs));
	for (size_t i = 0; row->epochs != NULL && i < count; i++) {
		row->isr[i] = asked->new_isr_with_epochs[i].broker_id;
		row->epochs[i] = asked->new_isr_with_epochs[i].broker_epoch;
	}
	return (row->epochs != NULL);
}

static bool
take_topic(struct altering *a, struct arena *arena,
    const struct alter_partition_request_topic *asked, int version)
{
	struct altered_topic *topic = &a->topics[a->topic_count++];

	*topic = (struct altered_topic){ .id = asked->topic_id,
		.count = (size_t)asked->partitions_count };
	if (version < 2) {
		topic->name = arena_slice_text(arena, asked->topic_name);
		if (topic->name == NULL)
			return (false);
	}
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		const struct alter_partition_request_partition *from =
		    &asked->partitions[i];
		struct altered *row = &a->rows[a->count++];

		*row = (struct altered){
			.number = from->partition_index,
			.leader_epoch = from->leader_epoch,
			.partition_epoch = from->partition_epoch,
			.recovery_state = from->leader_recovery_state,
		};
		if (!take_isr(arena, row, from, version))
			return (false);
	}
	return (true);
}

/* False: more than its memory holds. */
static bool
take_request(struct task *t, const struct alter_partition_request *request)
{
	struct altering *a = task_state(t);
	struct arena *arena = task_arena(t);
	int version = a->hook.call->version;
	size_t count = 0;

	a->tells_ineligible = version >= 2;
	a->broker = request->broker_id;
	a->broker_epoch = request->broker_epoch;
	for (int32_t i = 0; i < request->topics_count; i++)
		count += (size_t)request->topics[i].partitions_count;
	a->rows = arena_array(arena, count, sizeof(*a->rows));
	a->topics = arena_array(arena, (size_t)request->topics_count,
	    sizeof(*a->topics));
	if (a->rows == NULL || a->topics == NULL)
		return (false);
	for (int32_t i = 0; i < request->topics_count; i++)
		if (request->topics[i].partitions_count > 0 &&
		    !take_topic(a, arena, &request->topics[i], version))
			return (false);
	return (true);
}

static enum verdict
altering_over(struct task *t, enum error error)
{
	altering_answer(task_state(t), error);
	return (STEP_DONE);
}

static enum verdict
alter_begin(struct task *t)
{
	struct altering *a = task_state(t);

	if (a->hook.call == NULL)
		return (STEP_DONE);
	if (!controller_active(a->controller))
		return (altering_over(t, ERR_NOT_CONTROLLER));
	if (!take_request(t, a->hook.call->request))
		return (altering_over(t, ERR_UNKNOWN_SERVER_ERROR));
	controller_call_asked(a->controller, &a->hook);
	return (task_next(t, alter_wait));
}

static enum verdict
alter_wait(struct task *t)
{
	struct altering *a = task_state(t);

	if (a->state == ALTERING_ENDED)
		return (STEP_DONE);
	/* The leader asks again, this controller or the next one; what is
	 * under way goes on meanwhile, and nothing else stays. */
	if (a->hook.call == NULL ||
	    controller_call_waits(a->controller, t, &a->hook))
		return (STEP_WAIT);
	altering_answer(a, ERR_REQUEST_TIMED_OUT);
	return (a->state == ALTERING_ASKED ? STEP_DONE : STEP_WAIT);
}

/* --- judging -------------------------------------------------------------- */

static struct topic *
asked_topic(const struct controller *c, const struct altered_topic *topic)
{
	return (topic->name != NULL ?
	    context_topic(&c->context, slice_of_text(topic->name)) :
	    context_topic_by_id(&c->context, topic->id));
}

static void
fill_member(struct controller *c, const struct altered *row, int32_t i,
    struct alteration_member *member)
{
	const struct live_broker *broker = context_broker(&c->context,
	    row->isr[i]);

	*member = (struct alteration_member){
		.broker = row->isr[i],
		.assigned = partition_replica(row->partition, row->isr[i]) !=
		    NULL && !partition_dismisses(row->partition, row->isr[i]),
		.in_isr = partition_in_isr(row->partition, row->isr[i]),
		.stays = replica_stays(c, row->partition, row->isr[i]),
		.other_epoch = row->epochs != NULL && row->epochs[i] != -1 &&
		    broker != NULL && broker->epoch != row->epochs[i],
	};
}

static enum error
judge(struct controller *c, const struct altering *a, struct altered *row)
{
	const struct partition *p = row->partition;
	struct arena *arena = zk_batch_arena(c->batch);
	struct alteration_member *members;
	enum error error;
	bool well;

	if (row->isr_count > p->replica_count + p->now.isr_count)
		return (ERR_INVALID_REQUEST);
	members = arena_array(arena, (size_t)row->isr_count, sizeof(*members));
	CHECK(members != NULL);
	for (int32_t i = 0; i < row->isr_count; i++)
		fill_member(c, row, i, &members[i]);
	error = alteration_check(&(struct alteration){
	    .broker = a->broker,
	    .leader_epoch = row->leader_epoch,
	    .partition_epoch = row->partition_epoch,
	    .recovery_state = row->recovery_state,
	    .members = members,
	    .member_count = (size_t)row->isr_count,
	    .repeats = placement_repeats(row->isr, row->isr_count),
	    .leader = p->now.leader,
	    .known_leader_epoch = p->now.leader_epoch,
	    .known_partition_epoch = p->now.partition_epoch,
	    .isr_count = (size_t)p->now.isr_count,
	    .recovering = p->now.recovering,
	}, &well);
	if (error == ERR_INELIGIBLE_REPLICA && !a->tells_ineligible)
		return (ERR_OPERATION_NOT_ATTEMPTED);
	row->state = error != ERR_NONE || well ? ALTERED_DONE : ALTERED_OPEN;
	return (error);
}

static void
judge_row(struct controller *c, const struct altering *a,
    const struct altered_topic *topic, struct altered *row)
{
	struct topic *found = asked_topic(c, topic);
	struct partition *p = found == NULL ? NULL :
	    topic_find_partition(found, row->number);

	row->state = ALTERED_DONE;
	if (found == NULL && topic->name == NULL) {
		row->error = ERR_UNKNOWN_TOPIC_ID;
	} else if (p == NULL || !p->written || topic_doomed(found)) {
		row->error = ERR_UNKNOWN_TOPIC_OR_PARTITION;
	} else if (p->altering) {
		/* Twice in one request. */
		row->error = ERR_INVALID_REQUEST;
	} else {
		p->altering = true;
		row->partition = p;
		row->error = judge(c, a, row);
	}
}

static enum error
judge_broker(const struct controller *c, const struct altering *a)
{
	const struct live_broker *broker = context_broker(&c->context,
	    a->broker);

	return (broker == NULL || broker->epoch != a->broker_epoch ?
	    ERR_STALE_BROKER_EPOCH : ERR_NONE);
}

/* --- the event ------------------------------------------------------------ */

static struct altering *
next_altering(const struct controller *c)
{
	LIST_EACH(element, &c->alterings) {
		struct altering *a = list_entry(element, struct altering,
		    link);

		/* Not begun yet, it has no rows. */
		if (a->state == ALTERING_ASKED && a->rows != NULL)
			return (a);
	}
	return (NULL);
}

bool
alter_waits(const struct controller *c)
{
	return (next_altering(c) != NULL);
}

static enum verdict
alter_over(struct task *t, enum error error)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering;

	c->altering = NULL;
	altering_answer(a, error);
	for (size_t i = 0; i < a->count; i++)
		if (a->rows[i].partition != NULL)
			a->rows[i].partition->altering = false;
	a->state = ALTERING_ENDED;
	task_wake_ref(a->self);
	return (rewrite_run(t, controller_idle));
}

enum verdict
alterings_run(struct task *t)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering = next_altering(c);
	struct altered *row = a->rows;
	enum error error = judge_broker(c, a);

	a->state = ALTERING_TAKEN;
	controller_call_taken(c, &a->hook);
	if (error != ERR_NONE)
		return (alter_over(t, error));
	controller_batch(c);
	for (size_t i = 0; i < a->topic_count; i++)
		for (size_t j = 0; j < a->topics[i].count; j++)
			judge_row(c, a, &a->topics[i], row++);
	return (task_next(t, alter_write));
}

static enum verdict
alter_end(struct task *t)
{
	return (alter_over(t, ERR_NONE));
}

/* --- writing -------------------------------------------------------------- */

static void
add_row(struct controller *c, struct zk_op *multi, struct altered *row)
{
	const struct partition *p = row->partition;
	struct buffer json = BUFFER_EMPTY;

	row->wanted = (struct znode_state){
		.controller_epoch = c->epoch,
		.leader = p->now.leader,
		.leader_epoch = p->now.leader_epoch,
		.isr = row->isr,
		.isr_count = row->isr_count,
		.recovering = row->recovery_state == 1,
	};
	znode_state_encode(&row->wanted, &json);
	zk_multi_set(c->batch, multi, znode_state_path(
	    zk_batch_arena(c->batch), p->topic->name, p->number),
	    buffer_slice(&json), p->now.partition_epoch);
	buffer_fini(&json);
	row->op = multi;
	row->state = ALTERED_FLYING;
}

static enum verdict
alter_write(struct task *t)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering;
	struct altered *some[MULTI_PARTITIONS];
	size_t count = 0, sent = 0;

	controller_batch(c);
	for (size_t i = 0; i < a->count && sent < BATCH_OPERATIONS; i++) {
		struct zk_op *multi;

		if (a->rows[i].state == ALTERED_OPEN) {
			some[count++] = &a->rows[i];
			sent++;
		}
		if (count < MULTI_PARTITIONS && i + 1 < a->count &&
		    sent < BATCH_OPERATIONS)
			continue;
		if (count == 0)
			break;
		multi = controller_fenced(c, count);
		for (size_t j = 0; j < count; j++)
			add_row(c, multi, some[j]);
		count = 0;
	}
	return (sent == 0 ? task_next(t, alter_end) :
	    controller_submit(t, alter_written));
}

static void
row_done(struct controller *c, struct altered *row)
{
	struct partition *p = row->partition;

	leadership_set(p, &row->wanted, p->now.partition_epoch + 1);
	returns_leads(p);
	returns_settle(c, p);
	orders_show(c, p);
	row->state = ALTERED_DONE;
}

static enum verdict
alter_written(struct task *t)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering;
	enum verdict verdict;
	bool again = false;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < a->count; i++) {
		struct altered *row = &a->rows[i];

		if (row->state != ALTERED_FLYING)
			continue;
		if (controller_fence_failed(row->op))
			return (controller_resign(t,
			    "another controller was elected"));
		if (row->op->rc == ZK_OK) {
			row_done(c, row);
		} else if (row->op->rc == ZK_BAD_VERSION ||
		    row->op->rc == ZK_NO_NODE) {
			row->state = ALTERED_STALE;
			again = true;
		} else {
			return (controller_trouble(t, row->op));
		}
	}
	return (task_next(t, again ? alter_read : alter_write));
}

/* --- reading again -------------------------------------------------------- */

static enum verdict
alter_read(struct task *t)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering;

	controller_batch(c);
	for (size_t i = 0; i < a->count; i++) {
		struct altered *row = &a->rows[i];

		if (row->state == ALTERED_STALE)
			row->op = zk_batch_get(c->batch, znode_state_path(
			    zk_batch_arena(c->batch),
			    row->partition->topic->name, row->number), NULL);
	}
	return (controller_submit(t, alter_read_done));
}

static bool
same_state(const struct znode_state *a, const struct znode_state *b)
{
	return (a->controller_epoch == b->controller_epoch &&
	    a->leader == b->leader && a->leader_epoch == b->leader_epoch &&
	    a->recovering == b->recovering && a->isr_count == b->isr_count &&
	    memcmp(a->isr, b->isr, (size_t)a->isr_count *
		sizeof(*a->isr)) == 0);
}

static void
row_fail(struct controller *c, struct altered *row, enum error error)
{
	row->state = ALTERED_DONE;
	row->error = error;
	rewrite_add(c, row->partition);
}

/* False: another controller wrote it. */
static bool
row_read(struct controller *c, struct altered *row)
{
	struct partition *p = row->partition;
	struct znode_state state;

	if (row->op->rc == ZK_NO_NODE || !znode_state_decode(row->op->answer,
	    zk_batch_arena(c->batch), &state)) {
		row_fail(c, row, ERR_UNKNOWN_TOPIC_OR_PARTITION);
		return (true);
	}
	if (state.controller_epoch > c->epoch)
		return (false);
	if (row->op->stat.version == p->now.partition_epoch) {
		row->state = ALTERED_OPEN;
		if (++row->attempts >= ATTEMPTS_MAX)
			row_fail(c, row, ERR_UNKNOWN_SERVER_ERROR);
	} else if (row->op->stat.version == p->now.partition_epoch + 1 &&
	    same_state(&state, &row->wanted)) {
		row_done(c, row);
	} else {
		leadership_set(p, &state, row->op->stat.version);
		p->announce = true;
		row_fail(c, row, ERR_INVALID_UPDATE_VERSION);
	}
	return (true);
}

static enum verdict
alter_read_done(struct task *t)
{
	struct controller *c = controller_of(t);
	struct altering *a = c->altering;
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < a->count; i++) {
		struct altered *row = &a->rows[i];

		if (row->state != ALTERED_STALE)
			continue;
		if (row->op->rc != ZK_OK && row->op->rc != ZK_NO_NODE)
			return (controller_trouble(t, row->op));
		if (!row_read(c, row))
			return (controller_resign(t, "a later controller wrote "
			    "a partition's state"));
	}
	return (task_next(t, alter_write));
}
