/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FindCoordinator.  There are no coordinators yet: every key is answered with
 * COORDINATOR_NOT_AVAILABLE, which clients take as "try later", and no internal
 * topic is made.
 */
#include "api/api_int.h"

enum { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1,
	COORDINATOR_SHARE = 2 };

static bool
coordinator_type_known(const struct request *request, int8_t type)
{
	return (type == COORDINATOR_GROUP || type == COORDINATOR_TRANSACTION ||
	    (type == COORDINATOR_SHARE && request->head.api_version >= 6));
}

void
api_find_coordinator(struct apis *apis, struct request *request)
{
	struct find_coordinator_request body;
	struct find_coordinator_response response;
	struct slice message = SLICE_LITERAL(
	    "The coordinator is not available.");
	enum error error = ERR_COORDINATOR_NOT_AVAILABLE;

	if (!api_decode(request, &message_find_coordinator_request, &body))
		return;
	wire_init(&message_find_coordinator_response, &response);
	if (!coordinator_type_known(request, body.key_type))
		error = ERR_INVALID_REQUEST;
	if (error == ERR_INVALID_REQUEST)
		message = SLICE_LITERAL("This most likely occurs because of a "
		    "request being malformed by the client library or the "
		    "message was sent to an incompatible broker. See the "
		    "broker logs for more details.");
	response.error_message = message;
	response.error_code = (int16_t)error;
	response.node_id = -1;
	response.port = -1;
	if (request->head.api_version >= 4) {
		response.error_code = ERR_NONE;
		response.error_message = SLICE_NULL;
		response.node_id = response.port = 0;
		response.coordinators = wire_array(&request->arena,
		    find_coordinator_response_coordinator_schema(),
		    (size_t)body.coordinator_keys_count);
		if (response.coordinators == NULL) {
			api_refuse_memory(apis, request);
			return;
		}
		response.coordinators_count = body.coordinator_keys_count;
	}
	for (int32_t i = 0; i < response.coordinators_count; i++) {
		struct find_coordinator_response_coordinator *c =
		    &response.coordinators[i];

		c->key = body.coordinator_keys[i];
		c->node_id = -1;
		c->port = -1;
		c->host = SLICE_EMPTY;
		c->error_code = (int16_t)error;
		/* Kafka says nothing more of what is not there yet; only of a
		 * type that it does not know. */
		c->error_message = error == ERR_INVALID_REQUEST &&
		    body.key_type != COORDINATOR_SHARE ? message : SLICE_EMPTY;
	}
	api_reply(apis, request, &response);
}
