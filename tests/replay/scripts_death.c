/* SPDX-License-Identifier: Apache-2.0 */
/* Brokers that are dead by the evidence before ZooKeeper says so; and evidence
 * that is wrong.  A session lasts six seconds here, so what has happened after
 * two was not its end. */
#include "tests/replay/scripts.h"

#include <stdio.h>

#include "base/mem.h"

bool
is_registered(struct replay *r, int id)
{
	char path[64];

	snprintf(path, sizeof(path), ZNODE_BROKER_IDS "/%d", id);
	return (zk_fake_get(r->fake, path, &(struct slice){ NULL, 0 },
	    &(struct zk_stat){ 0 }));
}

static int32_t
epoch_now(struct replay *r)
{
	struct slice data;
	struct zk_stat stat;
	int32_t epoch = -1;

	if (!zk_fake_get(r->fake, ZNODE_CONTROLLER_EPOCH, &data, &stat) ||
	    !znode_epoch_decode(data, &epoch))
		replay_fault(r, "there is no epoch");
	return (epoch);
}

static int
seat_of(struct replay *r)
{
	struct znode_controller seat;
	struct slice data;
	struct zk_stat stat;

	return (zk_fake_get(r->fake, ZNODE_CONTROLLER, &data, &stat) &&
	    znode_controller_decode(data, &seat) ? seat.broker_id : 0);
}

/* How many partitions it leads; what is written about all in `*versions`. */
int
count_led(struct replay *r, int leader, int64_t *versions)
{
	int led = 0;

	*versions = 0;
	for (int i = 0; i < 3; i++)
		for (int32_t p = 0; p < 4; p++) {
			struct znode_state state;
			struct arena arena;
			int32_t version;
			char name[16];

			arena_init(&arena, 0);
			snprintf(name, sizeof(name), "t%d", i);
			if (replay_state(r, name, p, &arena, &state,
				&version)) {
				led += state.leader == leader;
				*versions += version;
			}
			arena_fini(&arena);
		}
	return (led);
}

void
make_cluster(struct replay *r)
{
	r->dirs_ms = random_below(&r->random, 2) == 0 ? 200 : 0;
	replay_run(r, OLD_MS);
	make_topics(r, 3);
	replay_run(r, 2000);
}

/* One way or another, or not any more. */
static void
part(struct replay *r, int a, int b, bool apart,
    void (*how)(struct fabric *fabric, const char *a, const char *b,
	bool apart))
{
	char from[8], to[8];

	snprintf(from, sizeof(from), "b%d", a);
	snprintf(to, sizeof(to), "b%d", b);
	how(r->fabric, from, to, apart);
}

static void
refuse(struct replay *r, int a, int b, bool cut)
{
	part(r, a, b, cut, fabric_refuse);
}

void
silence(struct replay *r, int a, int b, bool cut)
{
	part(r, a, b, cut, fabric_cut);
}

/* t1/0 is led by the controller. */
void
rule_by_leader(struct replay *r)
{
	for (int tries = 0; tries < 100 && replay_active(r) !=
	    leader_of(r, "t1"); tries++) {
		zk_fake_delete(r->fake, ZNODE_CONTROLLER);
		replay_run(r, 3000);
	}
}

void
put_state_of_t1(struct replay *r, const struct znode_state *state)
{
	struct buffer json = BUFFER_EMPTY;

	znode_state_encode(state, &json);
	zk_fake_put(r->fake, "/brokers/topics/t1/partitions/0/state",
	    buffer_slice(&json));
	buffer_fini(&json);
}

/* --- 1: they are dead ----------------------------------------------------- */

static void
script_broker(struct replay *r)
{
	int id;

	make_cluster(r);
	id = some_plane(r, replay_active(r));
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	if (!is_registered(r, id))
		replay_fault(r, "b%d's session is over", id);
	check_relieved(r, id);
	replay_run(r, SETTLE_MS);
	replay_check(r);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
}

static void
script_controller(struct replay *r)
{
	int id;

	make_cluster(r);
	id = replay_active(r);
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	if (!is_registered(r, id))
		replay_fault(r, "b%d's session is over", id);
	if (replay_active(r) == 0)
		replay_fault(r, "nobody is controller");
	check_relieved(r, id);
	replay_run(r, SETTLE_MS);
	replay_check(r);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
}

