/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for which path: the cookies of a session's one-shot watches, for
 * both drivers.
 */
#ifndef ZKGLUE_WATCH_TABLE_INT_H
#define ZKGLUE_WATCH_TABLE_INT_H

#include <stdbool.h>

#include "base/hash.h"

/* A zeroed table is empty. */
struct watch_table {
	struct hash paths;
	size_t path_bytes; /* of all paths together */
};

enum watch_kind {
	WATCH_DATA = 1,    /* the node is made, set or deleted */
	WATCH_CHILDREN = 2 /* its children change, or it is deleted */
};

/* Once for each path, cookie and kind. */
void watch_table_add(struct watch_table *table, const char *path, void *cookie,
    enum watch_kind kind);
/* Takes out the path's watches of `kinds` and calls `fire` for each. */
void watch_table_fire(struct watch_table *table, const char *path,
    unsigned kinds, void (*fire)(void *arg, void *cookie), void *arg);
/* All paths that are watched. */
void watch_table_paths(const struct watch_table *table,
    void (*tell)(void *arg, const char *path), void *arg);
/* All watches of all paths. */
void watch_table_fire_all(struct watch_table *table,
    void (*fire)(void *arg, void *cookie), void *arg);
void watch_table_fini(struct watch_table *table);

#endif
