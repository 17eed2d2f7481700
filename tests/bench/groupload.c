/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of consumer groups, a connection each, for tests/bench/groups.py:
 *
 *	groupload steady ADDRESS TOPIC MEMBERS GROUPS PER_SECOND SECONDS
 *	groupload rebalance ADDRESS TOPIC MEMBERS ROUNDS
 *
 * Both form groups of so many members, print "ready", wait for a line,
 * measure, print one line of key=value, wait for another and leave.  It is best
 * that the broker waits for a group's first members
 * (group.initial.rebalance.delay.ms), so that each forms in one generation.
 *
 * steady: all members in turn heartbeat and commit, at that rate in all.
 * rebalance: a member leaves, and when the others have settled it joins anew.
 * Measured is from its first JoinGroup to the last answer to a SyncGroup; the
 * others do what clients do whose heartbeat is due just then.
 *
 *	          79: again with an id     27: a member came or went
 *	            +-----+           +---------------------------------+
 *	            v     |           v                                 |
 *	  [out] --> [joining] --> [joining] --> [syncing] --> [stable] -+
 *	    ^                                                    |
 *	    +--------------------- leaves -----------------------+
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "lanes.h"

#define JOIN_VERSION 9
#define SYNC_VERSION 5
#define HEARTBEAT_VERSION 4
#define LEAVE_VERSION 5
#define COMMIT_VERSION 9
#define PROTOCOL_VERSION 3 /* of subscriptions and assignments */

#define SESSION_MS 45000
#define REBALANCE_MS 60000
#define STALL_MS 60000
#define IN_FLIGHT_MAX 16
#define ID_MAX 64
#define PARTITIONS_EACH 2

enum state { MEMBER_OUT, MEMBER_JOINING, MEMBER_SYNCING, MEMBER_STABLE };

struct asked {
	enum api_key api;
	int64_t at_ns;
};

struct member {
	struct run *run;
	const char *group;
	long index; /* in its group */
	int32_t whole; /* index 0: the group's generation that has all */
	enum state state;
	int descriptor;
	int32_t generation;
	uint8_t id[ID_MAX];
	size_t id_length; /* 0: none yet */
	struct buffer in;
	struct asked asked[IN_FLIGHT_MAX]; /* what is not answered yet */
	unsigned next_asked;
	unsigned next_answer;
	struct buffer heartbeat; /* steady: the frames */
	struct buffer commit;
};

struct run {
	const char *address;
	const char *topic;
	int poll;
	struct member *members; /* those of a group in a row */
	long count;
	long group_size;
	long expected; /* members in the generation that is to come, */
	long settled;  /* and those who are stable in it */
	struct member *guest; /* once it joins, the others find out */
	bool steady;
	long groups_left; /* whose members are about to leave */
	struct buffer subscription;
	struct buffer scratch;
	struct arena arena; /* of the answer that is looked at */
	float *latency_ms;
	long requests; /* to be answered in all */
	long begun;
	long answered;
};

static void member_answered(void *arg, struct slice frame);

/* --- asking --------------------------------------------------------------- */

static void
member_send(struct member *m, enum api_key api, const struct buffer *frame)
{
	m->asked[m->next_asked++ % IN_FLIGHT_MAX] = (struct asked){
		.api = api, .at_ns = now_ns() };
	if (!send_all(m->descriptor, buffer_slice(frame)))
		fail("send");
}

static void
member_ask(struct member *m, enum api_key api, int version,
    const void *request)
{
	frame_make(api, version, request, &m->run->scratch);
	member_send(m, api, &m->run->scratch);
}

static struct slice
member_id(const struct member *m)
{
	return (slice_of(m->id, m->id_length));
}

