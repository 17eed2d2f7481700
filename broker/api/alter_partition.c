/* SPDX-License-Identifier: Apache-2.0 */
/* AlterPartition (KIP-497): a leader asks the controller for another ISR. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
alter_partition_timeout_ms(const void *body)
{
	(void)body;
	return (30000);
}

void
api_alter_partition(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_alter_partition,
	    alter_partition_timeout_ms);
}
