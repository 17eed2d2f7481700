/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders that wait for room on a disk or for a descriptor.  The controller has
 * its answer and does not send them again, so the broker keeps a small copy of
 * each, one a partition, and tries again every second:
 *
 *	             order_settle(): it waits
 *	  [none] ---------------------------------> [kept] --+
 *	     ^                                        |  ^   | a try: it waits
 *	     +----------------------------------------+  +---+
 *	       a try that did it, or found its directory failed;
 *	       a newer order; StopReplica
 *
 *	loop    post --> timer (a second) --> ... <-- done: any left?
 *	worker                                try --^
 *
 * A replica's kept one is the claim's.  The list is for those who look for one
 * without having a claim: what they find they claim, and then look again.
 */
#include "base/mem.h"
#include "replica/order_int.h"

#define AGAIN_NS (INT64_C(1000) * NANOS_PER_MILLI)
/* When none of so many could be carried out, the others wait as well. */
#define AGAIN_AT_ONCE ((size_t)32)

struct order_kept {
	struct list link;
	struct replica *replica; /* a reference */
	struct uuid topic_id;
	bool leader_lives;
	bool reassigned;
	struct leader_and_isr_request_partition_state state; /* of `ids` */
	int32_t ids[]; /* the replicas, then the ISR */
};

static void again_armed(struct post *post);
static void again_due(struct timer *timer);
static void again_run(struct work *work);
static void again_done(struct work *work);

void
orders_again_init(struct replicas *replicas)
{
	struct orders_again *again = &replicas->again;

	lock_init(&again->lock, LOCK_RANK_LEAF);
	list_init(&again->kept);
	again->post.run = again_armed;
	timer_init(&again->timer, replicas->setup.loop, again_due);
	again->work.run = again_run;
	again->work.done = again_done;
	again->work.home = replicas->setup.loop;
}

void
orders_again_stop(struct replicas *replicas)
{
	if (!timer_armed(&replicas->again.timer))
		return;
	timer_disarm(&replicas->again.timer);
	atomic_store(&replicas->again.armed, false);
}

bool
replicas_at_rest(const struct replicas *replicas)
{
	return (!atomic_load(&replicas->again.armed) &&
	    atomic_load(&replicas->drains_under_way) == 0 &&
	    moves_at_rest(replicas) &&
	    fetchers_at_rest(replicas->fetchers) &&
	    isr_proposer_at_rest(replicas->proposer) &&
	    ends_at_rest(replicas->ends));
}

static void
kept_free(struct order_kept *kept)
{
	kept->replica->kept = NULL;
	replica_unref(kept->replica);
	mem_free(kept);
}

void
orders_again_fini(struct replicas *replicas)
{
	struct orders_again *again = &replicas->again;
	struct list *link;

	CHECK(!atomic_load(&again->armed));
	while ((link = list_pop_head(&again->kept)) != NULL)
		kept_free(list_entry(link, struct order_kept, link));
	lock_fini(&again->lock);
}

/* --- one partition's, claimed --------------------------------------------- */

int32_t
order_kept_epoch(const struct replica *replica)
{
	return (replica->kept == NULL ? -1 : replica->kept->state.leader_epoch);
}

bool
order_kept_new(const struct replica *replica, struct uuid topic_id)
{
	return (replica->kept != NULL && replica->kept->state.is_new &&
	    !uuid_is_zero(topic_id) &&
	    uuid_equal(topic_id, replica->kept->topic_id));
}

void
order_forget(struct replica *replica)
{
	struct orders_again *again = &replica->replicas->again;
	struct order_kept *kept = replica->kept;

	if (kept == NULL)
		return;
	lock_take(&again->lock);
	list_remove(&kept->link);
	again->count--;
	lock_release(&again->lock);
	kept_free(kept);
}

bool
order_recall(struct order_row *row)
{
	const struct order_kept *kept = row->replica->kept;

	if (kept == NULL)
		return (false);
	row->topic = slice_of_text(row->replica->topic);
	row->topic_id = kept->topic_id;
	row->state = &kept->state;
	row->leader_lives = kept->leader_lives;
	row->reassigned = kept->reassigned;
	return (true);
}

static struct order_kept *
kept_new(const struct order_row *row)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;
	size_t replicas = (size_t)state->replicas_count;
	size_t isr = (size_t)state->isr_count;
	struct order_kept *kept = mem_zalloc(sizeof(*kept) +
	    (replicas + isr) * sizeof(kept->ids[0]));

	kept->replica = replica_ref(row->replica);
	kept->topic_id = row->topic_id;
	kept->leader_lives = row->leader_lives;
	kept->reassigned = row->reassigned;
	for (size_t i = 0; i < replicas; i++)
		kept->ids[i] = state->replicas[i];
	for (size_t i = 0; i < isr; i++)
		kept->ids[replicas + i] = state->isr[i];
	kept->state = (struct leader_and_isr_request_partition_state){
		.partition_index = state->partition_index,
		.leader = state->leader,
		.leader_epoch = state->leader_epoch,
		.partition_epoch = state->partition_epoch,
		.replicas = kept->ids,
		.replicas_count = state->replicas_count,
		.isr = kept->ids + replicas,
		.isr_count = state->isr_count,
		.is_new = state->is_new,
	};
	return (kept);
}

