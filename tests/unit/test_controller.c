/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's decisions: elections, placement, moves, states, plans. */
#include "base/placement.h"
#include "base/random.h"
#include "cluster/cluster_int.h"
#include "controller/alteration.h"
#include "controller/controller_int.h"
#include "controller/election.h"
#include "controller/plan_int.h"
#include "unit.h"

/* --- elections ------------------------------------------------------------ */

/* One letter pair a replica, brokers 1, 2, ...: L live, S shutting down, D
 * dead; then i for in sync, o for out; a capital of it: a target. */
static struct election_result
run(enum election_kind kind, const char *replicas, bool unclean)
{
	struct election_replica r[8];
	size_t count = strlen(replicas) / 2;

	for (size_t i = 0; i < count; i++) {
		char how = replicas[2 * i], sync = replicas[2 * i + 1];

		r[i] = (struct election_replica){
			.broker = (int32_t)i + 1,
			.live = how != 'D',
			.shutting_down = how == 'S',
			.in_isr = sync == 'i' || sync == 'I',
			.target = sync == 'I' || sync == 'O',
		};
	}
	return (election_run(kind, r, count, unclean));
}

static void
test_election_offline(void)
{
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "LiLiLi", false).leader, 1);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiLoLi", false).leader, 3);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiLoLo", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiSiLo", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiLoLo", true).leader, 2);
	CU_ASSERT(run(ELECTION_OFFLINE, "DiLoLo", true).unclean);
	/* Unclean only when it must be. */
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiLoLi", true).leader, 3);
	CU_ASSERT(!run(ELECTION_OFFLINE, "DiLoLi", true).unclean);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "DiSoDi", true).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_OFFLINE, "", true).leader, -1);
}

static void
test_election_others(void)
{
	CU_ASSERT_EQUAL(run(ELECTION_REASSIGNMENT, "LiLOLI", false).leader, 3);
	CU_ASSERT_EQUAL(run(ELECTION_REASSIGNMENT, "LiLODI", false).leader,
	    -1);
	CU_ASSERT_EQUAL(run(ELECTION_PREFERRED, "LiLi", false).leader, 1);
	CU_ASSERT_EQUAL(run(ELECTION_PREFERRED, "LoLi", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_PREFERRED, "DiLi", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_PREFERRED, "SiLi", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_PREFERRED, "", false).leader, -1);
	CU_ASSERT_EQUAL(run(ELECTION_CONTROLLED_SHUTDOWN, "SiLiLi",
	    false).leader, 2);
	CU_ASSERT_EQUAL(run(ELECTION_CONTROLLED_SHUTDOWN, "SiLoDi",
	    true).leader, -1);
}

/* --- alterations ---------------------------------------------------------- */

/* Members as pairs: L stays, D does not; i in sync, o out, x not assigned, e
 * named with another epoch. Broker 1 leads, at leader epoch 5, version 7. */
static enum error
alter_as(const char *members, struct alteration a, bool *well)
{
	struct alteration_member m[8];
	size_t count = strlen(members) / 2;

	for (size_t i = 0; i < count; i++) {
		char sync = members[2 * i + 1];

		m[i] = (struct alteration_member){
			.broker = (int32_t)i + 1,
			.stays = members[2 * i] == 'L',
			.in_isr = sync == 'i',
			.assigned = sync != 'x',
			.other_epoch = sync == 'e',
		};
	}
	a.members = m;
	a.member_count = count;
	a.leader = 1;
	a.known_leader_epoch = 5;
	a.known_partition_epoch = 7;
	return (alteration_check(&a, well));
}

static void
test_alteration(void)
{
	const struct alteration a = { .broker = 1, .leader_epoch = 5,
		.partition_epoch = 7, .isr_count = 2 };
	struct alteration b = a;
	bool well;

	CU_ASSERT_EQUAL(alter_as("Li", a, &well), ERR_NONE);
	CU_ASSERT(!well);
	CU_ASSERT_EQUAL(alter_as("LiLiLo", a, &well), ERR_NONE);
	CU_ASSERT_EQUAL(alter_as("LiDi", a, &well), ERR_NONE);
	CU_ASSERT(well);
	CU_ASSERT_EQUAL(alter_as("LiLiDo", a, &well), ERR_INELIGIBLE_REPLICA);
	CU_ASSERT_EQUAL(alter_as("LiLe", a, &well), ERR_INELIGIBLE_REPLICA);
	CU_ASSERT_EQUAL(alter_as("LiLiLx", a, &well), ERR_INVALID_REQUEST);
	CU_ASSERT_EQUAL(alter_as("", a, &well), ERR_INVALID_REQUEST);
	b.repeats = true;
	CU_ASSERT_EQUAL(alter_as("Li", b, &well), ERR_INVALID_REQUEST);
	b = a;
	b.broker = 2;
	CU_ASSERT_EQUAL(alter_as("LiLi", b, &well), ERR_INVALID_REQUEST);
}

