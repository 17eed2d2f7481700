/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many committed offsets, for tests/bench/groups.py:
 *
 *	offsetload ready ADDRESS
 *	offsetload commit ADDRESS TOPIC TOPICS PARTITIONS GROUPS
 *	offsetload check ADDRESS TOPIC TOPICS PARTITIONS GROUPS
 *
 * Each prints one line of key=value.  ready asks one group of each partition
 * of __consumer_offsets for its offsets, again and again, from before the
 * broker listens until none is answered by an error; `seconds` begins with the
 * first answer that tells of a coordinator, be it one that loads.  commit: a
 * request a group, of all partitions of TOPIC-0, TOPIC-1, ..  check reads them
 * back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "client.h"

#define FIND_VERSION 4
#define FETCH_VERSION 8
#define COMMIT_VERSION 8

#define COORDINATORS 50 /* offsets.topic.num.partitions */
#define GIVE_UP_NS (INT64_C(180) * 1000000000)
#define NAME_MAX_BYTES 64
#define TOPICS_MAX 100

/* --- ready ---------------------------------------------------------------- */

/* A group of each partition; nothing is committed for it. */
static void
probes_make(struct offset_fetch_request_group *groups)
{
	static char names[COORDINATORS][NAME_MAX_BYTES];
	int left = COORDINATORS;

	for (int i = 0; left > 0; i++) {
		char name[NAME_MAX_BYTES];
		const int length = snprintf(name, sizeof(name), "probe-%d", i);
		/* Kafka takes the absolute value; no such name has the one that
		 * has none. */
		const int at = abs(hash_java_string(name, (size_t)length)) %
		    COORDINATORS;

		if (names[at][0] != '\0')
			continue;
		memcpy(names[at], name, sizeof(name));
		groups[at].group_id = slice_of_text(names[at]);
		groups[at].member_epoch = -1;
		left--;
	}
}

/* It makes __consumer_offsets where that is not there yet. */
static bool
find_coordinator(struct client *client)
{
	struct slice key = SLICE_LITERAL("probe-0");
	struct find_coordinator_request request;
	struct find_coordinator_response response;

	wire_init(&message_find_coordinator_request, &request);
	request.coordinator_keys = &key;
	request.coordinator_keys_count = 1;
	return (client_call(client, API_FIND_COORDINATOR, FIND_VERSION,
	    &request, &response));
}

/* False: no answer. */
static bool
probe(struct client *client, struct offset_fetch_request_group *groups,
    int *loading, int *active)
{
	struct offset_fetch_request request;
	struct offset_fetch_response response;

	wire_init(&message_offset_fetch_request, &request);
	request.groups = groups;
	request.groups_count = COORDINATORS;
	if (!client_call(client, API_OFFSET_FETCH, FETCH_VERSION, &request,
	    &response))
		return (false);
	*loading = *active = 0;
	for (int32_t i = 0; i < response.groups_count; i++) {
		const int error = response.groups[i].error_code;

		*active += error == ERR_NONE;
		*loading += error == ERR_COORDINATOR_LOAD_IN_PROGRESS;
	}
	return (true);
}

static int
command_ready(char **words)
{
	static struct offset_fetch_request_group groups[COORDINATORS];
	const int64_t start = now_ns();
	struct client client = { .descriptor = -1 };
	int64_t first = 0, end;
	int loading = 0, active = 0;

	probes_make(groups);
	for (; active < COORDINATORS; rest_ms(3)) {
		if (now_ns() - start > GIVE_UP_NS)
			fail("not ready");
		if ((client.descriptor < 0 &&
			!client_open(&client, words[0])) ||
		    (first == 0 && !find_coordinator(&client)) ||
		    !probe(&client, groups, &loading, &active)) {
			client_close(&client);
			continue;
		}
		if (first == 0 && loading + active > 0)
			first = now_ns();
	}
	end = now_ns();
	client_close(&client);
	printf("at_ns=%" PRId64 " seconds=%.4f\n", end,
	    (double)(end - first) / 1e9);
	return (0);
}

/* --- commit, check -------------------------------------------------------- */

struct plan {
	struct client client;
	char group[NAME_MAX_BYTES];
	char names[TOPICS_MAX][NAME_MAX_BYTES];
	long topics;
	long partitions;
	long groups;
};

static void
plan_make(struct plan *plan, char **words)
{
	plan->topics = number_of(words[2]);
	plan->partitions = number_of(words[3]);
	plan->groups = number_of(words[4]);
	if (plan->topics > TOPICS_MAX)
		number_of("too many topics");
	for (long i = 0; i < plan->topics; i++)
		(void)snprintf(plan->names[i], NAME_MAX_BYTES, "%s-%ld",
		    words[1], i);
	if (!client_open(&plan->client, words[0]))
		fail(words[0]);
}

