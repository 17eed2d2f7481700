/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteTopics: the controller marks topics, waits until they are gone. */
#include "api/api_int.h"

#include "controller/controller.h"

static int64_t
delete_topics_timeout_ms(const void *body)
{
	const struct delete_topics_request *request = body;

	return (request->timeout_ms);
}

void
api_delete_topics(struct apis *apis, struct request *request)
{
	api_ask_controller(apis, request, controller_delete_topics,
	    delete_topics_timeout_ms);
}
