/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One partition's role: how it changes, what of it readers see, and the high
 * watermark.
 *
 * Source: Kafka 3.9's Partition (makeLeader, makeFollower,
 * maybeIncrementLeaderHW); KIP-101 for the epoch that a leader begins with.
 */
#include "replica/order_int.h"

#include "config/options.h"
#include "replica/follow.h"

/* --- what readers see ----------------------------------------------------- */

void
replica_look(const struct replica *replica, struct replica_sight *out)
{
	uint64_t words[SIGHT_WORDS];
	unsigned sequence;
	int64_t start = -1;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);

	/* Retention moves the start without our locks, but never beyond the
	 * high watermark: read first, it is not above the one read next. */
	if (log != NULL)
		start = log_start_offset(log);
	sequence = words_read(&replica->sight_sequence, replica->sight, words,
	    SIGHT_WORDS);
	memcpy(out, words, sizeof(*out));
	out->sequence = sequence;
	out->view.log_start_offset = start;
	out->view.stable_offset = isr_stable_offset(start,
	    out->view.high_watermark, out->first_unstable);
	if (log != NULL && log_failed(log))
		out->view.offline = true;
}

void
replica_publish(struct replica *replica)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);
	struct replica_sight sight = {
		.view = {
			.end_offset = replica->end_offset,
			.high_watermark = replica->high_watermark,
			.leader_epoch_start = replica->leader_epoch_start,
			.leader_epoch = replica->leader_epoch,
			.leader = replica->leader,
			.leads = replica->leads,
			.offline = replica->offline,
		},
		.first_unstable = log == NULL ? INT64_MAX :
		    log_first_unstable(log, replica->high_watermark),
		.leads_since = replica->leads_since,
		.isr_count = replica->isr.isr_count,
		.maximal_isr_count =
		    replica->isr.isr_count + replica->isr.joining_count,
		.replica_count = replica->isr.replica_count,
	};
	uint64_t words[SIGHT_WORDS] = { 0 };

	memcpy(words, &sight, sizeof(sight));
	words_write(&replica->sight_sequence, replica->sight, words,
	    SIGHT_WORDS);
}

void
replica_view(const struct replica *replica, struct replica_view *out)
{
	struct replica_sight sight;

	CHECK_MAGIC(replica, REPLICA_MAGIC);
	replica_look(replica, &sight);
	*out = sight.view;
}

/* --- the high watermark --------------------------------------------------- */

int32_t
replica_min_isr(const struct replica *replica, int32_t replica_count)
{
	int32_t least = atomic_load_explicit(&replica->min_insync,
	    memory_order_relaxed);

	return (least < replica_count ? least : replica_count);
}

struct isr_moment
replica_moment(const struct replica *replica)
{
	const struct replicas *replicas = replica->replicas;

	return ((struct isr_moment){
		.leader_end = replica->end_offset,
		.high_watermark = replica->high_watermark,
		.leader_epoch_start = replica->leader_epoch_start,
		.now_ms = replicas_now_ms(replicas),
		.lag_time_max_ms = replicas->setup.options->lag_time_max_ms,
	});
}

bool
replica_advance(struct replica *replica)
{
	struct isr_moment moment;
	int64_t least;

	/* Of a leader it only rises, and never above the end. */
	if (!replica->leads || replica->high_watermark >= replica->end_offset ||
	    replica->isr.isr_count <
		replica_min_isr(replica, replica->isr.replica_count))
		return (false);
	least = replica->end_offset;
	if (replica->isr.member_count > 0) {
		moment = replica_moment(replica);
		least = isr_high_watermark(&replica->isr, &moment);
	}
	if (least <= replica->high_watermark)
		return (false);
	replica->high_watermark = least;
	return (true);
}

bool
replica_end_moved(struct replica *replica)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	bool moved;

	lock_take(&replica->state);
	replica->end_offset = log_end_offset(log);
	moved = replica_advance(replica);
	replica_publish(replica);
	lock_release(&replica->state);
	return (moved);
}

