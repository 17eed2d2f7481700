/* SPDX-License-Identifier: Apache-2.0 */
/* A list of partitions that the user wrote, as delete-records and
 * leader-election take it:
 *
 *	{"partitions": [{"topic": "t", "partition": 0, "offset": 7}]}
 */
#ifndef TOOLS_PARTITIONS_FILE_H
#define TOOLS_PARTITIONS_FILE_H

#include "tools/leaders.h"

struct tool;

enum partitions_kind { PARTITIONS_ALONE, PARTITIONS_WITH_OFFSET };

struct partitions_list {
	struct leader_item *items; /* topics live in the arena */
	size_t count;
};

/* False: *why says what is wrong with the text; the list is empty. */
bool partitions_parse(struct slice text, enum partitions_kind kind,
    struct arena *arena, struct partitions_list *list, struct buffer *why);
/* The same from a file. False: said. */
bool partitions_read(const struct tool *tool, const char *path,
    enum partitions_kind kind, struct arena *arena,
    struct partitions_list *list);
/* A list of one; the name is borrowed. */
void partitions_list_one(struct partitions_list *list, struct slice topic,
    int32_t partition);
/* By topic and number; to be freed. */
struct leader_item **partitions_sorted(const struct partitions_list *list);
void partitions_list_fini(struct partitions_list *list);

#endif