static void
member_join(struct member *m)
{
	const struct slice subscription = buffer_slice(&m->run->subscription);
	struct join_group_request_protocol protocols[] = {
		{ SLICE_LITERAL("range"), subscription },
		{ SLICE_LITERAL("cooperative-sticky"), subscription },
	};
	struct join_group_request request;

	wire_init(&message_join_group_request, &request);
	request.group_id = slice_of_text(m->group);
	request.session_timeout_ms = SESSION_MS;
	request.rebalance_timeout_ms = REBALANCE_MS;
	request.member_id = member_id(m);
	request.protocol_type = SLICE_LITERAL("consumer");
	request.protocols = protocols;
	request.protocols_count = 2;
	m->state = MEMBER_JOINING;
	member_ask(m, API_JOIN_GROUP, JOIN_VERSION, &request);
}

static void
heartbeat_frame(const struct member *m, struct buffer *frame)
{
	struct heartbeat_request request;

	wire_init(&message_heartbeat_request, &request);
	request.group_id = slice_of_text(m->group);
	request.generation_id = m->generation;
	request.member_id = member_id(m);
	frame_make(API_HEARTBEAT, HEARTBEAT_VERSION, &request, frame);
}

static void
member_beat(struct member *m)
{
	heartbeat_frame(m, &m->run->scratch);
	member_send(m, API_HEARTBEAT, &m->run->scratch);
}

static void
commit_frame(const struct member *m, struct buffer *frame)
{
	struct offset_commit_request_partition parts[PARTITIONS_EACH];
	struct offset_commit_request_topic topic = {
		.name = slice_of_text(m->run->topic),
		.partitions = parts,
		.partitions_count = PARTITIONS_EACH,
	};
	struct offset_commit_request request;

	for (int i = 0; i < PARTITIONS_EACH; i++)
		parts[i] = (struct offset_commit_request_partition){
			.partition_index = (int32_t)(m->index +
			    i * m->run->group_size),
			.committed_offset = 1000000,
			.committed_leader_epoch = -1,
			.commit_timestamp = -1,
			.committed_metadata = SLICE_EMPTY,
		};
	wire_init(&message_offset_commit_request, &request);
	request.group_id = slice_of_text(m->group);
	request.generation_id_or_member_epoch = m->generation;
	request.member_id = member_id(m);
	request.topics = &topic;
	request.topics_count = 1;
	frame_make(API_OFFSET_COMMIT, COMMIT_VERSION, &request, frame);
}

/* `count` members of one group, from `m` on. */
static void
members_leave(struct member *m, long count)
{
	struct leave_group_request_member *rows = mem_zalloc(
	    (size_t)count * sizeof(*rows));
	struct leave_group_request request;

	for (long i = 0; i < count; i++)
		rows[i].member_id = member_id(&m[i]);
	wire_init(&message_leave_group_request, &request);
	request.group_id = slice_of_text(m->group);
	request.members = rows;
	request.members_count = (int32_t)count;
	member_ask(m, API_LEAVE_GROUP, LEAVE_VERSION, &request);
	mem_free(rows);
}

/* --- what members say to each other --------------------------------------- */

static void
protocol_encode(const struct message *message, const void *object,
    struct buffer *out)
{
	out->length = 0;
	bytes_put_u16(buffer_extend(out, 2), PROTOCOL_VERSION);
	if (wire_encode_bytes(message, PROTOCOL_VERSION, object, out) !=
	    WIRE_OK) {
		errno = EINVAL;
		fail("encode");
	}
}

static void
subscription_make(struct run *run)
{
	struct slice topic = slice_of_text(run->topic);
	struct consumer_protocol_subscription subscription;

	wire_init(&message_consumer_protocol_subscription, &subscription);
	subscription.topics = &topic;
	subscription.topics_count = 1;
	protocol_encode(&message_consumer_protocol_subscription, &subscription,
	    &run->subscription);
}

static struct slice
assignment_make(struct run *run, long index)
{
	int32_t partitions[PARTITIONS_EACH];
	struct consumer_protocol_assignment_assigned_partition topic = {
		.topic = slice_of_text(run->topic),
		.partitions = partitions,
		.partitions_count = PARTITIONS_EACH,
	};
	struct consumer_protocol_assignment assignment;
	bool ok = true;

	for (int i = 0; i < PARTITIONS_EACH; i++)
		partitions[i] = (int32_t)(index + i * run->group_size);
	wire_init(&message_consumer_protocol_assignment, &assignment);
	assignment.assigned_partitions = &topic;
	assignment.assigned_partitions_count = 1;
	protocol_encode(&message_consumer_protocol_assignment, &assignment,
	    &run->scratch);
	return (arena_slice_copy(&run->arena, buffer_slice(&run->scratch),
	    &ok));
}

