/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new controller does first, in Kafka's order:
 *
 *	feature node -> watches armed -> old notifications deleted -> brokers
 *	-> topics, ids -> what our broker was told (believe.c) -> other states
 *	-> ACTIVE: live brokers told to all -> LeaderAndIsr and UpdateMetadata
 *	of everything, after what has no leader was elected
 *
 * Watches come before what they watch is read, so nothing falls between.
 */
#include "controller/controller_int.h"

#include "base/text.h"

static task_step load_feature, load_watches, load_listed,
    load_brokers, load_topics, load_states, load_states_read, load_active,
    load_rest, load_done;

void
load_half_made(struct controller *c, struct partition *p, int64_t czxid)
{
	for (int32_t i = 0; i < p->replica_count; i++) {
		const struct live_broker *broker = context_broker(&c->context,
		    p->replicas[i].broker);

		p->replicas[i].unconfirmed_epoch =
		    broker != NULL && broker->epoch < czxid ? broker->epoch : 0;
	}
}

/* --- the feature node ----------------------------------------------------- */

enum verdict
load_begin(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	c->op = zk_batch_get(c->batch, ZNODE_FEATURE, NULL);
	return (controller_submit(t, load_feature));
}

#define FEATURE_VERSION 2

/* As a cluster has it that was upgraded from before 3.3, or from before
 * features were: enabled, in today's form. What a disabled node lists counts
 * for nothing, as with Kafka; features that are in force stay as they are. */
static bool
feature_is_well(struct controller *c)
{
	struct znode_feature feature;

	if (!znode_feature_decode(c->op->answer, &feature)) {
		diag_warn(c->setup.diag, controller,
		    "/feature cannot be read: left as it is");
		return (true);
	}
	if (feature.enabled && feature.version < FEATURE_VERSION &&
	    feature.feature_count > 0)
		diag_warn(c->setup.diag, controller, "/feature has "
		    "features=%zu of version=%d: left as it is",
		    feature.feature_count, (int)feature.version);
	return (feature.enabled && (feature.version >= FEATURE_VERSION ||
	    feature.feature_count > 0));
}

static enum verdict
load_feature(struct task *t)
{
	struct controller *c = controller_of(t);
	const struct znode_feature feature = { .enabled = true,
		.version = FEATURE_VERSION };
	struct buffer json = BUFFER_EMPTY;
	enum verdict verdict;
	int32_t version;
	bool there;

	if (!controller_answered(t, &verdict))
		return (verdict);
	there = c->op->rc == ZK_OK;
	version = c->op->stat.version;
	if (there && feature_is_well(c))
		return (task_next(t, load_watches));
	if (!there && c->op->rc != ZK_NO_NODE)
		return (controller_trouble(t, c->op));
	controller_batch(c);
	c->op = controller_fenced(c, 1);
	znode_feature_encode(&feature, &json);
	if (there)
		zk_multi_set(c->batch, c->op, ZNODE_FEATURE,
		    buffer_slice(&json), version);
	else
		zk_multi_create(c->batch, c->op, ZNODE_FEATURE,
		    buffer_slice(&json), ZK_PERSISTENT);
	buffer_fini(&json);
	return (controller_submit(t, load_watches));
}

/* --- watches and old notifications ---------------------------------------- */

static enum verdict
load_watches(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (c->op->kind == ZK_OP_MULTI && controller_fence_failed(c->op))
		return (controller_resign(t, "another controller was elected"));
	controller_batch(c);
	controller_ops(c, WATCH_COUNT);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		c->ops[c->op_count++] = controller_watch_read(c,
		    (enum controller_watch)i);
	return (controller_submit(t, load_listed));
}

static void
load_ask_brokers(struct controller *c, const struct zk_op *listed)
{
	controller_ops(c, listed->child_count);
	for (size_t i = 0; i < listed->child_count; i++) {
		c->ops[c->op_count] = zk_batch_get(c->batch,
		    znode_join(zk_batch_arena(c->batch), ZNODE_BROKER_IDS,
			listed->children[i]), NULL);
		c->ops[c->op_count++]->cookie =
		    (void *)(uintptr_t)listed->children[i];
	}
}

static enum verdict
load_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	c->node_due = c->ops[WATCH_REASSIGNMENTS]->rc == ZK_OK;
	c->preferred_waits = c->ops[WATCH_PREFERRED]->rc == ZK_OK;
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	controller_batch(c);
	notices_delete(c, WATCH_LOG_DIRS, c->ops[WATCH_LOG_DIRS]);
	notices_delete(c, WATCH_ISR_CHANGES, c->ops[WATCH_ISR_CHANGES]);
	c->listed = c->ops[WATCH_DELETIONS];
	c->names = c->ops[WATCH_TOPICS]->children;
	c->name_count = c->ops[WATCH_TOPICS]->child_count;
	load_ask_brokers(c, c->ops[WATCH_BROKERS]);
	return (controller_submit(t, load_brokers));
}

