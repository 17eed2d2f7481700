/* SPDX-License-Identifier: Apache-2.0 */
/* Brokers that come back sooner than is known who else lives, or unseen, or
 * first of all, and perhaps with another disk. */
#include "tests/replay/scripts.h"

#include <stdio.h>

/* The first one from there that is none of these. */
static int
none_of(int id, int a, int b, int c)
{
	while (id == a || id == b || id == c)
		id++;
	return (id);
}

/* Of three replicas, of which the last one is in sync no more. */
static void
put_topic_left(struct replay *r, const char *name, int a, int b, int out)
{
	struct seen seen;

	put_topic_of(r, name, (int32_t[]){ a, b, out }, 3);
	replay_run(r, 1000);
	see(r, &seen, name);
	if (alter(r, &seen, (int32_t[]){ a, b }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot leave the ISR", out);
	unsee(&seen);
}

/* --- and comes back sooner than that -------------------------------------- */

struct pair {
	int silent; /* its host died, and nobody sees it */
	int back;   /* died seen, and is back in another session */
};

/* Its next process closes the session first of all. */
static void
unregister(struct replay *r, int id)
{
	char path[64];

	snprintf(path, sizeof(path), ZNODE_BROKER_IDS "/%d", id);
	zk_fake_delete(r->fake, path);
}

static struct pair
die_and_come_back(struct replay *r, bool session, bool wiped)
{
	struct pair pair;
	int active;

	make_cluster(r);
	active = replay_active(r);
	pair.silent = some_plane(r, active);
	pair.back = some_other(r, active, pair.silent);
	put_config(r, NULL, NULL);
	if (random_below(&r->random, 2) == 0)
		put_topic(r, "t5", pair.silent, pair.back);
	else
		put_topic(r, "t5", pair.back, pair.silent);
	replay_run(r, 1000);
	fall_silent(r, pair.silent, true, session);
	replay_run(r, 1000);
	replay_kill(r, pair.back);
	replay_run(r, 500);
	must_lead_t5(r, pair.silent, true);
	unregister(r, pair.back);
	replay_run(r, some_ms(r, 300));
	if (wiped)
		replay_wipe(r, pair.back);
	replay_start(r, pair.back);
	replay_run(r, 1000);
	if (!is_registered(r, pair.silent))
		replay_fault(r, "b%d's session is over", pair.silent);
	return (pair);
}

/* It has all that was acknowledged, and leads as soon as nobody else can. */
static void
script_return(struct replay *r)
{
	struct pair pair = die_and_come_back(r, true, false);

	struct seen seen;

	must_be_in_sync(r, 2);
	must_lead_t5(r, pair.silent, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.back, true);
	must_be_in_sync(r, 1);
	fall_silent(r, pair.silent, false, true);
	replay_run(r, SETTLE_MS);
	/* It goes on, though the other one is in sync now and answers. */
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ pair.back, pair.silent }, 2, 0) !=
	    ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", pair.silent);
	unsee(&seen);
	replay_kill(r, some_other(r, replay_active(r), pair.back));
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.back, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* Who leads lives and answers: it must be in sync anew. */
static void
script_return_answered(struct replay *r)
{
	struct pair pair = die_and_come_back(r, true, false);

	fall_silent(r, pair.silent, false, true);
	replay_run(r, 1500);
	must_be_in_sync(r, 1);
	must_lead_t5(r, pair.silent, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.silent, true);
}

/* Who leads neither answers nor goes: it follows that one meanwhile. */
static void
script_return_late(struct replay *r)
{
	struct pair pair = die_and_come_back(r, false, false);

	must_be_in_sync(r, 2);
	replay_run(r, 40000);
	must_be_in_sync(r, 2);
	must_lead_t5(r, pair.silent, true);
	fall_silent(r, pair.silent, false, false);
	replay_run(r, SETTLE_MS);
	must_be_in_sync(r, 1);
	must_lead_t5(r, pair.silent, true);
}

/* A third one of the ISR was never away: that one leads. */
static void
script_return_third(struct replay *r)
{
	int active, silent, back, third;
	struct seen seen;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	back = some_other(r, active, silent);
	third = none_of(1, active, silent, back);
	put_topic_of(r, "t5", (int32_t[]){ silent, back, third }, 3);
	replay_run(r, 1000);
	fall_silent(r, silent, true, true);
	replay_run(r, 1000);
	replay_kill(r, back);
	replay_run(r, 500);
	unregister(r, back);
	replay_run(r, some_ms(r, 300));
	replay_start(r, back);
	replay_run(r, 1000);
	must_lead_t5(r, silent, true);
	must_be_in_sync(r, 2);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, third, true);
	must_be_in_sync(r, 1);
	fall_silent(r, silent, false, true);
	replay_run(r, SETTLE_MS);
	/* Whoever has caught up is in sync as any other. */
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ third, back, silent }, 3, 0) !=
	    ERR_NONE)
		replay_fault(r, "b%d and b%d cannot be in sync", back, silent);
	unsee(&seen);
	replay_kill_bounced(r, silent);
	replay_run(r, 1000);
	must_be_in_sync(r, 2);
	must_lead_t5(r, third, true);
	replay_start(r, silent);
	replay_run(r, SETTLE_MS);
}