/* What the leader hands out. */
static void
assign_all(struct run *run, const struct join_group_response *joined,
    struct sync_group_request *request)
{
	const int32_t count = joined->members_count;
	struct sync_group_request_assignment *rows = arena_array(&run->arena,
	    (size_t)count, sizeof(*rows));

	for (int32_t i = 0; i < count; i++) {
		rows[i].member_id = joined->members[i].member_id;
		rows[i].assignment = assignment_make(run, i);
	}
	request->assignments = rows;
	request->assignments_count = count;
}

/* --- answers -------------------------------------------------------------- */

static void
members_beat(struct run *run, const struct member *but)
{
	for (struct member *m = run->members; m < run->members + run->count;
	     m++)
		if (m != but)
			member_beat(m);
}

static void
member_keep_id(struct member *m, struct slice id)
{
	if (id.length > ID_MAX) {
		errno = EPROTO;
		fail("member id");
	}
	memcpy(m->id, id.data, id.length);
	m->id_length = id.length;
}

static void
member_joined(struct member *m, struct slice frame)
{
	struct run *run = m->run;
	struct join_group_response response;
	struct sync_group_request request;

	frame_read(API_JOIN_GROUP, JOIN_VERSION, frame, &run->arena,
	    &response);
	if (response.error_code == ERR_MEMBER_ID_REQUIRED) {
		member_keep_id(m, response.member_id);
		member_join(m);
		if (m == run->guest)
			members_beat(run, m);
		return;
	}
	if (response.error_code != ERR_NONE)
		refused("JoinGroup", response.error_code);
	member_keep_id(m, response.member_id);
	m->generation = response.generation_id;
	wire_init(&message_sync_group_request, &request);
	request.group_id = slice_of_text(m->group);
	request.generation_id = m->generation;
	request.member_id = member_id(m);
	request.protocol_type = response.protocol_type;
	request.protocol_name = response.protocol_name;
	if (slice_equal(response.leader, response.member_id)) {
		assign_all(run, &response, &request);
		if (response.members_count == run->expected)
			m[-m->index].whole = m->generation;
	}
	m->state = MEMBER_SYNCING;
	member_ask(m, API_SYNC_GROUP, SYNC_VERSION, &request);
}

static void
member_synced(struct member *m, struct slice frame)
{
	struct sync_group_response response;

	frame_read(API_SYNC_GROUP, SYNC_VERSION, frame, &m->run->arena,
	    &response);
	if (response.error_code == ERR_REBALANCE_IN_PROGRESS) {
		member_join(m);
		return;
	}
	if (response.error_code != ERR_NONE)
		refused("SyncGroup", response.error_code);
	m->state = MEMBER_STABLE;
	if (m->generation == m[-m->index].whole)
		m->run->settled++;
	else
		member_beat(m);
}

/* Who came or went, or is still to come, may not have arrived yet. */
static void
member_beaten(struct member *m, struct slice frame)
{
	struct heartbeat_response response;

	frame_read(API_HEARTBEAT, HEARTBEAT_VERSION, frame, &m->run->arena,
	    &response);
	if (!m->run->steady && response.error_code == ERR_REBALANCE_IN_PROGRESS)
		member_join(m);
	else if (response.error_code != ERR_NONE)
		refused("Heartbeat", response.error_code);
	else if (!m->run->steady)
		member_beat(m);
}

