/* SPDX-License-Identifier: Apache-2.0 */
/* The partitions whose replicas move, as the controller lists them. */
#ifndef TOOLS_MOVES_H
#define TOOLS_MOVES_H

#include "tools/client.h"

/* All that move.  NOT_CONTROLLER is asked again until the client's deadline;
 * CLIENT_OK: see the answer's own error. */
enum client_status moves_ask(struct client *client,
    struct list_partition_reassignments_response *response);
/* NULL: the partition does not move. `moves` may be NULL. */
const struct list_partition_reassignments_response_partition *moves_find(
    const struct list_partition_reassignments_response *moves,
    struct slice topic, int32_t partition);

#endif