static struct slice
plan_group(struct plan *plan, long group)
{
	(void)snprintf(plan->group, sizeof(plan->group),
	    "bench-offsets-group-%05ld", group);
	return (slice_of_text(plan->group));
}

/* Of every partition of a topic, other than of all others'. */
static int64_t
offset_of(long group, int32_t partition)
{
	return (group * 1000 + partition);
}

static struct offset_commit_request_topic *
commit_topics(struct plan *plan)
{
	struct offset_commit_request_topic *topics = mem_zalloc(
	    (size_t)plan->topics * sizeof(*topics));

	for (long i = 0; i < plan->topics; i++) {
		topics[i].name = slice_of_text(plan->names[i]);
		topics[i].partitions = mem_zalloc((size_t)plan->partitions *
		    sizeof(*topics[i].partitions));
		topics[i].partitions_count = (int32_t)plan->partitions;
	}
	return (topics);
}

static void
commit_offsets(struct plan *plan, struct offset_commit_request_topic *topics,
    long group)
{
	for (long i = 0; i < plan->topics; i++)
		for (int32_t p = 0; p < topics[i].partitions_count; p++)
			topics[i].partitions[p] =
			    (struct offset_commit_request_partition){
				.partition_index = p,
				.committed_offset = offset_of(group, p),
				.committed_leader_epoch = -1,
				.commit_timestamp = -1,
				.committed_metadata = SLICE_EMPTY,
			    };
}

static void
commit_judge(const struct offset_commit_response *response)
{
	for (int32_t i = 0; i < response->topics_count; i++) {
		const struct offset_commit_response_topic *topic =
		    &response->topics[i];

		for (int32_t p = 0; p < topic->partitions_count; p++)
			if (topic->partitions[p].error_code != ERR_NONE)
				refused("OffsetCommit",
				    topic->partitions[p].error_code);
	}
}

static int
command_commit(char **words)
{
	static struct plan plan;
	const int64_t began = now_ns();
	struct offset_commit_request_topic *topics;

	plan_make(&plan, words);
	topics = commit_topics(&plan);
	for (long group = 0; group < plan.groups; group++) {
		struct offset_commit_request request;
		struct offset_commit_response response;

		commit_offsets(&plan, topics, group);
		wire_init(&message_offset_commit_request, &request);
		request.group_id = plan_group(&plan, group);
		request.topics = topics;
		request.topics_count = (int32_t)plan.topics;
		if (!client_call(&plan.client, API_OFFSET_COMMIT,
		    COMMIT_VERSION, &request, &response))
			fail("OffsetCommit");
		commit_judge(&response);
	}
	client_close(&plan.client);
	printf("seconds=%.4f offsets=%ld\n", (double)(now_ns() - began) / 1e9,
	    plan.groups * plan.topics * plan.partitions);
	return (0);
}

static long
offsets_right(const struct offset_fetch_response_group *answer, long group)
{
	long right = 0;

	if (answer->error_code != ERR_NONE)
		refused("OffsetFetch", answer->error_code);
	for (int32_t i = 0; i < answer->topics_count; i++)
		for (int32_t p = 0; p < answer->topics[i].partitions_count;
		     p++)
			right += answer->topics[i].partitions[p]
				     .committed_offset == offset_of(group,
			    answer->topics[i].partitions[p].partition_index);
	return (right);
}

static int
command_check(char **words)
{
	static struct plan plan;
	const int64_t began = now_ns();
	long right = 0;

	plan_make(&plan, words);
	for (long group = 0; group < plan.groups; group++) {
		struct offset_fetch_request_group asked = {
			.group_id = plan_group(&plan, group),
			.member_epoch = -1,
		};
		struct offset_fetch_request request;
		struct offset_fetch_response response;

		wire_init(&message_offset_fetch_request, &request);
		request.groups = &asked;
		request.groups_count = 1;
		if (!client_call(&plan.client, API_OFFSET_FETCH, FETCH_VERSION,
		    &request, &response))
			fail("OffsetFetch");
		right += offsets_right(response.groups, group);
	}
	client_close(&plan.client);
	if (right != plan.groups * plan.topics * plan.partitions) {
		errno = ENODATA;
		fail("offsets are missing");
	}
	printf("seconds=%.4f offsets=%ld\n", (double)(now_ns() - began) / 1e9,
	    right);
	return (0);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "ready") == 0)
		return (command_ready(argv + 2));
	if (argc == 7 && strcmp(argv[1], "commit") == 0)
		return (command_commit(argv + 2));
	if (argc == 7 && strcmp(argv[1], "check") == 0)
		return (command_check(argv + 2));
	fprintf(stderr, "usage: see the head of tests/bench/offsetload.c\n");
	return (2);
}
