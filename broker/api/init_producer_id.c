/* SPDX-License-Identifier: Apache-2.0 */
/*
 * InitProducerId for idempotent producers (KIP-98): a fresh id, epoch 0.  With
 * a transactional id it is the transaction coordinator's, which is not
 * there yet.  What the producer had before is told whole or not at all
 * (KIP-360).
 */
#include "api/api_int.h"

#include "txn/producer_ids.h"

void
api_init_producer_id(struct apis *apis, struct request *request)
{
	struct init_producer_id_request body;
	struct init_producer_id_response response;
	int64_t id;

	if (!api_decode(request, &message_init_producer_id_request, &body))
		return;
	wire_init(&message_init_producer_id_response, &response);
	response.producer_epoch = -1;
	if ((body.producer_id == -1) != (body.producer_epoch == -1)) {
		response.error_code = ERR_INVALID_REQUEST;
	} else if (body.transactional_id.data != NULL) {
		response.error_code = body.transactional_id.length == 0 ?
		    ERR_INVALID_REQUEST : ERR_NOT_COORDINATOR;
	} else if ((id = producer_ids_next(apis->setup.producer_ids)) < 0) {
		response.error_code = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	} else {
		response.producer_id = id;
		response.producer_epoch = 0;
	}
	api_reply(apis, request, &response);
}