/* Nor does anybody lead meanwhile from outside the ISR of what only it can. */
static void
script_return_unclean(struct replay *r)
{
	int active, silent, back, gone, out;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	back = some_other(r, active, silent);
	gone = none_of(1, active, silent, back);
	out = none_of(gone + 1, active, silent, back);
	put_topic(r, "t5", silent, back);
	put_topic_left(r, "t6", gone, back, out);
	fall_silent(r, silent, true, false);
	fall_silent(r, gone, true, true);
	replay_run(r, 1000);
	replay_kill(r, back);
	replay_run(r, 500);
	unregister(r, back);
	replay_run(r, 300);
	replay_start(r, back);
	for (int i = 0; i < 50; i++) {
		replay_run(r, 1000);
		if (leader_of(r, "t6") == out)
			replay_fault(r, "b%d leads t6, and was not in sync",
			    out);
	}
	if (leader_of(r, "t6") != back)
		replay_fault(r, "b%d does not lead t6", back);
	fall_silent(r, silent, false, false);
	fall_silent(r, gone, false, true);
	replay_run(r, SETTLE_MS);
}

/* Its disk is another one: it leads nothing, and who had all comes back. */
static void
script_return_wiped(struct replay *r)
{
	struct pair pair = die_and_come_back(r, true, true);

	must_be_in_sync(r, 1);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.back, false);
	fall_silent(r, pair.silent, false, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.silent, true);
}

/* And goes once more, without evidence of how: perhaps it was the host. */
static void
script_return_twice(struct replay *r)
{
	struct pair pair = die_and_come_back(r, true, false);

	must_be_in_sync(r, 2);
	replay_kill_bounced(r, pair.back);
	replay_run(r, 1000);
	must_be_in_sync(r, 1);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, -1, true);
	replay_start(r, pair.back);
	replay_run(r, 5000);
	must_lead_t5(r, pair.back, false);
	fall_silent(r, pair.silent, false, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.silent, true);
}

/* --- and nobody sees that it was away ------------------------------------- */

static void
come_back_unseen(struct replay *r, int id, bool wiped)
{
	replay_kill_bounced(r, id);
	if (wiped)
		replay_wipe(r, id);
	replay_start(r, id);
}

/* Whatever brokers were told of it has another version than the first. */
static void
leave_and_come(struct replay *r, int id, int other)
{
	struct seen seen;

	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ id }, 1, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be alone", id);
	unsee(&seen);
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ id, other }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", other);
	unsee(&seen);
}

/* The controller is dead, and its successor not elected yet. */
static void
script_unseen(struct replay *r)
{
	bool wiped = random_below(&r->random, 2) == 0;
	int active, back, other;

	/* Whose states are all read. */
	if (random_below(&r->random, 2) == 0)
		make_cluster(r);
	else
		replay_run(r, OLD_MS);
	replay_run(r, MOVE_MS);
	active = replay_active(r);
	back = some_plane(r, active);
	other = 6 - active - back;
	put_config(r, NULL, NULL);
	if (random_below(&r->random, 2) == 0)
		put_topic(r, "t5", back, other);
	else
		put_topic(r, "t5", other, back);
	replay_run(r, 1000);
	if (random_below(&r->random, 2) == 0)
		leave_and_come(r, leader_of(r, "t5"), back + other -
		    leader_of(r, "t5"));
	replay_kill(r, active);
	/* Sooner than anybody is elected by the evidence. */
	replay_run(r, some_ms(r, 15));
	r->lacking = wiped;
	come_back_unseen(r, back, wiped);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, other, true);
	must_be_in_sync(r, 1);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
}

