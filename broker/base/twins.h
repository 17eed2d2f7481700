/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is named twice.  Requests are lists, and what Kafka reads of many of them
 * is a set: of partitions, topics, ids.
 */
#ifndef BASE_TWINS_H
#define BASE_TWINS_H

#include "base/arena.h"
#include "base/slice.h"

struct twin {
	struct slice name; /* borrowed */
	int32_t number;
	size_t index;      /* the table's own */
};

/*
 * For each of `count` names the index of the first and of the last that equals
 * it, itself when there is no other.  `twins` is put into another order.  NULL:
 * the arena refused.  Time: count * log(count).
 */
struct twin_ends {
	size_t first;
	size_t last;
};
const struct twin_ends *twins_find(struct arena *arena, struct twin *twins,
    size_t count);

#endif