static void
member_committed(struct member *m, struct slice frame)
{
	struct offset_commit_response response;
	const struct offset_commit_response_topic *topic;

	frame_read(API_OFFSET_COMMIT, COMMIT_VERSION, frame, &m->run->arena,
	    &response);
	topic = response.topics;
	for (int32_t i = 0; i < topic->partitions_count; i++)
		if (topic->partitions[i].error_code != ERR_NONE)
			refused("OffsetCommit",
			    topic->partitions[i].error_code);
}

static void
member_left(struct member *m, struct slice frame)
{
	struct leave_group_response response;

	frame_read(API_LEAVE_GROUP, LEAVE_VERSION, frame, &m->run->arena,
	    &response);
	if (response.error_code != ERR_NONE)
		refused("LeaveGroup", response.error_code);
	for (int32_t i = 0; i < response.members_count; i++)
		if (response.members[i].error_code != ERR_NONE)
			refused("LeaveGroup", response.members[i].error_code);
	m->state = MEMBER_OUT;
	m->run->groups_left--;
}

static void
member_answered(void *arg, struct slice frame)
{
	struct member *m = arg;
	struct run *run = m->run;
	const struct asked *asked = &m->asked[m->next_answer++ %
	    IN_FLIGHT_MAX];

	arena_reset(&run->arena);
	if (run->steady)
		run->latency_ms[run->answered++] =
		    (float)(now_ns() - asked->at_ns) / 1e6f;
	if (asked->api == API_JOIN_GROUP)
		member_joined(m, frame);
	else if (asked->api == API_SYNC_GROUP)
		member_synced(m, frame);
	else if (asked->api == API_HEARTBEAT)
		member_beaten(m, frame);
	else if (asked->api == API_OFFSET_COMMIT)
		member_committed(m, frame);
	else
		member_left(m, frame);
}

/* --- groups --------------------------------------------------------------- */

static void
run_turn(struct run *run)
{
	struct epoll_event events[256];
	const int n = epoll_wait(run->poll, events, 256, STALL_MS);

	if (n == 0) {
		errno = ETIMEDOUT;
		fail("no progress");
	}
	for (int i = 0; i < n; i++) {
		struct member *m = events[i].data.ptr;

		if (m != NULL)
			(void)frames_take(m->descriptor, &m->in,
			    member_answered, m);
	}
}

/* The next generation is one of so many in each group. */
static void
run_expect(struct run *run, long group_size)
{
	run->expected = group_size;
	run->settled = 0;
}

static void
run_settle(struct run *run, long count)
{
	while (run->settled < count)
		run_turn(run);
}

static void
member_open(struct member *m)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = m };

	m->descriptor = dial(m->run->address);
	if (m->descriptor < 0)
		fail(m->run->address);
	if (epoll_ctl(m->run->poll, EPOLL_CTL_ADD, m->descriptor, &event) != 0)
		fail("epoll");
}

/* Groups TOPIC-0, TOPIC-1, .. whose members are all stable. */
static void
run_form(struct run *run, char **words, long groups)
{
	*run = (struct run){ .address = words[0], .topic = words[1],
		.group_size = number_of(words[2]),
		.poll = epoll_create1(0) };
	if (run->poll < 0)
		fail("epoll");
	run->count = groups * run->group_size;
	run->members = mem_zalloc((size_t)run->count * sizeof(*run->members));
	arena_init(&run->arena, 0);
	subscription_make(run);
	for (long i = 0; i < run->count; i++) {
		struct member *m = &run->members[i];
		char name[256];

		(void)snprintf(name, sizeof(name), "%s-%ld", run->topic,
		    i / run->group_size);
		m->run = run;
		m->index = i % run->group_size;
		m->group = m->index == 0 ? mem_strdup(name) : m[-1].group;
		member_open(m);
	}
	run_expect(run, run->group_size);
	for (long i = 0; i < run->count; i++)
		member_join(&run->members[i]);
	run_settle(run, run->count);
}

static void
run_end(struct run *run)
{
	run->groups_left = run->count / run->group_size;
	for (long i = 0; i < run->count; i += run->group_size)
		members_leave(&run->members[i], run->group_size);
	while (run->groups_left > 0)
		run_turn(run);
}

