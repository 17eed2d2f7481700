/* SPDX-License-Identifier: Apache-2.0 */
/* AlterPartitionReassignments (KIP-455): replicas are to move, or no longer. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
alter_partition_reassignments_timeout_ms(const void *body)
{
	const struct alter_partition_reassignments_request *request = body;

	return (request->timeout_ms);
}

void
api_alter_partition_reassignments(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_alter_reassignments,
	    alter_partition_reassignments_timeout_ms);
}