/* One word of the sight, which is whole by itself. */
static int64_t
sight_high_watermark(const struct replica *replica)
{
	_Static_assert(offsetof(struct replica_sight, view.high_watermark) %
		8 == 0, "a word of its own");
	return ((int64_t)atomic_load_explicit(
	    &replica->sight[offsetof(struct replica_sight,
		view.high_watermark) / 8], memory_order_acquire));
}

/* Two may come here at once, the one with the older value last: whoever has
 * told looks again. */
void
replica_tell_high_watermark(struct replica *replica)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);
	int64_t known = sight_high_watermark(replica);
	int64_t told = -1;

	while (log != NULL && known != told) {
		told = known;
		log_set_high_watermark(log, told);
		known = sight_high_watermark(replica);
	}
}

void
replica_wake(struct replica *replica)
{
	waitq_wake(&replica->acked);
	waitq_wake(&replica->readable);
	waitq_wake(&replica->trimmed);
}

void
replica_set_offline(struct replica *replica)
{
	bool news;

	lock_take(&replica->state);
	news = !replica->offline;
	replica->offline = true;
	replica_publish(replica);
	lock_release(&replica->state);
	if (!news)
		return;
	diag_error(replica->replicas->setup.diag, replica,
	    "partition=%s/%d offline: its log directory failed; clients get "
	    "KAFKA_STORAGE_ERROR until another replica leads",
	    replica->topic, (int)replica->partition);
	replica_wake(replica);
	replica_tell_role(replica);
}

/* Under `state`, so that two who tell do not overtake each other. */
void
replica_tell_role(struct replica *replica)
{
	int32_t since, epoch;

	lock_take(&replica->state);
	since = replica->leads && !replica->offline ? replica->leads_since :
						      -1;
	epoch = since >= 0 ? since : replica->leader_epoch;
	if (since != replica->told_since) {
		LIST_EACH(element, &replica->replicas->watches) {
			struct role_watch *watch = list_entry(element,
			    struct role_watch, link);

			if (strcmp(watch->topic, replica->topic) == 0)
				watch->changed(watch->arg, replica->partition,
				    since >= 0, epoch);
		}
		replica->told_since = since;
	}
	lock_release(&replica->state);
}

/* --- followers' progress -------------------------------------------------- */

bool
replica_has_follower(struct replica *replica, int32_t follower)
{
	bool has;

	lock_take(&replica->state);
	has = isr_member(&replica->isr, follower) != NULL;
	lock_release(&replica->state);
	return (has);
}

bool
replica_adds_follower(struct replica *replica, int32_t follower)
{
	const struct isr_member *member;
	bool added;

	if (!atomic_load(&replica->reassigned))
		return (false);
	lock_take(&replica->state);
	member = isr_member(&replica->isr, follower);
	added = member != NULL && member->added;
	lock_release(&replica->state);
	return (added);
}

enum error
replica_follower_fetched(struct replica *replica, int32_t follower,
    const struct isr_fetch *fetch)
{
	struct isr_member *member;
	enum error error = ERR_NONE;
	bool moved = false, trimmed = false, joins = false;
	struct isr_moment moment;
	int64_t start;

	lock_take(&replica->state);
	member = isr_member(&replica->isr, follower);
	start = member == NULL ? -1 : member->start_offset;
	/* A fetch may take its time: of a leadership that is over it tells
	 * nothing, for the follower may have been cut since. */
	if (!replica->leads || member == NULL ||
	    fetch->leader_epoch < replica->leads_since ||
	    !isr_fetched(member, fetch)) {
		error = ERR_NOT_LEADER_OR_FOLLOWER;
	} else {
		trimmed = member->start_offset != start;
		moved = replica_advance(replica);
		if (moved)
			replica_publish(replica);
		if (!member->in_isr && !member->joining &&
		    replica->proposed == PROPOSED_NOTHING) {
			moment = replica_moment(replica);
			joins = isr_may_join(member, &moment);
			member->reached = joins;
		}
	}
	lock_release(&replica->state);
	if (joins)
		isr_wish(replica);
	if (trimmed)
		waitq_wake(&replica->trimmed);
	if (moved) {
		replica_tell_high_watermark(replica);
		replica_wake(replica);
	}
	return (error);
}