/* What was printed is seen by then. */
static void
await_line(void)
{
	(void)fflush(stdout);
	if (getchar() == EOF)
		exit(1);
}

/* --- steady --------------------------------------------------------------- */

/* Who is asked too much already: the broker lags, and this falls behind. */
static void
steady_ticks(struct run *run, int ticker)
{
	for (uint64_t ticks = ticker_take(ticker); ticks > 0 &&
	     run->begun < run->requests; ticks--) {
		const long cycle = run->begun / run->count;
		struct member *m = &run->members[run->begun % run->count];

		if (m->next_asked - m->next_answer == IN_FLIGHT_MAX)
			return;
		if (((cycle + run->begun) & 1) == 0)
			member_send(m, API_HEARTBEAT, &m->heartbeat);
		else
			member_send(m, API_OFFSET_COMMIT, &m->commit);
		run->begun++;
	}
}

static int
command_steady(char **words)
{
	const long per_second = number_of(words[4]);
	struct run run;
	int64_t began;
	double cpu;
	int ticker;

	run_form(&run, words, number_of(words[3]));
	run.requests = per_second * number_of(words[5]);
	run.latency_ms = mem_zalloc((size_t)run.requests * sizeof(float));
	for (long i = 0; i < run.count; i++) {
		heartbeat_frame(&run.members[i], &run.members[i].heartbeat);
		commit_frame(&run.members[i], &run.members[i].commit);
	}
	printf("ready\n");
	await_line();
	run.steady = true;
	began = now_ns();
	cpu = cpu_seconds();
	ticker = ticker_open(run.poll, per_second);
	while (run.answered < run.requests) {
		run_turn(&run);
		steady_ticks(&run, ticker);
	}
	run.steady = false;
	printf("seconds=%.4f requests=%ld client_cpu=%.4f",
	    (double)(now_ns() - began) / 1e9, run.answered,
	    cpu_seconds() - cpu);
	print_quantiles("", run.latency_ms, run.answered);
	printf("\n");
	await_line();
	if (epoll_ctl(run.poll, EPOLL_CTL_DEL, ticker, NULL) != 0)
		fail("epoll");
	run_end(&run);
	return (0);
}

/* --- rebalance ------------------------------------------------------------ */

/* How long it takes until all are one generation again. */
static float
rebalance_round(struct run *run, struct member *guest)
{
	int64_t began;

	run->guest = NULL;
	run_expect(run, run->count - 1);
	members_leave(guest, 1);
	while (guest->state != MEMBER_OUT)
		run_turn(run);
	members_beat(run, guest);
	run_settle(run, run->count - 1);

	run->guest = guest;
	run_expect(run, run->count);
	guest->id_length = 0;
	began = now_ns();
	member_join(guest);
	run_settle(run, run->count);
	return ((float)(now_ns() - began) / 1e6f);
}

static int
command_rebalance(char **words)
{
	const long rounds = number_of(words[3]);
	float *ms = mem_zalloc((size_t)rounds * sizeof(float));
	struct run run;
	int64_t began;
	double cpu;

	run_form(&run, words, 1);
	printf("ready\n");
	await_line();
	began = now_ns();
	cpu = cpu_seconds();
	/* The leader's turn comes too: the one who joined first. */
	for (long i = 0; i < rounds; i++)
		ms[i] = rebalance_round(&run, &run.members[i * 7 % run.count]);
	printf("seconds=%.4f rounds=%ld client_cpu=%.4f",
	    (double)(now_ns() - began) / 1e9, rounds, cpu_seconds() - cpu);
	print_quantiles("", ms, rounds);
	printf("\n");
	await_line();
	run_end(&run);
	return (0);
}

int
main(int argc, char **argv)
{
	if (argc == 8 && strcmp(argv[1], "steady") == 0)
		return (command_steady(argv + 2));
	if (argc == 6 && strcmp(argv[1], "rebalance") == 0)
		return (command_rebalance(argv + 2));
	fprintf(stderr, "usage: see the head of tests/bench/groupload.c\n");
	return (2);
}