/* The dead controller wrote that it was in sync again, and told nobody. */
static void
script_unseen_stale(struct replay *r)
{
	int active, back, other;
	struct seen seen;

	make_cluster(r);
	replay_run(r, MOVE_MS);
	rule_by_leader(r);
	active = replay_active(r);
	back = some_plane(r, active);
	other = 6 - active - back;
	see(r, &seen, "t1");
	if (alter(r, &seen, (int32_t[]){ active, other }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot leave the ISR", back);
	replay_run(r, 500);
	replay_kill(r, active);
	put_state_of_t1(r, &seen.state);
	unsee(&seen);
	r->lacking = random_below(&r->random, 2) == 0;
	r->unfit = back;
	come_back_unseen(r, back, r->lacking);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t1");
	if (seen.state.leader != other || seen.state.isr_count != 1)
		replay_fault(r, "t1/0 is led by b%d with %d in sync, not by "
		    "b%d alone", (int)seen.state.leader,
		    (int)seen.state.isr_count, other);
	unsee(&seen);
	r->unfit = 0;
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
}

/* Both were away, so one of them has to lead. */
static void
script_unseen_both(struct replay *r)
{
	int active, other;

	make_cluster(r);
	active = replay_active(r);
	other = some_plane(r, active);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", active, other);
	replay_run(r, 1000);
	replay_kill_bounced(r, active);
	come_back_unseen(r, other, false);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, -1, false);
}

/* The other one died in the same moment, is registered still, and counts as one
 * that stayed: who is back is let in when it is gone. */
static void
script_unseen_pair(struct replay *r)
{
	bool wiped = random_below(&r->random, 2) == 0;
	struct seen seen;
	int active, back, other;

	make_cluster(r);
	active = replay_active(r);
	back = some_plane(r, active);
	other = some_other(r, active, back);
	put_config(r, NULL, NULL);
	if (random_below(&r->random, 2) == 0)
		put_topic(r, "t5", back, other);
	else
		put_topic(r, "t5", other, back);
	replay_run(r, 1000);
	replay_kill(r, active);
	replay_kill(r, other);
	r->lacking = wiped;
	come_back_unseen(r, back, wiped);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, back, !wiped);
	must_be_in_sync(r, 1);
	replay_start(r, other);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, wiped ? other : back, true);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
	if (wiped)
		return;
	/* It leads on, though the other one is in sync now and answers. */
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ back, other }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", other);
	unsee(&seen);
	replay_kill_bounced(r, active);
	replay_start(r, active);
	replay_run(r, 3000);
	must_lead_t5(r, back, true);
	must_be_in_sync(r, 2);
}

/* It tells of its logs when the rest was worked at, and some of it that was not
 * asked for by then. */