static void
test_alteration_epochs(void)
{
	const struct alteration a = { .broker = 1, .leader_epoch = 5,
		.partition_epoch = 7, .isr_count = 2 };
	struct alteration b = a;
	bool well;

	b.leader_epoch = 4;
	CU_ASSERT_EQUAL(alter_as("Li", b, &well), ERR_FENCED_LEADER_EPOCH);
	b.leader_epoch = 6;
	CU_ASSERT_EQUAL(alter_as("Li", b, &well), ERR_NOT_CONTROLLER);
	b = a;
	b.partition_epoch = 8;
	CU_ASSERT_EQUAL(alter_as("Li", b, &well), ERR_NOT_CONTROLLER);
	b.partition_epoch = 6;
	CU_ASSERT_EQUAL(alter_as("Li", b, &well), ERR_INVALID_UPDATE_VERSION);
	/* Asked again, since the answer was lost. */
	CU_ASSERT_EQUAL(alter_as("LiLi", b, &well), ERR_NONE);
	CU_ASSERT(well);
}

static void
test_alteration_recovery(void)
{
	struct alteration a = { .broker = 1, .leader_epoch = 5,
		.partition_epoch = 7, .isr_count = 1, .recovering = true };
	bool well;

	CU_ASSERT_EQUAL(alter_as("Li", a, &well), ERR_NONE);
	CU_ASSERT(!well);
	a.recovery_state = 1;
	CU_ASSERT_EQUAL(alter_as("Li", a, &well), ERR_NONE);
	CU_ASSERT(well);
	CU_ASSERT_EQUAL(alter_as("LiLo", a, &well), ERR_INVALID_REQUEST);
	a.recovering = false;
	CU_ASSERT_EQUAL(alter_as("Li", a, &well), ERR_INVALID_REQUEST);
	a.recovery_state = 2;
	CU_ASSERT_EQUAL(alter_as("Li", a, &well), ERR_INVALID_REQUEST);
}

/* --- reassignments -------------------------------------------------------- */

#define ROW(...) (int32_t[]){ __VA_ARGS__ }

static void
test_reassignment(void)
{
	struct znode_assignment now = { .replicas = ROW(1, 2, 3),
		.replica_count = 3 }, to, next, end;
	struct arena arena;

	arena_init(&arena, 0);
	CU_ASSERT(reassignment_to(&now, ROW(4, 2), 2, &arena, &to));
	CU_ASSERT(assignment_equal(&to, &(struct znode_assignment){
	    .replicas = ROW(4, 2, 1, 3), .replica_count = 4,
	    .adding = ROW(4), .adding_count = 1,
	    .removing = ROW(1, 3), .removing_count = 2 }));
	CU_ASSERT(assignment_moves(&to));
	CU_ASSERT(reassignment_target(&to, &arena, &end));
	CU_ASSERT(assignment_equal(&end, &(struct znode_assignment){
	    .replicas = ROW(4, 2), .replica_count = 2 }));
	/* Elsewhere, before it has arrived: from where it began. */
	CU_ASSERT(reassignment_to(&to, ROW(5, 1), 2, &arena, &next));
	CU_ASSERT(assignment_equal(&next, &(struct znode_assignment){
	    .replicas = ROW(5, 1, 2, 3, 4), .replica_count = 5,
	    .adding = ROW(5, 4), .adding_count = 2,
	    .removing = ROW(2, 3, 4), .removing_count = 3 }));
	CU_ASSERT(!assignment_equal(&next, &to));
	/* Called off: who was to come stays until it is told, and does not come
	 * back when it is called off once more. */
	CU_ASSERT(reassignment_to(&to, NULL, 0, &arena, &next));
	CU_ASSERT(assignment_equal(&next, &(struct znode_assignment){
	    .replicas = ROW(2, 1, 3, 4), .replica_count = 4,
	    .adding = ROW(4), .adding_count = 1,
	    .removing = ROW(4), .removing_count = 1 }));
	CU_ASSERT(reassignment_to(&next, NULL, 0, &arena, &end));
	CU_ASSERT(assignment_equal(&next, &end));
	CU_ASSERT(reassignment_target(&next, &arena, &end));
	CU_ASSERT(assignment_equal(&end, &(struct znode_assignment){
	    .replicas = ROW(2, 1, 3), .replica_count = 3 }));
	/* And may be wanted after all. */
	CU_ASSERT(reassignment_to(&next, ROW(4, 1), 2, &arena, &end));
	CU_ASSERT(assignment_equal(&end, &(struct znode_assignment){
	    .replicas = ROW(4, 1, 2, 3), .replica_count = 4,
	    .adding = ROW(4), .adding_count = 1,
	    .removing = ROW(2, 3), .removing_count = 2 }));
	/* More of them. */
	CU_ASSERT(reassignment_to(&now, ROW(1, 2, 3, 4), 4, &arena, &next));
	CU_ASSERT_EQUAL(next.removing_count, 0);
	CU_ASSERT_EQUAL(next.adding_count, 1);
	arena_fini(&arena);
}

/* --- balance -------------------------------------------------------------- */

static void
test_balance(void)
{
	CU_ASSERT(!balance_due(0, 0, 10));
	CU_ASSERT(!balance_due(10, 1, 10));
	CU_ASSERT(balance_due(10, 2, 10));
	CU_ASSERT(balance_due(9, 1, 10));
	CU_ASSERT(balance_due(100, 1, 0));
	CU_ASSERT(!balance_due(100, 0, -1));
	CU_ASSERT(!balance_due(5, 5, 100));
}

