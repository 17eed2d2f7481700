/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leadership goes back to preferred replicas from time to time
 * (auto.leader.rebalance.enable): of each broker that leads too little of what
 * it is the preferred leader of, all that it can lead now, a bounded number at
 * once.  The first look is soon after the election, as in Kafka.
 * Source: KafkaController.checkAndTriggerAutoLeaderRebalance of 3.9.
 */
#include "controller/controller_int.h"

#define FIRST_NS ((int64_t)5 * 1000000000)
#define SECONDS_MAX ((int64_t)1000000000)

static task_step balance_written;

bool
balance_due(size_t preferred, size_t displaced, int32_t percentage)
{
	return (displaced > 0 && (int64_t)displaced * 100 >
	    (int64_t)preferred * percentage);
}

int64_t
balance_time(struct controller *c)
{
	if (!c->setup.options->auto_leader_rebalance_enable)
		return (0);
	if (c->balance_ns == 0)
		c->balance_ns = loop_now_ns(c->setup.loop) + FIRST_NS;
	return (c->balance_ns);
}

/* The broker that is to lead it; NULL: it does not live, as far as this
 * controller has heard, or nobody is to. */
static struct live_broker *
preferred_broker(const struct controller *c, const struct partition *p)
{
	struct live_broker *broker;

	if (!p->written || p->replica_count == 0 || topic_doomed(p->topic))
		return (NULL);
	broker = context_broker(&c->context, p->replicas[0].broker);
	return (broker != NULL && broker->heard ? broker : NULL);
}

static bool
is_displaced(const struct partition *p)
{
	return (p->now.leader != p->replicas[0].broker);
}

static void
count_partition(const struct controller *c, const struct partition *p)
{
	struct live_broker *broker = preferred_broker(c, p);

	if (broker == NULL)
		return;
	broker->preferred++;
	broker->displaced += is_displaced(p);
}

static void
count_all(const struct controller *c)
{
	for (size_t i = 0; i < c->context.broker_count; i++)
		c->context.brokers[i]->preferred =
		    c->context.brokers[i]->displaced = 0;
	HASH_EACH(node, &c->context.topics) {
		const struct topic *topic = container_of(node, struct topic,
		    node);

		for (size_t i = 0; i < topic->partition_count; i++)
			count_partition(c, topic->partitions[i]);
	}
}

/* Who has no leader is elected one without us; who moves will have another. */
static bool
can_go_back(const struct controller *c, const struct partition *p)
{
	const struct live_broker *broker = preferred_broker(c, p);

	return (broker != NULL && is_displaced(p) && p->now.leader >= 0 &&
	    replica_live(c, p, p->now.leader) &&
	    p->adding_count + p->removing_count == 0 &&
	    partition_in_isr(p, broker->id) &&
	    replica_stays(c, p, broker->id) &&
	    balance_due(broker->preferred, broker->displaced,
		c->setup.options->leader_imbalance_per_broker_percentage));
}

enum verdict
balance_run(struct task *t)
{
	struct controller *c = controller_of(t);
	int64_t seconds =
	    c->setup.options->leader_imbalance_check_interval_seconds;
	size_t count = 0;

	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	c->balance_ns = loop_now_ns(task_loop(t)) + seconds * 1000000000;
	count_all(c);
	HASH_EACH(node, &c->context.topics) {
		struct topic *topic = container_of(node, struct topic, node);

		for (size_t i = 0; i < topic->partition_count &&
		     count < BATCH_OPERATIONS; i++) {
			struct partition *p = topic->partitions[i];

			if (!can_go_back(c, p))
				continue;
			p->wish = WISH_PREFERRED;
			rewrite_add(c, p);
			count++;
		}
	}
	if (count == 0)
		return (task_next(t, controller_idle));
	diag_info(c->setup.diag, controller, "partitions=%zu go back to their "
	    "preferred leaders", count);
	return (rewrite_run_fresh(t, balance_written));
}

static enum verdict
balance_written(struct task *t)
{
	wishes_forget(controller_of(t));
	return (task_next(t, controller_idle));
}
