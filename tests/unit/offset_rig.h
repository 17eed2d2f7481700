/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of one shard over a log in memory (fake_coord.h), and what asks about
 * their offsets. Members come out of the log. */
#ifndef TESTS_UNIT_OFFSET_RIG_H
#define TESTS_UNIT_OFFSET_RIG_H

#include "group/offsets_int.h"
#include "groups_rig.h"
#include "unit.h"

/* A commit of one partition and its answer. */
struct one {
	struct group_ask ask;
	struct group_part part;
	struct group_commit commit;
};

struct found {
	int64_t offset;
	int32_t epoch;
	char metadata[64];
	int error;
};

#define READS_T "\0\0\0\0\0\1\0\1t\377\377\377\377"

void rig_init(struct rig *rig);
/* One that tells of lag. */
void rig_init_lag(struct rig *rig, bool (*high_watermark)(void *arg,
    struct slice topic, int32_t partition, int64_t *out), void *arg);
void rig_fini(struct rig *rig);
struct group_ask *rig_ask(struct rig *rig);
struct group_shard *rig_shard(struct rig *rig);
struct group *rig_group(struct rig *rig, const char *id);
void one_init(struct one *one, const char *group, const char *topic,
    int32_t partition, int64_t offset);
/* Whether it is answered already. */
bool one_start(struct rig *rig, struct one *one);
enum error one_run(struct rig *rig, struct one *one);
enum error commit(struct rig *rig, const char *group, const char *topic,
    int32_t partition, int64_t offset);
struct found fetch_as(struct rig *rig, const char *group, const char *topic,
    int32_t partition, bool stable);
int64_t fetch(struct rig *rig, const char *group, const char *topic,
    int32_t partition);
/* Valid until the next call. */
struct slice offset_key(const char *group, const char *topic,
    int32_t partition);
struct slice offset_value(int64_t offset, int64_t commit_ms);
/* Of topic "t", from now on; `transaction` -1: none. */
void put_offset(struct rig *rig, const char *group, int32_t partition,
    int64_t offset, int64_t transaction);
/* Members "m0", "m1", ... that read topic "t", or do not say what; the first
 * is instance "i". Their sessions are long. */
void put_group_of(struct rig *rig, const char *id, const char *type,
    struct slice subscription, size_t members);
void put_group(struct rig *rig, const char *id, const char *type,
    size_t members);

#endif
