/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers come and go.
 *
 *	[list /brokers/ids] --> [read each] --> gone, came, bounced, changed
 *	     gone:  [leaders elected anew] --> [taken out of ISRs]
 *	     came:  told of all --> [what had no leader is elected]
 *
 * A broker whose node has another czxid than before died and came back between
 * two looks: it is treated as both (KAFKA-7235).  Who is gone is handled before
 * who came; everybody hears of the live brokers before any LeaderAndIsr names
 * one of them, as followers need their leader's address.
 */
#include "controller/controller_int.h"

#include <inttypes.h>

#include "base/text.h"

static task_step brokers_listed, brokers_apply, brokers_gone_followers,
    brokers_arrive;

enum verdict
brokers_read(struct task *t)
{
	struct controller *c = controller_of(t);

	controller_batch(c);
	c->op = controller_watch_read(c, WATCH_BROKERS);
	return (controller_submit(t, brokers_listed));
}

static enum verdict
brokers_listed(struct task *t)
{
	struct controller *c = controller_of(t);
	struct zk_op *listed = c->op;
	enum verdict verdict;
	int32_t id;

	if (!controller_answered(t, &verdict))
		return (verdict);
	if (listed->rc != ZK_OK)
		return (controller_trouble(t, listed));
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	controller_batch(c);
	controller_ops(c, listed->child_count);
	for (size_t i = 0; i < listed->child_count; i++) {
		struct live_broker *broker;

		if (!text_to_int32(slice_of_text(listed->children[i]), &id))
			continue;
		broker = context_broker(&c->context, id);
		if (broker != NULL)
			broker->watcher.changed = false;
		c->ops[c->op_count++] = zk_batch_get(c->batch,
		    znode_broker_path(zk_batch_arena(c->batch), id),
		    broker == NULL ? NULL : &broker->watcher);
	}
	return (controller_submit(t, brokers_apply));
}

static int32_t
broker_id_of(const struct zk_op *op)
{
	int32_t id = -1;

	text_to_int32(slice_of_text(op->path + sizeof(ZNODE_BROKER_IDS)), &id);
	return (id);
}

static const struct zk_op *
find_read(const struct controller *c, int32_t id)
{
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i]->rc == ZK_OK && broker_id_of(c->ops[i]) == id)
			return (c->ops[i]);
	return (NULL);
}

static void
watch_over(struct controller *c, const struct live_broker *broker)
{
	if (!c->setup.options->evidence_brokers_enable)
		return;
	witness_call(c, broker->id, (struct registered){
	    .epoch = broker->epoch, .mzxid = broker->mzxid });
}

static void
broker_changed(struct controller *c, struct live_broker *broker,
    const struct zk_op *read)
{
	if (!live_broker_read(broker, read)) {
		diag_error(c->setup.diag, controller, "broker=%d changed its "
		    "registration to what cannot be read: the old one counts",
		    (int)broker->id);
		return;
	}
	diag_info(c->setup.diag, controller,
	    "broker=%d changed its registration", (int)broker->id);
	channel_readdress(broker->channel);
	watch_over(c, broker);
	orders_brokers_changed(c);
}

/* Those gone or bounced leave the context; the number of them. */
static size_t
remove_gone(struct controller *c)
{
	size_t gone = 0;

	for (size_t i = c->context.broker_count; i-- > 0;) {
		struct live_broker *broker = c->context.brokers[i];
		const struct zk_op *read = find_read(c, broker->id);

		if (read != NULL && read->stat.czxid == broker->epoch) {
			if (read->stat.mzxid != broker->mzxid)
				broker_changed(c, broker, read);
			continue;
		}
		diag_info(c->setup.diag, controller, "broker=%d %s epoch=%"
		    PRId64, (int)broker->id, read == NULL ? "is gone" :
		    "was gone and is back", broker->epoch);
		returns_gone(c, broker);
		context_remove_broker(&c->context, broker);
		gone++;
	}
	return (gone);
}

static enum verdict
brokers_apply(struct task *t)
{
	struct controller *c = controller_of(t);
	enum verdict verdict;
	size_t gone;

	if (!controller_answered(t, &verdict))
		return (verdict);
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i]->rc != ZK_OK && c->ops[i]->rc != ZK_NO_NODE)
			return (controller_trouble(t, c->ops[i]));
	gone = remove_gone(c);
	mem_free(c->arrived);
	c->arrived = mem_zalloc((c->op_count + 1) * sizeof(*c->arrived));
	c->arrived_count = 0;
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i]->rc == ZK_OK && context_broker(&c->context,
		    broker_id_of(c->ops[i])) == NULL)
			c->arrived[c->arrived_count++] = c->ops[i];
	/* Their answers are needed until they are taken in. */
	zk_batch_free(&c->list);
	c->list = c->batch;
	c->batch = NULL;
	if (gone > 0) {
		/* A move may have waited for it. */
		c->moves_changed = !list_empty(&c->moving);
		orders_brokers_changed(c);
		return (task_next(t, brokers_gone));
	}
	return (task_next(t, brokers_arrive));
}