/* --- placement ------------------------------------------------------------ */

static void
test_placement_rounds(void)
{
	struct placement_broker brokers[] = { { 0, NULL }, { 1, NULL },
		{ 2, NULL }, { 3, NULL }, { 4, NULL } };
	struct placement_request request = { .brokers = brokers,
		.broker_count = 5, .partition_count = 10,
		.replication_factor = 3 };
	/* The example of Kafka's own tests, start and shift 0. */
	static const int32_t expected[] = { 0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 0,
		4, 0, 1, 0, 2, 3, 1, 3, 4, 2, 4, 0, 3, 0, 1, 4, 1, 2 };
	int32_t replicas[30];

	CU_ASSERT(placement_assign(&request, replicas));
	CU_ASSERT_EQUAL(memcmp(replicas, expected, sizeof(expected)), 0);
	/* Added partitions go on where the others ended. */
	request.first_partition = 6;
	request.partition_count = 4;
	request.fixed_start = 0;
	CU_ASSERT(placement_assign(&request, replicas));
	CU_ASSERT_EQUAL(replicas[0], 1);
}

static void
test_placement_of_others(void)
{
	int32_t ids[100];

	for (int32_t i = 0; i < 100; i++)
		ids[i] = 1000 - i * 7 % 100;
	CU_ASSERT(!placement_repeats(ids, 100));
	CU_ASSERT(!placement_repeats(ids, 0));
	CU_ASSERT_EQUAL(placement_unique(ids, 100), 100);
	ids[99] = ids[3];
	ids[50] = ids[3];
	CU_ASSERT(placement_repeats(ids, 100));
	CU_ASSERT_EQUAL(placement_unique(ids, 100), 98);
	CU_ASSERT(!placement_repeats(ids, 98));
	CU_ASSERT_EQUAL(ids[0], 1000);
	CU_ASSERT_EQUAL(ids[50], 1000 - 51 * 7 % 100);
}

static void
test_placement_racks_example(void)
{
	struct placement_broker brokers[] = { { 0, "rack1" }, { 1, "rack3" },
		{ 2, "rack3" }, { 3, "rack2" }, { 4, "rack2" },
		{ 5, "rack1" } };
	struct placement_request request = { .brokers = brokers,
		.broker_count = 6, .partition_count = 7,
		.replication_factor = 3 };
	static const int32_t expected[] = { 0, 3, 1, 3, 1, 5, 1, 5, 4, 5, 4, 2,
		4, 2, 0, 2, 0, 3, 0, 4, 2 };
	int32_t replicas[21];

	CU_ASSERT(placement_assign(&request, replicas));
	CU_ASSERT_EQUAL(memcmp(replicas, expected, sizeof(expected)), 0);
}

static void
test_placement_refusals(void)
{
	struct placement_broker brokers[] = { { 1, "a" }, { 2, NULL } };
	struct placement_request request = { .brokers = brokers,
		.broker_count = 2, .partition_count = 1,
		.replication_factor = 1 };
	int32_t replicas[4];

	CU_ASSERT(!placement_assign(&request, replicas));
	brokers[1].rack = "b";
	CU_ASSERT(placement_assign(&request, replicas));
	request.replication_factor = 3;
	CU_ASSERT(!placement_assign(&request, replicas));
	request.replication_factor = 0;
	CU_ASSERT(!placement_assign(&request, replicas));
	request.replication_factor = 1;
	request.broker_count = 0;
	CU_ASSERT(!placement_assign(&request, replicas));
}

static const char *
rack_of(const struct placement_request *request, int32_t id)
{
	for (size_t i = 0; i < request->broker_count; i++)
		if (request->brokers[i].id == id)
			return (request->brokers[i].rack);
	CU_FAIL_FATAL("an unknown broker");
	return (NULL);
}

/* No broker twice; as many racks as can be. */
static void
check_one(const struct placement_request *request, const int32_t *replicas,
    int racks)
{
	int distinct = 0, factor = request->replication_factor;

	for (int i = 0; i < factor; i++) {
		bool fresh = true;

		for (int j = 0; j < i; j++) {
			if (replicas[i] == replicas[j])
				CU_FAIL("a broker twice");
			if (racks > 0 && strcmp(rack_of(request, replicas[i]),
			    rack_of(request, replicas[j])) == 0)
				fresh = false;
		}
		distinct += fresh;
	}
	if (racks > 0 && distinct != (factor < racks ? factor : racks))
		CU_FAIL("racks are left out");
}

/* Every small cluster: how many brokers, racks, replicas. */
static void
test_placement_all(void)
{
	static const char *const racks[] = { "r0", "r1", "r2", "r3" };
	struct random random;

	random_seed(&random, 1);
	for (int n = 1; n <= 7; n++)
		for (int k = 0; k <= 4 && k <= n; k++)
			for (int factor = 1; factor <= n; factor++) {
				struct placement_broker brokers[7];
				struct placement_request request = {
					.brokers = brokers,
					.broker_count = (size_t)n,
					.partition_count = 20,
					.replication_factor = factor,
					.fixed_start = -1,
					.random = &random };
				int32_t replicas[140];
				int leads[7] = { 0 };

				for (int b = 0; b < n; b++)
					brokers[b] = (struct placement_broker){
						b, k == 0 ? NULL :
						racks[b % k] };
				CU_ASSERT(placement_assign(&request,
				    replicas));
				for (int p = 0; p < 20; p++) {
					check_one(&request,
					    &replicas[p * factor], k);
					leads[replicas[p * factor]]++;
				}
				for (int b = 0; b < n; b++)
					if (leads[b] < 20 / n ||
					    leads[b] > 20 / n + 1)
						CU_FAIL("leaders uneven");
			}
}