static void
script_unseen_slow(struct replay *r)
{
	int active, silent, back;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	back = some_other(r, active, silent);
	put_topic(r, "t5", silent, back);
	put_topic_of(r, "t6", (int32_t[]){ back }, 1);
	replay_run(r, 1000);
	r->dirs_ms = random_below(&r->random, 2) == 0 ? 2000 : 12000;
	replay_kill(r, active);
	replay_run(r, 3000);
	fall_silent(r, silent, true, true);
	come_back_unseen(r, back, false);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, back, true);
	must_be_in_sync(r, 1);
	if (leader_of(r, "t6") != back)
		replay_fault(r, "b%d does not lead t6", back);
	fall_silent(r, silent, false, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* It goes once more, before the one that was not away has answered: nobody
 * knows how, and perhaps it was the host. */
static void
script_unseen_twice(struct replay *r)
{
	int active, back, other;

	make_cluster(r);
	active = replay_active(r);
	back = some_plane(r, active);
	other = some_other(r, active, back);
	put_topic(r, "t5", other, back);
	replay_run(r, 1000);
	replay_kill(r, active);
	replay_run(r, 2000);
	come_back_unseen(r, back, false);
	fall_silent(r, other, true, true);
	for (int i = 0; i < 100 && replay_active(r) == 0; i++)
		replay_run(r, 100);
	replay_run(r, 700);
	must_lead_t5(r, other, true);
	must_be_in_sync(r, 2);
	replay_kill_bounced(r, back);
	replay_run(r, 700);
	must_be_in_sync(r, 1);
	replay_run(r, SETTLE_MS);
	replay_start(r, back);
	replay_run(r, 5000);
	must_lead_t5(r, back, false);
	fall_silent(r, other, false, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, other, true);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
}

/* Both were away, and nobody is better; or ZooKeeper forgot them, and they were
 * not even that: everything stays as it is, but for the epoch of who leads on,
 * which may have lost what the other one has. */
static void
script_unseen_together(struct replay *r)
{
	int active, first, second;
	int32_t epoch;
	struct seen seen;

	make_cluster(r);
	active = replay_active(r);
	first = some_plane(r, active);
	second = some_other(r, active, first);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", first, second);
	replay_run(r, 1000);
	see(r, &seen, "t5");
	epoch = seen.state.leader_epoch;
	unsee(&seen);
	r->dirs_ms = random_below(&r->random, 2) == 0 ? 1000 : 0;
	replay_kill(r, active);
	if (random_below(&r->random, 2) == 0) {
		come_back_unseen(r, first, false);
		replay_run(r, some_ms(r, 300));
		come_back_unseen(r, second, false);
	} else {
		zk_fake_expire(r->fake, replay_driver(r, first));
		zk_fake_expire(r->fake, replay_driver(r, second));
	}
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t5");
	if (seen.state.leader_epoch != epoch + 1)
		replay_fault(r, "t5/0 has leader epoch %d, not %d",
		    (int)seen.state.leader_epoch, (int)epoch + 1);
	unsee(&seen);
	must_lead_t5(r, -1, false);
	must_be_in_sync(r, 2);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
}

/* Who leads is alone in sync, and was away: what it lost the other one may
 * have, so its next records have another epoch. */
static void
script_unseen_alone(struct replay *r)
{
	int active, leads, other;
	int32_t epoch;
	struct seen seen;

	make_cluster(r);
	active = replay_active(r);
	leads = some_plane(r, active);
	other = 6 - active - leads;
	put_topic(r, "t5", leads, other);
	replay_run(r, 1000);
	see(r, &seen, "t5");
	epoch = seen.state.leader_epoch;
	if (alter(r, &seen, (int32_t[]){ leads }, 1, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be alone", leads);
	unsee(&seen);
	replay_kill(r, active);
	come_back_unseen(r, leads, false);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, leads, true);
	see(r, &seen, "t5");
	if (seen.state.leader_epoch != epoch + 1)
		replay_fault(r, "t5/0 has leader epoch %d, not %d",
		    (int)seen.state.leader_epoch, (int)epoch + 1);
	unsee(&seen);
	replay_start(r, active);
	replay_run(r, SETTLE_MS);
}

/* Of three two were away, and the third one dies before it has answered: those
 * two stay in sync, also when the third one comes and goes once more. */
static void
script_unseen_third(struct replay *r)
{
	int active, leads, back, third;
	struct seen seen;

	make_cluster(r);
	active = replay_active(r);
	leads = some_plane(r, active);
	back = some_other(r, active, leads);
	third = none_of(1, active, leads, back);
	put_topic_of(r, "t5", (int32_t[]){ leads, back, third }, 3);
	replay_run(r, 1000);
	replay_kill(r, active);
	replay_run(r, 2000);
	come_back_unseen(r, leads, false);
	come_back_unseen(r, back, false);
	fall_silent(r, third, true, true);
	for (int i = 0; i < 100 && replay_active(r) == 0; i++)
		replay_run(r, 100);
	if (!is_registered(r, third))
		replay_fault(r, "b%d's session is over", third);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, leads, true);
	must_be_in_sync(r, 2);
	fall_silent(r, third, false, true);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ leads, back, third }, 3, 0) !=
	    ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", third);
	unsee(&seen);
	replay_kill_bounced(r, third);
	replay_run(r, 1000);
	must_be_in_sync(r, 2);
	must_lead_t5(r, leads, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* Everybody but its own host. */
static void
silence_all(struct replay *r, int id, bool cut)
{
	for (int other = 1; other <= (int)r->plane_count; other++)
		if (other != id)
			silence(r, other, id, cut);
}

/* Who has another disk is told while the leader was not asked yet: it has no
 * log by which the next controller could take it for one that has all. */
static void
script_unseen_empty(struct replay *r)
{
	int active, leads, back, next;

	make_cluster(r);
	active = replay_active(r);
	leads = some_plane(r, active);
	back = some_other(r, active, leads);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", leads, back);
	replay_run(r, 1000);
	replay_kill(r, active);
	come_back_unseen(r, leads, false);
	r->lacking = true;
	come_back_unseen(r, back, true);
	silence_all(r, leads, true);
	for (int i = 0; i < 200 && replay_active(r) == 0; i++)
		replay_run(r, 100);
	replay_run(r, 5000);
	next = replay_active(r);
	if (next == leads || next == back) {
		silence_all(r, leads, false);
		replay_run(r, SETTLE_MS);
		return;
	}
	if (hash_find(&r->replicas[back], "t5/0", strlen("t5/0")) != NULL)
		replay_fault(r, "b%d was told of t5/0", back);
	replay_kill_bounced(r, leads);
	replay_kill_bounced(r, next);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, back, false);
	silence_all(r, leads, false);
	revive_all(r);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, leads, true);
}

