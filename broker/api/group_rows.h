/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions of a request about a group's offsets, as Kafka takes and answers
 * them: one row a topic, however often it was named; in it first those that
 * there are not, with UNKNOWN_TOPIC_OR_PARTITION, then the others, each once,
 * with what was said of it last.  Before the controller has told which there
 * are, COORDINATOR_LOAD_IN_PROGRESS is what clients wait and ask again after.
 */
#ifndef API_GROUP_ROWS_H
#define API_GROUP_ROWS_H

#include "api/api_int.h"
#include "group/group.h"

struct group_rows_topic {
	struct slice name;
	int32_t count; /* of parts */
};

struct group_rows {
	struct group_part *parts; /* topic after topic */
	size_t count;
	size_t valid_count;       /* without error */
	struct group_rows_topic *topics;
	size_t topic_count;
};

/* Parts in the request's order, which are put into another one. Memory is the
 * arena's; false: it refused. */
bool group_rows_make(struct group_rows *rows, struct arena *arena,
    const struct cluster_image *image, const struct group_part *asked,
    size_t count);

#endif
