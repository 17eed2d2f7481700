/* SPDX-License-Identifier: Apache-2.0 */
/* What a shard is to coord (struct coord_ops), and who goes over its groups. */
#ifndef GROUP_SHARD_INT_H
#define GROUP_SHARD_INT_H

#include "group/group_int.h"

void *group_shard_open(void *arg, struct coord_shard *coord);
void group_shard_replay(void *state, const struct coord_record *record);
void group_shard_marker(void *state, int64_t producer_id, int16_t epoch,
    int64_t offset, bool commit);
bool group_shard_loaded(void *state);
bool group_shard_close(void *state);

/* --- retention.c --- */
void group_retention_init(struct group_shard *shard);
void group_retention_start(struct group_shard *shard);

/* --- gone.c --- */
void group_gone_init(struct group_shard *shard);
void group_gone_close(struct group_shard *shard);
/* Loops are stopped. */
void group_forget_gone_topics(struct groups *groups);

#endif
