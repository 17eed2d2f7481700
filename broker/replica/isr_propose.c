/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leader proposes who is in sync; the controller confirms.  A partition:
 *
 *	             a member reached us, or lags
 *	 COMMITTED --------------------------> PROPOSED (queued, sent, again)
 *	     ^                                    |   |
 *	     +--confirmed: as it was written------+   | refused for good, or
 *	     +--this member is not eligible,------+   | another epoch is known
 *	     ^  and pauses: isr_refuse()              |
 *	     ^                                        v
 *	     +---- new leader epoch --------------- GIVEN UP
 *
 * While it is proposed or given up, those who join count for the high watermark
 * and those who leave still do: the controller may have written it.
 *
 * Proposals are made on the setup's loop, where the image tells who lives, with
 * `state` held; answers are taken by workers, with `lock` held as well.
 *
 * Source: Kafka 3.9's Partition (maybeExpandIsr, maybeShrinkIsr,
 * handleAlterPartitionUpdate and -Error); KIP-497, KIP-903.
 */
#include "replica/isr_propose_int.h"

#include <inttypes.h>

#include "base/mem.h"
#include "config/options.h"

/* Until one that was refused, and not for good, is sent once more; then twice
 * as long. */
#define AGAIN_NS_FIRST ((int64_t)50 * NANOS_PER_MILLI)
#define AGAIN_NS_MAX ((int64_t)2000 * NANOS_PER_MILLI)
/* Between two lines about the same refusal. */
#define SAY_MS 60000

static void proposer_look(struct post *post);
static void proposer_tick(struct timer *timer);

static int64_t
proposer_period_ns(const struct isr_proposer *proposer)
{
	int64_t half_ms =
	    proposer->replicas->setup.options->lag_time_max_ms / 2;

	if (half_ms < 1)
		half_ms = 1;
	if (half_ms > INT64_MAX / NANOS_PER_MILLI / 2)
		half_ms = INT64_MAX / NANOS_PER_MILLI / 2;
	return (half_ms * NANOS_PER_MILLI);
}

struct isr_proposer *
isr_proposer_new(struct replicas *replicas, const struct follow_setup *setup)
{
	struct isr_proposer *proposer = mem_zalloc(sizeof(*proposer));

	proposer->replicas = replicas;
	proposer->setup = *setup;
	lock_init(&proposer->lock, LOCK_RANK_LEAF);
	list_init(&proposer->wished);
	list_init(&proposer->queue);
	list_init(&proposer->sent);
	list_init(&proposer->post.link);
	proposer->post.run = proposer_look;
	arena_init(&proposer->arena, 0);
	timer_init(&proposer->timer, replicas->setup.loop, proposer_tick);
	timer_arm_in(&proposer->timer, proposer_period_ns(proposer));
	isr_send_start(proposer);
	return (proposer);
}

static struct replica *
proposer_pop(struct isr_proposer *proposer)
{
	struct list *link;

	lock_take(&proposer->lock);
	link = list_pop_head(&proposer->wished);
	lock_release(&proposer->lock);
	return (link == NULL ? NULL :
			       list_entry(link, struct replica, wish_link));
}

static void
proposals_drop(struct list *list)
{
	struct list *link;

	while ((link = list_pop_head(list)) != NULL)
		proposal_free(list_entry(link, struct proposal, link));
}

void
isr_proposer_stop(struct isr_proposer *proposer)
{
	if (proposer == NULL || proposer->stopped)
		return;
	proposer->stopped = true;
	timer_disarm(&proposer->timer);
	isr_send_stop(proposer);
	proposals_drop(&proposer->queue);
	proposals_drop(&proposer->sent);
}

bool
isr_proposer_at_rest(const struct isr_proposer *proposer)
{
	return (proposer == NULL || (atomic_load(&proposer->busy) == 0 &&
	    !atomic_load(&proposer->posted)));
}

void
isr_proposer_free(struct isr_proposer **place)
{
	struct isr_proposer *gone = *place;
	struct replica *replica;

	*place = NULL;
	if (gone == NULL)
		return;
	while ((replica = proposer_pop(gone)) != NULL)
		replica_unref(replica);
	arena_fini(&gone->arena);
	lock_fini(&gone->lock);
	mem_free(gone);
}

