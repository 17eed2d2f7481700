/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeCluster (KIP-700): who is there, as the listener's clients see it. */
#include "api/api_int.h"

enum { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 };

static bool
describe_cluster_brokers(const struct cluster_image *image,
    struct request *request, struct describe_cluster_response *response)
{
	size_t count;
	const struct api_node *nodes = api_nodes(request, image, NULL, NULL,
	    &count);

	response->brokers = wire_array(&request->arena,
	    describe_cluster_response_broker_schema(), count);
	if (nodes == NULL || response->brokers == NULL)
		return (false);
	response->brokers_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		response->brokers[i].broker_id = nodes[i].id;
		response->brokers[i].host = nodes[i].host;
		response->brokers[i].port = nodes[i].port;
		response->brokers[i].rack = nodes[i].rack;
	}
	return (true);
}

static bool
describe_cluster_refuse(struct request *request, int8_t endpoint_type,
    struct describe_cluster_response *response)
{
	if (endpoint_type == ENDPOINT_CONTROLLER) {
		response->error_code = ERR_MISMATCHED_ENDPOINT_TYPE;
		response->error_message = SLICE_LITERAL(
		    "The request was sent to an endpoint of type BROKER, but "
		    "we wanted an endpoint of type CONTROLLER");
		return (true);
	}
	response->error_code = ERR_UNSUPPORTED_ENDPOINT_TYPE;
	response->error_message = slice_of_text(arena_printf(&request->arena,
	    "Unsupported endpoint type %d", (int)endpoint_type));
	return (response->error_message.data != NULL);
}

void
api_describe_cluster(struct apis *apis, struct request *request)
{
	const struct cluster_image *image = cluster_image(apis->setup.cluster);
	struct describe_cluster_request body;
	struct describe_cluster_response response;

	if (!api_decode(request, &message_describe_cluster_request, &body))
		return;
	wire_init(&message_describe_cluster_response, &response);
	if (body.endpoint_type != ENDPOINT_BROKER) {
		if (describe_cluster_refuse(request, body.endpoint_type,
			&response))
			api_reply(apis, request, &response);
		else
			api_refuse_memory(apis, request);
		return;
	}
	if (!describe_cluster_brokers(image, request, &response)) {
		api_refuse_memory(apis, request);
		return;
	}
	response.cluster_id = slice_of_text(cluster_id(apis->setup.cluster));
	response.controller_id = image->controller_id;
	if (body.include_cluster_authorized_operations)
		response.cluster_authorized_operations = API_CLUSTER_OPERATIONS;
	api_reply(apis, request, &response);
}
