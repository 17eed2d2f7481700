/* SPDX-License-Identifier: Apache-2.0 */
/* Every decoder of znodes takes any bytes; what it accepts encodes again to
 * what it accepts. */
#include "base/check.h"
#include "zkglue/znodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_round_trips(struct slice json, struct arena *arena)
{
	struct buffer out = BUFFER_EMPTY;
	struct znode_topic topic;
	struct znode_state state;
	struct znode_config config;
	struct znode_partitions partitions;

	if (znode_topic_decode(json, arena, &topic)) {
		znode_topic_encode(&topic, &out);
		CHECK(znode_topic_decode(buffer_slice(&out), arena, &topic));
		out.length = 0;
	}
	if (znode_state_decode(json, arena, &state)) {
		znode_state_encode(&state, &out);
		CHECK(znode_state_decode(buffer_slice(&out), arena, &state));
		out.length = 0;
	}
	if (znode_config_decode(json, arena, &config)) {
		znode_config_encode(&config, &out);
		CHECK(znode_config_decode(buffer_slice(&out), arena, &config));
		out.length = 0;
	}
	if (znode_partitions_decode(json, arena, &partitions)) {
		znode_partitions_encode(&partitions, true, &out);
		CHECK(znode_partitions_decode(buffer_slice(&out), arena,
		    &partitions));
	}
	buffer_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice json = slice_of(data, size);
	struct znode_broker broker;
	struct znode_controller controller;
	struct znode_producer_ids ids;
	struct znode_feature feature;
	struct arena arena;
	const char *text;
	int32_t number;

	arena_init(&arena, 0);
	fuzz_round_trips(json, &arena);
	znode_broker_decode(json, &arena, &broker);
	znode_controller_decode(json, &controller);
	znode_cluster_id_decode(json, &arena, &text);
	znode_epoch_decode(json, &number);
	znode_config_change_decode(json, &arena, &text);
	znode_producer_ids_decode(json, &ids);
	znode_feature_decode(json, &feature);
	znode_log_dir_event_decode(json, &number);
	arena_fini(&arena);
	return (0);
}
