/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/replay/scripts.h"

#include <stdio.h>

#include "base/mem.h"

/* Of something that succeeds as soon as there is a controller. */
#define TRIES_MAX 240

int64_t
some_ms(struct replay *r, int64_t bound_ms)
{
	return ((int64_t)random_below(&r->random, (uint64_t)bound_ms));
}

int
some_plane(struct replay *r, int except)
{
	int id;

	do
		id = 1 + (int)random_below(&r->random, r->plane_count);
	while (id == except);
	return (id);
}

void
make_topics(struct replay *r, int count)
{
	for (int i = 0; i < count; i++) {
		char name[16];
		int tries = 0;

		snprintf(name, sizeof(name), "t%d", i);
		while (!replay_create_topic(r, name, 4, (int16_t)(2 + i % 2))) {
			if (tries++ == TRIES_MAX) {
				replay_fault(r, "nobody is controller");
				return;
			}
			replay_run(r, 500);
		}
		replay_run(r, some_ms(r, 300));
	}
}

bool
is_state_write(const struct zk_op *op)
{
	for (size_t i = 0; op->kind == ZK_OP_MULTI && i < op->part_count; i++)
		if (strstr(op->parts[i].path, "/state") != NULL)
			return (true);
	return (false);
}

void
die_at_write(struct replay *r, int id, const struct zk_op *op)
{
	struct deaths *d = r->script;

	if (d->countdown < 0 || !is_state_write(op))
		return;
	if (d->countdown-- == 0)
		replay_kill(r, d->victim == 0 ? id : d->victim);
}

void
revive_all(struct replay *r)
{
	for (int id = 1; id <= (int)r->plane_count; id++)
		if (!replay_lives(r, id))
			replay_start(r, id);
}

/* --- nodes, and what is seen of them -------------------------------------- */

void
put(struct replay *r, const char *path, const char *text)
{
	zk_fake_put(r->fake, path, slice_of_text(text));
}

void
put_topic(struct replay *r, const char *name, int first, int second)
{
	put_topic_of(r, name, (int32_t[]){ first, second }, 2);
}

void
put_topic_of(struct replay *r, const char *name, const int32_t *replicas,
    int32_t count)
{
	struct znode_assignment one = {
		.replicas = (int32_t *)(uintptr_t)replicas, /* encoded */
		.replica_count = count };
	struct znode_topic node = { .partitions = &one, .partition_count = 1,
		.id = uuid_random(&r->random) };
	struct buffer json = BUFFER_EMPTY;
	char path[64];

	snprintf(path, sizeof(path), "/brokers/topics/%s", name);
	znode_topic_encode(&node, &json);
	zk_fake_put(r->fake, path, buffer_slice(&json));
	buffer_fini(&json);
}

/* t0 with one config, or none; in no notification. */
void
put_config(struct replay *r, const char *name, const char *value)
{
	char text[100];

	if (value == NULL)
		snprintf(text, sizeof(text), "{\"version\":1,\"config\":{}}");
	else
		snprintf(text, sizeof(text),
		    "{\"version\":1,\"config\":{\"%s\":\"%s\"}}", name,
		    value);
	put(r, "/config/topics/t0", text);
}

bool
topic_id(struct replay *r, const char *path, struct uuid *id,
    struct znode_topic *node, struct arena *arena)
{
	struct slice data;
	struct zk_stat stat;

	if (!zk_fake_get(r->fake, path, &data, &stat) ||
	    !znode_topic_decode(data, arena, node))
		return (false);
	*id = node->id;
	return (true);
}

void
check_partitions(struct replay *r, const char *topic, size_t count)
{
	struct znode_topic node = { .partition_count = 0 };
	struct arena arena;
	struct uuid id;

	arena_init(&arena, 0);
	if (!topic_id(r, znode_topic_path(&arena, topic), &id, &node, &arena) ||
	    node.partition_count != count)
		replay_fault(r, "%s has %zu partitions, not %zu", topic,
		    node.partition_count, count);
	arena_fini(&arena);
}

