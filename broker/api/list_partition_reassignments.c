/* SPDX-License-Identifier: Apache-2.0 */
/* ListPartitionReassignments (KIP-455): which replicas move. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
list_partition_reassignments_timeout_ms(const void *body)
{
	const struct list_partition_reassignments_request *request = body;

	return (request->timeout_ms);
}

void
api_list_partition_reassignments(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_list_reassignments,
	    list_partition_reassignments_timeout_ms);
}