void
isr_wish(struct replica *replica)
{
	struct isr_proposer *proposer = replica->replicas->proposer;

	if (proposer == NULL || replicas_stopped(replica->replicas) ||
	    atomic_exchange(&replica->wished, true))
		return;
	(void)replica_ref(replica);
	lock_take(&proposer->lock);
	list_push_tail(&proposer->wished, &replica->wish_link);
	lock_release(&proposer->lock);
	if (!atomic_exchange(&proposer->posted, true))
		loop_post(proposer->replicas->setup.loop, &proposer->post);
}

/* --- proposing, with `state` held ----------------------------------------- */

void
proposal_free(struct proposal *p)
{
	replica_unref(p->replica);
	mem_free(p->members);
	mem_free(p->answer_isr);
	mem_free(p);
}

static struct proposal *
proposal_new(struct isr_proposer *proposer, struct replica *replica,
    bool shrinks)
{
	struct proposal *p = mem_zalloc(sizeof(*p));

	list_init(&p->link);
	list_init(&p->work.link);
	p->proposer = proposer;
	p->replica = replica_ref(replica);
	p->id = ++proposer->last_id;
	p->leader_epoch = replica->leader_epoch;
	p->partition_epoch = replica->partition_epoch;
	p->shrinks = shrinks;
	p->members = mem_alloc(((size_t)replica->isr.member_count + 1) *
	    sizeof(*p->members));
	p->members[p->member_count++] = (struct proposal_member){
		proposer->replicas->setup.broker_id,
		proposer->setup.broker_epoch(proposer->setup.broker_epoch_arg),
	};
	return (p);
}

/* All that are in sync or join, but for those who leave. */
static void
proposal_fill(struct proposal *p, const struct isr *isr, const int32_t *leave,
    int32_t leave_count)
{
	for (int32_t i = 0; i < isr->member_count; i++) {
		const struct isr_member *member = &isr->members[i];

		if ((member->in_isr || member->joining) &&
		    !isr_lists(leave, leave_count, member->broker))
			p->members[p->member_count++] =
			    (struct proposal_member){ member->broker,
				member->broker_epoch };
	}
}

static bool
propose_allowed(const struct replica *replica)
{
	return (replica->leads && !replica->offline &&
	    replica->proposed == PROPOSED_NOTHING);
}

static void
propose_queue(struct isr_proposer *proposer, struct proposal *p)
{
	list_push_tail(&proposer->queue, &p->link);
	isr_send_wake(proposer);
}

static void
tell_moved(struct replica *replica)
{
	replica_tell_high_watermark(replica);
	replica_wake(replica);
}

/* Only who has just fetched: what another told lies back, and its broker may
 * have another disk since. */
static void
propose_expansion(struct isr_proposer *proposer, struct replica *replica)
{
	const struct cluster_image *image = cluster_image(
	    proposer->replicas->setup.cluster);
	struct isr_moment moment;
	struct proposal *p = NULL;
	struct isr *isr = &replica->isr;
	bool moved = false;

	lock_take(&replica->state);
	moment = replica_moment(replica);
	for (int32_t i = 0; propose_allowed(replica) && i < isr->member_count;
	    i++) {
		struct isr_member *member = &isr->members[i];

		if (!member->reached || !isr_may_join(member, &moment))
			continue;
		if (image_broker(image, member->broker) == NULL) {
			isr_forget(member);
			moved = replica_advance(replica) || moved;
			/* The others are judged by where it is now. */
			moment = replica_moment(replica);
			continue;
		}
		member->joining = true;
		isr->joining_count++;
	}
	for (int32_t i = 0; i < isr->member_count; i++)
		isr->members[i].reached = false;
	if (isr->joining_count > 0 && propose_allowed(replica)) {
		p = proposal_new(proposer, replica, false);
		proposal_fill(p, isr, NULL, 0);
		replica->proposed = p->id;
	}
	if (p != NULL || moved)
		replica_publish(replica);
	lock_release(&replica->state);
	if (p != NULL)
		propose_queue(proposer, p);
	if (moved)
		tell_moved(replica);
}

