/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ApiVersions (KIP-35, KIP-511): what is served, by key.  A version that this
 * broker does not know is answered in version 0, with UNSUPPORTED_VERSION and
 * the range of ApiVersions itself, so that any client finds its way.
 */
#include "api/api_int.h"

static const struct api_versions_response_api_key api_versions_rows[] = {
#define SERVED(key, lowest, highest, handler)                                 \
	{ API_##key, lowest, highest },
#include "api/served.def"
#undef SERVED
};

/* [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool
software_name_valid(struct slice name)
{
	for (size_t i = 0; i < name.length; i++) {
		uint8_t c = name.data[i];
		bool edge = i == 0 || i == name.length - 1;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || (!edge && (c == '-' || c == '.')))
			continue;
		return (false);
	}
	return (name.length > 0);
}

static void
api_versions_fallback(struct apis *apis, struct request *request)
{
	struct api_versions_response_api_key own = { API_API_VERSIONS, 0, 4 };
	struct api_versions_response response;

	wire_init(&message_api_versions_response, &response);
	response.error_code = ERR_UNSUPPORTED_VERSION;
	response.api_keys = &own;
	response.api_keys_count = 1;
	request->head.api_version = 0;
	api_reply(apis, request, &response);
}

void
api_api_versions(struct apis *apis, struct request *request)
{
	struct api_versions_request body;
	struct api_versions_response response;

	if (request->head.api_version < 0 || request->head.api_version > 4) {
		api_versions_fallback(apis, request);
		return;
	}
	if (!api_decode(request, &message_api_versions_request, &body))
		return;
	wire_init(&message_api_versions_response, &response);
	if (request->head.api_version >= 3 &&
	    (!software_name_valid(body.client_software_name) ||
		!software_name_valid(body.client_software_version))) {
		response.error_code = ERR_INVALID_REQUEST;
		api_reply(apis, request, &response);
		return;
	}
	if (request->head.api_version >= 3)
		connection_set_software(request->connection,
		    body.client_software_name, body.client_software_version);
	response.api_keys = arena_alloc(&request->arena,
	    sizeof(api_versions_rows));
	if (response.api_keys == NULL) {
		api_refuse_memory(apis, request);
		return;
	}
	memcpy(response.api_keys, api_versions_rows, sizeof(api_versions_rows));
	response.api_keys_count = (int32_t)nelems(api_versions_rows);
	response.finalized_features_epoch = apis->setup.feature_epoch(
	    apis->setup.feature_epoch_arg);
	api_reply(apis, request, &response);
}
