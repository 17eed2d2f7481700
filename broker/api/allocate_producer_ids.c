/* SPDX-License-Identifier: Apache-2.0 */
/* AllocateProducerIds (KIP-730): a block of ids for a broker, from the
 * controller. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
allocate_ids_timeout_ms(const void *body)
{
	(void)body;
	return (30000);
}

void
api_allocate_producer_ids(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_allocate_producer_ids,
	    allocate_ids_timeout_ms);
}