static void
proposer_look(struct post *post)
{
	struct isr_proposer *proposer = container_of(post,
	    struct isr_proposer, post);
	struct replica *replica;

	atomic_store(&proposer->posted, false);
	while ((replica = proposer_pop(proposer)) != NULL) {
		/* What comes from here on is another wish. */
		atomic_store(&replica->wished, false);
		if (!proposer->stopped)
			propose_expansion(proposer, replica);
		replica_unref(replica);
	}
}

static bool
propose_shrink(void *arg, struct replica *replica)
{
	struct isr_proposer *proposer = arg;
	struct isr *isr = &replica->isr;
	struct proposal *p = NULL;
	struct isr_moment moment;
	int32_t *lagging, count = 0;
	bool moved;

	lock_take(&replica->state);
	if (propose_allowed(replica) && isr->isr_count > 1) {
		moment = replica_moment(replica);
		lagging = mem_alloc(((size_t)isr->member_count + 1) *
		    sizeof(*lagging));
		count = isr_lagging(isr, &moment, lagging);
		if (count > 0) {
			p = proposal_new(proposer, replica, true);
			proposal_fill(p, isr, lagging, count);
			replica->proposed = p->id;
		}
		mem_free(lagging);
	}
	/* One that was about to join may keep up no more. */
	moved = replica_advance(replica);
	if (moved)
		replica_publish(replica);
	lock_release(&replica->state);
	if (p != NULL)
		propose_queue(proposer, p);
	if (moved)
		tell_moved(replica);
	return (true);
}

static void
proposer_tick(struct timer *timer)
{
	struct isr_proposer *proposer = container_of(timer,
	    struct isr_proposer, timer);

	replicas_each(proposer->replicas, propose_shrink, proposer);
	timer_arm_in(timer, proposer_period_ns(proposer));
}

/* --- answers, on workers -------------------------------------------------- */

bool
proposal_stands(const struct proposal *p)
{
	bool stands;

	lock_take(&p->replica->state);
	stands = p->replica->proposed == p->id;
	lock_release(&p->replica->state);
	return (stands);
}

/* `lock` and `state` are held. What was written, if it is not older than what
 * is known here. */
static bool
proposal_commit(const struct proposal *p)
{
	const struct alter_partition_response_partition *answer = &p->answer;
	struct replica *replica = p->replica;
	int32_t own = replica->replicas->setup.broker_id;

	if (answer->leader_epoch != replica->leader_epoch ||
	    answer->leader_id != own ||
	    answer->partition_epoch < replica->partition_epoch ||
	    !isr_commit(&replica->isr, answer->isr, answer->isr_count, own))
		return (false);
	replica->partition_epoch = answer->partition_epoch;
	replica->proposed = PROPOSED_NOTHING;
	replica->refusal_said = ERR_NONE;
	metrics_add(replica->replicas->setup.metrics,
	    p->shrinks ? METRIC_ISR_SHRINKS : METRIC_ISR_EXPANDS, 1);
	return (true);
}

/* `lock` and `state` are held; the high watermark may have moved: true. */
static bool
proposal_apply(struct proposal *p)
{
	struct replica *replica = p->replica;
	enum isr_outcome outcome = isr_judge(p->answer.error_code);

	if (replica->proposed != p->id)
		return (false);
	p->again = outcome == ISR_AGAIN;
	p->unfit = outcome == ISR_COMMIT && !proposal_commit(p);
	if (p->unfit)
		outcome = ISR_GIVE_UP;
	if (outcome == ISR_REVERT) {
		isr_refuse(&replica->isr,
		    replicas_now_ms(replica->replicas));
		replica->proposed = PROPOSED_NOTHING;
	}
	if (outcome == ISR_GIVE_UP)
		replica->proposed = PROPOSED_GIVEN_UP;
	if (outcome != ISR_COMMIT)
		metrics_add(replica->replicas->setup.metrics,
		    METRIC_FAILED_ISR_UPDATES, 1);
	return (replica_advance(replica));
}