/* --- moves ---------------------------------------------------------------- */

static void
test_moves(void)
{
	static const char partitions[4][5] = { "-n--", "--oo", "--oo", "x-oo" };
	int legal = 0;

	for (int from = 0; from < 4; from++)
		for (int to = 0; to < 4; to++)
			CU_ASSERT_EQUAL(partition_move_legal(
			    (enum partition_state)from,
			    (enum partition_state)to),
			    partitions[from][to] != '-');
	for (int from = 0; from < 7; from++)
		for (int to = 0; to < 7; to++)
			legal += replica_move_legal((enum replica_state)from,
			    (enum replica_state)to);
	CU_ASSERT_EQUAL(legal, 1 + 2 + 2 + 4 + 2 + 1 + 2);
	CU_ASSERT(replica_move_legal(REPLICA_OFFLINE,
	    REPLICA_DELETION_STARTED));
	CU_ASSERT(!replica_move_legal(REPLICA_ONLINE,
	    REPLICA_DELETION_STARTED));
	CU_ASSERT(replica_move_legal(REPLICA_DELETION_INELIGIBLE,
	    REPLICA_ONLINE));
	CU_ASSERT(!replica_move_legal(REPLICA_NONEXISTENT, REPLICA_ONLINE));
	CU_ASSERT(replica_move_legal(REPLICA_DELETION_SUCCESSFUL,
	    REPLICA_NONEXISTENT));
}

/* --- who tells whether others are reached --------------------------------- */

/* Never ourselves, none twice, and as many as there are up to eight. */
static void
test_reach(void)
{
	for (size_t count = 1; count <= 100; count++)
		for (size_t own = 0; own <= count; own++) {
			size_t others = count - (own < count);
			size_t picks = reach_picks(count, own);
			bool seen[100] = { false };
			bool well = picks == (others < 8 ? others : 8);

			for (size_t k = 0; k < picks; k++) {
				size_t at = reach_pick(count, own, k);

				well = well && at < count && at != own &&
				    !seen[at];
				if (at < count)
					seen[at] = true;
			}
			CU_ASSERT(well);
		}
}

/* How many of those picked are in one rack, at most. */
static size_t
picks_in_a_rack(size_t count, size_t own, size_t racks)
{
	size_t in[6] = { 0 }, most = 0;

	for (size_t k = 0; k < reach_picks(count, own); k++) {
		size_t rack = reach_pick(count, own, k) % racks;

		if (++in[rack] > most)
			most = in[rack];
	}
	return (most);
}

/* Ids go round the racks: no rack has more than one or two beyond its share,
 * which some cluster of a hundred or less comes to. */
static void
test_reach_racks(void)
{
	static const size_t bounds[] = { [2] = 5, [3] = 4, [4] = 4, [5] = 3,
		[6] = 3 };

	for (size_t racks = 2; racks <= 6; racks++) {
		size_t most = 0;

		for (size_t count = 1; count <= 100; count++)
			for (size_t own = 0; own <= count; own++) {
				size_t in = picks_in_a_rack(count, own, racks);

				most = in > most ? in : most;
			}
		CU_ASSERT_EQUAL(most, bounds[racks]);
	}
}

/* --- states --------------------------------------------------------------- */

struct bench {
	struct controller controller;
	struct live_broker brokers[4];
	struct live_broker *pointers[4];
	struct partition partition;
	struct assigned replicas[3];
	int32_t isr[3];
	struct arena arena;
	struct znode_state wanted;
};

/* Replicas 1, 2, 3; live: those named; ISR: those named, the leader first. */
static void
bench_init(struct bench *b, const char *live, int32_t leader, const char *isr)
{
	memset(b, 0, sizeof(*b));
	arena_init(&b->arena, 0);
	list_init(&b->controller.departed);
	b->controller.epoch = 9;
	b->controller.context.brokers = b->pointers;
	for (; *live != '\0'; live++) {
		size_t at = b->controller.context.broker_count++;

		b->brokers[at].id = *live - '0';
		b->pointers[at] = &b->brokers[at];
	}
	b->partition.replicas = b->replicas;
	b->partition.replica_count = 3;
	for (int i = 0; i < 3; i++)
		b->replicas[i].broker = i + 1;
	b->partition.written = isr != NULL;
	b->partition.now.leader = leader;
	b->partition.now.leader_epoch = 4;
	b->partition.now.isr = b->isr;
	for (; isr != NULL && *isr != '\0'; isr++)
		b->isr[b->partition.now.isr_count++] = *isr - '0';
}

static bool
bench_decide(struct bench *b, bool unclean)
{
	struct partition_view view = { &b->controller, &b->partition,
		unclean };

	return (rewrite_decide(&view, &b->arena, &b->wanted));
}

