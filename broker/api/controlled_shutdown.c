/* SPDX-License-Identifier: Apache-2.0 */
/* ControlledShutdown: the controller relieves a broker of its partitions before
 * that stops. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
controlled_shutdown_timeout_ms(const void *body)
{
	(void)body;
	return (30000);
}

void
api_controlled_shutdown(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_controlled_shutdown,
	    controlled_shutdown_timeout_ms);
}
