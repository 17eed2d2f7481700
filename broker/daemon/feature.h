/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The /feature node, followed: its data version while it is enabled is the
 * epoch that ApiVersions tells (KIP-584).
 */
#ifndef DAEMON_FEATURE_H
#define DAEMON_FEATURE_H

#include "zkglue/zkglue.h"

struct feature;

struct feature *feature_new(struct loop *loop, struct zk *zk);
void feature_free(struct feature **feature);
/* -1: not known, or not enabled. Any thread; `feature` as a void *. */
int64_t feature_epoch(void *feature);

#endif
