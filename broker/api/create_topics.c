/* SPDX-License-Identifier: Apache-2.0 */
/* CreateTopics: the controller's business; this file carries it there. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
create_topics_timeout_ms(const void *body)
{
	const struct create_topics_request *request = body;

	return (request->timeout_ms);
}

void
api_create_topics(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_create_topics,
	    create_topics_timeout_ms);
}