/* One after the other, until one is left. */
static void
script_both(struct replay *r)
{
	int first, second;

	make_cluster(r);
	first = replay_active(r);
	replay_kill(r, first);
	replay_run(r, some_ms(r, 1000));
	second = some_plane(r, first);
	replay_kill(r, second);
	replay_run(r, SETTLE_MS);
	replay_check(r);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

static void
script_off(struct replay *r)
{
	int active, id;
	int64_t before, after;

	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	count_led(r, id, &before);
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	count_led(r, id, &after);
	if (before != after)
		replay_fault(r, "states were written on the evidence");
	replay_run(r, SETTLE_MS);
	check_relieved(r, id);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
	active = replay_active(r);
	replay_kill(r, active);
	replay_run(r, SOON_MS);
	if (seat_of(r) != active)
		replay_fault(r, "/controller was removed on the evidence");
	replay_run(r, SETTLE_MS);
}

/* --- 2: it lives, but its port refuses ------------------------------------ */

/* t5/0 is led by its first replica again. */
static void
lead_again(struct replay *r, int id, int other)
{
	struct seen seen;

	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ other, id }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", id);
	unsee(&seen);
	put(r, ZNODE_PREFERRED_ELECTION, "{\"version\":1,\"partitions\":"
	    "[{\"topic\":\"t5\",\"partition\":0}]}");
	replay_run(r, 500);
	see(r, &seen, "t5");
	if (seen.state.leader != id)
		replay_fault(r, "b%d does not lead again", id);
	unsee(&seen);
}

int
leader_of(struct replay *r, const char *topic)
{
	struct seen seen;
	int leader;

	see(r, &seen, topic);
	leader = seen.state.leader;
	unsee(&seen);
	return (leader);
}

void
must_lead_t5(struct replay *r, int id, bool leads)
{
	struct seen seen;

	see(r, &seen, "t5");
	if ((seen.state.leader == id) != leads)
		replay_fault(r, "t5/0 is led by b%d", (int)seen.state.leader);
	unsee(&seen);
}

/* As its leader it proposes what it believes; as a member it is proposed. */
static void
must_be_fenced(struct replay *r, const struct seen *old, int id, int other)
{
	struct seen now;

	if (alter(r, old, (int32_t[]){ id }, 1, 0) !=
	    ERR_FENCED_LEADER_EPOCH)
		replay_fault(r, "the suspect was not fenced");
	see(r, &now, "t5");
	if (alter(r, &now, (int32_t[]){ other, id }, 2, 0) !=
	    ERR_INELIGIBLE_REPLICA)
		replay_fault(r, "the suspect was taken into an ISR");
	unsee(&now);
}