/* Who leads was away and refuses to tell: it is trusted to have its logs, but
 * the other one, who was not away, may have more. */
static void
script_unseen_refused(struct replay *r)
{
	int active, leads, better;

	make_cluster(r);
	active = replay_active(r);
	leads = some_plane(r, active);
	better = some_other(r, active, leads);
	put_topic(r, "t5", leads, better);
	replay_run(r, 1000);
	replay_kill(r, active);
	r->dirs_refused = true;
	r->unfit = leads;
	come_back_unseen(r, leads, false);
	silence_all(r, better, true);
	for (int i = 0; i < 200 && replay_active(r) == 0; i++)
		replay_run(r, 100);
	replay_run(r, 5000);
	silence_all(r, better, false);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, better, true);
	r->unfit = 0;
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* It has everything, and is about to say so, while an operator wishes for a
 * leader whoever it be. */
static void
script_lost_wish(struct replay *r)
{
	int active, first, second, third, error;

	make_cluster(r);
	active = replay_active(r);
	first = some_plane(r, active);
	second = some_other(r, active, first);
	third = none_of(1, active, first, second);
	put_config(r, NULL, NULL);
	put_topic_left(r, "t5", first, second, third);
	replay_kill(r, first);
	replay_kill(r, second);
	unregister(r, first);
	unregister(r, second);
	replay_run(r, 1000);
	must_lead_t5(r, -1, true);
	r->dirs_ms = 3000;
	replay_start(r, first);
	replay_run(r, 1000);
	error = elect(r, "t5", 1);
	if (error != ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE)
		replay_fault(r, "ElectLeaders before b%d told: error %d",
		    first, error);
	replay_run(r, 5000);
	must_lead_t5(r, first, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* At the door of a controller that dies: it is at the next one's. */
static void
script_return_unseen(struct replay *r)
{
	bool wiped = random_below(&r->random, 2) == 0;
	struct pair pair = die_and_come_back(r, true, wiped);
	int active = replay_active(r);

	if (active != pair.back)
		replay_kill_bounced(r, active);
	replay_run(r, 1500);
	must_be_in_sync(r, wiped ? 1 : 2);
	must_lead_t5(r, pair.silent, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, pair.back, !wiped);
	fall_silent(r, pair.silent, false, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, wiped ? pair.silent : pair.back, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

struct first_back {
	int first;
	bool dies; /* as soon as it was elected; else its answer is lost */
	bool done;
};

static void
at_first_election(struct replay *r, int id, const struct zk_op *op)
{
	struct first_back *back = r->script;

	if (back->done || !is_state_write(op))
		return;
	back->done = true;
	if (back->dies)
		replay_kill(r, back->first);
	else
		zk_fake_lose_next_reply(r->fake, replay_driver(r, id));
}

/* t5/0 and t6/0 lose all of their ISRs at once; the one that is back first,
 * which alone has t7/0, if that is there. */
static int
lose_all_but(struct replay *r, int *second, bool alone)
{
	int active, first;

	make_cluster(r);
	active = replay_active(r);
	first = some_plane(r, active);
	*second = some_other(r, active, first);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", first, *second);
	put_topic(r, "t6", first, *second);
	if (alone)
		put_topic_of(r, "t7", (int32_t[]){ first }, 1);
	replay_run(r, 1000);
	replay_kill(r, first);
	replay_kill(r, *second);
	unregister(r, first);
	unregister(r, *second);
	replay_run(r, 1000);
	must_lead_t5(r, -1, true);
	must_be_in_sync(r, 2);
	return (first);
}

static int
lose_all(struct replay *r, int *second)
{
	return (lose_all_but(r, second, false));
}

/* The first one back has another disk: who has everything leads when it
 * comes. */
static void
script_lost_disk(struct replay *r)
{
	bool wiped = random_below(&r->random, 2) == 0;
	struct first_back back = { .done = random_below(&r->random, 2) == 0 };
	int second, first = lose_all(r, &second);

	r->lacking = wiped;
	if (wiped)
		replay_wipe(r, first);
	r->script = &back;
	r->on_write = at_first_election;
	replay_start(r, first);
	replay_run(r, 5000);
	r->on_write = NULL;
	must_lead_t5(r, first, !wiped);
	must_be_in_sync(r, 1);
	replay_start(r, second);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, wiped ? second : first, true);
	must_be_in_sync(r, 1);
}

/* The first one back is slow to tell of its logs, or cannot be reached: nobody
 * leads before it has told, and it serves what is its alone meanwhile. */
static void
script_lost_late(struct replay *r)
{
	bool slow = random_below(&r->random, 2) == 0;
	int active, second, first = lose_all_but(r, &second, true);

	active = replay_active(r);
	r->dirs_ms = slow ? 20000 : 0;
	silence(r, active, first, !slow);
	replay_start(r, first);
	replay_run(r, 1000);
	if (leader_of(r, "t7") != first)
		replay_fault(r, "b%d does not lead t7", first);
	replay_run(r, 17000);
	must_lead_t5(r, -1, true);
	must_be_in_sync(r, 2);
	r->dirs_ms = 0;
	silence(r, active, first, false);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, first, true);
	r->lacking = true;
	replay_wipe(r, second);
	replay_start(r, second);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, first, true);
}

/* It has another disk, and dies before it has told: it is not trusted for that,
 * and who has everything leads when it comes. */
static void
script_lost_dead(struct replay *r)
{
	int second, first = lose_all(r, &second);

	r->lacking = true;
	replay_wipe(r, first);
	r->dirs_ms = 5000;
	replay_start(r, first);
	replay_run(r, 2000);
	replay_kill(r, first);
	replay_run(r, 11000);
	if (!is_registered(r, first))
		replay_fault(r, "b%d's session is over", first);
	must_lead_t5(r, first, false);
	must_be_in_sync(r, 2);
	replay_run(r, SETTLE_MS);
	r->dirs_ms = 0;
	replay_start(r, second);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, second, true);
}

