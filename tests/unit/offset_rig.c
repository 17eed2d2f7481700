/* SPDX-License-Identifier: Apache-2.0 */
#include "offset_rig.h"

#include "base/mem.h"

void
rig_init_lag(struct rig *rig, bool (*high_watermark)(void *arg,
    struct slice topic, int32_t partition, int64_t *out), void *arg)
{
	rig_begin(rig);
	rig_groups(rig, high_watermark, arg);
}

void
rig_init(struct rig *rig)
{
	rig_init_lag(rig, NULL, NULL);
}

void
rig_fini(struct rig *rig)
{
	groups_stop(rig->groups);
	while (rig->coord->write_count > 0)
		fake_coord_end(rig->coord, ERR_NOT_LEADER_OR_FOLLOWER);
	rig_run(rig, 0);
	CU_ASSERT_EQUAL(metrics_value(rig->metrics, METRIC_GROUPS), 0);
	CU_ASSERT_EQUAL(metrics_value(rig->metrics, METRIC_GROUP_OFFSETS), 0);
	rig_end(rig);
}

struct group_ask *
rig_ask(struct rig *rig)
{
	rig->ask = (struct group_ask){
		.arena = &rig->arena,
		.task = { .loop = rig->loop },
	};
	return (&rig->ask);
}

struct group_shard *
rig_shard(struct rig *rig)
{
	return (rig->coord->state);
}

struct group *
rig_group(struct rig *rig, const char *id)
{
	return (group_find(rig_shard(rig), slice_of_text(id)));
}

void
one_init(struct one *one, const char *group, const char *topic,
    int32_t partition, int64_t offset)
{
	memset(one, 0, sizeof(*one));
	one->part = (struct group_part){
		.topic = slice_of_text(topic),
		.partition = partition,
		.offset = offset,
		.leader_epoch = -1,
		.commit_ms = -1,
	};
	one->commit = (struct group_commit){
		.group_id = slice_of_text(group),
		.member_id = SLICE_EMPTY,
		.generation = -1,
		.retention_ms = -1,
		.parts = &one->part,
		.count = 1,
	};
}

bool
one_start(struct rig *rig, struct one *one)
{
	one->ask = *rig_ask(rig);
	one->ask.done = group_commit(rig->groups, &one->commit, &one->ask);
	return (one->ask.done);
}

enum error
one_run(struct rig *rig, struct one *one)
{
	(void)one_start(rig, one);
	rig_run(rig, 0);
	CU_ASSERT_TRUE(one->ask.done);
	return (one->part.error);
}

enum error
commit(struct rig *rig, const char *group, const char *topic,
    int32_t partition, int64_t offset)
{
	struct one one;

	one_init(&one, group, topic, partition, offset);
	return (one_run(rig, &one));
}

struct found
fetch_as(struct rig *rig, const char *group, const char *topic,
    int32_t partition, bool stable)
{
	struct offset_fetch_request_group_topic asked = {
		.name = slice_of_text(topic),
		.partition_indexes = &partition,
		.partition_indexes_count = 1,
	};
	struct offset_fetch_request_group request = {
		.group_id = slice_of_text(group),
		.topics = &asked,
		.topics_count = 1,
	};
	struct offset_fetch_response_group out = { 0 };
	struct offset_fetch_response_group_partition *part;
	struct found found = { .offset = -2 };

	CU_ASSERT_TRUE(group_fetch_offsets(rig->groups, &request, stable, &out,
	    rig_ask(rig)));
	found.error = out.error_code;
	if (out.topics_count != 1 || out.topics[0].partitions_count != 1)
		return (found);
	part = &out.topics[0].partitions[0];
	CU_ASSERT_TRUE(slice_equal_text(out.topics[0].name, topic));
	CU_ASSERT_EQUAL(part->partition_index, partition);
	found.offset = part->committed_offset;
	found.epoch = part->committed_leader_epoch;
	found.error = part->error_code;
	snprintf(found.metadata, sizeof(found.metadata), "%.*s",
	    SLICE_ARGS(part->metadata));
	return (found);
}

int64_t
fetch(struct rig *rig, const char *group, const char *topic, int32_t partition)
{
	return (fetch_as(rig, group, topic, partition, false).offset);
}

struct slice
offset_key(const char *group, const char *topic, int32_t partition)
{
	static struct buffer bytes;

	bytes.length = 0;
	CHECK(group_append_offset_key(&bytes, slice_of_text(group),
	    slice_of_text(topic), partition));
	return (buffer_slice(&bytes));
}

struct slice
offset_value(int64_t offset, int64_t commit_ms)
{
	static struct buffer bytes;

	bytes.length = 0;
	CHECK(group_append_offset_value(&bytes, &(struct group_offset){
	    .offset = offset, .leader_epoch = -1, .metadata = SLICE_EMPTY,
	    .commit_ms = commit_ms, .expire_ms = -1 }));
	return (buffer_slice(&bytes));
}

void
put_offset(struct rig *rig, const char *group, int32_t partition,
    int64_t offset, int64_t transaction)
{
	fake_coord_put(rig->coord, offset_key(group, "t", partition),
	    offset_value(offset, WALL_MS), transaction);
}

void
put_group_of(struct rig *rig, const char *id, const char *type,
    struct slice subscription, size_t members)
{
	struct group_metadata_value_member rows[4];
	struct group_metadata_value value;
	struct slice key;

	wire_init(&message_group_metadata_value, &value);
	memset(rows, 0, sizeof(rows));
	value.protocol_type = slice_of_text(type);
	value.generation = 4;
	value.protocol = members == 0 ? SLICE_NULL : SLICE_LITERAL("range");
	value.leader = members == 0 ? SLICE_NULL : SLICE_LITERAL("m0");
	value.current_state_timestamp = WALL_MS;
	value.members = rows;
	value.members_count = (int32_t)members;
	for (size_t i = 0; i < members; i++) {
		rows[i].member_id = slice_of_text(arena_printf(&rig->arena,
		    "m%zu", i));
		rows[i].group_instance_id = i == 0 ? SLICE_LITERAL("i") :
						     SLICE_NULL;
		rows[i].client_id = rows[i].client_host = SLICE_EMPTY;
		rows[i].session_timeout = INT32_MAX;
		rows[i].rebalance_timeout = INT32_MAX;
		rows[i].subscription = subscription;
		rows[i].assignment = SLICE_EMPTY;
	}
	key = group_key_of_group(&rig->arena, slice_of_text(id));
	fake_coord_put(rig->coord, key,
	    group_value_of_group(&rig->arena, &value), -1);
}

void
put_group(struct rig *rig, const char *id, const char *type, size_t members)
{
	put_group_of(rig, id, type, SLICE_LITERAL(READS_T), members);
}
