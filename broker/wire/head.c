/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of requests and responses.  Their version follows from the key and
 * version of what they head (KIP-482), but for two exceptions:
 * ControlledShutdown 0 has request header 0, and answers to ApiVersions have
 * response header 0 always, for a client that does not yet know better.
 */
#include "base/bytes.h"
#include "base/check.h"
#include "wire/wire.h"

/* Key, version and correlation id, which every header version has. */
#define HEAD_LEAST_BYTES 8

static int
request_head_version(const struct api *api, int version)
{
	if (api->key == API_CONTROLLED_SHUTDOWN && version == 0)
		return (0);
	return (version >= api->flexible ? 2 : 1);
}

static int
response_head_version(const struct api *api, int version)
{
	if (api->key == API_API_VERSIONS)
		return (0);
	return (version >= api->flexible ? 1 : 0);
}

/* Headers hold no arrays, so their decoding needs no arena. */
enum wire_status
wire_read_request_head(struct slice *frame, struct request_head *head)
{
	struct request_header header;
	const struct api *api;
	enum wire_status status;

	if (frame->length < HEAD_LEAST_BYTES)
		return (WIRE_MALFORMED);
	*head = (struct request_head){
		.api_key = bytes_get_i16(frame->data),
		.api_version = bytes_get_i16(frame->data + 2),
		.correlation_id = bytes_get_i32(frame->data + 4),
		.client_id = SLICE_EMPTY
	};
	api = api_by_key(head->api_key);
	if (api == NULL || (api->key != API_API_VERSIONS &&
	    (head->api_version < api->lowest ||
		head->api_version > api->highest)))
		return (WIRE_UNSUPPORTED);
	status = wire_decode(&message_request_header,
	    request_head_version(api, head->api_version), *frame, NULL, &header,
	    frame);
	if (status == WIRE_OK && header.client_id.data != NULL)
		head->client_id = header.client_id;
	return (status);
}

void
wire_write_request_head(const struct request_head *head, struct buffer *out)
{
	const struct api *api = api_by_key(head->api_key);
	const struct request_header header = {
		.request_api_key = head->api_key,
		.request_api_version = head->api_version,
		.correlation_id = head->correlation_id,
		.client_id = head->client_id
	};

	CHECK(api != NULL);
	CHECK(wire_encode_bytes(&message_request_header,
	    request_head_version(api, head->api_version), &header,
	    out) == WIRE_OK);
}

enum wire_status
wire_read_response_head(const struct api *api, int version, struct slice *frame,
    int32_t *correlation_id)
{
	struct response_header header;
	enum wire_status status;

	status = wire_decode(&message_response_header,
	    response_head_version(api, version), *frame, NULL, &header, frame);
	if (status == WIRE_OK)
		*correlation_id = header.correlation_id;
	return (status);
}

void
wire_write_response_head(const struct api *api, int version,
    int32_t correlation_id, struct buffer *out)
{
	const struct response_header header = {
		.correlation_id = correlation_id };

	CHECK(wire_encode_bytes(&message_response_header,
	    response_head_version(api, version), &header, out) == WIRE_OK);
}