int64_t
replica_low_watermark(struct replica *replica)
{
	const struct cluster_image *image = cluster_image(
	    replica->replicas->setup.cluster);
	int64_t copy = atomic_load(&replica->copy_start_offset);
	struct log *log = replica_log(replica);
	int64_t least = -1;

	lock_take(&replica->state);
	if (replica->leads && log != NULL)
		least = log_start_offset(log);
	if (copy < least)
		least = copy;
	for (int32_t i = 0; i < replica->isr.member_count; i++) {
		const struct isr_member *member = &replica->isr.members[i];

		if (member->start_offset < least &&
		    image_broker(image, member->broker) != NULL)
			least = member->start_offset;
	}
	lock_release(&replica->state);
	return (least);
}

/* --- a follower's own ----------------------------------------------------- */

void
replica_followed(struct replica *replica, int64_t leader_high_watermark)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);

	lock_take(&replica->state);
	replica->end_offset = log_end_offset(log);
	/* Downwards too: a new leader may not know better yet. */
	replica->high_watermark = follow_high_watermark(
	    leader_high_watermark >= 0 ? leader_high_watermark :
					 replica->high_watermark,
	    log_start_offset(log), replica->end_offset);
	replica_publish(replica);
	lock_release(&replica->state);
	replica_tell_high_watermark(replica);
}

/* --- becoming ------------------------------------------------------------- */

/* The first time: what was checkpointed, within the log. */
static void
role_know_high_watermark(struct replica *replica, struct log *log)
{
	int64_t known, start = log_start_offset(log),
	    end = log_end_offset(log);

	if (replica->high_watermark_known)
		return;
	known = storage_checkpointed_high_watermark(
	    replica->replicas->setup.storage, replica->topic,
	    replica->partition);
	lock_take(&replica->state);
	replica->high_watermark = known < start ? start :
	    known > end                         ? end :
						  known;
	replica->high_watermark_known = true;
	lock_release(&replica->state);
}

static void
role_say(const struct replica *replica, const char *what)
{
	struct replica_sight sight;

	replica_look(replica, &sight);
	diag_info(replica->replicas->setup.diag, replica,
	    "partition=%s/%d %s leader=%d epoch=%d end=%lld hw=%lld isr=%d",
	    replica->topic, (int)replica->partition, what,
	    (int)sight.view.leader, (int)sight.view.leader_epoch,
	    (long long)sight.view.end_offset,
	    (long long)sight.view.high_watermark, (int)sight.isr_count);
}

static bool
role_adds(const struct role *role, int32_t broker)
{
	return (isr_lists(role->added, role->added_count, broker));
}

/* Who leaves and is not waited for would be taken in by its fetches. */
static bool
role_fetches(const struct replicas *replicas, const struct role *role)
{
	return (replicas->follow != NULL &&
	    (!atomic_load(&replicas->leaving) ||
		isr_lists(role->isr, role->isr_count,
		    replicas->setup.broker_id)));
}

/* `state` is held. */
static void
role_set(struct replica *replica, const struct role *role, struct log *log)
{
	replica->leader = role->leader;
	replica->leader_epoch = role->leader_epoch;
	replica->partition_epoch = role->partition_epoch;
	replica->end_offset = log_end_offset(log);
	replica->leader_epoch_start = replica->end_offset;
	/* A cut that failed half-way may have left it above. */
	if (replica->high_watermark > replica->end_offset)
		replica->high_watermark = replica->end_offset;
	replica->proposed = PROPOSED_NOTHING;
	replica->refusal_said = ERR_NONE;
	replica->offline = false;
	atomic_store(&replica->reassigned, role->reassigned);
	atomic_store(&replica->added, role_adds(role,
	    replica->replicas->setup.broker_id));
	for (int32_t i = 0; i < replica->isr.member_count; i++)
		replica->isr.members[i].added = role_adds(role,
		    replica->isr.members[i].broker);
}