/* It has another disk, and may be elected all the same. */
static void
script_lost_allowed(struct replay *r)
{
	int second, first = lose_all(r, &second);
	struct seen seen;

	r->lacking = true;
	replay_wipe(r, first);
	replay_start(r, first);
	replay_run(r, 5000);
	see(r, &seen, "t5");
	if (seen.state.isr_count != 1 || seen.state.isr[0] != first)
		replay_fault(r, "b%d was not elected", first);
	unsee(&seen);
	replay_kill_bounced(r, first);
	replay_run(r, SETTLE_MS);
}

/* It goes again before it has told, and nobody else of the ISR comes. */
static void
script_lost_unclean(struct replay *r)
{
	int active, second, first, third;

	make_cluster(r);
	active = replay_active(r);
	first = some_plane(r, active);
	second = some_other(r, active, first);
	third = none_of(1, active, first, second);
	put_topic_left(r, "t5", first, second, third);
	replay_kill_bounced(r, third);
	replay_kill(r, first);
	replay_kill(r, second);
	unregister(r, first);
	unregister(r, second);
	replay_run(r, 1000);
	silence(r, active, first, true);
	replay_start(r, first);
	replay_run(r, 1000);
	replay_start(r, third);
	replay_run(r, 1000);
	must_lead_t5(r, -1, true);
	replay_kill_bounced(r, first);
	silence(r, active, first, false);
	replay_run(r, 3000);
	must_lead_t5(r, third, true);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* One of its log dirs failed: of what is in the others it has everything, and
 * of the rest it has all when that is repaired. */
static void
script_lost_log(struct replay *r)
{
	bool repaired = random_below(&r->random, 2) == 0;
	int second, first = lose_all(r, &second);

	replay_start(r, first);
	replay_break_replica(r, first, "t5", 0, true);
	replay_run(r, 5000);
	must_lead_t5(r, -1, true);
	must_be_in_sync(r, 2);
	if (leader_of(r, "t6") != first)
		replay_fault(r, "b%d does not lead t6", first);
	if (repaired) {
		replay_break_replica(r, first, "t5", 0, false);
		replay_kill_bounced(r, first);
		replay_start(r, first);
	} else {
		replay_start(r, second);
	}
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, repaired ? first : second, true);
	if (!repaired)
		replay_break_replica(r, first, "t5", 0, false);
	replay_kill_bounced(r, first);
	replay_start(r, first);
	replay_run(r, SETTLE_MS);
}