/* --- brokers -------------------------------------------------------------- */

static void
load_broker(struct controller *c, int32_t id, const struct zk_op *read)
{
	struct live_broker *broker = context_add_broker(c, id, read);

	/* What a broker that has just started is told of first, it takes for
	 * all that there is. */
	if (broker != NULL)
		broker->newcomer = returns_recent(c, id) ||
		    (id == c->setup.broker_id &&
		    cluster_image(c->setup.cluster)->untold);
	if (c->setup.options->evidence_brokers_enable)
		witness_call(c, id, (struct registered){
		    .epoch = read->stat.czxid, .mzxid = read->stat.mzxid });
}

static enum verdict
load_brokers(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;
	int32_t id;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct zk_op *read = c->ops[i];

		if (read->rc == ZK_OK && text_to_int32(slice_of_text(
		    read->cookie), &id))
			load_broker(c, id, read);
		else if (read->rc != ZK_OK && read->rc != ZK_NO_NODE)
			return (controller_trouble(t, read));
	}
	/* What we saw before we were elected counts. */
	suspects_mark(c);
	return (topics_add_run(t, load_topics));
}

/* --- topics, states ------------------------------------------------------- */

static enum verdict
load_topics(struct task *t)
{
	struct controller *c = controller_of(t);

	deletions_take_over(c, c->listed);
	c->walk = mem_alloc((c->context.partition_count + 1) *
	    sizeof(struct partition *));
	c->walk_count = c->next_walk = 0;
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			c->walk[c->walk_count++] = topic->partitions[i];
	}
	return (c->setup.options->takeover_belief_enable ?
	    believe_run(t, load_states) : task_next(t, load_states));
}

static enum verdict
load_states(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	controller_ops(c, BATCH_OPERATIONS);
	while (c->next_walk < c->walk_count && c->op_count < BATCH_OPERATIONS) {
		struct partition *p = c->walk[c->next_walk++];

		if (belief_proved(c, p))
			continue;
		c->ops[c->op_count] = zk_batch_get(c->batch, znode_state_path(
		    zk_batch_arena(c->batch), p->topic->name, p->number),
		    NULL);
		c->ops[c->op_count++]->cookie = p;
	}
	return (c->op_count == 0 ? task_next(t, load_active) :
	    controller_submit(t, load_states_read));
}

static void
load_state(struct controller *c, struct partition *p, const struct zk_op *read)
{
	struct znode_state state;

	if (read->rc == ZK_NO_NODE)
		return;
	if (!znode_state_decode(read->answer, zk_batch_arena(c->batch),
		&state)) {
		diag_error(c->setup.diag, controller, "partition=%s/%d has a "
		    "state that cannot be read: left out",
		    p->topic->name, (int)p->number);
		list_remove(&p->pending);
		return;
	}
	leadership_set(p, &state, read->stat.version);
	p->announce = true;
	if (state.leader_epoch == 0 && read->stat.version == 0)
		load_half_made(c, p, read->stat.czxid);
	returns_state(c, p, read->stat.mzxid);
}

static enum verdict
load_states_read(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++) {
		struct partition *p = c->ops[i]->cookie;

		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
		load_state(c, p, c->ops[i]);
		if (p->written && p->now.controller_epoch > c->epoch)
			return (controller_resign(t, "a later controller wrote "
			    "a partition's state"));
	}
	return (task_next(t, load_states));
}

/* --- in office ------------------------------------------------------------ */

static bool
is_urgent(const struct controller *c, const struct partition *p)
{
	return (!p->written || p->now.leader < 0 ||
	    !replica_live(c, p, p->now.leader));
}

static enum verdict
load_active(struct task *t)
{
	struct controller *c = controller_of(t);

	mem_free(c->walk);
	c->walk = NULL;
	controller_enter(c, CONTROLLER_ACTIVE);
	/* Who died since what was urgent was written led some of that. */
	if (suspects_mark(c))
		brokers_collect(c, false);
	returns_begin(c);
	/* Everybody knows who lives before anybody hears of leaders. */
	orders_brokers_changed(c);
	orders_send(c);
	rewrite_defer(c, is_urgent);
	return (rewrite_run(t, load_rest));
}

/* No leader waits for ISRs that shrink. */
static enum verdict
load_rest(struct task *t)
{
	struct controller *c = controller_of(t);

	rewrite_recall(c);
	return (rewrite_run(t, load_done));
}

static enum verdict
load_done(struct task *t)
{
	struct controller *c = controller_of(t);

	/* Behind the orders to lead. */
	orders_send_everything(c);
	diag_info(c->setup.diag, controller, "broker=%d is controller epoch=%d "
	    "brokers=%zu topics=%zu partitions=%zu", (int)c->setup.broker_id,
	    (int)c->epoch, c->context.broker_count,
	    hash_count(&c->context.topics), c->context.partition_count);
	return (task_next(t, controller_idle));
}