static void
order_keep(const struct order_row *row)
{
	struct replica *replica = row->replica;
	struct replicas *replicas = replica->replicas;
	struct orders_again *again = &replicas->again;
	bool was_new = order_kept_new(replica, row->topic_id);

	order_forget(replica);
	replica->kept = kept_new(row);
	replica->kept->state.is_new |= was_new;
	lock_take(&again->lock);
	list_push_tail(&again->kept, &replica->kept->link);
	again->count++;
	lock_release(&again->lock);
	diag_warn(replicas->setup.diag, replica,
	    "partition=%s/%d epoch=%d: room or a descriptor is wanted; the "
	    "controller's order is tried again every second",
	    replica->topic, (int)replica->partition,
	    (int)row->state->leader_epoch);
	if (!replicas_stopped(replicas) &&
	    !atomic_exchange(&again->armed, true))
		loop_post(replicas->setup.loop, &again->post);
}

/* Not when the row is an old one that was under way for long. */
static bool
order_replaces(const struct order_row *row, const struct order_kept *kept)
{
	const struct leader_and_isr_request_partition_state *state =
	    row->state;

	if (!uuid_equal(row->topic_id, kept->topic_id))
		return (true);
	if (state->leader_epoch != kept->state.leader_epoch)
		return (state->leader_epoch > kept->state.leader_epoch);
	return (state->partition_epoch >= kept->state.partition_epoch);
}

void
order_settle(const struct order_row *row)
{
	struct order_kept *kept = row->replica->kept;

	if (kept != NULL && !row->again && !order_replaces(row, kept))
		return;
	if (row->error != ORDER_WAITS)
		order_forget(row->replica);
	else if (!row->again)
		order_keep(row);
}

/* --- again ---------------------------------------------------------------- */

static struct replicas *
again_replicas(struct orders_again *again)
{
	return (container_of(again, struct replicas, again));
}

/* On the loop. */
static void
again_arm(struct orders_again *again)
{
	if (replicas_stopped(again_replicas(again)))
		atomic_store(&again->armed, false);
	else
		timer_arm_in(&again->timer, AGAIN_NS);
}

static void
again_armed(struct post *post)
{
	again_arm(container_of(post, struct orders_again, post));
}

static void
again_due(struct timer *timer)
{
	struct orders_again *again = container_of(timer, struct orders_again,
	    timer);

	work_submit(again_replicas(again)->setup.workers, &again->work);
}

static size_t
again_count(struct orders_again *again)
{
	size_t count;

	lock_take(&again->lock);
	count = again->count;
	lock_release(&again->lock);
	return (count);
}

/* They go to the end of the line. */
static size_t
again_take(struct orders_again *again, struct order_row *rows, size_t most)
{
	size_t count = 0;

	lock_take(&again->lock);
	while (count < most && count < again->count) {
		struct list *link = list_pop_head(&again->kept);

		list_push_tail(&again->kept, link);
		rows[count] = (struct order_row){
			.replica = replica_ref(list_entry(link,
			    struct order_kept, link)->replica),
			.again = true,
		};
		if (count > 0)
			rows[count - 1].next = &rows[count];
		count++;
	}
	lock_release(&again->lock);
	return (count);
}

static void
again_run(struct work *work)
{
	struct orders_again *again = container_of(work, struct orders_again,
	    work);
	struct replicas *replicas = again_replicas(again);
	struct order_row rows[AGAIN_AT_ONCE];
	size_t left = again_count(again);
	bool moved = true;

	while (left > 0 && moved && !replicas_stopped(replicas)) {
		size_t count = again_take(again, rows,
		    left < AGAIN_AT_ONCE ? left : AGAIN_AT_ONCE);

		if (count == 0)
			return;
		order_rows_run(replicas, rows);
		moved = false;
		for (size_t i = 0; i < count; i++)
			moved |= rows[i].error != ORDER_WAITS;
		left -= count;
	}
}

static void
again_done(struct work *work)
{
	struct orders_again *again = container_of(work, struct orders_again,
	    work);

	waitq_wake(&container_of(again, struct replicas, again)->led);
	if (again_count(again) > 0) {
		again_arm(again);
		return;
	}
	atomic_store(&again->armed, false);
	/* One that was kept meanwhile saw it armed. */
	if (again_count(again) > 0 && !atomic_exchange(&again->armed, true))
		again_arm(again);
}