static bool
wanted_isr(const struct bench *b, const char *isr)
{
	if (b->wanted.isr_count != (int32_t)strlen(isr))
		return (false);
	for (int32_t i = 0; i < b->wanted.isr_count; i++)
		if (b->wanted.isr[i] != isr[i] - '0')
			return (false);
	return (true);
}

static void
test_decide_new(void)
{
	struct bench b;

	bench_init(&b, "123", -1, NULL);
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT_EQUAL(b.wanted.leader_epoch, 0);
	CU_ASSERT_EQUAL(b.wanted.controller_epoch, 9);
	CU_ASSERT(wanted_isr(&b, "123"));
	arena_fini(&b.arena);
	bench_init(&b, "3", -1, NULL);
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 3);
	CU_ASSERT(wanted_isr(&b, "3"));
	arena_fini(&b.arena);
	bench_init(&b, "", -1, NULL);
	CU_ASSERT(!bench_decide(&b, true));
	arena_fini(&b.arena);
}

static void
test_decide_deaths(void)
{
	struct bench b;

	/* All is well. */
	bench_init(&b, "123", 1, "123");
	CU_ASSERT(!bench_decide(&b, true));
	arena_fini(&b.arena);
	/* The leader died. */
	bench_init(&b, "23", 1, "132");
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT_EQUAL(b.wanted.leader_epoch, 5);
	CU_ASSERT(wanted_isr(&b, "32"));
	arena_fini(&b.arena);
	/* A follower died. */
	bench_init(&b, "13", 1, "123");
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT(wanted_isr(&b, "13"));
	arena_fini(&b.arena);
	/* A follower outside the ISR died. */
	bench_init(&b, "12", 1, "12");
	CU_ASSERT(!bench_decide(&b, false));
	arena_fini(&b.arena);
	/* All of the ISR died: it stays, nobody leads. */
	bench_init(&b, "3", 1, "12");
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, -1);
	CU_ASSERT(wanted_isr(&b, "12"));
	/* Said once. */
	b.partition.now.leader = -1;
	CU_ASSERT(!bench_decide(&b, false));
	/* Unclean: alone, recovering. */
	CU_ASSERT(bench_decide(&b, true));
	CU_ASSERT_EQUAL(b.wanted.leader, 3);
	CU_ASSERT(wanted_isr(&b, "3"));
	CU_ASSERT(b.wanted.recovering);
	arena_fini(&b.arena);
}

/* Dead by the evidence, as the n-th. */
static void
bench_suspect(struct bench *b, size_t at, uint64_t n)
{
	b->brokers[at].suspect = true;
	b->brokers[at].suspicion = b->controller.suspicion = n;
}

static void
test_decide_suspects(void)
{
	struct bench b;

	/* Another leads; it stays in the ISR until that one was heard. */
	bench_init(&b, "123", 1, "123");
	bench_suspect(&b, 0, 2);
	b.brokers[1].proved = 1;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT(wanted_isr(&b, "123"));
	b.brokers[1].proved = 2;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT(wanted_isr(&b, "23"));
	arena_fini(&b.arena);
	/* A follower likewise. */
	bench_init(&b, "123", 1, "123");
	bench_suspect(&b, 2, 1);
	CU_ASSERT(!bench_decide(&b, false));
	b.brokers[1].proved = 1;
	CU_ASSERT(!bench_decide(&b, false));
	b.brokers[0].proved = 1;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT(wanted_isr(&b, "12"));
	arena_fini(&b.arena);
	/* It leads on where nobody else can; who is gone leaves. */
	bench_init(&b, "13", 1, "123");
	bench_suspect(&b, 0, 1);
	bench_suspect(&b, 1, 2);
	CU_ASSERT(bench_decide(&b, true));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT(wanted_isr(&b, "13"));
	b.replicas[2].dir_offline = true;
	CU_ASSERT(bench_decide(&b, true));
	CU_ASSERT(wanted_isr(&b, "1"));
	/* But not without its log. */
	b.replicas[0].dir_offline = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, -1);
	CU_ASSERT(wanted_isr(&b, "123"));
	arena_fini(&b.arena);
	/* A new partition is made without it. */
	bench_init(&b, "123", -1, NULL);
	bench_suspect(&b, 0, 1);
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT(wanted_isr(&b, "23"));
	arena_fini(&b.arena);
}

static void
test_belief(void)
{
	struct bench b;

	bench_init(&b, "123", 1, "123");
	b.partition.belief = BELIEF_PROVED;
	b.replicas[1].unconfirmed_epoch = 7;
	belief_refuted(&b.partition);
	CU_ASSERT(b.partition.written);
	CU_ASSERT_EQUAL(b.replicas[1].unconfirmed_epoch, 7);
	b.partition.belief = BELIEF_HELD;
	b.partition.announce = true;
	belief_refuted(&b.partition);
	CU_ASSERT(!b.partition.written && !b.partition.announce);
	CU_ASSERT_EQUAL(b.partition.belief, BELIEF_NONE);
	CU_ASSERT_EQUAL(b.replicas[1].unconfirmed_epoch, 0);
	arena_fini(&b.arena);
}

