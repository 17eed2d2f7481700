/* SPDX-License-Identifier: Apache-2.0 */
/* The words of options.def and topic_options.def, as designated initialisers
 * of a struct option. */
#ifndef CONFIG_OPTIONS_INT_H
#define CONFIG_OPTIONS_INT_H

#include "config/options.h"

#define ANY .valid.check = CHECK_ANY
#define AT_LEAST(n)                                                           \
	.valid.check = CHECK_RANGE, .valid.low = (n), .valid.high = INT64_MAX
#define RANGE(a, b)                                                           \
	.valid.check = CHECK_RANGE, .valid.low = (a), .valid.high = (b)
#define REAL_RANGE(a, b)                                                      \
	.valid.check = CHECK_REAL_RANGE, .valid.low_real = (a),               \
	.valid.high_real = (b)
#define ONE_OF(w) .valid.check = CHECK_ONE_OF, .valid.words = (w)
#define ONE_OF_ANY_CASE(w)                                                    \
	.valid.check = CHECK_ONE_OF_ANY_CASE, .valid.words = (w)
#define EACH_OF(w) .valid.check = CHECK_EACH_OF, .valid.words = (w)
#define NON_EMPTY .valid.check = CHECK_NON_EMPTY
#define KAFKA_VERSION .valid.check = CHECK_VERSION
#define GZIP_LEVEL .valid.check = CHECK_GZIP_LEVEL
#define THROTTLED_REPLICAS .valid.check = CHECK_THROTTLED_REPLICAS

#define DFLT(text) .fallback = (text)
#define NULL_DFLT .fallback = NULL

#define READ_ONLY .update = UPDATE_READ_ONLY
#define PER_BROKER .update = UPDATE_PER_BROKER
#define CLUSTER_WIDE .update = UPDATE_CLUSTER_WIDE
#define INTERNAL , .internal = true
#define DYNAMIC_ONLY , .dynamic_only = true

#define HONOURED .status = STATUS_HONOURED
#define NO_EFFECT(text) .status = STATUS_NO_EFFECT, .why = text
#define LATER(text) .status = STATUS_LATER, .why = text
#define REFUSED(text) .status = STATUS_REFUSED, .why = text
#define SECURITY(text) .status = STATUS_SECURITY, .why = text
#define SASL_ONLY                                                             \
	.status = STATUS_SASL, .why = "this version does not speak SASL"
#define KRAFT_ONLY NO_EFFECT("only Kafka's KRaft mode reads it")
#define TIERED_ONLY NO_EFFECT("this version has no tiered storage")

#define WHY_BUFFER "the kernel sizes the buffers of connections to brokers"
#define WHY_TRANSACTIONS "this version has no transactions"
#define WHY_QUOTAS "this version has no quotas"
#define WHY_PURGATORY "what waits is taken out as soon as it is finished"
#define WHY_ZOOKEEPER_TLS "this version does not speak TLS to ZooKeeper"
#define WHY_PLUGIN "remove it: Java classes cannot be loaded here"
#define WHY_METRICS "the metrics are counters, read at /metrics"
#define WHY_TOKENS "this version has no delegation tokens"


#endif