/* It has everything, and may have led when it dies: nobody else leads. */
static void
script_first_dies(struct replay *r)
{
	struct first_back back = { .dies = true };
	int second, first = lose_all(r, &second);

	back.first = first;
	r->script = &back;
	r->on_write = at_first_election;
	replay_start(r, first);
	replay_run(r, SETTLE_MS);
	r->on_write = NULL;
	must_be_in_sync(r, 1);
	if (random_below(&r->random, 2) == 0) {
		/* And loses its disk: what it led is lost. */
		r->lacking = true;
		replay_wipe(r, first);
		replay_start(r, first);
		replay_run(r, 5000);
		must_lead_t5(r, -1, true);
		must_be_in_sync(r, 1);
		replay_kill(r, first);
		replay_run(r, SETTLE_MS);
		return;
	}
	replay_start(r, second);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, second, false);
	replay_start(r, first);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, first, true);
}

/* Who comes while the first one has not answered is told to follow it, and so
 * has a log, whatever it lost. */
static void
script_came_meanwhile(struct replay *r)
{
	int active, second, first = lose_all(r, &second);

	active = replay_active(r);
	r->lacking = true;
	replay_wipe(r, first);
	replay_wipe(r, second);
	silence(r, active, first, true);
	replay_start(r, first);
	replay_run(r, 1000);
	replay_start(r, second);
	replay_run(r, 1000);
	silence(r, active, first, false);
	replay_run(r, 5000);
	must_lead_t5(r, second, false);
	replay_kill(r, first);
	replay_run(r, SETTLE_MS);
}

/* Both are back, and one of them is slow to tell of its logs: the other one
 * leads, perhaps without it. */
static void
script_lost_together(struct replay *r)
{
	bool shrinks = random_below(&r->random, 2) == 0;
	int active, slow, second, first = lose_all(r, &second);
	int quick = random_below(&r->random, 2) == 0 ? first : second;
	struct seen seen;

	active = replay_active(r);
	slow = first + second - quick;
	silence(r, active, slow, true);
	replay_start(r, slow);
	replay_run(r, 100);
	replay_start(r, quick);
	replay_run(r, 2000);
	must_lead_t5(r, quick, true);
	must_be_in_sync(r, 2);
	if (shrinks) {
		see(r, &seen, "t5");
		if (alter(r, &seen, (int32_t[]){ quick }, 1, 0) != ERR_NONE)
			replay_fault(r, "b%d cannot leave the ISR", slow);
		unsee(&seen);
	}
	silence(r, active, slow, false);
	replay_run(r, 5000);
	must_lead_t5(r, quick, true);
	must_be_in_sync(r, shrinks ? 1 : 2);
}

/* The second one back has another disk: it must catch up. */
static void
script_second_wiped(struct replay *r)
{
	int second, first = lose_all(r, &second);

	replay_wipe(r, second);
	replay_start(r, first);
	replay_run(r, 1 + some_ms(r, 5));
	r->lacking = true;
	replay_start(r, second);
	replay_run(r, SETTLE_MS);
	must_be_in_sync(r, 1);
	must_lead_t5(r, first, true);
}

/* Whom the controller found dead is preferred by the next one, which has no
 * evidence of it and finds it registered and in sync. */