enum error
replica_lead(struct replica *replica, const struct role *role)
{
	struct replicas *replicas = replica->replicas;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	/* In an epoch that passed it by another may have led: what followers
	 * told before says nothing then.  While it was offline it was told not
	 * to lead: what begins now is another leadership. */
	bool led = replica->leads && !replica->offline &&
	    role->leader_epoch == replica->leader_epoch + 1;
	struct isr isr, before;
	enum error error;

	if (!isr_assign(&isr, role->replicas, role->replica_count, role->isr,
		role->isr_count, replicas->setup.broker_id))
		return (ERR_UNKNOWN_SERVER_ERROR);
	if (!led && replicas->follow != NULL)
		replicas->follow->end(replicas->follow_arg, replica);
	role_know_high_watermark(replica, log);
	/* On disk before the first batch that carries the epoch. */
	error = log_assign_epoch_later(log, role->leader_epoch,
	    log_end_offset(log));
	if (error != ERR_NONE) {
		isr_fini(&isr);
		if (!log_failed(log))
			return (ORDER_WAITS);
		replica_set_offline(replica);
		return (ERR_KAFKA_STORAGE_ERROR);
	}
	lock_take(&replica->state);
	before = replica->isr;
	isr_reset(&isr, led ? &before : NULL, replicas_now_ms(replicas));
	replica->isr = isr;
	role_set(replica, role, log);
	if (!led)
		replica->leads_since = role->leader_epoch;
	replica->leads = true;
	(void)replica_advance(replica);
	replica_publish(replica);
	lock_release(&replica->state);
	isr_fini(&before);
	if (!led)
		atomic_store(&replicas->led_ns, clock_mono_ns(replicas->clock));
	role_say(replica, led ? "goes on as leader" : "became leader");
	replica_tell_high_watermark(replica);
	replica_wake(replica);
	return (ERR_NONE);
}

enum error
replica_follow(struct replica *replica, const struct role *role)
{
	struct replicas *replicas = replica->replicas;
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_relaxed);
	struct isr before;

	if (replicas->follow != NULL)
		replicas->follow->end(replicas->follow_arg, replica);
	role_know_high_watermark(replica, log);
	lock_take(&replica->state);
	before = replica->isr;
	replica->isr = (struct isr){ 0 };
	role_set(replica, role, log);
	replica->leads = false;
	replica->leads_since = -1;
	replica_publish(replica);
	lock_release(&replica->state);
	isr_fini(&before);
	role_say(replica, "became follower");
	replica_tell_high_watermark(replica);
	replica_wake(replica);
	if (role_fetches(replicas, role))
		replicas->follow->begin(replicas->follow_arg, replica,
		    role->leader, role->leader_epoch);
	return (ERR_NONE);
}

void
replica_stop_following(struct replica *replica)
{
	struct replicas *replicas = replica->replicas;

	if (replicas->follow != NULL)
		replicas->follow->end(replicas->follow_arg, replica);
}

void
replica_retire(struct replica *replica)
{
	struct isr before;

	replica_stop_following(replica);
	lock_take(&replica->state);
	before = replica->isr;
	replica->isr = (struct isr){ 0 };
	replica->leads = false;
	replica->leader = replica->leader_epoch = replica->leads_since = -1;
	replica->partition_epoch = -1;
	replica->proposed = PROPOSED_NOTHING;
	/* Also of one that another leads: its epochs mean nothing any more. */
	replica->told_since = -2;
	replica_publish(replica);
	lock_release(&replica->state);
	isr_fini(&before);
}
