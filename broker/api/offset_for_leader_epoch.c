/* SPDX-License-Identifier: Apache-2.0 */
/* OffsetForLeaderEpoch: where a leader epoch ended in the leader's log, for
 * followers and consumers that look whether theirs was cut off (KIP-101,
 * KIP-320). */
#include "api/api_int.h"

#include "replica/replica.h"

static bool
offset_for_leader_epoch_topic(struct apis *apis, struct request *request,
    const struct offset_for_leader_epoch_request_topic *topic,
    struct offset_for_leader_epoch_response_topic *out)
{
	out->topic = topic->topic;
	out->partitions = wire_array(&request->arena,
	    offset_for_leader_epoch_response_partition_schema(),
	    (size_t)topic->partitions_count);
	if (out->partitions == NULL)
		return (false);
	out->partitions_count = topic->partitions_count;
	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const struct offset_for_leader_epoch_request_partition *asked =
		    &topic->partitions[i];
		struct epoch_query query = {
			.topic = topic->topic,
			.partition = asked->partition,
			.current_leader_epoch = asked->current_leader_epoch,
			.leader_epoch = asked->leader_epoch,
		};

		replicas_epoch_end(apis->setup.replicas, &query);
		out->partitions[i].error_code = (int16_t)query.error;
		out->partitions[i].partition = asked->partition;
		out->partitions[i].leader_epoch = query.end.leader_epoch;
		out->partitions[i].end_offset = query.end.end_offset;
	}
	return (true);
}

void
api_offset_for_leader_epoch(struct apis *apis, struct request *request)
{
	struct offset_for_leader_epoch_request body;
	struct offset_for_leader_epoch_response response;
	bool good;

	if (!api_decode(request, &message_offset_for_leader_epoch_request,
		&body))
		return;
	wire_init(&message_offset_for_leader_epoch_response, &response);
	response.topics = wire_array(&request->arena,
	    offset_for_leader_epoch_response_topic_schema(),
	    (size_t)body.topics_count);
	good = response.topics != NULL;
	if (good)
		response.topics_count = body.topics_count;
	for (int32_t i = 0; good && i < body.topics_count; i++)
		good = offset_for_leader_epoch_topic(apis, request,
		    &body.topics[i], &response.topics[i]);
	if (good)
		api_reply(apis, request, &response);
	else
		api_refuse_memory(apis, request);
}
