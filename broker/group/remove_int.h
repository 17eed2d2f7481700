/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offsets on their way out:
 *
 *	w = group_removal_new(group, count, ask);
 *	w->counter = ...;    if one counts them; with an ask: w->answer, w->tell
 *	group_removal_take(w, topic, slot); ...
 *	group_removal_run(w);              w is its own from now on
 *
 * The group may be gone when group_removal_run() returns.
 */
#ifndef GROUP_REMOVE_INT_H
#define GROUP_REMOVE_INT_H

#include "group/write_int.h"

/* Room for so many slots. NULL: no memory. */
struct group_write *group_removal_new(struct group *group, size_t count,
    struct group_ask *ask);
/* Each slot once; none comes or goes by it. */
void group_removal_take(struct group_write *w, const struct group_topic *topic,
    const struct offset_slot *slot);
void group_removal_run(struct group_write *w);

#endif