static void
script_wrong(struct replay *r)
{
	int active, id;
	int64_t before, after;
	struct seen old;

	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", id, active);
	replay_run(r, 1000);
	must_lead_t5(r, id, true);
	see(r, &old, "t5");
	refuse(r, active, id, true);
	replay_run(r, SOON_MS);
	check_relieved(r, id);
	must_lead_t5(r, id, false);
	must_be_fenced(r, &old, id, active);
	unsee(&old);
	count_led(r, id, &before);
	replay_run(r, 5000);
	count_led(r, id, &after);
	if (before != after || !is_registered(r, id))
		replay_fault(r, "more was written than once");
	/* Reached again: a candidate; lost again: not so soon. */
	refuse(r, active, id, false);
	replay_run(r, SOON_MS);
	lead_again(r, id, active);
	refuse(r, active, id, true);
	replay_run(r, 5000);
	must_lead_t5(r, id, true);
	replay_run(r, MOVE_MS);
	must_lead_t5(r, id, false);
	refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

static void
script_alone(struct replay *r)
{
	struct seen seen;
	int active, id;
	int32_t epoch;

	/* Where nobody else can, it goes on. */
	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	put(r, "/config/topics/t5", "{\"version\":1,\"config\":"
	    "{\"unclean.leader.election.enable\":\"true\"}}");
	put_topic(r, "t5", id, active);
	replay_run(r, 1000);
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ id }, 1, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be alone", id);
	epoch = seen.state.leader_epoch;
	unsee(&seen);
	refuse(r, active, id, true);
	replay_run(r, SOON_MS);
	see(r, &seen, "t5");
	if (seen.state.leader != id || seen.state.leader_epoch != epoch)
		replay_fault(r, "an ISR of one suspect was touched");
	unsee(&seen);
	refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* Nor is anybody elected from outside an ISR of which one may live, whatever
 * the topic allows and whoever else is gone. */
static void
script_unclean(struct replay *r)
{
	struct seen seen;
	int active, id, dead, outside = 0;
	bool whole;

	make_cluster(r);
	active = replay_active(r);
	put(r, "/config/topics/t1", "{\"version\":1,\"config\":"
	    "{\"unclean.leader.election.enable\":\"true\"}}");
	see(r, &seen, "t1");
	id = seen.state.leader;
	dead = seen.state.isr[seen.state.isr[0] == id];
	for (int32_t i = 0; i < seen.state.isr_count; i++)
		if (seen.state.isr[i] != id && seen.state.isr[i] != dead)
			outside = seen.state.isr[i];
	if (id == active || dead == active || outside == 0) {
		unsee(&seen);
		return;
	}
	if (alter(r, &seen, (int32_t[]){ id, dead }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot leave the ISR", outside);
	unsee(&seen);
	refuse(r, active, id, true);
	replay_kill(r, dead);
	replay_run(r, SOON_MS);
	see(r, &seen, "t1");
	if (seen.state.leader == outside)
		replay_fault(r, "b%d leads while all are registered", outside);
	/* Else the living one was taken out before the other died. */
	whole = seen.state.isr_count == 2 || seen.state.isr[0] == id;
	unsee(&seen);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t1");
	if (whole && seen.state.leader == outside)
		replay_fault(r, "b%d leads from outside the ISR", outside);
	unsee(&seen);
	refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* Who reaches nobody takes nobody for dead. */
static void
script_outbound(struct replay *r)
{
	int active, id;
	int64_t before, after;
	int32_t epoch;

	make_cluster(r);
	active = replay_active(r);
	id = random_below(&r->random, 2) == 0 ? active : some_plane(r, active);
	epoch = epoch_now(r);
	count_led(r, id, &before);
	for (int other = 1; other <= 3; other++)
		if (other != id)
			refuse(r, id, other, true);
	replay_run(r, 10000);
	count_led(r, id, &after);
	if (id == active && before != after)
		replay_fault(r, "states were written by who reaches nobody");
	if (id != active && epoch_now(r) != epoch)
		replay_fault(r, "the controller was sent away by who reaches "
		    "nobody");
	for (int other = 1; other <= 3; other++)
		if (other != id)
			refuse(r, id, other, false);
	replay_run(r, SETTLE_MS);
}

/* Nor who holds a line to a host that died long ago. */
static void
script_held_line(struct replay *r)
{
	int active, silent, id;
	int64_t before, after;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	id = 6 - active - silent;
	silence(r, active, silent, true);
	replay_run(r, 1000 + some_ms(r, 5000));
	count_led(r, id, &before);
	refuse(r, active, id, true);
	replay_run(r, 10000);
	count_led(r, id, &after);
	if (before != after)
		replay_fault(r, "states were written by who reaches nobody");
	silence(r, active, silent, false);
	replay_run(r, SOON_MS);
	count_led(r, id, &after);
	if (before == after)
		replay_fault(r, "who is reached again does not count");
	refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* A host whose look-ups of one name are counted. */
struct lookups {
	struct sockets_ops ops; /* first: the host's, meanwhile */
	const struct sockets_ops *own;
	char name[8];
	size_t *count;
};

static int
lookups_resolve(struct sockets *sockets, const char *host, int32_t port,
    struct socket_address *out, size_t count, size_t *found)
{
	const struct lookups *lookups = (const void *)sockets->ops;

	*lookups->count += strcmp(host, lookups->name) == 0;
	return (lookups->own->resolve(sockets, host, port, out, count, found));
}

/* Who registers behind a cut is looked up by its witness, and that goes on for
 * a second, however much evidence comes meanwhile: a name may take long. */
static void
script_lookups(struct replay *r)
{
	struct lookups lookups;
	struct sockets *sockets;
	int active, silent;
	size_t count = 0;
	char name[8];

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	silence(r, active, silent, true);
	replay_kill(r, silent);
	replay_run(r, REPLAY_SESSION_MS + 1000);
	replay_start(r, silent);
	replay_run(r, 1000 + some_ms(r, 1000));
	snprintf(name, sizeof(name), "b%d", active);
	sockets = fabric_sockets(r->fabric, name);
	lookups = (struct lookups){ *sockets->ops, sockets->ops, "", &count };
	lookups.ops.resolve = lookups_resolve;
	snprintf(lookups.name, sizeof(lookups.name), "b%d", silent);
	sockets->ops = &lookups.ops;
	for (int id = 1; id <= 8; id++)
		if (id != active && id != silent) {
			refuse(r, active, id, true);
			replay_run(r, 100);
		}
	/* One after an attempt that ended, one by the controller's channel. */
	if (count > 2)
		replay_fault(r, "b%d was looked up %zu times", silent, count);
	sockets->ops = lookups.own;
	silence(r, active, silent, false);
	for (int id = 1; id <= 8; id++)
		if (id != active && id != silent)
			refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* One that was let go, but leads what nobody else could, dies on the way. */
static void
script_leaving(struct replay *r)
{
	struct seen seen;
	int active, id;

	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", id, active);
	replay_run(r, 1000);
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ id }, 1, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be alone", id);
	unsee(&seen);
	if (depart(r, id, -1) != 1)
		replay_fault(r, "b%d does not lead t5/0 alone", id);
	see(r, &seen, "t5");
	if (alter(r, &seen, (int32_t[]){ id, active }, 2, 0) != ERR_NONE)
		replay_fault(r, "b%d cannot be in sync", active);
	unsee(&seen);
	replay_run(r, 500);
	must_lead_t5(r, id, true);
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	must_lead_t5(r, id, false);
	replay_run(r, SETTLE_MS);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
}

/* Nor does one of two, to whom nobody tells more. */
static void
script_two(struct replay *r)
{
	struct seen seen;
	int active, id;

	replay_run(r, 3000);
	active = replay_active(r);
	id = 3 - active;
	put_config(r, NULL, NULL);
	put_topic(r, "t5", id, active);
	replay_run(r, 1000);
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	see(r, &seen, "t5");
	if (seen.state.leader != id || seen.state.isr_count != 2)
		replay_fault(r, "one of two was taken for dead");
	unsee(&seen);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t5");
	if (seen.state.leader != active)
		replay_fault(r, "t5/0 is led by b%d",
		    (int)seen.state.leader);
	unsee(&seen);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
}

void
must_be_in_sync(struct replay *r, int32_t count)
{
	struct seen seen;

	see(r, &seen, "t5");
	if (seen.state.isr_count != count)
		replay_fault(r, "t5/0 has %d in sync, not %d",
		    (int)seen.state.isr_count, (int)count);
	unsee(&seen);
}

/* A suspect leads on where nobody else can. Who was in sync with it dies, and
 * is the first to come back, perhaps without its last records. */
static void
script_tail(struct replay *r)
{
	int active, suspect, other;

	make_cluster(r);
	active = replay_active(r);
	suspect = some_plane(r, active);
	do
		other = some_plane(r, active);
	while (other == suspect);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", suspect, other);
	replay_run(r, 1000);
	/* Neither is heard by the controller. */
	silence(r, active, suspect, true);
	refuse(r, active, other, true);
	replay_run(r, SOON_MS);
	must_be_in_sync(r, 2);
	refuse(r, active, suspect, true);
	replay_run(r, SOON_MS);
	must_lead_t5(r, suspect, true);
	must_be_in_sync(r, 2);
	replay_kill(r, other);
	replay_run(r, SETTLE_MS);
	must_be_in_sync(r, 1);
	refuse(r, active, other, false);
	replay_start(r, other);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, suspect, true);
	refuse(r, active, suspect, false);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, suspect, true);
}

/* It cannot be reached by anybody, nor does it reach ZooKeeper, if so. */
void
fall_silent(struct replay *r, int id, bool silent, bool session)
{
	for (int other = 1; other <= (int)r->plane_count; other++)
		if (other != id)
			silence(r, other, id, silent);
	if (session)
		zk_fake_cut(r->fake, replay_driver(r, id), silent);
}

int
some_other(struct replay *r, int a, int b)
{
	int id;

	do
		id = some_plane(r, a);
	while (id == b);
	return (id);
}

/* The host of one died, which nobody sees before its session ends; then a
 * process dies, and comes back: it has all that was acknowledged. */
static void
script_silent(struct replay *r)
{
	bool leads = random_below(&r->random, 2) == 0;
	int active, silent, seen_dead;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	seen_dead = some_other(r, active, silent);
	put_config(r, NULL, NULL);
	if (leads)
		put_topic(r, "t5", silent, seen_dead);
	else
		put_topic(r, "t5", seen_dead, silent);
	replay_run(r, 1000);
	fall_silent(r, silent, true, true);
	replay_run(r, 2500);
	replay_kill(r, seen_dead);
	replay_run(r, 2000);
	must_be_in_sync(r, 2);
	must_lead_t5(r, silent, true);
	replay_start(r, seen_dead);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, seen_dead, true);
	fall_silent(r, silent, false, true);
	replay_run(r, SETTLE_MS);
}

/* The same, but the silent one's session ends first: who is suspected is all
 * that is left in sync then, and leads, though it be dead.  The silent one
 * comes back without its last records, and before it: it must not lead. */
static void
script_silent_first(struct replay *r)
{
	int active, silent, seen_dead;

	make_cluster(r);
	active = replay_active(r);
	silent = some_plane(r, active);
	seen_dead = some_other(r, active, silent);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", seen_dead, silent);
	replay_run(r, 1000);
	fall_silent(r, silent, true, true);
	replay_run(r, 3500);
	replay_kill(r, seen_dead);
	replay_run(r, 1000);
	must_lead_t5(r, silent, true);
	must_be_in_sync(r, 2);
	replay_run(r, SETTLE_MS);
	must_be_in_sync(r, 1);
	fall_silent(r, silent, false, true);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, silent, false);
	replay_start(r, seen_dead);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, seen_dead, true);
}