static void
script_balance(struct replay *r)
{
	struct deaths deaths = { 0, 1 };
	int64_t versions;
	int dead, led;

	make_cluster(r);
	dead = some_plane(r, replay_active(r));
	replay_kill(r, dead);
	r->script = &deaths;
	r->on_write = die_at_write;
	replay_run(r, 2500);
	r->on_write = NULL;
	/* Of what the controller led, perhaps. */
	led = count_led(r, dead, &versions);
	replay_run(r, 10000);
	if (!is_registered(r, dead))
		replay_fault(r, "b%d's session is over", dead);
	if (count_led(r, dead, &versions) > led)
		replay_fault(r, "b%d leads again, and is dead", dead);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

const struct script return_scripts[] = {
	{ 504, "return", script_return, 4, QUIET_OPTIONS, 5 },
	{ 505, "return-answered", script_return_answered, 4, QUIET_OPTIONS, 5 },
	{ 506, "return-late", script_return_late, 4, QUIET_OPTIONS, 5 },
	{ 507, "return-third", script_return_third, 4, QUIET_OPTIONS, 5 },
	{ 508, "return-unclean", script_return_unclean, 4, QUIET_OPTIONS
	    "unclean.leader.election.enable=true\n", 7 },
	{ 509, "return-wiped", script_return_wiped, 4, QUIET_OPTIONS, 5 },
	{ 510, "return-twice", script_return_twice, 4, QUIET_OPTIONS, 5 },
	{ 511, "return-unseen", script_return_unseen, 4, QUIET_OPTIONS, 5 },
	{ 512, "unseen", script_unseen, 4,
	    "auto.leader.rebalance.enable=false\n" },
	{ 513, "unseen-session", script_unseen, 4,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 514, "unseen-both", script_unseen_both, 4 },
	{ 515, "unseen-pair", script_unseen_pair, 4,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 516, "unseen-together", script_unseen_together, 4,
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 517, "unseen-empty", script_unseen_empty, 4, QUIET_OPTIONS
	    "barnabas.evidence.brokers.enable=false\n", 5 },
	{ 518, "unseen-refused", script_unseen_refused, 4, QUIET_OPTIONS
	    "barnabas.evidence.brokers.enable=false\n", 5 },
	{ 519, "unseen-alone", script_unseen_alone, 4,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 520, "unseen-third", script_unseen_third, 4,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n", 5 },
	{ 524, "lost-wish", script_lost_wish, 4, QUIET_OPTIONS, 5 },
	{ 521, "unseen-twice", script_unseen_twice, 4,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n", 5 },
	{ 522, "unseen-slow", script_unseen_slow, 4, QUIET_OPTIONS
	    "barnabas.evidence.brokers.enable=false\n", 5 },
	{ 525, "lost-log", script_lost_log, 4, QUIET_OPTIONS },
	{ 526, "lost-disk", script_lost_disk, 4, QUIET_OPTIONS },
	{ 527, "first-dies", script_first_dies, 4, QUIET_OPTIONS },
	{ 528, "lost-together", script_lost_together, 4, QUIET_OPTIONS },
	{ 529, "lost-late", script_lost_late, 4, QUIET_OPTIONS },
	{ 530, "lost-dead", script_lost_dead, 4, QUIET_OPTIONS
	    "zookeeper.session.timeout.ms=18000\n" },
	{ 531, "lost-dead-evidence", script_lost_dead, 4, QUIET_OPTIONS
	    "zookeeper.session.timeout.ms=18000\n", 5 },
	{ 532, "lost-allowed", script_lost_allowed, 4, QUIET_OPTIONS
	    "unclean.leader.election.enable=true\n" },
	{ 533, "lost-unclean", script_lost_unclean, 4, QUIET_OPTIONS
	    "unclean.leader.election.enable=true\n", 5 },
	{ 534, "second-wiped", script_second_wiped, 4, QUIET_OPTIONS },
	{ 535, "came-meanwhile", script_came_meanwhile, 4, QUIET_OPTIONS },
	{ 422, "balance-dead", script_balance, 4,
	    "zookeeper.session.timeout.ms=18000\n", 5 },
	{ 523, "unseen-stale", script_unseen_stale, 4, QUIET_OPTIONS },
	{ 0 },
};
