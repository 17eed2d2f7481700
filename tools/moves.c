/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/moves.h"

enum client_status
moves_ask(struct client *client,
    struct list_partition_reassignments_response *response)
{
	struct list_partition_reassignments_request request;
	enum client_status status;
	bool again;

	wire_init(&message_list_partition_reassignments_request, &request);
	request.timeout_ms = client_timeout_ms(client);
	client_begin(client);
	do {
		status = client_ask_controller(client,
		    API_LIST_PARTITION_REASSIGNMENTS, &request, response);
		again = status == CLIENT_OK &&
		    response->error_code == ERR_NOT_CONTROLLER;
	} while (again && client_pause(client));
	client_end(client);
	return (status);
}

const struct list_partition_reassignments_response_partition *
moves_find(const struct list_partition_reassignments_response *moves,
    struct slice topic, int32_t partition)
{
	for (int32_t i = 0; moves != NULL && i < moves->topics_count; i++) {
		const struct list_partition_reassignments_response_topic *row =
		    &moves->topics[i];

		if (!slice_equal(row->name, topic))
			continue;
		for (int32_t k = 0; k < row->partitions_count; k++)
			if (row->partitions[k].partition_index == partition)
				return (&row->partitions[k]);
	}
	return (NULL);
}