static void
script_controller_wrong(struct replay *r)
{
	int active, next;
	int32_t epoch;

	make_cluster(r);
	active = replay_active(r);
	epoch = epoch_now(r);
	for (int id = 1; id <= 3; id++)
		if (id != active)
			refuse(r, active, id, true);
	replay_run(r, SOON_MS);
	next = replay_active(r);
	if (epoch_now(r) == epoch || next == 0)
		replay_fault(r, "epoch %d came after %d, b%d is controller",
		    (int)epoch_now(r), (int)epoch, next);
	/* Should it be elected anew, the other has its turn, once. */
	replay_run(r, SETTLE_MS);
	if (epoch_now(r) > epoch + 2)
		replay_fault(r, "it was sent away again and again");
	for (int id = 1; id <= 3; id++)
		if (id != active)
			refuse(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* Whoever is sent away is the first to stand for election again. */
struct comeback {
	int oustings;
	bool away[4]; /* cut off from ZooKeeper for a moment */
};

static void
come_back(struct replay *r, int id, const struct zk_op *op)
{
	struct comeback *back = r->script;
	int active = seat_of(r);
	struct slice data;
	struct zk_stat stat;

	if (op->kind != ZK_OP_MULTI || op->part_count != 2 ||
	    op->parts[1].kind != ZK_OP_DELETE || id == active ||
	    strcmp(op->parts[1].path, ZNODE_CONTROLLER) != 0 ||
	    !zk_fake_get(r->fake, ZNODE_CONTROLLER_EPOCH, &data, &stat) ||
	    op->parts[0].version != stat.version)
		return;
	back->oustings++;
	for (int other = 1; other <= 3; other++)
		if (other != active) {
			back->away[other] = true;
			zk_fake_cut(r->fake, replay_driver(r, other), true);
		}
	zk_fake_delete(r->fake, ZNODE_CONTROLLER);
}

static void
script_comeback(struct replay *r)
{
	struct comeback back = { 0 };
	int active, other;
	int32_t epoch;

	make_cluster(r);
	active = replay_active(r);
	other = some_plane(r, active);
	epoch = epoch_now(r);
	r->script = &back;
	r->on_write = come_back;
	refuse(r, active, other, true);
	for (int i = 0; i < 140; i++) {
		replay_run(r, 500);
		for (int id = 1; id <= 3; id++)
			if (back.away[id])
				zk_fake_cut(r->fake, replay_driver(r, id),
				    false);
		memset(back.away, 0, sizeof(back.away));
	}
	if (back.oustings != 1 || replay_active(r) != active ||
	    epoch_now(r) != epoch + 1)
		replay_fault(r, "it was sent away %d times, epoch %d is b%d's "
		    "after %d", back.oustings, (int)epoch_now(r),
		    replay_active(r), (int)epoch);
	r->on_write = NULL;
	refuse(r, active, other, false);
	replay_run(r, SETTLE_MS);
}

/* --- 3: half-cut ---------------------------------------------------------- */

/* Silence is no evidence, whoever lives or dies behind it. */
static void
script_half_cut(struct replay *r)
{
	int active, id;
	int64_t before, after;
	int32_t epoch;
	int led;

	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	epoch = epoch_now(r);
	led = count_led(r, id, &before);
	silence(r, active, id, true);
	replay_run(r, 15000);
	if (count_led(r, id, &after) != led || before != after ||
	    epoch_now(r) != epoch)
		replay_fault(r, "silence was taken for evidence");
	if (random_below(&r->random, 2) == 0) {
		replay_kill(r, id);
		replay_run(r, SOON_MS);
		if (count_led(r, id, &after) != led || before != after)
			replay_fault(r, "what is silent was found dead");
		replay_run(r, SETTLE_MS);
		check_relieved(r, id);
	}
	silence(r, active, id, false);
	replay_run(r, SETTLE_MS);
}

/* A host goes silently and comes back; what dies then is its new process. */
static void
script_back(struct replay *r)
{
	int active, id;

	make_cluster(r);
	active = replay_active(r);
	id = some_plane(r, active);
	put_config(r, NULL, NULL);
	put_topic(r, "t5", id, active);
	replay_run(r, 1000);
	silence(r, active, id, true);
	replay_kill(r, id);
	replay_run(r, SETTLE_MS);
	must_lead_t5(r, id, false);
	silence(r, active, id, false);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
	lead_again(r, id, active);
	replay_kill(r, id);
	replay_run(r, SOON_MS);
	if (!is_registered(r, id))
		replay_fault(r, "b%d's session is over", id);
	must_lead_t5(r, id, false);
	replay_run(r, SETTLE_MS);
	replay_start(r, id);
	replay_run(r, SETTLE_MS);
}

/* --- 4: a successor is elected meanwhile ---------------------------------- */

struct late_oust {
	int id; /* whose write stays on its way; 0: none yet */
};

static void
hold_oust(struct replay *r, int id, const struct zk_op *op)
{
	struct late_oust *late = r->script;

	if (late->id != 0 || op->kind != ZK_OP_MULTI || op->part_count != 2 ||
	    op->parts[1].kind != ZK_OP_DELETE ||
	    strcmp(op->parts[1].path, ZNODE_CONTROLLER) != 0)
		return;
	late->id = id;
	zk_fake_cut(r->fake, replay_driver(r, id), true);
}

static void
script_successor(struct replay *r)
{
	struct late_oust late = { 0 };
	int32_t epoch;
	int dead, next;

	make_cluster(r);
	r->script = &late;
	r->on_write = hold_oust;
	dead = replay_active(r);
	replay_kill(r, dead);
	replay_run(r, SOON_MS);
	if (late.id == 0)
		replay_fault(r, "nobody removed /controller");
	next = replay_active(r);
	epoch = epoch_now(r);
	if (next == 0 || next == late.id)
		replay_fault(r, "b%d is controller", next);
	if (late.id != 0)
		zk_fake_cut(r->fake, replay_driver(r, late.id), false);
	replay_run(r, SOON_MS);
	if (replay_active(r) != next || epoch_now(r) != epoch)
		replay_fault(r, "the successor was sent away");
	r->on_write = NULL;
	replay_run(r, SETTLE_MS);
}

/* --- and another dies while it loads -------------------------------------- */

struct late_death {
	int victim;
	int id; /* who loads; 0: nobody yet */
};

/* When what the dead controller led is given to the victim, and is written. */
static void
die_late(struct replay *r, int id, const struct zk_op *op)
{
	struct late_death *late = r->script;

	if (late->id != 0 || !is_state_write(op))
		return;
	late->id = id;
	if (id == late->victim)
		return;
	replay_kill(r, late->victim);
	zk_fake_cut(r->fake, replay_driver(r, id), true);
}

static void
script_loading(struct replay *r)
{
	struct late_death late = { 0, 0 };
	struct seen seen;
	int32_t leader;

	make_cluster(r);
	see(r, &seen, "t1");
	leader = seen.state.leader;
	late.victim = seen.state.isr[1];
	unsee(&seen);
	rule_by_leader(r);
	r->script = &late;
	r->on_write = die_late;
	replay_kill(r, leader);
	replay_run(r, 1500);
	if (late.id == 0)
		replay_fault(r, "nothing was elected");
	else if (late.id != late.victim)
		zk_fake_cut(r->fake, replay_driver(r, late.id), false);
	replay_run(r, SOON_MS);
	r->on_write = NULL;
	see(r, &seen, "t1");
	if (late.id != late.victim && (!is_registered(r, late.victim) ||
	    seen.state.leader == late.victim || seen.state.leader < 0))
		replay_fault(r, "t1/0 is led by b%d",
		    (int)seen.state.leader);
	unsee(&seen);
	replay_run(r, SETTLE_MS);
	revive_all(r);
	replay_run(r, SETTLE_MS);
}

/* --- 5: what is believed is stale ----------------------------------------- */

/* The dead controller wrote and told nobody: its write counts. */
static void
script_stale(struct replay *r)
{
	struct znode_state state;
	struct seen seen;
	int dead, heir;

	make_cluster(r);
	dead = replay_active(r);
	heir = some_plane(r, dead);
	replay_kill(r, dead);
	see(r, &seen, "t1");
	state = seen.state;
	state.leader = heir;
	state.leader_epoch++;
	state.isr = (int32_t[]){ heir };
	state.isr_count = 1;
	put_state_of_t1(r, &state);
	unsee(&seen);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t1");
	if (seen.state.leader != heir || seen.state.isr_count != 1)
		replay_fault(r, "t1/0 is led by b%d with %d in sync, not by "
		    "b%d alone", (int)seen.state.leader,
		    (int)seen.state.isr_count, heir);
	unsee(&seen);
}

/* Brokers registered a moment ago, but before the topics were made: what was
 * told of these is believed, and nobody reads their states. */
static void
script_young(struct replay *r)
{
	struct seen seen;
	int dead;

	replay_run(r, 3000);
	make_topics(r, 3);
	replay_run(r, 2000);
	dead = replay_active(r);
	zk_fake_forbid(r->fake, "/brokers/topics/t1/partitions/0/state");
	replay_kill(r, dead);
	replay_run(r, SETTLE_MS);
	see(r, &seen, "t1");
	if (replay_active(r) == 0 || seen.state.leader == dead)
		replay_fault(r, "t1/0 is led by b%d, controller b%d",
		    (int)seen.state.leader, replay_active(r));
	unsee(&seen);
	zk_fake_forbid(r->fake, NULL);
	replay_run(r, SETTLE_MS);
}

const struct script death_scripts[] = {
	{ 318, "evidence-broker", script_broker },
	{ 319, "evidence-seat", script_controller },
	{ 320, "evidence-both", script_both },
	{ 321, "evidence-off", script_off, 0,
	    "barnabas.evidence.brokers.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	/* The suspect would have evidence, too. */
	{ 407, "evidence-wrong", script_wrong, 0,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 408, "evidence-alone", script_alone, 0,
	    "barnabas.evidence.controller.enable=false\n" },
	{ 409, "evidence-unclean", script_unclean, 0,
	    "barnabas.evidence.controller.enable=false\n", 5 },
	{ 410, "evidence-outbound", script_outbound, 0,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 411, "seat-outbound", script_outbound, 0,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.brokers.enable=false\n" },
	{ 412, "evidence-leaving", script_leaving, 0,
	    "auto.leader.rebalance.enable=false\n" },
	{ 322, "evidence-two", script_two, 0, NULL, 2 },
	{ 501, "evidence-tail", script_tail, 0,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n", 5 },
	{ 413, "evidence-held-line", script_held_line, 0, QUIET_OPTIONS },
	{ 414, "evidence-lookups", script_lookups, 0, QUIET_OPTIONS, 8 },
	{ 502, "evidence-silent", script_silent, 0, QUIET_OPTIONS, 5 },
	{ 503, "evidence-silent-first", script_silent_first, 0, QUIET_OPTIONS,
	    5 },
	{ 415, "seat-wrong", script_controller_wrong },
	{ 416, "seat-comeback", script_comeback, 0,
	    "barnabas.evidence.brokers.enable=false\n" },
	{ 417, "half-cut", script_half_cut },
	{ 323, "evidence-back", script_back, 0,
	    "auto.leader.rebalance.enable=false\n"
	    "barnabas.evidence.controller.enable=false\n" },
	{ 418, "successor", script_successor },
	{ 419, "evidence-loading", script_loading, 0,
	    "auto.leader.rebalance.enable=false\n", 5 },
	{ 420, "belief-stale", script_stale },
	{ 421, "belief-young", script_young },
	{ 324, "belief-off", script_controller, 0,
	    "barnabas.takeover.belief.enable=false\n" },
	{ 0 },
};
