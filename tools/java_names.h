/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_JAVA_NAMES_H
#define TOOLS_JAVA_NAMES_H

#include "base/buffer.h"

/* The class that Kafka's tools print for an error code:
 * "org.apache.kafka.common.errors.UnknownTopicOrPartitionException".
 * Source: Errors.java. */
void error_java_class(int code, struct buffer *out);

#endif
