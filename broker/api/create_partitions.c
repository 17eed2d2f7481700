/* SPDX-License-Identifier: Apache-2.0 */
/* CreatePartitions: the controller writes assignments, waits for leaders. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
create_partitions_timeout_ms(const void *body)
{
	const struct create_partitions_request *request = body;

	return (request->timeout_ms);
}

void
api_create_partitions(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_create_partitions,
	    create_partitions_timeout_ms);
}