static void
test_decide_log_dirs(void)
{
	struct bench b;

	/* The leader's log dir failed; its broker lives. */
	bench_init(&b, "123", 1, "123");
	b.replicas[0].dir_offline = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT(wanted_isr(&b, "23"));
	arena_fini(&b.arena);
	/* Who shuts down neither leads nor is in sync, as in Kafka. */
	bench_init(&b, "23", 1, "123");
	b.brokers[0].shutting_down = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 3);
	CU_ASSERT(wanted_isr(&b, "3"));
	arena_fini(&b.arena);
}

static void
test_decide_departures(void)
{
	struct bench b;

	/* The leader goes. */
	bench_init(&b, "123", 1, "123");
	b.brokers[0].shutting_down = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT_EQUAL(b.wanted.leader_epoch, 5);
	CU_ASSERT(wanted_isr(&b, "23"));
	arena_fini(&b.arena);
	/* A follower goes. */
	bench_init(&b, "123", 1, "123");
	b.brokers[2].shutting_down = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT(wanted_isr(&b, "12"));
	arena_fini(&b.arena);
	/* Nobody else is in sync: it leads on, whatever unclean allows. */
	bench_init(&b, "123", 1, "1");
	b.brokers[0].shutting_down = true;
	CU_ASSERT(!bench_decide(&b, true));
	arena_fini(&b.arena);
	/* All go: the last leader stays, alone. */
	bench_init(&b, "12", 1, "12");
	b.brokers[0].shutting_down = b.brokers[1].shutting_down = true;
	bench_decide(&b, false);
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT(wanted_isr(&b, "1"));
	arena_fini(&b.arena);
	/* The leader died, and who is left in sync goes: a candidate still. */
	bench_init(&b, "2", 1, "12");
	b.brokers[0].shutting_down = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, -1);
	CU_ASSERT(wanted_isr(&b, "12"));
	arena_fini(&b.arena);
	/* The only replica: there is nobody to give it to. */
	bench_init(&b, "1", 1, "1");
	b.partition.replica_count = 1;
	b.brokers[0].shutting_down = true;
	CU_ASSERT(!bench_decide(&b, false));
	arena_fini(&b.arena);
	/* Nothing is made on who goes. */
	bench_init(&b, "12", -1, NULL);
	b.brokers[0].shutting_down = true;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	CU_ASSERT(wanted_isr(&b, "2"));
	arena_fini(&b.arena);
}

/* --- plans ---------------------------------------------------------------- */

struct planning {
	struct config *config;
	struct random random;
	struct arena arena;
	struct image *image;
	struct cluster_broker brokers[3];
	const struct cluster_broker *pointers[3];
	struct plan_surroundings around;
	struct create_topics_request_topic asked;
	struct plan plan;
};

static void
planning_init(struct planning *p)
{
	memset(p, 0, sizeof(*p));
	p->config = config_new();
	(void)config_read(p->config, SLICE_LITERAL("broker.id=1\n"
	    "zookeeper.connect=z:1\nlisteners=PLAINTEXT://h:1\n"
	    "num.partitions=6\ndefault.replication.factor=2\n"));
	CU_ASSERT_FATAL(config_resolve(p->config));
	random_seed(&p->random, 3);
	arena_init(&p->arena, 0);
	p->image = image_new_empty();
	p->image->image.brokers = p->pointers;
	p->image->image.broker_count = 3;
	for (int i = 0; i < 3; i++) {
		p->brokers[i].id = i;
		p->pointers[i] = &p->brokers[i];
	}
	p->around = (struct plan_surroundings){ NULL, &p->image->image,
		config_options(p->config), &p->random, &p->arena };
	p->asked.name = SLICE_LITERAL("orders");
	p->asked.num_partitions = -1;
	p->asked.replication_factor = -1;
}

static void
planning_fini(struct planning *p)
{
	arena_fini(&p->arena);
	config_free(&p->config);
	cluster_image_unref(&p->image->image);
}

static enum error
plan_error(struct planning *p)
{
	plan_make(&p->plan, &p->around, &p->asked);
	plan_fini(&p->plan);
	return (p->plan.error);
}

/* The leader that was asked for, and no other. */
static void
test_decide_wishes(void)
{
	struct bench b;

	bench_init(&b, "123", 2, "213");
	CU_ASSERT(!bench_decide(&b, true));
	b.partition.wish = WISH_UNCLEAN;
	CU_ASSERT(!bench_decide(&b, false));
	b.partition.wish = WISH_PREFERRED;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	CU_ASSERT_EQUAL(b.wanted.leader_epoch, 5);
	CU_ASSERT(wanted_isr(&b, "213"));
	CU_ASSERT(!b.wanted.recovering);
	/* It goes, or its disk is lost, or it is not in sync: it stays. */
	b.brokers[0].shutting_down = true;
	b.partition.now.isr[1] = 3;
	b.partition.now.isr_count = 2;
	CU_ASSERT(!bench_decide(&b, true));
	b.brokers[0].shutting_down = false;
	CU_ASSERT(!bench_decide(&b, true));
	b.partition.now.isr[1] = 1;
	b.replicas[0].dir_offline = true;
	bench_decide(&b, true);
	CU_ASSERT_EQUAL(b.wanted.leader, 2);
	arena_fini(&b.arena);
	/* Nobody leads, and it can. */
	bench_init(&b, "1", -1, "12");
	b.partition.wish = WISH_PREFERRED;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 1);
	arena_fini(&b.arena);
	/* Nobody leads: who is asked for all the same is taken. */
	bench_init(&b, "3", -1, "12");
	b.partition.wish = WISH_PREFERRED;
	CU_ASSERT(!bench_decide(&b, false));
	b.partition.wish = WISH_UNCLEAN;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 3);
	CU_ASSERT(wanted_isr(&b, "3"));
	CU_ASSERT(b.wanted.recovering);
	arena_fini(&b.arena);
	/* In sync comes first. */
	bench_init(&b, "13", 2, "32");
	b.partition.wish = WISH_UNCLEAN;
	CU_ASSERT(bench_decide(&b, false));
	CU_ASSERT_EQUAL(b.wanted.leader, 3);
	CU_ASSERT(!b.wanted.recovering);
	arena_fini(&b.arena);
}

