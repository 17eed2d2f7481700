/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replication that is held back (KIP-73): what catches up leaves room for what
 * keeps up.
 *
 *	a leader     answers a follower that is not in sync without records
 *	a follower   does not ask for what it is behind in
 *	a move       pauses (move.c)
 *
 * each while more than its limit went through in the last seconds.  The topic's
 * config says which partitions count.
 *
 * Source: Kafka 3.9's ReplicationQuotaManager, ReplicaManager.
 * shouldLeaderThrottle, RemoteLeaderEndPoint.shouldFollowerThrottle.
 */
#include "config/options.h"
#include "replica/replica_int.h"

void
throttles_init(struct replicas *replicas)
{
	const struct quota_options *quota =
	    &replicas->setup.broker_options->quota;

	throttle_init(&replicas->to_followers, quota->replication_window_count,
	    quota->replication_window_seconds,
	    quota->leader_replication_throttled_rate);
	throttle_init(&replicas->from_leaders, quota->replication_window_count,
	    quota->replication_window_seconds,
	    quota->follower_replication_throttled_rate);
	throttle_init(&replicas->between_dirs,
	    quota->alter_log_dirs_window_count,
	    quota->alter_log_dirs_window_seconds,
	    quota->alter_log_dirs_io_max_bytes_per_second);
}

void
throttles_fini(struct replicas *replicas)
{
	throttle_fini(&replicas->to_followers);
	throttle_fini(&replicas->from_leaders);
	throttle_fini(&replicas->between_dirs);
}

void
replicas_set_throttles(struct replicas *replicas,
    const struct quota_options *quota)
{
	throttle_set_limit(&replicas->to_followers,
	    quota->leader_replication_throttled_rate);
	throttle_set_limit(&replicas->from_leaders,
	    quota->follower_replication_throttled_rate);
	throttle_set_limit(&replicas->between_dirs,
	    quota->alter_log_dirs_io_max_bytes_per_second);
}

/* --- as a leader ---------------------------------------------------------- */

static bool
throttled_as_leader(struct replica *replica)
{
	struct replica_rules rules;

	replica_rules(replica, &rules);
	return (rules.throttled_as_leader);
}

/* As the controller confirmed it. */
static bool
has_in_sync(struct replica *replica, int32_t follower)
{
	const struct isr_member *member;
	bool in_sync;

	lock_take(&replica->state);
	member = isr_member(&replica->isr, follower);
	in_sync = member != NULL && member->in_isr;
	lock_release(&replica->state);
	return (in_sync);
}

bool
replica_holds_back(struct replica *replica, int32_t follower)
{
	struct replicas *replicas = replica->replicas;

	/* Most have no limit, which is seen at once. */
	return (throttle_exceeded(&replicas->to_followers,
		    replicas_now_ms(replicas)) &&
	    throttled_as_leader(replica) &&
	    !has_in_sync(replica, follower));
}

void
replica_note_sent(struct replica *replica, size_t bytes)
{
	struct replicas *replicas = replica->replicas;

	if (bytes > 0 && throttled_as_leader(replica))
		throttle_note(&replicas->to_followers, (int64_t)bytes,
		    replicas_now_ms(replicas));
}

/* --- as a follower -------------------------------------------------------- */

static bool
throttled_as_follower(struct replica *replica)
{
	struct replica_rules rules;

	replica_rules(replica, &rules);
	return (rules.throttled_as_follower);
}

bool
replica_fetches_later(struct replica *replica)
{
	struct replicas *replicas = replica->replicas;

	return (atomic_load(&replica->fetch_lag) != 0 &&
	    throttled_as_follower(replica) &&
	    throttle_exceeded(&replicas->from_leaders,
		replicas_now_ms(replicas)));
}

void
replica_note_fetched(struct replica *replica, size_t bytes)
{
	struct replicas *replicas = replica->replicas;

	if (bytes > 0 && throttled_as_follower(replica))
		throttle_note(&replicas->from_leaders, (int64_t)bytes,
		    replicas_now_ms(replicas));
}