/* `state` is held. Who is refused now may be for long: once a minute, or when
 * the error is another, a change was confirmed since or the leader epoch is
 * new. */
static bool
proposal_is_news(const struct proposal *p)
{
	struct replica *replica = p->replica;
	int64_t now_ms = replicas_now_ms(replica->replicas);

	if (isr_judge(p->answer.error_code) != ISR_REVERT)
		return (true);
	if (replica->refusal_said == (enum error)p->answer.error_code &&
	    now_ms - replica->refusal_said_ms < SAY_MS)
		return (false);
	replica->refusal_said = (enum error)p->answer.error_code;
	replica->refusal_said_ms = now_ms;
	return (true);
}

static void
proposal_say(const struct proposal *p, int32_t isr_count)
{
	struct diag *diag = p->replica->replicas->setup.diag;

	if (p->unfit)
		diag_warn(diag, replica, "partition=%s/%d epoch=%d the "
		    "controller confirmed in-sync replicas of another epoch; "
		    "waiting for LeaderAndIsr", p->replica->topic,
		    (int)p->replica->partition, (int)p->leader_epoch);
	else if (p->answer.error_code == ERR_NONE)
		diag_info(diag, replica, "partition=%s/%d epoch=%d isr=%d "
		    "partition_epoch=%d: %s", p->replica->topic,
		    (int)p->replica->partition, (int)p->leader_epoch,
		    (int)isr_count, (int)p->answer.partition_epoch,
		    p->shrinks ? "who lagged was taken out" :
				 "who caught up was taken in");
	else if (!p->again || p->pause_ns == 0)
		diag_warn(diag, replica, "partition=%s/%d epoch=%d the "
		    "controller refused a change of the in-sync replicas "
		    "error=%s; %s", p->replica->topic,
		    (int)p->replica->partition, (int)p->leader_epoch,
		    error_name(p->answer.error_code),
		    p->again ? "again while it leads" :
		    isr_judge(p->answer.error_code) == ISR_REVERT ?
			"another one may be proposed" :
			"waiting for LeaderAndIsr");
}

static void
proposal_run(struct work *work)
{
	struct proposal *p = container_of(work, struct proposal, work);
	struct replica *replica = p->replica;
	int32_t isr_count;
	bool counts, news;

	replica_lock(replica);
	lock_take(&replica->state);
	counts = replica->proposed == p->id;
	(void)proposal_apply(p);
	isr_count = replica->isr.isr_count;
	news = counts && proposal_is_news(p);
	replica_publish(replica);
	lock_release(&replica->state);
	replica_unlock(replica);
	if (!counts)
		return;
	if (news)
		proposal_say(p, isr_count);
	tell_moved(replica);
}

static void
proposal_done(struct work *work)
{
	struct proposal *p = container_of(work, struct proposal, work);
	struct isr_proposer *proposer = p->proposer;

	if (p->again && !proposer->stopped) {
		p->pause_ns = p->pause_ns == 0 ? AGAIN_NS_FIRST :
		    p->pause_ns < AGAIN_NS_MAX / 2 ? 2 * p->pause_ns :
						     AGAIN_NS_MAX;
		p->again_ns = loop_now_ns(work->home) + p->pause_ns;
		propose_queue(proposer, p);
	} else
		proposal_free(p);
	atomic_fetch_sub(&proposer->busy, 1);
}

void
proposal_answered(struct proposal *p,
    const struct alter_partition_response_partition *answer)
{
	mem_free(p->answer_isr);
	p->answer = *answer;
	p->answer_isr = mem_alloc(((size_t)answer->isr_count + 1) *
	    sizeof(*p->answer_isr));
	if (answer->isr_count > 0)
		memcpy(p->answer_isr, answer->isr,
		    (size_t)answer->isr_count * sizeof(*p->answer_isr));
	p->answer.isr = p->answer_isr;
	p->again = false;
	p->work.run = proposal_run;
	p->work.done = proposal_done;
	p->work.home = p->proposer->replicas->setup.loop;
	atomic_fetch_add(&p->proposer->busy, 1);
	work_submit(append_dir_work(p->replica, NULL), &p->work);
}