static void
test_wish_needed(void)
{
	struct bench b;

	bench_init(&b, "23", 2, "213");
	CU_ASSERT(poll_needed(&b.controller, &b.partition, WISH_PREFERRED));
	CU_ASSERT(!poll_needed(&b.controller, &b.partition, WISH_UNCLEAN));
	b.brokers[0].shutting_down = true;
	CU_ASSERT(poll_needed(&b.controller, &b.partition, WISH_UNCLEAN));
	b.partition.now.leader = 1;
	CU_ASSERT(!poll_needed(&b.controller, &b.partition, WISH_PREFERRED));
	CU_ASSERT(poll_needed(&b.controller, &b.partition, WISH_UNCLEAN));
	b.partition.now.leader = -1;
	CU_ASSERT(poll_needed(&b.controller, &b.partition, WISH_UNCLEAN));
	arena_fini(&b.arena);
}

static void
test_plan_defaults(void)
{
	struct planning p;
	struct znode_topic node;

	planning_init(&p);
	CU_ASSERT_EQUAL(plan_error(&p), ERR_NONE);
	CU_ASSERT_EQUAL(p.plan.partition_count, 6);
	CU_ASSERT_EQUAL(p.plan.replication_factor, 2);
	CU_ASSERT_FATAL(znode_topic_decode(p.plan.topic_json, &p.arena,
	    &node));
	CU_ASSERT_EQUAL(node.partition_count, 6);
	CU_ASSERT_EQUAL(node.partitions[5].replica_count, 2);
	CU_ASSERT(uuid_equal(node.id, p.plan.id));
	CU_ASSERT(slice_equal_text(p.plan.config_json,
	    "{\"version\":1,\"config\":{}}"));
	planning_fini(&p);
}

static void
test_plan_refusals(void)
{
	struct planning p;
	struct create_topics_request_config config = {
		SLICE_LITERAL("retention.ms"), SLICE_NULL };

	planning_init(&p);
	p.asked.num_partitions = 0;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_PARTITIONS);
	CU_ASSERT_STRING_EQUAL(p.plan.message,
	    "Number of partitions must be larger than 0.");
	p.asked.num_partitions = INT32_MAX;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_PARTITIONS);
	p.asked.num_partitions = 1;
	p.asked.replication_factor = 0;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICATION_FACTOR);
	p.asked.replication_factor = 4;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICATION_FACTOR);
	CU_ASSERT_STRING_EQUAL(p.plan.message,
	    "Replication factor: 4 larger than available brokers: 3.");
	p.asked.replication_factor = 1;
	p.asked.name = SLICE_LITERAL("a/b");
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_TOPIC_EXCEPTION);
	p.asked.name = slice_of("a\0b", 3);
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_TOPIC_EXCEPTION);
	p.asked.name = SLICE_EMPTY;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_TOPIC_EXCEPTION);
	p.asked.name = SLICE_LITERAL("a");
	p.asked.configs = &config;
	p.asked.configs_count = 1;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_CONFIG);
	CU_ASSERT_STRING_EQUAL(p.plan.message,
	    "Null value not supported for topic configs: retention.ms");
	config.value = SLICE_LITERAL("soon");
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_CONFIG);
	config.name = SLICE_LITERAL("no.such");
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_CONFIG);
	config.name = SLICE_LITERAL("retention.ms");
	config.value = SLICE_LITERAL("100");
	CU_ASSERT_EQUAL(plan_error(&p), ERR_NONE);
	CU_ASSERT(slice_equal_text(p.plan.config_json,
	    "{\"version\":1,\"config\":{\"retention.ms\":\"100\"}}"));
	planning_fini(&p);
}