bool
is_marked(struct replay *r, const char *topic)
{
	char path[64];
	struct slice data;
	struct zk_stat stat;

	snprintf(path, sizeof(path), ZNODE_DELETE_TOPICS "/%s", topic);
	return (zk_fake_get(r->fake, path, &data, &stat));
}

void
mark(struct replay *r, const char *topic)
{
	char path[64];

	snprintf(path, sizeof(path), ZNODE_DELETE_TOPICS "/%s", topic);
	zk_fake_put(r->fake, path, SLICE_NULL);
}

/* Nothing of it is left. */
void
check_gone(struct replay *r, const char *topic)
{
	char path[64];
	struct slice data;
	struct zk_stat stat;

	snprintf(path, sizeof(path), "/config/topics/%s", topic);
	if (replay_topic(r, topic, NULL) || is_marked(r, topic) ||
	    zk_fake_get(r->fake, path, &data, &stat))
		replay_fault(r, "%s is not gone: topic %d mark %d", topic,
		    replay_topic(r, topic, NULL), is_marked(r, topic));
}

void
check_relieved(struct replay *r, int gone)
{
	for (int i = 0; i < 3; i++)
		for (int32_t p = 0; p < 4; p++) {
			struct znode_state state;
			struct arena arena;
			int32_t version;
			char name[16];

			arena_init(&arena, 0);
			snprintf(name, sizeof(name), "t%d", i);
			if (!replay_state(r, name, p, &arena, &state, &version))
				replay_fault(r, "%s/%d has no state", name,
				    (int)p);
			else if (state.leader == gone || state.leader < 0)
				replay_fault(r, "%s/%d is led by %d", name,
				    (int)p, (int)state.leader);
			for (int32_t k = 0; k < state.isr_count; k++)
				if (state.isr[k] == gone)
					replay_fault(r, "%s/%d has %d in its "
					    "ISR", name, (int)p, gone);
			arena_fini(&arena);
		}
}

/* As versions before 2.8 write it. */
void
put_without_id(struct replay *r, const char *path,
    const struct znode_topic *node)
{
	struct buffer json = BUFFER_EMPTY;

	buffer_append_text(&json, "{\"version\":1,\"partitions\":{");
	for (size_t i = 0; i < node->partition_count; i++) {
		const struct znode_assignment *a = &node->partitions[i];

		buffer_printf(&json, "%s\"%d\":[", i == 0 ? "" : ",",
		    (int)a->partition);
		for (int32_t k = 0; k < a->replica_count; k++)
			buffer_printf(&json, "%s%d", k == 0 ? "" : ",",
			    (int)a->replicas[k]);
		buffer_append_text(&json, "]");
	}
	buffer_append_text(&json, "}}");
	put(r, path, buffer_text(&json));
	buffer_fini(&json);
}

int
elect(struct replay *r, const char *topic, int8_t kind)
{
	struct elect_leaders_request request;
	struct elect_leaders_response response;
	int32_t number = 0;
	struct elect_leaders_request_topic_partition asked = {
		.topic = slice_of_text(topic), .partitions = &number,
		.partitions_count = 1 };
	struct arena arena;
	int error = -1;

	arena_init(&arena, 0);
	wire_init(&message_elect_leaders_request, &request);
	wire_init(&message_elect_leaders_response, &response);
	request.election_type = kind;
	request.topic_partitions = &asked;
	request.topic_partitions_count = 1;
	if (replay_ask(r, controller_elect_leaders, &(struct controller_call){
		.arena = &arena, .request = &request, .response = &response,
		.deadline_ns = r->clock.now_ns +
		    (int64_t)10 * 1000 * 1000000, .version = 2 }))
		error = response.replica_election_results_count != 1 ? -2 :
		    response.replica_election_results[0].partition_result[0].
		    error_code;
	arena_fini(&arena);
	return (error);
}
