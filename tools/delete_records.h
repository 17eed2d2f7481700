/* SPDX-License-Identifier: Apache-2.0 */
/* What `barnabas delete-records` reads of its file. */
#ifndef TOOLS_DELETE_RECORDS_H
#define TOOLS_DELETE_RECORDS_H

#include "tools/leaders.h"

/*
 * {"partitions": [{"topic": "t", "partition": 0, "offset": 7}], "version": 1}
 *
 * The items are the caller's, by mem_free(); names live in the arena.  False:
 * *why; nothing is taken of a file that is wrong anywhere.
 */
bool delete_records_parse(struct slice text, struct arena *arena,
    struct leader_item **items, size_t *count, struct buffer *why);

#endif
