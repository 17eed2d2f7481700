/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_BROKER_API_VERSIONS_H
#define TOOLS_BROKER_API_VERSIONS_H

#include "wire/wire.h"

/* The request, with who we are. */
void api_versions_ask(struct api_versions_request *request);

/* A broker of a metadata answer, and what it told. */
struct broker_versions {
	const struct metadata_response_broker *broker;
	const char *why; /* it told nothing; NULL: it did */
	struct api_versions_response response;
};

/* As kafka-broker-api-versions prints one broker. */
void broker_versions_text(const struct broker_versions *versions,
    struct buffer *out);
void broker_versions_json(const struct broker_versions *brokers, size_t count,
    struct buffer *out);

#endif
