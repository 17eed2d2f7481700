/* SPDX-License-Identifier: Apache-2.0 */
/* ElectLeaders: the controller elects, waits until clients are told. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
elect_leaders_timeout_ms(const void *body)
{
	const struct elect_leaders_request *request = body;

	return (request->timeout_ms);
}

void
api_elect_leaders(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_elect_leaders,
	    elect_leaders_timeout_ms);
}
