/* SPDX-License-Identifier: Apache-2.0 */
/* How far groups are behind, for metrics (lag.c). */
#ifndef GROUP_LAG_INT_H
#define GROUP_LAG_INT_H

#include "group/group_int.h"

/* NULL where barnabas.group.lag.enable is false. */
struct group_lag *group_lag_new(struct groups *groups);
/* All shards are closed, and no page of metrics is made any more. */
void group_lag_free(struct group_lag **lag);
/* A shard comes, on its loop, and goes. */
void group_lag_open(struct group_shard *shard);
void group_lag_close(struct group_shard *shard);

#endif