/* --- who is gone ---------------------------------------------------------- */

static bool
leader_missing(const struct controller *c, const struct partition *p)
{
	return (p->now.leader < 0 || !replica_live(c, p, p->now.leader));
}

static bool
isr_member_missing(const struct controller *c, const struct partition *p)
{
	for (int32_t i = 0; i < p->now.isr_count; i++)
		if (!replica_live(c, p, p->now.isr[i]))
			return (true);
	return (false);
}

/* A follower outside the ISR went, or has a log again: nothing to write, but to
 * be shown. */
static void
show_followers(struct controller *c, struct partition *p)
{
	for (int32_t i = 0; i < p->replica_count; i++) {
		struct assigned *replica = &p->replicas[i];
		bool lives = replica_live(c, p, replica->broker);

		if (replica->state == REPLICA_ONLINE && !lives)
			replica_enter(replica, REPLICA_OFFLINE);
		else if (replica->state == REPLICA_OFFLINE && lives &&
		    !replica->stopped)
			replica_enter(replica, REPLICA_ONLINE);
		else
			continue;
		orders_show(c, p);
	}
}

/* Of a topic that goes: who is not there cannot delete. */
static void
collect_doomed(struct controller *c, struct partition *p)
{
	for (int32_t i = 0; i < p->replica_count; i++)
		if (!replica_live(c, p, p->replicas[i].broker))
			deletion_fail_replica(c, p, &p->replicas[i]);
}

static void
collect_partition(struct controller *c, struct partition *p, bool leaders_only)
{
	if (topic_doomed(p->topic)) {
		collect_doomed(c, p);
		return;
	}
	if (!p->written) {
		if (!leaders_only)
			rewrite_add(c, p);
		return;
	}
	if (leader_missing(c, p))
		rewrite_add(c, p);
	else if (!leaders_only && isr_member_missing(c, p))
		rewrite_add(c, p);
	else if (!leaders_only)
		show_followers(c, p);
}

void
brokers_collect(struct controller *c, bool leaders_only)
{
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			collect_partition(c, topic->partitions[i],
			    leaders_only);
	}
}

/* First of all, what nobody leads. */
enum verdict
brokers_gone(struct task *t)
{
	brokers_collect(controller_of(t), true);
	return (rewrite_run(t, brokers_gone_followers));
}

static enum verdict
brokers_gone_followers(struct task *t)
{
	brokers_collect(controller_of(t), false);
	return (rewrite_run(t, brokers_arrive));
}

/* --- who came ------------------------------------------------------------- */

/* Its replicas are online; what it may lead again is looked at. */
static void
welcome_partition(struct controller *c, struct partition *p,
    const struct live_broker *broker)
{
	struct assigned *replica = partition_replica(p, broker->id);

	dropped_stop(c, p);
	if (replica == NULL)
		return;
	replica->dir_offline = false;
	replica->stopped = false;
	if (topic_doomed(p->topic)) {
		deletion_resume(c, p->topic);
		return;
	}
	if (!p->written) {
		rewrite_add(c, p);
		return;
	}
	replica_enter(replica, REPLICA_ONLINE);
	orders_replica(c, p, broker);
	if (p->state != PARTITION_ONLINE)
		rewrite_add(c, p);
}

static void
welcome(struct controller *c, const struct live_broker *broker)
{
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count; i++)
			welcome_partition(c, topic->partitions[i], broker);
	}
}

static enum verdict
brokers_arrive(struct task *t)
{
	struct controller *c = controller_of(t);
	size_t count = 0;

	for (size_t i = 0; i < c->arrived_count; i++) {
		struct live_broker *broker = context_add_broker(c,
		    broker_id_of(c->arrived[i]), c->arrived[i]);

		if (broker == NULL)
			continue;
		diag_info(c->setup.diag, controller, "broker=%d came epoch=%"
		    PRId64, (int)broker->id, broker->epoch);
		watch_over(c, broker);
		returns_came(c, broker);
		count++;
	}
	returns_begin(c);
	if (count > 0)
		orders_brokers_changed(c);
	orders_send(c);
	orders_send_everything(c);
	for (size_t i = 0; i < c->arrived_count; i++) {
		struct live_broker *broker = context_broker(&c->context,
		    broker_id_of(c->arrived[i]));

		if (broker != NULL)
			welcome(c, broker);
	}
	c->arrived_count = 0;
	return (rewrite_run(t, controller_idle));
}