static void
test_plan_manual(void)
{
	struct planning p;
	int32_t one[] = { 7, 8 }, two[] = { 8, 8 };
	struct create_topics_request_assignment a[] = {
		{ .partition_index = 1, .broker_ids = one,
		    .broker_ids_count = 2 },
		{ .partition_index = 0, .broker_ids = one,
		    .broker_ids_count = 2 },
	};

	planning_init(&p);
	p.asked.assignments = a;
	p.asked.assignments_count = 2;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_NONE);
	CU_ASSERT_EQUAL(p.plan.partition_count, 2);
	CU_ASSERT_EQUAL(p.plan.replication_factor, 2);
	p.asked.num_partitions = 2;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REQUEST);
	p.asked.num_partitions = -1;
	a[0].partition_index = 2;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICA_ASSIGNMENT);
	CU_ASSERT_STRING_EQUAL(p.plan.message, "partitions should be a "
	    "consecutive 0-based integer sequence");
	/* Of two for a partition the last counts. */
	a[0].partition_index = 0;
	a[1].broker_ids_count = 1;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_NONE);
	CU_ASSERT_EQUAL(p.plan.partition_count, 1);
	CU_ASSERT_EQUAL(p.plan.replication_factor, 1);
	a[1].broker_ids_count = 2;
	a[0].partition_index = -1;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICA_ASSIGNMENT);
	a[0].partition_index = 1;
	a[0].broker_ids = two;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICA_ASSIGNMENT);
	CU_ASSERT_STRING_EQUAL(p.plan.message, "Duplicate replica assignment "
	    "found: HashMap(0 -> ArrayBuffer(7, 8), 1 -> ArrayBuffer(8, 8))");
	a[0].broker_ids_count = 1;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICA_ASSIGNMENT);
	CU_ASSERT_STRING_EQUAL(p.plan.message,
	    "All partitions should have the same number of replicas");
	a[1].broker_ids_count = a[0].broker_ids_count = 0;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_REPLICA_ASSIGNMENT);
	planning_fini(&p);
}

/* Larger than any node may be: refused before it costs the loop's time. */
static void
test_plan_too_large(void)
{
	struct planning p;
	int32_t ids[PLAN_REPLICAS_MAX];
	size_t count = 2 * PLAN_ASSIGNED_MAX / PLAN_REPLICAS_MAX;
	struct create_topics_request_assignment *a = mem_zalloc(count *
	    sizeof(*a));

	planning_init(&p);
	for (int32_t i = 0; i < PLAN_REPLICAS_MAX; i++)
		ids[i] = i;
	for (size_t i = 0; i < count; i++)
		a[i] = (struct create_topics_request_assignment){
			.partition_index = (int32_t)i, .broker_ids = ids,
			.broker_ids_count = PLAN_REPLICAS_MAX };
	p.asked.assignments = a;
	p.asked.assignments_count = (int32_t)count;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_INVALID_PARTITIONS);
	p.asked.assignments_count = 10;
	CU_ASSERT_EQUAL(plan_error(&p), ERR_NONE);
	planning_fini(&p);
	mem_free(a);
}

static void
test_plan_automatic(void)
{
	struct planning p;

	planning_init(&p);
	plan_make_automatic(&p.plan, &p.around, "orders");
	CU_ASSERT_EQUAL(p.plan.error, ERR_NONE);
	CU_ASSERT_EQUAL(p.plan.partition_count, 6);
	plan_fini(&p.plan);
	plan_make_automatic(&p.plan, &p.around, "__consumer_offsets");
	CU_ASSERT_EQUAL(p.plan.error, ERR_NONE);
	CU_ASSERT_EQUAL(p.plan.partition_count, 50);
	CU_ASSERT_EQUAL(p.plan.replication_factor, 3);
	CU_ASSERT_STRING_EQUAL(config_map_get(&p.plan.configs,
	    "cleanup.policy"), "compact");
	plan_fini(&p.plan);
	p.image->image.broker_count = 2;
	plan_make_automatic(&p.plan, &p.around, "__transaction_state");
	CU_ASSERT_EQUAL(p.plan.error, ERR_INVALID_REPLICATION_FACTOR);
	plan_fini(&p.plan);
	planning_fini(&p);
}

static const struct unit_test tests[] = {
	{ "election: offline", test_election_offline },
	{ "election: others", test_election_others },
	{ "reassignments", test_reassignment },
	{ "balance", test_balance },
	{ "alterations: members", test_alteration },
	{ "alterations: epochs", test_alteration_epochs },
	{ "alterations: recovery", test_alteration_recovery },
	{ "placement: rounds", test_placement_rounds },
	{ "placement: of others", test_placement_of_others },
	{ "placement: racks", test_placement_racks_example },
	{ "placement: refusals", test_placement_refusals },
	{ "placement: all small clusters", test_placement_all },
	{ "moves", test_moves },
	{ "reach", test_reach },
	{ "reach: racks", test_reach_racks },
	{ "decide: new", test_decide_new },
	{ "decide: deaths", test_decide_deaths },
	{ "decide: suspects", test_decide_suspects },
	{ "belief", test_belief },
	{ "decide: log dirs, shutdown", test_decide_log_dirs },
	{ "decide: departures", test_decide_departures },
	{ "decide: wishes", test_decide_wishes },
	{ "wishes: needed", test_wish_needed },
	{ "plan: defaults", test_plan_defaults },
	{ "plan: refusals", test_plan_refusals },
	{ "plan: manual", test_plan_manual },
	{ "plan: too large", test_plan_too_large },
	{ "plan: automatic", test_plan_automatic },
};

int
main(void)
{
	return (unit_main("controller", tests, nelems(tests)));
}
